"""The pass that borders matrices with ones: a shift of a product, or a sum beside one, is a column more of it.

``AX + c = [A c] [X; 1]``, and ``[ZXᵀ, Z1] = Z [X; 1]ᵀ``. Where X has few rows, its copy with a row of ones is small,
and an array larger than X is not read and written once more for the shift or the sum.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import NamedTuple

from symbackprop import dims
from symbackprop.expr import Expr
from symbackprop.graph import Node, attributed
from symbackprop.op import apply, literal
from symbackprop.ops import add, broadcast_to, concatenate, expand_dims, matmul, negative, reshape, subtract
from symbackprop.ops.layout import RESHAPE, TRANSPOSE, matrix_transpose
from symbackprop.ops.reduce import SUM
from symbackprop.rewrite.carried import carried
from symbackprop.rewrite.engine import Rewritten
from symbackprop.rewrite.order import number
from symbackprop.rewrite.reorder import Ordering

_SHARE = 8  # so many times as many elements as the copy has must not be read and written,
_WORTH = 2**15  # and so many in all


class _Shifted(NamedTuple):
    """A product plus or minus what is the same for all of one axis.

    Attributes:
        product: the matrix product.
        shift: what is added or subtracted.
        long: the axis of the product along which the shift does not change, 0 or 1.
    """

    product: int
    shift: int
    long: int


class _Summed(NamedTuple):
    """A product in which an array is summed over an axis, beside the sum of the array over that axis.

    Attributes:
        product: the matrix product.
        place: which of its operands the array is, 0 or 1.
    """

    product: int
    place: int


def rebuild_bordered(outputs: Sequence[Expr], target: Rewritten, ordering: Ordering) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, with shifts and sums as columns of products."""
    if not outputs:
        return []
    graph = outputs[0].graph
    order = graph.reachable([output.number for output in outputs])
    has_products = any(_is_product(graph.nodes, at) for at in order)
    bordering = _Bordering(outputs, order, ordering) if has_products else None
    if bordering is None or not (bordering.shifted or bordering.summed):
        return list(outputs)
    return bordering.copied(target)


def _is_product(nodes: Mapping[int, Node], at: int) -> bool:
    """Tell whether this is the product of two matrices; one of a stack and a vector is a matrix too."""
    return nodes[at].op is matmul and all(len(nodes[operand].shape) == 2 for operand in nodes[at].inputs)


class _Bordering:
    """What is made part of products.

    Attributes:
        shifted: shifts of products, by the number of the sum or difference.
        summed: sums beside products, by the number of the sum.
    """

    def __init__(self, outputs: Sequence[Expr], order: Sequence[int], ordering: Ordering) -> None:
        self.nodes, self.order, self.ordering = outputs[0].graph.nodes, order, ordering
        self.results = [output.number for output in outputs]
        self.users: dict[int, list[int]] = defaultdict(list)
        for at in order:
            for operand in self.nodes[at].inputs:
                self.users[operand].append(at)
        for at in self.results:
            self.users[at].append(-1)
        self._known: dict[object, bool] = {}
        self.shifted: dict[int, _Shifted] = {}
        self.summed: dict[int, _Summed] = {}
        for at in order:
            op = self.nodes[at].op
            shifted = self._shifted(at) if op in {add, subtract} else None
            summed = self._summed(at) if op is SUM else None
            if shifted is not None and self._saves(shifted.product, 1 - shifted.long, inner=False):
                self.shifted[at] = shifted
            if summed is not None and self._saves(summed.product, summed.place, inner=True):
                self.summed[at] = summed

    def _saves(self, product: int, wide: int, *, inner: bool) -> bool:
        """Tell whether the matrices that are copied are small beside what is not read once more.

        Args:
            product: the matrix product.
            wide: the operand that gets no ones, 0 or 1.
            inner: whether the long axis is the one that is summed over.
        """
        a, b = (self.nodes[operand].shape for operand in self.nodes[product].inputs)
        across, other = (a[0], b[1]) if not wide else (b[1], a[0])
        long, short = (a[1], other) if inner else (other, a[1])

        key = (long, across, short, inner)
        if key in self._known:
            return self._known[key]

        def holds(sizes: Mapping[str, int]) -> bool:
            length, width, depth = (number(size, sizes) for size in (long, across, short))
            copied = length * depth + (0 if inner else width * depth)
            return length * width >= max(_WORTH, _SHARE * copied)

        self._known[key] = self.ordering.told(dims.names_of((long, across, short)), holds)
        return self._known[key]

    def _shifted(self, at: int) -> _Shifted | None:
        node = self.nodes[at]
        for place in (0, 1) if node.op is add else (0,):
            product, shift = node.inputs[place], node.inputs[1 - place]
            axes = [0, 1]  # of the result, for those of the product
            if self.nodes[product].op is RESHAPE and len(self.users[product]) == 1:
                view = self.nodes[product]
                (product,) = view.inputs
                carries = {axis: to for _, axis, to in carried(view, [self.nodes[product].shape])}
                axes = [-1 if to is None else to for to in map(carries.get, (0, 1))]
            of_other_dtype = self.nodes[product].dtype != node.dtype
            if not _is_product(self.nodes, product) or len(self.users[product]) > 1 or of_other_dtype:
                continue
            for long, axis in enumerate(axes):
                if axis >= 0 and self._is_constant(shift, at, axis):
                    return _Shifted(product, shift, long)
        return None

    def _is_constant(self, shift: int, at: int, axis: int) -> bool:
        """Tell whether a summand changes along all axes of the sum but one."""
        shape, whole = self.nodes[shift].shape, self.nodes[at].shape
        padded = (*[1] * (len(whole) - len(shape)), *shape)
        same_dtype = self.nodes[shift].dtype == self.nodes[at].dtype
        return same_dtype and bool(shape) and padded == (*whole[:axis], 1, *whole[axis + 1 :])

    def _summed(self, at: int) -> _Summed | None:
        node = self.nodes[at]
        (summed,) = node.inputs
        rank = len(self.nodes[summed].shape)
        if len(node.params["axes"]) != 1 or node.params["keepdims"]:
            return None
        for matrix, axis in self._as_matrix(summed, node.params["axes"][0] + rank):
            for user in self.users[matrix]:
                if user < 0 or not _is_product(self.nodes, user):
                    continue
                place = 1 - axis  # the columns of the first operand are summed over, the rows of the second
                product = self.nodes[user]
                other = self._base(product.inputs[1 - place])
                if product.inputs[place] == matrix and product.dtype == node.dtype and other < at:  # so no cycle
                    return _Summed(user, place)
        return None

    def _base(self, at: int) -> int:
        """Give what a node is a view of."""
        while self.nodes[at].op in {RESHAPE, TRANSPOSE}:
            (at,) = self.nodes[at].inputs
        return at

    def _as_matrix(self, at: int, axis: int) -> Iterator[tuple[int, int]]:
        """Give the matrices that are views of an array, and which of their axes is one of the array."""
        found = [(at, axis)]
        for array, place in found:
            if len(self.nodes[array].shape) == 2:
                yield array, place
            for user in self.users[array]:
                if user >= 0 and self.nodes[user].op in {RESHAPE, TRANSPOSE}:
                    view = self.nodes[user]
                    found += [
                        (user, to)
                        for _, source, to in carried(view, [self.nodes[array].shape])
                        if source == place and to is not None
                    ]

    # --- the result -------------------------------------------------------------------------------------------

    def copied(self, target: Rewritten) -> list[Expr]:
        """Copy all nodes, with shifts and sums in products."""
        placed: dict[int, Expr] = {}
        with_sum = {summed.product: at for at, summed in self.summed.items()}
        for at in self.order:
            node = self.nodes[at]
            with attributed(node.origin):
                if at in self.shifted:
                    made = self._with_shift(at, placed)
                elif at in self.summed:
                    made = self._sum(at, placed)
                elif at in with_sum:
                    made = self._bordered(at, self.summed[with_sum[at]], placed)[0]
                else:
                    placed[at] = target.copy_on([placed[operand] for operand in node.inputs], node, at)
                    continue
            made.node.stand_for(node)
            placed[at] = made
        return [placed[at] for at in self.results]

    def _with_shift(self, at: int, placed: Mapping[int, Expr]) -> Expr:
        node = self.nodes[at]
        product, shift, long = self.shifted[at]
        a, b = (placed[operand] for operand in self.nodes[product].inputs)
        wide = self.nodes[product].shape[1 - long]
        column = reshape(placed[shift] if node.op is add else negative(placed[shift]), (wide,))
        if long:
            found = matmul(concatenate([a, expand_dims(column, -1)], axis=1), _with_ones_below(b))
        else:
            found = matmul(_with_ones_beside(a), concatenate([b, expand_dims(column, 0)], axis=0))
        return reshape(found, node.shape)

    def _bordered(self, product: int, summed: _Summed, placed: Mapping[int, Expr]) -> tuple[Expr, Expr]:
        """Give a product, and the sum beside it as a vector."""
        a, b = (self._view(operand, placed) for operand in self.nodes[product].inputs)
        if summed.place:
            found = matmul(_with_ones_below(a), b)
            return found[: a.shape[0]], found[a.shape[0]]
        found = matmul(a, _with_ones_beside(b))
        return found[:, : b.shape[1]], found[:, b.shape[1]]

    def _view(self, at: int, placed: Mapping[int, Expr]) -> Expr:
        """Give a node, or make it, which comes later, if it is a view of one that is there."""
        views = []
        while at not in placed:
            views.append(self.nodes[at])
            (at,) = self.nodes[at].inputs
        return reduce(lambda found, view: apply(view.op, found, **view.params), reversed(views), placed[at])

    def _sum(self, at: int, placed: Mapping[int, Expr]) -> Expr:
        summed = self.summed[at]
        return reshape(self._bordered(summed.product, summed, placed)[1], self.nodes[at].shape)


def _with_ones_beside(matrix: Expr) -> Expr:
    """Give a matrix with a column of ones at its end."""
    one = literal(1, matrix.dtype, graph=matrix.graph)
    return concatenate([matrix, broadcast_to(one, (matrix.shape[0], 1))], axis=1)


def _with_ones_below(matrix: Expr) -> Expr:
    """Give a matrix with a row of ones at its end."""
    if matrix.op is TRANSPOSE:
        return matrix_transpose(_with_ones_beside(matrix.inputs[0]))
    one = literal(1, matrix.dtype, graph=matrix.graph)
    return concatenate([matrix, broadcast_to(one, (1, matrix.shape[1]))], axis=0)

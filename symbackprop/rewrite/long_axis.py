"""The pass that lays arrays out with their longest axis last, where the last one is short.

NumPy's inner loop goes along the last axis. In a product ``r[:, :, None] * y`` of three axes, or a sum over the last of
them, it has as many elements as that axis, and to start a loop costs more than its work. A matrix product can be had
with either axis last, and all that is computed from it element by element, and summed, until the next product, follows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import prod

from symbackprop import dims
from symbackprop.expr import Expr
from symbackprop.graph import Node, attributed
from symbackprop.op import apply
from symbackprop.ops import expand_dims, matmul, reshape, squeeze
from symbackprop.ops.contract import EINSUM
from symbackprop.ops.layout import EXPAND_DIMS, RESHAPE, SQUEEZE, TRANSPOSE, matrix_transpose, permute
from symbackprop.ops.norms import NORM
from symbackprop.rewrite.carried import BY_ROWS, REDUCTIONS, Carry, carried
from symbackprop.rewrite.engine import Rewritten
from symbackprop.rewrite.order import number
from symbackprop.rewrite.reorder import Ordering

_REDUCTIONS = REDUCTIONS - {NORM}
_VIEWS = frozenset({TRANSPOSE, EXPAND_DIMS, SQUEEZE, RESHAPE})
_TURNED = _REDUCTIONS | BY_ROWS | _VIEWS | {EINSUM}
_SHORT = 32  # elements of a row, up to which the other layout is faster,
_LONG = 64  # if another axis is so long,
_WORTH = 4096  # and there are so many in all
_SMALL = 4  # an array so many times smaller may be read along another axis than it is written


def rebuild_with_long_axis_last(outputs: Sequence[Expr], target: Rewritten, ordering: Ordering) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, with the longest axes of large arrays last."""
    if not outputs:
        return []
    nodes = outputs[0].graph.nodes
    order = outputs[0].graph.reachable([output.number for output in outputs])
    deep = any(len(nodes[at].shape) > 2 for at in order)
    seeds = [at for at in order if deep and len(nodes[at].shape) > 1 and _has_short_rows(nodes, nodes[at])]
    if not seeds:
        return list(outputs)
    layout = _Layout(nodes, order, [output.number for output in outputs], ordering)
    for seed in seeds:
        layout.grow(seed)
    return layout.copied(target) if layout.turned else list(outputs)


def _has_short_rows(nodes: Mapping[int, Node], node: Node) -> bool:
    """Tell whether this is a sum over the last of three axes or more, or repeats an operand along it."""
    rank = max([len(node.shape), *(len(nodes[operand].shape) for operand in node.inputs)])
    if rank < 3:
        return False
    shapes = [nodes[operand].shape for operand in node.inputs]
    if node.op in _REDUCTIONS or node.op in BY_ROWS:
        return len(shapes[0]) > 2 and -1 in node.params["axes"]
    if node.op is EINSUM:
        terms, _, result = node.params["subscripts"].partition("->")
        return all(len(term) > 2 and term[-1] not in result for term in terms.split(","))
    repeats = any(shape and shape[-1] != node.shape[-1] for shape in shapes)
    return repeats and node.op.elementwise and len(node.shape) > 2


class _Layout:
    """What is laid out anew.

    Attributes:
        turned: the axis that is moved to the end, by the number of the node.
    """

    def __init__(
        self, nodes: Mapping[int, Node], order: Sequence[int], results: Sequence[int], ordering: Ordering
    ) -> None:
        self.nodes, self.order, self.results, self.ordering = nodes, order, results, ordering
        self.turned: dict[int, int] = {}
        self.bare = {*results}
        self.users: dict[int, list[int]] = defaultdict(list)
        for at in order:
            for operand in dict.fromkeys(nodes[at].inputs):
                self.users[operand].append(at)
        self._carries: dict[int, list[Carry]] = {}

    # --- what is turned ---------------------------------------------------------------------------------------

    def grow(self, seed: int) -> None:
        """Turn what is computed element by element around a node, if that is possible and worth it."""
        node = self.nodes[seed]
        large = max((*node.inputs, seed), key=lambda at: len(self.nodes[at].shape))
        shape = self.nodes[large].shape
        if large in self.turned:
            return
        axis = max(range(len(shape) - 1), key=lambda axis: (number(shape[axis], self.ordering.sizes), -axis))
        found = self._around(large, axis)
        if found is None:
            return

        def worth(sizes: Mapping[str, int]) -> bool:
            *others, last = (number(size, sizes) for size in shape)
            long = others[axis]
            return last <= _SHORT and long >= _LONG and long == max(others) and prod(others) * last >= _WORTH

        if self.ordering.granted(dims.names_of(shape), worth):
            self.turned.update(found)

    def _around(self, start: int, axis: int) -> dict[int, int] | None:
        """Give the axis for each node that must be turned with one; None if not all of them can be."""
        found = {start: axis}
        waiting = [start]
        while waiting:
            at = waiting.pop()
            near = self._near(at, found[at])
            if near is None:
                return None
            for each, place in near:
                if each not in found and each not in self.turned:
                    found[each] = place
                    waiting.append(each)
                elif found.get(each, place) != place or self.turned.get(each, place) != place:
                    return None
        return found

    def _near(self, at: int, axis: int) -> list[tuple[int, int]] | None:
        """Give the nodes from and to which an axis of a node is carried; None if the node cannot be turned."""
        node = self.nodes[at]
        is_last = axis == len(node.shape) - 1
        if not self._turns(at, axis) or (not is_last and (at in self.bare or node.label)):
            return None
        near: list[tuple[int, int]] = []
        for operand, place, to in self._carried(at) if node.op is not matmul else ():
            source = node.inputs[operand]
            if to == axis and self._turns(source, place):
                near.append((source, place))
            elif to == axis and place != len(self.nodes[source].shape) - 1 and not self._is_smaller(source, at):
                return None
        for user in self.users[at]:
            using = self.nodes[user]
            if using.op is matmul:
                if self._is_batch(user, at, axis):
                    return None
                continue
            places = [to for operand, place, to in self._carried(user) if using.inputs[operand] == at and place == axis]
            is_reduced = using.op in _REDUCTIONS and axis - len(node.shape) in using.params["axes"]
            if not places and not is_reduced and not is_last:
                return None
            near += [(user, to) for to in places if to is not None]
        return near

    def _carried(self, at: int) -> list[Carry]:
        if at not in self._carries:
            node = self.nodes[at]
            self._carries[at] = [*carried(node, [self.nodes[operand].shape for operand in node.inputs])]
        return self._carries[at]

    def _turns(self, at: int, axis: int) -> bool:
        """Tell whether a node can be computed with an axis last."""
        node = self.nodes[at]
        if node.op is matmul:
            return not self._is_batch(at, at, axis)
        return node.op.elementwise or (node.op in _TURNED and any(to == axis for _, _, to in self._carried(at)))

    def _is_batch(self, product: int, at: int, axis: int) -> bool:
        """Tell whether an axis of a matrix product, or of an operand of it, counts the matrices."""
        own = sum(len(self.nodes[operand].shape) > 1 for operand in self.nodes[product].inputs) if at == product else 2
        return axis < len(self.nodes[at].shape) - own

    def _is_smaller(self, source: int, at: int) -> bool:
        sizes = self.ordering.sizes
        small, large = (prod(number(size, sizes) for size in self.nodes[each].shape) for each in (source, at))
        return small * _SMALL <= large

    # --- the result -------------------------------------------------------------------------------------------

    def copied(self, target: Rewritten) -> list[Expr]:
        """Copy all nodes, those that are turned with their axis last."""
        placed: dict[int, Expr] = {}
        for at in self.order:
            node = self.nodes[at]
            with attributed(node.origin):
                if at in self.turned or (
                    (node.op in _REDUCTIONS or node.op is EINSUM) and not self.turned.keys().isdisjoint(node.inputs)
                ):
                    made = self._made(at, placed)
                    if at in self.turned or made.op is not TRANSPOSE:
                        made.node.stand_for(node)
                else:
                    made = target.copy_on([self._as_it_was(each, placed) for each in node.inputs], node, at)
            placed[at] = made
        return [self._as_it_was(at, placed) for at in self.results]

    def _as_it_was(self, at: int, placed: Mapping[int, Expr]) -> Expr:
        """Give a node with its axes in the order that they had."""
        axis, rank = self.turned.get(at), placed[at].ndim
        if axis is None or axis == rank - 1:
            return placed[at]
        return permute(placed[at], (*range(-rank, axis - rank), -1, *range(axis - rank, -1)))

    def _with_last(self, at: int, axis: int, placed: Mapping[int, Expr]) -> Expr:
        """Give a node with an axis last."""
        rank = placed[at].ndim
        if at in self.turned or axis == rank - 1:
            return placed[at]
        return permute(placed[at], tuple(each - rank for each in _order(rank, axis)))

    def _made(self, at: int, placed: Mapping[int, Expr]) -> Expr:
        """Compute a node with its axis last, or a sum over that axis of its operand."""
        node, axis = self.nodes[at], self.turned.get(at)
        if node.op is EINSUM:
            return self._einsum(at, placed)
        if node.op in _REDUCTIONS:
            (operand,) = node.inputs
            place = self.turned.get(operand)
            place = next(place for _, place, to in self._carried(at) if to == axis) if place is None else place
            rank = len(self.nodes[operand].shape)
            axes = _moved(node.params["axes"], rank, place)
            return apply(node.op, self._with_last(operand, place, placed), **{**node.params, "axes": axes})
        if axis is None:
            raise AssertionError(f"{node.op.name} has no axis to be moved")
        if node.op is matmul:
            operands = [self._as_it_was(each, placed) for each in node.inputs]
            if axis == len(node.shape) - 1:
                return matmul(*operands)
            left, right = map(matrix_transpose, operands)
            return matmul(right, left)
        if node.op in _VIEWS:
            return self._view(at, axis, placed)
        params = dict(node.params)
        if node.op in BY_ROWS:
            params["axes"] = _moved(params["axes"], len(node.shape), axis)
        return apply(node.op, *(self._beside(each, at, axis, placed) for each in node.inputs), **params)

    def _beside(self, operand: int, at: int, axis: int, placed: Mapping[int, Expr]) -> Expr:
        """Give what broadcasts to a node with its axis last as the operand did to the node."""
        shape, rank = self.nodes[operand].shape, len(self.nodes[at].shape)
        place = axis - (rank - len(shape))
        if place >= 0 and shape[place] == self.nodes[at].shape[axis]:
            return self._with_last(operand, place, placed)
        found = self._as_it_was(operand, placed)
        if place >= 0:
            found = squeeze(found, place)
        return expand_dims(found, -1) if found.ndim else found

    def _einsum(self, at: int, placed: Mapping[int, Expr]) -> Expr:
        node = self.nodes[at]
        terms, _, result = node.params["subscripts"].partition("->")
        given = [
            _turned_letters(term, self.turned.get(operand))
            for term, operand in zip(terms.split(","), node.inputs, strict=True)
        ]
        subscripts = f"{','.join(given)}->{_turned_letters(result, self.turned.get(at))}"
        return apply(EINSUM, *(placed[operand] for operand in node.inputs), subscripts=subscripts)

    def _view(self, at: int, axis: int, placed: Mapping[int, Expr]) -> Expr:
        node = self.nodes[at]
        (operand,) = node.inputs
        ((_, place, _),) = [each for each in self._carried(at) if each[2] == axis]
        found = self._with_last(operand, place, placed)
        rank, below = len(node.shape), len(self.nodes[operand].shape)
        new, old = _order(rank, axis), _order(below, place)
        if node.op is RESHAPE:
            return reshape(found, tuple(node.shape[each] for each in new))
        axes = node.params["axes"]
        if node.op is TRANSPOSE:
            from_ = [*range(rank - len(axes)), *(each + rank for each in axes)]
            return permute(found, tuple(old.index(from_[each]) - rank for each in new))
        if node.op is EXPAND_DIMS:
            return expand_dims(found, [to for to, each in enumerate(new) if each - rank in axes])
        return squeeze(found, [to for to, each in enumerate(old) if each - below in axes])


def _order(rank: int, axis: int) -> list[int]:
    """Give all axes, one of them last."""
    return [*(each for each in range(rank) if each != axis), axis]


def _moved(axes: Sequence[int], rank: int, axis: int) -> tuple[int, ...]:
    """Give the places of some axes, counted from the right, when one axis is moved to the end."""
    return tuple(to - rank for to, each in enumerate(_order(rank, axis)) if each - rank in axes)


def _turned_letters(letters: str, axis: int | None) -> str:
    return letters if axis is None else letters[:axis] + letters[axis + 1 :] + letters[axis]

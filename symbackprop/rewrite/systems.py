"""Systems: solved where an inverse is only multiplied with, and multiplied by the inverse where it is needed anyway."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from heapq import heappop, heappush
from itertools import starmap
from operator import itemgetter
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from symbackprop import dims
from symbackprop.expr import Expr
from symbackprop.graph import Graph, Node, attributed
from symbackprop.ops import add, matmul, multiply, negative, outer, subtract
from symbackprop.ops.layout import TRANSPOSE, expand_dims, matrix_transpose, moveaxis, reshape
from symbackprop.ops.reduce import SUM
from symbackprop.ops.systems import inv, solve
from symbackprop.rewrite.engine import Rewritten, rebuild
from symbackprop.rewrite.product import Scale, is_linear, is_transpose, outer_operands, scaled

_SUMS = frozenset({add, subtract})
_SYSTEMS = frozenset({inv, solve})
_STEPS = 8  # for each node
_Term: TypeAlias = tuple[Scale, Expr]


def rebuild_opened(outputs: Sequence[Expr], target: Rewritten) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, with products over sums with inverses multiplied out.

    ``(A⁻¹ + B)C`` becomes ``A⁻¹C + BC``, in which a system is to be solved, and ``Σ xyᵀ ⊙ A⁻¹`` becomes ``xᵀA⁻¹y``,
    where products are all that is asked of ``A⁻¹``. The derivatives of ``log det A + xᵀA⁻¹x`` by what ``A`` is made of
    are such.
    """
    if not outputs:
        return []
    graph = outputs[0].graph
    nodes = graph.nodes
    results = [output.number for output in outputs]
    order = graph.reachable(results)
    if not any(nodes[number].op is inv for number in order):
        return list(outputs)
    linear = _linear(graph, order)
    forms = {number: form for number in order if (form := _form(graph, number, linear))}
    opened = linear - _read(nodes, order, results, linear, forms)
    forms = {number: form for number, form in forms.items() if form.matrix in opened}
    if not forms and all(nodes[number].op is inv or nodes[number].op is TRANSPOSE for number in opened):
        return list(outputs)
    opener = _Opener(graph, order, opened)
    placed: dict[int, Expr] = {}
    for number in order:
        node = nodes[number]
        with attributed(node.origin):
            if number in forms:
                left, matrix, right = forms[number]
                placed[number] = matmul(placed[left], opener.multiplied_out(matrix, placed[right], placed, first=True))
            elif node.op is matmul and not opened.isdisjoint(node.inputs):
                first = node.inputs[0] in opened
                matrix, other = node.inputs if first else node.inputs[::-1]
                placed[number] = opener.multiplied_out(matrix, placed[other], placed, first=first)
            else:
                placed[number] = target.copy_on([placed[operand] for operand in node.inputs], node, number)
        placed[number].node.stand_for(node)
        if opener.left < 0:
            return list(outputs)
    return [placed[number] for number in results]


class _Form(NamedTuple):
    """A vector times a matrix times a vector."""

    left: int
    matrix: int
    right: int


def _form(graph: Graph, number: int, linear: Collection[int]) -> _Form | None:
    """Read a form that is written as the sum of an outer product times a matrix of these, element by element."""
    node = graph.nodes[number]
    if node.op is not SUM or node.shape or graph.nodes[node.inputs[0]].op is not multiply:
        return None
    factors = graph.nodes[node.inputs[0]].inputs
    for matrix, other in (factors, factors[::-1]):
        pair = outer_operands(Expr(graph, other)) if matrix in linear else None
        if pair is not None and graph.nodes[matrix].shape == graph.nodes[other].shape:
            return _Form(pair[0].number, matrix, pair[1].number)
    return None


def _linear(graph: Graph, order: Sequence[int]) -> set[int]:
    """Give inverses and what is linear in them: transposes, multiples by a number, and sums with other matrices."""
    linear: set[int] = set()
    for number in order:
        node = graph.nodes[number]
        inner = [operand for operand in node.inputs if operand in linear]
        if node.op is inv or (inner and is_linear(Expr(graph, number))):
            linear.add(number)
    return linear


def _read(
    nodes: Mapping[int, Node],
    order: Sequence[int],
    results: Sequence[int],
    linear: Collection[int],
    forms: Mapping[int, _Form] = MappingProxyType({}),
) -> set[int]:
    """Give what is used otherwise than in linear forms, and as one factor of a product of matrices and vectors."""
    read = set(results)
    summed: set[int] = set()
    for number in reversed(order):
        node = nodes[number]
        if number in forms:
            summed.update(node.inputs)
        elif (
            (number in summed and number not in read)
            or (number in linear and number not in read and node.op is not inv)
            or (node.op is matmul and any(operand not in linear for operand in node.inputs))
        ):
            read.update(operand for operand in node.inputs if operand not in linear)
        else:
            read.update(node.inputs)
    return read


class _Opener:
    """Multiplies sums with inverses out, as long as that takes a number of steps that is linear in the nodes."""

    def __init__(self, graph: Graph, order: Sequence[int], opened: Collection[int]) -> None:
        self.graph = graph
        self.opened = opened
        self.left = _STEPS * len(order)

    def multiplied_out(self, root: int, other: Expr, placed: Mapping[int, Expr], *, first: bool) -> Expr:
        """Multiply with each inverse in a linear form, with each outer product, and with the sum of all others."""
        products: list[_Term] = []
        others: list[_Term] = []
        for (number, turned), scale in sorted(self._scales(root, placed).items(), key=itemgetter(0)):
            factor = placed[number]
            pair = outer_operands(factor)
            if turned:
                factor = matrix_transpose(factor) if pair is None else outer(*pair[::-1])
            if number in self.opened or pair is not None:
                products.append((scale, _product(factor, other, first=first)))
            else:
                others.append((scale, factor))
        if others:
            products.append((1, _product(_total(others), other, first=first)))
        return _total(products)

    def _scales(self, root: int, placed: Mapping[int, Expr]) -> dict[tuple[int, bool], Scale]:
        """Give the terms of a linear form, and whether they are transposed, with what they are multiplied with."""
        found: dict[tuple[int, bool], Scale] = {}
        waiting: dict[tuple[int, bool], Scale] = {(root, False): 1}
        numbers = [-root]  # the largest first: it has got all that is added to its scale
        while numbers:
            number = -heappop(numbers)
            expr = Expr(self.graph, number)
            for turned in (False, True):
                scale = waiting.pop((number, turned), None)
                if scale is None:
                    continue
                self.left -= 1
                below = self._below(expr, scale, placed)
                if not below:
                    found[number, turned] = scale
                for operand, part in below:
                    key = (operand, turned != is_transpose(expr))
                    waiting[key] = waiting[key] + part if key in waiting else part
                    heappush(numbers, -operand)
        return found

    def _below(self, expr: Expr, scale: Scale, placed: Mapping[int, Expr]) -> Sequence[tuple[int, Scale]]:
        """Give the operands of which this is a sum or a multiple, with their scales; none where it is a term."""
        if not expr.shape or not is_linear(expr) or (expr.op in _SUMS and expr.number not in self.opened):
            return ()
        first, *others = expr.node.inputs
        if expr.op in _SUMS:
            return ((first, scale), (others[0], scale if expr.op is add else -scale))
        if not others:
            return ((first, -scale if expr.op is negative else scale),)
        array, by = (first, others[0]) if expr.inputs[0].shape else (others[0], first)
        return ((array, scale * placed[by] if expr.op is multiply else scale / placed[by]),)


def _product(factor: Expr, other: Expr, *, first: bool) -> Expr:
    pair = outer_operands(factor)
    if pair is None:
        return matmul(factor, other) if first else matmul(other, factor)
    column, row = (pair[0], matmul(pair[1], other)) if first else (matmul(other, pair[0]), pair[1])
    return multiply(expand_dims(column, -1) if column.ndim and row.ndim else column, row)


def _total(terms: Sequence[_Term]) -> Expr:
    """Add terms up that are scaled."""
    return reduce(add, starmap(scaled, terms))


def rebuild_solved(outputs: Sequence[Expr], target: Rewritten) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, with the cheaper of systems and inverses.

    ``A⁻¹b`` becomes ``solve(A, b)``, which is faster and leaves smaller residuals. But where ``A⁻¹`` itself is needed,
    as in the derivative of ``log det A``, another factorisation costs more than a product with it, and what comes out
    is as near to the truth (A. Druinsky and S. Toledo, *How accurate is inv(A)*b?*, 2012).
    """
    if not outputs:
        return []
    graph = outputs[0].graph
    nodes = graph.nodes
    results = [output.number for output in outputs]
    order = graph.reachable(results)
    if not any(nodes[number].op in _SYSTEMS for number in order):
        return rebuild(outputs, target, order)
    alone = {number for number in order if nodes[number].op is inv}
    turned = {number for number in order if is_transpose(Expr(graph, number)) and nodes[number].inputs[0] in alone}
    needed = {nodes[number].inputs[0] for number in alone & _read(nodes, order, results, alone | turned)}
    placed: dict[int, Expr] = {}
    inverted: set[int] = set()
    for number in order:
        node = nodes[number]
        operands = [placed[operand] for operand in node.inputs]
        with attributed(node.origin):
            better = _better(node, operands, inverted)
        if better is None:
            better = target.copy_on(operands, node, number)
        better.node.stand_for(node)
        placed[number] = better
        if number in needed:
            inverted.add(better.number)
    return [placed[number] for number in results]


def _better(node: Node, operands: Sequence[Expr], inverted: Collection[int]) -> Expr | None:
    """Solve instead of inverting, or multiply with an inverse that is there; None if neither is to be done."""
    if node.op is not matmul and node.op is not solve:
        return None
    left, right = operands
    if node.op is matmul:
        return _solved(left, right, inverted)
    if left.number in inverted:
        return matmul(inv(left), right)
    if is_transpose(left) and left.inputs[0].number in inverted:
        return matmul(matrix_transpose(inv(left.inputs[0])), right)
    return _solution(left, right)


def _solved(left: Expr, right: Expr, inverted: Collection[int]) -> Expr | None:
    """Solve a system where the product with an inverse is asked for."""
    matrix = _under_inverse(left, inverted)
    if matrix is not None:
        return _solution(matrix, right)
    matrix = _under_inverse(right, inverted)
    if matrix is None:
        return None
    turned = matrix_transpose(matrix)
    return solve(turned, left) if left.ndim == 1 else matrix_transpose(_solution(turned, matrix_transpose(left)))


def _solution(matrix: Expr, right: Expr) -> Expr:
    """Solve systems, for a stack of right sides those of one matrix at once: NumPy would factor it for each."""
    if matrix.ndim > 2 or right.ndim <= 2:
        return solve(matrix, right)
    rows = moveaxis(right, -2, 0)
    columns = reshape(rows, (rows.shape[0], dims.product(rows.shape[1:])))
    return moveaxis(reshape(solve(matrix, columns), rows.shape), 0, -2)


def _under_inverse(expr: Expr, inverted: Collection[int]) -> Expr | None:
    """Give the matrix of which this is the inverse, unless that is needed."""
    turned = is_transpose(expr)
    inverse = expr.inputs[0] if turned else expr
    if inverse.op is not inv or inverse.inputs[0].number in inverted:
        return None
    return matrix_transpose(inverse.inputs[0]) if turned else inverse.inputs[0]

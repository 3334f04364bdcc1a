"""Sums of few outer products as the vectors they are made of, where they are multiplied with matrices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import NamedTuple

from symbackprop.expr import Expr
from symbackprop.graph import Graph, Node, attributed
from symbackprop.ops import add, divide, matmul, multiply, negative, outer
from symbackprop.ops.systems import solve
from symbackprop.rewrite.engine import Rewritten
from symbackprop.rewrite.order import number as number_of
from symbackprop.rewrite.product import Scale, is_linear, is_transpose, outer_operands, scaled

_MOST = 8  # outer products in a sum: what is made of one grows with them


class _Part(NamedTuple):
    """One outer product of a sum, in the new graph."""

    scale: Scale
    column: Expr
    row: Expr

    def product(self) -> Expr:
        return scaled(self.scale, outer(self.column, self.row))


def rebuild_by_vectors(outputs: Sequence[Expr], target: Rewritten) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, with sums of outer products multiplied out.

    ``A(uvᵀ + xyᵀ)`` becomes ``(Au)vᵀ + (Ax)yᵀ``: products with vectors take n² operations where one of matrices takes
    n³. The derivatives of quadratic forms by what their matrices are made of are such.
    """
    if not outputs:
        return []
    graph = outputs[0].graph
    results = [output.number for output in outputs]
    order = graph.reachable(results)
    ranks, chosen = _ranks(graph, order, results)
    if not chosen:
        return list(outputs)
    sums = _Sums(graph)
    placed = sums.placed
    for number in order:
        node = graph.nodes[number]
        with attributed(node.origin):
            if number in ranks:
                sums.parts[number] = sums.read(number, node)
            if number in chosen:
                placed[number] = sums.product(number, node)
                placed[number].node.stand_for(node)
            else:
                placed[number] = target.copy_on([placed[operand] for operand in node.inputs], node, number)
    return [placed[number] for number in results]


def _ranks(graph: Graph, order: Sequence[int], results: Sequence[int]) -> tuple[dict[int, int], set[int]]:
    """Give how many outer products a matrix is the sum of, and the products with such that are to be multiplied out."""
    nodes = graph.nodes
    uses = Counter(results)
    for number in order:
        uses.update(nodes[number].inputs)
    ranks: dict[int, int] = {}
    chosen: set[int] = set()
    for number in order:
        node = nodes[number]
        if node.dtype.kind != "f" or any(nodes[operand].dtype != node.dtype for operand in node.inputs):
            continue
        if node.op is matmul or node.op is solve:
            low = _low_operand(nodes, node, ranks)
            if low is not None and _is_worth_it(nodes, node, ranks[low]):
                if ranks[low] > 1 or uses[low] > 1:  # others are put in order with the rest of their product
                    chosen.add(number)
                if len(node.shape) == 2:
                    ranks[number] = ranks[low]
            continue
        rank = _rank_of_sum(Expr(graph, number), ranks)
        if 0 < rank <= _MOST:
            ranks[number] = rank
    return ranks, chosen


def _rank_of_sum(expr: Expr, ranks: Mapping[int, int]) -> int:
    """Give the number of outer products in a sum, in its transpose, in its product with a scalar; 0 if it is none."""
    if expr.ndim != 2:
        return 0
    if expr.op is multiply and outer_operands(expr) is not None:
        return 1
    matrices = [operand for operand in expr.node.inputs if expr.graph.nodes[operand].shape]
    is_sum = bool(matrices) and is_linear(expr) and all(operand in ranks for operand in matrices)
    return sum(ranks[operand] for operand in matrices) if is_sum else 0


def _low_operand(nodes: Mapping[int, Node], node: Node, ranks: Mapping[int, int]) -> int | None:
    """Give the operand that is a sum of outer products: the second if both are, and not the matrix of a system."""
    if any(len(nodes[operand].shape) not in {1, 2} for operand in node.inputs):
        return None
    operands = node.inputs[::-1] if node.op is matmul else node.inputs[1:]
    return next((operand for operand in operands if operand in ranks), None)


def _is_worth_it(nodes: Mapping[int, Node], node: Node, rank: int) -> bool:
    """Tell whether products with vectors take fewer operations than the one of matrices."""
    shapes = [nodes[operand].shape for operand in node.inputs]
    inner = number_of(shapes[0][-1], {})
    sizes = [number_of(size, {}) for size in node.shape] if len(node.shape) == 2 else [inner, inner]
    return rank * (sum(sizes) + inner) < min(sizes[0] * sizes[1], *(size * inner for size in sizes))


class _Sums:
    """Sums of outer products on their way into another graph.

    Attributes:
        placed: what has been copied, by number.
        parts: the outer products of the sums among them.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.placed: dict[int, Expr] = {}
        self.parts: dict[int, list[_Part]] = {}

    def read(self, number: int, node: Node) -> list[_Part]:
        """Give the parts of an outer product, of what is linear in such, or of a product with one."""
        expr = Expr(self.graph, number)
        pair = outer_operands(expr) if node.op is multiply else None
        if pair is not None:
            return [_Part(1, *(self.placed[each.number] for each in pair))]
        if node.op is matmul or node.op is solve:
            return self._multiplied(node)
        first, *others = [self.parts[operand] for operand in node.inputs if operand in self.parts]
        if node.op is negative:
            return [part._replace(scale=-part.scale) for part in first]
        if is_transpose(expr):
            return [_Part(scale, row, column) for scale, column, row in first]
        if node.op is multiply or node.op is divide:
            (by,) = [self.placed[operand] for operand in node.inputs if operand not in self.parts]
            scales = [part.scale * by if node.op is multiply else part.scale / by for part in first]
            return [part._replace(scale=scale) for part, scale in zip(first, scales, strict=True)]
        (second,) = others
        return [*first, *(second if node.op is add else [part._replace(scale=-part.scale) for part in second])]

    def product(self, number: int, node: Node) -> Expr:
        """Multiply with the vectors of a sum."""
        if number in self.parts:
            return reduce(add, [part.product() for part in self.parts[number]])
        left, right = node.inputs
        if left in self.parts:
            return self._with_vector(left, self.placed[right], first=True)
        return self._with_vector(right, self.placed[left], first=False)

    def _multiplied(self, node: Node) -> list[_Part]:
        left, right = node.inputs
        if right not in self.parts:
            return [_Part(scale, column, matmul(row, self.placed[right])) for scale, column, row in self.parts[left]]
        matrix, parts = self.placed[left], self.parts[right]
        if node.op is solve:
            return [part._replace(column=solve(matrix, part.column)) for part in parts]
        return [part._replace(column=self._with_vector(left, part.column, first=True)) for part in parts]

    def _with_vector(self, matrix: int, vector: Expr, *, first: bool) -> Expr:
        """Multiply a matrix with a vector, from the right if the matrix stands first."""
        if matrix not in self.parts:
            return matmul(self.placed[matrix], vector)
        products = [
            scaled(scale, matmul(row, vector) * column if first else matmul(vector, column) * row)
            for scale, column, row in self.parts[matrix]
        ]
        return reduce(add, products)

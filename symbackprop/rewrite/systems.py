"""Systems: solved where an inverse is only multiplied with, and multiplied by the inverse where it is needed anyway."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from symbackprop.expr import Expr
from symbackprop.graph import Node, attributed
from symbackprop.ops import matmul
from symbackprop.ops.layout import TRANSPOSE, matrix_transpose
from symbackprop.ops.systems import inv, solve
from symbackprop.rewrite.engine import Rewritten, rebuild
from symbackprop.rewrite.product import is_transpose


def rebuild_solved(outputs: Sequence[Expr], target: Rewritten) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, with the cheaper of systems and inverses.

    ``A⁻¹b`` becomes ``solve(A, b)``, which is faster and leaves smaller residuals. But where ``A⁻¹`` itself is needed,
    as in the derivative of ``log det A``, another factorisation costs more than a product with it, and what comes out
    is as near to the truth (A. Druinsky and S. Toledo, *How accurate is inv(A)*b?*, 2012).
    """
    if not outputs:
        return []
    nodes = outputs[0].graph.nodes
    results = [output.number for output in outputs]
    order = outputs[0].graph.reachable(results)
    if not any(nodes[number].op is inv for number in order):
        return rebuild(outputs, target, order)
    needed = _needed(nodes, order, results)
    placed: dict[int, Expr] = {}
    inverted: set[int] = set()
    for number in order:
        node = nodes[number]
        operands = [placed[operand] for operand in node.inputs]
        with attributed(node.origin):
            better = _better(node, operands, inverted)
        if better is None:
            better = target.copy_on(operands, node, number)
        placed[number] = better
        if number in needed:
            inverted.add(better.number)
    return [placed[number] for number in results]


def _needed(nodes: Mapping[int, Node], order: Sequence[int], results: Sequence[int]) -> set[int]:
    """Give the matrices whose inverses are used otherwise than as one factor of a matrix product."""
    of = {number: nodes[number].inputs[0] for number in order if nodes[number].op is inv}
    for number in order:
        node = nodes[number]
        if node.op is TRANSPOSE and node.inputs[0] in of and node.params["axes"] == (-1, -2):
            of[number] = of[node.inputs[0]]
    needed = {of[number] for number in results if number in of}
    for number in order:
        operands = nodes[number].inputs
        if number not in of and (nodes[number].op is not matmul or of.keys() >= {*operands}):
            needed.update(of[operand] for operand in operands if operand in of)
    return needed


def _better(node: Node, operands: Sequence[Expr], inverted: Collection[int]) -> Expr | None:
    """Solve instead of inverting, or multiply with an inverse that is there; None if neither is to be done."""
    if node.op is matmul:
        left, right = operands
        return _solved(left, right, inverted)
    if node.op is not solve:
        return None
    matrix, right = operands
    if matrix.number in inverted:
        return matmul(inv(matrix), right)
    if is_transpose(matrix) and matrix.inputs[0].number in inverted:
        return matmul(matrix_transpose(inv(matrix.inputs[0])), right)
    return None


def _solved(left: Expr, right: Expr, inverted: Collection[int]) -> Expr | None:
    """Solve a system where the product with an inverse is asked for."""
    matrix = _under_inverse(left, inverted)
    if matrix is not None:
        return solve(matrix, right)
    matrix = _under_inverse(right, inverted) if left.ndim <= 2 and right.ndim == 2 else None
    if matrix is None:
        return None
    turned = matrix_transpose(matrix)
    return solve(turned, left) if left.ndim == 1 else matrix_transpose(solve(turned, matrix_transpose(left)))


def _under_inverse(expr: Expr, inverted: Collection[int]) -> Expr | None:
    """Give the matrix of which this is the inverse, unless that is needed."""
    turned = is_transpose(expr)
    inverse = expr.inputs[0] if turned else expr
    if inverse.op is not inv or inverse.inputs[0].number in inverted:
        return None
    return matrix_transpose(inverse.inputs[0]) if turned else inverse.inputs[0]

"""Factorisations: a definite matrix is factored once for all that is asked of it, and triangular systems not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from symbackprop.expr import Expr
from symbackprop.graph import Node, attributed
from symbackprop.op import Op
from symbackprop.ops import diag, diagonal, eye, log, matmul, prod, square
from symbackprop.ops import sum as sum_
from symbackprop.ops.factor import cholesky
from symbackprop.ops.layout import matrix_transpose
from symbackprop.ops.systems import LOGABSDET, LOGDET, det, inv, solve, triangular
from symbackprop.rewrite.engine import Rewritten, rebuild
from symbackprop.rewrite.facts import known


def rebuild_with_shared_factors(outputs: Sequence[Expr], target: Rewritten) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, with fewer factorisations.

    Where more than one thing is asked of a positive definite matrix, such as a determinant, solutions and the inverse,
    one Cholesky factor L gives them all: ``log det A = 2 Σ log Lᵢᵢ``, ``A⁻¹b = L⁻ᵀ(L⁻¹b)``, ``A⁻¹ = (L⁻¹)ᵀL⁻¹``. Of
    other matrices NumPy gives no factors that could be shared: `slogdet`, `solve` and `inv` make an LU decomposition
    each. Systems whose matrices are known to be triangular are solved by substitution.
    """
    if not outputs:
        return []
    nodes = outputs[0].graph.nodes
    results = [output.number for output in outputs]
    order = outputs[0].graph.reachable(results)
    if not any(nodes[number].op in _ASKED for number in order):
        return rebuild(outputs, target, order)
    shared = _shared(outputs[0], order)
    placed: dict[int, Expr] = {}
    for number in order:
        node = nodes[number]
        operands = [placed[operand] for operand in node.inputs]
        with attributed(node.origin):
            better = _better(node, operands, asked=bool(node.inputs) and node.inputs[0] in shared)
        if better is None:
            copy = node.copied(tuple([operand.number for operand in operands]))
            better = Expr(target, target.copy_in(copy, number, settled=False))
        placed[number] = better
    return [placed[number] for number in results]


def _shared(one: Expr, order: Sequence[int]) -> set[int]:
    """Give the matrices of which one factor is to serve all."""
    nodes = one.graph.nodes
    asked: dict[int, set[Op | int]] = {}
    for number in order:
        node = nodes[number]
        if node.op in _ASKED:
            asked.setdefault(node.inputs[0], set()).add(number if node.op is solve else node.op)
    return {number for number, by in asked.items() if len(by) > 1 and _is_definite(Expr(one.graph, number), by)}


def _is_definite(matrix: Expr, asked: set[Op | int]) -> bool:
    facts = known(matrix)
    return "positive_definite" in facts or ("symmetric" in facts and cholesky in asked)


def _better(node: Node, operands: Sequence[Expr], *, asked: bool) -> Expr | None:
    """Compute by the Cholesky factor, or by substitution; None if neither is to be done."""
    if asked and node.op in _BY_FACTOR:
        return _BY_FACTOR[node.op](cholesky(operands[0]), operands)
    if node.op is not solve:
        return None
    matrix, side = operands
    triangles = known(matrix) & {"lower", "upper"}
    return triangular(matrix, side, lower="lower" in triangles, zeros=True) if triangles else None


def _diagonal(factor: Expr) -> Expr:
    return diag(factor) if factor.ndim == 2 else diagonal(factor, 0, -2, -1)


def _log_of_det(factor: Expr, _: Sequence[Expr]) -> Expr:
    return 2 * sum_(log(_diagonal(factor)), axis=-1)


def _solution(factor: Expr, operands: Sequence[Expr]) -> Expr:
    half = triangular(factor, operands[1], lower=True, zeros=True)
    return triangular(matrix_transpose(factor), half, lower=False, zeros=True)


def _inverse(factor: Expr, _: Sequence[Expr]) -> Expr:
    identity = eye(factor.shape[-1], dtype=factor.dtype, graph=factor.graph)
    half = triangular(factor, identity, lower=True, zeros=True)
    return matmul(matrix_transpose(half), half)


_BY_FACTOR: Mapping[Op, Callable[[Expr, Sequence[Expr]], Expr]] = {
    LOGABSDET: _log_of_det,
    LOGDET: _log_of_det,
    det: lambda factor, _: square(prod(_diagonal(factor), axis=-1)),
    inv: _inverse,
    solve: _solution,
}
_ASKED = frozenset({cholesky, *_BY_FACTOR})

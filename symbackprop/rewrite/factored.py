"""Factorisations: a definite matrix is factored once for all that is asked of it, and triangular systems not at all."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from itertools import accumulate

from symbackprop.expr import Expr
from symbackprop.graph import Node, attributed
from symbackprop.op import Dtype, Op
from symbackprop.ops import concatenate, diag, diagonal, expand_dims, eye, log, matmul, prod, square
from symbackprop.ops import sum as sum_
from symbackprop.ops.determinants import LOGABSDET, LOGDET, det
from symbackprop.ops.factor import cholesky
from symbackprop.ops.layout import matrix_transpose
from symbackprop.ops.systems import inv, solve, triangular
from symbackprop.rewrite.engine import Rewritten, rebuild
from symbackprop.rewrite.facts import known


def rebuild_with_shared_factors(outputs: Sequence[Expr], target: Rewritten) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, with fewer factorisations.

    Where more than one thing is asked of a positive definite matrix, such as a determinant, solutions and the inverse,
    one Cholesky factor L gives them all: ``log det A = 2 Σ log Lᵢᵢ``, ``A⁻¹b = L⁻ᵀ(L⁻¹b)``, ``A⁻¹ = (L⁻¹)ᵀL⁻¹``. Of
    other matrices NumPy gives no factors that could be shared, `slogdet`, `solve` and `inv` make an LU decomposition
    each; but right sides that do not wait for one another are solved as columns of one. Systems whose matrices are
    known to be triangular are solved by substitution.
    """
    if not outputs:
        return []
    nodes = outputs[0].graph.nodes
    results = [output.number for output in outputs]
    order = outputs[0].graph.reachable(results)
    if not any(nodes[number].op in _ASKED for number in order):
        return rebuild(outputs, target, order)
    shared = _shared(outputs[0], order)
    order, together = max(
        ((each, _together(outputs[0], each, shared)) for each in (order, _by_levels(nodes, order))),
        key=lambda found: sum(len(systems) - 1 for systems in found[1].values()),
    )
    placed: dict[int, Expr] = {}
    for number in order:
        if number in placed:
            continue
        node = nodes[number]
        if number in together:
            systems = together[number]
            with attributed(node.origin):
                matrix, sides = placed[node.inputs[0]], [placed[nodes[system].inputs[1]] for system in systems]
                placed.update(zip(systems, _solutions(matrix, sides), strict=True))
            continue
        operands = [placed[operand] for operand in node.inputs]
        with attributed(node.origin):
            better = _better(node, operands, asked=bool(node.inputs) and node.inputs[0] in shared)
        if better is None:
            better = target.copy_on(operands, node, number)
        better.node.stand_for(node)
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


def _by_levels(nodes: Mapping[int, Node], order: Sequence[int]) -> list[int]:
    """Give an order in which what does not wait for a system is computed before it."""
    levels: dict[int, int] = {}
    for number in order:
        node = nodes[number]
        levels[number] = max((levels[operand] for operand in node.inputs), default=0) + (node.op is solve)
    return sorted(order, key=lambda number: (levels[number], nodes[number].op is not solve, number))


def _together(one: Expr, order: Sequence[int], shared: Container[int]) -> dict[int, list[int]]:
    """Give systems with one matrix whose right sides are all there when the first is solved; vectors first."""
    nodes = one.graph.nodes
    places = {number: place for place, number in enumerate(order)}
    found: dict[tuple[int, Dtype], list[list[int]]] = {}
    for number in order:
        node = nodes[number]
        if node.op is not solve or node.inputs[0] in shared or len(node.shape) > 2:
            continue
        matrix, side = node.inputs
        if len(nodes[matrix].shape) == 2 and nodes[side].dtype == nodes[matrix].dtype == node.dtype:
            groups = found.setdefault((matrix, node.dtype), [])
            if groups and places[side] < places[groups[-1][0]]:
                groups[-1].append(number)
            else:
                groups.append([number])
    return {
        systems[0]: sorted(systems, key=lambda number: len(nodes[number].shape))
        for (matrix, _), groups in found.items()
        if not known(Expr(one.graph, matrix)) & {"lower", "upper"}
        for systems in groups
        if len(systems) > 1
    }


def _solutions(matrix: Expr, sides: Sequence[Expr]) -> list[Expr]:
    """Solve several systems with one matrix as one."""
    columns = [side if side.ndim == 2 else expand_dims(side, 1) for side in sides]
    whole = solve(matrix, concatenate(columns, axis=1))
    ends = list(accumulate((column.shape[1] for column in columns), initial=0))
    return [
        whole[:, start:end] if side.ndim == 2 else whole[:, start]
        for side, start, end in zip(sides, ends, ends[1:], strict=False)
    ]


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

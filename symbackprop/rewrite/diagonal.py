"""Diagonals and traces of what is made element by element: only the diagonals of the operands are needed.

``tr(sI − 2xxᵀ) = Σᵢ (s − 2xᵢ²)``: what is left of an identity, of an outer product and of a diagonal matrix is a
vector. For arrays of more axes the diagonal is where the first half of the indices is the second half.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from symbackprop import dims
from symbackprop.expr import Expr
from symbackprop.op import apply, literal
from symbackprop.ops import (
    add,
    broadcast_to,
    diag,
    einsum,
    expand_dims,
    eye,
    outer,
    reshape,
    sin,
    squeeze,
    subtract,
    symbol,
    trace,
    transpose,
)
from symbackprop.ops import sum as sum_
from symbackprop.ops.contract import DIAG, DIAGONAL, EINSUM, EYE, TRACE
from symbackprop.ops.elementwise import astype
from symbackprop.ops.layout import BROADCAST_TO, RESHAPE
from symbackprop.ops.reduce import SUM
from symbackprop.rewrite.engine import Rule, Strength

_MOST = 24  # operations that are looked through for one diagonal


def is_identity(expr: Expr) -> bool:
    """Tell whether an array is 1 where the first half of its indices is the second half, else 0.

    >>> import symbackprop as sb
    >>> is_identity(sb.eye("N")), is_identity(sb.reshape(sb.eye("N*D"), ("N", "D", "N", "D")))
    (True, True)
    >>> is_identity(sb.eye(2, 3))
    False
    """
    rank = expr.ndim // 2
    if expr.op is EINSUM:
        left, _, out = expr.params["subscripts"].partition("->")
        wanted = [out[axis] + out[axis + rank] for axis in range(rank)]
        return sorted(left.split(",")) == sorted(wanted) and all(each.op is EYE for each in expr.inputs)
    base = expr.inputs[0] if expr.op is RESHAPE else expr
    return (
        base.op is EYE
        and expr.shape[:rank] == expr.shape[rank:]
        and base.shape == (dims.product(expr.shape[:rank]),) * 2
    )


class _Looked:
    """What is looked through on the way to one diagonal.

    Attributes:
        rank: how many axes the diagonal has.
        left: how many operations may still be looked through.
    """

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.left = _MOST

    def diagonal(self, expr: Expr) -> Expr | None:
        """Give the diagonal of what broadcasts to twice as many axes, as something that broadcasts to the diagonal."""
        missing = 2 * self.rank - expr.ndim
        shape = (1,) * missing + expr.shape
        if all(1 in pair for pair in zip(shape[: self.rank], shape[self.rank :], strict=True)):
            return self._spread(expr, shape, missing)
        if expr.op is BROADCAST_TO:
            return self.diagonal(expr.inputs[0])
        if not missing and is_identity(expr):
            return literal(1, expr.dtype, graph=expr.graph)
        if expr.op is DIAG and self.rank == 1:
            return expr.inputs[0]
        if not expr.op.elementwise or self.left <= 0:
            return None
        self.left -= 1
        return self._elementwise(expr)

    def _elementwise(self, expr: Expr) -> Expr | None:
        found = [self.diagonal(operand) for operand in expr.inputs]
        unknown = [at for at, part in enumerate(found) if part is None]
        if expr.op in {add, subtract} and len(unknown) == 1:
            (at,) = unknown
            if expr.inputs[at].shape == expr.shape and expr.ndim == 2 * self.rank:
                found[at] = diagonal_of(expr.inputs[at])
        parts = [part for part in found if part is not None]
        return apply(expr.op, *parts, **expr.params) if len(parts) == len(found) else None

    def _spread(self, expr: Expr, shape: tuple[Any, ...], missing: int) -> Expr:
        """Drop one of each pair of axes: one that has size 1."""
        kept = [
            axis if shape[axis + self.rank] == 1 and axis >= missing else axis + self.rank for axis in range(self.rank)
        ]
        there = [axis - missing for axis in kept if axis >= missing]
        dropped = squeeze(expr, [axis for axis in range(expr.ndim) if axis not in there])
        order = sorted(there)
        return transpose(dropped, [order.index(axis) for axis in there])


def diagonal_of(expr: Expr) -> Expr:
    """Give the elements whose first half of the indices is the second half.

    >>> import symbackprop as sb
    >>> diagonal_of(sb.symbol("H", ("N", "D", "N", "D"))).shape
    (N, D)
    """
    if expr.ndim == 2:
        return apply(DIAGONAL, expr)
    labels = _labels(expr.ndim // 2)
    return apply(EINSUM, expr, subscripts=f"{labels}{labels}->{labels}")


def _labels(rank: int) -> str:
    return "abcdefghijklmnopqrstuvwxyz"[:rank]


def _rewritten(expr: Expr) -> Expr | None:
    matrix = expr.inputs[0]
    rank = matrix.ndim // 2
    if len(expr.inputs) > 1 or matrix.ndim != 2 * rank or matrix.shape[:rank] != matrix.shape[rank:]:
        return None
    if expr.op is EINSUM:
        term, _, out = expr.params["subscripts"].partition("->")
        if term[:rank] != term[rank:] or len(set(term)) != rank or out not in {"", term[:rank]}:
            return None
    elif rank != 1:
        return None
    found = _Looked(rank).diagonal(matrix)
    if found is None:
        return None
    whole = broadcast_to(found, matrix.shape[:rank])
    return whole if expr.ndim else astype(sum_(whole), expr.dtype)


def _rows_of_identity(expr: Expr) -> Expr | None:
    (identity,) = expr.inputs
    rank, axes = identity.ndim // 2, expr.params["axes"]
    halves = (tuple(range(-2 * rank, -rank)), tuple(range(-rank, 0)))
    if axes not in halves or not is_identity(identity):
        return None
    return broadcast_to(literal(1, expr.dtype, graph=expr.graph), expr.shape)


def _examples() -> Sequence[Expr]:
    x, y, s = symbol("x", "N"), symbol("y", "N"), symbol("s")
    A, X = symbol("A", ("N", "N")), symbol("X", ("N", "D"))
    identity = reshape(eye(X.size), X.shape * 2)
    return [
        diag(diag(x)),
        diag(eye("N")),
        diag(s * eye("N") - 2 * outer(x, y)),
        diag(sin(expand_dims(x, 1)) * y + A),
        einsum("ijij->ij", identity * X + expand_dims(X, (1, 2)) * y[0]),
    ]


def _example_traces() -> Sequence[Expr]:
    x, s = symbol("x", "N"), symbol("s")
    X = symbol("X", ("N", "D"))
    identity = einsum("ac,bd->abcd", eye("N"), eye("D"))
    return [
        trace(diag(x)),
        trace(s * eye("N") - 2 * outer(x, x)),
        trace(symbol("A", ("N", "N")) + s * eye("N")),
        einsum("ijij->", identity * sin(X)),
    ]


def _fits(below: tuple[Any, ...]) -> bool:
    return below[0].elementwise or below[0] in {EYE, DIAG, BROADCAST_TO, RESHAPE, EINSUM}


DIAGONALS: tuple[Rule, ...] = (
    Rule(
        name="rows_of_identity",
        equation="sum(I, axis=1) = 1, sum(I, axis=0) = 1",
        strength=Strength.EXACT,
        roots=(SUM,),
        rewrite=_rows_of_identity,
        examples=lambda: [
            sum_(eye("N"), axis=1),
            sum_(eye("N"), axis=0, keepdims=True),
            sum_(reshape(eye("N*D"), ("N", "D", "N", "D")), axis=(0, 1)),
            sum_(einsum("ac,bd->abcd", eye("N"), eye("D")), axis=(2, 3)),
        ],
        fits=lambda below: below[0] in {EYE, RESHAPE, EINSUM},
    ),
    Rule(
        name="diagonal_of_elements",
        equation="diag(f(A, B)) = f(diag(A), diag(B)), diag(I) = 1, diag(diag(x)) = x, diag(xyᵀ) = x ⊙ y",
        strength=Strength.EXACT,
        roots=(DIAGONAL, EINSUM),
        rewrite=lambda expr: _rewritten(expr) if expr.ndim else None,
        examples=_examples,
        fits=_fits,
    ),
    Rule(
        name="trace_of_elements",
        equation="tr(f(A, B)) = sum(f(diag(A), diag(B))), tr(I) = N, tr(diag(x)) = sum(x)",
        strength=Strength.REAL,
        roots=(TRACE, EINSUM),
        rewrite=lambda expr: None if expr.ndim else _rewritten(expr),
        examples=_example_traces,
        fits=_fits,
    ),
)

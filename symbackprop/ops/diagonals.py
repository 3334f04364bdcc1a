"""Matrices that are constant along their diagonals."""

from __future__ import annotations

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape
from symbackprop.errors import ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import Case, Form, Op, apply
from symbackprop.ops.elementwise import astype
from symbackprop.ops.index import UNSLICE, Run
from symbackprop.ops.layout import broadcast_to, matrix_transpose
from symbackprop.ops.leaf import as_expr
from symbackprop.ops.reduce import accumulated

__all__ = ["toeplitz"]

_TOEPLITZ = '''
def toeplitz(c, r):
    """The matrix with c as its first column and r as its first row, constant along diagonals; r[0] is not read."""
    lead = np.broadcast_shapes(c.shape[:-1], r.shape[:-1])
    if 0 in (c.shape[-1], r.shape[-1]):
        return np.zeros((*lead, c.shape[-1], r.shape[-1]), np.result_type(c, r))
    parts = [np.broadcast_to(part, (*lead, part.shape[-1])) for part in (r[..., :0:-1], c)]
    windows = np.lib.stride_tricks.sliding_window_view(np.concatenate(parts, axis=-1), r.shape[-1], axis=-1)
    return windows[..., ::-1].copy()
'''
_DIAGONAL_SUMS = '''
def diagonal_sums(x):
    """The sums along the diagonals, from the upper right to the lower left: of the rows, each shifted by one more."""
    (m, n), lead = x.shape[-2:], x.shape[:-2]
    rows = np.concatenate([x[..., ::-1], np.zeros((*lead, m, m), x.dtype)], axis=-1)
    shifted = rows.reshape(*lead, m * (m + n))[..., : m * (m + n - 1)].reshape(*lead, m, m + n - 1)
    return shifted.sum(axis=-2)
'''
_PORTABLE_TOEPLITZ = '''
def toeplitz(c, r):
    """The matrix with c as its first column and r as its first row, constant along diagonals; r[0] is not read."""
    m, n = c.shape[-1], r.shape[-1]
    lead = tuple((c[..., :1] + r[..., :1]).shape[:-1])
    parts = [np.broadcast_to(part, (*lead, part.shape[-1])) for part in (np.flip(r[..., 1:], axis=-1), c)]
    at = np.arange(m, device=c.device)[:, None] - np.arange(n, device=c.device) + (n - 1)
    return np.take(np.concatenate(parts, axis=-1), np.reshape(at, (m * n,)), axis=-1).reshape((*lead, m, n))
'''
_PORTABLE_DIAGONAL_SUMS = '''
def diagonal_sums(x):
    """The sums along the diagonals, from the upper right to the lower left: of the rows, each shifted by one more."""
    m, n, lead = x.shape[-2], x.shape[-1], tuple(x.shape[:-2])
    rows = [np.flip(x, axis=-1), np.zeros((*lead, m, m), dtype=x.dtype, device=x.device)]
    flat = np.concatenate(rows, axis=-1).reshape((*lead, m * (m + n)))
    return flat[..., : m * (m + n - 1)].reshape((*lead, m, m + n - 1)).sum(axis=-2)
'''


def _toeplitz_shape(c: Shape, r: Shape) -> Shape:
    if not c or not r:
        msg = "needs two vectors"
        raise ShapeError(msg)
    return (*dims.broadcast(c[:-1], r[:-1]), c[-1], r[-1])


def _first_row_vjp(g: Expr, _y: Expr, c: Expr, r: Expr) -> Expr:
    m, n = c.shape[-1], r.shape[-1]
    above = apply(DIAGONAL_SUMS, matrix_transpose(g))[..., m:]
    return apply(UNSLICE, above, runs=(Run(1, n - 1, 1),), into=(n,))


TOEPLITZ: Op = Op(
    name="toeplitz",
    doc="Give the matrix with a first column and a first row that is constant along its diagonals.",
    shape=_toeplitz_shape,
    dtype=np.result_type,
    vjps=(lambda g, _y, _c, r: apply(DIAGONAL_SUMS, g)[..., r.shape[-1] - 1 :], _first_row_vjp),
    numpy=Form("toeplitz($0, $1)"),
    text=Form("toeplitz($0, $1)"),
    latex=Form(r"\operatorname{toeplitz}\left($0, $1\right)"),
    helper=_TOEPLITZ,
    portable_helper=_PORTABLE_TOEPLITZ,
    cost=lambda _xs, _y, _params: 0,
    cases=tuple(Case(shapes) for shapes in [((3,), (3,)), ((3,), (2,)), ((2,), (1,)), ((4, 2), (3,))]),
)


def _diagonal_sums_vjp(g: Expr, _y: Expr, x: Expr) -> Expr:
    n = x.shape[-1]
    return apply(TOEPLITZ, g[..., n - 1 :], g[..., :n][..., ::-1])


def _diagonal_sums_shape(x: Shape) -> Shape:
    if len(x) < 2:
        msg = "needs a matrix"
        raise ShapeError(msg)
    return (*x[:-2], x[-2] + x[-1] - 1)


DIAGONAL_SUMS: Op = Op(
    name="diagonal_sums",
    doc="Give the sums along the diagonals of a matrix, from the one at the upper right to that at the lower left.",
    shape=_diagonal_sums_shape,
    dtype=accumulated,
    vjps=(_diagonal_sums_vjp,),
    numpy=Form("diagonal_sums($0)"),
    text=Form("diagonal_sums($0)"),
    latex=Form(r"\alpha\left($0\right)"),
    helper=_DIAGONAL_SUMS,
    portable_helper=_PORTABLE_DIAGONAL_SUMS,
    cost=lambda xs, _y, _params: dims.product(xs[0]),
    cases=tuple(Case((shape,)) for shape in [(3, 3), (2, 3), (3, 1), (4, 2, 2)]),
)


def toeplitz(c: Operand, r: Operand | None = None) -> Expr:
    """Give the Toeplitz matrix of a first column and a first row: ``Tᵢⱼ = cᵢ₋ⱼ`` for i ≥ j, else ``rⱼ₋ᵢ``.

    The derivative sums along the diagonals (Matrix Cookbook, 2012, section 2.8.4).

    Args:
        c: the first column.
        r: the first row, whose first element is not read; the column unless told, so that the matrix is symmetric.

    Raises:
        ShapeError: an operand is a scalar.

    >>> import symbackprop as sb
    >>> M, c, r = sb.symbols("M[N,N] c[N] r[N]")
    >>> print(sb.grad(sb.trace(M @ sb.linalg.toeplitz(c, r)), c))
    diagonal_sums(Mᵀ)[N - 1:]
    """
    column, row = as_expr(c), as_expr(c if r is None else r)
    if column.ndim and row.ndim and 0 in {column.shape[-1], row.shape[-1]}:
        return broadcast_to(
            astype(0, np.result_type(column.dtype, row.dtype)), _toeplitz_shape(column.shape, row.shape)
        )
    return apply(TOEPLITZ, column, row)

"""Products of vectors and polynomials, by NumPy's names: formulas of products and contractions."""

from __future__ import annotations

from functools import reduce
from typing import Any

from symbackprop import dims
from symbackprop.dims import Size, SizeLike
from symbackprop.errors import ArgumentError, ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.ops.contract import einsum, matmul
from symbackprop.ops.elementwise import power, sqrt, square
from symbackprop.ops.factor import lstsq
from symbackprop.ops.index import stack
from symbackprop.ops.layout import axes_of, expand_dims, to_end, zeros_like
from symbackprop.ops.leaf import arange, as_expr, exprs_of
from symbackprop.ops.reduce import sum as sum_

__all__ = [
    "cross",
    "matvec",
    "polyfit",
    "polyval",
    "vander",
    "vecdot",
    "vecmat",
]


def at_end(name: str, x: Expr, axis: int) -> Expr:
    """Bring an axis to the end."""
    return to_end(x, axes_of(name, x, axis))


def vecdot(x1: Operand, x2: Operand, axis: int = -1) -> Expr:
    """Give the dot products of the vectors along an axis; the other axes broadcast.

    Args:
        x1: a vector, or a stack of them.
        x2: likewise.
        axis: where the vectors lie, in both.

    Raises:
        ShapeError: the lengths differ, or an operand is a scalar.

    >>> import symbackprop as sb
    >>> X, y = sb.symbols("X[N,D] y[D]")
    >>> print(sb.vecdot(X, y), sb.vecdot(y, y))
    Xy yᵀy
    """
    left, right = (at_end("vecdot", x, axis) for x in exprs_of("vecdot", (x1, x2)))
    if left.ndim == 1 or right.ndim == 1:
        return matmul(right, left) if left.ndim == 1 else matmul(left, right)
    return einsum("...i,...i->...", left, right)


def matvec(x1: Operand, x2: Operand) -> Expr:
    """Give the products of matrices with vectors; the axes before them broadcast.

    Args:
        x1: a matrix, or a stack of them.
        x2: a vector, or a stack of them, where `matmul` would see a matrix.

    Raises:
        ShapeError: the sizes do not fit, or an operand has too few axes.

    >>> import symbackprop as sb
    >>> A, X = sb.symbols("A[M,N] X[K,N]")
    >>> print(sb.matvec(A, X), sb.matvec(A, X).shape)
    XAᵀ (K, M)
    """
    matrix, vector = exprs_of("matvec", (x1, x2))
    _check("matvec", matrix, vector, -1)
    if matrix.ndim == 2:
        return matmul(vector, matrix.T) if vector.ndim > 1 else matmul(matrix, vector)
    return einsum("...ij,...j->...i", matrix, vector) if vector.ndim > 1 else matmul(matrix, vector)


def vecmat(x1: Operand, x2: Operand) -> Expr:
    """Give the products of vectors with matrices; the axes before them broadcast.

    Args:
        x1: a vector, or a stack of them, where `matmul` would see a matrix.
        x2: a matrix, or a stack of them.

    Raises:
        ShapeError: the sizes do not fit, or an operand has too few axes.

    >>> import symbackprop as sb
    >>> A, X = sb.symbols("A[M,N] X[K,M]")
    >>> print(sb.vecmat(X, A), sb.vecmat(X, A).shape)
    XA (K, N)
    """
    vector, matrix = exprs_of("vecmat", (x1, x2))
    _check("vecmat", matrix, vector, -2)
    if vector.ndim == 1 or matrix.ndim == 2:
        return matmul(vector, matrix)
    return einsum("...i,...ij->...j", vector, matrix)


def _check(name: str, matrix: Expr, vector: Expr, axis: int) -> None:
    if matrix.ndim < 2 or not vector.ndim:
        msg = f"{name}: needs a matrix and a vector: {matrix.describe()}, {vector.describe()}"
        raise ShapeError(msg)
    if matrix.shape[axis] != vector.shape[-1]:
        msg = f"{name}: the sizes {matrix.shape[axis]} and {vector.shape[-1]} differ: "
        raise ShapeError(f"{msg}{matrix.describe()}, {vector.describe()}")


# --- cross product --------------------------------------------------------------------------------------------


def cross(  # noqa: PLR0917  (NumPy's signature)
    a: Operand, b: Operand, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Expr:
    """Give the cross product: the vector across both, as long as the area that they span; the other axes broadcast.

    Args:
        a: a vector of three components, or a stack of them.
        b: likewise; of two vectors of two components the result is the third component, a number.
        axisa: where the vectors of `a` lie.
        axisb: where those of `b` lie.
        axisc: where those of the result are to lie.
        axis: all three of these.

    Raises:
        ShapeError: the vectors have not three components both, or two, or the other axes do not broadcast.

    >>> import symbackprop as sb
    >>> r, F = sb.symbols("r[2] F[2]")
    >>> print(sb.cross(r, F))
    r[0]·F[1] − r[1]·F[0]
    """
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    left, right = exprs_of("cross", (a, b))
    left, right = at_end("cross", left, axisa), at_end("cross", right, axisb)
    sizes = {left.shape[-1], right.shape[-1]}
    if sizes == {2}:
        return left[..., 0] * right[..., 1] - left[..., 1] * right[..., 0]
    if sizes != {3}:
        msg = f"cross: needs vectors of three components: {left.describe()}, {right.describe()}"
        raise ShapeError(msg)
    (a0, a1, a2), (b0, b1, b2) = ([each[..., at] for at in range(3)] for each in (left, right))
    return stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], axis=axisc)


# --- polynomials ----------------------------------------------------------------------------------------------


def polyval(p: Any, x: Operand) -> Expr:
    """Give the value of a polynomial, the highest power first: p₀xⁿ⁻¹ + … + pₙ₋₁.

    Horner's rule; where the number of coefficients is named, powers are summed.

    Args:
        p: the coefficients, a vector; or a list of them.
        x: where, elementwise.

    Raises:
        ShapeError: the coefficients are no vector.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> print(sb.polyval([3.0, 2.0, 1.0], x))
    (3x + 2)x + 1
    """
    listed = isinstance(p, list | tuple)
    at, *parts = exprs_of("polyval", (x, *p) if listed else (x, p))
    if not listed:
        (coefficients,) = parts
        if coefficients.ndim != 1:
            msg = f"polyval: the coefficients are a vector: {coefficients.describe()}"
            raise ShapeError(msg)
        (count,) = coefficients.shape
        if isinstance(count, dims.Dim):
            return matmul(_powers(at, count), coefficients)
        parts = [coefficients[position] for position in range(count)]
    if len(parts) < 2:
        return zeros_like(at) + parts[0] if parts else zeros_like(at)
    return reduce(lambda value, part: value * at + part, parts)


def _powers(x: Expr, count: Size, *, increasing: bool = False) -> Expr:
    """Give the powers of each element along a new last axis, the highest first."""
    exponents = arange(count, graph=x.graph)
    return power(expand_dims(x, -1), exponents if increasing else exponents[::-1])


def vander(x: Operand, N: SizeLike | None = None, increasing: bool = False) -> Expr:  # noqa: FBT001, FBT002  (NumPy's)
    """Give the Vandermonde matrix: the powers of each element of a vector as a row, the highest first.

    Args:
        x: a vector.
        N: how many powers; as many as elements unless told.
        increasing: whether the lowest come first.

    Raises:
        ShapeError: the operand is no vector.

    >>> import symbackprop as sb
    >>> sb.vander(sb.symbol("x", "M"), 3).shape
    (M, 3)
    """
    expr = as_expr(x)
    if expr.ndim != 1:
        msg = f"vander: takes a vector: {expr.describe()}"
        raise ShapeError(msg)
    return _powers(expr, expr.shape[0] if N is None else dims.as_size(N), increasing=increasing)


def polyfit(  # noqa: PLR0917  (NumPy's)
    x: Operand,
    y: Operand,
    deg: int,
    rcond: float | None = None,
    full: bool = False,  # noqa: FBT001, FBT002  (NumPy's)
    w: Operand | None = None,
    cov: bool | str = False,  # noqa: FBT001, FBT002  (NumPy's)
) -> Expr:
    """Fit a polynomial by least squares: the p, highest first, of which ``sum((w*(y - polyval(p, x)))**2)`` is least.

    The columns of the Vandermonde matrix are brought to length 1, as NumPy does; the derivative is that of
    `linalg.lstsq`.

    Args:
        x: the places, a vector.
        y: the values there; or a matrix, of which each column is fitted.
        deg: the degree.
        rcond: what counts as zero, as in `linalg.lstsq`.
        full: must be false: what else there is to know `linalg.lstsq` gives.
        w: a weight for each place, by which its residual is multiplied.
        cov: must be false.

    Raises:
        ShapeError: the places or the weights are no vector, there are none, or the sizes differ.
        ArgumentError: the degree is no integer from 0, or more is asked for than the coefficients.

    >>> import symbackprop as sb
    >>> x, y = sb.symbols("x[N] y[N]")
    >>> sb.polyfit(x, y, 2).shape
    (3,)
    """
    if full or cov:
        msg = "polyfit gives the coefficients alone, with full=False and cov=False: sb.linalg.lstsq gives residuals"
        raise ArgumentError(msg)
    degree: object = deg
    if not isinstance(degree, int) or degree < 0:
        msg = f"polyfit: the degree is an integer from 0, not {deg!r}"
        raise ArgumentError(msg)
    places, side = exprs_of("polyfit", (x, y))
    if not places.shape or places.shape[0] == 0:
        msg = f"polyfit: the places are a vector that is not empty: {places.describe()}"
        raise ShapeError(msg)
    matrix = vander(places, deg + 1)
    if w is not None:
        (weights,) = exprs_of("polyfit", (w,))
        if weights.ndim != 1:
            msg = f"polyfit: the weights are a vector: {weights.describe()}"
            raise ShapeError(msg)
        matrix = matrix * expand_dims(weights, 1)
        side = side * (weights if side.ndim == 1 else expand_dims(weights, 1))
    lengths = sqrt(sum_(square(matrix), axis=0))
    found = lstsq(matrix / lengths, side, rcond).x
    return found / (lengths if side.ndim == 1 else expand_dims(lengths, 1))

"""Products, diagonals and traces as `numpy.linalg` has them: matrices are the last two axes, vectors the last one."""

from __future__ import annotations

from symbackprop.errors import ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.ops import contract, products
from symbackprop.ops.contract import exprs_of, matmul, tensordot
from symbackprop.ops.products import vecdot

__all__ = [
    "cross",
    "diagonal",
    "matmul",
    "outer",
    "tensordot",
    "trace",
    "vecdot",
]


def cross(x1: Operand, x2: Operand, *, axis: int = -1) -> Expr:
    """Give the cross product of vectors of three components, as `symbackprop.cross` does.

    Raises:
        ShapeError: a vector has another number of components.

    >>> import symbackprop as sb
    >>> a, b = sb.symbols("a[N,3] b[N,3]")
    >>> sb.linalg.cross(a, b).shape
    (N, 3)
    """
    for expr in exprs_of("cross", (x1, x2)):
        if expr.ndim and expr.shape[axis] != 3:
            msg = f"cross: needs vectors of three components: {expr.describe()}"
            raise ShapeError(msg)
    return products.cross(x1, x2, axis=axis)


def diagonal(x: Operand, *, offset: int = 0) -> Expr:
    """Give the diagonals of the matrices in the last two axes, where `symbackprop.diagonal` takes the first two.

    >>> import symbackprop as sb
    >>> sb.linalg.diagonal(sb.symbol("A", ("N", 3, 3))).shape
    (N, 3)
    """
    return contract.diagonal(x, offset, -2, -1)


def outer(x1: Operand, x2: Operand) -> Expr:
    """Give the products of each element of one vector with each of another.

    Raises:
        ShapeError: an operand is no vector.

    >>> import symbackprop as sb
    >>> x, y = sb.symbols("x[M] y[N]")
    >>> print(sb.linalg.outer(x, y))
    xyᵀ
    """
    for expr in exprs_of("outer", (x1, x2)):
        if expr.ndim != 1:
            msg = f"outer: takes vectors; sb.outer reads other arrays as vectors: {expr.describe()}"
            raise ShapeError(msg)
    return contract.outer(x1, x2)


def trace(x: Operand, *, offset: int = 0) -> Expr:
    """Give the traces of the matrices in the last two axes, where `symbackprop.trace` takes the first two.

    >>> import symbackprop as sb
    >>> sb.linalg.trace(sb.symbol("A", ("N", 3, 3))).shape
    (N,)
    """
    return contract.trace(x, offset, -2, -1)

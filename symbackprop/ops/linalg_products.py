"""Products, diagonals and traces as `numpy.linalg` has them: of matrices along the last two axes, vectors along one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from symbackprop.errors import ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.ops import contract, products
from symbackprop.ops.contract import matmul, tensordot
from symbackprop.ops.layout import matrix_transpose
from symbackprop.ops.leaf import as_expr, exprs_of
from symbackprop.ops.products import vecdot

__all__ = [
    "cross",
    "diagonal",
    "matmul",
    "matrix_transpose",
    "multi_dot",
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


def multi_dot(arrays: Sequence[Operand]) -> Expr:
    """Multiply matrices; the first and the last may be vectors, a row and a column.

    It is ``A @ B @ …``, whose order compiled code chooses in any case so that there is least to do.

    Raises:
        ShapeError: fewer than two operands, or one that is no matrix.

    >>> import symbackprop as sb
    >>> print(sb.linalg.multi_dot(sb.symbols("A[N,M] B[M,K] x[K]")))
    ABx
    """
    exprs = [as_expr(array) for array in arrays]
    if len(exprs) < 2:
        msg = f"multi_dot: multiplies two or more, not {len(exprs)}"
        raise ShapeError(msg)
    if len(exprs) == 2:
        return contract.dot(*exprs)
    for at, expr in enumerate(exprs):
        if expr.ndim != 2 and (expr.ndim != 1 or 0 < at < len(exprs) - 1):
            msg = f"multi_dot: takes matrices, and vectors at the ends: {expr.describe()}"
            raise ShapeError(msg)
    return reduce(matmul, exprs)


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

"""Determinants, and the cofactors that are their derivative.

Matrices are the last two axes, so that stacks of them have leading axes. The derivatives are those of Giles (2008),
*An extended collection of matrix derivative results for forward and reverse mode algorithmic differentiation*, and of
Jacobi for a matrix that has no inverse.

>>> import symbackprop as sb
>>> X = sb.symbol("X", ("N", "N"))
>>> print(sb.grad(sb.linalg.slogdet(X).logabsdet, X))
X⁻ᵀ
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape
from symbackprop.expr import Expr, Operand
from symbackprop.op import POWER, Case, Form, Op, apply
from symbackprop.ops.contract import matmul
from symbackprop.ops.layout import expand_dims, matrix_transpose
from symbackprop.ops.leaf import as_expr
from symbackprop.ops.reduce import sum as sum_
from symbackprop.ops.systems import STACKS, cubic, factored, inv, square_of, two_squares

__all__ = ["det", "slogdet"]


# --- cofactors ------------------------------------------------------------------------------------------------

_BY_SINGULAR_VALUES = '''
def by_singular_values(a):
    """The parts of a = u @ diag(s) @ vh, the determinant of u @ vh, and the identity."""
    u, s, vh = np.linalg.svd(a)
    sign = np.sign(np.linalg.det(u) * np.linalg.det(vh))[..., None, None]
    return u, s, vh, sign, np.eye(s.shape[-1], dtype=s.dtype)

def products_of_others(s, i):
    """For each element of the last axis the product of all others; i is the identity."""
    return np.prod(s[..., None, :] * (1 - i) + i, axis=-1)
'''
_COFACTORS = '''
def cofactors(a):
    """The derivative of det(a): det(a) inv(a).T, and what that tends to where a has no inverse."""
    y = np.linalg.det(a)
    singular = y == 0
    i = np.eye(a.shape[-1], dtype=y.dtype)
    found = y[..., None, None] * np.linalg.inv(np.where(singular[..., None, None], i, a)).swapaxes(-1, -2)
    if np.any(singular):
        u, s, vh, sign, i = by_singular_values(a[singular])
        found[singular] = sign * (u * products_of_others(s, i)[..., None, :]) @ vh
    return found
'''
_COFACTORS_ALONG = '''
def cofactors_along(a, e):
    """The derivative of cofactors(a) along e."""
    u, s, vh, sign, i = by_singular_values(a)
    e = u.swapaxes(-1, -2) @ e @ vh.swapaxes(-1, -2)
    pairs = products_of_others(s[..., None, :] * (1 - i) + i, i) * (1 - i)
    trace = np.sum(pairs * np.sum(i * e, axis=-1)[..., None, :], axis=-1)
    return sign * u @ (i * trace[..., None, :] - pairs * e.swapaxes(-1, -2)) @ vh
'''


def _portable(source: str) -> str:
    """Write axes and the place of arrays as the array standard does."""
    source = source.replace(".swapaxes(-1, -2)", ".mT")
    return source.replace("dtype=s.dtype)", "dtype=s.dtype, device=s.device)")


_PORTABLE_COFACTORS = '''
def cofactors(a):
    """The derivative of det(a): det(a) inv(a).T, and what that tends to where a has no inverse."""
    u, s, vh, sign, i = by_singular_values(a)
    return sign * (u * products_of_others(s, i)[..., None, :]) @ vh
'''


def _inner(a: Expr, b: Expr) -> Expr:
    return sum_(a * b, axis=(-2, -1), keepdims=True)


def cofactors_by_inverse(a: Expr) -> Expr:
    """Give the cofactors of matrices that have an inverse: ``det(A) A⁻ᵀ``.

    >>> import symbackprop as sb
    >>> print(cofactors_by_inverse(sb.symbol("A", ("N", "N"))))
    det(A)·A⁻ᵀ
    """
    return _spread(det(a)) * matrix_transpose(inv(a))


def cofactors_along_by_inverse(a: Expr, e: Expr) -> Expr:
    """Give their derivative along E: ``det(A)(⟨A⁻ᵀ, E⟩A⁻ᵀ − A⁻ᵀEᵀA⁻ᵀ)``.

    >>> import symbackprop as sb
    >>> print(cofactors_along_by_inverse(*sb.symbols("A[N,N] E[N,N]")))
    det(A)·(sum(A⁻ᵀ ⊙ E)·A⁻ᵀ − A⁻ᵀEᵀA⁻ᵀ)
    """
    x = matrix_transpose(inv(a))
    return _spread(det(a)) * (_inner(x, e) * x - matmul(matmul(x, matrix_transpose(e)), x))


def _along_vjp(g: Expr, a: Expr, e: Expr) -> Expr:
    """Differentiate ``det(A)(⟨X, E⟩⟨X, g⟩ − ⟨XEᵀX, g⟩)``, where X is A⁻ᵀ and its derivative along B is −XBᵀX."""
    x = matrix_transpose(inv(a))
    xe, xg = matmul(x, matrix_transpose(e)), matmul(x, matrix_transpose(g))
    xex, xgx = matmul(xe, x), matmul(xg, x)
    of_e, of_g = _inner(x, e), _inner(x, g)
    terms = x * (of_e * of_g - _inner(xex, g)) - xex * of_g - xgx * of_e + matmul(xe, xgx) + matmul(xg, xex)
    return _spread(det(a)) * terms


COFACTORS_ALONG: Op = Op(
    name="cofactors_along",
    doc="""Give the derivative of the cofactors of a matrix A along another one, E: the second derivative of det(A).

    It is ``det(A)(⟨A⁻ᵀ, E⟩A⁻ᵀ − A⁻ᵀEᵀA⁻ᵀ)``, a polynomial in the elements of A, and is computed from singular values,
    so that no inverse is needed. The next derivative is by the inverse.
    """,
    shape=two_squares,
    dtype=lambda a, e: np.result_type(factored(a), e),
    vjps=(
        lambda g, _y, a, e: _along_vjp(g, a, e),
        lambda g, _y, a, _e: apply(COFACTORS_ALONG, a, g),
    ),
    numpy=Form("cofactors_along($0, $1)"),
    text=Form("cofactors_along($0, $1)"),
    latex=Form(r"\operatorname{cof}'\left($0; $1\right)"),
    helper=f"{_BY_SINGULAR_VALUES}{_COFACTORS_ALONG}",
    portable_helper=_portable(f"{_BY_SINGULAR_VALUES}{_COFACTORS_ALONG}"),
    kink="its own derivative needs det(A) ≠ 0",
    cost=lambda xs, y, _params: dims.product(xs[0]) * xs[0][-1] * 20 + dims.product(y) * xs[0][-1] * 8,
    cases=(
        *(Case((shape, shape)) for shape in [(2, 2), (3, 3), (1, 1), (4, 2, 2)]),
        Case(((2, 2), (4, 2, 2))),
        Case(((4, 2, 2), (2, 2))),
    ),
)

COFACTORS = Op(
    name="cofactors",
    doc="""Give the matrix of the cofactors of a square matrix, or of each of a stack.

    A cofactor is the determinant without the row and the column of an element, with a sign: ``det(A) A⁻ᵀ`` where A has
    an inverse. It is computed so, and from singular values where the determinant is 0 (G. W. Stewart, *On the adjugate
    matrix*, 1998).
    """,
    shape=square_of,
    dtype=factored,
    vjps=(lambda g, _y, a: apply(COFACTORS_ALONG, a, g),),
    numpy=Form("cofactors($0)"),
    text=Form("cofactors($0)"),
    latex=Form(r"\operatorname{cof}\left($0\right)"),
    helper=f"{_BY_SINGULAR_VALUES}{_COFACTORS}",
    portable_helper=_portable(f"{_BY_SINGULAR_VALUES}{_PORTABLE_COFACTORS}"),
    cost=cubic,
    cases=STACKS,
)


# --- determinants ---------------------------------------------------------------------------------------------


def _spread(g: Expr) -> Expr:
    return expand_dims(g, (-2, -1)) if g.ndim else g


def _stack_shape(a: Shape) -> Shape:
    return square_of(a)[:-2]


det = Op(
    name="det",
    doc="""Give the determinant of a square matrix, or of each of a stack.

The derivative is the matrix of cofactors: ``det(A) A⁻ᵀ`` where A has an inverse (Giles 2008, section 2.2.4; Matrix
Cookbook, 2012, eq. 49). Where det(A) = 0, it and the second derivative are what they are: polynomials of the elements.

>>> import symbackprop as sb
>>> X = sb.symbol("X", ("N", "N"))
>>> gradient = sb.grad(sb.linalg.det(X), X)
>>> print(gradient)
det(X)·X⁻ᵀ
>>> print(sb.evaluate(gradient, {X: [[1, 2], [2, 4]]}))
[[ 4. -2.]
 [-2.  1.]]
""",
    shape=_stack_shape,
    dtype=factored,
    vjps=(lambda g, _y, a: _spread(g) * apply(COFACTORS, a),),
    numpy=Form("np.linalg.det($0)"),
    kink="the cofactors where det(A) = 0",
    text=Form("det($0)"),
    latex=Form(r"\det\left($0\right)"),
    cost=cubic,
    cases=STACKS,
)

LOGABSDET = Op(
    name="logabsdet",
    doc="Give the logarithm of the size of the determinant.",
    shape=_stack_shape,
    dtype=factored,
    vjps=(lambda g, _y, a: _spread(g) * matrix_transpose(inv(a)),),
    numpy=Form("np.linalg.slogdet($0)[1]"),
    defined="det(A) ≠ 0",
    text=Form("log|det($0)|", POWER),
    latex=Form(r"\log\left|\det\left($0\right)\right|", POWER),
    cost=cubic,
    cases=STACKS,
)

_LOGDET = '''
def logdet(a):
    """log(det(a)) without overflow; NaN where the determinant is negative."""
    sign, size = np.linalg.slogdet(a)
    return np.where(sign < 0, size.dtype.type("nan"), size)[()]
'''
_PORTABLE_LOGDET = '''
def logdet(a):
    """log(det(a)) without overflow; NaN where the determinant is negative."""
    sign, size = np.linalg.slogdet(a)
    return np.where(sign < 0, np.nan, size)
'''

LOGDET = Op(
    name="logdet",
    doc="Give the logarithm of the determinant, NaN where that is negative.",
    shape=_stack_shape,
    dtype=factored,
    vjps=(lambda g, _y, a: _spread(g) * matrix_transpose(inv(a)),),
    numpy=Form("logdet($0)"),
    defined="det(A) > 0",
    text=Form("log(det($0))"),
    latex=Form(r"\log\left(\det\left($0\right)\right)"),
    helper=_LOGDET,
    portable_helper=_PORTABLE_LOGDET,
    cost=cubic,
    cases=STACKS,
)

SIGNDET = Op(
    name="signdet",
    doc="Give the sign of the determinant.",
    shape=_stack_shape,
    dtype=factored,
    vjps=(None,),
    numpy=Form("np.linalg.slogdet($0)[0]"),
    text=Form("sign(det($0))"),
    latex=Form(r"\operatorname{sign}\left(\det\left($0\right)\right)"),
    cost=cubic,
    cases=STACKS,
)


class SlogdetResult(NamedTuple):
    """The determinant in two parts: ``det(A) = sign * exp(logabsdet)``.

    Attributes:
        sign: 1, -1, or 0 for a matrix that has no inverse; its derivative is zero.
        logabsdet: the logarithm of the determinant's size.
    """

    sign: Expr
    logabsdet: Expr


def slogdet(a: Operand) -> SlogdetResult:
    """Give sign and logarithm of the determinant, which do not overflow.

    The derivative of the logarithm is A⁻ᵀ (Giles 2008, section 2.2.4; Matrix Cookbook, 2012, eq. 57); where the
    determinant is 0 there is none, and that of the sign is 0 everywhere.

    Raises:
        ShapeError: the operand is no square matrix.
        DtypeError: its dtype is float16.

    >>> import symbackprop as sb
    >>> sign, logabsdet = sb.linalg.slogdet(sb.symbol("X", ("N", "N")))
    >>> print(logabsdet)
    log|det(X)|
    """
    expr = as_expr(a)
    return SlogdetResult(apply(SIGNDET, expr), apply(LOGABSDET, expr))

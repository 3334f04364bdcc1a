"""Square matrices: inverses, systems and determinants.

Matrices are the last two axes, so that stacks of them have leading axes. The derivatives are those of Giles (2008),
*An extended collection of matrix derivative results for forward and reverse mode algorithmic differentiation*.

>>> import symbackprop as sb
>>> X = sb.symbol("X", ("N", "N"))
>>> print(sb.grad(sb.linalg.slogdet(X).logabsdet, X))
X⁻ᵀ
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape, Size
from symbackprop.errors import DtypeError, ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import ATOM, LOWEST, MULTIPLY, POWER, Case, Dtype, Form, Op, Params, apply
from symbackprop.ops.contract import matmul
from symbackprop.ops.elementwise import real
from symbackprop.ops.layout import expand_dims, matrix_transpose, squeeze
from symbackprop.ops.leaf import as_expr

__all__ = [
    "det",
    "inv",
    "slogdet",
    "solve",
]


def factored(*kinds: Any, **_: Any) -> Dtype:
    """Give the dtype of NumPy's linear algebra: integers become float64, and half precision there is none."""
    dtype: Dtype = np.result_type(*map(real, kinds))
    if dtype == np.float16:
        msg = "float16 has no linear algebra: convert with astype"
        raise DtypeError(msg)
    return dtype


def square(a: Shape) -> Shape:
    """Give the shape of square matrices, which it must be."""
    if len(a) < 2 or a[-1] != a[-2]:
        msg = "needs a square matrix"
        raise ShapeError(msg)
    return a


def cubic(xs: tuple[Shape, ...], _y: Shape, _params: Params) -> Size:
    """Give the cost of inverting."""
    return dims.product(xs[0]) * xs[0][-1] * 2


STACKS = tuple(Case((shape,)) for shape in [(2, 2), (3, 3), (1, 1), (4, 2, 2)])


# --- inverse and systems --------------------------------------------------------------------------------------


def inv_vjp(g: Expr, y: Expr, _a: Expr) -> Expr:
    """Give ``-A⁻ᵀ g A⁻ᵀ``."""
    turned = matrix_transpose(y)
    return -matmul(matmul(turned, g), turned)


inv = Op(
    name="inv",
    doc="""Give the inverse of a square matrix, or of each of a stack.

The derivative is ``-A⁻ᵀ g A⁻ᵀ`` (Giles 2008, section 2.2.3; Matrix Cookbook, 2012, eq. 61).

>>> import symbackprop as sb
>>> X, a, b = sb.symbols("X[N,N] a[N] b[N]")
>>> print(sb.grad(a @ sb.linalg.inv(X) @ b, X))
−X⁻ᵀabᵀX⁻ᵀ
""",
    shape=square,
    dtype=factored,
    vjps=(inv_vjp,),
    numpy=Form("np.linalg.inv($0)"),
    text=Form("$0⁻¹", POWER, (ATOM,)),
    latex=Form("{$0}^{-1}", POWER, (ATOM,)),
    cost=cubic,
    cases=STACKS,
)


def _solve_shape(a: Shape, b: Shape) -> Shape:
    square(a)
    if not b or b[max(len(b) - 2, 0)] != a[-1]:
        msg = f"the right side needs {a[-1]} rows"
        raise ShapeError(msg)
    return dims.broadcast(a[:-1], b) if len(b) == 1 else dims.broadcast(a[:-2], b[:-2]) + b[-2:]


def _right_side_vjp(g: Expr, _y: Expr, a: Expr, b: Expr) -> Expr:
    turned = matrix_transpose(a)
    if b.ndim == 1 and g.ndim > 1:  # NumPy reads one axis alone as a vector
        return squeeze(solve(turned, expand_dims(g, -1)), -1)
    return solve(turned, g)


def _matrix_vjp(g: Expr, y: Expr, a: Expr, b: Expr) -> Expr:
    side = _right_side_vjp(g, y, a, b)
    if b.ndim == 1:
        return -(expand_dims(side, -1) * expand_dims(y, -2))
    return -matmul(side, matrix_transpose(y))


def _solve_portable(_params: Params, shapes: tuple[Shape, ...]) -> Form:
    """Write a matrix of right sides with a leading axis where a library could take it for a stack of vectors."""
    alike = len(shapes[1]) > 1 and len(shapes[1]) == len(shapes[0]) - 1
    return Form("np.linalg.solve($0, $1[None])" if alike else "np.linalg.solve($0, $1)", ATOM, (LOWEST, ATOM * alike))


solve: Op = Op(
    name="solve",
    doc="""Solve the system ``A x = b``: give ``A⁻¹ b`` without computing the inverse.

With x̄ the cotangent of x, b̄ = A⁻ᵀ x̄ and Ā = -b̄ xᵀ (Giles 2008, section 2.3.1). One axis is one right side; of more
axes the last two are a matrix of right sides.

>>> import symbackprop as sb
>>> A, b, c = sb.symbols("A[N,N] b[N] c[N]")
>>> print(sb.linalg.solve(A, b))
A⁻¹b
>>> print(sb.grad(c @ sb.linalg.solve(A, b), b))
A⁻ᵀc
""",
    shape=_solve_shape,
    dtype=factored,
    vjps=(_matrix_vjp, _right_side_vjp),
    numpy=Form("np.linalg.solve($0, $1)"),
    portable=_solve_portable,
    text=Form("$0⁻¹$1", MULTIPLY, (ATOM, MULTIPLY)),
    latex=Form("{$0}^{-1} $1", MULTIPLY, (ATOM, MULTIPLY)),
    cost=lambda xs, y, _params: dims.product(xs[0]) * xs[0][-1] * 2 // 3 + dims.product(y) * xs[0][-1] * 2,
    cases=tuple(
        Case(shapes)
        for shapes in [
            ((2, 2), (2,)), ((3, 3), (3, 2)), ((4, 2, 2), (2,)), ((4, 2, 2), (2, 3)), ((2, 2), (4, 2, 3)),
            ((4, 2, 2), (4, 2, 1)), ((2, 2, 2), (2, 2)),
        ]
    ),
)  # fmt: skip


# --- determinants ---------------------------------------------------------------------------------------------


def _spread(g: Expr) -> Expr:
    return expand_dims(g, (-2, -1)) if g.ndim else g


def _stack_shape(a: Shape) -> Shape:
    return square(a)[:-2]


det = Op(
    name="det",
    doc="""Give the determinant of a square matrix, or of each of a stack.

The derivative is ``det(A) A⁻ᵀ``, so it needs an A that has an inverse (Giles 2008, section 2.2.4; Matrix Cookbook,
2012, eq. 49).

>>> import symbackprop as sb
>>> X = sb.symbol("X", ("N", "N"))
>>> print(sb.grad(sb.linalg.det(X), X))
det(X)·X⁻ᵀ
""",
    shape=_stack_shape,
    dtype=factored,
    vjps=(lambda g, y, a: _spread(g * y) * matrix_transpose(inv(a)),),
    numpy=Form("np.linalg.det($0)"),
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

    The derivative of the logarithm is A⁻ᵀ (Giles 2008, section 2.2.4; Matrix Cookbook, 2012, eq. 57).

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

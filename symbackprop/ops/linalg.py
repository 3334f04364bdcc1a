"""Linear algebra by NumPy's names: inverses, determinants, factors, norms.

Matrices are the last two axes, so that stacks of them have leading axes. The derivatives are those of Giles (2008),
*An extended collection of matrix derivative results for forward and reverse mode algorithmic differentiation*.

>>> import symbackprop as sb
>>> X = sb.symbol("X", ("N", "N"))
>>> print(sb.grad(sb.linalg.slogdet(X).logabsdet, X))
X⁻ᵀ
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape, Size
from symbackprop.errors import DtypeError, ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import ATOM, MULTIPLY, POWER, Case, Dtype, Form, Notation, Op, Params, apply
from symbackprop.ops.contract import matmul
from symbackprop.ops.elementwise import abs as abs_
from symbackprop.ops.elementwise import equal, real, where
from symbackprop.ops.layout import axes_of, expand_dims, matrix_transpose, squeeze
from symbackprop.ops.leaf import as_expr
from symbackprop.ops.reduce import SUM, Axis, reduced, spread
from symbackprop.ops.reduce import max as max_
from symbackprop.ops.reduce import min as min_
from symbackprop.ops.reduce import sum as sum_

__all__ = ["cholesky", "det", "inv", "norm", "slogdet", "solve"]


def _factored(*kinds: Any, **_: Any) -> Dtype:
    """Give the dtype of NumPy's linear algebra: integers become float64, and half precision there is none."""
    dtype: Dtype = np.result_type(*map(real, kinds))
    if dtype == np.float16:
        msg = "float16 has no linear algebra: convert with astype"
        raise DtypeError(msg)
    return dtype


def _square(a: Shape) -> Shape:
    if len(a) < 2 or a[-1] != a[-2]:
        msg = "needs a square matrix"
        raise ShapeError(msg)
    return a


def _cubic(xs: tuple[Shape, ...], _y: Shape, _params: Params) -> Size:
    return dims.product(xs[0]) * xs[0][-1] * 2


_STACKS = tuple(Case((shape,)) for shape in [(2, 2), (3, 3), (1, 1), (4, 2, 2)])


# --- inverse and systems --------------------------------------------------------------------------------------


def _inv_vjp(g: Expr, y: Expr, _a: Expr) -> Expr:
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
    shape=_square,
    dtype=_factored,
    vjps=(_inv_vjp,),
    numpy=Form("np.linalg.inv($0)"),
    text=Form("$0⁻¹", POWER, (ATOM,)),
    latex=Form("{$0}^{-1}", POWER, (ATOM,)),
    cost=_cubic,
    cases=_STACKS,
)


def _solve_shape(a: Shape, b: Shape) -> Shape:
    _square(a)
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
    dtype=_factored,
    vjps=(_matrix_vjp, _right_side_vjp),
    numpy=Form("np.linalg.solve($0, $1)"),
    text=Form("$0⁻¹$1", MULTIPLY, (ATOM, MULTIPLY)),
    latex=Form("{$0}^{-1} $1", MULTIPLY, (ATOM, MULTIPLY)),
    cost=lambda xs, y, _params: dims.product(xs[0]) * xs[0][-1] * 2 // 3 + dims.product(y) * xs[0][-1] * 2,
    cases=tuple(
        Case(shapes)
        for shapes in [
            ((2, 2), (2,)), ((3, 3), (3, 2)), ((4, 2, 2), (2,)), ((4, 2, 2), (2, 3)), ((2, 2), (4, 2, 3)),
            ((4, 2, 2), (4, 2, 1)),
        ]
    ),
)  # fmt: skip


# --- determinants ---------------------------------------------------------------------------------------------


def _spread(g: Expr) -> Expr:
    return expand_dims(g, (-2, -1)) if g.ndim else g


def _stack_shape(a: Shape) -> Shape:
    return _square(a)[:-2]


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
    dtype=_factored,
    vjps=(lambda g, y, a: _spread(g * y) * matrix_transpose(inv(a)),),
    numpy=Form("np.linalg.det($0)"),
    text=Form("det($0)"),
    latex=Form(r"\det\left($0\right)"),
    cost=_cubic,
    cases=_STACKS,
)

LOGABSDET = Op(
    name="logabsdet",
    doc="Give the logarithm of the size of the determinant.",
    shape=_stack_shape,
    dtype=_factored,
    vjps=(lambda g, _y, a: _spread(g) * matrix_transpose(inv(a)),),
    numpy=Form("np.linalg.slogdet($0)[1]"),
    text=Form("log|det($0)|", POWER),
    latex=Form(r"\log\left|\det\left($0\right)\right|", POWER),
    cost=_cubic,
    cases=_STACKS,
)

_LOGDET = '''
def logdet(a):
    """log(det(a)) without overflow; NaN where the determinant is negative."""
    sign, size = np.linalg.slogdet(a)
    return np.where(sign < 0, size.dtype.type("nan"), size)[()]
'''

LOGDET = Op(
    name="logdet",
    doc="Give the logarithm of the determinant, NaN where that is negative.",
    shape=_stack_shape,
    dtype=_factored,
    vjps=(lambda g, _y, a: _spread(g) * matrix_transpose(inv(a)),),
    numpy=Form("logdet($0)"),
    text=Form("log(det($0))"),
    latex=Form(r"\log\left(\det\left($0\right)\right)"),
    helper=_LOGDET,
    cost=_cubic,
    cases=_STACKS,
)

SIGNDET = Op(
    name="signdet",
    doc="Give the sign of the determinant.",
    shape=_stack_shape,
    dtype=_factored,
    vjps=(None,),
    numpy=Form("np.linalg.slogdet($0)[0]"),
    text=Form("sign(det($0))"),
    latex=Form(r"\operatorname{sign}\left(\det\left($0\right)\right)"),
    cost=_cubic,
    cases=_STACKS,
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


# --- Cholesky -------------------------------------------------------------------------------------------------

HALVED: Op = Op(
    name="halved_tril",
    doc="Give the lower triangle with its diagonal halved: Φ of Murray (2016).",
    shape=_square,
    dtype=real,
    vjps=(lambda g, _y, _x: apply(HALVED, g),),
    numpy=Form("0.5 * (np.tril($0) + np.tril($0, -1))", MULTIPLY),
    text=Form("Φ($0)"),
    latex=Form(r"\Phi\left($0\right)"),
    cases=_STACKS,
)


def _cholesky_vjp(g: Expr, y: Expr, _a: Expr) -> Expr:
    part = apply(HALVED, matmul(matrix_transpose(y), g))
    turned = matrix_transpose(y)
    half = solve(turned, part + matrix_transpose(part))  # (L⁻ᵀ S L⁻¹)ᵀ = L⁻ᵀ (L⁻ᵀ S)ᵀ, S symmetric
    return apply(HALVED, solve(turned, matrix_transpose(half)))


cholesky = Op(
    name="cholesky",
    doc="""Give the lower triangular L with ``A = L Lᵀ``, of a positive definite matrix, or of each of a stack.

Like NumPy it reads the lower triangle of A alone, so the derivative is lower triangular too: ``Φ(L⁻ᵀ(P + Pᵀ)L⁻¹)``
with ``P = Φ(Lᵀ g)``, where Φ takes the lower triangle and halves the diagonal (Murray 2016, *Differentiation of the
Cholesky decomposition*, eq. 10). Where A is made of other variables as a symmetric matrix, their derivatives are right.

>>> import symbackprop as sb
>>> sb.linalg.cholesky(sb.symbol("A", ("N", "N"))).shape
(N, N)
""",
    shape=_square,
    dtype=_factored,
    vjps=(_cholesky_vjp,),
    numpy=Form("np.linalg.cholesky($0)"),
    text=Form("cholesky($0)"),
    latex=Form(r"\operatorname{cholesky}\left($0\right)"),
    cost=lambda xs, _y, _params: dims.product(xs[0]) * xs[0][-1] // 3,
    cases=_STACKS,
)


# --- norms ----------------------------------------------------------------------------------------------------


def _over(function: str) -> Notation:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        axes = tuple(axis + len(shapes[0]) for axis in params["axes"])
        parts = [] if len(axes) == len(shapes[0]) else [f"axis={axes[0] if len(axes) == 1 else axes}"]
        parts += ["keepdims=True"] * bool(params.get("keepdims"))
        return Form(f"{function}({', '.join(['$0', *parts])})")

    return notation


def _bars(opening: str, closing: str, otherwise: Notation) -> Notation:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        if len(params["axes"]) == len(shapes[0]) and not params.get("keepdims"):
            return Form(f"{opening}$0{closing}")
        return otherwise(params, shapes) if callable(otherwise) else otherwise

    return notation


def _latex_over(name: str) -> Notation:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        axes = ",".join(str(axis + len(shapes[0])) for axis in params["axes"])
        return Form(rf"\operatorname{{{name}}}_{{{axes}}}\left($0\right)")

    return notation


_NORMS = tuple(Case((shape,), {"axes": axes}) for shape, axes in [
    ((3,), (-1,)), ((2, 3), (-1,)), ((2, 3), (-2,)), ((2, 3), (-2, -1)), ((4, 2, 3), (-3, -1)),
])  # fmt: skip

_NORM_OF = '''
def norm_of(x, axis=None, keepdims=False):
    """The root of the sum of squares; where squares overflow or underflow, of x over its largest element."""
    n = np.linalg.norm(x, axis=axis, keepdims=keepdims)
    if np.all((n > 1e-15) & (n < 1e15)):
        return n
    m = np.abs(x).max(axis=axis, keepdims=True, initial=0.0)
    m = np.where((m > 0) & np.isfinite(m), m, np.ones((), n.dtype))
    n = np.linalg.norm(x / m, axis=axis, keepdims=True) * m
    return n if keepdims else n.squeeze(axis=axis)[()]
'''
_UNIT = '''
def unit(x, axis=None):
    """x / norm(x), and 0 where the norm is 0."""
    n = norm_of(x, axis=axis, keepdims=True)
    return x / np.where(n == 0, np.inf, n)
'''


def _unit_vjp(g: Expr, y: Expr, x: Expr, *, axes: tuple[int, ...]) -> Expr:
    length = apply(NORM, x, axes=axes, keepdims=True)
    across = g - y * apply(SUM, g * y, axes=axes, keepdims=True)
    return across / where(equal(length, 0), np.inf, length)


UNIT: Op = Op(
    name="unit",
    doc="Divide by the norm; where that is zero, give zeros.",
    shape=lambda x, *, axes: x,
    dtype=real,
    vjps=(_unit_vjp,),
    numpy=_over("unit"),
    text=_bars("unit(", ")", _over("unit")),
    latex=_bars(r"\operatorname{unit}\left(", r"\right)", _latex_over("unit")),
    helper=_NORM_OF + "\n" + _UNIT,
    cost=lambda xs, _y, _params: dims.product(xs[0]) * 3,
    cases=_NORMS,
    options={"axes": (-1,)},
)


def _norm_vjp(g: Expr, _y: Expr, x: Expr, *, axes: tuple[int, ...], keepdims: bool) -> Expr:
    return spread(g, x, axes=axes, keepdims=keepdims) * apply(UNIT, x, axes=axes)


NORM: Op = Op(
    name="norm",
    doc="Give the square root of the sum of squares over axes.",
    shape=reduced,
    dtype=real,
    vjps=(_norm_vjp,),
    numpy=_over("norm_of"),
    text=_bars("‖", "‖", _over("norm")),
    latex=_bars(r"\left\lVert ", r"\right\rVert", _latex_over("norm")),
    helper=_NORM_OF,
    cost=lambda xs, _y, _params: dims.product(xs[0]) * 2,
    cases=tuple(case._replace(params={**case.params, "keepdims": kept}) for case in _NORMS for kept in (False, True)),
    options={"axes": (-1,), "keepdims": False},
)


def norm(x: Operand, ord: float | Literal["fro"] | None = None, axis: Axis = None, keepdims: bool = False) -> Expr:  # noqa: FBT001, FBT002  (NumPy's signature)
    """Give a norm: of a vector, of a matrix, or, unless told which, the root of the sum of all squares.

    The derivative of ‖x‖ is x/‖x‖ (Matrix Cookbook, 2012, eq. 129), and at x = 0 the subgradient 0.

    Args:
        x: the operand.
        ord: for vectors 2, 1, inf or -inf; for matrices "fro", 1, inf or -inf.
        axis: the axis of the vectors, or the two axes of the matrices.
        keepdims: keep the axes with size 1.

    Raises:
        ShapeError: an axis is out of range, or `ord` is given and the operand is no vector and no matrix.
        ValueError: another `ord`.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> print(sb.linalg.norm(x))
    ‖x‖
    >>> print(sb.grad(sb.linalg.norm(x), x))
    x/‖x‖
    """
    expr = as_expr(x)
    expr = expr if expr.dtype.kind == "f" else expr.astype("float64")
    axes = axes_of("norm", expr, axis)
    matrix = not isinstance(axis, int) and len(axes) == 2
    if (ord is not None or axis is not None) and len(axes) not in {1, 2}:
        msg = f"norm: needs a vector or a matrix, not {len(axes)} axes: {expr.describe()}"
        raise ShapeError(msg)
    if not axes:
        return abs_(expr)
    if ord is None or ord == ("fro" if matrix else 2):
        return apply(NORM, expr, axes=axes, keepdims=bool(keepdims))
    if ord not in (1, np.inf, -np.inf) and not (matrix and ord == -1):
        known = "'fro', 1, -1, inf and -inf" if matrix else "2, 1, inf and -inf"
        msg = f"norm: ord={ord!r} is not among {known}: {expr.describe()}"
        raise ValueError(msg)
    sizes = abs_(expr)
    if not matrix:
        return _NAMED[ord](sizes, axis=axes, keepdims=bool(keepdims))
    order = axes if axis is None else tuple(axes_of("norm", expr, each)[0] for each in axis)  # type: ignore[union-attr]
    rows, columns = order if ord in {1, -1} else order[::-1]
    totals = sum_(sizes, axis=rows, keepdims=True)
    found = _NAMED[np.inf if ord > 0 else -np.inf](totals, axis=columns, keepdims=True)
    return found if keepdims else squeeze(found, axes)


_NAMED = {1: sum_, np.inf: max_, -np.inf: min_}

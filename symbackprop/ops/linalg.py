"""Linear algebra by NumPy's and SciPy's names: inverses, powers, functions, determinants, factors, eigenvalues, norms.

Matrices are the last two axes, so that stacks of them have leading axes. The derivatives are those of Giles (2008),
*An extended collection of matrix derivative results for forward and reverse mode algorithmic differentiation*; those of
functions of matrices are from Higham (2008), *Functions of Matrices: Theory and Computation*.

>>> import symbackprop as sb
>>> X = sb.symbol("X", ("N", "N"))
>>> print(sb.grad(sb.linalg.slogdet(X).logabsdet, X))
X⁻ᵀ
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from numbers import Integral
from typing import Any, Literal, NamedTuple

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape, Size
from symbackprop.errors import DtypeError, ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import ATOM, LOWEST, MULTIPLY, POWER, Case, Dtype, Form, Notation, Op, Params, apply
from symbackprop.ops.contract import DIAG, matmul
from symbackprop.ops.elementwise import abs as abs_
from symbackprop.ops.elementwise import equal, real, where
from symbackprop.ops.index import UNSLICE, Run, concatenate
from symbackprop.ops.layout import axes_of, broadcast_to, expand_dims, matrix_transpose, squeeze, zeros_like
from symbackprop.ops.leaf import as_expr
from symbackprop.ops.reduce import SUM, Axis, accumulated, reduced, spread
from symbackprop.ops.reduce import max as max_
from symbackprop.ops.reduce import min as min_
from symbackprop.ops.reduce import sum as sum_

__all__ = [
    "cholesky",
    "cosm",
    "det",
    "eigh",
    "eigvalsh",
    "expm",
    "inv",
    "matrix_power",
    "norm",
    "sinm",
    "slogdet",
    "solve",
    "toeplitz",
]


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
    dtype=_factored,
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


# --- powers ---------------------------------------------------------------------------------------------------

_WRITTEN_OUT = 8  # up to this exponent a derivative has a term for each factor, as in the books


def _power_shape(a: Shape, **_: Any) -> Shape:
    return _square(a)


def _power_dtype(kind: Any, *, n: int) -> Dtype:
    return _factored(kind) if n < 0 else np.result_type(kind)


def _raised(a: Expr, n: int) -> Expr:
    return a if n == 1 else inv(a) if n == -1 else apply(MATRIX_POWER, a, n=n)


def _between(left: Expr | None, g: Expr, right: Expr | None) -> Expr:
    """Give ``leftᵀ g rightᵀ``; None is the identity."""
    found = g if left is None else matmul(matrix_transpose(left), g)
    return found if right is None else matmul(found, matrix_transpose(right))


def _power_vjp(g: Expr, _y: Expr, a: Expr, *, n: int) -> Expr:
    """Sum over the places where dA can stand; large powers are halved, so that there are few terms."""
    if n < -_WRITTEN_OUT:
        inverse = inv(a)
        return _inv_vjp(_power_vjp(g, inverse, inverse, n=-n), inverse, a)
    total = zeros_like(g)
    terms: list[Expr] = []
    while n > _WRITTEN_OUT:  # d(YY) = dY Y + Y dY, d(AY) = dA Y + A dY
        if n % 2:
            terms.append(_between(None, g, _raised(a, n - 1)))
            g = _between(a, g, None)
        else:
            half = _raised(a, n // 2)
            g = _between(None, g, half) + _between(half, g, None)
        n = n - 1 if n % 2 else n // 2
    places = [(r, n - 1 - r) for r in range(n)] if n > 0 else [(-r, n - 1 + r) for r in range(1, 1 - n)]
    for left, right in places:
        terms.append(_between(_raised(a, left) if left else None, g, _raised(a, right) if right else None))
    for at, term in enumerate(terms):
        total = total + term if at else term
    return -total if n < 0 else total


def _power_form(template: str, minus: str = "-") -> Notation:
    return lambda params, _shapes: Form(template.replace("$n", str(params["n"]).replace("-", minus)))


MATRIX_POWER: Op = Op(
    name="matrix_power",
    doc="Give a whole power of a square matrix, or of each of a stack: A⁰ = I, and A⁻ⁿ is the power of the inverse.",
    shape=_power_shape,
    dtype=_power_dtype,
    vjps=(_power_vjp,),
    numpy=_power_form("np.linalg.matrix_power($0, $n)"),
    text=_power_form("matrix_power($0, $n)", "−"),
    latex=_power_form(r"\operatorname{matrixpower}\left($0, $n\right)"),
    cost=lambda xs, _y, params: dims.product(xs[0]) * xs[0][-1] * 2 * max(builtins.abs(params["n"]).bit_length(), 1),
    domain=((-1.0, 1.0),),
    cases=(
        *(Case(((2, 2),), {"n": n}) for n in (0, 1, 2, -1, -3, 9, 10, -9)),
        Case(((3, 3),), {"n": 3}),
        Case(((4, 2, 2),), {"n": 4}),
        Case(((4, 2, 2),), {"n": -2}),
    ),
    options={"n": 1},
)


def matrix_power(a: Operand, n: int) -> Expr:
    """Give a whole power of a square matrix, or of each of a stack: ``A A … A``.

    ``A**n`` and what is printed Aⁿ raise each element; a power of the matrix is printed as the call that it is. The
    derivative has dA in the place of each factor: ``Σ (Aʳ)ᵀ g (Aⁿ⁻¹⁻ʳ)ᵀ`` over r from 0 to n - 1, and for n < 0
    ``-Σ (A⁻ʳ)ᵀ g (Aⁿ⁻¹⁺ʳ)ᵀ`` over r from 1 to -n (Matrix Cookbook, 2012, section 2.4.3; Giles 2008, section 2.2.5).

    Args:
        a: the matrices.
        n: the exponent; 0 gives the identity, a negative one the power of the inverse.

    Raises:
        ShapeError: the operand is no square matrix.
        TypeError: the exponent is no int.
        DtypeError: a negative exponent, and the dtype is float16.

    >>> import symbackprop as sb
    >>> X = sb.symbol("X", ("N", "N"))
    >>> print(sb.grad(sb.trace(sb.linalg.matrix_power(X, 5)), X))
    5 matrix_power(X, 4)ᵀ
    """
    given: object = n  # who has no type checker may pass anything
    if not isinstance(given, Integral):
        msg = f"matrix_power: the exponent is an int, not {n!r}: {as_expr(a).describe()}"
        raise TypeError(msg)
    return apply(MATRIX_POWER, as_expr(a), n=int(n))


# --- functions of matrices ------------------------------------------------------------------------------------

_PADE = """\
    a2 = a @ a
    a4 = a2 @ a2
    a6 = a4 @ a2
    u = a6 @ (a6 + 16380.0 * a4 + 40840800.0 * a2)
    u = a @ (u + 33522128640.0 * a6 + 10559470521600.0 * a4 + 1187353796428800.0 * a2 + 32382376266240000.0 * i)
    v = a6 @ (182.0 * a6 + 960960.0 * a4 + 1323241920.0 * a2)
    v = v + 670442572800.0 * a6 + 129060195264000.0 * a4 + 7771770303897600.0 * a2 + 64764752532480000.0 * i
    y = np.linalg.solve(v - u, v + u)\
"""
_EXPM = f'''
def expm(a):
    """exp of matrices: the [13/13] Padé approximant of a/2**s, squared s times (Higham 2005)."""
    a = a * 1.0
    size = np.abs(a).sum(axis=-2).max(axis=-1, initial=0.0)[..., None, None]
    s = np.maximum(np.frexp(size / 5.37)[1], 0)
    a = a * np.ldexp(np.ones((), size.dtype), -s)
    i = np.eye(a.shape[-1], dtype=size.dtype)
{_PADE}
    for k in range(s.max(initial=0)):
        y = np.where(k < s, y @ y, y)
    return y
'''
_PORTABLE_EXPM = f'''
def expm(a):
    """exp of matrices: the [13/13] Padé approximant of a/2**s, squared s times (Higham 2005)."""
    if 0 in a.shape:
        return a
    size = np.abs(a).sum(axis=-2).max(axis=-1)[..., None, None]
    s = np.floor(np.log2(np.maximum(size / 5.37, 0.5))) + 1.0
    a = a * 2.0**-s
    i = np.eye(a.shape[-1], dtype=a.dtype, device=a.device)
{_PADE}
    for k in range(int(np.max(s))):
        y = np.where(k < s, y @ y, y)
    return y
'''
_OF_I = '''
def {name}(a):
    """{name} of matrices, as exp(ia) = cos(a) + i sin(a)."""
    return expm(1j * a).{part}.copy()
'''
_PORTABLE_OF_I = '''
def {name}(a):
    """{name} of matrices, as the exponential of [[0, -a], [a, 0]] is [[cos(a), -sin(a)], [sin(a), cos(a)]]."""
    zero = np.zeros_like(a)
    rows = np.concatenate([zero, -a], axis=-1), np.concatenate([a, zero], axis=-1)
    return expm(np.concatenate(rows, axis=-2))[..., {rows}, : a.shape[-1]]
'''
_FRECHET = '''
def frechet(function, a, e):
    """The derivative of a function of matrices at a, along e: the corner of its value at [[a, e], [0, a]]."""
    e = e.astype(np.result_type(a, e))
    size = np.abs(e).sum(axis=-2, keepdims=True).max(axis=-1, keepdims=True, initial=0.0)
    size = np.where(size > 0, size, np.ones((), size.dtype))
    a, e = np.broadcast_arrays(a, e / size)
    rows = np.concatenate([a, e], axis=-1), np.concatenate([np.zeros_like(a), a], axis=-1)
    return function(np.concatenate(rows, axis=-2))[..., : a.shape[-1], a.shape[-1] :] * size
'''
_PORTABLE_FRECHET = '''
def frechet(function, a, e):
    """The derivative of a function of matrices at a, along e: the corner of its value at [[a, e], [0, a]]."""
    size = np.abs(e).sum(axis=-2, keepdims=True).max(axis=-1, keepdims=True)
    size = np.where(size > 0, size, np.ones_like(size))
    a, e = np.broadcast_arrays(a, e / size)
    rows = np.concatenate([a, e], axis=-1), np.concatenate([np.zeros_like(a), a], axis=-1)
    return function(np.concatenate(rows, axis=-2))[..., : a.shape[-1], a.shape[-1] :] * size
'''


def _two_squares(a: Shape, e: Shape) -> Shape:
    if _square(a)[-2:] != _square(e)[-2:]:
        msg = "needs square matrices of one size"
        raise ShapeError(msg)
    return dims.broadcast(a[:-2], e[:-2]) + a[-2:]


def _blocks(upper: tuple[Expr, Expr], lower: tuple[Expr, Expr]) -> Expr:
    return concatenate([concatenate(upper, axis=-1), concatenate(lower, axis=-1)], axis=-2)


def _second_vjp(along: Op, g: Expr, a: Expr, e: Expr) -> Expr:
    """Pull a derivative along e back to a: once more by blocks, which stand turned and in the other order here."""
    n = a.shape[-1]
    lead = dims.broadcast(g.shape[:-2], a.shape[:-2], e.shape[:-2])
    g, a, e = (broadcast_to(x, (*lead, n, n)) for x in (g, matrix_transpose(a), matrix_transpose(e)))
    zero = zeros_like(g)
    whole = along(_blocks((a, e), (zero, a)), _blocks((zero, zero), (g, zero)))
    return whole[..., :n, :n] + whole[..., n:, n:]


def _matrix_function(name: str, doc: str, helper: str, portable: str) -> tuple[Op, Op]:
    """State an analytic function of matrices, and its derivative along a matrix as an op of its own.

    With ``f([[A, E], [0, A]]) = [[f(A), L(A, E)], [0, f(A)]]`` (Mathias 1996; Higham 2008, eq. 3.16), L(A, E) is
    the derivative of f at A along E, and what pulls a cotangent back is L(Aᵀ, g).
    """
    along: Op = Op(
        name=f"{name}_frechet",
        doc=f"Give the derivative of {name} at a matrix, along another one.",
        shape=_two_squares,
        dtype=lambda *kinds: _factored(np.result_type(*kinds)),
        vjps=(
            lambda g, _y, a, e: _second_vjp(along, g, a, e),
            lambda g, _y, a, _e: along(matrix_transpose(a), g),
        ),
        numpy=Form(f"frechet({name}, $0, $1)"),
        text=Form(f"{name}_frechet($0, $1)"),
        latex=Form(rf"L_{{\operatorname{{{name}}}}}\left($0, $1\right)"),
        helper=f"{helper}\n{_FRECHET}",
        portable_helper=f"{portable}\n{_PORTABLE_FRECHET}",
        cost=lambda xs, y, _params: dims.product(y) * xs[0][-1] * 160,
        cases=tuple(Case(shapes) for shapes in [((2, 2), (2, 2)), ((3, 3), (3, 3)), ((2, 2), (4, 2, 2))]),
    )
    function = Op(
        name=name,
        doc=doc,
        shape=_square,
        dtype=_factored,
        vjps=(lambda g, _y, a: along(matrix_transpose(a), g),),
        numpy=Form(f"{name}($0)"),
        text=Form(f"{name}($0)"),
        latex=Form(rf"\operatorname{{{name}}}\left($0\right)"),
        helper=helper,
        portable_helper=portable,
        cost=lambda xs, _y, _params: dims.product(xs[0]) * xs[0][-1] * 20,
        cases=_STACKS,
    )
    return function, along


_ALONG = """The derivative pulls g back to L(Aᵀ, g), the derivative at Aᵀ along g (Higham 2008, section 3.2)"""

expm, EXPM_FRECHET = _matrix_function(
    "expm",
    f"""Give the exponential of a square matrix, or of each of a stack: the sum of ``Aᵏ/k!``.

{_ALONG}; of the trace it is exp(A)ᵀ (Matrix Cookbook, 2012, section 2.5).

>>> import symbackprop as sb
>>> X = sb.symbol("X", ("N", "N"))
>>> print(sb.grad(sb.trace(sb.linalg.expm(X)), X))
expm(X)ᵀ
""",
    _EXPM,
    _PORTABLE_EXPM,
)
sinm, SINM_FRECHET = _matrix_function(
    "sinm",
    f"""Give the sine of a square matrix, or of each of a stack: the sum of ``(-1)ᵏ A²ᵏ⁺¹/(2k + 1)!``.

{_ALONG}; of the trace it is cos(A)ᵀ (Matrix Cookbook, 2012, eq. 128).

>>> import symbackprop as sb
>>> X = sb.symbol("X", ("N", "N"))
>>> print(sb.grad(sb.trace(sb.linalg.sinm(X)), X))
cosm(X)ᵀ
""",
    f"{_EXPM}\n{_OF_I.format(name='sinm', part='imag')}",
    f"{_PORTABLE_EXPM}\n{_PORTABLE_OF_I.format(name='sinm', rows='a.shape[-1] :')}",
)
cosm, COSM_FRECHET = _matrix_function(
    "cosm",
    f"""Give the cosine of a square matrix, or of each of a stack: the sum of ``(-1)ᵏ A²ᵏ/(2k)!``.

{_ALONG}; of the trace it is -sin(A)ᵀ.

>>> import symbackprop as sb
>>> X = sb.symbol("X", ("N", "N"))
>>> print(sb.grad(sb.trace(sb.linalg.cosm(X)), X))
−sinm(X)ᵀ
""",
    f"{_EXPM}\n{_OF_I.format(name='cosm', part='real')}",
    f"{_PORTABLE_EXPM}\n{_PORTABLE_OF_I.format(name='cosm', rows=': a.shape[-1]')}",
)
MATRIX_FUNCTIONS = {expm: EXPM_FRECHET, sinm: SINM_FRECHET, cosm: COSM_FRECHET}
SLOPES: dict[Op, Callable[[Expr], Expr]] = {
    EXPM_FRECHET: expm,
    SINM_FRECHET: cosm,
    COSM_FRECHET: lambda a: -sinm(a),
}
"""What each derivative is along the identity: f′."""


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
    dtype=_factored,
    vjps=(lambda g, _y, a: _spread(g) * matrix_transpose(inv(a)),),
    numpy=Form("logdet($0)"),
    text=Form("log(det($0))"),
    latex=Form(r"\log\left(\det\left($0\right)\right)"),
    helper=_LOGDET,
    portable_helper=_PORTABLE_LOGDET,
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
    numpy=Form("halved_tril($0)"),
    helper='''
def halved_tril(x):
    """The lower triangle with half of the diagonal."""
    return 0.5 * (np.tril(x) + np.tril(x, -1))
''',
    text=Form("halved_tril($0)"),
    latex=Form(r"\operatorname{tril}_{1/2}\left($0\right)"),
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


# --- eigenvalues ----------------------------------------------------------------------------------------------

_SYMMETRIC_PART = '''
def symmetric_part(a):
    """(a + aᵀ)/2"""
    return 0.5 * a + 0.5 * np.swapaxes(a, -1, -2)
'''
_INVERSE_GAPS = '''
def inverse_gaps(w):
    """1/(w[j] - w[i]) for each i and j, and 0 where the two are equal."""
    w = 1.0 * w
    gaps = w[..., None, :] - w[..., None]
    return 1 / np.where(gaps == 0, np.inf, gaps)
'''


def _inverse_gaps_vjp(g: Expr, y: Expr, _w: Expr) -> Expr:
    part = g * y * y
    return sum_(part, axis=-1) - sum_(part, axis=-2)


INVERSE_GAPS = Op(
    name="inverse_gaps",
    doc="Give ``1/(λⱼ - λᵢ)`` for each i and j, and 0 where λᵢ and λⱼ are equal: F of Giles (2008), section 3.1.",
    shape=lambda w: (*w, w[-1]),
    dtype=real,
    vjps=(_inverse_gaps_vjp,),
    numpy=Form("inverse_gaps($0)"),
    text=Form("inverse_gaps($0)"),
    latex=Form(r"F\left($0\right)"),
    helper=_INVERSE_GAPS,
    cost=lambda _xs, y, _params: dims.product(y) * 2,
    cases=tuple(Case((shape,)) for shape in [(3,), (1,), (4, 2)]),
)


def _eigenvectors_vjp(g: Expr, y: Expr, a: Expr) -> Expr:
    turned = matrix_transpose(y)
    found = matmul(matmul(y, apply(INVERSE_GAPS, eigvalsh(a)) * matmul(turned, g)), turned)
    return 0.5 * (found + matrix_transpose(found))


EIGENVECTORS = Op(
    name="eigenvectors",
    doc="Give the eigenvectors of the symmetric part of a matrix as columns, in ascending order of the eigenvalues.",
    shape=_square,
    dtype=_factored,
    vjps=(_eigenvectors_vjp,),
    numpy=Form("np.linalg.eigh(symmetric_part($0))[1]"),
    text=Form("eigenvectors($0)"),
    latex=Form(r"\operatorname{eigenvectors}\left($0\right)"),
    helper=_SYMMETRIC_PART,
    cost=lambda xs, _y, _params: dims.product(xs[0]) * xs[0][-1] * 9,
    cases=_STACKS,
)


def _eigenvalues_vjp(g: Expr, _y: Expr, a: Expr) -> Expr:
    vectors = apply(EIGENVECTORS, a)
    return matmul(matmul(vectors, apply(DIAG, g)), matrix_transpose(vectors))


eigvalsh: Op = Op(
    name="eigvalsh",
    doc="""Give the eigenvalues of a symmetric matrix, or of each of a stack, in ascending order.

They are those of the symmetric part ``(A + Aᵀ)/2``: where NumPy reads one triangle, all elements count here, so that
the derivative of λᵢ is ``vᵢvᵢᵀ`` (Giles 2008, section 3.1; Matrix Cookbook, 2012, eq. 67). Of an eigenvalue that
occurs several times, that is the derivative along the eigenvectors that are found, one of many.

>>> import symbackprop as sb
>>> X = sb.symbol("X", ("N", "N"))
>>> print(sb.grad(sb.sum(sb.linalg.eigvalsh(X)), X))
I
""",
    shape=lambda a: _square(a)[:-1],
    dtype=_factored,
    vjps=(_eigenvalues_vjp,),
    numpy=Form("np.linalg.eigvalsh(symmetric_part($0))"),
    text=Form("eigvalsh($0)"),
    latex=Form(r"\operatorname{eigvalsh}\left($0\right)"),
    helper=_SYMMETRIC_PART,
    cost=lambda xs, _y, _params: dims.product(xs[0]) * xs[0][-1] * 4 // 3,
    cases=_STACKS,
)


class EighResult(NamedTuple):
    """The parts of a symmetric matrix: ``A = V diag(λ) Vᵀ``.

    Attributes:
        eigenvalues: λ, in ascending order.
        eigenvectors: V, whose columns they belong to; Vᵀ V = I.
    """

    eigenvalues: Expr
    eigenvectors: Expr


def eigh(a: Operand) -> EighResult:
    """Give eigenvalues and eigenvectors of a symmetric matrix, or of each of a stack.

    They are those of the symmetric part, as for `eigvalsh`. With ḡ the cotangent of V, that of A is the symmetric part
    of ``V (F ⊙ Vᵀḡ) Vᵀ``, where ``Fᵢⱼ = 1/(λⱼ - λᵢ)``, and 0 for i = j (Giles 2008, section 3.1). Where eigenvalues are
    equal their eigenvectors have no derivative: F is 0 there, and large where they are near to one another.

    Raises:
        ShapeError: the operand is no square matrix.
        DtypeError: its dtype is float16.

    >>> import symbackprop as sb
    >>> X = sb.symbol("X", ("N", "N"))
    >>> eigenvalues, eigenvectors = sb.linalg.eigh(X)
    >>> print(sb.grad(eigenvalues[0], X))
    eigenvectors(X)[:, :1]·eigenvectors(X)[:, :1]ᵀ
    """
    expr = as_expr(a)
    return EighResult(eigvalsh(expr), apply(EIGENVECTORS, expr))


# --- Toeplitz matrices ----------------------------------------------------------------------------------------

_TOEPLITZ = '''
def toeplitz(c, r):
    """The matrix with c as its first column and r as its first row, constant along diagonals; r[0] is not read."""
    lead = np.broadcast_shapes(c.shape[:-1], r.shape[:-1])
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
    return apply(TOEPLITZ, as_expr(c), as_expr(c if r is None else r))


# --- norms ----------------------------------------------------------------------------------------------------


def _over(function: str) -> Callable[[Params, tuple[Shape, ...]], Form]:
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


def _norm_text(params: Params, shapes: tuple[Shape, ...]) -> Form:
    """Write a call of `norm`, which takes two axes at most; over more the root of the sum of squares."""
    if len(params["axes"]) < 3:
        return _over("norm")(params, shapes)
    summed = _over("sum")(params, shapes).template.replace("$0", "$0²")
    return Form(f"√({summed})", POWER, (ATOM,))


_NORMS = tuple(Case((shape,), {"axes": axes}) for shape, axes in [
    ((3,), (-1,)), ((2, 3), (-1,)), ((2, 3), (-2,)), ((2, 3), (-2, -1)), ((4, 2, 3), (-3, -1)),
    ((2, 2, 3, 2), (-4, -2, -1)),
])  # fmt: skip

_NORM_OF = '''
def norm_of(x, axis=None, keepdims=False):
    """The root of the sum of squares; where squares overflow or underflow, of x over its largest element."""
    size = np.linalg.norm if np.size(axis) < 3 else lambda x, axis, keepdims: (x * x).sum(axis, keepdims=keepdims)**0.5
    n = size(x, axis=axis, keepdims=keepdims)
    if np.all((n > 1e-15) & (n < 1e15)):
        return n
    m = np.abs(x).max(axis=axis, keepdims=True, initial=0.0)
    m = np.where((m > 0) & np.isfinite(m), m, np.ones((), n.dtype))
    n = size(x / m, axis=axis, keepdims=True) * m
    return n if keepdims else n.squeeze(axis=axis)[()]
'''
_UNIT = '''
def unit(x, axis=None):
    """x / norm(x), and 0 where the norm is 0; beside an infinite number all finite ones are as nothing."""
    n = norm_of(x, axis=axis, keepdims=True)
    if np.any(np.isinf(n)):
        x = np.where(np.isinf(n), np.where(np.isinf(x), np.sign(x), np.zeros_like(x)), x)
        n = norm_of(x, axis=axis, keepdims=True)
    return x / np.where(n == 0, np.inf, n)
'''
_PORTABLE_NORM_OF = '''
def norm_of(x, axis=None, keepdims=False):
    """The root of the sum of squares, of x over its largest element."""
    if 0 in x.shape:
        return np.sqrt(np.square(x).sum(axis=axis, keepdims=keepdims))
    m = np.abs(x).max(axis=axis, keepdims=True)
    m = np.where((m > 0) & np.isfinite(m), m, np.ones_like(m))
    n = np.sqrt(np.square(x / m).sum(axis=axis, keepdims=True)) * m
    return n if keepdims else n.sum(axis=axis)
'''
_PORTABLE_UNIT = '''
def unit(x, axis=None):
    """x / norm(x), and 0 where the norm is 0; beside an infinite number all finite ones are as nothing."""
    n = norm_of(x, axis=axis, keepdims=True)
    x = np.where(np.isinf(n), np.where(np.isinf(x), np.sign(x), np.zeros_like(x)), x)
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
    portable_helper=_PORTABLE_NORM_OF + "\n" + _PORTABLE_UNIT,
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
    text=_bars("‖", "‖", _norm_text),
    latex=_bars(r"\left\lVert ", r"\right\rVert", _latex_over("norm")),
    helper=_NORM_OF,
    portable_helper=_PORTABLE_NORM_OF,
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

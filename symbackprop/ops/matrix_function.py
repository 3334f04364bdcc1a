"""Powers and functions of matrices.

The derivatives are from Higham (2008), *Functions of Matrices: Theory and Computation*.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape
from symbackprop.errors import ArgumentError
from symbackprop.expr import Expr, Operand
from symbackprop.op import Case, Dtype, Form, Notation, Op, apply
from symbackprop.ops.contract import matmul
from symbackprop.ops.index import concatenate
from symbackprop.ops.layout import broadcast_to, matrix_transpose, zeros_like
from symbackprop.ops.leaf import as_expr
from symbackprop.ops.systems import STACKS, factored, inv, inv_vjp, square_of, two_squares

__all__ = ["cosm", "expm", "matrix_power", "sinm"]

# --- powers ---------------------------------------------------------------------------------------------------

_WRITTEN_OUT = 8  # up to this exponent a derivative has a term for each factor, as in the books


def _power_shape(a: Shape, **_: Any) -> Shape:
    return square_of(a)


def _power_dtype(kind: Any, *, n: int) -> Dtype:
    return factored(kind) if n < 0 else np.result_type(kind)


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
        return inv_vjp(_power_vjp(g, inverse, inverse, n=-n), inverse, a)
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
    defined="det(A) ≠ 0 where n < 0",
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
        ArgumentError: the exponent is no int.
        DtypeError: a negative exponent, and the dtype is float16.

    >>> import symbackprop as sb
    >>> X = sb.symbol("X", ("N", "N"))
    >>> print(sb.grad(sb.trace(sb.linalg.matrix_power(X, 5)), X))
    5 matrix_power(X, 4)ᵀ
    """
    given: object = n  # who has no type checker may pass anything
    if not isinstance(given, Integral):
        msg = f"matrix_power: the exponent is an int, not {n!r}: {as_expr(a).describe()}"
        raise ArgumentError(msg)
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
        shape=two_squares,
        dtype=lambda *kinds: factored(np.result_type(*kinds)),
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
        shape=square_of,
        dtype=factored,
        vjps=(lambda g, _y, a: along(matrix_transpose(a), g),),
        numpy=Form(f"{name}($0)"),
        text=Form(f"{name}($0)"),
        latex=Form(rf"\operatorname{{{name}}}\left($0\right)"),
        helper=helper,
        portable_helper=portable,
        cost=lambda xs, _y, _params: dims.product(xs[0]) * xs[0][-1] * 20,
        cases=STACKS,
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

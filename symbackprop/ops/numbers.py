"""Functions of how numbers are held: rounding, tests, units, bits; most are short formulas of other functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from symbackprop.errors import ArgumentError, DtypeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import ATOM, Case, Dtype, Form, Op, described, kind_of
from symbackprop.ops.elementwise import (
    abs,
    add,
    are_bools,
    astype,
    boolean,
    called,
    elementwise_op,
    equal,
    exp2,
    floating,
    floor_divide,
    function_op,
    less_equal,
    like_ufunc,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    multiply,
    power,
    remainder,
    rint,
    sign,
    subtract,
    trunc,
    where,
)
from symbackprop.ops.elementwise import isnan as isnan_
from symbackprop.ops.layout import zeros_like
from symbackprop.ops.leaf import as_expr

__all__ = [
    "around",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "conj",
    "conjugate",
    "deg2rad",
    "degrees",
    "divmod",
    "fabs",
    "fix",
    "float_power",
    "gcd",
    "imag",
    "invert",
    "isclose",
    "isfinite",
    "isinf",
    "isneginf",
    "isposinf",
    "lcm",
    "ldexp",
    "left_shift",
    "modf",
    "nan_to_num",
    "rad2deg",
    "radians",
    "real",
    "real_if_close",
    "reciprocal",
    "right_shift",
    "round",
    "signbit",
]


def _as_float(x: Operand) -> Expr:
    """Convert integers and bools as NumPy's functions of floats do."""
    expr = as_expr(x)
    return astype(expr, floating(expr.dtype))


# --- rounding -------------------------------------------------------------------------------------------------


def _round_form(params: Any, _shapes: Any) -> Form:
    return Form(f"np.round($0, {params['decimals']})")


def _portable_round(params: Any, _shapes: Any) -> Form:
    decimals = params["decimals"]
    scale, inverse = ("*", "/") if decimals >= 0 else ("/", "*")
    unit = 10.0 ** math.fabs(decimals)
    return Form(f"(np.rint($0 {scale} {unit}) {inverse} {unit})", operands=(ATOM,))


def _no_bools(kind: Any, **_: Any) -> Dtype:
    dtype: Dtype = np.result_type(kind)
    if dtype.kind == "b":
        msg = "NumPy does not round bools to decimals; convert with astype"
        raise DtypeError(msg)
    return dtype


ROUND = elementwise_op(
    "round", "Round to some decimals.", None, numpy=_round_form,
    portable=_portable_round,
    text=lambda params, _shapes: Form(f"round($0, {params['decimals']})"),
    latex=lambda params, _shapes: Form(rf"\operatorname{{round}}_{{{params['decimals']}}}\left($0\right)"),
    dtype=_no_bools, options={"decimals": 1}, public=False,
    cases=(Case(((5,),), {"decimals": 2}), Case(((5,),), {"decimals": -1})),
)  # fmt: skip


def round(x: Operand, decimals: int = 0) -> Expr:
    """Round to some decimals, of two that are equally near to the even one; the derivative is 0.

    Args:
        x: the operand.
        decimals: how many, or, where negative, how many digits before the point become 0.

    Raises:
        ArgumentError: the decimals are no whole number.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> print(sb.round(x), sb.round(x, 2))
    rint(x) round(x, 2)
    """
    if not hasattr(decimals, "__index__"):
        msg = f"round: decimals is a whole number, not {decimals!r}"
        raise ArgumentError(msg)
    expr, places = as_expr(x), int(decimals)
    if expr.dtype.kind in "iu" and places >= 0:
        return expr
    return ROUND(expr, decimals=places) if places else rint(expr)


FRACTION = function_op(
    "fraction", "Give x less its whole part, with the sign of x: the first part of modf.", lambda g, _y, _x: g,
    numpy=Form("np.modf($0)[0]"), public=False, domain=[(0.1, 0.9)], kink="1 at whole x too",
    portable=called("fraction"), portable_helper="""
def fraction(x):
    \"\"\"What stands behind the point, with the sign of x.\"\"\"
    return np.copysign(np.where(np.isinf(x), np.zeros_like(x), np.abs(x) % 1.0), x)
""",
)  # fmt: skip


def modf(x: Operand) -> tuple[Expr, Expr]:
    """Give what stands behind the point and what before it, both with the sign of x; derivatives 1 and 0.

    >>> import symbackprop as sb
    >>> fraction, whole = sb.modf(sb.symbol("x", "N"))
    >>> print(fraction, whole)
    fraction(x) trunc(x)
    """
    expr = _as_float(x)
    return FRACTION(expr), trunc(expr)


def divmod(x: Operand, y: Operand) -> tuple[Expr, Expr]:
    """Give quotient and remainder of the floor division: ``(x // y, x % y)``.

    >>> import symbackprop as sb
    >>> x, y = sb.symbols("x y")
    >>> print(*sb.divmod(x, y))
    ⌊x/y⌋ x mod y
    """
    return floor_divide(x, y), remainder(x, y)


# --- tests of numbers -----------------------------------------------------------------------------------------

isfinite = function_op("isfinite", "Tell where it is a finite number.", None, dtype=boolean)
isinf = function_op("isinf", "Tell where it is ∞ or -∞.", None, dtype=boolean)
signbit = function_op("signbit", "Tell where the sign is negative, of -0.0 too.", None, dtype=like_ufunc("signbit"))


def isposinf(x: Operand) -> Expr:
    """Tell where it is ∞.

    >>> import symbackprop as sb
    >>> print(sb.isposinf(sb.symbol("x")))
    x = ∞
    """
    return equal(as_expr(x), np.inf)


def isneginf(x: Operand) -> Expr:
    """Tell where it is -∞.

    >>> import symbackprop as sb
    >>> print(sb.isneginf(sb.symbol("x")))
    x = −∞
    """
    return equal(as_expr(x), -np.inf)


def nan_to_num(
    x: Operand,
    copy: bool = True,  # noqa: ARG001, FBT001, FBT002  (as in NumPy)
    nan: float = 0.0,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Expr:
    """Replace NaN and infinities by numbers; the derivative is 1 where x is finite, else 0.

    Args:
        x: the operand.
        copy: accepted as NumPy's: an expression is a new one in any case.
        nan: for NaN.
        posinf: for ∞; the largest number of the dtype unless told.
        neginf: for -∞; the smallest one unless told.

    >>> import symbackprop as sb
    >>> sb.nan_to_num(sb.symbol("x", "N"), nan=1.0).shape
    (N,)
    """
    expr = as_expr(x)
    if expr.dtype.kind != "f":
        return expr
    limits = np.finfo(expr.dtype)
    low = float(limits.min) if neginf is None else neginf
    high = float(limits.max) if posinf is None else posinf
    return where(isnan_(expr), nan, where(isposinf(expr), high, where(isneginf(expr), low, expr)))


def isclose(
    a: Operand,
    b: Operand,
    rtol: Operand = 1e-05,
    atol: Operand = 1e-08,
    equal_nan: bool = False,  # noqa: FBT001, FBT002  (as in NumPy)
) -> Expr:
    """Tell where ``|a − b| ≤ atol + rtol·|b|`` for a finite b, or a and b are equal.

    Args:
        a: one operand.
        b: the other, which the tolerance is relative to.
        rtol: relative tolerance.
        atol: absolute tolerance.
        equal_nan: whether NaN is near NaN.

    >>> import symbackprop as sb
    >>> a, b = sb.symbols("a[N] b[N]")
    >>> sb.isclose(a, b).dtype
    dtype('bool')
    """
    left, right = as_expr(a), as_expr(b)
    gap = subtract(astype(left, floating(left.dtype)), right)
    near = less_equal(abs(gap), add(atol, multiply(rtol, abs(right))))
    found = logical_or(logical_and(near, isfinite(right)), equal(left, right))
    return logical_or(found, logical_and(isnan_(left), isnan_(right))) if equal_nan else found


# --- units, signs, powers -------------------------------------------------------------------------------------


def deg2rad(x: Operand) -> Expr:
    """Convert degrees to radians: ``x·π/180``.

    >>> import symbackprop as sb
    >>> sb.deg2rad(sb.symbol("x", "N")).shape
    (N,)
    """
    return multiply(_as_float(x), math.pi / 180)


def rad2deg(x: Operand) -> Expr:
    """Convert radians to degrees: ``x·180/π``.

    >>> import symbackprop as sb
    >>> sb.rad2deg(sb.symbol("x", "N")).shape
    (N,)
    """
    return multiply(_as_float(x), 180 / math.pi)


def fabs(x: Operand) -> Expr:
    """Give the absolute value as a float; d/dx = sign(x), 0 at x = 0.

    >>> import symbackprop as sb
    >>> sb.fabs(sb.symbol("k", "N", "int64")).dtype
    dtype('float64')
    """
    return abs(_as_float(x))


def reciprocal(x: Operand) -> Expr:
    """Give ``1/x``, of integers rounded towards zero, ``sign(x)·(1 // |x|)``; d/dx = -1/x².

    >>> import symbackprop as sb
    >>> print(sb.reciprocal(sb.symbol("x")))
    1/x
    """
    expr = as_expr(x)
    if expr.dtype.kind == "f":
        return 1 / expr
    whole = astype(expr, like_ufunc("reciprocal")(expr.dtype))
    return sign(whole) * (1 // abs(whole))


def float_power(x: Operand, y: Operand) -> Expr:
    """Raise to a power in double precision, of integers too: ``float64(x)**float64(y)``.

    Its derivatives at 0 are those of `power`.

    >>> import symbackprop as sb
    >>> sb.float_power(sb.symbol("k", "N", "int64"), -2).dtype
    dtype('float64')
    """
    return power(astype(as_expr(x), "float64"), astype(as_expr(y), "float64"))


def ldexp(x: Operand, n: Operand) -> Expr:
    """Give ``x·2ⁿ`` for whole n; d/dx = 2ⁿ.

    Raises:
        DtypeError: n is of floats.

    >>> import symbackprop as sb
    >>> print(sb.ldexp(sb.symbol("x"), sb.symbol("n", dtype="int64")))
    x·2^float64(n)
    """
    kind = np.result_type(kind_of(n))
    if kind.kind not in "iub":
        msg = f"ldexp: n is of integers, not {described(n)} of {kind}"
        raise DtypeError(msg)
    found = floating(kind_of(x))
    power_of_two = exp2(astype(n, found) if isinstance(n, Expr) else np.asarray(n, found))
    return multiply(astype(x, found) if isinstance(x, Expr) else np.asarray(x, found), power_of_two)


def real(x: Operand) -> Expr:
    """Give the real part: x itself, because all expressions are real.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> sb.real(x) is x
    True
    """
    return as_expr(x)


def imag(x: Operand) -> Expr:
    """Give the imaginary part: zeros, because all expressions are real.

    >>> import symbackprop as sb
    >>> print(sb.imag(sb.symbol("x")))
    0
    """
    return zeros_like(as_expr(x))


def conjugate(x: Operand) -> Expr:
    """Give the complex conjugate: x itself, because all expressions are real; bools become int8, as in NumPy.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> sb.conjugate(x) is x
    True
    """
    expr = as_expr(x)
    return astype(expr, like_ufunc("conjugate")(expr.dtype))


def real_if_close(x: Operand, tol: float = 100) -> Expr:  # noqa: ARG001  (as in NumPy)
    """Give x itself, because all expressions are real.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> sb.real_if_close(x) is x
    True
    """
    return as_expr(x)


# --- bits and whole numbers -----------------------------------------------------------------------------------


def _of_bits(name: str, sign: str) -> Callable[..., Dtype]:
    like = like_ufunc(name)

    def rule(*kinds: Any, **_: Any) -> Dtype:
        try:
            return like(*kinds)
        except DtypeError:
            shown = " and ".join(str(kind if isinstance(kind, np.dtype) else type(kind).__name__) for kind in kinds)
            msg = f"{sign or name} is for integers{' and bools' * bool(sign)}, not {shown}: compare first, or convert"
            raise DtypeError(msg) from None

    return rule


def _bits(name: str, meaning: str, arity: int = 2, *, sign: str = "", **rest: Any) -> Op:
    return function_op(
        name, meaning, *(None,) * arity, dtype=_of_bits(name, sign), domain=((0.0, 7.0),) * arity,
        public=not sign, whole=True, **rest,
    )  # fmt: skip


BITWISE_AND = _bits("bitwise_and", "Give the bits that both have.", sign="&")
BITWISE_OR = _bits("bitwise_or", "Give the bits that one has at least.", sign="|")
BITWISE_XOR = _bits("bitwise_xor", "Give the bits that one has and the other has not.", sign="^")
INVERT = _bits("invert", "Give all bits that it has not: -1 - x of a signed integer.", 1, sign="~")
left_shift = _bits("left_shift", "Move the bits of integers to the left: x·2^y.", defined="y ≥ 0")
right_shift = _bits("right_shift", "Move the bits of integers to the right: ⌊x/2^y⌋.", defined="y ≥ 0")
gcd = _bits("gcd", "Give the greatest common divisor of integers.", latex=r"\gcd")
lcm = _bits("lcm", "Give the least common multiple of integers.")


def bitwise_and(x: Operand, y: Operand) -> Expr:
    """Give the bits that both have, ``x & y``; of bools, whether both hold.

    Raises:
        DtypeError: an operand is of floats.

    >>> import symbackprop as sb
    >>> k = sb.symbol("k", "N", "int64")
    >>> print(k & 6)
    bitwise_and(k, 6)
    """
    return logical_and(x, y) if are_bools(x, y) else BITWISE_AND(x, y)


def bitwise_or(x: Operand, y: Operand) -> Expr:
    """Give the bits that one has at least, ``x | y``; of bools, whether one holds at least.

    Raises:
        DtypeError: an operand is of floats.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> print((x < 0) | (x > 1))
    [x < 0] ∨ [x > 1]
    """
    return logical_or(x, y) if are_bools(x, y) else BITWISE_OR(x, y)


def bitwise_xor(x: Operand, y: Operand) -> Expr:
    """Give the bits that one has and the other has not, ``x ^ y``; of bools, whether they differ.

    Raises:
        DtypeError: an operand is of floats.

    >>> import symbackprop as sb
    >>> k = sb.symbol("k", "N", "int64")
    >>> print(k ^ 1)
    bitwise_xor(k, 1)
    """
    return logical_xor(x, y) if are_bools(x, y) else BITWISE_XOR(x, y)


def invert(x: Operand) -> Expr:
    """Give all bits that it has not, ``~x``; of bools, where it does not hold.

    Raises:
        DtypeError: x is of floats.

    >>> import symbackprop as sb
    >>> print(~(sb.symbol("x") > 0))
    ¬[x > 0]
    """
    return logical_not(x) if are_bools(x) else INVERT(x)


# --- second names: NumPy's, for the same functions ------------------------------------------------------------

around, fix = round, trunc
radians, degrees = deg2rad, rad2deg
conj = conjugate
bitwise_invert = bitwise_not = invert
bitwise_left_shift, bitwise_right_shift = left_shift, right_shift

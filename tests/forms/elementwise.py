"""Functions of each element."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.forms import Form, bools, floats, form, ints

SIGNED = floats((2, 3), -1.8, 1.9)
COLUMN, ROW = floats((2, 1), -1.8, 1.9), floats((3,), -1.6, 1.7)
UNIT = floats((2, 3), -0.9, 0.9)
BITS, MORE = ints((2, 3), 0, 9), ints((3,), 1, 5)


def flat(text: str, **operands: Any) -> Form:
    """State a form that has no derivative."""
    return form(text, differentiable=False, **operands)


FORMS = (
    # arithmetic, with operators and reflected ones
    *(form(f"x {sign} y", x=SIGNED, y=ROW) for sign in "+-*"),
    form("x / y", x=SIGNED, y=floats((3,), 0.5, 2.0)),
    form("x + 1", x=(3,)),
    form("1 + x", x=(3,)),
    form("x - 0.5", x=(3,)),
    form("2 - x", x=(3,)),
    form("2 * x", x=(3,)),
    form("x * 0.1", x=(3,)),
    form("x / 2", x=(3,)),
    form("2 / x", x=(3,)),
    form("-x", x=SIGNED),
    form("+x", x=SIGNED),
    form("abs(x)", x=SIGNED),
    form("x**2", x=SIGNED),
    form("x**3", x=SIGNED),
    form("x**-1", x=(2, 3)),
    form("x**0.5", x=(2, 3)),
    form("x**y", x=(2, 3), y=ROW),
    form("2.0**x", x=SIGNED),
    form("x**i", x=(2, 3), i=ints((3,), 0, 4)),
    form("np.float64(2) * x", x=(3,)),
    form("x - np.float64(2)", x=(3,)),
    form("np.float64(2) ** x", x=(3,)),
    form("a - x", a=np.array([0.5, 1.5, 2.5]), x=(3,), named=False),
    form("x * i", x=(3,), i=ints((2, 1), 1, 4)),
    form("np.add(x, y)", x=COLUMN, y=ROW),
    form("np.subtract(x, y)", x=COLUMN, y=ROW),
    form("np.multiply(x, y)", x=COLUMN, y=ROW),
    form("np.divide(x, y)", x=COLUMN, y=(3,)),
    form("np.true_divide(x, 3)", x=(3,)),
    form("np.negative(x)", x=SIGNED),
    form("np.positive(x)", x=SIGNED),
    form("np.square(x)", x=SIGNED),
    form("np.power(x, y)", x=(2, 3), y=ROW),
    form("np.pow(x, 3)", x=(2, 3)),
    form("np.float_power(x, 2.5)", x=(2, 3)),
    form("np.float_power(x, i)", x=(2, 3), i=ints((3,), 0, 4)),
    form("np.reciprocal(x)", x=floats((2, 3), 0.5, 2.0)),
    form("np.sqrt(x)", x=(2, 3)),
    form("np.cbrt(x)", x=floats((2, 3), 0.5, 2.0)),
    form("np.hypot(x, y)", x=(2, 3), y=(3,)),
    form("np.hypot(x, 1)", x=(3,)),
    # division into whole parts
    flat("x // y", x=(2, 3), y=floats((3,), 1.0, 2.0)),
    flat("x // 2", x=(3,)),
    flat("5 // x", x=(3,)),
    flat("np.floor_divide(x, 0.4)", x=(3,)),
    form("x % y", x=SIGNED, y=floats((3,), 0.61, 0.67)),
    form("x % 1", x=SIGNED),
    form("2.1 % x", x=floats((3,), 0.71, 0.99)),
    form("np.remainder(x, 0.7)", x=SIGNED),
    form("np.mod(x, y)", x=SIGNED, y=floats((3,), 0.61, 0.67)),
    form("np.fmod(x, y)", x=SIGNED, y=floats((3,), 0.61, 0.67)),
    form("np.fmod(x, 1)", x=SIGNED),
    form("divmod(x, y)", x=SIGNED, y=floats((3,), 0.61, 0.67)),
    form("divmod(x, 2)", x=SIGNED),
    form("divmod(3, x)", x=floats((3,), 1.1, 1.4)),
    form("np.modf(x)", x=SIGNED),
    flat("np.floor(x)", x=SIGNED),
    flat("np.ceil(x)", x=SIGNED),
    flat("np.trunc(x)", x=SIGNED),
    flat("np.fix(x)", x=SIGNED),
    flat("np.rint(x)", x=SIGNED),
    flat("np.round(x)", x=SIGNED),
    flat("np.round(x, 1)", x=SIGNED),
    flat("np.round(x, decimals=-1)", x=floats((3,), -40.0, 40.0)),
    flat("np.around(x, 2)", x=SIGNED),
    flat("round(x, 1)", truth="np.round(x, 1)", x=SIGNED),
    flat("math.floor(x)", truth="np.floor(x)", x=SIGNED),
    flat("math.ceil(x)", truth="np.ceil(x)", x=SIGNED),
    flat("math.trunc(x)", truth="np.trunc(x)", x=SIGNED),
    # exponentials and logarithms
    *(form(f"np.{name}(x)", x=SIGNED) for name in ("exp", "exp2", "expm1")),
    *(form(f"np.{name}(x)", x=(2, 3)) for name in ("log", "log2", "log10", "log1p")),
    form("np.logaddexp(x, y)", x=(2, 3), y=(3,)),
    form("np.logaddexp(x, 0)", x=(3,)),
    form("np.logaddexp2(x, y)", x=(2, 3), y=(3,)),
    form("np.ldexp(x, i)", x=(2, 3), i=ints((3,), -2, 3)),
    form("np.ldexp(x, 3)", x=(3,)),
    form("np.log10(x / y)", x=(2, 3), y=(3,)),
    # special functions
    *(
        form(f"sp.{name}(x)", x=SIGNED)
        for name in ("erf", "erfc", "expit", "log_expit", "ndtr", "log_ndtr", "exprel", "erfcx")
    ),
    *(form(f"sp.{name}(x)", x=(2, 3)) for name in ("gammaln", "gamma", "digamma", "psi", "entr")),
    *(form(f"sp.{name}(x)", x=SIGNED) for name in ("i0", "i1")),
    *(form(f"sp.{name}(x)", x=floats((3,), 0.2, 2.0)) for name in ("i0e", "i1e")),
    *(form(f"sp.{name}(x)", x=floats((2, 3), 0.1, 0.9)) for name in ("logit", "ndtri", "erfinv")),
    form("sp.erfcinv(x)", x=floats((2, 3), 0.2, 1.8)),
    *(form(f"sp.{name}(x, y)", x=(2, 3), y=(3,)) for name in ("beta", "betaln", "rel_entr", "kl_div")),
    form("sp.betaln(x, i)", x=(3,), i=ints((3,), 1, 4)),
    form("sp.xlogy(x, y)", x=SIGNED, y=(3,)),
    form("sp.xlogy(i, x)", x=(3,), i=ints((3,), 0, 3)),
    form("sp.xlog1py(x, y)", x=SIGNED, y=(3,)),
    form("sp.boxcox(x, y)", x=(2, 3), y=ROW),
    form("sp.boxcox(x, 0.5)", x=(3,)),
    form("sb.polygamma(1, x)", truth="sp.polygamma(1, x).astype(sp.psi(x).dtype)", x=(2, 3)),
    form("sb.polygamma(2, x)", truth="sp.polygamma(2, x).astype(sp.psi(x).dtype)", x=(2, 3)),
    form("sb.softplus(x)", truth="np.logaddexp(0, x)", x=SIGNED),
    form("np.i0(x)", x=SIGNED),
    # angles
    *(form(f"np.{name}(x)", x=SIGNED) for name in ("sin", "cos", "sinh", "cosh", "tanh", "arctan", "arcsinh")),
    *(form(f"np.{name}(x)", x=SIGNED) for name in ("atan", "asinh", "sinc")),
    *(form(f"np.{name}(x)", x=UNIT) for name in ("tan", "arcsin", "arccos", "arctanh", "asin", "acos", "atanh")),
    *(form(f"np.{name}(x)", x=floats((3,), 1.2, 3.0)) for name in ("arccosh", "acosh")),
    form("np.arctan2(x, y)", x=SIGNED, y=(3,)),
    form("np.arctan2(x, 1)", x=SIGNED),
    form("np.arctan2(1, x)", x=(3,)),
    form("np.atan2(x, y)", x=COLUMN, y=ROW),
    *(form(f"np.{name}(x)", x=SIGNED) for name in ("deg2rad", "radians", "rad2deg", "degrees")),
    # sizes, signs, limits
    *(form(f"np.{name}(x)", x=SIGNED) for name in ("abs", "absolute", "fabs")),
    flat("np.sign(x)", x=SIGNED),
    form("np.copysign(x, y)", x=SIGNED, y=ROW),
    form("np.copysign(x, -1)", x=SIGNED),
    flat("np.heaviside(x, 0.5)", x=SIGNED),
    flat("np.signbit(x)", x=SIGNED),
    form("np.maximum(x, y)", x=SIGNED, y=ROW),
    form("np.maximum(0, x)", x=SIGNED),
    form("np.minimum(x, y)", x=COLUMN, y=ROW),
    form("np.fmax(x, y)", x=SIGNED, y=ROW),
    form("np.fmin(x, 0.5)", x=SIGNED),
    form("np.clip(x, -0.5, 1)", x=SIGNED),
    form("np.clip(x, None, 0.5)", x=SIGNED),
    form("np.clip(x, -0.5, None)", x=SIGNED),
    form("np.clip(x, y, y + 1)", x=SIGNED, y=ROW),
    form("np.clip(x, a_min=-0.5, a_max=1)", x=SIGNED),
    form("np.clip(x, min=-0.5)", x=SIGNED),
    form("np.clip(x, max=0.5)", x=SIGNED),
    form("np.clip(x, min=-0.5, max=0.5)", x=SIGNED),
    form("np.nan_to_num(x)", x=SIGNED),
    form("np.nan_to_num(x, nan=1.0, posinf=2.0, neginf=-2.0)", x=SIGNED),
    form("np.nan_to_num(np.log(x), nan=-1.0)", x=floats((2, 3), 0.3, 1.8)),
    # real numbers as complex ones
    form("np.real(x)", x=SIGNED),
    form("np.conj(x)", x=SIGNED),
    form("np.conjugate(x)", x=SIGNED),
    form("np.real_if_close(x)", x=SIGNED),
    flat("np.imag(x)", x=SIGNED),
    # comparisons, tests, logic
    *(flat(f"x {sign} y", x=SIGNED, y=ROW) for sign in ("<", "<=", ">", ">=")),
    *(flat(f"x {sign} 0.5", x=SIGNED) for sign in ("<", "<=", ">", ">=")),
    flat("0 < x", x=SIGNED),
    *(
        flat(f"np.{name}(x, y)", x=SIGNED, y=ROW)
        for name in ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal", "isclose")
    ),
    flat("np.isclose(x, 0.5, rtol=0.1, atol=0.2)", x=SIGNED),
    flat("np.isclose(x, x / (x > 0), equal_nan=True)", x=SIGNED),
    *(flat(f"np.{name}(x)", x=SIGNED) for name in ("isnan", "isinf", "isfinite", "isposinf", "isneginf")),
    flat("np.isinf(x / 0)", x=SIGNED),
    *(
        flat(f"np.{name}(a, b)", a=bools((2, 3)), b=bools((3,)))
        for name in ("logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor")
    ),
    *(flat(f"a {sign} b", a=bools((2, 3)), b=bools((3,))) for sign in "&|^"),
    *(flat(f"np.{name}(a)", a=bools((3,))) for name in ("logical_not", "invert", "bitwise_not")),
    flat("~a", a=bools((3,))),
    flat("(x > 0) & (x < 1)", x=SIGNED),
    flat("~(x > 0) | (y > 0)", x=SIGNED, y=ROW),
    flat("np.logical_and(x, y)", x=SIGNED, y=ROW),
    flat("True ^ a", a=bools((3,))),
    # bits and whole numbers
    *(
        flat(f"np.{name}(i, j)", i=BITS, j=MORE)
        for name in ("bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift", "gcd", "lcm")
    ),
    flat("np.bitwise_left_shift(i, 2)", i=BITS),
    flat("np.bitwise_right_shift(i, 1)", i=BITS),
    *(flat(f"i {sign} j", i=BITS, j=MORE) for sign in ("&", "|", "^", "<<", ">>", "//", "%")),
    flat("i & 1", i=BITS),
    flat("1 | i", i=BITS),
    flat("3 ^ i", i=BITS),
    flat("1 << i", i=BITS),
    flat("i >> 1", i=BITS),
    flat("~i", i=BITS),
    flat("np.bitwise_invert(i)", i=BITS),
    # choices
    form("np.where(m, x, 0)", m=bools((3,)), x=(3,)),
    form("np.where(m, x, y)", m=bools((2, 3)), x=SIGNED, y=ROW),
    form("np.where(x > 0, x, 0.1 * x)", x=SIGNED),
    form("np.where(x > 0, np.log(np.where(x > 0, x, 1)), 0)", x=SIGNED),
    form("np.select([x < 0, x < 1], [x**2, 3 * x])", x=SIGNED),
    form("np.select([x < 0, x < 1], [x**2, 3 * x], default=x)", x=SIGNED),
    form("np.select([m], [x], 0.5)", m=bools((3,)), x=SIGNED),
    form("np.piecewise(x, [x < 0, x >= 1], [lambda x: -x, lambda x: x**2])", x=SIGNED),
    form("np.piecewise(x, [x < 0], [lambda x: x**2, lambda x: x])", x=SIGNED),
    form("np.piecewise(x, [x < 0], [lambda x, k: k * x, 1], 3)", x=SIGNED),
    form("(x > 0) * x", x=SIGNED),
    form("x.clip(0.5, 1.2)", x=(2, 3)),
    form("x.clip(max=1.0)", x=(3,)),
    form("x.round(1)", x=(3,), differentiable=False),
)

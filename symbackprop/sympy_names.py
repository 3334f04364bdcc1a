"""What operations are called in SymPy: one table for both directions, and for the algebra that SymPy is asked to do.

Ops stand by name, and SymPy's module is handed to the formulas: neither need be loaded to read the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

SymPy: TypeAlias = Any  # its module
Written: TypeAlias = Callable[..., Any]

FUNCTIONS: Mapping[str, str] = {
    "abs": "Abs",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "beta": "beta",
    "ceil": "ceiling",
    "cos": "cos",
    "cosh": "cosh",
    "digamma": "digamma",
    "equal": "Eq",
    "erf": "erf",
    "erfc": "erfc",
    "erfinv": "erfinv",
    "exp": "exp",
    "floor": "floor",
    "gamma": "gamma",
    "gammaln": "loggamma",
    "greater": "Gt",
    "greater_equal": "Ge",
    "less": "Lt",
    "less_equal": "Le",
    "log": "log",
    "maximum": "Max",
    "minimum": "Min",
    "not_equal": "Ne",
    "remainder": "Mod",
    "sign": "sign",
    "sin": "sin",
    "sinh": "sinh",
    "tan": "tan",
    "tanh": "tanh",
}
"""What both have, of the same arguments: our name and SymPy's."""


def _density(s: SymPy, x: Any) -> Any:
    return s.exp(-(x**2) / 2) / s.sqrt(2 * s.pi)


def _ndtr(s: SymPy, x: Any) -> Any:
    return s.erfc(-x / s.sqrt(2)) / 2


def _sigmoid(s: SymPy, x: Any) -> Any:
    return 1 / (1 + s.exp(-x))


def _zero_where(s: SymPy, x: Any, otherwise: Any) -> Any:
    return s.Piecewise((0, s.Eq(x, 0)), (otherwise, True))


def _round(s: SymPy, x: Any, *, decimals: int = 0) -> Any:
    """Give the nearest number, of two the even one."""
    x = x * s.Integer(10) ** decimals
    down = s.floor(x)
    tie = s.Eq(x - down, s.Rational(1, 2)) & s.Eq(s.Mod(down, 2), 0)
    return s.Piecewise((down, tie), (s.floor(x + s.Rational(1, 2)), True)) / s.Integer(10) ** decimals


def _sinc_slope(s: SymPy, x: Any, *, order: int) -> Any:
    """Give a derivative of sin(πx)/(πx) but at 0 by SymPy, there by the series."""
    variable = s.Dummy(real=True)
    slope = (s.sin(s.pi * variable) / (s.pi * variable)).diff(variable, order)
    at_zero = 0 if order % 2 else (-1) ** (order // 2) * s.pi**order / (order + 1)
    return s.Piecewise((at_zero, s.Eq(x, 0)), (slope.subs(variable, x), True))


def _exprel(s: SymPy, x: Any, *, order: int) -> Any:
    variable = s.Dummy(real=True)
    slope = ((s.exp(variable) - 1) / variable).diff(variable, order)
    return s.Piecewise((s.Rational(1, order + 1), s.Eq(x, 0)), (slope.subs(variable, x), True))


def _bessel_i(s: SymPy, x: Any, *, order: int, scaled: bool) -> Any:
    return s.besseli(order, x) * (s.exp(-s.Abs(x)) if scaled else 1)


def _step(s: SymPy, x: Any, *, at_zero: float) -> Any:
    return s.Heaviside(x, s.nsimplify(at_zero))


FORMULAS: Mapping[str, Written] = {
    "add": lambda _s, x, y: x + y,
    "subtract": lambda _s, x, y: x - y,
    "multiply": lambda _s, x, y: x * y,
    "damped": lambda _s, x, y: x * y,
    "divide": lambda _s, x, y: x / y,
    "power": lambda _s, x, y: x**y,
    "negative": lambda _s, x: -x,
    "square": lambda _s, x: x**2,
    "reciprocal": lambda _s, x: 1 / x,
    "sqrt": lambda s, x: s.sqrt(x),
    "floor_divide": lambda s, x, y: s.floor(x / y),
    "rint": _round,
    "round": _round,
    "fraction": lambda s, x: x - s.sign(x) * s.floor(s.Abs(x)),
    "copysign": lambda s, x, y: s.Piecewise((s.Abs(x), s.Ge(y, 0)), (-s.Abs(x), True)),
    "signbit": lambda s, x: s.Lt(x, 0),
    "erfcinv": lambda s, x: s.erfinv(1 - x),
    "erfcx": lambda s, x: s.exp(x**2) * s.erfc(x),
    "ndtri": lambda s, x: s.sqrt(2) * s.erfinv(2 * x - 1),
    "rel_entr": lambda s, x, y: s.Piecewise(
        (x * s.log(x / y), s.Gt(x, 0) & s.Gt(y, 0)), (0, s.Eq(x, 0) & s.Ge(y, 0)), (s.oo, True)
    ),
    "boxcox": lambda s, x, y: s.Piecewise((s.log(x), s.Eq(y, 0)), ((x**y - 1) / y, True)),
    "exprel": _exprel,
    "polygamma": lambda s, x, *, order: s.polygamma(order, x),
    "bessel_i": _bessel_i,
    "fmax": lambda s, x, y: s.Max(x, y),
    "fmin": lambda s, x, y: s.Min(x, y),
    "isfinite": lambda s, _x: s.true,
    "isinf": lambda s, _x: s.false,
    "isnan": lambda s, _x: s.false,
    "gap": lambda _s, x, y: x - y,
    "ratio": lambda s, x, y: s.Piecewise((0, s.Eq(y, 0)), (x / y, True)),
    "sinc_slope": _sinc_slope,
    "trunc": lambda s, x: s.sign(x) * s.floor(s.Abs(x)),
    "fmod": lambda s, x, y: s.sign(x) * s.Mod(s.Abs(x), s.Abs(y)),
    "hypot": lambda s, x, y: s.sqrt(x**2 + y**2),
    "cbrt": lambda s, x: s.sign(x) * s.cbrt(s.Abs(x)),
    "exp2": lambda _s, x: 2**x,
    "log2": lambda s, x: s.log(x) / s.log(2),
    "log10": lambda s, x: s.log(x) / s.log(10),
    "logaddexp2": lambda s, x, y: s.log(2**x + 2**y) / s.log(2),
    "deg2rad": lambda s, x: x * s.pi / 180,
    "rad2deg": lambda s, x: x * 180 / s.pi,
    "sinc": lambda s, x: s.sinc(s.pi * x),
    "heaviside": lambda s, x, y: s.Piecewise((1, s.Gt(x, 0)), (y, s.Eq(x, 0)), (0, True)),
    "betaln": lambda s, x, y: s.loggamma(x) + s.loggamma(y) - s.loggamma(x + y),
    "expit": _sigmoid,
    "logit": lambda s, x: s.log(x / (1 - x)),
    "entr": lambda s, x: s.Piecewise((-x * s.log(x), s.Gt(x, 0)), (0, s.Eq(x, 0)), (-s.oo, True)),
    "expm1": lambda s, x: s.exp(x) - 1,
    "log1p": lambda s, x: s.log(1 + x),
    "logaddexp": lambda s, x, y: s.log(s.exp(x) + s.exp(y)),
    "sigmoid": _sigmoid,
    "sigmoid_slope": lambda s, x: _sigmoid(s, x) * (1 - _sigmoid(s, x)),
    "sigmoid_entropy": lambda s, x: s.log(1 + s.exp(x)) - x * _sigmoid(s, x),
    "softplus": lambda s, x: s.log(1 + s.exp(x)),
    "tanh_slope": lambda s, x: 1 - s.tanh(x) ** 2,
    "tanh_slope_beside": lambda _s, t, _x: 1 - t**2,
    "log1mexp": lambda s, x: s.log(1 - s.exp(x)),
    "bose": lambda s, x: 1 / (s.exp(x) - 1),
    "logcosh": lambda s, x: s.log(s.cosh(x)),
    "hypot1": lambda s, x: s.sqrt(1 + x**2),
    "isru": lambda s, x: x / s.sqrt(1 + x**2),
    "xlogx": lambda s, x: _zero_where(s, x, x * s.log(x)),
    "xlogy": lambda s, x, y: _zero_where(s, x, x * s.log(y)),
    "xlog1py": lambda s, x, y: _zero_where(s, x, x * s.log(1 + y)),
    "gauss": lambda s, x: s.exp(-(x**2) / 2),
    "ndtr": _ndtr,
    "log_ndtr": lambda s, x: s.log(_ndtr(s, x)),
    "normal_tail": lambda s, x: s.exp(x**2 / 2) * _ndtr(s, -x),
    "normal_hazard": lambda s, x: _density(s, x) / _ndtr(s, x),
    "relu": lambda s, x, **_: s.Max(0, x),
    "step": _step,
    "where": lambda s, condition, x, y: s.Piecewise((x, condition), (y, True)),
    "logical_and": lambda s, x, y: s.And(x, y),
    "logical_or": lambda s, x, y: s.Or(x, y),
    "logical_xor": lambda s, x, y: s.Xor(x, y),
    "logical_not": lambda s, x: s.Not(x),
}
"""What SymPy has a formula for: a function of its module, the operands and the parameters; its reals are finite."""


def written(name: str) -> Written | None:
    """Give how SymPy writes an elementwise op, a function of its module, the operands and the parameters, or None.

    >>> import sympy
    >>> written("log1p")(sympy, sympy.Symbol("x"))
    log(x + 1)
    """
    function = FUNCTIONS.get(name)
    if function is not None:
        return lambda s, *operands: getattr(s, function)(*operands)
    return FORMULAS.get(name)

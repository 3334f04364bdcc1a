"""Special functions, by SciPy's names: one statement each, as in `elementwise`.

The error function, the normal distribution, logarithms of odds and entropies are computed by NumPy alone. What is
not is computed by `scipy.special`, which generated code then imports; formulas and derivatives do without SciPy.
Derivatives are those of the NIST Digital Library of Mathematical Functions: 5.2 and 5.15 (Γ), 5.12 (B), 10.29 (I).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from symbackprop.dims import Shape
from symbackprop.expr import Expr, Operand
from symbackprop.op import ATOM, MULTIPLY, Case, Dtype, Form, Op, Params, Vjp
from symbackprop.ops.elementwise import (
    POSITIVE,
    SMOOTH,
    called,
    elementwise_op,
    exp,
    function_op,
    log,
    log1p,
    off_zero,
    power,
    primes,
    real,
    sigmoid,
    sign,
    softplus,
    square,
    where,
    whole_order,
)
from symbackprop.ops.leaf import as_expr

__all__ = [
    "beta",
    "betaln",
    "boxcox",
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfcinv",
    "erfcx",
    "erfinv",
    "expit",
    "exprel",
    "gamma",
    "gammaln",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "kl_div",
    "log_expit",
    "log_ndtr",
    "logit",
    "ndtr",
    "ndtri",
    "polygamma",
    "psi",
    "rel_entr",
    "xlog1py",
    "xlogy",
]

# --- the error function and the normal distribution ------------------------------------------------------------
# The coefficients were fitted to mpmath's values (Remez, errors weighted as they count); the errors of the fits are
# 5e-17 of the result at most for float64 and 1e-8 for float32, and all the rest is rounding.

_RATIO_OF_POLYNOMIALS = '''
def ratio_of_polynomials(x, p, q, coefficients):
    """Ratio of two polynomials by Horner's rule, in place; p and q are the first terms."""
    for c, d in coefficients:
        p *= x
        p += c
        q *= x
        q += d
    p /= q
    return p
'''

_EXP_OF_SQUARE = '''
def exp_of_square(x, c):
    """exp(c * x**2) to the last digits; c is a power of two. x * x is s + r, r what rounding loses (Dekker, 1971)."""
    s = x * x
    h = x * (4097.0 if x.dtype == np.float32 else 134217729.0)
    h -= h - x  # the upper half of the digits: h * h is exact
    r = h * h
    r -= s
    t = x - h
    h += x
    t *= h
    r += t
    s *= c
    s = np.exp(s)
    r *= c
    r *= s
    s += r
    return s
'''

_ERF = '''
def erf(x):
    """Error function 2/sqrt(pi) * integral of exp(-t**2) from 0 to x."""
    x = np.asarray(x, np.promote_types(np.result_type(x, 1.0), np.float32))
    a = np.minimum(np.abs(x), 6.0)
    s = a * a
    t = np.minimum(s, 0.5625)
    if x.dtype == np.float32:
        small = ratio_of_polynomials(t, 0.01646722141832589, 0.0559340216553261, (
            (0.1022961170607246, 0.42399022791582297), (1.1283791589804777, 1.0),
        ))
        large = ratio_of_polynomials(a, 0.22273552747771327, 0.39300584357973556 * a + 1.3090611885766017, (
            (0.726732424429624, 1.8581542174248076), (1.0004077563260123, 1.0),
        ))
    else:
        small = ratio_of_polynomials(t, 6.469455880246281e-05, 0.00037613326140061455, (
            (0.001279281726378423, 0.008662673239138174), (0.040571819044341546, 0.08797991983578733),
            (0.13849602995801372, 0.4560722441504243), (1.1283791670955126, 1.0),
        ))
        large = ratio_of_polynomials(a, 0.007741970272374564, 0.01372248709517038 * a + 0.13515939861190218, (
            (0.07625890193342162, 0.6234984658515448), (0.34785229938924134, 1.6724920771605316),
            (0.905909561312498, 2.7081168454791205), (1.355011323586679, 2.4833902352042094),
            (0.9999999791748312, 1.0),
        ))
    large *= np.exp(-s)
    small *= x
    return np.where(a < 0.75, small, np.copysign(1.0 - large, x))[()]
'''

erf = function_op(
    "erf", "Give the error function 2/√π ∫₀ˣ exp(-t²) dt; d/dx = 2/√π exp(-x²).",
    lambda g, _y, x: g * (2 / math.sqrt(math.pi) * exp(-square(x))), numpy=called("erf"), dtype=real,
    python=Form("math.erf($0)"), helper=_RATIO_OF_POLYNOMIALS + _ERF, notes="Right to 4 units in the last place.",
)  # fmt: skip

_ERFC = '''
def erfc(x):
    """1 - erf(x) without cancellation: exp(-x**2) times a function that changes little, and 2 less that for x < 0."""
    x = np.asarray(x, np.promote_types(np.result_type(x, 1.0), np.float32))
    a = np.minimum(np.abs(x), 28.0)
    if x.dtype == np.float32:
        y = ratio_of_polynomials(a, 0.04654455356843839, 0.08250287398586098 * a + 0.5075756005161475, (
            (0.24718792601209238, 1.5393659023961188), (0.6022440234555628, 2.6294307428953543),
            (0.67745311242202, 2.468831826984642), (0.04793007049745262, 1.0),
        ))
    else:
        y = ratio_of_polynomials(a, 8.135900301740003e-05, 0.00014420507819881158 * a + 0.0026122607764655593, (
            (0.0014051636604020432, 0.02348953020954664), (0.011968341331966486, 0.13507327693180649),
            (0.06439116222286026, 0.5431133671691453), (0.23741935971409348, 1.5816808131343418),
            (0.6133437391346256, 3.357011693673472), (1.089424158945189, 5.101933908802733),
            (1.2353410342895206, 5.292484233250062), (0.7207801666438288, 3.372816012070176),
            (0.04793007776316132, 1.0),
        ))
    y += 0.9520699222368387  # 1.6875/sqrt(pi), where y goes
    y /= 1.0 + 1.6875 * a
    y *= exp_of_square(a, -1.0)
    return np.where(x < 0, 2.0 - y, y)[()]
'''

erfc = function_op(
    "erfc", "Give 1 - erf(x) without cancellation; d/dx = -2/√π exp(-x²).",
    lambda g, _y, x: -(g * (2 / math.sqrt(math.pi) * exp(-square(x)))), numpy=called("erfc"), dtype=real,
    python=Form("math.erfc($0)"), helper=_RATIO_OF_POLYNOMIALS + _EXP_OF_SQUARE + _ERFC,
    notes="Right to 4 units in the last place.",
)  # fmt: skip

_GAUSS = '''
def gauss(x):
    """exp(-x**2/2), to the last digits."""
    x = np.asarray(x, np.promote_types(np.result_type(x, 1.0), np.float32))
    return exp_of_square(np.minimum(np.abs(x), 40.0), -0.5)
'''
GAUSS: Op = elementwise_op(
    "gauss", "Give exp(-x²/2), the density of the normal distribution but for a factor; d/dx = -x exp(-x²/2).",
    lambda g, y, x: -(g * (x * y)), numpy=called("gauss"), helper=_EXP_OF_SQUARE + _GAUSS,
    text=Form("exp(−$0²/2)", ATOM, (ATOM,)), latex=Form(r"\exp\left(-\frac{{$0}^{2}}{2}\right)", ATOM, (ATOM,)),
    dtype=real, public=False,
)  # fmt: skip

_NORMAL_TAIL = '''
def normal_tail(a):
    """exp(a**2/2) * (1 - Phi(a)) for a >= 0, where Phi is the standard normal distribution function."""
    a = np.asarray(a, np.promote_types(np.result_type(a, 1.0), np.float32))
    if a.dtype == np.float32:
        a = np.minimum(a, 1e6)
        y = ratio_of_polynomials(a, 0.005584046884193057, 0.013998488791562427 * a + 0.12396508994848314, (
            (0.040056837883800094, 0.5356891691150918), (0.12414567964273485, 1.3025408477563318),
            (0.1437950147777299, 1.737799461716597), (-0.17321510215572478, 1.0),
        ))
    else:
        a = np.minimum(a, 1e12)
        y = ratio_of_polynomials(a, 1.7465926672785153e-06, 4.3780585638059554e-06 * a + 0.00011284316810902083, (
            (4.2070535667853724e-05, 0.0014413244224652936), (0.000497290936377991, 0.011762792798725006),
            (0.0036861781515450586, 0.0670869254093112), (0.018503061854865697, 0.27701074839303796),
            (0.06365642981955782, 0.8333513814901978), (0.1435247564900692, 1.7947482397005918),
            (0.17909509455831826, 2.6377744737601425), (0.03233374714171809, 2.381281867440682),
            (-0.17321509817741762, 1.0),
        ))
    y += 0.6732150981774176  # 1.6875/sqrt(2*pi), where y goes
    y /= 1.0 + 1.6875 * a
    return y
'''
NORMAL_TAIL: Op = function_op(
    "normal_tail", "Give exp(x²/2)(1 - Φ(x)) for x ≥ 0, which changes little; d/dx = x y - 1/√(2π).",
    lambda g, y, x: g * (x * y - 1 / math.sqrt(2 * math.pi)), latex=r"\operatorname{normal\,tail}",
    numpy=called("normal_tail"), helper=_RATIO_OF_POLYNOMIALS + _NORMAL_TAIL, dtype=real, public=False,
    domain=[POSITIVE], defined="x ≥ 0",
)  # fmt: skip
_NORMAL = f"{NORMAL_TAIL.helper}{GAUSS.helper}"

_NDTR = '''
def ndtr(x):
    """Standard normal distribution function, right in the far tail too."""
    y = normal_tail(np.abs(x))
    y *= gauss(x)
    return np.where(x > 0, 1.0 - y, y)[()]
'''
ndtr: Op = function_op(
    "ndtr", "Give the standard normal distribution function Φ(x) = ½(1 + erf(x/√2)); d/dx = exp(-x²/2)/√(2π).",
    lambda g, _y, x: g * (1 / math.sqrt(2 * math.pi) * GAUSS(x)), text="Φ", latex=r"\Phi", numpy=called("ndtr"),
    helper=_NORMAL + _NDTR, dtype=real, notes="Right to 4 units in the last place, in the far left tail too.",
)  # fmt: skip

_LOG_NDTR = '''
def log_ndtr(x):
    """log(ndtr(x)), finite where ndtr(x) is too small for a float, and right where it is almost 1."""
    y = normal_tail(np.abs(x))
    below = np.minimum(x, 0.0)
    return (np.log1p(np.where(x < 0, y - 1.0, 0.0 - y * gauss(x))) - below * (0.5 * below))[()]
'''
log_ndtr: Op = function_op(
    "log_ndtr", "Give the logarithm of the standard normal distribution function, log Φ(x); d/dx = φ(x)/Φ(x).",
    lambda g, _y, x: g * NORMAL_HAZARD(x), latex=r"\operatorname{log\,\Phi}",
    numpy=called("log_ndtr"), helper=_NORMAL + _LOG_NDTR, dtype=real,
    notes="Right to 8 units in the last place, however small Φ(x) is.",
)  # fmt: skip

_NORMAL_HAZARD = '''
def normal_hazard(x):
    """Density over distribution function of the standard normal distribution."""
    y, e = normal_tail(np.abs(x)), gauss(x)
    return np.maximum(0.3989422804014327 * np.where(x < 0, 1.0, e) / np.where(x < 0, y, 1.0 - y * e), 0.0 - x)
'''
NORMAL_HAZARD: Op = function_op(
    "normal_hazard", "Give φ(x)/Φ(x), the hazard of the normal distribution at -x; d/dx = -y (x + y).",
    lambda g, y, x: -(g * (y * (x + y))), latex=r"\operatorname{normal\,hazard}",
    numpy=called("normal_hazard"), helper=_NORMAL + _NORMAL_HAZARD, dtype=real, public=False,
)  # fmt: skip

# --- logarithms times numbers -----------------------------------------------------------------------------------

_TIMES_LOG = '''
def {name}(x, y):
    """x * {log}(y), and 0 where x is 0 and y is a number."""
    kind = np.result_type(x, y, 0.0)
    x, y = np.asarray(x, kind), np.asarray(y, kind)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((x == 0) & (y == y), np.zeros((), kind), x * np.{log}(y))[()]
'''
_PORTABLE_TIMES_LOG = '''
def {name}(x, y):
    """x * {log}(y), and 0 where x is 0 and y is a number."""
    return np.where((x == 0) & (y == y), 0.0, x * np.{log}(y))
'''


def _times_log(name: str, log: str) -> dict[str, Any]:
    """State the code of a number times a logarithm."""
    return {
        "helper": _TIMES_LOG.format(name=name, log=log),
        "portable_helper": _PORTABLE_TIMES_LOG.format(name=name, log=log),
        "numpy": called(name, 2),
        "dtype": real,
    }


xlogy: Op = function_op(
    "xlogy", "Give x*log(y), and 0 where x is 0; d/dx = log(y), d/dy = x/y.",
    lambda g, _y, _a, b: g * log(b), lambda g, _y, a, b: g * (a / off_zero(b, a)),
    domain=(SMOOTH, POSITIVE), defined="y > 0, and all y where x = 0", kink="by y it is 0 at x = y = 0",
    **_times_log("xlogy", "log"),
)  # fmt: skip
xlog1py: Op = function_op(
    "xlog1py", "Give x*log(1 + y), and 0 where x is 0; d/dx = log(1 + y), d/dy = x/(1 + y).",
    lambda g, _y, _a, b: g * log1p(b), lambda g, _y, a, b: g * (a / off_zero(1 + b, a)),
    domain=(SMOOTH, (-0.6, 2.0)), defined="y > −1, and all y where x = 0",
    kink="by y it is 0 at x = 0 and y = −1", **_times_log("xlog1py", "log1p"),
)  # fmt: skip

_REL_ENTR = '''
def rel_entr(x, y):
    """x * log(x / y), 0 where x is 0 and y is not negative, and inf where one is negative."""
    kind = np.result_type(x, y, 0.0)
    x, y = np.asarray(x, kind), np.asarray(y, kind)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.where((x < 0) | (y < 0), np.full((), np.inf, kind), x * np.log(x / y))
    return np.where((x == 0) & (y >= 0), np.zeros((), kind), r)[()]
'''
_PORTABLE_REL_ENTR = '''
def rel_entr(x, y):
    """x * log(x / y), 0 where x is 0 and y is not negative, and inf where one is negative."""
    r = np.where((x < 0) | (y < 0), np.inf, x * np.log(x / y))
    return np.where((x == 0) & (y >= 0), 0.0, r)
'''
rel_entr: Op = function_op(
    "rel_entr", "Give x*log(x/y), and 0 where x is 0; d/dx = log(x/y) + 1, d/dy = -x/y.",
    lambda g, _y, a, b: g * (log(a / b) + 1), lambda g, _y, a, b: -(g * (a / off_zero(b, a))),
    helper=_REL_ENTR, portable_helper=_PORTABLE_REL_ENTR, numpy=called("rel_entr", 2), dtype=real,
    domain=(POSITIVE, POSITIVE), defined="x ≥ 0 and y > 0; elsewhere it is ∞",
    kink="at x = 0 it is −∞ by x, and 0 by y",
)  # fmt: skip


def kl_div(x: Operand, y: Operand) -> Expr:
    """Give ``x*log(x/y) - x + y``, the terms of Kullback's and Leibler's divergence; d/dx = log(x/y), d/dy = 1 - x/y.

    At x = 0 the derivative by x is -∞ (where y is 0 too, NaN), and by y it is 1.

    >>> import symbackprop as sb
    >>> x, y = sb.symbols("x y")
    >>> print(sb.grad(sb.kl_div(x, y), y))
    1 − x/y
    """
    return rel_entr(x, y) - x + y


def entr(x: Operand) -> Expr:
    """Give ``-x*log(x)``, 0 at 0 and -∞ below; d/dx = -log(x) - 1, infinite at 0.

    >>> import symbackprop as sb
    >>> sb.entr(sb.symbol("p", "N")).shape
    (N,)
    """
    return where(as_expr(x) < 0, -np.inf, -xlogy(x, x))


# --- logarithms of odds -----------------------------------------------------------------------------------------

_LOGIT = '''
def logit(p):
    """log(p / (1 - p)); near 1/2 as 2 * arctanh(2 * p - 1), where the logarithm would cancel digits."""
    near = np.abs(p - 0.5) < 0.25
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.log(p / (1.0 - p))
    return np.where(near, 2.0 * np.arctanh(np.where(near, 2.0 * p - 1.0, 0.0)), far)[()]
'''
logit = function_op(
    "logit", "Give log(x/(1 - x)), what the logistic function makes x of; d/dx = 1/(x(1 - x)).",
    lambda g, _y, x: g / (x * (1 - x)), helper=_LOGIT, numpy=called("logit"), dtype=real, domain=[(0.1, 0.9)],
    defined="0 < x < 1; −∞ at 0 and ∞ at 1", notes="Right to 4 units in the last place.",
)  # fmt: skip


def log_expit(x: Operand) -> Expr:
    """Give the logarithm of the logistic function, ``-softplus(-x)``: finite however small it is; d/dx = σ(-x).

    >>> import symbackprop as sb
    >>> print(sb.log_expit(sb.symbol("x")))
    −softplus(−x)
    """
    return -softplus(-as_expr(x))


# --- powers that tend to logarithms -----------------------------------------------------------------------------

_EXPREL = '''
def exprel(x, order):
    """Integral of t**order * exp(x*t) from 0 to 1: by its recurrence, near 0 by series of which no digits cancel."""
    t = np.abs(x)
    near = t < order + 1.0
    v = np.where(near, np.ones_like(1.0 * t), x)
    far = np.expm1(v) / v
    for n in range(1, order + 1):
        far = (np.exp(v) - n * far) / v
    t = np.where(near, t, 0.0)
    up, down = 0.0, 0.0
    for k in range(20 + 4 * order, -1, -1):
        up = 1.0 / (order + 1 + k) + t * up / (k + 1)
        down = (1.0 + t * down) / (order + 1 + k)
    return np.where(near, np.where(x < 0, np.exp(0.0 - t) * down, up), far)[()]
'''
EXPREL: Op = elementwise_op(
    "exprel", "Give the derivative of (exp(x) - 1)/x of some order, ∫₀¹ tⁿ exp(xt) dt.",
    lambda g, _y, x, *, order: g * exprel(x, order + 1), dtype=real, helper=_EXPREL,
    numpy=lambda params, _shapes: Form(f"exprel($0, {params['order']})"),
    text=lambda params, _shapes: Form(f"exprel($0, {params['order']})" if params["order"] else "exprel($0)"),
    latex=lambda params, _shapes: Form(rf"\operatorname{{exprel}}{primes(params['order'])}\left($0\right)"),
    options={"order": 0}, public=False, cases=(Case(((5,),), {"order": 1}), Case(((5,),), {"order": 3})),
)  # fmt: skip


def exprel(x: Operand, order: int = 0) -> Expr:
    """Give ``(exp(x) - 1)/x``, which is 1 at 0, or its derivative of some order, right to a few units of rounding.

    The derivative of order n is ``∫₀¹ tⁿ exp(xt) dt``.

    Args:
        x: the operand.
        order: how often it is differentiated.

    Raises:
        ArgumentError: the order is no whole number from 0.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> print(sb.grad(sb.exprel(x), x))
    exprel(x, 1)
    """
    return EXPREL(x, order=whole_order("exprel", order))


_BOXCOX = '''
def boxcox(x, power):
    """(x**power - 1) / power, and log(x) where the power is 0."""
    kind = np.result_type(x, power, 0.0)
    x, power = np.asarray(x, kind), np.asarray(power, kind)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.log(x)
        return np.where(power == 0, z, np.expm1(power * z) / np.where(power == 0, np.ones((), kind), power))[()]
'''
_PORTABLE_BOXCOX = '''
def boxcox(x, power):
    """(x**power - 1) / power, and log(x) where the power is 0."""
    z = np.log(x)
    return np.where(power == 0, z, np.expm1(power * z) / np.where(power == 0, np.ones_like(power), power))
'''
boxcox: Op = function_op(
    "boxcox", "Give Box's and Cox's transformation, (x^y - 1)/y, and log(x) where y is 0.",
    lambda g, _y, a, b: g * power(a, b - 1), lambda g, _y, a, b: g * (square(log(a)) * exprel(b * log(a), 1)),
    helper=_BOXCOX, portable_helper=_PORTABLE_BOXCOX, numpy=called("boxcox", 2), dtype=real,
    domain=(POSITIVE, SMOOTH), defined="x > 0",
    notes="d/dx = x^(y-1), d/dy = log(x)² ∫₀¹ t x^(yt) dt, (log(x))²/2 at y = 0.",
)  # fmt: skip

# --- what SciPy computes ------------------------------------------------------------------------------------------

_SCIPY = ("from scipy import special",)


_IN_FLOATS = '''
def in_floats(function, *operands):
    """Call a function of SciPy with float32 where that is the operands' dtype, else with float64."""
    kind = np.float32 if np.result_type(*operands, 0.0) == np.float32 else np.float64
    return function(*[np.asarray(each, kind) for each in operands])
'''


def single(*kinds: Any, **_: Any) -> Dtype:
    """Give the dtype of what SciPy computes: float32 stays, all else becomes float64."""
    return np.dtype("float32" if np.result_type(*kinds) == np.float32 else "float64")


def _by_scipy(name: str, meaning: str, *vjps: Vjp | None, converts: bool = True, **rest: Any) -> Op:
    """State a function that `scipy.special` computes; one that does not convert integers and numbers is told to."""
    called_plainly = called(f"special.{name}", len(vjps))
    places = ", ".join(f"${position}" for position in range(len(vjps)))
    if not converts:
        rest |= {"helper": _IN_FLOATS, "portable": called_plainly, "portable_helper": "\n"}  # which calls none
    return function_op(
        name, meaning, *vjps, numpy=called_plainly if converts else Form(f"in_floats(special.{name}, {places})"),
        imports=_SCIPY, dtype=single, **{"notes": "Computed by SciPy.", **rest},
    )  # fmt: skip


gammaln: Op = _by_scipy(
    "gammaln", "Give log|Γ(x)|, the logarithm of the gamma function; d/dx = ψ(x).",
    lambda g, _y, x: g * digamma(x), text="logΓ", latex=r"\log \Gamma", domain=[POSITIVE],
    defined="all x but 0, -1, -2 …",
)  # fmt: skip
gamma: Op = _by_scipy(
    "gamma", "Give the gamma function Γ(x), (x - 1)! of a whole x; d/dx = Γ(x)ψ(x).",
    lambda g, y, x: g * (y * digamma(x)), text="Γ", latex=r"\Gamma", domain=[POSITIVE],
    defined="all x but 0, -1, -2 …",
)  # fmt: skip
digamma: Op = _by_scipy(
    "digamma", "Give the digamma function ψ(x), the derivative of log Γ(x); its own is polygamma(1, x).",
    lambda g, _y, x: g * polygamma(1, x), text="ψ", latex=r"\psi", domain=[POSITIVE],
    defined="all x but 0, -1, -2 …",
)  # fmt: skip


def _polygamma_form(params: Params, _shapes: tuple[Shape, ...]) -> Form:
    """Write (-1)^(n+1) n! ζ(n + 1, x), with Hurwitz's zeta function (DLMF 25.11.12)."""
    order = params["order"]
    factor = float((-1) ** (order + 1) * math.factorial(order))
    return Form(f"{factor!r} * special.zeta({float(order + 1)!r}, $0)", MULTIPLY)


POLYGAMMA: Op = elementwise_op(
    "polygamma", "Give the derivative of the digamma function of some order.",
    lambda g, _y, x, *, order: g * polygamma(order + 1, x), numpy=_polygamma_form, imports=_SCIPY, dtype=single,
    text=lambda params, _shapes: Form(f"polygamma({params['order']}, $0)"),
    latex=lambda params, _shapes: Form(rf"\psi^{{({params['order']})}}\left($0\right)"),
    options={"order": 1}, domain=[POSITIVE], defined="all x but 0, -1, -2 …", public=False,
    cases=(Case(((5,),), {"order": 2}),),
)  # fmt: skip


def polygamma(n: int, x: Operand) -> Expr:
    """Give the derivative of order n of the digamma function, ``ψ⁽ⁿ⁾(x)``; its own is that of order n + 1.

    Computed by SciPy.

    Args:
        n: the order, a whole number; the digamma function itself for 0.
        x: the operand, any number but 0, -1, -2 ….

    Raises:
        ArgumentError: the order is no whole number from 0.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> print(sb.grad(sb.grad(sb.gammaln(x), x), x))
    polygamma(1, x)
    """
    order = whole_order("polygamma", n)
    return POLYGAMMA(x, order=order) if order else digamma(x)


betaln: Op = _by_scipy(
    "betaln", "Give log|B(x, y)|, the logarithm of the beta function; d/dx = ψ(x) - ψ(x + y).",
    lambda g, _y, a, b: g * (digamma(a) - digamma(a + b)), lambda g, _y, a, b: g * (digamma(b) - digamma(a + b)),
    latex=r"\log \mathrm{B}", domain=(POSITIVE, POSITIVE), defined="x > 0 and y > 0", converts=False,
)  # fmt: skip
beta: Op = _by_scipy(
    "beta", "Give the beta function B(x, y) = Γ(x)Γ(y)/Γ(x + y); d/dx = B(x, y)(ψ(x) - ψ(x + y)).",
    lambda g, y, a, b: g * (y * (digamma(a) - digamma(a + b))),
    lambda g, y, a, b: g * (y * (digamma(b) - digamma(a + b))),
    latex=r"\mathrm{B}", domain=(POSITIVE, POSITIVE), defined="x > 0 and y > 0", converts=False,
)  # fmt: skip

ndtri: Op = _by_scipy(
    "ndtri", "Give the inverse of the standard normal distribution function, Φ⁻¹(x); d/dx = √(2π) exp(y²/2).",
    lambda g, y, _x: g * (math.sqrt(2 * math.pi) / GAUSS(y)), latex=r"\Phi^{-1}", domain=[(0.1, 0.9)],
    defined="0 ≤ x ≤ 1", kink="infinite at x = 0 and x = 1", converts=False,
)  # fmt: skip
erfinv: Op = _by_scipy(
    "erfinv", "Give the inverse of the error function; d/dx = √π/2 exp(y²).",
    lambda g, y, _x: g * (math.sqrt(math.pi) / 2 * exp(square(y))), latex=r"\operatorname{erf}^{-1}",
    domain=[(-0.9, 0.9)], defined="|x| ≤ 1", kink="infinite at x = ±1", converts=False,
)  # fmt: skip
erfcinv: Op = _by_scipy(
    "erfcinv", "Give the inverse of erfc; d/dx = -√π/2 exp(y²).",
    lambda g, y, _x: -(g * (math.sqrt(math.pi) / 2 * exp(square(y)))), latex=r"\operatorname{erfc}^{-1}",
    domain=[(0.1, 1.9)], defined="0 ≤ x ≤ 2", kink="infinite at x = 0 and x = 2", converts=False,
)  # fmt: skip
erfcx: Op = _by_scipy(
    "erfcx", "Give exp(x²)·erfc(x), which neither overflows nor vanishes as x grows; d/dx = 2x y - 2/√π.",
    lambda g, y, x: g * (2 * x * y - 2 / math.sqrt(math.pi)),
    notes="Computed by SciPy. For large x the two terms of the derivative cancel: it is right to 2e-16 of one of them.",
)  # fmt: skip

_BESSEL_NAMES = {(0, False): "i0", (0, True): "i0e", (1, False): "i1", (1, True): "i1e"}


def _bessel_form(params: Params, _shapes: tuple[Shape, ...]) -> Form:
    order, scaled = params["order"], params["scaled"]
    known = _BESSEL_NAMES.get((order, scaled))
    return called(f"special.{known}") if known else Form(f"special.iv{'e' * scaled}({float(order)!r}, $0)")


def _bessel_text(params: Params, _shapes: tuple[Shape, ...]) -> Form:
    order = f", {params['order']}" if params["order"] else ""
    return Form(f"i0{'e' * params['scaled']}($0{order})")


def _bessel_latex(params: Params, _shapes: tuple[Shape, ...]) -> Form:
    scale = r"e^{-\left|$0\right|} " * params["scaled"]
    return Form(rf"{scale}I_{{{params['order']}}}\left($0\right)", MULTIPLY if scale else ATOM)


def _bessel_vjp(g: Expr, y: Expr, x: Expr, *, order: int, scaled: bool) -> Expr:
    """Give half the sum of the neighbours in order (DLMF 10.29.1), less what the scale takes."""
    above = BESSEL(x, order=order + 1, scaled=scaled)
    slope = 0.5 * (BESSEL(x, order=order - 1, scaled=scaled) + above) if order else above
    return g * (slope - sign(x) * y if scaled else slope)


BESSEL: Op = elementwise_op(
    "bessel_i", "Give the modified Bessel function of the first kind of some order, Iₙ(x), perhaps times exp(-|x|).",
    _bessel_vjp, numpy=_bessel_form, imports=_SCIPY, dtype=single, text=_bessel_text, latex=_bessel_latex,
    options={"order": 0, "scaled": False}, public=False, kinks=(0.0,), kink="of exp(-|x|) it is 0 at x = 0",
    cases=(Case(((5,),), {"scaled": True}), Case(((5,),), {"order": 1}), Case(((5,),), {"order": 1, "scaled": True})),
)  # fmt: skip


def i0(x: Operand, order: int = 0) -> Expr:
    """Give the modified Bessel function ``I₀(x)``, or ``Iₙ(x)`` of another order; d/dx = I₁(x), (Iₙ₋₁ + Iₙ₊₁)/2.

    Computed by SciPy.

    Args:
        x: the operand.
        order: n.

    Raises:
        ArgumentError: the order is no whole number from 0.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> print(sb.grad(sb.i0(x), x))
    i0(x, 1)
    """
    return BESSEL(x, order=whole_order("i0", order))


def i0e(x: Operand, order: int = 0) -> Expr:
    """Give ``exp(-|x|)·I₀(x)``, which does not overflow, or that of another order; at x = 0 its slope is that of Iₙ.

    Computed by SciPy.

    Args:
        x: the operand.
        order: n.

    Raises:
        ArgumentError: the order is no whole number from 0.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> print(sb.grad(sb.i0e(x), x))
    i0e(x, 1) − sign(x)·i0e(x)
    """
    return BESSEL(x, order=whole_order("i0e", order), scaled=True)


def i1(x: Operand) -> Expr:
    """Give the modified Bessel function ``I₁(x)``; d/dx = (I₀(x) + I₂(x))/2. Computed by SciPy.

    >>> import symbackprop as sb
    >>> print(sb.i1(sb.symbol("x")))
    i0(x, 1)
    """
    return i0(x, 1)


def i1e(x: Operand) -> Expr:
    """Give ``exp(-|x|)·I₁(x)``, which does not overflow. Computed by SciPy.

    >>> import symbackprop as sb
    >>> print(sb.i1e(sb.symbol("x")))
    i0e(x, 1)
    """
    return i0e(x, 1)


# --- second names -------------------------------------------------------------------------------------------------

expit, psi = sigmoid, digamma

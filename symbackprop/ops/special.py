"""Special functions, by SciPy's names: one statement each, as in `elementwise`."""

from __future__ import annotations

import math

from symbackprop.op import ATOM, Form, Op
from symbackprop.ops.elementwise import (
    POSITIVE,
    SMOOTH,
    called,
    elementwise_op,
    equal,
    exp,
    function_op,
    log,
    log1p,
    real,
    square,
    where,
)

__all__ = [
    "erf",
    "erfc",
    "log_ndtr",
    "ndtr",
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
    domain=[POSITIVE],
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

_XLOGY = '''
def xlogy(x, y):
    """x * log(y), and 0 where x is 0 and y is a number."""
    kind = np.result_type(x, y, 0.0)
    x, y = np.asarray(x, kind), np.asarray(y, kind)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((x == 0) & (y == y), np.zeros((), kind), x * np.log(y))[()]
'''
_PORTABLE_XLOGY = '''
def xlogy(x, y):
    """x * log(y), and 0 where x is 0 and y is a number."""
    return np.where((x == 0) & (y == y), 0.0, x * np.log(y))
'''
xlogy: Op = function_op(
    "xlogy", "Give x*log(y), and 0 where x is 0; d/dx = log(y), d/dy = x/y.",
    lambda g, _y, _a, b: g * log(b), lambda g, _y, a, b: g * where(equal(a, 0), 0, a / b),
    helper=_XLOGY, portable_helper=_PORTABLE_XLOGY, numpy=called("xlogy", 2), dtype=real,
    domain=(SMOOTH, POSITIVE),
)  # fmt: skip

_XLOG1PY = '''
def xlog1py(x, y):
    """x * log1p(y), and 0 where x is 0 and y is a number."""
    kind = np.result_type(x, y, 0.0)
    x, y = np.asarray(x, kind), np.asarray(y, kind)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((x == 0) & (y == y), np.zeros((), kind), x * np.log1p(y))[()]
'''
_PORTABLE_XLOG1PY = '''
def xlog1py(x, y):
    """x * log1p(y), and 0 where x is 0 and y is a number."""
    return np.where((x == 0) & (y == y), 0.0, x * np.log1p(y))
'''
xlog1py: Op = function_op(
    "xlog1py", "Give x*log(1 + y), and 0 where x is 0; d/dx = log(1 + y), d/dy = x/(1 + y).",
    lambda g, _y, _a, b: g * log1p(b), lambda g, _y, a, b: g * where(equal(a, 0), 0, a / (1 + b)),
    helper=_XLOG1PY, portable_helper=_PORTABLE_XLOG1PY, numpy=called("xlog1py", 2), dtype=real,
    domain=(SMOOTH, (-0.6, 2.0)),
)  # fmt: skip

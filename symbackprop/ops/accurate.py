"""The forms that rewriting computes with: no digits cancel in them or in their derivatives.

Nobody writes them: `symbackprop.rewrite` puts them in the place of what people write, and prints what that was.
"""

from __future__ import annotations

from symbackprop.op import Form, Op
from symbackprop.ops.elementwise import (
    POSITIVE,
    SMOOTH,
    by_python,
    called,
    elementwise_op,
    function_op,
    like_ufunc,
    log,
    power,
    product_text,
    real,
    sigmoid,
    square,
    tanh,
)

__all__: list[str] = []

_SIGMOID_SLOPE = '''
def sigmoid_slope(z):
    """sigmoid(z) * (1 - sigmoid(z)) without cancellation: e / (1 + e)**2, e = exp(-|z|)."""
    e = np.exp(0.0 - np.abs(z))
    d = 1.0 + e
    d *= d
    e /= d
    return e
'''
_PORTABLE_SIGMOID_SLOPE = '''
def sigmoid_slope(z):
    """sigmoid(z) * (1 - sigmoid(z)) without cancellation."""
    e = np.exp(0.0 - np.abs(z))
    return e / np.square(1.0 + e)
'''
SIGMOID_SLOPE: Op = function_op(
    "sigmoid_slope", "Give σ(x)(1 - σ(x)); d/dx = σ(x)(1 - σ(x))(1 - 2σ(x)).",
    lambda g, y, x: g * (y * (1 - 2 * sigmoid(x))), text="σ′", latex=r"\sigma'", helper=_SIGMOID_SLOPE,
    portable_helper=_PORTABLE_SIGMOID_SLOPE, numpy=called("sigmoid_slope"), dtype=real, public=False,
    **by_python("scalar_sigmoid_slope", "e = math.exp(-abs(x))\nreturn e / ((1.0 + e) * (1.0 + e))"),
)  # fmt: skip

_SIGMOID_ENTROPY = '''
def sigmoid_entropy(z):
    """-p*log(p) - (1 - p)*log(1 - p) of p = sigmoid(z): log1p(e) + |z|*e/(1 + e), e = exp(-|z|)."""
    a = np.abs(z)
    e = np.exp(0.0 - a)
    return np.log1p(e) + np.minimum(a, 800.0) * (e / (1.0 + e))
'''
SIGMOID_ENTROPY: Op = function_op(
    "sigmoid_entropy", "Give the entropy of a coin that shows heads with probability σ(x); d/dx = -x σ(x)(1 - σ(x)).",
    lambda g, _y, x: -(g * (x * SIGMOID_SLOPE(x))), helper=_SIGMOID_ENTROPY, numpy=called("sigmoid_entropy"),
    dtype=real, public=False,
)  # fmt: skip

_TANH_SLOPE = '''
def tanh_slope(x):
    """1 - tanh(x)**2 without cancellation: 4 * e / (1 + e)**2, e = exp(-2*|x|)."""
    e = np.exp(-2.0 * np.abs(x))
    d = 1.0 + e
    d *= d
    e *= 4.0
    e /= d
    return e
'''
_PORTABLE_TANH_SLOPE = '''
def tanh_slope(x):
    """1 - tanh(x)**2 without cancellation: 4 * exp(-2*|x|) / (1 + exp(-2*|x|))**2."""
    e = np.exp(-2.0 * np.abs(x))
    return 4.0 * e / np.square(1.0 + e)
'''
TANH_SLOPE: Op = function_op(
    "tanh_slope", "Give 1 - tanh(x)²; d/dx = -2 tanh(x)(1 - tanh(x)²).",
    lambda g, y, x: g * (-2 * (tanh(x) * y)), text="tanh′", latex=r"\tanh'", helper=_TANH_SLOPE,
    portable_helper=_PORTABLE_TANH_SLOPE, numpy=called("tanh_slope"), dtype=real, public=False,
    **by_python("scalar_tanh_slope", "e = math.exp(-2.0 * abs(x))\nreturn 4.0 * e / ((1.0 + e) * (1.0 + e))"),
)  # fmt: skip

_TANH_SLOPE_BESIDE = '''
def tanh_slope_beside(t, x):
    """1 - t**2 for t = tanh(x), from x where too many digits cancel."""
    s = np.subtract(1.0, t * t)
    if s.shape != np.shape(x):
        s, x = [each.copy() for each in np.broadcast_arrays(s, x)]
    near = s < (0.03 if s.itemsize > 2 else 0.2)
    if np.count_nonzero(near):
        s, x, near = np.asarray(s), np.asarray(x), near.ravel().nonzero()[0]
        s.put(near, tanh_slope(x.take(near)))
    return s
'''
_PORTABLE_TANH_SLOPE_BESIDE = '''
def tanh_slope_beside(t, x):
    """1 - t**2 for t = tanh(x), from x where digits cancel."""
    s = 1.0 - t * t
    return np.where(s < 0.25, tanh_slope(x), s)
'''
TANH_SLOPE_BESIDE: Op = function_op(
    "tanh_slope_beside",
    "Give 1 - t² for t = tanh(x), right to 40 units in the last place; d/dt = -2 t.",
    lambda g, _y, t, _x: -2 * (g * t), None, text="tanh_slope_beside", latex=r"\tanh'",
    helper=_TANH_SLOPE + _TANH_SLOPE_BESIDE,
    portable_helper=_PORTABLE_TANH_SLOPE + _PORTABLE_TANH_SLOPE_BESIDE, numpy=called("tanh_slope_beside", 2),
    dtype=lambda t, _x, **_: real(t), public=False, domain=((-0.9, 0.9), SMOOTH),
    defined="|t| ≤ 1",
)  # fmt: skip

_LOG1MEXP = '''
def log1mexp(x):
    """log(1 - exp(x)) for x <= 0, by the better of two forms (Maechler, 2012)."""
    near = x > -0.7
    inner = np.where(near, np.expm1(np.where(near, x, -1.0)), 0.0 - np.exp(np.where(near, -1.0, x)))
    return np.where(near, np.log(np.where(near, 0.0 - inner, 1.0)), np.log1p(np.where(near, 0.0, inner)))[()]
'''
LOG1MEXP: Op = function_op(
    "log1mexp", "Give log(1 - exp(x)) for negative x; d/dx = 1/(1 - exp(-x)).",
    lambda g, _y, x: -(g * BOSE(-x)), helper=_LOG1MEXP, numpy=called("log1mexp"), dtype=real, public=False,
    domain=[(-3.0, -0.2)], defined="x < 0",
)  # fmt: skip

_BOSE = '''
def bose(x):
    """1 / (exp(x) - 1) without overflow or cancellation."""
    a = 0.0 - np.abs(x)
    return np.where(x > 0, np.exp(a), -1.0) / (0.0 - np.expm1(a))
'''
BOSE: Op = function_op(
    "bose", "Give 1/(exp(x) - 1), as in the statistics of Bose and Einstein; d/dx = 1/((exp(x) - 1)(exp(-x) - 1)).",
    lambda g, y, x: g * (y * BOSE(-x)), helper=_BOSE, numpy=called("bose"), dtype=real, public=False,
    domain=[POSITIVE], defined="x ≠ 0",
)  # fmt: skip

_LOGCOSH = '''
def logcosh(x):
    """log(cosh(x)) without overflow or cancellation."""
    a = np.abs(x)
    small = np.log1p(2.0 * np.square(np.sinh(0.5 * np.minimum(a, 1.0))))
    return np.where(a < 1.0, small, a + np.log(0.5 + 0.5 * np.exp(-2.0 * a)))[()]
'''
LOGCOSH: Op = function_op(
    "logcosh", "Give log(cosh(x)); d/dx = tanh(x).", lambda g, _y, x: g * tanh(x),
    helper=_LOGCOSH, numpy=called("logcosh"), dtype=real, public=False,
)  # fmt: skip

_XLOGX = '''
def xlogx(x):
    """x * log(x), and 0 where x is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(x == 0, 0.0 * x, x * np.log(x))[()]
'''
XLOGX: Op = function_op(
    "xlogx", "Give x*log(x), and 0 where x is 0; d/dx = log(x) + 1.", lambda g, _y, x: g * log(x) + g,
    helper=_XLOGX, numpy=called("xlogx"), dtype=real, public=False, domain=[POSITIVE],
    defined="x ≥ 0", kink="−∞ at x = 0",
)  # fmt: skip

HYPOT1: Op = function_op(
    "hypot1", "Give √(1 + x²); d/dx = x/√(1 + x²).", lambda g, _y, x: g * ISRU(x), numpy=Form("np.hypot(1.0, $0)"),
    dtype=real, public=False,
)  # fmt: skip

_ISRU = '''
def isru(x):
    """x / sqrt(1 + x**2) without overflow."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(x), np.sign(1.0 * x), x / np.hypot(1.0, x))[()]
'''
ISRU: Op = function_op(
    "isru", "Give x/√(1 + x²); d/dx = (1 + x²)^(-3/2).", lambda g, _y, x: g * power(1 + square(x), -1.5),
    helper=_ISRU, numpy=called("isru"), dtype=real, public=False,
)  # fmt: skip

_DAMPED = '''
def damped(x, y):
    """x * y where 0 times infinity is 0: the factor that vanishes does so faster than the other grows."""
    if not (np.ndim(x) and np.ndim(y)) and (0 < abs(y if np.ndim(x) else x) < np.inf):
        return x * y
    with np.errstate(invalid="ignore"):
        p = x * y
    total = np.vdot(p, p)  # squares add up to NaN only if there is one among them
    if total == total:
        return p
    return np.where((p != p) & (x == x) & (y == y), 0.0, p)[()]
'''
_PORTABLE_DAMPED = '''
def damped(x, y):
    """x * y where 0 times infinity is 0: the factor that vanishes does so faster than the other grows."""
    p = x * y
    return np.where((p != p) & (x == x) & (y == y), np.zeros_like(p), p)
'''
DAMPED: Op = elementwise_op(
    "damped", "Give x*y with 0·∞ = 0, the limit where the factor that vanishes does so faster than the other grows.",
    lambda g, _y, _a, b: g * b, lambda g, _y, a, _b: g * a, numpy=called("damped", 2), helper=_DAMPED,
    portable_helper=_PORTABLE_DAMPED,
    text=product_text("·", " ⊙ "), latex=product_text(r" \, ", r" \odot "),
    dtype=like_ufunc("multiply"), public=False,
    **by_python("scalar_damped", "p = x * y\nreturn p if p == p or x != x or y != y else 0.0", "x, y"),
)  # fmt: skip

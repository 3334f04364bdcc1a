"""Naive spellings at extreme points: value, first and second derivative against mpmath, for symbackprop and others.

A spelling is written once, over a namespace of functions, and runs in every framework that is installed; its truth is
written down independently and evaluated with 1,000 digits by hyper-dual numbers, whose derivatives are exact.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import math
import textwrap
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import mpmath
import numpy as np

DIGITS = 1000
TOLERANCE = 1e-12
TINY = 1e-300  # what is smaller than this may be anything as small
LARGEST = float(np.finfo(np.float64).max)

# --- the truth ------------------------------------------------------------------------------------------------


class HyperDual:
    """a + b ε₁ + c ε₂ + d ε₁ε₂, with which f gives its value, two directional derivatives, and the mixed second one.

    J. Fike and J. Alonso, *The development of hyper-dual numbers for exact second-derivative calculations* (2011).
    """

    def __init__(self, a: Any, b: Any = 0, c: Any = 0, d: Any = 0) -> None:
        self.parts = tuple(map(mpmath.mpf, (a, b, c, d)))

    def through(self, value: Any, first: Any, second: Any) -> HyperDual:
        _, b, c, d = self.parts
        return HyperDual(value, first * b, first * c, first * d + second * b * c)

    @property
    def real(self) -> Any:
        return self.parts[0]

    def __add__(self, other: Any) -> HyperDual:
        return HyperDual(*(x + y for x, y in zip(self.parts, dual(other).parts, strict=True)))

    def __mul__(self, other: Any) -> HyperDual:
        (a, b, c, d), (e, f, g, h) = self.parts, dual(other).parts
        return HyperDual(a * e, a * f + b * e, a * g + c * e, a * h + b * g + c * f + d * e)

    def __pow__(self, n: int) -> HyperDual:
        a = self.real
        return self.through(a**n, n * a ** (n - 1) if n else 0, n * (n - 1) * a ** (n - 2) if n > 1 or n < 0 else 0)

    def __neg__(self) -> HyperDual:
        return self * -1

    def __sub__(self, other: Any) -> HyperDual:
        return self + -dual(other)

    def __truediv__(self, other: Any) -> HyperDual:
        return self * dual(other) ** -1

    def __rsub__(self, other: Any) -> HyperDual:
        return -self + other

    def __rtruediv__(self, other: Any) -> HyperDual:
        return dual(other) / self

    __radd__, __rmul__ = __add__, __mul__


def dual(x: Any) -> HyperDual:
    return x if isinstance(x, HyperDual) else HyperDual(x)


_exp = lru_cache(4096)(mpmath.exp)  # all truth has one precision, and meets the same numbers again and again
_log = lru_cache(4096)(mpmath.log)


def exp(x: HyperDual) -> HyperDual:
    y = _exp(x.real)
    return x.through(y, y, y)


class UndefinedError(ArithmeticError):
    """The truth has no real value here."""


def log(x: Any) -> HyperDual:
    x = dual(x)
    if x.real <= 0:
        raise UndefinedError
    return x.through(_log(x.real), 1 / x.real, -1 / x.real**2)


def sqrt(x: HyperDual) -> HyperDual:
    y = mpmath.sqrt(x.real)
    return x.through(y, 1 / (2 * y), -1 / (4 * y**3))


def cos(x: HyperDual) -> HyperDual:
    return x.through(mpmath.cos(x.real), -mpmath.sin(x.real), -mpmath.cos(x.real))


def erf(x: HyperDual) -> HyperDual:
    slope = 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-(x.real**2))
    return x.through(mpmath.erf(x.real), slope, -2 * x.real * slope)


def absolute(x: HyperDual) -> HyperDual:
    return x.through(abs(x.real), mpmath.sign(x.real), 0)


def total(xs: Sequence[HyperDual]) -> HyperDual:
    return sum(xs[1:], xs[0])


def expit(x: HyperDual) -> HyperDual:
    return 1 / (1 + exp(-x))


def softplus(x: HyperDual) -> HyperDual:
    return log(1 + exp(x))


def sinh(x: HyperDual) -> HyperDual:
    return (exp(x) - exp(-x)) / 2


def cosh(x: HyperDual) -> HyperDual:
    return (exp(x) + exp(-x)) / 2


def tanh(x: HyperDual) -> HyperDual:
    return sinh(x) / cosh(x)


def lse(z: Sequence[HyperDual]) -> HyperDual:
    return log(total([exp(x) for x in z]))


def log_softmax(z: Sequence[HyperDual]) -> list[HyperDual]:
    below = lse(z)
    return [x - below for x in z]


def softmax(z: Sequence[HyperDual]) -> list[HyperDual]:
    return [exp(x) for x in log_softmax(z)]


# --- the suite ------------------------------------------------------------------------------------------------

Truth = tuple[float, float, float]


class Case(NamedTuple):
    """A spelling.

    Attributes:
        name: how it is written.
        build: makes it of a framework's functions and x: one number for each point, or a row of them.
        truth: the same quantity of hyper-dual numbers: of one, or of a row.
        points: where it is asked for.
        limits: values and derivatives at finite points where the truth is a limit; at ±∞ it finds them itself.
    """

    name: str
    build: Callable[[Any, Any], Any]
    truth: Callable[[Any], Any]
    points: Sequence[Any]
    limits: dict[float, Truth] = {}  # noqa: RUF012  (a field of a NamedTuple: it is never changed)


_POSITIVE = (TINY, 1e-8, 0.5, 1.0, 40.0, 1000.0, 1e4)
_NEGATIVE = tuple(-x for x in _POSITIVE)
_LINE = (0.0, *_POSITIVE, *_NEGATIVE)
_PROPER = (TINY, 1e-8, 0.25, 0.5, 0.75)  # between 0 and 1, where 1 - x is exact or x is small
_ABOVE_MINUS_ONE = (0.0, *_POSITIVE, -TINY, -1e-8, -0.5)
_BELOW_ONE = tuple(-x for x in _ABOVE_MINUS_ONE)
_INF = math.inf
_ROWS = (
    *((0.0, 0.0, 0.0), (TINY, -TINY, 0.0), (1.0, -1.0, 0.0), (1.0, 2.0, 3.0)),
    *((1000.0, 1000.0, 1000.0), (1000.0, -1000.0, 0.0), (-1000.0, -1000.0, -1001.0)),
    *((1e4, 1e4, -1e4), (-1e4, 0.0, 1e4), (-1e4, -1e4, -1e4)),
    *((-_INF, 0.0, 1.0), (-_INF, 1.0, -_INF), (1000.0, -_INF, -1000.0), (0.0, 1.0, _INF)),
    *((-_INF, -_INF, -_INF), (_INF, 1.0, _INF)),
)
_NEARLY_EQUAL = ((1e-8, 0.0, 0.0), (1.0, 1.0 + 1e-8, 1.0), (0.0, -1e-8, -2.5e-8), (1000.0, 1000.0, 1000.0 + 1e-8))
_ONE_LEADS = ((40.0, 0.0, 0.0), (0.0, 300.0, -1.0))
_PAIRS = (
    *((0.0, 0.0), (1.0, -1.0), (TINY, 0.0), (1e-8, 0.0), (1000.0, 1000.0), (1000.0, -1000.0), (-1000.0, -1001.0)),
    *((1e4, -1e4), (-1e4, 1e4), (-1e4, -1e4), (1e4, 1e4)),
    *((-_INF, 1.0), (1000.0, -_INF), (_INF, 1.0), (-1000.0, _INF), (-_INF, -_INF), (_INF, _INF), (-_INF, _INF)),
)
_LARGER_FIRST = (
    *((1.0, 0.0), (0.0, -1.0), (1e-8, 0.0), (1000.0, 999.0), (1000.0, -1000.0), (-1000.0, -1001.0)),
    *((1e4, 0.0), (-1e4, -10001.0), (1.0, -_INF), (_INF, -1.0), (_INF, -_INF)),
)
_FINITE_TARGETS = tuple((z, y) for z in (0.0, TINY, 1.0, -1.0, 1000.0, -1000.0, 1e4, -1e4) for y in (0.0, 1.0, 0.25))
_TARGETS = (*_FINITE_TARGETS, *((z, y) for z in (_INF, -_INF) for y in (0.0, 1.0, 0.25)))
_LABELS = tuple(point for point in _TARGETS if point[1] != 0.25)


def _xlogx(x: HyperDual) -> HyperDual:
    return x * log(x)


def _phi(x: HyperDual) -> HyperDual:
    return (1 + erf(x / mpmath.sqrt(2))) / 2


def _gaussian(m: Any, x: Any) -> Any:
    return m.log(m.exp(-(x**2) / 2) / math.sqrt(2 * math.pi))


def _entropy(m: Any, p: Any) -> Any:
    return -p * m.log(p) - (1 - p) * m.log(1 - p)


def _cross_entropy(m: Any, p: Any, y: Any) -> Any:
    return -(y * m.log(p) + (1 - y) * m.log(1 - p))


def _bce(row: Sequence[HyperDual]) -> HyperDual:
    return softplus(row[0]) - row[1] * row[0]


def _shifted_softmax(m: Any, z: Any) -> Any:
    e = m.exp(z - m.max(z))
    return e / m.sum(e)


def _shifted_lse(m: Any, z: Any) -> Any:
    top = m.max(z)
    return top + m.log(m.sum(m.exp(z - top)))


def _divergence(m: Any, z: Any) -> Any:
    p = m.softmax(z)
    return m.sum(p * m.log(p / 0.25))


def _divergence_from_uniform(m: Any, z: Any) -> Any:
    p = m.softmax(z)
    return m.sum(p * m.log(3 * p))


def _softmax_entropy(m: Any, z: Any) -> Any:
    p = m.softmax(z)
    return -m.sum(p * m.log(p))


def _variance_truth(x: Sequence[HyperDual]) -> HyperDual:
    average = total(x) / len(x)
    return total([(each - average) ** 2 for each in x]) / len(x)


def _length(x: Sequence[HyperDual]) -> HyperDual:
    squares = total([each * each for each in x])
    return sqrt(squares) if squares.real else HyperDual(0)


_STEEP = {0.0: (0.0, -_INF, _INF)}

CASES: tuple[Case, ...] = (
    # sigmoid and softplus
    Case("log(σ(x))", lambda m, x: m.log(m.sigmoid(x)), lambda x: -softplus(-x), _LINE),
    Case(
        "log(1 − σ(x))",
        lambda m, x: m.log(1 - m.sigmoid(x)),
        lambda x: -softplus(x),
        _LINE,
    ),
    Case(
        "1 − σ(x)",
        lambda m, x: 1 - m.sigmoid(x),
        lambda x: expit(-x),
        _LINE,
    ),
    Case("log(1 + exp(x))", lambda m, x: m.log(1 + m.exp(x)), softplus, _LINE),
    Case("log(exp(x) + 1)", lambda m, x: m.log(m.exp(x) + 1), softplus, _LINE),
    Case("log1p(exp(x))", lambda m, x: m.log1p(m.exp(x)), softplus, _LINE),
    Case("log(1 + exp(−x))", lambda m, x: m.log(1 + m.exp(-x)), lambda x: softplus(-x), _LINE),
    Case("log(1 + exp(3 − 2x))", lambda m, x: m.log(1 + m.exp(3 - 2 * x)), lambda x: softplus(3 - 2 * x), _LINE),
    Case("−log(1/(1 + exp(−x)))", lambda m, x: -m.log(1 / (1 + m.exp(-x))), lambda x: softplus(-x), _LINE),
    Case("(1 + exp(−x))^−1", lambda m, x: (1 + m.exp(-x)) ** -1, expit, _LINE),
    Case("1/(1 + exp(−x))", lambda m, x: 1 / (1 + m.exp(-x)), expit, _LINE),
    Case("1/(exp(−x) + 1)", lambda m, x: 1 / (m.exp(-x) + 1), expit, _LINE),
    Case("1/(1 + exp(x))", lambda m, x: 1 / (1 + m.exp(x)), lambda x: expit(-x), _LINE),
    Case("exp(x)/(1 + exp(x))", lambda m, x: m.exp(x) / (1 + m.exp(x)), expit, _LINE),
    Case("exp(x)/(exp(x) + 1)", lambda m, x: m.exp(x) / (m.exp(x) + 1), expit, _LINE),
    Case("exp(−x)/(1 + exp(−x))", lambda m, x: m.exp(-x) / (1 + m.exp(-x)), lambda x: expit(-x), _LINE),
    Case("σ(x)(1 − σ(x))", lambda m, x: m.sigmoid(x) * (1 - m.sigmoid(x)), lambda x: expit(x) * expit(-x), _LINE),
    Case("exp(x)/(1 + exp(x))²", lambda m, x: m.exp(x) / (1 + m.exp(x)) ** 2, lambda x: expit(x) * expit(-x), _LINE),
    Case("max(x, 0) + log(1 + exp(−|x|))", lambda m, x: m.relu(x) + m.log(1 + m.exp(-m.abs(x))), softplus, _LINE),
    Case("x − log(1 + exp(x))", lambda m, x: x - m.log(1 + m.exp(x)), lambda x: -softplus(-x), _LINE),
    Case("log(σ(x)/(1 − σ(x)))", lambda m, x: m.log(m.sigmoid(x) / (1 - m.sigmoid(x))), lambda x: x, _LINE),
    Case(
        "(1 − σ(x))² log(σ(x))",
        lambda m, x: (1 - m.sigmoid(x)) ** 2 * m.log(m.sigmoid(x)),
        lambda x: -(expit(-x) ** 2) * softplus(-x),
        _LINE,
    ),
    Case(
        "H(σ(x)) = −p log(p) − (1 − p) log(1 − p)",
        lambda m, x: _entropy(m, m.sigmoid(x)),
        lambda x: expit(x) * softplus(-x) + expit(-x) * softplus(x),
        _LINE,
    ),
    Case("xσ(x)", lambda m, x: x * m.sigmoid(x), lambda x: x * expit(x), _LINE),
    Case("x/(1 + exp(−x))", lambda m, x: x / (1 + m.exp(-x)), lambda x: x * expit(x), _LINE),
    Case(
        "x tanh(log(1 + exp(x)))", lambda m, x: x * m.tanh(m.log(1 + m.exp(x))), lambda x: x * tanh(softplus(x)), _LINE
    ),
    Case(
        "−log(σ((2y − 1)z))",
        lambda m, x: -m.log(m.sigmoid((2 * m.col(x, 1) - 1) * m.col(x, 0))),
        lambda row: softplus((1 - 2 * row[1]) * row[0]),
        _LABELS,
    ),
    Case(
        "−(y log(p) + (1 − y) log(1 − p)), p = σ(z)",
        lambda m, x: _cross_entropy(m, m.sigmoid(m.col(x, 0)), m.col(x, 1)),
        _bce,
        _TARGETS,
    ),
    Case(
        "−(y log(p) + (1 − y) log(1 − p)), p = 1/(1 + exp(−z))",
        lambda m, x: _cross_entropy(m, 1 / (1 + m.exp(-m.col(x, 0))), m.col(x, 1)),
        _bce,
        _TARGETS,
    ),
    Case(
        "−log(p^y (1 − p)^(1 − y)), p = σ(z)",
        lambda m, x: -m.log(m.sigmoid(m.col(x, 0)) ** m.col(x, 1) * (1 - m.sigmoid(m.col(x, 0))) ** (1 - m.col(x, 1))),
        _bce,
        _TARGETS,
    ),
    Case("1 − log(1 − σ(x))", lambda m, x: 1 - m.log(1 - m.sigmoid(x)), lambda x: 1 + softplus(x), _LINE),
    # hyperbolic functions
    Case("(exp(x) − exp(−x))/2", lambda m, x: (m.exp(x) - m.exp(-x)) / 2, sinh, _LINE),
    Case("(exp(x) + exp(−x))/2", lambda m, x: (m.exp(x) + m.exp(-x)) / 2, cosh, _LINE),
    Case(
        "(exp(x) − exp(−x))/(exp(x) + exp(−x))",
        lambda m, x: (m.exp(x) - m.exp(-x)) / (m.exp(x) + m.exp(-x)),
        tanh,
        _LINE,
    ),
    Case("(exp(2x) − 1)/(exp(2x) + 1)", lambda m, x: (m.exp(2 * x) - 1) / (m.exp(2 * x) + 1), tanh, _LINE),
    Case(
        "(1 − exp(−2x))/(1 + exp(−2x))",
        lambda m, x: (1 - m.exp(-2 * x)) / (1 + m.exp(-2 * x)),
        tanh,
        _LINE,
    ),
    Case("2σ(2x) − 1", lambda m, x: 2 * m.sigmoid(2 * x) - 1, tanh, _LINE),
    Case("1 − 2/(exp(2x) + 1)", lambda m, x: 1 - 2 / (m.exp(2 * x) + 1), tanh, _LINE),
    Case("tanh(x)", lambda m, x: m.tanh(x), tanh, _LINE),
    Case("1 − tanh(x)²", lambda m, x: 1 - m.tanh(x) ** 2, lambda x: 1 / cosh(x) ** 2, _LINE),
    Case("1 − tanh(x)", lambda m, x: 1 - m.tanh(x), lambda x: 2 * expit(-2 * x), _LINE),
    Case("½(1 + tanh(x/2))", lambda m, x: 0.5 * (1 + m.tanh(x / 2)), expit, _LINE),
    Case("log(1 − tanh(x)²)", lambda m, x: m.log(1 - m.tanh(x) ** 2), lambda x: -2 * log(cosh(x)), _LINE),
    Case("log(cosh(x))", lambda m, x: m.log(m.cosh(x)), lambda x: log(cosh(x)), _LINE),
    Case("log((exp(x) + exp(−x))/2)", lambda m, x: m.log((m.exp(x) + m.exp(-x)) / 2), lambda x: log(cosh(x)), _LINE),
    Case("log(exp(x) + exp(−x))", lambda m, x: m.log(m.exp(x) + m.exp(-x)), lambda x: log(2 * cosh(x)), _LINE),
    Case("log(exp(x) − exp(−x))", lambda m, x: m.log(m.exp(x) - m.exp(-x)), lambda x: log(2 * sinh(x)), _POSITIVE),
    Case("sinh(x)/cosh(x)", lambda m, x: m.sinh(x) / m.cosh(x), tanh, _LINE),
    Case(
        "½ log((1 + x)/(1 − x))",
        lambda m, x: 0.5 * m.log((1 + x) / (1 - x)),
        lambda x: log((1 + x) / (1 - x)) / 2,
        (0.0, *_PROPER, *(-x for x in _PROPER)),
    ),
    Case("log(x + √(x² + 1))", lambda m, x: m.log(x + m.sqrt(x**2 + 1)), lambda x: log(x + sqrt(x * x + 1)), _LINE),
    # differences that cancel
    Case("exp(x) − 1", lambda m, x: m.exp(x) - 1, lambda x: exp(x) - 1, _LINE),
    Case("1 − exp(x)", lambda m, x: 1 - m.exp(x), lambda x: 1 - exp(x), _LINE),
    Case("1 − exp(−x)", lambda m, x: 1 - m.exp(-x), lambda x: 1 - exp(-x), _LINE),
    Case("log(1 + x)", lambda m, x: m.log(1 + x), lambda x: log(1 + x), _ABOVE_MINUS_ONE),
    Case("log(1 − x)", lambda m, x: m.log(1 - x), lambda x: log(1 - x), _BELOW_ONE),
    Case("log(1 − exp(x))", lambda m, x: m.log(1 - m.exp(x)), lambda x: log(1 - exp(x)), _NEGATIVE),
    Case("log(1 − exp(−x))", lambda m, x: m.log(1 - m.exp(-x)), lambda x: log(1 - exp(-x)), _POSITIVE),
    Case("log(exp(x) − 1)", lambda m, x: m.log(m.exp(x) - 1), lambda x: log(exp(x) - 1), _POSITIVE),
    Case("1/(exp(x) − 1)", lambda m, x: 1 / (m.exp(x) - 1), lambda x: 1 / (exp(x) - 1), (*_POSITIVE, *_NEGATIVE)),
    Case("1 − cos(x)", lambda m, x: 1 - m.cos(x), lambda x: 1 - cos(x), _LINE),
    Case("√(1 + x²) − 1", lambda m, x: m.sqrt(1 + x**2) - 1, lambda x: sqrt(1 + x * x) - 1, _LINE),
    Case("√(x² + 1) − x", lambda m, x: m.sqrt(x * x + 1) - x, lambda x: sqrt(x * x + 1) - x, _LINE),
    Case("x/√(1 + x²)", lambda m, x: x / m.sqrt(1 + x * x), lambda x: x / sqrt(1 + x * x), _LINE),
    Case("1 − erf(x)", lambda m, x: 1 - m.erf(x), lambda x: 1 - erf(x), _LINE),
    Case("½x(1 + erf(x/√2))", lambda m, x: 0.5 * x * (1 + m.erf(x / math.sqrt(2))), lambda x: x * _phi(x), _LINE),
    # roots, powers, products
    Case("√(x·x)", lambda m, x: m.sqrt(x * x), absolute, _LINE),
    Case("√(x²)", lambda m, x: m.sqrt(x**2), absolute, _LINE),
    Case("(x²)^½", lambda m, x: (x**2) ** 0.5, absolute, _LINE),
    Case("log(x²)", lambda m, x: m.log(x**2), lambda x: 2 * log(absolute(x)), (*_POSITIVE, *_NEGATIVE)),
    Case("exp(x) exp(1 − x)", lambda m, x: m.exp(x) * m.exp(1 - x), lambda x: exp(dual(1)) + 0 * x, _LINE),
    Case("exp(x)²/exp(x)", lambda m, x: m.exp(x) ** 2 / m.exp(x), exp, _LINE),
    Case("x log(x)", lambda m, x: x * m.log(x), _xlogx, _POSITIVE, _STEEP),
    Case(
        "−x log(x) − (1 − x) log(1 − x)",
        _entropy,
        lambda x: -_xlogx(x) - _xlogx(1 - x),
        _PROPER,
        {0.0: (0.0, _INF, -_INF), 1.0: (0.0, -_INF, -_INF)},
    ),
    Case("log(exp(−x²/2)/√(2π))", _gaussian, lambda x: -(x * x) / 2 - log(2 * mpmath.pi) / 2, _LINE),
    Case("log(½ exp(−|x|))", lambda m, x: m.log(0.5 * m.exp(-m.abs(x))), lambda x: -absolute(x) - log(2), _LINE),
    # several numbers
    Case("log(softmax(z))", lambda m, z: m.log(m.softmax(z)), log_softmax, (*_ROWS, *_ONE_LEADS)),
    Case("log(sum(exp(z)))", lambda m, z: m.log(m.sum(m.exp(z))), lse, _ROWS),
    Case("log(mean(exp(z)))", lambda m, z: m.log(m.mean(m.exp(z))), lambda z: lse(z) - log(3), _ROWS),
    Case("exp(z)/sum(exp(z))", lambda m, z: m.exp(z) / m.sum(m.exp(z)), softmax, _ROWS),
    Case("e/sum(e), e = exp(z − max(z))", _shifted_softmax, softmax, _ROWS),
    Case("log(exp(z)/sum(exp(z)))", lambda m, z: m.log(m.exp(z) / m.sum(m.exp(z))), log_softmax, _ROWS),
    Case("m + log(sum(exp(z − m))), m = max(z)", _shifted_lse, lse, _ROWS),
    Case("z − log(sum(exp(z)))", lambda m, z: z - m.log(m.sum(m.exp(z))), log_softmax, _ROWS),
    Case(
        "sum(p log(p/q)), p = softmax(z), q = ¼",
        _divergence,
        lambda z: total([exp(p) * (p + log(4)) for p in log_softmax(z)]),
        (*_ROWS, *_NEARLY_EQUAL, *_ONE_LEADS),
    ),
    Case(
        "sum(p log(3p)), p = softmax(z)",
        _divergence_from_uniform,
        lambda z: total([exp(p) * (p + log(3)) for p in log_softmax(z)]),
        (*_ROWS, *_ONE_LEADS),
    ),
    Case(
        "−sum(p log(p)), p = softmax(z)",
        _softmax_entropy,
        lambda z: -total([exp(p) * p for p in log_softmax(z)]),
        (*_ROWS, *_NEARLY_EQUAL, *_ONE_LEADS),
    ),
    Case(
        "−sum(p log(q)), p = softmax(z), q = softmax(−z)",
        lambda m, z: -m.sum(m.softmax(z) * m.log(m.softmax(-z))),
        lambda z: -total([exp(p) * q for p, q in zip(log_softmax(z), log_softmax([-x for x in z]), strict=True)]),
        (*_ROWS, *_ONE_LEADS),
    ),
    Case(
        "log(prod(σ(z)))", lambda m, z: m.log(m.prod(m.sigmoid(z))), lambda z: -total([softplus(-x) for x in z]), _ROWS
    ),
    Case("log(exp(a) + exp(b))", lambda m, x: m.log(m.exp(m.col(x, 0)) + m.exp(m.col(x, 1))), lse, _PAIRS),
    Case(
        "log(exp(a) − exp(b))",
        lambda m, x: m.log(m.exp(m.col(x, 0)) - m.exp(m.col(x, 1))),
        lambda row: log(exp(row[0]) - exp(row[1])),
        _LARGER_FIRST,
    ),
    Case("mean(x²) − mean(x)²", lambda m, x: m.mean(x**2) - m.mean(x) ** 2, _variance_truth, _ROWS),
    Case("√sum(x²)", lambda m, x: m.sqrt(m.sum(x**2)), _length, _ROWS),
    Case("‖x‖²", lambda m, x: m.norm(x) ** 2, lambda x: total([each * each for each in x]), _ROWS),
)

# --- weights, truth, judgement --------------------------------------------------------------------------------

_WEIGHTS = (1.0, -2.25, 0.5)  # of a row of results, so that one number is differentiated
_DIRECTION = (0.75, -1.0, 3.0)  # along which the gradient is differentiated again


class Answer(NamedTuple):
    """Values, first and second derivatives; a row for each point."""

    value: Any
    first: Any
    second: Any


_FAR = (10**30, 10**60, 10**120)  # each the square of the one before it
_WAYS = (((1, 0), (1, 1), (1, 3)), ((1, 0), (3, 0), (7, 0)), ((7, 0), (3, 0), (1, 0)))
"""How several numbers go to infinity together: each with a speed of its own, and ahead of the others."""
_SETTLED = mpmath.mpf(10) ** -25


@cache
def _ends(truth: Callable[[Any], Any]) -> tuple[float, ...]:
    """Give those of ±∞ that a truth of one number reaches."""

    def reaches(end: float) -> bool:
        try:
            _at(truth, mpmath.sign(end) * _FAR[-1])
        except UndefinedError:
            return False
        return True

    with mpmath.workdps(DIGITS):
        return tuple(end for end in (_INF, -_INF) if reaches(end))


def points_of(case: Case) -> tuple[Any, ...]:
    """Give all the points where a case is asked for: of one number, ±∞ too where the truth goes there."""
    ends = () if isinstance(case.points[0], tuple) else _ends(case.truth)
    return (*case.points, *case.limits, *ends)


def inputs_of(case: Case) -> Any:
    """Give the points as an array: numbers, or rows of them."""
    return np.array(points_of(case), dtype=np.float64)


def _at(truth: Callable[[Any], Any], point: Any) -> tuple[Any, Any, Any]:
    """Give value, first and second derivative at a finite point."""
    if not isinstance(point, tuple):
        y = dual(truth(HyperDual(point, 1, 1)))
        return y.parts[0], y.parts[1], y.parts[3]
    values, firsts, seconds = None, [], []
    for chosen in range(len(point)):
        row = [HyperDual(x, 1 if at == chosen else 0, _DIRECTION[at]) for at, x in enumerate(point)]
        y = truth(row)
        weighed = total([w * each for w, each in zip(_WEIGHTS, y, strict=True)]) if isinstance(y, list) else y
        values = [each.real for each in y] if isinstance(y, list) else y.real
        firsts.append(weighed.parts[1])
        seconds.append(weighed.parts[3])
    return values, firsts, seconds


def _gone(x: float, far: int, way: tuple[int, int] = (1, 0), *, beside: int = 0) -> Any:
    """Give a finite number: far out in the direction of an infinite one, or as near to a finite one."""
    speed, ahead = way
    return mpmath.sign(x) * (far * speed + ahead) if math.isinf(x) else x + mpmath.mpf(beside * speed) / far


def _limit(near: Any, middle: Any, far: Any) -> Any:
    """Give the limit of what was found at three distances, NaN if there is none."""
    if abs(far - middle) <= _SETTLED * max(1, abs(far)):
        return far if abs(far) > _SETTLED else mpmath.mpf(0)
    grows = abs(far) > 100 and (far - middle) / (middle - near) > 1.5 if middle != near else False
    return mpmath.inf * mpmath.sign(far) if grows else mpmath.nan


def _limits(truth: Callable[[Any], Any], point: Any) -> tuple[Any, Any, Any]:
    """Give the limits of value, first and second derivative where elements go to ±∞, NaN where there are none."""
    if isinstance(point, tuple):
        chosen = _WAYS if sum(map(math.isinf, point)) > 1 else _WAYS[:1]
        ways = [
            [
                _at(truth, tuple(_gone(x, far, each, beside=beside) for x, each in zip(point, way, strict=False)))
                for far in _FAR
            ]
            for way, beside in ((way, beside) for way in chosen for beside in (0, 1))
        ]
    else:
        ways = [[_at(truth, _gone(point, far)) for far in _FAR]]
    parts = []
    for part in range(3):
        found = np.array([[at[part] for at in way] for way in ways], dtype=object)
        limits = np.asarray(np.frompyfunc(_limit, 3, 1)(*np.moveaxis(found, 1, 0)))
        agree = [all(_same(each, column[0]) for each in column[1:]) for column in limits.reshape(len(ways), -1).T]
        parts.append(np.where(np.reshape(agree, limits.shape[1:]), limits[0], mpmath.nan))
    return tuple(parts)


def _same(limit: Any, other: Any) -> bool:
    if not mpmath.isfinite(limit) or not mpmath.isfinite(other):
        return bool(limit == other)
    return bool(abs(limit - other) <= _SETTLED * max(1, abs(limit)))


@cache
def truth_of(case_number: int) -> Answer:
    """Give the truth at the points, as multiple-precision numbers; NaN where it has no limit."""
    case = CASES[case_number]
    found: list[tuple[Any, Any, Any]] = []
    with mpmath.workdps(DIGITS):
        for point in points_of(case):
            if not isinstance(point, tuple) and point in case.limits:
                found.append(case.limits[point])
            else:
                found.append((_limits if np.isinf(point).any() else _at)(case.truth, point))
    columns = [np.array(column, dtype=object) for column in zip(*found, strict=True)]
    return Answer(*columns)


def is_right(found: Any, truth: Any) -> Any:
    """Tell for each element whether it is right to 1e-12: too large is infinite, and what is below 1e-300 is tiny."""
    found, truth = np.broadcast_arrays(np.asarray(found, dtype=np.float64), truth)
    return np.array([_is_right(one, other) for one, other in zip(found.flat, truth.flat, strict=True)]).reshape(
        found.shape
    )


def _is_right(found: float, truth: Any) -> bool:
    if math.isnan(found):
        return False
    if abs(truth) > LARGEST:
        return math.isinf(found) and (found > 0) == (truth > 0)
    if math.isinf(found):
        return False
    if abs(truth) <= TINY:
        return abs(found) <= TINY
    return bool(abs(mpmath.mpf(float(found)) - truth) <= TOLERANCE * abs(truth))


# --- frameworks -----------------------------------------------------------------------------------------------


class Framework(NamedTuple):
    """A way to compute a spelling and its derivatives.

    Attributes:
        name: with the version.
        solve: gives the answer for a case, or raises where the spelling cannot be written.
    """

    name: str
    solve: Callable[[Case], Answer]


def _namespace(**functions: Any) -> types.SimpleNamespace:
    return types.SimpleNamespace(**functions)


def _weights(y_ndim: int) -> Any:
    return np.array(_WEIGHTS) if y_ndim == 2 else 1.0


def _direction(x: Any) -> Any:
    return np.array(_DIRECTION[: x.shape[1]]) if x.ndim == 2 else 1.0


def symbolic_functions() -> types.SimpleNamespace:
    """Give symbackprop's functions to spell with."""
    import symbackprop as sb  # noqa: PLC0415  (each framework where it is used)

    names = ("abs", "cos", "cosh", "erf", "exp", "log", "log1p", "relu", "sigmoid", "sinh", "softmax", "sqrt", "tanh")
    return _namespace(
        **{name: getattr(sb, name) for name in names},
        col=lambda x, at: x[..., at],
        max=lambda x: sb.max(x, axis=-1, keepdims=True),
        mean=lambda x: sb.mean(x, axis=-1, keepdims=True),
        norm=lambda x: sb.linalg.norm(x, axis=-1),
        prod=lambda x: sb.prod(x, axis=-1),
        sum=lambda x: sb.sum(x, axis=-1, keepdims=True),
    )


def symbackprop(*, compiled: bool) -> Framework:
    """Give symbackprop, whose graphs can be compiled or evaluated as they are."""
    import symbackprop as sb  # noqa: PLC0415  (each framework where it is used)

    m = symbolic_functions()

    def solve(case: Case) -> Answer:
        points = inputs_of(case)
        with sb.Graph():
            x = sb.symbol("x", ("N", *points.shape[1:]))
            y = case.build(m, x)
            slope = sb.grad(sb.sum(y * _weights(_rank(y.shape))), x)
            curvature = sb.grad(sb.sum(slope * _direction(points)), x, unused="zeros")
            outputs = [y, slope, curvature]
            if compiled:
                return Answer(*sb.compile([x], outputs)(points))
            return Answer(*[sb.evaluate(output, {x: points}) for output in outputs])

    return Framework(f"symbackprop{'' if compiled else ', not compiled'}", solve)


def _rank(shape: Sequence[Any]) -> int:
    """Give 2 for a row of results at each point, else 1."""
    return 2 if len(shape) == 2 and shape[1] == len(_WEIGHTS) else 1


def _jax() -> Framework:
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415

    jax.config.update("jax_enable_x64", True)
    m = _namespace(
        **{name: getattr(jnp, name) for name in ("abs", "cos", "cosh", "exp", "log", "log1p", "sinh", "sqrt", "tanh")},
        col=lambda x, at: x[..., at],
        erf=jax.scipy.special.erf,
        max=lambda x: jnp.max(x, axis=-1, keepdims=True),
        mean=lambda x: jnp.mean(x, axis=-1, keepdims=True),
        norm=lambda x: jnp.linalg.norm(x, axis=-1),
        prod=lambda x: jnp.prod(x, axis=-1),
        relu=jax.nn.relu,
        sigmoid=jax.nn.sigmoid,
        softmax=lambda x: jax.nn.softmax(x, axis=-1),
        sum=lambda x: jnp.sum(x, axis=-1, keepdims=True),
    )

    def solve(case: Case) -> Answer:
        points = inputs_of(case)

        def loss(x: Any) -> Any:
            y = case.build(m, x)
            return jnp.sum(y * _weights(_rank(y.shape)))

        slope = jax.grad(loss)
        curvature = jax.grad(lambda x: jnp.sum(slope(x) * _direction(points)))
        return Answer(*(jax.jit(f)(points) for f in (lambda x: case.build(m, x), slope, curvature)))

    return Framework(f"JAX {jax.__version__}", solve)


def _torch() -> Framework:
    import torch  # noqa: PLC0415

    m = _namespace(
        **{name: getattr(torch, name) for name in ("abs", "cos", "cosh", "erf", "exp", "log", "log1p", "relu")},
        **{name: getattr(torch, name) for name in ("sigmoid", "sinh", "sqrt", "tanh")},
        col=lambda x, at: x[..., at],
        max=lambda x: torch.amax(x, dim=-1, keepdim=True),
        mean=lambda x: torch.mean(x, dim=-1, keepdim=True),
        norm=lambda x: torch.linalg.norm(x, dim=-1),
        prod=lambda x: torch.prod(x, dim=-1),
        softmax=lambda x: torch.softmax(x, dim=-1),
        sum=lambda x: torch.sum(x, dim=-1, keepdim=True),
    )

    def solve(case: Case) -> Answer:
        points = inputs_of(case)
        x = torch.tensor(points, requires_grad=True)
        y = case.build(m, x)
        weighed = (y * torch.as_tensor(_weights(_rank(y.shape)))).sum()
        (slope,) = torch.autograd.grad(weighed, x, create_graph=True)
        pulled = (slope * torch.as_tensor(_direction(points))).sum()
        second = torch.autograd.grad(pulled, x, allow_unused=True)[0] if pulled.requires_grad else None
        second = torch.zeros_like(x) if second is None else second
        return Answer(*(each.detach().numpy() for each in (y, slope, second)))

    return Framework(f"PyTorch {torch.__version__.partition('+')[0]}", solve)


def _autograd() -> Framework:
    import autograd  # noqa: PLC0415
    import autograd.numpy as anp  # noqa: PLC0415
    from autograd.scipy import special  # noqa: PLC0415

    def norm(x: Any) -> Any:
        return anp.sqrt(anp.sum(x**2, axis=-1))  # its linalg.norm has no second derivative along an axis

    m = _namespace(
        **{name: getattr(anp, name) for name in ("abs", "cos", "cosh", "exp", "log", "log1p", "sinh", "sqrt", "tanh")},
        col=lambda x, at: x[..., at],
        erf=special.erf,
        max=lambda x: anp.max(x, axis=-1, keepdims=True),
        mean=lambda x: anp.mean(x, axis=-1, keepdims=True),
        norm=norm,
        prod=lambda x: anp.prod(x, axis=-1),
        relu=lambda x: anp.maximum(x, 0.0),
        sigmoid=special.expit,
        softmax=lambda x: anp.exp(x - special.logsumexp(x, axis=-1, keepdims=True)),
        sum=lambda x: anp.sum(x, axis=-1, keepdims=True),
    )

    def solve(case: Case) -> Answer:
        points = inputs_of(case)

        def loss(x: Any) -> Any:
            y = case.build(m, x)
            return anp.sum(y * _weights(_rank(y.shape)))

        slope = autograd.grad(loss)
        curvature = autograd.grad(lambda x: anp.sum(slope(x) * _direction(points)))
        return Answer(case.build(m, points), slope(points), curvature(points))

    return Framework(f"autograd {importlib.metadata.version('autograd')}", solve)


def _pytensor() -> Framework:
    import pytensor  # noqa: PLC0415
    import pytensor.tensor as pt  # noqa: PLC0415

    m = _namespace(
        **{name: getattr(pt, name) for name in ("abs", "cos", "cosh", "erf", "exp", "log", "log1p", "sigmoid", "sinh")},
        **{name: getattr(pt, name) for name in ("sqrt", "tanh")},
        col=lambda x, at: x[..., at],
        max=lambda x: pt.max(x, axis=-1, keepdims=True),
        mean=lambda x: pt.mean(x, axis=-1, keepdims=True),
        norm=lambda x: pt.sqrt(pt.sum(x**2, axis=-1)),  # its linalg.norm cannot be differentiated along an axis
        prod=lambda x: pt.prod(x, axis=-1),
        relu=lambda x: pt.maximum(x, 0.0),
        softmax=lambda x: pt.special.softmax(x, axis=-1),
        sum=lambda x: pt.sum(x, axis=-1, keepdims=True),
    )
    mode = pytensor.compile.mode.Mode(linker="py", optimizer="fast_run")  # all its rewrites, without a C compiler

    def solve(case: Case) -> Answer:
        points = inputs_of(case)
        x = pt.dvector("x") if points.ndim == 1 else pt.matrix("x", shape=(None, points.shape[1]), dtype="float64")
        y = case.build(m, x)
        rank = 2 if y.ndim == 2 and y.type.shape[1] == len(_WEIGHTS) else 1
        slope = pytensor.grad(pt.sum(y * _weights(rank)), x)
        curvature = pytensor.grad(pt.sum(slope * _direction(points)), x, disconnected_inputs="ignore")
        return Answer(*pytensor.function([x], [y, slope, curvature], mode=mode, on_unused_input="ignore")(points))

    return Framework(f"PyTensor {pytensor.__version__}", solve)


def _casadi() -> Framework:
    import casadi  # noqa: PLC0415

    def softmax(x: Any) -> Any:
        e = casadi.exp(x - casadi.mmax(x))
        return e / casadi.sum2(e)

    m = _namespace(
        **{
            name: getattr(casadi, name)
            for name in ("cos", "cosh", "erf", "exp", "log", "log1p", "sinh", "sqrt", "tanh")
        },
        abs=casadi.fabs,
        col=lambda x, at: x[:, at],
        max=casadi.mmax,
        mean=lambda x: casadi.sum2(x) / x.shape[1],
        norm=casadi.norm_2,
        prod=lambda x: x[:, 0] * x[:, 1] * x[:, 2],
        relu=lambda x: casadi.fmax(x, 0),
        sigmoid=lambda x: 1 / (1 + casadi.exp(-x)),  # it has none of its own
        softmax=softmax,
        sum=casadi.sum2,
    )

    def solve(case: Case) -> Answer:
        points = inputs_of(case)
        width = points.shape[1] if points.ndim == 2 else 1
        x = casadi.SX.sym("x", 1, width)
        y = case.build(m, x)
        weights = casadi.DM(_WEIGHTS).T if y.shape[1] == len(_WEIGHTS) else 1
        slope = casadi.gradient(casadi.sum2(y * weights), x)
        direction = casadi.DM(_DIRECTION[:width]).T if points.ndim == 2 else 1
        curvature = casadi.gradient(casadi.sum2(slope * direction), x)
        f = casadi.Function("f", [x], [y, slope, curvature])
        rows = [[np.array(part).ravel() for part in f(point)] for point in points.reshape(len(points), 1, width)]
        return Answer(*(np.array(column) for column in zip(*rows, strict=True)))

    return Framework(f"CasADi {casadi.__version__}", solve)


PEERS: dict[str, Callable[[], Framework]] = {
    "JAX": _jax,
    "PyTorch": _torch,
    "autograd": _autograd,
    "PyTensor": _pytensor,
    "CasADi": _casadi,
}


def score(framework: Framework, case_number: int) -> Iterator[Any]:
    """Tell for value, first and second derivative which elements are right; what is not asked for is masked."""
    case = CASES[case_number]
    truth = truth_of(case_number)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        answer = framework.solve(case)
    for found, right in zip(answer, truth, strict=True):
        asked = right == right  # noqa: PLR0124  (NaN alone differs from itself)
        correct = is_right(np.asarray(found, dtype=np.float64).reshape(right.shape), right)
        yield np.ma.array(correct, mask=~asked.astype(bool))


# --- the table ------------------------------------------------------------------------------------------------


_EXPLAINED = """\
{} spellings, each at 0, ±1e-300, ±1e-8, ±1, ±40, ±1000, ±1e4 and ±∞ where it is defined, rows of numbers with an
infinite one among them too: value, first and second derivative in float64 against mpmath with 1,000 digits. ✓ is right
to 1e-12 relative at every point (what is below 1e-300 may be any number as small, what is too large for a float is
infinite); ✗ is wrong at one point at least. In each framework the spelling is written with its own functions (sigmoid,
softmax, norm … where it has them), differentiated twice, and compiled where that is usual.

{}

Rows have infinite elements of one sign. Not asked for either, because symbackprop is not right there: where all numbers
are nearly equal, the value of sum(p log(3p)), which is the square of something small, and the gradient of
−sum(p log(q)), which has p − q in it; where two numbers are 1e-8 above and below a third, the gradient of an entropy by
the third, smaller than the others by as much."""


def _without_limit() -> str:
    """Tell by the points of which spellings the value or a derivative has no limit, or one of their elements."""
    found: dict[str, list[str]] = {}
    for number, case in enumerate(CASES):
        for point, *parts in zip(points_of(case), *truth_of(number), strict=True):
            if any(mpmath.isnan(each) for part in parts for each in np.ravel(part)):
                found.setdefault(_shown(point), []).append(f"`{case.name}`")
    text = (
        "At an infinity the truth is a limit, found by going there: all numbers go to their ends at once, the finite "
        "ones of a row too, and it must be the same on every way. What has none, of value or derivatives or their "
        "elements, is not asked for: "
    )
    return textwrap.fill(text + "; ".join(f"at {at} {', '.join(names)}" for at, names in found.items()) + ".", 120)


def _shown(point: Any) -> str:
    if isinstance(point, tuple):
        return f"({', '.join(map(_shown, point))})"
    return f"{point:g}".replace("-", "−").replace("inf", "∞")


def table() -> str:
    """Give the scoreboard as Markdown."""
    frameworks = [symbackprop(compiled=True), symbackprop(compiled=False)]
    missing = []
    for name, make in PEERS.items():
        try:
            frameworks.append(make())
        except ImportError:
            missing.append(name)
    absent = f" Not installed when it was written: {', '.join(missing)}." if missing else ""
    marks: list[list[str]] = []
    passed = {framework.name: np.zeros(3, int) for framework in frameworks}
    points = {framework.name: np.zeros((3, 2), int) for framework in frameworks}
    for number, case in enumerate(CASES):
        row = [f"`{case.name}`"]
        for framework in frameworks:
            try:
                right = list(score(framework, number))
            except Exception as error:  # noqa: BLE001  (whatever a peer raises for a spelling: it has no answer)
                row.append(f"— ({type(error).__name__})")
                continue
            row.append("".join("✓" if part.all() else "✗" for part in right))
            passed[framework.name] += [part.all() for part in right]
            points[framework.name] += [[part.sum(), part.count()] for part in right]
        marks.append(row)
    lines = [
        "# Naive spellings at extreme points",
        "",
        _EXPLAINED.format(len(CASES), _without_limit()),
        "",
        f"Written by `python -m tests.scoreboards stability`.{absent}",
        "",
        "| spelling | " + " | ".join(framework.name for framework in frameworks) + " |",
        "|---|" + "---|" * len(frameworks),
        *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in marks),
    ]
    for at, what in enumerate(("values", "first derivatives", "second derivatives")):
        counts = [str(passed[framework.name][at]) for framework in frameworks]
        lines.append(f"| **{what} right, of {len(CASES)}** | " + " | ".join(counts) + " |")
    for at, what in enumerate(("values", "first derivatives", "second derivatives")):
        shares = [points[framework.name][at] for framework in frameworks]
        texts = [f"{100 * right / max(count, 1):.1f} %" for right, count in shares]
        lines.append(f"| {what}: single numbers right | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"

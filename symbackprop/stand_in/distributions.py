"""What stands for the distributions of `scipy.stats`: their densities are formulas of expressions.

As in SciPy ``norm.logpdf(x, loc=0, scale=1)`` comes with the numbers that give a distribution its shape between x and
loc, as in ``gamma.logpdf(x, a)``; ``norm(m, s).logpdf(x)`` is the same, and outside its support a density is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from symbackprop import ops
from symbackprop.errors import ArgumentError
from symbackprop.expr import Expr
from symbackprop.stand_in.symbolic import is_symbolic

Formula = Callable[..., Any]
_LOG_2PI = math.log(2 * math.pi)


class _Family(NamedTuple):
    """A family of distributions, with location 0 and scale 1.

    Attributes:
        log_density: by the value and the shapes; of a discrete family the logarithm of the probability.
        shapes: the names of the numbers that give it its shape.
        support: tells where the density is not 0; everywhere unless told.
        log_below: the logarithm of the probability of values up to this one, where there is a formula.
        log_above: of values beyond this one.
        quantile: the value with a probability below it.
        discrete: tells whether its values are integers.
        within: a value in the support, at which formulas are computed in the place of values outside.
    """

    log_density: Formula
    shapes: tuple[str, ...] = ()
    support: Formula | None = None
    log_below: Formula | None = None
    log_above: Formula | None = None
    quantile: Formula | None = None
    discrete: bool = False
    within: float = 1


def _is_positive(z: Any, *_: Any) -> Any:
    return ops.greater(z, 0)


def _is_not_negative(z: Any, *_: Any) -> Any:
    return ops.greater_equal(z, 0)


def _up_to(top: Any, z: Any) -> Any:
    return ops.logical_and(ops.greater_equal(z, 0), ops.less_equal(z, top))


def _log_choose(n: Any, k: Any) -> Any:
    return ops.gammaln(n + 1) - ops.gammaln(k + 1) - ops.gammaln(n - k + 1)


_FAMILIES: dict[str, _Family] = {
    "bernoulli": _Family(
        lambda k, p: ops.xlogy(k, p) + ops.xlog1py(1 - k, -p), ("p",), lambda k, _p: _up_to(1, k), discrete=True
    ),
    "beta": _Family(
        lambda z, a, b: ops.xlogy(a - 1, z) + ops.xlog1py(b - 1, -z) - ops.betaln(a, b),
        ("a", "b"),
        lambda z, *_: _up_to(1, z),
        within=0.5,
    ),
    "binom": _Family(
        lambda k, n, p: _log_choose(n, k) + ops.xlogy(k, p) + ops.xlog1py(n - k, -p),
        ("n", "p"),
        lambda k, n, _p: _up_to(n, k),
        discrete=True,
        within=0,
    ),
    "cauchy": _Family(
        lambda z: -ops.log1p(z**2) - math.log(math.pi),
        log_below=lambda z: ops.log(0.5 + ops.arctan(z) / math.pi),
        log_above=lambda z: ops.log(0.5 - ops.arctan(z) / math.pi),
        quantile=lambda q: ops.tan(math.pi * (q - 0.5)),
    ),
    "chi2": _Family(
        lambda z, df: ops.xlogy(df / 2 - 1, z) - z / 2 - ops.gammaln(df / 2) - df / 2 * math.log(2),
        ("df",),
        _is_not_negative,
    ),
    "expon": _Family(
        lambda z: -z,
        (),
        _is_not_negative,
        log_below=lambda z: ops.log(-ops.expm1(-z)),
        log_above=lambda z: -z,
        quantile=lambda q: -ops.log1p(-q),
    ),
    "gamma": _Family(lambda z, a: ops.xlogy(a - 1, z) - z - ops.gammaln(a), ("a",), _is_not_negative),
    "geom": _Family(
        lambda k, p: ops.log(p) + ops.xlog1py(k - 1, -p), ("p",), lambda k, _p: ops.greater_equal(k, 1), discrete=True
    ),
    "gumbel_l": _Family(
        lambda z: z - ops.exp(z),
        log_below=lambda z: ops.log(-ops.expm1(-ops.exp(z))),
        log_above=lambda z: -ops.exp(z),
        quantile=lambda q: ops.log(-ops.log1p(-q)),
    ),
    "gumbel_r": _Family(
        lambda z: -z - ops.exp(-z),
        log_below=lambda z: -ops.exp(-z),
        log_above=lambda z: ops.log(-ops.expm1(-ops.exp(-z))),
        quantile=lambda q: -ops.log(-ops.log(q)),
    ),
    "halfcauchy": _Family(lambda z: math.log(2 / math.pi) - ops.log1p(z**2), (), _is_not_negative),
    "halfnorm": _Family(lambda z: math.log(2 / math.pi) / 2 - z**2 / 2, (), _is_not_negative),
    "invgamma": _Family(lambda z, a: -(a + 1) * ops.log(z) - ops.gammaln(a) - 1 / z, ("a",), _is_positive),
    "laplace": _Family(lambda z: -ops.abs(z) - math.log(2)),
    "logistic": _Family(
        lambda z: -z - 2 * ops.softplus(-z),
        log_below=ops.log_expit,
        log_above=lambda z: ops.log_expit(-z),
        quantile=ops.logit,
    ),
    "lognorm": _Family(
        lambda z, s: -((ops.log(z) / s) ** 2) / 2 - ops.log(s * z) - _LOG_2PI / 2,
        ("s",),
        _is_positive,
        log_below=lambda z, s: ops.log_ndtr(ops.log(z) / s),
        log_above=lambda z, s: ops.log_ndtr(-ops.log(z) / s),
        quantile=lambda q, s: ops.exp(s * ops.ndtri(q)),
    ),
    "nbinom": _Family(
        lambda k, n, p: ops.gammaln(n + k) - ops.gammaln(n) - ops.gammaln(k + 1) + n * ops.log(p) + ops.xlog1py(k, -p),
        ("n", "p"),
        _is_not_negative,
        discrete=True,
    ),
    "norm": _Family(
        lambda z: -(z**2) / 2 - _LOG_2PI / 2,
        log_below=ops.log_ndtr,
        log_above=lambda z: ops.log_ndtr(-z),
        quantile=ops.ndtri,
    ),
    "pareto": _Family(lambda z, b: ops.log(b) - (b + 1) * ops.log(z), ("b",), lambda z, _b: ops.greater_equal(z, 1)),
    "poisson": _Family(
        lambda k, mu: ops.xlogy(k, mu) - ops.gammaln(k + 1) - mu, ("mu",), _is_not_negative, discrete=True
    ),
    "rayleigh": _Family(lambda z: ops.log(z) - z**2 / 2, (), _is_not_negative, log_above=lambda z: -(z**2) / 2),
    "t": _Family(
        lambda z, df: (
            ops.gammaln((df + 1) / 2)
            - ops.gammaln(df / 2)
            - ops.log(df * math.pi) / 2
            - (df + 1) / 2 * ops.log1p(z**2 / df)
        ),
        ("df",),
    ),
    "uniform": _Family(lambda z: 0 * z, (), lambda z: _up_to(1, z), quantile=lambda q: 1 * q),
    "weibull_min": _Family(
        lambda z, c: ops.log(c) + ops.xlogy(c - 1, z) - z**c,
        ("c",),
        _is_not_negative,
        log_below=lambda z, c: ops.log(-ops.expm1(-(z**c))),
        log_above=lambda z, c: -(z**c),
        quantile=lambda q, c: (-ops.log1p(-q)) ** (1 / c),
    ),
}
_PROBABILITIES = {"cdf": "log_below", "logcdf": "log_below", "sf": "log_above", "logsf": "log_above"}


class _Distribution:
    """A family of distributions of scipy.stats, for expressions too."""

    def __init__(self, scipys: Any, name: str) -> None:
        self._scipys = scipys
        self._name = name
        self._family = _FAMILIES[name]

    def __call__(self, *args: Any, **keywords: Any) -> _Frozen:
        return _Frozen(self, args, keywords)

    def __getattr__(self, name: str) -> Any:
        scipys = getattr(self._scipys, name)
        if not callable(scipys):
            return scipys

        def method(*args: Any, **keywords: Any) -> Any:
            if not any(map(is_symbolic, (*args, *keywords.values()))):
                return scipys(*args, **keywords)
            return self._value(name, *args, **keywords)

        return method

    def _value(self, name: str, x: Any, *args: Any, **keywords: Any) -> Any:
        """Give the value of a method, by its formula."""
        family = self._family
        names = (*family.shapes, "loc") if family.discrete else (*family.shapes, "loc", "scale")
        told: dict[str, Any] = {"loc": 0, "scale": 1, **dict(zip(names, args, strict=False)), **keywords}
        missing = [each for each in family.shapes if each not in told]
        unknown = [each for each in told if each not in {*names, "scale"}]
        if missing or unknown or len(args) > len(names):
            msg = f"scipy.stats.{self._name}.{name} takes {', '.join(['x', *names])}"
            raise ArgumentError(msg)
        loc, scale, shapes = told["loc"], told["scale"], [told[each] for each in family.shapes]
        if name == "ppf" and family.quantile is not None:
            return loc + scale * family.quantile(x, *shapes)
        z = _standard(x, loc, scale)
        density, logarithm = ("pmf", "logpmf") if family.discrete else ("pdf", "logpdf")
        if name in {density, logarithm}:
            value = self._supported(family.log_density, z, shapes, -math.inf)
            value = value if _is_one(scale) else value - ops.log(scale)
            return value if name == logarithm else ops.exp(value)
        if (formula := getattr(family, _PROBABILITIES.get(name, ""), None)) is not None:
            # where a support has a lower end alone: values below it have the probability 0 below them, and 1 above
            value = self._supported(formula, z, shapes, -math.inf if "cdf" in name else 0.0)
            return value if name.startswith("log") else ops.exp(value)
        msg = (
            f"scipy.stats.{self._name}.{name} has no formula for expressions: write it with functions of NumPy or "
            "scipy.special"
        )
        raise ArgumentError(msg)

    def _supported(self, formula: Formula, z: Any, shapes: list[Any], outside: float) -> Any:
        """Give the formula where it holds."""
        family = self._family
        if family.support is None:
            return formula(z, *shapes)
        inside = family.support(z, *shapes)
        if family.discrete and z.dtype.kind not in "iub":
            inside = ops.logical_and(inside, ops.equal(z, ops.floor(z)))
        return ops.where(inside, formula(ops.where(inside, z, family.within), *shapes), outside)


def _is_one(scale: Any) -> bool:
    return isinstance(scale, int | float) and scale == 1


def _standard(x: Any, loc: Any, scale: Any) -> Any:
    moved = x if isinstance(loc, int | float) and loc == 0 else x - loc
    return ops.asarray(moved if _is_one(scale) else moved / scale)


class _Frozen:
    """A distribution with its parameters."""

    def __init__(self, distribution: Any, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> None:
        self._distribution = distribution
        self._args = args
        self._keywords = keywords

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._distribution, name)
        return lambda *values, **more: method(*values, *self._args, **self._keywords, **more)


class _MultivariateNormal:
    """The normal distribution of vectors of scipy.stats, for expressions too."""

    def __init__(self, scipys: Any) -> None:
        self._scipys = scipys

    def __call__(self, *args: Any, **keywords: Any) -> _Frozen:
        return _Frozen(self, args, keywords)

    def __getattr__(self, name: str) -> Any:
        scipys = getattr(self._scipys, name)
        if name not in {"logpdf", "pdf"}:
            return scipys

        def method(x: Any, mean: Any = None, cov: Any = 1, **keywords: Any) -> Any:
            if not any(map(is_symbolic, (x, mean, cov))):
                return scipys(x, mean, cov, **keywords)
            if keywords:
                msg = f"scipy.stats.multivariate_normal.{name} of expressions takes x, mean and cov"
                raise ArgumentError(msg)
            value = _log_normal(ops.array(x), 0 if mean is None else ops.array(mean), ops.array(cov))
            return value if name == "logpdf" else ops.exp(value)

        return method


def _log_normal(x: Expr, mean: Any, cov: Expr) -> Expr:
    size = cov.shape[0] if cov.ndim else np.shape(mean)[0] if np.ndim(mean) else 1
    if cov.ndim < 2:
        cov = ops.diag(ops.broadcast_to(cov, (size,)))
    moved = x - mean
    moved = moved if moved.ndim else ops.reshape(moved, (1,))
    half = ops.sum(moved @ ops.linalg.inv(cov) * moved, axis=-1)
    return -0.5 * (half + ops.linalg.slogdet(cov).logabsdet + ops.size_of(size, moved.dtype) * _LOG_2PI)


def stand_in(value: Any) -> Any:
    """Give what stands for a distribution of SciPy, or None where it is none or there is nothing."""
    kind = type(value)
    if not kind.__module__.startswith("scipy.stats."):
        return None
    if kind.__name__ in {"rv_continuous_frozen", "rv_discrete_frozen"}:
        family = stand_in(value.dist)
        return None if family is None else _Frozen(family, value.args, value.kwds)
    if kind.__name__ == "multivariate_normal_gen":
        return _MultivariateNormal(value)
    name = kind.__name__.removesuffix("_gen")
    return _Distribution(value, name) if name in _FAMILIES else None

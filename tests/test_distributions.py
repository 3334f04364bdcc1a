"""The distributions of scipy.stats in functions that are run on symbols: SciPy's values, and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import symbackprop as sb
from symbackprop.errors import ArgumentError

X = np.array([-0.4, 0.2, 0.7, 1.6])
K = np.array([-1.0, 0.0, 1.0, 2.0, 1.5])
CONTINUOUS = {
    "beta": (1.3, 2.2),
    "cauchy": (),
    "chi2": (3.5,),
    "expon": (),
    "gamma": (1.7,),
    "gumbel_l": (),
    "gumbel_r": (),
    "halfcauchy": (),
    "halfnorm": (),
    "invgamma": (2.1,),
    "laplace": (),
    "logistic": (),
    "lognorm": (0.8,),
    "norm": (),
    "pareto": (1.4,),
    "rayleigh": (),
    "t": (4.5,),
    "uniform": (),
    "weibull_min": (1.5,),
}
DISCRETE = {"bernoulli": (0.3,), "binom": (4, 0.3), "geom": (0.3,), "nbinom": (2.5, 0.4), "poisson": (1.3,)}
PROBABILITIES = {
    "cdf": ("cauchy", "expon", "gumbel_l", "gumbel_r", "logistic", "lognorm", "norm", "weibull_min"),
    "sf": ("cauchy", "expon", "gumbel_l", "gumbel_r", "logistic", "lognorm", "norm", "rayleigh", "weibull_min"),
    "ppf": ("cauchy", "expon", "gumbel_l", "gumbel_r", "logistic", "lognorm", "norm", "uniform", "weibull_min"),
}
METHODS = [
    *[(name, method) for name in CONTINUOUS for method in ("logpdf", "pdf")],
    *[(name, method) for name in DISCRETE for method in ("logpmf", "pmf")],
    *[(name, method) for method, names in PROBABILITIES.items() for name in names],
    *[(name, f"log{method}") for method in ("cdf", "sf") for name in PROBABILITIES[method]],
]


@pytest.mark.parametrize(("name", "method"), METHODS, ids=lambda each: each)
def test_a_distribution_of_scipy(name, method):
    """Values at places within the support and outside of it; the slope by every parameter, and by the place."""
    family = getattr(stats, name)
    shapes = CONTINUOUS.get(name, DISCRETE.get(name))
    place = np.array([0.2, 0.5, 0.9]) if method == "ppf" else X if name in CONTINUOUS else K
    by_integers = name == "binom"
    parameters = np.array([*shapes[by_integers:], *((0.1, 0.9) if name in CONTINUOUS else ())])
    integers = shapes[:by_integers]

    def f(parameters, x):
        values = getattr(family, method)(x, *integers, *parameters)
        return np.sum(np.where(np.isfinite(values), values, 0.5) * np.arange(1, len(x) + 1))

    def values(parameters, x):
        return getattr(family, method)(x, *integers, *parameters)

    symbols = sb.symbol("parameters", parameters.shape), sb.symbol("x", place.shape)
    found = sb.trace_function(values, dict(zip(("parameters", "x"), symbols, strict=True)))
    found = sb.evaluate(found, dict(zip(symbols, (parameters, place), strict=True)))
    np.testing.assert_allclose(found, values(parameters, place), rtol=1e-10)
    slopes = sb.grad(f, (0, 1))(parameters, place)
    h = 1e-6
    for position, (given, slope) in enumerate(zip((parameters, place), slopes, strict=True)):
        if position == 1 and name in DISCRETE:
            continue
        for each, unit in zip(slope, np.eye(len(given)), strict=True):
            ends = [f(*(given + sign * h * unit if at == position else other
                        for at, other in enumerate((parameters, place)))) for sign in (1, -1)]  # fmt: skip
            np.testing.assert_allclose(each, (ends[0] - ends[1]) / (2 * h), rtol=1e-6, atol=1e-7)


PRIOR = stats.norm(0.5, 2)


def test_frozen_distributions():
    def f(m, s, x):
        likelihood = stats.norm(loc=m, scale=s)
        return np.sum(likelihood.logpdf(x)) + PRIOR.logpdf(m) + stats.gamma(2.0, scale=0.5).logpdf(s)

    value, (by_m, _) = sb.value_and_grad(f, (0, 1))(0.3, 1.2, X)
    np.testing.assert_allclose(value, f(0.3, 1.2, X), rtol=1e-13)
    np.testing.assert_allclose(by_m, np.sum(X - 0.3) / 1.2**2 - (0.3 - 0.5) / 4, rtol=1e-13)


@pytest.mark.parametrize("x", [X[:2], np.arange(6.0).reshape(3, 2) / 7, np.arange(12.0).reshape(3, 2, 2)])
def test_normal_distributions_of_vectors(x):
    m, S = np.array([0.3, -0.2]), np.array([[2.0, 0.5], [0.5, 1.0]])

    def f(x, m, S):
        return np.sum(stats.multivariate_normal.logpdf(x, mean=m, cov=S)) + stats.multivariate_normal(m, 2.0).pdf(m)

    value, by_m = sb.value_and_grad(f, "m")(x, m, S)
    np.testing.assert_allclose(value, f(x, m, S), rtol=1e-13)
    np.testing.assert_allclose(by_m, np.sum((x - m) @ np.linalg.inv(S), axis=tuple(range(x.ndim - 1))), rtol=1e-12)


def test_what_has_no_formula_says_so():
    with pytest.raises(ArgumentError, match=r"scipy.stats.gamma.cdf has no formula for expressions"):
        sb.grad(lambda a: stats.gamma.cdf(0.3, a))(1.2)
    with pytest.raises(ArgumentError, match=r"scipy.stats.gamma.pdf takes x, a, loc, scale"):
        sb.grad(lambda x: stats.gamma.pdf(2 * x))(1.2)

"""The Laplace approximation: a posterior as a Gaussian, from the Hessian of the log-posterior at its maximum.

The data are the 23 flights of the space shuttle before Challenger's last: the temperature at the launch, and whether
an O-ring suffered (Dalal, Fowlkes and Hoadley, Journal of the American Statistical Association 84, 1989). Three
things are found, each beside what is known to be true:

1. maximum likelihood and its standard errors, beside those of R's glm, which are in many textbooks;
2. the evidence (marginal likelihood) of a logistic regression with a Gaussian prior, beside numerical integration;
3. the evidence of a linear regression, whose posterior is Gaussian, beside its closed form: no difference is left.

Run: python examples/laplace.py
"""

from __future__ import annotations

import argparse
import math
import sys
from typing import Any

import numpy as np
from scipy.stats import multivariate_normal

import symbackprop as sb
from symbackprop import train

FAHRENHEIT = np.array(
    [66, 70, 69, 68, 67, 72, 73, 70, 57, 63, 70, 78, 67, 53, 67, 75, 70, 81, 76, 79, 75, 76, 58], float
)
SUFFERED = np.array([0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1], float)
R_GLM = np.array([[15.0429, -0.2322], [7.3786, 0.1082]])  # coefficients, standard errors
LAUNCH = 31.0


def log_evidence(minimum: sb.Optimum) -> float:
    """Give Laplace's log ∫ exp(−f) = −f(θ̂) + d/2 log 2π − ½ log det H."""
    H = minimum.hessian
    return float(-minimum.value + 0.5 * len(H) * math.log(2 * math.pi) - 0.5 * np.linalg.slogdet(H).logabsdet)


def integrated(minimum: sb.Optimum, f: sb.Expr, data: Any, points: int = 60) -> float:
    """Give log ∫ exp(−f) over two parameters by Gauss and Hermite's rule, laid out by the Laplace approximation."""
    problem = sb.scipy_problem(f, minimum.params, data)
    L = np.linalg.inv(np.linalg.cholesky(minimum.hessian)).T
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    logs = [
        math.log(v * w) + 0.5 * (s * s + t * t) - problem.fun(problem.x0 + L @ [s, t])
        for s, v in zip(nodes, weights, strict=True)
        for t, w in zip(nodes, weights, strict=True)
    ]
    return float(np.logaddexp.reduce(logs) + np.linalg.slogdet(L).logabsdet)


def maximum_likelihood() -> bool:
    """Fit without a prior, on the original scale, as R does."""
    t, y, a, b = sb.symbols("t[N] y[N] a b")
    f = train.binary_cross_entropy(a + b * t, y, reduction="sum")
    data = {t: FAHRENHEIT, y: SUFFERED}
    found = sb.minimize(f, [a, b], data, method="newton")
    print("1. Maximum likelihood of", f, "\n")
    print(found)
    ours = np.array([found.x, np.sqrt(np.diag(np.linalg.inv(found.hessian)))])
    print(f"\n{'':>12} {'estimate':>10} {'error':>8}   R: {'estimate':>9} {'error':>8}")
    for name, mine, theirs in zip(["intercept", "slope"], ours.T, R_GLM.T, strict=True):
        print(f"{name:>12} {mine[0]:10.4f} {mine[1]:8.4f}      {theirs[0]:9.4f} {theirs[1]:8.4f}")
    return bool(np.abs(ours - R_GLM).max() <= 1e-4)


def bayesian() -> bool:
    """Put a prior on the coefficients of the standardised temperature, and integrate."""
    t, y, theta = sb.symbols("t[N] y[N] theta[2]")
    z = theta[0] + theta[1] * t
    prior = sb.sum(theta**2) / (2 * 3.0**2) + math.log(2 * math.pi * 3.0**2)
    f = train.binary_cross_entropy(z, y, reduction="sum") + prior
    mean, deviation = FAHRENHEIT.mean(), FAHRENHEIT.std()
    data = {t: (FAHRENHEIT - mean) / deviation, y: SUFFERED}
    found = sb.minimize(f, theta, data, method="trust-exact")
    ours, true = log_evidence(found), integrated(found, f, data)
    print("\n2. Posterior with a prior N(0, 3²) on both coefficients of the standardised temperature\n")
    print(found)
    print(f"\nlog evidence: Laplace {ours:.4f}, integrated {true:.4f}, difference {ours - true:.4f}")
    # σ(z) under a Gaussian z of mean m and variance v is close to σ(m / √(1 + π v / 8)) (MacKay, 1992).
    x = np.array([1.0, (LAUNCH - mean) / deviation])
    m, v = float(x @ found.x), float(x @ np.linalg.solve(found.hessian, x))
    chance = 1 / (1 + math.exp(-m / math.sqrt(1 + math.pi * v / 8)))
    print(f"probability that an O-ring suffers at {LAUNCH:g} °F: {chance:.3f}")
    finer = integrated(found, f, data, points=80)
    return abs(ours - true) < 0.1 and abs(true - finer) < 1e-6


def gaussian() -> bool:
    """Do the same for a linear regression, where the approximation is exact."""
    X, y, w, b = sb.symbols("X[N,D] y[N] w[D] b")
    sigma, tau = 0.5, 2.0
    rng = np.random.default_rng(0)
    Xv = rng.normal(size=(30, 3))
    yv = Xv @ [1.0, -1.0, 0.5] + sigma * rng.normal(size=30)
    f = sb.sum((X @ w + b - y) ** 2) / (2 * sigma**2) + (w @ w + b * b) / (2 * tau**2)
    f = f + 0.5 * math.log(2 * math.pi) * (30 + 4) + 30 * math.log(sigma) + 4 * math.log(tau)
    data = {X: Xv, y: yv}
    found = sb.minimize(f, [w, b], data, method="trust-exact")
    ours = log_evidence(found)
    A = np.column_stack([Xv, np.ones(30)])
    true = float(multivariate_normal(np.zeros(30), sigma**2 * np.eye(30) + tau**2 * A @ A.T).logpdf(yv))
    print("\n3. Linear regression, whose posterior is Gaussian")
    print(f"log evidence: Laplace {ours:.9f}, closed form {true:.9f}, difference {ours - true:.1e}")
    return abs(ours - true) < 1e-8


def main() -> int:
    """Do all three; the exit status is 1 if one of them is not what is known."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    return 0 if all([maximum_likelihood(), bayesian(), gaussian()]) else 1


if __name__ == "__main__":
    sys.exit(main())

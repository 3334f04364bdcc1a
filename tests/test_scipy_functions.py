"""SciPy's functions that are written in Python, in functions that are run on symbols."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy import integrate, linalg, optimize, signal, spatial, special, stats
from scipy.spatial.distance import cdist, cosine, pdist

import symbackprop as sb
from symbackprop.errors import ArgumentError

rng = np.random.default_rng(1)


def draw(*shape):
    return rng.uniform(0.3, 1.7, shape)


def spd(n):
    A = draw(n, n)
    return A @ A.T + n * np.eye(n)


def squared(A):
    w, V = linalg.eigh(A + A.T, lower=False)
    return (V * w**2) @ V.T


def enlarged(A):
    U, s, Vh = linalg.svd(A, full_matrices=False)
    Q, R = linalg.qr(A, mode="economic")
    return (U * s**2) @ Vh + Q @ R**2


SORTED = np.cumsum(draw(7))
CASES = [
    (lambda y: integrate.trapezoid(y, dx=0.1) + integrate.trapezoid(y, SORTED), draw(7)),
    (lambda y: integrate.cumulative_trapezoid(y, SORTED), draw(7)),
    (lambda y: integrate.cumulative_trapezoid(y, dx=0.2, axis=0, initial=0), draw(4, 3)),
    (lambda y, x: integrate.simpson(y, x=x), draw(7), SORTED),
    (lambda y, x: integrate.simpson(y, x=x), draw(6), SORTED[:6]),
    (lambda y: integrate.simpson(y, dx=0.3, axis=0), draw(4, 3)),
    (integrate.simpson, draw(2)),
    (lambda A, B: linalg.block_diag(A, B, 2.0), draw(2, 3), draw(2)),
    (lambda A: linalg.eigvalsh(A + A.T) + linalg.eigh(A + A.T, eigvals_only=True), draw(3, 3)),
    (squared, draw(3, 3)),
    (lambda A, b: linalg.solve(A + A.T, b, assume_a="pos") + linalg.solve(A, b), spd(3), draw(3)),
    (lambda A, b: linalg.solve(A + A.T, b, assume_a="pos", lower=True, check_finite=False), spd(3), draw(3)),
    (lambda A, b: linalg.solve(np.tril(A), b, assume_a="lower triangular"), spd(3), draw(3)),
    (enlarged, draw(3, 2)),
    (lambda A: linalg.svd(A, compute_uv=False) + linalg.svdvals(A), draw(3, 2)),
    (linalg.pinv, draw(3, 2)),
    (optimize.rosen, draw(4)),
    (lambda x, h: signal.convolve(x, h, mode="same") + signal.fftconvolve(x, h, "same"), draw(6), draw(3)),
    (lambda x, h: signal.convolve(x, h, mode="same", method="direct"), draw(3), draw(6)),
    (lambda x, h: signal.convolve(x, h, "valid") + signal.oaconvolve(x, h, mode="valid"), draw(6), draw(4)),
    (lambda x, h: signal.correlate(x, h) + signal.convolve(x, h), draw(6), draw(4)),
    (lambda x, h: signal.correlate(x, h, mode="same"), draw(6), draw(4)),
    (lambda b, x: signal.lfilter(b, 2.0, x), draw(3), draw(6)),
    (signal.lfilter, draw(3), draw(2), draw(6)),
    (signal.lfilter, draw(2), draw(4), draw(6)),
    (lambda X, Y: cdist(X, Y) + cdist(X, Y, "sqeuclidean") + cdist(X, Y, metric="chebyshev"), draw(3, 2), draw(4, 2)),
    (lambda X, Y: spatial.distance.cdist(X, Y, "cityblock") + cdist(X, Y, "cosine"), draw(3, 2), draw(4, 2)),
    (lambda X: pdist(X) + pdist(X, "sqeuclidean"), draw(4, 2)),
    (lambda x, y: cosine(x, y) + spatial.distance.euclidean(x, y), draw(4), draw(4)),
    (lambda a: special.multigammaln(a, 3), 2.5),
    (lambda x: stats.zscore(x) + stats.zscore(x, ddof=1), draw(5)),
    (lambda x: stats.gmean(x) + stats.hmean(x, axis=0) + stats.skew(x) + stats.kurtosis(x), draw(5, 2)),
    (lambda x: stats.gmean(x, axis=None) + stats.kurtosis(x, axis=None, fisher=False), draw(5, 2)),
    (lambda p, q: stats.entropy(p) + stats.entropy(p, q) + stats.entropy(p, base=2), draw(5), draw(5)),
]


@pytest.mark.parametrize(("f", "args"), [(f, args) for f, *args in CASES], ids=range(len(CASES)))
def test_a_function_of_scipy(f, args):
    """Value as SciPy's; the gradient of weighted elements along a random direction as central differences say."""
    shape = np.shape(f(*args))
    weights = rng.standard_normal(shape)
    value, gradients = sb.value_and_grad(lambda *args: np.sum(f(*args) * weights), (*range(len(args)),))(*args)
    np.testing.assert_allclose(value, np.sum(f(*args) * weights), rtol=1e-10)
    directions = [rng.standard_normal(np.shape(each)) for each in args]
    h = 1e-6
    ends = [
        np.sum(f(*(each + sign * h * by for each, by in zip(args, directions, strict=True))) * weights)
        for sign in (1, -1)
    ]
    slope = sum(np.sum(each * by) for each, by in zip(gradients, directions, strict=True))
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * h), rtol=1e-6, atol=1e-7)


def test_a_metric_that_is_not_known():
    with pytest.raises(ArgumentError, match=re.escape("knows the metrics chebyshev, cityblock, cosine, euclidean")):
        sb.grad(lambda X: cdist(X, X, "canberra").sum())(draw(3, 2))


def per_number(x):
    return x**2 + np.sin(x)


NUMPYS = [
    lambda x: np.linalg.norm([x[0], x[1] ** 2]) + np.exp([x[0], x[2]]).sum() + np.dot([x[0], 1.0], [x[1], x[2]]),
    lambda x: np.cross([x[0], 1.0, 0.5], x).sum() + np.add.reduce([x[0], x[1]]) + np.maximum([x[0], 2.0], x[1]).sum(),
    lambda x: np.vectorize(per_number)(x).sum() + np.vectorize(lambda a, b: a * b)(x[:, None], x)[0, 1],
    lambda x: (
        np.apply_along_axis(np.sum, 1, np.outer(x, x)) @ x + np.apply_along_axis(np.sort, 0, np.outer(x, x))[0, 0]
    ),
    lambda x: sum(index[0] * each for index, each in np.ndenumerate(x)) + np.float64(x[0]) * np.prod(np.shape(x)),
    lambda x: np.polynomial.polynomial.polyval(0.3, x) + np.zeros(2, dtype=np.float64) @ x[:2].astype(np.float64),
]


@pytest.mark.parametrize("f", NUMPYS, ids=range(len(NUMPYS)))
def test_functions_of_numpy_that_hand_nothing_over(f):
    x, direction = draw(3), rng.standard_normal(3)
    value, slope = sb.value_and_grad(f)(x)
    np.testing.assert_allclose(value, f(x), rtol=1e-13)
    h = 1e-6
    np.testing.assert_allclose(
        slope @ direction, (f(x + h * direction) - f(x - h * direction)) / (2 * h), rtol=1e-7, atol=1e-8
    )

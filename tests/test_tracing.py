"""Plain NumPy functions, not changed by a letter: run on symbols, differentiated, called with arrays."""

from __future__ import annotations

import gc
import inspect
import math
import re
import runpy
import threading
from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy import asarray
from scipy import linalg, special, stats
from scipy.special import logsumexp
from scipy.stats import norm

import symbackprop as sb
from symbackprop.errors import ArgumentError, NotDifferentiableError, ShapeError, TracingWarning
from tests.helpers import median_of

# --- functions as people write them ---------------------------------------------------------------------------


def rosen(x):
    """scipy.optimize.rosen."""
    x = asarray(x)
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2.0) ** 2.0 + (1 - x[:-1]) ** 2.0, axis=0, dtype=x.dtype)


def kalman_step(m, P, F, Q, H, R, y):  # noqa: PLR0917  (as people write it)
    """The negative log-likelihood of a measurement, behind one prediction and update."""
    m = F @ m
    P = F @ P @ F.T + Q
    v = y - H @ m
    S = H @ P @ H.T + R
    K = np.linalg.solve(S, H @ P).T
    m = m + K @ v
    P = (np.eye(len(m)) - K @ H) @ P
    loglik = -0.5 * (v @ np.linalg.solve(S, v) + np.linalg.slogdet(2 * np.pi * S)[1])
    return -loglik + np.sum(m**2) + np.trace(P)


def gp_log_likelihood(theta, X, y):
    amplitude, length, noise = np.exp(theta)
    d2 = np.sum((X[:, None, :] - X[None, :, :]) ** 2, axis=-1)
    K = amplitude * np.exp(-0.5 * d2 / length**2) + noise * np.eye(len(y))
    L = np.linalg.cholesky(K)
    alpha = np.linalg.solve(L.T, np.linalg.solve(L, y))
    return -0.5 * y @ alpha - np.sum(np.log(np.diag(L))) - 0.5 * len(y) * np.log(2 * np.pi)


def black_scholes(S, K, T, r, sigma):
    d1 = (np.log(S / K) + (r + sigma**2 / 2) * T) / (sigma * np.sqrt(T))
    d2 = d1 - sigma * np.sqrt(T)
    return S * special.ndtr(d1) - K * np.exp(-r * T) * special.ndtr(d2)


def reprojection_error(camera, points, observed):
    """Bundle adjustment: rotation vector, translation, focal length and two radial distortions of one camera."""
    rotation, translation, (f, k1, k2) = camera[:3], camera[3:6], camera[6:9]
    theta = np.sqrt(np.sum(rotation**2))
    axis = rotation / theta
    dot = points @ axis
    turned = (
        np.cos(theta) * points
        + np.sin(theta) * np.cross(axis, points)
        + (1 - np.cos(theta)) * dot[:, np.newaxis] * axis
    )
    moved = turned + translation
    projected = -moved[:, :2] / moved[:, 2, np.newaxis]
    r2 = np.sum(projected**2, axis=1)
    distortion = 1 + k1 * r2 + k2 * r2**2
    return np.sum((f * distortion[:, np.newaxis] * projected - observed) ** 2)


def mixture_log_likelihood(params, x):
    log_weights, means, log_scales = params["weights"], params["means"], params["scales"]
    log_weights = log_weights - np.log(np.sum(np.exp(log_weights)))
    z = (x[:, None, :] - means) / np.exp(log_scales)
    log_prob = np.sum(-0.5 * z**2 - log_scales - 0.5 * np.log(2 * np.pi), axis=-1) + log_weights
    top = np.max(log_prob, axis=1, keepdims=True)
    return np.sum(top[:, 0] + np.log(np.sum(np.exp(log_prob - top), axis=1)))


def sigmoid(x):
    return 0.5 * (np.tanh(x / 2.0) + 1)


def logistic_predictions(weights, inputs):
    return sigmoid(np.dot(inputs, weights))


def training_loss(weights, inputs, targets):
    """The logistic regression of autograd's README."""
    preds = logistic_predictions(weights, inputs)
    label_probabilities = preds * targets + (1 - preds) * (1 - targets)
    return -np.sum(np.log(label_probabilities))


def neural_net_predict(params, inputs):
    """The network of autograd's tutorial: params is a list of (weights, bias) tuples."""
    for W, b in params:
        outputs = np.dot(inputs, W) + b
        inputs = np.tanh(outputs)
    return outputs - np.log(np.sum(np.exp(outputs), axis=1, keepdims=True))


def network_loss(params, inputs, targets):
    return -np.sum(neural_net_predict(params, inputs) * targets)


def tanh_by_loops(x):
    """The tanh of autograd's tutorial, by its series of the exponential function."""
    term, total = 1.0, 1.0
    for n in range(1, 20):
        term = term * (-2 * x) / n
        total = total + term
    return (1.0 - total) / (1.0 + total)


def hmm_log_likelihood(transition, emission, observed):
    """The forward algorithm."""
    log_a = transition - logsumexp(transition, axis=1, keepdims=True)
    log_b = emission - special.logsumexp(emission, axis=1, keepdims=True)
    alpha = log_b[:, observed[0]]
    for each in observed[1:]:
        alpha = logsumexp(alpha[:, None] + log_a, axis=0) + log_b[:, each]
    return logsumexp(alpha)


def cross_entropy(logits, labels):
    onehot = np.eye(3)[labels]
    return (
        -np.mean(np.sum(onehot * np.log(special.softmax(logits, axis=1)), axis=1)) - special.log_softmax(logits)[0, 0]
    )


def gp_by_scipy(theta, X, y):
    import numpy as np  # noqa: PLC0415  (as people write it)
    from scipy.linalg import cho_factor, cho_solve  # noqa: PLC0415

    K = np.exp(-((X[:, None] - X) ** 2).sum(-1) / theta[0]) + np.array([theta[1]]) * np.eye(X.shape[0])
    factor = cho_factor(K, lower=True, check_finite=False)
    upper = linalg.cholesky(K)
    half = linalg.solve_triangular(upper, y, trans="T")
    other = cho_solve((upper, False), y, check_finite=False)
    return y @ cho_solve(factor, y) + np.log(np.diag(factor[0])).sum() + half @ half + y @ other


def option(spot, strike, time, rate, sigma):
    d1 = (np.log(spot / strike) + (rate + sigma**2 / 2) * time) / (sigma * np.sqrt(time))
    d2 = d1 - sigma * np.sqrt(time)
    return spot * norm.cdf(d1) - strike * np.exp(-rate * time) * stats.norm.sf(-d2)


def lists(x):
    parts = [x[0] ** 2, np.sin(x[1]), x[0] * x[2]]
    spread = np.std(parts) + np.var(parts, ddof=1) * np.median(parts) + np.mean((x[0], x[2]))
    rows = np.sum([x, x**2], axis=0) @ np.prod([x, 2 * x], axis=0)
    return spread + rows + np.max(parts) * np.min(parts) + logsumexp([x[0], x[1]]) + np.sum([1.0, 2.0])


def tails(mu, scale, x):
    density = norm.logpdf(x, mu, scale) + norm.pdf(x, loc=mu, scale=scale) + norm.logsf(x, mu, scale)
    return np.sum(density) + norm.ppf(0.3, mu, scale=scale) + norm.logcdf(mu) + norm.logpdf(0.5) + norm.mean()


def swaption(rate, sigma, strikes=(0.9, 1.1), face=2.0, years=3):
    """Python's own functions, and those of math, of numbers."""
    d = (math.log(rate) + sigma**2 / 2 * years) / (sigma * math.sqrt(years)) + log(face, 3)
    legs = [max(rate - strike, 0.0) * exp(-sigma * years) + min(1.5, rate, face) for strike in strikes]
    calls = int(face) * math.erf(d / math.sqrt(2)) + math.ceil(sigma) + math.hypot(rate, sigma) + sum(legs)
    legs.append(0.0 * len(f"{calls:.3f}") + sorted([rate, sigma, 0.5], reverse=True)[1])
    scale = sorted([rate, sigma, 0.5])[1] if isinstance(rate, float) and not isinstance(sigma, int) else 0.0
    return (
        float(np.array([[calls]])[0, 0] * scale)
        + math.fsum(legs)
        + np.array([math.gamma(rate) * sigma], dtype=float).item()
    )


def piecewise_labels(w, X, labels, times):
    """Values of what is not differentiated decide: masks, loops over classes, an if."""
    eta = X @ w
    total = np.sum(np.where(labels == 1, eta, 0.5 * eta)) + np.sum((eta == 1 * eta) * eta)
    for each in np.unique(labels):
        total = total + np.log(np.sum(np.exp(eta[labels == each])))
    at_risk = [np.log(np.sum(np.exp(eta[times >= t]))) for t in times]
    return total + sum(at_risk) if times.max() > 0.2 else total


def joined(a, X, b):
    design = np.c_[np.ones(X.shape[0]), X, b]
    column = np.r_[a, b[:2], 0:3, [a, 1.0], 0.5]
    return np.sum(design**2 * b[:, None]) + column @ column


def basis_by_decorator(f):
    def called(x, *args):
        return f(np.array([x, x**2]), *args)

    return called


TABLE = np.array([0.5, 1.5, 2.5, 3.5])


@basis_by_decorator
def looked_up(basis, i):
    return np.sum(basis * TABLE[i]) + median_of(basis)


class Layer:
    def __init__(self, *sizes):
        self.weights = np.linspace(-1, 1, math.prod(sizes)).reshape(sizes)

    def __call__(self, x):
        return np.stack([np.tanh(x @ column) for column in self.weights.T], axis=-1)


class Module:
    def __init__(self):
        self.layers = [Layer(3, 4), Layer(4, 2)]
        self.calls = 0

    @property
    def gain(self):
        return math.sqrt(2.0)

    def outputs(self, x, angle):
        for layer in self.layers:
            x = layer(x)
        self.calls += 1
        return x @ rotation(angle)

    def loss(self, x, angle):
        return np.sum(self.outputs(x, angle) ** 2)


class Regularised(Module):
    @classmethod
    def penalty(cls, x):
        return np.sum(np.array([x[0, 0], 2 * x[1, 1]]))

    def loss(self, x, angle):
        return super().loss(x, angle) * self.gain + self.penalty(x) * isinstance(self, Regularised)


MODEL = Regularised()


@dataclass
class State:
    place: Any
    speed: Any

    def energy(self):
        return np.sum(np.array([self.place[0] ** 2, self.speed @ self.speed]))


def loss_of_a_model(x, angle, layer):
    state = State(x[0], x[1])
    state.speed = state.speed + 0.1 * state.place
    return MODEL.loss(x, angle) + state.energy() + layer(x[:, :3]).sum()


rng = np.random.default_rng(0)


def draw(*shape, low=0.3, high=1.7):
    return rng.uniform(low, high, shape)


def spd(n):
    A = draw(n, n)
    return A @ A.T + n * np.eye(n)


class Example(NamedTuple):
    """A function, arguments, and the arguments to differentiate by."""

    f: Callable[..., Any]
    args: tuple[Any, ...]
    argnums: Any = 0
    by_sizes: bool = False


EXAMPLES = [
    Example(rosen, (draw(7),)),
    Example(
        kalman_step, (draw(3), spd(3), draw(3, 3), spd(3), draw(2, 3), spd(2), draw(2)), (0, 1, "F", 3, 4, 5, 6), True
    ),
    Example(gp_log_likelihood, (draw(3), draw(6, 2), draw(6)), (0, 1, 2), True),
    Example(black_scholes, (100.0, 105.0, 0.75, 0.02, 0.3), ("S", "K", "T", "r", "sigma")),
    Example(
        reprojection_error, (np.array([0.1, 0.2, 0.3, 0.5, 0.4, 5, 2, 0.1, 0.05]), draw(5, 3), draw(5, 2)), (0, 1), True
    ),
    Example(
        mixture_log_likelihood,
        ({"weights": draw(4), "means": draw(4, 2), "scales": draw(4, 2, low=-0.5, high=0.5)}, draw(9, 2)),
    ),
    Example(training_loss, (draw(3), draw(4, 3), np.array([1.0, 0, 1, 1]))),
    Example(network_loss, ([(draw(3, 4), draw(4)), (draw(4, 2), draw(2))], draw(5, 3), np.eye(2)[[0, 1, 1, 0, 1]])),
    Example(tanh_by_loops, (0.7,)),
    Example(hmm_log_likelihood, (draw(3, 3), draw(3, 4), np.array([0, 2, 1, 1, 3])), (0, 1), True),
    Example(cross_entropy, (draw(4, 3), np.array([0, 1, 2, 1])), by_sizes=True),
    Example(gp_by_scipy, (draw(2), draw(4, 2), draw(4)), (0, 1, 2)),
    Example(option, (100.0, 105.0, 0.75, 0.02, 0.3), ("spot", "strike", "time", "rate", "sigma")),
    Example(lists, (draw(3),)),
    Example(tails, (0.3, 1.2, draw(5)), (0, 1, 2)),
    Example(swaption, (1.2, 0.3), (0, 1)),
    Example(piecewise_labels, (draw(2), draw(5, 2), np.array([0, 2, 1, 1, 0]), draw(5)), 0, True),
    Example(joined, (0.7, draw(4, 2), draw(4)), (0, 1, 2), False),
    Example(loss_of_a_model, (draw(4, 3), 0.4, Layer(3, 2)), (0, 1), True),
    Example(MODEL.loss, (draw(4, 3), 0.4), (0, 1), True),
    Example(looked_up, (0.7, np.array([1, 2])), 0, True),
]


def flat(nest):
    if isinstance(nest, dict):
        return [leaf for each in nest.values() for leaf in flat(each)]
    if isinstance(nest, list | tuple):
        return [leaf for each in nest for leaf in flat(each)]
    return [np.asarray(nest)]


def moved(nest, step):
    """The nest with a step added to it that has its structure, as a flat iterator."""
    if isinstance(nest, dict):
        return {key: moved(each, step) for key, each in nest.items()}
    if isinstance(nest, list | tuple):
        return type(nest)([moved(each, step) for each in nest])
    return nest + next(step)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.f.__name__)
def test_a_numpy_function_is_differentiated_unchanged(example):
    """Value as NumPy's; the gradient along a random direction as central differences say."""
    f, args, argnums, by_sizes = example
    df = sb.value_and_grad(f, argnums)
    value, gradient = df(*args)
    np.testing.assert_allclose(value, f(*args), rtol=1e-12)
    names = list(inspect.signature(f).parameters)
    several = isinstance(argnums, tuple)
    positions = [names.index(each) if isinstance(each, str) else each for each in (argnums if several else [argnums])]
    gradients = gradient if several else [gradient]
    for position, found in zip(positions, gradients, strict=True):
        direction = [rng.standard_normal(leaf.shape) for leaf in flat(args[position])]
        assert [leaf.shape for leaf in flat(found)] == [leaf.shape for leaf in direction]
        h = 1e-5
        ends = []
        for sign in (h, -h):
            there = list(args)
            there[position] = moved(args[position], iter([sign * each for each in direction]))
            ends.append(f(*there))
        expected = (ends[0] - ends[1]) / (2 * h)
        slope = sum(np.sum(a * b) for a, b in zip(flat(found), direction, strict=True))
        np.testing.assert_allclose(slope, expected, rtol=2e-7, atol=1e-7)
    (specialisation,) = df.specialisations
    assert bool(specialisation.sizes) is by_sizes


def test_rosen_der_is_the_gradient_of_rosen():
    """scipy.optimize tells the truth."""
    from scipy.optimize import rosen_der, rosen_hess, rosen_hess_prod  # noqa: PLC0415  (one test)

    x, v = draw(6), draw(6)
    np.testing.assert_allclose(sb.grad(rosen)(x), rosen_der(x), rtol=1e-13)
    np.testing.assert_allclose(sb.hessian(rosen)(x), rosen_hess(x), rtol=1e-12)
    np.testing.assert_allclose(sb.hvp(rosen)(x, v), rosen_hess_prod(x, v), rtol=1e-12)


def test_the_five_greeks():
    """J. Hull, *Options, Futures, and Other Derivatives*, chapter 19."""
    S, K, T, r, sigma = 100.0, 105.0, 0.75, 0.02, 0.3
    root = sigma * np.sqrt(T)
    d1 = (np.log(S / K) + (r + sigma**2 / 2) * T) / root
    density = np.exp(-(d1**2) / 2) / np.sqrt(2 * np.pi)
    discounted = K * np.exp(-r * T) * special.ndtr(d1 - root)
    greeks = {
        "delta": (sb.grad(black_scholes, "S"), special.ndtr(d1)),
        "gamma": (sb.grad(sb.grad(black_scholes, "S"), "S"), density / (S * root)),
        "vega": (sb.grad(black_scholes, "sigma"), S * density * np.sqrt(T)),
        "theta": (sb.grad(black_scholes, "T"), S * density * sigma / (2 * np.sqrt(T)) + r * discounted),
        "rho": (sb.grad(black_scholes, "r"), T * discounted),
    }
    for name, (greek, expected) in greeks.items():
        np.testing.assert_allclose(greek(S, K, T, r, sigma), expected, rtol=1e-12, err_msg=name)


def test_derivatives_of_derivatives():
    third = sb.grad(sb.grad(sb.grad(np.tanh)))
    t = np.tanh(0.3)
    np.testing.assert_allclose(third(0.3), (1 - t**2) * (6 * t**2 - 2), rtol=1e-12)
    x = draw(4)
    np.testing.assert_allclose(sb.jacobian(sb.grad(rosen))(x), sb.hessian(rosen)(x), rtol=1e-12)
    inner = sb.grad(lambda y, x: y * y * x)
    assert sb.grad(lambda x: inner(x, x))(3.0) == 12  # ∂(2yx at y = x)/∂x = 4x, not what x being y would give
    y = sb.symbol("y")
    assert str(sb.grad(np.sin)(2 * y)) == "cos(2y)"


def rotated(t, points):
    return points @ rotation(t).T


def rotation(t):
    return np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])


def test_arrays_are_made_of_symbols():
    points = draw(5, 2)
    slope = sb.jacobian(rotated)(0.3, points)
    np.testing.assert_allclose(slope, points @ rotation(0.3 + np.pi / 2).T, rtol=1e-14)
    J = sb.jacobian(lambda x: np.array([x[0] * x[1], np.sum(x), 1.0]))
    np.testing.assert_array_equal(J(np.array([2.0, 3.0])), [[3, 2], [1, 1], [0, 0]])
    ridge = sb.grad(lambda a, X: np.linalg.slogdet(X.T @ X + a * np.eye(X.shape[1]))[1])
    for n in (2, 3):
        X = draw(6, n)
        expected = np.trace(np.linalg.inv(X.T @ X + 0.5 * np.eye(n)))
        np.testing.assert_allclose(ridge(0.5, X), expected, rtol=1e-12)
    assert len(ridge.specialisations) == 1
    counted = []
    power = sb.grad(lambda x: (counted.append(np.zeros(2)), recursive(x, 3))[1])
    assert power(2.0) == 12
    assert isinstance(counted[0], np.ndarray)


def recursive(x, n):
    return x * recursive(x, n - 1) if n else np.asarray(1.0)


# --- what is compiled ------------------------------------------------------------------------------------------


def test_one_compilation_serves_all_sizes_of_one_pattern():
    traced = []

    def f(x, y):
        traced.append(np.shape(x))
        return np.sum(x * y)

    df = sb.grad(f)
    for n in (3, 4, 50):
        np.testing.assert_array_equal(df(np.ones(n), np.arange(float(n))), np.arange(n))
    assert len(traced) == len(df.specialisations) == 1
    df(np.ones(1), np.ones(3))  # 1 broadcasts
    df(np.ones((3, 2)), np.ones(2))
    df(np.ones(3, "float32"), np.ones(3, "float32"))
    df(np.ones(3), 2.0)
    assert len(traced) == len(df.specialisations) == 5
    df(2.5 * np.ones(7), 3.0)
    assert len(traced) == 5


def test_sizes_that_are_needed_are_told():
    def f(x):
        return sum(x[i] * (i + 1) for i in range(len(x)))

    df = sb.grad(f)
    np.testing.assert_array_equal(df(np.ones(3)), [1, 2, 3])
    np.testing.assert_array_equal(df(np.ones(4)), [1, 2, 3, 4])
    np.testing.assert_array_equal(df(np.zeros(4)), [1, 2, 3, 4])
    assert [each.sizes for each in df.specialisations] == [(3,), (4,)]
    assert "x[N] has the named size N, so no length" in str(df.specialisations[0])


def test_what_depends_on_a_size_is_not_taken_for_all():
    def f(x):
        if x.shape[0] == 3:
            return 3 * np.sum(x)
        return np.sum(x) if x.shape != (4,) else 4 * np.sum(x)

    df = sb.grad(f)
    for n, expected in ((2, 1), (3, 3), (4, 4), (5, 1)):
        np.testing.assert_array_equal(df(np.ones(n)), expected)

    def mean(x):
        return np.sum(x) / x.shape[0] + 0.5 * x.size

    dmean = sb.grad(mean)
    assert dmean(np.ones(4, "float32")).dtype == dmean(np.ones(5, "float32")).dtype == "float32"
    np.testing.assert_array_equal(dmean(np.ones(4)), 0.25)


def test_float32_stays_float32():
    df = sb.value_and_grad(lambda x, s: np.sum(np.tanh(s * x)))
    value, gradient = df(np.ones(3, "float32"), 0.5)
    assert (value.dtype, gradient.dtype) == ("float32", "float32")


def test_values_that_are_needed_are_told():
    def f(w, alpha, labels, x):
        k = int(np.ceil(alpha * len(w)))
        return np.sum(w[:k]) * np.sum(x) + np.sum(w[: len(np.unique(labels))] ** 2)

    df = sb.grad(f)
    w, x = np.ones(4), np.ones(3)
    for alpha, labels, expected in (
        (0.5, [0, 0], [5, 3, 0, 0]),
        (0.9, [0, 0], [5, 3, 3, 3]),
        (0.9, [0, 1], [5, 5, 3, 3]),
        (0.5, [0, 0], [5, 3, 0, 0]),
    ):
        np.testing.assert_array_equal(df(w, alpha, np.array(labels), x), expected)
    np.testing.assert_array_equal(df(w, 0.5, np.array([0, 0]), 2 * x), [8, 6, 0, 0])  # x need not be known
    assert [each.values for each in df.specialisations] == [("alpha", "labels")] * 3
    assert "for these sizes and values of alpha, labels alone: w[N] has the named size" in str(df.specialisations[0])
    masked = sb.grad(lambda w, x: np.sum(w * np.sum(x[x > 1])))
    data = np.array([0.0, 2.0, 3.0])
    assert masked(1.0, data) == 5
    data[0] = 4.0  # what it was compiled with is a copy
    assert masked(1.0, data) == 9
    data[0] = 0.0
    assert masked(1.0, data) == 5
    with pytest.warns(TracingWarning, match=r"compiled for 16 sets of values of x, which <lambda> needs to know"):
        assert [masked(1.0, each + data) for each in range(15)][-1] == 47


def noisy(x, seed=None):
    if seed is not None:
        np.random.seed(seed)  # noqa: NPY002  (as people write it)
        return np.sum(x * np.random.normal(size=3))  # noqa: NPY002
    return np.sum(x * np.random.randn(3)) * np.random.default_rng(seed).normal()  # noqa: NPY002


def test_random_numbers_that_would_be_drawn_once_are_told():
    with pytest.warns(
        TracingWarning, match=r"np.random.(randn|default_rng): a function is run once on symbols"
    ) as told:
        sb.grad(noisy)(draw(3))
    assert {str(each.message).partition(":")[0] for each in told} == {"np.random.randn", "np.random.default_rng"}
    assert told[0].filename == __file__
    x = draw(3)
    np.testing.assert_allclose(sb.value_and_grad(noisy)(x, 3)[0], noisy(x, 3))
    assert sb.grad(lambda x: x * np.random.default_rng(0).normal())(1.0) == np.random.default_rng(0).normal()


def test_numbers_that_need_not_be_known_stay_inputs():
    def f(x, scale=2.0):
        return np.sum(scale * x) / math.sqrt(scale)

    df = sb.grad(f)
    for scale in (4.0, 9.0):
        np.testing.assert_allclose(df(np.ones(3), scale), np.sqrt(scale))
    assert len(df.specialisations) == 1


def test_what_is_no_array_is_a_constant():
    def f(x, power, mode="sum", flag=None):
        y = x**power if flag is None else x
        return np.sum(y) if mode == "sum" else np.mean(y)

    df = sb.grad(f)
    x = draw(3)
    np.testing.assert_allclose(df(x, 2), 2 * x)
    np.testing.assert_allclose(df(x, 3), 3 * x**2)
    np.testing.assert_allclose(df(x, power=3, mode="mean"), x**2)
    np.testing.assert_allclose(df(x, 3, flag=True), 1)
    assert len(df.specialisations) == 4


def test_structures_are_kept():
    def f(params, *, scale):
        return scale * np.sum(params["w"] ** 2) + params["layers"][0][1] * 3 + np.sum(params["unused"] * 0)

    params = {"w": np.ones(2), "layers": [(1, 2.0)], "unused": np.ones(3), "name": "net"}
    gradient = sb.grad(f)(params, scale=0.5)
    assert list(gradient) == list(params)
    np.testing.assert_array_equal(gradient["w"], 1)
    assert gradient["layers"] == [(0, 3)]
    np.testing.assert_array_equal(gradient["unused"], 0)
    assert gradient["name"] is None
    H = sb.hessian(lambda p: p["a"] ** 2 * np.sum(p["b"]))({"a": 2.0, "b": np.ones(2)})
    assert H["a"]["a"] == 4
    np.testing.assert_array_equal(H["b"]["a"], 4)
    np.testing.assert_array_equal(H["b"]["b"], np.zeros((2, 2)))
    J = sb.jacobian(lambda x: {"two": 2 * x, "sum": np.sum(x)})(np.ones(2))
    np.testing.assert_array_equal(J["two"], 2 * np.eye(2))
    np.testing.assert_array_equal(J["sum"], 1)


def test_what_has_been_compiled_can_be_read():
    df = sb.grad(training_loss)
    with pytest.raises(ArgumentError, match=r"grad of training_loss is compiled when it is called: call it once"):
        df.formula  # noqa: B018  (it raises)
    df(draw(2), draw(3, 2), np.ones(3))
    assert df.source.startswith('"""') or "def grad_training_loss(weights, inputs, targets" in df.source
    assert "inputsᵀ" in df.formula
    assert df.__name__ == "training_loss"
    assert repr(df) == "<grad of training_loss>"


def huber(w, X, y):
    r = np.abs(y - X @ w)
    return np.sum(np.where(r <= 1.0, 0.5 * r**2, r - 0.5))


@pytest.mark.parametrize(
    ("f", "args", "formula"),
    [
        (huber, (draw(2), draw(3, 2), draw(3)), "−Xᵀ where(|y − Xw| ≤ 1, y − Xw, sign(y − Xw))"),
        (lambda x: np.log(np.sum(np.pad(x, 1))), (draw(3),), "broadcast_to(1/sum(x), (N,))"),
        (lambda x: np.sum((np.eye(len(x)) @ x * np.ones(len(x)) + np.zeros(3)) ** 2), (draw(3),), "2x"),
    ],
    ids=["huber", "padded", "known arrays"],
)
def test_gradients_read_as_if_written_by_hand(f, args, formula):
    df = sb.grad(f)
    df(*args)
    assert df.formula == formula


def test_nothing_is_left_in_the_current_graph():
    with sb.Graph() as graph:
        df = sb.grad(rosen)
        df(draw(5))
        assert len(graph) == 0


def test_threads_share_what_is_compiled():
    traced = []

    def f(x):
        traced.append(x)
        return np.sum(np.exp(x) * x)

    df = sb.grad(f)
    x = draw(5)
    found = []
    threads = [threading.Thread(target=lambda: found.append(df(x))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(traced) == 1
    for each in found:
        np.testing.assert_allclose(each, np.exp(x) * (1 + x), rtol=1e-12)


def test_compiled_functions_do_not_pile_up():
    df = sb.grad(lambda x, k: np.sum(x) * k)
    for k in range(300):
        key = len(df.specialisations)
        if key >= 3:
            break
        df(np.ones(2), k)
    assert len(df.specialisations) == 3
    del df
    gc.collect()


# --- trace_function --------------------------------------------------------------------------------------------


def test_a_function_gives_its_expressions():
    x, y = sb.symbol("x", "N"), sb.symbol("y", "N")
    assert sb.trace_function(lambda x, y: x * y, {"x": ("N",), "y": "N"}).inputs == (x, y)
    a, (b, c) = sb.trace_function(lambda x: (2 * x, [np.sum(x), 3]), {"x": "N"})
    assert [each.shape for each in (a, b, c)] == [("N",), (), ()]
    net = sb.trace_function(neural_net_predict, {
        "params": [[("D", "K"), "K"]], "inputs": ("N", "D"),
    })  # fmt: skip
    assert net.shape == ("N", "K")
    assert sb.trace_function(lambda x: x + 1, {"x": 3}, dtype="float32").dtype == "float32"
    assert sb.trace_function(lambda x, k: x[k], {"x": 3, "k": "N"}, dtype={"k": "int64"}).shape == ("N",)
    assert sb.trace_function(lambda x, n: x**n, {"x": y}, n=2).inputs == (y,)


def filled(x):
    y = np.zeros(len(x))
    for i in range(len(x)):
        y[i] = x[i] ** 2
    return y


def added(x):
    y = np.zeros((2, 3))
    y[0] += x
    return y


def test_questions_for_arrays_and_numbers_are_answered_as_of_what_the_symbols_stand_for():
    def f(x):
        if not isinstance(x, np.ndarray):
            return x**2 if np.isscalar(x) else 0 * x
        return 3 * x[0] if isinstance(x[0], np.ndarray) or not np.isscalar(x[0]) else np.sum(x**3)

    assert sb.grad(f)(3.0) == 6
    np.testing.assert_array_equal(sb.grad(f)(np.array([1.0, 2.0])), [3, 12])
    assert isinstance(np.ndarray((2,)), np.ndarray)


def test_equal_signs_compare_elements_in_traced_functions_alone():
    x, y = sb.symbols("x[3] y[3]")
    assert sb.trace_function(lambda a, b: (a == b, a != 1, a == None), {"a": x, "b": y})[0].dtype == "bool"  # noqa: E711
    assert x != y
    with pytest.raises(TypeError, match=r"write np\.equal"):
        (x == y) * 2


def needs_value(x):
    return x if x[0] > 0 else -x


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sb.trace_function(needs_value, {"x": "N"}), TypeError, "use sb.where(condition, a, b) in place of if"),
        (lambda: sb.trace_function(rosen, {"y": "N"}), ArgumentError, "rosen has no parameter 'y'; it takes x"),
        (lambda: sb.trace_function(lambda x: range(len(x)), {"x": "N"}), TypeError, "x[N] has the named size N"),
        (lambda: sb.trace_function(lambda x: x.shape[0] == 3, {"x": "N"}), ShapeError, "the size N is not known"),
        (lambda: sb.trace_function(lambda x: "a", {"x": "N"}), ArgumentError, "<lambda> returned a str, where arrays"),
        (lambda: sb.grad(needs_value)(np.ones(3)), TypeError, "use sb.where(condition, a, b) in place of if"),
        (lambda: sb.grad(filled)(np.ones(3)), TypeError, "cannot be written into an array of numbers: make it of its"),
        (lambda: sb.grad(added)(np.ones(3)), ArgumentError, "for a[index] += x begin with sb.zeros and write a = a.at"),
        (lambda: sb.grad(lambda x: None)(1.0), ArgumentError, "<lambda> returned None, where arrays and numbers can"),
        (lambda: sb.grad(lambda x: stats.nct.pdf(2 * x, 3, 1))(1.0), TypeError, "scipy.stats, in pdf, computes with"),
        (lambda: sb.grad(lambda x: x[np.where(x > 1)])(np.ones(2)), ShapeError, "use sb.where or a reduction with"),
        (lambda: sb.grad(lambda x: special.huber(1.0, x))(1.0), ArgumentError, "scipy.special.huber has no symbolic"),
        (lambda: sb.grad(rosen, "y"), ArgumentError, "grad: the function has no argument 'y'; it takes x"),
        (lambda: sb.grad(rosen, 1), ArgumentError, "grad: the function has no argument 1; it takes x"),
        (lambda: sb.grad(rosen, sb.symbol("x")), ArgumentError, "give positions or names of arguments, not"),
        (lambda: sb.grad(rosen, 0, argnums=0), ArgumentError, "the arguments are told twice, 0 and argnums=0"),
        (lambda: sb.grad(rosen, skip=["fold"]), ArgumentError, "grad of a function takes argnums=, not skip="),
        (lambda: sb.grad(sb.symbol("x")), ArgumentError, "grad of an expression: say by which expressions"),
        (lambda: sb.grad(lambda x: 2 * x)(np.ones(3)), NotDifferentiableError, "no scalar; take sb.sum or sb.mean"),
        (lambda: sb.grad(lambda x: (x, x))(1.0), NotDifferentiableError, "returned a tuple, not one number"),
        (lambda: sb.grad(rosen)(np.arange(3)), ArgumentError, "x has dtype int64, and derivatives need floats"),
        (lambda: sb.grad(lambda x: 1.0)("text"), ArgumentError, "the argument x has no number in it to differentiate"),
        (lambda: sb.grad(lambda x, o: x)(1.0, set()), ArgumentError, "the argument o is a set: neither an array nor"),
        (lambda: sb.value_and_grad(sb.symbol("x")), ArgumentError, "value_and_grad takes a function, not"),
        (lambda: sb.hvp(rosen, 0, np.ones(3)), ArgumentError, "the vector is the last argument of what it gives"),
        (lambda: sb.grad(rosen)(np.array(["a"])), TypeError, "dtype <U1 is not supported"),
    ],
)  # fmt: skip
def test_where_it_cannot_be_done_it_is_said_why(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_an_error_in_a_function_tells_what_it_was_run_on():
    with pytest.raises(TypeError) as caught:
        sb.grad(needs_value)(np.ones(3))
    assert "  while needs_value was run on symbols in the place of arrays: x[3] of float64" in caught.value.__notes__


def test_the_example_comes_out_as_it_says(capsys):
    path = Path(__file__).parent.parent / "examples" / "autograd_habits.py"
    names = runpy.run_path(str(path))
    assert names["main"]([]) == 0
    assert "compiled 1 time, for x[N] of float64" in capsys.readouterr().out

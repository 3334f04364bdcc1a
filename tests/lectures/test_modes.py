"""Forward mode beside reverse mode: dual numbers, what a direction costs, and which mode suits which Jacobian."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import symbackprop as sb
from symbackprop import train
from tests.test_ops import build, differentiable, each_application, sample

RANDOM = np.random.default_rng(0)

# --- dual numbers ---------------------------------------------------------------------------------------------

SLOPES = {np.sin: np.cos, np.exp: np.exp, np.tanh: lambda a: 1 - np.tanh(a) ** 2}


class Dual:
    """A dual number of arrays, a + ε ȧ with ε² = 0: forward mode as the slides have it, operation by operation."""

    def __init__(self, value, tangent):
        self.value, self.tangent = value, tangent

    def __getitem__(self, at):
        return Dual(self.value[at], self.tangent[at])

    def __array_ufunc__(self, ufunc, _method, a, b=None):
        if ufunc in SLOPES:
            return Dual(ufunc(a.value), SLOPES[ufunc](a.value) * a.tangent)
        if ufunc is np.add:
            return Dual(a.value + b.value, a.tangent + b.tangent)
        if ufunc is np.subtract:
            return Dual(a.value - b.value, a.tangent - b.tangent)
        return Dual(ufunc(a.value, b.value), ufunc(a.tangent, b.value) + ufunc(a.value, b.tangent))  # of products

    __add__, __sub__, __mul__, __matmul__ = (
        lambda self, other, ufunc=ufunc: ufunc(self, other) for ufunc in (np.add, np.subtract, np.multiply, np.matmul)
    )


def network(W, x, b):
    """One function of expressions and of dual numbers, with two outputs."""
    h = np.tanh(W @ x + b)
    return np.exp(h) * np.sin(x[0]), h * h - b


@pytest.mark.lecture("A14")
@pytest.mark.parametrize("moved", ["W", "x", "b", "all of them"])
def test_forward_mode_gives_the_numbers_of_dual_arithmetic(moved):
    W, x, b = inputs = sb.symbols("W[3,2] x[2] b[3]")
    values = {each: RANDOM.normal(size=each.shape) for each in inputs}
    tangents = [RANDOM.normal(size=each.shape) * (moved in {each.name, "all of them"}) for each in inputs]
    duals = network(*map(Dual, values.values(), tangents))
    outputs = network(W, x, b)
    for y, y_dot, dual in zip(outputs, sb.jvp(outputs, inputs, tangents), duals, strict=True):
        np.testing.assert_allclose(sb.evaluate(y, values), dual.value, rtol=1e-13)
        np.testing.assert_allclose(sb.evaluate(y_dot, values), dual.tangent, rtol=1e-12, atol=1e-14)


@pytest.mark.lecture("A14")
def test_forward_mode_gives_the_derivatives_of_all_outputs_by_one_input():
    w, x = sb.symbols("w x[3]")
    values = {w: 0.8, x: RANDOM.normal(size=3)}
    u = sb.sin(w * x)
    outputs = [u, sb.exp(u), sb.sum(u), sb.exp(u) @ x]
    for output, slope in zip(outputs, sb.jvp(outputs, w, 1.0), strict=True):
        ends = [sb.evaluate(output, {**values, w: 0.8 + shift}) for shift in (1e-6, -1e-6)]
        np.testing.assert_allclose(sb.evaluate(slope, values), (ends[0] - ends[1]) / 2e-6, rtol=1e-8, atol=1e-9)


@pytest.mark.lecture("A14")
@each_application
def test_forward_mode_agrees_with_reverse_mode_by_dot_products(app):
    """ȳ · (J ẋ) = (Jᵀ ȳ) · ẋ for each op, all its operands moved at once."""
    arrays = sample(app)
    y, xs = build(app, arrays)
    if y.dtype.kind != "f" or not differentiable(app, xs):
        return
    rng = np.random.default_rng(14)
    targets = [xs[k] for k in differentiable(app, xs)]
    values = dict(zip(xs, arrays, strict=True))
    y_bar, x_dots = rng.uniform(-1, 1, y.shape), [rng.uniform(-1, 1, x.shape) for x in targets]
    forward = np.sum(sb.evaluate(sb.jvp(y, targets, x_dots), values) * y_bar)
    pulled = sb.vjp(y, targets, y_bar)
    reverse = sum(np.sum(sb.evaluate(g, values) * v) for g, v in zip(pulled, x_dots, strict=True))
    np.testing.assert_allclose(forward, reverse, rtol=1e-11, atol=1e-13)


# --- cost -----------------------------------------------------------------------------------------------------


def flops(inputs, outputs):
    """The floating-point operations of expressions as they are built, and as they are compiled.

    A function counts as one, so what is told is from before functions are written in what they share.
    """
    rows = sb.compile(inputs, outputs, skip=["together"]).report().rows
    return rows[0].flops, rows[-1].flops


@pytest.mark.lecture("A14")
@pytest.mark.parametrize("moved", ["inputs", "weights"])
@pytest.mark.parametrize("activation", [sb.tanh, sb.relu, sb.sigmoid, sb.exp])
@pytest.mark.parametrize("depth", [1, 3, 8])
def test_one_direction_costs_at_most_three_forward_passes(depth, activation, moved):
    X = sb.symbol("X", (32, 10))
    net = train.mlp(X, [20] * depth + [5], activation)
    y = sb.softmax(net.output)
    xs = [X] if moved == "inputs" else net.params
    pushed = sb.jvp(y, xs, [np.ones(x.shape) for x in xs])
    inputs = [X, *net.params]
    for alone, both in zip(flops(inputs, y), flops(inputs, [y, pushed]), strict=True):
        assert alone < both <= 3 * alone


@pytest.mark.lecture("C4")
def test_reverse_mode_suits_few_outputs_and_forward_mode_few_inputs():
    """Operations of the Jacobian of a network with n inputs and m outputs, as it is built, over a grid."""
    sizes = (1, 4, 16, 64)
    reverse, forward = np.zeros((2, 4, 4), int)
    for (i, n), (j, m) in itertools.product(enumerate(sizes), enumerate(sizes)):
        with sb.Graph():
            x = u = sb.symbol("x", n)
            inputs = [x]
            for layer, (before, after) in enumerate(itertools.pairwise([n, 20, 20, 20, m])):
                inputs.append(sb.symbol(f"W{layer}", (after, before)))
                u = sb.tanh(inputs[-1] @ u)
            modes = ("reverse", "forward", "auto")
            alone, reverse[i, j], forward[i, j], auto = (
                flops(inputs, outputs)[0] for outputs in [u, *([u, sb.jacobian(u, x, mode=mode)] for mode in modes)]
            )
        assert reverse[i, j] <= (1 + 2 * m) * alone  # with one output proportional to the function, whatever n
        assert forward[i, j] <= (1 + 2 * n) * alone
        assert auto == min(reverse[i, j], forward[i, j])
        assert (reverse[i, j] < forward[i, j]) == (m < n)
    np.testing.assert_allclose(reverse, forward.T, rtol=0.1)  # each mode is the other with the sizes exchanged
    assert np.all(reverse[:, -1] > 30 * reverse[:, 0])
    assert np.all(forward[-1] > 30 * forward[0])

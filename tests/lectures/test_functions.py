"""The functions and activations of the lectures: formulas, derivatives, and extreme inputs."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.errors import NotDifferentiableError, NotTrainableWarning
from symbackprop.ops.layout import BROADCAST_TO

EXTREME = np.array([-1000.0, -40.0, -1.0, 0.0, 1.0, 40.0, 1000.0])


@pytest.fixture(autouse=True)
def _nothing_overflows():
    """Make overflow, division by zero and NaN errors: generated code must not pass through them."""
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        yield


def logistic(x):
    return np.exp(-np.logaddexp(0.0, -x))


def logistic_slope(x):
    return logistic(x) * logistic(-x)


def value_and_slope(function, at=EXTREME):
    """Compile an elementwise function with its derivative, and give both."""
    x = sb.symbol("x", "N")
    y = function(x)
    return sb.compile([x], [y, sb.grad(sb.sum(y), x)])(at)


# --- B1 -------------------------------------------------------------------------------------------------------


@pytest.mark.lecture("B1")
def test_the_slides_derivative_of_the_sigmoid_simplifies_to_its_short_form():
    a = sb.symbol("a")
    slide = sb.exp(-a) / (sb.exp(-a) + 1) ** 2
    p = sb.sigmoid(a)
    short = {str(p * (1 - p)), str((1 - p) * p)}
    assert str(sb.simplify(slide)) in short
    assert str(sb.grad(1 / (1 + sb.exp(-a)), a)) in short
    assert str(sb.grad(p, a)) in short


@pytest.mark.lecture("B1")
@pytest.mark.parametrize(
    "spelling",
    [sb.sigmoid, lambda x: 1 / (1 + sb.exp(-x)), lambda x: sb.exp(x) / (sb.exp(x) + 1)],
    ids=["sigmoid", "1/(1+exp(-x))", "exp(x)/(exp(x)+1)"],
)
def test_the_sigmoid_does_not_overflow_nor_does_its_gradient(spelling):
    value, slope = value_and_slope(spelling)
    np.testing.assert_allclose(value, logistic(EXTREME), rtol=1e-14, atol=1e-300)
    np.testing.assert_allclose(slope, logistic_slope(EXTREME), rtol=1e-12, atol=1e-16)


@pytest.mark.lecture("B1")
def test_the_slides_derivative_does_not_overflow_nor_does_its_gradient():
    value, slope = value_and_slope(lambda a: sb.exp(-a) / (sb.exp(-a) + 1) ** 2)
    np.testing.assert_allclose(value, logistic_slope(EXTREME), rtol=1e-12, atol=1e-16)
    curvature = logistic_slope(EXTREME) * (logistic(-EXTREME) - logistic(EXTREME))
    np.testing.assert_allclose(slope, curvature, rtol=1e-12, atol=1e-16)


# --- B2 -------------------------------------------------------------------------------------------------------


@pytest.mark.lecture("B2")
def test_the_binary_step_computes_and_nothing_is_learnt_through_it():
    x, w, b, t = sb.symbols("x[N,D] w[D] b t[N]")
    at = np.array([-1000.0, -1e-300, 0.0, 1e-300, 3.0])
    z = sb.symbol("z", "N")
    for value_at_zero in (0.0, 0.5, 1.0):
        steps = sb.compile([z], sb.step(z, at_zero=value_at_zero))(at)
        np.testing.assert_array_equal(steps, [0, 0, value_at_zero, 1, 1])
    with pytest.warns(NotTrainableWarning, match="derivative of step is zero almost everywhere: nothing is learnt"):
        slope = sb.grad(sb.sum(sb.step(z)), z, unused="zeros")
    np.testing.assert_array_equal(sb.evaluate(slope, {z: at}), np.zeros(5))
    loss = sb.mean((sb.step(x @ w + b) - t) ** 2)  # a perceptron's output
    with pytest.warns(NotTrainableWarning), pytest.raises(NotDifferentiableError, match="only through step"):
        sb.grad(loss, w)
    with pytest.warns(NotTrainableWarning):
        kept, lost = sb.grad(loss + 0.1 * b**2, [b, w], unused="zeros")  # the other way to b is still there
    assert str(kept) == "0.2b"
    assert sb.simplify(lost).op.name in {"broadcast_to", "constant"}
    assert "nothing can be learnt through it" in sb.step.__doc__


@pytest.mark.lecture("B2")
def test_off_zero_the_step_does_not_change_when_its_input_moves_a_little():
    z = sb.symbol("z", "N")
    at = np.array([-3.0, -0.1, 0.2, 5.0])
    ends = [sb.evaluate(sb.step(z), {z: at + h}) for h in (-0.05, 0.05)]
    np.testing.assert_array_equal(ends[0], ends[1])


# --- B3 -------------------------------------------------------------------------------------------------------


@pytest.mark.lecture("B3")
def test_tanh_has_its_range_its_derivative_and_its_relation_to_the_sigmoid():
    x = sb.symbol("x", "N")
    at = np.concatenate([EXTREME, np.linspace(-5, 5, 41)])
    tanh, slope = value_and_slope(sb.tanh, at)
    assert np.all(np.abs(tanh) <= 1)
    assert tanh[0] == -1
    assert tanh[6] == 1
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(slope, 1 / np.cosh(at) ** 2, rtol=1e-14, atol=1e-300)  # 1 − tanh² would cancel
    assert str(sb.grad(sb.sum(sb.tanh(x)), x)) == "1 − tanh(x)²"
    shifted = sb.compile([x], 2 * sb.sigmoid(2 * x) - 1)(at)
    np.testing.assert_allclose(tanh, shifted, rtol=1e-14, atol=1e-15)


# --- B4 -------------------------------------------------------------------------------------------------------


@pytest.mark.lecture("B4")
def test_the_derivative_of_relu_is_zero_or_one_by_a_convention_that_can_be_chosen():
    x = sb.symbol("x", "N")
    at = np.array([-2.0, -1e-300, 0.0, 1e-300, 3.0])
    np.testing.assert_array_equal(value_and_slope(sb.relu, at)[1], [0, 0, 0, 1, 1])
    for slope in (0.0, 0.5, 1.0):  # the left derivative, their mean, the right one
        found = value_and_slope(lambda x, slope=slope: sb.relu(x, slope_at_zero=slope), at)
        np.testing.assert_array_equal(found[0], np.maximum(at, 0))
        np.testing.assert_array_equal(found[1], [0, 0, slope, 1, 1])
    assert "slope_at_zero" in sb.relu.__doc__
    # "max(0, w·x + b)", as on the slide
    w, b, X = sb.symbols("w[D] b X[D]")
    dw, db = sb.grad(sb.maximum(0, w @ X + b), [w, b])
    for bias, active in [(-1.0, 0.0), (3.0, 1.0)]:
        values = {w: np.array([1.0, 2.0]), X: np.array([1.0, -1.0]), b: bias}
        np.testing.assert_array_equal(sb.evaluate(dw, values), active * values[X])
        assert sb.evaluate(db, values) == active
    second = sb.grad(sb.sum(sb.grad(sb.sum(sb.relu(x)), x) * x), x)  # relu'(x) + relu''(x) x
    np.testing.assert_array_equal(sb.evaluate(second, {x: at}), [0, 0, 0, 1, 1])
    curvature = sb.grad(sb.sum(sb.grad(sb.sum(sb.relu(x)), x)), x, unused="zeros")
    np.testing.assert_array_equal(sb.evaluate(curvature, {x: at}), np.zeros(5))


# --- B5 -------------------------------------------------------------------------------------------------------


@pytest.mark.lecture("B5")
def test_the_derivative_of_softplus_is_the_sigmoid():
    x = sb.symbol("x")
    assert str(sb.grad(sb.softplus(x), x)) == "σ(x)"
    for naive in (sb.log(sb.exp(x) + 1), sb.log(1 + sb.exp(x)), sb.log1p(sb.exp(x))):
        assert str(sb.simplify(naive)) == "softplus(x)"
        assert str(sb.grad(naive, x)) == "σ(x)"


@pytest.mark.lecture("B5")
@pytest.mark.parametrize(
    "spelling",
    [sb.softplus, lambda x: sb.log(sb.exp(x) + 1), lambda x: sb.log(1 + sb.exp(x)), lambda x: sb.log1p(sb.exp(x))],
    ids=["softplus", "log(exp(x)+1)", "log(1+exp(x))", "log1p(exp(x))"],
)
def test_softplus_is_stable_in_every_spelling(spelling):
    value, slope = value_and_slope(spelling)
    np.testing.assert_allclose(value, np.logaddexp(0, EXTREME), rtol=1e-14)
    np.testing.assert_allclose(slope, logistic(EXTREME), rtol=1e-14, atol=1e-300)
    x = sb.symbol("x", "N")
    second = sb.compile([x], sb.grad(sb.sum(sb.grad(sb.sum(spelling(x)), x)), x))(EXTREME)
    np.testing.assert_allclose(second, logistic_slope(EXTREME), rtol=1e-12, atol=1e-16)


# --- B6 and B7 ------------------------------------------------------------------------------------------------


@pytest.mark.lecture("B6")
def test_the_generalisations_of_relu():
    x, alpha = sb.symbols("x[N] α")
    at = np.array([-3.0, -0.5, 0.5, 3.0])
    general = sb.maximum(0, x) + alpha * sb.minimum(0, x)
    for slope in (-1.0, 0.0, 0.01, 0.3):
        expected = np.where(at > 0, at, slope * at)
        for y in (general, sb.prelu(x, alpha), sb.leaky_relu(x, slope)):
            np.testing.assert_allclose(sb.evaluate(y, {x: at, alpha: slope}), expected, rtol=1e-15)
    z = sb.symbol("z")
    for rectified in (sb.maximum(0, z) + (-1) * sb.minimum(0, z), sb.prelu(z, -1), sb.leaky_relu(z, -1), sb.abs(z)):
        assert str(sb.simplify(rectified)) == "|z|"


@pytest.mark.lecture("B6")
def test_the_derivative_by_a_learnable_slope():
    x, alpha, g = sb.symbols("x[N] α g[N]")
    at, cotangent = np.array([-3.0, -0.5, 0.5, 3.0]), np.array([1.0, -2.0, 5.0, 7.0])
    for y in (sb.prelu(x, alpha), sb.maximum(0, x) + alpha * sb.minimum(0, x)):
        by_slope = sb.vjp(y, alpha, g)
        found = sb.evaluate(by_slope, {x: at, alpha: 0.2, g: cotangent})
        assert found == np.sum(np.minimum(0, at) * cotangent)
        assert str(sb.grad(sb.sum(y), alpha)) == "sum(minimum(x, 0))" or re.fullmatch(
            r"sum\((min\w*\((0, x|x, 0)\))\)", str(sb.grad(sb.sum(y), alpha))
        )
    units, each = sb.symbols("u[N,D] α[D]")  # a slope of its own for every unit
    table = np.array([[-1.0, 2.0], [-3.0, -4.0]])
    slopes = sb.evaluate(sb.grad(sb.sum(sb.prelu(units, each)), each), {units: table, each: np.zeros(2)})
    np.testing.assert_array_equal(slopes, [-4.0, -4.0])


def maxout(x, W, b):
    """Give the largest of k affine functions: W[K, D], b[K]."""
    return sb.max(x @ W.T + b, axis=-1)


@pytest.mark.lecture("B7")
def test_maxout_routes_the_gradient_to_its_largest_piece():
    x, W, b = sb.symbols("x[D] W[K,D] b[K]")
    rng = np.random.default_rng(3)
    values = {x: rng.normal(size=3), W: rng.normal(size=(4, 3)), b: rng.normal(size=4)}
    winner = np.argmax(values[W] @ values[x] + values[b])
    dx, dW, db = (sb.evaluate(g, values) for g in sb.grad(maxout(x, W, b), [x, W, b]))
    one_hot = np.eye(4)[winner]
    np.testing.assert_array_equal(dx, values[W][winner])
    np.testing.assert_array_equal(dW, np.outer(one_hot, values[x]))
    np.testing.assert_array_equal(db, one_hot)


@pytest.mark.lecture("B7")
def test_maxout_of_two_pieces_with_one_zero_is_relu():
    x, w, b = sb.symbols("x[N,D] w[D] b")
    z = x @ w + b
    pieces = sb.max(sb.stack([sb.zeros_like(z), z]), axis=0)
    rng = np.random.default_rng(4)
    values = {x: rng.normal(size=(50, 3)), w: rng.normal(size=3), b: 0.3}
    np.testing.assert_array_equal(sb.evaluate(pieces, values), sb.evaluate(sb.relu(z), values))
    for found, expected in zip(*(sb.grad(sb.sum(y), [x, w, b]) for y in (pieces, sb.relu(z))), strict=True):
        np.testing.assert_allclose(sb.evaluate(found, values), sb.evaluate(expected, values), rtol=1e-15)


@pytest.mark.lecture("B7")
def test_maxout_is_convex_and_piecewise_linear():
    x, W, b = sb.symbols("x[N,D] W[K,D] b[K]")
    f = sb.compile([x, W, b], maxout(x, W, b))
    rng = np.random.default_rng(5)
    Wv, bv = rng.normal(size=(4, 2)), rng.normal(size=4)
    left, right, share = rng.normal(size=(200, 2)), rng.normal(size=(200, 2)), rng.uniform(size=(200, 1))
    chord = share[:, 0] * f(left, Wv, bv) + (1 - share[:, 0]) * f(right, Wv, bv)
    assert np.all(f(share * left + (1 - share) * right, Wv, bv) <= chord + 1e-12)
    line = np.linspace(-9, 9, 2001)[:, None] * [0.6, 0.8]
    slopes = np.diff(f(line, Wv, bv))
    bends = np.abs(np.diff(slopes)) > 1e-9
    assert np.all(np.diff(slopes) > -1e-9)
    assert 1 <= bends.sum() <= 2 * (4 - 1)  # a bend lies in one step or across two


# --- B8 -------------------------------------------------------------------------------------------------------


def shared(z):
    e = sb.exp(z)
    return e / sb.sum(e, axis=-1, keepdims=True)


NAIVE = {
    "twice": lambda z: sb.exp(z) / sb.sum(sb.exp(z), axis=-1, keepdims=True),
    "shared": shared,
    "expanded": lambda z: sb.exp(z) / sb.sum(sb.exp(z), axis=-1)[..., None],
}
FAR = np.array([[1e4, 0.0, -1e4], [-1e4, -1e4, -1e4], [1e4, 1e4, 0.0], [0.1, 0.2, 0.3]])


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.lecture("B8")
def test_softmax_does_not_change_when_its_inputs_are_shifted():
    Z = sb.symbol("Z", ("N", "K"))
    f = sb.compile([Z], sb.softmax(Z))
    np.testing.assert_allclose(f(FAR[3:] + 123.0), f(FAR[3:]), rtol=1e-13)
    np.testing.assert_allclose(f(FAR).sum(axis=1), 1.0, rtol=1e-15)
    np.testing.assert_allclose(f(FAR), softmax(FAR), rtol=1e-15)


@pytest.mark.lecture("B8")
@pytest.mark.parametrize("spelling", NAIVE)
def test_the_naive_softmax_is_rewritten_and_stable(spelling):
    Z, T = sb.symbols("Z[N,K] T[N,K]")
    p = NAIVE[spelling](Z)
    assert str(sb.simplify(p)) == str(sb.softmax(Z))
    f = sb.compile([Z], p)
    assert "softmax(" in f.source
    np.testing.assert_allclose(f(FAR), softmax(FAR), rtol=1e-15)
    log_p = sb.compile([Z], sb.log(p))
    np.testing.assert_allclose(log_p(FAR[:1]), [[0.0, -1e4, -2e4]], rtol=1e-15)
    assert str(sb.simplify(sb.log(p))) == str(sb.log_softmax(Z))
    loss = sb.compile([Z, T], -sb.mean(sb.sum(T * sb.log(p), axis=1)))
    assert loss(FAR[:1], np.array([[0.0, 0.0, 1.0]])) == 2e4


@pytest.mark.lecture("B8")
@pytest.mark.parametrize("spelling", ["softmax", *NAIVE])
def test_gradients_through_softmax_are_stable(spelling):
    Z, T = sb.symbols("Z[N,K] T[N,K]")
    p = (sb.softmax if spelling == "softmax" else NAIVE[spelling])(Z)
    weights = np.array([[0.3, -1.0, 2.0]] * 4)
    pv = softmax(FAR)
    linear = sb.compile([Z, T], sb.grad(sb.sum(T * p), Z))(FAR, weights)
    np.testing.assert_allclose(linear, pv * (weights - np.sum(weights * pv, axis=1, keepdims=True)), rtol=1e-13)
    targets = np.eye(3)[[2, 0, 1, 1]]
    cross_entropy = sb.compile([Z, T], sb.grad(-sb.sum(T * sb.log(p)), Z))(FAR, targets)
    np.testing.assert_allclose(cross_entropy, pv - targets, rtol=1e-13, atol=1e-16)


@pytest.mark.lecture("B8")
def test_the_log_of_the_slides_softmax():
    z = sb.symbol("z", "K")
    slide = z - sb.log(sb.sum(sb.exp(z)))
    assert str(sb.simplify(slide)) == "log_softmax(z)"
    f = sb.compile([z], [slide, sb.grad(slide[0], z)])
    value, slope = f(FAR[0])
    np.testing.assert_allclose(value, [0.0, -1e4, -2e4], rtol=1e-15)
    np.testing.assert_allclose(slope, [0.0, 0.0, 0.0], atol=1e-300)


# --- B11 ------------------------------------------------------------------------------------------------------


@pytest.mark.lecture("B11")
def test_the_slides_vector_jacobian_products_are_printed_and_no_jacobian_is_built():
    W, x, z, z_bar, y_bar = sb.symbols("W[M,N] x[N] z[D] z̄[M] ȳ[D]")
    with_graph = sb.vjp(W @ x, x, z_bar)
    assert str(with_graph) == "Wᵀz̄"
    product = sb.vjp(sb.exp(z), z, y_bar)
    assert str(product) in {"exp(z) ⊙ ȳ", "ȳ ⊙ exp(z)"}
    nodes = product.graph.nodes
    for number in product.graph.reachable([product.number]):
        assert len(nodes[number].shape) <= 1  # diag(exp(z)) would have two axes
    assert [nodes[number].op.name for number in product.graph.reachable([product.number])].count("multiply") == 1
    assert not any(nodes[number].op is BROADCAST_TO for number in with_graph.graph.reachable([with_graph.number]))
    values = {W: np.arange(6.0).reshape(2, 3), z_bar: np.array([1.0, -1.0])}
    np.testing.assert_array_equal(sb.evaluate(with_graph, values), values[W].T @ values[z_bar])


# --- B13 to B15 -----------------------------------------------------------------------------------------------


@pytest.mark.lecture("B13")
def test_the_cosine_of_a_sum():
    x = sb.symbol("x")
    J = sb.cos(sb.sin(x**2) + 3 * x**2)
    step = sb.compile([x], [J, sb.grad(J, x)])
    np.testing.assert_allclose(step(1.0), [-0.764920563, 4.560791791], atol=5e-10)


def factors(expr):
    """Give the factors that a formula is written with, its shared parts written out."""
    first, *parts = expr.text(where=True).replace("where", "").splitlines()
    for part in parts:
        name, _, meaning = part.strip().partition(" = ")
        first = re.sub(rf"\b{name}(?=\b|x|y)", meaning, first) if name not in "xy" else first
    return sorted(re.findall(r"exp\(xy\)|sin\(t\)|[xyt0-9]", first))


@pytest.mark.lecture("B14")
def test_the_multivariate_chain_rule():
    t = sb.symbol("t")
    x, y = sb.cos(t).named("x"), (t**2).named("y")
    f = y + sb.exp(x * y)
    slope = sb.grad(f, t)
    assert f"{sb.evaluate(slope, {t: 1.0}):.9f}" == "2.410479016"
    by_x, by_y = sb.grad(f, [x, y])
    assert factors(by_x) == ["exp(xy)", "y"]
    assert factors(by_y) == ["1", "exp(xy)", "x"]
    assert {str(sb.grad(x, t)), str(sb.grad(y, t))} == {"−sin(t)", "2t"}
    assert factors(slope) == sorted(["y", "exp(xy)", "sin(t)", "1", "x", "exp(xy)", "2", "t"])
    assert slope.text(where=True).splitlines()[0].count("−") == 1
    slide = (y * sb.exp(x * y)) * -sb.sin(t) + (1 + x * sb.exp(x * y)) * 2 * t
    at = np.linspace(-2, 2, 9)
    for value in at:
        np.testing.assert_allclose(sb.evaluate(slope, {t: value}), sb.evaluate(slide, {t: value}), rtol=1e-13)


@pytest.mark.lecture("B15")
def test_the_first_quiz():
    x, z = sb.symbols("x z")
    y = sb.exp(x * z) + x * z / sb.log(x) + sb.sin(sb.log(x)) / sb.exp(x * z)
    found = sb.compile([x, z], sb.grad(y, [x, z]))(2.0, 3.0)
    np.testing.assert_allclose(found, [1208.37, 809.74], atol=0.005)
    options = {
        "A": [42, -72], "B": [72, -42], "C": [100, 127], "D": [127, 100],
        "E": [1208, 810], "F": [810, 1208], "G": [1505, 94], "H": [94, 1505],
    }  # fmt: skip
    assert [answer for answer, numbers in options.items() if numbers == np.rint(found).tolist()] == ["E"]


# --- B9, B10 --------------------------------------------------------------------------------------------------


@pytest.mark.lecture("B9")
@pytest.mark.parametrize("z", [[0.3, -1.0, 0.5], [2.0, 1.9, -3.0, 0.0]])
def test_softmax_tends_to_the_winner_and_its_jacobian_to_zero(z):
    """For β from 1 to 1000 and more: sum(softmax(βz) ⊙ z) tends to max(z), so it is a soft argmax."""
    s, beta = sb.symbol("z", "K"), sb.symbol("beta")
    y = sb.softmax(beta * s)
    f = sb.compile([s, beta], [y, sb.jacobian(sb.softmax(s), s), sb.sum(y * s)])
    winner = np.eye(len(z))[np.argmax(z)]
    distances, slopes = [], []
    for scale in [1.0, 10.0, 100.0, 1000.0, 1e5]:
        value, _, chosen = f(np.array(z), scale)
        distances.append(np.abs(value - winner).max())
        slopes.append(np.abs(f(scale * np.array(z), 1.0)[1]).max())
    assert chosen == pytest.approx(max(z), rel=1e-12)
    assert distances == sorted(distances, reverse=True)
    assert slopes == sorted(slopes, reverse=True)
    assert distances[-1] == slopes[-1] == 0.0
    assert slopes[0] > 0.1


@pytest.mark.lecture("B10")
def test_radial_basis_features_make_xor_linear():
    """A model y = φ(x)ᵀw with φᵢ(x) = exp(−(ε‖x − xᵢ‖)²); the derivative by a centre is 2ε² Σ (…)(x − xᵢ)."""
    X, C, w, v, eps = sb.symbols("X[N,D] C[K,D] w[K] v[N] epsilon")
    distances = sb.linalg.norm(X[:, None, :] - C[None, :, :], axis=-1)
    features = sb.exp(-((eps * distances) ** 2))
    y = features @ w
    points = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    answers = np.array([0.0, 1, 1, 0])
    weights = np.linalg.solve(sb.evaluate(features, {X: points, C: points, eps: 1.0}), answers)
    assert np.linalg.matrix_rank(points) < 4, "no weights of the inputs themselves do that"
    values = {X: points, C: points, w: weights, v: np.arange(1.0, 5), eps: 1.0}
    np.testing.assert_allclose(sb.evaluate(y, values), answers, atol=1e-12)
    sb.check_grad(sb.sum(v * y**2), values)  # at C = X, where the norm has no derivative and the features have one
    pull = sb.compile([X, C, w, eps], sb.grad(sb.sum(y), C))
    phi = np.exp(-np.square(points[:, None] - points).sum(-1))
    by_hand = 2 * np.einsum("nk,k,nkd->kd", phi, weights, points[:, None] - points)
    np.testing.assert_allclose(pull(points, points, weights, 1.0), by_hand, rtol=1e-12, atol=1e-14)


# --- B12 ------------------------------------------------------------------------------------------------------


def resting_potential(k_out, na_out, k_in, na_in):
    """Goldman's equation as on the slide, in mV: the membrane lets 40 times as much potassium through as sodium."""
    return 61.54 * np.log10((40 * k_out + na_out) / (40 * k_in + na_in))


@pytest.mark.lecture("B12")
def test_the_resting_potential_of_a_neuron_and_its_sensitivities():
    """Potassium outside counts most, 3.05 mV for each mmol/l: 61.54/log(10)·40/350, and as differences tell."""
    ions = sb.symbols("Ko Nao Ki Nai")
    slide = np.array([5.0, 150.0, 100.0, 15.0])
    potential = resting_potential(*ions)
    value, *sensitivities = sb.compile(ions, [potential, *sb.grad(potential, ions)])(*slide)
    assert round(float(value), 3) == -65.209
    outside, inside = 40 * 5 + 150, 40 * 100 + 15
    exact = 61.54 / np.log(10) * np.array([40 / outside, 1 / outside, -40 / inside, -1 / inside])
    np.testing.assert_allclose(sensitivities, exact, rtol=1e-14)
    for found, step in zip(sensitivities, 1e-5 * np.eye(4), strict=True):
        difference = (resting_potential(*(slide + step)) - resting_potential(*(slide - step))) / 2e-5
        np.testing.assert_allclose(found, difference, rtol=1e-7)


# --- B16 -------------------------------------------------------------------------------------------------------


@pytest.mark.lecture("B16")
def test_the_second_quiz_any_derivative_of_a_network_in_a_picture():
    """Two inputs, layers of three and two logistic units, one output: by each weight what the chain rule gives."""
    rng = np.random.default_rng(2)
    sizes = [2, 3, 2, 1]
    x = [sb.symbol(f"x{i}") for i in range(2)]
    weights = [
        [[sb.symbol(f"w{layer}{i}{j}") for j in range(before)] for i in range(after)]
        for layer, (before, after) in enumerate(itertools.pairwise(sizes))
    ]
    units = [x]
    for rows in weights:
        units.append([sb.sigmoid(sum(w * u for w, u in zip(row, units[-1], strict=True))) for row in rows])
    (y,) = units[-1]
    flat = [w for rows in weights for row in rows for w in row]
    values = {each: rng.uniform(-1, 1) for each in [*x, *flat]}
    slopes = sb.compile([*x, *flat], sb.grad(y, [*x, *flat]))(*values.values())

    arrays = [np.array([[values[w] for w in row] for row in rows]) for rows in weights]
    layers = [np.array([values[each] for each in x])]
    for W in arrays:
        layers.append(logistic(W @ layers[-1]))
    bar, by_weight = np.ones(1), []
    for W, before, after in zip(arrays[::-1], layers[-2::-1], layers[:0:-1], strict=True):
        delta = bar * after * (1 - after)
        by_weight = [*np.outer(delta, before).ravel(), *by_weight]
        bar = W.T @ delta
    np.testing.assert_allclose(slopes, [*bar, *by_weight], rtol=1e-12)


# --- B17 ------------------------------------------------------------------------------------------------------


@pytest.mark.lecture("B17")
@pytest.mark.parametrize("clipped", [lambda z: np.maximum(0, np.minimum(1, z)), lambda z: np.clip(z, 0, 1)])
def test_the_clipped_linear_unit_learns_nothing_outside_of_the_unit_interval(clipped):
    w, h, b = sb.symbols("w[D] h[D] b")
    unit = clipped(w @ h + b)
    f = sb.compile([w, h, b], [unit, *sb.grad(unit, [w, b])])
    at = np.array([0.5, -1.0])
    for bias, inside in [(-3.0, 0.0), (0.9, 1.0), (4.0, 0.0)]:
        value, by_w, by_b = f(np.array([1.0, 0.5]), at, bias)
        assert value == np.clip(bias, 0, 1)
        np.testing.assert_array_equal(by_w, inside * at)
        assert by_b == inside

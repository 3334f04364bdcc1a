"""Losses, regularisers and metrics: values and gradients against NumPy, extreme inputs, messages."""

import math

import numpy as np
import pytest

import symbackprop as sb
from symbackprop import train
from symbackprop.errors import ShapeError

RNG = np.random.default_rng(7)


def value(expr, values):
    return sb.evaluate(expr, values)


@pytest.mark.lecture("L1")
def test_quadratic_of_one_example_has_derivative_y_minus_t():
    y, t = sb.symbols("y t")
    loss = train.quadratic(y, t)
    assert value(loss, {y: 5.0, t: 2.0}) == 4.5
    assert value(sb.grad(loss, y), {y: 5.0, t: 2.0}) == 3.0
    assert str(sb.simplify(sb.grad(loss, y))) == "y − t"


@pytest.mark.lecture("L1")
def test_quadratic_of_one_vector_summed_has_derivative_y_minus_t():
    y, t = sb.symbols("y[K] t[K]")
    gradient = sb.grad(train.quadratic(y, t, reduction="sum"), y)
    np.testing.assert_array_equal(value(gradient, {y: [1.0, 5.0], t: [0.5, 7.0]}), [0.5, -2.0])


@pytest.mark.lecture("L4")
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_both_scalings_of_the_squared_error(rank):
    shape = ("N", "K", 2)[:rank]
    y, t = sb.symbol("y", shape), sb.symbol("t", shape)
    yv, tv = RNG.normal(size=(2, 4, 3, 2)[: rank + 1])
    values = {y: yv, t: tv}
    total = ((yv - tv) ** 2).sum()
    assert value(train.squared_error(y, t), values) == pytest.approx(total / 4)
    assert value(train.squared_error(y, t, reduction="sum"), values) == pytest.approx(total)
    assert value(train.quadratic(y, t), values) == pytest.approx(total / 8)
    each = value(train.squared_error(y, t, reduction="none"), values)
    np.testing.assert_allclose(each, ((yv - tv) ** 2).reshape(4, -1).sum(axis=1))


@pytest.mark.lecture("L4")
def test_mse_of_xor_is_the_mean_of_four():
    y, t = sb.symbol("y", 4), sb.symbol("t", 4)
    half = {y: [0.5] * 4, t: [0.0, 1.0, 1.0, 0.0]}
    assert value(train.squared_error(y, t), half) == 0.25
    assert value(train.squared_error(y, t, reduction="sum"), half) == 1.0


@pytest.mark.lecture("A25")
@pytest.mark.parametrize(
    "loss", [train.quadratic, train.squared_error, train.binary_cross_entropy, train.softmax_cross_entropy]
)
def test_gradient_of_the_mean_is_the_mean_of_the_gradients(loss):
    X, W, T = sb.symbols("X[N,3] W[3,2] T[N,2]")
    x, t = sb.symbols("x[3] t[2]")
    Xv, Wv, Tv = RNG.normal(size=(5, 3)), RNG.normal(size=(3, 2)), np.eye(2)[[0, 1, 1, 0, 1]]
    whole = value(sb.grad(loss(X @ W, T), W), {X: Xv, W: Wv, T: Tv})
    one = sb.grad(loss(x @ W, t, reduction="sum"), W)
    each = [value(one, {x: Xv[n], W: Wv, t: Tv[n]}) for n in range(5)]
    np.testing.assert_allclose(whole, np.mean(each, axis=0), rtol=1e-12)


@pytest.mark.lecture("L2")
def test_binary_cross_entropy_from_logits_and_probabilities_agree():
    z, t = sb.symbols("z[N] t[N]")
    zv, tv = np.array([-3.0, 0.0, 0.5, 4.0]), np.array([0.0, 1.0, 0.3, 1.0])
    p = 1 / (1 + np.exp(-zv))
    expected = -np.mean(tv * np.log(p) + (1 - tv) * np.log(1 - p))
    assert value(train.binary_cross_entropy(z, t), {z: zv, t: tv}) == pytest.approx(expected, rel=1e-13)
    from_p = train.binary_cross_entropy(sb.sigmoid(z), t, logits=False)
    assert value(from_p, {z: zv, t: tv}) == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(
        value(sb.grad(train.binary_cross_entropy(z, t), z), {z: zv, t: tv}), (p - tv) / 4, rtol=1e-13
    )


@pytest.mark.lecture("L2")
def test_derivative_by_the_probability_is_the_slides():
    p, t = sb.symbols("p t")
    gradient = sb.grad(train.binary_cross_entropy(p, t, logits=False), p)
    # The slide maximises: y*/y + (1 − y*)/(y − 1); a loss has the other sign.
    assert value(gradient, {p: 0.2, t: 1.0}) == pytest.approx(-(1 / 0.2))
    assert value(gradient, {p: 0.2, t: 0.0}) == pytest.approx(-(1 / (0.2 - 1)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_binary_cross_entropy_is_finite_at_extreme_logits(dtype):
    z, t = sb.symbols("z[N] t[N]", dtype=dtype)
    values = {z: [-1e4, -1e4, 1e4, 1e4], t: [0, 1, 0, 1]}
    loss = train.binary_cross_entropy(z, t, reduction="none")
    np.testing.assert_array_equal(value(loss, values), [0, 1e4, 1e4, 0])
    gradient = sb.grad(train.binary_cross_entropy(z, t, reduction="sum"), z)
    assert gradient.dtype == dtype
    np.testing.assert_array_equal(value(gradient, values), [0, -1, 1, 0])


@pytest.mark.lecture("L3")
def test_softmax_cross_entropy_has_gradient_p_minus_t():
    Z, T = sb.symbols("Z[N,K] T[N,K]")
    Zv, Tv = RNG.normal(size=(4, 3)), np.eye(3)[[0, 2, 1, 1]]
    P = np.exp(Zv) / np.exp(Zv).sum(axis=1, keepdims=True)
    loss = train.softmax_cross_entropy(Z, T)
    assert value(loss, {Z: Zv, T: Tv}) == pytest.approx(-np.mean(np.log(P[Tv == 1])), rel=1e-13)
    np.testing.assert_allclose(value(sb.grad(loss, Z), {Z: Zv, T: Tv}), (P - Tv) / 4, atol=1e-15)


@pytest.mark.lecture("L3")
def test_softmax_cross_entropy_takes_probabilities_as_targets():
    z, T = sb.symbols("z[K] T[K]")
    zv, Tv = np.array([0.5, -1.0, 2.0]), np.array([0.2, 0.3, 0.5])
    expected = -np.sum(Tv * (zv - np.log(np.exp(zv).sum())))
    assert value(train.softmax_cross_entropy(z, T), {z: zv, T: Tv}) == pytest.approx(expected, rel=1e-13)


def test_softmax_cross_entropy_is_exact_at_extreme_logits():
    z, T = sb.symbols("z[K] T[K]")
    loss = train.softmax_cross_entropy(z, T)
    values = {z: [1000.0, 0.0, -1000.0], T: [0.0, 0.0, 1.0]}
    assert value(loss, values) == 2000.0
    np.testing.assert_array_equal(value(sb.grad(loss, z), values), [1, 0, -1])


@pytest.mark.lecture("L5")
def test_l2_adds_lambda_w_to_the_gradient():
    x, w, b, t, lam = sb.symbols("x w b t lam")
    loss = train.quadratic(sb.sigmoid(w * x + b), t)
    values = {x: 2.0, w: 0.7, b: -0.1, t: 1.0, lam: 0.3}
    plain = value(sb.grad(loss, w), values)
    regularised = sb.grad(loss + lam * train.l2(w), w)
    assert value(regularised, values) == pytest.approx(plain + 0.3 * 0.7, rel=1e-14)
    assert str(regularised).endswith(" + lam·w")


@pytest.mark.lecture("A3")
def test_regularisers_sum_over_all_parameters():
    W, v = sb.symbols("W[2,2] v[2]")
    values = {W: [[1.0, -2.0], [3.0, -4.0]], v: [0.5, -0.5]}
    assert value(train.l1([W, v]), values) == 11.0
    assert value(train.l2([W, v]), values) == 15.25
    np.testing.assert_array_equal(value(sb.grad(train.l1([W, v]), W), values), [[1, -1], [1, -1]])
    np.testing.assert_array_equal(value(sb.grad(train.l2([W, v]), W), values), values[W])


def test_accuracy_counts_rows_whose_largest_logit_is_the_targets():
    Z, T = sb.symbols("Z[N,K] T[N,K]")
    values = {Z: [[1, 2, -np.inf], [5, 2, 3], [-1, -3, -2], [0, 1, 0]], T: [[0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 0, 0]]}
    assert value(train.accuracy(Z, T), values) == 0.5
    assert value(train.accuracy(Z, T), {**values, T: np.array(values[T]) * 0.6 + 0.1}) == 0.5


def test_binary_accuracy():
    z, t = sb.symbols("z[N] t[N]")
    assert value(train.binary_accuracy(z, t), {z: [1.0, -1.0, 2.0, 0.0], t: [1, 1, 0, 0]}) == 0.5


def test_integer_targets_do_not_widen_float32():
    Z, z = sb.symbols("Z[N,K] z[N]", dtype="float32")
    T, t = sb.symbols("T[N,K] t[N]", dtype="int64")
    losses = [
        train.quadratic(z, t), train.binary_cross_entropy(z, t), train.softmax_cross_entropy(Z, T),
        train.accuracy(Z, T), train.binary_accuracy(z, t), train.l1([Z, z]), train.l2([Z, z]),
    ]  # fmt: skip
    assert {str(loss.dtype) for loss in losses} == {"float32"}


@pytest.mark.parametrize("loss", [train.quadratic, train.squared_error, train.binary_cross_entropy])
def test_a_loss_refuses_to_broadcast(loss):
    y, t = sb.symbols("y[N,1] t[N]")
    with pytest.raises(
        ShapeError, match=rf"{loss.__name__}: the output y\[N, 1\] and the target t\[N\] differ in shape"
    ):
        loss(y, t)


def test_losses_name_what_is_wrong():
    y, t = sb.symbols("y t")
    with pytest.raises(ValueError, match='quadratic: reduction is "mean", "sum" or "none", not \'avg\''):
        train.quadratic(y, t, reduction="avg")
    with pytest.raises(ShapeError, match="softmax_cross_entropy: y has no axis of classes"):
        train.softmax_cross_entropy(y, t)
    with pytest.raises(ValueError, match="l2: no parameters given"):
        train.l2([])


def test_one_hot():
    np.testing.assert_array_equal(train.one_hot([1, 0], 2, "float32"), np.float32([[0, 1], [1, 0]]))
    assert train.one_hot([1], 3, "float32").dtype == np.float32
    for labels in ([3], [-1], [0.5]):
        with pytest.raises(ValueError, match="one_hot: labels are integers from 0 to 2"):
            train.one_hot(labels, 3)


def test_binary_cross_entropy_penalises_in_proportion_to_the_logit():
    z, t = sb.symbols("z t")
    loss = train.binary_cross_entropy(z, t)
    for zv in (-50.0, 3.0, 50.0):
        for tv in (0.0, 1.0):
            exact = math.log1p(math.exp(-abs(zv))) + max((1 - 2 * tv) * zv, 0.0)
            assert value(loss, {z: zv, t: tv}) == pytest.approx(exact, rel=1e-9, abs=1e-14)

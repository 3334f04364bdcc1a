"""Losses: the derivatives that the slides write down come out of the printer, and are right in numbers."""

import numpy as np
import pytest

import symbackprop as sb
from symbackprop import train

XOR = np.array([0.0, 1.0, 1.0, 0.0])


@pytest.fixture(autouse=True)
def fresh_graph():
    with sb.Graph():
        yield


def value(expr, values):
    return np.asarray(sb.evaluate(expr, values))


# --- L1: the quadratic loss -----------------------------------------------------------------------------------


@pytest.mark.lecture("L1")
@pytest.mark.parametrize("loss", [lambda y, t: 0.5 * (y - t) ** 2, train.quadratic], ids=["written", "library"])
def test_the_derivative_of_the_quadratic_loss_is_the_error(loss):
    y, t = sb.symbols("y t")
    slope = sb.grad(loss(y, t), y)
    assert str(slope) == "y − t"
    assert slope.latex() == "y - t"
    assert value(slope, {y: 5.0, t: 2.0}) == 3.0


@pytest.mark.lecture("L1")
def test_the_derivative_of_the_quadratic_loss_of_a_vector_is_the_error():
    y, t = sb.symbols("y[K] t[K]")
    assert str(sb.grad(0.5 * sb.sum((y - t) ** 2), y)) == "y − t"
    assert str(sb.grad(train.quadratic(y, t, reduction="sum"), y)) == "y − t"


# --- L2: binary cross-entropy ---------------------------------------------------------------------------------


def likelihood(y, t):
    """Give J with the slides' sign, which is to be maximised."""
    return t * sb.log(y) + (1 - t) * sb.log(1 - y)


@pytest.mark.lecture("L2")
def test_the_derivative_of_cross_entropy_is_the_slides():
    y, t = sb.symbol("y"), sb.symbol("y*")
    slope = sb.grad(likelihood(y, t), y)
    assert str(slope) == "y*/y − (1 − y*)/(1 − y)"
    assert slope.latex() == r"\frac{y^{*}}{y} - \frac{1 - y^{*}}{1 - y}"
    for yv in (0.125, 0.5, 0.75):
        for tv in (0.0, 0.25, 1.0):
            np.testing.assert_allclose(value(slope, {y: yv, t: tv}), tv / yv + (1 - tv) / (yv - 1), rtol=1e-15)


@pytest.mark.lecture("L2")
@pytest.mark.parametrize("sigmoid", [sb.sigmoid, lambda a: 1 / (1 + sb.exp(-a))], ids=["named", "written"])
def test_cross_entropy_of_a_sigmoid_is_as_simple_as_the_quadratic_loss(sigmoid):
    a, t = sb.symbol("a"), sb.symbol("y*")
    J = likelihood(sigmoid(a), t)
    assert str(sb.simplify(sb.grad(J, a))) == "y* − σ(a)"
    assert str(sb.simplify(sb.grad(-J, a))) == "σ(a) − y*"


@pytest.mark.lecture("L2")
def test_the_sigmoids_own_slope_cancels_where_it_underflows():
    a, t = sb.symbol("a"), sb.symbol("y*")
    slope = sb.compile([a, t], sb.grad(likelihood(1 / (1 + sb.exp(-a)), t), a))
    assert [slope(av, tv) for av, tv in [(1000.0, 0.0), (-1000.0, 1.0), (1000.0, 1.0)]] == [-1, 1, 0]


# --- L3: softmax cross-entropy --------------------------------------------------------------------------------


def written_out(b):
    e = sb.exp(b)
    return e / sb.sum(e, axis=-1, keepdims=True)


@pytest.mark.lecture("L3")
@pytest.mark.parametrize("softmax", [sb.softmax, written_out], ids=["named", "written"])
@pytest.mark.parametrize("shape", ["K", ("N", "K")], ids=["one", "many"])
def test_softmax_and_cross_entropy_give_the_error_when_targets_are_declared_to_sum_to_1(shape, softmax):
    b, t = sb.symbol("b", shape), sb.symbol("y*", shape)
    J = -sb.sum(t * sb.log(softmax(b)))
    total = "sum(y*)" if shape == "K" else "sum(y*, axis=1, keepdims=True)"
    assert str(sb.simplify(sb.grad(J, b))) in {
        f"{total}·softmax(b) − y*",
        f"{total} ⊙ softmax(b) − y*",
        f"softmax(b) ⊙ {total} − y*",
    }
    sb.assume(t, rows_sum_to=1)
    assert str(sb.simplify(sb.grad(J, b))) == "softmax(b) − y*"


@pytest.mark.lecture("L3")
def test_with_the_slides_sign_the_error_has_the_other_sign():
    b, t = sb.symbol("b", "K"), sb.symbol("y*", "K")
    J = sb.sum(t * sb.log(written_out(b)))
    assert str(sb.simplify(sb.grad(J, b))) == "y* − sum(y*)·softmax(b)"
    sb.assume(t, rows_sum_to=1)
    assert str(sb.simplify(sb.grad(J, b))) == "y* − softmax(b)"


@pytest.mark.lecture("L3")
def test_both_forms_are_right_in_numbers():
    b, t = sb.symbols("b[K] t[K]")
    slope = sb.grad(-sb.sum(t * sb.log(written_out(b))), b)
    rng = np.random.default_rng(3)
    bv, tv = rng.normal(size=5), rng.uniform(size=5)  # which do not sum to 1
    p = np.exp(bv) / np.exp(bv).sum()
    np.testing.assert_allclose(value(slope, {b: bv, t: tv}), tv.sum() * p - tv, rtol=1e-13)
    np.testing.assert_allclose(value(sb.simplify(slope), {b: bv, t: tv}), tv.sum() * p - tv, rtol=1e-13)


# --- L4: two scalings of the squared error --------------------------------------------------------------------


@pytest.mark.lecture("L4")
def test_the_mean_and_the_sum_of_squared_errors():
    f, y = sb.symbols("f[N] y[N]")
    mean, total = (train.squared_error(f, y, reduction=how) for how in ("mean", "sum"))
    assert (str(mean), str(total)) == ("mean((f − y)²)", "sum((f − y)²)")
    assert (str(sb.grad(mean, f)), str(sb.grad(total, f))) == ("2(f − y)/N", "2(f − y)")
    outputs = np.full(4, 0.5)
    assert (value(mean, {f: outputs, y: XOR}), value(total, {f: outputs, y: XOR})) == (0.25, 1.0)
    np.testing.assert_array_equal(value(sb.grad(mean, f), {f: outputs, y: XOR}), [0.25, -0.25, -0.25, 0.25])
    np.testing.assert_array_equal(value(sb.grad(total, f), {f: outputs, y: XOR}), [1, -1, -1, 1])


# --- L5: L2 regularisation ------------------------------------------------------------------------------------


@pytest.mark.lecture("L5")
def test_l2_regularisation_adds_a_second_term():
    w, x, b, t, lam = (sb.symbol(name) for name in ("w", "x", "b", "t", "λ"))
    z = (w * x + b).named("z")
    L = (0.5 * (sb.sigmoid(z) - t) ** 2).named("L")
    R = (0.5 * w**2).named("R")
    L_reg = (L + lam * R).named("L_reg")
    slope = sb.grad(L_reg, w)
    assert slope.text(primes=True) == "(σ(wx + b) − t) σ′(wx + b)·x + λw"
    assert sb.simplify(sb.grad(L_reg, R)) is lam
    lines = {line.name: line for line in sb.backprop_table(L_reg, [w, b]).backward}
    assert [str(term) for term in lines["w̄"].terms] == ["z̄x", "R̄w"]
    assert len(lines["b̄"].terms) == 1
    values = {w: 0.5, x: 2.0, b: -0.25, t: 1.0, lam: 0.125}
    y = 1 / (1 + np.exp(-0.75))
    np.testing.assert_allclose(value(slope, values), (y - 1) * y * (1 - y) * 2 + 0.125 * 0.5, rtol=1e-14)


@pytest.mark.lecture("L5")
def test_the_library_s_penalty_is_the_slides():
    w, lam = sb.symbol("w", "D"), sb.symbol("λ")
    assert str(train.l2(w)) == "½ sum(w²)"
    assert str(sb.grad(lam * train.l2(w), w)) == "λw"

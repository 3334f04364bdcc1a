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


# --- L6: maximum likelihood of a Gaussian ------------------------------------------------------------------------


def gaussian(y, f):
    """Give the density N(y; f, I) of each row."""
    size = sb.size_of(y.shape[1])
    return sb.exp(-0.5 * sb.sum((y - f) ** 2, axis=1)) / sb.power(2 * np.pi, size / 2)


MODELS = {
    "outputs": lambda X, W: sb.symbol("f", ("N", "K")),
    "linear": lambda X, W: X @ W,
    "tanh": lambda X, W: sb.tanh(X @ W),
}


@pytest.mark.lecture("L6")
@pytest.mark.parametrize("model", MODELS)
def test_the_likelihood_of_a_gaussian_and_half_the_squared_error_have_one_gradient(model):
    X, W, y = sb.symbols("X[N,D] W[D,K] y[N,K]")
    f = MODELS[model](X, W)
    target = f if model == "outputs" else W
    likelihood = -sb.mean(sb.log(gaussian(y, f)))
    squared = sb.mean(0.5 * sb.sum((y - f) ** 2, axis=1))
    found, expected = sb.simplify([sb.grad(likelihood, target), sb.grad(squared, target)])
    assert found is expected  # not only equal: the same expression
    answer = sb.same(sb.grad(likelihood, target), sb.grad(squared, target))
    assert (answer.how, answer.points) == ("rewriting", 20)
    if model == "outputs":
        assert str(found) == "(f − y)/N"


@pytest.mark.lecture("L6")
def test_the_two_losses_differ_by_a_constant():
    y, f = sb.symbols("y[N,K] f[N,K]")
    constant = 0.5 * np.log(2 * np.pi) * sb.size_of(y.shape[1])
    likelihood = -sb.mean(sb.log(gaussian(y, f)))
    squared = sb.mean(0.5 * sb.sum((y - f) ** 2, axis=1))
    assert sb.same(likelihood, squared + constant)
    assert not sb.same(likelihood, squared)


# --- L8: Bernoulli outputs ---------------------------------------------------------------------------------------


@pytest.mark.lecture("L8")
def test_the_loss_of_a_bernoulli_output_is_a_softplus():
    y, z = sb.symbols("y z")
    J = -sb.log(sb.sigmoid((2 * y - 1) * z))
    found, slide = sb.simplify([J, sb.softplus((1 - 2 * y) * z)])
    assert found is slide
    assert str(found) == "softplus((1 − 2y)z)"
    assert "softplus(" in sb.compile([y, z], J).source


@pytest.mark.lecture("L8")
def test_the_softplus_does_not_shrink_the_gradient_unless_the_answer_is_right():
    y, z = sb.symbols("y z")
    J = -sb.log(sb.sigmoid((2 * y - 1) * z))
    step = sb.compile([y, z], [J, sb.grad(J, z)])
    for yv, zv in [(1.0, -50.0), (0.0, 50.0), (1.0, -1000.0), (0.0, 1000.0)]:  # wrong
        loss, slope = step(yv, zv)
        assert abs(slope) == pytest.approx(1, abs=1e-20)
        assert np.sign(slope) == np.sign(zv)
        assert loss == pytest.approx(abs(zv), rel=1e-15)
    for yv, zv in [(1.0, 50.0), (0.0, -50.0)]:  # right
        loss, slope = step(yv, zv)
        np.testing.assert_allclose([loss, abs(slope)], np.exp(-50.0), rtol=1e-14)


@pytest.mark.lecture("L8")
def test_both_forms_are_the_cross_entropy_of_the_logit():
    y, z = sb.symbol("y", (), "bool"), sb.symbol("z")
    J = -sb.log(sb.sigmoid((2 * y - 1) * z))
    cross_entropy = -(y * sb.log(sb.sigmoid(z)) + (1 - y) * sb.log(1 - sb.sigmoid(z)))
    assert sb.same(J, cross_entropy)
    assert sb.same(J, sb.softplus((1 - 2 * y) * z))


# --- L9 to L11: which loss goes with which output ----------------------------------------------------------------

MOST_ACTIVE = np.array([1000.0, 0.0, -1000.0])
THIRD = np.array([0.0, 0.0, 1.0])

SPELLINGS = {
    "log_softmax": lambda z, t: -sb.sum(t * sb.log_softmax(z)),
    "log of softmax": lambda z, t: -sb.sum(t * sb.log(sb.softmax(z))),
    "written out": lambda z, t: -sb.sum(t * sb.log(sb.exp(z) / sb.sum(sb.exp(z)))),
    "the slide's": lambda z, t: -(sb.sum(t * z) - sb.log(sb.sum(sb.exp(z)))),
    "one class": lambda z, t: -sb.log_softmax(z)[2] + 0 * sb.sum(t),
}


@pytest.mark.lecture("L9")
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_likelihood_undoes_the_exponential_and_penalises_the_most_active_wrong_class(spelling):
    z, t = sb.symbols("z[K] t[K]")
    loss = SPELLINGS[spelling](z, t)
    value_, slope = sb.compile([z, t], [loss, sb.grad(loss, z)])(MOST_ACTIVE, THIRD)
    np.testing.assert_array_equal(slope, [1, 0, -1])
    assert value_ == 2000


@pytest.mark.lecture("L9")
def test_the_first_term_of_the_likelihood_cannot_saturate():
    z = sb.symbol("z", "K")
    first, second = z[2], sb.logsumexp(z)
    for at in (MOST_ACTIVE, -MOST_ACTIVE, np.zeros(3)):
        np.testing.assert_array_equal(sb.evaluate(sb.grad(first, z), {z: at}), THIRD)
        assert np.all(sb.evaluate(sb.grad(second, z), {z: at}) >= 0)  # maximising pushes all of z down


@pytest.mark.lecture("L10")
def test_squared_error_of_a_softmax_learns_nothing_where_the_likelihood_learns_most():
    z, t = sb.symbols("z[K] t[K]")
    squared = sb.sum((sb.softmax(z) - t) ** 2)
    likelihood = -sb.sum(t * sb.log(sb.softmax(z)))
    step = sb.compile([z, t], [squared, sb.grad(squared, z), sb.grad(likelihood, z)])
    norms = []
    for scale in (0.0, 1.0, 10.0, 100.0, 1000.0):  # the wrong class grows ever surer of itself
        loss, of_squared, of_likelihood = step(MOST_ACTIVE / 1000 * scale, THIRD)
        norms.append((np.linalg.norm(of_squared), np.linalg.norm(of_likelihood)))
    assert loss == 2  # as wrong as can be
    by_squared, by_likelihood = np.transpose(norms)
    assert by_squared[0] > 0.3
    assert np.all(np.diff(by_squared[1:]) < 0)
    assert by_squared[2] < 2e-4
    assert by_squared[-1] == 0
    assert np.all(np.diff(by_likelihood) >= 0)
    np.testing.assert_allclose(by_likelihood[-2:], np.sqrt(2), rtol=1e-15)


@pytest.mark.lecture("L11")
def test_saturating_outputs_learn_with_their_own_loss_alone():
    """At a unit that is wrong and sure of it: the gradient by its input, for three pairs of output and loss."""
    z, t = sb.symbols("z t")
    y = sb.sigmoid(z)
    losses = {
        "squared error of a sigmoid": 0.5 * (y - t) ** 2,
        "cross-entropy of a sigmoid": -(t * sb.log(y) + (1 - t) * sb.log(1 - y)),
        "squared error of a linear unit": 0.5 * (z - t) ** 2,
    }
    slopes = {name: sb.compile([z, t], sb.grad(loss, z)) for name, loss in losses.items()}
    for logit in (5.0, 10.0, 20.0, 40.0):
        squared, entropy, linear = (abs(slope(logit, 0.0)) for slope in slopes.values())
        np.testing.assert_allclose(squared, np.exp(-logit) / (1 + np.exp(-logit)) ** 3, rtol=1e-14)  # vanishes
        np.testing.assert_allclose(entropy, 1, atol=1.1 * np.exp(-logit))
        assert linear == logit
    # the quotient of the two gradients of the sigmoid is its slope, whatever the target
    both = [sb.grad(losses[name], z) for name in list(losses)[:2]]
    assert sb.same(both[0], both[1] * y * (1 - y))

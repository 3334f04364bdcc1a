"""Derivatives along a direction, sums and diagonals of Jacobians, Gauss-Newton matrices, Fisher information."""

from __future__ import annotations

import itertools
import math

import mpmath
import numpy as np
import pytest

import symbackprop as sb
from symbackprop import precise
from symbackprop.errors import ArgumentError, NotDifferentiableError, ShapeError

RANDOM = np.random.default_rng(0)
MODES = ["reverse", "forward", "auto"]
each_mode = pytest.mark.parametrize("mode", MODES)


# --- along a direction ----------------------------------------------------------------------------------------

CURVES = {  # of two variables, and the same in mpmath
    "product": (lambda a, b: sb.exp(sb.sin(a) * b), lambda a, b: mpmath.exp(mpmath.sin(a) * b)),
    "quotient": (lambda a, b: sb.log(1 + a * a) / b, lambda a, b: mpmath.log(1 + a * a) / b),
    "root": (lambda a, b: sb.sqrt(a + b * b) * sb.tanh(b), lambda a, b: mpmath.sqrt(a + b * b) * mpmath.tanh(b)),
    "power": (lambda a, b: a**b, lambda a, b: a**b),
    "polynomial": (lambda a, b: a**3 * b + 2 * a * b, lambda a, b: a**3 * b + 2 * a * b),
    "gauss": (lambda a, b: sb.erf(a) * sb.sigmoid(b), lambda a, b: mpmath.erf(a) / (1 + mpmath.exp(-b))),
}


@pytest.mark.parametrize("name", CURVES)
def test_directional_derivatives_are_the_coefficients_of_taylors_series(name):
    ours, theirs = CURVES[name]
    x, v = sb.symbols("x[2] v[2]")
    at, direction = [0.7, 1.3], [0.9, -0.4]
    with mpmath.workdps(60):
        coefficients = mpmath.taylor(lambda t: theirs(*(a + t * d for a, d in zip(at, direction, strict=True))), 0, 6)
    for order, coefficient in enumerate(coefficients):
        found = sb.directional(ours(x[0], x[1]), x, v, order=order)
        expected = float(coefficient * mpmath.factorial(order))
        values = {x: at, v: direction}
        np.testing.assert_allclose(sb.evaluate(found, values), expected, rtol=1e-10, atol=1e-12)
        if order < 5:
            np.testing.assert_allclose(sb.compile([x, v], found)(at, direction), expected, rtol=1e-10, atol=1e-12)


def test_directional_derivatives_of_a_network_of_several_expressions_and_outputs():
    """Against mpmath's differences of the network itself, computed to 300 digits."""
    W, b, X = sb.symbols("W[3,2] b[3] X[4,2]")
    y = sb.tanh(X @ W.T + b)
    values = {W: RANDOM.normal(size=(3, 2)), b: RANDOM.normal(size=3), X: RANDOM.normal(size=(4, 2))}
    moves = {W: RANDOM.normal(size=(3, 2)), b: RANDOM.normal(size=3)}

    def moved(t):
        exact = np.vectorize(mpmath.mpf, otypes=[object])
        places = {each: exact(values[each]) + t * exact(move) for each, move in moves.items()}
        return precise.evaluate([y], {**values, **places}, digits=300)[0][1, 2]

    with mpmath.workdps(30):  # mpmath takes as many times as many as there are orders
        expected = mpmath.taylor(moved, 0, 4)
    for order in range(5):
        found = sb.directional(y, [W, b], list(moves.values()), order=order)
        assert found.shape == (4, 3)
        value = sb.evaluate(found, values)[1, 2] / math.factorial(order)
        np.testing.assert_allclose(value, float(expected[order]), rtol=1e-10, atol=1e-13)


def test_the_direction_is_held_fixed_where_it_depends_on_what_is_moved():
    """The curvature along the gradient, as line searches want it: gᵀHg."""
    x = sb.symbol("x", 3)
    f = sb.sum(sb.exp(x)) * sb.sum(x * x)
    g, H = sb.grad(f, x), sb.hessian(f, x)
    values = {x: RANDOM.normal(size=3)}
    expected = sb.evaluate(g @ H @ g, values)
    np.testing.assert_allclose(sb.evaluate(sb.directional(f, x, g, order=2), values), expected, rtol=1e-12)
    assert str(sb.directional(sb.sum(x**3), x, x, order=3)) == str(6 * sb.sum(x**3))


def test_directional_derivatives_come_to_an_end():
    x, v = sb.symbols("x[N] v[N]")
    f = x * x + 3
    assert str(sb.directional(f, x, v, order=2)) == "2v²"
    values = {x: [1.0, 2.0], v: [1.0, 1.0]}
    for order in (3, 4):
        np.testing.assert_array_equal(sb.evaluate(sb.directional(f, x, v, order=order), values), np.zeros(2))
    assert sb.directional(f, x, v, order=0) is f


def test_the_growth_of_nested_derivatives_is_the_one_that_is_documented():
    x, v, W = sb.symbols("x[D] v[D] W[K,D]")
    f = sb.sum(sb.tanh(W @ x))
    counts = [sb.directional(f, x, v, order=order).count().graph for order in range(1, 6)]
    assert all(later / earlier < 3 for earlier, later in itertools.pairwise(counts))


# --- sums and diagonals ---------------------------------------------------------------------------------------


@each_mode
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 2)], ids=str)
def test_laplacian_divergence_and_diagonal_are_those_of_the_matrices(shape, mode):
    x = sb.symbol("x", shape)
    f = sb.sum(sb.sin(x)) * sb.sum(sb.exp(x)) + sb.sum(x**3)
    y = sb.sin(x) * sb.sum(x * x)
    values = {x: RANDOM.normal(size=shape)}
    size = math.prod(shape)
    H, J = (sb.evaluate(matrix, values).reshape(size, size) for matrix in (sb.hessian(f, x), sb.jacobian(y, x)))
    diagonal = sb.hessian_diag(f, x, mode=mode)
    assert diagonal.shape == shape
    for found, expected in [
        (diagonal, np.diagonal(H).reshape(shape)),
        (sb.laplacian(f, x, mode=mode), np.trace(H)),
        (sb.divergence(y, x, mode=mode), np.trace(J)),
    ]:
        np.testing.assert_allclose(sb.evaluate(found, values), expected, rtol=1e-12)
        np.testing.assert_allclose(sb.compile([x], found)(*values.values()), expected, rtol=1e-12)


def test_laplacians_and_diagonals_print_without_the_matrix():
    x, X, s = sb.symbols("x[D] X[N,D] s")
    assert str(sb.laplacian(sb.sum(sb.sin(x)), x)) == "−sum(sin(x))"
    assert str(sb.hessian_diag(sb.sum(sb.exp(X)), X)) == "exp(X)"
    assert str(sb.divergence(X * X, X)) == "2 sum(X)"
    assert str(sb.hessian_diag(s * (x @ x) + sb.sum(x) ** 2, x)) == "broadcast_to(2 + 2s, (D,))"
    for f in (sb.sum(sb.exp(sb.sin(X))), sb.sum(X**3) + sb.sum(X) ** 2):
        assert "einsum" not in str(sb.laplacian(f, X))


@pytest.mark.parametrize("dimension", [2, 3, 5])
def test_known_laplacians(dimension):
    """Harmonic functions, radial ones, and eigenfunctions, in any number of dimensions."""
    x, k = sb.symbols(f"x[{dimension}] k[{dimension}]")
    at, wave = RANDOM.normal(size=dimension), RANDOM.normal(size=dimension)
    radius = np.sqrt(at @ at)
    square = sb.sum(x * x)
    fundamental = sb.log(square) if dimension == 2 else square ** (1 - dimension / 2)
    for f, expected in [
        (fundamental, 0.0),
        (sb.linalg.norm(x), (dimension - 1) / radius),
        (square**2, 4 * (dimension + 2) * radius**2),
        (sb.exp(-square / 2), (radius**2 - dimension) * np.exp(-(radius**2) / 2)),
        (sb.sin(k @ x), -(wave @ wave) * np.sin(wave @ at)),
    ]:
        found = sb.evaluate(sb.laplacian(f, x), {x: at, k: wave})
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(sb.evaluate(sb.divergence(x * square, x), {x: at}), (dimension + 2) * radius**2)
    np.testing.assert_allclose(sb.evaluate(sb.divergence(x / square ** (dimension / 2), x), {x: at}), 0, atol=1e-12)


# --- Gauss-Newton ---------------------------------------------------------------------------------------------


def network(inputs=5):
    """A regression network, its residuals, their loss, its weights, and values for all of them."""
    X, W, b, w, y = sb.symbols(f"X[{inputs},2] W[2,3] b[3] w[3] y[{inputs}]")
    r = sb.tanh(X @ W + b) @ w - y
    values = {each: RANDOM.normal(size=each.shape) for each in (X, W, b, w, y)}
    return r, [W, b, w], values


@each_mode
@pytest.mark.parametrize("inputs", [5, 25], ids=["fewer residuals", "more residuals"])
def test_the_gauss_newton_matrix_is_j_h_j(inputs, mode):
    r, weights, values = network(inputs)
    for f in (0.5 * sb.sum(r * r), sb.sum(sb.sqrt(1 + r * r)), sb.logsumexp(r) + 0.1 * sb.sum(weights[0] ** 2)):
        J = [sb.evaluate(block, values).reshape(inputs, -1) for block in sb.jacobian(r, weights)]
        H = sb.evaluate(sb.hessian(f, r), values)  # of the loss by the residuals
        G = sb.gauss_newton(f, r, weights, mode=mode)
        whole = []
        for i, j in itertools.product(range(3), repeat=2):
            assert G[i][j].shape == weights[i].shape + weights[j].shape
            found = sb.evaluate(G[i][j], values)
            expected = J[i].T @ H @ J[j]
            np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=1e-11, atol=1e-12)
            whole.append(expected)
        one = sb.evaluate(sb.gauss_newton(f, r, weights[0], mode=mode), values)
        np.testing.assert_allclose(one, sb.evaluate(G[0][0], values), rtol=1e-12)
        rows = [np.hstack(whole[3 * i : 3 * i + 3]) for i in range(3)]
        assert np.linalg.eigvalsh(np.vstack(rows)).min() > -1e-10


@each_mode
def test_gauss_newton_is_the_hessian_where_the_inner_expression_is_affine(mode):
    X, W, Y, b = sb.symbols("X[N,D] W[D,K] Y[N,K] b[K]")
    Z = X @ W + b
    f = -sb.sum(Y * sb.log_softmax(Z))
    values = {X: RANDOM.normal(size=(4, 2)), W: RANDOM.normal(size=(2, 3)), Y: np.eye(3)[[0, 2, 1, 0]]}
    values[b] = RANDOM.normal(size=3)
    H, G = sb.hessian(f, [W, b]), sb.gauss_newton(f, Z, [W, b], mode=mode)
    for i, j in itertools.product(range(2), repeat=2):
        np.testing.assert_allclose(sb.evaluate(G[i][j], values), sb.evaluate(H[i][j], values), rtol=1e-11, atol=1e-14)


@each_mode
def test_gauss_newton_through_several_inner_expressions(mode):
    """Two residuals that the loss couples."""
    x = sb.symbol("x", 3)
    r, s = sb.sin(x), sb.exp(x[:2])
    f = sb.sum(r[:2] * s) ** 2
    values = {x: RANDOM.normal(size=3)}
    H = [[sb.evaluate(block, values) for block in row] for row in sb.hessian(f, [r, s])]
    J = [sb.evaluate(sb.jacobian(each, x), values) for each in (r, s)]
    expected = sum(J[i].T @ H[i][j] @ J[j] for i, j in itertools.product(range(2), repeat=2))
    np.testing.assert_allclose(sb.evaluate(sb.gauss_newton(f, [r, s], x, mode=mode), values), expected, rtol=1e-12)


def test_what_acts_beside_the_inner_expression_is_left_out():
    r, weights, values = network()
    f = 0.5 * sb.sum(r * r)
    one, other = (sb.gauss_newton(g, r, weights[0]) for g in (f, f + sb.sum(weights[0] ** 4)))
    np.testing.assert_array_equal(sb.evaluate(one, values), sb.evaluate(other, values))


def test_products_with_the_gauss_newton_matrix():
    r, weights, values = network()
    f = sb.sum(sb.sqrt(1 + r * r))
    v = [RANDOM.normal(size=(2, *each.shape)) for each in weights]  # two vectors at once
    G = [[sb.evaluate(block, values) for block in row] for row in sb.gauss_newton(f, r, weights)]
    found = [sb.evaluate(each, values) for each in sb.gnvp(f, r, weights, v)]
    for i, each in enumerate(weights):
        for k in range(2):
            expected = sum(np.tensordot(G[i][j], v[j][k], axes=v[j][k].ndim) for j in range(3))
            np.testing.assert_allclose(found[i][k], expected, rtol=1e-11)
        assert found[i].shape == (2, *each.shape)
    alone = sb.gnvp(f, r, weights[2], v[2][0])
    np.testing.assert_allclose(sb.evaluate(alone, values), G[2][2] @ v[2][0], rtol=1e-12)


# --- Fisher information ---------------------------------------------------------------------------------------


def enumerated(log_p, x, y, values, outcomes):
    """E[∇log p ∇log pᵀ] and −E[∇²log p] by definition: the sum over all outcomes, each with its probability."""
    score, H = sb.grad(log_p, x), sb.hessian(log_p, x)
    outer = curvature = total = 0.0
    for outcome in outcomes:
        at = {**values, y: outcome}
        p = np.exp(sb.evaluate(log_p, at))
        g = sb.evaluate(score, at)
        total += p
        outer = outer + p * np.multiply.outer(g, g)
        curvature = curvature - p * sb.evaluate(H, at)
    np.testing.assert_allclose(total, 1, rtol=1e-9)
    return outer, curvature


def bernoulli():
    X, w, y = sb.symbols("X[4,2] w[2] y[4]")
    z = X @ w
    p = sb.sigmoid(z)
    outcomes = [np.array(bits, float) for bits in itertools.product([0, 1], repeat=4)]
    return {
        "logits": (sb.sum(y * z - sb.softplus(z)), z, None),
        "logits, as one writes it": (sb.sum(y * sb.log(p) + (1 - y) * sb.log(1 - p)), z, {y: p}),
        "probabilities": (sb.sum(y * sb.log(p) + (1 - y) * sb.log(1 - p)), p, {y: p}),
    }, (w, y, {X: RANDOM.normal(size=(4, 2)), w: RANDOM.normal(size=2)}, outcomes)


def categorical():
    X, W, Y = sb.symbols("X[2,2] W[2,3] Y[2,3]")
    Z = X @ W
    outcomes = [np.eye(3)[list(rows)] for rows in itertools.product(range(3), repeat=2)]
    return {
        "logits": (sb.sum(Y * sb.log_softmax(Z)), Z, {Y: sb.softmax(Z)}),
        "natural": (sb.sum(Y * Z) - sb.sum(sb.logsumexp(Z, axis=1)), Z, None),
    }, (W, Y, {X: RANDOM.normal(size=(2, 2)), W: RANDOM.normal(size=(2, 3))}, outcomes)


def poisson():
    x, w, y = sb.symbols("x[2] w[2] y")
    z = x @ w
    rate = sb.exp(z)
    factorial = sb.constant(0.0)  # log y! has no derivative by w, but the probabilities need it
    outcomes = [np.array(float(k)) for k in range(60)]
    log_factorial = sb.constant([math.lgamma(k + 1) for k in range(60)])
    factorial = sb.sum(log_factorial * sb.equal(sb.constant(np.arange(60.0)), y))
    return {
        "log rate": (y * z - rate - factorial, z, None),
        "rate": (y * sb.log(rate) - rate - factorial, rate, {y: rate}),
    }, (w, y, {x: np.array([0.6, -0.8]), w: np.array([1.1, 0.3])}, outcomes)


@each_mode
@pytest.mark.parametrize("model", [bernoulli, categorical, poisson])
def test_fisher_information_is_the_expectation_over_the_models_own_outcomes(model, mode):
    forms, (x, y, values, outcomes) = model()
    for log_p, z, mean in forms.values():
        outer, curvature = enumerated(log_p, x, y, values, outcomes)
        F = sb.fisher(log_p, z, x, mean=mean, mode=mode)
        assert F.shape == x.shape * 2
        data = {} if mean else {y: outcomes[1]}  # with natural parameters any outcome will do
        found = sb.evaluate(F, {**values, **data})
        np.testing.assert_allclose(found, outer, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found, curvature, rtol=1e-9, atol=1e-12)


def test_fisher_information_of_a_normal_distribution_by_mean_and_deviation():
    """The textbook's [[1/σ², 0], [0, 2/σ²]], by natural parameters, which the observations enter linearly."""
    y, mu, sigma = sb.symbols("y μ σ")
    first, second = mu / sigma**2, -1 / (2 * sigma**2)
    log_p = first * y + second * y**2 + first**2 / (4 * second) + sb.log(-2 * second) / 2
    values = {mu: 0.3, sigma: 0.7, y: 5.0}
    density = sb.evaluate(log_p, values) - math.log(2 * math.pi) / 2
    np.testing.assert_allclose(np.exp(density), np.exp(-((5 - 0.3) ** 2) / 0.98) / (0.7 * math.sqrt(2 * math.pi)))
    F = sb.fisher(log_p, [first, second], [mu, sigma])
    found = [[float(sb.evaluate(block, values)) for block in row] for row in F]
    np.testing.assert_allclose(found, np.diag([1, 2]) / 0.49, rtol=1e-12, atol=1e-12)


def test_fisher_information_prints_as_in_the_textbook():
    X, w, y, s = sb.symbols("X[N,D] w[D] y[N] s")
    z = X @ w
    assert str(sb.fisher(sb.sum(y * z - sb.softplus(z)), z, w)) == "Xᵀ diag(σ(Xw) ⊙ (1 − σ(Xw)))·X"
    normal = -sb.sum((y - z) ** 2) / (2 * s**2)
    assert str(sb.fisher(normal, z, w, mean={y: z})) == "XᵀX/s²"
    assert str(sb.fisher(sb.sum(y * z - sb.exp(z)), z, w)) == "Xᵀ diag(exp(Xw))·X"


@each_mode
def test_the_empirical_fisher_matrix_is_the_sum_of_the_outer_products(mode):
    X, w, y = sb.symbols("X[N,D] w[D] y[N]")
    z = X @ w
    values = {X: RANDOM.normal(size=(7, 3)), w: RANDOM.normal(size=3), y: RANDOM.integers(0, 2, 7)}
    gradients = values[X] * (values[y] - 1 / (1 + np.exp(-values[X] @ values[w])))[:, None]
    found = sb.empirical_fisher(y * z - sb.softplus(z), w, mode=mode)
    np.testing.assert_allclose(sb.evaluate(found, values), gradients.T @ gradients, rtol=1e-12)
    table = sb.empirical_fisher(sb.reshape(y * z - sb.softplus(z), (1, -1)), w, mode=mode)
    np.testing.assert_allclose(sb.evaluate(table, values), gradients.T @ gradients, rtol=1e-12)


# --- what is said where something is wrong --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda x, y, f: sb.directional(f, x, np.ones(3), order=-1),
            ArgumentError,
            "directional: the order is an integer from 0 on, not -1",
        ),
        (
            lambda x, y, f: sb.directional(f, x, np.ones(3), order=1.5),
            ArgumentError,
            "directional: the order is an integer from 0 on, not 1.5",
        ),
        (
            lambda x, y, f: sb.directional(f, x, np.ones((2, 3)), order=2),
            ShapeError,
            "directional: the direction array[2, 3] does not have the shape of x[3]",
        ),
        (
            lambda x, y, f: sb.directional(f, [x, y], [np.ones(3)]),
            ArgumentError,
            "directional: for 2 inputs give a list of 2 directions, not 1 of them",
        ),
        (
            lambda x, y, f: sb.directional(f, y, np.ones(3)),
            NotDifferentiableError,
            'directional: sum(exp(x)) does not depend on y[3]; pass unused="zeros" for zeros',
        ),
        (
            lambda x, y, f: sb.divergence(x[:2], x),
            ShapeError,
            "divergence: the field slice(x)[2] does not have the shape of x[3]",
        ),
        (
            lambda x, y, f: sb.laplacian(x, x),
            NotDifferentiableError,
            "grad: x[3] is no scalar; take sb.sum or sb.mean of it, or sb.vjp(z, wrt, cotangent) for a weighted sum",
        ),
        (
            lambda x, y, f: sb.hessian_diag(f, x, mode="both"),
            ValueError,
            'hessian: mode is "reverse", "forward" or "auto", not \'both\'',
        ),
        (
            lambda x, y, f: sb.gauss_newton(f, x * y, x),
            NotDifferentiableError,
            'grad: sum(exp(x)) does not depend on multiply(x, y)[3]; pass unused="zeros" for zeros',
        ),
        (
            lambda x, y, f: sb.gauss_newton(f, x, y),
            NotDifferentiableError,
            'gauss_newton: x[3] does not depend on y[3]; pass unused="zeros" for zeros',
        ),
        (
            lambda x, y, f: sb.gauss_newton(f, x, y, mode="reverse"),
            NotDifferentiableError,
            'gauss_newton: x[3] does not depend on y[3]; pass unused="zeros" for zeros',
        ),
        (
            lambda x, y, f: sb.gauss_newton(f, x, x, mode="fast"),
            ValueError,
            'gauss_newton: mode is "reverse", "forward" or "auto", not \'fast\'',
        ),
        (
            lambda x, y, f: sb.gnvp(f, x, x, np.ones(2)),
            ShapeError,
            "gnvp: the vector array[2] does not have the shape of x[3]",
        ),
        (
            lambda x, y, f: sb.fisher(-sb.sum((x - y) ** 2 * sb.exp(x)), x, x, mean={y: x[:2]}),
            ShapeError,
            "fisher: the mean slice(x)[2] does not have the shape of y[3]",
        ),
        (
            lambda x, y, f: sb.fisher(-sb.sum((x - y) ** 2 * sb.exp(x)), x, x, mean={y: x}),
            NotDifferentiableError,
            (
                "fisher: the derivative of log p is not affine in y[3], so the mean does not tell the expectation; "
                "give log p by its natural parameters"
            ),
        ),
        (
            lambda x, y, f: sb.fisher(f, x, x, mean={"y": x}),
            NotDifferentiableError,
            "fisher: the target at position 0 is str, not an expression",
        ),
    ],
)
def test_messages(call, error, message):
    x, y = sb.symbols("x[3] y[3]")
    with pytest.raises(error) as caught:
        call(x, y, sb.sum(sb.exp(x)))
    assert str(caught.value) == message

"""Factorisations in compiled code: how often a matrix is factored for value and gradient, and that values are right."""

import re
from collections import Counter

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.expr import Expr

RNG = np.random.default_rng(0)
N, D, M = 5, 2, 3
FACTORISATIONS = ("cholesky", "det", "eigh", "eigvalsh", "inv", "pinv", "qr", "slogdet", "solve", "svd", "svdvals")


def calls(source: str) -> dict[str, int]:
    """How often the function calls what factors a matrix; substitution, by a helper, does not."""
    body = source.rpartition("\ndef f(")[2]
    found = Counter(re.findall(r"np\.linalg\.(\w+)\(", body)) + Counter(re.findall(r"\b(solve_triangular)\(", body))
    return {name: count for name, count in found.items() if name in {*FACTORISATIONS, "solve_triangular"}}


def definite(n: int) -> np.ndarray:
    half = RNG.normal(size=(n, n + 2))
    return half @ half.T / n + np.eye(n)


def compiled(inputs: dict[Expr, object], value: Expr, targets: list[Expr]) -> dict[str, int]:
    """Compile value and gradient, check the gradient along a direction by differences, and count."""
    gradients = sb.grad(value, targets)
    function = sb.compile(list(inputs), [value, *gradients])
    arrays = [np.asarray(array, dtype=np.float64) for array in inputs.values()]
    directions = []
    for symbol, array in zip(inputs, arrays, strict=True):
        drawn = RNG.normal(size=array.shape) * any(symbol is target for target in targets)
        symmetric = array.ndim == 2 and np.array_equal(array, array.T)
        directions.append(drawn + drawn.T if symmetric else drawn)
    ends = [
        function(*(array + step * direction for array, direction in zip(arrays, directions, strict=True)))[0]
        for step in (1e-6, -1e-6)
    ]
    found = function(*arrays)
    along = [direction for symbol, direction in zip(inputs, directions, strict=True) if symbol in targets]
    slope = sum(np.sum(g * direction) for g, direction in zip(found[1:], along, strict=True))
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-6, rtol=1e-6)
    np.testing.assert_allclose(found[0], sb.evaluate(value, dict(zip(inputs, arrays, strict=True))), rtol=1e-10)
    return calls(function.source)


# --- log-densities --------------------------------------------------------------------------------------------


def by_cholesky(S: Expr, r: Expr) -> Expr:
    L = sb.linalg.cholesky(S)
    z = sb.linalg.solve(L, r)
    return -0.5 * z @ z - sb.sum(sb.log(sb.diag(L)))


def by_systems(S: Expr, r: Expr) -> Expr:
    return -0.5 * r @ sb.linalg.solve(S, r) - 0.5 * sb.linalg.slogdet(S).logabsdet


def by_inverse(S: Expr, r: Expr) -> Expr:
    return -0.5 * r @ sb.linalg.inv(S) @ r - 0.5 * sb.log(sb.linalg.det(S))


@pytest.mark.parametrize(
    ("density", "declared", "by_mean", "by_all"),
    [
        (by_cholesky, False, {"cholesky": 1, "solve_triangular": 2}, {"cholesky": 1, "solve_triangular": 4}),
        (by_cholesky, True, {"cholesky": 1, "solve_triangular": 2}, {"cholesky": 1, "solve_triangular": 4}),
        (by_systems, True, {"cholesky": 1, "solve_triangular": 2}, {"cholesky": 1, "solve_triangular": 1}),
        (by_inverse, True, {"cholesky": 1, "solve_triangular": 2}, {"cholesky": 1, "solve_triangular": 1}),
        (by_systems, False, {"slogdet": 1, "solve": 2}, {"slogdet": 1, "inv": 1}),
    ],
    ids=["cholesky", "cholesky, declared", "systems, declared", "inverse, declared", "systems"],
)
def test_a_gaussian_density_and_its_gradient_factor_the_covariance_once(density, declared, by_mean, by_all):
    """Of the derivative by S the inverse is a part. With NumPy alone LU factors cannot be shared, Cholesky's can."""
    with sb.Graph():
        _check_density(density, declared, by_mean, by_all)


def _check_density(density, declared, by_mean, by_all):
    y, mu, S = sb.symbols("y[N] mu[N] S[N,N]")
    if declared:
        sb.assume(S, positive_definite=True)
    values = {y: RNG.normal(size=N), mu: RNG.normal(size=N), S: definite(N)}
    assert compiled(values, density(S, y - mu), [mu]) == by_mean
    assert compiled(values, density(S, y - mu), [mu, S]) == by_all


def test_a_gaussian_process_factors_its_kernel_once():
    """The value log p(t) and its gradient by the parameters of the kernel: one Cholesky factor, and no inverse."""
    X, t, length, size, noise = sb.symbols("X[N,D] t[N] length size noise")
    squares = sb.sum((X[:, None, :] - X[None, :, :]) ** 2, axis=-1)
    K = size**2 * sb.exp(-0.5 * squares / length**2) + noise**2 * sb.eye("N")
    L = sb.linalg.cholesky(K)
    alpha = sb.linalg.solve(L.T, sb.linalg.solve(L, t))
    value = -0.5 * t @ alpha - sb.sum(sb.log(sb.diag(L))) - sb.size_of("N") / 2 * np.log(2 * np.pi)
    values = {X: RNG.normal(size=(N, D)), t: RNG.normal(size=N), length: 1.3, size: 0.8, noise: 0.4}
    assert compiled(values, value, [length, size, noise]) == {"cholesky": 1, "solve_triangular": 4}


@pytest.mark.parametrize("inverse", [False, True], ids=["solve", "inv"])
def test_a_step_of_a_kalman_filter_factors_the_covariance_of_the_innovation_once(inverse):
    F, H, Q, R, P, x, z = sb.symbols("F[N,N] H[M,N] Q[N,N] R[M,M] P[N,N] x[N] z[M]")
    for covariance in (Q, R, P):
        sb.assume(covariance, positive_definite=True)
    predicted, spread = F @ x, F @ P @ F.T + Q
    v, S = z - H @ predicted, H @ spread @ H.T + R
    if inverse:
        gain, square = spread @ H.T @ sb.linalg.inv(S), v @ sb.linalg.inv(S) @ v
    else:
        gain, square = sb.linalg.solve(S, H @ spread).T, v @ sb.linalg.solve(S, v)
    log_likelihood = -0.5 * square - 0.5 * sb.linalg.slogdet(S).logabsdet
    values = {
        F: np.eye(N) + 0.1 * RNG.normal(size=(N, N)), H: RNG.normal(size=(M, N)), Q: definite(N), R: definite(M),
        P: definite(N), x: RNG.normal(size=N), z: RNG.normal(size=M),
    }  # fmt: skip
    found = compiled(values, log_likelihood, [F, H, Q, R])
    assert found.pop("cholesky") == 1
    assert found.keys() == {"solve_triangular"}
    step = sb.compile(list(values), [predicted + gain @ v, spread - gain @ H @ spread, log_likelihood])
    found = calls(step.source)
    assert found.pop("cholesky") == 1
    assert found.keys() == {"solve_triangular"}
    mean, covariance, _ = step(*values.values())
    Sv = values[H] @ (spread_v := values[F] @ values[P] @ values[F].T + values[Q]) @ values[H].T + values[R]
    gain_v = spread_v @ values[H].T @ np.linalg.inv(Sv)
    innovation = values[z] - values[H] @ values[F] @ values[x]
    np.testing.assert_allclose(mean, values[F] @ values[x] + gain_v @ innovation, rtol=1e-10)
    np.testing.assert_allclose(covariance, spread_v - gain_v @ values[H] @ spread_v, rtol=1e-10, atol=1e-12)


# --- no inverse to multiply with ----------------------------------------------------------------------------------


def normal(T: Expr, y: Expr) -> Expr:
    return -0.5 * y @ sb.linalg.solve(T, y) - 0.5 * sb.linalg.slogdet(T).logabsdet


PRODUCTS = {  # the value, what it is differentiated by, and the factorisations in code for value and gradient
    "normal, by a factor of the covariance": (
        lambda A, B, C, P, s, x, y: normal(C @ C.T + s * sb.eye("M"), y), "C", {"slogdet": 1, "solve": 1},
    ),
    "Kalman filter, by what the covariance is made of": (
        lambda A, B, C, P, s, x, y: normal(C @ A @ C.T + P, y), "AC", {"slogdet": 1, "solve": 2},
    ),
    "Kalman gain": (
        lambda A, B, C, P, s, x, y: sb.sum((A @ C.T @ sb.linalg.inv(C @ A @ C.T + P) @ y) ** 2), "ACP", {"solve": 2},
    ),
    "determinant of a Schur complement": (
        lambda A, B, C, P, s, x, y: sb.linalg.slogdet(P + C @ sb.linalg.solve(A, C.T)).logabsdet, "AC",
        {"slogdet": 1, "solve": 4},
    ),
    "sum with an inverse": (
        lambda A, B, C, P, s, x, y: sb.sum(((s * sb.linalg.inv(A).T - B / 3) @ x) ** 2), "ABs", {"solve": 3},
    ),
    "difference from two inverses": (
        lambda A, B, C, P, s, x, y: sb.sum((x @ (B - sb.linalg.inv(A) / s - sb.linalg.inv(B))) ** 2), "A", {"solve": 3},
    ),
    "Cayley transform": (
        lambda A, B, C, P, s, x, y: sb.sum((sb.linalg.inv(sb.eye("N") + A) @ (sb.eye("N") - A) @ x) ** 3), "A",
        {"solve": 2},
    ),
    "trace": (lambda A, B, C, P, s, x, y: sb.trace(sb.linalg.inv(A) @ B) ** 2, "AB", {"inv": 1}),
    "normal, by the covariance": (lambda A, B, C, P, s, x, y: normal(P, y), "P", {"slogdet": 1, "inv": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", PRODUCTS)
def test_an_inverse_is_formed_only_where_its_elements_are_asked_for(name):
    """The last two derivatives have the inverse as a term."""
    build, targets, expected = PRODUCTS[name]
    symbols = dict(zip("ABCPsxy", sb.symbols("A[N,N] B[N,N] C[M,N] P[M,M] s x[N] y[M]"), strict=True))
    arrays = {
        "A": definite(N) + 0.1 * RNG.normal(size=(N, N)), "B": definite(N), "C": RNG.normal(size=(M, N)),
        "P": definite(M) + 0.1 * RNG.normal(size=(M, M)), "s": 0.7, "x": RNG.normal(size=N), "y": RNG.normal(size=M),
    }  # fmt: skip
    value = build(*symbols.values())
    assert (
        compiled({symbols[name]: arrays[name] for name in symbols}, value, [symbols[name] for name in targets])
        == expected
    )


def test_sums_with_inverses_that_share_terms_are_multiplied_out_term_by_term():
    """Path by path there would be 2⁴⁰ terms."""
    A, x = sb.symbols("A[N,N] x[N]")
    total = sb.linalg.inv(A)
    for _ in range(40):
        total = (total + total.T) / 2
    function = sb.compile([A, x], total @ x)
    assert calls(function.source) == {"solve": 2}
    a, v = definite(N) + 0.1 * RNG.normal(size=(N, N)), RNG.normal(size=N)
    inverse = np.linalg.inv(a)
    np.testing.assert_allclose(function(a, v), (inverse + inverse.T) @ v / 2, rtol=1e-10)


@pytest.mark.parametrize("kind", ["uint8", "int8", "bool"])
@pytest.mark.parametrize(
    "build",
    [
        lambda k, m, I, B: B - k * I,
        lambda k, m, I, B: k * I + k * I.T + B,
        lambda k, m, I, B: k * (m * I) + B,
        lambda k, m, I, B: -(k * I) / m - B,
    ],
)
def test_multiples_by_integers_do_not_wrap_around(build, kind):
    A, B, x = sb.symbols("A[N,N] B[N,N] x[N]", dtype="float32")
    k, m = sb.symbols("k m", dtype=kind)
    function = sb.compile([A, B, x, k, m], build(k, m, sb.linalg.inv(A), B) @ x)
    a, b, v = (array.astype("float32") for array in (definite(N), definite(N), RNG.normal(size=N)))
    numbers = np.array([100, 3]).astype(kind)
    expected = build(*numbers, np.linalg.inv(a), b) @ v
    found = function(a, b, v, *numbers)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_many_products_with_longer_and_longer_sums_of_inverses_are_left_as_they_are():
    """Multiplied out, there would be a system to solve for each pair."""
    count = 60
    x, *matrices = sb.symbols("x[N] " + " ".join(f"A{k}[N,N]" for k in range(count)))
    total, value = matrices[0], x
    for matrix in matrices:
        total = total + sb.linalg.inv(matrix)
        value = value + sb.sin(total @ value)
    assert calls(sb.compile([x, *matrices], value).source) == {"inv": count}


@pytest.mark.parametrize("shape", [(5, N, 2), (3, 5, N, 1), (0, N, 2)], ids=str)
def test_a_stack_of_systems_with_one_matrix_factors_it_once(shape):
    A, X = sb.symbol("A", ("N", "N")), sb.symbol("X", (*"BCD"[: len(shape) - 2], "N", "K"))
    Xt = sb.linalg.matrix_transpose(X)
    outputs = [sb.linalg.inv(A) @ X, sb.linalg.solve(A, X), Xt @ sb.linalg.inv(A), Xt @ (sb.linalg.inv(A).T + A)]
    a, x = definite(N) + 0.1 * RNG.normal(size=(N, N)), RNG.normal(size=shape)
    xt, inverse = np.swapaxes(x, -1, -2), np.linalg.inv(a)
    for output, right in zip(outputs, [inverse @ x, inverse @ x, xt @ inverse, xt @ (inverse.T + a)], strict=True):
        function = sb.compile([A, X], output)
        assert calls(function.source) == {"solve": 1}
        assert re.search(r"solve\(A(?:\.T)?, .*\.reshape\(\(N, ", function.source)
        np.testing.assert_allclose(function(a, x), right, rtol=1e-9, atol=1e-12)


# --- one decomposition ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parts", "weigh"),
    [
        ("eigh", sb.linalg.eigh, lambda w, V: sb.sum(w**3) + sb.sum(V[0] ** 4)),
        ("svd", sb.linalg.svd, lambda U, s, Vh: sb.sum(s**3) + sb.sum(U[0] ** 4) + sb.sum(Vh[1] ** 4)),
        ("qr", sb.linalg.qr, lambda Q, R: sb.sum(R**3) + sb.sum(Q[0] ** 3)),
    ],
)
def test_a_matrix_is_decomposed_once_for_all_parts_and_the_gradient(name, parts, weigh):
    A = sb.symbol("A", ("N", "N"))
    found = parts(A)
    gradient = sb.grad(weigh(*found), A)
    function = sb.compile([A], [*found, gradient])
    assert calls(function.source).pop(name) == 1
    assert sum(count for what, count in calls(function.source).items() if what in FACTORISATIONS) == 1
    for _ in range(2):  # the second call finds buffers that the first has left
        array = RNG.normal(size=(N, N))
        for result, expr in zip(function(array), [*found, gradient], strict=True):
            np.testing.assert_allclose(result, sb.evaluate(expr, {A: array}), rtol=1e-8, atol=1e-10)


def test_the_parts_of_a_determinant_come_from_one_call():
    A = sb.symbol("A", ("N", "N"))
    function = sb.compile([A], list(sb.linalg.slogdet(A)))
    assert calls(function.source) == {"slogdet": 1}
    np.testing.assert_allclose(function(-np.eye(3)), [-1.0, 0.0])


def test_least_squares_and_its_gradient_take_one_decomposition():
    X, y = sb.symbols("X[N,D] y[N]")
    values = {X: RNG.normal(size=(N, D)), y: RNG.normal(size=N)}
    assert compiled(values, sb.sum(sb.linalg.lstsq(X, y).x ** 3), [X, y]) == {"pinv": 1}


# --- definite matrices ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 5, 150], ids=str)
def test_what_is_asked_of_a_definite_matrix_comes_from_its_factor(n):
    P, b, B = sb.assume(sb.symbol("P", ("N", "N")), positive_definite=True), *sb.symbols("b[N] B[N,K]")
    outputs = [
        sb.linalg.slogdet(P).logabsdet, sb.linalg.solve(P, b), sb.linalg.solve(P, B), sb.linalg.cholesky(P),
        sb.linalg.det(P),
    ]  # fmt: skip
    values = {P: definite(n) / 2, b: RNG.normal(size=n), B: RNG.normal(size=(n, 2))}
    for asked in (outputs, [*outputs, sb.linalg.inv(P)]):
        function = sb.compile(list(values), asked)
        assert calls(function.source).pop("cholesky") == 1
        assert calls(function.source).keys() <= {"cholesky", "solve_triangular"}
        for found, expr in zip(function(*values.values()), asked, strict=True):
            np.testing.assert_allclose(found, sb.evaluate(expr, values), rtol=1e-9, atol=1e-12)


def test_stacks_of_definite_matrices_are_factored_once_too():
    X, b = sb.symbol("X", ("K", "N", "D")), sb.symbol("b", ("K", "N", 1))
    A = X @ sb.linalg.matrix_transpose(X)
    L = sb.linalg.cholesky(A)
    outputs = [sb.linalg.solve(L, b), sb.linalg.solve(sb.linalg.matrix_transpose(L), b)]
    function = sb.compile([X, b], outputs)
    assert calls(function.source) == {"cholesky": 1, "solve_triangular": 2}
    values = {X: RNG.normal(size=(4, 3, 5)), b: RNG.normal(size=(4, 3, 1))}
    for found, expr in zip(function(*values.values()), outputs, strict=True):
        np.testing.assert_allclose(found, sb.evaluate(expr, values), rtol=1e-10)


def test_systems_with_one_matrix_that_do_not_wait_for_each_other_are_solved_as_one():
    A, b, c, B, C = sb.symbols("A[N,N] b[N] c[N] B[N,K] C[N,J]")
    x = sb.linalg.solve(A, b)

    outputs = [
        x,
        sb.linalg.solve(A, C),
        sb.linalg.solve(A, B),
        sb.linalg.solve(A, c),
        sb.linalg.solve(A, x + c),
        sb.linalg.solve(A, x * c),
        sb.linalg.solve(A.T, c),
    ]
    values = {symbol: RNG.normal(size=(N, N)[: symbol.ndim]) for symbol in (A, b, c)}
    values |= {B: RNG.normal(size=(N, 2)), C: RNG.normal(size=(N, 3))}
    function = sb.compile(list(values), outputs)
    assert calls(function.source) == {"solve": 3}
    for _ in range(2):
        found = function(*values.values())
        for one, expr in zip(found, outputs, strict=True):
            np.testing.assert_allclose(one, sb.evaluate(expr, values), rtol=1e-9)
        for position in range(len(found)):
            found[position] *= 0  # results are fresh arrays


def test_one_system_with_a_definite_matrix_is_solved_as_it_is():
    P, b = sb.assume(sb.symbol("P", ("N", "N")), positive_definite=True), sb.symbol("b", "N")
    assert calls(sb.compile([P, b], sb.linalg.solve(P, b)).source) == {"solve": 1}


@pytest.mark.parametrize("side", [(), (3,)], ids=["vector", "matrix"])
@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("n", [0, 1, 128, 129, 200], ids=str)
def test_substitution_in_blocks_solves_what_it_is_given(n, lower, unit, side):
    """The residual is as small as rounding, and the other triangle, here NaN, is not read."""
    triangle, other = (np.tril, np.triu) if lower else (np.triu, np.tril)
    whole = RNG.normal(size=(n, n)) / max(n, 1) + np.eye(n)
    b = RNG.normal(size=(n, *side))
    A, B = sb.symbol("A", ("N", "N")), sb.symbol("B", ("N", *side))
    function = sb.compile([A, B], sb.linalg.solve_triangular(A, B, lower=lower, unit_diagonal=unit))
    x = function(np.where(other(np.ones((n, n)), 1 if lower else -1) > 0, np.nan, whole), b)
    matrix = np.where(np.eye(n) > 0, 1.0, triangle(whole)) if unit else triangle(whole)
    np.testing.assert_allclose(matrix @ x, b, rtol=1e-9, atol=1e-12)

"""Sums of outer products are multiplied as the vectors they are made of."""

import numpy as np
import pytest

import symbackprop as sb

u, v, w, z, x, s, A, B, C = sb.symbols("u[N] v[M] w[N] z[M] x[K] s A[K,N] B[M,K] C[N,N]")
INPUTS = [u, v, w, z, x, s, A, B, C]
L = sb.outer(u, v)
P = L - sb.outer(w, z) / s
SIZES = {"N": 1000, "M": 1000, "K": 1000}

PRODUCTS = {
    "on the right": [A @ P],
    "on the left": [P @ B],
    "from both sides": [sb.sin(A @ P @ B)],
    "of the transpose": [P.T @ A.T, B.T @ P.T],
    "with a multiple": [A @ (2 * P - s * L)],
    "with a sum of one operand twice": [A @ (P + P)],
    "with a vector": [sb.tanh(P) @ z, P @ z, u @ P],
    "with another": [P @ (sb.outer(v, u) + 2 * sb.outer(z, w))],
    "with one that is asked for too": [A @ L, -L],
    "with one that is a product": [A @ L @ B, -(L @ B), x @ (L @ B).T],
}
SHORT = D, a, b = [sb.symbol(name, (3, 3)[: 1 + (name == "D")]) for name in "Dab"]
KEPT = {
    "a sum with another matrix": [A @ (P + (A.T @ B.T))],
    "an outer product that nothing else uses": [A @ L],
    "too many": [sum((sb.outer(sb.sin(k * u), v) for k in range(9)), start=L).T @ C],
    "short axes": [D @ (sb.outer(a, b) + sb.outer(b, b))],
}


def values(seed=0, **sizes):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=tuple(sizes[str(size)] for size in symbol.shape)) for symbol in INPUTS]


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_with_sums_of_outer_products_take_as_many_operations_as_a_matrix_has_elements(name):
    function = sb.compile(INPUTS, PRODUCTS[name])
    flops = {row.name: row.flops for row in function.report().rows}["gather"]
    assert flops.value(SIZES) < 60 * 1000**2
    for sizes in ({"N": 4, "M": 3, "K": 5}, {"N": 1, "M": 2, "K": 0}):
        arrays = values(**sizes)
        for found, expr in zip(function(*arrays), PRODUCTS[name], strict=True):
            np.testing.assert_allclose(
                found, sb.evaluate(expr, dict(zip(INPUTS, arrays, strict=True))), rtol=1e-9, atol=1e-12
            )


@pytest.mark.parametrize("name", KEPT)
def test_others_stay(name):
    inputs = SHORT if name == "short axes" else INPUTS
    assert sb.compile(inputs, KEPT[name]).source == sb.compile(inputs, KEPT[name], skip=["rank"]).source


def test_systems_are_solved_with_vectors():
    right = sb.linalg.solve(C, sb.outer(u, v) + sb.outer(w, z))
    function = sb.compile([C, u, v, w, z], right)
    assert function.source.count("np.linalg.solve(") == 1
    assert "np.linalg.solve(C, np.concatenate((u[:, None], w[:, None]), axis=1))" in function.source
    rng = np.random.default_rng(1)
    c, (a, b) = rng.normal(size=(4, 4)), (rng.normal(size=(2, 4)), rng.normal(size=(2, 3)))
    expected = np.linalg.solve(c, np.outer(a[0], b[0]) + np.outer(a[1], b[1]))
    np.testing.assert_allclose(function(c, a[0], b[0], a[1], b[1]), expected, rtol=1e-9)


def test_the_derivative_of_a_difference_of_quadratic_forms_is_made_of_vectors():
    """Two systems with three right sides each, where the sum of outer products has N."""
    S, m, n, y = sb.symbols("S[N,N] m[N] n[N] y[N]")
    inverse = sb.linalg.inv(S)
    value = (m - n) @ inverse @ y - (m @ inverse @ m - n @ inverse @ n) / 2
    function = sb.compile([S, m, n, y], [value, sb.grad(value, S)])
    assert function.source.count("np.linalg.solve(") == 2
    assert ".T)" not in function.source.partition("dS = ")[2]
    flops = {row.name: row.flops for row in function.report().rows}["factor"]
    assert flops.value({"N": 1000}) < 2 * (2 / 3 + 0.02) * 1000**3

"""Jacobians, Hessians and what is made of them: every op, random expressions, and the textbook's functions."""

from __future__ import annotations

import numpy as np
import pytest

import symbackprop as sb
from tests.test_ops import build, differentiable, each_application, sample

# --- both modes -----------------------------------------------------------------------------------------------


@each_application
def test_a_jacobian_is_its_rows_and_columns_whatever_the_mode(app):
    """Pull-backs of basis vectors are the rows, push-forwards of basis vectors the columns."""
    arrays = sample(app)
    y, xs = build(app, arrays)
    targets = differentiable(app, xs)
    if y.dtype.kind != "f" or not targets:
        return
    values = dict(zip(xs, arrays, strict=True))
    wanted = [xs[k] for k in targets]
    reverse, forward = (sb.jacobian(y, wanted, mode=mode) for mode in ("reverse", "forward"))
    basis = [np.reshape(row, y.shape) for row in np.eye(y.size)]
    for x, one, other in zip(wanted, reverse, forward, strict=True):
        assert one.shape == other.shape == y.shape + x.shape
        assert one.dtype == other.dtype == x.dtype
        found = sb.evaluate(one, values)
        np.testing.assert_allclose(sb.evaluate(other, values), found, rtol=1e-11, atol=1e-13)
        cotangent, tangent = sb.symbol("cotangent", y.shape), sb.symbol("tangent", x.shape)
        row, column = sb.vjp(y, x, cotangent), sb.jvp(y, x, tangent)
        for at, e in zip(np.ndindex(*y.shape), basis, strict=True):
            np.testing.assert_allclose(found[at], sb.evaluate(row, {**values, cotangent: e}), rtol=1e-11, atol=1e-13)
        for at in np.ndindex(*x.shape):
            e = np.zeros(x.shape)
            e[at] = 1
            np.testing.assert_allclose(
                found[(..., *at)], sb.evaluate(column, {**values, tangent: e}), rtol=1e-11, atol=1e-13
            )


@pytest.mark.parametrize(
    ("y_shape", "x_shape", "mode"),
    [
        ((3,), (), "forward"),
        ((3,), (2,), "forward"),
        ((2,), (2,), "reverse"),
        ((2,), (3,), "reverse"),
        ((), (3,), "reverse"),
        (("N",), (), "forward"),
        (("N", "D"), ("D",), "forward"),
        (("N",), ("N", "D"), "reverse"),
        (("N",), ("D",), "reverse"),
        (("N",), (3,), "reverse"),
    ],
    ids=str,
)
def test_auto_goes_forward_where_the_inputs_are_known_to_be_fewer(y_shape, x_shape, mode):
    x, A = sb.symbol("x", x_shape), sb.symbol("A", y_shape)
    y = A * sb.sum(sb.sin(x))
    found, expected = (str(sb.jacobian(y, x, mode=each)) for each in ("auto", mode))
    assert found == expected
    with sb.Graph() as graph:
        x, A = sb.symbol("x", x_shape), sb.symbol("A", y_shape)
        y = A * sb.sum(sb.sin(x))
        before = set(graph.nodes)
        J = sb.jacobian(y, x, mode="auto")
        sizes = [
            node.shape[0] for number, node in graph.nodes.items() if number not in before and node.op.name == "eye"
        ]
    assert J.shape == y.shape + x.shape
    identity = x.size if mode == "forward" else y.size
    assert sizes == ([identity] if identity != 1 else [])


# --- blocks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["reverse", "forward", "auto"])
def test_a_hessian_of_several_is_a_matrix_of_blocks(mode):
    """The bilinear form: f = xᵀAy + Σ exp(x) + s²‖y‖²."""
    x, A, y, s = sb.symbols("x[N] A[N,M] y[M] s")
    f = x @ A @ y + sb.sum(sb.exp(x)) + s**2 * sb.sum(y * y)
    H = sb.hessian(f, [x, y, s], mode=mode)
    rng = np.random.default_rng(0)
    xv, Av, yv, sv = rng.normal(size=3), rng.normal(size=(3, 2)), rng.normal(size=2), 0.7
    expected = [
        [np.diag(np.exp(xv)), Av, np.zeros(3)],
        [Av.T, 2 * sv**2 * np.eye(2), 4 * sv * yv],
        [np.zeros(3), 4 * sv * yv, 2 * yv @ yv],
    ]
    compiled = sb.compile([x, A, y, s], H)(xv, Av, yv, sv)
    for i, j in np.ndindex(3, 3):
        assert H[i][j].shape == [x, y, s][i].shape + [x, y, s][j].shape
        found = sb.evaluate(H[i][j], {x: xv, A: Av, y: yv, s: sv})
        np.testing.assert_allclose(found, expected[i][j], rtol=1e-13)
        np.testing.assert_allclose(compiled[i][j], expected[i][j], rtol=1e-13)


def test_a_hessian_of_one_in_a_list_is_one_block():
    x = sb.symbol("x", 3)
    f = sb.sum(sb.sin(x))
    ((block,),) = sb.hessian(f, [x])
    np.testing.assert_array_equal(sb.evaluate(block, {x: [1, 2, 3]}), sb.evaluate(sb.hessian(f, x), {x: [1, 2, 3]}))


def test_products_with_lists_are_those_of_the_blocks():
    """jvp, vjp and hvp of several inputs and outputs against the matrices that they multiply by."""
    U, V, T, b = sb.symbols("U[4,2] V[3,2] T[4,3] b")
    residual, size = T - U @ V.T + b, sb.sum(U * U, axis=1)
    f = sb.sum(residual**2) + b * sb.sum(sb.exp(size))
    xs = [U, V, b]
    rng = np.random.default_rng(1)
    values = {U: rng.normal(size=(4, 2)), V: rng.normal(size=(3, 2)), T: rng.normal(size=(4, 3)), b: rng.normal()}
    v = [rng.normal(size=np.shape(values[x])) for x in xs]

    def times(matrix, vector):
        return np.tensordot(sb.evaluate(matrix, values), vector, axes=np.ndim(vector))

    H = sb.hessian(f, xs)
    for row, found in zip(H, sb.hvp(f, xs, v), strict=True):
        expected = sum(times(block, each) for block, each in zip(row, v, strict=True))
        np.testing.assert_allclose(sb.evaluate(found, values), expected, rtol=1e-11)
    ys = [residual, size]
    J = [sb.jacobian(y, xs, unused="zeros") for y in ys]
    for row, found in zip(J, sb.jvp(ys, xs, v), strict=True):
        expected = sum(times(block, each) for block, each in zip(row, v, strict=True))
        np.testing.assert_allclose(sb.evaluate(found, values), expected, rtol=1e-11)
    u = [rng.normal(size=(4, 3)), rng.normal(size=4)]
    for j, found in enumerate(sb.vjp(ys, xs, u)):
        expected = sum(
            np.tensordot(each, sb.evaluate(row[j], values), axes=each.ndim) for row, each in zip(J, u, strict=True)
        )
        np.testing.assert_allclose(sb.evaluate(found, values), expected, rtol=1e-11)


def test_an_output_that_leads_to_another_counts_twice():
    x = sb.symbol("x", 3)
    y = sb.sin(x)
    z = y * y
    found = sb.evaluate(sb.vjp([y, z, y], x, [np.ones(3), np.full(3, 2.0), np.full(3, 3.0)]), {x: [0.1, 0.2, 0.3]})
    at = np.array([0.1, 0.2, 0.3])
    np.testing.assert_allclose(found, (4 + 4 * np.sin(at)) * np.cos(at), rtol=1e-14)


def test_several_tangents_go_through_in_one_walk():
    """A deep network moved in all its weights costs what it costs moved in one of them, up to a constant."""
    counts = []
    for depth in (10, 20, 40):
        with sb.Graph():
            h = sb.symbol("x", 3)
            weights = [sb.symbol(f"W{layer}", (3, 3)) for layer in range(depth)]
            for W in weights:
                h = sb.tanh(W @ h)
            counts.append(sb.jvp(h, weights, [np.ones((3, 3))] * depth).count().graph)
    assert counts[2] - counts[1] == 2 * (counts[1] - counts[0])

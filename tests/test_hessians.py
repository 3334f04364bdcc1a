"""Jacobians, Hessians and what is made of them: every op, random expressions, and the textbook's functions."""

from __future__ import annotations

import itertools
import re
import warnings

import mpmath
import numpy as np
import pytest

import symbackprop as sb
from symbackprop import dims, precise
from symbackprop.errors import NotTrainableWarning, ShapeError
from tests.benchmarks import peers
from tests.benchmarks.hessians import FUNCTIONS, PROBLEMS
from tests.random_graphs import random_loss
from tests.test_ops import build, differentiable, each_application, sample

MODES = ("reverse", "forward", "auto")


def slopes(outputs, values, moves):
    """The derivatives of expressions along a direction, by centred differences of 30 digits, exact to some 18."""
    exact, step = np.vectorize(mpmath.mpf, otypes=[object]), mpmath.mpf("1e-10")
    with mpmath.workdps(30):
        ahead, behind = (
            precise.evaluate(
                outputs, {**values, **{x: exact(values[x]) + sign * step * exact(v) for x, v in moves.items()}}, 30
            )
            for sign in (1, -1)
        )
        return [np.asarray((a - b) / (2 * step)).astype(float) for a, b in zip(ahead, behind, strict=True)]


def assert_close(found, expected, rtol):
    """Compare up to a share of the largest element, or of 1."""
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * np.max(np.abs(expected), initial=1.0))


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


@pytest.mark.parametrize("mode", MODES)
def test_derivatives_have_the_dtype_of_what_is_differentiated_by(mode):
    x, y = sb.symbol("x", 3, "float32"), sb.symbol("y", 2)
    f = sb.sum(x * x).astype("float64") * sb.sum(y**3)
    H = sb.hessian(f, [x, y], mode=mode)
    G = sb.gauss_newton(f, [y, x], [x, y], mode=mode)
    xv, yv = np.array([0.5, -1, 2], "float32"), np.array([1.5, -0.5])
    expected = [
        [2 * (yv**3).sum() * np.eye(3), 6 * np.outer(xv, yv**2)],
        [6 * np.outer(yv**2, xv), 6 * (xv @ xv) * np.diag(yv)],
    ]
    for i, j in np.ndindex(2, 2):
        for block in (H[i][j], G[i][j]):
            assert block.dtype == [x, y][j].dtype
            np.testing.assert_allclose(sb.evaluate(block, {x: xv, y: yv}), expected[i][j], rtol=1e-6)
    for target, J in zip([x, y], sb.jacobian(sb.sum(y) * x, [x, y], mode=mode), strict=True):
        assert J.dtype == target.dtype


@pytest.mark.parametrize("mode", MODES)
def test_arrays_without_elements_have_derivatives_without_elements(mode):
    x, y = sb.symbol("x", (0, 2)), sb.symbol("y", 3)
    values = {x: np.zeros((0, 2)), y: np.ones(3)}
    H = sb.hessian(sb.sum(x**2) + sb.sum(y**2), [x, y], mode=mode)
    assert sb.evaluate(H[0][0], values).shape == (0, 2, 0, 2)
    assert sb.evaluate(H[1][0], values).shape == (3, 0, 2)
    np.testing.assert_array_equal(sb.evaluate(H[1][1], values), 2 * np.eye(3))
    assert sb.evaluate(sb.jacobian(sb.sin(x), x, mode=mode), values).shape == (0, 2, 0, 2)


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


# --- the textbook's functions -----------------------------------------------------------------------------------

DIFFERENT = list({(problem.name, problem.wrt): problem for problem in PROBLEMS}.values())
each_problem = pytest.mark.parametrize("problem", DIFFERENT, ids=lambda problem: f"{problem.name} by {problem.wrt}")


@each_problem
@pytest.mark.parametrize("mode", MODES)
def test_hessians_of_the_textbook_are_those_closed_by_hand(problem, mode):
    """As built, step by step, and compiled; with the sizes as names and as numbers; symmetric."""
    values = problem.values(problem.small)
    by_hand = problem.by_hand(values)
    for named in (True, False):
        with sb.Graph():
            xs = [sb.symbol(name, shape if named else values[name].shape) for name, shape in problem.shapes().items()]
            symbols = dict(zip(values, xs, strict=True))
            H = sb.hessian(problem.value(FUNCTIONS, **symbols), symbols[problem.wrt], mode=mode)
            assert H.shape == symbols[problem.wrt].shape * 2
            found = sb.evaluate(H, {symbols[name]: value for name, value in values.items()})
            assert_close(found, by_hand, 1e-12)
            square = np.reshape(found, (values[problem.wrt].size, -1))
            assert_close(square, square.T, 1e-14)
            if not named:
                assert_close(sb.compile(xs, H)(*values.values()), by_hand, 1e-12)


@each_problem
def test_hessians_of_the_textbook_are_those_of_jax(problem):
    pytest.importorskip("jax")
    (maker,) = (make for name, make in peers.installed(1).items() if name.startswith("JAX "))
    values = problem.values(problem.small)
    with sb.Graph():
        inputs, H = problem.expressions()
        found = sb.compile(inputs, H)(*values.values())
    for _, peer in maker(problem, values):
        assert_close(found, np.reshape(peer.numbers(peer.call()), found.shape), 1e-9)


# --- random expressions ---------------------------------------------------------------------------------------

SIZES = {"N": 3, "D": 2, "K": 2}
UNARY = (
    sb.tanh,
    sb.sin,
    sb.sigmoid,
    sb.softplus,
    sb.erf,
    lambda a: sb.exp(-a * a),
    lambda a: sb.sqrt(1 + a * a),
    lambda a: sb.log1p(a**2),
    lambda a: sb.abs(a) * a,
)
BINARY = (
    lambda a, b: a * b,
    lambda a, b: a - 0.5 * b,
    lambda a, b: a / (1 + b * b),
    lambda a, b: a @ b,
    sb.maximum,
    lambda a, b: sb.where(a > 0.1, a, b),
    lambda a, b: sb.stack([a, b], axis=-1),
    lambda a, b: sb.concatenate([a, b], axis=-1),
    sb.outer,
)
REDUCE = (
    sb.sum,
    sb.mean,
    sb.max,
    sb.prod,
    sb.logsumexp,
    sb.linalg.norm,
    lambda a, axis: sb.softmax(a, axis=axis),
    lambda a, axis: sb.log_softmax(a, axis=axis),
    lambda a, axis: sb.mean(a, axis=axis, keepdims=True),
)
LAYOUT = (
    lambda a: a.T,
    lambda a: a[..., ::-1],
    lambda a: a[1:],
    lambda a: a[..., 0],
    lambda a: a[:, None],
    lambda a: sb.reshape(a, -1),
    lambda a: sb.expand_dims(a, -1),
    lambda a: sb.transpose(a, (1, 0, *range(2, a.ndim))),
    sb.diag,
    lambda a: sb.broadcast_to(a, (2, *a.shape)),
    lambda a: sb.einsum("ij,kj->ik", a, a),
    lambda a: sb.einsum("...i->...", a),
)


def composed(seed, *, named):
    """A random scalar of symbols of ranks 0 to 3, and values; the sizes are names or numbers."""
    rng = np.random.default_rng([17, seed])
    size = (lambda name: name) if named else SIZES.__getitem__
    shapes = {"s": "", "w": "D", "v": "N", "X": "ND", "T": "KND"}
    pool = [sb.symbol(name, tuple(map(size, shape))) for name, shape in shapes.items()]
    values = {x: rng.uniform(-1.5, 1.5, dims.bind(x.shape, SIZES)) for x in pool}

    def taken():
        return pool[int(len(pool) * rng.random() ** 0.5)]  # the newer the likelier

    while len(pool) < 13:
        kind = [UNARY, BINARY, REDUCE, LAYOUT][rng.integers(4)]
        function = kind[rng.integers(len(kind))]
        a, b = taken(), taken()
        try:
            if kind is REDUCE:
                made = function(a, axis=int(rng.integers(a.ndim))) if a.ndim else a
            else:
                made = function(a, b) if kind is BINARY else function(a)
        except (ShapeError, ValueError):  # it does not fit
            continue
        if made.ndim <= 3 and 0 < np.prod(dims.bind(made.shape, SIZES)) <= 30 and made not in pool:
            pool.append(made)
    used = {operand for expr in pool for operand in expr.inputs}
    f = sb.constant(0.0)
    for end in [expr for expr in pool if expr.inputs and expr not in used]:
        f = f + sb.mean(sb.tanh(end) * rng.uniform(0.5, 1.5))
    return f, values


def drawn(seed):
    """A random scalar over the whole op table, whose sizes are numbers."""
    return random_loss(np.random.default_rng([16, seed]), 12)


MADE = [
    *((drawn, seed, {}) for seed in range(90)),
    *((composed, seed, {"named": True}) for seed in range(70)),
    *((composed, seed, {"named": False}) for seed in range(70, 110)),
]


@pytest.mark.filterwarnings("ignore::symbackprop.errors.NotTrainableWarning")
@pytest.mark.parametrize("place", range(len(MADE)))
def test_hessians_of_random_expressions(place):
    """Every block by every mode: symmetric, and what differences of the gradient say along a random direction."""
    make, seed, options = MADE[place]
    with sb.Graph() as graph:
        f, values = make(seed, **options)
        xs = [x for x in values if x.dtype.kind == "f"]
        gradients = sb.grad(f, xs, unused="zeros")
        wanted = [(x, g) for x, g in zip(xs, gradients, strict=True) if x.number in graph.reachable([f.number])]
        rng = np.random.default_rng(seed)
        moves = {x: rng.uniform(-1, 1, values[x].shape) for x, _ in wanted}
        xs, gradients = map(list, zip(*wanted, strict=True))
        rows = [sb.jacobian(g, xs, unused="zeros") for g in gradients]
        graph.verify()
        H = [[sb.evaluate(block, values) for block in row] for row in rows]
        for row, expected in zip(H, slopes(gradients, values, moves), strict=True):
            product = sum(np.tensordot(block, moves[x], moves[x].ndim) for block, x in zip(row, xs, strict=True))
            assert_close(product, expected, 1e-9)
        for i, j in itertools.product(range(len(xs)), repeat=2):
            rank = xs[j].ndim
            turned = np.transpose(H[j][i], (*range(rank, H[j][i].ndim), *range(rank)))
            assert_close(H[i][j], turned, 1e-12)
        mode = MODES[place % 3]
        dependent = [k for k, x in enumerate(xs) if _depends(f, x)]
        blocks = sb.hessian(f, [xs[k] for k in dependent], mode=mode)
        compiled = sb.compile(list(values), blocks)(*values.values()) if place % 8 == 0 else None
        for (i, k), (j, l) in itertools.product(enumerate(dependent), repeat=2):
            assert_close(sb.evaluate(blocks[i][j], values), H[k][l], 1e-11)
            if compiled:
                assert_close(compiled[i][j], H[k][l], 1e-9)


def _depends(f, x):
    try:
        sb.grad(f, x)
    except sb.errors.NotDifferentiableError:
        return False
    return True


def test_random_expressions_are_many_and_of_all_kinds():
    assert len(MADE) >= 200
    ranks, used = set(), set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotTrainableWarning)
        for make, seed, options in MADE:
            with sb.Graph() as graph:
                f, _ = make(seed, **options)
                nodes = [graph.nodes[number] for number in graph.reachable([f.number])]
                ranks |= {len(node.shape) for node in nodes if node.op.name == "symbol"}
                used |= {node.op.name for node in nodes}
    assert {0, 1, 2, 3} <= ranks
    assert {"matmul", "softmax", "max", "where", "slice", "concatenate", "stack", "reshape", "transpose"} <= used
    assert {"prod", "logsumexp", "einsum", "diagonal", "trace", "norm", "broadcast_to", "power"} <= used


# --- third derivatives ----------------------------------------------------------------------------------------

A3 = np.random.default_rng(3).uniform(-1, 1, (3, 3))
B2 = np.random.default_rng(4).uniform(-1, 1, (4, 2))
PAIRS = np.random.default_rng(5).uniform(-1, 1, (4, 3))
THIRD = {  # a function, and the shape of its argument
    "exp": (lambda x: sb.sum(sb.exp(x)), (3,)),
    "sin": (lambda x: sb.sum(sb.sin(x)), (2, 2)),
    "log": (lambda x: sb.sum(sb.log(x)), (3,)),
    "sqrt": (lambda x: sb.sum(sb.sqrt(x)), (3,)),
    "reciprocal": (lambda x: sb.sum(1 / x), (3,)),
    "power": (lambda x: sb.sum(x**2.5), (3,)),
    "tanh": (lambda x: sb.sum(sb.tanh(x)), (2, 2)),
    "sigmoid": (lambda x: sb.sum(sb.sigmoid(x)), (3,)),
    "softplus": (lambda x: sb.sum(sb.softplus(x)), (3,)),
    "erf": (lambda x: sb.sum(sb.erf(x)), (3,)),
    "product": (sb.prod, (4,)),
    "quadratic form": (lambda x: x @ A3 @ x, (3,)),
    "cubic form": (lambda x: sb.einsum("i,j,k,ij,jk->", x, x, x, A3, A3), (3,)),
    "norm": (sb.linalg.norm, (3,)),
    "log-sum-exp": (sb.logsumexp, (3,)),
    "softmax": (lambda x: sb.sum(sb.softmax(A3 @ x) ** 2), (3,)),
    "logistic regression": (lambda x: sb.sum(sb.softplus(PAIRS @ x)) - sb.sum(PAIRS @ x), (3,)),
    "Poisson regression": (lambda x: sb.sum(sb.exp(PAIRS @ x)), (3,)),
    "factorisation": (lambda x: sb.sum((PAIRS.T - x @ B2.T) ** 2 * sb.exp(x[0, 0])), (3, 2)),
    "network": (lambda x: sb.sum(sb.tanh(sb.tanh(PAIRS @ x) @ B2.T) ** 2), (3, 2)),
    "ReLU network": (lambda x: sb.logsumexp(sb.relu(sb.relu(x @ A3) @ A3)), (3, 3)),
    "determinant": (sb.linalg.det, (3, 3)),
    "log determinant": (lambda x: sb.linalg.slogdet(x @ x.T + sb.eye(2)).logabsdet, (2, 2)),
    "inverse": (lambda x: sb.sum(sb.linalg.inv(x + 3 * sb.eye(2)) @ B2.T), (2, 2)),
    "system": (lambda x: sb.sum(sb.linalg.solve(sb.diag(x) + A3 @ A3.T, A3[0])), (3,)),
    "Cholesky": (lambda x: sb.sum(sb.linalg.cholesky(x @ x.T + 2 * sb.eye(2))), (2, 2)),
    "trace of a cube": (lambda x: sb.trace(x @ x @ x), (2, 2)),
    "distances": (lambda x: sb.sum(sb.linalg.norm(x[:, None] - x[None] + 1, axis=-1)), (2, 2)),
    "tensor of rank 3": (lambda x: sb.sum(sb.sin(x) * sb.sum(x, axis=0)) ** 2, (2, 1, 2)),
    "a number": (lambda x: sb.exp(sb.sin(x)) / x, ()),
}


@pytest.mark.parametrize("name", THIRD)
def test_third_derivatives(name):
    """The Jacobian of the Hessian: what differences of the Hessian say, and the same for every order of its axes."""
    function, shape = THIRD[name]
    rng = np.random.default_rng(len(name))
    with sb.Graph() as graph:
        x = sb.symbol("x", shape)
        values = {x: rng.uniform(0.4, 1.6, shape)}
        H = sb.hessian(function(x), x)
        third = sb.jacobian(H, x, unused="zeros")
        graph.verify()
        assert third.shape == shape * 3
        T = sb.evaluate(third, values)
        move = rng.uniform(-1, 1, shape)
        (expected,) = slopes([H], values, {x: move})
        assert_close(np.tensordot(T, move, len(shape)), expected, 1e-9)
        forward = sb.jacobian(H, x, mode="forward", unused="zeros")
        assert_close(sb.evaluate(forward, values), T, 1e-11)
    cube = np.reshape(T, (values[x].size,) * 3)
    for axes in itertools.permutations(range(3)):
        assert_close(np.transpose(cube, axes), cube, 1e-11)


def test_third_derivatives_in_closed_form():
    """Cumulants: those of log-sum-exp are the softmax's, E[(e − p)(e − p)(e − p)] for the one-hot vectors e."""
    x = sb.symbol("x", 3)
    at = np.array([0.3, -0.4, 1.1])
    p = np.exp(at) / np.exp(at).sum()
    centred = np.eye(3) - p
    cumulant = np.einsum("n,ni,nj,nk->ijk", p, centred, centred, centred)
    delta = np.einsum("ij,jk->ijk", np.eye(3), np.eye(3))
    for f, expected in [
        (sb.logsumexp(x), cumulant),
        (sb.sum(x**3), 6 * delta),
        (sb.sum(x) ** 3, np.full((3, 3, 3), 6.0)),
        (sb.exp(sb.sum(x * at)), np.exp(at @ at) * np.einsum("i,j,k->ijk", at, at, at)),
        (sb.sum(sb.log(1 + x * x)), np.diag(4 * at * (at**2 - 3) / (1 + at**2) ** 3)[:, :, None] * np.eye(3)),
        (x @ (A3 @ x), np.zeros((3, 3, 3))),
    ]:
        T = sb.jacobian(sb.hessian(f, x), x, unused="zeros")
        assert_close(sb.evaluate(T, {x: at}), expected, 1e-13)
        assert_close(sb.compile([x], T)(at), expected, 1e-13)


def test_the_hessian_of_logistic_regression_is_one_symmetric_product():
    X, w, y = sb.symbols("X[N,D] w[D] y[N]")
    z = X @ w
    loss = sb.mean(y * sb.softplus(-z) + (1 - y) * sb.softplus(z))
    source = sb.compile([X, w, y], sb.hessian(loss, w)).source
    assert re.search(r"(\w+)\.T @ \1\b", source), source

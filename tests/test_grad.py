"""Algorithms 6.2, 6.5 and 6.6: what grad builds, what it costs, and what it says where there is no gradient."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.autodiff.check import GradientError
from symbackprop.autodiff.forward import propagate
from symbackprop.errors import ArgumentError, GraphError, NotDifferentiableError, NotTrainableWarning, ShapeError
from symbackprop.op import Op, apply
from symbackprop.ops import TABLE
from tests.random_graphs import LEFT_OUT, random_expression, random_loss, takes_floats


def count(*outputs):
    """The number of nodes that the expressions are computed from."""
    return len(outputs[0].graph.reachable([output.number for output in outputs]))


def mlp(depth):
    """A loss over a chain of layers, and the weights."""
    h = sb.symbol("x", ("N", 4))
    weights = [sb.symbol(f"W{layer}", (4, 4)) for layer in range(depth)]
    for W in weights:
        h = sb.tanh(h @ W)
    return sb.sum(h), weights


# --- against numbers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_grad_and_backprop_agree_on_random_graphs(seed):
    """Symbols to symbols and symbols to numbers: Algorithm 6.5, evaluated, gives what Algorithm 6.2 gives."""
    with sb.Graph() as graph, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotTrainableWarning)
        loss, values = random_loss(np.random.default_rng(seed), 25)
        graph.verify()
        numbers = sb.backprop(loss, values)
        targets = list(values)
        gradients = sb.grad(loss, targets, unused="zeros")
        graph.verify()
        known, _ = propagate(gradients, values)
        assert numbers.keys() <= set(targets)
        assert numbers, "the loss depends on nothing, so this showed nothing"
        for target, gradient in zip(targets, gradients, strict=True):
            expected = numbers.get(target, np.zeros(target.shape))
            np.testing.assert_allclose(known[gradient.number], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_gradients_of_random_graphs_are_slopes(seed):
    with sb.Graph(), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotTrainableWarning)
        loss, values = random_loss(np.random.default_rng(1000 + seed), 20)
        assert sb.check_grad(loss, values, eps=1e-6, rtol=1e-4).error < 1e-4


def test_random_graphs_are_the_same_for_the_same_seed_and_use_the_table():
    def made(seed):
        with sb.Graph() as graph:
            outputs, values = random_expression(np.random.default_rng(seed), 30)
            numbers = graph.reachable([output.number for output in outputs])
            return [graph.nodes[number].op.name for number in numbers], [v.tolist() for v in values.values()]

    assert made(5) == made(5)
    used = {name for seed in range(40) for name in made(seed)[0]}
    assert {op.name for op in TABLE if op.vjps and op.name not in LEFT_OUT and takes_floats(op)} <= used


@pytest.mark.parametrize("inner", ["symbol", "node"])
def test_backprop_gives_every_value_on_the_way(inner):
    x, k = sb.symbol("x", 3), sb.symbol("k", 3, "int64")
    h = sb.sin(x)
    z = sb.sum(h * h * k)
    values = {x: np.array([0.1, 0.2, 0.3]), k: [1, 2, 3]}
    if inner == "node":
        values = {h: np.sin([0.1, 0.2, 0.3]), k: [1, 2, 3]}
    found = sb.backprop(z, values)
    assert list(found) == [next(iter(values))]
    slope = 2 * np.sin([0.1, 0.2, 0.3]) * [1, 2, 3]
    expected = slope if inner == "node" else slope * np.cos([0.1, 0.2, 0.3])
    np.testing.assert_allclose(next(iter(found.values())), expected)


def test_backprop_binds_sizes():
    x = sb.symbol("x", ("N", "D"))
    z = sb.sum(sb.mean(x[1:], axis=0) ** 2) / x.shape[0]
    at = np.arange(12.0).reshape(4, 3)
    found = sb.backprop(z, {x: at})[x]
    np.testing.assert_allclose(found, sb.evaluate(sb.grad(z, x), {x: at}))
    assert np.all(found[0] == 0)
    assert np.all(found[1:] != 0)


def test_check_grad_finds_a_wrong_rule():
    right = next(op for op in TABLE if op.name == "sin")
    fields = {name: getattr(right, name) for name in right.__dataclass_fields__}
    wrong = Op(**{**fields, "vjps": (lambda g, _y, x: g * sb.sin(x),)})
    x = sb.symbol("x", 3)
    values = {x: [0.3, 1.0, 2.0]}
    assert sb.check_grad(sb.sum(sb.sin(x)), values).error < 1e-8
    with pytest.raises(GradientError, match=r"check_grad: by x\[3\] the gradient's slope is"):
        sb.check_grad(sb.sum(apply(wrong, x)), values)


# --- what grad builds -----------------------------------------------------------------------------------------


def test_the_gradient_is_appended_to_the_same_graph():
    with sb.Graph() as graph:
        x = sb.symbol("x", 3)
        z = sb.sum(sb.exp(x))
        dag, before = graph.dag, dict(graph.nodes)
        g = sb.grad(z, x)
    assert g.graph is graph
    assert graph.dag is dag
    assert {number: graph.nodes[number] for number in before} == before
    added = set(graph.nodes) - set(before)
    assert added
    assert all(graph.nodes[number].backward for number in added)
    assert not any(node.backward for node in before.values())
    assert set(dag) == set(graph.nodes)


def test_gradient_nodes_are_written_down_to_the_users_line():
    x = sb.symbol("x", 3)
    y = sb.exp(x)  # this line makes the node and, later, its derivative
    z = sb.sum(y)
    g = sb.grad(z, x)
    assert g.node.where == y.node.where
    assert g.node.where.file == __file__
    assert z.node.where.line == y.node.where.line + 1


def test_one_target_gives_one_expression_and_several_a_list():
    x, y = sb.symbols("x y")
    z = x * y
    assert isinstance(sb.grad(z, x), sb.Expr)
    assert isinstance(sb.grad(z, [x]), list)
    assert sb.grad(z, []) == []
    dx, dy, again = sb.grad(z, (x, y, x))
    values = {x: 2.0, y: 3.0}
    assert [sb.evaluate(g, values) for g in (dx, dy, again)] == [3, 2, 3]


def test_z_by_itself_is_one():
    x = sb.symbol("x")
    z = sb.sin(x)
    assert sb.evaluate(sb.grad(z, z), {}) == 1
    assert sb.evaluate(sb.grad(x, x), {}) == 1
    dz, dx = sb.grad(z, [z, x])
    assert sb.evaluate(dz, {}) == 1
    assert sb.evaluate(dx, {x: 0.0}) == 1


def test_targets_may_be_internal_nodes():
    x, w = sb.symbols("x w")
    u = x * w
    z = sb.sin(u) * u
    du, dx = sb.grad(z, [u, x])
    values = {x: 0.5, w: 3.0}
    np.testing.assert_allclose(sb.evaluate(du, values), np.cos(1.5) * 1.5 + np.sin(1.5))
    np.testing.assert_allclose(sb.evaluate(dx, values), 3 * (np.cos(1.5) * 1.5 + np.sin(1.5)))


def test_shared_nodes_sum_their_consumers():
    x = sb.symbol("x", 3)
    z = sb.sum(x * x + sb.sin(x) - x) + sb.prod(x) * x[0]
    at = np.array([0.5, 1.5, -2.0])
    expected = 2 * at + np.cos(at) - 1 + np.prod(at) / at * at[0] + [np.prod(at), 0, 0]
    np.testing.assert_allclose(sb.evaluate(sb.grad(z, x), {x: at}), expected)


def test_gradients_of_gradients():
    x = sb.symbol("x")
    f = sb.exp(2 * x)
    for order in range(1, 6):
        f = sb.grad(f, x)
        np.testing.assert_allclose(sb.evaluate(f, {x: 0.3}), 2**order * np.exp(0.6), rtol=1e-12)
    w = sb.symbol("w", 3)
    z = sb.sum(sb.tanh(w) ** 2)
    penalty = sb.sum(sb.grad(z, w) ** 2)
    assert sb.check_grad(penalty, {w: [0.1, 0.5, -0.7]}).error < 1e-6


def test_broadcasting_is_undone():
    a, b, c = sb.symbol("a", (2, 1, 3)), sb.symbol("b", (4, 1)), sb.symbol("c")
    z = sb.sum(sb.sin(a * b + c) * a)
    for target, g in zip([a, b, c], sb.grad(z, [a, b, c]), strict=True):
        assert g.shape == target.shape
    rng = np.random.default_rng(0)
    assert sb.check_grad(z, {x: rng.uniform(-1, 1, x.shape) for x in (a, b, c)}).error < 1e-6


def test_float32_stays():
    x, y = sb.symbol("x", 3, "float32"), sb.symbol("y", 3)
    dx, dy = sb.grad(sb.sum(sb.sin(x) * y), [x, y])
    assert (dx.dtype, dy.dtype) == ("float32", "float64")


# --- what it costs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [10, 100, 1000, 10_000])
def test_gradient_nodes_grow_linearly_with_depth(depth):
    """d/dx sin(sin(…x)): one cosine and one product a layer, and the 1 that it starts from."""
    with sb.Graph() as graph:
        y = x = sb.symbol("x")
        for _ in range(depth):
            y = sb.sin(y)
        assert len(graph) == depth + 1
        g = sb.grad(y, x)
        assert len(graph) == (depth + 1) + (2 * depth + 1)
        assert count(y, g) == len(graph)


@pytest.mark.parametrize("depth", [1, 2, 10, 50])
def test_each_layer_adds_the_same_to_the_gradient(depth):
    def nodes(layers):
        with sb.Graph():
            loss, weights = mlp(layers)
            return count(loss, *sb.grad(loss, weights))

    assert nodes(depth + 3) - nodes(depth + 2) == nodes(4) - nodes(3)


def test_a_chain_of_fifty_thousand():
    """Deeper than any recursion; what is looked up per layer does not grow with the depth."""

    class Counted(dict):
        looked_up = 0

        def __getitem__(self, number):
            Counted.looked_up += 1
            return super().__getitem__(number)

    def lookups(depth):
        with sb.Graph() as graph:
            y = x = sb.symbol("x")
            for _ in range(depth):
                y = sb.sin(y)
            graph.nodes = Counted(graph.nodes)
            Counted.looked_up = 0
            g = sb.grad(y, x)
            found = Counted.looked_up
            assert count(g) > depth > sys.getrecursionlimit()
            return found

    assert lookups(50_000) <= 12 * lookups(5_000)  # 10, and the sweeps


def test_a_node_with_many_consumers_is_visited_once_each():
    def built(consumers):
        with sb.Graph() as graph:
            x = sb.symbol("x")
            z = sb.symbol("zero")
            for _ in range(consumers):
                z = z + sb.sin(x)
            before = len(graph)
            sb.grad(z, x)
            return len(graph) - before

    assert built(2_000) - built(1_000) == 10 * (built(200) - built(100))


def test_branches_that_the_targets_do_not_feed_add_nothing():
    """G′ prunes: of a product of many factors only the way to the target is walked."""

    def added(others):
        with sb.Graph() as graph:
            x = sb.symbol("x", 3)
            side = sb.symbol("side", 3)
            for _ in range(others):
                side = sb.tanh(side)
            z = sb.sum(sb.sin(x) * side)
            before = len(graph)
            sb.grad(z, x)
            return len(graph) - before

    assert added(50) == added(0)
    with sb.Graph() as graph:
        loss, weights = mlp(20)
        before = len(graph)
        sb.grad(loss, weights[-1])
        last = len(graph) - before
        sb.grad(loss, weights[0])
        assert len(graph) - before - last > 5 * last


def test_ancestors_below_an_internal_target_are_not_walked():
    with sb.Graph() as graph:
        h = sb.symbol("x")
        for _ in range(100):
            h = sb.sin(h)
        before = len(graph)
        sb.grad(sb.exp(h), h)
        assert len(graph) - before <= 4


def test_no_zeros_are_made_to_be_removed():
    with sb.Graph() as graph:
        x, y = sb.symbols("x[3] y[3]")
        z = sb.sum(sb.where(x > 0, y, 1.0))
        before = set(graph.nodes)
        sb.grad(z, y)
        ops = [graph.nodes[number].op.name for number in set(graph.nodes) - before]
    assert ops.count("where") == 1
    assert "greater" not in ops


# --- derived --------------------------------------------------------------------------------------------------


def test_jvp_is_the_transpose_of_vjp():
    """v̄ · (J v) = (Jᵀ v̄) · v on random graphs."""
    for seed in range(15):
        with sb.Graph(), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotTrainableWarning)
            rng = np.random.default_rng(seed)
            outputs, values = random_expression(rng, 15)
            y = next((output for output in outputs if output.dtype.kind == "f"), None)
            x = next(iter(values))
            if y is None:
                continue
            v, ct = rng.uniform(-1, 1, x.shape), rng.uniform(-1, 1, y.shape)
            try:
                pushed, pulled = sb.jvp(y, x, v), sb.vjp(y, x, ct)
            except NotDifferentiableError:
                continue
            np.testing.assert_allclose(
                np.sum(sb.evaluate(pushed, values) * ct), np.sum(sb.evaluate(pulled, values) * v), rtol=1e-9, atol=1e-12
            )


def test_jvp_is_the_slope_along_a_direction():
    x = sb.symbol("x", 3)
    y = sb.stack([sb.sin(x[0]) * x[1], sb.exp(x[2]), x[0] * x[1] * x[2]])
    at, v = np.array([0.3, 0.7, -0.2]), np.array([1.0, -2.0, 0.5])
    slope = (sb.evaluate(y, {x: at + 1e-6 * v}) - sb.evaluate(y, {x: at - 1e-6 * v})) / 2e-6
    np.testing.assert_allclose(sb.evaluate(sb.jvp(y, x, v), {x: at}), slope, rtol=1e-8)
    assert sb.jvp(x, x, v).shape == (3,)


def test_hvp_is_the_hessian_times_a_vector():
    x, v = sb.symbols("x[3] v[3]")
    f = sb.sum(x**3) + x[0] * x[1]
    at, direction = np.array([1.0, 2.0, 3.0]), np.array([1.0, -1.0, 0.5])
    hessian = np.diag(6 * at) + np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(sb.evaluate(sb.hvp(f, x, v), {x: at, v: direction}), hessian @ direction)
    np.testing.assert_array_equal(sb.evaluate(sb.hvp(sb.sum(x), x, direction), {x: at}), np.zeros(3))


def test_a_jacobian_is_one_pull_back_of_the_identity():
    X, w = sb.symbol("X", ("N", "D")), sb.symbol("w", "D")
    p = sb.sigmoid(X @ w)
    J = sb.jacobian(p, w)
    assert J.shape == ("N", "D")
    rng = np.random.default_rng(0)
    values = {X: rng.standard_normal((4, 3)), w: rng.standard_normal(3)}
    s = sb.evaluate(p, values)
    np.testing.assert_allclose(sb.evaluate(J, values), (s * (1 - s))[:, None] * values[X])


def test_jacobians_of_several_and_of_scalars():
    x, y = sb.symbols("x[3] y")
    by_x, by_y = sb.jacobian(y * x, [x, y])
    values = {x: [1.0, 2.0, 3.0], y: 5.0}
    np.testing.assert_array_equal(sb.evaluate(by_x, values), 5 * np.eye(3))
    np.testing.assert_array_equal(sb.evaluate(by_y, values), values[x])
    f = sb.sum(x**3)
    np.testing.assert_array_equal(sb.evaluate(sb.jacobian(f, x), values), sb.evaluate(sb.grad(f, x), values))
    np.testing.assert_array_equal(sb.evaluate(sb.jacobian(x, y, unused="zeros"), values), np.zeros(3))
    np.testing.assert_array_equal(sb.evaluate(sb.jacobian(x, x), values), np.eye(3))


def test_a_hessian_is_the_jacobian_of_the_gradient():
    W = sb.symbol("W", ("M", "N"))
    at = np.arange(6.0).reshape(2, 3)
    found = sb.evaluate(sb.hessian(sb.sum(W**3), W), {W: at})
    np.testing.assert_array_equal(found, 6 * at[..., None, None] * np.eye(6).reshape(2, 3, 2, 3))
    v = sb.symbol("v", ("M", "N"))
    f = sb.sum(sb.tanh(W @ W.T)) * sb.sum(W)
    direction = np.random.default_rng(1).normal(size=(2, 3))
    product = sb.evaluate(sb.hvp(f, W, v), {W: at / 9, v: direction})
    H = sb.evaluate(sb.hessian(f, W), {W: at / 9})
    np.testing.assert_allclose(np.tensordot(H, direction), product, rtol=1e-11)
    np.testing.assert_allclose(H, H.transpose(2, 3, 0, 1), rtol=1e-11, atol=1e-13)
    np.testing.assert_array_equal(sb.evaluate(sb.hessian(sb.sum(W), W), {W: at}), np.zeros((2, 3, 2, 3)))


# --- what is said where there is no gradient ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda x, y, k: sb.grad(sb.exp(x), x),
            NotDifferentiableError,
            (
                "grad: exp(x)[3] is no scalar; take sb.sum or sb.mean of it, "
                "or sb.vjp(z, wrt, cotangent) for a weighted sum"
            ),
        ),
        (
            lambda x, y, k: sb.grad(sb.sum(k), x),
            NotDifferentiableError,
            "grad: sum(k) has dtype int64, and derivatives need floats: convert with astype",
        ),
        (
            lambda x, y, k: sb.grad(sb.sum(x * k), [x, k]),
            NotDifferentiableError,
            'grad: k[3] has dtype int64, and derivatives need floats: declare it with dtype="float64"',
        ),
        (
            lambda x, y, k: sb.jacobian(x, y),
            NotDifferentiableError,
            'jacobian: x[3] does not depend on y[3]; pass unused="zeros" for zeros',
        ),
        (
            lambda x, y, k: sb.jacobian(k, x),
            NotDifferentiableError,
            "jacobian: k[3] has dtype int64, and derivatives need floats: convert with astype",
        ),
        (
            lambda x, y, k: sb.grad(sb.sum(x), y),
            NotDifferentiableError,
            'grad: sum(x) does not depend on y[3]; pass unused="zeros" for zeros',
        ),
        (
            lambda x, y, k: sb.grad(sb.sum(sb.where(x > 0, y, 0.0)), x),
            NotDifferentiableError,
            (
                "grad: sum(where(…, y, 0)) depends on x[3] only through greater, whose derivative is zero or "
                'undefined; pass unused="zeros" for zeros'
            ),
        ),
        (
            lambda x, y, k: sb.grad(sb.sum(x), ["x"]),
            NotDifferentiableError,
            "grad: the target at position 0 is str, not an expression",
        ),
        (
            lambda x, y, k: sb.vjp(x, x, np.ones(2)),
            ShapeError,
            "vjp: the cotangent array[2] does not have the shape of x[3]",
        ),
        (
            lambda x, y, k: sb.jvp(x, x, np.ones((3, 2))),
            ShapeError,
            "jvp: the tangent array[3, 2] does not have the shape of x[3]",
        ),
        (
            lambda x, y, k: sb.jvp(x * y, [x, y], [np.ones(3)]),
            ArgumentError,
            "jvp: for 2 inputs give a list of 2 tangents, not 1 of them",
        ),
        (
            lambda x, y, k: sb.hvp(sb.sum(x * y), [x, y], np.ones(3)),
            ArgumentError,
            "hvp: for 2 inputs give a list of 2 vectors, not one alone",
        ),
        (
            lambda x, y, k: sb.jvp(x * y, [x, y], [np.ones((2, 3)), np.ones(3)]),
            ShapeError,
            "jvp: the tangents array[2, 3] and array[3] have other extra axes",
        ),
        (
            lambda x, y, k: sb.jvp(sb.exp(x), y, np.ones(3)),
            NotDifferentiableError,
            'jvp: exp(x)[3] does not depend on y[3]; pass unused="zeros" for zeros',
        ),
        (
            lambda x, y, k: sb.vjp([x, sb.exp(x)], y, [x, x]),
            NotDifferentiableError,
            'vjp: x[3] and exp(x)[3] do not depend on y[3]; pass unused="zeros" for zeros',
        ),
        (
            lambda x, y, k: sb.vjp([x, x], x, [np.ones((2, 3)), np.ones(3)]),
            ShapeError,
            "vjp: the cotangents array[2, 3] and array[3] have other extra axes",
        ),
        (
            lambda x, y, k: sb.vjp([], x, []),
            ArgumentError,
            "vjp: give one output at least",
        ),
        (
            lambda x, y, k: sb.jacobian(x, x, mode="backward"),
            ValueError,
            'jacobian: mode is "reverse", "forward" or "auto", not \'backward\'',
        ),
        (
            lambda x, y, k: sb.hessian(sb.sum((h := sb.sin(x)) * x), [x, h]),
            ArgumentError,
            "hessian: sin(x)[3] is computed from x[3]; differentiate by expressions that do not depend on one another",
        ),
        (
            lambda x, y, k: sb.hvp(sb.sum((h := sb.sin(x)) * x), [h, x], [x, x]),
            ArgumentError,
            "hvp: sin(x)[3] is computed from x[3]; differentiate by expressions that do not depend on one another",
        ),
        (
            lambda x, y, k: sb.hessian(sb.sum(x), x, mode=None),
            ValueError,
            'hessian: mode is "reverse", "forward" or "auto", not None',
        ),
        (
            lambda x, y, k: sb.hvp(sb.sum(x), x, 1.0),
            ShapeError,
            "hvp: the vector 1 does not have the shape of x[3]",
        ),
        (
            lambda x, y, k: sb.backprop(x, {x: np.ones(3)}),
            NotDifferentiableError,
            "backprop: x[3] is no float scalar; take sb.sum or sb.mean of it",
        ),
        (
            lambda x, y, k: sb.check_grad(x, {x: np.ones(3)}),
            ShapeError,
            "check_grad takes a scalar, and x[3] is none: take a sum or a mean first",
        ),
        (
            lambda x, y, k: sb.grad(sb.sum(x), x, unused="ignore"),
            ValueError,
            'grad: unused is "error" or "zeros", not \'ignore\'',
        ),
    ],
)
def test_messages(call, error, message):
    x, y = sb.symbols("x[3] y[3]")
    k = sb.symbol("k", 3, "int64")
    with pytest.raises(error) as caught:
        call(x, y, k)
    assert str(caught.value) == message


def test_a_target_in_another_graph():
    x = sb.symbol("x")
    with sb.Graph():
        other = sb.symbol("other")
    with pytest.raises(GraphError, match=r"grad: sin\(x\) and other live in different graphs"):
        sb.grad(sb.sin(x), other)


def test_zeros_on_request():
    x, y = sb.symbol("x", 3), sb.symbol("y", ("N", 2), "float32")
    dx, dy = sb.grad(sb.sum(x), [x, y], unused="zeros")
    assert dy.shape == ("N", 2)
    assert dy.dtype == "float32"
    values = {x: np.ones(3), y: np.ones((4, 2))}
    np.testing.assert_array_equal(sb.evaluate(dy, values), np.zeros((4, 2)))
    np.testing.assert_array_equal(sb.evaluate(dx, values), np.ones(3))
    pulled = sb.vjp(x, y, np.ones((5, 3)), unused="zeros")
    assert pulled.shape == (5, "N", 2)


@pytest.mark.parametrize("name", ["step", "sign"])
def test_nothing_is_learnt_through_a_step(name):
    w = sb.symbol("w", 3)
    z = sb.sum(getattr(sb, name)(w * 2))
    with pytest.warns(NotTrainableWarning) as caught:
        g = sb.grad(z, w, unused="zeros")
    (warning,) = caught
    assert str(warning.message) == (
        f"the derivative of {name} is zero almost everywhere: nothing is learnt through {name}(multiply(w, 2))[3]"
    )
    assert warning.filename == __file__
    np.testing.assert_array_equal(sb.evaluate(g, {w: np.ones(3)}), np.zeros(3))
    with pytest.warns(NotTrainableWarning), pytest.raises(NotDifferentiableError, match=f"only through {name}"):
        sb.grad(z, w)


def test_no_warning_where_something_is_learnt_or_the_step_is_a_derivative():
    """Every warning is an error in this suite."""
    w, b = sb.symbols("w[3] b")
    sb.grad(sb.sum(sb.step(w) * w), w)
    sb.grad(sb.sum(sb.step(w) * b), b)
    for kinked in (sb.relu, sb.abs, sb.leaky_relu):
        sb.hvp(sb.sum(kinked(w)), w, np.ones(3))


def test_a_rule_of_the_wrong_shape_is_named():
    right = next(op for op in TABLE if op.name == "sin")
    fields = {name: getattr(right, name) for name in right.__dataclass_fields__}
    wrong = Op(**{**fields, "name": "wrong", "vjps": (lambda g, _y, _x: sb.concatenate([g, g]),)})
    x = sb.symbol("x", 3)
    with pytest.raises(GraphError) as caught:
        sb.grad(sb.sum(apply(wrong, x)), x)
    assert str(caught.value) == "the derivative rule of wrong gave (6,) for an operand of shape (3,)"


def test_the_vector_of_hvp_may_depend_on_the_variable_and_is_not_differentiated():
    x = sb.symbol("x", 3)
    at = np.array([0.5, -1.0, 2.0])
    np.testing.assert_allclose(sb.evaluate(sb.hvp(sb.sum(sb.exp(x)), x, x), {x: at}), np.exp(at) * at)

"""The algorithms of the lectures: forward propagation, back-propagation in all its forms, training."""

from __future__ import annotations

import inspect
from collections import Counter

import networkx as nx
import numpy as np
import pytest

import symbackprop as sb
from symbackprop import train
from symbackprop.autodiff import forward, reverse
from symbackprop.errors import NotDifferentiableError
from symbackprop.rewrite.pipeline import PIPELINE, SHARE, run
from tests.test_ops import build, differentiable, each_application, regular, sample
from tests.values import indices, is_index

RANDOM = np.random.default_rng(0)


def random_scalars(operations: int):
    """A random graph of scalars, each made of two earlier ones, and values for its symbols."""
    rng = np.random.default_rng(operations)
    x, y = sb.symbols("x y")
    made = [x, y]
    for _ in range(operations // 2):
        left, right = (made[-int(rng.integers(1, min(len(made), 6) + 1))] for _ in range(2))
        made += [sb.sin(left * right), left + 0.5 * right]
    return sb.sin(made[-1]) + sb.cos(made[-2]), {x: 0.3, y: -0.7}


def numbers_of(*exprs: sb.Expr) -> set[int]:
    return set(exprs[0].graph.reachable([expr.number for expr in exprs]))


def pruned(z: sb.Expr, targets: list[sb.Expr]) -> set[int]:
    """G′ by networkx: the ancestors of z that are targets or descend from them."""
    dag = z.graph.dag
    above = nx.ancestors(dag, z.number) | {z.number}
    return above & set().union(*({t.number} | nx.descendants(dag, t.number) for t in targets))


# --- Algorithm 6.1 --------------------------------------------------------------------------------------------


@pytest.mark.lecture("A1")
def test_forward_propagation_visits_every_node_once_and_agrees_with_compiled_code_and_numpy(monkeypatch):
    X, W, b, y = sb.symbols("X[N,D] W[D] b y[N]")
    p = sb.sigmoid(X @ W + b)
    loss = sb.mean((p - y) ** 2) + 0.1 * sb.sum(W**2) + sb.sum(p * p)
    values = {X: RANDOM.normal(size=(5, 3)), W: RANDOM.normal(size=3), b: 0.2, y: RANDOM.normal(size=5)}
    visits = []
    value_of = forward.value_of
    monkeypatch.setattr(forward, "value_of", lambda *args: visits.append(args[0].name) or value_of(*args))

    value = sb.evaluate(loss, values)

    nodes = loss.graph.nodes
    assert Counter(visits) == Counter(nodes[n].op.name for n in numbers_of(loss) if nodes[n].op.name != "symbol")
    assert visits.count("sigmoid") == 1  # it has three uses
    Xv, Wv, bv, yv = values.values()
    pv = 1 / (1 + np.exp(-(Xv @ Wv + bv)))
    by_hand = np.mean((pv - yv) ** 2) + 0.1 * np.sum(Wv**2) + np.sum(pv * pv)
    np.testing.assert_allclose(value, by_hand, rtol=1e-14)
    np.testing.assert_allclose(sb.compile([X, W, b, y], loss)(Xv, Wv, bv, yv), by_hand, rtol=1e-14)


# --- Algorithm 6.2 --------------------------------------------------------------------------------------------


@pytest.mark.lecture("A2")
@pytest.mark.lecture("C3")
def test_back_propagation_multiplies_once_for_each_edge_and_costs_the_same_for_each(monkeypatch):
    products, operations = [], []
    bprop, value_of = reverse.Operation.bprop, forward.value_of

    def counted(self, inputs, V, D):
        terms = bprop(self, inputs, V, D)
        products.extend(terms)
        return terms

    monkeypatch.setattr(reverse.Operation, "bprop", counted)
    monkeypatch.setattr(forward, "value_of", lambda *args: operations.append(args[0]) or value_of(*args))
    cost = []
    for size in (10, 100, 1000):
        with sb.Graph() as graph:
            z, values = random_scalars(size)
            _ = sb.exp(next(iter(values))) * 3  # a branch that does not lead to z
        edges = graph.dag.subgraph(pruned(z, list(values))).number_of_edges()
        products.clear()
        operations.clear()
        sb.backprop(z, values)
        assert len(products) == edges
        cost.append(len(operations) / edges)
    assert max(cost) < 1.2 * min(cost)


def test_back_propagation_gives_the_numbers_of_the_compiled_gradient():
    z, values = random_scalars(60)
    found = sb.backprop(z, values)
    expected = sb.compile(list(values), sb.grad(z, list(values)))(*values.values())
    np.testing.assert_allclose([found[x] for x in values], expected, rtol=1e-12)


# --- Algorithms 6.3 and 6.4 -----------------------------------------------------------------------------------

ACTIVATIONS = {
    "tanh": (sb.tanh, np.tanh, lambda a: 1 - np.tanh(a) ** 2),
    "relu": (sb.relu, lambda a: np.maximum(a, 0), lambda a: (a > 0) * 1.0),
    "sigmoid": (sb.sigmoid, lambda a: 1 / (1 + np.exp(-a)), lambda a: np.exp(-a) / (1 + np.exp(-a)) ** 2),
    "user's": (lambda a: a * sb.exp(-a * a), lambda a: a * np.exp(-a * a), lambda a: (1 - 2 * a * a) * np.exp(-a * a)),
}
PENALTIES = {"l1": (train.l1, np.abs, np.sign), "l2": (train.l2, lambda w: 0.5 * w * w, lambda w: w)}
LAMBDA = 0.03


def by_hand(x, target, parameters, activation, penalty):
    """Algorithms 6.3 and 6.4 in NumPy, rows being examples: J and its gradients, layer by layer."""
    _, f, slope = ACTIVATIONS[activation]
    _, omega, omega_slope = PENALTIES[penalty]
    layers = [parameters[k : k + 2] for k in range(0, len(parameters), 2)]
    h, outputs, pre = x, [x], []
    for k, (W, b) in enumerate(layers):
        a = h @ W + b
        h = f(a) if k < len(layers) - 1 else a
        pre.append(a)
        outputs.append(h)
    J = 0.5 * np.sum((h - target) ** 2) + LAMBDA * sum(np.sum(omega(W)) for W, _ in layers)
    g = h - target
    gradients = []
    for k in reversed(range(len(layers))):
        g = g * slope(pre[k]) if k < len(layers) - 1 else g
        gradients[:0] = [
            np.atleast_2d(outputs[k]).T @ np.atleast_2d(g) + LAMBDA * omega_slope(layers[k][0]),
            np.atleast_2d(g).sum(axis=0),
        ]
        g = g @ layers[k][0].T
    return J, gradients


@pytest.mark.lecture("A3")
@pytest.mark.lecture("A4")
@pytest.mark.parametrize("shape", [(), (6,)], ids=["one example", "minibatch"])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_cost_and_gradients_of_deep_networks_are_those_computed_by_hand(depth, activation, penalty, shape):
    x = sb.symbol("x", ("N", 3) if shape else 3)
    net = train.mlp(x, [4] * (depth - 1) + [2], ACTIVATIONS[activation][0])
    target = sb.symbol("t", ("N", 2) if shape else 2)
    omega = PENALTIES[penalty][0](net.weights)
    J = train.quadratic(net.output, target, reduction="sum") + LAMBDA * omega
    rng = np.random.default_rng(depth)
    parameters = [rng.normal(size=p.shape) for p in net.params]
    xv, tv = rng.normal(size=(*shape, 3)), rng.normal(size=(*shape, 2))
    step = sb.compile([x, target, *net.params], [J, *sb.grad(J, net.params)])

    value, *gradients = step(xv, tv, *parameters)

    expected_value, expected = by_hand(xv, tv, parameters, activation, penalty)
    np.testing.assert_allclose(value, expected_value, rtol=1e-12)
    assert len(gradients) == 2 * depth
    for found, right in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-10, atol=1e-14)


@pytest.mark.lecture("A4")
def test_printed_gradients_have_the_factors_of_algorithm_6_4():
    """With columns, as in the book: a = W h + b."""
    W1, b1, W2, b2, x, y, lam = sb.symbols("W1[M,D] b1[M] W2[K,M] b2[K] x[D] y[K] λ")
    a1 = (W1 @ x + b1).named("a1")
    h1 = sb.sigmoid(a1).named("h1")
    a2 = (W2 @ h1 + b2).named("a2")
    of_hidden, of_output = sb.symbols("g[M] g[K]")
    assert str(sb.vjp(a2, h1, of_output)) == "W2ᵀg"
    assert sb.vjp(a2, W2, of_output).text(where=True).splitlines()[0] == "g h1ᵀ"
    assert str(sb.vjp(a2, b2, of_output)) == "g"
    assert sb.vjp(h1, a1, of_hidden).text(where=True, primes=True).splitlines()[0] == "g ⊙ σ′(a1)"

    J = train.quadratic(a2, y, reduction="sum") + lam * train.l2([W1, W2])
    gradients = [g.text(where=True, primes=True).splitlines()[0] for g in sb.grad(J, [W1, b1, W2, b2])]
    assert [line.replace("·", " ") for line in gradients] == [
        "(W2ᵀ(a2 − y) ⊙ σ′(a1))xᵀ + λ W1",
        "W2ᵀ(a2 − y) ⊙ σ′(a1)",
        "(a2 − y) h1ᵀ + λ W2",
        "a2 − y",
    ]


# --- Algorithms 6.5 and 6.6 -----------------------------------------------------------------------------------


def branched():
    """A loss, its targets, and what a careless algorithm might touch: constants, inputs, unused branches."""
    x, w, u, t = sb.symbols("x[N] w b t[N]")
    data = sb.exp(x)  # an ancestor of z that descends from no target
    z = sb.mean((sb.tanh(w * data + u) - t) ** 2)
    unused = [sb.sin(w) * 3, sb.log(z + 1)]  # descend from a target; z does not depend on them
    return z, [w, u], unused


@pytest.mark.lecture("A5")
def test_only_nodes_of_the_pruned_graph_get_a_gradient():
    with sb.Graph():
        z, targets, unused = branched()
        expected = pruned(z, targets)
        gradients = reverse.gradients_of_nodes(z, targets)
    assert {expr.number for expr in gradients} == expected
    assert not expected & {expr.number for expr in unused}
    assert sb.evaluate(gradients[z], {}) == 1


@pytest.mark.lecture("A5")
def test_unrelated_branches_add_no_nodes():
    with sb.Graph() as graph:
        z, targets, unused = branched()
        before = len(graph)
        first = sb.grad(z, targets)
        added = len(graph) - before
    with sb.Graph() as graph:
        z, targets, more = branched()
        for expr in [*more, *targets]:
            unused += [sb.exp(sb.cos(expr) * k) for k in range(20)]
        before = len(graph)
        second = sb.grad(z, targets)
        assert len(graph) - before == added
    assert [len(numbers_of(g)) for g in first] == [len(numbers_of(g)) for g in second]


@pytest.mark.lecture("A5")
def test_the_gradient_of_z_by_itself_is_one():
    x = sb.symbol("x")
    z = sb.sin(x)
    assert str(sb.grad(z, z)) == "1"
    assert str(sb.grad(x, x)) == "1"


@pytest.mark.lecture("A6")
def test_the_gradient_is_inserted_into_the_same_networkx_graph():
    with sb.Graph() as graph:
        x, w = sb.symbols("x[N] w[N]")
        z = sb.sum(sb.sin(x * w))
        dag = graph.dag
        before = set(dag)
        gradient = sb.grad(z, w)
        assert graph.dag is dag
        assert gradient.graph is graph
        added = set(dag) - before
    assert gradient.number in added
    assert all(dag.nodes[number]["backward"] for number in added)
    assert not any(dag.nodes[number]["backward"] for number in before)
    assert x.number in nx.ancestors(dag, gradient.number)  # the new nodes are linked to the old ones
    assert nx.is_directed_acyclic_graph(dag)


@pytest.mark.lecture("A6")
def test_each_edge_is_visited_once_and_gradients_are_sums_over_consumers(monkeypatch):
    visits = []
    bprop = reverse.Operation.bprop

    def counted(self, inputs, V, D):
        visits.append((self.output.number, V.number))
        return bprop(self, inputs, V, D)

    monkeypatch.setattr(reverse.Operation, "bprop", counted)
    x = sb.symbol("x")
    z = x
    for _ in range(20):  # without memory there would be 3**20 visits
        z = sb.sin(z) + sb.cos(z) + sb.exp(-z * z)
    sb.grad(z, x)
    assert max(Counter(visits).values()) == 1
    assert set(visits) == {(consumer, operand) for operand, consumer in z.graph.dag.subgraph(pruned(z, [x])).edges()}

    consumers = [sb.sin(x), sb.exp(x), sb.sqrt(x)]
    gradient = sb.grad(consumers[0] * 2 + consumers[1] * 3 + consumers[2] * 5, x)
    terms = [gradient]
    while any(term.op.name == "add" for term in terms):
        terms = [part for term in terms for part in (term.inputs if term.op.name == "add" else [term])]
    assert len(terms) == 3
    found = sorted(float(sb.evaluate(term, {x: 0.7})) for term in terms)
    np.testing.assert_allclose(found, sorted([2 * np.cos(0.7), 3 * np.exp(0.7), 2.5 / np.sqrt(0.7)]))


@pytest.mark.lecture("A6")
def test_a_chain_of_five_thousand_does_not_recurse():
    x = sb.symbol("x")
    z = x
    for _ in range(5000):
        z = sb.sin(z)
    gradient = sb.grad(z, x)
    slope, value = 1.0, 0.5
    for _ in range(5000):
        slope, value = slope * np.cos(value), np.sin(value)
    np.testing.assert_allclose(sb.evaluate(gradient, {x: 0.5}), slope, rtol=1e-10)
    np.testing.assert_allclose(sb.compile([x], gradient)(0.5), slope, rtol=1e-10)


def differentiable_ops():
    return [op for op in sb.ops.TABLE if op.vjps and any(op.rule(position) for position in range(len(op.vjps)))]


def operands_for(op):
    """Symbols and values for one application: inside the domain, off the kinks, all different, also without signs."""
    shapes = ((2, 3),) * len(op.vjps) if op.elementwise else op.cases[0].shapes
    rng = np.random.default_rng(list(op.name.encode()))
    inputs, values = [], {}
    for position, shape in enumerate(shapes):
        if is_index(op, position):
            inputs.append(sb.symbol(f"x{position}", shape, "int64"))
            values[inputs[-1]] = indices(rng, shape)
            continue
        low, high = op.domain[position] if op.domain else (-2.0, 2.0)
        array = low + (high - low) * rng.permutation(np.linspace(0.07, 0.91, int(np.prod(shape)))).reshape(shape)
        for kink in op.kinks:
            array = np.where(np.abs(array - kink) < 0.05, kink + 0.1, array)
        array = regular(op, position, array)
        is_bool = op.name == "where" and position == 0
        x = sb.symbol(f"x{position}", shape, bool if is_bool else float)
        inputs.append(x)
        values[x] = array > 0 if is_bool else array + 0.01 * position
    return inputs, values


@pytest.mark.lecture("A7")
@pytest.mark.parametrize("op", differentiable_ops(), ids=lambda op: op.name)
def test_bprop_gives_an_expression_of_the_operands_shape_and_dtype_and_the_right_value(op):
    inputs, values = operands_for(op)
    y = op(*inputs, **{**op.options, **(op.cases[0].params if op.cases and not op.elementwise else {})})
    weights = np.random.default_rng(1).normal(size=sb.evaluate(y, values).shape)
    D = sb.symbol("D", weights.shape)
    for position, V in enumerate(inputs):
        if op.rule(position) is None:
            continue
        (term,) = reverse.get_operation(y).bprop(inputs, V, D)
        assert isinstance(term, sb.Expr)
        assert (term.shape, term.dtype) == (V.shape, V.dtype)
        direction = np.random.default_rng(2).normal(size=V.shape)
        ends = [sb.evaluate(y, {**values, V: values[V] + sign * 1e-6 * direction}) for sign in (1, -1)]
        slope = np.sum(weights * (ends[0] - ends[1])) / 2e-6
        found = np.sum(sb.evaluate(term, {**values, D: weights}) * direction)
        np.testing.assert_allclose(found, slope, rtol=1e-6, atol=1e-7)


# --- modes ----------------------------------------------------------------------------------------------------


@pytest.mark.lecture("A13")
def test_the_gradient_is_given_by_every_variable_not_only_by_symbols():
    w, x, b, t = sb.symbols("w x b t")
    z = w * x + b
    y = sb.sigmoid(z)
    loss = 0.5 * (y - t) ** 2
    values = {w: 0.5, x: 2.0, b: -0.3, t: 1.0}
    everything = [expr for expr in (sb.Expr(z.graph, n) for n in sorted(numbers_of(loss))) if expr.inputs]
    gradients = sb.grad(loss, [w, b, *everything])
    assert z in everything
    assert y in everything
    for target, gradient in zip([w, b, *everything], gradients, strict=True):
        at = float(sb.evaluate(target, values))
        ends = [sb.evaluate(loss, {**values, target: at + shift}) for shift in (1e-6, -1e-6)]
        np.testing.assert_allclose(sb.evaluate(gradient, values), (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-9)


@pytest.mark.lecture("A18")
def test_both_modes_give_the_same_numbers_and_only_expressions_are_differentiated_again():
    x, w = sb.symbols("x[N] w[N]")
    z = sb.sum(sb.sin(x * w) * sb.exp(w))
    values = {x: RANDOM.normal(size=4), w: RANDOM.normal(size=4)}
    xv, wv = values.values()
    numbers = sb.backprop(z, values)
    gradient = sb.grad(z, w)
    assert type(numbers[w]) is np.ndarray
    np.testing.assert_allclose(numbers[w], sb.evaluate(gradient, values), rtol=1e-14)

    # each summand is Im exp((1 + ix)w), whose k-th derivative has the factor (1 + ix)**k
    second = sb.grad(sb.sum(gradient), w)
    third = sb.grad(sb.sum(second), w)
    for order, expr in enumerate([gradient, second, third], start=1):
        expected = np.imag((1 + 1j * xv) ** order * np.exp((1 + 1j * xv) * wv))
        np.testing.assert_allclose(sb.evaluate(expr, values), expected, rtol=1e-12)
        np.testing.assert_allclose(sb.compile([x, w], expr)(xv, wv), expected, rtol=1e-12)
    with pytest.raises(NotDifferentiableError):
        sb.grad(numbers[w].sum(), w)


@pytest.mark.lecture("A19")
def test_repeated_subexpressions_are_evaluated_six_times_before_sharing_and_three_times_after():
    w = sb.symbol("w")
    f, slope = sb.sin, sb.cos
    z = f(f(f(w)))
    dz = slope(f(f(w))) * slope(f(w)) * slope(w)

    def evaluations(outputs):
        return sum(outputs[0].graph.nodes[number].op is f for number in numbers_of(*outputs))

    assert evaluations([z, dz]) == 6
    assert evaluations(run([z, dz], (SHARE,))) == 3
    assert evaluations(run([z, dz], PIPELINE)) == 3
    assert evaluations([z, sb.grad(z, w)]) == 3  # the gradient refers to what the function computed
    step = sb.compile([w], [z, dz])
    written = [sb.compile([w], [z, dz], skip=skip).source.rpartition('"""')[2] for skip in ([], ["share"])]
    assert [source.count("sin(") for source in written] == [3, 6]
    as_built, shared = step.report().rows[:2]
    assert (as_built.name, shared.name) == ("as built", "share")
    assert as_built.nodes - shared.nodes == 3
    assert step.report().rows[-1].flops == shared.flops
    np.testing.assert_allclose(step(0.9)[1], sb.compile([w], sb.grad(z, w))(0.9), rtol=1e-15)


# --- Jacobians: messages in vector form, and the chain rule -----------------------------------------------------


@pytest.mark.lecture("A9")
@each_application
def test_a_message_is_the_transposed_jacobian_times_the_message_before(app):
    """The slide's rule, z̄ = (∂y/∂z)ᵀ ȳ: for each op, and where its value goes on by two ways."""
    arrays = sample(app)
    op_value, zs = build(app, arrays)
    if op_value.dtype.kind != "f" or not differentiable(app, zs):
        return
    rng = np.random.default_rng(9)
    values = dict(zip(zs, arrays, strict=True))
    for y in (op_value, op_value * sb.sin(op_value)):
        y_bar = rng.uniform(-1, 1, y.shape)
        for z in [zs[k] for k in differentiable(app, zs)]:
            jacobian = sb.evaluate(sb.jacobian(y, z), values)
            assert jacobian.shape == y.shape + z.shape
            expected = np.reshape(jacobian, (y_bar.size, -1)).T @ y_bar.ravel() if y_bar.size else np.zeros(z.shape)
            message = sb.evaluate(sb.vjp(y, z, y_bar), values)
            np.testing.assert_allclose(message, np.reshape(expected, z.shape), rtol=1e-11, atol=1e-13)


@pytest.mark.lecture("A9")
def test_a_column_of_the_jacobian_is_the_derivative_by_one_element():
    z = sb.symbol("z", 3)
    y = sb.softmax(z) * z[0]
    at = np.array([0.3, -0.2, 0.9])
    columns = [(sb.evaluate(y, {z: at + h}) - sb.evaluate(y, {z: at - h})) / 2e-6 for h in 1e-6 * np.eye(3)]
    np.testing.assert_allclose(sb.evaluate(sb.jacobian(y, z), {z: at}), np.transpose(columns), rtol=1e-8, atol=1e-10)


@pytest.mark.lecture("A20")
def test_the_chain_rule_of_one_variable_and_of_several():
    t = sb.symbol("t")
    at = {t: 0.7}
    x = sb.sin(t)
    f = sb.exp(x * x)
    univariate = sb.grad(f, x) * sb.grad(x, t)
    np.testing.assert_allclose(sb.evaluate(sb.grad(f, t), at), sb.evaluate(univariate, at), rtol=1e-14)
    y = sb.cos(t)  # fan-out: t reaches g by two ways
    g = y * sb.exp(x * y)
    multivariate = sb.grad(g, x) * sb.grad(x, t) + sb.grad(g, y) * sb.grad(y, t)
    np.testing.assert_allclose(sb.evaluate(sb.grad(g, t), at), sb.evaluate(multivariate, at), rtol=1e-14)


def through(u, seed):
    """One of seven functions of u, of which each element of the result may depend on all of u."""
    rng = np.random.default_rng(seed)
    weights = sb.constant(rng.normal(size=(u.shape[-1], 2)))
    return [
        lambda: sb.tanh(u) @ weights,
        lambda: sb.softmax(u) * sb.sum(u * u),
        lambda: sb.reshape(sb.exp(-u), -1)[::-1] * 0.5,
        lambda: sb.concatenate([sb.sin(u), u * sb.max(u)], axis=-1),
        lambda: sb.prod(1 + u * u / 8, axis=-1, keepdims=True) - u,
        lambda: sb.logsumexp(u, axis=-1) * u.sum(),
        lambda: sb.cos(u).T @ sb.sin(u) if u.ndim == 2 else sb.cos(u)[..., ::2],
    ][rng.integers(7)]()


@pytest.mark.lecture("A20")
@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (2, 1, 3)], ids=str)
@pytest.mark.parametrize("seed", range(12))
def test_the_jacobian_of_a_composition_is_the_product_of_the_jacobians(shape, seed):
    """dy_i/dx_k = Σ_j dy_i/du_j du_j/dx_k, the sum over all elements of the intermediate value."""
    rng = np.random.default_rng([seed, len(shape)])
    x = sb.symbol("x", shape)
    u = through(x, [seed, 1]) if shape else sb.stack([sb.sin(x), x * x, sb.exp(x)])
    if not u.ndim:
        u = sb.stack([u, u * u])
    y = through(u, [seed, 2])
    values = {x: rng.uniform(-1, 1, shape)}
    whole, outer, inner = (sb.evaluate(sb.jacobian(*pair), values) for pair in [(y, x), (y, u), (u, x)])
    assert whole.shape == y.shape + x.shape
    np.testing.assert_allclose(whole, np.tensordot(outer, inner, axes=u.ndim), rtol=1e-10, atol=1e-12)


@pytest.mark.lecture("A20")
def test_the_chain_rule_for_tensors():
    """∇_X z = Σ_j (∇_X Y_j) ∂z/∂Y_j, with X of rank 3 and j running over the elements of Y."""
    X = sb.symbol("X", (2, 3, 2))
    Y = sb.sin(X) @ sb.cos(X[0].T) + sb.sum(X)
    z = sb.sum(sb.log1p(Y * Y))
    values = {X: np.random.default_rng(20).uniform(-1, 1, (2, 3, 2))}
    of_each, weights = sb.evaluate(sb.jacobian(Y, X), values), sb.evaluate(sb.grad(z, Y), values)
    assert of_each.shape == (2, 3, 3, 2, 3, 2)
    total = sum(weights[j] * of_each[j] for j in np.ndindex(*weights.shape))
    np.testing.assert_allclose(sb.evaluate(sb.grad(z, X), values), total, rtol=1e-12)


# --- symbolic differentiation -----------------------------------------------------------------------------------


def network_of_scalars(depth):
    """A network of two tanh units a layer, unit by unit as on paper, and the first of its weights."""
    units = list(sb.symbols("x1 x2"))
    first = sb.symbol("w1_11")
    for layer in range(1, depth + 1):
        weights = [sb.symbols(f"w{layer}_{i}1 w{layer}_{i}2") for i in (1, 2)]
        units = [sb.tanh(left * units[0] + right * units[1]) for left, right in weights]
    return units[0] + units[1], first


def written_out(expr):
    """Count operations by taking the formula apart, every part as often as it stands there."""
    return bool(expr.inputs) + sum(map(written_out, expr.inputs))


@pytest.mark.lecture("A16")
def test_a_derivative_is_exponential_as_a_tree_and_linear_as_a_graph():
    counts = []
    for depth in range(1, 13):
        y, w = network_of_scalars(depth)
        slope = sb.grad(y, w)
        counts.append(slope.count())
        if depth <= 5:
            assert counts[-1].tree == written_out(slope)
    trees, graphs = np.array(counts[3:]).T
    assert np.all(trees[1:] / trees[:-1] > 1.9)  # each layer doubles the formula at least
    assert len(set(np.diff(graphs))) == 1  # and adds the same number of nodes
    assert str(counts[-1]) == f"{trees[-1]} operations written out as a tree, {graphs[-1]} in the graph"


@pytest.mark.lecture("A16")
def test_deep_trees_are_counted_exactly_and_without_recursion():
    x = sb.symbol("x")
    y = x
    for _ in range(1500):
        y = y * sb.sin(y)
    assert y.count() == (2**1501 - 2, 3000)
    slope = sb.grad(y, x).count()
    assert slope.graph < 10 * 3000
    assert slope.tree > 2**1500
    assert x.count() == (0, 0)


@pytest.mark.lecture("A16")
def test_a_derivative_can_be_read():
    w, x, t = sb.symbols("w x t")
    slope = sb.grad(0.5 * (sb.tanh(w * x) - t) ** 2, w)
    assert str(slope) in {"(tanh(wx) − t)(1 − tanh(wx)²)x", "(tanh(wx) − t)·(1 − tanh(wx)²)·x"}


# --- training -------------------------------------------------------------------------------------------------


def linear_data():
    rng = np.random.default_rng(4)
    inputs = rng.normal(size=(12, 2))
    return inputs, inputs @ [2.0, -1.0] + 0.5 + 0.01 * rng.normal(size=12)


@pytest.mark.lecture("A23")
@pytest.mark.parametrize(("batch_size", "steps"), [("full", 1), (4, 3), (1, 12)], ids=["all", "minibatch", "one"])
def test_training_with_all_examples_some_or_one(batch_size, steps):
    X, y, w, b = sb.symbols("X[N,D] y[N] w[D] b")
    loss = train.quadratic(X @ w + b, y)
    inputs, targets = linear_data()
    history = train.fit(
        loss,
        {w: np.zeros(2), b: 0.0},
        {X: inputs, y: targets},
        optimiser=train.SGD(0.1),
        epochs=400 // steps,
        batch_size=batch_size,
        progress=False,
    )
    np.testing.assert_allclose(history.params[w], [2.0, -1.0], atol=0.02)
    np.testing.assert_allclose(history.params[b], 0.5, atol=0.02)
    first = train.fit(
        loss,
        {w: np.zeros(2), b: 0.0},
        {X: inputs, y: targets},
        optimiser=train.Momentum(0.1, 0.9),
        epochs=1,
        batch_size=batch_size,
        progress=False,
        shuffle=False,
    )
    w_by_hand, b_by_hand, moves = np.zeros(2), 0.0, np.zeros(3)
    for part in np.split(np.arange(12), steps):  # as many steps as there are batches
        error = inputs[part] @ w_by_hand + b_by_hand - targets[part]
        moves = 0.9 * moves - 0.1 * np.append(error @ inputs[part], error.sum()) / len(part)
        w_by_hand, b_by_hand = w_by_hand + moves[:2], b_by_hand + moves[2]
    np.testing.assert_allclose(first.params[w], w_by_hand, rtol=1e-12)
    np.testing.assert_allclose(first.params[b], b_by_hand, rtol=1e-12)


@pytest.mark.lecture("A23")
@pytest.mark.parametrize("size", [1, 3, 4, 12])
def test_the_gradient_of_a_minibatch_is_unbiased(size):
    X = sb.symbol("X", ("N", 2))
    net = train.mlp(X, [3, 1])
    y = sb.symbol("y", ("N", 1))
    loss = train.quadratic(net.output, y)
    gradients = sb.compile([X, y, *net.params], sb.grad(loss, net.params))
    inputs, targets = linear_data()
    parameters = list(net.init(0).values())
    order = np.random.default_rng(1).permutation(12).reshape(-1, size)
    batches = [gradients(inputs[rows], targets[rows, None], *parameters) for rows in order]
    for found, expected in zip(
        zip(*batches, strict=True), gradients(inputs, targets[:, None], *parameters), strict=True
    ):
        np.testing.assert_allclose(np.mean(found, axis=0), expected, rtol=1e-12, atol=1e-15)


def recipe(inputs, targets, eta):
    X, y, w, b, rate = sb.symbols("X[N,D] y[N] w[D] b rate")  # 1. data
    decision = sb.sigmoid(X @ w + b)  # 2. decision function
    loss = -sb.mean(y * sb.log(decision) + (1 - y) * sb.log(1 - decision))  # 2. loss
    dw, db = sb.grad(loss, [w, b])  # 3. the goal: a small loss
    step = sb.compile([X, y, w, b, rate], loss, updates={w: w - rate * dw, b: b - rate * db})
    weights, bias, losses = np.zeros(inputs.shape[1]), np.zeros(()), []
    for t in range(300):  # 4. small steps against the gradient
        rows = slice(t * 10 % len(inputs), t * 10 % len(inputs) + 10)
        losses.append(step(inputs[rows], targets[rows], weights, bias, eta(t)))
    return weights, bias, losses


@pytest.mark.lecture("A24")
def test_the_recipe_takes_at_most_fifteen_lines_and_learns_with_a_schedule():
    assert len(inspect.getsource(recipe).splitlines()) <= 15
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(200, 2))
    targets = (inputs @ [3.0, -2.0] + 0.5 > 0) * 1.0
    weights, bias, losses = recipe(inputs, targets, lambda t: 2.0 / (1 + t / 100))
    assert losses[0] == pytest.approx(np.log(2))
    assert np.mean(losses[-20:]) < 0.2
    assert np.mean((inputs @ weights + bias > 0) == targets) > 0.97
    assert not np.allclose(weights, recipe(inputs, targets, lambda _: 2.0)[0])  # the schedule matters


@pytest.mark.lecture("A25")
def test_the_gradient_of_the_cost_is_the_average_of_the_examples_gradients():
    X, y, w, b = sb.symbols("X[N,D] y[N] w[D] b")
    cost = train.binary_cross_entropy(X @ w + b, y)
    each_w, each_b = sb.symbols("W[N,D] B[N]")  # every example with its own copy of the parameters
    losses = train.binary_cross_entropy(sb.sum(X * each_w, axis=1) + each_b, y, reduction="none")
    inputs, targets, wv, bv = RANDOM.normal(size=(7, 3)), RANDOM.integers(0, 2, 7), RANDOM.normal(size=3), 0.4
    copies = {each_w: np.tile(wv, (7, 1)), each_b: np.full(7, bv)}
    per_example = [sb.evaluate(g, {X: inputs, y: targets, **copies}) for g in sb.grad(sb.sum(losses), [each_w, each_b])]
    assert per_example[0].shape == (7, 3)
    for found, g in zip(per_example, sb.grad(cost, [w, b]), strict=True):
        expected = sb.evaluate(g, {X: inputs, y: targets, w: wv, b: bv})
        np.testing.assert_allclose(found.mean(axis=0), expected, rtol=1e-13)
    one = sb.evaluate(sb.grad(cost, w), {X: inputs[2:3], y: targets[2:3], w: wv, b: bv})
    np.testing.assert_allclose(per_example[0][2], one, rtol=1e-13)

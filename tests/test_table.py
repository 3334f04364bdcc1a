"""The forward and backward lines of the lecture slides: as written, and as computed."""

from __future__ import annotations

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.errors import ArgumentError, NotDifferentiableError, ShapeError
from symbackprop.op import Form
from symbackprop.ops.elementwise import _elementwise
from symbackprop.printing import table


def lines(computed):
    """Give the lines of both passes without indentation and titles."""
    forward, backward = computed.text().split("\n\n")
    return [[line.strip() for line in part.split("\n")[1:]] for part in (forward, backward)]


def drawn(expr, seed=0, **sizes):
    """Give random arrays for the symbols of an expression."""
    rng = np.random.default_rng(seed)
    graph = expr.graph
    found = {}
    for number in graph.reachable([expr.number]):
        if graph.nodes[number].op.name == "symbol":
            shape = tuple(sizes.get(str(size), size) for size in graph.nodes[number].shape)
            found[sb.Expr(graph, number)] = rng.uniform(0.2, 0.8, shape)
    return found


def check_values(loss, wrt, **sizes):
    """Check each line of the backward pass against the gradient by the value that it is about."""
    values = drawn(loss, **sizes)
    computed = sb.backprop_table(loss, wrt, values)
    nodes = {**{target.name: target for target in wrt}, **labelled(loss)}
    assert computed.backward[0].value == 1.0
    for line in computed.backward[1:]:
        name = next(name for name in nodes if table.bar(name) == line.name)
        gradient = sb.evaluate(sb.grad(loss, nodes[name]), values)
        np.testing.assert_allclose(line.value, gradient, rtol=1e-10, atol=1e-14, err_msg=line.name)
        assert np.shape(line.value) == np.shape(gradient)
    for line in computed.forward[:-1]:
        np.testing.assert_allclose(line.value, sb.evaluate(nodes[line.name], values), rtol=1e-12)


def labelled(loss):
    graph = loss.graph
    exprs = [sb.Expr(graph, number) for number in graph.reachable([loss.number])]
    return {expr.name: expr for expr in exprs if expr.node.label}


@pytest.fixture(autouse=True)
def _fresh_graph():
    with sb.Graph():
        yield


def univariate():
    w, x, b, t = sb.symbols("w x b t")
    z = (w * x + b).named("z")
    y = sb.sigmoid(z).named("y")
    return (0.5 * (y - t) ** 2).named("L"), w, b


@pytest.mark.lecture("D1")
def test_logistic_least_squares_as_on_the_slide():
    loss, w, b = univariate()
    forward, backward = lines(sb.backprop_table(loss, [w, b]))
    assert forward == ["z = wx + b", "y = σ(z)", "L = ½(y − t)²"]
    assert backward == ["L̄ = 1", "ȳ = L̄(y − t)", "z̄ = ȳ σ′(z)", "w̄ = z̄x", "b̄ = z̄"]
    check_values(loss, [w, b])


@pytest.mark.lecture("D1")
def test_logistic_least_squares_in_one_formula():
    loss, w, b = univariate()
    assert sb.text(sb.grad(loss, w), primes=True) == "(σ(wx + b) − t) σ′(wx + b)·x"
    assert sb.text(sb.grad(loss, b), primes=True) == "(σ(wx + b) − t) σ′(wx + b)"


@pytest.mark.lecture("A8")
@pytest.mark.lecture("D2")
@pytest.mark.lecture("L5")
def test_regularised_logistic_least_squares_as_on_the_slide():
    loss, w, b = univariate()
    R = (0.5 * w**2).named("R")
    whole = (loss + sb.symbol("λ") * R).named("L_reg")
    forward, backward = lines(sb.backprop_table(whole, [w, b]))
    assert forward == ["z = wx + b", "y = σ(z)", "L = ½(y − t)²", "R = ½w²", "L_reg = L + λR"]
    assert backward == [
        "L̄_reg = 1",
        "R̄ = L̄_reg·λ",
        "L̄ = L̄_reg",
        "ȳ = L̄(y − t)",
        "z̄ = ȳ σ′(z)",
        "w̄ = z̄x + R̄w",
        "b̄ = z̄",
    ]
    check_values(whole, [w, b])


def perceptron(*, batch=False, activation=sb.sigmoid):
    if batch:
        W1, b1, W2, b2, x, t = sb.symbols("W1[D,H] b1[H] W2[H,K] b2[K] x[N,D] t[N,K]")
        z = (x @ W1 + b1).named("z")
        h = activation(z).named("h")
        y = (h @ W2 + b2).named("y")
    else:
        W1, b1, W2, b2, x, t = sb.symbols("W1[H,D] b1[H] W2[K,H] b2[K] x[D] t[K]")
        z = (W1 @ x + b1).named("z")
        h = activation(z).named("h")
        y = (W2 @ h + b2).named("y")
    return 0.5 * sb.sum((y - t) ** 2), [W1, b1, W2, b2]


@pytest.mark.lecture("D4")
def test_perceptron_in_vector_form_as_on_the_slide():
    loss, wrt = perceptron()
    forward, backward = lines(sb.backprop_table(loss, wrt))
    assert forward == ["z = W1 x + b1", "h = σ(z)", "y = W2 h + b2", "L = ½ sum((y − t)²)"]
    assert backward == [
        "L̄ = 1",
        "ȳ = L̄(y − t)",
        "W̄2 = ȳhᵀ",
        "b̄2 = ȳ",
        "h̄ = W2ᵀȳ",
        "z̄ = h̄ ⊙ σ′(z)",
        "W̄1 = z̄xᵀ",
        "b̄1 = z̄",
    ]
    check_values(loss, wrt, D=4, H=3, K=2)


@pytest.mark.lecture("D4")
def test_perceptron_on_a_minibatch():
    loss, wrt = perceptron(batch=True)
    _, backward = lines(sb.backprop_table(loss, wrt))
    assert backward == [
        "L̄ = 1",
        "ȳ = L̄(y − t)",
        "W̄2 = hᵀȳ",
        "b̄2 = sum(ȳ, axis=0)",
        "h̄ = ȳ W2ᵀ",
        "z̄ = h̄ ⊙ σ′(z)",
        "W̄1 = xᵀz̄",
        "b̄1 = sum(z̄, axis=0)",
    ]
    check_values(loss, wrt, N=5, D=4, H=3, K=2)


@pytest.mark.lecture("D5")
def test_logistic_regression_with_cross_entropy():
    θ, x, t = sb.symbols("θ[D] x[D] t")  # noqa: PLC2401  (the slide's letter)
    a = (θ @ x).named("a")
    y = sb.sigmoid(a).named("y")
    loss = (t * sb.log(y) + (1 - t) * sb.log(1 - y)).named("J")
    forward, backward = lines(sb.backprop_table(loss, [θ, x]))
    assert forward == ["a = θᵀx", "y = σ(a)", "J = t log(y) + (1 − t) log(1 − y)"]
    assert backward == ["J̄ = 1", "ȳ = J̄t/y − J̄(1 − t)/(1 − y)", "ā = ȳ σ′(a)", "θ̄ = āx", "x̄ = āθ"]
    check_values(loss, [θ, x], D=3)


def network(loss_of, output=sb.sigmoid, outputs=""):
    spec = "α[H,D] β[K,H] x[D] t[K]" if outputs else "α[H,D] β[H] x[D] t"
    alpha, beta, x, t = sb.symbols(spec)
    a = (alpha @ x).named("a")
    z = sb.sigmoid(a).named("z")
    b = (beta @ z).named("b")
    y = output(b).named("y")
    return loss_of(y, t).named("J"), [beta, alpha, x]


def cross_entropy(y, t):
    return t * sb.log(y) + (1 - t) * sb.log(1 - y)


def quadratic(y, t):
    return 0.5 * (y - t) ** 2


@pytest.mark.lecture("D6")
@pytest.mark.parametrize(
    ("loss_of", "by_y"),
    [(cross_entropy, "ȳ = J̄t/y − J̄(1 − t)/(1 − y)"), (quadratic, "ȳ = J̄(y − t)")],
)
def test_network_with_one_output(loss_of, by_y):
    loss, wrt = network(loss_of)
    forward, backward = lines(sb.backprop_table(loss, wrt))
    assert forward[:-1] == ["a = αx", "z = σ(a)", "b = βᵀz", "y = σ(b)"]
    assert backward == [
        "J̄ = 1",
        by_y,
        "b̄ = ȳ σ′(b)",
        "β̄ = b̄z",
        "z̄ = b̄β",
        "ā = z̄ ⊙ σ′(a)",
        "ᾱ = āxᵀ",
        "x̄ = αᵀā",
    ]
    check_values(loss, wrt, D=4, H=3)


@pytest.mark.lecture("D7")
def test_network_with_softmax_output():
    loss, wrt = network(lambda y, t: sb.sum(t * sb.log(y)), sb.softmax, "K")
    forward, backward = lines(sb.backprop_table(loss, wrt))
    assert forward == ["a = αx", "z = σ(a)", "b = βz", "y = softmax(b)", "J = sum(t ⊙ log(y))"]
    assert backward == [
        "J̄ = 1",
        "ȳ = J̄t/y",
        "b̄ = y ⊙ (ȳ − sum(ȳ ⊙ y))",
        "β̄ = b̄zᵀ",
        "z̄ = βᵀb̄",
        "ā = z̄ ⊙ σ′(a)",
        "ᾱ = āxᵀ",
        "x̄ = αᵀā",
    ]
    check_values(loss, wrt, D=4, H=3, K=2)


@pytest.mark.lecture("D8")
@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        (sb.tanh, "z̄ = h̄ ⊙ tanh′(z)"),
        (sb.relu, "z̄ = h̄ ⊙ [z > 0]"),
        (sb.softplus, "z̄ = h̄ ⊙ σ(z)"),
    ],
)
def test_any_activation_can_stand_in_the_network(activation, expected):
    loss, wrt = perceptron(activation=activation)
    _, backward = lines(sb.backprop_table(loss, wrt))
    assert expected in backward
    check_values(loss, wrt, D=4, H=3, K=2)


@pytest.mark.lecture("D8")
def test_an_activation_of_the_users_own_is_primed():
    swish = _elementwise(
        "swish",
        "Give x σ(x).",
        lambda g, y, x: g * (y + sb.sigmoid(x) * (1 - y)),
        numpy=Form("($0 / (1 + np.exp(-$0)))"),
        text=Form("swish($0)"),
        latex=Form(r"\operatorname{swish}\left($0\right)"),
    )
    loss, wrt = perceptron(activation=swish)
    computed = sb.backprop_table(loss, wrt)
    assert "z̄ = h̄ ⊙ swish′(z)" in lines(computed)[1]
    assert r"\overline{z} &= \overline{h} \odot \operatorname{swish}'\left(z\right)" in computed.latex()
    check_values(loss, wrt, D=4, H=3, K=2)


def test_values_stand_behind_the_lines():
    loss, w, b = univariate()
    values = dict(zip(sb.symbols("w x b t"), [1.0, 2.0, 0.5, 1.0], strict=True))
    forward, backward = lines(sb.backprop_table(loss, [w, b], values))
    assert forward == ["z = wx + b = 2.5", "y = σ(z) = 0.92414", "L = ½(y − t)² = 0.0028772"]
    assert backward[:2] == ["L̄ = 1", "ȳ = L̄(y − t) = −0.075858"]
    assert "= -0.075858" in sb.backprop_table(loss, [w, b], values).latex()


def test_values_are_refused_for_anything_but_the_symbols():
    loss, w, _ = univariate()
    with pytest.raises(ArgumentError, match=r"values are given for the loss's symbols, and q is none"):
        sb.backprop_table(loss, w, {sb.symbol("q"): 1.0})
    with pytest.raises(ArgumentError, match="no value for the symbol"):
        sb.backprop_table(loss, w, {w: 1.0})


def test_without_targets_all_float_symbols_get_a_line():
    loss, _, _ = univariate()
    names = [line.name for line in sb.backprop_table(loss).backward]
    assert names == ["L̄", "t̄", "ȳ", "z̄", "w̄", "x̄", "b̄"]


def test_a_named_value_can_be_a_target_and_is_listed_once():
    x = sb.symbol("x")
    y = sb.exp(x).named("y")
    assert lines(sb.backprop_table(y**2, [y]))[1] == ["L̄ = 1", "ȳ = 2L̄y"]


def test_an_unnamed_target_gets_a_name():
    x = sb.symbol("x")
    y = sb.exp(x)
    assert lines(sb.backprop_table(y**2, [y])) == [["u = exp(x)", "L = u²"], ["L̄ = 1", "ū = 2L̄u"]]


def test_names_that_are_taken_are_left_to_their_owners():
    L, J = sb.symbols("L J")
    inner = sb.exp(L * J).named("L")
    forward, backward = lines(sb.backprop_table(inner**2, [L]))
    assert forward == ["u = exp(LJ)", "C = u²"]
    assert backward == ["C̄ = 1", "ū = 2C̄u", "L̄ = ū exp(LJ)·J"]


def test_long_formulas_between_named_values_are_cut():
    x = sb.symbol("x")
    u = sb.exp(x).named("u")
    for _ in range(200):
        u = sb.sin(u) + 1
    computed = sb.backprop_table(u, x)
    assert max(map(len, str(computed).split("\n"))) < 300
    assert sum(line.strip().startswith(("u =", "where u =")) for line in str(computed).split("\n")) == 1


def test_fan_out_sums_the_contributions():
    x = sb.symbol("x")
    u = sb.exp(x).named("u")
    p, q = sb.sin(u).named("p"), sb.cos(u).named("q")
    loss = p * q
    computed = sb.backprop_table(loss, x)
    assert "ū = p̄ cos(u) − q̄ sin(u)" in lines(computed)[1]
    assert [len(line.terms) for line in computed.backward] == [1, 1, 1, 2, 1]
    check_values(loss, [x])


def test_values_that_no_target_feeds_have_no_error_signal():
    x, t = sb.symbols("x t")
    target = sb.exp(t).named("target")
    forward, backward = lines(sb.backprop_table((x - target) ** 2, x))
    assert forward == ["target = exp(t)", "L = (x − target)²"]
    assert backward == ["L̄ = 1", "x̄ = 2L̄(x − target)"]


def test_bad_arguments_are_named():
    loss, _, _ = univariate()
    with pytest.raises(NotDifferentiableError, match="no derivative by q"):
        sb.backprop_table(loss, sb.symbol("q"))
    with pytest.raises(ShapeError, match="takes a scalar"):
        sb.backprop_table(sb.symbol("v", "N"))


def test_latex_and_html():
    loss, w, _ = univariate()
    computed = sb.backprop_table(loss, w)
    assert computed.latex() == (
        r"\begin{aligned}& \text{Forward pass:} \\ z &= w x + b \\ y &= \sigma\left(z\right) \\ "
        r"L &= \frac{1}{2} \left(y - t\right)^{2} \\ & \text{Backward pass:} \\ \overline{L} &= 1 \\ "
        r"\overline{y} &= \overline{L} \left(y - t\right) \\ \overline{z} &= \overline{y} \, \sigma'\left(z\right) \\ "
        r"\overline{w} &= \overline{z} x\end{aligned}"
    )
    assert computed._repr_latex_() == f"$\\displaystyle {computed.latex()}$"
    assert "<b>Forward pass:</b><br>z = wx + b<br>" in computed._repr_html_()


def test_html_is_escaped():
    x = sb.symbol("<script>")
    assert "<script>" not in sb.backprop_table(sb.exp(x), x)._repr_html_()


def test_the_users_graph_is_left_alone():
    loss, w, _ = univariate()
    before = len(loss.graph)
    sb.backprop_table(loss, w)
    assert len(loss.graph) == before


def test_cost_is_linear_in_the_depth(monkeypatch):
    walked = []
    reachable = sb.Graph.reachable

    def counted(self, outputs):
        found = reachable(self, outputs)
        walked.append(len(found))
        return found

    monkeypatch.setattr(sb.Graph, "reachable", counted)

    def nodes_walked(depth):
        x, w = sb.symbols("x w")
        for layer in range(depth):
            x = sb.sin(w * x).named(f"h{layer}")
        walked.clear()
        str(sb.backprop_table(x, w))
        return sum(walked)

    assert nodes_walked(80) <= 4.5 * nodes_walked(20) + 200

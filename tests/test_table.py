"""The forward and backward lines of the lecture slides: as written, and as computed."""

from __future__ import annotations

import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.errors import ArgumentError, GraphError, NotDifferentiableError, ShapeError
from symbackprop.op import Form
from symbackprop.ops.elementwise import elementwise_op
from symbackprop.printing.names import bar


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
        name = next(name for name in nodes if bar(name) == line.name)
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
        "b̄ = y ⊙ (ȳ − ȳᵀy)",
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
    swish = elementwise_op(
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


@pytest.mark.parametrize("style", ["lines", "increments"])
def test_a_loss_may_be_a_symbol_or_its_own_target(style):
    x = sb.symbol("x")
    assert [line.value for line in sb.backprop_table(x, x, {x: 2.0}, style=style).backward] == [1.0]
    y = sb.exp(x).named("y")
    assert [line.value for line in sb.backprop_table(y, [y, y], {x: 2.0}, style=style).backward] == [1.0]


def test_an_unnamed_target_gets_a_name():
    x = sb.symbol("x")
    y = sb.exp(x)
    assert lines(sb.backprop_table(y**2, [y])) == [["u = exp(x)", "L = u²"], ["L̄ = 1", "ū = 2L̄u"]]


def test_names_that_are_taken_are_left_to_their_owners():
    L, J = sb.symbols("L J")
    inner = sb.exp(L * J).named("L")
    forward, backward = lines(sb.backprop_table(inner**2, [L]))
    assert forward == ["L_2 = exp(LJ)", "C = L_2²"]
    assert backward == ["C̄ = 1", "L̄_2 = 2C̄·L_2", "L̄ = L̄_2 exp(LJ)·J"]


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
    for misled in ("L", 3, None):
        with pytest.raises(ArgumentError, match="the loss and the targets are expressions, not"):
            sb.backprop_table(misled)
    for misled in ("w", ["w"]):
        with pytest.raises(ArgumentError, match="the loss and the targets are expressions, not 'w'"):
            sb.backprop_table(loss, misled)
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
    assert "<b>Forward pass:</b>" in computed._repr_html_()


def test_html_has_columns_and_lines_over_names():
    loss, w, b = univariate()
    values = dict(zip(sb.symbols("w x b t"), [1.0, 2.0, 0.5, 1.0], strict=True))
    page = ET.fromstring(sb.backprop_table(loss, [w, b], values)._repr_html_())  # noqa: S314 - what we wrote ourselves
    forward, backward = page.findall("tr/td/table")
    cells = [["".join(cell.itertext()) for cell in row.findall("td")] for row in forward]
    assert cells == [
        ["z", "=", "wx + b", "= 2.5"],
        ["y", "=", "σ(z)", "= 0.92414"],
        ["L", "=", "½(y − t)²", "= 0.0028772"],
    ]
    overlined = [span.text for span in backward.iter("span") if "overline" in span.get("style")]
    assert overlined == ["L", "y", "L", "z", "y", "w", "z", "b", "z"]
    assert "\u0304" not in unicodedata.normalize("NFD", "".join(page.itertext()))


def test_arrays_are_shown_tightly():
    x, W = sb.symbols("x[D] W[K,D]")
    a = (W @ x).named("a")
    table = sb.backprop_table(sb.sum(a**2), W, {x: [1.0, -0.5], W: [[0.5, 0.25], [2.0, 0.25]]})
    assert "a = Wx = [0.375, 1.875]\n" in table.text()
    mask = sb.backprop_table(sb.sum(sb.where((x > 0).named("mask"), x, 0)), x, {x: [1.0, -0.5]})
    assert "mask = x > 0 = [True, False]\n" in mask.text()
    assert table.text().endswith("W̄ = āxᵀ = [[0.75, −0.375], [3.75, −1.875]]")


def test_html_is_escaped():
    x = sb.symbol("<script>")
    assert "<script>" not in sb.backprop_table(sb.exp(x), x)._repr_html_()


# --- increments ----------------------------------------------------------------------------------------------------


def nested_sines():
    x = sb.symbol("x")
    t = (x**2).named("t")
    u1, u2 = sb.sin(t).named("u1"), (3 * t).named("u2")
    return sb.cos((u1 + u2).named("u")).named("J"), x


@pytest.mark.lecture("A10")
def test_increments_are_those_of_the_slide():
    loss, x = nested_sines()
    forward, backward = lines(sb.backprop_table(loss, x, style="increments"))
    assert forward == ["t = x²", "u1 = sin(t)", "u2 = 3t", "u = u1 + u2", "J = cos(u)"]
    assert backward == [
        "dJ/du = dJ/du1 = dJ/du2 = dJ/dt = dJ/dx = 0",
        "dJ/dJ = 1",
        "dJ/du += −sin(u)",
        "dJ/du1 += dJ/du · du/du1, du/du1 = 1",
        "dJ/du2 += dJ/du · du/du2, du/du2 = 1",
        "dJ/dt += dJ/du1 · du1/dt, du1/dt = cos(t)",
        "dJ/dt += dJ/du2 · du2/dt, du2/dt = 3",
        "dJ/dx += dJ/dt · dt/dx, dt/dx = 2x",
    ]


@pytest.mark.lecture("A10")
def test_increments_show_how_far_each_sum_has_come():
    loss, x = nested_sines()
    computed = sb.backprop_table(loss, x, {x: 1.0}, style="increments")
    _, backward = lines(computed)
    assert backward[2:] == [
        "dJ/du += −sin(u) = 0.64412",
        "dJ/du1 += dJ/du · du/du1 = 0.64412, du/du1 = 1",
        "dJ/du2 += dJ/du · du/du2 = 0.64412, du/du2 = 1",
        "dJ/dt += dJ/du1 · du1/dt = 0.34802, du1/dt = cos(t) = 0.5403; dJ/dt = 0.34802",
        "dJ/dt += dJ/du2 · du2/dt = 1.9324, du2/dt = 3; dJ/dt = 2.2804",
        "dJ/dx += dJ/dt · dt/dx = 4.5608, dt/dx = 2x = 2",
    ]
    assert computed.forward[-1].value == pytest.approx(-0.764920563, abs=5e-10)
    assert computed.backward[-1].total == pytest.approx(4.560791791, abs=5e-10)
    partials = {line.partial.name: line.partial.value for line in computed.backward if line.partial}
    assert partials.keys() == {"du/du1", "du/du2", "du1/dt", "du2/dt", "dt/dx"}


def test_increments_in_latex_and_html():
    loss, x = nested_sines()
    computed = sb.backprop_table(loss, x, {x: 1.0}, style="increments")
    latex = computed.latex()
    assert r"\\ \frac{dJ}{du} &\mathrel{+}= -\sin\left(u\right) = 0.64412 \\" in latex
    assert (
        r"\\ \frac{dJ}{dt} &\mathrel{+}= \frac{dJ}{du_{2}} \frac{du_{2}}{dt} = 1.9324, "
        r"\quad \frac{du_{2}}{dt} = 3; \quad \frac{dJ}{dt} = 2.2804 \\"
    ) in latex
    cells = [re.sub("<[^>]*>", "", cell) for cell in re.findall("<td[^>]*>([^<]*)</td>", computed._repr_html_())]
    at = cells.index("dJ/du2 · du2/dt")
    assert cells[at - 2 : at + 4] == ["dJ/dt", "+=", "dJ/du2 · du2/dt", "= 1.9324", "du2/dt = 3", "dJ/dt = 2.2804"]


def totals(computed):
    """Give the derivatives that a table comes to, by the name of the value that they are by."""
    final = {}
    for line in computed.backward:
        final[line.ratio[1] if line.ratio else line.name] = line.value if line.total is None else line.total
    return final


def differences(loss, node, values, seed=0):
    """Give a direction and the centred difference of a loss along it, where a node's value is changed."""
    at = np.asarray(sb.evaluate(node, values))
    direction = np.random.default_rng(seed).normal(size=at.shape)
    ends = [sb.evaluate(loss, {**values, node: at + shift * direction}) for shift in (1e-6, -1e-6)]
    return direction, (ends[0] - ends[1]) / 2e-6


def tensors(rank):
    """A loss of tensors of this rank, and what to differentiate by: contractions, sums, broadcasting."""
    shape, letters = (3, 2, 4, 2)[:rank], "ijkl"[:rank]
    T, c = sb.symbol("T", shape), sb.symbol("c")
    S = sb.sin(T).named("S")
    U = (S * c).named("U")
    if not rank:
        return (U**2 * S).named("J"), [T, c]
    M, w = sb.symbol("M", (shape[-1], 3)), sb.symbol("w", shape[:1])
    V = sb.tensordot(U, M, axes=1).named("V")
    A = sb.einsum(f"{letters},{letters[0]}->{letters[1:]}", U, w).named("A")
    B = sb.sum(U, axis=-1, keepdims=True).named("B")
    C = (U - B).named("C")
    return (sb.sum(V**2) + sb.sum(A * A) + sb.mean(C**3)).named("J"), [T, c, M, w]


def several_losses():
    loss, w, b = univariate()
    yield "univariate", loss, [w, b], {}
    yield "regularised", (loss + sb.symbol("λ") * (0.5 * w**2).named("R")).named("L_reg"), [w, b], {}
    yield "perceptron", *perceptron(), {"D": 4, "H": 3, "K": 2}
    yield "batch", *perceptron(batch=True), {"N": 5, "D": 4, "H": 3, "K": 2}
    yield "network", *network(cross_entropy), {"D": 4, "H": 3}
    yield "softmax", *network(lambda y, t: sb.sum(t * sb.log(y)), sb.softmax, "K"), {"D": 4, "H": 3, "K": 2}
    loss, x = nested_sines()
    yield "sines", loss, [x], {}
    for rank in range(5):
        yield f"rank {rank}", *tensors(rank), {}


@pytest.mark.lecture("A10")
@pytest.mark.lecture("A11")
@pytest.mark.parametrize("every", [False, True], ids=["named", "every"])
@pytest.mark.parametrize("style", ["lines", "increments"])
@pytest.mark.parametrize("which", range(12))
def test_every_derivative_has_its_value_s_shape_and_agrees_with_finite_differences(which, style, every):
    name, loss, wrt, sizes = list(several_losses())[which]
    values = drawn(loss, seed=which, **sizes)
    computed = sb.backprop_table(loss, wrt, values, style=style, every=every)
    found = totals(computed)
    nodes = {**{target.name: target for target in wrt}, **labelled(loss)}
    names = {node if style == "increments" else bar(node): nodes[node] for node in nodes}
    if not every:
        assert names.keys() >= found.keys() - {"L", "L̄"}, name
    checked = 0
    for called, node in names.items():
        if called in found:
            assert np.shape(found[called]) == np.shape(sb.evaluate(node, values))
            direction, slope = differences(loss, node, values)
            np.testing.assert_allclose(np.sum(found[called] * direction), slope, rtol=2e-7, atol=1e-9, err_msg=called)
            checked += 1
    assert checked >= len(wrt) + 1


@pytest.mark.parametrize("every", [False, True], ids=["named", "every"])
@pytest.mark.parametrize("which", range(12))
def test_every_line_is_read_back_with_the_same_value(which, every):
    _, loss, wrt, sizes = list(several_losses())[which]
    values = drawn(loss, seed=which, **sizes)
    shown = sb.backprop_table(loss, wrt, every=every)
    computed = sb.backprop_table(loss, wrt, values, every=every)
    named = {expr.name: expr for expr in values}
    known = dict(values)
    written = [line.strip().split(" = ", 1) for line in shown.text().split("\n") if " = " in line]
    assert len(written) == len(computed.forward) + len(computed.backward)
    for (left, right), line in zip(written, [*computed.forward, *computed.backward], strict=True):
        assert left == line.name
        found = sb.evaluate(sb.parse(right, named, sizes=sizes), known)
        np.testing.assert_allclose(found, line.value, rtol=1e-9, atol=1e-12, err_msg=f"{left} = {right}")
        named[left] = sb.symbol(left, line.formula.shape)
        known[named[left]] = line.value


@pytest.mark.lecture("A11")
@pytest.mark.parametrize("rank", range(5))
def test_tensors_of_any_rank_stand_at_the_nodes(rank):
    loss, wrt = tensors(rank)
    computed = sb.backprop_table(loss, wrt, drawn(loss), style="increments")
    by_name = {line.ratio[1]: line for line in computed.backward}
    for name in ("T", "S", "U"):
        assert by_name[name].formula.shape == by_name[name].total.shape == (3, 2, 4, 2)[:rank]
    _, backward = lines(computed)
    letters = "ᵢⱼₖₗ"[:rank]
    if rank > 1:
        outer = "w(dJ/dA)ᵀ" if rank == 2 else f"[(dJ/dA){letters[1:]}wᵢ]{letters}"
        assert any(line.startswith(f"dJ/dU += {outer} = ") for line in backward)


def test_where_elements_mix_the_contribution_is_written_out():
    x, W = sb.symbols("x[D] W[K,D]")
    a = (W @ x).named("a")
    h = sb.tanh(a).named("h")
    s = sb.sum(h).named("s")
    _, backward = lines(sb.backprop_table((s**2).named("J"), [W, x], style="increments"))
    assert backward[2:] == [
        "dJ/ds += 2s",
        "dJ/dh += dJ/ds · ds/dh, ds/dh = 1",
        "dJ/da += dJ/dh ⊙ dh/da, dh/da = tanh′(a)",
        "dJ/dx += Wᵀ(dJ/da)",
        "dJ/dW += (dJ/da)xᵀ",
    ]


def test_every_operation_can_have_a_line():
    x = sb.symbol("x")
    loss = sb.cos(sb.sin(x**2).named("s") * 3)
    forward, backward = lines(sb.backprop_table(loss, x, style="increments", every=True))
    assert forward == ["u1 = x²", "s = sin(u1)", "u2 = 3s", "L = cos(u2)"]
    assert backward[1:] == [
        "dL/dL = 1",
        "dL/du2 += −sin(u2)",
        "dL/ds += dL/du2 · du2/ds, du2/ds = 3",
        "dL/du1 += dL/ds · ds/du1, ds/du1 = cos(u1)",
        "dL/dx += dL/du1 · du1/dx, du1/dx = 2x",
    ]


def test_a_name_given_twice_is_numbered():
    x = sb.symbol("x")
    inner = sb.sin(x).named("h")
    forward, backward = lines(sb.backprop_table(sb.cos(inner).named("h") * inner, x))
    assert forward == ["h = sin(x)", "h_2 = cos(h)", "L = h_2·h"]
    assert backward == ["L̄ = 1", "h̄_2 = L̄h", "h̄ = L̄·h_2 − h̄_2 sin(h)", "x̄ = h̄ cos(x)"]


def test_names_with_blanks_and_bars_are_kept_apart():
    z, x = sb.symbols("z̄ x")
    h = sb.sin(z * x).named("z")
    computed = sb.backprop_table((h**2).named("the loss"), [x, z], {z: 0.5, x: 2.0})
    assert len({line.name for line in computed.backward} | {"z̄"}) == 5
    assert computed.forward[-1].name == "the_loss"
    np.testing.assert_allclose(computed.backward[-1].value, 2 * np.sin(1) * np.cos(1) * 2)


def test_paths_without_a_derivative_have_no_lines():
    x = sb.symbol("x")
    u = sb.sin(x).named("u")
    v = (sb.step(u) + u).named("v")
    w = sb.step(v).named("w")
    loss = (u * w + v).named("J")
    values = {x: 0.5}
    for style in ("lines", "increments"):
        computed = sb.backprop_table(loss, x, values, style=style)
        np.testing.assert_allclose(totals(computed).popitem()[1], 2 * np.cos(0.5))
        assert not any("w" in line.name for line in computed.backward)


def test_an_unknown_style_is_refused():
    loss, w, _ = univariate()
    with pytest.raises(ValueError, match='style is "lines" or "increments", not \'traces\''):
        sb.backprop_table(loss, w, style="traces")


def test_increments_of_an_activation_of_the_users_own():
    swish = elementwise_op(
        "swish",
        "Give x σ(x).",
        lambda g, y, x: g * (y + sb.sigmoid(x) * (1 - y)),
        numpy=Form("($0 / (1 + np.exp(-$0)))"),
        text=Form("swish($0)"),
        latex=Form(r"\operatorname{swish}\left($0\right)"),
    )
    loss, wrt = perceptron(activation=swish)
    values = drawn(loss, D=4, H=3, K=2)
    computed = sb.backprop_table(loss, wrt, values, style="increments")
    line = next(line for line in lines(computed)[1] if line.startswith("dL/dz += dL/dh ⊙ dh/dz = "))
    assert ", dh/dz = swish′(z) = [" in line


# --- modules -------------------------------------------------------------------------------------------------------


def in_modules(*, softmax=False, loss_of=cross_entropy):
    """The network of five modules: linear, sigmoid, linear, output, cross-entropy."""
    alpha, beta, x, t = sb.symbols("α[H,D] β[K,H] x[D] t[K]" if softmax else "α[H,D] β[H] x[D] t")
    with sb.module("Module 1"):
        a = (alpha @ x).named("a")
    with sb.module("Module 2"):
        z = sb.sigmoid(a).named("z")
    with sb.module("Module 3"):
        b = (beta @ z).named("b")
    with sb.module("Module 4"):
        y = (sb.softmax(b) if softmax else sb.sigmoid(b)).named("y")
    with sb.module("Module 5"):
        loss = sb.sum(t * sb.log(y)) if softmax else loss_of(y, t)
    return loss.named("J"), [beta, alpha, x]


@pytest.mark.lecture("A12")
def test_lines_are_grouped_by_modules_as_on_the_slide():
    loss, wrt = in_modules()
    computed = sb.backprop_table(loss, wrt, style="increments", modules=True)
    assert computed.modules == [f"Module {at}" for at in range(1, 6)]
    assert (
        computed.text()
        == """Module 5:
  Forward:
    J = t log(y) + (1 − t) log(1 − y)
  Backward:
    dJ/dy = dJ/db = dJ/dβ = dJ/dz = dJ/da = dJ/dα = dJ/dx = 0
    dJ/dJ = 1
    dJ/dy += t/y − (1 − t)/(1 − y)

Module 4:
  Forward:
    y = σ(b)
  Backward:
    dJ/db += dJ/dy · dy/db, dy/db = σ′(b)

Module 3:
  Forward:
    b = βᵀz
  Backward:
    dJ/dβ += dJ/db · db/dβ, db/dβ = z
    dJ/dz += dJ/db · db/dz, db/dz = β

Module 2:
  Forward:
    z = σ(a)
  Backward:
    dJ/da += dJ/dz ⊙ dz/da, dz/da = σ′(a)

Module 1:
  Forward:
    a = αx
  Backward:
    dJ/dα += (dJ/da)xᵀ
    dJ/dx += αᵀ(dJ/da)"""
    )
    flat = sb.backprop_table(loss, wrt, style="increments")
    assert sorted(lines_of(computed)) == sorted(lines_of(flat))
    assert r"& \boldsymbol{\mathrm{Module\ 5}} \\ & \text{Forward:} \\ J &= " in computed.latex()
    assert "<th colspan='2' style='text-align: left'>Module 5</th>" in computed._repr_html_()


def lines_of(computed):
    return [line.strip() for line in computed.text().split("\n") if "=" in line]


def run_modules(loss, wrt, values, depth=1):
    """Compile the passes of each module by themselves and chain them; give the derivatives by name."""
    parts = sb.modules(loss, wrt, depth=depth)
    known = {expr.name: value for expr, value in values.items()}
    for part in parts:
        forward = sb.compile(part.inputs, part.outputs, skip=["accurate"])
        known |= forward(*(known[expr.name] for expr in part.inputs))
    derivatives = {name: 1.0 for part in parts for name in part.signals if part is parts[-1]}
    for part in reversed(parts):
        if part.gradients:
            backward = sb.compile([*part.inputs, *part.signals.values()], part.gradients, skip=["accurate"])
            given = [derivatives[name] for name in part.signals]
            for name, found in backward(*(known[expr.name] for expr in part.inputs), *given).items():
                derivatives[name] = derivatives[name] + found if name in derivatives else found
    return known, derivatives


@pytest.mark.lecture("A12")
@pytest.mark.parametrize("softmax", [False, True])
def test_modules_compiled_one_by_one_agree_with_the_flat_graph(softmax):
    loss, wrt = in_modules(softmax=softmax)
    values = drawn(loss, D=4, H=3, K=2)
    known, derivatives = run_modules(loss, wrt, values)
    flat = sb.backprop(loss, values)  # without rewriting, as modules compute
    assert known["J"] == sb.evaluate(loss, values)
    for target in wrt:
        np.testing.assert_array_equal(derivatives[target.name], flat[target])
        by_one_function = sb.evaluate(sb.grad(loss, target), values)
        np.testing.assert_allclose(derivatives[target.name], by_one_function, rtol=1e-13, atol=1e-15)


def test_a_module_tells_what_enters_and_what_leaves():
    x, w, v = sb.symbols("x[N] w[N] v")
    with sb.module("encoder"):
        h = sb.tanh(w * x)  # two values leave, one of them used by the other, neither has a name
        s = sb.sum(h)
    with sb.module("decoder"):
        loss = sb.sum((v * s * h - x) ** 2) + 3
    first, second = sb.modules(loss, [w, v])
    assert [expr.name for expr in first.inputs] == ["x", "w"]
    assert list(first.outputs) == list(first.signals) == ["u", "p"]
    assert list(first.gradients) == ["w"]
    assert [expr.name for expr in second.inputs] == ["x", "v", "u", "p"]
    assert list(second.outputs) == ["L"]
    assert list(second.gradients) == ["v", "u", "p"]
    lines_of_first = [line.strip() for line in str(first).split("\n")]
    assert lines_of_first[:-1] == [
        "encoder:",
        "Forward:",
        "u = tanh(w ⊙ x)",
        "p = sum(tanh(w ⊙ x))",
        "Backward, given ū, p̄:",
    ]
    assert lines_of_first[-1].startswith("w̄ += ")
    values = drawn(loss, N=4)
    _, derivatives = run_modules(loss, [w, v], values)
    for target in (w, v):
        np.testing.assert_allclose(derivatives[target.name], sb.evaluate(sb.grad(loss, target), values), rtol=1e-13)


def test_a_value_used_in_two_modules_gets_a_term_from_each():
    w, x, t, rate = sb.symbols("w x t λ")
    with sb.module("unit"):
        y = sb.sigmoid((w * x).named("z")).named("y")
    with sb.module("fit"):
        L = (0.5 * (y - t) ** 2).named("L")
    with sb.module("decay"):
        R = (0.5 * w**2).named("R")
    with sb.module("cost"):
        cost = (L + rate * R).named("C")
    values = dict(zip([w, x, t, rate], [0.5, 2.0, 1.0, 0.1], strict=True))
    for style in ("lines", "increments"):
        computed = sb.backprop_table(cost, w, values, style=style, modules=True)
        slope = sb.evaluate(sb.grad(cost, w), values)
        np.testing.assert_allclose(totals(computed)["w" if style == "increments" else "w̄"], slope, rtol=1e-12)
    text = sb.backprop_table(cost, w, modules=True).text()
    assert "w̄ = R̄w\n" in text
    assert text.endswith("w̄ += z̄x")


def test_modules_may_stand_in_modules_and_be_entered_again():
    x, w = sb.symbols("x w")
    with sb.module("net"):
        a = (w * x).named("a")
        with sb.module("inner"):
            b = sb.sin(a).named("b")
        c = (b * w).named("c")
    d = sb.exp(c).named("d")
    with sb.module("net"):
        e = (d * a).named("e")
    with sb.module("loss"):
        loss = (e**2).named("J")
    assert b.node.module == ("net", "inner")
    assert [part.name for part in sb.modules(loss)] == ["net", "outside of modules", "net (2)", "loss"]
    deep = ["net", "net / inner", "net (2)", "outside of modules", "net (3)", "loss"]
    assert [part.name for part in sb.modules(loss, depth=2)] == deep
    assert sb.backprop_table(loss, modules=2).modules == deep
    values = {x: 0.5, w: 1.5}
    for depth in (1, 2):
        _, derivatives = run_modules(loss, [w], values, depth)
        np.testing.assert_allclose(derivatives["w"], sb.backprop(loss, values)[w], rtol=1e-14)


def test_what_walkers_make_belongs_to_the_module_that_it_is_made_for():
    loss, wrt = in_modules(loss_of=quadratic)
    with sb.module("elsewhere"):
        gradients = sb.grad(loss, wrt)
        simple = sb.simplify(gradients)
        graph = loss.graph
        made = {
            node.module
            for number in graph.reachable([expr.number for expr in gradients])
            for node in [graph.nodes[number]]
            if node.backward
        }
    assert made == {(f"Module {at}",) for at in range(1, 6)}
    graph.verify()
    nodes = [graph.nodes[number] for number in graph.reachable([expr.number for expr in simple])]
    assert {node.module for node in nodes if node.inputs} <= made
    assert graph.dag.nodes[loss.number]["module"] == ("Module 5",)


def test_equal_nodes_of_two_modules_become_one_of_the_first():
    x = sb.symbol("x")
    with sb.module("first"):
        a = sb.exp(x)
    with sb.module("second"):
        b = sb.exp(x)
    assert (a.node.module, b.node.module) == (("first",), ("second",))
    one, other = sb.simplify([sb.sin(a), sb.cos(b)])
    assert one.inputs == other.inputs
    assert one.inputs[0].node.module == ("first",)


def test_modules_of_two_threads_are_kept_apart():
    def build(name):
        with sb.Graph(), sb.module(name):
            return [sb.exp(sb.symbol("x")).node.module for _ in range(200)]

    with ThreadPoolExecutor(4) as pool, sb.module("caller"):
        for name, found in zip("abcdefgh", pool.map(build, "abcdefgh"), strict=True):
            assert set(found) == {(name,)}


def test_a_symbol_belongs_to_the_module_that_it_is_made_in():
    with sb.module("layer"):
        W = sb.symbol("W")
    assert W.node.module == ("layer",)
    assert sb.symbol("x").node.module == ()


def test_mistakes_with_modules_are_named():
    loss, w, _ = univariate()
    with pytest.raises(ArgumentError, match=r"was made in no module: make its parts under with sb\.module\('name'\):"):
        sb.backprop_table(loss, w, modules=True)
    for name in ("", " ", 3, None):
        with pytest.raises(GraphError, match="module: a name is a text such as 'hidden', not"), sb.module(name):
            pass
    hidden = sb.exp(w)
    with pytest.raises(ArgumentError, match=r"modules: the targets are symbols, and exp\(w\) is none"):
        sb.modules(hidden**2, [hidden])
    for misled in (lambda: sb.modules(loss, depth=0), lambda: sb.backprop_table(loss, modules=-1)):
        with pytest.raises(ValueError, match="modules are looked into 1 deep or deeper, not"):
            misled()
    with pytest.raises(ShapeError, match="modules takes a scalar"):
        sb.modules(sb.symbol("v", "N"))
    with pytest.raises(NotDifferentiableError, match="modules: L has no derivative by q"):
        sb.modules(loss, sb.symbol("q"))


def test_the_cost_of_modules_is_linear_in_the_depth(monkeypatch):
    walked = []
    reachable = sb.Graph.reachable

    def counted(self, outputs, **options):
        found = reachable(self, outputs, **options)
        walked.append(len(found))
        return found

    monkeypatch.setattr(sb.Graph, "reachable", counted)

    def nodes_walked(depth, names):
        with sb.Graph():
            h, w = sb.symbols("h w")
            states = []
            for layer in range(depth):
                with sb.module(names(layer)):
                    h = sb.sin(w * h).named(f"h{layer}")
                states.append(h)
            with sb.module("loss"):  # every state leaves its module
                loss = sum(states[1:], states[0])
            walked.clear()
            sb.modules(loss, w)
            return sum(walked)

    for names in (str, lambda layer: "cell"):
        assert nodes_walked(80, names) <= 4.5 * nodes_walked(20, names) + 200


def test_the_users_graph_is_left_alone():
    loss, w, _ = univariate()
    before = len(loss.graph)
    sb.backprop_table(loss, w)
    assert len(loss.graph) == before


@pytest.mark.parametrize("options", [{}, {"style": "increments"}, {"style": "increments", "modules": True}])
def test_cost_is_linear_in_the_depth(monkeypatch, options):
    walked = []
    reachable = sb.Graph.reachable

    def counted(self, outputs, **options):
        found = reachable(self, outputs, **options)
        walked.append(len(found))
        return found

    monkeypatch.setattr(sb.Graph, "reachable", counted)

    def nodes_walked(depth):
        x, w = sb.symbols("x w")
        for layer in range(depth):
            with sb.module(f"layer {layer}"):
                x = sb.sin(w * x).named(f"h{layer}")
        walked.clear()
        str(sb.backprop_table(x, w, **options))
        return sum(walked)

    assert nodes_walked(80) <= 4.5 * nodes_walked(20) + 200

"""Networks: the forward and backward lines of the slides, their gradients as formulas and numbers, and XOR."""

import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import symbackprop as sb
from symbackprop import train
from symbackprop.errors import NotDifferentiableError

POINTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
XOR = np.array([0.0, 1.0, 1.0, 0.0])


@pytest.fixture(autouse=True)
def fresh_graph():
    with sb.Graph():
        yield


def written_sigmoid(u):
    return 1 / (1 + sb.exp(-u))


def backward(loss, wrt):
    """Give the backward lines as the table prints them."""
    return [line.strip() for line in str(sb.backprop_table(loss, wrt)).split("Backward pass:\n")[1].splitlines()]


def numbers(loss, wrt, values):
    """Give the gradients in numbers, under the names of their targets."""
    found = sb.compile(list(values), sb.grad(loss, list(wrt.values())))(*values.values())
    return dict(zip(wrt, found, strict=True))


def assert_close(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-12, atol=1e-14, err_msg=name)


def normal(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


# --- D1, D2: least squares with a logistic unit ---------------------------------------------------------------


@pytest.mark.lecture("D1")
def test_a_logistic_unit_as_in_calculus_class():
    w, x, b, t = sb.symbols("w x b t")
    L = 0.5 * (sb.sigmoid(w * x + b) - t) ** 2
    dw, db = sb.grad(L, [w, b])
    assert dw.text(primes=True) == "(σ(wx + b) − t) σ′(wx + b)·x"
    assert db.text(primes=True) == "(σ(wx + b) − t) σ′(wx + b)"
    assert dw.latex(primes=True) == (r"\left(\sigma\left(w x + b\right) - t\right) \, \sigma'\left(w x + b\right) \, x")
    y = 1 / (1 + np.exp(-1.25))
    values = {w: 0.5, x: 2.0, b: 0.25, t: 1.0}
    assert_close(numbers(L, {"w": w, "b": b}, values), {"w": (y - 1) * y * (1 - y) * 2, "b": (y - 1) * y * (1 - y)})


@pytest.mark.lecture("D1")
def test_a_logistic_unit_the_structured_way():
    w, x, b, t = sb.symbols("w x b t")
    z = (w * x + b).named("z")
    y = sb.sigmoid(z).named("y")
    L = (0.5 * (y - t) ** 2).named("L")
    table = sb.backprop_table(L, [w, b])
    assert str(table).splitlines() == [
        "Forward pass:",
        "  z = wx + b",
        "  y = σ(z)",
        "  L = ½(y − t)²",
        "",
        "Backward pass:",
        "  L̄ = 1",
        "  ȳ = L̄(y − t)",
        "  z̄ = ȳ σ′(z)",
        "  w̄ = z̄x",
        "  b̄ = z̄",
    ]


@pytest.mark.lecture("D1")
def test_the_two_gradients_share_all_but_one_product():
    w, x, b, t = sb.symbols("w x b t")
    dw, db = sb.grad(0.5 * (sb.sigmoid(w * x + b) - t) ** 2, [w, b])

    def flops(*outputs):
        return sb.compile([w, x, b, t], list(outputs)).report().rows[-1].flops

    assert flops(dw, db) == flops(db) + 1 == flops(dw)
    body = sb.compile([w, x, b, t], [dw, db]).source.split('"""Compute')[1]
    assert len(re.findall(r"exp\(", body)) == 1  # of which both the sigmoid and its derivative are made


@pytest.mark.lecture("D2")
def test_a_regularised_logistic_unit_has_the_lines_of_the_slide():
    w, x, b, t, lam = (sb.symbol(name) for name in ("w", "x", "b", "t", "λ"))
    z = (w * x + b).named("z")
    y = sb.sigmoid(z).named("y")
    L = (0.5 * (y - t) ** 2).named("L")
    R = (0.5 * w**2).named("R")
    L_reg = (L + lam * R).named("L_reg")
    assert str(sb.backprop_table(L_reg, [w, b])).splitlines() == [
        "Forward pass:",
        "  z = wx + b",
        "  y = σ(z)",
        "  L = ½(y − t)²",
        "  R = ½w²",
        "  L_reg = L + λR",
        "",
        "Backward pass:",
        "  L̄_reg = 1",
        "  R̄ = L̄_reg·λ",
        "  L̄ = L̄_reg",
        "  ȳ = L̄(y − t)",
        "  z̄ = ȳ σ′(z)",
        "  w̄ = z̄x + R̄w",
        "  b̄ = z̄",
    ]
    values = {w: 0.5, x: 2.0, b: -0.25, t: 1.0, lam: 0.125}
    known = {line.name: line.value for line in sb.backprop_table(L_reg, [w, b], values).backward}
    yv = 1 / (1 + np.exp(-0.75))
    zbar = (yv - 1) * yv * (1 - yv)
    expected = {"ȳ": yv - 1, "z̄": zbar, "R̄": 0.125, "w̄": zbar * 2 + 0.125 * 0.5, "b̄": zbar, "L̄_reg": 1.0, "L̄": 1.0}
    assert_close(known, expected)


# --- D3: multi-class logistic regression ----------------------------------------------------------------------


@pytest.mark.lecture("D3")
@pytest.mark.parametrize("loss", ["written", "softmax", "library"])
def test_multi_class_logistic_regression(loss):
    W, x, b, t = sb.symbols("W[K,D] x[D] b[K] t[K]")
    sb.assume(t, rows_sum_to=1)
    z = W @ x + b
    L = {
        "written": lambda: -sb.sum(t * sb.log(sb.exp(z) / sb.sum(sb.exp(z)))),
        "softmax": lambda: -sb.sum(t * sb.log(sb.softmax(z))),
        "library": lambda: train.softmax_cross_entropy(z, t),
    }[loss]()
    dW, db = sb.grad(L, [W, b])
    assert str(dW) == "(softmax(Wx + b) − t)xᵀ"
    assert str(db) == "softmax(Wx + b) − t"
    Wv, xv, bv = normal(4, (3, 4), 4, 3)
    tv = np.array([0.0, 1.0, 0.0])
    p = np.exp(Wv @ xv + bv) / np.exp(Wv @ xv + bv).sum()
    found = numbers(L, {"W": W, "b": b}, {W: Wv, x: xv, b: bv, t: tv})
    assert_close(found, {"W": np.outer(p - tv, xv), "b": p - tv})


# --- D4: a multi-layer perceptron with several outputs --------------------------------------------------------


@pytest.mark.lecture("D4")
def test_a_perceptron_in_vector_form_has_the_lines_of_the_slide():
    W1, b1, W2, b2, x, t = sb.symbols("W1[H,D] b1[H] W2[K,H] b2[K] x[D] t[K]")
    z = (W1 @ x + b1).named("z")
    h = sb.sigmoid(z).named("h")
    y = (W2 @ h + b2).named("y")
    L = (0.5 * sb.sum((y - t) ** 2)).named("L")
    assert str(sb.backprop_table(L, [W1, b1, W2, b2])).splitlines() == [
        "Forward pass:",
        "  z = W1 x + b1",
        "  h = σ(z)",
        "  y = W2 h + b2",
        "  L = ½ sum((y − t)²)",
        "",
        "Backward pass:",
        "  L̄ = 1",
        "  ȳ = L̄(y − t)",
        "  W̄2 = ȳhᵀ",
        "  b̄2 = ȳ",
        "  h̄ = W2ᵀȳ",
        "  z̄ = h̄ ⊙ σ′(z)",
        "  W̄1 = z̄xᵀ",
        "  b̄1 = z̄",
    ]


@pytest.mark.lecture("D4")
def test_a_perceptron_in_indices_has_the_lines_of_the_slide_and_the_numbers_of_the_vector_form():
    two = range(2)
    x, b1, b2, t = ([sb.symbol(f"{name}{i}") for i in two] for name in ("x", "b1_", "b2_", "t"))
    w1, w2 = ([[sb.symbol(f"{name}_{i}{j}") for j in two] for i in two] for name in ("w1", "w2"))
    z = [(w1[i][0] * x[0] + w1[i][1] * x[1] + b1[i]).named(f"z{i}") for i in two]
    h = [sb.sigmoid(z[i]).named(f"h{i}") for i in two]
    y = [(w2[k][0] * h[0] + w2[k][1] * h[1] + b2[k]).named(f"y{k}") for k in two]
    L = (0.5 * ((y[0] - t[0]) ** 2 + (y[1] - t[1]) ** 2)).named("L")
    scalars = {name.name: name for name in [*w1[0], *w1[1], *b1, *w2[0], *w2[1], *b2]}
    lines = set(backward(L, scalars.values()))
    assert lines == {
        "L̄ = 1",
        *(f"ȳ{k} = L̄(y{k} − t{k})" for k in two),
        *(f"w̄2_{k}{i} = ȳ{k}·h{i}" for k in two for i in two),
        *(f"b̄2_{k} = ȳ{k}" for k in two),
        *(f"h̄{i} = ȳ0·w2_0{i} + ȳ1·w2_1{i}" for i in two),
        *(f"z̄{i} = h̄{i} σ′(z{i})" for i in two),
        *(f"w̄1_{i}{j} = z̄{i}·x{j}" for i in two for j in two),
        *(f"b̄1_{i} = z̄{i}" for i in two),
    }
    W1v, b1v, W2v, b2v, xv, tv = normal(5, (2, 2), 2, (2, 2), 2, 2, 2)
    values = dict(zip([*w1[0], *w1[1], *w2[0], *w2[1]], [*W1v.ravel(), *W2v.ravel()], strict=True))
    values |= dict(zip([*b1, *b2, *x, *t], [*b1v, *b2v, *xv, *tv], strict=True))
    found = numbers(L, scalars, values)

    hv = 1 / (1 + np.exp(-(W1v @ xv + b1v)))
    y_bar = W2v @ hv + b2v - tv
    z_bar = (W2v.T @ y_bar) * hv * (1 - hv)
    expected = [*np.outer(z_bar, xv).ravel(), *z_bar, *np.outer(y_bar, hv).ravel(), *y_bar]
    assert_close(found, dict(zip(scalars, expected, strict=True)))


# --- D5: case 1, logistic regression --------------------------------------------------------------------------


def likelihood(y, t):
    """Give J with the slides' sign, which is to be maximised."""
    return (t * sb.log(y) + (1 - t) * sb.log(1 - y)).named("J")


@pytest.mark.lecture("D5")
def test_case_1_logistic_regression():
    theta, x, t = sb.symbol("θ", "D"), sb.symbol("x", "D"), sb.symbol("y*")
    a = (theta @ x).named("a")
    y = sb.sigmoid(a).named("y")
    J = likelihood(y, t)
    assert backward(J, [theta, x]) == [
        "J̄ = 1",
        "ȳ = J̄·y*/y − J̄(1 − y*)/(1 − y)",
        "ā = ȳ σ′(a)",
        "θ̄ = āx",
        "x̄ = āθ",
    ]
    assert [str(slope) for slope in sb.grad(J, [a, theta, x])] == [
        "y* − σ(θᵀx)",
        "(y* − σ(θᵀx))x",
        "(y* − σ(θᵀx))θ",
    ]


@pytest.mark.lecture("D5")
def test_case_1_in_the_numbers_of_the_slides_formulas():
    theta, x, t = sb.symbol("θ", "D"), sb.symbol("x", "D"), sb.symbol("y*")
    a = theta @ x
    y = written_sigmoid(a)
    (theta_v, xv), tv = normal(6, 4, 4), 0.25
    av = theta_v @ xv
    yv = 1 / (1 + np.exp(-av))
    dy = tv / yv + (1 - tv) / (yv - 1)
    da = dy * np.exp(-av) / (np.exp(-av) + 1) ** 2
    found = numbers(likelihood(y, t), {"y": y, "a": a, "θ": theta, "x": x}, {theta: theta_v, x: xv, t: tv})
    assert_close(found, {"y": dy, "a": da, "θ": da * xv, "x": da * theta_v})


# --- D6: case 2, a network with sigmoids ----------------------------------------------------------------------

LOSSES = {
    "cross-entropy": (likelihood, "ȳ = J̄·y*/y − J̄(1 − y*)/(1 − y)", lambda y, t: t / y + (1 - t) / (y - 1)),
    "quadratic": (lambda y, t: (0.5 * (y - t) ** 2).named("J"), "ȳ = J̄(y − y*)", lambda y, t: y - t),
}


def case_2(loss, sigmoid):
    """Give J and the values (A) to (F) of the slides by name."""
    alpha, beta = sb.symbol("α", ("D", "M")), sb.symbol("β", "D")
    x, t = sb.symbol("x", "M"), sb.symbol("y*")
    a = (alpha @ x).named("a")
    z = sigmoid(a).named("z")
    b = (beta @ z).named("b")
    y = sigmoid(b).named("y")
    return LOSSES[loss][0](y, t), {"y": y, "b": b, "β": beta, "z": z, "a": a, "α": alpha, "x": x}, t


@pytest.mark.lecture("D6")
@pytest.mark.parametrize("loss", LOSSES)
def test_case_2_a_network_has_all_lines(loss):
    J, at, _ = case_2(loss, sb.sigmoid)
    assert backward(J, [at["β"], at["α"], at["x"]]) == [
        "J̄ = 1",
        LOSSES[loss][1],
        "b̄ = ȳ σ′(b)",
        "β̄ = b̄z",
        "z̄ = b̄β",
        "ā = z̄ ⊙ σ′(a)",
        "ᾱ = āxᵀ",
        "x̄ = αᵀā",
    ]


@pytest.mark.lecture("D6")
@pytest.mark.parametrize("sigmoid", [sb.sigmoid, written_sigmoid], ids=["named", "written"])
@pytest.mark.parametrize("loss", LOSSES)
def test_case_2_in_the_numbers_of_the_slides_formulas(loss, sigmoid):
    J, at, t = case_2(loss, sigmoid)
    (alpha, beta, x), tv = normal(7, (3, 4), 3, 4), 0.25
    found = numbers(J, at, {at["α"]: alpha, at["β"]: beta, at["x"]: x, t: tv})

    def slope(u):
        return np.exp(-u) / (np.exp(-u) + 1) ** 2

    a = alpha @ x
    z = 1 / (1 + np.exp(-a))
    b = beta @ z
    dy = LOSSES[loss][2](1 / (1 + np.exp(-b)), tv)
    db = dy * slope(b)
    da = db * beta * slope(a)
    dx = np.array([sum(da[j] * alpha[j, i] for j in range(3)) for i in range(4)])
    assert_close(found, {"y": dy, "b": db, "β": db * z, "z": db * beta, "a": da, "α": np.outer(da, x), "x": dx})


# --- D7: a network with softmax outputs -----------------------------------------------------------------------


def multi_class():
    """Give J and the values (A) to (F) of the slide by name."""
    alpha, beta = sb.symbol("α", ("D", "M")), sb.symbol("β", ("K", "D"))
    x, t = sb.symbol("x", "M"), sb.symbol("y*", "K")
    a = (alpha @ x).named("a")
    z = sb.sigmoid(a).named("z")
    b = (beta @ z).named("b")
    y = sb.softmax(b).named("y")
    J = sb.sum(t * sb.log(y)).named("J")
    return J, {"y": y, "b": b, "β": beta, "z": z, "a": a, "α": alpha, "x": x}, t


@pytest.mark.lecture("D7")
def test_a_softmax_network_has_all_lines():
    J, at, _ = multi_class()
    assert str(sb.backprop_table(J, [at["β"], at["α"], at["x"]])).splitlines() == [
        "Forward pass:",
        "  a = αx",
        "  z = σ(a)",
        "  b = βz",
        "  y = softmax(b)",
        "  J = sum(y* ⊙ log(y))",
        "",
        "Backward pass:",
        "  J̄ = 1",
        "  ȳ = J̄·y*/y",
        "  b̄ = y ⊙ (ȳ − ȳᵀy)",
        "  β̄ = b̄zᵀ",
        "  z̄ = βᵀb̄",
        "  ā = z̄ ⊙ σ′(a)",
        "  ᾱ = āxᵀ",
        "  x̄ = αᵀā",
    ]


@pytest.mark.lecture("D7")
def test_a_softmax_network_in_numbers():
    J, at, t = multi_class()
    alpha, beta, x = normal(8, (3, 4), (2, 3), 4)
    tv = np.array([0.0, 1.0])
    found = numbers(J, at, {at["α"]: alpha, at["β"]: beta, at["x"]: x, t: tv})
    z = 1 / (1 + np.exp(-(alpha @ x)))
    y = np.exp(beta @ z) / np.exp(beta @ z).sum()
    dy = tv / y
    db = (np.diag(y) - np.outer(y, y)) @ dy  # softmax's Jacobian is symmetric
    np.testing.assert_allclose(db, tv - y, rtol=1e-12)  # as text 001 says of the whole
    dz = beta.T @ db
    da = dz * z * (1 - z)
    expected = {"y": dy, "b": db, "β": np.outer(db, z), "z": dz, "a": da, "α": np.outer(da, x), "x": alpha.T @ da}
    assert_close(found, expected)


# --- D8: a network with any activation ------------------------------------------------------------------------


@pytest.mark.lecture("D8")
@pytest.mark.parametrize(
    ("activation", "by_hand", "slope"),
    [
        (sb.relu, lambda a: np.maximum(a, 0), lambda a: (a > 0) * 1.0),
        (sb.softplus, lambda a: np.log(1 + np.exp(a)), lambda a: 1 / (1 + np.exp(-a))),
        (
            lambda a: a * sb.exp(-(a**2)),  # the user's own
            lambda a: a * np.exp(-(a**2)),
            lambda a: (1 - 2 * a**2) * np.exp(-(a**2)),
        ),
    ],
    ids=["relu", "softplus", "own"],
)
def test_the_activation_is_a_parameter_of_the_builder(activation, by_hand, slope):
    x, t = sb.symbols("x[4] t[2]")
    net = train.mlp(x, [3, 2], activation)
    (W1, W2), (b1, b2) = net.weights, net.biases
    values = dict(zip([W1, b1, W2, b2, x, t], normal(9, (4, 3), 3, (3, 2), 2, 4, 2), strict=True))
    np.testing.assert_allclose(
        sb.evaluate(net.output, {symbol: array for symbol, array in values.items() if symbol is not t}),
        by_hand(values[x] @ values[W1] + values[b1]) @ values[W2] + values[b2],
        rtol=1e-13,
    )
    found = numbers(train.quadratic(net.output, t, reduction="sum"), {"W1": W1, "W2": W2}, values)
    a = values[x] @ values[W1] + values[b1]
    error = by_hand(a) @ values[W2] + values[b2] - values[t]
    expected = {"W1": np.outer(values[x], (values[W2] @ error) * slope(a)), "W2": np.outer(by_hand(a), error)}
    assert_close(found, expected)


@pytest.mark.lecture("D8")
def test_each_layer_may_have_its_own_activation():
    net = train.mlp(sb.symbol("x", 4), [3, 3, 2], [sb.tanh, lambda a: a / (1 + sb.abs(a))], output=sb.softmax)
    assert [h.op.name for h in (*net.hidden, net.output)] == ["tanh", "divide", "softmax"]
    with pytest.raises(ValueError, match="1 activations for 2 hidden layers"):
        train.mlp(sb.symbol("x", 4), [3, 3, 2], [sb.tanh])


# --- D9: logistic regression as a circuit ---------------------------------------------------------------------


def circuit():
    """Give equations 2.5 and 2.6."""
    theta, x, t = sb.symbol("θ", "D"), sb.symbol("x", "D"), sb.symbol("y*")
    q = written_sigmoid(theta @ x).named("q")
    return likelihood(q, t), theta


@pytest.mark.lecture("D9")
def test_the_circuit_of_logistic_regression_shows_every_operation():
    J, _ = circuit()
    labels = re.findall(r'n\d+ \[label="([^"]*)"', J.to_dot())
    named = {r"θ\n[D]", r"x\n[D]", "y*", r"q\n/", r"J\n+"}
    assert named <= set(labels)
    assert sorted(set(labels) - named) == sorted(["@", "−·", "exp", "1", "+", "log", "×", "−"])
    assert labels.count("log") == labels.count("×") == labels.count("−") == 2  # the two summands
    consumers = re.findall(r"n\d+ -> (n\d+)", J.to_dot().replace(labels[0], ""))
    assert len(consumers) == sum(len(J.graph.nodes[number].inputs) for number in J.graph.reachable([J.number]))


@pytest.mark.lecture("D9")
def test_the_circuit_is_drawn_with_its_gradient():
    J, theta = circuit()
    slope = sb.grad(J, theta)
    assert str(slope) == "(y* − σ(θᵀx))x"
    svg = sb.draw({"J": J, "dJ/dθ": slope}, engine="own").svg
    texts = {"".join(element.itertext()) for element in ET.fromstring(svg).iter()}  # noqa: S314 - what we wrote
    assert {"θ", "x", "y*", "q", "exp", "log", "dJ/dθ", "forward", "gradient"} <= texts


# --- D10, D11: XOR --------------------------------------------------------------------------------------------


@pytest.mark.lecture("D10")
def test_a_linear_model_of_xor_answers_one_half_and_has_nothing_to_learn():
    X, w, b, y = sb.symbols("X[N,2] w[2] b y[N]")
    loss = train.squared_error(X @ w + b, y)
    *solution, constant = np.linalg.lstsq(np.column_stack([POINTS, np.ones(4)]), XOR)[0]
    np.testing.assert_allclose([*solution, constant], [0, 0, 0.5], atol=1e-12)
    step = sb.compile([X, y, w, b], [loss, *sb.grad(loss, [w, b])])
    value, dw, db = step(POINTS, XOR, np.zeros(2), 0.5)
    assert value == 0.25
    assert dw.tolist() == [0, 0]
    assert db == 0
    history = train.fit(
        loss, {w: [1.0, -2.0], b: 0.0}, {X: POINTS, y: XOR}, optimiser=train.SGD(0.5), epochs=500, progress=False
    )
    np.testing.assert_allclose(history.params[w], 0, atol=1e-12)  # descent ends there from elsewhere too
    assert history.losses[-1] == pytest.approx(0.25, abs=1e-12)


@pytest.mark.lecture("D11")
def test_the_network_made_by_hand_computes_xor_and_has_no_gradient():
    X, W, c, w, b, y = sb.symbols("X[N,2] W[2,2] c[2] w[2] b y[N]")
    f = sb.relu(X @ W + c) @ w + b
    loss = train.squared_error(f, y)
    step = sb.compile([X, W, c, w, b, y], [f, loss, *sb.grad(loss, [W, c, w, b])])
    outputs, value, *slopes = step(POINTS, np.ones((2, 2)), np.array([0.0, -1.0]), np.array([1.0, -2.0]), 0.0, XOR)
    assert outputs.tolist() == [0, 1, 1, 0]
    assert value == 0
    assert [np.shape(slope) for slope in slopes] == [(2, 2), (2,), (2,), ()]
    assert not any(np.any(slope) for slope in slopes)
    _, worse, *slopes = step(POINTS, np.ones((2, 2)), np.array([0.0, -1.0]), np.array([1.0, -1.0]), 0.0, XOR)
    assert worse == 0.25  # and elsewhere there is one
    assert any(np.any(slope) for slope in slopes)


@pytest.mark.lecture("D11")
@pytest.mark.parametrize(("units", "enough"), [(2, 1), (8, 17)])
def test_xor_is_learnt_from_twenty_random_starts(units, enough):
    # Side by side: the loss is the sum of the networks' losses, so each one has the gradient that it has alone.
    X, y = sb.symbols("X[N,2] y[N]")
    net = train.mlp(X, [units, 1], sb.relu)
    starts = [list(net.init(seed, "he").values()) for seed in range(20)]
    params = {
        sb.symbol(f"{symbol.name}s", ("S", *(1,) * (2 - symbol.ndim), *symbol.shape)): np.stack(
            [start[place].reshape((1,) * (2 - symbol.ndim) + symbol.shape) for start in starts]
        )
        for place, symbol in enumerate(net.params)
    }
    W, c, w, b = params
    errors = sb.mean(((sb.relu(X @ W + c) @ w + b)[:, :, 0] - y) ** 2, axis=1)
    data = {X: POINTS, y: XOR}
    history = train.fit(sb.sum(errors), params, data, optimiser=train.Adam(0.05), epochs=1000, progress=False)
    learnt = int(np.sum(sb.evaluate(errors, {**history.params, **data}) < 1e-6))
    assert learnt >= enough, f"{learnt} of 20 networks with {units} hidden units have learnt XOR"


# --- L13: losses of networks are not convex -------------------------------------------------------------------


def xor_network():
    """The network 2-2-1 with tanh, its loss, and the data."""
    X, y = sb.symbols("X[N,2] y[N,1]")
    net = train.mlp(X, [2, 1], sb.tanh)
    return net, train.squared_error(net.output, y), {X: POINTS, y: XOR[:, None]}


@pytest.mark.lecture("L13")
def test_the_hessian_of_a_networks_loss_has_eigenvalues_of_either_sign():
    net, loss, data = xor_network()
    for seed in range(5):
        problem = sb.scipy_problem(loss, net.init(seed), data)
        eigenvalues = np.linalg.eigvalsh(problem.hess(problem.x0))
        assert eigenvalues[0] < -0.1
        assert eigenvalues[-1] > 0.1
        # Along the first eigenvector the loss bends down.
        direction = np.linalg.eigh(problem.hess(problem.x0))[1][:, 0]
        before, here, after = (problem.fun(problem.x0 + h * direction) for h in (-1e-3, 0.0, 1e-3))
        assert before + after < 2 * here


@pytest.mark.lecture("L13")
def test_a_convex_loss_has_no_negative_eigenvalue():
    X, w, b, y = sb.symbols("X[N,2] w[2] b y[N]")
    problem = sb.scipy_problem(train.binary_cross_entropy(X @ w + b, y), [w, b], {X: POINTS, y: XOR})
    for theta in normal(6, (20, 3))[0]:
        assert np.linalg.eigvalsh(problem.hess(theta))[0] > -1e-15


@pytest.mark.lecture("L13")
def test_where_the_descent_of_a_network_ends_depends_on_its_start():
    net, loss, data = xor_network()
    ends = [sb.minimize(loss, net.init(seed), data) for seed in range(6)]
    assert all(end.success for end in ends)
    values = np.array([end.value for end in ends])
    assert (values < 1e-10).sum() >= 2  # XOR is learnt
    assert (np.abs(values - 1 / 8) < 1e-6).sum() >= 2  # two of the four points get one answer between them


@pytest.mark.lecture("L13")
@pytest.mark.parametrize("bias", [0.0, 0.1])
def test_weights_that_begin_at_zero_stay_equal(bias):
    """Hidden units that begin alike remain alike, and two that are one cannot do XOR; small random weights can."""
    net, loss, data = xor_network()
    end = sb.minimize(loss, net.params, data, start=dict.fromkeys(net.biases, bias))
    W, w = (end.params[symbol] for symbol in net.weights)
    assert (W[:, 0] == W[:, 1]).all()
    assert w[0] == w[1]
    assert end.value == pytest.approx(0.25)
    assert min(sb.minimize(loss, net.init(seed, bias=bias), data).value for seed in range(5)) < 1e-10


# --- D12: linear output units ---------------------------------------------------------------------------------


@pytest.mark.lecture("D12")
def test_linear_output_units_never_saturate():
    h, W, b, y_bar = sb.symbols("h[H] W[H,K] b[K] ȳ[K]")
    linear = W.T @ h + b
    slope = sb.grad(linear @ y_bar, h)
    assert str(slope) == "Wȳ"
    with pytest.raises(NotDifferentiableError):
        sb.grad(sb.sum(slope), h)  # it does not depend on h
    Wv, bv, g = np.array([[1.0, 2.0], [0.5, 1.0]]), np.zeros(2), np.array([1.0, -3.0])
    near, far = np.array([0.1, 0.1]), np.array([1e3, 1e3])
    of_linear = sb.compile([h, W, b, y_bar], slope)
    np.testing.assert_array_equal(of_linear(near, Wv, bv, g), Wv @ g)
    np.testing.assert_array_equal(of_linear(far, Wv, bv, g), Wv @ g)
    of_sigmoid = sb.compile([h, W, b, y_bar], sb.grad(sb.sigmoid(linear) @ y_bar, h))
    assert np.all(np.abs(of_sigmoid(near, Wv, bv, g)) > 0.1)
    assert np.all(of_sigmoid(far, Wv, bv, g) == 0)  # by contrast

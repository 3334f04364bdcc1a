"""The multi-layer perceptron: Algorithms 6.3 and 6.4 of *Deep Learning* against hand-written NumPy."""

import numpy as np
import pytest

import symbackprop as sb
from symbackprop import train
from symbackprop.errors import ArgumentError, DtypeError, ShapeError
from symbackprop.printing.picture import Kind, picture

LAMBDA = 0.1
OMEGA = {
    "L1": (train.l1, lambda W: np.abs(W).sum(), np.sign),
    "L2": (train.l2, lambda W: 0.5 * (W**2).sum(), lambda W: W),
}
ACTIVATIONS = {
    "tanh": (sb.tanh, np.tanh, lambda a: 1 - np.tanh(a) ** 2),
    "relu": (sb.relu, lambda a: np.maximum(a, 0), lambda a: (a > 0) * 1.0),
    "mine": (lambda a: a / (1 + sb.abs(a)), lambda a: a / (1 + np.abs(a)), lambda a: 1 / (1 + np.abs(a)) ** 2),
}


def by_hand(net, values, xv, tv, *, activation, omega):
    """Run Algorithms 6.3 and 6.4 in NumPy on rows: give J and the gradients."""
    _, f, df = ACTIVATIONS[activation]
    _, penalty, slope = OMEGA[omega]
    depth = len(net.weights)
    Ws, bs = [values[W] for W in net.weights], [values[b] for b in net.biases]
    h, a = [xv], []
    for k in range(depth):
        a.append(h[-1] @ Ws[k] + bs[k])
        h.append(f(a[-1]) if k < depth - 1 else a[-1])
    n = len(xv)
    J = 0.5 * ((h[-1] - tv) ** 2).sum() / n + LAMBDA * sum(penalty(W) for W in Ws)
    grads = {}
    g = (h[-1] - tv) / n
    for k in reversed(range(depth)):
        g = g * df(a[k]) if k < depth - 1 else g
        grads[net.biases[k]] = g.sum(axis=0)
        grads[net.weights[k]] = h[k].T @ g + LAMBDA * slope(Ws[k])
        g = g @ Ws[k].T
    return J, grads


@pytest.mark.lecture("A3")
@pytest.mark.lecture("A4")
@pytest.mark.parametrize("omega", OMEGA)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("examples", [None, 6])
def test_any_depth_activation_and_regulariser(depth, activation, omega, examples):
    rng = np.random.default_rng(depth)
    batch = () if examples is None else ("N",)
    x, t = sb.symbol("x", (*batch, 3)), sb.symbol("t", (*batch, 2))
    net = train.mlp(x, [4] * (depth - 1) + [2], ACTIVATIONS[activation][0])
    loss = train.quadratic(net.output, t, reduction="mean" if batch else "sum")
    J = loss + LAMBDA * OMEGA[omega][0](net.weights)
    values = net.init(seed=1, bias=0.1)
    n = examples or 1
    xv, tv = rng.normal(size=(n, 3)), rng.normal(size=(n, 2))
    expected, slopes = by_hand(net, values, xv, tv, activation=activation, omega=omega)
    values |= {x: xv, t: tv} if batch else {x: xv[0], t: tv[0]}
    value, *found = sb.compile(list(values), [J, *sb.grad(J, net.params)])(*values.values())
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    for param, gradient in zip(net.params, found, strict=True):
        np.testing.assert_allclose(gradient, slopes[param], rtol=1e-10, atol=1e-14)


@pytest.mark.lecture("A4")
@pytest.mark.parametrize(
    ("batch", "start"),
    [((), "h1 (W3 (a3 − t) ⊙ (1 − h2²))ᵀ + "), (("N",), "h1ᵀ((a3 − t) W3ᵀ ⊙ (1 − h2²))/N + ")],
)
def test_the_printed_gradient_has_the_factors_of_the_algorithm(batch, start):
    x, t, lam = sb.symbol("x", (*batch, 3)), sb.symbol("t", (*batch, 2)), sb.symbol("lam")
    net = train.mlp(x, [4, 4, 2])
    J = train.quadratic(net.output, t, reduction="mean" if batch else "sum") + lam * train.l2(net.weights)
    formula = sb.grad(J, net.weights[1]).text(where=True).splitlines()[0]
    assert formula.startswith(start)
    assert "lam" in formula.removeprefix(start)
    assert "W2" in formula.removeprefix(start)


def test_values_and_parameters_are_named():
    X = sb.symbol("X", ("N", 3))
    net = train.mlp(X, [5, 4, 2], sb.relu, sb.softmax)
    assert [p.name for p in net.params] == ["W1", "b1", "W2", "b2", "W3", "b3"]
    assert [h.name for h in (*net.hidden, net.output)] == ["h1", "h2", "h3"]
    assert [a.name for a in net.pre_activations] == ["a1", "a2", "a3"]
    assert [p.shape for p in net.weights] == [(3, 5), (5, 4), (4, 2)]
    assert train.mlp(X, [2]).output.name == "a1"
    assert train.mlp(X, [2], suffix="_b").params[0].name == "W1_b"


@pytest.mark.lecture("A21")
def test_layers_are_modules():
    net = train.mlp(sb.symbol("X", ("N", 3)), [4, 2])
    assert [W.node.module for W in net.weights] == [("layer 1",), ("layer 2",)]
    assert net.output.node.module == ("layer 2",)
    loss = train.quadratic(net.output, sb.symbol("T", ("N", 2)))
    layers = picture(loss, modules="collapsed").boxes
    assert [box.title for box in layers if box.kind is Kind.MODULE] == ["layer 1", "layer 2"]
    assert [box.title for box in layers if box.kind is Kind.SYMBOL] == ["X", "T"]
    assert [part.name for part in sb.modules(loss, net.params)] == ["layer 1", "layer 2", "outside of modules"]


def test_each_layer_may_have_its_own_activation():
    x = sb.symbol("x", 1)
    net = train.mlp(x, [1, 1, 1], [sb.exp, sb.sin])
    values = {W: np.ones((1, 1)) for W in net.weights} | {b: np.zeros(1) for b in net.biases} | {x: np.array([0.5])}
    assert sb.evaluate(net.output, values)[0] == pytest.approx(np.sin(np.exp(0.5)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_init_is_seeded_and_scaled(dtype):
    net = train.mlp(sb.symbol("X", ("N", "D"), dtype), [300, 1])
    W1, b1 = net.params[:2]
    first, again, other = (net.init(seed, D=500) for seed in (3, 3, 4))
    assert {str(array.dtype) for array in first.values()} == {dtype}
    assert (first[W1] == again[W1]).all()
    assert (first[W1] != other[W1]).any()
    assert np.abs(first[W1]).max() <= np.sqrt(6 / 800)
    assert first[W1].std() == pytest.approx(np.sqrt(2 / 800), rel=0.02)
    assert net.init(3, "he", D=500)[W1].std() == pytest.approx(np.sqrt(2 / 500), rel=0.02)
    assert not first[b1].any()
    assert (net.init(3, bias=0.1, D=500)[b1] == np.array(0.1, dtype)).all()


def test_mistakes_are_named():
    X = sb.symbol("X", ("N", "D"))
    net = train.mlp(X, [2])
    with pytest.raises(ArgumentError, match=r"init: the size D needs a number: init\(seed, D=…\)"):
        net.init(0)
    with pytest.raises(ValueError, match='init: scheme is "glorot" or "he", not \'xavier\''):
        net.init(0, "xavier", D=2)
    with pytest.raises(ShapeError, match="mlp: the input x is a scalar"):
        train.mlp(sb.symbol("x"), [2])
    with pytest.raises(DtypeError, match=r"mlp: the input n\[3\] has dtype int64"):
        train.mlp(sb.symbol("n", 3, "int64"), [2])
    with pytest.raises(ShapeError, match="mlp: no sizes given"):
        train.mlp(X, [])
    with pytest.raises(ShapeError, match="mlp: 1 activations for 2 hidden layers"):
        train.mlp(X, [2, 2, 2], [sb.tanh])
    with pytest.raises(ShapeError, match=r"mlp: the activation makes .* it must keep the shape"):
        train.mlp(X, [2, 2], sb.sum)

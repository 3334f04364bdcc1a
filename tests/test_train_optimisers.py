"""Optimisers and schedules: trajectories against independent hand-written loops in NumPy."""

import math

import numpy as np
import pytest

import symbackprop as sb
from symbackprop import train
from symbackprop.errors import GraphError, ShapeError

STEPS = 25
A = np.array([[3.0, 0.5, 0.0], [0.5, 1.0, -0.2], [0.0, -0.2, 0.3]])
W0 = np.array([1.0, -2.0, 0.5])
B0 = 1.5


def slope(w, b):
    """Give the gradient of ½ wᵀAw + ¼ (b − 1)⁴ + b Σ sin w."""
    return A @ w + b * np.cos(w), (b - 1.0) ** 3 + np.sin(w).sum()


def loop(rule, slots):
    """Run a rule of one parameter by hand; it changes (w, *memory) into new ones."""
    params = [W0.copy(), np.float64(B0)]
    memory = [[np.zeros_like(w) for _ in range(slots)] for w in params]
    path = []
    for t in range(STEPS):
        for i, g in enumerate(slope(*params)):
            params[i], *memory[i] = rule(t, params[i], g, *memory[i])
        path.append(np.append(params[0], params[1]))
    return np.array(path)


def trajectory(optimiser, dtype="float64"):
    """Run the compiled step."""
    w, b = sb.symbol("w", 3, dtype), sb.symbol("b", (), dtype)
    loss = 0.5 * sb.sum(w * (sb.constant(A.astype(dtype)) @ w)) + 0.25 * (b - 1) ** 4 + b * sb.sum(sb.sin(w))
    updates = optimiser.updates([w, b], sb.grad(loss, [w, b]))
    step = sb.compile(list(updates), loss, updates=updates)
    values = {w: W0.astype(dtype), b: np.array(B0, dtype)}
    values |= optimiser.start(values)
    path = []
    for _ in range(STEPS):
        step(*(values[symbol] for symbol in updates))
        path.append(np.append(values[w], values[b]))
    return np.array(path), {symbol.name: array.dtype for symbol, array in values.items()}


def sgd(rate):
    return lambda t, w, g: (w - rate(t) * g,)


def momentum(_t, w, g, v):
    v = 0.8 * v - 0.02 * g
    return w + v, v


def nesterov(_t, w, g, v):
    new = 0.8 * v - 0.02 * g
    return w - 0.8 * v + 1.8 * new, new


def rmsprop(_t, w, g, r):
    r = 0.7 * r + 0.3 * g**2
    return w - 0.02 * g / (np.sqrt(r) + 1e-6), r


def adam(decay, rate=lambda _t: 0.05):
    def rule(t, w, g, m, v):
        w = w - rate(t) * decay * w
        m = 0.9 * m + 0.1 * g
        v = 0.99 * v + 0.01 * g * g
        m_hat, v_hat = m / (1 - 0.9 ** (t + 1)), v / (1 - 0.99 ** (t + 1))
        return w - rate(t) * m_hat / (np.sqrt(v_hat) + 1e-3), m, v

    return rule


CASES = {
    "sgd": (train.SGD(0.03), sgd(lambda _t: 0.03), 0),
    "sgd, 1/t": (train.SGD(train.InverseTime(0.1, 0.5)), sgd(lambda t: 0.1 / (1 + 0.5 * t)), 0),
    "sgd, a function": (train.SGD(lambda t: 0.1 / sb.sqrt(t + 1)), sgd(lambda t: 0.1 / math.sqrt(t + 1)), 0),
    "momentum": (train.Momentum(0.02, momentum=0.8), momentum, 1),
    "nesterov": (train.Nesterov(0.02, momentum=0.8), nesterov, 1),
    "rmsprop": (train.RMSProp(0.02, decay=0.7, eps=1e-6), rmsprop, 1),
    "adam": (train.Adam(0.05, beta2=0.99, eps=1e-3), adam(0.0), 2),
    "adamw": (train.AdamW(0.05, beta2=0.99, eps=1e-3, weight_decay=0.1), adam(0.1), 2),
    "adamw, decaying": (
        train.AdamW(train.Exponential(0.05, 0.9), beta2=0.99, eps=1e-3, weight_decay=0.1),
        adam(0.1, lambda t: 0.05 * 0.9**t),
        2,
    ),
}


@pytest.mark.lecture("A24")
@pytest.mark.parametrize("case", CASES)
def test_trajectory_is_the_hand_written_one(case):
    optimiser, rule, slots = CASES[case]
    path, _ = trajectory(optimiser)
    expected = loop(rule, slots)
    assert np.abs(expected[-1] - expected[0]).max() > 0.05, "the loop stands still and proves nothing"
    np.testing.assert_allclose(path, expected, rtol=1e-11)


@pytest.mark.parametrize("case", CASES)
def test_float32_stays_float32(case):
    optimiser, rule, slots = CASES[case]
    path, dtypes = trajectory(optimiser, "float32")
    assert path.dtype == np.float32
    assert {str(dtype) for name, dtype in dtypes.items() if name != "steps_done"} == {"float32"}
    np.testing.assert_allclose(path, loop(rule, slots), rtol=2e-4)


def test_nesterov_looks_ahead_as_sutskever_writes_it():
    theta, b, v, u = W0.copy(), B0, np.zeros(3), 0.0
    ahead = []
    for _ in range(STEPS):
        gw, gb = slope(theta + 0.8 * v, b + 0.8 * u)
        v, u = 0.8 * v - 0.02 * gw, 0.8 * u - 0.02 * gb
        theta, b = theta + v, b + u
        ahead.append(np.append(theta + 0.8 * v, b + 0.8 * u))
    path, _ = trajectory(train.Nesterov(0.02, momentum=0.8))
    np.testing.assert_allclose(path, ahead, rtol=1e-11)


def test_the_whole_step_is_one_function_that_counts_in_place():
    w = sb.symbol("w")
    adam = train.Adam(0.1)
    updates = adam.updates([w], [sb.grad(w * w, w)])
    assert [symbol.name for symbol in updates] == ["w", "steps_done", "m_w", "v_w"]
    arrays = {w: np.array(1.0)} | adam.start({w: np.array(1.0)})
    step = sb.compile(list(updates), w * w, updates=updates)
    for _ in range(3):
        step(*(arrays[symbol] for symbol in updates))
    assert next(array for symbol, array in arrays.items() if symbol.name == "steps_done") == 3


def test_constant_rates_need_no_counter():
    w = sb.symbol("w", 2)
    assert train.SGD(0.1).start({w: np.ones(2)}) == {}
    assert [symbol.name for symbol in train.SGD(train.Cosine(0.1, 5)).start({w: np.ones(2)})] == ["steps_done"]


def test_optimisers_work_in_the_graph_of_their_parameters():
    with sb.Graph() as graph:
        w = sb.symbol("w")
        gradient = sb.grad(sb.sin(w), w)
    updates = train.Adam(train.WarmUp(3, train.Cosine(0.1, 9))).updates([w], [gradient])
    assert all(symbol.graph is graph and new.graph is graph for symbol, new in updates.items())


def test_a_symbol_of_the_model_that_the_optimiser_needs_is_refused():
    w, m_w = sb.symbols("w m_w")
    with pytest.raises(GraphError, match="Adam keeps its memory under the name m_w, which m_w has already"):
        train.Adam().updates([w], [sb.grad(m_w * w * w, w)])
    train.SGD().updates([w], [sb.grad(m_w * w * w, w)])
    other = sb.symbol("v_w", 3)
    with pytest.raises(GraphError, match=r"which v_w\[3\] has already"):
        train.Momentum().updates([w], [sb.grad(sb.sum(other) * w * w, w)])


def test_gradients_must_fit_their_parameters():
    w, v = sb.symbols("w[D] v")
    with pytest.raises(ShapeError, match="2 parameters and 1 gradients"):
        train.SGD().updates([w, v], [v])
    with pytest.raises(
        ShapeError, match=r"the parameter w\[D\] is float64, its gradient v is float64; shape and dtype"
    ):
        train.SGD().updates([w], [v])
    with pytest.raises(ValueError, match="no parameters given"):
        train.SGD().updates([], [])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: train.SGD(-0.1), r"SGD: lr must be a number that is not negative, not -0\.1"),
        (lambda: train.SGD(float("nan")), "SGD: lr must be a number that is not negative, not nan"),
        (lambda: train.Momentum(momentum=1.0), r"Momentum: momentum must be at least 0 and less than 1, not 1\.0"),
        (lambda: train.Adam(beta2=1.5), r"Adam: beta2 must be at least 0 and less than 1, not 1\.5"),
        (lambda: train.Cosine(0.1, 0), "Cosine: steps must be positive, not 0"),
        (lambda: train.StepDecay(0.1, every=-1), "StepDecay: every must be positive, not -1"),
    ],
)
def test_settings_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.lecture("A24")
@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (train.Constant(0.3), lambda _t: 0.3),
        (train.StepDecay(0.8, every=10, factor=0.5), lambda t: 0.8 * 0.5 ** (t // 10)),
        (train.Exponential(0.8, 0.5, every=10), lambda t: 0.8 * 0.5 ** (t / 10)),
        (train.InverseTime(0.8, 0.1), lambda t: 0.8 / (1 + 0.1 * t)),
        (train.Cosine(0.8, 20, final=0.2), lambda t: 0.2 + 0.3 * (1 + math.cos(math.pi * min(t, 20) / 20))),
        (train.WarmUp(4, 0.8), lambda t: 0.8 * min((t + 1) / 5, 1)),
        (
            train.WarmUp(4, train.InverseTime(0.8, 0.1)),
            lambda t: 0.8 * (t + 1) / 5 if t < 4 else 0.8 / (1 + 0.1 * (t - 4)),
        ),
    ],
    ids=lambda case: type(case).__name__,
)
def test_schedules(schedule, expected):
    t = sb.symbol("t", dtype="int64")
    rate = schedule(t)
    assert rate.shape == ()
    for at in range(30):
        assert sb.evaluate(rate, {t: at}) == pytest.approx(expected(at), rel=1e-13)

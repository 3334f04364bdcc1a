"""Functions of pieces of one array are computed at once."""

from __future__ import annotations

import re

import numpy as np
import pytest

import symbackprop as sb
from tests.test_compile import assert_same

UNARY = [sb.tanh, sb.sigmoid, sb.exp, sb.square, lambda x: 1 - x, lambda x: x * 0.5, lambda x: sb.maximum(x, 0)]
BINARY = [sb.multiply, sb.add, sb.subtract, lambda x, y: x / (2 + sb.tanh(y)), sb.maximum]


def cell(rng, pieces, state, others):
    """Make a random function of pieces, of which some have a function in common, and of a state of their shape."""
    alike = UNARY[rng.integers(len(UNARY))]
    values = [alike(piece) if rng.random() < 0.8 else UNARY[rng.integers(len(UNARY))](piece) for piece in pieces]
    if rng.random() < 0.5:
        scale = others[rng.integers(len(others))]
        values = [value * scale if rng.random() < 0.9 else value for value in values]
    for value in values:
        state = BINARY[rng.integers(len(BINARY))](state, value)
    return sb.tanh(state)


def recurrence(rng, *, axis):
    """Unroll random cells, whose pieces of one product are of equal or different, touching or separate runs."""
    n, h = int(rng.integers(2, 5)), int(rng.integers(16, 19))
    gates = int(rng.integers(2, 5))
    wide = (gates + 1) * h if axis else gates * n
    shape = (n, wide) if axis else (wide, h)
    X, s = sb.symbol("X", (n, h)), sb.symbol("s", (n, h))
    W = sb.symbol("W", (h, wide) if axis else (h, h))
    V = sb.symbol("V", (h, h) if axis else (wide, n))
    others = [sb.symbol("k"), sb.symbol("v", (n, 1) if axis else h)]
    state = X + s
    for _ in range(int(rng.integers(8, 61))):
        z = X @ W + (state @ V)[:, :1] * 0.1 if axis else V @ (state @ W)
        assert z.shape == shape
        size = h if axis else n
        starts = rng.choice([at * size for at in range(gates)], size=gates, replace=rng.random() < 0.3)
        cut = [z[:, at : at + size] if axis else z[at : at + size] for at in map(int, starts)]
        state = cell(rng, cut, state, others)
    loss = sb.sum(state**2)
    inputs = [X, s, W, V, *others]
    return inputs, [loss, *sb.grad(loss, inputs[:4])]


@pytest.mark.parametrize("seed", range(10))
def test_unrolled_recurrences_keep_their_values(seed):
    rng = np.random.default_rng(seed)
    inputs, outputs = recurrence(rng, axis=seed % 2)
    values = [rng.standard_normal(each.shape) * 0.3 for each in inputs]
    batched, plain = sb.compile(inputs, outputs), sb.compile(inputs, outputs, skip=["batch"])
    assert sum(1 for _ in batched.program.calls()) < sum(1 for _ in plain.program.calls())
    assert_same(batched(*values), plain(*values), rtol=1e-11)


def gated(steps, h="H"):
    X, W, U, state, memory = sb.symbols(f"X[{steps},N,D] W[D,4*{h}] U[{h},4*{h}] h[N,{h}] c[N,{h}]")
    inputs, H = [X, W, U, state, memory], U.shape[0]
    for step in range(steps):
        z = X[step] @ W + state @ U
        i, f, o = (sb.sigmoid(z[:, at * H : (at + 1) * H]) for at in range(3))
        memory = f * memory + i * sb.tanh(z[:, 3 * H :])
        state = o * sb.tanh(memory)
    return inputs, sb.grad(sb.mean(state**2), [W, U])


def test_gates_are_one_function_and_their_slopes_too():
    inputs, outputs = gated(5)
    function = sb.compile(inputs, outputs)
    calls = re.findall(r"sigmoid\((\w+\[.*?\])\)", function.source)
    assert len(calls) == 5
    assert all(call.endswith("[:, :3*H]") for call in calls)
    assert len(re.findall(r"(\w+) \* \(1\.0 - \1\)", function.source)) == 5
    values = [
        np.random.default_rng(0).standard_normal(shape) for shape in [(5, 3, 2), (2, 64), (16, 64), *[(3, 16)] * 2]
    ]
    assert_same(function(*values), sb.compile(inputs, outputs, skip=["batch"])(*values), rtol=1e-12)


def test_large_arrays_and_short_rows_are_left():
    inputs, outputs = gated(2)
    for rows, width, calls in [(3, 16, 2), (3, 4, 6), (3000, 16, 6)]:
        source = sb.compile(inputs, outputs, sizes={"N": rows, "D": 2, "H": width}).source
        assert len(re.findall(r"= sigmoid\(", source)) == calls
    function = sb.compile(inputs, outputs)
    sizes = [(2, 6000, 2), (2, 64), (16, 64), (6000, 16), (6000, 16)]
    function(*(np.ones(shape) for shape in sizes))
    assert len(re.findall(r"sigmoid\(", function.source)) > 2 + 1  # what large arrays get, learnt at the first call


PIECES = {
    "all": ([(0, 16), (16, 32), (32, 48)], ["[:, :48]"]),
    "in another order": ([(16, 32), (32, 48), (0, 16)], ["[:, :48]"]),
    "of different lengths": ([(0, 16), (16, 40)], ["[:, :40]"]),
    "with a gap": ([(0, 16), (16, 32), (48, 64)], ["[:, :32]", "[:, 48:64]"]),
    "two chains": ([(0, 16), (16, 32), (33, 49), (49, 65)], ["[:, :32]", "[:, 33:]"]),
    "overlapping": ([(0, 32), (16, 48)], ["[:, :32]", "[:, 16:48]"]),
    "from one start": ([(0, 16), (0, 32), (16, 32)], ["[:, :32]", "[:, :32]"]),
}


@pytest.mark.parametrize("case", PIECES)
def test_pieces_that_lie_side_by_side(case):
    runs, joined = PIECES[case]
    z, a = sb.symbol("z", ("N", 65)), sb.symbol("a")
    total = sum(sb.sum(sb.tanh(a * z[:, start:stop])) * (at + 1.0) for at, (start, stop) in enumerate(runs))
    function = sb.compile([z, a], total)
    assert sorted(re.findall(r"z(\[.*?\])\)", function.source)) == sorted(joined)
    value = np.random.default_rng(0).standard_normal((3, 65))
    right = sum(np.tanh(0.7 * value[:, start:stop]).sum() * (at + 1.0) for at, (start, stop) in enumerate(runs))
    np.testing.assert_allclose(function(value, 0.7), right, rtol=1e-12)


def test_what_differs_along_the_axis_is_not_joined():
    z, w, v = sb.symbols("z[N,64] w[32] v[N,1]")
    differs = sb.compile([z, w], sb.sum(sb.exp(z[:, :32] * w) @ sb.exp(z[:, 32:] * w).T))
    assert differs.source.count("* w") == 2
    same = sb.compile([z, v], sb.sum(sb.exp(z[:, :32] * v) @ sb.exp(z[:, 32:] * v).T))
    assert same.source.count("* v") == 1


def test_outputs_are_arrays_of_their_own():
    z = sb.symbol("z", ("N", 64))
    function = sb.compile([z], [sb.tanh(z[:, :32]), sb.tanh(z[:, 32:])])
    first, second = function(np.ones((2, 64)))
    assert first.base is None
    assert second.base is None
    assert function.source.count("tanh(") == 2

"""Pieces of one product, and pieces of one array, are computed at once."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest

import symbackprop as sb
from tests.test_compile import assert_same


def network(steps, gates, n="N", d="D", h="H"):
    """Unroll a network over steps, with so many gates cut out of one product."""
    X, state, W, U, b = (
        sb.symbol("X", (steps, n, d)),
        sb.symbol("s", (n, h)),
        sb.symbol("W", (d, gates * h if isinstance(h, int) else h)),
        sb.symbol("U", (h, gates * h if isinstance(h, int) else h)),
        sb.symbol("b", gates * h if isinstance(h, int) else h),
    )
    for at in range(steps):
        z = X[at] @ W + state @ U + b
        if isinstance(h, int):
            cut = [z[:, gate * h : (gate + 1) * h] for gate in range(gates)]
            state = sb.tanh(cut[0])
            for piece in cut[1:]:
                state = state * sb.sigmoid(piece)
        else:
            state = sb.tanh(z)
    loss = sb.sum(state**2)
    inputs = [X, sb.symbol("s", (n, h)), W, U, b]
    return inputs, [loss, *sb.grad(loss, inputs)]


def values_for(inputs, sizes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal([sizes.get(str(size), size) for size in symbol.shape]) * 0.5 for symbol in inputs]


@pytest.mark.parametrize(("steps", "gates", "h"), [(3, 1, "H"), (6, 1, "H"), (4, 2, 3), (6, 4, 2), (9, 3, 2)])
def test_unrolled_networks_keep_their_values(steps, gates, h):
    inputs, outputs = network(steps, gates, h=h)
    values = values_for(inputs, {"N": 3, "D": 2, "H": 4})
    joined = sb.compile(inputs, outputs)
    assert_same(joined(*values), sb.compile(inputs, outputs, skip=["join"])(*values), rtol=1e-12)


def test_all_steps_are_one_product_each_way():
    inputs, outputs = network(8, 1)
    source = sb.compile(inputs, outputs).source
    assert len(re.findall(r"@ W(?!\.)", source)) == 1
    assert len(re.findall(r"@ W\.T", source)) == 8  # the derivative by X is asked for step by step
    gradients = source[source.index("np.concatenate") :]
    assert re.search(r"dW = \w+\.T @ \w+\n", gradients)
    assert len(re.findall(r"\.sum\(axis=0\)", gradients)) == 1


def test_gradients_of_slices_are_put_together():
    z = sb.symbol("z", ("N", 6))
    loss = sb.sum(sb.tanh(z[:, :2]) * sb.exp(z[:, 2:4]) * sb.sin(z[:, 4:]))
    source = sb.compile([z], sb.grad(loss, z)).source
    assert not re.search(r"(?<!\.)\bput\(", source)
    assert "np.concatenate" in source


PIECES = {
    "in order": [slice(0, 2), slice(2, 5), slice(5, 7)],
    "in another order": [slice(5, 7), slice(0, 2), slice(2, 5)],
    "with a gap": [slice(0, 2), slice(3, 7)],
    "not to the ends": [slice(1, 3), slice(3, 6)],
    "overlapping": [slice(0, 4), slice(2, 7)],
    "twice": [slice(0, 4), slice(0, 4), slice(4, 7)],
    "backwards": [slice(None, None, -1), slice(0, 3)],
    "every other": [slice(0, 7, 2), slice(1, 7, 2)],
}


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("pieces", PIECES)
def test_pieces_of_gradients(pieces, axis):
    x = sb.symbol("x", (7, 7, 7))
    index = [(slice(None),) * axis + (piece,) for piece in PIECES[pieces]]
    loss = sum(sb.sum(sb.exp(x[each]) * (at + 1.0)) for at, each in enumerate(index))
    gradient = sb.grad(loss, x)
    value = np.random.default_rng(0).standard_normal((7, 7, 7))
    right = np.zeros_like(value)
    for at, each in enumerate(index):
        right[each] += np.exp(value[each]) * (at + 1.0)
    np.testing.assert_allclose(sb.compile([x], gradient)(value), right, rtol=1e-13)


def test_a_gradient_of_blocks_stays_in_blocks():
    x = sb.symbol("x", (4, 4))
    loss = sb.sum(sb.exp(x[:2, :2])) + sb.sum(sb.sin(x[2:, 2:])) + sb.sum(sb.cos(x[:2, 2:]))
    value = np.random.default_rng(0).standard_normal((4, 4))
    right = np.block([[np.exp(value[:2, :2]), -np.sin(value[:2, 2:])], [np.zeros((2, 2)), np.cos(value[2:, 2:])]])
    np.testing.assert_allclose(sb.compile([x], sb.grad(loss, x))(value), right, rtol=1e-13)


@pytest.mark.parametrize("count", [2, 3, 4, 9])
def test_sums_of_products(count):
    names = [f"A{at}[M,K] B{at}[K,N]" for at in range(count)]
    symbols = sb.symbols(" ".join(names))
    total = sum((one @ other for one, other in zip(symbols[2::2], symbols[3::2], strict=True)), symbols[0] @ symbols[1])
    function = sb.compile(symbols, total)
    assert function.source.count("@") == (1 if count >= 4 else count)
    values = values_for(symbols, {"M": 5, "K": 2, "N": 3})
    right = sum(one @ other for one, other in zip(values[::2], values[1::2], strict=True))
    np.testing.assert_allclose(function(*values), right, rtol=1e-12)


def test_what_is_used_elsewhere_is_left():
    symbols = sb.symbols("A[N,N] B[N,N] C[N,N] D[N,N] E[N,N]")
    first = symbols[0] @ symbols[1]
    second = first + symbols[1] @ symbols[2]
    total = second + symbols[2] @ symbols[3] + symbols[3] @ symbols[4]
    values = values_for(symbols, {"N": 3})
    A, B, C, D, E = values
    found = sb.compile(symbols, [total, second])(*values)
    np.testing.assert_allclose(found[0], A @ B + B @ C + C @ D + D @ E, rtol=1e-12)
    np.testing.assert_allclose(found[1], A @ B + B @ C, rtol=1e-12)


def test_long_sums_take_linear_time():
    visits = []
    for count in (200, 400):
        symbols = [sb.symbol(f"x{at}", ("N", "N")) for at in range(count)]
        total = symbols[0] @ symbols[1]
        for one, other in pairwise(symbols[1:]):
            total = total + one @ other
        report = sb.compile(symbols, total).report()
        visits.append(report.rows[-1].nodes)
    assert visits[1] < 2.1 * visits[0]


def test_gradients_of_slices_with_gaps_between_are_one_array():
    C, w = sb.symbols("C[11,N] w[N]")
    loss = sb.sum(sb.sin(C[1] * w) * sb.cos(C[2]) * sb.tanh(C[4]) + sb.exp(C[5] * C[6]) * C[9] * w + C[7] * w)
    f = sb.compile([C, w], sb.grad(loss, C))
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(11, 6)), rng.normal(size=6)]
    found = f(*arrays)
    right = sb.compile([C, w], sb.grad(loss, C), skip=["join"])(*arrays)
    np.testing.assert_allclose(found, right, rtol=1e-14)
    assert f.source.count("concatenate(") == 1
    assert not re.search(r"(?<!\.)\bput\(", f.source)
    assert not found[[0, 3, 8, 10]].any()


def test_pieces_of_nothing_are_joined_to_nothing():
    x = sb.symbol("x", 1)
    parts = np.array_split(x, 3)
    weights = [sb.symbol(f"w{at}", part.shape) for at, part in enumerate(parts)]
    gradient = sb.grad(sum(sb.sum(part * w) for part, w in zip(parts, weights, strict=True)), x)
    function = sb.compile([x, *weights], gradient)
    np.testing.assert_array_equal(function([1.0], [2.0], np.ones(0), np.ones(0)), [2.0])

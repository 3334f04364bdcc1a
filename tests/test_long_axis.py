"""Arrays with a short last axis, laid out with the longest axis last: the same values, and no short loops."""

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.lower.program import Blocked
from tests.random_graphs import random_expression, random_loss
from tests.test_compile import assert_same, compiled_and_evaluated
from tests.values import assert_values_stay

SIZES = {"N": 300, "K": 9, "D": 4}
SHAPES = {
    "X": ("N", "D"), "W": ("D", "K*D"), "Q": ("K", "D", "D"), "b": ("K", "D"), "c": ("K",), "d": ("D",), "r": ("N",),
    "T": ("N", "K", "D"), "V": ("K", "K"), "P": ("N", "D", "D"),
}  # fmt: skip
X, W, Q, b, c, d, r, T, V, P = INPUTS = [sb.symbol(name, shape) for name, shape in SHAPES.items()]
Y = sb.reshape(X @ W, ("N", "K", "D"))
Z = sb.einsum("kij,nj->nki", Q, X)

TURNED = {
    "sums of squares": sb.sum(Y**2, axis=-1) @ V,
    "sums": sb.mean(sb.sum(sb.tanh(Y - b), axis=-1), axis=1),
    "largest": sb.sum(sb.max(sb.tanh(Y) * d, axis=-1), axis=0),
    "softmax of sums": sb.sum(sb.softmax(c - sb.sum(Y**2, axis=-1)), axis=0),
    "shifted by row": sb.einsum("nki,nj->kij", sb.tanh(Y + r[:, None, None]), X),
    "scaled by each": sb.sum(sb.softmax(sb.sum(Z**2, -1))[:, :, None] * Z, axis=0),
    "kept axes": sb.sum(Z - sb.mean(Z**2, axis=-1, keepdims=True) + d, axis=(0, 2)),
    "log of sums": sb.sum(sb.logsumexp(c - sb.sum(Z**2, axis=-1), axis=1)),
    "a view": sb.sum(sb.transpose(sb.sum(sb.sin(Z), axis=2, keepdims=True) * Z, (1, 0, 2)), axis=1),
    "gradients": sb.grad(sb.sum(sb.logsumexp(c - sb.sum((Z - b) ** 2, axis=-1), axis=1)), [Q, b, c]),
}
OTHERS = {
    "a result": [Y, sb.sum(Y**2, axis=-1)],
    "an array of all axes": sb.sum(T**2, axis=-1),
    "a stack of products": sb.sum(sb.exp(sb.tanh(X)[:, None] @ P), axis=-1),
    "two axes": sb.sum((X * d) ** 2, axis=-1),
}


def values(rng, sizes=SIZES):
    size = {**sizes, "K*D": sizes["K"] * sizes["D"]}
    return [rng.normal(size=[size[each] for each in shape]) for shape in SHAPES.values()]


def outputs_of(name):
    found = (TURNED | OTHERS)[name]
    return found if isinstance(found, list) else [found]


@pytest.mark.parametrize("name", [*TURNED, *OTHERS])
@pytest.mark.parametrize("seed", range(3))
def test_values_stay(name, seed):
    rng = np.random.default_rng(seed)
    sizes = dict(zip("NKD", map(int, rng.integers(1, 7, 3)), strict=True)) if seed else SIZES
    arrays = values(rng, sizes)
    assert_values_stay(INPUTS, outputs_of(name), arrays, sizes, tolerance=1e-11)


@pytest.mark.parametrize("name", TURNED)
def test_the_longest_axis_comes_last(name):
    f = sb.compile(INPUTS, outputs_of(name), sizes=SIZES)
    shapes = [[*map(str, call.shape)] for call in f.program.calls()]
    large = [shape for shape in shapes if len(shape) == 3 and "N" in shape]
    assert large
    assert all(shape[-1] == "N" for shape in large)


@pytest.mark.parametrize("name", OTHERS)
def test_what_cannot_be_turned_stays(name):
    outputs = outputs_of(name)
    source = sb.compile(INPUTS, outputs, sizes=SIZES).source
    assert source == sb.compile(INPUTS, outputs, sizes=SIZES, skip=["long_axis"]).source


@pytest.mark.parametrize("sizes", [{"N": 300, "K": 9, "D": 100}, {"N": 9, "K": 9, "D": 4}])
def test_long_rows_and_small_arrays_stay(sizes):
    outputs = outputs_of("sums of squares")
    source = sb.compile(INPUTS, outputs, sizes=sizes).source
    assert source == sb.compile(INPUTS, outputs, sizes=sizes, skip=["long_axis"]).source


def test_blocks_go_along_the_last_axis():
    sizes = {"N": 20_000, "K": 25, "D": 10}
    outputs = outputs_of("gradients")
    f = sb.compile(INPUTS, outputs, sizes=sizes)
    (block,) = [statement for statement in f.program.statements if isinstance(statement, Blocked)]
    assert "X" in [ref.name for ref in block.arrays]
    arrays = values(np.random.default_rng(0), {**sizes, "N": 2000})
    assert_same(f(*arrays), sb.compile(INPUTS, outputs, skip=["blocks", "long_axis"])(*arrays), rtol=1e-10)
    none = values(np.random.default_rng(0), {**sizes, "N": 0})
    assert [not each.any() for each in f(*none)] == [True] * 3


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.filterwarnings("ignore::symbackprop.errors.NotTrainableWarning")
def test_random_graphs(seed, monkeypatch):
    monkeypatch.setattr("symbackprop.rewrite.long_axis._WORTH", 0)
    monkeypatch.setattr("symbackprop.rewrite.long_axis._LONG", 0)
    outputs, given = random_expression(np.random.default_rng([seed, 1]), 30)
    assert_same(*compiled_and_evaluated(outputs, given))
    loss, given = random_loss(np.random.default_rng([seed, 2]), 20)
    assert_same(*compiled_and_evaluated([loss, *sb.grad(loss, list(given), unused="zeros")], given), rtol=1e-8)

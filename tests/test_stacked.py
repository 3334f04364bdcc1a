"""Many small values that do not wait for each other are computed at once."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.rewrite.engine import Rewritten
from symbackprop.rewrite.reorder import Ordering
from symbackprop.rewrite.stacked import rebuild_stacked
from tests.test_compile import assert_same

UNARY = [sb.tanh, sb.sin, sb.square, lambda x: 1 - x, lambda x: x * 0.5, lambda x: 1 - sb.tanh(x) ** 2]
BINARY = [sb.multiply, sb.add, sb.subtract, lambda x, y: 0.3 * (x @ y), lambda x, y: 0.3 * (x.T @ y), sb.maximum]


def layers(count, *, loss=True):
    """Give a network of layers of one width, with the gradients of its loss."""
    X = sb.symbol("X", ("N", "D"))
    weights, h = [], X
    for at in range(count):
        W, b = sb.symbols(f"W{at}[D,D] b{at}[D]")
        weights += [W, b]
        h = sb.tanh(h @ W + b)
    value = sb.mean((h - X) ** 2)
    return [X, *weights], [value, *sb.grad(value, weights)] if loss else [h]


def values_for(inputs, sizes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal([sizes.get(str(size), size) for size in each.shape]) * 0.4 for each in inputs]


def tangle(rng, count):
    """Make a graph of few kinds of operations on arrays of one shape, each on any that are there."""
    inputs = [sb.symbol(name, ("N", "N")) for name in "XYZ"]
    found = [*inputs]
    far = int(rng.integers(2, 40))  # how far back operands lie
    few = rng.choice(len(UNARY), 2), rng.choice(len(BINARY), 2)
    for _ in range(count):
        one, other = (found[-int(rng.integers(1, min(len(found), far) + 1))] for _ in range(2))
        if rng.random() < 0.6:
            found.append(UNARY[rng.choice(few[0])](one))
        else:
            found.append(sb.tanh(BINARY[rng.choice(few[1])](one, other)))
    results = [found[at] for at in rng.choice(len(found), 12, replace=False)]
    sums = [sb.sum(each, axis=0) for each in found[3::3]]
    return inputs, [found[-1], *results, *sums]


@pytest.mark.parametrize("seed", range(14))
def test_whatever_waits_for_whatever_keeps_its_value(seed):
    rng = np.random.default_rng(seed)
    inputs, outputs = tangle(rng, int(rng.integers(20, 200)))
    values = values_for(inputs, {"N": 3}, seed)
    stacked, plain = sb.compile(inputs, outputs), sb.compile(inputs, outputs, skip=["stack"])
    for _ in range(2):  # the second call is planned for these sizes
        assert_same(stacked(*values), plain(*values), rtol=1e-10)


def test_nothing_waits_for_itself():
    """Graphs are copied, which would not end otherwise; in many of them something is computed at once."""
    found = 0
    for seed in range(60):
        rng = np.random.default_rng([seed, 1])
        _, outputs = tangle(rng, int(rng.integers(20, 200)))
        copied = rebuild_stacked(outputs, Rewritten(), Ordering({}))
        found += copied != outputs
    assert found > 20


@pytest.mark.parametrize("seed", range(4))
def test_gradients_of_random_recurrences(seed):
    rng = np.random.default_rng(seed)
    X, W, V, state = sb.symbols("X[N,D] W[D,D] V[D,D] s[N,D]")
    cells = [UNARY[at] for at in rng.choice(len(UNARY), 3)]
    first, second = state, X
    for _ in range(int(rng.integers(8, 61))):
        one, other = cells[0](first @ W), cells[1](second @ V)
        first, second = sb.tanh(cells[2](first) * one + other), sb.tanh(one - first)
    loss = sb.mean(first * second)
    inputs = [X, W, V, state]
    outputs = [loss, *sb.grad(loss, inputs)]
    values = values_for(inputs, {"N": 3, "D": 4}, seed)
    stacked, plain = sb.compile(inputs, outputs), sb.compile(inputs, outputs, skip=["stack"])
    for _ in range(2):
        assert_same(stacked(*values), plain(*values), rtol=1e-10)


def test_layers_have_their_slopes_and_gradients_at_once():
    inputs, outputs = layers(12)
    function = sb.compile(inputs, outputs)
    assert len(re.findall(r"1\.0 - np\.square", function.source)) == 1
    assert len(re.findall(r"np\.concatenate", function.source)) == 2
    assert len(re.findall(r"sum\(axis=1\)", function.source)) == 1
    assert len(re.findall(r"np\.transpose\(\w+\[:12\], \(0, 2, 1\)\) @ \w+\n", function.source)) == 1
    values = values_for(inputs, {"N": 3, "D": 4})
    plain = sb.compile(inputs, outputs, skip=["stack"])
    for _ in range(2):
        assert_same(function(*values), plain(*values), rtol=1e-12)


def test_results_share_no_memory_and_stay():
    inputs, outputs = layers(10)
    function = sb.compile(inputs, outputs)
    values = values_for(inputs, {"N": 3, "D": 4})
    for _ in range(2):
        results = function(*values)
        kept = [each.copy() for each in results]
        assert not any(np.shares_memory(one, other) for one, other in combinations([*results[1:], *values], 2))
        results[1][...] = 7.0
        function(*[value + 1 for value in values])
        assert_same(results[2:], kept[2:], rtol=0)


def test_an_element_that_is_returned_twice_or_in_part_is_copied():
    """A slice of a result, or the result once more, must not change with it."""
    inputs, outputs = layers(10)
    again = [*outputs, outputs[1], outputs[3][1:], outputs[3].T]
    function = sb.compile(inputs, again)
    results = function(*values_for(inputs, {"N": 3, "D": 4}))
    assert not any(np.shares_memory(one, other) for one, other in combinations(results[1:], 2))


def test_few_and_large_values_are_left():
    for count, sizes in [(7, {"N": 3, "D": 4}), (12, {"N": 100, "D": 40})]:
        source = sb.compile(*layers(count), sizes=sizes).source
        assert len(re.findall(r"1\.0 - np\.square", source)) == count


def test_a_memory_limit_leaves_values_apart():
    inputs, outputs = layers(12)
    limited = sb.compile(inputs, outputs, sizes={"N": 3, "D": 4}, memory_limit=10**6)
    assert "np.concatenate" not in limited.source

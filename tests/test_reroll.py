"""Runs of like scalar terms as arrays: the values and derivatives of what was written, in few nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.graph import Graph
from symbackprop.ops.layout import SQUEEZE

N = 40


class Unrolled(NamedTuple):
    """A formula that a loop writes, and what it is in NumPy."""

    name: str
    write: Callable[..., Any]
    numpy: Callable[..., Any]
    most: int  # nodes of value and gradients
    data: Callable[[np.random.Generator, tuple[int, ...]], Any] = lambda rng, shape: rng.uniform(0.5, 1.5, shape)


def product(terms: Sequence[Any]) -> Any:
    return reduce(lambda a, b: a * b, terms)


UNROLLED = (
    Unrolled("product", lambda x, A, s: product([x[i] for i in range(N)]), lambda x, A, s: np.prod(x), 12),
    Unrolled(
        "product with a zero",
        lambda x, A, s: product([x[i] for i in range(N)]),
        lambda x, A, s: np.prod(x),
        12,
        lambda rng, shape: np.where(np.arange(math.prod(shape)).reshape(shape) == 7, 0.0, rng.uniform(0.5, 1.5, shape)),
    ),
    Unrolled(
        "product from the right",
        lambda x, A, s: reduce(lambda a, b: b * a, [x[i] for i in reversed(range(N))]),
        lambda x, A, s: np.prod(x),
        12,
    ),
    Unrolled(
        "sum of functions",
        lambda x, A, s: sum(sb.sin(s * x[i]) ** 2 for i in range(N)),
        lambda x, A, s: np.sum(np.sin(s * x) ** 2),
        30,
    ),
    Unrolled(
        "two sums in one loop, less a third",
        lambda x, A, s: sum(sb.exp(x[i]) + x[i] * s - sb.sqrt(x[i]) for i in range(N)),
        lambda x, A, s: np.sum(np.exp(x) + x * s - np.sqrt(x)),
        40,
    ),
    Unrolled(
        "Rosenbrock",
        lambda x, A, s: sum(100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2 for i in range(N - 1)),
        lambda x, A, s: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
        60,
    ),
    Unrolled(
        "numbers that differ",
        lambda x, A, s: sum((i % 7 + 0.5) * x[N - 1 - i] * x[0] for i in range(N)) + s,
        lambda x, A, s: np.sum((np.arange(N) % 7 + 0.5) * x[::-1] * x[0]) + s,
        30,
    ),
    Unrolled(
        "all elements of a matrix",
        lambda x, A, s: sum(sb.tanh(A[i, j]) for i in range(3) for j in range(20)),
        lambda x, A, s: np.sum(np.tanh(A)),
        20,
    ),
    Unrolled(
        "columns and a row",
        lambda x, A, s: product([1 + A[1, j] * x[2 * j] for j in range(20)]) * sum(A[i, 3] for i in range(3)),
        lambda x, A, s: np.prod(1 + A[1] * x[:40:2]) * np.sum(A[:, 3]),
        60,
    ),
    Unrolled(
        "what is computed for each term anew",
        lambda x, A, s: sum((x[i] - x[0]) ** 2 / (1 + sb.exp(s)) for i in range(N)),
        lambda x, A, s: np.sum((x - x[0]) ** 2 / (1 + np.exp(s))),
        40,
    ),
    Unrolled(
        "with a hole",
        lambda x, A, s: sum(sb.log(x[i]) for i in range(N) if i != 19),
        lambda x, A, s: np.sum(np.log(np.delete(x, 19))),
        30,
    ),
    Unrolled(
        "the largest",
        lambda x, A, s: reduce(sb.maximum, [x[i] * s for i in range(N)]),
        lambda x, A, s: np.max(x * s),
        600,  # the derivative of each maximum asks for both of its operands
    ),
)


def symbols() -> tuple[sb.Expr, sb.Expr, sb.Expr]:
    return sb.symbol("x", (N,)), sb.symbol("A", (3, 20)), sb.symbol("s")


@pytest.mark.parametrize("case", UNROLLED, ids=lambda case: case.name)
def test_loops_are_the_arrays_that_they_were_written_for(case):
    xs = symbols()
    f = case.write(*xs)
    gradients = sb.grad(f, list(xs), unused="zeros")
    compiled = sb.compile(list(xs), [f, *gradients])
    rng = np.random.default_rng(0)
    values = [case.data(rng, x.shape) for x in xs[:2]] + [np.float64(0.7)]
    found = compiled(*values)
    assert compiled.report().rows[-1].nodes <= case.most
    right = case.numpy(*values)
    np.testing.assert_allclose(found[0], right, rtol=1e-12)
    written = sb.compile(list(xs), [f, *gradients], skip=["reroll"])(*values)
    for value, expected in zip(found, written, strict=True):
        assert (value.dtype, value.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(value, expected, rtol=1e-11, atol=1e-11)
    for position, value in enumerate(values):
        direction, step = rng.standard_normal(np.shape(value)), 1e-6
        low, high = ([*values[:position], value + sign * direction, *values[position + 1 :]] for sign in (-step, step))
        slope = (case.numpy(*high) - case.numpy(*low)) / (2 * step)
        np.testing.assert_allclose(np.sum(found[position + 1] * direction), slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", UNROLLED, ids=lambda case: case.name)
def test_left_out_by_name_the_gradient_is_of_what_was_written(case):
    xs = symbols()
    f = case.write(*xs)
    values = {x: np.random.default_rng(1).uniform(0.5, 1.5, x.shape) for x in xs}
    rolled, written = (sb.grad(f, list(xs), unused="zeros", skip=skip) for skip in ((), ["reroll"]))
    for one, other in zip(rolled, written, strict=True):
        np.testing.assert_allclose(sb.evaluate(one, values), sb.evaluate(other, values), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("seed", range(25))
def test_random_terms_in_random_order(seed):
    rng = np.random.default_rng(seed)
    xs = symbols()
    x, A, s = xs
    functions = [
        lambda i: x[i] * s,
        lambda i: sb.sin(x[i]) - x[(i * 3) % N],
        lambda i: A[i % 3, i % 20] ** 2,
        lambda i: sb.where(x[i] > s, x[i], 0.5),
        lambda i: s * s,
        lambda i: 1.5 + i,
        lambda i: sb.sigmoid(x[N - 1 - i]) / (x[i] + x[5]),
    ]
    chosen = rng.permutation(len(functions))[: rng.integers(1, 4)]
    terms = [functions[each](i) for i in range(rng.integers(16, N)) for each in chosen]
    terms = [terms[place] for place in rng.permutation(len(terms))] if seed % 3 == 0 else terms
    f = s
    for term in terms:
        f = (f + term, term + f, f - term)[rng.integers(3)]
    values = [rng.uniform(0.5, 1.5, each.shape) for each in xs]
    outputs = [f, *sb.grad(f, list(xs), unused="zeros")]
    expected = [f, *sb.grad(f, list(xs), unused="zeros", skip=["reroll"])]
    found = sb.compile(list(xs), outputs)(*values)
    for value, right in zip(found, sb.compile(list(xs), expected, skip=["reroll"])(*values), strict=True):
        np.testing.assert_allclose(value, right, rtol=1e-10, atol=1e-10)


def test_separate_symbols_are_stacked():
    xs = [sb.symbol(f"x{i}") for i in range(100)]
    f = product([sb.cos(x) for x in xs])
    compiled = sb.compile(xs, [f, *sb.grad(f, xs)])
    values = np.random.default_rng(0).uniform(-0.5, 0.5, 100)
    value, *gradient = compiled(*values)
    np.testing.assert_allclose(value, np.prod(np.cos(values)), rtol=1e-12)
    np.testing.assert_allclose(gradient, -np.sin(values) * np.prod(np.cos(values)) / np.cos(values), rtol=1e-12)
    assert "np.cos(" in compiled.source
    assert "scalar_cos" not in compiled.source


def test_derivatives_by_elements_and_by_parts():
    x = sb.symbol("x", (N,))
    elements = [x[i] for i in range(N)]
    squares = [sb.square(element) for element in elements]
    f = sum(squares)
    values = {x: np.arange(N, dtype=float)}
    for i, found in enumerate(sb.grad(f, elements)):
        assert sb.evaluate(found, values) == 2.0 * i
    assert {float(sb.evaluate(found, values)) for found in sb.grad(f, squares)} == {1.0}
    part = sum(squares[:20])
    assert float(sb.evaluate(sb.grad(part + sum(squares[20:]), part), values)) == 1.0


def test_the_largest_of_many_is_one_operation():
    x = sb.symbol("x", (N,))
    assert "= x.max()" in sb.compile([x], reduce(sb.maximum, [x[i] for i in range(N)])).source
    assert "= np.exp(x).min()" in sb.compile([x], reduce(sb.minimum, [sb.exp(x[i]) for i in range(N)])).source


def test_recurrences_stay_scalar():
    r, x = sb.symbols("r x")
    y = x
    for _ in range(50):
        y = r * y * (1 - y)
    source = sb.compile([r, x], [y, *sb.grad(y, [r, x])]).source
    assert "np.array(" not in source
    assert ".sum(" not in source


def test_few_terms_stay_as_they_are():
    x = sb.symbol("x", (3,))
    assert "sum" not in sb.compile([x], x[0] + x[1] + x[2]).source


def test_single_precision_stays():
    x = sb.symbol("x", (N,), dtype="float32")
    f = product([x[i] for i in range(N)])
    found = sb.compile([x], [f, sb.grad(f, x)])(np.ones(N, np.float32))
    assert {each.dtype for each in found} == {np.dtype("float32")}


def test_the_gradient_of_a_long_product_is_linear():
    counts = []
    for size in (200, 400):
        with Graph():
            x = sb.symbol("x", (size,))
            f = product([x[i] for i in range(size)])
            before = len(f.graph.nodes)
            sb.grad(f, x, skip=["reroll"])
            counts.append(len(f.graph.nodes) - before)
            before = len(f.graph.nodes)
            sb.grad(f, x)
            assert len(f.graph.nodes) - before < 20
    assert counts[1] < 2.1 * counts[0]


def test_what_has_many_names_for_one_value_is_visited_once():
    x = sb.symbol("x", (N,))
    terms = []
    for i in range(N):
        term = x[i]
        for _ in range(30):
            term = term * term + x[i]
        terms.append(term)
    f = sum(terms)
    found = sb.compile([x], f)(np.full(N, 0.01))
    right = 0.01
    for _ in range(30):
        right = right * right + 0.01
    np.testing.assert_allclose(found, N * right, rtol=1e-12)


def test_elements_of_the_source_are_indexed():
    x = sb.symbol("x", ("N", 4))
    source = sb.compile([x], [x[0, 1] * x[-1, 2], x[1]]).source
    assert "x[0, 1] * x[N - 1, 2]" in source
    assert SQUEEZE.name not in source

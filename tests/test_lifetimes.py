"""Large arrays are let go as soon as nothing needs them: less memory at a time, the same values."""

import tracemalloc

import numpy as np
import pytest

import symbackprop as sb
from tests.benchmarks import hessians

N = 120


def products():
    """Give a function with many matrices of which each is needed for a while."""
    A = sb.symbol("A", ("N", "N"))
    found = [A]
    for _ in range(6):
        found.append(sb.tanh(found[-1] @ A) @ found[-1])
    return [A], sb.sum(found[-1])


def peak_of(function, *arrays):
    function(*arrays)
    tracemalloc.start()
    function(*arrays)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.fixture
def matrix():
    return np.random.default_rng(0).normal(size=(N, N)) / N


def test_less_memory_is_needed_at_a_time(matrix):
    inputs, total = products()
    gone, kept = sb.compile(inputs, total, skip=["buffers"]), sb.compile(inputs, total, skip=["blocks", "buffers"])
    np.testing.assert_array_equal(gone(matrix), kept(matrix))
    assert "    del " in gone.source
    assert "    del " not in kept.source
    assert peak_of(gone, matrix) < 0.6 * peak_of(kept, matrix)


def test_results_and_what_views_of_them_need_are_kept(matrix):
    A = sb.symbol("A", ("N", "N"))
    B = A @ A
    outputs = [B, B.T, sb.sum(sb.exp(B) @ B), sb.exp(B @ A) @ A]
    f = sb.compile([A], outputs)
    for size in (N, 3, N):  # the code is right for all sizes
        value = matrix[:size, :size]
        found = f(value)
        for array, output in zip(found, outputs, strict=True):
            np.testing.assert_allclose(array, sb.evaluate(output, {A: value}), rtol=1e-12)


def test_small_arrays_are_not_worth_a_line(matrix):
    inputs, total = products()
    f = sb.compile(inputs, total)
    f(matrix[:10, :10])
    assert "    del " not in f.source


@pytest.mark.parametrize("problem", [each for each in hessians.PROBLEMS if "Gaussian" in each.name])
def test_a_hessian_needs_little_more_memory_than_that_by_hand(problem):
    inputs, hessian = problem.expressions()
    values = problem.values(problem.sizes)
    ours = peak_of(sb.compile(inputs, hessian), *values.values())
    assert ours < 1.5 * peak_of(lambda *arrays: problem.by_hand(values), *values.values())

"""Sorting and what is taken by it: ties, shapes that values decide, and what stays an error."""

from __future__ import annotations

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.errors import ArgumentError, DtypeError, ShapeError


@pytest.fixture(autouse=True)
def fresh_graph():
    with sb.Graph():
        yield


def gradient_at(function, at):
    x = sb.symbol("x", np.shape(at))
    return sb.evaluate(sb.grad(function(x), x), {x: at})


# --- equal elements -------------------------------------------------------------------------------------------


def test_equal_elements_keep_their_order_in_derivatives():
    """Of the values 1 at places 1, 3 and 4, the sorted places 0, 1 and 2 belong to them in this order."""
    at = [2.0, 1.0, 3.0, 1.0, 1.0]
    weights = np.array([10.0, 20.0, 30.0, 40.0, 50.0])
    np.testing.assert_array_equal(gradient_at(lambda x: sb.sum(sb.sort(x) * weights), at), [40, 10, 50, 20, 30])
    np.testing.assert_array_equal(gradient_at(lambda x: sb.partition(x, 1)[1], at), [0, 0, 0, 1, 0])
    np.testing.assert_array_equal(gradient_at(sb.median, at), [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(gradient_at(lambda x: sb.quantile(x, 0.25), at), [0, 0, 0, 1, 0])


def test_the_derivative_of_sorting_is_a_permutation_matrix():
    x = sb.symbol("x", 5)
    at = np.array([2.0, 1.0, 3.0, 1.0, 1.0])
    J = sb.evaluate(sb.jacobian(sb.sort(x), x), {x: at})
    np.testing.assert_array_equal(J, np.eye(5)[np.argsort(at, kind="stable")])
    np.testing.assert_array_equal(J @ at, np.sort(at))


def test_the_derivative_of_sorting_writes_each_element_once():
    x = sb.symbol("x", "N")
    f = sb.compile([x], sb.grad(sb.sum(sb.sort(x) ** 3), x))
    assert "np.sort(x)" in f.source
    assert 'np.argsort(x, kind="stable")' in f.source
    assert "add.at" not in f.source
    at = np.random.default_rng(0).normal(size=100)
    np.testing.assert_allclose(f(at), 3 * at**2)


@pytest.mark.parametrize("axis", [0, 1])
def test_large_arrays_are_sorted_row_by_row(axis):
    x = sb.symbol("x", ("N", "M"))
    y = sb.sort(sb.exp(x), axis=axis) * x
    f = sb.compile([x], [y, sb.grad(sb.sum(y), x)], sizes={"N": 1000, "M": 1200})
    at = np.random.default_rng(0).normal(size=(1000, 1200))
    value, gradient = f(at)
    np.testing.assert_allclose(value, np.sort(np.exp(at), axis) * at)
    order = np.argsort(at, axis)
    back = np.empty_like(at)
    np.put_along_axis(back, order, at, axis)
    np.testing.assert_allclose(gradient, np.sort(np.exp(at), axis) + back * np.exp(at))


def test_nan_is_sorted_to_the_end_and_makes_order_statistics_nan():
    x = sb.symbol("x", 4)
    at = {x: [3.0, np.nan, 1.0, 2.0]}
    np.testing.assert_array_equal(sb.evaluate(sb.sort(x), at), [1, 2, 3, np.nan])
    assert np.isnan(sb.evaluate(sb.median(x), at))
    assert np.isnan(sb.evaluate(sb.quantile(x, 0.1), at))
    assert sb.evaluate(sb.nanmedian(x), at) == 2
    assert sb.evaluate(sb.nanquantile(x, 0.25), at) == 1.5
    with np.errstate(invalid="ignore"):
        assert np.isnan(sb.evaluate(sb.nanmedian(x), {x: [np.nan] * 4}))
    gradient = sb.evaluate(sb.grad(sb.nanmedian(x), x), at)
    np.testing.assert_array_equal(gradient, [0, 0, 0, 1])


# --- quantiles ------------------------------------------------------------------------------------------------


def test_a_quantile_between_elements_has_a_derivative_by_q():
    x, q = sb.symbol("x", "N"), sb.symbol("q")
    slope = sb.grad(sb.quantile(x, q), q)
    assert sb.evaluate(slope, {x: [1.0, 2.0, 4.0, 9.0], q: 0.5}) == 3 * (4 - 2)


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "nearest"])
@pytest.mark.parametrize("q", [0.0, 0.1, 1 / 3, 0.5, 0.999, 1])
def test_a_quantile_that_is_told_is_no_longer_than_it_must_be(method, q):
    """Its place is inside whatever the size: there is nothing to guard but the element behind the last one."""
    x = sb.symbol("x", "N")
    y = np.quantile(x, q, method=method)
    assert str(y).count("where(") <= (2 if method == "linear" else 1)
    f = sb.compile([x], y)
    for size in (1, 2, 3, 11):
        at = np.random.default_rng(size).normal(size=size)
        assert f(at) == np.quantile(at, q, method=method)


def test_the_trapezoidal_rule_at_unit_distance_is_as_short_as_it_is():
    x = sb.symbol("x", "N")
    assert str(np.trapezoid(x)) == "sum((x[1:] + x[:N - 1])/2)"


def test_the_pinball_loss_is_least_at_the_quantile():
    """The derivative of Σ max(q(xᵢ − m), (q − 1)(xᵢ − m)) by m changes its sign there (Koenker and Bassett, 1978)."""
    x, m, q = sb.symbol("x", "N"), sb.symbol("m"), 0.3
    loss = sb.sum(sb.maximum(q * (x - m), (q - 1) * (x - m)))
    at = np.random.default_rng(0).normal(size=101)
    middle = sb.evaluate(sb.quantile(x, q), {x: at})
    slope = sb.grad(loss, m)
    before, after = (sb.evaluate(slope, {x: at, m: middle + step}) for step in (-0.02, 0.02))
    assert before < 0 < after


# --- how many there are depends on values ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (np.nonzero, r"nonzero: how many elements x\[N\] takes depends on its values: pass size=K"),
        (lambda x: np.flatnonzero(x > 0), r"flatnonzero: how many elements greater\(x, 0\)\[N\]"),
        (np.argwhere, r"argwhere: how many"),
        (lambda x: x.nonzero(), r"nonzero: how many"),
        (lambda x: np.compress(x > 0, x), r"compress: how many"),
        (lambda x: x.compress(x > 0), r"compress: how many"),
        (lambda x: np.extract(x > 0, x), r"compress: how many"),
        (np.unique, r"unique: how many different values x\[N\] has depends on them: use sb.sort\(x\)"),
        (lambda x: np.bincount(x.astype(int)), r"bincount: how long the result is .* pass minlength=K"),
        (lambda x: sb.partition(sb.symbol("y", 3), 3), r"partition: kth=3 is out of range for size 3"),
        (lambda x: np.take(sb.symbol("y", 3), 3), r"3 is out of range for size 3: y\[3\]"),
        (lambda x: np.take_along_axis(x, np.array([[0]]), 0), r"the indices have 2 axes, and x\[N\] has 1"),
    ],
)
def test_what_cannot_be_said_tells_what_to_write(call, message):
    with pytest.raises(ShapeError, match=message):
        call(sb.symbol("x", "N"))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x.sort(), AttributeError, r"it sorts in place, and expressions never change: y = sb.sort\(x\)"),
        (lambda x: np.put_along_axis(x, np.array([0]), 1, 0), TypeError, r"it writes into its argument"),
        (lambda x: np.sort(x, kind="bubble"), ArgumentError, r'kind is "quicksort", .* not \'bubble\''),
        (lambda x: np.quantile(x, 1.5), ArgumentError, r"q lies between 0 and 1, and this is 1.5"),
        (lambda x: np.quantile(x, 0.5, method="best"), ArgumentError, r"no method 'best'; there are linear"),
        (lambda x: np.quantile(x, 0.5, weights=x), ArgumentError, r"weights="),
        (lambda x: np.take(x, [0.5]), DtypeError, r"take: indices are integers, and array\[1\] is float64"),
        (lambda x: np.take(x, [0], mode="best"), ArgumentError, r'mode is "raise", "wrap" or "clip", not \'best\''),
        (lambda x: np.searchsorted(x, 1.0, side="top"), ArgumentError, r'side is "left" or "right"'),
        (lambda x: np.digitize(x, [0.0, 2.0, 1.0]), ArgumentError, r"the bins neither ascend nor descend"),
        (lambda x: np.interp(x, [0.0, 1.0], [0.0, 1.0], period=1.0), ArgumentError, r"period has no symbolic form"),
    ],
)
def test_wrong_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call(sb.symbol("x", "N"))


def test_bincount_refuses_at_the_call_what_numpy_refuses():
    i, w = sb.symbol("i", "N", "int64"), sb.symbol("w", "N")
    f = sb.compile([i, w], sb.bincount(i, w, minlength=3))
    np.testing.assert_array_equal(f(np.array([0, 2, 2]), np.array([1.0, 2.0, 3.0])), [1, 0, 5])
    for wrong in (3, -1):
        with pytest.raises(IndexError, match="out of bounds"):
            f(np.array([0, wrong]), np.ones(2))


def test_the_slope_of_interpolation_is_that_of_the_piece():
    places, values = [0.0, 1.0, 3.0], [0.0, 2.0, 3.0]
    at = [-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0]
    slopes = gradient_at(lambda x: sb.sum(sb.interp(x, places, values)), at)
    np.testing.assert_array_equal(slopes, [0, 2, 2, 0.5, 0.5, 0.5, 0])


def test_the_first_k_that_hold():
    x = sb.symbol("x", 5)
    at = {x: [3.0, -1.0, 2.0, -4.0, 5.0]}
    kept = sb.compress(x > 0, x, size=4)
    np.testing.assert_array_equal(sb.evaluate(kept, at), [3, 2, 5, 0])
    np.testing.assert_array_equal(sb.evaluate(sb.grad(sb.sum(kept**2), x), at), [6, 0, 4, 0, 10])
    np.testing.assert_array_equal(sb.evaluate(sb.compress(x > 0, x, size=2), at), [3, 2])
    np.testing.assert_array_equal(sb.evaluate(sb.flatnonzero(x > 0, size=4, fill_value=-1), at), [0, 2, 4, -1])
    rows, columns = sb.nonzero(sb.symbol("A", (2, 3)), size=2)
    found = {sb.symbol("A", (2, 3)): [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]}
    np.testing.assert_array_equal([sb.evaluate(part, found) for part in (rows, columns)], [[0, 1], [2, 0]])

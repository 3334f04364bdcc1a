"""Reductions, statistics and scans where the derivative has a kink, or where elements do not count or are missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.signal
import scipy.special

import symbackprop as sb
from symbackprop.errors import ArgumentError, DtypeError, NotDifferentiableError, ShapeError
from symbackprop.expr import Expr


@pytest.fixture(autouse=True)
def fresh_graph():
    with sb.Graph():
        yield


def derivatives(function: Callable[[Expr], Expr], at: Any) -> tuple[Any, Any, Any]:
    """Give the value of the sum, the gradient, and that of a weighted sum of the gradient."""
    array = np.asarray(at, "float64")
    x = sb.symbol("x", array.shape)
    y = sb.sum(function(x))
    gradient = sb.grad(y, x)
    weights = np.arange(1.0, array.size + 1).reshape(array.shape)
    second = sb.grad(sb.sum(gradient * weights), x, unused="zeros")
    with np.errstate(all="ignore"):
        plain = [sb.evaluate(each, {x: array}) for each in (y, gradient, second)]
        compiled = sb.compile([x], [y, gradient, second])(array)
    for one, other in zip(plain, compiled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
    return tuple(plain)


# --- what does not count --------------------------------------------------------------------------------------

MASK = np.array([[True, False, True, True], [True, True, False, True]])
MASKED: dict[str, Callable[..., Any]] = {
    "sum": lambda m, x, mask: m.sum(x, axis=1, where=mask),
    "mean": lambda m, x, mask: m.mean(x, axis=1, where=mask),
    "prod": lambda m, x, mask: m.prod(x, axis=1, where=mask),
    "max": lambda m, x, mask: m.max(x, axis=1, initial=-9, where=mask),
    "min": lambda m, x, mask: m.min(x, axis=0, initial=9, where=mask),
    "var": lambda m, x, mask: m.var(x, axis=1, ddof=1, where=mask),
    "std": lambda m, x, mask: m.std(x, where=mask),
}


@pytest.mark.parametrize("left_out", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("name", MASKED)
def test_what_a_mask_leaves_out_has_no_derivative_whatever_it_is(name, left_out):
    array = np.random.default_rng(1).uniform(0.5, 1.5, MASK.shape)
    reduced = MASKED[name]
    clean = derivatives(lambda x: reduced(sb, x, MASK), array)
    np.testing.assert_allclose(clean[0], np.sum(reduced(np, array, MASK)))
    dirty = derivatives(lambda x: reduced(sb, x, MASK), np.where(MASK, array, left_out))
    for one, other in zip(clean, dirty, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-13, atol=1e-14)
    assert not dirty[1][~MASK].any()


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "var", "std"])
def test_nothing_counts(name):
    """A mask without a True gives what NumPy gives, and no derivative."""
    array = np.ones((2, 3))
    value, gradient, _ = derivatives(lambda x: getattr(sb, name)(x, axis=0, where=False * (x > 9)), array)
    with np.errstate(all="ignore"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_args, **_kwargs: None)
        np.testing.assert_equal(value, np.sum(getattr(np, name)(array, axis=0, where=False)))
    np.testing.assert_array_equal(gradient, np.zeros((2, 3)))


HOLES: dict[str, Callable[..., Any]] = {
    **{
        name: lambda m, x, name=name: getattr(m, name)(x, axis=1)
        for name in ("nansum", "nanmean", "nanprod", "nanmax", "nanmin", "nanvar", "nanstd", "nancumsum", "nancumprod")
    },
    "nanvar ddof": lambda m, x: m.nanvar(x, axis=1, ddof=2),
    "nanstd mean": lambda m, x: m.nanstd(x, axis=0, mean=m.nanmean(x, axis=0, keepdims=True)),
    "nanmax initial": lambda m, x: m.nanmax(x, axis=1, initial=0.5),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", HOLES)
def test_what_is_missing_has_no_derivative(name):
    """NaN here and there, a row of nothing but NaN, one of a single number: values as NumPy's, derivatives 0 at NaN."""
    array = np.random.default_rng(4).uniform(0.5, 1.5, (4, 5))
    array[0, [1, 3]] = array[2] = array[3, 1:] = np.nan
    x = sb.symbol("x", array.shape)
    y = HOLES[name](sb, x)
    np.testing.assert_allclose(sb.evaluate(y, {x: array}), HOLES[name](np, array), rtol=1e-14)
    gradient = sb.grad(sb.sum(y * 1.5), x)
    second = sb.grad(sb.sum(gradient * np.arange(20.0).reshape(4, 5)), x, unused="zeros")
    for found in [sb.evaluate(each, {x: array}) for each in (gradient, second)] + sb.compile([x], [gradient, second])(
        array
    ):
        assert not found[np.isnan(array)].any()
        assert np.isfinite(found[:2]).all()


@pytest.mark.parametrize("name", ["nanargmax", "nanargmin"])
def test_there_is_no_position_among_nothing_but_nan(name):
    x = sb.symbol("x", (2, 3))
    position = sb.compile([x], getattr(sb, name)(x, axis=1))
    np.testing.assert_array_equal(position(np.array([[np.nan, 3.0, 3.0], [np.nan, np.nan, -np.inf]]))[:1], [1])
    with pytest.raises(ValueError, match="All-NaN slice encountered"):
        position(np.array([[np.nan, 3.0, 3.0], [np.nan, np.nan, np.nan]]))


# --- kinks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "at", "expected"),
    [
        (sb.std, [2.0, 2.0, 2.0], [0, 0, 0]),
        (lambda x: sb.std(x, ddof=1), [0.1, 0.1, 0.1], [0, 0, 0]),
        (lambda x: sb.std(x, axis=1), [[1.0, 1.0], [0.0, 2.0]], [[0, 0], [-0.5, 0.5]]),
        (sb.std, 3.0, 0),
        (lambda x: sb.std(x, where=[True, False, False]), [1.0, 2.0, 3.0], [0, 0, 0]),
        (sb.ptp, [1.0, 3.0, 3.0, 1.0], [-0.5, 0.5, 0.5, -0.5]),
        (sb.ptp, [2.0, 2.0], [0, 0]),
        (lambda x: sb.max(x, initial=2.0), [2.0, 1.0, 2.0], [0.5, 0, 0.5]),
        (lambda x: sb.max(x, initial=3.0), [2.0, 1.0, 2.0], [0, 0, 0]),
        (lambda x: sb.min(x, initial=1.0), [2.0, 1.0, 2.0], [0, 1, 0]),
    ],
)
def test_derivatives_at_kinks_are_those_documented(function, at, expected):
    _, gradient, second = derivatives(function, at)
    np.testing.assert_allclose(gradient, expected, atol=1e-15)
    assert np.isfinite(second).all()


def test_a_variance_does_not_cancel():
    """Of numbers around 10⁹ with standard deviation 1, where E[x²] − E[x]² has no digit left."""
    array = 1e9 + np.random.default_rng(2).normal(size=1000)
    x = sb.symbol("x", "N")
    exact = np.var(array.astype(np.longdouble))
    for expr, expected in [(sb.var(x), exact), (sb.std(x), np.sqrt(exact)), (sb.cov(x, ddof=0), exact)]:
        np.testing.assert_allclose(sb.compile([x], expr)(array), float(expected), rtol=1e-12)
    gradient = sb.compile([x], sb.grad(sb.var(x), x))(array)
    wide = array.astype(np.longdouble)
    np.testing.assert_allclose(gradient, 2 * (wide - wide.mean()) / 1000, rtol=0, atol=2 * np.spacing(1e9) / 1000)


# --- scans ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zeros", [(), (0,), (3,), (5,), (1, 3), (0, 2, 4), (0, 1, 2, 3, 4, 5)])
def test_derivatives_of_a_cumulative_product_at_zeros(zeros):
    """Of first, second and third order against those of the polynomials that the products are, taken apart."""
    array = np.array([2.0, 3.0, -0.5, 1.5, 4.0, 0.25])
    array[list(zeros)] = 0
    w = np.array([1.0, -2.0, 3.0, 0.5, 1.25, -1.0])
    x = sb.symbol("x", 6)

    def expected(*by):
        """Differentiate Σ w[k] x[0]…x[k] by some of the elements."""
        if len(set(by)) < len(by):
            return 0.0
        return sum(w[k] * np.prod(np.delete(array[: k + 1], by)) for k in range(max(by), 6))

    first = sb.grad(sb.sum(sb.cumprod(x) * w), x)
    second = sb.vjp(first, x, np.eye(6))
    third = sb.grad(sb.sum(second * np.arange(36.0).reshape(6, 6)), x)
    compiled = sb.compile([x], [first, second, third])
    found = [compiled(array), [sb.evaluate(each, {x: array}) for each in (first, second, third)]]
    for one, two, three in found:
        np.testing.assert_allclose(one, [expected(i) for i in range(6)], rtol=1e-14)
        np.testing.assert_allclose(two, [[expected(i, j) for j in range(6)] for i in range(6)], rtol=1e-14)
        np.testing.assert_allclose(
            three,
            [sum((6 * i + j) * expected(i, j, k) for i in range(6) for j in range(6)) for k in range(6)],
            rtol=1e-13,
        )


def test_a_long_cumulative_product_and_its_derivative_take_linear_time_and_keep_their_digits():
    """50 000 factors, some of them 0: an O(N²) table would fill 20 GB."""
    rng = np.random.default_rng(3)
    array = rng.uniform(0.99, 1.01, 50_000)
    array[[20_000, 40_000]] = 0
    x = sb.symbol("x", "N")
    gradient = sb.compile([x], sb.grad(sb.sum(sb.cumprod(x)), x))(array)
    wide = array.astype(np.longdouble)
    before = np.cumprod(np.concatenate([[1], wide[:-1]]))
    behind = np.zeros_like(wide)
    for k in range(len(wide) - 1, -1, -1):
        behind[k] = 1 + (wide[k + 1] * behind[k + 1] if k + 1 < len(wide) else 0)
    np.testing.assert_allclose(gradient, (before * behind).astype(float), rtol=1e-12)
    assert gradient[20_000] != 0
    assert not gradient[20_001:].any()


@pytest.mark.parametrize(
    ("function", "at", "expected"),
    [
        (sb.cummax, [2.0, 1.0, 2.0, 2.0, 1.0], [2, 0, 1, 2, 0]),
        (sb.cummin, [2.0, 3.0, 1.0, 1.0, 4.0], [2, 0, 1, 2, 0]),
        (lambda x: sb.cummax(x, axis=0), [[1.0, 5.0], [1.0, 4.0]], [[1, 2], [1, 0]]),
    ],
)
def test_records_have_the_derivatives_of_what_they_are_the_extreme_of(function, at, expected):
    """Of elements that tie the latest has all from there on."""
    _, gradient, second = derivatives(function, at)
    np.testing.assert_array_equal(gradient, expected)
    assert not second.any()


def test_a_recurrence_is_a_filter():
    """Of r = a r + b, as SciPy's filter computes it, with its derivative by the constant a."""
    b = np.random.default_rng(5).normal(size=40)
    symbol, a = sb.symbol("b", "N"), sb.symbol("a")
    state = a * sb.recurrence(a, symbol) + symbol
    value, slope = sb.compile([symbol, a], [state, sb.grad(sb.sum(state), a)])(b, 0.9)
    np.testing.assert_allclose(value, scipy.signal.lfilter([1], [1, -0.9], b), rtol=1e-13)
    ends = [scipy.signal.lfilter([1], [1, -0.9 - h], b).sum() for h in (1e-6, -1e-6)]
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-6, rtol=1e-7)


# --- positions and truth --------------------------------------------------------------------------------------


def test_positions_of_ties_are_the_first_and_have_no_derivative():
    x = sb.symbol("x", 4)
    values = {x: [1.0, 3.0, 3.0, 1.0]}
    assert sb.evaluate(sb.argmax(x), values) == 1
    assert sb.evaluate(sb.argmin(x), values) == 0
    assert sb.argmax(x).dtype == np.intp
    for expr in (sb.argmax(x), sb.any(x), sb.all(x), sb.count_nonzero(x)):
        with pytest.raises(NotDifferentiableError):
            sb.grad(expr.astype("float64"), x)


def test_nan_is_true_and_the_largest():
    x = sb.symbol("x", 3)
    for array in ([0.0, np.nan, 0.0], [1.0, np.nan, 2.0], [0.0, 0.0, 0.0]):
        for name in ("any", "all", "count_nonzero", "argmax", "argmin"):
            assert sb.evaluate(getattr(sb, name)(x), {x: array}) == getattr(np, name)(array)


# --- logarithms of sums of exponentials with weights ----------------------------------------------------------


def test_weighted_logsumexp_at_extreme_values():
    """As scipy's: huge exponents, weights of 0 beside what would overflow, negative weights, negative sums."""
    a, b = sb.symbol("a", 3), sb.symbol("b", 3)
    y = sb.logsumexp(a, b=b)
    da, db = sb.grad(y, [a, b])
    for at, weights, by_a, by_b in [
        ([1000.0, 1000.0, 999.0], [1.0, 2.0, 0.0], [1 / 3, 2 / 3, 0], [1 / 3, 1 / 3, np.exp(-1) / 3]),
        ([0.0, 0.0, 2000.0], [1.0, 3.0, 0.0], [0.25, 0.75, 0], [0.25, 0.25, np.inf]),
        ([-2000.0, -2000.0, -3000.0], [3.0, -1.0, 1.0], [1.5, -0.5, 0], [0.5, 0.5, 0]),
    ]:
        values = {a: at, b: weights}
        np.testing.assert_allclose(sb.evaluate(y, values), scipy.special.logsumexp(at, b=weights), rtol=1e-14)
        with np.errstate(over="ignore"):
            np.testing.assert_allclose(sb.evaluate(da, values), by_a, rtol=1e-12)
            np.testing.assert_allclose(sb.evaluate(db, values), by_b, rtol=1e-12)
    assert np.isnan(sb.evaluate(y, {a: [0.0, 0.0, 0.0], b: [1.0, -3.0, 0.0]}))


# --- errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda x: sb.sum(x, out=np.zeros(())), ArgumentError, "sum: out= writes into an array"),
        (lambda x: sb.sum(x, where=[1, 0, 1]), DtypeError, "sum: where= takes bools, not int64"),
        (lambda x: sb.mean(x, where=sb.symbol("m", 2, "bool")), ShapeError, r"mean: where= .*m\[2\].*x\[2, 3\]"),
        (lambda x: sb.max(x, where=x > 1), ArgumentError, "max: .*initial="),
        (lambda x: sb.sum(x, initial=x[0]), ShapeError, "sum: initial= is a scalar"),
        (lambda x: sb.mean(x, dtype=int), DtypeError, "mean: computes floats, not int64"),
        (lambda x: sb.var(x, ddof=1, correction=1), ArgumentError, "var: ddof= and correction="),
        (lambda x: sb.var(x, axis=0, mean=x), ShapeError, r"var: mean= .*\(1, 3\), not x\[2, 3\]"),
        (lambda x: sb.argmax(x, axis=(0, 1)), ShapeError, r"argmax: takes one axis.*x\[2, 3\]"),
        (lambda x: sb.average(x, weights=x[0]), ShapeError, r"average: weights of another shape need an axis"),
        (lambda x: sb.average(x, axis=0, weights=x[0]), ShapeError, r"average: the weights do not have the shape"),
        (lambda x: sb.cov(x[None]), ShapeError, "cov: has two axes at most"),
        (sb.cumulative_sum, ShapeError, "cumsum: of more than one axis"),
        (lambda x: sb.cumsum(x, axis=2), ShapeError, r"cumsum: axis 2 is out of range .*x\[2, 3\]"),
        (lambda x: sb.diff(x, n=-1), ValueError, "diff: the order must not be negative: -1"),
        (lambda x: sb.diff(x[0, 0]), ShapeError, r"diff: axis -1 is out of range"),
        (lambda x: sb.ediff1d(x.astype(int), to_end=0.5), DtypeError, "ediff1d: to_end= is float64"),
        (lambda x: sb.gradient(x, axis=0, edge_order=2), ShapeError, r"gradient: needs more than 2 samples on axis 0"),
        (lambda x: sb.gradient(x, 1.0, 2.0, 3.0), ArgumentError, "gradient: needs a scalar spacing"),
        (lambda x: sb.gradient(x, x[0], x[0]), ShapeError, "gradient: the coordinates do not fit axis 0"),
        (lambda x: sb.logsumexp(x, return_sign=True), ArgumentError, "logsumexp: gives one value"),
    ],
)
def test_errors_say_what_to_do(build, error, message):
    with pytest.raises(error, match=message):
        build(sb.symbol("x", (2, 3)))


# --- formulas -------------------------------------------------------------------------------------------------

FORMULAS: list[tuple[str, Callable[..., Expr], str]] = [
    ("var", lambda x, w: sb.var(x), "2(x − mean(x))/N"),
    ("std", lambda x, w: sb.std(x, ddof=1), "(x − mean(x))/‖x − mean(x)‖/√(N − 1)"),
    ("cumsum", lambda x, w: sb.sum(w * sb.cumsum(x)), "cumsum(w[::-1])[::-1]"),
    ("mean of cumsum", lambda x, w: sb.mean(sb.cumsum(x)), "float64(N − arange(N))/N"),
    ("prod", lambda x, w: sb.prod(x), "product_of_others(x, axis=0)"),
    ("cov", lambda x, w: sb.cov(x), "2(x − mean(x))/(N − 1)"),
    ("average", lambda x, w: sb.average(x, weights=w), "w/sum(w)"),
    ("logsumexp", lambda x, w: sb.logsumexp(x, b=w), "exp(x − logsumexp(x, b=w)) ⊙ w"),
    ("nansum", lambda x, w: sb.nansum(x * w), "where(isnan(x ⊙ w), 0, w)"),
]


@pytest.mark.parametrize(("build", "expected"), [row[1:] for row in FORMULAS], ids=[row[0] for row in FORMULAS])
def test_derivatives_read_as_in_a_book(build, expected):
    x, w = sb.symbols("x[N] w[N]")
    assert str(sb.grad(build(x, w), x)) == expected


def test_the_code_is_what_one_would_write():
    x, w = sb.symbols("x[N] w[N]")
    source = sb.compile([x, w], [sb.sum(w * sb.cumsum(x)), sb.grad(sb.sum(w * sb.cumsum(x)), x)]).source
    assert "x.cumsum()" in source
    assert "dx = w[::-1].cumsum()[::-1]" in source
    assert "cumsum" not in sb.compile([x], sb.sum(sb.cumsum(x))).source.partition('"""')[2].partition('"""')[2]

"""Numbers that stay right: naive spellings at extreme points, and masks that let nothing of a dead branch through."""

import itertools

import mpmath
import numpy as np
import pytest

import symbackprop as sb
from symbackprop import precise
from symbackprop.rewrite import FORMULA, PIPELINE
from symbackprop.rewrite.accurate import closed, computed
from symbackprop.rewrite.engine import Rewritten, instantiate, rebuild
from symbackprop.rewrite.pipeline import run
from symbackprop.rewrite.stable import stable
from tests.scoreboards import stability
from tests.test_rewrite import symbols_of, with_numbers

# --- masks ----------------------------------------------------------------------------------------------------

AT = np.array([-2.0, 1.0, 0.0, 0.5, 2.0, 0.0])
POSITIVE = AT > 0
PAIR = np.ones((1, 2))


def _log_times_x(x):
    return sb.log(x) * x


# name: (a scalar of x[6], the alive elements, the first and the second derivative there)
MASKED = {
    "sqrt": (lambda x: sb.where(x > 0, sb.sqrt(x), 0), POSITIVE, lambda x: 0.5 * x**-0.5, lambda x: -0.25 * x**-1.5),
    "log": (lambda x: sb.where(x > 0, sb.log(x), 0), POSITIVE, lambda x: 1 / x, lambda x: -1 / x**2),
    "entropy": (lambda x: sb.where(x > 0, x * sb.log(x), 0), POSITIVE, lambda x: np.log(x) + 1, lambda x: 1 / x),
    "otherwise": (lambda x: sb.where(x <= 0, 0, sb.log(x)), POSITIVE, lambda x: 1 / x, lambda x: -1 / x**2),
    "reciprocal": (
        lambda x: sb.where(sb.not_equal(x, 0), 1 / x, 0), AT != 0, lambda x: -1 / x**2, lambda x: 2 / x**3,
    ),
    "ratio": (lambda x: sb.where(sb.not_equal(x, 0), x / x, 1), AT != 0, lambda x: 0 * x, lambda x: 0 * x),
    "root of where": (
        lambda x: sb.sqrt(sb.where(x > 0, x, 0)), POSITIVE, lambda x: 0.5 * x**-0.5, lambda x: -0.25 * x**-1.5,
    ),
    "interval": (
        lambda x: sb.where(abs(x) < 1, sb.log(1 - x * x), 0), abs(AT) < 1,
        lambda x: -2 * x / (1 - x**2), lambda x: -2 * (1 + x**2) / (1 - x**2) ** 2,
    ),
    "nested": (
        lambda x: sb.where(x > 0, sb.where(x < 1.5, sb.log(x) * sb.log(1.5 - x), 3.0), 0), (AT > 0) & (AT < 1.5),
        lambda x: np.log(1.5 - x) / x - np.log(x) / (1.5 - x),
        lambda x: -np.log(1.5 - x) / x**2 - 2 / (x * (1.5 - x)) - np.log(x) / (1.5 - x) ** 2,
    ),
    "power": (lambda x: sb.where(x > 0, x**0.3, 0), POSITIVE, lambda x: 0.3 * x**-0.7, lambda x: -0.21 * x**-1.7),
    "overflow": (
        lambda x: sb.where(x < 1.5, sb.exp(1000 * (x - 1)), 0), AT < 1.5,
        lambda x: 1e3 * np.exp(1e3 * (x - 1)), lambda x: 1e6 * np.exp(1e3 * (x - 1)),
    ),
    "reshape": (
        lambda x: sb.where((x > 0).reshape((2, 3)), sb.reshape(_log_times_x(x), (2, 3)), 0), POSITIVE,
        lambda x: np.log(x) + 1, lambda x: 1 / x,
    ),
    "transpose": (
        lambda x: sb.where(sb.reshape(x, (2, 3)).T > 0, sb.log(sb.reshape(x, (2, 3))).T, 0), POSITIVE,
        lambda x: 1 / x, lambda x: -1 / x**2,
    ),
    "slice": (
        lambda x: sb.where(x[1:] > 0, sb.log(x)[1:], 0), POSITIVE, lambda x: 1 / x, lambda x: -1 / x**2,
    ),
    "join": (
        lambda x: sb.where(sb.concatenate([x, x]) > 0, sb.concatenate([sb.log(x), sb.sqrt(x)]), 0), POSITIVE,
        lambda x: 1 / x + 0.5 * x**-0.5, lambda x: -1 / x**2 - 0.25 * x**-1.5,
    ),
    "matmul": (
        lambda x: sb.where((x > 0)[:, None], _log_times_x(x)[:, None] @ PAIR, 0), POSITIVE,
        lambda x: 2 * (np.log(x) + 1), lambda x: 2 / x,
    ),
    "sum": (
        lambda x: sb.where(x > 0, sb.sum(sb.log(x)[:, None] * PAIR, axis=1), 0), POSITIVE,
        lambda x: 2 / x, lambda x: -2 / x**2,
    ),
    "mean": (
        lambda x: sb.where(x > 0, sb.mean(sb.log(x)[:, None] * PAIR, axis=1), 0), POSITIVE,
        lambda x: 1 / x, lambda x: -1 / x**2,
    ),
    "logsumexp": (
        lambda x: sb.where(x > 0, sb.logsumexp(sb.log(x)[:, None] * PAIR, axis=1), 0), POSITIVE,
        lambda x: 1 / x, lambda x: -1 / x**2,
    ),
    "softmax": (
        lambda x: sb.where((x > 0)[:, None], sb.softmax(sb.log(x)[:, None] * np.array([[0.0, 1.0]])), 0)[:, 1],
        POSITIVE, lambda x: 1 / (1 + x) ** 2, lambda x: -2 / (1 + x) ** 3,
    ),
    "weights": (
        lambda x: sb.where(x > 0, sb.log(x) * np.arange(1.0, 7.0), 0) / np.arange(1.0, 7.0), POSITIVE,
        lambda x: 1 / x, lambda x: -1 / x**2,
    ),
    "root of relu": (
        lambda x: sb.sqrt(sb.relu(x)),
        POSITIVE,
        lambda x: 0.5 * x**-0.5,
        lambda x: -0.25 * x**-1.5,
    ),
    "power of max": (
        lambda x: sb.maximum(0, x) ** 0.3,
        POSITIVE,
        lambda x: 0.3 * x**-0.7,
        lambda x: -0.21 * x**-1.7,
    ),
    "all dead": (
        lambda x: sb.where(x > 9, sb.sqrt(sb.sum(0 * x)), 0), AT > 9, lambda x: x, lambda x: x,
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's of the dead branch itself, whose values are not used
@pytest.mark.parametrize("name", MASKED)
def test_a_dead_branch_contributes_exactly_nothing_to_a_derivative(name):
    build, alive, first, second = MASKED[name]
    x = sb.symbol("x", 6)
    slope = sb.grad(sb.sum(build(x)), x)
    curvature = sb.grad(sb.sum(slope), x, unused="zeros")
    compiled = sb.compile([x], [slope, curvature])(AT)
    evaluated = [sb.evaluate(slope, {x: AT}), sb.evaluate(curvature, {x: AT})]
    simplified = [sb.evaluate(sb.simplify(each), {x: AT}) for each in (slope, curvature)]
    numbers = [sb.backprop(sb.sum(build(x)), {x: AT})[x]]
    for found in (compiled, evaluated, simplified, numbers):
        for values, expected in zip(found, (first, second), strict=False):
            np.testing.assert_array_equal(values[~alive], 0.0)
            np.testing.assert_allclose(values[alive], expected(AT[alive]), rtol=1e-12)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_jacobian_keeps_masks_too():
    x = sb.symbol("x", 6)
    found = sb.evaluate(sb.jacobian(sb.where(x > 0, sb.sqrt(x)[::-1][::-1], 0), x), {x: AT})
    slopes = np.zeros(6)
    slopes[POSITIVE] = 0.5 / np.sqrt(AT[POSITIVE])
    np.testing.assert_allclose(found, np.diag(slopes), rtol=1e-15)


def test_the_formula_of_a_masked_gradient_is_the_one_of_the_branch():
    x = sb.symbol("x", "N")
    assert str(sb.grad(sb.sum(sb.where(x > 0, sb.sqrt(x), 0)), x)) == "where(x > 0, 1/(2√x), 0)"


def test_masks_are_followed_through_a_deep_graph_without_recursion():
    x = sb.symbol("x", 6)
    y = sb.log(x)
    for _ in range(2000):
        y = sb.tanh(y[::-1])
    z = sb.sum(sb.where(x[::-1] > 9, y, 0))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(sb.evaluate(sb.grad(z, x), {x: AT}), 0.0)


# --- the suite ------------------------------------------------------------------------------------------------

COMPILED = stability.symbackprop(compiled=True)


@pytest.mark.parametrize("number", range(len(stability.CASES)), ids=lambda number: stability.CASES[number].name)
def test_a_naive_spelling_has_the_right_value_and_derivatives_at_extreme_points(number):
    value, first, second = stability.score(COMPILED, number)
    points = stability.inputs_of(stability.CASES[number])
    for what, right in {"value": value, "first derivative": first, "second derivative": second}.items():
        wrong = ~right.filled(fill_value=True).reshape(len(points), -1).all(axis=1)
        assert not wrong.any(), f"{what} wrong at {points[wrong]}"


def test_the_suite_has_sixty_spellings_and_all_of_them_different():
    assert len({case.name for case in stability.CASES}) == len(stability.CASES) >= 60


def test_the_judge_tells_right_from_wrong():
    truth = np.array([1.0, 0.0, np.inf, 1e-300, 2.0, 1.0], dtype=object)
    found = np.array([1 + 1e-13, 0.0, np.inf, 0.0, 2 + 1e-11, np.nan])
    assert stability.is_right(found, truth).tolist() == [True, True, True, True, False, False]


# --- the same through layout steps, weights and means -----------------------------------------------------------

EXTREME = np.array([[1000.0, -1.0, 0.0], [-1000.0, 1.0, 1e4]])
W = np.array([[0.5, -2.0, 3.0], [1.0, 0.25, -1.5]])


def _log_sigmoid(Z):
    return -sb.softplus(-Z)


def _weighted(Z):
    return sb.log(sb.sum(np.array([0.5, 0.25, 0.25]) * sb.exp(Z), axis=1))


def _mixture(Z):
    return sb.log(sb.sum(sb.softmax(Z / 1000) * sb.exp(Z), axis=1))


def _exp_over_total(Z):
    e = sb.exp(Z)
    return (e.T / sb.sum(e, axis=1)).T


# name: (the naive spelling of Z[2, 3], the same in functions that are stable themselves)
LAID_OUT = {
    "log(σ(Z)ᵀ)": (lambda Z: sb.log(sb.sigmoid(Z).T), lambda Z: _log_sigmoid(Z).T),
    "log(σ(Z)[:, 1:])": (lambda Z: sb.log(sb.sigmoid(Z)[:, 1:]), lambda Z: _log_sigmoid(Z[:, 1:])),
    "log(σ(Z)[:, 0])": (lambda Z: sb.log(sb.sigmoid(Z)[:, 0]), lambda Z: _log_sigmoid(Z[:, 0])),
    "log(σ(Z)[:, None])": (lambda Z: sb.log(sb.sigmoid(Z)[:, None]), lambda Z: _log_sigmoid(Z)[:, None]),
    "log(reshape(σ(Z)))": (lambda Z: sb.log(sb.sigmoid(Z).reshape((3, 2))), lambda Z: _log_sigmoid(Z).reshape((3, 2))),
    "log(broadcast(σ(Z)))": (
        lambda Z: sb.log(sb.broadcast_to(sb.sigmoid(Z), (2, 2, 3))),
        lambda Z: sb.broadcast_to(_log_sigmoid(Z), (2, 2, 3)),
    ),
    "log(stack(1 − σ, σ))": (
        lambda Z: sb.log(sb.stack([1 - sb.sigmoid(Z), sb.sigmoid(Z)])),
        lambda Z: sb.stack([-sb.softplus(Z), _log_sigmoid(Z)]),
    ),
    "log(concatenate(1 − σ, σ))": (
        lambda Z: sb.log(sb.concatenate([1 - sb.sigmoid(Z), sb.sigmoid(Z)])),
        lambda Z: sb.concatenate([-sb.softplus(Z), _log_sigmoid(Z)]),
    ),
    "log(σ(Z)/(1 − σ(Z)))": (lambda Z: sb.log(sb.sigmoid(Z) / (1 - sb.sigmoid(Z))), lambda Z: Z),
    "log(1 − σ(Z)ᵀ)": (lambda Z: sb.log(1 - sb.sigmoid(Z).T), lambda Z: -sb.softplus(Z).T),
    "log((1 − σ(Z))[::-1])": (lambda Z: sb.log((1 - sb.sigmoid(Z))[::-1]), lambda Z: -sb.softplus(Z[::-1])),
    "1 − σ(Z)ᵀ": (lambda Z: 1 - sb.sigmoid(Z).T, lambda Z: sb.sigmoid(-Z.T)),
    "log(1 + exp(Z)ᵀ)": (lambda Z: sb.log(1 + sb.exp(Z).T), lambda Z: sb.softplus(Z.T)),
    "log(exp(Z)[:, 1:] + 1)": (lambda Z: sb.log(sb.exp(Z)[:, 1:] + 1), lambda Z: sb.softplus(Z[:, 1:])),
    "log((exp(−Z) + 1)[:, None])": (
        lambda Z: sb.log((sb.exp(-Z) + 1)[:, None]),
        lambda Z: sb.softplus(-Z)[:, None],
    ),
    "1/(1 + exp(−Z)ᵀ)": (lambda Z: 1 / (1 + sb.exp(-Z).T), lambda Z: sb.sigmoid(Z.T)),
    "exp(Z)ᵀ/(1 + exp(Z)ᵀ)": (lambda Z: sb.exp(Z).T / (1 + sb.exp(Z).T), lambda Z: sb.sigmoid(Z.T)),
    "exp(Z)ᵀ/(1 + exp(Z))ᵀ": (lambda Z: sb.exp(Z).T / (1 + sb.exp(Z)).T, lambda Z: sb.sigmoid(Z.T)),
    "exp(Z)ᵀ − 1": (lambda Z: sb.exp(Z[:1] / 1000).T - 1, lambda Z: sb.expm1(Z[:1] / 1000).T),
    "log(softmax(Z)ᵀ)": (lambda Z: sb.log(sb.softmax(Z).T), lambda Z: sb.log_softmax(Z).T),
    "log(softmax(Z)[:, 0])": (lambda Z: sb.log(sb.softmax(Z)[:, 0]), lambda Z: sb.log_softmax(Z)[:, 0]),
    "log(softmax(Zᵀ, axis=0))": (lambda Z: sb.log(sb.softmax(Z.T, axis=0)), lambda Z: sb.log_softmax(Z).T),
    "log(reshape(softmax(Z)))": (
        lambda Z: sb.log(sb.softmax(Z).reshape((6,))),
        lambda Z: sb.log_softmax(Z).reshape((6,)),
    ),
    "log(sum(exp(Z), 1))": (lambda Z: sb.log(sb.sum(sb.exp(Z), axis=1)), lambda Z: sb.logsumexp(Z, axis=1)),
    "log(sum(exp(Z), 0))": (lambda Z: sb.log(sb.sum(sb.exp(Z), axis=0)), lambda Z: sb.logsumexp(Z, axis=0)),
    "log(sum(exp(Z), 1, keepdims))": (
        lambda Z: sb.log(sb.sum(sb.exp(Z), axis=1, keepdims=True)),
        lambda Z: sb.logsumexp(Z, axis=1, keepdims=True),
    ),
    "log(sum(exp(Z)))": (lambda Z: sb.log(sb.sum(sb.exp(Z))), sb.logsumexp),
    "log(sum(exp(Z)ᵀ, 0))": (lambda Z: sb.log(sb.sum(sb.exp(Z).T, axis=0)), lambda Z: sb.logsumexp(Z, axis=1)),
    "log(sum(exp(Z), 1)[:, None])": (
        lambda Z: sb.log(sb.sum(sb.exp(Z), axis=1)[:, None]),
        lambda Z: sb.logsumexp(Z, axis=1, keepdims=True),
    ),
    "log(sum(exp(Z)[:, 1:], 1))": (
        lambda Z: sb.log(sb.sum(sb.exp(Z)[:, 1:], axis=1)),
        lambda Z: sb.logsumexp(Z[:, 1:], axis=1),
    ),
    "log(mean(exp(Z), 0))": (
        lambda Z: sb.log(sb.mean(sb.exp(Z), axis=0)),
        lambda Z: sb.logsumexp(Z, axis=0) - np.log(2),
    ),
    "log(sum(exp(Z), 1)/3)": (
        lambda Z: sb.log(sb.sum(sb.exp(Z), axis=1) / 3),
        lambda Z: sb.logsumexp(Z, axis=1) - np.log(3),
    ),
    "log(sum(w exp(Z), 1))": (_weighted, lambda Z: sb.logsumexp(Z + np.log([0.5, 0.25, 0.25]), axis=1)),
    "log(sum(softmax(Z) exp(Z), 1))": (_mixture, lambda Z: sb.logsumexp(Z + sb.log_softmax(Z / 1000), axis=1)),
    "log(1 + exp(a) + exp(b))": (
        lambda Z: sb.log(1 + sb.exp(Z[0]) + sb.exp(Z[1])),
        lambda Z: sb.logaddexp(sb.softplus(Z[0]), Z[1]),
    ),
    "log(2 + 3 exp(Z))": (lambda Z: sb.log(2 + 3 * sb.exp(Z)), lambda Z: np.log(2) + sb.softplus(Z + np.log(1.5))),
    "exp(a)/(exp(a) + exp(b))": (
        lambda Z: sb.exp(Z[0]) / (sb.exp(Z[0]) + sb.exp(Z[1])),
        lambda Z: sb.sigmoid(Z[0] - Z[1]),
    ),
    "1/(2 + exp(Z))": (lambda Z: 1 / (2 + sb.exp(Z)), lambda Z: 0.5 * sb.sigmoid(np.log(2) - Z)),
    "exp(Z)/sum(exp(Z), 1)[:, None]": (
        lambda Z: sb.exp(Z) / sb.sum(sb.exp(Z), axis=1)[:, None],
        sb.softmax,
    ),
    "exp(Z)/reshape(sum(exp(Z), 1))": (
        lambda Z: sb.exp(Z) / sb.sum(sb.exp(Z), axis=1).reshape((2, 1)),
        sb.softmax,
    ),
    "(exp(Z)ᵀ/sum(exp(Z), 1))ᵀ": (_exp_over_total, sb.softmax),
    "exp(Z)·(1/sum(exp(Z), 1, keepdims))": (
        lambda Z: sb.exp(Z) * (1 / sb.sum(sb.exp(Z), axis=1, keepdims=True)),
        sb.softmax,
    ),
    "exp(Z)[:, 0]/sum(exp(Z), 1)": (
        lambda Z: sb.exp(Z)[:, 0] / sb.sum(sb.exp(Z), axis=1),
        lambda Z: sb.exp(Z[:, 0] - sb.logsumexp(Z, axis=1)),
    ),
    "exp(Z)·v/sum(exp(Z), 1)": (
        lambda Z: (sb.exp(Z) @ W[0]) / sb.sum(sb.exp(Z), axis=1),
        lambda Z: sb.softmax(Z) @ W[0],
    ),
    "sum(w log(σ(Z)))": (lambda Z: sb.sum(W * sb.log(sb.sigmoid(Z))), lambda Z: sb.sum(W * _log_sigmoid(Z))),
    "mean(log(1 − σ(Z)), 1)": (
        lambda Z: sb.mean(sb.log(1 - sb.sigmoid(Z)), axis=1),
        lambda Z: -sb.mean(sb.softplus(Z), axis=1),
    ),
    "√(ZᵀZᵀ)": (lambda Z: sb.sqrt(Z.T * Z.T), lambda Z: abs(Z.T)),
    "√sum(Z², 1)": (lambda Z: sb.sqrt(sb.sum(Z * Z, axis=1)), lambda Z: sb.linalg.norm(Z, axis=1)),
    "mean(Z², 1) − mean(Z, 1)²": (
        lambda Z: sb.mean(Z**2, axis=1) - sb.mean(Z, axis=1) ** 2,
        lambda Z: sb.mean((Z - sb.mean(Z, axis=1, keepdims=True)) ** 2, axis=1),
    ),
}


@pytest.mark.parametrize("name", LAID_OUT)
def test_a_spelling_is_found_through_layout_steps(name):
    """The naive spelling computes what the stable one does: value, gradient, and gradient of the gradient."""
    Z = sb.symbol("Z", (2, 3))
    found = []
    for build in LAID_OUT[name]:
        y = build(Z)
        shape = [int(size) for size in y.shape]
        weights = 0.25 + np.arange(np.prod(shape, dtype=int)).reshape(shape)
        slope = sb.grad(sb.sum(weights * y), Z)
        with np.errstate(all="ignore"):
            found.append(sb.compile([Z], [y, slope, sb.grad(sb.sum(W * slope), Z, unused="zeros")])(EXTREME))
    for naive, right in zip(*found, strict=True):
        assert np.all(np.isfinite(right))
        np.testing.assert_allclose(naive, right, rtol=1e-12, atol=1e-300)


# --- where an average is subtracted from equal numbers --------------------------------------------------------------


def _entropy(p, axis=-1):
    return -sb.sum(p * sb.log(p), axis=axis)


# name: a function of Z[2, 3], of which every derivative is zero where the numbers of a row are equal
FLAT = {
    "entropy": lambda Z: _entropy(sb.softmax(Z)),
    "entropy, written out": lambda Z: _entropy(sb.exp(Z) / sb.sum(sb.exp(Z), axis=1, keepdims=True)),
    "entropy of log_softmax": lambda Z: -sb.sum(sb.softmax(Z) * sb.log_softmax(Z), axis=1),
    "mean entropy": lambda Z: sb.mean(_entropy(sb.softmax(Z))),
    "weighted entropy": lambda Z: W[:, 0] * _entropy(sb.softmax(Z)) / 7,
    "entropy of a column": lambda Z: _entropy(sb.softmax(Z.T, axis=0), axis=0),
    "perplexity": lambda Z: sb.exp(_entropy(sb.softmax(Z / 3))),
    "entropy in bits": lambda Z: _entropy(sb.softmax(Z)) / np.log(2),
    "divergence from a uniform distribution": lambda Z: sb.sum(sb.softmax(Z) * sb.log(sb.softmax(Z) / (1 / 3)), axis=1),
    "divergence from a shifted copy": lambda Z: sb.sum(
        sb.softmax(Z + 0.1) * (sb.log_softmax(Z + 0.1) - sb.log_softmax(Z)), axis=1
    ),
    "cross entropy with a flatter one": lambda Z: -sb.sum(sb.softmax(Z) * sb.log(sb.softmax(Z / 3)), axis=1),
}


@pytest.mark.parametrize("name", FLAT)
def test_a_derivative_that_is_zero_where_numbers_are_equal_is_exactly_zero(name):
    Z = sb.symbol("Z", (2, 3))
    slope = sb.compile([Z], sb.grad(sb.sum(FLAT[name](Z)), Z))
    for row in (0.0, 0.1, -1e4):
        np.testing.assert_array_equal(slope(np.full((2, 3), row)), 0.0)


# --- the rules themselves ---------------------------------------------------------------------------------------

GRID = [0.0, *(sign * x for x in (1e-300, 1e-8, 0.1, 0.5, 1.0, 2.0, 7.0, 40.0, 300.0, 1000.0, 1e4) for sign in (1, -1))]
SCALAR_RULES = [
    rule
    for rule in (*stable(), *closed(), *computed())
    if all(not symbol.shape for example in rule.examples() for symbol in symbols_of([example]))
]


def _of_arrays(expr, names, count):
    """Give the same expression of arrays."""
    with sb.Graph():
        return instantiate(expr, {name: sb.symbol(name, count) for name in names})


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("rule", SCALAR_RULES, ids=lambda rule: rule.name)
def test_what_a_rule_makes_is_right_in_float64_wherever_the_equation_holds(rule):
    """Against 700 digits of the left-hand side, on a grid; with the rules for what cancels at hand, as in compiling."""
    for example in rule.examples():
        with sb.Graph():
            sides = [
                (before, rebuild([before], Rewritten([rule, *closed(), *computed()]))[0])
                for before in with_numbers(example)
            ]
        for before, after in sides:
            names = [symbol.params["name"] for symbol in symbols_of([before])]
            points = np.array(list(itertools.product(GRID, repeat=len(names)))).T
            arrays = dict(zip(names, points, strict=True))
            left, right = (_of_arrays(side, names, points.shape[1]) for side in (before, after))
            given = {symbol: arrays[symbol.params["name"]] for symbol in symbols_of([left])}
            (truth,) = precise.evaluate([left], given, digits=700)
            found, plain = (
                sb.evaluate(side, {symbol: arrays[symbol.params["name"]] for symbol in symbols_of([side])})
                for side in (right, left)
            )
            defined = np.array([bool(mpmath.isfinite(each)) for each in truth])
            truth = np.where(defined, truth, 0)
            wrong = defined & ~stability.is_right(found, truth) & stability.is_right(plain, truth)
            assert not wrong.any(), (points[:, wrong], found[wrong], [mpmath.nstr(each, 17) for each in truth[wrong]])


# --- far out ----------------------------------------------------------------------------------------------------

FAR = np.array([np.inf, -np.inf])

# name: (a product that floats do not know at an infinity, its limits at +∞ and at −∞)
DAMPED = {
    "xσ(x)": (lambda x: x * sb.sigmoid(x), (np.inf, 0)),
    "x³σ(−x)": (lambda x: x**3 * sb.sigmoid(-x), (0, -np.inf)),
    "x exp(−x²)": (lambda x: x * sb.exp(-(x**2)), (0, 0)),
    "x exp(x)": (lambda x: x * sb.exp(x), (np.inf, 0)),
    "x erfc(x)": (lambda x: x * (1 - sb.erf(x)), (0, -np.inf)),
    "x softplus(x)": (lambda x: x * sb.softplus(x), (np.inf, 0)),
    "x tanh(softplus(x))": (lambda x: x * sb.tanh(sb.softplus(x)), (np.inf, 0)),
    "x² (1 + x²)^−3/2": (lambda x: x**2 * (1 + x**2) ** -1.5, (0, 0)),
    "√|x| (1 + x²)^−½": (lambda x: sb.sqrt(abs(x)) * (1 + x**2) ** -0.5, (0, 0)),
    "arcsinh(x)/(1 + x²)": (lambda x: sb.arcsinh(x) * (1 + x**2) ** -1.0, (0, 0)),
    "(x + x²)σ(x)": (lambda x: (x + x**2) * sb.sigmoid(x), (np.inf, 0)),
    "(x² − |x|)σ(x)": (lambda x: (x**2 - abs(x)) * sb.sigmoid(x), (np.nan, 0)),
    "(1 + (x² − |x|))σ(x)": (lambda x: (1 + (x**2 - abs(x))) * sb.sigmoid(x), (np.nan, 0)),
    "σ(x) sinh(½x) is none": (lambda x: sb.sigmoid(x) * sb.sinh(0.5 * x), (np.inf, np.nan)),
    "x² (1 + x²)^−1 is none": (lambda x: x**2 * (1 + x**2) ** -1.0, (np.nan, np.nan)),
    "x³ (1 + x²)^−1 is none": (lambda x: x**3 * (1 + x**2) ** -1.0, (np.nan, np.nan)),
    "exp(2x) exp(−x²) is one exponential": (lambda x: sb.exp(2 * x) * sb.exp(-(x**2)), (np.nan, 0)),
    "x sin(x)/x": (lambda x: x * (sb.sin(x) / x), (np.nan, np.nan)),
    "softplus(x) exp(−x) is none": (lambda x: sb.softplus(x) * sb.exp(-x), (np.nan, np.nan)),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", DAMPED)
def test_in_a_product_what_vanishes_faster_than_the_other_grows_wins(name):
    """Where the limit is not sure from the orders of the factors, NaN is what floats say, and what is found."""
    build, limits = DAMPED[name]
    x = sb.symbol("x", "N")
    np.testing.assert_array_equal(sb.compile([x], build(x))(FAR), limits)


def test_another_number_that_is_infinite_is_not_damped():
    """The limit of y·σ(x) at y = ∞ and x = −∞ depends on the way there."""
    x, y = sb.symbols("x[N] y[N]")
    with np.errstate(invalid="ignore"):
        assert np.isnan(sb.compile([x, y], y * sb.sigmoid(x))([-np.inf], [np.inf])).all()


def test_what_is_not_a_number_stays_so():
    x = sb.symbol("x", "N")
    assert np.isnan(sb.compile([x], x * sb.sigmoid(x))([np.nan])).all()


MASKED_ROW = np.array([[-np.inf, 0.5, 2.0, -np.inf]])


@pytest.mark.parametrize(
    "build",
    [
        sb.softmax,
        lambda z: sb.where(z > -1e300, sb.log_softmax(z), 0),
        lambda z: sb.logsumexp(z, axis=-1),
        lambda z: sb.sum(sb.softmax(z) * sb.log_softmax(z), axis=-1),
        lambda z: sb.softmax(z) * z,
    ],
    ids=["softmax", "log_softmax", "logsumexp", "entropy", "average"],
)
def test_masked_numbers_are_as_if_they_were_not_there(build):
    """An attention mask: value and derivatives of the others are those of the shorter row, of the masked ones zero."""
    found = []
    for row in (MASKED_ROW, MASKED_ROW[:, 1:3]):
        z = sb.symbol("z", row.shape)
        y = build(z)
        weights = np.array([7.0, 0.25, -2.0, 5.0])[: row.shape[1]] if row.shape[1] == 4 else np.array([0.25, -2.0])
        slope = sb.grad(sb.sum(y * weights) if y.ndim == 2 else sb.sum(y), z)
        found.append(sb.compile([z], [y, slope, sb.grad(sb.sum(slope * weights), z)])(row))
    for masked, short in zip(*found, strict=True):
        inner = masked[:, 1:3] if masked.ndim == 2 else masked
        np.testing.assert_allclose(inner, short, rtol=1e-12)
        if masked.ndim == 2:
            np.testing.assert_array_equal(masked[:, [0, 3]], 0.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_beside_an_infinite_number_all_others_are_as_nothing(dtype):
    z = sb.symbol("z", (2, 3), dtype=dtype)
    at = np.array([[1.0, np.inf, -2.0], [0.0, 0.0, -np.inf]], dtype)
    expected = {
        sb.softmax(z): [[0, 1, 0], [0.5, 0.5, 0]],
        sb.log_softmax(z): [[-np.inf, 0, -np.inf], [-np.log(2), -np.log(2), -np.inf]],
        sb.logsumexp(z, axis=1): [np.inf, np.log(2)],
        sb.grad(sb.sum(sb.linalg.norm(z, axis=1)), z): [[0, 1, 0], [0, 0, -1]],
    }
    for found, right in zip(sb.compile([z], list(expected))(at), expected.values(), strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, right, rtol=1e-6)


# --- reports, and what is left out --------------------------------------------------------------------------------


def test_the_report_tells_the_rules_that_were_used_before_differentiation_and_in_compiling():
    z = sb.symbol("z", "N")
    loss = -sb.sum(sb.log(sb.sigmoid(z)))
    report = sb.compile([z], [loss, sb.grad(loss, z)]).report()
    rows = {row.name: row for row in report.rows}
    assert rows["as built"].fired["log_sigmoid"] == 1
    assert rows["stable"].fired["log_sigmoid"] == 1
    assert "log_sigmoid × 1: log(sigmoid(x)) = -softplus(-x) (real)" in str(report)


def test_a_spelling_of_a_symbol_itself_is_differentiated_as_that_symbol():
    x = sb.symbol("x", "N")
    p = sb.sigmoid(x)
    slope = sb.grad(sb.sum(sb.log(p / (1 - p))), x)
    np.testing.assert_array_equal(sb.evaluate(slope, {x: [-1000.0, 0.0, 1000.0]}), 1.0)


@pytest.mark.parametrize("skip", [["softplus"], ["stable"]])
def test_a_rule_and_a_pass_can_be_left_out_of_differentiation_and_of_compiling(skip):
    x = sb.symbol("x")
    naive = sb.log(1 + sb.exp(x))
    slope = sb.grad(naive, x, skip=skip)
    assert "softplus ×" not in str(sb.compile([x], [naive, slope], skip=skip).report())
    with np.errstate(over="ignore", invalid="ignore"):
        value, derivative = sb.compile([x], [naive, slope], skip=skip)(1000.0)
    if skip == ["stable"]:
        assert np.isinf(value)
        assert np.isnan(derivative)
    value, derivative = sb.compile([x], [naive, sb.grad(naive, x)])(1000.0)
    assert (value, derivative) == (1000.0, 1.0)


def test_each_rule_of_a_spelling_can_be_left_out():
    """Whatever fired for a case is named in the report, and does not fire when it is left out by that name."""
    x = sb.symbol("x", "N")
    naive = sb.log(1 - sb.exp(x)) + sb.tanh(x) ** 2 * (1 - sb.sigmoid(x))
    fired = {name for row in sb.compile([x], naive).report().rows for name in row.fired}
    assert {"log1mexp_expm1", "one_minus_sigmoid"} <= fired
    for name in fired:
        rows = sb.compile([x], naive, skip=[name]).report().rows
        assert not any(name in row.fired for row in rows), name


def test_an_unknown_rule_to_leave_out_of_differentiation_is_an_error():
    x = sb.symbol("x")
    with pytest.raises(ValueError, match=r"no pass or rule is called 'softplu' \(did you mean 'softplus'\?\)"):
        sb.grad(sb.log(1 + sb.exp(x)), x, skip=["softplu"])


@pytest.mark.parametrize("pipeline", [PIPELINE[:-1], FORMULA], ids=["compile", "simplify"])
def test_the_rules_come_to_rest(pipeline):
    """What was rewritten is rewritten to itself: no two rules undo each other. The last pass is none of rules."""
    m = stability.symbolic_functions()
    for case in stability.CASES:
        points = stability.inputs_of(case)
        with sb.Graph():
            x = sb.symbol("x", ("N", *points.shape[1:]))
            y = case.build(m, x)
            once = run([y, sb.grad(sb.sum(y), x)], pipeline, finite=True)
            twice = run(once, pipeline, finite=True)
            assert [each.describe(30) for each in twice] == [each.describe(30) for each in once], case.name


def test_formulas_for_people_are_the_textbooks():
    """What is brought in for the sake of accuracy is not seen in a formula."""
    z = sb.symbol("z", "N")
    expected = {
        sb.mean(z**2) - sb.mean(z) ** 2: "2(z − mean(z))/N",
        sb.sum(sb.tanh(z)): "1 − tanh(z)²",
        sb.sum(z * sb.log(z)): "log(z) + 1",
        sb.sum(sb.log(sb.cosh(z))): "tanh(z)",
        sb.sum(sb.sqrt(1 + z**2)): "z/√(1 + z²)",
        sb.sum(sb.log(z**2)): "2/z",
        sb.sum(1 - sb.cos(z)): "sin(z)",
        sb.sum(sb.grad(sb.sum(sb.sigmoid(z)), z)): "σ(z) ⊙ (1 − σ(z)) ⊙ (1 − 2 σ(z))",
    }
    assert {f: str(sb.grad(f, z)) for f in expected} == expected


@pytest.mark.parametrize(
    "derivative",
    [
        lambda y, x, skip: sb.grad(y, x, skip=skip),
        lambda y, x, skip: sb.vjp(y, x, 1.0, skip=skip),
        lambda y, x, skip: sb.jvp(y, x, 1.0, skip=skip),
        lambda y, x, skip: sb.hvp(y, x, 1.0, skip=skip),
        lambda y, x, skip: sb.jacobian(y, x, skip=skip),
        lambda y, x, skip: sb.hessian(y, x, skip=skip),
    ],
    ids=["grad", "vjp", "jvp", "hvp", "jacobian", "hessian"],
)
def test_every_derivative_can_be_taken_of_what_was_written(derivative):
    x = sb.symbol("x")
    at = {x: 1000.0}
    y = sb.log(1 + sb.exp(x))
    assert np.isfinite(sb.evaluate(derivative(y, x, ()), at))
    with np.errstate(all="ignore"):
        assert np.isnan(sb.evaluate(derivative(y, x, ["stable"]), at))
    with pytest.raises(ValueError, match="no pass or rule is called 'stabel' \\(did you mean 'stable'\\?\\)"):
        derivative(y, x, ["stabel"])

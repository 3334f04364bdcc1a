"""Numbers that stay right: naive spellings at extreme points, and masks that let nothing of a dead branch through."""

import numpy as np
import pytest

import symbackprop as sb
from tests.scoreboards import stability

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
    for found in (compiled, evaluated, simplified):
        for values, expected in zip(found, (first, second), strict=True):
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

COMPILED = stability._symbackprop(compiled=True)


@pytest.mark.parametrize("number", range(len(stability.CASES)), ids=lambda number: stability.CASES[number].name)
def test_a_naive_spelling_has_the_right_value_and_derivatives_at_extreme_points(number):
    value, first, second = stability.score(COMPILED, number)
    points = stability.inputs_of(stability.CASES[number])
    for what, right in {"value": value, "first derivative": first, "second derivative": second}.items():
        assert right.all(), f"{what} wrong at {points[~right.reshape(len(points), -1).all(axis=1)]}"


def test_the_suite_has_sixty_spellings_and_all_of_them_different():
    assert len({case.name for case in stability.CASES}) == len(stability.CASES) >= 60


def test_the_judge_tells_right_from_wrong():
    truth = np.array([1.0, 0.0, np.inf, 1e-300, 2.0, 1.0], dtype=object)
    found = np.array([1 + 1e-13, 0.0, np.inf, 0.0, 2 + 1e-11, np.nan])
    assert stability.is_right(found, truth).tolist() == [True, True, True, True, False, False]

"""Values to many digits: the whole op table against double precision, and its derivatives to 25 digits."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest

import symbackprop as sb
from symbackprop import precise
from symbackprop.errors import ArgumentError, ShapeError
from symbackprop.op import apply
from symbackprop.ops import TABLE
from symbackprop.precise import NotExactError, as_meant, evaluate, meaning
from tests.test_ops import build, differentiable, each_application, sample

DIGITS = 60


def as_doubles(array):
    return array.astype(np.float64) if array.dtype == object else array


@each_application
def test_every_op_has_its_value(app):
    arrays = sample(app)
    y, xs = build(app, arrays)
    values = dict(zip(xs, arrays, strict=True))
    (found,) = evaluate([y], values, reading=as_meant)
    with np.errstate(all="ignore"):
        expected = sb.evaluate(y, values)
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(as_doubles(found), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("op", [op for op in TABLE if not op.vjps and op.name != "symbol"], ids=lambda op: op.name)
def test_every_leaf_has_its_value(op):
    N = sb.symbol("x", "N")
    leaves = {
        "constant": sb.constant([0.1, 3.0]),
        "size": sb.sum(N) / sb.size_of(N.shape[0]),
        "arange": sb.grad(sb.sum(sb.grad(sb.prod(N), N) ** 2), N),
        "eye": sb.jacobian(N, N),
    }
    y = leaves[op.name]
    at = {N: np.array([1.0, 2.0, 4.0])}
    assert op in {y.graph.nodes[number].op for number in y.graph.reachable([y.number])}
    np.testing.assert_array_equal(as_doubles(evaluate([y], at)[0]), sb.evaluate(y, at))


@each_application
def test_derivative_rules_are_right_to_25_digits(app):
    """(f(x + hd) - f(x - hd)) / 2h with h = 1e-15 is off by h² f′′′/6, in an arithmetic of 60 digits."""
    arrays = sample(app)
    y, xs = build(app, arrays)
    if y.dtype.kind != "f":
        return
    rng = np.random.default_rng(25)
    f = sb.sum(y * rng.integers(1, 9, y.shape))
    h = mpmath.mpf(10) ** -15
    numbers = np.frompyfunc(mpmath.mpf, 1, 1)
    at = [np.asarray(numbers(array)) if array.dtype.kind == "f" else array for array in arrays]
    for k in differentiable(app, xs):
        direction = rng.integers(-4, 5, xs[k].shape)
        ends = []
        with mpmath.workdps(DIGITS):
            for step in (h, -h):
                moved = [array + step * direction if position == k else array for position, array in enumerate(at)]
                (end,) = evaluate([f], dict(zip(xs, moved, strict=True)), DIGITS, reading=as_meant)
                ends.append(end.item())
            numeric = (ends[0] - ends[1]) / (2 * h)
        slope = sb.sum(sb.grad(f, xs[k], unused="zeros") * direction)
        (symbolic,) = evaluate([slope], dict(zip(xs, at, strict=True)), DIGITS, reading=as_meant)
        assert abs(numeric - symbolic.item()) <= 1e-25 * max(1, abs(symbolic.item()))


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (lambda x: sb.log(1 + sb.exp(x)), lambda x: mpmath.log(1 + mpmath.exp(x))),
        (lambda x: sb.erf(x) * sb.sigmoid(x), lambda x: mpmath.erf(x) / (1 + mpmath.exp(-x))),
        (lambda x: sb.softplus(x) - sb.log1p(sb.exp(x)), lambda x: mpmath.mpf(0)),
        (lambda x: sb.sqrt(x) ** 3 / (x % 2), lambda x: mpmath.sqrt(x) ** 3 / (x % 2)),
        (lambda x: sb.power(x, x) * (x // 2), lambda x: x**x * mpmath.floor(x / 2)),
        (lambda x: sb.logsumexp(sb.stack([x, 2 * x, -x])), lambda x: mpmath.log(sum(map(mpmath.exp, [x, 2 * x, -x])))),
    ],
)  # fmt: skip
@pytest.mark.parametrize("at", ["0.1", "2.5", "700.25"])
def test_values_are_those_of_mpmath(formula, expected, at):
    x = sb.symbol("x")
    with mpmath.workdps(DIGITS + 20):
        want = expected(mpmath.mpf(at))
        found = evaluate([formula(x)], {x: mpmath.mpf(at)}, DIGITS)[0].item()
        assert abs(found - want) <= mpmath.mpf(10) ** (5 - DIGITS) * max(1, abs(want))


def test_linear_algebra_is_that_of_mpmath():
    A, b = sb.symbols("A[3,3] b[3]")
    values = {A: [[4, 1, 0], [1, 3, Fraction(1, 3)], [0, Fraction(1, 3), 2]], b: [1, 2, 3]}
    outputs = [sb.linalg.inv(A), sb.linalg.solve(A, b), sb.linalg.det(A), *sb.linalg.slogdet(-A), sb.linalg.cholesky(A)]
    inv, solved, det, sign, logabsdet, factor = evaluate(outputs, values, DIGITS)
    with mpmath.workdps(DIGITS):
        exact = mpmath.matrix([[4, 1, 0], [1, 3, mpmath.mpf(1) / 3], [0, mpmath.mpf(1) / 3, 2]])
        near = mpmath.mpf(10) ** (3 - DIGITS)
        assert mpmath.mnorm(mpmath.matrix(inv.tolist()) * exact - mpmath.eye(3)) < near
        assert mpmath.mnorm(exact * mpmath.matrix(solved.tolist()) - mpmath.matrix([1, 2, 3])) < near
        assert abs(det.item() - mpmath.det(exact)) < near
        assert (sign.item(), abs(logabsdet.item() - mpmath.log(det.item())) < near) == (-1, True)
        lower = mpmath.matrix(factor.tolist())
        assert mpmath.mnorm(lower * lower.T - exact) < near


@pytest.mark.parametrize(
    ("formula", "at", "expected"),
    [
        (lambda x: 1 / x, 0, "inf"), (lambda x: x / x, 0, "nan"), (sb.log, 0, "-inf"),
        (sb.log, -1, "nan"), (sb.sqrt, -1, "nan"), (lambda x: x**0.5, -1, "nan"),
        (lambda x: sb.exp(sb.exp(x)), 1000, "inf"), (lambda x: sb.exp(-sb.exp(x)), 1000, "0"),
        (lambda x: x**-1, 0, "inf"), (lambda x: x % 0.0, 1, "nan"), (lambda x: sb.maximum(sb.log(x), 0), -1, "nan"),
        (lambda x: sb.linalg.inv(sb.stack([sb.stack([x, x]), sb.stack([x, x])]))[0, 0], 1, "nan"),
        (lambda x: sb.tanh(x) - sb.sigmoid(-x), np.inf, "1"), (sb.softplus, -np.inf, "0"), (sb.erf, -np.inf, "-1"),
        (lambda x: sb.exp(-x) * x, np.inf, "nan"), (sb.sin, np.inf, "nan"), (sb.log1p, np.inf, "inf"),
        (lambda x: sb.where(x > 0, sb.log(x), 0), -1, "0"), (lambda x: sb.tanh(sb.exp(x)), 1000, "1"),
    ],
)  # fmt: skip
def test_what_is_undefined_is_nan_or_infinite(formula, at, expected):
    x = sb.symbol("x")
    (found,) = evaluate([formula(x)], {x: at})
    assert mpmath.nstr(found.item(), 5).removesuffix(".0").lstrip("+") == expected


def test_named_sizes_are_told_by_values_or_given():
    x = sb.symbol("x", "N")
    assert evaluate([sb.mean(x)], {x: [1, 2]})[0].item() == 1.5
    ones = sb.grad(sb.mean(x), x)
    np.testing.assert_array_equal(evaluate([ones], {}, sizes={"N": 4})[0], [0.25] * 4)


def test_what_is_not_there_is_an_error():
    x, y = sb.symbols("x[3] y[N]")
    with pytest.raises(ArgumentError, match=r"precise: no value for the symbol y\[N\]"):
        evaluate([sb.sum(x) + sb.sum(y)], {x: [1, 2, 3]})
    with pytest.raises(ShapeError, match=r"x\[3\]"):
        evaluate([x], {x: [1, 2]})
    with pytest.raises(ShapeError, match=r"precise: slice\(y\)\[3\]: 3 elements from 2 on do not lie in"):
        evaluate([y[2:5]], {y: [1, 2, 3]})


def test_an_op_that_is_known_in_double_precision_alone_is_an_error():
    """Nothing is rounded unseen: a source that would turn numbers into floats stops, and says what to do."""
    for source in ("np.float64($0)", "np.asarray($0, np.float64)", "np.sinc($0)", "np.linalg.eigvalsh($0)"):
        op = replace(sb.exp, name="odd", numpy=sb.exp.numpy._replace(template=source))
        y = apply(op, sb.symbol("x"))
        with pytest.raises(NotExactError, match=r"odd is known in double precision alone: .*symbackprop/precise.py"):
            evaluate([y], {sb.symbol("x"): 1})


@pytest.mark.parametrize(
    ("number", "stands_for"),
    [
        (0.1, lambda c: c.one / 10), (-2.5, lambda c: -5 * c.one / 2), (0.0, lambda c: c.zero),
        (1e-300, lambda c: c.mpf(10) ** -300), (3e8, lambda c: c.mpf(3 * 10**8)), (-2 / 7, lambda c: -2 * c.one / 7),
        (np.pi / 4, lambda c: c.pi / 4), (1 / np.sqrt(2 * np.pi), lambda c: 1 / c.sqrt(2 * c.pi)),
        (np.sqrt(2.0), lambda c: c.sqrt(2)), (-0.5 * np.log(2), lambda c: -c.ln2 / 2), (np.e, lambda c: +c.e),
        (1 / np.log(10), lambda c: 1 / c.ln10), (np.float32(0.1), lambda c: c.one / 10),
        (np.float32(1 / 3), lambda c: c.one / 3),
    ],
)  # fmt: skip
def test_a_number_is_read_as_what_it_stands_for(number, stands_for):
    ctx = precise.context(DIGITS)
    want = stands_for(ctx)
    assert abs(as_meant(ctx, np.asarray(number)[()]) - want) <= ctx.mpf(10) ** (3 - DIGITS) * abs(want)


def test_a_number_that_stands_for_nothing_is_itself():
    rng = np.random.default_rng(0)
    ctx = precise.context(DIGITS)
    for number in rng.normal(size=200):
        if len(str(abs(number)).lstrip("0.")) > 16:  # of all digits of a double
            assert meaning(number) is None
            assert as_meant(ctx, number) == ctx.mpf(float(number))

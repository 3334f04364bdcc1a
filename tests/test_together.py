"""Functions of one value side by side are made of one exponential: the same values, at extremes too, and less work."""

import itertools

import mpmath
import numpy as np
import pytest

import symbackprop as sb
from symbackprop.ops.accurate import SIGMOID_ENTROPY, SIGMOID_SLOPE
from symbackprop.ops.special import GAUSS, NORMAL_HAZARD

LOGISTIC = [sb.sigmoid, sb.softplus, SIGMOID_SLOPE, SIGMOID_ENTROPY]
NORMAL = [sb.ndtr, sb.log_ndtr, GAUSS, NORMAL_HAZARD]
PAIRS = [
    pair
    for family in (LOGISTIC, NORMAL)
    for pair in itertools.combinations_with_replacement([(op, sign) for op in family for sign in (1, -1)], 2)
    if pair[0] != pair[1]
]
POINTS = np.array([
    -np.inf, -1e200, -750, -740, -100, -38.2, -9, -1, -1e-9, -0.0, 0, 1e-300, 0.3, 5, 37, 720, 1e9, np.inf, np.nan,
])  # fmt: skip


@pytest.mark.filterwarnings("ignore:overflow encountered in square")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: " ".join(f"{op.name}{sign:+}" for op, sign in pair))
def test_values_are_those_of_the_functions_apart(pair, dtype):
    x = sb.symbol("x", "N", dtype)
    outputs = [op(x if sign > 0 else -x) for op, sign in pair]
    with np.errstate(over="ignore", under="ignore"):
        at = POINTS.astype(dtype)
        together, apart = sb.compile([x], outputs)(at), sb.compile([x], outputs, skip=["together"])(at)
    for found, expected, (op, _) in zip(together, apart, pair, strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_max_ulp(found[:-1], expected[:-1], 8, dtype)
        assert np.isnan(found[-1])
        assert np.isnan(expected[-1]), op


def test_logistic_regression_takes_one_exponential():
    X, w, b, y = sb.symbols("X[N,D] w[D] b y[N]")
    p = sb.sigmoid(X @ w + b)
    loss = -sb.mean(y * sb.log(p) + (1 - y) * sb.log(1 - p))
    step = sb.compile([X, w, b, y], {"loss": loss, "dw": sb.grad(loss, w)})
    assert step.source.count("np.exp(") == step.source.count("np.log1p(") == 1
    assert "σ(Xw + b)" in step.source, "formulas name the functions"


def test_the_normal_distribution_and_its_density_take_one_exponential():
    x, t = sb.symbols("x[N] t[N]")
    loss = sb.sum(t * 0.5 * (1 + sb.erf(x / np.sqrt(2))))
    body = sb.compile([x, t], [loss, sb.grad(loss, x)]).source.partition("def f(")[2]
    assert body.count("gauss(") == body.count("normal_tail(") == 1


def test_what_stands_alone_keeps_its_name():
    x = sb.symbol("x", "N")
    for output in (sb.sigmoid(x), sb.softplus(x), sb.ndtr(x)):
        assert f"{output.op.name}(x)" in sb.compile([x], [output, sb.exp(x)]).source


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_and_its_logarithm_take_one_exponential(axis, dtype):
    z = sb.symbol("z", ("N", "K"), dtype)
    outputs = [sb.log_softmax(z, axis=axis), sb.softmax(z, axis=axis)]
    function = sb.compile([z], outputs)
    assert function.source.count("np.exp(") == 1
    rows = [
        [0, 1, -700], [1e4, -np.inf, 2], [-1e4, 3, 40], [-np.inf, -np.inf, -np.inf], [0, np.inf, 1], [np.nan, 0, 0],
        [-30, 0, -50], [2, 2, 2],
    ]  # fmt: skip
    several = np.array(rows * 5, dtype).T if axis == 0 else np.array(rows * 5, dtype)  # more than are turned
    with np.errstate(invalid="ignore"):
        for value in (several, several[:8, :8]):
            found, right = function(value), sb.compile([z], outputs, skip=["together"])(value)
            for each, other in zip(found, right, strict=True):
                assert each.dtype == other.dtype == dtype
                np.testing.assert_array_max_ulp(each, other, 2, dtype)


@pytest.mark.parametrize("gap", [1, 5, 30, 300])
def test_the_logarithm_of_nearly_one_is_right_to_the_last_digits(gap):
    z = sb.symbol("z", ("N", "K"))
    for outputs in ([sb.log_softmax(z)], [sb.log_softmax(z), sb.softmax(z)]):
        found = sb.compile([z], outputs)(np.array([[0.0, -gap, -gap], [1.0, 1.0, 1.0]]))[0]
        np.testing.assert_allclose(found[:, 0], [-np.log1p(2 * np.exp(-gap)), -np.log(3)], rtol=4e-16)


@pytest.mark.parametrize(("dtype", "within"), [("float64", 8e-15), ("float32", 5e-6)])
def test_the_slope_of_tanh_beside_it_takes_no_exponential_but_where_digits_cancel(dtype, within):
    x = sb.symbol("x", "N", dtype)
    value = sb.tanh(x)
    step = sb.compile([x], [value, sb.grad(sb.sum(value), x)])
    assert "tanh_slope_beside(t1, x)" in step.source.replace("result", "t1")
    at = np.linspace(-20, 20, 4001, dtype=dtype)
    truth = np.array([mpmath.sech(float(each)) ** 2 for each in at])
    assert max(abs(step(at)[1] / truth - 1)) < within
    far = np.array([np.inf, -np.inf, 1e9, np.nan, 0.0], dtype)
    np.testing.assert_array_equal(step(far)[1], [0, 0, 0, np.nan, 1])


def test_the_slope_of_tanh_alone_is_made_of_one_exponential():
    x = sb.symbol("x", "N")
    source = sb.compile([x], sb.grad(sb.sum(sb.tanh(x)), x)).source
    assert "dx = tanh_slope(x)" in source


def test_the_operand_of_relu_is_not_kept_for_its_slope():
    X, W, V = sb.symbols("X[N,D] W[D,H] V[H,K]")
    a = X @ W
    loss = sb.sum((sb.relu(a) @ V) ** 2)
    f = sb.compile([X, W, V], [loss, *sb.grad(loss, [W, V])])
    assert " t1 > 0.0" not in f.source
    arrays = [np.array([[1.0, 2.0], [-1.0, 1.0], [np.nan, 0.0]]), np.array([[1.0, -1.0, 0.0], [0.5, 0.5, 0.0]])]
    arrays.append(np.ones((3, 2)))
    expected = sb.compile([X, W, V], [loss, *sb.grad(loss, [W, V])], skip=["together"])(*arrays)
    for found, right in zip(f(*arrays), expected, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-14)


@pytest.mark.parametrize("axis", [0, 1, (0, 1)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_logsumexp_and_its_derivative_take_one_exponential(axis, keepdims):
    z = sb.symbol("z", ("N", "K"))
    value = sb.logsumexp(z, axis=axis, keepdims=keepdims)
    f = sb.compile([z], [value, sb.grad(sb.sum(value), z)])
    assert f.source.count("np.exp(") == 1
    large = np.array([[0.0, 1.0, -3.0], [1e3, 1e3, -1e3], [-np.inf, 2.0, np.inf], [-np.inf, -np.inf, 1.0]])
    with np.errstate(invalid="ignore", over="ignore"):
        for values in (large[:2], large[:3], large[3:], large[:2].astype("float32"), np.full((2, 2), -np.inf)):
            expected = [sb.evaluate(each, {z: values}) for each in (value, sb.softmax(z, axis=axis))]
            for found, known in zip(f(values), expected, strict=True):
                np.testing.assert_allclose(found, known, rtol=1e-15)
    for shape in ((0, 2), (2, 0)):
        np.testing.assert_array_equal(f(np.empty(shape))[0], sb.evaluate(value, {z: np.empty(shape)}))

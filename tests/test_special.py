"""Special functions and elementwise ones at their edges: kinks, accuracy where digits cancel, life without SciPy."""

from __future__ import annotations

import math
import sys

import mpmath
import numpy as np
import pytest
import scipy.special

import symbackprop as sb
from symbackprop import op
from symbackprop.errors import ArgumentError, DtypeError


@pytest.fixture(autouse=True)
def fresh_graph():
    with sb.Graph():
        yield


def derivatives(function, at, orders=3):
    """Give value and derivatives of a function of one number."""
    x = sb.symbol("x")
    found, y = [], function(x)
    for _ in range(orders + 1):
        with np.errstate(all="ignore"):
            found.append(float(sb.evaluate(y, {x: at})))
        y = sb.grad(y, x, unused="zeros")
    return found


# --- kinks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [sb.hypot, sb.arctan2], ids=["hypot", "arctan2"])
@pytest.mark.parametrize("simplify", [False, True])
def test_at_the_origin_derivatives_are_zero(function, simplify):
    """Not NaN, in the first and in the second order, evaluated as they are built and compiled."""
    x, y = sb.symbols("x y")
    first = sb.grad(function(x, y), [x, y])
    second = [sb.grad(g, v, unused="zeros") for g in first for v in (x, y)]
    values = {x: 0.0, y: 0.0}
    if simplify:
        assert sb.compile([x, y], [*first, *second])(0.0, 0.0) == [0.0] * 6
    else:
        assert [sb.evaluate(g, values) for g in (*first, *second)] == [0.0] * 6


def test_hypot_does_not_overflow_on_the_way():
    x, y = sb.symbols("x y")
    outputs = [sb.hypot(x, y), *sb.grad(sb.hypot(x, y), [x, y])]
    for scale in (1e-300, 1e300):
        np.testing.assert_allclose(sb.compile([x, y], outputs)(3 * scale, 4 * scale), [5 * scale, 0.6, 0.8])


@pytest.mark.parametrize(
    ("function", "at", "expected"),
    [
        (sb.cbrt, 0.0, [0, np.inf]),
        (sb.arcsin, 1.0, [math.pi / 2, np.inf]),
        (sb.arcsin, -1.0, [-math.pi / 2, np.inf]),
        (sb.arccos, 1.0, [0, -np.inf]),
        (sb.arccosh, 1.0, [0, np.inf]),
        (sb.floor, 2.0, [2, 0, 0]),
        (sb.ceil, 2.0, [2, 0, 0]),
        (sb.rint, 2.5, [2, 0]),
        (sb.trunc, -2.5, [-2, 0]),
        (lambda x: sb.round(x, 1), 0.25, [0.2, 0]),
        (lambda x: sb.heaviside(x, 0.5), 0.0, [0.5, 0]),
        (lambda x: sb.copysign(x, -1.0), 0.0, [0, 0]),
        (lambda x: sb.copysign(x, -1.0), 2.0, [-2, -1]),
        (lambda x: x % 1.0, 2.0, [0, 1, 0]),
        (lambda x: sb.fmod(x, 1.0), -2.0, [0, 1, 0]),
        (lambda x: sb.modf(x)[0], -2.5, [-0.5, 1, 0]),
        (lambda x: sb.fmax(x, 1.0), 1.0, [1, 1]),
        (lambda x: sb.fmax(1.0, x), 1.0, [1, 0]),
        (lambda x: sb.fmin(x, 1.0), 1.0, [1, 1]),
        (lambda x: sb.fmax(x, np.nan), 1.0, [1, 1]),
        (lambda x: sb.fmin(np.nan, x), 1.0, [1, 1]),
        (sb.nan_to_num, np.nan, [0, 0]),
        (lambda x: sb.nan_to_num(x, posinf=7.0), np.inf, [7, 0]),
        (lambda x: sb.clip(x, 0.0, 1.0), 1.0, [1, 1]),
        (lambda x: x**0, 0.0, [1, 0, 0]),
        (lambda x: sb.float_power(x, 0), 0.0, [1, 0, 0]),
        (sb.fabs, 0.0, [0, 0]),
        (sb.entr, 0.0, [0, np.inf]),
        (lambda x: sb.xlogy(x, 0.0), 0.0, [0, -np.inf]),
        (lambda x: sb.xlogy(0.0, x), 0.0, [0, 0]),
        (lambda x: sb.rel_entr(x, 1.0), 0.0, [0, -np.inf]),
        (sb.logit, 0.0, [-np.inf, np.inf]),
        (sb.i0e, 0.0, [1, 0]),
        (sb.i0, 0.0, [1, 0, 0.5, 0]),
        (sb.exprel, 0.0, [1, 1 / 2, 1 / 3, 1 / 4]),
        (sb.sinc, 0.0, [1, 0, -(math.pi**2) / 3, 0]),
        (lambda p: sb.boxcox(2.0, p), 0.0, [math.log(2), math.log(2) ** 2 / 2, math.log(2) ** 3 / 3]),
    ],
)  # fmt: skip
def test_values_and_derivatives_at_edges_are_those_documented(function, at, expected):
    np.testing.assert_allclose(derivatives(function, at, len(expected) - 1), expected, rtol=1e-14)


def test_fmax_gives_all_of_the_derivative_to_what_is_no_nan():
    x, y = sb.symbols("x[4] y[4]")
    values = {x: [1.0, np.nan, 2.0, np.nan], y: [np.nan, 1.0, 1.0, np.nan]}
    for function in (sb.fmax, sb.fmin):
        left, right = (sb.evaluate(g, values) for g in sb.grad(sb.sum(function(x, y)), [x, y]))
        assert (left + right)[:3].tolist() == [1, 1, 1]
        assert left[:2].tolist() == [1, 0]


# --- accuracy ---------------------------------------------------------------------------------------------------


def _bessel(order):
    return lambda x: mpmath.besseli(order, x)


ODDS = np.array([1e-9, 1e-5, 0.2, 0.3, 0.49999, 0.7, 0.8, 1 - 1e-9])
NEAR_ZERO = np.concatenate([10.0 ** np.arange(-16, 0), -(10.0 ** np.arange(-12, 0, 3)), [0.3, 0.9]])
ACCURATE = {
    "sinc": (sb.sinc, mpmath.sincpi, NEAR_ZERO, 3, 8),
    "exprel": (sb.exprel, lambda x: mpmath.expm1(x) / x if x else mpmath.mpf(1), NEAR_ZERO, 3, 8),
    "boxcox": (lambda p: sb.boxcox(3.0, p), lambda p: (3**p - 1) / p, NEAR_ZERO, 2, 16),
    "logit": (sb.logit, lambda p: mpmath.log(p / (1 - p)), ODDS, 1, 8),
    "cbrt": (sb.cbrt, lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)), np.array([1e-9, -8.0, 2.0, 1e20]), 1, 8),
    "log10": (sb.log10, mpmath.log10, np.array([1e-9, 0.999, 1.001, 1e10]), 2, 8),
    "exp2": (sb.exp2, lambda x: mpmath.mpf(2) ** x, np.array([-1000.0, -0.1, 1e-9, 10.5, 1000.0]), 2, 8),
    "arctan": (sb.arctan, mpmath.atan, np.array([-1e8, -1.0, 1e-9, 0.5, 1e100]), 1, 8),
    "tan": (sb.tan, mpmath.tan, np.array([-1.5, 1e-9, 0.7]), 2, 16),
    "gammaln": (sb.gammaln, mpmath.loggamma, np.array([1e-5, 0.5, 3.5, 100.0, 1e10]), 3, 64),
    "erfinv": (sb.erfinv, mpmath.erfinv, np.array([-0.999, -1e-9, 1e-5, 0.5, 0.99]), 2, 64),
    "ndtri": (sb.ndtri, lambda p: mpmath.sqrt(2) * mpmath.erfinv(2 * p - 1), np.array([1e-9, 0.3, 0.9]), 2, 512),
    "i0": (sb.i0, _bessel(0), np.array([-30.0, -1.0, 1e-5, 0.5, 10.0, 600.0]), 3, 64),
    "i1": (sb.i1, _bessel(1), np.array([-30.0, -1.0, 1e-5, 0.5, 10.0, 600.0]), 2, 64),
}  # fmt: skip


@pytest.mark.parametrize("name", ACCURATE)
def test_values_and_derivatives_are_accurate(name):
    """To some units in the last place, of mpmath's values and of what it differentiates with digits to spare."""
    function, truth, points, orders, ulps = ACCURATE[name]
    for at in points.tolist():
        found = derivatives(function, at, orders)
        with mpmath.workdps(80):
            expected = [
                mpmath.diff(truth, mpmath.mpf(at), n, h=mpmath.mpf(10) ** -20 * max(abs(at), 1e-15))
                for n in range(orders + 1)
            ]
        for order, (value, true) in enumerate(zip(found, expected, strict=True)):
            assert abs(value - true) <= ulps * 2.3e-16 * abs(true) + 1e-300, f"{name}, order {order}, at {at}"


# --- as people write them ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "derivative", "latex"),
    [
        (sb.tan, "1 + tan(x)²", r"\tan\left(x\right)"),
        (sb.arcsin, "1/√(1 − x²)", r"\arcsin\left(x\right)"),
        (sb.arccos, "−1/√(1 − x²)", r"\arccos\left(x\right)"),
        (sb.arctan, "1/(1 + x²)", r"\arctan\left(x\right)"),
        (sb.arccosh, "1/√(x² − 1)", r"\operatorname{arccosh}\left(x\right)"),
        (sb.cbrt, "1/(3 cbrt(x)²)", r"\sqrt[3]{x}"),
        (sb.reciprocal, "−1/x²", r"\frac{1}{x}"),
        (sb.gammaln, "ψ(x)", r"\log \Gamma\left(x\right)"),
        (sb.gamma, "Γ(x)·ψ(x)", r"\Gamma\left(x\right)"),
        (sb.digamma, "polygamma(1, x)", r"\psi\left(x\right)"),
        (sb.logit, "1/(x(1 − x))", r"\operatorname{logit}\left(x\right)"),
        (sb.log_expit, "σ(−x)", r"-\operatorname{softplus}\left(-x\right)"),
        (sb.i0, "i0(x, 1)", r"I_{0}\left(x\right)"),
        (lambda x: sb.hypot(x, sb.symbol("y")), "x/hypot(x, y)", r"\operatorname{hypot}\left(x, y\right)"),
        (lambda x: sb.arctan2(x, sb.symbol("y")), "y/(y² + x²)", r"\operatorname{arctan2}\left(x, y\right)"),
        (lambda x: sb.arctan2(sb.symbol("y"), x), "−y/(x² + y²)", r"\operatorname{arctan2}\left(y, x\right)"),
        (lambda x: sb.arctan2(x, 1.0), "1/(1 + x²)", r"\operatorname{arctan2}\left(x, 1\right)"),
        (lambda x: sb.kl_div(sb.symbol("y"), x), "1 − y/x", r"\operatorname{rel\_entr}\left(y, x\right) - y + x"),
    ],
)  # fmt: skip
def test_derivatives_are_printed_as_people_write_them(function, derivative, latex):
    x = sb.symbol("x")
    assert str(sb.grad(function(x), x)) == derivative
    assert sb.latex(function(x)) == latex


def test_second_names_are_no_second_operations():
    x = sb.symbol("x")
    for name, other in [
        ("absolute", "abs"), ("pow", "power"), ("mod", "remainder"), ("true_divide", "divide"), ("asin", "arcsin"),
        ("expit", "sigmoid"), ("psi", "digamma"), ("around", "round"), ("conj", "conjugate"), ("radians", "deg2rad"),
        ("bitwise_not", "invert"), ("bitwise_left_shift", "left_shift"),
    ]:  # fmt: skip
        assert getattr(sb, name) is getattr(sb, other)
    assert np.acos(x).op is sb.arccos(x).op
    assert scipy.special.psi(x).op is sb.digamma(x).op


def test_what_makes_no_sense_is_refused():
    x, k = sb.symbol("x"), sb.symbol("k", dtype="int64")
    with pytest.raises(ArgumentError, match="polygamma: an order is a whole number from 0, not -1"):
        sb.polygamma(-1, x)
    with pytest.raises(ArgumentError, match="sinc: an order is a whole number"):
        sb.sinc(x, 1.5)
    with pytest.raises(ArgumentError, match="not as both"):
        sb.clip(x, 0, 1, max=2)
    with pytest.raises(ArgumentError, match="as many choices as conditions, not 1 and 2"):
        sb.select([x > 0, x < 0], [x])
    with pytest.raises(DtypeError, match=r"the condition x is not of bools"):
        sb.select([x], [x])
    with pytest.raises(ArgumentError, match="piecewise takes 1 or 2 functions, not 3"):
        sb.piecewise(x, [x > 0], [1, 2, 3])
    with pytest.raises(DtypeError, match=r"ldexp: n is of integers, not x of float64"):
        sb.ldexp(x, x)
    with pytest.raises(DtypeError, match=r"gcd is for integers, not float64 and int64"):
        sb.gcd(x, k)
    with pytest.raises(ArgumentError, match=r"round: decimals is a whole number, not 0\.5"):
        sb.round(x, 0.5)
    with pytest.raises(TypeError, match="no symbolic form"):
        np.spacing(x)
    with pytest.raises(TypeError, match=r"sb\.polygamma"):
        scipy.special.polygamma(1, x)
    with pytest.raises(TypeError, match=r"sb\.softmax"):
        scipy.special.softmax(x)


# --- life without SciPy -----------------------------------------------------------------------------------------


@pytest.fixture
def no_scipy(monkeypatch):
    op._imported.cache_clear()
    monkeypatch.setitem(sys.modules, "scipy", None)
    yield
    op._imported.cache_clear()


@pytest.mark.usefixtures("no_scipy")
def test_formulas_need_no_scipy():
    x = sb.symbol("x", "N")
    loss = sb.sum(sb.gammaln(x) * sb.gammaln(2.0) + sb.ndtri(sb.sigmoid(x)))
    assert "ψ(x)" in str(sb.grad(loss, x))
    assert sb.numpy_code(sb.gammaln(x)) == "from scipy import special\n\nspecial.gammaln(x)"
    assert float(sb.evaluate(sb.ndtr(sb.constant(0.0)), {})) == 0.5


@pytest.mark.usefixtures("no_scipy")
@pytest.mark.parametrize("use", [lambda x, y: sb.compile([x], y), lambda x, y: sb.evaluate(y, {x: 1.5})])
def test_numbers_that_scipy_computes_say_that_it_is_missing(use):
    x = sb.symbol("x")
    message = r"digamma is computed by scipy, which is not installed: pip install 'symbackprop\[special\]'"
    with pytest.raises(ImportError, match=message):
        use(x, sb.grad(sb.gammaln(x), x))


def test_generated_code_imports_what_it_calls(tmp_path):
    x, special = sb.symbols("x[N] special")
    f = sb.compile([x, special], sb.sum(sb.gammaln(x)) * special)
    assert "\nfrom scipy import special\n" in f.source
    f.save(tmp_path / "f.py")
    names: dict[str, object] = {}
    exec((tmp_path / "f.py").read_text(), names)  # noqa: S102  (the module that was just written)
    at = np.array([0.5, 2.5])
    assert names["f"](at, 2.0) == f(at, 2.0) == 2 * scipy.special.gammaln(at).sum()
    assert "scipy" not in sb.compile([x], sb.sum(sb.erf(x) + sb.ndtr(x) + sb.logit(x))).source

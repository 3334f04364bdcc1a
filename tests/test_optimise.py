"""`minimize`, `least_squares`, `scipy_problem`: minima that are known, reasons to stop, and what mistakes are told."""

import builtins
import re
from itertools import pairwise

import numpy as np
import pytest
import scipy.optimize

import symbackprop as sb
from symbackprop import train
from symbackprop.errors import ArgumentError, DtypeError, NotDifferentiableError, ShapeError
from symbackprop.optimise import newton, newton_step
from symbackprop.optimise.methods import METHODS

METHOD_NAMES = [*METHODS, "gauss-newton"]
BOUNDED = [name for name, method in METHODS.items() if method.bounds] + ["gauss-newton"]
CURVED = [(name, curvature) for name, method in METHODS.items() for curvature in method.curvature]
RNG = np.random.default_rng(4)
XV = RNG.normal(size=(40, 3))
YV = (XV @ [1.0, -2.0, 0.5] + 0.3 + RNG.logistic(size=40) > 0).astype(float)


def rosenbrock():
    x = sb.symbol("x", "N")
    return sb.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), x


def logistic(dtype="float64"):
    """The penalised logistic regression of 40 examples."""
    X, w, b, y = (sb.symbol(*spec, dtype) for spec in [("X", ("N", "D")), ("w", "D"), ("b", ()), ("y", "N")])
    z = X @ w + b
    return sb.sum(sb.softplus(z) - y * z) + 0.5 * w @ w, [w, b], {X: XV.astype(dtype), y: YV.astype(dtype)}


def by_reweighting():
    """The same coefficients by iteratively reweighted least squares, and the value there."""
    A, penalty = np.column_stack([XV, np.ones(40)]), np.diag([1.0, 1.0, 1.0, 0.0])
    theta = np.zeros(4)
    for _ in range(30):
        p = 1 / (1 + np.exp(-A @ theta))
        H = A.T @ (A * (p * (1 - p))[:, None]) + penalty
        theta = theta - np.linalg.solve(H, A.T @ (p - YV) + penalty @ theta)
    z = A @ theta
    return theta, float(np.sum(np.log1p(np.exp(z)) - YV * z) + theta @ penalty @ theta / 2), H


# --- minima that are known ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 10])
@pytest.mark.parametrize("method", METHOD_NAMES)
def test_every_method_finds_the_minimum_of_rosenbrocks_function(method, n):
    f, x = rosenbrock()
    found = sb.minimize(f, x, method=method, start=np.full(n, 0.3), tol=1e-5)
    assert found.success, found.reason
    np.testing.assert_allclose(found.x, np.ones(n), atol=1e-4)
    assert found.value == pytest.approx(scipy.optimize.rosen(found.x), abs=1e-12)
    assert found.gradient_norm == pytest.approx(np.abs(scipy.optimize.rosen_der(found.x)).max(), abs=1e-9)
    assert found.gradient_norm <= 1e-5
    assert found.values[0] == pytest.approx(scipy.optimize.rosen(np.full(n, 0.3)))
    assert found.values[-1] == found.value
    assert len(found.values) == found.iterations + 1
    assert found.scipy.x.shape == (n,)


# Moré, Garbow and Hillstrom, Testing unconstrained optimization software (1981): residuals, the usual start, and the
# sums of squares at all minima.
TEST_FUNCTIONS = {
    "Beale": (lambda x: [y - x[0] * (1 - x[1] ** i) for i, y in [(1, 1.5), (2, 2.25), (3, 2.625)]], [1, 1], [0]),
    "Freudenstein and Roth": (
        lambda x: [-13 + x[0] + ((5 - x[1]) * x[1] - 2) * x[1], -29 + x[0] + ((x[1] + 1) * x[1] - 14) * x[1]],
        [0.5, -2],
        [0, 48.984253679],
    ),
    "Brown, badly scaled": (lambda x: [x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2], [1, 1], [0]),
    "Powell, singular": (
        lambda x: [
            x[0] + 10 * x[1],
            5**0.5 * (x[2] - x[3]),
            (x[1] - 2 * x[2]) ** 2,
            10**0.5 * (x[0] - x[3]) ** 2,
        ],
        [3, -1, 0, 1],
        [0],
    ),
    "Himmelblau": (lambda x: [x[0] ** 2 + x[1] - 11, x[0] + x[1] ** 2 - 7], [0, 0], [0]),
}


@pytest.mark.parametrize("name", TEST_FUNCTIONS)
@pytest.mark.parametrize("method", METHOD_NAMES)
def test_every_method_finds_a_minimum_of_functions_made_to_be_hard(method, name):
    residuals, start, minima = TEST_FUNCTIONS[name]
    x = sb.symbol("x", len(start))
    found = sb.minimize(sum(r**2 for r in residuals(x)), x, method=method, start=start)
    assert found.success, found.reason
    assert min(abs(found.value - value) for value in minima) < 1e-8


@pytest.mark.lecture("A26")
@pytest.mark.parametrize("method", [name for name in METHOD_NAMES if name != "gauss-newton"])
def test_several_parameters_find_what_reweighted_least_squares_find(method):
    f, params, data = logistic()
    theta, value, _ = by_reweighting()
    found = sb.minimize(f, params, data, method=method)
    assert found.success, found.reason
    w, b = found.x
    np.testing.assert_allclose([*w, b], theta, atol=1e-6)
    assert found.value == pytest.approx(value, rel=1e-12)
    np.testing.assert_array_equal(found.params[params[0]], w)
    assert found.params[params[1]].shape == ()


@pytest.mark.lecture("A26")
@pytest.mark.parametrize(("method", "hessian"), [pair for pair in CURVED if pair[1] != "none"])
def test_the_second_derivative_saves_iterations(method, hessian):
    f, x = rosenbrock()
    start = np.linspace(-1.2, 2.0, 20)
    found = sb.minimize(f, x, method=method, hessian=hessian, start=start)
    assert found.success
    assert found.iterations < sb.minimize(f, x, method="bfgs", start=start).iterations
    assert (found.hessians > 0, found.products > 0) == (hessian != "product", hessian == "product")


def test_newton_converges_quadratically():
    f, params, data = logistic()
    theta, _, _ = by_reweighting()
    errors = []
    sb.minimize(
        f,
        params,
        data,
        method="newton",
        tol=1e-12,
        callback=lambda _iteration, x, _value: errors.append(np.abs([*x[0], x[1]] - theta).max()),
    )
    assert len(errors) <= 7
    assert all(after <= 3 * before**2 + 1e-14 for before, after in pairwise(errors))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("method", ["l-bfgs", "newton-cg", "trust-exact", "newton"])
def test_parameters_keep_their_dtype(method, dtype):
    f, params, data = logistic(dtype)
    found = sb.minimize(f, params, data, method=method)
    assert found.success, found.reason
    assert {array.dtype.name for array in found.params.values()} == {dtype}
    theta, _, _ = by_reweighting()
    np.testing.assert_allclose([*found.x[0], found.x[1]], theta, atol=1e-6 if dtype == "float64" else 1e-3)


def test_data_of_float32_serve_parameters_of_float64():
    f, params, data = logistic()
    rounded = {symbol: array.astype("float32") for symbol, array in data.items()}
    found = sb.minimize(f, params, rounded, method="newton")
    np.testing.assert_allclose(found.x[0], sb.minimize(f, params, data, method="newton").x[0], atol=1e-5)


def test_matrices_are_found_too():
    """Of rank 2, the nearest matrix is the truncated singular value decomposition (Eckart and Young, 1936)."""
    T, U, V = sb.symbols("T[M,N] U[M,K] V[N,K]")
    Tv = RNG.normal(size=(6, 5))
    rng = np.random.default_rng(1)
    start = {U: rng.normal(size=(6, 2)), V: rng.normal(size=(5, 2))}
    best = np.sum(np.linalg.svd(Tv, compute_uv=False)[2:] ** 2)
    f = sb.sum((T - U @ V.T) ** 2)
    for method in ["l-bfgs", "newton-cg", "trust-exact", "newton", "gauss-newton"]:
        found = sb.minimize(f, start, {T: Tv}, method=method)
        assert found.success, found.reason
        assert found.value == pytest.approx(best, rel=1e-9)
        assert {symbol.name: array.shape for symbol, array in found.x.items()} == {"U": (6, 2), "V": (5, 2)}


# --- structures, sizes, starts ------------------------------------------------------------------------------------


def test_parameters_come_back_as_they_were_given():
    a, b = sb.symbols("a b[3]")
    f = (a - 2) ** 2 + sb.sum((b - a) ** 2)
    for x, start, get in [
        ([a, b], None, lambda x: x),
        ((a, b), [1.0, np.ones(3)], lambda x: x),
        ({a: 0.0, b: np.zeros(3)}, None, lambda x: [x[a], x[b]]),
        ({"first": a, "second": b}, {"first": 1.0, b: 7.0}, lambda x: [x["first"], x["second"]]),
    ]:
        seen = []
        found = sb.minimize(f, x, start=start, callback=lambda _i, x, _f, seen=seen: seen.append(x))
        for first, second in [get(found.x), get(seen[-1])]:
            assert (np.shape(first), second.shape) == ((), (3,))
        np.testing.assert_allclose(np.append(*get(found.x)), [2, 2, 2, 2], atol=1e-6)
    alone = sb.minimize(sb.sum((b - 3) ** 2), b, start=[1.0, 2.0, 3.0])
    np.testing.assert_allclose(alone.x, [3, 3, 3])


def test_what_comes_back_belongs_to_the_caller():
    b = sb.symbol("b", 3)
    start = np.ones(3)
    found = sb.minimize(sb.sum((b - 3) ** 2), {b: start})
    found.x[b][:] = 0
    assert (start == 1).all()
    np.testing.assert_allclose(found.params[b], 3)


def test_sizes_come_from_data_starts_and_arguments():
    x, A = sb.symbols("x[N] A[N,M]")
    f = sb.sum((x - 1) ** 2)
    assert sb.minimize(f, x, start=np.zeros(4)).x.shape == (4,)
    assert sb.minimize(f, x, sizes={"N": 3}).x.shape == (3,)
    assert sb.minimize(f, x, sizes={"N": 3}, start=2.0).x.shape == (3,)
    assert sb.minimize(f + sb.sum(A), x, {A: np.ones((5, 2))}).x.shape == (5,)
    with pytest.raises(ArgumentError, match=r"nothing tells the size N of the parameter x\[N\].*sizes=\{'N': …\}"):
        sb.minimize(f, x)
    with pytest.raises(ShapeError, match="sizes has N = 3, and the arrays N = 5"):
        sb.minimize(f + sb.sum(A), x, {A: np.ones((5, 2))}, sizes={"N": 3})
    with pytest.raises(ShapeError, match=r"minimize: .*N = 4 on axis 0, but N = 5 in"):
        sb.minimize(f + sb.sum(A), x, {A: np.ones((5, 2))}, start=np.zeros(4))


# --- bounds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", BOUNDED)
def test_bounds_are_kept(method):
    """Min (x₁ − 3)² + (x₂ + 1)² + (y − ½)² over x ≤ 2, x₂ ≥ 0: at the corner the slopes point out."""
    x, y = sb.symbols("x[2] y")
    f = (x[0] - 3) ** 2 + (x[1] + 1) ** 2 + (y - 0.5) ** 2
    found = sb.minimize(f, [x, y], method=method, bounds={x: ([-np.inf, 0.0], 2.0)}, tol=1e-5)
    assert found.success, found.reason
    np.testing.assert_allclose(found.x[0], [2, 0], atol=1e-4)
    assert found.x[1] == pytest.approx(0.5, abs=1e-4)
    assert found.gradient_norm <= 1e-4
    assert (found.x[0] <= 2).all()
    assert (found.x[0] >= 0).all()


@pytest.mark.parametrize("method", BOUNDED)
def test_without_a_start_the_search_begins_within_the_bounds(method):
    x = sb.symbol("x", 2)
    found = sb.minimize(sb.sum((x - 5) ** 2), x, method=method, bounds=([1.0, 2.0], 9.0))
    assert found.values[0] == pytest.approx(16 + 9)
    np.testing.assert_allclose(found.x, 5, atol=1e-5)


def test_bounds_that_say_nothing_sensible():
    x, y = sb.symbols("x[2] y")
    f = sb.sum(x**2) + y**2
    with pytest.raises(ValueError, match="newton-cg does not keep to bounds; l-bfgs, trust-constr and gauss-newton do"):
        sb.minimize(f, [x, y], method="newton-cg", bounds={y: (0, 1)})
    with pytest.raises(ValueError, match=r"a lower bound of x\[2\] is above its upper bound"):
        sb.minimize(f, [x, y], bounds={x: (0, [1, -1])})
    with pytest.raises(ValueError, match=r"the start of x\[2\] is outside its bounds"):
        sb.minimize(f, [x, y], bounds={x: (1, 2)}, start=[np.zeros(2), 0.0])
    with pytest.raises(ShapeError, match=r"bounds: x\[2\] has the shape \(2,\) here, the bound \(3,\)"):
        sb.minimize(f, [x, y], bounds={x: (np.zeros(3), None)})
    with pytest.raises(ArgumentError, match=r"bounds: x\[2\] wants a pair \(low, high\)"):
        sb.minimize(f, [x, y], bounds={x: 3})


# --- what is assumed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", BOUNDED)
def test_what_is_assumed_nonnegative_stays_so(method):
    """Nonnegative least squares, against SciPy's own."""
    A, b = sb.symbols("A[N,D] b[N]")
    x = sb.assume(sb.symbol("x_nonnegative", "D"), nonnegative=True)
    rng = np.random.default_rng(3)
    Av, bv = rng.normal(size=(12, 5)), rng.normal(size=12)
    best, norm = scipy.optimize.nnls(Av, bv)
    assert (best == 0).any()
    found = sb.minimize(sb.sum((A @ x - b) ** 2), x, {A: Av, b: bv}, method=method)
    assert found.success, found.reason
    np.testing.assert_allclose(found.x, best, atol=1e-5)
    assert found.value == pytest.approx(norm**2, abs=1e-5)
    assert (found.x >= 0).all()


@pytest.mark.parametrize("method", list(METHODS))
def test_a_search_never_asks_for_what_is_assumed_not_to_be(method):
    """A formula may hold for positive s alone, as log(s²) = 2 log(s) does: then nothing may be made of s < 0."""
    s = sb.assume(sb.symbol("s_positive"), positive=True)
    y = sb.symbol("y", "N")
    yv = np.array([0.1, -0.2, 0.05])
    f = sb.sum(y**2 / (2 * s**2) + sb.log(s**2) / 2)  # the likelihood of a normal distribution with deviation s
    found = sb.minimize(f, s, {y: yv}, method=method, start=5.0)
    assert found.success, found.reason
    assert found.x == pytest.approx(np.sqrt(np.mean(yv**2)), rel=1e-4)
    assert sb.scipy_problem(f, s, {y: yv}).x0 == 1
    with pytest.raises(ValueError, match="the start does not keep to what is assumed"):
        sb.minimize(f, s, {y: yv}, start=0.0)


def test_what_is_assumed_of_matrices_is_not_kept():
    S = sb.assume(sb.symbol("S_symmetric", (2, 2)), symmetric=True)
    P = sb.assume(sb.symbol("P_rows", (2, 2)), rows_sum_to=1)
    with pytest.raises(ArgumentError, match="is assumed to be symmetric, which a search over its elements"):
        sb.minimize(sb.sum(S**2), S)
    with pytest.raises(ArgumentError, match="is assumed to be rows sum to"):
        sb.minimize(sb.sum(P**2), P)


# --- reasons to stop ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHOD_NAMES)
@pytest.mark.parametrize("how", ["true", "raise"])
def test_a_callback_sees_every_iteration_and_may_stop(method, how):
    f, x = rosenbrock()
    seen = []

    def callback(iteration, point, value):
        seen.append((iteration, point.copy(), value))
        if iteration == 3 and how == "raise":
            raise StopIteration
        return iteration == 3

    found = sb.minimize(f, x, method=method, start=[-1.2, 1.0], callback=callback)
    assert [iteration for iteration, _, _ in seen] == [1, 2, 3]
    assert not found.success
    assert found.reason.startswith("stopped by the callback")
    assert found.iterations == 3
    np.testing.assert_array_equal(found.x, seen[-1][1])
    assert found.value == seen[-1][2] == found.values[-1]
    assert seen[0][2] == pytest.approx(scipy.optimize.rosen(seen[0][1]))


def test_what_a_callback_raises_goes_through():
    f, x = rosenbrock()
    with pytest.raises(ZeroDivisionError):
        sb.minimize(f, x, start=[-1.2, 1.0], callback=lambda *_: 1 / 0)


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_after_the_last_iteration_the_search_ends_without_success(method):
    f, x = rosenbrock()
    found = sb.minimize(f, x, method=method, start=[-1.2, 1.0], max_iter=4)
    assert (found.success, found.iterations) == (False, 4)
    assert found.reason.startswith("max_iter = 4 iterations are done; the largest slope is ")


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_a_start_that_is_good_enough_is_kept(method):
    f, x = rosenbrock()
    found = sb.minimize(f, x, method=method, start=np.ones(3))
    assert (found.success, found.iterations, found.values) == (True, 0, [0.0])
    assert "at the start, at most tol = 1e-06 (it may be a saddle point: try another start)" in found.reason
    assert found.scipy is None


@pytest.mark.parametrize("method", [name for name in METHOD_NAMES if name != "gauss-newton"])
def test_points_where_f_is_not_a_number_are_walls(method):
    """The first steps from 30 lead to negative x, of which there is no logarithm."""
    x = sb.symbol("x")
    found = sb.minimize(x - sb.log(x), x, method=method, start=30.0)
    assert found.success, found.reason
    assert found.x == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("method", [name for name in METHOD_NAMES if name != "gauss-newton"])
def test_a_search_that_ends_at_a_wall_says_so(method):
    x = sb.symbol("x")
    found = sb.minimize(x**2 + 0 * sb.log(x - 0.5), x, method=method, start=2.0)
    assert not found.success
    assert found.reason.startswith("f is NaN or infinite at the points tried last; the largest slope is 1")
    assert 0.5 < found.x < 0.6
    assert np.isfinite(found.values).all()


def test_infinity_below_is_no_minimum():
    x = sb.symbol("x")
    found = sb.minimize(-sb.exp(x), x, start=1.0)
    assert not found.success
    assert found.reason.startswith("f fell to -inf: it has no minimum")
    assert np.isfinite(found.value)


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_f_that_falls_for_ever_is_no_success(method):
    x = sb.symbol("x")
    f = (sb.exp(-x) + 1) ** 2 if method == "gauss-newton" else 3 * x
    assert not sb.minimize(f, x, method=method, max_iter=20, tol=1e-30).success


def test_nothing_finite_at_the_start_is_an_error():
    x, c = sb.symbols("x[2] c")
    with pytest.raises(train.DivergedError, match="minimize: f is nan at the start; begin elsewhere, with start="):
        sb.minimize(sb.sum(sb.log(x)), x, start=[-1.0, 1.0])
    with pytest.raises(train.DivergedError, match="minimize: f is inf at the start"):
        sb.minimize(sb.sum(1 / x), x)
    with pytest.raises(train.DivergedError, match=r"the derivative by x\[2\] is not finite at the start"):
        sb.minimize(sb.sum(sb.sqrt(x)), x)
    with pytest.raises(train.DivergedError, match="minimize: the data of c hold NaN or infinity"):
        sb.minimize(sb.sum(x**2) * c, x, {c: np.nan})
    with pytest.raises(train.DivergedError, match="least_squares: r is inf at the start"):
        sb.least_squares(1 / x, x)


@pytest.mark.parametrize("method", [name for name, curvature in CURVED if curvature == "full"])
def test_a_second_derivative_that_is_not_finite_ends_the_search(method):
    x = sb.symbol("x", 2)
    f = sb.sum(sb.abs(x) ** 1.5 - 3 * x)
    found = sb.minimize(f, x, method=method, start=[0.0, 1.0], hessian="full")
    assert found.success or found.reason.startswith("the second derivative of f is NaN or infinite")
    assert np.isfinite(found.x).all()


@pytest.mark.parametrize("method", ["newton", "trust-exact", "trust-ncg", "trust-krylov", "newton-cg", "l-bfgs"])
def test_no_method_stays_at_a_saddle_point_that_it_passes(method):
    x = sb.symbol("x", 2)
    found = sb.minimize(x[0] ** 2 - x[1] ** 2 + x[1] ** 4, x, method=method, start=[1.0, 1e-3])
    np.testing.assert_allclose(np.abs(found.x), [0, 0.5**0.5], atol=1e-5)
    assert found.value == pytest.approx(-0.25)


def test_progress_is_shown_where_it_is_wanted(capsys):
    f, x = rosenbrock()
    sb.minimize(f, x, start=[-1.2, 1.0])
    assert capsys.readouterr() == ("", "")
    found = sb.minimize(f, x, start=[-1.2, 1.0], progress=True)
    shown = capsys.readouterr().err
    assert f"{found.iterations}iteration" in shown
    assert "slope" in shown


def test_a_minimum_tells_what_it_is():
    f, params, data = logistic()
    told = repr(sb.minimize(f, params, data, method="newton")).split("\n")
    assert re.fullmatch(r"f = 16\.\d+ by newton: \d iterations in \S+ s", told[0])
    assert re.fullmatch(r"  the largest slope is \S+, at most tol = 1e-06", told[1])
    assert re.fullmatch(r"  \d evaluations, \d Hessians", told[2])
    assert re.fullmatch(r"  w\[D\] = \[ ?0\.\d+, +-1\.\d+, +0\.\d+\]", told[3])
    assert "no success: max_iter" in repr(sb.minimize(f, params, data, max_iter=1))


# --- least squares ------------------------------------------------------------------------------------------------


def decay(noise=0.0):
    t, y, a, k = sb.symbols("t[N] y[N] a k")
    tv = np.linspace(0, 4, 25)
    yv = 2.5 * np.exp(-1.3 * tv) + noise * np.random.default_rng(0).normal(size=25)
    return a * sb.exp(-k * t) - y, [a, k], {t: tv, y: yv}


def scipys(data, **options):
    t, y = data.values()
    return scipy.optimize.least_squares(
        lambda x: x[0] * np.exp(-x[1] * t) - y, [1.0, 1.0], xtol=1e-15, ftol=1e-15, gtol=1e-12, **options
    )


@pytest.mark.parametrize("loss", ["linear", "soft_l1", "huber", "cauchy", "arctan"])
@pytest.mark.parametrize("method", ["trf", "dogbox"])
def test_least_squares_finds_what_scipys_finds(method, loss):
    r, params, data = decay(noise=0.3)
    found = sb.least_squares(r, params, data, method=method, loss=loss, f_scale=0.2, start=[1.0, 1.0])
    theirs = scipys(data, method=method, loss=loss, f_scale=0.2)
    assert found.success, found.reason
    np.testing.assert_allclose(found.x, theirs.x, rtol=1e-5)
    assert found.value == pytest.approx(theirs.cost, rel=1e-10)
    assert found.scipy.cost == pytest.approx(found.value, rel=1e-12)
    assert found.gradient_norm <= 1e-6


@pytest.mark.lecture("A26")
def test_gauss_newton_finds_least_squares_in_few_steps():
    r, params, data = decay()
    found = sb.minimize(sb.sum(r**2) / 2, params, data, method="gauss-newton", start=[1.0, 1.0])
    np.testing.assert_allclose(found.x, [2.5, 1.3], rtol=1e-7)
    assert found.iterations <= 7
    assert found.value < 1e-12


def test_bounds_of_least_squares():
    r, params, data = decay()
    found = sb.least_squares(r, params, data, bounds={params[1]: (None, 1.0)})
    theirs = scipys(data, bounds=([-np.inf, -np.inf], [np.inf, 1.0 + 1e-15]))
    assert found.success, found.reason
    np.testing.assert_allclose(found.x, theirs.x, rtol=1e-5)


SQUARES = {
    "sum": lambda r, w, N: sb.sum(r**2),
    "mean": lambda r, w, N: sb.mean(r**2),
    "product": lambda r, w, N: sb.sum(r * r) * 0.5,
    "dot": lambda r, w, N: r @ r / N,
    "negated": lambda r, w, N: sb.sum((-r) * (-r)),
    "power": lambda r, w, N: sb.sum(r**2.0),
    "norm": lambda r, w, N: sb.linalg.norm(r) ** 2,
    "absolute": lambda r, w, N: sb.sum(sb.abs(r) ** 2),
    "weights": lambda r, w, N: sb.sum(r**2 * sb.exp(sb.constant(np.linspace(0, 1, 7)))),
    "ridge": lambda r, w, N: sb.mean(r**2) / 2 + 0.1 * w @ w,
    "axes": lambda r, w, N: sb.mean(sb.sum(sb.reshape(r, (7, 1)) ** 2, axis=1)),
    "trace": lambda r, w, N: sb.trace(sb.reshape(r, (7, 1)).T @ sb.reshape(r, (7, 1))),
    "broadcast": lambda r, w, N: sb.mean(r**2 + sb.sum(w**2) * 0.1),
    "loss": lambda r, w, N: train.quadratic(r, sb.zeros_like(r)) + 0.3 * train.l2(w),
    "constants": lambda r, w, N: 0 + sb.sum(sb.square(r)) - 3.0 + sb.sum(sb.log(sb.constant([2.0, 5.0]))),
    "constants inside": lambda r, w, N: sb.mean(r**2 - sb.constant(np.arange(7.0))) + 0.1 * w @ w,
    "Python's sum": lambda r, w, N: sum(r[i] ** 2 for i in range(7)) / 7,
}


@pytest.mark.parametrize("name", SQUARES)
def test_sums_of_squares_are_recognised(name):
    X, y, w = sb.symbols("X[7,D] y[7] w[D]")
    rng = np.random.default_rng(2)
    data = {X: rng.normal(size=(7, 2)), y: rng.normal(size=7)}
    f = SQUARES[name](sb.tanh(X @ w) - y, w, 7)
    found = sb.minimize(f, w, data, method="gauss-newton", start=0.1, tol=1e-9)
    expected = sb.minimize(f, w, data, method="newton", start=0.1, tol=1e-9)
    np.testing.assert_allclose(found.x, expected.x, atol=1e-7)
    assert found.value == pytest.approx(expected.value, rel=1e-12)
    for x in rng.normal(size=(3, 2)):
        at = found.problem.at(x)
        assert at.value == pytest.approx(expected.problem.fun(x), rel=1e-12)
        np.testing.assert_allclose(at.gradient, expected.problem.jac(x), rtol=1e-9, atol=1e-12)


def test_what_is_no_sum_of_squares():
    x = sb.symbol("x", 3)
    for f in [sb.sum(x), sb.sum(x**3), -sb.sum(x**2), sb.sum(x**2) - x[0] ** 2, sb.exp(x @ x), x @ sb.sin(x)]:
        with pytest.raises(ArgumentError, match="gauss-newton wants a sum of squares"):
            sb.minimize(f, x, method="gauss-newton", start=1.0)
    with pytest.raises(ArgumentError, match="negative multiple"):
        sb.minimize(sb.sum(-2.0 * x**2), x, method="gauss-newton")


def test_the_hessian_at_the_minimum():
    f, params, data = logistic()
    np.testing.assert_allclose(sb.minimize(f, params, data, method="cg").hessian, by_reweighting()[2], rtol=1e-5)
    r, params, data = decay(noise=0.1)
    found = sb.least_squares(r, params, data)
    np.testing.assert_allclose(found.hessian, found.scipy.jac.T @ found.scipy.jac, rtol=1e-12)
    # What SciPy's curve_fit gives as standard deviations.
    theirs = scipy.optimize.curve_fit(lambda t, a, k: a * np.exp(-k * t), *data.values(), absolute_sigma=True)[1]
    np.testing.assert_allclose(np.linalg.inv(found.hessian), theirs, rtol=1e-5)


# --- for those who call SciPy themselves --------------------------------------------------------------------------


def test_a_problem_is_what_scipy_wants():
    f, params, data = logistic()
    theta, value, H = by_reweighting()
    problem = sb.scipy_problem(f, params, data, bounds={params[1]: (-9, 9)})
    for method, more in [
        ("trust-exact", {"hess": problem.hess}),
        ("trust-ncg", {"hessp": problem.hessp}),
        ("L-BFGS-B", {"bounds": problem.bounds}),
    ]:
        found = scipy.optimize.minimize(problem.fun, problem.x0, jac=problem.jac, method=method, tol=1e-8, **more)
        np.testing.assert_allclose(found.x, theta, atol=1e-5)
    assert problem.fun(theta) == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(problem.hess(theta), H, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(problem.hessp(theta, np.arange(4.0)), H @ np.arange(4.0), rtol=1e-9)
    np.testing.assert_array_equal(problem.pack(problem.unpack(theta)), theta)
    np.testing.assert_array_equal(problem.pack(dict(zip(params, problem.unpack(theta), strict=True))), theta)
    assert (problem.x0 == 0).all()
    assert problem.size == 4
    assert (problem.bounds.lb[-1], problem.bounds.ub[-1]) == (-9, 9)


def test_value_and_gradient_are_computed_once_for_each_point():
    f, params, data = logistic()
    problem = sb.scipy_problem(f, params, data)
    x = np.ones(4)
    for _ in range(3):
        problem.fun(x)
        problem.jac(x)
    assert problem.evaluations == 1
    x[0] = 2.0  # the same array, another point
    assert problem.fun(x) == pytest.approx(sb.scipy_problem(f, params, data).fun(x))
    problem.fun(np.ones(4))
    assert problem.evaluations == 2


def test_a_gradient_that_is_written_to_does_not_spoil_the_next():
    f, params, data = logistic()
    problem = sb.scipy_problem(f, params, data)
    gradient = problem.jac(np.ones(4)).copy()
    problem.jac(np.ones(4))[:] = 0
    np.testing.assert_array_equal(problem.jac(np.ones(4)), gradient)


def test_a_constant_hessian_is_computed_once():
    X, y, w = sb.symbols("X[N,D] y[N] w[D]")
    found = sb.minimize(sb.sum((X @ w - y) ** 2), w, {X: XV, y: YV}, method="trust-exact")
    assert found.hessians == 1
    np.testing.assert_allclose(found.x, np.linalg.lstsq(XV, YV)[0], rtol=1e-9)
    assert not found.problem.hess(found.x).flags.writeable


@pytest.mark.parametrize("seed", range(5))
def test_hessian_and_products_agree_with_differences_of_gradients(seed):
    """Of parameters of ranks 0, 1, 2 and 3, whose blocks are mixed."""
    rng = np.random.default_rng(seed)
    a, b, C, D = sb.symbols("a b[2] C[2,N] D[2,1,3]")
    f = (
        sb.sum(sb.sin(b @ C) * sb.exp(a * b[0]))
        + sb.sum(sb.tanh(D * C[:, :1, None]) ** 2)
        + a**3 * sb.sum(b * D[0, 0, 0])
    )
    problem = sb.scipy_problem(f, [a, b, C, D], sizes={"N": 4})
    x, v = rng.uniform(-1, 1, (2, problem.size))
    H = problem.hess(x)
    np.testing.assert_allclose(H, H.T, atol=1e-13)
    np.testing.assert_allclose(problem.hessp(x, v), H @ v, rtol=1e-10, atol=1e-12)
    h = 1e-6
    columns = [(problem.jac(x + h * e) - problem.jac(x - h * e)) / (2 * h) for e in np.eye(problem.size)]
    np.testing.assert_allclose(H, columns, rtol=1e-6, atol=1e-7)
    slopes = [(problem.fun(x + h * e) - problem.fun(x - h * e)) / (2 * h) for e in np.eye(problem.size)]
    np.testing.assert_allclose(problem.jac(x), slopes, rtol=1e-6, atol=1e-7)


def test_a_symbol_named_as_a_direction_is_no_trouble():
    w, v = sb.symbols("w[2] v_w")
    problem = sb.scipy_problem(sb.sum(w**3) * v, w, {v: 2.0})
    np.testing.assert_allclose(problem.hessp(np.array([1.0, 2.0]), np.ones(2)), [12, 24])


def test_newton_makes_an_indefinite_hessian_positive_definite():
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    g = rng.normal(size=4)
    for values in ([1.0, 2, 3, 4], [1.0, -2, 3, -4]):
        H = Q * values @ Q.T
        np.testing.assert_allclose(newton_step(H, g), -(Q / np.abs(values)) @ (Q.T @ g), rtol=1e-10)
    assert np.isfinite(newton_step(np.zeros((4, 4)), g)).all()


def test_newton_solves_with_a_hessian_that_knows_how():
    class Diagonal:
        calls = 0

        def __init__(self, d):
            self.d = d

        def solve(self, b):
            if (self.d <= 0).any():
                raise np.linalg.LinAlgError
            Diagonal.calls += 1
            return b / self.d

        def __array__(self, dtype=None, copy=None):
            return np.diag(self.d)

    def run(c, start):
        return scipy.optimize.minimize(
            lambda x: float(np.sum(x**4 / 4 + c * x**2 / 2)) - x[0],
            np.full(2, start),
            jac=lambda x: x**3 + c * x - [1.0, 0.0],
            hess=lambda x: Diagonal(3 * x**2 + c),
            method=newton,
        )

    found = run(1.0, 2.0)
    assert found.success
    assert Diagonal.calls == found.nit
    assert abs(found.x[0] ** 3 + found.x[0] - 1) < 1e-6
    assert run(-4.0, 0.1).success  # between two minima, where it is not positive definite
    assert (3 * run(-4.0, 0.1).x ** 2 > 4).all()


STRUCTURES = {
    "diagonal": lambda U, V, T: sb.sum(sb.exp(U) - (T @ V) ** 2 * U),
    "a block for each row": lambda U, V, T: sb.sum(sb.softplus(U @ V.T) - T * (U @ V.T)) + 0.1 * sb.sum(U**2),
    "one block for all": lambda U, V, T: sb.sum((U @ V.T - T) ** 2),
    "a diagonal and a product": lambda U, V, T: sb.sum(sb.exp(U) - (T @ V) ** 2 * U) + sb.sum(U) ** 2,
    "not positive definite": lambda U, V, T: sb.sum(U**4 - U**2 + (T @ V) * U / 10) + sb.sum(U) ** 2 / 50,
    "nothing": lambda U, V, T: sb.sum((U @ V.T - T) ** 2) + sb.sum(sb.tanh(U.T @ U)),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_newton_takes_the_same_steps_with_the_structure_as_without(name):
    U, V, T = sb.symbols("U[M,2] V[N,2] T[M,N]")
    rng = np.random.default_rng(9)
    data = {V: rng.normal(size=(5, 2)), T: rng.uniform(0, 1, (6, 5))}
    f = STRUCTURES[name](U, V, T)
    start = rng.normal(size=(6, 2)) / 10
    kept, full = (sb.minimize(f, U, data, method="newton", hessian=how, start=start) for how in ("structured", "full"))
    assert kept.success, kept.reason
    np.testing.assert_allclose(kept.values, full.values, rtol=1e-9)
    np.testing.assert_allclose(kept.x, full.x, atol=1e-7)


@pytest.mark.lecture("A26")
def test_newton_with_two_hundred_thousand_parameters():
    """The Hessian, diag(eˣ) + 2/N, would fill 320 GB; at the minimum eˣ − c + 2 mean(x) = 0."""
    x, c = sb.symbols("x[N] c[N]")
    n = 200_000
    cv = np.random.default_rng(0).uniform(1, 2, n)
    found = sb.minimize(sb.sum(sb.exp(x) - c * x) + sb.sum(x) ** 2 / n, x, {c: cv}, method="newton")
    assert found.success
    assert found.iterations <= 6
    np.testing.assert_allclose(np.exp(found.x) + 2 * found.x.mean(), cv, atol=1e-6)


# --- mistakes -----------------------------------------------------------------------------------------------------


def test_every_mistake_names_what_is_wrong():
    X, y, w, b, k = sb.symbols("X[N,D] y[N] w[D] b k[2]")
    n = sb.symbol("n", 2, "int64")
    f = sb.sum((X @ w + b - y) ** 2)
    data = {X: XV, y: YV}
    for call, error, message in [
        (lambda: sb.minimize(f, [w, b], {X: XV}), ArgumentError, r"f needs y\[N\], which is neither in the parameters"),
        (lambda: sb.minimize(f, [w, b]), ArgumentError, r"minimize: f needs (X|y)\[N"),
        (lambda: sb.minimize(f, w, data), ArgumentError, "f needs b, which is neither"),
        (lambda: sb.minimize(f, [w, b, k], data), ArgumentError, r"f does not depend on the parameter k\[2\]"),
        (lambda: sb.minimize(f, [w, b], {**data, k: [1, 2]}), ArgumentError, r"data has k\[2\], which f does not use"),
        (lambda: sb.minimize(f, [w, b], {**data, b: 1.0}), ArgumentError, "b is in the parameters and in data"),
        (lambda: sb.minimize(f, [w, w, b], data), ArgumentError, r"the parameter w\[D\] is given twice"),
        (lambda: sb.minimize(f, [], data), ArgumentError, "minimize: there are no parameters"),
        (
            lambda: sb.minimize(f, [w, b + 1], data),
            ArgumentError,
            r"the parameters are symbols, and add\(b, 1\) is none",
        ),
        (lambda: sb.minimize(f, "w", data), ArgumentError, "the parameters are symbols, and 'w' is none"),
        (lambda: sb.minimize(f, [w, b], [XV, YV]), ArgumentError, "data is a dict of arrays by symbol, not list"),
        (lambda: sb.minimize(X @ w + b - y, [w, b], data), ShapeError, "minimize: f must be a scalar"),
        (lambda: sb.minimize(3.0, [w, b], data), DtypeError, "minimize: f is float, not an expression"),
        (lambda: sb.minimize(f, [w, b], data, start=[np.zeros(4), 0.0]), ShapeError, r"D = 4 on axis 0, but D = 3 in"),
        (
            lambda: sb.minimize(f, {w: np.zeros((3, 1)), b: 0.0}, data),
            ShapeError,
            r"start: w\[D\] has 1 axes, the array 2",
        ),
        (
            lambda: sb.minimize(f, [w, b], data, start=[0.0]),
            ArgumentError,
            "start is a dict by symbol, or has the struct",
        ),
        (
            lambda: sb.minimize(f, [w, b], data, start={k: 0.0}),
            ArgumentError,
            r"start has k\[2\], which is none of the",
        ),
        (lambda: sb.minimize(f, [w, b], data, start={b: "x"}), DtypeError, "start: b has dtype float64, the array <U1"),
        (lambda: sb.minimize(f, [w, b], data, method="newton_cq"), ValueError, "did you mean 'newton-cg'"),
        (
            lambda: sb.minimize(f, [w, b], data, method="bfgs", hessian="full"),
            ValueError,
            "bfgs cannot use hessian='full'",
        ),
        (lambda: sb.minimize(f, [w, b], data, method="newton", hessian="half"), ValueError, '"full" or "product"'),
        (
            lambda: sb.minimize(f, [w, b], data, method="Gauss_Newton", hessian="full"),
            ValueError,
            "makes its own Hessian of residuals",
        ),
        (lambda: sb.minimize(f, [w, b], data, tol=0), ValueError, "tol is a positive number"),
        (lambda: sb.minimize(f, [w, b], data, max_iter=0), ValueError, "max_iter is a whole number from 1 up, not 0"),
        (lambda: sb.minimize(sb.sum(w.astype("int64")), w, sizes={"D": 2}), NotDifferentiableError, "grad"),
        (lambda: sb.minimize(sb.sum(n), n), DtypeError, r"the parameter n\[2\] has dtype int64, and a search moves"),
        (lambda: sb.least_squares(2.0, w), DtypeError, "least_squares: r is float, not an expression"),
        (lambda: sb.least_squares(w, w, method="lm"), ValueError, "there is no method 'lm'; there are trf, dogbox"),
        (lambda: sb.least_squares(w, w, loss="hubert"), ValueError, "did you mean 'huber'"),
        (lambda: sb.least_squares(w, w, f_scale=0), ValueError, "f_scale is a positive number, not 0"),
        (lambda: sb.scipy_problem(f, [w, b], data).unpack(np.zeros(3)), ShapeError, r"has shape \(4,\), not \(3,\)"),
        (lambda: sb.scipy_problem(f, [w, b], data).pack({w: np.zeros(3)}), ArgumentError, "pack has no array for b"),
        (
            lambda: sb.scipy_problem(f, [w, b], data).pack([np.zeros(4), 0.0]),
            ShapeError,
            r"w\[D\] has the shape \(3,\) here, the array \(4,\)",
        ),
    ]:
        with pytest.raises(error, match=message):
            call()


def test_without_scipy_it_is_told_how_to_get_it(monkeypatch):
    f, x = rosenbrock()
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"pip install 'symbackprop\[optimise\]'"):
        sb.minimize(f, x, start=[0.0, 0.0])

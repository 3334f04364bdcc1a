"""Linear algebra: printed forms, numbers as NumPy's, derivatives against differences."""

import mpmath
import numpy as np
import pytest
import scipy.linalg

import symbackprop as sb
from symbackprop.errors import DtypeError, ShapeError
from symbackprop.rewrite.pipeline import run
from tests.values import obeying


def expr_of(text: str) -> sb.Expr:
    names = {expr.name: expr for expr in sb.symbols("A[N,N] B[N,N] X[N,N] C[M,N] D[N,M] a[N] b[N] x[N] s")}
    return eval(text, {"sb": sb, "np": np, **names})  # noqa: S307  (the texts stand below)


# --- printed forms ---------------------------------------------------------------------------------------------

FORMULAS = [
    ("sb.linalg.inv(A)", "A⁻¹", r"A^{-1}"),
    ("sb.linalg.inv(A).T", "A⁻ᵀ", r"A^{-\top}"),
    ("sb.linalg.inv(A.T)", "A⁻ᵀ", r"A^{-\top}"),
    ("sb.linalg.inv(A + B)", "(A + B)⁻¹", r"\left(A + B\right)^{-1}"),
    ("sb.linalg.inv(A @ B) @ x", "(AB)⁻¹x", r"\left(A B\right)^{-1} x"),
    ("sb.linalg.inv(sb.linalg.inv(A))", "(A⁻¹)⁻¹", r"\left(A^{-1}\right)^{-1}"),
    ("sb.linalg.solve(A.T, b)", "A⁻ᵀb", r"A^{-\top} b"),
    ("-sb.linalg.solve(A, C.T)", "−A⁻¹Cᵀ", r"-A^{-1} C^{\top}"),
    ("sb.linalg.slogdet(A).sign", "sign(det(A))", r"\operatorname{sign}\left(\det\left(A\right)\right)"),
    ("2 * sb.linalg.slogdet(A)[1]", "2·log|det(A)|", r"2 \, \log\left|\det\left(A\right)\right|"),
    ("sb.linalg.slogdet(A)[1]**2", "(log|det(A)|)²", r"\left(\log\left|\det\left(A\right)\right|\right)^{2}"),
    ("sb.kron(A, C) + sb.kron(B, C)", "A ⊗ C + B ⊗ C", r"A \otimes C + B \otimes C"),
    ("sb.kron(A + B, C @ D)", "(A + B) ⊗ CD", r"\left(A + B\right) \otimes C D"),
    ("sb.kron(A, C) @ sb.kron(B, D)", "(A ⊗ C)(B ⊗ D)", r"\left(A \otimes C\right) \left(B \otimes D\right)"),
    ("sb.outer(a, b)", "abᵀ", r"a b^{\top}"),
    ("2 * sb.eye(3) + A[:3, :3]", "2I + A[:3, :3]", None),
    ("sb.linalg.norm(A, axis=0)", "norm(A, axis=0)", r"\operatorname{norm}_{0}\left(A\right)"),
    ("sb.einsum('ij,jk->ik', C, D)", "CD", "C D"),
    ("A**-1 + A**-2", "1/A + 1/A²", None),  # elementwise, so no inverse
    ("sb.linalg.matrix_power(A + B, 3)", "matrix_power(A + B, 3)", r"\operatorname{matrixpower}\left(A + B, 3\right)"),
    ("sb.linalg.matrix_power(A, -2) @ x", "matrix_power(A, −2)·x", None),
    ("sb.linalg.expm(A) @ x", "expm(A)·x", r"\operatorname{expm}\left(A\right) \, x"),
    ("sb.linalg.eigh(A)[1].T", "eigenvectors(A)ᵀ", None),
    ("sb.linalg.qr(A).Q @ x", "qr_q(A)·x", r"\operatorname{qr}\left(A\right)_{Q} \, x"),
    ("sb.linalg.svd(A).Vh", "svd_vh(A)", r"\operatorname{svd}\left(A\right)_{V^{\top}}"),
    ("sb.linalg.svdvals(D)", "svdvals(D)", r"\sigma\left(D\right)"),
    ("sb.linalg.pinv(C) @ C", "pinv(C)·C", r"{C}^{+} C"),
    ("sb.linalg.solve_triangular(A, b, 1)", "solve_triangular(Aᵀ, b, lower=True)", None),
]


@pytest.mark.parametrize(("text", "unicode", "latex"), FORMULAS, ids=[row[0] for row in FORMULAS])
def test_printed_form(text, unicode, latex):
    expr = expr_of(text)
    assert str(expr) == unicode
    if latex is not None:
        assert expr.latex() == latex


def test_the_identity_is_not_called_like_a_symbol():
    current = sb.symbol("I", ("N", "N"))
    assert str(current + sb.eye("N")) == "I + eye(N)"
    assert str(sb.eye("N", "M")) == "eye(N, M)"


# --- calls as in NumPy ----------------------------------------------------------------------------------------

A33 = np.array([[2.0, 0.3, -0.4], [0.1, 1.5, 0.6], [-0.7, 0.2, 3.0]])
CALLS = [
    lambda m, x: m.trace(x),
    lambda m, x: m.diag(x),
    lambda m, x: m.diag(x[0]),
    lambda m, x: m.diagonal(x),
    lambda m, x: m.diagonal(x[:2]),
    lambda m, x: m.diagonal(m.stack([x, x + 1]), axis1=1, axis2=2),
    lambda m, x: m.trace(m.stack([x, x + 1])),
    lambda m, x: m.trace(m.stack([x, x + 1]), axis1=-1, axis2=0),
    lambda m, x: m.outer(x[0], x[1]),
    lambda m, x: m.outer(x, x[1]),
    lambda m, x: m.dot(x, x),
    lambda m, x: m.dot(x[0], x),
    lambda m, x: m.dot(x, x[0]),
    lambda m, x: m.dot(x[0], x[1]),
    lambda m, x: m.dot(x[0, 0], x),
    lambda m, x: m.dot(2.0, x),
    lambda m, x: m.inner(x, x + 1),
    lambda m, x: m.inner(x, x[0]),
    lambda m, x: m.inner(x[0], x[1]),
    lambda m, x: m.inner(x, 2.0),
    lambda m, x: m.vdot(x, x + 1),
    lambda m, x: m.kron(x, x[:2]),
    lambda m, x: m.kron(x[0], x[:2]),
    lambda m, x: m.kron(x[0], x[1]),
    lambda m, x: m.tensordot(x, x),
    lambda m, x: m.tensordot(x, x, axes=1),
    lambda m, x: m.tensordot(x, x, axes=0),
    lambda m, x: m.tensordot(x, x, axes=([0, 1], [1, 0])),
    lambda m, x: m.tensordot(x, x, axes=(0, -1)),
    lambda m, x: m.einsum("ij,jk->ik", x, A33),
    lambda m, x: m.einsum("ij,jk", x, x),
    lambda m, x: m.einsum("ba", x),
    lambda m, x: m.einsum("ii", x),
    lambda m, x: m.einsum(" i j , j k , k l -> l i ", x, x, x),
    lambda m, x: m.einsum("...j,...j->...", x, x[0]),
    lambda m, x: m.einsum("...j,j...", x, x),
    lambda m, x: m.einsum("i...,i...->...", x[:, None], x),
    lambda m, x: m.einsum("...,...->...", x[:, :1], x),
    lambda m, x: m.linalg.inv(x),
    lambda m, x: m.linalg.det(x),
    lambda m, x: m.linalg.slogdet(x)[0],
    lambda m, x: m.linalg.slogdet(x).logabsdet,
    lambda m, x: m.linalg.cholesky(x @ x.T),
    lambda m, x: m.linalg.matrix_power(x, 3),
    lambda m, x: m.linalg.matrix_power(x, 0),
    lambda m, x: m.linalg.matrix_power(x, n=-2),
    lambda m, x: m.linalg.eigvalsh(x + x.T),
    lambda m, x: m.linalg.eigh(x + x.T)[0],
    lambda m, x: m.linalg.eigh(x + x.T).eigenvectors,
    lambda m, x: m.linalg.solve(x, x[0]),
    lambda m, x: m.linalg.solve(x, A33),
    lambda m, x: m.linalg.norm(x),
    lambda m, x: m.linalg.norm(x[0]),
    lambda m, x: m.linalg.norm(x, "fro"),
    lambda m, x: m.linalg.norm(x, axis=1),
    lambda m, x: m.linalg.norm(x, axis=0, keepdims=True),
    lambda m, x: m.linalg.norm(x[0], 1),
    lambda m, x: m.linalg.norm(x[0], ord=2),
    lambda m, x: m.linalg.norm(x, np.inf, axis=1),
    lambda m, x: m.linalg.norm(x, -np.inf, axis=0),
    lambda m, x: m.linalg.norm(x, 1),
    lambda m, x: m.linalg.norm(x, -1),
    lambda m, x: m.linalg.norm(x, np.inf),
    lambda m, x: m.linalg.norm(x, -np.inf, axis=(1, 0)),
    lambda m, x: m.linalg.norm(x, 1, axis=(1, 0), keepdims=True),
    lambda m, x: m.linalg.norm(m.stack([x, x])),
]


@pytest.mark.parametrize("call", CALLS, ids=range(len(CALLS)))
def test_calls_as_in_numpy(call):
    """The same text with NumPy on arrays, with symbackprop and with NumPy on expressions; evaluated and compiled."""
    x = sb.symbol("x", (3, 3))
    expected = np.asarray(call(np, A33))
    for module in (sb, np):
        y = call(module, x)
        assert isinstance(y, sb.Expr)
        assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(sb.evaluate(y, {x: A33}), expected, rtol=1e-13, atol=1e-15)
    given = A33.copy()
    f = sb.compile([x], [y, sb.grad(sb.sum(y * y), x, unused="zeros")])
    assert "symbackprop" not in f.source
    value, gradient = f(given)
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-14)
    value *= 0  # results are fresh arrays that can be written
    np.testing.assert_array_equal(given, A33)
    direction = np.random.default_rng(0).normal(size=(3, 3))
    ends = [np.sum(np.square(call(np, A33 + step * direction))) for step in (1e-5, -1e-5)]
    np.testing.assert_allclose(np.sum(gradient * direction), (ends[0] - ends[1]) / 2e-5, rtol=1e-6, atol=1e-8)


def test_symmetric_matrices_have_the_derivative_of_their_factor():
    """The gradient of log det(XXᵀ) through its Cholesky factor is that without it."""
    x = sb.symbol("x", (3, 3))
    through = sb.sum(sb.log(sb.diag(sb.linalg.cholesky(x @ x.T)))) * 2
    direct = sb.linalg.slogdet(x @ x.T).logabsdet
    np.testing.assert_allclose(*(sb.evaluate(sb.grad(z, x), {x: A33}) for z in (through, direct)), rtol=1e-12)


def test_the_diagonal_of_an_oblong_matrix():
    for shape in [(2, 3), (3, 2)]:
        x = sb.symbol("x", shape)
        array = np.arange(6.0).reshape(shape)
        found = sb.evaluate(sb.grad(sb.sum(sb.diag(x) ** 2), x), {x: array})
        np.testing.assert_array_equal(found, np.where(np.eye(*shape), 2 * array, 0))
    with pytest.raises(ShapeError, match="which of N and M is smaller"):
        sb.diag(sb.symbol("x", ("N", "M")))


def test_the_subgradient_of_the_norm_at_zero_is_zero():
    x = sb.symbol("x", 3)
    for ord in (None, 1, 2, np.inf):
        gradient = sb.grad(sb.linalg.norm(x, ord), x)
        f = sb.compile([x], [gradient, sb.simplify(gradient)])
        for found in (sb.evaluate(gradient, {x: np.zeros(3)}), *f(np.zeros(3))):
            np.testing.assert_array_equal(found, np.zeros(3))
    second = sb.hvp(sb.linalg.norm(x), x, np.ones(3))
    np.testing.assert_array_equal(sb.evaluate(second, {x: np.zeros(3)}), np.zeros(3))


@pytest.mark.parametrize("size", [1e-3, 0.3, 3.0, 30.0])
@pytest.mark.parametrize("name", ["expm", "sinm", "cosm"])
def test_functions_of_matrices_are_accurate(name, size):
    """Against mpmath, relative to the largest element."""
    array = np.random.default_rng(1).normal(size=(4, 4)) * size
    x = sb.symbol("x", (4, 4))
    found = sb.compile([x], getattr(sb.linalg, name)(x))(array)
    with mpmath.workdps(60):
        exact = np.array(getattr(mpmath, name)(mpmath.matrix(array.tolist())).tolist(), dtype=float)
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-13 * np.abs(exact).max())


def test_a_stack_of_matrices_of_very_different_sizes():
    stack = np.stack([np.eye(2) * size for size in (0.0, 1e-300, 1.0, 300.0)])
    x = sb.symbol("x", stack.shape)
    found, gradient = sb.compile([x], [y := sb.linalg.expm(x), sb.grad(sb.sum(y), x)])(stack)
    expected = np.exp(stack) * np.eye(2)
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    np.testing.assert_allclose(gradient, np.exp(stack[:, :1, :1]) * np.ones((2, 2)), rtol=1e-13)


def test_the_derivative_of_a_function_of_a_matrix_does_not_feel_the_size_of_the_cotangent():
    x, g = sb.symbols("x[3,3] g[3,3]")
    pulled = sb.compile([x, g], sb.vjp(sb.linalg.expm(x), x, g))
    cotangent = np.random.default_rng(2).normal(size=(3, 3))
    plain = pulled(A33, cotangent)
    for scale in (1e-200, 1e200):
        np.testing.assert_allclose(pulled(A33, scale * cotangent), scale * plain, rtol=1e-13)
    np.testing.assert_array_equal(pulled(A33, 0 * cotangent), np.zeros((3, 3)))


@pytest.mark.parametrize("rows", [1, 3])
def test_toeplitz_matrices_are_those_of_scipy(rows):
    c, r = np.arange(1.0, rows + 1), np.arange(10.0, 14.0)
    column, row = sb.symbol("c", rows), sb.symbol("r", 4)
    found = sb.evaluate(sb.linalg.toeplitz(column, row), {column: c, row: r})
    np.testing.assert_array_equal(found, scipy.linalg.toeplitz(c, r))
    np.testing.assert_array_equal(sb.evaluate(sb.linalg.toeplitz(row), {row: r}), scipy.linalg.toeplitz(r))
    with pytest.raises(ShapeError, match="toeplitz: needs two vectors"):
        sb.linalg.toeplitz(column[0], row)


def test_the_exponent_of_a_power_is_a_whole_number():
    x = sb.symbol("x", (3, 3))
    for wrong in (0.5, x, None):
        with pytest.raises(TypeError, match=r"matrix_power: the exponent is an int, not .*: x\[3, 3\]"):
            sb.linalg.matrix_power(x, wrong)
    for call in (lambda y: sb.linalg.matrix_power(y, 2), sb.linalg.expm, sb.linalg.eigh):
        with pytest.raises(ShapeError, match="needs a square matrix"):
            call(x[:2])


def test_a_large_power_has_few_nodes_in_its_derivative():
    x = sb.symbol("x", (3, 3))
    for n in (1000, -1000):
        gradient = sb.grad(sb.sum(sb.linalg.matrix_power(x, n)), x)
        assert len(gradient.graph.reachable([gradient.number])) < 200
        at = A33 / 3.1 if n > 0 else A33 * 1.1
        direction = np.random.default_rng(0).normal(size=(3, 3))
        ends = [np.linalg.matrix_power(at + step * direction, n).sum() for step in (1e-7, -1e-7)]
        found = np.sum(sb.compile([x], gradient)(at) * direction)
        np.testing.assert_allclose(found, (ends[0] - ends[1]) / 2e-7, rtol=1e-5)


def test_eigenvectors_of_equal_eigenvalues_have_finite_derivatives():
    """They have none, and by convention only what turns them towards the others counts."""
    x = sb.symbol("x", (3, 3))
    values, vectors = sb.linalg.eigh(x)
    f = sb.compile([x], [sb.grad(sb.sum(vectors), x), sb.grad(sb.sum(values**2), x)])
    by_vectors, by_values = f(np.diag([2.0, 2.0, 5.0]))
    assert np.isfinite(by_vectors).all()
    np.testing.assert_allclose(by_values, np.diag([4.0, 4.0, 10.0]), atol=1e-14)  # that of tr(XX) is 2X


# --- identities -----------------------------------------------------------------------------------------------

SHAPES = [(3, 3), (4, 2), (1, 1), (0, 0), (3, 0), (2, 4, 3)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def turned(x):
    return sb.linalg.matrix_transpose(x)


def holds(left, right, values, rtol=1e-12):
    """Two expressions have one value, and gradients of a projection of them too, where they depend on the symbols."""
    weights = sb.constant(np.random.default_rng(4).uniform(0.5, 1.5, left.shape))
    symbols = list(values)
    given = [left, right, *(sb.grad(sb.sum(weights * side), symbols, unused="zeros") for side in (left, right))]
    one, other, slopes, others = sb.compile(symbols, given)(*values.values())
    np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol)
    for slope, wanted in zip(slopes, others, strict=True):
        np.testing.assert_allclose(slope, wanted, rtol=1e-8, atol=1e-9)


def drawn(shape):
    a = sb.symbol("a", shape)
    return a, {a: np.random.default_rng(3).normal(size=shape)}


@each_shape
def test_factors_multiply_to_the_matrix(shape):
    """A = QR = U diag(S) Vh with orthonormal columns, and both sides have one derivative."""
    a, values = drawn(shape)
    q, r = sb.linalg.qr(a)
    u, s, vh = sb.linalg.svd(a, full_matrices=False)
    one = sb.constant(np.broadcast_to(np.eye(shape[-1]), (*shape[:-2], shape[-1], shape[-1])))
    holds(q @ r, a, values)
    holds(turned(q) @ q, one, values)
    holds(u * s[..., None, :] @ vh, a, values)
    holds(turned(u) @ u, one, values)
    holds(vh @ turned(vh), one, values)
    holds(turned(r) @ r, turned(a) @ a, values)


@pytest.mark.parametrize("shape", [(2, 4), (1, 3)], ids=str)
def test_factors_of_wide_matrices_multiply_to_the_matrix(shape):
    a, values = drawn(shape)
    q, r = sb.linalg.qr(a)
    u, s, vh = sb.linalg.svd(a, full_matrices=False)
    holds(q @ r, a, values)
    holds(u * s[None, :] @ vh, a, values)
    holds(vh @ vh.T, sb.constant(np.eye(shape[0])), values)
    holds(sb.tril(r, -1), 0 * r, values)


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (1, 1), (2, 4, 3)], ids=str)
def test_the_pseudo_inverse_has_the_four_properties_of_penrose(shape):
    a, values = drawn(shape)
    p = sb.linalg.pinv(a)
    holds(a @ p @ a, a, values)
    holds(p @ a @ p, p, values)
    holds(turned(a @ p), a @ p, values)
    holds(turned(p @ a), p @ a, values)


def test_the_pseudo_inverse_of_a_matrix_of_less_than_full_rank():
    """Of uvᵀ it is vuᵀ/(‖u‖²‖v‖²), so that the rank stays one whatever u and v are (Golub & Pereyra 1973)."""
    u, v = sb.symbols("u[4] v[3]")
    rng = np.random.default_rng(1)
    values = {u: rng.normal(size=4), v: rng.normal(size=3)}
    a = sb.outer(u, v)
    exact = sb.outer(v, u) / ((u @ u) * (v @ v))
    holds(sb.linalg.pinv(a), exact, values)
    b = rng.normal(size=4)
    holds(sb.linalg.lstsq(a, b).x, exact @ b, values)
    assert sb.evaluate(sb.linalg.lstsq(a, b).rank, values) == 1
    assert sb.evaluate(sb.linalg.matrix_rank(a), values) == 1


@pytest.mark.parametrize(("m", "n"), [(5, 3), (3, 3), (3, 5)])
def test_least_squares_solve_the_normal_equations(m, n):
    a, b = sb.symbol("a", (m, n)), sb.symbol("b", m)
    rng = np.random.default_rng(1)
    values = {a: rng.normal(size=(m, n)), b: rng.normal(size=m)}
    x = sb.linalg.lstsq(a, b).x
    holds(a.T @ (a @ x - b), 0 * x, values)
    exact = sb.linalg.solve(a.T @ a, a.T @ b) if m >= n else a.T @ sb.linalg.solve(a @ a.T, b)
    holds(x, exact, values, rtol=1e-10)


def test_singular_values_are_roots_of_eigenvalues_and_norms_are_theirs():
    """σ² are the eigenvalues of AᵀA; the norms 2, nuclear and Frobenius are their maximum, sum and root of squares."""
    a, values = drawn((4, 3))
    s = sb.linalg.svdvals(a)
    holds(s**2, sb.linalg.eigvalsh(a.T @ a)[::-1], values)
    holds(sb.linalg.norm(a, 2), s[0], values)
    holds(sb.linalg.norm(a, "nuc"), sb.sum(s), values)
    holds(sb.linalg.norm(a, "fro"), sb.sqrt(sb.sum(s**2)), values)
    holds(sb.linalg.cond(a), s[0] / s[-1], values)
    square = a[:3]
    holds(sb.log(sb.linalg.svdvals(square)).sum(), sb.linalg.slogdet(square).logabsdet, values)
    holds(sb.log(sb.abs(sb.diag(sb.linalg.qr(square).R))).sum(), sb.linalg.slogdet(square).logabsdet, values)


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("sb.sum(sb.linalg.svdvals(a))", lambda a: np.linalg.svd(a, False)[0] @ np.linalg.svd(a, False)[2]),
        ("sb.linalg.norm(a, 2)", lambda a: np.outer(np.linalg.svd(a)[0][:, 0], np.linalg.svd(a)[2][0])),
        ("sb.sum(sb.linalg.svdvals(a)**2)", lambda a: 2 * a),
        ("sb.trace(sb.linalg.pinv(a) @ a)", lambda a: 0 * a),
        ("sb.log(sb.linalg.det(a.T @ a))", lambda a: 2 * np.linalg.pinv(a).T),
        ("2*sb.sum(sb.log(sb.abs(sb.diag(sb.linalg.qr(a, 'r')))))", lambda a: 2 * np.linalg.pinv(a).T),
        ("sb.sum(sb.linalg.qr(a, 'r')**2)", lambda a: 2 * a),
    ],
)
def test_derivatives_are_those_of_the_books(text, formula):
    """Of the nuclear and the spectral norm (Watson 1992); of log det(AᵀA) (Matrix Cookbook, eq. 54); of ‖A‖² = ‖R‖²."""
    a, values = drawn((4, 3))
    gradient = sb.grad(eval(text, {"sb": sb, "a": a}), a)  # noqa: S307  (the texts stand above)
    np.testing.assert_allclose(sb.compile([a], gradient)(values[a]), formula(values[a]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("array", [np.zeros((3, 2)), np.eye(3), np.ones((3, 3)), np.diag([2.0, 2.0, 0.0])], ids=str)
def test_equal_and_zero_singular_values_give_finite_derivatives_of_both_orders(array):
    """Where vectors have no derivative only what turns them towards the others counts; σ = 0 has the derivative 0."""
    a = sb.symbol("a", array.shape)
    u, s, vh = sb.linalg.svd(a, full_matrices=False)
    for z in (sb.sum(s), sb.linalg.norm(a, 2), sb.linalg.norm(a, "nuc"), sb.sum(u) + sb.sum(vh)):
        first = sb.grad(z, a)
        second = sb.grad(sb.sum(first * sb.constant(np.arange(array.size).reshape(array.shape) / 7)), a, unused="zeros")
        for each in sb.compile([a], [first, second])(array):
            assert np.isfinite(each).all()
    for ord in ("fro", "nuc", 2, 1, np.inf):
        zero = sb.compile([a], sb.grad(sb.linalg.norm(a, ord), a))(0 * array)
        np.testing.assert_array_equal(zero, 0 * array)


@pytest.mark.parametrize("ord", [0, 1, 1.5, 2, 3, np.inf])
def test_norms_of_nothing_but_zeros_have_the_derivative_zero(ord):
    x = sb.symbol("x", (2, 3))
    array = np.array([[0.0, 0.0, 0.0], [1.0, -2.0, 3.0]])
    value = sb.linalg.norm(x, ord, axis=1)
    gradient = sb.grad(sb.sum(value), x, unused="zeros") if ord else 0 * x
    found, slope = sb.compile([x], [value, gradient])(array)
    np.testing.assert_allclose(found, np.linalg.norm(array, ord, axis=1))
    np.testing.assert_array_equal(slope[0], np.zeros(3))
    second = sb.evaluate(sb.hvp(sb.sum(sb.linalg.norm(x, 3, axis=1)), x, np.ones((2, 3))), {x: array})
    np.testing.assert_array_equal(second[0], np.zeros(3))


def test_named_sizes_are_taken_for_those_of_tall_matrices():
    X = sb.symbol("X", ("N", "D"))
    q, r = sb.linalg.qr(X)
    function = sb.compile([X], [q, r, sb.linalg.svdvals(X)])
    array = np.random.default_rng(0).normal(size=(4, 2))
    np.testing.assert_allclose(np.matmul(*function(array)[:2]), array)
    with pytest.raises(ValueError, match="taken to have no more columns than rows"):
        function(array.T)


# --- rewriting ------------------------------------------------------------------------------------------------


def ops_of(expr: sb.Expr) -> set[str]:
    return {expr.graph.nodes[number].op.name for number in expr.graph.reachable([expr.number])}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sb.linalg.inv(sb.linalg.inv(A))", "A"),
        ("sb.trace(C @ D) - sb.trace((C @ D).T)", "0"),
        ("sb.linalg.det(A.T)", "det(A)"),
        ("sb.linalg.det(sb.linalg.inv(A))", "1/det(A)"),
        ("sb.linalg.slogdet(sb.linalg.inv(A))[1]", "−log|det(A)|"),
        ("sb.log(sb.abs(sb.linalg.det(A)))", "log|det(A)|"),
        ("sb.eye('N') @ A @ (s * sb.eye('N'))", "sA"),
        ("sb.diag(sb.diag(a))", "a"),
        ("sb.log(sb.linalg.det(A))", "log(det(A))"),
        ("sb.linalg.inv(A) @ A @ x", "x"),
        ("A @ sb.linalg.inv(B @ A)", "B⁻¹"),
        ("sb.linalg.inv(B.T @ A).T @ A.T", "B⁻¹"),
        ("C.T @ sb.linalg.inv(C @ C.T) @ C @ C.T", "Cᵀ"),
        ("A @ D + B @ D", "(A + B)D"),
        ("C @ A - C @ B", "C(A − B)"),
        ("2 * (A @ B @ D) + A @ (B @ D)", "3ABD"),
        ("A @ x + s * (A @ x)", "(1 + s)Ax"),
        ("sb.outer(x, a) + sb.outer(x, b)", "x(a + b)ᵀ"),
        ("A.T @ B.T + B.T @ A.T", "(BA + AB)ᵀ"),
        ("sb.sum(a * b)", "aᵀb"),
        ("sb.sum(C**2)", "‖C‖²"),
        ("(A @ x) @ (A @ x)", "‖Ax‖²"),
        ("sb.sum(A * sb.eye('N'))", "tr(A)"),
        ("sb.sum(A.T * B)", "tr(AB)"),
        ("sb.sum(sb.outer(a, b) * A)", "aᵀAb"),
        ("sb.trace(A @ sb.outer(a, b))", "bᵀAa"),
        ("sb.diag(a) @ x", "a ⊙ x"),
        ("sb.kron(A, C) @ sb.kron(B, D)", "AB ⊗ CD"),
        ("sb.linalg.inv(sb.kron(A, B))", "A⁻¹ ⊗ B⁻¹"),
        ("sb.kron(A.T, D).T", "A ⊗ Dᵀ"),
        ("sb.trace(sb.kron(A, B))", "tr(A)·tr(B)"),
        ("sb.linalg.det(A) * sb.linalg.det(B)", "det(AB)"),
        ("sb.linalg.det(s * A)", "s^N·det(A)"),
        ("(C.T - D).T", "C − Dᵀ"),
        ("(sb.exp(C.T) * C.T).T", "exp(C) ⊙ C"),
        ("sb.linalg.matrix_power(sb.linalg.inv(A).T, 5) @ A.T", "matrix_power(A, −4)ᵀ"),
        ("sb.linalg.matrix_power(A, 2) @ sb.linalg.matrix_power(A, 3) @ B", "matrix_power(A, 5)·B"),
        ("sb.linalg.matrix_power(A, 3)", "AAA"),
        ("sb.linalg.inv(sb.linalg.matrix_power(A, 0) + B)", "(I + B)⁻¹"),
        ("sb.linalg.det(sb.linalg.matrix_power(A, 5))", "det(A)⁵"),
        ("sb.linalg.expm(A.T).T", "expm(A)"),
        ("sb.hvp(sb.trace(sb.linalg.expm(A)), A, B)", "expm_frechet(A, B)ᵀ"),
        ("sb.sum(sb.linalg.eigvalsh(A))", "tr(A)"),
        ("sb.linalg.eigh(A)[1] @ sb.linalg.eigh(A)[1].T @ x", "x"),
    ],
)
def test_simplified(text, expected):
    assert str(sb.simplify(expr_of(text))) == expected


def test_compiled_code_solves_and_does_not_invert():
    for text in ("sb.linalg.inv(A) @ x", "sb.linalg.inv(A).T @ D", "x @ sb.linalg.inv(A)", "C @ sb.linalg.inv(A)"):
        (after,) = run([expr_of(text)])
        assert "solve" in ops_of(after)
        assert "inv" not in ops_of(after)
    for text in (
        "sb.trace(C @ D)",
        "sb.diag(C @ D)",
        "sb.diag(a) @ D",
        "C @ sb.diag(a)",
        "C @ sb.broadcast_to(s, A.shape)",
    ):
        (after,) = run([expr_of(text)])
        assert not {"matmul", "trace", "diag"} & ops_of(after)


@pytest.mark.parametrize(
    "text",
    [
        "sb.linalg.inv(A) * (sb.linalg.inv(A) @ x)",
        "sb.linalg.inv(A) * (sb.linalg.solve(A, x) + sb.linalg.inv(A).T @ a)",
        "sb.exp(sb.linalg.inv(A).T) + sb.linalg.solve(A.T, B)",
        "sb.linalg.inv(A) @ sb.linalg.inv(A)",
        "sb.grad(sb.linalg.slogdet(A)[1] + x @ sb.linalg.solve(A, x), A)",
    ],
)
def test_compiled_code_factors_a_matrix_once_where_its_inverse_is_needed(text):
    expr = expr_of(text)
    (after,) = run([expr])
    ops = [after.graph.nodes[number].op.name for number in after.graph.reachable([after.number])]
    assert ops.count("inv") == 1
    assert "solve" not in ops
    rng = np.random.default_rng(0)
    inputs = sb.symbols("A[N,N] B[N,N] a[N] x[N] s")
    values = [rng.normal(size=(4,) * symbol.ndim) for symbol in inputs]
    truth = sb.evaluate(expr, dict(zip(inputs, values, strict=True)))
    np.testing.assert_allclose(sb.compile(inputs, expr)(*values), truth, rtol=1e-9)


def test_the_trace_of_an_oblong_product():
    a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    A, B = sb.symbol("A", (2, 3)), sb.symbol("B", (3, 4))
    for function in (sb.trace, sb.diag):
        found = sb.compile([A, B], function(A @ B))(a, b)
        np.testing.assert_array_equal(found, np.trace(a @ b) if function is sb.trace else np.diag(a @ b))


def test_the_logarithm_of_a_determinant_that_overflows():
    x = sb.symbol("x", (400, 400))
    array = np.eye(400) * 1e3
    y = sb.linalg.slogdet(x).logabsdet
    value, gradient = sb.compile([x], [y, sb.grad(y, x)])(array)
    np.testing.assert_allclose(value, 400 * np.log(1e3))
    np.testing.assert_allclose(gradient, np.eye(400) * 1e-3)
    compiled = sb.compile([x], sb.log(sb.abs(sb.linalg.det(x))))
    np.testing.assert_allclose(compiled(array), 400 * np.log(1e3))


def test_the_logarithm_of_a_determinant_as_people_write_it():
    """log(det(X)): right where the determinant overflows, NaN where it is negative, minus infinity where it is 0."""
    x = sb.symbol("x", (400, 400))
    y = sb.log(sb.linalg.det(x))
    value, gradient = sb.compile([x], [y, sb.grad(y, x)])(np.eye(400) * 1e3)
    np.testing.assert_allclose(value, 400 * np.log(1e3))
    np.testing.assert_allclose(gradient, np.eye(400) * 1e-3)
    small = sb.symbol("x", (2, 2))
    f = sb.compile([small], sb.log(sb.linalg.det(small)))
    assert np.isnan(f(np.diag([1.0, -1.0])))
    assert f(np.zeros((2, 2))) == -np.inf
    single = sb.symbol("x", (2, 2), "float32")
    assert sb.compile([single], sb.log(sb.linalg.det(single)))(np.eye(2, dtype="float32")).dtype == np.float32


def cofactors_of(a: np.ndarray) -> np.ndarray:
    """The definition: determinants without a row and a column."""
    minors = [np.delete(np.delete(a, i, axis=0), j, axis=1) for i, j in np.ndindex(a.shape)]
    signs = [(-1.0) ** (i + j) for i, j in np.ndindex(a.shape)]
    return np.reshape([sign * np.linalg.det(minor) for sign, minor in zip(signs, minors, strict=True)], a.shape)


@pytest.mark.parametrize("rank", [5, 4, 3, 2, 0])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_determinant_has_its_first_and_second_derivative_at_any_matrix(rank, dtype):
    rng = np.random.default_rng(rank)
    a = (rng.normal(size=(5, rank)) @ rng.normal(size=(rank, 5))).astype(dtype)
    along = rng.normal(size=(5, 5)).astype(dtype)
    X, V = sb.symbols("X[N,N] V[N,N]", dtype)
    value = sb.linalg.det(X)
    outputs = [sb.grad(value, X), sb.hvp(value, X, V)]
    exact, direction = a.astype(float), along.astype(float)
    slope = (cofactors_of(exact + 1e-4 * direction) - cofactors_of(exact - 1e-4 * direction)) / 2e-4
    for found in (sb.compile([X, V], outputs)(a, along), [sb.evaluate(each, {X: a, V: along}) for each in outputs]):
        digits = 1e-9 if dtype == "float64" else 2e-4
        np.testing.assert_allclose(found[0], cofactors_of(exact), rtol=digits, atol=digits)
        np.testing.assert_allclose(found[1], slope, rtol=max(digits, 1e-6), atol=max(digits, 1e-6))
        assert found[0].dtype == found[1].dtype == dtype


def test_the_derivative_of_a_determinant_at_a_matrix_that_is_singular_but_for_rounding():
    """The pivot that is 0 but for rounding cancels: determinant and inverse have it from one elimination."""
    a = np.arange(9.0).reshape(3, 3)
    X = sb.symbol("X", ("N", "N"))
    gradient = sb.grad(sb.linalg.det(X), X)
    np.testing.assert_allclose(sb.compile([X], gradient)(a), [[-3, 6, -3], [6, -12, 6], [-3, 6, -3]], rtol=1e-13)
    stack = np.stack([a, np.full((3, 3), np.nan), np.zeros((3, 3))])
    Y = sb.symbol("Y", (3, "N", "N"))
    with np.errstate(invalid="ignore"):
        found = sb.compile([Y], sb.grad(sb.sum(sb.linalg.det(Y)), Y))(stack)
    np.testing.assert_allclose(found[0], cofactors_of(a), rtol=1e-13)
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[2], 0)


# --- random expressions ---------------------------------------------------------------------------------------


def pick(rng: np.random.Generator, pool: list[sb.Expr]) -> sb.Expr:
    return pool[rng.integers(len(pool))]


STEPS = [  # of matrices M and N, R that has an inverse, vectors u and v, a scalar s
    lambda M, N, R, u, v, s: M @ N,
    lambda M, N, R, u, v, s: M.T,
    lambda M, N, R, u, v, s: M + N,
    lambda M, N, R, u, v, s: M - N,
    lambda M, N, R, u, v, s: -M,
    lambda M, N, R, u, v, s: s * M,
    lambda M, N, R, u, v, s: M * N,
    lambda M, N, R, u, v, s: sb.linalg.inv(R),
    lambda M, N, R, u, v, s: sb.linalg.solve(R, M),
    lambda M, N, R, u, v, s: sb.linalg.solve(R, u),
    lambda M, N, R, u, v, s: sb.outer(u, v),
    lambda M, N, R, u, v, s: sb.diag(u),
    lambda M, N, R, u, v, s: sb.diag(M),
    lambda M, N, R, u, v, s: M @ u,
    lambda M, N, R, u, v, s: u @ M,
    lambda M, N, R, u, v, s: u + v,
    lambda M, N, R, u, v, s: s * u - v,
    lambda M, N, R, u, v, s: u @ v,
    lambda M, N, R, u, v, s: sb.trace(M),
    lambda M, N, R, u, v, s: sb.linalg.norm(u),
    lambda M, N, R, u, v, s: sb.sum(M * N),
    lambda M, N, R, u, v, s: sb.sum(u * v),
    lambda M, N, R, u, v, s: sb.sum(u**2),
    lambda M, N, R, u, v, s: sb.linalg.slogdet(R).logabsdet,
]


def random_expressions(rng: np.random.Generator) -> tuple[list[sb.Expr], list[sb.Expr]]:
    """Symbols, some with facts, and a matrix, a vector, a scalar and gradients made of them."""
    A, B, S, P, Q, C, x, y, t, p = sb.symbols("A[3,3] B[3,3] S[3,3] P[3,3] Q[3,3] C[3,2] x[3] y[3] t p")
    for symbol, fact in [(S, "symmetric"), (P, "positive_definite"), (Q, "orthogonal"), (p, "positive")]:
        sb.assume(symbol, **{fact: True})
    matrices, vectors, scalars = [A, B, S, P, Q, sb.eye(3), C @ C.T], [x, y], [t, p, 1 / p, sb.constant(-1.5)]
    regular = [A, B, P, Q, A @ B, P @ A, B.T @ P @ B]
    for _ in range(rng.integers(4, 14)):
        operands = [pick(rng, pool) for pool in (matrices, matrices, regular, vectors, vectors, scalars)]
        made = STEPS[rng.integers(len(STEPS))](*operands)
        (scalars, vectors, matrices)[made.ndim].append(made)
    ends = [pick(rng, pool) for pool in (matrices, vectors, scalars)]
    z = sb.sum(pick(rng, matrices) * pick(rng, matrices)) + pick(rng, vectors) @ pick(rng, vectors) + ends[2]
    return [A, B, S, P, Q, C, x, y, t, p], [*ends, *sb.grad(z, [A, S, x, t], unused="zeros")]


@pytest.mark.parametrize("seed", range(25))
def test_random_expressions_keep_their_values_and_come_to_rest(seed):
    rng = np.random.default_rng(seed)
    with sb.Graph():
        symbols, outputs = random_expressions(rng)
        values = {}
        for symbol in symbols:
            drawn = rng.uniform(0.3, 1.2, symbol.shape)
            regular = symbol.ndim == 2 and symbol.shape[0] == symbol.shape[1] and symbol.name != "Q"
            values[symbol] = obeying(symbol, drawn + 3 * np.eye(3) if regular else drawn)
        compiled = sb.compile(symbols, outputs)(*values.values())
        for output, found in zip(outputs, compiled, strict=True):
            expected = sb.evaluate(output, values)
            scale = max(1.0, np.max(np.abs(expected)))
            simplified = sb.simplify(output)
            np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9 * scale)
            np.testing.assert_allclose(sb.evaluate(simplified, values), expected, rtol=1e-8, atol=1e-9 * scale)
            again = sb.simplify(simplified)
            assert sb.text(again, simplify=False) == sb.text(simplified, simplify=False)


# --- errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sb.linalg.inv(C)", r"inv: needs a square matrix: C\[M, N\]"),
        ("sb.linalg.det(x)", "det: needs a square matrix"),
        ("sb.linalg.solve(A, C)", "solve: the right side needs N rows"),
        ("sb.trace(x)", "trace: needs a matrix"),
        ("sb.trace(C, 1)", r"trace: which of M and N - 1 is smaller is not known; slice .*: C\[M, N\]"),
        ("sb.diag(A[None])", "diag: takes a vector or a matrix"),
        ("sb.trace(A, axis1=0, axis2=-2)", "trace: one axis was named twice"),
        ("sb.cross(A, A)", "cross: needs vectors of three components"),
        ("sb.linalg.cross(x[:2], x[:2])", "cross: needs vectors of three components"),
        ("sb.linalg.outer(A, x)", "outer: takes vectors"),
        ("sb.matvec(x, x)", "matvec: needs a matrix and a vector"),
        ("sb.polyval(A, x)", "polyval: the coefficients are a vector"),
        ("sb.vander(A)", "vander: takes a vector"),
        ("sb.einsum('ij,jk->ik', C, C)", "einsum: label j has size N, and M in operand 1"),
        ("sb.einsum('ij->i', x)", "einsum: operand 0 has 1 axes and the labels 'ij'"),
        ("sb.einsum('ij->k', A)", "einsum: k is in the result and in no operand"),
        ("sb.einsum('ii,i', A[:1], x)", "einsum: one operand has axes of size 1 and of another"),
        ("sb.einsum('ij->ii', A)", "einsum: a label stands twice in the result"),
        ("sb.einsum('i1', A)", "einsum: '1' is no label"),
        ("sb.einsum('ij', A, A)", "einsum: 1 operands are subscripted and 2 given"),
        ("sb.einsum('...j->j', A)", "einsum: the result has no ..."),
        ("sb.einsum('ij...->...', x)", "einsum: an operand has fewer axes than labels"),
        ("sb.tensordot(A, A, axes=([0, 1], [0]))", "tensordot: 2 axes of"),
        ("sb.linalg.qr(C, mode='complete')", "qr: columns beyond those of the matrix have no derivative"),
        ("sb.linalg.svd(C)", "svd: vectors beyond the singular values have no derivative: take full_matrices=False"),
        ("sb.linalg.qr(x)", "qr_q: needs a matrix with no more columns than rows"),
        ("sb.linalg.pinv(x)", "pinv: needs a matrix"),
        ("sb.linalg.lstsq(A, C)", "lstsq: the right side needs as many rows as the matrix"),
        ("sb.linalg.solve_triangular(A, C)", "solve_triangular: the right side needs N rows"),
        ("sb.linalg.tensorinv(C)", "tensorinv: "),
        ("sb.linalg.multi_dot([A, x, A])", "multi_dot: takes matrices, and vectors at the ends"),
        ("sb.linalg.cond(np.zeros((0, 0)))", "cond: no elements have no condition number"),
        ("sb.linalg.norm(A[None], 1)", "norm: needs a vector or a matrix, not 3 axes"),
    ],
)
def test_what_does_not_fit_is_an_error(text, message):
    with pytest.raises(ShapeError, match=message):
        expr_of(text)


def test_other_errors():
    A, x = sb.symbols("A[N,N] x[N]")
    with pytest.raises(ValueError, match="norm: ord=3 is not among 'fro', 'nuc', 1, -1, 2, -2, inf and -inf"):
        sb.linalg.norm(A, 3)
    with pytest.raises(ValueError, match="norm: ord='fro' is for matrices"):
        sb.linalg.norm(x, "fro")
    for call, message in [
        (lambda: sb.linalg.qr(A, mode="raw"), "qr: mode is 'reduced', 'complete' or 'r', not 'raw'"),
        (lambda: sb.linalg.eigh(A, "X"), "eigh: UPLO is 'L' or 'U', not 'X'"),
        (lambda: sb.linalg.solve_triangular(A, x, 2), "solve_triangular: trans is 0, 1, 'N' or 'T', not 2"),
        (lambda: sb.linalg.matrix_rank(A, 1.0, rtol=1.0), "matrix_rank: give tol or rtol, not both"),
        (lambda: sb.linalg.tensorinv(A, 0), "tensorinv: ind is how many axes are the rows, not 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="the subscripts come first"):
        np.einsum(A, A)
    with pytest.raises(TypeError, match=r"np\.linalg\.eig has no symbolic form"):
        np.linalg.eig(A)
    with pytest.raises(DtypeError, match="float16 has no linear algebra"):
        sb.linalg.inv(sb.symbol("H", ("N", "N"), "float16"))


@pytest.mark.parametrize(("name", "shapes"), [("vecmat", ((2, 3), (2, 1, 3))), ("matvec", ((2, 3, 1), (2, 3)))])
def test_vectors_do_not_broadcast_to_the_size_of_a_matrix(name, shapes):
    x, y = (sb.symbol(each, shape) for each, shape in zip("xy", shapes, strict=True))
    with pytest.raises(sb.errors.ShapeError, match="the sizes 1 and 3 differ"):
        getattr(sb, name)(x, y)


@pytest.mark.parametrize(
    "turned", [sb.linalg.matrix_transpose, lambda S: S.transpose(0, 2, 1), lambda S: np.swapaxes(S, 1, 2)]
)
def test_a_stack_of_transposes_is_one_however_it_is_written(turned):
    S = sb.symbol("S", ("B", "N", "N"))
    assert str(sb.simplify(sb.linalg.det(turned(S)) + sb.linalg.det(S))) == "2 det(S)"


@pytest.mark.parametrize(
    ("build", "gradient"),
    [(lambda X: X.T @ X, "2.0 * (X @ cofactors(t1))"), (lambda X: X.T, "cofactors(X)")],
    ids=["symmetric", "transpose"],
)
def test_cofactors_of_symmetric_matrices_and_of_transposes_are_computed_once(build, gradient):
    X = sb.symbol("X", ("N", "N"))
    value = sb.linalg.det(build(X))
    assert f"dX = {gradient}\n" in sb.compile([X], [value, sb.grad(value, X)]).source

"""Where Jacobians and Hessians may differ from zero: told by the expression, and true of the values."""

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse

import symbackprop as sb
from symbackprop import dims
from symbackprop.errors import ArgumentError, ShapeError
from tests.test_tensor import CHAINS, PROBLEMS, SIZES, Walk, arrays_for, residuals_with_boundaries, rosenbrock

X, U, V, T = sb.symbols("X[N,D] U[M,K] V[N,K] T[M,N]")
x = sb.symbol("x", "N")
TOLD = [
    (sb.hessian(sb.sum(x**3), x), "[N, N]: aa", 5),
    (sb.hessian(rosenbrock()[1], x), "[N, N]: aa + aa[:N - 1, 1:] + aa[1:, :N - 1]", 13),
    (sb.jacobian(x[1:] - x[:-1], x), "[N - 1, N]: aa[:, 1:] + aa[:, :N - 1]", 8),
    (sb.jacobian(x[::-1], x), "[N, N]: aa[::-1]", 5),
    (sb.jacobian(x[2:4] ** 2, x), "[2, N]: aa[:, 2:4]", 2),
    (sb.jacobian(sb.sum(X**2, axis=1), X), "[N, N, D]: aab", 15),
    (sb.hessian(sb.sum((T - U @ V.T) ** 2), U), "[M, K, M, K]: abac", 16),
    (sb.jacobian(sb.sin(x) * sb.sum(x), x), "[N, N]: ab + aa", 25),
    (sb.hessian(sb.logsumexp(x), x), "[N, N]: ab + aa", 25),
    (sb.jacobian(x * 0, x), "[N, N]: zero", 0),
    (sb.grad(sb.sum(x**2), x), "[N]: a", 5),
    (sb.sum(x), "(): all", 1),
]


@pytest.mark.parametrize(("expr", "text", "count"), TOLD, ids=[text for _, text, _ in TOLD])
def test_patterns_are_told_for_all_sizes(expr, text, count):
    found = sb.sparsity(expr)
    assert str(found) == text
    sizes = {name: SIZES[name] for name in dims.names_of(expr.shape)}
    assert found.nnz(sizes) == count
    assert found.density(sizes) == count / np.prod(dims.bind(expr.shape, sizes))


def check(expr, inputs, arrays, sizes):
    """Compare with the elements that are computed: none is outside, and structured parts fill the pattern."""
    dense = sb.evaluate(expr, dict(zip(inputs, arrays, strict=True)))
    found = sb.sparsity(expr, sizes)
    rows = expr.ndim  # no reshape can be in the way of these
    matrix = found.matrix(rows=rows)
    assert isinstance(matrix, scipy.sparse.csr_array)
    assert matrix.dtype == bool
    assert matrix.shape == (dense.size, 1)
    assert not dense[~matrix.toarray().reshape(dense.shape)].any()
    assert found.nnz() == matrix.nnz <= dense.size
    kept = sb.compile(inputs, expr, structured=True)(*arrays)
    if isinstance(kept, sb.Structured) and str(found).count("zero") == 0:
        np.testing.assert_array_equal(kept.sparse(rows).astype(bool).toarray() | matrix.toarray(), matrix.toarray())
    return found


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("problem", [*PROBLEMS, *CHAINS], ids=lambda problem: problem.__name__)
def test_what_is_outside_of_the_pattern_of_a_hessian_is_zero(problem):
    inputs, f, x = problem()
    hessian = sb.hessian(f, x)
    check(hessian, inputs, arrays_for(inputs), {name: SIZES[name] for name in dims.names_of(hessian.shape)})


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("seed", range(200, 320))
def test_what_is_outside_of_the_pattern_is_zero(seed):
    with sb.Graph():
        walk = Walk(seed)
        x = walk.start()
        for _ in range(int(walk.rng.integers(1, 6))):
            x = walk.step(x)
        check(x, walk.inputs, [walk.rng.normal(size=each.shape) for each in walk.inputs], {})


def test_a_solver_takes_the_pattern_and_the_sparse_jacobian():
    u, f = sb.symbols("u[9] f[9]")
    inside = u[2:] - 2 * u[1:-1] + u[:-2] - u[1:-1] ** 3
    residuals = sb.concatenate([u[:1] - 1, inside, u[-1:] + 1]) - f
    jacobian = sb.jacobian(residuals, u)
    pattern = sb.sparsity(jacobian)
    assert pattern.nnz() == 7 * 3 + 2
    value = sb.compile([u, f], residuals)
    parts = sb.compile([u, f], jacobian, structured=True)
    start, data = np.zeros(9), np.zeros(9)
    given = {"args": (data,), "xtol": 1e-12, "ftol": 1e-12, "gtol": 1e-12}
    one = scipy.optimize.least_squares(value, start, jac_sparsity=pattern.matrix(), **given)
    other = scipy.optimize.least_squares(
        value, start, jac=lambda *at: scipy.sparse.csr_matrix(parts(*at).sparse()), **given
    )
    np.testing.assert_allclose(one.x, other.x, atol=1e-6)
    np.testing.assert_allclose(value(other.x, data), 0, atol=1e-8)


def test_a_long_chain_costs_what_is_not_zero():
    _, f, x = rosenbrock()
    found = sb.sparsity(sb.hessian(f, x), {"N": 100_000})
    assert found.nnz() == 299_998
    assert found.matrix().shape == (100_000, 100_000)
    assert found.density() == 299_998 / 1e10


def test_sizes_that_are_missing_or_wrong_are_said_so():
    inputs, f, u = residuals_with_boundaries()
    found = sb.sparsity(sb.hessian(f, u))
    with pytest.raises(ShapeError, match=r"tell the size N, as in sizes=\{'N': 100\}"):
        found.matrix()
    with pytest.raises(ShapeError, match=r"\[N, N\] has no size 'n'"):
        found.nnz({"n": 3})
    with pytest.raises(ShapeError, match="N - 1 is negative"):
        sb.sparsity(sb.jacobian(x[1:], x)).nnz({"N": 0})
    with pytest.raises(ArgumentError, match="takes an expression, not ndarray"):
        sb.sparsity(np.ones(3))
    assert repr(sb.sparsity(sb.hessian(sb.sum(x**3), x))) == "<Sparsity [N, N]: aa>"
    assert inputs[0] is u

"""Results that are kept as their parts: the same numbers as the dense array, and far fewer of them."""

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse

import symbackprop as sb
from symbackprop import dims
from symbackprop.errors import ShapeError
from tests.test_tensor import CHAINS, PROBLEMS, SIZES, STRUCTURED, Walk, arrays_for, rosenbrock


def both(problem):
    inputs, f, x = problem()
    hessian = sb.hessian(f, x)
    arrays = arrays_for(inputs)
    kept = sb.compile(inputs, hessian, structured=True)(*arrays)
    return kept, sb.compile(inputs, hessian)(*arrays), dims.bind(x.shape, SIZES)


def check_parts(kept, dense, columns):
    """Compare what is computed from parts with the same of the dense array, whose last axes are the columns."""
    scale = 1e-10 * np.abs(dense).max(initial=1)
    assert kept.shape == dense.shape
    np.testing.assert_allclose(np.asarray(kept), dense, rtol=1e-12, atol=scale)
    rows = dense.ndim - columns
    vector = np.random.default_rng(1).normal(size=dense.shape[rows:])
    matrix = dense.reshape(math.prod(dense.shape[:rows]), vector.size)
    np.testing.assert_allclose(kept @ vector, (matrix @ vector.ravel()).reshape(dense.shape[:rows]), atol=scale * 10)
    np.testing.assert_allclose(kept.sparse(rows).toarray(), matrix, atol=scale)
    half = dense.ndim // 2
    if dense.shape[:half] == dense.shape[half:]:
        square = dense.reshape(math.prod(dense.shape[:half]), -1)
        np.testing.assert_allclose(kept.diagonal().ravel(), np.diag(square), atol=scale)
        np.testing.assert_allclose(kept.trace(), np.trace(square), atol=scale * 10)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the branch that is not chosen is computed
@pytest.mark.parametrize("problem", [*PROBLEMS, *CHAINS], ids=lambda problem: problem.__name__)
def test_the_parts_are_the_dense_hessian(problem):
    kept, dense, shape = both(problem)
    assert kept.dtype == dense.dtype
    if isinstance(kept, np.ndarray):
        np.testing.assert_allclose(kept, dense, rtol=1e-12, atol=1e-12)
        return
    check_parts(kept, dense, len(shape))
    assert isinstance(kept.sparse(), scipy.sparse.coo_array)


@pytest.mark.parametrize("seed", range(200))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_parts_of_what_linear_operations_make_of_identities_are_right(seed):
    with sb.Graph():
        walk = Walk(seed)
        x = walk.start()
        for _ in range(int(walk.rng.integers(1, 6))):
            x = walk.step(x)
        arrays = [walk.rng.normal(size=each.shape) for each in walk.inputs]
        dense = sb.evaluate(x, dict(zip(walk.inputs, arrays, strict=True)))
        kept = sb.compile(walk.inputs, x, structured=True)(*arrays)
    if isinstance(kept, sb.Structured):
        check_parts(kept, dense, int(walk.rng.choice([k for k in range(x.ndim + 1) if is_cut(kept, x.ndim - k)])))


def is_cut(kept, axes):
    """Tell whether the first axes can be rows: no reshape has put the last of them and the next together."""
    try:
        kept.sparse(axes)
    except ShapeError:
        return False
    return True


def test_what_has_structure_is_small():
    T, U, V = sb.symbols("T[M,N] U[M,K] V[N,K]")
    hessian = sb.hessian(sb.sum((T - U @ V.T) ** 2), U)
    arrays = [np.ones((100, 80)), np.ones((100, 5)), np.ones((80, 5))]
    kept = sb.compile([T, U, V], hessian, structured=True)(*arrays)
    assert kept.nbytes == 25 * 8
    assert repr(kept) == "<Structured (100, 5, 100, 5): bc->abac, 25 numbers for 250000>"
    assert kept.sparse().nnz == 100 * 25


def test_a_product_of_vectors_stays_one():
    x = sb.symbol("x", "N")
    kept = sb.compile([x], sb.hessian(sb.logsumexp(x), x), structured=True)(np.arange(50.0))
    assert kept.nbytes == 50 * 8
    assert repr(kept) == "<Structured (50, 50): a->aa - a,b->ab, 50 numbers for 2500>"
    diagonal, product = kept.parts
    assert diagonal.arrays[0] is product.arrays[0] is product.arrays[1]
    p = np.exp(np.arange(50.0) - 49)
    p /= p.sum()
    np.testing.assert_allclose(kept.dense(), np.diag(p) - np.outer(p, p), atol=1e-15)


@pytest.mark.parametrize("problem", STRUCTURED, ids=lambda problem: problem.__name__)
def test_a_matrix_in_another_shape_keeps_its_parts(problem):
    inputs, matrix, side = problem()
    arrays = arrays_for(inputs)
    kept = sb.compile(inputs, matrix, structured=True)(*arrays)
    dense = sb.compile(inputs, matrix)(*arrays)
    values = sb.compile(inputs, side)(*arrays)
    np.testing.assert_allclose(kept.dense(), dense, atol=1e-12)
    vector = values if values.ndim == 1 else values[:, 0]
    np.testing.assert_allclose(kept @ vector, dense @ vector, atol=1e-10)
    np.testing.assert_allclose(kept.diagonal(), np.diag(dense), atol=1e-12)


def test_a_jacobian_of_rows_is_sparse():
    X = sb.symbol("X", ("N", "D"))
    y = sb.sum(X**2, axis=1)
    kept = sb.compile([X], sb.jacobian(y, X), structured=True)(np.arange(12.0).reshape(4, 3))
    sparse = kept.sparse(rows=1)
    assert sparse.shape == (4, 12)
    assert sparse.nnz == 12
    np.testing.assert_allclose(sparse.toarray()[1, 3:6], [6, 8, 10])


def test_a_hessian_of_a_chain_is_a_few_vectors():
    inputs, f, x = rosenbrock()
    kept = sb.compile(inputs, sb.hessian(f, x), structured=True)(np.linspace(-1, 1, 1000))
    assert str(kept).startswith("<Structured (1000, 1000): a->aa[1:1000, 0:999] + a->aa[0:999, 1:1000] + a->aa, 1999 ")
    assert kept.nbytes < 3 * 8 * 1000
    sparse = kept.sparse()
    assert sparse.nnz == 1000 + 2 * 999
    expected = scipy.optimize.rosen_hess(np.linspace(-1, 1, 1000))
    np.testing.assert_allclose(sparse.toarray(), expected, atol=1e-10)
    vector = np.cos(np.arange(1000))
    np.testing.assert_allclose(kept @ vector, scipy.optimize.rosen_hess_prod(np.linspace(-1, 1, 1000), vector))


def test_outputs_with_and_without_structure_keep_their_places():
    x = sb.symbol("x", "N")
    f = sb.sum(x**3)
    outputs = {"value": f, "derivatives": [sb.grad(f, x), sb.hessian(f, x)]}
    found = sb.compile([x], outputs, structured=True)(np.array([1.0, 2.0]))
    assert found["value"] == 9
    gradient, hessian = found["derivatives"]
    np.testing.assert_allclose(gradient, [3, 12])
    np.testing.assert_allclose(hessian.dense(), [[6, 0], [0, 12]])


def test_parts_that_do_not_fit_are_said_so():
    x = sb.symbol("x", "N")
    kept = sb.compile([x], sb.hessian(sb.sum(x**3), x), structured=True)(np.ones(3))
    with pytest.raises(ShapeError, match=r"the last axes of \(3, 3\) are not \(4,\)"):
        kept @ np.ones(4)
    with pytest.raises(ValueError, match="without filling it in"):
        np.asarray(kept, copy=False)
    X = sb.symbol("X", (2, 3))
    jacobian = sb.compile([X], sb.jacobian(sb.sum(X**2, axis=1), X), structured=True)(np.ones((2, 3)))
    with pytest.raises(ShapeError, match="is not square"):
        jacobian.diagonal()


def test_a_function_of_parts_takes_other_sizes_at_each_call():
    x = sb.symbol("x", "N")
    function = sb.compile([x], sb.hessian(sb.sum(x**3), x), structured=True)
    for size in (3, 2, 2, 5):
        np.testing.assert_array_equal(function(np.ones(size)).dense(), 6 * np.eye(size))
    with pytest.raises(ShapeError, match="has 2 axes, not 1"):
        function(np.ones((2, 2)))


POSITIVE = {
    "diagonal": ("x[N]", lambda x, c: sb.sum(sb.exp(x) + c * x**2)),
    "multiple of the identity": ("x[N]", lambda x, c: sb.sum(x**2) * 3),
    "diagonal and ones": ("x[N]", lambda x, c: sb.sum(sb.exp(x)) + sb.sum(x) ** 2),
    "diagonal and one product": ("x[N]", lambda x, c: sb.sum(sb.exp(x)) + (c @ x) ** 4),
    "diagonal and two products": ("x[N]", lambda x, c: sb.sum(sb.exp(x)) + (c @ x) ** 2 + sb.exp(sb.sum(x) / 9)),
    "diagonal less a product": ("x[N]", lambda x, c: sb.sum(x**2) + sb.logsumexp(c * x)),
    "matrix": ("x[5]", lambda x, c: sb.sum(x**2) + sb.sum(sb.exp(sb.constant(DENSE) @ x))),
    "blocks of rows": ("x[3,N]", lambda x, c: sb.sum(sb.logsumexp(x, axis=1)) + sb.sum(x**2)),
    "blocks of columns": ("x[N,4]", lambda x, c: sb.sum(sb.logsumexp(x, axis=0)) + sb.sum(x**2)),
    "one block for all rows": ("x[3,N]", lambda x, c: sb.sum((x @ c) ** 2) + sb.sum(x**2)),
    "one block for all columns": ("x[N,3]", lambda x, c: sb.sum((c @ x) ** 2) + sb.sum(x**2)),
    "blocks in the middle": ("x[2,N,3]", lambda x, c: sb.sum(sb.sum(x, axis=1) ** 4) + sb.sum(sb.exp(x))),
    "blocks around": ("x[2,N,3]", lambda x, c: sb.sum(sb.sum(sb.sum(x, axis=0), axis=-1) ** 2) + sb.sum(sb.exp(x))),
    "blocks that a diagonal touches": ("x[N,N]", lambda x, c: sb.sum(x**2) + sb.sum(sb.exp(sb.diagonal(x)))),
    "chain": ("x[N]", lambda x, c: sb.sum(sb.cosh(x[1:] - x[:-1])) + sb.sum(x[2:] ** 2) + sb.sum(c * x**2)),
    "transposed": ("x[N,N]", lambda x, c: sb.sum(x**2) + sb.sum((x + x.T) ** 2)),
}
DENSE = np.random.default_rng(5).normal(size=(4, 5))


def hessian_of(name, *, dense=False):
    spec, function = POSITIVE[name]
    x, c = sb.symbols(f"{spec} c[N]")
    rng = np.random.default_rng(7)
    arrays = [rng.uniform(-0.5, 0.5, dims.bind(x.shape, {"N": 5})), np.linspace(0.5, 1.0, 5)]
    return sb.compile([x, c], sb.hessian(function(x, c), x), structured=not dense)(*arrays), arrays[0].shape


@pytest.mark.parametrize("name", POSITIVE)
def test_systems_are_solved_as_dense_ones(name):
    (kept, shape), (dense, _) = hessian_of(name), hessian_of(name, dense=True)
    right = np.random.default_rng(8).normal(size=shape)
    expected = np.linalg.solve(dense.reshape(right.size, right.size), right.ravel()).reshape(shape)
    if isinstance(kept, np.ndarray):
        assert name == "matrix"
        return
    np.testing.assert_allclose(kept.solve(right), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in POSITIVE if name not in {"matrix", "transposed", "chain"}])
def test_systems_are_solved_without_filling_them_in(name, monkeypatch):
    (kept, shape) = hessian_of(name)
    monkeypatch.delattr(type(kept), "dense")
    assert np.isfinite(kept.solve(np.ones(shape))).all()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: sb.sum(x**2) - 3 * x[0] ** 2,
        lambda x: sb.sum(x**2) - sb.sum(x) ** 2,
        lambda x: sb.sum(x**3),
        lambda x: sb.sum(x) ** 2,
        sb.logsumexp,
    ],
)
def test_what_is_not_positive_definite_is_not_solved(function):
    x = sb.symbol("x", 3)
    kept = sb.compile([x], sb.hessian(function(x), x), structured=True)(np.array([-0.5, 0.5, 1.0]))
    with pytest.raises(np.linalg.LinAlgError):
        kept.solve(np.ones(3))


def test_a_system_of_another_shape_is_refused():
    x = sb.symbol("x", (2, 3))
    kept = sb.compile([x], sb.hessian(sb.sum(x**4), x), structured=True)(np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"the first axes of \(2, 3, 2, 3\) are not \(6,\)"):
        kept.solve(np.ones(6))

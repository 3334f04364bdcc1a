"""Jacobians and Hessians in closed form: the same values as with identities written out, and no identity left."""

import numpy as np
import pytest

import symbackprop as sb
from symbackprop import dims
from symbackprop.errors import ShapeError
from symbackprop.ops import matmul
from symbackprop.rewrite.pipeline import run
from tests.round_trip import check_round_trip

SIZES = {"N": 5, "D": 3, "K": 2, "M": 4, "H": 6}


def arrays_for(inputs, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=dims.bind(each.shape, SIZES)) for each in inputs]


def quadratic():
    A, x = sb.symbols("A[N,N] x[N]")
    return [A, x], x @ A @ x, x


def least_squares():
    X, w, y = sb.symbols("X[N,D] w[D] y[N]")
    return [X, w, y], sb.sum((X @ w - y) ** 2), w


def logistic():
    X, w, y = sb.symbols("X[N,D] w[D] y[N]")
    p = sb.sigmoid(X @ w)
    return [X, w, y], -sb.mean(y * sb.log(p) + (1 - y) * sb.log(1 - p)), w


def poisson():
    X, w, y = sb.symbols("X[N,D] w[D] y[N]")
    return [X, w, y], sb.sum(sb.exp(X @ w) - y * (X @ w)), w


def softmax():
    X, W, Y = sb.symbols("X[N,D] W[D,K] Y[N,K]")
    return [X, W, Y], -sb.mean(sb.sum(Y * sb.log(sb.softmax(X @ W)), axis=-1)), W


def factors():
    T, U, V = sb.symbols("T[M,N] U[M,K] V[N,K]")
    return [T, U, V], sb.sum((T - U @ V.T) ** 2), U


def other_factors():
    inputs, f, _ = factors()
    return inputs, f, inputs[2]


def distances():
    X, T = sb.symbols("X[N,D] T[N,N]")
    squares = sb.sum((X[:, None, :] - X[None, :, :]) ** 2, axis=-1)
    return [X, T], sb.sum((squares - T) ** 2), X


def tanh_network():
    X, W, b, v, y = sb.symbols("X[N,D] W[D,H] b[H] v[H] y[N]")
    return [X, W, b, v, y], sb.mean((sb.tanh(X @ W + b) @ v - y) ** 2), W


def relu_network():
    X, W, V, U, y = sb.symbols("X[N,D] W[D,H] V[H,K] U[K] y[N]")
    return [X, W, V, U, y], sb.mean((sb.relu(sb.relu(X @ W) @ V) @ U - y) ** 2), W


def masked_logarithm():
    x, y = sb.symbols("x[N] y[N]")
    return [x, y], sb.sum(sb.where(x > 0, sb.log(x), 0) * y), x


PROBLEMS = [
    *(quadratic, least_squares, logistic, poisson, softmax, factors, other_factors),
    *(distances, tanh_network, relu_network, masked_logarithm),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the branch that is not chosen is computed
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.__name__)
def test_hessians_are_closed(problem):
    inputs, f, x = problem()
    hessian = sb.hessian(f, x)
    closed = sb.compile(inputs, hessian)
    assert "np.eye" not in closed.source
    arrays = arrays_for(inputs)
    plain = sb.compile(inputs, hessian, skip=["tensor"])(*arrays)
    np.testing.assert_allclose(closed(*arrays), plain, rtol=1e-12, atol=1e-12 * np.abs(plain).max())


def test_the_hessian_of_a_likelihood_is_made_of_products_with_one_matrix():
    S, y, t = sb.symbols("S[N,N] y[N] t[2]")
    K = sb.exp(t[0]) * S + sb.exp(t[1]) * sb.eye("N")
    f = sb.compile([S, y, t], sb.hessian(sb.sum(y * sb.linalg.solve(K, y)) + sb.linalg.slogdet(K)[1], t))
    calls = list(f.program.calls())
    assert max(len(call.shape) for call in calls) == 2  # no stack of the derivatives of K
    assert sum(call.op is matmul and len(call.shape) == 2 for call in calls) <= 2
    values = np.eye(5) + np.diag(np.full(4, 0.4), 1) + np.diag(np.full(4, 0.3), -1), np.arange(5.0), np.array([0.3, -1])

    def likelihood(t):
        K = np.exp(t[0]) * values[0] + np.exp(t[1]) * np.eye(5)
        return values[1] @ np.linalg.solve(K, values[1]) + np.linalg.slogdet(K)[1]

    h, steps = 1e-3, np.eye(2)
    differences = [
        [
            sum(i * j * likelihood(values[2] + h * (i * one + j * other)) for i in (1, -1) for j in (1, -1))
            / (4 * h**2)
            for one in steps
        ]
        for other in steps
    ]
    np.testing.assert_allclose(f(*values), differences, rtol=1e-4)


def test_what_is_put_among_zeros_says_so():
    T, U, V = sb.symbols("T[M,N] U[M,K] V[N,K]")
    f = sb.compile([T, U, V], sb.hessian(sb.sum((T - U @ V.T) ** 2), U))
    assert 'spread(2.0 * (V.T @ V), "abac->abc", (M, K, M, K))' in f.source


def test_a_product_with_a_hessian_never_fills_it_in():
    T, U, V, S = sb.symbols("T[M,N] U[M,K] V[N,K] S[M,K]")
    hessian = sb.hessian(sb.sum((T - U @ V.T) ** 2), U)
    f = sb.compile([T, U, V, S], sb.tensordot(hessian, S, 2))
    assert "spread" not in f.source
    arrays = arrays_for(f.inputs)
    np.testing.assert_allclose(f(*arrays), 2 * arrays[3] @ arrays[2].T @ arrays[2], rtol=1e-12)


def test_traces_and_diagonals_of_hessians_are_small():
    x, a = sb.symbols("x[N] a[N]")
    hessian = sb.hessian(sb.sum(a * sb.exp(x)) + sb.sum(x) ** 4, x)
    values = arrays_for([x, a])
    for part, numpy in [(sb.diag(hessian), np.diagonal), (sb.trace(hessian), np.trace)]:
        f = sb.compile([x, a], part)
        assert "[:, None]" not in f.source
        assert "spread" not in f.source
        np.testing.assert_allclose(f(*values), numpy(sb.evaluate(hessian, dict(zip([x, a], values, strict=True)))))


def test_the_sum_of_a_matrix_and_an_identity_is_made_in_place_only_where_that_is_safe():
    A = sb.symbol("A", ("N", "N"))
    shifted = A + 3 * sb.eye("N")
    product = A @ A + sb.eye("N")
    f = sb.compile([A], [shifted, product, A @ A])
    (array,) = arrays_for([A])
    before = array.copy()
    one, other, square = f(array)
    np.testing.assert_array_equal(array, before)
    np.testing.assert_allclose(one, before + 3 * np.eye(5))
    np.testing.assert_allclose(other, before @ before + np.eye(5))
    np.testing.assert_allclose(square, before @ before)
    assert "copy()" not in sb.compile([A], product).source


# --- slices of identities ---------------------------------------------------------------------------------------


def rosenbrock():
    x = sb.symbol("x", "N")
    return [x], sb.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), x


def uncoupled_rosenbrock():
    x = sb.symbol("x", 6)
    return [x], sb.sum(100 * (x[1::2] - x[::2] ** 2) ** 2 + (1 - x[::2]) ** 2), x


def second_differences():
    x, w = sb.symbols("x[N] w[N]")
    bend = sb.exp(x[2:] - 2 * x[1:-1] + x[:-2])
    return [x, w], sb.sum(bend**2 * w[1:-1]), x


def differences_of_differences():
    x = sb.symbol("x", "N")
    first = sb.tanh(x[1:] - x[:-1])
    return [x], sb.sum((first[1:] - first[:-1]) ** 2) + x[0] ** 4 + x[-1] * x[0], x


def grid():
    U = sb.symbol("U", ("N", "M"))
    return [U], sb.sum(sb.cosh(U[1:] - U[:-1])) + sb.sum((U[:, 1:] - U[:, :-1]) ** 4), U


def residuals_with_boundaries():
    u, f = sb.symbols("u[N] f[N]")
    inside = u[2:] - 2 * u[1:-1] + u[:-2] - u[1:-1] ** 3
    r = sb.concatenate([u[:1] - 1, inside, u[-1:] + 1]) - f
    return [u, f], sb.sum(r**2), u


def backwards():
    x = sb.symbol("x", "N")
    return [x], sb.sum(sb.sin(x * x[::-1])), x


def recurrence():
    X, A = sb.symbols("X[N,D] A[D,D]")
    return [X, A], sb.sum((X[1:] - sb.tanh(X[:-1] @ A)) ** 2), X


CHAINS = [
    *(rosenbrock, uncoupled_rosenbrock, second_differences, differences_of_differences),
    *(grid, residuals_with_boundaries, backwards, recurrence),
]


@pytest.mark.parametrize("problem", CHAINS, ids=lambda problem: problem.__name__)
def test_hessians_of_chains_are_closed(problem):
    inputs, f, x = problem()
    hessian = sb.hessian(f, x)
    closed = sb.compile(inputs, hessian)
    assert "np.eye" not in closed.source
    arrays = arrays_for(inputs)
    plain = sb.evaluate(hessian, dict(zip(inputs, arrays, strict=True)))
    np.testing.assert_allclose(closed(*arrays), plain, rtol=1e-11, atol=1e-11 * np.abs(plain).max())


def test_the_hessian_of_rosenbrocks_function_is_three_vectors_on_diagonals():
    inputs, f, x = rosenbrock()
    compiled = sb.compile(inputs, sb.hessian(f, x))
    assert '"aa->a", t3, np.s_[:N - 1, 1:]' in compiled.source
    for size in (1, 2, 7):
        value = np.random.default_rng(size).normal(size=size)
        main, beside = np.zeros(size), -400 * value[:-1]
        main[:-1] += 1200 * value[:-1] ** 2 - 400 * value[1:] + 2
        main[1:] += 200
        expected = np.diag(main) + np.diag(beside, 1) + np.diag(beside, -1)
        np.testing.assert_allclose(compiled(value), expected, rtol=1e-13, atol=1e-12)


def test_the_jacobian_of_differences_is_two_diagonals():
    x = sb.symbol("x", "N")
    jacobian = sb.compile([x], sb.jacobian(x[1:] - x[:-1], x))
    assert "np.eye" not in jacobian.source
    np.testing.assert_array_equal(jacobian(np.ones(4)), np.diff(np.eye(4), axis=0))
    assert jacobian(np.ones(1)).shape == (0, 1)


def test_products_and_sums_of_slices_of_identities_are_small():
    x, v = sb.symbols("x[N] v[N]")
    hessian = sb.hessian(sb.sum((x[1:] - x[:-1] ** 2) ** 2), x)
    values = arrays_for([x, v])
    given = dict(zip([x, v], values, strict=True))
    for small in (hessian @ v, sb.trace(hessian), sb.diag(hessian), sb.sum(hessian, axis=0)):
        f = sb.compile([x, v], small)
        assert not any(word in f.source for word in ("np.eye", "spread(", "(N, N)"))
        np.testing.assert_allclose(f(*values), sb.evaluate(small, given), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[::-1][1:],
        lambda x: x[::2][:-1],
        lambda x: x[1:][::2][1:],
        lambda x: x[1::2][::-1],
        lambda x: x[1:][::-1][:-1],
        lambda x: x[::-1][::-2],
    ],
)
def test_slices_of_slices_take_nothing_where_nothing_is_left(function):
    x, w = sb.symbols("x[N] w[N]")
    y = function(x * w)
    for expr in (sb.jacobian(y, x), sb.sum(sb.jacobian(y, x), axis=0)):
        f = sb.compile([x, w], expr)
        for size in range(2, 8):
            arrays = np.arange(1.0, size + 1), np.sin(np.arange(1.0, size + 1))
            np.testing.assert_allclose(f(*arrays), sb.evaluate(expr, dict(zip([x, w], arrays, strict=True))))


def test_what_two_slices_share_is_counted():
    total = sb.sum(sb.eye("N")[:, :-1][1:])
    f = sb.compile([sb.symbol("x", "N")], total)
    assert [f(np.ones(size)) for size in (2, 3, 6)] == [0, 1, 4]
    with pytest.raises(ShapeError, match="needs N - 2 >= 0, and N = 1"):
        f(np.ones(1))


def test_what_slices_share_is_refused_where_a_size_is_too_small_for_it():
    u, b = sb.symbols("u[N] b[N]")
    residuals = sb.concatenate([u[3:] - 2 * u[:-3], u[:3]]) + b
    jacobian = sb.jacobian(residuals, u)
    product = jacobian.T @ jacobian
    f = sb.compile([u, b], product)
    for size in range(3, 9):
        values = dict.fromkeys([u, b], np.ones(size))
        try:
            found = f(np.ones(size), np.ones(size))
        except ShapeError as error:
            message = str(error)
            assert size < 6, message
        else:
            np.testing.assert_allclose(found, sb.evaluate(product, values))


@pytest.mark.parametrize("problem", CHAINS, ids=lambda problem: problem.__name__)
def test_formulas_of_hessians_of_chains_are_read_back(problem):
    inputs, f, x = problem()
    check_round_trip(sb.hessian(f, x), dict(zip(inputs, arrays_for(inputs), strict=True)))


def test_a_formula_of_blocks_in_slices_is_read_back():
    inputs, f, x = residuals_with_boundaries()
    closed, *symbols = run([sb.hessian(f, x), *inputs])
    check_round_trip(closed, dict(zip(symbols, arrays_for(inputs), strict=True)), options=({"simplify": False},))


def test_what_cancels_altogether_is_zero():
    c, A = sb.symbols("c[N] A[N,N]")
    nothing = sb.eye("N") - sb.eye("N")
    arrays = arrays_for([c, A])
    for expr in (sb.where(c > 0, nothing, 0), sb.linalg.solve(A, nothing), sb.linalg.solve(2 * sb.eye("N"), nothing)):
        np.testing.assert_array_equal(sb.compile([c, A], expr)(*arrays), np.zeros((5, 5)))
        assert np.all(sb.evaluate(sb.simplify(expr), {c: arrays[0], A: arrays[1]}) == 0)


# --- matrices with structure ----------------------------------------------------------------------------------


def by_factors():
    T, U, V, G = sb.symbols("T[M,N] U[M,K] V[N,K] G[M,K]")
    f = sb.sum((T - U @ V.T) ** 2)
    return [T, U, V, G], sb.reshape(sb.hessian(f, U), (U.size, U.size)), sb.reshape(G, -1)


def by_other_factors():
    T, U, V, G = sb.symbols("T[M,N] U[M,K] V[N,K] G[N,K]")
    f = sb.sum((T - U @ V.T) ** 2)
    return [T, U, V, G], sb.reshape(sb.hessian(f, V), (V.size, V.size)), sb.reshape(G, -1)


def by_rows():
    X, G = sb.symbols("X[M,K] G[M,K]")
    f = sb.sum(sb.logsumexp(X, axis=1) + sb.sum(X**2, axis=1))
    return [X, G], sb.reshape(sb.hessian(f, X), (X.size, X.size)), sb.reshape(G, -1)


def diagonal():
    x, b = sb.symbols("x[N] b[N]")
    return [x, b], sb.hessian(sb.sum(sb.exp(x)), x), b


def number_times_identity():
    x, b, c = sb.symbols("x[N] b[N] c")
    return [x, b, c], sb.hessian(c * sb.sum(x**2), x), b


def diagonal_and_outer_product():
    x, u, b = sb.symbols("x[N] u[N] b[N]")
    return [x, u, b], sb.diag(sb.exp(x)) + sb.outer(u, u), b


def diagonal_and_ones():
    x, b = sb.symbols("x[N] b[N]")
    return [x, b], sb.hessian(sb.sum(sb.exp(x)) + sb.sum(x) ** 2, x), b


def diagonal_and_low_rank():
    X, B = sb.symbols("X[9,2] B[9,3]")
    return [X, B], X @ X.T + 0.5 * sb.eye(9), B


def several_right_sides():
    x, B = sb.symbols("x[N] B[N,K]")
    return [x, B], sb.diag(sb.exp(x)) + sb.outer(x, x), B


STRUCTURED = [
    *(by_factors, by_other_factors, by_rows, diagonal, number_times_identity, diagonal_and_outer_product),
    *(diagonal_and_ones, diagonal_and_low_rank, several_right_sides),
]


@pytest.mark.parametrize("problem", STRUCTURED, ids=lambda problem: problem.__name__)
def test_systems_with_structure_are_solved_by_it(problem):
    inputs, matrix, side = problem()
    solution = sb.linalg.solve(matrix, side)
    f = sb.compile(inputs, solution)
    assert "spread(" not in f.source
    assert "np.eye" not in f.source
    arrays = arrays_for(inputs)
    expected = sb.evaluate(solution, dict(zip(inputs, arrays, strict=True)))
    np.testing.assert_allclose(f(*arrays), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("problem", STRUCTURED, ids=lambda problem: problem.__name__)
def test_inverses_and_determinants_of_matrices_with_structure(problem):
    inputs, matrix, _ = problem()
    arrays = arrays_for(inputs)
    values = dict(zip(inputs, arrays, strict=True))
    size = sb.linalg.slogdet(matrix).logabsdet
    f = sb.compile(inputs, size)
    assert "spread(" not in f.source
    np.testing.assert_allclose(f(*arrays), sb.evaluate(size, values), rtol=1e-9, atol=1e-10)
    inverse = sb.linalg.inv(matrix)
    np.testing.assert_allclose(
        sb.compile(inputs, inverse)(*arrays), sb.evaluate(inverse, values), rtol=1e-8, atol=1e-10
    )


def test_a_diagonal_that_may_be_zero_is_not_divided_by():
    d, u, b = sb.symbols("d[N] u[N] b[N]")
    x = sb.compile([d, u, b], sb.linalg.solve(sb.diag(d) + sb.outer(u, u), b))
    values = np.array([0.0, 1, 1, 1, 1]), np.array([1.0, 1, 1, 1, 1]), np.arange(5.0)
    np.testing.assert_allclose(x(*values), np.linalg.solve(np.diag(values[0]) + 1, values[2]), atol=1e-12)


def test_a_step_of_newton_in_a_kronecker_hessian_solves_its_block():
    inputs, matrix, side = by_factors()
    source = sb.compile(inputs, sb.reshape(sb.linalg.solve(matrix, side), inputs[3].shape)).source
    assert "np.linalg.solve(2.0 * (V.T @ V), G.T).T" in source


# --- random walks from an identity ----------------------------------------------------------------------------


class Walk:
    """Linear operations at random, with symbols that are made as they are needed."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.inputs = []

    def array(self, *shape):
        self.inputs.append(sb.symbol(f"a{len(self.inputs)}", shape))
        return self.inputs[-1]

    def like(self, x):
        """Make an array that broadcasts to another."""
        shape = x.shape[int(self.rng.integers(0, x.ndim + 1)) :]
        return self.array(*(size if self.rng.random() < 0.7 else 1 for size in shape))

    def axis(self, x):
        return int(self.rng.integers(x.ndim))

    def start(self):
        kinds = [lambda: sb.eye(3), lambda: sb.reshape(sb.eye(6), (2, 3, 2, 3)), lambda: sb.diag(self.array(4))]
        return kinds[int(self.rng.integers(3))]()

    def step(self, x):
        steps = STEPS[min(x.ndim, 2)]
        return steps[int(self.rng.integers(len(steps)))](self, x)


def sliced(walk, x):
    index = [slice(None)] * x.ndim
    axis = walk.axis(x)
    size = x.shape[axis]
    index[axis] = SLICES[int(walk.rng.integers(len(SLICES)))]
    return x[tuple(index)] if len(range(size)[index[axis]]) else x


SLICES = [slice(1, None), slice(None, -1), slice(1, -1), slice(None, None, 2), slice(1, None, 2), slice(None, None, -1)]


def one_of(walk, x):
    axis = walk.axis(x)
    return x[(slice(None),) * axis + (int(walk.rng.integers(x.shape[axis])),)]


def put(walk, x):
    """Put an array among zeros: the derivative of a slice."""
    axis = walk.axis(x)
    before, after = walk.rng.integers(0, 3, 2)
    whole = walk.array(*x.shape[:axis], int(x.shape[axis] + before + after), *x.shape[axis + 1 :])
    part = whole[(slice(None),) * axis + (slice(int(before), int(before) + x.shape[axis]),)]
    return sb.vjp(part, whole, x)


def joined(walk, x):
    axis = walk.axis(x)
    more = walk.array(*x.shape[:axis], int(walk.rng.integers(1, 3)), *x.shape[axis + 1 :])
    parts = [x * walk.like(x), more, x][: int(walk.rng.integers(1, 4))]
    return sb.concatenate([parts[at] for at in walk.rng.permutation(len(parts))], axis)


def stacked(walk, x):
    if x.ndim > 4 or x.size > 500:
        return x
    return sb.stack([x * walk.like(x), walk.array(*x.shape), x], int(walk.rng.integers(x.ndim + 1)))


def solved(walk, x):
    size = x.shape[-2]
    return sb.linalg.solve(walk.array(size, size) + 5 * sb.constant(np.eye(size)), x)


def relabelled(walk, x):
    letters = "abcdefg"[: x.ndim]
    return sb.einsum(f"{letters},{letters[0]}z->z{letters[1:]}", x, walk.array(x.shape[0], 2))


def of_square(function):
    return lambda _, x: function(x) if x.shape[0] == x.shape[1] else x


ANY_RANK = [
    lambda walk, x: x * float(walk.rng.normal()),
    lambda walk, x: x * walk.like(x),
    lambda walk, x: x / (2 + walk.like(x) ** 2),
    lambda walk, x: x + x * walk.like(x),
    lambda walk, x: walk.like(x) - x,
]
WITH_AXES = [
    *ANY_RANK,
    lambda walk, x: sb.sum(x, axis=walk.axis(x)),
    lambda walk, x: x - sb.sum(x, axis=walk.axis(x), keepdims=True),
    lambda walk, x: sb.mean(x, axis=walk.axis(x)),
    lambda walk, x: sb.transpose(x, walk.rng.permutation(x.ndim).tolist()),
    lambda walk, x: x @ walk.array(x.shape[-1], 3),
    *(sliced, sliced, put, one_of, joined, stacked),
    lambda walk, x: sb.where(walk.like(x) > 0, x, 0),
    lambda walk, x: sb.expand_dims(x, walk.axis(x)) if x.ndim < 6 else x,
    lambda _, x: sb.reshape(x, -1),
    lambda _, x: sb.reshape(x, (*x.shape[:-1], 1, x.shape[-1])),
    lambda _, x: sb.reshape(x, (x.shape[0] * x.shape[1], -1)) if x.ndim > 2 else x,
]
MATRICES = [
    *WITH_AXES,
    lambda walk, x: walk.array(2, x.shape[-2]) @ x,
    relabelled,
    of_square(sb.diagonal),
    of_square(sb.trace),
    lambda _, x: sb.einsum("...ij,...kj->...ik", x, x) if x.shape[-2] < 30 else x,
    solved,
]
STEPS = [ANY_RANK, WITH_AXES, MATRICES]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("seed", range(300))
def test_linear_operations_on_identities_keep_their_values(seed):
    with sb.Graph():
        walk = Walk(seed)
        x = walk.start()
        for _ in range(int(walk.rng.integers(1, 7))):
            x = walk.step(x)
        arrays = [walk.rng.normal(size=each.shape) for each in walk.inputs]
        plain = sb.evaluate(x, dict(zip(walk.inputs, arrays, strict=True)))
        closed = sb.compile(walk.inputs, x)(*arrays)
        assert closed.shape == plain.shape
        np.testing.assert_allclose(closed, plain, rtol=1e-9, atol=1e-10 * np.abs(plain).max(initial=1))

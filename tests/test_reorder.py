"""Trees of products take the fewest operations, counted, and keep their values."""

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.errors import ShapeError
from symbackprop.rewrite.pipeline import run

SIZES = {"M": 1000, "N": 1000, "K": 1000, "L": 1000, "D": 50}
SMALL = {"M": 2, "N": 3, "K": 4, "L": 5, "D": 2}

A, B, C, E, x = sb.symbols("A[M,N] B[N,K] C[K,L] E[N,M] x[L]")
u, v, w, r, d = sb.symbols("u[M] v[N] w[N] r[M] d[N]")
X, S, G, z, s = sb.symbols("X[N,D] Sq[N,N] G[N,K] z[N] s")
T = sb.symbol("T", ("M", "N", "K"))


def with_gradients(f, *by):
    return [f, *sb.grad(f, by)]


def squares(y):
    return sb.sum(sb.square(y))


def inputs_of(outputs):
    graph = outputs[0].graph
    numbers = graph.reachable([output.number for output in outputs])
    return [sb.Expr(graph, at) for at in numbers if graph.nodes[at].op is sb.symbol("x").op]


def operations(function):
    """Give the operations as written and as compiled, for SIZES."""
    rows = {row.name: row.flops for row in function.report().rows}
    return [rows[name] if isinstance(rows[name], int) else rows[name].value(SIZES) for name in ("stable", "gather")]


def statements(function):
    lines = function.source.partition(f"def {function.name}(")[2].splitlines()
    return [line.strip() for line in lines if re.match(r"    \w+ = (?!.*\.shape\b)", line)]


m = 1000
CHAINS = [  # name, outputs, operations in the best order, how many times fewer than as written
    ("A @ B @ C @ x", lambda: [A @ B @ C @ x], 6 * m**2, 600),
    ("u @ A @ B", lambda: [u @ A @ B], 4 * m**2, 1),
    ("(A @ B) @ (C @ x)", lambda: [(A @ B) @ (C @ x)], 6 * m**2, 300),
    ("sum(A @ B)", lambda: [sb.sum(A @ B)], 2 * m**2 + 2 * m, 900),
    ("sum(A @ B, axis)", lambda: [sb.sum(A @ B, axis=1)], 3 * m**2, 600),
    ("mean(A @ B)", lambda: [sb.mean(A @ B)], 2 * m**2 + 2 * m + 1, 900),
    ("trace(A @ E)", lambda: [sb.trace(A @ E)], 2 * m**2, 900),
    ("diag(A @ E)", lambda: [sb.diag(A @ E)], 2 * m**2, 900),
    ("outer(u, v) @ w", lambda: [sb.outer(u, v) @ w], 3 * m, 900),
    ("w @ outer(v, u)", lambda: [w @ sb.outer(v, u)], 3 * m, 900),
    ("diag(d) @ B", lambda: [sb.diag(d) @ B], m**2, 1000),
    ("X.T @ diag(d) @ X", lambda: [X.T @ sb.diag(d) @ X], 2 * 50**2 * m + 50 * m, 20),
    ("ones @ B", lambda: [sb.broadcast_to(s, ("M", "N")) @ B], m**2 + m, 1000),
    ("sum(u * A)", lambda: [sb.sum(sb.expand_dims(u, 1) * A)], m**2 + 2 * m, 1.9),
    ("einsum", lambda: [sb.einsum("ij,jk,kl,l->i", A, B, C, x)], 6 * m**2, 600_000),
    ("(s A) @ B @ z", lambda: [(s * A) @ B @ (C @ x)], 6 * m**2 + m, 300),
    ("gradients of A @ B @ C @ x", lambda: with_gradients(squares(A @ B @ C @ x - r), A, B, C, x), 23.1 * m**2, 500),
    ("gradients of sum(A @ B)", lambda: with_gradients(sb.sum(A @ B), A, B), 2 * m**2 + 2 * m, 2900),
    ("gradients of trace(A @ E)", lambda: with_gradients(sb.trace(A @ E), A, E), 2 * m**2, 900),
    ("gradients of diag(A @ E)", lambda: with_gradients(squares(sb.diag(A @ E)), A, E), 4 * m**2 + 3 * m, 1400),
    ("gradients of outer(u, v) @ w", lambda: with_gradients(squares(sb.outer(u, v) @ w), u, v, w), 13.1 * m, 700),
    ("gradients of z' S z", lambda: with_gradients(z @ S @ z, z, S), 5 * m**2 + 3 * m, 1),
]  # fmt: skip


@pytest.mark.parametrize(("outputs", "best", "times"), [row[1:] for row in CHAINS], ids=[row[0] for row in CHAINS])
def test_a_chain_takes_the_fewest_operations_and_keeps_its_value(outputs, best, times):
    outputs = outputs()
    inputs = [*inputs_of(outputs), sb.symbol("rows", "M")]
    function = sb.compile(inputs, outputs)
    before, after = operations(function)
    assert after <= best
    assert before >= times * after
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal([SMALL[size.name] for size in symbol.shape]) for symbol in inputs]
    plain = sb.compile(inputs, outputs, skip=["order"])
    for found, expected in zip(function(*arrays), plain(*arrays), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("product", "value"),
    [
        (sb.sum(X * d[:, None], axis=0), "d @ X"),
        (sb.sum(B * B[0], axis=1), "B @ B[0]"),
        (sb.sum(B[:, None] * G[None], axis=-1), "B @ G.T"),
        (sb.sum(T * B, axis=(1, 2)), "T.reshape((M, K*N)) @ B.reshape((K*N,))"),
        (sb.sum(B * G, axis=1), "(B * G).sum(axis=1)"),
    ],
    ids=str,
)
def test_a_product_of_matrices_that_is_written_by_elements_is_one(product, value):
    function = sb.compile(inputs_of([product]), product)
    assert statements(function) == [f"result = {value}"]


@pytest.mark.parametrize(
    ("outputs", "source"),
    [
        ([2.0 * X.T @ X], ["result = 2.0 * (X.T @ X)"]),
        ([X.T @ (sb.exp(d)[:, None] * X)], ["t1 = np.exp(0.5 * d)[:, None] * X", "result = t1.T @ t1"]),
        ([X.T @ (X * sb.sigmoid(d)[:, None]) / 100], None),
        ([X.T @ (d[:, None] * X)], ["result = X.T @ (d[:, None] * X)"]),
        ([sb.linalg.inv(S) @ G @ (C @ x)], ["result = np.linalg.solve(Sq, G @ (C @ x))"]),
        ([sb.trace(sb.linalg.inv(S) @ S.T)], ["result = np.trace(np.linalg.solve(Sq, Sq.T))"]),
        ([sb.sum(d * z)], ["result = (d * z).sum()"]),
        ([sb.mean(sb.square(d))], ["result = np.square(d).sum() / N"]),
        ([sb.einsum("ijk,jk->i", T, B)], ["result = T.reshape((M, K*N)) @ B.reshape((K*N,))"]),
        ([sb.einsum("ij,ij->i", X, X)], ["result = np.vecdot(X, X)"]),
    ],
)  # fmt: skip
def test_source(outputs, source):
    function = sb.compile(inputs_of(outputs), outputs)
    if source is None:
        source = ["t1 = np.sqrt(sigmoid(d))[:, None] * X", "result = t1.T @ t1 / 100.0"]
    assert statements(function) == source


def test_a_product_that_others_use_too_is_computed_once():
    P = A @ B
    (tanh, product) = run([sb.tanh(P), P @ C @ x])
    assert product.describe(9) == "matmul(matmul(A, B), matmul(C, x))[M]"
    assert tanh.inputs[0] is product.inputs[0]
    outputs = run([sb.sum(P, axis=0), P])
    assert outputs[0].inputs[0] is outputs[1]


def test_a_product_that_several_products_use_is_kept_where_that_is_cheaper():
    P = sb.symbol("Q", ("N", "N")) @ S
    kept = [P @ G, P @ S]
    assert operations(sb.compile(inputs_of(kept), kept))[1] == 3 * 2 * m**3
    opened = [P @ z, P @ d]
    assert operations(sb.compile(inputs_of(opened), opened))[1] == 4 * 2 * m**2


def test_a_value_with_a_name_keeps_it_and_stays():
    P = (A @ B).named("P")
    function = sb.compile([A, B, C, x], P @ (C @ x))
    assert "P = A @ B" in function.source
    y = (A @ B @ (C @ x)).named("y")
    assert "y = A @ (B @ (C @ x))" in sb.compile([A, B, C, x], sb.exp(y)).source


def test_integers_and_masks_are_left_as_they_are():
    P, Q, q = sb.symbols("P[M,N] Q[N,K] q[K]", dtype="int64")
    assert "P @ Q @ q" in sb.compile([P, Q, q], P @ Q @ q).source
    mask = A > 0
    f = sb.compile([A, B], sb.sum((mask * A) @ B))
    values = np.random.default_rng(0).standard_normal((2, 3)), np.random.default_rng(1).standard_normal((3, 4))
    np.testing.assert_allclose(f(*values), (np.maximum(values[0], 0) @ values[1]).sum(), rtol=1e-12)


def test_stacks_and_kept_and_repeated_axes():
    H, K, b = sb.symbols("H[B,M,N] K[B,N,D] b[B,1,D]")
    outputs = [
        sb.sum(H @ K, axis=(0, 2), keepdims=True),
        sb.sum(H @ (K * b), axis=0),
        sb.mean(sb.broadcast_to(H @ K @ sb.broadcast_to(1.0, "D"), ("K", "B", "M"))),
        sb.trace(sb.broadcast_to(sb.symbol("k", ("N", 1)), ("N", "N")) @ S),
        sb.diag(S @ sb.diag(d)) @ S,
        sb.sum(sb.diag(d) * S),
    ]
    inputs = [*inputs_of(outputs), sb.symbol("sizes", "K")]
    rng = np.random.default_rng(0)
    sizes = SMALL | {"B": 3}
    arrays = [rng.standard_normal([n if isinstance(n, int) else sizes[n.name] for n in each.shape]) for each in inputs]
    for found, expected in zip(
        sb.compile(inputs, outputs)(*arrays), sb.compile(inputs, outputs, skip=["order"])(*arrays), strict=True
    ):
        assert np.shape(found) == np.shape(expected)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_many_matrices_in_a_row_take_time_that_grows_with_their_number():
    names = [f"W{at}" for at in range(300)]
    matrices = [sb.symbol(name, ("N", "N")) for name in names]
    product = matrices[0]
    for matrix in matrices[1:]:
        product = product @ matrix
    function = sb.compile([*matrices, z], product @ z)
    assert function.report().rows[-1].flops.value(SIZES) == 300 * 2 * m**2


def random_products(rng):
    """Give some loose ends of a random graph of products, sums, diagonals, transposes and scalings."""
    names = "KMN"
    pool = [sb.symbol(f"{one}{other}", (one, other)) for one in names for other in names]
    pool += [*(sb.symbol(f"v{name}", name) for name in names), sb.symbol("s"), sb.symbol("H", (2, "M", "N"))]

    def drawn(fits):
        found = [expr for expr in pool if fits(expr)]
        return found[rng.integers(len(found))] if found else None

    for _ in range(14):
        x = pool[rng.integers(len(pool))]
        kind = rng.integers(9)
        if kind < 3 and x.ndim:
            y = drawn(lambda y, x=x: 0 < y.ndim < 3 and y.shape[0] == x.shape[-1])
            made = None if y is None else x @ y
        elif kind == 3:
            y = drawn(lambda y, x=x: y.ndim == 0 or y.shape == x.shape or (y.ndim == 1 and y.shape == x.shape[-1:]))
            made = None if y is None else x * y if rng.random() < 0.8 or y.ndim else x / (2.0 + sb.square(y))
        elif kind == 4 and x.ndim:
            made = sb.sum(x, axis=int(rng.integers(x.ndim)), keepdims=bool(rng.integers(2))) if x.size != 1 else None
        elif kind == 5 and x.ndim == 2:
            made = sb.trace(x) if x.shape[0] == x.shape[1] and rng.random() < 0.5 else x.T
        elif kind == 6 and x.ndim in {1, 2} and x.shape[0] == x.shape[-1]:
            made = sb.diag(x)
        elif kind == 7 and x.ndim == 1:
            y = drawn(lambda y: y.ndim == 1)
            made = sb.outer(x, y)
        else:
            made = -x if rng.random() < 0.5 else sb.mean(x)
        if made is not None and 1 not in made.shape and made.ndim <= 3:
            pool.append(made)
    return pool[13:]


@pytest.mark.parametrize("seed", range(60))
def test_random_products_keep_their_values_and_take_no_more_operations(seed):
    rng = np.random.default_rng([seed, 9])
    with sb.Graph():
        outputs = random_products(rng)
        outputs = [outputs[at] for at in sorted({*rng.integers(len(outputs), size=3).tolist(), len(outputs) - 1})]
        inputs = [*inputs_of(outputs), sb.symbol("sizes", ("K", "M", "N"))]
        sizes = dict(zip("KMN", rng.integers(1, 6, 3).tolist(), strict=True))
        arrays = [rng.standard_normal([n if isinstance(n, int) else sizes[n.name] for n in x.shape]) for x in inputs]
        ordered = sb.compile(inputs, outputs, sizes=dict.fromkeys("KMN", 50))
        written = sb.compile(inputs, outputs, skip=["order"])
        for found, right in zip(ordered(*arrays), written(*arrays), strict=True):
            assert (np.shape(found), found.dtype) == (np.shape(right), right.dtype)
            np.testing.assert_allclose(found, right, rtol=1e-9, atol=1e-9 * max(1.0, np.abs(right).max(initial=0)))
        assert operations_at(ordered, 50) <= 1.02 * operations_at(written, 50) + 200


def operations_at(function, size):
    flops = function.report().rows[-1].flops
    return flops if isinstance(flops, int) else flops.value(dict.fromkeys(flops.names, size))


# --- sizes ----------------------------------------------------------------------------------------------------

P, Q, R = sb.symbols("P[M,N] Q[N,K] R[K,L]")


def arrays_of(**sizes):
    rng = np.random.default_rng(0)
    shapes = [[sizes[size] for size in each.shape] for each in (P, Q, R)]
    return [rng.standard_normal(shape) for shape in shapes]


FROM_LEFT, FROM_RIGHT = ["result = P @ Q @ R"], ["result = P @ (Q @ R)"]
CALLED_FROM_RIGHT = ["result = P.dot(Q.dot(R))"]  # as it is written for small matrices
WIDE, TALL = {"M": 2, "N": 30, "K": 30, "L": 90}, {"M": 90, "N": 30, "K": 30, "L": 2}


def test_sizes_are_hints_and_any_order_is_right_for_all_sizes():
    wide, tall = (sb.compile([P, Q, R], P @ Q @ R, sizes=sizes) for sizes in (WIDE, TALL))
    assert (statements(wide), statements(tall)) == (FROM_LEFT, FROM_RIGHT)
    for function, sizes in [(wide, TALL), (tall, WIDE)]:
        before = function.program
        values = arrays_of(**sizes)
        np.testing.assert_allclose(function(*values), np.linalg.multi_dot(values), rtol=1e-12)
        assert function.program is before


def test_sizes_that_nobody_told_are_learnt_at_the_first_call():
    function = sb.compile([P, Q, R], P @ Q @ R)
    assert statements(function) == FROM_LEFT
    values = arrays_of(**TALL)
    np.testing.assert_allclose(function(*values), np.linalg.multi_dot(values), rtol=1e-12)
    assert statements(function) == CALLED_FROM_RIGHT
    told = sb.compile([P, Q, R], P @ Q @ R, sizes=TALL)
    assert statements(told) == FROM_RIGHT
    told(*values)
    assert function.source == told.source
    assert operations_of(function, TALL) == 2 * 30 * 2 * (30 + 90)
    values = arrays_of(**WIDE)
    np.testing.assert_allclose(function(*values), np.linalg.multi_dot(values), rtol=1e-12)
    assert statements(function) == CALLED_FROM_RIGHT  # the first sizes are kept
    assert function.sizes == TALL


def operations_of(function, sizes):
    return function.report().rows[-1].flops.value(sizes)


def test_what_is_told_is_kept_and_the_rest_is_learnt():
    function = sb.compile([P, Q, R], P @ Q @ R, sizes={"L": 1})
    assert statements(function) == FROM_RIGHT
    function(*arrays_of(**WIDE))
    assert statements(function) == CALLED_FROM_RIGHT
    assert function.sizes in ({"L": 1}, WIDE | {"L": 1})


def test_nothing_is_compiled_again_where_it_would_save_little():
    function = sb.compile([X, z, s], X.T @ (z / s))
    before = function.program
    function(np.ones((50, 30)), np.ones(50), 2.0)
    assert function.program is before


def test_a_first_call_with_arrays_that_do_not_fit_is_an_error_and_the_next_one_learns():
    function = sb.compile([P, Q, R], P @ Q @ R)
    with pytest.raises(ShapeError, match="N = 3"):
        function(np.ones((2, 3)), np.ones((4, 5)), np.ones((5, 6)))
    function(*arrays_of(**TALL))
    assert statements(function) == CALLED_FROM_RIGHT


def test_threads_that_call_first_at_once_get_the_right_value():
    function = sb.compile([P, Q, R], P @ Q @ R)
    values = arrays_of(**TALL)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: function(*values), range(32)):
            np.testing.assert_allclose(found, np.linalg.multi_dot(values), rtol=1e-12)
    assert statements(function) == CALLED_FROM_RIGHT


def test_a_size_that_no_input_has_is_an_error():
    with pytest.raises(ShapeError, match="no input has the size 'n'"):
        sb.compile([P], sb.sum(P), sizes={"n": 3})
    with pytest.raises(ShapeError, match="the size N is a number of elements, not -1"):
        sb.compile([P], sb.sum(P), sizes={"N": -1})

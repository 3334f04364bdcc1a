"""Computing in blocks: the values, the code, what is learnt from the first arrays, threads."""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.errors import ShapeError
from symbackprop.lower import blocks
from symbackprop.lower.program import Blocked
from tests.random_graphs import random_expression, random_loss
from tests.test_compile import assert_same, compiled_and_evaluated

pytestmark = pytest.mark.filterwarnings("ignore::symbackprop.errors.NotTrainableWarning")  # random graphs have steps


@pytest.fixture
def tiny(monkeypatch):
    """Let a block have one row, and be worth it wherever it is possible."""
    for name in ("_CACHE", "_WORTH", "_SHARE", "_LARGE", "_CALL", "_ADDED", "_PRODUCT"):
        monkeypatch.setattr(blocks, name, 1 if name == "_PRODUCT" else 0)


def blocked(function):
    return [statement for statement in function.program.statements if isinstance(statement, Blocked)]


def chain():
    x, a = sb.symbols("x[N] a")
    y = sb.sum(sb.tanh(a * x) * sb.exp(-(x**2)))
    return [x, a], [y, *sb.grad(y, [x, a])]


def logistic():
    X, w, y = sb.symbols("X[N,D] w[D] y[N]")
    p = sb.sigmoid(X @ w)
    loss = -sb.mean(y * sb.log(p) + (1 - y) * sb.log(1 - p))
    return [X, w, y], [loss, sb.grad(loss, w), sb.hessian(loss, w)]


# --- values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.usefixtures("tiny")
def test_random_graphs_row_by_row(seed):
    outputs, values = random_expression(np.random.default_rng([seed, 7]), 30)
    assert_same(*compiled_and_evaluated(outputs, values))


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.usefixtures("tiny")
def test_random_gradients_row_by_row(seed):
    loss, values = random_loss(np.random.default_rng([seed, 8]), 20)
    assert_same(*compiled_and_evaluated([loss, *sb.grad(loss, list(values), unused="zeros")], values), rtol=1e-8)


@pytest.mark.usefixtures("tiny")
def test_random_graphs_have_blocks():
    rng = np.random.default_rng(9)
    made = [random_expression(rng, 30) for _ in range(20)]
    assert sum(len(blocked(sb.compile(list(values), outputs))) for outputs, values in made) > 20


CASES = {
    "vector": lambda x, X, w: sb.sum(sb.exp(sb.sin(x))),
    "mean": lambda x, X, w: sb.mean(sb.exp(sb.sin(x))),
    "mean over one axis": lambda x, X, w: sb.sum(sb.mean(sb.exp(sb.sin(X)), axis=0) ** 2),
    "softmax": lambda x, X, w: sb.sum(sb.softmax(X * w) * sb.sin(X)),
    "softmax along the rows": lambda x, X, w: sb.sum(sb.softmax(X * w, axis=0) * sb.sin(X)),
    "log-sum-exp": lambda x, X, w: sb.sum(sb.logsumexp(sb.sin(X * w), axis=1) * x),
    "largest": lambda x, X, w: sb.sum(sb.max(sb.sin(X * w), axis=1) * sb.exp(x)),
    "products": lambda x, X, w: sb.sum(sb.tanh(X @ (w[:, None] * w)) ** 2 * X),
    "product over rows": lambda x, X, w: sb.sum((sb.sin(X).T @ sb.cos(X)) ** 2),
    "two passes": lambda x, X, w: sb.sum(sb.tanh((x - sb.mean(x)) / sb.sqrt(sb.mean((x - sb.mean(x)) ** 2)))),
    "a sum that returns": lambda x, X, w: sb.sum(sb.exp(x) / sb.sum(sb.exp(x)) * sb.cos(x)),
    "outer": lambda x, X, w: sb.sum(sb.sin(sb.exp(x)[:, None] * w + X)),
    "columns": lambda x, X, w: sb.sum(sb.sin(sb.exp(X.T) * x)),
    "both ways": lambda x, X, w: sb.sum(sb.sin(X.T @ X + sb.exp(X).T @ X)),
    "sums so far in rows": lambda x, X, w: sb.sum(sb.tanh(sb.cumsum(sb.sin(X * w), axis=1)) * sb.exp(x)[:, None]),
    "sums so far over rows": lambda x, X, w: sb.sum(sb.tanh(sb.cumsum(sb.sin(X * w), axis=0)) * sb.exp(x)[:, None]),
    "products so far": lambda x, X, w: sb.sum(sb.tanh(sb.cumprod(sb.sin(X * w), axis=1)) * sb.exp(x)[:, None]),
    "products so far over rows": lambda x, X, w: sb.sum(sb.exp(x) * sb.cumprod(sb.sin(x)) * sb.cummax(sb.cos(x))),
    "distances": lambda x, X, w: sb.sum(sb.exp(-((x[:, None] - x) ** 2))),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("sizes", [{}, {"N": 7, "D": 3}], ids=["named", "int"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("tiny")
def test_value_gradient_and_curvature_in_blocks(case, sizes, dtype):
    n, d = sizes.get("N", "N"), sizes.get("D", "D")
    symbols = [sb.symbol("x", n, dtype), sb.symbol("X", (n, d), dtype), sb.symbol("w", d, dtype)]
    loss = CASES[case](*symbols)
    used = [symbol for symbol in symbols if symbol.number in loss.graph.reachable([loss.number])]
    outputs = [loss, *sb.grad(loss, used), sb.hvp(loss, used[-1], used[-1])]
    rng = np.random.default_rng(0)
    values = {"x": rng.standard_normal(7), "X": rng.standard_normal((7, 3)), "w": rng.standard_normal(3)}
    arrays = [values[symbol.name].astype(dtype) for symbol in used]
    function = sb.compile(used, outputs)
    found = function(*arrays)
    assert blocked(function)
    assert_same(found, sb.compile(used, outputs, skip=["blocks"])(*arrays), rtol=1e-12 if dtype == "float64" else 1e-4)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_code_in_blocks_is_right_for_all_sizes(count):
    inputs, outputs = logistic()
    function = sb.compile(inputs, outputs, sizes={"N": 8, "D": 2})
    assert blocked(function)
    rng = np.random.default_rng(0)
    values = [rng.standard_normal((count, 2)), rng.standard_normal(2), rng.random(count)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing
        whole = sb.compile(inputs, outputs, sizes={"N": 8, "D": 2}, skip=["blocks"])
        assert_same(function(*values), whole(*values), rtol=1e-12)


@pytest.mark.usefixtures("tiny")
def test_results_are_fresh_and_inputs_are_not_written():
    inputs, outputs = chain()
    function = sb.compile(inputs, outputs, sizes={"N": 5})
    x = np.arange(5.0)
    first = function(x, 0.5)[1]
    kept = first.copy()
    function(x + 1, 0.5)
    assert np.array_equal(first, kept)
    assert np.array_equal(x, np.arange(5.0))


@pytest.mark.usefixtures("tiny")
def test_updates_read_the_old_values():
    X, w, y = sb.symbols("X[N,D] w[D] y[N]")
    residual = sb.tanh(X @ w) - y
    loss = sb.sum(residual**2)
    step = sb.compile([X, w, y], loss, updates={w: w - 0.1 * sb.grad(loss, w), y: y + residual}, sizes={"N": 6, "D": 2})
    assert blocked(step)
    rng = np.random.default_rng(0)
    Xv, wv, yv = rng.standard_normal((6, 2)), rng.standard_normal(2), rng.standard_normal(6)
    right = sb.compile([X, w, y], [loss, w - 0.1 * sb.grad(loss, w), y + residual], skip=["blocks"])(Xv, wv, yv)
    assert_same([step(Xv, wv, yv), wv, yv], right, rtol=1e-12)


@pytest.mark.usefixtures("tiny")
def test_rows_may_lie_along_any_axis():
    C, T, w = sb.symbols("C[4,N] T[2,N,3] w[N]")
    value = sb.sin(C[0] * w) * sb.exp(C[2]) + sb.sum(sb.sum(sb.cos(T * w[:, None]), axis=-1), axis=0) * C[3]
    outputs = [value, sb.grad(sb.sum(sb.tanh(value) * w), C), sb.grad(sb.sum(sb.tanh(value) * w), T)]
    for n in (6, 7, 1):
        f = sb.compile([C, T, w], outputs, sizes={"N": n})
        rng = np.random.default_rng(n)
        arrays = [rng.normal(size=size) for size in ((4, n), (2, n, 3), n)]
        assert_same(f(*arrays), sb.compile([C, T, w], outputs, skip=["blocks"])(*arrays), rtol=1e-13)
        assert n == 1 or any(each.axes for each in blocked(f))


# --- the code -------------------------------------------------------------------------------------------------


def test_the_code_can_be_read():
    X, w, y = sb.symbols("X[N,D] w[D] y[N]")
    loss = sb.mean(sb.sqrt(1 + (X @ w - y) ** 2))
    source = sb.compile([X, w, y], [loss, sb.grad(loss, w)], sizes={"N": 100_000, "D": 100}).source
    assert (
        source.partition('y[N]")\n')[2]
        == """
    # in blocks of 512 rows, which stay in the cache
    def block(X, y, s1):
        t1 = subtract(dot(X, w, s1), y, s1)
        result = np.hypot(1.0, t1).sum()
        t2 = isru(t1).dot(X)
        return (result, t2)

    result, t2 = in_blocks(block, 512, (), lambda rows: (np.empty(rows),), X, y)
    result /= N
    dw = t2 / N
    return [result, dw]
"""
    )


def mixture():
    """Give quadratic forms: blocks have their rows last, and products of matrices are seen in another shape."""
    X, Q, mu = sb.symbols("X[N,D] Q[K,D,D] mu[K,D]")
    y = sb.einsum("kij,nkj->nki", Q, X[:, None] - mu)
    loss = sb.sum(sb.logsumexp(-sb.sum(y**2, axis=-1) / 2, axis=1))
    return sb.compile([X, Q, mu], [loss, *sb.grad(loss, [Q, mu])])


def mixture_values(seed, n=1000):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in ((n, 10), (25, 10, 10), (25, 10))]


def test_what_blocks_compute_in_is_kept_and_let_go():
    f = mixture()
    arrays = mixture_values(0)
    first = f(*arrays)
    kept = f._kernel.__globals__["arrays_of_blocks"]
    before = {id(each) for own in kept.values() for each in own}
    assert before
    known = [np.copy(each) for each in first]
    f(*mixture_values(1))
    assert {id(each) for own in kept.values() for each in own} == before
    assert_same(first, known, rtol=0)
    f.release()
    assert not kept
    assert_same(f(*arrays), known, rtol=1e-13)
    for n in range(1000, 1020):
        f(*mixture_values(2, n))
    assert len(kept) <= 10


def test_blocks_on_several_threads_at_once_have_arrays_of_their_own():
    f = mixture()
    given = [mixture_values(seed) for seed in range(4)]
    expected = [[np.copy(each) for each in f(*arrays)] for arrays in given]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for found, known in zip(pool.map(lambda arrays: f(*arrays), given), expected, strict=True):
                assert_same(found, known, rtol=1e-13)


def test_small_arrays_are_not_computed_in_blocks():
    inputs, outputs = chain()
    assert not blocked(sb.compile(inputs, outputs, sizes={"N": 1000}))
    assert blocked(sb.compile(inputs, outputs, sizes={"N": 1_000_000}))
    assert not blocked(sb.compile(inputs, outputs, sizes={"N": 1_000_000}, skip=["blocks"]))


def test_one_operation_is_not_computed_in_blocks():
    x = sb.symbol("x", 10_000_000)
    assert not blocked(sb.compile([x], sb.exp(x)))
    assert not blocked(sb.compile([x], [sb.exp(x), sb.sin(x)]))


def test_two_results_that_read_one_array_are_computed_in_one_sweep():
    X, w = sb.symbols("X[N,D] w[D]")
    (sweep,) = blocked(sb.compile([X, w], [sb.sum(sb.tanh(X @ w)), X.T @ sb.tanh(X @ w)], sizes={"N": 10**5, "D": 100}))
    assert [ref.name for ref in sweep.arrays] == ["X"]
    assert len(sweep.sums) == 2


def test_the_saved_file_runs(tmp_path):
    inputs, outputs = chain()
    function = sb.compile(inputs, outputs, sizes={"N": 1_000_000})
    function.save(tmp_path / "f.py")
    namespace: dict = {}
    exec((tmp_path / "f.py").read_text(), namespace)  # noqa: S102  (it is our own file)
    x = np.random.default_rng(0).standard_normal(200_000)
    assert_same(namespace["f"](x, 0.5), function(x, 0.5), rtol=1e-15)


# --- what is learnt -------------------------------------------------------------------------------------------


def test_the_first_large_arrays_lead_to_blocks():
    inputs, outputs = chain()
    function = sb.compile(inputs, outputs)
    for count, expected in [(10, 0), (100, 0), (1_000_000, 1), (10, 1)]:
        x = np.linspace(-1, 2, count)
        assert_same(function(x, 0.5), sb.compile(inputs, outputs, skip=["blocks"])(x, 0.5), rtol=1e-12)
        assert len(blocked(function)) == expected


def test_one_row_at_first_does_not_hide_that_many_come():
    X, W = sb.symbols("X[N,D] W[D,K]")
    function = sb.compile([X, W], sb.sum(sb.tanh(sb.exp(X @ W))))
    for count, expected in [(1, 0), (50_000, 1)]:
        function(np.ones((count, 20)), np.zeros((20, 30)))
        assert len(blocked(function)) == expected


def test_sizes_are_learnt_anew_where_products_were_put_in_another_order():
    A, B, C = sb.symbols("A[M,N] B[N,K] C[K,L]")
    function = sb.compile([A, B, C], [A @ B @ C, sb.sum(sb.tanh(sb.exp(sb.sin(A))))])
    small = [np.ones((900, 2)), np.ones((2, 900)), np.ones((900, 2))]
    function(*small)
    assert function.sizes, "another order is better for these"
    function(np.ones((2000, 3000)), np.ones((3000, 2)), np.ones((2, 3)))
    assert blocked(function)


def test_a_wrong_shape_is_still_explained():
    inputs, outputs = logistic()
    function = sb.compile(inputs, outputs, sizes={"N": 1_000_000, "D": 10})
    with pytest.raises(ShapeError, match="w"):
        function(np.zeros((4, 3)), np.zeros(2), np.zeros(4))


# --- threads --------------------------------------------------------------------------------------------------


def test_sums_do_not_depend_on_the_number_of_threads(monkeypatch):
    inputs, outputs = chain()
    x = np.random.default_rng(0).standard_normal(400_000)
    found = []
    for cores in (1, 2, 3):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: range(cores), raising=False)
        function = sb.compile(inputs, [outputs[0], outputs[2]], sizes={"N": 400_000})
        assert blocked(function)[0].threads
        found.append(function(x, 0.5))
    assert_same(found[0], found[1], rtol=1e-14)
    assert found[1] == found[2]


def test_what_errstate_says_holds_on_threads(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(2), raising=False)
    x = sb.symbol("x", "N")
    function = sb.compile([x], sb.sum(sb.exp(1 / x) * sb.sin(x)), sizes={"N": 1_000_000})
    assert blocked(function)[0].threads
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        function(np.zeros(1_000_000))
    with np.errstate(all="ignore"):
        function(np.zeros(1_000_000))

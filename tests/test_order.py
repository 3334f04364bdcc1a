"""Products of labelled arrays: the value of `np.einsum`, the least work, the calls of BLAS that fit."""

import math
import re
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opt_einsum import paths

import symbackprop as sb
from symbackprop.errors import ShapeError
from symbackprop.graph import Graph
from symbackprop.ops.contract import EINSUM
from symbackprop.rewrite.order import UNTOLD, Factor, contracted, number, plan, work

TOLERANCE = {"float64": 1e-10, "float32": 1e-4, "int64": 0, "int8": 0}


@st.composite
def products(draw):
    """Give labels of factors and of a result, the size of each label, and which factors are the same array."""
    labels = string.ascii_lowercase[: draw(st.integers(1, 6))]
    factors = draw(st.lists(st.text(labels, max_size=4), min_size=1, max_size=5))
    used = sorted({*"".join(factors)})
    out = "".join(draw(st.permutations(used))[: draw(st.integers(0, 4))]) if used else ""
    sizes = {label: draw(st.sampled_from([0, 1, 2, 2, 3, 3, 4])) for label in labels}
    return factors, out, sizes


@given(products(), st.tuples(*[st.booleans()] * 3), st.sampled_from(sorted(TOLERANCE)), st.integers(0, 2**32))
def test_a_product_has_the_value_shape_and_dtype_of_einsum(product, flags, dtype, seed):
    factors, out, sizes = product
    named, repeated, turned = flags
    rng = np.random.default_rng(seed)
    with Graph():
        terms, arrays, values = [], [], {}
        for at, labels in enumerate(factors):
            shape = tuple(sizes[label] for label in labels)
            name = "x" + "_".join(map(str, shape)) if repeated else f"x{at}"
            x = sb.symbol(name, tuple(f"S{size}" if named else size for size in shape)[:: -1 if turned else 1], dtype)
            values.setdefault(x, (5 * rng.standard_normal(shape[:: -1 if turned else 1])).astype(dtype))
            terms.append((labels, x.T if turned else x))
            arrays.append(values[x].T if turned else values[x])
        with np.errstate(over="ignore"):  # scalars of int8 wrap around, as arrays do
            found = sb.evaluate(contracted(terms, out), values)
    expected = np.einsum(f"{','.join(factors)}->{out}", *arrays)
    assert (np.shape(found), found.dtype) == (expected.shape, expected.dtype)
    scale = np.einsum(f"{','.join(factors)}->{out}", *map(np.abs, arrays)).max(initial=0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype] * scale)


@given(products())
def test_the_plan_takes_no_more_operations_than_the_best_order_of_opt_einsum(product):
    factors, out, sizes = product
    size = {label: size + 2 for label, size in sizes.items()}  # a sum over one element is no sum
    terms = [frozenset(labels) for labels in factors]
    steps = plan(terms, frozenset(out), size)
    state, total = dict(enumerate(terms)), 0
    for at, step in enumerate(steps, start=len(terms)):
        union = frozenset().union(*(state.pop(factor) for factor in step.factors))
        left = {label for labels in (*state.values(), out) for label in labels}
        assert step.kept == union & left
        total += math.prod(size[label] for label in union) * (len(step.factors) - 1 + (union != step.kept))
        state[at] = step.kept
    assert [labels for labels in state.values() if labels] == ([frozenset(out)] if out else [])
    assert total == work([Factor(labels) for labels in factors], steps, size)
    assert total <= least(terms, frozenset(out), size)


def least(terms, out, size):
    """Give the operations of the best order in which pairs are multiplied, nothing else being done before."""
    total = 0
    for chosen in paths.optimal(terms, out, size) or [(0,)]:
        taken = [terms[at] for at in chosen]
        terms = [labels for at, labels in enumerate(terms) if at not in chosen]
        union = frozenset().union(*taken)
        kept = union & out.union(*terms)
        total += math.prod(size[label] for label in union) * (len(taken) - 1 + (kept != union))
        terms.append(kept)
    return total


def compiled(terms, out, inputs, **sizes):
    """Give the function of a product, and what its source computes with, without the checks."""
    function = sb.compile(inputs, contracted(terms, out, sizes))
    body = function.source.partition("def f(")[2]
    statements = [line.strip() for line in body.splitlines() if re.match(r"    \w+ = (?!.*\.shape)", line)]
    return function, " ; ".join(statements)


A, B, C, x, y, z, T, U, V = sb.symbols("A[M,N] B[N,K] C[K,M] x[M] y[N] z[K] T[M,N,K] U[K,M,L] V[L,N,M]")
s = sb.symbol("s")


@pytest.mark.parametrize(
    ("terms", "out", "source"),
    [
        ([("ij", A), ("jk", B)], "ik", "A @ B"),
        ([("ij", A), ("jk", B)], "ki", "B.T @ A.T"),
        ([("ij", A.T), ("ik", B)], "jk", "A @ B"),
        ([("ij", A), ("j", y)], "i", "A @ y"),
        ([("i", x), ("ij", A)], "j", "x @ A"),
        ([("i", x), ("i", x)], "", "x @ x"),
        ([("i", x), ("j", y)], "ij", "x[:, None] * y"),
        ([("i", x), ("ij", A)], "ij", "x[:, None] * A"),
        ([("ij", A), ("j", y)], "ij", "y * A"),
        ([("ij", A), ("ij", sb.sin(A))], "ij", "A * np.sin(A)"),
        ([("ij", A)], "j", "A.sum(axis=0)"),
        ([("ij", A), ("jk", B), ("kl", C), ("l", x)], "i", "A @ (B @ (C @ x))"),
        ([("i", x), ("ij", A), ("jk", B)], "k", "x @ A @ B"),
        ([("i", x), ("j", y), ("j", y)], "i", "y @ y * x"),
        ([("ij", A), ("jk", B)], "", "A.sum(axis=0) @ B.sum(axis=1)"),
        ([("ij", A), ("ij", sb.exp(A))], "", "A.reshape((M*N,)) @ np.exp(A).reshape((M*N,))"),
        ([("ij", A), ("ji", sb.exp(B @ C))], "", 'np.einsum("ij,ji->", A, np.exp(B @ C))'),
        ([("ij", A), ("ji", sb.exp(B @ C))], "i", 'np.einsum("ij,ji->i", A, np.exp(B @ C))'),
        ([("ii", sb.exp(A @ B @ C)), ("ij", A)], "j", "np.diagonal(np.exp(A @ B @ C)).copy() @ A"),
        ([("ijk", T), ("kil", U)], "jl", "np.transpose(T, (1, 2, 0)).reshape((N, K*M)) @ U.reshape((K*M, L))"),
        ([("ijk", T), ("lji", V)], "kl", "T.reshape((M*N, K)).T @ np.transpose(V, (2, 1, 0)).reshape((M*N, L))"),
        ([("ijk", T), ("k", z)], "ij", "(T.reshape((M*N, K)) @ z).reshape((M, N))"),
        ([("ijk", T), ("j", y)], "ik", "y @ T"),
        ([("ijk", T), ("jl", A.T)], "ilk", "A @ T"),
        ([("bij", T), ("bjk", sb.exp(T.transpose((0, 2, 1))))], "bik", "T @ np.exp(np.transpose(T, (0, 2, 1)))"),
        ([("bij", T), ("bj", sb.sum(T, axis=1))], "bi", "(T @ T.sum(axis=1)[:, :, None]).squeeze(axis=2)"),
        ([("", s), ("ij", A), ("jk", B)], "ik", "s * (A @ B)"),
        ([("ij", A), ("j", y), ("", s)], "i", "s * (A @ y)"),
        ([("ij", A), ("ik", A), ("", s)], "jk", "s * (A.T @ A)"),
    ],
)  # fmt: skip
def test_each_pair_becomes_the_call_that_fits(terms, out, source):
    _, written = compiled(terms, out, [A, B, C, x, y, z, T, U, V, s])
    assert source in written


def test_scalars_go_to_what_has_the_fewest_elements():
    X, W = sb.symbols("X[N,64] W[64,10]")
    assert "X @ (s * W)" in compiled([("", s), ("ij", X), ("jk", W)], "ik", [X, W, s], N=1000)[1]
    assert "s * (X @ W)" in compiled([("", s), ("ij", X), ("jk", W)], "ik", [X, W, s], N=10)[1]
    assert "s * (X.T @ X)" in compiled([("", s), ("ni", X), ("nj", X)], "ij", [X, s], N=3)[1]


W = sb.symbol("W", ("N", "D"))
d = sb.symbol("d", "N")


@pytest.mark.parametrize(
    ("weights", "source"),
    [
        (sb.square(d), "t1 = np.abs(d)[:, None] * W ; result = t1.T @ t1"),
        (sb.exp(d), "t1 = np.exp(0.5 * d)[:, None] * W ; result = t1.T @ t1"),
        (sb.sigmoid(d) + sb.abs(d), "t1 = np.sqrt(sigmoid(d) + np.abs(d))[:, None] * W ; result = t1.T @ t1"),
        (sb.assume(sb.symbol("p", "N"), nonnegative=True), "t1 = np.sqrt(p)[:, None] * W ; result = t1.T @ t1"),
        (d, "result = (d[:, None] * W).T @ W"),
        (sb.exp(d) - 1, "result = (np.expm1(d)[:, None] * W).T @ W"),
    ],
)
def test_an_array_with_weights_times_itself_is_scaled_by_their_root_if_that_is_known_to_be_one(weights, source):
    argument = d if weights.inputs else weights
    function, written = compiled([("ni", W), ("n", weights), ("nj", W)], "ij", [W, argument])
    assert written == source
    values = np.random.default_rng(0).uniform(-1, 1, (5, 3)), np.array([0.0, 1e-300, 0.3, 2.0, 7.0])
    weighted = sb.evaluate(weights, {argument: values[1]})
    found = function(*values)
    np.testing.assert_allclose(found, values[0].T @ np.diag(weighted) @ values[0], rtol=1e-13, atol=1e-15)
    assert source.startswith("result") or np.array_equal(found, found.T)


def test_a_scalar_goes_into_the_weights_where_that_is_least_and_they_stay_weights():
    terms = [("ni", W), ("n", sb.exp(d)), ("nj", W)]
    _, positive = compiled([*terms, ("", sb.exp(s))], "ij", [W, d, s], N=100, D=50)
    assert positive == "t1 = np.sqrt(np.exp(s) * np.exp(d))[:, None] * W ; result = t1.T @ t1"
    _, small = compiled([*terms, ("", sb.exp(s))], "ij", [W, d, s], N=1000, D=5)
    assert small == "t1 = np.exp(0.5 * d)[:, None] * W ; result = np.exp(s) * (t1.T @ t1)"
    _, unsigned = compiled([*terms, ("", s)], "ij", [W, d, s], N=100, D=50)
    assert unsigned == "t1 = np.exp(0.5 * d)[:, None] * W ; result = s * (t1.T @ t1)"


def test_summed_axes_between_others_are_copied_where_the_pieces_are_small():
    terms = [("iaj", T), ("na", sb.symbol("R", ("L", "N")))]
    inputs = [T, terms[1][1]]
    assert compiled(terms, "inj", inputs, N=64, K=64)[1] == "result = R @ T"
    copied, source = compiled(terms, "inj", inputs, N=4, K=4)
    assert "np.transpose(T, (0, 2, 1)).reshape((K*M, N)) @ R.T" in source
    values = np.random.default_rng(0).standard_normal((5, 3, 4)), np.arange(6.0).reshape(2, 3)
    np.testing.assert_allclose(copied(*values), np.einsum("iaj,na->inj", *values), rtol=1e-13)


def test_products_of_stacks_are_added_up_where_to_join_them_would_copy_more():
    P, Q = sb.symbols("P[L,M,N] Q[L,K,N]")
    terms = [("nop", P), ("ncp", Q)]
    added, source = compiled(terms, "oc", [P, Q], L=32, M=16, K=9, N=64)
    assert source == "result = (P @ np.transpose(Q, (0, 2, 1))).sum(axis=0)"
    values = [np.random.default_rng(0).standard_normal(shape) for shape in ((5, 3, 4), (5, 2, 4))]
    np.testing.assert_allclose(added(*values), np.einsum("nop,ncp->oc", *values), rtol=1e-13)
    _, joined = compiled(terms, "oc", [P, Q], L=32, M=16, K=144, N=4)
    assert "np.transpose(P, (1, 0, 2)).reshape((M, L*N))" in joined


def test_the_order_is_that_of_the_sizes():
    P, Q, R = sb.symbols("P[M,N] Q[N,K] R[K,L]")
    terms = [("ij", P), ("jk", Q), ("kl", R)]
    left, right = ({"M": 2, "L": 900}, {"M": 900, "L": 2})
    assert compiled(terms, "il", [P, Q, R], **left)[1] == "result = P @ Q @ R"
    assert compiled(terms, "il", [P, Q, R], **right)[1] == "result = P @ (Q @ R)"


def test_einsum_is_left_where_nothing_of_blas_fits_alone():
    """Where two arrays have the same axes there is no matrix product."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        labels = ["".join(rng.permutation([*"abcd"])[: rng.integers(1, 4)]) for _ in range(rng.integers(2, 5))]
        out = "".join(sorted({*"".join(labels)})[: rng.integers(0, 3)])
        with Graph() as graph:
            contracted([(term, sb.symbol(f"x{at}", tuple(term))) for at, term in enumerate(labels)], out)
            for node in graph.nodes.values():
                if node.op is EINSUM:
                    left, right = node.params["subscripts"].partition("->")[0].split(",")
                    assert {*left} == {*right}


def test_many_factors_are_ordered_in_time():
    with Graph():
        names = string.ascii_letters
        factors = [sb.symbol(f"A{at}", (names[at], names[at + 1])) for at in range(19)]
        terms = [(f"{names[at]}{names[at + 1]}", factor) for at, factor in enumerate(factors)]
        result = contracted([*terms, (names[19], sb.symbol("x", names[19]))], names[0])
        assert all(
            node.shape == () or len(node.shape) == 1 for node in result.graph.nodes.values() if node.op is sb.matmul
        )


def test_what_does_not_fit_is_an_error():
    with pytest.raises(ShapeError, match="q is in the result 'q' and in no factor"):
        contracted([("ij", A)], "q")
    with pytest.raises(ShapeError, match="label j has size N, and K in operand 1"):
        contracted([("ij", A), ("jk", B.T)], "ik")


def test_a_size_that_is_not_told_has_a_guess():
    assert number(A.shape[0], {}) == UNTOLD
    assert number(A.shape[0] * A.shape[1] + 1, {"M": 2, "N": 3}) == 7
    assert number(A.shape[0] - 300, {"M": 2}) == 0

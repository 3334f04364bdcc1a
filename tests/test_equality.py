"""`same` says yes with a proof or with evidence, and no with a counterexample that holds."""

from __future__ import annotations

import inspect
import math
import time

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.equality import UndecidedError
from symbackprop.errors import ArgumentError, GraphError, ParseError
from symbackprop.expr import Expr
from symbackprop.graph import Graph
from symbackprop.rewrite import every_rule
from symbackprop.rewrite.engine import Rewritten, rebuild
from tests.random_graphs import random_expression
from tests.test_rewrite import with_numbers

GRAPH = Graph()  # of its own, lest other tests meet these symbols
with GRAPH:
    X, W, w, v, b, y, A, B, x, z, Y = sb.symbols("X[N,D] W[D,K] w[D] v[D] b y[N] A[M,M] B[M,M] x z Y[N,K]")
    p = sb.sigmoid(X @ w + b)
    N, D = X.shape
    LOSS = -sb.mean(y * sb.log(p) + (1 - y) * sb.log(1 - p))

    EQUAL = {
        "logistic regression": (sb.grad(LOSS, w), X.T @ (p - y) / N),
        "least squares": (sb.grad(sb.mean((X @ w - y) ** 2), w), 2 * X.T @ (X @ w - y) / N),
        "quadratic form": (sb.grad(w @ (X.T @ X) @ w, w), 2 * (X.T @ X) @ w),
        "sin and cos": (sb.sin(x) ** 2 + sb.cos(x) ** 2, 1),
        "double angle": (sb.sin(2 * x), 2 * sb.sin(x) * sb.cos(x)),
        "tanh by the sigmoid": (sb.tanh(x), 2 * sb.sigmoid(2 * x) - 1),
        "a third": (x / 3, x * (1 / 3)),
        "two over the root of pi": (sb.grad(sb.erf(x), x), 2 / math.sqrt(math.pi) * sb.exp(-x * x)),
        "an overflowing form": (sb.log(sb.exp(x * 1000) + 1), sb.softplus(1000 * x)),
        "a cancelling form": ((x + 1e20) - 1e20, x),
        "trace": (sb.trace(A @ B), sb.sum(A * B.T)),
        "determinant of a product": (sb.linalg.det(A @ B), sb.linalg.det(A) * sb.linalg.det(B)),
        "inverse of a product": (sb.linalg.inv(A @ B), sb.linalg.inv(B) @ sb.linalg.inv(A)),
        "a logarithm beyond the pools": (sb.log(x - 7), sb.log(2 * x - 14) - math.log(2)),
        "needs numbers in (0, 1)": (sb.log(x) + sb.log(1 - x), sb.log(x * (1 - x))),
        "each symbol needs its own scale": (
            sb.log(x) + sb.log(1 - z) + sb.sqrt(-b) + sb.log(sb.sum(w) - 3),
            sb.log(x - x * z) + sb.sqrt(-b) + sb.log(sb.sum(w) - 3),
        ),
        "slices": (y[3:] + y[:-3], y[:-3] + y[3:]),
        "no elements": (sb.sum(sb.symbol("none", 0)), 0),
        "no symbols": (sb.constant([1.0, 2.0]) * 2, sb.constant([2.0, 4.0])),
        "integers": (sb.symbol("k", (), "int64") * 2, sb.symbol("k", (), "int64") + sb.symbol("k", (), "int64")),
        "bools": (~~sb.symbol("m", "N", "bool"), sb.symbol("m", "N", "bool")),
    }

    # What is wrong, and what the answer must say besides.
    DIFFERENT = {
        "the sign": (sb.grad(LOSS, w), X.T @ (y - p) / N, "The second is the negative of the first."),
        "the mean": (sb.grad(LOSS, w), X.T @ (p - y), "The second is N times the first."),
        "the wrong size": (sb.grad(LOSS, w), X.T @ (p - y) / D, "The second is N/D times the first."),
        "half": (sb.mean(y), sb.sum(y) / 2, "The second is N/2 times the first."),
        "twice over N": (sb.sum(y), 2 * sb.mean(y) * 3, "The second is 6/N times the first."),
        "a factor": (sb.grad(x**3, x), 2 * x**2, "The second is 2/3 times the first."),
        "a power": (sb.grad(x**3, x), 3 * x**3, ""),
        "the inner derivative": (sb.grad(sb.sin(2 * x), x), sb.cos(2 * x), "The second is 1/2 times the first."),
        "the prime": (sb.grad(sb.sigmoid(x), x), sb.sigmoid(x) * (1 - x), ""),
        "only at other sizes": (sb.sum(y) * (N - 2 + sb.size_of(1)), sb.sum(y), ""),
        "off by little": (x * 1.00000000003, x, ""),
        "one element": (sb.stack([x, x, x]), sb.stack([x, x, -x]), "element [2]"),
        "the transpose": (A @ B, (A @ B).T, ""),
        "only for negative x": (sb.abs(x), x, ""),
        "only for large x": (sb.minimum(x, 25.0), x, ""),
        "integers": (sb.symbol("k", (), "int64") ** 2, sb.symbol("k", (), "int64") * 2, ""),
        "bools": (sb.symbol("m", "N", "bool"), ~sb.symbol("m", "N", "bool"), "True"),
        "constants": (sb.constant([1.0, 2.0]), sb.constant([1.0, 3.0]), "element [1] of the first is 2"),
    }


@pytest.fixture(autouse=True)
def _in_the_graph():
    with GRAPH:
        yield


@pytest.mark.parametrize("name", EQUAL)
def test_equal_expressions_are_the_same(name):
    one, other = EQUAL[name]
    for answer in (sb.same(one, other), sb.same(other, one)):
        assert answer
        assert answer.same
        assert answer.how in {"rewriting", "points"}
        assert str(answer).startswith("The same")


@pytest.mark.parametrize("name", DIFFERENT)
def test_different_expressions_come_with_a_counterexample_that_holds(name):
    one, other, said = DIFFERENT[name]
    answer = sb.same(one, other)
    assert not answer
    assert answer.how == "counterexample"
    assert said in str(answer)
    symbols = {each.params["name"]: each for each in _symbols(one) + _symbols(other)}
    values = {symbols[key]: _doubles(value) for key, value in answer.at.items() if key in symbols}
    values[sb.symbol("of_each_size", ("N", "D"))] = np.zeros((answer.at.get("N", 1), answer.at.get("D", 1)))
    with np.errstate(all="ignore"):
        for expr, found in zip((one, other), answer.values, strict=True):
            np.testing.assert_allclose(_doubles(found), sb.evaluate(expr, values), rtol=1e-9)
    first, second = (np.asarray(value)[answer.index] for value in answer.values)
    assert first != second


def _symbols(expr):
    nodes = expr.graph.nodes
    return [Expr(expr.graph, n) for n in expr.graph.reachable([expr.number]) if nodes[n].op.name == "symbol"]


def _doubles(array):
    return array.astype(np.float64) if array.dtype == object else array


def test_the_answer_says_how_it_was_found():
    proved = sb.same(1 / (1 + sb.exp(-x)), sb.sigmoid(x))
    assert (proved.how, proved.formula, proved.points, proved.digits) == ("rewriting", "σ(x)", 20, 35)
    assert str(proved) == "The same: both simplify to σ(x), and they agree at 20 points to 35 digits."
    difference = sb.same(sb.sin(2 * x), 2 * sb.sin(x) * sb.cos(x))
    assert (difference.how, difference.formula) == ("rewriting", "")
    assert "The same: their difference simplifies to 0, and they agree at 20 points" in str(difference)
    tried = sb.same(sb.tanh(x), 2 * sb.sigmoid(2 * x) - 1, points=7, digits=30)
    assert (tried.how, tried.points, tried.digits) == ("points", 7, 15)
    assert str(sb.same(x**2, x**3)) == "Not the same: at x = 2 the first is 4 and the second 8."
    assert repr(tried) == str(tried)
    assert sb.same(x, x).formula == "x"


def test_a_counterexample_is_made_of_simple_numbers_where_such_tell_the_two_apart():
    assert sb.same(X @ w, 2 * X @ w).at.keys() == {"N", "D", "X", "w"}
    answer = str(sb.same(sb.grad(LOSS, w), X.T @ (p - y)))
    assert "at N = 2, D = 1, X = [[1], [2]], w = [3], b = 1, y = [2, 1] element [0] of the first is " in answer
    many = sb.same(sb.tanh(X @ W) + Y, sb.tanh(X @ W) - Y)
    assert str(many).startswith("Not the same: at\n    N = 2, D = 1, K = 3\n    X = [[1], [2]]\n    W = [[3, 1, 2]]\n")


def test_numbers_are_told_apart_with_as_many_digits_as_it_takes():
    assert "is 1.00000000001 and the second 1." in str(sb.same(x * 1.00000000001, x))


def test_what_differs_in_shape_or_dtype_is_different():
    shape = sb.same(X.T @ X @ w, X @ w)
    assert (bool(shape), shape.how) == (False, "shape")
    assert str(shape) == "Not the same. The first has shape [D], the second [N]."
    assert str(sb.same(X, X.T)).endswith("One looks like the transpose of the other.")
    assert "() of a scalar" in str(sb.same(X, x))
    dtype = sb.same(x, x.astype("float32"))
    assert (bool(dtype), dtype.how) == (False, "dtype")
    assert "The first is of float64, the second of float32" in str(dtype)


def test_a_number_or_a_text_may_stand_for_an_array():
    assert sb.same(sb.grad(sb.sum(y), y), 1)
    assert sb.same(sb.grad(sb.sum(y), y), "1")
    assert sb.same("2*y", sb.grad(sb.sum(y**2), y))
    assert sb.same(sb.grad(LOSS, w), "X.T @ (sigmoid(X@w + b) - y) / N")
    assert sb.same(sb.grad(LOSS, w), "Xᵀ(σ(Xw + b) − y)/N")
    assert sb.same(sb.jacobian(w, w), "I")
    assert sb.same(sb.grad(LOSS, w), "Xw").how == "shape"
    assert not sb.same(sb.grad(LOSS, w), "X.T @ (sigmoid(X@w + b) + y) / N")
    assert not sb.same(sb.grad(sb.sum(w * v), w), "w")  # of the graph, though the gradient is v alone
    with pytest.raises(ParseError):
        sb.same(sb.grad(LOSS, w), "X.T @ unheard_of")
    with pytest.raises(ArgumentError, match="one of the two at least must be an expression"):
        sb.same("x", 1)


def test_kinks_are_single_points():
    """The derivative at a kink is a convention; two conventions are the same derivative."""
    left, right = (sb.grad(sb.relu(x, slope), x) for slope in (0.0, 1.0))
    answer = sb.same(left, right)
    assert answer
    assert "They differ at x = 0 (0 and 1), but not next to it, as at a kink." in str(answer)
    assert sb.same(sb.grad(sb.maximum(x, z), x), x >= z).how == "dtype"
    assert sb.same(sb.grad(sb.maximum(x, z), x), (x > z).astype(float))
    assert not sb.same(sb.grad(sb.abs(x), x), (x > 0).astype(float))


def test_where_only_one_is_defined_the_answer_says_so():
    answer = sb.same(sb.log(x**2), 2 * sb.log(x))
    assert answer
    assert "Only the first is defined at x = -0.5 and the second is not." in str(answer)
    assert "Only the second is defined" in str(sb.same(sb.sqrt(x) ** 2, x))
    assert "defined" not in str(sb.same(sb.log(x), sb.log(2 * x) - math.log(2)))
    assert "defined" not in str(sb.same(sb.log(sb.exp(-sb.exp(x))), -sb.exp(x)))  # too large is not undefined


def test_too_few_points_or_digits_are_an_error():
    for few in ({"points": 0}, {"digits": 16}):
        with pytest.raises(ValueError, match="same: one point and 30 digits at least"):
            sb.same(x, x, **few)


def test_no_point_counts_twice():
    """Bools have few values; that all of them were tried is as good as it gets."""
    m, n = sb.symbol("m", (), "bool"), sb.symbol("n", (), "bool")
    answer = sb.same(m & n, ~(~m | ~n))
    assert (answer.same, answer.points) == (True, 4)


def test_what_is_defined_nowhere_is_undecided():
    with pytest.raises(UndecidedError, match="only at 0 of the points tried are both defined"):
        sb.same(sb.sqrt(-1 - x * x), x)
    with pytest.raises(UndecidedError, match=r"sb\.assume"):
        sb.same(sb.log(x - 1e6), 2 * sb.log(x - 1e6))
    assert sb.same(sb.sqrt(-1 - x * x), sb.sqrt(-1 - x * x)).points == 0  # one node: a proof


FACTS = {  # what makes the two the same, and without which they are not
    "rows_sum_to": lambda A, x, t: (sb.sum(t, axis=1), sb.ones_like(x)),
    "positive": lambda A, x, t: (x / sb.abs(x), sb.ones_like(x)),
    "nonnegative": lambda A, x, t: (sb.sqrt(x * x), x),
    "symmetric": lambda A, x, t: (A, A.T),
    "positive_definite": lambda A, x, t: (sb.sign(x @ A @ x), sb.sign(x @ x)),
    "orthogonal": lambda A, x, t: (A.T @ A, sb.eye(A.shape[0])),
}


def test_large_sizes_take_fewer_points_and_the_largest_none():
    big, huge = sb.symbol("big", (60, 40)), sb.symbol("huge", (60_000, 784))
    start = time.process_time()
    answer = sb.same(sb.sin(2 * big), 2 * sb.sin(big) * sb.cos(big))
    assert 3 <= answer.points < 20
    with pytest.raises(UndecidedError, match="only at 0 of the points") as error:
        sb.same(sb.tanh(huge), 2 * sb.sigmoid(2 * huge) - 1)
    assert "operations at each point are too many; give sizes names" in error.value.__notes__[0]
    assert time.process_time() - start < 20


@pytest.mark.parametrize("fact", FACTS)
def test_declared_facts_are_kept(fact):
    with Graph():
        symbols = A, x, t = sb.symbols("A[M,M] x[M] t[M,K]")
        target = {"rows_sum_to": t, "positive": x, "nonnegative": x}.get(fact, A)
        pair = FACTS[fact](*symbols)
        assert not sb.same(*pair)
        sb.assume(target, **{fact: 1})
        assert sb.same(*pair)


def test_rows_of_integers_are_one_hot():
    with Graph():
        t = sb.assume(sb.symbol("t", ("N", "K"), "int64"), rows_sum_to=1)
        assert sb.same(sb.sum(t, axis=1), sb.sum(t * t, axis=1))


def test_every_fact_that_can_be_declared_is_kept():
    assert FACTS.keys() == inspect.signature(sb.assume).parameters.keys() - {"x"}


def test_facts_leave_as_much_freedom_as_they_can():
    """Or formulas that hold for some such matrices alone would count as the same."""
    with Graph():
        Q, S, P, R = (sb.symbol(name, ("M", "M")) for name in "QSPR")
        sb.assume(Q, orthogonal=True)
        sb.assume(S, symmetric=True)
        sb.assume(P, positive_definite=True)
        sb.assume(R, orthogonal=True, symmetric=True)
        assert not sb.same(sb.linalg.det(Q), 1)
        assert not sb.same(Q, Q.T)
        assert not sb.same(sb.linalg.slogdet(S).sign, 1)
        assert not sb.same(P, sb.diag(sb.diag(P)))
        assert sb.same(R @ R, sb.eye(R.shape[0]))
        assert not sb.same(R, sb.eye(R.shape[0]))


def test_two_symbols_of_one_name_are_an_error():
    with Graph():
        one, other = sb.sum(sb.symbol("q", "N")), sb.sum(sb.symbol("q", 3))
        with pytest.raises(GraphError, match=r"same: two different symbols are called q: .*q\[N\].*q\[3\]"):
            sb.same(one, other)
    with Graph(), pytest.raises(GraphError, match="different graphs"):
        sb.same(sb.symbol("x"), x)


def test_the_graph_of_the_user_is_left_as_it_was():
    one, other = sb.grad(LOSS, w), X.T @ (p - y) / N
    before = len(one.graph)
    assert sb.same(one, other)
    assert len(one.graph) == before


def test_an_ordinary_check_takes_less_than_a_second():
    h = sb.tanh(X @ W)
    loss = -sb.mean(sb.sum(Y * sb.log_softmax(h @ sb.symbol("V", ("K", "K"))), axis=1))
    sb.same(x, x)  # imports
    start = time.process_time()
    assert sb.same(sb.grad(LOSS, w), X.T @ (p - y) / N)
    assert sb.same(sb.grad(loss, W), sb.simplify(sb.grad(loss, W)))
    assert time.process_time() - start < 2.0


@pytest.mark.parametrize("rule", every_rule(), ids=lambda rule: rule.name)
def test_every_rewrite_rule_holds_to_35_digits(rule):
    for example in rule.examples():
        with Graph() as graph:
            for expr in with_numbers(example):
                (after,) = rebuild(rebuild([expr], Rewritten([rule])), graph)
                assert sb.same(expr, after), (str(expr), str(after))


@pytest.mark.parametrize("seed", range(10))
def test_simplifying_keeps_the_values_of_random_expressions(seed):
    with Graph():
        made = random_expression(np.random.default_rng(seed), 14)
        for output in made.outputs[:3]:
            assert sb.same(output, sb.simplify(output))
            if output.dtype.kind == "f":
                assert not sb.same(output, output + 1e-9)

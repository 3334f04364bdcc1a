"""Mistakes that newcomers make: each is told at once, with the names of what was wrong and what to write instead."""

import math
import pickle
import re

import numpy as np
import pytest

import symbackprop as sb
from symbackprop import train

MISTAKES = [
    # operands
    (sb.log, r"log takes 1 operand, not 2: x[N], s"),
    (lambda x, s: sb.maximum(x, s, 1), r"maximum takes 2 operands, not 3: x[N], s, 1"),
    (lambda x, s: sb.maximum(x), r"maximum takes 2 operands, not 1: x[N]"),
    (lambda x, s: sb.where(x > 0, x), r"where takes 3 operands, not 2: greater(x, 0)[N], x[N]"),
    (lambda x, s: sb.exp(), "exp takes 1 operand, not none"),
    # comparisons
    (lambda x, s: s == 2, "to compare the values of s write np.equal(…, 2)"),
    (lambda x, s: x != 0.5, "to compare the values of x[N] write np.not_equal(…, 0.5)"),
    (lambda x, s: sb.where(x == s, 1, x), "to compare the values of x[N] and s write np.equal"),
    (lambda x, s: (x == s) * x, "to compare the values of x[N] and s write np.equal"),
    (lambda x, s: x * (x != s), "to compare the values of x[N] and s write np.not_equal"),
    (lambda x, s: np.mean(x == s), "to compare the values of x[N] and s write np.equal"),
    # expressions
    (lambda x, s: sb.simplify([s, "x*1"]), "simplify takes expressions, not 'x*1'; a text is read by sb.parse"),
    # numbers
    (lambda x, s: math.exp(s), "s is an expression and no number: where you call a function of math"),
    (lambda x, s: float(x), "x[N] is an expression and no number"),
    (lambda x, s: int(x), "x[N] is an expression and no number"),
    (lambda x, s: complex(x), "x[N] is an expression and no number"),
    # loops
    (lambda x, s: sum(x), "x[N] cannot be iterated over: its first axis has the named size N"),
    (lambda x, s: list(s), "s cannot be iterated over: it is a scalar"),
    # axes
    (sb.max, "max: an axis is an int such as 0 or -1, not s; of two operands it is sb.maximum: x[N]"),
    (lambda x, s: sb.sum(x, "N"), "sum: an axis is an int such as 0 or -1, not 'N': x[N]"),
    (lambda x, s: sb.mean(x, axis=0.5), "mean: an axis is an int such as 0 or -1, not 0.5: x[N]"),
    (sb.concatenate, "concatenate takes a list of arrays, not the expression x[N]"),
    (sb.stack, "stack takes a list of arrays, not the expression x[N]"),
    (lambda x, s: sb.stack([]), "stack: give one array at least"),
    # symbols
    (lambda x, s: sb.symbols("X[N D]"), "symbols: 'X[N D]' is no symbol"),
    (lambda x, s: sb.symbol("X[N,D]"), "symbol: 'X[N,D]' is a name with sizes: write symbols('X[N,D]')"),
    (lambda x, s: sb.symbol("X", "N", "d"), "symbol X: 'd' stands in the place of the dtype"),
    # values
    (lambda x, s: sb.evaluate([x, s], {x: [1.0], s: 1.0}), "evaluate takes one expression, not list"),
    (lambda x, s: sb.evaluate(s, {s: None}), "s: the value is no array of numbers but NoneType"),
    (lambda x, s: sb.evaluate(x, {x: ["a"]}), "x[N]: the value is no array of numbers but list"),
    (lambda x, s: sb.check_grad(s, {}), "check_grad: values are given by expression, as in {x: 1.0}, not none at all"),
    (
        lambda x, s: sb.check_grad(s, {"s": 1.0}),
        "check_grad: values are given by expression, as in {x: 1.0}, not by 's'",
    ),
    (lambda x, s: sb.grad([s, s * 2], s), "grad takes one expression, not a list"),
    # compiling
    (lambda x, s: sb.compile(x, x), "compile: the inputs are a list, not the one expression x[N]"),
    (lambda x, s: sb.compile([x], x, skip="share"), "skip is a list of names: write ['share']"),
    (lambda x, s: sb.compile([x], x, name="lambda"), "compile: 'lambda' cannot name a function"),
    (lambda x, s: sb.compile([x], x, updates={x: sb.sum(x)}), "the update of x[N] has shape (), not [N]"),
    (lambda x, s: sb.compile([x], x)(None), "f: x[N] wants float64, and the NoneType given has dtype object"),
    (lambda x, s: sb.compile([x], x)(["a"]), "f: x[N] wants float64, and the list given has dtype <U1"),
    (lambda x, s: sb.compile([x], x)([[1.0], [1.0, 2.0]]), "f: x[N]: setting an array element with a sequence"),
    (
        lambda x, s: pickle.dumps(sb.compile([x], x)),
        "f cannot be pickled or copied: write it to a file with .save('f.py')",
    ),
    (lambda x, s: sb.compile([x], sb.sigmoid(x), name="sigmoid"), "compile: 'sigmoid' cannot name a function: the gen"),
    (
        lambda x, s: sb.compile([x], x, name="np"),
        "compile: 'np' cannot name a function: the generated code calls another",
    ),
    (lambda x, s: (x + 1).named(""), "a name is a text such as 'z', not '': add(x, 1)[N]"),
    (lambda x, s: (x + 1).named(3), "a name is a text such as 'z', not 3: add(x, 1)[N]"),
    # training
    (
        lambda x, s: train.mlp(sb.symbol("X", ("N", 2)), 4),
        "mlp: the sizes are a list such as [16, 4], not the number 4",
    ),
    (
        lambda x, s: train.mlp(sb.symbol("X", ("N", 2)), [4, 1], activation="tanh"),
        "mlp: the activation is a function such as sb.tanh, not the text 'tanh'",
    ),
    (
        lambda x, s: train.fit(sb.sum(s * x), {s: 1.0}, {x: [1.0]}, optimiser=train.Adam, epochs=1),
        "fit: the optimiser is an object such as Adam(0.001), not",
    ),
    (
        lambda x, s: train.fit(sb.sum(s * x), [s], {x: [1.0]}, optimiser=train.Adam(), epochs=1),
        "fit: params is a dict of arrays by symbol, not list",
    ),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_a_mistake_is_told_with_what_to_write_instead(mistake, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        mistake(sb.symbol("x", "N"), sb.symbol("s"))


def test_what_is_no_mistake_is_no_error():
    x, s = sb.symbols("x[N] s")
    assert x == x  # noqa: PLR0124  (what is tested)
    assert x != s
    assert x != "x"
    assert x in [s, x]
    assert {x: 1}[sb.symbol("x", "N")] == 1
    assert (sb.symbol("k", 3) == np.ones(3)).op is sb.equal
    assert sb.evaluate(sb.where(np.True_, s, 0), {s: 2.0}) == 2
    assert sb.symbols("X [N , D]")[0].shape == ("N", "D")
    assert sb.sum(x, axis=np.int64(0)).shape == ()
    assert sb.sum(x, axis=range(1)).shape == ()


def test_an_array_that_is_written_to_has_one_use():
    a, b, c = sb.symbols("a[N] b[N] c[N]")
    f = sb.compile([a, b, c], sb.sum(c), updates={a: a + b, b: a - b})
    same = np.ones(2)
    with pytest.raises(TypeError, match=r"f: a\[N\] and b\[N\] are one array, and a is updated in place: give one of"):
        f(same, same, np.ones(2))
    with pytest.raises(TypeError, match=r"f: b\[N\] and c\[N\] are one array, and b is updated in place"):
        f(np.ones(2), same, same)
    np.testing.assert_array_equal(same, 1.0)
    g = sb.compile([a, b, c], sb.sum(b * c), updates={a: a + b})
    assert g(np.ones(2), same, same) == 2


@pytest.mark.parametrize("name", ["np", "put", "sigmoid", "softmax", "diagonal_matrix"])
def test_symbols_may_be_called_like_what_generated_code_calls(name):
    symbol, x = sb.symbol(name, "N"), sb.symbol("x", "N")
    total = sb.sum(sb.softmax(symbol) * sb.sigmoid(x) @ sb.diag(symbol)) + sb.sum(
        sb.grad(sb.sum(symbol[1:] ** 2), symbol)
    )
    values = {symbol: np.array([1.0, 2.0]), x: np.array([0.5, -1.0])}
    np.testing.assert_allclose(sb.compile([symbol, x], total)(*values.values()), sb.evaluate(total, values))

"""NumPy's protocols: ufuncs, their methods, functions, keywords, sizes as numbers; what is said where it ends."""

import math
import re

import numpy as np
import pytest
from scipy import special

import symbackprop as sb
from symbackprop.errors import ArgumentError, DtypeError, ShapeError

A = np.array([[0.5, 1.5, 2.5], [1.0, 0.25, 3.0]])
NAMES = {"np": np, "special": special, "a": A, "k": np.array([[1, 2, 3], [4, 5, 6]]), "b": A > 1}


def value(text, **names):
    """What a text from the tables here is with arrays, or with symbols."""
    return eval(text, NAMES | names)  # noqa: S307  (our own tables)


# What must give with symbols in the place of the arrays what it gives with them, in value and dtype.
CALLS = """
np.add.reduce(x)
np.add.reduce(x, axis=None)
np.add.reduce(x, 1, keepdims=True)
np.add.reduce(x, axis=(0, 1))
np.add.reduce(x, axis=1, dtype=np.float32)
np.multiply.reduce(x, axis=1)
np.maximum.reduce(x)
np.minimum.reduce(x, axis=-1)
np.subtract.reduce(x)
np.subtract.reduce(x, axis=1, keepdims=True)
np.power.reduce(x, axis=1)
np.divide.accumulate(x, axis=1)
np.maximum.accumulate(x, axis=1)
np.subtract.accumulate(x)
np.subtract.outer(x, x)
np.multiply.outer(x, a[0])
np.add.outer(a[0], x)
np.less.outer([1.0, 2.0], x)
np.power.outer(x, 2)
np.add(x, 1, dtype=np.float32)
np.add(k, 1, dtype=np.float64)
np.add(k, x, casting="safe")
np.multiply(x, 2.5, dtype="float32")
np.less(x, 1, dtype=bool)
np.exp(x, where=True, out=None, order="K", subok=True)
np.sum(x, 0, None, None, True)
np.sum(x, dtype=np.float32)
np.mean(k, axis=0, dtype=np.float32)
np.sum(x, axis=0, out=None)
np.max(x, axis=1, out=None)
np.bitwise_and(b, a > 2)
np.bitwise_or(a > 2, b)
np.bitwise_xor(b, a > 2)
(a > 2) ^ b
b ^ (a > 2)
np.invert(b)
np.positive(x)
np.conj(x)
np.real(x)
np.imag(x)
np.copy(x)
np.linalg.matmul(x, a.T)
np.linalg.outer(x[0], x[1])
np.concatenate([x, a])
np.concatenate([a, x], axis=1)
np.stack([x[0], [1, 2, 3]])
np.stack([x, a], 1)
a - x
a / x
a @ x.T
a ** x
a > x
a <= x
np.float64(2) - x
np.float32(2) * x
[1, 2, 3] + x
[1, 2, 3] - x
(1, 2, 3) * x
divmod(x, 2)[1]
divmod(5.0, x)[0]
a // x
np.result_type(x, np.float32)
np.can_cast(x, np.float32)
np.common_type(x)
np.shape(x)
np.size(x)
np.size(x, 1)
np.ndim(x)
np.iscomplexobj(x)
np.isrealobj(x)
np.min_scalar_type(x)
special.expit(x)
special.ndtr(x)
special.erf(x)
""".strip().splitlines()


@pytest.mark.parametrize("call", CALLS)
def test_what_numpy_does_with_arrays_it_does_with_symbols(call):
    arrays = {"x": A * 0.75, "k": NAMES["k"], "b": NAMES["b"]}
    symbols = {name: sb.symbol(name, array.shape, array.dtype) for name, array in arrays.items()}
    found, expected = value(call, **symbols), value(call, **arrays)
    if isinstance(found, sb.Expr):
        assert found.dtype == expected.dtype
        found = sb.evaluate(found, {symbols[name]: array for name, array in arrays.items()})
        np.testing.assert_allclose(found, expected, rtol=2e-7 if expected.dtype == "float32" else 1e-14, strict=True)
    else:
        assert found == expected


def test_rebinding_in_place_makes_new_expressions():
    x = y = sb.symbol("x", 3)
    y += 1
    y *= np.ones(3)
    y /= 2
    y -= x
    y **= 2
    np.testing.assert_array_equal(sb.evaluate(y, {x: [1.0, 2.0, 3.0]}), [0.0, 0.25, 1.0])
    assert x.op.name == "symbol"


SIZES = [
    "0.5 * n", "n * 0.5", "1.5 + n", "n + 1.5", "0.5 - n", "n - 0.5", "1 / n", "n / 2", "n / n", "n**0.5", "2.0**n",
    "np.sqrt(n)", "np.log(2 * np.pi * n)", "np.float64(2) * n", "n * a", "a * n", "a / n", "a - n", "x.sum() / n",
    "-0.5 * n * np.log(2 * np.pi)", "x * n**2", "x - n**0",
]  # fmt: skip


@pytest.mark.parametrize("formula", SIZES)
def test_sizes_are_numbers_in_formulas(formula):
    x = sb.symbol("x", ("N", 3))
    y = value(formula, x=x, n=x.shape[0])
    np.testing.assert_allclose(sb.compile([x], y)(A), value(formula, x=A, n=2), rtol=1e-14, strict=True)


NO_ELEMENTS = "build with symbackprop's functions (sb.array([…]) of expressions, not np.array)"
UNKNOWN = "the size N is not known while the graph is built: write the formula for whole arrays"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("np.fft.fft(x)", "np.fft.fft has no symbolic form in symbackprop: values are real numbers here"),
        ("np.emath.sqrt(x)", "np.lib.scimath.sqrt has no symbolic form"),
        ("np.array_equal(x, x)", "use sb.all of a comparison"),
        ("np.copyto(a, x)", "expressions never change: build another"),
        ("np.exp(x, out=a)", "np.exp: out= writes into an array, and expressions never change: take what the call"),
        ("np.exp(x, where=x > 0)", "np.exp: where= leaves the other elements as they were in memory: write sb.where"),
        ("np.sum(x, out=a)", "sum: out= writes into an array"),
        ("np.add(x, k, casting='no')", "np.add: Cannot cast ufunc 'add' input"),
        ("np.add(x, 1, dtype=np.int64)", "np.add: Cannot cast ufunc 'add' input 0 from dtype('float64') to"),
        ("np.matmul(x, x, axes=[(0, 1)] * 3)", "np.matmul: axes= has no symbolic form: leave it out"),
        ("np.add.at(x, 0, 1)", "np.add.at writes into an array, and expressions never change: write y = x.at[ind"),
        ("np.add.reduceat(x, [0])", "np.add.reduceat has no symbolic form in symbackprop: take the ufunc"),
        ("np.exp.outer(x, x)", "outer product only supported for binary functions"),
        ("np.subtract.reduce(n)", "np.subtract.reduce: n[N] has the named size N on axis 0, and this takes a number"),
        ("np.subtract.reduce(x[:0])", "has nothing on axis 0 to begin with"),
        ("np.subtract.reduce(x, axis=None)", "np.subtract.reduce over axis None has no symbolic form"),
        ("np.subtract.reduce(x, initial=3)", "np.subtract.reduce: initial= has no symbolic form: leave it out"),
        ("np.asarray(x)", NO_ELEMENTS),
        ("np.array([x, x])", NO_ELEMENTS),
        ("np.array([s, 1.0])", NO_ELEMENTS),
        ("special.logsumexp(x)", "x[2, 3] is an expression and has no values: call sb.logsumexp"),
        ("x.__setitem__(0, 1)", "write y = x.at[index].set(value) in place of x[index] = value, and .add for +="),
        ("a.__setitem__(0, x[0])", NO_ELEMENTS),
        ("a.__iadd__(x)", "take what the call returns (a = a + x for a += x)"),
        ("f'{s:.3f}'", "s is a formula and no number, so '.3f' cannot format it: use sb.evaluate first"),
        ("'%g' % s", "s is an expression and no number"),
        ("math.sin(s)", "call symbackprop's (sb.exp, not math.exp)"),
        ("s if s > 0 else 0", "use sb.where(condition, a, b) in place of if"),
        ("max(s, 0)", "use sb.where(condition, a, b) in place of if"),
        ("range(n.shape[0])", UNKNOWN),
        ("np.zeros(n.shape[0])", UNKNOWN),
        ("np.eye(n.shape[0])", UNKNOWN),
        ("n.shape[0] > 3", UNKNOWN),
        ("float(n.size)", UNKNOWN),
    ],
)  # fmt: skip
def test_where_it_ends_it_says_what_to_write(call, message):
    symbols = {"x": sb.symbol("x", (2, 3)), "s": sb.symbol("s"), "n": sb.symbol("n", "N")}
    names = symbols | {"k": sb.symbol("k", (2, 3), "int64"), "a": A.copy(), "math": math}
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        value(call, **names)
    np.testing.assert_array_equal(names["a"], A)


def test_the_errors_are_symbackprops():
    x = sb.symbol("x", 3)
    with pytest.raises(ArgumentError):
        np.fft.fft(x)
    with pytest.raises(DtypeError):
        np.add(x, 1, dtype=int)
    with pytest.raises(ShapeError):
        np.subtract.accumulate(sb.symbol("n", "N"))


def test_an_element_set_to_an_expression_is_told_by_the_cause():
    """NumPy raises an error of its own there, from ours."""
    with pytest.raises(ValueError, match="setting an array element with a sequence") as caught:
        np.zeros(3)[0] = sb.symbol("s")
    assert "in place of filling an array element by element write sb.array" in str(caught.value.__cause__)

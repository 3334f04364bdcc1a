"""Expressions: operators, NumPy's protocols, symbols and their specs, and what is said when something does not fit."""

from __future__ import annotations

import copy
import importlib
import operator
import pickle
import re

import numpy as np
import pytest

import symbackprop as sb
from symbackprop import errors
from symbackprop.errors import ArgumentError, DtypeError, GraphError, ShapeError
from symbackprop.expr import user_line
from symbackprop.op import Value
from symbackprop.refusals import FUNCTIONS, METHODS, WRITING

# --- operators ------------------------------------------------------------------------------------------------

BINARY = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow,
    operator.lt, operator.le, operator.gt, operator.ge, operator.matmul,
]  # fmt: skip


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.__name__)
def test_operators_are_numpys(op):
    """Operands are expressions, arrays, and numbers of Python and of NumPy, on either side."""
    a, b = np.array([1.5, 2.0, 0.5]), np.array([0.5, 2.0, 1.25])
    x, y = sb.symbol("x", 3), sb.symbol("y", 3)
    values = {x: a, y: b}
    pairs = [((x, y), (a, b)), ((x, b), (a, b)), ((a, y), (a, b))]
    if op is not operator.matmul:
        pairs += [((x, s), (a, s)) for s in (2, 1.5, np.float64(2), np.float32(1.5), np.int64(2), np.array(2.0))]
        pairs += [((s, y), (s, b)) for s in (2, 1.5, np.float64(2), np.float32(1.5), np.int64(2), np.array(2.0))]
    for operands, arrays in pairs:
        z = op(*operands)
        expected = op(*arrays)
        assert isinstance(z, sb.Expr)
        assert z.dtype == expected.dtype
        np.testing.assert_array_equal(sb.evaluate(z, values), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_python_numbers_never_widen(dtype):
    x = sb.symbol("x", 3, dtype)
    for y in (
        x + 1,
        1.5 - x,
        x * True,
        2 / x,
        x**2,
        x**0.5,
        2**x,
        x // 2,
        2 % x,
        sb.maximum(0, x),
        sb.clip(x, -1, 1.0),
    ):
        assert y.dtype == dtype
    for y in (sb.leaky_relu(x), sb.mean(x), sb.relu(x), sb.softplus(x), sb.where(x > 0, x, 0.0), sb.prelu(x, 0.25)):
        assert y.dtype == dtype
        assert sb.grad(sb.sum(y), x).dtype == dtype
    assert (x * np.float64(2)).dtype == "float64"


def test_unary_operators():
    a = np.array([-1.5, 2.0])
    x = sb.symbol("x", 2)
    for op in (operator.neg, operator.pos, abs):
        np.testing.assert_array_equal(sb.evaluate(op(x), {x: a}), op(a))
    assert +x is x
    assert (x**2).op.name == "square"


def test_logic_is_for_bools():
    x, flag, k = sb.symbol("x", 3), sb.symbol("flag", 3, "bool"), sb.symbol("k", 3, "int64")
    a, f = np.array([-1.0, 1.0, 2.0]), np.array([True, False, True])
    values = {x: a, flag: f}
    for y, expected in [
        (flag & (x > 0), f & (a > 0)),
        (flag | (x > 1), f | (a > 1)),
        (~flag, ~f),
        (f & (x > 0), f & (a > 0)),
        (f | (x > 0), f | (a > 0)),
        (True & flag, f),
        (False | flag, f),
        (np.bitwise_and(flag, f), f),
        (np.invert(flag), ~f),
    ]:
        assert y.dtype == bool
        np.testing.assert_array_equal(sb.evaluate(y, values), expected)
    bits = np.array([1, 2, 3])
    for y, expected in [
        (k & 1, bits & 1), (1 | k, 1 | bits), (~k, ~bits), (k ^ 3, bits ^ 3), (flag & 1, f & 1), (1 << k, 1 << bits),
        (k >> 1, bits >> 1), (flag ^ (x > 1), f ^ (a > 1)), (5 ^ k, 5 ^ bits), (bits & k, bits), (8 >> k, 8 >> bits),
        (k << 2, bits << 2),
    ]:  # fmt: skip
        assert y.dtype == expected.dtype
        np.testing.assert_array_equal(sb.evaluate(y, {**values, k: bits}), expected)
    for call in (lambda: x & flag, lambda: 1 | x, lambda: ~x, lambda: x ^ k):
        with pytest.raises(DtypeError, match="is for integers and bools"):
            call()
    with pytest.raises(DtypeError) as caught:
        x & flag
    message = "bitwise_and: & is for integers and bools, not float64 and bool: compare first, or convert: x[3], flag[3]"
    assert str(caught.value) == message


def test_named_sizes_are_numbers_in_expressions():
    x = sb.symbol("x", ("N", "D"), "float32")
    N, D = x.shape
    values = {x: np.ones((4, 3), "float32")}
    for y, expected in [
        (sb.sum(x) / N, 3.0),
        (N * sb.sum(x), 48.0),
        (sb.sum(x) / (N * D), 1.0),
        (N - sb.mean(x), 3.0),
        (x * (N + 1), np.full((4, 3), 5.0)),
    ]:
        assert y.dtype == "float32"
        y.graph.verify([y.number])
        np.testing.assert_array_equal(sb.evaluate(y, values), expected)


def test_equality_is_identity():
    x, y = sb.symbols("x[3] y[3]")
    assert not (x == y)  # noqa: SIM201  (both are claimed)
    assert x != y
    assert x == x  # noqa: PLR0124  (this is the claim)
    assert {x: 1, y: 2}[x] == 1
    assert x in [y, x]
    np.testing.assert_array_equal(sb.evaluate(sb.equal(x, y), {x: [1, 2, 3], y: [1, 0, 3]}), [True, False, True])


def test_names():
    x = sb.symbol("x")
    z = (x + 1).named("z")
    assert (x.name, z.name, (z * 2).name) == ("x", "z", None)
    assert sb.exp(z).describe() == "exp(z)"
    with pytest.raises(GraphError, match="the symbol x has a name already"):
        x.named("y")


# --- NumPy's protocols ----------------------------------------------------------------------------------------


def test_numpy_functions_build_nodes():
    x = sb.symbol("x", ("N", 3))
    for y, name in [
        (np.exp(x), "exp"),
        (np.add(x, 1), "add"),
        (np.float64(2) * x, "multiply"),
        (np.ones(3) - x, "subtract"),
        (np.absolute(x), "abs"),
        (np.sum(x, axis=0), "sum"),
        (np.mean(x), "mean"),
        (np.max(x, axis=1), "max"),
        (np.amin(x), "min"),
        (np.where(x > 0, x, 0), "where"),
        (np.stack([x, x]), "stack"),
        (np.matmul(np.ones((2, 3)), x.T), "matmul"),
        (np.less(np.float64(1), x), "less"),
    ]:
        assert isinstance(y, sb.Expr)
        assert y.op.name == name


def test_numpy_tells_shape_rank_and_size():
    x = sb.symbol("x", ("N", 3))
    assert np.shape(x) == ("N", 3)
    assert np.ndim(x) == 2
    assert np.size(x) == 3 * x.shape[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (np.fft.fft, "np.fft.fft has no symbolic form in symbackprop: values are real numbers here"),
        (
            lambda x: np.nextafter(x, 2),
            (
                "np.nextafter has no symbolic form in symbackprop: write it with functions that have one, or tell its "
                "value and its derivative with sb.define_op"
            ),
        ),
        (
            np.asarray,
            (
                "x[3] is an expression and has no values: build with symbackprop's functions "
                "(sb.array([…]) of expressions, not np.array), or compile it with sb.compile([inputs], expr) and "
                "call the result"
            ),
        ),
        (lambda x: sb.constant([x, x]), None),
        (
            bool,
            (
                "the truth of x[3] is not known while the graph is built: use sb.where(condition, a, b) in place of "
                "if, `and`, `or`; & | ~ for logic"
            ),
        ),
        (lambda x: 0 < x < 1, None),
        (float, None),
        (lambda x: range(3)[x], None),
        (pickle.dumps, "x[3] lives in a graph and cannot be pickled or copied"),
        (copy.deepcopy, "x[3] lives in a graph and cannot be pickled or copied"),
        (lambda _x: len(sb.symbol("n", ("N", 3))), "n[N, 3] has the named size N, so no length: use .shape"),
        (
            lambda _x: list(sb.symbol("n", "N")),
            ("n[N] cannot be iterated over: its first axis has the named size N; write the formula for whole arrays, "
            "with sb.sum"),
        ),
        (lambda _x: len(sb.symbol("n")), "n has no axes, so no length: use .shape"),
        (lambda x: sb.sum(x, dtype="complex64"), None),
        (lambda x: sb.exp(x, axis=0), "exp takes no parameters, not ['axis']"),
    ],
)  # fmt: skip
def test_what_an_expression_cannot_be(call, message):
    x = sb.symbol("x", 3)
    with pytest.raises(TypeError) as caught:
        call(x)
    assert message in {None, str(caught.value)}


@pytest.mark.parametrize(("name", "reason"), FUNCTIONS.items(), ids=str)
def test_numpy_functions_without_symbolic_form_say_why(name, reason):
    x = sb.symbol("x", 3)
    module, _, function = f"numpy.{name}".rpartition(".")
    assert function in WRITING or not hasattr(sb.linalg if module == "numpy.linalg" else sb, function)
    called = getattr(importlib.import_module(module), function, None)
    if called is not None:  # some came with newer versions of NumPy
        with pytest.raises(TypeError, match=re.escape(f"np.{name} has no symbolic form in symbackprop: {reason}")):
            x.__array_function__(called, (), (x,), {})


@pytest.mark.parametrize(("name", "reason"), METHODS.items(), ids=str)
def test_methods_of_arrays_without_symbolic_form_say_why(name, reason):
    x = sb.symbol("x", "N")
    with pytest.raises(AttributeError, match=re.escape(f"{reason}: x[N]")):
        getattr(x, name)
    assert not hasattr(x, name)


def test_arrays_are_not_written_through_numpy():
    x = sb.symbol("x", 3)
    array = np.ones(3)
    with pytest.raises(TypeError, match=r"np.add: out= writes into an array"):
        array += x


def test_iteration_over_a_known_axis():
    x = sb.symbol("x", (2, "N"))
    first, second = x
    assert len(x) == 2
    assert first.shape == second.shape == ("N",)
    np.testing.assert_array_equal(sb.evaluate(second, {x: [[1, 2], [3, 4]]}), [3, 4])


# --- symbols --------------------------------------------------------------------------------------------------


def test_symbols_from_one_line():
    X, w, b, g, T = sb.symbols("X[N, D] w[D], b ḡ [N,2*D+1]  T[3,N]", "float32")
    assert [expr.shape for expr in (X, w, b, T)] == [("N", "D"), ("D",), (), (3, "N")]
    assert str(g.shape[1]) == "2*D + 1"
    assert {expr.dtype.name for expr in (X, w, b, g, T)} == {"float32"}
    (z,) = sb.symbols("z̄[M]")  # a letter with a combining mark is an identifier
    assert z.name == "z̄"
    assert sb.symbols("s[]")[0].shape == ()


@pytest.mark.parametrize("spec", ["", " , "])
def test_no_symbols(spec):
    with pytest.raises(ShapeError) as caught:
        sb.symbols(spec)
    assert str(caught.value) == "symbols: no name given; write for example 'X[N,D] w[D] b'"


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("x 2y", "2y"), ("X[N", "[N"), ("X[N]]", "]"), ("[N]", "[N]"), ("X[N,,D]", "X[N,,D]"), ("X[,]", "X[,]"),
        ("x;import os", "x;import"), ("a+b", "a+b"), ("X[[N]]", "X[[N]"), ("f(x)", "f(x)"),
    ],
)  # fmt: skip
def test_bad_specs_show_the_part(spec, part):
    with pytest.raises(ShapeError) as caught:
        sb.symbols(spec)
    expected = f"symbols: {part!r} is no symbol; write names with sizes in brackets: 'X[N,D] w[D] b'"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sb.symbol(""), ShapeError, "a symbol's name is a text without white space such as 'x', not ''"),
        (
            lambda: sb.symbol("x;import os"),
            ShapeError,
            "a symbol's name is a text without white space such as 'x', not 'x;import os'",
        ),
        (lambda: sb.symbol(3), ShapeError, "a symbol's name is a text without white space such as 'x', not 3"),
        (lambda: sb.symbol("x", (2, -1)), ShapeError, "a size cannot be negative: -1"),
        (lambda: sb.symbol("x", 2.5), ShapeError, None),
        (lambda: sb.symbol("x", "N M"), ShapeError, None),
        (
            lambda: sb.symbol("x", 3, "complex128"),
            DtypeError,
            "symbol x: dtype complex128 is not supported; use floats, integers or bool",
        ),
        (
            lambda: sb.symbol("x", 3, "flaot32"),
            DtypeError,
            "symbol x: 'flaot32' is no dtype; use float64, float32, int64, bool …",
        ),
        (
            lambda: sb.constant(["a"]),
            DtypeError,
            "constant: dtype <U1 is not supported; use floats, integers or bool",
        ),
    ],
)
def test_bad_symbols_and_constants(call, error, message):
    with pytest.raises((error, TypeError)) as caught:
        call()
    assert message in {None, str(caught.value)}


def test_a_name_that_is_no_identifier_is_only_a_name():
    x = sb.symbol("x;import(os)", 2)
    assert x.name == "x;import(os)"
    np.testing.assert_array_equal(sb.evaluate(x * 2, {x: [1.0, 2.0]}), [2, 4])


def test_byte_order_is_that_of_the_machine():
    swapped = np.array([1.0, 2.0]).astype(">f8")
    x = sb.symbol("x", 2, ">f8")
    assert x is sb.symbol("x", 2, "<f8") or np.dtype("f8").str == ">f8"
    assert sb.constant(swapped).dtype == np.dtype("f8")
    assert (x + swapped).dtype == np.dtype("f8")
    np.testing.assert_array_equal(sb.evaluate(x + swapped, {x: swapped}), [2, 4])


def test_constants_are_copies():
    array = np.ones(3)
    c = sb.constant(array)
    array[:] = 7
    np.testing.assert_array_equal(sb.evaluate(c, {}), np.ones(3))


def test_values_are_equal_by_dtype_shape_and_bytes():
    assert Value(np.array([1.0, np.nan])) == Value(np.array([1.0, np.nan]))
    assert hash(Value(np.array(0.5))) == hash(Value(np.array(0.5)))
    for one, other in [
        (np.array(0.0), np.array(-0.0)),
        (np.array(1.0), np.array(1)),
        (np.array(0.0), np.array(0)),
        (np.array(1.0), np.array([1.0])),
        (np.float32(0.1), np.float64(np.float32(0.1))),
        (np.zeros((0, 2)), np.zeros((2, 0))),
    ]:
        assert Value(one) != Value(other)
    with pytest.raises(ValueError, match="read-only"):
        Value(np.ones(2)).array[0] = 3
    for number, text in [
        (2.0, "2"), (0.1, "0.1"), (np.float32(0.1), "0.1"), (1e22, "1e+22"), (-3.0, "-3"), (True, "True"), (7, "7"),
        (np.inf, "inf"), (np.nan, "nan"), (123456789.5, "123456789.5"),
    ]:  # fmt: skip
        assert str(Value(np.array(number))) == text


def test_constants_are_written_as_they_are():
    rng = np.random.default_rng(0)
    for array in [
        rng.standard_normal((2, 3)),
        np.array([np.inf, -np.inf, np.nan, -0.0]),
        np.zeros((0, 3)),
        np.zeros((2, 0), "int64"),
        np.array([True, False]),
        np.arange(3, dtype="int32"),
        rng.standard_normal(3).astype("float32"),
        np.array(-1.5),
        np.array(np.inf),
        np.array(-np.inf),
        np.array(np.nan),
        np.array(3),
        np.array(True),
        np.array(1e-300),
    ]:
        c = sb.constant(array)
        text = c.op.form(c.op.numpy, c.params, ()).template
        found = np.asarray(eval(text, {"np": np}))  # noqa: S307  (written by the op)
        np.testing.assert_array_equal(found, array)
        assert found.shape == array.shape
        assert found.dtype == array.dtype or not array.ndim
        np.testing.assert_array_equal(np.signbit(found), np.signbit(array)) if array.dtype.kind == "f" else None


# --- what is said when operands do not fit --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda X, w, y: X @ y,
            ShapeError,
            "matmul: inner sizes D and N differ: X[N, D], y[N]",
        ),
        (
            lambda X, w, y: X @ w - w,
            ShapeError,
            "subtract: sizes N and D on axis -1 differ; a named size broadcasts only against 1: matmul(X, w)[N], w[D]",
        ),
        (
            lambda X, w, y: w + np.ones(3),
            ShapeError,
            "add: sizes D and 3 on axis -1 differ; a named size broadcasts only against 1: w[D], array[3]",
        ),
        (lambda X, w, y: X @ 2, ShapeError, "matmul: a scalar has no matrix product; multiply with *: X[N, D], 2"),
        (lambda X, w, y: sb.sum(X, axis=2), ShapeError, "sum: axis 2 is out of range for rank 2: X[N, D]"),
        (lambda X, w, y: sb.sum(X, axis=(0, -2)), ShapeError, "sum: axis named twice in (0, -2): X[N, D]"),
        (lambda X, w, y: sb.softmax(X, axis=5), ShapeError, "softmax: axis 5 is out of range for rank 2: X[N, D]"),
        (lambda X, w, y: sb.max(sb.symbol("e", (2, 0))), ShapeError, "max: no elements on axis 1: e[2, 0]"),
        (lambda X, w, y: sb.squeeze(X, 0), ShapeError, "squeeze: axis 0 has size N, not 1: X[N, D]"),
        (lambda X, w, y: sb.squeeze(X, 2), ShapeError, "squeeze: axis 2 is out of range for rank 2: X[N, D]"),
        (lambda X, w, y: sb.expand_dims(X, 3), ShapeError, "expand_dims: axis 3 is out of range for rank 3: X[N, D]"),
        (
            lambda X, w, y: sb.reshape(X, ("N", 3)),
            ShapeError,
            "reshape: D*N elements do not fill the shape (N, 3): X[N, D]",
        ),
        (lambda X, w, y: sb.reshape(X, (-1, -1)), ShapeError, "reshape: only one size may be -1, not 2: X[N, D]"),
        (
            lambda X, w, y: sb.reshape(X, ("M", -1)),
            ShapeError,
            "reshape: -1 cannot be found: M does not divide D*N: X[N, D]",
        ),
        (
            lambda X, w, y: sb.transpose(X, (0, 0)),
            ShapeError,
            "transpose: (0, 0) is no permutation of the 2 axes of X[N, D]",
        ),
        (
            lambda X, w, y: sb.transpose(X, (0, 5)),
            ShapeError,
            "transpose: (0, 5) is no permutation of the 2 axes of X[N, D]",
        ),
        (
            lambda X, w, y: sb.broadcast_to(X, ("D",)),
            ShapeError,
            "broadcast_to: the shape does not broadcast to (D,): X[N, D]",
        ),
        (lambda X, w, y: sb.concatenate([]), ShapeError, "concatenate: give one array at least"),
        (lambda X, w, y: sb.concatenate([X, y]), ShapeError, "concatenate: the numbers of axes differ: X[N, D], y[N]"),
        (
            lambda X, w, y: sb.concatenate([1.0, y]),
            ShapeError,
            "concatenate: a scalar has no axis to join along; use stack",
        ),
        (lambda X, w, y: sb.stack([w, y]), ShapeError, "stack: the shapes differ: w[D], y[N]"),
        (lambda X, w, y: sb.stack([w], axis=2), ShapeError, "stack: axis 2 is out of range for rank 2: w[D]"),
        (lambda X, w, y: X[0, 0, 0], ShapeError, "index: 3 indices for 2 axes: X[N, D]"),
        (lambda X, w, y: X[..., ...], ShapeError, "index: more than one ...: X[N, D]"),
        (lambda X, w, y: sb.symbol("s", 3)[3], ShapeError, "index: 3 is out of range for size 3: s[3]"),
        (
            lambda X, w, y: X[1.5],
            ShapeError,
            "index: an index is an int, a slice, None, ..., an array of integers or a mask, not 1.5: X[N, D]",
        ),
        (
            lambda X, w, y: X[True],
            ShapeError,
            "index: an index is an int, a slice, None, ..., an array of integers or a mask, not True: X[N, D]",
        ),
        (lambda X, w, y: X[[0.5]], DtypeError, "index: an index has integers, not float64: X[N, D]"),
        (lambda X, w, y: X[::0], ShapeError, "index: the step of a slice is a non-zero int, not 0: X[N, D]"),
        (lambda X, w, y: X["N":], ShapeError, "index: the bounds of a slice are ints or sizes, not 'N': X[N, D]"),
        (
            lambda X, w, y: w * np.array([1j]),
            DtypeError,
            "multiply: dtype complex128 is not supported; use floats, integers or bool: w[D], array[1]",
        ),
        (
            lambda X, w, y: w + None,
            DtypeError,
            "add: an operand is an expression, an array or a number, not NoneType: w[D], None",
        ),
        (
            lambda X, w, y: -(w > 0),
            DtypeError,
            "negative: NumPy does not define it for bool; convert with astype: greater(w, 0)[D]",
        ),
        (
            lambda X, w, y: sb.symbol("i", 3, "int8") + 1000,
            DtypeError,
            "add: Python integer 1000 out of bounds for int8: i[3], 1000",
        ),
    ],
)
def test_messages_name_op_operands_and_sizes(call, error, message):
    X, w, y = sb.symbols("X[N,D] w[D] y[N]")
    with pytest.raises(error) as caught:
        call(X, w, y)
    assert str(caught.value) == message


def test_the_note_shows_the_users_line():
    X, y = sb.symbols("X[N,D] y[N]")
    with pytest.raises(ShapeError) as caught:
        X @ y  # the line that the note must show
    line = caught.tb.tb_lineno
    assert caught.value.__notes__ == [f'  built at File "{__file__}", line {line}']


def test_errors_are_also_the_builtin_ones():
    pairs = [
        (errors.ShapeError, ValueError),
        (errors.DtypeError, TypeError),
        (errors.GraphError, ValueError),
        (errors.NotDifferentiableError, ValueError),
        (errors.ArgumentError, TypeError),
        (errors.ParseError, ValueError),
    ]
    for error, builtin in pairs:
        assert issubclass(error, builtin)
        assert issubclass(error, errors.SymbackpropError)


def test_a_file_beside_the_package_is_the_users():
    """Only this package's own files are passed over, not one whose path begins like it."""
    path = sb.__path__[0] + "_extra/model.py"
    namespace = {"user_line": user_line}
    exec(compile("where = user_line()", path, "exec"), namespace)  # noqa: S102  (to have a frame with that path)
    assert namespace["where"].file == path


# --- evaluate -------------------------------------------------------------------------------------------------


def test_evaluate_takes_values_for_inner_nodes():
    x = sb.symbol("x")
    h = sb.sin(x)
    assert sb.evaluate(h * 2, {h: 5.0}) == 10
    assert sb.evaluate(h * x, {h: 5.0, x: 3.0}) == 15


def test_evaluate_does_not_mind_how_sizes_are_named():
    x = sb.symbol("x", ("x0", "np"))
    y = sb.reshape(x, ("np", "x0")) / sb.size_of(x.shape[0])
    np.testing.assert_array_equal(sb.evaluate(y, {x: np.ones((2, 3))}), np.full((3, 2), 0.5))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda X, w: sb.evaluate(X @ w, {X: np.ones((2, 3))}),
            ArgumentError,
            "evaluate: no value for the symbol w[D]",
        ),
        (
            lambda X, w: sb.evaluate(X @ w, {X: np.ones((2, 3)), w: np.ones(4)}),
            ShapeError,
            "w[D]: D = 4 on axis 0, but D = 3 in X[N, D]",
        ),
        (
            lambda X, w: sb.evaluate(w, {w: np.ones((4, 1))}),
            ShapeError,
            "w[D]: the array has 2 axes, not 1: shape (4, 1)",
        ),
        (
            lambda X, w: sb.evaluate(sb.symbol("s", 3), {sb.symbol("s", 3): np.ones(4)}),
            ShapeError,
            "s[3]: the array has shape (4,), not (3,)",
        ),
        (
            lambda X, w: sb.evaluate(w, {w: np.ones(2), sb.symbol("s", "D+1"): np.ones(2)}),
            ShapeError,
            "s[D + 1]: the array has shape (2,), not (3,)",
        ),
        (
            lambda X, w: sb.evaluate(sb.symbol("k", 2, "int64"), {sb.symbol("k", 2, "int64"): [1.5, 2]}),
            DtypeError,
            "k[2]: the array has dtype float64, not int64",
        ),
        (
            lambda X, w: sb.evaluate(w, {"w": np.ones(2)}),
            ArgumentError,
            "evaluate: the values are given by expression, as in {x: 1.0}, not by 'w'",
        ),
        (
            lambda X, w: sb.evaluate(w[2:5], {w: np.ones(4)}),
            ShapeError,
            "evaluate: slice(w)[3]: 3 elements from 2 on do not lie in an axis of size 4",
        ),
        (
            lambda X, w: sb.evaluate(sb.size_of(w.shape[0]), {}),
            ShapeError,
            "evaluate: size(): no array tells the size D, which size needs",
        ),
    ],
)
def test_what_evaluate_says(call, error, message):
    X, w = sb.symbols("X[N,D] w[D]")
    with pytest.raises(error) as caught:
        call(X, w)
    assert str(caught.value) == message

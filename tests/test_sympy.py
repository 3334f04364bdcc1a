"""SymPy both ways: the table of functions, scalars, sums over indices, matrices and arrays."""

import re

import numpy as np
import pytest
import sympy
from sympy import Rational, pi
from sympy.matrices.expressions.diagonal import DiagonalOf
from sympy.tensor.array.expressions import (
    ArrayAdd,
    ArrayContraction,
    ArrayDiagonal,
    ArrayElementwiseApplyFunc,
    ArraySymbol,
    ArrayTensorProduct,
    PermuteDims,
    Reshape,
)

import symbackprop as sb
from symbackprop import ops
from symbackprop.errors import ArgumentError
from symbackprop.ops import TABLE
from symbackprop.sympy_names import FORMULAS, FUNCTIONS, written
from tests.random_graphs import random_expression
from tests.scoreboards.formulas import ROWS as FORMULA_ROWS
from tests.scoreboards.formulas import SHAPES
from tests.values import obeying

x, y, z = sympy.symbols("x y z", real=True)
i, j, k, N, D = sympy.symbols("i j k N D", integer=True, nonnegative=True)

# --- the table ------------------------------------------------------------------------------------------------------

ROWS = [op for op in TABLE if op.elementwise and written(op.name) is not None]
NUMERIC = [op for op in ROWS if op.dtype(*(np.dtype(float) for _ in op.vjps), **op.options).kind == "f"]


def drawn(op, rng):
    """A symbol and a random value for each operand, in its domain."""
    symbols = [sb.symbol(f"x{position}") for position in range(len(op.vjps))]
    if op.name == "where":
        symbols[0] = sb.symbol("x0", dtype="bool")
    values = {}
    for position, symbol in enumerate(symbols):
        value = rng.uniform(*op.domain[position])
        values[symbol] = np.asarray(value > 0 if symbol.dtype.kind == "b" else value, symbol.dtype)
    if op.name == "tanh_slope_beside":
        values[symbols[0]] = np.tanh(values[symbols[1]])
    return symbols, values


def in_sympy(formula, values):
    """The value of a SymPy formula at numbers."""
    named = {symbol: value.item() for symbol, value in values.items()}
    places = {
        found: named[sb_symbol] for found in formula.free_symbols for sb_symbol in named if sb_symbol.name == found.name
    }
    at = {s: sympy.true if v is True else sympy.false if v is False else sympy.Float(v, 40) for s, v in places.items()}
    return float(sympy.N(formula.subs(at), 30))


@pytest.mark.parametrize("op", NUMERIC, ids=lambda op: op.name)
def test_sympy_means_what_the_op_means(op):
    rng = np.random.default_rng(len(op.name))
    for _ in range(3):
        symbols, values = drawn(op, rng)
        formula = op(*symbols).to_sympy()
        expected = sb.evaluate(op(*symbols), values)
        np.testing.assert_allclose(in_sympy(formula, values), expected, rtol=1e-12, atol=1e-14)


NOT_THEIRS = {"remainder", "fmod", "fraction"}  # SymPy does not say what the derivative of floor is


@pytest.mark.parametrize(
    "op", [op for op in NUMERIC if any(op.vjps) and op.name not in NOT_THEIRS], ids=lambda op: op.name
)
def test_sympys_derivatives_are_ours(op):
    symbols, values = drawn(op, np.random.default_rng(len(op.name)))
    expr = op(*symbols)
    for symbol, rule in zip(symbols, op.vjps, strict=True):
        if rule is not None and op.name != "tanh_slope_beside":  # whose operands are one number, told twice
            by = next(found for found in expr.to_sympy().free_symbols if found.name == symbol.name)
            derivative = expr.to_sympy().diff(by).doit()
            ours = sb.evaluate(sb.grad(expr, symbol), values)
            np.testing.assert_allclose(in_sympy(derivative, values), ours, rtol=1e-10, atol=1e-12)


# Of these `same` has no values: none in many digits, or none at the simple points, which are not in their domain.
COMPARED_IN_FLOATS = {"tanh_slope_beside", "polygamma", "ndtri", "erfcinv"}


@pytest.mark.parametrize("op", NUMERIC, ids=lambda op: op.name)
def test_what_is_written_is_read_as_the_same(op):
    symbols, values = drawn(op, np.random.default_rng(0))
    expr = op(*symbols)
    back = sb.from_sympy(expr.to_sympy(), symbols)
    if op.name in COMPARED_IN_FLOATS:
        np.testing.assert_allclose(sb.evaluate(back, values), sb.evaluate(expr, values), rtol=1e-12)
    else:
        assert sb.same(back, expr), (expr.to_sympy(), back)


OF_BITS = {"bitwise_and", "bitwise_or", "bitwise_xor", "gcd", "invert", "lcm", "left_shift", "right_shift"}


def test_all_functions_of_real_numbers_have_a_row():
    without = {op.name for op in TABLE if op.elementwise and written(op.name) is None}
    assert without <= {*OF_BITS, "astype"}  # of integers SymPy has no bits, and of symbols another gcd


def test_a_name_stands_in_one_place_of_the_table():
    assert not FUNCTIONS.keys() & FORMULAS.keys()
    assert all(hasattr(sympy, name) for name in FUNCTIONS.values())


# --- scalars --------------------------------------------------------------------------------------------------------

READ = [
    (sympy.exp(x) * y**2 + Rational(1, 2), "exp(x)*y**2 + 0.5"),
    (x / 2, "x/2"),
    (-3 * x / (2 * y), "-(3*x/(2*y))"),
    (1 / sympy.sqrt(x) + x**-2, "1/sqrt(x) + 1/x**2"),
    (2 * pi * x, "6.283185307179586*x"),
    (sympy.Max(0, x) + sympy.Min(x, y, 1), "relu(x) + minimum(minimum(x, y), 1)"),
    (sympy.Max(x, y, z), "maximum(maximum(x, y), z)"),
    (sympy.Piecewise((x, x > 0), (y, y > 1), (2, True)), "where(x > 0, x, where(y > 1, y, 2.0))"),
    (sympy.Heaviside(x, Rational(1, 4)), "step(x, 0.25)"),
    (sympy.Heaviside(x, y), "where(x > 0, 1.0, where(equal(x, 0), y, 0.0))"),
    (sympy.sec(x) + sympy.csch(y), "1/cos(x) + 1/sinh(y)"),
    (sympy.Mod(x, 3), "x % 3"),
    (sympy.sign(x) * abs(y), "sign(x)*abs(y)"),
    (sympy.log(x) - sympy.log(y), "log(x) - log(y)"),
    (sympy.Derivative(sympy.sin(x * y), x), "y*cos(x*y)"),
    (sympy.Subs(x**2, x, y), "y**2"),
    (sympy.erf(x) * sympy.erfc(y), "erf(x)*erfc(y)"),
    (sympy.asinh(x) + sympy.atanh(y), "arcsinh(x) + arctanh(y)"),
    (sympy.cbrt(x), "x**(1/3)"),
    (sympy.KroneckerDelta(x, y), "where(equal(x, y), 1.0, 0.0)"),
    (sympy.re(x) + sympy.im(x) + sympy.conjugate(y), "x + y"),
]


@pytest.mark.parametrize(("theirs", "ours"), READ, ids=lambda part: str(part)[:40])
def test_scalars_are_read(theirs, ours):
    names = {name: sb.symbol(name) for name in "xyz"}
    expected = eval(ours, {**{name: getattr(ops, name) for name in ops.__all__}, **names})  # noqa: S307  (our own text)
    assert sb.same(sb.from_sympy(theirs), expected)


@pytest.mark.parametrize(
    ("theirs", "value"),
    [
        (sympy.sqrt(2), 2**0.5),
        (pi / 3, 1.0471975511965979),
        (sympy.oo, np.inf),
        (Rational(1, 3), 1 / 3),
        (sympy.Sum(1 / k**2, (k, 1, sympy.oo)), np.pi**2 / 6),
        (sympy.Integer(10) ** 30, 1e30),
        (sympy.EulerGamma, 0.5772156649015329),
    ],
)
def test_numbers_are_rounded_once(theirs, value):
    expr = sb.from_sympy(theirs)
    assert expr.op.name == "constant"
    assert sb.evaluate(expr, {}) == value


def test_conditions_are_read():
    b, c = sympy.symbols("b c")
    p, q, u = sb.symbol("b", (), "bool"), sb.symbol("c", (), "bool"), sb.symbol("x")
    read = sb.from_sympy(sympy.Or(sympy.And(b, x > 1), sympy.Not(c)))
    assert sb.same(read, (p & (u > 1)) | ~q)
    assert sb.same(sb.from_sympy(sympy.Xor(b, c)), sb.not_equal(p, q))
    assert sb.same(sb.from_sympy(sympy.ITE(b, x > 0, x > 1)), sb.where(p, u > 0, u > 1))
    assert sb.evaluate(sb.from_sympy(sympy.true), {}) == np.True_


def test_symbols_keep_what_sympy_knows():
    n, p, q = sympy.Symbol("n", integer=True), sympy.Symbol("p", positive=True), sympy.Symbol("q", nonnegative=True)
    facts = [sb.from_sympy(symbol).node.facts for symbol in (p, q)]
    assert facts == [{"positive": True}, {"nonnegative": True}]
    assert sb.from_sympy(n).dtype == np.int64
    assert sb.evaluate(sb.from_sympy(2**-n), {sb.symbol("n", (), "int64"): 3}) == 0.125


def test_symbols_stand_for_what_the_user_says():
    v, w = sb.symbols("v[M] w[M]")
    read = sb.from_sympy(sympy.exp(x) * y, {"x": v, y: w * 2})
    assert sb.same(read, sb.exp(v) * (w * 2))
    assert sb.from_sympy(sympy.exp(x), {"x": ("A", 3)}).shape == ("A", 3)
    assert sb.from_sympy(sympy.exp(x), [sb.symbol("x", "M")]).shape == ("M",)
    single = sb.symbol("x", (), "float32")
    assert sb.from_sympy(x**2 / 2 + 1, [single]).dtype == np.float32


@pytest.mark.parametrize(
    ("expr", "words"),
    [
        (sympy.DiracDelta(x), "DiracDelta: it is no function of numbers"),
        (sympy.LambertW(x), "LambertW: there is nothing like it in symbackprop: LambertW(x)"),
        (sympy.Function("f")(x), "f: the function is not defined"),
        (x + sympy.I, "ImaginaryUnit: expressions are of real numbers"),
        (sympy.Integral(sympy.exp(-(x**2)), x), "Integral: there are no integrals"),
        (sympy.Symbol("x") + x, "two symbols are called x"),
        (sympy.log(-2, evaluate=False) + x, "log: its value is not a real number"),
        (sympy.Sum(x**k, (k, 0, sympy.oo)), "the limits are infinite"),
        (sympy.Sum(x**k, (k, 0, i**2), (i, 0, N)), "the limits of k depend on i in another way than a sum of integers"),
    ],
)
def test_what_has_no_counterpart_is_named(expr, words):
    with pytest.raises(ArgumentError, match=re.escape(words)):
        sb.from_sympy(expr)


@pytest.mark.parametrize("wrong", ["x + 1", [1, 2], object()])
def test_only_sympys_own_expressions_are_read(wrong):
    with pytest.raises(ArgumentError, match="takes an expression of SymPy"):
        sb.from_sympy(wrong)


def test_each_part_is_translated_once():
    expr = x
    for _ in range(40):
        expr = sympy.sin(expr) * sympy.cos(expr)  # as a tree of 2**40
    read = sb.from_sympy(expr)
    assert read.count().graph == 120
    assert sb.from_sympy(read.to_sympy()).count().graph == 120


def test_depth_is_no_recursion_of_ours():
    expr = sb.symbol("x")
    for _ in range(3000):
        expr = sb.sin(expr)
    with pytest.raises(ArgumentError, match="too deep for SymPy itself"):
        expr.to_sympy()


def test_numbers_are_written_exactly():
    u = sb.symbol("x")
    for number, exact in [(0.5, Rational(1, 2)), (0.1, Rational(1, 10)), (1 / 3, Rational(1, 3)), (np.pi, pi)]:
        assert (u * number).to_sympy() == exact * sympy.Symbol("x", real=True)
    irrational = (u + 0.8414709848078965).to_sympy()
    assert float(irrational.subs(sympy.Symbol("x", real=True), 0)) == 0.8414709848078965


# --- sums over indices ----------------------------------------------------------------------------------------------

v = sympy.IndexedBase("v", shape=(N,))
A, X = sympy.MatrixSymbol("A", N, N), sympy.MatrixSymbol("X", N, D)
b = sympy.MatrixSymbol("b", N, 1)

SUMS = [
    (sympy.Sum(v[i], (i, 0, N - 1)) / N, "mean(v)"),
    (sympy.Sum(v[i] * x**i, (i, 0, N - 1)), "sum(v * x**arange)"),
    (sympy.Sum(v[i] * v[N - 1 - i], (i, 0, N - 1)), "sum(v * v[::-1])"),
    (sympy.Sum((v[i + 1] - v[i]) ** 2, (i, 0, N - 2)), "sum((v[1:] - v[:-1])**2)"),
    (sympy.Sum(A[i, j] * b[i, 0] * b[j, 0], (i, 0, N - 1), (j, 0, N - 1)), "b @ A @ b"),
    (sympy.Sum(A[i, i], (i, 0, N - 1)), "trace(A)"),
    (sympy.Sum(sympy.KroneckerDelta(i, j) * A[i, j], (i, 0, N - 1), (j, 0, N - 1)), "trace(A)"),
    (sympy.Sum(sympy.Sum(X[i, j], (j, 0, D - 1)) ** 2, (i, 0, N - 1)), "sum(sum(X, axis=1)**2)"),
    (sympy.Sum(sympy.Sum(X[i, j], (i, 0, N - 1)) ** 2, (j, 0, D - 1)), "sum(sum(X, axis=0)**2)"),
    (sympy.Product(v[i] + x, (i, 0, N - 1)), "prod(v + x)"),
    (sympy.Sum(x, (i, 0, N - 1)), "x*size_of('N')"),
    (sympy.Sum(x**k / (k + 1), (k, 0, 3)), "1 + x/2 + x**2/3 + x**3/4"),
    (sympy.Sum(v[i], (i, 0, N - 1)) * sympy.Sum(v[i] ** 2, (i, 0, N - 1)), "sum(v)*sum(v**2)"),
    (sympy.Sum(x**k, (k, 0, i), (i, 0, 2)), "3 + 2*x + x**2"),
    (sympy.Sum(v[k] * v[i], (k, 0, i), (i, 0, N - 1)), "(sum(v)**2 + sum(v**2))/2"),
    (sympy.Product(v[i] + v[k], (k, i, N - 1), (i, 0, N - 1)), "prod(where(k >= i, v[:, None] + v, 1))"),
    (v[2] + v[0], "v[2] + v[0]"),
    (sympy.Sum(v[2 * i], (i, 0, 2)), "v[0] + v[2] + v[4]"),
]


@pytest.mark.parametrize(("theirs", "ours"), SUMS, ids=lambda part: str(part)[:40])
def test_sums_are_read(theirs, ours):
    names = dict(zip("xvAXb", sb.symbols("x v[N] A[N,N] X[N,D] b[N]"), strict=True))
    functions = {name: getattr(ops, name) for name in ops.__all__}
    names["arange"] = names["k"] = ops.leaf.arange(sb.symbol("v", "N").shape[0])
    names["i"] = names["k"][:, None]
    expected = eval(ours, {**functions, **names})  # noqa: S307  (our own text)
    assert sb.same(sb.from_sympy(theirs), expected)


def test_the_limits_tell_sizes_that_are_not_declared():
    u = sympy.IndexedBase("u")
    assert sb.from_sympy(sympy.Sum(u[i], (i, 0, N - 1))).inputs[0].shape == ("N",)
    assert sb.from_sympy(u[3] + u[1]).graph.nodes
    grown = sb.from_sympy(sympy.Sum(u[i + 1] - u[i], (i, 0, N - 1)))
    (symbol,) = [
        node
        for node in grown.graph.nodes.values()
        if node.op.name == "symbol" and node.params["name"] == "u" and node.shape == ("N + 1",)
    ]
    assert symbol.shape == (sb.symbol("u", "N+1").shape)


def test_any_integer_is_an_index():
    u, n = sb.symbols("v[N]")[0], sb.symbol("k", (), "int64")
    assert_agree(sb.from_sympy(sympy.Sum(v[i**2], (i, 0, 1))), u[0] + u[1])
    assert_agree(sb.from_sympy(sympy.Sum(A[i, sympy.Mod(i + j, N)] * v[j], (i, 0, N - 1), (j, 0, N - 1))), circulant(u))
    at = sympy.Symbol("k", integer=True)
    picked = sb.from_sympy(v[at] * x)
    assert sb.evaluate(picked, {u: np.array([1.0, 2.0, 4.0]), n: 1, sb.symbol("x"): 3.0}) == 6.0


def circulant(u):
    """Each row of A times u, turned by as many places as the row has number."""
    square = sb.symbol("A", ("N", "N"))
    at = ops.leaf.arange(u.shape[0])
    return sb.sum(square[at[:, None], (at[:, None] + at) % u.shape[0]] * u)


# --- matrices and arrays --------------------------------------------------------------------------------------------

SIZES = {"N": 3, "D": 2, "K": 4, "M": 2, "L": 2, "P": 3, "Q": 2}


def values_for(*exprs):
    """Random positive values for the symbols of expressions; what is declared of square matrices holds."""
    rng = np.random.default_rng(1)
    graph = exprs[0].graph
    numbers = graph.reachable([expr.number for expr in exprs])
    symbols = [sb.Expr(graph, number) for number in numbers if graph.nodes[number].op.name == "symbol"]
    values = {}
    for symbol in symbols:
        shape = tuple(int(eval(str(size), {}, SIZES)) for size in symbol.shape)  # noqa: S307  (arithmetic on sizes)
        square = 3 * np.eye(shape[-1]) if len(shape) == 2 and shape[0] == shape[1] else 0.0
        values[symbol] = obeying(symbol, rng.uniform(0.2, 0.9, shape) + square)
    return values


def assert_agree(found, expected, values=None):
    """Compare values at a random point; of arrays SymPy does not tell axes of size 1."""
    values = values or values_for(found, expected)
    ours, theirs = (np.asarray(sb.evaluate(expr, values), float) for expr in (expected, found))
    np.testing.assert_allclose(theirs, ours.reshape(theirs.shape), rtol=1e-9, atol=1e-12)


p, q, s = sympy.MatrixSymbol("p", N, 1), sympy.MatrixSymbol("q", N, 1), sympy.Symbol("s", real=True)
B = sympy.MatrixSymbol("B", N, N)
T, U = ArraySymbol("T", (N, D, 3)), ArraySymbol("U", (N, D, 3))

MATRICES = [
    (A * p, "A @ p"),
    (2 * A - s * sympy.Identity(N), "2*A - s*eye('N')"),
    (A.inv() * p, "linalg.solve(A, p)"),
    (p.T * A.inv() * q, "p @ linalg.solve(A, q)"),
    (B * A.inv(), "B @ linalg.inv(A)"),
    (p.T * A, "p @ A"),
    (p * q.T, "outer(p, q)"),
    (p.T * q, "p @ q"),
    (A**3 * p, "A @ A @ A @ p"),
    (sympy.MatPow(A, -2), "linalg.inv(A @ A)"),
    (sympy.Trace(A * B.T), "sum(A*B)"),
    (sympy.Determinant(A), "linalg.det(A)"),
    (sympy.log(sympy.Determinant(A)), "linalg.slogdet(A).logabsdet"),
    (sympy.HadamardProduct(A, B, A), "A*B*A"),
    (sympy.HadamardProduct(A, sympy.HadamardPower(B, -1)), "A/B"),
    (sympy.HadamardPower(A, Rational(1, 2)), "sqrt(A)"),
    (A.applyfunc(sympy.exp), "exp(A)"),
    (X.applyfunc(sympy.Lambda(x, sympy.Max(x, s))), "maximum(X, s)"),
    (sympy.DiagMatrix(p) * X, "p[:, None]*X"),
    (DiagonalOf(A), "diagonal(A)"),
    (sympy.DiagonalMatrix(A), "diag(diagonal(A))"),
    (A + sympy.OneMatrix(N, N) + sympy.ZeroMatrix(N, N), "A + 1"),
    (sympy.BlockMatrix([[A, X], [X.T, sympy.Identity(D)]]), "joined(A, X, eye('D'))"),
    (sympy.BlockDiagMatrix(A, sympy.Identity(D)), "joined(A, 0*X, eye('D'))"),
    (sympy.KroneckerProduct(A, X), "kron(A, X)"),
    (sympy.DotProduct(p, q), "p @ q"),
    (A[1, 2] + A[0, 0] * s, "A[1, 2] + A[0, 0]*s"),
    (X[1:, :1], "X[1:, 0]"),
    (A[0:2, 1:3], "A[:2, 1:3]"),
    (sympy.FunctionMatrix(N, D, sympy.Lambda((i, j), X[i, j] * p[i, 0] + j)), "X*p[:, None] + arange(D)"),
    (sympy.Matrix([[s, 1], [s**2, x]]), "stack([stack([s, 1.0]), stack([s**2, x])])"),
    (sympy.Matrix([s, x, 2]), "stack([s, x, 2.0])"),
    (sympy.ImmutableMatrix([[1, 2], [3, 4]]) * sympy.Matrix([s, x]), "stack([s + 2*x, 3*s + 4*x])"),
    (sympy.Array([[[s, 1], [x, 2]]]), "stack([stack([stack([s, 1.0]), stack([x, 2.0])])])"),
    (T, "T"),
    (PermuteDims(T, [2, 0, 1]), "transpose(T, (2, 0, 1))"),
    (ArrayContraction(ArrayTensorProduct(T, A), (0, 3)), "einsum('ijk,il->jkl', T, A)"),
    (ArrayDiagonal(ArrayTensorProduct(T, U), (0, 3), (1, 4), (2, 5)), "T*U"),
    (ArrayAdd(T, U), "T + U"),
    (ArrayElementwiseApplyFunc(sympy.Lambda(x, sympy.sin(x)), T), "sin(T)"),
    (sympy.Sum(T[i, 1, 2] * p[i, 0], (i, 0, N - 1)), "p @ T[:, 1, 2]"),
    (Reshape(T, (N * D, 1, 3)), "reshape(T, ('N*D', 1, 3))"),
    (Reshape(T, (N * D, 3)), "reshape(T, ('N*D', 3))"),
]  # fmt: skip


def joined(first, beside, last):
    """The symmetric block matrix of these three."""
    return sb.concatenate([sb.concatenate([first, beside], 1), sb.concatenate([beside.T, last], 1)])


@pytest.mark.parametrize(("theirs", "ours"), MATRICES, ids=lambda part: " ".join(str(part).split())[:40])
def test_matrices_and_arrays_are_read(theirs, ours):
    named = {s_.name: s_ for s_ in sb.symbols("A[N,N] B[N,N] X[N,D] p[N] q[N] T[N,D,3] U[N,D,3] s x")}
    functions = {name: getattr(ops, name) for name in ops.__all__}
    functions |= {"linalg": ops.linalg, "joined": joined, "arange": ops.leaf.arange, "D": named["X"].shape[1]}
    expected = eval(ours, {**functions, **named})  # noqa: S307  (our own text)
    found = sb.from_sympy(theirs)
    assert_agree(found, expected)
    if found.shape == expected.shape:  # without the axes of size 1
        assert_agree(sb.from_sympy(found.to_sympy()), expected)


def test_a_system_is_solved_and_nothing_inverted():
    for expr in (A.inv() * p, p.T * A.inv() * q, A**-1 * X):
        read = sb.from_sympy(expr)
        names = {read.graph.nodes[number].op.name for number in read.graph.reachable([read.number])}
        assert "solve" in names
        assert "inv" not in names


UNSAID = re.compile(r"eig|expm|cosm|sinm|toeplitz|grad")  # SymPy has no words for the first of these


@pytest.mark.parametrize(
    "row",
    [row for row in {row.z: row for row in FORMULA_ROWS}.values() if not UNSAID.search(row.z)],
    ids=lambda row: row.z,
)
def test_formulas_come_back(row):
    with sb.Graph():
        named = {symbol.name: symbol for symbol in sb.symbols(f"{SHAPES} {row.shapes}")}
        functions = {name: getattr(ops, name) for name in ops.__all__}
        functions |= {name: getattr(ops.linalg, name) for name in ops.linalg.__all__}
        expr = eval(row.z, {**functions, **named})  # noqa: S307  (our own text)
        assert_agree(sb.from_sympy(expr.to_sympy(), named.values()), expr)


DERIVATIVES = [
    ("x @ A @ x", "x"), ("trace(A @ X)", "X"), ("trace(X @ A @ X.T)", "X"), ("trace(linalg.inv(X) @ A)", "X"),
    ("b @ X @ x", "X"), ("trace(A @ X @ B @ X)", "X"), ("trace(X @ X @ X)", "X"), ("(A @ x - b) @ (A @ x - b)", "x"),
    ("x @ x", "x"), ("b @ linalg.inv(X) @ b", "X"), ("b @ X.T @ X @ x", "X"), ("trace(A.T @ sin(X))", "X"),
    ("trace(X.T @ A @ X @ B)", "X"), ("trace(outer(b, b) @ X.T @ X)", "X"),
]  # fmt: skip


@pytest.mark.parametrize(("formula", "by"), DERIVATIVES)
def test_sympys_derivatives_by_matrices_are_ours(formula, by):
    named = {symbol.name: symbol for symbol in sb.symbols("A[N,N] B[N,N] X[N,N] b[N] x[N]")}
    functions = {name: getattr(ops, name) for name in ops.__all__} | {"linalg": ops.linalg}
    expr = eval(formula, {**functions, **named})  # noqa: S307  (our own text)
    theirs = expr.to_sympy().diff(named[by].to_sympy())
    assert_agree(sb.from_sympy(theirs), sb.grad(expr, named[by]))


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs_come_back(seed):
    rng = np.random.default_rng(seed)
    with sb.Graph():
        outputs, values = random_expression(rng, 12, tuple(NUMERIC) + tuple(SAID))
        for output in outputs:
            found = sb.from_sympy(output.to_sympy(), list(values))
            assert_agree(found, output, values)


SAID = [
    op
    for op in TABLE
    if op.name
    in {
        "sum",
        "mean",
        "prod",
        "norm",
        "logsumexp",
        "transpose",
        "expand_dims",
        "matmul",
        "softmax",
        "broadcast_to",
        "concatenate",
        "stack",
        "slice",
        "trace",
        "diag",
        "max",
    }
]


LAID_OUT = [
    "cumsum(v)", "cumprod(v)", "sum(cumsum(v)**2)", "roll(v, 1)", "tril(A)", "triu(A, 1) @ v", "A[:, [1, 0]]",
    "A[[0, 1], [1, 2]]", "linalg.toeplitz(v)", "repeat(v, 2)", "tile(v, 2)", "flip(v)", "diff(v)", "grad(prod(v), v)",
    "grad(logsumexp(A @ v)**2, v)", "grad(std(v), v)", "cross(v[:3], A[0, :3])",
]  # fmt: skip


@pytest.mark.parametrize("text", LAID_OUT)
def test_what_moves_elements_comes_back(text):
    named = {"A": sb.symbol("A", ("N", "N")), "v": sb.symbol("v", "N"), "linalg": ops.linalg, "grad": sb.grad}
    expr = eval(text, {**{name: getattr(ops, name) for name in ops.__all__}, **named})  # noqa: S307  (our own text)
    assert_agree(sb.from_sympy(expr.to_sympy(), [named["A"], named["v"]]), expr)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda A, T, b: sb.linalg.cholesky(A), "to_sympy: cholesky: SymPy has nothing like it: cholesky(A)[N, N]"),
        (
            lambda A, T, b: sb.max(b) * 2,
            "to_sympy: max: SymPy has no extreme of as many elements as a named size tells: max(b)",
        ),
        (lambda A, T, b: b > 0, "to_sympy: greater: SymPy has no arrays of conditions"),
        (lambda A, T, b: T[::-1], "to_sympy: slice: SymPy tells an array of so many axes by its elements only where"),
        (lambda A, T, b: sb.linalg.inv(T), "to_sympy: inv: SymPy tells an array of so many axes"),
    ],
)
def test_what_sympy_cannot_say_is_named(make, words):
    square, stack, vector = sb.symbols("A[N,N] T[D,N,N] b[N]")
    with pytest.raises(ArgumentError, match=re.escape(words)):
        make(square, stack, vector).to_sympy()


def test_a_stack_is_told_by_its_elements_where_a_matrix_comes_of_it():
    batch, w = sb.symbols("T[N,D,D] w[D]")
    expr = (batch @ w)[:, 0]
    assert_agree(sb.from_sympy(expr.to_sympy()), expr)
    with pytest.raises(ArgumentError, match="solve: SymPy has nothing like it"):
        sb.linalg.solve(batch, w).to_sympy()


def test_an_index_does_not_leave_its_axis():
    with pytest.raises(ArgumentError, match="the index leaves the axis, which has size N"):
        sb.from_sympy(sympy.Sum(v[i + 1], (i, 0, N - 1)))

"""What is printed is read back: every operation, random graphs, the golden formulas; and what cannot be read."""

from __future__ import annotations

import time

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.errors import ParseError, ShapeError
from symbackprop.language.tokens import columns
from symbackprop.op import Case
from symbackprop.ops import TABLE
from tests import random_graphs, test_linalg, test_printing
from tests.round_trip import check_round_trip
from tests.test_ops import INTEGERS
from tests.values import indices, is_index

OPTIONS = (
    {},
    {"where": True},
    {"primes": True},
    {"where": False, "width": 10_000},
    {"notation": "index"},
    {"notation": "index", "where": True},
    {"notation": "matrix"},
)


@pytest.fixture(autouse=True)
def fresh_graph():
    with sb.Graph():
        yield


# --- every operation ------------------------------------------------------------------------------------------

_PAIRS = [((3,), (3,)), ((), ()), ((2, 3), (2, 3)), ((3,), ()), ((), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3))]


def cases():
    for op in TABLE:
        applied = [*op.cases]
        if op.elementwise:
            arity = len(op.vjps)
            shapes = [pair if arity == 2 else (pair[0],) * (arity - 1) + pair[1:] for pair in _PAIRS]
            params = [{}, *(case.params for case in op.cases if case.params)]
            applied = [Case(given, param) for param in params for given in shapes]
        for number, case in enumerate(applied if op.vjps else ()):
            yield pytest.param(op, *case, id=f"{op.name}-{number}")


def drawn(rng, op, position, shape):
    if is_index(op, position):
        return indices(rng, shape)
    low, high = op.domain[position] if position < len(op.domain) else (0.3, 1.5)
    array = rng.uniform(low, high, shape)
    square = len(shape) > 1 and shape[-1] == shape[-2]
    return array @ np.swapaxes(array, -1, -2) + 2 * np.eye(shape[-1]) if square and not op.elementwise else array


def dtype_of(op, position):
    if op.name == "where" and not position:
        return "bool"
    return "int64" if op.name in INTEGERS or is_index(op, position) else "float64"


@pytest.mark.parametrize(("op", "shapes", "params"), list(cases()))
def test_every_operation_is_read_back(op, shapes, params):
    rng = np.random.default_rng(0)
    names = ["x", "W1", "z", "y2"]
    symbols = [
        sb.symbol(name, shape, dtype_of(op, position))
        for position, (name, shape) in enumerate(zip(names, shapes, strict=False))
    ]
    values = {}
    for at, (symbol, shape) in enumerate(zip(symbols, shapes, strict=True)):
        array = drawn(rng, op, at, shape)
        values[symbol] = array > 1 if symbol.dtype == bool else array.astype(symbol.dtype)
    expr = op(*symbols, **params)
    check_round_trip(expr, values, options=OPTIONS)
    check_round_trip(2 * expr - sb.sqrt(expr * expr), values)


# --- the golden formulas --------------------------------------------------------------------------------------


def at_random(symbols, *, seed=0):
    rng = np.random.default_rng(seed)
    values = {}
    for symbol in symbols:
        shape = tuple(
            {"M": 2, "K": 4}.get(str(size), 3) if not isinstance(size, int) else size for size in symbol.shape
        )
        values[symbol] = rng.uniform(0.5, 1.5, shape)
        if len(shape) > 1 and shape[-1] == shape[-2]:
            values[symbol] += 3 * np.eye(shape[-1])
    return values


GOLDEN = test_printing.PARENTHESES + test_printing.PRODUCTS + test_printing.MATRICES + test_printing.FUNCTIONS


@pytest.mark.parametrize(("spec", "source", "_expected"), GOLDEN)
def test_golden_texts_are_read_back(spec, source, _expected):
    symbols = {expr.name: expr for expr in sb.symbols(spec)}
    expr = eval(source, {"sb": sb, "np": np, **symbols})  # noqa: S307  (the sources are those of the printing tests)
    check_round_trip(expr, at_random(symbols.values()), options=(*OPTIONS, {"simplify": False}))


SYMBOLS = "A[N,N] B[N,N] X[N,N] C[M,N] D[N,M] a[N] b[N] x[N] s"


@pytest.mark.parametrize("source", [row[0] for row in test_linalg.FORMULAS])
def test_golden_texts_of_linear_algebra_are_read_back(source):
    check_round_trip(test_linalg.expr_of(source), at_random(sb.symbols(SYMBOLS)), options=OPTIONS)


@pytest.mark.parametrize("source", [row[0] for row in test_printing.IN_INDICES])
def test_golden_texts_in_indices_are_read_back(source):
    symbols = {expr.name: expr for expr in sb.symbols(test_printing.TENSORS)}
    expr = eval(source, {"sb": sb, "np": np, **symbols})  # noqa: S307  (the sources are those of the printing tests)
    check_round_trip(expr, at_random(symbols.values()), options=OPTIONS)


@pytest.mark.parametrize(
    "name", ["x1", "x_i", "lr", "λ", "x₁", "z̄", "W̄2", "y′", "y*", "e3", "σ", "変_数", "_", "I", "δ"]
)
@pytest.mark.parametrize("other", ["x", "my$var{", "\\end{a}", "xᵀ", "a−b", "mod", "sum", "π"])
def test_names_are_read_back(name, other):
    a, b = sb.symbol(name), sb.symbol(other)
    u, M = sb.symbol(name + "u", "N"), sb.symbol(other + "M", ("N", "N"))
    values = at_random([a, b, u, M])
    for expr in (a * b * (a + b), b**2 * a, a**b * b - b % a, (a * M) @ u + b * u, sb.exp(a) * (b + 1) * a):
        check_round_trip(expr, values, options=OPTIONS)


# --- what the printer must keep apart -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "source", "shown"),
    [
        ("x y", "(x > 0) + (y > 0)", "[x > 0] ∨ [y > 0]"),
        ("x y", "((x > 0) + (y > 0)) * x", "[[x > 0] ∨ [y > 0]]·x"),
        ("x y", "-(x % y)", "−(x mod y)"),
        ("m o d", "m * o * d", "m·o·d"),
        ("p i", "p * i", "p·i"),
        ("A[N,N]", "sb.kron(sb.eye('N'), A)", "eye(N) ⊗ A"),
        ("A[N,N]", "sb.trace(sb.eye('N') * 2) * A", "tr(2 eye(N))·A"),
        ("A[N,N] s", "s + (sb.eye('N') + A)", "s + eye(N) + A"),
        ("A[N,N] s", "A - 2 * sb.eye('N') * s", "A − 2sI"),
        ("A[N,N]", "sb.softmax(A, axis=(0, 1))", "softmax(A, axis=(0, 1))"),
        ("x", "sb.softmax(x, axis=())", "softmax(x, axis=())"),
        ("u[N]", "sb.linalg.norm(u, keepdims=True)", "norm(u, keepdims=True)"),
        ("M[K,N,N]", "sb.diagonal(M, axis1=1, axis2=2)", "diagonal(M, axis1=-2, axis2=-1)"),
        ("A[N,N] M[K,N,N] v[N]", "sb.linalg.solve(A, M @ v[:, None])", "A⁻¹(Mv[:, None])"),
        ("N w[N]", "N * sb.size_of('2*N'.__class__ and w.shape[0] * 2)", "N size(2·N)"),
        ("s", "s * np.array([1 / 3, 2.0])", "s array([0.3333333333333333, 2.])"),
        ("s", "1 / (s * 0 + -0.0)", "1/(0s − 0.0)"),
    ],
)
def test_what_could_be_misread_is_kept_apart(spec, source, shown):
    symbols = {expr.name: expr for expr in sb.symbols(spec)}
    expr = eval(source, {"sb": sb, "np": np, **symbols})  # noqa: S307  (the sources stand above)
    assert sb.text(expr) == shown
    with np.errstate(divide="ignore"):
        check_round_trip(expr, at_random(symbols.values()), options=OPTIONS)


def test_a_part_that_is_called_like_a_row_of_letters_keeps_them_apart():
    x, z = sb.symbols("x z")
    f = (x + z).named("xz")
    assert sb.text(f * (x * z + f), where=True) == "xz·(x·z + xz)\n  where xz = x + z"
    check_round_trip(f * (x * z + f), at_random([x, z]))


def numbers_of_all_kinds():
    i, j = sb.symbols("i[N] j[N]", "int64")
    b, c = sb.symbols("b[N] c[N]", "bool")
    f = sb.symbol("f", "N", "float32")
    x = sb.symbol("x", "N")
    values = {i: np.array([3, -4, 5]), j: np.array([2, 3, 2]), x: np.array([0.1, 0.2, 0.3])}
    values |= {
        b: np.array([True, False, True]),
        c: np.array([True, True, False]),
        f: np.array([0.5, 1.5, 2], "float32"),
    }
    exprs = [i // j, i / j, i % j, i * 2, i**2, i + 1.5, sb.mean(i), sb.sum(i * j), i @ j, i.astype("float32")]
    exprs += [
        b + c,
        b * c,
        sb.sum(b),
        b * x + c * x,
        (b & c) | ~b,
        sb.where(b, i, j),
        sb.maximum(b, c),
        b / 2,
        abs(b * 1 - c),
    ]
    exprs += [f * x, f * 2.5 + 1, sb.exp(f) / 3, f.astype("float64") * x, b.astype("int64") * i, sb.equal(b, c)]
    exprs += [(x > 0.15) @ (x < 0.25), (x[:, None] > x) @ (x[:, None] <= x), sb.sum((x > 0.15) + (x < 0.2))]
    exprs += [sb.not_equal(x > 0.15, b) * x, (x > 0.15) ** 2.0, sb.concatenate([x > 0.1, b]), sb.stack([x > 0.1])]
    exprs += [sb.sum((x > 0.15).named("m")) + sb.sum((x > 0.15).named("m") * x), sb.where(sb.constant(True), x, 2 * x)]
    return exprs, values


def test_integers_truth_values_and_short_floats_are_read_back():
    exprs, values = numbers_of_all_kinds()
    for expr in exprs:
        check_round_trip(expr, values, options=OPTIONS, rtol=1e-6)


# --- random graphs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs_are_read_back(seed):
    rng = np.random.default_rng(seed)
    outputs, values = random_graphs.random_expression(rng, 25)
    for output in outputs:
        check_round_trip(output, values, options=OPTIONS)
        check_round_trip(sb.simplify(output), values, options=OPTIONS)


@pytest.mark.filterwarnings("ignore::symbackprop.errors.NotTrainableWarning")
@pytest.mark.parametrize("seed", range(100, 120))
def test_gradients_of_random_losses_are_read_back(seed):
    loss, values = random_graphs.random_loss(np.random.default_rng(seed), 12)
    for gradient in sb.grad(loss, list(values), unused="zeros"):
        check_round_trip(gradient, values, options=OPTIONS)


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("depth", [2, 3, 4])
def test_random_trees_are_read_back(rank, depth):
    read = 0
    for seed in range(30):
        with sb.Graph():
            grower = test_printing.Grower(f"{rank}{depth}{seed}")
            expr = grower.grow(rank, depth)
            symbols = [each for pool in grower.pools.values() for each in pool if each.name]
            values = at_random(symbols, seed=seed)
            with np.errstate(all="ignore"):
                if np.all(np.abs(sb.evaluate(expr, values)) < 1e12):
                    check_round_trip(expr, values, options=OPTIONS)
                    read += 1
    assert read > 15


# --- people's spellings ---------------------------------------------------------------------------------------

SYMBOLS_HERE = "X[N,D] W[D,K] A[N,N] w[D] u[N] v[N] y[N] s t lr T[N,D,K] c[N]"


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("Xᵀ(Xw − y)/N", "X.T @ (X @ w - y) / 3"),
        ("Xw", "X @ w"),
        ("X w - y", "X @ w - y"),
        ("XW", "X @ W"),
        ("Aᵀu", "u @ A"),
        ("uᵀA", "u @ A"),
        ("uᵀAv", "u @ A @ v"),
        ("uvᵀ", "np.outer(u, v)"),
        ("uᵀv", "u @ v"),
        ("u'*v".replace("'", ""), "u * v"),
        ("u⊙v", "u * v"),
        ("2u·3", "6 * u"),
        ("−u", "-u"),
        ("2(s + t)u", "2 * (s + t) * u"),
        ("½‖u‖²", "0.5 * u @ u"),
        ("2‖u‖·|s|", "2 * np.sqrt(u @ u) * abs(s)"),
        ("σ(s)(1 − σ(s))", "1 / (1 + np.exp(-s)) * (1 - 1 / (1 + np.exp(-s)))"),
        ("σ′(s)", "1 / (1 + np.exp(-s)) * (1 - 1 / (1 + np.exp(-s)))"),
        ("tanh′(u)", "1 - np.tanh(u)**2"),
        ("√s + √(s t)", "np.sqrt(s) + np.sqrt(s * t)"),
        ("s^t + s^2 + s**2 + s²", "s**t + 3 * s**2"),
        ("2^−1", "0.5"),
        ("A⁻¹u", "np.linalg.solve(A, u)"),
        ("A⁻ᵀu", "np.linalg.solve(A.T, u)"),
        ("Aᵀ⁻¹u", "np.linalg.solve(A.T, u)"),
        ("(A + I)v", "A @ v + v"),
        ("(I − 2I/s)v", "(1 - 2 / s) * v"),
        ("(sI)⁻¹v", "v / s"),
        ("IA", "A"),
        ("tr(A) + det(A)", "np.trace(A) + np.linalg.det(A)"),
        ("log|det(A)|", "np.log(np.linalg.det(A))"),
        ("diag(u)A", "u[:, None] * A"),
        ("diag(A)", "np.diag(A)"),
        ("A ⊗ X", "np.kron(A, X)"),
        ("[u > 1] ⊙ v", "(u > 1) * v"),
        ("[u > 1] + [v > 1]", "1.0 * (u > 1) + (v > 1)"),
        ("where(u > 1 ∧ ¬(v ≥ 1) ∨ u ≠ u, u, v)", "np.where((u > 1) & ~(v >= 1), u, v)"),
        ("where(u = v, 1, 2)", "np.where(u == v, 1, 2)"),
        ("⌊s/t⌋ + s mod t", "s // t + s % t"),
        ("1e−3·s + 1e-3s", "2e-3 * s"),
        ("sum(X, axis=0, keepdims=True)", "X.sum(axis=0, keepdims=True)"),
        ("X[1:, 0]·2 + u[:-1]", "X[1:, 0] * 2 + u[:-1]"),
        ("X[N−1] + 0w", "X[2]"),
        ("N·D + 1", "3 * 2 + 1"),
        ("π s", "np.pi * s"),
        ("lr·u + lr u", "2 * lr * u"),
        ("s where(s > 0, 1, 2)", "s"),
        ("z ⊙ z\n  where z = Xw + q\n        q = 2y", None),
        ("z ⊙ z\n  where q = 2y\n        z = Xw + q", "(X @ w + 2 * y)**2"),
        ("s\n  + t\n  − lr", "s + t - lr"),
        ("z\n  where z = s\n          + t\n        q = 1", "s + t"),
        ("array([[1, 2], [3, −4.5]])", "np.array([[1, 2], [3, -4.5]])"),
        ("Σᵢ uᵢvᵢ", "u @ v"),
        ("Σᵢ uᵢvᵢ + s", "u @ v + s"),
        ("2Σᵢ uᵢ/N", "2 * u.mean()"),
        ("∑ᵢⱼ Xᵢⱼ²", "np.sum(X**2)"),
        ("[Σⱼ Xᵢⱼwⱼ − yᵢ]ᵢ", "X @ w - y"),
        ("[Xⱼᵢ]ᵢⱼ", "X.T"),
        ("[uᵢvⱼwₖ]ᵢⱼₖ", "np.einsum('i,j,k->ijk', u, v, w)"),
        ("[(uᵢ − vⱼ)²]ᵢⱼ", "(u[:, None] - v)**2"),
        ("[exp(Aᵢⱼ)/Σₖ exp(Aᵢₖ)]ᵢⱼ", "np.exp(A) / np.exp(A).sum(axis=1, keepdims=True)"),
        ("[Aᵢᵢ]ᵢ", "np.diag(A)"),
        ("Σᵢ Aᵢᵢ", "np.trace(A)"),
        ("[δᵢⱼuⱼ]ᵢⱼ", "np.diag(u)"),
        ("[Aᵢⱼ − δᵢⱼ]ᵢⱼ", "A - np.eye(3)"),
        ("[Σⱼₖ δᵢⱼδⱼₖuₖ]ᵢ", "u"),
        ("[(Xw + y)ᵢuⱼ]ᵢⱼ", "np.outer(X @ w + y, u)"),
        ("[[uᵢ > vⱼ]·2]ᵢⱼ", "2 * (u[:, None] > v)"),
        ("[uᵢ > vⱼ]ᵢⱼ", "u[:, None] > v"),
        ("[maximum(uᵢ, 1)·σ′(vⱼ)]ᵢⱼ", "np.outer(np.maximum(u, 1), 1 / (2 + np.exp(v) + np.exp(-v)))"),
        ("[Tᵢⱼₖ]ₖᵢⱼ", "np.transpose(T, (2, 0, 1))"),
        ("A + [uᵢvⱼ]ᵢⱼA", "A + np.outer(u, v) @ A"),
        ("[s]ᵢ", "np.array([s])"),
        ("−Σᵢ uᵢ", "-u.sum()"),
        ("[|uᵢ| − √vᵢ + ‖w‖]ᵢ", "abs(u) - np.sqrt(v) + np.linalg.norm(w)"),
    ],
)
def test_people_may_write(text, meaning):
    symbols = sb.symbols(SYMBOLS_HERE)
    sizes = {"N": 3, "D": 2, "K": 4}
    rng = np.random.default_rng(1)
    values = {symbol: rng.uniform(0.5, 1.5, [sizes[str(size)] for size in symbol.shape]) for symbol in symbols}
    values[symbols[2]] += 2 * np.eye(3)
    if meaning is None:
        with pytest.raises(ParseError, match="unknown name 'q'"):
            sb.parse(text, symbols)
        return
    found = sb.compile(list(symbols), sb.parse(text, symbols))(*values.values())
    expected = eval(meaning, {"np": np, **{str(s.name): value for s, value in values.items()}})  # noqa: S307  (they stand above)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_quotients_of_arrays_that_are_repeated_are_read_back():
    x, y = sb.symbols("x[N,D] y[N,D]")
    gradient = sb.grad(sb.prod(sb.mean(x, axis=0), axis=0), x)
    for expr in (gradient, sb.grad(sb.sum(gradient * y), x)):
        check_round_trip(expr, at_random([x, y]), options=OPTIONS)


def test_symbols_may_be_a_line_a_list_or_a_mapping():
    x, y = sb.symbols("x[N] y[N]")
    for symbols in ("x[N] y[N]", [x, y], (x, y), {"x": x, "y": y}):
        assert sb.parse("xᵀy", symbols).inputs == (x, y)
    assert sb.parse("aᵀb", {"a": x, "b": x + y}).shape == ()


def test_two_symbols_of_one_name_are_told_apart():
    x, y = sb.symbol("x"), sb.symbol("x", "N")
    assert sb.parse(sb.text(x * y), [x, y]).inputs == (x, y)


def test_it_builds_in_the_graph_of_the_symbols():
    with sb.Graph() as graph:
        x = sb.symbol("x")
    assert sb.parse("2x + 1/3 + I[0, 0]", {"x": x, "I": x[None, None]}).graph is graph


def test_the_shape_tells_the_size_of_an_identity():
    X = sb.symbol("X", ("N", "D"))
    assert sb.parse("2I", [X], shape=("N", "N")).shape == ("N", "N")
    four = sb.parse("[δᵢₖδⱼₗ]ᵢⱼₖₗ", [X], shape=("N", "D", "N", "D"))
    assert sb.evaluate(four, {X: np.ones((2, 3))}).reshape(6, 6).tolist() == np.eye(6).tolist()
    with pytest.raises(ShapeError, match=r"the formula has the shape \(N, D\), not \(D,\)"):
        sb.parse("2X", [X], shape="D")


def test_known_arrays_that_are_shown_by_their_shape_are_given():
    x = sb.symbol("x", 4)
    expr = sb.constant(np.arange(12.0).reshape(3, 4)) @ x
    assert str(expr) == "array(3, 4)·x"
    with pytest.raises(ParseError, match=r"the values of array\(3, 4\) are not in the text"):
        sb.parse(str(expr), [x])
    given = {"x": x, "array(3, 4)": sb.constant(np.arange(12.0).reshape(3, 4))}
    assert sb.evaluate(sb.parse(str(expr), given), {x: np.ones(4)}).tolist() == [6, 22, 38]


# --- errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "marked"),
    [
        ("1 + aab", "'aab' can be split into names in 3 ways; set · or blanks between them", "aab"),
        ("s + qqq", "unknown name 'qqq'; known are", "qqq"),
        ("u v", "u[N] is a column, which has no product with v[N]; write uvᵀ, uᵀv or u ⊙ v", "v"),
        ("1 + uA", "u[N] is a column, which has no product with A[N, N]; write Aᵀu", "A"),
        ("uᵀvᵀ", "u[N] and v[N] are both rows", "vᵀ"),
        ("s + Auᵀ", "the row u[N] is no matrix", "uᵀ"),
        ("Aw", "matmul: inner sizes N and D differ: A[N, N], w[D]", "w"),
        ("s/2t", "where the divisor ends is not clear", "t"),
        ("2^st", "where the exponent ends is not clear", "t"),
        ("√st", "where the operand of √ ends is not clear", "t"),
        ("√s²", "where the operand of √ ends is not clear", "²"),
        ("|s + 1", "'|' was never closed", "|"),
        ("[s > 1", "'[' was never closed", "["),
        ("⌊s + 1⌋", "what is rounded down is a quotient", "⌊s + 1⌋"),
        ("A⁻²", "of a matrix only ⁻¹, the inverse, is negative", "⁻²"),
        ("Tᵀ", "ᵀ is for vectors and matrices; write transpose(x, axes)", "ᵀ"),
        ("2I", "nothing tells the size of I; write eye(N)", "2I"),
        ("s + I", "nothing tells the size of I; write eye(N)", "+"),
        ("exp(I)", "nothing tells the size of I; write eye(N)", "exp"),
        ("relu′(s)", "relu is no function of one number that has a derivative", "relu′"),
        ("Σ u", "unknown name 'Σ'", "Σ"),
        ("∑ u", "over which indices is this sum? Write Σᵢ", "∑"),
        ("uᵢvᵢ", "the indices i are free; write [ … ] with the indices behind it", "uᵢvᵢ"),
        ("[Xᵢⱼ]ᵢ", "index j is free: sum over it, or name it behind the bracket", "ᵢ"),
        ("[uᵢwᵢ]ᵢ", "index i has the sizes N and D", "ᵢ"),
        ("Xᵢ", "X[N, D] has 2 axes and 1 indices", "ᵢ"),
        ("Σⱼ uᵢ", "nothing has the index j that is summed over", "Σⱼ"),
        ("[δᵢⱼ]ᵢⱼ", "nothing tells the size of index i, j", "ᵢⱼ"),
        ("[uᵢ + v]ᵢ", "v[N] has no index letters beside elements that have", "+"),
        ("[sum(uᵢ)]ᵢ", "sum does not act on single elements", "sum"),
        ("[uᵢ]ᵢᵢ", "an index stands twice behind the bracket", "ᵢᵢ"),
        ('s + "q"', "there are no texts here", '"q"'),
        ("s ? t", "invalid character '?' (U+003F)", "?"),
        ("size(s)", "a size is written size(N)", "size(s)"),
        ("array(s)", "an array is written array([1, 2])", "array(s)"),
        ("put(u, (5,), [1:3])", "put: the index takes", "put"),
    ],
)
def test_what_cannot_be_read_is_pointed_at(text, message, marked):
    with pytest.raises((ParseError, ShapeError)) as caught:
        sb.parse(text, "X[N,D] A[N,N] w[D] u[N] v[N] s t T[N,N,D] a aa b ab")
    said, shown, carets = str(caught.value).splitlines()
    assert message in said
    start = shown.rindex(marked)
    assert carets == " " * columns(shown[:start]) + "^" * columns(marked)


def test_an_error_in_a_line_below_shows_that_line():
    with pytest.raises(ParseError, match=r"^unknown name 'q'.*\n  q \+ 1\n  \^$"):
        sb.parse("z\n  where z = q + 1", "s")


def test_deep_nesting_is_read_or_refused():
    text = "s"
    for _ in range(50):
        text = f"−(s{text})²"
    assert sb.parse(text.replace("ss", "s·s"), "s").shape == ()
    for deep in ("(" * 5000 + "s" + ")" * 5000, "√" * 5000 + "s", "Σᵢ" * 5000 + "s", "|" * 5000, "s^" * 5000 + "s"):
        with pytest.raises(ParseError, match="nested too deeply"):
            sb.parse(deep, "s")


def test_reading_costs_what_the_text_is_long():
    start = time.perf_counter()
    sb.parse("+".join(["st"] * 20_000), "s t st")
    sb.parse("s" * 5_000, "s t")
    assert time.perf_counter() - start < 20

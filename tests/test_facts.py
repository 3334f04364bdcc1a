"""What is declared with `assume` and what follows from it: inference, rules that use it, structured derivatives."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.errors import GraphError, ShapeError
from symbackprop.op import apply
from symbackprop.ops.accurate import SIGMOID_SLOPE, TANH_SLOPE
from symbackprop.ops.contract import ADD_WHERE_EQUAL, SPREAD
from symbackprop.ops.index import Run
from symbackprop.rewrite.facts import known
from symbackprop.rewrite.pipeline import run
from tests.values import obeying


@pytest.fixture(autouse=True)
def own_graph() -> Iterator[None]:
    """Let each test declare what it likes of its own symbols."""
    with sb.Graph():
        yield


def names() -> dict[str, sb.Expr]:
    symbols = {
        symbol.name: symbol for symbol in sb.symbols("A[N,N] B[N,N] S[N,N] P[N,N] Q[N,N] X[N,D] x[N] y[N] t p n")
    }
    for name, fact in [("S", "symmetric"), ("P", "positive_definite"), ("Q", "orthogonal"), ("p", "positive")]:
        sb.assume(symbols[name], **{fact: True})
    sb.assume(symbols["n"], nonnegative=True)
    return symbols


def expr_of(text: str) -> sb.Expr:
    slopes = {"SIGMOID_SLOPE": SIGMOID_SLOPE, "TANH_SLOPE": TANH_SLOPE}
    return eval(text, {"sb": sb, "np": np, "inv": sb.linalg.inv, **slopes, **names()})  # noqa: S307  (the texts stand below)


SYMMETRIC = {"symmetric"}
SEMIDEFINITE = {"symmetric", "positive_semidefinite"}
DEFINITE = {"symmetric", "positive_semidefinite", "positive_definite"}
NONNEGATIVE = {"nonnegative"}
POSITIVE = {"nonnegative", "positive"}
LOWER, UPPER = {"lower"}, {"upper"}
DIAGONAL = LOWER | UPPER

INFERRED = [
    ("A", set()),
    ("S.T", SYMMETRIC),
    ("A + A.T", SYMMETRIC),
    ("A - A.T", set()),
    ("A.T @ A", SEMIDEFINITE),
    ("X @ X.T", SEMIDEFINITE),
    ("X.T @ S @ X", SYMMETRIC),
    ("X.T @ P @ X", SEMIDEFINITE),
    ("X.T @ A @ X", set()),
    ("X.T @ (A + A.T) @ X", SYMMETRIC),
    ("S @ S", SEMIDEFINITE),
    ("S @ P", set()),
    ("inv(P)", DEFINITE),
    ("inv(S)", SYMMETRIC),
    ("inv(A.T @ A)", SEMIDEFINITE),
    ("S + P", SYMMETRIC),
    ("P + X @ X.T", DEFINITE),
    ("X @ X.T + p * sb.eye('N')", DEFINITE),
    ("X @ X.T + t * sb.eye('N')", SYMMETRIC),
    ("p * P", DEFINITE),
    ("n * P", SEMIDEFINITE),
    ("t * P", SYMMETRIC),
    ("P / p", DEFINITE),
    ("P - S", SYMMETRIC),
    ("-P", SYMMETRIC),
    ("P * P", DEFINITE),
    ("sb.exp(S)", SYMMETRIC | POSITIVE),
    ("x[:, None] + x[None, :]", SYMMETRIC),
    ("x[:, None] + y[None, :]", set()),
    ("x[:, None] - x[None, :]", set()),
    ("sb.cos(x[None, :] - x[:, None])", SYMMETRIC),
    ("sb.sum((X[:, None] - X[None])**2, axis=2)", SYMMETRIC | NONNEGATIVE),
    ("sb.mean(abs(X[:, None] - X[None]), axis=-1) + t * sb.eye('N')", SYMMETRIC),
    ("sb.sum((A[:, None] - A[None])**2, axis=1)", NONNEGATIVE),
    ("sb.sum((A[:, None] - B[None])**2, axis=2)", NONNEGATIVE),
    ("S * A", set()),
    ("S + x", set()),
    ("sb.outer(x, x)", SEMIDEFINITE),
    ("sb.outer(x, y)", set()),
    ("sb.diag(x)", SYMMETRIC | DIAGONAL),
    ("sb.diag(sb.exp(x))", DEFINITE | DIAGONAL),
    ("sb.kron(P, P)", DEFINITE),
    ("Q @ Q", {"orthogonal"}),
    ("Q @ S @ Q.T", SYMMETRIC),
    ("sb.eye('N')", DEFINITE | NONNEGATIVE | DIAGONAL | {"orthogonal"}),
    ("sb.exp(x)", POSITIVE),
    ("sb.square(x)", NONNEGATIVE),
    ("abs(x) + 1", POSITIVE),
    ("p * sb.exp(x) / 2", POSITIVE),
    ("p - 1", set()),
    ("sb.sqrt(p)", POSITIVE),
    ("sb.linalg.norm(x)", NONNEGATIVE),
    ("sb.maximum(x, 0)", NONNEGATIVE),
    ("sb.sum(sb.square(x))", NONNEGATIVE),
    ("sb.softmax(x)[1:]", POSITIVE),
    ("sb.exp2(x) * sb.hypot(x, p) + sb.floor(p)", POSITIVE),
    ("sb.hypot(x, 2 * x)", {"nonnegative"}),
    ("sb.floor(p) * sb.arctan(p)", {"nonnegative"}),
    ("sb.arctan(p) * sb.cbrt(p) / sb.ceil(p)", POSITIVE),
    ("sb.cosh(x) + SIGMOID_SLOPE(x) + TANH_SLOPE(x)", POSITIVE),
    ("sb.where(x > 0, p, n)", NONNEGATIVE),
    ("sb.where(x > 0, p, x)", set()),
    ("x + (1 - x)", NONNEGATIVE),
    ("sb.sigmoid(x) * (1 - sb.sigmoid(x))", NONNEGATIVE),
    ("1 - sb.square(sb.softmax(x))", NONNEGATIVE),
    ("2 - sb.sigmoid(x)", set()),
    ("1 - sb.tanh(x)", set()),
    ("(p - x) + x", NONNEGATIVE),
    ("(t - x) + x", set()),
    ("y + (1 - x)", set()),
    ("x + (x - 1)", set()),
    ("sb.linalg.det(P)", POSITIVE),
    ("sb.linalg.det(S)", set()),
    ("sb.linalg.cholesky(P)", LOWER),
    ("sb.linalg.cholesky(P).T", UPPER),
    ("inv(sb.linalg.cholesky(P).T)", UPPER),
    ("sb.linalg.qr(A).R", UPPER),
    ("sb.tril(A) + sb.tril(B, -1)", LOWER),
    ("sb.triu(A, 1)", UPPER),
    ("sb.triu(A, -1)", set()),
    ("sb.tril(sb.triu(A), 1)", UPPER),
    ("t * sb.linalg.cholesky(P) + sb.diag(x)", LOWER),
    ("sb.linalg.cholesky(P) @ sb.linalg.cholesky(P) / 2", LOWER),
    ("sb.linalg.cholesky(P) + t", set()),
    ("sb.linalg.cholesky(P) + sb.linalg.qr(A).R", set()),
]


@pytest.mark.parametrize(("text", "expected"), INFERRED, ids=[text for text, _ in INFERRED])
def test_what_follows_from_how_a_value_is_made(text: str, expected: set[str]) -> None:
    assert known(expr_of(text)) == expected


@pytest.mark.parametrize("text", [text for text, expected in INFERRED if expected & (DEFINITE | POSITIVE)])
def test_what_follows_is_true(text: str) -> None:
    expr = expr_of(text)
    rng = np.random.default_rng(1)
    shapes = {"N": 4, "D": 3}
    values = {}
    for symbol in names().values():
        drawn = rng.normal(size=tuple(shapes[size.name] for size in symbol.shape))
        values[symbol] = obeying(symbol, drawn)
    found = sb.evaluate(expr, values)
    facts = known(expr)
    if "symmetric" in facts:
        np.testing.assert_allclose(found, found.T, rtol=1e-9, atol=1e-9)
        lowest = np.linalg.eigvalsh(found).min()
        assert lowest > -1e-9 or "positive_semidefinite" not in facts
        assert lowest > 0 or "positive_definite" not in facts
    assert "positive" not in facts or np.all(found > 0)
    assert "nonnegative" not in facts or np.all(found >= 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("S.T @ x", "Sx"),
        ("x @ S", "Sx"),
        ("(X.T @ X).T", "XᵀX"),
        ("inv(S).T", "S⁻¹"),
        ("S @ x + S.T @ x", "2Sx"),
        ("abs(p)", "p"),
        ("sb.sqrt(p**2)", "p"),
        ("sb.sqrt(t**2)", "|t|"),
        ("sb.relu(n)", "n"),
        ("sb.maximum(sb.square(x), 0)", "x²"),
        ("inv(Q) @ x", "Qᵀx"),
        ("Q.T @ Q @ x", "x"),
        ("Q @ (A @ Q).T", "Aᵀ"),
        ("Q.T @ (Q @ x - y)", "x − Qᵀy"),
        ("sb.linalg.norm(Q @ x)", "‖x‖"),
        ("sb.linalg.slogdet(Q).logabsdet", "0"),
    ],
)
def test_rules_use_what_is_declared(text: str, expected: str) -> None:
    assert sb.text(expr_of(text), simplify=True) == expected


def test_compiled_code_uses_what_is_declared() -> None:
    (after,) = run([expr_of("inv(Q) @ (S.T @ abs(p * sb.exp(x)))")])
    ops = {after.graph.nodes[number].op.name for number in after.graph.reachable([after.number])}
    assert not ops & {"inv", "solve", "abs"}
    assert sum(node.op.name == "transpose" for node in after.graph.nodes.values()) <= 2  # Qᵀ, and what was given


def test_the_derivative_by_a_symmetric_matrix_is_by_each_of_its_elements() -> None:
    """As if each element moved alone; where mirrored ones move together it is G + Gᵀ − diag(G)."""
    A, L = sb.symbols("A[N,N] L[N,N]")
    S = sb.assume(sb.symbol("S", ("N", "N")), symmetric=True)
    assert str(sb.grad(sb.trace(A @ S), S)) == "Aᵀ"
    mirrored = L + L.T - sb.diag(sb.diag(L))
    rng = np.random.default_rng(4)
    a, lower = rng.normal(size=(3, 3)), np.tril(rng.normal(size=(3, 3)))
    free = sb.evaluate(sb.grad(sb.trace(A @ mirrored), L), {A: a, L: lower})
    g = sb.evaluate(sb.grad(sb.trace(A @ S), S), {A: a, S: lower + lower.T})
    np.testing.assert_allclose(free, g + g.T - np.diag(np.diag(g)))


def test_what_is_declared_later_counts_from_then_on() -> None:
    A = sb.symbol("A", ("N", "N"))
    B = A.T @ A @ A
    assert known(B) == set()
    sb.assume(A, symmetric=True)
    assert known(B) == SYMMETRIC
    assert str(sb.simplify(B.T)) == "AAA"


def test_integers_that_wrap_around_have_no_signs() -> None:
    n = sb.symbol("n", "N", dtype="int8")
    assert known(sb.square(n)) == known(abs(n)) == set()
    np.testing.assert_array_equal(sb.compile([n], abs(abs(n)))(np.array([-128, 3], np.int8)), [-128, 3])


def test_facts_add_up_and_last() -> None:
    x = sb.symbol("x", ("N", "K"))
    assert sb.assume(x, rows_sum_to=1) is x
    sb.assume(x, nonnegative=True)
    assert str(sb.simplify(abs(x) * sb.sum(x, axis=-1, keepdims=True))) == "x"


def test_bands_beside_the_diagonal_are_not_symmetric() -> None:
    x = sb.symbol("x", 5)
    upper = sb.jacobian(x[1:] ** 2, x)  # its numbers stand beside the diagonal
    square = sb.concatenate([upper, sb.zeros_like(upper)[:1]])
    for J in (square, square + sb.eye(5)):
        value = np.arange(5.0)
        found = sb.compile([x], J.T)(value)
        np.testing.assert_array_equal(found, sb.evaluate(J, {x: value}).T)
    z = sb.symbol("z", 4)
    shape, runs = (5, 5), (Run(0, 4, 1), Run(1, 4, 1))
    band = apply(SPREAD, z, pattern="aa", shape=shape, runs=runs)
    assert known(band) == known(apply(ADD_WHERE_EQUAL, sb.eye(5), z, pattern="aa", runs=runs, owned=False)) == set()
    diagonal = apply(SPREAD, x, pattern="aa", shape=shape, runs=())
    assert known(diagonal) == SYMMETRIC
    assert known(apply(ADD_WHERE_EQUAL, sb.eye(5), x, pattern="aa", runs=(), owned=False)) == SYMMETRIC


def test_a_sum_that_is_declared_is_known_of_scaled_rows() -> None:
    Y, t, x = sb.symbols("Y[N,N] t x[N]")
    sb.assume(Y, rows_sum_to=3)
    for scaled, product in [(Y / t, "3x/t"), (2 * (Y / 5) * t, "1.2tx")]:
        assert sb.text(sb.sum(scaled, axis=-1) * x, simplify=True) == product
    assert sb.text(sb.sum(Y * x, axis=-1), simplify=True) == "Yx"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, X, t: sb.assume(X @ x, positive=True), GraphError, "is no symbol"),
        (lambda x, X, t: sb.assume(x, symmetric=True), ShapeError, r"assume: symmetric is said of square matrices: x"),
        (
            lambda x, X, t: sb.assume(X, orthogonal=True),
            ShapeError,
            r"assume: orthogonal is said of square .*X\[N, D\]",
        ),
        (lambda x, X, t: sb.assume(t, rows_sum_to=1), ShapeError, "is a scalar and has no rows"),
    ],
)
def test_what_cannot_be_declared_is_an_error(call, error, message) -> None:
    x, X, t = sb.symbols("x[D] X[N,D] t")
    with pytest.raises(error, match=message):
        call(x, X, t)


def test_inference_and_rules_are_linear_in_the_graph() -> None:
    """Deep chains of products, sums and transposes: four times the depth costs about four times the time."""

    def seconds(depth: int) -> float:
        with sb.Graph():
            A, x = sb.symbols("A[N,N] x[N]")
            y, M = x, A
            for at in range(depth):
                y = (A @ y) + x @ A if at % 3 else A @ y
                M = (M.T @ A).T if at % 2 else M + A.T
            best = np.inf
            for _ in range(3):
                start = time.process_time()
                run([y, M.T])
                known(M)
                best = min(best, time.process_time() - start)
            return best

    seconds(50)
    assert seconds(1200) < 10 * seconds(300)

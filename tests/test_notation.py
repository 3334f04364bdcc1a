"""Brackets are needed, and what is written with indices or in several lines reads back."""

import re

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.errors import SymbackpropError
from symbackprop.rewrite.engine import Rewritten, rebuild
from tests import test_printing
from tests.round_trip import check_round_trip, read_back
from tests.test_parse import at_random

GOLDEN = test_printing.PARENTHESES + test_printing.PRODUCTS + test_printing.MATRICES + test_printing.FUNCTIONS
SCALARS, INDEXED = test_printing.SCALARS, [(test_printing.TENSORS, case[0]) for case in test_printing.IN_INDICES]
CASES = [case.values[:2] for case in GOLDEN] + INDEXED

_BRACKETS = re.compile(r'"(?:\\.|[^"\\])*"|[()]')
_SUM = re.compile(r" [+−⊙<>=≠≤≥∧∨] ")
_RAISED = re.compile(r"[ᵀ⁻⁰¹²³⁴⁵⁶⁷⁸⁹ᵢⱼₖₗₘₙₚᵣₛₜᵤᵥ^]")


@pytest.fixture(autouse=True)
def fresh_graph():
    with sb.Graph():
        yield


def build(spec, source):
    symbols = sb.symbols(spec)
    names = {symbol.name: symbol for symbol in symbols}
    return symbols, eval(source, {"sb": sb, "np": np, **names})  # noqa: S307  (the sources of the golden formulas)


def pairs(text):
    """Give where round brackets open and close."""
    open_at = []
    for match in _BRACKETS.finditer(text):
        if match[0] == "(":
            open_at.append(match.start())
        elif match[0] == ")":
            yield open_at.pop(), match.start()


def outside_of_brackets(text):
    """Leave out what is in inner brackets."""
    while True:
        shorter = re.sub(r"\([^()]*\)|\[[^\[\]]*\]|\|[^|]*\|", "", text)
        if shorter == text:
            return text
        text = shorter


def is_for_the_eye(text, opening, closing):
    """Tell whether brackets stand where a reader could do without them, but people would stumble.

    They keep a sign apart from the operator before it, an exponent or an index from an exponent, and the factors of
    products of vectors, of fractions and of stacks together: (uᵀv)w, (a/b)·c, (A⁻¹)ᵢⱼ. A call has its own.
    """
    inside, before, behind = text[opening + 1 : closing], text[:opening], text[closing + 1 :]
    called = re.search(r"[\w₀-₉]\Z", before) and re.search(r"[^\W\d_]{2,}\d?\Z|log1p\Z", before)
    shape = before.endswith(", ") and re.fullmatch(r"[\w, ·+−]*", inside)
    root = before.endswith("√") or _RAISED.match(behind)
    product = not _SUM.search(outside_of_brackets(inside))
    return bool(called or shape or root or inside.startswith("−") or product)


def needless(expr, symbols, **options):
    """Give the text, and the text without each pair of brackets that reads back as the same expression."""
    text = sb.text(expr, where=False, width=10**6, line_width=10**6, simplify=False, **options)
    used = set(expr.graph.reachable([expr.number]))
    symbols = [symbol for symbol in symbols if symbol.number in used]
    read = read_back(text, expr, symbols)
    for opening, closing in pairs(text):
        shorter = text[:opening] + text[opening + 1 : closing] + text[closing + 1 :]
        try:
            found = read_back(shorter, expr, symbols)
        except (AssertionError, SymbackpropError, ValueError):
            continue
        graph = Rewritten()
        if rebuild([found], graph) == rebuild([read], graph) and not is_for_the_eye(text, opening, closing):
            yield text, shorter


@pytest.mark.parametrize("notation", ["auto", "index"])
@pytest.mark.parametrize(("spec", "source"), CASES)
def test_no_bracket_of_a_golden_formula_is_needless(spec, source, notation):
    symbols, expr = build(spec, source)
    assert not list(needless(expr, symbols, notation=notation))


@pytest.mark.parametrize("notation", ["auto", "index"])
@pytest.mark.parametrize("seed", range(60))
def test_no_bracket_of_a_random_formula_is_needless(seed, notation):
    grower = test_printing.Grower(f"brackets{seed}")
    expr = grower.grow(seed % 3, 3)
    symbols = [symbol for pool in grower.pools.values() for symbol in pool if symbol.name]
    assert not list(needless(expr, symbols, notation=notation))


def test_needless_brackets_are_found(monkeypatch):
    monkeypatch.setattr(sb, "text", lambda *_, **__: "(a + b)(c) + ((b + c)d) + exp((a + b))")
    a, b, c, d = symbols = sb.symbols("a b c d")
    found = {shorter for _, shorter in needless((a + b) * c + (b + c) * d + sb.exp(a + b), symbols)}
    assert found == {"(a + b)(c) + ((b + c)d) + exp(a + b)"}


@pytest.mark.parametrize(("spec", "source"), CASES)
def test_broken_lines_read_back(spec, source):
    symbols, expr = build(spec, source)
    more = expr + 2 * expr * expr if expr.dtype.kind == "f" else expr
    check_round_trip(more, at_random(symbols), options=({"line_width": 10}, {"line_width": 10, "where": True}))


@pytest.mark.parametrize(("spec", "source"), INDEXED, ids=[source for _, source in INDEXED])
def test_index_notation_reads_back(spec, source):
    symbols, expr = build(spec, source)
    every = [{"notation": notation, "where": where} for notation in ("auto", "index") for where in (False, True)]
    check_round_trip(expr, at_random(symbols), options=(*every, {"line_width": 12, "where": True}))


DERIVED = [
    ("X[N,D] W[D,K]", "sb.jacobian(X @ W, W)"),
    ("X[N,D] W[D,K] Y[N,K]", "sb.hessian(sb.sum((X @ W - Y) ** 2), W)"),
    ("X[N,D] w[D] y[N]", "sb.hessian(sb.mean(sb.log1p(sb.exp(X @ w)) - y * (X @ w)), w)"),
    ("A[N,N]", "sb.jacobian(sb.linalg.inv(A), A)"),
    ("A[N,N]", "sb.hessian(sb.trace(A @ A @ A), A)"),
    ("A[N,N]", "sb.jacobian(sb.linalg.matrix_power(A, 3), A)"),
    ("A[N,N]", "sb.jacobian(sb.linalg.eigvalsh(A), A)"),
    ("A[N,N]", "sb.hessian(sb.trace(sb.linalg.expm(A)), A)"),
    ("w[D]", "sb.jacobian(sb.softmax(w), w)"),
    ("w[D]", "sb.jacobian(sb.linalg.norm(w) * w, w)"),
    ("T[N,J,D] U[K,D] Z[N,J,K]", "sb.grad(sb.sum((sb.einsum('njd,kd->njk', T, U) - Z) ** 2), U)"),
    ("T[N,J,D] U[K,D] Z[N,J,K]", "sb.hessian(sb.mean((sb.einsum('njd,kd->njk', T, U) - Z) ** 2), U)"),
    ("Q[H,N,D] K[H,N,D] V[H,N,D]", "sb.grad(sb.sum((sb.softmax(Q @ sb.transpose(K, (0, 2, 1))) @ V) ** 2), K)"),
    ("A[N,D] B[N,D]", "sb.grad(sb.sum(sb.exp(-sb.sum((A[:, None] - B) ** 2, axis=-1))), A)"),
]


@pytest.mark.parametrize(("spec", "source"), DERIVED, ids=[source for _, source in DERIVED])
def test_derivatives_with_indices_read_back(spec, source):
    symbols, expr = build(spec, source)
    every = [{"notation": notation, "where": where} for notation in ("auto", "index") for where in ("auto", True)]
    check_round_trip(expr, at_random(symbols), options=(*every, {"line_width": 30}))

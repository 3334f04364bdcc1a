"""What is printed is read back: every operation, random graphs, the golden formulas; and what cannot be read."""

from __future__ import annotations

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.ops import TABLE
from tests import random_graphs, test_linalg, test_printing
from tests.round_trip import check_round_trip

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
        shapes = [case.shapes for case in op.cases]
        if op.elementwise:
            arity = len(op.vjps)
            shapes = [pair if arity == 2 else (pair[0],) * (arity - 1) + pair[1:] for pair in _PAIRS]
        params = [case.params for case in op.cases] or [{}] * len(shapes)
        for number, (given, param) in enumerate(zip(shapes, params, strict=True)):
            if op.vjps:
                yield pytest.param(op, given, param, id=f"{op.name}-{number}")


def drawn(rng, op, position, shape):
    low, high = op.domain[position] if position < len(op.domain) else (0.3, 1.5)
    array = rng.uniform(low, high, shape)
    square = len(shape) > 1 and shape[-1] == shape[-2]
    return array @ np.swapaxes(array, -1, -2) + 2 * np.eye(shape[-1]) if square and not op.elementwise else array


@pytest.mark.parametrize(("op", "shapes", "params"), list(cases()))
def test_every_operation_is_read_back(op, shapes, params):
    rng = np.random.default_rng(0)
    names = ["x", "W1", "z", "y2"]
    symbols = [
        sb.symbol(name, shape, "bool" if op.name == "where" and not position else "float64")
        for position, (name, shape) in enumerate(zip(names, shapes, strict=False))
    ]
    values = {symbol: drawn(rng, op, at, shape) for at, (symbol, shape) in enumerate(zip(symbols, shapes, strict=True))}
    values = {symbol: value > 1 if symbol.dtype == bool else value for symbol, value in values.items()}
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


@pytest.mark.parametrize(("source", "by"), [row[:2] for row in test_linalg.DERIVATIVES])
def test_golden_derivatives_are_read_back(source, by):
    expr = sb.grad(test_linalg.expr_of(source), test_linalg.expr_of(by))
    check_round_trip(expr, at_random(sb.symbols(SYMBOLS)), options=OPTIONS)


# --- random graphs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs_are_read_back(seed):
    rng = np.random.default_rng(seed)
    outputs, values = random_graphs.random_expression(rng, 25)
    for output in outputs:
        check_round_trip(output, values, options=OPTIONS)
        check_round_trip(sb.simplify(output), values, options=OPTIONS)

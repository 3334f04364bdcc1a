"""NumPy code of one expression: it is what a person would write, and it runs."""

import ast

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.ops import TABLE
from tests.random_graphs import random_expression, takes_floats
from tests.test_printing import build, texts
from tests.values import indices, is_index

SPEC = "X[N,D] y[N] w[D] b A[N,N] B[N,N] N"


def run(code, values):
    """Run the lines, and give the value of the last one."""
    *lines, last = ast.parse(code).body
    names = {"np": np, **values}
    exec(compile(ast.Module(lines, []), "code", "exec"), names)  # noqa: S102  (our own output)
    return eval(compile(ast.Expression(last.value), "code", "eval"), names)  # noqa: S307


CODE = texts(
    [
        ("X @ w + b", "X @ w + b"),
        ("(A @ B).T @ y", "(A @ B).T @ y"),
        ("A @ (B @ y)", "A @ (B @ y)"),
        ("sb.sum((X @ w - y)**2)", "np.square(X @ w - y).sum()"),
        ("-(y + b) / 2", "-(y + b) / 2.0"),
        ("y - (b - y)", "y - (b - y)"),
        ("(b * y)**2.5", "(b * y)**2.5"),
        ("sb.exp(b) * sb.exp(b)", "np.exp(b) * np.exp(b)"),
        ("sb.mean(y * y, keepdims=True)", "(y * y).mean(keepdims=True)"),
        ("sb.broadcast_to(b, 'N') * y", "b * y"),
        ("sb.eye('N') @ A", "N = A.shape[0]\nnp.eye(N) @ A"),
        ("A[1:] @ y", "A[1:] @ y"),
        ("sb.where(y > 0, y, 2.0 * y)", "np.where(y > 0.0, y, 2.0 * y)"),
        ("sb.eye('N') @ (A * N)", "N_1 = A.shape[0]\nnp.eye(N_1) @ (A * N)"),
        ("sb.einsum('ij,kj->ik', X, X)", 'np.einsum("ij,kj->ik", X, X, optimize=True)'),
    ],
    SPEC,
)


@pytest.mark.parametrize(("spec", "source", "expected"), CODE)
def test_code_is_written_like_this(spec, source, expected):
    assert sb.numpy_code(build(spec, source), simplify=False) == expected


def test_what_is_shared_or_named_has_a_line():
    X, w, b = sb.symbols("X[N,D] w[D] b")
    z = (X @ w + b).named("z")
    s = sb.tanh(z)
    assert (s * (1 - s)).numpy_code() == "z = X @ w + b\nt1 = np.tanh(z)\nt1 * (1.0 - t1)"


def test_a_function_that_numpy_lacks_is_defined():
    x = sb.symbol("x", "N")
    code = sb.numpy_code(sb.sigmoid(x))
    assert code.startswith("def sigmoid(z):\n")
    assert code.endswith("\n\n\nsigmoid(x)")


def test_long_code_has_lines_for_its_parts():
    x = sb.symbol("x", "N")
    for _ in range(300):
        x = sb.sin(x + 1.0)
    code = sb.numpy_code(x, line_width=60)
    assert max(map(len, code.split("\n"))) <= 80
    np.testing.assert_allclose(run(code, {"x": np.ones(2)}), sb.compile([*symbols_of(x)], x)(np.ones(2)))


def symbols_of(*exprs):
    graph = exprs[0].graph
    reached = [sb.Expr(graph, number) for number in graph.reachable([expr.number for expr in exprs])]
    return [expr for expr in reached if expr.op.name == "symbol"]


@pytest.mark.parametrize("op", [op for op in TABLE if op.vjps], ids=lambda op: op.name)
def test_the_code_of_every_operation_runs(op):
    rng = np.random.default_rng(0)
    shapes = [case.shapes for case in op.cases] or [((3,),) * len(op.vjps), ((2, 3), (3,), (), (3,))[: len(op.vjps)]]
    params = [case.params for case in op.cases] or [{}, {}]
    for given, param in zip(shapes, params, strict=True):
        arrays = [drawn(rng, op, position, shape) for position, shape in enumerate(given)]
        if op.name == "where":
            arrays[0] = arrays[0] > 1
        symbols = [sb.symbol(f"x{at}", array.shape, array.dtype) for at, array in enumerate(arrays)]
        expr = op(*symbols, **param)
        found = run(sb.numpy_code(expr, simplify=False), {f"x{at}": array for at, array in enumerate(arrays)})
        expected = sb.evaluate(expr, dict(zip(symbols, arrays, strict=True)))
        assert np.asarray(found).dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def drawn(rng, op, position, shape):
    if is_index(op, position):
        return indices(rng, shape)
    if not takes_floats(op):
        return rng.integers(1, 5, shape)
    low, high = op.domain[position] if position < len(op.domain) else (0.5, 1.5)
    array = rng.uniform(max(low, -3), min(high, 3), shape)
    square = len(shape) > 1 and shape[-1] == shape[-2] and not op.elementwise
    return array @ np.swapaxes(array, -1, -2) + 2 * np.eye(shape[-1]) if square else array


@pytest.mark.parametrize("simplify", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_the_code_of_random_graphs_runs(seed, simplify):
    made = random_expression(np.random.default_rng(seed), 15)
    values = {symbol.name: array for symbol, array in made.values.items()}
    for output in made.outputs:
        found = run(sb.numpy_code(output, simplify=simplify), values)
        expected = sb.evaluate(output, made.values)
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)

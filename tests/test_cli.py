"""The command line and its expression language: what they read, what they refuse, and where they point."""

import runpy
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.autodiff import evaluate
from symbackprop.cli import main
from symbackprop.errors import DtypeError, ParseError, ShapeError
from symbackprop.language.tokens import columns
from symbackprop.language.vocabulary import FUNCTIONS

MSE = "mean((y - sigmoid(X@w+b))**2)"
GIVEN = "X[N,D] y[N] w[D] b"


@pytest.fixture(autouse=True)
def fresh_graph():
    with sb.Graph():
        yield


def read(text, spec=GIVEN, dtype="float64"):
    return sb.parse(text, {symbol.name: symbol for symbol in sb.symbols(spec, dtype)})


def values():
    rng = np.random.default_rng(0)
    return {"X": rng.normal(size=(4, 3)), "y": rng.normal(size=4), "w": rng.normal(size=3), "b": np.array(0.5)}


# --- the language reads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        (MSE, lambda X, y, w, b: np.mean((y - 1 / (1 + np.exp(-(X @ w + b)))) ** 2)),
        ("-b + +b*2 - b/4", lambda b, **_: -b + b * 2 - b / 4),
        ("2**-1 + b**2**b", lambda b, **_: 0.5 + b ** (2**b)),
        ("7 // 2 + b % 0.3", lambda b, **_: 3 + b % 0.3),
        ("1/3 + b", lambda b, **_: 1 / 3 + b),
        ("X.T @ y", lambda X, y, **_: X.T @ y),
        ("X[1:, 0] - X[:-1, -1]", lambda X, **_: X[1:, 0] - X[:-1, -1]),
        ("X[::-1, None, ...]", lambda X, **_: X[::-1, None, ...]),
        ("X[N-1] + X[N//2]", lambda X, **_: X[3] + X[2]),
        ("sum(X, axis=0, keepdims=True) / N", lambda X, **_: X.mean(axis=0, keepdims=True)),
        ("mean(X, axis=-1) * D", lambda X, **_: X.sum(axis=1)),
        ("sum(X, axis=(0, 1))", lambda X, **_: X.sum()),
        ("where((y > 0) & ~(y >= 1) | (y == b), y, 0)", lambda y, **_: np.where((y > 0) & (y < 1), y, 0)),
        ("where(y != y[0], 1, 2)", lambda y, **_: np.where(y != y[0], 1, 2)),
        ("reshape(X, (N*D,)) + reshape(X.T, (D*N,))", lambda X, **_: X.reshape(-1) + X.T.reshape(-1)),
        ("broadcast_to(b, (N + 1, 2))", lambda b, **_: np.broadcast_to(b, (5, 2))),
        ("concatenate([y, w]) + stack((b, b))[0]", lambda y, w, b, **_: np.concatenate([y, w]) + b),
        ("cos(pi) + e**b + exp(1)", lambda b, **_: -1 + np.e**b + np.e),
        ("maximum(0, w) + abs(w)", lambda w, **_: np.maximum(0, w) + np.abs(w)),
        ("sqrt(N) + N*N", lambda **_: 2 + 16),
        ("  (\n b +\t1 )\n", lambda b, **_: b + 1),
    ],
)
def test_the_language_means_what_numpy_means(text, meaning):
    expr = read(text)
    symbols = dict(zip("XywbZ", sb.symbols(GIVEN + " Z[N,D]"), strict=True))
    bound = {symbols[name]: value for name, value in values().items()} | {symbols["Z"]: values()["X"]}
    np.testing.assert_allclose(evaluate(expr, bound), meaning(**values()))


def test_numbers_are_weak_beside_symbols():
    assert read("b * (1/3) + 2**0.5 * pi + N", dtype="float32").dtype == np.float32


def test_a_symbol_may_bear_the_name_of_a_constant_a_size_or_a_function():
    assert read("e + N + sum(sum)", "e N[N] sum[N]").shape == ("N",)


def test_a_name_is_found_as_python_writes_it():
    with sb.Graph():
        assert sb.parse("ﬁ + 1", {"ﬁ": sb.symbol("ﬁ")}).op.name == "add"


def test_nothing_is_computed_while_reading():
    start = time.perf_counter()
    expr = read("9**9**9**9")
    assert time.perf_counter() - start < 1
    assert expr.op.name == "power"


def test_long_sums_do_not_recurse():
    expr = read("+".join(["b"] * 20_000))
    assert len(expr.graph.reachable([expr.number])) == 20_000


def test_every_function_of_the_language_makes_nodes():
    assert {"sum", "matmul", "sigmoid", "reshape"} <= set(FUNCTIONS)
    for name, function in FUNCTIONS.items():
        assert callable(function), name
        assert function.__module__.startswith("symbackprop."), name
    assert not {"TABLE", "constant", "symbol", "symbols"} & set(FUNCTIONS)


# --- the language refuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "marked"),
    [
        ("mean(sigmod(X@w))", "unknown name 'sigmod' (did you mean 'sigmoid'?)", "sigmod"),
        ("mean(q)", "unknown name 'q'; known are X, y, w, b, D, N, pi, e", "q"),
        ("1 + qqq(b)", "unknown function 'qqq'", "qqq"),
        ("sum + 1", "'sum' is a function; write sum(…)", "sum"),
        ("__import__('os').system('ls')", "only .T may follow a dot, not .system", ".system"),
        ("__import__(1)", "unknown function '__import__'", "__import__"),
        ("eval(1)", "unknown name 'eval' (did you mean 'real'?)", "eval"),
        ("b.__class__", "only .T may follow a dot, not .__class__", ".__class__"),
        ("().__class__.__bases__", "only .T may follow a dot, not .__class__", ".__class__"),
        ("b.graph", "only .T may follow a dot, not .graph", ".graph"),
        ("1 + X.sum()", "only .T may follow a dot, not .sum; write sum(x) for x.sum()", ".sum"),
        ("b + __name__", "unknown name '__name__'; known are X, y, w, b, D, N, pi, e", "__name__"),
        ("lambda: b", "there are no functions to define; write the expression itself", "lambda"),
        ("sum([b for b in b])", "there are no loops; write the expression on whole arrays", "for"),
        ("sum(b for b in b)", "there are no loops; write the expression on whole arrays", "for"),
        ("{b for b in b}", "this has no meaning here", "{"),
        ("{1: b}", "this has no meaning here", "{"),
        ("b + 'a'", "there are no texts here", "'a'"),
        ("b + b'a'", "there are no texts here", "b'a'"),
        ("b + f'{b}'", "there are no texts here", "f'{b}'"),
        ("1j*b", "there are no complex numbers here", "1j"),
        ("(c := b)", "there are no assignments; name inputs as symbols", ":="),
        ("b if b else 1", "there is no if; write where(condition, a, b)", "if"),
        ("b and b", "`and` and `or` do not act on arrays; write & and |, with parentheses", "and"),
        ("not b", "`not` does not act on arrays; write ~", "not"),
        ("0 < b < 1", "a chain of comparisons does not act on arrays; write (a < b) & (b < c)", "0 < b < 1"),
        ("b is b", "this has no meaning here", "is"),
        ("sum(*w)", "there is no unpacking; write the operands one by one", "*"),
        ("b + (1, 2)", "an operand is an expression or a number, not a tuple", "(1, 2)"),
        ("b + None", "an operand is an expression or a number, not None", "None"),
        ("sum(X, axis=b)", "sum: axis is a whole number such as 0 or -1, or a tuple of them", "b"),
        ("sum(X, axis=0.5)", "sum: axis is a whole number such as 0 or -1, or a tuple of them", "0.5"),
        ("sum(X, axiss=0)", "sum: got an unexpected keyword argument 'axiss'", "sum"),
        ("maximum(b)", "maximum: missing a required argument: 'y'", "maximum"),
        ("exp(b, b)", "exp: too many positional arguments", "exp"),
        ("b + 99999999999999999999", "an integer has at most 63 bits; write a float such as 1e30", "9" * 20),
        ("b + + ", "this is no expression", ""),
        ("b; b", "this is no expression", ";"),
        ("2 * (b", "'(' was never closed", "("),
        ("b\x1b[2J", "invalid character '�' (U+FFFD)", "�"),
        ("b\x00", "invalid character '�' (U+FFFD)", "�"),
        ("θ̂名 + sigmod(b)", "unknown name 'θ̂名'; known are X, y, w, b, D, N, pi, e", "θ̂名"),
        ("b×b", "invalid character '×' (U+00D7)", "×"),
    ],
)
def test_what_is_refused_is_pointed_at(text, message, marked):
    with pytest.raises(ParseError) as caught:
        read(text)
    said, shown, carets = str(caught.value).splitlines()
    assert said == message
    assert shown.isprintable()
    if marked:
        before, _, rest = shown.partition(marked)
        assert rest or shown.endswith(marked)
        assert carets == " " * columns(before) + "^" * columns(marked)


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("sum((X) @ (y))", "matmul: inner sizes D and N differ: X[N, D], y[N]", 8),
        ("1 - (X ** 2 @ (y))", "matmul: inner sizes D and N differ: square(X)[N, D], y[N]", 12),
        ("b + sum(X, axis=2)", "sum: axis 2 is out of range for rank 2: X[N, D]", 4),
        ("w + X[0, 0, 0]", "index: 3 indices for 2 axes: X[N, D]", 5),
        ("1 + b @ 2", "matmul: a scalar has no matrix product; multiply with *: b, 2", 6),
    ],
)  # fmt: skip
def test_a_shape_error_is_pointed_at(text, message, column):
    with pytest.raises(ShapeError) as caught:
        read(text)
    said, shown, carets = str(caught.value).splitlines()
    assert (said, shown) == (message, "  " + text)
    assert carets.index("^") == column + 2


def test_a_dtype_error_is_pointed_at():
    with pytest.raises(DtypeError, match=r"~ is for integers and bools.*\n  1 \+ ~b\n      \^$"):
        read("1 + ~b")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "b" + ")" * 5000,
        "[" * 250 + "b" + "]" * 250,
        "-" * 50_000 + "b",
        "b" * 200_000,
        "9" * 5000,
        "b" + "[0]" * 20_000,
        "exp(" * 150 + "b",
        "",
        " \n ",
        "\udcff",
    ],
)
def test_text_of_any_size_is_refused_at_once_and_in_few_lines(text):
    start = time.perf_counter()
    with pytest.raises((ParseError, ShapeError)) as caught:
        read(text)
    assert time.perf_counter() - start < 5
    assert len(str(caught.value)) < 400


def test_products_of_sizes_do_not_explode():
    start = time.perf_counter()
    read("*".join(["(N + D + K + M + 1)"] * 60), "x[N,D,K,M]")
    assert time.perf_counter() - start < 5


# --- the command line -----------------------------------------------------------------------------------------


def run(capsys, *argv):
    status = main(["grad", *argv])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_it_prints_one_formula_for_each_target(capsys):
    status, out, err = run(capsys, "sum((X@w - y)**2) + b**2", "--given", GIVEN, "--wrt", "w, b")
    assert (status, err) == (0, "")
    assert out == "∂/∂w = 2Xᵀ(Xw − y)\n∂/∂b = 2b\n"


def test_it_reads_what_it_prints(capsys):
    assert run(capsys, "‖Xw − y‖² + b²", "--given", GIVEN, "--wrt", "w")[1] == "∂/∂w = 2Xᵀ(Xw − y)\n"


def test_by_default_it_differentiates_by_all_symbols_used(capsys):
    assert run(capsys, "b**2", "--given", GIVEN)[1] == "∂/∂b = 2b\n"


def test_it_prints_latex(capsys):
    out = run(capsys, "sum((X@w - y)**2)", "--given", GIVEN, "--wrt", "w", "--latex")[1]
    assert out.startswith(r"\frac{\partial}{\partial w} = ")
    assert r"X^{\top}" in out


def test_an_expression_may_start_with_a_minus_sign(capsys):
    assert run(capsys, "-b**2", "--given", GIVEN)[:2] == (0, "∂/∂b = −2b\n")
    assert run(capsys, "--given", GIVEN, "-(b**2)")[:2] == (0, "∂/∂b = −2b\n")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_code_returns_value_and_gradients(capsys, tmp_path, dtype):
    file = tmp_path / "step.py"
    status, out, _ = run(capsys, MSE, "--given", GIVEN, "--wrt", "w,b", "--code", "--save", str(file), "--dtype", dtype)
    assert status == 0
    assert out == file.read_text(encoding="utf-8")
    assert "symbackprop" not in out
    arrays = [values()[name].astype(dtype) for name in "Xywb"]
    function = runpy.run_path(str(file))["value_and_gradients"]
    X, y, w, b = arrays
    value, dw, db = function(X, y, w, b)
    p = 1 / (1 + np.exp(-(X @ w + b)))
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(value, np.mean((y - p) ** 2), rtol=tolerance)
    np.testing.assert_allclose(dw, X.T @ (-2 * (y - p) * p * (1 - p)) / 4, rtol=tolerance)
    np.testing.assert_allclose(db, np.mean(-2 * (y - p) * p * (1 - p)), rtol=tolerance)
    assert {value.dtype, dw.dtype} == {np.dtype(dtype)}


def test_saving_prints_the_formulas_all_the_same(capsys, tmp_path):
    status, out, _ = run(capsys, "b**2", "--given", "b", "--save", str(tmp_path / "f.py"))
    assert (status, out) == (0, "∂/∂b = 2b\n")
    assert (tmp_path / "f.py").exists()


def test_it_draws(capsys, tmp_path):
    status, _, _ = run(capsys, MSE, "--given", GIVEN, "--wrt", "w", "--draw", str(tmp_path / "f.svg"))
    assert status == 0
    assert "∂/∂w" in (tmp_path / "f.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["sigmod(b)", "--given", "b"], "unknown name 'sigmod' (did you mean 'sigmoid'?)\n  sigmod(b)\n  ^^^^^^"),
        (["X@y", "--given", GIVEN], "matmul: inner sizes D and N differ: X[N, D], y[N]\n  X@y\n   ^"),
        (["b", "--given", "b", "--wrt", "c"], "--wrt: 'c' is not among the given symbols"),
        (["b", "--given", "bias", "--wrt", "bia"], "unknown name 'b'; known are bias, pi, e\n  b\n  ^"),
        (["b", "--given", "b", "--wrt", ","], "--wrt names no symbol"),
        (["1", "--given", "b"], "the expression depends on none of the given symbols"),
        (["b", "--given", "b b[N]"], "--given has b twice: b and b[N]"),
        (["b", "--given", "b["], "symbols: '[' is no symbol"),
        (["", "--given", "b"], "the expression is empty"),
        (["w", "--given", "w[D]"], "w[D] is no scalar"),
        (["b", "--given", "b", "--draw", "f.png"], "a drawing is saved as SVG: name the file f.svg, not 'f.png'"),
        (["b", "--given", "b", "--save", "no/such/folder/f.py"], "No such file or directory"),
    ],
)  # fmt: skip
def test_bad_input_is_explained_without_a_traceback(capsys, argv, message):
    status, out, err = run(capsys, *argv)
    assert (status, out) == (2, "")
    assert err.startswith("symbackprop: ")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "argv", [[], ["grad"], ["grad", "b"], ["grad", "b", "--given", "b", "--latex", "--code"], ["no"]]
)
def test_bad_usage_is_explained(capsys, argv):
    assert main(argv) == 2
    assert "usage: symbackprop" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--help"], ["grad", "--help"]])
def test_help_shows_an_example_that_works(capsys, argv):
    import shlex  # noqa: PLC0415

    assert main(argv) == 0
    example = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("  symbackprop grad "))
    assert main(shlex.split(example)[1:]) == 0
    assert capsys.readouterr().out.startswith("∂/∂w = ")


def test_it_leaves_the_current_graph_alone(capsys):
    before = len(sb.current_graph())
    run(capsys, "b**2", "--given", "b")
    assert len(sb.current_graph()) == before


def test_it_runs_as_a_module_and_writes_to_any_terminal():
    done = subprocess.run(
        [sys.executable, "-m", "symbackprop", "grad", "b*b", "--given", "b"],
        cwd=Path(__file__).parent.parent,
        env={"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "?/?b = 2b\n", "")

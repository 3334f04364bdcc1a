"""The command line: ``symbackprop grad EXPRESSION --given SYMBOLS`` prints the derivative's formula or its code."""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from symbackprop.autodiff import grad
from symbackprop.errors import ParseError, SymbackpropError, did_you_mean
from symbackprop.expr import Expr
from symbackprop.graph import Graph
from symbackprop.language.reader import parse
from symbackprop.lower import Function, compile
from symbackprop.ops import symbols
from symbackprop.printing.svg import draw

_EXAMPLE = """\
example:
  symbackprop grad "mean((y - sigmoid(X@w + b))**2)" --given "X[N,D] y[N] w[D] b" --wrt w,b

The expression may hold numbers, pi, e, the given names and sizes, + - * / // % @ ** & | ~ and comparisons, the
functions of symbackprop (sum, mean, exp, where, ...) with axis= and keepdims=, .T, and indices with slices; and
what formulas are printed with, such as Xᵀ(σ(Xw + b) − y)/N.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit status: 0, or 2 for bad input, which is explained on standard error.

    Args:
        argv: the arguments, those of the process unless given.

    >>> main(["grad", "sum((X@w - y)**2)", "--given", "X[N,D] w[D] y[N]", "--wrt", "w"])
    ∂/∂w = 2Xᵀ(Xw − y)
    0
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without ∂ gets a question mark, not a traceback
    try:
        options = _parser().parse_args(_with_minus(sys.argv[1:] if argv is None else argv))
    except SystemExit as stop:  # argparse has said why
        return stop.code if isinstance(stop.code, int) else 2
    try:
        with Graph(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            _grad(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` say, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (SymbackpropError, OSError) as error:
        print(f"symbackprop: {error}", file=sys.stderr)
        return 2
    for warning in caught:
        if issubclass(warning.category, UserWarning):
            print(f"symbackprop: warning: {warning.message}", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="symbackprop",
        description="Derivatives of array expressions: as formulas, as NumPy code, as pictures.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"symbackprop {version('symbackprop')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    command = commands.add_parser(
        "grad",
        help="the gradient of a scalar expression",
        description="Print the gradient of a scalar expression, one formula for each symbol.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_argument("expression", help="what to differentiate, such as 'mean((y - X@w)**2)'")
    command.add_argument(
        "--given", required=True, metavar="SYMBOLS", help="the inputs with their sizes, such as 'X[N,D] y[N] w[D] b'"
    )
    command.add_argument(
        "--wrt", metavar="NAMES", help="the symbols to differentiate by, such as w,b (default: all used)"
    )
    form = command.add_mutually_exclusive_group()
    form.add_argument("--latex", action="store_true", help="print the formulas in LaTeX")
    form.add_argument("--code", action="store_true", help="print a NumPy function that returns value and gradients")
    command.add_argument("--save", metavar="FILE", type=Path, help="write that function to a file")
    command.add_argument("--draw", metavar="FILE.svg", type=Path, help="draw value and gradients as a graph")
    command.add_argument("--dtype", choices=["float64", "float32"], default="float64", help="of all symbols")
    return parser


def _with_minus(argv: Sequence[str]) -> list[str]:
    """Let an expression start with a minus sign: argparse takes no argument with a blank in it for an option."""
    return [" " + argument if re.match(r"-[^-h]|-h.", argument) else argument for argument in argv]


def _grad(options: argparse.Namespace) -> None:
    given = _given(options.given, options.dtype)
    value = parse(options.expression, given)
    targets = _targets(options.wrt, given, value)
    gradients = grad(value, targets)
    if options.code or options.save:
        function = _function(list(given.values()), value, gradients)
        if options.save:
            function.save(options.save)
    if options.draw:
        titles = {f"∂/∂{target}": gradient for target, gradient in zip(targets, gradients, strict=True)}
        draw({"value": value, **titles}, path=options.draw)
    if options.code:
        print(function.source, end="")
        return
    for target, gradient in zip(targets, gradients, strict=True):
        if options.latex:
            print(rf"\frac{{\partial}}{{\partial {target.latex()}}} = {gradient.latex()}")
        else:
            print(f"∂/∂{target} = {gradient}")


def _given(spec: str, dtype: str) -> dict[str, Expr]:
    given: dict[str, Expr] = {}
    for symbol in symbols(spec, dtype):
        name = str(symbol.name)
        if given.setdefault(name, symbol) is not symbol:
            msg = f"--given has {name} twice: {given[name].describe()} and {symbol.describe()}"
            raise ParseError(msg)
    return given


def _targets(names: str | None, given: dict[str, Expr], value: Expr) -> list[Expr]:
    if names is None:
        used = set(value.graph.reachable([value.number]))
        targets = [symbol for symbol in given.values() if symbol.number in used]
        if not targets:
            msg = "the expression depends on none of the given symbols"
            raise ParseError(msg)
        return targets
    wanted = list(dict.fromkeys(filter(None, re.split(r"[\s,]+", names))))
    for name in wanted:
        if name not in given:
            msg = f"--wrt: {name!r} is not among the given symbols{did_you_mean(name, list(given))}"
            raise ParseError(msg)
    if not wanted:
        msg = "--wrt names no symbol"
        raise ParseError(msg)
    return [given[name] for name in wanted]


def _function(inputs: list[Expr], value: Expr, gradients: Sequence[Expr]) -> Function:
    if value.name is None:
        value.named("value")
    return compile(inputs, (value, *gradients), name="value_and_gradients")

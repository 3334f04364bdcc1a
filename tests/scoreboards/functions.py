"""The operations as a table: what each gives, where it is defined, its derivative, and what that is at kinks.

All of it is told by the operations themselves: the formulas are printed, the derivatives differentiated and printed.
"""

from __future__ import annotations

import ast
import contextlib
import itertools
import string
import warnings
from typing import Any

import symbackprop as sb
from symbackprop import ops
from symbackprop.dims import Dim
from symbackprop.errors import DtypeError, ShapeError
from symbackprop.expr import Expr
from symbackprop.op import Case, Op
from tests.forms import Drawn, Form
from tests.test_forms import FORMS, computed, leaves
from tests.values import is_index

SIZES = {2: "N", 3: "K", 4: "M", 5: "L", 6: "P"}
LONGEST = 250
NAMES = string.ascii_lowercase[-3:]


def _named(shape: tuple[int, ...]) -> tuple[Any, ...]:
    return tuple(Dim.named(SIZES[size]) if size in SIZES else size for size in shape)


def _applied(op: Op, case: Case) -> tuple[Expr, list[Expr]]:
    """Apply an op to floats of named sizes; to integers if it takes no floats, of plain sizes if parameters count."""
    names = [*NAMES, *string.ascii_lowercase]
    for sizes, dtype in itertools.product([_named, tuple], ["float64", "int64"]):
        params: dict[str, Any] = {**op.options, **case.params}
        if "shape" in params:
            params["shape"] = sizes(params["shape"])
        operands = [
            sb.symbol(name, sizes(shape), "int64" if is_index(op, position) else dtype)
            for position, (name, shape) in enumerate(zip(names, case.shapes, strict=False))
        ]
        with contextlib.suppress(DtypeError, ShapeError):
            if "runs" not in params or sizes is tuple:
                return op(*operands, **params), operands
    raise AssertionError(op)


def _shown(expr: Expr) -> str:
    text = expr.text(where=False, line_width=10_000)
    return f"`{text}`" if len(text) <= LONGEST and "\n" not in text else "long"


def _derivative(op: Op, y: Expr, operands: list[Expr]) -> str:
    """Print the derivative by each operand; of arrays what a cotangent ȳ is pulled back to."""
    if y.dtype.kind != "f" or all(op.rule(position) is None for position in range(len(operands))):
        return "none: it is constant almost everywhere" if y.dtype.kind == "f" else "none"
    cells = []
    for position, x in enumerate(operands):
        if op.rule(position) is None:
            cells.append(f"by {x.name} 0")
            continue
        slope = sb.grad(y, x) if not y.shape else sb.vjp(y, x, sb.symbol("ȳ", y.shape))
        cells.append(f"by {x.name} {_shown(slope)}" if len(operands) > 1 else _shown(slope))
    return "; ".join(cells)


def _case(op: Op) -> Case:
    """Choose what to show: scalars where each element is for itself, else operands as large as vectors and matrices."""
    if op.elementwise:
        return Case(((),) * len(op.vjps))
    ranks = [[len(shape) for shape in case.shapes] for case in op.cases]
    return op.cases[max(range(len(ranks)), key=lambda at: (max(ranks[at]) <= 2, sum(ranks[at]), -at))]


def _row(op: Op) -> str:
    case = _case(op)
    with sb.Graph(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y, operands = _applied(op, case)
        meaning = op.doc.split("\n\n")[0].split(": ``")[0].split("; d/d")[0].rstrip(".").replace("\n", " ")
        cells = [f"`{op.name}`", meaning, _shown(y), op.defined, _derivative(op, y, operands), op.kink]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _head(text: str) -> str:
    """Give the function, method or operator that a form is about: what is called or applied last."""
    node: ast.AST = ast.parse(text, mode="eval").body
    while True:
        match node:
            case ast.Call(func=ast.Attribute() as called):
                parts = ast.unparse(called).split(".")
                return "".join(f"{part}." for part in parts[1:-1] if part in {"linalg", "lib", "stride_tricks"}) + (
                    parts[-1] if parts[0] in {"np", "sb", "sp", "sla"} else f".{parts[-1]}"
                )
            case ast.Call(func=ast.Name(id=name)):
                return f"{name}()"
            case ast.Subscript(value=value):
                if isinstance(value, ast.Call):
                    node = value
                    continue
                return "x[…]"
            case ast.Attribute(value=value, attr=name):
                if isinstance(value, ast.Call):
                    node = value
                    continue
                return f".{name}"
            case _:
                return "operators"


def _formula(form: Form) -> str:
    """Print what a form builds, for named sizes where it can be said for them."""
    with sb.Graph(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        operands = {
            name: sb.symbol(
                name,
                _named(operand.shape) if form.named else operand.shape,
                {"f": "float64", "i": "int64", "b": "bool"}[operand.kind],
            )
            if isinstance(operand, Drawn)
            else operand
            for name, operand in form.operands.items()
        }
        parts = [part for part in leaves(computed(form.text, operands)) if isinstance(part, Expr)]
        return "; ".join(map(_shown, parts))


def _functions() -> list[str]:
    groups: dict[str, list[Form]] = {}
    for form in FORMS:
        groups.setdefault(_head(form.text), []).append(form)
    rows = []
    for head, forms in sorted(groups.items(), key=lambda group: group[0].casefold()):
        shown = min(forms, key=lambda form: len(form.text))
        cells = [f"`{head}`", str(len(forms)), f"`{shown.text}`", _formula(shown)]
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return rows


def table() -> str:
    """Give the tables as Markdown."""
    rows = [_row(op) for op in sorted(ops.TABLE, key=lambda op: op.name) if op.vjps]
    functions = _functions()
    return "\n".join([
        "# Operations and functions",
        "",
        f"{len(rows)} operations, and what is made of them: {len(functions)} functions, methods and operators, tried",
        f"in {len(FORMS)} call forms. Written by `python -m tests.scoreboards functions`.",
        "",
        "## Operations",
        "",
        "Each is told by one statement, and tested because it is there: value, dtype, first and second derivative,",
        "with broadcasting, in float32, of no elements. The derivative is the slope of a scalar function; else it is",
        "what a cotangent ȳ of the result is pulled back to. An empty cell says: defined for all numbers, no kinks.",
        "",
        "| operation | meaning | printed | defined for | derivative | at kinks |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        "## Functions and call forms",
        "",
        "By NumPy's names, of arrays or of expressions (`np`), SciPy's (`sp`, `sla`) or symbackprop's (`sb`). Each",
        "form gives what NumPy gives, for float64, float32, int64, no elements and scalars, and its derivatives are",
        "compared with differences; the shortest of a function is shown, with the formula that it builds.",
        "",
        "| function | forms | for example | is |",
        "|---|---|---|---|",
        *functions,
        "",
    ])  # fmt: skip

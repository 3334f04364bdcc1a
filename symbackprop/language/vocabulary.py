"""The words and signs that formulas are written with, as the table of operations tells them.

What is read here is what the operations print: a new operation is read because it is in the table.
"""

from __future__ import annotations

import inspect
import math
import operator
import re
from collections import ChainMap
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

from symbackprop import ops
from symbackprop.dims import Size
from symbackprop.errors import ParseError
from symbackprop.expr import Expr, Operand
from symbackprop.op import ADD, COMPARE, DEFINED, LOGIC, MINUS, MULTIPLY, Case, Form, Op, apply, literal
from symbackprop.ops.gather import getitem
from symbackprop.ops.index import UNSLICE
from symbackprop.ops.layout import axes_of
from symbackprop.ops.leaf import arange
from symbackprop.ops.reduce import Axis

Function: TypeAlias = Callable[..., Expr]

# Functions that make no node of operands, or that take what the language has no words for.
_NOT_HERE = {"as_expr", "assume", "astype", "constant", "getitem", "size_of", "symbol", "symbols"}
_DTYPES = tuple(sorted({np.dtype(code).name for code in "?bhilBHILefd"}))


def _forms(op: Op) -> list[Form]:
    """Give the forms of an operation, where they depend on the parameters those of its cases."""
    if isinstance(op.text, Form):
        return [op.text]
    cases = op.cases or (Case(((2,),) * len(op.vjps)),)
    return [op.text({**op.options, **case.params}, case.shapes) for case in cases]


_FORMS = [(op, form) for op in ops.TABLE if op.vjps for form in _forms(op)]


# --- functions ------------------------------------------------------------------------------------------------


def _along(op: Op) -> Function:
    """Give an operation whose axes are counted from the right, called with NumPy's."""
    last = "axes" in op.options and op.form(op.text, {**op.options, "axes": (-1,)}, ((2, 2),) * len(op.vjps))
    usual = -1 if last and last.template.endswith("($0)") else None  # what is written without an axis

    def applied(x: Expr, axis: Axis = usual) -> Expr:
        axes = axes_of(op.name, x, axis)
        return apply(op, x, **({"axes": axes} if "axes" in op.options else {"axis": axes[0]}))

    def applied_to_two(x: Operand, y: Operand, axis: Axis = None) -> Expr:
        widest = max(ops.as_expr(x), ops.as_expr(y), key=lambda operand: operand.ndim)
        return apply(op, x, y, axes=axes_of(op.name, widest, axis))

    return applied if len(op.vjps) == 1 else applied_to_two


def _converted(dtype: str) -> Function:
    return lambda x: ops.astype(x, dtype)


def _put(x: Expr, shape: tuple[Size, ...], index: tuple[Any, ...]) -> Expr:
    """Put elements where an index takes them, among zeros of a shape."""
    taken = getitem(ops.broadcast_to(0.0, shape), index)
    if taken.op.name != "slice" or taken.shape != x.shape:
        msg = f"put: the index takes {taken.describe()}, not {x.describe()}"
        raise ParseError(msg)
    return apply(UNSLICE, x, runs=taken.params["runs"], into=tuple(shape))


def _add_at(x: Expr, shape: tuple[Size, ...], index: Any) -> Expr:
    """Add elements up where an index takes them, among zeros of a shape."""
    zeros = ops.broadcast_to(literal(0, x.dtype, graph=x.graph), tuple(shape))
    return zeros.at[_inside(index)].add(x).inputs[1]


def _set_at(x: Expr, values: Operand, index: Any) -> Expr:
    return x.at[_inside(index)].set(values)


def _maximum_at(x: Expr, values: Operand, index: Any) -> Expr:
    return x.at[_inside(index)].max(values)


def _minimum_at(x: Expr, values: Operand, index: Any) -> Expr:
    return x.at[_inside(index)].min(values)


def _inside(index: Any) -> Any:
    return index[0] if isinstance(index, tuple) and len(index) == 1 else index


def _gives_one_value(function: Any) -> bool:
    """Tell whether a function gives one expression: no tuple of them, no shape."""
    return isinstance(function, Op) or function.__annotations__.get("return") in {"Expr", Expr}


def _functions() -> dict[str, Function]:
    spaces = (ops.linalg, ops)  # of one name, NumPy's
    named = {name: getattr(space, name) for space in spaces for name in space.__all__ if name not in _NOT_HERE}
    found: dict[str, Function] = {name: function for name, function in named.items() if _gives_one_value(function)}
    for op, form in _FORMS:
        called = re.match(r"([^\W\d]\w*)\(\$0", form.template)
        if called and op.options.keys() <= {"axes", "axis"}:
            found.setdefault(called[1], _along(op) if op.options else op)
    found |= {"arange": arange, "put": _put, "scatter": _add_at, "scatter_add": _add_at}
    found |= {"set_at": _set_at, "maximum_at": _maximum_at, "minimum_at": _minimum_at}
    return found | {name: _converted(name) for name in _DTYPES}


FUNCTIONS: Mapping[str, Function] = ChainMap(_functions(), cast("dict[str, Function]", DEFINED))
_OF_ELEMENTS = {family.__name__ for family in (ops.elementwise, ops.numbers, ops.special)}
ELEMENTWISE = frozenset(
    name
    for name, function in FUNCTIONS.items()
    if (function.elementwise if isinstance(function, Op) else function.__module__ in _OF_ELEMENTS)
) | {*_DTYPES}
CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e}
SIZE_PARAMETERS = {"shape", "size", "N", "M"}  # where a name stands for a size before anything else


@cache
def signature(name: str) -> inspect.Signature:
    """Give the parameters of a function of the language; an op takes its operands by position."""
    function = FUNCTIONS[name]
    if not isinstance(function, Op):
        return inspect.signature(function)
    names = "xyz"[: len(function.vjps)]
    return inspect.Signature([inspect.Parameter(letter, inspect.Parameter.POSITIONAL_ONLY) for letter in names])


# --- signs ----------------------------------------------------------------------------------------------------

# How strongly signs bind, weakest first: those of formulas between those of Python.
OR, AND, RELATION, BIT_OR, BIT_AND, SUM, TERM, CIRCLE, PRODUCT, UNARY, RAISE = range(1, 12)


class Infix(NamedTuple):
    """A sign between two operands: how strongly it binds, and what it builds of them."""

    level: int
    build: Callable[[Any, Any], Any]


def _level(form: Form) -> int:
    if form.precedence == LOGIC:
        return AND if form.need(0) == LOGIC else OR
    return {COMPARE: RELATION, ADD: SUM, MINUS: TERM, MULTIPLY: PRODUCT}.get(form.precedence, RAISE)


def _infix() -> dict[str, Infix]:
    found: dict[str, Infix] = {}
    for op, form in _FORMS:
        between = re.fullmatch(r"\$0 ?([^$\s\w(]+|\w+) ?\$1", form.template)
        if between:
            found[between[1]] = Infix(_level(form), op)
    found["⊙"] = Infix(CIRCLE, operator.mul)
    found |= {
        "+": Infix(SUM, operator.add),
        "-": Infix(SUM, operator.sub),
        "−": Infix(SUM, operator.sub),
        "*": Infix(PRODUCT, operator.mul),
        "·": Infix(PRODUCT, operator.mul),
        "/": Infix(PRODUCT, operator.truediv),
        "//": Infix(PRODUCT, operator.floordiv),
        "%": Infix(PRODUCT, operator.mod),
        "@": Infix(PRODUCT, operator.matmul),
        "**": Infix(RAISE, operator.pow),
        "^": Infix(RAISE, operator.pow),
        "&": Infix(BIT_AND, operator.and_),
        "|": Infix(BIT_OR, operator.or_),
        "<=": found["≤"],
        ">=": found["≥"],
        "==": found["="],
        "!=": found["≠"],
    }
    return found


def _around(pattern: str) -> dict[str, Op]:
    found = {}
    for op, form in _FORMS:
        match = re.fullmatch(pattern, form.template)
        if match:
            found[match[1]] = op
    return found


INFIX: Mapping[str, Infix] = _infix()
PREFIX: Mapping[str, Op] = {sign: op for sign, op in _around(r"([^\w\s])\$0").items() if sign != "−"}
BARS: Mapping[str, Function] = {
    sign: FUNCTIONS[op.name] for sign, op in _around(r"([^\w\s])\$0\1").items()
}  # |x| and ‖x‖
WORDS = frozenset({*(sign for sign in INFIX if sign.isalpha()), *CONSTANTS, "inf", "nan", "I", "True", "False", "None"})
"""What is no name unless a symbol is called so, and what the letters of a product must not spell."""

CALLED = frozenset({*FUNCTIONS, "array", "size", "where"})
"""What reads as a function when a parenthesis follows."""

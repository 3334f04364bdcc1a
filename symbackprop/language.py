"""The little language of the command line: one expression of array mathematics, read without running anything.

Python's parser makes a tree of the text; what the tree may hold is listed here, and everything else is an error that
points at the character. Operators and functions build nodes: nothing is computed, so ``9**9**9`` costs nothing.
"""

from __future__ import annotations

import ast
import inspect
import math
import operator
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import chain
from typing import Any, TypeAlias

import numpy as np

from symbackprop import dims, ops
from symbackprop.dims import Dim
from symbackprop.errors import ParseError, SymbackpropError, did_you_mean
from symbackprop.expr import Expr
from symbackprop.op import Op, literal

Value: TypeAlias = Any  # an Expr, a number, a named size; in arguments and indices also None, ..., slices, tuples
Values: TypeAlias = Mapping[ast.AST, Value]
Span: TypeAlias = Callable[[], tuple[int, int]]  # from which character to which; asked for only when something is wrong

# Functions that make no node of operands, or that take what the language has no words for.
_NOT_HERE = {"as_expr", "assume", "astype", "constant", "einsum", "eye", "getitem", "size_of", "symbol", "symbols"}
FUNCTIONS: Mapping[str, Callable[..., Expr]] = {
    name: getattr(ops, name) for name in ops.__all__ if name not in _NOT_HERE
}
CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e}

_BINARY: Mapping[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.Div: ("/", operator.truediv),
    ast.FloorDiv: ("//", operator.floordiv),
    ast.Mod: ("%", operator.mod),
    ast.MatMult: ("@", operator.matmul),
    ast.Pow: ("**", operator.pow),
    ast.BitAnd: ("&", operator.and_),
    ast.BitOr: ("|", operator.or_),
}
_COMPARE: Mapping[type[ast.cmpop], tuple[str, Callable[[Any, Any], Expr]]] = {
    ast.Lt: ("<", ops.less),
    ast.LtE: ("<=", ops.less_equal),
    ast.Gt: (">", ops.greater),
    ast.GtE: (">=", ops.greater_equal),
    ast.Eq: ("==", ops.equal),
    ast.NotEq: ("!=", ops.not_equal),
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}
# The nodes that are allowed, and which of their fields have values.
_PARTS: Mapping[type[ast.expr], tuple[str, ...]] = {
    ast.Constant: (),
    ast.Name: (),
    ast.BinOp: ("left", "right"),
    ast.UnaryOp: ("operand",),
    ast.Compare: ("left", "comparators"),
    ast.Call: ("args",),  # and the values of its keywords
    ast.Attribute: ("value",),  # .T alone
    ast.Subscript: ("value", "slice"),
    ast.Slice: ("lower", "upper", "step"),
    ast.Tuple: ("elts",),
    ast.List: ("elts",),
}
_HINTS: Mapping[type[ast.AST], str] = {
    ast.BoolOp: "`and` and `or` do not act on arrays; write & and |, with parentheses",
    ast.IfExp: "there is no if; write where(condition, a, b)",
    ast.Lambda: "there are no functions to define; write the expression itself",
    ast.ListComp: "there are no loops; write the expression on whole arrays",
    ast.SetComp: "there are no loops; write the expression on whole arrays",
    ast.DictComp: "there are no loops; write the expression on whole arrays",
    ast.GeneratorExp: "there are no loops; write the expression on whole arrays",
    ast.NamedExpr: "there are no assignments; name inputs as symbols",
    ast.JoinedStr: "there are no texts here",
    ast.Starred: "there is no unpacking; write the operands one by one",
    ast.Not: "`not` does not act on arrays; write ~",
    ast.BitXor: "^ is no power; write **",
}
_SIZE_PARAMETERS = {"shape", "size"}  # where a named size stays a size and is no number to compute with
_TOO_LARGE = "an integer has at most 63 bits; write a float such as 1e30"
_SIZE_SIGNS = ("+", "-", "*", "//")  # what gives a size of sizes
_LONGEST_TEXT, _LONGEST_SIZE, _LARGEST = 100_000, 60, 2**63
_SHOWN = 100  # characters of a long text that an error shows


def parse(text: str, symbols: Mapping[str, Expr]) -> Expr:
    """Read one expression.

    It may hold numbers, ``pi`` and ``e``, the symbols and the named sizes of their shapes, ``+ - * / // % @ ** & | ~``,
    comparisons, the functions of `symbackprop` with ``axis=`` and ``keepdims=``, ``.T``, and indices with slices.

    Args:
        text: such as ``"mean((y - sigmoid(X@w + b))**2)"``.
        symbols: what names stand for.

    Raises:
        ParseError: the text holds anything else; the message shows where.
        ShapeError: operands do not fit, shown in the same way.
        DtypeError: an operation does not take its operands' dtypes, shown in the same way.

    >>> from symbackprop.ops import symbols
    >>> X, w = symbols("X[N,D] w[D]")
    >>> parse("sum(X@w, axis=0)", {"X": X, "w": w}).shape
    ()
    >>> parse("sum(X@v)", {"X": X, "w": w})
    Traceback (most recent call last):
    symbackprop.errors.ParseError: unknown name 'v'; known are X, w, D, N, pi, e
      sum(X@v)
            ^
    """
    return _Reader(text, symbols).read()


class _Reader:
    """One text on its way to an expression."""

    def __init__(self, text: str, symbols: Mapping[str, Expr]) -> None:
        # Blanks for line ends, so that there is one line to point at; what cannot be seen never reaches a terminal.
        clean = re.sub(r"\s", " ", text[: _LONGEST_TEXT + 1]).strip()
        self.text = "".join(char if char.isprintable() else "\ufffd" for char in clean)
        sizes = sorted(dims.names_of(chain.from_iterable(expr.shape for expr in symbols.values())))
        # Python's parser normalises the names it reads; symbols come first, so that one may be called e.
        named = {unicodedata.normalize("NFKC", name): expr for name, expr in symbols.items()}
        self.values: dict[str, Value] = {**named, **{name: Dim.named(name) for name in sizes if name not in named}}
        self.values |= {name: value for name, value in CONSTANTS.items() if name not in self.values}
        # Numbers are weak beside symbols; two numbers alone get the dtype that the symbols have.
        kinds = [expr.dtype for expr in symbols.values() if expr.dtype.kind == "f"]
        self.dtype = np.result_type(*kinds) if kinds else np.dtype(np.float64)

    def read(self) -> Expr:
        body = self.tree()
        values: dict[ast.AST, Value] = {}
        for node in self.post_order(body):
            values[node] = self.value(node, values)
        return self.expr(values[body], body)

    # --- the text and its tree ------------------------------------------------------------------------------

    def tree(self) -> ast.expr:
        if not self.text or len(self.text) > _LONGEST_TEXT:
            trouble = f"longer than {_LONGEST_TEXT} characters" if self.text else "empty"
            msg = f"the expression is {trouble}"
            raise ParseError(msg)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the parser's hints are about Python programs
                return ast.parse(self.text, mode="eval").body
        except SyntaxError as error:
            start, end = (error.offset or 1) - 1, (error.end_offset or 0) - 1
            what = error.msg.partition(". ")[0].replace("invalid syntax", "this is no expression")
            what = _TOO_LARGE if "integer string" in what else what
            raise self.error(what, lambda: (start, end)) from None
        except (RecursionError, MemoryError):
            msg = "the expression is nested too deeply"
            raise ParseError(msg) from None

    def post_order(self, body: ast.expr) -> Iterator[ast.expr]:
        """Give the nodes of the tree, parts before the whole, without recursion; refuse what is not allowed."""
        stack = [(body, False)]
        while stack:
            node, finished = stack.pop()
            if finished:
                yield node
                continue
            stack.append((node, True))
            stack += [(part, False) for part in reversed(self.parts(node))]

    def parts(self, node: ast.expr) -> list[ast.expr]:
        """Give the parts of a node that have values themselves; refuse a node that is not allowed."""
        if type(node) not in _PARTS:
            raise self.refusal(node, self.span(node))
        self.check(node)
        parts: list[ast.expr] = []
        for name in _PARTS[type(node)]:
            part = getattr(node, name)
            parts += part if isinstance(part, list) else [] if part is None else [part]
        return [*parts, *(keyword.value for keyword in node.keywords)] if isinstance(node, ast.Call) else parts

    def check(self, node: ast.expr) -> None:
        match node:
            case ast.BinOp(left=left, op=op, right=right) if type(op) not in _BINARY:
                raise self.refusal(op, self.between(left, right))
            case ast.UnaryOp(op=op) if type(op) not in _UNARY:
                raise self.refusal(op, self.span(node))
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) not in _COMPARE:
                raise self.refusal(op, self.between(left, right))
            case ast.Compare(ops=[_, _, *_]):
                msg = "a chain of comparisons does not act on arrays; write (a < b) & (b < c)"
                raise self.error(msg, self.span(node))
            case ast.Attribute(attr=attr) if attr != "T":
                raise self.error(f"only .T may follow a dot, not .{attr}", self.after_dot(node))
            case ast.Call(keywords=keywords):
                self.check_function(node.func)
                for keyword in keywords:
                    if keyword.arg is None:
                        raise self.error(_HINTS[ast.Starred], self.span(keyword.value))

    def check_function(self, called: ast.expr) -> None:
        if isinstance(called, ast.Attribute):
            hint = f"; write {called.attr}(x) for x.{called.attr}()" if called.attr in FUNCTIONS else ""
            raise self.error(f"only .T may follow a dot, not .{called.attr}{hint}", self.after_dot(called))
        if not isinstance(called, ast.Name):
            raise self.error("only a function's name can be called", self.span(called))
        if called.id not in FUNCTIONS:
            near = did_you_mean(called.id, sorted(FUNCTIONS))
            what = f"{called.id!r} is no function" if called.id in self.values else f"unknown function {called.id!r}"
            raise self.error(f"unknown name {called.id!r}{near}" if near else what, self.span(called))

    # --- values ---------------------------------------------------------------------------------------------

    def value(self, node: ast.expr, values: Values) -> Value:
        """Give the value of an allowed node from those of its parts."""
        return _VALUE[type(node)](self, node, values)

    def literal(self, node: ast.Constant, _values: Values) -> Value:
        value = node.value
        if value is None or value is Ellipsis or isinstance(value, bool | float):
            return value
        if not isinstance(value, int):
            kind = "complex numbers" if isinstance(value, complex) else "texts"
            raise self.error(f"there are no {kind} here", self.span(node))
        if value >= _LARGEST:
            raise self.error(_TOO_LARGE, self.span(node))
        return value

    def named(self, node: ast.Name, _values: Values) -> Value:
        if node.id in self.values:
            return self.values[node.id]
        if node.id in FUNCTIONS:
            raise self.error(f"{node.id!r} is a function; write {node.id}(…)", self.span(node))
        hint = did_you_mean(node.id, [*self.values, *FUNCTIONS]) or f"; known are {', '.join(self.values)}"
        raise self.error(f"unknown name {node.id!r}{hint}", self.span(node))

    def unary(self, node: ast.UnaryOp, values: Values) -> Value:
        value = values[node.operand]
        if isinstance(node.op, ast.UAdd):
            return value
        if isinstance(node.op, ast.USub) and type(value) in (int, float, Dim):
            return -value
        array = self.expr(value, node.operand)
        start = self.span(node)()[0]
        return self.guarded(lambda: _UNARY[type(node.op)](array), lambda: (start, start + 1))

    def bin_op(self, node: ast.BinOp, values: Values) -> Value:
        return self.binary(*_BINARY[type(node.op)], (node.left, node.right), values)

    def compare(self, node: ast.Compare, values: Values) -> Value:
        return self.binary(*_COMPARE[type(node.ops[0])], (node.left, node.comparators[0]), values)

    def transposed(self, node: ast.Attribute, values: Values) -> Value:
        array = self.expr(values[node.value], node.value)
        return self.guarded(lambda: array.T, self.after_dot(node))

    def indexed(self, node: ast.Subscript, values: Values) -> Value:
        array = self.expr(values[node.value], node.value)
        index = values[node.slice]
        return self.guarded(lambda: array[index], lambda: (self.span(node.value)()[1], self.span(node)()[1]))

    def sliced(self, node: ast.Slice, values: Values) -> Value:
        return slice(*(None if part is None else values[part] for part in (node.lower, node.upper, node.step)))

    def several(self, node: ast.Tuple | ast.List, values: Values) -> Value:
        return tuple(values[element] for element in node.elts)

    def binary(
        self,
        sign: str,
        function: Callable[[Any, Any], Any],
        nodes: tuple[ast.expr, ast.expr],
        values: Values,
    ) -> Value:
        left, right = values[nodes[0]], values[nodes[1]]
        span = self.between(*nodes, sign)
        if sign in _SIZE_SIGNS and _make_a_size(left, right):
            return self.guarded(lambda: function(left, right), span)
        left, right = self.operand(left, nodes[0]), self.operand(right, nodes[1])
        if not isinstance(left, Expr) and not isinstance(right, Expr):
            left = self.expr(left, nodes[0])  # a node, so that Python computes nothing
        return self.guarded(lambda: function(left, right), span)

    def call(self, node: ast.Call, values: Values) -> Value:
        name = ast.unparse(node.func)
        function, span = FUNCTIONS[name], self.span(node.func)
        parts = {id(values[part]): part for part in self.parts(node)}
        positional = [values[part] for part in node.args]
        keywords = {str(keyword.arg): values[keyword.value] for keyword in node.keywords}
        try:
            bound = _signature(name).bind(*positional, **keywords)
        except TypeError as error:
            raise self.error(f"{name}: {error}", span) from None
        for parameter, value in bound.arguments.items():
            if parameter in ("axis", "axes") and not _is_axis(value):
                msg = f"{name}: {parameter} is a whole number such as 0 or -1, or a tuple of them"
                raise self.error(msg, self.span(parts[id(value)]))
            if isinstance(value, Dim) and parameter not in _SIZE_PARAMETERS:
                bound.arguments[parameter] = self.expr(value, parts[id(value)])
        if isinstance(function, Op):
            operands = [self.operand(value, part) for value, part in zip(bound.args, node.args, strict=True)]
            if not any(isinstance(operand, Expr) for operand in operands):
                operands[0] = self.expr(operands[0], node.args[0])
            return self.guarded(lambda: function(*operands), span)
        return self.guarded(lambda: function(*bound.args, **bound.kwargs), span)

    def operand(self, value: Value, node: ast.expr) -> Expr | float:
        """Give what an operation can take: an expression, or a number, which is weak beside expressions."""
        if isinstance(value, Dim):
            return ops.size_of(value, self.dtype)
        if isinstance(value, Expr | float | int):
            return value
        what = {tuple: "a tuple", slice: "a slice"}.get(type(value), repr(value).replace("Ellipsis", "..."))
        raise self.error(f"an operand is an expression or a number, not {what}", self.span(node))

    def expr(self, value: Value, node: ast.expr) -> Expr:
        found = self.operand(value, node)
        if isinstance(found, Expr):
            return found
        return literal(found, None if isinstance(found, bool) else self.dtype)

    # --- errors ---------------------------------------------------------------------------------------------

    def guarded(self, build: Callable[[], Any], span: Span) -> Any:
        """Build, and show where in the text an error belongs."""
        try:
            return build()
        except SymbackpropError as error:
            raise self.error(str(error), span, type(error)) from None
        except (TypeError, ValueError, ArithmeticError) as error:
            raise self.error(str(error), span) from None

    def refusal(self, node: ast.AST, span: Span) -> SymbackpropError:
        return self.error(_HINTS.get(type(node), "this has no meaning here"), span)

    def error(self, message: str, span: Span, kind: type[SymbackpropError] = ParseError) -> SymbackpropError:
        """Give the error that shows the text, or the part of a long text, with carets below the place."""
        start, end = span()
        start = max(0, min(start, len(self.text)))
        end = max(start + 1, end)
        first = max(0, start - _SHOWN // 2) if len(self.text) > _SHOWN else 0
        cut = "…" if first else ""
        rest = "…" if first + _SHOWN < len(self.text) else ""
        blanks = " " * _columns(cut + self.text[first:start])
        carets = "^" * max(1, _columns(self.text[start : min(end, first + _SHOWN)]))
        return kind(f"{message}\n  {cut}{self.text[first : first + _SHOWN]}{rest}\n  {blanks}{carets}")

    def span(self, node: ast.expr) -> Span:
        return lambda: (
            self.character(node.col_offset),
            self.character(node.col_offset if node.end_col_offset is None else node.end_col_offset),
        )

    def character(self, offset: int) -> int:
        """Give the position of the character that starts at this byte: the parser counts bytes."""
        return len(self.text.encode()[:offset].decode(errors="ignore"))

    def after_dot(self, node: ast.Attribute) -> Span:
        def found() -> tuple[int, int]:
            start, end = self.span(node.value)()[1], self.span(node)()[1]
            return self.text.index(".", start), end

        return found

    def between(self, left: ast.expr, right: ast.expr, sign: str = "") -> Span:
        """Point at the operator between two operands, past parentheses that belong to no node."""

        def found() -> tuple[int, int]:
            start, end = self.span(left)()[1], self.span(right)()[0]
            between = self.text[start:end]
            at = start + (between.find(sign) if sign else len(between) - len(between.lstrip(" )")))
            return at, at + len(sign or between.strip(" ()"))

        return found


_VALUE: Mapping[type[ast.expr], Callable[[_Reader, Any, Values], Value]] = {
    ast.Constant: _Reader.literal,
    ast.Name: _Reader.named,
    ast.BinOp: _Reader.bin_op,
    ast.UnaryOp: _Reader.unary,
    ast.Compare: _Reader.compare,
    ast.Call: _Reader.call,
    ast.Attribute: _Reader.transposed,
    ast.Subscript: _Reader.indexed,
    ast.Slice: _Reader.sliced,
    ast.Tuple: _Reader.several,
    ast.List: _Reader.several,
}


def _make_a_size(left: Value, right: Value) -> bool:
    """Say whether two operands make a named size again: sizes and whole numbers do, while they are short."""
    return (
        (isinstance(left, Dim) or isinstance(right, Dim))
        and all(isinstance(part, Dim) or type(part) is int for part in (left, right))
        and len(f"{left}{right}") <= _LONGEST_SIZE
    )


def _is_axis(value: Value) -> bool:
    return (
        value is None or type(value) is int or (isinstance(value, tuple) and all(type(axis) is int for axis in value))
    )


@cache
def _signature(name: str) -> inspect.Signature:
    """Give the parameters of a function of the language; an op takes its operands by position."""
    function = FUNCTIONS[name]
    if not isinstance(function, Op):
        return inspect.signature(function)
    names = "xyz"[: len(function.vjps)]
    return inspect.Signature([inspect.Parameter(letter, inspect.Parameter.POSITIONAL_ONLY) for letter in names])


def _columns(text: str) -> int:
    """Count the columns that a text takes in a terminal."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )

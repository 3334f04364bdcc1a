"""What `same` answers, in words, and `same` itself.

Formulas are real functions here. They count as the same where they agree at every point at which both are defined, but
for single points next to which they agree: a derivative may be chosen freely at a kink.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from symbackprop import dims
from symbackprop.errors import ArgumentError, ShapeError, SymbackpropError
from symbackprop.expr import Expr, Operand, common_graph
from symbackprop.language.reader import parse
from symbackprop.ops.layout import broadcast_to
from symbackprop.ops.leaf import SYMBOL, as_expr, check_names


class UndecidedError(SymbackpropError, ValueError):
    """Neither a proof nor enough points at which both expressions are defined were found."""


_LEAST_DIGITS = 30  # of the arithmetic, of which rounding may cost half
_LONGEST = 120  # of a formula within a sentence


@dataclass(frozen=True, repr=False, eq=False)
class Comparison:
    """What `same` found; true exactly where the expressions are the same, and ``print`` says it in a sentence.

    Attributes:
        how: by "rewriting" (a proof: both simplify to one formula, or their difference to 0), by "points" (they agree
            wherever both are defined), by a "counterexample", or because they differ in "shape" or "dtype".
        points: at how many points both are defined and agree.
        digits: to how many digits they agree there.
        at: the counterexample: the sizes and, as arrays of exact fractions, the values of the symbols, by name.
        values: the two values there.
        index: of the first elements that differ.
        formula: what both simplify to, if they do.
        notes: what else is worth knowing.
    """

    how: Literal["rewriting", "points", "counterexample", "shape", "dtype"]
    points: int = 0
    digits: int = 0
    at: Mapping[str, Any] = field(default_factory=dict)
    values: tuple[Any, Any] = (None, None)
    index: tuple[int, ...] = ()
    formula: str = ""
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """The answer."""
        return self.how in {"rewriting", "points"}

    def __bool__(self) -> bool:
        """Tell whether the expressions are the same."""
        return self.same

    def __str__(self) -> str:
        """Give the answer in a few sentences."""
        return " ".join([self._answer(), *self.notes])

    __repr__ = __str__

    def _answer(self) -> str:
        agree = f"they agree at {self.points} points to {self.digits} digits"
        if self.how == "rewriting":
            long = "\n" in self.formula or len(self.formula) > _LONGEST
            both = f"both simplify to {'one formula' if long else self.formula}"
            proof = both if self.formula else "their difference simplifies to 0"
            return f"The same: {proof}" + (f", and {agree}." if self.points else ".")
        if self.how == "points":
            return f"The same, as far as tried: {agree}. That is evidence and no proof."
        if self.how != "counterexample":
            return "Not the same."
        first, second = told_apart(*(value[self.index] for value in self.values))
        of = f"element {list(self.index)} of " if self.index else ""
        return f"Not the same: {placed_at(self.at)}{of}the first is {first} and {of and 'of '}the second {second}."


def same(a: Operand | str, b: Operand | str, *, points: int = 20, digits: int = 50) -> Comparison:
    """Tell whether two expressions are equal, such as a derivative and what somebody wrote down for it.

    They are evaluated at simple points and at random ones, in an arithmetic of many digits and with several sizes for
    each named size; then rewriting is to prove what the points suggest. Both must be defined for a point to count, and
    where they differ at a single point alone, such as a kink, the answer is yes with a note.

    A number in a formula means what it stands for: 0.1 is 1/10, 0.3333333333333333 is 1/3.

    Args:
        a: an expression.
        b: another; or a number or a text as formulas are printed, where a scalar may stand for an array of it.
        points: how many points are wanted at which both are defined.
        digits: of the arithmetic.

    Returns:
        What was found: true or false, with the proof, the number of points, or the counterexample.

    Raises:
        UndecidedError: there is no proof, and no points were found at which both are defined.
        GraphError: the expressions live in different graphs, or one name stands for two symbols in them.
        ParseError: a text is no expression in the symbols of the other.
        ArgumentError: neither is an expression.
        ValueError: fewer points or digits than say anything.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> print(sb.same(sb.grad(sb.sin(x) ** 2, x), sb.sin(2 * x)))
    The same: their difference simplifies to 0, and they agree at 20 points to 35 digits.
    >>> print(sb.same(sb.tanh(x), 2 * sb.sigmoid(2 * x) - 1))
    The same, as far as tried: they agree at 20 points to 35 digits. That is evidence and no proof.
    >>> print(sb.same(sb.grad(sb.sin(x) ** 2, x), 2 * sb.sin(x)))
    Not the same: at x = 1 the first is 0.909297 and the second 1.68294.
    >>> print(sb.same(1 / (1 + sb.exp(-x)), sb.sigmoid(x)))
    The same: both simplify to σ(x), and they agree at 20 points to 35 digits.
    """
    if points < 1 or digits < _LEAST_DIGITS:
        msg = f"same: one point and {_LEAST_DIGITS} digits at least, not {points} and {digits}"
        raise ValueError(msg)
    left, right = _pair(a, b)
    symbols = symbols_of(left, right)
    check_names(symbols, "same")
    if left.shape != right.shape:
        flipped = left.ndim > 1 and left.shape == right.shape[::-1]
        hint = " One looks like the transpose of the other." if flipped else ""
        note = f"The first has shape {_shape(left)}, the second {_shape(right)}.{hint}"
        return Comparison("shape", notes=(note,))
    if left.dtype != right.dtype:
        note = f"The first is of {left.dtype}, the second of {right.dtype}; one of them can be converted with astype."
        return Comparison("dtype", notes=(note,))
    from symbackprop.equality.trial import Trial  # noqa: PLC0415  (an import of the package need not wait for it)

    return Trial(left, right, symbols, digits).decide(points)


def _pair(a: Operand | str, b: Operand | str) -> tuple[Expr, Expr]:
    """Give both as expressions; a number or a text takes graph, symbols, shape and dtype from the other."""
    given = next((each for each in (a, b) if isinstance(each, Expr)), None)
    if given is None:
        msg = "same: one of the two at least must be an expression, which tells what the names in a text stand for"
        raise ArgumentError(msg)
    left, right = (each if isinstance(each, Expr) else _fitted(each, given) for each in (a, b))
    common_graph([left, right], "same")
    return left, right


def _fitted(value: Operand | str, like: Expr) -> Expr:
    expr = _read(value, like) if isinstance(value, str) else as_expr(value, graph=like.graph)
    if not expr.shape:
        expr = broadcast_to(expr, like.shape)
    return expr.astype(like.dtype) if like.dtype.kind == "f" and expr.dtype.kind in "bui" else expr


def _read(text: str, like: Expr) -> Expr:
    """Read a formula in the symbols of a graph, those that an expression is made of before others."""
    graph = like.graph
    with graph.lock:
        others = [Expr(graph, number) for number, node in graph.nodes.items() if node.op is SYMBOL]
    names = {symbol.params["name"]: symbol for symbol in [*others, *symbols_of(like)]}
    sizes = dims.names_of(like.shape)
    try:
        return parse(text, names, sizes=sizes, shape=like.shape)  # the shape tells the size of an I
    except ShapeError:
        return parse(text, names, sizes=sizes)


def symbols_of(*exprs: Expr) -> list[Expr]:
    """Give the symbols that expressions are made of."""
    graph = exprs[0].graph
    numbers = graph.reachable([expr.number for expr in exprs])
    return [Expr(graph, number) for number in numbers if graph.nodes[number].op is SYMBOL]


# --- words ----------------------------------------------------------------------------------------------------

LARGEST = 1000  # denominator of a fraction that is shown as one
_LINE = 72  # a longer list of values gets a line for each


def _shape(expr: Expr) -> str:
    return dims.show(expr.shape) or "() of a scalar"


def shown(number: Any) -> str:
    """Write a number with six digits, a fraction that has more as a fraction."""
    if isinstance(number, bool | np.bool_):
        return str(bool(number))
    text = f"{float(number):.6g}"
    if hasattr(number, "denominator") and number.denominator <= LARGEST and type(number)(text) != number:
        return str(number)
    return text


def _listed(value: Any) -> str:
    array = np.asarray(value)
    if array.ndim:
        return f"[{', '.join(map(_listed, array))}]"
    return shown(array.item())


def told_apart(first: Any, second: Any) -> tuple[str, str]:
    """Write two numbers with as many digits as it takes to see a difference."""
    if isinstance(first, np.generic):
        return shown(first), shown(second)
    pairs = ((first.context.nstr(first, n), second.context.nstr(second, n)) for n in (6, 12, 25, 50))
    return next(((_plain(one), _plain(other)) for one, other in pairs if one != other), (str(first), str(second)))


def _plain(text: str) -> str:
    return text.removesuffix(".0")


def placed_at(at: Mapping[str, Any]) -> str:
    """Write the values of sizes and symbols: "at x = 1, y = 2 ", or with a line for each array."""
    parts = {name: f"{name} = {_listed(value)}" for name, value in at.items()}
    if not parts:
        return ""
    line = ", ".join(parts.values())
    if len(line) <= _LINE:
        return f"at {line} "
    sizes = ", ".join(part for name, part in parts.items() if not np.ndim(at[name]))
    arrays = [part for name, part in parts.items() if np.ndim(at[name])]
    return "at\n" + "".join(f"    {part}\n" for part in [sizes, *arrays] if part)

"""`Reader`, what is known while an expression of SymPy is read.

An index of a sum is an axis: the outermost is the last axis, the next one stands before it, and what does not depend
on an index has size 1 there or no such axis, so that broadcasting does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, TypeAlias

from symbackprop import dims, ops
from symbackprop.dims import Dim, ShapeLike, Size
from symbackprop.errors import ArgumentError
from symbackprop.expr import Expr
from symbackprop.graph import Graph
from symbackprop.sympy_forms.walk import Steps, each, worked_out

Basic: TypeAlias = Any  # a SymPy expression
Value: TypeAlias = Any  # an Expr, a size, or a SymPy number that has not met one


class Bound(NamedTuple):
    """An index of a sum: its symbol, where it starts, and over how many numbers it runs."""

    symbol: Basic
    start: Size
    length: Size


Scope: TypeAlias = tuple[Bound, ...]  # the outermost first
Part: TypeAlias = tuple[Basic, Scope]
Rule: TypeAlias = "Callable[[Reader, Basic, Scope], Steps[Part]]"


def refuse(expr: Basic, why: str) -> NoReturn:
    """Say that a part of SymPy's cannot be said here.

    Raises:
        ArgumentError: always.
    """
    shown = str(expr)
    shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
    msg = f"from_sympy: {type(expr).__name__}: {why}: {shown}"
    raise ArgumentError(msg)


_LONGEST = 80  # of an expression in a message
_LARGEST_INT = 2**63


class Reader:
    """What is known while an expression is read.

    Attributes:
        sympy: the module.
        given: what stands for symbols, or the shapes they have, by name.
        graph: where the nodes go.
        known: the values of the parts that have been read.
        meant: the SymPy symbol of each name.
        sizes: the names that are sizes.
        conditions: the names that are bools.
        bound: the limits that indices of sums have, all of them.
        uses: the indices that elements of a named array are taken at.
        needs: the indices of sums that a part is made of.
        rules: the steps that translate, by the names of SymPy's classes.
        standing: values that stand for the variables of functions applied to matrices.
    """

    def __init__(
        self, sympy: Any, given: Mapping[str, Expr | ShapeLike], graph: Graph, rules: Mapping[str, Rule]
    ) -> None:
        self.sympy = sympy
        self.given = given
        self.graph = graph
        self.known: dict[Part, Value] = {}
        self.meant: dict[str, Basic] = {}
        self.sizes: set[str] = set()
        self.conditions: set[str] = set()
        self.bound: dict[Basic, list[tuple[Basic, Basic]]] = {}
        self.uses: dict[str, list[Sequence[Basic]]] = {}
        self.needs: dict[Basic, frozenset[Basic]] = {}
        self.standing: dict[Basic, Value] = {}
        self.rules = rules

    def read(self, expr: Basic) -> Expr:
        """Translate an expression."""
        try:
            self.survey(expr)
            return self.as_expr(worked_out((expr, ()), self.rule, self.known))
        except RecursionError:
            msg = "from_sympy: the expression is too deep for SymPy itself; translate its parts and join them here"
            raise ArgumentError(msg) from None

    # --- what symbols are -----------------------------------------------------------------------------------------

    def survey(self, expr: Basic) -> None:
        """Look through an expression before anything is made of it: what its symbols are, and which indices it has."""
        seen: set[Basic] = set()
        stack = [expr]
        while stack:
            part = stack.pop()
            if part not in seen:
                seen.add(part)
                stack += part.args
                self._look_at(part)
        if self.bound:
            worked_out(expr, self._indices_of, self.needs)

    def _indices_of(self, part: Basic) -> Steps[Basic]:
        """Give the indices of sums that a part is made of, in the steps that its own parts need."""
        if part in self.bound:
            return frozenset((part,))
        return frozenset().union(*(yield from each(part.args)))

    def _look_at(self, part: Basic) -> None:
        s = self.sympy
        sized = isinstance(part, s.MatrixExpr) or type(part).__name__ in {"IndexedBase", "ArraySymbol"}
        if sized and part.shape:
            self._are_sizes(part.shape)
        elif isinstance(part, s.Sum | s.Product):
            for limits in part.limits:
                index, low, high = self.limits_of(limits)
                self._are_sizes((low, high))
                self.bound.setdefault(index, []).append((low, high))
        elif isinstance(part, s.Indexed):
            self.uses.setdefault(str(part.base.label), []).append(part.indices)
        elif isinstance(part, s.logic.boolalg.BooleanFunction):
            self.conditions.update(arg.name for arg in part.args if arg.is_Symbol)
        elif isinstance(part, s.functions.elementary.piecewise.ExprCondPair) and part.cond.is_Symbol:
            self.conditions.add(part.cond.name)

    def _are_sizes(self, sizes: Iterable[Basic]) -> None:
        self.sizes.update(symbol.name for size in sizes for symbol in self.sympy.sympify(size).free_symbols)

    def limits_of(self, limits: Basic) -> tuple[Basic, Basic, Basic]:
        """Give the index of a sum and its first and its last value."""
        index, *ends = limits
        if len(ends) == 2:
            return index, *ends
        if getattr(index, "upper", None) is None:
            refuse(limits, "a sum needs the first and the last value of its index")
        return index, index.lower, index.upper

    def size(self, expr: Basic) -> Size:
        """Read a size: arithmetic on integers and the names of sizes."""
        if expr.is_Integer:
            return int(expr)
        if expr.is_Symbol:
            return Dim.named(expr.name)
        if expr.is_Add:
            total: Size = 0
            for arg in expr.args:
                total = self.size(arg) + total
            return total
        above, below = expr.as_numer_denom()
        if expr.func is self.sympy.floor:
            above, below = expr.args[0].as_numer_denom()
        if below != 1 and below.is_Integer:
            return self.size(above) // int(below)
        if expr.is_Mul or (expr.is_Pow and expr.exp.is_Integer and expr.exp > 0):
            factors = expr.args if expr.is_Mul else [expr.base] * int(expr.exp)
            return dims.product(self.size(factor) for factor in factors)
        return refuse(expr, "a size is an integer, a name or arithmetic on them")

    # --- values ---------------------------------------------------------------------------------------------------

    def rule(self, part: Part) -> Steps[Part]:
        """Give the steps that translate a part; a sum's indices that it is not made of are left out before."""
        expr, scope = part
        if scope:
            if expr not in self.needs:
                worked_out(expr, self._indices_of, self.needs)
            needed = [at for at, bound in enumerate(scope) if bound.symbol in self.needs[expr]]
            narrow = scope[: needed[-1] + 1] if needed else ()
            if narrow != scope:
                return (yield expr, narrow)
        for kind in type(expr).__mro__:
            if str(kind.__module__).startswith("sympy.") and kind.__name__ in self.rules:
                return (yield from self.rules[kind.__name__](self, expr, scope))
        return refuse(expr, "there is nothing like it in symbackprop")

    def constant(self, value: Value) -> bool:
        """Tell whether a value is a number that SymPy still holds exactly."""
        return isinstance(value, self.sympy.Basic)

    def operand(self, value: Value) -> Any:
        """Give a value as an operand: a SymPy number becomes one of Python, which is weak."""
        return self.number(value) if self.constant(value) else value

    def as_expr(self, value: Value) -> Expr:
        """Give a value as an expression."""
        return ops.as_expr(self.operand(value), graph=self.graph)

    def number(self, expr: Basic) -> float:
        """Give the number that SymPy holds: an int, a bool, or the nearest float."""
        if expr.is_Boolean:
            return bool(expr)
        if expr.is_Integer and abs(int(expr)) < _LARGEST_INT:
            return int(expr)
        found = expr.evalf(_DIGITS)
        if found in {self.sympy.oo, -self.sympy.oo, self.sympy.nan} or found.is_Float or found.is_Rational:
            return float(found)
        return refuse(expr, "its value is not a real number")

    def all_of(self, parts: Iterable[Basic], scope: Scope) -> Steps[Part]:
        """Give the values of several parts of one scope."""
        return (yield from each((part, scope) for part in parts))


_DIGITS = 25

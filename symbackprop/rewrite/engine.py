"""The rewriting engine: rules, and the graph that applies them while it is being built.

A pass rebuilds expressions, in the order of their numbers, into a fresh `Rewritten` graph. That graph interns
(equal nodes become one: common sub-expressions are shared) and tries the rules on every node that is made, those
made by rules included, so that whatever it holds is in normal form. Inputs are never edited, and what no output
reaches is never copied: dead code falls away.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache, lru_cache, wraps
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from symbackprop.errors import DtypeError
from symbackprop.expr import Expr
from symbackprop.graph import Graph, Node, Origin, attributed
from symbackprop.op import ATOM, CONSTANT, LOWEST, Dtype, Op, apply, literal, scalar_value
from symbackprop.ops.elementwise import add, astype, equal, maximum, minimum, multiply
from symbackprop.ops.layout import broadcast_to
from symbackprop.ops.leaf import SYMBOL, symbol

_LIMITS = {0.0, math.inf, -math.inf}  # numbers that stay what they are among other numbers
_DEPTH = 40  # rules that call for rules; a chain as long as this is a rule set that does not come to rest
_BUDGET = 1000, 30  # rule applications that a graph may have, and more for each node that is copied into it


class Strength(Enum):
    """How much a rewrite keeps."""

    EXACT = "the same floats, NaN and infinities included"
    REAL = "the same real number, rounded otherwise"
    FINITE = "the same real number where the operands are finite, and not zero where divided by"


@dataclass(frozen=True, eq=False, kw_only=True)
class Rule:
    """One rewrite: an equation with a stated strength.

    Attributes:
        name: for reports, and to leave it out.
        equation: the equation, as people write it, or what writes it when it is asked for.
        strength: what it keeps.
        roots: the ops at whose nodes it is tried.
        rewrite: gives the replacement for a node, or None where the rule does not fit.
        examples: makes expressions that the rule rewrites, for the tests.
        fits: whether it is worth trying on operands made by these ops; asked once for each combination.
        where_summed: whether it is tried at derivatives too of which matrix products are sums: not, where what it costs
            buys last digits that are lost in the sum.
    """

    name: str
    equation: str | Callable[[], str]
    strength: Strength
    roots: tuple[Op, ...]
    rewrite: Callable[[Expr], Expr | None]
    examples: Callable[[], Sequence[Expr]]
    fits: Callable[[tuple[Op, ...]], bool] = lambda _: True
    where_summed: bool = True

    def __str__(self) -> str:
        """Give the equation and its strength."""
        written = self.equation if isinstance(self.equation, str) else self.equation()
        return f"{written} ({self.strength.name.lower()})"


Bindings: TypeAlias = dict[str, Expr]
_SYMMETRIC = {add, multiply, equal}
_COMMUTATIVE = {*_SYMMETRIC, maximum, minimum}  # but for the sign of a zero, and derivatives where both are equal


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One node of a left-hand side; wildcards have a name, constants a value, the others an op."""

    op: Op | None
    operands: tuple[_Pattern, ...] = ()
    name: str = ""
    value: float | None = None

    @property
    def needed(self) -> Op | None:
        """The op that a node must have to match; None if any will do."""
        return CONSTANT if self.value is not None or self.name[:1] in {"c", "d"} else self.op


def _variants(expr: Expr) -> list[_Pattern]:
    """Give the pattern in every order of its commutative operands."""
    if expr.op is SYMBOL:
        return [_Pattern(None, name=expr.params["name"])]
    value = scalar_value(expr)
    if value is not None:
        return [_Pattern(None, value=value)]
    found = []
    for operands in product(*map(_variants, expr.inputs)):
        found.append(_Pattern(expr.op, operands))
        if expr.op in _COMMUTATIVE and expr.inputs[0] is not expr.inputs[1]:
            found.append(_Pattern(expr.op, operands[::-1]))
    return found


def _match(pattern: _Pattern, graph: Graph, number: int, bindings: dict[str, int]) -> bool:
    node = graph.nodes[number]
    if pattern.op is not None:
        return node.op is pattern.op and all(
            _match(part, graph, operand, bindings) for part, operand in zip(pattern.operands, node.inputs, strict=True)
        )
    if pattern.value is not None:
        return node.op is CONSTANT and not node.shape and node.params["value"].array.item() == pattern.value
    if pattern.name[0] in "cd" and (node.op is not CONSTANT or node.shape):
        return False
    return bindings.setdefault(pattern.name, number) == number


def _matched(pattern: _Pattern, graph: Graph, number: int) -> Iterator[Dtype]:
    """Give the dtypes of the operations in a match."""
    if pattern.op is not None:
        node = graph.nodes[number]
        yield node.dtype
        for part, operand in zip(pattern.operands, node.inputs, strict=True):
            yield from _matched(part, graph, operand)


def instantiate(template: Expr, bindings: Bindings) -> Expr:
    """Build a right-hand side with expressions in place of its symbols; its numbers are weak."""
    return _instance(template, bindings)[0]


def _instance(template: Expr, bindings: Bindings) -> tuple[Expr, list[Expr]]:
    """Build a right-hand side, and give the results of its operations beside it."""
    done: dict[int, Any] = {}
    made: list[Expr] = []
    graph = template.graph
    integers = all(expr.dtype.kind == "i" for expr in bindings.values())
    for number in graph.reachable([template.number]):
        node = graph.nodes[number]
        if node.op is SYMBOL:
            done[number] = bindings[node.params["name"]]
        elif node.op is CONSTANT:
            value = node.params["value"].array.item()
            done[number] = int(value) if integers and value == int(value) else value
        else:
            done[number] = apply(node.op, *(done[operand] for operand in node.inputs), **node.params)
            made.append(done[number])
    result = done[template.number]
    return result if isinstance(result, Expr) else literal(result, graph=next(iter(bindings.values())).graph), made


def _spelled(expr: Expr, need: int = LOWEST) -> str:
    """Write one side of an equation as code: a formula would hide what the rule is about, as -cx for c*(-x)."""
    if expr.op is SYMBOL or scalar_value(expr) is not None:
        return f"{expr.params.get('name', scalar_value(expr))}".removesuffix(".0")
    form = expr.op.form(expr.op.numpy, expr.params, tuple(operand.shape for operand in expr.inputs))
    if form.precedence == ATOM:
        return f"{expr.op.name}({', '.join(map(_spelled, expr.inputs))})"
    text = form.fill([_spelled(operand, form.need(at)) for at, operand in enumerate(expr.inputs)])
    return f"({text})" if form.precedence < need else text


def one_arithmetic(dtypes: Iterable[Dtype]) -> bool:
    """Tell whether equations of real numbers hold for operations whose results have these dtypes.

    They hold for floats, and within one signed integer dtype, which wraps around alike on both sides. They do not
    where an integer becomes another or a float: for ``x`` of uint8, ``-x`` is ``256 - x``.

    >>> one_arithmetic([np.dtype("float32"), np.dtype("float64")]), one_arithmetic([np.dtype("int8")] * 2)
    (True, True)
    >>> one_arithmetic([np.dtype("float64"), np.dtype("int64")]), one_arithmetic([np.dtype("uint8")])
    (False, False)
    """
    found = set(dtypes)
    return {dtype.kind for dtype in found} <= {"f"} or (len(found) == 1 and found.pop().kind == "i")


def _spoilt(given: Iterable[Expr], made: Iterable[Expr]) -> bool:
    """Tell whether numbers that were put together became infinite or lost their digits: 1e200*(1e200*x)."""
    return any(map(is_extreme, made)) and not any(scalar_value(number) in _LIMITS for number in given)


def is_extreme(expr: Expr) -> bool:
    """Tell whether this is a float number that is zero, infinite, NaN, or so small that digits are lost."""
    value = scalar_value(expr)
    if value is None or expr.dtype.kind != "f":
        return False
    limits = np.finfo(expr.dtype)
    return not limits.smallest_normal <= abs(value) <= limits.max


def equation(
    name: str,
    left: Expr,
    right: Expr,
    strength: Strength,
    *,
    when: Callable[[Bindings], bool] = lambda _: True,
    where: str = "",
    commute: bool = True,
    arrays: str = "",
    where_summed: bool = True,
) -> Rule:
    """State a rule of elementwise algebra by two expressions over wildcards.

    Symbols match anything, the same symbol the same node; those whose name starts with c or d match constants.

    Args:
        name: the rule's name.
        left: what is replaced; commutative operands match in either order.
        right: what replaces it.
        strength: what the rule keeps.
        when: a further condition on what was matched.
        where: that condition in words.
        commute: whether commutative operands may also stand the other way round.
        arrays: the wildcards that must be arrays in an example.
        where_summed: as in `Rule`.
    """
    variants = _variants(left) if commute else _variants(left)[:1]

    def rewrite(expr: Expr) -> Expr | None:
        graph, number, dtype = expr.graph, expr.number, expr.dtype
        for pattern in variants:
            found: dict[str, int] = {}
            if _match(pattern, graph, number, found):
                bindings = {name: Expr(graph, number) for name, number in found.items()}
                if when(bindings):
                    try:
                        better, made = _instance(right, bindings)
                    except DtypeError:  # such as -x for a bool: the rule is not for this dtype
                        return None
                    # What is made keeps the dtype, or a sum of bools would be a bool, and 1/c lose its digits.
                    same = one_arithmetic(_matched(pattern, graph, number)) and {part.dtype for part in made} <= {dtype}
                    return better if same and not _spoilt(bindings.values(), made) else None
        return None

    def fits(ops: tuple[Op, ...]) -> bool:
        return any(
            all(part.needed in {None, op} for part, op in zip(pattern.operands, ops, strict=True))
            for pattern in variants
        )

    def examples() -> Sequence[Expr]:
        if not arrays:
            return [left]
        names = {node.params["name"] for node in left.graph.nodes.values() if node.op is SYMBOL}
        return [instantiate(left, {name: symbol(name, "N" if name in arrays else ()) for name in names})]

    def written() -> str:
        return f"{_spelled(left)} = {_spelled(right)}" + (f" where {where}" if where else "")

    return Rule(
        name=name,
        equation=written,
        strength=strength,
        roots=(left.op,),
        rewrite=rewrite,
        examples=examples,
        fits=fits,
        where_summed=where_summed,
    )


def stated(rules: Callable[[], tuple[Rule, ...]]) -> Callable[[], tuple[Rule, ...]]:
    """Let rules be stated in a graph of their own, when they are first asked for: an import need not wait for them."""

    @cache
    def once() -> tuple[Rule, ...]:
        with Graph(scratch=True), attributed(Origin(None, backward=False)):
            return rules()

    return wraps(rules)(once)


class RuleSet:
    """Rules by the op of a node and the ops of its operands; combinations are looked up once."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        """Take the rules, the ones to be tried first first."""
        self._by_op: dict[Op, list[Rule]] = {}
        for rule in rules:
            for op in rule.roots:
                self._by_op.setdefault(op, []).append(rule)
        self._found: dict[tuple[Op, ...], tuple[Rule, ...]] = {}

    def at(self, node: Node, nodes: Mapping[int, Node]) -> tuple[Rule, ...]:
        """Give the rules that may fit a node."""
        key = (node.op, *[nodes[operand].op for operand in node.inputs])
        found = self._found.get(key)
        if found is None:
            rules = self._by_op.get(node.op, ())
            found = self._found[key] = tuple(rule for rule in rules if rule.fits(key[1:]))
        return found


@lru_cache(maxsize=64)
def rule_set(rules: tuple[Rule, ...]) -> RuleSet:
    """Give the set of these rules, the same for the same rules."""
    return RuleSet(rules)


def _key(node: Node) -> tuple[object, ...]:
    """What nodes of one value share: x + y and y + x are one, written as the first of them is."""
    if node.op in _SYMMETRIC and node.inputs[0] > node.inputs[1]:
        return (node.op, node.inputs[::-1], *node.key[2:])
    return node.key


class Rewritten(Graph):
    """A graph that shares equal nodes and applies rules to every node that is made in it.

    Rules that do not come to rest, or that make more and more of every node, cannot run away: their applications
    are counted, and when there were many more than nodes, what is made from then on stays as it is.

    Attributes:
        fired: how often each rule was applied.
        exhausted: whether the budget of applications was used up.
    """

    def __init__(
        self,
        rules: Iterable[Rule] = (),
        *,
        fresh: Iterable[Rule] | None = None,
        share: bool = True,
        summed: Container[int] = (),
    ) -> None:
        """Take the rules.

        Args:
            rules: the rules, those to be tried first first.
            fresh: those among them that the copied expressions have not been rewritten by yet; all unless told.
            share: whether equal nodes become one.
            summed: the numbers of those copied expressions that are derivatives of which only sums are used.
        """
        super().__init__(scratch=True)
        self.fired: Counter[str] = Counter()
        self._share = share
        self._known: dict[object, int] = {}
        self._depth = 0
        self._summed = summed
        self._left, self._more = _BUDGET
        self._rules = rule_set(tuple(rules))
        self._fresh = self._rules if fresh is None else rule_set(tuple(fresh))

    @property
    def exhausted(self) -> bool:
        """Tell whether rules were no longer applied at the end."""
        return self._left <= 0

    def add(self, node: Node) -> int:
        """Append a node, or give the equal one that is there, or what the rules make of it."""
        return self._added(node, self._rules)

    def copy_in(self, node: Node, number: int, *, settled: bool) -> int:
        """Append a node of the expressions that are rewritten.

        Args:
            node: the node, on operands in this graph.
            number: its number in theirs.
            settled: whether everything below it is as it was before, so that old rules have nothing to do at it.
        """
        self._left += self._more
        return self._added(node, self._fresh if settled else self._rules, summed=number in self._summed)

    def _added(self, node: Node, rules: RuleSet, *, summed: bool = False) -> int:
        shared = self._share or node.op is SYMBOL
        key = _key(node) if shared else None
        number = self._known.get(key) if shared else None
        if number is None:
            number = super().add(node)
            fitting = rules.at(node, self.nodes) if self._depth < _DEPTH and self._left > 0 else ()
            if summed:
                fitting = tuple(rule for rule in fitting if rule.where_summed)
            if fitting:
                number = self._improved(number, node, fitting)
            if shared:
                self._known[key] = number
        kept = self.nodes[number]
        if node.label and not kept.label and kept.op is not SYMBOL:
            kept.label = node.label
        if node.hint and not kept.hint:
            kept.hint = node.hint
        return number

    def _improved(self, number: int, node: Node, rules: Sequence[Rule]) -> int:
        expr = Expr(self, number)
        self._depth += 1
        try:
            with attributed(node.origin()):
                for rule in rules:
                    better = rule.rewrite(expr)
                    if better is not None and better is not expr:
                        self.fired[rule.name] += 1
                        self._left -= 1
                        return astype(broadcast_to(better, node.shape), node.dtype).number
        finally:
            self._depth -= 1
        return number


def rebuild(outputs: Sequence[Expr], target: Graph) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, operands first."""
    if not outputs:
        return []
    graph = outputs[0].graph
    placed: dict[int, int] = {}
    settled: set[int] = set()
    handles: list[Expr] = []  # lest a graph that sweeps drops what nothing else holds yet
    with target.lock:
        for number in graph.reachable([expr.number for expr in outputs]):
            node = graph.nodes[number]
            copy = node.copied(tuple([placed[operand] for operand in node.inputs]))
            if isinstance(target, Rewritten):
                calm = settled.issuperset(node.inputs)
                placed[number] = target.copy_in(copy, number, settled=calm)
                if calm and target.nodes[placed[number]] is copy:
                    settled.add(number)
                continue
            placed[number] = target.symbol_number(copy) if node.op is SYMBOL else target.add(copy)
            handles.append(Expr(target, placed[number]))
    return [Expr(target, placed[expr.number]) for expr in outputs]

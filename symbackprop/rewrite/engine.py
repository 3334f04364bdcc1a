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
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache, cached_property, lru_cache, partial, wraps
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from symbackprop.errors import DtypeError
from symbackprop.expr import Expr
from symbackprop.graph import Graph, Node, Origin, attributed
from symbackprop.op import ATOM, CONSTANT, LOWEST, Dtype, Op, apply, literal, scalar_of, scalar_value
from symbackprop.ops.accurate import DAMPED
from symbackprop.ops.contract import matmul
from symbackprop.ops.elementwise import add, astype, equal, maximum, minimum, multiply
from symbackprop.ops.layout import broadcast_to
from symbackprop.ops.leaf import SYMBOL, symbol

_LIMITS = {0.0, math.inf, -math.inf}  # numbers that stay what they are among other numbers
_DEPTH = 40  # rules that call for rules; a chain as long as this is a rule set that does not come to rest
_BUDGET, _BUDGET_OF_COPY = 1000, 30  # rule applications that a graph may have, and more for each node copied into it


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
        narrowed: gives what does the same as `rewrite` on operands made by these ops, in less time.
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
    narrowed: Callable[[tuple[Op, ...]], Callable[[Expr], Expr | None]] | None = None
    where_summed: bool = True

    def __str__(self) -> str:
        """Give the equation and its strength."""
        written = self.equation if isinstance(self.equation, str) else self.equation()
        return f"{written} ({self.strength.name.lower()})"


Bindings: TypeAlias = dict[str, Expr]
_SYMMETRIC = {add, multiply, equal, DAMPED}
_COMMUTATIVE = {*_SYMMETRIC, maximum, minimum}  # but for the sign of a zero, and derivatives where both are equal


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One node of a left-hand side; wildcards have a name, constants a value, the others an op."""

    op: Op | None
    operands: tuple[_Pattern, ...] = ()
    name: str = ""
    value: float | None = None

    def fits(self, ops: tuple[Op, ...]) -> bool:
        """Tell whether operands made by these ops may match; what matches one wildcard is one node, made by one op."""
        found: dict[str, Op] = {}
        return all(
            part.needed in {None, op} and (not part.name or found.setdefault(part.name, op) is op)
            for part, op in zip(self.operands, ops, strict=True)
        )

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


_Matcher: TypeAlias = Callable[[Mapping[int, Node], int, dict[str, int]], bool]
"""Tells whether a node matches, and writes down the numbers that the wildcards stand for."""


def _matcher(pattern: _Pattern) -> _Matcher:
    op, value, name = pattern.op, pattern.value, pattern.name
    if op is not None:
        parts = [*map(_matcher, pattern.operands)]

        def matches(nodes: Mapping[int, Node], number: int, found: dict[str, int]) -> bool:
            node = nodes[number]
            if node.op is not op:
                return False
            for part, operand in zip(parts, node.inputs, strict=True):  # noqa: SIM110  (all() takes twice as long)
                if not part(nodes, operand, found):
                    return False
            return True

        return matches
    if value is not None:
        return lambda nodes, number, _: scalar_of(nodes[number]) == value

    def binds(_: Mapping[int, Node], number: int, found: dict[str, int]) -> bool:
        return found.setdefault(name, number) == number

    def binds_number(nodes: Mapping[int, Node], number: int, found: dict[str, int]) -> bool:
        return scalar_of(nodes[number]) is not None and found.setdefault(name, number) == number

    return binds_number if name[0] in "cd" else binds


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


def _replacement(expr: Expr, pattern: _Pattern, right: Expr, bindings: Bindings) -> Expr | None:
    """Give a right-hand side for what matches the left one, unless its arithmetic is another."""
    try:
        better, made = _instance(right, bindings)
    except DtypeError:  # such as -x for a bool: the rule is not for this dtype
        return None
    # What is made keeps the dtype, or a sum of bools would be a bool, and 1/c lose its digits.
    alike = {part.dtype for part in made} <= {expr.dtype}
    same = alike and one_arithmetic(_matched(pattern, expr.graph, expr.number))
    return better if same and not _spoilt(bindings.values(), made) else None


class _Equation:
    """A rule by two expressions over wildcards; of most rules nobody asks in a process what they match."""

    def __init__(
        self,
        left: Expr,
        right: Expr,
        *,
        when: Callable[[Mapping[str, Node]], bool] | None,
        where: str,
        commute: bool,
        arrays: str,
    ) -> None:
        self.left, self.right = left, right
        self.when, self.where = when, where
        self.commute, self.arrays = commute, arrays

    @cached_property
    def patterns(self) -> Sequence[_Pattern]:
        return _variants(self.left)[: None if self.commute else 1]

    def fits(self, ops: tuple[Op, ...]) -> bool:
        return any(pattern.fits(ops) for pattern in self.patterns)

    def narrowed(self, ops: tuple[Op, ...]) -> Callable[[Expr], Expr | None]:
        variants = [(pattern, _matcher(pattern)) for pattern in self.patterns if pattern.fits(ops)]
        return partial(self._replaced, variants=variants)

    def rewrite(self, expr: Expr) -> Expr | None:
        return self.narrowed(tuple([operand.op for operand in expr.inputs]))(expr)

    def _replaced(self, expr: Expr, variants: Sequence[tuple[_Pattern, _Matcher]]) -> Expr | None:
        if self.arrays and not expr.shape:
            return None
        graph, number, nodes = expr.graph, expr.number, expr.graph.nodes
        for pattern, matches in variants:
            found: dict[str, int] = {}
            if not matches(nodes, number, found):
                continue
            if self.when is not None and not self.when({name: nodes[number] for name, number in found.items()}):
                continue
            bindings = {name: Expr(graph, number) for name, number in found.items()}
            return _replacement(expr, pattern, self.right, bindings)
        return None

    def examples(self) -> Sequence[Expr]:
        if not self.arrays:
            return [self.left]
        names = {node.params["name"] for node in self.left.graph.nodes.values() if node.op is SYMBOL}
        shapes = {name: "N" if name in self.arrays else () for name in names}
        return [instantiate(self.left, {name: symbol(name, shape) for name, shape in shapes.items()})]

    def written(self) -> str:
        return f"{_spelled(self.left)} = {_spelled(self.right)}" + (f" where {self.where}" if self.where else "")


def equation(
    name: str,
    left: Expr,
    right: Expr,
    strength: Strength,
    *,
    when: Callable[[Mapping[str, Node]], bool] | None = None,
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
        when: a further condition on the nodes that the wildcards match.
        where: that condition in words.
        commute: whether commutative operands may also stand the other way round.
        arrays: the wildcards that must be arrays.
        where_summed: as in `Rule`.
    """
    stated = _Equation(left, right, when=when, where=where, commute=commute, arrays=arrays)
    return Rule(
        name=name,
        equation=stated.written,
        strength=strength,
        roots=(left.op,),
        rewrite=stated.rewrite,
        examples=stated.examples,
        fits=stated.fits,
        narrowed=stated.narrowed,
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
    """Rules by the op of a node and the ops of its operands; combinations are looked up once.

    Attributes:
        roots: the rules by the op of the nodes at which they are tried.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        """Take the rules, the ones to be tried first first."""
        self.roots: dict[Op, list[Rule]] = {}
        for rule in rules:
            for op in rule.roots:
                self.roots.setdefault(op, []).append(rule)
        self._found: dict[tuple[Op, ...], tuple[Rule, ...]] = {}

    def at(self, node: Node, nodes: Mapping[int, Node]) -> tuple[Rule, ...]:
        """Give the rules that may fit a node."""
        if node.op not in self.roots:
            return ()
        key = (node.op, *[nodes[operand].op for operand in node.inputs])
        found = self._found.get(key)
        return self._fitting(key) if found is None else found

    def _fitting(self, key: tuple[Op, ...]) -> tuple[Rule, ...]:
        op, *operands = key
        ops = tuple(operands)
        fitting = [rule for rule in self.roots[op] if rule.fits(ops)]
        found = self._found[key] = tuple(
            replace(rule, rewrite=rule.narrowed(ops)) if rule.narrowed else rule for rule in fitting
        )
        return found


@lru_cache(maxsize=64)
def rule_set(rules: tuple[Rule, ...]) -> RuleSet:
    """Give the set of these rules, the same for the same rules."""
    return RuleSet(rules)


def _key(node: Node) -> tuple[object, ...]:
    """What nodes of one value share: x + y and y + x are one, x @ y and y @ x for vectors; written as the first is."""
    op, inputs = node.op, node.inputs
    if (op in _SYMMETRIC or (op is matmul and not node.shape)) and inputs[0] > inputs[1]:
        inputs = inputs[::-1]
    return (op, inputs, *node.params.items()) if node.params else (op, inputs)


class Task:
    """What is applied to the nodes that are made in a graph.

    Attributes:
        rules: the rules for new nodes.
        fresh: those for nodes that the other rules have left as they are.
        summed: the numbers of those copied expressions that are derivatives of which only sums are used.
        fired: how often each rule was applied.
        left: how often rules may be applied still.
    """

    def __init__(self, rules: RuleSet, fresh: RuleSet, summed: Container[int]) -> None:
        """Take the rules, none of which has been applied."""
        self.rules, self.fresh, self.summed = rules, fresh, summed
        self.fired: Counter[str] = Counter()
        self.left = _BUDGET

    def fitting(self, node: Node, nodes: Mapping[int, Node], rules: RuleSet, *, summed: bool) -> Sequence[Rule]:
        """Give the rules that may fit a node."""
        fitting = rules.at(node, nodes) if self.left > 0 else ()
        return tuple(rule for rule in fitting if rule.where_summed) if summed else fitting


class Rewritten(Graph):
    """A graph that shares equal nodes and applies rules to every node that is made in it.

    Rules that do not come to rest, or that make more and more of every node, cannot run away: their applications
    are counted, and when there were many more than nodes, what is made from then on stays as it is.

    Attributes:
        share: whether equal nodes become one.
        task: the rules.
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
        self.share = share
        every = rule_set(tuple(rules))
        self.task = Task(every, every if fresh is None else rule_set(tuple(fresh)), summed)
        self._known: dict[object, int] = {}
        self._depth = 0

    @property
    def fired(self) -> Counter[str]:
        """How often each rule was applied."""
        return self.task.fired

    @property
    def exhausted(self) -> bool:
        """Tell whether rules were no longer applied at the end."""
        return self.task.left <= 0

    def add(self, node: Node) -> int:
        """Append a node, or give the equal one that is there, or what the rules make of it."""
        return self._added(node, self.task.rules)

    def copy_in(self, node: Node, number: int, *, settled: bool) -> int:
        """Append a node of the expressions that are rewritten.

        Args:
            node: the node, on operands in this graph.
            number: its number in theirs.
            settled: whether everything below it is as it was before, so that old rules have nothing to do at it.
        """
        task = self.task
        task.left += _BUDGET_OF_COPY
        return self._added(node, task.fresh if settled else task.rules, summed=number in task.summed)

    def copy_on(self, operands: Iterable[Expr], node: Node, number: int) -> Expr:
        """Append a node of the expressions that are rewritten, on operands in this graph that a pass has made."""
        copy = node.copied(tuple([operand.number for operand in operands]))
        return Expr(self, self.copy_in(copy, number, settled=False))

    def copy_as_it_is(self, node: Node) -> int:
        """Append a node of the expressions that are rewritten, on operands in this graph, to which no rule applies."""
        return self._added(node, None)

    def unimproved(self, order: Sequence[int]) -> int:
        """Count the nodes at the beginning of an order that the fresh rules of the task leave as they are."""
        task, nodes, roots = self.task, self.nodes, self.task.fresh.roots
        for count, number in enumerate(order):
            task.left += _BUDGET_OF_COPY
            node = nodes[number]
            if node.op not in roots:
                continue
            fitting = task.fitting(node, nodes, task.fresh, summed=number in task.summed)
            if fitting:
                fired, key = task.fired.copy(), _key(node)
                known = self._known.pop(key, number)  # as while it is made: x*2 may become 2*x
                improved = self._improved(number, node, fitting)
                self._known[key] = known
                if improved != number:
                    task.fired = fired
                    return count
        return len(order)

    def _added(self, node: Node, rules: RuleSet | None, *, summed: bool = False) -> int:
        key = _key(node) if self.share or node.op is SYMBOL else None
        number = None if key is None else self._known.get(key)
        if number is None:
            number = self._append(node)
            if rules is not None and node.op in rules.roots and self._depth < _DEPTH:
                fitting = self.task.fitting(node, self.nodes, rules, summed=summed)
                if fitting:
                    number = self._improved(number, node, fitting)
            if key is not None:
                self._known[key] = number
        kept = self.nodes[number]
        if kept is not node:
            if node.label and not kept.label and kept.op is not SYMBOL:
                kept.label = node.label
            if node.hint and not kept.hint:
                kept.hint = node.hint
        return number

    def _improved(self, number: int, node: Node, rules: Sequence[Rule]) -> int:
        expr = Expr(self, number)
        self._depth += 1
        try:
            with attributed(node.origin):
                for rule in rules:
                    better = rule.rewrite(expr)
                    if better is not None and better is not expr:
                        self.task.fired[rule.name] += 1
                        self.task.left -= 1
                        return astype(broadcast_to(better, node.shape), node.dtype).number
        finally:
            self._depth -= 1
        return number


def _unimproved(order: Sequence[int], source: Graph, target: Graph) -> int:
    """Count the nodes at the beginning of an order that the rules of the target leave as they are.

    They are tried where the nodes are, if the source is the work of the rules that are not fresh: where a pass changes
    nothing, nothing need be copied.
    """
    if not (isinstance(source, Rewritten) and isinstance(target, Rewritten)):
        return 0
    if source.share is not target.share or source.exhausted:
        return 0
    with source.lock:
        its, source.task = source.task, target.task
        try:
            return source.unimproved(order)
        finally:
            source.task = its


def rebuild(outputs: Sequence[Expr], target: Graph, order: Sequence[int] | None = None) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, operands first.

    Where its rules leave everything as it is, a graph that other rules have made needs no copy: the outputs are given.

    Args:
        outputs: expressions of one graph.
        target: the other graph.
        order: the numbers that they are computed from, if they are known.
    """
    if not outputs:
        return []
    graph = outputs[0].graph
    order = graph.reachable([expr.number for expr in outputs]) if order is None else order
    with target.lock:
        if not isinstance(target, Rewritten):
            return _copied(outputs, target, order)
        unimproved = _unimproved(order, graph, target)
        if unimproved == len(order):
            return list(outputs)
        nodes, placed = graph.nodes, dict[int, int]()
        for number in order[:unimproved]:
            node = nodes[number]
            placed[number] = target.copy_as_it_is(node.copied(tuple([placed[operand] for operand in node.inputs])))
        settled = set(placed)
        for number in order[unimproved:]:
            node = nodes[number]
            copy = node.copied(tuple([placed[operand] for operand in node.inputs]))
            calm = settled.issuperset(node.inputs)
            placed[number] = target.copy_in(copy, number, settled=calm)
            if calm and target.nodes[placed[number]] is copy:
                settled.add(number)
    return [Expr(target, placed[expr.number]) for expr in outputs]


def _copied(outputs: Sequence[Expr], target: Graph, order: Sequence[int]) -> list[Expr]:
    nodes, placed = outputs[0].graph.nodes, dict[int, Expr]()  # handles: a graph that sweeps drops what has none
    for number in order:
        node = nodes[number]
        copy = node.copied(tuple([placed[operand].number for operand in node.inputs]))
        placed[number] = Expr(target, target.symbol_number(copy) if node.op is SYMBOL else target.add(copy))
    return [placed[expr.number] for expr in outputs]

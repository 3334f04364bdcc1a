"""Products of exponentials that are one and the same, and sums of them that are zero, whatever they are written in.

What arithmetic, roots, logarithms and exponentials make of other values is expanded to a sum of terms: a number times
powers of those values times the exponential of such a sum. ``exp(log(K) − r·T)`` is ``K`` times ``exp(−r·T)``. In the
formula of Black and Scholes ``K·exp(−r·T)·φ(d₂)`` and ``S·φ(d₁)`` come out as one term, so that their difference, of
which all derivatives of the price have a multiple, is zero. Equal products become one node; what is zero goes, with all
that is a multiple of it.

Only where there are two exponentials is this looked at. A sum of many terms is taken as a value of its own, so that the
cost is that of the nodes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from symbackprop.expr import Expr
from symbackprop.graph import Node, attributed
from symbackprop.op import Op, literal, scalar_of
from symbackprop.ops import (
    add,
    broadcast_to,
    divide,
    exp,
    log,
    matmul,
    multiply,
    negative,
    power,
    sqrt,
    square,
    subtract,
)
from symbackprop.ops.layout import BROADCAST_TO, EXPAND_DIMS, RESHAPE, SQUEEZE, TRANSPOSE
from symbackprop.ops.reduce import MEAN, SUM
from symbackprop.ops.special import GAUSS
from symbackprop.rewrite.engine import Rewritten, rebuild
from symbackprop.rewrite.facts import known

Powers: TypeAlias = "tuple[tuple[int, int], ...]"
"""Values by number, each with twice its exponent; −1 − n stands for the logarithm of the value n."""

Exponent: TypeAlias = "tuple[tuple[Powers, float], ...]"
Terms: TypeAlias = "dict[tuple[Exponent, Powers], float]"
"""Numbers by what they are multiplied with: the exponential of an exponent, and powers."""

_MOST = 16  # terms of a sum that is expanded
_HIGHEST = 8  # exponent of a power that is expanded
_ROUNDING = 4e-15  # of numbers that cancel
_EXPONENTIALS = {exp, GAUSS}
_SUMS = {add, subtract}
_PRODUCTS = {multiply, divide}
_PASSED = {BROADCAST_TO, EXPAND_DIMS, RESHAPE, SQUEEZE, TRANSPOSE, SUM, MEAN, negative}
"""What gives zero for zero."""


def rebuild_exponents(outputs: Sequence[Expr], target: Rewritten, *, positive: bool = False) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, equal products of exponentials as one.

    Args:
        outputs: expressions of one graph.
        target: the other graph.
        positive: whether what a logarithm or a root is taken of is taken to be positive, with all its factors.

    >>> import symbackprop as sb
    >>> x, y = sb.symbols("x y")
    >>> print(*rebuild_exponents([x + (sb.exp(-x) * sb.exp(x * y) - sb.exp(x * (y - 1)))], Rewritten()))
    x
    """
    plan = _Plan(outputs, positive=positive) if outputs else None
    return plan.rebuilt(outputs, target) if plan is not None and plan.is_worth_it else rebuild(outputs, target)


class _Plan:
    """What is to be done.

    Attributes:
        zero: the nodes that are zero.
        same: for products another one of no more exponentials that they are a multiple of, and the number.
    """

    def __init__(self, outputs: Sequence[Expr], *, positive: bool) -> None:
        self.graph = outputs[0].graph
        self.nodes: Mapping[int, Node] = self.graph.nodes
        self.order = self.graph.reachable([output.number for output in outputs])
        self.positive = positive
        self.zero: set[int] = set()
        self.same: dict[int, tuple[int, float]] = {}
        self.terms: dict[int, Terms] = {}
        self.exponentials: dict[int, int] = {}  # how many of them are factors of a product
        self.rules: Mapping[Op, Callable[[Node], Terms | None]] = {
            **dict.fromkeys(_SUMS, self._of_sum),
            multiply: self._of_product,
            divide: self._of_quotient,
            power: self._of_power,
            log: self._of_logarithm,
            **dict.fromkeys(_EXPONENTIALS, self._of_exponential),
            negative: lambda node: _sum({}, self.terms[node.inputs[0]], -1.0),
            square: lambda node: self.power(self.terms[node.inputs[0]], 2),
            sqrt: lambda node: self.power(self.terms[node.inputs[0]], 0.5),
            BROADCAST_TO: lambda node: self.terms[node.inputs[0]],
        }
        if sum(self.nodes[number].op in _EXPONENTIALS for number in self.order) > 1:
            self._compare()

    @property
    def is_worth_it(self) -> bool:
        """Tell whether there is anything to do."""
        return bool(self.zero or self.same)

    def _compare(self) -> None:
        alike: dict[object, list[tuple[int, float]]] = {}
        for number in self.order:
            node = self.nodes[number]
            terms = self.terms[number] = self._expanded(number, node)
            count = sum(self.exponentials[each] for each in node.inputs) if node.op in _PRODUCTS else 0
            self.exponentials[number] = count + (node.op in _EXPONENTIALS)
            if node.op in _SUMS and not terms:
                self.zero.add(number)
            if self.exponentials[number] and len(terms) == 1:
                (((exponent, powers), scale),) = terms.items()
                if exponent:
                    alike.setdefault((exponent, powers, node.shape, node.dtype), []).append((number, scale))
        for group in alike.values():
            best, its = min(group, key=lambda each: (self.exponentials[each[0]], each[0]))
            products = ((number, scale) for number, scale in group if self.nodes[number].op in _PRODUCTS)
            self.same |= {number: (best, scale / its) for number, scale in products if number != best}

    # --- what values are made of ------------------------------------------------------------------------------

    def _expanded(self, number: int, node: Node) -> Terms:
        value = scalar_of(node) if node.dtype.kind == "f" else None
        if value is not None and math.isfinite(value):
            return {((), ()): value} if value else {}
        rule = self.rules.get(node.op)
        if rule is None or {self.nodes[each].dtype for each in node.inputs} != {node.dtype} or node.dtype.kind != "f":
            return _value(number)
        found = rule(node)
        if found is None or len(found) > _MOST:
            return _value(number)
        if not found and node.op in _SUMS and not any(self._is_of_exponentials(each) for each in node.inputs):
            return _value(number)
        return found

    def _is_of_exponentials(self, number: int) -> bool:
        return any(exponent for exponent, _ in self.terms[number])

    def _of_sum(self, node: Node) -> Terms:
        left, right = (self.terms[each] for each in node.inputs)
        return _sum(left, right, -1.0 if node.op is subtract else 1.0)

    def _of_product(self, node: Node) -> Terms | None:
        left, right = (self.terms[each] for each in node.inputs)
        return self.product(left, right)

    def _of_quotient(self, node: Node) -> Terms | None:
        above, below = (self.terms[each] for each in node.inputs)
        inverse = self.power(below if len(below) == 1 else _value(node.inputs[1]), -1)
        return inverse and self.product(above, inverse)

    def _of_power(self, node: Node) -> Terms | None:
        exponent = scalar_of(self.nodes[node.inputs[1]])
        return None if exponent is None else self.power(self.terms[node.inputs[0]], exponent)

    def _of_logarithm(self, node: Node) -> Terms | None:
        terms = self.terms[node.inputs[0]]
        if len(terms) != 1:
            return None
        (((exponent, powers), number),) = terms.items()
        if number <= 0 or not self._are_positive(powers):
            return None
        found: Terms = {((), made): factor for made, factor in exponent}
        found |= {((), ((-1 - base, 2),)): twice / 2 for base, twice in powers}
        return _sum(found, {((), ()): math.log(number)} if number != 1 else {})

    def _of_exponential(self, node: Node) -> Terms | None:
        terms: Terms | None = self.terms[node.inputs[0]]
        if node.op is GAUSS and terms is not None:
            terms = self.product(terms, terms)
            terms = None if terms is None else {key: -number / 2 for key, number in terms.items()}
        if terms is None or any(exponent for exponent, _ in terms):
            return None
        return _exponential({powers: number for (_, powers), number in terms.items()})

    def product(self, left: Terms, right: Terms) -> Terms | None:
        """Multiply sums, or give None where that is too much."""
        if len(left) * len(right) > 4 * _MOST:
            return None
        found: Terms = {}
        for (one, its), x in left.items():
            for (other, others), y in right.items():
                made: Terms | None = {(one or other, ()): 1.0}
                if one and other:
                    made = _exponential(_added(one, other))
                if made is None:
                    return None
                (((exponent, more), z),) = made.items()
                _count(found, (exponent, _times(its, others, more)), x * y * z)
        return found

    def power(self, terms: Terms, exponent: float) -> Terms | None:
        """Raise to a power, or give None where that cannot be expanded."""
        whole = int(exponent) if float(exponent).is_integer() and abs(exponent) <= _HIGHEST else None
        if len(terms) != 1:
            found: Terms | None = {((), ()): 1.0}
            for _ in range(whole) if whole is not None and whole > 0 else ():
                found = None if found is None else self.product(found, terms)
            return found if whole is not None and whole > 0 else None
        (((inside, powers), number),) = terms.items()
        if whole is None and (2 * exponent != int(2 * exponent) or number < 0 or not self._have_roots(powers)):
            return None
        raised = tuple((base, int(twice * exponent)) for base, twice in powers) if exponent else ()
        return {(tuple((made, factor * exponent) for made, factor in inside), raised): float(number**exponent)}

    def _have_roots(self, powers: Powers) -> bool:
        return all(twice % 2 == 0 for _, twice in powers) and self._are_positive(powers)

    def _are_positive(self, powers: Powers) -> bool:
        return all(base >= 0 and self._is_positive(base) for base, _ in powers)

    def _is_positive(self, number: int) -> bool:
        return self.positive or "positive" in known(Expr(self.graph, number))

    # --- what is made of it -----------------------------------------------------------------------------------

    def _sorted(self, outputs: Sequence[Expr]) -> list[int]:
        """Give an order in which what a product is a multiple of comes first; where there is none, it stays."""
        found: dict[int, None] = {}
        waiting: set[int] = set()
        stack = [output.number for output in reversed(outputs)]
        while stack:
            number = stack[-1]
            needed = [self.same[number][0]] if number in self.same else self.nodes[number].inputs
            missing = [each for each in needed if each not in found]
            if number in found or not missing:
                found[stack.pop()] = None
            elif not waiting.isdisjoint(missing):
                self.same = {each: pair for each, pair in self.same.items() if pair[0] < each}
                return self.order
            else:
                waiting.add(number)
                stack += missing
        return [*found]

    def rebuilt(self, outputs: Sequence[Expr], target: Rewritten) -> list[Expr]:
        """Copy what the outputs are computed from, but what is zero or there already."""
        placed: dict[int, Expr] = {}
        zero = set(self.zero)
        for number in self._sorted(outputs):
            node = self.nodes[number]
            if number not in zero and _is_zero(node, zero):
                zero.add(number)
            with attributed(node.origin):
                if number in zero:
                    placed[number] = broadcast_to(literal(0.0, node.dtype, graph=target), node.shape)
                elif node.op in _SUMS and not zero.isdisjoint(node.inputs):
                    left, right = node.inputs
                    term = placed[left if right in zero else right]
                    term = -term if left in zero and node.op is subtract else term
                    placed[number] = broadcast_to(term, node.shape)
                elif number in self.same:
                    other, factor = self.same[number]
                    signed = placed[other] if factor > 0 else -placed[other]
                    placed[number] = signed if abs(abs(factor) - 1) <= _ROUNDING else abs(factor) * signed
                else:
                    copied = node.copied(tuple(placed[operand].number for operand in node.inputs))
                    placed[number] = Expr(target, target.add(copied))
                    continue
            made = placed[number]
            made.node.stand_for(node)
        return [placed[output.number] for output in outputs]


def _is_zero(node: Node, zero: set[int]) -> bool:
    if node.op in {multiply, matmul}:
        return not zero.isdisjoint(node.inputs)
    if node.op in _SUMS:
        return zero.issuperset(node.inputs)
    return (node.op in _PASSED or node.op is divide) and node.inputs[0] in zero


def _value(number: int) -> Terms:
    return {((), ((number, 2),)): 1.0}


def _sum(left: Terms, right: Terms, sign: float = 1.0) -> Terms:
    found = dict(left)
    for key, number in right.items():
        _count(found, key, sign * number)
    return found


def _count(found: Terms, key: tuple[Exponent, Powers], number: float) -> None:
    had = found.pop(key, 0.0)
    if abs(had + number) > _ROUNDING * max(abs(had), abs(number)):
        found[key] = had + number


def _added(one: Exponent, other: Exponent) -> dict[Powers, float]:
    found = _sum({((), powers): number for powers, number in one}, {((), powers): number for powers, number in other})
    return {powers: number for (_, powers), number in found.items()}


def _times(*factors: Powers) -> Powers:
    found: dict[int, int] = {}
    for powers in factors:
        for base, twice in powers:
            found[base] = found.get(base, 0) + twice
    return tuple(sorted((base, twice) for base, twice in found.items() if twice))


def _exponential(exponent: Mapping[Powers, float]) -> Terms | None:
    """Give an exponential as a term: numbers, and logarithms that are not multiplied, come out of the exponent."""
    kept, powers, number = [], [], 0.0
    for each, factor in exponent.items():
        if not each:
            number = factor
        elif len(each) == 1 and each[0][0] < 0 and each[0][1] == 2 and (2 * factor).is_integer():
            powers.append((-1 - each[0][0], int(2 * factor)))
        else:
            kept.append((each, float(f"{factor:.12g}")))
    if abs(number) > 700:  # more than a float can hold
        return None
    return {(tuple(sorted(kept)), tuple(sorted(powers))): math.exp(number)}

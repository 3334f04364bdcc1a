"""Sums of products of arrays lose the factors that their terms have in common: ``a − 2·p·x + 2·q·x = a + 2·x·(q − p)``.

The terms need not stand side by side, nor the factor in one place. Only what nothing else uses is taken apart, so that
each factor that comes out is a product less; a sum is looked at a few terms at a time. Where 0·∞ is 0 in all terms,
because the rest of each vanishes faster than the factor grows, it is 0 in the product that is left too; where it is in
some of them alone, they stay as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import NamedTuple

from symbackprop.expr import Expr
from symbackprop.graph import Node, attributed
from symbackprop.op import scalar_of
from symbackprop.ops import add, broadcast_to, multiply, negative, subtract
from symbackprop.ops.accurate import DAMPED
from symbackprop.rewrite.engine import Rewritten, rebuild
from symbackprop.rewrite.growth import is_damped, vanishes

_MOST = 16  # terms of a sum, and factors of a product, that are looked at together
_SUMS = {add, subtract}


def rebuild_factored(outputs: Sequence[Expr], target: Rewritten) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, sums of arrays with common factors outside.

    >>> import symbackprop as sb
    >>> a, p, q, x = sb.symbols("a[N] p[N] q[N] x[N]")
    >>> print(*rebuild_factored([a - 2 * (p * x) + 2 * (x * q)], Rewritten()))
    a + 2x ⊙ (q − p)
    """
    plan = _Plan(outputs) if outputs else None
    return plan.rebuilt(outputs, target) if plan is not None and plan.sums else rebuild(outputs, target)


class _Term(NamedTuple):
    """A number times a value, or times factors if nothing else uses their product."""

    number: float
    value: int
    factors: tuple[int, ...] = ()


class _Sum(NamedTuple):
    """Terms, the factor that some of them have in common, and whether it is 0 times 0 though it is infinite."""

    terms: Sequence[_Term]
    common: int
    damped: bool


class _Plan:
    """What is to be done.

    Attributes:
        sums: the sums with common factors.
    """

    def __init__(self, outputs: Sequence[Expr]) -> None:
        self.graph = outputs[0].graph
        self.nodes: Mapping[int, Node] = self.graph.nodes
        self.order = self.graph.reachable([output.number for output in outputs])
        self.sums: dict[int, _Sum] = {}
        sums = [each for each in self.order if self._is_sum(each)]
        if not any(self.nodes[operand].op is multiply for each in sums for operand in self.nodes[each].inputs):
            return
        self.uses = Counter(operand for number in self.order for operand in self.nodes[number].inputs)
        self.uses.update(output.number for output in outputs)
        self.inner: set[int] = set()
        for number in reversed(sums):
            if number not in self.inner:
                self._look(number)

    def _is_sum(self, number: int) -> bool:
        node = self.nodes[number]
        return node.op in _SUMS and bool(node.shape) and node.dtype.kind == "f"

    def _is_private(self, number: int, root: int) -> bool:
        node, whole = self.nodes[number], self.nodes[root]
        return self.uses[number] == 1 and (node.shape, node.dtype) == (whole.shape, whole.dtype)

    def _is_private_product(self, number: int, root: int) -> bool:
        return self.nodes[number].op is multiply and self._is_private(number, root)

    def _look(self, root: int) -> None:
        terms = self._terms(root)
        counts = Counter(
            factor for term in terms for factor in set(term.factors) if scalar_of(self.nodes[factor]) is None
        )
        common = max(counts, key=lambda factor: (counts[factor], -factor), default=None)
        if common is None or counts[common] < 2:
            return
        damped = {self._is_damped(term, common) for term in terms if common in term.factors}
        if len(damped) == 1 and None not in damped:
            self.sums[root] = _Sum(terms, common, damped=damped == {True})

    def _is_damped(self, term: _Term, common: int) -> bool | None:
        """Tell whether a factor that grows, times the rest, is 0 where that is 0; None if it is not so clear."""
        product = Expr(self.graph, term.value)
        inner = (each for each in self._inner_products(term.value) if each != term.value)
        if any(is_damped(Expr(self.graph, each)) for each in inner):
            return None
        if not is_damped(product):
            return False
        return True if common in product.node.inputs and not vanishes(Expr(self.graph, common)) else None

    def _inner_products(self, root: int) -> Iterator[int]:
        waiting = [root]
        while waiting:
            at = waiting.pop()
            yield at
            waiting += [each for each in self.nodes[at].inputs if self._is_private_product(each, root)]

    def _terms(self, root: int) -> list[_Term]:
        found: list[_Term] = []
        waiting = [(1.0, root)]
        while waiting:
            number, at = waiting.pop()
            node = self.nodes[at]
            if at == root or self._is_private(at, root):
                opened = self._opened(number, node)
                if opened and len(found) + len(waiting) < _MOST:
                    self.inner.add(at)
                    waiting += reversed(opened)
                    continue
                if node.op is multiply:
                    found.append(_Term(number, at, self._factors(at, root)))
                    continue
            found.append(_Term(number, at))
        return found

    def _opened(self, number: float, node: Node) -> list[tuple[float, int]]:
        """Give the terms of a sum, of a negative and of a multiple; none for anything else."""
        if node.op in _SUMS:
            left, right = node.inputs
            return [(number, left), (-number if node.op is subtract else number, right)]
        if node.op is negative:
            return [(-number, node.inputs[0])]
        scale = scalar_of(self.nodes[node.inputs[0]]) if node.op is multiply else None
        return [] if scale is None else [(number * scale, node.inputs[1])]

    def _factors(self, root: int, whole: int) -> tuple[int, ...]:
        found = [*self.nodes[root].inputs]
        place = 0
        while place < len(found) < _MOST:
            if self._is_private_product(found[place], whole):
                found[place : place + 1] = self.nodes[found[place]].inputs
            else:
                place += 1
        alike = all(self.nodes[each].dtype == self.nodes[whole].dtype for each in found)  # masks add up as bools
        return tuple(found) if alike else ()

    def rebuilt(self, outputs: Sequence[Expr], target: Rewritten) -> list[Expr]:
        """Copy what the outputs are computed from, as planned."""
        placed: dict[int, Expr] = {}
        for number in self.order:
            node = self.nodes[number]
            if number not in self.sums:
                copied = node.copied(tuple(placed[operand].number for operand in node.inputs))
                placed[number] = Expr(target, target.add(copied))
                continue
            with attributed(node.origin):
                made = placed[number] = broadcast_to(_factored(self.sums[number], placed), node.shape)
            made.node.stand_for(node)
        return [placed[output.number] for output in outputs]


def _factored(whole: _Sum, placed: Mapping[int, Expr]) -> Expr:
    """Write a sum with the factor outside, where its first term with it stood."""
    inside = [term for term in whole.terms if whole.common in term.factors]
    numbers = {term.number for term in inside}
    sizes = {abs(number) for number in numbers}
    scale = numbers.pop() if len(numbers) == 1 else sizes.pop() if len(sizes) == 1 else 1.0
    rests = [(term.number / scale, _without(whole.common, term.factors, placed)) for term in inside]
    product = (DAMPED if whole.damped else multiply)(placed[whole.common], _added(rests))
    terms = [
        (scale, product) if term is inside[0] else (term.number, placed[term.value])
        for term in whole.terms
        if term is inside[0] or whole.common not in term.factors
    ]
    return _added(terms)


def _without(common: int, factors: Sequence[int], placed: Mapping[int, Expr]) -> Expr:
    left = list(factors)
    left.remove(common)
    return reduce(multiply, (placed[each] for each in left))


def _added(terms: Iterable[tuple[float, Expr]]) -> Expr:
    """Add multiples, a positive one first if there is one."""
    (first, value), *rest = sorted(terms, key=lambda term: term[0] < 0)
    total = _multiple(first, value) if first > 0 else -_multiple(first, value)
    for number, other in rest:
        total = total + _multiple(number, other) if number > 0 else total - _multiple(number, other)
    return total


def _multiple(number: float, value: Expr) -> Expr:
    return value if abs(number) == 1 else abs(number) * value

"""Products of scalars are put together so that several of them share a factor of two: r·x·u and g·u·x share x·u.

Sums of two products lose their common factors first, where that costs no more: ``(g·u)·r − g·(r·x)`` is
``g·r·(u − x)``. What is shared then is a pair of factors, the one that most products have first, as in common
sub-expression elimination up to order (Breuer, 1969). The cost is that of the nodes: products of many factors are
looked at a few factors at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import combinations
from typing import NamedTuple

from symbackprop.expr import Expr
from symbackprop.graph import Node, attributed
from symbackprop.op import CONSTANT, Op, apply
from symbackprop.ops import add, multiply, subtract
from symbackprop.rewrite.engine import Rewritten, rebuild

_MOST = 6  # factors that are looked at together
_SUMS = {add, subtract}


def rebuild_shared(outputs: Sequence[Expr], target: Rewritten) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, products of scalars with shared factors of two.

    >>> import symbackprop as sb
    >>> r, x, u, g = sb.symbols("r x u g")
    >>> for product in rebuild_shared([r * x * u, g * u * x], Rewritten()):
    ...     print(*product.inputs)
    r xu
    xu g
    """
    if not outputs:
        return []
    plan = _Plan(outputs)
    return plan.rebuilt(outputs, target) if plan.pairs else rebuild(outputs, target)


class _Sum(NamedTuple):
    """A sum of two products as common factors times a sum of two."""

    op: Op
    left: int
    right: int
    common: tuple[int, ...]


class _Plan:
    """What is to be done.

    Attributes:
        sums: sums of products that have common factors.
        products: the factors of products; those of sums beside what is left of the sum.
        pairs: for products the pairs of factors that they share with others.
    """

    def __init__(self, outputs: Sequence[Expr]) -> None:
        graph = outputs[0].graph
        self.nodes: Mapping[int, Node] = graph.nodes
        self.order = graph.reachable([output.number for output in outputs])
        self.sums: dict[int, _Sum] = {}
        self.products: dict[int, list[int]] = {}
        self.pairs: dict[int, list[tuple[int, int]]] = {}
        scalars = [n for n in self.order if not self.nodes[n].shape and self.nodes[n].dtype.kind == "f"]
        if sum(self.nodes[number].op is multiply for number in scalars) < 2:
            return
        self.uses = Counter(operand for number in self.order for operand in self.nodes[number].inputs)
        self.uses.update(output.number for output in outputs)
        self.factored = {number for number in scalars if self.nodes[number].op is multiply}
        for number in scalars:
            if self.nodes[number].op in _SUMS:
                self._take_out(number)
        inner = {
            operand
            for number in self.factored
            if self.uses[number] > 0
            for operand in self.nodes[number].inputs
            if operand in self.factored and self.uses[operand] == 1
        }
        self.products.update((number, [*found.common]) for number, found in self.sums.items())
        for number in self.factored - inner:
            if self.uses[number] > 0:
                self.products[number] = self._factors(number)
        self._share()

    def _take_out(self, number: int) -> None:
        """Plan to take out common factors, where what is dropped is no less than what is new."""
        left, right = self.nodes[number].inputs
        if left == right or not {left, right} <= self.factored or self.uses[left] + self.uses[right] > 2:
            return
        sides = [[*self.nodes[left].inputs], [*self.nodes[right].inputs]]
        opened = []
        for side, other in (sides, sides[::-1]):
            for factor in tuple(side):
                if factor in self.factored and factor not in other:
                    side.remove(factor)
                    side.extend(self.nodes[factor].inputs)
                    opened.append(factor)
        common = Counter(sides[0]) & Counter(sides[1])
        rests = [[*(Counter(side) - common).elements()] for side in sides]
        dropped = 2 + sum(self.uses[each] == 1 for each in opened)
        promising = dropped > common.total() or any(self.uses[each] == 2 for each in opened)
        if any(len(rest) != 1 for rest in rests) or dropped < common.total() or not promising:
            return
        self.sums[number] = _Sum(self.nodes[number].op, rests[0][0], rests[1][0], tuple(sorted(common.elements())))
        self.uses.subtract([left, right, *opened])

    def _factors(self, root: int) -> list[int]:
        """Give the factors of a product, through those products that are used here alone."""
        found = [*self.nodes[root].inputs]
        place = 0
        while place < len(found) < _MOST:
            if found[place] in self.factored and self.uses[found[place]] == 1:
                found[place : place + 1] = self.nodes[found[place]].inputs
            else:
                place += 1
        return found

    def _share(self) -> None:
        having: dict[tuple[int, int], list[int]] = {}
        for number, factors in self.products.items():
            free = sorted({factor for factor in factors if self.nodes[factor].op is not CONSTANT})
            for pair in combinations(free, 2):
                having.setdefault(pair, []).append(number)
        left = {number: Counter(factors) for number, factors in self.products.items()}
        for pair, numbers in sorted(having.items(), key=lambda item: (-len(item[1]), item[0])):
            able = [number for number in numbers if all(left[number][factor] for factor in pair)]
            longer = [number for number in able if len(self.products[number]) > 2 or number in self.sums]
            if len(able) > 1 and longer:
                for number in able:
                    left[number].subtract(pair)
                    self.pairs.setdefault(number, []).append(pair)

    def rebuilt(self, outputs: Sequence[Expr], target: Rewritten) -> list[Expr]:
        """Copy what the outputs are computed from, as planned."""
        placed: dict[int, Expr] = {}
        for number in self.order:
            node = self.nodes[number]
            if number in self.pairs or number in self.sums:
                with attributed(node.origin):
                    made = self._product(number, placed)
                made.node.stand_for(node)
            else:
                copied = node.copied(tuple(placed[operand].number for operand in node.inputs))
                made = Expr(target, target.copy_as_it_is(copied))
            placed[number] = made
        return [placed[output.number] for output in outputs]

    def _product(self, number: int, placed: Mapping[int, Expr]) -> Expr:
        left = Counter(self.products[number])
        parts: list[tuple[int, Expr]] = []
        for one, other in self.pairs.get(number, ()):
            left.subtract((one, other))
            parts.append((other, placed[one] * placed[other]))
        parts += [(factor, placed[factor]) for factor in left.elements()]
        if number in self.sums:
            op, one, other, _ = self.sums[number]
            parts.append((max(one, other), apply(op, placed[one], placed[other])))
        return reduce(multiply, (part for _, part in sorted(parts, key=lambda part: part[0])))

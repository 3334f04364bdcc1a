"""Less memory for more work: what was computed on the way forward is computed again on the way back.

On the way back the values of the way forward are needed in reverse order, so all of them wait. With checkpoints only
some of them do, and the values between two checkpoints are computed again when the way back comes to them (Griewank,
*Achieving logarithmic growth of temporal and spatial complexity in reverse automatic differentiation*, 1992): √n of
them keep a chain of n within about 2√n, for one more way forward. What costs next to nothing, such as a sum or a
maximum of arrays that are there, need not wait either.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from math import prod

from symbackprop import dims
from symbackprop.dims import Size
from symbackprop.errors import MemoryLimitError
from symbackprop.expr import Expr
from symbackprop.graph import Graph
from symbackprop.lower.lifetimes import peak, released
from symbackprop.lower.program import VIEWS, Program
from symbackprop.lower.schedule import Request, lower
from symbackprop.op import Op
from symbackprop.ops import add, maximum, minimum, multiply, negative, subtract

_CHEAP: frozenset[Op] = frozenset({add, subtract, multiply, negative, maximum, minimum})
_SMALL = 2**12  # bytes of what may wait anyway


def lowered_in_order(request: Request, sizes: Mapping[str, int]) -> Program:
    """Lower expressions to a program, with statements in an order in which fewer large arrays wait if there is one."""
    program = lower(request)
    if not released(program, sizes):
        return program
    way = _Way(request, sizes)
    whole = request.blocks is None
    other = lower(replace(way.request(way.forward), whole=whole)) if way.waiting else program
    return min(program, other, key=lambda each: dims.bind((peak(each, sizes),), sizes)[0])


def lowered_within(request: Request, limit: int, sizes: Mapping[str, int]) -> Program:
    """Lower expressions to a program that has no more bytes of arrays at once, beside its arguments.

    Args:
        request: what is to be lowered.
        limit: the bytes.
        sizes: numbers for all named sizes.

    Raises:
        MemoryLimitError: there is no such program, with the bytes that would do.
    """
    least = None
    for tried in _attempts(request, sizes):
        program = lower(tried)
        most = dims.bind((peak(program, sizes),), sizes)[0]
        if most <= limit:
            return program._replace(recomputed=_work(tried) - _work(request))
        least = most if least is None else min(least, most)
    msg = f"compile: {request.name} cannot do with {limit:,} bytes of arrays; {least:,} are the fewest that were found"
    raise MemoryLimitError(msg)


def _work(request: Request) -> Size:
    """Give the floating-point operations."""
    results = [*request.outputs, *request.updates.values()]
    graph = results[0].graph
    total: Size = 0
    for number in graph.reachable([expr.number for expr in results]):
        node = graph.nodes[number]
        total = node.op.cost(tuple(graph.nodes[each].shape for each in node.inputs), node.shape, node.params) + total
    return total


def _attempts(request: Request, sizes: Mapping[str, int]) -> Iterator[Request]:
    """Give the request, and others that take less memory and more work, those with little more work first."""
    yield request
    way = _Way(request, sizes)
    yield way.request(way.forward)
    yield way.request(way.without_cheap(way.forward))
    parts = 2
    while parts <= len(way.waiting):
        kept = way.checkpoints(parts)
        yield way.request(kept)
        yield way.request(way.without_cheap(kept))
        parts += max(1, parts // 3)


class _Way:
    """The way forward and back through a graph.

    Attributes:
        forward: the values that depend on no derivative.
        waiting: those of them that are large and that the way back needs.
    """

    def __init__(self, request: Request, sizes: Mapping[str, int]) -> None:
        self.given = request
        results = [*request.outputs, *request.updates.values()]
        self.graph = results[0].graph
        self.nodes = self.graph.nodes
        self.results = {expr.number for expr in results}
        self.order = self.graph.reachable(self.results)
        elements = {
            shape: prod(dims.bind(shape, sizes)) for shape in {self.nodes[number].shape for number in self.order}
        }
        self.bytes = {
            number: elements[self.nodes[number].shape] * self.nodes[number].dtype.itemsize for number in self.order
        }
        self.forward: set[int] = set()
        for number in self.order:
            node = self.nodes[number]
            if not node.inputs or (not node.backward and self.forward.issuperset(node.inputs)):
                self.forward.add(number)
        self.back = [number for number in self.order if number not in self.forward]
        needed = {operand for number in self.back for operand in self.nodes[number].inputs}
        needed &= self.forward
        self.waiting = [number for number in self.order if number in needed and self._is_large(number)]

    def _is_large(self, number: int) -> bool:
        return bool(self.nodes[number].inputs) and self.bytes[number] >= _SMALL

    def checkpoints(self, parts: int) -> set[int]:
        """Give what waits where the way forward has so many parts of like size."""
        ends = list(accumulate(self.bytes[number] for number in self.waiting))
        part = {number: end * parts // (ends[-1] + 1) for number, end in zip(self.waiting, ends, strict=True)}
        kept = {number for number in self.forward if not self._is_large(number) or number in self.results}
        at, of = 0, {}
        for number in self.order:
            if number in self.forward:
                of[number] = at = max(at, part.get(number, at))
                kept.update(operand for operand in self.nodes[number].inputs if of[operand] < at)
        kept.update(number for number in self.forward if of[number] == parts - 1)
        return kept

    def without_cheap(self, kept: Collection[int]) -> set[int]:
        """Give what is kept without what is cheap to compute from the rest."""
        left = {*kept}
        for number in self.order:
            node = self.nodes[number]
            cheap = node.op in _CHEAP or node.op in VIEWS
            if number in left and number not in self.results and cheap and left.issuperset(node.inputs):
                left.remove(number)
        return left

    def request(self, kept: Collection[int]) -> Request:
        """Give the request with the values that are not kept computed again on the way back."""
        graph = Graph(scratch=True)
        first: dict[int, int] = {}  # the copies of the way forward,
        again: dict[int, int] = {}  # of what of it is computed once more,
        back: dict[int, int] = {}  # and of the way back
        for number in self.order:
            if number in self.forward:
                node = self.nodes[number]
                first[number] = graph.add(node.copied(tuple([first[each] for each in node.inputs])))
        for number in self._backwards():
            for operand in self.nodes[number].inputs:
                if operand in self.forward and operand not in kept:
                    self._compute_again(operand, kept, graph, first, again)
            node = self.nodes[number]
            inputs = [again.get(each, first[each]) if each in first else back[each] for each in node.inputs]
            back[number] = graph.add(node.copied(tuple(inputs)))
        copies = {**first, **back}
        given = self.given
        arguments = [
            Expr(graph, copies[symbol.number] if symbol.number in copies else graph.add(symbol.node))
            for symbol in given.inputs
        ]
        symbols = dict(zip(given.inputs, arguments, strict=True))
        return replace(
            given,
            inputs=arguments,
            outputs=[Expr(graph, copies[output.number]) for output in given.outputs],
            updates={symbols[symbol]: Expr(graph, copies[value.number]) for symbol, value in given.updates.items()},
        )

    def _compute_again(
        self, wanted: int, kept: Collection[int], graph: Graph, first: Mapping[int, int], again: dict[int, int]
    ) -> None:
        """Compute a value of the way forward once more, from what is kept or has been computed again."""
        waiting = [wanted]
        while waiting:
            number = waiting[-1]
            node = self.nodes[number]
            missing = [each for each in node.inputs if each not in kept and each not in again]
            if number in again or not missing:
                waiting.pop()
            else:
                waiting += missing
                continue
            if number not in again:
                again[number] = graph.add(node.copied(tuple([again.get(each, first[each]) for each in node.inputs])))

    def _backwards(self) -> Iterator[int]:
        """Give the way back in an order in which little waits.

        It follows the longest chain. What leaves it for a result comes at once, what joins it just before it does.
        """
        inside = {*self.back}
        operands = {number: [each for each in self.nodes[number].inputs if each in inside] for number in self.back}
        users: dict[int, list[int]] = defaultdict(list)
        for number in self.back:
            for operand in dict.fromkeys(operands[number]):
                users[operand].append(number)
        height: dict[int, int] = {}
        for number in reversed(self.back):
            height[number] = 1 + max((height[user] for user in users[number]), default=0)
        starts = sorted((number for number in self.back if not operands[number]), key=height.__getitem__)
        done: set[int] = set()
        while starts:
            start = starts.pop()
            if start not in done:
                yield from self._chain(start, operands, users, height, done)
        for number in self.back:  # what else is made of values that joined a chain
            yield from _with_operands(number, operands, done)

    @staticmethod
    def _chain(
        start: int,
        operands: Mapping[int, Sequence[int]],
        users: Mapping[int, Sequence[int]],
        height: Mapping[int, int],
        done: set[int],
    ) -> Iterator[int]:
        """Give what comes of one value, each after its operands."""
        driven, waiting = {start}, [start]
        while waiting:
            new = [user for user in users.get(waiting.pop(), ()) if user not in driven and user not in done]
            driven.update(new)
            waiting += new
        missing = {number: sum(each in driven for each in {*operands[number]}) for number in driven}
        ready = [start]
        while ready:
            for number in _with_operands(ready.pop(), operands, done):
                yield number
                left = [user for user in users.get(number, ()) if number in driven and user not in done]
                for user in left:
                    missing[user] -= 1
                found = [user for user in left if not missing[user]]
                ready += sorted(found, key=height.__getitem__, reverse=True)


def _with_operands(number: int, operands: Mapping[int, Sequence[int]], done: set[int]) -> Iterator[int]:
    """Give what is not done of a value and what it is computed from, operands first."""
    waiting = [number]
    while waiting:
        needed = [each for each in operands[waiting[-1]] if each not in done]
        if needed:
            waiting += needed
        elif (last := waiting.pop()) not in done:
            done.add(last)
            yield last

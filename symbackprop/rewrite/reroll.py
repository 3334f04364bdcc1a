"""Long runs of like scalar terms become array operations: ``x[0]*x[1]*…*x[n]`` is prod(x), Σᵢ f(x[i]) is sum(f(x)).

This is what compilers call superword-level parallelism (Larsen and Amarasinghe, 2000), for formulas that were unrolled:
a sum, a product, a maximum of many scalars is taken apart, terms that differ only in which elements of an array, which
numbers or which symbols they are made of are packed, operand by operand, and what is packed is reduced at once.
Recurrences, in which each term needs the one before, stay what they are. The cost is that of the nodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import reduce
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from symbackprop.expr import Expr
from symbackprop.graph import Graph, Node, attributed
from symbackprop.op import CONSTANT, Array, Op, apply, literal
from symbackprop.ops import add, maximum, minimum, multiply, negative, power, subtract
from symbackprop.ops.index import SLICE, STACK, Run, sliced
from symbackprop.ops.layout import SQUEEZE, reshape, squeeze
from symbackprop.ops.leaf import SYMBOL
from symbackprop.ops.reduce import MAX, MIN, OTHERS, PROD, SUM
from symbackprop.rewrite.engine import Rewritten, rebuild

_LEAST = 16  # terms: fewer are computed one by one as fast
_LEAST_STACKED = 64  # terms, where scalars have to be put into an array first
_KEPT = -1  # the kind of what stays as it is
_DEEPEST = 60  # operations in operations of one term
_SMOOTH: Mapping[Op, Op] = {add: SUM, multiply: PROD}
_REDUCED: Mapping[Op, Op] = {**_SMOOTH, maximum: MAX, minimum: MIN}
_COMMUTATIVE = {add, multiply}


def rebuild_rolled(outputs: Sequence[Expr], target: Rewritten) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, long runs of like terms as arrays.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", 20)
    >>> f = sum(sb.exp(x[i]) for i in range(20))
    >>> print(rebuild_rolled([f], Rewritten())[0])
    sum(exp(x)) + 0
    """
    if not outputs:
        return []
    rolling = _Rolling(outputs, (), _REDUCED)
    if not rolling.runs:
        return rebuild(outputs, target)
    nodes = rolling.nodes

    def copy(number: int, inputs: tuple[Expr, ...]) -> Expr:
        return target.copy_on(inputs, nodes[number], number)

    return rolling.rebuilt(outputs, target, copy)


def rolled(outputs: Sequence[Expr], keep: Sequence[Expr]) -> list[Expr]:
    """Give sums and products of many like terms as those of arrays, in the same graph, for differentiation.

    Args:
        outputs: the expressions.
        keep: what stays as it is, because derivatives by it are wanted.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", 20)
    >>> f = x[0]
    >>> for i in range(1, 20):
    ...     f = f * x[i]
    >>> print(rolled([f], [x])[0])
    prod(x)
    """
    rolling = _Rolling(outputs, keep, _SMOOTH)  # of equal largest ones the first has the derivative, in max() all have
    if not rolling.runs:
        return list(outputs)
    graph, nodes = outputs[0].graph, rolling.nodes

    def copy(number: int, inputs: tuple[Expr, ...]) -> Expr:
        numbers = tuple(operand.number for operand in inputs)
        same = numbers == nodes[number].inputs
        return Expr(graph, number if same else graph.add(nodes[number].copied(numbers)))

    with graph.lock:
        return rolling.rebuilt(outputs, graph, copy)


class _Run(NamedTuple):
    """A scalar that is made of many.

    Attributes:
        op: how two of them are put together.
        packs: like terms, each pack with whether it is subtracted.
        rest: the terms that are left, likewise.
    """

    op: Op
    packs: Sequence[tuple[bool, Sequence[int]]]
    rest: Sequence[tuple[bool, int]]


class _Rolling:
    def __init__(self, outputs: Sequence[Expr], keep: Sequence[Expr], reductions: Mapping[Op, Op]) -> None:
        self.graph: Graph = outputs[0].graph
        self.nodes: Mapping[int, Node] = self.graph.nodes
        self.kept = {expr.number for expr in keep}
        self.reductions = reductions
        self.order = self.graph.reachable([expr.number for expr in outputs], known=self.kept)
        self.runs: dict[int, _Run] = {}
        self.found: dict[tuple[int, ...], set[int] | None] = {}
        self.reduction = {number: op for number in self.order if (op := self._reduction(number))}
        scalars = [*self.reduction]
        if len(scalars) < _LEAST - 1:
            return
        self.uses = Counter(operand for number in self.order for operand in self.nodes[number].inputs)
        self.uses.update([expr.number for expr in outputs])
        inner = {
            operand
            for number in scalars
            for operand in self.nodes[number].inputs
            if self.reduction.get(operand) is self.reduction[number] and self._is_inner(operand)
        }
        found = [(root, self._terms(root)) for root in scalars if root not in inner]
        long = [(root, terms) for root, terms in found if len(terms) >= _LEAST]
        if long:
            self.kind = self._kinds()
            for root, terms in long:
                self._group(root, terms)

    # --- what is packed ---------------------------------------------------------------------------------------

    def _reduction(self, number: int) -> Op | None:
        node = self.nodes[number]
        op = add if node.op is subtract else node.op
        return op if op in self.reductions and not node.shape and node.dtype.kind == "f" else None

    def _is_inner(self, number: int) -> bool:
        return self.uses[number] == 1 and number not in self.kept

    def _terms(self, root: int) -> list[tuple[bool, int]]:
        """Give the terms of a sum, or of another reduction, in order, each with whether it is subtracted."""
        op, found = self.reduction[root], []
        waiting = [(False, root)]
        while waiting:
            minus, number = waiting.pop()
            if number == root or (self.reduction.get(number) is op and self._is_inner(number)):
                node = self.nodes[number]
                left, right = node.inputs
                waiting += [(minus ^ (node.op is subtract), right), (minus, left)]
            else:
                found.append((minus, number))
        return found

    def _kinds(self) -> dict[int, int]:
        """Number how scalars are made; those that differ in elements, numbers and symbols alone have one number."""
        known: dict[object, int] = {}
        kind: dict[int, int] = {}
        for number in self.order:
            node = self.nodes[number]
            if node.shape:
                continue
            if node.op in {CONSTANT, SYMBOL}:
                key: object = (node.op, node.dtype)
            elif (place := self._element(number)) is not None:
                key = (SLICE, place[0])
            elif node.op.elementwise:
                key = (node.op, tuple(node.params.items()), node.dtype, *self._operands(number, kind))
            else:
                key = number
            kind[number] = known.setdefault(key, len(known))
        return kind

    def _operands(self, number: int, kind: Mapping[int, int]) -> list[int]:
        inputs = [kind.get(operand, _KEPT) for operand in self.nodes[number].inputs]
        return sorted(inputs) if self.nodes[number].op in _COMMUTATIVE else inputs

    def _element(self, number: int) -> tuple[int, tuple[int, ...]] | None:
        """Give the array and the index where this is an element."""
        node = self.nodes[number]
        if node.op is not SQUEEZE or node.shape or self.nodes[node.inputs[0]].op is not SLICE:
            return None
        cut = self.nodes[node.inputs[0]]
        index = tuple(run.start for run in cut.params["runs"])
        whole = len(index) == len(self.nodes[cut.inputs[0]].shape) and all(isinstance(at, int) for at in index)
        return (cut.inputs[0], index) if whole and node.inputs[0] not in self.kept else None

    def _group(self, root: int, terms: Sequence[tuple[bool, int]]) -> None:
        groups: dict[tuple[bool, int], list[int]] = {}
        for minus, number in terms:
            groups.setdefault((minus, self.kind.get(number, _KEPT)), []).append(number)
        packs: list[tuple[bool, list[int]]] = []
        packed: set[int] = set()
        for (minus, _), lanes in groups.items():
            starts = self._starts(lanes, 0) if len(lanes) >= _LEAST else None
            if starts is None or len({*lanes}) < len(lanes):
                continue
            for start, end in pairwise([*sorted(starts | {0}), len(lanes)]):
                if end - start >= (_LEAST_STACKED if self._stacks(lanes[start:end]) else _LEAST):
                    packs.append((minus, lanes[start:end]))
                    packed.update(lanes[start:end])
        if packs:
            rest = [(minus, number) for minus, number in terms if number not in packed]
            self.runs[root] = _Run(self.reduction[root], packs, rest)

    def _starts(self, lanes: Sequence[int], depth: int) -> set[int] | None:
        """Give where scalars of one kind must be parted, so that the parts make arrays; None where they cannot."""
        key = tuple(lanes)
        if key not in self.found:
            self.found[key] = self._parted(lanes, depth)
        return self.found[key]

    def _parted(self, lanes: Sequence[int], depth: int) -> set[int] | None:
        first = self.nodes[lanes[0]]
        if len({*lanes}) == 1 or lanes[0] in self.kept or first.op in {CONSTANT, SYMBOL}:
            return set()
        if self._element(lanes[0]) is not None:
            return self._runs_of_elements(lanes)
        if depth == _DEEPEST or not first.op.elementwise:
            return None
        starts: set[int] = set()
        for column in self._columns(lanes):
            found = self._starts(column, depth + 1)
            if found is None:
                return None
            starts |= found
        return starts

    def _stacks(self, lanes: Sequence[int]) -> bool:
        """Tell whether scalars have to be put into an array for that."""
        waiting, seen = [tuple(lanes)], {tuple(lanes)}
        while waiting:
            column = waiting.pop()
            if len({*column}) == 1 or self._element(column[0]) is not None:
                continue
            if column[0] in self.kept or self.nodes[column[0]].op is SYMBOL:
                return True
            new = {tuple(each) for each in self._columns(column)} - seen
            seen |= new
            waiting += new
        return False

    def _columns(self, lanes: Sequence[int]) -> list[list[int]]:
        """Give the operands of scalars of one kind, position by position."""
        rows = [self.nodes[number].inputs for number in lanes]
        if self.nodes[lanes[0]].op in _COMMUTATIVE:
            rows = [tuple(sorted(row, key=lambda operand: self.kind.get(operand, _KEPT))) for row in rows]
        return [list(column) for column in zip(*rows, strict=True)]

    def _places(self, lanes: Sequence[int]) -> tuple[int, Array]:
        places = [place for place in map(self._element, lanes) if place is not None]
        return places[0][0], np.array([index for _, index in places])

    def _flat(self, base: int, index: Array) -> Array | None:
        """Number the elements of an array through, if its sizes are known."""
        shape = self.nodes[base].shape
        sizes = [size for size in shape if isinstance(size, int)]
        return np.ravel_multi_index(tuple(index.T), sizes)[:, None] if len(sizes) == len(shape) > 1 else None

    def _runs_of_elements(self, lanes: Sequence[int]) -> set[int]:
        base, index = self._places(lanes)
        starts = _turns(index)
        flat = self._flat(base, index)
        return _turns(flat) if flat is not None and starts else starts

    # --- what is made -----------------------------------------------------------------------------------------

    def rebuilt(
        self, outputs: Sequence[Expr], target: Graph, copy: Callable[[int, tuple[Expr, ...]], Expr]
    ) -> list[Expr]:
        """Give the outputs with arrays in the place of runs; `copy` puts a node on other operands."""
        self.target = target
        self.placed: dict[int, Expr] = {number: Expr(target, number) for number in self.kept}
        live = self._live(output.number for output in outputs)
        others = {self.nodes[n].inputs[0] for n in live if self.nodes[n].op is OTHERS and len(self.nodes[n].shape) == 1}
        for number in (number for number in self.order if number in live):
            node = self.nodes[number]
            run = self.runs.get(number)
            if run is None:
                self.placed[number] = copy(number, tuple(self.placed[operand] for operand in node.inputs))
                continue
            with attributed(node.origin):
                made = self._reduced(run, {self.placed[n].number for n in others if n in self.placed})
            made.node.stand_for(node)
            self.placed[number] = made
        return [self.placed[output.number] for output in outputs]

    def _live(self, outputs: Iterable[int]) -> set[int]:
        """Give the nodes that are still needed."""
        live = {*outputs}
        for number in reversed(self.order):
            if number in live:
                run = self.runs.get(number)
                if run is None:
                    live.update(self.nodes[number].inputs)
                else:
                    live.update(term for _, term in run.rest)
                    for _, lanes in run.packs:
                        self._need(lanes, live)
        return live - self.kept

    def _need(self, lanes: Sequence[int], live: set[int]) -> None:
        waiting, seen = [tuple(lanes)], {tuple(lanes)}
        while waiting:
            column = waiting.pop()
            if len({*column}) == 1 or column[0] in self.kept or self.nodes[column[0]].op is SYMBOL:
                live.update(column)
            elif (place := self._element(column[0])) is not None:
                live.add(place[0])
            else:
                new = {tuple(each) for each in self._columns(column)} - seen
                seen |= new
                waiting += new

    def _reduced(self, run: _Run, others: Collection[int]) -> Expr:
        """Reduce the packs, and put the terms that are left to them."""
        sums: tuple[list[Expr], list[Expr]] = ([], [])
        for minus, lanes in run.packs:
            array = self._array(lanes, {})
            if not array.shape:  # one value, though it was written for each term anew
                sums[minus].append(_repeated(run.op, array, len(lanes)))
            elif run.op is multiply and array.number in others:  # the last factor, and the product of the others
                rest = apply(OTHERS, array, axis=-1)
                sums[minus].append(rest[len(lanes) - 1] * array[len(lanes) - 1])
            else:
                sums[minus].append(apply(self.reductions[run.op], array, axes=(-1,), keepdims=False))
        for minus, number in run.rest:
            sums[minus].append(self.placed[number])
        plus, less = sums
        if not less:
            return reduce(run.op, plus)
        return reduce(add, plus) - reduce(add, less) if plus else negative(reduce(add, less))

    def _array(self, lanes: Sequence[int], made: dict[tuple[int, ...], Expr]) -> Expr:
        """Give scalars of one kind as an array, or as one scalar where they are one."""
        key = tuple(lanes)
        if key not in made:
            first = self.nodes[lanes[0]]
            if len({*lanes}) == 1:
                made[key] = self.placed[lanes[0]]
            elif lanes[0] in self.kept or first.op is SYMBOL:
                made[key] = apply(STACK, *[self.placed[number] for number in lanes], axis=-1)
            elif first.op is CONSTANT:
                made[key] = self._numbers(lanes)
            elif self._element(lanes[0]) is not None:
                made[key] = self._cut(lanes)
            else:
                operands = [self._array(column, made) for column in self._columns(lanes)]
                made[key] = apply(first.op, *operands, **first.params)
        return made[key]

    def _numbers(self, lanes: Sequence[int]) -> Expr:
        values = np.array([self.nodes[number].params["value"].array for number in lanes])
        same = values.tobytes() == values[:1].tobytes() * len(values)
        return literal(values[0] if same else values, graph=self.target)

    def _cut(self, lanes: Sequence[int]) -> Expr:
        """Give the slice that has these elements."""
        base, index = self._places(lanes)
        array = self.placed[base]
        flat = self._flat(base, index) if _turns(index) else None
        if flat is not None:
            array, index = reshape(array, -1), flat
        step = index[1] - index[0]
        runs = tuple(
            Run(int(start), len(lanes), int(by)) if by else Run(int(start), 1, 1)
            for start, by in zip(index[0], step, strict=True)
        )
        cut = sliced(array, runs)
        return squeeze(cut, [axis for axis, by in enumerate(step) if not by])


def _repeated(op: Op, value: Expr, times: int) -> Expr:
    return value * times if op is add else power(value, times) if op is multiply else value


def _turns(index: Array) -> set[int]:
    """Give where indices, one a row, must be parted, so that in each part one axis moves at most, by equal steps."""
    starts: set[int] = set()
    start = 0
    steps = np.diff(index, axis=0)
    bent = np.count_nonzero(steps, axis=1) > 1
    other = np.any(steps[1:] != steps[:-1], axis=1)
    for at in 1 + np.flatnonzero(bent | np.concatenate([[False], other])):
        if bent[at - 1] or (at - start > 1 and np.any(steps[at - 1] != steps[start])):
            starts.add(int(at))
            start = int(at)
    return starts

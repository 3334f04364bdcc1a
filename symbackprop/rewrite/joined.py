"""The pass that joins what is computed piece by piece: one product of long matrices for a sum of many short ones.

Unrolled networks are full of it: ``Σₜ Xₜᵀ Zₜ`` is ``XᵀZ`` of all steps at once, the products ``Xₜ W`` of all steps are
the slices of one, and the gradients of slices of an array are put together to the gradient of the array.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import reduce
from itertools import pairwise
from typing import NamedTuple

from symbackprop import dims
from symbackprop.dims import Shape, Size
from symbackprop.expr import Expr
from symbackprop.graph import Node, attributed
from symbackprop.op import apply, literal
from symbackprop.ops import add, broadcast_to, concatenate, matmul, reshape
from symbackprop.ops.index import CONCATENATE, SLICE, UNSLICE, Run, are_whole
from symbackprop.ops.layout import SQUEEZE, TRANSPOSE, matrix_transpose
from symbackprop.ops.reduce import SUM
from symbackprop.rewrite.engine import Rewritten, rebuild

_LEAST = 4  # products, or sums, that are worth being joined


class _Element(NamedTuple):
    """One matrix of a stack of them: ``x[at]``."""

    stack: int
    at: int


def rebuild_joined(outputs: Sequence[Expr], target: Rewritten) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, with pieces of one product or array joined."""
    if not outputs:
        return []
    graph = outputs[0].graph
    results = [output.number for output in outputs]
    order = graph.reachable(results)
    joining = _Joining(graph.nodes, order, results, target)
    if not joining.sums and not joining.products:
        return rebuild(outputs, target)
    for number in order:
        joining.place(number)
    return [joining.placed[number] for number in results]


class _Piece(NamedTuple):
    """An array, and the elements of an axis that it is to be."""

    start: Size
    end: Size
    array: Expr


class _Joining:
    def __init__(
        self, nodes: Mapping[int, Node], order: Sequence[int], results: Collection[int], target: Rewritten
    ) -> None:
        self.nodes, self.target = nodes, target
        self.placed: dict[int, Expr] = {}
        self.inside: set[int] = set()  # sums that are parts of larger ones
        self.sums = self._sums(order, results)
        self.products = self._products(order)
        self.whole: dict[tuple[int, int], Expr] = {}

    # --- what is joined ---------------------------------------------------------------------------------------

    def _sums(self, order: Iterable[int], results: Collection[int]) -> dict[int, list[int]]:
        """Give the terms of sums that have pieces to be joined."""
        uses = Counter(operand for number in order for operand in self.nodes[number].inputs)
        uses.update(results)
        terms: dict[int, list[int]] = {}
        parts: dict[int, list[int]] = {}
        for number in order:
            node = self.nodes[number]
            if node.op is add:
                parts[number] = [
                    operand
                    for operand in dict.fromkeys(node.inputs)
                    if operand in terms
                    and uses[operand] == 1
                    and self.nodes[operand].shape == node.shape
                    and not self.nodes[operand].label
                ]
                lists = sorted([terms.pop(operand) for operand in parts[number]], key=len)
                found = lists.pop() if lists else []  # the longest grows, so that all of this is linear
                found += [operand for each in lists for operand in each]
                found += [operand for operand in node.inputs if operand not in parts[number]]
                terms[number] = found
        worth = {number: found for number, found in terms.items() if self._is_worth_it(found)}
        waiting = [part for number in worth for part in parts[number]]
        while waiting:
            part = waiting.pop()
            self.inside.add(part)
            waiting += parts[part]
        return worth

    def _is_worth_it(self, terms: Sequence[int]) -> bool:
        puts = sum(self.nodes[number].op is UNSLICE for number in terms)
        others = Counter(self._kind(number) for number in terms)
        del others[None]
        return puts > 1 or max(others.values(), default=0) >= _LEAST

    def _kind(self, number: int) -> object:
        """Give the same for terms that can be joined: products of matrices, or sums over the rows of matrices."""
        node = self.nodes[number]
        shapes = tuple(self.nodes[operand].shape for operand in node.inputs)
        if node.op is matmul and len(shapes[0]) == len(shapes[1]) == 2:
            return (matmul, shapes, node.dtype)
        if node.op is SUM and len(shapes[0]) == 2 and node.params["axes"] == (-2,) and not node.params["keepdims"]:
            return (SUM, shapes, node.dtype)
        return None

    def _element(self, number: int) -> _Element | None:
        """Read one matrix of a stack."""
        node = self.nodes[number]
        if node.op is not SQUEEZE or node.params["axes"] != (-3,):
            return None
        cut = self.nodes[node.inputs[0]]
        if cut.op is not SLICE or len(cut.shape) != 3 or len(cut.params["runs"]) != 3:
            return None
        first, *others = cut.params["runs"]
        stack = self.nodes[cut.inputs[0]].shape
        whole = are_whole(others, stack)
        return _Element(cut.inputs[0], first.start) if whole and isinstance(first.start, int) else None

    def _products(self, order: Iterable[int]) -> dict[int, tuple[tuple[int, int], int, int]]:
        """Give for products of matrices of a stack with one matrix: which, the place in the stack, and how many."""
        found: dict[tuple[int, int], dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for number in order:
            node = self.nodes[number]
            if node.op is matmul and len(self.nodes[node.inputs[1]].shape) == 2:
                element = self._element(node.inputs[0])
                if element is not None:
                    found[element.stack, node.inputs[1]][element.at].append(number)
        return {
            number: (key, at, len(places))
            for key, places in found.items()
            if len(places) >= _LEAST and sorted(places) == list(range(self._length(key[0]) or -1))
            for at, numbers in places.items()
            for number in numbers
        }

    def _length(self, stack: int) -> int | None:
        size = self.nodes[stack].shape[0]
        return size if isinstance(size, int) else None

    # --- the copy ---------------------------------------------------------------------------------------------

    def place(self, number: int) -> None:
        """Copy a node whose operands have been copied."""
        if number in self.inside:
            return
        node = self.nodes[number]
        with attributed(node.origin):
            if number in self.products:
                found = self._product(number)
            elif number in self.sums:
                found = self._sum(self.sums[number])
            else:
                found = None
        if found is None:
            found = self.target.copy_on([self.placed[operand] for operand in node.inputs], node, number)
        else:
            found.node.stand_for(node)
        self.placed[number] = found

    def _product(self, number: int) -> Expr:
        key, at, count = self.products[number]
        if key not in self.whole:
            stack, matrix = (self.placed[each] for each in key)
            rows = dims.product(stack.shape[:2])
            flat = matmul(reshape(stack, (rows, stack.shape[2])), matrix)
            self.whole[key] = reshape(flat, (count, stack.shape[1], matrix.shape[1]))
        return self.whole[key][at]

    def _sum(self, terms: Sequence[int]) -> Expr:
        groups: dict[object, list[int]] = defaultdict(list)
        rest: list[Expr] = []
        puts: list[int] = []
        for number in terms:
            if self.nodes[number].op is UNSLICE:
                puts.append(number)
            else:
                groups[self._kind(number)].append(number)
        for kind, numbers in groups.items():
            if kind is None or len(numbers) < _LEAST:
                rest += [self.placed[number] for number in numbers]
            else:
                rest.append(self._joined(numbers))
        return reduce(add, [*rest, *self._put_together(puts)])

    def _joined(self, numbers: Sequence[int]) -> Expr:
        """Join products, or sums over rows."""
        numbers = sorted(numbers, key=lambda number: self.nodes[number].inputs[-1], reverse=True)
        last = self._stacked([self.nodes[number].inputs[-1] for number in numbers])
        if self.nodes[numbers[0]].op is SUM:
            return apply(SUM, last, axes=(-2,), keepdims=False)
        left = [self.nodes[number].inputs[0] for number in numbers]
        if all(self.nodes[number].op is TRANSPOSE for number in left):
            return matmul(matrix_transpose(self._stacked([self.nodes[number].inputs[0] for number in left])), last)
        return matmul(concatenate([self.placed[number] for number in left], axis=1), last)

    def _stacked(self, numbers: Sequence[int]) -> Expr:
        """Give matrices below each other; those of a stack are that already."""
        elements = [self._element(number) for number in numbers]
        first = elements[0]
        length = None if first is None else self._length(first.stack)
        if first is not None and length and elements == [_Element(first.stack, at) for at in range(length)]:
            stack = self.placed[first.stack]
            return reshape(stack, (dims.product(stack.shape[:2]), stack.shape[2]))
        return concatenate([self.placed[number] for number in numbers], axis=0)

    def _put_together(self, numbers: Sequence[int]) -> list[Expr]:
        """Join arrays that are put side by side among zeros."""
        lines: dict[tuple[int, Shape], dict[Size, tuple[Run, Expr]]] = defaultdict(dict)
        alone: list[Expr] = []
        for number in numbers:
            node = self.nodes[number]
            runs, into = node.params["runs"], node.params["into"]
            cut = [at for at, (run, size) in enumerate(zip(runs, into, strict=True)) if run != (0, size, 1)]
            alike = len(cut) == 1 and runs[cut[0]].step == 1 and runs[cut[0]].length != 0
            line = lines[(cut[0], into)] if alike else None
            if line is None or runs[cut[0]].start in line:
                alone.append(self.placed[number])
            else:
                line[runs[cut[0]].start] = (runs[cut[0]], self.placed[node.inputs[0]])
        for (axis, into), line in lines.items():
            ends = {run.start + run.length for run, _ in line.values()}
            starts = [start for start in line if start not in ends]
            alone += _among_zeros([self._in_line(start, line, axis, into) for start in starts], axis, into)
        return alone

    def _in_line(self, start: Size, line: dict[Size, tuple[Run, Expr]], axis: int, into: Shape) -> _Piece:
        pieces = []
        end = start
        while end in line:
            run, piece = line.pop(end)
            pieces.append(piece)
            end = run.start + run.length
        return _Piece(start, end, _side_by_side(pieces, axis, into))


def _among_zeros(pieces: Sequence[_Piece], axis: int, into: Shape) -> list[Expr]:
    """Give arrays of the whole shape that the pieces are put into: one for all, where it is known that they fit."""
    size, places = into[axis], sorted([piece for piece in pieces if isinstance(piece.start, int)], key=_start)
    apart = all(isinstance(one.end, int) and one.end <= _start(other) for one, other in pairwise(places))
    if len(places) < len(pieces) or len(pieces) == 1 or not apart or not isinstance(size, int):
        return [_put(piece, axis, into) for piece in pieces]
    found: list[Expr] = []
    end: Size = 0
    for start, stop, array in places:
        found += [_zeros(array, axis, into, start - end), array] if start != end else [array]
        end = stop
    found += [_zeros(found[0], axis, into, size - end)] if end != size else []
    return [_side_by_side(found, axis, into)]


def _start(piece: _Piece) -> int:
    return piece.start if isinstance(piece.start, int) else 0


def _put(piece: _Piece, axis: int, into: Shape) -> Expr:
    start, end, array = piece
    if start == 0 and end == into[axis]:
        return array
    runs = tuple(Run(start, end - start, 1) if at == axis else Run(0, size, 1) for at, size in enumerate(into))
    return apply(UNSLICE, array, runs=runs, into=into)


def _zeros(like: Expr, axis: int, into: Shape, length: Size) -> Expr:
    at = like.ndim - len(into) + axis
    return broadcast_to(literal(0, like.dtype, graph=like.graph), (*like.shape[:at], length, *like.shape[at + 1 :]))


def _side_by_side(pieces: Sequence[Expr], axis: int, into: Shape) -> Expr:
    if len(pieces) == 1:
        return pieces[0]
    axis -= len(into)
    parts = [piece.inputs if piece.op is CONCATENATE and piece.params["axis"] == axis else [piece] for piece in pieces]
    return concatenate([each for part in parts for each in part], axis=axis)

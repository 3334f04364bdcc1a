"""The pass that computes at once what is alike and lies side by side.

A call of NumPy costs as much as its work on a thousand elements. The gates of a recurrent network are functions of
pieces of one array: ``σ(z[:, :H])`` and ``σ(z[:, H:2*H])`` are pieces of ``σ(z[:, :2*H])``, and so are their
derivatives.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import NamedTuple

from symbackprop import dims
from symbackprop.dims import Shape, Size
from symbackprop.expr import Expr
from symbackprop.graph import Node, attributed
from symbackprop.op import apply
from symbackprop.ops.index import SLICE, Run
from symbackprop.rewrite.engine import Rewritten
from symbackprop.rewrite.order import number as size_in
from symbackprop.rewrite.reorder import Ordering

_MOST = 2**16  # elements up to which calls count
_ROW = 16  # elements that rows of pieces have at least: NumPy starts a loop for each


class _Family(NamedTuple):
    """What is computed alike from pieces of the same arrays.

    Attributes:
        axis: the axis that is cut, from the right.
        array: the array that is cut, if these are its pieces themselves.
        operands: else, for each operand a family or a node that is the same for all.
        members: the pieces by their starts: their lengths, and the nodes.
    """

    axis: int
    array: int | None
    operands: tuple[_Family | int, ...]
    members: dict[Size, tuple[Size, int]]


class _Chain(NamedTuple):
    """Pieces of a family that lie side by side."""

    family: _Family
    start: Size
    length: Size


def rebuild_batched(outputs: Sequence[Expr], target: Rewritten, ordering: Ordering) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, functions of pieces of one array computed at once."""
    if not outputs:
        return []
    graph = outputs[0].graph
    results = [output.number for output in outputs]
    order = graph.reachable(results)
    pieces = _Pieces(graph.nodes, order, results, ordering)
    if not pieces.chains:
        return list(outputs)
    placed: dict[int, Expr] = {}
    settled: set[int] = set()
    for number in order:
        node = graph.nodes[number]
        if number in pieces.chains:
            with attributed(node.origin):
                placed[number] = found = pieces.placed(number, placed)
            found.node.stand_for(node)
            continue
        copy = node.copied(tuple([placed[operand].number for operand in node.inputs]))
        calm = settled.issuperset(node.inputs)
        placed[number] = found = Expr(target, target.copy_in(copy, number, settled=calm))
        if calm and found.node is copy:
            settled.add(number)
    return [placed[number] for number in results]


class _Pieces:
    """Functions of pieces of arrays.

    Attributes:
        chains: for each node that is computed with others, what it is computed with.
    """

    def __init__(
        self, nodes: Mapping[int, Node], order: Sequence[int], results: Collection[int], ordering: Ordering
    ) -> None:
        self.nodes, self.ordering = nodes, ordering
        self.chains: dict[int, _Chain] = {}
        self._pieces: dict[int, tuple[_Family, Run]] = {}
        self._families: dict[Hashable, _Family] = {}
        self._joined: dict[tuple[int, Size], Expr] = {}
        bare = {*results}
        for number in order:
            node = nodes[number]
            if node.op is SLICE:
                self._cut(number, node)
            elif self._pieces and node.op.elementwise and number not in bare:
                self._computed(number, node)
        for family in self._families.values():
            if family.array is None and len(family.members) > 1:
                self._chain(family)

    # --- what is joined ---------------------------------------------------------------------------------------

    def _cut(self, number: int, node: Node) -> None:
        (array,) = node.inputs
        runs, shape = node.params["runs"], self.nodes[array].shape
        cut = [at for at in range(-len(runs), 0) if runs[at] != (0, shape[at], 1)]
        if len(cut) == 1 and runs[cut[0]].step == 1:
            (axis,) = cut
            self._add((array, axis), _Family(axis, array, (), {}), runs[axis], number)

    def _add(self, key: Hashable, new: _Family, run: Run, number: int) -> None:
        family = self._families.setdefault(key, new)
        if family.members.setdefault(run.start, (run.length, number)) == (run.length, number):
            self._pieces[number] = (family, run)

    def _computed(self, number: int, node: Node) -> None:
        """Read a node that is computed from pieces cut alike, and from what does not change along the axis."""
        found = [self._pieces.get(operand) for operand in node.inputs]
        first = next((piece for piece in found if piece is not None), None)
        if first is None:
            return
        axis, run = first[0].axis, first[1]
        operands: list[_Family | int] = []
        for operand, piece in zip(node.inputs, found, strict=True):
            shape = self.nodes[operand].shape
            if piece is not None and piece[1] == run and piece[0].axis == axis and shape == node.shape:
                operands.append(piece[0])
            elif len(shape) < -axis or shape[axis] == 1:
                operands.append(operand)
            else:
                return
        names = [each if isinstance(each, int) else (id(each),) for each in operands]
        self._add((node.op, axis, *names, *node.params.items()), _Family(axis, None, tuple(operands), {}), run, number)

    def _chain(self, family: _Family) -> None:
        """Find members that lie side by side."""
        members = family.members
        ends = {start + length for start, (length, _) in members.items()}
        for first in [start for start in members if start not in ends]:
            inside: list[int] = []
            end = first
            while end in members and len(inside) < len(members):
                length, number = members[end]
                inside.append(number)
                end = end + length
            chain = _Chain(family, first, end - first)
            if len(inside) > 1 and self._is_worth_it(chain, inside):
                self.chains.update(dict.fromkeys(inside, chain))

    def _is_worth_it(self, chain: _Chain, inside: Sequence[int]) -> bool:
        shape, axis = self.nodes[inside[0]].shape, chain.family.axis
        if axis == -1 and any(size_in(self.nodes[each].shape[-1], self.ordering.sizes) < _ROW for each in inside):
            return False
        return self.ordering.is_small(dims.product(_lengthened(shape, axis, chain.length)), _MOST)

    # --- the copy ---------------------------------------------------------------------------------------------

    def placed(self, number: int, placed: Mapping[int, Expr]) -> Expr:
        """Give a node as a piece of what is computed at once."""
        chain = self.chains[number]
        key = (id(chain.family), chain.start)
        if key not in self._joined:
            node = self.nodes[number]
            operands = [
                placed[each] if isinstance(each, int) else self._range(each, chain, placed)
                for each in chain.family.operands
            ]
            self._joined[key] = apply(node.op, *operands, **node.params)
        _, run = self._pieces[number]
        return _taken(self._joined[key], chain.family.axis, run.start - chain.start, run.length)

    def _range(self, family: _Family, chain: _Chain, placed: Mapping[int, Expr]) -> Expr:
        """Give the pieces of a family that a chain is computed from, as one array."""
        if family.array is not None:
            return _taken(placed[family.array], family.axis, chain.start, chain.length)
        whole = self.chains[family.members[chain.start][1]]
        joined = self._joined[id(family), whole.start]
        return _taken(joined, family.axis, chain.start - whole.start, chain.length)


def _lengthened(shape: Shape, axis: int, length: Size) -> Shape:
    at = len(shape) + axis
    return (*shape[:at], length, *shape[at + 1 :])


def _taken(array: Expr, axis: int, start: Size, length: Size) -> Expr:
    runs = [Run(0, size, 1) for size in array.shape[array.ndim + axis :]]
    if runs[0] == (start, length, 1):
        return array
    runs[0] = Run(start, length, 1)
    return apply(SLICE, array, runs=tuple(runs))

"""Which values are computed in blocks of rows, so that what lies between whole arrays stays in the cache.

Along an axis that operations carry from operand to result, row by row, a value can be computed for some rows at a time;
what sums over the axis is added up. All values between which no whole array is needed make one `Unit`. It is worth it
where the arrays are larger than the cache: blocks are read and written there, and whole intermediate arrays never are.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from symbackprop import dims
from symbackprop.graph import Node
from symbackprop.lower.program import LEAVES, LIGHT
from symbackprop.ops import matmul
from symbackprop.ops.contract import EINSUM
from symbackprop.ops.layout import EXPAND_DIMS, RESHAPE, SQUEEZE, TRANSPOSE
from symbackprop.rewrite.carried import SUMS, Carry, carried

_VIEWS = frozenset({TRANSPOSE, EXPAND_DIMS, SQUEEZE, RESHAPE})
_OUTSIDE = LEAVES | LIGHT  # what is not computed in blocks

_CACHE = 2**19  # bytes that the arrays of a block may take: half of a usual second-level cache
_CALL = 2 * 10**5  # bytes that NumPy moves in twenty times what the call of a function takes,
_ADDED = 64  # times the bytes of what is added up after each block that the block should have,
_MOST = 8  # times the cache that a block may take for that: it stays in the next one
_PRODUCT = 256  # rows that a product of matrices wants at least
_WORTH = 2**22  # bytes that need not be written or read any more: so many make a unit worth its overhead,
_SHARE = 0.4  # if they are this share of all
_LARGE = 2**19  # bytes of an array that has no place in the second-level cache with others


@dataclass
class Unit:
    """Values that are computed together in blocks.

    Attributes:
        members: the values that are computed row by row.
        sums: the values that are sums over all rows.
        stored: the members that are needed whole.
        cut: the whole arrays of which rows are read.
        axes: for each member the axis along which it is computed.
        rows: how many rows a block has.
        saved: the bytes that need not be written or read.
    """

    members: list[int] = field(default_factory=list)
    sums: list[int] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    axes: dict[int, int] = field(default_factory=dict)
    rows: int = 0
    saved: int = 0


class _Classes:
    """Classes of equal things."""

    def __init__(self) -> None:
        self._parent: dict[Hashable, Hashable] = {}

    def root(self, thing: Hashable) -> Hashable:
        """Give the thing that stands for the class."""
        parent = self._parent
        while (above := parent.get(thing, thing)) != thing:
            parent[thing] = thing = parent.get(above, above)
        return thing

    def join(self, one: Hashable, other: Hashable) -> None:
        """Let two things be equal."""
        self._parent[self.root(one)] = self.root(other)


class Blocks:
    """The units of a graph.

    Attributes:
        units: the units.
        of: for each member and each sum its unit.
    """

    def __init__(
        self,
        nodes: Mapping[int, Node],
        order: Sequence[int],
        *,
        whole: Collection[int],
        outside: Collection[int],
        sizes: Mapping[str, int],
    ) -> None:
        """Find the units.

        Args:
            nodes: the graph.
            order: the numbers of its nodes, operands first.
            whole: the nodes that are needed whole.
            outside: nodes that are not computed in blocks.
            sizes: numbers for all named sizes.
        """
        self.nodes, self.order = nodes, order
        self.whole = set(whole)
        self.sizes = sizes
        self.units: list[Unit] = []
        self.of: dict[int, int] = {}
        bound = {shape: dims.bind(shape, sizes) for shape in {nodes[number].shape for number in order}}
        self.shapes = {number: bound[nodes[number].shape] for number in order}
        self.bytes = {number: prod(self.shapes[number]) * nodes[number].dtype.itemsize for number in order}
        outside = {*outside}
        able = [number for number in order if nodes[number].op not in _OUTSIDE and number not in outside]
        if not any(self.bytes[number] >= _LARGE for number in able):
            return
        self.carries = self._carries()
        self.axes = self._axes()
        self.users = self._users()
        can = self._rows(able)
        self.label: dict[int, Hashable] = {}
        tried: list[dict[int, Hashable]] = []
        best = -1
        for score in (self._by_place(), self._by_reach(can)):
            self.label = self._chosen(can, score)
            if self.label in tried:
                continue
            tried.append(dict(self.label))
            self.levels = self._levels()
            units = [unit for unit in self._gathered() if self._finish(unit)]
            saved = sum(unit.saved for unit in units)
            if saved > best:
                best, self.units = saved, units
        self.of = {number: at for at, unit in enumerate(self.units) for number in (*unit.members, *unit.sums)}

    def base(self, number: int) -> int:
        """Give the value of which a view is written where it is used."""
        while self.is_view(number):
            (number,) = self.nodes[number].inputs
        return number

    def is_view(self, number: int) -> bool:
        """Tell whether a value is a view that is written where it is used."""
        node = self.nodes[number]
        return node.op in LIGHT and not node.label and number not in self.whole

    def operands(self, number: int) -> Iterator[int]:
        """Give the values that a value is computed from, looking through views."""
        return map(self.base, self.nodes[number].inputs)

    def _users(self) -> Mapping[int, Sequence[int]]:
        users: dict[int, list[int]] = defaultdict(list)
        for number in self.order:
            if not self.is_view(number):
                for operand in self.operands(number):
                    users[operand].append(number)
        return users

    # --- which axis -------------------------------------------------------------------------------------------

    def _carries(self) -> Mapping[int, Sequence[Carry]]:
        """Give what `carried` says of each value; of operations that are like one another it is asked once."""
        known: dict[object, Sequence[Carry]] = {}
        found = {}
        for number in self.order:
            node = self.nodes[number]
            shapes = [self.nodes[operand].shape for operand in node.inputs]
            key = (node.op, node.shape, *shapes, *node.params.items())
            if key not in known:
                known[key] = [*carried(node, shapes)]
            found[number] = known[key]
        return found

    def _axes(self) -> dict[int, list[Hashable]]:
        """Give for each axis of each value a label: the same for axes that operations carry into each other."""
        classes = _Classes()
        for number in self.order:
            inputs = self.nodes[number].inputs
            summed = []
            for operand, axis, at in self.carries[number]:
                if at is not None:
                    classes.join((inputs[operand], axis), (number, at))
                else:
                    summed.append((inputs[operand], axis))
            if self.nodes[number].op is matmul:
                classes.join(*summed)
            elif self.nodes[number].op is EINSUM:
                self._join_summed(number, classes)
        return {
            number: [classes.root((number, axis)) for axis in range(len(self.nodes[number].shape))]
            for number in self.order
        }

    def _join_summed(self, number: int, classes: _Classes) -> None:
        """Let axes with one label of an einsum be the same, if it is summed over."""
        node = self.nodes[number]
        first: dict[str, Hashable] = {}
        terms = node.params["subscripts"].partition("->")[0].split(",")
        for operand, axis, at in self.carries[number]:
            if at is None:
                place = (node.inputs[operand], axis)
                classes.join(first.setdefault(terms[operand][axis], place), place)

    def _rows(self, able: Sequence[int]) -> dict[int, list[Hashable]]:
        """Give for each of some values that can be computed in blocks the axes along which it can."""
        can: dict[int, list[Hashable]] = {}
        for number in able:
            axes = self.axes[number]
            rows = [
                label
                for label, extent in zip(axes, self.shapes[number], strict=True)
                if extent != 1 and axes.count(label) == 1 and self._by_rows(number, label)
            ]
            if rows:
                can[number] = rows
        return can

    def _by_place(self) -> Mapping[Hashable, int]:
        """Rate axes by the bytes of the values in which they are the first one."""
        score: dict[Hashable, int] = defaultdict(int)
        for number in self.order:
            if self.nodes[number].op not in _VIEWS:
                for at, label in enumerate(self.axes[number]):
                    score[label] += self.bytes[number] * (1 if not at else -1)
        return score

    def _by_reach(self, can: Mapping[int, Sequence[Hashable]]) -> Mapping[Hashable, int]:
        """Rate axes by the bytes of the values that can be computed in blocks along them."""
        score: dict[Hashable, int] = defaultdict(int)
        for number, labels in can.items():
            for label in labels:
                score[label] += self.bytes[number]
        return score

    def _chosen(self, can: Mapping[int, Sequence[Hashable]], score: Mapping[Hashable, int]) -> dict[int, Hashable]:
        """Give for each value that can be computed in blocks the axis along which it is."""
        chosen = {}
        for number, labels in can.items():
            best = max(labels, key=lambda label: (score[label], -self.axes[number].index(label)))
            if all(score[best] > score[label] for label in self._summed(number)):
                chosen[number] = best
        between = {number: label for number, label in chosen.items() if number not in self.whole}
        large = {label for number, label in between.items() if self.bytes[number] >= _LARGE}
        return {number: label for number, label in chosen.items() if label in large}

    def _summed(self, number: int) -> Iterator[Hashable]:
        """Give the axes that a value is a sum over."""
        for operand, axis, to in self.carries[number]:
            if to is None:
                yield self.axes[self.nodes[number].inputs[operand]][axis]

    def _by_rows(self, number: int, label: Hashable) -> bool:
        """Tell whether rows of a value need the same rows of its operands alone."""
        at = self.axes[number].index(label)
        inputs = self.nodes[number].inputs
        carries = self.carries[number]
        from_rows = [(operand, axis) for operand, axis, to in carries if to == at]
        return bool(from_rows) and all(
            (operand, axis) in from_rows
            for operand, number in enumerate(inputs)
            for axis, other in enumerate(self.axes[number])
            if other == label
        )

    def _sums(self, number: int, label: Hashable) -> bool:
        """Tell whether a value is a sum over the rows of its operands."""
        node = self.nodes[number]
        if node.op not in SUMS or label in self.axes[number] or number in self.label:
            return False
        summed = {(operand, axis) for operand, axis, to in self.carries[number] if to is None}
        found = [
            (operand, axis)
            for operand, number in enumerate(node.inputs)
            for axis, other in enumerate(self.axes[number])
            if other == label
        ]
        return bool(found) and all(each in summed for each in found)

    # --- which values together --------------------------------------------------------------------------------

    def _levels(self) -> dict[int, int]:
        """Number the values, so that those with one number need no sum over rows of each other."""
        levels: dict[int, int] = {}
        for number in self.order:
            label = self.label.get(number)
            levels[number] = max(
                (
                    levels[operand] + (operand in self.label and self.label[operand] != label)
                    for operand in self.operands(number)
                ),
                default=0,
            )
        return levels

    def _gathered(self) -> Iterable[Unit]:
        """Put together what shares operands, and what sums over its rows."""
        classes = _Classes()
        for number, label in self.label.items():
            level = self.levels[number]
            for operand in self.operands(number):
                if self.label.get(operand) == label and self.levels[operand] == level:
                    classes.join(operand, number)
                elif label in self.axes[operand]:
                    classes.join((operand, level, label), number)
        units: dict[Hashable, Unit] = {}
        unit_of = {number: units.setdefault(classes.root(number), Unit()) for number in self.label}
        for number, unit in unit_of.items():
            unit.members.append(number)
        for number in self.order:
            members = [operand for operand in self.operands(number) if operand in self.label]
            label = next((label for each in members if self._sums(number, label := self.label[each])), None)
            if label is not None:
                unit = unit_of[
                    max((each for each in members if self.label[each] == label), key=self.levels.__getitem__)
                ]
                if all(
                    unit_of.get(operand) is unit or not self.axes[operand].index(label)
                    for operand in self.operands(number)
                ):
                    unit.sums.append(number)
        return units.values()

    def _finish(self, unit: Unit) -> bool:
        """Say what is stored and how many rows a block has; tell whether the unit is worth it."""
        inside = {*unit.members, *unit.sums}
        label = self.label[unit.members[0]]
        unit.axes = {number: self.axes[number].index(label) for number in unit.members}
        unit.stored = [
            number
            for number in unit.members
            if number in self.whole or any(user not in inside for user in self.users[number])
        ]
        read = [
            operand
            for number in inside
            for operand in self.operands(number)
            if operand not in inside and label in self.axes[operand]
        ]
        unit.cut = sorted({*read})
        arrays = [number for number in unit.members if self.nodes[number].op not in _VIEWS]
        if not arrays:
            return False
        unit.axes.update((number, self.axes[number].index(label)) for number in unit.cut)
        kept = self._bytes((*unit.cut, *unit.stored))
        again = (
            number
            for number in unit.members
            if self.nodes[number].op not in _VIEWS - {RESHAPE}
            for user in self.users[number]
            if user in inside and self.nodes[user].op is not RESHAPE
        )
        moved = self._bytes((*read, *arrays, *again))
        extent = max(self.shapes[arrays[0]][self.axes[arrays[0]].index(label)], 1)
        row = (kept + self._peak(unit)) / extent
        wanted = (
            _CACHE / row,
            min(_MOST * _CACHE / row, _CALL * len(arrays) * extent / moved),
            _ADDED * self._bytes(unit.sums) / row,
            _PRODUCT * self._multiplies(unit),
        )
        unit.rows = 1 << max(int(max(wanted)).bit_length() - 1, 0)
        unit.saved = moved - kept
        return unit.saved >= max(_WORTH, _SHARE * moved) and extent >= 2 * unit.rows

    def _bytes(self, numbers: Iterable[int]) -> int:
        return sum(map(self.bytes.__getitem__, numbers))

    def _multiplies(self, unit: Unit) -> bool:
        """Tell whether a unit has products of matrices, of which each block needs many rows."""
        return any(
            self.nodes[number].op is matmul and all(len(self.shapes[each]) == 2 for each in self.nodes[number].inputs)
            for number in (*unit.members, *unit.sums)
        )

    def _last_use(self, number: int) -> int:
        """Give the last value that is computed from a value, or from it in another shape."""
        users = self.users[number]
        shaped = (self._last_use(user) for user in users if self.nodes[user].op is RESHAPE)
        return max((number, *users, *shaped))

    def _peak(self, unit: Unit) -> int:
        """Give the bytes of the members that are needed at the same time."""
        waiting: list[tuple[int, int]] = []  # the last use of each that is needed now, and its bytes
        live = peak = 0
        for number in unit.members:
            if number in unit.stored or self.nodes[number].op in _VIEWS:
                continue
            while waiting and waiting[0][0] < number:
                live -= heapq.heappop(waiting)[1]
            heapq.heappush(waiting, (self._last_use(number), self.bytes[number]))
            live += self.bytes[number]
            peak = max(peak, live)
        return peak


def uses_products(nodes: Mapping[int, Node], unit: Unit) -> bool:
    """Tell whether a unit calls BLAS, which has threads of its own."""
    return any(nodes[number].op in {matmul, EINSUM} for number in (*unit.members, *unit.sums))

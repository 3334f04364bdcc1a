"""Where the boxes of a layered figure stand, so that a picture needs no program but Python.

Sugiyama's scheme: boxes get layers, long arrows get invisible corners in every layer that they pass, the order in each
layer is chosen for few crossings, then coordinates by medians. The arrows that leave a box for the same kind of
consumer share one trunk, as the buses of a circuit diagram do. All walks are loops, and cost grows linearly with boxes
and corners.

Sources: Gansner et al., "A Technique for Drawing Directed Graphs" (1993); Brandes and Köpf, "Fast and Simple Horizontal
Coordinate Assignment" (2001), with the compaction by longest paths that dagre uses in its place.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

BOX_GAP, TRUNK_GAP = 26.0, 14.0
_FALL, _MOST_FALL = 38.0, 96.0  # the least and the most room between two layers
_SHORT_FALL = 16.0  # the least where one of them is of no height
_SWEEPS = 24
_CORNER_BUDGET = 30_000  # above this many places the order is chosen with less care, so that it takes seconds


class Wire(NamedTuple):
    """One arrow to be laid.

    Attributes:
        tail: the box that it leaves.
        head: the box that it enters, which has a higher number.
        entry: where on the head's width it enters, from 0 to 1.
        late: whether it has the second of the two kinds; these have trunks of their own, and their heads sink.
        leave: where on the tail's width it leaves; wires that leave at different places have different trunks.
    """

    tail: int
    head: int
    entry: float = 0.5
    late: bool = False
    leave: float = 0.5


class Spot(NamedTuple):
    """Where a box or a corner has its middle, and which heights its layer fills: no line bends between them."""

    x: float
    y: float
    top: float
    bottom: float


class Figure(NamedTuple):
    """The result.

    Attributes:
        boxes: the spot of each box.
        ways: for each wire the corners that it passes; wires of one trunk pass equal ones.
        width: the whole width.
        height: the whole height.
    """

    boxes: list[Spot]
    ways: list[list[Spot]]
    width: float
    height: float


class _Places:
    """Boxes and corners together, numbered on; corners come after the boxes."""

    def __init__(self, layer: list[int], width: list[float]) -> None:
        self.boxes = len(layer)
        self.layer = layer
        self.width = width
        self.above: list[list[int]] = [[] for _ in layer]
        self.below: list[list[int]] = [[] for _ in layer]
        self.entry: dict[tuple[int, int], float] = {}
        self.leave: dict[tuple[int, int], float] = {}

    def is_corner(self, place: int) -> bool:
        return place >= self.boxes

    def add_corner(self, layer: int) -> int:
        self.layer.append(layer)
        self.width.append(2.0)
        self.above.append([])
        self.below.append([])
        return len(self.layer) - 1

    def join(self, upper: int, lower: int, entry: float = 0.5, leave: float = 0.5) -> None:
        if (upper, lower) in self.entry:  # a second wire between the two counts once
            return
        self.entry[upper, lower] = entry
        self.leave[upper, lower] = leave
        self.below[upper].append(lower)
        self.above[lower].append(upper)

    def ends(self, place: int, position: Sequence[int], *, down: bool) -> list[float]:
        """Give where the links of a place end in the next row, in order; entries tell apart what enters one box."""
        if down:
            return sorted(position[other] + self.entry[place, other] for other in self.below[place])
        return sorted(position[other] + self.leave[other, place] for other in self.above[place])

    def gap(self, left: int, right: int) -> float:
        """Give the least distance of the middles of two neighbours."""
        free = TRUNK_GAP if self.is_corner(left) or self.is_corner(right) else BOX_GAP
        return (self.width[left] + self.width[right]) / 2 + free


def lay_out(
    sizes: Sequence[tuple[float, float]],
    wires: Sequence[Wire],
    *,
    first: Collection[int] = (),
    last: Collection[int] = (),
) -> Figure:
    """Give the coordinates of boxes and wires.

    Args:
        sizes: width and height of each box; boxes stand in topological order.
        wires: the arrows between them; two boxes may be joined more than once.
        first: boxes without operands that are to stand in the first layer.
        last: boxes without consumers that are to stand in the last layer, with none but their like.

    >>> figure = lay_out([(20, 10), (20, 10)], [Wire(0, 1)])
    >>> figure.boxes[0].x == figure.boxes[1].x, figure.boxes[0].y < figure.boxes[1].y
    (True, True)
    """
    count = len(sizes)
    links = dict.fromkeys((wire.tail, wire.head) for wire in wires)
    late = {wire.head for wire in wires if wire.late}
    layers = layers_of(count, links, late, first)
    if last:
        bottom = max((layer for box, layer in enumerate(layers) if box not in last), default=-1) + 1
        layers = [bottom if box in last else layer for box, layer in enumerate(layers)]
    places = _Places(layers, [width for width, _ in sizes])
    corners = _trunks(places, wires)
    rows = _ordered(places)
    x = _coordinates(places, rows)
    left = min(x[place] - places.width[place] / 2 for place in range(len(x)))
    x = [value - left for value in x]
    bands, height = _bands(places, rows, x, [height for _, height in sizes])
    spots = [Spot(at, sum(bands[layer]) / 2, *bands[layer]) for at, layer in zip(x, places.layer, strict=True)]
    width = max(at + wide / 2 for at, wide in zip(x, places.width, strict=True))
    return Figure(spots[:count], [[spots[corner] for corner in way] for way in corners], width, height)


# --- layers ---------------------------------------------------------------------------------------------------


def layers_of(
    count: int, links: Iterable[tuple[int, int]], late: Collection[int] = (), first: Collection[int] = ()
) -> list[int]:
    """Give each box its layer: below its operands, and as near to its consumers as shortens the arrows.

    Where it is all the same, a box stands near its operands, a `late` one near its consumers. Those that are to be
    `first` stay in the first layer.

    >>> layers_of(4, [(0, 1), (1, 3), (2, 3)])  # 2, a source, stands just above its consumer
    [0, 1, 1, 2]
    """
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    for tail, head in links:
        above[head].append(tail)
        below[tail].append(head)
    layer = [0] * count
    # What only one box uses, and only through such boxes, follows that box down at no cost.
    follows = [False] * count
    for box in range(count):
        layer[box] = max((layer[tail] + 1 for tail in above[box]), default=0)
        follows[box] = box not in first and len(below[box]) == 1 and all(follows[tail] for tail in above[box])
    for box in range(count - 1, -1, -1):
        held = sum(not follows[tail] for tail in above[box])
        if box not in first and below[box] and len(below[box]) + (box in late) > held:
            layer[box] = min(layer[head] for head in below[box]) - 1
    top = 0 if first else min(layer, default=0)
    return [value - top for value in layer]


def _trunks(places: _Places, wires: Sequence[Wire]) -> list[list[int]]:
    """Put corners into the layers that wires pass, one chain for each trunk, and give each wire's corners."""
    trunks: dict[tuple[int, bool, float], list[int]] = {}
    found = []
    for wire in wires:
        trunk = trunks.setdefault((wire.tail, wire.late, wire.leave), [wire.tail])
        length = places.layer[wire.head] - places.layer[wire.tail]
        while len(trunk) < length:
            corner = places.add_corner(places.layer[trunk[-1]] + 1)
            places.join(trunk[-1], corner, leave=0.5 if len(trunk) > 1 else wire.leave)
            trunk.append(corner)
        places.join(trunk[length - 1], wire.head, wire.entry, 0.5 if length > 1 else wire.leave)
        found.append(trunk[1:length])
    return found


# --- order in the layers --------------------------------------------------------------------------------------


def _ordered(places: _Places) -> list[list[int]]:
    """Choose the order in each layer: sweep down and up by barycentres, exchange neighbours, keep the best."""
    rows = _first_order(places)
    best, fewest = [list(row) for row in rows], _crossings(places, rows)
    sweeps = max(4, min(_SWEEPS, _SWEEPS * _CORNER_BUDGET // max(1, len(places.layer)) // 8))
    since = 0
    for sweep in range(sweeps):
        if not fewest or since > 6:  # it has settled
            break
        _sweep(places, rows, down=sweep % 2 == 0)
        if len(places.layer) <= _CORNER_BUDGET:
            _exchange(places, rows)
        crossings = _crossings(places, rows)
        since += 1
        if crossings < fewest:
            best, fewest, since = [list(row) for row in rows], crossings, 0
    return best


def _first_order(places: _Places) -> list[list[int]]:
    """Walk from the results upwards, depth first, so that what belongs together starts side by side."""
    rows: list[list[int]] = [[] for _ in range(max(places.layer, default=-1) + 1)]
    seen = [False] * len(places.layer)
    for result in range(places.boxes):
        if places.below[result]:
            continue
        stack = [result]
        while stack:
            place = stack.pop()
            if not seen[place]:
                seen[place] = True
                rows[places.layer[place]].append(place)
                stack += reversed(places.above[place])
    return rows


def _positions(rows: Sequence[Sequence[int]], count: int) -> list[int]:
    position = [0] * count
    for row in rows:
        for at, place in enumerate(row):
            position[place] = at
    return position


def _sweep(places: _Places, rows: list[list[int]], *, down: bool) -> None:
    neighbours = places.above if down else places.below
    position = _positions(rows, len(places.layer))
    for at in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
        row = rows[at]
        keys = {
            place: sum(places.ends(place, position, down=not down)) / len(neighbours[place])
            for place in row
            if neighbours[place]
        }
        # Places without neighbours keep their place in the row; the others are sorted among the places left.
        free = iter(sorted(keys, key=lambda place: (keys[place], position[place])))
        rows[at] = [next(free) if place in keys else place for place in row]
        for index, place in enumerate(rows[at]):
            position[place] = index


def _exchange(places: _Places, rows: list[list[int]]) -> None:
    """Exchange neighbours in a row where that saves crossings."""
    position = _positions(rows, len(places.layer))
    for row in rows:
        for at in range(len(row) - 1):
            left, right = row[at], row[at + 1]
            saved = 0
            for down in (False, True):
                one, two = (places.ends(place, position, down=down) for place in (left, right))
                saved += _inversions(one, two) - _inversions(two, one)
            if saved > 0:
                row[at], row[at + 1] = right, left
                position[left], position[right] = at + 1, at


def _inversions(left: Sequence[float], right: Sequence[float]) -> int:
    """Count the pairs that stand the wrong way round; both are sorted."""
    return sum(len(left) - bisect_right(left, value) for value in right)


def _crossings(places: _Places, rows: Sequence[Sequence[int]]) -> int:
    position = _positions(rows, len(places.layer))
    total = 0
    for row in rows:
        passed: list[float] = []
        for place in row:
            ends = places.ends(place, position, down=True)
            total += _inversions(passed, ends)
            for end in ends:
                insort(passed, end)
    return total


# --- coordinates ----------------------------------------------------------------------------------------------


def _coordinates(places: _Places, rows: list[list[int]]) -> list[float]:
    """Align boxes with the medians of their neighbours in four ways and take the mean of the two middle results."""
    crossed = _crossing_trunks(places, rows)
    found = []
    for upwards in (False, True):
        for mirrored in (False, True):
            arranged = [row[::-1] if mirrored else row for row in (rows[::-1] if upwards else rows)]
            root = _aligned(places, arranged, places.below if upwards else places.above, crossed)
            x = _compacted(places, arranged, root)
            found.append([-value for value in x] if mirrored else x)
    spans = [_span(places, x) for x in found]
    low, high = min(spans, key=lambda span: span[1] - span[0])
    for at, x in enumerate(found):
        shift = high - spans[at][1] if at % 2 else low - spans[at][0]
        found[at] = [value + shift for value in x]
    return [sum(sorted(values)[1:3]) / 2 for values in zip(*found, strict=True)]


def _span(places: _Places, x: Sequence[float]) -> tuple[float, float]:
    halves = [width / 2 for width in places.width]
    return (
        min(value - half for value, half in zip(x, halves, strict=True)),
        max(value + half for value, half in zip(x, halves, strict=True)),
    )


def _crossing_trunks(places: _Places, rows: Sequence[Sequence[int]]) -> set[tuple[int, int]]:
    """Find the links that cross a trunk: trunks stay straight, so these do not count for alignment."""
    crossed = set()
    position = _positions(rows, len(places.layer))
    for upper, lower in pairwise(rows):
        scanned, least = 0, 0
        for at, place in enumerate(lower):
            inner = [up for up in places.above[place] if places.is_corner(place) and places.is_corner(up)]
            if not inner and at < len(lower) - 1:
                continue
            most = position[inner[0]] if inner else len(upper)
            for other in lower[scanned : at + 1]:
                for up in places.above[other]:
                    straight = places.is_corner(other) and places.is_corner(up)
                    if not straight and not least <= position[up] <= most:
                        crossed.add((up, other))
            scanned, least = at + 1, most
    return crossed


def _aligned(
    places: _Places, rows: list[list[int]], neighbours: list[list[int]], crossed: set[tuple[int, int]]
) -> list[int]:
    """Give each place the head of its vertical block: the place itself, or that of a median neighbour."""
    count = len(places.layer)
    position = _positions(rows, count)
    root = list(range(count))
    taken = [False] * count  # whether a later place stands in line with this one
    for row in rows:
        last = -1
        for place in row:
            near = sorted(neighbours[place], key=position.__getitem__)
            middle = (len(near) - 1) // 2
            for other in near[middle : len(near) - middle]:
                free = root[place] == place and not taken[other] and last < position[other]
                if free and not {(place, other), (other, place)} & crossed:
                    root[place], taken[other], last = root[other], True, position[other]
    return root


def _compacted(places: _Places, rows: list[list[int]], root: list[int]) -> list[float]:
    """Set the blocks side by side: each as far left as it can, then as far right as that leaves room."""
    after: dict[int, dict[int, float]] = {block: {} for block in dict.fromkeys(root)}
    before = dict.fromkeys(after, 0)
    for row in rows:
        for left, right in pairwise(row):
            links = after[root[left]]
            if root[right] not in links:
                before[root[right]] += 1
            links[root[right]] = max(links.get(root[right], 0.0), places.gap(left, right))
    ready = [block for block, waits in before.items() if not waits]
    x = dict.fromkeys(after, 0.0)
    for block in ready:  # grows while it is walked: a topological order of the blocks
        for right, gap in after[block].items():
            x[right] = max(x[right], x[block] + gap)
            before[right] -= 1
            if not before[right]:
                ready.append(right)
    for block in reversed(ready):
        if after[block]:
            x[block] = max(x[block], min(x[right] - gap for right, gap in after[block].items()))
    return [x[block] for block in root]


def _bands(
    places: _Places, rows: list[list[int]], x: Sequence[float], heights: Sequence[float]
) -> tuple[list[tuple[float, float]], float]:
    """Give the top and the bottom of each layer, and the whole height; what reaches far aside gets room to fall."""
    tall = [max((heights[place] for place in row if not places.is_corner(place)), default=0.0) for row in rows]
    bands, y = [], 0.0
    for row, height, following in zip(rows, tall, [*tall[1:], 0.0], strict=True):
        bands.append((y, y + height))
        reach = max((abs(x[place] - x[other]) for place in row for other in places.below[place]), default=0.0)
        least = _FALL if height and following else _SHORT_FALL
        y += height + min(_MOST_FALL, least + reach / 10)
    return bands, bands[-1][1]

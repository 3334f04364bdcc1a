"""Figures of our own: pictures in SVG, laid out in layers, with frames around modules."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from symbackprop.printing.dot import (
    FRAME,
    FRAME_FILL,
    GRADIENT,
    GRADIENT_FILL,
    GRADIENT_FRAME_FILL,
    INK,
    MODULE,
    MODULE_FILL,
    PAPER,
    QUIET,
    QUIET_FILL,
    SYMBOL,
    SYMBOL_FILL,
)
from symbackprop.printing.layered import Figure, Spot, Wire, lay_out
from symbackprop.printing.picture import Arrow, Box, Frame, Kind, Picture

_MARGIN, _LEGEND = 18.0, 30.0
_XMLNS = "http://www.w3.org/2000/svg"
_SANS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
_TITLE, _NOTE, _SHAPE, _NAME = 13.0, 10.5, 9.5, 11.5  # sizes of type
_DASH = 'stroke-dasharray="5 3"'
_HEAD = 7.0  # the length of an arrow's head
_PAD, _STRIP = 14.0, 22.0  # what a frame keeps free at its sides, and at its top for its name
_COLOURS = {
    Kind.SYMBOL: (SYMBOL, SYMBOL_FILL),
    Kind.CONSTANT: (QUIET, QUIET_FILL),
    Kind.OPERATION: (INK, PAPER),
    Kind.MODULE: (MODULE, MODULE_FILL),
}


def own_svg(shown: Picture) -> str:
    """Draw a picture with the layered layout.

    >>> import symbackprop as sb
    >>> from symbackprop.printing.picture import picture
    >>> own_svg(picture(sb.symbol("x"))).startswith("<svg ")
    True
    """
    sheets = _sheets(shown)
    for sheet in reversed(sheets):
        sheet.draw(shown)
    whole = sheets[0]
    legend = list(_legend(shown))
    width = max(whole.width, sum(_entry_width(words) for words, _ in legend) - 18)
    height = whole.height + (_LEGEND if legend else 0)
    extent = f"{_n(width + 2 * _MARGIN)} {_n(height + 2 * _MARGIN)}"
    wide, high = extent.split()
    shift = _MARGIN + (width - whole.width) / 2
    return "\n".join(
        [
            f'<svg xmlns="{_XMLNS}" width="{wide}" height="{high}" viewBox="0 0 {extent}" role="img">',
            f"<title>computational graph of {len(shown.boxes)} nodes</title>",
            f'<rect width="100%" height="100%" rx="6" fill="{PAPER}"/>',
            f'<g transform="translate({_n(shift, _MARGIN)})" font-family="{_SANS}" text-anchor="middle">',
            *whole.svg,
            *_legend_row(legend, height, (whole.width - width) / 2),
            "</g>",
            "</svg>",
            "",
        ]
    )


def _n(*numbers: float) -> str:
    """Write coordinates: a tenth of a pixel is enough, and ``-0`` is no number to show."""
    return " ".join(f"{round(number, 1) + 0.0:.1f}".removesuffix(".0") for number in numbers)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _text_width(text: str, size: float) -> float:
    """Guess how wide a text is: no fonts are at hand, so the guess is a generous one."""
    wide = 0.0
    for char in text:
        if unicodedata.combining(char):
            continue
        if unicodedata.east_asian_width(char) in "WF" or char in "MWmw@%":
            wide += 0.95
        else:
            wide += 0.36 if char in " .,:;|!'()[]{}iIjlft" else 0.72 if char.isupper() else 0.62
    return wide * size


# --- sheets --------------------------------------------------------------------------------------------------------


class _Value(NamedTuple):
    """A value on its way: the box that computes it, and the kind of consumer that it goes to."""

    tail: int
    late: bool


class _Port(NamedTuple):
    """A place where a value crosses the border of a frame."""

    value: _Value
    inwards: bool


class _Link(NamedTuple):
    """The piece of an arrow that runs on one sheet, between two items of it."""

    value: _Value
    tail: _Item
    head: _Item
    arrow: Arrow

    @property
    def arrives(self) -> bool:
        """Whether the piece ends at the box that the arrow points to."""
        return isinstance(self.head, int)

    @property
    def entry(self) -> float:
        """Where on the head's width it ends."""
        if isinstance(self.head, _Sheet):
            return self.head.ports[_Port(self.value, inwards=True)] / self.head.width
        return (self.arrow.place + 0.5) / self.arrow.places if self.arrives else 0.5

    @property
    def leave(self) -> float:
        """Where on the tail's width it begins."""
        if isinstance(self.tail, _Sheet):
            return self.tail.ports[_Port(self.value, inwards=False)] / self.tail.width
        return 0.5


class _Sheet:
    """What a frame encloses, or the whole picture: laid out by itself, and then one item on the sheet around it.

    A value crosses the border at a port, one for all its consumers of one kind on the other side.
    """

    def __init__(self, frame: Frame | None, items: list[int | Frame], around: _Sheet | None = None) -> None:
        """Take what the sheet shows; `around` is the sheet that it lies on."""
        self.frame = frame
        self.around = around
        self.depth: int = around.depth + 1 if around else 0
        self.items: list[_Item] = [item if isinstance(item, int) else _Sheet(item, item.items, self) for item in items]
        self.links: dict[tuple[_Value, _Item, int], _Link] = {}
        self.ports: dict[_Port, float] = {}  # and where on the width they are
        self.width = self.height = 0.0
        self.svg: list[str] = []

    def link(self, tail: _Item, head: _Item, arrow: Arrow) -> None:
        """Note a piece of an arrow, one for all arrows that take the same way here."""
        value = _Value(arrow.tail, arrow.backward)
        place = arrow.place if isinstance(head, int) else 0
        self.links.setdefault((value, head, place), _Link(value, tail, head, arrow))
        self.ports |= {item: 0.0 for item in (tail, head) if isinstance(item, _Port)}

    def draw(self, shown: Picture) -> None:
        """Lay out the items, the sheets among them having been drawn, and write them down."""
        ins = [port for port in self.ports if port.inwards]
        outs = [port for port in self.ports if not port.inwards]
        laid = _Laid(self, shown, [*ins, *self.items, *outs], len(ins), len(outs))
        labels = laid.labels()
        ends = [0.0, laid.figure.width, *(end for label in labels for end in label.ends)]
        pad, strip = (_PAD, _STRIP) if self.frame else (0.0, 0.0)
        left, right = pad - min(ends), max(ends) + pad
        start = 0.0
        if self.frame:
            free = [-left, *sorted(laid.spot(port).x for port in ins), right]
            name_width = 1.1 * _text_width(self.frame.title, _NAME) + 18
            gaps = [begin for begin, end in pairwise(free) if end - begin >= name_width]
            left = left if gaps else name_width - free[1]  # where no gap is wide enough, make one
            start = gaps[0] if gaps else -left
        self.width, self.height = left + right, strip + laid.figure.height + pad
        if self.frame:
            self.svg += _border(self, left + start + 8)
        self.svg.append(f'<g transform="translate({_n(left, strip)})">')
        self.svg += [*laid.arrows(), *laid.boxes(), *_labels(labels), "</g>"]
        self.ports = {port: left + laid.spot(port).x for port in self.ports}


_Item: TypeAlias = int | _Sheet | _Port


def _sheets(shown: Picture) -> list[_Sheet]:
    """Give the sheets of a picture with the pieces of its arrows, the whole one first, each before those on it."""
    sheets = [_Sheet(None, shown.items)]
    homes: dict[int, _Sheet] = {}
    for sheet in sheets:  # grows while it is walked
        sheets += [item for item in sheet.items if isinstance(item, _Sheet)]
        homes |= {item: sheet for item in sheet.items if isinstance(item, int)}
    for arrow in shown.arrows:
        value = _Value(arrow.tail, arrow.backward)
        tail: _Item = arrow.tail
        head: _Item = arrow.head
        above, below = homes[arrow.tail], homes[arrow.head]
        while above is not below:
            if above.depth >= below.depth and above.around:
                above.link(tail, _Port(value, inwards=False), arrow)
                tail, above = above, above.around
            elif below.around:
                below.link(_Port(value, inwards=True), head, arrow)
                head, below = below, below.around
        above.link(tail, head, arrow)
    return sheets


def _border(sheet: _Sheet, name_x: float) -> Iterator[str]:
    """Draw the frame around a sheet, and its name."""
    if sheet.frame:
        backward = sheet.frame.backward
        ink, fill = (GRADIENT, GRADIENT_FRAME_FILL) if backward else (FRAME, FRAME_FILL)
        yield (
            f'<rect width="{_n(sheet.width)}" height="{_n(sheet.height)}" rx="12" fill="{fill}" stroke="{ink}" '
            f'stroke-width="1"{f" {_DASH}" if backward else ""}/>'
        )
        style = f'font-size="{_NAME}" font-weight="bold" fill="{ink}" text-anchor="start"'
        yield _text(sheet.frame.title, name_x, 15.5, style)


class _Laid:
    """One sheet's items with their coordinates."""

    def __init__(self, sheet: _Sheet, shown: Picture, items: list[_Item], ins: int, outs: int) -> None:
        """Lay out the items; the first are ports inwards, the last are ports outwards."""
        self.items = items
        self.shown = shown
        self.place = {item: at for at, item in enumerate(items)}
        self.sizes = [_extent(item, shown) for item in items]
        self.links = list(sheet.links.values())
        wires = [
            Wire(self.place[link.tail], self.place[link.head], link.entry, link.value.late, link.leave)
            for link in self.links
        ]
        count = len(items)
        self.figure: Figure = lay_out(self.sizes, wires, first=range(ins), last=range(count - outs, count))
        kinds = {link.value for link in self.links if isinstance(link.tail, int)}
        self.split = {tail for tail, late in kinds if late and (tail, False) in kinds}

    def spot(self, item: _Item) -> Spot:
        """Give where an item stands."""
        return self.figure.boxes[self.place[item]]

    def _start(self, link: _Link) -> tuple[float, float]:
        """Give the point where a piece begins; a box that feeds both kinds of consumers has two, side by side."""
        spot = self.spot(link.tail)
        if isinstance(link.tail, _Port):
            return spot.x, -_STRIP
        width, height = self.sizes[self.place[link.tail]]
        shift = (5.0 if link.value.late else -5.0) if link.tail in self.split else 0.0
        return spot.x + width * (link.leave - 0.5) + shift, spot.y + height / 2

    def _end(self, link: _Link) -> tuple[float, float]:
        """Give the point where a piece ends: the points on a box are in the operands' order."""
        spot = self.spot(link.head)
        if isinstance(link.head, _Port):
            return spot.x, self.figure.height + _PAD
        width, height = self.sizes[self.place[link.head]]
        room = min(width - 8, 25.0 * link.arrow.places) if link.arrives else width
        return spot.x + room * (link.entry - 0.5), spot.y - height / 2

    def arrows(self) -> Iterator[str]:
        """Draw the trunks once, with a branch for each further consumer: dashes over dashes would look solid."""
        pieces = sorted(zip(self.links, self.figure.ways, strict=True), key=lambda piece: -len(piece[1]))
        drawn: set[tuple[_Item, _Value, float]] = set()
        for late in (False, True):
            ink, dash = (GRADIENT, f" {_DASH}") if late else (INK, "")
            lines, heads = [], []
            for link, way in pieces:
                if link.value.late is not late:
                    continue
                (x, y), spot = self._start(link), self.spot(link.tail)
                line = [f"M{_n(x, y)}V{_n(spot.bottom)}"]
                y = spot.bottom
                for corner in way:
                    if (link.tail, link.value, corner.y) in drawn:
                        line = [f"M{_n(corner.x, corner.bottom)}"]
                    else:
                        drawn.add((link.tail, link.value, corner.y))
                        line.append(f"{_bend(x, y, corner.x, corner.top)}V{_n(corner.bottom)}")
                    x, y = corner.x, corner.bottom
                end_x, end_y = self._end(link)
                head = _HEAD if link.arrives else 0.0
                line.append(_bend(x, y, end_x, self.spot(link.head).top - head))
                line.append(f"V{_n(end_y - head)}")
                lines.append(f'<path d="{"".join(line)}"/>')
                if link.arrives:
                    heads.append(f'<path d="M{_n(end_x, end_y)}l-3 -{_n(_HEAD)}h6z"/>')
            if lines:
                look = f'fill="none" stroke="{ink}" stroke-width="1.2" stroke-opacity="0.8"{dash}'
                yield f"<g {look}>{''.join(lines)}</g>"
            if heads:
                yield f'<g fill="{ink}">{"".join(heads)}</g>'

    def boxes(self) -> Iterator[str]:
        """Draw the boxes, and put the sheets in their places."""
        for item, (width, height) in zip(self.items, self.sizes, strict=True):
            spot = self.spot(item)
            if isinstance(item, int):
                yield _box(self.shown.boxes[item], spot, (width, height))
            elif isinstance(item, _Sheet):
                yield f'<g transform="translate({_n(spot.x - width / 2, spot.y - height / 2)})">'
                yield from item.svg
                yield "</g>"

    def labels(self) -> list[_Label]:
        """Write each operand's shape once, where its arrows leave, on the side that they leave free."""
        found: dict[int, list[Arrow]] = {}
        lean: dict[int, int] = {}
        for link, way in zip(self.links, self.figure.ways, strict=True):
            if isinstance(link.tail, int) and link.arrow.shape:
                found.setdefault(link.tail, []).append(link.arrow)
                ahead = way[0] if way else self.spot(link.head)
                lean[link.tail] = lean.get(link.tail, 0) + (1 if ahead.x > self.spot(link.tail).x + 1 else -1)
        labels = []
        for tail, arrows in found.items():
            forward = [arrow for arrow in arrows if not arrow.backward] or arrows  # what a module gives, not all it has
            spot, side = self.spot(tail), -1 if lean[tail] > 0 else 1
            x = spot.x + side * (10 if tail in self.split else 5)
            y = max(spot.y + self.sizes[self.place[tail]][1] / 2, spot.bottom) + 11
            labels.append(_Label(", ".join(dict.fromkeys(arrow.shape for arrow in forward)), x, y, side))
        return labels


class _Label(NamedTuple):
    """A small text that begins or ends at a point: its side is 1 or -1."""

    text: str
    x: float
    y: float
    side: int

    @property
    def ends(self) -> tuple[float, float]:
        """Where it begins and ends."""
        return self.x, self.x + self.side * _text_width(self.text, _SHAPE)


def _labels(labels: list[_Label]) -> Iterator[str]:
    if labels:
        yield (
            f'<g font-size="{_SHAPE}" fill="{QUIET}" stroke="{PAPER}" stroke-width="3" stroke-linejoin="round" '
            'paint-order="stroke">'
        )
        for text, x, y, side in labels:
            yield _text(text, x, y, f'text-anchor="{"start" if side > 0 else "end"}"')
        yield "</g>"


def _extent(item: _Item, shown: Picture) -> tuple[float, float]:
    if isinstance(item, _Port):
        return 2.0, 0.0
    return _size(shown.boxes[item]) if isinstance(item, int) else (item.width, item.height)


# --- boxes ---------------------------------------------------------------------------------------------------------


def _size(box: Box) -> tuple[float, float]:
    if box.kind is Kind.CONSTANT and not box.note:
        return max(24.0, _text_width(box.title, _NOTE) + 12), 21.0
    width = max(_text_width(box.title, _TITLE), _text_width(box.note, _NOTE)) + 22
    if box.kind is Kind.MODULE:
        return max(90.0, 1.1 * width + 8), 46.0
    return max(46.0, width), 40.0 if box.note else 28.0


def _colours(box: Box) -> tuple[str, str]:
    return (GRADIENT, GRADIENT_FILL) if box.backward else _COLOURS[box.kind]


def _frame(box: Box, x: float, y: float, width: float, height: float) -> str:
    ink, fill = _colours(box)
    radius = {Kind.SYMBOL: height / 2, Kind.MODULE: min(12, height / 3)}.get(box.kind, 7)
    return (
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" rx="{_n(radius)}" fill="{fill}" '
        f'stroke="{ink}" stroke-width="{2.2 if box.output else 1.2}"{f" {_DASH}" if box.backward else ""}/>'
    )


def _box(box: Box, spot: Spot, size: tuple[float, float]) -> str:
    width, height = size
    small = box.kind is Kind.CONSTANT and not box.note
    slant = (
        ' font-weight="bold"'
        if box.kind is Kind.MODULE
        else ' font-style="italic"'
        if box.kind is Kind.SYMBOL or box.note
        else ""
    )
    below = -2.5 if box.note else 3.8 if small else 4.6
    frame = _frame(box, spot.x - width / 2, spot.y - height / 2, width, height)
    title = _text(box.title, spot.x, spot.y + below, f'font-size="{_NOTE if small else _TITLE}" fill="{INK}"{slant}')
    note = _text(box.note, spot.x, spot.y + 12.5, f'font-size="{_NOTE}" fill="{QUIET}"') if box.note else ""
    return f"<g><title>{_escape(f'{box.op}: {box.value}')}</title>{frame}{title}{note}</g>"


def _text(text: str, x: float, y: float, attributes: str) -> str:
    return f'<text x="{_n(x)}" y="{_n(y)}" {attributes}>{_escape(text)}</text>'


def _bend(x: float, y: float, end_x: float, end_y: float) -> str:
    """Fall from one point to another, starting and arriving upright."""
    if abs(x - end_x) < 0.5:
        return f"L{_n(end_x, end_y)}"
    middle = (y + end_y) / 2
    return f"C{_n(x, middle, end_x, middle, end_x, end_y)}"


# --- legend ---------------------------------------------------------------------------------------------------


def _legend(shown: Picture) -> Iterator[tuple[str, Box | None]]:
    """Name the forms that occur; a figure without gradients explains itself."""
    if shown.has_gradients:
        for words, kind, backward in [
            ("symbol", Kind.SYMBOL, False),
            ("forward", Kind.OPERATION, False),
            ("module", Kind.MODULE, False),
            ("gradient", Kind.OPERATION, True),
        ]:
            if any((box.kind is kind or backward) and box.backward is backward for box in shown.boxes):
                yield words, Box(kind, "", "", "", "", backward, output=False)
        yield "[N] shape of an operand", None


def _entry_width(words: str) -> float:
    return _text_width(words, _NOTE) + 46


def _legend_row(legend: list[tuple[str, Box | None]], bottom: float, x: float) -> Iterator[str]:
    for words, box in legend:
        if box:
            yield _frame(box, x, bottom - 12, 22, 12)
        style = f'font-size="{_NOTE}" fill="{QUIET}" text-anchor="start"'
        yield _text(words, x + 28 if box else x, bottom - 2, style)
        x += _entry_width(words)

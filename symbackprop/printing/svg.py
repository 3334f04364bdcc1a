"""Expressions as figures: `draw`, with Graphviz where it is installed, else with a layout of our own."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from os import PathLike
from typing import TYPE_CHECKING, Literal

from symbackprop.errors import ArgumentError, GraphError, SymbackpropError
from symbackprop.printing.dot import (
    GRADIENT,
    GRADIENT_FILL,
    INK,
    PAPER,
    QUIET,
    QUIET_FILL,
    SYMBOL,
    SYMBOL_FILL,
    write,
)
from symbackprop.printing.layered import Figure, Spot, Wire, lay_out
from symbackprop.printing.picture import Arrow, Box, Kind, Outputs, Picture, picture

if TYPE_CHECKING:
    from pathlib import Path

Engine = Literal["auto", "own", "graphviz"]

_MARGIN, _LEGEND = 18.0, 30.0
_XMLNS = "http://www.w3.org/2000/svg"
_SANS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
_TITLE, _NOTE, _SHAPE = 13.0, 10.5, 9.5  # sizes of type
_DASH = 'stroke-dasharray="5 3"'
_HEAD = 7.0  # the length of an arrow's head
_PATIENCE, _MOST_PATIENCE = 5, 300  # seconds that Graphviz may take, when it can be replaced and when it was asked for


class Drawing:
    """A figure of expressions; notebooks show it.

    Attributes:
        svg: the figure as the text of an SVG file.
        engine: what laid it out, ``"own"`` or ``"graphviz"``.
    """

    def __init__(self, svg: str, engine: Literal["own", "graphviz"], size: int) -> None:
        """Take the text of the figure, what laid it out, and how many boxes it has."""
        self.svg = svg
        self.engine = engine
        self._size = size

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        """Say how large the figure is, and how to see it."""
        return f"<Drawing of {self._size} nodes: show it in a notebook, or .save('figure.svg')>"

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the figure to a file and give its path.

        Raises:
            ArgumentError: the file's name does not end in ``.svg``.
            OSError: it cannot be written.
        """
        from pathlib import Path  # noqa: PLC0415  (an import of the package need not wait for it)

        file = Path(path)
        if file.suffix.lower() != ".svg":
            msg = f"a drawing is saved as SVG: name the file {file.stem or 'figure'}.svg, not {file.name!r}"
            raise ArgumentError(msg)
        file.write_text(self.svg, encoding="utf-8")
        return file


def draw(
    exprs: Outputs, *, path: str | PathLike[str] | None = None, engine: Engine = "auto", limit: int | None = 1000
) -> Drawing:
    """Draw the graph that expressions are computed by, operands above results.

    What differentiation made is dashed and in a second colour. A symbol shows its name and shape, a named value its
    name, an arrow the shape of what it carries; the arrow of an operation's first operand arrives leftmost.

    Args:
        exprs: an expression, several, or a dictionary whose keys become titles.
        path: where to save the figure too, as ``.svg``.
        engine: ``"graphviz"`` runs Graphviz's program ``dot``, ``"own"`` needs nothing; ``"auto"`` takes Graphviz
            where it is installed.
        limit: the most nodes to draw; None for any number, which may take long.

    Raises:
        GraphError: more nodes than the limit, or the expressions live in different graphs.
        ArgumentError: something among them is no expression, or the engine or the file's ending is unknown.
        SymbackpropError: Graphviz was asked for and is missing or fails.

    >>> import symbackprop as sb
    >>> X, w = sb.symbols("X[N,D] w[D]")
    >>> draw(X @ w, engine="own")
    <Drawing of 3 nodes: show it in a notebook, or .save('figure.svg')>
    """
    if engine not in ("auto", "own", "graphviz"):
        msg = f"draw: the engine is 'auto', 'own' or 'graphviz', not {engine!r}"
        raise ArgumentError(msg)
    shown = picture(exprs)
    size = len(shown.boxes)
    if limit is not None and size > limit:
        msg = (
            f"draw: {size} nodes make too large a picture (the limit is {limit}): draw a part of the expression, "
            "or ask for more with limit=; to_dot() has no limit"
        )
        raise GraphError(msg)
    svg = None if engine == "own" else _graphviz(shown, required=engine == "graphviz")
    drawing = Drawing(svg or own_svg(shown), "graphviz" if svg else "own", size)
    if path is not None:
        drawing.save(path)
    return drawing


def _graphviz(shown: Picture, *, required: bool) -> str | None:
    """Let Graphviz draw; None where it is not installed or fails and was not required."""
    import shutil  # noqa: PLC0415  (only a drawing needs to look for programs)
    import subprocess  # noqa: PLC0415

    program = shutil.which("dot")
    trouble = "is not installed: install it, or leave engine= away"
    if program:
        try:
            done = subprocess.run(  # noqa: S603  (the program that the user has installed; the text goes through a pipe)
                [program, "-Tsvg"],
                input=write(shown).encode(),
                capture_output=True,
                check=True,
                timeout=_MOST_PATIENCE if required else _PATIENCE,
            )
            text = done.stdout.decode()
            return text[text.index("<svg") :]  # a notebook wants no XML declaration
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            trouble = f"failed: {error}"
    if required:
        msg = f"draw: Graphviz's program dot {trouble}"
        raise SymbackpropError(msg)
    return None


# --- our own figure -------------------------------------------------------------------------------------------


def own_svg(shown: Picture) -> str:
    """Draw a picture with the layered layout.

    >>> import symbackprop as sb
    >>> own_svg(picture(sb.symbol("x"))).startswith("<svg ")
    True
    """
    sizes = [_size(box) for box in shown.boxes]
    figure = lay_out(sizes, [Wire(arrow.tail, arrow.head, _entry(arrow), arrow.backward) for arrow in shown.arrows])
    legend = list(_legend(shown))
    width = max(figure.width, sum(_entry_width(words) for words, _ in legend) - 18)
    height = figure.height + (_LEGEND if legend else 0)
    body = [
        *_arrows(shown, figure, sizes),
        *(_box(box, figure.boxes[at], sizes[at]) for at, box in enumerate(shown.boxes)),
        *_tail_shapes(shown, figure, sizes),
        *_legend_row(legend, height),
    ]
    extent = f"{_n(width + 2 * _MARGIN)} {_n(height + 2 * _MARGIN)}"
    wide, high = extent.split()
    shift = _MARGIN + (width - figure.width) / 2
    return "\n".join(
        [
            f'<svg xmlns="{_XMLNS}" width="{wide}" height="{high}" viewBox="0 0 {extent}" role="img">',
            f"<title>computational graph of {len(shown.boxes)} nodes</title>",
            f'<rect width="100%" height="100%" rx="6" fill="{PAPER}"/>',
            f'<g transform="translate({_n(shift, _MARGIN)})" font-family="{_SANS}" text-anchor="middle">',
            *body,
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


def _size(box: Box) -> tuple[float, float]:
    if box.kind is Kind.CONSTANT and not box.note:
        return max(24.0, _text_width(box.title, _NOTE) + 12), 21.0
    width = max(_text_width(box.title, _TITLE), _text_width(box.note, _NOTE)) + 22
    return max(46.0, width), 40.0 if box.note else 28.0


def _colours(box: Box) -> tuple[str, str]:
    if box.backward:
        return GRADIENT, GRADIENT_FILL
    return {Kind.SYMBOL: (SYMBOL, SYMBOL_FILL), Kind.CONSTANT: (QUIET, QUIET_FILL), Kind.OPERATION: (INK, PAPER)}[
        box.kind
    ]


def _frame(box: Box, x: float, y: float, width: float, height: float) -> str:
    ink, fill = _colours(box)
    radius = height / 2 if box.kind is Kind.SYMBOL else 7
    return (
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" rx="{_n(radius)}" fill="{fill}" '
        f'stroke="{ink}" stroke-width="{2.2 if box.output else 1.2}"{f" {_DASH}" if box.backward else ""}/>'
    )


def _box(box: Box, spot: Spot, size: tuple[float, float]) -> str:
    width, height = size
    small = box.kind is Kind.CONSTANT and not box.note
    slant = ' font-style="italic"' if box.kind is Kind.SYMBOL or box.note else ""
    below = -2.5 if box.note else 3.8 if small else 4.6
    frame = _frame(box, spot.x - width / 2, spot.y - height / 2, width, height)
    title = _text(box.title, spot.x, spot.y + below, f'font-size="{_NOTE if small else _TITLE}" fill="{INK}"{slant}')
    note = _text(box.note, spot.x, spot.y + 12.5, f'font-size="{_NOTE}" fill="{QUIET}"') if box.note else ""
    return f"<g><title>{_escape(f'{box.op}: {box.value}')}</title>{frame}{title}{note}</g>"


def _text(text: str, x: float, y: float, attributes: str) -> str:
    return f'<text x="{_n(x)}" y="{_n(y)}" {attributes}>{_escape(text)}</text>'


# --- arrows ---------------------------------------------------------------------------------------------------


def _arrows(shown: Picture, figure: Figure, sizes: list[tuple[float, float]]) -> Iterator[str]:
    """Draw the trunks once, with a branch for each further consumer: dashes over dashes would look solid."""
    longest_first = sorted(
        zip(shown.arrows, figure.ways, strict=True), key=lambda pair: (pair[0].backward, -len(pair[1]))
    )
    split = _split(shown)
    drawn: set[tuple[int, bool, float]] = set()
    for backward in (False, True):
        ink, dash = (GRADIENT, f" {_DASH}") if backward else (INK, "")
        lines, heads = [], []
        for arrow, way in longest_first:
            if arrow.backward is not backward:
                continue
            x = figure.boxes[arrow.tail].x + _shift(arrow, split)
            y = figure.boxes[arrow.tail].y + sizes[arrow.tail][1] / 2
            line = [f"M{_n(x, y)}V{_n(figure.boxes[arrow.tail].bottom)}"]
            y = figure.boxes[arrow.tail].bottom
            for corner in way:
                if (arrow.tail, backward, corner.y) in drawn:
                    line = [f"M{_n(corner.x, corner.bottom)}"]
                else:
                    drawn.add((arrow.tail, backward, corner.y))
                    line.append(f"{_bend(x, y, corner.x, corner.top)}V{_n(corner.bottom)}")
                x, y = corner.x, corner.bottom
            end_x, end_y = _arrival(arrow, figure.boxes[arrow.head], sizes[arrow.head])
            line.append(_bend(x, y, end_x, figure.boxes[arrow.head].top - _HEAD))
            line.append(f"V{_n(end_y - _HEAD)}")
            lines.append(f'<path d="{"".join(line)}"/>')
            heads.append(f'<path d="M{_n(end_x, end_y)}l-3 -{_n(_HEAD)}h6z"/>')
        if lines:
            yield f'<g fill="none" stroke="{ink}" stroke-width="1.2" stroke-opacity="0.8"{dash}>{"".join(lines)}</g>'
            yield f'<g fill="{ink}">{"".join(heads)}</g>'


def _bend(x: float, y: float, end_x: float, end_y: float) -> str:
    """Fall from one point to another, starting and arriving upright."""
    if abs(x - end_x) < 0.5:
        return f"L{_n(end_x, end_y)}"
    middle = (y + end_y) / 2
    return f"C{_n(x, middle, end_x, middle, end_x, end_y)}"


def _arrival(arrow: Arrow, spot: Spot, size: tuple[float, float]) -> tuple[float, float]:
    """Give the point where an arrow meets its consumer: the operands' order is that of the points."""
    room = min(size[0] - 8, 25.0 * arrow.places)
    return spot.x + room * (_entry(arrow) - 0.5), spot.y - size[1] / 2


def _entry(arrow: Arrow) -> float:
    return (arrow.place + 0.5) / arrow.places


def _split(shown: Picture) -> set[int]:
    """Find the boxes that feed both kinds of consumers: their two trunks start side by side."""
    kinds = {(arrow.tail, arrow.backward) for arrow in shown.arrows}
    return {tail for tail, backward in kinds if backward and (tail, False) in kinds}


def _shift(arrow: Arrow, split: set[int]) -> float:
    return (5.0 if arrow.backward else -5.0) if arrow.tail in split else 0.0


def _tail_shapes(shown: Picture, figure: Figure, sizes: list[tuple[float, float]]) -> Iterator[str]:
    """Write each operand's shape once, where its arrows leave, on the side that they leave free."""
    split = _split(shown)
    shapes = {arrow.tail: arrow.shape for arrow in shown.arrows if arrow.shape}
    lean = dict.fromkeys(shapes, 0)
    for arrow, way in zip(shown.arrows, figure.ways, strict=True):
        if arrow.shape:
            ahead = way[0] if way else figure.boxes[arrow.head]
            lean[arrow.tail] += 1 if ahead.x > figure.boxes[arrow.tail].x + 1 else -1
    if not shapes:
        return
    yield (
        f'<g font-size="{_SHAPE}" fill="{QUIET}" stroke="{PAPER}" stroke-width="3" stroke-linejoin="round" '
        'paint-order="stroke">'
    )
    for tail, shape in shapes.items():
        spot, side = figure.boxes[tail], -1 if lean[tail] > 0 else 1
        x = spot.x + side * (10 if tail in split else 5)
        y = max(spot.y + sizes[tail][1] / 2, spot.bottom) + 11
        anchor = "start" if side > 0 else "end"
        yield _text(shape, x, y, f'text-anchor="{anchor}"')
    yield "</g>"


# --- legend ---------------------------------------------------------------------------------------------------


def _legend(shown: Picture) -> Iterator[tuple[str, Box | None]]:
    """Name the forms that occur; a figure without gradients explains itself."""
    if shown.has_gradients:
        for words, kind, backward in [
            ("symbol", Kind.SYMBOL, False),
            ("forward", Kind.OPERATION, False),
            ("gradient", Kind.OPERATION, True),
        ]:
            if any((box.kind is kind or backward) and box.backward is backward for box in shown.boxes):
                yield words, Box(kind, "", "", "", "", backward, output=False)
        yield "[N] shape of an operand", None


def _entry_width(words: str) -> float:
    return _text_width(words, _NOTE) + 46


def _legend_row(legend: list[tuple[str, Box | None]], bottom: float) -> Iterator[str]:
    x = 0.0
    for words, box in legend:
        if box:
            yield _frame(box, x, bottom - 12, 22, 12)
        style = f'font-size="{_NOTE}" fill="{QUIET}" text-anchor="start"'
        yield _text(words, x + 28 if box else x, bottom - 2, style)
        x += _entry_width(words)

"""Expressions in Graphviz's DOT language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Literal

from symbackprop.printing.picture import Arrow, Box, Frame, Kind, Modules, Outputs, Picture, picture

INK, GRADIENT, SYMBOL, QUIET = "#1f2933", "#c2410c", "#1d5fa8", "#6b7280"
MODULE, MODULE_FILL, FRAME, FRAME_FILL, GRADIENT_FRAME_FILL = "#4338ca", "#eef0ff", "#64748b", "#f7f9fb", "#fffbf7"
PAPER, GRADIENT_FILL, SYMBOL_FILL, QUIET_FILL = "#ffffff", "#fff6ed", "#e6f0fb", "#f1f3f5"

_CORNERS = {2: ("nw", "ne"), 3: ("nw", "n", "ne")}

Direction = Literal["down", "right"]


def dot(outputs: Outputs, *, modules: Modules = "boxes", direction: Direction = "down") -> str:
    r"""Write the graph that expressions are computed by in Graphviz's DOT language.

    Nodes that differentiation made are dashed, all others solid; symbols are ellipses with name and shape, constants
    are small and grey; an edge bears the operand's shape. Where an operation has two or three operands, the first
    one's arrow arrives leftmost.

    Args:
        outputs: an expression, several, or a dictionary of them.
        modules: ``"boxes"`` draws frames around modules, ``"collapsed"`` each module as one box, ``"none"`` neither.
        direction: where results lie, seen from their operands.

    Raises:
        ArgumentError: something among them is no expression, or there is none.
        GraphError: they live in different graphs.
        ValueError: `modules` is something else.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> print(sb.exp(x).to_dot())
    digraph {
      rankdir="TB"
      node [fontname="Helvetica", fontsize=12, height=0.3, style="rounded,filled", color="#1f2933", fillcolor="#ffffff"]
      edge [fontname="Helvetica", fontsize=9, fontcolor="#6b7280", color="#1f2933", arrowsize=0.6]
      n0 [label="x\n[N]", shape="ellipse", style="filled", color="#1d5fa8", fillcolor="#e6f0fb"]
      n1 [label="exp", shape="box", penwidth=2]
      n0 -> n1 [label="[N]"]
    }
    """
    return write(picture(outputs, modules=modules), direction=direction)


def write(shown: Picture, *, direction: Direction = "down") -> str:
    """Write a picture in DOT."""
    lines = [
        f"rankdir={quoted('TB' if direction == 'down' else 'LR')}",
        "node "
        + _attributes(
            fontname="Helvetica", fontsize=12, height=0.3, style="rounded,filled", color=INK, fillcolor=PAPER
        ),
        "edge " + _attributes(fontname="Helvetica", fontsize=9, fontcolor=QUIET, color=INK, arrowsize=0.6),
    ]
    if shown.has_gradients:
        lines.append(
            "graph " + _attributes(label="solid: forward, dashed: gradient", fontname="Helvetica", fontsize=10)
        )
    lines += [f"n{at} {_box(box)}" for at, box in enumerate(shown.boxes)]
    lines += _clusters(shown.items)
    lines += [_arrow(arrow, corners=direction == "down") for arrow in shown.arrows]
    return "\n".join(["digraph {", *(f"  {line}" for line in lines), "}"])


def quoted(*lines: str) -> str:
    r"""Give a DOT string that shows these lines: Graphviz reads backslashes and ``&`` in it, and ends it at a quote.

    >>> print(quoted('a"b\\c & d', "N"))
    "a\"b\\c &amp; d\nN"
    """
    plain = (line.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + r"\n".join(plain) + '"'


def _attributes(**attributes: str | float | tuple[str, ...]) -> str:
    written = []
    for name, value in attributes.items():
        lines = (value,) if isinstance(value, str) else value
        written.append(f"{name}={quoted(*lines) if isinstance(lines, tuple) else lines}")
    return f"[{', '.join(written)}]"


def _clusters(items: Sequence[int | Frame]) -> Iterator[str]:
    """Write the frames as clusters, numbered on."""
    numbers = count()

    def inside(items: Sequence[int | Frame]) -> Iterator[str]:
        for item in items:
            if isinstance(item, int):
                yield f"n{item}"
                continue
            colour, fill = (GRADIENT, GRADIENT_FRAME_FILL) if item.backward else (FRAME, FRAME_FILL)
            style = "rounded,filled,dashed" if item.backward else "rounded,filled"
            look = _attributes(
                label=item.title,
                labeljust="l",
                fontname="Helvetica",
                fontsize=11,
                style=style,
                color=colour,
                fillcolor=fill,
            )
            yield f'subgraph "cluster{next(numbers)}" {{'
            yield f"  graph {look}"
            yield from (f"  {line}" for line in inside(item.items))
            yield "}"

    for item in items:
        if not isinstance(item, int):
            yield from inside([item])


def _box(box: Box) -> str:
    attributes: dict[str, str | float | tuple[str, ...]] = {"label": tuple(filter(None, (box.title, box.note)))}
    attributes["shape"] = "ellipse" if box.kind is Kind.SYMBOL else "box"
    if box.backward:
        attributes |= {"style": "rounded,filled,dashed", "color": GRADIENT, "fillcolor": GRADIENT_FILL}
    elif box.kind is Kind.SYMBOL:
        attributes |= {"style": "filled", "color": SYMBOL, "fillcolor": SYMBOL_FILL}
    elif box.kind is Kind.MODULE:
        attributes |= {"color": MODULE, "fillcolor": MODULE_FILL}
    elif box.kind is Kind.CONSTANT:
        attributes |= {"color": QUIET, "fillcolor": QUIET_FILL}
    if box.kind is Kind.MODULE:
        attributes |= {"width": 1.2, "height": 0.6}
    if box.kind is Kind.CONSTANT:
        attributes |= {"fontsize": 10, "width": 0.3, "height": 0.2}
    if box.output:
        attributes["penwidth"] = 2
    return _attributes(**attributes)


def _arrow(arrow: Arrow, *, corners: bool) -> str:
    attributes: dict[str, str | float | tuple[str, ...]] = {}
    if arrow.shape:
        attributes["label"] = arrow.shape
    if arrow.backward:
        attributes |= {"style": "dashed", "color": GRADIENT}
    # A head at a corner tells a - b from b - a; `ordering=in` would constrain the layout of the whole figure.
    corner = f":{_CORNERS[arrow.places][arrow.place]}" if corners and arrow.places in _CORNERS else ""
    return f"n{arrow.tail} -> n{arrow.head}{corner} {_attributes(**attributes) if attributes else ''}".rstrip()

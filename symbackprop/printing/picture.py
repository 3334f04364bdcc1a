"""What a picture of expressions says, as data: boxes and arrows that know nothing of DOT, SVG or coordinates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import NamedTuple, TypeAlias

from symbackprop import dims
from symbackprop.errors import ArgumentError
from symbackprop.expr import Expr, common_graph
from symbackprop.graph import Graph, Node

Outputs: TypeAlias = Expr | Iterable[Expr] | Mapping[str, Expr]

_OPERAND = "\0"  # no formula holds it, so it cannot be taken for a product's dot
_LONGEST = 40


class Kind(Enum):
    """What a box stands for, which decides its form."""

    SYMBOL = "symbol"
    CONSTANT = "constant"
    OPERATION = "operation"


class Box(NamedTuple):
    """One node of the graph.

    Attributes:
        kind: what it stands for.
        title: the user's name for the value, else what the node does.
        note: the second line: a symbol's shape, a named node's operation; may be empty.
        value: dtype and shape, for the tooltip.
        op: the operation's name.
        backward: whether differentiation made the node.
        output: whether it was asked for.
    """

    kind: Kind
    title: str
    note: str
    value: str
    op: str
    backward: bool
    output: bool


class Arrow(NamedTuple):
    """One use of a value: from the operand's box to the consumer's, both by position.

    Attributes:
        tail: the operand.
        head: the consumer.
        place: which operand it is, from 0.
        places: how many operands the consumer has.
        shape: the operand's shape.
        backward: whether differentiation made the consumer.
    """

    tail: int
    head: int
    place: int
    places: int
    shape: str
    backward: bool


class Picture(NamedTuple):
    """Boxes in topological order, and the arrows between them."""

    boxes: list[Box]
    arrows: list[Arrow]

    @property
    def has_gradients(self) -> bool:
        """Whether differentiation made one of the boxes."""
        return any(box.backward for box in self.boxes)


def picture(outputs: Outputs) -> Picture:
    """Give what a picture of these expressions shows: all that they are computed from, and no more.

    Args:
        outputs: an expression, several, or a dictionary whose keys become the titles of the outputs.

    Raises:
        ArgumentError: something among them is no expression, or there is none.
        GraphError: they live in different graphs.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> [box.title for box in picture(x * sb.exp(x)).boxes]
    ['x', 'exp', '⊙']
    """
    keys = _keyed(outputs)
    graph = common_graph(list(keys), "picture")
    asked = {expr.number: key for expr, key in keys.items()}
    numbers = graph.reachable(asked)
    position = {number: at for at, number in enumerate(numbers)}
    boxes, arrows = [], []
    for head, number in enumerate(numbers):
        node = graph.nodes[number]
        boxes.append(_box(graph, node, asked.get(number), output=number in asked))
        arrows += [
            Arrow(
                position[operand],
                head,
                place,
                len(node.inputs),
                dims.show(graph.nodes[operand].shape),
                node.backward,
            )
            for place, operand in enumerate(node.inputs)
        ]
    return Picture(boxes, arrows)


def _keyed(outputs: object) -> dict[Expr, str | None]:
    if isinstance(outputs, Mapping):
        pairs: list[tuple[object, str | None]] = [(expr, printable(str(key))) for key, expr in outputs.items()]
    elif isinstance(outputs, Iterable) and not isinstance(outputs, Expr):
        pairs = [(expr, None) for expr in outputs]
    else:
        pairs = [(outputs, None)]
    keys: dict[Expr, str | None] = {}
    for expr, key in pairs:
        if not isinstance(expr, Expr):
            msg = f"a picture is made of expressions, not of {type(expr).__name__}"
            raise ArgumentError(msg)
        keys[expr] = " = ".join(filter(None, (keys.get(expr), key))) or None
    if not keys:
        msg = "a picture needs one expression at least"
        raise ArgumentError(msg)
    return keys


def _box(graph: Graph, node: Node, key: str | None, *, output: bool) -> Box:
    sign = _sign(graph, node)
    value = f"{node.dtype}{dims.show(node.shape)}"
    if node.op.name == "symbol":
        kind, name, note = Kind.SYMBOL, sign, dims.show(node.shape)
    else:
        kind = Kind.OPERATION if node.inputs else Kind.CONSTANT
        name, note = printable(node.label or ""), sign
    title = " = ".join(dict.fromkeys(part for part in (key, name) if part))
    return Box(kind, *((title, note) if title else (note, "")), value, node.op.name, node.backward, output)


def _sign(graph: Graph, node: Node) -> str:
    """Give what stands between or before the operands in the formula: ``+``, ``exp``, ``[1:]``, else ``·²``."""
    if node.op.name == "symbol":
        return printable(node.params["name"])
    shapes = tuple(graph.nodes[operand].shape for operand in node.inputs)
    holes = [_OPERAND] * len(shapes)
    text = node.op.form(node.op.text, node.params, shapes).fill(holes)
    if not text.replace(_OPERAND, "").strip():  # what a formula writes by juxtaposition alone
        text = node.op.form(node.op.numpy, node.params, shapes).fill(holes)
    call = text.removesuffix(f"({', '.join(holes)})")
    infix = text.split(_OPERAND)
    if call != text and _OPERAND not in call:
        text = call
    elif len(infix) == 3 and not infix[0] and not infix[2]:
        text = infix[1].strip().replace("·", "×")  # a dot alone in a box is hard to see
    return printable(text.replace(_OPERAND, "·"))


def printable(text: str) -> str:
    r"""Write out the characters that cannot be seen, and cut what is too long for a box.

    >>> printable("a\nb")
    'a\\nb'
    """
    seen = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return seen if len(seen) <= _LONGEST else seen[: _LONGEST - 1] + "…"

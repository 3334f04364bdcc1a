"""What a picture of expressions says, as data: boxes and arrows that know nothing of DOT, SVG or coordinates."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Literal, NamedTuple, TypeAlias

from symbackprop import dims
from symbackprop.errors import ArgumentError
from symbackprop.expr import Expr, common_graph
from symbackprop.graph import Graph, Node
from symbackprop.printing.parts import Part, parted

Modules = Literal["boxes", "collapsed", "none"]
Outputs: TypeAlias = Expr | Iterable[Expr] | Mapping[str, Expr]

_OPERAND = "\0"  # no formula holds it, so it cannot be taken for a product's dot
_LONGEST = 40


class Kind(Enum):
    """What a box stands for, which decides its form."""

    SYMBOL = "symbol"
    CONSTANT = "constant"
    OPERATION = "operation"
    MODULE = "module"


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


class Frame(NamedTuple):
    """A module whose nodes are shown, and modules in it.

    Attributes:
        title: its name.
        backward: whether it holds what differentiation made of the module.
        items: the positions of its boxes, and the frames in it, in topological order.
    """

    title: str
    backward: bool
    items: list[int | Frame]


class Picture(NamedTuple):
    """What is shown.

    Attributes:
        boxes: the boxes in topological order.
        arrows: the arrows between them.
        items: the positions of the boxes that stand in no frame, and the frames, in topological order.
    """

    boxes: list[Box]
    arrows: list[Arrow]
    items: list[int | Frame]

    @property
    def has_gradients(self) -> bool:
        """Whether differentiation made one of the boxes."""
        return any(box.backward for box in self.boxes)


def picture(outputs: Outputs, *, modules: Modules = "boxes") -> Picture:
    """Give what a picture of these expressions shows: all that they are computed from, and no more.

    Args:
        outputs: an expression, several, or a dictionary whose keys become the titles of the outputs.
        modules: show modules as frames around their nodes, each as one box, or not at all. What differentiation made
            of a module is shown as another.

    Raises:
        ArgumentError: something among them is no expression, or there is none; there is no module to collapse.
        GraphError: they live in different graphs.
        ValueError: `modules` is something else.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> with sb.module("unit"):
    ...     y = x * sb.exp(x)
    >>> [box.title for box in picture(y).boxes]
    ['x', 'exp', '⊙']
    >>> [box.title for box in picture(y, modules="collapsed").boxes]
    ['x', 'unit']
    """
    if modules not in {"boxes", "collapsed", "none"}:
        msg = f"modules are shown as 'boxes', 'collapsed' or 'none', not {modules!r}"
        raise ValueError(msg)
    keys = _keyed(outputs)
    graph = common_graph(list(keys), "picture")
    asked = {expr.number: key for expr, key in keys.items()}
    numbers = graph.reachable(asked)
    homes = _homes(graph, numbers) if modules != "none" else {}
    if modules == "collapsed":
        if not any(path for path, _ in homes.values()):
            msg = "a picture with collapsed modules needs some: make parts of the expression under sb.module('name')"
            raise ArgumentError(msg)
        return _collapsed(graph, asked, homes)
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
    framed = any(path for path, _ in homes.values())
    items: list[int | Frame] = [*range(len(boxes))]
    return Picture(boxes, arrows, _framed(graph, numbers, homes, position, 0) if framed else items)


# --- modules -------------------------------------------------------------------------------------------------------

Home: TypeAlias = tuple[tuple[str, ...], bool]  # the path of a node's module, and whether it is of its gradient


def _homes(graph: Graph, numbers: Sequence[int]) -> dict[int, Home]:
    """Give the module of each node; a constant stands with what uses it."""
    nodes = graph.nodes
    homes: dict[int, Home] = {}
    users: dict[int, set[Home]] = {}
    for number in reversed(numbers):
        node = nodes[number]
        home = (node.module, node.backward and bool(node.module))
        if not node.inputs and node.op.name != "symbol":
            using = users.get(number, set())
            paths = {path for path, _ in using}
            home = (paths.pop(), all(backward for _, backward in using)) if len(paths) == 1 else ((), False)
        homes[number] = home
        for operand in node.inputs:
            users.setdefault(operand, set()).add(home)
    return {number: homes[number] for number in numbers}


def _divided(
    graph: Graph, numbers: Sequence[int], homes: Mapping[int, Home], depth: int
) -> list[tuple[tuple[str, bool] | None, list[int]]]:
    """Divide nodes by the next name of their modules' paths, in topological order; those without one stand alone."""
    keys: dict[int, Hashable] = {}
    for number in numbers:
        path, backward = homes[number]
        keys[number] = (path[depth], backward) if len(path) > depth else number
    parts, order = parted(graph, keys)
    members: dict[Part, list[int]] = {part: [] for part in order}
    for number, part in parts.items():
        members[part].append(number)
    return [(part.key if isinstance(part.key, tuple) else None, found) for part, found in members.items()]


def _framed(
    graph: Graph, numbers: Sequence[int], homes: Mapping[int, Home], position: Mapping[int, int], depth: int
) -> list[int | Frame]:
    """Put nodes into frames, and those in it into further ones: so deep as modules stand in modules."""
    items: list[int | Frame] = []
    for name, members in _divided(graph, numbers, homes, depth):
        if name is None:
            items.append(position[members[0]])
        else:
            title, backward = name
            title = printable(title) + (": gradient" if backward else "")
            items.append(Frame(title, backward, _framed(graph, members, homes, position, depth + 1)))
    return items


def _collapsed(graph: Graph, asked: Mapping[int, str | None], homes: Mapping[int, Home]) -> Picture:
    """Show each module that stands in no other as one box."""
    boxes: list[Box] = []
    arrows: list[Arrow] = []
    place: dict[int, int] = {}
    for name, members in _divided(graph, list(homes), homes, 0):
        head = len(boxes)
        place |= dict.fromkeys(members, head)
        nodes = [graph.nodes[number] for number in members]
        if name is None:
            boxes.append(_box(graph, nodes[0], asked.get(members[0]), output=members[0] in asked))
        else:
            boxes.append(_module_box(name, nodes, {number: asked[number] for number in members if number in asked}))
        if name is None:
            carried = [(place[operand], dims.show(graph.nodes[operand].shape)) for operand in nodes[0].inputs]
        else:  # one arrow for each box that something comes from
            shapes: dict[int, dict[str, None]] = {}
            for operand in sorted({operand for node in nodes for operand in node.inputs if place[operand] != head}):
                shapes.setdefault(place[operand], {})[dims.show(graph.nodes[operand].shape)] = None
            carried = [(tail, ", ".join(filter(None, found))) for tail, found in shapes.items()]
        backward = boxes[head].backward
        arrows += [Arrow(tail, head, at, len(carried), shape, backward) for at, (tail, shape) in enumerate(carried)]
    return Picture(boxes, arrows, list(range(len(boxes))))


def _module_box(name: tuple[str, bool], nodes: Sequence[Node], asked: Mapping[int, str | None]) -> Box:
    """Show a module as one box, with the names of the values that it computes."""
    title, backward = name
    count = sum(bool(node.inputs) for node in nodes)
    inside = f"{count} operation{'s' * (count != 1)}"
    labels = dict.fromkeys([*filter(None, asked.values()), *(node.label for node in nodes if node.label)])
    note = "gradient" if backward else printable(", ".join(labels)) or inside
    return Box(Kind.MODULE, printable(title), note, inside, "module", backward, bool(asked))


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

"""Trees of products read as one product of labelled arrays: matrix products, sums, traces, scalings, broadcasting.

Reading gives each axis of each factor a label; transposes, new axes and broadcasting only say where a label stands,
and a diagonal matrix that two of its labels are one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from symbackprop import dims
from symbackprop.dims import Shape, Size
from symbackprop.graph import Graph, Node
from symbackprop.op import Op
from symbackprop.ops import divide, matmul, multiply, negative
from symbackprop.ops.contract import DIAG, DIAGONAL, EINSUM, EYE, TRACE
from symbackprop.ops.layout import BROADCAST_TO, EXPAND_DIMS, SQUEEZE, TRANSPOSE
from symbackprop.ops.reduce import MEAN, SUM

TURNS = frozenset({TRANSPOSE, EXPAND_DIMS, SQUEEZE})
"""Ops that only say where an axis stands."""
VIEWS = TURNS | {BROADCAST_TO, DIAG, EYE}
"""Ops that compute nothing."""

_FIRST = ord("a")

Below: TypeAlias = list[tuple[int, str]]
"""Operands of a node, with a label for each of their axes."""


@dataclass(frozen=True)
class Tree:
    """A product of labelled arrays, and the nodes that it was written with.

    Attributes:
        root: the node whose value it is.
        out: the labels of the root's axes; along one that no factor has the value is repeated.
        factors: the numbers of the nodes that are multiplied, with their labels; a scalar has none.
        extents: the size of each label.
        negatives: how many signs there are.
        divisors: the numbers of the scalars that it is divided by.
        counts: the sizes that it is divided by.
        opened: the nodes that it takes the place of.
    """

    root: int
    out: str
    factors: tuple[tuple[int, str], ...]
    extents: dict[str, Size]
    negatives: int = 0
    divisors: tuple[int, ...] = ()
    counts: tuple[Size, ...] = ()
    opened: tuple[int, ...] = ()

    @property
    def kept(self) -> str:
        """The labels of the root's axes that a factor has."""
        used = {label for _, labels in self.factors for label in labels}
        return "".join(label for label in self.out if label in used)

    @property
    def copies(self) -> list[Size]:
        """The sizes of the axes that are summed over and along which nothing changes."""
        used = {label for _, labels in self.factors for label in labels}.union(self.out)
        return [extent for label, extent in self.extents.items() if label not in used and extent != 1]

    @property
    def scalars(self) -> list[int]:
        """The nodes that it is scaled by."""
        return [*(at for at, labels in self.factors if not labels), *self.divisors]

    @property
    def is_scaled(self) -> bool:
        """Whether it was scaled on the way, or along axes that are summed nothing changes."""
        return bool(self.negatives or self.copies or self.scalars)

    @property
    def leaves(self) -> tuple[int, ...]:
        """The nodes that it is computed from, a node as often as it is used."""
        return (*(number for number, _ in self.factors), *self.divisors)

    def with_opened(self, inner: Tree) -> Tree:
        """Give the tree with the factors of an inner product in place of that product."""
        extents = dict(self.extents)
        free = max(map(ord, extents), default=_FIRST - 1) + 1
        factors: list[tuple[int, str]] = []
        negatives, divisors, counts, opened = self.negatives, self.divisors, self.counts, self.opened
        for number, labels in self.factors:
            if number != inner.root:
                factors.append((number, labels))
                continue
            names = dict(zip(inner.out, labels, strict=True))
            for label, extent in inner.extents.items():
                if label not in names:
                    names[label] = chr(free)
                    extents[chr(free)] = extent
                    free += 1
            factors += [(at, "".join(names[label] for label in own)) for at, own in inner.factors]
            negatives += inner.negatives
            divisors, counts, opened = divisors + inner.divisors, counts + inner.counts, opened + inner.opened
        return Tree(self.root, self.out, tuple(factors), extents, negatives, divisors, counts, opened)


def read(graph: Graph, root: int, opens: Callable[[int], bool]) -> Tree:
    """Read a node and what it is made of as a product of labelled arrays.

    Args:
        graph: where they live.
        root: the number of the node.
        opens: whether to look into a node.

    >>> import symbackprop as sb
    >>> A, B, x = sb.symbols("A[M,N] B[N,K] x[K]")
    >>> y = sb.sum(A @ B @ x)
    >>> tree = read(y.graph, y.number, lambda _: True)
    >>> [labels for _, labels in tree.factors], tree.out
    (['ac', 'cb', 'b'], '')
    """
    return _Reader(graph, root).read(opens)


class _Reader:
    def __init__(self, graph: Graph, root: int) -> None:
        self.nodes, self.root = graph.nodes, root
        self.extents: dict[str, Size] = {}
        self.instead: dict[str, str] = {}  # a label that was found to be another
        self.out = self.labels(self.nodes[root].shape)
        self.factors: Below = []
        self.negatives = 0
        self.divisors: list[int] = []
        self.counts: list[Size] = []
        self.opened: list[int] = []

    def read(self, opens: Callable[[int], bool]) -> Tree:
        """Open the root and what is below it."""
        stack = [(self.root, self.out)]
        while stack:
            number, labels = stack.pop()
            node = self.nodes[number]
            opening = node.op in _READ and (number == self.root or opens(number))
            below = _READ[node.op](self, node, labels) if opening else None
            if below is None:
                self.factors.append((number, labels))
            else:
                self.opened.append(number)
                stack += reversed(below)
        factors = tuple((number, "".join(map(self.found, labels))) for number, labels in self.factors)
        extents = {label: extent for label, extent in self.extents.items() if label not in self.instead}
        divisors, counts, opened = tuple(self.divisors), tuple(self.counts), tuple(self.opened)
        return Tree(self.root, self.out, factors, extents, self.negatives, divisors, counts, opened)

    def label(self, size: Size) -> str:
        """Make a label."""
        label = chr(_FIRST + len(self.extents))
        self.extents[label] = size
        return label

    def labels(self, shape: Shape) -> str:
        return "".join(map(self.label, shape))

    def found(self, label: str) -> str:
        """Give the label that a label turned out to be."""
        while label in self.instead:
            label = self.instead[label]
        return label

    def same(self, one: str, other: str) -> bool:
        """Let two labels be one, unless both are axes of the result."""
        one, other = self.found(one), self.found(other)
        if one in self.out and other in self.out and one != other:
            return False
        if one != other:
            gone, kept = (other, one) if one in self.out else (one, other)
            self.instead[gone] = kept
        return True

    def aligned(self, shape: Shape, labels: str) -> str:
        """Give the labels of an operand that is broadcast."""
        last = labels[len(labels) - len(shape) :]
        return "".join(
            self.label(1) if size == 1 and self.extents[label] != 1 else label
            for size, label in zip(shape, last, strict=True)
        )


# --- what each op says about the labels of its operands ---------------------------------------------------------


def _matmul(reader: _Reader, node: Node, labels: str) -> Below:
    a, b = (reader.nodes[operand].shape for operand in node.inputs)
    inner = reader.label(a[-1])
    row, column = len(a) > 1, len(b) > 1
    batch = labels[: len(labels) - row - column]
    left = reader.aligned(a[:-2], batch) + labels[len(batch) : len(batch) + row] + inner
    right = reader.aligned(b[:-2], batch) + inner + labels[len(labels) - column :]
    return [(node.inputs[0], left), (node.inputs[1], right)]


def _multiply(reader: _Reader, node: Node, labels: str) -> Below | None:
    if any(reader.nodes[operand].dtype != node.dtype for operand in node.inputs):
        return None
    return [(operand, reader.aligned(reader.nodes[operand].shape, labels)) for operand in node.inputs]


def _divide(reader: _Reader, node: Node, labels: str) -> Below | None:
    above, below = node.inputs
    if reader.nodes[below].shape or any(reader.nodes[operand].dtype != node.dtype for operand in node.inputs):
        return None
    reader.divisors.append(below)
    return [(above, labels)]


def _negative(reader: _Reader, node: Node, labels: str) -> Below:
    reader.negatives += 1
    return [(node.inputs[0], labels)]


def _sum(reader: _Reader, node: Node, labels: str) -> Below:
    shape, axes = reader.nodes[node.inputs[0]].shape, node.params["axes"]
    kept = iter(labels)
    below = ""
    for axis, size in zip(range(-len(shape), 0), shape, strict=True):
        if axis in axes:
            below += reader.label(size)
            if node.params["keepdims"]:
                next(kept)
        else:
            below += next(kept)
    return [(node.inputs[0], below)]


def _mean(reader: _Reader, node: Node, labels: str) -> Below:
    shape = reader.nodes[node.inputs[0]].shape
    reader.counts.append(dims.product(shape[axis] for axis in node.params["axes"]))
    return _sum(reader, node, labels)


def _trace(reader: _Reader, node: Node, labels: str) -> Below | None:
    rows, columns = reader.nodes[node.inputs[0]].shape[-2:]
    return [(node.inputs[0], labels + reader.label(rows) * 2)] if rows == columns else None


def _diagonal(reader: _Reader, node: Node, labels: str) -> Below | None:
    rows, columns = reader.nodes[node.inputs[0]].shape[-2:]
    return [(node.inputs[0], labels + labels[-1])] if rows == columns else None


def _diag(reader: _Reader, node: Node, labels: str) -> Below | None:
    return [(node.inputs[0], labels[:-1])] if reader.same(*labels[-2:]) else None


def _eye(reader: _Reader, node: Node, labels: str) -> Below | None:
    return [] if node.shape[0] == node.shape[1] and reader.same(*labels) else None


def _broadcast_to(reader: _Reader, node: Node, labels: str) -> Below:
    return [(node.inputs[0], reader.aligned(reader.nodes[node.inputs[0]].shape, labels))]


def _transpose(_reader: _Reader, node: Node, labels: str) -> Below:
    axes = node.params["axes"]
    first = len(labels) - len(axes)
    below = dict(zip(axes, labels[first:], strict=True))
    return [(node.inputs[0], labels[:first] + "".join(below[axis] for axis in range(-len(axes), 0)))]


def _expand_dims(_reader: _Reader, node: Node, labels: str) -> Below:
    rank = len(labels)
    return [(node.inputs[0], "".join(labels[axis] for axis in range(-rank, 0) if axis not in node.params["axes"]))]


def _squeeze(reader: _Reader, node: Node, labels: str) -> Below:
    kept = iter(labels)
    rank = len(reader.nodes[node.inputs[0]].shape)
    axes = node.params["axes"]
    return [(node.inputs[0], "".join(reader.label(1) if axis in axes else next(kept) for axis in range(-rank, 0)))]


def _einsum(reader: _Reader, node: Node, labels: str) -> Below:
    left, _, out = node.params["subscripts"].partition("->")
    names = dict(zip(out, labels, strict=True))
    below = []
    for number, term in zip(node.inputs, left.split(","), strict=True):
        for label, size in zip(term, reader.nodes[number].shape, strict=True):
            if label not in names:
                names[label] = reader.label(size)
        below.append((number, "".join(names[label] for label in term)))
    return below


_READ: dict[Op, Callable[[_Reader, Node, str], Below | None]] = {
    matmul: _matmul,
    multiply: _multiply,
    divide: _divide,
    negative: _negative,
    SUM: _sum,
    MEAN: _mean,
    TRACE: _trace,
    DIAGONAL: _diagonal,
    DIAG: _diag,
    EYE: _eye,
    BROADCAST_TO: _broadcast_to,
    TRANSPOSE: _transpose,
    EXPAND_DIMS: _expand_dims,
    SQUEEZE: _squeeze,
    EINSUM: _einsum,
}
"""How a node is read: the operands that are its factors, with the labels that its own axes give theirs, or None."""
READ = frozenset(_READ)
"""The ops that are read."""

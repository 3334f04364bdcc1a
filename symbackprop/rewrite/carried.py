"""Which axes operations carry from operand to result: each row of the result needs the same row of the operand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from symbackprop import dims
from symbackprop.dims import Shape
from symbackprop.graph import Node
from symbackprop.ops import matmul
from symbackprop.ops.contract import EINSUM
from symbackprop.ops.index import CONCATENATE, SLICE, STACK
from symbackprop.ops.layout import EXPAND_DIMS, RESHAPE, SQUEEZE, TRANSPOSE
from symbackprop.ops.norms import NORM
from symbackprop.ops.order import ARGSORT, SORT
from symbackprop.ops.reduce import (
    ALL,
    ANY,
    LARGEST,
    LOG_SOFTMAX,
    LOGSUMEXP,
    MAX,
    MEAN,
    MIN,
    SHIFTED,
    SOFTMAX,
    SOFTMAX_CENTRED,
    SUM,
)
from symbackprop.ops.scan import CUMMAX, CUMMIN, CUMPROD, CUMSUM

_VIEWS = frozenset({TRANSPOSE, EXPAND_DIMS, SQUEEZE, RESHAPE})
REDUCTIONS = frozenset({SUM, MEAN, MAX, MIN, ANY, ALL, LARGEST, LOGSUMEXP, NORM})
"""Ops that reduce axes."""
SUMS = frozenset({SUM, MEAN, matmul, EINSUM})
"""Ops that sum over axes."""
_PIECES = frozenset({SLICE, CONCATENATE, STACK})
_SCANS = frozenset({CUMSUM, CUMPROD, CUMMAX, CUMMIN})  # not RECURRENCE: Python's steps cost the same for fewer rows
BY_ROWS = _SCANS | {SOFTMAX, LOG_SOFTMAX, SOFTMAX_CENTRED, SHIFTED}
"""Ops that work element by element but for some axes."""
_WITHIN_ROWS = BY_ROWS | {SORT, ARGSORT}

Carry: TypeAlias = "tuple[int, int, int | None]"


def carried(node: Node, shapes: Sequence[Shape]) -> Iterable[Carry]:
    """Give the axes that an operation goes along row by row, or sums over.

    Args:
        node: the operation.
        shapes: of its operands.

    Returns:
        The operand, its axis, and the axis of the result, all counted from the left; None where it is summed over.

    >>> import symbackprop as sb
    >>> A, x = sb.symbols("A[M,N] x[N]")
    >>> list(carried((A @ x).node, [A.shape, x.shape]))
    [(0, 0, 0), (0, 1, None), (1, 0, None)]
    """
    if node.op.elementwise or node.op in _WITHIN_ROWS:
        return _on_elements(node, shapes)
    if node.op in REDUCTIONS:
        return _in_reduction(node, len(shapes[0]))
    if node.op in _PIECES:
        return _in_pieces(node, shapes)
    if node.op in _VIEWS:
        return _in_reshape(node, *shapes) if node.op is RESHAPE else _in_view(node, len(shapes[0]))
    if node.op is EINSUM:
        return _in_einsum(node)
    return _in_product(node, *shapes) if node.op is matmul else ()


def _on_elements(node: Node, shapes: Sequence[Shape]) -> Iterator[Carry]:
    rank = len(node.shape)
    without = {axis + rank for axis in node.params["axes"]} if node.op in _WITHIN_ROWS else ()
    for operand, shape in enumerate(shapes):
        for axis, at in enumerate(range(rank - len(shape), rank)):
            if shape[axis] == node.shape[at] and at not in without:
                yield operand, axis, at


def _in_reduction(node: Node, rank: int) -> Iterator[Carry]:
    gone = {axis + rank for axis in node.params["axes"]}
    at = 0
    for axis in range(rank):
        if axis not in gone:
            yield 0, axis, at
        elif node.op in SUMS:
            yield 0, axis, None
        at += axis not in gone or node.op is LARGEST or node.params["keepdims"]


def _in_view(node: Node, rank: int) -> Iterator[Carry]:
    axes = node.params["axes"]
    if node.op is TRANSPOSE:
        lead = rank - len(axes)
        yield from ((0, axis, axis) for axis in range(lead))
        yield from ((0, axis + rank, lead + at) for at, axis in enumerate(axes))
        return
    larger = max(rank, len(node.shape))
    kept = [axis for axis in range(larger) if axis - larger not in axes]
    yield from ((0, axis, at) if node.op is EXPAND_DIMS else (0, at, axis) for axis, at in enumerate(kept))


def _in_reshape(node: Node, shape: Shape) -> Iterator[Carry]:
    """Give the axes that have as much before them as in the result."""
    ends = [dims.product(node.shape[:at]) for at in range(len(node.shape))]
    for axis, size in enumerate(shape):
        before = dims.product(shape[:axis])
        places = [at for at, end in enumerate(ends) if end == before and node.shape[at] == size != 1]
        if len(places) == 1:
            yield 0, axis, places[0]


def _in_pieces(node: Node, shapes: Sequence[Shape]) -> Iterator[Carry]:
    rank = len(node.shape)
    if node.op is SLICE:
        runs, first = node.params["runs"], rank - len(node.params["runs"])
        whole = (axis < first or runs[axis - first] == (0, size, 1) for axis, size in enumerate(shapes[0]))
        yield from ((0, axis, axis) for axis, each in enumerate(whole) if each)
        return
    place = node.params["axis"] + rank
    for operand in range(len(shapes)):
        for axis in range(rank - (node.op is STACK)):
            at = axis + (node.op is STACK and axis >= place)
            if at != place:
                yield operand, axis, at


def _in_einsum(node: Node) -> Iterator[Carry]:
    given, _, result = node.params["subscripts"].partition("->")
    for operand, labels in enumerate(given.split(",")):
        for axis, label in enumerate(labels):
            if labels.count(label) == 1:
                yield operand, axis, result.index(label) if label in result else None


def _in_product(node: Node, left: Shape, right: Shape) -> Iterator[Carry]:
    rank = len(node.shape)
    batch = rank - (len(left) > 1) - (len(right) > 1)
    for operand, shape in enumerate((left, right)):
        for axis, at in enumerate(range(batch - len(shape) + 2, batch)):
            if shape[axis] == node.shape[at]:
                yield operand, axis, at
    if len(left) > 1:
        yield 0, len(left) - 2, batch
    if len(right) > 1:
        yield 1, len(right) - 1, rank - 1
    yield 0, len(left) - 1, None
    yield 1, max(len(right) - 2, 0), None

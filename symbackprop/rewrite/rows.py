"""The pass that lays out products which are summed over a short last axis, as in squared distances of points.

NumPy's inner loop goes along the last axis. In ``sum((X[:, None] - X)**2, axis=-1)`` that has as many elements as a
point has coordinates, and to start a loop costs more than its work. With the coordinates first the loop goes along
the points; only X, which is small, must be copied for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import TypeAlias

from symbackprop.expr import Expr
from symbackprop.graph import Node, attributed
from symbackprop.op import apply
from symbackprop.ops import expand_dims
from symbackprop.ops.contract import EINSUM
from symbackprop.ops.layout import EXPAND_DIMS
from symbackprop.rewrite.engine import Rewritten
from symbackprop.rewrite.order import number
from symbackprop.rewrite.reorder import Ordering

Cluster: TypeAlias = "tuple[set[int], set[int]]"
"""Elementwise nodes of one shape, and what they are computed from."""

_SHORT = 32  # elements of a row, up to which the other layout is faster,
_LONG = 16  # if there are so many rows side by side


def rebuild_rows(outputs: Sequence[Expr], target: Rewritten, ordering: Ordering) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, short sums laid out in long rows."""
    if not outputs:
        return []
    layout = _Layout(outputs, ordering)
    return layout.copied(target) if layout.clusters else list(outputs)


class _Layout:
    """The sums that are laid out anew.

    Attributes:
        nodes: the nodes of the graph.
        order: the numbers of those that the outputs are computed from, operands first.
        clusters: for the number of each such sum what it sums.
    """

    def __init__(self, outputs: Sequence[Expr], ordering: Ordering) -> None:
        graph = outputs[0].graph
        self.results = [output.number for output in outputs]
        self.nodes, self.order = graph.nodes, graph.reachable(self.results)
        self.clusters: dict[int, Cluster] = {}
        roots = [at for at in self.order if _sums_rows(self.nodes[at])]
        users = self._users() if roots else {}
        for root in roots:
            cluster = self._cluster(root, users)
            *_, long, short = self.nodes[self.nodes[root].inputs[0]].shape
            if cluster is not None and number(long, ordering.sizes) >= _LONG and ordering.is_small(short, _SHORT):
                self.clusters[root] = cluster

    def _users(self) -> Mapping[int, set[int]]:
        users: dict[int, set[int]] = {at: set() for at in self.order}
        for at in self.order:
            for operand in self.nodes[at].inputs:
                users[operand].add(at)
        for at in self.results:
            users[at].add(-1)
        return users

    def _cluster(self, root: int, users: Mapping[int, set[int]]) -> Cluster | None:
        """Give what a sum sums, if that is computed element by element from smaller arrays and used by it alone."""
        whole = self.nodes[self.nodes[root].inputs[0]].shape
        inside, leaves = set[int](), set[int]()
        waiting = [*self.nodes[root].inputs]
        while waiting:
            at = waiting.pop()
            node = self.nodes[at]
            if node.shape != whole:
                leaves.add(at)
            elif node.op.elementwise and at not in inside and users[at] <= inside | {root}:
                inside.add(at)
                waiting += node.inputs
        below = {operand for at in (root, *inside) for operand in self.nodes[at].inputs}
        return (inside, leaves) if inside and below <= inside | leaves else None

    def copied(self, target: Rewritten) -> list[Expr]:
        """Copy all nodes but those that only sums which are laid out anew are computed from."""
        gone = set[int]().union(*(inside for inside, _ in self.clusters.values()))
        placed: dict[int, Expr] = {}
        for at in self.order:
            node = self.nodes[at]
            if at in self.clusters:
                with attributed(node.origin):
                    placed[at] = self._summed(at, placed)
            elif at not in gone:
                placed[at] = target.copy_on([placed[operand] for operand in node.inputs], node, at)
        return [placed[at] for at in self.results]

    def _summed(self, root: int, placed: Mapping[int, Expr]) -> Expr:
        node = self.nodes[root]
        inside, leaves = self.clusters[root]
        rank = len(self.nodes[node.inputs[0]].shape)
        moved = {at: _last_first(placed[at], rank) for at in leaves}
        for at in sorted(inside):
            part = self.nodes[at]
            moved[at] = apply(part.op, *(moved[operand] for operand in part.inputs), **part.params)
        letters = ascii_lowercase[:rank]
        operands = (moved[operand] for operand in node.inputs)
        return apply(EINSUM, *operands, subscripts=f"{letters},{letters}->{letters[1:]}")


def _sums_rows(node: Node) -> bool:
    """Tell whether this sums products over the last of three axes or more."""
    letters = ascii_lowercase[: len(node.shape) + 1]
    return (
        node.op is EINSUM
        and len(letters) > 2  # a matrix whose columns are summed is no larger than what it is computed from
        and node.dtype.kind == "f"
        and bool(node.params["subscripts"] == f"{letters},{letters}->{letters[:-1]}")
    )


def _last_first(leaf: Expr, rank: int) -> Expr:
    """Give what broadcasts to an array of some rank with the last axis first; an axis of size 1 is not needed there."""
    new = {axis + leaf.ndim for axis in leaf.params["axes"]} if leaf.op is EXPAND_DIMS else set[int]()
    base = leaf.inputs[0] if new else leaf
    places = [at + rank - leaf.ndim for at in range(leaf.ndim) if at not in new]  # of the axes of the base
    if not places:
        return base
    if places[-1] != rank - 1:
        return expand_dims(base, [at - rank + 1 for at in range(places[0], rank - 1) if at not in places])
    turned = base
    if base.ndim > 1:
        letters = ascii_lowercase[: base.ndim]
        turned = apply(EINSUM, base, subscripts=f"{letters}->{letters[-1]}{letters[:-1]}")  # copied, no view
    kept = {0, *(place + 1 for place in places[:-1])}
    return expand_dims(turned, [at - rank for at in range(rank) if at not in kept])

"""The pass that multiplies out products linear in a broadcast sum: ``Σⱼ Qₖᵢⱼ(xₙⱼ − μₖⱼ) = Σⱼ Qₖᵢⱼxₙⱼ − Σⱼ Qₖᵢⱼμₖⱼ``.

The differences of all points from all centres are larger than points and centres, and a product with them is a stack
of products of small matrices. Multiplied out, no difference is formed: the part with the points is one product of
matrices, the part with the centres is small.

The equation is one of real numbers. Where the operands have much in common, of which the difference would be rid, its
last digits are lost, the more the larger the operands are beside it. It is done where *all* uses of the sum are linear
products, and never to squares: ``‖x − y‖²`` stays what it is. `skip=["distribute"]` leaves it out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import NamedTuple

from symbackprop import dims
from symbackprop.expr import Expr
from symbackprop.graph import Node, attributed
from symbackprop.op import apply
from symbackprop.ops import add, broadcast_to, expand_dims, squeeze, subtract
from symbackprop.rewrite.engine import Rewritten
from symbackprop.rewrite.order import Step, number
from symbackprop.rewrite.reorder import Ordering, Trees, planned, put_together
from symbackprop.rewrite.trees import Tree

_PASS = 8  # operations of a product of matrices that take as long as to write and read an element
_WORTH = 4096  # elements of the sum: to form fewer takes less than to call NumPy once more
_OPERAND = -1  # in place of the number of an operand of the sum, which may be a factor itself


class _Use(NamedTuple):
    """A product with a sum as a factor, the sum, and the two products with its operands in that place."""

    whole: Tree
    total: Node
    parts: tuple[Tree, Tree]


def rebuild_distributed(outputs: Sequence[Expr], target: Rewritten, ordering: Ordering) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, with products over broadcast sums multiplied out."""
    if not outputs:
        return []
    graph = outputs[0].graph
    order = graph.reachable([output.number for output in outputs])
    sums = [at for at in order if _is_outer(graph.nodes, at)]
    found = _chosen(Trees(outputs), sums, ordering) if sums else {}
    if not found:
        return list(outputs)
    placed: dict[int, int] = {}
    for at in order:
        node = graph.nodes[at]
        if at in found:
            with attributed(node.origin):
                placed[at] = _multiplied_out(node, found[at], placed, target, ordering.sizes)
        else:
            copy = node.copied(tuple([placed[operand] for operand in node.inputs]))
            placed[at] = target.copy_in(copy, at, settled=False)
    return [Expr(target, placed[output.number]) for output in outputs]


def _is_outer(nodes: Mapping[int, Node], at: int) -> bool:
    """Tell whether a node is a sum or difference that is larger than both operands."""
    node = nodes[at]
    if (node.op is not add and node.op is not subtract) or len(node.shape) < 2 or node.label or node.dtype.kind != "f":
        return False
    operands = [nodes[operand] for operand in node.inputs]
    if any(operand.shape == node.shape or operand.dtype != node.dtype for operand in operands):
        return False
    return all(_without_ones(operand) != _without_ones(node) for operand in operands)


def _without_ones(node: Node) -> list[object]:
    return [size for size in node.shape if size != 1]


def _chosen(trees: Trees, sums: Sequence[int], ordering: Ordering) -> dict[int, _Use]:
    """Give the products that are multiplied out, by their roots."""
    using: dict[int, list[int]] = defaultdict(list)
    for root, operands in [*trees.plain.items(), *((root, tree.leaves) for root, tree in trees.trees.items())]:
        for operand in operands:
            using[operand].append(root)
    found: dict[int, _Use] = {}
    for at in sums:
        node = trees.nodes[at]
        roots = using[at]
        if not roots or len(roots) != trees.uses[at] or not found.keys().isdisjoint(roots):
            continue
        uses = [_use(trees, node, at, root) for root in dict.fromkeys(roots)]
        if None in uses or len(uses) < len(roots):
            continue
        linear = [use for use in uses if use is not None]
        names = {name for use in linear for name in dims.names_of(use.whole.extents.values())}
        if ordering.granted(names, lambda sizes, node=node, linear=linear: _saves(node, linear, sizes)):  # type: ignore[misc]
            found.update({use.whole.root: use for use in linear})
    return found


def _use(trees: Trees, node: Node, at: int, root: int) -> _Use | None:
    """Read a product in which the sum is a factor once, and a sum over one of its axes is taken."""
    tree = trees.tree(root)
    places = [place for place, (factor, _) in enumerate(tree.factors) if factor == at]
    if len(places) != 1 or at in tree.divisors:
        return None
    (place,) = places
    labels = tree.factors[place][1]
    others = {label for other, (_, own) in enumerate(tree.factors) if other != place for label in own}
    summed = {label for label in labels if label not in tree.out}
    if not summed or len({*labels}) < len(labels):
        return None
    parts = []
    for operand in node.inputs:
        shape = trees.nodes[operand].shape
        own = "".join(label for label, size in zip(labels[len(labels) - len(shape) :], shape, strict=True) if size != 1)
        if not {*labels} <= others.union(tree.out, own):
            return None
        factors = (*tree.factors[:place], (_OPERAND, own), *tree.factors[place + 1 :])
        parts.append(replace(tree, factors=factors))
    return _Use(tree, node, (parts[0], parts[1]))


def _saves(node: Node, uses: Sequence[_Use], sizes: Mapping[str, int]) -> bool:
    """Tell whether less is computed, written and read when all these products are multiplied out."""
    elements = prod(number(size, sizes) for size in node.shape)
    before = _PASS * elements * (1 + len(uses))  # it is formed, and read as an operand of each
    after = 0
    for whole, _, parts in uses:
        before += _work(whole, sizes)
        after += sum(_work(part, sizes) for part in parts)
        after += _PASS * prod(number(whole.extents[label], sizes) for label in whole.kept)
    return elements >= _WORTH and after < before


def _work(tree: Tree, sizes: Mapping[str, int]) -> int:
    """Count operations, those that are no part of a product of matrices as often as they take longer."""
    size = {label: number(extent, sizes) for label, extent in tree.extents.items()}
    labels = {at: frozenset(own) for at, (_, own) in enumerate(tree.factors)}
    total = 0
    for at, step in enumerate(planned(tree, sizes), start=len(labels)):
        union = frozenset[str]().union(*(labels[place] for place in step.factors))
        total += prod(size[label] for label in union) * _weight(step, union)
        labels[at] = step.kept
    return total


def _weight(step: Step, union: frozenset[str]) -> int:
    return 2 if len(step.factors) == 2 and step.kept != union else _PASS


def _multiplied_out(
    node: Node, use: _Use, placed: Mapping[int, int], target: Rewritten, sizes: Mapping[str, int]
) -> int:
    """Give the sum or difference of the two products."""
    made = []
    for part, operand in zip(use.parts, use.total.inputs, strict=True):
        expr = Expr(target, placed[operand])
        single = [axis for axis, size in enumerate(expr.shape) if size == 1]
        leaves = {at: placed[at] for at in part.leaves if at != _OPERAND}
        leaves[_OPERAND] = squeeze(expr, single).number
        product = put_together(part, node.dtype, leaves, target, sizes)
        rank = len(part.out)
        missing = [axis - rank for axis, label in enumerate(part.out) if label not in part.kept]
        first = product.ndim and part.out.index(part.kept[0]) - rank
        made.append(expand_dims(product, [axis for axis in missing if axis > first]))
    found = broadcast_to(apply(use.total.op, *made), node.shape)
    found.node.stand_for(node)
    return found.number

"""The pass that orders products: trees of products are put together again where that takes fewer operations.

A matrix product, a sum, a trace or a diagonal of products is read as one product of labelled arrays, down to what
others use too, and replaced by what `contracted` makes of it. A product that only such trees use is computed once,
unless all of them together are cheaper without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod

from symbackprop import dims
from symbackprop.dims import Shape, Size
from symbackprop.expr import Expr
from symbackprop.graph import Node, attributed
from symbackprop.op import Dtype, literal
from symbackprop.ops import broadcast_to, expand_dims, matmul, multiply
from symbackprop.ops.contract import DIAGONAL, EINSUM, TRACE
from symbackprop.ops.layout import TRANSPOSE
from symbackprop.ops.leaf import size_of
from symbackprop.ops.reduce import MEAN, SUM
from symbackprop.ops.systems import inv
from symbackprop.rewrite.engine import Rewritten
from symbackprop.rewrite.facts import known
from symbackprop.rewrite.order import Factor, Step, contracted, number, place_of_scalar, plan, work
from symbackprop.rewrite.trees import READ, TURNS, VIEWS, Tree, read

_ROOTS = frozenset({matmul, SUM, MEAN, TRACE, DIAGONAL, EINSUM})
_SHARED = frozenset({matmul, multiply})
_SUMS = frozenset({SUM, MEAN, multiply})
_MOST = 20  # factors of a tree with a product in it that others use
_ROUNDS = 4  # in which products that are shared are looked at: one that stays may go when others have gone
_SAVED = 50_000  # operations in each call that are worth compiling once more,
_SHARE = 0.1  # or this share of all that can be ordered


@dataclass(frozen=True)
class Choice:
    """How the trees of some expressions are computed.

    Attributes:
        trees: the trees by their roots; products that are no longer computed are missing.
        steps: the steps of those that are put together again.
    """

    trees: Mapping[int, Tree]
    steps: Mapping[int, Sequence[Step]]


class Ordering:
    """The pass for some sizes, and what it and others chose by them.

    Attributes:
        sizes: numbers for named sizes; others are guessed.
        guessed: whether the choice depends on sizes that were guessed.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        """Take the sizes."""
        self.sizes = dict(sizes)
        self.guessed = False
        self._trees: Trees | None = None
        self._choice: Choice | None = None
        self._decisions: list[tuple[Callable[[Mapping[str, int]], bool], bool]] = []

    def rebuild(self, outputs: Sequence[Expr], target: Rewritten) -> list[Expr]:
        """Copy what the outputs are computed from into another graph, with its products in the cheapest order."""
        trees = Trees(outputs)
        choice = trees.choice(self.sizes)
        told = {name for tree in trees.open_to_choice() for name in dims.names_of(tree.extents.values())}
        if told - self.sizes.keys():
            self.guessed, self._trees, self._choice = True, trees, choice
        return trees.built(choice, target, self.sizes) if choice.steps else list(outputs)

    def told(self, names: Collection[str], holds: Callable[[Mapping[str, int]], bool]) -> bool:
        """Tell whether something holds for the sizes, which it does not until all of these names are told."""
        return self._decided(names, holds, untold=False)

    def granted(self, names: Collection[str], holds: Callable[[Mapping[str, int]], bool]) -> bool:
        """Tell whether something holds for the sizes, which is taken for granted until all of these names are told."""
        return self._decided(names, holds, untold=True)

    def is_small(self, size: Size, most: int) -> bool:
        """Tell whether a size is no larger than that, which is taken for granted until it is told."""
        return self.granted(dims.names_of((size,)), lambda sizes: number(size, sizes) <= most)

    def _decided(self, names: Collection[str], holds: Callable[[Mapping[str, int]], bool], *, untold: bool) -> bool:
        is_told = self.sizes.keys() >= {*names}
        self.guessed = self.guessed or not is_told
        chosen = holds(self.sizes) if is_told else untold
        self._decisions.append((holds, chosen))
        return chosen

    def is_worse(self, sizes: Mapping[str, int]) -> bool:
        """Tell whether for other sizes another choice saves so much that it is worth compiling once more."""
        if any(holds(sizes) != chosen for holds, chosen in self._decisions):
            return True
        if self._trees is None or self._choice is None:
            return False
        best = self._trees.total(self._trees.choice(sizes), sizes)
        found = self._trees.total(self._choice, sizes)
        return found - best > min(_SAVED, _SHARE * found)


class Trees:
    """The trees of products in a graph.

    Attributes:
        outputs: the expressions.
        graph: where they live.
        nodes: its nodes.
        order: the numbers of those that the outputs are computed from, operands first.
        uses: how often each is used, looking through views.
        trees: the trees by their roots.
        plain: the operands of single products and sums, for which there is nothing to choose.
        shared: the products that only trees use, and more than one of them or twice, inner ones first.
    """

    def __init__(self, outputs: Sequence[Expr]) -> None:
        self.outputs = outputs
        self.graph = outputs[0].graph
        self.nodes = self.graph.nodes
        self.bare = {output.number for output in outputs}
        self.order = self.graph.reachable(self.bare)
        self.uses = self._counted()
        self.trees, self.plain = self._read()
        self.shared = self._candidates(self.plain)
        if self.shared:
            shared = {*self.shared}
            used = {at for at, operands in self.plain.items() if not shared.isdisjoint(operands)}
            self.trees.update({at: self.tree(at) for at in sorted((used | shared) - self.trees.keys())})

    def _counted(self) -> Counter[int]:
        """Count the uses of each node, looking through views."""
        uses = Counter(dict.fromkeys(self.bare, 1))
        for at in reversed(self.order):
            node = self.nodes[at]
            times = uses[at] if node.op in VIEWS and not node.label else 1
            for operand in node.inputs:
                uses[operand] += times
        return uses

    def _opens(self, at: int, root: Node) -> bool:
        """Tell whether a tree goes on below a node: only it uses the node, and it is a product or a view of one."""
        node = self.nodes[at]
        if (
            node.op not in READ
            or node.dtype != root.dtype
            or node.label
            or (self.uses[at] > 1 and node.op not in VIEWS)
        ):
            return False
        # a product with an inverse is a system to be solved, and a trace or a sum of it is no product with an inverse
        return node.op is not matmul or root.op is matmul or all(self.nodes[each].op is not inv for each in node.inputs)

    def tree(self, root: int) -> Tree:
        """Read the tree at a root."""
        return read(self.graph, root, lambda at: self._opens(at, self.nodes[root]))

    def _read(self) -> tuple[dict[int, Tree], dict[int, list[int]]]:
        """Read the trees, the outermost first: what one of them opens is no root of another.

        Beside them gives what single products and sums have as operands, for which there is nothing to choose.
        """
        trees: dict[int, Tree] = {}
        plain: dict[int, list[int]] = {}
        inside: set[int] = set()
        for at in reversed(self.order):
            node = self.nodes[at]
            if node.op not in _ROOTS or at in inside or node.dtype.kind != "f":
                continue
            operands = [self._below_turns(operand) for operand in node.inputs]
            if node.op is EINSUM or any(self._opens(operand, node) for operand in operands):
                trees[at] = self.tree(at)
                inside.update(trees[at].opened)
            else:
                plain[at] = operands
        return trees, plain

    def _below_turns(self, at: int) -> int:
        while self.nodes[at].op in TURNS and not self.nodes[at].label:
            (at,) = self.nodes[at].inputs
        return at

    def _candidates(self, plain: Mapping[int, Sequence[int]]) -> list[int]:
        """Give the products that trees alone use, inner ones first; not those that are no larger than a factor."""
        times = Counter(leaf for tree in self.trees.values() for leaf in tree.leaves)
        for operands in plain.values():
            times.update(operands)
        found = []
        for at, uses in times.items():
            node = self.nodes[at]
            if not 1 < uses == self.uses[at] or node.op not in _SHARED or node.label or node.dtype.kind != "f":
                continue
            if node.op is matmul or all(self.nodes[operand].shape != node.shape for operand in node.inputs):
                found.append(at)
        return sorted(found)

    def open_to_choice(self) -> list[Tree]:
        """Give the trees that can be put together in several ways."""
        return [tree for tree in self.trees.values() if self.shared or self._is_choice(tree)]

    def _is_choice(self, tree: Tree) -> bool:
        ops = {self.nodes[at].op for at in tree.opened} - TURNS
        if EINSUM in ops or tree.is_scaled:
            return True
        if ops <= _SUMS:
            return len({frozenset(labels) for _, labels in tree.factors}) > 1
        return sum(self.nodes[at].op not in TURNS for at in tree.opened) > 1

    def _is_by_hand(self, tree: Tree) -> bool:
        """Tell whether this is a product of two matrices, or of a matrix and a vector, written by its elements."""
        if any(self.nodes[at].op is matmul for at in tree.opened) or len(tree.factors) != 2:
            return False
        one, other = ({*labels} for _, labels in tree.factors)
        return one != other and not one & other & {*tree.out}

    # --- the choice -------------------------------------------------------------------------------------------

    def choice(self, sizes: Mapping[str, int]) -> Choice:
        """Choose for each tree, and for each product that trees share, what takes fewest operations."""
        trees = dict(self.trees)
        steps: dict[int, list[Step]] = {}
        users: dict[int, set[int]] = {}
        for root, tree in trees.items():
            for leaf in tree.leaves:
                users.setdefault(leaf, set()).add(root)
        waiting = self.shared
        for _ in range(_ROUNDS):
            left = [at for at in waiting if not self._opened(at, trees, steps, users, sizes)]
            if len(left) == len(waiting):
                break
            waiting = left
        forced = set(steps)
        for root, tree in trees.items():
            if root in forced or not self._is_choice(tree):
                continue
            steps[root] = planned(tree, sizes)
            is_einsum = any(self.nodes[at].op is EINSUM for at in tree.opened)
            saved = self._written(tree, sizes) - self._work(tree, steps[root], sizes)
            if not is_einsum and (saved < 0 or (saved == 0 and not self._is_by_hand(tree))):
                del steps[root]
        return Choice(trees, steps)

    def _opened(
        self,
        at: int,
        trees: dict[int, Tree],
        steps: dict[int, list[Step]],
        users: dict[int, set[int]],
        sizes: Mapping[str, int],
    ) -> bool:
        """Put the factors of a product in its place wherever it is used, if that takes fewer operations in all."""
        inner, roots = trees[at], sorted(users[at])
        opened = {root: trees[root].with_opened(inner) for root in roots}
        if any(len(tree.factors) > _MOST or at in tree.divisors for tree in opened.values()):
            return False
        plans = {root: planned(tree, sizes) for root, tree in opened.items()}
        cost = sum(self._work(tree, plans[root], sizes) for root, tree in opened.items())
        if cost >= sum(self._least(trees[root], sizes) for root in (*roots, at)):
            return False
        del trees[at]
        steps.pop(at, None)
        trees.update(opened)
        steps.update(plans)
        for leaf in inner.leaves:
            users[leaf] = users[leaf] - {at} | {*roots}
        return True

    def total(self, choice: Choice, sizes: Mapping[str, int]) -> int:
        """Count the operations of all trees."""
        return sum(self._work(tree, choice.steps.get(root), sizes) for root, tree in choice.trees.items())

    def _least(self, tree: Tree, sizes: Mapping[str, int]) -> int:
        return min(self._written(tree, sizes), self._work(tree, planned(tree, sizes), sizes))

    def _work(self, tree: Tree, steps: Sequence[Step] | None, sizes: Mapping[str, int]) -> int:
        """Count the operations of a tree that is put together by steps, or as it was written."""
        if steps is None:
            return self._written(tree, sizes)
        factors = self._factors(tree)
        size = {label: number(extent, sizes) for label, extent in tree.extents.items()}
        total = work(factors, steps, size)
        if tree.is_scaled or tree.counts:
            keeps = tree.negatives % 2 == 0 and all(map(self._is_nonnegative, tree.scalars))
            place = place_of_scalar(factors, steps, size, nonnegative=keeps)
            if place is not None:
                labels = factors[place].labels if place < len(factors) else steps[place - len(factors)].kept
                total += prod(size[label] for label in labels)
        return total

    def _factors(self, tree: Tree) -> list[Factor]:
        """Give what the order depends on; facts are only looked up where an array is multiplied with itself."""
        times = Counter(at for at, labels in tree.factors if labels)
        twice = max(times.values(), default=0) > 1
        return [Factor(labels, at, twice and self._is_nonnegative(at)) for at, labels in tree.factors]

    def _is_nonnegative(self, at: int) -> bool:
        return "nonnegative" in known(Expr(self.graph, at))

    def _written(self, tree: Tree, sizes: Mapping[str, int]) -> int:
        """Count the operations of a tree as it was written; a matrix times its own transpose takes half of them."""
        total = 0
        for at in tree.opened:
            node = self.nodes[at]
            if node.op in VIEWS:
                continue
            shapes = tuple(_numbers(self.nodes[operand].shape, sizes) for operand in node.inputs)
            cost = number(node.op.cost(shapes, _numbers(node.shape, sizes), node.params), sizes)
            total += cost // 2 if self._is_square(node) else cost
        return total

    def _is_square(self, node: Node) -> bool:
        if node.op is not matmul or len(node.shape) != 2:
            return False
        return any(
            self.nodes[one].op is TRANSPOSE and self.nodes[one].inputs[0] == other
            for one, other in (node.inputs, node.inputs[::-1])
        )

    # --- the result -------------------------------------------------------------------------------------------

    def built(self, choice: Choice, target: Rewritten, sizes: Mapping[str, int]) -> list[Expr]:
        """Copy what the outputs are computed from, with trees put together by their steps."""
        placed: dict[int, int] = {}
        settled: set[int] = set()
        for at in self._needed(choice):
            node = self.nodes[at]
            if at in choice.steps:
                placed[at] = self._put_together(choice.trees[at], placed, target, sizes)
                continue
            copy = node.copied(tuple([placed[operand] for operand in node.inputs]))
            calm = settled.issuperset(node.inputs)
            placed[at] = target.copy_in(copy, at, settled=calm)
            if calm and target.nodes[placed[at]] is copy:
                settled.add(at)
        return [Expr(target, placed[output.number]) for output in self.outputs]

    def _needed(self, choice: Choice) -> list[int]:
        found, stack = set(self.bare), [*self.bare]
        while stack:
            at = stack.pop()
            for operand in choice.trees[at].leaves if at in choice.steps else self.nodes[at].inputs:
                if operand not in found:
                    found.add(operand)
                    stack.append(operand)
        return sorted(found)

    def _put_together(self, tree: Tree, placed: Mapping[int, int], target: Rewritten, sizes: Mapping[str, int]) -> int:
        node = self.nodes[tree.root]
        with attributed(node.origin):
            found = put_together(tree, node.dtype, placed, target, sizes)
            missing = [axis for axis, label in enumerate(tree.out) if label not in tree.kept]
            if missing:
                found = broadcast_to(expand_dims(found, missing), node.shape)
        found.node.stand_for(node)
        return found.number


def put_together(
    tree: Tree, dtype: Dtype, placed: Mapping[int, int], target: Rewritten, sizes: Mapping[str, int]
) -> Expr:
    """Give the product that a tree stands for, with the axes of the tree's result that a factor has.

    Args:
        tree: the tree.
        dtype: the dtype of the product.
        placed: the numbers of its leaves in another graph.
        target: that graph.
        sizes: numbers for named sizes.
    """
    terms = [(labels, Expr(target, placed[at])) for at, labels in tree.factors]
    divisors = [Expr(target, placed[at]) for at in tree.divisors]
    if tree.negatives % 2 or not terms:
        terms.insert(0, ("", literal(-1 if tree.negatives % 2 else 1, dtype, graph=target)))
    copies, count = dims.product(tree.copies), dims.product(tree.counts)
    if copies not in {1, count}:
        terms.append(("", size_of(copies, dtype, graph=target)))
    if count not in {1, copies}:
        divisors.append(size_of(count, dtype, graph=target))
    return contracted(terms, tree.kept, sizes, divisor=reduce(multiply, divisors) if divisors else None)


def planned(tree: Tree, sizes: Mapping[str, int]) -> list[Step]:
    """Give the steps by which the factors of a tree become its product."""
    size = {label: number(extent, sizes) for label, extent in tree.extents.items()}
    return plan([frozenset(labels) for _, labels in tree.factors], frozenset(tree.kept), size)


def _numbers(shape: Shape, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(number(size, sizes) for size in shape)

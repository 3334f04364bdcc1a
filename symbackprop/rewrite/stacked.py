"""The pass that computes at once what many small values have in common and none of them waits for.

Unrolled networks are chains of steps, and what the chain does not wait for can be done for all steps together: the
slopes ``1 − hₜ²``, the gradients ``hₜ₋₁ᵀ dₜ`` and ``Σ dₜ`` of the layers. The values of all steps are put into one
array, one operation is done on it, and its elements are what the single operations gave.

What is done together must not wait for itself. Each node has a place in an order, counted back from the results; what
is computed together gets one place, after all of its operands and before all that it is used for, and so there is no
cycle.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from symbackprop import dims
from symbackprop.expr import Expr
from symbackprop.graph import Node, attributed
from symbackprop.op import CONSTANT, apply, new_expr
from symbackprop.ops import concatenate, matmul
from symbackprop.ops.index import CONCATENATE, SLICE, Run
from symbackprop.ops.layout import EXPAND_DIMS, SQUEEZE, TRANSPOSE, matrix_transpose
from symbackprop.ops.reduce import SUM
from symbackprop.rewrite.engine import Rewritten
from symbackprop.rewrite.reorder import Ordering

_LEAST = 8  # values that are worth it
_MOST = 2**11  # elements of a value, up to which the call takes longer than the work
_WHOLE = 2**18  # elements of all of them
_SAVED = 4  # calls for each value that must be copied
_TURN = {matmul: 1, SUM: 2}  # what products are of lies in the order of both operands; sums take any


@dataclass(eq=False)
class _Stack:
    """Values that are put into one array.

    Attributes:
        values: the values.
        last: the place of the last of them.
        first: the place of the first that uses the array.
        at: where each value lies.
    """

    values: list[int]
    last: int
    first: int
    at: dict[int, int] = field(default_factory=dict)


class _Part(NamedTuple):
    """As many values of a stack as there are, or results of a group, from one on."""

    whole: _Stack | _Group
    first: int  # the value
    turned: bool


_Operand: TypeAlias = "int | _Part"
"""A node that is the same for all, or one for each."""


@dataclass(eq=False)
class _Group:
    """What is computed together.

    Attributes:
        members: the nodes.
        operands: what they are computed from.
        place: where in the order.
        at: where the result of each lies.
    """

    members: list[int]
    operands: list[_Operand]
    place: int
    at: dict[int, int]


class _Plan(NamedTuple):
    """Where the operands of a group lie, and which are to be put there still, behind the others or ahead of them."""

    whole: _Stack | _Group
    new: Sequence[int]
    ahead: bool


_Made: TypeAlias = "int | _Stack | _Group"


def rebuild_stacked(outputs: Sequence[Expr], target: Rewritten, ordering: Ordering) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, with many small values computed at once."""
    if not outputs:
        return []
    graph = outputs[0].graph
    results = [output.number for output in outputs]
    order = graph.reachable(results)
    stacking = _Stacking(graph.nodes, order, results, ordering)
    return _Copy(stacking, target).of(order, results) if stacking.groups else list(outputs)


class _Stacking:
    """What is computed together.

    Attributes:
        nodes: the nodes of the graph.
        groups: for each node that is computed together with others, with which.
    """

    def __init__(
        self, nodes: Mapping[int, Node], order: Sequence[int], results: Collection[int], ordering: Ordering
    ) -> None:
        self.nodes, self.ordering = nodes, ordering
        self.groups: dict[int, _Group] = {}
        late = self._late = dict.fromkeys(order, 0)  # the place of each node; 0 is the last
        for number in reversed(order):
            before = late[number] - 1
            for operand in nodes[number].inputs:
                if late[operand] > before:  # noqa: PLR1730  (`min` takes three times as long)
                    late[operand] = before
        if not self._is_wide(order):
            return
        alike = [numbers for numbers in self._alike(order).values() if len(numbers) >= _LEAST]
        alike.sort(key=lambda numbers: _TURN.get(nodes[numbers[0]].op, 0))
        joined = [nodes[number].inputs for number in order if nodes[number].op is CONCATENATE]
        self._elsewhere = {*results, *(self._seen(each) for inputs in joined for each in inputs)}
        self._limits: dict[int, int] = {}  # of what others that are computed together need
        self._stacks: dict[int, _Stack] = {}
        for numbers in alike:
            self._group(numbers)

    def _is_wide(self, order: Iterable[int]) -> bool:
        """Tell whether there are nodes that can wait, or that have the same place: a chain has none."""
        late, nodes = self._late, self.nodes
        if max(Counter(late.values()).values(), default=0) >= _LEAST:
            return True
        waiting = 0
        for number in order:
            inputs = nodes[number].inputs
            if inputs and max([late[each] for each in inputs]) < late[number] - 1:
                waiting += 1
                if waiting >= _LEAST:
                    return True
        return False

    def _alike(self, order: Iterable[int]) -> dict[Hashable, list[int]]:
        """Give the nodes of each kind, those first whose first is."""
        found: dict[Hashable, list[int]] = defaultdict(list)
        nodes = self.nodes
        known: dict[Hashable, int] = {}
        kinds: dict[int, int] = {}  # what a node is as an operand
        for number in order:
            node = nodes[number]
            op = node.op
            kinds[number] = -number if op is CONSTANT else known.setdefault((op, node.shape, node.dtype), len(known))
            if op.elementwise:
                if node.shape:
                    found[(op, *[kinds[each] for each in node.inputs], *node.params.items())].append(number)
            elif op is matmul or op is SUM:
                shapes = [nodes[each].shape for each in node.inputs]
                if all(len(shape) == 2 for shape in shapes):
                    turned = [nodes[each].op is TRANSPOSE for each in node.inputs]
                    found[(op, node.dtype, *shapes, *turned, *node.params.items())].append(number)
        return found

    def _seen(self, number: int) -> int:
        """Give what a node is, but for new axes."""
        while self.nodes[number].op is EXPAND_DIMS:
            (number,) = self.nodes[number].inputs
        return number

    def _place(self, number: int) -> int:
        return self.groups[number].place if number in self.groups else self._late[number]

    def _operands(self, number: int) -> list[int]:
        """Give what a node is computed from, products of transposed matrices from these."""
        node, nodes = self.nodes[number], self.nodes
        if node.op is matmul:
            return [nodes[each].inputs[0] if nodes[each].op is TRANSPOSE else each for each in node.inputs]
        return [*node.inputs]

    # --- which are computed together ----------------------------------------------------------------------------

    def _group(self, numbers: Sequence[int]) -> None:
        place, members = self._most([number for number in numbers if number not in self.groups])
        if len(members) < _LEAST:
            return
        if not self._is_accepted(members, place):
            free = [number for number in members if all(map(self._is_free, self._operands(number)))]
            if _LEAST <= len(free) < len(members):
                self._is_accepted(free, place)

    def _is_free(self, number: int) -> bool:
        """Tell whether a value can be computed where it will lie in a stack, or need not lie in one."""
        op = self.nodes[number].op
        writes = op is matmul or (op.elementwise and not op.helper)
        return (writes and number not in self._elsewhere) or op is CONSTANT

    def _is_accepted(self, members: list[int], place: int) -> bool:
        """Compute nodes together, unless they have nothing in common or more would be copied than is saved."""
        node = self.nodes[members[0]]
        columns = [*zip(*map(self._operands, members), strict=True)]
        varying = [at for at, column in enumerate(columns) if len({*column}) > 1]
        if not varying or (node.op is matmul and len(varying) < len(columns)):
            return False
        for at in varying:
            ranks = {len(self.nodes[each].shape) for each in columns[at]}
            if len({*columns[at]}) < len(members) or (node.op.elementwise and ranks != {len(node.shape)}):
                return False
        rank = dict(zip(members, self._order_of(columns, varying), strict=True))
        members = sorted(members, key=rank.__getitem__)
        columns = [*zip(*map(self._operands, members), strict=True)]
        plans = {at: self._planned(columns[at], place) for at in varying}
        copies = sum(not self._can_lie(each, plan.whole) for plan in plans.values() for each in plan.new)
        if _SAVED * copies > len(members) or not self._are_small(members):
            return False
        operands: list[_Operand] = [column[0] for column in columns]
        for at, plan in plans.items():
            if isinstance(plan.whole, _Stack):
                self._put(plan.whole, plan, place)
            turned = node.op is matmul and self.nodes[node.inputs[at]].op is TRANSPOSE
            operands[at] = _Part(plan.whole, columns[at][0], turned)
        group = _Group(members, operands, place, {member: at for at, member in enumerate(members)})
        self.groups.update(dict.fromkeys(members, group))
        for column in columns:
            self._limit(column, place)
        return True

    def _limit(self, numbers: Iterable[int], place: int) -> None:
        for each in numbers:
            self._limits[each] = min(self._limits.get(each, 0), place - 1)

    def _are_small(self, members: Sequence[int]) -> bool:
        """Tell whether values are so small that calls count; asked last, as it may be learnt to be otherwise."""
        is_small, node = self.ordering.is_small, self.nodes[members[0]]
        sizes = {dims.product(self.nodes[each].shape) for each in (members[0], *node.inputs)}
        return all(is_small(size, _MOST) and is_small(size * len(members), _WHOLE) for size in sizes)

    def _most(self, numbers: Sequence[int]) -> tuple[int, list[int]]:
        """Give the place at which most of the nodes can be computed, and these."""
        spans = []
        for number in numbers:
            first = max(map(self._place, self._operands(number)))
            last = min(self._late[number] - 1, self._limits.get(number, 0))  # ahead of those made of it
            if first <= last:
                spans.append((first, last, number))
        events = sorted([(first, 0) for first, _, _ in spans] + [(last, 1) for _, last, _ in spans])
        most = count = place = 0
        for at, is_end in events:
            count += -1 if is_end else 1
            if count > most:
                most, place = count, at
        return place, [number for first, last, number in spans if first <= place <= last]

    def _order_of(self, columns: Sequence[Sequence[int]], varying: Sequence[int]) -> Sequence[int]:
        """Give for each member what to sort by: where its operands lie already, or which of them was first.

        Those that lie nowhere yet come ahead of the others, or behind them, if the others are the last of a stack.
        """
        for at in varying:
            column = columns[at]
            known = [each for each in column if each in self.groups or each in self._stacks]
            if 2 * len(known) < len(column):
                continue
            whole = self.groups.get(known[0]) or self._stacks[known[0]]
            if all((self.groups.get(each) or self._stacks.get(each)) is whole for each in known):
                is_end = max(whole.at[each] for each in known) == len(whole.at) - 1
                other = len(whole.at) if is_end else -1
                return [whole.at.get(each, other) for each in column]
        return columns[varying[0]]

    def _can_lie(self, number: int, whole: _Stack | _Group) -> bool:
        """Tell whether a value can be computed where it will lie."""
        return number not in self.groups and self._is_free(number) and self._stacks.get(number, whole) is whole

    def _planned(self, values: Sequence[int], place: int) -> _Plan:
        """Give the array that values in this order lie in, and what is to be put into it."""
        group = self.groups.get(values[0])
        if group is not None and _follow(values, group.at):
            return _Plan(group, (), ahead=False)
        stack = next((self._stacks[each] for each in values if each in self._stacks), None)
        if stack is not None and stack.last <= place and len(stack.values) <= 2 * len(values):
            known = [each for each in values if each in stack.at]
            new = [each for each in values if each not in stack.at]
            fits = all(
                each not in self._stacks and self._place(each) + (each in self.groups) <= stack.first for each in new
            )
            if fits and _follow(known, stack.at):
                if known == [*values[: len(known)]] and (not new or known[-1] == stack.values[-1]):
                    return _Plan(stack, new, ahead=False)
                if known == [*values[len(new) :]] and known[0] == stack.values[0]:
                    return _Plan(stack, new, ahead=True)
        return _Plan(_Stack([], place, place), values, ahead=False)

    def _put(self, stack: _Stack, plan: _Plan, place: int) -> None:
        """Put values before or behind those of a stack."""
        new = plan.new
        if new:
            last = max(map(self._place, new))
            stack.last = max(stack.last, last) if stack.values else last
            stack.values = [*new, *stack.values] if plan.ahead else [*stack.values, *new]
            stack.at = {value: at for at, value in enumerate(stack.values)}
            for each in new:
                self._stacks.setdefault(each, stack)
        stack.first = min(stack.first, place)
        self._limit(stack.values, stack.first)


def _follow(values: Sequence[int], at: Mapping[int, int]) -> bool:
    """Tell whether values lie one behind the other."""
    first = at[values[0]]
    return all(at.get(value) == first + count for count, value in enumerate(values))


class _Copy:
    """The copy: of each node, of each stack and of what each group computes."""

    def __init__(self, stacking: _Stacking, target: Rewritten) -> None:
        self.nodes, self.groups, self.target = stacking.nodes, stacking.groups, target
        self.made: dict[_Made, Expr] = {}

    def of(self, order: Sequence[int], results: Sequence[int]) -> list[Expr]:
        """Copy nodes in their order, but what is needed for those that are computed together before these."""
        waiting: list[_Made] = []
        for number in order:
            waiting.append(number)
            while waiting:
                here = waiting[-1]
                missing = [] if here in self.made else [each for each in self._needs(here) if each not in self.made]
                if missing:
                    waiting += missing
                    continue
                if here not in self.made:
                    self.made[here] = self._copied(here)
                waiting.pop()
        return [self.made[number] for number in results]

    def _needs(self, here: _Made) -> Iterable[_Made]:
        if isinstance(here, _Stack):
            return here.values
        if isinstance(here, _Group):
            return [each.whole if isinstance(each, _Part) else each for each in here.operands]
        return (self.groups[here],) if here in self.groups else self.nodes[here].inputs

    def _copied(self, here: _Made) -> Expr:
        if isinstance(here, _Stack):
            with attributed(self.nodes[here.values[0]].origin):
                return concatenate([self._raised(self.made[each]) for each in here.values])
        if isinstance(here, _Group):
            node = self.nodes[here.members[0]]
            with attributed(node.origin):
                operands = [self._operand(each, len(here.members)) for each in here.operands]
                return apply(node.op, *operands, **node.params)
        node = self.nodes[here]
        if here not in self.groups:
            inputs = tuple([self.made[each].number for each in node.inputs])
            return Expr(self.target, self.target.add(node.copied(inputs)))
        group = self.groups[here]
        with attributed(node.origin):
            inputs = (_cut(self.made[group], group.at[here], 1).number,)
            found = new_expr(self.target, SQUEEZE, inputs, {"axes": (-len(node.shape) - 1,)}, node.shape, node.dtype)
        found.node.stand_for(node)
        return found

    def _raised(self, value: Expr) -> Expr:
        axes = {"axes": (-value.ndim - 1,)}
        return new_expr(self.target, EXPAND_DIMS, (value.number,), axes, (1, *value.shape), value.dtype)

    def _operand(self, operand: _Operand, count: int) -> Expr:
        if isinstance(operand, int):
            return self.made[operand]
        part = _cut(self.made[operand.whole], operand.whole.at[operand.first], count)
        return matrix_transpose(part) if operand.turned else part


def _cut(array: Expr, start: int, length: int) -> Expr:
    """Take so many elements of the first axis."""
    size, *others = array.shape
    if size == length:
        return array
    runs = (Run(start, length, 1), *[Run(0, size, 1) for size in others])
    return new_expr(array.graph, SLICE, (array.number,), {"runs": runs}, (length, *others), array.dtype)

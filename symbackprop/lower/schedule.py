"""From expressions to a `Program`: which values get a name, in which order they are computed, what is done in place."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from symbackprop import dims
from symbackprop.dims import Dim, Shape, Size
from symbackprop.errors import ShapeError
from symbackprop.expr import Expr
from symbackprop.graph import Graph, Node
from symbackprop.lower.blocks import Blocks, Unit, uses_products
from symbackprop.lower.program import (
    LEAVES,
    LIGHT,
    VIEWS,
    Accumulate,
    Assign,
    Blocked,
    Call,
    Constant,
    Input,
    Nest,
    Output,
    Program,
    Ref,
    Requirement,
    Simple,
    Statement,
    Store,
    Term,
    refs_in,
    sizes_of_runs,
    sizes_of_windows,
)
from symbackprop.op import CONSTANT, SIZE, Op, Value
from symbackprop.ops import add, divide, multiply, negative, subtract
from symbackprop.ops.at import SET_SLICE
from symbackprop.ops.contract import ADD_WHERE_EQUAL, SPREAD
from symbackprop.ops.index import CONCATENATE, SLICE, UNSLICE
from symbackprop.ops.layout import BROADCAST_TO, EXPAND_DIMS, RESHAPE, SQUEEZE, TRANSPOSE
from symbackprop.ops.leaf import SYMBOL
from symbackprop.ops.reduce import MEAN, SUM
from symbackprop.ops.window import SLIDING_DOT, WINDOWS
from symbackprop.spelling import Names, renamed, safe_sizes

_WHOLE = {TRANSPOSE, EXPAND_DIMS, SQUEEZE, RESHAPE}  # views of each element once
_IN_PLACE = {add, subtract, multiply, divide}
_SLICED = {SLICE, SET_SLICE, UNSLICE}
_COMMUTATIVE = {add, multiply}
_LONGEST = 7  # operations in one expression: what a reader takes in at a glance


@dataclass(frozen=True)
class Request:
    """What is to be lowered: expressions of one graph.

    Attributes:
        name: the function's name.
        inputs: the symbols, in the order of the parameters.
        outputs: the results.
        keys: the results' names, where they are returned in a dict.
        form: how they are returned: lists, tuples and dicts with None in the place of each, in turn.
        updates: the new values of symbols that are written in place.
        reserved: names that the program must not use.
        notes: lines for people, beside the code.
        extents: numbers for named sizes; where all are known, what is large is computed in blocks and let go early.
            None: it is not.
        whole: whether it is known already that nothing is worth being computed in blocks.
    """

    name: str
    inputs: Sequence[Expr]
    outputs: Sequence[Expr]
    keys: Sequence[str | None]
    form: Nest
    updates: Mapping[Expr, Expr]
    reserved: Iterable[str]
    notes: Sequence[str] = ()
    extents: Mapping[str, int] | None = None
    whole: bool = False

    @cached_property
    def blocks(self) -> Blocks | None:
        """What is computed in blocks, where the sizes are known."""
        sizes = self.extents
        unknown = {name for each in self.inputs for name in dims.names_of(each.shape)} - (sizes or {}).keys()
        if sizes is None or unknown or self.whole:
            return None
        exprs = [*self.inputs, *self.outputs]
        graph, new = exprs[0].graph, [value.number for value in self.updates.values()]
        results = [expr.number for expr in self.outputs]
        order = graph.reachable([*results, *new])
        found = Blocks(graph.nodes, order, whole={*results, *new}, outside=new, sizes=sizes)
        return found if found.units else None


class _Lowering:
    def __init__(self, request: Request) -> None:
        self.request = request
        self.graph: Graph = request.inputs[0].graph if request.inputs else request.outputs[0].graph
        self.nodes: Mapping[int, Node] = self.graph.nodes
        self.results = [expr.number for expr in request.outputs]
        self.keys = dict(zip(self.results[::-1], request.keys[::-1], strict=True))
        self.updates = {symbol.number: value.number for symbol, value in request.updates.items()}
        self.order = self.graph.reachable([*self.results, *self.updates.values()])
        self.base = self._bases()
        self.uses = Counter(operand for number in self.order for operand in self.nodes[number].inputs)
        self.uses.update([*self.results, *self.updates.values()])
        self.blocks = request.blocks
        self.roots = self._choose_roots()
        self.names = Names(request.reserved)
        self.renamed = safe_sizes(self._sizes(), self.names)
        self.refs: dict[int, Ref] = {}
        self.kept: dict[int, Ref] = {}
        self.cut_shapes: dict[int, Shape] = {}

    def _sizes(self) -> set[str]:
        """Give the named sizes, each of which some input must tell."""
        told = {size.name for symbol in self.request.inputs for size in symbol.shape if isinstance(size, Dim)}
        found = {name for symbol in self.request.inputs for name in dims.names_of(symbol.shape)}
        seen: set[Shape] = set()
        for number in self.order:
            node = self.nodes[number]
            if node.op is not SIZE and node.shape in seen:
                continue
            seen.add(node.shape)
            sizes = node.params["size"].names if node.op is SIZE else dims.names_of(node.shape)
            untold = sizes - told
            if untold:
                raise ShapeError(
                    f"compile: no input tells the size {min(untold)} of {Expr(self.graph, number).describe()}: "
                    f"add a symbol that has {min(untold)} as an axis"
                )
            found |= sizes
        if found - told:
            raise ShapeError(f"compile: no input has the size {min(found - told)} as an axis, so it cannot be learnt")
        return found

    # --- what gets a name -------------------------------------------------------------------------------------

    def _bases(self) -> dict[int, int]:
        """Give for each node the node whose memory it may share."""
        base: dict[int, int] = {}
        for number in self.order:
            node = self.nodes[number]
            base[number] = base[node.inputs[0]] if node.op in VIEWS else number
        return base

    def _choose_roots(self) -> set[int]:
        """Give the nodes that get a statement of their own; the others are written where they are used."""
        roots = {*self.results, *self.updates.values()}
        length: dict[int, int] = {}
        for number in self.order:
            node = self.nodes[number]
            if node.op in LEAVES:
                roots.discard(number)
                length[number] = 0
                continue
            if self.blocks:
                roots.update(self._from_elsewhere(number, self.blocks))
            inlined = [operand for operand in node.inputs if operand not in roots]
            if node.op is CONCATENATE:  # elements that are joined along a new axis are written as such
                inlined = [operand for operand in inlined if not self._is_element(operand, roots)]
            total = 1 + sum(length[operand] for operand in inlined)
            while total > _LONGEST and inlined:
                longest = max(inlined, key=length.__getitem__)
                if not length[longest]:
                    break
                roots.add(longest)
                total -= length[longest]
                inlined = [operand for operand in inlined if operand != longest]
            light = node.op in LIGHT and (self.nodes[node.inputs[0]].op in LEAVES or node.inputs[0] in roots)
            if node.label or (self.uses[number] > 1 and not light) or len(node.inputs) > _LONGEST:
                roots.add(number)
            length[number] = 0 if self.blocks and light else total
        return roots

    def _is_element(self, number: int, roots: Collection[int]) -> bool:
        """Tell whether this is a named value, or a given one, with a new axis."""
        node = self.nodes[number]
        return node.op is EXPAND_DIMS and (node.inputs[0] in roots or self.nodes[node.inputs[0]].op in LEAVES)

    def _from_elsewhere(self, number: int, blocks: Blocks) -> Iterable[int]:
        """Give the operands that are not computed in the same blocks, or not in blocks, as a value is."""
        for operand in blocks.operands(number):
            elsewhere = blocks.is_view(number) or blocks.of.get(operand) != blocks.of.get(number)
            if elsewhere and self.nodes[operand].op not in LEAVES:
                yield operand

    # --- order ------------------------------------------------------------------------------------------------

    def _needs(self) -> tuple[dict[int, set[int]], dict[int, set[int]]]:
        """Give for each root the roots that its expression uses, and the symbols whose memory it reads."""
        needs: dict[int, set[int]] = {}
        reads: dict[int, set[int]] = {}
        for number in self.order:
            need: set[int] = set()
            read: set[int] = set()
            for operand in self.nodes[number].inputs:
                base = self.base[operand]
                if self.nodes[base].op is SYMBOL:
                    read.add(base)
                if operand in self.roots:
                    need.add(operand)
                else:
                    need |= needs[operand]
                    read |= reads[operand]
            needs[number], reads[number] = need, read
        return needs, reads

    def _scheduled(self, in_place: dict[int, int]) -> list[int]:
        """Order the roots: operands first, readers of an array before the root that overwrites it.

        Updates that cannot be done in place for that are taken out of `in_place`.
        """
        needs, reads = self._needs()
        heads = self._heads()
        roots = dict.fromkeys(heads[number] for number in self.order if number in self.roots)
        readers: dict[int, set[int]] = {}
        needed: dict[int, set[int]] = {root: set() for root in roots}
        for number, root in heads.items():
            needed[root].update(heads[each] for each in needs[number])
            for symbol in reads[number]:
                readers.setdefault(symbol, set()).add(root)
        while True:
            before = {root: needed[root] - {root} for root in roots}
            for root, symbol in in_place.items():
                before[root] |= readers.get(symbol, set()) - {root}
            done = _sorted(before)
            if len(done) == len(roots):
                return done
            waiting = in_place.keys() - set(done)
            del in_place[min(waiting)]

    def _heads(self) -> dict[int, int]:
        """Give for each root itself, or the last of those that are computed in the same blocks."""
        heads = {number: number for number in self.order if number in self.roots}
        if self.blocks:
            last: dict[int, int] = {}
            for number in heads:
                if number in self.blocks.of:
                    last[self.blocks.of[number]] = number
            heads.update({number: last[self.blocks.of[number]] for number in heads if number in self.blocks.of})
        return heads

    # --- statements -------------------------------------------------------------------------------------------

    def _term(self, number: int) -> Term:
        """Give the expression of a node, in terms of the values that have a name."""
        return self.refs.get(number) or self._call(number)

    def _call(self, number: int) -> Call:
        node = self.nodes[number]
        if node.op is negative and (signed := self._sign_inside(number)):
            return signed
        params = {name: renamed(param, self.renamed) for name, param in node.params.items()}
        if number in self.cut_shapes:
            params["shape"] = renamed(self.cut_shapes[number], self.renamed)
        if "owned" in params:
            params["owned"] = self._dies(node.inputs[0])
        shape = renamed(node.shape, self.renamed)
        return Call(node.op, params, tuple(self._term(operand) for operand in node.inputs), shape, node.dtype)

    def _sign_inside(self, number: int) -> Call | None:
        """Let an operand that is smaller than a product change its sign in the place of the product: ``(−x)yᵀ``."""
        (product,) = self.nodes[number].inputs
        shape, operands = self.nodes[product].shape, self.nodes[product].inputs
        if self.nodes[product].op is not multiply or product in self.refs:
            return None
        for place, operand in enumerate(operands):
            if self.nodes[operand].shape != shape and self.nodes[operand].dtype == self.nodes[product].dtype:
                value, whole = self._term(operand), self._call(product)
                sign = Call(negative, {}, (value,), value.shape, value.dtype)
                return whole._replace(args=(*whole.args[:place], sign, *whole.args[place + 1 :]))
        return None

    def _dies(self, number: int) -> bool:
        """Tell whether a value has memory of its own that is free once it has been used."""
        while self.nodes[number].op in _WHOLE and self.uses[number] == 1:
            (number,) = self.nodes[number].inputs
        fresh = self.base[number] == number and self.nodes[number].op not in LEAVES
        return fresh and self.uses[number] == 1

    def program(self) -> Program:
        """Write the program down."""
        inputs = self._inputs()
        constants = self._constants()
        requirements = tuple(self._requirements())
        home = self._homes()
        order = self._scheduled(home)
        statements = self._saved(home)
        for number in order:
            if number in self.kept:
                self.refs[number] = self.kept[number]
            elif number in home:
                statements += self._stored(number, home[number])
            elif self.blocks and number in self.blocks.of:
                statements += self._in_blocks(self.blocks.units[self.blocks.of[number]])
            else:
                value = self._term(number)
                name = self.names.take(self._wanted(number))
                statements.append(Assign(name, value))
                self.refs[number] = Ref(name, value.shape, value.dtype)
        for symbol, value_number in self.updates.items():
            if home.get(value_number) != symbol:
                value = self.kept.get(value_number) or self._term(value_number)
                statements.append(Store(self.refs[symbol].name, value))
        return Program(
            name=self.request.name,
            constants=constants,
            inputs=inputs,
            requirements=requirements,
            statements=tuple(statements),
            outputs=tuple(self._outputs(home)),
            form=self.request.form,
            notes=tuple(self.request.notes),
            sizes=self.request.extents or {},
        )

    def _in_blocks(self, unit: Unit) -> list[Statement]:
        """Compute the values of a unit."""
        block = self.names.take("block")
        arrays = tuple(self.refs[number] for number in unit.cut)
        length = self._cut_shapes(unit)
        results: list[Ref] = []
        body: list[Simple] = []
        sums: list[str] = []
        means: list[Statement] = []
        for number in sorted(self.roots.intersection((*unit.members, *unit.sums))):
            value = self._term(number)
            name = self.names.take(self._wanted(number))
            self.refs[number] = ref = Ref(name, value.shape, value.dtype)
            if isinstance(value, Call) and value.op is MEAN and number in unit.sums:
                value = value._replace(op=SUM)
                means.append(Accumulate(name, divide, self._count(number)))
            if number in unit.stored:
                results.append(ref)
                body.append(Store(name, value))
            else:
                body.append(Assign(name, value))
            if number in unit.sums:
                sums.append(name)
        threads = not uses_products(self.nodes, unit)
        whole = {self.refs[number].name: unit.axes[number] for number in (*unit.cut, *unit.stored)}
        axes = {name: axis for name, axis in whole.items() if axis}
        return [
            Blocked(block, unit.rows, arrays, tuple(results), tuple(body), tuple(sums), threads, length, axes=axes),
            *means,
        ]

    def _cut_shapes(self, unit: Unit) -> str | None:
        """Let arrays be given new shapes for the rows at hand; give the name for how many there are."""
        reshaped = [number for number in unit.members if self.nodes[number].op is RESHAPE]
        if not reshaped:
            return None
        name = self.names.take("rows")
        for number in reshaped:
            shape, axis = self.nodes[number].shape, unit.axes[number]
            self.cut_shapes[number] = (*shape[:axis], Dim.named(name), *shape[axis + 1 :])
        return name

    def _count(self, number: int) -> Call:
        """Give the number of elements that a mean is of."""
        node = self.nodes[number]
        shape = self.nodes[node.inputs[0]].shape
        count = renamed((dims.product(shape[axis] for axis in node.params["axes"]),), self.renamed)[0]
        if isinstance(count, Dim):
            return Call(SIZE, {"size": count, "dtype": node.dtype}, (), (), node.dtype)
        return Call(CONSTANT, {"value": Value(np.asarray(count, node.dtype))}, (), (), node.dtype)

    def _stored(self, number: int, symbol: int) -> list[Statement]:
        """Compute a new value into the array that it replaces."""
        value, target = self._term(number), self.refs[symbol]
        views = {ref.name for view, ref in self.refs.items() if self.base.get(view) == symbol}
        steps = steps_in_place(value, target, views)
        self.refs[number] = target
        if steps is None:
            return [Store(target.name, value)]
        return [Accumulate(target.name, op, term) for op, term in steps]

    def _inputs(self) -> tuple[Input, ...]:
        found = []
        for symbol in self.request.inputs:
            name = self.names.take(symbol.params["name"])
            shape = renamed(symbol.shape, self.renamed)
            self.refs[symbol.number] = Ref(name, shape, symbol.dtype)
            found.append(Input(symbol.params["name"], name, shape, symbol.dtype, symbol.number in self.updates))
        return tuple(found)

    def _constants(self) -> tuple[Constant, ...]:
        """Give the arrays that the program holds; numbers are written where they are used."""
        found = []
        for number in self.order:
            node = self.nodes[number]
            if node.op is CONSTANT and node.shape:
                name = self.names.take(node.label or "CONSTANT")
                self.refs[number] = Ref(name, node.shape, node.dtype)
                found.append(Constant(name, self._call(number)))
        return tuple(found)

    def _homes(self) -> dict[int, int]:
        """Give for each new value the symbol whose array it can be computed into."""
        once = Counter(self.updates.values())
        return {
            value: symbol
            for symbol, value in self.updates.items()
            if value in self.roots and self.base[value] == value and once[value] == 1
        }

    def _saved(self, home: Mapping[int, int]) -> list[Statement]:
        """Copy what is returned or stored but lies in arrays that the updates overwrite."""
        statements: list[Statement] = []
        wanted = [*self.results, *(value for value in self.updates.values() if value not in home)]
        for number in dict.fromkeys(wanted):
            if self.base[number] in self.updates:
                term = self._term(number)
                name = self.names.take(f"old_{self.refs[self.base[number]].name}")
                statements.append(Assign(name, term, copy=True))
                self.kept[number] = Ref(name, term.shape, term.dtype)
        return statements

    def _wanted(self, number: int) -> str | None:
        node = self.nodes[number]
        return self.keys.get(number) or node.label or node.hint or ("result" if number in self.keys else None)

    def _outputs(self, home: Mapping[int, int]) -> list[Output]:
        outputs = []
        returned: set[int | tuple[int, int]] = set()
        whole: set[int] = set()
        for key, number in zip(self.request.keys, self.results, strict=True):
            base = self.base[number]
            if number in self.kept:
                value: Term = self.kept[number]
                copy = number in returned
                returned.add(number)
            else:
                value = self._term(number)
                element = self._element(number)
                taken = base in returned if element is None else element in returned or base in whole
                shared = base in home or taken or self.nodes[base].op in {SYMBOL, CONSTANT}
                array = value.shape or base != number or self._is_updated(base, home)  # else it is a NumPy scalar
                copy = bool(array) and (shared or self._repeats(number))
                returned.add(base)
                if element is None:
                    whole.add(base)
                else:
                    returned.add(element)
            outputs.append(Output(value, copy, key))
        return outputs

    def _element(self, number: int) -> tuple[int, int] | None:
        """Read ``x[at]``, which shares no memory with other elements of an array."""
        node = self.nodes[number]
        if node.op is not SQUEEZE or node.params["axes"] != (-1 - len(node.shape),):
            return None
        cut = self.nodes[node.inputs[0]]
        array = cut.inputs[0] if cut.op is SLICE else None
        if array is None or self.base[array] != array or len(cut.params["runs"]) != len(cut.shape):
            return None
        start = cut.params["runs"][0].start
        return (array, start) if isinstance(start, int) else None

    def _is_updated(self, base: int, home: Mapping[int, int]) -> bool:
        return base in home or base in self.updates

    def _repeats(self, number: int) -> bool:
        """Tell whether a view shows elements of its base more than once, which must not be handed out."""
        while self.nodes[number].op in VIEWS:
            if self.nodes[number].op in {BROADCAST_TO, WINDOWS}:
                return True
            number = self.nodes[number].inputs[0]
        return False

    def _requirements(self) -> Iterable[Requirement]:
        """Give what must hold for the sizes of slices and windows, each size once."""
        found: dict[Size, Requirement] = {}
        for number in self.order:
            node = self.nodes[number]
            if node.op in {WINDOWS, SLIDING_DOT}:
                shapes = [self.nodes[operand].shape for operand in node.inputs]
                window = node.params["window"] if node.op is WINDOWS else shapes[1][-1:]
                whole, window = (renamed(each, self.renamed) for each in (shapes[0], window))
                for size in sizes_of_windows(whole, window, node.params.get("dilations", (1,))):
                    if size not in found:
                        found[size] = Requirement(size, f"windows of {Expr(self.graph, node.inputs[0]).describe()}")
            if node.op not in _SLICED and node.op not in {SPREAD, ADD_WHERE_EQUAL}:
                continue
            runs = renamed(node.params["runs"], self.renamed)
            shape = renamed(self.nodes[node.inputs[0]].shape if node.op is SLICE else node.shape, self.renamed)
            extents = shape[len(shape) - len(runs) :] if node.op in _SLICED else shape[: len(runs)]
            for size in sizes_of_runs(runs, extents):
                if size not in found:
                    of = Expr(self.graph, number if node.op is UNSLICE else node.inputs[0]).describe()
                    found[size] = Requirement(size, f"slicing {of}" if node.op in _SLICED else "what slices share")
        return found.values()


def _sorted(before: Mapping[int, Collection[int]]) -> list[int]:
    """Order numbers so that each stands after those before it, smaller ones first; those on a cycle are missing."""
    after: dict[int, list[int]] = {number: [] for number in before}
    for number, earlier in before.items():
        for each in earlier:
            after[each].append(number)
    missing = {number: len(earlier) for number, earlier in before.items()}
    ready = [number for number, count in missing.items() if not count]
    heapq.heapify(ready)
    done: list[int] = []
    while ready:
        done.append(heapq.heappop(ready))
        for later in after[done[-1]]:
            missing[later] -= 1
            if not missing[later]:
                heapq.heappush(ready, later)
    return done


def steps_in_place(term: Term, target: Ref, views: Collection[str]) -> list[tuple[Op, Term]] | None:
    """Give the in-place operations that turn an array into a term of it, or None where there is no such chain.

    The terms of all but the first must not read the array or a view of it, which have changed by then.
    """
    steps: list[tuple[Op, Term]] = []
    while isinstance(term, Call) and term.op in _IN_PLACE:
        if term.shape != target.shape or term.dtype != target.dtype:
            return None
        left, right = term.args
        if _leads_to(left, target):
            steps.append((term.op, right))
            term = left
        elif term.op in _COMMUTATIVE and _leads_to(right, target):
            steps.append((term.op, left))
            term = right
        else:
            return None
    if term != target or any(ref.name in views for _, step in steps[:-1] for ref in refs_in(step)):
        return None
    return steps[::-1]


def _leads_to(term: Term, target: Ref) -> bool:
    """Tell whether a chain of in-place operations may start from the array."""
    if isinstance(term, Call) and term.op in _IN_PLACE and term.shape == target.shape:
        return any(_leads_to(arg, target) for arg in term.args)
    return term == target


def lower(request: Request) -> Program:
    """Lower expressions to a program.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> program = lower(Request("f", [x], [sb.sum(x * x)], [None], "one", {}, ["np"]))
    >>> [statement.target for statement in program.statements]
    ['result']
    """
    return _Lowering(request).program()

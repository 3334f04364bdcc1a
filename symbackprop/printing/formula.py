"""From expressions to formulas: what is shown of each node, which parts are listed, and the walk that writes them.

The walk visits nodes in topological order and writes each one from the pieces of its operands, so nothing recurses
over depth; a piece that grows too long gets a name and a line of its own, so the cost is linear in the nodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial, reduce
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape, Size
from symbackprop.expr import Expr
from symbackprop.graph import Graph, Node
from symbackprop.op import ADD, ATOM, COMPARE, CONSTANT, LOGIC, POWER, SIZE, Form, Op, scalar_value
from symbackprop.ops.contract import ADD_WHERE_EQUAL, EINSUM, EYE, SPREAD, matmul
from symbackprop.ops.elementwise import (
    ASTYPE,
    add,
    divide,
    logical_or,
    multiply,
    negative,
    power,
    sigmoid,
    square,
    subtract,
    tanh,
)
from symbackprop.ops.index import SLICE
from symbackprop.ops.layout import BROADCAST_TO, EXPAND_DIMS, SQUEEZE, TRANSPOSE
from symbackprop.ops.leaf import SYMBOL
from symbackprop.ops.norms import NORM, UNIT
from symbackprop.ops.reduce import SOFTMAX_CENTRED
from symbackprop.ops.systems import SOLVE_TRIANGULAR, inv, solve
from symbackprop.printing.index import Builder, Elements, Key, LettersError, Notation, View, lettered
from symbackprop.printing.names import fresh_names
from symbackprop.printing.piece import Piece, Scribe, Style
from symbackprop.rewrite import simplify as simplified
from symbackprop.rewrite.accurate import textbook
from symbackprop.rewrite.contract import BLOCKS, MATRICES
from symbackprop.rewrite.engine import Rewritten, rebuild

Where: TypeAlias = Literal["auto"] | bool

_LARGE = 60  # operators in a formula that is shown without shared parts being listed
_SHORT = 0.4  # the share of the width that a formula may take without shared parts being listed
_HUGE = 1 << 30  # where counting the operators of a formula written out stops
_MOST_FACTORS = 64  # of a product that is searched for derivatives of sigmoids
_BESIDE = {add, subtract, multiply, divide, matmul}  # what tells the size of an identity by the other operand
_OF_CODE = {ADD_WHERE_EQUAL, SOFTMAX_CENTRED, SPREAD}
_WRAPPERS = {negative, TRANSPOSE, BROADCAST_TO, EXPAND_DIMS}


class Formula(NamedTuple):
    """A written formula.

    Attributes:
        main: the formula.
        lines: the names it uses, each with its formula, operands first.
    """

    main: str
    lines: list[tuple[str, str]]


# --- how nodes are built from the pieces of their operands -----------------------------------------------------


def _build_formed(scribe: Scribe, node: Node, operands: Sequence[Piece]) -> Piece:
    form = node.op.form(scribe.style.notation(node.op), node.params, tuple(piece.shape for piece in operands))
    piece = scribe.formed(form, operands, node.shape)
    number = form.precedence in {COMPARE, LOGIC} and node.dtype.kind != "b"  # a comparison that counts
    return scribe.enclosed(piece) if number else piece


def _build_flat(scribe: Scribe, node: Node, operands: Sequence[Piece]) -> Piece:
    return _build_formed(scribe, replace(node, params={**node.params, "keepdims": False}, shape=()), operands)


def _build_constant(scribe: Scribe, node: Node, _operands: Sequence[Piece]) -> Piece:
    if node.shape:
        return scribe.array(node.params["value"].array)
    form = node.op.form(scribe.style.notation(node.op), node.params, ())
    return scribe.number(form.template, node.shape)


def _build_size(scribe: Scribe, node: Node, _operands: Sequence[Piece]) -> Piece:
    return scribe.size(node.params["size"])


def _build_sum(scribe: Scribe, node: Node, operands: Sequence[Piece]) -> Piece:
    left, right = operands
    if node.dtype.kind == "b":  # of truth values + is no sum of ones and zeros
        return _build_formed(scribe, replace(node, op=logical_or), operands)
    return scribe.sum(left, right, minus=node.op is subtract, shape=node.shape)


def _build_negative(scribe: Scribe, _node: Node, operands: Sequence[Piece]) -> Piece:
    return scribe.negated(operands[0])


def _build_product(scribe: Scribe, _node: Node, operands: Sequence[Piece]) -> Piece:
    return reduce(scribe.product, operands)


def _build_quotient(scribe: Scribe, _node: Node, operands: Sequence[Piece]) -> Piece:
    return reduce(scribe.divided, operands)


def _build_square(scribe: Scribe, node: Node, operands: Sequence[Piece]) -> Piece:
    return scribe.power(operands[0], scribe.style.exponents(2), node.shape)


def _build_whole_power(exponent: int, scribe: Scribe, node: Node, operands: Sequence[Piece]) -> Piece:
    return scribe.power(operands[0], scribe.style.exponents(exponent), node.shape)


def _build_reciprocal(exponent: int, scribe: Scribe, node: Node, operands: Sequence[Piece]) -> Piece:
    below = operands[0] if exponent == -1 else _build_whole_power(-exponent, scribe, node, operands)
    return scribe.divided(scribe.number("1"), below)


def _build_power(scribe: Scribe, node: Node, operands: Sequence[Piece]) -> Piece:
    return scribe.general_power(operands[0], operands[1], node.shape)


def _build_item(index: str, scribe: Scribe, node: Node, operands: Sequence[Piece]) -> Piece:
    return scribe.formed(Form(f"$0[{index}]", ATOM, (ATOM,)), operands, node.shape)


def _build_outer(scribe: Scribe, node: Node, operands: Sequence[Piece]) -> Piece:
    left, right = operands
    piece = scribe.matrix(left, scribe.turn(right), node.shape)
    return replace(piece, turned=scribe.matrix(right, scribe.turn(left), node.shape[::-1]))


def _build_transpose(scribe: Scribe, _node: Node, operands: Sequence[Piece]) -> Piece:
    return scribe.turn(operands[0])


def _build_matmul(scribe: Scribe, node: Node, operands: Sequence[Piece]) -> Piece:
    """Write a product in the column convention: vᵀM, which is a vector, is shown as Mᵀv."""
    if node.dtype.kind == "b":  # of truth values it tells where the product of ones and zeros is not zero
        numbers = _build_matmul(scribe, replace(node, dtype=np.dtype(float)), operands)
        return scribe.formed(Form("$0 > 0", COMPARE, (ADD,)), [numbers], node.shape)
    left, right = operands
    ranks = (len(left.shape), len(right.shape))
    flat = max(ranks) <= 2
    if ranks[0] > 1:
        return scribe.matrix(left, right, node.shape, flat=flat)
    row = scribe.matrix(scribe.turn(left), right, node.shape, flat=flat)
    if ranks[1] != 2:
        return row
    return replace(scribe.matrix(scribe.turn(right), left, node.shape), turned=row)


def _build_identity(scribe: Scribe, node: Node, operands: Sequence[Piece]) -> Piece:
    """Write I, unless a symbol is called so or the matrix is not square."""
    if node.shape[0] != node.shape[1] or "I" in scribe.names:
        return _build_formed(scribe, node, operands)
    piece = scribe.name("I", node.shape)
    return replace(piece, turned=piece)


def _inverse(scribe: Scribe, base: Piece) -> Piece:
    """Write the inverse of a matrix, whose transpose is A⁻ᵀ; that of a transpose is A⁻ᵀ, not (Aᵀ)⁻¹."""
    exponent = scribe.style.exponents(-1)
    straight, crosswise = exponent, exponent[:-1] + scribe.style.transpose
    if base.turned is not None and base.turned.level == ATOM and base.level == POWER:
        base, straight, crosswise = base.turned, crosswise, straight
    piece = scribe.power(base, straight, base.shape)
    return replace(piece, turned=scribe.power(base, crosswise, base.shape))


def _build_inverse(scribe: Scribe, node: Node, operands: Sequence[Piece]) -> Piece:
    return _inverse(scribe, operands[0]) if len(node.shape) == 2 else _build_formed(scribe, node, operands)


def _build_solution(scribe: Scribe, node: Node, operands: Sequence[Piece]) -> Piece:
    matrix, right = operands
    if len(matrix.shape) > 2:
        matrix = _build_formed(scribe, replace(node, op=inv), [matrix])
        return scribe.matrix(matrix, right, node.shape, flat=False)
    return scribe.matrix(_inverse(scribe, matrix), right, node.shape, flat=len(right.shape) < 3)


def _build_substitution(scribe: Scribe, node: Node, operands: Sequence[Piece]) -> Piece:
    """Write the solution of a system; with one triangle of a matrix, where the other is not zero, it is a call."""
    whole = node.params["zeros"] and not node.params["unit_diagonal"]
    return (_build_solution if whole else _build_formed)(scribe, node, operands)


def _build_unit(scribe: Scribe, node: Node, operands: Sequence[Piece]) -> Piece:
    """Write x/‖x‖; what is divided along some axes only is a call."""
    (x,) = operands
    if len(node.params["axes"]) < len(node.shape):
        return _build_formed(scribe, node, operands)
    length = NORM.form(scribe.style.notation(NORM), node.params, (x.shape,))
    return scribe.divided(x, scribe.formed(length, operands, ()))


def _build_truth(scribe: Scribe, _node: Node, operands: Sequence[Piece]) -> Piece:
    return scribe.truth(operands[0])


_BUILDERS: dict[Op, Builder] = {
    CONSTANT: _build_constant,
    SIZE: _build_size,
    add: _build_sum,
    subtract: _build_sum,
    negative: _build_negative,
    multiply: _build_product,
    divide: _build_quotient,
    square: _build_square,
    power: _build_power,
    matmul: _build_matmul,
    EYE: _build_identity,
    UNIT: _build_unit,
    inv: _build_inverse,
    solve: _build_solution,
    SOLVE_TRIANGULAR: _build_substitution,
}


# --- what is shown of a node ----------------------------------------------------------------------------------


def _view(build: Builder, operands: Iterable[int], primed: tuple[Op | None, ...] = ()) -> View:
    return View(build, tuple(map(Key, operands)), primed)


def _unsized(nodes: Mapping[int, Node], order: Sequence[int]) -> set[int]:
    """Give the identities, and multiples of them, whose size their surroundings do not tell when they are written I.

    What stands beside I in a product or a sum tells it; a call, a Kronecker product or a scalar does not.
    """
    found: set[int] = set()
    alone: dict[int, frozenset[int]] = {}  # the identities in what is nothing but a multiple of one
    terms: dict[int, frozenset[int]] = {}  # those in a sum
    for number in order:
        node = nodes[number]
        if node.op is EYE:
            alone[number] = frozenset({number})
            continue
        eyes = frozenset().union(*(alone.get(operand, ()) for operand in node.inputs))
        summed = frozenset().union(*(terms.get(operand, ()) for operand in node.inputs))
        if not eyes and not (summed and node.op in {add, subtract}):
            continue
        others = [nodes[operand].shape for operand in node.inputs if operand not in alone]
        size = nodes[min(eyes | summed)].shape[-1]
        told = all(next((each for each in reversed(other[-2:]) if each != 1), None) == size for other in others)
        scaled = node.op in {multiply, matmul, divide} and () in others
        below = node.op is divide and node.inputs[1] in alone
        if not below and (scaled or node.op in {negative, TRANSPOSE} or (not others and node.op in _BESIDE)):
            alone[number] = eyes
        elif below or not told or node.op not in _BESIDE:
            found |= eyes | summed
        elif node.op in {add, subtract}:
            terms[number] = eyes | summed
    return {number for number, eyes in alone.items() if eyes & found}


def _repeats(node: Node) -> bool:
    """Tell whether elementwise operations would do alone what the node does: repeat, or add axes at the left."""
    if node.op is EXPAND_DIMS:
        axes = node.params["axes"]
        return sorted(axes) == list(range(-len(node.shape), len(axes) - len(node.shape)))
    return node.op is BROADCAST_TO


class _Views:
    """Decides what is shown of each node.

    Args:
        graph: where the nodes are.
        order: those that the formula is computed from, in topological order.
        primes: whether derivatives of activations are shown as such.
        notation: where index notation is used.
    """

    def __init__(self, graph: Graph, order: Sequence[int], *, primes: bool, notation: Notation) -> None:
        self.nodes = graph.nodes
        self.graph = graph
        self.primes = primes
        self.without_primes: set[int] = set()  # products in which no derivative of a sigmoid was found
        self.plain: dict[int, int] = {}  # the node under the broadcasts and axes added at the left
        self.fan = Counter(operand for number in order for operand in self.nodes[number].inputs)
        self.flat: set[int] = set()  # reductions to one element, shown as scalars
        for number in order:
            node = self.nodes[number]
            self.plain[number] = self.plain[node.inputs[0]] if _repeats(node) else number
            if node.params.get("keepdims") and len(node.params["axes"]) == len(node.shape):
                self.flat.add(number)
            elif not self._takes_scalars(node):
                self.flat.difference_update(node.inputs)
        self.flat.discard(order[-1])
        self.unsized = _unsized(self.nodes, order)
        self.elements = Elements(
            self.nodes, order, plain=self.plain, fan=self.fan, unsized=self.unsized, notation=notation
        )

    def _takes_scalars(self, node: Node) -> bool:
        """Tell whether the node would be the same if one-element operands were scalars."""
        if not node.op.elementwise:
            return node.op is BROADCAST_TO
        return dims.broadcast(*map(self._shape, node.inputs)) == node.shape

    def _shape(self, number: int) -> Shape:
        return () if number in self.flat else self.nodes[number].shape

    def of(self, key: Key) -> View:
        """Give the view of one node, or of an element of it."""
        number = key.number
        if key.labels is not None:
            return self.elements.of(key, self._elementwise)
        if number in self.elements.indexed:
            return self.elements.tensor(number)
        node = self.nodes[number]
        operands = self._unbroadcast(node) if node.op.elementwise else node.inputs
        found = self._special(number, node, operands)
        if found is not None:
            return found
        sized = node.op is EYE and number in self.unsized
        build = _build_formed if sized else _BUILDERS.get(node.op, _build_formed)
        return _view(_build_flat if number in self.flat else build, operands)

    def _elementwise(self, number: int, node: Node, operands: Sequence[int]) -> tuple[Builder, View | None]:
        """Give how an elementwise node is built, and its view if it is not shown by its op alone."""
        return _BUILDERS.get(node.op, _build_formed), self._special(number, node, tuple(operands))

    def _special(self, number: int, node: Node, operands: tuple[int, ...]) -> View | None:
        """Give the view of a node that is not shown by its op alone."""
        if node.op is multiply:
            outer = self._outer(node)
            primes = self._sigmoid_primes(number) if self.primes and outer is None else None
            return _view(_build_outer, outer) if outer else primes
        if node.op is subtract:
            return self._tanh_prime(operands, node.shape) if self.primes else None
        if node.op is power:
            return self._power(node, operands)
        if node.op is SQUEEZE and self.nodes[operands[0]].op is SLICE:
            return self._item(node, self.nodes[operands[0]])
        if node.op is TRANSPOSE and len(node.shape) == 2 and node.params["axes"] == (-1, -2):
            return _view(_build_transpose, operands)
        truth = node.op is ASTYPE and self.nodes[operands[0]].dtype.kind == "b" and node.dtype.kind == "f"
        return _view(_build_truth, operands) if truth else None

    def _power(self, node: Node, operands: tuple[int, ...]) -> View | None:
        """Give the view of a whole power; of a matrix A⁻¹ would be the inverse."""
        exponent = self._whole(node.inputs[1])
        if exponent is None:
            return None
        build = _build_reciprocal if exponent < 0 and len(node.shape) > 1 else _build_whole_power
        return _view(partial(build, exponent), operands[:1])

    def _unbroadcast(self, node: Node) -> tuple[int, ...]:
        """Give the operands without broadcasts that the op would do anyway."""
        bare = tuple(self.plain[operand] for operand in node.inputs)
        shapes = map(self._shape, bare)
        return bare if bare != node.inputs and dims.broadcast(*shapes) == node.shape else node.inputs

    def _whole(self, number: int) -> int | None:
        value = scalar_value(Expr(self.graph, self.plain[number]))
        return int(value) if value is not None and float(value).is_integer() and abs(value) < 100 else None

    def _item(self, node: Node, cut: Node) -> View:
        """Give the view of x[i, :, j], which is a slice with axes of size 1 that are dropped."""
        runs = cut.params["runs"]
        parts = [":"] * (len(cut.shape) - len(runs))
        for axis, run in zip(range(-len(runs), 0), runs, strict=True):
            size = self.nodes[cut.inputs[0]].shape[axis]
            parts.append(_position(run.start, size) if axis in node.params["axes"] else run.text(size))
        while parts[-1] == ":":
            parts.pop()
        return _view(partial(_build_item, ", ".join(parts)), cut.inputs)

    def _outer(self, node: Node) -> tuple[int, int] | None:
        """Give a and b where the node is a[:, None] * b[None, :]."""
        found: dict[object, int] = {}
        for operand in node.inputs:
            factor = self.nodes[operand]
            if len(factor.shape) == 1:
                found[(-2,)] = operand
            elif factor.op is EXPAND_DIMS and len(factor.shape) == 2:
                found[factor.params["axes"]] = factor.inputs[0]
        return (found[(-1,)], found[(-2,)]) if len(found) == 2 and found.keys() == {(-1,), (-2,)} else None

    def _factors(self, number: int) -> tuple[list[int], list[int]]:
        """Give the factors of a product, through the products in it that nothing else uses, and those products."""
        factors: list[int] = []
        products: list[int] = []
        stack = [number]
        while stack:
            at = stack.pop()
            node = self.nodes[at]
            inside = at == number or (self.fan[at] == 1 and not node.label)
            if node.op is multiply and inside and self._outer(node) is None:
                products.append(at)
                stack += [self.plain[operand] for operand in reversed(node.inputs)]
            else:
                factors.append(at)
        return factors, products

    def _sigmoid_primes(self, number: int) -> View | None:
        """Find s and 1 - s among the factors, where s is a sigmoid: together they are its derivative."""
        if number in self.without_primes:
            return None
        factors, products = self._factors(number)
        pairs = self._pairs(factors) if len(factors) <= _MOST_FACTORS else {}
        shape = dims.broadcast(*(self.nodes[factor].shape for factor in factors))
        if not pairs or shape != self.nodes[number].shape:
            self.without_primes.update(products)
            return None
        mates = set(pairs.values())
        kept = [at for at in range(len(factors)) if at not in mates]
        shown = [self.nodes[factors[pairs[at]]].inputs[0] if at in pairs else factors[at] for at in kept]
        return _view(_build_product, shown, tuple(sigmoid if at in pairs else None for at in kept))

    def _pairs(self, factors: Sequence[int]) -> dict[int, int]:
        """Give the places of the factors 1 - s, each with the place of its s."""
        places: dict[int, list[int]] = {}
        for at, factor in enumerate(factors):
            if self.nodes[factor].op is sigmoid:
                places.setdefault(factor, []).append(at)
        pairs = {}
        for at, factor in enumerate(factors):
            base = self._one_minus(factor)
            if base is not None and places.get(base):
                pairs[at] = places[base].pop()
        return pairs

    def _one_minus(self, number: int) -> int | None:
        """Give x where the node is 1 - x."""
        node = self.nodes[number]
        if node.op is not subtract or self._whole(node.inputs[0]) != 1:
            return None
        return self.plain[node.inputs[1]]

    def _tanh_prime(self, operands: tuple[int, ...], shape: Shape) -> View | None:
        """Recognise 1 - tanh(z)²."""
        squared = self.nodes[operands[1]]
        if self._whole(operands[0]) != 1 or squared.op is not square:
            return None
        base = self.nodes[self.plain[squared.inputs[0]]]
        return _view(_build_product, base.inputs, (tanh,)) if base.op is tanh and base.shape == shape else None


def _position(start: Size, size: Size) -> str:
    """Write an index; one that is counted from an end that has a name, as Python does."""
    behind = start - size
    return str(behind if isinstance(behind, int) and not isinstance(start, int) else start)


# --- the walk -------------------------------------------------------------------------------------------------


def _holds_derivative(expr: Expr) -> bool:
    nodes = expr.graph.nodes
    return any(nodes[number].backward for number in expr.graph.reachable([expr.number]))


def _in_words(expr: Expr, *, matrices: bool) -> Expr:
    """Write sums of products that are products of matrices as such, and what only generated code knows in words."""
    nodes = expr.graph.nodes
    ops = {nodes[number].op for number in expr.graph.reachable([expr.number])}
    rules = [rule for rule in (*textbook(), BLOCKS) if not ops.isdisjoint({*rule.roots} & _OF_CODE)]
    if matrices and (rules or EINSUM in ops):
        rules.append(MATRICES)
    return rebuild([expr], Rewritten(rules))[0] if rules else expr


def formula(
    expr: Expr,
    style: Style,
    *,
    simplify: bool | None = None,
    where: Where = "auto",
    primes: bool = False,
    width: int = 240,
    notation: Notation = "auto",
    taken: Collection[str] = (),
) -> Formula:
    """Write an expression in one style, with the lines for the parts that are listed.

    Args:
        expr: the expression.
        style: the notation.
        simplify: rewrite it first; None does so where it holds a derivative.
        where: list shared and named parts: all of them, none, or those of a large formula.
        primes: show the derivatives of activations as σ′(z).
        width: the length beyond which a part gets a line of its own.
        notation: "index" writes elements, "matrix" whole arrays, "auto" whole arrays where these can say it.
        taken: names that no such part may have.

    Raises:
        ValueError: `where` or `notation` is something else.
    """
    if where not in ("auto", True, False):
        msg = f'where is "auto", True or False, not {where!r}'
        raise ValueError(msg)
    if notation not in {"auto", "index", "matrix"}:
        msg = f'notation is "auto", "index" or "matrix", not {notation!r}'
        raise ValueError(msg)
    wanted = _holds_derivative(expr) if simplify is None else simplify
    simpler = simplified(expr) if wanted else expr
    said = _in_words(simpler, matrices=notation != "index")
    try:
        return _written(_Shown(said, primes=primes, notation=notation), style, where, width, taken)
    except LettersError:  # calls need no letters
        return _written(_Shown(said, primes=primes, notation="matrix"), style, where, width, taken)


def _written(shown: _Shown, style: Style, where: Where, width: int, taken: Collection[str]) -> Formula:
    """Write what is shown, with the shared parts listed if that is wanted."""
    parts = shown.parts(trivial=where is True)
    inline = where is not True and (where is False or shown.sizes[shown.root.number] <= _LARGE)
    written = _Writer(shown, style, width, set() if inline else parts, taken).write()
    too_long = bool(written.lines) or len(written.main) > width * _SHORT
    if where == "auto" and inline and parts and too_long:
        return _Writer(shown, style, width, parts, taken).write()
    return written


class _Shown:
    """What is shown of an expression: the views of its nodes, and how often and how large each is.

    Attributes:
        root: what is asked for.
        nodes: the graph's nodes.
        order: what is shown of them, operands first.
        views: how each is shown.
        uses: how often each node is shown.
        sizes: how many operators each node has when written out.
        names: what the symbols are called.
        labels: the sizes of indices that are summed over.
    """

    def __init__(self, expr: Expr, *, primes: bool, notation: Notation) -> None:
        """Look from the root downwards."""
        self.root = Key(expr.number)
        self.nodes = expr.graph.nodes
        reached = expr.graph.reachable([self.root.number])
        views = _Views(expr.graph, reached, primes=primes, notation=notation)
        self.labels = views.elements.sizes
        self.views: dict[Key, View] = {}
        self.uses: Counter[int] = Counter({self.root.number: 1})
        asked: dict[int, list[Key]] = {self.root.number: [self.root]}
        groups: list[list[Key]] = []
        for number in reversed(reached):
            counted = False
            for key in asked.get(number, ()):  # grows while what is asked of a node leads to the node itself
                view = self.views[key] = views.of(key)
                for operand in view.operands:
                    known = asked.setdefault(operand.number, [])
                    if operand not in self.views and operand not in known:
                        known.append(operand)
                    if operand.number != number and not counted:
                        # A sign or a transpose passes on how often it is used itself.
                        self.uses[operand.number] += self.uses[number] if self._wraps(number) else 1
                counted = counted or any(operand.number != number for operand in view.operands)
            groups.append(sorted(asked.get(number, ()), key=self._after))
        self.order = [key for group in reversed(groups) for key in group]
        sizes: dict[Key, int] = {}
        self.sizes: dict[int, int] = {}
        for key in self.order:
            below = sum(sizes[operand] for operand in self.views[key].operands)
            own = key.number not in self.sizes and not self._leaf(key.number) and not self._wraps(key.number)
            sizes[key] = min(_HUGE, below + own)
            self.sizes[key.number] = max(sizes[key], self.sizes.get(key.number, 0))
        self.names = self._symbol_names()

    def _after(self, key: Key) -> int:
        """Order what is asked of one node: elements, the tensor made of them, elements of that."""
        of_itself = any(operand.number == key.number for operand in self.views[key].operands)
        return 0 if not of_itself else 1 if key.labels is None else 2

    def _wraps(self, number: int) -> bool:
        return self.nodes[number].op in _WRAPPERS

    def _leaf(self, number: int) -> bool:
        return not self.nodes[number].inputs

    def parts(self, *, trivial: bool) -> set[int]:
        """Give the nodes to be listed: the named ones, and the shared ones unless they are short."""
        least = 1 if trivial else 2
        found = set()
        for number in self.sizes:
            shared = self.uses[number] > 1 and self.sizes[number] >= least and not self._wraps(number)
            if number != self.root.number and not self._leaf(number) and (shared or self.nodes[number].label):
                found.add(number)
        return found

    def _symbol_names(self) -> dict[int, str]:
        """Name the symbols; two of one name are told apart by their dtypes and shapes."""
        symbols = {number: self.nodes[number] for number in self.sizes if self.nodes[number].op is SYMBOL}
        count = Counter(node.params["name"] for node in symbols.values())
        names = {}
        for number, node in symbols.items():
            name = node.params["name"]
            names[number] = name if count[name] == 1 else f"{name}:{node.dtype}{dims.show(node.shape)}"
        return names


class _Writer:
    """Writes what is shown of an expression, with some of its nodes listed."""

    def __init__(self, shown: _Shown, style: Style, width: int, listed: set[int], taken: Collection[str]) -> None:
        """Take what is shown, the notation, the length of a line, the nodes that get one, and names not to use."""
        self.shown = shown
        self.style = style
        self.width = width
        self.listed = listed
        self.lines: list[tuple[str, str]] = []
        self.pieces: dict[Key, Piece] = {}
        self._named: dict[int, Piece] = {}  # the whole of a node that has a line
        self._lined: set[Key] = set()
        self._names = set(shown.names.values())
        ops = {shown.nodes[number].op for number in shown.sizes}
        nodes = [shown.nodes[number] for number in shown.sizes]
        sizes = {name for node in nodes for name in dims.names_of([*node.shape, node.params.get("size", 1)])}
        self._others = {*sizes, *(node.label for node in nodes if node.label)}
        self.scribe = Scribe(style, self._names, ops, others=self._others)
        self._taken = taken

    @cached_property
    def _fresh(self) -> dict[bool, Iterator[str]]:
        """Names for parts, of vectors and of matrices; most formulas need none."""
        used = {*self._taken, *self._names, *self.scribe.functions, *self._others}
        return {matrix: fresh_names(used, matrix=matrix) for matrix in (False, True)}

    def write(self) -> Formula:
        """Write each node from the pieces of its operands."""
        for key in self.shown.order:
            self.pieces[key] = self._piece(key)
            if key.number in self.listed:
                self._list(key)
        return Formula(self._lettered(self.pieces[self.shown.root]), self.lines)

    def _lettered(self, piece: Piece) -> str:
        return lettered(piece.full, self.style.letters, self.shown.labels)

    def _from_longest(self, key: Key) -> tuple[int, int, list[str]]:
        return -len(self.pieces[key].text), key.number, [label or "" for label in key.labels or ()]

    def _piece(self, key: Key) -> Piece:
        known = self._named.get(key.number)
        if known is not None:
            return known if key.labels is None else self.scribe.element(known, key.labels)
        if key.labels is None and key.number in self.shown.names:
            return self.scribe.name(self.shown.names[key.number], self.shown.nodes[key.number].shape)
        piece = self._built(key)
        if len(piece.text) > self.width:
            operands = {
                operand
                for operand in self.shown.views[key].operands
                if self.shown.nodes[operand.number].inputs and operand.number != key.number
            }
            longest = sorted(operands - self._lined, key=self._from_longest)
            count = 1
            while longest and len(piece.text) > self.width:
                for operand in longest[:count]:
                    self._list(operand)
                piece = self._built(key)
                longest, count = longest[count:], 2 * count
        return piece

    def _built(self, key: Key) -> Piece:
        view = self.shown.views[key]
        pieces = [self.pieces[operand] for operand in view.operands]
        for at, op in enumerate(view.primed):
            if op is not None:
                pieces[at] = self.scribe.primed(op, pieces[at])
        return view.build(self.scribe, self.shown.nodes[key.number], pieces)

    def _list(self, key: Key) -> None:
        """Give what is shown of a node a line, and its name for a piece."""
        if key in self._lined or key.number in self._named:
            return
        self._lined.add(key)
        node = self.shown.nodes[key.number]
        piece = self.pieces[key]
        labels = tuple(dict.fromkeys(label for label in key.labels or () if label))
        if labels:
            sizes = dict(zip(key.labels or (), node.shape, strict=True))
            piece = self.scribe.tensor(piece, labels, tuple(sizes[label] for label in labels))
        name = self.scribe.name(self._own_name(node), piece.shape)
        self.lines.append((name.text, self._lettered(self.scribe.bound(piece, ADD))))
        if key.labels is None or labels == key.labels:
            self._named[key.number] = name
        self.pieces[key] = self.scribe.element(name, labels) if key.labels is not None else name

    def _own_name(self, node: Node) -> str:
        if node.label and node.label not in self._names:
            self._names.add(node.label)
            return node.label
        return next(self._fresh[len(node.shape) > 1])

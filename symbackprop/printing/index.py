"""Index notation, ``[Σₖ AᵢₖBₖⱼ]ᵢⱼ``: which nodes need it, and how one element of each is written.

An element is asked for by labels, one for each axis, which are private characters: which letters they are is decided
when the whole line is known, so that each line begins with i and no letter has two meanings in one place.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from typing import Literal, NamedTuple, TypeAlias

from symbackprop import dims
from symbackprop.dims import Dim, Shape, Size
from symbackprop.graph import Node
from symbackprop.op import ADD, COMPARE, Form, Op
from symbackprop.ops.contract import DIAG, DIAGONAL, EINSUM, EYE, TRACE, matmul
from symbackprop.ops.elementwise import divide, multiply, negative
from symbackprop.ops.index import SLICE
from symbackprop.ops.layout import BROADCAST_TO, EXPAND_DIMS, RESHAPE, SQUEEZE, TRANSPOSE
from symbackprop.ops.reduce import MEAN, SUM
from symbackprop.printing.piece import AXES, CLOSE, SEPARATOR, SUMMED, Piece, Scribe

Notation: TypeAlias = Literal["auto", "index", "matrix"]
Label: TypeAlias = str
Labels: TypeAlias = tuple[Label | None, ...]

_FIRST, _COUNT = 0xF0000, 0xFFFE  # a private plane; a line is too short for the labels to come round again
_MARKS = re.compile(f"([{SUMMED}{AXES}{SEPARATOR}{CLOSE}{chr(_FIRST)}-{chr(_FIRST + _COUNT - 1)}])")
_MOST_FACTORS = 64  # of a product that are gathered under one sum
_SHORT = 2  # operations on symbols that are written out with any index set
_MOST_WRITTEN = 3  # index sets with which one node is written out; beyond, its tensor is subscripted


class Key(NamedTuple):
    """What is asked of a node: all of it, or the element with these labels; None is the index of an axis of size 1."""

    number: int
    labels: Labels | None = None


Builder: TypeAlias = "Callable[[Scribe, Node, Sequence[Piece]], Piece]"


class View(NamedTuple):
    """What is shown of a node.

    Attributes:
        build: makes the piece from those of the operands.
        operands: what is shown as operands.
        primed: for each operand the activation whose derivative is shown there in place of the operand itself.
    """

    build: Builder
    operands: tuple[Key, ...]
    primed: tuple[Op | None, ...] = ()


class LettersError(Exception):
    """More indices meet in one place than there are letters."""


def lettered(text: str, letters: Sequence[str], sizes: Mapping[Label, Size]) -> str:
    """Put letters for the labels of a line.

    What a bracket declares gets the first free letters; a sum over an axis of size ``"N"`` gets n, if that is free.

    Raises:
        LettersError: there are not enough letters.
    """
    if CLOSE not in text:
        return text
    found: list[str] = []
    scopes: list[dict[Label, str]] = [{}]
    parts = _MARKS.split(text)
    at = 0
    while at < len(parts):
        part = parts[at]
        if part in {SUMMED, AXES}:
            end = parts.index(SEPARATOR, at)
            scopes.append({**scopes[-1]})
            for label in (each for each in parts[at + 1 : end] if each):
                size = sizes.get(label) if part == SUMMED else None
                scopes[-1][label] = _letter(size, letters, set(scopes[-1].values()))
            at = end
        elif part == CLOSE:
            scopes.pop()
        else:
            found.append(scopes[-1].get(part, part))
        at += 1
    return "".join(found)


def _letter(size: Size | None, letters: Sequence[str], taken: set[str]) -> str:
    wanted = size.name.lower() if isinstance(size, Dim) and size.name else ""
    own = [letters[at] for at, letter in enumerate(LETTERS) if letter == wanted]
    free = next((letter for letter in (*own, *letters) if letter not in taken), None)
    if free is None:
        raise LettersError
    return free


LETTERS = "ijklmnprstuv"
"""The letters that Unicode has as subscripts and that stand for indices."""


# --- how elements are built -----------------------------------------------------------------------------------


def _build_same(_scribe: Scribe, _node: Node, operands: Sequence[Piece]) -> Piece:
    return operands[0]


def _build_element(labels: Labels, scribe: Scribe, _node: Node, operands: Sequence[Piece]) -> Piece:
    return scribe.element(operands[0], labels)


def _build_tensor(
    labels: Sequence[Label], scribe: Scribe, node: Node, operands: Sequence[Piece], *, inner: bool
) -> Piece:
    return scribe.tensor(operands[0], labels, node.shape, inner=inner)


def _build_inside(build: Builder, scribe: Scribe, node: Node, operands: Sequence[Piece]) -> Piece:
    return replace(build(scribe, node, operands), shape=(), turned=None)


def _build_any(build: Builder, scribe: Scribe, node: Node, operands: Sequence[Piece]) -> Piece:
    """Write where a sum of products of truth values is not zero: of truth values the sum tells whether one holds."""
    return scribe.formed(Form("$0 > 0", COMPARE, (ADD,)), [build(scribe, node, operands)], ())


def _holds(piece: Piece, labels: Iterable[Label]) -> bool:
    return any(label in piece.text for label in labels)


@dataclass
class _Product:
    """A sum over labels of a product.

    Attributes:
        factors: what is multiplied.
        deltas: pairs of labels that must be equal.
        summed: the labels that are summed over, with their sizes.
        divisors: sizes that the product is divided by.
        below: scalars that it is divided by.
        minus: whether it is negated.
    """

    factors: list[Key] = field(default_factory=list)
    deltas: list[tuple[Label, Label]] = field(default_factory=list)
    summed: dict[Label, Size] = field(default_factory=dict)
    divisors: list[Size] = field(default_factory=list)
    below: list[Key] = field(default_factory=list)
    minus: bool = False

    def contract(self) -> None:
        """Put one label of a delta for the other, if that one is summed over: Σⱼ δᵢⱼ xⱼ = xᵢ."""
        now: dict[Label, Label] = {}

        def current(label: Label) -> Label:
            while label in now:
                label = now[label]
            return label

        for pair in self.deltas:
            a, b = map(current, pair)
            gone, kept = (b, a) if b in self.summed else (a, b)
            if gone != kept and gone in self.summed:
                now[gone] = kept
                del self.summed[gone]
        left = [(current(a), current(b)) for a, b in self.deltas]
        self.deltas = [pair for pair in dict.fromkeys(left) if pair[0] != pair[1]]
        self.factors = [
            Key(number, labels and tuple(label and current(label) for label in labels))
            for number, labels in self.factors
        ]

    def build(self, scribe: Scribe, _node: Node, operands: Sequence[Piece]) -> Piece:
        """Write it; a sum over a label that occurs nowhere is a multiple."""
        scalars = operands[len(self.factors) :]
        powers = Counter(self.factors)
        written_once = dict(zip(self.factors, operands, strict=False))
        factors = [_raised(scribe, piece, powers[factor]) for factor, piece in written_once.items()]
        pieces = [*(scribe.delta(*pair) for pair in self.deltas), *factors]
        found = [label for label in self.summed if any(_holds(piece, [label]) for piece in pieces)]
        above = [size for label, size in self.summed.items() if label not in found]
        below = list(self.divisors)
        for size in self.divisors:
            if size in above:
                above.remove(size)
                below.remove(size)
        pieces = [*map(scribe.size, above), *pieces] or [scribe.number("1")]
        outside = [piece for piece in pieces if found and not _holds(piece, found)]
        body = reduce(scribe.product, [piece for piece in pieces if piece not in outside])
        if below or scalars:
            body = scribe.divided(body, reduce(scribe.product, [*map(scribe.size, below), *scalars]))
        written = reduce(scribe.product, [*outside, scribe.contraction(body, found)])
        if not self.minus:
            return written
        return written.unsigned if written.sign else scribe.negated(written)


def _raised(scribe: Scribe, piece: Piece, times: int) -> Piece:
    return piece if times == 1 else scribe.power(piece, scribe.style.exponents(times), piece.shape)


# --- which nodes need it --------------------------------------------------------------------------------------

_LAYOUT = {BROADCAST_TO, EXPAND_DIMS, SQUEEZE, TRANSPOSE}
_MERGED = {multiply, negative, EINSUM, SUM, DIAG, DIAGONAL}
_CONTRACTED = {*_LAYOUT, *_MERGED, EYE, MEAN, RESHAPE, TRACE, matmul}


def _is_any(node: Node) -> bool:
    return node.op is EINSUM and node.dtype.kind == "b"


def _is_identity(node: Node, nodes: Mapping[int, Node]) -> bool:
    """Tell whether a node is the identity of arrays: a product of a δ for each axis."""
    half = len(node.shape) // 2
    return (
        node.op is RESHAPE
        and nodes[node.inputs[0]].op is EYE
        and node.shape[:half] == node.shape[half:]
        and nodes[node.inputs[0]].shape == (dims.product(node.shape[:half]),) * 2
    )


def aligned(labels: Labels, shape: Shape, operand: Shape) -> Labels:
    """Give the labels of an operand that broadcasts to a shape."""
    first = len(shape) - len(operand)
    return tuple(
        None if size == 1 and whole != 1 else label
        for label, whole, size in zip(labels[first:], shape[first:], operand, strict=True)
    )


def _moved(node: Node, labels: Labels, x: Shape) -> Labels:
    """Give the labels of the operand of a node that computes nothing."""
    if node.op is BROADCAST_TO:
        return aligned(labels, node.shape, x)
    axes = node.params["axes"]
    if node.op is EXPAND_DIMS:
        return tuple(label for axis, label in zip(range(-len(labels), 0), labels, strict=True) if axis not in axes)
    if node.op is SQUEEZE:
        given = iter(labels)
        return tuple(None if axis in axes else next(given) for axis in range(-len(x), 0))
    first = len(labels) - len(axes)
    turned = dict(zip(axes, labels[first:], strict=True))
    return (*labels[:first], *(turned[axis] for axis in range(-len(axes), 0)))


class Elements:
    """Decides which nodes are written in index notation, and what is shown of an element.

    Attributes:
        indexed: the nodes that are.
        sizes: the sizes of the labels that are summed over.
    """

    def __init__(
        self,
        nodes: Mapping[int, Node],
        order: Sequence[int],
        *,
        plain: Mapping[int, int],
        fan: Mapping[int, int],
        unsized: set[int],
        notation: Notation,
    ) -> None:
        """Look at every node, operands first.

        Args:
            nodes: the graph's.
            order: those that the formula is computed from, in topological order.
            plain: for each the node under the broadcasts.
            fan: for each how many operands it is.
            unsized: identities and multiples of them that say too little without their size.
            notation: "index" for whatever can be written so, "matrix" for nothing, else where matrices cannot say it.
        """
        self._nodes = nodes
        self._plain = plain
        self._fan = fan
        self._unsized = unsized
        self._bare: dict[int, int] = {}  # the node under what only moves elements
        self._everything = notation == "index"
        self.indexed: set[int] = set()
        self.sizes: dict[Label, Size] = {}
        self._whole: set[int] = set()  # whose tensor matrix notation says
        self._pointwise: dict[int, int] = {}  # made of symbols by elementwise operations alone, of so many
        self._aligned: set[int] = set()  # of which elements say more simply what they are
        self._root = order[-1]
        self._count = 0
        self._written: Counter[int] = Counter()
        self._tensors: set[Key] = set()
        self._told: set[Label] = set()  # those of the whole, whose shape tells their sizes
        if notation != "matrix":
            for number in order:
                self._look(number)

    def _look(self, number: int) -> None:
        node = self._nodes[number]
        self._bare[number] = self._bare[node.inputs[0]] if node.op in _LAYOUT else number
        if self._needs(node) and self._is_told(number, node):
            self.indexed.add(number)
        elif all(operand in self._whole or not self._nodes[operand].shape for operand in node.inputs):
            self._whole.add(number)
        if node.op.elementwise and self._is_aligned(node):
            self._aligned.add(number)
        if (node.op.elementwise or node.op in _LAYOUT or not node.inputs) and self._pointwise.keys() >= {*node.inputs}:
            self._pointwise[number] = node.op.elementwise + sum(self._pointwise[operand] for operand in node.inputs)

    def _is_aligned(self, node: Node) -> bool:
        """Tell whether elements say more simply what is done with identities and new axes, or what is a multiple."""
        bare = [self._plain[operand] for operand in node.inputs]
        below = [self._nodes[operand] for operand in bare]
        scaled = node.op in {multiply, divide} and any(not each.shape for each in below)
        return scaled or any(each.op in {EYE, EXPAND_DIMS} for each in below) or not self._aligned.isdisjoint(bare)

    def _is_told(self, number: int, node: Node) -> bool:
        """Tell whether elements of other arrays tell the sizes of the letters of δ."""
        if node.op in {DIAG, EINSUM, matmul} and not self._can(node):
            return False
        operands = node.inputs if node.op.elementwise else (self._bare[number],)
        return number not in self._unsized and self._unsized.isdisjoint(operands)

    def _needs(self, node: Node) -> bool:
        if self._everything:
            return self._can(node) and bool(node.inputs or node.op is EYE)
        operands = [self._plain[operand] for operand in node.inputs]
        tensors = any(operand in self.indexed and self._nodes[operand].shape for operand in operands)
        if node.op is EINSUM or (node.op is TRANSPOSE and len(node.shape) > 2 and node.params["axes"] != (-1, -2)):
            return True
        if _is_identity(node, self._nodes):
            return True
        if node.op is matmul:
            stacks = any(operand in self.indexed and len(self._nodes[operand].shape) > 2 for operand in operands)
            return stacks or self._stacked(*map(self._nodes.__getitem__, node.inputs))
        if node.op.elementwise:
            return tensors or any(self._is_spread(operand) for operand in operands)
        return tensors and self._can(node)

    def _stacked(self, left: Node, right: Node) -> bool:
        """Tell whether a product of stacks of matrices is none of matrices written side by side."""
        ranks = len(left.shape), len(right.shape)
        turned = any(len(each.shape) > 2 and each.op is TRANSPOSE for each in (left, right))
        return turned or (
            max(ranks) > 2 and (ranks[0] == 1 or (min(ranks) > 2 and left.shape[:-2] != right.shape[:-2]))
        )

    def _is_spread(self, number: int) -> bool:
        return self._nodes[number].op is EXPAND_DIMS and len(self._nodes[number].shape) > 2

    def _can(self, node: Node) -> bool:
        """Tell whether an element of the node can be written by elements of its operands."""
        if node.op in {DIAG, EINSUM}:
            return self._tells_sizes(node)
        if node.op is matmul:
            return node.dtype.kind != "b"  # of truth values it is no sum of ones and zeros
        if node.op in {TRACE, DIAGONAL, EYE}:
            matrix = self._nodes[node.inputs[0]].shape if node.inputs else node.shape
            return matrix[-2:][0] == matrix[-1]
        if node.op is RESHAPE:
            return _is_identity(node, self._nodes)
        if node.op is SQUEEZE:
            return self._nodes[node.inputs[0]].op is not SLICE
        return node.op in _CONTRACTED or (node.op.elementwise and bool(node.inputs))

    def _tells_sizes(self, node: Node) -> bool:
        """Tell whether other factors tell the sizes of the letters of each δ, or the shape of the whole does."""
        bases = [self._nodes[self._plain[operand]] for operand in node.inputs]
        if node.op is DIAG:
            return bases[0].shape[-1:] == node.shape[-1:]
        left, _, out = node.params["subscripts"].partition("->")
        terms = [(base, term) for base, term in zip(bases, left.split(","), strict=True)]
        deltas = [set(term) for base, term in terms if base.op is EYE]
        told = {letter for base, term in terms if base.op is not EYE for letter in term[len(term) - len(base.shape) :]}
        whole = node.shape == self._nodes[self._root].shape and told.union(*deltas) >= set(out)
        return whole or not any(told.isdisjoint(letters) for letters in deltas)

    def tensor(self, number: int) -> View:
        """Give the view of the whole of a node that is written in index notation."""
        labels = tuple(map(self._fresh, self._nodes[number].shape))
        key = Key(number, labels)
        self._tensors.add(key)
        if number == self._root:
            self._told.update(labels)
        return View(partial(_build_tensor, labels, inner=number != self._root) if labels else _build_same, (key,))

    def _fresh(self, size: Size) -> Label:
        del size
        self._count += 1
        return chr(_FIRST + self._count % _COUNT)

    def of(self, key: Key, elementwise: Callable[[int, Node, Sequence[int]], tuple[Builder, View | None]]) -> View:
        """Give the view of an element.

        Args:
            key: the node and the labels.
            elementwise: gives how an elementwise node is built, and its view where that is no plain application.
        """
        number, labels = key.number, key.labels or ()
        node = self._nodes[number]
        if not self._is_opened(key):
            whole = Key(number)
            return View(partial(_build_element, labels) if node.shape else _build_same, (whole,))
        if node.op in _CONTRACTED or self._is_fraction(node):
            product = self._product(key)
            build = partial(_build_any, product.build) if _is_any(node) else product.build
            return View(build, (*product.factors, *product.below))
        operands = [self._plain[operand] for operand in node.inputs]
        written, special = elementwise(number, node, operands)
        view = special or View(written, tuple(map(Key, operands)))
        keys = tuple(
            Key(operand.number, aligned(labels, node.shape, self._nodes[operand.number].shape))
            for operand in view.operands
        )
        return View(partial(_build_inside, view.build), keys, view.primed)

    def _is_opened(self, key: Key) -> bool:
        """Tell whether the element is written by elements of the operands."""
        number = key.number
        node = self._nodes[number]
        told = node.op in {DIAG, EINSUM} and self._are_told(node, key.labels or ())
        if not told and not self._can(node):
            return False
        if node.op in _LAYOUT:
            return True
        short = self._pointwise.get(number, _SHORT + 1) <= _SHORT
        self._written[number] += not short
        if self._written[number] > _MOST_WRITTEN and self._fan[number] > 1 and key not in self._tensors:
            return False
        if number in self.indexed or told:
            return True
        return bool(node.shape) and (number in self._pointwise or number not in self._whole or number in self._aligned)

    def _are_told(self, node: Node, labels: Labels) -> bool:
        """Tell whether the shape of the whole tells the sizes of the letters of each δ."""
        if node.op is DIAG:
            return not self._told.isdisjoint(labels[-2:])
        left, _, out = node.params["subscripts"].partition("->")
        known = {letter for letter, label in zip(out, labels, strict=True) if label in self._told}
        terms = zip(node.inputs, left.split(","), strict=True)
        return all(known & set(term) for operand, term in terms if self._nodes[self._plain[operand]].op is EYE)

    # --- products -----------------------------------------------------------------------------------------------

    def _product(self, key: Key) -> _Product:
        """Gather a sum of products: what is under one Σ."""
        found = _Product()
        stack = [key]
        while stack:
            at = stack.pop()
            few = len(stack) + len(found.factors) < _MOST_FACTORS
            if at is key or (few and self._is_inside(at)):
                stack += reversed([*self._opened(self._nodes[at.number], at.labels or (), found)])
            else:
                found.factors.append(at)
        found.contract()
        self.sizes |= found.summed
        return found

    def _is_inside(self, key: Key) -> bool:
        """Tell whether a factor is taken apart, so that its own factors and sums join those around it."""
        number = key.number
        node = self._nodes[number]
        if node.label or _is_any(node) or not self._can(node):
            return False
        if node.op in _LAYOUT or node.op in {EYE, RESHAPE}:
            return True
        if self._fan[number] > 1 or (not node.shape and number not in self.indexed):
            return False
        if node.op in {matmul, TRACE, MEAN}:
            return number in self.indexed or number not in self._whole
        return node.op in _MERGED or self._is_fraction(node)

    def _is_fraction(self, node: Node) -> bool:
        """Tell whether something is divided by a scalar."""
        return node.op is divide and not self._nodes[self._plain[node.inputs[1]]].shape

    def _opened(self, node: Node, labels: Labels, found: _Product) -> Iterator[Key]:
        """Give the factors of one node; what it sums over goes into the product."""
        shapes = [self._nodes[operand].shape for operand in node.inputs]
        if node.op is EINSUM:
            yield from self._einsum(node, labels, shapes, found)
        elif node.op is matmul:
            yield from self._matmul(node, labels, shapes, found)
        elif node.op is multiply:
            for operand in (self._plain[operand] for operand in node.inputs):
                yield Key(operand, aligned(labels, node.shape, self._nodes[operand].shape))
        elif node.op is divide:
            found.below.append(Key(self._plain[node.inputs[1]], ()))
            above = self._plain[node.inputs[0]]
            yield Key(above, aligned(labels, node.shape, self._nodes[above].shape))
        elif node.op in {EYE, RESHAPE}:
            half = len(labels) // 2
            found.deltas += [(a, b) for a, b in zip(labels[:half], labels[half:], strict=True) if a and b]
        else:
            yield Key(node.inputs[0], self._below(node, labels, shapes[0], found))

    def _below(self, node: Node, labels: Labels, x: Shape, found: _Product) -> Labels:
        """Give the labels of the operand of a node that has only one."""
        if node.op is negative:
            found.minus = not found.minus
            return labels
        if node.op in {DIAG, DIAGONAL, TRACE}:
            return self._diagonal(node, labels, x, found)
        if node.op in {SUM, MEAN}:
            return self._reduced(node, iter(labels), x, found)
        return _moved(node, labels, x)

    def _diagonal(self, node: Node, labels: Labels, x: Shape, found: _Product) -> Labels:
        """Give the labels of the operand of what reads or makes a diagonal."""
        if node.op is DIAG:
            a, b = labels[-2:]
            found.deltas += [(a, b)] if a and b else []
            return labels[:-1]
        return (*labels, labels[-1]) if node.op is DIAGONAL else (*labels, *[self._summed(x[-1], found)] * 2)

    def _reduced(self, node: Node, given: Iterator[Label | None], x: Shape, found: _Product) -> Labels:
        """Give the labels of the operand of a sum or an average."""
        below: list[Label | None] = []
        for axis, size in zip(range(-len(x), 0), x, strict=True):
            reduced = axis in node.params["axes"]
            if not reduced or node.params["keepdims"]:
                label = next(given)
            if reduced:
                label = self._summed(size, found)
                found.divisors += [size] if node.op is MEAN and size != 1 else []
            below.append(label)
        return tuple(below)

    def _summed(self, size: Size, found: _Product) -> Label | None:
        if size == 1:
            return None
        label = self._fresh(size)
        found.summed[label] = size
        return label

    def _einsum(self, node: Node, labels: Labels, shapes: Sequence[Shape], found: _Product) -> Iterator[Key]:
        left, _, out = node.params["subscripts"].partition("->")
        known: dict[str, Label | None] = dict(zip(out, labels, strict=True))
        for operand, term, shape in zip(node.inputs, left.split(","), shapes, strict=True):
            for letter, size in zip(term, shape, strict=True):
                if letter not in known:
                    known[letter] = self._summed(size, found)
            yield Key(operand, tuple(known[letter] for letter in term))

    def _matmul(self, node: Node, labels: Labels, shapes: Sequence[Shape], found: _Product) -> Iterator[Key]:
        left, right = shapes
        inner = self._summed(left[-1], found)
        rest = list(labels)
        column = [rest.pop()] if len(right) > 1 else []
        row = [rest.pop()] if len(left) > 1 else []
        leading = node.shape[: len(rest)]
        for operand, shape, last in zip(node.inputs, shapes, ([*row, inner], [inner, *column]), strict=True):
            yield Key(operand, (*aligned(tuple(rest), leading, shape[:-2]), *last))

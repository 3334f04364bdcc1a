"""Pieces of formulas, and the `Scribe` that puts them together: signs, products, parentheses.

A piece is a written part of a formula with what its surroundings must know of it: how strongly it binds, what its
ends look like, and the parts of a sum or product that may join a larger one. Text and LaTeX share all of this; what
they do not share is data, a `Style`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from symbackprop import dims
from symbackprop.dims import Shape, Size
from symbackprop.language.vocabulary import CALLED
from symbackprop.op import ADD, ATOM, COMPARE, LOGIC, MINUS, MULTIPLY, NEGATE, POWER, Array, Form, Notation, Op
from symbackprop.ops import TABLE
from symbackprop.ops.contract import EYE
from symbackprop.ops.elementwise import divide
from symbackprop.ops.layout import BROADCAST_TO
from symbackprop.printing.names import can_be_split

HADAMARD_LEVEL = MULTIPLY - 0.5  # an elementwise product binds more weakly than the products written without a sign
SUMMED, AXES, SEPARATOR, CLOSE = "\ue000\ue001\ue002\ue003"  # around what has index letters of its own, told first


class Edge(Enum):
    """What a piece looks like at one end."""

    NUMBER = auto()
    LETTER = auto()  # a name of one letter
    WORD = auto()  # a longer name
    CALL = auto()  # a function applied to its operands
    PAREN = auto()
    ROOT = auto()
    MARK = auto()  # other brackets and signs


class Kind(Enum):
    """What a piece is made of, where larger pieces of the same kind may take it in."""

    OTHER = auto()
    SUM = auto()
    SCALED = auto()  # scalars times at most one array, which stands last
    MATRIX = auto()
    HADAMARD = auto()
    QUOTIENT = auto()
    CONTRACTION = auto()


class Joint(Enum):
    """What stands between two factors."""

    TOUCH = auto()
    SPACE = auto()
    DOT = auto()


@dataclass(frozen=True, slots=True)
class Piece:
    """A written part of a formula.

    Attributes:
        text: what is written, without the leading minus.
        level: how strongly that binds, on the scale of `symbackprop.op`.
        head: what it begins with.
        tail: what it ends with.
        shape: the shape of its value.
        sign: the leading minus, or nothing.
        kind: what it is made of.
        parts: the terms of a sum, the factors of a product, numerator and denominator.
        turned: the transpose, where it is known to be written otherwise than with a raised T.
    """

    text: str
    level: float = ATOM
    head: Edge = Edge.MARK
    tail: Edge = Edge.MARK
    shape: Shape = ()
    sign: str = ""
    kind: Kind = Kind.OTHER
    parts: tuple[Piece, ...] = ()
    turned: Piece | None = None

    @property
    def full(self) -> str:
        """What is written, with the leading minus."""
        return self.sign + self.text

    @property
    def binds(self) -> float:
        """How strongly the whole binds, the leading minus included."""
        return min(self.level, MINUS) if self.sign else self.level

    @property
    def unsigned(self) -> Piece:
        """The piece without the leading minus."""
        return replace(self, sign="", turned=None) if self.sign else self


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Style:
    """What one notation writes.

    Attributes:
        notation: which of an op's forms is the one of this notation.
        name: writes a name, and tells whether it is one letter.
        minus: the sign of a negated term.
        hadamard: the elementwise product, with its blanks.
        joints: what stands between the factors of other products.
        number_joint: what stands before a number that is not the first factor.
        parens: round brackets.
        iverson: brackets that make a truth value a number.
        raised: writes a base with an exponent.
        transpose: the exponent that marks a transpose.
        exponents: the exponents that `raised` writes for whole numbers.
        caret: what stands before an exponent that cannot be raised, or nothing where all can.
        array: writes a known array.
        half: 0.5 as a first factor.
        prime: the mark of a derivative.
        call: finds the function's name at the beginning of a call.
        run: finds the letters at the end of a text.
        size: writes a size that is more than a name.
        letters: the letters for indices.
        subscripted: writes a name or what is in brackets with indices.
        contraction: the sign of a sum over indices, with its blanks.
        delta: the identity's name.
        read_back: whether the notation is one that `symbackprop.parse` reads.
    """

    notation: Callable[[Op], Notation]
    name: Callable[[str], tuple[str, bool]]
    minus: str
    hadamard: str
    joints: Mapping[Joint, str]
    number_joint: str
    parens: tuple[str, str]
    iverson: tuple[str, str]
    raised: Callable[[str, str], str]
    transpose: str
    exponents: Callable[[int], str]
    caret: str
    array: Callable[[Array], str]
    half: str
    prime: str
    call: re.Pattern[str]
    run: re.Pattern[str]
    size: Callable[[str], str]
    letters: Sequence[str]
    subscripted: Callable[[str, str], str]
    contraction: Callable[[Sequence[str]], str]
    delta: str
    read_back: bool


class Ends(NamedTuple):
    """What a form begins and ends with, where that is not one of its operands."""

    head: Edge | None
    tail: Edge | None


_KNOWN = frozenset(TABLE)
_RAISED = {Edge.WORD: Edge.PAREN, Edge.CALL: Edge.PAREN}  # what ends on an exponent cannot run on
_BASE = re.compile(r"\{?\$0\}?[^$]*")


@lru_cache(maxsize=64)
def _functions(style: Style, ops: frozenset[Op]) -> frozenset[str]:
    """Give the names that read as a call when a parenthesis follows."""
    found = set()
    for op in ops:
        notation = style.notation(op)
        match = style.call.match(notation.template) if isinstance(notation, Form) else None
        found.add(match[0] if match else op.name)
    return frozenset(found) | {name + style.prime for name in (*found, *CALLED)} | CALLED


def primed(form: Form, style: Style) -> Form:
    """Give the form of a function's derivative."""
    name = style.call.match(form.template)
    at = name.end() if name else len(form.template)
    return form._replace(template=form.template[:at] + style.prime + form.template[at:])


def _place(factor: Piece) -> int:
    """Order factors: numbers, names and calls, products of vectors, the array."""
    if factor.shape:
        return 3
    return 2 if factor.kind is Kind.MATRIX else factor.head is not Edge.NUMBER


class Scribe:
    """Puts pieces together in one style.

    Args:
        style: the notation.
        names: the formula's names.
        ops: the operations in the formula.
        others: names of sizes and parts, from which a row of letters is to be told too.
    """

    def __init__(
        self, style: Style, names: Collection[str], ops: Iterable[Op], *, others: Collection[str] = ()
    ) -> None:
        """Take the style and what the formula's names allow."""
        self.style = style
        self.names = names
        self.functions = _functions(style, _KNOWN) | _functions(style, frozenset(ops))
        self.called = tuple(self.functions)
        self.touching = not can_be_split([*names, *others])
        self.divide = divide.form(style.notation(divide), {}, ())

    # --- leaves, brackets, signs ------------------------------------------------------------------------------

    def name(self, name: str, shape: Shape) -> Piece:
        """Write a name."""
        text, single = self.style.name(name)
        edge = Edge.LETTER if single else Edge.WORD
        return Piece(text, ATOM, edge, edge, shape)

    def number(self, text: str, shape: Shape = ()) -> Piece:
        """Write a number; what is no plain decimal keeps its distance."""
        sign, text = (self.style.minus, text[1:]) if text[:1] in {"-", "−"} else ("", text)
        plain = re.fullmatch(r"\d+(\.\d+)?", text)
        head = Edge.NUMBER if text[:1].isdigit() else Edge.MARK
        return Piece(text, ATOM if plain else NEGATE, head, head if plain else Edge.MARK, shape, sign)

    def size(self, size: Size) -> Piece:
        """Write a size; one that is called like a symbol of the formula is marked."""
        if isinstance(size, int):
            return self.number(str(size))
        name = size.name
        if name is not None and name not in self.names:
            return self.name(name, ())
        text = self.style.size(str(size)) if name is None else self.style.name(name)[0]
        if self.names and size.names.intersection(self.names):
            return self.formed(Form(f"size({text})"), (), ())
        return Piece(text, ADD if " + " in text or self.style.minus in text else MULTIPLY, Edge.MARK, Edge.MARK)

    def truth(self, piece: Piece) -> Piece:
        """Write a truth value as the number 1 or 0."""
        opening, closing = self.style.iverson
        if piece.level == ATOM and piece.text.startswith(opening):
            return piece
        return Piece(f"{opening}{piece.full}{closing}", ATOM, Edge.MARK, Edge.MARK, piece.shape)

    def array(self, array: Array) -> Piece:
        """Write a known array; a large one by its shape alone."""
        return Piece(self.style.array(array), ATOM, Edge.CALL, Edge.CALL, array.shape)

    def primed(self, op: Op, operand: Piece) -> Piece:
        """Write the derivative of a function at an operand."""
        form = op.form(self.style.notation(op), {}, (operand.shape,))
        return self.formed(primed(form, self.style), [operand], operand.shape)

    def enclosed(self, piece: Piece) -> Piece:
        """Put a piece in brackets: Iverson's for a truth value, round ones for the rest."""
        truth = not piece.sign and piece.level in {COMPARE, LOGIC}
        opening, closing = self.style.iverson if truth else self.style.parens
        edge = Edge.MARK if truth else Edge.PAREN
        return Piece(f"{opening}{piece.full}{closing}", ATOM, edge, edge, piece.shape)

    def bound(self, piece: Piece, need: float) -> Piece:
        """Give the piece, in brackets if it binds more weakly than needed."""
        return piece if piece.binds >= need else self.enclosed(piece)

    def negated(self, piece: Piece) -> Piece:
        """Write a minus before a piece."""
        body = self.bound(piece, HADAMARD_LEVEL)
        return replace(body, sign=self.style.minus, turned=None)

    def _sign_of(self, *factors: Piece) -> str:
        """Give the sign that a product takes from its factors."""
        return self.style.minus if sum(bool(factor.sign) for factor in factors) % 2 else ""

    # --- sums -------------------------------------------------------------------------------------------------

    def sum(self, left: Piece, right: Piece, *, minus: bool, shape: Shape) -> Piece:
        """Write a sum or a difference, a positive term first where there is one."""
        terms = self._terms(left) + ((self.negated(right),) if minus else self._terms(right))
        if terms[0].sign:
            at = next((at for at, term in enumerate(terms) if not term.sign), 0)
            terms = (terms[at], *terms[:at], *terms[at + 1 :])
        written = [terms[0].full] + [f" {term.sign or '+'} {term.text}" for term in terms[1:]]
        return Piece("".join(written), ADD, Edge.MARK, Edge.MARK, shape, kind=Kind.SUM, parts=terms)

    def _terms(self, piece: Piece) -> tuple[Piece, ...]:
        return piece.parts if piece.kind is Kind.SUM else (self.bound(piece, MINUS),)

    # --- products ---------------------------------------------------------------------------------------------

    def product(self, left: Piece, right: Piece) -> Piece:
        """Write the elementwise product, which is a plain one if a factor is a scalar."""
        written = self.hadamard(left, right) if left.shape and right.shape else self.scaled(left, right)
        shape = dims.broadcast(left.shape, right.shape)
        return replace(written, sign=self._sign_of(left, right), shape=shape)

    def hadamard(self, left: Piece, right: Piece) -> Piece:
        """Write the elementwise product of arrays, without their signs."""
        factors = tuple(part for piece in (left, right) for part in self._flat(piece, Kind.HADAMARD))
        factors = tuple(self.bound(factor, MULTIPLY) for factor in factors)
        text = self.style.hadamard.join(factor.text for factor in factors)
        return Piece(text, HADAMARD_LEVEL, factors[0].head, factors[-1].tail, kind=Kind.HADAMARD, parts=factors)

    def _flat(self, piece: Piece, kind: Kind) -> tuple[Piece, ...]:
        return piece.parts if piece.kind is kind else (piece.unsigned,)

    def scaled(self, left: Piece, right: Piece) -> Piece:
        """Write scalars times one array at most, without their signs: numbers first, the array last."""
        factors = [part for piece in (left, right) for part in self._flat(piece, Kind.SCALED)]
        factors.sort(key=_place)
        *scalars, last = factors
        if last.kind is Kind.HADAMARD:
            first = self._chain([*scalars, *self._flat(last.parts[0], Kind.SCALED)])
            return self.hadamard(first, replace(last, parts=last.parts[1:]))
        if last.kind is Kind.QUOTIENT:
            above, below = last.parts
            return self.quotient(self._chain([*scalars] if above.text == "1" else self._joined(scalars, above)), below)
        return self._chain(factors)

    def _joined(self, scalars: Sequence[Piece], last: Piece) -> list[Piece]:
        return [*scalars, *self._flat(last, Kind.SCALED)]

    def _chain(self, factors: Sequence[Piece]) -> Piece:
        """Write the factors of a product of scalars and one array in their order."""
        if len(factors) == 1:
            return factors[0]
        written = [self._factor(factor) for factor in factors]
        if factors[-1].kind in {Kind.MATRIX, Kind.CONTRACTION}:  # 2Xᵀr is 2(Xᵀr): the last factor can be a product
            written[-1] = factors[-1]
        if written[0].text == "0.5":
            written[0] = replace(written[0], text=self.style.half)
        text, head, tail = self._row(written, matrix=False)
        return Piece(text, MULTIPLY, head, tail, factors[-1].shape, kind=Kind.SCALED, parts=tuple(factors))

    def _factor(self, piece: Piece) -> Piece:
        """Enclose what is no factor by itself; a fraction that spans its operands is one."""
        if piece.kind is Kind.QUOTIENT and not self.divide.need(0):
            return piece
        return self.bound(piece, NEGATE)

    def matrix(self, left: Piece, right: Piece, shape: Shape, *, flat: bool = True) -> Piece:
        """Write the matrix product of pieces that are rows, columns and matrices already.

        Args:
            left: the left factor.
            right: the right factor.
            shape: the shape of the result.
            flat: whether the product is associative, as it is for matrices and vectors, but not for stacks of them.
        """
        first = left.parts if flat and left.kind is Kind.MATRIX else (left.unsigned,)
        rest = right.parts if flat and right.kind is Kind.MATRIX else (right.unsigned,)
        lead = first[0] if flat and first[0].kind is Kind.SCALED else self._factor(first[0])
        factors = (lead, *(self._factor(factor) for factor in (*first[1:], *rest)))
        text, head, tail = self._row(factors, matrix=True)
        kind = Kind.MATRIX if flat else Kind.OTHER
        sign, parts = self._sign_of(left, right), factors if flat else ()
        return Piece(text, MULTIPLY, head, tail, shape, sign, kind, parts)

    def turn(self, piece: Piece) -> Piece:
        """Write the transpose; of a transpose that is the piece itself."""
        if piece.turned is not None:
            return piece.turned
        if piece.kind is Kind.SCALED:
            *scalars, last = piece.parts
            return replace(self._chain([*scalars, self.turn(last)]), shape=piece.shape[::-1], sign=piece.sign)
        base = self.bound(piece.unsigned, ATOM)
        text = self.style.raised(base.text, self.style.transpose)
        turned = Piece(text, POWER, base.head, _RAISED.get(base.tail, base.tail), piece.shape[::-1], turned=piece)
        return replace(turned, sign=piece.sign)

    def quotient(self, above: Piece, below: Piece) -> Piece:
        """Write a quotient, without the operands' signs."""
        above, below = above.unsigned, below.unsigned
        form = self.divide
        if not form.need(0):  # a bar is long enough for the 2 below it
            above, below = self._without_half(above, below)
        linear = above.kind is Kind.CONTRACTION and CLOSE not in below.text  # Σᵢ xᵢ/n is (Σᵢ xᵢ)/n
        parts = [above if linear else self.bound(above, form.need(0)), self.bound(below, form.need(1))]
        text = form.fill([part.text for part in parts])
        spans = not form.need(0)
        head, tail = (Edge.MARK, Edge.MARK) if spans else (parts[0].head, parts[1].tail)
        return Piece(text, form.precedence, head, tail, kind=Kind.QUOTIENT, parts=(above, below))

    def _without_half(self, above: Piece, below: Piece) -> tuple[Piece, Piece]:
        """Write a half that a numerator begins with as a 2 in the denominator."""
        first, *others = above.parts if above.kind is Kind.SCALED else (above,)
        if first.text != "0.5" or below.shape:
            return above, below
        rest = self._chain(others) if others else self.number("1")
        return replace(rest, shape=above.shape), self.scaled(self.number("2"), below)

    def divided(self, above: Piece, below: Piece) -> Piece:
        """Write a quotient with the sign that the operands' signs make."""
        shape = dims.broadcast(above.shape, below.shape)
        return replace(self.quotient(above, below), sign=self._sign_of(above, below), shape=shape)

    def general_power(self, base: Piece, exponent: Piece, shape: Shape) -> Piece:
        """Write a power whose exponent is an expression."""
        caret = self.style.caret
        raised = f"{caret}{self.bound(exponent, ATOM).full}" if caret else exponent.full
        return replace(self.power(base, raised, shape), tail=Edge.MARK)

    def power(self, base: Piece, exponent: str, shape: Shape) -> Piece:
        """Write a raised whole number."""
        base = self.bound(base, ATOM)
        tail = _RAISED.get(base.tail, base.tail)
        return Piece(self.style.raised(base.text, exponent), POWER, base.head, tail, shape)

    # --- indices ----------------------------------------------------------------------------------------------

    def element(self, base: Piece, labels: Sequence[str | None]) -> Piece:
        """Write an element; an axis without a label has size 1."""
        if not base.shape:
            return base
        if None in labels:
            index = ", ".join(":" if label else "0" for label in labels)
            base = self.formed(Form(f"$0[{index}]", ATOM, (ATOM,)), [base], base.shape)
        kept = "".join(label for label in labels if label)
        if not kept:
            return replace(base, shape=())
        single = base.level == ATOM and {base.head, base.tail} <= {Edge.LETTER, Edge.WORD}
        if not single and (base.binds < ATOM or base.head not in {Edge.LETTER, Edge.WORD, Edge.CALL}):
            base = self._in_parens(base)
        if single and base.text in {self.style.delta, self.style.contraction("").rstrip()}:
            base = self._in_parens(base)
        return Piece(self.style.subscripted(base.text, kept), ATOM, base.head, base.tail, sign=base.sign)

    def _in_parens(self, piece: Piece) -> Piece:
        opening, closing = self.style.parens
        if piece.head is Edge.PAREN and piece.level == ATOM:
            return piece
        return Piece(f"{opening}{piece.full}{closing}", ATOM, Edge.PAREN, Edge.PAREN, piece.shape)

    def delta(self, row: str, column: str) -> Piece:
        """Write an element of the identity."""
        return Piece(self.style.subscripted(self.style.delta, row + column), ATOM, Edge.LETTER, Edge.LETTER)

    def contraction(self, body: Piece, labels: Sequence[str]) -> Piece:
        """Write a sum over labels."""
        if not labels:
            return body
        inner = self.bound(body.unsigned, HADAMARD_LEVEL)
        labels = sorted(labels, key=inner.text.index)
        text = f"{SUMMED}{''.join(labels)}{SEPARATOR}{self.style.contraction(labels)}{inner.text}{CLOSE}"
        return Piece(text, HADAMARD_LEVEL, Edge.ROOT, Edge.MARK, sign=body.sign, kind=Kind.CONTRACTION)

    def tensor(self, body: Piece, labels: Sequence[str], shape: Shape, *, inner: bool = True) -> Piece:
        """Write the tensor whose element is the body; axes that the body does not depend on are added behind.

        Args:
            body: the element.
            labels: the labels of the axes.
            shape: their sizes.
            inner: whether it is a part of the formula, so that the formula's shape does not tell its sizes.
        """
        told = not inner and all(label in body.text for label in labels)
        if self.style.read_back and not told:
            body = replace(body, text=self._sized(body.text, dict(zip(labels, shape, strict=True))))
        seen = [label in body.text for label in labels]
        kept = [label for label, here in zip(labels, seen, strict=True) if here]
        sizes = tuple(size for size, here in zip(shape, seen, strict=True) if here)
        piece = self._bracketed(body, kept, sizes) if kept else body
        if all(seen):
            back = self._bracketed(body, kept[::-1], sizes[::-1]) if len(kept) == 2 else None
            return replace(piece, turned=back and replace(back, turned=piece))
        repeated = any(size != 1 for size, here in zip(shape, seen, strict=True) if not here)
        marks = [":" if here else "None" for here in seen]
        while marks and marks[0] == "None" and repeated:
            marks.pop(0)
        while marks and marks[-1] == ":":
            marks.pop()
        if marks:
            piece = self.formed(Form(f"$0[{', '.join(marks)}]", ATOM, (ATOM,)), [piece], shape)
        if not repeated:
            return piece
        form = BROADCAST_TO.form(self.style.notation(BROADCAST_TO), {"shape": shape}, (piece.shape,))
        return self.formed(form, [piece], shape)

    def _sized(self, text: str, sizes: Mapping[str, Size]) -> str:
        """Write identities with their sizes, where no other factor tells them."""
        deltas = {(a, b): self.style.subscripted(self.style.delta, a + b) for a in sizes for b in sizes}
        deltas = {pair: delta for pair, delta in deltas.items() if delta in text}
        own: Counter[str] = Counter()
        for pair, delta in deltas.items():
            own.update(dict.fromkeys(pair, text.count(delta)))
        for (a, b), delta in deltas.items():
            if text.count(a) == own[a] and text.count(b) == own[b]:
                eye = EYE.form(self.style.notation(EYE), {"rows": sizes[a], "columns": sizes[b]}, ()).template
                text = text.replace(delta, self.style.subscripted(eye.join(self.style.parens), a + b))
        return text

    def _bracketed(self, body: Piece, labels: Sequence[str], shape: Shape) -> Piece:
        opening, closing = self.style.iverson
        declared = "".join(labels)
        text = f"{AXES}{declared}{SEPARATOR}{self.style.subscripted(opening + body.full + closing, declared)}{CLOSE}"
        return Piece(text, ATOM, Edge.MARK, Edge.MARK, shape)

    # --- what stands between factors --------------------------------------------------------------------------

    def _row(self, factors: Sequence[Piece], *, matrix: bool) -> tuple[str, Edge, Edge]:
        text = factors[0].text
        for left, right in pairwise(factors):
            text += self._between(self._joint(text, left, right, matrix=matrix), right) + right.text
        return text, factors[0].head, factors[-1].tail

    def _between(self, joint: Joint, right: Piece) -> str:
        number = joint is Joint.DOT and right.head is Edge.NUMBER
        return self.style.number_joint if number else self.style.joints[joint]

    def _joint(self, text: str, left: Piece, right: Piece, *, matrix: bool) -> Joint:
        """Say what must stand between two factors for the row to be read as it is meant."""
        ends = (left.tail, right.head)
        if Edge.MARK in ends or left.tail is Edge.CALL or right.head is Edge.NUMBER:
            return Joint.DOT
        if right.head is Edge.CALL:
            return Joint.SPACE
        if right.head is Edge.PAREN and left.tail in {Edge.LETTER, Edge.WORD} and self._calls(text):
            return Joint.DOT
        if Edge.WORD in ends or (ends == (Edge.LETTER, Edge.LETTER) and not self.touching):
            return Joint.SPACE if matrix else Joint.DOT
        exponent = left.tail is Edge.NUMBER and re.match(r"[eE]\d", right.text)
        return Joint.DOT if exponent else Joint.TOUCH

    def _calls(self, text: str) -> bool:
        run = self.style.run.search(text)
        return run is not None and run[0].endswith(self.called)

    # --- everything else --------------------------------------------------------------------------------------

    def formed(self, form: Form, operands: Sequence[Piece], shape: Shape) -> Piece:
        """Fill an op's form."""
        bound = [self.bound(operand, form.need(position)) for position, operand in enumerate(operands)]
        text = form.fill([operand.full for operand in bound])
        head, tail = self._ends(form)
        if head is None:
            head = bound[0].head if not bound[0].sign else Edge.MARK
        if tail is None:
            tail = bound[0].tail
        return Piece(text, form.precedence, head, tail, shape)

    def _ends(self, form: Form) -> Ends:
        template = form.template
        if self.style.call.match(template):
            return Ends(Edge.CALL, Edge.CALL if template.endswith(")") else Edge.MARK)
        if template.startswith(("√", r"\sqrt")):
            return Ends(Edge.ROOT, Edge.MARK)
        if form.precedence == POWER and _BASE.fullmatch(template):
            return Ends(None, None)
        return Ends(None if template.startswith("$0") else Edge.MARK, Edge.MARK)

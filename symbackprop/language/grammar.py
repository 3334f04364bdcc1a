"""The grammar: from tokens to a tree. Python's spelling and the printed notation are one language.

Signs bind as they do in Python, and between them those of formulas. Operands side by side are a product, which binds
as strongly as ``*``; whether it is a scaling or a matrix product is for the values to decide. A run of letters is
one name if it is known, else it is split into known names, if there is one way to do so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import Enum, auto

from symbackprop.errors import SymbackpropError
from symbackprop.language.tokens import Kind, Source, Span, Token, tokens_of
from symbackprop.language.vocabulary import (
    BARS,
    CALLED,
    FUNCTIONS,
    INFIX,
    PREFIX,
    PRODUCT,
    RAISE,
    RELATION,
    SIZE_PARAMETERS,
    TERM,
    UNARY,
    WORDS,
    signature,
)

_DEEPEST = 200  # brackets and signs inside one another
_LOOPS = "there are no loops; write the expression on whole arrays"
_HINTS = {
    "and": "`and` and `or` do not act on arrays; write & and |, with parentheses",
    "or": "`and` and `or` do not act on arrays; write & and |, with parentheses",
    "not": "`not` does not act on arrays; write ~",
    "if": "there is no if; write where(condition, a, b)",
    "else": "there is no if; write where(condition, a, b)",
    "lambda": "there are no functions to define; write the expression itself",
    "for": _LOOPS,
    "async": _LOOPS,
    "is": "this has no meaning here",
    "in": "this has no meaning here",
    ":=": "there are no assignments; name inputs as symbols",
    "*": "there is no unpacking; write the operands one by one",
    "**": "there is no unpacking; write the operands one by one",
    "{": "this has no meaning here",
}
_CLOSING = {"(": ")", "[": "]", "⌊": "⌋"}
_NAMELESS = {"I", "δ", "Σ", "π"}  # letters that mean something where no symbol is called so
_CHAIN = "a chain of comparisons does not act on arrays; write (a < b) & (b < c)"
_SIGNED = {"-", "−", "+", "~"}
_BEGINS = {"(", "⌊", "∑", *PREFIX}  # signs that begin a factor
_PREFIXES = {"b", "f", "r", "u", "br", "rb", "fr", "rf"}  # of Python's texts
_NONE = "this is no expression"
_TOO_DEEP = "the expression is nested too deeply"


class Form(Enum):
    """What a node of the tree is."""

    NUMBER = auto()
    NAME = auto()
    TEXT = auto()
    GROUP = auto()
    TUPLE = auto()
    LIST = auto()
    INFIX = auto()
    JUXTAPOSED = auto()
    PREFIX = auto()
    BARS = auto()
    FLOOR = auto()
    SUMMED = auto()
    CALL = auto()
    KEYWORD = auto()
    TURNED = auto()
    RAISED = auto()
    LOWERED = auto()
    INDEX = auto()
    SLICE = auto()
    ABSENT = auto()  # a bound that a slice lacks


@dataclass(frozen=True, eq=False, slots=True)
class Tree:
    """A node of the tree.

    Attributes:
        form: what it is.
        text: the name, the sign, the digits.
        parts: the nodes that it is made of.
        span: from which character to which it reaches.
        at: where its sign or its name stands.
        sized: whether a name stands for a size before anything else.
    """

    form: Form
    text: str
    parts: tuple[Tree, ...]
    span: Span
    at: Span
    sized: bool = False


class Grammar:
    """Reads one text.

    Args:
        source: the text.
        names: the known names, sizes among them.
    """

    def __init__(self, source: Source, names: Collection[str]) -> None:
        """Take the text and the known names."""
        self.source = source
        self.names = names
        self.tokens = tokens_of(source, frozenset(name for name in names if name.endswith("*")))
        self.at = 0
        self.depth = 0
        self.open: list[Token] = []  # brackets and bars that are not closed yet
        self.sized = 0  # how many of them hold sizes
        self.longest = max(map(len, names), default=1)

    def read(self) -> Tree:
        """Give the tree of the whole text.

        Raises:
            ParseError: it is no expression.
        """
        try:
            found = self._expression()
        except RecursionError:
            raise self.source.error(_TOO_DEEP, self._next.span) from None
        if self._next.kind is not Kind.END:
            raise self._refusal(self._next)
        return found

    # --- tokens -----------------------------------------------------------------------------------------------

    @property
    def _next(self) -> Token:
        return self.tokens[self.at]

    def _take(self) -> Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def _is_sign(self, *signs: str) -> bool:
        return self._next.kind is Kind.SIGN and self._next.text in signs

    def _is_word(self, token: Token, words: Collection[str]) -> bool:
        """Tell whether a name is a word of the language, which no symbol is called like."""
        return token.kind is Kind.NAME and token.text in words and token.text not in self.names

    def _refusal(self, token: Token) -> SymbackpropError:
        if token.kind is Kind.END and self.open:
            return self.source.error(f"{self.open[-1].text!r} was never closed", self.open[-1].span)
        hinted = token.kind is Kind.SIGN or self._is_word(token, _HINTS)
        return self.source.error(_HINTS.get(token.text, _NONE) if hinted else _NONE, token.span)

    # --- expressions ------------------------------------------------------------------------------------------

    def _expression(self, level: int = 0) -> Tree:
        """Read what binds at least as strongly as a level: an operand, then signs with further ones."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.source.error(_TOO_DEEP, self._next.span)
        left = self._operand()
        while True:
            token = self._next
            binds = self._binding(token)
            if binds is None or binds < level:
                break
            sign = token.text if self._is_infix(token) else ""
            self._check_product(left, token, sign)
            if sign:
                self.at += 1
            right = self._expression(UNARY if binds == RAISE else binds + 1)
            span = (left.span[0], right.span[1])
            if binds == RELATION and left.form is Form.INFIX and INFIX[left.text].level == RELATION:
                raise self.source.error(_CHAIN, span)
            left = Tree(Form.INFIX if sign else Form.JUXTAPOSED, sign, (left, right), span, token.span)
        self.depth -= 1
        return left

    def _is_infix(self, token: Token) -> bool:
        if self.open and token.text == self.open[-1].text and token.text in BARS:
            return False  # it closes
        return token.text in INFIX and token.kind in {Kind.SIGN, Kind.NAME}

    def _binding(self, token: Token) -> int | None:
        """Say how strongly a token binds what is left of it: signs, and what begins a factor that stands there."""
        if self._is_infix(token):
            return INFIX[token.text].level
        if self._is_word(token, _HINTS):
            raise self._refusal(token)
        bar = token.text in BARS and not (self.open and self.open[-1].text == token.text)
        begins = token.text in _BEGINS or bar
        factor = token.kind in {Kind.NAME, Kind.TEXT} or (token.kind is Kind.SIGN and begins)
        return PRODUCT if factor else None

    def _check_product(self, left: Tree, token: Token, sign: str) -> None:
        """Refuse products that are read in two ways."""
        if sign or left.form not in {Form.INFIX, Form.NUMBER}:
            return
        if left.form is Form.NUMBER:
            if self._is_word(token, "jJ") and token.start == left.span[1]:
                raise self.source.error("there are no complex numbers here", (left.span[0], token.end))
            return
        if left.text in {"/", "//"}:
            raise self.source.error("where the divisor ends is not clear; write a/(b c) or (a/b) c", token.span)
        if INFIX[left.text].level == RAISE and token.glued:
            raise self.source.error("where the exponent ends is not clear; write x^(a b) or x^a b", token.span)

    def _operand(self) -> Tree:
        """Read an operand with the signs before it and what is raised, lowered or in brackets behind it."""
        token = self._next
        if token.kind is Kind.SIGN and token.text in _SIGNED:
            self.at += 1
            part = self._expression(UNARY)
            return Tree(Form.PREFIX, token.text, (part,), (token.start, part.span[1]), token.span)
        if token.kind is Kind.SIGN and token.text in PREFIX:
            self.at += 1
            part = (
                self._expression(RAISE + 1) if self._is_sign(*PREFIX) else self._behind(self._primary(), raised=False)
            )
            after = self._next
            if after.kind is Kind.RAISED or after.glued:
                sign = token.text
                raise self.source.error(f"where the operand of {sign} ends is not clear; use ( )", after.span)
            return Tree(Form.PREFIX, token.text, (part,), (token.start, part.span[1]), token.span)
        self._split()
        token = self._next
        if self._is_sign("∑") or (token.text == "Σ" and self.tokens[self.at + 1].kind is Kind.LOWERED):
            return self._summed()
        return self._behind(self._primary(), raised=True)

    def _summed(self) -> Tree:
        sigma, labels = self._take(), self._take()
        if labels.kind is not Kind.LOWERED:
            raise self.source.error("over which indices is this sum? Write Σᵢ", sigma.span)
        body = self._expression(TERM)
        return Tree(Form.SUMMED, labels.text, (body,), (sigma.start, body.span[1]), (sigma.start, labels.end))

    def _primary(self) -> Tree:
        self._split()
        token = self._take()
        match token.kind:
            case Kind.NUMBER:
                return self._leaf(Form.NUMBER, token)
            case Kind.TEXT:
                return self._leaf(Form.TEXT, token)
            case Kind.NAME if not self._is_word(token, _HINTS):
                return self._named(token)
            case Kind.SIGN if token.text in "([":
                return self._bracketed(token)
            case Kind.SIGN if token.text in BARS:
                inside = self._inside(token, token.text)
                return Tree(Form.BARS, token.text, (inside,), self._since(token), token.span)
            case Kind.SIGN if token.text == "⌊":
                inside = self._inside(token, "⌋")
                if inside.form is not Form.INFIX or inside.text != "/":
                    raise self.source.error("what is rounded down is a quotient; write ⌊a/b⌋", self._since(token))
                return Tree(Form.FLOOR, "//", inside.parts, self._since(token), token.span)
        raise self._refusal(token)

    def _leaf(self, form: Form, token: Token) -> Tree:
        return Tree(form, token.text, (), token.span, token.span, bool(self.sized))

    def _since(self, token: Token) -> Span:
        """Give the span from a token to what was taken last."""
        return token.start, self.tokens[self.at - 1].end

    # --- names ------------------------------------------------------------------------------------------------

    def _split(self) -> None:
        """Split the run of letters that comes next, unless it is a name or a word, into the names it is made of."""
        token = self._next
        if token.kind is not Kind.NAME or token.text in self.names or token.text in WORDS or token.text in _HINTS:
            return
        called = self.tokens[self.at + 1].text == "("
        if called and is_called(token.text):
            return
        ends = self._splits(token) or (self._splits(token, called=True) if called else None)
        if ends is None:
            return
        starts = [0, *ends[:-1]]
        self.tokens[self.at : self.at + 1] = [
            Token(Kind.NAME, token.text[start:end], token.start + start, token.start + end, start > 0)
            for start, end in zip(starts, ends, strict=True)
        ]

    def _splits(self, token: Token, *, called: bool = False) -> list[int] | None:
        """Give where the names end that a run is made of, the last of them a function if called.

        Raises:
            ParseError: it is made of names in more than one way.
        """
        run = token.text
        known = {*self.names, *_NAMELESS}
        ways = [0] * len(run) + [0 if called else 1]
        chosen = [0] * len(run)
        for start in range(len(run) - 1, -1, -1):
            if called and is_called(run[start:]):
                ways[start], chosen[start] = 1, len(run)
            for end in range(start + 1, min(start + self.longest, len(run)) + 1):
                if ways[end] and run[start:end] in known:
                    ways[start] += ways[end]
                    chosen[start] = end
        if ways[0] > 1:
            message = f"{run!r} can be split into names in {min(ways[0], 99)} ways; set · or blanks between them"
            raise self.source.error(message, token.span)
        if not ways[0]:
            return None
        ends = [chosen[0]]
        while ends[-1] < len(run):
            ends.append(chosen[ends[-1]])
        return ends

    def _named(self, token: Token) -> Tree:
        text, behind = token.text, self._next
        if behind.kind is Kind.TEXT and behind.start == token.end and text.lower() in _PREFIXES:
            raise self.source.error("there are no texts here", (token.start, behind.end))
        called = is_called(text) or (text not in self.names and text not in WORDS)
        if behind.kind is Kind.SIGN and behind.text == "(" and called:
            return self._call(token)
        if behind.kind is Kind.SIGN and behind.text == "|" and text in FUNCTIONS and text not in self.names:
            bar = self._take()
            inside = self._inside(bar, "|")
            part = Tree(Form.BARS, "|", (inside,), self._since(bar), bar.span)
            return Tree(Form.CALL, text, (part,), self._since(token), token.span)
        leaf = self._leaf(Form.NAME, token)
        return replace(leaf, text="I") if text == "δ" and behind.kind is Kind.LOWERED else leaf

    # --- brackets ---------------------------------------------------------------------------------------------

    def _inside(self, opening: Token, closing: str) -> Tree:
        """Read one expression and the bracket that closes it."""
        self.open.append(opening)
        found = self._expression()
        self._close(closing)
        return found

    def _close(self, closing: str) -> None:
        if not self._is_sign(closing):
            raise self._refusal(self._next)
        self.at += 1
        self.open.pop()

    def _items(self, opening: Token, item: Callable[[], Tree]) -> tuple[list[Tree], bool]:
        """Read what stands between brackets, separated by commas; say whether a comma was among it."""
        closing = _CLOSING[opening.text]
        self.open.append(opening)
        found: list[Tree] = []
        comma = False
        while not self._is_sign(closing):
            found.append(item())
            if not self._is_sign(","):
                break
            self.at += 1
            comma = True
        self._close(closing)
        return found, comma

    def _bracketed(self, opening: Token) -> Tree:
        square = opening.text == "["
        found, comma = self._items(opening, self._slice_or_expression if square else self._expression)
        form = Form.LIST if square else Form.GROUP if found and not comma else Form.TUPLE
        return Tree(form, "", tuple(found), self._since(opening), opening.span, comma)

    def _slice_or_expression(self) -> Tree:
        start = self._next
        bounds: list[Tree] = []
        while True:
            absent = self._is_sign(":", ",", "]")
            bounds.append(self._leaf(Form.ABSENT, start) if absent else self._expression())
            if not self._is_sign(":") or len(bounds) == 3:
                break
            self.at += 1
        if len(bounds) == 1:
            return bounds[0]
        return Tree(Form.SLICE, "", tuple(bounds), self._since(start), start.span)

    def _behind(self, node: Tree, *, raised: bool) -> Tree:
        """Read what stands behind an operand: indices, exponents, transposes, subscripts."""
        while True:
            token = self._next
            if self._is_sign("["):
                self.sized += 1
                found, comma = self._items(self._take(), self._index_item)
                self.sized -= 1
                if not found:
                    raise self.source.error("an index is missing", self._since(token))
                span = self._since(token)
                index = Tree(Form.TUPLE, "", tuple(found), span, span) if comma else found[0]
                node = Tree(Form.INDEX, "", (node, index), self._since_tree(node), span)
            elif self._is_sign("."):
                node = self._dotted(node)
            elif token.kind is Kind.LOWERED or (raised and token.kind is Kind.RAISED):
                self.at += 1
                form = Form.LOWERED if token.kind is Kind.LOWERED else Form.RAISED
                node = Tree(form, token.text, (node,), self._since_tree(node), token.span)
            else:
                return node

    def _index_item(self) -> Tree:
        if self._is_sign("..."):
            return self._leaf(Form.NAME, self._take())
        return self._slice_or_expression()

    def _since_tree(self, node: Tree) -> Span:
        return node.span[0], self.tokens[self.at - 1].end

    def _dotted(self, node: Tree) -> Tree:
        dot, name = self._take(), self._take()
        at = (dot.start, name.end)
        if name.text == "T" and name.kind is Kind.NAME:
            return Tree(Form.TURNED, "", (node,), self._since_tree(node), at)
        method = name.text in FUNCTIONS and self._is_sign("(")
        hint = f"; write {name.text}(x) for x.{name.text}()" if method else ""
        raise self.source.error(f"only .T may follow a dot, not .{name.text}{hint}", at)

    # --- calls ------------------------------------------------------------------------------------------------

    def _call(self, token: Token) -> Tree:
        name = token.text
        parameters = list(signature(name).parameters.values()) if name in FUNCTIONS else []
        keywords = {each.name for each in parameters if each.kind in {each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY}}
        sizes = [each.name in SIZE_PARAMETERS for each in parameters] or [name == "size"]
        count = 0

        def argument() -> Tree:
            nonlocal count
            keyword = self._keyword(keywords)
            sized = keyword.text in SIZE_PARAMETERS if keyword else sizes[min(count, len(sizes) - 1)]
            count += 1
            self.sized += sized
            value = self._expression()
            self.sized -= sized
            if keyword is None:
                return value
            return Tree(Form.KEYWORD, keyword.text, (value,), (keyword.start, value.span[1]), keyword.span)

        found, _ = self._items(self._take(), argument)
        return Tree(Form.CALL, name, tuple(found), self._since(token), token.span)

    def _keyword(self, keywords: Collection[str]) -> Token | None:
        """Take the name of an argument and the sign behind it; ``x = y`` of a known x compares, as formulas do."""
        token, sign = self._next, self.tokens[self.at + 1]
        if token.kind is not Kind.NAME or sign.kind is not Kind.SIGN or sign.text != "=":
            return None
        known = token.text in self.names or self._splits(token) is not None
        if known and (token.text not in keywords or sign.start > token.end):
            return None
        self.at += 2
        return token


def is_called(name: str) -> bool:
    """Tell whether a name is that of a function, or of a function's derivative."""
    return name.rstrip("′") in CALLED

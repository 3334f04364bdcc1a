"""The text of a formula: its characters, its errors with carets below the place, and its tokens."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from enum import Enum, auto
from functools import cache
from typing import NamedTuple, TypeAlias

from symbackprop.errors import ParseError, SymbackpropError
from symbackprop.language.vocabulary import BARS, INFIX, PREFIX

Span: TypeAlias = tuple[int, int]  # from which character to which

TOO_LARGE = "an integer has at most 63 bits; write a float such as 1e30"
_LONGEST_TEXT, _LARGEST = 100_000, 2**63
_SHOWN = 100  # characters of a long text that an error shows


class Source:
    """One line of text on its way to an expression.

    Attributes:
        text: the text with blanks for line ends, so that there is one line to point at; what cannot be seen is
            replaced, so that it never reaches a terminal.
    """

    def __init__(self, text: str) -> None:
        """Take the text as it was given."""
        clean = unicodedata.normalize("NFC", re.sub(r"\s", " ", text[: _LONGEST_TEXT + 1]).strip())
        self.text = "".join(char if char.isprintable() else "\ufffd" for char in clean)
        if not self.text or len(self.text) > _LONGEST_TEXT:
            trouble = f"longer than {_LONGEST_TEXT} characters" if self.text else "empty"
            msg = f"the expression is {trouble}"
            raise ParseError(msg)

    def error(self, message: str, span: Span, kind: type[SymbackpropError] = ParseError) -> SymbackpropError:
        """Give the error that shows the text, or the part of a long text, with carets below the place."""
        start, end = span
        start = max(0, min(start, len(self.text)))
        end = max(start + 1, end)
        first = max(0, start - _SHOWN // 2) if len(self.text) > _SHOWN else 0
        cut = "…" if first else ""
        rest = "…" if first + _SHOWN < len(self.text) else ""
        blanks = " " * columns(cut + self.text[first:start])
        carets = "^" * max(1, columns(self.text[start : min(end, first + _SHOWN)]))
        return kind(f"{message}\n  {cut}{self.text[first : first + _SHOWN]}{rest}\n  {blanks}{carets}")


def columns(text: str) -> int:
    """Count the columns that a text takes in a terminal."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


class Kind(Enum):
    """What a token is."""

    NUMBER = auto()
    NAME = auto()
    TEXT = auto()  # between quotation marks
    SIGN = auto()
    RAISED = auto()  # a superscript number, ᵀ or ⁻ᵀ
    LOWERED = auto()  # subscript letters
    END = auto()


class Token(NamedTuple):
    """A part of the text that has a meaning of its own.

    Attributes:
        kind: what it is.
        text: what it says: the name, the sign, the digits, without quotation marks, raised and lowered on the line.
        start: its first character.
        end: the character behind it.
        glued: whether it is a name that directly follows another, as w in Xw.
    """

    kind: Kind
    text: str
    start: int
    end: int
    glued: bool = False

    @property
    def span(self) -> Span:
        """From which character to which it reaches."""
        return self.start, self.end


_SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹ᵀ", "-0123456789T")
_DIGITS = "₀₁₂₃₄₅₆₇₈₉"
_NUMBERS = {"½": "0.5", "∞": "inf"}
_PYTHON = ("...", "**", "//", "<=", ">=", "==", "!=", ":=", *"+-*/%@&|~^<>=()[]{},:.;−∑⌊⌋")
_ESCAPE = re.compile(r"\\u([0-9a-f]{4})|\\(.)")


def _letter(char: str) -> bool:
    """Tell whether a character can stand in a name: raised and lowered letters and numbers are notation."""
    if char.isalnum():
        return unicodedata.category(char) not in {"Lm", "No"} or char in _DIGITS
    return char in "_′" or "\u0300" <= char <= "\u036f"


def _lowered(char: str) -> bool:
    return unicodedata.decomposition(char).startswith("<sub>") and char.isalpha()


@cache
def _patterns() -> re.Pattern[str]:
    signs = {*_PYTHON, *BARS, *PREFIX, *(sign for sign in INFIX if not sign.isalpha())}
    listed = "|".join(re.escape(sign) for sign in sorted(signs, key=lambda sign: (-len(sign), sign)))
    return re.compile(
        r"(?P<number>(?:[0-9][0-9_]*(?:\.(?!\.)[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+\-−]?[0-9]+)?|[½∞])"
        r"|(?P<raised>⁻?(?:ᵀ|[⁰¹²³⁴⁵⁶⁷⁸⁹]+))"
        r"|(?P<text>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"
        rf"|(?P<sign>{listed})"
    )


def tokens_of(source: Source, starred: frozenset[str]) -> list[Token]:
    """Split a text into tokens.

    Args:
        source: the text.
        starred: known names that end in a star.

    Raises:
        ParseError: a character that has no meaning, or a number that is too large.
    """
    text, pattern = source.text, _patterns()
    found: list[Token] = []
    at = 0
    while at < len(text):
        if text[at] == " ":
            at += 1
            continue
        match = pattern.match(text, at)
        if match is not None and (text[at].isdecimal() or not _letter(text[at])):
            found.append(_token(source, str(match.lastgroup), match[0], at))
        elif _letter(text[at]):
            end = _end(text, at, _letter)
            end += any(text[at : end + 1].endswith(name) for name in starred)
            found.append(Token(Kind.NAME, text[at:end], at, end))
        elif _lowered(text[at]):
            end = _end(text, at, _lowered)
            found.append(Token(Kind.LOWERED, unicodedata.normalize("NFKC", text[at:end]), at, end))
        else:
            raise source.error(f"invalid character {text[at]!r} (U+{ord(text[at]):04X})", (at, at + 1))
        at = found[-1].end
    return [*found, Token(Kind.END, "", len(text), len(text))]


def _end(text: str, at: int, belongs: Callable[[str], bool]) -> int:
    while at < len(text) and belongs(text[at]):
        at += 1
    return at


def _token(source: Source, group: str, text: str, at: int) -> Token:
    kind, end = Kind[group.upper()], at + len(text)
    if kind is Kind.NUMBER:
        number = _NUMBERS.get(text, text.replace("−", "-").replace("_", ""))
        if number.isdecimal() and (len(number) > 20 or int(number) >= _LARGEST):
            raise source.error(TOO_LARGE, (at, end))
        return Token(kind, number, at, end)
    if kind is Kind.RAISED:
        return Token(kind, text.translate(_SUPERSCRIPTS), at, end)
    if kind is Kind.TEXT:
        return Token(
            kind, _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else found[2], text[1:-1]), at, end
        )
    return Token(kind, text, at, end)

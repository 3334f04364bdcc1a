"""Long lines: where a formula is broken before an operator, and how what follows is aligned."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_TEXT = re.compile(r'"(?:\\.|[^"\\])*"|[(\[]|[)\]]| [+−⊙] |·')
_TEXT_RANKS = {"+": 0, "−": 0, "⊙": 1, "·": 2}
_LATEX = re.compile(r"\\left\b|\\right\b|\\[{}]|[{}]| [-+] | \\odot ")
_INVISIBLE = re.compile(r"\\(left|right|operatorname|mathrm|displaystyle)\b|[{}^_ ]|\\,")
_COMMAND = re.compile(r"\\[a-zA-Z]+")


class _Place(NamedTuple):
    """A place where a line may end.

    Attributes:
        at: where the next line would begin.
        rank: how little one likes to break there: how deep in brackets, and before which operator.
        inside: where the innermost bracket's inside begins, or -1.
    """

    at: int
    rank: tuple[int, int]
    inside: int


def _places(text: str) -> Iterator[_Place]:
    open_at: list[int] = []
    for match in _TEXT.finditer(text):
        sign = match[0]
        if sign in "([":
            open_at.append(match.end())
        elif sign in ")]":
            open_at.pop()
        elif sign[0] != '"':
            at = match.start() + (sign != "·")
            yield _Place(at, (len(open_at), _TEXT_RANKS[sign.strip()]), open_at[-1] if open_at else -1)


def broken(text: str, width: int, *, prefix: str = "", hang: int = 2) -> str:
    """Break a line before operators, those outside of brackets first, and align what is in brackets.

    Args:
        text: one line of a formula.
        width: how many columns there are.
        prefix: what stands before it.
        hang: how far the following lines stand in.

    >>> print(broken("exp(a + b) − f(cc + dd)·x", 14))
    exp(a + b)
      − f(cc + dd)
        ·x
    >>> print(broken("exp(aaaa + bbbb + cccc)", 12))
    exp(aaaa
        + bbbb
        + cccc)
    """
    if len(prefix) + len(text) <= width:
        return prefix + text
    places = [*_places(text), None]
    lines: list[str] = []
    start, column, first = 0, len(prefix), 0
    starts = [(0, column)]
    while column + len(text) - start > width:
        chosen = None
        for number in range(first, len(places)):
            place = places[number]
            if place is None or (chosen is not None and column + place.at - start > width):
                break
            if place.at > start and (chosen is None or place.rank <= chosen.rank):
                chosen, first = place, number + 1
        if chosen is None:
            break
        lines.append(text[start : chosen.at].rstrip())
        start, column = chosen.at, hang
        if chosen.inside >= 0:
            line, margin = next(pair for pair in reversed(starts) if pair[0] <= chosen.inside)
            column = min(margin + chosen.inside - line, width // 2)
        column += 2 * (chosen.rank[1] > 0)  # a factor belongs to the term above it
        starts.append((start, column))
    lines.append(text[start:])
    indents = [prefix, *(" " * column for _, column in starts[1:])]
    return "\n".join(indent + line for indent, line in zip(indents, lines, strict=True))


def visible(latex: str) -> int:
    r"""Estimate how many characters a formula in LaTeX has on the page.

    >>> visible(r"\left(\alpha + x_{1}\right)")
    6
    """
    return len(_COMMAND.sub("x", _INVISIBLE.sub("", latex)))


def rows(latex: str, width: int) -> list[str]:
    r"""Break a formula in LaTeX into rows, before operators outside of brackets.

    >>> rows(r"a + \left(b + c\right) - d", 5)
    ['a', '+ \\left(b + c\\right)', '- d']
    """
    if visible(latex) <= width:
        return [latex]
    depth, begin = 0, 0
    parts: list[str] = []
    for match in _LATEX.finditer(latex):
        sign = match[0]
        if sign in {"{", r"\left"}:
            depth += 1
        elif sign in {"}", r"\right"}:
            depth -= 1
        elif not depth and sign[0] == " ":
            parts.append(latex[begin : match.start()])
            begin = match.start() + 1
    found: list[str] = []
    room = 0
    for part in [*parts, latex[begin:]]:
        room -= visible(part)
        if found and room >= 0:
            found[-1] += f" {part}"
        else:
            found.append(part)
            room = width - visible(part)
    return found

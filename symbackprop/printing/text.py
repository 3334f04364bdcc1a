"""Formulas as Unicode text, in the notation of matrices."""

from __future__ import annotations

import re
import sys
from operator import attrgetter

import numpy as np

from symbackprop.expr import Expr
from symbackprop.op import Array
from symbackprop.printing.breaking import broken
from symbackprop.printing.formula import Formula, Where, formula
from symbackprop.printing.index import Notation
from symbackprop.printing.names import text_name
from symbackprop.printing.piece import Joint, Style

_MOST_SHOWN = 9  # elements of a known array
_PADDING = re.compile(r"(?<=\[)\s+|\s+(?=[,\]])|(?<= )\s+|\n")
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _size(size: str) -> str:
    return size.replace("*", "·").replace("-", "−")


def _array(array: Array) -> str:
    if not 0 < array.size <= _MOST_SHOWN:
        return f"array({', '.join(map(str, array.shape))})"
    numbers = np.array2string(array, separator=", ", floatmode="unique", max_line_width=sys.maxsize)
    return f"array({_PADDING.sub('', numbers)})".replace("-", "−")


TEXT = Style(
    notation=attrgetter("text"),
    name=text_name,
    minus="−",
    hadamard=" ⊙ ",
    joints={Joint.TOUCH: "", Joint.SPACE: " ", Joint.DOT: "·"},
    number_joint="·",
    parens=("(", ")"),
    iverson=("[", "]"),
    raised=lambda base, exponent: base + exponent,
    transpose="ᵀ",
    exponents=lambda number: str(number).translate(_RAISED),
    caret="^",
    array=_array,
    half="½",
    prime="′",
    call=re.compile(r"\w[\w.]*′*(?=\()"),
    run=re.compile(r"[\w\u0300-\u036f′*]+\Z"),
    size=_size,
    letters="ᵢⱼₖₗₘₙₚᵣₛₜᵤᵥ",
    subscripted=lambda base, labels: base + labels,
    contraction=lambda labels: f"Σ{''.join(labels)} ",
    delta="δ",
    read_back=True,
)


def text(
    expr: Expr,
    *,
    simplify: bool | None = None,
    where: Where = "auto",
    primes: bool = False,
    width: int = 240,
    line_width: int = 100,
    notation: Notation = "auto",
) -> str:
    """Give a formula as Unicode text, in the notation of matrices, and in that of indices where matrices cannot say it.

    Vectors are columns: ``v @ M`` reads Mᵀv. One-letter names stand side by side, longer ones apart; ⊙ multiplies
    arrays elementwise; ``[x > 0]`` is 1 where it holds, else 0. ``[Σₖ AᵢₖBⱼₖ]ᵢⱼ`` is the array with these elements; a
    Σ extends over the product that follows; ``δᵢⱼ`` is 1 where i is j, else 0.

    Args:
        expr: the expression.
        simplify: rewrite it first, as `symbackprop.simplify` does; unless told, only what `grad` made is rewritten, and
            what the user wrote is shown as written.
        where: write shared parts, and values given a name, on lines of their own: True for all of them, False for
            none, "auto" if the formula is large otherwise.
        primes: write the derivatives of the sigmoid and of tanh as σ′(z) and tanh′(z).
        width: the length beyond which a part gets a line of its own, whatever `where` says.
        line_width: the columns of a line; a longer one is broken before an operator.
        notation: "index" writes elements and sums over indices, "matrix" whole arrays; "auto" writes whole arrays where
            these can say it, else elements.

    Raises:
        ValueError: `where` or `notation` is something else.

    >>> import symbackprop as sb
    >>> X, w, b, y = sb.symbols("X[N,D] w[D] b y[N]")
    >>> print(text(sb.sum((X @ w - y)**2)))
    sum((Xw − y)²)
    >>> z = (X @ w + b).named("z")
    >>> s = sb.sigmoid(z)
    >>> print(text(s * (1 - s), primes=True))
    σ′(Xw + b)
    >>> print(text(X @ w, notation="index"))
    [Σⱼ Xᵢⱼwⱼ]ᵢ
    >>> print(text(X[:, None] - X))
    [Xᵢₖ − Xⱼₖ]ᵢⱼₖ
    >>> print(text(z * sb.sigmoid(z), where=True))
    z ⊙ σ(z)
      where z = Xw + b
    """
    written = formula(expr, TEXT, simplify=simplify, where=where, primes=primes, width=width, notation=notation)
    return lines_of(written, line_width)


def lines_of(written: Formula, width: int = sys.maxsize) -> str:
    """Give a formula and the lines of its parts, one below the other, none longer than the width if that can be."""
    found = [broken(written.main, width)]
    for number, (name, right) in enumerate(written.lines):
        opening = f"{'        ' if number else '  where '}{name} = "
        found.append(broken(right, width, prefix=opening, hang=len(opening)))
    return "\n".join(found)


Expr.views["text"] = text

"""Formulas in LaTeX."""

from __future__ import annotations

import re
from operator import attrgetter

import numpy as np

from symbackprop.expr import Expr
from symbackprop.op import Array
from symbackprop.printing.breaking import rows
from symbackprop.printing.formula import Formula, Where, formula
from symbackprop.printing.index import LETTERS, Notation
from symbackprop.printing.names import latex_name
from symbackprop.printing.piece import Joint, Style

_MOST_SHOWN = 9  # elements of a known array
_SIMPLE = re.compile(r"([^\W\d_]|\\[a-zA-Z]+)(_\{\w+\})?|\d+|\\left\(.*\\right\)")

_OWN_SUBSCRIPT = re.compile(r"([^_^]+)_\{([^^]*)\}")
_RAISED = re.compile(r"[^^]*\^\{[^^]*\}")


def _raised(base: str, exponent: str) -> str:
    return f"{base}^{{{exponent}}}" if _SIMPLE.fullmatch(base) else f"{{{base}}}^{{{exponent}}}"


def _size(size: str) -> str:
    return size.replace("*", r" \, ")


def _subscripted(base: str, labels: str) -> str:
    """Give a name with indices: those of W_{1} are separated from the 1."""
    own = _OWN_SUBSCRIPT.fullmatch(base)
    if own:
        return f"{own[1]}_{{{own[2]},{labels}}}"
    return f"{{{base}}}_{{{labels}}}" if _RAISED.fullmatch(base) else f"{base}_{{{labels}}}"


def _array(array: Array) -> str:
    if array.size > _MOST_SHOWN or array.ndim > 2:
        return rf"\operatorname{{array}}\left({', '.join(map(str, array.shape))}\right)"
    rows = array if array.ndim == 2 else array[:, np.newaxis]
    inside = r" \\ ".join(" & ".join(f"{number:.5g}" for number in row) for row in rows.tolist())
    return rf"\begin{{bmatrix}}{inside}\end{{bmatrix}}"


LATEX = Style(
    notation=attrgetter("latex"),
    name=latex_name,
    minus="-",
    hadamard=r" \odot ",
    joints={Joint.TOUCH: " ", Joint.SPACE: r" \, ", Joint.DOT: r" \, "},
    number_joint=r" \cdot ",
    parens=(r"\left(", r"\right)"),
    iverson=(r"\left[", r"\right]"),
    raised=_raised,
    transpose=r"\top",
    exponents=str,
    caret="",
    array=_array,
    half=r"\frac{1}{2}",
    prime="'",
    call=re.compile(r"\\?[a-zA-Z]+(\{[\w ]*\})?(_\{[^}]*\})?'*(?=\\left\()"),
    run=re.compile(r"\\?[a-zA-Z]+\Z"),
    size=_size,
    letters=LETTERS,
    subscripted=_subscripted,
    contraction=lambda labels: rf"\sum_{{{','.join(labels)}}} ",
    delta=r"\delta",
    read_back=False,
)


def latex(
    expr: Expr,
    *,
    simplify: bool | None = None,
    where: Where = "auto",
    primes: bool = False,
    width: int = 480,
    line_width: int | None = 100,
    notation: Notation = "auto",
) -> str:
    r"""Give a formula in LaTeX, for math mode.

    Names become ``W_{1}``, ``\theta`` and ``\mathrm{lr}``; what is no identifier is escaped.

    Args:
        expr: the expression.
        simplify: rewrite it first, as `symbackprop.simplify` does; unless told, only what `grad` made is rewritten, and
            what the user wrote is shown as written.
        where: write shared parts, and values given a name, on lines of their own: True for all of them, False for
            none, "auto" if the formula is large otherwise.
        primes: write the derivatives of the sigmoid and of tanh as ``\sigma'(z)`` and ``\tanh'(z)``.
        width: the length beyond which a part gets a line of its own, whatever `where` says.
        line_width: the characters, as they are seen, of a row; a longer one is broken before an operator, or None.
        notation: "index" writes elements and sums over indices, "matrix" whole arrays; "auto" writes whole arrays where
            these can say it, else elements.

    Raises:
        ValueError: `where` or `notation` is something else.

    >>> import symbackprop as sb
    >>> X, w, y = sb.symbols("X[N,D] w[D] y[N]")
    >>> print(latex(sb.mean((X @ w - y)**2)))
    \operatorname{mean}\left(\left(X w - y\right)^{2}\right)
    """
    written = formula(expr, LATEX, simplify=simplify, where=where, primes=primes, width=width, notation=notation)
    return lines_of(written, line_width)


def lines_of(written: Formula, width: int | None = None) -> str:
    """Give a formula and the lines of its parts, one below the other, broken where they are longer than the width."""
    found = [written.main] if width is None else rows(written.main, width)
    found[1:] = [rf"\quad {{}} {row}" for row in found[1:]]
    for number, (name, right) in enumerate(written.lines):
        first, *others = [right] if width is None else rows(right, width)
        opening = r"\quad " if number else r"\quad \text{where } "
        found += [f"{opening}{name} = {first}", *(rf"\qquad \qquad {{}} {row}" for row in others)]
    return found[0] if len(found) == 1 else r"\begin{array}{l}" + r" \\ ".join(found) + r"\end{array}"


Expr.views["latex"] = latex

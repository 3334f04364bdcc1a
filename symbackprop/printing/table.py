"""The forward and backward lines of a computation, as lecture slides write them."""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from symbackprop.errors import ArgumentError
from symbackprop.expr import Expr
from symbackprop.op import Array
from symbackprop.printing.formula import Formula, formula
from symbackprop.printing.latex import LATEX
from symbackprop.printing.latex import lines_of as latex_lines
from symbackprop.printing.lines import Draft, Line, ratio_latex, ratio_text, stand_in, targets_of
from symbackprop.printing.names import MACRON, latex_name
from symbackprop.printing.piece import Style
from symbackprop.printing.text import TEXT
from symbackprop.printing.text import lines_of as text_lines

_MOST_ZEROS = 8  # derivatives that one line sets to 0
_BARRED = re.compile(rf"(?:[^\W\d_][\u0300-\u0303\u0305-\u036f]*{MACRON}[\u0300-\u036f]*)+")
_BLANKS = re.compile(r"\s+")
_CELL = "border: none; background: none; padding: 0 .3em; text-align: left; vertical-align: top; white-space: pre"


class _Row(NamedTuple):
    """One line as written; `value`, `partial` and `total` are empty where there is nothing to tell."""

    left: str
    right: Formula
    adds: bool = False
    value: str = ""
    partial: Formula | None = None
    total: str = ""

    @property
    def lines(self) -> list[tuple[str, str]]:
        """The names that the formulas use, each with its own."""
        return self.right.lines + (self.partial.lines if self.partial else [])


@dataclass(frozen=True)
class BackpropTable:
    """The lines of the forward and the backward pass.

    Attributes:
        forward: the named values in topological order, the loss last.
        backward: the error signals in reverse order; those of the targets follow the last value that uses them. In the
            style of increments there is a line for each contribution to a derivative.
        modules: the titles of the modules that lines are grouped by, operands first; empty where they are not.
    """

    forward: list[Line]
    backward: list[Line]
    modules: list[str]
    _shown: Sequence[Line] = field(repr=False)

    def _blocks(self, style: Style) -> Iterator[tuple[str, list[tuple[str, list[_Row]]]]]:
        """Give for each module, the loss's first, the rows of both passes; without modules those of all."""
        names = [line.name for line in (*self.forward, *self.backward)]
        uses = Counter(line.name for line in self.backward)
        rows: dict[tuple[str, bool], list[_Row]] = {}
        for line in self.forward:
            rows.setdefault((line.module, False), []).append(_row(line, line, style, names))
        for line, shown in zip(self.backward, self._shown, strict=True):
            rows.setdefault((line.module, True), []).append(_row(line, shown, style, names, total=uses[line.name] > 1))
        first = rows[self.backward[0].module, True]
        first[:0] = _zeros(self.backward[1:], style)
        behind = "" if self.modules else " pass"
        for title in reversed(self.modules or [""]):
            passes = [("Forward", rows.get((title, False))), ("Backward", rows.get((title, True)))]
            yield title, [(heading + behind, found) for heading, found in passes if found]

    def text(self) -> str:
        """Give the lines as text."""
        blocks = []
        for title, passes in self._blocks(TEXT):
            parts = []
            for heading, rows in passes:
                written = [_text(row).replace("\n", "\n  ") for row in rows]
                parts.append("\n  ".join([f"{heading}:", *written]))
            block = "\n".join(parts).replace("\n", "\n  ")
            blocks += [f"{title}:\n  {block}"] if title else parts
        return "\n\n".join(blocks)

    __str__ = text
    __repr__ = text

    def latex(self) -> str:
        r"""Give the lines in LaTeX, aligned at their equals signs."""
        rows = []
        for title, passes in self._blocks(LATEX):
            if title:
                rows.append(rf"& \boldsymbol{{{latex_name(title)[0]}}}")
            for heading, found in passes:
                rows.append(rf"& \text{{{heading}:}}")
                rows += map(_latex, found)
        return r"\begin{aligned}" + r" \\ ".join(rows) + r"\end{aligned}"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def _repr_html_(self) -> str:
        found = []
        for title, passes in self._blocks(TEXT):
            if title:
                name = f"<th colspan='2' style='text-align: left'>{html.escape(title)}</th>"
                found.append(f"<tr style='background: none'>{name}</tr>")
            cells = [
                f"<td style='{_CELL}'><b>{heading}:</b><table>{''.join(map(_html, rows))}</table></td>"
                for heading, rows in passes
            ]
            found.append(f"<tr style='background: none'>{''.join(cells)}</tr>")
        return f"<table>{''.join(found)}</table>"


# --- rows ----------------------------------------------------------------------------------------------------------


def _row(line: Line, shown: Line, style: Style, names: Sequence[str], *, total: bool = False) -> _Row:
    """Write a line; what is shown of it may differ from what is computed."""

    def written(expr: Expr) -> Formula:
        return formula(expr, style, simplify=False, where=False, primes=True, taken=names)

    left = _left(line, style)
    sums = f"{left} = {_number(line.total, style)}" if total and line.total is not None else ""
    value = f" = {_number(line.value, style)}" if line.computed else ""
    if line.partial is None or line.ratio is None or shown.partial is None or line.partial.ratio is None:
        return _Row(left, written(shown.formula), line.adds, value, None, sums)
    outer, inner = _ratio((line.ratio[0], line.partial.ratio[0]), style), _left(line.partial, style)
    elementwise = line.partial.elementwise
    sign = style.hadamard if elementwise else " · " if style is TEXT else " "
    partial = written(shown.partial.formula)
    behind = f" = {_number(line.partial.value, style)}" if line.partial.computed else ""
    partial = partial._replace(main=f"{inner} = {partial.main}{behind}")
    return _Row(left, Formula(outer + sign + inner, []), line.adds, value, partial, sums)


def _zeros(lines: Sequence[Line], style: Style) -> Iterator[_Row]:
    """Write that the sums are 0 at first."""
    names = list(dict.fromkeys(_left(line, style) for line in lines if line.ratio))
    for at in range(0, len(names), _MOST_ZEROS):
        first, *more = names[at : at + _MOST_ZEROS]
        yield _Row(first, Formula(" = ".join([*more, "0"]), []))


def _ratio(ratio: tuple[str, str], style: Style) -> str:
    return ratio_text(*ratio) if style is TEXT else ratio_latex(*ratio)


def _left(line: Line, style: Style) -> str:
    return _ratio(line.ratio, style) if line.ratio else style.name(line.name)[0]


def _text(row: _Row) -> str:
    main = f"{row.right.main}{row.value}"
    if row.partial:
        main += f", {row.partial.main}"
    if row.total:
        main += f"; {row.total}"
    return f"{row.left} {'+=' if row.adds else '='} {text_lines(Formula(main, row.lines))}"


def _latex(row: _Row) -> str:
    main = f"{row.right.main}{row.value}"
    if row.partial:
        main += rf", \quad {row.partial.main}"
    if row.total:
        main += rf"; \quad {row.total}"
    sign = r"\mathrel{+}=" if row.adds else "="
    return f"{row.left} &{sign} {latex_lines(Formula(main, row.lines))}"


def _html(row: _Row) -> str:
    """Write a row of a table whose columns are the sides of the equation, its value, a partial derivative, a sum."""
    right = text_lines(Formula(row.right.main, row.lines))
    partial = row.partial.main if row.partial else ""
    cells = [row.left, "+=" if row.adds else "=", right, row.value.strip(), partial, row.total]
    while not cells[-1]:
        cells.pop()
    spans = [""] * (len(cells) - 1) + [f" colspan='{7 - len(cells)}'"]  # what is last may be long
    written = (f"<td style='{_CELL}'{span}>{_overlined(cell)}</td>" for cell, span in zip(cells, spans, strict=True))
    return f"<tr style='background: none'>{''.join(written)}</tr>"


def _overlined(text: str) -> str:
    """Give text as HTML, with lines over names in the place of combining characters, which few fonts set well.

    >>> _overlined("L̄_reg & z̄")
    "<span style='text-decoration: overline'>L</span>_reg &amp; <span style='text-decoration: overline'>z</span>"
    """
    found = _BARRED.sub(
        lambda name: f"<span style='text-decoration: overline'>{name[0].replace(MACRON, '')}</span>",
        html.escape(unicodedata.normalize("NFD", text)),
    )
    return unicodedata.normalize("NFC", found)


# --- numbers -------------------------------------------------------------------------------------------------------


def _number(value: Array | None, style: Style) -> str:
    if value is None or value.ndim:
        text = np.array2string(
            np.asarray(value), threshold=8, separator=", ", formatter={"float_kind": "{:.5g}".format, "bool": str}
        )
        text = _BLANKS.sub(" ", text)
        return text.replace("-", style.minus) if style is TEXT else rf"\mathtt{{{text}}}"
    return f"{value.item():.5g}".replace("-", style.minus)


# --- the table -----------------------------------------------------------------------------------------------------


def backprop_table(
    loss: Expr,
    wrt: Expr | Iterable[Expr] | None = None,
    values: Mapping[Expr, Any] | None = None,
    *,
    style: Literal["lines", "increments"] = "lines",
    every: bool = False,
    modules: int = False,
) -> BackpropTable:
    """Give the forward and backward lines of a loss.

    The lines are about the values that were given a name with `Expr.named`, the loss and the targets. In the notation
    of error signals, z̄ is the derivative by z: the sum over the named values C that use z of C̄ times the derivative of
    C by z. As increments, all derivatives start at 0, and each value C, visited after all that use it, adds
    dJ/dC · dC/dz to dJ/dz.

    Args:
        loss: a scalar expression of a float dtype; it is called L where it has no name.
        wrt: the targets; all float symbols unless told.
        values: arrays for the symbols: every line then shows its value too, and a sum of several how far it has come.
        style: ``"lines"`` for error signals, one line each; ``"increments"`` for the lines with ``+=``.
        every: name the result of every operation, as an arithmetic circuit does; those without names are u1, u2 …
        modules: group the lines by the modules that they were made in; 2 and more to look deeper into modules that
            stand in modules.

    Raises:
        NotDifferentiableError: the loss does not depend on a target, or one of them is no float.
        ShapeError: the loss is no scalar.
        ArgumentError: a symbol has no value, or the loss was made in no module.
        ValueError: the style is none of these.

    >>> import symbackprop as sb
    >>> w, x, b, t = sb.symbols("w x b t")
    >>> z = (w*x + b).named("z")
    >>> y = sb.sigmoid(z).named("y")
    >>> print(backprop_table(0.5*(y - t)**2, [w, b]))
    Forward pass:
      z = wx + b
      y = σ(z)
      L = ½(y − t)²
    <BLANKLINE>
    Backward pass:
      L̄ = 1
      ȳ = L̄(y − t)
      z̄ = ȳ σ′(z)
      w̄ = z̄x
      b̄ = z̄
    >>> print(backprop_table(0.5*(y - t)**2, w, style="increments").text().split("pass:")[2])
    <BLANKLINE>
      dL/dy = dL/dz = dL/dw = 0
      dL/dL = 1
      dL/dy += y − t
      dL/dz += dL/dy · dy/dz, dy/dz = σ′(z)
      dL/dw += dL/dz · dz/dw, dz/dw = x
    """
    if style not in {"lines", "increments"}:
        msg = f'backprop_table: style is "lines" or "increments", not {style!r}'
        raise ValueError(msg)
    targets = targets_of(loss, wrt, "backprop_table")
    options: dict[str, Any] = {"increments": style == "increments", "every": every, "depth": int(modules)}
    draft = Draft(loss, targets, **options)
    if modules and not any(part.key for part in draft.order):
        msg = f"backprop_table: {loss.describe()} was made in no module: make its parts under with sb.module('name'):"
        raise ArgumentError(msg)
    forward, backward = draft.forward(), draft.backward()
    shown = Draft(loss, targets, **options, stand_in=stand_in).backward() if draft.custom else backward
    if values is not None:
        forward, backward = draft.filled(forward, backward, values)
    return BackpropTable(forward, backward, draft.modules, shown)

"""The forward and backward lines of a computation, as lecture slides write them."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from symbackprop.autodiff.forward import evaluate
from symbackprop.autodiff.reverse import Pruned, backpropagate
from symbackprop.errors import ArgumentError, NotDifferentiableError
from symbackprop.expr import Expr, common_graph, require_scalar
from symbackprop.graph import Graph, Node
from symbackprop.op import CONSTANT, Array, Form, Op, new_expr
from symbackprop.ops import TABLE, add, constant, symbol
from symbackprop.ops.leaf import SYMBOL
from symbackprop.printing.formula import Formula, formula
from symbackprop.printing.latex import LATEX
from symbackprop.printing.latex import lines_of as latex_lines
from symbackprop.printing.names import bar, fresh_names, latex_name, text_name
from symbackprop.printing.piece import Style, primed
from symbackprop.printing.text import TEXT
from symbackprop.printing.text import lines_of as text_lines
from symbackprop.rewrite import simplify

_KNOWN = frozenset(TABLE)
_SKIPPED = ("scalar",)  # each contribution keeps the form that the rule gives it


class Line(NamedTuple):
    """One line: a name and what it is.

    Attributes:
        name: the value's name; an error signal's has a bar.
        formula: what it is, over the symbols and the names of other lines.
        terms: on a backward line, the contributions of the values that use this one.
        value: the number or array, where values were given.
    """

    name: str
    formula: Expr
    terms: tuple[Expr, ...] = ()
    value: Array | None = None

    @property
    def computed(self) -> bool:
        """Whether there is a value that the formula does not show already."""
        return self.value is not None and self.formula.op is not CONSTANT


@dataclass(frozen=True)
class BackpropTable:
    """The lines of the forward and the backward pass.

    Attributes:
        forward: the named values in topological order, the loss last.
        backward: the error signals in reverse order; those of the targets follow the last value that uses them.
    """

    forward: list[Line]
    backward: list[Line]
    _shown: Mapping[str, Expr] = field(repr=False)

    def _passes(self) -> list[tuple[str, list[Line]]]:
        return [("Forward pass:", self.forward), ("Backward pass:", self.backward)]

    def text(self) -> str:
        """Give the lines as text."""
        return "\n\n".join(
            "\n  ".join([title, *(self._line(line).replace("\n", "\n  ") for line in lines)])
            for title, lines in self._passes()
        )

    __str__ = text
    __repr__ = text

    def _line(self, line: Line) -> str:
        written = self._written(line, TEXT)
        value = f" = {_number(line.value)}" if line.computed else ""
        return f"{text_name(line.name)[0]} = {text_lines(written._replace(main=written.main + value))}"

    def _written(self, line: Line, style: Style) -> Formula:
        names = [line.name for line in (*self.forward, *self.backward)]
        return formula(self._shown[line.name], style, simplify=False, where=False, primes=True, taken=names)

    def latex(self) -> str:
        r"""Give the lines in LaTeX, aligned at their equals signs."""
        rows = []
        for title, lines in self._passes():
            rows.append(rf"& \text{{{title}}}")
            for line in lines:
                written = self._written(line, LATEX)
                value = f" = {_latex_number(line.value)}" if line.computed else ""
                rows.append(f"{latex_name(line.name)[0]} &= {latex_lines(written._replace(main=written.main + value))}")
        return r"\begin{aligned}" + r" \\ ".join(rows) + r"\end{aligned}"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def _repr_html_(self) -> str:
        columns = [
            f"<td style='text-align: left; vertical-align: top'><b>{title}</b><br>"
            + "<br>".join(html.escape(self._line(line)).replace("\n", "<br>") for line in lines)
            + "</td>"
            for title, lines in self._passes()
        ]
        return f"<table><tr>{''.join(columns)}</tr></table>"


def backprop_table(
    loss: Expr, wrt: Expr | Iterable[Expr] | None = None, values: Mapping[Expr, Any] | None = None
) -> BackpropTable:
    """Give the forward and backward lines of a loss, in the notation of error signals: z̄ is the derivative by z.

    The lines are about the values that were given a name with `Expr.named`, the loss and the targets. The error
    signal of a value is the sum over the named values C that use it of C̄ times the derivative of C by it.

    Args:
        loss: a scalar expression of a float dtype; it is called L where it has no name.
        wrt: the targets; all float symbols unless told.
        values: arrays for the symbols: every line then shows its value too.

    Raises:
        NotDifferentiableError: the loss does not depend on a target, or one of them is no float.
        ShapeError: the loss is no scalar.
        ArgumentError: a symbol has no value.

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
    """
    require_scalar(loss, "backprop_table")
    targets = _targets(loss, wrt)
    draft = _Draft(loss, targets)
    forward, backward = draft.forward(), draft.backward()
    shown = {line.name: line.formula for line in (*forward, *backward)}
    if draft.custom:
        shown |= {line.name: line.formula for line in _Draft(loss, targets, stand_in=_stand_in).backward()}
    if values is not None:
        forward, backward = draft.filled(forward, backward, values)
    return BackpropTable(forward, backward, shown)


def _targets(loss: Expr, wrt: Expr | Iterable[Expr] | None) -> list[Expr]:
    if wrt is None:
        reached = [Expr(loss.graph, number) for number in loss.graph.reachable([loss.number])]
        found = [expr for expr in reached if expr.op is SYMBOL and expr.dtype.kind == "f"]
        needed = set(Pruned(loss.graph, loss.number, [expr.number for expr in found]).nodes)
        return [expr for expr in found if expr.number in needed]
    targets = [wrt] if isinstance(wrt, Expr) else list(wrt)
    common_graph([loss, *targets], "backprop_table")
    needed = set(Pruned(loss.graph, loss.number, [target.number for target in targets]).nodes)
    for target in targets:
        if target.number not in needed:
            msg = f"backprop_table: {loss.describe()} has no derivative by {target.describe()}"
            raise NotDifferentiableError(msg)
    return targets


class _Draft:
    """The computation taken apart: each named value as a formula over symbols and other named values."""

    def __init__(self, loss: Expr, targets: Sequence[Expr], *, stand_in: Callable[[Op], Op] = lambda op: op) -> None:
        """Write the computation down anew, with a symbol wherever a named value is used."""
        self.source = loss.graph
        self.loss = loss.number
        self.targets = [target.number for target in targets]
        self.needed = set(Pruned(loss.graph, loss.number, self.targets).nodes)
        self.stand_in = stand_in
        reached = loss.graph.reachable([loss.number])
        self.custom = any(_is_custom(self.source.nodes[number].op) for number in reached)
        self.names = _names(loss, reached, self.targets)
        self.formulas: dict[int, Expr] = {}
        self.placeholders: dict[int, Expr] = {}
        with Graph(scratch=True) as self.graph:
            copies: dict[int, Expr] = {}
            for number in reached:
                copies[number] = self._copy(number, self.source.nodes[number], copies)
            self.bars = {
                number: symbol(bar(name), self.placeholders[number].shape, self.placeholders[number].dtype)
                for number, name in self.names.items()
            }
        origin = {self.placeholders[number].number: number for number in self.needed & self.placeholders.keys()}
        self.operands = {
            number: [origin[leaf] for leaf in self.graph.reachable([formula.number]) if leaf in origin]
            for number, formula in self.formulas.items()
            if number in self.needed
        }

    def _copy(self, number: int, node: Node, copies: Mapping[int, Expr]) -> Expr:
        if node.op is SYMBOL:
            self.placeholders[number] = symbol(**node.params)
            return self.placeholders[number]
        inputs = tuple(copies[operand].number for operand in node.inputs)
        copy = new_expr(self.graph, self.stand_in(node.op), inputs, node.params, node.shape, node.dtype)
        if number not in self.names:
            return copy
        self.formulas[number] = copy
        self.placeholders[number] = symbol(self.names[number], node.shape, node.dtype)
        return self.placeholders[number]

    def forward(self) -> list[Line]:
        """Give the named values, operands first."""
        return [Line(self.names[number], formula) for number, formula in self.formulas.items()]

    def backward(self) -> list[Line]:
        """Give the error signals, the loss's first."""
        with self.graph:
            terms = self._terms()
            lines = []
            for number in self._order():
                total = reduce(add, terms[number])
                lines.append(Line(bar(self.names[number]), total, tuple(terms[number])))
            return lines

    def _order(self) -> list[int]:
        """Give the values with error signals: named ones from the last on, symbols after the last that uses them."""
        place = {target: at for at, target in enumerate(self.targets)}
        first_use: dict[int, int] = {}
        for number, operands in self.operands.items():
            for operand in operands:
                first_use.setdefault(operand, number)
        spots = {number: (-number, -1) for number in self.operands}
        spots |= {target: (-first_use[target], at) for target, at in place.items() if target not in self.formulas}
        return sorted(spots, key=spots.__getitem__)

    def _terms(self) -> dict[int, list[Expr]]:
        """Give for each value the contributions to its error signal of the named values that use it."""
        pulled = {(operand, number): term for number in self.operands for operand, term in self._pulled(number).items()}
        simple = dict(zip(pulled, simplify(list(pulled.values()), skip=_SKIPPED), strict=True))
        terms: dict[int, list[Expr]] = {self.loss: [constant(1.0)]}
        for (operand, _), term in simple.items():
            terms.setdefault(operand, []).append(term)
        return terms

    def _pulled(self, number: int) -> dict[int, Expr]:
        """Give what a named value contributes to the error signals of those that it is computed from."""
        formula = self.formulas[number]
        operands = self.operands[number]
        table = backpropagate(formula, [self.placeholders[operand] for operand in operands], self.bars[number])
        found = {operand: table.get(self.placeholders[operand].number) for operand in operands}
        terms = {operand: term for operand, term in found.items() if term is not None}
        if formula.op.elementwise:
            return terms
        known = _replaced(list(terms.values()), {formula.number: self.placeholders[number]})
        return dict(zip(terms, known, strict=True))

    def filled(
        self, forward: Sequence[Line], backward: Sequence[Line], values: Mapping[Expr, Any]
    ) -> tuple[list[Line], list[Line]]:
        """Give the lines with their values, each computed from those before it."""
        given = {self._own(expr): np.asarray(value) for expr, value in values.items()}
        known = dict(given)
        own = {self.names[number]: self.placeholders[number] for number in self.formulas}
        own |= {bar(self.names[number]): signal for number, signal in self.bars.items()}
        result: list[Line] = []
        for line in chain(forward, backward):
            leaves = [Expr(self.graph, number) for number in self.graph.reachable([line.formula.number])]
            value = evaluate(line.formula, {**given, **{leaf: known[leaf] for leaf in leaves if leaf in known}})
            known[own[line.name]] = value
            result.append(line._replace(value=np.asarray(value)))
        return result[: len(forward)], result[len(forward) :]

    def _own(self, expr: Expr) -> Expr:
        placeholder = self.placeholders.get(expr.number) if expr.graph is self.source else None
        if placeholder is None or expr.op is not SYMBOL:
            msg = f"backprop_table: values are given for the loss's symbols, and {expr.describe()} is none"
            raise ArgumentError(msg)
        return placeholder


def _replaced(outputs: Sequence[Expr], places: Mapping[int, Expr]) -> list[Expr]:
    """Give expressions with others in the places of some nodes."""
    if not outputs:
        return []
    graph = outputs[0].graph
    done: dict[int, int] = {}
    for number in graph.reachable([expr.number for expr in outputs]):
        node = graph.nodes[number]
        inputs = tuple(done[operand] for operand in node.inputs)
        if number in places:
            done[number] = places[number].number
        elif inputs == node.inputs:
            done[number] = number
        else:
            done[number] = new_expr(graph, node.op, inputs, node.params, node.shape, node.dtype).number
    return [Expr(graph, done[expr.number]) for expr in outputs]


def _names(loss: Expr, reached: Sequence[int], targets: Sequence[int]) -> dict[int, str]:
    """Name the labelled values, the loss and the targets, each differently."""
    nodes = loss.graph.nodes
    symbols = {number: nodes[number].params["name"] for number in reached if nodes[number].op is SYMBOL}
    names = {number: symbols[number] for number in targets if number in symbols}
    labels = [nodes[number].label or "" for number in reached]
    free = fresh_names({*symbols.values(), *labels})
    used = set(symbols.values())
    for number in reached:
        label = nodes[number].label
        if number not in symbols and (label or number == loss.number or number in targets):
            name = label if label and label not in used else None
            if name is None and number == loss.number:
                name = next((name for name in "LJCE" if name not in {*used, *labels}), None)
            names[number] = name or next(free)
            used.add(names[number])
    return names


# --- activations of the user's own -----------------------------------------------------------------------------


def _is_custom(op: Op) -> bool:
    return op.elementwise and len(op.vjps) == 1 and op not in _KNOWN and isinstance(op.text, Form)


def _stand_in(op: Op) -> Op:
    """Give an op that looks like this one, and whose derivative is written with a prime."""
    if not _is_custom(op):
        return op

    text_form, latex_form = (primed(op.form(style.notation(op), {}, ((),)), style) for style in (TEXT, LATEX))
    derivative = replace(op, name=f"{op.name}_prime", vjps=(None,), text=text_form, latex=latex_form)

    def rule(g: Expr, _y: Expr, x: Expr, **params: Any) -> Expr:
        return g * derivative(x, **params)

    return replace(op, vjps=(rule,))


# --- numbers ---------------------------------------------------------------------------------------------------


def _number(value: Array | None) -> str:
    if value is None or value.ndim:
        return np.array2string(np.asarray(value), precision=4, threshold=8, separator=", ").replace("\n", "")
    return f"{value.item():.5g}".replace("-", "−")


def _latex_number(value: Array | None) -> str:
    text = _number(value).replace("−", "-")
    return text if value is None or not value.ndim else rf"\mathtt{{{text}}}"

"""The computation of a loss taken apart: each named value as a formula over others, and each derivative."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import chain, count
from typing import Any, NamedTuple

import numpy as np

from symbackprop.autodiff.forward import propagate, value_of
from symbackprop.autodiff.reverse import Pruned, backpropagate
from symbackprop.errors import ArgumentError, NotDifferentiableError
from symbackprop.expr import Expr, common_graph, require_scalar
from symbackprop.graph import Graph, Node
from symbackprop.op import ATOM, CONSTANT, MULTIPLY, Array, Form, Op, Params, new_expr, substituted
from symbackprop.ops import TABLE, add, constant, ones_like, symbol
from symbackprop.ops.layout import BROADCAST_TO
from symbackprop.ops.leaf import SYMBOL
from symbackprop.printing.latex import LATEX
from symbackprop.printing.names import bars, fresh_names, latex_name, text_name
from symbackprop.printing.parts import Part, crossing, module_parts, titles
from symbackprop.printing.piece import primed
from symbackprop.printing.text import TEXT
from symbackprop.rewrite import simplify

_KNOWN = frozenset(TABLE)
_SKIPPED = ("scalar",)  # each contribution keeps the form that the rule gives it


class Line(NamedTuple):
    """One line: a name and what it is, or what is added to it.

    Attributes:
        name: the value's name; an error signal's has a bar, a derivative's is ``dJ/dz``.
        formula: what it is, over the symbols and the names of other lines.
        terms: on a backward line, the contributions of the values that use this one.
        value: the number or array, where values were given.
        adds: whether the formula is added to what is there.
        total: where it is added and values were given, the sum so far.
        partial: where the formula is the consumer's derivative times a partial derivative, a line for that.
        ratio: what a derivative is of, and by what.
        elementwise: whether a partial derivative tells for each element how it depends on the same element.
        module: the title of the module that the line belongs to, where lines are grouped so.
    """

    name: str
    formula: Expr
    terms: tuple[Expr, ...] = ()
    value: Array | None = None
    adds: bool = False
    total: Array | None = None
    partial: Line | None = None
    ratio: tuple[str, str] | None = None
    elementwise: bool = False
    module: str = ""

    @property
    def computed(self) -> bool:
        """Whether there is a value that the formula does not show already."""
        return self.value is not None and self.formula.op is not CONSTANT


# --- derivatives as names ------------------------------------------------------------------------------------------


def ratio_text(top: str, bottom: str) -> str:
    """Write a derivative as text.

    >>> ratio_text("J", "u1")
    'dJ/du1'
    """
    return f"d{text_name(top)[0]}/d{text_name(bottom)[0]}"


def ratio_latex(top: str, bottom: str) -> str:
    r"""Write a derivative in LaTeX.

    >>> print(ratio_latex("J", "u1"))
    \frac{dJ}{du_{1}}
    """
    return rf"\frac{{d{latex_name(top)[0]}}}{{d{latex_name(bottom)[0]}}}"


def _ratio_form(write: Callable[[str, str], str], precedence: int) -> Callable[[Params, tuple[Any, ...]], Form]:
    return lambda params, _: Form(write(params["top"], params["bottom"]), precedence)


DERIVATIVE = Op(
    name="derivative",
    doc="A derivative that has been computed, called dJ/dz.",
    shape=lambda *, top, bottom, shape, dtype: shape,
    dtype=lambda *, top, bottom, shape, dtype: dtype,
    vjps=(),
    numpy=_ratio_form("d{}_d{}".format, ATOM),
    text=_ratio_form(ratio_text, MULTIPLY),
    latex=_ratio_form(ratio_latex, ATOM),
    cost=lambda _xs, _y, _params: 0,
)


# --- targets and names ---------------------------------------------------------------------------------------------


def targets_of(loss: Expr, wrt: Expr | Iterable[Expr] | None, what: str) -> list[Expr]:
    """Give what to differentiate a loss by: all float symbols unless told.

    Raises:
        ArgumentError: the loss or a target is no expression.
        ShapeError: the loss is no scalar.
        NotDifferentiableError: the loss has no derivative by a target.
    """
    targets = [wrt] if isinstance(wrt, Expr) else list(wrt or ())
    given: list[object] = [loss, *targets]
    for thing in given:
        if not isinstance(thing, Expr):
            msg = f"{what}: the loss and the targets are expressions, not {thing!r}"
            raise ArgumentError(msg)
    require_scalar(loss, what)
    if wrt is None:
        reached = [Expr(loss.graph, number) for number in loss.graph.reachable([loss.number])]
        found = [expr for expr in reached if expr.op is SYMBOL and expr.dtype.kind == "f"]
        needed = set(Pruned(loss.graph, [loss.number], [expr.number for expr in found]).nodes)
        return [expr for expr in found if expr.number in needed]
    common_graph([loss, *targets], what)
    needed = set(Pruned(loss.graph, [loss.number], [target.number for target in targets]).nodes)
    for target in targets:
        if target.number not in needed:
            msg = f"{what}: {loss.describe()} has no derivative by {target.describe()}"
            raise NotDifferentiableError(msg)
    return targets


def names_of(
    loss: Expr, reached: Sequence[int], targets: Sequence[int], *, also: Collection[int] = (), numbered: bool = False
) -> dict[int, str]:
    """Name the labelled values, the loss, the targets and others, each differently.

    A label that is taken gets a number; what has no label is called u, v …, or u1, u2 … if numbered.
    """
    nodes = loss.graph.nodes
    symbols = {number: nodes[number].params["name"] for number in reached if nodes[number].op is SYMBOL}
    names = {number: symbols[number] for number in targets if number in symbols}
    labels = {number: "_".join((nodes[number].label or "").split()) for number in reached if number not in symbols}
    taken = {*symbols.values(), *labels.values()}
    letters = (f"u{number}" for number in count(1)) if numbered else fresh_names(taken)
    free = (name for name in letters if name not in taken)
    used = set(symbols.values())
    again: Counter[str] = Counter()
    wanted = {loss.number, *targets, *also}
    for number, label in labels.items():
        if not label and number not in wanted:
            continue
        name = label
        while name in used:
            again[label] += 1
            name = f"{label}_{again[label] + 1}"
        if not name and number == loss.number:
            name = next((letter for letter in "LJCE" if letter not in {*used, *taken}), "")
        names[number] = name or next(free)
        used.add(names[number])
    return names


# --- the computation taken apart -----------------------------------------------------------------------------------


class Draft:
    """The computation taken apart: each named value as a formula over symbols and other named values."""

    def __init__(
        self,
        loss: Expr,
        targets: Sequence[Expr],
        *,
        increments: bool = False,
        every: bool = False,
        depth: int = 0,
        stand_in: Callable[[Op], Op] = lambda op: op,
    ) -> None:
        """Write the computation down anew, with a symbol wherever a named value is used.

        Args:
            loss: the loss.
            targets: what to differentiate by.
            increments: call derivatives dJ/dz, and write each contribution on a line of its own.
            every: name the result of every operation.
            depth: group lines by modules, looking so deep; 0 for no groups.
            stand_in: gives the op to write for an op.
        """
        self.source = loss.graph
        self.loss = loss.number
        self.targets = [target.number for target in targets]
        self.needed = set(Pruned(loss.graph, [loss.number], self.targets).nodes)
        self.increments = increments
        self.stand_in = stand_in
        nodes = self.source.nodes
        reached = self.source.reachable([loss.number])
        self.custom = any(_is_custom(nodes[number].op) for number in reached)
        self.parts, self.order = module_parts(self.source, reached, depth) if depth else ({}, [])
        also = {number for number in reached if nodes[number].inputs} if every else crossing(self.source, self.parts)
        self.names = names_of(loss, reached, self.targets, also=also, numbered=every)
        self.formulas: dict[int, Expr] = {}
        self.placeholders: dict[int, Expr] = {}
        with Graph(scratch=True) as self.graph:
            copies: dict[int, Expr] = {}
            for number in reached:
                copies[number] = self._copy(number, nodes[number], copies)
            symbols = {nodes[number].params["name"] for number in reached if nodes[number].op is SYMBOL}
            signs = bars([*symbols, *self.names.values()])
            self.signals = {number: self._signal(number, signs[name]) for number, name in self.names.items()}
        self.uses: dict[int, list[int]] = {}
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

    def _signal(self, number: int, sign: str) -> Expr:
        """Give the leaf that stands for the loss's derivative by a named value."""
        value = self.placeholders[number]
        if not self.increments:
            return symbol(sign, value.shape, value.dtype)
        params = {
            "top": self.names[self.loss],
            "bottom": self.names[number],
            "shape": value.shape,
            "dtype": value.dtype,
        }
        return new_expr(self.graph, DERIVATIVE, (), params, value.shape, value.dtype)

    # --- lines --------------------------------------------------------------------------------------------------

    @property
    def modules(self) -> list[str]:
        """The titles of the modules that have lines, operands first."""
        own = {self.parts[number] for number in self.formulas if number in self.parts}
        called = titles(self.order)
        return [called[part] for part in self.order if part in own]

    def forward(self) -> list[Line]:
        """Give the named values, operands first."""
        called = titles(self.order)
        return [
            Line(self.names[number], formula, module=called[self.parts[number]] if self.parts else "")
            for number, formula in self.formulas.items()
        ]

    def backward(self) -> list[Line]:
        """Give the derivatives, the loss's first."""
        called = titles(self.order)
        with self.graph:
            terms, partials = self._contributions()
            self.uses = {
                number: [operand for operand in operands if (operand, number) in terms]
                for number, operands in self.operands.items()
            }
            lines = [self._line(self.loss, (constant(1.0),), called.get(self._part(self.loss), ""))]
            seen: set[int] = set()
            turns: dict[Part, list[int]] = {part: [] for part in reversed(self.order)}
            for number in self._visits() if self.increments else self.uses:
                turns.setdefault(self._part(number), []).append(number)
            for part, inside in turns.items():
                for operand, consumers in self._rows(inside):
                    found = tuple(terms[operand, consumer] for consumer in consumers)
                    partial = partials.get((operand, consumers[0])) if self.increments else None
                    line = self._line(operand, found, called.get(part, ""))
                    lines.append(line._replace(adds=self.increments or operand in seen, partial=partial))
                    seen.add(operand)
            return lines

    def _part(self, number: int) -> Part:
        return self.parts.get(number, Part((), 0))

    def _line(self, number: int, terms: tuple[Expr, ...], module: str) -> Line:
        loss, name = self.names[self.loss], self.names[number]
        ratio = (loss, name) if self.increments else None
        called = ratio_text(*ratio) if ratio else str(self.signals[number].params["name"])
        return Line(called, reduce(add, terms), terms, ratio=ratio, module=module)

    def _rows(self, consumers: Sequence[int]) -> list[tuple[int, list[int]]]:
        """Give the lines that come of some consumers: a value with an error signal, and who contributes."""
        if self.increments:
            return [(operand, [number]) for number in consumers for operand in self.uses[number]]
        used: dict[int, list[int]] = {}
        for number in consumers:
            for operand in self.uses[number]:
                used.setdefault(operand, []).append(number)
        place = {target: at for at, target in enumerate(self.targets)}
        spots = {
            number: (-number, -1) if number in self.formulas else (-min(used[number]), place[number]) for number in used
        }
        return [(number, used[number]) for number in sorted(used, key=spots.__getitem__)]

    def _visits(self) -> list[int]:
        """Give the values in reverse topological order, each as soon as all that use it have been visited."""
        waits = Counter(chain.from_iterable(self.uses.values()))
        order = [self.loss] if self.loss in self.uses else []
        for number in order:  # grows while it is walked
            for operand in self.uses[number]:
                waits[operand] -= 1
                if not waits[operand] and operand in self.uses:
                    order.append(operand)
        return order

    # --- contributions ------------------------------------------------------------------------------------------

    def _contributions(self) -> tuple[dict[tuple[int, int], Expr], dict[tuple[int, int], Line]]:
        """Give for each use of a value what it contributes to the derivative, and its factor where it is a product."""
        pulled: dict[tuple[int, int], Expr] = {}
        factors: dict[tuple[int, int], Expr] = {}
        for number in self.operands:
            terms = self._pulled(number)
            plain = self._factors(number, terms) if self.increments else {}
            pulled |= {(operand, number): term for operand, term in terms.items()}
            factors |= {(operand, number): factor for operand, factor in plain.items()}
        simple = simplify([*pulled.values(), *factors.values()], skip=_SKIPPED)
        terms_by_use = dict(zip(pulled, simple, strict=False))
        partials = {}
        for (operand, number), factor in zip(factors, simple[len(pulled) :], strict=True):
            if number == self.loss:
                terms_by_use[operand, number] = factor
            else:
                ratio = (self.names[number], self.names[operand])
                elementwise = bool(self.formulas[number].shape)
                bare = factor.inputs[0] if factor.op is BROADCAST_TO else factor  # the same number for each element
                partials[operand, number] = Line(ratio_text(*ratio), bare, ratio=ratio, elementwise=elementwise)
        return terms_by_use, partials

    def _pulled(self, number: int) -> dict[int, Expr]:
        """Give what a named value contributes to the derivatives by those that it is computed from."""
        formula = self.formulas[number]
        operands = self.operands[number]
        table = backpropagate({formula: self.signals[number]}, [self.placeholders[operand] for operand in operands])
        found = {operand: table.get(self.placeholders[operand].number) for operand in operands}
        terms = {operand: term for operand, term in found.items() if term is not None}
        if formula.op.elementwise:
            return terms
        known = substituted(list(terms.values()), {formula: self.placeholders[number]})
        return dict(zip(terms, known, strict=True))

    def _factors(self, number: int, terms: Mapping[int, Expr]) -> dict[int, Expr]:
        """Give the partial derivatives by which the derivative of a value is multiplied, elementwise.

        They are there where the value is a scalar, or where each of its elements depends on the same element alone.
        """
        formula = self.formulas[number]
        shape, nodes = formula.shape, self.graph.nodes
        below = self.graph.reachable([formula.number])
        mixed: set[int] = set()
        for at in reversed(below):
            node = nodes[at]
            if at in mixed or not node.op.elementwise or node.shape != shape:
                mixed.update(node.inputs)
        chosen = {
            operand: term
            for operand, term in terms.items()
            for place in [self.placeholders[operand]]
            if not shape or (place.number not in mixed and place.shape == shape)
        }
        signal = self.signals[number]
        found = substituted(list(chosen.values()), {signal: ones_like(signal)})
        return dict(zip(chosen, found, strict=True))

    # --- values -------------------------------------------------------------------------------------------------

    def filled(
        self, forward: Sequence[Line], backward: Sequence[Line], values: Mapping[Expr, Any]
    ) -> tuple[list[Line], list[Line]]:
        """Give the lines with their values, each computed from those before it."""
        for expr in values:
            self._check_symbol(expr)
        found, sizes = propagate([Expr(self.source, self.loss)], values)
        known = {place.node.key: np.asarray(found[number]) for number, place in self.placeholders.items()}
        keys = {self.names[number]: self.placeholders[number].node.key for number in self.formulas}
        computed = [line._replace(value=known[keys[line.name]]) for line in forward]
        signals = {_called(signal): signal.node.key for signal in self.signals.values()}
        added = []
        for line in backward:
            value = self._value(line.formula, known, sizes)
            key = signals[line.name]
            total = known[key] + value if line.adds and key in known else value
            known[key] = total
            partial = line.partial
            if partial:
                partial = partial._replace(value=self._value(partial.formula, known, sizes))
            added.append(line._replace(value=value, total=total if line.adds else None, partial=partial))
        return computed, added

    def _value(self, expr: Expr, known: Mapping[tuple[object, ...], Array], sizes: Mapping[str, int]) -> Array:
        """Compute a formula from the values of its leaves."""
        nodes = self.graph.nodes
        done: dict[int, Any] = {}
        for number in self.graph.reachable([expr.number]):
            node = nodes[number]
            leaf = not node.inputs and node.op is not CONSTANT and node.key in known
            operands = [done[operand] for operand in node.inputs]
            done[number] = known[node.key] if leaf else value_of(node.op, operands, node.params, node.dtype, sizes)
        return np.asarray(done[expr.number])

    def _check_symbol(self, given: object) -> None:
        place = self.placeholders.get(given.number) if isinstance(given, Expr) and given.graph is self.source else None
        if place is None or not isinstance(given, Expr) or given.op is not SYMBOL:
            shown = given.describe() if isinstance(given, Expr) else repr(given)
            msg = f"backprop_table: values are given for the loss's symbols, and {shown} is none"
            raise ArgumentError(msg)


def _called(signal: Expr) -> str:
    """Give the name of a line that computes this derivative."""
    if signal.op is DERIVATIVE:
        return ratio_text(signal.params["top"], signal.params["bottom"])
    return str(signal.params["name"])


# --- activations of the user's own ---------------------------------------------------------------------------------


def _is_custom(op: Op) -> bool:
    return op.elementwise and len(op.vjps) == 1 and op not in _KNOWN and isinstance(op.text, Form)


def stand_in(op: Op) -> Op:
    """Give an op that looks like this one; that of an activation of the user's own has a derivative with a prime."""
    if not _is_custom(op):
        return op

    text_form, latex_form = (primed(op.form(style.notation(op), {}, ((),)), style) for style in (TEXT, LATEX))
    derivative = replace(op, name=f"{op.name}_prime", vjps=(None,), text=text_form, latex=latex_form)

    def rule(g: Expr, _y: Expr, x: Expr, **params: Any) -> Expr:
        return g * derivative(x, **params)

    return replace(op, vjps=(rule,))

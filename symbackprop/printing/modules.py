"""Modules, the parts of a computation that bear a name: what enters and leaves each, and its two passes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from symbackprop.autodiff.reverse import Pruned, backpropagate
from symbackprop.errors import ArgumentError
from symbackprop.expr import Expr
from symbackprop.graph import Graph
from symbackprop.ops import symbol
from symbackprop.ops.leaf import SYMBOL
from symbackprop.printing.lines import names_of, targets_of
from symbackprop.printing.names import bars, text_name
from symbackprop.printing.parts import Part, crossing, module_parts, titles
from symbackprop.printing.text import text


@dataclass(frozen=True)
class Module:
    """One module of a network: a forward pass from inputs to outputs, and a backward pass.

    The expressions live in a graph of the modules' own, where whatever enters a module is a symbol.

    Attributes:
        name: its name.
        inputs: symbols for what enters: parameters, data, and values of other modules under their names.
        outputs: the values that leave, by name, computed from the inputs.
        signals: for each output that matters the symbol of the loss's derivative by it, which enters the backward pass.
        gradients: what the module adds to the loss's derivatives by its inputs, by the inputs' names, computed from
            inputs and signals.

    >>> import symbackprop as sb
    >>> w = sb.symbol("w")
    >>> with sb.module("unit"):
    ...     y = sb.sin(w).named("y")
    >>> unit = sb.modules(y)[0]
    >>> unit.inputs, unit.outputs, unit.signals, unit.gradients
    ([<float64: w>], {'y': <float64: sin(w)>}, {'y': <float64: ȳ>}, {'w': <float64: ȳ cos(w)>})
    """

    name: str
    inputs: list[Expr]
    outputs: dict[str, Expr]
    signals: dict[str, Expr]
    gradients: dict[str, Expr]

    def __str__(self) -> str:
        """Give the lines of both passes."""
        signs = bars([*self.gradients, *self.signals, *map(_name, self.inputs)])
        blocks = [f"{self.name}:", "  Forward:"]
        blocks += [f"    {text_name(name)[0]} = {_indented(expr)}" for name, expr in self.outputs.items()]
        if self.gradients:
            given = ", ".join(str(signal) for signal in self.signals.values())
            blocks.append(f"  Backward, given {given}:")
        blocks += [
            f"    {text_name(signs[name])[0]} += {_indented(expr, backward=True)}"
            for name, expr in self.gradients.items()
        ]
        return "\n".join(blocks)


def _name(expr: Expr) -> str:
    return str(expr.params["name"])


def _indented(expr: Expr, *, backward: bool = False) -> str:
    return text(expr, simplify=backward, primes=backward).replace("\n", "\n    ")


def modules(loss: Expr, wrt: Expr | Iterable[Expr] | None = None, *, depth: int = 1) -> list[Module]:
    r"""Give the modules that a loss is computed by, operands first, as they were made under ``with sb.module(name):``.

    Each can be compiled by itself: its forward pass is ``sb.compile(m.inputs, m.outputs)``, its backward pass
    ``sb.compile([*m.inputs, *m.signals.values()], m.gradients)``. Values that pass from one module to another get names
    where they have none; operations outside of all modules make up one called ``"outside of modules"``.

    Args:
        loss: a scalar expression of a float dtype.
        wrt: the symbols to differentiate by; all float symbols unless told.
        depth: how deep to look into modules that stand in modules.

    Raises:
        NotDifferentiableError: the loss does not depend on a target.
        ArgumentError: a target is no symbol.
        ShapeError: the loss is no scalar.
        ValueError: the depth is less than 1.

    >>> import symbackprop as sb
    >>> w, x, t = sb.symbols("w x t")
    >>> with sb.module("unit"):
    ...     y = sb.sigmoid(w*x).named("y")
    >>> with sb.module("loss"):
    ...     J = (0.5*(y - t)**2).named("J")
    >>> print(*modules(J, w), sep="\n")
    unit:
      Forward:
        y = σ(wx)
      Backward, given ȳ:
        w̄ += ȳ σ′(wx)·x
    loss:
      Forward:
        J = ½(y − t)²
      Backward, given J̄:
        ȳ += J̄(y − t)
    """
    targets = targets_of(loss, wrt, "modules")
    strangers = [target for target in targets if target.op is not SYMBOL]
    if strangers:
        msg = f"modules: the targets are symbols, and {strangers[0].describe()} is none"
        raise ArgumentError(msg)
    graph, nodes = loss.graph, loss.graph.nodes
    reached = graph.reachable([loss.number])
    parts, order = module_parts(graph, reached, depth)
    needed = set(Pruned(graph, [loss.number], [target.number for target in targets]).nodes)
    leaving = crossing(graph, parts) | {loss.number}
    names = names_of(loss, reached, [target.number for target in targets], also=leaving)
    names |= {number: nodes[number].params["name"] for number in reached if nodes[number].op is SYMBOL}
    signs = bars(names.values())
    called = titles(order)
    members: dict[Part, list[int]] = {part: [] for part in order}
    for number, part in parts.items():
        members[part].append(number)
    with Graph():
        shown = {number for number in names if number in leaving or nodes[number].op is SYMBOL}
        places = {number: symbol(names[number], nodes[number].shape, nodes[number].dtype) for number in shown}
        signals = {
            number: symbol(signs[names[number]], places[number].shape, places[number].dtype)
            for number in shown & needed
        }
        found = []
        for part in order:
            copies, entering = _copied(graph, members[part], places)
            outputs = [number for number in members[part] if number in leaving]
            given = {number: signals[number] for number in outputs if number in needed}
            wanted = {number: places[number] for number in entering if number in needed}
            gradients = _pulled(copies, given, wanted)
            found.append(
                Module(
                    called[part],
                    [places[number] for number in entering],
                    {names[number]: copies[number] for number in outputs},
                    {names[number]: signal for number, signal in given.items()},
                    {names[number]: gradient for number, gradient in gradients.items()},
                )
            )
    return found


def _copied(graph: Graph, members: Sequence[int], places: Mapping[int, Expr]) -> tuple[dict[int, Expr], list[int]]:
    """Copy a module's nodes, with symbols for what enters, and give what does."""
    own = next(iter(places.values())).graph
    copies: dict[int, Expr] = {}
    entering: set[int] = set()
    for number in members:
        for operand in graph.nodes[number].inputs:
            if operand in copies:
                continue
            if operand in places:
                entering.add(operand)
                copies[operand] = places[operand]
            else:
                constant = graph.nodes[operand]
                copies[operand] = Expr(own, own.add(constant.copied(())))
        node = graph.nodes[number]
        copies[number] = Expr(own, own.add(node.copied(tuple(copies[operand].number for operand in node.inputs))))
    return copies, sorted(entering)


def _pulled(copies: Mapping[int, Expr], signals: Mapping[int, Expr], wanted: Mapping[int, Expr]) -> dict[int, Expr]:
    """Give what a module adds to the derivatives by its inputs, from those by its outputs."""
    if not signals:
        return {}
    table = backpropagate({copies[number]: signal for number, signal in signals.items()}, list(wanted.values()))
    return {number: table[place.number] for number, place in wanted.items() if place.number in table}

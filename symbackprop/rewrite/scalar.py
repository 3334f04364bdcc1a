"""Scalar algebra beyond single equations: clusters of elementwise arithmetic are cancelled and factored by SymPy.

A cluster is what lies between one arithmetic node and the nearest nodes that are not arithmetic, its atoms. It is one
rational function of the atoms; SymPy cancels and factors it, within a budget, and the shorter form is kept. With more
effort, functions are not atoms either, and SymPy's trigonometric and logarithmic identities are tried too.
SymPy is imported when the first cluster that may become shorter is met; equal clusters are simplified once.
"""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from symbackprop.expr import Expr
from symbackprop.graph import Graph, Node, attributed
from symbackprop.op import Op, apply, literal, scalar_value
from symbackprop.ops import (
    abs as abs_,
)
from symbackprop.ops import (
    add,
    astype,
    broadcast_to,
    cos,
    divide,
    exp,
    log,
    multiply,
    negative,
    power,
    sigmoid,
    sin,
    sqrt,
    square,
    subtract,
    tanh,
)
from symbackprop.ops.reduce import SOFTMAX, SUM
from symbackprop.rewrite.engine import Rewritten, is_extreme
from symbackprop.sympy_names import FUNCTIONS

if TYPE_CHECKING:
    from fractions import Fraction
    from types import FrameType

    import sympy

    _Circles = tuple[tuple[sympy.Symbol, sympy.Symbol], ...]


class Effort(NamedTuple):
    """What may be spent on clusters.

    Attributes:
        nodes: operations in a cluster, counted with repetition.
        terms: terms times atoms that a cluster may have when it is multiplied out; more take tenths of a second.
        seconds: for all clusters of one pass; those that are left when they are over stay as they are.
        seconds_each: for one cluster; the shortest form that was found until then is taken.
        functions: whether SymPy sees exponentials, logarithms, sines … as such, and not as atoms.
    """

    nodes: int
    terms: int
    seconds: float
    seconds_each: float
    functions: bool = False


NORMAL = Effort(nodes=40, terms=250, seconds=3.0, seconds_each=0.3)
HIGH = Effort(nodes=150, terms=3000, seconds=30.0, seconds_each=2.0, functions=True)

_ARITHMETIC = {add, subtract, multiply, divide, negative, square}
_SUMS = {add, subtract}
_FUNCTIONS: dict[str, Op] = {FUNCTIONS[op.name]: op for op in (abs_, cos, exp, log, sin, tanh)}
_INSIDE = {*_FUNCTIONS.values(), sqrt}
_LEAST_GAIN = 3  # operators and numbers that a form must save where it saves no atoms
_QUICK = 50  # terms times atoms of what SymPy does so fast that watching the time would take longer
_LARGEST_EXPONENT = 8  # of a power that is arithmetic
_LARGEST_DENOMINATOR = 1024  # of a number that SymPy is to see as a fraction; others are atoms


class _Cluster:
    """An arithmetic node with all arithmetic below it, as one SymPy expression.

    A part whose atoms occur in it alone is an atom itself: nothing in it can cancel with anything outside, and SymPy
    need not multiply it out. It is a cluster of its own.

    Attributes:
        root: the node.
        arithmetic: the nodes that SymPy sees as such, operands first.
        atoms: what it is made of, in order of appearance.
        length: how long it is, as `_length` counts.
        promising: whether atoms are related, one appears twice, or numbers do, without which nothing cancels.
    """

    def __init__(self, root: Expr, effort: Effort) -> None:
        self.root = root
        self.effort = effort
        self.nodes = root.graph.nodes
        self.atoms: dict[int, Expr] = {}
        inner, outer = self._taken_apart()
        related = self._related_atoms(outer)
        whole = self._entangled(inner, outer, related)
        self.arithmetic = [number for number in reversed(inner) if number in whole]
        seen: Counter[int] = Counter()
        size = numbers = 0
        stack = [root.number]
        while stack:
            number = stack.pop()
            if number in whole:
                size += 1
                stack += reversed(self.nodes[number].inputs)
            elif number in inner or number in outer:
                self.atoms.setdefault(number, Expr(root.graph, number))
                seen[number] += 1
            else:
                numbers += 1
        self.length = _Length(seen.total(), size + numbers)
        self.promising = bool(related) or effort.functions or seen.total() > len(seen) or numbers > 1

    def _taken_apart(self) -> tuple[dict[int, int], dict[int, int]]:
        """Give the arithmetic nodes, consumers first, and the atoms, each with how often it is written."""
        graph, effort = self.root.graph, self.effort
        stack = [self.root.number]
        found = set(stack)
        while stack:
            for operand in self.nodes[stack.pop()].inputs:
                if operand not in found:
                    found.add(operand)
                    if _is_inside(self.nodes, operand, effort):
                        stack.append(operand)
        uses = Counter({self.root.number: 1})
        inner: dict[int, int] = {}
        outer: dict[int, int] = {}
        for number in sorted(found, reverse=True):
            if number == self.root.number or _is_inside(self.nodes, number, effort):
                inner[number] = uses[number]
                for operand in self.nodes[number].inputs:
                    uses[operand] += uses[number]
            elif _fraction(Expr(graph, number)) is None:
                outer[number] = uses[number]
        return inner, outer

    def _related_atoms(self, outer: Collection[int]) -> set[int]:
        """Give the atoms of which SymPy is told what they have to do with each other."""
        alike: dict[int, list[int]] = {}
        found = set()
        for number in outer:
            node = self.nodes[number]
            if node.op in {exp, sigmoid, SOFTMAX, sin, cos}:
                argument = self.nodes[node.inputs[0]]
                alike.setdefault(argument.inputs[0] if argument.op is negative else node.inputs[0], []).append(number)
            elif node.op is sqrt and node.inputs[0] in outer:
                found |= {number, node.inputs[0]}
        for group in alike.values():
            if len(group) > 1:
                found.update(group)
        return found | {
            number for number in outer if self.nodes[number].op is SUM and found & {*self.nodes[number].inputs}
        }

    def _entangled(self, inner: Mapping[int, int], outer: Mapping[int, int], related: Collection[int]) -> set[int]:
        """Give the arithmetic nodes below which an atom, or a number of a sum, is that may meet the like outside."""
        below: dict[int, Counter[int]] = {}
        found = {self.root.number}
        signed: set[int] = set()  # what has a number or a sign that may meet another one outside
        for number in reversed(inner):
            count = below[number] = Counter()
            known = [operand for operand in self.nodes[number].inputs if operand in inner or operand in outer]
            for operand in known:
                count.update(below.get(operand, (operand,)))
            node = self.nodes[number]
            if node.op is negative or len(known) < len(node.inputs) or (node.op in _SUMS and signed & {*node.inputs}):
                signed.add(number)
            if number in signed or any(
                at in related or times * inner[number] < outer[at] for at, times in count.items()
            ):
                found.add(number)
        return set(inner) if self.effort.functions else found

    def shorter(self) -> Expr | None:
        """Give a shorter form, or None."""
        parts = {number: _shorter(atom, self.effort) for number, atom in self.atoms.items()}
        better = {number: part for number, part in parts.items() if part is not None}
        found = self._by_sympy({**self.atoms, **better}) if self.promising else None
        return self._with(better) if found is None and better else found

    def _with(self, better: Mapping[int, Expr]) -> Expr:
        """Build the cluster with other expressions in the place of some nodes."""
        built = dict(better)
        for number in self.arithmetic:
            node = self.nodes[number]
            if number not in built and not built.keys().isdisjoint(node.inputs):
                operands = [built.get(operand, Expr(self.root.graph, operand)) for operand in node.inputs]
                built[number] = apply(node.op, *operands, **node.params)
        return built[self.root.number]

    def _by_sympy(self, atoms: Mapping[int, Expr]) -> Expr | None:
        """Give the form that SymPy finds, over these atoms, where it is shorter."""
        import sympy  # noqa: PLC0415  (0.3 s, only for those who want formulas)

        names = {number: sympy.Symbol(f"a{at:03}", real=True) for at, number in enumerate(self.atoms)}
        values = {number: self._related(number, names) for number in self.atoms}
        written = _to_sympy(self.root, values, self.effort)
        if _terms(written) * len(names) > self.effort.terms:
            operands = {operand.number: _shorter(operand, self.effort) for operand in self.root.inputs}
            better = {number: operand for number, operand in operands.items() if operand is not None}
            return self._with(better) if better else None
        best = _shortest(written, self._circles(names), self.effort)
        if best.has(sympy.zoo, sympy.nan):  # divided by zero, as by x - x
            return None
        found = _length(best)
        gain = 1 if self.effort.functions else _LEAST_GAIN
        if found.atoms > self.length.atoms or (
            found.atoms == self.length.atoms and found.rest + gain > self.length.rest
        ):
            return None  # what is about as long as it was stays as people wrote it
        try:
            built = _from_sympy(best, {name: atoms[number] for number, name in names.items()}, self.root)
        except _UnwritableError:
            return None
        return built if best.is_Rational or _is_sound(built, {atom.number for atom in atoms.values()}) else None

    def _circles(self, names: Mapping[int, sympy.Symbol]) -> _Circles:
        """Give the pairs of atoms that are sine and cosine of the same."""
        sines = {atom.node.inputs: number for number, atom in self.atoms.items() if atom.op is sin}
        cosines = {atom.node.inputs: number for number, atom in self.atoms.items() if atom.op is cos}
        return tuple((names[sines[angle]], names[cosines[angle]]) for angle in sines if angle in cosines)

    def _related(self, number: int, names: Mapping[int, sympy.Symbol]) -> sympy.Expr:
        """Write x by √x, σ(-z) and exp(±z) by σ(z), exp(z) by softmax(z) and its divisor, if these are atoms."""
        atom = self.atoms[number]
        z = atom.inputs[0] if atom.op in {exp, sigmoid} else atom
        for other, candidate in self.atoms.items():
            p = names[other]
            if candidate.op is sqrt and candidate.inputs[0] is atom:
                return p**2
            if atom.op is exp and candidate.op is SOFTMAX and candidate.inputs[0] is z:
                divisors = [names[at] for at, total in self.atoms.items() if _is_divisor(total, atom, candidate)]
                if divisors:
                    return p * divisors[0]
            if z is not atom and candidate.op is sigmoid:
                (u,) = candidate.inputs
                if atom.op is sigmoid and z.op is negative and z.inputs[0] is u:
                    return 1 - p
                if atom.op is exp and u is z:
                    return p / (1 - p)
                if atom.op is exp and _opposite(u, z):
                    return (1 - p) / p
        return names[number]


def _opposite(u: Expr, z: Expr) -> bool:
    return (z.op is negative and z.inputs[0] is u) or (u.op is negative and u.inputs[0] is z)


def _is_divisor(total: Expr, numerator: Expr, quotient: Expr) -> bool:
    """Tell whether this is the sum that a softmax divides exp(z) by."""
    return total.op is SUM and total.inputs[0] is numerator and total.params["axes"] == quotient.params["axes"]


def _exponent(nodes: Mapping[int, Node], number: int) -> int | None:
    """Give the exponent of a whole power."""
    node = nodes[nodes[number].inputs[1]] if nodes[number].op is power else None
    if node is None or node.shape or "value" not in node.params:
        return None
    value = node.params["value"].array.item()
    return int(value) if value == value // 1 and 0 < abs(value) <= _LARGEST_EXPONENT else None


def _is_arithmetic(nodes: Mapping[int, Node], number: int) -> bool:
    node = nodes[number]
    return node.dtype.kind == "f" and (node.op in _ARITHMETIC or _exponent(nodes, number) is not None)


def _is_inside(nodes: Mapping[int, Node], number: int, effort: Effort) -> bool:
    return _is_arithmetic(nodes, number) or (
        effort.functions and nodes[number].op in _INSIDE and nodes[number].dtype.kind == "f"
    )


def _fraction(expr: Expr) -> Fraction | None:
    value = scalar_value(expr)
    if value is None or not math.isfinite(value):
        return None
    from fractions import Fraction  # noqa: PLC0415  (an import of the package need not wait for it)

    fraction = Fraction(value)
    return fraction if fraction.denominator <= _LARGEST_DENOMINATOR else None


def _is_sound(expr: Expr, atoms: Collection[int]) -> bool:
    """Tell whether all above the atoms is done in floats, and no number left their range.

    Bools and small integers add up otherwise: True + True is True.
    """
    numbers = expr.graph.reachable([expr.number], known=atoms)
    inner = [Expr(expr.graph, number) for number in numbers if number not in atoms]
    return all(part.dtype.kind == "f" and not is_extreme(part) for part in inner)


def _to_sympy(root: Expr, atoms: Mapping[int, sympy.Expr], effort: Effort) -> sympy.Expr:
    import sympy  # noqa: PLC0415

    written: dict[int, Any] = {}
    graph = root.graph
    for number in graph.reachable([root.number], known=atoms):
        fraction = _fraction(Expr(graph, number))
        if number in atoms:
            written[number] = atoms[number]
        elif fraction is not None:
            written[number] = sympy.Rational(fraction.numerator, fraction.denominator)
        elif _is_inside(graph.nodes, number, effort):
            written[number] = _combined(graph.nodes, number, written)
    return written[root.number]


def _combined(nodes: Mapping[int, Node], number: int, written: Mapping[int, Any]) -> Any:
    import sympy  # noqa: PLC0415

    op = nodes[number].op
    first, *rest = (written[operand] for operand in nodes[number].inputs)
    if op is sqrt:
        return sympy.sqrt(first)
    for name, function in _FUNCTIONS.items():
        if op is function:
            return getattr(sympy, name)(first)
    return _OPERATORS[op](first, *rest)


_OPERATORS: dict[Op, Callable[..., Any]] = {
    add: lambda x, y: x + y,
    subtract: lambda x, y: x - y,
    multiply: lambda x, y: x * y,
    divide: lambda x, y: x / y,
    power: lambda x, y: x**y,
    negative: lambda x: -x,
    square: lambda x: x**2,
}


class _Length(NamedTuple):
    """How long a formula is to read: its atoms, which count first, and its operators and numbers."""

    atoms: int
    rest: int


def _length(expr: sympy.Expr) -> _Length:
    import sympy  # noqa: PLC0415

    atoms = rest = 0
    for part in sympy.preorder_traversal(expr):
        if part.is_Symbol:
            atoms += 1
        elif part.is_Add or part.is_Mul:
            minus = part.is_Mul and part.args[0] == -1
            rest += len(part.args) - 1 - 2 * minus  # the number -1 is a sign, and one that a sum has anyway
        else:
            rest += -1 if part.is_Pow and part.exp == -1 else 1  # the sign of a division is the product's
    return _Length(atoms, rest)


def _terms(expr: sympy.Expr) -> float:
    """Give how many terms numerator and denominator can have when they are multiplied out."""
    import sympy  # noqa: PLC0415

    count: dict[Any, tuple[float, float]] = {}
    for part in sympy.postorder_traversal(expr):
        above = below = 1.0
        if part.is_Add:
            above = 0.0
            for n, d in (count[arg] for arg in part.args):
                above, below = above * d + n * below, below * d
        elif part.is_Mul:
            for n, d in (count[arg] for arg in part.args):
                above, below = above * n, below * d
        elif part.is_Pow and part.exp.is_Integer:
            n, d = count[part.base]
            times = min(abs(int(part.exp)), 64)
            above, below = (
                math.comb(int(min(n, 1e6)) + times - 1, times),
                math.comb(int(min(d, 1e6)) + times - 1, times),
            )
            above, below = (above, below) if part.exp > 0 else (below, above)
        count[part] = (above, below)
    return sum(count[expr])


class _OutOfTimeError(BaseException):
    """A time limit is over; not an Exception, lest SymPy catches it."""


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Stop what is done inside when it calls a function after so many seconds: SymPy has no limits of its own.

    Raises:
        _OutOfTimeError: the time is over.
    """
    until = time.monotonic() + seconds

    def watch(_frame: FrameType, _event: str, _arg: object) -> None:
        if time.monotonic() > until:
            raise _OutOfTimeError

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        yield
    finally:
        sys.settrace(before)


@lru_cache(maxsize=4096)
def _shortest(written: sympy.Expr, circles: _Circles, effort: Effort) -> sympy.Expr:
    """Give the shortest of the forms that SymPy finds in time."""
    forms = [written]
    watched = effort.functions or _terms(written) * len(written.free_symbols) > _QUICK
    with suppress(_OutOfTimeError), _time_limit(effort.seconds_each) if watched else nullcontext():
        for form in _forms(written, circles, effort):
            forms.append(form)  # noqa: PERF402  (those that were found in time are kept)
    return min(forms, key=_length)


def _forms(written: sympy.Expr, circles: _Circles, effort: Effort) -> Iterator[sympy.Expr]:
    import sympy  # noqa: PLC0415

    cancelled = sympy.cancel(written)
    yield sympy.factor(cancelled)
    yield cancelled
    for sine, cosine in circles:
        above, below = sympy.fraction(sympy.together(cancelled))
        for one in (cosine, sine):
            yield sympy.factor(sympy.rem(above, sine**2 + cosine**2 - 1, one) / below)
    if effort.functions:
        yield sympy.together(written)
        yield sympy.powsimp(written)
        yield sympy.logcombine(cancelled, force=True)
        yield sympy.logcombine(sympy.expand(written), force=True)
        yield sympy.trigsimp(cancelled)


class _UnwritableError(Exception):
    """SymPy found a form with a function that there is no op for."""


def _from_sympy(expr: sympy.Expr, atoms: Mapping[sympy.Symbol, Expr], root: Expr) -> Expr:
    """Build what SymPy found: positive terms first, scalars left, one division."""
    if expr.is_Symbol:
        return atoms[expr]
    if expr.is_Number:
        return literal(float(expr), root.dtype, graph=root.graph)
    if expr.is_Add:
        positive: list[sympy.Expr] = []
        opposite: list[sympy.Expr] = []
        for term in _in_order(expr.args):
            (opposite if term.as_coeff_Mul()[0] < 0 else positive).append(term)
        terms = [_from_sympy(term, atoms, root) for term in positive]
        total = terms[0] if terms else -_from_sympy(-opposite.pop(0), atoms, root)
        for term in terms[1:]:
            total = total + term
        for term in opposite:
            total = total - _from_sympy(-term, atoms, root)
        return total
    if expr.is_Mul:
        return _product(expr, atoms, root)
    function = _FUNCTIONS.get(expr.func.__name__)
    if function is not None:
        return function(_from_sympy(expr.args[0], atoms, root))
    if not expr.is_Pow:
        raise _UnwritableError
    return _power(expr, atoms, root)


def _power(expr: sympy.Expr, atoms: Mapping[sympy.Symbol, Expr], root: Expr) -> Expr:
    base, exponent = expr.as_base_exp()
    inner = _from_sympy(base, atoms, root)
    if exponent.is_negative:
        return literal(1.0, root.dtype, graph=root.graph) / _from_sympy(base**-exponent, atoms, root)
    if inner.op is sqrt and exponent.is_Integer:  # √x stood for x too
        (x,) = inner.inputs
        whole = x if exponent // 2 == 1 else power(x, float(exponent // 2))
        return whole if exponent % 2 == 0 else inner if exponent == 1 else whole * inner
    if exponent == 2:
        return square(inner)
    if 2 * exponent == 1:
        return sqrt(inner)
    return power(inner, float(exponent) if exponent.is_Number else _from_sympy(exponent, atoms, root))


def _product(expr: sympy.Expr, atoms: Mapping[sympy.Symbol, Expr], root: Expr) -> Expr:
    """Build a product: its sign outside, ``1 - p`` rather than ``p - 1``, numbers and scalars before arrays."""
    above, below = expr.as_numer_denom()
    if below != 1:
        if below.is_Add and below.as_coeff_Add()[0] < 0 and above.as_coeff_Mul()[0] < 0:
            above, below = -above, -below
        return _from_sympy(above, atoms, root) / _from_sympy(below, atoms, root)
    flipped = [factor for factor in expr.args if factor.is_Add and factor.as_coeff_Add()[0] < 0]
    negative_product = (len(flipped) + bool(expr.as_coeff_Mul()[0] < 0)) % 2
    parts = [-factor if factor in flipped else abs(factor) if factor.is_Number else factor for factor in expr.args]
    built = [_from_sympy(part, atoms, root) for part in _in_order(parts) if part != 1]
    first, *rest = sorted(built, key=lambda factor: len(factor.shape) > 0)
    for factor in rest:
        first = first * factor
    if negative_product and first.dtype.kind == "b":  # a mask has no negative
        return literal(-1.0, root.dtype, graph=root.graph) * first
    return -first if negative_product else first


def _in_order(parts: Sequence[sympy.Expr]) -> Iterator[sympy.Expr]:
    def first(part: sympy.Expr) -> tuple[int, str, int, str]:
        names = sorted(symbol.name for symbol in part.free_symbols)
        return len(part.args) > 0 and part.is_Add, names[0] if names else "", len(str(part)), str(part)

    return iter(sorted(parts, key=first))


def _shorter(root: Expr, effort: Effort) -> Expr | None:
    """Give a shorter form of an arithmetic node, of its shape and dtype, or None."""
    if not _is_inside(root.graph.nodes, root.number, effort):
        return None
    node = root.node
    with attributed(node.origin):
        found = _Cluster(root, effort).shorter()
        return None if found is None else astype(broadcast_to(found, node.shape), node.dtype)


def rebuild_shorter(outputs: Sequence[Expr], target: Rewritten, effort: Effort = NORMAL) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, with clusters in their shorter form."""
    if not outputs:
        return []
    graph = outputs[0].graph
    order = graph.reachable([expr.number for expr in outputs])
    roots = _roots(graph, order, [expr.number for expr in outputs], effort)
    placed: dict[int, int] = {}
    until = time.monotonic() + effort.seconds
    for number in order:
        node = graph.nodes[number]
        copy = node.copied(tuple(placed[operand] for operand in node.inputs))
        placed[number] = target.copy_in(copy, number, settled=False)
        if number in roots and time.monotonic() < until:
            shorter = _shorter(Expr(target, placed[number]), effort)
            if shorter is not None:
                placed[number] = shorter.number
    return [Expr(target, placed[expr.number]) for expr in outputs]


def _roots(graph: Graph, order: Sequence[int], outputs: Sequence[int], effort: Effort) -> set[int]:
    """Give the largest clusters within the budget: what is larger is taken apart."""
    nodes = graph.nodes
    size: dict[int, int] = {}
    inside: set[int] = set()
    for number in order:
        if _is_inside(nodes, number, effort):
            total = 1 + sum(size.get(operand, 0) for operand in nodes[number].inputs)
            size[number] = min(total, effort.nodes + 1)
            if total <= effort.nodes:
                inside.update(nodes[number].inputs)
    fitting = {number for number, total in size.items() if total <= effort.nodes}
    return (fitting - inside) | fitting.intersection(outputs)

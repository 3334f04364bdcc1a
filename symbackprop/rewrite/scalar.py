"""Scalar algebra beyond single equations: clusters of elementwise arithmetic are cancelled and factored by SymPy.

A cluster is what lies between one arithmetic node and the nearest nodes that are not arithmetic, its atoms. It is one
rational function of the atoms; SymPy cancels and factors it, within a budget, and the shorter form is kept.
SymPy is imported when the first cluster that may become shorter is met.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from symbackprop.expr import Expr
from symbackprop.graph import Graph, Origin, attributed
from symbackprop.op import literal, scalar_value
from symbackprop.ops import add, astype, broadcast_to, divide, exp, multiply, negative, power, sigmoid, square, subtract
from symbackprop.ops.leaf import SYMBOL
from symbackprop.ops.reduce import SOFTMAX, SUM
from symbackprop.rewrite.engine import is_extreme

if TYPE_CHECKING:
    from fractions import Fraction

    import sympy

_ARITHMETIC = {add, subtract, multiply, divide, negative, square}
_MOST_NODES = 40  # of a cluster, counted with repetition: cancelling takes milliseconds, factoring up to 0.4 s
_LARGEST_DENOMINATOR = 1024  # of a number that SymPy is to see as a fraction; others are atoms


class _Cluster:
    """An arithmetic node with all arithmetic below it, as one SymPy expression.

    Attributes:
        size: how many operations it has.
        atoms: what it is made of, in order of appearance.
        length: how many atoms are written, repetitions counted.
        promising: whether an atom appears twice, without which nothing cancels, and the size is within the budget.
    """

    def __init__(self, root: Expr) -> None:
        self.size = 0
        self.atoms: dict[int, Expr] = {}
        seen: Counter[int] = Counter()
        stack = [root.number]
        graph = root.graph
        while stack and self.size <= _MOST_NODES:
            number = stack.pop()
            if _is_arithmetic(graph, number):
                self.size += 1
                stack += reversed(graph.nodes[number].inputs)
            elif _fraction(Expr(graph, number)) is None:
                self.atoms.setdefault(number, Expr(graph, number))
                seen[number] += 1
        ops = Counter(atom.op for atom in self.atoms.values())
        related = ops[sigmoid] > 1 or bool(ops[exp] and (ops[sigmoid] or ops[SOFTMAX]))
        self.length = seen.total()
        self.promising = self.size <= _MOST_NODES and (related or self.length > len(seen))
        self.root = root

    def shorter(self) -> Expr | None:
        """Give a shorter form, or None."""
        import sympy  # noqa: PLC0415  (0.3 s, only for those who want formulas)

        names = {number: sympy.Symbol(f"a{at:03}") for at, number in enumerate(self.atoms)}
        values = {number: self._related(number, names) for number in self.atoms}
        written = _to_sympy(self.root, values)
        cancelled = sympy.cancel(written)
        best = min((sympy.factor(cancelled), cancelled), key=_length)
        if _length(best) >= self.length or best.has(sympy.zoo, sympy.nan):  # divided by zero, as by x - x
            return None
        found = _from_sympy(best, {names[number]: atom for number, atom in self.atoms.items()}, self.root)
        return found if best.is_Rational or _is_sound(found, self.atoms) else None

    def _related(self, number: int, names: Mapping[int, sympy.Symbol]) -> sympy.Expr:
        """Write σ(-z), exp(z) and exp(-z) by σ(z), or exp(z) by softmax(z) and its divisor, where these are atoms."""
        atom = self.atoms[number]
        if atom.op not in {exp, sigmoid}:
            return names[number]
        (z,) = atom.inputs
        for other, candidate in self.atoms.items():
            p = names[other]
            if atom.op is exp and candidate.op is SOFTMAX and candidate.inputs[0] is z:
                divisors = [names[at] for at, total in self.atoms.items() if _is_divisor(total, atom, candidate)]
                if divisors:
                    return p * divisors[0]
            if candidate.op is sigmoid:
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


def _is_arithmetic(graph: Graph, number: int) -> bool:
    node = graph.nodes[number]
    return node.op in _ARITHMETIC and node.dtype.kind == "f"


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


def _to_sympy(root: Expr, atoms: Mapping[int, sympy.Expr]) -> sympy.Expr:
    import sympy  # noqa: PLC0415

    written: dict[int, Any] = {}
    graph = root.graph
    for number in graph.reachable([root.number]) if root.number not in atoms else [root.number]:
        expr = Expr(graph, number)
        fraction = _fraction(expr)
        if number in atoms:
            written[number] = atoms[number]
        elif fraction is not None:
            written[number] = sympy.Rational(fraction.numerator, fraction.denominator)
        elif _is_arithmetic(graph, number) and all(operand in written for operand in graph.nodes[number].inputs):
            written[number] = _combined(expr, [written[operand] for operand in graph.nodes[number].inputs])
    return written[root.number]


def _combined(expr: Expr, operands: Sequence[Any]) -> Any:
    if expr.op is negative:
        return -operands[0]
    if expr.op is square:
        return operands[0] ** 2
    left, right = operands
    if expr.op is add:
        return left + right
    if expr.op is subtract:
        return left - right
    return left * right if expr.op is multiply else left / right


def _length(expr: sympy.Expr) -> int:
    """Count the atoms that are written: what makes a formula long to read, and what cancelling is for."""
    import sympy  # noqa: PLC0415

    return sum(part.is_Symbol for part in sympy.preorder_traversal(expr))


def _from_sympy(expr: sympy.Expr, atoms: Mapping[sympy.Symbol, Expr], root: Expr) -> Expr:
    """Build what SymPy found: positive terms first, scalars left, one division."""
    if expr.is_Symbol:
        return atoms[expr]
    if expr.is_Rational:
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
    above, below = expr.as_numer_denom()
    if below != 1:
        return _from_sympy(above, atoms, root) / _from_sympy(below, atoms, root)
    base, exponent = expr.as_base_exp()
    inner = _from_sympy(base, atoms, root)
    return square(inner) if exponent == 2 else power(inner, float(exponent))


def _product(expr: sympy.Expr, atoms: Mapping[sympy.Symbol, Expr], root: Expr) -> Expr:
    """Build a product: its sign outside, ``1 - p`` rather than ``p - 1``, numbers and scalars before arrays."""
    above, below = expr.as_numer_denom()
    if below != 1:
        return _from_sympy(above, atoms, root) / _from_sympy(below, atoms, root)
    flipped = [factor for factor in expr.args if factor.is_Add and factor.as_coeff_Add()[0] < 0]
    negative_product = (len(flipped) + bool(expr.as_coeff_Mul()[0] < 0)) % 2
    parts = [-factor if factor in flipped else abs(factor) if factor.is_Number else factor for factor in expr.args]
    built = [_from_sympy(part, atoms, root) for part in _in_order(parts) if part != 1]
    first, *rest = sorted(built, key=lambda factor: len(factor.shape) > 0)
    for factor in rest:
        first = first * factor
    return -first if negative_product else first


def _in_order(parts: Sequence[sympy.Expr]) -> Iterator[sympy.Expr]:
    def first(part: sympy.Expr) -> tuple[int, str, str]:
        names = sorted(symbol.name for symbol in part.free_symbols)
        return len(part.args) > 0 and part.is_Add, names[0] if names else "", str(part)

    return iter(sorted(parts, key=first))


def rebuild_shorter(outputs: Sequence[Expr], target: Graph) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, with clusters in their shorter form."""
    if not outputs:
        return []
    graph = outputs[0].graph
    order = graph.reachable([expr.number for expr in outputs])
    inside = {
        operand
        for number in order
        if _is_arithmetic(graph, number)
        for operand in graph.nodes[number].inputs
        if _is_arithmetic(graph, operand)
    }
    roots = {number for number in order if _is_arithmetic(graph, number)} - inside
    roots |= {expr.number for expr in outputs} & {number for number in order if _is_arithmetic(graph, number)}
    placed: dict[int, int] = {}
    for number in order:
        node = graph.nodes[number]
        copy = node.copied(tuple(placed[operand] for operand in node.inputs))
        placed[number] = target.symbol_number(copy) if node.op is SYMBOL else target.add(copy)
        if number in roots and _is_arithmetic(target, placed[number]):
            cluster = _Cluster(Expr(target, placed[number]))
            if cluster.promising:
                with attributed(Origin(node.where, node.backward)):
                    shorter = cluster.shorter()
                    if shorter is not None:
                        found = astype(broadcast_to(shorter, node.shape), node.dtype)
                        placed[number] = found.number
    return [Expr(target, placed[expr.number]) for expr in outputs]

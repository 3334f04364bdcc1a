"""Are two expressions equal? `same` answers with a proof, with evidence, or with a counterexample.

Formulas are real functions here. They count as the same where they agree at every point at which both are defined, but
for single points next to which they agree: a derivative may be chosen freely at a kink.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import cycle, islice, product
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from symbackprop import dims
from symbackprop.errors import ArgumentError, SymbackpropError
from symbackprop.expr import Expr, Operand, common_graph
from symbackprop.graph import Graph
from symbackprop.language import parse
from symbackprop.op import CONSTANT, Array, scalar_value
from symbackprop.ops.layout import BROADCAST_TO, broadcast_to
from symbackprop.ops.leaf import SYMBOL, as_expr, check_names
from symbackprop.precise import as_meant, context, evaluate, meaning, solved
from symbackprop.rewrite.engine import rebuild
from symbackprop.rewrite.pipeline import FORMULA, run

Point: TypeAlias = dict[Expr, Array]  # arrays of fractions, ints or bools for symbols
Sizes: TypeAlias = dict[str, int]

_AGREEMENT = 15  # digits of the arithmetic that rounding may cost before two values count as different
_ROUNDED = 12  # digits that agree where a formula has numbers that are known as floats alone
_ATTEMPTS = 6  # points tried for each one wanted: most formulas are defined at some of them at least
_FEW = 3  # fewer points at which both are defined are no evidence


class UndecidedError(SymbackpropError, ValueError):
    """Neither a proof nor enough points at which both expressions are defined were found."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """What `same` found; true exactly where the expressions are the same, and ``print`` says it in a sentence.

    Attributes:
        how: by "rewriting" (both simplify to one formula: a proof), by "points" (they agree wherever both are
            defined), by a "counterexample", or because they differ in "shape" or "dtype".
        points: at how many points both are defined and agree.
        digits: to how many digits they agree there.
        at: the counterexample: sizes and symbols by name, with their values.
        values: the two values there.
        index: of the first elements that differ.
        formula: what both simplify to.
        notes: what else is worth knowing.
    """

    how: Literal["rewriting", "points", "counterexample", "shape", "dtype"]
    points: int = 0
    digits: int = 0
    at: Mapping[str, Any] = field(default_factory=dict)
    values: tuple[Any, Any] = (None, None)
    index: tuple[int, ...] = ()
    formula: str = ""
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """The answer."""
        return self.how in {"rewriting", "points"}

    def __bool__(self) -> bool:
        """Tell whether the expressions are the same."""
        return self.same

    def __str__(self) -> str:
        """Give the answer in a few sentences."""
        return " ".join([self._answer(), *self.notes])

    __repr__ = __str__

    def _answer(self) -> str:
        agree = f"they agree at {self.points} points to {self.digits} digits"
        if self.how == "rewriting":
            return f"The same: both simplify to {self.formula}" + (f", and {agree}." if self.points else ".")
        if self.how == "points":
            return f"The same, as far as tried: {agree}. That is evidence and no proof."
        if self.how != "counterexample":
            return "Not the same."
        first, second = _told_apart(*(value[self.index] for value in self.values))
        of = f"element {list(self.index)} of " if self.index else ""
        return f"Not the same: {_placed(self.at)}{of}the first is {first} and {of and 'of '}the second {second}."


def same(a: Operand | str, b: Operand | str, *, points: int = 20, digits: int = 50) -> Comparison:
    """Tell whether two expressions are equal, such as a derivative and what somebody wrote down for it.

    They are evaluated at simple points and at random ones, in an arithmetic of many digits and with several sizes for
    each named size; then rewriting is to prove what the points suggest. Both must be defined for a point to count, and
    where they differ at a single point alone, such as a kink, the answer is yes with a note.

    A number in a formula means what it stands for: 0.1 is 1/10, 0.3333333333333333 is 1/3.

    Args:
        a: an expression.
        b: another; or a number or a text as formulas are printed, where a scalar may stand for an array of it.
        points: how many points are wanted at which both are defined.
        digits: of the arithmetic.

    Returns:
        What was found: true or false, with the proof, the number of points, or the counterexample.

    Raises:
        UndecidedError: there is no proof, and no points were found at which both are defined.
        GraphError: the expressions live in different graphs, or one name stands for two symbols in them.
        ParseError: a text is no expression in the symbols of the other.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> print(sb.same(sb.grad(sb.sin(x) ** 2, x), sb.sin(2 * x)))
    The same, as far as tried: they agree at 20 points to 35 digits. That is evidence and no proof.
    >>> print(sb.same(sb.grad(sb.sin(x) ** 2, x), 2 * sb.sin(x)))
    Not the same: at x = 1 the first is 0.909297 and the second 1.68294.
    >>> print(sb.same(1 / (1 + sb.exp(-x)), sb.sigmoid(x)))
    The same: both simplify to σ(x), and they agree at 20 points to 35 digits.
    """
    left, right = _pair(a, b)
    symbols = _symbols(left, right)
    check_names(symbols, "same")
    if left.shape != right.shape:
        flipped = left.ndim > 1 and left.shape == right.shape[::-1]
        hint = " One looks like the transpose of the other." if flipped else ""
        note = f"The first has shape {_shape(left)}, the second {_shape(right)}.{hint}"
        return Comparison("shape", notes=(note,))
    if left.dtype != right.dtype:
        note = f"The first is of {left.dtype}, the second of {right.dtype}; one of them can be converted with astype."
        return Comparison("dtype", notes=(note,))
    return _Trial(left, right, symbols, digits).decide(points)


def _pair(a: Operand | str, b: Operand | str) -> tuple[Expr, Expr]:
    """Give both as expressions; a number or a text takes graph, symbols, shape and dtype from the other."""
    given = next((each for each in (a, b) if isinstance(each, Expr)), None)
    if given is None:
        msg = "same: one of the two at least must be an expression, which tells what the names in a text stand for"
        raise ArgumentError(msg)
    left, right = (each if isinstance(each, Expr) else _fitted(each, given) for each in (a, b))
    common_graph([left, right], "same")
    return left, right


def _fitted(value: Operand | str, like: Expr) -> Expr:
    expr = parse(value, _names(like)) if isinstance(value, str) else as_expr(value, graph=like.graph)
    if not expr.shape:
        expr = broadcast_to(expr, like.shape)
    return expr.astype(like.dtype) if like.dtype.kind == "f" and expr.dtype.kind in "bui" else expr


def _names(expr: Expr) -> dict[str, Expr]:
    """Give the symbols of a graph by name, those that the expression is made of before others."""
    graph = expr.graph
    with graph.lock:
        others = [number for number, node in graph.nodes.items() if node.op is SYMBOL]
    return {each.params["name"]: each for each in [*(Expr(graph, number) for number in others), *_symbols(expr)]}


def _symbols(*exprs: Expr) -> list[Expr]:
    graph = exprs[0].graph
    numbers = graph.reachable([expr.number for expr in exprs])
    return [Expr(graph, number) for number in numbers if graph.nodes[number].op is SYMBOL]


# --- points ---------------------------------------------------------------------------------------------------

_SIZES = ((2, 1, 3, 2), (3, 2, 4, 5), (4, 3, 2, 3))  # for the named sizes in turn
_MORE = 9  # how much larger sizes may have to be, for slices to fit

_SIMPLE: tuple[tuple[Fraction, ...], ...] = (
    (Fraction(1), Fraction(2), Fraction(3)),
    (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)),
    (Fraction(-2), Fraction(-1), Fraction(1), Fraction(2)),
    (Fraction(-3, 2), Fraction(-1, 2), Fraction(1, 2), Fraction(3, 2)),
    (Fraction(0), Fraction(1)),
)
_RANGES = ((-2.0, 2.0), (0.0, 1.0), (0.1, 10.0), (-1e-3, 1e-3), (-100.0, 100.0))
Draw: TypeAlias = Callable[[np.random.Generator, tuple[int, ...]], Array]


def _fractions(array: Any) -> Array:
    return np.asarray(np.frompyfunc(Fraction, 1, 1)(array), dtype=object)


def _simple(pool: tuple[Fraction, ...]) -> Draw:
    choices = np.array(pool, dtype=object)
    return lambda rng, shape: np.asarray(choices[rng.integers(len(choices), size=shape)], dtype=object)


def _counting() -> Draw:
    """Give 1, 2, 3, 1, 2, 1, 2, 3, … from one array to the next: small, and no square matrix of them is singular."""
    numbers = cycle((1, 2, 3, 1, 2))
    return lambda _rng, shape: _fractions([next(numbers) for _ in range(math.prod(shape))]).reshape(shape)


def _between(low: float, high: float) -> Draw:
    return lambda rng, shape: _fractions(rng.uniform(low, high, shape))


_DRAWS = (*map(_simple, _SIMPLE), *(_between(*ends) for ends in _RANGES))


def _raw(symbol: Expr, draw: Draw, rng: np.random.Generator, sizes: Sizes) -> Array:
    shape = dims.bind(symbol.shape, sizes)
    if symbol.dtype.kind == "f":
        return draw(rng, shape)
    low = 0 if symbol.dtype.kind in "bu" or draw not in _DRAWS[2:] else -3
    return rng.integers(low, 2 if symbol.dtype.kind == "b" else 4, shape).astype(symbol.dtype)


def _with_facts(symbol: Expr, array: Array) -> Array:
    """Make an array what is declared of its symbol, in exact arithmetic."""
    facts = symbol.node.facts
    if facts.keys() & {"positive", "nonnegative", "rows_sum_to"}:
        array = np.abs(array)
    if "positive" in facts:
        array = array + (array == 0)
    if facts.keys() & {"symmetric", "positive_definite"}:
        array = array + np.swapaxes(array, -1, -2)
    if facts.keys() & {"positive_definite", "orthogonal"}:
        matrices = array.reshape(-1, *array.shape[-2:])
        make = _orthogonal if "orthogonal" in facts else _positive_definite
        array = np.array([make(matrix, facts) for matrix in matrices], object).reshape(array.shape)
    if "rows_sum_to" in facts:
        array = array + (array.sum(axis=-1, keepdims=True) == 0)
        array = array / array.sum(axis=-1, keepdims=True) * Fraction(facts["rows_sum_to"])
    return array


def _positive_definite(a: Array, _facts: Collection[str]) -> Array:
    """Let the diagonal of a symmetric matrix outweigh its rows (Gershgorin)."""
    return a + np.diag(np.abs(a).sum(axis=1) + 1)


def _orthogonal(a: Array, facts: Collection[str]) -> Array:
    """Give Cayley's rotation (I − K)(I + K)⁻¹ with K = A − Aᵀ, or a reflection, which is symmetric (Householder)."""
    one = _fractions(np.eye(len(a), dtype=int))
    if "positive_definite" in facts:
        return one
    if "symmetric" in facts:
        v = a[0] + one[0] * (not any(a[0]))
        return one - 2 * np.outer(v, v) / (v @ v)  # type: ignore[no-any-return]
    rotation = solved(one + (a - a.T), one - (a - a.T))
    rotation[0] = rotation[0] * (-1 if a[0, 0] < 0 else 1)
    return rotation


class _Found(NamedTuple):
    """Both values at a point, and in which elements both are defined, one is, and both are and differ."""

    left: Array
    right: Array
    both: list[tuple[int, ...]]
    one: list[tuple[int, ...]]
    apart: list[tuple[int, ...]]
    rounded: bool = False


class _Trial:
    """Two expressions, compared at points."""

    def __init__(self, left: Expr, right: Expr, symbols: Sequence[Expr], digits: int) -> None:
        self.exprs = [left, right]
        self.symbols = symbols
        self.digits = digits
        self.rng = np.random.default_rng(0)
        self.nodes = [left.graph.nodes[n] for n in left.graph.reachable([left.number, right.number])]
        self.rounded = any(
            node.op is CONSTANT
            and node.dtype.kind == "f"
            and (node.shape or meaning(node.params["value"].array[()]) is None)
            for node in self.nodes
        )
        self.problem: Exception | None = None

    def decide(self, points: int) -> Comparison:
        """Try points, then a proof."""
        found = 0
        notes: dict[str, str] = {}
        rounded = False
        attempts = self.attempts(points * _ATTEMPTS)
        for sizes, raw in attempts:
            if found >= points:
                break
            point = self.point(raw)
            tried = self.tried(point, sizes)
            if tried is None:
                continue
            if tried.one:
                notes.setdefault("one", _one_sided(tried, self.named(point, sizes)))
            if not tried.apart:
                found += bool(tried.both)
                rounded |= tried.rounded
            elif self.persists(raw, sizes):
                return self.counterexample(tried, point, sizes, attempts)
            else:
                place, at = _placed(self.named(point, sizes)), tried.apart[0]
                first, second = _told_apart(tried.left[at], tried.right[at])
                what = f"They differ {place}({first} and {second}), but not next to it, as at a kink."
                notes.setdefault("kink", what)
        digits = _ROUNDED if rounded else self.digits - _AGREEMENT
        formula = _proof(*self.exprs)
        if formula is not None:
            return Comparison("rewriting", found, digits, formula=formula, notes=tuple(notes.values()))
        if found < min(_FEW, points if self.symbols else 1):
            self.undecided(found)
        return Comparison("points", found, digits, notes=tuple(notes.values()))

    def undecided(self, found: int) -> None:
        msg = (
            f"same: undecided: rewriting finds no proof, and only at {found} of the points tried are both defined; "
            "declare what is known of the symbols with sb.assume, such as positive=True"
        )
        error = UndecidedError(msg)
        if self.problem is not None:
            error.add_note(f"  one problem was: {self.problem}")
        raise error

    # --- where ------------------------------------------------------------------------------------------------

    def attempts(self, most: int) -> Iterator[tuple[Sizes, Point]]:
        """Give sizes and arrays to try: simple numbers first, then random ones, each symbol on a scale of its own."""
        choices = list(self.sizes())
        if not choices:
            return
        if not self.symbols:
            yield from ((sizes, {}) for sizes in choices)
            return
        counting = _counting()
        for draw in (counting, counting, *_DRAWS):
            for sizes in choices:
                yield sizes, {symbol: _raw(symbol, draw, self.rng, sizes) for symbol in self.symbols}
        for sizes in islice(cycle(choices), most):
            draws = [_DRAWS[self.rng.integers(len(_SIMPLE), len(_DRAWS))] for _ in self.symbols]
            yield sizes, {s: _raw(s, draw, self.rng, sizes) for s, draw in zip(self.symbols, draws, strict=True)}

    def sizes(self) -> Iterator[Sizes]:
        """Give several choices of the named sizes, at which all slices fit."""
        params = [tuple(node.params.values()) for node in self.nodes]
        names = sorted(
            set().union(*(_dims_in((node.shape, *each)) for node, each in zip(self.nodes, params, strict=True)))
        )
        order = list(
            dict.fromkeys([*(n for s in self.symbols for d in s.shape for n in sorted(dims.names_of((d,)))), *names])
        )
        for pattern in _SIZES if order else ((),):
            for more in range(_MORE):
                sizes = dict(zip(order, (size + more for size in cycle(pattern)), strict=False))
                if self.fits(sizes):
                    yield sizes
                    break

    def fits(self, sizes: Sizes) -> bool:
        if any(size < 1 for node in self.nodes for size in dims.bind(node.shape, sizes)):
            return not sizes  # arrays without elements may be wanted; named sizes can grow
        ones = {symbol: _raw(symbol, _DRAWS[0], np.random.default_rng(0), sizes) for symbol in self.symbols}
        return self.valued(ones, sizes, 15) is not None

    def point(self, raw: Point) -> Point:
        return {symbol: _with_facts(symbol, array) for symbol, array in raw.items()}

    def named(self, point: Point, sizes: Sizes) -> dict[str, Any]:
        return {**sizes, **{symbol.params["name"]: array for symbol, array in point.items()}}

    # --- what -------------------------------------------------------------------------------------------------

    def valued(self, point: Point, sizes: Sizes, digits: int) -> list[Array] | None:
        try:
            return evaluate(self.exprs, point, digits, sizes=sizes, reading=as_meant)
        except (ValueError, IndexError) as error:  # sizes at which the shapes do not fit, an index that is too large
            self.problem = error
            return None

    def tried(self, point: Point, sizes: Sizes) -> _Found | None:
        """Compare at a point; what cancellation may have caused is computed again with twice the digits."""
        values = self.valued(point, sizes, self.digits)
        if values is None:
            return None
        left, right = values
        if self.exprs[0].dtype.kind != "f":
            everywhere = list(np.ndindex(*left.shape))
            return _Found(left, right, everywhere, [], [at for at in everywhere if left[at] != right[at]])
        ctx = context(self.digits)
        both: list[tuple[int, ...]] = []
        one: list[tuple[int, ...]] = []
        for at in np.ndindex(*left.shape):
            defined = [ctx.isfinite(each[at]) for each in (left, right)]
            lost = not (left[at] and right[at]) and 0 < abs(left[at] - right[at]) < ctx.eps  # 1 + ε - 1 is 0: who knows
            if any(defined) and not lost:
                (both if all(defined) else one).append(at)
        near = ctx.mpf(10) ** (_AGREEMENT - self.digits)
        apart = [at for at in both if abs(left[at] - right[at]) > near * max(abs(left[at]), abs(right[at]))]
        rounded = False
        if apart:
            again = self.valued(point, sizes, 2 * self.digits)
            assert again is not None  # noqa: S101  (it had values a moment ago)
            apart = [at for at in apart if abs(again[0][at] - again[1][at]) > near * abs(left[at] - right[at])]
        if apart and self.rounded:
            floor = ctx.mpf(10) ** -_ROUNDED
            kept = [at for at in apart if abs(left[at] - right[at]) > floor * max(abs(left[at]), abs(right[at]))]
            rounded, apart = not kept, kept
        return _Found(left, right, both, one, apart, rounded)

    def persists(self, raw: Point, sizes: Sizes) -> bool:
        """Tell whether the values differ next to a point too, as two functions do that are not one."""
        if not any(symbol.dtype.kind == "f" for symbol in raw):
            return True
        moved = {
            symbol: array + _fractions(self.rng.uniform(-1, 1, array.shape)) / 2**20
            if symbol.dtype.kind == "f"
            else array
            for symbol, array in raw.items()
        }
        tried = self.tried(self.point(moved), sizes)
        return tried is not None and bool(tried.apart)

    def counterexample(
        self, tried: _Found, point: Point, sizes: Sizes, attempts: Iterator[tuple[Sizes, Point]]
    ) -> Comparison:
        further = ((sizes, self.tried(self.point(raw), sizes)) for sizes, raw in attempts)
        ratio = _ratio([(sizes, tried), *islice(((sizes, found) for sizes, found in further if found), 8)])
        return Comparison(
            "counterexample",
            at=self.named(point, sizes),
            values=(tried.left, tried.right),
            index=tried.apart[0],
            notes=(ratio,) if ratio else (),
        )


def _dims_in(param: Any) -> frozenset[str]:
    if isinstance(param, tuple):
        return frozenset().union(*map(_dims_in, param))
    return dims.names_of((param,))


def _ratio(found: Sequence[tuple[Sizes, _Found]]) -> str:
    """Say by which factor the second is off, if it is the same everywhere: a number, or one with a named size."""
    factors: list[tuple[Sizes, Fraction]] = []
    for sizes, tried in found:
        for at in tried.both:
            one, other = tried.left[at], tried.right[at]
            if not one and not other:
                continue
            factor = Fraction(str(other / one)).limit_denominator(_LARGEST) if one else Fraction(0)
            if not factor or abs(other - one * factor.numerator / factor.denominator) > abs(other) * 1e-30:
                return ""
            factors.append((sizes, factor))
    names = ("", *found[0][0])
    for above, below in sorted(product(names, names), key=lambda pair: (len(set(pair)), bool(pair[1]))):
        rest = {factor * sizes.get(below, 1) / sizes.get(above, 1) for sizes, factor in factors}
        if len(rest) == 1:
            return f"The second is {_factor(rest.pop(), above, below)} the first."
    return ""


def _factor(number: Fraction, above: str, below: str) -> str:
    """Write number·above/below as words: "2/N times", "the negative of"."""
    if number == -1 and above == below:
        return "the negative of"
    top, bottom = (
        "·".join(part for part in (str(abs(part)), name) if part not in {"", "1"})
        for part, name in [(number.numerator, above), (number.denominator, below)]
    )
    over = f"/({bottom})" if "·" in bottom else f"/{bottom}" if bottom else ""
    return f"{'-' * (number < 0)}{top or 1}{over} times"


def _proof(left: Expr, right: Expr) -> str | None:
    """Give the formula that both simplify to, if they do."""
    with Graph(scratch=True) as scratch:
        both = run(rebuild([left, right], scratch), FORMULA, finite=True)
        if both[0] is not both[1] and left.dtype.kind == "f":
            both = run([both[0], both[0] - both[1]], FORMULA, finite=True)
            return str(both[0]) if _is_zero(both[1]) else None
        return str(both[0]) if both[0] is both[1] else None


def _is_zero(expr: Expr) -> bool:
    whole = expr.inputs[0] if expr.op is BROADCAST_TO else expr
    return scalar_value(whole) == 0


# --- words ----------------------------------------------------------------------------------------------------

_LARGEST = 1000  # denominator of a fraction that is shown as one
_LINE = 72  # a longer list of values gets a line for each


def _shape(expr: Expr) -> str:
    return dims.show(expr.shape) or "() of a scalar"


def _shown(number: Any) -> str:
    """Write a number with six digits, a fraction that has more as a fraction."""
    if isinstance(number, Fraction):
        if number.denominator <= _LARGEST and Fraction(f"{float(number):.6g}") != number:
            return str(number)
        number = float(number)
    return f"{float(number):.6g}" if not isinstance(number, bool | np.bool_) else str(bool(number))


def _listed(value: Any) -> str:
    array = np.asarray(value)
    if array.ndim:
        return f"[{', '.join(map(_listed, array))}]"
    return _shown(array.item())


def _told_apart(first: Any, second: Any) -> tuple[str, str]:
    """Write two numbers with as many digits as it takes to see a difference."""
    if isinstance(first, np.generic):
        return _shown(first), _shown(second)
    pairs = ((first.context.nstr(first, n), second.context.nstr(second, n)) for n in (6, 12, 25, 50))
    return next(((_plain(one), _plain(other)) for one, other in pairs if one != other), (str(first), str(second)))


def _plain(text: str) -> str:
    return text.removesuffix(".0")


def _placed(at: Mapping[str, Any]) -> str:
    """Write the values of sizes and symbols: "at x = 1, y = 2 ", or with a line for each array."""
    parts = {name: f"{name} = {_listed(value)}" for name, value in at.items()}
    if not parts:
        return ""
    line = ", ".join(parts.values())
    if len(line) <= _LINE:
        return f"at {line} "
    sizes = ", ".join(part for name, part in parts.items() if not np.ndim(at[name]))
    arrays = [part for name, part in parts.items() if np.ndim(at[name])]
    return "at\n" + "".join(f"    {part}\n" for part in [sizes, *arrays] if part)


def _one_sided(tried: _Found, at: Mapping[str, Any]) -> str:
    place = tried.one[0]
    only, other = ("first", "second") if abs(tried.left[place]) < np.inf else ("second", "first")
    return f"Only the {only} is defined {_placed(at)}and the {other} is not."

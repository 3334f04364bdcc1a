"""Points at which two expressions are compared, and the proof that they are one."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from fractions import Fraction
from itertools import cycle, islice, product
from typing import Any, NamedTuple, NoReturn, TypeAlias

import numpy as np

from symbackprop import dims
from symbackprop.equality.answer import LARGEST, Comparison, UndecidedError, placed_at, told_apart
from symbackprop.errors import ShapeError
from symbackprop.expr import Expr
from symbackprop.graph import Graph
from symbackprop.op import CONSTANT, Array, scalar_value
from symbackprop.ops.layout import BROADCAST_TO
from symbackprop.precise import as_meant, context, evaluate, meaning, solved
from symbackprop.rewrite.engine import rebuild
from symbackprop.rewrite.pipeline import FORMULA, formula, run
from symbackprop.rewrite.scalar import Effort

Point: TypeAlias = dict[Expr, Array]  # arrays of fractions, ints or bools for symbols
Sizes: TypeAlias = dict[str, int]

_AGREEMENT = 15  # digits of the arithmetic that rounding may cost before two values count as different
_ROUNDED = 12  # digits that agree where a formula has numbers that are known as floats alone
_ATTEMPTS = 6  # points tried for each one wanted: most formulas are defined at some of them at least
_BUDGET = 200_000  # operations on numbers of many digits: some seconds
_FEW = 3  # fewer points at which both are defined are no evidence


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
    if "rows_sum_to" in facts and symbol.dtype.kind != "f":
        array = np.eye(array.shape[-1])[array.argmax(axis=-1)] * facts["rows_sum_to"]
    elif "rows_sum_to" in facts:
        array = array + (array.sum(axis=-1, keepdims=True) == 0)
        array = array / array.sum(axis=-1, keepdims=True) * Fraction(facts["rows_sum_to"])
    return np.asarray(array, symbol.dtype if symbol.dtype.kind != "f" else object)


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


class Trial:
    """Two expressions, compared at points and by rewriting."""

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
        self.seen: set[object] = set()
        self.problem: Exception | None = None
        self.defined = 0  # points at which both are
        self.fruitful: list[Sequence[Draw]] = []

    def decide(self, points: int) -> Comparison:
        """Try points, then a proof."""
        notes: dict[str, str] = {}
        rounded = False
        attempts = self._attempts(points * _ATTEMPTS)
        spent = 0
        for sizes, raw in attempts:
            if self.defined >= points or spent > _BUDGET * (1 if self.defined >= _FEW else _FEW):
                break
            spent += self._cost(sizes)
            point = self._point(raw)
            key = (*sizes.values(), *(number for array in point.values() for number in array.ravel().tolist()))
            tried = self._tried(point, sizes) if key not in self.seen else None
            self.seen.add(key)
            if tried is None:
                continue
            if tried.one:
                notes.setdefault("one", _one_sided(tried, placed_at(self._named(point, sizes))))
            if not tried.apart:
                self.defined += bool(tried.both)
                rounded |= tried.rounded
            elif self._persists(raw, sizes):
                return self._counterexample(tried, point, sizes, attempts)
            else:
                place, at = placed_at(self._named(point, sizes)), tried.apart[0]
                first, second = told_apart(tried.left[at], tried.right[at])
                what = f"They differ {place}({first} and {second}), but not next to it, as at a kink."
                notes.setdefault("kink", what)
        digits, found = _ROUNDED if rounded else self.digits - _AGREEMENT, self.defined
        formula = _proof(*self.exprs)
        if formula is not None:
            return Comparison("rewriting", found, digits, formula=formula, notes=tuple(notes.values()))
        floats = any(
            symbol.dtype.kind == "f" and symbol.size != 0 for symbol in self.symbols
        )  # others run out of values
        if found < (min(_FEW, points) if floats else 1):
            self._undecided()
        return Comparison("points", found, digits, notes=tuple(notes.values()))

    def _undecided(self) -> NoReturn:
        msg = (
            f"same: undecided: rewriting finds no proof, and only at {self.defined} of the points tried are both "
            "defined; declare what is known of the symbols with sb.assume, such as positive=True"
        )
        error = UndecidedError(msg)
        if self.problem is not None:
            error.add_note(f"  one problem was: {self.problem}")
        raise error

    # --- where ------------------------------------------------------------------------------------------------

    def _attempts(self, most: int) -> Iterator[tuple[Sizes, Point]]:
        """Give sizes and arrays to try: simple numbers first, then random ones, each symbol on a scale of its own."""
        choices = list(self._sizes())
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
            draws: Sequence[Draw] = [_DRAWS[self.rng.integers(len(_SIMPLE), len(_DRAWS))] for _ in self.symbols]
            if self.fruitful and self.rng.random() < 0.5:  # scales at which both were defined: log(x) + log(1 - y)
                draws = self.fruitful[self.rng.integers(len(self.fruitful))]
            found = self.defined
            yield sizes, {s: _raw(s, draw, self.rng, sizes) for s, draw in zip(self.symbols, draws, strict=True)}
            if self.defined > found:
                self.fruitful.append(draws)

    def _sizes(self) -> Iterator[Sizes]:
        """Give several choices of the named sizes, at which all slices fit."""
        of_symbols = [name for symbol in self.symbols for size in symbol.shape for name in sorted(_names_in(size))]
        others = {name for node in self.nodes for name in _names_in((node.shape, *node.params.values()))}
        order = list(dict.fromkeys([*of_symbols, *sorted(others)]))
        for pattern in _SIZES if order else ((),):
            for more in range(_MORE):
                sizes = dict(zip(order, (size + more for size in cycle(pattern)), strict=False))
                if self._fits(sizes):
                    yield sizes
                    break

    def _fits(self, sizes: Sizes) -> bool:
        named = {size for node in self.nodes for size in node.shape if isinstance(size, dims.Dim)}
        if any(size.value(sizes) < 1 for size in named):
            return False
        cost = self._cost(sizes)
        if cost > _BUDGET:
            self.problem = ShapeError(
                f"{cost} operations at each point are too many; give sizes names, for which small ones can be tried"
            )
            return False
        ones = {symbol: _raw(symbol, _DRAWS[0], np.random.default_rng(0), sizes) for symbol in self.symbols}
        return self._valued(ones, sizes, 15) is not None

    def _cost(self, sizes: Sizes) -> int:
        """Count the operations that one point takes."""
        total: dims.Size = 0
        nodes = self.exprs[0].graph.nodes
        for node in self.nodes:
            shapes = tuple(nodes[operand].shape for operand in node.inputs)
            total = node.op.cost(shapes, node.shape, node.params) + total
        return total.value(sizes) if isinstance(total, dims.Dim) else total

    def _point(self, raw: Point) -> Point:
        return {symbol: _with_facts(symbol, array) for symbol, array in raw.items()}

    def _named(self, point: Point, sizes: Sizes) -> dict[str, Any]:
        return {**sizes, **{symbol.params["name"]: array for symbol, array in point.items()}}

    # --- what -------------------------------------------------------------------------------------------------

    def _valued(self, point: Point, sizes: Sizes, digits: int) -> list[Array] | None:
        try:
            return evaluate(self.exprs, point, digits, sizes=sizes, reading=as_meant)
        except (ValueError, IndexError) as error:  # sizes at which the shapes do not fit, an index that is too large
            self.problem = error
            return None

    def _tried(self, point: Point, sizes: Sizes) -> _Found | None:
        """Compare at a point; what cancellation may have caused is computed again with twice the digits."""
        values = self._valued(point, sizes, self.digits)
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
            if all(defined) and not lost:
                both.append(at)
            elif any(defined) and any(ctx.isnan(each[at]) for each in (left, right)):
                one.append(at)
        near = ctx.mpf(10) ** (_AGREEMENT - self.digits)
        apart = [at for at in both if abs(left[at] - right[at]) > near * max(abs(left[at]), abs(right[at]))]
        rounded = False
        if apart:
            again = self._valued(point, sizes, 2 * self.digits)
            assert again is not None  # noqa: S101  (it had values a moment ago)
            apart = [at for at in apart if abs(again[0][at] - again[1][at]) > near * abs(left[at] - right[at])]
        if apart and self.rounded:
            floor = ctx.mpf(10) ** -_ROUNDED
            kept = [at for at in apart if abs(left[at] - right[at]) > floor * max(abs(left[at]), abs(right[at]))]
            rounded, apart = not kept, kept
        return _Found(left, right, both, one, apart, rounded)

    def _persists(self, raw: Point, sizes: Sizes) -> bool:
        """Tell whether the values differ next to a point too, as two functions do that are not one."""
        if not any(symbol.dtype.kind == "f" for symbol in raw):
            return True
        moved = {
            symbol: array + _fractions(self.rng.uniform(-1, 1, array.shape)) / 2**20
            if symbol.dtype.kind == "f"
            else array
            for symbol, array in raw.items()
        }
        tried = self._tried(self._point(moved), sizes)
        return tried is not None and bool(tried.apart)

    def _counterexample(
        self, tried: _Found, point: Point, sizes: Sizes, attempts: Iterator[tuple[Sizes, Point]]
    ) -> Comparison:
        further = ((sizes, self._tried(self._point(raw), sizes)) for sizes, raw in attempts)
        ratio = _ratio([(sizes, tried), *islice(((sizes, found) for sizes, found in further if found), 8)])
        return Comparison(
            "counterexample",
            at=self._named(point, sizes),
            values=(tried.left, tried.right),
            index=tried.apart[0],
            notes=(ratio,) if ratio else (),
        )


def _names_in(param: Any) -> frozenset[str]:
    if isinstance(param, tuple):
        return frozenset().union(*map(_names_in, param))
    return dims.names_of((param,))


def _ratio(found: Sequence[tuple[Sizes, _Found]]) -> str:
    """Say by which factor the second is off, if it is the same everywhere: a number, or one with a named size."""
    factors: list[tuple[Sizes, Fraction]] = []
    for sizes, tried in found:
        for at in tried.both:
            one, other = tried.left[at], tried.right[at]
            if not one and not other:
                continue
            factor = Fraction(str(other / one)).limit_denominator(LARGEST) if one else Fraction(0)
            if not factor or abs(other - one * factor.numerator / factor.denominator) > abs(other) * 1e-30:
                return str(one) if str(one) == str(other) else ""
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


# What a difference may cost that is not zero by algebra alone: sines, exponentials and logarithms are looked into.
_FUNCTIONS = Effort(nodes=40, terms=250, seconds=0.5, seconds_each=0.3, functions=True)


def _proof(left: Expr, right: Expr) -> str | None:
    """Give the formula that both simplify to; "" if only their difference simplifies, to 0; None if neither does."""
    with Graph(scratch=True) as scratch:
        one, other = run(rebuild([left, right], scratch), FORMULA, finite=True)
        if one is other:
            return str(one)
        for passes in (FORMULA, formula(_FUNCTIONS)) if left.dtype.kind == "f" else ():
            (difference,) = run([one - other], passes, finite=True)
            if _is_zero(difference):
                return str(one) if str(one) == str(other) else ""
    return None


def _is_zero(expr: Expr) -> bool:
    whole = expr.inputs[0] if expr.op is BROADCAST_TO else expr
    return scalar_value(whole) == 0


def _one_sided(tried: _Found, at: str) -> str:
    place = tried.one[0]
    only, other = ("first", "second") if abs(tried.left[place]) < np.inf else ("second", "first")
    return f"Only the {only} is defined {at}and the {other} is not."

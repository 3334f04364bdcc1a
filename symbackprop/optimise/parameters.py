"""`Parameters`: symbols of any shapes as one flat vector, and back to the structure in which they were given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from symbackprop import dims
from symbackprop.autodiff.forward import bind_sizes
from symbackprop.errors import ArgumentError, DtypeError, ShapeError
from symbackprop.expr import Expr
from symbackprop.train.arguments import Caller

if TYPE_CHECKING:
    from symbackprop.op import Array

Params: TypeAlias = "Expr | Sequence[Expr] | Mapping[Expr, Any] | Mapping[str, Expr]"
Sizes: TypeAlias = Mapping[str, int]

_OF_ELEMENTS = frozenset({"positive", "nonnegative"})  # what a search can keep to that is assumed of a parameter


@dataclass(frozen=True)
class Structure:
    """How several symbols were given, and how arrays for them are read and given back.

    Attributes:
        symbols: in their order in the vector.
        keys: the names under which they were given; None where they were given without.
        single: one symbol was given by itself.
        by_symbol: they were given as a dict of arrays by symbol.
        starts: the arrays that came with them, where they were given as a dict of arrays.
    """

    symbols: tuple[Expr, ...]
    keys: tuple[str, ...] | None
    single: bool
    by_symbol: bool
    starts: Mapping[Expr, Any]

    @classmethod
    def of(cls, x: object, caller: Caller) -> Structure:
        """Read what was given as parameters.

        Raises:
            ArgumentError: something in it is no symbol, or there twice; or there is nothing.
            DtypeError: a symbol is no float.
        """
        keys, single, by_symbol = None, isinstance(x, Expr), False
        starts: dict[Expr, Any] = {}
        given: list[Any]
        if isinstance(x, Mapping):
            by_symbol = not any(isinstance(key, str) for key in x)
            given = [*x] if by_symbol else [*x.values()]
            keys = None if by_symbol else tuple(x)
            starts = dict(x) if by_symbol else {}
        else:
            given = [*x] if isinstance(x, Sequence) else [x]
        seen: set[Expr] = set()
        for symbol in given:
            caller.check_symbol("the parameters are symbols", symbol)
            if symbol.dtype.kind != "f":
                raise DtypeError(
                    f"{caller.name}: the parameter {symbol.describe()} has dtype {symbol.dtype}, and a search moves "
                    'floats: declare it with dtype="float64"'
                )
            lost = [fact for fact in symbol.node.facts if fact not in _OF_ELEMENTS]
            if lost:
                raise ArgumentError(
                    f"{caller.name}: {symbol.describe()} is assumed to be {lost[0].replace('_', ' ')}, which a search "
                    "over its elements would not keep: write it by what is free in it, such as L @ L.T"
                )
            if symbol in seen:
                raise ArgumentError(f"{caller.name}: the parameter {symbol.describe()} is given twice")
            seen.add(symbol)
        if not given:
            raise ArgumentError(f"{caller.name}: there are no parameters")
        return cls(tuple(given), keys, single, by_symbol, starts)

    def read(self, what: str, values: object, caller: Caller) -> dict[Expr, Any]:
        """Give by symbol what was given in this structure, or by symbol; some may be left out of a dict.

        Raises:
            ArgumentError: it has another structure.
        """
        if isinstance(values, Mapping):
            mine = set(self.symbols)
            names: dict[Any, Any] = dict(zip(self.keys or (), self.symbols, strict=False))
            found: dict[Any, Any] = {names.get(key, key): value for key, value in values.items()}
            for key in found:
                if key not in mine:
                    shown = key.describe() if isinstance(key, Expr) else repr(key)
                    known = ", ".join(symbol.describe() for symbol in self.symbols)
                    raise ArgumentError(f"{caller.name}: {what} has {shown}, which is none of the parameters {known}")
            return found
        if self.single:
            return {self.symbols[0]: values}
        if isinstance(values, list | tuple) and len(values) == len(self.symbols) and not (self.keys or self.by_symbol):
            return dict(zip(self.symbols, values, strict=True))
        raise ArgumentError(
            f"{caller.name}: {what} is a dict by symbol, or has the structure of the parameters: "
            f"{len(self.symbols)} of them, not {type(values).__name__}"
        )

    def restored(self, values: Sequence[Any]) -> Any:
        """Give values, one for each symbol, in the structure."""
        if self.single:
            return values[0]
        if self.keys is not None:
            return dict(zip(self.keys, values, strict=True))
        return dict(zip(self.symbols, values, strict=True)) if self.by_symbol else list(values)


class Parameters:
    """Symbols with numbers for their sizes, laid out one after the other in a vector.

    Attributes:
        symbols: in their order in the vector.
        shapes: their shapes, in numbers.
        slices: where each stands.
        size: the length of the vector.
        start: the vector to begin with.
        bounds: the lowest and the highest value of each element, or None.
    """

    def __init__(
        self,
        structure: Structure,
        data: Mapping[Expr, Array],
        caller: Caller,
        *,
        start: object,
        bounds: object,
        sizes: Sizes | None,
    ) -> None:
        """Find the sizes in the data, the starts and `sizes`, and lay the start out.

        Raises:
            ArgumentError: a size is not known, or start or bounds have another structure than the parameters.
            ShapeError: two arrays disagree on a size, or a start or a bound does not have its parameter's shape.
            DtypeError: a start cannot become its parameter's dtype.
            ValueError: a lower bound is above its upper bound, or a start outside.
        """
        self.structure = structure
        self.symbols = structure.symbols
        self._caller = caller
        starts = dict(structure.starts) | ({} if start is None else structure.read("start", start, caller))
        # A number stands for an array of it, so it tells no sizes.
        arrays = {
            symbol: caller.as_array("start", symbol, value)
            for symbol, value in starts.items()
            if np.ndim(value) or not symbol.ndim
        }
        self.sizes = self._bound({**data, **arrays}, sizes or {})
        self.shapes = [dims.bind(symbol.shape, self.sizes) for symbol in self.symbols]
        counts = [int(np.prod(shape, dtype=int)) for shape in self.shapes]
        ends = np.cumsum([0, *counts]).tolist()
        self.slices = [slice(*pair) for pair in pairwise(ends)]
        self.size: int = ends[-1]
        self._made = [self._maker(*each) for each in zip(self.symbols, self.slices, self.shapes, strict=True)]
        self._positive, self._nonnegative = self._assumed("positive"), self._assumed("nonnegative")
        self._signed = bool((self._positive | self._nonnegative).any())
        somewhere = {symbol: 1.0 if "positive" in symbol.node.facts else 0.0 for symbol in self.symbols}
        self.start = self.pack({**somewhere, **starts}, "start")
        self.bounds = self._bounds(bounds, starts)
        if not self.keeps_assumptions(self.start):
            raise ValueError(f"{caller.name}: the start does not keep to what is assumed of its sign")

    def _bound(self, arrays: Mapping[Expr, Array], sizes: Sizes) -> dict[str, int]:
        try:
            found = bind_sizes(arrays)
        except ShapeError as error:
            raise ShapeError(f"{self._caller.name}: {error}") from None
        for name, size in sizes.items():
            if found.setdefault(name, size) != size:
                raise ShapeError(
                    f"{self._caller.name}: sizes has {name} = {size}, and the arrays {name} = {found[name]}"
                )
        for symbol in self.symbols:
            missing = sorted(dims.names_of(symbol.shape) - found.keys())
            if missing:
                raise ArgumentError(
                    f"{self._caller.name}: nothing tells the size {missing[0]} of the parameter {symbol.describe()}: "
                    f"give an array to start from, or sizes={{{missing[0]!r}: …}}"
                )
        return found

    @staticmethod
    def _maker(symbol: Expr, part: slice, shape: tuple[int, ...]) -> Callable[[Array], Any]:
        """Give the function that takes the symbol's array out of a vector."""
        if not shape:
            return lambda vector: symbol.dtype.type(vector[part.start])
        return lambda vector: vector[part].reshape(shape).astype(symbol.dtype, copy=False)

    def arrays(self, vector: Array) -> list[Any]:
        """Give the array of each symbol: a view of the vector where the dtype is its own."""
        return [make(vector) for make in self._made]

    def pack(self, values: Any, what: str = "pack") -> Array:
        """Give the vector of arrays that are given in the structure of the parameters, or by symbol.

        Raises:
            ArgumentError: one is missing, or they have another structure.
            ShapeError: one does not have its parameter's shape; a number stands for an array of it.
            DtypeError: one cannot become its parameter's dtype.
        """
        found = self.structure.read(what, values, self._caller)
        missing = [symbol.describe() for symbol in self.symbols if symbol not in found]
        if missing:
            raise ArgumentError(f"{self._caller.name}: {what} has no array for {', '.join(missing)}")
        vector = np.empty(self.size)
        for symbol, part, shape in zip(self.symbols, self.slices, self.shapes, strict=True):
            array = self._caller.as_dtype(what, symbol, found[symbol])
            if array.ndim and array.shape != shape:
                raise ShapeError(
                    f"{self._caller.name}: {what}: {symbol.describe()} has the shape {shape} here, "
                    f"the array {array.shape}"
                )
            vector[part] = array.ravel()
        return vector

    def unpack(self, vector: Any) -> Any:
        """Give the arrays in the structure of the parameters, each its own copy.

        Raises:
            ShapeError: the vector has another length.
        """
        flat = np.asarray(vector)
        if flat.shape != (self.size,):
            raise ShapeError(
                f"{self._caller.name}: the vector of all parameters has shape {(self.size,)}, not {flat.shape}"
            )
        return self.structure.restored([np.array(array) for array in self.arrays(flat)])

    def by_symbol(self, vector: Array) -> dict[Expr, Array]:
        """Give the arrays by symbol, each its own copy."""
        return {symbol: np.array(array) for symbol, array in zip(self.symbols, self.arrays(vector), strict=True)}

    def inside(self) -> Array:
        """Give the start, moved off the bounds by a hundredth, or to the middle where there is less room."""
        if self.bounds is None:
            return self.start.copy()
        low, high = self.bounds
        room = np.minimum(0.01, (high - low) / 2)
        return np.clip(self.start, low + room, high - room)

    def keeps_assumptions(self, vector: Array) -> bool:
        """Tell whether what is assumed of the signs of the parameters holds."""
        return not self._signed or bool((vector[self._positive] > 0).all() and (vector[self._nonnegative] >= 0).all())

    def _assumed(self, fact: str) -> Array:
        """Mark the elements of the parameters of which a fact is assumed."""
        found = np.zeros(self.size, bool)
        for symbol, part in zip(self.symbols, self.slices, strict=True):
            found[part] = fact in symbol.node.facts
        return found

    def _bounds(self, given: object, chosen: Collection[Expr]) -> tuple[Array, Array] | None:
        """Give the lowest and the highest values, and move between them what was not chosen of the start."""
        if given is None and not self._signed:
            return None
        name = self._caller.name
        low, high = np.where(self._positive | self._nonnegative, 0.0, -np.inf), np.full(self.size, np.inf)
        read = {} if given is None else self.structure.read("bounds", given, self._caller)
        for symbol, part, shape in zip(self.symbols, self.slices, self.shapes, strict=True):
            pair = read.get(symbol, (None, None))
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise ArgumentError(
                    f"{name}: bounds: {symbol.describe()} wants a pair (low, high) of numbers, arrays or None, "
                    f"not {pair!r}"
                )
            sides = [self._side(symbol, shape, value) for value in pair]
            low[part] = np.maximum(low[part], -np.inf if sides[0] is None else sides[0])
            high[part] = np.inf if sides[1] is None else sides[1]
            if (low[part] > high[part]).any():
                raise ValueError(f"{name}: bounds: a lower bound of {symbol.describe()} is above its upper bound")
            inside = np.clip(self.start[part], low[part], high[part])
            if symbol in chosen and (inside != self.start[part]).any():
                raise ValueError(f"{name}: the start of {symbol.describe()} is outside its bounds")
            self.start[part] = inside
        return low, high

    def _side(self, symbol: Expr, shape: tuple[int, ...], value: Any) -> Array | None:
        if value is None:
            return None
        try:
            return np.broadcast_to(np.asarray(value, float), shape).ravel()
        except ValueError:
            raise ShapeError(
                f"{self._caller.name}: bounds: {symbol.describe()} has the shape {shape} here, the bound "
                f"{np.shape(value)}"
            ) from None

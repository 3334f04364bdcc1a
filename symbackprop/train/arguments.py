"""What functions that take expressions, parameters and data say of mistakes in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from symbackprop.errors import ArgumentError, DtypeError, ShapeError, did_you_mean
from symbackprop.expr import Expr, common_graph
from symbackprop.train.optimisers import free_symbols

if TYPE_CHECKING:
    from symbackprop.op import Array


@dataclass(frozen=True)
class Caller:
    """How the function that was called names what it was given, so that its errors read as its documentation.

    Attributes:
        name: its own name.
        objective: what it minimises.
        outputs: all that it computes.
        unused: what is to be said of data for which they have no use.
        params: the argument that holds the parameters.
    """

    name: str
    objective: str
    outputs: str
    unused: str
    params: str = "params"

    def check_scalar(self, what: str, expr: object) -> None:
        """Check that something to be computed is a scalar expression."""
        if not isinstance(expr, Expr):
            raise DtypeError(f"{self.name}: {what} is {type(expr).__name__}, not an expression")
        if expr.shape:
            raise ShapeError(
                f"{self.name}: {what} must be a scalar, and {expr.describe()} is none: take its mean or sum"
            )

    def check_keys(self, what: str, given: object) -> None:
        """Check that arrays are given by symbol."""
        if not isinstance(given, Mapping):
            raise ArgumentError(f"{self.name}: {what} is a dict of arrays by symbol, not {type(given).__name__}")
        for key in given:
            self.check_symbol(f"the keys of {what} are symbols", key)

    def check_symbol(self, rule: str, given: object) -> None:
        """Check that something is a symbol, as the rule says that it should be."""
        if not isinstance(given, Expr):
            raise ArgumentError(f"{self.name}: {rule}, and {given!r} is none")
        if given.op.name != "symbol":
            raise ArgumentError(f"{self.name}: {rule}, and {given.describe()} is none")

    def check_symbols(
        self, objective: Sequence[Expr], others: Sequence[Expr], params: Sequence[Expr], data: Mapping[Expr, Any]
    ) -> None:
        """Check that every symbol has one array, and every array a use.

        Args:
            objective: what depends on each of the parameters.
            others: what is computed beside.
            params: the symbols of the parameters.
            data: arrays of other symbols.
        """
        common_graph([*objective, *others, *params, *data], self.name)
        needed = free_symbols([*objective, *others])
        for symbol in params:
            if symbol in data:
                raise ArgumentError(
                    f"{self.name}: {symbol.describe()} is in {self.params} and in data; it can be only one of them"
                )
        for symbol in needed:
            if symbol not in params and symbol not in data:
                near = did_you_mean(symbol.describe(), [other.describe() for other in [*params, *data]])
                raise ArgumentError(
                    f"{self.name}: {self.outputs} needs {symbol.describe()}, which is neither in {self.params} nor in "
                    f"data{near}"
                )
        used = set(free_symbols(objective))
        for symbol in [each for each in params if each not in used]:
            raise ArgumentError(f"{self.name}: {self.objective} does not depend on the parameter {symbol.describe()}")
        for symbol in [each for each in data if each not in needed]:
            raise ArgumentError(f"{self.name}: data has {symbol.describe()}, which {self.unused}")

    def as_array(self, what: str, symbol: Expr, value: Any) -> Array:
        """Give an array of the symbol's dtype, itself where it has that already.

        Raises:
            DtypeError: it cannot become that.
            ShapeError: it does not have the symbol's rank.
        """
        array = self.as_dtype(what, symbol, value)
        if array.ndim != symbol.ndim:
            raise ShapeError(
                f"{self.name}: {what}: {symbol.describe()} has {symbol.ndim} axes, the array {array.ndim}: "
                f"shape {array.shape}"
            )
        return array

    def as_dtype(self, what: str, symbol: Expr, value: Any) -> Array:
        """Give an array of the symbol's dtype, of any shape.

        Raises:
            DtypeError: it cannot become that.
            ShapeError: it is no array.
        """
        try:
            array = np.asarray(value)
        except ValueError as error:  # rows of different lengths
            raise ShapeError(f"{self.name}: {what}: {symbol.describe()}: {error}") from None
        if not np.can_cast(array.dtype, symbol.dtype, "same_kind"):
            raise DtypeError(
                f"{self.name}: {what}: {symbol.describe()} has dtype {symbol.dtype}, the array {array.dtype}"
            )
        return array.astype(symbol.dtype, copy=False)


def spoilt(arrays: Mapping[Expr, Array]) -> list[str]:
    """Name the symbols whose arrays hold NaN or infinity."""
    return [symbol.describe() for symbol, array in arrays.items() if not np.isfinite(array).all()]

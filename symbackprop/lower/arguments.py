"""What a compiled function takes: checks in straight code, and the errors that name the symbol."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from types import CodeType, MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from symbackprop import dims
from symbackprop.autodiff.forward import bind_sizes
from symbackprop.errors import ArgumentError, DtypeError, ShapeError, did_you_mean
from symbackprop.expr import Expr
from symbackprop.lower.program import Input, Nest, Program
from symbackprop.lower.structured import Layout, Structured

Structure: TypeAlias = tuple[Nest, Sequence[Layout]]


_NO_LIMITS: Mapping[int, int] = MappingProxyType({})


class Arguments:
    """The arguments of a function: what they must be, how they are converted, what is said where they are wrong.

    Attributes:
        name: the name of the function.
        symbols: the symbols, in the order of the arguments.
    """

    def __init__(self, name: str, symbols: Sequence[Expr], inputs: Sequence[Input]) -> None:
        """Take what the arrays stand for, and what the program wants of them."""
        self.name = name
        self.symbols = tuple(symbols)
        self._positions = {symbol.params["name"]: position for position, symbol in enumerate(symbols)}
        self._wanted = [
            (np.ndarray if each.shape or each.updated else each.dtype.type, each.dtype, each.updated) for each in inputs
        ]
        self._updates = [position for position, each in enumerate(inputs) if each.updated]

    def checked(
        self,
        kernel: Callable[..., Any],
        program: Program,
        structure: Structure,
        limits: Mapping[int, int] = _NO_LIMITS,
        grown: Callable[..., Any] | None = None,
        *,
        plain: Collection[int] = (),
    ) -> Callable[..., Any]:
        """Give the function that checks its arguments, calls the generated one, and puts results with parts together.

        It is written for these arguments: what is right passes a few comparisons, all else is told by the methods
        here.

        Args:
            kernel: the generated function.
            program: what it does.
            structure: how outputs with parts are put together.
            limits: for arguments so many elements; where one has more,
            grown: is called in place of the generated function.
            plain: the arguments that may stay Python's floats.
        """
        form, layouts = structure
        namespace: dict[str, Any] = {
            "kernel": kernel,
            "arranged": self.arranged,
            "converted": self.converted,
            "converted_one": self._converted,
            "check_apart": self._check_apart,
            "explain": lambda *arrays: self._explain_shapes(arrays, program),
            "ndarray": np.ndarray,
            **{f"limit{position}": limit for position, limit in limits.items()},
            "grown": grown,
        }
        dtypes: dict[np.dtype[Any], str] = {}
        for _, dtype, _ in self._wanted:
            named = dtypes.setdefault(dtype, f"dtype{len(dtypes)}")
            namespace[named] = np.dtype(dtype.type)  # the one object that nearly all arrays have
            namespace[f"{named}_type"] = dtype.type
        telling = []
        for position, layout in enumerate(layouts):
            sources = layout.sources([symbol.shape for symbol in self.symbols])
            namespace[f"layout{position}"] = layout.told_by([self.symbols[source].shape for source in sources])
            namespace[f"put{position}"] = Layout.filled if layout.is_whole else Structured
            telling.append("".join(f", a{source}.shape" for source in sources))
        assembled = _assembled(form, "found", iter(enumerate(telling))) if layouts else ""
        text = "\n".join(self._lines(dtypes, assembled, limits, plain))
        exec(_code(text), namespace)  # noqa: S102  (the text is of this module; keys of dicts are literals in it)
        found: Callable[..., Any] = namespace["call"]
        found.__name__ = found.__qualname__ = self.name
        return found

    def _lines(
        self, dtypes: Mapping[np.dtype[Any], str], assembled: str, limits: Collection[int], plain: Collection[int]
    ) -> Iterator[str]:
        names = [f"a{position}" for position in range(len(self._wanted))]
        arrays = ", ".join(names) + "," * (len(names) == 1)
        yield "def call(*args, **named):"
        yield f"    if named or len(args) != {len(names)}:"
        yield "        args = arranged(args, named)"
        if names:
            yield f"    {arrays} = args"
        alike: dict[str, list[str]] = {}
        for name, (kind, dtype, _) in zip(names, self._wanted, strict=True):
            if kind is np.ndarray:
                alike.setdefault(dtypes[dtype], []).append(name)
        if alike:
            tests = [" is ".join(["ndarray", *(f"type({name})" for each in alike.values() for name in each)])]
            tests += [" is ".join([dtype, *(f"{name}.dtype" for name in each)]) for dtype, each in alike.items()]
            tests += [f"{names[position]}.flags.writeable" for position in self._updates]
            yield f"    if not ({' and '.join(tests)}):"
            yield f"        {arrays} = converted(args)"
        for position, (name, (kind, dtype, _)) in enumerate(zip(names, self._wanted, strict=True)):
            if kind is not np.ndarray:
                stays = f"type({name}) is not float and " if position in plain else ""
                made = f"{dtypes[dtype]}_type({name}) if type({name}) is float else " if dtype.kind == "f" else ""
                yield f"    if {stays}type({name}) is not {dtypes[dtype]}_type:"
                yield f"        {name} = {'' if stays else made}converted_one({position}, {name})"
        if self._updates:
            yield f"    if len({{{', '.join(f'id({name})' for name in names)}}}) < {len(names)}:"
            yield f"        check_apart(({arrays}))"
        if limits:
            yield f"    if {' or '.join(f'a{position}.size > limit{position}' for position in limits)}:"
            yield f"        return grown({arrays})"
        yield "    try:"
        yield f"        {'found =' if assembled else 'return'} kernel({arrays})"
        yield "    except ValueError:"
        yield f"        explain({arrays})"
        yield "        raise"
        if assembled:
            yield f"    return {assembled}"

    def arrays(self, args: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
        """Give the arrays in order, converted and checked, but for their shapes."""
        found = self.converted(self.arranged(args, named) if named or len(args) != len(self._wanted) else args)
        if self._updates:
            self._check_apart(found)
        return found

    def sizes(self, arrays: Sequence[Any]) -> dict[str, int]:
        """Give the named sizes.

        Raises:
            ShapeError: an array does not have its symbol's shape, or two arrays disagree on a size.
        """
        return bind_sizes(dict(zip(self.symbols, arrays, strict=True)))

    def arranged(self, args: Sequence[Any], named: Mapping[str, Any]) -> tuple[Any, ...]:
        """Give the arguments in order, each once.

        Raises:
            ArgumentError: an argument is missing, unknown or given twice.
        """
        names = list(self._positions)
        if len(args) > len(names):
            raise ArgumentError(f"{self.name} takes {len(names)} arrays ({', '.join(names)}), not {len(args)}")
        found = dict(zip(names, args, strict=False))
        for name, value in named.items():
            if name not in self._positions:
                raise ArgumentError(
                    f"{self.name} has no input {name!r}{did_you_mean(name, names)}; it takes {', '.join(names)}"
                )
            if name in found:
                raise ArgumentError(f"{self.name}: {name} is given twice, by position and by name")
            found[name] = value
        missing = [self.symbols[self._positions[name]].describe() for name in names if name not in found]
        if missing:
            raise ArgumentError(f"{self.name}: no array for {', '.join(missing)}")
        return tuple(found[name] for name in names)

    def converted(self, args: Sequence[Any]) -> list[Any]:
        """Make arguments what their symbols say, where nothing is lost by that.

        Raises:
            ArgumentError: an argument is an expression.
            ShapeError: one is a list of rows of different lengths.
            DtypeError: the dtype of one cannot be converted without loss, or an updated one is not of its dtype.
        """
        return [
            arg
            if type(arg) is kind and arg.dtype == dtype and (not updated or arg.flags.writeable)
            else self._converted(position, arg)
            for position, (arg, (kind, dtype, updated)) in enumerate(zip(args, self._wanted, strict=True))
        ]

    def _converted(self, position: int, value: Any) -> Any:
        symbol, (kind, dtype, updated) = self.symbols[position], self._wanted[position]
        if updated:
            self._check_updated(symbol, value, dtype)
            return value
        if isinstance(value, Expr):
            raise ArgumentError(
                f"{self.name}: {symbol.describe()} wants an array, not the expression {value.describe()}"
            )
        try:
            array = np.asarray(value)
        except ValueError as error:  # rows of different lengths
            raise ShapeError(f"{self.name}: {symbol.describe()}: {error}") from None
        if array.dtype.kind not in "biufc":
            raise DtypeError(
                f"{self.name}: {symbol.describe()} wants {dtype}, and the {type(value).__name__} given has dtype "
                f"{array.dtype}: give numbers, or convert it with np.asarray(…, {dtype.name!r})"
            )
        plain = isinstance(value, float | int | list | tuple) and array.dtype.kind in "biuf"
        if array.dtype != dtype and not np.can_cast(array.dtype, dtype, "same_kind" if plain else "safe"):
            raise DtypeError(
                f"{self.name}: {symbol.describe()} wants {dtype}, and the array has {array.dtype}; "
                f"convert it with .astype({dtype.name!r}), or declare the symbol with dtype={array.dtype.name!r}"
            )
        array = array.astype(dtype, copy=False)
        return array if kind is np.ndarray or array.ndim else array[()]

    def _check_updated(self, symbol: Expr, value: Any, dtype: np.dtype[Any]) -> None:
        if not isinstance(value, np.ndarray):
            raise DtypeError(
                f"{self.name}: {symbol.describe()} is updated in place, so it must be a NumPy array, "
                f"not {type(value).__name__}; a scalar is np.array(0.0)"
            )
        if value.dtype != dtype:
            raise DtypeError(
                f"{self.name}: {symbol.describe()} is updated in place and wants {dtype}, not {value.dtype}"
            )
        if not value.flags.writeable:
            raise DtypeError(f"{self.name}: {symbol.describe()} is updated in place, and its array is read-only")

    def _check_apart(self, arrays: Sequence[Any]) -> None:
        """Check that no array that is written to stands for another symbol too, which would read new values."""
        for position in self._updates:
            for other, array in enumerate(arrays):
                if array is arrays[position] and other != position:
                    names = f"{self.symbols[position].describe()} and {self.symbols[other].describe()}"
                    raise ArgumentError(
                        f"{self.name}: {names} are one array, and {self.symbols[position].name} is updated in place: "
                        "give one of them a copy"
                    )

    def _explain_shapes(self, arrays: Sequence[Any], program: Program) -> None:
        """Raise the error that names symbols, axes and sizes, where the shapes are to blame."""
        try:
            sizes = self.sizes(arrays)
        except ShapeError as error:
            raise ShapeError(f"{self.name}: {error}") from None
        for requirement in program.requirements:
            if dims.names_of((requirement.size,)) <= sizes.keys() and requirement.size.value(sizes) < 0:
                found = ", ".join(f"{name} = {sizes[name]}" for name in sorted(requirement.size.names))
                raise ShapeError(f"{self.name}: {requirement.reason} needs {requirement.size} >= 0, and {found}")


def _assembled(form: Nest, found: str, telling: Iterator[tuple[int, str]]) -> str:
    """Write what puts the parts of outputs together, in the lists, tuples and dicts that they are returned in."""
    if form is None:
        position, shapes = next(telling)
        return f"put{position}(layout{position}, {found}{shapes})"
    if isinstance(form, dict):
        parts = [f"{key!r}: {_assembled(each, f'{found}[{key!r}]', telling)}" for key, each in form.items()]
        return f"{{{', '.join(parts)}}}"
    parts = [_assembled(each, f"{found}[{position}]", telling) for position, each in enumerate(form)]
    return f"[{', '.join(parts)}]" if isinstance(form, list) else f"({', '.join(parts)}{',' * (len(parts) == 1)})"


@lru_cache(256)
def _code(text: str) -> CodeType:
    return builtins.compile(text, "<symbackprop: the checks of arguments>", "exec")

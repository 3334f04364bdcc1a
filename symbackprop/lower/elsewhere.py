"""`LibraryFunction`: a compiled function of the arrays of another library than NumPy."""

from __future__ import annotations

import builtins
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symbackprop.errors import ArgumentError, DtypeError, ShapeError
from symbackprop.expr import Expr
from symbackprop.lower.arguments import Arguments
from symbackprop.lower.backends import Backend
from symbackprop.lower.function import Function, loaded
from symbackprop.lower.library_source import library_source
from symbackprop.lower.program import Program


class LibraryFunction(Function):
    """A compiled function of the arrays of another library: what it is given need never become a NumPy array.

    So JAX's tracers pass, and tensors stay on their device. The library is imported at the first call.
    """

    def __init__(self, backend: Backend, *args: Any, **named: Any) -> None:
        """Generate the code; made by `compile`."""
        self.backend = backend
        super().__init__(*args, **named)
        self.__name__ = self.name  # under which JAX's transformations know a function

    def _taking(self, program: Program) -> Arguments:
        return _LibraryArguments(self.backend, self.name, self.inputs, program)

    def _written(self) -> str:
        return library_source(self.program, self.backend)

    def _planned(self) -> Program:
        return self.program

    def release(self) -> None:
        """Do nothing: nothing is kept between calls."""

    def _loaded(self) -> Callable[..., Any]:
        """Wait for the first call, so that code can be generated where the library is not installed."""
        name, source = self.name, self.source
        kernels: list[Callable[..., Any]] = []

        def kernel(*arrays: Any) -> Any:
            if not kernels:
                kernels.append(loaded(name, source, kernel))
            return kernels[0](*arrays)

        return kernel


class _LibraryArguments(Arguments):
    def __init__(self, backend: Backend, name: str, symbols: Sequence[Expr], program: Program) -> None:
        super().__init__(name, symbols, program.inputs)
        self.backend = backend
        self.inputs = program.inputs

    def checked(
        self, kernel: Callable[..., Any], program: Program, *_structure: Any, **_plain: Any
    ) -> Callable[..., Any]:
        """Give the function that checks its arguments and calls the generated one."""

        def call(*args: Any, **named: Any) -> Any:
            arrays = self.arrays(args, named)
            try:
                return kernel(*arrays)
            except ValueError:
                self._explain_shapes(arrays, program)
                raise

        return call

    def converted(self, args: Sequence[Any]) -> list[Any]:
        """Make arguments arrays of the library with the dtypes of their symbols, where nothing is lost by that.

        Raises:
            ArgumentError: an argument is an expression, or none tells the library.
            ShapeError: one is a list of rows of different lengths.
            DtypeError: the dtype of one cannot be converted without loss, or an updated one is not of its dtype.
            ImportError: the library is not installed.
        """
        library = self._library(args)
        place: dict[str, Any] = {}
        if self.backend.passed:
            first = next(arg for arg in args if hasattr(arg, "__array_namespace__"))
            place["device"] = getattr(first, "device", None)  # JAX's tracers do not know it
        return [self._of_library(position, arg, library, place) for position, arg in enumerate(args)]

    def _library(self, args: Sequence[Any]) -> Any:
        if self.backend.passed:
            found = next((arg for arg in args if hasattr(arg, "__array_namespace__")), None)
            if found is None:
                raise ArgumentError(
                    f"{self.name}: none of the arguments has __array_namespace__, so the library is not known: give an "
                    "array of a library that follows the array API standard, such as NumPy 2"
                )
            return found.__array_namespace__()
        try:
            return importlib.import_module(self.backend.package)
        except ImportError as error:
            package = self.backend.package.partition(".")[0]
            raise ImportError(
                f"{self.name} was compiled for backend {self.backend.name!r}, which needs {package}: install it, or "
                "write the source with .save(…) to a file for where it is"
            ) from error

    def _of_library(self, position: int, value: Any, library: Any, place: dict[str, Any]) -> Any:
        symbol, wanted = self.symbols[position], self.inputs[position]
        if isinstance(value, Expr):
            raise ArgumentError(
                f"{self.name}: {symbol.describe()} wants an array, not the expression {value.describe()}"
            )
        if hasattr(value, "__array_namespace__") if place else isinstance(value, getattr(library, self.backend.array)):
            found = _name_of(value.dtype)
            if found == wanted.dtype.name:
                return value
            if wanted.updated:
                raise DtypeError(
                    f"{self.name}: {symbol.describe()} is updated in place and wants {wanted.dtype}, not {found}"
                )
            self._check_cast(symbol, found, wanted.dtype, "safe")
            return _cast(value, library, self._dtype(library, wanted.dtype))
        if wanted.updated:
            raise DtypeError(
                f"{self.name}: {symbol.describe()} is updated in place, so it must be an array of {library.__name__}, "
                f"not {type(value).__name__}"
            )
        try:
            array = np.asarray(value)
        except ValueError as error:  # rows of different lengths
            raise ShapeError(f"{self.name}: {symbol.describe()}: {error}") from None
        plain = isinstance(value, float | int | list | tuple)
        self._check_cast(symbol, array.dtype.name, wanted.dtype, "same_kind" if plain else "safe")
        return library.asarray(value, dtype=self._dtype(library, wanted.dtype), **place)

    def _dtype(self, library: Any, dtype: np.dtype[Any]) -> Any:
        """Give the library's dtype, or Python's type that stands for it."""
        module, _, name = self.backend.dtypes[dtype.name].rpartition(".")
        return getattr(library if module else builtins, name)

    def _check_cast(self, symbol: Expr, found: str, wanted: np.dtype[Any], casting: Any) -> None:
        try:
            fits = np.dtype(found).kind in "biuf" and np.can_cast(np.dtype(found), wanted, casting)
        except TypeError:  # a dtype that NumPy does not have, as bfloat16
            fits = False
        if not fits:
            raise DtypeError(
                f"{self.name}: {symbol.describe()} wants {wanted}, and the array has {found}: convert it, or declare "
                f"the symbol with dtype={found!r}"
            )


def _name_of(dtype: Any) -> str:
    """Give the name of any library's dtype: that of ``torch.float32`` is in what it is printed as."""
    return getattr(dtype, "name", None) or str(dtype).rpartition(".")[2]


def _cast(value: Any, library: Any, dtype: Any) -> Any:
    if hasattr(value, "astype"):
        return value.astype(dtype)
    return library.astype(value, dtype) if hasattr(library, "astype") else value.to(dtype)

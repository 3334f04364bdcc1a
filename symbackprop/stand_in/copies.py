"""Copies of functions in which stand-ins are in the places of NumPy, SciPy, `math` and some of Python's own."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from symbackprop.expr import BY_ELEMENTS
from symbackprop.stand_in import distributions, numpys, pythons, scipys

_MODULES = frozenset({"math", "numpy", "scipy", "scipy.linalg", "scipy.special", "scipy.stats"})
_AS_THEY_ARE = frozenset({*sys.stdlib_module_names, "numpy", "scipy", "symbackprop"})
_KINDS = (BuiltinFunctionType, type(np.eye), type(np.sum), type(np.r_), type(np.c_), type)
_IN_PLACE_OF = {**numpys.IN_PLACE_OF, **pythons.IN_PLACE_OF}
_BUILTINS = {name: _IN_PLACE_OF.get(value, value) for name, value in vars(builtins).items() if callable(value)}


def on_symbols(f: Callable[..., Any]) -> Callable[..., Any]:
    """Give a copy of a function for which NumPy is the stand-in, in the functions that it calls too.

    Functions of Python's library, of NumPy and of SciPy stay as they are, and so does what is written in another
    language.

    >>> import symbackprop as sb
    >>> def rotation(t):
    ...     return np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
    >>> on_symbols(rotation)(sb.symbol("t")).shape
    (2, 2)
    """
    if isinstance(f, MethodType):
        return MethodType(on_symbols(f.__func__), f.__self__)
    return _Copies().of(f) if isinstance(f, FunctionType) else f


class _StandIn:
    """A module, but for what takes no expressions in it."""

    def __init__(self, module: ModuleType, replaced: Callable[[Any], Any]) -> None:
        self._module = module
        self._replaced = replaced

    def __getattr__(self, name: str) -> Any:
        return self._replaced(getattr(self._module, name))


class _Copies:
    """Copies of functions, which call each other and the stand-ins."""

    def __init__(self) -> None:
        self.made: dict[FunctionType, FunctionType] = {}
        self.builtins = {**vars(builtins), **_BUILTINS, "__import__": self.imported}
        self.names: dict[int, dict[str, Any]] = {}  # by module: what the copies know there

    def imported(self, *args: Any) -> Any:
        """Import for a function that has imports of its own."""
        return self.replaced(builtins.__import__(*args))

    def replaced(self, value: Any) -> Any:
        """Give what stands for a module, a function or another value in the copies."""
        if isinstance(value, ModuleType):
            stays = value.__name__ not in _MODULES and _is_as_it_is(value.__name__)
            return value if stays else _StandIn(value, self.replaced)
        if isinstance(value, FunctionType):
            if not _is_as_it_is(value.__module__):
                return self.of(value)
            return scipys.stand_in(value) or _IN_PLACE_OF.get(value, value)
        if type(value) is np.ndarray:
            return numpys.known(value)
        if type(value) in _KINDS:
            return _IN_PLACE_OF.get(value, value)
        return distributions.stand_in(value) or value

    def of(self, function: FunctionType) -> FunctionType:
        """Give the copy of a function."""
        if function not in self.made:
            old = function.__closure__ or ()
            cells = tuple(CellType() if _may_be_replaced(cell) else cell for cell in old)
            here = function.__globals__
            names = self.names.setdefault(
                id(here), {"__builtins__": self.builtins, "__name__": here.get("__name__"), BY_ELEMENTS: True}
            )
            copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__, cells or None)
            copy.__kwdefaults__ = function.__kwdefaults__
            self.made[function] = copy
            for name in _names_in(function.__code__):
                if name not in names and name in here:
                    names[name] = None  # while it is made, for functions that call each other
                    names[name] = self.replaced(here[name])
            for mine, cell in zip(cells, old, strict=True):
                if mine is not cell:  # others are shared, for who writes to them
                    mine.cell_contents = self.replaced(cell.cell_contents)
        return self.made[function]


def _is_as_it_is(module: str | None) -> bool:
    return (module or "").partition(".")[0] in _AS_THEY_ARE


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names_in(each)


def _may_be_replaced(cell: CellType) -> bool:
    try:
        content = cell.cell_contents
    except ValueError:  # it is filled later
        return False
    is_made = isinstance(content, FunctionType | ModuleType) or type(content) in {np.ndarray, *_KINDS}
    return is_made or distributions.stand_in(content) is not None

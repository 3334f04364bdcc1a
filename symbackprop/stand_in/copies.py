"""Copies of functions in which stand-ins are in the places of NumPy, SciPy, `math` and some of Python's own."""

from __future__ import annotations

import abc
import builtins
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from symbackprop.expr import BY_ELEMENTS
from symbackprop.stand_in import distributions, numpys, pythons, scipys

_MODULES = frozenset(
    {
        *(
            "math",
            "numpy",
            "numpy.linalg",
            "numpy.polynomial",
            "numpy.polynomial.polynomial",
            "scipy",
            "scipy.integrate",
        ),
        *("scipy.linalg", "scipy.optimize", "scipy.signal", "scipy.spatial", "scipy.spatial.distance", "scipy.special"),
        "scipy.stats",
    }
)
_AS_THEY_ARE = frozenset({*sys.stdlib_module_names, "numpy", "scipy", "symbackprop"}) - {"__main__"}
_KINDS = frozenset({BuiltinFunctionType, np.ufunc, type(np.sum), type(np.r_), type(np.c_)})
_IN_PLACE_OF = {**numpys.IN_PLACE_OF, **pythons.IN_PLACE_OF}
_BUILTINS = {name: _IN_PLACE_OF.get(value, value) for name, value in vars(builtins).items() if callable(value)}
_METHODS = (FunctionType, staticmethod, classmethod, property)
_CLASSES = (type, abc.ABCMeta)
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_OF_THE_CLASS_ITSELF = frozenset({"__dict__", "__weakref__", "_abc_impl"})


def on_symbols(f: Callable[..., Any]) -> Callable[..., Any]:
    """Give a copy of a function for which NumPy is the stand-in, in what it calls and uses too.

    Those of Python's library and of installed packages stay as they are, and so does what is written in another
    language.

    >>> import symbackprop as sb
    >>> def rotation(t):
    ...     return np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
    >>> on_symbols(rotation)(sb.symbol("t")).shape
    (2, 2)
    """
    copies = _Copies(getattr(f, "__module__", None) or "")
    copy = copies.replaced(f)

    def called(*args: Any, **keywords: Any) -> Any:
        return copy(*map(copies.replaced, args), **{key: copies.replaced(each) for key, each in keywords.items()})

    return called


class _StandIn:
    """A module, but for what takes no expressions in it."""

    def __init__(self, module: ModuleType, replaced: Callable[[Any], Any]) -> None:
        self._module = module
        self._replaced = replaced

    def __getattr__(self, name: str) -> Any:
        return self._replaced(getattr(self._module, name))


class _Copies:
    """Copies of functions and classes, which know each other and the stand-ins."""

    def __init__(self, home: str) -> None:
        self.home = home
        self.functions: dict[FunctionType, FunctionType] = {}
        self.classes: dict[type, type] = {}
        self.cells: dict[int, CellType] = {}
        self.builtins = {**vars(builtins), **_BUILTINS, "__import__": self.imported}
        self.random = numpys.Random()
        self.names: dict[int, dict[str, Any]] = {}  # by module: what the copies know there
        self.by_kind: dict[type, Callable[[Any], Any]] = {
            **dict.fromkeys(_CLASSES, self.class_or_type),
            **dict.fromkeys((dict, list, tuple), self.nest),
            FunctionType: self.function,
            MethodType: lambda bound: MethodType(self.replaced(bound.__func__), self.replaced(bound.__self__)),
            ModuleType: self.module,
            np.ndarray: numpys.known,
            partial: lambda given: partial(
                self.replaced(given.func), *self.nest(given.args), **self.nest(given.keywords)
            ),
        }

    def imported(self, *args: Any) -> Any:
        """Import for a function that has imports of its own."""
        return self.replaced(builtins.__import__(*args))

    def stays(self, module: str | None) -> bool:
        """Tell whether what is in a module is as it is in the copies too."""
        module = module or ""
        root = module.partition(".")[0]
        if module == self.home:
            return False
        return root in _AS_THEY_ARE or (root != self.home.partition(".")[0] and _is_installed(root))

    def replaced(self, value: Any) -> Any:
        """Give what stands for a module, a function, an object or another value in the copies."""
        kind = type(value)
        if (given := self.by_kind.get(kind)) is not None:
            return given(value)
        if kind in _KINDS:
            return _IN_PLACE_OF.get(value, value)
        return self.instance(value) if self.may_be_copied(kind) else distributions.stand_in(value) or value

    def function(self, value: FunctionType) -> Callable[..., Any]:
        """Give what stands for a function that is written in Python."""
        if BY_ELEMENTS in value.__globals__:  # a copy
            return value
        if not self.stays(value.__module__):
            return self.of(value)
        return scipys.stand_in(value) or _IN_PLACE_OF.get(value, value)

    def module(self, value: ModuleType) -> Any:
        """Give what stands for a module."""
        if value is np.random:
            return self.random
        has_known = value.__name__ in _MODULES or not self.stays(value.__name__)
        return _StandIn(value, self.replaced) if has_known else value

    def class_or_type(self, value: type) -> type:
        """Give what stands for a class."""
        return self.class_of(value) if self.may_be_copied(value) else _IN_PLACE_OF.get(value, value)

    def of(self, function: FunctionType) -> FunctionType:
        """Give the copy of a function."""
        if function not in self.functions:
            old = function.__closure__ or ()
            cells = tuple(self.cells.setdefault(id(cell), CellType()) if self.is_new(cell) else cell for cell in old)
            here = function.__globals__
            names = self.names.setdefault(
                id(here), {"__builtins__": self.builtins, "__name__": here.get("__name__"), BY_ELEMENTS: True}
            )
            copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__, cells or None)
            copy.__kwdefaults__ = function.__kwdefaults__
            self.functions[function] = copy
            for name in _names_in(function.__code__):
                if name not in names and name in here:
                    names[name] = None  # while it is made, for functions that call each other
                    names[name] = self.replaced(here[name])
            for mine, cell in zip(cells, old, strict=True):
                if mine is not cell:  # others are shared, for who writes to them
                    mine.cell_contents = self.replaced(cell.cell_contents)
        return self.functions[function]

    def is_new(self, cell: CellType) -> bool:
        """Tell whether something else may stand for the content of a cell."""
        try:
            content = cell.cell_contents
        except ValueError:  # it is filled later
            return False
        kind = type(content)
        if kind in self.by_kind or kind in _KINDS:
            return True
        return self.may_be_copied(kind) or distributions.stand_in(content) is not None

    def nest(self, nest: Any) -> Any:
        """Give a list, a tuple or a dict of what stands for what is in it, or itself where these are the same."""
        old = [*nest.values()] if isinstance(nest, dict) else [*nest]
        new = [self.replaced(each) for each in old]
        if all(each is before for each, before in zip(new, old, strict=True)):
            return nest
        return dict(zip(nest, new, strict=True)) if isinstance(nest, dict) else type(nest)(new)

    def may_be_copied(self, kind: type) -> bool:
        """Tell whether a class is one of Python's usual, and written by those who wrote the function."""
        is_written_in_python = kind.__flags__ & _HEAP_TYPE and kind.__dictoffset__
        if type(kind) not in _CLASSES or not is_written_in_python or BY_ELEMENTS in vars(kind):
            return False
        parents = [each for each in kind.__mro__ if each not in {object, abc.ABC}]
        hooks = {"__init_subclass__", "__slots__"}
        return not any(self.stays(each.__module__) or hooks & vars(each).keys() for each in parents)

    def class_of(self, original: type) -> type:
        """Give a class like another, with copies of the methods; so are the classes that it inherits from."""
        if original not in self.classes:
            parents = tuple(self.class_of(each) if self.may_be_copied(each) else each for each in original.__bases__)
            copy = self.classes[original] = type(original)(original.__name__, parents, {BY_ELEMENTS: True})
            for name, value in vars(original).items():
                if name not in _OF_THE_CLASS_ITSELF:
                    setattr(copy, name, self.member(value) if isinstance(value, _METHODS) else value)

            def attribute(owner: Any, name: str) -> Any:
                found = object.__getattribute__(owner, name)
                return found if name.startswith("__") else self.replaced(found)

            copy.__getattribute__ = attribute  # type: ignore[method-assign, assignment]
        return self.classes[original]

    def member(self, value: Any) -> Any:
        """Give the copy of a method."""
        if isinstance(value, staticmethod | classmethod):
            return type(value)(self.replaced(value.__func__))
        if isinstance(value, property):
            return property(*(each and self.replaced(each) for each in (value.fget, value.fset, value.fdel)))
        return self.replaced(value)

    def instance(self, original: Any) -> Any:
        """Give an object that shares all with another, but is of the copy of its class."""
        copy: Any = object.__new__(self.class_of(type(original)))
        object.__setattr__(copy, "__dict__", original.__dict__)
        return copy


@cache
def _is_installed(root: str) -> bool:
    file = getattr(sys.modules.get(root), "__file__", None) or ""
    return "site-packages" in file or "dist-packages" in file


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names_in(each)

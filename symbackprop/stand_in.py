"""A stand-in for NumPy in functions that are run on symbols: makers of arrays, for expressions and named sizes.

Whatever takes an array NumPy hands over to expressions. What makes one, of lists or of sizes (``np.array([x, y])``,
``np.eye(n)``), it does not: for these a function is run with the stand-in in the place of NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from symbackprop import ops
from symbackprop.dims import Dim
from symbackprop.expr import Expr
from symbackprop.ops.protocols import understood

_OURS: dict[str, Callable[..., Any]] = {
    "arange": ops.arange,
    "array": ops.array,
    "asanyarray": ops.asarray,
    "asarray": ops.asarray,
    "ascontiguousarray": ops.asarray,
    "eye": ops.eye,
    "full": ops.full,
    "identity": ops.identity,
    "linspace": ops.linspace,
    "ones": ops.ones,
    "tri": ops.tri,
    "zeros": ops.zeros,
}


def _is_symbolic(value: object) -> bool:
    return isinstance(value, Expr | Dim) or (isinstance(value, list | tuple) and any(map(_is_symbolic, value)))


def _either(name: str) -> Callable[..., Any]:
    """Give a function that is NumPy's for numbers and ours for what is symbolic."""
    numpys, ours = getattr(np, name), _OURS[name]

    def made(*args: Any, **keywords: Any) -> Any:
        if not any(map(_is_symbolic, (*args, *keywords.values()))):
            return numpys(*args, **keywords)
        keywords.pop("copy", None)  # an expression never changes
        return ours(*args, **understood(ours, f"np.{name}", keywords, {}))

    made.__name__ = name
    return made


class _StandIn:
    """NumPy, but for the makers of arrays."""

    def __init__(self) -> None:
        vars(self).update({name: _either(name) for name in _OURS})

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


_NUMPY = _StandIn()
_IN_PLACE_OF = {getattr(np, name): getattr(_NUMPY, name) for name in _OURS}


def on_symbols(f: Callable[..., Any]) -> Callable[..., Any]:
    """Give a copy of a function for which NumPy is the stand-in, in the functions of its module that it calls too.

    What is written in another language or module stays as it is.

    >>> import symbackprop as sb
    >>> def rotation(t):
    ...     return np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
    >>> on_symbols(rotation)(sb.symbol("t")).shape
    (2, 2)
    """
    if isinstance(f, MethodType):
        return MethodType(on_symbols(f.__func__), f.__self__)
    if not isinstance(f, FunctionType):
        return f
    return _Copies(f.__globals__).of(f)


class _Copies:
    """Copies of the functions of one module, which call each other and the stand-in."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.originals = names
        self.made: dict[FunctionType, FunctionType] = {}
        self.names: dict[str, Any] = {}
        self.names.update({name: self.replaced(value) for name, value in names.items()})

    def replaced(self, value: Any) -> Any:
        """Give what stands for a value in the copies."""
        if value is np:
            return _NUMPY
        if isinstance(value, FunctionType) and value.__globals__ is self.originals:
            return self.of(value)
        return _IN_PLACE_OF.get(value, value) if isinstance(value, _KINDS) else value

    def of(self, function: FunctionType) -> FunctionType:
        """Give the copy of a function."""
        if function not in self.made:
            old = function.__closure__ or ()
            cells = tuple(CellType() if isinstance(_content(cell), (FunctionType, *_KINDS)) else cell for cell in old)
            copy = FunctionType(function.__code__, self.names, function.__name__, function.__defaults__, cells or None)
            copy.__kwdefaults__ = function.__kwdefaults__
            self.made[function] = copy
            for mine, cell in zip(cells, old, strict=True):
                if mine is not cell:  # others are shared, for who writes to them
                    mine.cell_contents = self.replaced(cell.cell_contents)
        return self.made[function]


_KINDS = (BuiltinFunctionType, type(np.eye), ModuleType)


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is filled later
        return None

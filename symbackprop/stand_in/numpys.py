"""What stands for NumPy's makers of arrays: they take expressions and named sizes too.

Whatever takes an array NumPy hands over to expressions. What makes one, of lists or of sizes (``np.array([x, y])``,
``np.eye(n)``, ``np.c_[x, y]``), it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from symbackprop import ops
from symbackprop.errors import ArgumentError
from symbackprop.expr import Expr
from symbackprop.ops.protocols import understood
from symbackprop.stand_in.symbolic import is_symbolic

_OURS: dict[str, Callable[..., Any]] = {
    "arange": ops.arange,
    "array": ops.array,
    "asanyarray": ops.asarray,
    "asarray": ops.asarray,
    "ascontiguousarray": ops.asarray,
    "empty": ops.zeros,
    "eye": ops.eye,
    "full": ops.full,
    "identity": ops.identity,
    "linspace": ops.linspace,
    "ones": ops.ones,
    "tri": ops.tri,
    "zeros": ops.zeros,
}


class _Known(np.ndarray):
    """An array of numbers, made while a function is run on symbols: it may be indexed by expressions."""

    def __getitem__(self, index: Any) -> Any:
        if is_symbolic(index):
            return ops.constant(np.asarray(self))[index]
        return super().__getitem__(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        if is_symbolic(index) or is_symbolic(value):
            what = value if isinstance(value, Expr) else index
            shown = what.describe() if isinstance(what, Expr) else repr(what)
            msg = (
                f"{shown} cannot be written into an array of numbers: make it of its elements, as in np.array of a "
                "list that a loop appends to, or begin with y = sb.zeros(shape) and write "
                "y = y.at[index].set(value) in place of y[index] = value, and .add for +="
            )
            raise TypeError(msg)
        super().__setitem__(index, value)

    def __array_wrap__(self, array: Any, _context: Any = None, return_scalar: bool = False) -> Any:  # noqa: FBT001, FBT002  (NumPy's protocol)
        return array[()] if return_scalar else array.view(_Known)


def known(array: np.ndarray) -> np.ndarray:
    """Give the same array, which expressions may index."""
    return array.view(_Known) if array.dtype.kind in "biuf" else array


def _either(name: str) -> Callable[..., Any]:
    """Give a function that is NumPy's for numbers and ours for what is symbolic."""
    numpys, ours = getattr(np, name), _OURS[name]

    def made(*args: Any, **keywords: Any) -> Any:
        if not any(map(is_symbolic, (*args, *keywords.values()))):
            found = numpys(*args, **keywords)
            return known(found) if type(found) is np.ndarray else found
        keywords.pop("copy", None)  # an expression never changes
        return ours(*args, **understood(ours, f"np.{name}", keywords, {}))

    made.__name__ = name
    return made


def _of_lists(numpys: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function of NumPy that takes a list of expressions for an array too."""

    def called(*args: Any, **keywords: Any) -> Any:
        if args and isinstance(args[0], list | tuple) and is_symbolic(args[0]):
            args = (ops.array(args[0]), *args[1:])
        return numpys(*args, **keywords)

    called.__name__ = numpys.__name__
    return called


_OF_LISTS = ("argmax", "argmin", "cumsum", "diff", "max", "mean", "median", "min", "prod", "sort", "std", "sum", "var")


class _IsArray(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, np.ndarray) or (isinstance(value, Expr) and value.ndim > 0)

    def __call__(cls, *args: Any, **keywords: Any) -> Any:
        return np.ndarray(*args, **keywords)


class _Array(metaclass=_IsArray):
    """NumPy's class of arrays, of which expressions that have axes are taken for instances."""


def _isscalar(element: Any) -> bool:
    return not element.shape if isinstance(element, Expr) else np.isscalar(element)


class _Joined:
    """NumPy's `r_` and `c_`, for expressions too."""

    def __init__(self, numpys: Any, name: str) -> None:
        self._numpys = numpys
        self._name = name

    def __getitem__(self, parts: Any) -> Any:
        parts = parts if isinstance(parts, tuple) else (parts,)
        if not any(map(is_symbolic, parts)):
            return self._numpys[parts]
        return ops.concatenate([self._part(part) for part in parts], axis=0 if self._name == "r_" else -1)

    def _part(self, part: Any) -> Any:
        if isinstance(part, str):
            msg = f"np.{self._name}[{part!r}, …] of expressions: write np.concatenate or np.stack with the axis"
            raise ArgumentError(msg)
        if isinstance(part, slice):
            return self._numpys[part]
        part = ops.atleast_1d(ops.array(part))
        return part[:, None] if self._name == "c_" and part.ndim == 1 else part


IN_PLACE_OF: dict[Any, Any] = {getattr(np, name): _either(name) for name in _OURS}
IN_PLACE_OF[np.isscalar] = _isscalar
IN_PLACE_OF.update({getattr(np, name): _of_lists(getattr(np, name)) for name in _OF_LISTS})
IN_PLACE_OF[np.ndarray] = _Array
IN_PLACE_OF[np.r_] = _Joined(np.r_, "r_")
IN_PLACE_OF[np.c_] = _Joined(np.c_, "c_")

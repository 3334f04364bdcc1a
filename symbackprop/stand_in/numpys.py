"""What stands for NumPy's makers of arrays: they take expressions and named sizes too.

Whatever takes an array NumPy hands over to expressions. What makes one, of lists or of sizes (``np.array([x, y])``,
``np.eye(n)``, ``np.c_[x, y]``), it does not.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from symbackprop import ops
from symbackprop.errors import ArgumentError, TracingWarning
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


class _OfLists:
    """A function of NumPy that takes lists of expressions for arrays too."""

    def __init__(self, numpys: Any) -> None:
        self._numpys = numpys

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        takes_sizes = self._numpys.__name__ in _OF_SIZES
        return self._numpys(
            *[ops.array(each) if _is_list(each, takes_sizes) else each for each in args],
            **{key: ops.array(each) if _is_list(each, takes_sizes) else each for key, each in keywords.items()},
        )

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._numpys, name)
        return _OfLists(found) if name in {"accumulate", "outer", "reduce"} else found


def _is_list(value: object, takes_sizes: bool) -> bool:  # noqa: FBT001  (private)
    """Tell whether a value is a list of expressions; one of sizes is a shape, but for functions of numbers."""
    if not isinstance(value, list | tuple):
        return False
    return any(isinstance(each, Expr) or _is_list(each, takes_sizes) for each in value) or (
        takes_sizes and is_symbolic(value)
    )


_OF_SIZES = frozenset({"max", "min", "prod", "sum"})
_OF_SEVERAL = frozenset(
    {
        *(
            "block",
            "broadcast_arrays",
            "choose",
            "column_stack",
            "concat",
            "concatenate",
            "dstack",
            "einsum",
            "einsum_path",
        ),
        *("hstack", "ix_", "lexsort", "meshgrid", "multi_dot", "ndim", "piecewise", "select", "shape", "size", "stack"),
        *("unstack", "vstack"),
    }
)  # which take lists of arrays


def _empty_like(prototype: Any, *args: Any, **keywords: Any) -> Any:
    return (ops.zeros_like if isinstance(prototype, Expr) else np.empty_like)(prototype, *args, **keywords)


def _ndenumerate(arr: Any) -> Iterator[tuple[tuple[int, ...], Any]]:
    return ((index, arr[index]) for index in np.ndindex(arr.shape))


def _vectorize(pyfunc: Callable[..., Any], *options: Any, **named: Any) -> Callable[..., Any]:
    """Give what calls a function for each element."""
    numpys = np.vectorize(pyfunc, *options, **named)

    def called(*args: Any) -> Any:
        if not any(map(is_symbolic, args)):
            return numpys(*args)
        if options or named:
            msg = f"np.vectorize of expressions takes no options: {', '.join(named) or options}"
            raise ArgumentError(msg)
        arrays = ops.broadcast_arrays(*[ops.asarray(each) for each in args])
        shape = arrays[0].shape
        elements = [ops.asarray(pyfunc(*[each[index] for each in arrays])) for index in np.ndindex(shape)]
        return ops.reshape(ops.stack(elements), shape)

    return called


def _apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **keywords: Any) -> Any:
    if not isinstance(arr, Expr):
        return np.apply_along_axis(func1d, axis, arr, *args, **keywords)
    rows = ops.moveaxis(arr, axis, -1)
    found = [ops.asarray(func1d(rows[index], *args, **keywords)) for index in np.ndindex(rows.shape[:-1])]
    made = ops.reshape(ops.stack(found), (*rows.shape[:-1], *found[0].shape))
    return ops.moveaxis(made, -1, axis) if found[0].ndim == 1 else made


def _polyval(x: Any, c: Any, tensor: bool = True) -> Any:  # noqa: FBT001, FBT002  (NumPy's)
    if not (is_symbolic(x) or is_symbolic(c)):
        return np.polynomial.polynomial.polyval(x, c, tensor)
    return ops.polyval(ops.asarray(c)[::-1], x)


class _IsArray(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, np.ndarray) or (isinstance(value, Expr) and value.ndim > 0)

    def __call__(cls, *args: Any, **keywords: Any) -> Any:
        return np.ndarray(*args, **keywords)


class _Array(metaclass=_IsArray):
    """NumPy's class of arrays, of which expressions that have axes are taken for instances."""


def _isscalar(element: Any) -> bool:
    return not element.shape if isinstance(element, Expr) else np.isscalar(element)


class Random:
    """The module of NumPy that draws random numbers: they are drawn once, which is told unless a seed was set."""

    def __init__(self) -> None:
        self._is_seeded = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(np.random, name)
        if isinstance(found, type) or not callable(found):
            return found

        def drawn(*args: Any, **keywords: Any) -> Any:
            self._is_seeded |= name == "seed"
            has_seed = name == "default_rng" and any(each is not None for each in (*args, *keywords.values()))
            if not (self._is_seeded or has_seed):
                msg = (
                    f"np.random.{name}: a function is run once on symbols, so that its later calls have the same "
                    "random numbers: make them outside of it and pass them as an argument, or set a seed"
                )
                warnings.warn(msg, TracingWarning, stacklevel=2)
            made = found(*args, **keywords)
            return known(made) if type(made) is np.ndarray else made

        return drawn


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
for _module in (np, np.linalg):
    IN_PLACE_OF.update(
        {
            value: _OfLists(value)
            for name, value in vars(_module).items()
            if isinstance(value, np.ufunc | type(np.sum)) and value not in IN_PLACE_OF and name not in _OF_SEVERAL
        }
    )
IN_PLACE_OF[np.apply_along_axis] = _apply_along_axis
IN_PLACE_OF[np.empty_like] = _empty_like
IN_PLACE_OF[np.ndenumerate] = _ndenumerate
IN_PLACE_OF[np.polynomial.polynomial.polyval] = _polyval
IN_PLACE_OF[np.vectorize] = _vectorize
IN_PLACE_OF[np.ndarray] = _Array
IN_PLACE_OF[np.r_] = _Joined(np.r_, "r_")
IN_PLACE_OF[np.c_] = _Joined(np.c_, "c_")

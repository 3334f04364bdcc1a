"""What stands for the functions of `math`, and for Python's own `max`, `min`, `sorted` and `float`."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from symbackprop import ops
from symbackprop.expr import Expr
from symbackprop.stand_in.symbolic import is_symbolic


def _log(x: Any, base: Any = None) -> Any:
    return np.log(x) if base is None else np.log(x) / np.log(base)


_MATHS: dict[str, Callable[..., Any]] = {
    **{name: getattr(ops, name) for name in ("cos", "cosh", "erf", "erfc", "exp", "exp2", "expm1", "sin", "sinh")},
    **{name: getattr(ops, name) for name in ("cbrt", "log10", "log1p", "log2", "sqrt", "tan", "tanh", "fabs")},
    **{name: getattr(ops, name) for name in ("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "copysign")},
    **{name: getattr(ops, name) for name in ("ceil", "degrees", "floor", "fmod", "gamma", "radians", "trunc")},
    **{name: getattr(ops, name) for name in ("isfinite", "isinf", "isnan")},
    "dist": lambda p, q: ops.linalg.norm(ops.array(p) - ops.array(q)),
    "fsum": lambda terms: ops.sum(ops.array(terms)),
    "hypot": lambda *sides: ops.linalg.norm(ops.stack(sides)),
    "lgamma": ops.gammaln,
    "log": _log,
    "pow": ops.power,
    "prod": lambda terms: ops.prod(ops.array(terms)),
}


def _of_numbers(name: str, ours: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function of `math` that takes expressions without axes too."""
    maths = getattr(math, name)

    def called(*args: Any) -> Any:
        args = tuple([*each] if name in {"fsum", "prod"} else each for each in args)
        if not any(map(is_symbolic, args)):
            return maths(*args)
        for each in args:
            if isinstance(each, Expr) and each.ndim and name not in {"dist", "fsum", "prod"}:
                msg = f"math.{name} takes numbers, and {each.describe()} is an array: write np.{ours.__name__}"
                raise TypeError(msg)
        return ours(*args)

    called.__name__ = name
    return called


def _extreme(name: str, pair: Callable[[Any, Any], Expr]) -> Callable[..., Any]:
    """Give Python's `max` or `min` for expressions without axes too; of several that are equal, it is the first."""
    pythons = getattr(builtins, name)

    def called(*args: Any, **keywords: Any) -> Any:
        parts = [*args[0]] if len(args) == 1 else [*args]
        if keywords or not any(isinstance(each, Expr) for each in parts) or any(np.ndim(each) for each in parts):
            return pythons(parts, **keywords) if len(args) == 1 else pythons(*args, **keywords)
        return reduce(pair, parts)

    called.__name__ = name
    return called


def _sorted(iterable: Any, **keywords: Any) -> list[Any]:
    """Give Python's `sorted` for expressions without axes too."""
    parts = [*iterable]
    if keywords.get("key") or not any(isinstance(each, Expr) for each in parts) or any(np.ndim(each) for each in parts):
        return sorted(parts, **keywords)
    found = [*ops.sort(ops.stack(parts))]
    return found[::-1] if keywords.get("reverse") else found


class _OfFloats(type):
    """The kind of a class that gives expressions back, where the original would make a number of one."""

    original: type

    def __instancecheck__(cls, value: object) -> bool:
        is_number = isinstance(value, Expr) and not value.shape and value.dtype == "float64"
        return is_number or isinstance(value, cls.original)

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, cls.original)

    def __eq__(cls, other: object) -> bool:
        return other is cls.original or other is cls

    def __hash__(cls) -> int:
        return hash(cls.original)

    def __call__(cls, value: Any = 0.0) -> Any:
        if not isinstance(value, Expr):
            return cls.original(value)
        if value.size != 1:
            msg = f"only arrays of one element are one number: {value.describe()}"
            raise TypeError(msg)
        one = ops.reshape(value, ())
        return one if one.dtype.kind == "f" else one.astype(float)


class _Float(float, metaclass=_OfFloats):
    """Python's class of floats."""

    original = float
    dtype = np.dtype("float64")  # what NumPy takes it for


class _Float64(np.float64, metaclass=_OfFloats):
    """NumPy's class of floats."""

    original = np.float64
    dtype = np.dtype("float64")  # type: ignore[assignment]


IN_PLACE_OF: dict[Any, Any] = {getattr(math, name): _of_numbers(name, ours) for name, ours in _MATHS.items()}
IN_PLACE_OF[max] = _extreme("max", ops.maximum)
IN_PLACE_OF[min] = _extreme("min", ops.minimum)
IN_PLACE_OF[sorted] = _sorted
IN_PLACE_OF[float] = _Float
IN_PLACE_OF[np.float64] = _Float64

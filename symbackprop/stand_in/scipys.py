"""What stands for SciPy's functions that are written in Python: its ufuncs it hands over to expressions itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import FunctionType
from typing import Any

import numpy as np

from symbackprop import ops
from symbackprop.expr import Expr
from symbackprop.ops.protocols import understood
from symbackprop.stand_in.symbolic import is_symbolic


def _cholesky(a: Any, lower: bool = False) -> Expr:  # noqa: FBT001, FBT002  (SciPy's)
    found = ops.linalg.cholesky(a)
    return found if lower else ops.matrix_transpose(found)


def _cho_factor(a: Any, lower: bool = False) -> tuple[Expr, bool]:  # noqa: FBT001, FBT002  (SciPy's)
    return _cholesky(a, lower), lower


def _cho_solve(c_and_lower: tuple[Any, bool], b: Any) -> Expr:
    factor, lower = c_and_lower
    half = ops.linalg.solve_triangular(factor, b, trans=0 if lower else 1, lower=lower)
    return ops.linalg.solve_triangular(factor, half, trans=1 if lower else 0, lower=lower)


def _softmax(x: Any, axis: Any = None) -> Expr:
    return ops.softmax(x, axis=range(-np.ndim(x), 0) if axis is None else axis)


def _log_softmax(x: Any, axis: Any = None) -> Expr:
    return ops.log_softmax(x, axis=range(-np.ndim(x), 0) if axis is None else axis)


_OURS: dict[str, dict[str, Callable[..., Any]]] = {
    "scipy.special": {"log_softmax": _log_softmax, "logsumexp": ops.logsumexp, "softmax": _softmax},
    "scipy.linalg": {
        "cho_factor": _cho_factor,
        "cho_solve": _cho_solve,
        "cholesky": _cholesky,
        "det": ops.linalg.det,
        "expm": ops.linalg.expm,
        "inv": ops.linalg.inv,
        "norm": ops.linalg.norm,
        "solve": ops.linalg.solve,
        "solve_triangular": ops.linalg.solve_triangular,
        "toeplitz": ops.linalg.toeplitz,
    },
}
_OF_MEMORY = frozenset({"check_finite", "overwrite_a", "overwrite_b"})


def stand_in(value: FunctionType) -> Callable[..., Any] | None:
    """Give what stands for a function of SciPy, if there is something."""
    package = ".".join((value.__module__ or "").split(".")[:2])
    ours = _OURS.get(package, {}).get(value.__name__)
    return None if ours is None else _either(value, ours)


@lru_cache(None)
def _either(scipys: FunctionType, ours: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function that is SciPy's for numbers and ours for what is symbolic."""

    def called(*args: Any, **keywords: Any) -> Any:
        if not any(map(is_symbolic, (*args, *keywords.values()))):
            return scipys(*args, **keywords)
        told = {key: value for key, value in keywords.items() if key not in _OF_MEMORY}
        if args and isinstance(args[0], list):
            args = (ops.array(args[0]), *args[1:])
        return ours(*args, **understood(ours, f"{scipys.__module__.rpartition('._')[0]}.{scipys.__name__}", told, {}))

    called.__name__ = scipys.__name__
    return called

"""What stands for SciPy's functions that are written in Python: its ufuncs it hands over to expressions itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import FunctionType
from typing import Any

from symbackprop import ops
from symbackprop.ops.protocols import understood
from symbackprop.stand_in import formulas
from symbackprop.stand_in.symbolic import is_symbolic

_OURS: dict[str, dict[str, Callable[..., Any]]] = {
    "scipy.integrate": {
        "cumulative_trapezoid": formulas.cumulative_trapezoid,
        "simpson": formulas.simpson,
        "trapezoid": ops.trapezoid,
    },
    "scipy.linalg": {
        "block_diag": formulas.block_diag,
        "cho_factor": formulas.cho_factor,
        "cho_solve": formulas.cho_solve,
        "cholesky": formulas.cholesky,
        "det": ops.linalg.det,
        "eigh": formulas.eigh,
        "eigvalsh": formulas.eigvalsh,
        "expm": ops.linalg.expm,
        "inv": ops.linalg.inv,
        "norm": ops.linalg.norm,
        "pinv": ops.linalg.pinv,
        "qr": formulas.qr,
        "solve": formulas.solve,
        "solve_triangular": ops.linalg.solve_triangular,
        "svd": formulas.svd,
        "svdvals": ops.linalg.svdvals,
        "toeplitz": ops.linalg.toeplitz,
    },
    "scipy.optimize": {"rosen": formulas.rosen},
    "scipy.signal": {
        "convolve": formulas.convolve,
        "correlate": formulas.correlate,
        "fftconvolve": formulas.convolve,
        "lfilter": formulas.lfilter,
        "oaconvolve": formulas.convolve,
    },
    "scipy.spatial": {"cdist": formulas.cdist, "pdist": formulas.pdist, **formulas.DISTANCES},
    "scipy.special": {
        "log_softmax": formulas.log_softmax,
        "logsumexp": ops.logsumexp,
        "multigammaln": formulas.multigammaln,
        "softmax": formulas.softmax,
    },
    "scipy.stats": {
        "entropy": formulas.entropy,
        "gmean": formulas.gmean,
        "hmean": formulas.hmean,
        "kurtosis": formulas.kurtosis,
        "skew": formulas.skew,
        "zscore": formulas.zscore,
    },
}
_OF_MEMORY = frozenset({"check_finite", "method", "overwrite_a", "overwrite_b"})  # how it is computed, not what


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

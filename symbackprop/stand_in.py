"""A stand-in for NumPy in functions that are run on symbols: makers of arrays, for expressions and named sizes.

Whatever takes an array NumPy hands over to expressions. What makes one, of lists or of sizes (``np.array([x, y])``,
``np.eye(n)``), it does not: for these a function is run with the stand-in in the place of NumPy. SciPy hands over its
ufuncs alone; `_SCIPYS` are functions of it that are written in Python.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from functools import lru_cache
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
    "empty": ops.zeros,
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


class _Known(np.ndarray):
    """An array of numbers, made while a function is run on symbols: it may be indexed by expressions."""

    def __getitem__(self, index: Any) -> Any:
        if _is_symbolic(index):
            return ops.constant(np.asarray(self))[index]
        return super().__getitem__(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        if _is_symbolic(index) or _is_symbolic(value):
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


def _either(name: str) -> Callable[..., Any]:
    """Give a function that is NumPy's for numbers and ours for what is symbolic."""
    numpys, ours = getattr(np, name), _OURS[name]

    def made(*args: Any, **keywords: Any) -> Any:
        if not any(map(_is_symbolic, (*args, *keywords.values()))):
            found = numpys(*args, **keywords)
            return found.view(_Known) if type(found) is np.ndarray and found.dtype.kind in "biuf" else found
        keywords.pop("copy", None)  # an expression never changes
        return ours(*args, **understood(ours, f"np.{name}", keywords, {}))

    made.__name__ = name
    return made


def _of_lists(numpys: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function of NumPy that takes a list of expressions for an array too."""

    def called(*args: Any, **keywords: Any) -> Any:
        if args and isinstance(args[0], list | tuple) and _is_symbolic(args[0]):
            args = (ops.array(args[0]), *args[1:])
        return numpys(*args, **keywords)

    called.__name__ = numpys.__name__
    return called


_OF_LISTS = ("argmax", "argmin", "cumsum", "diff", "max", "mean", "median", "min", "prod", "sort", "std", "sum", "var")


# --- SciPy's functions that are written in Python -------------------------------------------------------------


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


_SCIPYS: dict[str, dict[str, Callable[..., Any]]] = {
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


class _IsArray(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, np.ndarray) or (isinstance(value, Expr) and value.ndim > 0)

    def __call__(cls, *args: Any, **keywords: Any) -> Any:
        return np.ndarray(*args, **keywords)


class _Array(metaclass=_IsArray):
    """NumPy's class of arrays, of which expressions that have axes are taken for instances."""


def _isscalar(element: Any) -> bool:
    return not element.shape if isinstance(element, Expr) else np.isscalar(element)


class _Normal:
    """The normal distribution of scipy.stats, for expressions too."""

    def __init__(self, scipys: Any) -> None:
        self._scipys = scipys

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self._scipys(*args, **keywords)

    def __getattr__(self, name: str) -> Any:
        scipys = getattr(self._scipys, name)
        if name not in _NORMAL:
            return scipys
        ours = _NORMAL[name]

        def method(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
            return ours(x, loc, scale) if any(map(_is_symbolic, (x, loc, scale))) else scipys(x, loc, scale)

        return method


def _log_density(x: Any, loc: Any, scale: Any) -> Any:
    return -(((x - loc) / scale) ** 2) / 2 - np.log(scale) - math.log(2 * math.pi) / 2


_NORMAL: dict[str, Callable[[Any, Any, Any], Any]] = {
    "cdf": lambda x, loc, scale: ops.ndtr((x - loc) / scale),
    "logcdf": lambda x, loc, scale: ops.log_ndtr((x - loc) / scale),
    "logpdf": _log_density,
    "logsf": lambda x, loc, scale: ops.log_ndtr((loc - x) / scale),
    "pdf": lambda x, loc, scale: np.exp(_log_density(x, loc, scale)),
    "ppf": lambda q, loc, scale: loc + scale * ops.ndtri(q),
    "sf": lambda x, loc, scale: ops.ndtr((loc - x) / scale),
}
_OF_MEMORY = frozenset({"check_finite", "overwrite_a", "overwrite_b"})


def _ours_of(value: FunctionType) -> Callable[..., Any] | None:
    """Give ours for a function of SciPy."""
    package = ".".join((value.__module__ or "").split(".")[:2])
    return _SCIPYS.get(package, {}).get(value.__name__)


@lru_cache(None)
def _either_of_scipy(scipys: FunctionType, ours: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function that is SciPy's for numbers and ours for what is symbolic."""

    def called(*args: Any, **keywords: Any) -> Any:
        if not any(map(_is_symbolic, (*args, *keywords.values()))):
            return scipys(*args, **keywords)
        told = {key: value for key, value in keywords.items() if key not in _OF_MEMORY}
        if args and isinstance(args[0], list):
            args = (ops.array(args[0]), *args[1:])
        return ours(*args, **understood(ours, f"{scipys.__module__.rpartition('._')[0]}.{scipys.__name__}", told, {}))

    called.__name__ = scipys.__name__
    return called


class _StandIn:
    """A module, but for what takes no expressions in it."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return _replaced(getattr(self._module, name))


def _replaced(value: Any) -> Any:
    """Give what stands for a module, or a function of it, where functions are run on symbols."""
    if isinstance(value, ModuleType):
        if value is np:
            return _NUMPY
        return _StandIn(value) if value.__name__ in _SCIPY_MODULES else value
    if value is np.ndarray:
        return _Array
    if type(value).__name__ == _NORMAL_CLASS:
        return _Normal(value)
    if isinstance(value, FunctionType) and (ours := _ours_of(value)) is not None:
        return _either_of_scipy(value, ours)
    return _IN_PLACE_OF.get(value, value) if isinstance(value, _KINDS) else value


def _imported(*args: Any) -> Any:
    """Import for a function that has imports of its own."""
    return _replaced(builtins.__import__(*args))


_SCIPY_MODULES = frozenset({"scipy", "scipy.linalg", "scipy.special", "scipy.stats"})
_NORMAL_CLASS = "norm_gen"  # SciPy is imported by who uses it
_BUILTINS = {**vars(builtins), "__import__": _imported}
_KINDS = (BuiltinFunctionType, type(np.eye), type(np.sum), ModuleType)
_IN_PLACE_OF = {getattr(np, name): _either(name) for name in _OURS}
_IN_PLACE_OF[np.isscalar] = _isscalar
_IN_PLACE_OF.update({getattr(np, name): _of_lists(getattr(np, name)) for name in _OF_LISTS})
_NUMPY = _StandIn(np)


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
        self.names: dict[str, Any] = {"__builtins__": _BUILTINS}  # read when a function is made
        self.names.update({name: self.replaced(value) for name, value in names.items() if name != "__builtins__"})

    def replaced(self, value: Any) -> Any:
        """Give what stands for a value in the copies."""
        if isinstance(value, FunctionType) and value.__globals__ is self.originals:
            return self.of(value)
        return _replaced(value)

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


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is filled later
        return None

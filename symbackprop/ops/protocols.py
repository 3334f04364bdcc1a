"""NumPy's protocols: which of the operations a ufunc, a method of one, or a function of NumPy stands for.

Everything is found by NumPy's name, so an operation that is added is reached at once. What has no symbolic form says
why, and what to write instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, reduce
from itertools import accumulate
from typing import Any, NoReturn, TypeAlias

import numpy as np

from symbackprop import dims, ops
from symbackprop.dims import Dim
from symbackprop.errors import ArgumentError, DtypeError, ShapeError
from symbackprop.expr import Expr
from symbackprop.op import Op, check_dtype
from symbackprop.ops.layout import on_axis
from symbackprop.refusals import WRITING, no_form

Function: TypeAlias = Callable[..., Any]

# NumPy's other names of reductions; those of functions of each element are names of ours too.
_OTHER_NAMES = {
    "amax": "max",
    "amin": "min",
}
_REDUCTIONS = {
    "add": "sum",
    "bitwise_and": "all",
    "bitwise_or": "any",
    "fmax": "nanmax",
    "fmin": "nanmin",
    "logaddexp": "logsumexp",
    "logical_and": "all",
    "logical_or": "any",
    "maximum": "max",
    "minimum": "min",
    "multiply": "prod",
}
_SCANS = {"add": "cumsum", "maximum": "cummax", "minimum": "cummin", "multiply": "cumprod"}
_LINALG_AS_TOP = frozenset({"cross", "matmul", "matrix_transpose", "outer", "tensordot", "vecdot"})
_CASTING_FIRST = frozenset({
    "cumprod", "cumsum", "mean", "nancumprod", "nancumsum", "nanmean", "nanprod", "nanstd", "nansum", "nanvar", "prod",
    "std", "sum", "trace", "var",
})  # fmt: skip

_KEYWORDS = {
    "casting": "is given with dtype=",
    "dtype": "has no symbolic form here: convert with .astype(…)",
    "like": "is not needed: what is computed from an expression is one",
    "order": "is the layout in memory, which the generated code decides: leave it out",
    "out": "writes into an array, and expressions never change: take what the call returns (a = a + x for a += x); "
    "for a[index] += x begin with sb.zeros and write a = a.at[index].add(x)",
    "where": "leaves the other elements as they were in memory: write sb.where(condition, value, other)",
}


def _refuse(what: str) -> NoReturn:
    raise ArgumentError(no_form(what.removeprefix("np.")))


def _no_keyword(what: str, keyword: str) -> NoReturn:
    raise ArgumentError(f"{what}: {keyword}= {_KEYWORDS.get(keyword, 'has no symbolic form: leave it out')}")


def _named(name: str, space: Any = ops) -> Function | None:
    for each in (name, _OTHER_NAMES.get(name, "")):
        if each in space.__all__:
            return getattr(space, each)  # type: ignore[no-any-return]
    return None


# --- ufuncs ---------------------------------------------------------------------------------------------------


def of_ufunc(ufunc: np.ufunc, method: str, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """Give what ``ufunc(*inputs)``, or a method of a ufunc, makes of expressions.

    Raises:
        ArgumentError: it has no symbolic form, or a keyword has none.
        DtypeError: ``dtype=`` is none that the ufunc can be computed in.
    """
    name = ufunc.__name__
    full = f"np.{name}" if hasattr(np, name) else f"scipy.special.{name}"
    what = full if method == "__call__" else f"{full}.{method}"
    only_sizes = not any(isinstance(each, Expr | np.ndarray | np.generic) for each in inputs)
    given = [ops.size_of(each, "int64") if only_sizes and isinstance(each, Dim) else each for each in inputs]
    told = {key: value for key, value in keywords.items() if not _is_default(key, value)}
    for key in ("out", "where", "order", "subok"):
        if key in told and (key != "where" or method == "__call__"):
            _no_keyword(what, key)
    if method == "__call__":
        return _called(ufunc, what, given, told)
    if method == "outer":
        return _outer(ufunc, what, given, told)
    if method == "reduce":
        return _reduced(ufunc, what, given[0], **told)
    if method == "accumulate":
        return _accumulated(ufunc, what, given[0], **told)
    if method == "at":
        raise ArgumentError(f"{what} {_KEYWORDS['out'].partition(':')[0]}: write y = x.at[index].add(values)")
    raise ArgumentError(f"{what} has no symbolic form in symbackprop: take the ufunc of the slices")


def _is_default(key: str, value: Any) -> bool:
    if key == "out":
        return value is None or (isinstance(value, tuple) and all(each is None for each in value))
    if key in {"where", "subok"}:
        return value is True
    return (value is None and key != "axis") or (key == "order" and value in {"C", "K", "A"})


def _elementary(ufunc: np.ufunc, what: str) -> Function:
    return _named(ufunc.__name__) or _refuse(what)


def _called(ufunc: np.ufunc, what: str, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    function = _elementary(ufunc, what)
    if not keywords:
        return function(*inputs)
    if keywords.keys() <= {"axis"} & _parameters(function).names:
        return function(*inputs, **keywords)
    unknown = keywords.keys() - {"dtype", "casting"}
    if unknown:
        _no_keyword(what, min(unknown))
    told: dict[str, Any] = {"casting": keywords.get("casting", "same_kind")}
    if "dtype" in keywords:
        told["signature"] = (None,) * ufunc.nin + (check_dtype(keywords["dtype"], what),) * ufunc.nout
    kinds = [type(each) if type(each) in {int, float, bool} else _dtype_of(each) for each in inputs]
    try:
        *taken, result = ufunc.resolve_dtypes((*kinds, None), **told)
    except TypeError as error:
        raise DtypeError(f"{what}: {error}") from None
    converted = [
        ops.astype(each, kind) if isinstance(each, Expr) else ops.constant(each, kind)
        for each, kind in zip(inputs, taken, strict=True)
    ]
    return ops.astype(function(*converted), result)


def _dtype_of(operand: Any) -> np.dtype[Any]:
    return operand.dtype if isinstance(operand, Expr) else np.asarray(operand).dtype


def _array(operand: Any) -> Expr:
    return operand if isinstance(operand, Expr) else ops.constant(operand)


def _outer(ufunc: np.ufunc, what: str, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    if ufunc.nin != 2:  # NumPy's own words
        raise ArgumentError("outer product only supported for binary functions")
    left, right = map(_array, inputs)
    return _called(ufunc, what, [left[(..., *(None,) * right.ndim)], right], keywords)


def _slices(x: Expr, axis: int, what: str) -> list[Expr]:
    """Give what an axis of known size holds, one by one."""
    (place,) = dims.axes_from_right(axis, x.ndim)
    size = x.shape[place]
    if isinstance(size, Dim):
        raise ShapeError(f"{what}: {x.describe()} has the named size {size} on axis {axis}, and this takes a number")
    return [x[on_axis(place, each)] for each in range(size)]


def _reduced(
    ufunc: np.ufunc, what: str, array: Any, *, axis: Any = 0, dtype: Any = None, keepdims: bool = False, **rest: Any
) -> Any:
    x, name = _array(array), _REDUCTIONS.get(ufunc.__name__, "")
    known = _named(name) if x.dtype.kind == "b" or not ufunc.__name__.startswith("bitwise") else None
    if known is not None:
        told = {"axis": axis, "keepdims": keepdims, **rest}
        if dtype is not None and "dtype" in _parameters(known).names:
            told["dtype"] = dtype
        elif dtype is not None:
            x = ops.astype(x, dtype)
        return known(x, **understood(known, f"{what} (which is np.{name})", told, {}))
    x = _in_the_loop(ufunc, x, dtype)
    if rest:
        _no_keyword(what, min(rest))
    function = _elementary(ufunc, what)
    if ufunc.nin != 2 or not isinstance(axis, int):
        _refuse(f"{what} over axis {axis}")
    parts = _slices(x, axis, what)
    if not parts and ufunc.identity is None:
        raise ShapeError(f"{what}: {x.describe()} has nothing on axis {axis} to begin with")
    parts = parts or [ops.full_like(ops.astype(ops.all(x, axis), x.dtype), ufunc.identity)]
    result = reduce(function, parts)
    return ops.expand_dims(result, axis) if keepdims else result


def _in_the_loop(ufunc: np.ufunc, x: Expr, dtype: Any) -> Expr:
    """Convert an operand to the dtype that a ufunc goes over its elements in."""
    if dtype is not None or ufunc.nin != 2:
        return x if dtype is None else ops.astype(x, dtype)
    return ops.astype(x, ufunc.resolve_dtypes((None, x.dtype, None), reduction=True)[-1])


def _accumulated(ufunc: np.ufunc, what: str, array: Any, *, axis: int = 0, dtype: Any = None) -> Any:
    x = _in_the_loop(ufunc, _array(array), dtype)
    known = _named(_SCANS.get(ufunc.__name__, ""))
    if known is not None:
        return known(x, axis=axis) if dtype is None else ops.astype(known(x, axis=axis), dtype)
    function = _elementary(ufunc, what)
    if ufunc.nin != 2:
        _refuse(what)
    parts = _slices(x, axis, what)
    return ops.stack(list(accumulate(parts, function)), axis=axis) if parts else x


# --- functions ------------------------------------------------------------------------------------------------


def of_function(func: Function, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """Give what a function of NumPy makes of expressions, or tells of them.

    Raises:
        ArgumentError: it has no symbolic form, or a keyword has none.
    """
    name, module = func.__name__, func.__module__
    if func is np.where and len(args) == 1 and not keywords:
        return ops.nonzero(*args)
    if module == "numpy" and name in _ANSWERS:
        return _ANSWERS[name](*args, **keywords)
    what = f"{module.replace('numpy', 'np', 1)}.{name}"
    known = None
    if name in WRITING:
        _refuse(what)
    if module == "numpy.linalg":
        known = _named(name, ops.linalg) or (_named(name) if name in _LINALG_AS_TOP else None)
    elif module in {"numpy", "numpy.lib.stride_tricks"}:
        known = _named(name)
    if known is None:
        _refuse(what)
    parameters = _parameters(known)
    if len(args) > len(parameters.order) and parameters.order:
        names = list(_defaults(func))[len(parameters.order) : len(args)]
        keywords = {**dict(zip(names, args[len(parameters.order) :], strict=True)), **keywords}
        args = args[: len(parameters.order)]
    dtype = keywords.get("dtype")
    if dtype is not None and "dtype" not in parameters.names and name in _CASTING_FIRST and args:
        args = (ops.astype(_array(args[0]), dtype), *args[1:])
        keywords = {key: value for key, value in keywords.items() if key != "dtype"}
    return known(*args, **understood(known, what, keywords, _defaults(func)))


def understood(
    function: Function, what: str, keywords: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """Give the keywords without those that a function does not take and that say nothing."""
    names = _parameters(function).names
    if keywords.keys() <= names:
        return dict(keywords)
    for key in sorted(keywords.keys() - names):
        value = keywords[key]
        if value is not defaults.get(key, ()) and not _is_default(key, value):
            _no_keyword(what, key)
    return {key: value for key, value in keywords.items() if key in names}


class _Parameters:
    """What a function of ours takes.

    Attributes:
        order: the names of what may be given by position; empty where it takes any number.
        names: what may be given by name.
    """

    def __init__(self, function: Function) -> None:
        self.order: list[str] = []
        self.names: frozenset[str] = frozenset()
        if isinstance(function, Op):
            self.names = frozenset(function.options)
            return
        kinds = inspect.signature(function).parameters.values()
        self.names = frozenset(each.name for each in kinds if each.kind is not each.POSITIONAL_ONLY)
        if all(each.kind is not each.VAR_POSITIONAL for each in kinds):
            self.order = [each.name for each in kinds if each.kind is not each.KEYWORD_ONLY]


_parameters = lru_cache(None)(_Parameters)


@lru_cache(None)
def _defaults(func: Function) -> dict[str, Any]:
    """Give the parameters of a function of NumPy with their defaults; nothing where NumPy does not tell them."""
    try:
        return {each.name: each.default for each in inspect.signature(func).parameters.values()}
    except ValueError:  # a function written in C
        return {}


def _dtypes(operands: Sequence[Any]) -> list[Any]:
    return [each.dtype if isinstance(each, Expr) else each for each in operands]


_ANSWERS: Mapping[str, Function] = {
    "can_cast": lambda from_, to, casting="safe": np.can_cast(_dtype_of(from_), to, casting),
    "common_type": lambda *arrays: np.common_type(*[np.empty(0, _dtype_of(each)) for each in arrays]),
    "imag": lambda val: ops.zeros_like(val),  # noqa: PLW0108  (as this is read, the operations are not)
    "iscomplexobj": lambda x: False,
    "isrealobj": lambda x: True,
    "min_scalar_type": lambda a: a.dtype,
    "real": lambda val: val,
    "real_if_close": lambda a, tol=100: a,
    "result_type": lambda *operands: np.result_type(*_dtypes(operands)),
}

Dim.as_number = ops.leaf.size_of
Dim.apply_ufunc = of_ufunc

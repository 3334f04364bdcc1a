"""Python functions written with NumPy: their expressions, and their derivatives as functions (autograd's habit).

A function is run once on symbols; what it returns is differentiated and compiled. What is compiled serves all arrays
of the same ranks, dtypes and pattern of equal sizes.
"""

from __future__ import annotations

import inspect
import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial, update_wrapper
from itertools import chain, compress, count
from keyword import iskeyword
from typing import Any, Literal, NamedTuple, NoReturn, TypeAlias, overload

import numpy as np

from symbackprop import autodiff, dims
from symbackprop.errors import ArgumentError, NotDifferentiableError, SymbackpropError, TracingWarning
from symbackprop.expr import Expr, Operand
from symbackprop.graph import Graph, current_graph
from symbackprop.lower import Function, compile
from symbackprop.op import check_dtype, substituted
from symbackprop.ops.leaf import as_expr, symbol

Mode: TypeAlias = Literal["reverse", "forward", "auto"]
Unused: TypeAlias = Literal["error", "zeros"]
Nest: TypeAlias = Any  # an array, or lists, tuples and dicts of them
Argnums: TypeAlias = "int | str | Sequence[int | str]"

_LETTERS = "NMKLDPQRSTUVHJ"
_MOST = 256  # what is compiled for one function; the oldest goes
_MANY = 16  # compiled for so many sets of values of arrays, a function had better not need them
_fresh = count()


# --- nests ----------------------------------------------------------------------------------------------------


def _mapped(nest: Nest, at_leaf: Callable[[Any, str], Any], path: str = "") -> Nest:
    """Give a nest of the same structure with something else for each of its leaves, by value and path."""
    if isinstance(nest, dict):
        return {key: _mapped(each, at_leaf, f"{path}_{key}") for key, each in nest.items()}
    if isinstance(nest, list | tuple):
        parts = [_mapped(each, at_leaf, f"{path}_{position}") for position, each in enumerate(nest)]
        if isinstance(nest, list):
            return parts
        return type(nest)(*parts) if hasattr(nest, "_fields") else tuple(parts)
    return at_leaf(nest, path)


def _leaves(nest: Nest) -> list[Any]:
    found: list[Any] = []
    _mapped(nest, lambda leaf, _path: found.append(leaf))
    return found


def _exprs(nest: Nest) -> list[Expr]:
    return [leaf for leaf in _leaves(nest) if isinstance(leaf, Expr)]


def _filled(nest: Nest, values: Iterator[Any]) -> Nest:
    """Give a nest with values in the places of its expressions, and None for what is none."""
    return _mapped(nest, lambda leaf, _path: next(values) if isinstance(leaf, Expr) else None)


def _is_plain(nest: Nest) -> bool:
    """Tell whether `compile` itself returns this structure."""
    if isinstance(nest, Expr):
        return True
    if type(nest) is dict:
        return all(isinstance(key, str) for key in nest) and all(map(_is_plain, nest.values()))
    return type(nest) in {list, tuple} and all(map(_is_plain, nest))


# --- running a function on symbols ------------------------------------------------------------------------------


def _on_symbols(f: Callable[..., Any]) -> Callable[..., Any]:
    from symbackprop.stand_in import on_symbols  # noqa: PLC0415  (20 ms: paid for by the first use)

    return on_symbols(f)


@contextmanager
def _traced(name: str, symbols: Callable[[], Sequence[Expr]]) -> Iterator[None]:
    """Say with what is raised inside on which symbols the function was run."""
    try:
        yield
    except Exception as error:
        shown = ", ".join(f"{each.describe()} of {each.dtype}" for each in symbols()) or "no symbols"
        error.add_note(f"  while {name} was run on symbols in the place of arrays: {shown}")
        raise


def _floats_of(dtypes: Collection[Any]) -> str:
    """Give the dtype of all floats, or "mixed"."""
    names = {np.dtype(dtype).name for dtype in dtypes if np.dtype(dtype).kind == "f"} or {"float64"}
    return names.pop() if len(names) == 1 else "mixed"


def _as_output(leaf: Any, path: str, name: str) -> Expr:
    try:
        return as_expr(leaf)
    except SymbackpropError:
        what = f"{'None' if leaf is None else type(leaf).__name__}{' at ' + path.strip('_') if path else ''}"
        hint = ": a return is missing?" if leaf is None else ""
        raise ArgumentError(
            f"{name} returned {'' if leaf is None else 'a '}{what}, where arrays and numbers can be returned{hint}"
        ) from None


def trace_function(f: Callable[..., Any], shapes: Mapping[str, Any], *, dtype: Any = "float64", **static: Any) -> Nest:
    """Run a plain NumPy function on symbols, and give the expression that it returns, or its tuple, list or dict.

    Args:
        f: the function; it is not changed.
        shapes: for each parameter a shape, as `symbol` takes it: ``("N", 3)``, ``"N"``, ``()``; or a list or a dict of
            shapes, for parameters that are lists or dicts of arrays; or an expression, which is taken as it is.
        dtype: the dtype of the symbols, or a dict of dtypes by name.
        static: values for other parameters.

    Returns:
        Expressions in the current graph, whose symbols bear the names of the parameters.

    Raises:
        ArgumentError: f has no such parameter, or returns what is no array.
        TypeError: f needs values, as in an ``if`` on them: what is raised says what to write instead.

    >>> import numpy as np
    >>> import symbackprop as sb
    >>> def rosenbrock(x):
    ...     return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    >>> print(sb.trace_function(rosenbrock, {"x": "N"}))
    sum(100(x[1:] − x[:N - 1]²)² + (1 − x[:N - 1])²)
    """
    name = getattr(f, "__name__", "f")
    made: list[Expr] = []

    def made_symbol(shape: Any, path: str) -> Expr:
        if not isinstance(shape, Expr):
            kind = dtype.get(path, "float64") if isinstance(dtype, Mapping) else dtype
            made.append(symbol(path, shape, kind))
        else:
            made.append(shape)
        return made[-1]

    def symbols_of(shape: Any, path: str) -> Nest:
        if isinstance(shape, Mapping):
            return {key: symbols_of(each, f"{path}_{key}") for key, each in shape.items()}
        if isinstance(shape, list):
            return [symbols_of(each, f"{path}_{position}") for position, each in enumerate(shape)]
        return made_symbol(shape, path)

    parameters = _Parameters(f)
    parameters.check({*shapes, *static}, name)
    given = {parameter: symbols_of(shape, parameter) for parameter, shape in shapes.items()}
    token = dims.tracing.set(_floats_of([each.dtype for each in made]))
    try:
        with _traced(name, lambda: made), made[0].graph if made else current_graph():
            found = _on_symbols(f)(**given, **static)
            return _mapped(found, lambda leaf, path: _as_output(leaf, path, name))
    finally:
        dims.tracing.reset(token)


class _Parameters:
    """The parameters of a function, and its arguments as one tuple.

    Attributes:
        names: of the parameters that may be given by position.
        count: how many arguments need no arranging; -1 where there are keywords of its own or any number.
    """

    def __init__(self, f: Callable[..., Any]) -> None:
        self.signature: inspect.Signature | None = None
        with suppress(TypeError, ValueError):  # a function written in C
            if not isinstance(inspect.unwrap(f), np.ufunc):  # whose options are none that are to be passed
                self.signature = inspect.signature(f)
        every = [] if self.signature is None else [*self.signature.parameters.values()]
        by_position = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
        self.names = [each.name for each in every if each.kind in by_position]
        self.all_names = {each.name for each in every}
        self.has_keywords = any(each.kind in {each.KEYWORD_ONLY, each.VAR_KEYWORD} for each in every)
        self.takes_any = any(each.kind is each.VAR_KEYWORD for each in every) or self.signature is None
        self.count = len(self.names) if self.signature is not None and len(self.names) == len(every) else -1

    def check(self, names: Collection[str], what: str) -> None:
        """Check that there are parameters of these names.

        Raises:
            ArgumentError: there are not.
        """
        for name in names:
            if name not in self.all_names and not self.takes_any:
                raise ArgumentError(f"{what} has no parameter {name!r}; it takes {', '.join(self.all_names)}")

    def arranged(self, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> tuple[Any, ...]:
        """Give all arguments as a tuple, with a dict of those that must be given by name at its end, if there are."""
        if self.signature is None:
            return (*args, dict(keywords)) if keywords else args
        bound = self.signature.bind(*args, **keywords)
        bound.apply_defaults()
        return (*bound.args, bound.kwargs) if self.has_keywords else bound.args

    def call(self, f: Callable[..., Any], args: Sequence[Any]) -> Any:
        """Call the function with arguments as they were arranged."""
        return f(*args[:-1], **args[-1]) if self.has_keywords else f(*args)

    def path(self, position: int) -> str:
        """Give a name for the argument at a position."""
        return self.names[position] if position < len(self.names) else f"x{position}"

    def position(self, argument: int | str, what: str) -> int:
        """Give the position of an argument.

        Raises:
            ArgumentError: there is none such.
        """
        if isinstance(argument, str) and argument in self.names:
            return self.names.index(argument)
        if isinstance(argument, int) and not isinstance(argument, bool):
            place = argument + len(self.names) if argument < 0 else argument
            if place < len(self.names) or self.count < 0:
                return place
        raise ArgumentError(f"{what}: the function has no argument {argument!r}; it takes {', '.join(self.names)}")


# --- derivatives of functions ---------------------------------------------------------------------------------

Derive: TypeAlias = Callable[[Nest, list[Expr], Nest, list[Expr]], Nest]


def _scalar(value: Nest, what: str) -> Expr:
    if not isinstance(value, Expr):
        raise NotDifferentiableError(f"{what}: the function returned a {type(value).__name__}, not one number")
    return value


def _gradient(value: Nest, targets: list[Expr], wrt: Nest, _vectors: list[Expr]) -> Nest:
    found = autodiff.grad(_scalar(value, "grad"), targets, unused="zeros")
    return _filled(wrt, iter(found))


def _value_and_gradient(value: Nest, targets: list[Expr], wrt: Nest, vectors: list[Expr]) -> Nest:
    return value, _gradient(value, targets, wrt, vectors)


def _jacobian(value: Nest, targets: list[Expr], wrt: Nest, _vectors: list[Expr]) -> Nest:
    return _mapped(value, lambda y, _path: _filled(wrt, iter(autodiff.jacobian(y, targets, unused="zeros"))))


def _hessian(value: Nest, targets: list[Expr], wrt: Nest, _vectors: list[Expr]) -> Nest:
    gradients = autodiff.grad(_scalar(value, "hessian"), targets, unused="zeros")
    rows = [autodiff.jacobian(each, targets, unused="zeros") for each in gradients]
    return _filled(wrt, iter([_filled(wrt, iter(row)) for row in rows]))


def _product(value: Nest, targets: list[Expr], wrt: Nest, vectors: list[Expr]) -> Nest:
    return _filled(wrt, iter(autodiff.hvp(_scalar(value, "hvp"), targets, vectors)))


@dataclass(frozen=True)
class Specialisation:
    """What a function was compiled to for arrays of some ranks and dtypes.

    Attributes:
        symbols: what it was run on.
        outputs: the expressions, in the structure in which their values are returned.
        function: what is called.
        sizes: the sizes that it is for; empty where it serves all.
        values: the arguments for whose values it is.
        reason: why it does not serve all sizes and values.
    """

    symbols: tuple[Expr, ...]
    outputs: Nest
    function: Function
    sizes: tuple[int, ...] = ()
    values: tuple[str, ...] = ()
    reason: str = ""
    call: Callable[..., Any] = field(repr=False, kw_only=True)

    def __str__(self) -> str:
        """Say what it takes."""
        taken = ", ".join(f"{each.describe()} of {each.dtype}" for each in self.symbols)
        what = ["sizes"] * bool(self.sizes) + [f"values of {', '.join(self.values)}"] * bool(self.values)
        return f"{taken} (for these {' and '.join(what)} alone: {self.reason})" if self.reason else taken


class _Known(NamedTuple):
    """What a function is told of its arguments, beside what it is differentiated by, when it is run on symbols."""

    sizes: bool = False
    numbers: bool = False
    integers: bool = False
    arrays: bool = False

    def holds(self, value: Any) -> bool:
        """Tell whether the value itself is told, of an array or a number in an argument."""
        if type(value) is float:
            return self.numbers
        return self.arrays or (self.integers and isinstance(value, np.ndarray) and value.dtype.kind in "biu")


# The first of these with which a function runs is for it.
_KNOWN = (
    _Known(),
    _Known(numbers=True),
    _Known(sizes=True),
    _Known(sizes=True, numbers=True),
    _Known(sizes=True, numbers=True, integers=True),
    _Known(sizes=True, numbers=True, integers=True, arrays=True),
)


class _ByValues:
    """The specialisations of a function that needs to know sizes, or values."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.told = _KNOWN[0]
        self.known: dict[tuple[Any, ...], Specialisation] = {}


class _IsSymbolic(Exception):  # noqa: N818  (no error: the way out of a nest with an expression in it)
    """An argument is an expression."""


class Derivative:
    """The derivative of a Python function, called as the function itself is: see `grad`.

    It is compiled at the first call, and again where ranks, dtypes, the pattern of equal sizes or the values of
    arguments that are no arrays are new. Safe to call from several threads.

    Attributes:
        specialisations: what has been compiled.

    >>> import numpy as np
    >>> import symbackprop as sb
    >>> df = sb.grad(lambda x: np.sum(x**2))
    >>> df(np.array([1.0, 2.0]))
    array([2., 4.])
    >>> print(df.formula)
    2x
    >>> df(np.ones(5))[0], len(df.specialisations)
    (np.float64(2.0), 1)
    """

    __name__: str
    __wrapped__: Callable[..., Any]

    def __init__(self, f: Callable[..., Any], what: str, derive: Derive, argnums: Argnums, *, vectors: int = 0) -> None:
        """Take a function and what is wanted of it; made by `grad` and its kin."""
        update_wrapper(self, f)
        self._f = f
        self._what = what
        self._derive = derive
        self._vectors = vectors
        self._parameters = _Parameters(f)
        self._single = not isinstance(argnums, Sequence) or isinstance(argnums, str)
        given: Any = [argnums] if self._single else argnums
        self._wrt = [self._parameters.position(each, what) for each in given]
        self._named = getattr(f, "__name__", "f")
        self._count = self._parameters.count if not vectors else -1
        self._known: dict[tuple[Any, ...], Specialisation | _ByValues] = {}
        self._exact: dict[tuple[Any, ...], Specialisation] = {}  # by shapes: most calls have those of the last
        self._last: Specialisation | None = None
        self._lock = threading.RLock()

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Give the derivative at these arguments."""
        if keywords or len(args) != self._count:
            args = self._arranged(args, keywords)
        exact: list[Any] = []
        for arg in args:
            if type(arg) is np.ndarray:
                exact += (arg.dtype.num, arg.shape)  # a dtype is slow to hash
            else:
                exact.append(type(arg))
        same = self._exact.get(tuple(exact))
        if same is not None:
            self._last = same
            return same.call(*args)
        return self._looked_up(args, tuple(exact))

    def _looked_up(self, args: tuple[Any, ...], exact: tuple[Any, ...]) -> Any:
        key: list[Any] = []
        arrays: list[Any] = []
        sizes: dict[int, int] = {}
        found: Specialisation | _ByValues | None
        try:
            for position, arg in enumerate(args):
                if type(arg) is np.ndarray:
                    key += (arg.dtype.num, arg.ndim)
                    arrays.append(arg)
                    key += [sizes.setdefault(size, len(sizes)) if size > 1 else ~size for size in arg.shape]
                else:
                    self._note(arg, position, len(args), key, arrays, sizes)
        except _IsSymbolic:
            found = None
        else:
            found = self._known.get(tuple(key))
            if type(found) is not Specialisation:
                found = self._specialised(tuple(key), args, sizes)
            self._last = found
            if not found.values and all(type(arg) in {np.ndarray, float} for arg in args):  # what they are says all
                if len(self._exact) >= _MOST:
                    self._exact.clear()
                self._exact[exact] = found
        return self._of_expressions(args) if found is None else found.call(*arrays)

    def _arranged(self, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> tuple[Any, ...]:
        vectors = args[len(args) - self._vectors :]
        return (*self._parameters.arranged(args[: len(args) - self._vectors], keywords), *vectors)

    def _is_wanted(self, position: int, count: int) -> bool:
        """Tell whether integers there stand for floats."""
        return position in self._wrt or position >= count - self._vectors

    def _path(self, position: int, args: Sequence[Any]) -> str:
        return "v" if position >= len(args) - self._vectors else self._parameters.path(position)

    def _note(  # noqa: PLR0917  (called where time counts)
        self, value: Any, position: int, count: int, key: list[Any], arrays: list[Any], sizes: dict[int, int]
    ) -> None:
        """Note what an argument is, and the arrays in it."""
        kind = type(value)
        if kind is np.ndarray or isinstance(value, np.floating | np.ndarray):
            key += (value.dtype.num, value.ndim)
            arrays.append(value)
            key += [sizes.setdefault(size, len(sizes)) if size > 1 else ~size for size in value.shape]
        elif kind is tuple or kind is list or isinstance(value, list | tuple):
            key += (kind, len(value))
            for each in value:
                self._note(each, position, count, key, arrays, sizes)
        elif kind is dict or isinstance(value, dict):
            key.append((kind, *value))
            for each in value.values():
                self._note(each, position, count, key, arrays, sizes)
        elif kind is float or (_is_integer(value) and self._is_wanted(position, count)):
            key.append("number")
            arrays.append(float(value))
        elif isinstance(value, Expr):
            raise _IsSymbolic
        else:
            try:
                hash(value)
            except TypeError:
                self._refuse(position, f"is a {kind.__name__}: neither an array nor a constant that can be looked up")
            key.append((kind, value))

    def _refuse(self, position: int, why: str) -> NoReturn:
        raise ArgumentError(f"{self._what} of {self._named}: the argument {self._parameters.path(position)} {why}")

    # --- specialising -----------------------------------------------------------------------------------------

    def _specialised(self, key: tuple[Any, ...], args: Sequence[Any], sizes: Mapping[int, int]) -> Specialisation:
        with self._lock:
            found = self._known.get(key)
            if found is None:
                while len(self._known) >= _MOST:
                    del self._known[next(iter(self._known))]
                try:
                    found = self._compiled(args, sizes, _KNOWN[0], "")
                except Exception as error:  # noqa: BLE001  (whatever f raises where it needs a size or a value)
                    found = _ByValues(str(error))
                    specialisation = self._specialised_by_values(found, args, sizes)
                    self._known[key] = found
                    return specialisation
                self._known[key] = found
            if isinstance(found, Specialisation):
                return found
            return self._specialised_by_values(found, args, sizes)

    def _specialised_by_values(self, found: _ByValues, args: Sequence[Any], sizes: Mapping[int, int]) -> Specialisation:
        ours = found.known.get(self._value_key(found.told, args, sizes))
        if ours is not None:
            return ours
        failed: Exception | None = None
        tried: set[tuple[Any, ...]] = {self._value_key(_KNOWN[0], args, sizes)}
        for told in _KNOWN[max(1, _KNOWN.index(found.told)) :]:
            key = self._value_key(told, args, sizes)
            if key in tried:  # as before: nothing more is told
                continue
            tried.add(key)
            try:
                ours = self._compiled(args, sizes, told, found.reason)
            except Exception as error:  # noqa: BLE001  (as above)
                failed = error
                continue
            while len(found.known) >= _MOST:
                del found.known[next(iter(found.known))]
            found.told = told
            found.known[key] = ours
            if told.integers and ours.values and len(found.known) == _MANY:
                self._warn(found.reason, ours.values)
            return ours
        if failed is None:  # no more can be told than at first
            return self._compiled(args, sizes, _KNOWN[0], "")
        raise failed

    def _value_key(self, told: _Known, args: Sequence[Any], sizes: Mapping[int, int]) -> tuple[Any, ...]:
        key: list[Any] = [told.sizes and bool(sizes), *(sizes if told.sizes else ())]
        for position, arg in enumerate(args):
            if not self._is_wanted(position, len(args)):
                key += [_digest(leaf) for leaf in _leaves(arg) if _is_input(leaf) and told.holds(leaf)]
        return tuple(key)

    def _warn(self, reason: str, values: Sequence[str]) -> None:
        name = f"{self._what} of {self._named}"
        msg = (
            f"{name} has been compiled for {_MANY} sets of values of {', '.join(values)}, which {self._named} needs to "
            f"know ({reason}): write it for whole arrays, with sb.where and reductions with where="
        )
        warnings.warn(msg, TracingWarning, stacklevel=5)

    def _names(self, sizes: Mapping[int, int]) -> dict[int, str]:
        taken = self._parameters.all_names
        free = (name for name in chain(_LETTERS, (f"n{number}" for number in count())) if name not in taken)
        return dict(zip(sizes, free, strict=False))

    def _compiled(self, args: Sequence[Any], sizes: Mapping[int, int], told: _Known, reason: str) -> Specialisation:
        names = {} if told.sizes else self._names(sizes)
        dtypes = [leaf.dtype for leaf in _leaves(list(args)) if isinstance(leaf, np.ndarray | np.floating)]
        floats = _floats_of(dtypes)
        made: list[Expr] = []
        taken: list[bool] = []
        values: dict[str, None] = {}

        def made_symbol(position: int, value: Any, path: str) -> Any:
            is_wanted = self._is_wanted(position, len(args))
            if _is_input(value) or (_is_integer(value) and is_wanted):
                taken.append(is_wanted or not told.holds(value))
                if not taken[-1]:
                    values[self._path(position, args)] = None
                    return value.copy() if type(value) is np.ndarray else value
            if isinstance(value, np.ndarray | np.floating):
                kind = check_dtype(value.dtype, f"{self._what} of {self._named}: {path}")
                if position in self._wrt and kind.kind != "f":
                    self._refuse(position, f"has dtype {kind}, and derivatives need floats: give .astype(float)")
                made.append(symbol(path, [names.get(size, size) for size in value.shape], kind))
            elif type(value) is float or (_is_integer(value) and is_wanted):
                made.append(symbol(path, (), "float64" if floats == "mixed" else floats))
            else:
                return value
            return made[-1]

        with Graph():
            given = [_mapped(arg, partial(made_symbol, at), self._path(at, args)) for at, arg in enumerate(args)]
            token = dims.tracing.set(floats)
            try:
                with _traced(self._named, lambda: made):
                    outputs = self._derived(given)
            finally:
                dims.tracing.reset(token)
            function, call = self._loaded(made, outputs)
        every = tuple(sizes) if told.sizes else ()
        arrays_to = call if all(taken) else lambda *arrays: call(*compress(arrays, taken))
        return Specialisation(tuple(made), outputs, function, every, tuple(values), reason, call=arrays_to)

    def _derived(self, given: Sequence[Any]) -> Nest:
        """Run the function, and differentiate what it returns."""
        count = len(given) - self._vectors
        arguments, vectors = given[:count], given[count:]
        value = self._parameters.call(_on_symbols(self._f), arguments)
        value = _mapped(value, lambda leaf, path: _as_output(leaf, path, self._named))
        every = [arguments[position] for position in self._wrt]
        wrt = every[0] if self._single else tuple(every)
        targets = _exprs(wrt)
        if not targets:
            self._refuse(self._wrt[0], "has no number in it to differentiate by")
        return self._derive(value, targets, wrt, _exprs(vectors))

    def _loaded(self, symbols: Sequence[Expr], outputs: Nest) -> tuple[Function, Callable[..., Any]]:
        name = f"{self._what}_{self._named}"
        name = name if name.isidentifier() and not iskeyword(name) else self._what
        if _is_plain(outputs):
            function = compile(symbols, outputs, name=name)
            return function, function
        function = compile(symbols, _exprs(outputs), name=name)
        return function, lambda *arrays: _filled(outputs, iter(function(*arrays)))

    def _of_expressions(self, args: Sequence[Any]) -> Nest:
        """Give the derivative as expressions: what is differentiated is run on symbols of its own."""
        places: dict[Expr, Expr] = {}
        mark = next(_fresh)
        graph = next(each.graph for each in _leaves(list(args)) if isinstance(each, Expr))

        def own_symbol(value: Any, path: str) -> Any:
            if not isinstance(value, Expr | np.ndarray | np.floating | float) and not _is_integer(value):
                return value
            meant = as_expr(float(value) if _is_integer(value) else value)
            own = symbol(f"{path}′{mark}", meant.shape, meant.dtype)
            places[own] = meant
            return own

        with graph:
            given = [
                _mapped(arg, own_symbol, self._parameters.path(position)) if position in self._wrt else arg
                for position, arg in enumerate(args)
            ]
            outputs = self._derived(given)
            return _filled(outputs, iter(substituted(_exprs(outputs), places)))

    # --- reading ----------------------------------------------------------------------------------------------

    @property
    def specialisations(self) -> tuple[Specialisation, ...]:
        """What has been compiled, for which arrays."""
        found: list[Specialisation] = []
        for each in [*self._known.values()]:
            found.extend([*each.known.values()] if isinstance(each, _ByValues) else [each])
        return tuple(found)

    @property
    def last(self) -> Specialisation:
        """What the last call used.

        Raises:
            ArgumentError: there was none.
        """
        if self._last is None:
            raise ArgumentError(f"{self._what} of {self._named} is compiled when it is called: call it once")
        return self._last

    @property
    def source(self) -> str:
        """The code that the last call ran."""
        return self.last.function.source

    @property
    def formula(self) -> str:
        """The formulas of what the last call returned, one a line."""
        lines: list[str] = []

        def write(leaf: Any, path: str) -> None:
            if isinstance(leaf, Expr):
                lines.append(f"{path.strip('_')} = {leaf}" if path else str(leaf))

        outputs = self.last.outputs
        _mapped(outputs, write)
        return "\n".join(lines)

    def __repr__(self) -> str:
        """Say what of which function it is."""
        return f"<{self._what} of {self._named}>"


def _is_input(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.floating) or type(value) is float


def _digest(value: Any) -> Any:
    from hashlib import blake2b  # noqa: PLC0415  (4 ms: paid for by the first use)

    return value.hex() if type(value) is float else blake2b(np.ascontiguousarray(value).data).digest()


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _argnums(f: Any, wrt: Any, argnums: Argnums | None, what: str) -> Argnums:
    """Read which arguments a function is differentiated by."""
    if wrt is not None and argnums is not None:
        raise ArgumentError(f"{what} of a function: the arguments are told twice, {wrt!r} and argnums={argnums!r}")
    chosen = argnums if argnums is not None else 0 if wrt is None else wrt
    each = [chosen] if isinstance(chosen, int | str) else chosen
    if not isinstance(each, Sequence) or not each or not all(isinstance(one, int | str) for one in each):
        name = getattr(f, "__name__", "f")
        raise ArgumentError(f"{what} of the function {name}: give positions or names of arguments, not {chosen!r}")
    return chosen


def _is_function(f: object) -> bool:
    return callable(f) and not isinstance(f, Expr)


def _of_function(  # noqa: PLR0917  (what is wanted, then how)
    f: Any, wrt: Any, argnums: Argnums | None, options: Mapping[str, Any], what: str, derive: Derive, vectors: int = 0
) -> Derivative:
    if options:
        raise ArgumentError(f"{what} of a function takes argnums=, not {', '.join(options)}=")
    return Derivative(f, what, derive, _argnums(f, wrt, argnums, what), vectors=vectors)


def _of_expression(what: str, wrt: Any, argnums: Any) -> None:
    if wrt is None or argnums is not None:
        raise ArgumentError(f"{what} of an expression: say by which expressions, as in sb.{what}(y, [x, w])")


@overload
def grad(z: Expr, wrt: Expr, *, unused: Unused = "error", skip: Collection[str] = ()) -> Expr: ...
@overload
def grad(z: Expr, wrt: Sequence[Expr], *, unused: Unused = "error", skip: Collection[str] = ()) -> list[Expr]: ...
@overload
def grad(z: Callable[..., Any], wrt: Argnums | None = None, *, argnums: Argnums | None = None) -> Derivative: ...
def grad(z: Any, wrt: Any = None, *, argnums: Argnums | None = None, **options: Any) -> Any:
    """Give the gradient of a scalar expression as expressions, or of a Python function as a function.

    ∇_V z = Σ over consumers C of V of op_C.bprop(inputs of C, V, ∇_C z)

    Of an expression: Algorithm 6.5 of *Deep Learning*; the gradient is in the same graph.

    Of a function written with NumPy: the result is called as the function is, and gives arrays. At the first call the
    function is run on symbols (a copy of it and of those that it calls, in which ``np.array``, ``np.eye`` and their
    like, ``math.sqrt``, ``max``, ``float``, and SciPy's ``logsumexp``, ``norm`` and ``cho_solve`` take them too, and
    ``==`` compares elements), and its gradient is compiled; this serves all arrays of the same ranks, dtypes and
    pattern of equal sizes (0 and 1 are not exchanged for others). Where it must know sizes, as in ``range(len(x))``, or
    values of arguments that it is not differentiated by, as in ``x[y > 0]`` or an ``if``, it is compiled for each set
    of these anew: `Derivative.specialisations` tells. Arguments may be lists, tuples and dicts of arrays, the gradient
    has their structure. Floats are inputs too; what is neither array nor float (ints, texts, None) is a constant, and
    another value of it is compiled anew. Where a loop or an ``if`` depends on values of what is differentiated by, the
    error says what to write.

    Args:
        z: a scalar expression of a float dtype, or a function that returns a scalar.
        wrt: symbols or any other expressions that z is computed from: one, or several. Of a function the positions or
            names of arguments, the first unless told.
        argnums: the same as `wrt`, of a function.
        options: of an expression, ``unused="zeros"`` gives zeros where z does not depend on a target, which is an
            error else; ``skip=`` names passes and rules to leave out: z is brought to a form whose derivatives are
            right at extreme values ("stable", "accurate") before it is differentiated.

    Returns:
        For each target an expression of its shape and dtype; one expression if `wrt` is one. Of a function, the
        function that computes them.

    Raises:
        NotDifferentiableError: z is no float scalar, a target is no float, or z does not depend on it.
        GraphError: z and a target live in different graphs.
        ArgumentError: the function has no such argument.
        ValueError: `skip` has a name that is no pass and no rule.

    >>> import numpy as np
    >>> import symbackprop as sb
    >>> X, w, y = sb.symbols("X[N,D] w[D] y[N]")
    >>> print(sb.grad(sb.sum((X @ w - y)**2), w))
    2Xᵀ(Xw − y)
    >>> def tanh(x):
    ...     return (1.0 - np.exp(-2 * x)) / (1.0 + np.exp(-2 * x))
    >>> print(f"{sb.grad(tanh)(1.0):.6f} {sb.grad(sb.grad(tanh))(1.0):.6f}")
    0.419974 -0.639700
    """
    if _is_function(z):
        return _of_function(z, wrt, argnums, options, "grad", _gradient)
    _of_expression("grad", wrt, argnums)
    return autodiff.grad(z, wrt, **options)


def value_and_grad(f: Callable[..., Any], wrt: Argnums | None = None, *, argnums: Argnums | None = None) -> Derivative:
    """Give the function that computes the value of a function, a scalar, and its gradient: a pair.

    Args:
        f: a function written with NumPy, as for `grad`.
        wrt: the positions or names of the arguments to differentiate by, the first unless told.
        argnums: the same.

    Raises:
        ArgumentError: the function has no such argument.

    >>> import numpy as np
    >>> import symbackprop as sb
    >>> f = sb.value_and_grad(lambda w, X, y: np.mean((X @ w - y) ** 2))
    >>> f(np.ones(2), np.eye(2), np.array([1.0, 3.0]))
    (np.float64(2.0), array([ 0., -2.]))
    >>> print(f.formula)
    0 = mean((Xw − y)²)
    1 = 2Xᵀ(Xw − y)/N
    """
    if not _is_function(f):
        raise ArgumentError(f"value_and_grad takes a function, not {f!r}: sb.grad(z, x) gives expressions")
    return _of_function(f, wrt, argnums, {}, "value_and_grad", _value_and_gradient)


@overload
def jacobian(
    y: Expr, x: Expr, *, mode: Mode = "reverse", unused: Unused = "error", skip: Collection[str] = ()
) -> Expr: ...
@overload
def jacobian(
    y: Expr, x: Sequence[Expr], *, mode: Mode = "reverse", unused: Unused = "error", skip: Collection[str] = ()
) -> list[Expr]: ...
@overload
def jacobian(y: Callable[..., Any], x: Argnums | None = None, *, argnums: Argnums | None = None) -> Derivative: ...
def jacobian(y: Any, x: Any = None, *, argnums: Argnums | None = None, **options: Any) -> Any:
    """Give the Jacobian: the derivative of each element of y by each element of x, ``J[i…, j…] = ∂y[i…]/∂x[j…]``.

    Of an expression in reverse mode it is one vector-Jacobian product whose cotangent is the identity, with y's axes in
    front; in forward mode one Jacobian-vector product whose tangent is the identity, with x's axes in front, which are
    then moved behind y's. Both give the same values; the cost grows with the number of outputs, or of inputs. Higher
    orders are Jacobians of Jacobians. Of a function written with NumPy it is a function, as for `grad`.

    Args:
        y: an expression of any shape and a float dtype, or a function.
        x: the expression to differentiate by, or several; of a function positions or names of arguments, the first
            unless told.
        argnums: the same as `x`, of a function.
        options: of an expression, ``mode=``: "reverse", which suits few outputs, "forward", which suits few inputs, or
            "auto": forward where the inputs have fewer elements than the outputs whatever the named sizes are, else
            reverse; ``unused=`` and ``skip=`` as for `grad`.

    Returns:
        An expression of shape ``y.shape + x.shape`` and x's dtype, for each x if they are several. Of a function, the
        function that computes them.

    Raises:
        NotDifferentiableError: y or x is no float, or y does not depend on x.
        GraphError: they live in different graphs.
        ArgumentError: the function has no such argument.
        ValueError: another mode.

    >>> import symbackprop as sb
    >>> A, x = sb.symbols("A[M,N] x[N]")
    >>> sb.jacobian(A @ x, x).shape
    (M, N)
    >>> sb.evaluate(sb.jacobian(x**2, x), {x: [1.0, 2.0]})
    array([[2., 0.],
           [0., 4.]])
    >>> t = sb.symbol("t")
    >>> print(sb.jacobian(sb.sin(t * x), t, mode="forward"))
    x ⊙ cos(tx)
    >>> import numpy as np
    >>> sb.jacobian(lambda x: x**2)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    if _is_function(y):
        return _of_function(y, x, argnums, options, "jacobian", _jacobian)
    _of_expression("jacobian", x, argnums)
    return autodiff.jacobian(y, x, **options)


@overload
def hessian(f: Expr, x: Expr, *, mode: Mode = "reverse", skip: Collection[str] = ()) -> Expr: ...
@overload
def hessian(f: Expr, x: Sequence[Expr], *, mode: Mode = "reverse", skip: Collection[str] = ()) -> list[list[Expr]]: ...
@overload
def hessian(f: Callable[..., Any], x: Argnums | None = None, *, argnums: Argnums | None = None) -> Derivative: ...
def hessian(f: Any, x: Any = None, *, argnums: Argnums | None = None, **options: Any) -> Any:
    """Give the Hessian of a scalar: the Jacobian of its gradient, ``H[i…, j…] = ∂²f/∂x[i…]∂x[j…]``.

    Of several expressions it is a matrix of blocks, ``H[i][j] = ∂²f/∂xᵢ∂xⱼ``, each the Jacobian of one gradient; the
    block below the diagonal is the transpose of the one above. Higher orders are Jacobians of it, and a mixed block
    alone is ``sb.jacobian(sb.grad(f, x), y)``. Of a function written with NumPy it is a function, as for `grad`; by
    several arrays it gives for each of them what the Jacobian of its gradient is by each.

    Args:
        f: a scalar expression of a float dtype, or a function that returns a scalar.
        x: the expression to differentiate by, twice, or several; of a function positions or names of arguments, the
            first unless told.
        argnums: the same as `x`, of a function.
        options: of an expression, ``mode=``: how the gradient is differentiated, as for `jacobian`; "auto" pulls back
            the gradient by the smaller of two expressions to the larger; ``skip=`` as for `grad`.

    Returns:
        An expression of shape ``x.shape + x.shape``; of several expressions a list of lists of such, of shapes
        ``x[i].shape + x[j].shape``. Of a function, the function that computes them.

    Raises:
        NotDifferentiableError: as for `grad`.
        ArgumentError: one expression is computed from another, or the function has no such argument.
        ValueError: another mode.

    >>> import symbackprop as sb
    >>> x, y, A = sb.symbols("x[N] y[M] A[N,M]")
    >>> sb.evaluate(sb.hessian(sb.sum(x**3), x), {x: [1.0, 2.0]})
    array([[ 6.,  0.],
           [ 0., 12.]])
    >>> H = sb.hessian(x @ A @ y + sb.sum(sb.exp(x)), [x, y])
    >>> [[block.shape for block in row] for row in H]
    [[(N, N), (N, M)], [(M, N), (M, M)]]
    >>> print(H[0][0], H[0][1], H[1][0])
    diag(exp(x)) A Aᵀ
    >>> import numpy as np
    >>> sb.hessian(lambda x: np.sum(x**3))(np.array([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])
    """
    if _is_function(f):
        return _of_function(f, x, argnums, options, "hessian", _hessian)
    _of_expression("hessian", x, argnums)
    return autodiff.hessian(f, x, **options)


@overload
def hvp(f: Expr, x: Expr, vector: Operand, *, skip: Collection[str] = ()) -> Expr: ...
@overload
def hvp(f: Expr, x: Sequence[Expr], vector: Sequence[Operand], *, skip: Collection[str] = ()) -> list[Expr]: ...
@overload
def hvp(f: Callable[..., Any], x: Argnums | None = None, *, argnums: Argnums | None = None) -> Derivative: ...
def hvp(f: Any, x: Any = None, vector: Any = None, *, argnums: Argnums | None = None, **options: Any) -> Any:
    """Give the Hessian-vector product of a scalar, without the Hessian: the gradient of ``∇f · v`` for a fixed v.

    B. Pearlmutter, *Fast exact multiplication by the Hessian* (1994). The vector may depend on x: it is not
    differentiated. Of a function written with NumPy it is a function, as for `grad`, that takes v as its last argument.

    Args:
        f: a scalar expression, or a function that returns a scalar.
        x: the expression to differentiate by, twice, or several: the Hessian is that by all of them; of a function
            positions or names of arguments, the first unless told.
        vector: v, of x's shape, or with extra leading axes, which the result then has too; one for each x.
        argnums: the same as `x`, of a function.
        options: of an expression, ``skip=`` as for `grad`.

    Returns:
        An expression of x's shape, for each x if they are several: ``Σⱼ H[i][j] v[j]``. Of a function, the function
        that computes them.

    Raises:
        ShapeError: the vector's last axes are not x's, or the vectors differ in their extra axes.
        ArgumentError: there are more vectors than expressions, or fewer; one expression is computed from another; the
            function has no such argument.
        NotDifferentiableError: as for `grad`.

    >>> import symbackprop as sb
    >>> x, y, v, u = sb.symbols("x[N] y[N] v[N] u[N]")
    >>> print(sb.hvp(sb.sum(x**2), x, v))
    2v
    >>> print(*sb.hvp(sb.sum(x * y), [x, y], [v, u]))
    u v
    >>> import numpy as np
    >>> sb.hvp(lambda x: np.sum(x**3))(np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([ 6., 12.])
    """
    if _is_function(f):
        if vector is not None:
            raise ArgumentError("hvp of a function: the vector is the last argument of what it gives")
        return _of_function(f, x, argnums, options, "hvp", _product, vectors=1)
    _of_expression("hvp", x, argnums)
    return autodiff.hvp(f, x, vector, **options)

"""`compile`: expressions to a `Function`, which checks its arguments and runs generated NumPy code."""

from __future__ import annotations

import builtins
import linecache
import re
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import count
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import numpy as np

from symbackprop import dims
from symbackprop.autodiff.forward import bind_sizes
from symbackprop.errors import ArgumentError, DtypeError, GraphError, ShapeError, did_you_mean
from symbackprop.expr import Expr, common_graph
from symbackprop.lower.numpy_source import source
from symbackprop.lower.program import Nest, Program
from symbackprop.lower.schedule import Request, lower
from symbackprop.lower.structured import Layout, taken_apart
from symbackprop.ops import TABLE
from symbackprop.ops.leaf import SYMBOL, check_names, placed
from symbackprop.rewrite.pipeline import pipeline, run
from symbackprop.rewrite.reorder import Ordering

if TYPE_CHECKING:
    from pathlib import Path

    from symbackprop.lower.report import Report

_Structure: TypeAlias = tuple[Nest, Sequence[Layout]]
Outputs: TypeAlias = "Expr | Sequence[Outputs] | Mapping[str, Outputs]"

_HELPER = re.compile(r"^def (\w+)", re.MULTILINE)
_TAKEN = frozenset({"np", *(name for op in TABLE if op.helper for name in _HELPER.findall(op.helper))})
_RESERVED = _TAKEN | frozenset(dir(builtins))
_MOST_NODES, _LONGEST = 60, 96  # of a formula beside the code
_numbers = count(1)


class Function:
    """A compiled function: generated NumPy code behind checks that name the symbol.

    Call it with arrays in the order of `inputs`, or by the symbols' names. Results are fresh arrays, structured as
    the outputs were given; inputs are never written, except those with an update.

    Where the order of products depends on sizes that nobody has told, the first call tells them: if another order is
    much better for the arrays at hand, the code is generated once more. It is right for all sizes all along.

    Attributes:
        name: the name of the generated function.
        inputs: the symbols, in the order of the arguments.
        source: the generated module, which imports NumPy alone.
        program: what was generated, as data.
        sizes: the numbers by which products were ordered.
    """

    program: Program
    source: str

    def __init__(
        self,
        lowered: Callable[[Ordering], tuple[Program, _Structure]],
        inputs: Sequence[Expr],
        outputs: Sequence[Expr],
        *,
        skip: Collection[str],
        sizes: Mapping[str, int],
    ) -> None:
        """Generate and load the code; made by `compile`."""
        ordering = Ordering(sizes)
        program, structure = lowered(ordering)
        self.name = program.name
        self.inputs = tuple(inputs)
        self.sizes = dict(sizes)
        self._outputs = tuple(outputs)
        self._skip = frozenset(skip)
        self._lowered = lowered
        self._ordering = ordering if ordering.guessed else None
        self._learning = threading.Lock()
        self._positions = {expr.params["name"]: position for position, expr in enumerate(inputs)}
        self._wanted = [
            (np.ndarray if each.shape or each.updated else each.dtype.type, each.dtype, each.updated)
            for each in program.inputs
        ]
        self._updates = [position for position, each in enumerate(program.inputs) if each.updated]
        self._load(program, structure)

    def _load(self, program: Program, structure: _Structure) -> None:
        self.program, self.source = program, source(program)
        self._structure = structure
        self._fillers: tuple[list[tuple[int, ...]] | None, list[Callable[[tuple[Any, ...]], Any]]] = (None, [])
        self._kernel = _loaded(self)

    def __call__(self, /, *args: Any, **named: Any) -> Any:
        """Compute the outputs.

        Raises:
            ArgumentError: an argument is missing, unknown or given twice, or an array that is written to has two uses.
            ShapeError: an array does not have its symbol's shape, or two arrays disagree on a size.
            DtypeError: an array's dtype cannot be converted without loss, or an updated one is not of its dtype.
        """
        if named or len(args) != len(self._wanted):
            args = self._arranged(args, named)
        arrays = [
            arg
            if type(arg) is kind and arg.dtype == dtype and (not updated or arg.flags.writeable)
            else self._converted(position, arg)
            for position, (arg, (kind, dtype, updated)) in enumerate(zip(args, self._wanted, strict=True))
        ]
        if self._updates and len({*map(id, arrays)}) < len(arrays):
            self._check_apart(arrays)
        if self._ordering is not None:
            self._learn(arrays)
        try:
            found = self._kernel(*arrays)
            return self._assembled(found, arrays) if self._structure[1] else found
        except ValueError:
            self._explain_shapes(arrays)
            raise

    def _learn(self, arrays: Sequence[Any]) -> None:
        """Take the sizes of the first arrays for those that were guessed."""
        with self._learning:
            if self._ordering is None:  # another thread was first
                return
            try:
                sizes = {**bind_sizes(dict(zip(self.inputs, arrays, strict=True))), **self.sizes}
            except ShapeError:  # which the code itself will find
                return
            if self._ordering.is_worse(sizes):
                self._load(*self._lowered(Ordering(sizes)))
                self.sizes = sizes
            self._ordering = None

    def _assembled(self, found: Any, arrays: Sequence[Any]) -> Any:
        """Put the parts of structured outputs together; the sizes are bound anew where they have changed."""
        form, layouts = self._structure
        shapes = [array.shape for array in arrays]
        known, fillers = self._fillers
        if shapes != known:
            sizes = bind_sizes(dict(zip(self.inputs, arrays, strict=True)))
            fillers = [layout.filler(sizes) for layout in layouts]
            self._fillers = shapes, fillers
        if form is None:
            return fillers[0](found)
        waiting = iter(fillers)

        def filled(form: Nest, given: Any) -> Any:
            if form is None:
                return next(waiting)(given)
            if isinstance(form, dict):
                return {name: filled(each, given[name]) for name, each in form.items()}
            return type(form)([filled(*pair) for pair in zip(form, given, strict=True)])

        return filled(form, found)

    def _arranged(self, args: Sequence[Any], named: Mapping[str, Any]) -> tuple[Any, ...]:
        names = list(self._positions)
        if len(args) > len(names):
            raise ArgumentError(f"{self.name} takes {len(names)} arrays ({', '.join(names)}), not {len(args)}")
        found = dict(zip(names, args, strict=False))
        for name, value in named.items():
            if name not in self._positions:
                raise ArgumentError(
                    f"{self.name} has no input {name!r}{did_you_mean(name, names)}; it takes {', '.join(names)}"
                )
            if name in found:
                raise ArgumentError(f"{self.name}: {name} is given twice, by position and by name")
            found[name] = value
        missing = [self.inputs[self._positions[name]].describe() for name in names if name not in found]
        if missing:
            raise ArgumentError(f"{self.name}: no array for {', '.join(missing)}")
        return tuple(found[name] for name in names)

    def _converted(self, position: int, value: Any) -> Any:
        """Make an argument what its symbol says, where nothing is lost by that."""
        symbol, (kind, dtype, updated) = self.inputs[position], self._wanted[position]
        if updated:
            self._check_updated(symbol, value, dtype)
            return value
        if isinstance(value, Expr):
            raise ArgumentError(
                f"{self.name}: {symbol.describe()} wants an array, not the expression {value.describe()}"
            )
        try:
            array = np.asarray(value)
        except ValueError as error:  # rows of different lengths
            raise ShapeError(f"{self.name}: {symbol.describe()}: {error}") from None
        if array.dtype.kind not in "biufc":
            raise DtypeError(
                f"{self.name}: {symbol.describe()} wants {dtype}, and the {type(value).__name__} given has dtype "
                f"{array.dtype}: give numbers, or convert it with np.asarray(…, {dtype.name!r})"
            )
        plain = isinstance(value, float | int | list | tuple) and array.dtype.kind in "biuf"
        if array.dtype != dtype and not np.can_cast(array.dtype, dtype, "same_kind" if plain else "safe"):
            raise DtypeError(
                f"{self.name}: {symbol.describe()} wants {dtype}, and the array has {array.dtype}; "
                f"convert it with .astype({dtype.name!r}), or declare the symbol with dtype={array.dtype.name!r}"
            )
        array = array.astype(dtype, copy=False)
        return array if kind is np.ndarray or array.ndim else array[()]

    def _check_updated(self, symbol: Expr, value: Any, dtype: np.dtype[Any]) -> None:
        if not isinstance(value, np.ndarray):
            raise DtypeError(
                f"{self.name}: {symbol.describe()} is updated in place, so it must be a NumPy array, "
                f"not {type(value).__name__}; a scalar is np.array(0.0)"
            )
        if value.dtype != dtype:
            raise DtypeError(
                f"{self.name}: {symbol.describe()} is updated in place and wants {dtype}, not {value.dtype}"
            )
        if not value.flags.writeable:
            raise DtypeError(f"{self.name}: {symbol.describe()} is updated in place, and its array is read-only")

    def _check_apart(self, arrays: Sequence[Any]) -> None:
        """Check that no array that is written to stands for another symbol too, which would read new values."""
        for position in self._updates:
            for other, array in enumerate(arrays):
                if array is arrays[position] and other != position:
                    names = f"{self.inputs[position].describe()} and {self.inputs[other].describe()}"
                    raise ArgumentError(
                        f"{self.name}: {names} are one array, and {self.inputs[position].name} is updated in place: "
                        "give one of them a copy"
                    )

    def _explain_shapes(self, arrays: Sequence[Any]) -> None:
        """Raise the error that names symbols, axes and sizes, where the shapes are to blame."""
        try:
            sizes = bind_sizes(dict(zip(self.inputs, arrays, strict=True)))
        except ShapeError as error:
            raise ShapeError(f"{self.name}: {error}") from None
        for requirement in self.program.requirements:
            if dims.names_of((requirement.size,)) <= sizes.keys() and requirement.size.value(sizes) < 0:
                found = ", ".join(f"{name} = {sizes[name]}" for name in sorted(requirement.size.names))
                raise ShapeError(f"{self.name}: {requirement.reason} needs {requirement.size} >= 0, and {found}")

    def save(self, path: str | Path) -> None:
        """Write the generated module to a file; it imports NumPy alone."""
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123  (pathlib costs an import several ms)
            file.write(self.source)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: what is worth keeping is the source."""
        raise TypeError(
            f"{self.name} cannot be pickled or copied: write it to a file with .save({self.name + '.py'!r}), "
            "which can be imported where there is NumPy"
        )

    def report(self) -> Report:
        """Tell what each pass made of the expressions: nodes, floating-point operations, bytes."""
        from symbackprop.lower.report import Report  # noqa: PLC0415  (an import need not wait for it)

        return Report.of(self._outputs, self._skip, self.sizes)

    def __repr__(self) -> str:
        """Say what goes in and what comes out."""
        taken = ", ".join(symbol.describe() for symbol in self.inputs)
        return f"<Function {self.name}({taken})>"


def _loaded(function: Function) -> Any:
    """Execute the generated module, so that tracebacks show its lines, and give its function."""
    filename = f"<symbackprop {function.name} {next(_numbers)}>"
    namespace: dict[str, Any] = {}
    exec(builtins.compile(function.source, filename, "exec"), namespace)
    lines = function.source.splitlines(keepends=True)
    linecache.cache[filename] = (len(function.source), None, lines, filename)
    weakref.finalize(function, linecache.cache.pop, filename, None)
    return namespace[function.name]


def compile(
    inputs: Sequence[Expr],
    outputs: Outputs,
    *,
    updates: Mapping[Expr, Expr] | None = None,
    name: str = "f",
    skip: Collection[str] = (),
    structured: bool = False,
    sizes: Mapping[str, int] | None = None,
) -> Function:
    """Compile expressions to a function of NumPy arrays.

    Args:
        inputs: symbols, in the order of the arguments; all that the outputs need, and more if you like.
        outputs: an expression, or a list, tuple or dict of them or of such; the function returns the same structure.
        updates: new values for symbols among the inputs; their arrays are written in place, after everything has been
            computed from the old values.
        name: the name of the generated function.
        skip: names of passes and rules to leave out: "share", "fold", "stable", "algebra", "order", "gather" …
        structured: give outputs that have a structure, as most Hessians, as the `Structured` sum of their parts.
        sizes: numbers for named sizes, by which the order of products is chosen; the arrays may have others. What is
            not told is learnt at the first call.

    Raises:
        GraphError: an input is no symbol, one is missing, two different symbols have one name, or the function's name
            is none.
        ShapeError: an update's shape is not its symbol's, or `sizes` has a name that is no size of an input.
        DtypeError: an update's dtype is not its symbol's.
        ValueError: `skip` is no list of names of passes and rules.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> f = sb.compile([x], [sb.sum(x * x), 2 * x])
    >>> value, gradient = f([1.0, 2.0])
    >>> float(value), gradient
    (5.0, array([2., 4.]))
    """
    given: object = inputs  # who has no type checker may pass one symbol
    if isinstance(given, Expr):
        raise GraphError(f"compile: the inputs are a list, not the one expression {given.describe()}: write [x]")
    flat, keys, form = _flattened(outputs)
    new = dict(updates or {})
    values = [*flat, *new.values()]
    if name in _TAKEN:
        raise GraphError(f"compile: {name!r} cannot name a function: the generated code calls another by that name")
    if not name.isidentifier() or iskeyword(name):
        raise GraphError(f"compile: {name!r} cannot name a function; use an identifier")
    _check_updates(inputs, new)
    _check_inputs(inputs, values)
    _check_sizes(inputs, sizes or {})

    def lowered(ordering: Ordering) -> tuple[Program, _Structure]:
        rewritten = run([*inputs, *new, *values], pipeline(ordering), skip=skip)
        symbols, targets = rewritten[: len(inputs)], rewritten[len(inputs) : len(inputs) + len(new)]
        results = rewritten[len(inputs) + len(new) :]
        parts = [taken_apart(result) if structured else (None, [result]) for result in results[: len(flat)]]
        layouts = [layout for layout, _ in parts if layout is not None]
        named = zip(keys, parts, strict=True)
        request = Request(
            name=name,
            inputs=symbols,
            outputs=[array for _, arrays in parts for array in arrays],
            keys=[key if len(arrays) == 1 else None for key, (_, arrays) in named for _ in arrays],
            form=_with_parts(form, iter([len(arrays) for _, arrays in parts])) if structured else form,
            updates=dict(zip(targets, results[len(flat) :], strict=True)),
            reserved=_RESERVED | {name},
            notes=_formulas(flat, keys, results),
        )
        return lower(request), (form, layouts)

    return Function(lowered, inputs, values, skip=skip, sizes=sizes or {})


def _check_sizes(inputs: Sequence[Expr], sizes: Mapping[str, int]) -> None:
    known = sorted({name for symbol in inputs for name in dims.names_of(symbol.shape)})
    for name, size in sizes.items():
        if name not in known:
            raise ShapeError(f"compile: no input has the size {name!r}{did_you_mean(str(name), known)}")
        if not hasattr(size, "__index__") or size < 0:
            raise ShapeError(f"compile: the size {name} is a number of elements, not {size!r}")


def _with_parts(form: Nest, counts: Iterator[int]) -> Nest:
    """Give the nest of outputs with a tuple of parts in the place of each."""
    if form is None:
        return (None,) * next(counts)
    if isinstance(form, dict):
        return {name: _with_parts(each, counts) for name, each in form.items()}
    return type(form)([_with_parts(each, counts) for each in form])


def _formulas(outputs: Sequence[Expr], keys: Sequence[str | None], results: Sequence[Expr]) -> list[str]:
    """Give the formulas of the outputs that have a name, as far as they are short enough to be read."""
    write = Expr.views.get("text")
    if write is None:
        return []
    lines = []
    for output, key, result in zip(outputs, keys, results, strict=False):
        name = key or output.name or output.node.hint
        if name and result.inputs and result.graph.is_small(result.number, _MOST_NODES):
            line = f"{name} = {write(result, simplify=False, where=False)}"
            if len(line) <= _LONGEST and line.isprintable() and not {'"', "\\"} & set(line):
                lines.append(line)
    return lines


def _flattened(outputs: Any) -> tuple[list[Expr], list[str | None], Nest]:
    """Give the outputs in a row, their names, and how they are to be returned."""
    flat: list[Expr] = []
    keys: list[str | None] = []

    def taken(given: Any, key: str | None) -> Nest:
        if isinstance(given, Mapping):
            for name in given:
                if not isinstance(name, str):
                    raise GraphError(f"compile: the keys of outputs are names, and {name!r} is none")
            return {name: taken(each, name) for name, each in given.items()}
        if isinstance(given, list | tuple):
            parts = [taken(each, None) for each in given]
            return parts if isinstance(given, list) else tuple(parts)
        if not isinstance(given, Expr):
            what = type(given).__name__
            raise GraphError(f"compile: output {len(flat)} is {what}, not an expression; wrap it in sb.constant")
        flat.append(given)
        keys.append(key)
        return None

    return flat, keys, taken(outputs, None)


def _check_inputs(inputs: Sequence[Any], values: Sequence[Expr]) -> None:
    for position, expr in enumerate(inputs):
        if not isinstance(expr, Expr) or expr.op is not SYMBOL:
            what = expr.describe() if isinstance(expr, Expr) else repr(expr)
            raise GraphError(f"compile: input {position} is {what}, not a symbol; inputs are made by sb.symbol")
    if not inputs and not values:
        raise GraphError("compile: no inputs and no outputs")
    graph = common_graph([*inputs, *values], "compile")
    used = [Expr(graph, number) for number in graph.reachable([expr.number for expr in values])]
    given = dict.fromkeys(inputs)
    if len(given) < len(inputs):
        twice = next(expr for position, expr in enumerate(inputs) if expr in inputs[:position])
        raise GraphError(f"compile: {twice.describe()} is among the inputs twice")
    symbols = dict.fromkeys([*inputs, *(expr for expr in used if expr.op is SYMBOL)])
    check_names(symbols, "compile")
    missing = [symbol for symbol in symbols if symbol not in given]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise GraphError(
            f"compile: the outputs need {', '.join(map(placed, missing))}, which {verb} not among the inputs"
        )


def _check_updates(inputs: Sequence[Any], updates: Mapping[Any, Any]) -> None:
    for symbol, value in updates.items():
        if not isinstance(symbol, Expr) or symbol not in inputs:
            what = symbol.describe() if isinstance(symbol, Expr) else repr(symbol)
            raise GraphError(f"compile: {what} has an update and is not among the inputs")
        if not isinstance(value, Expr):
            raise GraphError(f"compile: the update of {symbol.describe()} is {type(value).__name__}, not an expression")
        if value.shape != symbol.shape:
            raise ShapeError(
                f"compile: the update of {symbol.describe()} has shape {dims.show(value.shape) or '()'}, "
                f"not {dims.show(symbol.shape) or '()'}"
            )
        if value.dtype != symbol.dtype:
            raise DtypeError(f"compile: the update of {symbol.describe()} has dtype {value.dtype}, not {symbol.dtype}")

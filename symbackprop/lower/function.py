"""`compile`: expressions to a `Function`, which checks its arguments and runs generated NumPy code."""

from __future__ import annotations

import builtins
import linecache
import re
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from keyword import iskeyword
from math import prod
from operator import le
from types import DynamicClassAttribute
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from symbackprop import dims
from symbackprop.errors import ArgumentError, BackendError, DtypeError, GraphError, ShapeError, did_you_mean
from symbackprop.expr import Expr, common_graph
from symbackprop.graph import growing
from symbackprop.lower.arguments import Arguments, Structure
from symbackprop.lower.backends import NUMPY, Backend, backend_of
from symbackprop.lower.buffers import RESERVED
from symbackprop.lower.lifetimes import LEAST, is_worth_releasing
from symbackprop.lower.numpy_source import IN_BLOCKS, ON_THREADS, docstring, expression, planned, source
from symbackprop.lower.program import Nest, Program
from symbackprop.lower.recompute import lowered_in_order, lowered_within
from symbackprop.lower.schedule import Request, lower
from symbackprop.lower.structured import taken_apart
from symbackprop.op import DEFINED
from symbackprop.ops import TABLE
from symbackprop.ops.leaf import SYMBOL, check_names, placed
from symbackprop.rewrite.pipeline import TOGETHER, Stage, pipeline, run
from symbackprop.rewrite.reorder import Ordering

if TYPE_CHECKING:
    from inspect import Signature
    from pathlib import Path

    from symbackprop.lower.report import Report

Outputs: TypeAlias = "Expr | Sequence[Outputs] | Mapping[str, Outputs]"

_HELPER = re.compile(r"^def (\w+)", re.MULTILINE)
_HELPERS = "".join(f"{op.helper or ''}{op.python_helper or ''}" for op in TABLE) + f"\n{IN_BLOCKS}\n{ON_THREADS}"
_TAKEN = frozenset(
    {"np", "math", "special", "os", "ThreadPoolExecutor", "copy_context", *RESERVED, *_HELPER.findall(_HELPERS)}
)
_BUILTINS = frozenset(dir(builtins))
_RESERVED = _TAKEN | _BUILTINS
_MOST_NODES, _LONGEST = 60, 96  # of a formula beside the code
_numbers = count(1)
_BLOCKS, _BUFFERS = "blocks", "buffers"  # what is left out by these names, beside passes and rules
_SMALL = 2**19  # elements of the largest argument up to which single calls of NumPy count, and new memory
_GROWN = 4  # times as large as before: then it is looked at again whether to compute in blocks


class Function:
    """A compiled function: generated NumPy code behind checks that name the symbol.

    Call it with arrays in the order of `inputs`, or by the symbols' names. Results are fresh arrays, structured as
    the outputs were given; inputs are never written, except those with an update.

    Where the code depends on sizes that nobody has told, the first call tells them: if another order of products is
    much better for the arrays at hand, or they are so large that blocks of them should stay in the cache, or so small
    that single calls of NumPy count, the code is written once more. It is right for all sizes all along.

    Attributes:
        name: the name of the generated function.
        inputs: the symbols, in the order of the arguments.
        source: the generated module, which imports NumPy alone, or the library of another backend.
        program: what was generated, as data.
        sizes: the numbers by which products were ordered.
        backend: the library whose arrays it takes and gives.
    """

    # What is called is written for the arguments of each function, and a slot is the one way for `fn(…)` to find it at
    # no cost: it is looked up in the class.
    __slots__ = {
        "__call__": """Compute the outputs.

        Raises:
            ArgumentError: an argument is missing, unknown or given twice, or an array that is written to has two uses.
            ShapeError: an array does not have its symbol's shape, or two arrays disagree on a size.
            DtypeError: an array's dtype cannot be converted without loss, or an updated one is not of its dtype.
        """,
        "__dict__": "",
        "__weakref__": "",
    }

    __call__: Callable[..., Any]
    backend: Backend = NUMPY
    _plain: Collection[int] = frozenset()
    program: Program
    source: str

    def __init__(
        self,
        rewritten: Callable[[Ordering], tuple[Request, Structure]],
        inputs: Sequence[Expr],
        outputs: Sequence[Expr],
        *,
        skip: Collection[str],
        sizes: Mapping[str, int],
        memory_limit: int | None = None,
        buffers: bool = True,
    ) -> None:
        """Generate and load the code; made by `compile`."""
        self._limit = memory_limit
        self._buffers = buffers
        ordering = Ordering(sizes)
        request, structure = rewritten(ordering)
        self.name = request.name
        self.inputs = tuple(inputs)
        self.sizes = dict(sizes)
        self._given = dict(sizes)
        self._outputs = tuple(outputs)
        self._skip = frozenset(skip)
        self._rewritten = rewritten
        self._ordering = ordering if ordering.guessed else None
        self._learning = threading.Lock()
        self._learnt_for: list[int] = []  # elements of the arguments
        self._small: Mapping[str, int] | None = None
        program = self._load(request, structure)
        self._arguments = self._taking(program)
        checked = self._checked()
        self._told = {name for each in inputs for name in dims.names_of(each.shape)} <= sizes.keys()
        self.__call__ = self._first(checked) if inputs else checked

    def _load(self, request: Request, structure: Structure) -> Program:
        with growing():
            self.program = self._lowered(request)
            self._check_installed()
            self.source = self._written()
        self._request, self._structure = request, structure
        self._kernel = self._loaded()
        return self.program

    def _check_installed(self) -> None:
        for op in {call.op for call in self.program.calls()}:
            op.imported()

    def _lowered(self, request: Request) -> Program:
        sizes = request.extents
        names = {name for each in request.inputs for name in dims.names_of(each.shape)}
        if sizes is None or names - sizes.keys():
            return lower(request)
        if self._limit is None:
            return lowered_in_order(request, sizes)
        return lowered_within(request, self._limit, sizes)

    def _taking(self, program: Program) -> Arguments:
        return Arguments(self.name, self.inputs, program.inputs)

    def _written(self) -> str:
        plan = self._planned()
        self._plain = frozenset(position for position, each in enumerate(plan.inputs) if each.plain)
        return source(plan, docstring(self.program, expression))

    def _planned(self) -> Program:
        return planned(self.program, self._small, buffers=self._buffers)

    def _loaded(self) -> Callable[..., Any]:
        return loaded(self.name, self.source, self)

    def _checked(self, *watched: Any) -> Callable[..., Any]:
        return self._arguments.checked(self._kernel, self.program, self._structure, *watched, plain=self._plain)

    def _first(self, checked: Callable[..., Any]) -> Callable[..., Any]:
        """Give the function of a call that learns the sizes of the arrays."""
        arguments, learning = self._arguments, weakref.WeakMethod(self._learnt)  # a cycle would keep the graph

        def call(*args: Any, **named: Any) -> Any:
            arrays, learnt = arguments.arrays(args, named), learning()
            return (checked if learnt is None else learnt(arrays, checked))(*arrays)

        call.__name__ = call.__qualname__ = self.name
        return call

    def _learnt(self, arrays: Sequence[Any], checked: Callable[..., Any]) -> Callable[..., Any]:
        """Take the sizes of the arrays for those that were not told, and give what is to be called.

        For arrays that are too small for blocks this is asked again once they are much larger.
        """
        with self._learning, growing():
            counts = [prod(array.shape) for array in arrays]
            if self._learnt_for and all(map(le, counts, self._learnt_for)):  # another thread was first
                return self.__call__
            try:
                sizes = {**self._arguments.sizes(arrays), **self._given}
            except ShapeError:  # which the code itself will find
                return checked
            request, structure = self._request, self._structure
            if self._ordering is not None and self._ordering.is_worse(sizes):
                request, structure = self._rewritten(Ordering(sizes))
                self.sizes = sizes
            self._ordering, self._learnt_for = None, counts
            blocked = None if request.extents is None or self._told else replace(request, extents=sizes)
            in_blocks = blocked is not None and blocked.blocks is not None
            self._small = sizes if max(counts, default=0) <= _SMALL else None
            least = LEAST if self._small is not None and self._buffers else 0  # what is kept is not let go
            if blocked is not None and (
                in_blocks or self._limit is not None or is_worth_releasing(self.program, sizes, least)
            ):
                request = blocked
            if request is not self._request:
                self._load(request, structure)
                checked = self._checked()
            elif self._small is not None and (text := self._written()) != self.source:
                self.source = text
                self._kernel = self._loaded()
                checked = self._checked()
            if blocked is not None and (not in_blocks or self._limit is not None):
                grown = _GROWN if self._limit is None else 1  # a limit is to hold for what is larger at all
                limits = {position: grown * counts[position] for position in self._telling()}
                self.__call__ = self._checked(limits, self._first(checked))
            else:
                self.__call__ = checked
            return checked

    def _telling(self) -> Iterator[int]:
        """Give arguments that have all the sizes which were not told."""
        seen = set(self._given)
        for position, symbol in enumerate(self.inputs):
            names = set(dims.names_of(symbol.shape))
            if names - seen:
                seen |= names
                yield position

    def save(self, path: str | Path) -> None:
        """Write the generated module to a file; it imports NumPy alone, or the library of another backend.

        Its function takes arrays, of the dtypes of the symbols: what it computes into has been given those.
        """
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123  (pathlib costs an import several ms)
            file.write(self.source)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: what is worth keeping is the source."""
        raise TypeError(
            f"{self.name} cannot be pickled or copied: write it to a file with .save({self.name + '.py'!r}), "
            f"which can be imported where there is {self.backend.package or 'a library of arrays'}"
        )

    def report(self) -> Report:
        """Tell what each pass made of the expressions, nodes, operations and bytes, and what the code holds at once."""
        from symbackprop.lower.report import Report  # noqa: PLC0415  (an import need not wait for it)

        return Report.of(self._outputs, self._planned(), self._skip, self.sizes)

    def release(self) -> None:
        """Let go of the arrays that are kept between calls; the next call makes them anew.

        They are kept for few sets of sizes, and a call has them for itself: calls on several threads do not wait for
        each other, and all but one make arrays of their own, which are let go again.

        >>> import symbackprop as sb
        >>> x = sb.symbol("x", "N")
        >>> sb.compile([x], sb.exp(x)).release()
        """
        for name in ("kept", "arrays_of_blocks"):
            self._kernel.__globals__.get(name, {}).clear()

    @DynamicClassAttribute
    def __signature__(self) -> Signature:
        """The parameters, for `inspect.signature` and what shows them while one writes a call."""
        from inspect import Parameter, Signature  # noqa: PLC0415  (an import need not wait for it)

        return Signature([Parameter(each.name, Parameter.POSITIONAL_OR_KEYWORD) for each in self.program.inputs])

    def __repr__(self) -> str:
        """Say what goes in and what comes out."""
        taken = ", ".join(symbol.describe() for symbol in self.inputs)
        return f"<Function {self.name}({taken})>"


def loaded(name: str, source: str, owner: object) -> Callable[..., Any]:
    """Execute a generated module, so that tracebacks show its lines as long as the owner lives; give its function."""
    filename = f"<symbackprop {name} {next(_numbers)}>"
    namespace: dict[str, Any] = {}
    exec(builtins.compile(source, filename, "exec"), namespace)
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    weakref.finalize(owner, linecache.cache.pop, filename, None)
    found: Callable[..., Any] = namespace[name]
    return found


def compile(
    inputs: Sequence[Expr],
    outputs: Outputs,
    *,
    updates: Mapping[Expr, Expr] | None = None,
    name: str = "f",
    skip: Collection[str] = (),
    structured: bool = False,
    sizes: Mapping[str, int] | None = None,
    backend: str = "numpy",
    memory_limit: int | None = None,
) -> Function:
    """Compile expressions to a function of NumPy arrays, or of the arrays of another library.

    Args:
        inputs: symbols, in the order of the arguments; all that the outputs need, and more if you like.
        outputs: an expression, or a list, tuple or dict of them or of such; the function returns the same structure.
        updates: new values for symbols among the inputs; their arrays are written in place, after everything has been
            computed from the old values.
        name: the name of the generated function.
        skip: names of passes and rules to leave out: "share", "fold", "stable", "algebra", "order", "gather" …;
            "blocks" leaves out computing in blocks, "buffers" the arrays that are kept between calls.
        structured: give outputs that have a structure, as most Hessians, as the `Structured` sum of their parts.
        sizes: numbers for named sizes, by which the order of products is chosen; the arrays may have others. What is
            not told is learnt at the first call.
        backend: the library whose arrays the function takes and gives, and which its source imports: "numpy"; "jax",
            for a function that `jax.jit`, `jax.vmap` and `jax.grad` take; "torch", on whatever device the tensors
            are; "cupy"; or "array_api", whose function takes the library from its arguments and works with any that
            follows the array API standard. The library is needed at the first call, not to compile.
        memory_limit: the most bytes of arrays, beside the arguments, that the function may have at once, as
            `Function.report` tells them; to keep to it, values of the way forward are computed again on the way back.
            It holds for the sizes that are told, or else for those of the arrays given.

    Raises:
        MemoryLimitError: the function cannot keep to `memory_limit`; where sizes are not told, at the first call.
        BackendError: the backend has nothing for an operation or a dtype, or its arrays cannot be updated in place.
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

    The same in another library's words:

    >>> print(sb.compile([x], {"y": sb.sum(sb.exp(x))}, backend="torch").source.partition("x.shape")[2])
    <BLANKLINE>
        y = torch.sum(torch.exp(x))
        return {"y": y}
    <BLANKLINE>
    """
    library = backend_of(backend)
    given: object = inputs  # who has no type checker may pass one symbol
    if isinstance(given, Expr):
        raise GraphError(f"compile: the inputs are a list, not the one expression {given.describe()}: write [x]")
    flat, keys, form = _flattened(outputs)
    new = dict(updates or {})
    values = [*flat, *new.values()]
    reserved = _RESERVED | {found for op in DEFINED.values() for found in _HELPER.findall(op.helper or "")}
    reserved = reserved if library is NUMPY else reserved | _names_of(library)
    if name in reserved - _BUILTINS:
        raise GraphError(f"compile: {name!r} cannot name a function: the generated code calls another by that name")
    if not name.isidentifier() or iskeyword(name):
        raise GraphError(f"compile: {name!r} cannot name a function; use an identifier")
    _check_updates(inputs, new)
    _check_inputs(inputs, values)
    _check_sizes(inputs, sizes or {})
    _check_backend(library, inputs, new, structured=structured)

    passes = skip if isinstance(skip, str) else [name for name in skip if name not in {_BLOCKS, _BUFFERS}]
    blocks, buffers = (isinstance(skip, str) or name not in skip for name in (_BLOCKS, _BUFFERS))
    if memory_limit is not None:
        _check_limit(memory_limit, library, blocks=blocks)
        passes = [*passes, "join", "batch", "stack"]  # what is joined waits for all of its parts

    def rewritten(ordering: Ordering) -> tuple[Request, Structure]:
        known: list[Expr] = []  # the outputs while their functions have names

        def observe(stage: Stage) -> None:
            if stage.name != TOGETHER:
                known[:] = stage.outputs[len(inputs) + len(new) :]

        with growing():
            found = run([*inputs, *new, *values], pipeline(ordering), skip=passes, observe=observe)
        symbols, targets = found[: len(inputs)], found[len(inputs) : len(inputs) + len(new)]
        results = found[len(inputs) + len(new) :]
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
            reserved=reserved | {name},
            notes=_formulas(flat, keys, known),
            extents=ordering.sizes if blocks and library is NUMPY else None,
        )
        return request, (form, layouts)

    if library is NUMPY:
        buffers = buffers and memory_limit is None  # what is kept would not be counted
        return Function(
            rewritten, inputs, values, skip=passes, sizes=sizes or {}, memory_limit=memory_limit, buffers=buffers
        )
    from symbackprop.lower.elsewhere import LibraryFunction  # noqa: PLC0415  (most never need it)

    return LibraryFunction(library, rewritten, inputs, values, skip=passes, sizes=sizes or {})


def _check_limit(limit: Any, library: Backend, *, blocks: bool) -> None:
    if library is not NUMPY or not blocks:
        what = "code for NumPy" if library is not NUMPY else 'computing in blocks, so "blocks" cannot be left out'
        raise ArgumentError(f"compile: memory_limit is for {what}")
    if not hasattr(limit, "__index__") or limit < 0:
        raise ArgumentError(f"compile: memory_limit is a number of bytes, not {limit!r}")


def _names_of(backend: Backend) -> frozenset[str]:
    """Give the names that symbols and functions must not have in the source for another library."""
    from symbackprop.lower.translation import reserved  # noqa: PLC0415  (most never need it)

    return reserved(backend)


def _check_backend(backend: Backend, inputs: Sequence[Expr], updates: Mapping[Expr, Expr], *, structured: bool) -> None:
    if updates and not backend.writes:
        names = ", ".join(symbol.describe() for symbol in updates)
        raise BackendError(
            f"compile: the arrays of backend {backend.name!r} cannot be written to, so {names} cannot be updated in "
            "place: give the new values among the outputs and return them"
        )
    for symbol in inputs if backend is not NUMPY else ():
        if symbol.dtype.name not in backend.dtypes:
            raise BackendError(
                f"compile: backend {backend.name!r} lacks dtype {symbol.dtype}, which symbol {symbol.describe()} has"
            )
    if structured and backend is not NUMPY:
        raise BackendError(f"compile: structured outputs are NumPy's alone, not of backend {backend.name!r}")
    if backend.passed and not inputs:
        raise BackendError(f"compile: backend {backend.name!r} takes the library from an argument: give an input")


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
    if write is None or not results:
        return []
    small = results[0].graph.small([result.number for result in results if result.node.inputs], _MOST_NODES)
    lines = []
    for output, key, result in zip(outputs, keys, results, strict=False):
        name = key or output.name or output.node.hint
        if name and result.number in small:
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
    used = graph.reachable([expr.number for expr in values])
    given = dict.fromkeys(inputs)
    if len(given) < len(inputs):
        twice = next(expr for position, expr in enumerate(inputs) if expr in inputs[:position])
        raise GraphError(f"compile: {twice.describe()} is among the inputs twice")
    used_symbols = [Expr(graph, number) for number in used if graph.nodes[number].op is SYMBOL]
    symbols = dict.fromkeys([*inputs, *used_symbols])
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

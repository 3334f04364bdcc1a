"""`Program`: what the generated source will say, as data that does not know its target language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from symbackprop.dims import Dim, Shape, Size
from symbackprop.op import CONSTANT, SIZE, Op, Params
from symbackprop.ops.index import SLICE
from symbackprop.ops.layout import BROADCAST_TO, EXPAND_DIMS, RESHAPE, SQUEEZE, TRANSPOSE
from symbackprop.ops.leaf import SYMBOL
from symbackprop.ops.window import WINDOWS

VIEWS = frozenset({TRANSPOSE, EXPAND_DIMS, SQUEEZE, RESHAPE, SLICE, BROADCAST_TO, WINDOWS})
"""What gives no new array but looks at another."""
LIGHT = frozenset({TRANSPOSE, EXPAND_DIMS})
"""Those so cheap that they are written again at each use."""
LEAVES = frozenset({SYMBOL, CONSTANT, SIZE})
"""What is given."""


class Ref(NamedTuple):
    """A use of a named value."""

    name: str
    shape: Shape
    dtype: np.dtype[Any]


class Out(NamedTuple):
    """An array that a value is written into, and how the target calls what does so."""

    array: Ref
    function: str


class Call(NamedTuple):
    """An operation on terms; nested calls are one expression of the target language.

    Attributes:
        op: the operation.
        params: its parameters.
        args: its operands.
        shape: the shape of the result.
        dtype: its dtype.
        out: the array that it is written into, if it is not to be a new one.
    """

    op: Op
    params: Params
    args: tuple[Term, ...]
    shape: Shape
    dtype: np.dtype[Any]
    out: Out | None = None


Term: TypeAlias = Ref | Call


class Assign(NamedTuple):
    """Give a name to a new value; to a copy of it where it is a view of an array that will change."""

    target: str
    value: Term
    copy: bool = False


class Accumulate(NamedTuple):
    """Combine an array in place with a term: ``target op= value``."""

    target: str
    op: Op
    value: Term


class Store(NamedTuple):
    """Overwrite the elements of an array: ``target[...] = value``."""

    target: str
    value: Term


Simple: TypeAlias = Assign | Accumulate | Store


class Blocked(NamedTuple):
    """Run statements for some rows of arrays at a time, so that what lies between stays in the cache.

    Attributes:
        block: the name of what is run for each block.
        rows: how many rows a block has.
        arrays: the arrays that are read row by row.
        results: new arrays that the statements fill row by row.
        body: the statements; the names of arrays and results stand for their rows.
        sums: the values of the body that are added up over all blocks.
        threads: whether blocks may run on several threads.
        length: the name by which shapes in the body call the number of rows at hand, if one does.
        scratch: arrays of as many rows that it computes in.
        axes: for arrays and results of which another axis than the first has the rows, that axis.
    """

    block: str
    rows: int
    arrays: tuple[Ref, ...]
    results: tuple[Ref, ...]
    body: tuple[Simple, ...]
    sums: tuple[str, ...]
    threads: bool
    length: str | None = None
    scratch: tuple[Ref, ...] = ()
    axes: Mapping[str, int] = MappingProxyType({})

    @property
    def extent(self) -> Size | None:
        """The number of all rows, if it is known."""
        return next((ref.shape[self.axes.get(ref.name, 0)] for ref in (*self.arrays, *self.results)), None)


Statement: TypeAlias = Simple | Blocked


class Input(NamedTuple):
    """A parameter of the function: the user's name, the name in the program, and what the array must be.

    Attributes:
        symbol: the user's name.
        name: the name in the program.
        shape: the shape that the array must have.
        dtype: its dtype.
        updated: whether it is written to.
        plain: whether a float of Python does as well, because the program makes it one.
    """

    symbol: str
    name: str
    shape: Shape
    dtype: np.dtype[Any]
    updated: bool
    plain: bool = False


class Constant(NamedTuple):
    """A known array."""

    name: str
    value: Call


class Prepared(NamedTuple):
    """What depends on sizes alone and is kept between calls; several names are the rows of an array."""

    names: tuple[str, ...]
    value: Call


class Output(NamedTuple):
    """A result; one that shares memory with an input or another result is copied."""

    value: Term
    copy: bool
    key: str | None = None


Nest: TypeAlias = "list[Nest] | tuple[Nest, ...] | dict[str, Nest] | None"


class Requirement(NamedTuple):
    """A size that must not be negative, and what for."""

    size: Dim
    reason: str


class Program(NamedTuple):
    """A function: parameters, statements on named values, results.

    Attributes:
        name: the function's name.
        constants: arrays that all calls share.
        inputs: its parameters, in order; their shapes tell the named sizes.
        requirements: what it must check about them, beside the shapes themselves.
        statements: what it does, in order.
        outputs: what it returns.
        form: how the results are returned: lists, tuples and dicts with None in the place of each, in turn.
        notes: lines for people: the formulas of the results.
        recomputed: floating-point operations that are done twice, to save memory.
        prepared: what is kept between calls.
        imports: functions of the target that are called by their names alone.
        sizes: numbers for named sizes, where they are known, by which large arrays are let go early.
    """

    name: str
    constants: tuple[Constant, ...]
    inputs: tuple[Input, ...]
    requirements: tuple[Requirement, ...]
    statements: tuple[Statement, ...]
    outputs: tuple[Output, ...]
    form: Nest
    notes: tuple[str, ...] = ()
    sizes: Mapping[str, int] = MappingProxyType({})
    recomputed: Size = 0
    prepared: tuple[Prepared, ...] = ()
    imports: tuple[str, ...] = ()

    def calls(self) -> Iterator[Call]:
        """Give every operation, in the order of execution."""
        for prepared in self.prepared:
            yield from calls_in(prepared.value)
        for statement in self.statements:
            for term in terms_of(statement):
                yield from calls_in(term)
        for output in self.outputs:
            yield from calls_in(output.value)


def terms_of(statement: Statement) -> Iterator[Term]:
    """Give the terms of a statement, in the order of execution."""
    if isinstance(statement, Blocked):
        yield from (each.value for each in statement.body)
    else:
        yield statement.value


def assigned_by(statement: Statement) -> Iterator[str]:
    """Give the names that a statement gives a value to, and those of a block and of the number of its rows."""
    if isinstance(statement, Blocked):
        yield from filter(None, (statement.block, statement.length))
        yield from (ref.name for ref in statement.results)
        yield from (each.target for each in statement.body)
        yield from (ref.name for ref in statement.scratch)
    else:
        yield statement.target


def names_in(program: Program) -> Iterator[str]:
    """Give all names of the program, and those of the functions that its operations need."""
    yield program.name
    for each in program.inputs:
        yield each.name
        yield from map(str, each.shape)
    yield from (each.name for each in program.constants)
    yield from (name for each in program.prepared for name in each.names)
    yield from program.imports
    for statement in program.statements:
        yield from assigned_by(statement)
    for op in {call.op for call in program.calls()}:
        yield from (helper[len("def ") : helper.index("(")] for helper in op.helpers())


def calls_in(term: Term) -> Iterator[Call]:
    """Give the operations of a term, operands first; terms are shallow."""
    if isinstance(term, Call):
        for arg in term.args:
            if isinstance(arg, Call):
                yield from calls_in(arg)
        yield term


def refs_in(term: Term) -> Iterator[Ref]:
    """Give the named values that a term uses; terms are shallow."""
    if isinstance(term, Ref):
        yield term
        return
    for arg in term.args:
        if isinstance(arg, Ref):
            yield arg
        else:
            yield from refs_in(arg)


def sizes_of_runs(param: Sequence[Any], size: Shape) -> Iterator[Dim]:
    """Give what must not be negative for slices of axes with named sizes: each run lies inside its axis."""
    for run, extent in zip(param, size, strict=True):
        if run == (0, extent, 1):
            continue
        last = run.start + (run.length - 1) * run.step
        low, high = (run.start, last) if run.step > 0 else (last, run.start)
        for bound in (run.length, low, extent - high - 1):
            if isinstance(bound, Dim) and bound.may_be_negative:
                yield bound


def sizes_of_windows(whole: Shape, window: Shape, dilations: Sequence[int]) -> Iterator[Dim]:
    """Give what must not be negative for windows over the last axes of a named size: each of them fits in."""
    for extent, size, dilation in zip(whole[len(whole) - len(window) :], window, dilations, strict=True):
        room = extent - (size - 1) * dilation - 1
        if isinstance(room, Dim) and room.may_be_negative:
            yield room

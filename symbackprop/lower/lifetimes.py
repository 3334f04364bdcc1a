"""How long large arrays are needed: what is let go early makes room for what comes after it.

Memory that was in use before is in the cache, and new memory is not: the system fills each page of it with zeros when
it is first touched, which takes longer than most operations on its elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from math import prod
from operator import add
from typing import TypeAlias

from symbackprop import dims
from symbackprop.dims import Dim, Shape, Size
from symbackprop.lower.program import (
    VIEWS,
    Assign,
    Blocked,
    Call,
    Program,
    Ref,
    Term,
    assigned_by,
    calls_in,
    refs_in,
    terms_of,
)
from symbackprop.op import Dtype
from symbackprop.ops.layout import RESHAPE
from symbackprop.ops.window import WINDOWS
from symbackprop.rewrite.order import UNTOLD

_LARGE = 2**15  # bytes: some pages
LEAST = 2**22
"""Bytes that are worth an order of their own where most arrays are kept anyway."""
_IN_HELPER = 4  # arrays at once in a function that NumPy has not, as a rule
_Largest: TypeAlias = "Callable[[Iterable[Size]], Size]"


def released(program: Program, sizes: Mapping[str, int]) -> Mapping[int, list[str]]:
    """Give for the places of statements the large arrays that nothing needs any more after them.

    Only while large arrays are still to come is anything let go.

    >>> import symbackprop as sb
    >>> X = sb.symbol("X", ("N", "N"))
    >>> Y = sb.tanh(X @ X)
    >>> Z = sb.exp(Y @ Y.T)
    >>> f = sb.compile([X], Z @ sb.tanh(Z))
    >>> released(f.program, {"N": 100}), released(f.program, {"N": 10})
    ({1: ['t1']}, {})
    """
    is_large = _Large(sizes)
    made = dict.fromkeys(
        each.target
        for each in program.statements
        if isinstance(each, Assign) and is_large(each.value) and not (isinstance(each.value, Call) and each.value.out)
    )
    if not made:
        return {}
    kept = {ref.name for output in program.outputs for ref in refs_in(output.value)}
    last: dict[str, int] = {}
    coming = -1
    for at, statement in enumerate(program.statements):
        for term in terms_of(statement):
            last.update(dict.fromkeys([ref.name for ref in refs_in(term)], at))
            if any(map(is_large, calls_in(term))):
                coming = at
        last.update(dict.fromkeys(assigned_by(statement), at))
    for output in program.outputs:
        if any(map(is_large, calls_in(output.value))):
            coming = len(program.statements)
    found: dict[int, list[str]] = {}
    for name in made:
        if name not in kept and last[name] < coming:
            found.setdefault(last[name], []).append(name)
    return found


def is_worth_releasing(program: Program, sizes: Mapping[str, int], least: int) -> bool:
    """Tell whether there are large arrays that can be let go, of so many bytes together.

    >>> import symbackprop as sb
    >>> X = sb.symbol("X", ("N", "N"))
    >>> Y = sb.tanh(X @ X)
    >>> Z = sb.exp(Y @ Y.T)
    >>> f = sb.compile([X], Z @ sb.tanh(Z))
    >>> is_worth_releasing(f.program, {"N": 100}, 0), is_worth_releasing(f.program, {"N": 100}, LEAST)
    (True, False)
    """
    names = {name for gone in released(program, sizes).values() for name in gone}
    made = {each.target: each.value for each in program.statements if isinstance(each, Assign)}
    counts = [prod(dims.bind(made[name].shape, sizes)) * made[name].dtype.itemsize for name in names]
    return bool(counts) and sum(counts) >= least


def peak(program: Program, sizes: Mapping[str, int]) -> Size:
    """Give the most bytes of arrays that exist at once beside the arguments and the constants, on one thread.

    What is kept between calls is among them.

    Where it is depends on the sizes; it is a formula for all that are like these.

    >>> import symbackprop as sb
    >>> X, w = sb.symbols("X[N,D] w[D]")
    >>> f = sb.compile([X, w], sb.sum(sb.tanh(X @ w) ** 2))
    >>> print(peak(f.program, {"N": 1000, "D": 10}))
    16*N
    """
    gone = released(program, program.sizes)
    sizes = {name: sizes.get(name, UNTOLD) for each in program.inputs for name in dims.names_of(each.shape)}

    def largest(found: Iterable[Size]) -> Size:
        return max(found, key=lambda size: size.value(sizes) if isinstance(size, Dim) else size, default=0)

    live: dict[str, Size] = {}
    held: Size = kept(program)  # by all that is live
    at_once: list[Size] = []
    for at, statement in enumerate(program.statements):
        if isinstance(statement, Blocked):
            made = {ref.name: _bytes(ref.shape, ref.dtype) for ref in statement.results}
            most, own = _in_block(statement, largest)
            made.update((name, own.get(name, 0)) for name in statement.sums)
            live.update(made)
            held = held + _total(made.values())
            at_once.append(held + most)
        else:
            most, new = _evaluated(statement.value, largest, _bytes)
            at_once.append(held + most)
            if isinstance(statement, Assign):
                live[statement.target] = new
                held = held + new
        for name in gone.get(at, ()):
            held = held - live.pop(name)
    results: Size = 0
    for output in program.outputs:
        most, new = _evaluated(output.value, largest, _bytes)
        at_once.append(held + results + most)
        results = results + new
    return largest(at_once)


def kept(program: Program) -> Size:
    """Give the bytes of the arrays that are kept between calls."""
    return _total(_bytes(each.shape, each.dtype) for _, each in program.prepared if each.op not in VIEWS)


def _in_block(statement: Blocked, largest: _Largest) -> tuple[Size, Mapping[str, Size]]:
    """Give the most bytes that a block has at once, and the bytes of its values."""
    rows = statement.extent

    def bytes_of(shape: Shape, dtype: Dtype) -> Size:
        return _bytes(tuple(statement.rows if size == rows else size for size in shape), dtype)

    own: dict[str, Size] = {}
    held: Size = 2 * _total(bytes_of(ref.shape, ref.dtype) for ref in statement.scratch)  # the last block has its own
    at_once: list[Size] = [held]
    for each in statement.body:
        most, new = _evaluated(each.value, largest, bytes_of)
        at_once.append(held + most)
        if isinstance(each, Assign):
            own[each.target] = new
            held = held + new
    return largest(at_once), own


def _evaluated(term: Term, largest: _Largest, bytes_of: Callable[[Shape, Dtype], Size]) -> tuple[Size, Size]:
    """Give the most bytes while a term is computed, and the bytes of new arrays that stay with its value."""
    if isinstance(term, Ref):
        return 0, 0
    held: Size = 0
    most: list[Size] = []
    for arg in term.args:
        inside, new = _evaluated(arg, largest, bytes_of)
        most.append(held + inside)
        held = held + new
    if term.op in VIEWS and not _copies_windows(term):
        return largest([*most, held]), held
    own = 0 if term.out else bytes_of(term.shape, term.dtype)
    most.append(held + own * (_IN_HELPER if term.op.helper else 1))
    return largest(most), own


def _copies_windows(term: Call) -> bool:
    """Tell whether axes of windows are joined, whose elements lie in several of them: that takes a copy."""
    before, after = ([size for size in shape if size != 1] for shape in (term.args[0].shape, term.shape))
    return term.op is RESHAPE and before != after and _shows_windows(term)


def _shows_windows(term: Term) -> bool:
    while isinstance(term, Call) and term.op in VIEWS:
        if term.op is WINDOWS:
            return True
        term = term.args[0]
    return False


def _bytes(shape: Shape, dtype: Dtype) -> Size:
    return dims.product(shape) * dtype.itemsize if shape else 0


def _total(sizes: Iterable[Size]) -> Size:
    return reduce(add, sizes, 0)


class _Large:
    """Tells whether the value of a term is a large array; of arrays of one shape it is asked once."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self.elements: dict[Shape, int] = {}

    def __call__(self, term: Term) -> bool:
        shape = term.shape
        if shape not in self.elements:
            told = bool(shape) and dims.names_of(shape) <= self.sizes.keys()
            self.elements[shape] = prod(dims.bind(shape, self.sizes)) if told else 0
        return self.elements[shape] * term.dtype.itemsize >= _LARGE

"""How long large arrays are needed: what is let go early makes room for what comes after it.

Memory that was in use before is in the cache, and new memory is not: the system fills each page of it with zeros when
it is first touched, which takes longer than most operations on its elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from symbackprop import dims
from symbackprop.dims import Shape
from symbackprop.lower.program import Assign, Program, assigned_by, calls_in, refs_in, terms_of
from symbackprop.op import Dtype

_LARGE = 2**15  # bytes: some pages


def released(program: Program, sizes: Mapping[str, int]) -> Mapping[int, list[str]]:
    """Give for the places of statements the large arrays that nothing needs any more after them.

    Only while large arrays are still to come is anything let go.

    >>> import symbackprop as sb
    >>> X = sb.symbol("X", ("N", "N"))
    >>> Y = X @ X
    >>> f = sb.compile([X], sb.sum(sb.exp(Y @ Y) @ (X - 1)))
    >>> released(f.program, {"N": 100}), released(f.program, {"N": 10})
    ({1: ['t1']}, {})
    """
    made = {
        statement.target: at
        for at, statement in enumerate(program.statements)
        if isinstance(statement, Assign) and _is_large(statement.value.shape, statement.value.dtype, sizes)
    }
    kept = {ref.name for output in program.outputs for ref in refs_in(output.value)}
    last: dict[str, int] = {}
    coming = -1
    for at, statement in enumerate(program.statements):
        for term in terms_of(statement):
            last.update((ref.name, at) for ref in refs_in(term))
            if any(_is_large(call.shape, call.dtype, sizes) for call in calls_in(term)):
                coming = at
        last.update((name, at) for name in assigned_by(statement))
    for output in program.outputs:
        if any(_is_large(call.shape, call.dtype, sizes) for call in calls_in(output.value)):
            coming = len(program.statements)
    found: dict[int, list[str]] = {}
    for name in made:
        if name not in kept and last[name] < coming:
            found.setdefault(last[name], []).append(name)
    return found


def _is_large(shape: Shape, dtype: Dtype, sizes: Mapping[str, int]) -> bool:
    if not shape or not dims.names_of(shape) <= sizes.keys():
        return False
    return prod(dims.bind(shape, sizes)) * dtype.itemsize >= _LARGE

"""How sums, products and elements with indices are read: an index is an axis, and a sum is over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from symbackprop import dims, ops
from symbackprop.dims import Dim, Shape, Size
from symbackprop.expr import Expr
from symbackprop.op import apply
from symbackprop.ops.contract import EINSUM
from symbackprop.sympy_forms.read_scalars import named_symbol, powered, times
from symbackprop.sympy_forms.reader import Basic, Bound, Part, Reader, Rule, Scope, refuse
from symbackprop.sympy_forms.walk import Steps


def _opened(reader: Reader, expr: Basic, scope: Scope) -> Scope:
    """Give the scope inside a sum; its first limits are the innermost."""
    for limits in reversed(expr.limits):
        index, low, high = reader.limits_of(limits)
        scope = (*scope, Bound(index, reader.size(low), reader.size(high - low + 1)))
    return scope


def _made_rectangular(reader: Reader, expr: Basic, scope: Scope) -> Basic | None:
    """Give a sum over more, of zeros or ones outside of limits that depend on other indices, or None if none do."""
    s = reader.sympy
    inside, limits, conditions = {bound.symbol: bound for bound in scope}, [], []
    for own in reversed(expr.limits):
        index, *ends = reader.limits_of(own)
        widest = []
        for end, sign in zip(ends, (-1, 1), strict=True):
            moved = end
            for symbol in end.free_symbols & inside.keys():
                first, last = _ends(reader, inside[symbol])
                step = end.expand().coeff(symbol)
                if not step.is_Integer or (end - step * symbol).expand().has(symbol):
                    refuse(expr, f"the limits of {index} depend on {symbol} in another way than a sum of integers does")
                moved = moved.subs(symbol, last if step * sign > 0 else first)
            if moved != end:
                conditions.append(s.Ge(index, end) if sign < 0 else s.Le(index, end))
            widest.append(moved)
        limits.append((index, *widest))
        inside[index] = Bound(index, reader.size(widest[0]), reader.size(widest[1] - widest[0] + 1))
    if not conditions:
        return None
    otherwise = 0 if isinstance(expr, s.Sum) else 1
    return expr.func(s.Piecewise((expr.function, s.And(*conditions)), (otherwise, True)), *reversed(limits))


def _ends(reader: Reader, bound: Bound) -> tuple[Basic, Basic]:
    """Give the first and the last value of an index."""
    return next((low, high) for low, high in reader.bound[bound.symbol] if reader.size(low) == bound.start)


def _reduced(reader: Reader, expr: Basic, scope: Scope) -> Steps[Part]:
    adds = isinstance(expr, reader.sympy.Sum)
    ends = [end for limits in expr.limits for end in reader.limits_of(limits)[1:]]
    if any(end.is_infinite for end in ends):
        if not expr.free_symbols:
            return expr
        refuse(expr, "the limits are infinite; .doit() may find the value")
    if getattr(expr.function, "is_Matrix", False):
        found = expr.doit()
        if found == expr:
            refuse(expr, "SymPy cannot write it out, and its terms are matrices; write its elements")
        reader.survey(found)
        return (yield found, scope)
    rectangular = _made_rectangular(reader, expr, scope)
    if rectangular is not None:
        reader.survey(rectangular)
        return (yield rectangular, scope)
    inside = _opened(reader, expr, scope)
    value = reader.operand((yield expr.function, inside))
    for depth in range(len(inside) - 1, len(scope) - 1, -1):
        length = inside[depth].length
        if isinstance(value, Expr) and value.ndim == depth + 1:
            if value.shape[0] == length:
                value = ops.sum(value, axis=0) if adds else ops.prod(value, axis=0)
                continue
            value = ops.squeeze(value, 0)
        value = times(value, length) if adds else powered(value, length)
    return value


class _Taken(NamedTuple):
    """What an index takes from one axis, and along the axis of which index, if along any."""

    part: int | Dim | slice
    depth: int | None


def _taken(reader: Reader, index: Basic, size: Size, scope: Scope) -> _Taken | None:
    """Read an index: a number, a size, or an index of a sum times an integer with something added; else give None."""
    inside = {bound.symbol: depth for depth, bound in enumerate(scope)}
    found = [symbol for symbol in index.free_symbols if symbol in inside]
    if not found:
        if not all(symbol.name in reader.sizes for symbol in index.free_symbols):
            return None
        at = reader.size(index)
        if isinstance(at, int) and at < 0:
            refuse(index, "an index is not negative")
        return _Taken(at, None)
    if len(found) == 1:
        (symbol,) = found
        expanded = index.expand()
        step = expanded.coeff(symbol)
        rest = expanded - step * symbol
        if step.is_Integer and not rest.has(symbol):
            bound = scope[inside[symbol]]
            start = reader.size(rest) + bound.start * int(step)
            last = start + (bound.length - 1) * int(step)
            if any(dims.is_less(end, 0) or dims.is_less(size - 1, end) for end in (start, last)):
                refuse(index, f"the index leaves the axis, which has size {size}")
            return _Taken(_run(start, bound.length, int(step), size), inside[symbol])
    return None


def _run(start: Size, length: Size, step: int, size: Size) -> slice:
    """Give the slice of so many elements from one on."""
    if (start, length, step) == (0, size, 1):
        return slice(None)
    stop = start + (length - 1) * step + (1 if step > 0 else -1)
    return slice(start, None if stop == -1 else stop, step)


def element(reader: Reader, array: Expr, indices: Sequence[Basic], scope: Scope) -> Steps[Part]:
    """Give the elements of an array at indices, each along the axis of its index of a sum."""
    taken = [_taken(reader, index, size, scope) for index, size in zip(indices, array.shape, strict=True)]
    known = [part for part in taken if part is not None]
    if len(known) < len(taken):  # arrays of integers that broadcast to the axes of the sums
        values = yield from reader.all_of(indices, scope)
        return array[tuple(reader.as_expr(value).astype("int64") for value in values)]
    found = array[tuple(part for part, _ in known)]
    depths = [depth for _, depth in known if depth is not None]
    if not depths:
        return found
    order = sorted(set(depths), reverse=True)
    letters = {depth: chr(ord("a") + at) for at, depth in enumerate(order)}
    now, then = "".join(letters[depth] for depth in depths), "".join(letters[depth] for depth in order)
    if len(now) != len(then):
        found = apply(EINSUM, found, subscripts=f"{now}->{then}")
    elif now != then:
        found = ops.transpose(found, [now.index(letter) for letter in then])
    return ops.expand_dims(found, tuple(-1 - depth for depth in range(order[0]) if depth not in order))


def _indexed(reader: Reader, expr: Basic, scope: Scope) -> Steps[Part]:
    label = expr.base.label
    if not label.is_Symbol:
        refuse(expr, "an indexed array has a name")
    array = named_symbol(reader, label, _shape(reader, expr))
    return (yield from element(reader, array, expr.indices, scope))


def _shape(reader: Reader, expr: Basic) -> Shape:
    """Give the shape of an array whose elements are taken: as declared, or as the limits of the sums tell."""
    if expr.base.shape:
        return tuple(map(reader.size, expr.base.shape))
    uses = reader.uses[str(expr.base.label)]
    return tuple(_size(reader, expr, [use[axis] for use in uses]) for axis in range(len(expr.indices)))


def _size(reader: Reader, expr: Basic, indices: Sequence[Basic]) -> Size:
    sizes: list[Size] = []
    for index in indices:
        lasts = [index]
        for symbol in index.free_symbols & reader.bound.keys():
            lasts = [last.subs(symbol, end) for last in lasts for _, end in reader.bound[symbol]]
        sizes += [reader.size(last.expand()) + 1 for last in lasts]
    largest = sizes[0]
    for size in sizes[1:]:
        if dims.is_less(largest, size):
            largest = size
        elif size != largest and not dims.is_less(size, largest):
            name = expr.base.label
            refuse(expr, f"which of {largest} and {size} is the size is not known: say it by symbols={{'{name}': (…)}}")
    return largest


RULES: Mapping[str, Rule] = {
    "Sum": _reduced,
    "Product": _reduced,
    "Indexed": _indexed,
}

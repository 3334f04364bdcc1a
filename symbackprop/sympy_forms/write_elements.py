"""How ops are written by their elements in SymPy: layout moves indices, a reduction is a sum over fresh ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from symbackprop import dims
from symbackprop.dims import Size
from symbackprop.graph import Node
from symbackprop.sympy_forms.walk import Steps, at_once, each
from symbackprop.sympy_forms.writer import Basic, Index, Part, Rule, Writer, as_number, element


def _at(number: int, index: Sequence[Basic]) -> Part:
    return Part(number, "element", tuple(index))


# --- leaves -------------------------------------------------------------------------------------------------------


def scalar_symbol(writer: Writer, node: Node) -> Basic:
    """Write a scalar symbol: real, an integer, or one that can be a condition."""
    name = node.params["name"]
    if node.dtype.kind == "b":
        return writer.sympy.Symbol(name)
    known = {"positive": True} if node.facts.get("positive") else {}
    known = known or ({"nonnegative": True} if node.facts.get("nonnegative") else {})
    return writer.sympy.Symbol(name, **({"integer": True} if node.dtype.kind in "iu" else {"real": True}), **known)


def array_symbol(writer: Writer, node: Node) -> Basic:
    """Write a symbol with axes: a vector is a matrix of one column."""
    s = writer.sympy
    if node.dtype.kind == "b":
        writer.refuse(node, "SymPy has no arrays of conditions")
    if len(node.shape) <= 2:
        return s.MatrixSymbol(node.params["name"], *writer.sizes((*node.shape, 1)[:2]))
    from sympy.tensor.array.expressions import ArraySymbol  # noqa: PLC0415  (SymPy is loaded where it is used)

    return ArraySymbol(node.params["name"], writer.sizes(node.shape))


@at_once
def _symbol(writer: Writer, node: Node, part: Part) -> Basic:
    if not node.shape:
        return scalar_symbol(writer, node)
    symbol = array_symbol(writer, node)
    return symbol[(*part.at, 0)[:2] if len(node.shape) <= 2 else part.at]


def _constant(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    array = node.params["value"].array
    if all(at.is_Integer for at in part.at):
        return writer.number(array[tuple(map(int, part.at))])
    if len(node.shape) > 2 or node.dtype.kind == "b":
        writer.refuse(node, "SymPy takes no element of such an array at an index that is no number")
    matrix = yield Part(part.number, "matrix")
    return writer.sympy.matrices.expressions.matexpr.MatrixElement(matrix, *(*part.at, writer.sympy.S.Zero)[:2])


@at_once
def _size(writer: Writer, node: Node, _part: Part) -> Basic:
    return writer.size(node.params["size"])


@at_once
def _arange(_writer: Writer, _node: Node, part: Part) -> Basic:
    return part.at[0]


def _astype(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    (operand,) = node.inputs
    value = yield _at(operand, part.at)
    source, target = writer.nodes[operand].dtype.kind, node.dtype.kind
    if source == "b" or target == "b":
        return value if source == target else as_number(writer, value) if source == "b" else writer.sympy.Ne(value, 0)
    if source == "f" and target != "f":
        return writer.sympy.sign(value) * writer.sympy.floor(writer.sympy.Abs(value))
    return value


# --- layout -------------------------------------------------------------------------------------------------------


def _transposed(_writer: Writer, node: Node, part: Part) -> Steps[Part]:
    axes, rank = node.params["axes"], len(part.at)
    moved = list(part.at)
    for at, axis in enumerate(axes):
        moved[rank + axis] = part.at[rank - len(axes) + at]
    return (yield _at(node.inputs[0], moved))


def _broadcast(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    return (yield _at(node.inputs[0], writer.aligned(node.inputs[0], part.at)))


def _expanded(_writer: Writer, node: Node, part: Part) -> Steps[Part]:
    rank = len(part.at)
    return (
        yield _at(node.inputs[0], [at for axis, at in enumerate(part.at, -rank) if axis not in node.params["axes"]])
    )


def _squeezed(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    rank = len(writer.nodes[node.inputs[0]].shape)
    left = iter(part.at)
    zero = writer.sympy.S.Zero
    return (
        yield _at(node.inputs[0], [zero if axis in node.params["axes"] else next(left) for axis in range(-rank, 0)])
    )


def _reshaped(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    """Move an index by its place in row-major order; axes of size 1 alone come and go without arithmetic."""
    operand = node.inputs[0]
    before, zero = writer.nodes[operand].shape, writer.sympy.S.Zero
    if [size for size in before if size != 1] == [size for size in node.shape if size != 1]:
        left = iter([at for at, size in zip(part.at, node.shape, strict=True) if size != 1])
        return (yield _at(operand, [zero if size == 1 else next(left) for size in before]))
    place = zero
    for at, size in zip(part.at, writer.sizes(node.shape), strict=True):
        place = place * size + at
    index = []
    for size in reversed(writer.sizes(before)):
        index.append(writer.sympy.Mod(place, size))
        place = writer.sympy.floor(place / size)
    return (yield _at(operand, index[::-1]))


def _sliced(_writer: Writer, node: Node, part: Part) -> Steps[Part]:
    writer, runs = _writer, node.params["runs"]
    first = len(part.at) - len(runs)
    index = [*part.at[:first]]
    index += [writer.size(run.start) + at * run.step for run, at in zip(runs, part.at[first:], strict=True)]
    return (yield _at(node.inputs[0], index))


def _put(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    s, runs = writer.sympy, node.params["runs"]
    first = len(part.at) - len(runs)
    index, inside = [*part.at[:first]], s.true
    for run, at in zip(runs, part.at[first:], strict=True):
        offset = (at - writer.size(run.start)) / run.step
        inside = s.And(inside, s.Ge(offset, 0), s.Lt(offset, writer.size(run.length)))
        if abs(run.step) > 1:
            inside = s.And(inside, s.Eq(s.Mod(at - writer.size(run.start), abs(run.step)), 0))
        index.append(offset)
    if inside == s.false:
        return s.S.Zero
    value = yield _at(node.inputs[0], index)
    return s.Piecewise((value, inside), (0, True))


def _concatenated(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    s, axis = writer.sympy, len(part.at) + node.params["axis"]
    start, pieces = s.S.Zero, []
    for number in node.inputs:
        length = writer.size(writer.nodes[number].shape[axis])
        inside = s.Lt(part.at[axis], start + length)
        if inside != s.false:
            value = yield _at(number, [*part.at[:axis], part.at[axis] - start, *part.at[axis + 1 :]])
            pieces.append((value, inside))
        if inside == s.true:
            break
        start += length
    return s.Piecewise(*pieces[:-1], (pieces[-1][0], True))


def _stacked(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    s, axis = writer.sympy, len(part.at) + node.params["axis"]
    at, rest = part.at[axis], [*part.at[:axis], *part.at[axis + 1 :]]
    if at.is_Integer:
        return (yield _at(node.inputs[int(at)], rest))
    values = yield from each(_at(number, rest) for number in node.inputs)
    cases = [(value, s.Eq(at, place)) for place, value in enumerate(values[:-1])]
    return s.Piecewise(*cases, (values[-1], True))


def _rolled(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    index = list(part.at)
    for shift, axis in zip(node.params["shifts"], node.params["axes"], strict=True):
        size = writer.size(node.shape[axis])
        index[axis] = writer.sympy.Mod(index[axis] - writer.size(shift), size)
    return (yield _at(node.inputs[0], index))


def _triangle(sign: int) -> Rule:
    def rule(writer: Writer, node: Node, part: Part) -> Steps[Part]:
        row, column = part.at[-2:]
        kept = writer.sympy.Le(sign * (column - row - node.params["k"]), 0)
        value = yield _at(node.inputs[0], part.at)
        return writer.sympy.Piecewise((value, kept), (0, True))

    return rule


def _gathered(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    """Take the element at the numbers that stand in arrays of indices."""
    operand, *numbers = node.inputs
    tail, rank = node.params["tail"], len(writer.nodes[operand].shape)
    first = rank - tail - len(numbers)
    middle = part.at[first : len(part.at) - tail]
    places = yield from each(_at(number, writer.aligned(number, middle)) for number in numbers)
    return (yield _at(operand, [*part.at[:first], *places, *part.at[len(part.at) - tail :]]))


def _windows(_writer: Writer, node: Node, part: Part) -> Steps[Part]:
    count = len(node.params["window"])
    *lead, inside = part.at[: len(part.at) - 2 * count], part.at[len(part.at) - count :]
    outside = part.at[len(part.at) - 2 * count : len(part.at) - count]
    steps, dilations = node.params["steps"], node.params["dilations"]
    moved = [at * s + own * d for at, s, own, d in zip(outside, steps, inside, dilations, strict=True)]
    return (yield _at(node.inputs[0], [*lead[0], *moved]))


def _toeplitz(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    *lead, row, column = part.at
    first, top = node.inputs
    below = yield _at(first, writer.aligned(first, (*lead, row - column)))
    above = yield _at(top, writer.aligned(top, (*lead, column - row)))
    return writer.sympy.Piecewise((below, writer.sympy.Ge(row, column)), (above, True))


# --- reductions ---------------------------------------------------------------------------------------------------


def summed(writer: Writer, value: Basic, indices: Sequence[Basic], sizes: Sequence[Size], name: str = "Sum") -> Basic:
    """Write a sum, or a product, over indices; what is the same for all of them is multiplied."""
    limits = [(index, 0, writer.size(size) - 1) for index, size in zip(indices, sizes, strict=True)]
    return getattr(writer.sympy, name)(value, *limits[::-1]) if limits else value


def _over(writer: Writer, node: Node, part: Part) -> tuple[Index, list[Basic], list[Size]]:
    """Give the operand's index, in which those of the reduced axes are fresh; these; and their sizes."""
    shape = writer.nodes[node.inputs[0]].shape
    axes = node.params["axes"]
    fresh = writer.fresh(part.at, len(axes))
    kept = node.params.get("keepdims", len(part.at) == len(shape))
    index = [at for axis, at in enumerate(part.at, -len(part.at)) if not kept or axis not in axes]
    whole, new = iter(index), iter(fresh)
    moved = tuple(next(new) if axis in axes else next(whole) for axis in range(-len(shape), 0))
    return moved, fresh, [shape[axis] for axis in axes]


def _reduction(finish: Callable[[Writer, Callable[[Basic], Basic], Basic, Basic], Basic]) -> Rule:
    """Give the rule of a reduction: a formula of the module, a sum over the axes, the element and the count."""

    def rule(writer: Writer, node: Node, part: Part) -> Steps[Part]:
        index, fresh, sizes = _over(writer, node, part)
        value = yield _at(node.inputs[0], index)
        if writer.nodes[node.inputs[0]].dtype.kind == "b":
            value = as_number(writer, value)
        count = writer.size(dims.product(sizes))
        return finish(writer, lambda term: summed(writer, term, fresh, sizes), value, count)

    return rule


def _prod(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    index, fresh, sizes = _over(writer, node, part)
    value = yield _at(node.inputs[0], index)
    return summed(writer, value, fresh, sizes, "Product")


def _extreme(name: str) -> Rule:
    def rule(writer: Writer, node: Node, part: Part) -> Steps[Part]:
        index, fresh, sizes = _over(writer, node, part)
        if any(isinstance(size, dims.Dim) for size in sizes):
            writer.refuse(node, "SymPy has no extreme of as many elements as a named size tells")
        places = np.ndindex(*dims.bind(sizes, {}))
        parts = []
        for place in places:
            at = dict(zip(fresh, map(writer.sympy.Integer, place), strict=True))
            parts.append(_at(node.inputs[0], [at.get(each_, each_) for each_ in index]))
        values = yield from each(parts)
        return getattr(writer.sympy, name)(*values)

    return rule


def _within(finish: Callable[[Writer, Basic, Basic], Basic]) -> Rule:
    """Give the rule of what has the operand's shape and a sum over some axes in it: a formula of element and sum."""

    def rule(writer: Writer, node: Node, part: Part) -> Steps[Part]:
        s = writer.sympy
        index, fresh, sizes = _over(writer, node, part)
        inside = yield _at(node.inputs[0], index)
        value = yield _at(node.inputs[0], part.at)
        term = {"softmax": s.exp, "log_softmax": s.exp, "unit": lambda x: x**2, "centred": lambda x: x}[node.op.name]
        total = summed(writer, term(inside), fresh, sizes)
        if node.op.name == "centred":
            total /= writer.size(dims.product(sizes))
        return finish(writer, value, total)

    return rule


def _scanned(name: str) -> Rule:
    """Give the rule of a sum or a product of what stands up to an index."""

    def rule(writer: Writer, node: Node, part: Part) -> Steps[Part]:
        (axis,), (fresh,) = node.params["axes"], writer.fresh(part.at, 1)
        place = len(part.at) + axis
        value = yield _at(node.inputs[0], [*part.at[:place], fresh, *part.at[place + 1 :]])
        return getattr(writer.sympy, name)(value, (fresh, 0, part.at[place]))

    return rule


def _product_of_others(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    s, place = writer.sympy, len(part.at) + node.params["axis"]
    (fresh,) = writer.fresh(part.at, 1)
    value = yield _at(node.inputs[0], [*part.at[:place], fresh, *part.at[place + 1 :]])
    own = s.Piecewise((1, s.Eq(fresh, part.at[place])), (value, True))
    return summed(writer, own, [fresh], [writer.nodes[node.inputs[0]].shape[node.params["axis"]]], "Product")


def _softmax_centred(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    """Write x less its average with the weights softmax(z)."""
    s, axes = writer.sympy, node.params["axes"]
    fresh = writer.fresh(part.at, len(axes))
    inner = dict(zip(axes, fresh, strict=True))
    index = tuple(inner.get(axis, at) for axis, at in enumerate(part.at, -len(part.at)))
    own = yield _at(node.inputs[0], writer.aligned(node.inputs[0], part.at))
    x, z = yield from each(_at(number, writer.aligned(number, index)) for number in node.inputs)
    sizes = [node.shape[axis] for axis in axes]
    return own - summed(writer, x * s.exp(z), fresh, sizes) / summed(writer, s.exp(z), fresh, sizes)


# --- sums of products ---------------------------------------------------------------------------------------------


def _product_of(writer: Writer, node: Node, indices: Sequence[Sequence[Basic]]) -> Steps[Part]:
    values = yield from each(_at(number, index) for number, index in zip(node.inputs, indices, strict=True))
    found = writer.sympy.S.One
    for number, value in zip(node.inputs, values, strict=True):
        found *= as_number(writer, value) if writer.nodes[number].dtype.kind == "b" else value
    return found


def _matmul(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    left, right = (writer.nodes[number].shape for number in node.inputs)
    if not node.shape and writer.linear.issuperset(node.inputs):
        row, column = yield from each(Part(number, "matrix") for number in node.inputs)
        return writer.sympy.Trace(writer.multiplied(writer.transposed(row), column))
    (inner,) = writer.fresh(part.at, 1)
    index = list(part.at)
    last = [index.pop()] if len(right) > 1 else []
    row = [index.pop()] if len(left) > 1 else []
    places = []
    for shape, own in ((left, [*row, inner]), (right, [inner, *last])):
        count = len(shape) - len(own)
        lead = index[len(index) - count :] if count else []
        places.append(
            [*(writer.sympy.S.Zero if size == 1 else at for size, at in zip(shape, lead, strict=False)), *own]
        )
    value = yield from _product_of(writer, node, places)
    return summed(writer, value, [inner], [left[-1]])


def _einsum(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    terms, _, out = node.params["subscripts"].partition("->")
    shapes = [writer.nodes[number].shape for number in node.inputs]
    sizes = {
        label: size
        for term, shape in zip(terms.split(","), shapes, strict=True)
        for label, size in zip(term, shape, strict=True)
    }
    inner = [label for label in sizes if label not in out]
    places = dict(zip([*out, *inner], [*part.at, *writer.fresh(part.at, len(inner))], strict=True))
    value = yield from _product_of(writer, node, [[places[label] for label in term] for term in terms.split(",")])
    return summed(writer, value, [places[label] for label in inner], [sizes[label] for label in inner])


def _trace(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    shape = writer.nodes[node.inputs[0]].shape
    if node.inputs[0] in writer.linear and shape[0] == shape[1]:
        return writer.sympy.Trace((yield Part(node.inputs[0], "matrix")))
    (at,) = writer.fresh(part.at, 1)
    value = yield _at(node.inputs[0], [*part.at, at, at])
    rows, columns = writer.nodes[node.inputs[0]].shape[-2:]
    return summed(writer, value, [at], [rows if dims.is_less(rows, columns) else columns])


def _diag(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    *lead, row, column = part.at
    value = yield _at(node.inputs[0], [*lead, row])
    return value * writer.sympy.KroneckerDelta(row, column)


def _diagonal(_writer: Writer, node: Node, part: Part) -> Steps[Part]:
    return (yield _at(node.inputs[0], [*part.at, part.at[-1]]))


@at_once
def _eye(writer: Writer, _node: Node, part: Part) -> Basic:
    return writer.sympy.KroneckerDelta(*part.at)


def _kron(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    s = writer.sympy
    sizes = writer.sizes(writer.nodes[node.inputs[1]].shape)
    return (
        yield from _product_of(
            writer,
            node,
            [
                [s.floor(at / size) for at, size in zip(part.at, sizes, strict=True)],
                [s.Mod(at, size) for at, size in zip(part.at, sizes, strict=True)],
            ],
        )
    )


def _of_determinant(finish: Callable[[Any, Basic], Basic]) -> Rule:
    def rule(writer: Writer, node: Node, _part: Part) -> Steps[Part]:
        if node.shape:
            writer.refuse(node, "SymPy has no determinants of stacks of matrices")
        matrix = yield Part(node.inputs[0], "matrix")
        return finish(writer.sympy, writer.sympy.Determinant(matrix))

    return rule


RULES: Mapping[str, Rule] = {
    "": element,
    "symbol": _symbol,
    "constant": _constant,
    "size": _size,
    "arange": _arange,
    "astype": _astype,
    "transpose": _transposed,
    "broadcast_to": _broadcast,
    "expand_dims": _expanded,
    "squeeze": _squeezed,
    "reshape": _reshaped,
    "slice": _sliced,
    "unslice": _put,
    "concatenate": _concatenated,
    "stack": _stacked,
    "sum": _reduction(lambda _w, total, x, _n: total(x)),
    "mean": _reduction(lambda _w, total, x, n: total(x) / n),
    "norm": _reduction(lambda w, total, x, _n: w.sympy.sqrt(total(x**2))),
    "logsumexp": _reduction(lambda w, total, x, _n: w.sympy.log(total(w.sympy.exp(x)))),
    "prod": _prod,
    "max": _extreme("Max"),
    "largest": _extreme("Max"),
    "min": _extreme("Min"),
    "cumsum": _scanned("Sum"),
    "cumprod": _scanned("Product"),
    "product_of_others": _product_of_others,
    "softmax_centred": _softmax_centred,
    "roll": _rolled,
    "tril": _triangle(1),
    "triu": _triangle(-1),
    "gather": _gathered,
    "windows": _windows,
    "toeplitz": _toeplitz,
    "softmax": _within(lambda w, x, total: w.sympy.exp(x) / total),
    "log_softmax": _within(lambda w, x, total: x - w.sympy.log(total)),
    "unit": _within(lambda w, x, total: x / w.sympy.sqrt(total)),
    "centred": _within(lambda _w, x, total: x - total),
    "matmul": _matmul,
    "einsum": _einsum,
    "trace": _trace,
    "diag": _diag,
    "diagonal": _diagonal,
    "eye": _eye,
    "kron": _kron,
    "det": _of_determinant(lambda _s, d: d),
    "logabsdet": _of_determinant(lambda s, d: s.log(s.Abs(d))),
    "logdet": _of_determinant(lambda s, d: s.log(d)),
    "signdet": _of_determinant(lambda s, d: s.sign(d)),
}

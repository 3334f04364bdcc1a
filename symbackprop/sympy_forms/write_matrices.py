"""How ops are written as SymPy's matrices; a vector is one column, and a scalar stays one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from symbackprop.dims import Shape
from symbackprop.graph import Node
from symbackprop.sympy_forms.walk import Steps, at_once, each
from symbackprop.sympy_forms.write_elements import array_symbol
from symbackprop.sympy_forms.writer import Basic, Part, Rule, Writer, by_elements, of_one_array


def form_of(writer: Writer, number: int) -> Part:
    """Ask for an operand as it stands in a formula of matrices: a scalar as such."""
    return Part(number, "matrix" if writer.nodes[number].shape else "element")


@at_once
def _symbol(writer: Writer, node: Node, _part: Part) -> Basic:
    return array_symbol(writer, node)


@at_once
def _constant(writer: Writer, node: Node, _part: Part) -> Basic:
    array = node.params["value"].array
    rows, columns = (*array.shape, 1)[:2]
    return writer.sympy.ImmutableMatrix(rows, columns, [writer.number(number) for number in array.ravel()])


def _eye(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    rows, columns = writer.sizes(node.shape)
    if rows == columns:
        return writer.sympy.Identity(rows)
    return (yield from by_elements(writer, node, part))


# --- what acts on each element ------------------------------------------------------------------------------------


class _Operand(NamedTuple):
    """An operand of an elementwise op: what is written, and along which axes of the result it is repeated."""

    value: Basic
    shape: Shape  # (), or two sizes


def _operands(writer: Writer, node: Node) -> Steps[Part]:
    """Give the operands: a vector beside a matrix is a row, and what has one element beside more a scalar."""
    found = []
    for number in node.inputs:
        shape = writer.nodes[number].shape
        if shape and {*shape} == {1} != {*node.shape}:
            found.append(_Operand((yield Part(number, "element", (writer.sympy.S.Zero,) * len(shape))), ()))
            continue
        value = yield form_of(writer, number)
        if len(shape) == 1 and len(node.shape) == 2:
            found.append(_Operand(writer.transposed(value), (1, *shape)))
        else:
            found.append(_Operand(value, (*shape, 1)[:2] if shape else ()))
    return found


def _repeated(writer: Writer, operand: _Operand, whole: Shape) -> Basic:
    """Give an operand the whole shape."""
    ones = writer.sympy.OneMatrix
    rows, columns = writer.sizes(whole)
    if not operand.shape:
        return _filled(writer, operand.value, rows, columns)
    found = operand.value
    if operand.shape[0] != whole[0]:
        found = writer.multiplied(ones(rows, 1), found)
    return writer.multiplied(found, ones(1, columns)) if operand.shape[1] != whole[1] else found


def _filled(writer: Writer, value: Basic, rows: Basic, columns: Basic) -> Basic:
    s = writer.sympy
    return s.ZeroMatrix(rows, columns) if value == 0 else writer.multiplied(value, s.OneMatrix(rows, columns))


def _whole(node: Node) -> Shape:
    return (*node.shape, 1)[:2]


def _added(sign: int) -> Rule:
    def rule(writer: Writer, node: Node, _part: Part) -> Steps[Part]:
        left, right = yield from _operands(writer, node)
        left, right = (_repeated(writer, operand, _whole(node)) for operand in (left, right))
        return writer.added(left, right if sign == 1 else writer.multiplied(-1, right))

    return rule


def _product(writer: Writer, left: _Operand, right: _Operand, whole: Shape) -> Basic:
    """Write an elementwise product; by a row or a column it is one with a diagonal matrix."""
    s = writer.sympy
    if not left.shape or not right.shape:
        return writer.multiplied(left.value, right.value)
    if left.shape == right.shape:
        return s.HadamardProduct(left.value, right.value)
    if whole not in {left.shape, right.shape}:
        column, row = (left, right) if left.shape[1] == 1 else (right, left)
        return writer.multiplied(column.value, row.value)
    part, full = (left, right) if right.shape == whole else (right, left)
    if part.shape[1] == 1:
        return writer.multiplied(s.DiagMatrix(part.value), full.value)
    return writer.multiplied(full.value, s.DiagMatrix(writer.transposed(part.value)))


def _multiplied(writer: Writer, node: Node, _part: Part) -> Steps[Part]:
    left, right = yield from _operands(writer, node)
    return _product(writer, left, right, _whole(node))


def _divided(writer: Writer, node: Node, _part: Part) -> Steps[Part]:
    left, right = yield from _operands(writer, node)
    below = writer.sympy.HadamardPower(right.value, -1) if right.shape else 1 / right.value
    return _product(writer, left, _Operand(below, right.shape), _whole(node))


def _negative(writer: Writer, node: Node, _part: Part) -> Steps[Part]:
    (number,) = node.inputs
    return writer.multiplied(-1, (yield form_of(writer, number)))


def _powered(exponent: Callable[[Writer], Basic]) -> Rule:
    def rule(writer: Writer, node: Node, _part: Part) -> Steps[Part]:
        base = yield form_of(writer, node.inputs[0])
        return writer.sympy.HadamardPower(base, exponent(writer))

    return rule


def _power(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    if not writer.nodes[node.inputs[0]].shape or writer.nodes[node.inputs[1]].shape:
        return (yield from _elementwise(writer, node, part))
    base, exponent = yield from _operands(writer, node)
    return writer.sympy.HadamardPower(base.value, exponent.value)


def _astype(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    (number,) = node.inputs
    if writer.nodes[number].dtype.kind == "b" or node.dtype.kind != "f":
        return (yield from by_elements(writer, node, part))
    return (yield form_of(writer, number))


def _elementwise(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    """Apply a function of one array and of scalars to each element; what has no such form is told by its elements."""
    applied = of_one_array(writer, node)
    if applied is None:
        return (yield from by_elements(writer, node, part))
    operands = yield from each(form_of(writer, number) for number in node.inputs)
    return operands[applied.place].applyfunc(applied.of_variable(writer, node, operands))


# --- layout -------------------------------------------------------------------------------------------------------


def _transposed(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    if node.params["axes"] != (-1, -2):
        return (yield from by_elements(writer, node, part))
    return writer.transposed((yield Part(node.inputs[0], "matrix")))


def _moved(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    """Write a vector as a row or a column, or the other way round."""
    before, after = writer.nodes[node.inputs[0]].shape, node.shape
    if not before:
        return writer.sympy.ImmutableMatrix(1, 1, [(yield Part(node.inputs[0], "element"))])
    if len(before) > 2 or [size for size in before if size != 1] != [size for size in after if size != 1]:
        return (yield from by_elements(writer, node, part))
    value = yield Part(node.inputs[0], "matrix")
    return value if (*before, 1)[:2] == (*after, 1)[:2] else writer.transposed(value)


def _broadcast(writer: Writer, node: Node, _part: Part) -> Steps[Part]:
    (operand,) = yield from _operands(writer, node)
    return _repeated(writer, operand, _whole(node))


def _sliced(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    runs = node.params["runs"]
    value = yield Part(node.inputs[0], "matrix")
    if any(run.step < 0 for run in runs) or not isinstance(value, writer.sympy.MatrixExpr):
        return (yield from by_elements(writer, node, part))
    before = (*writer.nodes[node.inputs[0]].shape, 1)[:2]
    first = len(node.shape) - len(runs)
    ends = [(0, writer.size(size), 1) for size in before]
    for at, run in enumerate(runs, first):
        start = writer.size(run.start)
        ends[at] = start, start + writer.size((run.length - 1) * run.step + 1), run.step
    return writer.sympy.matrices.expressions.slice.MatrixSlice(value, *ends)


def _concatenated(writer: Writer, node: Node, _part: Part) -> Steps[Part]:
    blocks = yield from each(Part(number, "matrix") for number in node.inputs)
    beside = len(node.shape) == 2 and node.params["axis"] == -1
    return writer.sympy.BlockMatrix([blocks] if beside else [[block] for block in blocks])


# --- linear algebra -----------------------------------------------------------------------------------------------


def _matmul(writer: Writer, node: Node, _part: Part) -> Steps[Part]:
    left, right = yield from each(Part(number, "matrix") for number in node.inputs)
    if len(writer.nodes[node.inputs[0]].shape) == 1:  # a row times a matrix: the column of its transpose
        return writer.multiplied(writer.transposed(right), left)
    return writer.multiplied(left, right)


def _inverse(writer: Writer, node: Node, _part: Part) -> Steps[Part]:
    return writer.sympy.Inverse((yield Part(node.inputs[0], "matrix")))


def _cofactors(writer: Writer, node: Node, _part: Part) -> Steps[Part]:
    matrix = yield Part(node.inputs[0], "matrix")
    inverse = writer.transposed(writer.sympy.Inverse(matrix))
    return writer.multiplied(writer.sympy.Determinant(matrix), inverse)


def _cofactors_along(writer: Writer, node: Node, _part: Part) -> Steps[Part]:
    matrix, along = yield from each(Part(number, "matrix") for number in node.inputs)
    s, inverse = writer.sympy, writer.sympy.Inverse(matrix)
    x = writer.transposed(inverse)
    scaled = writer.multiplied(s.Trace(writer.multiplied(inverse, along)), x)
    less = writer.multiplied(x, writer.transposed(along), x)
    return writer.multiplied(s.Determinant(matrix), s.MatAdd(scaled, writer.multiplied(s.Integer(-1), less)))


def _solved(writer: Writer, node: Node, _part: Part) -> Steps[Part]:
    matrix, right = yield from each(Part(number, "matrix") for number in node.inputs)
    return writer.multiplied(writer.sympy.Inverse(matrix), right)


def _matrix_power(writer: Writer, node: Node, _part: Part) -> Steps[Part]:
    return writer.sympy.MatPow((yield Part(node.inputs[0], "matrix")), node.params["n"])


def _of_one(name: str) -> Rule:
    def rule(writer: Writer, node: Node, part: Part) -> Steps[Part]:
        if len(node.shape) > 2 or len(writer.nodes[node.inputs[0]].shape) > 2:
            return (yield from by_elements(writer, node, part))
        return getattr(writer.sympy, name)((yield Part(node.inputs[0], "matrix")))

    return rule


def _diagonal(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    rows, columns = writer.nodes[node.inputs[0]].shape[-2:]
    if len(node.shape) != 1 or rows != columns:
        return (yield from by_elements(writer, node, part))
    return writer.sympy.matrices.expressions.diagonal.DiagonalOf((yield Part(node.inputs[0], "matrix")))


def _kron(writer: Writer, node: Node, _part: Part) -> Steps[Part]:
    left, right = yield from each(Part(number, "matrix") for number in node.inputs)
    return writer.sympy.KroneckerProduct(left, right)


def _summed(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    """Write a sum over rows or over columns as a product with ones."""
    shape, axes = writer.nodes[node.inputs[0]].shape, node.params["axes"]
    if len(shape) != 2 or len(axes) != 1 or writer.nodes[node.inputs[0]].dtype.kind == "b":
        return (yield from by_elements(writer, node, part))
    value = yield Part(node.inputs[0], "matrix")
    count, ones = writer.size(shape[axes[0]]), writer.sympy.OneMatrix
    if axes == (-1,):
        found = writer.multiplied(value, ones(count, 1))
    else:
        row = node.params["keepdims"]
        factors = (ones(1, count), value) if row else (writer.transposed(value), ones(count, 1))
        found = writer.multiplied(*factors)
    return writer.multiplied(1 / count, found) if node.op.name == "mean" else found


RULES: Mapping[str, Rule] = {
    "": _elementwise,
    "symbol": _symbol,
    "constant": _constant,
    "eye": _eye,
    "add": _added(1),
    "subtract": _added(-1),
    "multiply": _multiplied,
    "damped": _multiplied,
    "divide": _divided,
    "negative": _negative,
    "square": _powered(lambda _w: 2),
    "sqrt": _powered(lambda w: w.sympy.Rational(1, 2)),
    "reciprocal": _powered(lambda _w: -1),
    "power": _power,
    "astype": _astype,
    "transpose": _transposed,
    "expand_dims": _moved,
    "squeeze": _moved,
    "reshape": _moved,
    "broadcast_to": _broadcast,
    "slice": _sliced,
    "concatenate": _concatenated,
    "matmul": _matmul,
    "inv": _inverse,
    "cofactors": _cofactors,
    "cofactors_along": _cofactors_along,
    "solve": _solved,
    "matrix_power": _matrix_power,
    "diag": _of_one("DiagMatrix"),
    "diagonal": _diagonal,
    "kron": _kron,
    "sum": _summed,
    "mean": _summed,
}

LINEAR = frozenset(
    {
        "symbol", "constant", "eye", "add", "subtract", "negative", "transpose", "matmul", "inv", "solve",
        "cofactors", "cofactors_along", "matrix_power", "diag", "kron", "multiply", "divide", "expand_dims",
        "squeeze", "astype",
    }
)  # fmt: skip
"""The ops of which products are written as products of matrices, not as sums over elements."""

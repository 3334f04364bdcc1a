"""How SymPy's matrices are read: one column or one row is a vector here, and one element a scalar."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce

import numpy as np

from symbackprop import dims, ops
from symbackprop.dims import Shape, Size
from symbackprop.expr import Expr
from symbackprop.sympy_forms.read_scalars import added, multiplied, named_symbol, powered
from symbackprop.sympy_forms.read_sums import element
from symbackprop.sympy_forms.reader import Basic, Bound, Part, Reader, Rule, Scope, Value, refuse
from symbackprop.sympy_forms.walk import Steps, at_once

_Rule = Callable[[Reader, Basic], Steps[Part]]


def outside_sums(rule: _Rule) -> Rule:
    """Give the rule of what is a matrix: it cannot depend on the index of a sum."""

    def checked(reader: Reader, expr: Basic, scope: Scope) -> Steps[Part]:
        if scope:
            refuse(expr, f"it depends on {scope[-1].symbol}, the index of a sum; write the sum of its elements")
        return (yield from rule(reader, expr))

    return checked


def _read(expr: Basic) -> Part:
    return expr, ()


def _all(reader: Reader, parts: Sequence[Basic]) -> Steps[Part]:
    return (yield from reader.all_of(parts, ()))


def shape_of(reader: Reader, expr: Basic) -> Shape:
    """Give the two sizes of a matrix."""
    return tuple(reader.size(reader.sympy.sympify(size)) for size in expr.shape)


def squeezed(shape: Shape) -> Shape:
    """Give the shape without the axes of size 1."""
    return tuple(size for size in shape if size != 1)


@at_once
def _symbol(reader: Reader, expr: Basic) -> Value:
    symbol = named_symbol(reader, expr, squeezed(shape_of(reader, expr)))
    return ops.squeeze(symbol) if isinstance(symbol, Expr) else symbol


def stacked(reader: Reader, values: Sequence[Value], shape: Shape) -> Expr:
    """Give an array of scalars, row by row."""
    if all(reader.constant(value) for value in values):
        numbers = np.array([reader.number(value) for value in values], dtype=None if values else float)
        return ops.constant(numbers.astype(float).reshape(dims.bind(shape, {})))
    operands = [reader.as_expr(value) for value in values]
    kind = np.result_type(*(operand.dtype for operand in operands), float)
    row = ops.stack([operand.astype(kind) for operand in operands])
    return ops.reshape(row, shape)


def _explicit(reader: Reader, expr: Basic) -> Steps[Part]:
    values = yield from _all(reader, list(expr.flat()))
    return stacked(reader, values, squeezed(tuple(map(int, expr.shape))))


def _sum(reader: Reader, expr: Basic) -> Steps[Part]:
    values = yield from _all(reader, expr.args)
    return added([reader.as_expr(value) for value in values])


def _product_of_two(left: Expr, right: Expr, rows: Size, inner: Size, columns: Size) -> Expr:
    if inner == 1:
        return ops.outer(left, right) if rows != 1 and columns != 1 else ops.multiply(left, right)
    return ops.matmul(left, right)


def _product(reader: Reader, expr: Basic) -> Steps[Part]:
    """Multiply; from the right where that meets vectors first, and what is inverted solves a system."""
    numbers, matrices = expr.as_coeff_matrices()
    inverted = [_inverse_of(matrix) for matrix in matrices]
    last = len(matrices) - 1
    solving = any(below is not None for below in inverted[:last])
    parts = [
        matrix if below is None or at == last else below
        for at, (matrix, below) in enumerate(zip(matrices, inverted, strict=True))
    ]
    coefficient, *values = yield from _all(reader, [numbers, *parts])
    values = [reader.as_expr(value) for value in values]
    shapes = [shape_of(reader, matrix) for matrix in matrices]
    if solving or (shapes[-1][1] == 1 and shapes[0][0] != 1):
        found = values[-1]
        for at in range(last - 1, -1, -1):
            if inverted[at] is not None:
                found = ops.linalg.solve(values[at], found)
            else:
                rows, inner = shapes[at]
                found = _product_of_two(values[at], found, rows, inner, shapes[-1][1])
    else:
        found = values[0]
        for at in range(1, last + 1):
            inner, columns = shapes[at]
            found = _product_of_two(found, values[at], shapes[0][0], inner, columns)
    if not reader.constant(coefficient):
        return multiplied([coefficient, found])
    if abs(coefficient) != 1:
        found = multiplied([reader.number(abs(coefficient)), found])
    return -found if coefficient.is_negative else found


def _inverse_of(matrix: Basic) -> Basic | None:
    """Give what a matrix is the inverse of, or None."""
    if type(matrix).__name__ == "Inverse":
        return matrix.arg
    return matrix.base if type(matrix).__name__ == "MatPow" and matrix.exp == -1 else None


def _is_scalar(value: Expr) -> bool:
    return not value.shape


def _power(reader: Reader, expr: Basic) -> Steps[Part]:
    base = reader.as_expr((yield _read(expr.base)))
    if not expr.exp.is_Integer:
        refuse(expr, "the exponent of a matrix is an integer")
    exponent = int(expr.exp)
    if _is_scalar(base):
        return powered(base, exponent)
    return ops.linalg.inv(base) if exponent == -1 else ops.linalg.matrix_power(base, exponent)


def _of_matrix(build: Callable[[Expr], Expr], of_scalar: Callable[[Expr], Expr]) -> Rule:
    """Give the rule of a function of one square matrix, and of what it is for a matrix of one element."""

    def rule(reader: Reader, expr: Basic) -> Steps[Part]:
        value = reader.as_expr((yield _read(expr.args[0])))
        return of_scalar(value) if _is_scalar(value) else build(value)

    return outside_sums(rule)


def _hadamard(reader: Reader, expr: Basic) -> Steps[Part]:
    values = yield from _all(reader, expr.args)
    above: list[Expr] = []
    below: list[Expr] = []
    for arg, value in zip(expr.args, values, strict=True):
        inverted = type(arg).__name__ == "HadamardPower" and arg.exp == -1
        found = reader.as_expr(value)
        (below if inverted and found.op is ops.divide else above).append(found)
    found = multiplied(above) if above else below.pop(0)
    for inverse in below:
        found = ops.divide(found, inverse.inputs[1])
    return found


def _hadamard_power(reader: Reader, expr: Basic) -> Steps[Part]:
    base, exponent = yield from _all(reader, [expr.base, expr.exp])
    return powered(reader.as_expr(base), reader.operand(exponent))


def applied(reader: Reader, function: Basic, operand: Value) -> Steps[Part]:
    """Apply a function of scalars to each element."""
    variable = reader.sympy.Dummy(real=True)
    reader.standing[variable] = operand
    body = function(variable)
    reader.survey(body)
    found = reader.as_expr((yield _read(body)))
    return ops.broadcast_to(found, operand.shape)


def _elementwise(reader: Reader, expr: Basic) -> Steps[Part]:
    operand = reader.as_expr((yield _read(expr.expr)))
    return (yield from applied(reader, expr.function, operand))


def _full(number: float) -> Rule:
    @at_once
    def rule(reader: Reader, expr: Basic) -> Value:
        return ops.broadcast_to(ops.constant(number), squeezed(shape_of(reader, expr)))

    return outside_sums(rule)


@at_once
def _identity(reader: Reader, expr: Basic) -> Value:
    rows, columns = shape_of(reader, expr)
    return ops.constant(1.0) if rows == columns == 1 else ops.eye(rows, columns)


def _diagonal_matrix(reader: Reader, expr: Basic) -> Steps[Part]:
    value = reader.as_expr((yield _read(expr.args[0])))
    return ops.diag(ops.reshape(value, -1))


def _diagonal_part(reader: Reader, expr: Basic) -> Steps[Part]:
    value = reader.as_expr((yield _read(expr.args[0])))
    if value.ndim < 2:
        refuse(expr, "the diagonal is taken of a matrix with several rows and columns")
    diagonal = ops.diagonal(value)
    return ops.diag(diagonal) if type(expr).__name__ == "DiagonalMatrix" else diagonal


def _whole(reader: Reader, expr: Basic, value: Value) -> Expr:
    """Give a matrix with both its axes."""
    return ops.reshape(reader.as_expr(value), shape_of(reader, expr))


def _blocks(reader: Reader, expr: Basic) -> Steps[Part]:
    rows = []
    for at in range(expr.blockshape[0]):
        blocks = [expr.blocks[at, column] for column in range(expr.blockshape[1])]
        values = yield from _all(reader, blocks)
        whole = [_whole(reader, block, value) for block, value in zip(blocks, values, strict=True)]
        rows.append(ops.concatenate(whole, axis=1) if len(whole) > 1 else whole[0])
    found = ops.concatenate(rows, axis=0) if len(rows) > 1 else rows[0]
    return ops.squeeze(found, [axis for axis, size in enumerate(found.shape) if size == 1])


def _block_diagonal(reader: Reader, expr: Basic) -> Steps[Part]:
    return (yield _read(reader.sympy.BlockMatrix(expr.blocks)))


def _kronecker(reader: Reader, expr: Basic) -> Steps[Part]:
    values = yield from _all(reader, expr.args)
    whole = [_whole(reader, arg, value) for arg, value in zip(expr.args, values, strict=True)]
    return ops.reshape(reduce(ops.kron, whole), squeezed(shape_of(reader, expr)))


def _dot(reader: Reader, expr: Basic) -> Steps[Part]:
    values = yield from _all(reader, expr.args)
    return reduce(ops.matmul, [ops.reshape(reader.as_expr(value), -1) for value in values])


def _slice(reader: Reader, expr: Basic) -> Steps[Part]:
    value = reader.as_expr((yield _read(expr.parent)))
    parts = []
    for size, (start, stop, step) in zip(shape_of(reader, expr.parent), (expr.rowslice, expr.colslice), strict=True):
        if size == 1:
            continue
        ends = reader.size(start), reader.size(stop)
        parts.append(slice(*ends, int(step)))
    found = value[tuple(parts)]
    return ops.squeeze(found, [axis for axis, size in enumerate(found.shape) if size == 1])


def _element(reader: Reader, expr: Basic, scope: Scope) -> Steps[Part]:
    value = reader.as_expr((yield _read(expr.parent)))
    if reader.needs.get(expr.parent):
        refuse(expr, "the matrix depends on the index of a sum; write its elements")
    sizes = shape_of(reader, expr.parent)
    indices = [index for index, size in zip((expr.i, expr.j), sizes, strict=True) if size != 1]
    return (yield from element(reader, value, indices, scope))


def _by_elements(reader: Reader, expr: Basic) -> Steps[Part]:
    """Read a matrix that is a function of row and column: the column's index is the last axis."""
    row, column = (reader.sympy.Dummy(integer=True) for _ in range(2))
    rows, columns = shape_of(reader, expr)
    body = expr.lamda(row, column)
    for index, size in ((row, expr.shape[0]), (column, expr.shape[1])):
        reader.bound[index] = [(reader.sympy.S.Zero, size - 1)]
    reader.survey(body)
    scope = (Bound(column, 0, columns), Bound(row, 0, rows))
    found = reader.as_expr((yield body, scope))
    found = ops.broadcast_to(found, (rows, columns))
    return ops.squeeze(found, [axis for axis, size in enumerate(found.shape) if size == 1])


RULES: Mapping[str, Rule] = {
    "MatrixSymbol": outside_sums(_symbol),
    "MatrixBase": outside_sums(_explicit),
    "MatAdd": outside_sums(_sum),
    "MatMul": outside_sums(_product),
    "MatPow": outside_sums(_power),
    "Inverse": _of_matrix(ops.linalg.inv, lambda x: ops.divide(1, x)),
    "Transpose": _of_matrix(ops.transpose, lambda x: x),
    "Adjoint": _of_matrix(ops.transpose, lambda x: x),
    "Trace": _of_matrix(ops.trace, lambda x: x),
    "Determinant": _of_matrix(ops.linalg.det, lambda x: x),
    "HadamardProduct": outside_sums(_hadamard),
    "HadamardPower": outside_sums(_hadamard_power),
    "ElementwiseApplyFunction": outside_sums(_elementwise),
    "Identity": outside_sums(_identity),
    "ZeroMatrix": _full(0.0),
    "OneMatrix": _full(1.0),
    "DiagMatrix": outside_sums(_diagonal_matrix),
    "DiagonalMatrix": outside_sums(_diagonal_part),
    "DiagonalOf": outside_sums(_diagonal_part),
    "BlockMatrix": outside_sums(_blocks),
    "BlockDiagMatrix": outside_sums(_block_diagonal),
    "KroneckerProduct": outside_sums(_kronecker),
    "DotProduct": outside_sums(_dot),
    "MatrixSlice": outside_sums(_slice),
    "MatrixElement": _element,
    "FunctionMatrix": outside_sums(_by_elements),
}

"""How SymPy's arrays of any rank are read, explicit or in symbols: their shapes stay as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from symbackprop import ops
from symbackprop.dims import Shape
from symbackprop.op import apply
from symbackprop.ops.contract import EINSUM
from symbackprop.sympy_forms.read_matrices import applied, outside_sums, stacked
from symbackprop.sympy_forms.read_scalars import added, named_symbol
from symbackprop.sympy_forms.read_sums import element
from symbackprop.sympy_forms.reader import Basic, Part, Reader, Rule, Scope, Value, refuse
from symbackprop.sympy_forms.walk import Steps, at_once, each

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _shape(reader: Reader, expr: Basic) -> Shape:
    return tuple(reader.size(reader.sympy.sympify(size)) for size in getattr(expr, "shape", ()))


def _operands(reader: Reader, parts: Sequence[Basic]) -> Steps[Part]:
    """Give the parts with all their axes, those of size 1 too."""
    values = yield from each((part, ()) for part in parts)
    return [ops.reshape(reader.as_expr(value), _shape(reader, part)) for part, value in zip(parts, values, strict=True)]


def _explicit(reader: Reader, expr: Basic) -> Steps[Part]:
    values = yield from each((part, ()) for part in reader.sympy.flatten(expr.tolist()))
    return stacked(reader, values, tuple(map(int, expr.shape)))


@at_once
def _symbol(reader: Reader, expr: Basic) -> Value:
    return named_symbol(reader, expr, _shape(reader, expr))


def _full(number: float) -> Rule:
    @at_once
    def rule(reader: Reader, expr: Basic) -> Value:
        return ops.broadcast_to(ops.constant(number), _shape(reader, expr))

    return outside_sums(rule)


def _factors(expr: Basic) -> list[Basic]:
    return list(expr.args) if type(expr).__name__ == "ArrayTensorProduct" else [expr]


def _labelled(reader: Reader, expr: Basic, groups: Sequence[Sequence[int]], *, kept: bool) -> Steps[Part]:
    """Multiply the factors, with one label for each group of axes; those of groups come last or are summed over."""
    operands = yield from _operands(reader, _factors(expr))
    rank = sum(operand.ndim for operand in operands)
    if rank > len(_LETTERS):
        refuse(expr, f"more than {len(_LETTERS)} axes")
    labels = list(_LETTERS[:rank])
    inside = {int(axis) for group in groups for axis in group}
    for group in groups:
        for axis in group:
            labels[int(axis)] = labels[int(group[0])]
    out = [label for axis, label in enumerate(labels) if axis not in inside]
    if kept:
        out += [labels[int(group[0])] for group in groups]
    terms, start = [], 0
    for operand in operands:
        terms.append("".join(labels[start : start + operand.ndim]))
        start += operand.ndim
    return apply(EINSUM, *operands, subscripts=f"{','.join(terms)}->{''.join(out)}")


def _tensor_product(reader: Reader, expr: Basic) -> Steps[Part]:
    return (yield from _labelled(reader, expr, (), kept=False))


def _contraction(reader: Reader, expr: Basic) -> Steps[Part]:
    return (yield from _labelled(reader, expr.expr, expr.contraction_indices, kept=False))


def _diagonal(reader: Reader, expr: Basic) -> Steps[Part]:
    return (yield from _labelled(reader, expr.expr, expr.diagonal_indices, kept=True))


def _permuted(reader: Reader, expr: Basic) -> Steps[Part]:
    (operand,) = yield from _operands(reader, [expr.expr])
    return ops.transpose(operand, expr.permutation.array_form)


def _sum(reader: Reader, expr: Basic) -> Steps[Part]:
    return added((yield from _operands(reader, expr.args)))


def _elementwise(reader: Reader, expr: Basic) -> Steps[Part]:
    (operand,) = yield from _operands(reader, [expr.expr])
    return (yield from applied(reader, expr.function, operand))


def _reshaped(reader: Reader, expr: Basic) -> Steps[Part]:
    (operand,) = yield from _operands(reader, [expr.expr])
    return ops.reshape(operand, _shape(reader, expr))


def _element(reader: Reader, expr: Basic, scope: Scope) -> Steps[Part]:
    if reader.needs.get(expr.name):
        refuse(expr, "the array depends on the index of a sum; write its elements")
    array = reader.as_expr((yield expr.name, ()))
    return (yield from element(reader, array, expr.indices, scope))


RULES: Mapping[str, Rule] = {
    "NDimArray": outside_sums(_explicit),
    "ArraySymbol": outside_sums(_symbol),
    "ArrayElement": _element,
    "ZeroArray": _full(0.0),
    "OneArray": _full(1.0),
    "ArrayTensorProduct": outside_sums(_tensor_product),
    "ArrayContraction": outside_sums(_contraction),
    "ArrayDiagonal": outside_sums(_diagonal),
    "PermuteDims": outside_sums(_permuted),
    "ArrayAdd": outside_sums(_sum),
    "ArrayElementwiseApplyFunc": outside_sums(_elementwise),
    "Reshape": outside_sums(_reshaped),
}

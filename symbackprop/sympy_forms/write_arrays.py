"""How ops are written as SymPy's arrays of more than two axes: tensor products, their diagonals and contractions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from symbackprop.dims import Shape
from symbackprop.graph import Node
from symbackprop.sympy_forms.walk import Steps, at_once
from symbackprop.sympy_forms.write_elements import array_symbol
from symbackprop.sympy_forms.writer import Basic, Form, Part, Rule, Writer, of_one_array, written_out


def _arrays(writer: Writer, numbers: Sequence[int], shapes: Sequence[Shape] = ()) -> Steps[Part]:
    """Give operands as arrays of their own shapes, or of others with fewer axes of size 1; no vector is a column."""
    found = []
    for number, shape in zip(numbers, shapes or [writer.nodes[number].shape for number in numbers], strict=True):
        own = writer.nodes[number].shape
        form: Form = "element" if not own else "matrix" if len(own) <= 2 else "array"
        value = yield Part(number, form)
        found.append(writer.arrays.Reshape(value, writer.sizes(shape)) if shape != own or len(own) == 1 else value)
    return found


@at_once
def _symbol(writer: Writer, node: Node, _part: Part) -> Basic:
    return array_symbol(writer, node)


def _labelled(writer: Writer, node: Node, terms: Sequence[str], out: str, shapes: Sequence[Shape] = ()) -> Steps[Part]:
    """Write a sum of products of elements with labelled axes: the labels that the result lacks are summed over."""
    a = writer.arrays
    shapes = shapes or [writer.nodes[number].shape for number in node.inputs]
    operands = yield from _arrays(writer, node.inputs, shapes)
    axes = "".join(terms)
    sizes = {
        label: size for term, shape in zip(terms, shapes, strict=True) for label, size in zip(term, shape, strict=True)
    }
    alone = [label for label in sizes if label not in out and axes.count(label) == 1]
    operands += [a.OneArray(writer.size(sizes[label])) for label in alone]
    axes += "".join(alone)
    found = a.ArrayTensorProduct(*operands) if len(operands) > 1 else operands[0]
    for build, groups in (
        (a.ArrayDiagonal, [label for label in out if axes.count(label) > 1]),
        (a.ArrayContraction, [label for label in sizes if label not in out]),
    ):
        if groups:
            found = build(found, *[tuple(at for at, own in enumerate(axes) if own == label) for label in groups])
            axes = "".join(label for label in axes if label not in groups)
            axes += "".join(groups) if build is a.ArrayDiagonal else ""
    return found if axes == out else a.PermuteDims(found, [axes.index(label) for label in out])


def _multiplied(writer: Writer, node: Node, _part: Part) -> Steps[Part]:
    letters = "abcdefghijklmnopqrstuvwxyz"[: len(node.shape)]
    terms, shapes = [], []
    for number in node.inputs:
        shape = writer.nodes[number].shape
        first = len(node.shape) - len(shape)
        kept = [at for at, size in enumerate(shape) if size == node.shape[first + at]]  # the others are of size 1
        terms.append("".join(letters[first + at] for at in kept))
        shapes.append(tuple(shape[at] for at in kept))
    return (yield from _labelled(writer, node, terms, letters, shapes))


def _einsum(writer: Writer, node: Node, _part: Part) -> Steps[Part]:
    terms, _, out = node.params["subscripts"].partition("->")
    return (yield from _labelled(writer, node, terms.split(","), out))


def _matmul(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    left, right = (writer.nodes[number].shape for number in node.inputs)
    lead = "abcdefghijklmnopqrst"[: max(len(left), len(right)) - 2]
    fit = all(
        tuple(shape[:-2]) == tuple(node.shape[len(lead) - len(shape) + 2 : len(lead)])
        for shape in (left, right)
        if len(shape) > 2
    )
    if not fit:
        return (yield from written_out(writer, node, part))
    terms = [
        (lead[len(lead) - len(left) + 2 :] if len(left) > 2 else "") + ("xy" if len(left) > 1 else "y"),
        (lead[len(lead) - len(right) + 2 :] if len(right) > 2 else "") + ("yz" if len(right) > 1 else "y"),
    ]
    out = lead + ("x" if len(left) > 1 else "") + ("z" if len(right) > 1 else "")
    return (yield from _labelled(writer, node, terms, out))


def _reshaped(writer: Writer, node: Node, _part: Part) -> Steps[Part]:
    (operand,) = yield from _arrays(writer, node.inputs)
    if not writer.nodes[node.inputs[0]].shape:
        operand = writer.arrays.ArrayTensorProduct(operand, writer.arrays.OneArray(1))
    return writer.arrays.Reshape(operand, writer.sizes(node.shape))


def _transposed(writer: Writer, node: Node, _part: Part) -> Steps[Part]:
    rank, axes = len(node.shape), node.params["axes"]
    (operand,) = yield from _arrays(writer, node.inputs)
    return writer.arrays.PermuteDims(operand, [*range(rank - len(axes)), *(axis + rank for axis in axes)])


def _summed(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    shape = writer.nodes[node.inputs[0]].shape
    if node.params["keepdims"] or writer.nodes[node.inputs[0]].dtype.kind == "b":
        return (yield from written_out(writer, node, part))
    letters = "abcdefghijklmnopqrstuvwxyz"[: len(shape)]
    out = "".join(letter for axis, letter in enumerate(letters, -len(letters)) if axis not in node.params["axes"])
    return (yield from _labelled(writer, node, [letters], out))


def _added(sign: int) -> Rule:
    def rule(writer: Writer, node: Node, part: Part) -> Steps[Part]:
        if any(writer.nodes[number].shape != node.shape for number in node.inputs):
            return (yield from written_out(writer, node, part))
        left, right = yield from _arrays(writer, node.inputs)
        a = writer.arrays
        return a.ArrayAdd(left, right if sign == 1 else a.ArrayTensorProduct(sign, right))

    return rule


def _negative(writer: Writer, node: Node, _part: Part) -> Steps[Part]:
    (operand,) = yield from _arrays(writer, node.inputs)
    return writer.arrays.ArrayTensorProduct(-1, operand)


def _elementwise(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    applied = of_one_array(writer, node)
    if applied is None:
        return (yield from written_out(writer, node, part))
    operands = yield from _arrays(writer, node.inputs)
    function = applied.of_variable(writer, node, operands)
    return writer.arrays.ArrayElementwiseApplyFunc(function, operands[applied.place])


RULES: Mapping[str, Rule] = {
    "": _elementwise,
    "symbol": _symbol,
    "add": _added(1),
    "subtract": _added(-1),
    "negative": _negative,
    "multiply": _multiplied,
    "transpose": _transposed,
    "reshape": _reshaped,
    "expand_dims": _reshaped,
    "squeeze": _reshaped,
    "sum": _summed,
    "einsum": _einsum,
    "matmul": _matmul,
}

"""Parts of one decomposition: eigenvalues and eigenvectors, Q and R and the like, by one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from symbackprop.dims import Shape
from symbackprop.expr import Expr
from symbackprop.graph import Node, attributed
from symbackprop.op import ATOM, Dtype, Form, Notation, Op, Params, apply
from symbackprop.ops.determinants import LOGABSDET, SIGNDET
from symbackprop.ops.factor import EIGENVALUES, EIGENVECTORS, QR_Q, QR_R, SVD_U, SVD_VH, SVDVALS
from symbackprop.rewrite.engine import Rewritten, rebuild


class _Part(NamedTuple):
    """A place in the tuple that a function gives, which is that of one of the operations less the index."""

    told_by: Op
    place: int


_PARTS: Mapping[Op, _Part] = {
    EIGENVALUES: _Part(EIGENVECTORS, 0),
    EIGENVECTORS: _Part(EIGENVECTORS, 1),
    LOGABSDET: _Part(LOGABSDET, 1),
    QR_Q: _Part(QR_Q, 0),
    QR_R: _Part(QR_Q, 1),
    SIGNDET: _Part(LOGABSDET, 0),
    SVDVALS: _Part(SVD_U, 1),
    SVD_U: _Part(SVD_U, 0),
    SVD_VH: _Part(SVD_U, 2),
}


def _part_shape(_whole: Shape, *, shape: Shape, **_: object) -> Shape:
    return shape


def _part_dtype(_whole: Dtype, *, dtype: Dtype, **_: object) -> Dtype:
    return dtype


def _part_form(params: Params, _shapes: tuple[Shape, ...]) -> Form:
    return Form(f"$0[{params['place']}]", ATOM, (ATOM,))


PART = Op(
    name="part",
    doc="Give one of the values that a function gives together.",
    shape=_part_shape,
    dtype=_part_dtype,
    vjps=(None,),
    numpy=_part_form,
    text=_part_form,
    latex=_part_form,
    cost=lambda _xs, _y, _params: 0,
)


@cache
def _whole(told_by: Op) -> Op:
    """Give the operation whose value is the tuple of all parts; nothing but `PART` is done with it."""

    def without_index(notation: Notation) -> Notation:
        def written(params: Params, shapes: tuple[Shape, ...]) -> Form:
            return Form(told_by.form(notation, params, shapes).template.rpartition("[")[0])

        return written

    return replace(
        told_by,
        name=f"all_of_{told_by.name}",
        shape=lambda _: (len([part for part in _PARTS.values() if part.told_by is told_by]),),
        numpy=without_index(told_by.numpy),
        portable=told_by.portable and without_index(told_by.portable),
        vjps=(None,),
    )


def rebuild_with_parts_together(outputs: Sequence[Expr], target: Rewritten) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, with one call for all parts of a decomposition."""
    if not outputs:
        return []
    nodes = outputs[0].graph.nodes
    results = [output.number for output in outputs]
    order = outputs[0].graph.reachable(results)
    asked: dict[tuple[Op, int], set[Op]] = {}
    for number in order:
        node = nodes[number]
        if node.op in _PARTS:
            asked.setdefault(_key(node), set()).add(node.op)
    if all(len(parts) == 1 for parts in asked.values()):
        return rebuild(outputs, target, order)
    placed: dict[int, Expr] = {}
    for number in order:
        node = nodes[number]
        operands = [placed[operand] for operand in node.inputs]
        if node.op in _PARTS and len(asked[_key(node)]) > 1:
            told_by, place = _PARTS[node.op]
            with attributed(node.origin):
                whole = apply(_whole(told_by), *operands)
                placed[number] = apply(PART, whole, place=place, shape=node.shape, dtype=node.dtype)
        else:
            placed[number] = target.copy_on(operands, node, number)
    return [placed[number] for number in results]


def _key(node: Node) -> tuple[Op, int]:
    return _PARTS[node.op].told_by, node.inputs[0]

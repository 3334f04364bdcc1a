"""The pass that closes Jacobians and Hessians: what is made of identities becomes sums of products without them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

import numpy as np

from symbackprop.expr import Expr
from symbackprop.graph import Node, attributed
from symbackprop.op import Op, apply, scalar_value
from symbackprop.ops import add, divide, logical_not, matmul, multiply, negative, subtract, where
from symbackprop.ops.contract import DIAG, DIAGONAL, EINSUM, EYE, TRACE
from symbackprop.ops.determinants import LOGABSDET
from symbackprop.ops.index import CONCATENATE, SLICE, STACK, UNSLICE, Run
from symbackprop.ops.layout import BROADCAST_TO, EXPAND_DIMS, RESHAPE, SQUEEZE, TRANSPOSE
from symbackprop.ops.reduce import MEAN, SOFTMAX, SOFTMAX_CENTRED, SUM
from symbackprop.ops.systems import inv, solve
from symbackprop.rewrite.engine import Rewritten, rebuild
from symbackprop.rewrite.notation import Formulas
from symbackprop.rewrite.structure import inverse, log_determinant, solution
from symbackprop.rewrite.terms import Tensors, Term, Terms, Unfit

_NO_SIZES: Mapping[str, int] = MappingProxyType({})
_BOOL = np.dtype(bool)
_SOURCES = {EYE, DIAG}
_PRODUCTS = {multiply, matmul, EINSUM}
_MOST_OPERANDS = 8  # that are joined as sums of products


def rebuild_closed(outputs: Sequence[Expr], target: Rewritten, sizes: Mapping[str, int] = _NO_SIZES) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, what is made of identities in closed form."""
    if not outputs:
        return []
    nodes, order = _computed_from(outputs)
    if not any(nodes[number].op in _SOURCES for number in order):
        return rebuild(outputs, target, order)
    return _Closing(nodes, target, Tensors(target, sizes)).copied(order, outputs)


def rebuild_spelled(outputs: Sequence[Expr], target: Rewritten) -> list[Expr]:
    """Copy what the outputs are computed from into another graph, tensors that are made of identities for people.

    What is made of matrices alone stays as it stands: multiplied out it would be no shorter.
    """
    if not outputs:
        return []
    nodes, order = _computed_from(outputs)
    wanted = _of_tensors(nodes, order)
    return _Spelling(nodes, target, wanted).copied(order, outputs) if wanted else rebuild(outputs, target, order)


def _computed_from(outputs: Sequence[Expr]) -> tuple[Mapping[int, Node], Sequence[int]]:
    graph = outputs[0].graph
    return graph.nodes, graph.reachable([expr.number for expr in outputs])


class _Closing:
    """The nodes of the copy: expressions, or sums of products that are written when they are needed as expressions."""

    def __init__(self, nodes: Mapping[int, Node], target: Rewritten, tensors: Tensors) -> None:
        self.nodes, self.target, self.tensors = nodes, target, tensors
        self.placed: dict[int, Expr] = {}
        self.terms: dict[int, Terms] = {}
        self.special: Mapping[Op, Callable[[Node], Terms | Expr | None]] = {
            EYE: self._identity,
            where: self._masked,
            divide: self._divided,
            solve: self._solved,
            SOFTMAX_CENTRED: self._centred,
            inv: lambda node: inverse(self.tensors, self.terms[node.inputs[0]]),
            LOGABSDET: lambda node: log_determinant(self.tensors, self.terms[node.inputs[0]]),
        }

    def copied(self, order: Iterable[int], outputs: Iterable[Expr]) -> list[Expr]:
        """Copy nodes, operands first, and give the outputs among them."""
        for number in order:
            self.place(number)
        return [self.expr(output.number) for output in outputs]

    def place(self, number: int) -> None:
        """Copy a node whose operands have been copied."""
        node = self.nodes[number]
        with attributed(node.origin):
            try:
                terms = self._as_terms(node)
            except Unfit:
                terms = None
            if isinstance(terms, Expr):
                self.placed[number] = terms
                return
            if terms is not None:
                self.terms[number] = terms
                return
            self._copy(number)

    def _copy(self, number: int) -> None:
        node = self.nodes[number]
        self.placed[number] = self.target.copy_on([self.expr(operand) for operand in node.inputs], node, number)

    def expr(self, number: int) -> Expr:
        """Give a node as an expression."""
        found = self.placed.get(number)
        if found is None:
            node = self.nodes[number]
            self.tensors.dtype = node.dtype
            with attributed(node.origin):
                found = self.placed[number] = self.tensors.written(self.terms[number], node.shape)
            found.node.stand_for(node)
        return found

    def _operand(self, number: int) -> Terms:
        return self.terms.get(number) or [self.tensors.atom(self.expr(number))]

    def _as_terms(self, node: Node) -> Terms | Expr | None:
        """Give a node as a sum of products, if it is made of an identity by what is linear in it.

        What is computed of a matrix with structure is an expression.

        Raises:
            Unfit: labels cannot say what the node does.
        """
        self.tensors.dtype = node.dtype
        special = self.special.get(node.op)
        lifted = any(operand in self.terms for operand in node.inputs) or node.op in _SOURCES
        kinds = {self.nodes[operand].dtype for operand in node.inputs}
        if not lifted or node.dtype.kind != "f" or not kinds <= {node.dtype, _BOOL}:
            return None
        if special is not None:
            return special(node)
        if node.op in _PRODUCTS and all(self._is_filled(each, node) for each in node.inputs if each in self.terms):
            return None
        make = _LINEAR.get(node.op)
        return None if make is None else make(self.tensors, self, node, *map(self._operand, node.inputs))

    def _is_filled(self, operand: int, product: Node) -> bool:
        """Tell whether an operand is as large as an array that it is a sum with, so that to write it saves products."""
        shape, elements = self.nodes[operand].shape, self.tensors.elements
        if elements(shape) > elements(product.shape):
            return False
        return len(self.terms[operand]) > 1 and any(map(_is_whole, self.terms[operand]))

    def _identity(self, node: Node) -> Terms | None:
        rows, columns = node.shape
        axis = self.tensors.axis(rows)
        return [Term((axis, axis))] if rows == columns else None

    def _divided(self, node: Node) -> Terms | None:
        one, other = node.inputs
        if other in self.terms:
            return None
        return self.tensors.multiply(self._operand(one), [self.tensors.atom(divide(1.0, self.expr(other)))])

    def _centred(self, node: Node) -> Terms | None:
        x, z = node.inputs
        if z in self.terms:
            return None
        axes = node.params["axes"]
        share = self.tensors.atom(apply(SOFTMAX, self.expr(z), axes=axes))
        terms = self._operand(x)
        mean = self.tensors.sum(self.tensors.multiply(terms, [share]), axes, keepdims=True, mean=False)
        return self.tensors.add([*terms, *_negative(mean)], node.shape)

    def _solved(self, node: Node) -> Terms | Expr | None:
        matrix, side = node.inputs
        if side not in self.terms:
            return solution(self.tensors, self.terms[matrix], self.expr(side))
        return self.tensors.matmul(self._inverse(matrix), self._operand(side))

    def _inverse(self, matrix: int) -> Terms:
        if matrix in self.terms:
            with suppress(Unfit):
                return inverse(self.tensors, self.terms[matrix])
        return [self.tensors.atom(inv(self.expr(matrix)))]

    def _masked(self, node: Node) -> Terms | None:
        condition, one, other = node.inputs
        if condition in self.terms or (one in self.terms) == (other in self.terms):
            return None
        kept, gone = (one, other) if one in self.terms else (other, one)
        if not _is_zero(self.expr(gone)):
            return None
        holds = self.expr(condition)
        return self.tensors.masked(self._operand(kept), holds if kept == one else logical_not(holds), node.shape)


class _Spelling(_Closing):
    """Keeps as sums of products what belongs to tensors, and writes that for people."""

    def __init__(self, nodes: Mapping[int, Node], target: Rewritten, wanted: set[int]) -> None:
        super().__init__(nodes, target, Formulas(target, _NO_SIZES))
        self.special = {op: make for op, make in self.special.items() if op not in {inv, LOGABSDET}}
        self._wanted = wanted

    def place(self, number: int) -> None:
        """Copy a node whose operands have been copied."""
        if number in self._wanted:
            super().place(number)
        else:
            self._copy(number)

    def _solved(self, node: Node) -> Terms | None:
        matrix, side = node.inputs
        if side not in self.terms:
            return None
        return self.tensors.matmul([self.tensors.atom(inv(self.expr(matrix)))], self._operand(side))


def _of_tensors(nodes: Mapping[int, Node], order: Sequence[int]) -> set[int]:
    """Give what is made of identities for tensors of more than two axes, of slices, or the diagonal of a Jacobian."""
    lifted: set[int] = set()
    found: set[int] = set()
    for number in order:
        node = nodes[number]
        linear = node.op in {*_LINEAR, where, divide, solve, SOFTMAX_CENTRED}
        if node.op in _SOURCES or (linear and not lifted.isdisjoint(node.inputs)):
            lifted.add(number)
            shapes = [node.shape, *(nodes[operand].shape for operand in node.inputs)]
            traced = node.op in {DIAGONAL, TRACE} and nodes[node.inputs[0]].backward
            if max(map(len, shapes)) > 2 or node.op in {SLICE, UNSLICE} or traced or not found.isdisjoint(node.inputs):
                found.add(number)
    for number in reversed(order):
        if number in found:
            inputs = nodes[number].inputs
            found.update(lifted.intersection(inputs[1:] if nodes[number].op is solve else inputs))
    return found


def _is_zero(expr: Expr) -> bool:
    while expr.op is BROADCAST_TO:
        (expr,) = expr.inputs
    return scalar_value(expr) == 0


def _is_whole(term: Term) -> bool:
    """Tell whether a term is a product of elements, one factor of which has all its axes."""
    labels = term.labels
    has = any(len(factor.labels) == len(labels) for factor in term.factors)
    return has and len({*labels}.union(*(factor.labels for factor in term.factors))) == len(labels)


def _negative(terms: Terms) -> Terms:
    return [term._replace(scale=-term.scale) for term in terms]


def _concatenated(tensors: Tensors, closing: _Closing, node: Node, *operands: Terms) -> Terms:
    if len(operands) > _MOST_OPERANDS:
        raise Unfit
    axis, start, found = node.params["axis"], 0, []
    after = [Run(0, size, 1) for size in node.shape[len(node.shape) + axis + 1 :]]
    for operand, terms in zip(node.inputs, operands, strict=True):
        size = closing.nodes[operand].shape[axis]
        found += tensors.put(terms, (Run(start, size, 1), *after), node.shape)
        start = size + start
    return tensors.add(found, node.shape)


def _stacked(tensors: Tensors, _: _Closing, node: Node, *operands: Terms) -> Terms:
    if len(operands) > _MOST_OPERANDS:
        raise Unfit
    place, found = len(node.shape) + node.params["axis"], []
    after = [Run(0, size, 1) for size in node.shape[place + 1 :]]
    for at, terms in enumerate(operands):
        new = [term._replace(axes=(*term.axes[:place], (), *term.axes[place:])) for term in terms]
        found += tensors.put(new, (Run(at, 1, 1), *after), node.shape)
    return tensors.add(found, node.shape)


def _summed(tensors: Tensors, _: _Closing, node: Node, terms: Terms) -> Terms:
    params = node.params
    return tensors.sum(terms, params["axes"], keepdims=params["keepdims"], mean=node.op is MEAN)


def _transposed(_: Tensors, __: _Closing, node: Node, terms: Terms) -> Terms:
    turned = node.params["axes"]
    return [
        term._replace(axes=term.axes[: len(term.axes) - len(turned)] + tuple(term.axes[axis] for axis in turned))
        for term in terms
    ]


def _expanded(_: Tensors, __: _Closing, node: Node, terms: Terms) -> Terms:
    new = {axis + len(node.shape) for axis in node.params["axes"]}
    found = []
    for term in terms:
        given = iter(term.axes)
        found.append(term._replace(axes=tuple(() if at in new else next(given) for at in range(len(node.shape)))))
    return found


def _squeezed(_: Tensors, __: _Closing, node: Node, terms: Terms) -> Terms:
    gone = {axis + len(terms[0].axes) for axis in node.params["axes"]} if terms else ()
    return [term._replace(axes=tuple(axis for at, axis in enumerate(term.axes) if at not in gone)) for term in terms]


_LINEAR: Mapping[Op, Callable[..., Terms]] = {
    multiply: lambda tensors, _, __, one, other: tensors.multiply(one, other),
    matmul: lambda tensors, _, __, one, other: tensors.matmul(one, other),
    add: lambda tensors, _, node, one, other: tensors.add([*one, *other], node.shape),
    subtract: lambda tensors, _, node, one, other: tensors.add([*one, *_negative(other)], node.shape),
    negative: lambda _, __, ___, terms: _negative(terms),
    BROADCAST_TO: lambda tensors, _, node, terms: [tensors.widened(term, node.shape) for term in terms],
    SUM: _summed,
    MEAN: _summed,
    TRANSPOSE: _transposed,
    EXPAND_DIMS: _expanded,
    SQUEEZE: _squeezed,
    RESHAPE: lambda tensors, closing, node, terms: tensors.reshape(
        terms, closing.nodes[node.inputs[0]].shape, node.shape
    ),
    SLICE: lambda tensors, _, node, terms: tensors.cut(terms, node.params["runs"], node.shape),
    UNSLICE: lambda tensors, _, node, terms: tensors.put(terms, node.params["runs"], node.shape),
    CONCATENATE: _concatenated,
    STACK: _stacked,
    EINSUM: lambda tensors, _, node, *operands: tensors.einsum(node.params["subscripts"], *operands),
    DIAG: lambda _, __, ___, terms: [term._replace(axes=term.axes + term.axes[-1:]) for term in terms],
    DIAGONAL: lambda tensors, _, __, terms: tensors.diagonal(terms),
    TRACE: lambda tensors, _, __, terms: tensors.diagonal(terms, summed=True),
}
"""What is linear in the operands that are sums of products; `multiply` and `matmul` take them on either side."""

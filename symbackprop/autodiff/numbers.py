"""Back-propagation from symbols to numbers: the derivative as arrays, as Torch and Caffe do it.

`backprop` gives the same numbers as compiling `symbackprop.grad`, but no graph: they cannot be differentiated again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from symbackprop import dims
from symbackprop.autodiff.forward import propagate
from symbackprop.autodiff.masks import chosen, is_bounded, kept_out
from symbackprop.autodiff.reverse import Operation, Pruned
from symbackprop.errors import NotDifferentiableError
from symbackprop.expr import Expr
from symbackprop.graph import Graph
from symbackprop.op import Array
from symbackprop.ops.elementwise import where
from symbackprop.ops.leaf import symbol


def backprop(z: Expr, values: Mapping[Expr, Any]) -> dict[Expr, Array]:
    """Give the derivatives of a scalar by every value given, as numbers (Algorithm 6.2 of *Deep Learning*).

    Runs forward propagation, then visits each edge of the graph between the values and z once, multiplying the
    cotangent of its end by the local derivative: the cost is proportional to the number of edges.

    Args:
        z: a scalar expression of a float dtype.
        values: arrays for the symbols, or for any other expressions that z is computed from.

    Returns:
        An array for each float key of `values` that z depends on, of the same shape.

    Raises:
        NotDifferentiableError: z is no float scalar.
        ArgumentError: a symbol has no value.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> backprop(sb.sum(x * x), {x: [1.0, 2.0]})[x]
    array([2., 4.])
    """
    if z.shape or z.dtype.kind != "f":
        msg = f"backprop: {z.describe()} is no float scalar; take sb.sum or sb.mean of it"
        raise NotDifferentiableError(msg)
    known, sizes = propagate([z], values)
    graph = z.graph
    G_prime = Pruned(graph, [z.number], [expr.number for expr in values if expr.dtype.kind == "f"])
    grad_table: dict[int, Any] = {z.number: np.ones((), z.dtype)}
    for number in reversed(G_prime.nodes):
        for consumer in G_prime.consumers(number):
            share = _edge(Expr(graph, consumer), number, known, grad_table[consumer], sizes)
            grad_table[number] = grad_table[number] + share if number in grad_table else share
    return {expr: np.asarray(grad_table[expr.number]) for expr in values if expr.number in grad_table}


def _edge(C: Expr, V: int, known: Mapping[int, Any], D: Any, sizes: Mapping[str, int]) -> Any:
    """Compute op.bprop(inputs, V, D) with numbers: the rule is written down for this edge alone and evaluated.

    Where D is exactly zero, as behind a mask, nothing is contributed, however large the local derivative.
    """
    with Graph(scratch=True):
        numbers: dict[Expr, Any] = {}

        def stand_in(name: str, value: Any) -> Expr:
            expr = symbol(name, np.shape(value), np.asarray(value).dtype)
            numbers[expr] = value
            return expr

        places = {operand: stand_in(f"x{operand}", known[operand]) for operand in C.node.inputs}
        params = {name: dims.bound(param, sizes) for name, param in C.params.items()}
        operation = Operation(C.op, params, stand_in("y", known[C.number]))
        inputs = [places[operand] for operand in C.node.inputs]
        gradient = stand_in("D", D)

        def total(terms: Sequence[Expr]) -> Any:
            computed, _ = propagate(terms, numbers)
            return sum(computed[term.number] for term in terms)

        share = total(operation.bprop(inputs, places[V], gradient))
        if not np.all(np.isfinite(share)):
            mask = stand_in("mask", np.not_equal(D, 0))
            gradient = gradient if is_bounded(C.op) else where(mask, gradient, 0)
            terms = [chosen(term) for term in operation.bprop(inputs, places[V], gradient)]
            share = total([kept_out(C.op, params, places[V], mask, term) for term in terms])
        return share

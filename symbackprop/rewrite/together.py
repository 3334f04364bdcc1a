"""Functions of one value side by side: what they are made of is computed once.

The functions are kept whole by all passes before, whose rules know them; here those of one value that stand side by
side are written in what they share: ``σ(x)``, ``σ(−x)``, ``σ′(x)``, ``softplus(x)`` in ``exp(−|x|)``, the normal
distribution function, its logarithm, its density in ``exp(−x²/2)`` and its tail; softmax and its logarithm in
``exp(x − max(x))`` and the sum of that, the slope of tanh in its value, and where x is positive as where relu(x) is.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from symbackprop.expr import Expr
from symbackprop.graph import Node, attributed
from symbackprop.op import Op, apply, scalar_of
from symbackprop.ops import abs as abs_
from symbackprop.ops import (
    exp,
    greater,
    log,
    log1p,
    log_ndtr,
    maximum,
    minimum,
    ndtr,
    negative,
    sigmoid,
    softplus,
    square,
    tanh,
    where,
)
from symbackprop.ops.accurate import SIGMOID_ENTROPY, SIGMOID_SLOPE, TANH_SLOPE, TANH_SLOPE_BESIDE
from symbackprop.ops.elementwise import RELU
from symbackprop.ops.layout import squeeze
from symbackprop.ops.reduce import LARGEST, LOG_SOFTMAX, LOGSUMEXP, SHIFTED, SOFTMAX, SUM
from symbackprop.ops.special import GAUSS, NORMAL_HAZARD, NORMAL_TAIL
from symbackprop.rewrite.engine import Rewritten, rebuild


class Parts(NamedTuple):
    """What functions of one value x, or of −x, are made of: two things that are the same for both."""

    first: Expr
    second: Expr


def _exponential(x: Expr) -> Parts:
    e = exp(-abs_(x))
    return Parts(e, 1 + e)


def _normal(x: Expr) -> Parts:
    return Parts(GAUSS(x), NORMAL_TAIL(abs_(x)))


def _sigmoid(x: Expr, parts: Parts, *, mirrored: bool) -> Expr:
    return maximum(parts.first, x <= 0 if mirrored else x >= 0) / parts.second


def _softplus(x: Expr, parts: Parts, *, mirrored: bool) -> Expr:
    part = log1p(parts.first)
    return part - minimum(x, 0) if mirrored else maximum(x, 0) + part


def _entropy(x: Expr, parts: Parts, **_: bool) -> Expr:
    return log1p(parts.first) + minimum(abs_(x), 800) * (parts.first / parts.second)


def _ndtr(x: Expr, parts: Parts, *, mirrored: bool) -> Expr:
    tail = parts.first * parts.second
    return where(x < 0 if mirrored else x > 0, 1 - tail, tail)


def _log_ndtr(x: Expr, parts: Parts, *, mirrored: bool) -> Expr:
    below = maximum(x, 0) if mirrored else minimum(x, 0)
    inner = where(x > 0 if mirrored else x < 0, parts.second - 1, -(parts.first * parts.second))
    return log1p(inner) - 0.5 * square(below)


def _hazard(x: Expr, parts: Parts, *, mirrored: bool) -> Expr:
    left = x > 0 if mirrored else x < 0
    ratio = where(left, 1, parts.first) / where(left, parts.second, 1 - parts.first * parts.second)
    return maximum(1 / math.sqrt(2 * math.pi) * ratio, x if mirrored else -x)


_FUNCTIONS: Mapping[Op, tuple[Callable[[Expr], Parts], Callable[..., Expr]]] = {
    sigmoid: (_exponential, _sigmoid),
    SIGMOID_SLOPE: (_exponential, lambda _x, parts, **_: parts.first / square(parts.second)),
    SIGMOID_ENTROPY: (_exponential, _entropy),
    softplus: (_exponential, _softplus),
    GAUSS: (_normal, lambda _x, parts, **_: parts.first),
    ndtr: (_normal, _ndtr),
    log_ndtr: (_normal, _log_ndtr),
    NORMAL_HAZARD: (_normal, _hazard),
}


def _side_by_side(outputs: Sequence[Expr]) -> dict[int, int]:
    """Give the functions that are made of what others are made of too, each with the number of x."""
    nodes = outputs[0].graph.nodes
    found: dict[tuple[object, int], list[int]] = defaultdict(list)
    for number in outputs[0].graph.reachable([output.number for output in outputs]):
        node = nodes[number]
        if node.op in _FUNCTIONS and nodes[node.inputs[0]].dtype == node.dtype:
            (x,) = node.inputs
            found[_FUNCTIONS[node.op][0], nodes[x].inputs[0] if nodes[x].op is negative else x].append(number)
    return {
        number: x
        for (_, x), numbers in found.items()
        if len(numbers) > 1 and {nodes[number].op for number in numbers} != {sigmoid}  # two of which cost no more apart
        for number in numbers
    }


def _total(e: Expr, axes: tuple[int, ...]) -> Expr:
    return apply(SUM, e, axes=axes, keepdims=True)


def _logsumexp(x: Expr, axes: tuple[int, ...], *, keepdims: bool) -> Expr:
    total = _total(exp(apply(SHIFTED, x, axes=axes)), axes)
    found = apply(LARGEST, x, axes=axes) + log(where(total > 1, total, 1))  # it is 0 or NaN where all are -inf
    return found if keepdims else squeeze(found, axes)


def _softmax(x: Expr, axes: tuple[int, ...]) -> Expr:
    e = exp(apply(SHIFTED, x, axes=axes))
    return e / _total(e, axes)


def _log_softmax(x: Expr, axes: tuple[int, ...]) -> Expr:
    shifted = apply(SHIFTED, x, axes=axes)
    e = exp(shifted)
    total, rest = _total(e, axes), _total(e * (e < 1), axes)
    return shifted - where(total < 1.5, log1p(rest), log(maximum(total, 1)))  # of no elements there is no log(0)


def _tanh_slope(x: Expr) -> Expr:
    return TANH_SLOPE_BESIDE(tanh(x), x)


_BESIDE: Mapping[Op, tuple[frozenset[Op], Callable[..., Expr]]] = {
    SOFTMAX: (frozenset({LOG_SOFTMAX, LOGSUMEXP}), _softmax),
    LOG_SOFTMAX: (frozenset({SOFTMAX}), _log_softmax),
    LOGSUMEXP: (frozenset({SOFTMAX}), _logsumexp),
    TANH_SLOPE: (frozenset({tanh}), _tanh_slope),
}
"""Functions that are written otherwise where another one of the same array is there, with which they share much."""


def _beside_others(outputs: Sequence[Expr]) -> set[int]:
    """Give what is written otherwise because another function of the same array is there too."""
    nodes = outputs[0].graph.nodes
    order = outputs[0].graph.reachable([output.number for output in outputs])
    found = [each for each in order if nodes[each].op in _BESIDE and nodes[nodes[each].inputs[0]].shape]
    wanted = frozenset[Op]().union(*(_BESIDE[nodes[each].op][0] for each in found))
    there: dict[object, set[Op]] = defaultdict(set)
    for each in order if found else ():
        if nodes[each].op in wanted:
            there[_arguments(nodes[each])].add(nodes[each].op)
    return {each for each in found if _BESIDE[nodes[each].op][0] & there[_arguments(nodes[each])]}


def _arguments(node: Node) -> tuple[object, ...]:
    """Give what functions of the same array along the same axes have in common."""
    return (node.inputs, node.params.get("axes"))


def _masks(outputs: Sequence[Expr]) -> dict[int, int]:
    """Give each ``x > 0`` with the relu(x) that is there, which is positive where x is: x need not be kept for it."""
    nodes = outputs[0].graph.nodes
    order = outputs[0].graph.reachable([output.number for output in outputs])
    relus = {nodes[each].inputs[0]: each for each in order if nodes[each].op is RELU}
    masks = [each for each in order if relus and nodes[each].op is greater and nodes[each].inputs[0] in relus]
    found = {each: relus[nodes[each].inputs[0]] for each in masks if scalar_of(nodes[nodes[each].inputs[1]]) == 0}
    return {each: there for each, there in found.items() if there < each}


def rebuild_together(outputs: Sequence[Expr], target: Rewritten) -> list[Expr]:
    """Copy expressions into another graph, with functions of one value written in what they share."""
    found = _side_by_side(outputs) if outputs else {}
    beside = _beside_others(outputs) if outputs else set()
    masks = _masks(outputs) if outputs else {}
    if not found and not beside and not masks:
        return rebuild(outputs, target)
    graph = outputs[0].graph
    placed: dict[int, Expr] = {}
    for number in graph.reachable([output.number for output in outputs]):
        node = graph.nodes[number]
        if number not in found and number not in beside and number not in masks:
            placed[number] = Expr(target, target.add(node.copied(tuple(placed[x].number for x in node.inputs))))
            continue
        with attributed(node.origin):
            if number in beside:
                placed[number] = _BESIDE[node.op][1](placed[node.inputs[0]], **node.params)
            elif number in masks:
                placed[number] = placed[masks[number]] > 0
            else:
                made_of, function = _FUNCTIONS[node.op]
                x = placed[found[number]]
                placed[number] = function(x, made_of(x), mirrored=found[number] != node.inputs[0])
        if node.label:
            target.set_label(placed[number].number, node.label)
    return [placed[output.number] for output in outputs]

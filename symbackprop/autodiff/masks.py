"""Gradients that a mask makes zero stay exactly zero on their way back, whatever they are multiplied by.

The gradient by the branch a of ``where(c, a, b)`` is ``where(c, g, 0)``. Its product with a local derivative d that
is infinite or NaN in the dead branch, as 1/(2√x) at 0, would be NaN: ``0·∞``. An elementwise rule is linear in the
gradient and acts on each element alone, so the mask is put round the product, where it keeps out what is dead:

    where(c, g, 0)·d = where(c, g·d, 0)

Between elementwise operations the elements move and meet (reshape, sum, matmul …); there it is remembered which
elements of a gradient may be other than zero, and the mask is built when an operation needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce

from symbackprop.dims import Shape
from symbackprop.expr import Expr
from symbackprop.op import Op, Params, Vjp, apply, scalar_value
from symbackprop.ops import contract, gather, index, layout
from symbackprop.ops.elementwise import (
    ASTYPE,
    RELU,
    abs,
    add,
    arccos,
    arccosh,
    arcsin,
    arctanh,
    astype,
    cbrt,
    cos,
    divide,
    greater,
    log,
    log1p,
    logical_and,
    logical_not,
    logical_or,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    sigmoid,
    sin,
    softplus,
    sqrt,
    subtract,
    tanh,
    where,
)
from symbackprop.ops.layout import broadcast_to, ones_like
from symbackprop.ops.reduce import LOG_SOFTMAX, LOGSUMEXP, MAX, MEAN, MIN, PROD, SOFTMAX, SOFTMAX_CENTRED, SUM, spread
from symbackprop.ops.special import erf, erfcinv, erfinv, logit, ndtr, ndtri

_BOUNDED = {
    *(add, subtract, negative, where, ASTYPE),
    *(abs, maximum, minimum, RELU, sin, cos, tanh, erf, ndtr, sigmoid, softplus),
}
"""Elementwise ops whose derivative is finite everywhere: zero times it is zero."""

_ENDS: dict[Op, tuple[float, ...]] = {
    **dict.fromkeys((sqrt, log, power, divide, cbrt), (0,)),
    **dict.fromkeys((arccos, arcsin, arctanh, erfinv), (-1, 1)),
    **dict.fromkeys((logit, ndtri), (0, 1)),
    log1p: (-1,),
    arccosh: (1,),
    erfcinv: (0, 2),
}
"""Where the derivatives of ops are infinite."""

_CLIPS = {maximum, minimum}
_MOVED = {op for family in (layout, index, gather) for op in vars(family).values() if isinstance(op, Op)}
_SUMS_OF_PRODUCTS = {op for op in vars(contract).values() if isinstance(op, Op)}
_REDUCTIONS = {SUM, MEAN, MAX, MIN, PROD, LOGSUMEXP}
_MIXTURES = {SOFTMAX, LOG_SOFTMAX, SOFTMAX_CENTRED}
_FOLLOWED = _MOVED | _SUMS_OF_PRODUCTS | _REDUCTIONS | _MIXTURES

Condition = tuple[Expr, bool]
"""A mask, and the branch that is alive: where it holds, or where it does not."""


def conditions_of(D: Expr) -> tuple[list[Condition], Expr]:
    """Take ``where(c, where(d, g, 0), 0)`` apart into its conditions and g.

    >>> import symbackprop as sb
    >>> c, g = sb.symbol("c", "N", dtype=bool), sb.symbol("g", "N")
    >>> conditions_of(sb.where(c, 0, g)) == ([(c, False)], g)
    True
    """
    found: list[Condition] = []
    while D.op is where:
        c, a, b = D.inputs
        kept, dead = (a, b) if scalar_value(b) == 0 else (b, a)
        if scalar_value(dead) != 0 or dead.shape or (kept.shape, kept.dtype) != (D.shape, D.dtype):
            break
        found.append((c, kept is a))
        D = kept
    return found, D


def under(conditions: Sequence[Condition], gradient: Expr) -> Expr:
    """Put conditions round a gradient, but not those that it has already."""
    has = conditions_of(gradient)[0]
    for c, holds in reversed(conditions):
        if (c, holds) not in has:
            gradient = where(c, gradient, 0) if holds else where(c, 0, gradient)
    return gradient


def is_singular(C: Expr, consumers: Callable[[int], Iterable[int]]) -> bool:
    """Tell whether the gradient of a kink may be infinite there.

    That is so where what the kink gives goes into a root, a logarithm, a power or a quotient, as in √relu(x), or into
    another op at an end of what it is defined for, as in arccos(clip(x, -1, 1)).
    """
    nodes, ends = C.graph.nodes, _ends(C)
    if not ends:
        return False
    through = consumers(C.number)
    clipped = [further for each in through if nodes[each].op in _CLIPS for further in consumers(each)]
    return any(not ends.isdisjoint(_ENDS.get(nodes[each].op, ())) for each in (*through, *clipped))


def _ends(C: Expr) -> set[float]:
    if C.op is RELU:
        return {0}
    return {end for end in map(scalar_value, C.inputs) if end is not None} if C.op in _CLIPS else set()


def chosen(contribution: Expr) -> Expr:
    """Choose instead of multiplying by a mask, as the rules of kinks do: an infinite gradient times 0 would be NaN."""
    if contribution.op is not multiply:
        return contribution
    g, mask = contribution.inputs
    return where(mask, g, 0) if mask.dtype == bool else contribution


def is_bounded(op: Op) -> bool:
    """Tell whether zero stays zero when it is pulled back through an op."""
    return not op.elementwise or op in _BOUNDED


class Masks:
    """Where the gradients of a graph may be other than zero, as far as masks tell.

    Which gradients are masked is noted as they are found; the masks themselves are built when they are asked for.
    """

    def __init__(self, consumers: Callable[[int], Sequence[int]]) -> None:
        """Take what gives a node's consumers."""
        self._gradients: dict[int, Expr] = {}
        self._consumers = consumers
        self._partial: set[int] = set()
        self._made: dict[int, Expr] = {}

    def note(self, V: Expr, gradient: Expr) -> None:
        """Note the gradient of V, just found, and whether it is masked."""
        self._gradients[V.number] = gradient
        through = self._consumers(V.number)
        nodes = V.graph.nodes
        if conditions_of(gradient)[0] or (through and all(self._restricts(C, nodes[C].op) for C in through)):
            self._partial.add(V.number)

    def _restricts(self, C: int, op: Op) -> bool:
        return op is where or (C in self._partial and (op.elementwise or op in _FOLLOWED))

    def __contains__(self, V: Expr) -> bool:
        """Tell whether the gradient of V is known to be zero somewhere."""
        return V.number in self._partial

    def __getitem__(self, wanted: Expr) -> Expr:
        """Give the mask of V's gradient, of the gradient's shape."""
        graph = wanted.graph
        stack = [wanted.number]
        while stack:
            number = stack[-1]
            conditions, gradient = conditions_of(self._gradients[number])
            through = [] if conditions else self._consumers(number)
            missing = [C for C in through if C in self._partial and C not in self._made]
            if missing:
                stack += missing
                continue
            stack.pop()
            if number in self._made:
                continue
            if conditions:
                mask = reduce(logical_and, [c if holds else logical_not(c) for c, holds in conditions])
            else:
                V = Expr(graph, number)
                extra = gradient.shape[: gradient.ndim - V.ndim]
                mask = reduce(logical_or, [_moved(Expr(graph, C), V, self._made.get(C), extra) for C in through])
            self._made[number] = broadcast_to(mask, gradient.shape)
        return self._made[wanted.number]


def _moved(C: Expr, V: Expr, mask: Expr | None, extra: Shape) -> Expr:
    """Give the mask of what C contributes to the gradient of V from the mask of C's own gradient."""
    parts = []
    for position, operand in enumerate(C.inputs):
        rule = C.op.rule(position) if operand is V else None
        if rule is not None:
            moved = _chosen(C, position, extra, mask) if C.op is where or mask is None else _through(C, V, rule, mask)
            parts.append(_gathered(moved, V, len(extra)))
    return reduce(logical_or, parts)


def _gathered(mask: Expr, V: Expr, extra: int) -> Expr:
    """Undo the broadcasting of V in a mask."""
    return mask if mask.shape[extra:] == V.shape else greater(unbroadcast(astype(mask, V.dtype), V, extra), 0)


def _chosen(C: Expr, position: int, extra: Shape, mask: Expr | None) -> Expr:
    c = broadcast_to(C.inputs[0] if position == 1 else logical_not(C.inputs[0]), extra + C.shape)
    return c if mask is None else logical_and(mask, c)


def _through(C: Expr, V: Expr, rule: Vjp, mask: Expr) -> Expr:
    if C.op.elementwise:
        return mask
    if C.op in _MOVED:
        return rule(mask, C, *C.inputs, **C.params)
    if C.op in _REDUCTIONS | _MIXTURES:
        return _spread(C.op, C.params, V, mask)
    flow = astype(mask, V.dtype)  # ones are multiplied by ones: what comes out other than zero is alive
    return greater(rule(flow, ones_like(C), *map(ones_like, C.inputs), **C.params), 0)


def _spread(op: Op, params: Params, V: Expr, mask: Expr) -> Expr:
    """Give the mask of the operand of a reduction, or of an op that mixes along axes."""
    if op in _REDUCTIONS:
        return spread(mask, V, axes=params["axes"], keepdims=params["keepdims"], full=True)
    total = apply(SUM, astype(mask, V.dtype), axes=params["axes"], keepdims=True)
    return greater(broadcast_to(total, mask.shape), 0)


def kept_out(op: Op, params: Params, V: Expr, mask: Expr, contribution: Expr) -> Expr:
    """Keep NaN out of what a reduction or a softmax contributes where its gradient is zero by a mask."""
    if op not in _REDUCTIONS | _MIXTURES:
        return contribution
    alive = _gathered(_spread(op, params, V, mask), V, contribution.ndim - V.ndim)
    return where(alive, contribution, 0)


def unbroadcast(contribution: Expr, V: Expr, extra: int) -> Expr:
    """Sum over the axes along which V was broadcast; the one place where broadcasting is undone.

    Args:
        contribution: a contribution to the gradient of V, with the shape that V was broadcast to.
        V: the operand.
        extra: how many leading axes the gradient has before those of the shape.
    """
    if contribution.shape == V.shape:
        return contribution
    stretched = tuple(axis for axis in range(-V.ndim, 0) if V.shape[axis] == 1 and contribution.shape[axis] != 1)
    if stretched:
        contribution = apply(SUM, contribution, axes=stretched, keepdims=True)
    new = tuple(range(extra - contribution.ndim, -V.ndim))
    return apply(SUM, contribution, axes=new, keepdims=False) if new else contribution

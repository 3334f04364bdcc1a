"""How elementwise functions behave far out, as the numbers that they are functions of go to ±∞.

``x·σ(x)`` at −∞ is ``−∞·0``, which floats do not know, though the limit is 0: σ vanishes faster than any power of x
grows. Which of two factors wins is told by their orders: ``t²`` has order 2, a logarithm a little more than none, an
exponential an infinite one. The orders follow the operations, one at a time, so that all of it costs what the graph has
nodes; where none is known, the value is taken as a number of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

from symbackprop import ops
from symbackprop.expr import Expr
from symbackprop.graph import Graph, Node
from symbackprop.op import CONSTANT, SIZE, Op, apply, scalar_value
from symbackprop.ops.accurate import BOSE, DAMPED, HYPOT1, ISRU, LOGCOSH, SIGMOID_SLOPE, TANH_SLOPE, XLOGX
from symbackprop.ops.elementwise import RELU
from symbackprop.ops.layout import BROADCAST_TO
from symbackprop.ops.reduce import LOG_SOFTMAX, SOFTMAX, SOFTMAX_CENTRED
from symbackprop.ops.special import GAUSS
from symbackprop.rewrite.engine import Rule, Strength

_LOG = 1 / 1024  # the order of a logarithm: less than that of any power in use
_DEEPEST = 6  # sums in a sum, and products in a product, that are looked into
_GLANCE = 12  # operations that a short look takes in
_MOST = 4  # numbers that a value is seen as a function of


class Order(NamedTuple):
    """How f behaves as one number t goes to −∞ or to +∞ while the others stay.

    Attributes:
        grow: f is O(|t|^grow) on both sides; it vanishes on both if that is negative.
        least: on a side where f goes to infinity, it does so at least as |t|^least.
        fade: on a side where f goes to zero, it is O(|t|^−fade); None if it does not.
        certain: whether f goes to infinity on both sides.
    """

    grow: float = 0.0
    least: float = 0.0
    fade: float | None = None
    certain: bool = False


Orders = Mapping[int, Order]
_REMEMBERED: WeakKeyDictionary[Graph, dict[int, Orders]] = WeakKeyDictionary()
_KEPT = Order()  # of what does not depend on t
_ITSELF = Order(1, 1, None, certain=True)


def _times(number: float | None, factor: float) -> float | None:
    return None if number is None else number * factor


def _bounded(f: Order) -> Order:
    """Be as σ(f): zero on some side where f is infinite, and soon."""
    return Order(fade=None if f.grow <= 0 else math.inf if f.least > _LOG else 0)


def _slope(f: Order) -> Order:
    """Be as σ′(f): zero on each side where f is infinite, and soon."""
    made = _bounded(f)
    return made._replace(grow=-math.inf) if f.certain and made.fade else made


def _exponential(f: Order) -> Order:
    return _bounded(f)._replace(grow=math.inf if f.grow > 0 else 0, least=math.inf if f.least > _LOG else 0)


def _less_one(f: Order) -> Order:
    """Be as exp(f) − 1: zero where f is."""
    return _exponential(f)._replace(fade=f.fade) if f.grow > 0 else f


def _like(f: Order) -> Order:
    """Be as tanh(f): zero where f is."""
    return Order(min(f.grow, 0), fade=f.fade)


def _logarithmic(f: Order) -> Order:
    return f._replace(grow=min(f.grow, _LOG), least=min(f.least, _LOG))


def _raised(f: Order, exponent: float) -> Order | None:
    if exponent > 0:
        return Order(f.grow * exponent, f.least * exponent, _times(f.fade, exponent), f.certain)
    if f.fade is not None:
        return None
    return Order(f.least * exponent if f.certain else 0, fade=-exponent * f.least if f.grow > 0 else None)


_OF_ONE: Mapping[Op, Callable[[Order], Order | None]] = {
    **dict.fromkeys((ops.negative, ops.abs, BROADCAST_TO), lambda f: f),
    **dict.fromkeys((ops.sigmoid, ops.erfc, ops.ndtr, SOFTMAX), _bounded),
    **dict.fromkeys((SIGMOID_SLOPE, TANH_SLOPE, GAUSS), _slope),
    **dict.fromkeys((ops.tanh, ops.erf, ISRU), _like),
    ops.exp: _exponential,
    **dict.fromkeys((ops.expm1, ops.sinh), _less_one),
    ops.cosh: lambda f: _exponential(f)._replace(fade=None, certain=f.certain),
    **dict.fromkeys(
        (ops.softplus, LOG_SOFTMAX), lambda f: f._replace(grow=max(f.grow, 0), fade=_bounded(f).fade, certain=False)
    ),
    ops.arcsinh: _logarithmic,
    ops.log1p: lambda f: _logarithmic(f) if f.certain else None,  # what is bounded may come to −1
    ops.square: lambda f: _raised(f, 2),
    ops.sqrt: lambda f: _raised(f, 0.5),
    HYPOT1: lambda f: f._replace(grow=max(f.grow, 0), fade=None),
    LOGCOSH: lambda f: f._replace(grow=max(f.grow, 2 * f.grow if f.grow < 0 else 0), fade=_times(f.fade, 2)),
    BOSE: lambda f: _bounded(f) if f.fade is None else None,
    XLOGX: lambda f: f._replace(grow=f.grow * (1 + _LOG if f.grow > 0 else 1 - _LOG), fade=0),
    SOFTMAX_CENTRED: lambda f: f._replace(grow=max(f.grow, 0), least=0, fade=0, certain=False),  # its first operand
    RELU: lambda f: f._replace(fade=0, certain=False),
}
_SUMS = {ops.add, ops.subtract}
_CHOICES = {ops.maximum, ops.minimum, ops.where}
_PRODUCTS = {ops.multiply, DAMPED}
_FADING = {
    *(ops.exp, ops.sigmoid, SIGMOID_SLOPE, TANH_SLOPE, ops.erfc, BOSE, SOFTMAX, LOG_SOFTMAX, ops.softplus),
    *(GAUSS, ops.ndtr, ops.tanh, ops.erf, ops.power, ops.expm1),
}
"""What may vanish far out: products of which no factor is made of them are not looked into."""

_OPEN = {*_PRODUCTS, *_SUMS, ops.negative, ops.square, BROADCAST_TO}
_FOLLOWED = {*_OF_ONE, *_SUMS, *_CHOICES, *_PRODUCTS, ops.divide, ops.power}


def _sum(f: Order, g: Order) -> Order:
    """Be as f + g, in which all may cancel but what grows beside something bounded."""
    larger, smaller = (f, g) if f.grow > 0 else (g, f)
    if smaller.grow > 0 or larger.grow <= 0:
        return _either(f, g)
    return larger._replace(fade=None if larger.certain else 0)


def _either(f: Order, g: Order) -> Order:
    return Order(max(f.grow, g.grow), 0, 0)


def _lost(fade: float, grow: float) -> float:
    """Give what is left of the order of vanishing beside something that grows."""
    return 0 if grow == math.inf else max(fade - grow, 0)


def _product(f: Order, g: Order) -> Order:
    if _KEPT in {f, g}:
        return f if g == _KEPT else g
    grow = f.grow + g.grow
    if math.isnan(grow):
        return Order(math.inf, 0, 0)
    fades = [_lost(fade, other) for fade, other in ((f.fade, g.grow), (g.fade, f.grow)) if fade is not None]
    certain = f.certain and g.certain
    return Order(grow, f.least + g.least if certain else 0, min(fades, default=None), certain)


def _quotient(f: Order, g: Order) -> Order | None:
    if g == _KEPT:
        return f
    if g.fade is not None:
        return None
    fades = [] if f.fade is None else [f.fade]
    if g.grow > 0:
        fades.append(_lost(g.least, f.grow))
    surely = g.least if g.certain and math.isfinite(g.least) else 0
    return Order(f.grow - surely, 0, min(fades, default=None))


def _joined(rule: Callable[[Order, Order], Order | None], below: Sequence[Orders]) -> dict[int, Order | None]:
    f, g = below
    return {base: rule(f.get(base, _KEPT), g.get(base, _KEPT)) for base in {**f, **g}}


def _found(expr: Expr, below: Sequence[Orders]) -> Orders:
    """Give the orders of a value from those of its operands."""
    op = expr.op
    made: dict[int, Order | None]
    if op in _OF_ONE:
        made = {base: _OF_ONE[op](order) for base, order in below[0].items()}
    elif op is ops.power:
        exponent = scalar_value(expr.inputs[1])
        made = {base: _raised(order, exponent) if exponent else None for base, order in below[0].items()}
        made |= dict.fromkeys(below[1])
    else:
        rule = _sum if op in _SUMS else _product if op in _PRODUCTS else _quotient if op is ops.divide else _either
        made = _joined(rule, below[-2:])
    known = {
        base: order._replace(fade=max(order.fade or 0, -order.grow)) if order.grow < 0 else order
        for base, order in made.items()
        if order is not None
    }
    return known if len(known) == len(made) <= _MOST else {expr.number: _ITSELF}


def orders(expr: Expr) -> Orders:
    """Give by the number of each node that an expression is seen as a function of how it behaves far out.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> (order,) = orders(x * sb.exp(-sb.square(x))).values()
    >>> order.fade
    inf
    """
    graph, nodes = expr.graph, expr.graph.nodes
    found = _REMEMBERED.setdefault(graph, {}) if graph.scratch else {}
    stack = [expr.number]
    while stack:
        node = nodes[stack[-1]]
        followed = node.inputs if node.op in _FOLLOWED else ()
        missing = [operand for operand in followed if operand not in found]
        if missing:
            stack += missing
            continue
        number = stack.pop()
        if node.op in {CONSTANT, SIZE}:
            found[number] = {}
        elif not followed:
            found[number] = {number: _ITSELF}
        else:
            found[number] = _found(Expr(graph, number), [found[operand] for operand in followed])
    return found[expr.number]


def _vanishes_faster(f: Orders, g: Orders) -> bool:
    """Tell whether a factor vanishes where the other grows, and faster wherever that is so."""
    wins = False
    for base in f.keys() & g.keys():
        for factor, other in ((f[base], g[base]), (g[base], f[base])):
            if factor.fade is not None and other.grow > 0:
                if factor.fade <= other.grow:
                    return False
                wins = True
    return wins


def _may_be_unknown(terms: Expr, factor: Orders, depth: int = _DEEPEST) -> bool:
    """Tell whether this is a sum of which two terms grow where a factor vanishes: ∞ − ∞ perhaps."""
    if terms.op not in _SUMS or not depth:
        return False
    growing = [_vanishes_faster(orders(term), factor) for term in terms.inputs]
    return all(growing) or any(
        grows and _may_be_unknown(term, factor, depth - 1) for grows, term in zip(growing, terms.inputs, strict=True)
    )


def _may_fade(nodes: Mapping[int, Node], factors: Collection[int]) -> bool:
    """Tell whether something may vanish among the factors, and the parts that they are made of, each looked at once."""
    level = {*factors}
    for _ in range(_DEEPEST + 1):
        parts: set[int] = set()
        for number in level:
            op, inputs = nodes[number].op, nodes[number].inputs
            if op in _OPEN:
                parts.update(inputs)
            elif op in _FADING or (op is ops.divide and nodes[inputs[0]].op is CONSTANT and not nodes[inputs[0]].shape):
                return True
        level = parts
    return False


def _have_nothing_in_common(nodes: Mapping[int, Node], factors: Sequence[int]) -> bool:
    """Tell whether two values are functions of other numbers, as far as a short look tells."""
    found = [_functions_of(nodes, number) for number in factors]
    return None not in found and set.isdisjoint(*found)  # type: ignore[arg-type]


def _functions_of(nodes: Mapping[int, Node], number: int) -> set[int] | None:
    """Give what a value is seen as a function of; None if it is made of many."""
    leaves: set[int] = set()
    stack = [number]
    for _ in range(_GLANCE):
        at = stack.pop()
        op = nodes[at].op
        if op in _FOLLOWED:
            stack += nodes[at].inputs
        elif op is not CONSTANT and op is not SIZE:
            leaves.add(at)
        if not stack:
            return leaves
    return None


def is_damped(expr: Expr) -> bool:
    """Tell whether one of the two factors of a product vanishes, and faster than the other grows.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> is_damped(x * sb.sigmoid(x)), is_damped(x * sb.sin(x))
    (True, False)
    """
    nodes, factors = expr.graph.nodes, expr.node.inputs
    if not _may_fade(nodes, factors) or _have_nothing_in_common(nodes, factors):
        return False
    left, right = expr.inputs
    return left.dtype.kind == right.dtype.kind == "f" and _vanishes_faster(orders(left), orders(right))


def vanishes(expr: Expr) -> bool:
    """Tell whether a value vanishes as some number that it is made of goes to infinity."""
    return any(order.fade is not None for order in orders(expr).values())


def _damped(expr: Expr) -> Expr | None:
    """Let what vanishes win, term by term where the other factor is a difference of infinities."""
    if not is_damped(expr):
        return None
    left, right = expr.inputs
    for terms, factor in ((left, right), (right, left)):
        if _may_be_unknown(terms, orders(factor)):
            return apply(terms.op, *(term * factor for term in terms.inputs))
    return DAMPED(left, right)


def _examples() -> Sequence[Expr]:
    x, z = ops.symbol("x"), ops.symbol("z", ("N", "K"))
    return [
        x * ops.sigmoid(x),
        ops.exp(-ops.square(x)) * x,
        x * ops.power(1 + ops.square(x), -2.5),
        ops.softmax(z) * ops.log_softmax(z),
    ]


LIMITS = (
    Rule(
        name="damped_product",
        equation="x·y = damped(x, y), where 0·∞ = 0, where what vanishes does so faster than the other factor grows",
        strength=Strength.REAL,
        roots=(ops.multiply,),
        rewrite=_damped,
        examples=_examples,
        fits=lambda operands: (
            CONSTANT not in operands and any(op in _FADING or op in _OPEN or op is ops.divide for op in operands)
        ),
    ),
)
"""What is done last, so that other rules still see the products as products."""

"""What is done to an expression before it is differentiated: it gets a form whose derivatives do not overflow."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

from symbackprop.expr import Expr
from symbackprop.graph import Graph, Node
from symbackprop.ops import add, matmul, maximum, minimum, multiply, negative, subtract
from symbackprop.ops.elementwise import RELU
from symbackprop.ops.leaf import SYMBOL
from symbackprop.ops.reduce import SUM
from symbackprop.rewrite.accurate import closed
from symbackprop.rewrite.algebra import algebra
from symbackprop.rewrite.engine import Rewritten, Rule, stated
from symbackprop.rewrite.matrix import BEFORE
from symbackprop.rewrite.pipeline import REROLL, check_names
from symbackprop.rewrite.reroll import rolled
from symbackprop.rewrite.roots import ROOTS
from symbackprop.rewrite.spectral import SPECTRAL_BEFORE
from symbackprop.rewrite.stable import LAYOUTS, stable

_CANONICAL = {
    *("power_two", "power_half", "power_minus_one", "times_itself", "square_of_negative"),
    *("double_negative", "times_minus_one", "add_negative", "subtract_negative", "number_left"),
    *("like_term", "like_term_less_itself", "itself_less_like_term", "twice"),
    *("negative_left", "negative_right", "negative_factor_of_number", "negative_of_scaled"),
}
"""Rules of algebra that bring an expression to the form that the others look for."""

_PLAIN = {add, subtract, multiply, negative, maximum, minimum, matmul, RELU, SUM, *LAYOUTS}
"""Ops that make nothing which a rule could improve, while they are among themselves."""


@stated
def _leading() -> tuple[Rule, ...]:
    return (
        *stable(),
        *closed(),
        *BEFORE,
        *SPECTRAL_BEFORE,
        *ROOTS,
        *(rule for rule in algebra() if rule.name in {"root_of_square", "log_of_exp", "exp_of_log"}),
    )


@stated
def before() -> tuple[Rule, ...]:
    """Give the rules that are used before differentiation.

    >>> "softplus" in [rule.name for rule in before()]
    True
    """
    return (*_leading(), *(rule for rule in algebra() if rule.name in _CANONICAL))


@lru_cache(maxsize=64)
def _without(skip: frozenset[str]) -> tuple[Rule, ...]:
    """Give the rules that are left when some are left out by name, or all of a pass.

    Raises:
        ValueError: a name is none of a pass and none of a rule.
    """
    check_names(skip - {rule.name for rule in before()})
    passes = {"stable": stable(), "accurate": closed(), "algebra": algebra()}
    left_out = skip | {rule.name for name, rules in passes.items() if name in skip for rule in rules}
    return tuple(rule for rule in before() if rule.name not in left_out)


def stabilised(
    outputs: Sequence[Expr], keep: Sequence[Expr], *, skip: Collection[str] = ()
) -> tuple[list[Expr], Mapping[str, int]]:
    """Give expressions in their stable form, in the same graph, and how often each rule was applied.

    ``log(1 + exp(x))`` becomes ``softplus(x)``, whose derivative is finite everywhere. What does not change is not
    copied, and where nothing changes the expressions themselves are given.

    Args:
        outputs: the expressions, of one graph.
        keep: expressions that stay as they are, because derivatives by them are wanted.
        skip: names of passes and rules to leave out.

    Raises:
        ValueError: `skip` has a name that is no pass and no rule.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> (stable,), applied = stabilised([sb.log(1 + sb.exp(x))], [x])
    >>> print(stable, applied)
    softplus(x) {'softplus': 1}
    >>> z = sb.sin(x)
    >>> stabilised([z], [x])[0] == [z]
    True
    """
    if isinstance(skip, str):
        check_names(skip)
    rules = _without(frozenset(skip)) if skip else before()
    outputs = list(outputs) if REROLL.name in skip else rolled(outputs, keep)
    graph, nodes = outputs[0].graph, outputs[0].graph.nodes
    kept = {expr.number for expr in keep}
    order = graph.reachable([z.number for z in outputs], known=kept)
    if all(number in kept or nodes[number].op in _PLAIN or not nodes[number].inputs for number in order):
        return list(outputs), {}
    scratch = Rewritten(rules)
    placed: dict[int, int] = {}
    original: dict[int, int] = {}
    unchanged: set[int] = set()
    for number in order:
        node = nodes[number]
        if number in kept or not node.inputs:
            placed[number] = scratch.add(_stand_in(node, number) if number in kept else node)
            original.setdefault(placed[number], number)
            unchanged.add(number)
            continue
        inputs = tuple(placed[operand] for operand in node.inputs)
        copy = placed[number] = scratch.copy_in(node.copied(inputs), number, settled=False)
        same = scratch.nodes[copy]
        if same.op is node.op and same.inputs == inputs and unchanged.issuperset(node.inputs):
            original.setdefault(copy, number)
            unchanged.add(number)
    if not any(rule.name in scratch.fired for rule in _leading()):
        return list(outputs), {}
    return _returned(graph, scratch, [placed[z.number] for z in outputs], original), dict(scratch.fired)


def _stand_in(node: Node, number: int) -> Node:
    """Hide a node from the rules behind a symbol, and keep it apart from equal ones."""
    params = {"name": f"node {number}", "shape": node.shape, "dtype": node.dtype}
    return Node(SYMBOL, (), params, node.shape, node.dtype, node.origin, facts=node.facts)


def _returned(graph: Graph, scratch: Rewritten, roots: Sequence[int], original: dict[int, int]) -> list[Expr]:
    """Append to the user's graph what has changed."""
    back: dict[int, Expr] = {}
    with graph.lock:
        for number in scratch.reachable(roots, known=original):
            if number in original:
                back[number] = Expr(graph, original[number])
            else:
                node = scratch.nodes[number]
                copy = node.copied(tuple(back[operand].number for operand in node.inputs))
                back[number] = Expr(graph, graph.add(copy))
    return [back[root] for root in roots]

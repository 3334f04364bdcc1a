"""What is done to an expression before it is differentiated: it gets a form whose derivatives do not overflow."""

from __future__ import annotations

from collections.abc import Sequence

from symbackprop.expr import Expr
from symbackprop.graph import Node
from symbackprop.ops.leaf import SYMBOL
from symbackprop.rewrite.engine import Rewritten, rule_set
from symbackprop.rewrite.matrix import BEFORE
from symbackprop.rewrite.stable import stable


def stabilised(z: Expr, keep: Sequence[Expr]) -> Expr:
    """Give an expression in its stable form, in the same graph.

    ``log(1 + exp(x))`` becomes ``softplus(x)``, whose derivative is finite everywhere. What does not change is not
    copied, and where nothing changes the expression itself is given.

    Args:
        z: the expression.
        keep: expressions that stay as they are, because derivatives by them are wanted.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> print(stabilised(sb.log(1 + sb.exp(x)), [x]))
    softplus(x)
    >>> z = sb.sin(x)
    >>> stabilised(z, [x]) is z
    True
    """
    graph, nodes = z.graph, z.graph.nodes
    kept = {expr.number for expr in keep}
    order = graph.reachable([z.number], known=kept)
    rules = (*stable(), *BEFORE)
    fitting = rule_set(rules)
    if z.number in kept or not any(fitting.at(nodes[number], nodes) for number in order if number not in kept):
        return z
    scratch = Rewritten(rules)
    placed: dict[int, int] = {}
    original: dict[int, int] = {}
    for number in order:
        node = nodes[number]
        if number in kept or not node.inputs:
            node = _stand_in(node, number) if number in kept else node
            placed[number] = scratch.add(node)
            original[placed[number]] = number
            continue
        inputs = tuple(placed[operand] for operand in node.inputs)
        copy = placed[number] = scratch.add(node.copied(inputs))
        same = scratch.nodes[copy]
        if same.op is node.op and same.inputs == inputs and all(operand in original for operand in inputs):
            original.setdefault(copy, number)
    return _returned(z, scratch, placed[z.number], original) if scratch.fired else z


def _stand_in(node: Node, number: int) -> Node:
    """Hide a node from the rules behind a symbol, and keep it apart from equal ones."""
    params = {"name": f"node {number}", "shape": node.shape, "dtype": node.dtype}
    return Node(SYMBOL, (), params, node.shape, node.dtype, node.where, node.backward)


def _returned(z: Expr, scratch: Rewritten, root: int, original: dict[int, int]) -> Expr:
    """Append to the user's graph what has changed."""
    graph = z.graph
    back: dict[int, Expr] = {}
    with graph.lock:
        for number in scratch.reachable([root], known=original):
            if number in original:
                back[number] = Expr(graph, original[number])
            else:
                node = scratch.nodes[number]
                copy = node.copied(tuple(back[operand].number for operand in node.inputs))
                back[number] = Expr(graph, graph.add(copy))
    return back[root]

"""Sums of squares: the residuals that an expression is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from symbackprop.errors import ArgumentError
from symbackprop.expr import Expr
from symbackprop.ops import sqrt, square
from symbackprop.ops import sum as total
from symbackprop.ops.leaf import size_of
from symbackprop.rewrite.engine import rebuild
from symbackprop.rewrite.pipeline import PIPELINE, run

Factor: TypeAlias = Expr | float

_SHARED = PIPELINE[:2]  # equal parts are one node, and what does nothing is gone
_KEEPING = frozenset({"sum", "expand_dims", "reshape", "squeeze", "transpose"})  # the sum of all elements


def residuals_of(f: Expr, params: Sequence[Expr], what: str) -> tuple[list[Expr], list[Expr]]:
    """Give residuals and constants with ``f = ½ Σ r₁² + ½ Σ r₂² + … + c₁ + c₂ + …``.

    Understood are ``r**2``, ``r * r``, ``r @ r``, ``norm(r)**2`` and ``trace(R.T @ R)``, their sums and means over any
    axes, and what they are multiplied with or divided by, where that does not depend on the parameters.

    Args:
        f: a scalar expression.
        params: the symbols of the parameters.
        what: the function that was called, for messages.

    Returns:
        The residuals, of any shapes, and the scalars that do not depend on the parameters.

    Raises:
        ArgumentError: f is no such expression.

    >>> import symbackprop as sb
    >>> X, w, y, lam = sb.symbols("X[N,D] w[D] y[N] lam")
    >>> residuals, constants = residuals_of(sb.sum((X @ w - y) ** 2) / 2 + lam * w @ w + sb.log(lam), [w], "minimize")
    >>> print(*sb.simplify(residuals + constants), sep="; ")
    Xw − y; √(2·lam)·w; log(lam)
    """
    (shared,) = rebuild(run([f], _SHARED), f.graph)
    moving = _moving(shared, params)
    found: list[Expr] = []
    constants: list[Expr] = []
    # Each part that waits counts in 2f with the sum of its elements, times a factor that broadcasts to it.
    waiting: list[tuple[Expr, Factor]] = [(shared, 2.0)]
    while waiting:
        part, factor = waiting.pop()
        if part.number not in moving:
            constants.append(total(0.5 * factor * part).astype(f.dtype))
            continue
        root, terms = _root(part), _terms(part, factor, moving)
        if isinstance(factor, float) and factor < 0:
            raise ArgumentError(f"{what}: gauss-newton wants a sum of squares, and f has a negative multiple of one")
        if root is not None:
            weight = sqrt(factor) if isinstance(factor, Expr) else math.sqrt(factor)
            found.append((weight * root).astype(f.dtype))
        elif terms:
            waiting += terms[::-1]
        else:
            raise ArgumentError(
                f"{what}: gauss-newton wants a sum of squares, and {part.describe()} in f is none: write sums, means "
                "and positive multiples of r**2, give the residuals to sb.least_squares, or take another method"
            )
    return found, constants


def _moving(f: Expr, params: Sequence[Expr]) -> set[int]:
    """Give the nodes that depend on the parameters."""
    found = {symbol.number for symbol in params}
    for number in f.graph.reachable([f.number]):
        if not found.isdisjoint(f.graph.nodes[number].inputs):
            found.add(number)
    return found


def _root(part: Expr) -> Expr | None:
    """Give r, where an expression is r² element by element, or r·r."""
    name, operands = part.op.name, part.inputs
    if name == "trace" and operands[0].op.name == "matmul" and operands[0].ndim == 2:
        left, right = operands[0].inputs
        transposed = left.op.name == "transpose" and left.inputs[0] is right
        return right if transposed or (right.op.name == "transpose" and right.inputs[0] is left) else None
    twice = name == "multiply" and operands[0] is operands[1]
    dotted = name == "matmul" and operands[0] is operands[1] and operands[0].ndim == 1
    raised = name == "power" and operands[1].op.name == "constant" and not operands[1].ndim
    if twice or dotted or name == "square" or (raised and operands[1].params["value"].array == 2):
        r = operands[0]
        # Of a norm the elements are the residuals; of an absolute value what has no kink.
        while r.op.name in {"norm", "abs", "negative"} and (r.op.name != "norm" or not r.ndim):
            r = r.inputs[0]
        return r
    return None


def _terms(part: Expr, factor: Factor, moving: set[int]) -> list[tuple[Expr, Factor]]:
    """Take a part apart into what it is the sum of, with their factors; nothing where that cannot be done."""
    name, operands = part.op.name, part.inputs
    plain = not isinstance(factor, Expr) or not factor.ndim
    if name == "subtract" and operands[1].number not in moving and all(term.shape == part.shape for term in operands):
        return [(operands[0], factor), (operands[1], -factor)]
    value, weight = _peeled(part, moving)
    if value is not part:
        return [(value, factor * weight)]
    if name == "multiply" or (name == "matmul" and plain and operands[0].ndim == operands[1].ndim == 1):
        (left, a), (right, b) = (_peeled(operand, moving) for operand in operands)
        if left is right and (name == "matmul" or left.shape == part.shape):
            squared = square(left)
            moving.add(squared.number)
            return [(squared, factor * a * b)]
    if name == "add" and (plain or all(term.shape == part.shape for term in operands)):
        return [(term, _shared_out(factor, part, term)) for term in operands]  # what is broadcast counts repeatedly
    if name == "mean" and plain:
        return [(operands[0], _shared_out(factor, part, operands[0]))]
    return [(operands[0], factor)] if name in _KEEPING and plain else []


def _peeled(expr: Expr, moving: set[int]) -> tuple[Expr, Factor]:
    """Take what does not depend on the parameters out of a product, as far as the shape remains."""
    factor: Factor = 1.0
    while expr.op.name in {"multiply", "divide"}:
        pairs = [expr.inputs, expr.inputs[::-1]][: 2 if expr.op.name == "multiply" else 1]
        found = [pair for pair in pairs if pair[1].number not in moving and pair[0].shape == expr.shape]
        if not found:
            break
        value, other = found[0]
        known = float(other.params["value"].array) if other.op.name == "constant" and not other.ndim else other
        factor = factor * known if expr.op.name == "multiply" else factor / known
        expr = value
    return expr, factor


def _shared_out(factor: Factor, part: Expr, term: Expr) -> Factor:
    """Give the factor times the ratio of the sizes."""
    if part.size == term.size:
        return factor
    counts = [size_of(each.size, part.dtype, graph=part.graph) for each in (part, term)]
    return counts[0] / counts[1] * factor

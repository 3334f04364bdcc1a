"""Values for symbols: drawn at random, and such that what was declared of the symbol holds."""

from typing import Any

import numpy as np

import symbackprop as sb
from symbackprop.op import Op


def is_index(op: Op, position: int) -> bool:
    """Tell whether an operand of an op is an index."""
    return op.indices is not None and position >= op.indices


def indices(rng: np.random.Generator, shape: Any) -> Any:
    """Draw indices for the cases of the ops, where indexed axes have size 2 at least: some repeat or are negative."""
    return rng.integers(-2, 2, shape)


def obeying(symbol: sb.Expr, drawn: Any) -> Any:
    """Change what was drawn for a symbol so that it has the properties that `assume` declared; positive stays so."""
    facts = symbol.node.facts
    turned = np.swapaxes(drawn, -1, -2) if drawn.ndim > 1 else drawn
    if facts.get("positive_definite"):
        return drawn @ turned + np.eye(drawn.shape[-1])
    if facts.get("orthogonal"):
        return np.linalg.qr(drawn)[0]
    if facts.get("symmetric"):
        return drawn + turned
    if facts.get("positive") or facts.get("nonnegative"):
        return np.abs(drawn)
    if "rows_sum_to" in facts:
        return drawn * facts["rows_sum_to"] / drawn.sum(axis=-1, keepdims=True)
    return drawn


def assert_values_stay(inputs, outputs, arrays, sizes, *, tolerance):
    """Compare compiled outputs, with sizes told and not, with those that are evaluated as they are."""
    expected = [sb.evaluate(output, dict(zip(inputs, arrays, strict=True))) for output in outputs]
    for told in ({}, sizes):
        for found, known in zip(sb.compile(inputs, outputs, sizes=told)(*arrays), expected, strict=True):
            np.testing.assert_allclose(found, known, rtol=tolerance, atol=tolerance)

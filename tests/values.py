"""Values for symbols: drawn at random, and such that what was declared of the symbol holds."""

from typing import Any

import numpy as np

from symbackprop import Expr


def obeying(symbol: Expr, drawn: Any) -> Any:
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

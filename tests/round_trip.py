"""Formulas that are printed, read back and compared with the compiled original."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import symbackprop as sb
from symbackprop import dims
from symbackprop.errors import ShapeError


def check_round_trip(
    expr: sb.Expr,
    values: Mapping[sb.Expr, Any],
    *,
    options: tuple[Mapping[str, Any], ...] = ({}, {"where": True}),
    rtol: float = 1e-9,
) -> None:
    """Check that what is printed of an expression reads back to the same shape and the same values.

    Args:
        expr: the expression.
        values: values of its symbols; of other symbols they may be given too.
        options: those of `symbackprop.text`, one set of them for each text that is read back.
        rtol: how far the values may differ, relative to the largest of them, because a formula is computed in
            another order; where they cancel, by 1e-14.
    """
    used = set(expr.graph.reachable([expr.number]))
    symbols = [symbol for symbol in values if symbol.number in used]
    expected = np.asarray(sb.compile(list(values), expr)(*values.values()))
    for shown in dict.fromkeys(sb.text(expr, **each) for each in options):
        found = np.asarray(sb.compile(list(values), read_back(shown, expr, symbols))(*values.values()))
        assert found.shape == expected.shape, shown
        scale = np.max(np.abs(expected), initial=0, where=np.isfinite(expected)) if expected.dtype.kind != "b" else 1
        np.testing.assert_allclose(
            found.astype(float), expected.astype(float), rtol=rtol, atol=rtol * float(scale) + 1e-14, err_msg=shown
        )


def read_back(shown: str, expr: sb.Expr, symbols: Sequence[sb.Expr]) -> sb.Expr:
    """Read a text of an expression, which is told its shape only where it leaves the size of an identity open."""
    nodes = expr.graph.nodes
    sizes = {name for number in expr.graph.reachable([expr.number]) for name in dims.names_of(nodes[number].shape)}
    sizes |= {
        name
        for number in expr.graph.reachable([expr.number])
        for param in nodes[number].params.values()
        if isinstance(param, dims.Dim)
        for name in param.names
    }
    try:
        found = sb.parse(shown, symbols, sizes=sorted(sizes))
    except ShapeError as error:
        if "nothing tells the size" not in str(error):
            raise
        found = sb.parse(shown, symbols, sizes=sorted(sizes), shape=expr.shape)
    assert found.shape == expr.shape, f"{shown}: {found.shape}, not {expr.shape}"
    return found

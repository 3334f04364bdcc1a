"""Reductions, statistics and scans."""

from __future__ import annotations

from tests.forms import form

FORMS = (
    form("np.sum(x)", x=(2, 3)),
    form("np.mean(x, axis=(0, 2), keepdims=True)", x=(2, 3, 2)),
    form("x.max(axis=-1)", x=(2, 3)),
)

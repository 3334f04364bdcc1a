"""Reductions, statistics and scans."""

from __future__ import annotations

import numpy as np

from tests.forms import Drawn, Shape, bools, floats, form, ints

NEGATIVE = floats((2, 3), -1.7, 1.7)

_SUMS = ("sum", "mean", "prod", "var", "std")
_EXTREMES = ("max", "min", "amax", "amin", "ptp")
_TRUTHS = ("any", "all")
_POSITIONS = ("argmax", "argmin")


def holes(shape: Shape) -> Drawn:
    """Draw floats, a sixth of them NaN."""
    return Drawn(shape, "f", lambda unit: np.where((unit > 0.4) & (unit < 0.6), np.nan, 0.3 + 1.4 * unit))


FORMS = (
    *(
        form(f"np.{name}({arguments})", x=(2, 3))
        for name in (*_SUMS, *_EXTREMES)
        for arguments in ("x", "x, 0", "x, axis=-1, keepdims=True", "x, axis=(0, 1)")
    ),
    *(form(f"np.{name}(x, (0, -1), keepdims=True)", x=(2, 3, 2)) for name in (*_SUMS, *_EXTREMES)),
    *(form(f"np.{name}(x, axis=())", x=(2, 3)) for name in ("sum", "mean", "max", "var")),
    *(form(f"np.{name}(x, axis=0, where=m)", x=(2, 3), m=bools((2, 3))) for name in _SUMS),
    *(form(f"np.{name}(x, where=x > 0.8, keepdims=True)", x=(2, 3)) for name in _SUMS),
    *(
        form(f"np.{name}(x, where=[True, False, True])", x=(2, 3), named=False)
        for name in ("sum", "mean", "prod", "std")
    ),
    *(
        form(f"np.{name}(x, axis=1, initial={initial}, where=m)", x=(2, 3), m=bools((2, 3)))
        for name, initial in (("max", -1), ("min", 9), ("amax", 0.5), ("amin", 1.2))
    ),
    *(form(f"np.{name}(x, initial=1.2)", x=(2, 3)) for name in ("sum", "prod", "max", "min")),
    *(form(f"np.{name}(x, 1, None, None, True)", x=(2, 3)) for name in ("sum", "prod", "mean")),
    *(form(f"np.{name}(x, 1, None, True)", x=(2, 3)) for name in ("max", "min", "ptp")),
    *(form(f"np.{name}(x, dtype=np.float64)", x=(2, 3)) for name in ("sum", "prod", "mean", "var", "std")),
    *(form(f"np.{name}(x, axis=1, ddof=1)", x=(2, 3)) for name in ("var", "std")),
    *(form(f"np.{name}(x, 0, None, None, 1, True)", x=(2, 3)) for name in ("var", "std")),
    *(form(f"np.{name}(x, axis=(0, 2), ddof=1, keepdims=True)", x=(2, 3, 4)) for name in ("var", "std")),
    *(form(f"np.{name}(x, correction=0.5)", x=(2, 3)) for name in ("var", "std")),
    *(form(f"np.{name}(x, axis=0, ddof=1, where=x > 0.6)", x=(4, 3)) for name in ("var", "std")),
    *(form(f"np.{name}(x, axis=1, mean=np.mean(x, axis=1, keepdims=True))", x=(2, 3)) for name in ("var", "std")),
    form("np.var(x, axis=0, mean=m)", x=(2, 3), m=(1, 3)),
    *(form(f"x.{name}()", x=(2, 3)) for name in ("sum", "mean", "prod", "max", "min", "var", "std")),
    *(form(f"x.{name}(0)", x=(2, 3)) for name in ("sum", "mean", "prod", "max", "min", "var", "std")),
    *(form(f"x.{name}(axis=-1, keepdims=True)", x=(2, 3)) for name in ("sum", "mean", "prod", "max", "min", "std")),
    form("x.var(axis=(0, 1), ddof=1)", x=(2, 3)),
    form("x.std(0, ddof=1)", x=(4, 2)),
    form("x.sum(axis=0, where=m)", x=(2, 3), m=bools((2, 3))),
    form("x.max(initial=0)", x=(2, 3)),
    form("np.sum(k, axis=0)", k=ints((2, 3)), differentiable=False),
    form("np.sum(x > 1, axis=1)", x=(2, 3), differentiable=False),
    form("np.mean(b, axis=0)", b=bools((2, 3)), differentiable=False),
    form("(x - np.mean(x, axis=0)) / np.std(x, axis=0)", x=(4, 2)),
    *(
        form(f"np.{name}({arguments})", b=bools((2, 3)), differentiable=False)
        for name in (*_TRUTHS, "count_nonzero")
        for arguments in ("b", "b, 0", "b, axis=-1, keepdims=True", "b, axis=(0, 1)")
    ),
    *(form(f"np.{name}(x > 1, axis=1)", x=(2, 3), differentiable=False) for name in _TRUTHS),
    *(form(f"np.{name}(x, axis=0)", x=(2, 3), differentiable=False) for name in (*_TRUTHS, "count_nonzero")),
    *(form(f"np.{name}(x, axis=1, where=m)", x=(2, 3), m=bools((2, 3)), differentiable=False) for name in _TRUTHS),
    *(form(f"(x > 1).{name}(0)", x=(2, 3), differentiable=False) for name in _TRUTHS),
    *(
        form(f"np.{name}({arguments})", x=(2, 3), differentiable=False)
        for name in _POSITIONS
        for arguments in ("x", "x, 0", "x, axis=-1", "x, axis=1, keepdims=True", "x, keepdims=True")
    ),
    *(form(f"x.{name}(axis=1)", x=NEGATIVE, differentiable=False) for name in _POSITIONS),
    form("np.argmax(k, axis=0)", k=ints((4, 3)), differentiable=False),
    form("np.argmin(b, axis=0)", b=bools((4, 3)), differentiable=False),
    form("np.average(x)", x=(2, 3)),
    form("np.average(x, axis=0)", x=(2, 3)),
    form("np.average(x, weights=w)", x=(3,), w=(3,)),
    form("np.average(x, axis=1, weights=w)", x=(2, 3), w=(3,)),
    form("np.average(x, 0, w)", x=(2, 3), w=(2,)),
    form("np.average(x, axis=0, weights=w, keepdims=True)", x=(2, 3), w=(2, 3)),
    form("np.average(x, axis=(1, 0), weights=w)", x=(2, 3, 4), w=(3, 2)),
    form("np.average(x, axis=0, weights=w, returned=True)", x=(2, 3), w=(2,)),
    form("np.average(x, returned=True)", x=(2, 3)),
    form("np.cov(x)", x=(3, 4)),
    form("np.cov(x)", x=(4,)),
    form("np.cov(x, y)", x=(4,), y=(4,)),
    form("np.cov(x, y)", x=(3, 4), y=(3, 4)),
    form("np.cov(x, rowvar=False)", x=(4, 3)),
    form("np.cov(x, bias=True)", x=(3, 4)),
    form("np.cov(x, ddof=0)", x=(3, 4)),
    form("np.cov(x, aweights=w)", x=(3, 4), w=(4,)),
    form("np.cov(x, fweights=k)", x=(3, 4), k=ints((4,), 1, 4)),
    form("np.cov(x, aweights=w, ddof=0)", x=(3, 4), w=(4,)),
    form("np.corrcoef(x)", x=(3, 5)),
    form("np.corrcoef(x, y)[0, 1]", x=(5,), y=(5,)),
    form("np.corrcoef(x, rowvar=False)", x=(5, 2)),
    form("sb.logsumexp(x)", truth="sp.logsumexp(x)", x=(2, 3)),
    form("sb.logsumexp(x, 0)", truth="sp.logsumexp(x, 0)", x=(2, 3)),
    form("sb.logsumexp(x, axis=(0, 1), keepdims=True)", truth="sp.logsumexp(x, axis=(0, 1), keepdims=True)", x=(2, 3)),
    form("sb.logsumexp(x, axis=1, b=b)", truth="sp.logsumexp(x, axis=1, b=b)", x=(2, 3), b=(2, 3)),
    form("sb.logsumexp(x, b=b)", truth="sp.logsumexp(x, b=b)", x=(2, 3), b=(3,)),
    form("sb.softmax(x, axis=0)", truth="sp.softmax(x, axis=0)", x=(2, 3)),
    form("sb.log_softmax(x, axis=-1)", truth="sp.log_softmax(x, axis=-1)", x=(2, 3)),
    *(
        form(f"np.{name}({arguments})", x=(3, 4))
        for name in ("cumsum", "cumprod")
        for arguments in ("x", "x, 0", "x, axis=-1", "x, axis=1, dtype=np.float64")
    ),
    *(form(f"np.{name}(x)", x=(5,)) for name in ("cumsum", "cumprod", "cumulative_sum", "cumulative_prod")),
    *(form(f"np.{name}(x, axis=1)", x=(2, 3, 2)) for name in ("cumsum", "cumprod", "cumulative_sum")),
    *(form(f"np.{name}(x, axis=0, include_initial=True)", x=(3, 2)) for name in ("cumulative_sum", "cumulative_prod")),
    *(form(f"x.{name}({axis})", x=(3, 2)) for name in ("cumsum", "cumprod") for axis in ("", "0", "axis=-1")),
    form("np.cumsum(k, axis=0)", k=ints((3, 2)), differentiable=False),
    form("np.cumsum(x > 1)", x=(5,), differentiable=False),
    form("np.cumsum(x[::-1])[::-1]", x=(5,)),
    form("np.add.accumulate(x)", x=(5,)),
    *(form(f"np.{name}.accumulate(x)", x=floats((6,), -1.7, 1.7)) for name in ("maximum", "minimum")),
    *(form(f"np.{name}.accumulate(x, axis=1)", x=(2, 5)) for name in ("maximum", "minimum")),
    form("sb.cummax(x, axis=0)", truth="np.maximum.accumulate(x, axis=0)", x=(5, 2)),
    form("sb.cummin(x)", truth="np.minimum.accumulate(x)", x=(5,)),
    form("sb.recurrence(a, b)", truth="np.stack([0 * b[0], b[0], a[1] * b[0] + b[1]])", a=(3,), b=(3,)),
    form("np.diff(x)", x=(5,)),
    form("np.diff(x)", x=(2, 3)),
    form("np.diff(x, axis=0)", x=(4, 3)),
    form("np.diff(x, n=2)", x=(2, 5)),
    form("np.diff(x, 3, axis=0)", x=(5, 2)),
    form("np.diff(x, n=0)", x=(5,)),
    form("np.diff(x, prepend=0.0)", x=(5,)),
    form("np.diff(x, append=x[:1])", x=(5,)),
    form("np.diff(x, axis=0, prepend=1.0, append=2.0)", x=(3, 2)),
    form("np.diff(b)", b=bools((5,)), differentiable=False),
    form("np.ediff1d(x)", x=(5,)),
    form("np.ediff1d(x)", x=(2, 3)),
    form("np.ediff1d(x, to_end=[1, 2], to_begin=x[:1])", x=(5,)),
    form("np.gradient(x)", x=(5,)),
    form("np.gradient(x, 0.5)", x=(5,)),
    form("np.gradient(x, h)", x=(5,), h=()),
    form("np.gradient(x, edge_order=2)", x=(5,)),
    form("np.gradient(x)", x=(3, 4)),
    form("np.gradient(x, axis=0)", x=(3, 4)),
    form("np.gradient(x, 2.0, 0.5)", x=(3, 4)),
    form("np.gradient(x, 0.5, axis=(1, 0))", x=(3, 4)),
    form("np.gradient(x, t)", x=(5,), t=np.array([0.0, 0.5, 0.7, 1.5, 2.0]), named=False),
    form("np.gradient(x, np.cumsum(t), edge_order=2)", x=(5,), t=(5,)),
    form("np.gradient(x, t, axis=1, edge_order=2)", x=(2, 4), t=np.array([0.0, 0.5, 0.7, 1.5]), named=False),
    form("np.trapezoid(x)", x=(5,)),
    form("np.trapezoid(x)", x=(2, 5)),
    form("np.trapezoid(x, dx=0.5)", x=(5,)),
    form("np.trapezoid(y, x)", y=(5,), x=(5,)),
    form("np.trapezoid(y, x=x, axis=0)", y=(5, 2), x=(5,)),
    form("np.trapezoid(y, x, axis=1)", y=(2, 3), x=(2, 3)),
    form("np.trapezoid(y, axis=0)", y=(3, 2)),
    *(
        form(f"np.nan{name}({arguments})", x=holes((3, 4)))
        for name in ("sum", "mean", "prod", "var", "std", "max", "min")
        for arguments in ("x", "x, 0", "x, axis=-1, keepdims=True", "x, axis=(0, 1)")
    ),
    *(form(f"np.nan{name}(x, axis=0, ddof=1)", x=holes((3, 4))) for name in ("var", "std")),
    *(form(f"np.nan{name}(x, axis=1, ddof=2)", x=holes((3, 4))) for name in ("var", "std")),
    *(form(f"np.nan{name}(x, where=m)", x=holes((3, 4)), m=bools((3, 4))) for name in ("sum", "mean", "var", "std")),
    *(form(f"np.nan{name}(x, axis=0, initial=1.0)", x=holes((3, 4))) for name in ("sum", "prod", "max", "min")),
    *(
        form(f"np.nan{name}({arguments})", x=holes((3, 4)))
        for name in ("cumsum", "cumprod")
        for arguments in ("x", "x, 1")
    ),
    *(
        form(f"np.nan{name}({arguments})", x=holes((3, 4)), differentiable=False)
        for name in ("argmax", "argmin")
        for arguments in ("x", "x, axis=0", "x, 1, keepdims=True")
    ),
)

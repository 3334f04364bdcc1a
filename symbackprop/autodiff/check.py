"""Checking a gradient against centred differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from symbackprop.autodiff.forward import evaluate, propagate
from symbackprop.autodiff.reverse import grad
from symbackprop.errors import ArgumentError, SymbackpropError
from symbackprop.expr import Expr, require_scalar


class GradientError(SymbackpropError, AssertionError):
    """A gradient and the centred difference disagree by more than rounding and curvature explain."""


@dataclass(frozen=True)
class GradCheck:
    """What `check_grad` found.

    Attributes:
        slopes: for each target the symbolic slope and the difference quotient along a random direction.
        error: the largest relative disagreement, beyond what the rounding of the values explains.
    """

    slopes: Mapping[str, tuple[float, float]]
    error: float


def check_grad(
    f: Expr, values: Mapping[Expr, Any], *, eps: float | None = None, rtol: float | None = None, seed: int = 0
) -> GradCheck:
    """Compare the gradient of a scalar with centred differences along a random direction for each float value.

    ``(f(x + εv) - f(x - εv)) / 2ε  ≈  ∇f · v``, with ‖v‖ = 1 and ε = (machine epsilon)^(1/3), where the errors of
    rounding and of the third derivative balance. Works at smooth points: near a kink the quotient is meaningless.

    Args:
        f: a scalar expression.
        values: arrays for its symbols.
        eps: the step, relative to the size of each array.
        rtol: the disagreement that counts as an error, relative to the slope and the values.
        seed: for the directions.

    Raises:
        ArgumentError: a symbol has no value.
        GradientError: they disagree; the message gives target, both slopes and the step.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> check_grad(sb.sum(sb.exp(x)), {x: [0.0, 1.0]}).error < 1e-8
    True
    """
    require_scalar(f, "check_grad")
    keys: list[object] = list(values)  # who has no type checker may give values by name
    strangers = [key for key in keys if not isinstance(key, Expr)]
    if strangers or not keys:
        what = f"by {strangers[0]!r}" if strangers else "none at all"
        msg = f"check_grad: values are given by expression, as in {{x: 1.0}}, not {what}"
        raise ArgumentError(msg)
    targets = [expr for expr in values if expr.dtype.kind == "f"]
    gradients = grad(f, targets, unused="zeros")
    known, _ = propagate(gradients, values)
    random = np.random.default_rng(seed)
    slopes, worst = {}, 0.0
    for target, gradient in zip(targets, gradients, strict=True):
        x = np.asarray(values[target], target.dtype)
        resolution = float(np.finfo(x.dtype).eps)
        step = (resolution ** (1 / 3) if eps is None else eps) * max(1.0, float(np.abs(x).max(initial=0.0)))
        v = random.standard_normal(x.shape)
        v = (v / (np.linalg.norm(v) or 1.0)).astype(x.dtype)
        ends = [float(evaluate(f, {**values, target: (x + sign * step * v).astype(x.dtype)})) for sign in (1, -1)]
        numeric = (ends[0] - ends[1]) / (2 * step)
        symbolic = float(np.sum(known[gradient.number] * v))
        noise = resolution * max(abs(ends[0]), abs(ends[1])) / step  # of the quotient, where the values are rounded
        error = max(abs(symbolic - numeric) - noise, 0.0) / max(abs(symbolic), abs(numeric), 1e-12)
        slopes[target.describe()] = (symbolic, numeric)
        if not error <= (resolution ** (1 / 3) * 10 if rtol is None else rtol):
            msg = (
                f"check_grad: by {target.describe()} the gradient's slope is {symbolic:.10g}, the difference "
                f"quotient {numeric:.10g} (step {step:.2g}); raise the step before the tolerance, and stay off kinks"
            )
            raise GradientError(msg)
        worst = max(worst, error)
    return GradCheck(slopes, worst)

"""Losses, regularisers and metrics: plain symbolic functions of expressions, stable at extreme inputs.

A loss compares the outputs of a model with their targets. The first axes run over examples; whatever an example has
of its own (the components of a vector, the classes) is summed, and `reduction` says what happens to the examples:
their ``"mean"``, their ``"sum"``, or ``"none"`` for one loss per example.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from symbackprop.errors import ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.ops import abs as absolute
from symbackprop.ops import as_expr, equal, log, logsumexp, mean, softplus, square, where
from symbackprop.ops import max as maximum_of
from symbackprop.ops import sum as sum_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from symbackprop.op import Array

Reduction: TypeAlias = Literal["mean", "sum", "none"]


def _pair(what: str, y: Operand, t: Operand) -> tuple[Expr, Expr]:
    """Give output and target as expressions of one shape; targets that are labels take the output's dtype.

    Broadcasting here is nearly always a mistake: ``y[N, 1] - t[N]`` would be an N by N table of errors.
    """
    output, target = as_expr(y), as_expr(t)
    if output.shape != target.shape:
        raise ShapeError(
            f"{what}: the output {output.describe()} and the target {target.describe()} differ in shape; "
            "reshape one of them"
        )
    return output, target if target.dtype.kind == "f" else target.astype(output.dtype)


def _reduced(what: str, each: Expr, reduction: Reduction) -> Expr:
    if reduction == "mean":
        return mean(each) if each.shape else each
    if reduction == "sum":
        return sum_of(each) if each.shape else each
    if reduction == "none":
        return each
    raise ValueError(f'{what}: reduction is "mean", "sum" or "none", not {reduction!r}')


def squared_error(y: Operand, t: Operand, *, reduction: Reduction = "mean") -> Expr:
    """Give the squared error ``‖y − t‖²`` of each example, averaged or summed over the examples.

    ``"mean"`` is the mean squared error (MSE), ``(1/N) Σₙ ‖yₙ − tₙ‖²``; ``"sum"`` is the sum of squares,
    ``E = Σₙ ‖yₙ − tₙ‖²``.

    Args:
        y: outputs ``[N]``, ``[N, …]``, or one number; the first axis runs over the examples.
        t: targets of the same shape.
        reduction: over the examples.

    Raises:
        ShapeError: y and t differ in shape.

    >>> import symbackprop as sb
    >>> y, t = sb.symbols("y[N] t[N]")
    >>> sb.evaluate(squared_error(y, t), {y: [1.0, 4.0], t: [1.0, 2.0]}).item()
    2.0
    >>> sb.evaluate(squared_error(y, t, reduction="sum"), {y: [1.0, 4.0], t: [1.0, 2.0]}).item()
    4.0
    """
    return _reduced("squared_error", _squares("squared_error", y, t), reduction)


def quadratic(y: Operand, t: Operand, *, reduction: Reduction = "mean") -> Expr:
    """Give half the squared error, ``½‖y − t‖²``, whose derivative for one example is ``y − t``.

    ``"mean"`` is ``(1/2N) Σₙ ‖yₙ − tₙ‖²``; for one number, and with ``"sum"``, the derivative by y is exactly y − t.

    Args:
        y: outputs ``[N]``, ``[N, …]``, or one number; the first axis runs over the examples.
        t: targets of the same shape.
        reduction: over the examples.

    Raises:
        ShapeError: y and t differ in shape.

    >>> import symbackprop as sb
    >>> y, t = sb.symbols("y t")
    >>> sb.evaluate(sb.grad(quadratic(y, t), y), {y: 5.0, t: 2.0}).item()
    3.0
    """
    return _reduced("quadratic", 0.5 * _squares("quadratic", y, t), reduction)


def _squares(what: str, y: Operand, t: Operand) -> Expr:
    output, target = _pair(what, y, t)
    return _of_examples(square(output - target), first=1)


def _of_examples(each: Expr, first: int) -> Expr:
    """Sum over all axes behind the first ones."""
    return sum_of(each, axis=tuple(range(first, each.ndim))) if each.ndim > first else each


def binary_cross_entropy(y: Operand, t: Operand, *, logits: bool = True, reduction: Reduction = "mean") -> Expr:
    """Give the negative log-likelihood of yes/no targets.

    From logits z, where p = σ(z): ``softplus(z) − t z``, whose derivative is ``σ(z) − t``. Nothing overflows, and a
    wrong answer's gradient does not vanish however large |z| is (Goodfellow et al., *Deep Learning*, section
    6.2.2.2; for t in {0, 1} it equals ``softplus((1 − 2t) z)``). From probabilities p it is
    ``−(t log p + (1 − t) log(1 − p))``.

    Args:
        y: logits z, or probabilities p: ``[N]``, ``[N, …]``, or one number.
        t: targets of the same shape: 0 or 1, or probabilities.
        logits: whether y are logits.
        reduction: over the examples.

    Raises:
        ShapeError: y and t differ in shape.

    >>> import symbackprop as sb
    >>> z, t = sb.symbols("z[N] t[N]")
    >>> sb.evaluate(binary_cross_entropy(z, t), {z: [1000.0, -1000.0], t: [0, 0]}).item()
    500.0
    """
    output, target = _pair("binary_cross_entropy", y, t)
    each = _from_logits(output, target) if logits else _from_probabilities(output, target)
    return _reduced("binary_cross_entropy", _of_examples(each, first=1), reduction)


def _from_logits(z: Expr, t: Expr) -> Expr:
    return softplus(z) - t * z


def _from_probabilities(p: Expr, t: Expr) -> Expr:
    return -(t * log(p) + (1 - t) * log(1 - p))


def softmax_cross_entropy(z: Operand, T: Operand, *, reduction: Reduction = "mean") -> Expr:
    """Give the negative log-likelihood of classes from logits: ``log Σₖ exp zₖ − Σₖ Tₖ zₖ``.

    That is ``−Σₖ Tₖ log softmax(z)ₖ`` for targets that sum to 1, which is taken for granted; the derivative by z is
    ``softmax(z) − T``. The logarithm undoes the exponential, so the loss of a wrong answer never saturates
    (Goodfellow et al., *Deep Learning*, section 6.2.2.3).

    Args:
        z: logits ``[…, K]``, the classes on the last axis.
        T: targets of the same shape: one-hot rows (see `one_hot`) or the classes' probabilities.
        reduction: over the examples.

    Raises:
        ShapeError: z and T differ in shape, or have no axis of classes.

    >>> import symbackprop as sb
    >>> z, T = sb.symbols("z[K] T[K]")
    >>> loss = softmax_cross_entropy(z, T)
    >>> sb.evaluate(sb.grad(loss, z), {z: [1000.0, 0.0, -1000.0], T: [0.0, 0.0, 1.0]})
    array([ 1.,  0., -1.])
    """
    output, target = _classes("softmax_cross_entropy", z, T)
    return _reduced("softmax_cross_entropy", logsumexp(output, axis=-1) - sum_of(target * output, axis=-1), reduction)


def _classes(what: str, z: Operand, T: Operand) -> tuple[Expr, Expr]:
    output, target = _pair(what, z, T)
    if not output.shape:
        raise ShapeError(f"{what}: {output.describe()} has no axis of classes; give logits z[K] or z[N, K]")
    return output, target


def one_hot(labels: Any, classes: int, dtype: Any = "float64") -> Array:
    """Give the one-hot rows of class numbers, as an array: ``T[n, labels[n]] = 1``, else 0.

    Args:
        labels: integers from 0 to classes - 1, ``[N]`` or of any shape.
        classes: how many classes there are, K.
        dtype: of the result, ``[N, K]``.

    Raises:
        ValueError: a label is no class.

    >>> one_hot([2, 0], classes=3)
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    numbers = np.asarray(labels)
    if numbers.dtype.kind not in "iu" or (numbers.size and not 0 <= numbers.min() <= numbers.max() < classes):
        raise ValueError(f"one_hot: labels are integers from 0 to {classes - 1}")
    rows: Array = np.eye(classes, dtype=dtype)[numbers]
    return rows


# --- regularisers ---------------------------------------------------------------------------------------------


def l1(params: Expr | Iterable[Expr]) -> Expr:
    """Give the L1 penalty ``Σ |w|`` over all elements of all parameters; its derivative is sign(w).

    Args:
        params: one expression or several, usually the weights without the biases.

    >>> import symbackprop as sb
    >>> w = sb.symbol("w", "D")
    >>> sb.evaluate(l1(w), {w: [3.0, -4.0]}).item()
    7.0
    """
    return _total("l1", [sum_of(absolute(w)) for w in _listed(params)])


def l2(params: Expr | Iterable[Expr]) -> Expr:
    """Give the L2 penalty, weight decay: ``½ Σ w²`` over all elements of all parameters; its derivative is w.

    Args:
        params: one expression or several, usually the weights without the biases.

    >>> import symbackprop as sb
    >>> w, v = sb.symbols("w[D] v[D]")
    >>> sb.evaluate(l2([w, v]), {w: [3.0, 4.0], v: [0.0, 1.0]}).item()
    13.0
    """
    return 0.5 * _total("l2", [sum_of(square(w)) for w in _listed(params)])


def _listed(params: Expr | Iterable[Expr]) -> list[Expr]:
    return [params] if isinstance(params, Expr) else list(params)


def _total(what: str, terms: list[Expr]) -> Expr:
    if not terms:
        raise ValueError(f"{what}: no parameters given")
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


# --- metrics --------------------------------------------------------------------------------------------------


def accuracy(z: Operand, T: Operand) -> Expr:
    """Give the share of examples whose largest logit is that of the target's largest class; ties count as right.

    Args:
        z: logits or probabilities ``[…, K]``, the classes on the last axis.
        T: targets of the same shape: one-hot rows or probabilities.

    Raises:
        ShapeError: z and T differ in shape, or have no axis of classes.

    >>> import symbackprop as sb
    >>> z, T = sb.symbols("z[N,K] T[N,K]")
    >>> sb.evaluate(accuracy(z, T), {z: [[3.0, 1.0], [3.0, 1.0]], T: [[1, 0], [0, 1]]}).item()
    0.5
    """
    output, target = _classes("accuracy", z, T)
    chosen = equal(target, maximum_of(target, axis=-1, keepdims=True))
    right = equal(maximum_of(where(chosen, output, -math.inf), axis=-1), maximum_of(output, axis=-1))
    return mean(right.astype(output.dtype))


def binary_accuracy(z: Operand, t: Operand) -> Expr:
    """Give the share of examples whose logit has the target's sign: z > 0 where t > ½, else z ≤ 0.

    Args:
        z: logits of any shape.
        t: targets of the same shape, 0 or 1, or probabilities.

    Raises:
        ShapeError: z and t differ in shape.

    >>> import symbackprop as sb
    >>> z, t = sb.symbols("z[N] t[N]")
    >>> sb.evaluate(binary_accuracy(z, t), {z: [2.0, -1.0, 3.0, -2.0], t: [1, 0, 0, 0]}).item()
    0.75
    """
    output, target = _pair("binary_accuracy", z, t)
    return mean(equal(output > 0, target > 0.5).astype(output.dtype))

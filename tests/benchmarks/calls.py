"""What a call costs where the work is tiny: against NumPy written by hand without checks, and the checks alone.

``python -m tests.benchmarks.calls`` prints the table, in microseconds of one thread's processor time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy import add, divide, dot, exp, logaddexp, negative, subtract
from threadpoolctl import threadpool_limits

import symbackprop as sb
from tests.benchmarks.speed import hand, ours, rows
from tests.benchmarks.timing import in_turns

Array = np.ndarray[Any, Any]
Step: TypeAlias = Callable[..., Any]
OURS, BY_HAND, CHECKS, NOTHING, PRODUCT = "ours", "by hand", "checks", "nothing", "one product"


class Row(NamedTuple):
    """A call.

    Attributes:
        name: what it is called in the table.
        function: the compiled function.
        by_hand: the same with buffers that are kept, and no checks.
        arrays: the arguments.
    """

    name: str
    function: sb.Function
    by_hand: Step
    arrays: Sequence[Any]


def logistic_gradient(n: int) -> Step:
    """Give the gradient by the weights of logistic regression."""
    z, one, count = np.empty(n), np.array(1.0), np.array(float(n))

    def step(X: Array, y: Array, w: Array, b: float) -> Array:
        dot(X, w, z)
        add(z, b, z)
        negative(z, z)
        exp(z, z)
        add(z, one, z)
        divide(one, z, z)
        subtract(z, y, z)
        divide(z, count, z)
        return dot(z, X)

    return step


def logistic_value_and_gradients(n: int) -> Step:
    """Give the loss of logistic regression and its gradients."""
    (z, p), zero, one, count, ones = np.empty((2, n)), np.array(0.0), np.array(1.0), np.array(float(n)), np.ones(n)

    def step(X: Array, y: Array, w: Array, b: float) -> list[Any]:
        dot(X, w, z)
        add(z, b, z)
        logaddexp(zero, z, p)
        loss = (dot(ones, p) - dot(y, z)) / n
        negative(z, z)
        exp(z, z)
        add(z, one, z)
        divide(one, z, z)
        subtract(z, y, z)
        divide(z, count, z)
        return [loss, dot(z, X), dot(ones, z)]

    return step


def calls() -> list[Row]:
    """Give the rows."""
    random = np.random.default_rng(0)
    arrays = [random.standard_normal((4, 2)), np.array([0.0, 1.0, 1.0, 0.0]), random.standard_normal(2), 0.5]
    with sb.Graph():
        X, y, w, b = sb.symbols("X[N,D] y[N] w[D] b")
        z = X @ w + b
        loss = sb.mean(sb.softplus(z) - y * z)
        p = sb.sigmoid(z)
        written = -sb.mean(y * sb.log(p) + (1 - y) * sb.log(1 - p))
        gradient = sb.compile([X, y, w, b], sb.grad(loss, w))
        gradients = sb.compile([X, y, w, b], [loss, *sb.grad(loss, [w, b])])
        textbook = sb.compile([X, y, w, b], [written, *sb.grad(written, [w, b])])
    xor = next(row for row in rows.ROWS if row.name == "xor")
    values = xor.values(xor.sizes)
    return [
        Row("logistic regression 4×2, gradient", gradient, logistic_gradient(4), arrays),
        Row("the same, value and gradients", gradients, logistic_value_and_gradients(4), arrays),
        Row("the same, as textbooks write it", textbook, logistic_value_and_gradients(4), arrays),
        Row("XOR net 2-16-1, batch 4, value and gradients", ours.function(xor, xor.sizes), hand.xor(values, 1), [
            *values.values()
        ]),
    ]  # fmt: skip


def contenders(row: Row) -> dict[str, Callable[[], Any]]:
    """Give what is timed: the checks are those of a function without outputs, less a call of one that does nothing."""
    checks = sb.compile(row.function.inputs, [])
    arrays, X, w = row.arrays, np.ones((4, 2)), np.ones(2)
    row.function(*arrays)  # which learns the sizes

    def nothing(*_: Any) -> list[Any]:
        return []

    return {
        OURS: lambda: row.function(*arrays),
        BY_HAND: lambda: row.by_hand(*arrays),
        CHECKS: lambda: checks(*arrays),
        NOTHING: lambda: nothing(*arrays),
        PRODUCT: lambda: dot(X, w),
    }


def main() -> None:
    """Print the figures."""
    print("calls, one thread, µs                          ours  by hand  ratio  checks  np.dot of 4×2 and 2")
    with threadpool_limits(1):
        for row in calls():
            timed = contenders(row)
            times = {name: 1e6 * t for name, t in in_turns(timed, kept=[*timed], clock=time.process_time).items()}
            print(
                f"{row.name:<45}{times[OURS]:>6.2f}{times[BY_HAND]:>9.2f}{times[OURS] / times[BY_HAND]:>7.2f}"
                f"{times[CHECKS] - times[NOTHING]:>8.2f}{times[PRODUCT]:>8.2f}"
            )


if __name__ == "__main__":
    main()

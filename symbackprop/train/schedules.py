"""Learning rates that change with time: each a symbolic expression of the step counter, compiled into the step.

Time is counted in *steps* (updates of the parameters), from 0. With N examples an epoch has ``ceil(N / batch_size)``
of them. Any function from an expression to an expression is a schedule too: ``lr=lambda t: 0.1 / sb.sqrt(1 + t)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TypeAlias

from symbackprop.expr import Expr
from symbackprop.op import literal
from symbackprop.ops import cos, floor_divide, minimum, power, where

Schedule: TypeAlias = Callable[[Expr], Expr]
Rate: TypeAlias = float | Schedule
"""A learning rate: a number, or a function of the step counter."""


def rate_at(rate: Rate, t: Expr) -> Expr:
    """Give the rate at step t as an expression.

    >>> import symbackprop as sb
    >>> t = sb.symbol("t", dtype="int64")
    >>> sb.evaluate(rate_at(InverseTime(0.5, 1.0), t), {t: 4}).item()
    0.1
    """
    return rate(t) if callable(rate) else literal(float(rate), graph=t.graph)


@dataclass(frozen=True)
class _Settings:
    """Schedules are plain settings; all of them must be positive unless the schedule says otherwise."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, int | float) and not (value > 0 or (each.name == "final" and value == 0)):
                raise ValueError(f"{type(self).__name__}: {each.name} must be positive, not {value!r}")


@dataclass(frozen=True)
class Constant(_Settings):
    """The same rate at every step: ``η(t) = initial``.

    >>> import symbackprop as sb
    >>> t = sb.symbol("t", dtype="int64")
    >>> sb.evaluate(Constant(0.1)(t), {t: 7}).item()
    0.1
    """

    initial: float

    def __call__(self, t: Expr) -> Expr:
        """Give the rate at step t."""
        return literal(self.initial, graph=t.graph)


@dataclass(frozen=True)
class StepDecay(_Settings):
    """A rate that drops at once every so many steps: ``η(t) = initial · factor^⌊t / every⌋``.

    >>> import symbackprop as sb
    >>> t = sb.symbol("t", dtype="int64")
    >>> sb.evaluate(StepDecay(0.8, every=100, factor=0.5)(t), {t: 250}).item()
    0.2
    """

    initial: float
    every: int
    factor: float = 0.1

    def __call__(self, t: Expr) -> Expr:
        """Give the rate at step t."""
        return self.initial * power(self.factor, floor_divide(t, self.every))


@dataclass(frozen=True)
class Exponential(_Settings):
    """A rate that falls by the same share in every step: ``η(t) = initial · factor^(t / every)``.

    >>> import symbackprop as sb
    >>> t = sb.symbol("t", dtype="int64")
    >>> sb.evaluate(Exponential(0.8, factor=0.25, every=100)(t), {t: 50}).item()
    0.4
    """

    initial: float
    factor: float
    every: int = 1

    def __call__(self, t: Expr) -> Expr:
        """Give the rate at step t."""
        return self.initial * power(self.factor, t / self.every)


@dataclass(frozen=True)
class InverseTime(_Settings):
    """A rate that falls like 1/t: ``η(t) = initial / (1 + decay · t)``.

    Its sum diverges and the sum of its squares converges: the condition under which stochastic gradient descent
    converges (Robbins and Monro, *A stochastic approximation method*, 1951).

    >>> import symbackprop as sb
    >>> t = sb.symbol("t", dtype="int64")
    >>> sb.evaluate(InverseTime(0.5, decay=0.1)(t), {t: 40}).item()
    0.1
    """

    initial: float
    decay: float

    def __call__(self, t: Expr) -> Expr:
        """Give the rate at step t."""
        return self.initial / (1 + self.decay * t)


@dataclass(frozen=True)
class Cosine(_Settings):
    """Half a cosine from the first rate to the last: ``η(t) = final + ½(initial − final)(1 + cos(π min(t, T)/T))``.

    Loshchilov and Hutter, *SGDR: Stochastic gradient descent with warm restarts* (2017), equation 5, without restarts.

    >>> import symbackprop as sb
    >>> t = sb.symbol("t", dtype="int64")
    >>> [round(sb.evaluate(Cosine(0.2, steps=100)(t), {t: at}).item(), 9) for at in (0, 50, 100, 1000)]
    [0.2, 0.1, 0.0, 0.0]
    """

    initial: float
    steps: int
    final: float = 0.0

    def __call__(self, t: Expr) -> Expr:
        """Give the rate at step t."""
        swing = 0.5 * (self.initial - self.final)
        return self.final + swing * (1 + cos(minimum(t, self.steps) * (math.pi / self.steps)))


@dataclass(frozen=True)
class WarmUp(_Settings):
    """A straight rise over the first steps, then another schedule, which starts counting there.

    ``η(t) = η₀ · (t + 1)/(steps + 1)`` for t < steps, where η₀ is the first rate of `then`; after that
    ``η(t) = then(t − steps)``. Goyal et al., *Accurate, large minibatch SGD* (2017), section 2.2.

    >>> import symbackprop as sb
    >>> t = sb.symbol("t", dtype="int64")
    >>> [sb.evaluate(WarmUp(4, then=0.5)(t), {t: at}).item() for at in (0, 1, 4, 9)]
    [0.1, 0.2, 0.5, 0.5]
    """

    steps: int
    then: Rate

    def __call__(self, t: Expr) -> Expr:
        """Give the rate at step t."""
        later = rate_at(self.then, where(t < self.steps, 0, t - self.steps))
        return where(t < self.steps, later * (t + 1) / (self.steps + 1), later)

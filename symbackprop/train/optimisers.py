"""Optimisers: rules for new parameters, given as symbolic expressions and compiled together with the gradient.

`Optimiser.updates` maps every parameter, and every symbol that the optimiser remembers something in, to the
expression of its new value. All right-hand sides use the old values, as `symbackprop.compile` wants them::

    adam = train.Adam(lr=1e-3)
    updates = adam.updates([W, b], sb.grad(loss, [W, b]))
    step = sb.compile([X, y, *updates], loss, updates=updates)
    values = {W: W0, b: b0}
    values |= adam.start(values)                         # zeros for the moments and the step counter
    step(Xv, yv, *(values[symbol] for symbol in updates))  # writes all of them in place

What is remembered of a parameter W is called ``m_W``, ``v_W``; the number of steps done is ``steps_done``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from symbackprop.errors import GraphError, ShapeError
from symbackprop.expr import Expr, common_graph
from symbackprop.ops import power, sqrt, square, symbol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from symbackprop.op import Array
    from symbackprop.train.schedules import Rate

_COUNTER = "steps_done"
_SHARES = ("momentum", "decay", "beta1", "beta2")  # settings that weigh the past, so 1 would never forget


@dataclass(frozen=True)
class Optimiser(ABC):
    """What all optimisers share: a learning rate, memory for each parameter, a counter where time matters.

    A new optimiser is a frozen dataclass with its settings, its `remembers`, and `rule`.

    Attributes:
        lr: the learning rate η: a number, or a schedule, which is a function of the number of steps done.
    """

    lr: Rate = 0.01

    remembers: ClassVar[tuple[str, ...]] = ()  # the letters of what is kept of each parameter, in its shape
    counts: ClassVar[bool] = False  # whether the rule itself depends on time

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: a setting is out of its range.
        """
        for each in fields(self):
            value = getattr(self, each.name)
            if callable(value):
                continue
            end = 1.0 if each.name in _SHARES else math.inf
            if not 0 <= value < end:
                allowed = "at least 0 and less than 1" if end == 1 else "a number that is not negative"
                raise ValueError(f"{type(self).__name__}: {each.name} must be {allowed}, not {value!r}")

    @abstractmethod
    def rule(self, w: Expr, g: Expr, *memory: Expr, t: Expr) -> tuple[Expr, ...]:
        """Give the new value of one parameter, and of what is remembered of it.

        Args:
            w: the parameter.
            g: its gradient.
            *memory: what `remembers` names, in that order.
            t: how many steps were done before this one.
        """

    def rate(self, w: Expr, t: Expr) -> Expr | float:
        """Give the learning rate at step t, in the precision of the parameter."""
        return self.lr(t).astype(w.dtype) if callable(self.lr) else self.lr

    def updates(self, params: Sequence[Expr], grads: Sequence[Expr]) -> dict[Expr, Expr]:
        """Give the new value of each parameter and of everything that is remembered, as expressions.

        Args:
            params: symbols of a float dtype.
            grads: the gradient of the loss by each of them.

        Returns:
            Symbol to new value, for the `updates` of `symbackprop.compile`; the parameters first, in their order.

        Raises:
            ShapeError: a gradient does not have its parameter's shape, or one is missing.
            GraphError: a symbol of the model has the name of something that the optimiser remembers.

        >>> import symbackprop as sb
        >>> w = sb.symbol("w")
        >>> [s.name for s in Momentum().updates([w], [sb.grad(sb.square(w), w)])]
        ['w', 'v_w']
        """
        _check_grads(params, grads)
        memory, counter = self._memory(params)
        self._check_names([*params, *grads], memory, counter)
        new_params: dict[Expr, Expr] = {}
        new_memory: dict[Expr, Expr] = {counter: counter + 1} if self._uses_counter else {}
        for w, g in zip(params, grads, strict=True):
            new_params[w], *rest = self.rule(w, g, *memory[w], t=counter)
            new_memory |= zip(memory[w], rest, strict=True)
        return new_params | new_memory

    def start(self, values: Mapping[Expr, Any]) -> dict[Expr, Array]:
        """Give the arrays to begin with: zeros for everything that is remembered.

        Args:
            values: the initial array of each parameter, whose shapes and dtypes the memory takes.

        >>> import symbackprop as sb
        >>> w = sb.symbol("w", "D")
        >>> {s.name: array for s, array in Adam().start({w: np.ones(2)}).items()}
        {'steps_done': array(0), 'm_w': array([0., 0.]), 'v_w': array([0., 0.])}
        """
        memory, counter = self._memory(list(values))
        found: dict[Expr, Array] = {counter: np.zeros((), counter.dtype)} if self._uses_counter else {}
        for w, value in values.items():
            found |= {kept: np.zeros(np.shape(value), w.dtype) for kept in memory[w]}
        return found

    @property
    def _uses_counter(self) -> bool:
        return self.counts or callable(self.lr)

    def _memory(self, params: Sequence[Expr]) -> tuple[dict[Expr, tuple[Expr, ...]], Expr]:
        """Give the symbols of what is remembered of each parameter, and the counter."""
        with common_graph(params, type(self).__name__):
            memory = {w: tuple(symbol(f"{x}_{w.name}", w.shape, w.dtype) for x in self.remembers) for w in params}
            return memory, symbol(_COUNTER, dtype="int64")

    def _check_names(self, model: Sequence[Expr], memory: Mapping[Expr, tuple[Expr, ...]], counter: Expr) -> None:
        ours = {kept.name for several in memory.values() for kept in several}
        ours |= {_COUNTER} if self._uses_counter else set()
        for theirs in free_symbols(model):
            if theirs.name in ours or theirs is counter:
                raise GraphError(
                    f"{type(self).__name__} keeps its memory under the name {theirs.name}, which "
                    f"{theirs.describe()} has already: rename that symbol"
                )


def rest(share: float) -> float:
    """Give ``1 - share`` as the decimal number that people mean by it.

    >>> 1 - 0.9, rest(0.9)
    (0.09999999999999998, 0.1)
    """
    return float(1 - Decimal(repr(float(share))))


def free_symbols(exprs: Sequence[Expr]) -> list[Expr]:
    """Give the symbols that expressions are computed from, in the order in which they were made.

    >>> import symbackprop as sb
    >>> X, w, b = sb.symbols("X[N,D] w[D] b")
    >>> sorted(s.name for s in free_symbols([X @ w]))
    ['X', 'w']
    """
    graph = common_graph(exprs, "free_symbols")
    numbers = graph.reachable([expr.number for expr in exprs])
    return [Expr(graph, number) for number in numbers if graph.nodes[number].op.name == "symbol"]


def _check_grads(params: Sequence[Expr], grads: Sequence[Expr]) -> None:
    if not params:
        raise ValueError("updates: no parameters given")
    if len(params) != len(grads):
        raise ShapeError(f"updates: {len(params)} parameters and {len(grads)} gradients; give one for each")
    for w, g in zip(params, grads, strict=True):
        if w.shape != g.shape or w.dtype != g.dtype:
            raise ShapeError(
                f"updates: the parameter {w.describe()} is {w.dtype}, its gradient {g.describe()} is {g.dtype}; "
                "shape and dtype must be the same"
            )


@dataclass(frozen=True)
class SGD(Optimiser):
    """Gradient descent: ``w ← w − η g``.

    *Stochastic* where g is the gradient on a part of the examples (Robbins and Monro, *A stochastic approximation
    method*, 1951; Goodfellow et al., *Deep Learning*, Algorithm 8.1).

    >>> import symbackprop as sb
    >>> w, g = sb.symbols("w g")
    >>> sb.evaluate(SGD(0.5).updates([w], [g])[w], {w: 1.0, g: 4.0}).item()
    -1.0
    """

    def rule(self, w: Expr, g: Expr, *_memory: Expr, t: Expr) -> tuple[Expr, ...]:
        """Give the new w."""
        return (w - self.rate(w, t) * g,)


@dataclass(frozen=True)
class Momentum(Optimiser):
    """Gradient descent with a velocity: ``v ← μ v − η g``, ``w ← w + v``.

    Polyak, *Some methods of speeding up the convergence of iteration methods* (1964), in the form of Sutskever et
    al. (2013), which is Algorithm 8.2 of *Deep Learning*: the rate is part of the velocity.

    Attributes:
        momentum: μ, the share of the velocity that is kept.

    >>> import symbackprop as sb
    >>> w, g, v = sb.symbols("w g v_w")
    >>> sb.evaluate(Momentum(0.5, momentum=0.5).updates([w], [g])[w], {w: 1.0, g: 4.0, v: 2.0}).item()
    0.0
    """

    momentum: float = 0.9
    remembers = ("v",)

    def rule(self, w: Expr, g: Expr, *memory: Expr, t: Expr) -> tuple[Expr, ...]:
        """Give the new w and v."""
        (v,) = memory
        v = self.momentum * v - self.rate(w, t) * g
        return w + v, v


@dataclass(frozen=True)
class Nesterov(Optimiser):
    """Momentum with the gradient taken ahead: ``v ← μ v − η g``, ``w ← w + μ v − η g``.

    Nesterov (1983), as momentum by Sutskever et al., *On the importance of initialization and momentum in deep
    learning* (2013): ``v ← μ v − η ∇f(θ + μ v)``, ``θ ← θ + v``. Here w stands for the point ahead, θ + μ v, so that
    the gradient is taken where the parameters are (Bengio et al., *Advances in optimizing recurrent networks*, 2013,
    equation 7); both run through the same points.

    Attributes:
        momentum: μ, the share of the velocity that is kept.

    >>> import symbackprop as sb
    >>> w, g, v = sb.symbols("w g v_w")
    >>> sb.evaluate(Nesterov(0.5, momentum=0.5).updates([w], [g])[w], {w: 1.0, g: 4.0, v: 2.0}).item()
    -1.5
    """

    momentum: float = 0.9
    remembers = ("v",)

    def rule(self, w: Expr, g: Expr, *memory: Expr, t: Expr) -> tuple[Expr, ...]:
        """Give the new w and v."""
        (v,) = memory
        move = self.rate(w, t) * g
        v = self.momentum * v - move
        return w + (self.momentum * v - move), v


@dataclass(frozen=True)
class RMSProp(Optimiser):
    """Gradient descent at each weight's own scale: ``r ← ρ r + (1 − ρ) g²``, ``w ← w − η g / (√r + ε)``.

    Tieleman and Hinton, *Neural networks for machine learning*, lecture 6.5 (2012). ε stands outside the root, as in
    most libraries; Algorithm 8.5 of *Deep Learning* has it inside.

    Attributes:
        decay: ρ, the share of the mean square that is kept.
        eps: ε, which keeps the step finite where gradients vanish.

    >>> import symbackprop as sb
    >>> w, g, r = sb.symbols("w g r_w")
    >>> sb.evaluate(RMSProp(0.5, decay=0.0, eps=0.0).updates([w], [g])[w], {w: 1.0, g: -4.0, r: 9.0}).item()
    1.5
    """

    lr: Rate = 0.001
    decay: float = 0.9
    eps: float = 1e-8
    remembers = ("r",)

    def rule(self, w: Expr, g: Expr, *memory: Expr, t: Expr) -> tuple[Expr, ...]:
        """Give the new w and r."""
        (r,) = memory
        r = self.decay * r + rest(self.decay) * square(g)
        return w - self.rate(w, t) * (g / (sqrt(r) + self.eps)), r


@dataclass(frozen=True)
class Adam(Optimiser):
    """Gradient descent by running moments of the gradient, corrected for their start at zero.

    ``m ← β₁ m + (1 − β₁) g``, ``v ← β₂ v + (1 − β₂) g²``, ``w ← w − η m̂ / (√v̂ + ε)`` with ``m̂ = m / (1 − β₁ᵗ)``,
    ``v̂ = v / (1 − β₂ᵗ)``, t = 1 in the first step.

    Kingma and Ba, *Adam: a method for stochastic optimization* (2015), Algorithm 1. The corrections are applied to
    the rate and to ε, two scalars, as the remark at the end of section 2 proposes: ``w ← w − ηₜ m / (√v + ε̂)`` with
    ``ηₜ = η √(1 − β₂ᵗ) / (1 − β₁ᵗ)`` and ``ε̂ = ε √(1 − β₂ᵗ)``, which is the same real number.

    Attributes:
        beta1: β₁, the share of the mean gradient that is kept.
        beta2: β₂, the share of the mean square that is kept.
        eps: ε, which keeps the step finite where gradients vanish.

    >>> import symbackprop as sb
    >>> w, g = sb.symbols("w g")
    >>> adam = Adam(0.5, eps=0.0)
    >>> values = {w: 1.0, g: -4.0}
    >>> round(sb.evaluate(adam.updates([w], [g])[w], values | adam.start({w: 1.0})).item(), 12)
    1.5
    """

    lr: Rate = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    remembers = ("m", "v")
    counts = True

    def rule(self, w: Expr, g: Expr, *memory: Expr, t: Expr) -> tuple[Expr, ...]:
        """Give the new w, m and v."""
        m, v, move = self._move(w, g, *memory, t=t)
        return w - move, m, v

    def _move(self, w: Expr, g: Expr, *memory: Expr, t: Expr) -> tuple[Expr, Expr, Expr]:
        """Give the new moments, and what is to be taken from w."""
        m, v = memory
        m = self.beta1 * m + rest(self.beta1) * g
        v = self.beta2 * v + rest(self.beta2) * square(g)
        # The scalars are computed in float64 and rounded once: in float32, 1 − β₂ᵗ has no more than four digits.
        root = sqrt(1 - power(self.beta2, t + 1))
        rate = self.lr(t) if callable(self.lr) else self.lr
        scale = (rate * root / (1 - power(self.beta1, t + 1))).astype(w.dtype)
        return m, v, scale * (m / (sqrt(v) + (self.eps * root).astype(w.dtype)))


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with weight decay that does not pass through the moments: ``w ← (1 − η λ) w − η m̂ / (√v̂ + ε)``.

    Loshchilov and Hutter, *Decoupled weight decay regularization* (2019), Algorithm 2, with the rate η times the
    decay λ, as in most libraries. All parameters decay, biases too.

    Attributes:
        weight_decay: λ.

    >>> import symbackprop as sb
    >>> w, g = sb.symbols("w g")
    >>> adam = AdamW(0.5, eps=0.0, weight_decay=0.2)
    >>> values = {w: 1.0, g: -4.0}
    >>> round(sb.evaluate(adam.updates([w], [g])[w], values | adam.start({w: 1.0})).item(), 12)
    1.4
    """

    weight_decay: float = 0.01

    def rule(self, w: Expr, g: Expr, *memory: Expr, t: Expr) -> tuple[Expr, ...]:
        """Give the new w, m and v."""
        m, v, move = self._move(w, g, *memory, t=t)
        kept = 1 - self.rate(w, t) * self.weight_decay
        return kept * w - move, m, v

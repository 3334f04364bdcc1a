"""Models: the multi-layer perceptron of any depth (Algorithm 6.3 of *Deep Learning*)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from symbackprop import dims
from symbackprop.errors import ArgumentError, DtypeError, ShapeError
from symbackprop.expr import Expr
from symbackprop.graph import module
from symbackprop.ops import symbol, tanh

if TYPE_CHECKING:
    from symbackprop.dims import SizeLike
    from symbackprop.op import Array

Activation: TypeAlias = Callable[[Expr], Expr]
Scheme: TypeAlias = Literal["glorot", "he"]


@dataclass(frozen=True)
class MLP:
    """A multi-layer perceptron: the expression of its output, and the symbols of its parameters.

    Attributes:
        input: x, ``[D]`` or ``[N, D]``.
        output: what the last layer gives: logits, unless it has an activation.
        weights: W1, W2, …, each ``[inputs, units]``.
        biases: b1, b2, …, each ``[units]``.
        pre_activations: a1, a2, … = h W + b.
        hidden: h1, h2, … = f(a) of all layers but the last.
    """

    input: Expr
    output: Expr
    weights: tuple[Expr, ...]
    biases: tuple[Expr, ...]
    pre_activations: tuple[Expr, ...]
    hidden: tuple[Expr, ...]

    @property
    def params(self) -> list[Expr]:
        """The parameters layer by layer: W1, b1, W2, b2, …."""
        return [param for layer in zip(self.weights, self.biases, strict=True) for param in layer]

    def init(self, seed: int, scheme: Scheme = "glorot", *, bias: float = 0.0, **sizes: int) -> dict[Expr, Array]:
        """Give small random weights and constant biases; the same seed gives the same arrays.

        ``"glorot"``: uniform between ±√(6 / (inputs + units)), which keeps the variance of signals and gradients for
        activations like tanh (Glorot and Bengio, 2010). ``"he"``: normal with variance 2 / inputs, which does so for
        ReLU (He et al., 2015).

        Args:
            seed: for `numpy.random.default_rng`.
            scheme: how the weights are drawn.
            bias: the value of all biases; *Deep Learning* suggests 0.1 for ReLU.
            **sizes: numbers for sizes of the model that are names.

        Raises:
            ArgumentError: a named size has no number.
            ValueError: there is no such scheme.

        >>> import symbackprop as sb
        >>> net = mlp(sb.symbol("x", ("N", "D")), [3, 1])
        >>> {p.name: array.shape for p, array in net.init(0, D=2).items()}
        {'W1': (2, 3), 'b1': (3,), 'W2': (3, 1), 'b2': (1,)}
        """
        if scheme not in {"glorot", "he"}:
            raise ValueError(f'init: scheme is "glorot" or "he", not {scheme!r}')
        missing = sorted(dims.names_of(size for W in self.weights for size in W.shape) - sizes.keys())
        if missing:
            raise ArgumentError(f"init: the size {missing[0]} needs a number: init(seed, {missing[0]}=…)")
        rng = np.random.default_rng(seed)
        found: dict[Expr, Array] = {}
        for W, b in zip(self.weights, self.biases, strict=True):
            inputs, units = dims.bind(W.shape, sizes)
            found[W] = _drawn(rng, inputs, units, scheme).astype(W.dtype)
            found[b] = np.full(units, bias, b.dtype)
        return found


def _drawn(rng: np.random.Generator, inputs: int, units: int, scheme: Scheme) -> Array:
    if scheme == "he":
        return rng.normal(0.0, math.sqrt(2 / inputs), (inputs, units))
    limit = math.sqrt(6 / (inputs + units))
    return rng.uniform(-limit, limit, (inputs, units))


def mlp(
    x: Expr,
    sizes: Sequence[SizeLike],
    activation: Activation | Sequence[Activation] = tanh,
    output: Activation | None = None,
    *,
    suffix: str = "",
) -> MLP:
    """Build a multi-layer perceptron of depth ``len(sizes)``: Algorithm 6.3 of *Deep Learning*, forward propagation.

    h⁽⁰⁾ = x; for k = 1 … l: a⁽ᵏ⁾ = h⁽ᵏ⁻¹⁾ W⁽ᵏ⁾ + b⁽ᵏ⁾, h⁽ᵏ⁾ = f(a⁽ᵏ⁾); the output is a⁽ˡ⁾, or f of it.

    Rows are examples, so one formula serves a single example and a minibatch; the book's columns give W h + b. The
    values are named a1, h1, a2, … and the parameters W1, b1, W2, …; each layer is a module, ``"layer 1"`` and so on,
    and ``sb.draw(net.output, modules="collapsed")`` shows the layers alone.

    Args:
        x: the input, ``[D]`` for one example or ``[N, D]`` for many.
        sizes: the number of units of each layer, the output's last: ``[128, 64, 10]``.
        activation: f of the hidden layers: any function of an expression, or one for each hidden layer.
        output: f of the last layer; None leaves it linear, as losses from logits want it.
        suffix: appended to all names, so that several networks fit into one formula.

    Raises:
        ShapeError: x is a scalar, no sizes were given, or the activations are not one for each hidden layer.
        DtypeError: x is no float.
        ArgumentError: an activation is a text.

    >>> import symbackprop as sb
    >>> X = sb.symbol("X", ("N", 64))
    >>> net = mlp(X, [128, 10], activation=sb.relu)
    >>> net.output.shape, [p.name for p in net.params]
    ((N, 10), ['W1', 'b1', 'W2', 'b2'])
    """
    _check_input(x)
    if isinstance(sizes, int):
        raise ShapeError(f"mlp: the sizes are a list such as [16, {sizes}], not the number {sizes}")
    functions = [*_activations(activation, len(sizes) - 1), output]
    weights, biases, pre, hidden = [], [], [], []
    h = x
    for k, (units, f) in enumerate(zip(sizes, functions, strict=True), start=1):
        with x.graph, module(f"layer {k}{suffix}"):
            weights.append(symbol(f"W{k}{suffix}", (h.shape[-1], units), x.dtype))
            biases.append(symbol(f"b{k}{suffix}", units, x.dtype))
            pre.append((h @ weights[-1] + biases[-1]).named(f"a{k}{suffix}"))
            h = pre[-1] if f is None else _activated(f, pre[-1], f"h{k}{suffix}")
        hidden.append(h)
    return MLP(x, h, tuple(weights), tuple(biases), tuple(pre), tuple(hidden[:-1]))


def _check_input(x: Expr) -> None:
    if not x.shape:
        raise ShapeError(f"mlp: the input {x.describe()} is a scalar; give x[D] or X[N, D]")
    if x.dtype.kind != "f":
        raise DtypeError(f'mlp: the input {x.describe()} has dtype {x.dtype}; declare it with dtype="float32"')


def _activations(activation: Activation | Sequence[Activation], layers: int) -> Sequence[Activation]:
    if layers < 0:
        raise ShapeError("mlp: no sizes given; the last one is the output's: [128, 64, 10]")
    given: object = activation  # who has no type checker may name it
    if isinstance(given, str):
        raise ArgumentError(f"mlp: the activation is a function such as sb.tanh, not the text {given!r}")
    if not isinstance(activation, Sequence):
        return [activation] * layers
    if len(activation) != layers:
        raise ShapeError(f"mlp: {len(activation)} activations for {layers} hidden layers; give one, or one for each")
    return activation


def _activated(f: Activation, a: Expr, name: str) -> Expr:
    h = f(a)
    if h.shape != a.shape:
        raise ShapeError(f"mlp: the activation makes {h.describe()} of {a.describe()}; it must keep the shape")
    return h if h is a else h.named(name)

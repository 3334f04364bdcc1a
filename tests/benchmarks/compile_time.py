"""What compiling costs: values with all gradients, how it grows, the share of the rules, formulas for people."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

import symbackprop as sb
from symbackprop.rewrite import PIPELINE
from tests.benchmarks import digits_step
from tests.benchmarks.speed import rows
from tests.benchmarks.speed.ours import FUNCTIONS

RULES = [stage.name for stage in PIPELINE if stage.name != "share"]


def best(call: Callable[[], object], repeats: int = 25) -> float:
    """Give the least seconds of a call: what else the machine does only adds to it."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)


def rules_of_the_digits_step() -> tuple[float, float]:
    """Give the seconds to compile the digits MLP's training step, with the rewrite rules and without them."""
    with sb.Graph():
        inputs, loss, updates = digits_step.expressions()

        def compile_(skip: list[str]) -> sb.Function:
            return sb.compile(inputs, loss, updates=updates, name="step", skip=skip)

        return best(lambda: compile_([])), best(lambda: compile_(RULES))


class Built(NamedTuple):
    """An expression that is to be compiled with its gradients.

    Attributes:
        inputs: the symbols.
        value: the expression.
        wrt: the symbols that it is differentiated by.
    """

    inputs: Sequence[sb.Expr]
    value: sb.Expr
    wrt: Sequence[sb.Expr]


class Cost(NamedTuple):
    """What it costs, in seconds of the processor; `first` is the first call, on random numbers.

    Attributes:
        nodes: how many nodes the graph has at the end.
    """

    nodes: int
    build: float
    grad: float
    compile: float
    first: float

    @property
    def total(self) -> float:
        """Differentiating and compiling."""
        return self.grad + self.compile


def cost(build: Callable[[], Built], repeats: int = 1, *, call: bool = False) -> Cost:
    """Measure a problem in a graph of its own, and take the least of some times."""
    found = []
    for _ in range(repeats):
        with sb.Graph() as graph:
            times = [time.process_time()]
            inputs, value, wrt = build()
            times.append(time.process_time())
            gradients = sb.grad(value, wrt)
            times.append(time.process_time())
            function = sb.compile(inputs, [value, *gradients])
            times.append(time.process_time())
            arrays = [np.random.default_rng(0).standard_normal(x.shape)[()] for x in inputs] if call else []
            start = time.process_time()
            if call:
                function(*arrays)
            first = time.process_time() - start if call else 0.0
            found.append(Cost(len(graph), *(after - before for before, after in itertools.pairwise(times)), first))
    return min(found, key=lambda each: each.total)


def _problem(dims: str, value: Callable[..., sb.Expr], wrt: str) -> Callable[[], Built]:
    def build() -> Built:
        symbols = {str(symbol.name): symbol for symbol in sb.symbols(dims)}
        return Built([*symbols.values()], value(FUNCTIONS, **symbols), [symbols[name] for name in wrt.split()])

    return build


def _deep(layers: int) -> Callable[[], Built]:
    weights = " ".join(f"W{layer} b{layer}" for layer in range(layers))
    dims = " ".join(f"W{layer}[32,32] b{layer}[32]" for layer in range(layers))
    return _problem(f"X[16,32] {dims}", rows.deep, weights)


def _lstm(steps: int) -> Callable[[], Built]:
    return _problem(f"X[{steps},32,64] Y[32,64] h[32,64] c[32,64] W[64,256] U[64,256] b[256]", rows.lstm, "W U b")


_MLP = _problem(
    "X[128,64] T[128,10] W1[64,128] b1[128] W2[128,64] b2[64] W3[64,10] b3[10]", rows.mlp, "W1 b1 W2 b2 W3 b3"
)

PROBLEMS: Mapping[str, tuple[Callable[[], Built], float]] = {
    "logistic regression": (_problem("X[N,D] y[N] w[D] b", rows.logistic, "w b"), 0.01),
    "MLP 64-128-64-10": (_MLP, 0.05),
    "200 layers of tanh": (_deep(200), 0.5),
    "7,150 layers of tanh": (_deep(7150), 10),
    "logistic map, 50 steps": (_problem("r x", rows.logistic_map, "r x"), 1),
    "product of 1,000 scalars": (_problem("x[1000]", rows.speelpenning, "x"), 1),
    "LSTM of 50 steps": (_lstm(50), 1),
}
"""Problems with the most seconds that differentiating and compiling may take."""


def _chain(size: int) -> Built:
    x = h = sb.symbol("x", "N")
    for _ in range(size):
        h = sb.sin(h) * x
    return Built([x], sb.sum(h), [x])


def _wide(size: int) -> Built:
    x = sb.symbol("x", "N")
    total = x
    for at in range(size):
        total = total + sb.sin((at + 2.0) * x)
    return Built([x], sb.sum(total), [x])


def _parameters(size: int) -> Built:
    x = sb.symbol("x", "N")
    factors = [sb.symbol(f"a{at}") for at in range(size)]
    total = sb.sin(factors[0] * x)
    for factor in factors[1:]:
        total = total + sb.sin(factor * x)
    return Built([x, *factors], sb.sum(total), factors)


def _scalars(size: int) -> Built:
    r, x0 = sb.symbols("r x0")
    x = x0
    for _ in range(size):
        x = r * x * (1 - x)
    return Built([r, x0], x, [r, x0])


def _shared(size: int) -> Built:
    a, b = x, y = sb.symbols("x[N] y[N]")
    for _ in range(size):
        a, b = sb.tanh(a + b), a * b
    return Built([x, y], sb.sum(a + b), [x, y])


def _stacked(size: int) -> Built:
    scalars = [sb.symbol(f"x{at}") for at in range(size)]
    return Built(scalars, sb.sum(sb.sin(sb.stack(scalars))), scalars)


def _residual(size: int) -> Built:
    h = X = sb.symbol("X", ("N", "D"))
    weights = [sb.symbol(f"W{at}", ("D", "D")) for at in range(size)]
    for W in weights:
        h = h + sb.relu(h @ W)
    return Built([X, *weights], sb.mean(h**2), weights)


FAMILIES: Mapping[str, Callable[[int], Built]] = {
    "a deep chain": _chain,
    "a wide sum": _wide,
    "many parameters": _parameters,
    "scalars unrolled": _scalars,
    "shared sub-expressions": _shared,
    "scalars stacked": _stacked,
    "residual layers": _residual,
}
"""Expressions of any size, of which compiling is to cost as many times as much as they have nodes."""


def growth(build: Callable[[int], Built], size: int = 60) -> tuple[float, Sequence[Cost]]:
    """Give the exponent by which the cost grows with the nodes, and the costs at 1, 4 and 16 times the size."""
    costs = [cost(lambda times=times: build(times * size)) for times in (1, 4, 16)]  # type: ignore[misc]
    small, large = costs[0], costs[-1]
    return math.log(large.total / small.total) / math.log(large.nodes / small.nodes), costs


def unrolled_lstm(steps: int) -> tuple[int, float]:
    """Give the nodes of the gradient of an LSTM, and the seconds to simplify it for people."""
    with sb.Graph():
        W, U, b, h, c = sb.symbols("W[K,H] U[H,H] b[H] h[H] c[H]")
        for step in range(steps):
            a = sb.symbol(f"x{step}", "K") @ W + h @ U + b
            c = sb.sigmoid(a) * c + sb.sigmoid(a + 1) * sb.tanh(a)
            h = sb.sigmoid(a - 1) * sb.tanh(c)
        gradients = sb.grad(sb.sum(h**2), [W, U, b])
        start = time.perf_counter()
        sb.simplify(gradients)
        seconds = time.perf_counter() - start
        return len(gradients[0].graph.reachable([g.number for g in gradients])), seconds


def main() -> None:
    """Print the figures."""
    with_rules, without = rules_of_the_digits_step()
    print(f"digits step, compiled: {1e3 * with_rules:.1f} ms, of which rules {1e3 * (with_rules - without):.1f} ms")
    cost(_lstm(2), call=True)  # states the rules
    for name, (build, most) in PROBLEMS.items():
        found = cost(build, repeats=5 if most < 1 else 1, call=name.startswith("MLP"))
        print(
            f"{name}, {found.nodes} nodes: gradients {1e3 * found.grad:.1f} ms, compiled in "
            f"{1e3 * found.compile:.1f} ms, in all {found.total / most:.2f} of the {most} s that it may take"
        )
        if found.first:
            print(f"{name}, built and called once: {1e3 * sum(found[1:]):.1f} ms")
    for name, family in FAMILIES.items():
        exponent, costs = growth(family)
        each = ", ".join(f"{1e6 * one.total / one.nodes:.0f}" for one in costs)
        print(f"{name}: nodes to the power of {exponent:.2f}; {each} µs a node at 1, 4, 16 times the size")
    unrolled_lstm(1)  # imports SymPy
    for steps in (1, 4, 16):
        nodes, seconds = unrolled_lstm(steps)
        print(f"LSTM of {steps} steps, gradient of {nodes} nodes: simplified in {seconds:.2f} s")


if __name__ == "__main__":
    main()

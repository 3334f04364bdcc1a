"""What compiling costs: the share of the rewrite rules, deep networks, formulas for people."""

from __future__ import annotations

import time
from collections.abc import Callable

import symbackprop as sb
from symbackprop.rewrite import PIPELINE
from tests.benchmarks import digits_step

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


def deep_network(layers: int) -> tuple[int, float, float]:
    """Give the nodes, and the seconds to differentiate by all weights and to compile loss and gradients."""
    with sb.Graph() as graph:
        h = X = sb.symbol("X", ("N", "D"))
        weights = sb.symbols(" ".join(f"W{layer}[D,D] b{layer}[D]" for layer in range(layers)))
        for W, b in zip(weights[::2], weights[1::2], strict=True):
            h = sb.tanh(h @ W + b)
        loss = sb.mean((h - X) ** 2)
        start = time.perf_counter()
        gradients = sb.grad(loss, weights)
        middle = time.perf_counter()
        sb.compile([X, *weights], [loss, *gradients])
        return len(graph), middle - start, time.perf_counter() - middle


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
    for layers in (10, 100, 1000):
        nodes, differentiated, compiled = deep_network(layers)
        print(f"{layers} layers, {nodes} nodes: gradients {differentiated:.2f} s, compiled in {compiled:.2f} s")
    unrolled_lstm(1)  # imports SymPy
    for steps in (1, 4, 16):
        nodes, seconds = unrolled_lstm(steps)
        print(f"LSTM of {steps} steps, gradient of {nodes} nodes: simplified in {seconds:.2f} s")


if __name__ == "__main__":
    main()

"""What it costs to begin: the import, a small gradient, walks in a graph that holds much else, memory left behind."""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
from pathlib import Path

import symbackprop as sb


def import_seconds(statement: str, repeats: int = 11) -> float:
    """Give the median wall seconds of a fresh interpreter that runs one statement."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def logistic(tag: float = 0.0) -> sb.Function:
    """Build and compile a logistic regression's loss and gradient."""
    X, w, b, y = sb.symbols("X[N,D] w[D] b y[N]")
    z = X @ w + (b + tag)
    loss = sb.mean(sb.softplus(z) - y * z)
    return sb.compile([X, y, w, b], [loss, *sb.grad(loss, [w, b])])


def walk_times(others: int = 100_000, repeats: int = 40) -> tuple[float, float]:
    """Give the median seconds to differentiate and compile in an empty graph, and in one that holds other nodes."""

    def measure() -> float:
        found = []
        for _ in range(repeats):
            start = time.perf_counter()
            logistic()
            found.append(time.perf_counter() - start)
        return statistics.median(found)

    with sb.Graph():
        alone = measure()
    with sb.Graph():
        kept = sb.symbol("kept")
        for _ in range(others):
            kept = kept + 1.0
        among = measure()
        assert len(kept.graph) > others
    return alone, among


def resident_megabytes() -> float:
    """Give the memory of this process (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def left_behind(losses: int = 10_000) -> tuple[float, float]:
    """Give the megabytes that building, compiling and dropping losses leaves behind, and the seconds a loss takes."""
    for number in range(200):
        logistic(float(number))
    gc.collect()
    before, start = resident_megabytes(), time.perf_counter()
    for number in range(losses):
        logistic(float(number))
    seconds = (time.perf_counter() - start) / losses
    gc.collect()
    return resident_megabytes() - before, seconds


def main() -> None:
    """Print the figures."""
    bare = import_seconds("pass")
    for statement in ("import numpy", "import symbackprop"):
        print(f"{statement}: {import_seconds(statement) - bare:.3f} s over bare Python")
    alone, among = walk_times()
    print(f"gradient and compile: {1e3 * alone:.2f} ms alone, {1e3 * among:.2f} ms beside 100,000 other nodes")
    megabytes, seconds = left_behind()
    print(f"10,000 losses built, compiled, dropped: {megabytes:.1f} MB left behind, {1e3 * seconds:.1f} ms each")


if __name__ == "__main__":
    main()

"""Timing a row: contenders agree before they are timed, and take turns in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tests.benchmarks.speed import ours
from tests.benchmarks.speed.rows import Row, Sizes, Values
from tests.benchmarks.timing import spread, turns

Call: TypeAlias = Callable[[], Sequence[Any]]
TOLERANCE = {"float64": 1e-9, "float32": 1e-3}
OURS, FORWARD = "sb", "sb forward"


class Figures(NamedTuple):
    """What was measured of a row.

    Attributes:
        row: the row.
        seconds: the times of a call, by contender.
        hands: the contenders written by hand, the yardstick first.
        missing: why a contender has no times.
    """

    row: Row
    seconds: Mapping[str, Sequence[float]]
    hands: Sequence[str]
    missing: Mapping[str, str]

    def median(self, name: str) -> float:
        """Give the median of a contender's times."""
        return statistics.median(self.seconds[name])

    def peers(self) -> dict[str, float]:
        """Give the medians of the other libraries, the fastest first."""
        own = {OURS, FORWARD, *self.hands}
        found = {name: self.median(name) for name in self.seconds if name not in own}
        return dict(sorted(found.items(), key=lambda item: item[1]))

    def lines(self) -> Iterator[str]:
        """Give the figures for people."""
        scale = {"s": 1.0, "ms": 1e3, "µs": 1e6}[self.row.unit]
        yield f"{self.row.name}: {self.row.title}"
        base = self.median(OURS)
        for name, times in self.seconds.items():
            median = self.median(name)
            ratio = "" if name == OURS else f"   sb / {name} = {base / median:.2f}"
            yield f"  {name:<28}{scale * median:>11.4g} {self.row.unit} ±{50 * spread(times):.0f} %{ratio}"
        for name, reason in self.missing.items():
            yield f"  {name:<28}{reason}"


def disagreement(found: Sequence[Any], right: Sequence[Any], dtype: str) -> str:
    """Tell where outputs are not close to the right ones, each relative to its largest element; "" if nowhere."""
    if len(found) != len(right):
        return f"{len(found)} outputs, not {len(right)}"
    for at, (one, other) in enumerate(zip(found, right, strict=True)):
        mine, truth = np.asarray(one, np.float64), np.asarray(other, np.float64)
        if mine.shape != truth.shape:
            return f"output {at} has shape {mine.shape}, not {truth.shape}"
        error = np.abs(mine - truth).max(initial=0)
        if not error <= TOLERANCE[dtype] * np.abs(truth).max(initial=0):
            return f"output {at} is off by {error:.2g}"
    return ""


def by_hand(row: Row, values: Values, threads: int) -> dict[str, Call]:
    """Give the ways to write a row by hand, ready to be called."""
    arguments = list(values.values())
    steps = {name: make(values, threads) for name, make in row.hands.items() if threads > 1 or name != "two threads"}
    return {name: (lambda step=step: step(*arguments)) for name, step in steps.items()}


def own(row: Row, values: Values, sizes: Sizes, threads: int) -> tuple[dict[str, Call], list[str]]:
    """Give ours, the forward pass alone, and those by hand, which agree with ours; and the names of those by hand."""
    function, alone = ours.function(row, sizes), ours.forward(row, sizes)
    arguments = list(values.values())
    found: dict[str, Call] = {OURS: lambda: function(*arguments)}
    hands = by_hand(row, values, threads)
    names = {name: name if name == "hand" else f"hand, {name}" for name in hands}
    found |= {names[name]: call for name, call in hands.items()}
    truth = found[OURS]()
    for name, call in found.items():
        wrong = disagreement(call(), truth, row.dtype)
        if wrong:
            message = f"{row.name}: {OURS} and {name} disagree: {wrong}"
            raise AssertionError(message)
    found[FORWARD] = lambda: alone(*arguments)
    return found, list(names.values())


def measure(row: Row, *, threads: int = 1, rounds: int = 25, only: Collection[str] = ()) -> Figures:
    """Time the contenders of a row, or only some of them.

    One thread's work is told by the time of its processor, to which it does not matter what else the machine does.
    """
    values = row.values(row.sizes)
    contenders, hands = own(row, values, row.sizes, threads)
    if only:
        contenders = {name: call for name, call in contenders.items() if name == OURS or name in only}
    clock = time.process_time if threads == 1 else time.perf_counter
    found = turns(contenders, kept=list(contenders), rounds=rounds, clock=clock)
    return Figures(row, found, [name for name in hands if name in found], {})

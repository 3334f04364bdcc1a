"""Measuring a row: contenders agree before they are timed, and take turns in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tests.benchmarks.speed import frameworks, ours
from tests.benchmarks.speed.frameworks import FRAMEWORKS, Peer
from tests.benchmarks.speed.limits import LIMITS
from tests.benchmarks.speed.process import Alone, alone
from tests.benchmarks.speed.rows import Row, Sizes, Values
from tests.benchmarks.timing import spread, turns

TOLERANCE = {"float64": 1e-9, "float32": 1e-3}
OURS, FORWARD = "sb", "sb forward"
KINDS = ("hand", "forward", "limit", *FRAMEWORKS, "torch.compile")
UNITS = {"s": 1.0, "ms": 1e3, "µs": 1e6}


class Figures(NamedTuple):
    """What was measured of a row.

    Attributes:
        row: the row.
        seconds: the times of a call, by contender.
        alone: what contenders did in processes of their own.
        hands: the contenders written by hand, the yardstick first.
        limit: what the machine allows, a contender too; "" if there is none.
        missing: why a contender has no times.
    """

    row: Row
    seconds: Mapping[str, Sequence[float]]
    alone: Mapping[str, Alone]
    hands: Sequence[str]
    limit: str
    missing: Mapping[str, str]

    def median(self, name: str) -> float:
        """Give the median of a contender's times."""
        return statistics.median(self.seconds[name])

    def peers(self) -> dict[str, float]:
        """Give the medians of the other libraries, the fastest first."""
        own = {OURS, FORWARD, self.limit, *self.hands}
        found = {name: self.median(name) for name in self.seconds if name not in own}
        return dict(sorted(found.items(), key=lambda item: item[1]))

    def lines(self) -> Iterator[str]:
        """Give the figures for people."""
        unit = self.row.unit
        yield f"{self.row.name}: {self.row.title}"
        for name, times in self.seconds.items():
            median = self.median(name)
            ratio = "" if name == OURS else f"   sb / {name} = {self.median(OURS) / median:.2f}"
            yield f"  {name:<20}{UNITS[unit] * median:>11.4g} {unit} ±{50 * spread(times):.0f} %{ratio}"
        for name, found in self.alone.items():
            if not found.failure:
                yield (
                    f"  {name:<20}{found.seconds:>11.3f} s to build and call first; memory: "
                    f"{found.peak / 2**20:.0f} MB at the peak, {found.call / 2**20:.1f} MB for a call"
                )
        for name, reason in self.missing.items():
            yield f"  {name:<20}{reason}"


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


def builders(row: Row, sizes: Sizes, threads: int, kinds: Collection[str]) -> dict[str, Callable[[Values], Peer]]:
    """Give the contenders of some kinds, ours first, by name; each is made of values."""

    def called(function: Callable[..., Any], values: Values) -> Peer:
        arguments = list(values.values())
        return Peer(lambda: function(*arguments))

    found: dict[str, Callable[[Values], Peer]] = {OURS: lambda values: called(ours.function(row, sizes), values)}
    if "hand" in kinds:
        found |= {
            _by_hand(name): lambda values, make=make: called(make(values, threads), values)
            for name, make in row.ways(threads).items()
        }
    if "forward" in kinds:
        found[FORWARD] = lambda values: called(ours.forward(row, sizes), values)
    if "limit" in kinds and row.name in LIMITS:
        name, limit = LIMITS[row.name]
        found[name] = lambda values: Peer(limit(values))
    for way, build in frameworks.contenders(row.name, threads, kinds):
        found[way] = lambda values, build=build: build()(row, values)
    return found


def _by_hand(name: str) -> str:
    return name if name == "hand" else f"hand, {name}"


def agreeing(
    row: Row, sizes: Sizes, makers: Mapping[str, Callable[[Values], Peer]]
) -> tuple[dict[str, Callable[[], Any]], dict[str, str]]:
    """Give the contenders that agree with the first, and why others do not take part.

    Raises:
        AssertionError: one by hand does not agree with ours.
    """
    values = row.values(sizes)
    calls: dict[str, Callable[[], Any]] = {}
    missing: dict[str, str] = {}
    truth: Sequence[Any] = ()
    for name, make in makers.items():
        is_own = name == OURS or name.startswith("hand")
        partial = name == FORWARD or name in {limit for limit, _ in LIMITS.values()}
        try:
            peer = make(values)
            found = [] if partial else [np.asarray(each) for each in peer.numbers(peer.call())]
        except Exception as error:
            if is_own or partial:
                raise
            missing[name] = f"fails: {error!r:.200}"
            continue
        truth = truth or found
        wrong = "" if partial else disagreement(found, truth, row.dtype)
        if wrong and is_own:
            message = f"{row.name}: {OURS} and {name} disagree: {wrong}"
            raise AssertionError(message)
        if wrong:
            missing[name] = f"disagrees: {wrong}"
        else:
            calls[name] = peer.call
    return calls, missing


def measure(
    row: Row, *, threads: int = 1, rounds: int = 25, kinds: Collection[str] = KINDS, cold: bool = False,
    limit: float = 40.0,
) -> Figures:  # fmt: skip
    """Time the contenders of a row.

    One thread's work is told by the time of its processor, to which it does not matter what else the machine does.

    Args:
        row: the row.
        threads: of BLAS and of the contenders.
        rounds: how often each contender has its turn.
        kinds: which contenders take part beside ours.
        cold: whether ours and those by hand are started in processes of their own, too.
        limit: seconds after which a process is given up; other libraries take part if they have been ready by then.
    """
    makers = builders(row, row.sizes, threads, kinds)
    hands = [name for name in map(_by_hand, row.ways(threads)) if name in makers]
    missing = {
        name: f"is not installed ({FRAMEWORKS[name].package})"
        for name in FRAMEWORKS
        if name in kinds and not frameworks.is_installed(name)
    }
    apart: dict[str, Alone] = {}
    for name in list(makers):
        is_peer = name not in {OURS, FORWARD, *hands, LIMITS.get(row.name, ("",))[0]}
        if is_peer and not frameworks.is_installed(frameworks.library(name)):
            del makers[name]
        elif is_peer or (cold and (name == OURS or name in hands)):
            apart[name] = found = alone(row.name, name, threads=threads, limit=limit)
            if found.failure and is_peer:
                missing[name] = found.failure
                del makers[name]
    calls, others = agreeing(row, row.sizes, makers)
    clock = time.process_time if threads == 1 else time.perf_counter
    seconds = turns(calls, kept=[OURS, *hands], rounds=rounds, limit=2.0, clock=clock)
    machine_limit = next((name for name, _ in [LIMITS.get(row.name, ("", None))] if name in calls), "")
    return Figures(row, seconds, apart, hands, machine_limit, missing | others)

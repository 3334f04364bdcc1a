"""Timing contenders fairly: interleaved in one process, medians, ratios of medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence


def interleaved(
    contenders: Mapping[str, Callable[[], object]], *, rounds: int = 200, calls: int = 5
) -> dict[str, float]:
    """Give the median seconds of a call for each contender, measured in turns so that all see the same machine."""
    for contender in contenders.values():
        for _ in range(calls):
            contender()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            start = time.perf_counter()
            for _ in range(calls):
                contender()
            times[name].append((time.perf_counter() - start) / calls)
    return {name: statistics.median(found) for name, found in times.items()}


def in_turns(
    contenders: Mapping[str, Callable[[], object]],
    *,
    kept: Sequence[str] = (),
    rounds: int = 25,
    turn: float = 0.005,
    limit: float = 0.6,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Give the median seconds of a call for contenders of very different speed, measured in turns.

    Args:
        contenders: what to call.
        kept: those that take part in every round, however slow they are.
        rounds: how many rounds there are.
        turn: the seconds that a contender repeats its call for in a round, at least once.
        limit: the seconds after which a contender that is not kept leaves; it has had one round then.
        clock: tells the seconds.
    """
    calls: dict[str, int] = {}
    for name, contender in contenders.items():
        contender()
        start = clock()
        contender()
        calls[name] = 1 + int(turn / max(clock() - start, 1e-7))
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            if name not in kept and sum(times[name]) * calls[name] > limit:
                continue
            start = clock()
            for _ in range(calls[name]):
                contender()
            times[name].append((clock() - start) / calls[name])
    return {name: statistics.median(found) for name, found in times.items()}

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
    """Give the median seconds of a call for each contender, measured by `turns`, whose arguments it takes."""
    found = turns(contenders, kept=kept, rounds=rounds, turn=turn, limit=limit, clock=clock)
    return {name: statistics.median(times) for name, times in found.items()}


def turns(
    contenders: Mapping[str, Callable[[], object]],
    *,
    kept: Sequence[str] = (),
    rounds: int = 25,
    turn: float = 0.005,
    limit: float = 0.6,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Give the seconds of a call in each round, for contenders of very different speed, measured in turns.

    The order changes from round to round.

    Args:
        contenders: what to call.
        kept: those that take part in every round, however slow they are.
        rounds: how many rounds there are.
        turn: the seconds that a contender repeats its call for in a round, at least once.
        limit: the seconds after which a contender that is not kept leaves; it has had one round then.
        clock: tells the seconds.
    """

    def seconds(contender: Callable[[], object], calls: int) -> float:
        start = clock()
        for _ in range(calls):
            contender()
        return (clock() - start) / calls

    calls: dict[str, int] = {}
    for name, contender in contenders.items():
        once = seconds(contender, 1)
        calls[name] = 1 + int(turn / max(once if once > turn else seconds(contender, 3), 1e-7))
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for at in range(rounds):
        order = [*contenders][:: -1 if at % 2 else 1]  # who comes first, or after whom, matters
        for name in [*order[at % len(order) :], *order[: at % len(order)]]:
            contender = contenders[name]
            if name not in kept and sum(times[name]) * calls[name] > limit:
                continue
            if calls[name] > 1:
                contender()  # what the others have left in the caches is not its fault
            times[name].append(seconds(contender, calls[name]))
    return times


def spread(times: Sequence[float]) -> float:
    """Give the range that the middle half of the times lies in, over their median."""
    if len(times) < 3:
        return 0.0
    low, middle, high = statistics.quantiles(times, n=4)
    return (high - low) / middle

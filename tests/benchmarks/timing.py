"""Timing contenders fairly: interleaved in one process, medians, ratios of medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


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

"""A contender in a process of its own (Linux, glibc): how long it takes to be ready, how much memory it needs."""

from __future__ import annotations

import ctypes
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Alone(NamedTuple):
    """What a process found.

    Attributes:
        seconds: to build the contender and to call it once, all its imports done; nothing is cached from before.
        peak: the most memory until the third call, over that after imports and data, in bytes.
        call: the most memory of one more call, over that before it.
        failure: why there is none of these.
    """

    seconds: float = 0.0
    peak: int = 0
    call: int = 0
    failure: str = ""


def alone(row: str, contender: str, *, threads: int = 1, limit: float = 40.0, small: bool = False) -> Alone:
    """Run a contender in a process of its own, for no longer than so many seconds."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        environment = {
            **os.environ,
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads)),
            "PYTENSOR_FLAGS": f"base_compiledir={folder}",
            "NUMBA_CACHE_DIR": folder,
            "TORCHINDUCTOR_CACHE_DIR": folder,
        }
        command = [sys.executable, "-m", __name__, row, contender, str(threads), str(int(small))]
        started = time.perf_counter()
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            return Alone(failure=f"is not ready after {time.perf_counter() - started:.0f} s")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return Alone(failure=f"fails: {last:.200}")
    return Alone(**json.loads(done.stdout.strip().splitlines()[-1]))


def _memory(what: str) -> int:
    """Give the memory of this process now, or its peak (Linux)."""
    found = re.search(rf"^Vm{what}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def _memory_from_here() -> int:
    """Give what is not used back to the system, forget the peak, and give the memory of this process."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("RSS")


def _aligned(value: Any) -> Any:
    """Copy an array to a boundary of 64 bytes, so that a library may take it as it is."""
    if not isinstance(value, np.ndarray):
        return value
    room = np.empty(value.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    array = room[start : start + value.nbytes].view(value.dtype).reshape(value.shape)
    array[...] = value
    return array


def _main(row_name: str, contender: str, threads: str, small: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))  # what needs more is not to take the machine with it
    from tests.benchmarks.hessians import threads as limited  # noqa: PLC0415  (measure imports this module)
    from tests.benchmarks.speed import frameworks  # noqa: PLC0415
    from tests.benchmarks.speed.measure import KINDS, builders  # noqa: PLC0415
    from tests.benchmarks.speed.rows import ROWS  # noqa: PLC0415

    row = next(row for row in ROWS if row.name == row_name)
    sizes = row.small if int(small) else row.sizes
    with limited(int(threads)):
        make = builders(row, sizes, int(threads), KINDS)[contender]
        frameworks.imported(contender)
        values = {name: _aligned(value) for name, value in row.values(sizes).items()}
        before, start = _memory_from_here(), time.perf_counter()
        peer = make(values)
        peer.call()
        seconds = time.perf_counter() - start
        peer.call()
        peer.call()
        peak = _memory("HWM") - before
        before = _memory_from_here()
        peer.call()
        print(json.dumps(Alone(seconds, peak, _memory("HWM") - before)._asdict()))


if __name__ == "__main__":
    _main(*sys.argv[1:])

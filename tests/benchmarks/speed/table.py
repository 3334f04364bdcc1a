"""The page of figures."""

from __future__ import annotations

import inspect
import os
import platform
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tests.benchmarks.speed import frameworks
from tests.benchmarks.speed.frameworks import FRAMEWORKS
from tests.benchmarks.speed.limits import machine
from tests.benchmarks.speed.measure import FORWARD, OURS, UNITS, Figures
from tests.benchmarks.speed.rows import Row
from tests.benchmarks.timing import spread

_ABOUT = """\
# Speed

This page is written by `python -m tests.benchmarks --table`; `python -m tests.benchmarks speed --help` tells how to
measure a few rows. Other libraries are used where they are installed (jax, torch, pytensor, autograd, casadi).

- **sb** is the function that `sb.compile` makes; a call gives value and gradient unless the row says otherwise.
- **By hand** is what a careful NumPy user writes (`speed/hand.py`), and the yardstick: scratch is kept between calls,
  outputs are fresh arrays. Where a row has several, the first is the yardstick.
- **The limit** is the row's products of matrices alone, or the memory that it must touch, by the same NumPy in turns.
- A problem is written once (`speed/rows.py`); all libraries differentiate the same text, and all contenders agree on
  all outputs (float64 to 1e-9, float32 to 1e-3) before they are timed, in turns, in one process. Figures are medians,
  and ± half the range of the middle half of the rounds.
"""


def described() -> Iterator[str]:
    """Tell the machine, the versions and the date."""
    cpu = re.search(r"model name\s*:\s*(.*)", _read("/proc/cpuinfo"))
    cache = _read("/sys/devices/system/cpu/cpu0/cache/index2/size").strip()
    cores = f"{os.cpu_count()} × {cpu[1] if cpu else platform.processor()}"
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    yield f"{time.strftime('%Y-%m-%d')}; {cores}{f', {cache} of L2 each' if cache else ''}; load {load} at the start."
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    found = [f"Python {platform.python_version()}", f"NumPy {np.__version__} ({blas['name']} {blas['version']})"]
    found += [f"{name} {frameworks.version(name)}" for name in FRAMEWORKS if frameworks.is_installed(name)]
    missing = [name for name in FRAMEWORKS if not frameworks.is_installed(name)]
    yield ", ".join(found) + "." + (f" Not installed: {', '.join(missing)}." if missing else "")
    yield "The machine alone: " + ", ".join(f"{name} {value:.0f}" for name, value in machine().items()) + "."


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield ""
    yield "| " + " | ".join(head) + " |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _ratios(figures: Figures) -> list[str]:
    """Give the cells of the first table."""
    row, seconds = figures.row, figures.seconds
    base, scale = figures.median(OURS), UNITS[figures.row.unit]

    def timed(name: str) -> str:
        return f"{scale * figures.median(name):.3g} ±{50 * spread(seconds[name]):.0f} %"

    def over(name: str) -> str:
        return f"**{base / figures.median(name):.2f}**" if name in seconds else "—"

    peers = figures.peers()
    fastest = next(iter(peers), "")
    jax = min((peers[name] for name in peers if name.startswith("JAX")), default=0.0)
    others = [f"{name.removeprefix('hand, ')} {base / figures.median(name):.2f}" for name in figures.hands[1:]]
    return [
        f"{row.title} ({row.unit})",
        timed(OURS),
        timed(figures.hands[0]) if figures.hands else "—",
        " ".join([over(figures.hands[0]) if figures.hands else "—", *([f"({', '.join(others)})"] if others else [])]),
        f"{over(figures.limit)} {figures.limit}" if figures.limit else "—",
        f"{timed(fastest)} {fastest}" if fastest else "—",
        f"**{peers[fastest] / base:.2f}**" if fastest else "—",
        f"{jax / base:.2f}" if jax else "—",
        over(FORWARD).strip("*"),
    ]


_HEAD = (
    "row (unit)", "sb", "by hand", "sb / hand (others)", "sb / limit", "fastest peer", "peer / sb", "JAX / sb",
    "sb / its forward alone",
)  # fmt: skip


def _across(all_figures: Sequence[Figures], cell: Callable[[Figures, str], str], names: Sequence[str]) -> Iterator[str]:
    """Give a table with a column for each contender that has a cell."""
    cells = [[cell(figures, name) for name in names] for figures in all_figures]
    used = [at for at in range(len(names)) if any(row[at] != "—" for row in cells)]
    rows = [[figures.row.name, *(row[at] for at in used)] for figures, row in zip(all_figures, cells, strict=True)]
    yield from _markdown(["row", *(names[at] for at in used)], rows)


def _named(all_figures: Sequence[Figures]) -> list[str]:
    """Give the contenders of all rows, ours first, then those by hand."""
    ways = [way for framework in FRAMEWORKS.values() for way in framework.contenders]
    own = {name: None for figures in all_figures for name in figures.hands}
    return [OURS, *own, FORWARD, *ways]


def _time_cell(figures: Figures, name: str) -> str:
    if name in figures.seconds:
        return f"{UNITS[figures.row.unit] * figures.median(name):.3g} {figures.row.unit}"
    reason = figures.missing.get(name, "—")
    return "—" if reason.startswith("is not installed") else reason.split(":")[0]


def _cold_cell(figures: Figures, name: str) -> str:
    found = figures.alone.get(name)
    return "—" if found is None else found.failure.split(":")[0] or f"{found.seconds:.3f}"


def _memory_cell(figures: Figures, name: str) -> str:
    found = figures.alone.get(name)
    return "—" if found is None or found.failure else f"{found.peak / 2**20:.1f} ({found.call / 2**20:.1f})"


def _explained(row: Row) -> str:
    """Tell what a row is: the text that is differentiated, its sizes, and how it is written by hand."""
    sizes = ", ".join(f"{name} = {size:,}" for name, size in row.sizes.items())
    first = (inspect.getdoc(row.value) or "").split("\n\n")[0].replace("\n", " ")
    ways = {name: inspect.getdoc(make) or "" for name, make in row.hands.items()}
    hands = " ".join(
        f"By hand, {name}: {text}" if name != "hand" else f"By hand: {text}" for name, text in ways.items()
    )
    return " ".join(f"- **{row.name}** ({row.title}; {sizes}): {first} {row.note} {hands}".split())


def page(all_figures: Sequence[Figures], *, threads: int, where: Sequence[str]) -> Iterator[str]:
    """Give the lines of the page; where it was measured is what `described` tells."""
    yield _ABOUT
    yield from where
    clock = "the processor's time" if threads == 1 else "wall time"
    yield ""
    yield f"## Ratios, {threads} thread{'s' if threads > 1 else ''} ({clock})"
    yield from _markdown(_HEAD, [_ratios(figures) for figures in all_figures])
    yield ""
    yield "## All contenders"
    names = _named(all_figures)
    yield from _across(all_figures, _time_cell, names)
    yield ""
    yield "## Building and calling once, in a process of its own, after imports (s)"
    yield from _across(all_figures, _cold_cell, names)
    yield ""
    yield "## Peak memory in that process over imports and data (and that of one more call), MB"
    yield from _across(all_figures, _memory_cell, names)
    yield ""
    yield "## The rows"
    yield ""
    yield from (_explained(figures.row) for figures in all_figures)


def default_path(threads: int) -> Path:
    """Tell where the page stands: one for each number of threads."""
    return Path(__file__).parents[1] / ("README.md" if threads == 1 else f"on_{threads}_threads.md")


def write(measured: Iterator[Figures], *, threads: int, path: Path) -> None:
    """Write the page, after each row: who stops early has the rows before."""
    where, found = list(described()), []
    for figures in measured:
        found.append(figures)
        path.write_text("\n".join(page(found, threads=threads, where=where)) + "\n", encoding="utf-8")

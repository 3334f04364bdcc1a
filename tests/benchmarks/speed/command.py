"""The speed of generated code, row by row, against NumPy by hand, other libraries and the machine."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.benchmarks.hessians import threads
from tests.benchmarks.speed import ours, table
from tests.benchmarks.speed.measure import KINDS, Figures, measure
from tests.benchmarks.speed.rows import ROWS

NAMES = [row.name for row in ROWS]
DEFAULT = [kind for kind in KINDS if kind != "torch.compile"]


def parser() -> argparse.ArgumentParser:
    """Give the options."""
    made = argparse.ArgumentParser(prog="python -m tests.benchmarks speed", description=__doc__)
    made.add_argument("--rows", nargs="+", metavar="ROW", choices=NAMES, default=NAMES, help=", ".join(NAMES))
    made.add_argument(
        "--contenders", nargs="*", metavar="KIND", choices=KINDS, default=DEFAULT,
        help=f"beside sb: {', '.join(KINDS)}; all but the last unless said",
    )  # fmt: skip
    made.add_argument("--rounds", type=int, default=25, help="how often each contender has its turn")
    made.add_argument("--threads", type=int, default=1, help="of all; with 1 the processor's time is told")
    made.add_argument("--limit", type=float, default=40.0, help="seconds for another library to be ready")
    made.add_argument("--cold", action="store_true", help="start ours and those by hand in their own processes, too")
    made.add_argument("--source", action="store_true", help="print what is generated, too")
    made.add_argument("--table", action="store_true", help="write the page, with --cold")
    made.add_argument("--path", type=Path, help="where to; beside the suites unless said")
    return made


def _measured(options: argparse.Namespace) -> Iterator[Figures]:
    for row in ROWS:
        if row.name in options.rows:
            if options.source:
                function = ours.function(row, row.sizes)
                function(*row.values(row.sizes).values())  # which learns the sizes
                print(function.source)
            figures = measure(
                row, threads=options.threads, rounds=options.rounds, kinds=options.contenders,
                cold=options.cold or options.table, limit=options.limit,
            )  # fmt: skip
            print(*figures.lines(), sep="\n", flush=True)
            yield figures


def main(arguments: Sequence[str] = ()) -> None:
    """Print the figures, or write them to the page, too."""
    options = parser().parse_args(arguments)
    with threads(options.threads):
        measured = _measured(options)
        if options.table:
            table.write(measured, threads=options.threads, path=options.path or table.default_path(options.threads))
        else:
            list(measured)

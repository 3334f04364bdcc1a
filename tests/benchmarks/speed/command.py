"""The command line of the speed suite."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tests.benchmarks.hessians import threads
from tests.benchmarks.speed.measure import measure
from tests.benchmarks.speed.rows import ROWS


def parser() -> argparse.ArgumentParser:
    """Give the options."""
    made = argparse.ArgumentParser(prog="python -m tests.benchmarks speed", description=__doc__)
    names = [row.name for row in ROWS]
    made.add_argument("--rows", nargs="+", metavar="ROW", choices=names, default=names, help=", ".join(names))
    made.add_argument("--rounds", type=int, default=25, help="how often each contender has its turn")
    made.add_argument("--threads", type=int, default=1, help="of BLAS and of the contenders; 1: the processor's time")
    made.add_argument("--contenders", nargs="+", metavar="NAME", default=[], help="beside sb, only these, such as hand")
    made.add_argument("--source", action="store_true", help="print what is generated, too")
    return made


def main(arguments: Sequence[str] = ()) -> None:
    """Print the figures."""
    options = parser().parse_args(arguments)
    with threads(options.threads):
        for row in ROWS:
            if row.name in options.rows:
                if options.source:
                    from tests.benchmarks.speed.ours import function  # noqa: PLC0415  (only here)

                    print(function(row, row.sizes).source)
                figures = measure(row, threads=options.threads, rounds=options.rounds, only=options.contenders)
                print(*figures.lines(), sep="\n", flush=True)

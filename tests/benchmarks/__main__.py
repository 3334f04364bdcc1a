"""Run all benchmarks: ``python -m tests.benchmarks``."""

from tests.benchmarks import digits_step, start

start.main()
digits_step.main()

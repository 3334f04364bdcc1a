"""Run all benchmarks: ``python -m tests.benchmarks``."""

from tests.benchmarks import compile_time, digits_step, hessians, start

start.main()
compile_time.main()
digits_step.main()
hessians.main()

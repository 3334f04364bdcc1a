"""Run all benchmarks: ``python -m tests.benchmarks``."""

from tests.benchmarks import compile_time, digits_step, hessians, products, start

start.main()
compile_time.main()
digits_step.main()
products.main()
hessians.main()

"""Figures of speed; run all with ``python -m tests.benchmarks``. They are no tests: machines are noisy."""

"""How fast generated code is: against NumPy written with care by hand, other libraries, and the machine.

``python -m tests.benchmarks speed`` prints ratios; ``… speed --rows mlp chain`` those of a few rows in seconds.
"""

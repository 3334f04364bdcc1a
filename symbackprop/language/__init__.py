"""The language of formulas, read without running anything: Python's spelling and the notation that is printed.

`vocabulary` has the words and signs, `tokens` splits a text, `grammar` makes a tree of it, `evaluation` an expression.
Operators and functions build nodes: nothing is computed, so ``9**9**9`` costs nothing.
"""

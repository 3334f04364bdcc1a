"""Functions written for numbers are run on symbols: stand-ins for what takes numbers alone.

What takes an array NumPy hands over to expressions, and SciPy its ufuncs. For the rest a function is run as a copy,
in which what makes arrays, SciPy's functions that are written in Python, `math`, and Python's `max`, `min` and `float`
take expressions too, and ``==`` compares elements.
"""

from symbackprop.stand_in.copies import on_symbols

__all__ = ["on_symbols"]

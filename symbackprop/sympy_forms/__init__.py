"""SymPy both ways: its expressions become ours, and ours become its."""

from symbackprop.sympy_forms.read import from_sympy
from symbackprop.sympy_forms.write import to_sympy

__all__ = ["from_sympy", "to_sympy"]

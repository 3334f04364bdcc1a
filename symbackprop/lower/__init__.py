"""Lowering: from expressions to a program of named values, to NumPy source, to a function."""

from symbackprop.lower.function import Function, compile
from symbackprop.lower.patterns import Sparsity, sparsity
from symbackprop.lower.structured import Structured

__all__ = ["Function", "Sparsity", "Structured", "compile", "sparsity"]

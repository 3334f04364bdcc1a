"""Lowering: from expressions to a program of named values, to NumPy source, to a function."""

from symbackprop.lower.function import Function, compile
from symbackprop.lower.structured import Structured

__all__ = ["Function", "Structured", "compile"]

"""Lowering: from expressions to a program of named values, to NumPy source, to a function."""

from symbackprop.lower.function import Function, compile

__all__ = ["Function", "compile"]

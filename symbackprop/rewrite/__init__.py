"""Rewriting: rules that keep the value, passes made of them, and the pipelines of `compile` and `simplify`."""

from symbackprop.rewrite.pipeline import FORMULA, PIPELINE, RULES, simplify

__all__ = ["FORMULA", "PIPELINE", "RULES", "simplify"]

"""Rewriting: rules that keep the value, passes made of them, and the pipelines of `compile` and `simplify`."""

from symbackprop.rewrite.pipeline import FORMULA, PIPELINE, every_rule, simplify

__all__ = ["FORMULA", "PIPELINE", "every_rule", "simplify"]

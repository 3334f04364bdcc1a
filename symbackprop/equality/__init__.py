"""Are two expressions equal? `same` answers with a proof, with evidence, or with a counterexample."""

from symbackprop.equality.answer import Comparison, UndecidedError, same

__all__ = ["Comparison", "UndecidedError", "same"]

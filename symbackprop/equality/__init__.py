"""Are two expressions equal? `same` answers with a proof, with evidence, or with a counterexample."""

from symbackprop.equality.answer import Comparison, UndecidedError
from symbackprop.equality.compare import same

__all__ = ["Comparison", "UndecidedError", "same"]

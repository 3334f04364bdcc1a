"""Linear algebra by NumPy's and SciPy's names, collected here from the files of its families.

>>> import symbackprop as sb
>>> X = sb.symbol("X", ("N", "N"))
>>> print(sb.grad(sb.linalg.slogdet(X).logabsdet, X))
X⁻ᵀ
"""

from symbackprop.ops import determinants, diagonals, factor, linalg_products, matrix_function, norms, systems
from symbackprop.ops.determinants import *  # noqa: F403  (its __all__)
from symbackprop.ops.diagonals import *  # noqa: F403  (its __all__)
from symbackprop.ops.factor import *  # noqa: F403  (its __all__)
from symbackprop.ops.linalg_products import *  # noqa: F403  (its __all__)
from symbackprop.ops.matrix_function import *  # noqa: F403  (its __all__)
from symbackprop.ops.norms import *  # noqa: F403  (its __all__)
from symbackprop.ops.systems import *  # noqa: F403  (its __all__)

FAMILIES = (systems, determinants, matrix_function, factor, diagonals, norms, linalg_products)
"""The files, in the order in which the table has their operations."""

__all__ = [name for family in FAMILIES for name in family.__all__]
__all__.sort()

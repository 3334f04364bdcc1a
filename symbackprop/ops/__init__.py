"""The operations, each told in one statement: by NumPy's names, collected here from the files of their families."""

from symbackprop.op import CONSTANT, Op
from symbackprop.ops import (
    accurate,
    arrange,
    at,
    contract,
    create,
    elementwise,
    gather,
    index,
    layout,
    leaf,
    linalg,
    nan_reductions,
    numbers,
    order,
    padding,
    products,
    reduce,
    scan,
    selection,
    special,
    statistics,
    window,
)
from symbackprop.ops import protocols as protocols  # what NumPy's protocols ask here
from symbackprop.ops.arrange import *  # noqa: F403  (its __all__)
from symbackprop.ops.contract import *  # noqa: F403  (its __all__)
from symbackprop.ops.create import *  # noqa: F403  (its __all__)
from symbackprop.ops.elementwise import *  # noqa: F403  (its __all__)
from symbackprop.ops.gather import *  # noqa: F403  (its __all__)
from symbackprop.ops.index import *  # noqa: F403  (its __all__)
from symbackprop.ops.layout import *  # noqa: F403  (its __all__)
from symbackprop.ops.leaf import *  # noqa: F403  (its __all__)
from symbackprop.ops.nan_reductions import *  # noqa: F403  (its __all__)
from symbackprop.ops.numbers import *  # noqa: F403  (its __all__)
from symbackprop.ops.order import *  # noqa: F403  (its __all__)
from symbackprop.ops.padding import *  # noqa: F403  (its __all__)
from symbackprop.ops.products import *  # noqa: F403  (its __all__)
from symbackprop.ops.reduce import *  # noqa: F403  (its __all__)
from symbackprop.ops.scan import *  # noqa: F403  (its __all__)
from symbackprop.ops.selection import *  # noqa: F403  (its __all__)
from symbackprop.ops.special import *  # noqa: F403  (its __all__)
from symbackprop.ops.statistics import *  # noqa: F403  (its __all__)
from symbackprop.ops.window import *  # noqa: F403  (its __all__)

_FAMILIES = (
    leaf,
    elementwise,
    numbers,
    special,
    accurate,
    reduce,
    layout,
    contract,
    products,
    index,
    gather,
    at,
    statistics,
    scan,
    nan_reductions,
    window,
    arrange,
    padding,
    create,
    order,
    selection,
)

TABLE: tuple[Op, ...] = (
    CONSTANT,
    *dict.fromkeys(
        op
        for family in (*_FAMILIES, *linalg.FAMILIES)
        for op in vars(family).values()
        if isinstance(op, Op) and op is not CONSTANT
    ),
)
"""Every operation there is, in the order of the files."""

__all__ = [name for family in _FAMILIES for name in family.__all__]

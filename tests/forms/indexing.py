"""Indexing: slices, ints, arrays of integers, masks; functional writes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.forms import Form, form, ints

_MASK = np.array([True, False, True, True])
_MASK2 = np.array([[True, False, True, True], [False, True, False, True], [True, True, False, False]])
_ROWS, _COLUMNS = np.array([0, 2, 2]), np.array([1, -1, 1])

_BASIC = (
    form("x[0]", x=(3,)),
    form("x[-1]", x=(3, 2)),
    form("x[1:]", x=(4, 2)),
    form("x[:-1]", x=(4,)),
    form("x[::2]", x=(5,)),
    form("x[1::2, ::-1]", x=(5, 3)),
    form("x[::-1]", x=(4,)),
    form("x[::-2]", x=(5, 2)),
    form("x[5:1:-2]", x=(7,)),
    form("x[-2::-1]", x=(4,)),
    form("x[2:2]", x=(4,)),
    form("x[:, 1]", x=(2, 3)),
    form("x[..., 0]", x=(2, 3, 4)),
    form("x[1, ..., -1]", x=(2, 3, 4)),
    form("x[None]", x=(3,)),
    form("x[:, None]", x=(3,)),
    form("x[None, ..., 0]", x=(2, 3)),
    form("x[..., None]", x=(2, 3)),
    form("x[:, None, 1:, None]", x=(2, 3)),
    form("x[...]", x=(2, 3)),
    form("x[()]", x=(2,)),
    form("x[1, 2]", x=(2, 3)),
    form("x[np.int64(1)]", x=(2, 3)),
    form("x[1:] - x[:-1]", x=(5,)),
)
_ARRAYS = (
    form("x[[0, 2, 0]]", x=(3,)),
    form("x[[0, 2, 0]]", x=(3, 2)),
    form("x[[-1, 1, -3]]", x=(4, 2)),
    form("x[:, [1, 0]]", x=(3, 2)),
    form("x[:, [1, 0, 1], None]", x=(3, 2)),
    form("x[..., [2, 0]]", x=(2, 3, 4)),
    form("x[[1, 0], ..., [2, 2]]", x=(2, 3, 4)),
    form("x[[1, 0], :, [2, 2]]", x=(2, 3, 4)),
    form("x[:, [1, 0], [2, 2]]", x=(2, 3, 4)),
    form("x[:, [1, 0], ..., [2, 2]]", x=(2, 3, 4)),
    form("x[0, :, [2, 1]]", x=(2, 3, 4)),
    form("x[:, 0, [2, 1]]", x=(2, 3, 4)),
    form("x[[1, 0], None, [2, 2]]", x=(2, 3, 4)),
    form("x[None, [1, 0], 1:, None]", x=(2, 3, 4)),
    form("x[[[0, 1], [2, 0]]]", x=(3, 2)),
    form("x[[[0, 1], [2, 0]], [1, 0]]", x=(3, 2)),
    form("x[::-1, [0, 0, 1]]", x=(3, 2)),
    form("x[1:, [1, 0]]", x=(4, 3)),
    form("x[[]]", x=(3, 2)),
    form("x[range(1, 3)]", x=(4,)),
    form("x[[0, 1], [1, 1]] ** 2", x=(3, 2)),
    form("x[r, c]", x=(3, 3), r=_ROWS, c=_COLUMNS),
    form("x[r[:, None], c]", x=(3, 3), r=_ROWS, c=_COLUMNS),
    form("x[np.ix_([0, 2], [1, 0])]", x=(3, 2)),
    form("x[np.triu_indices(3)]", x=(3, 3)),
    form("x[np.tril_indices(3, -1)]", x=(3, 3)),
    form("x[np.diag_indices(3)]", x=(3, 3)),
    form("x[np.arange(3), [1, 0, 1]]", x=(3, 2)),
    form("x[np.unravel_index([1, 5], (3, 2))]", x=(3, 2)),
    form("np.sum(x[[0, 2, 2]] * y)", x=(4,), y=(3,), named=False),
)
_SYMBOLS = (
    form("x[i]", x=(4,), i=ints((3,), -4, 4)),
    form("x[i]", x=(4,), i=ints((), 0, 4)),
    form("x[i]", x=(4, 2), i=ints((), -4, 4)),
    form("x[i]", x=(5, 2), i=ints((3,), 0, 5)),
    form("x[i]", x=(5, 2), i=ints((3, 4), -5, 5)),
    form("x[:, i]", x=(2, 5), i=ints((3,), 0, 5)),
    form("x[i, 1:]", x=(5, 3), i=ints((4,), 0, 5)),
    form("x[i, ::-1]", x=(5, 3), i=ints((4,), 0, 5)),
    form("x[i, None]", x=(5, 3), i=ints((4,), 0, 5)),
    form("x[..., i]", x=(2, 3, 5), i=ints((4,), -5, 5)),
    form("x[i, j]", x=(5, 3), i=ints((4,), 0, 5), j=ints((4,), 0, 3)),
    form("x[i[:, None], j]", x=(5, 3), i=ints((4,), 0, 5), j=ints((2,), 0, 3)),
    form("x[i, :, j]", x=(5, 2, 3), i=ints((4,), 0, 5), j=ints((4,), 0, 3)),
    form("x[i, 0]", x=(5, 3), i=ints((4,), 0, 5)),
    form("x[np.arange(4), i]", x=(4, 3), i=ints((4,), 0, 3), named=False),
    form("x[i, [0, 1, 0]]", x=(5, 2), i=ints((3,), 0, 5), named=False),
    form("x[0, i, j]", x=(2, 5, 3), i=ints((), 0, 5), j=ints((), 0, 3)),
    form("x[i[1:]] - x[i[:-1]]", x=(5,), i=ints((4,), 0, 5)),
    form("(x @ y)[i]", x=(5, 3), y=(3, 2), i=ints((4,), 0, 5)),
    form("x[i] * y[j]", x=(5,), y=(3,), i=ints((4,), 0, 5), j=ints((4,), 0, 3)),
    form("x[i][j]", x=(5,), i=ints((4,), 0, 5), j=ints((2,), 0, 4)),
)
_MASKS = (
    form("x[m]", x=(4,), m=_MASK, named=False),
    form("x[m]", x=(4, 2), m=_MASK, named=False),
    form("x[:, m]", x=(3, 4), m=_MASK, named=False),
    form("x[m]", x=(3, 4), m=_MASK2, named=False),
    form("x[m, 1:]", x=(4, 3), m=_MASK, named=False),
    form("x[..., ~m]", x=(2, 3, 4), m=_MASK, named=False),
    form("x[[True, False, True, True]]", x=(4,), named=False),
    form("x[m, [0, 1, 0]]", x=(4, 2), m=_MASK, named=False),
    form("x[np.nonzero(m)]", x=(4, 2), m=_MASK),
)


_UFUNCS = {
    "add": "add",
    "subtract": "subtract",
    "multiply": "multiply",
    "divide": "divide",
    "max": "maximum",
    "min": "minimum",
}


def _write(text: str, *, named: bool = True, **operands: Any) -> Form:
    """State a functional write: ``index how values``; the truth is told by NumPy, which writes into a copy."""
    index, how, values = text.split(" | ")
    done = (
        f"out.__setitem__(np.s_[{index}], {values})"
        if how == "set"
        else f"np.{_UFUNCS[how]}.at(out, np.s_[{index}], {values})"
    )
    truth = f"(lambda out: ({done}, out)[1])(x.copy())"
    return form(f"x.at[{index}].{how}({values})", truth=truth, named=named, **operands)


_WRITES = (
    _write("0 | set | v", x=(4,), v=()),
    _write("-1 | set | v", x=(4, 2), v=(2,)),
    _write("::2 | set | v", x=(4,), v=(2,), named=False),
    _write("... | set | v", x=(2, 3), v=(3,)),
    _write("1:, None | set | v", x=(3, 2), v=(2,)),
    _write("[0, 2] | set | v", x=(3,), v=(2,), named=False),
    _write("[1, 1, 0, 1] | set | v", x=(3,), v=(4,), named=False),
    _write("i | set | v", x=(5,), v=(), i=ints((), 0, 5)),
    _write("i | set | v", x=(5,), v=(4,), i=ints((4,), -5, 5)),
    _write("i | set | v", x=(5, 2), v=(4, 2), i=ints((4,), -5, 5)),
    _write("i | set | 0", x=(5, 2), i=ints((4,), -5, 5)),
    _write("i, j | set | v", x=(5, 3), v=(4,), i=ints((4,), 0, 5), j=ints((4,), 0, 3)),
    _write(":, i | set | v", x=(2, 5), v=(4,), i=ints((4,), 0, 5)),
    _write("m | set | 0", x=(4,), m=_MASK, named=False),
    _write("m | set | v", x=(4,), v=(3,), m=_MASK, named=False),
    _write("m | set | v", x=(4, 2), v=(2,), m=_MASK, named=False),
    _write("1: | add | v", x=(4,), v=(3,), named=False),
    _write(":, 0 | add | v", x=(4, 2), v=(4,)),
    _write("::-1 | add | v", x=(4,), v=(4,)),
    _write("i | add | v", x=(5,), v=(4,), i=ints((4,), -5, 5)),
    _write("i | add | v", x=(5, 2), v=(4, 2), i=ints((4,), -5, 5)),
    _write("i | add | v", x=(5, 2), v=(2,), i=ints((4,), -5, 5)),
    _write("i | add | 1", x=(5,), i=ints((4,), -5, 5)),
    _write(":, i | add | v", x=(2, 5), v=(2, 4), i=ints((4,), 0, 5)),
    _write("i, j | add | v", x=(5, 3), v=(4,), i=ints((4,), 0, 5), j=ints((4,), 0, 3)),
    _write("i, :, j | add | v", x=(5, 2, 3), v=(4, 2), i=ints((4,), 0, 5), j=ints((4,), 0, 3)),
    _write("r, c | add | v", x=(3, 3), v=(3,), r=_ROWS, c=_COLUMNS, named=False),
    _write("..., 0 | subtract | v", x=(2, 3), v=(2,)),
    _write("i | subtract | v", x=(5,), v=(4,), i=ints((4,), -5, 5)),
    _write(":, 1 | multiply | v", x=(3, 2), v=(3,)),
    _write("[2, 0] | multiply | v", x=(3,), v=(2,), named=False),
    form("x.at[1].divide(v)", truth="np.divide(x, np.stack([np.ones_like(v), v]), out=x.copy())", x=(2, 3), v=(3,)),
    _write("1: | max | v", x=(4,), v=()),
    _write("i | max | v", x=(5,), v=(4,), i=ints((4,), -5, 5)),
    _write("i | max | v", x=(5, 2), v=(4, 2), i=ints((4,), -5, 5)),
    _write(":2 | min | v", x=(4,), v=(2,), named=False),
    _write("i, j | min | v", x=(5, 3), v=(4,), i=ints((4,), 0, 5), j=ints((4,), 0, 3)),
    form("x.at[i].get()", truth="x[i]", x=(5,), i=ints((4,), 0, 5)),
)

FORMS = (*_BASIC, *_ARRAYS, *_SYMBOLS, *_MASKS, *_WRITES)

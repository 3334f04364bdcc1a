"""Functions of each element."""

from __future__ import annotations

from tests.forms import bools, floats, form, ints

FORMS = (
    form("np.exp(x)", x=(2, 3)),
    form("2 - x", x=(3,)),
    form("np.arctanh(x)", x=floats((3,), -0.7, 0.7)),
    form("np.where(m, x, 0)", m=bools((3,)), x=(3,)),
    form("x * i", x=(3,), i=ints((2, 1), 1, 4)),
    form("np.logaddexp(x, y)", x=(2, 3), y=(3,)),
)

"""Methods of ufuncs, their keywords, and operators with arrays on the left."""

from __future__ import annotations

import numpy as np

from tests.forms import bools, floats, form, ints

A = np.array([[0.5, 1.5, 2.5], [1.0, 0.25, 3.0]])

FORMS = (
    form("np.add.reduce(x)", x=(2, 3)),
    form("np.add.reduce(x, axis=None)", x=(2, 3)),
    form("np.add.reduce(x, 1, keepdims=True)", x=(2, 3)),
    form("np.add.reduce(x, axis=(0, 2))", x=(2, 3, 4)),
    form("np.multiply.reduce(x, axis=1)", x=(2, 3)),
    form("np.maximum.reduce(x)", x=(2, 3)),
    form("np.minimum.reduce(x, axis=-1)", x=(2, 3)),
    form("np.logical_and.reduce(b)", b=bools((2, 3)), differentiable=False),
    form("np.logical_or.reduce(b, axis=None)", b=bools((2, 3)), differentiable=False),
    form("np.subtract.reduce(x)", x=(2, 3), named=False),
    form("np.divide.reduce(x, axis=1)", x=(2, 3), named=False),
    form("np.add.accumulate(x)", x=(2, 3)),
    form("np.logical_or.accumulate(x > 1)", x=(2, 3), differentiable=False, named=False),
    form("np.logical_and.accumulate(k)", k=ints((2, 3)), differentiable=False, named=False),
    form("np.bitwise_or.reduce(k)", k=ints((2, 3)), differentiable=False, named=False),
    form("np.logical_xor.reduce(k)", k=ints((1, 3)), differentiable=False),
    form("np.add.reduce(x, dtype=np.int32)", x=(2, 3), differentiable=False),
    form("np.add.reduce(k, dtype=np.int32)", k=ints((2, 3)), differentiable=False),
    form("np.add.accumulate(k, dtype=np.int32)", k=ints((2, 3)), differentiable=False),
    form("np.add.accumulate(x, axis=1)", x=(2, 3)),
    form("np.multiply.accumulate(x, axis=1)", x=(2, 3)),
    form("np.maximum.accumulate(x, axis=1)", x=(2, 3)),
    form("np.multiply.outer(x, y)", x=(2,), y=(3,)),
    form("np.subtract.outer(x, y)", x=(2, 3), y=(2,)),
    form("np.maximum.outer(x, y)", x=(2,), y=floats((3,), 1.8, 2.5)),
    form("np.less.outer(x, y)", x=(2,), y=(3,), differentiable=False),
    form("np.add(x, y, dtype=np.float64)", x=(2, 3), y=(3,)),
    form("np.multiply(x, 2, where=True)", x=(2, 3)),
    form("np.exp(x, out=None)", x=(2, 3)),
    form("np.sum(x, 0, None, None, True)", x=(2, 3)),
    form("np.sum(x, axis=1, dtype=np.float64)", x=(2, 3)),
    form("a - x", a=A, x=(2, 3), named=False),
    form("a / x", a=A, x=(2, 3), named=False),
    form("a @ x", a=A, x=(3, 2), named=False),
    form("a**x", a=A, x=(2, 3), named=False),
    form("a < x", a=A, x=(2, 3), differentiable=False, named=False),
    form("np.float64(2) - x", x=(2, 3)),
    form("[1, 2, 3] * x", x=(2, 3), named=False),
    form("np.concatenate([a, x])", a=A, x=(2, 3), named=False),
    form("divmod(x, 2)[1]", x=floats((2, 3), 0.3, 1.7)),
    form("np.size(x) * x", x=(2, 3)),
    form("np.shape(x)[0] * x", x=(2, 3)),
    form("x.sum() / x.size", x=(2, 3)),
    form("k[np.newaxis] + np.ndim(x) * x", k=ints((3,), 0, 5), x=(2, 3)),
)

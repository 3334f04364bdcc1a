"""The operations, each told in one statement: by NumPy's names, collected here from the files of their families."""

from symbackprop.op import CONSTANT, Op
from symbackprop.ops import contract, elementwise, index, layout, leaf, reduce
from symbackprop.ops.contract import matmul
from symbackprop.ops.elementwise import (
    abs,  # noqa: A004  (NumPy's name, like several below)
    add,
    astype,
    clip,
    cos,
    divide,
    equal,
    erf,
    exp,
    expm1,
    floor_divide,
    greater,
    greater_equal,
    leaky_relu,
    less,
    less_equal,
    log,
    log1p,
    logical_and,
    logical_not,
    logical_or,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    power,
    prelu,
    relu,
    remainder,
    sigmoid,
    sign,
    sin,
    softplus,
    sqrt,
    square,
    step,
    subtract,
    tanh,
    where,
)
from symbackprop.ops.index import concatenate, getitem, stack
from symbackprop.ops.layout import (
    broadcast_to,
    expand_dims,
    ones_like,
    reshape,
    squeeze,
    transpose,
    zeros_like,
)
from symbackprop.ops.leaf import as_expr, constant, size_of, symbol, symbols
from symbackprop.ops.reduce import (
    log_softmax,
    logsumexp,
    max,  # noqa: A004
    mean,
    min,  # noqa: A004
    prod,
    softmax,
    sum,  # noqa: A004
)

TABLE: tuple[Op, ...] = (
    CONSTANT,
    *dict.fromkeys(
        op
        for family in (leaf, elementwise, reduce, layout, contract, index)
        for op in vars(family).values()
        if isinstance(op, Op) and op is not CONSTANT
    ),
)
"""Every operation there is, in the order of the files."""

__all__ = [
    "TABLE",
    "abs",
    "add",
    "as_expr",
    "astype",
    "broadcast_to",
    "clip",
    "concatenate",
    "constant",
    "cos",
    "divide",
    "equal",
    "erf",
    "exp",
    "expand_dims",
    "expm1",
    "floor_divide",
    "getitem",
    "greater",
    "greater_equal",
    "leaky_relu",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log_softmax",
    "logical_and",
    "logical_not",
    "logical_or",
    "logsumexp",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "multiply",
    "negative",
    "not_equal",
    "ones_like",
    "power",
    "prelu",
    "prod",
    "relu",
    "remainder",
    "reshape",
    "sigmoid",
    "sign",
    "sin",
    "size_of",
    "softmax",
    "softplus",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "step",
    "subtract",
    "sum",
    "symbol",
    "symbols",
    "tanh",
    "transpose",
    "where",
    "zeros_like",
]

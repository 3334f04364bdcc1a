"""Forward propagation through the graph (Algorithm 6.1): the values of nodes, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from symbackprop import dims
from symbackprop.dims import Dim
from symbackprop.errors import ArgumentError, DtypeError, ShapeError
from symbackprop.expr import Expr, common_graph
from symbackprop.op import Array, Op


def bind_sizes(values: Mapping[Expr, Any]) -> dict[str, int]:
    """Give the named sizes from the arrays that stand for symbols.

    Raises:
        ShapeError: an array does not have its symbol's shape, or two arrays disagree on a size.
    """
    sizes: dict[str, int] = {}
    seen: dict[str, str] = {}
    for expr, value in values.items():
        shape = np.shape(value)
        if len(shape) != expr.ndim:
            msg = f"{expr.describe()}: the array has {len(shape)} axes, not {expr.ndim}: shape {shape}"
            raise ShapeError(msg)
        for axis, (size, found) in enumerate(zip(expr.shape, shape, strict=True)):
            if isinstance(size, Dim) and size.name is not None:
                if sizes.setdefault(size.name, found) != found:
                    first = seen[size.name]
                    what = f"{expr.describe()}: {size} = {found} on axis {axis}"
                    msg = f"{what}, but {size} = {sizes[size.name]} in {first}"
                    raise ShapeError(msg)
                seen.setdefault(size.name, expr.describe())
    for expr, value in values.items():
        if dims.names_of(expr.shape) <= sizes.keys() and dims.bind(expr.shape, sizes) != np.shape(value):
            msg = f"{expr.describe()}: the array has shape {np.shape(value)}, not {dims.bind(expr.shape, sizes)}"
            raise ShapeError(msg)
    return sizes


def propagate(outputs: Sequence[Expr], values: Mapping[Expr, Any]) -> tuple[dict[int, Any], dict[str, int]]:
    """Give the values of all the nodes that the outputs are computed from, each computed once, and the sizes."""
    keys: list[object] = list(values)  # who has no type checker may give values by name
    strangers = [key for key in keys if not isinstance(key, Expr)]
    if strangers:
        msg = f"evaluate: the values are given by expression, as in {{x: 1.0}}, not by {strangers[0]!r}"
        raise ArgumentError(msg)
    for expr in outputs:
        if not isinstance(expr, Expr):
            msg = f"evaluate takes one expression, not {type(expr).__name__}"  # type: ignore[unreachable]
            raise ArgumentError(msg)
    graph = common_graph([*outputs, *values], "evaluate")
    sizes = bind_sizes(values)
    known = {expr.number: _as_dtype(expr, value) for expr, value in values.items()}
    for number in graph.reachable([expr.number for expr in outputs], known=known):
        if number in known:
            continue
        node = graph.nodes[number]
        if node.op.name == "symbol":
            msg = f"evaluate: no value for the symbol {Expr(graph, number).describe()}"
            raise ArgumentError(msg)
        wanted = dims.bind(node.shape, sizes) if dims.names_of(node.shape) <= sizes.keys() else None
        if wanted and min(wanted) < 0:
            msg = f"evaluate: {Expr(graph, number).describe()} would have the shape {wanted}"
            raise ShapeError(msg)
        try:
            found = value_of(node.op, [known[operand] for operand in node.inputs], node.params, node.dtype, sizes)
        except ShapeError as error:
            msg = f"evaluate: {Expr(graph, number).describe()}: {error}"
            raise ShapeError(msg) from None
        if wanted not in {None, found.shape}:
            msg = f"evaluate: {Expr(graph, number).describe()} has shape {found.shape}, not {wanted}"
            raise ShapeError(msg)
        known[number] = found
    return known, sizes


def _as_dtype(expr: Expr, value: Any) -> Any:
    """Convert an array to the dtype of its symbol; bools and ints are floats too, but not the other way round."""
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        msg = f"{expr.describe()}: {error}"
        raise ShapeError(msg) from None
    order = "buif"
    if array.dtype.kind not in order:
        msg = f"{expr.describe()}: the value is no array of numbers but {type(value).__name__} of dtype {array.dtype}"
        raise DtypeError(msg)
    if array.size and order.find(array.dtype.kind) > order.find(expr.dtype.kind.replace("u", "i")):
        msg = f"{expr.describe()}: the array has dtype {array.dtype}, not {expr.dtype}"
        raise DtypeError(msg)
    return array.astype(expr.dtype)[()]


def value_of(
    op: Op, operands: Sequence[Any], params: Mapping[str, Any], dtype: np.dtype[Any], sizes: Mapping[str, int]
) -> Any:
    """Compute one operation; named sizes in its parameters are replaced by numbers."""
    if "value" in params:
        return params["value"].array[()]
    for param in params.values():
        missing = dims.names_of(_flat(param)) - sizes.keys()
        if missing:
            msg = f"no array tells the size {min(missing)}, which {op.name} needs"
            raise ShapeError(msg)
    return np.asarray(op.evaluate(*operands, sizes=sizes, **params), dtype=dtype)[()]


def _flat(param: Any) -> list[Any]:
    return [leaf for part in param for leaf in _flat(part)] if isinstance(param, tuple) else [param]


def evaluate(expr: Expr, values: Mapping[Expr, Any]) -> Array:
    """Compute an expression step by step, without compiling it: Algorithm 6.1 of *Deep Learning*.

    Args:
        expr: the expression.
        values: arrays for its symbols, or for any other expressions that it is computed from.

    Raises:
        ArgumentError: a symbol has no value, or what is to be evaluated is no expression.
        ShapeError: an array does not have its symbol's shape.
        DtypeError: a value has no numbers, or numbers that its symbol's dtype does not hold.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> float(evaluate(sb.sum(x * x), {x: [1.0, 2.0]}))
    5.0
    """
    known, _ = propagate([expr], values)
    return known[expr.number]  # type: ignore[no-any-return]

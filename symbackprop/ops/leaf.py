"""What expressions start from: symbols, constants and sizes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape, ShapeLike, Size, SizeLike
from symbackprop.errors import DtypeError, GraphError, ShapeError
from symbackprop.expr import Expr, Operand, common_graph, user_line
from symbackprop.graph import Graph, Node, Origin, current_graph, current_module
from symbackprop.op import SIZE, Form, Op, Params, check_dtype, literal, new_expr

__all__ = [
    "as_expr",
    "assume",
    "constant",
    "size_of",
    "symbol",
    "symbols",
]


def _symbol_form(params: Params, _shapes: tuple[Shape, ...]) -> Form:
    return Form(params["name"].replace("$", "_"))


SYMBOL = Op(
    name="symbol",
    doc="A named input.",
    shape=lambda *, name, shape, dtype: shape,
    dtype=lambda *, name, shape, dtype: dtype,
    vjps=(),
    numpy=_symbol_form,
    text=_symbol_form,
    latex=_symbol_form,
    cost=lambda _xs, _y, _params: 0,
)


_SIZED = re.compile(r"\w+\[.*\]")


def symbol(name: str, shape: ShapeLike = (), dtype: Any = "float64") -> Expr:
    """Give the symbol with this name: an input of formulas and compiled functions.

    The same name, shape and dtype in one graph is the same symbol; the same name with another shape is another.

    Args:
        name: any text without white space; where it is no identifier, generated code uses a safe name instead.
        shape: sizes, each an int or a name: ``("N", 3)``, ``"N"``, ``()``.
        dtype: bool, an integer or a float.

    Raises:
        ShapeError: the name is empty, has white space or sizes, or a size is neither an int nor a name.
        DtypeError: the dtype is none of these.

    >>> symbol("X", ("N", "D")).shape
    (N, D)
    >>> symbol("k", dtype="int64").dtype
    dtype('int64')
    """
    text: object = name  # who has no type checker may pass anything
    if not isinstance(text, str) or not text or any(map(str.isspace, text)):
        msg = f"a symbol's name is a text without white space such as 'x', not {name!r}"
        raise ShapeError(msg)
    if _SIZED.fullmatch(name):
        msg = f"symbol: {name!r} is a name with sizes: write symbols({name!r})"
        raise ShapeError(msg)
    if isinstance(dtype, str) and len(dtype) == 1:  # for NumPy "D" is complex, "d" float64
        msg = f"symbol {name}: {dtype!r} stands in the place of the dtype; several sizes go in a tuple: (…, {dtype!r})"
        raise DtypeError(msg)
    read = dims.as_shape(shape)
    kind = check_dtype(dtype, f"symbol {name}")
    graph = current_graph()
    params = {"name": name, "shape": read, "dtype": kind}
    node = Node(SYMBOL, (), params, read, kind, Origin(user_line(), backward=False, module=current_module()))
    with graph.lock:
        return Expr(graph, graph.symbol_number(node))


_SPEC = re.compile(r"([^\[\]]+)(?:\[([^\[\]]*)\])?\Z")


def symbols(spec: str, dtype: Any = "float64") -> tuple[Expr, ...]:
    """Give several symbols from one line: names with their sizes in brackets, separated by blanks or commas.

    Args:
        spec: for example ``"X[N,D] w[D] b"``.
        dtype: the dtype of all of them.

    Raises:
        ShapeError: a part is no name with sizes.

    >>> X, w, b = symbols("X[N,D] w[D] b")
    >>> X.shape, w.shape, b.shape
    ((N, D), (D,), ())
    """
    found = []
    parts = re.findall(r"[^\s,\[]+(?:\s*\[[^\]]*\])?|\[[^\]]*\]?", spec)
    for part in parts:
        match = None if re.search(r"\w\s+\w", part) else _SPEC.match(re.sub(r"\s+", "", part))
        sizes = match[2].split(",") if match and match[2] else []
        if match is None or not match[1].isidentifier() or not all(sizes):
            msg = f"symbols: {part!r} is no symbol; write names with sizes in brackets: 'X[N,D] w[D] b'"
            raise ShapeError(msg)
        found.append(symbol(match[1], sizes, dtype))
    if not found:
        msg = "symbols: no name given; write for example 'X[N,D] w[D] b'"
        raise ShapeError(msg)
    return tuple(found)


_OF_SQUARE = ("symmetric", "positive_definite", "orthogonal")


def assume(
    x: Expr,
    *,
    rows_sum_to: float | None = None,
    positive: bool = False,
    nonnegative: bool = False,
    symmetric: bool = False,
    positive_definite: bool = False,
    orthogonal: bool = False,
) -> Expr:
    """Declare what is known of a symbol, for rewriting to use; gives the symbol itself.

    What is declared is believed, not checked: compiled functions rely on it too. It holds for the values, not for
    how they may change: the derivative by a symmetric matrix is the one by all its elements, as if each could move
    alone, G. Where elements that mirror each other move together, write the matrix by what is free in it,
    ``L + L.T - diag(diag(L))``, and differentiate by L: G + Gᵀ − diag(G) (Matrix Cookbook, 2012, eq. 138).

    Args:
        x: a symbol.
        rows_sum_to: the sum over its last axis: 1 for one-hot targets and other probabilities.
        positive: all elements are above 0.
        nonnegative: no element is below 0.
        symmetric: it is its own transpose.
        positive_definite: it is symmetric, and all its eigenvalues are above 0; compiled functions may factor it by
            Cholesky's method, which raises an error where that is not so.
        orthogonal: its transpose is its inverse.

    Raises:
        GraphError: x is no symbol.
        ShapeError: x is a scalar, so it has no rows, or no square matrix.

    >>> import symbackprop as sb
    >>> Y = sb.assume(symbol("Y", ("N", "K")), rows_sum_to=1)
    >>> print(sb.simplify(sb.sum(Y, axis=-1, keepdims=True) * sb.symbol("s")))
    broadcast_to(s, (N, 1))
    >>> x, A = sb.symbol("x", "N"), sb.assume(sb.symbol("A", ("N", "N")), symmetric=True)
    >>> print(sb.grad(x @ A @ x, x))
    2Ax
    """
    if x.op is not SYMBOL:
        raise GraphError(f"assume: {x.describe()} is no symbol; declare what is known of the symbols it is made of")
    flags = {
        "positive": positive,
        "nonnegative": nonnegative,
        "symmetric": symmetric,
        "positive_definite": positive_definite,
        "orthogonal": orthogonal,
    }
    facts: dict[str, float] = {name: True for name, value in flags.items() if value}
    if any(name in facts for name in _OF_SQUARE) and (x.ndim < 2 or x.shape[-1] != x.shape[-2]):
        named = " and ".join(name for name in _OF_SQUARE if name in facts)
        raise ShapeError(f"assume: {named} is said of square matrices: {x.describe()}")
    if rows_sum_to is not None:
        if not x.shape:
            raise ShapeError(f"assume: {x.describe()} is a scalar and has no rows")
        facts["rows_sum_to"] = rows_sum_to
    x.node.facts = {**x.node.facts, **facts}
    return x


def placed(symbol: Expr) -> str:
    """Describe a symbol with its dtype and where it was made."""
    where = symbol.node.where
    return f"{symbol.describe()} of {symbol.dtype}" + (f" (made at {where})" if where else "")


def check_names(symbols: Iterable[Expr], what: str) -> None:
    """Check that each name stands for one symbol.

    Raises:
        GraphError: two symbols that differ in shape or dtype have one name.
    """
    named: dict[str, Expr] = {}
    for found in symbols:
        other = named.setdefault(found.params["name"], found)
        if other is not found:
            raise GraphError(
                f"{what}: two different symbols are called {found.params['name']}: "
                f"{placed(other)} and {placed(found)}; rename one, or rebuild what uses the older one"
            )


def constant(value: object, dtype: Any = None) -> Expr:
    """Give a known array as an expression.

    Args:
        value: a number, a nested list or an array; it is copied.
        dtype: NumPy's for the value unless told.

    Raises:
        DtypeError: the value is no array of bools, integers or floats.

    >>> constant([1.0, 2.0]).shape
    (2,)
    """
    return literal(value, dtype)


def as_expr(value: Operand, *, graph: Graph | None = None) -> Expr:
    """Give the value itself if it is an expression, else a constant in the graph, the current one unless told.

    >>> x = symbol("x")
    >>> as_expr(x) is x, as_expr(2.0).op.name
    (True, 'constant')
    """
    if isinstance(value, dims.Dim):
        return size_of(value, graph=graph)
    return value if isinstance(value, Expr) else literal(value, graph=graph)


def graph_of(*operands: Any) -> Graph | None:
    """Give the graph of the first expression among operands; None if there is none."""
    return next((operand.graph for operand in operands if isinstance(operand, Expr)), None)


def exprs_of(name: str, operands: Iterable[Operand]) -> list[Expr]:
    """Give the operands as expressions of one graph, that of the expressions among them."""
    given = list(operands)
    exprs = [operand for operand in given if isinstance(operand, Expr)]
    graph = common_graph(exprs, name) if exprs else current_graph()
    return [as_expr(operand, graph=graph) for operand in given]


def size_of(size: SizeLike, dtype: Any = "float64", *, graph: Graph | None = None) -> Expr:
    """Give a size as a scalar expression: a constant if it is known, else its value at the call.

    Raises:
        ShapeError: it is no size.

    >>> size_of("N").op.name, size_of(3).op.name
    ('size', 'constant')
    """
    read = dims.as_size(size)
    if isinstance(read, int):
        return literal(read, dtype, graph=graph)
    kind = np.dtype(dtype)
    graph = current_graph() if graph is None else graph
    return new_expr(graph, SIZE, (), {"size": read, "dtype": kind}, (), kind)


ARANGE = Op(
    name="arange",
    doc="The integers from 0 to a size.",
    shape=lambda *, size: (size,),
    dtype=lambda *, size: np.dtype(np.int_),
    vjps=(),
    numpy=lambda params, _shapes: Form(f"np.arange({params['size']})"),
    text=lambda params, _shapes: Form(f"arange({params['size']})"),
    latex=lambda params, _shapes: Form(rf"\operatorname{{arange}}\left({params['size']}\right)"),
    cost=lambda _xs, _y, _params: 0,
)


def arange(size: Size, *, graph: Graph | None = None) -> Expr:
    """Give the integers from 0 up to a size.

    >>> arange(dims.as_size("N")).shape
    (N,)
    """
    graph = current_graph() if graph is None else graph
    return new_expr(graph, ARANGE, (), {"size": size}, (size,), np.dtype(np.int_))

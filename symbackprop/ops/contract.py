"""The matrix product in all its rank combinations."""

from __future__ import annotations

from symbackprop import dims
from symbackprop.dims import Shape, Size
from symbackprop.errors import ShapeError
from symbackprop.expr import Expr
from symbackprop.op import MULTIPLY, Case, Form, Op, Params
from symbackprop.ops.elementwise import promoted
from symbackprop.ops.layout import expand_dims, matrix_transpose, squeeze


def _matmul_shape(a: Shape, b: Shape) -> Shape:
    if not a or not b:
        msg = "a scalar has no matrix product; multiply with *"
        raise ShapeError(msg)
    inner = b[-1] if len(b) == 1 else b[-2]
    if a[-1] != inner:
        msg = f"inner sizes {a[-1]} and {inner} differ"
        raise ShapeError(msg)
    return dims.broadcast(a[:-2], b[:-2]) + a[-2:-1] + (b[-1:] if len(b) > 1 else ())


def _matmul_cost(xs: tuple[Shape, ...], y: Shape, _params: Params) -> Size:
    return dims.product(y) * xs[0][-1] * 2


def _left_vjp(g: Expr, _y: Expr, a: Expr, b: Expr) -> Expr:
    if b.ndim == 1:
        column = expand_dims(g, -1) if g.ndim else g
        return column * (expand_dims(b, 0) if a.ndim > 1 else b)
    if a.ndim > 1 or b.ndim == 2:
        return matmul(g, matrix_transpose(b))
    return squeeze(matmul(expand_dims(g, -2), matrix_transpose(b)), -2)


def _right_vjp(g: Expr, _y: Expr, a: Expr, b: Expr) -> Expr:
    if a.ndim == 1:
        if b.ndim == 1:
            return (expand_dims(g, -1) if g.ndim else g) * a
        return expand_dims(a, -1) * expand_dims(g, -2)
    if b.ndim > 1:
        return matmul(matrix_transpose(a), g)
    if a.ndim == 2:
        return matmul(g, a)
    return squeeze(matmul(expand_dims(g, -2), a), -2)


matmul = Op(
    name="matmul",
    doc="""Give the matrix product ``a @ b``; leading axes broadcast, a vector is a row left, a column right.

The derivative by a is ``g @ bᵀ``, by b ``aᵀ @ g`` (Deep Learning, section 6.5.4).

>>> import symbackprop as sb
>>> X, W = sb.symbols("X[N,D] W[D,K]")
>>> sb.matmul(X, W).shape
(N, K)
""",
    shape=_matmul_shape,
    dtype=promoted,
    vjps=(_left_vjp, _right_vjp),
    numpy=Form("$0 @ $1", MULTIPLY, (MULTIPLY, MULTIPLY + 1)),
    text=Form("$0$1", MULTIPLY, (MULTIPLY, MULTIPLY)),
    latex=Form("$0 $1", MULTIPLY, (MULTIPLY, MULTIPLY)),
    cost=_matmul_cost,
    cases=tuple(
        Case(shapes)
        for shapes in [
            ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3,)), ((3,), (5, 3, 2)),
            ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)), ((1, 2, 3), (5, 3, 4)),
            ((2, 1, 2, 3), (3, 3, 2)),
        ]
    ),
)  # fmt: skip

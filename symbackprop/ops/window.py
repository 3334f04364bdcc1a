"""Windows that slide over axes, and what is made of them by sums of products and maxima: convolution and pooling.

No window is gone through one by one: they are a view of the array, which is copied once where a matrix product or a
maximum wants them side by side, and their derivative adds as many slices as a window has elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any, Literal, TypeAlias

import numpy as np

from symbackprop import dims
from symbackprop.dims import Dim, Shape, ShapeLike, Size
from symbackprop.errors import ArgumentError, ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import Case, Form, Notation, Op, Params, apply
from symbackprop.ops.contract import matmul
from symbackprop.ops.elementwise import promoted
from symbackprop.ops.index import PORTABLE_PUT
from symbackprop.ops.layout import axes_in_order, expand_dims, free, kept_dtype, permute, reshape, shape_text, to_end
from symbackprop.ops.leaf import as_expr, exprs_of
from symbackprop.ops.padding import pad
from symbackprop.ops.reduce import max as max_
from symbackprop.ops.reduce import mean

__all__ = [
    "avg_pool2d",
    "conv",
    "conv1d",
    "conv2d",
    "conv_transpose",
    "convolve",
    "correlate",
    "max_pool2d",
    "overlap_add",
    "sliding_dot",
    "sliding_window_view",
    "windows",
]

Mode: TypeAlias = Literal["full", "same", "valid"]
Padding: TypeAlias = "Literal['valid', 'same'] | int | Sequence[int | Sequence[int]]"


# --- windows --------------------------------------------------------------------------------------------------


def _extent(size: Size, dilation: int) -> Size:
    """Give how many elements there are from the first to the last of a window."""
    return (size - 1) * dilation + 1


def _counts(extents: Shape, sizes: Shape, steps: tuple[int, ...], dilations: tuple[int, ...]) -> Shape:
    """Give how many windows there are along each axis.

    Raises:
        ShapeError: a window does not fit in.
    """
    found: list[Size] = []
    for extent, size, step, dilation in zip(extents, sizes, steps, dilations, strict=True):
        room = extent - _extent(size, dilation)
        if not isinstance(room, Dim) and room < 0:
            msg = f"a window over {_extent(size, dilation)} elements does not fit into {extent}"
            raise ShapeError(msg)
        found.append(room // step + 1)
    return tuple(found)


def _windows_shape(x: Shape, *, window: Shape, steps: tuple[int, ...], dilations: tuple[int, ...]) -> Shape:
    lead = len(x) - len(window)
    return x[:lead] + _counts(x[lead:], window, steps, dilations) + window


def _windows_numpy(params: Params, shapes: tuple[Shape, ...]) -> Form:
    sizes, steps, dilations = params["window"], params["steps"], params["dilations"]
    lead = len(shapes[0]) - len(sizes)
    extents = tuple(_extent(size, dilation) for size, dilation in zip(sizes, dilations, strict=True))
    single = len(sizes) == 1
    wanted = str(extents[0]) if single else shape_text(extents)
    axis = f", axis={-1 if single else tuple(range(-len(sizes), 0))}" if lead else ""
    parts = [":"] * lead + [f"::{step}" if step > 1 else ":" for step in (*steps, *dilations)]
    while parts and parts[-1] == ":":
        parts.pop()
    index = f"[{', '.join(parts)}]" if parts else ""
    return Form(f"np.lib.stride_tricks.sliding_window_view($0, {wanted}{axis}){index}")


def _told(steps: tuple[int, ...], dilations: tuple[int, ...]) -> str:
    return "".join(
        f", {name}={each[0] if len({*each}) == 1 else each}"
        for name, each in (("step", steps), ("dilation", dilations))
        if {*each} != {1}
    )


def _windows_text(params: Params, shapes: tuple[Shape, ...]) -> Form:
    sizes = params["window"]
    axis = "" if len(sizes) == len(shapes[0]) else f", axis={tuple(range(-len(sizes), 0))}"
    return Form(f"windows($0, {shape_text(sizes)}{axis}{_told(params['steps'], params['dilations'])})")


def _windows_vjp(g: Expr, _y: Expr, x: Expr, *, window: Shape, steps: Any, dilations: Any) -> Expr:
    return apply(OVERLAP_ADD, g, into=x.shape[x.ndim - len(window) :], steps=steps, dilations=dilations)


def _as_latex(text: Callable[[Params, tuple[Shape, ...]], Form], name: str) -> Notation:
    plain = name.replace("_", r"\ ")

    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        template = text(params, shapes).template
        return Form(rf"\operatorname{{{plain}}}\left{template.removeprefix(name)[:-1]}\right)")

    return notation


_PORTABLE_WINDOWS = '''
def windows(x, sizes, steps, dilations):
    """The windows over the last axes of x, their own axes at the end: each axis takes the elements of all of them."""
    lead = len(x.shape) - len(sizes)
    for axis, (size, step, dilation) in enumerate(zip(sizes, steps, dilations), lead):
        count = (x.shape[axis] - (size - 1) * dilation - 1) // step + 1
        first = np.arange(count, device=x.device) * step
        places = np.reshape(first[:, None] + np.arange(size, device=x.device) * dilation, (count * size,))
        x = np.take(x, places, axis=axis)
        x = np.reshape(x, (*x.shape[:axis], count, size, *x.shape[axis + 1 :]))
        x = np.moveaxis(x, axis + 1, -1)
    return x
'''


def _portable_windows(params: Params, _shapes: tuple[Shape, ...]) -> Form:
    sizes = shape_text(params["window"])
    return Form(f"windows($0, {sizes}, {params['steps']}, {params['dilations']})")


WINDOWS: Op = Op(
    name="windows",
    doc="Give the windows that slide over the last axes, as new axes at the end.",
    shape=_windows_shape,
    dtype=kept_dtype,
    vjps=(_windows_vjp,),
    numpy=_windows_numpy,
    text=_windows_text,
    latex=_as_latex(_windows_text, "windows"),
    portable=_portable_windows,
    portable_helper=_PORTABLE_WINDOWS,
    cost=free,
    cases=(
        Case(((5,),), {"window": (2,), "steps": (1,), "dilations": (1,)}),
        Case(((2, 6),), {"window": (2,), "steps": (2,), "dilations": (3,)}),
        Case(((2, 5, 6),), {"window": (2, 3), "steps": (2, 1), "dilations": (1, 2)}),
    ),
    options={"window": (), "steps": (), "dilations": ()},
)


_OVERLAP_ADD = '''
def overlap_add(x, shape, steps, dilations):
    """Zeros of a shape in the last axes, with the windows x added where they were taken."""
    rank = len(shape)
    out = np.zeros((*x.shape[: x.ndim - 2 * rank], *shape), x.dtype)
    for at in np.ndindex(x.shape[x.ndim - rank :]):
        places = zip(at, x.shape[-2 * rank :], steps, dilations)
        index = tuple(slice(i * d, i * d + count * s, s) for i, count, s, d in places)
        out[(..., *index)] += x[(..., *at)]
    return out
'''
_PORTABLE_OVERLAP_ADD = f'''{PORTABLE_PUT}
def overlap_add(x, shape, steps, dilations):
    """Zeros of a shape in the last axes, with the windows x added where they were taken."""
    rank = len(shape)
    lead = tuple(x.shape[: len(x.shape) - 2 * rank])
    counts, sizes = x.shape[len(lead) : len(lead) + rank], x.shape[len(lead) + rank :]
    out = np.zeros((*lead, *shape), dtype=x.dtype, device=x.device)
    elements = [()]
    for size in sizes:
        elements = [(*at, i) for at in elements for i in range(size)]
    for at in elements:
        places = zip(at, counts, steps, dilations)
        index = [slice(i * d, i * d + (count - 1) * s + 1, s) for i, count, s, d in places]
        out = out + put(x[(..., *at)], (*lead, *shape), [*[slice(None)] * len(lead), *index])
    return out
'''


def _overlap_shape(x: Shape, *, into: Shape, steps: tuple[int, ...], dilations: tuple[int, ...]) -> Shape:
    rank = len(into)
    lead = len(x) - 2 * rank
    if lead < 0:
        msg = f"{rank} axes of windows and as many in each of them are needed, not {len(x)} in all"
        raise ShapeError(msg)
    if _counts(into, x[lead + rank :], steps, dilations) != x[lead : lead + rank]:
        msg = f"there are not as many windows in {shape_text(into)}"
        raise ShapeError(msg)
    return x[:lead] + into


def _overlap_numpy(params: Params, _shapes: tuple[Shape, ...]) -> Form:
    return Form(f"overlap_add($0, {shape_text(params['into'])}, {params['steps']}, {params['dilations']})")


def _overlap_text(params: Params, _shapes: tuple[Shape, ...]) -> Form:
    return Form(f"overlap_add($0, {shape_text(params['into'])}{_told(params['steps'], params['dilations'])})")


def _overlap_vjp(g: Expr, _y: Expr, x: Expr, *, into: Shape, steps: Any, dilations: Any) -> Expr:
    return apply(WINDOWS, g, window=x.shape[x.ndim - len(into) :], steps=steps, dilations=dilations)


OVERLAP_ADD: Op = Op(
    name="overlap_add",
    doc="Add windows up where they were taken, among zeros.",
    shape=_overlap_shape,
    dtype=kept_dtype,
    vjps=(_overlap_vjp,),
    numpy=_overlap_numpy,
    text=_overlap_text,
    latex=_as_latex(_overlap_text, "overlap_add"),
    helper=_OVERLAP_ADD,
    portable_helper=_PORTABLE_OVERLAP_ADD,
    cost=lambda xs, _y, _params: dims.product(xs[0]),
    cases=(
        Case(((4, 2),), {"into": (5,), "steps": (1,), "dilations": (1,)}),
        Case(((2, 2, 2),), {"into": (6,), "steps": (2,), "dilations": (3,)}),
        Case(((2, 2, 2, 2, 3),), {"into": (5, 6), "steps": (2, 1), "dilations": (1, 2)}),
    ),
    options={"into": (), "steps": (), "dilations": ()},
)


def _numbers(name: str, what: str, given: Any, rank: int, least: int = 1) -> tuple[int, ...]:
    """Read a number for each axis, or one for all.

    Raises:
        ArgumentError: they are not as many as axes, not whole, or too small.
    """
    numbers = tuple(given) if isinstance(given, Iterable) else (given,) * rank
    if len(numbers) != rank or not all(isinstance(each, Integral) and int(each) >= least for each in numbers):
        msg = f"{name}: {what} is a whole number from {least} on, or {rank} of them, not {given!r}"
        raise ArgumentError(msg)
    return tuple(map(int, numbers))


def windows(
    x: Operand,
    shape: ShapeLike,
    axis: int | Sequence[int] | None = None,
    step: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
) -> Expr:
    """Give the windows of a shape that slide over axes, as new axes at the end.

    A window at o has the elements x[o·step + k·dilation]; the derivative adds the windows up where they were taken
    (`overlap_add`), and the derivative of that takes windows again. This is PyTorch's ``unfold``.

    Args:
        x: the array.
        shape: the sizes of a window, one for each axis that it slides over.
        axis: those axes; all of them unless told.
        step: how far it is from one window to the next, a number or one for each axis.
        dilation: how far it is from one element of a window to the next, likewise.

    Raises:
        ShapeError: a window does not fit in, or there are not as many axes as sizes.
        ArgumentError: a step or a dilation is not a positive number.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> sb.windows(x, 3).shape, sb.windows(x, 3, step=2).shape
    ((N - 2, 3), (((N - 3)//2) + 1, 3))
    """
    expr, sizes = as_expr(x), dims.as_shape(shape)
    taken = tuple(range(-expr.ndim, 0)) if axis is None else axes_in_order("windows", expr, axis)
    if len(taken) != len(sizes):
        msg = f"windows: the window has {len(sizes)} axes and slides over {len(taken)}: {expr.describe()}"
        raise ShapeError(msg)
    steps, dilations = (
        _numbers("windows", what, given, len(sizes)) for what, given in (("step", step), ("dilation", dilation))
    )
    if not sizes:
        return expr
    found = apply(WINDOWS, to_end(expr, taken), window=sizes, steps=steps, dilations=dilations)
    rest = [axis for axis in range(-expr.ndim, 0) if axis not in taken]
    places = [*rest, *taken]  # where the axes of the operand have gone
    back = tuple(places.index(axis) - found.ndim for axis in range(-expr.ndim, 0))
    return permute(found, back + tuple(range(-len(sizes), 0)))


def overlap_add(x: Operand, shape: ShapeLike, step: int | Sequence[int] = 1, dilation: int | Sequence[int] = 1) -> Expr:
    """Add windows up where `windows` takes them from an array of a shape, among zeros. This is PyTorch's ``fold``.

    Args:
        x: as many axes of windows as the shape has, and their own axes behind them; any axes before.
        shape: the sizes of those axes of the result.
        step: how far it is from one window to the next, a number or one for each axis.
        dilation: how far it is from one element of a window to the next, likewise.

    Raises:
        ShapeError: another number of windows fits into the shape.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> print(sb.grad(sb.sum(sb.windows(x, 2) ** 2), x))
    overlap_add(2 windows(x, (2,)), (N,))
    """
    expr, into = as_expr(x), dims.as_shape(shape)
    steps, dilations = (
        _numbers("overlap_add", what, given, len(into)) for what, given in (("step", step), ("dilation", dilation))
    )
    return apply(OVERLAP_ADD, expr, into=into, steps=steps, dilations=dilations)


def sliding_window_view(x: Operand, window_shape: ShapeLike, axis: int | Sequence[int] | None = None) -> Expr:
    """Give all windows of a shape, as NumPy's function of this name does; `windows` has steps and dilations too.

    Raises:
        ShapeError: a window does not fit in, or there are not as many axes as sizes.

    >>> import symbackprop as sb
    >>> sb.sliding_window_view(sb.symbol("x", ("N", 4)), (2, 2)).shape
    (N - 1, 3, 2, 2)
    """
    return windows(x, window_shape, axis)


# --- one axis -------------------------------------------------------------------------------------------------


def _sliding_shape(a: Shape, v: Shape) -> Shape:
    if not a or not v:
        msg = "needs vectors, or stacks of them"
        raise ShapeError(msg)
    return dims.broadcast(a[:-1], v[:-1]) + _counts(a[-1:], v[-1:], (1,), (1,))


def _sliding_vjp(g: Expr, _y: Expr, _a: Expr, v: Expr) -> Expr:
    """Let the other vector slide over the cotangent, turned round, wherever they overlap."""
    reach = v.shape[-1] - 1
    return apply(SLIDING_DOT, pad(g, [(0, 0)] * (g.ndim - 1) + [(reach, reach)]), v[..., ::-1])


_SLIDING_DOT = '''
def sliding_dot(a, v):
    """The products of v with all windows of its length in a, summed, along the last axes."""
    windows = np.lib.stride_tricks.sliding_window_view(a, v.shape[-1], axis=-1)
    return (windows @ v[..., None])[..., 0]
'''
_PORTABLE_SLIDING_DOT = f'''{_PORTABLE_WINDOWS}
def sliding_dot(a, v):
    """The products of v with all windows of its length in a, summed, along the last axes."""
    return (windows(a, v.shape[-1:], (1,), (1,)) @ v[..., None])[..., 0]
'''


def _of_vectors(vectors: Form, stacks: Form) -> Notation:
    return lambda _params, shapes: vectors if len(shapes[0]) == len(shapes[1]) == 1 else stacks


SLIDING_DOT: Op = Op(
    name="sliding_dot",
    doc="Sum the products of a vector with all parts of a longer one; axes before the last broadcast.",
    shape=_sliding_shape,
    dtype=promoted,
    vjps=(_sliding_vjp, lambda g, _y, a, _v: apply(SLIDING_DOT, a, g)),
    numpy=_of_vectors(Form('np.correlate($0, $1, "valid")'), Form("sliding_dot($0, $1)")),
    text=_of_vectors(Form("correlate($0, $1)"), Form("sliding_dot($0, $1)")),
    latex=Form(r"\operatorname{correlate}\left($0, $1\right)"),
    helper=_SLIDING_DOT,
    portable=Form("sliding_dot($0, $1)"),
    portable_helper=_PORTABLE_SLIDING_DOT,
    cost=lambda xs, y, _params: dims.product(y) * xs[1][-1] * 2,
    cases=tuple(
        Case(shapes) for shapes in [((5,), (3,)), ((4,), (4,)), ((2, 5), (2,)), ((5,), (3, 2)), ((2, 1, 6), (3, 2))]
    ),
)


def sliding_dot(a: Operand, v: Operand) -> Expr:
    """Give the sums of a[…, k + i] v[…, i] over i for each k where v lies within a; the axes before broadcast.

    Of two vectors it is `correlate`. The derivative by `a` lets v, turned round, slide over the cotangent among zeros;
    that by `v` lets the cotangent slide over a.

    Args:
        a: a vector, or a stack of them.
        v: a vector that is no longer, or a stack of them.

    Raises:
        ShapeError: an operand is a scalar, `v` is longer than `a`, or the axes before do not broadcast.

    >>> import symbackprop as sb
    >>> x, k = sb.symbols("x[B,N] k[3]")
    >>> sb.sliding_dot(x, k).shape
    (B, N - 2)
    """
    return apply(SLIDING_DOT, *exprs_of("sliding_dot", (a, v)))


def _longer_first(name: str, mode: Mode, pair: Sequence[Expr]) -> tuple[Expr, Expr, bool]:
    """Give both vectors, the longer one first, and whether they have changed places.

    Raises:
        ShapeError: an operand is no vector, or is empty, or which one is longer matters and is not known.
        ArgumentError: no such mode.
    """
    if mode not in {"full", "same", "valid"}:
        msg = f"{name}: the mode is 'full', 'same' or 'valid', not {mode!r}"
        raise ArgumentError(msg)
    for each in pair:
        if each.ndim != 1 or each.shape == (0,):
            msg = f"{name}: takes vectors with an element at least: {each.describe()}"
            raise ShapeError(msg)
    (m,), (n,) = (each.shape for each in pair)
    told = m == n or dims.is_less(m, n) or dims.is_less(n, m)
    if mode != "full" and isinstance(m, Dim) and isinstance(n, Dim) and not told:
        what = f"which of {m} and {n} is larger is not known, and the mode {mode!r} depends on it"
        msg = f"{name}: {what}: {pair[0].describe()}, {pair[1].describe()}"
        raise ShapeError(msg)
    swapped = dims.is_less(m, n) or (isinstance(n, Dim) and not isinstance(m, Dim))
    return (pair[1], pair[0], True) if swapped else (pair[0], pair[1], False)


def _slid(a: Expr, v: Expr, mode: Mode) -> Expr:
    """Give the sums of products of a vector with all parts of a longer one, beyond whose ends are zeros."""
    (n,) = v.shape
    before = {"full": n - 1, "same": n // 2, "valid": 0}[mode]
    after = n - 1 - before if mode == "same" else before
    return apply(SLIDING_DOT, pad(a, [(before, after)]), v)


def convolve(a: Operand, v: Operand, mode: Mode = "full") -> Expr:
    """Give the discrete convolution of two vectors, as NumPy does: the sums of a[k − i] v[i] over i.

    The derivatives are correlations of the cotangent with the other vector.

    Args:
        a: a vector.
        v: a vector. The shorter one slides over the longer one; a named size is taken to be larger than a number.
        mode: ``full``, wherever they overlap; ``same``, as many as the longer one has; ``valid``, where they overlap
            entirely.

    Raises:
        ShapeError: an operand is no vector, or is empty, or which of two named sizes is larger matters.
        ArgumentError: no such mode.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> sb.convolve(x, [1.0, 2.0, 1.0]).shape, sb.convolve(x, [1.0, 2.0, 1.0], "valid").shape
    ((N + 2,), (N - 2,))
    """
    pair = [expand_dims(each, 0) if not each.ndim else each for each in exprs_of("convolve", (a, v))]
    longer, shorter, _ = _longer_first("convolve", mode, pair)
    return _slid(longer, shorter[::-1], mode)


def correlate(a: Operand, v: Operand, mode: Mode = "valid") -> Expr:
    """Give the cross-correlation of two vectors, as NumPy does: the sums of a[k + i] v[i] over i.

    Args:
        a: a vector.
        v: a vector. The shorter one slides over the longer one, as in `convolve`; if that is `a`, the result is turned
            round.
        mode: ``valid``, where they overlap entirely; ``same``, as many as the longer one has; ``full``, wherever they
            overlap.

    Raises:
        ShapeError: an operand is no vector, or is empty, or which of two named sizes is larger matters.
        ArgumentError: no such mode.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> print(sb.correlate(x, [1.0, 2.0]), sb.correlate(x, [1.0, 2.0]).shape)
    correlate(x, array([1., 2.])) (N - 1,)
    """
    longer, shorter, swapped = _longer_first("correlate", mode, exprs_of("correlate", (a, v)))
    found = _slid(longer, shorter, mode)
    return found[::-1] if swapped else found


# --- convolution over several axes ----------------------------------------------------------------------------


def _pads(name: str, padding: Any, extents: Shape, reach: Shape, steps: tuple[int, ...]) -> list[tuple[Size, Size]]:
    """Read how many zeros are put before and after each axis.

    Raises:
        ArgumentError: it is no padding.
        ShapeError: it depends on a named size how many they are.
    """
    if isinstance(padding, str):
        if padding == "valid":
            return [(0, 0)] * len(extents)
        if padding == "same":
            return [_same(name, *each) for each in zip(extents, reach, steps, strict=True)]
        msg = f"{name}: the padding is 'valid', 'same', a number, or numbers for each axis, not {padding!r}"
        raise ArgumentError(msg)
    each = [padding] * len(extents) if isinstance(padding, Integral) else list(padding)
    pairs = [(pad, pad) if isinstance(pad, Integral) else tuple(pad) for pad in each]
    if len(pairs) != len(extents) or any(len(pair) != 2 for pair in pairs):
        msg = f"{name}: the padding is a number or a pair for each of {len(extents)} axes, not {padding!r}"
        raise ArgumentError(msg)
    read = [_numbers(name, "the padding", pair, 2, 0) for pair in pairs]
    return [(before, after) for before, after in read]


def _same(name: str, extent: Size, reach: Size, step: int) -> tuple[Size, Size]:
    """Give the zeros that make as many windows as the axis has steps, one more after it where they are odd."""
    if step == 1:
        total = reach - 1
    elif isinstance(extent, Dim):
        msg = f"{name}: how much 'same' adds depends on {extent} where the stride is not 1; give the padding as numbers"
        raise ShapeError(msg)
    else:
        rest = (extent - 1) // step * step + reach - extent
        total = rest if isinstance(rest, Dim) else max(rest, 0)
    return total // 2, total - total // 2


def conv(  # noqa: PLR0917  (the order of PyTorch, whose bias is added by the caller)
    x: Operand,
    w: Operand,
    stride: int | Sequence[int] = 1,
    padding: Padding = "valid",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Expr:
    """Give the convolution of a neural network: the kernel slides over the last axes, and is not flipped.

    y[…, o, p] = Σ x[…, c, p·stride + k·dilation] w[o, c, k], summed over the channels c and the places k in the kernel
    (Deep Learning, equation 9.6 for two axes). The windows are copied side by side once, and the sum is a matrix
    product. This is PyTorch's ``conv1d``, ``conv2d``, ``conv3d`` without bias and JAX's ``conv_general_dilated``; for
    one channel it is SciPy's ``signal.correlate``.

    Args:
        x: channels and the axes that the kernel slides over, as the last axes; any axes before, or none.
        w: output channels, input channels, and the axes of the kernel, which say over how many axes it slides.
        stride: how far it is from one place of the kernel to the next, a number or one for each axis.
        padding: zeros at the ends: ``valid``, none; ``same``, so many that the result has as many elements as `x` has
            strides; a number for all ends, or for each axis one or a pair.
        dilation: how far apart the elements lie that the kernel sees, a number or one for each axis.
        groups: into how many groups the channels are divided; each sees its own input channels.

    Raises:
        ShapeError: too few axes, the channels do not fit, or the kernel does not fit in.
        ArgumentError: a stride, padding, dilation or number of groups is none.

    >>> import symbackprop as sb
    >>> x, w = sb.symbols("x[N,3,H,W] w[8,3,5,5]")
    >>> sb.conv(x, w).shape, sb.conv(x, w, padding="same").shape
    ((N, 8, H - 4, W - 4), (N, 8, H, W))
    """
    image, kernel = exprs_of("conv", (x, w))
    rank = kernel.ndim - 2
    named = f"{image.describe()}, {kernel.describe()}"
    if rank < 1 or image.ndim <= rank:
        msg = f"conv: x needs channels and {max(rank, 1)} axes, w two kinds of channels and as many: {named}"
        raise ShapeError(msg)
    out, channels, *sizes = kernel.shape
    _check_groups(groups, image.shape[-1 - rank], kernel.shape, named)
    strides, dilations = _numbers("conv", "the stride", stride, rank), _numbers("conv", "the dilation", dilation, rank)
    reach = tuple(_extent(size, each) for size, each in zip(sizes, dilations, strict=True))
    ends = _pads("conv", padding, image.shape[-rank:], reach, strides)
    padded = pad(image, [(0, 0)] * (image.ndim - rank) + ends)
    lead = padded.shape[: padded.ndim - rank - 1]
    if groups > 1:
        padded = reshape(padded, (*lead, groups, channels, *padded.shape[-rank:]))
        kernel = reshape(kernel, (groups, out // groups, channels, *sizes))
    columns = _side_by_side(padded, tuple(sizes), strides, dilations, f"conv: {named}")
    places = columns.shape[-rank:]
    count = channels * dims.product(sizes)
    columns = reshape(columns, (*columns.shape[: columns.ndim - 2 * rank - 1], count, dims.product(places)))
    product = matmul(reshape(kernel, (*kernel.shape[: kernel.ndim - rank - 1], count)), columns)
    return reshape(product, (*lead, out, *places))


def _check_groups(groups: Any, given: Size, kernel: Shape, named: str) -> None:
    if not isinstance(groups, int) or groups < 1:
        msg = f"conv: groups is a whole number from 1 on, not {groups!r}"
        raise ArgumentError(msg)
    out, channels, *_ = kernel
    if given != channels * groups:
        of_each = f" in each of {groups} groups" if groups > 1 else ""
        msg = f"conv: x has {given} channels and w takes {channels}{of_each}: {named}"
        raise ShapeError(msg)
    if groups > 1 and (isinstance(out, Dim) or out % groups):
        msg = f"conv: {out} output channels are not a multiple of {groups} groups: {named}"
        raise ShapeError(msg)


def _side_by_side(x: Expr, window: Shape, steps: tuple[int, ...], dilations: tuple[int, ...], what: str) -> Expr:
    """Give the windows over the last axes with their own axes first, so that a copy goes along rows of the array."""
    rank = len(window)
    try:
        _counts(x.shape[x.ndim - rank :], window, steps, dilations)
    except ShapeError as error:
        name, _, operands = what.partition(": ")
        msg = f"{name}: {error}: {operands}"
        raise ShapeError(msg) from None
    found = apply(WINDOWS, x, window=window, steps=steps, dilations=dilations)
    return permute(found, (*range(-rank, 0), *range(-2 * rank, -rank)))


def conv1d(  # noqa: PLR0917  (as `conv`)
    x: Operand,
    w: Operand,
    stride: int | Sequence[int] = 1,
    padding: Padding = "valid",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Expr:
    """Give the convolution over the last axis: `conv` with a kernel that has three axes.

    Raises:
        ShapeError: `w` has not three axes, or as `conv` says.

    >>> import symbackprop as sb
    >>> x, w = sb.symbols("x[N,C,T] w[O,C,3]")
    >>> sb.conv1d(x, w, padding=1).shape
    (N, O, T)
    """
    return _conv_of("conv1d", 3, x, w, stride, padding, dilation, groups)


def conv2d(  # noqa: PLR0917  (as `conv`)
    x: Operand,
    w: Operand,
    stride: int | Sequence[int] = 1,
    padding: Padding = "valid",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Expr:
    """Give the convolution over the last two axes: `conv` with a kernel that has four axes.

    Raises:
        ShapeError: `w` has not four axes, or as `conv` says.

    >>> import symbackprop as sb
    >>> x, w = sb.symbols("x[N,C,H,W] w[O,C,3,3]")
    >>> sb.conv2d(x, w, stride=2, padding=1).shape
    (N, O, ((H - 1)//2) + 1, ((W - 1)//2) + 1)
    """
    return _conv_of("conv2d", 4, x, w, stride, padding, dilation, groups)


def _conv_of(name: str, axes: int, x: Operand, w: Operand, *rest: Any) -> Expr:
    kernel = as_expr(w) if not isinstance(w, Expr) else w
    if kernel.ndim != axes:
        msg = f"{name}: the kernel has {axes} axes, output channels, input channels and its own: {kernel.describe()}"
        raise ShapeError(msg)
    return conv(x, w, *rest)


def conv_transpose(x: Operand, w: Operand, stride: int | Sequence[int] = 1, padding: int | Sequence[int] = 0) -> Expr:
    """Give the transposed convolution, what the derivative of `conv` by its first operand does to the cotangent.

    y[…, o, p·stride + k] gathers Σ x[…, c, p] w[c, o, k]. This is PyTorch's ``conv_transpose1d``, ``…2d``, ``…3d``.

    Args:
        x: channels and the axes that the kernel slides over, as the last axes; any axes before, or none.
        w: input channels, output channels, and the axes of the kernel.
        stride: how far it is from one place of the kernel to the next, a number or one for each axis.
        padding: how many elements are taken off both ends, a number or one for each axis.

    Raises:
        ShapeError: too few axes, or the channels do not fit.
        ArgumentError: a stride or padding is none.

    >>> import symbackprop as sb
    >>> x, w = sb.symbols("x[N,C,H,W] w[C,O,2,2]")
    >>> sb.conv_transpose(x, w, stride=2).shape
    (N, O, 2*H, 2*W)
    """
    image, kernel = exprs_of("conv_transpose", (x, w))
    rank = kernel.ndim - 2
    named = f"{image.describe()}, {kernel.describe()}"
    if rank < 1 or image.ndim <= rank or image.shape[-1 - rank] != kernel.shape[0]:
        msg = f"conv_transpose: x needs as many channels as w, and the axes of the kernel: {named}"
        raise ShapeError(msg)
    channels, out, *sizes = kernel.shape
    strides = _numbers("conv_transpose", "the stride", stride, rank)
    cuts = _numbers("conv_transpose", "the padding", padding, rank, 0)
    places = image.shape[-rank:]
    rows = reshape(image, (*image.shape[: image.ndim - rank], dims.product(places)))
    spread = matmul(reshape(kernel, (channels, -1)).T, rows)
    spread = reshape(spread, (*rows.shape[:-2], out, *sizes, *places))
    spread = permute(spread, (*range(-rank, 0), *range(-2 * rank, -rank)))
    into = [(count - 1) * step + size for count, step, size in zip(places, strides, sizes, strict=True)]
    whole = overlap_add(spread, into, strides)
    inside = [slice(cut, size - cut) for cut, size in zip(cuts, into, strict=True)]
    return whole[(..., *inside)] if any(cuts) else whole


# --- pooling --------------------------------------------------------------------------------------------------


def _pooled(name: str, expr: Expr, beyond: float, *, window: Any, stride: Any, padding: Any) -> Expr:
    """Give the elements of each window along one axis, the last but two."""
    if expr.ndim < 2:
        msg = f"{name}: needs two axes to slide over: {expr.describe()}"
        raise ShapeError(msg)
    sizes = _numbers(name, "the window", window, 2)
    steps = sizes if stride is None else _numbers(name, "the stride", stride, 2)
    pads = _pads(name, padding, expr.shape[-2:], sizes, steps)
    padded = pad(expr, [(0, 0)] * (expr.ndim - 2) + pads, constant_values=beyond)
    planes = _side_by_side(padded, sizes, steps, (1, 1), f"{name}: {expr.describe()}")
    return reshape(planes, (*planes.shape[:-4], sizes[0] * sizes[1], *planes.shape[-2:]))


def max_pool2d(
    x: Operand,
    window: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: Padding = "valid",
) -> Expr:
    """Give the largest element of each window that slides over the last two axes (Deep Learning, section 9.3).

    Where several are largest they share the derivative equally, as in `max`; PyTorch and JAX give all of it to the
    first one. This is PyTorch's ``max_pool2d``.

    Args:
        x: an array of two axes at least.
        window: the sizes of the window, one number for both axes or two.
        stride: how far it is from one window to the next; as far as the window is long unless told.
        padding: as in `conv`; what is beyond the ends is never the largest.

    Raises:
        ShapeError: fewer than two axes, or the window does not fit in.
        ArgumentError: a size, stride or padding is none.

    >>> import symbackprop as sb
    >>> sb.max_pool2d(sb.symbol("x", ("N", "C", 8, 8)), 2).shape
    (N, C, 4, 4)
    """
    expr = as_expr(x)
    least = np.iinfo(expr.dtype).min if expr.dtype.kind in "iu" else float("-inf")
    return max_(_pooled("max_pool2d", expr, least, window=window, stride=stride, padding=padding), axis=-3)


def avg_pool2d(
    x: Operand,
    window: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: Padding = "valid",
) -> Expr:
    """Give the mean of each window that slides over the last two axes. This is PyTorch's ``avg_pool2d``.

    Args:
        x: an array of two axes at least.
        window: the sizes of the window, one number for both axes or two.
        stride: how far it is from one window to the next; as far as the window is long unless told.
        padding: as in `conv`; the zeros beyond the ends count.

    Raises:
        ShapeError: fewer than two axes, or the window does not fit in.
        ArgumentError: a size, stride or padding is none.

    >>> import symbackprop as sb
    >>> sb.avg_pool2d(sb.symbol("x", ("N", "C", "H", "W")), 3, stride=1, padding="same").shape
    (N, C, H, W)
    """
    return mean(_pooled("avg_pool2d", as_expr(x), 0, window=window, stride=stride, padding=padding), axis=-3)

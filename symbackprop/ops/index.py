"""Taking apart and joining: basic indexing, concatenate, stack."""

from __future__ import annotations

import builtins
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import accumulate
from numbers import Integral
from typing import Any, NamedTuple

from symbackprop.dims import Dim, Shape, Size
from symbackprop.errors import ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import ATOM, Case, Form, Op, Params, apply
from symbackprop.ops.elementwise import promoted
from symbackprop.ops.layout import axes_of, free, kept_dtype, ravel, shape_text, squeeze
from symbackprop.ops.leaf import as_expr, exprs_of, graph_of

__all__ = [
    "concatenate",
    "stack",
]


class Run(NamedTuple):
    """The elements that a slice takes from one axis: `length` of them from `start` on, `step` apart."""

    start: Size
    length: Size
    step: int

    def text(self, size: Size) -> str:
        """Write the slice as Python does, for an axis of this size.

        Raises:
            ShapeError: it does not lie inside the axis, which is seen where the sizes are known.
        """
        if self == (0, size, 1):
            return ":"
        last = self.start + (self.length - 1) * self.step
        if not any(isinstance(each, Dim) for each in (self.start, self.length, size)):
            low, high = sorted((int(self.start), int(last)))
            if self.length < 0 or (self.length and not 0 <= low <= high < size):
                msg = f"{self.length} elements from {self.start} on do not lie in an axis of size {size}"
                raise ShapeError(msg)
        if self.length == 0:
            return ":0"
        after = last + (1 if self.step > 0 else -1)
        if isinstance(self.length, Dim) and builtins.abs(self.step) > 1:  # there may be none: it is the start then
            after = last + self.step
        if self.step < 0:
            from_end = self.start - size
            start = "" if from_end == -1 else str(from_end if isinstance(from_end, int) else self.start)
            if isinstance(after, Dim):  # counted from the end it is negative whatever the size: N - 4 could be -1
                after -= size
            return f"{start}:{'' if after == -1 else after}:{self.step}"
        ends = after == size or (self.step > 1 and self.length == (size - self.start + self.step - 1) // self.step)
        step = f":{self.step}" if self.step > 1 else ""
        return f"{self.start or ''}:{'' if ends else after}{step}"


def slice_run(part: slice, size: Size) -> Run:
    """Resolve a slice against an axis; what must hold for a named size is assumed and checked at the call."""
    step = 1 if part.step is None else part.step
    if not isinstance(step, Integral) or step == 0:
        msg = f"the step of a slice is a non-zero int, not {part.step!r}"
        raise ShapeError(msg)
    step = int(step)
    if isinstance(size, int) and all(bound is None or isinstance(bound, Integral) for bound in (part.start, part.stop)):
        taken = range(*part.indices(size))
        return Run(taken.start, len(taken), step if len(taken) > 1 else 1) if taken else Run(0, 0, 1)
    down = step < 0
    start = _bound(part.start, size, size - 1 if down else 0)
    stop = _bound(part.stop, size, -1 if down else size)
    span = start - stop if down else stop - start
    if isinstance(span, int) and span <= 0:
        return Run(0, 0, 1)
    length = (span + builtins.abs(step) - 1) // builtins.abs(step)
    return Run(start, length, 1 if length == 1 else step)


def _bound(bound: Any, size: Size, default: Size) -> Size:
    if bound is None:
        return default
    if isinstance(bound, Dim):
        return bound
    if not isinstance(bound, Integral):
        msg = f"the bounds of a slice are ints or sizes, not {bound!r}"
        raise ShapeError(msg)
    position = int(bound)
    return size + position if position < 0 else position


def single_run(part: Any, size: Size) -> Run:
    """Resolve an int or a size against an axis, as the slice that has this element alone."""
    if isinstance(size, int) and not isinstance(part, Dim) and not -size <= int(part) < size:
        msg = f"{part} is out of range for size {size}"
        raise ShapeError(msg)
    return Run(_bound(part, size, 0), 1, 1)


def _slice_shape(x: Shape, *, runs: tuple[Run, ...]) -> Shape:
    return x[: len(x) - len(runs)] + tuple(run.length for run in runs)


def runs_text(runs: tuple[Run, ...], shape: Shape, dropped: Collection[int] = ()) -> str:
    """Write slices of the last axes as an index, and those of axes that are dropped, from the right, as numbers."""
    parts = [":"] * (len(shape) - len(runs))
    parts += [run.text(size) for run, size in zip(runs, shape[len(shape) - len(runs) :], strict=True)]
    for axis in dropped:
        parts[axis] = str(runs[axis].start)
    while len(parts) > 1 and parts[-1] == ":":
        parts.pop()
    return ", ".join(parts)


def _slice_form(params: Params, shapes: tuple[Shape, ...]) -> Form:
    return Form(f"$0[{runs_text(params['runs'], shapes[0])}]", ATOM, (ATOM,))


def _forward_slice_form(params: Params, shapes: tuple[Shape, ...]) -> Form:
    """Write a slice without negative steps, which not all libraries have: the same elements, turned round."""
    runs = params["runs"]
    first = len(shapes[0]) - len(runs)
    turned = tuple(first + at for at, run in enumerate(runs) if run.step < 0)
    forward = tuple(
        Run(run.start + (run.length - 1) * run.step, run.length, -run.step) if run.step < 0 else run for run in runs
    )
    text = runs_text(forward, shapes[0])
    part = "$0" if text == ":" else f"$0[{text}]"
    return Form(f"np.flip({part}, axis={turned})") if turned else _slice_form(params, shapes)


SLICE = Op(
    name="slice",
    doc="Take a regular run of elements from each axis.",
    shape=_slice_shape,
    dtype=kept_dtype,
    vjps=(lambda g, _y, x, *, runs: apply(UNSLICE, g, runs=runs, into=x.shape[x.ndim - len(runs) :]),),
    numpy=_slice_form,
    portable=_forward_slice_form,
    text=_slice_form,
    latex=_slice_form,
    cost=free,
    cases=(
        Case(((5,),), {"runs": (Run(1, 2, 2),)}),
        Case(((2, 4),), {"runs": (Run(3, 4, -1),)}),
        Case(((3, 4),), {"runs": (Run(0, 2, 1), Run(1, 3, 1))}),
    ),
    options={"runs": ()},
)


def _unslice_shape(g: Shape, *, runs: tuple[Run, ...], into: Shape) -> Shape:
    return g[: len(g) - len(runs)] + into


PUT = '''
def put(values, shape, index):
    """Zeros of a shape, with values at an index."""
    out = np.zeros(shape, values.dtype)
    out[index] = values
    return out
'''
PORTABLE_PUT = '''
def put(values, shape, index):
    """Zeros of a shape, with values at an index: each axis takes its elements, or a zero that is joined to them."""
    for axis, part in enumerate(index):
        taken = range(shape[axis])[part]
        at = np.arange(shape[axis], device=values.device) - taken.start
        inside = (at % taken.step == 0) & (at // taken.step >= 0) & (at // taken.step < len(taken))
        zero = np.zeros((*values.shape[:axis], 1, *values.shape[axis + 1 :]), dtype=values.dtype, device=values.device)
        whole = np.concatenate([values, zero], axis=axis)
        values = np.take(whole, np.where(inside, at // taken.step, len(taken)), axis=axis)
    return values
'''
"""`PUT` without writing; a part of the index is a slice, and the last axes may have none."""


def _unslice_form(params: Params, shapes: tuple[Shape, ...]) -> Form:
    whole = shapes[0][: len(shapes[0]) - len(params["runs"])] + params["into"]
    return Form(f"put($0, {shape_text(whole)}, np.s_[{runs_text(params['runs'], whole)}])")


def _unslice_text(params: Params, shapes: tuple[Shape, ...]) -> Form:
    form = _unslice_form(params, shapes)
    return form._replace(template=form.template.replace("np.s_", ""))


def _unslice_latex(params: Params, shapes: tuple[Shape, ...]) -> Form:
    form = _unslice_text(params, shapes)
    return form._replace(template=form.template.replace("put($0", r"\operatorname{put}\left($0")[:-1] + r"\right)")


UNSLICE: Op = Op(
    name="unslice",
    doc="Put elements back where a slice took them, among zeros.",
    shape=_unslice_shape,
    dtype=kept_dtype,
    vjps=(lambda g, _y, _x, *, runs, into: apply(SLICE, g, runs=runs),),
    numpy=_unslice_form,
    text=_unslice_text,
    latex=_unslice_latex,
    helper=PUT,
    portable_helper=PORTABLE_PUT,
    cost=free,
    cases=(Case(((2,),), {"runs": (Run(1, 2, 2),), "into": (5,)}),),
    options={"runs": (), "into": ()},
)


def are_whole(runs: Sequence[Run], shape: Shape) -> bool:
    """Tell whether runs, which are of the last axes, take all of an array of this shape."""
    return all(run == (0, size, 1) for run, size in zip(runs, shape[len(shape) - len(runs) :], strict=True))


def sliced(x: Expr, runs: Sequence[Run]) -> Expr:
    """Take runs from the last axes."""
    return x if are_whole(runs, x.shape) else apply(SLICE, x, runs=tuple(runs))


def operands_of(name: str, arrays: Sequence[Operand]) -> list[Operand]:
    """Leave expressions and Python's numbers, which are weak, as they are; close the rest in constants."""
    given: object = arrays  # who has no type checker may pass the first of them
    if isinstance(given, Expr):
        msg = f"{name} takes a list of arrays, not the expression {given.describe()}: write sb.{name}([…])"
        raise ShapeError(msg)
    if not len(arrays):
        msg = f"{name}: give one array at least"
        raise ShapeError(msg)
    graph = graph_of(*arrays)
    return [x if isinstance(x, Expr) or type(x) in {bool, int, float} else as_expr(x, graph=graph) for x in arrays]


def _rank(x: Operand) -> int:
    return x.ndim if isinstance(x, Expr) else 0


# --- joining --------------------------------------------------------------------------------------------------


def _concatenated_shape(*xs: Shape, axis: int) -> Shape:
    total: Size = 0
    for x in xs:
        if len(x) != len(xs[0]):
            msg = "the numbers of axes differ"
            raise ShapeError(msg)
        if any(a != b for at, (a, b) in enumerate(zip(x, xs[0], strict=True)) if at - len(x) != axis):
            msg = f"sizes off axis {axis + len(xs[0])} differ"
            raise ShapeError(msg)
        total = x[axis] + total
    at = len(xs[0]) + axis
    return (*xs[0][:at], total, *xs[0][at + 1 :])


@lru_cache(maxsize=64)
def starts(sizes: tuple[Size, ...]) -> tuple[Size, ...]:
    """Give where each of the arrays of these sizes begins that are joined."""
    return (0, *accumulate(sizes, lambda start, size: size + start))


def _concatenate_vjp(g: Expr, _y: Expr, *xs: Expr, axis: int, position: int) -> Expr:
    start = starts(tuple([x.shape[axis] for x in xs]))[position]
    size = xs[position].shape
    runs = (Run(start, size[axis], 1), *(Run(0, size[after], 1) for after in range(axis + 1, 0)))
    return apply(SLICE, g, runs=runs)


def _joined(function: str, grow: int) -> Any:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        axis = params["axis"] + len(shapes[0]) + grow
        operands = "$*," if len(shapes) == 1 else "$*"
        return Form(f"{function}(({operands}){f', axis={axis}' if axis else ''})")

    return notation


CONCATENATE = Op(
    name="concatenate",
    doc="Join along an axis.",
    shape=_concatenated_shape,
    dtype=promoted,
    vjps=(_concatenate_vjp,),
    variadic=True,
    numpy=_joined("np.concatenate", 0),
    text=_joined("concatenate", 0),
    latex=_joined(r"\operatorname{concatenate}", 0),
    cost=free,
    cases=(Case(((2,), (3,)), {"axis": -1}), Case(((2, 3), (1, 3), (2, 3)), {"axis": -2})),
    options={"axis": -1},
)


def concatenate(arrays: Sequence[Operand], axis: int | None = 0) -> Expr:
    """Join arrays along an axis that they have.

    Args:
        arrays: the arrays.
        axis: along which axis; None joins all elements of all arrays, each in row-major order.

    Raises:
        ShapeError: no arrays, or sizes differ off the axis.

    >>> import symbackprop as sb
    >>> sb.concatenate([sb.symbol("a", "N"), sb.symbol("b", "M")]).shape
    (M + N,)
    """
    operands = operands_of("concatenate", arrays)
    if axis is None:
        operands, axis = [ravel(x) for x in exprs_of("concatenate", operands)], 0
    if not all(map(_rank, operands)):
        msg = "concatenate: a scalar has no axis to join along; use stack"
        raise ShapeError(msg)
    (right,) = axes_of("concatenate", as_expr(operands[0]), axis)
    return apply(CONCATENATE, *operands, axis=right)


def _stacked_shape(*xs: Shape, axis: int) -> Shape:
    if any(x != xs[0] for x in xs):
        msg = "the shapes differ"
        raise ShapeError(msg)
    at = len(xs[0]) + 1 + axis
    return (*xs[0][:at], len(xs), *xs[0][at:])


def _stack_vjp(g: Expr, _y: Expr, *xs: Expr, axis: int, position: int) -> Expr:
    after = xs[0].shape[len(xs[0].shape) + 1 + axis :]
    runs = (Run(position, 1, 1), *(Run(0, size, 1) for size in after))
    return squeeze(apply(SLICE, g, runs=runs), axis)


def _stack_numpy(params: Params, shapes: tuple[Shape, ...]) -> Form:
    return Form("np.array([$*])") if not shapes[0] else _joined("np.stack", 1)(params, shapes)


STACK = Op(
    name="stack",
    doc="Join along a new axis.",
    shape=_stacked_shape,
    dtype=promoted,
    vjps=(_stack_vjp,),
    variadic=True,
    numpy=_stack_numpy,
    portable=_joined("np.stack", 1),
    text=_joined("stack", 1),
    latex=_joined(r"\operatorname{stack}", 1),
    cost=free,
    cases=(Case(((2,), (2,)), {"axis": -1}), Case(((2, 3), (2, 3)), {"axis": -3}), Case(((), ()), {"axis": -1})),
    options={"axis": -1},
)


def stack(arrays: Sequence[Operand], axis: int = 0) -> Expr:
    """Join arrays of one shape along a new axis.

    Raises:
        ShapeError: no arrays, or the shapes differ.

    >>> import symbackprop as sb
    >>> sb.stack([sb.symbol("a", "N"), sb.symbol("b", "N")], axis=-1).shape
    (N, 2)
    """
    operands = operands_of("stack", arrays)
    (right,) = axes_of("stack", as_expr(operands[0]), axis, new=True)
    return apply(STACK, *operands, axis=right)

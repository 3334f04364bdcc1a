"""`Expr`, the handle on one node of the graph: operators, indexing and NumPy's protocols.

The one loop of the domain is cut here: operators of `Expr` need the ops, ops make `Expr`s. `_ops` is the place.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeAlias
from weakref import ref

import numpy as np

from symbackprop import dims
from symbackprop.errors import GraphError, ShapeError, Where
from symbackprop.refusals import METHODS

if TYPE_CHECKING:
    from types import FrameType, ModuleType

    from symbackprop.dims import Shape, ShapeLike
    from symbackprop.graph import Count, Graph, Node
    from symbackprop.op import Op
    from symbackprop.ops.at import At

Operand: TypeAlias = "Expr | np.ndarray[Any, Any] | np.generic | float | int | bool | dims.Dim"

BY_ELEMENTS = "__symbackprop_compares_by_elements__"
"""A global name of functions that are run on symbols: there `==` means what it means for arrays, and so on."""
_PACKAGE = os.path.dirname(__file__) + os.sep  # noqa: PTH120  (pathlib costs an import several ms)


@cache
def _ops() -> ModuleType:
    from symbackprop import ops  # noqa: PLC0415  (the one place where the loop is cut)

    return ops


def user_line() -> Where | None:
    """Give the innermost place outside of this package that led here."""
    frame = sys._getframe(1)  # noqa: SLF001  (the documented way to look at one's caller)
    while frame.f_code.co_filename.startswith(_PACKAGE):
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return Where(frame.f_code.co_filename, frame.f_lineno)


class Expr:
    """An array expression: a handle on one node of a `Graph`.

    ``==`` means *the same node*, so expressions are dictionary keys; `symbackprop.equal` compares values, and
    ``< <= > >=`` build nodes.

    Attributes:
        graph: the graph that the node lives in.
        number: the node's number there.
        node: what the graph knows about it.

    >>> import symbackprop as sb
    >>> X, w = sb.symbols("X[N,D] w[D]")
    >>> z = X @ w
    >>> z.shape, z.dtype, z.op.name
    ((N,), dtype('float64'), 'matmul')
    """

    __slots__ = ("__weakref__", "_inputs", "graph", "node", "number")
    _inputs: tuple[Expr, ...] | None
    graph: Graph
    number: int
    node: Node

    views: ClassVar[dict[str, Callable[..., Any]]] = {}  # what the printing layer knows to show of an Expr
    __array_priority__ = 1000

    def __new__(cls, graph: Graph, number: int) -> Expr:  # noqa: PYI034  (the handle that lives may be returned)
        """Give the one living handle on this node."""
        handle = graph.handles.get(number, NoneType)()
        if handle is None:
            with graph.lock:  # or two threads would make two
                handle = graph.handles.get(number, NoneType)()
                if handle is None:
                    handle = object.__new__(cls)
                    handle._inputs = None
                    handle.graph = graph
                    handle.number = number
                    handle.node = graph.nodes[number]
                    graph.handles[number] = ref(handle)
        return handle

    @property
    def op(self) -> Op:
        """The operation that makes this value."""
        return self.node.op

    @property
    def inputs(self) -> tuple[Expr, ...]:
        """The operands."""
        if self._inputs is None:
            self._inputs = tuple([Expr(self.graph, number) for number in self.node.inputs])
        return self._inputs

    @property
    def params(self) -> Mapping[str, Any]:
        """The operation's parameters, such as its axes."""
        return self.node.params

    @property
    def shape(self) -> Shape:
        """The sizes: ints, and named sizes that equal their names."""
        return self.node.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype."""
        return self.node.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.node.shape)

    @property
    def size(self) -> dims.Size:
        """The number of elements."""
        return dims.product(self.node.shape)

    @property
    def name(self) -> str | None:
        """The symbol's name, or the name given with `named`."""
        node = self.node
        return node.params["name"] if node.op.name == "symbol" else node.label

    def named(self, name: str) -> Expr:
        """Name this value, for formulas, tables, drawings and the generated code; gives the expression itself.

        Raises:
            GraphError: the name is empty or no text, or this is a symbol, which has one.

        >>> import symbackprop as sb
        >>> x = sb.symbol("x")
        >>> (x + 1).named("z").name
        'z'
        """
        text: object = name  # who has no type checker may pass anything
        if not isinstance(text, str) or not text.strip():
            msg = f"a name is a text such as 'z', not {name!r}: {self.describe()}"
            raise GraphError(msg)
        if self.op.name == "symbol":
            msg = f"the symbol {self.name} has a name already"
            raise GraphError(msg)
        self.graph.set_label(self.number, name)
        return self

    def __eq__(self, other: object) -> Any:
        """Tell whether both are the same node: a truth value, which is no operand.

        Raises:
            TypeError: the other is a number, which no node is; values are compared by `symbackprop.equal`.
        """
        return self._compared(other, "==", "equal")

    def __ne__(self, other: object) -> Any:
        """Tell whether they are different nodes, as `==` tells the opposite.

        Raises:
            TypeError: the other is a number.
        """
        return self._compared(other, "!=", "not_equal")

    def _compared(self, other: object, sign: str, function: str) -> Any:
        if BY_ELEMENTS in sys._getframe(2).f_globals and isinstance(  # noqa: SLF001  (as in user_line)
            other, Expr | int | float | np.generic | np.ndarray | list | tuple
        ):
            return getattr(_ops(), function)(self, other)
        if isinstance(other, int | float):
            msg = (
                f"{sign} tells whether two expressions are the same one, and {other!r} is none: "
                f"to compare the values of {self.describe()} write np.{function}(…, {other!r})"
            )
            raise TypeError(msg)
        if self is other:
            return sign == "=="
        return Different(self, other, sign, function) if isinstance(other, Expr) else NotImplemented

    __hash__ = object.__hash__

    # --- arithmetic -------------------------------------------------------------------------------------------

    def __add__(self, other: Operand) -> Expr:
        """Add."""
        return _ops().add(self, other)  # type: ignore[no-any-return]

    def __radd__(self, other: Operand) -> Expr:
        """Add."""
        return _ops().add(other, self)  # type: ignore[no-any-return]

    def __sub__(self, other: Operand) -> Expr:
        """Subtract."""
        return _ops().subtract(self, other)  # type: ignore[no-any-return]

    def __rsub__(self, other: Operand) -> Expr:
        """Subtract from."""
        return _ops().subtract(other, self)  # type: ignore[no-any-return]

    def __mul__(self, other: Operand) -> Expr:
        """Multiply elementwise."""
        return _ops().multiply(self, other)  # type: ignore[no-any-return]

    def __rmul__(self, other: Operand) -> Expr:
        """Multiply elementwise."""
        return _ops().multiply(other, self)  # type: ignore[no-any-return]

    def __truediv__(self, other: Operand) -> Expr:
        """Divide elementwise."""
        return _ops().divide(self, other)  # type: ignore[no-any-return]

    def __rtruediv__(self, other: Operand) -> Expr:
        """Divide by this, elementwise."""
        return _ops().divide(other, self)  # type: ignore[no-any-return]

    def __floordiv__(self, other: Operand) -> Expr:
        """Divide and round down."""
        return _ops().floor_divide(self, other)  # type: ignore[no-any-return]

    def __rfloordiv__(self, other: Operand) -> Expr:
        """Divide by this and round down."""
        return _ops().floor_divide(other, self)  # type: ignore[no-any-return]

    def __mod__(self, other: Operand) -> Expr:
        """Give the remainder of the floor division."""
        return _ops().remainder(self, other)  # type: ignore[no-any-return]

    def __rmod__(self, other: Operand) -> Expr:
        """Give the remainder of the floor division by this."""
        return _ops().remainder(other, self)  # type: ignore[no-any-return]

    def __divmod__(self, other: Operand) -> tuple[Expr, Expr]:
        """Give quotient and remainder of the floor division."""
        return _ops().divmod(self, other)  # type: ignore[no-any-return]

    def __rdivmod__(self, other: Operand) -> tuple[Expr, Expr]:
        """Give quotient and remainder of the floor division by this."""
        return _ops().divmod(other, self)  # type: ignore[no-any-return]

    def __pow__(self, other: Operand) -> Expr:
        """Raise to a power; ``x**2`` is `square`."""
        if isinstance(other, int) and other == 2:
            return _ops().square(self)  # type: ignore[no-any-return]
        return _ops().power(self, other)  # type: ignore[no-any-return]

    def __rpow__(self, other: Operand) -> Expr:
        """Raise the other to this power."""
        return _ops().power(other, self)  # type: ignore[no-any-return]

    def __matmul__(self, other: Operand) -> Expr:
        """Multiply matrices."""
        return _ops().matmul(self, other)  # type: ignore[no-any-return]

    def __rmatmul__(self, other: Operand) -> Expr:
        """Multiply matrices."""
        return _ops().matmul(other, self)  # type: ignore[no-any-return]

    def __neg__(self) -> Expr:
        """Negate."""
        return _ops().negative(self)  # type: ignore[no-any-return]

    def __pos__(self) -> Expr:
        """Give the expression itself."""
        return self

    def __abs__(self) -> Expr:
        """Give the absolute value."""
        return _ops().abs(self)  # type: ignore[no-any-return]

    def __round__(self, ndigits: int | None = None) -> Expr:
        """Round to some decimals."""
        return _ops().round(self, ndigits or 0)  # type: ignore[no-any-return]

    def __floor__(self) -> Expr:
        """Round down."""
        return _ops().floor(self)  # type: ignore[no-any-return]

    def __ceil__(self) -> Expr:
        """Round up."""
        return _ops().ceil(self)  # type: ignore[no-any-return]

    def __trunc__(self) -> Expr:
        """Round towards zero."""
        return _ops().trunc(self)  # type: ignore[no-any-return]

    def __lt__(self, other: Operand) -> Expr:
        """Compare elementwise."""
        return _ops().less(self, other)  # type: ignore[no-any-return]

    def __le__(self, other: Operand) -> Expr:
        """Compare elementwise."""
        return _ops().less_equal(self, other)  # type: ignore[no-any-return]

    def __gt__(self, other: Operand) -> Expr:
        """Compare elementwise."""
        return _ops().greater(self, other)  # type: ignore[no-any-return]

    def __ge__(self, other: Operand) -> Expr:
        """Compare elementwise."""
        return _ops().greater_equal(self, other)  # type: ignore[no-any-return]

    def __invert__(self) -> Expr:
        """Give the logical not of bools, the other bits of integers."""
        return _ops().invert(self)  # type: ignore[no-any-return]

    def __and__(self, other: Operand) -> Expr:
        """Give the logical and of bools, that of the bits of integers."""
        return _ops().bitwise_and(self, other)  # type: ignore[no-any-return]

    def __rand__(self, other: Operand) -> Expr:
        """Give the logical and of bools, that of the bits of integers."""
        return _ops().bitwise_and(other, self)  # type: ignore[no-any-return]

    def __or__(self, other: Operand) -> Expr:
        """Give the logical or of bools, that of the bits of integers."""
        return _ops().bitwise_or(self, other)  # type: ignore[no-any-return]

    def __ror__(self, other: Operand) -> Expr:
        """Give the logical or of bools, that of the bits of integers."""
        return _ops().bitwise_or(other, self)  # type: ignore[no-any-return]

    def __xor__(self, other: Operand) -> Expr:
        """Tell where bools differ, or give the bits in which integers do."""
        return _ops().bitwise_xor(self, other)  # type: ignore[no-any-return]

    def __rxor__(self, other: Operand) -> Expr:
        """Tell where bools differ, or give the bits in which integers do."""
        return _ops().bitwise_xor(other, self)  # type: ignore[no-any-return]

    def __lshift__(self, other: Operand) -> Expr:
        """Move the bits of integers to the left."""
        return _ops().left_shift(self, other)  # type: ignore[no-any-return]

    def __rlshift__(self, other: Operand) -> Expr:
        """Move the bits of another integer to the left by this many."""
        return _ops().left_shift(other, self)  # type: ignore[no-any-return]

    def __rshift__(self, other: Operand) -> Expr:
        """Move the bits of integers to the right."""
        return _ops().right_shift(self, other)  # type: ignore[no-any-return]

    def __rrshift__(self, other: Operand) -> Expr:
        """Move the bits of another integer to the right by this many."""
        return _ops().right_shift(other, self)  # type: ignore[no-any-return]

    # --- layout and reductions --------------------------------------------------------------------------------

    @property
    def T(self) -> Expr:
        """The transpose: the axes in reverse order."""
        return _ops().transpose(self)  # type: ignore[no-any-return]

    def __getitem__(self, index: object) -> Expr:
        """Index as NumPy does: with ints, slices, ``None``, ``...``, arrays of integers and known masks."""
        return _ops().getitem(self, index)  # type: ignore[no-any-return]

    def take(self, indices: Operand | Sequence[int], axis: int | None = None, mode: str = "raise") -> Expr:
        """Take elements along an axis."""
        return _ops().take(self, indices, axis, mode)  # type: ignore[no-any-return]

    def argsort(self, axis: int | None = -1, kind: str | None = None) -> Expr:
        """Give the indices that sort along an axis."""
        return _ops().argsort(self, axis, kind)  # type: ignore[no-any-return]

    def argpartition(self, kth: int | Sequence[int], axis: int | None = -1) -> Expr:
        """Give the indices that bring the kth element to its sorted place."""
        return _ops().argpartition(self, kth, axis)  # type: ignore[no-any-return]

    def searchsorted(self, v: Operand, side: str = "left", sorter: Operand | None = None) -> Expr:
        """Give where values would have to be inserted in this sorted array."""
        return _ops().searchsorted(self, v, side, sorter)  # type: ignore[no-any-return]

    def compress(self, condition: Operand | Sequence[bool], axis: int | None = None) -> Expr:
        """Take along an axis where a known condition holds."""
        return _ops().compress(condition, self, axis)  # type: ignore[no-any-return]

    def choose(self, choices: Operand | Sequence[Operand], mode: str = "raise") -> Expr:
        """Give for each element that of the choice that it numbers."""
        return _ops().choose(self, choices, mode)  # type: ignore[no-any-return]

    def nonzero(self, *, size: int | None = None, fill_value: int = 0) -> tuple[Expr, ...]:
        """Give the places of the elements that are not zero, `size` of them."""
        return _ops().nonzero(self, size=size, fill_value=fill_value)  # type: ignore[no-any-return]

    @property
    def at(self) -> At:
        """Functional writes: ``x.at[i].set(v)`` is x with v at i; also ``add multiply min max …``.

        >>> import symbackprop as sb
        >>> x = sb.symbol("x", 3)
        >>> sb.evaluate(x.at[0].set(5), {x: [1.0, 2.0, 3.0]})
        array([5., 2., 3.])
        """
        return _ops().at.At(self)  # type: ignore[no-any-return]

    def dot(self, other: Operand) -> Expr:
        """Give the dot product, as `symbackprop.dot` does."""
        return _ops().dot(self, other)  # type: ignore[no-any-return]

    @property
    def mT(self) -> Expr:
        """The transposes of the matrices along the last two axes."""
        return _ops().matrix_transpose(self)  # type: ignore[no-any-return]

    def reshape(self, *shape: ShapeLike, order: str = "C") -> Expr:
        """Give the same elements in another shape."""
        return _ops().reshape(self, shape[0] if len(shape) == 1 else shape, order)  # type: ignore[no-any-return]

    def ravel(self, order: str = "C") -> Expr:
        """Give all elements along one axis."""
        return _ops().ravel(self, order)  # type: ignore[no-any-return]

    def flatten(self, order: str = "C") -> Expr:
        """Give all elements along one axis."""
        return _ops().flatten(self, order)  # type: ignore[no-any-return]

    def copy(self) -> Expr:
        """Give the expression itself: nothing can write to it."""
        return self

    def swapaxes(self, axis1: int, axis2: int) -> Expr:
        """Swap two axes."""
        return _ops().swapaxes(self, axis1, axis2)  # type: ignore[no-any-return]

    def repeat(self, repeats: object, axis: int | None = None) -> Expr:
        """Repeat each element, or each part along an axis."""
        return _ops().repeat(self, repeats, axis)  # type: ignore[no-any-return]

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Expr:
        """Give the diagonals of matrices."""
        return _ops().diagonal(self, offset, axis1, axis2)  # type: ignore[no-any-return]

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Expr:
        """Give the sums of the diagonals of matrices."""
        return _ops().trace(self, offset, axis1, axis2)  # type: ignore[no-any-return]

    def transpose(self, *axes: int | Sequence[int] | None) -> Expr:
        """Permute the axes, given one by one or as a tuple; without arguments reverse them."""
        wanted = axes[0] if len(axes) == 1 and not hasattr(axes[0], "__index__") else axes or None
        return _ops().transpose(self, wanted)  # type: ignore[no-any-return]

    def astype(self, dtype: object) -> Expr:
        """Convert to another dtype."""
        return _ops().astype(self, dtype)  # type: ignore[no-any-return]

    def squeeze(self, axis: int | Sequence[int] | None = None) -> Expr:
        """Remove axes of size 1."""
        return _ops().squeeze(self, axis)  # type: ignore[no-any-return]

    def sum(self, axis: int | Sequence[int] | None = None, *args: Any, **kwargs: Any) -> Expr:
        """Sum over axes, as `symbackprop.sum`."""
        return _ops().sum(self, axis, *args, **kwargs)  # type: ignore[no-any-return]

    def mean(self, axis: int | Sequence[int] | None = None, *args: Any, **kwargs: Any) -> Expr:
        """Average over axes, as `symbackprop.mean`."""
        return _ops().mean(self, axis, *args, **kwargs)  # type: ignore[no-any-return]

    def prod(self, axis: int | Sequence[int] | None = None, *args: Any, **kwargs: Any) -> Expr:
        """Multiply over axes, as `symbackprop.prod`."""
        return _ops().prod(self, axis, *args, **kwargs)  # type: ignore[no-any-return]

    def max(self, axis: int | Sequence[int] | None = None, *args: Any, **kwargs: Any) -> Expr:
        """Give the largest element over axes, as `symbackprop.max`."""
        return _ops().max(self, axis, *args, **kwargs)  # type: ignore[no-any-return]

    def min(self, axis: int | Sequence[int] | None = None, *args: Any, **kwargs: Any) -> Expr:
        """Give the smallest element over axes, as `symbackprop.min`."""
        return _ops().min(self, axis, *args, **kwargs)  # type: ignore[no-any-return]

    def var(self, axis: int | Sequence[int] | None = None, *args: Any, **kwargs: Any) -> Expr:
        """Give the variance over axes, as `symbackprop.var`."""
        return _ops().var(self, axis, *args, **kwargs)  # type: ignore[no-any-return]

    def std(self, axis: int | Sequence[int] | None = None, *args: Any, **kwargs: Any) -> Expr:
        """Give the standard deviation over axes, as `symbackprop.std`."""
        return _ops().std(self, axis, *args, **kwargs)  # type: ignore[no-any-return]

    def any(self, axis: int | Sequence[int] | None = None, *args: Any, **kwargs: Any) -> Expr:
        """Tell whether an element over axes is not zero, as `symbackprop.any`."""
        return _ops().any(self, axis, *args, **kwargs)  # type: ignore[no-any-return]

    def all(self, axis: int | Sequence[int] | None = None, *args: Any, **kwargs: Any) -> Expr:
        """Tell whether all elements over axes are not zero, as `symbackprop.all`."""
        return _ops().all(self, axis, *args, **kwargs)  # type: ignore[no-any-return]

    def argmax(self, axis: int | None = None, *args: Any, **kwargs: Any) -> Expr:
        """Give the position of the largest element, as `symbackprop.argmax`."""
        return _ops().argmax(self, axis, *args, **kwargs)  # type: ignore[no-any-return]

    def argmin(self, axis: int | None = None, *args: Any, **kwargs: Any) -> Expr:
        """Give the position of the smallest element, as `symbackprop.argmin`."""
        return _ops().argmin(self, axis, *args, **kwargs)  # type: ignore[no-any-return]

    def clip(self, min: Operand | None = None, max: Operand | None = None) -> Expr:
        """Limit to an interval."""
        return _ops().clip(self, min, max)  # type: ignore[no-any-return]

    def item(self, *index: int) -> Expr:
        """Give one element: the only one, or that of an index, in the flattened array if it is one number.

        Raises:
            ShapeError: no index is told, and there is not just one element.

        >>> import symbackprop as sb
        >>> x = sb.symbol("x", (1, 2))
        >>> x[:, :1].item().shape, x.item(1).shape, x.item(0, 1).shape
        ((), (), ())
        """
        if not index:
            return _ops().reshape(self, ())  # type: ignore[no-any-return]
        return _ops().ravel(self)[index[0]] if len(index) == 1 else self[index]

    def round(self, decimals: int = 0) -> Expr:
        """Round to some decimals."""
        return _ops().round(self, decimals)  # type: ignore[no-any-return]

    def cumsum(self, axis: int | None = None, *args: Any, **kwargs: Any) -> Expr:
        """Sum the elements up to each one, as `symbackprop.cumsum`."""
        return _ops().cumsum(self, axis, *args, **kwargs)  # type: ignore[no-any-return]

    def cumprod(self, axis: int | None = None, *args: Any, **kwargs: Any) -> Expr:
        """Multiply the elements up to each one, as `symbackprop.cumprod`."""
        return _ops().cumprod(self, axis, *args, **kwargs)  # type: ignore[no-any-return]

    # --- protocols --------------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Operand, **kwargs: object) -> Any:
        """Let ``np.exp(expr)``, ``array * expr`` and ``np.add.reduce(expr)`` build nodes."""
        return _ops().protocols.of_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(
        self, func: Callable[..., Any], _types: object, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Let ``np.sum(expr, axis=0)`` build nodes, and ``np.shape(expr)`` tell what is known."""
        return _ops().protocols.of_function(func, args, kwargs)

    def __array__(self, *_: object, **__: object) -> NoReturn:
        """Refuse to become an array: an expression has no values."""
        msg = f"{self.describe()} is an expression and has no values: {_instead_of_array(sys._getframe(1))}"  # noqa: SLF001  (as in user_line)
        raise TypeError(msg)

    def __setitem__(self, index: object, value: object) -> NoReturn:
        """Refuse: an expression is what it is for good."""
        msg = (
            f"{self.describe()} is an expression and never changes: "
            "write y = x.at[index].set(value) in place of x[index] = value, and .add for +="
        )
        raise TypeError(msg)

    def _no_number(self) -> NoReturn:
        """Refuse to become a number."""
        msg = (
            f"{self.describe()} is an expression and no number: where you call a function of math, call "
            "symbackprop's (sb.exp, not math.exp); in place of filling an array element by element write sb.array "
            "of the elements; to get numbers use sb.compile or sb.evaluate"
        )
        raise TypeError(msg)

    __float__ = __int__ = __complex__ = _no_number

    def __bool__(self) -> NoReturn:
        """Refuse: the value is not known while the graph is built."""
        msg = (
            f"the truth of {self.describe()} is not known while the graph is built: "
            "use sb.where(condition, a, b) in place of if, `and`, `or`; & | ~ for logic"
        )
        raise TypeError(msg)

    def __len__(self) -> int:
        """Give the size of the first axis, where that is a number."""
        if not self.shape or not isinstance(self.shape[0], int):
            what = f"the named size {self.shape[0]}" if self.shape else "no axes"
            msg = f"{self.describe()} has {what}, so no length: use .shape"
            raise TypeError(msg)
        return self.shape[0]

    def __iter__(self) -> Iterator[Expr]:
        """Iterate over the first axis, where its size is a number.

        Raises:
            TypeError: it is none.
        """
        if not self.shape or not isinstance(self.shape[0], int):
            why = f"its first axis has the named size {self.shape[0]}" if self.shape else "it is a scalar"
            msg = f"{self.describe()} cannot be iterated over: {why}; write the formula for whole arrays, with sb.sum"
            raise TypeError(msg)
        return (self[position] for position in range(len(self)))

    if not TYPE_CHECKING:  # or every name would seem to be there

        def __getattr__(self, name: str) -> NoReturn:
            """Say why an attribute that NumPy's arrays have is not there."""
            reason = METHODS.get(name)
            msg = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(f"{msg}: {reason}: {self.describe()}" if reason else msg, name=name, obj=self)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a node means nothing without its graph."""
        msg = f"{self.describe()} lives in a graph and cannot be pickled or copied"
        raise TypeError(msg)

    def __str__(self) -> str:
        """Give the formula."""
        return str(self.views["text"](self))

    def __repr__(self) -> str:
        """Give dtype, shape and formula."""
        return f"<{self.dtype}{dims.show(self.shape)}: {self}>"

    def __format__(self, spec: str) -> str:
        """Format the formula as text.

        Raises:
            TypeError: the format is one of numbers, but in functions that are run on symbols.
        """
        try:
            return format(str(self), spec)
        except ValueError:
            if BY_ELEMENTS in sys._getframe(1).f_globals:  # noqa: SLF001  (as in user_line)
                return self.describe()
            msg = f"{self.describe()} is a formula and no number, so {spec!r} cannot format it: use sb.evaluate first"
            raise TypeError(msg) from None

    def text(self, **options: Any) -> str:
        """Give the formula as Unicode text; the options are those of `symbackprop.printing.text`."""
        return str(self.views["text"](self, **options))

    def latex(self, **options: Any) -> str:
        """Give the formula as LaTeX; the options are those of `symbackprop.printing.latex`."""
        return str(self.views["latex"](self, **options))

    def numpy_code(self, **options: Any) -> str:
        """Give NumPy code to be pasted; the options are those of `symbackprop.numpy_code`."""
        return str(self.views["numpy_code"](self, **options))

    def to_dot(self, **options: Any) -> str:
        """Give the graph of this expression in Graphviz's DOT language."""
        return str(self.views["dot"](self, **options))

    def to_sympy(self) -> Any:
        """Give this expression in SymPy: a scalar, a matrix or an array, as `symbackprop.sympy_forms.to_sympy` says."""
        return self.views["sympy"](self)

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex(line_width=None)}$"

    def count(self) -> Count:
        """Count the operations: written out as a tree, and in the graph, where what is used twice is there once.

        A derivative written out can be exponentially longer than the graph that computes it.

        >>> import symbackprop as sb
        >>> x = sb.symbol("x")
        >>> for _ in range(10):
        ...     x = x * sb.sin(x)
        >>> print(x.count())
        2046 operations written out as a tree, 20 in the graph
        """
        return self.graph.count([self.number])

    def describe(self, depth: int = 2) -> str:
        """Give a short name for messages: the user's name, else the op applied to its operands, and the shape.

        >>> import symbackprop as sb
        >>> X, w = sb.symbols("X[N,D] w[D]")
        >>> sb.exp(X @ w).describe()
        'exp(matmul(X, w))[N]'
        """
        return self._call_text(depth) + dims.show(self.shape)

    def _call_text(self, depth: int) -> str:
        node = self.node
        if self.name is not None:
            return self.name
        if "value" in node.params:
            return "array" if node.shape else str(node.params["value"])
        if depth == 0:
            return "…"
        return f"{node.op.name}({', '.join(operand._call_text(depth - 1) for operand in self.inputs)})"  # noqa: SLF001


class Different:
    """What `==` and `!=` say of two expressions: a truth value.

    Python's own would be a number too, and ``(x == y)*z``, meant for each element, would be wrong without a word.
    """

    __slots__ = ("function", "left", "right", "sign")

    def __init__(self, left: Expr, right: Expr, sign: str, function: str) -> None:
        self.left = left
        self.right = right
        self.sign = sign
        self.function = function

    def __bool__(self) -> bool:
        return self.sign == "!="

    def __repr__(self) -> str:
        return repr(bool(self))

    def refuse(self, *_: object, **__: object) -> NoReturn:
        """Refuse to be an operand."""
        msg = (
            f"{self.sign} tells whether two expressions are the same one: to compare the values of "
            f"{self.left.describe()} and {self.right.describe()} write np.{self.function}"
        )
        raise TypeError(msg)

    __array__ = __array_ufunc__ = __array_function__ = __getattr__ = __invert__ = refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = refuse
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __neg__ = __pow__ = __float__ = __int__ = refuse


def _instead_of_array(frame: FrameType | None) -> str:
    """Say what to write for the function that wanted an array; it is known where it is written in Python."""
    called, module = "", ""
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in {"numpy", "scipy"}:
        if not frame.f_globals["__name__"].startswith("scipy._lib"):  # decorators
            called, module = frame.f_code.co_name, frame.f_globals["__name__"].partition("._")[0]
        frame = frame.f_back
    for space, prefix in ((_ops(), "sb"), (_ops().linalg, "sb.linalg")):
        if called in space.__all__:
            return f"call {prefix}.{called}"
    if module.startswith("scipy"):
        return (
            f"{module}, in {called}, computes with numbers: write the formula with functions of NumPy or "
            "scipy.special, or tell its value and its derivative with sb.define_op"
        )
    return (
        "build with symbackprop's functions (sb.array([…]) of expressions, not np.array), "
        "or compile it with sb.compile([inputs], expr) and call the result"
    )


def common_graph(exprs: Sequence[Expr], what: str) -> Graph:
    """Give the graph that all the expressions live in.

    Raises:
        GraphError: they live in two graphs.
    """
    graph = exprs[0].graph
    for expr in exprs:
        if expr.graph is not graph:
            msg = (
                f"{what}: {exprs[0].describe()} and {expr.describe()} live in different graphs: "
                "make all symbols under the same `with sb.Graph():`"
            )
            raise GraphError(msg)
    return graph


def require_scalar(expr: Expr, what: str) -> None:
    """Check that an expression has no axes.

    Raises:
        ShapeError: it has.
    """
    if expr.shape:
        msg = f"{what} takes a scalar, and {expr.describe()} is none: take a sum or a mean first"
        raise ShapeError(msg)

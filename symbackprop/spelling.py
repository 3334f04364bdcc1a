"""How NumPy code is put together: names that are plain identifiers, calls whose precedence is right."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from symbackprop import dims
from symbackprop.dims import Dim, Shape, Size
from symbackprop.op import ATOM, CONSTANT, SIZE, Dtype, Form, Op, Params


class Names:
    """Hands out names that are plain identifiers, each once."""

    def __init__(self, reserved: Iterable[str]) -> None:
        """Take the names that are not to be used."""
        self._taken = dict.fromkeys(reserved, 0)
        self._count = 0

    def take(self, wanted: str | None) -> str:
        """Give the wanted name if it is a free identifier, else one like it, else a new one."""
        if wanted is None:
            self._count += 1
            while f"t{self._count}" in self._taken:
                self._count += 1
            return self.take(f"t{self._count}")
        plain = unicodedata.normalize("NFKC", wanted)
        if not plain.isidentifier():
            plain = re.sub(r"\W+", "_", plain).strip("_")
            plain = f"v_{plain}" if plain else "v"
        if keyword.iskeyword(plain) or plain.startswith("__"):
            plain = f"v_{plain.strip('_')}"
        name = plain
        while name in self._taken:
            self._taken[plain] += 1
            name = f"{plain}_{self._taken[plain]}"
        self._taken[name] = 0
        return name


def renamed(param: Any, sizes: Mapping[str, Size]) -> Any:
    """Give an op's parameter with other names for its sizes."""
    return dims.bound(param, sizes) if sizes else param


def safe_sizes(names: Iterable[str], handed: Names) -> dict[str, Size]:
    """Reserve a name for each named size; give those whose name had to change."""
    changed: dict[str, Size] = {}
    for name in sorted(names):
        safe = handed.take(name)
        if safe != name:
            changed[name] = Dim.named(safe)
    return changed


class Spelled(NamedTuple):
    """An expression of Python.

    Attributes:
        text: what is written.
        precedence: how strongly it binds.
        shape: the shape of its value.
        dtype: the dtype of its value.
        number: the op and the parameters of a scalar that is known, or a size.
    """

    text: str
    precedence: int
    shape: Shape
    dtype: Dtype
    number: tuple[Op, Params] | None = None

    @property
    def weak(self) -> tuple[str, int]:
        """The text and the precedence where a number may be Python's, or of what is no number."""
        if self.number is None:
            return self.text, self.precedence
        op, params = self.number
        form = op.form(op.numpy, params, ())
        return form.template, form.precedence

    @property
    def kind(self) -> Any:
        """What promotion sees where a number may be Python's: that number, else the dtype."""
        if self.number is None or self.dtype.kind == "b":
            return self.dtype
        op, params = self.number
        return 1 if op is SIZE else params["value"].array.item()


def spelled(  # noqa: PLR0917  (the fields of a call, in its order)
    op: Op, params: Params, shape: Shape, dtype: Dtype, operands: Sequence[Spelled], form: Form | None = None
) -> Spelled:
    """Write one operation on expressions that are written already; numbers keep the dtype that the result needs.

    Args:
        op: the operation.
        params: its parameters.
        shape: of the result.
        dtype: of the result.
        operands: the expressions.
        form: another form than the operation's own.
    """
    if op is CONSTANT or op is SIZE:
        found = Spelled("", ATOM, shape, dtype, (op, params))
        text, precedence = found.weak
        if shape:
            return found._replace(text=text, precedence=precedence, number=None)
        return found._replace(text=f"np.{dtype.name}({text})")
    form = form or op.form(op.numpy, params, tuple(operand.shape for operand in operands))
    weak = weak_ops(op, params, dtype, operands) if any(operand.number for operand in operands) else ()
    parts = []
    for position, operand in enumerate(operands):
        is_weak = operand.number is not None and operand.number[0] in weak
        text, precedence = operand.weak if is_weak else operand[:2]
        parts.append(f"({text})" if precedence < form.need(position) else text)
    return Spelled(form.fill(parts), form.precedence, shape, dtype)


def weak_ops(op: Op, params: Params, dtype: Dtype, operands: Sequence[Spelled]) -> set[Op]:
    """Give which numbers among the operands may be Python's, because the dtype and 0-division stay NumPy's."""
    if not op.elementwise:
        return set()
    if not all(operand.number for operand in operands):
        kinds = [operand.kind for operand in operands]
        return {CONSTANT, SIZE} if op.dtype(*kinds, **params) == dtype else set()
    return {CONSTANT} if any(operand.number and operand.number[0] is SIZE for operand in operands) else set()

"""What symbackprop makes of a row: its expressions, the compiled function, the forward pass alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING

import symbackprop as sb
from tests.benchmarks.namespaces import OURS

if TYPE_CHECKING:
    from tests.benchmarks.speed.rows import Row, Sizes


def _value_and_grad(f: Callable[..., sb.Expr], xs: Sequence[sb.Expr]) -> tuple[sb.Expr, list[sb.Expr]]:
    value = f(*xs)
    return value, sb.grad(value, xs)


FUNCTIONS = SimpleNamespace(
    **OURS, value_and_grad=_value_and_grad, grad=lambda f, xs: sb.grad(f(*xs), xs),
    hessian=lambda f, x: sb.hessian(f(x), x), hvp=lambda f, xs, vs: sb.hvp(f(*xs), xs, vs),
)  # fmt: skip


def symbols(row: Row, sizes: Sizes) -> dict[str, sb.Expr]:
    """Give the arguments' symbols, with what is declared of them."""
    found = {symbol.name: symbol for symbol in sb.symbols(row.text(sizes), dtype=row.dtype)}
    for name, facts in row.facts.items():
        sb.assume(found[name], **facts)
    return found


def function(row: Row, sizes: Sizes) -> sb.Function:
    """Compile the row."""
    with sb.Graph():
        arguments = symbols(row, sizes)
        return sb.compile(list(arguments.values()), row.outputs(FUNCTIONS, arguments))


def forward(row: Row, sizes: Sizes) -> sb.Function:
    """Compile that which is differentiated, alone."""
    with sb.Graph():
        arguments = symbols(row, sizes)
        taken = {name: each for name, each in arguments.items() if not name.startswith("v") or name == "v"}
        return sb.compile(list(arguments.values()), row.value(FUNCTIONS, **taken))

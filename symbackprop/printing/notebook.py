"""What IPython and Jupyter show of lists, tuples and dictionaries that hold expressions: formulas, not their names."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from symbackprop.expr import Expr
from symbackprop.printing.latex import latex
from symbackprop.printing.names import latex_name

_MOST_SHOWN = 100  # entries


def _rows(lines: Iterable[str], columns: str, brackets: str) -> str:
    opening, closing = (rf"\{bracket}" if bracket in "{}" else bracket for bracket in brackets)
    inside = r" \\ ".join(lines)
    return rf"\left{opening}\begin{{array}}{{{columns}}}{inside}\end{{array}}\right{closing}"


def _entry(value: Expr) -> str:
    return rf"\displaystyle {latex(value, line_width=None)}"


def _word(value: Any) -> str:
    return latex_name("".join(str(value).split()))[0]


def latex_of(values: Sequence[Any] | Mapping[Any, Any]) -> str | None:
    r"""Give the expressions in a list, a tuple or a dictionary in LaTeX, one below the other, or None if none is there.

    >>> import symbackprop as sb
    >>> x, y = sb.symbols("x y")
    >>> print(latex_of([x + y, x * y]))
    \left[\begin{array}{l}\displaystyle x + y \\ \displaystyle x y\end{array}\right]
    """
    inside = list(values.values()) if isinstance(values, Mapping) else list(values)
    if not 0 < len(inside) <= _MOST_SHOWN or not all(isinstance(value, Expr) for value in inside):
        return None
    if isinstance(values, Mapping):
        keys = [latex(key) if isinstance(key, Expr) else _word(key) for key in values]
        lines = [f"{key} : & {_entry(value)}" for key, value in zip(keys, inside, strict=True)]
        return _rows(lines, "rl", "{}")
    return _rows(map(_entry, inside), "l", "()" if isinstance(values, tuple) else "[]")


def _shown(values: Any) -> str | None:
    found = latex_of(values)
    return None if found is None else f"${found}$"


def register(shell: Any) -> None:
    """Let an IPython shell show lists, tuples and dictionaries of expressions as formulas; others stay as they are."""
    formatter = shell.display_formatter.formatters["text/latex"]
    for kind in (list, tuple, dict):
        formatter.for_type(kind, _shown)


def register_where_running() -> None:
    """Register with the IPython shell that this is imported in, if there is one."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None and hasattr(module, "get_ipython") else None
    if shell is not None:
        register(shell)

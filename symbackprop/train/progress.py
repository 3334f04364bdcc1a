"""A progress bar, by tqdm where it is installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

Show: TypeAlias = Callable[[int, str], None]


@contextmanager
def bar(total: int | None, unit: str, *, wanted: bool) -> Iterator[Show]:
    """Show a progress bar with a text; what is yielded takes the number of units done since, and the text."""
    tqdm = _tqdm() if wanted else None
    if tqdm is None:
        yield lambda _steps, _text: None
        return
    with tqdm(total=total, unit=unit, mininterval=0.5) as shown:

        def show(steps: int, text: str) -> None:
            shown.set_postfix_str(text, refresh=False)
            shown.update(steps)

        yield show


def _tqdm() -> Any:
    try:
        from tqdm import tqdm  # noqa: PLC0415  (an extra, imported where it is used)
    except ImportError:
        message = "no progress bar without tqdm: python -m pip install 'symbackprop[train]', or pass progress=False"
        warnings.warn(message, stacklevel=5)
        return None
    return tqdm

"""`History`: what happened while a model was trained, and the trained parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from symbackprop.expr import Expr
    from symbackprop.lower import Function
    from symbackprop.op import Array

_SHOWN = 3  # epochs at either end of the printed table


@dataclass(eq=False, repr=False)
class History:
    """What `fit` gives: the trained parameters, and numbers for each epoch.

    Attributes:
        params: the trained arrays, by symbol; they belong to this history, not to the caller of `fit`.
        records: a list with one number for each epoch under ``"loss"``, under each metric's name, and, where there
            is validation, under the same names with ``"val_"`` before them.
        times: seconds since the training began, at the end of each epoch.
        state: what the optimiser remembers, by symbol; `fit` takes it to go on from here.
        step: the compiled step, whose ``source`` is the whole training step in NumPy.
        stopped: why the training ended before its last epoch, or "".
        best_epoch: the best epoch by the early stopping's measure, counted from 1; None without early stopping.

    >>> history = History(records={"loss": [0.5, 0.25]}, times=[0.1, 0.2])
    >>> history.losses, history.metrics
    ([0.5, 0.25], {})
    >>> history
    2 epochs in 0.2 s
     epoch       loss
         1     0.5000
         2     0.2500
    """

    params: dict[Expr, Array] = field(default_factory=dict)
    records: dict[str, list[float]] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    state: dict[Expr, Array] = field(default_factory=dict)
    step: Function | None = None
    stopped: str = ""
    best_epoch: int | None = None

    @property
    def losses(self) -> list[float]:
        """The training loss of each epoch: the mean of what the steps found before they changed the parameters."""
        return self.records.get("loss", [])

    @property
    def metrics(self) -> dict[str, list[float]]:
        """All records but the training loss."""
        return {name: values for name, values in self.records.items() if name != "loss"}

    @property
    def epochs(self) -> int:
        """How many epochs were done."""
        return len(self.times)

    def add(self, values: Mapping[str, float], seconds: float) -> None:
        """Append the numbers of one epoch."""
        for name, value in values.items():
            self.records.setdefault(name, []).append(value)
        self.times.append(seconds)

    def plot(self, ax: Any = None, *, log: bool = False) -> Axes:
        """Draw all records over the epochs, with matplotlib; metrics get an axis of their own on the right.

        Args:
            ax: the matplotlib axes to draw into; new ones unless told.
            log: draw the losses on a logarithmic axis.

        Returns:
            The axes of the losses.

        Raises:
            ImportError: matplotlib is not installed.
        """
        try:
            import matplotlib.pyplot as plt  # noqa: PLC0415  (an extra, imported where it is used)
            from matplotlib.ticker import MaxNLocator  # noqa: PLC0415
        except ImportError:
            message = "History.plot needs matplotlib: python -m pip install 'symbackprop[plot]'"
            raise ImportError(message) from None
        left: Axes = plt.subplots()[1] if ax is None else ax
        losses = [name for name in self.records if name.removeprefix("val_") == "loss"]
        metrics = [name for name in self.records if name not in losses]
        lines = self._draw(left, losses, "loss", "-")
        if log:
            left.set_yscale("log")
        if metrics:
            lines += self._draw(left.twinx(), metrics, "metrics", "--", first=len(losses))
        left.set_xlabel("epoch")
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        # Above the curves, because those of both axes go everywhere.
        left.legend(handles=lines, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
        return left

    def _draw(self, ax: Axes, names: list[str], label: str, style: str, *, first: int = 0) -> list[Line2D]:
        ax.set_ylabel(label)
        epochs = range(1, self.epochs + 1)
        return [
            ax.plot(epochs, self.records[name], style, label=name, color=f"C{position}")[0]
            for position, name in enumerate(names, start=first)
        ]

    def __repr__(self) -> str:
        """Give a small table: the first and the last epochs."""
        head = f"{self.epochs} epoch{'s' * (self.epochs != 1)} in {self.times[-1] if self.times else 0:.1f} s"
        lines = [head + (f"; {self.stopped}" if self.stopped else "")]
        widths = {name: max(10, len(name) + 2) for name in self.records}
        lines.append(" epoch" + "".join(f"{name:>{width}}" for name, width in widths.items()))
        for epoch in range(self.epochs):
            if _SHOWN <= epoch < self.epochs - _SHOWN:
                lines += ["     …"] * (epoch == _SHOWN)
                continue
            row = "".join(f"{_number(self.records[name][epoch]):>{width}}" for name, width in widths.items())
            lines.append(f"{epoch + 1:6}{row}")
        return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.2e}"

"""`fit`: train parameters on data, by one compiled step that holds the loss, its gradient and the optimiser."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from symbackprop.autodiff import grad
from symbackprop.errors import ArgumentError, ShapeError, SymbackpropError, did_you_mean
from symbackprop.expr import Expr
from symbackprop.lower import compile
from symbackprop.train.arguments import Caller, spoilt
from symbackprop.train.history import History
from symbackprop.train.optimisers import Optimiser
from symbackprop.train.progress import Show, bar

if TYPE_CHECKING:
    from symbackprop.op import Array

Callback: TypeAlias = Callable[[History], object]
BatchSize: TypeAlias = int | Literal["full"] | None

_FIT = Caller("fit", "the loss", "the loss or a metric", unused="neither the loss nor a metric uses")


class DivergedError(SymbackpropError, FloatingPointError):
    """What is to be minimised became NaN or infinite while a model was trained, or is so where a search begins."""


@dataclass(frozen=True)
class EarlyStopping:
    """When to end training because it does not get better, and to return to the best epoch.

    Goodfellow et al., *Deep Learning*, Algorithm 7.1.

    Attributes:
        patience: how many epochs without improvement are borne.
        min_delta: an improvement must be larger than this.
        monitor: the record to watch: ``"val_loss"``, or ``"loss"`` without validation, unless told.
        maximise: whether larger is better, as for an accuracy.
        restore_best: give the parameters of the best epoch rather than the last.

    >>> EarlyStopping(patience=3, monitor="val_accuracy", maximise=True).patience
    3
    """

    patience: int = 10
    min_delta: float = 0.0
    monitor: str | None = None
    maximise: bool = False
    restore_best: bool = True

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: the patience is less than 1, or min_delta is negative.
        """
        if self.patience < 1:
            raise ValueError(f"EarlyStopping: patience must be at least 1, not {self.patience!r}")
        if not self.min_delta >= 0:
            raise ValueError(f"EarlyStopping: min_delta must not be negative: {self.min_delta!r}")


def fit(
    loss: Expr,
    params: Mapping[Expr, Any],
    data: Mapping[Expr, Any],
    *,
    optimiser: Optimiser,
    epochs: int,
    batch_size: BatchSize = None,
    seed: int = 0,
    shuffle: bool = True,
    metrics: Mapping[str, Expr] | None = None,
    validation: Mapping[Expr, Any] | None = None,
    early_stopping: EarlyStopping | None = None,
    callbacks: Iterable[Callback] = (),
    state: Mapping[Expr, Any] | None = None,
    progress: bool = True,
) -> History:
    """Train parameters: minimise a loss over data by first-order steps.

    In every epoch all the examples are visited once, in batches: ``w ← optimiser(w, ∇_w loss(batch))``. The last batch
    of an epoch may be smaller. With a loss that is a mean over examples, the gradient of a random batch is an unbiased
    estimate of the whole gradient.

    Args:
        loss: a scalar expression of the parameters and the data.
        params: the initial array of each parameter. They are copied: the arrays given are not written to.
        data: an array for each other symbol. Its first axis runs over the examples and must be a named size of the
            symbol, such as N; the arrays of scalar symbols are handed to every step as they are.
        optimiser: the rule that makes new parameters of gradients, such as ``Adam(1e-3)``.
        epochs: how many times all the examples are visited.
        batch_size: the examples in a step: a number, 1 for stochastic gradient descent in the narrow sense, None or
            ``"full"`` for all.
        seed: for `numpy.random.default_rng`, which shuffles.
        shuffle: visit the examples in a new random order in every epoch.
        metrics: scalar expressions to be recorded beside the loss, under the names given, such as
            ``{"accuracy": accuracy(z, T)}``. On the training data they are, like the loss, averaged over the steps.
        validation: arrays for the symbols of `data`, never trained on: after every epoch the loss and the metrics
            of all of them are recorded as ``val_loss``, ``val_accuracy`` ….
        early_stopping: when to end before the last epoch.
        callbacks: functions that get the history so far after every epoch; one that returns True ends the training.
        state: `History.state` of an earlier training, to go on with what its optimiser remembered.
        progress: show a progress bar, by tqdm (the extra ``train``); without tqdm one warning and no bar.

    Returns:
        The history; `History.params` are the trained arrays.

    Raises:
        ArgumentError: a symbol has no array, or an array no use; params or data are no mappings; there is no optimiser.
        ShapeError: arrays that disagree on the number of examples, or do not have their symbol's rank.
        DtypeError: an array that cannot become its symbol's dtype.
        ValueError: epochs, batch_size, or a name is not possible.
        DivergedError: the loss became NaN or infinite.

    >>> import symbackprop as sb
    >>> from symbackprop import train
    >>> x, y, w, b = sb.symbols("x[N] y[N] w b")
    >>> loss = train.quadratic(w * x + b, y)
    >>> data = {x: [0.0, 1.0, 2.0], y: [1.0, 3.0, 5.0]}
    >>> history = fit(loss, {w: 0.0, b: 0.0}, data, optimiser=train.SGD(0.5), epochs=100, progress=False)
    >>> round(history.params[w].item(), 6), round(history.params[b].item(), 6)
    (2.0, 1.0)
    """
    outputs = _outputs(loss, metrics or {})
    if not isinstance(optimiser, Optimiser):
        raise ArgumentError(f"fit: the optimiser is an object such as Adam(0.001), not {optimiser!r}")
    _check_symbols(outputs, params, data)
    rows = _Rows.read("data", data)
    size = _batch_size(batch_size, rows)
    trainer = _Trainer(outputs, params, rows, optimiser, state or {})
    if validation is not None:
        trainer.validate_on(_Rows.read("validation", {**rows.scalars, **validation}, like=rows))
    rng = np.random.default_rng(seed) if shuffle and size < rows.count else None
    stop = _Stop(early_stopping, trainer.history, callbacks)
    with bar(_epochs(epochs) * math.ceil(rows.count / size), "step", wanted=progress) as show:
        for epoch in range(1, epochs + 1):
            trainer.run_epoch(epoch, _batches(rows.count, size, rng), show)
            if stop.now():
                break
    stop.restore()
    return trainer.history


# --- what is asked for ----------------------------------------------------------------------------------------


def _outputs(loss: Expr, metrics: Mapping[str, Expr]) -> dict[str, Expr]:
    """Give the loss and the metrics by name, all of them checked to be scalars."""
    if "loss" in metrics or any(name.startswith("val_") for name in metrics):
        raise ValueError("fit: a metric cannot be named loss or val_…: these are the names of other records")
    outputs = {"loss": loss, **metrics}
    for name, expr in outputs.items():
        _FIT.check_scalar(name, expr)
    return outputs


def _check_symbols(outputs: Mapping[str, Expr], params: Mapping[Expr, Any], data: Mapping[Expr, Any]) -> None:
    """Check that every symbol has one array, and every array a use."""
    _FIT.check_keys("params", params)
    _FIT.check_keys("data", data)
    if not params:
        raise ArgumentError("fit: there are no params to train")
    loss, *metrics = outputs.values()
    _FIT.check_symbols([loss], metrics, [*params], data)


def _epochs(epochs: object) -> int:
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 0:
        raise ValueError(f"fit: epochs is a whole number, not {epochs!r}")
    return epochs


def _batch_size(wanted: object, rows: _Rows) -> int:
    if wanted is None or wanted == "full":
        return rows.count
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
        raise ValueError(f'fit: batch_size is a number from 1 up, or "full", not {wanted!r}')
    for symbol in rows.columns:
        if wanted < rows.count and isinstance(symbol.shape[0], int):
            raise ShapeError(
                f"fit: {symbol.describe()} always has {symbol.shape[0]} examples; to train in batches of {wanted}, "
                'declare its first axis with a name, such as "N"'
            )
    return min(wanted, rows.count)


@dataclass(frozen=True)
class _Rows:
    """Data: arrays whose first axis runs over `count` examples, and scalars that belong to all of them."""

    columns: dict[Expr, Array]
    scalars: dict[Expr, Array]
    count: int

    @classmethod
    def read(cls, what: str, data: Mapping[Expr, Any], like: _Rows | None = None) -> _Rows:
        arrays = {symbol: _FIT.as_array(what, symbol, value) for symbol, value in data.items()}
        columns = {symbol: array for symbol, array in arrays.items() if array.ndim}
        if like is not None and arrays.keys() != like.columns.keys() | like.scalars.keys():
            names = ", ".join(symbol.describe() for symbol in like.columns)
            raise ArgumentError(f"fit: validation needs arrays for the same symbols as data: {names}")
        if not columns:
            raise ArgumentError(f"fit: {what} has no array with examples on its first axis")
        first, count = next((symbol, len(array)) for symbol, array in columns.items())
        for symbol, array in columns.items():
            if len(array) != count:
                raise ShapeError(
                    f"fit: {what}: {first.describe()} has {count} examples, {symbol.describe()} has {len(array)}"
                )
        if not count:
            raise ShapeError(f"fit: {what}: {first.describe()} has no examples")
        # In the order of `like`, because the compiled functions take them by position.
        order = list(like.columns if like else columns)
        return cls(
            {symbol: columns[symbol] for symbol in order},
            {symbol: array for symbol, array in arrays.items() if not array.ndim},
            count,
        )

    def take(self, part: slice | Array) -> list[Array]:
        """Give the arrays of some examples, then the scalars."""
        return [array[part] for array in self.columns.values()] + list(self.scalars.values())


def _batches(count: int, size: int, rng: np.random.Generator | None) -> Iterator[slice | Array]:
    """Give the examples of each batch of one epoch; the last batch may be smaller."""
    order = None if rng is None else rng.permutation(count)
    for start in range(0, count, size):
        part = slice(start, start + size)
        yield part if order is None else order[part]


# --- training -------------------------------------------------------------------------------------------------


class _Trainer:
    """The compiled functions, the arrays that the step writes to, and the history."""

    def __init__(
        self,
        outputs: Mapping[str, Expr],
        params: Mapping[Expr, Any],
        rows: _Rows,
        optimiser: Optimiser,
        state: Mapping[Expr, Any],
    ) -> None:
        arrays = {symbol: _FIT.as_array("params", symbol, value).copy() for symbol, value in params.items()}
        memory = _memory(optimiser, arrays, state)
        updates = optimiser.updates(list(arrays), grad(outputs["loss"], list(arrays)))
        self.outputs = outputs
        self.optimiser = optimiser
        self.rows = rows
        self.inputs = [*rows.columns, *rows.scalars]
        self.step = compile([*updates, *self.inputs], list(outputs.values()), updates=updates, name="step")
        self.written = [(arrays | memory)[symbol] for symbol in updates]
        self.history = History(params=arrays, state=memory, step=self.step)
        self.validate: Callable[[], dict[str, float]] = dict
        self.began = time.perf_counter()

    def validate_on(self, rows: _Rows) -> None:
        """Let loss and metrics of these examples be recorded after every epoch."""
        params = self.history.params
        evaluate = compile([*params, *self.inputs], list(self.outputs.values()), name="evaluate")
        arrays = [*params.values(), *rows.take(slice(None))]
        names = [f"val_{name}" for name in self.outputs]
        self.validate = lambda: dict(zip(names, map(float, evaluate(*arrays)), strict=True))

    def run_epoch(self, epoch: int, batches: Iterable[slice | Array], show: Show) -> None:
        """Do one step on each batch, and record the means of what the steps found."""
        totals = np.zeros(len(self.outputs))
        for number, part in enumerate(batches, start=1):
            batch = self.rows.take(part)
            # Overflow is no news beside the loss that it makes NaN, which is an error below.
            with np.errstate(all="ignore"):
                found = self.step(*self.written, *batch)
            loss = float(found[0])
            if not math.isfinite(loss):
                raise DivergedError(self._what_went_wrong(loss, f"epoch {epoch}, step {number}"))
            totals += np.multiply(found, len(batch[0]))
            show(1, f"epoch {epoch}: loss {loss:.4g}")
        means = (totals / self.rows.count).tolist()
        values = dict(zip(self.outputs, means, strict=True)) | self.validate()
        self.history.add(values, time.perf_counter() - self.began)
        show(0, f"epoch {epoch}: " + ", ".join(f"{name} {value:.4g}" for name, value in values.items()))

    def _what_went_wrong(self, loss: float, at: str) -> str:
        where = f"fit: the loss became {loss} in {at}"
        bad = spoilt(self.rows.columns)
        if bad:
            return f"{where}: the data of {', '.join(bad)} hold NaN or infinity; remove or replace these examples"
        return (
            f"{where}; try a smaller learning rate than {self.optimiser}, inputs of mean 0 and variance 1, "
            "smaller initial weights, or a loss from logits"
        )


def _memory(optimiser: Optimiser, params: Mapping[Expr, Array], state: Mapping[Expr, Any]) -> dict[Expr, Array]:
    """Give what the optimiser remembers: its start, or the state of an earlier training."""
    memory = optimiser.start(params)
    for symbol, value in state.items():
        if symbol not in memory:
            raise ArgumentError(f"fit: state has {symbol.describe()}, which {type(optimiser).__name__} does not keep")
        memory[symbol] = _FIT.as_array("state", symbol, value).copy()
    return memory


class _Stop:
    """Ends training early, by callbacks or for want of progress, and brings the best epoch back."""

    def __init__(self, rule: EarlyStopping | None, history: History, callbacks: Iterable[Callback]) -> None:
        self.rule = rule
        self.history = history
        self.callbacks = list(callbacks)
        self.best = math.inf
        self.kept: dict[Expr, Array] = {}

    def now(self) -> bool:
        """Tell whether to stop after this epoch."""
        history = self.history
        if self.rule is not None and self._is_stuck(self.rule):
            history.stopped = f"stopped early: no better {self._monitor(self.rule)} since epoch {history.best_epoch}"
        for callback in self.callbacks:
            if callback(history) is True and not history.stopped:
                history.stopped = "stopped by a callback"
        return bool(history.stopped)

    def _is_stuck(self, rule: EarlyStopping) -> bool:
        history = self.history
        latest = history.records[self._monitor(rule)][-1]
        score = -latest if rule.maximise else latest
        if score < self.best - rule.min_delta:
            self.best = score
            history.best_epoch = history.epochs
            if rule.restore_best:
                self.kept = {symbol: array.copy() for symbol, array in history.params.items()}
        return history.epochs - (history.best_epoch or 0) >= rule.patience

    def _monitor(self, rule: EarlyStopping) -> str:
        records = self.history.records
        name = rule.monitor or ("val_loss" if "val_loss" in records else "loss")
        if name not in records:
            hint = did_you_mean(name, list(records))
            raise ValueError(f"EarlyStopping: there is no record {name!r}{hint}; there are {', '.join(records)}")
        return name

    def restore(self) -> None:
        """Write the parameters of the best epoch into the history."""
        for symbol, array in self.kept.items():
            self.history.params[symbol][...] = array

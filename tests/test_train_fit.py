"""`fit` and `History`: the three variants of descent, records, stopping, and what every mistake is told."""

import builtins
import re

import numpy as np
import pytest

import symbackprop as sb
from symbackprop import train
from symbackprop.errors import ArgumentError, DtypeError, ShapeError

RNG = np.random.default_rng(5)
N = 23
XV = RNG.normal(size=(N, 3))
W_TRUE = np.array([1.0, -2.0, 0.5])
YV = XV @ W_TRUE + 0.3


def regression(dtype="float64"):
    X, w, b, y = (sb.symbol(*spec, dtype) for spec in [("X", ("N", 3)), ("w", 3), ("b", ()), ("y", "N")])
    loss = train.quadratic(X @ w + b, y)
    return loss, {w: np.zeros(3), b: np.array(0.0)}, {X: XV, y: YV}


def run(**options):
    loss, params, data = regression()
    settings = {"optimiser": train.SGD(0.1), "epochs": 3, "progress": False} | options
    return train.fit(loss, params, data, **settings)


@pytest.mark.lecture("A23")
@pytest.mark.lecture("A24")
@pytest.mark.parametrize("batch_size", [None, "full", 1, 5, 1000])
def test_three_variants_of_descent_find_the_solution(batch_size):
    history = run(batch_size=batch_size, epochs=300)
    w, b = history.params.values()
    np.testing.assert_allclose(w, W_TRUE, atol=1e-4)
    assert b == pytest.approx(0.3, abs=1e-4)
    assert history.losses[-1] < 1e-7 < history.losses[0]
    assert history.epochs == len(history.losses) == len(history.times) == 300
    assert history.times == sorted(history.times)


@pytest.mark.lecture("A23")
@pytest.mark.parametrize("size", [1, 5, 8])
def test_minibatches_are_the_hand_written_loop_partial_batch_and_all(size):
    w, b = np.zeros(3), 0.0
    rng = np.random.default_rng(11)
    losses = []
    for _ in range(3):
        order, total = rng.permutation(N), 0.0
        for start in range(0, N, size):
            rows = order[start : start + size]
            error = XV[rows] @ w + b - YV[rows]
            total += 0.5 * (error**2).sum()
            w, b = w - 0.1 * XV[rows].T @ error / len(rows), b - 0.1 * error.mean()
        losses.append(total / N)
    history = run(batch_size=size, seed=11)
    np.testing.assert_allclose(next(iter(history.params.values())), w, rtol=1e-12)
    np.testing.assert_allclose(history.losses, losses, rtol=1e-12)


@pytest.mark.lecture("A23")
def test_the_minibatch_gradient_is_unbiased():
    loss, params, data = regression()
    X, y = data
    w = next(iter(params))
    gradient = sb.compile([*params, *data], sb.grad(loss, w))
    start = [np.array([0.3, 0.1, -0.2]), np.array(0.7)]
    whole = gradient(*start, data[X][:20], data[y][:20])
    batches = RNG.permutation(20).reshape(5, 4)
    mean = np.mean([gradient(*start, data[X][rows], data[y][rows]) for rows in batches], axis=0)
    np.testing.assert_allclose(mean, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.lecture("A24")
def test_the_recipe_takes_few_lines():
    X, T = sb.symbols("X[N,2] T[N,1]")
    net = train.mlp(X, [8, 1])
    loss = train.binary_cross_entropy(net.output, T)
    data = {X: [[0, 0], [0, 1], [1, 0], [1, 1]], T: [[0], [1], [1], [0]]}
    metrics = {"accuracy": train.binary_accuracy(net.output, T)}
    history = train.fit(loss, net.init(0), data, optimiser=train.Adam(0.1), epochs=60, metrics=metrics, progress=False)
    assert history.metrics["accuracy"][-1] == 1.0


@pytest.mark.lecture("L7")
@pytest.mark.parametrize(("error", "centre"), [("square", np.mean), ("absolute", np.median)])
def test_a_table_learns_the_conditional_mean_or_median(error, centre):
    group, noise = RNG.integers(0, 3, 300), RNG.exponential(size=300)
    yv = np.array([1.0, -2.0, 4.0])[group] + noise
    G, y, table = sb.symbols("G[N,3] y[N] table[3]")
    output = G @ table
    loss = train.quadratic(output, y) if error == "square" else sb.mean(sb.abs(output - y))
    history = train.fit(
        loss,
        {table: np.zeros(3)},
        {G: train.one_hot(group, 3), y: yv},
        optimiser=train.SGD(train.Cosine(1.0, 2000)),
        epochs=2000,
        progress=False,
    )
    expected = [centre(yv[group == g]) for g in range(3)]
    # Between the two middle values of an even number every point is a median.
    room = [
        0 if error == "square" else np.ptp(np.sort(yv[group == g])[[(n - 1) // 2, n // 2]])
        for g, n in enumerate(np.bincount(group))
    ]
    assert (np.abs(history.params[table] - expected) <= np.array(room) + 1e-3).all()


def test_the_same_seed_gives_the_same_training_and_another_seed_another():
    first, again, other = (run(batch_size=4, seed=seed).losses for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_without_shuffling_the_order_is_the_datas():
    assert run(batch_size=4, shuffle=False, seed=1).losses == run(batch_size=4, shuffle=False, seed=2).losses


def test_the_arrays_given_are_not_written_to():
    loss, params, data = regression()
    kept = [value.copy() for value in (*params.values(), *data.values())]
    history = train.fit(loss, params, data, optimiser=train.Adam(), epochs=2, progress=False)
    for before, after in zip(kept, (*params.values(), *data.values()), strict=True):
        np.testing.assert_array_equal(before, after)
    assert all(history.params[symbol] is not value for symbol, value in params.items())


def test_float32_is_kept_and_other_arrays_are_converted():
    loss, params, data = regression("float32")
    history = train.fit(loss, params, data, optimiser=train.Adam(0.1), epochs=2, batch_size=5, progress=False)
    assert {array.dtype for array in history.params.values()} == {np.dtype("float32")}
    assert {str(array.dtype) for array in history.state.values()} == {"float32", "int64"}


def test_scalars_in_data_belong_to_every_batch():
    loss, params, data = regression()
    lam = sb.symbol("lam")
    penalised = loss + lam * train.l2(next(iter(params)))
    history = train.fit(
        penalised, params, {**data, lam: 1e3}, optimiser=train.SGD(1e-4), epochs=300, batch_size=5, progress=False
    )
    assert np.abs(next(iter(history.params.values()))).max() < 0.01


def test_training_goes_on_with_what_the_optimiser_remembered():
    loss, params, data = regression()
    options = {"optimiser": train.Adam(0.05), "progress": False}
    whole = train.fit(loss, params, data, epochs=7, **options)
    first = train.fit(loss, params, data, epochs=4, **options)
    second = train.fit(loss, first.params, data, epochs=3, state=first.state, **options)
    for symbol, array in whole.params.items():
        np.testing.assert_array_equal(array, second.params[symbol])
    w = next(iter(params))
    with pytest.raises(ArgumentError, match=r"state has w\[3\], which Adam does not keep"):
        train.fit(loss, params, data, epochs=1, state={w: np.zeros(3)}, **options)


def test_metrics_and_validation_are_recorded():
    loss, params, data = regression()
    X, y = data
    w, b = params
    worst = {"worst": sb.max(sb.abs(X @ w + b - y))}
    history = train.fit(
        loss, params, data, optimiser=train.SGD(0.1), epochs=4, metrics=worst, progress=False,
        validation={X: XV[:5] + 1, y: YV[:5]},
    )  # fmt: skip
    assert list(history.records) == ["loss", "worst", "val_loss", "val_worst"]
    assert list(history.metrics) == ["worst", "val_loss", "val_worst"]
    wv, bv = history.params.values()
    error = (XV[:5] + 1) @ wv + bv - YV[:5]
    assert history.records["val_loss"][-1] == pytest.approx(0.5 * (error**2).mean())
    assert history.records["val_worst"][-1] == pytest.approx(np.abs(error).max())
    assert history.records["worst"][0] == pytest.approx(np.abs(YV).max())


def stopping(scores, **options):
    """Train a parameter that does nothing, on losses that are given."""
    x, w = sb.symbols("x[N] w")
    seen = []
    position = sb.symbol("position")
    rows = sb.constant(np.array(scores))
    # loss = the score at the position, which counts the epochs: gradient 1 and rate 1 move it by one.
    loss = position + 0 * w * sb.sum(x)
    score = sb.sum(sb.where(sb.equal(sb.constant(np.arange(len(scores))), -position), rows, 0.0))
    history = train.fit(
        loss, {position: 0.0, w: 1.0}, {x: [1.0]}, optimiser=train.SGD(1.0), epochs=len(scores),
        metrics={"score": score}, early_stopping=train.EarlyStopping(monitor="score", **options), progress=False,
        callbacks=[lambda history: seen.append(history.epochs)],
    )  # fmt: skip
    return history, seen, -history.params[position].item()


def test_early_stopping_waits_for_its_patience_and_brings_the_best_epoch_back():
    history, seen, position = stopping([5.0, 3.0, 4.0, 3.0, 3.5, 1.0], patience=3)
    assert seen == [1, 2, 3, 4, 5]
    assert (history.best_epoch, position) == (2, 2.0)
    assert history.stopped == "stopped early: no better score since epoch 2"


def test_early_stopping_counts_only_what_is_better_by_min_delta():
    history, _, position = stopping([5.0, 4.9, 4.8, 4.7], patience=2, min_delta=0.5, restore_best=False)
    assert (history.epochs, history.best_epoch, position) == (3, 1, 3.0)


def test_early_stopping_can_maximise_and_restores_at_the_end_too():
    history, _, position = stopping([1.0, 3.0, 2.0], patience=5, maximise=True)
    assert (history.epochs, history.best_epoch, history.stopped, position) == (3, 2, "", 2.0)


def test_early_stopping_names_a_record_that_is_not_there():
    with pytest.raises(ValueError, match=r"there is no record 'los' \(did you mean 'loss'\?\); there are loss"):
        run(early_stopping=train.EarlyStopping(monitor="los"))
    with pytest.raises(ValueError, match="patience must be at least 1, not 0"):
        train.EarlyStopping(patience=0)
    with pytest.raises(ValueError, match="min_delta must not be negative"):
        train.EarlyStopping(min_delta=-1.0)


def test_early_stopping_watches_the_validation_loss_unless_told():
    loss, params, data = regression()
    away = {symbol: -array for symbol, array in data.items() if array.ndim == 2} | {list(data)[1]: YV}
    history = train.fit(
        loss, params, data, optimiser=train.SGD(0.1), epochs=50, validation=away, progress=False,
        early_stopping=train.EarlyStopping(patience=2),
    )  # fmt: skip
    assert (history.epochs, history.best_epoch) == (3, 1)


def test_a_callback_can_end_the_training():
    history = run(epochs=50, callbacks=[lambda history: history.epochs == 4])
    assert (history.epochs, history.stopped) == (4, "stopped by a callback")


def test_divergence_is_told_with_epoch_and_advice():
    with pytest.raises(
        train.DivergedError, match=r"the loss became (nan|inf) in epoch \d+, step 1; try a smaller .*SGD"
    ):
        run(optimiser=train.SGD(1e8), epochs=100)


def test_divergence_by_bad_data_names_the_data():
    loss, params, data = regression()
    X = next(iter(data))
    bad = XV.copy()
    bad[7, 1] = np.nan
    with pytest.raises(train.DivergedError, match=r"nan in epoch 1, step 1: the data of X\[N, 3\] hold NaN"):
        train.fit(loss, params, {**data, X: bad}, optimiser=train.SGD(0.1), epochs=1, progress=False)


def test_no_epochs_give_the_initial_parameters():
    history = run(epochs=0)
    assert (history.epochs, history.losses) == (0, [])
    assert not next(iter(history.params.values())).any()


def test_the_generated_step_is_there_to_read():
    source = run().step.source
    assert "def step(" in source
    assert "symbackprop" not in source.replace("Generated by symbackprop", "")


# --- mistakes -------------------------------------------------------------------------------------------------


def broken(change):
    """Give the call of fit with something changed; `change` edits (loss, params, data, options) in place."""
    loss, params, data = regression()
    call = {"loss": loss, "params": dict(params), "data": dict(data), "optimiser": train.SGD(), "epochs": 1}
    change(call)
    return call


def without(what, position):
    def change(call):
        del call[what][list(call[what])[position]]

    return change


def put(what, key, value):
    def change(call):
        call[what][key(call) if callable(key) else key] = value

    return change


def first(what, position=0):
    return lambda call: list(call[what])[position]


MISTAKES = {
    "missing data": (
        without("data", 1), ArgumentError,
        "fit: the loss or a metric needs y[N], which is neither in params nor in data",
    ),
    "missing parameter": (
        without("params", 1), ArgumentError,
        "fit: the loss or a metric needs b, which is neither in params nor in data",
    ),
    "unused parameter": (
        lambda call: call["params"].update({sb.symbol("c"): 0.0}), ArgumentError,
        "fit: the loss does not depend on the parameter c",
    ),
    "unused data": (
        lambda call: call["data"].update({sb.symbol("c", "N"): YV}), ArgumentError,
        "fit: data has c[N], which neither the loss nor a metric uses",
    ),
    "both": (
        lambda call: call["data"].update(call["params"]), ArgumentError,
        "fit: w[3] is in params and in data; it can be only one of them",
    ),
    "no parameters": (lambda call: call.update(params={}), ArgumentError, "fit: there are no params to train"),
    "a name for a symbol": (
        lambda call: call.update(data={"X": XV}), ArgumentError, "fit: the keys of data are symbols, and 'X' is none",
    ),
    "an expression for a symbol": (
        lambda call: call["params"].update({call["loss"]: 0.0}), ArgumentError, "is none",
    ),
    "lengths": (
        put("data", first("data", 1), YV[:-1]), ShapeError, "fit: data: X[N, 3] has 23 examples, y[N] has 22",
    ),
    "rank": (
        put("data", first("data", 1), YV[:, None]), ShapeError,
        "fit: data: y[N] has 1 axes, the array 2: shape (23, 1)",
    ),
    "width": (put("data", first("data"), XV[:, :2]), ShapeError, "X"),
    "parameter shape": (put("params", first("params"), np.zeros(4)), ShapeError, "w"),
    "no examples": (
        lambda call: call.update(data={s: a[:0] for s, a in call["data"].items()}), ShapeError,
        "fit: data: X[N, 3] has no examples",
    ),
    "text": (put("data", first("data", 1), ["a"] * N), DtypeError, "fit: data: y[N] has dtype float64, the array <U1"),
    "vector loss": (
        lambda call: call.update(loss=call["loss"] + first("params")(call)), ShapeError,
        "take its mean or sum",
    ),
    "loss that is a number": (lambda call: call.update(loss=3.0), DtypeError, "fit: loss is float, not an expression"),
    "batch_size 0": (
        lambda call: call.update(batch_size=0), ValueError,
        'fit: batch_size is a number from 1 up, or "full", not 0',
    ),
    "batch_size half": (lambda call: call.update(batch_size=0.5), ValueError, "not 0.5"),
    "epochs": (lambda call: call.update(epochs=-1), ValueError, "fit: epochs is a whole number, not -1"),
    "metric name": (
        lambda call: call.update(metrics={"loss": call["loss"]}), ValueError, "fit: a metric cannot be named loss",
    ),
    "validation without targets": (
        lambda call: call.update(validation={first("data")(call): XV}), ArgumentError,
        "fit: validation needs arrays for the same symbols as data: X[N, 3], y[N]",
    ),
    "validation lengths": (
        lambda call: call.update(validation={**call["data"], first("data")(call): XV[:3]}), ShapeError,
        "fit: validation: X[N, 3] has 3 examples, y[N] has 23",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(mistake):
    change, error, message = MISTAKES[mistake]
    call = broken(change)
    with pytest.raises(error, match=re.escape(message)):
        train.fit(call.pop("loss"), call.pop("params"), call.pop("data"), progress=False, **call)


def test_a_fixed_number_of_examples_cannot_be_split():
    x, w = sb.symbol("x", 4), sb.symbol("w")
    loss = sb.mean(sb.square(w - x))
    options = {"optimiser": train.SGD(0.1), "epochs": 1, "progress": False}
    train.fit(loss, {w: 0.0}, {x: np.ones(4)}, **options)
    with pytest.raises(ShapeError, match=r"x\[4\] always has 4 examples; to train in batches of 2"):
        train.fit(loss, {w: 0.0}, {x: np.ones(4)}, batch_size=2, **options)


def test_data_of_scalars_alone_have_no_examples():
    x, w = sb.symbols("x w")
    with pytest.raises(ArgumentError, match="data has no array with examples"):
        train.fit(sb.square(w - x), {w: 0.0}, {x: 1.0}, optimiser=train.SGD(), epochs=1, progress=False)


# --- the history and its extras -------------------------------------------------------------------------------


def test_the_history_prints_a_small_table():
    loss, params, data = regression()
    history = train.fit(loss, params, data, optimiser=train.SGD(0.1), epochs=9, validation=data, progress=False)
    lines = repr(history).splitlines()
    assert re.fullmatch(r"9 epochs in \d+\.\d s", lines[0])
    assert lines[1].split() == ["epoch", "loss", "val_loss"]
    assert [line.split()[0] for line in lines[2:]] == ["1", "2", "3", "…", "7", "8", "9"]
    assert "1 epoch in" in repr(run(epochs=1))


def test_the_history_draws_itself():
    plt = pytest.importorskip("matplotlib.pyplot")
    loss, params, data = regression()
    metrics = {"bias": next(iter(list(params)[1:])) + 0.0}
    history = train.fit(
        loss, params, data, optimiser=train.SGD(0.1), epochs=5, validation=data, metrics=metrics, progress=False
    )
    axes = history.plot(log=True)
    left, right = axes.figure.axes
    assert left is axes
    assert [line.get_label() for line in left.lines] == ["loss", "val_loss"]
    assert [line.get_label() for line in right.lines] == ["bias", "val_bias"]
    np.testing.assert_array_equal(left.lines[0].get_xdata(), range(1, 6))
    np.testing.assert_array_equal(left.lines[0].get_ydata(), history.losses)
    assert left.get_yscale() == "log"
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["loss", "val_loss", "bias", "val_bias"]
    _, own = plt.subplots()
    assert history.plot(own) is own
    plt.close("all")


def missing(monkeypatch, package):
    real = builtins.__import__

    def fake(name, *args, **kwargs):
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fake)


def test_without_matplotlib_plot_says_what_to_install(monkeypatch):
    history = run()
    missing(monkeypatch, "matplotlib")
    with pytest.raises(ImportError, match=r"needs matplotlib: python -m pip install 'symbackprop\[plot\]'"):
        history.plot()


def test_without_tqdm_training_goes_on_with_one_warning(monkeypatch):
    missing(monkeypatch, "tqdm")
    with pytest.warns(UserWarning, match=r"no progress bar without tqdm: .*symbackprop\[train\]") as caught:
        history = run(progress=True)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert history.epochs == 3


def test_the_progress_bar_counts_steps_and_shows_the_loss(capsys):
    pytest.importorskip("tqdm")
    run(progress=True, batch_size=10, epochs=4)
    shown = capsys.readouterr().err
    assert "12/12" in shown
    assert re.search(r"epoch 4: loss \d", shown)

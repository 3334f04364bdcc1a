"""The benchmarks compute what they say: each row once, at small sizes. Nothing is timed here."""

import sys

import numpy as np
import pytest

import symbackprop as sb
from tests.benchmarks.calls import BY_HAND, CHECKS, calls, contenders
from tests.benchmarks.calls import OURS as CALLED
from tests.benchmarks.compile_time import FAMILIES
from tests.benchmarks.hessians import FUNCTIONS, PROBLEMS, Problem, peak_ratio, structured
from tests.benchmarks.products import ROWS, functions, operations
from tests.benchmarks.speed import command, frameworks, limits, table
from tests.benchmarks.speed.measure import FORWARD, OURS, agreeing, builders, disagreement, measure
from tests.benchmarks.speed.process import alone
from tests.benchmarks.speed.rows import ROWS as SPEED
from tests.benchmarks.timing import in_turns, spread

DIFFERENT = list({(problem.name, problem.wrt): problem for problem in PROBLEMS}.values())


def _close(found, right):
    np.testing.assert_allclose(found, right, rtol=1e-10, atol=1e-12 * np.abs(right).max())


@pytest.mark.parametrize("problem", DIFFERENT, ids=lambda problem: f"{problem.name} by {problem.wrt}")
def test_hessian_by_hand_is_symbackprops_and_what_differences_say(problem: Problem):
    values = problem.values(problem.small)
    by_hand = problem.by_hand(values)
    with sb.Graph():
        inputs, hessian = problem.expressions()
        _close(sb.compile(inputs, hessian)(*values.values()), by_hand)
        symbols = dict(zip(values, inputs, strict=True))
        slope = sb.compile(inputs, sb.grad(problem.value(FUNCTIONS, **symbols), symbols[problem.wrt]))
    x = values[problem.wrt]
    for direction in np.random.default_rng(1).standard_normal((3, *x.shape)):
        ahead, behind = (slope(*{**values, problem.wrt: x + step * direction}.values()) for step in (1e-5, -1e-5))
        along = np.tensordot(by_hand, direction, x.ndim)
        np.testing.assert_allclose((ahead - behind) / 2e-5, along, rtol=1e-6, atol=1e-7 * np.abs(along).max())


@pytest.mark.parametrize(
    "problem",
    [problem for problem in DIFFERENT if problem.structure],
    ids=lambda problem: f"{problem.name} by {problem.wrt}",
)
def test_parts_by_hand_are_smaller_and_stand_for_the_hessian(problem: Problem):
    values = problem.values(problem.small)
    parts = problem.structure.parts(**values)
    with sb.Graph():
        expressions = problem.expressions()
        hessian, kept = (make(*expressions)(*values.values()) for make in (sb.compile, structured))
    _close(np.asarray(kept), hessian)
    assert kept.nbytes < hessian.nbytes
    _close(problem.structure.filled(values, *parts), hessian)
    assert sum(part.size for part in parts) < hessian.size


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_products_in_both_orders_are_the_same(row):
    ordered, written, arrays = functions(row._replace(sizes=dict.fromkeys("MNKLD", 6)))
    for found, right in zip(ordered(*arrays), written(*arrays), strict=True):
        _close(found, right)
    assert operations(ordered, row.sizes) <= 1.01 * operations(written, row.sizes)  # roots of weights are new


@pytest.mark.parametrize("row", calls(), ids=lambda row: row.name)
def test_calls_by_hand_give_what_ours_give(row):
    timed = contenders(row)
    for mine, theirs in zip(timed[CALLED](), timed[BY_HAND](), strict=True):  # outputs, or the elements of one
        np.testing.assert_allclose(mine, theirs, rtol=1e-11)
    assert timed[CHECKS]() == []


def test_memory_counts_what_a_call_takes_over_arguments_and_result():
    values = {"x": np.ones(100_000)}
    assert peak_ratio(lambda: np.ones(100_000), values) == pytest.approx(0.5, rel=0.1)
    assert peak_ratio(lambda: np.ones((4, 100_000)).sum(axis=0), values) == pytest.approx(2.5, rel=0.1)


def test_turns_give_each_contender_a_time():
    calls = dict.fromkeys(("fast", "slow"), 0)

    def called(name):
        calls[name] += 1

    found = in_turns(
        {name: lambda name=name: called(name) for name in calls}, kept=["fast"], rounds=3, turn=1e-5, limit=0
    )
    assert set(found) == set(calls)
    assert min(found.values()) > 0
    assert calls["fast"] >= 4  # to tell how often, and in each round
    assert calls["slow"] >= 2


OWN = ("hand", "forward", "limit")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("row", SPEED, ids=lambda row: row.name)
def test_speed_by_hand_agrees_with_ours_and_gives_fresh_arrays(row, threads):
    calls, missing = agreeing(row, row.small, builders(row, row.small, threads, OWN))
    assert not missing
    assert len(calls) == 2 + sum(threads > 1 or name != "two threads" for name in row.hands) + (
        row.name in limits.LIMITS
    )
    assert np.isfinite(calls[FORWARD]()).all()
    values = row.values(row.small)
    for name, make in row.hands.items():
        step = make(values, threads)
        first = step(*values.values())
        kept = [np.array(each) for each in first]
        step(*(0.9 * value for value in values.values()))
        assert not disagreement(first, kept, row.dtype), name
        assert not disagreement(step(*values.values()), kept, row.dtype), name


def test_speed_rows_with_blocks_are_right_over_several_blocks():
    for row, sizes in ((row, {**row.small, "N": 150_001 // row.small.get("D", 1)}) for row in SPEED):
        if row.name in {"chain", "chain-f32", "black-scholes", "bundle", "mixture", "logistic"}:
            values = row.values(sizes)
            steps = [make(values, threads) for threads in (1, 2) for make in row.hands.values()]
            found = [step(*values.values()) for step in steps]
            assert not any(disagreement(each, found[0], row.dtype) for each in found), row.name


def test_speed_other_libraries_agree_where_they_are_installed(monkeypatch):
    monkeypatch.setenv("PYTENSOR_FLAGS", "optimizer=None,linker=py")  # it is read when the library is imported
    kinds = [name for name in frameworks.FRAMEWORKS if frameworks.is_installed(name)]
    for row in SPEED:
        makers = builders(row, row.small, 1, kinds)
        calls, missing = agreeing(row, row.small, makers)
        assert calls.keys() == makers.keys()
        assert not missing


def test_speed_contenders_alone_tell_their_time_and_memory():
    row = next(row for row in SPEED if row.name == "chain")
    found = alone(row.name, "hand, blocked")
    assert not found.failure
    assert found.seconds > 0
    assert found.call == pytest.approx(8 * row.sizes["N"], rel=0.1)  # the gradient is fresh
    assert found.peak > found.call
    assert not alone(row.name, OURS, small=True).failure
    assert alone(row.name, OURS, small=True, limit=0.01).failure == "is not ready after 0 s"
    assert alone(row.name, "nobody", small=True).failure == "fails: KeyError: 'nobody'"


def test_speed_page_tells_rows_and_who_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(frameworks, "is_installed", lambda name: False)
    rows = [row._replace(sizes=row.small) for row in SPEED[:3]]
    figures = [measure(row, rounds=3) for row in rows]
    assert list(figures[0].lines())[-5:-3] == [
        f"  {name:<20}is not installed ({name})" for name in list(frameworks.FRAMEWORKS)[:2]
    ]
    table.write(iter(figures), threads=1, path=tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "Not installed: jax, torch, pytensor, autograd, casadi." in text
    for row in rows:
        assert text.count(f"| {row.name} |") == 3
        assert f"| {row.title} ({row.unit}) |" in text


def test_speed_command_measures_the_rows_that_it_is_told(monkeypatch, capsys):
    monkeypatch.setattr(command, "ROWS", [row._replace(sizes=row.small) for row in SPEED])
    command.main(["--rows", "xor", "--contenders", "hand", "--rounds", "3", "--source"])
    shown = capsys.readouterr().out
    assert "def f(X, y, W1, b1, W2, b2):" in shown
    assert "sb / hand = " in shown
    assert "mlp" not in shown


def test_speed_disagreements_are_seen():
    right = [1.0, np.arange(3.0)]
    assert not disagreement([1.0, np.arange(3.0) * (1 + 1e-12)], right, "float64")
    assert disagreement([1.0], right, "float64") == "1 outputs, not 2"
    assert "output 1 has shape (2,)" in disagreement([1.0, np.arange(2.0)], right, "float64")
    assert "output 1 is off by" in disagreement([1.0, np.arange(3.0) * (1 + 1e-6)], right, "float64")
    assert not disagreement([1.0, np.arange(3.0) * (1 + 1e-6)], right, "float32")
    assert disagreement([np.nan, np.arange(3.0)], right, "float32")


def test_spread_is_that_of_the_middle_half():
    assert spread([1.0] * 7) == 0
    assert spread([1.0, 2.0, 3.0, 4.0, 1000.0]) > 0.5


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES.keys())
def test_differentiating_and_compiling_takes_as_many_steps_as_there_are_nodes(family):
    def steps(size):
        """Count the calls of functions."""
        calls = 0

        def count(_frame, event, _function):
            nonlocal calls
            calls += event in {"call", "c_call"}

        with sb.Graph() as graph:
            inputs, value, wrt = family(size)
            sys.setprofile(count)
            try:
                sb.compile(inputs, [value, *sb.grad(value, wrt)])
            finally:
                sys.setprofile(None)
            return calls / len(graph)

    steps(30)  # what is done once
    assert steps(120) <= 1.15 * steps(30)

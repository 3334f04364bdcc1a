"""The formulas of the scoreboard: golden text, values against differences and formulas by hand, lengths, reading."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.dims import bind
from tests.round_trip import check_round_trip
from tests.scoreboards import formulas
from tests.scoreboards.formulas import ROWS, Built, Row, build, length, printed, scored
from tests.values import obeying

SIZES = {"N": 4, "M": 2, "K": 3, "P": 2}


@pytest.fixture(autouse=True)
def own_graph() -> Iterator[None]:
    """Let each row have its symbols, and what is declared of them, for itself."""
    with sb.Graph():
        yield


def values_of(built: Built) -> dict[sb.Expr, np.ndarray]:
    """Values of the symbols: square matrices have an inverse and a positive determinant."""
    rng = np.random.default_rng(3)
    values = {}
    for symbol in built.symbols:
        shape = bind(symbol.shape, SIZES)
        drawn = rng.uniform(0.2, 1.2, shape)
        square = len(shape) == 2 and shape[0] == shape[1]
        values[symbol] = obeying(symbol, drawn + 4 * np.eye(*shape) if square else drawn)
    return values


each_row = pytest.mark.parametrize("row", ROWS, ids=[f"{row.source}: {row.z} by {row.by}" for row in ROWS])


@each_row
def test_the_formula_is_printed_as_in_the_table(row: Row) -> None:
    assert printed(build(row).gradient) == (row.printed or row.hand)


@each_row
def test_the_formula_has_the_values_of_differences_and_of_the_best_by_hand(row: Row) -> None:
    built = build(row)
    values = values_of(built)
    simplified = sb.simplify(built.gradient)
    compiled = sb.compile(list(values), [built.gradient, simplified])(*values.values())
    by_hand = sb.parse(row.hand, built.symbols, sizes=list(SIZES), shape=built.by.shape)
    by_hand_values = sb.compile(list(values), by_hand)(*values.values())
    rng = np.random.default_rng(5)
    direction = rng.normal(size=np.shape(values[built.by]))
    ends = [sb.evaluate(built.z, {**values, built.by: values[built.by] + step * direction}) for step in (1e-5, -1e-5)]
    slope = (ends[0] - ends[1]) / 2e-5
    for found in (*compiled, by_hand_values):
        np.testing.assert_allclose(np.sum(found * direction), slope, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(found, compiled[0], rtol=1e-9, atol=1e-9)


@each_row
def test_what_is_simplified_stays_as_it_is(row: Row) -> None:
    once = sb.simplify(build(row).gradient)
    assert sb.text(sb.simplify(once), simplify=False) == sb.text(once, simplify=False)


@each_row
def test_the_formula_reads_back(row: Row) -> None:
    built = build(row)
    check_round_trip(built.gradient, values_of(built))


def test_formulas_are_no_longer_than_the_best_by_hand() -> None:
    found = scored()
    assert len(found) >= 100
    assert np.mean([each.ratio for each in found]) <= 1
    assert [(each.row.z, each.ratio) for each in found if each.ratio > 1.5] == []


def test_every_equation_of_the_cookbook_on_derivatives_has_a_row_or_a_reason() -> None:
    """Chapter 2 has the equations 33 to 144."""
    numbers = [re.findall(r"(?<![\d.])\d+(?![\d.])", row.source) for row in formulas.COOKBOOK]  # but not of sections
    with_rows = {int(number) for each in numbers for number in each}
    without = {number for equations in formulas.NO_ROWS for number in equations}
    assert with_rows & without == set()
    assert with_rows | without == set(range(33, 145))


def test_the_table_beside_the_scoreboard_is_the_one_of_today() -> None:
    assert Path(formulas.__file__).with_suffix(".md").read_text(encoding="utf-8") == formulas.table()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x", 1),
        ("−x", 2),
        ("Ax", 3),
        ("2x", 3),
        ("2·x", 3),
        ("2 exp(x)", 4),
        ("x ⊙ y", 3),
        ("xᵀ", 2),
        ("X⁻¹", 2),
        ("X⁻ᵀ", 2),
        ("x²", 3),
        ("(x + y)²", 5),
        ("softmax(x)", 2),
        ("sx(x)", 5),
        ("‖x‖", 2),
        ("‖x‖·‖y‖", 5),
        ("a‖x‖", 4),
        ("log|det(X)|", 4),
        ("√(x)", 2),
        ("σ′(z)", 2),
        ("x[0]", 3),
        ("mean(x, axis=0)", 6),
        ("½(x − 1.5)", 5),
        ("ȳx", 3),
    ],
)
def test_length_counts_symbols_numbers_and_operators(text: str, expected: int) -> None:
    assert length(text) == expected

"""The notebooks run from top to bottom, show what their text says, and are stored without output."""

import os
from functools import cache
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("**/*.ipynb"))
LESSON = ROOT / "notebooks" / "01_backpropagation.ipynb"
CHECKING = ROOT / "notebooks" / "03_check_my_derivative.ipynb"

BY_HAND = ROOT / "notebooks" / "02_backprop_by_hand.ipynb"


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@cache
def outputs_of(path):
    """Give what each code cell shows, by its source: all its text, and the types of its figures."""
    notebook = nbformat.read(path, as_version=4)
    in_the_page = os.environ | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute(env=in_the_page)
    shown = {}
    for cell in code_cells(notebook):
        texts, kinds = [], set()
        for output in cell.outputs:
            data = output.get("data", {})
            texts += [output.get("text", ""), data.get("text/plain", "")]
            kinds |= {output.get("name", ""), *data}
        shown[cell.source] = "\n".join(texts), kinds
    return shown


def shown_by(part):
    """Give what the one cell of the lesson that contains this code shows."""
    (found,) = [shown for source, shown in outputs_of(LESSON).items() if part in source]
    return found


def test_the_lesson_is_among_the_notebooks():
    assert LESSON in NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_output(path):
    cells = code_cells(nbformat.read(path, as_version=4))
    assert cells
    assert not any(cell.outputs or cell.execution_count for cell in cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_without_complaint(path):
    puzzling = [source for source, (_, kinds) in outputs_of(path).items() if "stderr" in kinds]
    assert not puzzling  # a warning on the page would puzzle the reader


@pytest.mark.lecture("D1")
@pytest.mark.lecture("D2")
def test_the_lesson_prints_the_lines_of_the_lecture():
    calculus, _ = shown_by("dw.text(primes=True)")
    assert "∂L/∂w = (σ(wx + b) − t) σ′(wx + b)·x\n∂L/∂b = (σ(wx + b) − t) σ′(wx + b)\n" in calculus
    lines, kinds = shown_by("sb.backprop_table(L_reg")
    assert "w̄ = z̄x + R̄w" in lines
    assert "text/html" in kinds


@pytest.mark.lecture("A10")
@pytest.mark.lecture("A12")
def test_the_page_by_hand_agrees_with_itself():
    page = outputs_of(BY_HAND)
    (shown,) = [text for source, (text, _) in page.items() if "by a difference quotient" in source]
    assert shown.count("4.560792") == 2
    (agree,) = [text for source, (text, _) in page.items() if "np.allclose(whole" in source]
    assert agree.strip() == "True"
    (increments,) = [text for source, (text, _) in page.items() if 'J, x, style="increments")' in source]
    assert "dJ/dt += dJ/du2 · du2/dt, du2/dt = 3\n" in increments
    drawn = [kinds for source, (_, kinds) in page.items() if "sb.draw(" in source]
    assert len(drawn) == 3
    assert all("image/svg+xml" in kinds for kinds in drawn)


def test_the_lesson_draws_the_computation_with_its_derivative():
    for cell in ("sb.draw(L)", 'sb.draw({"L": L'):
        assert "image/svg+xml" in shown_by(cell)[1]


def test_the_lesson_s_models_learn():
    assert "loss 0.693 -> 0.23" in shown_by("losses[-1]")[0]
    history, _ = shown_by("train.fit(")
    assert float(history.splitlines()[-1].split()[-1]) >= 0.99
    assert "image/png" in shown_by("history.plot")[1]


def test_the_page_on_checking_finds_the_five_slips():
    shown = [text for text, _ in outputs_of(CHECKING).values()]
    slips = shown[shown.index(next(text for text in shown if "α = [[1], [2]]" in text)) :]
    both = [text for text in slips if text.lstrip().startswith("Not the same: at") and "The same" in text]
    assert len(both) == 5  # the slide is not the same, with a counterexample; what it should be is

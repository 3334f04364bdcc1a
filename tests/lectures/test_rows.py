"""The table in README.md says which rows of the lectures are shown; this holds it to the tests that there are."""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
ROW = re.compile(r"\| ([A-Z]\d+) \|.*\| (shown|open) \|")
COUNT = re.compile(r"^shown (\d+) of (\d+)$", re.MULTILINE)
README = (HERE / "README.md").read_text(encoding="utf-8")
GROUPS = {"A": 27, "B": 17, "L": 13, "D": 17, "P": 7, "C": 8, "N": 1}


def rows_of(decorators):
    """Give the rows that a test is marked with: ``@pytest.mark.lecture("A5")``."""
    for decorator in decorators:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("mark.lecture"):
            yield from (ast.literal_eval(arg) for arg in decorator.args)


def marked_rows():
    """Give for each row the tests that show it."""
    found = {}
    for path in sorted(HERE.parent.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for row in rows_of(node.decorator_list):
                    found.setdefault(row, []).append(f"{path.name}::{node.name}")
    return found


def states():
    """Give the state of each row in README.md."""
    return dict(match.groups() for match in map(ROW.fullmatch, README.splitlines()) if match)


def test_the_rows_are_all_there():
    expected = [f"{group}{number}" for group, size in GROUPS.items() for number in range(1, size + 1)]
    assert list(states()) == expected


def test_a_row_is_shown_exactly_when_a_test_is_marked_with_it():
    shown = {row for row, state in states().items() if state == "shown"}
    marked = marked_rows()
    assert marked.keys() <= states().keys(), "a test names a row that README.md does not have"
    assert not shown - marked.keys(), "README.md calls rows shown that no test is marked with"
    assert not marked.keys() - shown, "these rows have a test: write 'shown' in README.md and count them"


def test_the_count_is_right():
    shown, total = map(int, COUNT.findall(README)[0])
    assert (shown, total) == (list(states().values()).count("shown"), len(states()))

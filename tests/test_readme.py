"""README.md is true: its code prints what stands below it, its commands print what they are said to."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(README)
MARK = "-- next block --"


def examples():
    """Give each Python block with the text below it, which is what it prints; "" where there is none."""
    after = [*BLOCKS[1:], ("", "")]
    return [
        (code, below if kind == "text" else "")
        for (language, code), (kind, below) in zip(BLOCKS, after, strict=True)
        if language == "python"
    ]


def python(*args, cwd):
    """Run Python with warnings as errors."""
    command = [sys.executable, "-X", "utf8", "-W", "error", *args]
    return subprocess.run(command, cwd=cwd, capture_output=True, encoding="utf-8", check=False)


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """Run all Python blocks in one process, as a reader would, and give what each prints."""
    folder = tmp_path_factory.mktemp("readme")
    script = f"print({MARK!r})\n".join(code for code, _ in examples())
    (folder / "readme.py").write_text(script, encoding="utf-8")
    done = python("readme.py", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "loss.svg").read_text(encoding="utf-8").startswith("<")
    return done.stdout.split(f"{MARK}\n")


@pytest.mark.parametrize("number", range(len(examples())))
def test_the_code_prints_what_stands_below_it(number, printed):
    assert printed[number].rstrip("\n") == examples()[number][1].rstrip("\n")


def test_every_block_is_of_a_kind_that_is_checked():
    assert README.count("```") == 2 * len(BLOCKS)
    assert {kind for kind, _ in BLOCKS} == {"python", "text", "sh", "console"}
    assert len(examples()) >= 6
    assert sum(kind == "text" for kind, _ in BLOCKS) == sum(bool(output) for _, output in examples())


def test_the_first_screen_shows_ten_lines_and_the_formula():
    code, output = examples()[0]
    assert len([line for line in code.splitlines() if line.strip()]) == 10
    assert output.startswith("Xᵀ(σ(Xw + b) − y)/N\n")


def test_the_commands_print_what_is_said(tmp_path):
    (console,) = [text for kind, text in BLOCKS if kind == "console"]
    command, _, output = console.removeprefix("$ symbackprop ").partition("\n")
    done = python("-m", "symbackprop", *shlex.split(command), cwd=tmp_path)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", output)


def test_the_two_commands_are_there():
    (shell,) = [text for kind, text in BLOCKS if kind == "sh"]
    assert [line.partition("#")[0].rstrip() for line in shell.splitlines()] == [
        "python -m pip install '.[examples]' && python examples/digits.py",
        "python -m pip install -e '.[test]' && python -m pytest",
    ]


def test_links_lead_somewhere():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert targets
    assert not [target for target in targets if not (ROOT / target).exists()]

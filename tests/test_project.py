"""The project itself: what lies at its top level, which module imports which, what an import costs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "symbackprop"

TOP_LEVEL = {
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "examples",
    "notebooks",
    "pyproject.toml",
    "symbackprop",
    "tests",
}

# A module imports from earlier lines and from its own package, never from beside or below; what only names types,
# under TYPE_CHECKING, is never run and may point anywhere.
LAYERS = (
    ("errors", "refusals"),
    ("dims",),
    ("graph",),
    ("expr",),
    ("op",),
    ("spelling", "sympy_names"),
    ("ops",),
    ("language",),
    ("rewrite",),
    ("autodiff",),
    ("precise", "stand_in"),
    ("sympy_forms",),
    ("equality", "lower", "printing"),
    ("custom", "tracing"),
    ("train", "parallel"),
    ("optimise",),
    ("cli",),
    ("__init__", "__main__"),
)
RANK = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}

# The operators of Expr need the ops and the ops make Exprs: this loop is cut inside one function of expr.py.
LOOP = ("expr", "ops")

IMPORTED_WHERE_USED = ("dask", "matplotlib", "mpmath", "opt_einsum", "scipy", "sklearn", "sympy", "tqdm")


class Import(NamedTuple):
    """One import of a part of symbackprop."""

    part: str
    line: int
    function: str  # the function that it stands in, "" where it runs as the module is imported


def part_of(path: Path) -> str:
    """The part of symbackprop that a file belongs to: `ops` for both `ops.py` and `ops/reduce.py`."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def modules_named(node: ast.AST, package: str) -> Iterator[str]:
    """The full names that an import in a module of `package` asks for."""
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            parents = package.split(".")
            base = parents[: len(parents) - level + 1] if level else []
            yield from (".".join([*base, *filter(None, [module]), alias.name]) for alias in names)
        case ast.Call(
            func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            yield name


def imports_of(source: str, package: str) -> Iterator[Import]:
    """Every import of symbackprop in the source of a module of `package`, wherever it stands, that can run."""

    def walk(node: ast.AST, scope: tuple[str, ...], function: str) -> Iterator[Import]:
        for name in modules_named(node, package):
            top, part, *_ = [*name.split("."), ""]
            if top == "symbackprop":
                # What is no module of ours (`from symbackprop import grad`) comes from __init__.
                yield Import(part if part in RANK else "__init__", node.lineno, function)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            scope = (*scope, node.name)
            function = function if isinstance(node, ast.ClassDef) else ".".join(scope)
        for child in ast.iter_child_nodes(node):
            if child not in typing_only(node):
                yield from walk(child, scope, function)

    yield from walk(ast.parse(source), (), "")


def typing_only(node: ast.AST) -> list[ast.stmt]:
    """The statements below an `if TYPE_CHECKING:`."""
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), body=body):
            return body
    return []


def imports_of_package() -> Iterator[tuple[Path, Import]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        package = ".".join(path.relative_to(ROOT).parent.parts)
        for found in imports_of(path.read_text(encoding="utf-8"), package):
            yield path, found


def goes_back(importer: str, imported: str) -> bool:
    return importer == imported or RANK[imported] < RANK[importer]


def test_top_level_is_as_designed():
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    listing = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 - whichever git made the checkout
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = {name.split("/")[0] for name in listing.split("\0") if name}
    assert {name for name in names if not name.startswith(".")} == TOP_LEVEL


def test_every_module_has_its_layer():
    assert {part_of(path) for path in PACKAGE.rglob("*.py")} <= set(RANK)


def test_imports_go_one_way():
    wrong = {
        f"{path.relative_to(ROOT)}:{found.line}: {part_of(path)} imports {found.part}"
        for path, found in imports_of_package()
        if not goes_back(part_of(path), found.part) and (part_of(path), found.part) != LOOP
    }
    assert not wrong, "\n".join(sorted(wrong))


def test_the_loop_between_expr_and_ops_is_cut_in_one_function():
    functions = {found.function for path, found in imports_of_package() if (part_of(path), found.part) == LOOP}
    assert len(functions) == 1, functions
    assert "" not in functions, "expr imports ops at module level"


@pytest.mark.parametrize(
    ("source", "part", "function"),
    [
        ("import symbackprop", "__init__", ""),
        ("import symbackprop.ops.reduce as r", "ops", ""),
        ("from symbackprop import cli", "cli", ""),
        ("from symbackprop import grad", "__init__", ""),
        ("from symbackprop.train.losses import mse", "train", ""),
        ("from . import engine", "rewrite", ""),
        ("from .engine import run", "rewrite", ""),
        ("from .. import ops", "ops", ""),
        ("from ..lower.function import Function", "lower", ""),
        ("def f():\n    import symbackprop.ops", "ops", "f"),
        ("class C:\n    from ..ops import add", "ops", ""),
        ("class C:\n    def f(self):\n        from ..ops import add", "ops", "C.f"),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    from symbackprop.cli import main", "cli", ""),
        ("import importlib\nimportlib.import_module('symbackprop.parallel.dask')", "parallel", ""),
    ],
)
def test_an_import_is_found_wherever_it_stands(source, part, function):
    (found,) = imports_of(source, "symbackprop.rewrite")
    assert (found.part, found.function) == (part, function)


@pytest.mark.parametrize("test", ["TYPE_CHECKING", "typing.TYPE_CHECKING"])
def test_imports_for_types_alone_are_free(test):
    assert list(imports_of(f"if {test}:\n    from symbackprop.cli import main", "symbackprop")) == []


def test_other_imports_are_not_ours():
    assert list(imports_of("import numpy, symbackprop_extra\nfrom networkx import graph", "symbackprop")) == []


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("dims", "errors", True),
        ("ops", "ops", True),
        ("cli", "graph", True),
        ("graph", "op", False),
        ("expr", "op", False),
        ("op", "expr", True),
        ("lower", "printing", False),
        ("printing", "lower", False),
        ("train", "parallel", False),
        ("cli", "__init__", False),
    ],
)
def test_the_direction_of_imports(importer, imported, allowed):
    assert goes_back(importer, imported) is allowed


def test_what_is_loaded_later_is_there_and_not_loaded_before():
    code = """
import sys, symbackprop as sb
late = {f"symbackprop.{place}" for place in sb._LATER.values()}
assert not late & set(sys.modules), late & set(sys.modules)
assert set(sb._LATER) <= set(dir(sb)) & set(sb.__all__)
assert all(getattr(sb, name).__name__ == name for name in sb._LATER)
assert late <= set(sys.modules)
try:
    sb.nothing
except AttributeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "module 'symbackprop' has no attribute 'nothing'\n"


def test_importing_symbackprop_imports_nothing_slow():
    slow = (*IMPORTED_WHERE_USED, "hashlib", "numpy.polynomial", "symbackprop.stand_in")
    code = f"import sys, symbackprop; print(*[m for m in {slow} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_operations_raise_errors_of_the_package():
    """Else ``except SymbackpropError`` would miss some; each is a builtin error too."""
    for path in sorted((PACKAGE / "ops").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Raise(exc=ast.Call(func=ast.Name(id=name))):
                    assert name not in {"TypeError", "ValueError"}, f"{path.name}:{node.lineno} raises {name}"

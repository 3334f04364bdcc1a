"""What ``help`` shows: every public name says what it does and shows it, and what it shows is true."""

from __future__ import annotations

import doctest
import inspect
import re
from pathlib import Path

import pytest

import symbackprop as sb
from symbackprop import errors
from symbackprop.op import Op
from symbackprop.ops import TABLE
from tests.scoreboards import functions

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
PUBLIC = sorted(sb.__all__)
HIDDEN = {  # what derivatives, functions of other names and rewritten formulas are made of
    "add_where_equal", "halved_tril", "logabsdet", "logdet", "product_of_others", "signdet", "slice",
    "spread", "unit", "unslice",
    "gather", "maximum_at", "minimum_at", "scatter", "scatter_add", "set_at", "set_slice",
    "qr_q", "qr_r", "svd_u", "svd_vh",
    "cosm_frechet", "diagonal_sums", "eigenvectors", "expm_frechet", "inverse_gaps", "sinm_frechet",
    "bose", "centred", "damped", "gauss", "hypot1", "isru", "log1mexp", "logcosh", "normal_hazard", "normal_tail",
    "largest", "shifted", "sigmoid_entropy", "sigmoid_slope", "softmax_centred", "tanh_slope", "tanh_slope_beside",
    "bessel_i", "cofactors", "cofactors_along", "fraction", "gap", "ratio", "sinc_slope", "weighted_logsumexp", "xlogx",
}  # fmt: skip
RETURNED = {
    inspect.signature(thing).return_annotation
    for thing in (getattr(sb, name) for name in PUBLIC)
    if inspect.isfunction(thing)
}


def run(doc: str, name: str) -> doctest.TestResults:
    report: list[str] = []
    test = doctest.DocTestParser().get_doctest(doc, {}, name, None, 0)
    with sb.Graph():
        found = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append)
    assert not found.failed, "".join(report)
    return found


@pytest.mark.parametrize("op", TABLE, ids=lambda op: op.name)
def test_what_an_op_shows_is_true(op):
    """Ops are instances, so that pytest does not look into their docs."""
    assert op.doc.strip()
    assert op.__doc__ == op.doc
    assert op.doc[0].isupper(), "a sentence"
    run(op.doc, op.name)


@pytest.mark.parametrize("op", [op for op in TABLE if vars(sb).get(op.name) is op], ids=lambda op: op.name)
def test_an_op_that_is_called_itself_shows_how(op):
    assert run(op.doc, op.name).attempted
    assert f"sb.{op.name}(" in op.doc


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_documented(name):
    thing = getattr(sb, name)
    doc = thing.doc if isinstance(thing, Op) else inspect.getdoc(thing)
    assert doc
    assert doc.split("\n\n")[0].rstrip().endswith((".", ":")), "a doc begins with a sentence"
    if inspect.isclass(thing) and name in RETURNED - {"Expr"}:
        return  # the function that gives it shows it
    assert ">>> " in doc, f"sb.{name} shows no example"


@pytest.mark.parametrize("name", sb.linalg.__all__)
def test_a_name_of_linear_algebra_is_documented(name):
    thing = getattr(sb.linalg, name)
    doc = thing.doc if isinstance(thing, Op) else inspect.getdoc(thing)
    assert f"sb.linalg.{name}(" in doc or thing is getattr(sb, name, None)
    assert run(doc, name).attempted


def in_order(name: str) -> list[str | int]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def test_the_public_names_are_sorted_and_there():
    assert len(set(sb.__all__)) == len(sb.__all__)
    for family in vars(sb.ops).values():
        names = list(getattr(family, "__all__", ()))
        assert names == sorted(names, key=in_order), family
    assert set(sb.ops.__all__) <= set(sb.__all__)
    for op in TABLE:
        public = getattr(sb, op.name, None) or getattr(sb.linalg, op.name, None)
        if op.name not in HIDDEN:
            assert callable(public), f"the op {op.name} cannot be reached as sb.{op.name}"


def test_every_error_says_when_it_is_raised():
    for name, error in vars(errors).items():
        if inspect.isclass(error) and issubclass(error, Exception | Warning):
            assert inspect.getdoc(error), name


def test_the_table_of_operations_and_functions_is_the_one_of_today():
    """Written anew by ``python -m tests.scoreboards functions``."""
    beside = Path(functions.__file__).with_suffix(".md")
    assert beside.read_text(encoding="utf-8") == functions.table()

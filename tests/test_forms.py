"""Each function in each form that people call it in, because it is in the tables of tests/forms: NumPy is the judge.

What NumPy gives for float64, float32, int64, for no elements and for scalars, an expression gives; where NumPy raises,
so does the expression, while it is built or evaluated. First and second derivatives are compared with differences.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import math
import pkgutil
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.special

import symbackprop as sb
from symbackprop.errors import NotDifferentiableError, SymbackpropError
from symbackprop.expr import Expr
from tests import forms
from tests.forms import Array, Drawn, Form

FORMS: list[Form] = [
    each
    for module in sorted(found.name for found in pkgutil.iter_modules(forms.__path__))
    for each in importlib.import_module(f"tests.forms.{module}").FORMS
]
STEP = 1e-5
REFUSED = (SymbackpropError, TypeError, ValueError, IndexError, np.linalg.LinAlgError)
RAISED = (*REFUSED, ZeroDivisionError, RuntimeError)
"""What NumPy raises."""

each_form = pytest.mark.parametrize("form", FORMS, ids=str)
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning")


# --- trials ---------------------------------------------------------------------------------------------------


def drawn(
    form: Form, dtype: str = "float64", change: Callable[[tuple[int, ...]], tuple[int, ...]] | None = None
) -> Any:
    """Draw the operands; what is given as an array stays."""
    rng = np.random.default_rng([*form.text.encode()])
    arrays = {}
    for name, operand in form.operands.items():
        if not isinstance(operand, Drawn):
            arrays[name] = operand
            continue
        shape = change(operand.shape) if change else operand.shape
        count = int(np.prod(shape))
        unit = ((rng.permutation(count) + rng.uniform(0.2, 0.8, count)) / max(count, 1)).reshape(shape)
        values = np.asarray(operand.draw(unit))
        if operand.kind == "f":
            values = np.round(values * 2).astype(dtype) if dtype.startswith("int") else values.astype(dtype)
        arrays[name] = values
    return arrays


def no_elements(form: Form) -> Callable[[tuple[int, ...]], tuple[int, ...]] | None:
    """Give the change that makes the first axis of the first operand empty, and all axes of that size."""
    first = next((operand.shape[0] for operand in form.operands.values() if operand.shape), None)
    return first and (lambda shape: tuple(0 if size == first else size for size in shape))  # type: ignore[return-value]


def computed(text: str, names: Mapping[str, Any], numpy: Any = np) -> Any:
    """Evaluate a form."""
    spaces = {"np": numpy, "math": math, "sp": scipy.special, "sla": scipy.linalg, "sb": sb}
    return eval(text, {**spaces, **names})  # noqa: S307  (our own table)


def leaves(result: Any) -> Iterator[Any]:
    """Take tuples and lists of results apart."""
    if isinstance(result, tuple | list):
        for part in result:
            yield from leaves(part)
    else:
        yield result


def truth(form: Form, arrays: Mapping[str, Array]) -> list[Any]:
    """Give what NumPy gives for arrays, as a list."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return [np.asarray(part) for part in leaves(computed(form.truth or form.text, arrays))]


def symbols(form: Form, arrays: Mapping[str, Array], *, named: bool = False) -> dict[str, Any]:
    """Give symbols for the drawn operands."""
    return {
        name: sb.symbol(
            name, tuple(f"N{size}" if named and size > 1 else size for size in np.shape(array)), np.asarray(array).dtype
        )
        if isinstance(form.operands[name], Drawn)
        else array
        for name, array in arrays.items()
    }


def values_of(names: Mapping[str, Any], arrays: Mapping[str, Array]) -> dict[Expr, Array]:
    return {expr: arrays[name] for name, expr in names.items() if isinstance(expr, Expr)}


def found(form: Form, arrays: Mapping[str, Array], *, named: bool = False) -> list[Any]:
    """Give what the expression gives for arrays, as a list."""
    names = symbols(form, arrays, named=named)
    values = values_of(names, arrays)
    with np.errstate(all="ignore"):
        parts = list(leaves(computed(form.text, names)))
        return [np.asarray(sb.evaluate(part, values) if isinstance(part, Expr) else part) for part in parts]


def assert_equal(results: list[Any], expected: list[Any], rtol: float, *, dtypes: bool = True) -> None:
    assert len(results) == len(expected)
    for result, wanted in zip(results, expected, strict=True):
        assert result.shape == wanted.shape
        if dtypes:
            assert result.dtype == wanted.dtype
        scale = np.max(np.abs(wanted[np.isfinite(wanted)]), initial=0.0) if wanted.dtype.kind == "f" else 0.0
        np.testing.assert_allclose(result, wanted, rtol, atol=rtol * scale)


# --- values ---------------------------------------------------------------------------------------------------


@each_form
def test_it_gives_what_numpy_gives(form):
    arrays = drawn(form)
    expected = truth(form, arrays)
    results = found(form, arrays)
    assert_equal(results, expected, 1e-11, dtypes=form.truth is None or expected[0].dtype.kind == "f")
    single = drawn(form, "float32")
    assert_equal(found(form, single), truth(form, single), 1e-4)


def _cases(form: Form) -> dict[str, Any]:
    cases = {"int64": drawn(form, "int64")}
    empty = no_elements(form)
    if empty:
        cases["no elements"] = drawn(form, change=empty)
        cases["scalars"] = drawn(form, change=lambda _shape: ())
    return cases


@each_form
def test_unusual_operands_are_treated_as_numpy_treats_them(form):
    """Integers, no elements, scalars."""
    for what, arrays in _cases(form).items():
        try:
            expected = truth(form, arrays)
        except RAISED:
            if form.truth is None:
                with pytest.raises(REFUSED):
                    pytest.fail(f"{what}: NumPy raises, and this gives {found(form, arrays)}")
            continue
        try:
            results = found(form, arrays)
        except Exception as error:
            if what == "scalars" and "out of range for rank 0" in str(error):
                continue  # NumPy lets scalars have an axis; we do not
            error.add_note(f"for {what}, where NumPy gives {expected}")
            raise
        assert_equal(results, expected, 1e-11, dtypes=form.truth is None)


@each_form
def test_named_sizes(form):
    arrays = drawn(form)
    if not form.named:
        with pytest.raises(SymbackpropError):
            found(form, arrays, named=True)
        return
    assert_equal(found(form, arrays, named=True), truth(form, arrays), 1e-11, dtypes=False)


@each_form
def test_compiled_it_gives_the_same(form):
    arrays = drawn(form)
    names = symbols(form, arrays)
    values = values_of(names, arrays)
    outputs = [part for part in leaves(computed(form.text, names)) if isinstance(part, Expr)]
    if outputs:
        function = sb.compile(list(values), outputs)
        expected = [np.asarray(sb.evaluate(part, values)) for part in outputs]
        for _ in range(2):  # the second call finds buffers that the first has left
            assert_equal([np.asarray(part) for part in function(*values.values())], expected, 1e-11)


class _Names:
    """What a form finds under `np`, so that it is spelled with our names: ours where it is called with expressions."""

    def __init__(self, numpy: Any, ours: Any) -> None:
        self.numpy, self.ours = numpy, ours

    def __getattr__(self, name: str) -> Any:
        of_numpy = getattr(self.numpy, name)
        if name == "linalg":
            return _Names(of_numpy, sb.linalg)
        if not callable(of_numpy) or isinstance(of_numpy, type):
            return of_numpy

        def called(*args: Any, **kwargs: Any) -> Any:
            if isinstance(of_numpy, np.ufunc) and kwargs:
                return of_numpy(*args, **kwargs)  # dtype=, where= and out= are NumPy's own
            if any(isinstance(part, Expr) for part in itertools.chain(*map(leaves, (args, list(kwargs.values()))))):
                assert hasattr(self.ours, name), f"sb.{name} is missing"
                return getattr(self.ours, name)(*args, **kwargs)
            return of_numpy(*args, **kwargs)

        return called


def _plain(text: str) -> bool:
    """Tell whether each ``np.`` of a form is a function that is called by its own name, no method of a ufunc."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)]
    reached = [node.value for node in nodes if isinstance(node.value, ast.Attribute)]
    return all(node.attr == "linalg" for node in reached if isinstance(node.value, ast.Name) and node.value.id == "np")


@pytest.mark.parametrize("form", [form for form in FORMS if "np." in form.text and _plain(form.text)], ids=str)
def test_our_names_build_the_same_formula(form):
    names = symbols(form, drawn(form))
    plain, spelled = (list(leaves(computed(form.text, names, numpy))) for numpy in (np, _Names(np, sb)))
    assert [str(part) for part in plain] == [str(part) for part in spelled]


# --- derivatives ----------------------------------------------------------------------------------------------


def _projected(form: Form, names: Mapping[str, Any], weights: list[Any]) -> Expr | None:
    outputs = [part for part in leaves(computed(form.text, names)) if isinstance(part, Expr) and part.dtype.kind == "f"]
    terms = [sb.sum(part * sb.constant(weight)) for part, weight in zip(outputs, weights, strict=True)]
    return sum(terms[1:], terms[0]) if terms else None


@each_form
@pytest.mark.filterwarnings("ignore::symbackprop.errors.NotTrainableWarning")
def test_first_and_second_derivative(form):
    """Along random directions, against centred differences of what NumPy computes and of the gradient."""
    arrays = drawn(form)
    rng = np.random.default_rng(5)
    weights = [rng.uniform(0.5, 1.5, part.shape) for part in truth(form, arrays) if part.dtype.kind == "f"]
    names = symbols(form, arrays)
    f = _projected(form, names, weights)
    moved = [name for name, operand in form.operands.items() if isinstance(operand, Drawn) and operand.kind == "f"]
    if not form.differentiable:
        if f is not None and moved:
            with pytest.raises(NotDifferentiableError):
                sb.grad(f, [names[name] for name in moved])
        return
    assert f is not None
    wanted = [names[name] for name in moved]
    gradients = sb.grad(f, wanted, unused="zeros")
    assert [g.shape for g in gradients] == [x.shape for x in wanted]
    along, by = ([rng.uniform(0.5, 1.5, x.shape) for x in wanted] for _ in range(2))
    slope = sum(sb.sum(g * sb.constant(v)) for g, v in zip(gradients, by, strict=True))
    values = values_of(names, arrays)
    try:
        second = sb.grad(slope, wanted, unused="zeros")
    except NotDifferentiableError:
        second = [sb.zeros_like(x) for x in wanted]
    function = sb.compile(list(values), [list(gradients), slope, list(second)])

    def at(distance: float) -> dict[str, Array]:
        return arrays | {
            name: arrays[name] + distance * direction for name, direction in zip(moved, along, strict=True)
        }

    def value(point: dict[str, Array]) -> float:
        parts = [part for part in truth(form, point) if part.dtype.kind == "f"]
        return float(sum(np.sum(part * weight) for part, weight in zip(parts, weights, strict=True)))

    def called(point: dict[str, Array]) -> Any:
        return function(*(point[name] for name in names if isinstance(names[name], Expr)))

    firsts, _, seconds = called(arrays)
    before, after = at(-STEP), at(STEP)
    scale = sum(float(np.sum(np.abs(g * v))) for g, v in zip(firsts, along, strict=True))
    np.testing.assert_allclose(
        sum(float(np.sum(g * v)) for g, v in zip(firsts, along, strict=True)),
        (value(after) - value(before)) / (2 * STEP), rtol=1e-6, atol=1e-7 + 1e-8 * scale, err_msg="first derivative",
    )  # fmt: skip
    np.testing.assert_allclose(
        sum(float(np.sum(g * v)) for g, v in zip(seconds, along, strict=True)),
        (called(after)[1] - called(before)[1]) / (2 * STEP), rtol=1e-5, atol=1e-6 + 1e-8 * scale,
        err_msg="second derivative",
    )  # fmt: skip


@each_form
@pytest.mark.filterwarnings("ignore::symbackprop.errors.NotTrainableWarning")
def test_derivatives_keep_shape_and_dtype(form):
    """For float32, and where there are no elements or scalars if NumPy takes them."""
    if not form.differentiable:
        return
    empty = no_elements(form)
    trials = [drawn(form, "float32")]
    trials += [drawn(form, "float32", change) for change in (empty, lambda _shape: ()) if empty and change]
    for trial, arrays in enumerate(trials):
        names = symbols(form, arrays)
        try:
            weights = [np.ones(part.shape, part.dtype) for part in truth(form, arrays) if part.dtype.kind == "f"]
            f = _projected(form, names, weights)
        except RAISED:
            assert trial
            continue
        wanted = [x for x in names.values() if isinstance(x, Expr) and x.dtype.kind == "f"]
        if f is None or not f.graph.reachable([f.number]):
            continue
        gradients = sb.grad(f, wanted, unused="zeros")
        values = values_of(names, arrays)
        for x, gradient in zip(wanted, gradients, strict=True):
            with np.errstate(all="ignore"):
                result = np.asarray(sb.evaluate(gradient, values))
            assert (result.shape, result.dtype) == (x.shape, x.dtype)


# --- the count ------------------------------------------------------------------------------------------------


def test_the_tables_hold_what_people_write():
    """More than 300 functions, in more than 1,000 call forms, none twice; the scoreboard lists them."""
    texts = [str(form) for form in FORMS]
    assert len(set(texts)) == len(texts) > 1000
    functions = {head for form in FORMS for head in re.findall(r"[\w.]+(?=\()", form.text)}
    assert len(functions) > 300

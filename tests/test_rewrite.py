"""Every rewrite rule keeps the value, because it is in the list; the passes keep it on whole expressions."""

import itertools
import sys

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.graph import Graph, Origin, attributed
from symbackprop.op import CONSTANT, apply
from symbackprop.ops.leaf import SYMBOL
from symbackprop.rewrite import FORMULA, PIPELINE, every_rule, simplify
from symbackprop.rewrite.engine import Rewritten, Rule, Strength, rebuild
from symbackprop.rewrite.pipeline import run
from symbackprop.rewrite.scalar import _shortest
from tests.values import obeying

SIZES = {"N": 3, "D": 2, "K": 4, "M": 2}


def symbols_of(exprs):
    graph = exprs[0].graph
    numbers = graph.reachable([expr.number for expr in exprs])
    return [sb.Expr(graph, number) for number in numbers if graph.nodes[number].op is SYMBOL]


INSIDE = {  # where the symbols of a rule are drawn from, unless from 0.3 to 2
    **{name: {"x": (-0.9, 0.9)} for name in ["arctanh", "arctanh_difference", "arctanh_difference_log1p"]},
    **{name: {"x": (-3.0, -0.1)} for name in ["log1mexp", "log1mexp_expm1", "log1mexp_log1p", "textbook_log1mexp"]},
    **{name: {"x": (-3.0, 0.9)} for name in ["xlog1py", "xlog1py_log1p", "log1p_negative"]},
    "logsubexp": {"y": (-2.0, 0.2)},
}


def sample(exprs, seed, sizes, inside=None):
    """Draw values for the symbols; wildcards for numbers (c…, d…) too."""
    random = np.random.default_rng(seed)
    values = {}
    for symbol in symbols_of(exprs):
        shape = tuple(size if isinstance(size, int) else sizes[size.name] for size in symbol.shape)
        drawn = obeying(symbol, random.uniform(*(inside or {}).get(symbol.name, (0.3, 2.0)), shape))
        values[symbol] = drawn > 1 if symbol.dtype == bool else drawn
    return values


def with_numbers(expr):
    """Give a rule's example with constants where its wildcards want numbers, negative where a rule asks for c < 0."""
    for c in (1.7, -1.7):
        table = {}
        graph = expr.graph
        for number in graph.reachable([expr.number]):
            node = graph.nodes[number]
            operands = [table[operand] for operand in node.inputs]
            if node.op is SYMBOL and node.params["name"][0] in "cd" and not node.shape:
                table[number] = sb.constant(c if node.params["name"] == "c" else 0.4)
            elif node.op is SYMBOL:
                table[number] = sb.symbol(node.params["name"], node.shape, node.dtype)
                table[number].node.facts = node.facts
            elif node.op is CONSTANT:
                table[number] = sb.constant(node.params["value"].array)
            elif node.inputs:
                with attributed(Origin(None, node.backward)):
                    table[number] = node.op(*operands, **node.params)
            else:
                table[number] = apply(node.op, **node.params)
        yield table[expr.number]


@pytest.mark.parametrize("rule", every_rule(), ids=lambda rule: rule.name)
def test_rule_fires_on_its_examples_and_keeps_value_shape_and_dtype(rule):
    fired = 0
    with Graph():  # of what others have assumed of a symbol of that name nothing is known
        examples = rule.examples()
    for example in examples:
        with Graph():
            for expr in with_numbers(example):
                graph = Rewritten([rule])
                (after,) = rebuild([expr], graph)
                fired += graph.fired[rule.name]
                graph.verify([after.number])
                assert (after.shape, after.dtype) == (expr.shape, expr.dtype)
                values = sample([expr], 1, SIZES, INSIDE.get(rule.name))
                named = {symbol.params["name"]: value for symbol, value in values.items()}
                again = {symbol: named[symbol.params["name"]] for symbol in symbols_of([after])}
                expected = sb.evaluate(expr, values | all_sizes(expr.graph))
                found = sb.evaluate(after, again | all_sizes(graph))
                if rule.strength is Strength.EXACT:
                    np.testing.assert_array_equal(found, expected)
                else:
                    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert fired, "the rule did not fire on any of its examples"


def all_sizes(graph):
    """Give an array that tells every size, also those of symbols that a rule removed."""
    with graph:
        return {sb.symbol("sizes", tuple(SIZES)): np.zeros(tuple(SIZES.values()))}


def test_rules_have_different_names_and_say_what_they_keep():
    assert len({rule.name for rule in every_rule()}) == len(every_rule())
    assert all("=" in str(rule) for rule in every_rule())


def test_compile_uses_no_rule_that_needs_finite_operands():
    x = sb.symbol("x")
    assert float(sb.compile([x], x * 0)(np.nan)) != 0
    assert sb.simplify(x * 0).op is CONSTANT


def test_common_subexpressions_are_shared_and_dead_code_falls_away():
    x = sb.symbol("x", "N")
    sb.exp(x) + 17  # reaches no output
    outputs = [sb.sin(x) * sb.sin(x), sb.sin(x)]
    report = sb.compile([x], outputs).report()
    assert [(row.name, row.nodes) for row in report.rows][:2] == [("as built", 5), ("share", 3)]


def test_the_report_tells_each_rule_with_its_equation_and_its_strength():
    x = sb.symbol("x", "N")
    report = sb.compile([x], sb.log(1 + sb.exp(x)) * 1).report()
    lines = [line.strip() for line in str(report).splitlines()]
    assert "softplus × 1: log(1 + exp(x)) = softplus(x) (real)" in lines
    assert "times_one × 1: x * 1 = x (exact)" in lines
    assert [row.fired for row in report.rows if row.name == "stable"] == [{"softplus": 1}]


@pytest.mark.parametrize("name", [stage.name for stage in PIPELINE])
def test_a_pass_can_be_left_out_by_name(name):
    x = sb.symbol("x", "N")
    f = sb.compile([x], sb.sin(x) * 2 + sb.sin(x) * 2, skip=[name])
    assert name not in [row.name for row in f.report().rows] or name == "share"
    np.testing.assert_allclose(f([1.0, 2.0]), 4 * np.sin([1.0, 2.0]))


def test_leaving_sharing_out_keeps_equal_nodes_apart():
    x = sb.symbol("x", "N")
    expr = [sb.sin(x), sb.sin(x)]
    shared = run(expr)
    assert shared[0] is shared[1]
    kept = run(expr, skip=["share"])
    assert kept[0] is not kept[1]


def test_an_unknown_pass_is_an_error_with_a_suggestion():
    x = sb.symbol("x")
    with pytest.raises(ValueError, match=r"no pass or rule is called 'algbra' \(did you mean 'algebra'\?\)"):
        sb.compile([x], x, skip=["algbra"])


def test_a_rule_can_be_left_out_by_name():
    x = sb.symbol("x")
    assert simplify(x + x).op.name == "multiply"
    assert simplify(x + x, skip=["twice", "scalar"]).op.name == "add"


def test_simplify_leaves_the_graph_it_reads_as_it_is():
    x = sb.symbol("x")
    expr = x * 1 + 0
    before = {number: (node.op, node.inputs) for number, node in x.graph.nodes.items()}
    simplify(expr)
    assert all((x.graph.nodes[n].op, x.graph.nodes[n].inputs) == was for n, was in before.items())


def test_labels_survive():
    x = sb.symbol("x")
    z = (x * 1 + sb.sin(x)).named("z")
    (after,) = run([sb.exp(z)], FORMULA)
    assert after.inputs[0].name == "z"


def test_rules_that_never_come_to_rest_are_stopped_and_the_value_is_kept():
    """The rule calls for itself again and again, and makes more nodes each time."""

    def grown(expr):
        left, right = expr.inputs
        return apply(expr.op, apply(expr.op, right, left), 0.0 * sb.sin(left + right))

    rule = Rule(
        name="grow", equation="x + y = (y + x) + 0·sin(x + y)", strength=Strength.REAL, roots=(sb.add,), rewrite=grown,
        examples=list,
    )  # fmt: skip
    x = sb.symbol("x")
    expr = x
    for _ in range(20):
        expr = expr + x
    graph = Rewritten([rule])
    (after,) = rebuild([expr], graph)
    assert graph.exhausted
    assert graph.fired.total() < 3_000
    np.testing.assert_allclose(sb.evaluate(after, {symbols_of([after])[0]: 0.5}), 10.5)


def test_where_nothing_below_has_changed_only_new_rules_are_tried():
    x = sb.symbol("x")
    tried = []

    def rule(name, op):
        return Rule(
            name=name, equation="", strength=Strength.EXACT, roots=(op,), rewrite=lambda expr: tried.append(name),
            examples=list,
        )  # fmt: skip

    old, new = rule("old", sb.sin), rule("new", sb.cos)
    (before,) = rebuild([sb.cos(sb.sin(x))], Rewritten([old]))
    assert tried == ["old"]
    rebuild([before], Rewritten([old, new], fresh=[new]))
    assert tried == ["old", "new"]
    changed = Rule(
        name="change", equation="", strength=Strength.EXACT, roots=(sb.sin,), examples=list,
        rewrite=lambda expr: sb.exp(expr.inputs[0]),
    )  # fmt: skip
    rebuild([before], Rewritten([new, changed], fresh=[changed]))
    assert tried == ["old", "new", "new"]


def test_a_pass_that_changes_nothing_copies_nothing():
    x, y = sb.symbols("x[N] y[N]")
    stages = []
    run([sb.sum(sb.tanh(x) * y), sb.sqrt(x) + y], observe=stages.append)
    assert not any(stage.fired for stage in stages)
    assert all(stage.outputs == stages[0].outputs for stage in stages), "handles are equal where nodes are the same"


def test_new_rules_are_counted_once_where_a_pass_has_to_copy():
    x, y = sb.symbols("x y")
    unused = [sb.sin(x) + float(turn) for turn in range(1, 4)]
    fired = {}
    (made,) = run([sum(unused, sb.cos(y) * sb.cos(y))], observe=lambda stage: fired.update({stage.name: stage.fired}))
    assert fired["algebra"]["times_itself"] == 1
    made.graph.verify([made.number])


def test_a_long_chain_is_rewritten_without_recursion():
    x = sb.symbol("x")
    expr = x
    for _ in range(20_000):
        expr = -(expr + 0.0)
    assert simplify(expr) is x


def test_naive_logistic_gradient_becomes_the_textbook_form():
    X, w, b, y = sb.symbols("X[N,D] w[D] b y[N]")
    p = sb.sigmoid(X @ w + b)
    loss = -sb.mean(y * sb.log(p) + (1 - y) * sb.log(1 - p))
    after = simplify(sb.grad(loss, w))
    assert after.describe(9) == "divide(matmul(subtract(sigmoid(add(matmul(X, w), b)), y), X), size())[D]"


@pytest.mark.parametrize(
    "spelling",
    [
        lambda x: sb.log(1 + sb.exp(x)),
        lambda x: sb.log(sb.exp(x) + 1),
        lambda x: sb.log1p(sb.exp(x)),
    ],
)
def test_naive_softplus_is_rewritten(spelling):
    x = sb.symbol("x", "N")
    extreme = np.array([-1000.0, -1.0, 0.0, 1.0, 1000.0])
    np.testing.assert_allclose(sb.compile([x], spelling(x))(extreme), np.logaddexp(0, extreme), rtol=1e-15)


def values_of_rewritten(build, **arrays):
    """Give what an expression is worth as built, compiled and simplified."""
    symbols = [sb.symbol(name, array.shape, array.dtype) for name, array in arrays.items()]
    values = dict(zip(symbols, arrays.values(), strict=True))
    expr = build(*symbols)
    with np.errstate(over="ignore"):  # exp of a byte is a float16
        return [
            sb.evaluate(expr, values),
            sb.compile(symbols, expr)(*arrays.values()),
            sb.evaluate(sb.simplify(expr), values),
        ]


BYTES = np.array([1, 5, 200], np.uint8)
SHORT = np.array([-128, 3, 100], np.int8)
FLOATS = np.array([-2.0, 0.5, 3.0])


@pytest.mark.parametrize(
    ("build", "arrays"),
    [
        (lambda x, s: (x > 0) * s + (x > -5) * s, {"x": FLOATS, "s": np.array(3.0)}),
        (lambda x, s: (x > 0) * x / s + (x < 9) * x / s, {"x": FLOATS, "s": np.array(3.0)}),
        (lambda x, s: x / s + x / s, {"x": SHORT, "s": np.array(3.0)}),
        (lambda x, s: (x / s) * (x / s), {"x": SHORT, "s": np.array(3.0)}),
        (lambda x, y: x + (-y), {"x": FLOATS, "y": BYTES}),
        (lambda x, y: (-x) * y, {"x": BYTES, "y": FLOATS}),
        (lambda x, y: x - (-y), {"x": np.array([1, 2, 3]), "y": BYTES}),
        (lambda x, y: (2 * x) / y, {"x": SHORT, "y": BYTES}),
        (lambda x: x * 2 / 3, {"x": BYTES}),
        (lambda x: abs(-x), {"x": BYTES}),
        (lambda x: sb.sqrt(sb.square(x)), {"x": BYTES}),
        (lambda x: sb.power(x, 0.5), {"x": BYTES}),
        (lambda x: 1 / (1 + sb.exp(-x)), {"x": BYTES}),
        (lambda x: sb.sum(2 * x), {"x": BYTES}),
        (lambda x: sb.mean(-x), {"x": SHORT}),
        (lambda x, y: -sb.sum(x - y), {"x": SHORT, "y": SHORT[::-1].copy()}),
        (lambda x: 100 * x + 100 * x, {"x": SHORT > 0}),
        (lambda x, y: x / (100 * y), {"x": FLOATS, "y": FLOATS.astype("float16")}),
    ],
)
def test_rules_of_real_numbers_leave_masks_and_integers_that_wrap_around_alone(build, arrays):
    built, *rewritten = values_of_rewritten(build, **arrays)
    for found in rewritten:
        np.testing.assert_allclose(found, built, rtol=1e-12)


def test_masks_that_meet_in_a_gradient_add_up_as_numbers():
    x, s = sb.symbols("x[N] s")
    slope = sb.grad(s * sb.sum(sb.relu(x) + sb.relu(x - 1)), x)
    at = np.array([2.0, 0.5, -1.0])
    np.testing.assert_array_equal(sb.compile([x, s], slope)(at, 3.0), [6.0, 3.0, 0.0])
    np.testing.assert_array_equal(sb.evaluate(sb.simplify(slope), {x: at, s: 3.0}), [6.0, 3.0, 0.0])


EFFORTS = [  # expression, and what the three efforts make of it
    ("sb.sin(x)**2 + sb.cos(x)**2", "sin(x)² + cos(x)²", "1", "1"),
    ("sb.cos(x)**2 - sb.sin(x)**2", "cos(x)² − sin(x)²", "1 − 2 sin(x)²", "cos(2x)"),
    ("2 * sb.sin(x) * sb.cos(x)", "2 sin(x)·cos(x)", "2 sin(x)·cos(x)", "sin(2x)"),
    ("sb.log(x) + sb.log(y) - sb.log(z)", "log(x) + log(y) − log(z)", "log(x) + log(y) − log(z)", "log(xy/z)"),
    ("sb.exp(x) * sb.exp(y)", "exp(x)·exp(y)", "exp(x)·exp(y)", "exp(x + y)"),
    ("x / sb.sqrt(x)", "x/√x", "√x", "√x"),
    ("x**3 / x", "x³/x", "x²", "x²"),
    ("(x*x - y*y) / (x - y)", "(x² − y²)/(x − y)", "x + y", "x + y"),
    ("1/(1 + x) + 1/(1 - x)", "1/(1 + x) + 1/(1 − x)", "2/(1 − x²)", "2/(1 − x²)"),
    ("sb.square(sb.sqrt(x)) * y", "xy", "xy", "xy"),
    ("-1 - (sb.log(x) - 1 - sb.log(y))", "−1 − (log(x) − 1 − log(y))", "log(y) − log(x)", "log(y/x)"),
    ("x*(y + z) - x*y", "x(y + z − y)", "xz", "xz"),
]


@pytest.mark.parametrize(("source", "low", "normal", "high"), EFFORTS, ids=[row[0] for row in EFFORTS])
def test_more_effort_makes_shorter_formulas_of_the_same_value(source, low, normal, high):
    x, y, z = sb.symbols("x y z")
    expr = eval(source, {"sb": sb, "x": x, "y": y, "z": z})  # noqa: S307  (the sources stand above)
    values = {x: 0.7, y: 1.9, z: 0.4}
    for effort, expected in {"low": low, "normal": normal, "high": high}.items():
        after = simplify(expr, effort=effort)
        assert after.text(simplify=False) == expected
        np.testing.assert_allclose(sb.evaluate(after, values), sb.evaluate(expr, values), rtol=1e-12)


def test_an_unknown_effort_is_an_error_that_names_the_known_ones():
    with pytest.raises(ValueError, match='effort is "low", "normal" or "high", not \'full\''):
        simplify(sb.symbol("x"), effort="full")


def test_what_cannot_cancel_is_an_atom_so_that_long_formulas_cost_little():
    """Each pair of sums shares one factor; multiplied out they would have thousands of terms."""
    f = sb.symbols(" ".join(f"a{at} b{at} c{at} d{at}" for at in range(6)))
    factor = sb.symbol("s")
    product = factor
    for a, b, c, d in zip(f[::4], f[1::4], f[2::4], f[3::4], strict=True):
        product = product * (a * b + c * d)
    shown = str(simplify(product / factor))
    assert "s" not in shown
    assert shown.count("(") == 6


def test_equal_clusters_are_given_to_sympy_once():
    x = sb.symbols("x0 x1 x2 x3 x4")
    before = _shortest.cache_info()
    for each in x:
        assert str(simplify((each**4 - 81) / (each**2 - 9))) == f"9 + {each}²"
    after = _shortest.cache_info()
    assert after.misses - before.misses <= 2
    assert after.hits - before.hits >= 4


def test_sympy_is_stopped_when_its_time_is_over(monkeypatch):
    """By a clock on which every look takes a second; the form that was there is kept, and so is the value."""
    x, y, z = sb.symbols("x y z")
    expr = sb.cos(x + sb.sin(y)) ** 2 / (sb.sin(z) + sb.cos(x * y)) + sb.sin(x + sb.sin(y)) ** 2
    looks = itertools.count()
    monkeypatch.setattr("symbackprop.rewrite.scalar.time.monotonic", lambda: next(looks))
    _shortest.cache_clear()
    trace = sys.gettrace()
    after = simplify(expr, effort="high")
    assert next(looks) < 50  # SymPy makes ten thousands of calls otherwise
    assert sys.gettrace() is trace
    values = {x: 0.7, y: 1.9, z: 0.4}
    np.testing.assert_allclose(sb.evaluate(after, values), sb.evaluate(expr, values), rtol=1e-12)
    _shortest.cache_clear()


def test_a_sum_too_large_for_sympy_is_simplified_in_its_parts():
    pairs = [sb.symbols(f"x{at} y{at}") for at in range(60)]
    total = sb.sum(sb.symbol("v", "N"))
    for x, y in pairs:
        total = total + (x * x - y * y) / (x - y)
    assert "/" not in simplify(total).text(simplify=False, where=False)


def test_integers_of_one_signed_dtype_are_simplified_still():
    n, m = sb.symbols("n m", dtype="int64")
    assert str(sb.simplify(n + 2 * n)) == "3n"
    assert str(sb.simplify(n - (-m))) == "n + m"


def test_the_formula_of_float32_has_no_other_dtype_in_it():
    x = sb.symbol("x", "N", dtype="float32")
    after = sb.simplify(x * sb.exp(x) + 2 * x)
    assert str(after) == "x ⊙ (2 + exp(x))"
    dtypes = {after.graph.nodes[number].dtype for number in after.graph.reachable([after.number])}
    assert dtypes == {np.dtype("float32")}


@pytest.mark.parametrize(
    ("build", "x", "expected"),
    [
        (lambda x: 1e200 * (1e200 * x), 1e-300, 1e100),
        (lambda x: 1e-200 * (1e-200 * x), 1e300, 1e-100),
        (lambda x: x / 1e300 / 1e300, 1e308, 1e-292),
        (lambda x: sb.square(1e-200 * x), 1e150, 1e-100),
    ],
)
def test_numbers_are_not_put_together_beyond_what_floats_hold(build, x, expected):
    symbol = sb.symbol("x")
    np.testing.assert_allclose(sb.compile([symbol], build(symbol))(x), expected, rtol=1e-12)
    np.testing.assert_allclose(sb.evaluate(sb.simplify(build(symbol)), {symbol: x}), expected, rtol=1e-12)


def test_the_slope_of_a_sigmoid_is_not_taken_apart_by_a_sum():
    z, v = sb.symbols("z[N] v[N]")
    s = sb.sigmoid(z)
    assert str(simplify(sb.mean(s * (1 - s)))) == "mean(σ(z) ⊙ (1 − σ(z)))"
    assert sb.text(simplify(sb.sum(v * (s * (1 - s)))), primes=True) == "sum(v ⊙ σ′(z))"
    assert str(simplify(sb.sum(v * (2 - s)))) == "vᵀ(2 − σ(z))"


@pytest.mark.parametrize("activation", [sb.tanh, sb.sigmoid])
def test_inner_derivatives_of_networks_do_without_the_dearer_slopes(activation):
    """What matrix products add up keeps the slope y(1 - y) or 1 - y²; single elements get the accurate one."""
    X, W, b, V = sb.symbols("X[N,D] W[D,H] b[H] V[H,K]")
    h = activation(X @ W + b)
    loss = sb.mean((h @ V) ** 2)
    source = sb.compile([X, W, b, V], [loss, *sb.grad(loss, [W, b, V])]).source
    assert "slope" not in source
    assert source.count("np.exp(") <= 2  # those of the sigmoid itself
    z = sb.symbol("z", "N")
    slope = sb.compile([z], sb.grad(sb.sum(activation(z)), z))
    assert f"{activation.name}_slope(z)" in slope.source
    at = np.array([-40.0, 40.0])
    exact = {"tanh": 4 * np.exp(-80.0), "sigmoid": np.exp(-40.0)}[activation.name]
    np.testing.assert_allclose(slope(at), exact, rtol=1e-12)


@pytest.mark.parametrize("size", [3, "N"])
def test_a_number_in_an_axis_of_its_own_is_no_diagonal(size):
    A, v = sb.symbol("A", (size, size)), sb.symbol("v", 1)
    values = {A: np.arange(9.0).reshape(3, 3), v: np.array([2.0])}
    for expr in (sb.eye(size) * v, v * (sb.eye(size) - sb.expand_dims(v, -1)), (A * v) @ A, sb.diag(A[0]) * v):
        expected = sb.compile(list(values), expr, skip=["tensor", "algebra"])(*values.values())
        short = sb.simplify(expr, effort="low")
        np.testing.assert_allclose(sb.compile(list(values), short)(*values.values()), expected)
        np.testing.assert_allclose(sb.compile(list(values), expr)(*values.values()), expected)


def test_inner_derivatives_of_gated_networks_do_without_the_dearer_slopes():
    """What is added to a memory, or to other pieces of one array, is added up by the matrix products of all steps."""
    X, W, U, state, memory = sb.symbols("X[3,N,D] W[D,12] U[4,12] h[N,4] c[N,4]")
    for step in range(3):
        z = X[step] @ W + state @ U
        memory = sb.sigmoid(z[:, :4]) * memory + sb.sigmoid(z[:, 4:8]) * sb.tanh(z[:, 8:])
        state = sb.tanh(memory)
    source = sb.compile([X, W, U, *sb.symbols("h[N,4] c[N,4]")], sb.grad(sb.mean(state**2), [W, U])).source
    assert "slope" not in source
    assert source.count("np.exp(") <= 2  # those of the sigmoid itself

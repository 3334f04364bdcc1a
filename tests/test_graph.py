"""The static graph: what networkx sees, what is kept, what a walk costs, and appending from several threads."""

from __future__ import annotations

import gc
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import networkx as nx
import numpy as np
import pytest

import symbackprop as sb
from symbackprop.errors import GraphError
from symbackprop.graph import Node, growing
from symbackprop.op import substituted


class CountedNodes(dict):
    """The nodes of a graph, counting how often one is looked up."""

    looked_up = 0

    def __getitem__(self, number):
        self.looked_up += 1
        return super().__getitem__(number)


def counted(graph: sb.Graph) -> CountedNodes:
    graph.nodes = CountedNodes(graph.nodes)
    return graph.nodes


# --- what networkx sees ---------------------------------------------------------------------------------------


def test_the_dag_is_a_networkx_graph_with_edges_keyed_by_position():
    with sb.Graph() as graph:
        x, y = sb.symbols("x[N] y[N]")
        z = x * x - y
    assert isinstance(graph.dag, nx.MultiDiGraph)
    assert nx.is_directed_acyclic_graph(graph.dag)
    product = z.inputs[0].number
    assert set(graph.dag.edges(keys=True)) == {
        (x.number, product, 0),
        (x.number, product, 1),
        (product, z.number, 0),
        (y.number, z.number, 1),
    }
    assert sorted(graph.dag.nodes) == sorted(graph.nodes)
    assert all(operand < consumer for operand, consumer in graph.dag.edges())


def test_the_dag_tells_what_is_known_of_a_node():
    with sb.Graph() as graph:
        x = sb.symbol("x", ("N", 3), "float32")
        y = sb.sum(x, axis=0).named("total")
    data = graph.dag.nodes[y.number]
    assert data["op"] == "sum"
    assert data["inputs"] == (x.number,)
    assert data["shape"] == (3,)
    assert data["dtype"] == "float32"
    assert data["label"] == "total"
    assert data["backward"] is False
    assert data["where"].file == __file__


def test_the_dag_is_one_object_that_follows_the_graph():
    with sb.Graph() as graph:
        x = sb.symbol("x")
        y = sb.sin(x)
        dag = graph.dag
        before = set(dag)
        g = sb.grad(y, x)
        g.named("slope")
    assert graph.dag is dag
    assert set(dag) == set(graph.nodes) > before
    assert dag.nodes[g.number]["backward"] is True
    assert dag.nodes[g.number]["label"] == "slope"
    for number, node in graph.nodes.items():
        edges = sorted(dag.in_edges(number, keys=True), key=lambda edge: edge[2])
        assert tuple(operand for operand, _, _ in edges) == node.inputs


def test_building_appends_and_does_not_merge():
    with sb.Graph() as graph:
        x = sb.symbol("x")
        assert sb.sin(x) is not sb.sin(x)
        assert len(graph) == 3


# --- symbols and the current graph ----------------------------------------------------------------------------


def test_symbols_are_interned_by_name_shape_and_dtype():
    with sb.Graph():
        x = sb.symbol("x", ("N", 3))
        assert sb.symbol("x", ("N", 3)) is x
        assert sb.symbol("x", [sb.symbol("x", "N").shape[0], np.int64(3)]) is x
        assert sb.symbol("x", ("N", 4)) is not x
        assert sb.symbol("x", ("N", 3), "float32") is not x
        assert sb.symbol("y", ("N", 3)) is not x


def test_graphs_nest_and_an_empty_one_counts():
    outer_before = sb.current_graph()
    with sb.Graph() as outer:
        assert sb.current_graph() is outer
        with sb.Graph() as inner:
            assert sb.symbol("x").graph is inner
            with outer:
                assert sb.symbol("x").graph is outer
            assert sb.current_graph() is inner
        assert sb.current_graph() is outer
    assert sb.current_graph() is outer_before
    assert len(inner) == len(outer) == 1


def test_the_graph_before_is_current_again_after_an_error():
    before = sb.current_graph()
    with pytest.raises(RuntimeError, match="on purpose"), sb.Graph():
        raise RuntimeError("on purpose")
    assert sb.current_graph() is before


def test_constants_and_sizes_go_where_the_operands_are():
    with sb.Graph() as graph:
        x = sb.symbol("x", "N")
    for y in (x + 1, np.ones(1) * x, x / x.shape[0], sb.mean(x), sb.prod(x), sb.vjp(sb.exp(x), x, x * 0 + 1)):
        assert y.graph is graph
    y = sb.symbol("y", 2)
    assert sb.vjp(sb.exp(y), y, np.ones(2)).graph is y.graph
    with sb.Graph():
        assert sb.vjp(sb.exp(x[:2]), x, np.ones(2)).graph is graph
        assert sb.jvp(sb.exp(y), y, [1.0, 2.0]).graph is y.graph
        assert sb.hvp(sb.sum(sb.exp(y)), y, [1.0, 2.0]).graph is y.graph


def test_two_graphs_do_not_mix():
    with sb.Graph():
        a = sb.symbol("a", 3)
    with sb.Graph():
        b = sb.symbol("b", 3)
    message = "add: a[3] and b[3] live in different graphs: make all symbols under the same `with sb.Graph():`"
    with pytest.raises(GraphError) as caught:
        a + b
    assert str(caught.value) == message
    for call in (
        lambda: sb.grad(sb.sum(a), b),
        lambda: sb.vjp(a, a, b),
        lambda: sb.evaluate(a, {b: np.ones(3)}),
        lambda: sb.concatenate([a, b]),
    ):
        with pytest.raises(GraphError, match="live in different graphs"):
            call()


# --- what is kept ---------------------------------------------------------------------------------------------


def test_nodes_die_with_the_handles_that_reach_them():
    with sb.Graph() as graph:
        kept = sb.sin(sb.symbol("kept") + 1)
        numbers = graph.reachable([kept.number])
        for _ in range(5_000):
            sb.exp(sb.symbol("dropped")) * 2
        gc.collect()
        assert len(graph) < 9_000, "20,000 nodes were made, 3 of them can be named"
        assert set(numbers) <= set(graph.nodes)
        assert sb.symbol("kept") is kept.inputs[0].inputs[0]
        graph.verify()


def test_losses_built_all_day_do_not_pile_up():
    with sb.Graph() as graph:
        sizes = []
        for turn in range(400):
            w, X = sb.symbol(f"w{turn}", "D"), sb.symbol(f"X{turn}", ("N", "D"))
            loss = sb.mean(sb.tanh(X @ w) ** 2)
            g = sb.grad(loss, w)
            sizes.append(len(graph))
            assert g.shape == ("D",)
    assert max(sizes) < 10_000
    assert sum(handle() is not None for handle in graph.handles.values()) < 100


def test_numbers_are_never_reused():
    with sb.Graph() as graph:
        seen = set()
        for _ in range(6_000):
            number = sb.sin(sb.symbol("x")).number
            assert number not in seen
            seen.add(number)
        assert len(graph) < len(seen), "nothing was swept, so this showed nothing"


def test_the_dag_follows_a_sweep():
    with sb.Graph() as graph:
        x = sb.symbol("x")
        dag = graph.dag
        for _ in range(6_000):
            sb.sin(x)
        assert len(graph) < 6_000
        assert set(dag) == set(graph.nodes)
        assert graph.dag is dag


def test_one_handle_for_a_node():
    x = sb.symbol("x")
    y = sb.sin(x)
    assert y.inputs[0] is x
    assert {y.inputs[0]: 1}[x] == 1


# --- what a walk costs ----------------------------------------------------------------------------------------


def test_walks_cost_what_their_outputs_reach():
    def lookups(others: int) -> list[int]:
        with sb.Graph() as graph:
            x, y = sb.symbol("x", 3), sb.symbol("y", 3)
            ballast = [sb.sin(y) for _ in range(others)]
            nodes = counted(graph)
            counts = []
            z = sb.sum(sb.tanh(x * 2) ** 2)
            for walk in (
                lambda: sb.grad(z, x),
                lambda: sb.evaluate(z, {x: np.ones(3)}),
                lambda: sb.backprop(z, {x: np.ones(3)}),
                lambda: sb.hvp(z, x, np.ones(3)),
                lambda: graph.reachable([z.number]),
                lambda: graph.verify([z.number]),
            ):
                before = nodes.looked_up
                walk()
                counts.append(nodes.looked_up - before)
            assert len(ballast) == others
            return counts

    assert lookups(3_000) == lookups(0)


def test_reachable_stops_at_what_is_known():
    with sb.Graph() as graph:
        x = sb.symbol("x")
        h = sb.sin(x)
        y = sb.exp(h)
        assert graph.reachable([y.number]) == [x.number, h.number, y.number]
        assert graph.reachable([y.number], known={h.number}) == [h.number, y.number]
        assert graph.reachable([h.number], known={h.number}) == [h.number]


def test_a_deep_chain_needs_no_recursion():
    with sb.Graph() as graph:
        y = x = sb.symbol("x")
        for _ in range(5_000):
            y = sb.sin(y)
        assert len(graph.reachable([y.number])) == 5_001
        graph.verify([y.number])
        assert np.isfinite(sb.evaluate(y, {x: 1.0}))
        assert y.describe() == "sin(sin(…))"


# --- verify ---------------------------------------------------------------------------------------------------


def test_verify_finds_a_wrong_node():
    with sb.Graph() as graph:
        x = sb.symbol("x", 3)
        y = sb.sum(x)
        graph.verify()
        node = y.node
        wrong = graph.add(Node(node.op, node.inputs, node.params, (3,), node.dtype))
        with pytest.raises(GraphError, match=rf"node {wrong} \(sum\) says float64\(3,\), its op float64\(\)"):
            graph.verify()
        graph.verify([y.number])
        graph.nodes[wrong] = Node(node.op, (wrong,), node.params, (), node.dtype)
        with pytest.raises(GraphError, match="stands before one of its operands"):
            graph.verify()


# --- threads --------------------------------------------------------------------------------------------------


@pytest.fixture
def _impatient():
    """Let the interpreter change threads as often as it can, so that a race shows."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def in_threads(work, count=8):
    barrier = threading.Barrier(count)

    def start(k):
        barrier.wait()
        return work(k)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(start, range(count)))


@pytest.mark.usefixtures("_impatient")
def test_threads_append_to_one_graph():
    graph = sb.Graph()

    def work(k):
        with graph:
            x = sb.symbol("x", 3)
            w = sb.symbol(f"w{k}", 3)
            total = x * w
            for _ in range(40):
                total = sb.tanh(total) + x
            return x, w, sb.sum(total), sb.grad(sb.sum(total), w)

    made = in_threads(work)
    assert len({x for x, *_ in made}) == 1, "the symbol x was made twice"
    graph.verify()
    for x, w, z, g in made:
        assert z.graph is graph
        values = {x: np.full(3, 0.1), w: np.full(3, 0.2)}
        np.testing.assert_allclose(sb.evaluate(g, values), sb.backprop(z, values)[w], rtol=1e-12)


@pytest.mark.usefixtures("_impatient")
def test_threads_sweep_and_draw_one_graph():
    graph = sb.Graph()

    def work(k):
        with graph:
            kept = sb.symbol(f"kept{k}")
            for _ in range(2_500):
                sb.sin(kept)
            graph.dag.number_of_nodes()
            return sb.cos(kept)

    kept = in_threads(work, 4)
    graph.verify()
    assert set(graph.dag) == set(graph.nodes)
    assert {expr.number for expr in kept} <= set(graph.nodes)


@pytest.mark.usefixtures("_impatient")
def test_threads_get_one_handle():
    for _ in range(100):
        with sb.Graph() as graph:
            y = sb.sin(sb.symbol("x"))
            number = y.node.inputs[0]
        assert graph.handles[number]() is None
        handles = in_threads(lambda _k, graph=graph, number=number: sb.Expr(graph, number), 4)
        assert len({id(handle) for handle in handles}) == 1


def test_a_graph_may_be_entered_by_threads_that_overlap():
    graph = sb.Graph()
    entered, left = threading.Event(), threading.Event()

    def first():
        with graph:
            entered.set()
            assert left.wait(10)
            return sb.symbol("x").graph is graph

    def second():
        assert entered.wait(10)
        with graph:
            found = sb.symbol("y").graph is graph
        left.set()
        return found

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(first), pool.submit(second)]
        assert [future.result() for future in futures] == [True, True]


def test_what_is_put_in_the_place_of_others_is_not_swept_on_the_way(monkeypatch):
    monkeypatch.setattr("symbackprop.graph._SWEEP_FLOOR", 8)
    with sb.Graph():
        x, y = sb.symbols("x y")
        z = x
        for _ in range(200):
            z = sb.sin(z)
        (found,) = substituted([z], {x: 2 * y})
        del z
        assert sb.evaluate(found, {y: 0.0}) == 0


def test_full_collections_wait_while_a_graph_grows_and_come_back():
    before = gc.get_threshold()

    def thresholds():
        with growing(), growing():
            raise ZeroDivisionError(gc.get_threshold())

    with pytest.raises(ZeroDivisionError) as caught:
        thresholds()
    (inside,) = caught.value.args
    assert inside[:2] == before[:2]
    assert inside[2] > 10**6
    assert gc.get_threshold() == before
    try:
        with growing():
            gc.set_threshold(600, 9, 8)  # whoever sets them meanwhile is heeded
        assert gc.get_threshold() == (600, 9, 8)
    finally:
        gc.set_threshold(*before)


def test_a_scratch_graph_tells_what_is_reachable_after_more_was_asked_for():
    with sb.Graph(scratch=True) as graph:
        x = sb.symbol("x")
        y = sb.sin(x)
        first = graph.reachable([y.number])
        first.append(-1)  # a list of the caller's own
        z = sb.cos(y)
        assert graph.reachable([y.number]) == [x.number, y.number]
        assert graph.reachable([z.number]) == [x.number, y.number, z.number]
        assert graph.reachable([z.number], known={y.number}) == [y.number, z.number]
        assert graph.reachable([y.number]) == [x.number, y.number]

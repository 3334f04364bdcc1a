"""Pictures: what DOT says, what the figure shows, and that our own layout is sound."""

import random
import re
import shutil
import subprocess
import time
from contextlib import ExitStack
from itertools import combinations, pairwise
from xml.etree import ElementTree as ET

import pytest

import symbackprop as sb
from symbackprop.errors import ArgumentError, GraphError, SymbackpropError
from symbackprop.printing import layered
from symbackprop.printing.dot import dot
from symbackprop.printing.layered import Wire, lay_out, layers_of
from symbackprop.printing.picture import Frame, Kind, picture
from symbackprop.printing.svg import draw

AWKWARD = [
    'a"b',
    "back\\slash",
    "a\\",
    "<b>bold</b>",
    "new\nline",
    "&amp;",
    "x;import os",
    "]]>",
    "\x00\x1b",
    "θ̂名🎉",
    "$0",
]
GRAPHVIZ = shutil.which("dot")


@pytest.fixture(autouse=True)
def fresh_graph():
    with sb.Graph():
        yield


def logistic():
    X, w, b, y = sb.symbols("X[N,D] w[D] b y[N]")
    loss = sb.mean((y - sb.sigmoid((X @ w + b).named("z"))) ** 2)
    return loss, sb.grad(loss, [w, b])


def texts(svg):
    root = ET.fromstring(svg)  # noqa: S314 - what we wrote ourselves
    return ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("text")]


def awkward(name):
    """Bear the name as a symbol where symbols may have it, else as a label."""
    return sb.sin(sb.symbol("x")).named(name) if re.search(r"\s", name) else sb.symbol(name)


# --- DOT ------------------------------------------------------------------------------------------------------


@pytest.mark.lecture("A5")
def test_gradient_nodes_are_dashed_and_forward_nodes_solid():
    loss, gradients = logistic()
    assert "dashed" not in dot(loss)
    shown = picture([loss, *gradients])
    lines = [line for line in dot([loss, *gradients]).splitlines() if re.match(r"  n\d+ \[", line)]
    assert len(lines) == len(shown.boxes)
    for line, box in zip(lines, shown.boxes, strict=True):
        assert ("dashed" in line) is box.backward
    assert any(box.backward for box in shown.boxes)


def test_edges_bear_the_operands_shape_and_symbols_name_and_shape():
    X, w = sb.symbols("X[N,D] w[D]")
    lines = (X @ w).to_dot().splitlines()
    assert [line.strip() for line in lines if "->" in line] == [
        'n0 -> n2:nw [label="[N, D]"]',
        'n1 -> n2:ne [label="[D]"]',
    ]
    assert any(r'label="X\n[N, D]"' in line for line in lines)


def test_a_named_node_shows_its_name():
    assert r'label="z\n+"' in dot(logistic()[0])


def test_the_keys_of_a_dictionary_are_titles():
    x = sb.symbol("x")
    y = sb.exp(x).named("y")
    assert r'label="loss = y\nexp"' in dot({"loss": y})
    assert 'label="a = x"' in dot({"a": x})


def test_two_operands_on_one_node_are_two_edges():
    x = sb.symbol("x")
    assert dot(x * x).count("n0 -> n1") == 2
    assert draw(x * x, engine="own").svg.count("h6z") == 2


def test_the_order_of_the_operands_shows():
    x, y = sb.symbols("x y")
    assert dot(x - y) != dot(y - x)
    assert draw(x - y, engine="own").svg != draw(y - x, engine="own").svg


def test_arrows_arrive_in_the_operands_order():
    a, b, c = sb.symbols("a[N] b[N] c[N]")
    svg = draw(sb.where(a > 0, b, c), engine="own").svg
    heads = [tuple(map(float, head)) for head in re.findall(r'd="M(\S+) (\S+)l-3 -7h6z"', svg)]
    lowest = max(y for _, y in heads)
    assert len({x for x, y in heads if y == lowest}) == 3
    minus = {text: draw(x - y, engine="own").svg for text, x, y in [("ab", a, b), ("ba", b, a)]}
    order = {text: [name for name in texts(svg) if name in "ab"] for text, svg in minus.items()}
    assert order == {"ab": ["a", "b"], "ba": ["a", "b"]}
    columns = {text: re.findall(r'x="([\d.]+)"[^>]*>([ab])<', svg) for text, svg in minus.items()}
    left = {text: min(found, key=lambda pair: float(pair[0]))[1] for text, found in columns.items()}
    assert left == {"ab": "a", "ba": "b"}


def test_the_same_expression_gives_the_same_bytes():
    def build():
        loss, gradients = logistic()
        return dot([loss, *gradients]), draw([loss, *gradients], engine="own").svg

    first = build()
    with sb.Graph():
        sb.symbol("unrelated")  # numbers in the graph are not ids in the picture
        assert build() == first


def test_only_what_the_outputs_reach_is_shown():
    x = sb.symbol("x")
    sb.cos(x)
    assert len(picture(sb.exp(x)).boxes) == 2


@pytest.mark.parametrize("outputs", [[], {}, 3, [3], "x", None])
def test_what_is_no_expression_is_refused(outputs):
    with pytest.raises(ArgumentError, match="picture"):
        dot(outputs)


def test_expressions_of_two_graphs_are_refused():
    x = sb.symbol("x")
    with sb.Graph():
        y = sb.symbol("y")
    with pytest.raises(GraphError, match="different graphs"):
        draw([x, y])


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_names_stay_inside_their_quotes(name):
    lines = dot(sb.exp(awkward(name)).named(name)).splitlines()
    assert len(lines) in (8, 10)  # one edge or two
    for line in lines[4:-1]:
        label = re.match(r'  n\d \[label="((?:[^"\\]|\\.)*)"[],]', line)
        assert label or "->" in line, line


@pytest.mark.skipif(not GRAPHVIZ, reason="Graphviz is not installed")
@pytest.mark.parametrize("name", AWKWARD)
def test_graphviz_shows_names_as_they_are(name):
    drawing = draw(awkward(name), engine="graphviz")
    assert drawing.engine == "graphviz"
    assert picture(awkward(name)).boxes[-1].title in texts(drawing.svg)


# --- figures --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_names_are_shown_by_our_own_figure(name):
    shown = texts(draw(awkward(name), engine="own").svg)
    assert "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name) in shown


def test_the_figure_shows_names_shapes_and_dashes():
    loss, gradients = logistic()
    svg = draw([loss, *gradients], engine="own").svg
    assert {"X", "[N, D]", "z", "σ", "mean", "gradient", "forward"} <= set(texts(svg))
    backward = sum(box.backward for box in picture([loss, *gradients]).boxes)
    assert svg.count("stroke-dasharray") == backward + 2  # the group of arrows, the legend
    assert "stroke-dasharray" not in draw(loss, engine="own").svg


def test_a_drawing_shows_itself_and_saves_itself(tmp_path):
    drawing = draw(sb.exp(sb.symbol("x")), path=tmp_path / "a.svg", engine="own")
    assert (tmp_path / "a.svg").read_text(encoding="utf-8") == drawing.svg == drawing._repr_svg_()
    assert drawing.save(str(tmp_path / "b.SVG")).exists()
    assert repr(drawing) == "<Drawing of 2 nodes: show it in a notebook, or .save('figure.svg')>"
    with pytest.raises(ArgumentError, match=r"name the file a\.svg, not 'a\.png'"):
        drawing.save(tmp_path / "a.png")


def test_too_large_a_picture_is_refused_unless_asked_for():
    x = sb.symbol("x")
    for _ in range(20):
        x = sb.sin(x)
    with pytest.raises(GraphError, match=r"21 nodes make too large a picture \(the limit is 20\)"):
        draw(x, limit=20)
    assert draw(x, limit=21, engine="own").svg
    assert draw(x, limit=None, engine="own").svg


def test_an_unknown_engine_is_refused():
    with pytest.raises(ArgumentError, match="'auto', 'own' or 'graphviz', not 'neato'"):
        draw(sb.symbol("x"), engine="neato")


def test_without_graphviz_we_draw_ourselves(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert draw(sb.symbol("x")).engine == "own"
    with pytest.raises(SymbackpropError, match="dot is not installed"):
        draw(sb.symbol("x"), engine="graphviz")


@pytest.mark.parametrize(
    "error", [OSError("gone"), subprocess.TimeoutExpired("dot", 5), subprocess.CalledProcessError(1, "dot")]
)
def test_where_graphviz_fails_we_draw_ourselves(monkeypatch, error):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(shutil, "which", lambda _: "/nowhere/dot")
    monkeypatch.setattr(subprocess, "run", fails)
    assert draw(sb.symbol("x")).engine == "own"
    with pytest.raises(SymbackpropError, match="dot failed"):
        draw(sb.symbol("x"), engine="graphviz")


# --- modules --------------------------------------------------------------------------------------------------


def in_modules():
    """Logistic regression as a circuit, in three modules."""
    theta, x, y = *sb.symbols("θ[D] x[D]"), sb.symbol("y*")
    with sb.module("linear"):
        a = sb.sum(theta * x).named("a")
    with sb.module("logistic"):
        q = (1 / (1 + sb.exp(-a))).named("q")
    with sb.module("loss"):
        loss = (y * sb.log(q) + (1 - y) * sb.log(1 - q)).named("J")
    return loss, theta


def network():
    """A network in modules, one of which stands in another and one is entered twice."""
    X, W, V, y = sb.symbols("X[N,D] W[D,H] V[H,K] y[N,K]")
    with sb.module("network"):
        with sb.module("hidden layer"):
            h = sb.tanh(X @ W).named("h")
        with sb.module("output layer"):
            p = sb.softmax(h @ V, axis=-1).named("p")
    with sb.module("loss"):
        loss = -sb.mean(y * sb.log(p))
    scaled = loss * sb.symbol("c")
    with sb.module("network"):
        penalty = sb.sum(W**2) * scaled
    return (loss + penalty).named("J"), [W, V]


@pytest.mark.lecture("A21")
@pytest.mark.lecture("D9")
def test_a_computation_is_drawn_as_a_circuit_and_by_its_layers():
    loss, theta = in_modules()
    circuit, layers = draw(loss, engine="own"), draw(loss, modules="collapsed", engine="own")
    operations = loss.graph.reachable([loss.number])
    assert len(picture(loss).boxes) == len(operations)
    assert {"θ", "x", "y*", "a", "q", "J", "exp", "linear", "logistic", "loss"} <= set(texts(circuit.svg))
    shown = picture(loss, modules="collapsed")
    assert [(box.title, box.note) for box in shown.boxes if box.kind is Kind.MODULE] == [
        ("linear", "a"),
        ("logistic", "q"),
        ("loss", "J"),
    ]
    named = [(shown.boxes[arrow.tail].title, shown.boxes[arrow.head].title) for arrow in shown.arrows]
    assert sorted(named) == [
        ("linear", "logistic"),
        ("logistic", "loss"),
        ("x", "linear"),
        ("y*", "loss"),
        ("θ", "linear"),
    ]
    assert {"linear", "logistic", "loss"} <= set(texts(layers.svg))
    assert "exp" not in texts(layers.svg)
    both = picture([loss, sb.grad(loss, theta)], modules="collapsed")
    order = [(box.title, box.backward) for box in both.boxes if box.kind is Kind.MODULE]
    assert order[-1] == ("linear", True)
    assert ("linear", False) in order


@pytest.mark.lecture("A12")
@pytest.mark.lecture("A21")
def test_a_network_is_drawn_as_a_circuit_and_by_its_layers():
    loss, wrt = network()
    everything = [loss, *sb.grad(loss, wrt)]
    circuit = picture(everything)
    frames = [item for item in circuit.items if isinstance(item, Frame)]
    assert [frame.title for frame in frames if not frame.backward] == ["network", "loss", "network"]
    inner = [item.title for item in frames[0].items if isinstance(item, Frame)]
    assert inner == ["hidden layer", "output layer"]
    assert {frame.title for frame in frames if frame.backward} == {"network: gradient", "loss: gradient"}
    assert sorted(boxes_in(circuit.items)) == list(range(len(circuit.boxes)))
    layers = picture(everything, modules="collapsed")
    assert len(layers.boxes) < len(circuit.boxes) / 2
    for shown in (circuit, layers):
        assert all(arrow.tail < arrow.head for arrow in shown.arrows)
    assert picture(everything, modules="none").items == list(range(len(circuit.boxes)))


def boxes_in(items):
    for item in items:
        yield from [item] if isinstance(item, int) else boxes_in(item.items)


def test_clusters_show_modules_in_dot():
    loss, theta = in_modules()
    text = dot([loss, sb.grad(loss, theta)])
    for title in ("linear", "logistic", "loss"):
        assert f'graph [label="{title}", labeljust="l"' in text
        assert f'graph [label="{title}: gradient", labeljust="l"' in text
    assert text.count("subgraph") == 6
    inside = re.findall(r"^ +(n\d+)$", text, re.MULTILINE)
    assert len(inside) == len(set(inside))
    assert "subgraph" not in dot([loss, sb.grad(loss, theta)], modules="none")
    assert 'label="linear\\na", shape="box", color="#4338ca"' in dot(loss, modules="collapsed")
    assert loss.to_dot(modules="collapsed") == dot(loss, modules="collapsed")


@pytest.mark.skipif(not GRAPHVIZ, reason="Graphviz is not installed")
@pytest.mark.parametrize("modules", ["boxes", "collapsed", "none"])
def test_graphviz_draws_modules(modules):
    loss, wrt = network()
    drawing = draw([loss, *sb.grad(loss, wrt)], modules=modules, engine="graphviz")
    assert ("loss" in texts(drawing.svg)) is (modules != "none")


def test_a_constant_stands_with_what_uses_it():
    x = sb.symbol("x")
    with sb.module("unit"):
        y = 2 * x
    shown = picture(y)
    (frame,) = [item for item in shown.items if isinstance(item, Frame)]
    assert [shown.boxes[at].title for at in frame.items] == ["2", "×"]
    simpler = sb.simplify(sb.grad(y * y, x))
    assert [box.kind for box in picture(simpler, modules="collapsed").boxes].count(Kind.CONSTANT) <= 1


def test_mistakes_about_modules_are_named():
    x = sb.symbol("x")
    with pytest.raises(ValueError, match="modules are shown as 'boxes', 'collapsed' or 'none', not 'folded'"):
        draw(x, modules="folded")
    with pytest.raises(ArgumentError, match="a picture with collapsed modules needs some: make parts of the"):
        draw(sb.exp(x), modules="collapsed")


def geometry(svg):
    """Give where the boxes, frames, arrows and shapes of operands of a figure are: rectangles and points."""
    boxes, frames, arrows, labels = [], [], [], []

    def walk(element, x, y):
        moved = re.fullmatch(r"translate\((\S+) (\S+)\)", element.get("transform", ""))
        if moved:
            x, y = x + float(moved[1]), y + float(moved[2])
        for child in element:
            tag = child.tag.rpartition("}")[2]
            if tag == "rect" and child.get("width") != "100%" and child.get("height") != "12":
                left, top = x + float(child.get("x", 0)), y + float(child.get("y", 0))
                place = (left, top, left + float(child.get("width")), top + float(child.get("height")))
                (boxes if child.get("x") else frames).append(place)
            elif tag == "path" and "h6z" not in child.get("d"):
                arrows.append([(x + a, y + b) for a, b in points(child.get("d"))])
            elif tag == "text" and element.get("font-size") == "9.5":
                side = 1 if child.get("text-anchor") == "start" else -1
                ends = sorted((x + float(child.get("x")), x + float(child.get("x")) + side * 5 * len(child.text)))
                labels.append((ends[0], y + float(child.get("y")) - 8, ends[1], y + float(child.get("y"))))
            walk(child, x, y)

    walk(ET.fromstring(svg), 0.0, 0.0)  # noqa: S314 - what we wrote ourselves
    return boxes, frames, arrows, labels


def points(path):
    """Give points along a path of vertical lines and curves."""
    x = y = 0.0
    for command, numbers in re.findall(r"([MLVC])([^MLVC]*)", path):
        given = [float(number) for number in numbers.split()]
        if command == "C":
            (x1, y1, x2, y2, end_x, end_y), (from_x, from_y) = given, (x, y)
            for t in (k / 8 for k in range(1, 9)):
                weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
                x = sum(w * p for w, p in zip(weights, (from_x, x1, x2, end_x), strict=True))
                y = sum(w * p for w, p in zip(weights, (from_y, y1, y2, end_y), strict=True))
                yield x, y
            continue
        end_x, end_y = (x, *given) if command == "V" else given
        if command != "M":
            yield from ((x + (end_x - x) * k / 8, y + (end_y - y) * k / 8) for k in range(8))
        x, y = end_x, end_y
        yield x, y


def check_figure(svg):
    """Check that boxes do not overlap, frames overlap only where one holds the other, arrows go around boxes."""
    boxes, frames, arrows, labels = geometry(svg)
    for one, other in combinations(boxes, 2):
        assert not overlap(one, other), (one, other)
    for frame in frames:
        for other in [*boxes, *frames]:
            assert other is frame or not overlap(frame, other) or holds(frame, other) or holds(other, frame)
        for label in labels:
            assert not overlap(frame, label) or holds(frame, label), (frame, label)
    for arrow in arrows:
        for left, top, right, bottom in boxes:
            inside = [(x, y) for x, y in arrow if left + 1 < x < right - 1 and top + 1 < y < bottom - 1]
            assert not inside, (inside, (left, top, right, bottom))
        for left, top, right, bottom in frames:  # a piece of an arrow ends where it meets a frame
            enters = any(left + 1 < x < right - 1 and top + 1 < y < bottom - 1 for x, y in arrow)
            assert not enters or all(left <= x <= right and top - 1 <= y <= bottom + 1 for x, y in arrow)
    return boxes, frames, arrows


def overlap(one, other):
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def holds(one, other):
    return one[0] <= other[0] and one[1] <= other[1] and other[2] <= one[2] and other[3] <= one[3]


@pytest.mark.parametrize("modules", ["boxes", "collapsed", "none"])
def test_nothing_in_a_figure_of_modules_overlaps(modules):
    for made in (in_modules(), network()):
        loss, wrt = made
        gradients = sb.grad(loss, wrt)
        shown = [loss, *(gradients if isinstance(gradients, list) else [gradients])]
        boxes, frames, _ = check_figure(draw(shown, modules=modules, engine="own").svg)
        assert len(boxes) == len(picture(shown, modules=modules).boxes)
        assert bool(frames) is (modules == "boxes")


@pytest.mark.parametrize("seed", range(12))
def test_figures_of_random_modules_are_sound(seed):
    rng = random.Random(seed)  # noqa: S311 - no secret
    made = list(sb.symbols("x y z"))
    for _ in range(30):
        with ExitStack() as stack:
            for _ in range(rng.randrange(3)):
                stack.enter_context(sb.module(rng.choice(["a", "module", "a long name of a module"])))
            left, right = (rng.choice(made[-8:]) for _ in range(2))
            made.append(rng.choice([sb.sin(left), left * right + 2, left - right]))
    shown = [sum(made[-6:], made[-7]), sb.grad(made[-1], made[-1].inputs[0])]
    for modules in ("boxes", "collapsed"):
        boxes, _, arrows = check_figure(draw(shown, modules=modules, engine="own").svg)
        expected = picture(shown, modules=modules)
        assert len(boxes) == len(expected.boxes)
        assert len(arrows) >= len(expected.arrows)


def test_names_of_frames_are_escaped():
    with sb.module('<b>&amp;"]]>'):
        y = sb.exp(sb.symbol("x"))
    assert '<b>&amp;"]]>' in texts(draw(y, engine="own").svg)
    assert r'label="<b>&amp;amp;\"]]>"' in dot(y)


# --- the layout -----------------------------------------------------------------------------------------------


def random_figure(seed, count):
    rng = random.Random(seed)  # noqa: S311 - no secret
    sizes = [(rng.uniform(20, 120), rng.uniform(20, 40)) for _ in range(count)]
    wires = [
        Wire(rng.randrange(max(0, head - 12), head), head, entry, rng.random() < 0.4)
        for head in range(1, count)
        for entry in (0.25, 0.75)
        if rng.random() < 0.8
    ]
    return sizes, wires, lay_out(sizes, wires)


@pytest.mark.parametrize("seed", range(25))
def test_boxes_do_not_overlap_and_arrows_point_down(seed):
    sizes, wires, figure = random_figure(seed, 5 + 5 * seed)
    corners = {(spot, 2.0) for way in figure.ways for spot in way}
    things = sorted([(box, size[0]) for box, size in zip(figure.boxes, sizes, strict=True)] + list(corners))
    bands = {}
    for spot, width in things:
        bands.setdefault(spot.top, []).append((spot, width))
    for band in bands.values():
        for (left, left_width), (right, right_width) in pairwise(band):
            assert right.x - left.x >= (left_width + right_width) / 2 + 13.9
    tops = sorted({(spot.top, spot.bottom) for spot, _ in things})
    for (_, bottom), (top, _) in pairwise(tops):
        assert top - bottom >= 30
    for wire, way in zip(wires, figure.ways, strict=True):
        heights = [figure.boxes[wire.tail].y, *(spot.y for spot in way), figure.boxes[wire.head].y]
        assert heights == sorted(set(heights))
        passed = [top for top, _ in tops if figure.boxes[wire.tail].top < top < figure.boxes[wire.head].top]
        assert [spot.top for spot in way] == passed
    for box, (width, height) in zip(figure.boxes, sizes, strict=True):
        assert -1e-6 <= box.x - width / 2 <= box.x + width / 2 <= figure.width + 1e-6
        assert -1e-6 <= box.y - height / 2 <= box.y + height / 2 <= figure.height + 1e-6


def test_a_chain_is_a_straight_line():
    figure = lay_out([(20 + 7 * (at % 3), 20) for at in range(30)], [Wire(at, at + 1) for at in range(29)])
    assert len({round(box.x, 6) for box in figure.boxes}) == 1


def test_a_planar_graph_is_drawn_without_crossings():
    # Twice two operands whose order of creation crosses.
    wires = [Wire(0, 4, 0.25), Wire(3, 4, 0.75), Wire(1, 5, 0.25), Wire(2, 5, 0.75), Wire(4, 6, 0.25), Wire(5, 6, 0.75)]
    figure = lay_out([(20, 20)] * 7, wires)
    x = [box.x for box in figure.boxes]
    assert x[0] < x[3] < x[1] < x[2]
    assert x[4] < x[5]


def test_the_order_in_the_layers_is_chosen_for_few_crossings():
    before = after = 0
    for seed in range(10):
        _, wires, _ = random_figure(seed, 40)
        places = layered._Places(layers_of(40, [wire[:2] for wire in wires]), [20.0] * 40)
        layered._trunks(places, wires)
        before += layered._crossings(places, layered._first_order(places))
        after += layered._crossings(places, layered._ordered(places))
    assert after < 0.7 * before


def test_a_source_stands_near_what_it_feeds():
    assert layers_of(5, [(0, 1), (1, 2), (2, 4), (3, 4)]) == [0, 1, 2, 2, 3]


def test_arrows_of_one_kind_share_a_trunk():
    wires = [Wire(0, 1), Wire(1, 2), Wire(2, 3), Wire(0, 2), Wire(0, 3)]
    ways = lay_out([(20, 20)] * 4, wires).ways
    assert ways[4][: len(ways[3])] == ways[3]
    assert len(ways[4]) == 2


def test_a_large_figure_takes_seconds():
    x, c = sb.symbols("x c")
    h = x
    for _ in range(60):
        h = sb.sin(h * c) + x
    shown = sb.grad(h, [x, c])
    start = time.perf_counter()
    draw(shown, engine="own", limit=None)
    assert time.perf_counter() - start < 20

"""Drawings: same input same bytes, the finding in words, nothing unescaped, no style of their own."""

from __future__ import annotations

import itertools
import re
from decimal import Decimal
from xml.etree import ElementTree

from registry.desk import svg
from registry.desk.svg_lineage import Arc, Node, lineage

NODES = [
    Node("a", "version", "search/minilm@1", "model", "sha256:" + "a" * 64, "/models/search/minilm@1/"),
    Node("b", "version", "search/minilm@2", "model", "sha256:" + "b" * 64, subject=True),
    Node("d", "dataset", "search/rows@1", "calibration data", "sha256:" + "d" * 64),
    Node("r", "reduced", "model of another team", "model", "sha256:" + "e" * 64),
]
ARCS = [
    Arc("a", "b", "base", ("quantized",), "executed"),
    Arc("d", "b", "data", (), "declared"),
    Arc("r", "a", "teacher", ("distilled",), "declared"),
]


def drawn(nodes: list[Node] | None = None, arcs: list[Arc] | None = None) -> ElementTree.Element:
    return ElementTree.fromstring(lineage("l", "It came from there.", nodes or NODES, arcs or ARCS))


def place(root: ElementTree.Element, title: str) -> tuple[float, float]:
    """Where the box with this title stands."""
    for group in [*root.iter("a"), *root.iter("g")]:
        if any(t.text == title for t in group.iter("text")):
            box = next(group.iter("rect"))
            return float(box.attrib["x"]), float(box.attrib["y"])
    raise AssertionError(f"{title} is not drawn")


def test_a_lineage_runs_from_left_to_right() -> None:
    root = drawn()
    xs = [place(root, title)[0] for title in ("model of another team", "search/minilm@1", "search/minilm@2")]
    assert xs == sorted(set(xs))
    assert place(root, "search/rows@1")[0] == place(root, "search/minilm@1")[0]


def test_boxes_do_not_lie_on_each_other() -> None:
    many = [Node(f"n{i}", "dataset", f"rows@{i}", "data", "sha256:" + "0" * 64) for i in range(12)]
    root = drawn([*many, NODES[1]], [Arc(n.key, "b", "data", (), "declared") for n in many])
    places = [place(root, node.title) for node in many]
    assert len(set(places)) == len(many)
    tops = sorted(y for _, y in places)
    assert all(below - above >= 62 for above, below in itertools.pairwise(tops))


def test_what_was_declared_is_dashed_and_said_to_be() -> None:
    root = drawn()
    dashed = [p for p in root.iter("path") if "d-declared" in p.attrib.get("class", "")]
    assert len(dashed) == 2
    said = [t.text for t in root.iter("text")]
    assert "base · executed" in said
    assert said.count("data · declared") == 1


def test_an_ancestor_of_another_team_is_a_box_without_link() -> None:
    root = drawn()
    linked = {t.text for a in root.iter("a") for t in a.iter("text")}
    assert "search/minilm@1" in linked
    assert "model of another team" not in linked
    assert [r for r in root.iter("rect") if r.attrib["class"] == "d-reduced"]


def test_a_circle_does_not_hang_the_drawing() -> None:
    assert drawn(NODES[:2], [Arc("a", "b", "base", (), "declared"), Arc("b", "a", "base", (), "declared")]) is not None


def test_the_same_input_gives_the_same_bytes_in_any_order() -> None:
    assert lineage("l", "f", NODES, ARCS) == lineage("l", "f", NODES, list(reversed(ARCS)))


def test_what_comes_from_data_is_escaped() -> None:
    hostile = '</title><script>alert("x")</script>&'
    drawings = [
        lineage("l", hostile, [Node("a", "version", hostile, hostile, hostile, "/x")], []),
        svg.interval("i", hostile, Decimal(1), None, None, Decimal(2)),
        svg.histogram("h", hostile, ["1"], [1, 2], [2, 1], moved=True),
    ]
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert hostile in [d.text for d in root.iter("desc")]
        assert not list(root.iter("script"))


def test_no_drawing_carries_a_style_that_the_policy_would_refuse() -> None:
    made = lineage("l", "f", NODES, ARCS) + svg.histogram("h", "f", ["1"], [1, 2], [2, 1], moved=False)
    assert not re.search(r"\bstyle=|<style|\bfill=|\bstroke=", made)


def test_an_interval_shows_value_ends_and_limit_in_order() -> None:
    root = ElementTree.fromstring(
        svg.interval("i", "f", Decimal("0.5"), Decimal("0.4"), Decimal("0.7"), Decimal("0.1"))
    )
    limit = next(line for line in root.iter("line") if line.attrib["class"] == "d-limit")
    band = next(line for line in root.iter("line") if line.attrib["class"] == "d-interval")
    dot = next(root.iter("circle"))
    xs = [float(limit.attrib["x1"]), float(band.attrib["x1"]), float(dot.attrib["cx"]), float(band.attrib["x2"])]
    assert xs == sorted(set(xs))


def test_a_single_value_without_interval_is_drawn() -> None:
    assert "circle" in svg.interval("i", "f", Decimal(3), None, None)


def test_a_histogram_has_a_bar_for_each_bin_by_share() -> None:
    root = ElementTree.fromstring(svg.histogram("h", "f", ["1", "2"], [10, 10, 20], [1, 0, 0], moved=False))
    heights = [float(bar.attrib["height"]) for bar in root.iter("rect")]
    assert len(heights) == 3
    assert heights[0] > 0
    assert heights[1:] == [0, 0]


def test_an_empty_window_is_drawn_without_dividing_by_zero() -> None:
    assert svg.shares([0, 0]) == [0.0, 0.0]
    assert "d-baseline" in svg.histogram("h", "f", ["1"], [0, 0], [0, 0], moved=False)


def test_edges_keep_as_many_digits_as_tell_them_apart() -> None:
    assert svg.told_apart(["0.99995", "0.99996"]) == ["0.99995", "0.99996"]
    assert svg.told_apart(["-1234.5", "0", "7.1234"]) == ["-1234", "0", "7.12"] or svg.told_apart(
        ["-1234.5", "0", "7.1234"]
    ) == ["-1235", "0", "7.12"]

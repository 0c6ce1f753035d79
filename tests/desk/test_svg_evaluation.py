"""Drawings of an evaluation: worse is left, what chance could do is hollow, same input same bytes, nothing unescaped."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from registry.desk import svg_evaluation as svg

AXIS = svg.Axis("accuracy", [(-0.2, "−20"), (-0.1, "−10"), (0.0, "0"), (0.1, "+10")])
MARKS = [
    svg.Mark("race 2", -0.15, -0.2, -0.1, "n 412", "lost"),
    svg.Mark("<b>", 0.02, -0.01, 0.05, "n 7", "unclear"),
    svg.Mark("race 3", 0.08, 0.05, 0.1, "n 900", "won"),
]


def forest(*, reverse: bool = False, layout: svg.Layout = svg.WIDE) -> ElementTree.Element:
    drawn = svg.Forest("Lost: race 2.", MARKS, AXIS, ("worse", "better"), reverse=reverse).drawn("f", layout)
    return ElementTree.fromstring(drawn)


def places(root: ElementTree.Element) -> list[float]:
    """The middle of each mark, in the order in which they are drawn."""
    found = []
    for element in root.iter():
        if element.attrib.get("class", "").startswith("d-mark"):
            x = element.attrib.get("cx") or float(element.attrib["x"]) + 5
            found.append(float(x))
    return found


def zero(root: ElementTree.Element) -> float:
    return next(float(e.attrib["x1"]) for e in root.iter("line") if e.attrib["class"] == "d-zero")


@pytest.mark.parametrize("layout", [svg.WIDE, svg.NARROW])
def test_a_loss_stands_left_of_no_difference_and_a_gain_right(layout: svg.Layout) -> None:
    root = forest(layout=layout)
    lost, unclear, won = places(root)
    assert lost < zero(root) < unclear < won


def test_where_more_is_worse_the_scale_runs_the_other_way() -> None:
    root = forest(reverse=True)
    lost, _, won = places(root)
    assert won < zero(root) < lost


def test_what_could_be_chance_is_told_by_its_shape_and_not_by_colour_alone() -> None:
    root = forest()
    shapes = [(e.tag, e.attrib["class"]) for e in root.iter() if e.attrib.get("class", "").startswith("d-mark")]
    assert shapes == [("rect", "d-mark d-lost"), ("circle", "d-mark d-unclear"), ("circle", "d-mark d-won")]
    assert "fill" not in "".join(k for e in root.iter() for k in e.attrib)


def test_the_same_input_gives_the_same_bytes_and_names_from_data_are_escaped() -> None:
    one = svg.Forest("x", MARKS, AXIS, ("worse", "better")).drawn("f")
    assert one == svg.Forest("x", MARKS, AXIS, ("worse", "better")).drawn("f")
    assert "<b>" not in one
    assert "&lt;b&gt;" in one


def test_a_small_screen_gets_a_narrow_drawing_with_the_words_above_the_lines() -> None:
    root = forest(layout=svg.NARROW)
    assert float(root.attrib["width"]) <= 330
    said = {t.text: float(t.attrib["y"]) for t in root.iter("text")}
    marks = [float(e.attrib["cy"]) for e in root.iter("circle")]
    assert said["<b>"] < marks[0]


def test_curves_draw_the_version_above_the_others_and_cut_what_is_outside() -> None:
    own = svg.Series("this version", [(1, 0.9), (2, 2.0)], [(0.8, 0.95), None], lead=True)
    other = svg.Series("its parent", [(1, 0.95), (2, 0.9)])
    y_axis = svg.Axis("accuracy", [(0.0, "0%"), (1.0, "100%")])
    drawn = svg.curves(
        "c", "By severity", "It falls.", [own, other], svg.Axis("severity", [(1, "1"), (2, "2")]), y_axis
    )
    root = ElementTree.fromstring(drawn)
    paths = [p.attrib["class"] for p in root.iter("path")]
    assert paths == ["d-curve d-other", "d-curve d-lead"]
    top = min(float(c.attrib["cy"]) for c in root.iter("circle"))
    assert top >= 20
    assert len([e for e in root.iter("line") if "d-whisker" in e.attrib["class"]]) == 1


def test_the_dots_of_a_matrix_grow_with_their_share_by_area() -> None:
    drawn = svg.bubbles("b", "Rows of a became b.", ["a", "b"], ["a", "b"], [(0, 1, 0.8), (1, 0, 0.2)])
    radii = [float(c.attrib["r"]) for c in ElementTree.fromstring(drawn).iter("circle")]
    assert radii[0] == pytest.approx(2 * radii[1], abs=0.1)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([-0.152, 0.018], [-0.2, -0.15, -0.1, -0.05, 0.0, 0.05]),
        ([0.0, 39.4], [0.0, 10.0, 20.0, 30.0, 40.0]),
        ([0.0, 0.0], [0.0, 0.2]),
        ([0.61, 1.0], [0.6, 0.7, 0.8, 0.9, 1.0]),
    ],
)
def test_ticks_are_round_and_bound_the_values(values: list[float], found: list[float]) -> None:
    assert svg.ticks(values) == found

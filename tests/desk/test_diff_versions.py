"""Two versions side by side: what differs stands first, and no difference is said that would say nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from registry.desk.differences import FigureSide, FileSide, Part, compare_figures, files, side_by_side
from tests.desk.conftest import Visitor
from tests.desk.scene import Scene
from tests.world import World
from tests.worlds.catalog import figure
from tests.worlds.http import api

Visit = Callable[[str], Visitor]
KEY = ("fidelity", "measured", "cosine_mean", ())


def side(value: str | None = "0.99", low: str | None = "0.98", high: str | None = "1", **changes: Any) -> FigureSide:
    found = figure("cosine_mean", value, "cosine", n=320, low=low, high=high, spread=None)
    given = {"method": "fidelity 1", "rows": frozenset({"a"}), "beside": frozenset({"p"})} | changes
    return FigureSide(found, **given)


def line(left: FigureSide | None, right: FigureSide | None) -> Any:
    return compare_figures({KEY: left} if left else {}, {KEY: right} if right else {})[0]


# --- the pure part ---


def test_what_differs_stands_before_what_is_the_same() -> None:
    lines = side_by_side({"a": "1", "b": "2"}, {"b": "3", "a": "1", "c": "4"})
    part = Part("terms", "Terms", "", lines)
    assert [found.what for found in part.differing] == ["b", "c"]
    assert [found.what for found in part.equal] == ["a"]
    assert part.differing[1].left is None
    assert [found["what"] for found in part.document()["lines"]] == ["b", "c", "a"]


def test_the_same_bytes_under_another_path_are_said() -> None:
    left = [FileSide("a.onnx", "weights", 10, "sha256:" + "1" * 64), FileSide("c", "other", 1, "sha256:" + "3" * 64)]
    right = [FileSide("b.onnx", "weights", 10, "sha256:" + "1" * 64), FileSide("c", "other", 1, "sha256:" + "4" * 64)]
    notes = {found.what: found.note for found in files(left, right)}
    assert notes == {"a.onnx": "the same bytes as b.onnx there", "c": "", "b.onnx": "the same bytes as a.onnx there"}


def test_the_difference_of_two_figures_is_exact_and_says_whether_their_intervals_overlap() -> None:
    overlapping = line(side("0.9901"), side("0.9899"))
    assert (overlapping.difference, overlapping.intervals) == ("-0.0002", "overlap")
    apart = line(side("0.99", "0.985", "0.995"), side("0.97", "0.965", "0.975"))
    assert (apart.difference, apart.intervals) == ("-0.02", "apart")
    unsure = line(side("0.99", None, None), side("0.97"))
    assert (unsure.difference, unsure.intervals) == ("-0.02", "one")
    assert line(side("0.99", None, None), side("0.97", None, None)).intervals is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"rows": frozenset({"b"})}, "different rows"),
        ({"method": "fidelity 2"}, "different methods"),
        ({"beside": frozenset({"q"})}, "beside another version"),
        ({"value": None, "low": None, "high": None}, "not measured"),
    ],
)
def test_no_difference_is_said_of_figures_that_cannot_be_compared(change: dict[str, Any], why: str) -> None:
    found = line(side(), side(**{"value": "0.97", **change}))
    assert found.difference is None
    assert why in found.note
    assert not found.same


def test_equal_figures_are_the_same_only_on_the_same_rows() -> None:
    assert line(side(), side()).same
    assert not line(side(), side(rows=frozenset({"b"}))).same
    assert line(side(), None).note == "only one of the two has it"


# --- with a scene ---


def test_the_page_shows_files_lineage_terms_and_figures(visit: Visit, released: Scene) -> None:
    page = visit("carla").reads(f"/diff-versions/?left={released.parent}&right={released.child}")
    assert "What is different" in page
    for title in ("Files", "Lineage", "Licence and terms", "Data", "Measured and declared", "What the gate said"):
        assert title in page
    assert f"base: {released.parent}" in page
    assert "only one of the two has it" in page


def test_the_page_asks_for_the_second_version_and_offers_those_of_the_model(visit: Visit, released: Scene) -> None:
    answer = visit("carla").get(f"/diff-versions/?right={released.child}")
    assert answer.status_code == 200
    assert f'<option value="{released.parent}">' in answer.content.decode()
    assert visit("carla").get("/diff-versions/").status_code == 200


def test_what_is_not_visible_is_refused_without_telling_whether_it_is_there(visit: Visit, released: Scene) -> None:
    for name in ("search/minilm@99", "else/where@1"):
        answer = visit("carla").get(f"/diff-versions/?left={released.child}&right={name}")
        assert answer.status_code == 422
        assert "There is no version" in answer.content.decode()
    hidden = visit("eve").get(f"/diff-versions/?left={released.child}&right={released.parent}")
    assert hidden.status_code == 422


def test_a_version_beside_itself_is_all_the_same(released: Scene) -> None:
    found = (
        api("carla").get("/api/v1/diff-versions", {"left": str(released.child), "right": str(released.child)}).json()
    )
    assert found["same_bytes"]
    assert {part["name"] for part in found["parts"]} >= {
        "identity",
        "files",
        "lineage",
        "terms",
        "evidence",
        "verdicts",
    }
    assert [part["differing"] for part in found["parts"]] == [0] * len(found["parts"])


def test_two_children_measured_alike_have_their_figures_side_by_side(world: World) -> None:
    parent = world.parent_version()
    first, second = world.child_version(parent, seed=11), world.derived_version(parent, seed=12)
    world.measure(second, parent, cosine_mean="0.95", size_ratio="7.5")
    query = {"left": str(first), "right": str(second)}
    found = api("carla").get("/api/v1/diff-versions", query).json()
    parts = {part["name"]: part for part in found["parts"]}
    lines = {one["what"]: one for one in parts["evidence"]["lines"]}
    cosine = next(one for what, one in lines.items() if one["difference"] == "-0.0491")
    assert cosine["intervals"] == "overlap"
    ratio = next(one for one in lines.values() if one["difference"] == "3.58")
    assert ratio["intervals"] is None
    assert any(one["same"] for one in lines.values())
    assert parts["lineage"]["differing"] == 0


def test_the_api_says_what_is_missing(released: Scene) -> None:
    client = api("carla")
    assert client.get("/api/v1/diff-versions", {"left": str(released.child)}).status_code == 422
    gone = {"left": str(released.child), "right": "search/minilm@99"}
    assert client.get("/api/v1/diff-versions", gone).status_code == 404

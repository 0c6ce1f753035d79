"""The page of a comparison: asked for by the form, followed, downloaded; and who may see it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from django.urls import reverse

from registry.compression.models import Run
from registry.desk.compared import csv_of
from tests.desk.compared_runs import compared_runs
from tests.desk.conftest import Visitor, words
from tests.world import World

Visit = Callable[[str], Visitor]


def test_several_recipes_are_requested_by_the_form_and_the_page_says_how_far_they_are(
    visit: Visit, world: World
) -> None:
    version, data = world.version(), world.arrays_dataset()
    recipe = world.recipe()
    path = reverse("desk:request-run", args=["search", version.model.slug, version.number])
    given = {"evaluation": str(data.pk), "seed": "3"}
    refused = visit("ada").post(path, recipe="measure", more_recipes="shipped:half-size", **given)
    assert "makes no child to compare" in words(refused)
    assert not Run.objects.exists()
    page = visit("ada").post(path, recipe=str(recipe.pk), more_recipes="shipped:half-size", **given)
    said = words(page)
    assert "2 runs are requested." in said
    assert "0 of 2 runs have ended." in said
    runs = Run.objects.order_by("pk")
    assert [(str(run.recipe), run.seed) for run in runs] == [("smaller-same-speed@1", 3), ("half-size@1", 3)]
    assert runs[0].comparison is not None
    assert runs[0].comparison == runs[1].comparison
    address = reverse("desk:comparison", args=[runs[0].comparison])
    assert address in visit("ada").get(reverse("desk:run", args=[runs[0].pk])).content.decode()
    assert visit("eve").get(address).status_code == 404


@pytest.mark.usefixtures("committed_db")
def test_the_page_and_its_downloads_hold_the_figures_of_the_runs_and_mark_what_no_other_beats(
    visit: Visit, world: World, tmp_path: Path
) -> None:
    comparison = compared_runs(world, tmp_path, ("eight-bits", "four-bits", "broken"), worked_on=2)
    ada = visit("ada")
    said = ada.reads(reverse("desk:comparison", args=[comparison]))
    assert "2 of 3 runs have ended." in said
    assert "Milliseconds of runs that were done at different times do not compare." in said
    assert "no other beats it" in said
    assert "Accuracy, difference" in said
    assert "Memory" not in said.partition("How to read it")[0]  # nobody measured it
    answer = ada.get(reverse("desk:comparison-json", args=[comparison]))
    rows = {row["recipe"]: row for row in answer.json()["rows"]}  # type: ignore[attr-defined]
    eight, four = rows["search/eight-bits@1"], rows["search/four-bits@1"]
    assert eight["size_bytes"] > four["size_bytes"]
    assert float(four["kept"]["value"]) < float(eight["kept"]["value"])
    assert float(four["quality"]["value"]) < 0
    assert four["worst"]["slice"]
    assert (eight["on_front"], four["on_front"], rows["search/broken@1"]["on_front"]) == (True, True, False)
    told = ada.get(reverse("desk:comparison-csv", args=[comparison]))
    assert "attachment" in told["Content-Disposition"]
    lines = list(csv.DictReader(io.StringIO(told.content.decode())))
    assert [line["recipe"] for line in lines] == list(rows)
    assert lines[1]["kept_value"] == four["kept"]["value"]
    assert (lines[1]["quality_value"], lines[1]["quality_metric"]) == (four["quality"]["value"], "accuracy_difference")
    assert (lines[2]["state"], lines[2]["kept_value"]) == ("queued", "")
    written = csv_of({"rows": [{**four, "failure": "=1+1"}]})
    assert next(csv.DictReader(io.StringIO(written)))["failure"] == "'=1+1"  # no spreadsheet takes it for a formula

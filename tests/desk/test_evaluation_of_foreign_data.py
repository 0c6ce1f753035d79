"""An evaluation over data of another team: readers of the version who may not read the data see its groups by number alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from registry.access.models import Role, Team
from registry.access.services import grant_membership
from registry.catalog.models import Evidence
from registry.compression.models import Run
from tests.desk.conftest import Visitor
from tests.desk.evaluated import PLAN, evaluated, every_kind, share
from tests.desk.scene import Scene
from tests.world import World
from tests.worlds.http import api

Visit = Callable[[str], Visitor]
KINDS = ("quality", "fidelity", "comparison-parent", "fairness", "calibration", "robustness", "timing")
NAMED = ("income <", "below 40", "race 2", '"race", "value": "2"', "race = 2", "secret-rows")
"""What stands in the data; none of it is for readers of the version alone."""


@pytest.fixture
def foreign(story: Scene, outsider_team: Team) -> Run:
    """An evaluation that ada asked for on rows of another team, which she may read and rex may not."""
    world = story.world
    grant_membership(actor=world.cast.root, person=world.cast.people["eve"], role=Role.ENGINEER, team=outsider_team)
    grant_membership(actor=world.cast.root, person=world.cast.people["ada"], role=Role.VIEWER, team=outsider_team)
    world.person("rex", Role.COMPLIANCE_OFFICER)
    rows = world.dataset(actor=world.cast.eve, team=outsider_team, slug="secret-rows")
    data = world.dataset_version(
        data=world.tiny_inputs(400), uses=("evaluation",), dataset=rows, licence="CC0-1.0", actor=world.cast.eve
    )
    kinds = {kind: figures for kind, figures in every_kind().items() if kind in KINDS}
    kinds["adversarial"] = [share("accuracy_within_100_per_mille", "0.9", 400, attack="own_gradients")]
    undefined = share("selection_rate_ratio", "0", 9, race="3", against="2") | {
        "value": None, "reason": "there is no selection among race 2, or too few rows to rule that out",
    }  # fmt: skip
    kinds["fairness"] = [*kinds["fairness"], undefined]
    return evaluated(world, story.child, {"parent": story.parent}, kinds, plan={**PLAN, "slices": ["race"]}, data=data)


def address(run: Run, name: str = "evaluation", *more: Any) -> str:
    version = run.parent
    return reverse(f"desk:{name}", args=[version.model.team.slug, version.model.slug, version.number, *more])


def everything_read_by(visitor: Visitor, name: str, run: Run) -> dict[str, str]:
    """All doors at which figures of the run are told, by their address."""
    version = run.parent
    base = f"/api/v1/teams/{version.model.team.slug}/models/{version.model.slug}/versions/{version.number}"
    evidence = Evidence.objects.get(version=version, kind="comparison-parent")
    pages = [address(run, "evaluation", run.pk), address(run, "version"), address(run, "evaluation-json", run.pk)]
    found = {path: visitor.reads(path) for path in pages}
    doors = (f"evaluations/{run.pk}", "evidence?limit=100", f"evidence/{evidence.digest}", "target-measurements")
    for path in (*(f"{base}/{door}" for door in doors), f"/api/v1/runs/{run.pk}"):
        answer = api(name).get(path)
        assert answer.status_code == 200, (path, answer.content)
        found[path] = json.dumps(answer.json())
    return found


def test_no_page_and_no_door_tells_a_reader_of_the_version_what_stands_in_the_data(visit: Visit, foreign: Run) -> None:
    told = everything_read_by(visit("rex"), "rex", foreign)
    assert {path: [n for n in NAMED if n in text] for path, text in told.items() if any(n in text for n in NAMED)} == {}
    page = told[address(foreign, "evaluation", foreign.pk)]
    assert "own_gradients" in page  # a part of the engine's own, which says nothing of the rows
    assert "race group 1" in page
    assert "groups stand here by number" in page
    assert "worst for race group 1 (15.2 points lost" in page


def test_readers_of_the_data_see_the_names(visit: Visit, foreign: Run) -> None:
    told = everything_read_by(visit("ada"), "ada", foreign)
    page = told[address(foreign, "evaluation", foreign.pk)]
    assert "own_gradients" in page  # a part of the engine's own, which says nothing of the rows
    assert "worst for race 2 (15.2 points lost" in page
    assert "by number" not in page
    assert json.loads(told[f"/api/v1/runs/{foreign.pk}"])["evidence"][0]["reduced"] is False


def test_a_group_has_one_number_in_every_document_and_keeps_it_when_more_is_found(
    visit: Visit, foreign: Run, world: World
) -> None:
    def slices(kind: str, metric: str) -> list[str]:
        figures = next(e for e in api("rex").get(door).json()["evidence"] if e["kind"] == kind)["figures"]
        found = [f for f in figures if f["metric"] == metric and f["slice"] and f["slice"][0]["name"] == "race"]
        return [part["value"] for f in found for part in f["slice"]]

    version = foreign.parent
    door = f"/api/v1/teams/{version.model.team.slug}/models/{version.model.slug}/versions/{version.number}/evaluations/{foreign.pk}"
    before = slices("comparison-parent", "accuracy_difference"), slices("fairness", "selection_rate_difference")
    assert before == (["group 1", "group 2", "group 3"], ["group 1", "group 2"])  # 2, 5, 3; 2 against 5
    assert slices("fairness", "selection_rate_gap") == ["all groups"]
    more = {"quality": [share("accuracy", "0.9", 40, race="1"), share("accuracy", "0.9", 40, race="2")]}
    evaluated(world, version, {}, more, data=foreign.evaluation)
    assert (
        slices("comparison-parent", "accuracy_difference"),
        slices("fairness", "selection_rate_difference"),
    ) == before


def test_the_sealed_document_is_for_readers_of_the_data(visit: Visit, foreign: Run) -> None:
    evidence = Evidence.objects.get(version=foreign.parent, kind="comparison-parent")
    path = address(foreign, "evidence-document", evidence.pk)
    assert visit("rex").get(path).status_code == 404
    assert visit("ada").get(path).status_code == 200
    page = address(foreign, "evaluation", foreign.pk)
    assert path not in visit("rex").get(page).content.decode()
    assert path in visit("ada").get(page).content.decode()

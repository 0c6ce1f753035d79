"""The doors to evaluations: asked for, listed, read whole; the answers of the models for whoever may download the version."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from registry.access.models import Role, Team
from registry.access.services import grant_membership
from registry.catalog.models import ModelVersion
from registry.compression import evaluations
from registry.compression.models import Run
from tests.compression.test_api import client
from tests.compression.test_request_evaluation import PLAN
from tests.world import World


def evaluations_url(version: ModelVersion) -> str:
    model = version.model
    return f"/api/v1/teams/{model.team.slug}/models/{model.slug}/versions/{version.number}/evaluations"


def ask(world: World, version: ModelVersion, who: str = "ada", **body: Any) -> Any:
    rows = world.reference(world.arrays_dataset())
    return client(world, who).post(evaluations_url(version), {"evaluation": rows, **body}, format="json")


def test_an_evaluation_says_what_it_will_compare_with_and_by_which_plan(world: World) -> None:
    parent, child = world.released_pair()
    strange = world.reference(world.arrays_dataset(seed=99))
    version = world.child_version(child, seed=77)
    made = ask(world, version, plan=PLAN, incumbent="production", out_of_distribution=strange)
    assert made.status_code == 201, made.content
    body = made.json()
    assert (body["base"], body["incumbent"], body["first"]) == (str(child), str(child), str(parent))
    assert (body["out_of_distribution"], body["allow_seen"]) == (strange, False)
    assert body["plan_digest"] == Run.objects.get().plan_digest
    assert (body["result_digest"], body["outputs_digest"]) == (None, None)
    shown = client(world, "carla").get(f"{evaluations_url(version)}/{body['id']}").json()
    assert shown["run"] == {name: value for name, value in body.items() if name != "makes_stale"}
    assert body["makes_stale"] == []
    assert (shown["plan"]["task"], shown["n"], shown["outputs"], shown["evidence"]) == ("embedding", None, None, [])
    assert shown["compared_with"]["first"] == {"reference": str(parent), "digest": parent.digest}
    assert [row["role"] for row in shown["data"]] == ["evaluation", "out-of-distribution"]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"plan": {"type": "pressmark/evaluation_plan/1", "task": "x"}}, "plan-invalid"),
        ({"plan": "by heart"}, "invalid"),
        ({"incumbent": "nowhere"}, "no-incumbent"),
    ],
)
def test_what_cannot_be_asked_is_a_problem_with_a_code(world: World, wrong: dict[str, Any], code: str) -> None:
    answer = ask(world, world.version(), **wrong)
    assert answer.json()["type"] == f"urn:pressmark:problem:{code}"
    assert answer.json()["hint"]
    assert not Run.objects.exists()


def test_the_evaluations_of_a_version_are_listed_and_those_of_another_are_not_found_there(world: World) -> None:
    version, other = world.version(), world.version(seed=2)
    first, second = (ask(world, version).json()["id"] for _ in range(2))
    otto = client(world, "otto")
    assert [row["id"] for row in otto.get(evaluations_url(version)).json()["items"]] == [second, first]
    assert otto.get(evaluations_url(other)).json()["items"] == []
    assert otto.get(f"{evaluations_url(other)}/{first}").status_code == 404
    assert client(world, "eve").get(f"{evaluations_url(version)}/{first}").status_code == 404
    assert APIClient().get(f"{evaluations_url(version)}/{first}").status_code == 401


def test_answers_that_were_not_kept_are_not_found_and_a_viewer_may_not_ask_for_them(world: World, cast: Any) -> None:
    version = world.version()
    url = f"{evaluations_url(version)}/{ask(world, version).json()['id']}/outputs"
    assert client(world, "ada").get(url).status_code == 404
    grant_membership(actor=cast.root, person=cast.people["eve"], role=Role.VIEWER, team=cast.team)
    assert client(world, "eve").get(url).status_code == 403


def test_answers_about_data_of_another_team_need_its_leave_as_well(world: World, outsider_team: Team) -> None:
    cast = world.cast
    grant_membership(actor=cast.root, person=cast.people["eve"], role=Role.ENGINEER, team=outsider_team)
    grant_membership(actor=cast.root, person=cast.people["ada"], role=Role.VIEWER, team=outsider_team)
    own = world.dataset(actor=cast.eve, team=outsider_team)
    rows = world.dataset_version(data=world.tiny_inputs(), dataset=own, licence="Apache-2.0", actor=cast.eve)
    version = world.version()
    run = ask(world, version, evaluation=world.reference(rows)).json()
    assert client(world, "ada").get(f"{evaluations_url(version)}/{run['id']}/outputs").status_code == 403
    judged = world.reference(world.arrays_dataset(seed=9))
    # the file names the broken rows of data of another kind as well
    mine = ask(world, version, evaluation=judged, out_of_distribution=world.reference(rows)).json()
    url = f"{evaluations_url(version)}/{mine['id']}/outputs"
    assert client(world, "ada").get(url).status_code == 403
    found = Run.objects.get(pk=mine["id"])
    assert not evaluations.may_download_outputs(cast.ada, found)
    grant_membership(actor=cast.root, person=cast.people["ada"], role=Role.ENGINEER, team=outsider_team)
    assert client(world, "ada").get(url).status_code == 404  # not kept yet
    assert evaluations.may_download_outputs(cast.ada, found)


@pytest.mark.usefixtures("committed_db")
def test_a_finished_evaluation_is_read_whole_and_again_after_the_same_figures_came_twice(world: World) -> None:
    version = world.version()
    shown = []
    for _ in range(2):
        run = Run.objects.get(pk=ask(world, version).json()["id"])
        assert world.executed(run).state == "succeeded"
        shown.append(client(world, "omar").get(f"{evaluations_url(version)}/{run.pk}").json())
    first, again = ({row["kind"]: row for row in body["evidence"]} for body in shown)
    assert set(first) == set(again) >= {"size", "outputs", "timing", "distribution"}
    assert first["outputs"]["digest"] == again["outputs"]["digest"]
    assert first["timing"]["digest"] != again["timing"]["digest"]
    assert {"digest": version.digest, "role": "version"} in first["outputs"]["subjects"]
    assert all(figure["sentence"].endswith(".") for row in first.values() for figure in row["figures"])
    data = shown[0]["data"][0]
    assert (shown[0]["n"], data["rows"], data["broken"]) == (64, 64, [])
    assert shown[0]["seen"] == {"allowed": False, "rows": None}

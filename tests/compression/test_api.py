"""The JSON doors of this room: the same services, with problems, idempotency and receipts."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from rest_framework.test import APIClient

from registry.compression.models import Recipe, Run
from tests.world import World


def client(world: World, who: str) -> APIClient:
    found = APIClient()
    found.force_authenticate(user=world.cast.people[who])
    return found


def refs(world: World) -> dict[str, Any]:
    return {
        "parent": str(world.version()),
        "recipe": f"search/{world.recipe()}",
        "evaluation": world.reference(world.arrays_dataset()),
    }


def runs_url(parent: str) -> str:
    return f"/api/v1/teams/search/models/{parent.split('/')[1].split('@')[0]}/runs"


def test_shipped_recipes_can_be_listed_published_and_read_back(world: World) -> None:
    ada = client(world, "ada")
    shipped = ada.get("/api/v1/recipes/shipped").json()["items"]
    assert {"smaller-same-speed", "faster-int8"} <= {item["name"] for item in shipped}
    first = shipped[0]
    made = ada.post(
        "/api/v1/teams/search/recipes", {"slug": first["name"], "document": first["document"]}, format="json"
    )
    assert made.status_code == 201, made.content
    assert made.json()["digest"] == first["digest"]
    assert made.headers["Pressmark-Receipt"]
    listed = ada.get("/api/v1/teams/search/recipes").json()
    assert [item["recipe"] for item in listed["items"]] == [f"search/{first['name']}@1"]
    shown = ada.get(f"/api/v1/teams/search/recipes/{first['name']}@1").json()
    assert shown["document"] == first["document"]


def test_a_recipe_that_is_none_is_a_problem_that_says_what_to_do(world: World) -> None:
    answer = client(world, "ada").post(
        "/api/v1/teams/search/recipes", {"slug": "x", "document": {"steps": [{"method": "nope"}]}}, format="json"
    )
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:pressmark:problem:recipe-invalid")
    assert "nope" in answer.json()["detail"]
    assert "quantize_weights" in answer.json()["hint"]
    assert not Recipe.objects.exists()


def test_a_run_is_requested_watched_listed_and_cancelled(world: World) -> None:
    ada, body = client(world, "ada"), refs(world)
    made = ada.post(runs_url(body["parent"]), {**body, "seed": 5}, format="json")
    assert made.status_code == 201, made.content
    run = made.json()
    assert (run["state"], run["seed"], run["attempt"], run["progress"]) == ("queued", 5, 0, None)
    assert (run["parent"], run["recipe"], run["evaluation"]) == (body["parent"], body["recipe"], body["evaluation"])
    assert made.headers["Pressmark-Receipt"]
    url = f"/api/v1/runs/{run['id']}"
    token = uuid.uuid4()
    Run.objects.filter(pk=run["id"]).update(
        state="running", owner_token=token, attempt=1, progress={"stage": "latency", "done": 1, "total": 9}
    )
    watched = client(world, "otto").get(url).json()
    assert (watched["state"], watched["attempt"], watched["progress"]["stage"]) == ("running", 1, "latency")
    assert watched["evidence"] == []
    assert ada.get(f"{url}/log").json()["log"] == ""
    assert [item["id"] for item in ada.get(runs_url(body["parent"])).json()["items"]] == [run["id"]]
    cancelled = ada.post(f"{url}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "running")
    assert cancelled.json()["cancel_requested_at"]
    assert ada.post(f"{url}/cancel").status_code == 409


def test_the_same_request_twice_is_one_run(world: World) -> None:
    ada, body = client(world, "ada"), refs(world)
    key = {"HTTP_IDEMPOTENCY_KEY": "once"}
    first = ada.post(runs_url(body["parent"]), body, format="json", **key)
    again = ada.post(runs_url(body["parent"]), body, format="json", **key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["Pressmark-Receipt"] == first.headers["Pressmark-Receipt"]
    assert Run.objects.count() == 1
    other = ada.post(runs_url(body["parent"]), {**body, "seed": 1}, format="json", **key)
    assert other.status_code == 422


def test_an_evaluation_is_requested_at_its_version(world: World) -> None:
    version, rows = world.version(), world.reference(world.arrays_dataset())
    url = f"/api/v1/teams/search/models/{version.model.slug}/versions/1/evaluations"
    made = client(world, "ada").post(url, {"evaluation": rows}, format="json")
    assert made.status_code == 201, made.content
    assert (made.json()["kind"], made.json()["parent"], made.json()["recipe"]) == ("evaluation", str(version), None)
    assert client(world, "omar").post(url, {"evaluation": rows}, format="json").status_code == 403


@pytest.mark.parametrize("broken", ["parent", "recipe", "evaluation"])
def test_a_name_that_is_not_there_is_not_found(world: World, broken: str) -> None:
    body = refs(world)
    body[broken] = "search/nothing@7"
    valid = str(world.version())
    answer = client(world, "ada").post(runs_url(valid), body, format="json")
    assert answer.status_code == 404
    assert not Run.objects.exists()


def test_who_is_in_no_team_finds_nothing(world: World) -> None:
    eve, body = client(world, "eve"), refs(world)
    run = client(world, "ada").post(runs_url(body["parent"]), body, format="json").json()
    for url in (
        f"/api/v1/runs/{run['id']}", f"/api/v1/runs/{run['id']}/log", runs_url(body["parent"]),
        "/api/v1/teams/search/recipes", f"/api/v1/teams/search/recipes/{body['recipe'].split('/')[1]}",
    ):  # fmt: skip
        assert eve.get(url).status_code == 404, url
    assert eve.post(f"/api/v1/runs/{run['id']}/cancel").status_code == 404
    assert eve.post(runs_url(body["parent"]), body, format="json").status_code == 404


def test_without_a_token_there_is_nothing(world: World) -> None:
    assert APIClient().get("/api/v1/recipes/shipped").status_code == 401


@pytest.mark.usefixtures("committed_db")
def test_an_ended_run_shows_child_evidence_failure_and_log(world: World) -> None:
    ada = client(world, "ada")
    done = world.executed(world.run())
    shown = ada.get(f"/api/v1/runs/{done.pk}").json()
    assert shown["child"] == str(done.child)
    assert {row["kind"] for row in shown["evidence"]} >= {"size", "fidelity", "distribution"}
    assert all(row["document"]["type"] == "pressmark/evidence/1" for row in shown["evidence"])
    assert "attempt 1" in ada.get(f"/api/v1/runs/{done.pk}/log").json()["log"]
    bad = world.executed(world.run(world.version(files={("model.onnx", "weights"): world.tiny_onnx(hidden=8)})))
    failed = ada.get(f"/api/v1/runs/{bad.pk}").json()
    assert (failed["state"], failed["failure_code"], failed["child"]) == ("failed", "nothing_to_compress", None)
    assert "min_elements" in failed["failure"]

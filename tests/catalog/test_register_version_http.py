"""Registering a version over HTTP: a receipt, exact problems, and nothing left of what was refused."""

from __future__ import annotations

from typing import Any

import pytest

from audit.models import Entry
from registry.access.models import Team
from registry.catalog.models import Evidence, ModelVersion
from tests.catalog import hostile
from tests.catalog.test_register_version import ONNX, named
from tests.provenance.http import client_for, make_eve_engineer_of, problem, upload
from tests.world import Cast, World
from tests.worlds.catalog import make_onnx


def prepared(cast: Cast) -> tuple[Any, str]:
    client = client_for(cast, "ada")
    answer = client.post("/api/v1/teams/search/models", {"slug": "net", "title": "A net"}, format="json")
    assert answer.status_code == 201, answer.content
    return client, "/api/v1/teams/search/models/net/versions"


def manifest(client: Any, files: dict[tuple[str, str], bytes]) -> dict[str, Any]:
    rows = [{"path": p, "role": r, "digest": upload(client, d).json()["digest"]} for (p, r), d in files.items()]
    return {"files": rows, "licence": "Apache-2.0", "training_data": "unknown"}


def test_a_version_over_http_carries_a_receipt_and_can_be_read_back(cast: Cast) -> None:
    client, url = prepared(cast)
    body = manifest(client, {("model.onnx", "weights"): ONNX, ("config.json", "configuration"): b"{}"})
    answer = client.post(url, body, format="json")
    assert answer.status_code == 201, answer.content
    assert answer["Pressmark-Receipt"]
    shown = client.get(f"{url}/1").json()
    assert shown["ref"] == "search/net@1"
    assert [f["path"] for f in shown["files"]] == ["config.json", "model.onnx"]
    assert [v["number"] for v in client.get(url).json()["items"]] == [1]


@pytest.mark.parametrize(
    ("name", "data", "code", "told"),
    [
        ("model.onnx", hostile.TRUNCATED, "file-truncated", "model.onnx:"),
        ("model.safetensors", ONNX, "format-mismatch", "model.safetensors holds onnx, its name says safetensors."),
        ("model.onnx", hostile.PICKLE, "pickle-refused", "model.onnx is a pickle."),
        ("model.pt2", hostile.torch_archive(), "pickle-refused", "is a PyTorch archive that holds a pickle."),
        ("model.onnx", hostile.external_onnx("../../etc/passwd"), "external-data-refused", "leaves the folder of the model."),
    ],
    ids=named,
)  # fmt: skip
def test_bad_model_files_over_http_give_the_exact_problem_and_leave_nothing(
    cast: Cast, name: str, data: bytes, code: str, told: str
) -> None:
    client, url = prepared(cast)
    before = Entry.objects.count()
    answer = client.post(url, manifest(client, {(name, "weights"): data}), format="json")
    body = problem(answer, 422, code)
    assert told in body["detail"]
    assert body["hint"]
    assert body["path"] == name
    assert not ModelVersion.objects.exists()
    assert not Evidence.objects.exists()
    assert Entry.objects.count() == before


def test_an_unknown_licence_of_a_model_over_http_leaves_nothing(cast: Cast) -> None:
    client, url = prepared(cast)
    body = manifest(client, {("model.onnx", "weights"): ONNX}) | {"licence": "Apache-3.0"}
    before = Entry.objects.count()
    problem(client.post(url, body, format="json"), 422, "licence-unknown")
    assert Entry.objects.count() == before


def test_a_malformed_body_names_the_field(cast: Cast) -> None:
    client, url = prepared(cast)
    answer = client.post(url, {"files": [{"path": "a", "role": "king", "digest": "x"}]}, format="json")
    body = problem(answer, 422, "invalid")
    assert "files" in body["fields"]


def test_edges_over_http_name_what_the_caller_may_read(cast: Cast, world: World) -> None:
    client, url = prepared(cast)
    base = world.version(world.model("base"))
    data = world.dataset_version(slug="rows", uses=["training"])
    body = manifest(client, {("model.onnx", "weights"): make_onnx(5)})
    body["edges"] = [
        {"role": "base", "operations": ["pruned"], "parent": str(base)},
        {"role": "data", "dataset_version": f"search/{data.dataset.slug}@1"},
    ]
    answer = client.post(url, body, format="json")
    assert answer.status_code == 201, answer.content
    assert [e["parent_digest"] for e in client.get(f"{url}/1").json()["edges"]] == [base.digest, data.digest]
    body["edges"] = [{"role": "base", "parent": "search/nowhere@1"}]
    problem(client.post(url, body, format="json"), 404, "not-found")


def test_whoever_may_not_see_a_model_does_not_find_it_over_http(cast: Cast, outsider_team: Team, world: World) -> None:
    version = world.version(world.model("hidden"))
    make_eve_engineer_of(cast, outsider_team)
    eve = client_for(cast, "eve")
    base = "/api/v1/teams/search/models/hidden"
    (evidence,) = version.evidence.all()
    for path in (
        "", "/versions", "/versions/1", "/versions/1/evidence", f"/versions/1/evidence/{evidence.digest}",
        "/versions/1/lineage", "/versions/1/effective-terms", "/versions/1/files/model.onnx",
    ):  # fmt: skip
        problem(eve.get(base + path), 404, "not-found")
    problem(eve.get("/api/v1/teams/search/models"), 404, "not-found")
    problem(eve.post(base + "/versions", manifest(eve, {("m.onnx", "weights"): ONNX}), format="json"), 404, "not-found")

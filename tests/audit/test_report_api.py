"""The audit house over HTTP: assessment, report, bundle, entry, proof, checkpoint, and a receipt that is made to stand alone."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from audit import checkpoints, keys, merkle, notes, offline_verify
from audit.models import Assessment, Bundle, Entry, Report
from registry.access.models import Actor
from registry.catalog.models import RegisteredModel
from registry.digests import sha256
from tests.access.test_api import log_in
from tests.world import World
from tests.worlds.audit import Story, rewrite_entry

API = "/api/v1"


@pytest.fixture
def model(story: Story) -> RegisteredModel:
    return story[0].model


@pytest.fixture
def carla(model: RegisteredModel) -> APIClient:
    return log_in("carla")


def path(model: RegisteredModel, rest: str) -> str:
    return f"{API}/teams/{model.team.slug}/models/{model.slug}/{rest}"


def post(client: APIClient, where: str, body: dict[str, Any] | None = None, **headers: str) -> Any:
    return client.post(where, body or {}, format="json", **headers)


def test_assessment_report_and_bundle_over_http(carla: APIClient, model: RegisteredModel, tmp_path: Path) -> None:
    answer = post(carla, path(model, "assessments"), {"note": "Quarterly"})
    assert answer.status_code == 201, answer.content
    assert "Pressmark-Receipt" in answer
    issued = answer.json()
    assert len(issued["document"]["requirements"]) == 72
    shown = carla.get(f"{API}/assessments/{issued['id']}").json()
    assert shown["document"] == issued["document"]
    assert [row["id"] for row in carla.get(path(model, "assessments")).json()["items"]] == [issued["id"]]

    answer = post(carla, f"{API}/assessments/{issued['id']}/reports")
    assert answer.status_code == 201, answer.content
    report = answer.json()
    assert carla.get(f"{API}/reports/{report['id']}").json() == report
    for extension in ("pdf", "json"):
        file = carla.get(f"{API}/reports/{report['id']}/report.{extension}")
        assert sha256(file.content) == report[f"{extension}_digest"] == file["Pressmark-Digest"]
    assert carla.get(f"{API}/reports/{report['id']}/report.exe").status_code == 404

    bundle = post(carla, path(model, "bundles")).json()
    pending = carla.get(f"{API}/bundles/{bundle['id']}/bundle.zip")
    assert (pending.status_code, pending.json()["type"]) == (503, "urn:pressmark:problem:pending")
    assert carla.get(f"{API}/bundles/{bundle['id']}").json()["state"] == "pending"
    signed = checkpoints.sign_next()
    assert signed is not None
    state = carla.get(f"{API}/bundles/{bundle['id']}").json()
    answer = carla.get(f"{API}/bundles/{bundle['id']}/bundle.zip")
    data = b"".join(answer)
    assert (state["state"], state["tree_size"]) == ("ready", signed.size)
    assert (answer["Pressmark-Digest"], answer["Content-Length"]) == (sha256(data), str(len(data)))
    target = tmp_path / "bundle.zip"
    target.write_bytes(data)
    known = {"keys": [keys.log_signer().key_line], "checkpoint": signed.note.encode()}
    assert offline_verify.verify_bundle(target, **known).exit_code == 0  # type: ignore[arg-type]


def test_a_repeat_with_the_same_key_issues_once(carla: APIClient, model: RegisteredModel) -> None:
    headers = {"HTTP_IDEMPOTENCY_KEY": "one"}
    first, second = (post(carla, path(model, "bundles"), {}, **headers) for _ in range(2))
    assert first.json() == second.json()
    assert first["Pressmark-Receipt"] == second["Pressmark-Receipt"]
    assert Bundle.objects.count() == 1


def test_a_preview_issues_nothing(carla: APIClient, model: RegisteredModel) -> None:
    before = Entry.objects.count()
    answer = log_in("ada").get(path(model, "assessment"))
    assert answer.json()["summary"]["total"] == 72
    assert Entry.objects.count() == before + 1  # the log-in of ada
    assert not Assessment.objects.exists()


def test_who_may_not_issue_is_refused_and_nothing_stays(carla: APIClient, model: RegisteredModel) -> None:
    ada = log_in("ada")
    for where in ("assessments", "bundles"):
        answer = post(ada, path(model, where))
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:pressmark:problem:forbidden")
    issued = post(carla, path(model, "assessments")).json()
    assert post(ada, f"{API}/assessments/{issued['id']}/reports").status_code == 403
    assert (Assessment.objects.count(), Report.objects.count(), Bundle.objects.count()) == (1, 0, 0)


def test_who_is_in_no_team_finds_nothing(carla: APIClient, model: RegisteredModel) -> None:
    issued = post(carla, path(model, "assessments")).json()
    report = post(carla, f"{API}/assessments/{issued['id']}/reports").json()
    bundle = post(carla, path(model, "bundles")).json()
    checkpoints.sign_next()
    position = Entry.objects.filter(stream=f"model:{model.pk}").order_by("position")[0].position
    client = APIClient()
    client.force_authenticate(user=Actor.objects.get(username="eve"))
    hidden = [
        path(model, "assessments"), path(model, "assessment"), path(model, "bundles"),
        f"{API}/assessments/{issued['id']}", f"{API}/reports/{report['id']}", f"{API}/reports/{report['id']}/report.pdf",
        f"{API}/bundles/{bundle['id']}", f"{API}/bundles/{bundle['id']}/bundle.zip",
        f"{API}/ledger/entries/{position}", f"{API}/ledger/entries/{position}/proof", f"{API}/ledger/entries/0",
    ]  # fmt: skip
    assert [client.get(where).status_code for where in hidden] == [404] * len(hidden)


def test_an_entry_is_given_with_its_bytes_and_its_proof(carla: APIClient, model: RegisteredModel) -> None:
    position = Entry.objects.filter(stream=f"model:{model.pk}").order_by("-position")[0].position
    assert carla.get(f"{API}/ledger/entries/{position}/proof").status_code == 503
    checkpoints.sign_next()
    entry = carla.get(f"{API}/ledger/entries/{position}").json()
    data = base64.b64decode(entry["entry"])
    assert entry["leaf"] == "sha256:" + hashlib.sha256(b"\x00" + data).hexdigest()
    assert entry["read"] == json.loads(data)
    answer = carla.get(f"{API}/ledger/entries/{position}/proof").json()
    proof = notes.parse_tlog_proof(answer["proof"].encode())
    signed = notes.open_checkpoint(proof.checkpoint, keys.log_signer().public)
    leaf = merkle.leaf_hash(data)
    assert merkle.verify_inclusion(leaf, proof.index, signed.size, proof.path, signed.root)
    assert carla.get(f"{API}/ledger/entries/999999").status_code == 404


def test_checkpoint_and_consistency_lead_from_old_to_new(carla: APIClient, world: World) -> None:
    old = notes.open_checkpoint(world.checkpoint().note.encode(), keys.log_signer().public)
    world.teams(3)
    world.checkpoint()
    shown = carla.get(f"{API}/ledger/checkpoint").json()
    new = notes.open_checkpoint(shown["note"].encode(), keys.log_signer().public)
    answer = carla.get(f"{API}/ledger/consistency?old={old.size}&new={new.size}").json()
    row = answer["proofs"][0]
    hashes = [bytes.fromhex(item) for item in row["path"]]
    assert merkle.verify_consistency(old.size, new.size, old.root, new.root, hashes)
    assert carla.get(f"{API}/ledger/consistency?old=5").status_code == 422
    assert carla.get(f"{API}/ledger/consistency?old=5&new=4").status_code == 422


def test_a_receipt_is_completed_so_that_nothing_of_ours_is_needed(carla: APIClient, model: RegisteredModel) -> None:
    answer = post(carla, path(model, "assessments"))
    receipt = answer["Pressmark-Receipt"]
    assert carla.get(f"{API}/ledger/receipt", {"receipt": receipt}).status_code == 503
    checkpoints.sign_next()
    completed = carla.get(f"{API}/ledger/receipt", {"receipt": receipt}).json()["entries"]
    note = notes.open_receipt(base64.b64decode(receipt), keys.issuer_signer().public)
    assert len(completed) == note.count
    leaves = [merkle.leaf_hash(base64.b64decode(entry["entry"])) for entry in completed]
    assert merkle.root(leaves) == note.root
    proof = notes.parse_tlog_proof(completed[0]["proof"].encode())
    assert proof.extra == base64.b64decode(receipt)
    assert proof.index == note.first


def test_what_is_no_receipt_of_ours_is_refused(carla: APIClient, model: RegisteredModel) -> None:
    for text in ("", "hello", base64.b64encode(b"pressmark/receipt/1\n").decode()):
        answer = carla.get(f"{API}/ledger/receipt", {"receipt": text})
        assert answer.status_code == 422
        assert "Pressmark-Receipt" in answer.json()["hint"]


def test_a_receipt_that_the_ledger_contradicts_is_told(carla: APIClient, model: RegisteredModel) -> None:
    receipt = post(carla, path(model, "bundles"))["Pressmark-Receipt"]
    position = Entry.objects.order_by("-position")[0].position
    checkpoints.sign_next()
    rewrite_entry(position, b'"via":"api"', b'"via":"cli"', leaf=True)
    answer = carla.get(f"{API}/ledger/receipt", {"receipt": receipt})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:pressmark:problem:receipt-differs")

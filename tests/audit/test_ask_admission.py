"""Whoever deploys asks whether a version may run, and gets a signed answer: yes or no, why, until when."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from audit import dsse, keys
from audit.admission_api import AdmissionThrottle
from audit.models import Entry
from registry.access import services as access
from registry.access.models import Role, Team
from registry.catalog.models import ModelVersion
from registry.digests import parse_time
from registry.release import services
from tests.world import World
from tests.worlds.catalog import figure
from tests.worlds.http import api

NONCE = "0123456789abcdef"


def ask(client: APIClient, **body: Any) -> dict[str, Any]:
    """The payload of the signed answer, once the issuer's signature holds."""
    answer = client.post("/api/v1/admissions", body, format="json")
    assert answer.status_code == 200, answer.content
    payload = dsse.open_envelope(answer.content, keys.issuer_signer().public)
    statement: dict[str, Any] = json.loads(payload)
    return statement


def verdict(client: APIClient, **body: Any) -> tuple[str, str | None, list[str]]:
    said = ask(client, **body)["predicate"]
    return said["decision"], said["standing"], [reason["code"] for reason in said["reasons"]]


def files_of(version: ModelVersion) -> list[dict[str, str]]:
    return [{"path": a.path, "digest": a.digest} for a in version.artifacts.order_by("path")]


def test_what_an_alias_serves_with_a_granted_approval_is_admitted_and_every_file_is_a_subject(world: World) -> None:
    move = world.promoted(world.parent_version())
    assert move.version is not None
    version, client = move.version, api("otto")
    entries = Entry.objects.count()
    said = ask(client, digest=version.digest, alias="production", served=True, nonce=NONCE)
    assert said["predicateType"] == "urn:pressmark:predicate:admission:1"
    named = {s["name"]: "sha256:" + s["digest"]["sha256"] for s in said["subject"]}
    assert named == {
        str(version): version.digest,
        **{f"{version}/{a.path}": a.digest for a in version.artifacts.all()},
    }
    body = said["predicate"]
    assert (body["decision"], body["standing"], body["alias"]) == ("yes", "served", "production")
    assert body["bound"] == {
        "approval": str(move.approval_id), "assignment": str(move.pk), "broken_glass": None,
        "model": str(version.model_id), "policy": move.approval.policy_digest, "version": str(version.pk),
    }  # fmt: skip
    assert body["asked"]["nonce"] == NONCE
    assert body["ledger"]["size"] == entries == Entry.objects.count(), "asking writes nothing"
    lasts = parse_time(body["expires_at"]) - parse_time(body["evaluated_at"])
    assert lasts == datetime.timedelta(seconds=900)


def test_a_verdict_ends_with_the_approval_that_it_rests_on(world: World) -> None:
    version = world.parent_version()
    end = timezone.now() + datetime.timedelta(seconds=400)
    approval = services.request_approval(
        actor=world.cast.ada, version=version, alias="production", reason="A pilot.", expires_at=end
    )
    services.grant_approval(actor=world.cast.omar, approval=approval, reason="For the pilot.")
    said = ask(api("otto"), digest=version.digest)["predicate"]
    assert parse_time(said["expires_at"]) == end


def test_merely_approved_is_said_and_refused_to_who_demands_served(world: World) -> None:
    version = world.parent_version()
    world.granted(version)
    client = api("otto")
    assert verdict(client, digest=version.digest, alias="production") == ("yes", "approved", ["approved"])
    assert verdict(client, digest=version.digest, alias="production", served=True) == ("no", None, ["not-served"])
    assert verdict(client, digest=version.digest, alias="staging") == ("no", None, ["not-approved"])


def test_a_version_is_found_by_exactly_its_files(world: World) -> None:
    version = world.parent_version()
    world.promoted(version)
    client, files = api("otto"), files_of(version)
    assert verdict(client, files=files)[0] == "yes"
    assert verdict(client, files=files, digest=version.digest)[0] == "yes"
    extra = {"path": "run.py", "digest": "sha256:" + "0" * 64}
    assert verdict(client, files=[*files, extra]) == ("no", None, ["unknown"])
    assert verdict(client, files=[{**files[0], "path": "other"}, *files[1:]]) == ("no", None, ["unknown"])
    if len(files) > 1:
        assert verdict(client, files=files[1:]) == ("no", None, ["unknown"])


@pytest.mark.parametrize("who", ["eve", "otto"])
def test_what_may_not_be_seen_is_answered_as_what_does_not_exist(world: World, who: str, outsider_team: Team) -> None:
    access.grant_membership(
        actor=world.cast.root, person=world.cast.people["eve"], role=Role.ENGINEER, team=outsider_team
    )
    version = world.parent_version()
    world.promoted(version)
    digest = version.digest if who == "eve" else "sha256:" + "1" * 64
    said = ask(api(who), digest=digest, files=[{"digest": digest}])
    assert str(version.model) not in json.dumps(said)
    assert [s["name"] for s in said["subject"]] == ["asked", "asked/file"]
    body = said["predicate"]
    assert (body["decision"], body["model"], set(body["bound"].values())) == ("no", None, {None})
    assert [r["code"] for r in body["reasons"]] == ["unknown"]


def test_the_same_files_in_two_models_are_no_yes_until_the_model_is_named(world: World) -> None:
    version = world.parent_version()
    world.promoted(version)
    twin = world.version(world.model("twin"), seed=1)
    assert twin.digest == version.digest
    client = api("otto")
    assert verdict(client, digest=version.digest) == ("no", None, ["ambiguous"])
    assert verdict(client, digest=version.digest, model=str(version.model))[0] == "yes"
    assert verdict(client, digest=version.digest, model=str(twin.model)) == ("no", None, ["not-approved"])


def test_a_revoked_approval_admits_nothing_from_that_moment_on(world: World) -> None:
    version = world.parent_version()
    approval = world.promoted(version).approval
    assert approval is not None
    services.revoke_approval(actor=world.cast.omar, approval=approval, reason="A fault.")
    assert verdict(api("otto"), digest=version.digest) == ("no", None, ["approval-revoked"])


def test_a_lapse_is_admitted_for_as_long_as_the_policy_says(world: World) -> None:
    version = world.parent_version()
    world.promoted(version)
    world.evidence(version, "size", [figure("size_bytes", "1", "byte")])
    client = api("otto")
    said = ask(client, digest=version.digest)["predicate"]
    assert (said["decision"], said["standing"]) == ("yes", "lapse-grace")
    assert parse_time(said["expires_at"]) <= timezone.now() + datetime.timedelta(minutes=15)
    assert verdict(client, digest=version.digest, alias="staging") == ("no", None, ["not-approved"])


def test_without_grace_a_lapse_admits_nothing(world: World) -> None:
    world.policy(change=lambda document: document.update(lapse_grace_hours=0))
    version = world.parent_version()
    world.promoted(version)
    world.evidence(version, "size", [figure("size_bytes", "1", "byte")])
    assert verdict(api("otto"), digest=version.digest) == ("no", None, ["lapsed"])


def test_a_suspended_alias_and_one_that_went_back_admit_nothing_of_it(world: World) -> None:
    parent, child = world.released_pair()
    client = api("otto")
    assert verdict(client, digest=child.digest)[:2] == ("yes", "served")
    services.roll_back(actor=world.cast.otto, model=parent.model, alias="production", reason="It fails.")
    assert verdict(client, digest=child.digest) == ("no", None, ["rolled-back"])
    assert verdict(client, digest=parent.digest)[:2] == ("yes", "served")
    services.suspend(actor=world.cast.otto, model=parent.model, alias="production", reason="Both fail.")
    assert verdict(client, digest=parent.digest) == ("no", None, ["suspended"])


def test_a_target_that_is_not_registered_is_no(world: World) -> None:
    version = world.parent_version()
    world.promoted(version)
    assert verdict(api("otto"), digest=version.digest, target="edge-box@2") == ("no", None, ["target-unknown"])


def test_purged_bytes_are_admitted_nowhere(world: World) -> None:
    version = world.parent_version()
    world.granted(version)
    world.purged(version)
    assert verdict(api("otto"), digest=version.digest) == ("no", None, ["purged"])


NO_QUESTIONS: list[tuple[dict[str, Any], str]] = [
    ({}, "Nothing is asked about"),
    ({"digest": "sha256:abc"}, "digest"),
    ({"files": [{"digest": "sha256:" + "0" * 64}] * 2}, "stands alone"),
    ({"files": [{"digest": "sha256:" + "0" * 64, "path": "a"}] * 2}, "twice"),
    ({"digest": "sha256:" + "0" * 64, "nonce": "short"}, "nonce"),
    ({"digest": "sha256:" + "0" * 64, "alias": "A B"}, "alias"),
    ({"files": [{"digest": "sha256:" + "0" * 64, "path": "a"}] * 10_001}, "files"),
]


def test_a_question_that_is_none_is_refused_with_what_is_wrong(world: World) -> None:
    client = api("otto")
    for body, word in NO_QUESTIONS:
        answer = client.post("/api/v1/admissions", body, format="json")
        assert answer.status_code == 422, word
        assert word in answer.json()["detail"]


def test_who_asks_too_often_has_to_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert AdmissionThrottle.rate == "120/min"
    monkeypatch.setattr(AdmissionThrottle, "rate", "3/min")
    client = api("otto")
    body = {"digest": "sha256:" + "0" * 64}
    answers = [client.post("/api/v1/admissions", body, format="json").status_code for _ in range(4)]
    assert answers == [200, 200, 200, 429]
    assert api("ada").post("/api/v1/admissions", body, format="json").status_code == 200


def test_who_has_no_token_is_asked_for_one(db: None) -> None:
    assert APIClient().post("/api/v1/admissions", {}, format="json").status_code == 401

"""Purges: two people, never what is held, served or needed elsewhere; the bytes really go, and everything else still verifies."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError

from audit import checkpoints
from audit.models import Entry
from audit.verification import orphans
from audit.verification.verify_ledger import verify
from registry import storage
from registry.access import services as access
from registry.access.models import Role
from registry.catalog import queries as catalog
from registry.catalog.models import ModelVersion
from registry.compression.services_profiles import request_profile
from registry.compression.training import TrainingAsked
from registry.digests import parse_canonical
from registry.errors import BytesDiffer, Conflict, Forbidden, Gone, Invalid
from registry.events import Caller
from registry.oversight.services_proofs import end_hold, place_hold
from registry.oversight.subjects import of_dataset, of_dataset_version, of_version
from registry.provenance.models import DatasetVersion
from registry.provenance.services_documents import attach_document
from registry.provenance.subjects import Subject
from registry.release import queries
from registry.release.models import Approval
from registry.release.services import confirm_purge, request_purge, revoke_approval, roll_back, suspend, withdraw_purge
from registry.release.services.recalls import start_recall
from registry.release.services.rollbacks import judge_target
from registry.release.stopping_models import Purge
from tests.desk.trained_runs import step
from tests.failing import keeps_nothing_without_ledger
from tests.provenance.http import client_for, problem
from tests.world import World

WHY = "The data subjects withdrew their consent."


@pytest.fixture
def second(world: World) -> Caller:
    """Another compliance officer."""
    person = world.person("clara", Role.COMPLIANCE_OFFICER)
    return Caller(actor_id=person.pk, via="cli")


def purge(world: World, subject: Subject, second: Caller) -> Purge:
    asked = request_purge(actor=world.cast.carla, subject=subject, reason=WHY)
    return confirm_purge(actor=second, purge=asked)


def last_event() -> dict[str, Any]:
    entry: Any = parse_canonical(bytes(Entry.objects.order_by("-position")[0].entry))
    return {**entry["event"], "stream": entry["stream"]}


def test_bytes_go_and_the_row_its_digest_and_its_document_stay(world: World, second: Caller) -> None:
    rows = world.dataset_version(slug="withdrawn")
    size = rows.size_bytes
    done = purge(world, of_dataset_version(rows), second)
    assert not storage.path_of(str(rows.digest)).exists()
    kept = DatasetVersion.objects.get(pk=rows.pk)
    assert (kept.digest, kept.purged_at is not None) == (rows.digest, True)
    assert storage.is_stored(kept.document_digest)
    assert (done.freed_bytes, done.confirmed_by_id) == (size, second.actor_id)
    event = last_event()
    assert (event["kind"], event["stream"]) == ("purge.confirmed", f"dataset:{rows.dataset_id}")
    assert [r["type"] for r in event["records"]] == ["release.purge/1", "provenance.dataset_version/1"]


@pytest.mark.db_guarantee
def test_nothing_goes_before_a_second_person_confirms(world: World) -> None:
    rows = world.dataset_version(slug="waiting")
    asked = request_purge(actor=world.cast.carla, subject=of_dataset_version(rows), reason=WHY)
    assert storage.is_stored(str(rows.digest))
    with pytest.raises(Forbidden, match="somebody else") as refused:
        confirm_purge(actor=world.cast.carla, purge=asked)
    assert refused.value.code == "own-request"
    with pytest.raises(Conflict, match="asked for already"):
        request_purge(actor=world.cast.root, subject=of_dataset_version(rows), reason=WHY)
    with pytest.raises(IntegrityError, match="two_people"):
        Purge.objects.filter(pk=asked.pk).update(confirmed_by=world.cast.people["carla"])


@pytest.mark.parametrize("name", ["ada", "omar", "otto", "eve"])
def test_only_officers_and_administrators_ask_and_confirm(world: World, name: str) -> None:
    subject = of_dataset_version(world.dataset_version())
    with pytest.raises(Forbidden, match=r"purge\.request"):
        request_purge(actor=getattr(world.cast, name), subject=subject, reason=WHY)
    asked = request_purge(actor=world.cast.root, subject=subject, reason=WHY)
    with pytest.raises(Forbidden, match=r"purge\.confirm"):
        confirm_purge(actor=getattr(world.cast, name), purge=asked)


def test_what_is_held_stays_until_the_hold_ends_also_when_it_came_after_the_request(
    world: World, second: Caller
) -> None:
    rows = world.dataset_version(slug="disputed")
    subject = of_dataset_version(rows)
    asked = request_purge(actor=world.cast.carla, subject=subject, reason=WHY)
    hold = place_hold(actor=world.cast.carla, subject=of_dataset(rows.dataset), reason="A court asked.")
    with pytest.raises(Conflict, match="legal hold") as refused:
        confirm_purge(actor=second, purge=asked)
    assert refused.value.code == "held"
    assert storage.is_stored(str(rows.digest))
    end_hold(actor=world.cast.carla, hold=hold, reason="Settled.")
    confirm_purge(actor=second, purge=asked)
    assert not storage.is_stored(str(rows.digest))


def test_bytes_that_another_record_needs_stay(world: World, second: Caller) -> None:
    lines = [{"text": "shared"}]
    first, other = (world.dataset_version(lines, slug=slug) for slug in ("one", "two"))
    assert purge(world, of_dataset_version(first), second).freed_bytes == 0
    assert storage.is_stored(str(first.digest))
    purge(world, of_dataset_version(other), second)
    assert not storage.is_stored(str(first.digest))
    attached = world.dataset_version([{"text": "proof"}], slug="three")
    subject = of_dataset_version(attached)
    attach_document(actor=world.cast.ada, subject=subject, kind="other", digest=str(attached.digest))
    purge(world, subject, second)
    assert storage.is_stored(str(attached.digest))


def test_a_review_or_an_edge_binds_the_digest_and_keeps_no_bytes(world: World, second: Caller) -> None:
    from registry.catalog.edges import EdgeSpec
    from registry.oversight.services_proofs import sign_review

    rows = world.dataset_version(slug="bound", uses=("training",))
    subject = of_dataset_version(rows)
    sign_review(actor=world.cast.carla, subject=subject, kind="vetting", accepted=True, statement="Fine.")
    world.version(edges=[EdgeSpec("data", dataset_version=rows)])
    purge(world, subject, second)
    assert not storage.is_stored(str(rows.digest))


def test_what_is_served_and_every_way_back_stay_until_nobody_could_go_back(world: World, second: Caller) -> None:
    parent, child = world.released_pair()
    grandchild = world.child_version(child, seed=77)
    world.promoted(grandchild)
    with pytest.raises(Conflict) as served:
        request_purge(actor=world.cast.carla, subject=of_version(grandchild), reason=WHY)
    assert served.value.code == "served"
    for version in (parent, child):
        with pytest.raises(Conflict, match="the alias 'production' served it") as back:
            request_purge(actor=world.cast.carla, subject=of_version(version), reason=WHY)
        assert (back.value.code, back.value.members["alias"]) == ("way-back", "production")
    revoke_approval(actor=world.cast.omar, approval=Approval.objects.get(version=parent), reason="It is too old.")
    assert purge(world, of_version(parent), second).confirmed_at is not None


def test_a_way_back_that_is_barred_today_stays_for_it_may_be_open_tomorrow(world: World, second: Caller) -> None:
    """The approval of a parent was revoked, and another one ended: nobody said that nobody goes back to the child."""
    parent, child = world.released_pair()
    grandchild = world.child_version(child, seed=77)
    world.promoted(grandchild)
    revoke_approval(actor=world.cast.omar, approval=Approval.objects.get(version=parent), reason="It is too old.")
    model = grandchild.model
    assert judge_target(queries.alias_history(model, "production"), "production", child).reasons
    with pytest.raises(Conflict) as refused:
        request_purge(actor=world.cast.carla, subject=of_version(child), reason=WHY)
    assert refused.value.code == "way-back"


def test_what_is_in_quarantine_or_was_left_by_a_roll_back_is_no_way_back(world: World, second: Caller) -> None:
    parent, child = world.released_pair()
    roll_back(actor=world.cast.omar, model=child.model, alias="production", reason="Slower.")
    assert purge(world, of_version(child), second).confirmed_at is not None
    suspend(actor=world.cast.otto, model=child.model, alias="production", reason="A look first.")
    start_recall(actor=world.cast.carla, subject=of_version(parent), reason="Poisoned.")
    assert purge(world, of_version(parent), second).confirmed_at is not None


def test_what_a_suspended_alias_served_is_a_way_back_too(world: World) -> None:
    _, child = world.released_pair()
    suspend(actor=world.cast.otto, model=child.model, alias="production", reason="A look first.")
    with pytest.raises(Conflict) as refused:
        request_purge(actor=world.cast.carla, subject=of_version(child), reason=WHY)
    assert refused.value.code == "way-back"


def test_what_a_profile_still_reads_stays(world: World) -> None:
    rows, beside = world.dataset_version(), world.dataset_version()
    request_profile(actor=world.cast.ada, dataset_version=rows, against=[beside])
    for version in (rows, beside):
        with pytest.raises(Conflict, match="profile") as refused:
            request_purge(actor=world.cast.carla, subject=of_dataset_version(version), reason=WHY)
        assert refused.value.code == "in-use"


def test_what_a_run_still_reads_stays(world: World) -> None:
    run = world.run(world.version())
    for subject in (of_version(run.parent), of_dataset_version(run.evaluation)):
        with pytest.raises(Conflict) as refused:
            request_purge(actor=world.cast.carla, subject=subject, reason=WHY)
        assert refused.value.code == "in-use"


def test_what_a_run_that_trains_still_learns_from_stays(world: World) -> None:
    recipe = world.recipe("taught", {"steps": [step("distill", student="declared")]})
    rows = world.arrays_dataset(seed=12, uses=("training",))
    teacher, student = (world.version(files={("model.onnx", "weights"): world.tiny_onnx(seed=n)}) for n in (5, 6))
    world.run(world.version(), recipe=recipe, training=TrainingAsked(rows, teacher, student))
    for subject in (of_dataset_version(rows), of_version(teacher), of_version(student)):
        with pytest.raises(Conflict) as refused:
            request_purge(actor=world.cast.carla, subject=subject, reason=WHY)
        assert refused.value.code == "in-use"


def test_what_has_no_bytes_of_its_own_here_cannot_be_purged(world: World, second: Caller) -> None:
    declared = world.dataset_version(slug="far", declared_digest="sha256:" + "ab" * 32)
    with pytest.raises(Conflict, match="declared"):
        request_purge(actor=world.cast.carla, subject=of_dataset_version(declared), reason=WHY)
    with pytest.raises(Invalid, match="Only a version"):
        request_purge(actor=world.cast.carla, subject=of_dataset(declared.dataset), reason=WHY)
    rows = world.dataset_version(slug="once")
    with pytest.raises(Invalid, match="reason is empty"):
        request_purge(actor=world.cast.carla, subject=of_dataset_version(rows), reason=" ")
    done = purge(world, of_dataset_version(rows), second)
    with pytest.raises(Conflict, match="purged already"):
        request_purge(actor=world.cast.carla, subject=of_dataset_version(rows), reason=WHY)
    with pytest.raises(Conflict, match=r"confirmed already|purged already"):
        confirm_purge(actor=world.cast.root, purge=done)


def test_a_withdrawn_purge_is_confirmed_by_nobody(world: World, second: Caller) -> None:
    rows = world.dataset_version(slug="spared")
    asked = request_purge(actor=world.cast.carla, subject=of_dataset_version(rows), reason=WHY)
    withdraw_purge(actor=world.cast.carla, purge=asked)
    with pytest.raises(Conflict, match="withdrawn already"):
        confirm_purge(actor=second, purge=asked)
    assert storage.is_stored(str(rows.digest))
    assert request_purge(actor=world.cast.carla, subject=of_dataset_version(rows), reason=WHY).pk != asked.pk


def test_without_a_ledger_nothing_is_asked_for_and_nothing_goes(world: World, second: Caller) -> None:
    rows = world.dataset_version(slug="unsealed")
    subject = of_dataset_version(rows)
    keeps_nothing_without_ledger(lambda: request_purge(actor=world.cast.carla, subject=subject, reason=WHY), Purge)
    asked = request_purge(actor=world.cast.carla, subject=subject, reason=WHY)
    keeps_nothing_without_ledger(lambda: confirm_purge(actor=second, purge=asked), Purge, DatasetVersion)
    keeps_nothing_without_ledger(lambda: withdraw_purge(actor=second, purge=asked), Purge)
    assert storage.is_stored(str(rows.digest))


def test_the_files_of_a_purged_version_are_gone_for_whoever_asks_with_the_reason(world: World, second: Caller) -> None:
    version = world.version(world.model("gone"))
    weights = version.artifacts.get(role="weights")
    purge(world, of_version(version), second)
    assert not storage.is_stored(weights.digest)
    assert storage.is_stored(version.digest)
    found = ModelVersion.objects.get(pk=version.pk)
    with pytest.raises(BytesDiffer, match="purged"):
        catalog.rehash_version(found)
    with pytest.raises(Gone, match="withdrew their consent"):
        catalog.get_artifact(found, "model.onnx")
    answer = client_for(world.cast, "ada").get("/api/v1/teams/search/models/gone/versions/1/files/model.onnx")
    assert problem(answer, 410, "purged")["reason"] == WHY


def test_a_purge_that_could_not_remove_the_bytes_is_carried_out_by_the_sweeper(
    world: World, second: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = world.dataset_version(slug="stuck")

    def full(digest: str) -> None:
        raise OSError("the disk does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "remove", full)
        assert purge(world, of_dataset_version(rows), second).confirmed_at is not None
    path = storage.path_of(str(rows.digest))
    assert path.exists()
    assert orphans.sweep() == []
    long_ago = time.time() - 2 * orphans.DAY_SECONDS
    os.utime(path, (long_ago, long_ago))
    assert orphans.sweep() == [rows.digest]


def test_a_document_of_the_ledger_is_never_purged_by_way_of_data_with_the_same_bytes(
    world: World, second: Caller
) -> None:
    """Somebody who knows the bytes of a document could register them as data, and have two people purge that."""
    other = world.dataset_version(slug="other")
    entry = json.dumps({"text": "a document that only an entry refers to"}).encode() + b"\n"
    rows = world.dataset_version(data=entry, slug="disguised")
    from registry.events import Ref, emit, unit

    with unit(world.cast.root, role="administrator"):
        emit(
            "dataset_version.registered", other, team=other.dataset.team_id,
            refs=[Ref("keys", str(rows.digest), len(entry))],
        )  # fmt: skip
    assert purge(world, of_dataset_version(rows), second).freed_bytes == 0
    assert storage.is_stored(str(rows.digest))


def test_the_ledger_verifies_after_a_purge_and_a_lost_document_is_still_told_apart(
    world: World, second: Caller
) -> None:
    version = world.version()
    purge(world, of_version(version), second)
    checkpoints.grow()
    report = verify()
    assert (report.ok, report.flaws) == (True, [])
    manifest = storage.path_of(version.digest)
    Path(manifest).unlink()
    found = verify().flaws
    assert [flaw.code for flaw in found] == ["document"]
    assert version.digest in found[0].sentence


def test_over_http_two_people_with_a_receipt_each(world: World) -> None:
    rows = world.dataset_version(slug="asked")
    about = of_dataset_version(rows).reference
    access.grant_membership(
        actor=world.cast.root, person=world.cast.people["otto"], role=Role.COMPLIANCE_OFFICER, team=world.team
    )
    carla, otto = client_for(world.cast, "carla"), client_for(world.cast, "otto")
    made = carla.post("/api/v1/purges", {"about": about, "reason": WHY}, format="json")
    assert (made.status_code, made.json()["state"]) == (201, "requested"), made.content
    door = f"/api/v1/purges/{made.json()['id']}"
    problem(carla.post(f"{door}/confirm"), 403, "own-request")
    problem(client_for(world.cast, "ada").post(f"{door}/confirm"), 403, "forbidden")
    done = otto.post(f"{door}/confirm")
    assert (done.status_code, done.json()["state"]) == (200, "confirmed"), done.content
    assert done["Pressmark-Receipt"]
    assert not storage.is_stored(str(rows.digest))
    assert carla.get("/api/v1/purges", {"about": about}).json()["items"] == [done.json()] == [carla.get(door).json()]
    problem(otto.post(f"{door}/withdraw"), 409, "conflict")

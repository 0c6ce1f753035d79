"""Data profiles: who may ask, what is looked at by the real engine, what is recorded, and what a reader may see."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from audit.verification import replay as ledger
from registry import storage
from registry.access import services as access
from registry.access.models import Role
from registry.compression import profile_tasks, profiling, services_profiles
from registry.compression.heartbeat import Held
from registry.errors import Conflict, Forbidden, Invalid, NotFound
from registry.events import Caller
from registry.provenance import profiles
from registry.provenance.models import DataProfile, DatasetVersion
from tests.compression.situations import events
from tests.compression.test_api import client
from tests.world import World

ROWS = [{"a": number, "b": f"row {number % 40}", "label": "yes" if number % 2 else "no"} for number in range(60)]


def asked(world: World, version: DatasetVersion | None = None, **given: Any) -> DataProfile:
    rows = version or world.dataset_version(ROWS)
    actor: Caller = given.pop("actor", world.cast.ada)
    return services_profiles.request_profile(actor=actor, dataset_version=rows, **given)


def executed(profile: DataProfile) -> DataProfile:
    assert profiling.execute(profile.pk)
    assert ledger.compare() == []
    return DataProfile.objects.select_related("failure", "dataset_version__dataset__team").get(pk=profile.pk)


def told_of(profile: DataProfile) -> list[dict[str, Any]]:
    return [event for event in events() if any(record["id"] == str(profile.pk) for record in event["records"])]


def url(version: DatasetVersion) -> str:
    return (
        f"/api/v1/teams/{version.dataset.team.slug}/datasets/{version.dataset.slug}/versions/{version.number}/profiles"
    )


# --- asking ---


def test_engineers_and_officers_may_ask_and_it_is_recorded(world: World) -> None:
    for actor in (world.cast.ada, world.cast.carla):
        profile = asked(world, actor=actor, label="label")
        (event,) = told_of(profile)
        assert (event["kind"], event["actor"]["id"]) == ("profile.requested", str(actor.actor_id))
        assert profiles.state_of(profile, timezone.now()) == "waiting"


def test_who_has_no_role_for_it_is_refused_and_who_may_not_see_it_finds_nothing(world: World) -> None:
    version = world.dataset_version(ROWS)
    with pytest.raises(Forbidden):
        asked(world, version, actor=world.cast.otto)
    assert client(world, "eve").post(url(version), {}, format="json").status_code == 404


def test_rows_that_are_not_here_cannot_be_looked_at(world: World) -> None:
    declared = world.dataset_version(declared_digest="sha256:" + "a" * 64)
    with pytest.raises(Invalid, match="not stored here"):
        asked(world, declared)
    with pytest.raises(Invalid, match="not stored here"):
        asked(world, against=[declared])


def test_data_are_not_laid_beside_themselves(world: World) -> None:
    version = world.dataset_version(ROWS)
    with pytest.raises(Invalid, match="the very rows"):
        asked(world, version, against=[version])


def test_the_same_question_is_not_asked_twice_while_it_is_open(world: World) -> None:
    version = world.dataset_version(ROWS)
    asked(world, version)
    with pytest.raises(Conflict, match="asked for already"):
        asked(world, version)
    assert asked(world, version, seed=1).settings["seed"] == 1


def test_data_of_a_team_that_the_caller_may_not_read_are_not_found(world: World) -> None:
    other = access.create_team(actor=world.cast.root, slug="others")
    access.grant_membership(actor=world.cast.root, person=world.cast.people["eve"], role=Role.ENGINEER, team=other)
    foreign = world.dataset_version(ROWS, dataset=world.dataset(actor=world.cast.eve, team=other), actor=world.cast.eve)
    with pytest.raises(NotFound):
        asked(world, against=[foreign])


# --- carried out by the real engine ---


@pytest.mark.usefixtures("committed_db")
def test_a_profile_is_measured_sealed_and_read_over_the_api(world: World) -> None:
    first = world.dataset_version(ROWS[:50], slug="tickets")
    version = world.dataset_version([*ROWS, ROWS[3]], slug="tickets")
    training = world.dataset_version(ROWS[5:15], uses=("training",))
    answer = client(world, "ada").post(
        url(version), {"label": "label", "against": [world.reference(training)]}, format="json"
    )
    assert answer.status_code == 201, answer.content
    assert answer.json()["state"] == "waiting"
    row = executed(DataProfile.objects.get(pk=answer.json()["id"]))
    assert row.failure_code is None, row.failure
    shown = client(world, "otto").get(f"/api/v1/profiles/{row.pk}").json()
    assert (shown["state"], shown["attempt"], shown["previous"]) == ("finished", 1, first.digest)
    document = shown["document"]
    assert document["examples"]["duplicates"] == [[4, 61]]
    assert [(entry["digest"], entry["same_rows"]) for entry in document["against"]] == [(training.digest, 10)]
    assert (document["previous"]["rows_added"], document["previous"]["rows_removed"]) == (11, 0)
    kinds = [event["kind"] for event in told_of(row)]
    assert kinds == ["profile.requested", "profile.started", "profile.finished"]
    (ref,) = told_of(row)[-1]["refs"]
    assert (ref["name"], ref["digest"], ref["size_bytes"]) == ("data_profile", row.digest, row.size_bytes)
    assert storage.read_bytes(str(row.digest))
    assert told_of(row)[-1]["actor"]["on_behalf_of"] == str(world.cast.ada.actor_id)
    assert client(world, "eve").get(f"/api/v1/profiles/{row.pk}").status_code == 404


@pytest.mark.usefixtures("committed_db")
def test_a_wrong_label_fails_with_the_columns_that_there_are_and_a_name_beyond_ascii_is_looked_for(
    world: World,
) -> None:
    row = executed(asked(world, label="Größe"))
    assert (row.failure_code, profiles.label_of(row)) == ("label_missing", "Größe")
    assert "Größe" in str(row.failure)
    assert "They have: a, b, label" in str(row.failure)
    assert told_of(row)[-1]["kind"] == "profile.failed"
    assert profiles.state_of(row, timezone.now()) == "failed"


@pytest.mark.usefixtures("committed_db")
def test_stored_rows_that_have_changed_are_not_looked_at(world: World) -> None:
    version = world.dataset_version(ROWS)
    profile = asked(world, version)
    path = storage.path_of(str(version.digest))
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"row 1", b"row 2", 1))
    row = executed(profile)
    assert row.failure_code == "bytes_differ"
    assert row.digest is None


@pytest.mark.usefixtures("committed_db")
def test_what_was_counted_against_data_that_a_reader_may_not_read_is_not_shown_to_him(world: World) -> None:
    other = access.create_team(actor=world.cast.root, slug="others")
    for name in ("eve", "ada"):
        access.grant_membership(actor=world.cast.root, person=world.cast.people[name], role=Role.ENGINEER, team=other)
    foreign = world.dataset_version(
        ROWS[:9], dataset=world.dataset(actor=world.cast.eve, team=other), actor=world.cast.eve
    )
    row = executed(asked(world, against=[foreign]))
    whole, part = (profiles.document_for(caller, row) for caller in (world.cast.ada, world.cast.otto))
    assert whole is not None
    assert part is not None
    assert [entry["same_rows"] for entry in whole["against"]] == [9]
    assert part["against"] == []
    assert str(foreign.digest) not in json.dumps(part)
    for name, against in (("ada", [foreign.digest]), ("otto", [])):
        listed = client(world, name).get(url(row.dataset_version)).json()["items"]
        assert [entry["against"] for entry in listed] == [against]
        assert client(world, name).get(f"/api/v1/profiles/{row.pk}").json()["against"] == against
    assert not [figure for figure in part["figures"] if "seen" in figure["metric"]]
    assert len(part["plain"]) == len(part["figures"]) == len(whole["figures"]) - 4


# --- who works on it ---


def test_of_two_workers_one_gets_it_and_the_other_writes_nothing(world: World) -> None:
    profile = asked(world)
    mine, theirs = uuid.uuid4(), uuid.uuid4()
    assert profiling.claim(profile.pk, mine) is not None
    assert profiling.claim(profile.pk, theirs) is None
    assert profiling.renew(profile.pk, theirs, None) is Held.LOST
    assert profiling.renew(profile.pk, mine, None) is Held.HELD
    assert profiles.state_of(DataProfile.objects.get(pk=profile.pk), timezone.now()) == "working"


def lapse(profile: DataProfile) -> None:
    DataProfile.objects.filter(pk=profile.pk).update(lease_until=timezone.now() - datetime.timedelta(seconds=1))


def test_a_worker_that_came_back_too_late_writes_nothing(world: World) -> None:
    profile, late = asked(world), uuid.uuid4()
    claimed = profiling.claim(profile.pk, late)
    assert claimed is not None
    lapse(profile)
    assert profiling.reap(timezone.now()) == 1
    assert profiling.claim(profile.pk, uuid.uuid4()) is not None
    stored = storage.store_bytes(b"late")
    with pytest.raises(profiling.WorkHalted):
        profiling._succeed(claimed, late, (stored, "0.2.0"))
    assert DataProfile.objects.get(pk=profile.pk).finished_at is None


def test_after_the_last_attempt_it_fails_with_the_reason(world: World) -> None:
    profile = asked(world)
    for _ in range(profiling.ATTEMPTS_MAX):
        assert profiling.claim(profile.pk, uuid.uuid4()) is not None
        lapse(profile)
        profiling.reap(timezone.now())
    row = DataProfile.objects.get(pk=profile.pk)
    assert (row.failure_code, row.attempt, row.owner_token) == ("worker_lost", 3, None)
    assert profiling.claim(profile.pk, uuid.uuid4()) is None
    assert told_of(profile)[-1]["actor"]["via"] == "keeper"


def test_what_nobody_picked_up_is_spoken_of_again_after_a_while_once(world: World, monkeypatch: Any) -> None:
    sent: list[str] = []
    monkeypatch.setattr(profile_tasks.execute_profile, "apply_async", lambda args, **options: sent.append(args[0]))
    profile = asked(world)
    sent.clear()
    assert profile_tasks.resend() == 0
    later = timezone.now() + datetime.timedelta(seconds=31)
    monkeypatch.setattr(profile_tasks.timezone, "now", lambda: later)
    assert [profile_tasks.resend(), profile_tasks.resend()] == [1, 0]
    assert sent == [str(profile.pk)]
    assert profiling.claim(profile.pk, uuid.uuid4()) is not None


def test_no_row_of_a_profile_changes_once_it_has_ended(world: World) -> None:
    profile = asked(world)
    for _ in range(profiling.ATTEMPTS_MAX):
        profiling.claim(profile.pk, uuid.uuid4())
        lapse(profile)
        profiling.reap(timezone.now())
    with pytest.raises(Exception, match="append-only"):
        DataProfile.objects.filter(pk=profile.pk).update(failure_code="other")


def test_arrays_are_looked_at_too(world: World) -> None:
    version = world.dataset_version(data=world.arrays(x=np.zeros((4, 2), np.float32)))
    assert asked(world, version).settings == {"against": [], "label": None, "previous": None, "seed": 0}

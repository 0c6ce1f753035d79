"""A recall stops all that was made from something, in every team, at once; nothing is moved, and owners are told."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.models import Entry
from registry.access import services as access
from registry.access.models import Role, Team
from registry.catalog.edges import EdgeSpec
from registry.catalog.models import ModelVersion
from registry.errors import Blocked, Conflict, Forbidden, Invalid
from registry.events import Caller
from registry.oversight.models import Finding
from registry.oversight.subjects import of_dataset_version, of_licence, of_model, of_version
from registry.provenance import services_licences
from registry.release import queries, recall_reach, services
from registry.release.models import AliasAssignment, Approval
from registry.release.quarantines import quarantined
from registry.release.recall_reach import preview
from registry.release.stopping_models import Quarantine, Recall
from tests.world import World
from tests.worlds.http import api

guarantee = pytest.mark.db_guarantee


def recall(world: World, subject: Any, **changes: Any) -> Recall:
    """By carla, of something of her team."""
    given = {"actor": world.cast.carla, "subject": subject, "reason": "People asked for their data back."}
    return services.start_recall(**{**given, **changes})


def kinds() -> list[str]:
    return [json.loads(bytes(row.entry))["event"]["kind"] for row in Entry.objects.order_by("position")]


def child_elsewhere(world: World, team: Team, parent: ModelVersion, **edge: Any) -> tuple[ModelVersion, Caller]:
    """A version of another team, made from a version of `search` by somebody who may read both."""
    person = world.person(f"zoe-{uuid.uuid4().hex[:6]}", Role.ENGINEER)
    access.grant_membership(actor=world.cast.root, person=person, role=Role.ENGINEER, team=team)
    caller = Caller(actor_id=person.pk, via="cli")
    made = EdgeSpec("base", ("fine-tuned",), "declared", parent=parent)
    model = world.model(team=team, actor=caller, owner=person)
    return world.version(model, seed=901, actor=caller, edges=[made]), caller


def test_everything_made_from_it_is_in_quarantine_and_what_is_live_has_a_finding(world: World) -> None:
    parent, child = world.released_pair()
    before = AliasAssignment.objects.count()
    row = recall(world, of_version(parent))
    assert row.affected == 2
    assert {(q.version_id, q.distance) for q in Quarantine.objects.all()} == {(parent.pk, 0), (child.pk, 1)}
    assert AliasAssignment.objects.count() == before
    (finding,) = Finding.objects.filter(kind="recalled")
    assert (finding.owner, finding.about) == (child.model.owner, child.quarantines.get(ended_at=None).pk)
    assert f"production serves {child.model}@{child.number}" in str(finding.description)
    assert kinds()[-3:] == ["recall.started", "quarantine.opened", "finding.opened"]


def test_nothing_in_quarantine_passes_any_door(world: World) -> None:
    parent, child = world.released_pair()
    other = world.parent_version(parent.model, seed=77)
    approval = world.granted(child, "staging")
    recall(world, of_version(parent))
    with pytest.raises(Conflict) as refused:
        services.promote(actor=world.cast.otto, model=child.model, alias="staging", approval=approval)
    assert refused.value.code == "quarantined"
    with pytest.raises(Blocked, match="quarantine") as way_back:
        services.roll_back(actor=world.cast.otto, model=parent.model, alias="production", reason="r")
    assert [reason for reason in way_back.value.members["reasons"] if "recall" in reason.lower()] == [
        f"It is in quarantine because of a recall of {timezone.now().date().isoformat()}."
    ]
    assert f"`pressmark request-quarantine-release {parent}`" in way_back.value.hint
    with pytest.raises(Conflict) as refused:
        services.break_glass(actor=world.cast.otto, version=parent, alias="production", reason="r")
    assert refused.value.code == "quarantined"
    with pytest.raises(Conflict) as refused:
        queries.resolve(world.cast.otto, f"{child.model}@production")
    assert refused.value.code == "quarantined"
    assert queries.find_version(world.cast.otto, f"{child.model}@production") == child
    assert services.evaluate_gate(actor=world.cast.ada, version=child, alias="production").outcome == "blocked"
    assert services.evaluate_gate(actor=world.cast.ada, version=other, alias="production").outcome == "passed"


@guarantee
def test_the_database_moves_no_alias_to_what_is_in_quarantine_or_purged(world: World) -> None:
    parent, child = world.released_pair()
    recall(world, of_version(parent))
    newest = queries.incumbent(child.model, "production")
    assert newest is not None

    def raw(because: str = "quarantine or purged", **changes: Any) -> None:
        given = {
            "model_id": newest.model_id, "alias": newest.alias, "number": 90, "kind": "promoted", "version_id": newest.version_id,
            "version_digest": newest.version_digest, "approval_id": newest.approval_id, "assigned_by_id": newest.assigned_by_id,
            "assigned_at": timezone.now(),
        }  # fmt: skip
        with pytest.raises(IntegrityError, match=because), transaction.atomic():
            AliasAssignment(**{**given, **changes}).save()

    raw()
    with pytest.raises(IntegrityError, match="once its release was granted"), transaction.atomic():
        Quarantine.objects.filter(version=child).update(ended_at=timezone.now())
    for person in (None, world.cast.people["ada"]):
        with pytest.raises(IntegrityError, match="by somebody who may"), transaction.atomic():
            Recall.objects.update(ended_at=timezone.now(), ended_by=person, ended_reason=Recall.objects.get().reason)
    services.end_recall(actor=world.cast.carla, recall=Recall.objects.get(), reason="It was wrong.")
    services.suspend(actor=world.cast.otto, model=child.model, alias="production", reason="Its bytes go.")
    approval = Approval.objects.get(pk=newest.approval_id)
    services.revoke_approval(actor=world.cast.omar, approval=approval, reason="Nobody is to go back to it.")
    world.purged(child)
    raw("quarantine or purged|a granted approval")  # which of two guards speaks first is the database's choice


def test_other_teams_are_reached_and_named_to_themselves_alone(world: World, outsider_team: Team) -> None:
    parent = world.parent_version()
    foreign, caller = child_elsewhere(world, outsider_team, parent)
    officer = Caller(actor_id=world.person("cleo", Role.COMPLIANCE_OFFICER).pk, via="cli")
    found = preview(officer, of_version(parent))
    assert (found.versions, found.teams, found.models, found.hidden) == (2, 2, 2, 1)
    assert [item.version for item in found.shown] == [parent]
    assert not Recall.objects.exists()
    recall(world, of_version(parent), actor=officer)
    assert [r.subject for r in quarantined(foreign)] == [str(parent.model) + f"@{parent.number}"]
    (event,) = [
        json.loads(bytes(row.entry))["event"]
        for row in Entry.objects.filter(stream=f"model:{foreign.model_id}").order_by("position")
        if b'"quarantine.opened"' in bytes(row.entry)
    ]
    assert event["team"] == str(outsider_team.pk)
    assert preview(caller, of_version(parent)).hidden == 0


def test_owners_elsewhere_learn_of_theirs_alone_and_readers_without_the_right_count_nothing_of_others(
    world: World, outsider_team: Team
) -> None:
    parent = world.parent_version()
    world.derived_version(parent, seed=44)
    foreign, _ = child_elsewhere(world, outsider_team, parent)
    access.grant_membership(
        actor=world.cast.root, person=world.cast.people["eve"], role=Role.COMPLIANCE_OFFICER, team=outsider_team
    )
    reader = preview(world.cast.otto, of_version(parent))
    assert (reader.whole, reader.versions, reader.models, reader.teams, reader.hidden) == (False, 2, 1, 1, 0)
    officer = Caller(actor_id=world.person("cleo", Role.COMPLIANCE_OFFICER).pk, via="cli")
    row = recall(world, of_version(parent), actor=officer)
    told = api("cleo").get(f"/api/v1/recalls/{row.pk}").json()
    stops = told["stops"]
    assert (told["affected"], stops["versions"], stops["hidden"], stops["whole"]) == (3, 3, 1, True)
    answer = api("eve").get(f"/api/v1/recalls/{row.pk}")
    theirs = answer.json()
    counted = {name: theirs["stops"][name] for name in ("whole", "versions", "models", "teams", "live", "hidden")}
    assert counted == {"whole": False, "versions": 1, "models": 1, "teams": 1, "live": 0, "hidden": 0}
    assert (theirs["affected"], theirs["about"], theirs["reason"]) == (None, "a version of another team", None)
    assert [item["version"] for item in theirs["stops"]["shown"]] == [str(foreign)]
    for secret in (str(parent.pk), str(parent.model.pk), parent.digest, parent.model.slug, str(world.team.pk)):
        assert secret not in answer.content.decode()
    for door in ("end", ""):
        refused = api("eve").post(f"/api/v1/recalls/{row.pk}/{door}".rstrip("/"), {"reason": "Ours."}, format="json")
        assert refused.status_code in (403, 405)


def test_recalls_are_listed_page_by_page_and_found_by_what_was_recalled(world: World, outsider_team: Team) -> None:
    versions = [world.version(world.governed_model(), seed=seed) for seed in (21, 22, 23)]
    rows = [recall(world, of_version(version)) for version in versions]
    client = api("otto")
    first = client.get("/api/v1/recalls?limit=2").json()
    rest = client.get(f"/api/v1/recalls?limit=2&after={first['next']}").json()
    assert [item["id"] for item in [*first["items"], *rest["items"]]] == [str(row.pk) for row in reversed(rows)]
    named = f"version:{versions[1]}"
    assert [item["id"] for item in client.get(f"/api/v1/recalls?about={named}").json()["items"]] == [str(rows[1].pk)]
    services.end_recall(actor=world.cast.carla, recall=rows[1], reason="It was wrong.")
    assert client.get(f"/api/v1/recalls?about={named}").json()["items"] == []
    access.grant_membership(
        actor=world.cast.root, person=world.cast.people["eve"], role=Role.ENGINEER, team=outsider_team
    )
    assert api("eve").get("/api/v1/recalls").json()["items"] == []
    assert api("eve").get(f"/api/v1/recalls/{rows[0].pk}").status_code == 404


def test_a_licence_is_recalled_by_what_it_says_whichever_of_its_rows_is_named(world: World) -> None:
    texts = [world.upload(text).digest for text in (b"You may look.", b"You may look, and listen.")]
    older, newer = (
        services_licences.register_licence(
            actor=world.cast.ada, team=world.team, expression="LicenseRef-own", text_digest=digest
        )
        for digest in texts
    )
    assert older.pk != newer.pk
    model = world.governed_model()
    version = world.version(model, seed=41, licence="LicenseRef-own")
    officer = world.officer()
    row = recall(world, of_licence(older), actor=officer)
    assert quarantined(version) == [row]
    assert quarantined(world.version(model, seed=42, licence="LicenseRef-own")) == [row]
    with pytest.raises(Conflict, match="recalled already"):
        recall(world, of_licence(newer), actor=officer)


@guarantee
def test_the_database_stops_the_same_files_under_another_model_even_where_no_recall_was_written_for_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.parent_version()
    twin = world.parent_version(world.model(use_case=first.model.use_case))
    assert twin.digest == first.digest
    move = world.promoted(twin)
    with monkeypatch.context() as patch:
        patch.setattr(recall_reach, "_same_weights", lambda versions: ())
        row = recall(world, of_version(first))
    assert not quarantined(twin)
    fields = {f.attname: getattr(move, f.attname) for f in move._meta.concrete_fields if not f.primary_key}
    again = AliasAssignment(**{**fields, "number": 2, "assigned_at": timezone.now()})
    with pytest.raises(IntegrityError, match="quarantine or purged"), transaction.atomic():
        again.save(force_insert=True)
    services.end_recall(actor=world.cast.carla, recall=row, reason="It was wrong.")
    again.save(force_insert=True)


@guarantee
def test_the_database_lets_no_officer_of_another_team_end_a_recall(world: World, outsider_team: Team) -> None:
    row = recall(world, of_version(world.parent_version()))
    zoe = world.person("zoe")
    access.grant_membership(actor=world.cast.root, person=zoe, role=Role.COMPLIANCE_OFFICER, team=outsider_team)
    ended = {"ended_at": timezone.now(), "ended_reason": row.reason}
    with pytest.raises(IntegrityError, match="by somebody who may"), transaction.atomic():
        Recall.objects.update(**ended, ended_by=zoe)
    access.grant_membership(actor=world.cast.root, person=zoe, role=Role.COMPLIANCE_OFFICER, team=world.team)
    assert Recall.objects.update(**ended, ended_by=zoe) == 1


@pytest.mark.parametrize("what", ["data", "data by digest", "licence", "corrected licence", "same weights"])
def test_what_is_made_later_is_in_quarantine_from_its_registration(world: World, what: str) -> None:
    data = world.dataset_version(uses=["training"])
    model = world.governed_model()
    nc = world.licence("CC-BY-NC-4.0")
    first = world.version(model, seed=31, edges=[EdgeSpec("data", (), "declared", dataset_version=data)])
    subject = of_licence(nc) if "licence" in what else of_dataset_version(data)
    if what == "same weights":
        subject = of_version(first)
    row = recall(world, subject, actor=world.officer())
    assert row.affected == (0 if "licence" in what else 1)
    if what == "data":
        later = world.version(model, seed=32, edges=[EdgeSpec("data", (), "declared", dataset_version=data)])
    elif what == "data by digest":
        outside = EdgeSpec("data", (), "declared", parent_digest=data.digest)
        later = world.version(model, seed=32, edges=[outside])
    elif what == "licence":
        later = world.version(model, seed=32, licence=nc.expression)
    elif what == "corrected licence":
        from registry.catalog.services_corrections import correct_version

        later = world.version(model, seed=32)
        assert not quarantined(later)
        correct_version(actor=world.cast.carla, version=later, licence=nc, reason="The card says so.")
    else:
        later = world.version(world.model(), seed=31)
    assert quarantined(later) == [row]
    grandchild = world.derived_version(later)
    assert quarantined(grandchild) == [row]
    services.end_recall(actor=world.cast.carla, recall=row, reason="It was cleared.")
    assert not quarantined(later)
    assert not quarantined(grandchild)
    assert not quarantined(world.version(model, seed=35, licence=nc.expression))


def test_a_recalled_licence_reaches_expressions_that_name_it_and_what_its_data_made(world: World) -> None:
    model = world.governed_model()
    named = world.version(model, seed=41, licence="MIT AND CC-BY-NC-4.0")
    free = world.version(model, seed=42, licence="MIT")
    child = world.derived_version(named, seed=43)
    row = recall(world, of_licence(world.licence("CC-BY-NC-4.0")), actor=world.officer())
    assert {q.version_id for q in row.quarantines.all()} == {named.pk, child.pk}
    assert not quarantined(free)


def test_the_same_files_in_another_line_and_what_was_made_of_them_are_reached(world: World) -> None:
    first = world.version(world.governed_model(), seed=51)
    washed = world.version(world.model(), seed=51)
    child = world.derived_version(washed, seed=52)
    row = recall(world, of_version(first))
    assert {q.version_id for q in row.quarantines.all()} == {first.pk, washed.pk, child.pk}


def test_a_circle_that_somebody_wrote_into_the_lineage_is_stopped_as_well_and_ends(world: World) -> None:
    first = world.parent_version()
    second = world.derived_version(first, seed=91)
    third = world.derived_version(second, seed=92)
    edge = third.parent_edges.get()
    fields = {f.attname: getattr(edge, f.attname) for f in edge._meta.concrete_fields if not f.primary_key}
    fields |= {"child_id": first.pk, "model_id": first.model_id, "parent_id": third.pk, "parent_digest": third.digest}
    type(edge)(**fields).save(force_insert=True)
    row = recall(world, of_version(second))
    assert {(q.version_id, q.distance) for q in row.quarantines.all()} == {(second.pk, 0), (third.pk, 1), (first.pk, 2)}
    assert quarantined(world.derived_version(first, seed=93)) == [row]
    services.end_recall(actor=world.cast.carla, recall=row, reason="It was wrong.")
    assert not Quarantine.objects.filter(ended_at=None).exists()


def test_who_may_recall_what_and_only_once_at_a_time(world: World, outsider_team: Team) -> None:
    parent = world.parent_version()
    subject = of_version(parent)
    for who in ("ada", "omar", "otto", "eve", "root"):
        with pytest.raises(Forbidden):
            recall(world, subject, actor=getattr(world.cast, who))
    with pytest.raises(Invalid, match="reason is empty"):
        recall(world, subject, reason=" ")
    with pytest.raises(Invalid, match="can be recalled"):
        recall(world, of_model(parent.model))
    with pytest.raises(Forbidden):
        officer = Caller(actor_id=world.person("cleo", Role.COMPLIANCE_OFFICER).pk, via="cli")
        recall(world, of_licence(parent.licence), actor=officer)  # a licence is everybody's: an officer of the instance
    first = recall(world, subject)
    with pytest.raises(Conflict, match="recalled already"):
        recall(world, subject)
    services.end_recall(actor=world.cast.carla, recall=first, reason="A mistake.")
    with pytest.raises(Conflict, match="ended already"):
        services.end_recall(actor=world.cast.carla, recall=first, reason="A mistake.")
    assert recall(world, subject).pk != first.pk


def test_a_failure_half_way_leaves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    parent, _ = world.released_pair()
    from registry.release.services import recalls

    def fail(*given: Any) -> None:
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr(recalls, "_open_findings", fail)
    with pytest.raises(RuntimeError):
        recall(world, of_version(parent))
    assert not Recall.objects.exists()
    assert not Quarantine.objects.exists()


def test_more_than_one_act_holds_is_refused_whole_with_the_numbers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from registry.release.services import recalls

    parent, _ = world.released_pair()
    monkeypatch.setattr(recalls, "MAX_EVENTS_PER_UNIT", 2)
    with pytest.raises(Conflict, match="2 versions in 1 lines of models, 1 of them live: 3 events"):
        recall(world, of_version(parent))
    assert not Quarantine.objects.exists()


def test_many_versions_of_one_line_are_sealed_in_events_that_hold(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from registry.release.services import recalls

    monkeypatch.setattr(recalls, "QUARANTINES_PER_EVENT", 2)
    parent = world.parent_version()
    for seed in range(61, 65):
        world.derived_version(parent, seed=seed)
    recall(world, of_version(parent))
    assert kinds().count("quarantine.opened") == 3
    services.end_recall(actor=world.cast.carla, recall=Recall.objects.get(), reason="A mistake.")
    assert kinds().count("quarantine.ended") == 3
    assert not Quarantine.objects.filter(ended_at=None).exists()


def test_a_full_event_of_quarantines_fits(world: World) -> None:
    from registry.digests import canonical
    from registry.images import image
    from registry.release.services.recalls import QUARANTINES_PER_EVENT

    recall(world, of_version(world.parent_version()))
    row = Quarantine.objects.get()
    row.distance, row.ended_at = 2**31 - 1, timezone.now()
    sealed = canonical({"id": str(row.pk), "row": image(row), "type": "release.quarantine/1"})
    assert len(sealed) * QUARANTINES_PER_EVENT < 64_000

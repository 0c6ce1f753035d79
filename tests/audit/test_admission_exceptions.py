"""What is out of the ordinary, as admission sees it: emergencies, recalls, places, lapses that somebody was told of."""

from __future__ import annotations

import datetime
from dataclasses import replace

from django.utils import timezone

from registry.catalog.models import ModelVersion
from registry.catalog.services_corrections import correct_version
from registry.digests import parse_time
from registry.oversight.models import Finding
from registry.oversight.services import close_finding
from registry.oversight.subjects import of_version
from registry.release import services
from registry.release.admission import Asked, decide
from registry.release.admission_facts import LAPSED, facts_of
from registry.release.quarantines import quarantines_of
from registry.release.services.lapses import KIND, open_lapse_findings
from tests.audit.test_ask_admission import ask, verdict
from tests.release.test_terms_changed import rule
from tests.world import World
from tests.worlds.catalog import figure
from tests.worlds.http import api

SECOND = datetime.timedelta(seconds=1)


def test_broken_glass_admits_until_its_end_and_the_verdict_never_lasts_longer(world: World) -> None:
    def brief(document: dict[str, object]) -> None:
        document["break_glass_hours"] = 1

    world.policy(change=brief)
    version = world.parent_version()
    move = services.break_glass(actor=world.cast.otto, version=version, alias="production", reason="All else is down.")
    said = ask(api("otto"), digest=version.digest, alias="production", served=True)["predicate"]
    assert (said["decision"], said["standing"]) == ("yes", "broken-glass")
    assert said["bound"]["broken_glass"] == str(move.broken_glass_id)
    assert move.broken_glass is not None
    assert said["bound"]["policy"] == move.broken_glass.policy.digest
    assert parse_time(said["expires_at"]) <= move.broken_glass.expires_at
    assert verdict(api("otto"), digest=version.digest, alias="staging") == ("no", None, ["not-approved"])


def test_a_recalled_version_is_admitted_nowhere_until_it_is_released(world: World) -> None:
    version = world.parent_version()
    world.promoted(version)
    client = api("otto")
    services.start_recall(actor=world.cast.carla, subject=of_version(version), reason="The labels were wrong.")
    said = ask(client, digest=version.digest)["predicate"]
    assert (said["decision"], [r["code"] for r in said["reasons"]]) == ("no", ["quarantined"])
    assert said["reasons"][0]["text"] == "It is in quarantine: The version was recalled."
    held = quarantines_of(version).get()
    services.request_quarantine_release(actor=world.cast.ada, quarantine=held, reason="Trained without them.")
    services.grant_quarantine_release(actor=world.cast.omar, quarantine=held, reason="Seen.")
    assert verdict(client, digest=version.digest)[:2] == ("yes", "served")


def test_what_was_made_from_something_recalled_is_no_either(world: World) -> None:
    parent, child = world.released_pair()
    services.start_recall(actor=world.cast.carla, subject=of_version(parent), reason="It was stolen.")
    assert verdict(api("otto"), digest=child.digest) == ("no", None, ["quarantined"])


def test_an_approval_for_one_target_admits_there_and_only_while_it_is_what_was_approved(world: World) -> None:
    version, edge = world.parent_version(), world.target("edge")
    approval = services.request_approval(
        actor=world.cast.ada, version=version, alias="production", reason="For the edge.", target=edge
    )
    services.grant_approval(actor=world.cast.omar, approval=approval, reason="Fine there.")
    client = api("otto")
    assert verdict(client, digest=version.digest) == ("no", None, ["other-target"])
    for name in ("edge", "edge@1"):
        said = ask(client, digest=version.digest, target=name)["predicate"]
        assert said["decision"] == "yes"
        assert (said["asked"]["target"], said["asked"]["target_meant"]) == (name, "search/edge@1")
    world.target("phone")
    assert verdict(client, digest=version.digest, target="phone") == ("no", None, ["other-target"])
    world.target("edge", hardware="2 cores, 2 GB")
    assert verdict(client, digest=version.digest, target="edge@1") == ("no", None, ["target-unknown"])
    assert verdict(client, digest=version.digest, target="edge")[0] == "no"


def test_the_grace_of_a_lapse_runs_from_when_the_keeper_told_the_owner(world: World) -> None:
    version = world.parent_version()
    move = world.promoted(version)
    world.evidence(version, "size", [figure("size_bytes", "1", "byte")])
    assert KIND == LAPSED
    assert open_lapse_findings() == 1
    told = Finding.objects.get(about=move.pk)
    facts, asked = facts_of(fresh(version), Asked("production"), told.created_at)
    grace = datetime.timedelta(hours=72)
    for at, decision in ((grace - SECOND, "yes"), (grace, "no")):
        answer = decide(replace(facts, at=told.created_at + at), asked)
        assert answer.decision == decision
    assert decide(facts, asked).until == told.created_at + grace


def fresh(version: ModelVersion) -> ModelVersion:
    return ModelVersion.objects.select_related("model__team", "model__use_case").get(pk=version.pk)


def later(version: ModelVersion, hours: int) -> tuple[str, list[str]]:
    """What the answer for production will be in some hours, if nothing happens until then."""
    facts, asked = facts_of(fresh(version), Asked("production"), timezone.now())
    answer = decide(replace(facts, at=facts.at + datetime.timedelta(hours=hours)), asked)
    return answer.decision, [reason.code for reason in answer.reasons]


def test_what_was_corrected_after_the_grant_goes_on_for_the_grace_of_a_lapse_and_then_needs_a_new_grant(
    world: World,
) -> None:
    version = world.parent_version()
    world.promoted(version)
    world.granted(version, "staging")
    correct_version(actor=world.cast.carla, version=version, licence=world.licence("MIT"), reason="It is under MIT.")
    assert verdict(api("otto"), digest=version.digest, alias="production")[:2] == ("yes", "lapse-grace")
    assert verdict(api("otto"), digest=version.digest, alias="staging") == ("no", None, ["corrected-since"])
    assert later(version, 71) == ("yes", ["lapse-grace"])
    assert later(version, 72) == ("no", ["corrected-since"])
    services.revoke_approval(
        actor=world.cast.omar, approval=version.approvals.get(alias="production"), reason="Look again."
    )
    assert verdict(api("otto"), digest=version.digest, alias="production") == ("no", None, ["approval-revoked"])
    world.granted(version)
    assert verdict(api("otto"), digest=version.digest)[:2] == ("yes", "served")


def test_a_ruling_that_the_policy_cannot_pass_has_the_grace_of_a_lapse_and_a_milder_one_stops_nothing(
    world: World,
) -> None:
    version = world.parent_version()
    move = world.promoted(version)
    world.granted(version, "staging")
    rule(world, version.licence, "conditions")
    assert later(version, 1000) == ("yes", ["served"])
    close_finding(actor=world.cast.omar, finding=Finding.objects.get(about=move.pk), closure="Conditions are kept.")
    rule(world, version.licence, "forbidden")
    assert later(version, 71) == ("yes", ["lapse-grace"])
    assert later(version, 73) == ("no", ["terms-forbidden"])
    assert verdict(api("otto"), digest=version.digest, alias="staging") == ("no", None, ["terms-forbidden"])
    close_finding(actor=world.cast.omar, finding=Finding.objects.get(closed_at=None), closure="Nothing to see.")
    assert later(version, 73) == ("no", ["terms-forbidden"]), "closing a finding allows nothing"
    world.waiver(version, "commercial-use")
    assert later(version, 73) == ("yes", ["served"])

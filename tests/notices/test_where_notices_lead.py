"""Every line of the table of notices, with real rows: where it leads exists, and whoever is told may open it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest
from django.test import Client
from django.utils import timezone

from registry.access import services as access
from registry.access.models import Membership, Responsibility, Role
from registry.catalog.models import Edge, ModelVersion
from registry.catalog.services_corrections import correct_version
from registry.compression.services_profiles import request_profile
from registry.events import emit, unit
from registry.governed import GovernedModel
from registry.images import image, record_type_of
from registry.notices import outbox, reminders, services
from registry.notices.models import Outgoing
from registry.notices.rules import REMINDERS, RULES
from registry.oversight import services as oversight
from registry.oversight import services_tiers, tiers
from registry.oversight.models import Finding
from registry.oversight.queries import team_of_stream
from registry.oversight.services_proofs import place_hold, sign_review
from registry.oversight.subjects import of_dataset, of_dataset_version, of_version
from registry.release import services as release
from registry.release.models import Approval, Waiver
from registry.release.services.alias_rules import author_alias_rule
from registry.release.services.purges import request_purge
from registry.release.stopping_models import Quarantine
from tests.provenance.test_author_ruling import author, own_licence
from tests.world import World

Rows = dict[str, GovernedModel]
LEADS_NOWHERE = {"key.rotated", "key.revoked", "ledger.reopened"}
"""What concerns the whole ledger is done on the command line."""


@pytest.fixture
def rows(world: World) -> Rows:
    """One real row for each word before the point of a kind."""
    cast, team = world.cast, world.team
    for name, role in (("vera", Role.AUDITOR), ("lena", Role.COMPLIANCE_OFFICER), ("paul", Role.APPROVER)):
        ends = timezone.now() + datetime.timedelta(days=30)
        access.grant_membership(actor=cast.root, person=world.person(name), role=role, team=None, expires_at=ends)
    parent, child, incident = world.drifted()
    data = world.dataset_version(uses=("training",))
    world.waiver(child)
    deputyship = world.deputy("dora")
    policy = release.author_policy(actor=cast.root, slug="other", document=world.policy_document())
    table = services_tiers.author_tier_table(actor=cast.root, document=tiers.ready_made())
    ruling = author(world, own_licence(world), actor=cast.carla)
    rule = author_alias_rule(actor=cast.carla, team=team, alias="production", action="promote", role="approver")
    purge = request_purge(actor=cast.root, subject=of_dataset_version(data), reason="The contract ended.")
    hold = place_hold(actor=cast.carla, subject=of_dataset(data.dataset), reason="A dispute.")
    review = sign_review(
        actor=cast.carla, subject=of_version(child), kind="vetting", accepted=True, statement="Read.",
        next_on=timezone.now().date() + datetime.timedelta(days=9),
    )  # fmt: skip
    statement = oversight.sign_attestation(
        actor=cast.carla, stream=f"model:{child.model_id}", team_id=team.pk, framework="nist-ai-rmf-1.0",
        requirement="GOVERN 1.1", statement="It is so.", expires_at=timezone.now() + datetime.timedelta(days=9),
    )  # fmt: skip
    hook, _ = services.register_webhook(actor=cast.root, url="https://hooks.example.org/", kinds=["*"], team=team)
    token, _ = access.create_token(actor=cast.ada, person=cast.people["ada"])
    release.break_glass(actor=cast.otto, version=parent, alias="canary", reason="Customers are down.")
    cast.service_account("robot")
    recall = release.start_recall(actor=cast.carla, subject=of_version(parent), reason="Asked for.")
    stopped = Quarantine.objects.filter(version=child).get()
    release.request_quarantine_release(actor=cast.ada, quarantine=stopped, reason="Not used.")
    run = world.run(child)
    profile = request_profile(actor=cast.ada, dataset_version=data)
    return {
        "approval": Approval.objects.filter(version=child).get(), "waiver": Waiver.objects.get(version=child),
        "alias": child.assignments.get(), "version": _corrected(world, parent),
        "recall": recall, "quarantine": stopped, "purge": purge, "hold": hold,
        "incident": incident, "finding": Finding.objects.filter(kind="recalled")[0], "run": run, "policy": policy,
        "edge": Edge.objects.filter(child=child)[0], "profile": profile,
        "tier_table": table, "ruling": ruling, "alias_rule": rule, "use_case": child.model.use_case,
        "dataset_version": data, "responsibility": Responsibility.objects.get(), "webhook": hook,
        "deputyship": deputyship, "membership": Membership.objects.filter(team=team)[0],
        "token": token, "attestation": statement, "review": review,
    }  # fmt: skip


def _corrected(world: World, version: ModelVersion) -> GovernedModel:
    return correct_version(
        actor=world.cast.carla, version=version, training_data="incomplete", reason="Half of the rows are not known."
    )


def _tell(kind: str, rows: Rows, world: World) -> Iterator[Outgoing]:
    """The notices to people of one line of the table."""
    row = rows[kind.partition(".")[0]]
    Outgoing.objects.all().delete()
    if kind in REMINDERS:
        outbox.write_reminders(
            [reminders.happening(kind, row, 2, datetime.date(2030, 1, 1), timezone.now())], timezone.now()
        )
    else:
        stream = record_type_of(type(row)).stream(row.pk, image(row))
        team = world.team.pk if stream.startswith("monitor:") else team_of_stream(stream)
        with unit(world.cast.eve, role="system"):
            emit(kind, row, team=team)
    yield from Outgoing.objects.exclude(actor=None).select_related("actor")


def _kinds() -> list[str]:
    told = {kind: rule for kind, rule in {**RULES, **REMINDERS}.items() if rule.to}
    return sorted(kind for kind in told if kind not in LEADS_NOWHERE)


def test_every_notice_leads_to_a_page_that_whoever_is_told_may_open(world: World, rows: Rows) -> None:
    personal = {kind for kind, rule in {**RULES, **REMINDERS}.items() if rule.personal}
    browsers: dict[str, Client] = {}
    wrong = []
    for kind in _kinds():
        told = list(_tell(kind, rows, world))
        if not told:
            wrong.append(f"{kind}: nobody was told")
        for notice in told:
            assert notice.actor is not None
            path, name = notice.body["path"], notice.actor.username
            if kind in personal:
                assert path == ""
                continue
            if name not in browsers:
                browsers[name] = Client()
                browsers[name].force_login(notice.actor)
            status = browsers[name].get(path).status_code if path else "no link"
            if status != 200:
                wrong.append(f"{kind}, {name}: {path} {status}")
    assert wrong == []

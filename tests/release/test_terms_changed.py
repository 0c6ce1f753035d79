"""What a ruling or a correction does to releases: the gate judges with it, approvals stay, owners of what is live are told."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from registry.access import services as access
from registry.access.models import Role
from registry.catalog import services_corrections
from registry.catalog.models import ModelVersion
from registry.errors import Forbidden
from registry.events import Caller
from registry.oversight.models import Finding
from registry.oversight.services import close_finding
from registry.provenance import services_licences
from registry.provenance.models import Licence
from registry.release import queries, services
from tests.provenance.test_author_ruling import author, own_licence
from tests.world import World


def rule(world: World, licence: Licence, answer: str) -> Any:
    answers = {"commercial_use": {"answer": answer, "sentence": "Section 4 says so in plain words."}}
    ruling = author(world, licence, answers)
    return services_licences.approve_ruling(actor=world.cast.root, ruling=ruling)


def correct(world: World, version: ModelVersion, licence: str) -> None:
    services_corrections.correct_version(
        actor=world.cast.carla, version=version, licence=world.licence(licence), reason="The card says so."
    )  # fmt: skip


def officer_of_the_instance(world: World, name: str) -> Caller:
    person = world.person(name)
    access.grant_membership(actor=world.cast.root, person=person, role=Role.COMPLIANCE_OFFICER, team=None)
    return Caller(actor_id=person.pk, via="cli")


def gate(world: World, version: ModelVersion) -> str:
    return services.evaluate_gate(actor=world.cast.ada, version=version, alias="production").outcome


def test_a_ruling_that_forbids_blocks_at_the_gate_and_opens_a_finding_for_the_owner_of_what_is_live(
    world: World,
) -> None:
    version = world.parent_version()
    move = world.promoted(version)
    assert gate(world, version) == "passed"
    rule(world, version.licence, "forbidden")
    assert gate(world, version) == "blocked"
    (finding,) = Finding.objects.filter(kind="terms-changed")
    assert (finding.about, finding.owner_id, finding.stream) == (
        move.pk,
        version.model.owner_id,
        f"model:{version.model_id}",
    )
    assert "commercial use was allowed, is forbidden" in str(finding.description)
    assert "admission goes on for 72 hours and then says no" in str(finding.description)
    assert finding.due_on == (finding.created_at + datetime.timedelta(hours=72)).date()
    assert queries.approvals_of(version)[0].decisions.count() == 1  # nothing was taken back
    assert queries.incumbent(version.model, "production") == move


def test_a_second_change_does_not_pile_up_findings_and_after_closing_it_opens_another(world: World) -> None:
    version = world.parent_version()
    world.promoted(version)
    rule(world, version.licence, "forbidden")
    rule(world, version.licence, "conditions")
    (first,) = Finding.objects.filter(kind="terms-changed")
    close_finding(actor=world.cast.omar, finding=first, closure="Read and accepted.")
    rule(world, version.licence, "forbidden")
    rule(world, version.licence, "conditions")
    assert Finding.objects.filter(kind="terms-changed", closed_at=None).count() == 1


def test_a_correction_of_an_ancestor_reaches_what_is_live_below_it(world: World) -> None:
    parent, child = world.released_pair()
    correct(world, parent, "CC-BY-NC-4.0")
    (finding,) = Finding.objects.filter(kind="terms-changed")
    assert child.model.slug in finding.subject
    assert gate(world, child) == "blocked"


def test_whatever_is_corrected_about_what_is_live_is_told_to_its_owner_for_admission_ends_with_it(world: World) -> None:
    version = world.parent_version()
    world.promoted(version)
    services_corrections.correct_version(
        actor=world.cast.carla, version=version, training_data="unknown", reason="Nobody has the list."
    )  # fmt: skip
    finding = Finding.objects.get(kind="terms-changed")
    assert finding.owner_id == world.cast.people["ada"].pk
    assert "training data was complete, is unknown" in (finding.description.value or "")


def test_what_is_not_live_gets_no_finding(world: World) -> None:
    correct(world, world.parent_version(), "CC-BY-NC-4.0")
    assert not Finding.objects.exists()


def test_unknown_terms_of_data_block_until_a_ruling_decides_them(world: World) -> None:
    digest = world.upload(b"An odd licence of a data vendor.").digest
    own = services_licences.register_licence(
        actor=world.cast.ada, team=world.team, expression="LicenseRef-vendor", text_digest=digest
    )  # fmt: skip
    version = world.version(world.governed_model(), licence=own.expression)
    assert gate(world, version) == "blocked"
    free = {
        term: {"answer": "allowed", "sentence": "Granted without condition in section 1."}
        for term in own.terms["answers"]
    }
    ruling = author(world, own, free)
    services_licences.approve_ruling(actor=world.cast.root, ruling=ruling)
    assert gate(world, version) == "passed"


def test_who_corrected_a_licence_does_not_close_what_that_opened(world: World) -> None:
    parent, _ = world.released_pair()
    correct(world, parent, "CC-BY-NC-4.0")
    finding = Finding.objects.get(kind="terms-changed")
    with pytest.raises(Forbidden, match="Your own act"):
        close_finding(actor=world.cast.carla, finding=finding, closure="Nothing to see.")
    assert close_finding(actor=world.cast.omar, finding=finding, closure="Rolled back.").state == "closed"


def test_neither_who_wrote_a_ruling_nor_who_approved_it_closes_what_it_opened(world: World) -> None:
    version = world.parent_version()
    world.promoted(version)
    dora = officer_of_the_instance(world, "dora")
    answers = {"commercial_use": {"answer": "forbidden", "sentence": "Section 4 says so in plain words."}}
    services_licences.approve_ruling(actor=dora, ruling=author(world, version.licence, answers))
    finding = Finding.objects.get(kind="terms-changed")
    for who in (world.cast.carla, dora):
        with pytest.raises(Forbidden, match="somebody else has to close"):
            close_finding(actor=who, finding=finding, closure="Nothing to see.")
    assert close_finding(actor=world.cast.omar, finding=finding, closure="Rolled back.").state == "closed"


def test_who_changes_terms_while_the_finding_is_open_does_not_close_it_and_other_rulings_do_not_matter(
    world: World,
) -> None:
    parent, _ = world.released_pair()
    carl, dora = (
        Caller(actor_id=world.person(name, Role.COMPLIANCE_OFFICER).pk, via="cli") for name in ("carl", "dora")
    )
    correct(world, parent, "CC-BY-NC-4.0")
    finding = Finding.objects.get(kind="terms-changed")
    services_corrections.correct_version(
        actor=carl, version=parent, licence=world.licence("MIT"), reason="The file says so."
    )
    with pytest.raises(Forbidden, match="corrected what changed"):
        close_finding(actor=carl, finding=finding, closure="Nothing to see.")
    answers = {"commercial_use": {"answer": "allowed", "sentence": "Section 4 says so in plain words."}}
    ruling = author(world, own_licence(world), answers, actor=dora)
    services_licences.approve_ruling(actor=world.cast.root, ruling=ruling)
    assert close_finding(actor=dora, finding=finding, closure="Read; MIT after all.").state == "closed"

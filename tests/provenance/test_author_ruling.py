"""Rulings: a named person answers terms on the ground of a document; somebody else puts them in force, for every team."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, connection

from registry.access import services as access
from registry.access.models import Role
from registry.errors import Conflict, Forbidden, Invalid
from registry.events import Caller
from registry.provenance import services_licences as services
from registry.provenance.licences import TERMS
from registry.provenance.models import Document, Licence, LicenceRuling
from registry.provenance.queries import terms_in_force
from registry.provenance.services_documents import attach_document
from tests.world import World

OWN = "LicenseRef-acme-eula"
FREE = {"commercial_use": {"answer": "allowed", "sentence": "Section 2 grants use for any purpose."}}


def own_licence(world: World, text: bytes = b"You may use it.", name: str = OWN) -> Licence:
    digest = world.upload(text).digest
    return services.register_licence(actor=world.cast.ada, team=world.team, expression=name, text_digest=digest)


def opinion(world: World, licence: Licence, content: bytes = b"Our counsel read it.") -> Document:
    digest = world.upload(content, actor=world.cast.carla).digest
    return attach_document(
        actor=world.cast.carla, subject=services.subject_of(licence), kind="legal-opinion", digest=digest
    )


def author(world: World, licence: Licence, answers: Any = FREE, *, actor: Caller | None = None) -> LicenceRuling:
    document = Document.objects.filter(about=licence.pk, kind="legal-opinion").first() or opinion(world, licence)
    return services.author_ruling(
        actor=actor or world.cast.carla, licence=licence, answers=answers, reason="Read with counsel.", document=document
    )  # fmt: skip


def answer(licence: Licence, term: str = "commercial_use") -> str:
    return terms_in_force([licence.pk])[licence.pk]["answers"][term]["answer"]


def test_the_text_of_a_team_is_a_licence_of_its_own_whose_terms_are_unknown(world: World) -> None:
    licence = own_licence(world)
    assert (licence.expression, licence.number) == (OWN, 1)
    assert {answer(licence, term) for term in TERMS} == {"unknown"}
    (document,) = Document.objects.filter(about=licence.pk)
    assert (document.kind, document.digest) == ("licence-text", licence.text_digest)
    assert own_licence(world).pk == licence.pk
    assert world.licence("licenseref-ACME-eula").pk == licence.pk


def test_another_text_is_another_number_and_earlier_rulings_are_not_about_it(world: World) -> None:
    first = own_licence(world)
    services.approve_ruling(actor=world.cast.root, ruling=author(world, first))
    second = own_licence(world, b"You may not use it.")
    assert (second.expression, second.number) == (OWN, 2)
    assert (answer(first), answer(second)) == ("allowed", "unknown")


def test_a_stranger_may_not_put_another_text_under_a_name_that_is_taken(world: World) -> None:
    first = own_licence(world)
    digest = world.upload(b"Everything is free.", actor=world.cast.carla).digest
    with pytest.raises(Forbidden) as refused:
        services.register_licence(actor=world.cast.carla, team=world.team, expression=OWN, text_digest=digest)
    assert refused.value.code == "licence-of-others"
    assert list(Licence.objects.filter(expression=OWN)) == [first]


@pytest.mark.parametrize("name", ["Apache-2.0", "LicenseRef-pressmark-mine", "LicenseRef-", "my licence"])
def test_a_text_of_its_own_needs_a_name_of_its_own(world: World, name: str) -> None:
    with pytest.raises(Invalid) as refused:
        own_licence(world, name=name)
    assert refused.value.code == "licence-own-name"


def test_an_own_name_without_a_registered_text_is_refused_with_what_to_do(world: World) -> None:
    with pytest.raises(Invalid) as refused:
        world.licence("LicenseRef-nobody-knows")
    assert "register-licence" in refused.value.hint


def test_a_ruling_counts_only_once_somebody_else_approved_it(world: World) -> None:
    licence = own_licence(world)
    ruling = author(world, licence)
    assert answer(licence) == "unknown"
    services.approve_ruling(actor=world.cast.root, ruling=ruling)
    assert answer(licence) == "allowed"
    assert answer(licence, "output_use") == "unknown"  # what was not answered stays as it was
    assert any("ruling 1, in force since" in note for note in terms_in_force([licence.pk])[licence.pk]["notes"])


def test_a_term_on_which_a_ruling_is_silent_is_said_to_be_left_open(world: World) -> None:
    licence = own_licence(world)
    services.approve_ruling(actor=world.cast.root, ruling=author(world, licence))
    answers = terms_in_force([licence.pk])[licence.pk]["answers"]
    assert answers["use_restrictions"]["answer"] == "unknown"
    assert "leaves open what the text says on use restrictions" in answers["use_restrictions"]["sentence"]
    assert answers["commercial_use"] == FREE["commercial_use"]


def test_nobody_approves_a_ruling_of_their_own_not_even_by_sql(world: World) -> None:
    ruling = author(world, own_licence(world))
    access.grant_membership(
        actor=world.cast.root, person=world.cast.people["carla"], role=Role.COMPLIANCE_OFFICER, team=None
    )
    with pytest.raises(Forbidden) as refused:
        services.approve_ruling(actor=world.cast.carla, ruling=ruling)
    assert refused.value.code == "own-ruling"
    with pytest.raises(IntegrityError), connection.cursor() as cursor:
        cursor.execute("UPDATE provenance_ruling SET approved_by_id = authored_by_id")


def test_a_role_in_one_team_does_not_put_terms_in_force_for_all(world: World) -> None:
    ruling = author(world, own_licence(world))
    with pytest.raises(Forbidden):
        services.approve_ruling(actor=world.cast.omar, ruling=ruling)


def test_who_builds_may_not_rule(world: World) -> None:
    licence = own_licence(world)
    with pytest.raises(Forbidden):
        author(world, licence, actor=world.cast.ada)


def test_a_newer_ruling_supersedes_and_ending_it_brings_back_what_was_registered(world: World) -> None:
    licence = world.licence("Zlib")
    first = services.approve_ruling(actor=world.cast.root, ruling=author(world, licence))
    narrowed = {"commercial_use": {"answer": "conditions", "sentence": "Only with the notice of section 1."}}
    second = services.approve_ruling(actor=world.cast.root, ruling=author(world, licence, narrowed))
    first.refresh_from_db()
    assert (first.ended_at, answer(licence)) == (second.in_force_at, "conditions")
    services.end_ruling(actor=world.cast.root, ruling=second, reason="The opinion was withdrawn.")
    assert answer(licence) == "unknown"


def test_a_ruling_on_a_part_flows_into_the_expressions_that_join_it(world: World) -> None:
    joined, plain = world.licence("MIT AND Zlib"), world.licence("MIT")
    assert answer(joined) == "unknown"
    services.approve_ruling(actor=world.cast.root, ruling=author(world, world.licence("Zlib")))
    assert (answer(joined), answer(joined, "output_use"), answer(plain)) == ("allowed", "unknown", "allowed")


def test_an_exception_behind_a_licence_does_not_take_it_away_from_a_ruling(world: World) -> None:
    evading, joined = (
        world.licence("Zlib WITH Bison-exception-2.2"),
        world.licence("MIT AND Zlib WITH Bison-exception-2.2"),
    )
    forbidden = {"commercial_use": {"answer": "forbidden", "sentence": "Section 3 forbids selling it."}}
    services.approve_ruling(actor=world.cast.root, ruling=author(world, world.licence("Zlib"), forbidden))
    assert (answer(evading), answer(joined)) == ("forbidden", "forbidden")


def test_who_wrote_a_ruling_does_not_end_it_alone_once_it_is_in_force(world: World) -> None:
    licence, carla = own_licence(world), world.cast.people["carla"]
    access.grant_membership(actor=world.cast.root, person=carla, role=Role.COMPLIANCE_OFFICER, team=None)
    ruling = services.approve_ruling(actor=world.cast.root, ruling=author(world, licence))
    with pytest.raises(Forbidden) as refused:
        services.end_ruling(actor=world.cast.carla, ruling=ruling, reason="It is in the way.")
    assert (refused.value.code, answer(licence)) == ("own-ruling", "allowed")


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({}, "No term"),
        ({"profit": {"answer": "allowed", "sentence": "Section 2 grants it."}}, "no term 'profit'"),
        ({"commercial_use": {"answer": "maybe", "sentence": "Section 2 grants it."}}, "'maybe'"),
        ({"commercial_use": {"answer": "allowed", "sentence": "yes"}}, "3 characters"),
        ({"commercial_use": {"answer": "allowed", "sentence": "Section 2\ngrants it."}}, "20 characters"),
    ],
)
def test_answers_are_terms_with_an_answer_and_a_sentence(world: World, answers: Any, told: str) -> None:
    licence = own_licence(world)
    with pytest.raises(Invalid) as refused:
        author(world, licence, answers)
    assert told in refused.value.detail


def test_a_ruling_rests_on_a_document_about_this_licence(world: World) -> None:
    licence, other = own_licence(world), world.licence("Zlib")
    foreign = opinion(world, other)
    with pytest.raises(Invalid) as refused:
        services.author_ruling(
            actor=world.cast.carla, licence=licence, answers=FREE, reason="Read with counsel.", document=foreign
        )  # fmt: skip
    assert refused.value.code == "ruling-document"


def test_a_ruling_that_changes_nothing_is_refused(world: World) -> None:
    licence = world.licence("MIT")
    same = terms_in_force([licence.pk])[licence.pk]["answers"]["commercial_use"]
    with pytest.raises(Conflict):
        author(world, licence, {"commercial_use": same})


def test_an_author_may_take_a_draft_back_and_then_it_cannot_be_approved(world: World) -> None:
    ruling = author(world, own_licence(world))
    services.end_ruling(actor=world.cast.carla, ruling=ruling, reason="I misread section 3.")
    with pytest.raises(Conflict):
        services.approve_ruling(actor=world.cast.root, ruling=ruling)


def test_a_draft_that_was_overtaken_does_not_take_back_what_another_ruling_answered(world: World) -> None:
    licence = own_licence(world)
    draft = author(world, licence)
    outputs = {"output_use": {"answer": "forbidden", "sentence": "Section 5 forbids training on outputs."}}
    services.approve_ruling(actor=world.cast.root, ruling=author(world, licence, outputs))
    with pytest.raises(Conflict) as refused:
        services.approve_ruling(actor=world.cast.root, ruling=draft)
    assert refused.value.code == "ruling-overtaken"
    assert (answer(licence, "output_use"), answer(licence)) == ("forbidden", "unknown")
    services.approve_ruling(actor=world.cast.root, ruling=author(world, licence))
    assert (answer(licence, "output_use"), answer(licence)) == ("forbidden", "allowed")

"""The page of an approval holds everything for the decision, and the decision: for who may, and why not for who may not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.urls import reverse
from django.utils import timezone

from registry.access.models import Role
from registry.catalog.services_corrections import correct_version
from registry.oversight import services as oversight
from registry.release import queries, services
from registry.release.models import Approval, Decision
from tests.desk.conftest import Visitor, words
from tests.desk.scene import Scene
from tests.world import as_caller
from tests.worlds.release import DAY

Visit = Callable[[str], Visitor]


@pytest.fixture
def approval(story: Scene) -> Approval:
    """A request for the child, whose parent is live."""
    story.world.waiver(story.child, "training-data")
    return story.world.approval(story.child)


def page(approval: Approval, verb: str = "") -> str:
    return reverse(f"desk:{verb}-approval" if verb else "desk:approval", args=[approval.pk])


def word(approval: Approval) -> str:
    return queries.approval_status(queries.approvals_of(approval.version).get(pk=approval.pk))


def test_everything_for_the_decision_stands_on_one_page(visit: Visit, story: Scene, approval: Approval) -> None:
    world = story.world
    oversight.open_finding(
        actor=world.cast.carla, stream=f"model:{story.model.pk}", team_id=world.team.pk, subject="MANAGE 2.4",
        description="Say who is on call.",
        owner=world.cast.people["ada"], due_on=(timezone.now() + DAY).date(),
    )  # fmt: skip
    services.drill_rollback(actor=world.cast.otto, model=story.model, alias="production")
    shown = visit("omar").reads(page(approval))
    for said in (
        "Beside what is live now", "production serves version 1", "What the gate said", "Say who is on call.",
        "would go back to version 1", "Last drill", "Who may decide", "Omar approver", "Still needed: 1 by approver",
        "What the licences allow", "0 of 1 grants", "The gate asked commercial use, changing it.",
        "It did not ask passing it on, notices to keep, share alike, naming, limits on use, use of outputs, place",
    ):  # fmt: skip
        assert said in shown, said


def test_the_approval_of_what_is_served_says_so_in_place_of_an_empty_comparison(visit: Visit, released: Scene) -> None:
    granted = Approval.objects.get(version=released.child)
    shown = visit("omar").reads(page(granted))
    assert "This is what production serves , since" in shown
    assert "No figure was measured about both" not in shown
    assert "more figures were measured about this version alone" not in shown


def test_an_approver_grants_on_conditions_and_the_thread_says_them(
    visit: Visit, story: Scene, approval: Approval
) -> None:
    edge = story.world.target()
    day = (timezone.now() + 9 * DAY).date()
    answer = visit("omar").post(
        page(approval, "grant"), reason="For a pilot.", expires_on=str(day), target=str(edge.pk)
    )
    assert "Your grant is recorded." in words(answer)
    assert "on search/edge@1 alone" in words(answer)
    assert "on condition: until" in words(answer)
    decision = Decision.objects.get(approval=approval)
    assert (decision.expires_at.date(), decision.target) == (day, edge)


def test_a_question_is_asked_answered_and_the_request_granted(visit: Visit, approval: Approval) -> None:
    asked = visit("omar").post(page(approval, "return"), reason="On which rows?")
    assert "A question waits for its answer." in words(asked)
    assert 'name="reason"' in visit("ada").get(page(approval)).content.decode()
    refused = visit("omar").post(page(approval, "grant"), reason="Fine.")
    assert (refused.status_code, word(approval)) == (409, "returned")
    answered = visit("ada").post(page(approval, "answer"), reason="The held-out ones.")
    assert "The question is answered" in words(answered)
    visit("omar").post(page(approval, "grant"), reason="Fine.")
    assert word(approval) == "granted"
    visit("omar").post(page(approval, "revoke"), reason="A fault.")
    assert word(approval) == "revoked"


def test_who_may_not_decide_reads_why_and_finds_no_form(visit: Visit, approval: Approval) -> None:
    shown = visit("carla").get(page(approval))
    assert "Deciding needs the role approver in the team search." in words(shown)
    assert page(approval, "grant") not in shown.content.decode()
    refused = visit("carla").post(page(approval, "grant"), reason="Fine.")
    assert (refused.status_code, word(approval)) == (403, "requested")
    assert "Deciding needs the role approver" in words(refused)


def test_who_decided_is_told_by_name_and_a_deputy_with_the_principal(
    visit: Visit, story: Scene, approval: Approval
) -> None:
    story.world.person("bea", Role.ENGINEER, Role.APPROVER)
    story.world.deputy("dora")
    answer = visit("dora").post(page(approval, "grant"), reason="Fine.")
    assert "by Dora in the place of Omar as approver" in words(answer)
    assert "Omar or whom Omar stands for granted" not in words(answer)


def test_a_request_is_rejected_on_the_page(visit: Visit, approval: Approval) -> None:
    assert "The request is rejected." in words(visit("omar").post(page(approval, "reject"), reason="No."))
    assert word(approval) == "rejected"


def test_what_blocks_a_term_is_said_with_the_way_to_it_and_a_refused_drill_is_no_drill(
    visit: Visit, story: Scene, approval: Approval
) -> None:
    world = story.world
    release = world.approval(story.parent, "staging")
    services.grant_approval(actor=world.cast.omar, approval=release, reason="Fine.")
    services.promote(actor=world.cast.otto, model=story.model, alias="staging", approval=release)
    services.drill_rollback(
        actor=world.cast.otto, model=story.model, alias="production"
    )  # there is nothing to go back to
    stricter = world.licence("CC-BY-NC-4.0", actor=world.cast.carla)
    correct_version(actor=world.cast.carla, version=story.parent, licence=stricter, reason="It is another text.")
    shown = visit("omar").reads(page(approval))
    assert "its drill was refused" in shown
    assert "none drilled" not in shown
    terms = shown[shown.index("The whole proof") :]
    assert "CC-BY-NC-4.0 of search/minilm@1; reached by base: search/minilm@1" in terms


def test_who_may_not_grant_their_own_work_may_still_stop_it(visit: Visit, story: Scene) -> None:
    """Revoking is offered where the service takes it, and nowhere else."""
    world = story.world
    bea = world.person("bea", Role.ENGINEER, Role.APPROVER)
    world.waiver(story.child, "training-data")
    own = world.approval(story.child, actor=as_caller(bea))
    assert page(own, "revoke") not in visit("bea").get(page(own)).content.decode()
    services.grant_approval(actor=world.cast.omar, approval=own, reason="Fine.")
    offered = visit("bea").get(page(own)).content.decode()
    assert page(own, "revoke") in offered
    assert page(own, "grant") not in offered
    assert page(own, "revoke") not in visit("ada").get(page(own)).content.decode()
    visit("bea").post(page(own, "revoke"), reason="My own fault.")
    assert word(own) == "revoked"

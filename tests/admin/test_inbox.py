"""The inbox of the admin site: all evidence on one page, and yes, no or back with a reason, each its own unit."""

from __future__ import annotations

import json
import uuid

import pytest
from django.test import Client

from audit.models import Entry
from registry.access import services as access
from registry.access.models import Role, Team
from registry.catalog.services_corrections import correct_version
from registry.events import Caller
from registry.release import queries, services
from registry.release.models import Approval, Decision
from tests.world import PASSWORD, World
from tests.worlds.catalog import figure

LIST = "/admin/registry/approval/"


def client_of(name: str) -> Client:
    client = Client()
    assert client.login(username=name, password=PASSWORD)
    return client


def page(approval: Approval, verb: str = "decide") -> str:
    return f"{LIST}{approval.pk}/{verb}/"


def status(approval: Approval) -> str:
    return queries.approval_status(Approval.objects.get(pk=approval.pk))


@pytest.fixture
def child_approval(world: World) -> Approval:
    """A request for a measured child, under a waiver, with its parent as incumbent."""
    parent = world.parent_version(training_data="incomplete")
    world.waiver(parent)
    world.promoted(parent)
    child = world.child_version(parent)
    world.waiver(child)
    return world.approval(child)


# --- the page ---


def test_all_evidence_stands_on_the_page(child_approval: Approval) -> None:
    shown = client_of("omar").get(page(child_approval)).content.decode()
    verdict = queries.verdict_document(child_approval.verdict)
    for result in verdict["results"]:
        if result["answer"] != "not-applicable":
            assert result["rule"] in shown
    for words in (
        "It is smaller and answers the same.",  # what is asked
        "requested",  # where it stands
        "The model is 3.92 times smaller than the original.",  # a figure in words
        "0.9987 to 0.9995",  # its interval
        '<td class="number">320</td>',  # its n
        "Known and accepted for now.",  # the waiver's reason
        "quantized",  # the lineage
        "commercial use",  # effective terms
        "Decisions about people",  # what the use case prohibits
        str(child_approval.model),
        child_approval.evidence_set_digest,
        child_approval.policy_digest,
        "600 rows in 3 features",  # what will be frozen as the baseline
    ):
        assert words in shown, words


def test_what_needs_attention_comes_first_among_the_rules(child_approval: Approval) -> None:
    shown = client_of("omar").get(page(child_approval)).content.decode()
    answered = shown[shown.index('id="gate"') :]
    assert answered.index("training-data") < answered.index("fidelity-measured")


def test_the_figures_of_the_incumbent_stand_beside(world: World, child_approval: Approval) -> None:
    services.grant_approval(actor=world.cast.omar, approval=child_approval, reason="Fine.")
    child = child_approval.version
    services.promote(actor=world.cast.otto, model=child.model, alias="production", approval=child_approval)
    parent = child.parent_edges.get().parent
    better = world.derived_version(parent, seed=4242)
    world.measure(better, parent, size_ratio="5.5")
    world.waiver(better)
    shown = client_of("omar").get(page(world.approval(better))).content.decode()
    assert "5.5" in shown
    assert '<td class="number">3.92</td>' in shown


def test_a_version_that_was_uploaded_says_that_nothing_was_measured(world: World) -> None:
    shown = client_of("omar").get(page(world.approval(world.parent_version()))).content.decode()
    assert "Nothing was measured" in shown
    assert "no baseline will be frozen" in shown


def test_what_changed_since_the_request_is_said_and_granting_is_not_offered(
    world: World, child_approval: Approval
) -> None:
    world.evidence(child_approval.version, "size", [figure("size_bytes", "1", "byte")])
    shown = client_of("omar").get(page(child_approval)).content.decode()
    assert "The evidence about the version has changed" in shown
    assert page(child_approval, "grant") not in shown
    assert page(child_approval, "reject") in shown


def test_an_approval_has_no_form_that_changes_it(child_approval: Approval) -> None:
    omar = client_of("omar")
    assert omar.get(page(child_approval, "change"))["Location"] == page(child_approval)
    assert omar.post(page(child_approval, "change"), {"alias": "other"}).status_code == 405
    assert omar.post(page(child_approval, "delete")).status_code == 403
    assert omar.get(f"{LIST}add/").status_code == 403


# --- decisions ---


@pytest.mark.parametrize(("verb", "word"), [("grant", "granted"), ("reject", "rejected"), ("return", "returned")])
def test_a_decision_goes_through_the_service_and_is_sealed_as_made_in_the_admin_site(
    child_approval: Approval, verb: str, word: str
) -> None:
    answer = client_of("omar").post(page(child_approval, verb), {"reason": "I read it."}, follow=True)
    assert f"{word.capitalize()}: {child_approval.version} to &#x27;production&#x27;." in answer.content.decode()
    assert status(child_approval) == word
    events = [json.loads(bytes(e.entry))["event"] for e in Entry.objects.order_by("-position")[:2]]
    decided = next(e for e in events if e["kind"] == f"approval.{word}")
    assert (decided["actor"]["via"], decided["actor"]["role"]) == ("admin", "approver")


def test_what_was_granted_is_revoked_there_too(child_approval: Approval) -> None:
    omar = client_of("omar")
    omar.post(page(child_approval, "grant"), {"reason": "Fine."})
    assert page(child_approval, "revoke") in omar.get(page(child_approval)).content.decode()
    omar.post(page(child_approval, "revoke"), {"reason": "A fault was found."})
    assert status(child_approval) == "revoked"


def test_a_decision_without_a_reason_is_refused_in_words(child_approval: Approval) -> None:
    answer = client_of("omar").post(page(child_approval, "grant"), {"reason": " "}, follow=True)
    assert "The reason is empty" in answer.content.decode()
    assert status(child_approval) == "requested"


def test_looking_decides_nothing_and_a_forged_form_neither(child_approval: Approval) -> None:
    assert client_of("omar").get(page(child_approval, "grant")).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.login(username="omar", password=PASSWORD)
    assert strict.post(page(child_approval, "grant"), {"reason": "x"}).status_code == 403
    assert status(child_approval) == "requested"


# --- who ---


def test_who_asked_uploaded_or_ran_cannot_decide_in_the_form_and_is_told_why(world: World) -> None:
    bea = world.person("bea", Role.ENGINEER, Role.APPROVER)
    version = world.version(world.governed_model(), actor=Caller(actor_id=bea.pk, via="cli"))
    approval = world.approval(version)
    client = client_of("bea")
    assert "You brought this version" in client.get(page(approval)).content.decode()
    answer = client.post(page(approval, "grant"), {"reason": "Mine is fine."}, follow=True)
    assert "You brought this version; somebody else has to decide on it." in answer.content.decode()
    assert not Decision.objects.exists()


def test_who_may_look_but_not_decide_sees_the_evidence_and_no_form(child_approval: Approval) -> None:
    shown = client_of("carla").get(page(child_approval)).content.decode()
    assert "What was measured" in shown
    assert page(child_approval, "grant") not in shown
    answer = client_of("carla").post(page(child_approval, "grant"), {"reason": "x"}, follow=True)
    assert "Deciding needs the role approver in the team search." in answer.content.decode()
    assert status(child_approval) == "requested"


@pytest.mark.parametrize("name", ["ada", "otto", "eve"])
def test_engineers_operators_and_strangers_do_not_get_in(child_approval: Approval, name: str) -> None:
    for path in ("/admin/", LIST, page(child_approval)):
        answer = client_of(name).get(path)
        assert (answer.status_code, "/admin/login/" in answer["Location"]) == (302, True)
    client_of(name).post(page(child_approval, "grant"), {"reason": "x"})
    assert status(child_approval) == "requested"


def test_an_approver_of_another_team_finds_nothing(world: World, child_approval: Approval, outsider_team: Team) -> None:
    stranger = world.person("sven")
    access.grant_membership(actor=world.cast.root, person=stranger, role=Role.APPROVER, team=outsider_team)
    sven = client_of("sven")
    assert sven.get(page(child_approval)).status_code == 404
    assert sven.post(page(child_approval, "grant"), {"reason": "x"}).status_code == 404
    assert str(child_approval.model) not in sven.get(f"{LIST}?status=all").content.decode()
    assert client_of("omar").get(f"{LIST}{uuid.uuid4()}/decide/").status_code == 404


# --- the list ---


def bulk(client: Client, *approvals: Approval, reason: str = "All read.", query: str = "") -> str:
    chosen = [str(a.pk) for a in approvals]
    body = {"action": "grant_selected", "reason": reason, "index": 0, "_selected_action": chosen}
    return client.post(LIST + query, body, follow=True).content.decode()


def test_the_list_shows_what_waits_and_filters_by_computed_status(world: World, child_approval: Approval) -> None:
    omar = client_of("omar")
    shown = omar.get(LIST).content.decode()
    assert shown.count('class="action-select"') == 1
    assert omar.get(f"{LIST}?status=all").content.decode().count('class="action-select"') == 2
    assert omar.get(f"{LIST}?status=granted").content.decode().count('class="action-select"') == 1
    assert omar.get(f"{LIST}?status=revoked").content.decode().count('class="action-select"') == 0
    assert omar.get(f"{LIST}?q={child_approval.model.slug}").status_code == 200


def test_the_bulk_action_opens_one_unit_for_each_row_and_answers_for_each(world: World) -> None:
    model = world.governed_model()
    good = world.approval(world.parent_version(model, seed=1))
    bea = world.person("bea", Role.ENGINEER, Role.APPROVER)
    own = world.approval(world.version(model, seed=2, actor=Caller(actor_id=bea.pk, via="cli")))
    stale = world.approval(world.parent_version(model, seed=3))
    world.evidence(stale.version, "size", [figure("size_bytes", "1", "byte")])
    last = world.approval(world.parent_version(model, seed=4))
    shown = bulk(client_of("bea"), good, own, stale, last)
    assert f"Granted: {good.version} to &#x27;production&#x27;." in shown
    assert f"Refused, {own.version} to &#x27;production&#x27;: You brought this version" in shown
    assert f"Refused, {stale.version} to &#x27;production&#x27;: The approval is stale" in shown
    assert f"Granted: {last.version} to &#x27;production&#x27;." in shown
    assert [status(a) for a in (good, own, stale, last)] == ["granted", "requested", "stale", "granted"]
    entries = [json.loads(bytes(e.entry))["event"] for e in Entry.objects.order_by("-position")[:4]]
    granted = [e for e in entries if e["kind"] == "approval.granted"]
    assert len({e["unit"] for e in granted}) == 2


def test_the_bulk_action_asks_for_a_reason_too(child_approval: Approval) -> None:
    assert "The reason is empty" in bulk(client_of("omar"), child_approval, reason="")
    assert status(child_approval) == "requested"


def test_who_does_not_decide_is_offered_no_bulk_action(child_approval: Approval) -> None:
    root = client_of("root")
    assert "grant_selected" not in root.get(LIST).content.decode()
    bulk(root, child_approval)
    assert status(child_approval) == "requested"


def test_a_bulk_grant_by_an_officer_is_answered_row_by_row(world: World, child_approval: Approval) -> None:
    world.needing(2, officers=1, tier="minimal")
    other = world.approval(world.parent_version(world.governed_model("minimal"), seed=31))
    answer = bulk(client_of("carla"), child_approval, other)
    assert f"Refused, {child_approval.version} to" in answer
    assert "Deciding needs the role approver in the team search." in answer
    assert f"Granted: {other.version} to &#x27;production&#x27;. It still needs 1 by approver." in answer
    assert (status(child_approval), queries.status_of(Approval.objects.get(pk=other.pk)).officers) == ("requested", 1)


def test_a_grant_carries_conditions_from_there_too(world: World, child_approval: Approval) -> None:
    edge, omar = world.target(), client_of("omar")
    wrong = omar.post(page(child_approval, "grant"), {"reason": "Fine.", "expires_on": "soon"}, follow=True)
    assert "The day is none." in wrong.content.decode()
    day = child_approval.expires_at.date().isoformat()
    omar.post(page(child_approval, "grant"), {"reason": "Fine.", "expires_on": day, "target": str(edge)})
    decision = Decision.objects.get(approval=child_approval)
    assert (decision.target, decision.expires_at) == (edge, child_approval.expires_at)
    assert "on search/edge@1 alone" in omar.get(page(child_approval)).content.decode()


def test_a_bulk_grant_with_two_grants_asked_for_says_how_many_are_missing(world: World) -> None:
    world.policy(change=lambda d: d.update(approvals_required=2))
    version = world.version(world.model(use_case=world.use_case("limited-use", "limited")))
    approval = world.approval(version)
    assert "It still needs 1 by approver." in bulk(client_of("omar"), approval)
    assert status(approval) == "requested"


def test_the_inbox_takes_a_bounded_number_of_queries(world: World, django_assert_max_num_queries) -> None:
    model = world.governed_model()
    for seed in range(1, 7):
        world.approval(world.parent_version(model, seed=seed))
    omar = client_of("omar")
    with django_assert_max_num_queries(60):
        assert omar.get(LIST).status_code == 200


def test_what_was_corrected_is_shown_as_it_is_stated_now_beside_the_way_back(world: World) -> None:
    version = world.parent_version(training_data="unknown")
    correct_version(actor=world.cast.carla, version=version, training_data="complete", reason="All of it is known.")
    approval = world.approval(version)
    shown = client_of("omar").get(page(approval)).content.decode()
    assert "Its training data is stated as complete." in shown
    assert "the alias could only be suspended" in shown
    assert "Nobody ever drilled it." in shown
    services.drill_rollback(actor=world.cast.otto, model=world.promoted(version, "staging").model, alias="staging")
    refused = client_of("omar").get(page(world.approval(version, "staging"))).content.decode()
    assert "refused." in refused[refused.index("Last drill") :]

"""Policies, use cases, findings and rights as people see them: what they read, what they may do, and why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from registry.oversight import services_tiers, tiers
from registry.oversight.models import Finding, UseCase
from registry.release import queries, services
from registry.release.models import Policy
from registry.release.serving_models import AliasRule
from tests.desk.conftest import Visitor, words
from tests.desk.scene import Scene
from tests.oversight.test_accept_finding import a_finding
from tests.oversight.test_answer_tier_table import in_force, mildest
from tests.world import World

Visit = Callable[[str], Visitor]


def stricter(world: World) -> Policy:
    """The next number of the policy in force, by root, waiting for approval."""
    document = world.policy_document("limited", lambda d: d["rules"][8].update(limit="5"))
    return services.author_policy(actor=world.cast.root, slug="limited", document=document)


# --- policies ---


def test_a_policy_is_read_in_sentences_with_its_limits_and_what_differs(visit: Visit, released: Scene) -> None:
    stricter(released.world)
    page = visit("carla").reads("/policies/limited@2/")
    assert "'size_ratio' of 'size' is at least 5" in page
    assert "What differs from limited@1" in page
    assert "'size_ratio' of 'size' is at least 1.5" in page or "is at least" in page.partition("What differs")[2]
    assert "Approval by 1 person" in page
    assert "a version in quarantine is refused" in page
    listed = visit("ada").reads("/policies/")
    assert "limited@2" in listed
    assert "waiting" in listed
    assert "high" not in visit("ada").reads("/policies/").partition("Ready-made")[2]


def test_a_draft_is_tried_before_it_is_approved_and_then_judges(visit: Visit, released: Scene) -> None:
    stricter(released.world)
    released.world.officer()
    page = visit("carla").reads("/policies/limited@2/dry-run/")
    assert "Would be blocked anew 1" in page
    assert "smaller : passed → blocked" in page
    assert str(queries.policy_in_force("limited")) == "limited@1"
    assert "You wrote it: somebody else has to approve it" in visit("root").reads("/policies/limited@2/")
    refused = visit("root").post("/policies/limited@2/approve/")
    assert "You wrote this policy" in words(refused)
    assert "judges releases from now on" in words(visit("carla").post("/policies/limited@2/approve/"))
    assert str(queries.policy_in_force("limited")) == "limited@2"
    assert "judges nothing any more" in words(visit("carla").post("/policies/limited@2/end/"))


def test_who_has_no_role_for_a_dry_run_is_told_so_and_a_team_is_tried_alone(visit: Visit, released: Scene) -> None:
    stricter(released.world)
    assert "Would be blocked anew 1" in visit("omar").reads("/policies/limited@2/dry-run/")
    assert "policy.dry_run" in words(visit("ada").get("/policies/limited@2/dry-run/"))
    assert visit("ada").get("/policies/limited@2/dry-run/").status_code == 403
    assert visit("carla").get("/policies/limited@9/").status_code == 404


def test_a_policy_is_written_from_one_that_is_there_and_mistakes_are_told(visit: Visit, world: World) -> None:
    world.policy()
    root = visit("root")
    assert "Release to a" in root.get("/policies/author/?from=high").content.decode()
    document = world.policy_document("limited", lambda d: d.update(approval_valid_days=30))
    assert "This is no JSON" in words(root.post("/policies/author/", slug="limited", document="{"))
    wrong = json.dumps({**document, "language": 7})
    assert "The policy cannot be evaluated: language" in words(
        root.post("/policies/author/", slug="limited", document=wrong)
    )
    assert "limited@2 is written" in words(
        root.post("/policies/author/", slug="limited", document=json.dumps(document))
    )
    assert visit("ada").get("/policies/author/").status_code == 403


# --- use cases ---


def test_a_questionnaire_is_written_approved_and_answered_on_pages(visit: Visit, world: World) -> None:
    world.officer()
    world.policy("high")
    use_case = world.use_case(tier="limited")
    root, ada = visit("root"), visit("ada")
    assert "It was set by hand" in ada.reads("/use-cases/search/support-search/")
    made = root.post("/tier-tables/author/", document=json.dumps(tiers.ready_made()))
    assert "tier table 1 is written" in words(made)
    assert "You wrote this table" in root.reads("/tier-tables/1/")
    assert "from now on" in words(visit("carla").post("/tier-tables/1/approve/"))
    fields = {row["question"]: row["answer"] for row in mildest(effect="serious")}
    assert "What can an answer of the model do to a person?" in ada.reads("/use-cases/search/support-search/answer/")
    page = words(ada.post("/use-cases/search/support-search/answer/", reason="Looked at.", **fields))
    assert "The use case has tier high." in page
    assert "An error changes somebody's life." in page
    assert "Releases are judged by high@1" in page
    use_case.refresh_from_db()
    assert use_case.tier == "high"
    assert "by answers to tier table 1" in ada.reads("/use-cases/")


def test_a_use_case_is_registered_on_a_page_by_answers_or_by_hand_while_no_table_is_in_force(
    visit: Visit, world: World
) -> None:
    ada, address = visit("ada"), "/teams/search/register-use-case/"
    said = {"slug": "triage", "purpose": "Sort files.", "sector": "credit", "jurisdiction": "EU", "owner": "carla"}
    assert "No tier table is in force" in ada.reads(address)
    assert "This field is required" in words(ada.post(address, **said))
    assert "The use case has tier limited." in words(ada.post(address, **said, tier="limited", reason="Looked at."))
    in_force(world)
    said["slug"] = "ranking"
    fields = {f"answer-{row['question']}": row["answer"] for row in mildest(effect="serious")}
    refused = words(ada.post(address, **said, **fields, tier="limited", reason="Looked at."))
    assert "answers give the tier high; a tier by hand may only be higher" in refused
    assert "The use case has tier high." in words(ada.post(address, **said, **fields, tier="", reason="Looked at."))
    assert "/teams/search/register-use-case/" in ada.get("/use-cases/").content.decode()
    assert visit("omar").get(address).status_code == 403
    assert "/teams/search/register-use-case/" not in visit("omar").get("/use-cases/").content.decode()


def test_a_lower_tier_is_refused_to_an_engineer_and_a_missing_answer_is_asked_for(visit: Visit, world: World) -> None:
    world.use_case(tier="limited")
    in_force(world)
    fields = {row["question"]: row["answer"] for row in mildest()}
    address = "/use-cases/search/support-search/answer/"
    assert "use_case.lower_tier" in words(visit("ada").post(address, reason="Looked at.", **fields))
    del fields["effect"]
    assert "This field is required" in words(visit("carla").post(address, reason="Looked at.", **fields))
    assert UseCase.objects.get().tier == "limited"


def test_answers_to_an_earlier_table_and_tiers_below_them_are_told(visit: Visit, world: World) -> None:
    row = world.use_case(tier="limited")
    in_force(world)
    services_tiers.answer_tier_table(
        actor=world.cast.ada, use_case=row, answers=mildest(effect="serious"), reason="Looked at."
    )
    in_force(world, tiers.ready_made() | {"title": "Another title"})
    assert "which is no longer in force" in visit("ada").reads("/use-cases/search/support-search/")
    UseCase.objects.filter(pk=row.pk).update(tier="limited")  # no service does that
    assert "set below what the answers say: high" in visit("ada").reads("/use-cases/search/support-search/")


# --- findings ---


def test_what_is_overdue_and_mine_stands_first(visit: Visit, world: World) -> None:
    late, later = a_finding(world, 1), a_finding(world, 20)
    Finding.objects.filter(pk=late.pk).update(due_on="2020-01-01")
    page = visit("ada").reads("/findings/")
    assert "1 of them should have been mended by now" in page
    assert page.index("2020-01-01") < page.index(later.due_on.isoformat())
    assert "Nothing waits for you" in visit("omar").reads("/findings/")
    assert "recall in Bavarian" in visit("omar").reads("/findings/?of=all")
    assert "recall in Bavarian" not in visit("eve").reads("/findings/?of=all")


def test_a_finding_is_worked_on_and_closed_on_its_page(visit: Visit, world: World) -> None:
    row = a_finding(world)
    address = f"/findings/{row.pk}/"
    ada = visit("ada")
    assert "You accepted it" in words(ada.post(f"{address}accept/", note="Two hundred rows more."))
    page = words(ada.post(f"{address}fix/", note="Added."))
    assert "accepted , " in page
    assert "Two hundred rows more." in page
    assert "Close it" not in page
    assert "It is open again" in words(visit("omar").post(f"{address}reopen/", note="Not enough."))
    moved = words(ada.post(f"{address}assign/", **{"assign-owner": "otto", "assign-note": "His field."}))
    assert "It is otto's to mend" in moved or "It is Otto's to mend" in moved
    assert "'finding.close' needs" in words(ada.post(f"{address}close/", closure="Done."))
    assert "It is closed" in words(visit("carla").post(f"{address}close/", closure="Measured again."))
    assert "Measured again." in visit("ada").reads(address)
    assert visit("eve").get(address).status_code == 404


# --- rights ---


def test_the_page_of_rights_says_who_may_do_what_and_a_rule_narrows_it(visit: Visit, world: World) -> None:
    address = "/teams/search/rights/"
    assert "promote Approver, Engineer, Operator, Service Account Ada, Omar, Otto" in visit("ada").reads(address)
    made = visit("carla").post(f"{address}author/", alias="production", action="promote", role="approver")
    assert "counts once somebody else approved it" in words(made)
    rule = AliasRule.objects.get()
    assert "You wrote this rule" in words(visit("carla").post(f"{address}{rule.pk}/approve/"))
    page = words(visit("omar").post(f"{address}{rule.pk}/approve/"))
    assert "promote Approver by rule Omar" in page
    assert "The rule counts no more" in words(visit("omar").post(f"{address}{rule.pk}/end/"))
    assert visit("eve").get(address).status_code == 404


@pytest.mark.parametrize("address", ["/policies/", "/use-cases/", "/findings/", "/policies/limited@1/"])
def test_nothing_on_these_pages_asks_for_an_exception_from_the_policy_of_contents(
    visit: Visit, released: Scene, address: str
) -> None:
    answer = visit("carla").get(address)
    assert answer.status_code == 200
    assert " style=" not in answer.content.decode()
    assert "onclick" not in answer.content.decode()


def test_what_is_open_about_a_model_stands_on_its_pages_until_it_is_closed(visit: Visit, released: Scene) -> None:
    from registry.oversight import services as oversight

    model = released.model
    row = oversight.open_finding(
        actor=released.world.cast.carla, stream=f"model:{model.pk}", team_id=model.team_id, subject="odd answers",
        description="Low.", owner=released.world.cast.people["ada"], due_on=model.created_at.date() + timedelta(days=9),
    )  # fmt: skip
    addresses = ["/models/search/minilm/", "/models/search/minilm@2/"]
    assert all("To be mended" in visit("omar").reads(a) and "odd answers" in visit("omar").reads(a) for a in addresses)
    oversight.close_finding(actor=released.world.cast.carla, finding=row, closure="Measured again.")
    assert not any("To be mended" in visit("omar").reads(address) for address in addresses)

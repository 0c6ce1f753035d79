"""Approvals and moves on the pages: asking, promoting, rolling back; every refusal in words."""

from __future__ import annotations

import datetime
from collections.abc import Callable

from django.urls import reverse
from django.utils import timezone

from registry.release.models import AliasAssignment, Approval, Verdict, Waiver
from tests.desk.conftest import Visitor, words
from tests.desk.scene import Scene
from tests.world import World

Visit = Callable[[str], Visitor]
CHILD = ["search", "minilm", 2]
ALIAS = ["search", "minilm", "production"]


def test_a_blocked_request_names_every_rule_that_blocks(visit: Visit, story: Scene) -> None:
    answer = visit("ada").post(
        reverse("desk:request-approval", args=CHILD), alias="production", reason="It is smaller."
    )
    assert answer.status_code == 409
    assert "training-data : What the version was trained on is recorded as incomplete." in words(answer)
    assert "It is smaller." in words(answer)
    assert not Approval.objects.filter(version=story.child).exists()


def test_an_approval_is_requested_and_shows_what_it_binds(visit: Visit, story: Scene) -> None:
    story.world.waiver(story.child, "training-data")
    answer = visit("ada").post(
        reverse("desk:request-approval", args=CHILD), alias="production", reason="It is smaller."
    )
    approval = Approval.objects.get(version=story.child)
    page = words(answer)
    assert "The approval is requested" in page
    assert "0 of 1 grants" in page
    assert approval.evidence_set_digest in answer.content.decode()
    assert "Deciding needs the role approver in the team search." in page


def test_a_form_without_reason_is_shown_again(visit: Visit, story: Scene) -> None:
    answer = visit("ada").post(reverse("desk:request-approval", args=CHILD), alias="Production!", reason="")
    assert "This field is required." in words(answer)
    assert "A name here is 1 to 63" in words(answer)


def test_the_gate_is_asked_without_releasing_anything(visit: Visit, story: Scene) -> None:
    before = Verdict.objects.count()
    answer = visit("carla").post(reverse("desk:evaluate-gate", args=CHILD), alias="production")
    assert "The gate answers: blocked." in words(answer)
    assert Verdict.objects.count() == before + 1
    assert not Approval.objects.filter(version=story.child).exists()


def test_an_approver_is_led_to_the_inbox_of_the_admin_site_too(visit: Visit, story: Scene) -> None:
    story.world.waiver(story.child, "training-data")
    approval = story.world.approval(story.child)
    page = visit("omar").get(reverse("desk:approval", args=[approval.pk])).content.decode()
    assert reverse("admin:registry_approval_decide", args=[approval.pk]) in page
    own = visit("ada").get(reverse("desk:approval", args=[approval.pk])).content.decode()
    assert reverse("admin:registry_approval_decide", args=[approval.pk]) not in own


def test_a_granted_approval_is_promoted_from_its_page(visit: Visit, story: Scene) -> None:
    story.world.waiver(story.child, "training-data")
    approval = story.world.granted(story.child)
    answer = visit("otto").post(reverse("desk:promote", args=[approval.pk]))
    assert "production now serves search/minilm@2." in words(answer)
    assert AliasAssignment.objects.order_by("-number")[0].version == story.child


def test_an_approval_that_nobody_granted_is_not_promoted(visit: Visit, story: Scene) -> None:
    story.world.waiver(story.child, "training-data")
    approval = story.world.approval(story.child)
    answer = visit("otto").post(reverse("desk:promote", args=[approval.pk]))
    assert answer.status_code == 409
    assert "The approval is requested, not granted." in words(answer)


def test_new_evidence_turns_an_approval_stale_and_the_page_says_why(visit: Visit, story: Scene) -> None:
    story.world.waiver(story.child, "training-data")
    approval = story.world.granted(story.child)
    story.world.measure(story.child, story.parent, cosine_mean="0.999")
    page = visit("carla").reads(reverse("desk:approval", args=[approval.pk]))
    assert "stale" in page
    assert "The evidence about the version has changed since the approval was asked for." in page


def test_a_request_is_withdrawn_by_who_made_it(visit: Visit, story: Scene) -> None:
    story.world.waiver(story.child, "training-data")
    approval = story.world.approval(story.child)
    path = reverse("desk:withdraw-approval", args=[approval.pk])
    refused = visit("omar").post(path, reason="Not mine to withdraw.")
    assert refused.status_code == 403
    answer = visit("ada").post(path, reason="Another recipe is better.")
    assert "The request is withdrawn." in words(answer)
    assert "Another recipe is better." in words(answer)


def test_an_alias_is_rolled_back_from_the_model(visit: Visit, released: Scene) -> None:
    path = reverse("desk:roll-back", args=ALIAS)
    assert "The alias would go back to version 1 ." in visit("omar").reads(path)
    answer = visit("omar").post(path, to_version="1", reason="Answers changed for one customer.")
    assert "production serves search/minilm@1 again." in words(answer)
    assert "rolled back" in words(answer)


def test_rolling_back_is_refused_to_an_engineer(visit: Visit, released: Scene) -> None:
    answer = visit("ada").post(reverse("desk:roll-back", args=ALIAS), to_version="1", reason="I want to.")
    assert answer.status_code == 403
    assert AliasAssignment.objects.order_by("-number")[0].version == released.child


def test_a_roll_back_to_changed_bytes_is_refused_in_words(visit: Visit, released: Scene) -> None:
    from registry import storage

    weights = released.parent.artifacts.get(role="weights")
    place = storage.path_of(weights.digest)
    place.chmod(0o644)
    place.write_bytes(b"\x00" + place.read_bytes()[1:])
    answer = visit("omar").post(reverse("desk:roll-back", args=ALIAS), to_version="1", reason="Answers changed.")
    assert answer.status_code == 409
    assert "cannot be rolled back to" in words(answer)
    assert AliasAssignment.objects.order_by("-number")[0].version == released.child


def test_an_alias_is_suspended_from_the_model(visit: Visit, released: Scene) -> None:
    answer = visit("omar").post(reverse("desk:suspend", args=ALIAS), reason="Under inquiry.")
    assert "production serves nothing now." in words(answer)
    assert "suspended" in visit("carla").reads("/models/")


def test_an_alias_that_is_not_there_is_not_found(visit: Visit, released: Scene) -> None:
    assert visit("omar").get(reverse("desk:roll-back", args=["search", "minilm", "nowhere"])).status_code == 404


def test_approvals_of_other_teams_are_not_found(visit: Visit, world: World, released: Scene) -> None:
    approval = Approval.objects.order_by("-pk")[0]
    eve = visit("eve")
    assert eve.get(reverse("desk:approval", args=[approval.pk])).status_code == 404
    assert eve.post(reverse("desk:promote", args=[approval.pk])).status_code == 404
    assert "minilm" not in eve.reads("/approvals/")
    assert "search/minilm@2 production granted" in visit("carla").reads("/approvals/")


def test_a_waiver_is_signed_by_an_officer_for_a_rule_that_allows_it(visit: Visit, story: Scene) -> None:
    path = reverse("desk:sign-waiver", args=CHILD)
    day = (timezone.now() + datetime.timedelta(days=20)).date().isoformat()
    refused = visit("carla").post(path, rule="structure", reason="No.", expires_on=day)
    assert "Select a valid choice" in words(refused)
    answer = visit("carla").post(path, rule="training-data", reason="The publisher is asked.", expires_on=day)
    assert "The waiver of 'training-data' is signed." in words(answer)
    assert "The publisher is asked." in words(answer)
    assert Waiver.objects.filter(version=story.child, signed_by__username="carla").exists()


def test_a_waiver_that_lasts_too_long_is_refused_in_words(visit: Visit, story: Scene) -> None:
    fields = {"rule": "training-data", "reason": "For ever.", "expires_on": "2099-01-01"}
    answer = visit("carla").post(reverse("desk:sign-waiver", args=CHILD), **fields)
    assert answer.status_code == 422
    assert "within 90 days" in words(answer)
    assert not Waiver.objects.filter(version=story.child).exists()


def test_a_roll_back_goes_only_to_what_was_served_before(visit: Visit, released: Scene) -> None:
    answer = visit("omar").post(reverse("desk:roll-back", args=ALIAS), to_version="2", reason="Same again.")
    assert "Select a valid choice" in words(answer)
    assert AliasAssignment.objects.count() == 2

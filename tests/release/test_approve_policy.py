"""A policy comes into force by approval of somebody other than its author, one for each tier at a time."""

from __future__ import annotations

import json

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from audit.models import Entry
from registry import storage
from registry.errors import Conflict, Forbidden, Invalid, NotFound
from registry.release import queries, services
from registry.release.models import Policy
from tests.world import Cast, World
from tests.worlds.http import api


def authored(world: World, slug: str = "limited", tier: str = "limited") -> Policy:
    return services.author_policy(actor=world.cast.root, slug=slug, document=world.policy_document(tier))


def test_a_policy_is_kept_as_canonical_bytes_and_judges_nothing_until_it_is_approved(world: World) -> None:
    row = authored(world)
    assert storage.read_bytes(row.digest)
    assert queries.policy_in_force("limited") is None
    approved = services.approve_policy(actor=world.officer(), policy=row)
    assert queries.policy_in_force("limited") == approved


def test_the_author_cannot_approve_it(world: World) -> None:
    with pytest.raises(Forbidden, match="You wrote"):
        services.approve_policy(actor=world.cast.root, policy=authored(world))


@pytest.mark.db_guarantee
def test_the_database_refuses_approval_by_the_author_too(world: World) -> None:
    row = authored(world)
    with pytest.raises(IntegrityError), transaction.atomic():
        Policy.objects.filter(pk=row.pk).update(approved_by=row.author_id, in_force_at=timezone.now())
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE release_policy SET approved_by_id = author_id")


def test_a_role_in_one_team_writes_no_policy_for_all_of_them(cast: Cast, world: World) -> None:
    for caller in (cast.carla, cast.omar, cast.ada):
        with pytest.raises(Forbidden):
            services.author_policy(actor=caller, slug="mine", document=world.policy_document())


def test_what_the_gate_could_not_evaluate_is_not_stored(world: World) -> None:
    with pytest.raises(Invalid, match="rules/0: 'guess' is no check"):
        world.policy(change=lambda d: d["rules"][0].update(check="guess"))
    assert not Policy.objects.exists()


def test_the_next_number_supersedes_the_one_before_in_one_unit(world: World) -> None:
    first = world.policy()
    second = world.policy(change=lambda d: d.update(approval_valid_days=30))
    first.refresh_from_db()
    assert (second.number, queries.policy_in_force("limited")) == (2, second)
    assert first.ended_at == second.in_force_at
    ended, approved = [json.loads(bytes(e.entry)) for e in Entry.objects.order_by("-position")[:2]][::-1]
    assert [e["event"]["kind"] for e in (ended, approved)] == ["policy.superseded", "policy.approved"]
    assert ended["event"]["unit"] == approved["event"]["unit"]


def test_which_policy_was_in_force_stays_answerable(world: World) -> None:
    first = world.policy()
    then = timezone.now()
    world.policy(change=lambda d: d.update(approval_valid_days=30))
    assert queries.policy_in_force("limited", at=then) == first


def test_a_second_policy_for_the_same_tier_under_another_name_is_refused(world: World) -> None:
    world.policy()
    with pytest.raises(Conflict, match="limited@1 judges releases of tier limited"):
        services.approve_policy(actor=world.officer(), policy=authored(world, "another"))


def test_policies_of_one_tier_share_it_by_aliases_and_an_overlap_is_told_by_alias(world: World) -> None:
    world.policy(change=lambda d: d.update(aliases=["staging"]))
    own = services.author_policy(
        actor=world.cast.root,
        slug="live",
        document=world.policy_document(change=lambda d: d.update(aliases=["production"])),
    )
    services.approve_policy(actor=world.officer(), policy=own)
    assert [str(queries.policy_in_force("limited", a)) for a in ("staging", "production", "canary")] == [
        "limited@1", "live@1", "None",
    ]  # fmt: skip
    with pytest.raises(Conflict, match="limited@1 judges releases of tier limited to staging already"):
        services.approve_policy(actor=world.officer(), policy=authored(world, "general"))


def test_the_same_content_twice_and_an_approval_twice_are_conflicts(world: World) -> None:
    row = world.policy()
    with pytest.raises(Conflict, match="exactly this content"):
        authored(world)
    with pytest.raises(Conflict, match="approved already"):
        services.approve_policy(actor=world.officer(), policy=row)


def test_what_has_ended_or_was_overtaken_is_written_anew_and_what_waits_is_approved(world: World) -> None:
    first = authored(world)
    with pytest.raises(Conflict, match="limited@1 has exactly this content and waits") as refused:
        authored(world)
    assert "approve-policy limited@1" in (refused.value.hint or "")
    services.approve_policy(actor=world.officer(), policy=first)
    with pytest.raises(Conflict, match="limited@1 has exactly this content and is in force"):
        authored(world)
    services.end_policy(actor=world.officer(), policy=first)
    overtaken, newer = authored(world), authored(world, tier="minimal")
    assert (str(overtaken), overtaken.digest) == ("limited@2", first.digest)
    services.approve_policy(actor=world.officer(), policy=newer)
    assert str(authored(world)) == "limited@4", "limited@2 can be approved no more: limited@3 is newer and in force"


def test_a_policy_that_was_ended_judges_no_more(world: World) -> None:
    row = world.policy()
    services.end_policy(actor=world.officer(), policy=row)
    assert queries.policy_in_force("limited") is None
    with pytest.raises(NotFound):
        queries.get_policy("limited", 9)


def test_over_http_a_policy_goes_from_ready_made_to_in_force(world: World) -> None:
    world.officer()
    root, carla = api("root"), api("carla")
    shipped = root.get("/api/v1/policies/ready-made").json()["items"]
    made = root.post("/api/v1/policies", shipped[1], format="json")
    assert made.status_code == 201, made.content
    assert root.post("/api/v1/policies/limited/1/approve").status_code == 403
    assert carla.post("/api/v1/policies/limited/1/approve").json()["in_force_at"] is not None
    assert carla.get("/api/v1/policies/limited/1").json()["document"] == shipped[1]["document"]
    wrong = root.post("/api/v1/policies", {"slug": "x", "document": {"type": "pressmark/policy/1"}}, format="json")
    assert (wrong.status_code, wrong.json()["type"]) == (422, "urn:pressmark:problem:policy")
    assert [row["policy"] for row in carla.get("/api/v1/policies").json()["items"]] == ["limited@1"]

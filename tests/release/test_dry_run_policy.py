"""A draft is tried on all that aliases serve before anybody approves it; nothing is written, nobody sees more than he may."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.models import Entry
from registry.errors import Forbidden, Invalid
from registry.release import services
from registry.release.dry_run import DryRun, draft_of, dry_run
from registry.release.models import Verdict
from tests.world import Cast, World


def draft(world: World, tier: str = "limited", **limits: Any) -> dict[str, Any]:
    """The ready-made policy, with rules changed by id: a dict updates, None removes."""
    document = copy.deepcopy(world.policy_document(tier))
    rules = []
    for rule in document["rules"]:
        change = limits.get(rule["id"].replace("-", "_"), {})
        if change is not None:
            rules.append({**rule, **change})
    document["rules"] = rules
    return document


def tried(world: World, document: dict[str, Any], slug: str | None = "limited") -> DryRun:
    return dry_run(world.officer(), draft_of(document), slug)


def test_a_stricter_limit_is_told_for_each_version_that_it_would_block_with_the_reason(world: World) -> None:
    _, child = world.released_pair()
    entries, verdicts = Entry.objects.count(), Verdict.objects.count()
    found = tried(world, draft(world, smaller={"limit": "5"}))
    (row,) = found.rows
    assert (row.move.version, row.now, row.then, row.verdict) == (child, "passed", "blocked", "newly-blocked")
    (change,) = row.changes
    assert (change.rule, change.before, change.after) == ("smaller", "passed", "blocked")
    assert "3.92" in change.reason
    assert found.counts == {
        "live": 1, "tried": 1, "pass_now": 1, "would_pass": 0, "newly_blocked": 1, "newly_passing": 0, "to_renew": 1,
    }  # fmt: skip
    assert (Entry.objects.count(), Verdict.objects.count()) == (entries, verdicts)


def test_a_rule_that_goes_is_told_as_gone_and_blocks_nobody(world: World) -> None:
    world.released_pair()
    found = tried(world, draft(world, smaller=None))
    (row,) = found.rows
    assert row.verdict == "changed"
    assert [(c.rule, c.before, c.after) for c in row.changes] == [("smaller", "passed", "")]


def test_what_is_blocked_now_and_would_pass_is_told_too(world: World) -> None:
    _, child = world.released_pair()
    world.measure(child, child, size_ratio="1")
    found = tried(world, draft(world, smaller={"limit": "0.5"}))
    assert [(r.now, r.then, r.verdict) for r in found.rows] == [("blocked", "passed", "newly-passing")]


def test_the_policy_in_force_itself_changes_nothing(world: World) -> None:
    world.released_pair()
    (row,) = tried(world, draft(world)).rows
    assert (row.verdict, row.renew, row.changes) == ("unchanged", False, [])


def test_what_only_the_replaced_policy_judged_would_be_judged_by_nothing(world: World) -> None:
    world.released_pair()
    document = draft(world)
    document["aliases"] = ["staging"]
    (row,) = tried(world, document).rows
    assert (row.now, row.then, row.verdict) == ("passed", "no policy", "newly-blocked")


def test_versions_of_other_tiers_are_untouched_and_a_contradiction_is_named(world: World) -> None:
    world.released_pair()
    found = tried(world, draft(world, "high"), "high")
    assert (found.rows, found.untouched, found.contradicts) == ([], 1, [])
    assert tried(world, draft(world), "another").contradicts == ["limited@1"]


def test_a_suspended_alias_serves_nothing_and_is_not_tried(world: World, cast: Cast) -> None:
    parent, _ = world.released_pair()
    services.suspend(actor=cast.otto, model=parent.model, alias="production", reason="Odd answers.")
    assert tried(world, draft(world)).counts["live"] == 0


def test_who_may_try_one_and_who_sees_what(world: World, cast: Cast) -> None:
    world.released_pair()
    rules = draft_of(draft(world))
    assert len(dry_run(cast.omar, rules, "limited", world.team).rows) == 1
    for caller in (cast.omar, cast.ada, cast.eve):  # omar is an approver of one team, not of the whole instance
        with pytest.raises(Forbidden):
            dry_run(caller, rules, "limited")
    assert len(dry_run(cast.root, rules, "limited").rows) == 1


def test_a_draft_that_cannot_be_evaluated_says_where(world: World) -> None:
    with pytest.raises(Invalid, match="rules/0: 'guess' is no check"):
        draft_of(draft(world, structure={"check": "guess"}))


def test_a_version_is_read_once_however_many_aliases_serve_it(world: World) -> None:
    version = world.parent_version()
    world.promoted(version)
    document = draft(world)
    with CaptureQueriesContext(connection) as alone:
        tried(world, document)
    world.promoted(version, "staging")
    world.promoted(version, "edge")
    with CaptureQueriesContext(connection) as beside_others:
        assert len(tried(world, document).rows) == 3
    assert len(beside_others) == len(alone)

"""A policy is data in a language of its own; what cannot be evaluated is refused before it is stored."""

from __future__ import annotations

import copy
import time
from typing import Any

import pytest

from registry.digests import canonical
from registry.release import gates
from registry.release.policy_language import PolicyError, checks, parse, ready_made

POLICIES = dict(ready_made())


def changed(path: list[Any], value: Any) -> dict[str, Any]:
    document = copy.deepcopy(POLICIES["limited"])
    here: Any = document
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = value
    return document


def test_one_ready_made_policy_ships_for_each_tier_and_each_can_be_evaluated() -> None:
    assert sorted(POLICIES) == ["high", "limited", "minimal"]
    for tier, document in POLICIES.items():
        rules = parse(document)
        assert rules.tiers == (tier,)
        canonical(document)


def test_a_higher_tier_asks_for_more() -> None:
    minimal, limited, high = (parse(POLICIES[t]) for t in ("minimal", "limited", "high"))
    assert {r.id for r in minimal.rules} < {r.id for r in limited.rules} < {r.id for r in high.rules}
    assert (minimal.approvals_required, limited.approvals_required, high.approvals_required) == (1, 1, 2)
    assert (minimal.officers_required, limited.officers_required, high.officers_required) == (0, 0, 1)
    assert minimal.lapse_grace_hours >= limited.lapse_grace_hours > high.lapse_grace_hours
    assert minimal.approval_valid_days > limited.approval_valid_days > high.approval_valid_days


def test_every_check_of_the_language_is_carried_out_by_the_gate() -> None:
    assert sorted(checks()) == sorted(gates.CHECKS)
    assert {r["check"] for r in POLICIES["high"]["rules"]} == set(checks())


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["language"], 2, "language"),
        (["type"], "pressmark/policy/2", "type"),
        (["tiers"], ["extreme"], "tiers"),
        (["approvals_required"], 0, "approvals_required"),
        (["aliases"], ["9lives"], "alias"),
        (["rules"], [], "rules"),
        (["rules", 0, "check"], "run_a_script", "no check"),
        (["rules", 0, "surprise"], 1, "surprise"),
        (["rules", 8, "limit"], "1.50", "limit"),
        (["rules", 8, "limit"], 1.5, "float"),
        (["rules", 1, "id"], "structure", "stands twice"),
        (["drift_limits", "false_alarm_level"], "1.5", "false_alarm_level"),
    ],
)
def test_a_policy_that_cannot_be_evaluated_is_refused_with_the_place(path: list[Any], value: Any, said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        parse(changed(path, value))


def test_another_wording_of_a_rule_has_another_digest() -> None:
    before = parse(POLICIES["limited"]).rule("smaller")
    after = parse(changed(["rules", 8, "limit"], "2")).rule("smaller")
    assert before is not None
    assert after is not None
    assert before.digest != after.digest
    assert parse(POLICIES["limited"]).rule("smaller") == before


def test_policies_overlap_where_they_share_a_tier_and_an_alias() -> None:
    every, production, staging = (parse(changed(["aliases"], a)) for a in ([], ["production"], ["staging"]))
    assert every.overlaps(production) == {"limited"}
    assert production.overlaps(staging) == set()
    assert not staging.covers("limited", "production")
    assert every.covers("limited", "anything")


def test_thousands_of_rules_are_refused_by_their_number_before_each_is_judged() -> None:
    rule = POLICIES["limited"]["rules"][0]
    document = {**POLICIES["limited"], "rules": [{**rule, "id": f"r{number}"} for number in range(20_000)]}
    began = time.process_time()
    with pytest.raises(PolicyError, match="20000 are too many; a policy has at most 100") as refused:
        parse(document)
    assert len(str(refused.value)) < 200
    assert time.process_time() - began < 5

"""Whoever approves a policy reads sentences; each rule has one, and what differs between two policies is told in full."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from registry.release.policy_language import PolicyRules, checks, parse, ready_made
from registry.release.policy_words import deciders, differences, limits, sentence

POLICIES = dict(ready_made())


def ruled(**rule: Any) -> PolicyRules:
    common = {"id": "asked", "about": "Asked.", "applies_to": "any", "waivable": True}
    return parse({**POLICIES["limited"], "rules": [{**common, **rule}]})


EACH = [
    ({"check": "evidence_present", "kind": "memory", "source": "measured", "max_age_days": 30},
     "There is measured evidence of kind 'memory', at most 30 days old."),
    ({"check": "figure", "kind": "quality", "metric": "accuracy_difference", "comparator": "at_least", "limit": "-0.01",
      "bound": "low", "slices": "every", "minimum_n": 300, "seen_rows": "accepted"},
     "'accuracy_difference' of 'quality' is at least -0.01 in every slice, by the lower end of its interval, on at least 300 rows "
     "or runs (rows that the version had seen count)."),
    ({"check": "target_evidence", "max_age_days": 1, "host_digest": None, "settings_digest": None, "limits": [
        {"metric": "latency_p99", "comparator": "at_most", "limit": "20", "bound": "point"}]},
     "It was measured where it is served, at most 1 day ago; it keeps latency_p99 at most 20."),
    ({"check": "terms", "term": "commercial_use", "allowed": ["allowed", "conditions"]},
     "The licences of the lineage answer 'allowed' or 'conditions' on commercial use."),
    ({"check": "training_data", "allowed": ["complete"]}, "What it was trained on is recorded as 'complete'."),
    ({"check": "lineage_grade", "at_least": "executed", "applies_to": "derived"},
     "Of derived versions: every edge to a parent is at least executed."),
    ({"check": "dataset_known"}, "Every dataset of the lineage has a known licence and origin."),
    ({"check": "use_case", "tiers": ["high"], "answered": True},
     "The model serves a use case of tier 'high', which follows from answers to the tier table in force."),
    ({"check": "structure_checked"}, "The structure of every weights file was read and accepted."),
    ({"check": "parent_rollback_target"}, "An ancestor was approved, so that there is something to go back to."),
    ({"check": "open_findings", "kinds": []}, "No finding about the model is open."),
    ({"check": "document_attached", "kind": "contract", "of": "each_dataset"},
     "A document of kind 'contract' is kept about each dataset of the lineage."),
    ({"check": "review_in_force", "kind": "privacy", "of": "version"},
     "A review of kind 'privacy' of exactly this state of the version accepts it and is not overdue."),
    ({"check": "data_quality", "use": "any", "metric": "missing_share", "comparator": "at_most", "limit": "0.02"},
     "'missing_share' of every dataset is at most 0.02."),
    ({"check": "contamination", "limit": "0", "copies": "near"},
     "At most 0 of the evaluation rows stands in training or calibration data, nearly the same rows included."),
    ({"check": "not_recalled"}, "Nothing that it is or was made from is under an open recall."),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "said"), EACH)
def test_every_check_has_its_sentence(rule: dict[str, Any], said: str) -> None:
    assert sentence(ruled(**rule).rules[0]) == said


def test_no_check_is_without_one() -> None:
    assert sorted({rule["check"] for rule, _ in EACH}) == sorted(checks())


def test_what_a_policy_allows_is_told_with_what_it_leaves_unsaid() -> None:
    told = dict(limits(parse(POLICIES["limited"] | {"approvals_required": 3, "officers_required": 1})))
    assert told["Approval by"] == "3 people, 1 of them by compliance officers"
    assert told["Aliases"] == "all of them"
    assert told["After an approval lapsed"] == "admitted for 72 hours"


def test_who_has_to_grant_is_told_by_role() -> None:
    one = POLICIES["limited"] | {"approvals_required": 1, "officers_required": 0}
    assert deciders(parse(one)) == "1 approver"
    assert (
        deciders(parse(one | {"approvals_required": 3, "officers_required": 1}))
        == "2 approvers and 1 compliance officer"
    )
    assert deciders(parse(one | {"officers_required": 1})) == "1 compliance officer"


def test_two_policies_differ_in_what_they_say_and_in_nothing_else() -> None:
    before = copy.deepcopy(POLICIES["limited"])
    after = copy.deepcopy(before)
    after["approval_valid_days"] = 30
    gone = after["rules"].pop(0)
    after["rules"][0]["waivable"] = not after["rules"][0]["waivable"]
    after["rules"].append({**gone, "id": "new"})
    found = differences(parse(before), parse(after))
    names = [d.name for d in found]
    assert names == ["An approval lasts", after["rules"][0]["id"], "new", gone["id"]]
    assert (found[0].before, found[0].after) == ("at most 180 days", "at most 30 days")
    assert ("waived" in found[1].before, found[2].before, found[3].after) == (True, "", "")
    assert differences(parse(before), parse(before)) == []

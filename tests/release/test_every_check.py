"""Every check of the policy language against every way to lack what it asks for: one table, from given facts alone.

A cell is a check and what is wrong with its fact. `held` is what each check needs to pass; a cell spoils one thing of it.
"""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest

from registry.oversight.services import CLOSED_BY_OTHERS
from registry.oversight.services_proofs import REVIEW_KINDS as SIGNED_KINDS
from registry.oversight.services_replays import KIND as DIFFERS
from registry.release import gates
from registry.release.gate_facts import (
    AncestorInput,
    DatasetInput,
    DocumentInput,
    EdgeInput,
    EvidenceInput,
    Finding,
    GateInputs,
    OpenFindingInput,
    OverlapInput,
    ProfileInput,
    RecallInput,
    ReviewInput,
    TermInput,
)
from registry.release.policy_language import (
    FINDING_KINDS,
    REVIEW_KINDS,
    PolicyError,
    checks,
    parse,
    ready_made,
)
from registry.release.services.lapses import KIND as LAPSED

AT = datetime.datetime(2026, 3, 3, 14, tzinfo=datetime.UTC)
DAY, MICROSECOND = datetime.timedelta(days=1), datetime.timedelta(microseconds=1)
MINE, PARENT, PAPER, TESTED, LEARNED, PROFILE, OTHER = (f"sha256:{n:064x}" for n in range(1, 8))


def figure(value: str | None = "0.9", n: int | None = 100, group: str = "") -> dict[str, Any]:
    part = [{"name": "group", "value": group}] if group else []
    return {
        "metric": "accuracy", "value": value, "low": "0.85", "high": "0.95", "n": n, "slice": part, "spread": None,
        "unit": "1", "reason": None if value else "no rows",
    }  # fmt: skip


def evidence(kind: str = "quality", *figures: dict[str, Any], **members: Any) -> EvidenceInput:
    given: dict[str, Any] = {"source": "measured", "version_digest": MINE, "datasets": [TESTED]} | members
    return EvidenceInput(
        kind=kind, digest=PAPER, created_at=given.pop("created_at", AT - DAY), figures=figures or [figure()], **given
    )


def rows(digest: str, **members: Any) -> DatasetInput:
    given: dict[str, Any] = {"uses": ("training",) if digest == LEARNED else ("evaluation",)} | members
    return DatasetInput("search/rows@1", digest, "MIT", **{"licence_known": True, "origin_known": True, **given})


def profile(share: str | None = "0.02", count: int = 1000, overlap: int | None = 10) -> ProfileInput:
    beside = () if overlap is None else (OverlapInput(LEARNED, overlap),)
    return ProfileInput(PROFILE, count, {"missing_share": share}, beside)


def review(accepted: bool = True, days_ago: int = 1, next_on: datetime.date | None = None) -> ReviewInput:
    return ReviewInput("privacy", accepted, AT - days_ago * DAY, next_on)


def finding(kind: str = "recalled") -> OpenFindingInput:
    return OpenFindingInput("f-1", kind, "production", AT.date())


def held() -> GateInputs:
    """Facts with which every rule of the table passes."""
    learned = rows(LEARNED, documents=[DocumentInput("consent", PAPER)], reviews=[review()], profile=profile())
    return GateInputs(
        version_digest=MINE, origin="derived", at=AT, tier="high", use_case="search/help", training_data="complete",
        structure=[PAPER], evidence=[evidence(), evidence("target")],
        terms={"commercial_use": TermInput("conditions", "MIT of search/help@1")},
        edges=[EdgeInput(PARENT, "base", "executed")], datasets=[learned],
        ancestors=[AncestorInput("search/help@1", PARENT, True)], waivers=[], tier_answered=True,
        evaluation_data=[rows(TESTED, profile=profile())], documents=[DocumentInput("legal-opinion", PAPER)],
        reviews=[review()],
    )  # fmt: skip


RULES: dict[str, dict[str, Any]] = {
    "evidence_present": {"kind": "quality", "source": "measured", "max_age_days": 30},
    "figure": {
        "kind": "quality", "metric": "accuracy", "comparator": "at_least", "limit": "0.9", "bound": "point",
        "slices": "whole", "minimum_n": 100,
    },
    "figure, every slice": {
        "check": "figure", "kind": "quality", "metric": "accuracy", "comparator": "at_most", "limit": "0.95",
        "bound": "high", "slices": "every", "minimum_n": 100,
    },
    "target_evidence": {
        "max_age_days": 30, "settings_digest": None, "host_digest": None,
        "limits": [{"metric": "accuracy", "comparator": "at_least", "limit": "0.85", "bound": "low"}],
    },
    "terms": {"term": "commercial_use", "allowed": ["allowed", "conditions"]},
    "training_data": {"allowed": ["complete"]},
    "lineage_grade": {"at_least": "executed"},
    "dataset_known": {},
    "use_case": {"tiers": ["high"], "answered": True},
    "structure_checked": {},
    "parent_rollback_target": {},
    "open_findings": {"kinds": ["recalled", "broken-glass"]},
    "document_attached": {"kind": "legal-opinion"},
    "document_attached, each dataset": {"check": "document_attached", "kind": "consent", "of": "each_dataset"},
    "review_in_force": {"kind": "privacy", "of": "version"},
    "review_in_force, each dataset": {"check": "review_in_force", "kind": "privacy", "of": "each_dataset"},
    "data_quality": {
        "use": "training", "metric": "missing_share", "comparator": "at_most", "limit": "0.02", "minimum_n": 1000,
    },
    "contamination": {"limit": "0.01"},
    "not_recalled": {},
}  # fmt: skip


def facts_of(rule: str) -> GateInputs:
    if rule != "figure, every slice":
        return held()
    return dataclasses.replace(held(), evidence=[evidence("quality", figure(), figure(group="a"), figure(group="b"))])


def asked(rule: str, facts: GateInputs) -> Finding:
    """The answer to one rule of the table."""
    common = {"id": "rule", "about": "Asked.", "applies_to": "any", "waivable": False, "check": rule}
    document = dict(ready_made())["high"] | {"rules": [common | RULES[rule]]}
    (result,) = [r for r in gates.judge(parse(document), facts).results if r.rule.id == "rule"]
    return Finding(result.answer == "passed", result.reason, result.inputs)


def quality(*figures: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"evidence": [evidence("quality", *figures, **members)]}


def target(*figures: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"evidence": [evidence("target", *figures, **members)]}


def learned(**members: Any) -> dict[str, Any]:
    return {"datasets": [rows(LEARNED, **members)]}


def judged_on(**members: Any) -> dict[str, Any]:
    return {"evaluation_data": [rows(TESTED, **members)]}


SLICES = [figure(group="a"), figure(group="b")]
BLOCKS: list[tuple[str, str, dict[str, Any]]] = [
    ("evidence_present", "absent", {"evidence": []}),
    ("evidence_present", "of another version", quality(version_digest=OTHER)),
    ("evidence_present", "of the parent", quality(version_digest=PARENT)),
    ("evidence_present", "declared", quality(source="declared")),
    ("evidence_present", "of another kind", {"evidence": [evidence("fidelity")]}),
    ("evidence_present", "a moment too old", quality(created_at=AT - 30 * DAY - MICROSECOND)),
    ("evidence_present", "dated after now", quality(created_at=AT + DAY)),
    ("evidence_present", "over rows that were seen", quality(environment={"seen_rows": "1"})),
    ("evidence_present", "over rows nobody could count", quality(environment={"seen_rows": "many"})),
    ("figure", "absent", {"evidence": []}),
    ("figure", "another metric alone", quality({**figure(), "metric": "recall"})),
    ("figure", "of another version", quality(version_digest=OTHER)),
    ("figure", "of the parent", quality(version_digest=PARENT)),
    ("figure", "declared", quality(source="declared")),
    ("figure", "without a value", quality(figure(None))),
    ("figure", "not a number", quality(figure("NaN"))),
    ("figure", "without end", quality(figure("Infinity"))),
    ("figure", "an empty sample", quality(figure(n=0))),
    ("figure", "a sample of unknown size", quality(figure(n=None))),
    ("figure", "one sample short", quality(figure(n=99))),
    ("figure", "just under the limit", quality(figure("0.8999999999999999999999"))),
    ("figure", "of one slice alone", quality(*SLICES)),
    ("figure, every slice", "absent", {"evidence": []}),
    ("figure, every slice", "no slice was measured", quality()),
    ("figure, every slice", "an empty slice", quality(figure(), SLICES[0], figure(None, n=0, group="b"))),
    ("figure, every slice", "few rows in one slice", quality(figure(), SLICES[0], figure(n=3, group="b"))),
    ("figure, every slice", "beyond the limit in one", quality(figure(), {**SLICES[0], "high": "0.951"})),
    ("figure, every slice", "no interval in one", quality(figure(), {**SLICES[0], "high": None})),
    ("target_evidence", "absent", {"evidence": [evidence()]}),
    ("target_evidence", "of another version", target(version_digest=OTHER)),
    ("target_evidence", "a moment too old", target(created_at=AT - 30 * DAY - MICROSECOND)),
    ("target_evidence", "dated after now", target(created_at=AT + DAY)),
    ("target_evidence", "another figure alone", target({**figure(), "metric": "recall"})),
    ("target_evidence", "just under the limit", target({**figure(), "low": "0.8499"})),
    ("target_evidence", "not a number", target({**figure(), "low": "NaN"})),
    ("target_evidence", "over rows that were seen", target(environment={"seen_rows": "4"})),
    ("terms", "absent", {"terms": {}}),
    ("terms", "unknown", {"terms": {"commercial_use": TermInput("unknown", "")}}),
    ("terms", "forbidden", {"terms": {"commercial_use": TermInput("forbidden", "X")}}),
    ("training_data", "unknown", {"training_data": "unknown"}),
    ("training_data", "incomplete", {"training_data": "incomplete"}),
    ("lineage_grade", "absent", {"edges": []}),
    ("lineage_grade", "declared", {"edges": [EdgeInput(PARENT, "base", "declared")]}),
    ("lineage_grade", "one of two declared",
     {"edges": [EdgeInput(PARENT, "base", "re-derived"), EdgeInput(OTHER, "teacher", "declared")]}),
    ("lineage_grade", "a grade nobody knows", {"edges": [EdgeInput(PARENT, "base", "attested")]}),
    ("dataset_known", "terms unknown", learned(licence_known=False)),
    ("dataset_known", "origin unknown", learned(origin_known=False)),
    ("use_case", "absent", {"use_case": None, "tier": None}),
    ("use_case", "another tier", {"tier": "limited"}),
    ("use_case", "not by answers", {"tier_answered": False}),
    ("structure_checked", "absent", {"structure": []}),
    ("parent_rollback_target", "absent", {"ancestors": []}),
    ("parent_rollback_target", "not approved", {"ancestors": [AncestorInput("search/help@1", PARENT, False)]}),
    ("open_findings", "one is open", {"findings": [finding()]}),
    ("open_findings", "one of several kinds", {"findings": [finding("broken-glass")]}),
    ("document_attached", "absent", {"documents": []}),
    ("document_attached", "another kind", {"documents": [DocumentInput("contract", PAPER)]}),
    ("document_attached", "about the data alone",
     {"documents": [], **learned(documents=[DocumentInput("legal-opinion", PAPER)])}),
    ("document_attached, each dataset", "no dataset", {"datasets": []}),
    ("document_attached, each dataset", "absent", learned()),
    ("document_attached, each dataset", "about the version alone",
     {"documents": [DocumentInput("consent", PAPER)], **learned()}),
    ("review_in_force", "absent", {"reviews": []}),
    ("review_in_force", "refused", {"reviews": [review(accepted=False)]}),
    ("review_in_force", "refused later", {"reviews": [review(days_ago=2), review(accepted=False)]}),
    ("review_in_force", "overdue by a day", {"reviews": [review(next_on=AT.date() - DAY)]}),
    ("review_in_force", "another kind", {"reviews": [dataclasses.replace(review(), kind="legal")]}),
    ("review_in_force, each dataset", "no dataset", {"datasets": []}),
    ("review_in_force, each dataset", "absent", learned()),
    ("review_in_force, each dataset", "of the version alone", learned(reviews=[])),
    ("review_in_force, each dataset", "overdue by a day", learned(reviews=[review(next_on=AT.date() - DAY)])),
    ("data_quality", "no dataset", {"datasets": []}),
    ("data_quality", "no profile", learned()),
    ("data_quality", "no figure", learned(profile=ProfileInput(PROFILE, 1000, {}))),
    ("data_quality", "without a value", learned(profile=profile(None))),
    ("data_quality", "not a number", learned(profile=profile("NaN"))),
    ("data_quality", "one row short", learned(profile=profile(count=999))),
    ("data_quality", "just beyond the limit", learned(profile=profile("0.0200001"))),
    ("data_quality", "of evaluation data alone", learned(uses=("evaluation",), profile=profile())),
    ("contamination", "nothing measured", {"evidence": []}),
    ("contamination", "measured on another version", quality(version_digest=OTHER)),
    ("contamination", "declared", quality(source="declared")),
    ("contamination", "names no rows", quality(datasets=())),
    ("contamination", "a kind that names no rows beside one that does",
     {"evidence": [evidence(), evidence("fidelity", datasets=())]}),
    ("contamination", "never profiled", judged_on()),
    ("contamination", "an empty profile", judged_on(profile=profile(count=0))),
    ("contamination", "never compared", judged_on(profile=profile(overlap=None))),
    ("contamination", "a row beyond the limit", judged_on(profile=profile(overlap=11))),
    ("contamination", "nothing to compare with", {"datasets": []}),
    ("contamination", "the same rows", {"datasets": [rows(TESTED, uses=("training",), profile=profile())]}),
    ("not_recalled", "recalled", {"recalls": [RecallInput("The version", AT - DAY, True)]}),
    ("not_recalled", "quarantine lifted", {"recalls": [RecallInput("The version", AT - DAY, False)]}),
]  # fmt: skip

PASSES: list[tuple[str, str, dict[str, Any]]] = [
    ("evidence_present", "exactly as old as allowed", quality(created_at=AT - 30 * DAY)),
    ("evidence_present", "written while the gate looked", quality(created_at=AT + MICROSECOND)),
    ("figure", "exactly the limit", quality(figure("0.9", n=100))),
    ("figure, every slice", "exactly the limit", quality(figure(), figure(group="a"))),
    ("target_evidence", "exactly as old as allowed", target(created_at=AT - 30 * DAY)),
    ("lineage_grade", "better than asked", {"edges": [EdgeInput(PARENT, "base", "re-derived")]}),
    ("open_findings", "another kind", {"findings": [finding("manual")]}),
    ("open_findings", "left behind", {"findings": [dataclasses.replace(finding(), left_behind=True)]}),
    ("review_in_force", "due today", {"reviews": [review(next_on=AT.date())]}),
    ("review_in_force", "accepted after it was refused", {"reviews": [review(accepted=False, days_ago=3), review()]}),
    ("data_quality", "exactly the limit", learned(profile=profile("0.02", 1000))),
    ("contamination", "exactly the limit", judged_on(profile=profile(overlap=10))),
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_of_the_table_passes_on_facts_that_hold(rule: str) -> None:
    found = asked(rule, facts_of(rule))
    assert found.holds, found.reason


@pytest.mark.parametrize(("rule", "what", "change"), BLOCKS, ids=[f"{rule}: {what}" for rule, what, _ in BLOCKS])
def test_what_a_rule_asks_for_and_is_not_so_blocks(rule: str, what: str, change: dict[str, Any]) -> None:
    found = asked(rule, dataclasses.replace(facts_of(rule), **change))
    assert not found.holds, (what, found.reason)
    assert found.reason.endswith("."), found.reason


@pytest.mark.parametrize(("rule", "what", "change"), PASSES, ids=[f"{rule}: {what}" for rule, what, _ in PASSES])
def test_what_is_just_enough_passes(rule: str, what: str, change: dict[str, Any]) -> None:
    found = asked(rule, dataclasses.replace(facts_of(rule), **change))
    assert found.holds, (what, found.reason)


def test_no_check_of_the_language_is_missing_in_the_table() -> None:
    named = {str(rule.get("check", name)) for name, rule in RULES.items()}
    assert named == set(checks())
    assert {rule for rule, _, _ in BLOCKS} == set(RULES)


def test_kinds_in_rules_are_those_that_the_registry_gives() -> None:
    assert set(FINDING_KINDS) == {*CLOSED_BY_OTHERS, LAPSED, DIFFERS, "manual"}
    assert REVIEW_KINDS == SIGNED_KINDS


@pytest.mark.parametrize(
    ("rule", "change", "said"),
    [
        ("open_findings", {"kinds": ["broken_glass"]}, "'broken_glass', which is no kind of finding; there are: approval-"),
        ("document_attached", {"kind": "opinion"}, "'opinion', which is no kind of document"),
        ("review_in_force", {"kind": "secrecy"}, "'secrecy', which is no kind of review"),
        ("terms", {"term": "comercial_use"}, "'comercial_use', which is no term of licences"),
    ],
)  # fmt: skip
def test_a_rule_about_what_nothing_is_called_is_refused(rule: str, change: dict[str, Any], said: str) -> None:
    common = {"id": "rule", "about": "Asked.", "applies_to": "any", "waivable": False, "check": rule}
    document = dict(ready_made())["high"] | {"rules": [common | RULES[rule] | change]}
    with pytest.raises(PolicyError, match=said):
        parse(document)

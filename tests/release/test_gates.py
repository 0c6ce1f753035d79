"""The gate, rule by rule: what passes, what blocks, and why, from given facts and nothing else."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

import pytest

from registry.digests import sha256
from registry.release import gates
from registry.release.policy_language import parse, ready_made

NOW = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
MINE, OTHER, DOCUMENT, DATA = (sha256(name.encode()) for name in ("mine", "other", "document", "data"))


def figure(metric: str, value: str | None, **members: Any) -> dict[str, Any]:
    base = {
        "high": None,
        "low": None,
        "metric": metric,
        "n": 300,
        "reason": None,
        "slice": [],
        "spread": None,
        "unit": "x",
    }
    return {**base, "value": value, **members}


def evidence(kind: str, *figures: dict[str, Any], **members: Any) -> gates.EvidenceInput:
    base = {"kind": kind, "source": "measured", "digest": DOCUMENT, "version_digest": MINE, "created_at": NOW - DAY}
    return gates.EvidenceInput(**{**base, "figures": figures, **members})  # type: ignore[arg-type]


def inputs(**changes: Any) -> gates.GateInputs:
    base = gates.GateInputs(
        version_digest=MINE, origin="derived", at=NOW, tier="limited", use_case="search/support",
        training_data="complete", structure=[DOCUMENT], evidence=[], terms={}, edges=[], datasets=[], ancestors=[],
        waivers=[],
    )  # fmt: skip
    return replace(base, **changes)


def answer(check: str, given: gates.GateInputs, **parameters: Any) -> gates.RuleResult:
    """The answer to one rule of a policy that has only this one."""
    document = {**dict(ready_made())["limited"]}
    common = {"id": "rule", "about": "About.", "check": check, "applies_to": "any", "waivable": True}
    document["rules"] = [{**common, **parameters}]
    return gates.judge(parse(document), given).results[0]


# --- evidence_present ---

PRESENT = {"kind": "size", "source": "measured", "max_age_days": 30}


def test_measured_evidence_of_this_version_passes_and_is_named() -> None:
    found = answer("evidence_present", inputs(evidence=[evidence("size")]), **PRESENT)
    assert (found.answer, found.inputs) == ("passed", (DOCUMENT,))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "no measured evidence of kind 'size'"),
        ([evidence("size", source="declared")], "declared one, which does not count"),
        ([evidence("size", version_digest=OTHER)], "no measured evidence"),
        ([evidence("fidelity")], "no measured evidence"),
        ([evidence("size", created_at=NOW - 31 * DAY)], "31 days old"),
    ],
)
def test_evidence_that_is_missing_declared_of_another_version_or_old_blocks(given: list[Any], said: str) -> None:
    found = answer("evidence_present", inputs(evidence=given), **PRESENT)
    assert found.answer == "blocked"
    assert said in found.reason


def test_declared_evidence_is_enough_only_where_the_rule_says_so() -> None:
    given = inputs(evidence=[evidence("size", source="declared")])
    assert answer("evidence_present", given, **{**PRESENT, "source": "any"}).answer == "passed"


# --- figure ---

FIGURE = {
    "kind": "fidelity", "metric": "cosine_mean", "comparator": "at_least", "limit": "0.98", "bound": "low",
    "slices": "whole", "minimum_n": 100,
}  # fmt: skip


def fidelity(value: str | None = "0.99", **members: Any) -> gates.GateInputs:
    return inputs(
        evidence=[evidence("fidelity", figure("cosine_mean", value, **{"low": "0.985", "high": "0.995", **members}))]
    )


def test_a_figure_within_its_limit_passes_and_says_both_numbers() -> None:
    found = answer("figure", fidelity(), **FIGURE)
    assert found.answer == "passed"
    assert found.reason == "'cosine_mean' is 0.985 at the low end of its interval; at least 0.98 is asked."


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (inputs(), "was not measured"),
        (inputs(evidence=[evidence("fidelity")]), "holds no figure"),
        (fidelity(None, reason="no rows"), "has no value: no rows"),
        (fidelity(low=None), "no low end"),
        (fidelity(low="0.979"), "is only 0.979"),
        (fidelity(n=99), "rests on 99 samples"),
        (fidelity(n=None), "unknown number of samples"),
        (fidelity(slice=[{"name": "race", "value": "2"}]), "holds no figure"),
    ],
)
def test_a_figure_that_is_missing_unsure_small_or_beyond_its_limit_blocks(given: gates.GateInputs, said: str) -> None:
    found = answer("figure", given, **FIGURE)
    assert found.answer == "blocked"
    assert said in found.reason


def test_declared_figures_never_count() -> None:
    declared = replace(fidelity().evidence[0], source="declared")
    assert answer("figure", inputs(evidence=[declared]), **FIGURE).answer == "blocked"


def test_the_newest_measurement_decides() -> None:
    old, new = fidelity("0.99").evidence[0], replace(fidelity(low="0.5").evidence[0], created_at=NOW)
    assert answer("figure", inputs(evidence=[old, new]), **FIGURE).answer == "blocked"
    assert answer("figure", inputs(evidence=[new, replace(old, created_at=NOW + DAY)]), **FIGURE).answer == "passed"


def test_decimals_are_compared_exactly_not_as_floats() -> None:
    limit = {**FIGURE, "bound": "point", "limit": "0.1"}
    assert answer("figure", fidelity("0.1"), **limit).answer == "passed"
    assert answer("figure", fidelity("0.0999999999999999999999"), **limit).answer == "blocked"
    most = {**limit, "comparator": "at_most"}
    assert answer("figure", fidelity("0.1000000000000000000001"), **most).answer == "blocked"


def test_one_bad_slice_blocks_where_every_slice_counts() -> None:
    slices = [
        figure("cosine_mean", "0.99", low=low, slice=[{"name": "race", "value": str(i)}])
        for i, low in enumerate(["0.985", "0.9"])
    ]
    given = inputs(evidence=[evidence("fidelity", *fidelity().evidence[0].figures, *slices)])
    assert answer("figure", given, **FIGURE).answer == "passed"
    found = answer("figure", given, **{**FIGURE, "slices": "every"})
    assert found.answer == "blocked"
    assert "race = 1" in found.reason


# --- rows that the version had seen ---


def seen(rows: str, **members: Any) -> gates.EvidenceInput:
    return replace(fidelity().evidence[0], environment={"seen_rows": rows}, **members)


def test_a_figure_over_rows_that_the_version_had_seen_does_not_count_and_the_reason_says_so() -> None:
    found = answer("figure", inputs(evidence=[seen("12")]), **FIGURE)
    assert (found.answer, found.inputs) == ("blocked", (DOCUMENT,))
    assert "had seen 12 rows" in found.reason
    assert answer("figure", inputs(evidence=[seen("0")]), **FIGURE).answer == "passed"


def test_a_rule_may_accept_rows_that_were_seen() -> None:
    given = inputs(evidence=[seen("12")])
    assert answer("figure", given, **FIGURE, seen_rows="accepted").answer == "passed"
    assert answer("figure", given, **FIGURE, seen_rows="refused").answer == "blocked"


def test_a_newer_figure_over_seen_rows_does_not_stand_in_for_an_older_one_over_fresh_rows() -> None:
    fresh = fidelity(low="0.5").evidence[0]
    found = answer("figure", inputs(evidence=[fresh, seen("1", created_at=NOW)]), **FIGURE)
    assert (found.answer, "is only 0.5" in found.reason) == ("blocked", True)


# --- terms, data, lineage, use case, structure, roll-back ---

TERMS = {"term": "commercial_use", "allowed": ["allowed", "conditions"]}


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"commercial_use": gates.TermInput("allowed", "MIT")}, "passed"),
        ({"commercial_use": gates.TermInput("conditions", "MIT")}, "passed"),
        ({"commercial_use": gates.TermInput("forbidden", "CC-BY-NC-4.0 of data")}, "blocked"),
        ({"commercial_use": gates.TermInput("unknown", "")}, "blocked"),
        ({}, "blocked"),
    ],
)
def test_terms_pass_only_when_they_are_known_and_allowed(terms: dict[str, Any], expected: str) -> None:
    assert answer("terms", inputs(terms=terms), **TERMS).answer == expected


def test_an_unknown_term_says_that_unknown_blocks_and_whose_licence_is_silent() -> None:
    given = inputs(terms={"commercial_use": gates.TermInput("unknown", "LicenseRef-x of search/reviews@1")})
    found = answer("terms", given, **TERMS)
    assert "It is not known what the licences say about commercial use" in found.reason
    assert "search/reviews@1" in found.reason


def test_a_forbidden_term_names_who_forbids_it() -> None:
    given = inputs(terms={"commercial_use": gates.TermInput("forbidden", "CC-BY-NC-4.0 of search/reviews@1")})
    assert "CC-BY-NC-4.0 of search/reviews@1" in answer("terms", given, **TERMS).reason


@pytest.mark.parametrize(
    ("known", "expected"), [("complete", "passed"), ("incomplete", "blocked"), ("unknown", "blocked")]
)
def test_training_data_that_is_not_known_blocks(known: str, expected: str) -> None:
    assert answer("training_data", inputs(training_data=known), allowed=["complete"]).answer == expected


@pytest.mark.parametrize(
    ("grades", "expected"),
    [
        (["executed"], "passed"),
        (["re-derived", "executed"], "passed"),
        (["executed", "declared"], "blocked"),
        ([], "blocked"),
        (["hearsay"], "blocked"),
    ],
)
def test_the_weakest_edge_decides_the_grade(grades: list[str], expected: str) -> None:
    edges = [gates.EdgeInput(OTHER, "base", grade) for grade in grades]
    assert answer("lineage_grade", inputs(edges=edges), at_least="executed").answer == expected


@pytest.mark.parametrize(
    ("licence_known", "origin_known", "said"),
    [(True, True, "licence and origin known"), (False, True, "are not known"), (True, False, "Nobody said where")],
)
def test_a_dataset_without_known_terms_or_origin_blocks(licence_known: bool, origin_known: bool, said: str) -> None:
    data = gates.DatasetInput("search/reviews@1", DATA, "MIT", licence_known, origin_known)
    found = answer("dataset_known", inputs(datasets=[data]))
    assert said in found.reason
    assert found.answer == ("passed" if licence_known and origin_known else "blocked")
    assert found.inputs == (DATA,)


def test_a_model_without_a_use_case_or_of_another_tier_blocks() -> None:
    assert answer("use_case", inputs(), tiers=["limited"]).answer == "passed"
    assert answer("use_case", inputs(tier="high"), tiers=["limited"]).answer == "blocked"
    assert answer("use_case", inputs(tier=None, use_case=None), tiers=["limited"]).answer == "blocked"


def test_a_version_whose_structure_nobody_read_blocks() -> None:
    assert answer("structure_checked", inputs()).answer == "passed"
    assert answer("structure_checked", inputs(structure=[])).answer == "blocked"


def test_a_derived_version_needs_an_approved_ancestor_to_go_back_to() -> None:
    parent = gates.AncestorInput("search/m@1", OTHER, approved=True)
    assert answer("parent_rollback_target", inputs(ancestors=[parent])).answer == "passed"
    assert answer("parent_rollback_target", inputs(ancestors=[replace(parent, approved=False)])).answer == "blocked"
    assert answer("parent_rollback_target", inputs()).answer == "blocked"


def test_a_rule_for_derived_versions_asks_nothing_of_an_uploaded_one() -> None:
    found = answer("parent_rollback_target", inputs(origin="uploaded"), applies_to="derived")
    assert found.answer == "not-applicable"


# --- waivers and the outcome ---


def waiver(rule_digest: str, **changes: Any) -> gates.WaiverInput:
    base = gates.WaiverInput("w", "rule", rule_digest, MINE, "carla", NOW + DAY, None)
    return replace(base, **changes)


def test_a_running_waiver_lets_a_waivable_rule_pass_and_says_until_when() -> None:
    blocked = answer("structure_checked", inputs(structure=[]))
    found = answer("structure_checked", inputs(structure=[], waivers=[waiver(blocked.rule.digest)]))
    assert found.answer == "waived"
    assert "Waived until 2026-02-01" in found.reason
    assert found.waiver is not None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"expires_at": NOW}, "expired"),
        ({"ended_at": NOW - DAY}, "ended"),
        ({"rule_digest": OTHER}, "earlier wording"),
        ({"version_digest": OTHER}, "no record"),
        ({"rule": "another"}, "no record"),
    ],
)
def test_a_waiver_that_ended_or_is_for_something_else_does_not_count(change: dict[str, Any], said: str) -> None:
    digest = answer("structure_checked", inputs(structure=[])).rule.digest
    found = answer("structure_checked", inputs(structure=[], waivers=[replace(waiver(digest), **change)]))
    assert found.answer == "blocked"
    assert said in found.reason


def test_a_rule_that_cannot_be_waived_blocks_in_spite_of_a_waiver() -> None:
    digest = answer("structure_checked", inputs(structure=[]), waivable=False).rule.digest
    found = answer("structure_checked", inputs(structure=[], waivers=[waiver(digest)]), waivable=False)
    assert found.answer == "blocked"
    assert "does not let this rule be waived" in found.reason


def test_the_outcome_is_the_worst_answer() -> None:
    document = {**dict(ready_made())["limited"]}
    rule = {"id": "a", "about": "A.", "check": "structure_checked", "applies_to": "any", "waivable": True}
    document["rules"] = [rule, {**rule, "id": "b", "check": "use_case", "tiers": ["limited"]}]
    policy = parse(document)
    assert gates.judge(policy, inputs()).outcome == "passed"
    assert gates.judge(policy, inputs(structure=[])).outcome == "blocked"
    running = waiver(policy.rules[0].digest, rule="a")
    assert gates.judge(policy, inputs(structure=[], waivers=[running])).outcome == "passed-with-waiver"

"""What makes evidence worth less at the gate: rows that were seen, rows that repeat, scores that are most likely misnamed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from registry.catalog import evidence as names
from registry.release import evidence_choice, gates
from tests.release.test_gates import DAY, DOCUMENT, FIGURE, NOW, PRESENT, answer, evidence, fidelity, figure, inputs

FIDELITY = {**PRESENT, "kind": "fidelity"}
AUROC = {**FIGURE, "kind": "quality", "metric": "auroc", "limit": "0.5"}
DOUBT = {"scores_doubted": "logits that all lie in 0..1"}


def with_facts(facts: dict[str, str], *, n: int = 300, **members: Any) -> gates.EvidenceInput:
    base = fidelity().evidence[0]
    return replace(base, environment=facts, figures=[{**base.figures[0], "n": n}], **members)


def test_gate_and_catalog_mean_the_same_facts() -> None:
    for name in ("SEEN_ROWS", "DISTINCT_ROWS", "ALL_ROWS", "SCORES_DOUBTED", "LEFT_OUT", "UNREGISTERED"):
        assert getattr(names, name) == getattr(evidence_choice, name)


# --- rows that were seen ---


def test_evidence_over_rows_that_were_seen_is_not_present_unless_the_rule_accepts_it_and_then_says_so() -> None:
    given = inputs(evidence=[with_facts({"seen_rows": "12"})])
    found = answer("evidence_present", given, **FIDELITY)
    assert (found.answer, found.inputs) == ("blocked", (DOCUMENT,))
    assert "had seen 12 rows when it was made; that does not count" in found.reason
    accepted = answer("evidence_present", given, **FIDELITY, seen_rows="accepted")
    assert accepted.answer == "passed"
    assert "had seen 12 rows of the data; the policy accepts it" in accepted.reason
    assert "the policy accepts it" in answer("figure", given, **FIGURE, seen_rows="accepted").reason


def test_older_evidence_over_fresh_rows_is_present_beside_newer_over_seen_ones() -> None:
    fresh = with_facts({}, created_at=NOW - 3 * DAY)
    found = answer(
        "evidence_present", inputs(evidence=[fresh, with_facts({"seen_rows": "1"}, created_at=NOW)]), **FIDELITY
    )
    assert (found.answer, "3 days old" in found.reason) == ("passed", True)


def test_declared_evidence_that_says_nonsense_of_seen_rows_counts_as_seen() -> None:
    declared = with_facts({"seen_rows": "none at all"}, source="declared")
    found = answer("evidence_present", inputs(evidence=[declared]), **{**FIDELITY, "source": "any"})
    assert (found.answer, "an unknown number of rows" in found.reason) == ("blocked", True)


# --- rows that could not be used ---


@pytest.mark.parametrize(
    ("left", "answered"), [("0", "passed"), ("3", "passed"), ("4", "blocked"), ("293", "blocked"), ("few", "blocked")]
)
def test_what_is_left_after_rows_could_not_be_used_counts_while_they_are_few(left: str, answered: str) -> None:
    given = inputs(evidence=[with_facts({"left_out_rows": left, "evaluated_rows": "300"})])
    for check, rule in (("figure", FIGURE), ("evidence_present", FIDELITY)):
        found = answer(check, given, **rule)
        assert found.answer == answered
        assert answered == "passed" or "could not be used; that does not count" in found.reason
        assert answer(check, given, **rule, left_out_rows="accepted").answer == "passed"


def test_size_and_speed_rest_on_no_rows_that_could_be_left_out() -> None:
    given = inputs(evidence=[replace(with_facts({"left_out_rows": "299", "evaluated_rows": "1"}), kind="size")])
    assert answer("evidence_present", given, **{**PRESENT, "kind": "size"}).answer == "passed"


# --- rows that repeat ---


@pytest.mark.parametrize(("distinct", "answered"), [("100", "passed"), ("99", "blocked")])
def test_a_sample_counts_only_rows_that_differ(distinct: str, answered: str) -> None:
    given = inputs(evidence=[with_facts({"distinct_rows": distinct, "evaluated_rows": "300"})])
    found = answer("figure", given, **{**FIGURE, "minimum_n": 100})
    assert found.answer == answered
    assert ("rests on 300 samples, of which only 99 surely differ" in found.reason) is (answered == "blocked")


def test_a_rule_may_count_rows_that_stand_there_again() -> None:
    given = inputs(evidence=[with_facts({"distinct_rows": "2", "evaluated_rows": "300"})])
    rule = {**FIGURE, "minimum_n": 100}
    assert answer("figure", given, **rule, repeated_rows="counted").answer == "passed"
    assert answer("figure", given, **rule, repeated_rows="ignored").answer == "blocked"


def test_all_copies_may_stand_in_one_slice() -> None:
    small = figure("cosine_mean", "0.99", low="0.985", high="1", n=1000, slice=[{"name": "race", "value": "2"}])
    whole = figure("cosine_mean", "0.99", low="0.985", high="1", n=10_000)
    doubled = replace(with_facts({"distinct_rows": "9010", "evaluated_rows": "10000"}), figures=[whole, small])
    rule = {**FIGURE, "minimum_n": 500}
    assert answer("figure", inputs(evidence=[doubled]), **rule).answer == "passed"
    found = answer("figure", inputs(evidence=[doubled]), **{**rule, "slices": "every"})
    assert "'cosine_mean' for race = 2 rests on 1000 samples, of which only 10 surely differ" in found.reason


def test_of_samples_that_are_parts_of_rows_as_large_a_part_counts_as_of_the_rows() -> None:
    tokens = with_facts({"distinct_rows": "90", "evaluated_rows": "100"}, n=50_000)
    assert answer("figure", inputs(evidence=[tokens]), **{**FIGURE, "minimum_n": 45_000}).answer == "passed"
    assert answer("figure", inputs(evidence=[tokens]), **{**FIGURE, "minimum_n": 45_001}).answer == "blocked"


def test_rounds_of_a_timing_are_no_rows() -> None:
    timed = evidence(
        "timing", figure("latency_ratio", "0.8", n=30), environment={"distinct_rows": "1", "evaluated_rows": "99"}
    )
    rule = {**FIGURE, "kind": "timing", "metric": "latency_ratio", "bound": "point", "limit": "0.5", "minimum_n": 20}
    assert answer("figure", inputs(evidence=[timed]), **rule).answer == "passed"


def test_evidence_that_does_not_say_of_how_many_rows_is_taken_by_its_largest_sample() -> None:
    found = answer("figure", inputs(evidence=[with_facts({"distinct_rows": "7"})]), **{**FIGURE, "minimum_n": 8})
    assert "only 7 surely differ" in found.reason


# --- scores that are most likely misnamed ---


def quality(**members: Any) -> gates.EvidenceInput:
    return evidence("quality", figure("auroc", "0.9", low="0.88", high="0.92"), **members)


@pytest.mark.parametrize(
    "kind", ["quality", "calibration", "calibration-incumbent", "out-of-distribution", "comparison-parent"]
)
def test_what_leans_on_misnamed_scores_counts_only_where_the_rule_accepts_it(kind: str) -> None:
    beside = "sha256:" + "a" * 64
    given = inputs(evidence=[replace(quality(environment=DOUBT), kind=kind, compared_with=[beside])], incumbent=beside)
    for check, rule in (("figure", {**AUROC, "kind": kind}), ("evidence_present", {**PRESENT, "kind": kind})):
        found = answer(check, given, **rule)
        assert (found.answer, found.inputs) == ("blocked", (DOCUMENT,))
        assert "most likely misnames (logits that all lie in 0..1)" in found.reason
        assert answer(check, given, **rule, doubted_scores="accepted").answer == "passed"


def test_likeness_of_the_numbers_does_not_lean_on_what_scores_are_called_but_agreement_of_answers_does() -> None:
    agreement = figure("top1_agreement", "1", low="0.99", high="1")
    given = inputs(evidence=[replace(with_facts(DOUBT), figures=[*fidelity().evidence[0].figures, agreement])])
    assert answer("figure", given, **FIGURE).answer == "passed"
    assert answer("evidence_present", given, **FIDELITY).answer == "passed"
    assert answer("figure", given, **{**FIGURE, "metric": "top1_agreement"}).answer == "blocked"


def test_an_older_evaluation_whose_scores_nobody_doubts_counts_beside_a_newer_doubted_one() -> None:
    good = quality(created_at=NOW - 3 * DAY)
    assert answer("figure", inputs(evidence=[good, quality(environment=DOUBT)]), **AUROC).answer == "passed"

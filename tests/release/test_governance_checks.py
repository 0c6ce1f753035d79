"""Rules about findings, documents, reviews, data, contamination and recalls: what holds, what does not, and what is missing."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest

from registry.release import gates
from registry.release.gate_facts import (
    DatasetInput,
    DocumentInput,
    EvidenceInput,
    Finding,
    GateInputs,
    OpenFindingInput,
    OverlapInput,
    ProfileInput,
    RecallInput,
    ReviewInput,
    WaiverInput,
)
from registry.release.policy_language import PolicyError, PolicyRules, parse, ready_made

AT = datetime.datetime(2026, 3, 3, 14, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
VERSION, ROWS, LEARNED, PROFILE = (f"sha256:{n:064x}" for n in (1, 2, 3, 4))


def policy(*rules: dict[str, Any], **members: Any) -> PolicyRules:
    """The ready-made policy with exactly these rules."""
    common = {"about": "Asked.", "applies_to": "any", "waivable": True}
    document = dict(ready_made())["limited"] | members
    return parse({**document, "rules": [{"id": f"rule-{n}", **common, **rule} for n, rule in enumerate(rules)]})


def facts(**known: Any) -> GateInputs:
    empty: dict[str, Any] = {
        "version_digest": VERSION, "origin": "uploaded", "at": AT, "tier": "limited", "use_case": "search/help",
        "training_data": "complete", "structure": [], "evidence": [], "terms": {}, "edges": [], "datasets": [],
        "ancestors": [], "waivers": [],
    }  # fmt: skip
    return GateInputs(**(empty | known))


def asked(rule: dict[str, Any], **known: Any) -> Finding:
    """The answer to one rule."""
    (result,) = gates.judge(policy(rule), facts(**known)).results
    return Finding(result.answer == "passed", result.reason, result.inputs)


def dataset(digest: str = LEARNED, **known: Any) -> DatasetInput:
    given: dict[str, Any] = {"uses": ("training",)} | known
    name = "search/rows@1" if digest == ROWS else "search/learned@1"
    return DatasetInput(name, digest, "MIT", True, True, **given)


# --- findings ---

OPEN = OpenFindingInput("f-1", "recalled", "production", AT.date() - DAY)


def test_a_finding_that_nobody_closed_blocks_the_kinds_that_are_named() -> None:
    found = asked({"check": "open_findings", "kinds": ["recalled"]}, findings=[OPEN])
    assert (found.holds, found.reason) == (
        False, "A finding of kind 'recalled' is not closed: f-1 about production was due on 2026-03-02.",
    )  # fmt: skip
    assert asked({"check": "open_findings", "kinds": ["broken-glass"]}, findings=[OPEN]).holds
    assert not asked({"check": "open_findings", "kinds": []}, findings=[OPEN]).holds
    assert asked({"check": "open_findings", "kinds": []}).reason == "No finding about the model is open."


def test_of_several_findings_the_one_that_is_due_first_is_told() -> None:
    later = dataclasses.replace(OPEN, id="f-2", due_on=AT.date() + DAY)
    assert asked({"check": "open_findings", "kinds": []}, findings=[later, OPEN]).reason.startswith(
        "2 findings are not closed: f-1"
    )


def test_what_a_roll_back_leaves_behind_does_not_count_and_the_answer_says_so() -> None:
    left = dataclasses.replace(OPEN, id="f-2", left_behind=True)
    found = asked({"check": "open_findings", "kinds": ["recalled"]}, findings=[left])
    assert (found.holds, found.reason) == (
        True, "An open finding of kind 'recalled' is about what this alias leaves by going back, and there is no other.",
    )  # fmt: skip
    assert asked({"check": "open_findings", "kinds": []}, findings=[left, OPEN]).reason.startswith(
        "A finding is not closed: f-1"
    )


# --- documents ---


def test_a_document_is_asked_of_the_release_or_of_each_dataset() -> None:
    rule = {"check": "document_attached", "kind": "privacy-assessment"}
    paper = DocumentInput("privacy-assessment", ROWS)
    assert asked(rule).reason == (
        "No document of kind 'privacy-assessment' is kept about the version, its model or its use case."
    )
    assert asked(rule, documents=[paper]).inputs == (ROWS,)
    assert not asked(rule, documents=[DocumentInput("contract", ROWS)]).holds
    each = {**rule, "of": "each_dataset"}
    assert not asked(each, documents=[paper], datasets=[dataset()]).holds
    assert asked(each, datasets=[dataset(documents=[paper])]).holds
    assert asked(each, datasets=[dataset(documents=[paper]), dataset(ROWS)]).reason == (
        "No document of kind 'privacy-assessment' is kept about search/rows@1."
    )


# --- reviews ---


def review(
    days_ago: int = 1, *, accepted: bool = True, next_in_days: int | None = None, corrected_days_ago: int | None = None
) -> ReviewInput:
    due = None if next_in_days is None else AT.date() + next_in_days * DAY
    corrected = None if corrected_days_ago is None else AT - corrected_days_ago * DAY
    return ReviewInput("privacy", accepted, AT - days_ago * DAY, due, corrected)


@pytest.mark.parametrize(
    ("reviews", "holds", "said"),
    [
        ([], False, "Nobody signed a review of kind 'privacy' of this state of the version."),
        ([review()], True, "A review of kind 'privacy' accepted this state of the version on 2026-03-02."),
        ([review(accepted=False)], False, "does not accept it"),
        ([review(2), review(1, accepted=False)], False, "does not accept it"),
        ([review(2, accepted=False), review(1)], True, "accepted"),
        ([review(next_in_days=0)], True, "accepted"),
        ([review(2, corrected_days_ago=1)], False, "speaks of what was corrected since: have it reviewed again"),
        ([review(2, corrected_days_ago=3)], True, "accepted"),
        ([review(next_in_days=-1)], False, "overdue: the next one was due on 2026-03-02"),
    ],
)
def test_the_newest_review_decides_until_the_next_one_is_due(
    reviews: list[ReviewInput], holds: bool, said: str
) -> None:
    found = asked({"check": "review_in_force", "kind": "privacy", "of": "version"}, reviews=reviews)
    assert found.holds is holds
    assert said in found.reason


def test_a_review_of_each_dataset_is_not_one_of_the_version_and_foreign_data_has_none() -> None:
    rule = {"check": "review_in_force", "kind": "privacy", "of": "each_dataset"}
    outside = DatasetInput("data outside of this registry", ROWS, "not recorded", False, False)
    assert asked(rule, datasets=[dataset(reviews=[review()])]).holds
    assert not asked(rule, reviews=[review()], datasets=[dataset()]).holds
    assert "data outside of this registry" in asked(rule, datasets=[dataset(reviews=[review()]), outside]).reason


# --- data quality ---

QUALITY = {
    "check": "data_quality",
    "use": "training",
    "metric": "missing_share",
    "comparator": "at_most",
    "limit": "0.02",
}


def profile(value: str | None = "0.01", rows: int = 1000, *overlaps: OverlapInput) -> ProfileInput:
    return ProfileInput(PROFILE, rows, {"missing_share": value}, overlaps)


@pytest.mark.parametrize(
    ("datasets", "holds", "said"),
    [
        ([], False, "No training dataset of the version is known"),
        ([dataset()], False, "The rows of search/learned@1 were not profiled"),
        ([dataset(profile=profile(None))], False, "holds no value of 'missing_share'"),
        (
            [dataset(profile=profile())],
            True,
            "'missing_share' of search/learned@1 is 0.01 (n 1000); at most 0.02 is asked.",
        ),
        ([dataset(profile=profile("0.03"))], False, "is 0.03"),
        ([dataset(profile=profile()), dataset(ROWS, profile=profile("0.5"))], False, "search/rows@1 is 0.5"),
        ([dataset(uses=("evaluation",), profile=profile())], False, "No training dataset"),
        ([dataset(uses=(), profile=profile("0.9"))], False, "is 0.9"),
    ],
)
def test_data_quality_is_asked_of_each_dataset_of_a_use(datasets: list[DatasetInput], holds: bool, said: str) -> None:
    found = asked(QUALITY, datasets=datasets)
    assert found.holds is holds
    assert said in found.reason


def test_quality_of_few_rows_does_not_count_where_more_are_asked() -> None:
    rule = {**QUALITY, "minimum_n": 5000}
    assert "rests on 1000 rows; 5000 are asked" in asked(rule, datasets=[dataset(profile=profile())]).reason


def test_quality_of_evaluation_data_is_that_of_the_rows_behind_the_evidence() -> None:
    rule = {**QUALITY, "use": "evaluation"}
    behind = dataset(ROWS, uses=(), profile=profile("0.5"))
    assert not asked(rule, evaluation_data=[behind]).holds
    assert not asked({**rule, "use": "any"}, datasets=[dataset(profile=profile())], evaluation_data=[behind]).holds


# --- contamination ---

CLEAN = {"check": "contamination", "limit": "0.01"}


def measured(kind: str = "quality", days_ago: int = 1, rows: str = ROWS, source: str = "measured") -> EvidenceInput:
    return EvidenceInput(kind, source, PROFILE, VERSION, AT - days_ago * DAY, [], datasets=[rows])


def judged_on(*overlaps: OverlapInput, rows: int = 1000) -> DatasetInput:
    return dataset(ROWS, uses=("evaluation",), profile=profile("0", rows, *overlaps))


def contaminated(found: DatasetInput, rule: dict[str, Any] = CLEAN, **known: Any) -> Finding:
    given: dict[str, Any] = {"evidence": [measured()], "datasets": [dataset()], "evaluation_data": [found]} | known
    return asked(rule, **given)


def test_the_share_of_rows_that_were_learned_from_keeps_a_limit() -> None:
    assert contaminated(judged_on(OverlapInput(LEARNED, 10))).holds
    found = contaminated(judged_on(OverlapInput(LEARNED, 11)))
    assert (found.holds, found.reason) == (
        False,
        "11 of 1000 rows of search/rows@1 stand in training or calibration data (share 0.011); at most 0.01 is asked.",
    )


def test_near_copies_count_where_the_rule_says_so() -> None:
    overlap = OverlapInput(LEARNED, 5, 20)
    assert contaminated(judged_on(overlap)).holds
    assert not contaminated(judged_on(overlap), {**CLEAN, "copies": "near"}).holds


def test_a_column_that_only_numbers_rows_hides_no_copy_where_the_rule_says_so() -> None:
    rule = {**CLEAN, "copies": "without_identifiers"}
    hidden = OverlapInput(LEARNED, 0, 0, 900)
    assert contaminated(judged_on(hidden)).holds
    found = contaminated(judged_on(hidden), rule)
    assert not found.holds
    assert "900 of 1000 rows of search/rows@1 stand, but for columns that only number or name them," in found.reason
    assert contaminated(judged_on(OverlapInput(LEARNED, 10)), rule).holds
    assert not contaminated(judged_on(OverlapInput(LEARNED, 11)), rule).holds


def test_rows_found_in_several_datasets_are_added_up() -> None:
    other = dataset(PROFILE)
    both = judged_on(OverlapInput(LEARNED, 6), OverlapInput(PROFILE, 6))
    assert "12 of 1000" in contaminated(both, datasets=[dataset(), other]).reason


def test_a_pair_that_was_never_compared_and_missing_facts_block() -> None:
    assert "never compared with search/learned@1" in contaminated(judged_on()).reason
    assert "were not compared" in contaminated(dataset(ROWS)).reason
    assert "No training or calibration data" in contaminated(judged_on(), datasets=[]).reason
    assert "Nothing was measured" in contaminated(judged_on(), evidence=[]).reason
    assert "Nothing was measured" in contaminated(judged_on(), evidence=[measured(source="declared")]).reason
    assert "Nothing was measured" in contaminated(judged_on(), evidence=[measured("size")]).reason
    assert "counts no rows" in contaminated(judged_on(OverlapInput(LEARNED, 0), rows=0)).reason


def test_data_that_is_both_is_wholly_contaminated() -> None:
    same = dataset(ROWS, profile=profile())
    assert "all 1000 rows" in contaminated(same, datasets=[same]).reason


def test_the_newest_rows_of_a_kind_count_or_those_that_the_rule_names() -> None:
    clean = dataset(PROFILE, uses=("evaluation",), profile=profile("0", 1000, OverlapInput(LEARNED, 0)))
    dirty = judged_on(OverlapInput(LEARNED, 900))
    known: dict[str, Any] = {
        "evidence": [measured(days_ago=9), measured(days_ago=1, rows=PROFILE)], "datasets": [dataset()],
        "evaluation_data": [clean, dirty],
    }  # fmt: skip
    assert asked(CLEAN, **known).holds
    assert "900 of 1000" in asked({**CLEAN, "dataset_digest": ROWS}, **known).reason


FILE, REST = (f"sha256:{n:064x}" for n in (5, 6))


def judged_by_file(*overlaps: OverlapInput, file: str = FILE, **rule: Any) -> Finding:
    """Data of a file of 10 rows that was judged by, and one of 990 beside it."""
    data = dataset(ROWS, uses=("evaluation",), profile=dataclasses.replace(
        profile("0", 1000, *overlaps), files={FILE: 10, REST: 990}
    ))  # fmt: skip
    by_file = dataclasses.replace(measured(), files={ROWS: file})
    return contaminated(data, {**CLEAN, **rule}, evidence=[by_file])


def shared(rows: int, file: str) -> OverlapInput:
    return OverlapInput(LEARNED, rows, files={file: OverlapInput(LEARNED, rows)} if rows else {})


def test_a_file_that_was_learned_by_heart_is_not_thinned_out_by_the_rest_of_its_data() -> None:
    found = judged_by_file(shared(10, FILE))
    assert not found.holds
    assert f"10 of 10 rows of the file {FILE[:19]} of search/rows@1 stand in training" in found.reason
    assert FILE in found.inputs
    assert judged_by_file(shared(900, REST)).holds
    assert judged_by_file(shared(0, FILE)).holds
    nearly = OverlapInput(LEARNED, 0, 5, files={FILE: OverlapInput(LEARNED, 0, 5)})
    assert not judged_by_file(nearly, copies="near").holds


def test_a_profile_that_does_not_tell_files_apart_shows_nothing_about_one_of_them() -> None:
    assert "looked at again" in judged_by_file(OverlapInput(LEARNED, 0)).reason
    assert "looked at again" in judged_by_file(shared(0, FILE), file=PROFILE).reason


def test_a_rule_names_one_file_of_several_by_its_own_digest() -> None:
    assert "10 of 10 rows" in judged_by_file(shared(10, FILE), dataset_digest=FILE).reason
    assert "Nothing was measured on the rows" in judged_by_file(shared(0, FILE), dataset_digest=ROWS).reason


# --- recalls ---


def recalled(*, stops: bool) -> RecallInput:
    return RecallInput("The dataset version search/rows@1", AT - DAY, stops)


def test_a_version_in_quarantine_is_blocked_under_every_policy_and_no_waiver_helps() -> None:
    rule = policy({"check": "training_data", "allowed": ["complete"]})
    inputs = facts(recalls=[recalled(stops=True)])
    found = gates.judge(rule, inputs)
    (result,) = found.blocked
    assert (found.outcome, result.rule.id, result.rule.waivable) == ("blocked", "in-quarantine", False)
    assert result.reason == "The dataset version search/rows@1 was recalled on 2026-03-02; it is in quarantine."
    waiver = WaiverInput("w", "in-quarantine", result.rule.digest, VERSION, "a", AT + DAY, None)
    assert gates.judge(rule, dataclasses.replace(inputs, waivers=[waiver])).outcome == "blocked"


def test_a_lifted_quarantine_passes_but_for_policies_that_ask_for_no_recall_at_all() -> None:
    inputs = facts(recalls=[recalled(stops=False)])
    assert gates.judge(policy({"check": "training_data", "allowed": ["complete"]}), inputs).outcome == "passed"
    (result,) = gates.judge(policy({"check": "not_recalled"}), inputs).results
    assert (result.answer, "quarantine was lifted, but the recall stands" in result.reason) == ("blocked", True)
    assert asked({"check": "not_recalled"}).holds


# --- the use case ---


def test_a_tier_that_no_answers_bear_out_blocks_where_the_rule_asks_for_answers() -> None:
    rule = {"check": "use_case", "tiers": ["limited"]}
    assert asked(rule).holds
    assert "no answers to the tier table" in asked({**rule, "answered": True}).reason
    assert asked({**rule, "answered": True}, tier_answered=True).holds


# --- the members ---


def test_what_a_policy_does_not_say_is_said_by_the_language() -> None:
    silent = policy({"check": "not_recalled"})
    assert (silent.officers_required, silent.lapse_grace_hours, silent.break_glass_hours) == (0, 72, 24)
    said = policy(
        {"check": "not_recalled"}, approvals_required=2, officers_required=1, lapse_grace_hours=0, break_glass_hours=4
    )
    assert (said.officers_required, said.lapse_grace_hours, said.break_glass_hours) == (1, 0, 4)


def test_more_officers_than_approvals_and_the_name_of_the_unwritten_rule_are_refused() -> None:
    with pytest.raises(PolicyError, match="2 compliance officers cannot be among 1 approvals"):
        policy({"check": "not_recalled"}, officers_required=2)
    with pytest.raises(PolicyError, match="'in-quarantine' is the name"):
        policy({"check": "not_recalled", "id": "in-quarantine"})

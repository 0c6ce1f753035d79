"""Each fact can pass and can fail: records made by hand, without a database, one contradiction per test."""

from __future__ import annotations

from typing import Any

import pytest

from audit.facts.base import FAILS, MISSING, OUTCOMES, PARTIAL, PASSES, STALE
from audit.facts.table import FACTS
from audit.snapshots import LedgerState
from tests.audit.assess_story import BEFORE, LATER, NOW, OLD, ONE, TWO, Story, evidence, figure, good

GOOD = [
    "inventory", "owner_named", "ledger_verified", "policy_in_force", "gates_met", "duties_apart", "use_case_described",
    "jurisdiction_named", "uses_limited", "tier_set", "licences_known", "licence_gate_kept", "data_recorded",
    "training_data_known", "personal_data_answered", "components_listed", "safe_format", "lineage_recorded", "bases_watched",
    "recipe_recorded", "evaluation_recorded", "evaluation_of_live_digest", "figures_have_intervals", "limits_met",
    "slices_measured", "data_kept_apart", "benefit_measured", "measured_by_machine", "approval_bound", "oversight_exercised",
    "monitored", "monitor_power", "recalls_heeded",
]  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_it_passes_where_everything_is_recorded(name: str) -> None:
    fact = good().fact(name)
    assert fact.outcome == PASSES, fact.sentence


@pytest.mark.parametrize("name", sorted(FACTS))
def test_an_empty_ledger_gives_no_fact_for_nothing(name: str) -> None:
    fact = Story().fact(name)
    assert fact.outcome == MISSING
    assert fact.sentence.endswith(".")


@pytest.mark.parametrize("name", sorted(FACTS))
def test_every_answer_is_a_known_word_and_a_sentence(name: str) -> None:
    fact = good().fact(name)
    assert fact.outcome in OUTCOMES
    assert fact.sentence[0].isupper() or fact.sentence[0].isdigit()
    assert fact.sentence.endswith(".")
    assert fact.value


CONTRADICTIONS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("inventory", "monitoring.window", "wi", {"version_digest": "sha256:" + "9" * 64}),
    ("policy_in_force", "release.policy", "p", {"approved_by_id": "carla"}),
    ("gates_met", "release.verdict", "w", {"version_digest": ONE}),
    ("gates_met", "release.verdict", "w", {"outcome": "blocked"}),
    ("duties_apart", "release.decision", "de", {"decided_by_id": "ada"}),
    ("licences_known", "provenance.licence", "l", {"expression": "LicenseRef-pressmark-unknown"}),
    ("training_data_known", "catalog.version", "v1", {"training_data": "unknown"}),
    ("personal_data_answered", "provenance.dataset_version", "d1", {"personal_data": "yes"}),
    ("safe_format", "catalog.version", "v2", {"format": "pickle"}),
    ("lineage_recorded", "catalog.edge", "e", {"child_id": "v1"}),
    ("data_kept_apart", "provenance.dataset_version", "d2", {"digest": ONE}),
    ("evaluation_of_live_digest", "catalog.evidence", "e1", {"version_digest": ONE}),
    ("approval_bound", "release.approval", "ap", {"version_digest": ONE}),
    ("approval_bound", "release.approval", "ap", {"required": 2}),
    ("approval_bound", "release.assignment", "as2", {"approval_id": None}),
    ("monitored", "monitoring.window", "wi", {"state": "drifted"}),
    ("monitored", "monitoring.window", "wi", {"state": "digest-drift"}),
]


@pytest.mark.parametrize(("name", "type_", "key", "row"), CONTRADICTIONS)
def test_a_record_that_contradicts_makes_it_fail(name: str, type_: str, key: str, row: dict[str, Any]) -> None:
    assert good().change(type_, key, **row).outcome(name) == FAILS


HALF: list[tuple[str, str, str, dict[str, Any]]] = [
    ("use_case_described", "oversight.use_case", "u", {"users_id": None}),
    ("data_recorded", "provenance.dataset_version", "d1", {"source": "declared"}),
    ("training_data_known", "catalog.version", "v1", {"training_data": "incomplete"}),
    ("personal_data_answered", "provenance.dataset_version", "d1", {"personal_data": "unknown"}),
    ("lineage_recorded", "catalog.edge", "e", {"grade": "declared"}),
    ("recipe_recorded", "compression.run", "run", {"engine_version": None}),
    ("monitored", "monitoring.window", "wi", {"state": "insufficient-data"}),
    ("monitor_power", "monitoring.window", "wi", {"state": "no-baseline"}),
]


@pytest.mark.parametrize(("name", "type_", "key", "row"), HALF)
def test_what_is_half_there_is_partial(name: str, type_: str, key: str, row: dict[str, Any]) -> None:
    assert good().change(type_, key, **row).outcome(name) == PARTIAL


EXPIRED: list[tuple[str, str, str, dict[str, Any]]] = [
    ("policy_in_force", "release.policy", "p", {"in_force_at": OLD}),
    ("approval_bound", "release.approval", "ap", {"expires_at": BEFORE}),
    ("monitored", "monitoring.window", "wi", {"ended_at": OLD}),
]


@pytest.mark.parametrize(("name", "type_", "key", "row"), EXPIRED)
def test_what_has_run_out_is_stale(name: str, type_: str, key: str, row: dict[str, Any]) -> None:
    fact = good().change(type_, key, **row).fact(name)
    assert fact.outcome == STALE
    assert fact.expires_at is not None
    assert fact.expires_at <= NOW


def test_an_approval_ends_with_the_earliest_condition_of_its_grants() -> None:
    story = good().change("release.decision", "de", expires_at=BEFORE)
    assert story.outcome("approval_bound") == STALE


def test_a_deputy_and_the_person_whose_place_is_taken_are_one() -> None:
    story = good().change("release.approval", "ap", required=2)
    story.put("release.decision", "de2", approval_id="ap", kind="granted", decided_by_id="dora", on_behalf_of_id="omar",
              role="approver")  # fmt: skip
    assert story.outcome("approval_bound") == FAILS
    assert story.change("release.decision", "de2", on_behalf_of_id="olga").outcome("approval_bound") == PASSES


def test_where_an_officer_has_to_agree_two_approvers_are_not_enough() -> None:
    story = good().change("release.approval", "ap", required=2, officers=1)
    story.put("release.decision", "de2", approval_id="ap", kind="granted", decided_by_id="olga", role="approver")
    assert story.fact("approval_bound").sentence.endswith("approved by 0 of 1 compliance officers.")
    assert story.change("release.decision", "de2", role="compliance_officer").outcome("approval_bound") == PASSES


def test_no_number_of_officers_makes_up_for_an_approver_who_is_missing() -> None:
    story = good().change("release.approval", "ap", required=2, officers=1)
    story.change("release.decision", "de", role="compliance_officer")
    story.put(
        "release.decision", "de2", approval_id="ap", kind="granted", decided_by_id="olga", role="compliance_officer"
    )
    assert story.fact("approval_bound").sentence.endswith("approved by 1 of 2 people.")


def test_a_principal_who_is_the_deputy_of_another_counts_once() -> None:
    story = good().change("release.approval", "ap", required=2)
    story.put("release.decision", "de2", approval_id="ap", kind="granted", decided_by_id="omar", on_behalf_of_id="olga",
              role="approver")  # fmt: skip
    assert story.outcome("approval_bound") == FAILS


def test_whose_deputy_decided_must_not_have_built_it_either() -> None:
    story = good().change("release.decision", "de", on_behalf_of_id="ada")
    assert story.outcome("duties_apart") == FAILS


def test_what_is_live_by_breaking_the_glass_is_no_approval() -> None:
    story = good()
    story.put("release.broken_glass", "bg", version_id="v2", expires_at=LATER)
    story.change("release.assignment", "as2", kind="broken-glass", approval_id=None, broken_glass_id="bg")
    fact = story.fact("approval_bound")
    assert fact.outcome == FAILS
    assert "broke the glass, until 2026-09-01" in fact.sentence


def test_what_a_recall_stopped_must_not_be_live() -> None:
    story = good()
    story.put("release.quarantine", "q", version_id="v2", ended_at=None)
    assert story.outcome("recalls_heeded") == FAILS
    assert story.change("release.quarantine", "q", ended_at=BEFORE).outcome("recalls_heeded") == PASSES


def test_a_drill_proves_the_way_back_and_one_that_found_none_denies_it() -> None:
    story = good()
    story.put("release.drill", "dr", alias="production", eligible=True, reasons=[])
    assert story.outcome("way_back") == PASSES
    story.put("release.drill", "dr2", alias="production", eligible=False, reasons=["Its approval has ended."])
    assert story.fact("way_back").sentence.endswith("Its approval has ended.")
    assert story.outcome("way_back") == FAILS


def test_a_ruling_in_force_answers_what_the_pack_does_not_know() -> None:
    unknown = {"answers": {"commercial_use": {"answer": "unknown", "sentence": ""}}}
    story = good().change("provenance.licence", "l", terms=unknown)
    assert story.outcome("licences_known") == PARTIAL
    known = {"answers": {"commercial_use": {"answer": "conditions", "sentence": ""}}}
    story.put("provenance.ruling", "ru", licence_id="l", terms=known, in_force_at=BEFORE, ended_at=None)
    assert story.outcome("licences_known") == PASSES
    assert story.change("provenance.ruling", "ru", in_force_at=None).outcome("licences_known") == PARTIAL


def test_the_newest_correction_is_what_is_known_about_training_data() -> None:
    story = good().change("catalog.version", "v1", training_data="unknown")
    story.put("catalog.correction", "c1", version_id="v1", number=1, training_data="complete", licence_id=None)
    assert story.outcome("training_data_known") == PASSES
    story.put("catalog.correction", "c2", version_id="v1", number=2, training_data="incomplete", licence_id=None)
    assert story.outcome("training_data_known") == PARTIAL


def test_data_are_profiled_one_by_one() -> None:
    story = good()
    assert story.outcome("data_profiled") == MISSING
    story.put("provenance.profile", "p1", dataset_version_id="d1", digest=ONE)
    story.put("provenance.profile", "p2", dataset_version_id="d2", digest=None)
    assert story.outcome("data_profiled") == PARTIAL
    assert story.change("provenance.profile", "p2", digest=TWO).outcome("data_profiled") == PASSES


def test_data_are_vetted_by_people_for_a_time() -> None:
    story = good()
    assert story.outcome("data_vetted") == MISSING
    story.put("oversight.review", "r1", about="d1", accepted=True, next_on="2026-12-01")
    assert story.outcome("data_vetted") == PARTIAL
    story.put("oversight.review", "r2", about="d2", accepted=True, next_on=None)
    assert story.outcome("data_vetted") == PASSES
    assert story.change("oversight.review", "r1", next_on="2026-05-01").outcome("data_vetted") == STALE
    assert story.change("oversight.review", "r1", accepted=False).outcome("data_vetted") == FAILS


def test_data_corrected_since_are_to_be_vetted_again() -> None:
    story = good()
    for number in (1, 2):
        story.put("oversight.review", f"r{number}", about=f"d{number}", accepted=True, next_on=None)
    story.put("provenance.dataset_correction", "k1", dataset_version_id="d1", number=1, unstated=[])
    assert story.outcome("data_vetted") == STALE
    story.put("oversight.review", "r3", about="d1", accepted=True, next_on=None)
    assert story.outcome("data_vetted") == PASSES


def test_a_revoked_approval_fails() -> None:
    story = good()
    story.put("release.decision", "de2", approval_id="ap", kind="revoked", decided_by_id="omar", role="approver")
    assert story.outcome("approval_bound") == FAILS


def test_the_person_who_ran_it_may_not_have_approved_it() -> None:
    story = good().change("compression.run", "run", requested_by_id="omar")
    assert story.outcome("duties_apart") == FAILS


def test_a_broken_ledger_fails_and_one_that_was_not_checked_is_missing() -> None:
    story = good()
    story.snapshot.ledger = LedgerState(True, False, 100, ONE, "position 7: the stored leaf is not the hash")
    assert story.fact("ledger_verified").outcome == FAILS
    assert "position 7" in story.fact("ledger_verified").sentence
    story.snapshot.ledger = LedgerState(False, False, 100, "", "")
    assert story.outcome("ledger_verified") == MISSING


@pytest.mark.parametrize(("answer", "outcome"), [("blocked", FAILS), ("waived", PARTIAL), ("passed", PASSES)])
def test_gate_rules_decide_licences_and_limits(answer: str, outcome: str) -> None:
    story = good()
    for result in story.snapshot._documents["sha256:" + "b" * 64]["results"]:
        result["answer"] = answer
    assert story.outcome("licence_gate_kept") == outcome
    assert story.outcome("limits_met") == outcome
    assert story.outcome("limits_met", kinds=["size"]) == outcome
    assert story.outcome("limits_met", kinds=["timing"]) == MISSING


def test_a_waiver_that_ran_out_under_a_live_version_fails() -> None:
    story = good()
    story.put("release.waiver", "wa", version_id="v2", rule="training-data", expires_at=LATER, ended_at=None)
    assert story.outcome("waivers_in_date") == PASSES
    assert story.change("release.waiver", "wa", expires_at=BEFORE).outcome("waivers_in_date") == FAILS


def test_a_finding_past_its_day_fails() -> None:
    story = good()
    story.put("oversight.finding", "f", closed_at=None, due_on="2026-07-01")
    assert story.outcome("findings_on_time") == PASSES
    assert story.change("oversight.finding", "f", due_on="2026-05-01").outcome("findings_on_time") == FAILS
    assert story.change("oversight.finding", "f", closed_at=BEFORE).outcome("findings_on_time") == PASSES


def test_an_open_incident_fails_monitoring_and_after_its_limit_the_handling_too() -> None:
    story = good()
    story.put("monitoring.incident", "i", at="2026-05-28T00:00:00.000000Z", monitor_id="mo", resolved_at=None)
    assert story.outcome("monitored") == FAILS
    assert story.outcome("incidents_answered", limit_days=14) == PARTIAL
    assert story.outcome("incidents_answered", limit_days=2) == FAILS
    assert story.change("monitoring.incident", "i", resolved_at=NOW).outcome("incidents_answered") == PASSES


def test_the_way_back_is_missing_then_unproved_then_walked_then_long_ago() -> None:
    story = good()
    assert story.outcome("way_back") == PARTIAL
    story.put("release.assignment", "as3", alias_id="al", number=3, version_id="v1", version_digest=ONE, kind="rolled-back",
              approval_id="ap")  # fmt: skip
    assert story.outcome("way_back", max_age_days=180) == PASSES
    assert story.outcome("way_back", max_age_days=10) == STALE
    alone = good()
    del alone.snapshot.records["release.assignment"]["as1"]
    assert alone.outcome("way_back") == MISSING


def test_a_suspended_alias_serves_nothing() -> None:
    story = good()
    story.put("release.assignment", "as3", alias_id="al", number=3, version_id=None, version_digest=None, kind="suspended",
              approval_id=None)  # fmt: skip
    assert story.outcome("approval_bound") == MISSING


def test_evidence_about_another_digest_is_no_evidence() -> None:
    story = good()
    story.snapshot._documents[f"sha256:{'e1':0>64}"]["subjects"] = [{"digest": ONE, "role": "version"}]
    assert story.outcome("evaluation_of_live_digest") == FAILS
    assert story.outcome("slices_measured") == MISSING


def test_declared_evidence_is_never_a_measurement() -> None:
    story = good().change("catalog.evidence", "e1", source="declared")
    assert story.outcome("evaluation_of_live_digest") == FAILS


def test_energy_alone_closes_the_question_of_cost() -> None:
    story = good()
    assert story.fact("cost_measured").outcome == PARTIAL
    evidence(story, "e9", "v2", TWO, "cost", [figure("energy_joule_per_row", "0.2")])
    assert story.outcome("cost_measured") == PASSES


def test_energy_that_was_estimated_is_never_called_measured() -> None:
    story = good()
    evidence(story, "e9", "v2", TWO, "energy", [figure("energy_per_prediction", "0.2")])
    assert story.fact("cost_measured").value == "measured"
    story.snapshot._documents[f"sha256:{'e9':0>64}"]["environment"] = [{"name": "energy_source", "value": "estimate"}]
    fact = story.fact("cost_measured")
    assert (fact.outcome, fact.value) == (PASSES, "estimated")
    assert "not read from the processor's counters" in fact.sentence


def test_figures_on_rows_that_the_version_was_made_with_are_not_kept_apart() -> None:
    story = good()
    evidence(story, "e9", "v2", TWO, "quality", [figure("accuracy")])
    assert story.outcome("data_kept_apart") == PASSES
    story.snapshot._documents[f"sha256:{'e9':0>64}"]["environment"] = [{"name": "seen_rows", "value": "12"}]
    assert story.outcome("data_kept_apart") == PARTIAL


def test_a_measurement_by_a_person_is_said() -> None:
    story = good()
    evidence(story, "e9", "v2", TWO, "quality", [figure("accuracy")], by="engineer")
    assert story.outcome("measured_by_machine") == PARTIAL


def test_a_policy_with_a_rule_for_few_qualities_says_which_have_none() -> None:
    fact = good().fact("policy_qualities")
    assert fact.outcome == PARTIAL
    assert fact.value == "2 of 7"
    assert "privacy-enhanced" in fact.sentence


def test_a_rule_about_the_target_is_one_for_validity() -> None:
    story = good()
    assert "none for: valid and reliable" not in story.fact("policy_qualities").sentence
    rules = story.snapshot._documents["sha256:" + "a" * 64]["rules"]
    rules[1]["check"] = "terms"
    assert "none for: valid and reliable" in story.fact("policy_qualities").sentence
    rules[1]["check"] = "target_evidence"
    assert "none for: valid and reliable" not in story.fact("policy_qualities").sentence


@pytest.mark.parametrize("column", ["baseline_id", "out_of_distribution_id"])
def test_data_that_a_version_is_watched_or_judged_with_must_answer_for_personal_data_too(column: str) -> None:
    story = good()
    story.put("provenance.dataset_version", "d3", digest="sha256:" + "3" * 64, source="measured", personal_data="yes",
              consent="unknown", licence_id="l", dataset_id="d")  # fmt: skip
    assert story.outcome("personal_data_answered") == PASSES
    assert story.change("compression.run", "run", **{column: "d3"}).outcome("personal_data_answered") == FAILS

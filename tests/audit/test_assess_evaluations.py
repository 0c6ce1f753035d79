"""What an evaluation asked counts where an assessment asks for it, and only that: on records made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from audit.facts.base import MISSING, PARTIAL, PASSES, STALE
from audit.frameworks import packs
from tests.audit.assess_story import OLD, ONE, TWO, Story, evidence, figure, good

RACE = [{"name": "race", "value": "2"}]
KINDS = ("comparison-parent", "comparison-incumbent", "comparison-first")


def with_evidence(kind: str, *figures: dict[str, Any], story: Story | None = None, **row: Any) -> Story:
    found = story or good()
    evidence(found, f"x{len(found.snapshot.records['catalog.evidence'])}", "v2", TWO, kind, list(figures), **row)
    return found


@pytest.mark.parametrize("metric", ["flips_lost", "absolute_error_difference"])
def test_what_was_lost_and_won_against_the_parent_is_counted_or_it_is_partial(metric: str) -> None:
    assert good().outcome("answers_compared") == PARTIAL
    fact = with_evidence("comparison-parent", figure(metric, "0.03")).fact("answers_compared")
    assert (fact.outcome, fact.value) == (PASSES, "counted")
    assert fact.sentence.endswith("against the parent.")


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_comparison_with_another_version_alone_says_nothing_about_the_parent(kind: str) -> None:
    story = with_evidence(kind, figure("flips_lost", "0.03"))
    assert story.outcome("answers_compared") == PARTIAL
    fact = with_evidence("comparison-parent", figure("flips_lost", "0.03"), story=story).fact("answers_compared")
    assert fact.outcome == PASSES
    assert "the parent and the" in fact.sentence


def test_flips_that_are_not_known_or_only_declared_count_for_nothing() -> None:
    unknown = {"value": None, "low": None, "high": None, "reason": "no labels"}
    assert with_evidence("comparison-parent", figure("flips_lost") | unknown).outcome("answers_compared") == PARTIAL
    declared = with_evidence("comparison-parent", figure("flips_lost"), source="declared")
    assert declared.outcome("answers_compared") == PARTIAL


@pytest.mark.parametrize("kind", [*KINDS, "fairness", "quality"])
def test_figures_by_group_count_wherever_they_stand(kind: str) -> None:
    story = good().change("catalog.evidence", "e1", version_digest=ONE)
    assert story.outcome("slices_measured") == MISSING
    assert with_evidence(kind, figure("accuracy", slice=RACE), story=story).outcome("slices_measured") == PASSES


def test_where_lost_rows_went_is_no_group_of_rows() -> None:
    story = good().change("catalog.evidence", "e1", version_digest=ONE)
    moved = figure("flips_from_to", slice=[{"name": "from", "value": "3"}, {"name": "to", "value": "8"}])
    assert with_evidence("comparison-parent", moved, story=story).outcome("slices_measured") == MISSING


def test_fairness_asks_for_groups_that_somebody_named_and_not_for_any_slice() -> None:
    assert good().outcome("fairness_measured") == PARTIAL
    rates = figure("selection_rate_difference", slice=[*RACE, {"name": "against", "value": "5"}])
    fact = with_evidence("fairness", rates).fact("fairness_measured")
    assert fact.outcome == PASSES
    assert fact.sentence.endswith("compared by race.")


def test_robustness_is_measured_by_damage_and_other_data_alone_are_half_of_it() -> None:
    assert good().outcome("inputs_probed") == MISSING
    story = with_evidence("out-of-distribution", figure("auroc_energy", "0.9"))
    assert story.outcome("inputs_probed") == PARTIAL
    assert (
        with_evidence("robustness", figure("accuracy_excess_loss", "0.1"), story=story).outcome("inputs_probed")
        == PASSES
    )


def test_confidence_is_held_against_truth_by_calibration() -> None:
    assert good().outcome("confidence_measured") == MISSING
    story = with_evidence("calibration", figure("expected_calibration_error", "0.1"))
    assert story.outcome("confidence_measured") == PASSES


@pytest.mark.parametrize(
    ("fact", "kind"),
    [("fairness_measured", "fairness"), ("inputs_probed", "robustness"), ("confidence_measured", "calibration"),
     ("target_measured", "target")],
)  # fmt: skip
def test_one_of_two_live_versions_is_only_half(fact: str, kind: str) -> None:
    story = with_evidence(kind, figure("accuracy", slice=RACE))
    assert story.outcome(fact) == PASSES
    story.put("release.alias", "al2", slug="canary")
    story.put("release.assignment", "as9", alias_id="al2", number=1, version_id="v1", version_digest=ONE, kind="promoted",
              approval_id=None)  # fmt: skip
    assert story.outcome(fact) == PARTIAL


def test_a_measurement_from_the_serving_host_is_declared_counts_and_grows_old() -> None:
    assert good().outcome("target_measured") == MISSING
    story = with_evidence("target", figure("latency_p95_ms", "12"), source="declared", by="operator")
    fact = story.fact("target_measured")
    assert (fact.outcome, fact.value) == (PASSES, "1 of 1 live versions")
    assert "declared" in fact.sentence
    old = with_evidence("target", figure("latency_p95_ms", "12"), source="declared", at=OLD)
    assert old.outcome("target_measured") == STALE


def test_the_rules_of_the_framework_ask_for_what_evaluations_find() -> None:
    pack = packs.load()
    rules = {r.id: {rule.fact: rule.indicator for rule in r.rules} for r in pack.requirements}
    assert pack.rules_version == 3
    assert rules["MEASURE 2.11"] == {"fairness_measured": False}
    assert rules["MEASURE 2.12"] == {"cost_measured": False}
    assert rules["MEASURE 2.3"]["target_measured"]
    assert rules["MEASURE 2.5"]["confidence_measured"]
    assert rules["MEASURE 2.6"] == {"inputs_probed": True}
    assert not rules["MEASURE 2.7"]["inputs_probed"]

"""The page of an evaluation: what was lost, for whom worst, what is saved, and what stays open."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from registry.access import services as access
from registry.access.models import Role, Team
from registry.catalog.services_targets import record_target_measurement
from registry.compression.models import Run
from registry.events import Caller
from tests.catalog.target_documents import measurement, named
from tests.desk.conftest import Visitor
from tests.desk.evaluated import PLAN, chance, comparison, evaluated, every_kind, share
from tests.desk.scene import Scene
from tests.world import World
from tests.worlds.catalog import figure

Visit = Callable[[str], Visitor]
SEEDS = ((seed, seed + 1) for seed in itertools.count(3000, 2))


def address(run: Run, name: str = "evaluation") -> str:
    model = run.parent.model
    return reverse(f"desk:{name}", args=[model.team.slug, model.slug, run.parent.number, run.pk])


def made(story: Scene, kinds: dict[str, Any] | None = None, **more: Any) -> Run:
    served, first = (story.world.derived_version(story.parent, seed=seed) for seed in next(SEEDS))
    others = {"parent": story.parent, "incumbent": served, "first": first}
    return evaluated(story.world, story.child, others, kinds, **more)


@pytest.fixture
def run(story: Scene) -> Run:
    """An evaluation of the child with figures of every kind."""
    return made(story, plan=PLAN)


def test_the_first_sentence_says_what_was_lost_for_whom_and_what_is_saved(visit: Visit, run: Run) -> None:
    page = visit("carla").reads(address(run))
    assert "It loses 1.8 points of accuracy against its parent" in page
    assert "worst for race 2 (15.2 points lost, corrected p below 0.0001)" in page
    assert "it is 3.9 times smaller and 1.8 times faster, net benefit 412.50 EUR a month" in page
    assert "a loss of less than 0.9 points could have gone unseen." in page


def test_a_loss_that_could_be_chance_is_not_called_one_and_its_size_is_said(visit: Visit, story: Scene) -> None:
    page = visit("carla").reads(address(made(story, {"comparison-parent": comparison("-0.002", "-0.009", "0.005")})))
    assert (
        "No change of accuracy against its parent was found (measured −0.2 points, 95 % interval −0.9 to +0.5 points)"
        in page
    )
    assert "It loses" not in page


def test_an_error_that_grew_counts_as_lost_and_one_that_shrank_as_won(visit: Visit, story: Scene) -> None:
    def error(value: str, low: str, high: str) -> dict[str, Any]:
        ends = {"n": 900, "low": low, "high": high}
        return {"comparison-parent": [figure("absolute_error_difference", value, "output_unit", **ends)]}

    worse, better = error("0.3", "0.2", "0.4"), error("-0.3", "-0.4", "-0.2")
    assert "It is worse by 0.3 in absolute error against its parent" in visit("carla").reads(
        address(made(story, worse))
    )
    assert "It is better by 0.3 in absolute error against its parent" in visit("carla").reads(
        address(made(story, better))
    )


def test_a_line_that_loses_is_said_though_each_child_stays_close_to_its_parent(visit: Visit, story: Scene) -> None:
    kinds = {
        "comparison-parent": comparison("-0.003", "-0.008", "0.002"),
        "comparison-first": comparison("-0.04", "-0.05", "-0.03"),
    }
    page = visit("carla").reads(address(made(story, kinds)))
    assert "No change of accuracy against its parent was found" in page
    assert "Against the first approved version it loses 4.0 points of accuracy" in page


def test_slices_stand_worst_first_with_interval_n_and_corrected_p(visit: Visit, run: Run) -> None:
    page = visit("carla").reads(address(run))
    table = page[page.index("The numbers of 7 slices") :]
    order = [
        table.index(name) for name in ("race 2", "income < 40 and race = 2", "income below 40", "race 5", "race 3")
    ]
    assert order == sorted(order)
    assert re.search(r"race 2 lost −15\.2 points −19\.8 to −10\.6 points 412 below 0\.0001", table)
    assert re.search(r"income below 40 could be chance −3\.4 points −7\.1 to \+0\.3 points 655 0\.31", table)
    assert "the parent answers denied" in table


def test_a_slice_whose_corrected_p_is_large_is_not_called_lost(visit: Visit, story: Scene) -> None:
    lucky = [
        share("accuracy_difference", "-0.1", 40, "-0.19", "-0.01", race="9"),
        chance("adjusted_p", "0.4", 40, race="9"),
    ]
    page = visit("carla").reads(address(made(story, {"comparison-parent": comparison("0", "-0.01", "0.01", *lucky)})))
    assert "no group of rows lost more than chance explains" in page
    assert "race 9 could be chance" in page


def test_nobody_is_said_to_have_lost_only_where_no_slice_shows_a_loss(visit: Visit, story: Scene) -> None:
    sure = [
        share("accuracy_difference", "0", 700, "-0.01", "0.01", race="1"), chance("adjusted_p", "1", 700, race="1"),
    ]  # fmt: skip
    small = [
        share("accuracy_difference", "-0.05", 40, "-0.2", "0.1", race="2"), chance("adjusted_p", "1", 40, race="2"),
    ]  # fmt: skip
    for more, said in ((sure, True), ([*sure, *small], False)):
        kinds = {"comparison-parent": comparison("0", "-0.01", "0.01", *more)}
        page = visit("carla").reads(address(made(story, kinds)))
        assert (f"none of {len(more) // 2} slices lost" in page) is said


def test_flips_say_how_many_were_lost_and_where_to(visit: Visit, run: Run) -> None:
    page = visit("carla").reads(address(run))
    assert "Right before, wrong now 3.1 % (2.6 – 3.7 %)" in page
    assert "Wrong before, right now 1.3 % (1.0 – 1.7 %)" in page
    assert "approved denied 71.0 %" in page


def test_lost_rows_that_all_go_to_one_answer_are_pointed_out_at_the_top(visit: Visit, run: Run, story: Scene) -> None:
    told = "76.0 % of 124 lost rows go to one answer, denied; by ordinary doubt 41.0 % would (p below 0.0001)"
    assert told in visit("carla").reads(address(run))
    kinds = every_kind()
    kinds["comparison-parent"] = [
        {**f, "value": "0.6"} if f["metric"] == "flip_destination_p" else f for f in kinds["comparison-parent"]
    ]
    assert "lost rows go to one answer" not in visit("carla").reads(address(made(story, kinds)))


def test_calibration_robustness_other_data_and_cost_stand_with_parent_interval_and_n(visit: Visit, run: Run) -> None:
    page = visit("carla").reads(address(run))
    assert "0.9-1.0 96.7 % 92.1 % 88.0 – 96.0 % 96.7 % 96.6 %" in page
    assert "outliers, severity 5 61.2 % 59.2 – 63.2 % 80.5 %" in page
    assert "Told apart by highest probability (AUROC)" in page
    assert "batch 32, threads 2" in page
    assert "412.50 EUR" in page


def test_what_was_not_measured_is_said_with_the_reason(visit: Visit, run: Run, story: Scene) -> None:
    page = visit("carla").reads(address(run))
    assert "Quality: AUROC class 'incomplete' has 3 rows; 10 are needed" in page
    assert "Energy neither a counter of the machine nor a sheet to estimate from was at hand" in page
    assert "Nobody has measured it on the host that will serve it" in page
    unlabelled = made(
        story, {"size": [], "fidelity": [share("top1_agreement", "0.98", 400)]}, plan={**PLAN, "label": None}
    )
    page = visit("carla").reads(address(unlabelled))
    assert "without labels it is not known how many of them are right" in page
    assert "Calibration the plan names no column of labels" in page
    assert "Cost no price sheet was given" in page


def test_rows_that_training_saw_are_marked_before_anything_else(visit: Visit, story: Scene) -> None:
    page = visit("carla").reads(address(made(story, environment={"seen_rows": "120"})))
    assert page.index("Training or calibration saw rows of this data (120)") < page.index("It loses 1.8 points")
    assert "Training or calibration saw" not in visit("carla").reads(
        address(made(story, environment={"seen_rows": "0"}))
    )


def test_every_figure_of_the_run_stands_on_the_page_or_in_its_tables(visit: Visit, story: Scene) -> None:
    odd = {"strange-kind": [figure("unheard_of", "3.25", "output_unit", n=7)]}
    page = visit("carla").reads(address(made(story, {**every_kind(), **odd})))
    assert "Strange kind" in page
    assert "Unheard of" in page
    assert "3.25" in page


def test_drawings_carry_their_finding_in_words_and_unique_names(visit: Visit, run: Run) -> None:
    page = visit("carla").get(address(run)).content.decode()
    assert "Lost beyond chance: race 2, income &lt; 40 and race = 2." in page
    ids = re.findall(r'<(?:title|desc) id="([^"]+)"', page)
    assert len(ids) == len(set(ids)) > 20
    drawings = re.findall(r'<svg [^>]*role="img".*?</svg>', page, re.DOTALL)
    assert len(drawings) > 20
    assert [d for d in drawings if re.search(r" (?:style|fill|stroke)=", d)] == []


def test_names_from_data_are_escaped_everywhere(visit: Visit, story: Scene) -> None:
    evil = "<script>alert(1)</script>"
    rows = [
        share("accuracy_difference", "-0.1", 400, "-0.2", "-0.05", **{evil: evil}),
        chance("adjusted_p", "0.001", 400, **{evil: evil}),
        share("flips_from_to", "0.7", 50, **{"from": evil, "to": "ok"}),
    ]
    answer = visit("carla").get(address(made(story, {"comparison-parent": comparison("0", "-0.01", "0.01", *rows)})))
    assert answer.status_code == 200
    assert "<script>alert" not in answer.content.decode()


def test_the_json_has_the_same_facts_as_the_page(visit: Visit, run: Run) -> None:
    answer = visit("carla").get(address(run, "evaluation-json"))
    body = answer.json()
    assert body["summary"].startswith("It loses 1.8 points of accuracy against its parent; worst for race 2")
    assert {e["kind"] for e in body["evidence"]} == set(every_kind())
    worst = body["comparisons"][0]["slices"][0]
    assert (worst["slice"], worst["value"], worst["state"]) == ([{"name": "race", "value": "2"}], "-0.152", "lost")
    assert {
        "what": "Energy",
        "why": "neither a counter of the machine nor a sheet to estimate from was at hand",
    } in body["not_measured"]
    assert body["plan"]["label"] == "approved"
    assert visit("eve").get(address(run, "evaluation-json")).status_code == 404


def test_who_may_not_see_the_version_finds_no_evaluation(visit: Visit, run: Run) -> None:
    assert visit("eve").get(address(run)).status_code == 404


def test_a_run_about_another_version_or_that_has_not_ended_is_not_found_here(
    visit: Visit, run: Run, story: Scene
) -> None:
    model = story.model
    elsewhere = reverse("desk:evaluation", args=[model.team.slug, model.slug, story.parent.number, run.pk])
    assert visit("carla").get(elsewhere).status_code == 404
    waiting = story.world.run(story.parent)
    path = reverse("desk:evaluation", args=[model.team.slug, model.slug, story.parent.number, waiting.pk])
    assert visit("carla").get(path).status_code == 404


def test_version_run_and_approval_lead_to_the_evaluation(visit: Visit, run: Run, story: Scene) -> None:
    from tests.desk.scene import release_child

    release_child(story)
    approval = story.child.approvals.get()
    for path in (
        reverse("desk:version", args=["search", "minilm", 2]),
        reverse("desk:run", args=[run.pk]),
        reverse("desk:approval", args=[approval.pk]),
    ):
        assert address(run) in visit("carla").get(path).content.decode(), path


def test_the_version_page_shows_the_whole_and_the_worst_part_and_leaves_the_rest_to_the_evaluation(
    visit: Visit, run: Run
) -> None:
    page = visit("carla").reads(reverse("desk:version", args=["search", "minilm", 2]))
    assert "Worst slice, bounded for all slices together (race 2)" in page
    assert re.search(r"\d\d more, by parts of the rows, stand on the page of the evaluation", page)
    assert "income below 40" not in page


def test_the_number_of_queries_does_not_grow_with_the_figures(visit: Visit, run: Run, story: Scene) -> None:
    carla, small = visit("carla"), made(story, {"size": every_kind()["size"]})
    carla.get(address(small))
    with CaptureQueriesContext(connection) as few:
        carla.get(address(small))
    with CaptureQueriesContext(connection) as many:
        carla.get(address(run))
    assert len(many) <= len(few) + 4
    assert len(few) < 40


def test_a_model_of_another_team_is_named_by_its_digest_only(visit: Visit, story: Scene, outsider_team: Team) -> None:
    zoe = story.world.person("zoe", Role.ENGINEER)
    access.grant_membership(actor=story.world.cast.root, person=zoe, role=Role.ENGINEER, team=outsider_team)
    caller = Caller(actor_id=zoe.pk, via="cli")
    hidden = story.world.version(
        story.world.model("very-secret", actor=caller, owner=zoe, team=outsider_team), actor=caller, seed=71
    )
    run = evaluated(
        story.world, story.child, {"parent": hidden}, {"comparison-parent": comparison("0", "-0.01", "0.01")}
    )
    page = visit("ada").get(address(run)).content.decode()
    assert "very-secret" not in page
    assert hidden.digest in page


def test_a_measurement_from_the_target_stands_apart_from_the_run(
    visit: Visit, run: Run, world: World, story: Scene
) -> None:
    world.evidence(
        story.child, "target", [figure("latency_p50_ms", "7.5", "millisecond", n=200, low="7.1", high="7.9")]
    )
    page = visit("carla").reads(address(run))
    assert "Not of this run: the newest measurement from a serving host" in page
    assert "7.5 ms" in page
    assert "It stands: nothing was measured since" in page


def test_what_the_target_measured_before_its_settings_changed_is_shown_as_stale(
    visit: Visit, run: Run, world: World, story: Scene
) -> None:
    for p95, more in (("12.5", {}), ("13.25", {"settings": named(threads="4")})):
        document = measurement(story.child, p95=p95, **more)
        record_target_measurement(actor=world.cast.otto, version=story.child, document=document)
    page = visit("carla").reads(address(run))
    assert "It stands: nothing was measured since" in page
    assert "13.25 ms" in page
    assert "Stale. It was measured under other serving settings since." in page
    told = visit("carla").get(address(run, "evaluation-json")).json()["on_target"]
    assert [row["stale"] for row in told] == [None, "It was measured under other serving settings since."]
    assert len({row["settings_digest"] for row in told}) == 2


def test_a_version_that_is_parent_and_served_alike_is_compared_once(visit: Visit, story: Scene) -> None:
    kinds = {f"comparison-{role}": comparison("-0.03", "-0.04", "-0.02") for role in ("parent", "incumbent", "first")}
    run = evaluated(story.world, story.child, dict.fromkeys(("parent", "incumbent", "first"), story.parent), kinds)
    page = visit("carla").reads(address(run))
    assert "search/minilm@1, which is also the incumbent and the first approved version" in page
    assert "Against the incumbent it loses" not in page
    assert page.count("Accuracy, difference −3.0 points") == 1


def test_figures_beside_the_incumbent_name_the_incumbent(visit: Visit, story: Scene) -> None:
    alike = [figure("cosine_mean", "0.97", "cosine", n=400)]
    page = visit("carla").reads(address(made(story, {"fidelity": alike, "fidelity-incumbent": alike})))
    assert "Cosine to the parent's output, mean" in page
    assert "Cosine to the incumbent's output, mean" in page


def test_a_setting_that_only_the_overall_figures_have_stands_in_the_curve_too(visit: Visit, story: Scene) -> None:
    def ms(metric: str, value: str, **where: str) -> dict[str, Any]:
        return figure(metric, value, "millisecond", n=200, slice=[{"name": k, "value": v} for k, v in where.items()])

    timed = [ms("latency_p50_ms", "0.5"), ms("latency_p50_ms", "3.1", batch="8", threads="1")]
    page = visit("carla").reads(address(made(story, {"timing": timed}, plan=PLAN)))
    assert "batch 1, threads 1 0.5 ms" in page
    assert "batch 8, threads 1 3.1 ms" in page


def test_a_confidence_that_only_the_parent_shows_is_not_lost(visit: Visit, story: Scene) -> None:
    bins = [
        share("bin_confidence", "0.95", 400, confidence_bin="0.9-1.0"),
        share("bin_accuracy", "0.6", 400, confidence_bin="0.9-1.0"),
        share("parent_bin_confidence", "0.31", 50, confidence_bin="0.3-0.4"),
        share("parent_bin_accuracy", "0.42", 50, confidence_bin="0.3-0.4"),
    ]
    page = visit("carla").reads(address(made(story, {"calibration": bins})))
    assert re.search(r"0\.3-0\.4 – – 31\.0 % 42\.0 % 50", page)


def test_answers_that_are_not_kept_are_not_found_and_never_shown_to_others(visit: Visit, run: Run) -> None:
    path = address(run, "evaluation-outputs")
    assert visit("ada").get(path).status_code == 404
    assert visit("eve").get(path).status_code == 404


def test_rows_that_repeat_and_misnamed_scores_are_said_before_any_figure_and_in_json(
    visit: Visit, story: Scene
) -> None:
    doubts = {"distinct_rows": "40", "evaluated_rows": "4000", "scores_doubted": "logits that all lie in 0..1"}
    run = made(story, {"comparison-parent": comparison("-0.018", "-0.025", "-0.011")}, environment=doubts)
    page = visit("carla").reads(address(run))
    assert "Only 40 of 4,000 rows differ. Each other row stands in the data again" in page
    assert "The scores are most likely misnamed: logits that all lie in 0..1. Every row is then taken" in page
    assert page.index("rows differ") < page.index("It loses 1.8 points")
    assert visit("carla").get(address(run, "evaluation-json")).json()["doubts"] == doubts  # type: ignore[attr-defined]


def test_few_rows_that_repeat_are_said_without_alarm_and_none_not_at_all(visit: Visit, story: Scene, run: Run) -> None:
    few = made(
        story, {"fidelity": every_kind()["fidelity"]}, environment={"distinct_rows": "3999", "evaluated_rows": "4000"}
    )
    assert "3,999 of 4,000 rows differ." in visit("carla").reads(address(few))
    assert "rows differ" not in visit("carla").reads(address(run))
    nothing = {"distinct_rows": None, "evaluated_rows": None, "scores_doubted": None}
    assert visit("carla").get(address(run, "evaluation-json")).json()["doubts"] == nothing  # type: ignore[attr-defined]

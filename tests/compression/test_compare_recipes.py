"""Several recipes in one request: all runs or none, each a run of its own, one table; who may, and what the ledger shows."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.db import connection
from django.db.utils import DatabaseError
from rest_framework.test import APIClient

from audit.models import Entry
from compression_engine.recipe import shipped_recipes
from registry.compression import comparisons, execution, services, services_comparisons
from registry.compression.comparisons import Line, get_comparison
from registry.compression.models import Recipe, Run
from registry.compression.services import RunAsked
from registry.compression.services_comparisons import request_comparison
from registry.compression.training import TrainingAsked
from registry.errors import Conflict, Forbidden, Invalid, NotFound
from tests.compression.test_train_in_runs import step
from tests.world import World
from tests.worlds.catalog import figure
from tests.worlds.compression import QUICK

TUNED, WEIGHTS, HALF = step("fine_tune", epochs=1, loss="teacher"), step("quantize_weights"), step("convert_fp16")


def recipe(world: World, slug: str, *steps: dict[str, Any]) -> Recipe:
    return world.recipe(slug, {"seed": 3, "steps": list(steps)})


def asked(world: World, **more: Any) -> RunAsked:
    parent = world.version()
    return RunAsked(model=parent.model, parent=parent, evaluation=world.arrays_dataset(), plan=QUICK, **more)


def test_each_recipe_is_a_run_of_its_own_handed_what_its_steps_ask_for_and_the_ledger_has_them_in_one_unit(
    world: World,
) -> None:
    rows = world.arrays_dataset(rows=96, seed=11, uses=("training",))
    recipes = [recipe(world, "eight", WEIGHTS), recipe(world, "tuned", TUNED, WEIGHTS), recipe(world, "half", HALF)]
    given = asked(world, training=TrainingAsked(rows), seed=4)
    runs = request_comparison(actor=world.cast.ada, recipes=recipes, asked=given)
    assert [run.recipe for run in runs] == recipes
    assert len({run.comparison for run in runs}) == 1
    assert [run.training for run in runs] == [None, rows, None]
    assert {(run.state, run.seed, run.evaluation_id) for run in runs} == {("queued", 4, given.evaluation.pk)}
    events = [json.loads(bytes(entry.entry))["event"] for entry in Entry.objects.order_by("position")]
    requested = [event for event in events if event["kind"] == "run.requested"]
    assert [event["records"][0]["id"] for event in requested] == [str(run.pk) for run in runs]
    assert len({event["unit"] for event in requested}) == 1
    assert "comparison" not in requested[0]["records"][0]["row"]


def test_what_could_not_succeed_for_one_is_refused_for_all_and_named(world: World) -> None:
    recipes = [recipe(world, "eight", WEIGHTS), recipe(world, "static", step("quantize_static"))]
    with pytest.raises(Invalid, match="static@1: A step of this recipe needs calibration data") as refused:
        request_comparison(actor=world.cast.ada, recipes=recipes, asked=asked(world))
    assert refused.value.code == "data-missing"
    rows = world.arrays_dataset(rows=96, seed=11, uses=("training",))
    with pytest.raises(Invalid, match="no step of any of these recipes trains") as unused:
        plain = [recipes[0], recipe(world, "half", HALF)]
        request_comparison(actor=world.cast.ada, recipes=plain, asked=asked(world, training=TrainingAsked(rows)))
    assert unused.value.code == "option-unused"
    with pytest.raises(Invalid, match="the same document"):
        request_comparison(actor=world.cast.ada, recipes=[recipes[0], plain[1], recipes[0]], asked=asked(world))
    with pytest.raises(Invalid, match="1 recipes are to be compared"):
        request_comparison(actor=world.cast.ada, recipes=recipes[:1], asked=asked(world))
    assert not Run.objects.exists()


def test_where_one_run_cannot_be_written_down_none_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = [recipe(world, "eight", WEIGHTS), recipe(world, "half", HALF)]
    given = asked(world)

    def failing(actor: Any, role: str, run: Run) -> Run:
        if run.recipe == recipes[1]:
            raise Conflict("of this test")
        return services.queue(actor, role, run)

    monkeypatch.setattr(services_comparisons, "queue", failing)
    before = Entry.objects.count()
    with pytest.raises(Conflict):
        request_comparison(actor=world.cast.ada, recipes=recipes, asked=given)
    assert not Run.objects.exists()
    assert Entry.objects.count() == before


def test_who_may_not_request_runs_may_not_compare_and_who_may_not_read_finds_nothing(world: World) -> None:
    recipes = [recipe(world, "eight", WEIGHTS), recipe(world, "half", HALF)]
    given = asked(world)
    with pytest.raises(Forbidden):
        request_comparison(actor=world.cast.otto, recipes=recipes, asked=given)
    runs = request_comparison(actor=world.cast.ada, recipes=recipes, asked=given)
    assert runs[0].comparison is not None
    assert len(get_comparison(world.cast.otto, runs[0].comparison).lines) == 2
    for caller, comparison in ((world.cast.eve, runs[0].comparison), (world.cast.ada, uuid.uuid4())):
        with pytest.raises(NotFound):
            get_comparison(caller, comparison)


def test_the_grouping_is_frozen_in_the_database(world: World) -> None:
    recipes = [recipe(world, "eight", WEIGHTS), recipe(world, "half", HALF)]
    run = request_comparison(actor=world.cast.ada, recipes=recipes, asked=asked(world))[0]
    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute("UPDATE compression_run SET comparison = NULL WHERE id = %s", [run.pk.hex])


def test_by_the_api_one_request_makes_all_runs_and_a_repeat_makes_no_more(world: World) -> None:
    ada = APIClient()
    ada.force_authenticate(user=world.cast.people["ada"])
    parent, rows = world.version(), world.arrays_dataset()
    url = f"/api/v1/teams/search/models/{parent.model.slug}/comparisons"
    body = {
        "parent": str(parent),
        "recipes": [f"search/{recipe(world, 'eight', WEIGHTS)}", f"search/{recipe(world, 'half', HALF)}"],
        "evaluation": world.reference(rows),
    }
    for _ in range(2):
        made = ada.post(url, body, format="json", headers={"Idempotency-Key": "once"})
        assert made.status_code == 201, made.content
    assert Run.objects.count() == 2
    table = ada.get(f"/api/v1/comparisons/{made.json()['id']}").json()
    assert [row["recipe"] for row in table["rows"]] == body["recipes"]
    assert (table["in_work"], table["better_by"], table["parent"]) == (2, "answers", str(parent))
    assert "different times do not compare" in table["times"]
    assert ada.get(f"/api/v1/runs/{table['rows'][0]['run']}").json()["comparison"] == table["id"]
    refused = ada.post(url, {**body, "recipes": body["recipes"][:1]}, format="json")
    assert refused.status_code == 422


@pytest.mark.usefixtures("committed_db")
def test_the_table_holds_what_the_runs_found_and_one_that_failed_beside_the_others(world: World) -> None:
    broken = step("prune_unstructured", sparsity_per_mille=980, min_elements=1, scope="layer")
    recipes = [
        recipe(world, "cut", HALF, broken),
        recipe(world, "broken", broken, HALF),
        world.recipe("small", shipped_recipes()["smaller-same-speed"].recipe.document() | {"name": "small"}),
    ]
    given = asked(world, training=TrainingAsked(at_least="0.98"))
    runs = request_comparison(actor=world.cast.ada, recipes=recipes, asked=given)
    for run in runs[:2]:
        execution.execute(run.pk)
    assert runs[0].comparison is not None
    found = get_comparison(world.cast.ada, runs[0].comparison)
    by_slug = {line.run.recipe.slug: line for line in found.lines if line.run.recipe is not None}
    assert {slug: line.run.state for slug, line in by_slug.items()} == {
        "cut": "succeeded",
        "broken": "failed",
        "small": "queued",
    }
    assert found.in_work == 1
    half = by_slug["cut"]  # the state before the step that was too much
    assert half.run.child is not None
    assert half.size_bytes == half.run.child.size_bytes
    assert half.size_ratio is not None
    assert float(half.size_ratio["value"]) == pytest.approx(given.parent.size_bytes / half.size_bytes, abs=1e-6)
    assert half.kept is not None
    assert float(half.kept["value"]) > 0.99
    assert "Step 2 (prune_unstructured) broke the budget" in by_slug["cut"].ended_at_step
    assert by_slug["broken"].run.failure_code == "budget_broken"
    assert by_slug["broken"].kept is None
    assert found.front == []  # by this plan no time was measured, so nobody can be said to be beaten


def test_what_is_worse_is_told_by_the_sign_of_its_figure_and_a_slice_is_no_whole() -> None:
    def kept(value: str, group: str = "") -> dict[str, Any]:
        where = [{"name": "group", "value": group}] if group else []
        return figure("step_top1_agreement", value, "share", n=9, slice=where)

    steps = [
        {"environment": [{"name": "step", "value": number}], "figures": figures}
        for number, figures in (
            ("2", [kept("0.7", "red"), kept("0.9", "blue"), kept("0.8")]),
            ("1", [kept("0.1", "blue")]),
        )
    ]
    worst = comparisons._worst_of_steps(steps, figure("top1_agreement", "0.8", "share", n=18))
    assert worst is not None
    assert (worst["metric"], worst["value"], worst["slice"][0]["value"]) == ("top1_agreement", "0.7", "red")
    assert comparisons._whole(steps[0]["figures"], "step_top1_agreement") == kept("0.8")
    lost = {
        metric: Line(Run(), quality=figure(metric, "-0.02")).quality_lost
        for metric in ("accuracy_difference", "token_nll_difference")
    }
    assert lost == {"accuracy_difference": 0.02, "token_nll_difference": -0.02}  # surprise that falls is quality won

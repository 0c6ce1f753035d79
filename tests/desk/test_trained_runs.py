"""Runs that train on the pages: asked for by the form, shown step by step with their loss, and a budget that ended one."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from django.urls import reverse

from registry.compression import queries
from registry.compression.models import Run
from registry.compression.training import TrainingAsked
from registry.desk.trained import trained
from tests.desk.conftest import Visitor, words
from tests.desk.trained_runs import step, trained_run
from tests.world import World

Visit = Callable[[str], Visitor]


def test_a_run_that_trains_is_requested_by_the_form(visit: Visit, world: World) -> None:
    version, data, teacher = world.version(), world.arrays_dataset(), world.version()
    rows = world.arrays_dataset(rows=96, seed=11, uses=("training",))
    steps = [step("fine_tune", epochs=1, loss="teacher"), step("quantize_weights")]
    recipe = world.recipe("taught", {"steps": steps})
    path = reverse("desk:request-run", args=["search", version.model.slug, version.number])
    given = {
        "evaluation": str(data.pk),
        "seed": "0",
        "training": str(rows.pk),
        "teacher": str(teacher),
        "at_least": "0.9",
    }
    refused = visit("ada").post(path, recipe="measure", **given)
    assert "a measurement trains nothing" in words(refused)
    assert "<details open>" in refused.content.decode()
    visit("ada").post(path, recipe=str(recipe.pk), **given)
    run = Run.objects.get()
    assert (run.training, run.teacher, run.at_least, run.loses_at_most) == (rows, teacher, "0.9", None)


@pytest.mark.usefixtures("committed_db")
def test_the_page_of_a_run_shows_every_step_its_rounds_and_how_training_went(visit: Visit, world: World) -> None:
    asked = {"rounds": 2, "epochs_per_round": 1, "most_loss_per_mille": 900, "loss": "teacher"}
    wanted = [
        step("prune_unstructured", sparsity_per_mille=300, min_elements=1, **asked),
        step("fine_tune", epochs=2, loss="teacher"),
        step("quantize_weights"),
    ]
    run = trained_run(world, steps=wanted)
    assert run.state == "succeeded", queries.run_log(run)
    page = visit("ada").get(reverse("desk:run", args=[run.pk]))
    said = words(page)
    for part in (
        "1 prune_unstructured",
        "2 fine_tune",
        "3 quantize_weights",
        "Kept of the parent’s answers",
        "Teacher",
        "Rounds of step 1, prune_unstructured",
    ):
        assert part in said
    assert 'aria-labelledby="loss-2-title' in page.content.decode()
    result = queries.result_of(run)
    assert result is not None
    told = result.document["steps"][0]["rounds"]
    assert len(told) == 2
    assert told[0]["lost"]["measure"] in said
    for one in told:
        share, lost = 100 * one["zeros"] / one["numbers"], float(one["lost"]["per_mille"])
        assert f"{one['round']} {share:.1f} % {lost:.1f} of 1,000 {one['lost']['rows']} kept" in said


@pytest.mark.usefixtures("committed_db")
def test_a_run_that_a_budget_ended_says_at_which_step_and_why(visit: Visit, world: World) -> None:
    wanted = [
        step("convert_fp16"),
        step("prune_unstructured", sparsity_per_mille=980, min_elements=1, scope="layer"),
        step("fine_tune", epochs=1, loss="teacher"),
    ]
    run = trained_run(world, at_least="0.98", steps=wanted)
    said = words(visit("ada").get(reverse("desk:run", args=[run.pk])))
    assert "The run ended early" in said
    assert "Step 3 (fine_tune) broke the budget" in said
    assert "Undone with it: prune_unstructured." in said


@pytest.mark.usefixtures("committed_db")
def test_training_rows_that_were_left_out_are_counted_on_the_page_and_why_is_for_readers_of_the_data(
    visit: Visit, world: World
) -> None:
    held = dict(np.load(io.BytesIO(world.tiny_inputs(96, 11))))
    name = next(iter(held))
    held[name][4, 0] = np.nan
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **held)
    rows = world.dataset_version(data=file.getvalue(), uses=("training",))
    recipe = world.recipe("taught", {"steps": [step("fine_tune", epochs=1, loss="teacher"), step("quantize_weights")]})
    run = world.executed(world.run(world.version(), recipe=recipe, training=TrainingAsked(rows)))
    assert run.state == "succeeded", queries.run_log(run)
    said = words(visit("ada").get(reverse("desk:run", args=[run.pk])))
    assert "1 of 96 training rows were left out: nothing was learned from them (row 5: " in said
    shown = trained(run, queries.Names(world.cast.ada))
    hidden = trained(run, queries.Names(world.cast.eve))
    assert shown is not None
    assert hidden is not None
    assert "NaN" in shown.left_out
    assert hidden.left_out.endswith("(row 5).")

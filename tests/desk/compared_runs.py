"""A comparison of real runs, for tests of the pages that show it: a small net for digits, with labels and groups."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from registry.compression import execution
from registry.compression.services import RunAsked
from registry.compression.services_comparisons import request_comparison
from registry.compression.training import TrainingAsked
from tests.desk.trained_runs import step
from tests.engine import pipelines
from tests.world import World

PLAN = {
    **pipelines.PLAN,
    "measures": ["size", "fidelity", "quality", "comparison", "timing"],
}
EIGHT = step("quantize_weights", min_elements=400)
FOUR = step("quantize_weights", min_elements=400, bits=4)
SOME = step("prune_unstructured", min_elements=400, sparsity_per_mille=150)
MOST = step("prune_unstructured", min_elements=400, sparsity_per_mille=970, scope="global")
TUNED = step("fine_tune", epochs=2, batch_size=64)
RECIPES: dict[str, Sequence[dict[str, Any]]] = {
    "eight-bits": [EIGHT],
    "four-bits": [FOUR],
    "pruned-tuned": [SOME, TUNED, EIGHT],
    "cut-short": [SOME, MOST],
    "broken": [MOST, EIGHT],
}


def compared_runs(
    world: World, folder: Path, slugs: Sequence[str] = tuple(RECIPES), *, worked_on: int | None = None
) -> uuid.UUID:
    """The id of a comparison whose first `worked_on` runs (None: all) have ended. Needs `committed_db`."""
    pipelines.write(folder)
    parent = world.version(
        world.model("digits"), files={("model.onnx", "weights"): (folder / "model.onnx").read_bytes()}
    )
    evaluation = world.dataset_version(data=(folder / "evaluation.npz").read_bytes(), uses=("evaluation",))
    training = world.dataset_version(data=(folder / "training.npz").read_bytes(), uses=("training",))
    recipes = [world.recipe(slug, {"seed": 5, "steps": list(RECIPES[slug])}) for slug in slugs]
    trains = any(one["method"] == "fine_tune" for slug in slugs for one in RECIPES[slug])
    asked = RunAsked(
        model=parent.model,
        parent=parent,
        evaluation=evaluation,
        plan=PLAN,
        training=TrainingAsked(training if trains else None, at_least="0.9"),
    )
    runs = request_comparison(actor=world.cast.ada, recipes=recipes, asked=asked)
    for run in runs[:worked_on]:
        execution.execute(run.pk)
    assert runs[0].comparison is not None
    return runs[0].comparison

"""A run that trained, for tests of the pages that show it: a real one, three steps, taught by another version."""

from __future__ import annotations

from typing import Any

from registry.compression.models import Run
from registry.compression.training import TrainingAsked
from tests.world import World


def step(method: str, **parameters: Any) -> dict[str, Any]:
    """A step as a recipe document has it."""
    return {"method": method, "parameters": [{"name": name, "value": value} for name, value in parameters.items()]}


def trained_run(world: World, *, at_least: str | None = None, steps: list[dict[str, Any]] | None = None) -> Run:
    """Needs `committed_db`; some seconds."""
    parent = world.version()
    teacher = world.version(world.model("teacher-net"), files={("model.onnx", "weights"): world.tiny_onnx(seed=5)})
    wanted = steps or [
        step("prune_unstructured", sparsity_per_mille=300, min_elements=1),
        step("fine_tune", epochs=6, loss="teacher"),
        step("quantize_weights"),
    ]
    recipe = world.recipe(world.fresh_slug("trained"), {"seed": 3, "steps": wanted})
    rows = world.arrays_dataset(rows=96, seed=11, uses=("training",))
    return world.executed(world.run(parent, recipe=recipe, training=TrainingAsked(rows, teacher, at_least=at_least)))

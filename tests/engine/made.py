"""Children as the engine makes them, without judging them: small and quick, for tests that look at the file alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from compression_engine.environment import ENGINE_VERSION
from compression_engine.formats import onnx_io
from compression_engine.pipeline import calibration_rows, make
from compression_engine.progress import silent
from compression_engine.recipe import Recipe, ShippedRecipe, Step, shipped_recipes

WEIGHTS = Recipe("weights", (Step("quantize_weights"),))
DYNAMIC = Recipe("dynamic", (Step("quantize_dynamic"),))
FOUR = Recipe("four", (Step("quantize_weights", {"bits": 4, "granularity": "block", "rounding": "mse"}),))


def untrained() -> dict[str, ShippedRecipe]:
    """The recipes that ship and need no training rows."""
    return {
        name: entry
        for name, entry in shipped_recipes().items()
        if not any(step.needs_training for step in entry.recipe.steps)
    }


def child(parent: Path, recipe: Recipe, target: Path, *, calibration: Path | None = None, **how: Any) -> Path:
    """The child of a folder with model.onnx in the folder `target`; returns its file."""
    loaded = onnx_io.load(onnx_io.weights_file(parent))
    rows = calibration_rows(recipe, calibration, None, parent)
    made = make(loaded, recipe, silent, rows, **({"written_by": ENGINE_VERSION} | how))
    target.mkdir(parents=True, exist_ok=True)
    onnx_io.save(made.model, target / "model.onnx")
    return target / "model.onnx"


def changed(file: Path, target: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    """A copy of a model file in the folder `target`, after `change`."""
    model = onnx.load(file)
    change(model)
    target.mkdir(parents=True, exist_ok=True)
    onnx.save(model, target / "model.onnx")
    return target / "model.onnx"


def metadata(file: Path) -> dict[str, str]:
    """What a file says about itself."""
    return {entry.key: entry.value for entry in onnx.load(file).metadata_props}


def set_metadata(model: onnx.ModelProto, **entries: str) -> None:
    """Other texts under names of ours; an empty one takes the name out."""
    kept = {one.key: one.value for one in model.metadata_props} | {f"pressmark.{k}": v for k, v in entries.items()}
    del model.metadata_props[:]
    for key, value in kept.items():
        if value:
            model.metadata_props.add(key=key, value=value)

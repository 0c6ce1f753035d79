"""Real models evaluated as a user does it: compressed by a recipe that ships, then measured beside the parent by the sample's plan.

Each evaluation must end well, ask every question that fits, say the same to the byte when it is made again, and its stored outputs
must give the same figures without any model.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.harness import Row, at_least, at_most

_TIMED = {"timing", "memory", "energy", "cost"}


@dataclass(frozen=True)
class Real:
    """A sample, the recipe that makes its child, and the kinds of evidence that its evaluation must hold."""

    name: str
    recipe: str
    kinds: frozenset[str]
    foreign: str | None = None


_BY_LABEL = {"size", "fidelity", "quality", "comparison-parent", "calibration", "robustness", "timing", "memory"}
REAL = (
    Real("mnist", "smaller-same-speed", frozenset(_BY_LABEL | {"out-of-distribution"}), "other.npz"),
    Real("hmda", "smaller-same-speed", frozenset(_BY_LABEL | {"fairness"})),
    Real("silero", "smaller-same-speed", frozenset({"size", "fidelity", "quality", "comparison-parent", "calibration", "timing"})),
    Real("minilm", "faster-int8", frozenset({"size", "fidelity", "timing", "memory"})),
)  # fmt: skip
SMALL = ("hmda",)


def run(small: bool) -> list[Row]:
    """Rows of every real evaluation, or of the smallest."""
    with tempfile.TemporaryDirectory(prefix="pressmark-battery-") as name:
        return [row for real in REAL if not small or real.name in SMALL for row in _rows(real, Path(name) / real.name)]


def _rows(real: Real, folder: Path) -> list[Row]:
    data = make(real, folder)
    again = folder / "again.json"
    first, second = evaluate(real, folder, data, folder / "result.json"), evaluate(real, folder, data, again)
    kinds = {entry["document"]["kind"] for entry in first["evidence"]}
    figures = sum(len(entry["document"]["figures"]) for entry in first["evidence"])
    name, what = f"evaluations.{real.name}", f"{real.name}: {figures:,} figures over {first['data'][-1]['rows']:,} rows"
    recomputed = _engine("figures", folder / "outputs.safetensors", "--output", folder / "figures.json")
    missing = sorted(real.kinds - kinds)
    return [
        at_most(f"{name}.kinds", f"{what}: kinds missing {missing or ''}".strip(), len(missing), 0, "kinds", len(kinds)),
        at_most(f"{name}.again", f"{what}: documents that differ when made again", _apart(first, second), 0, "documents", 2),
        at_least(f"{name}.stored", f"{what}: documents from stored outputs", _same(recomputed, first), 1, "documents", 1),
    ]  # fmt: skip


def make(real: Real, folder: Path) -> Path:
    """The sample and its child; returns the evaluation data."""
    _sample(real.name, folder / "parent")
    if real.name == "minilm":
        _sample("sentences", folder / "data")
        data = folder / "data" / "evaluation.jsonl"
    else:
        data = folder / "parent" / "evaluation.npz"
    _engine(
        "compress", folder / "parent" / "model.onnx", "--recipe", real.recipe, "--output", folder / "child",
        *_rows_for_compressing(real, folder, data), *_plan(folder), "--quick",
    )  # fmt: skip
    return data


def evaluate(real: Real, folder: Path, data: Path, target: Path) -> dict[str, Any]:
    """The result of one evaluation of the child."""
    more = _plan(folder)
    if real.foreign:
        more += ["--out-of-distribution", folder / "parent" / real.foreign]
    outputs = folder / "outputs.safetensors"
    outputs.unlink(missing_ok=True)
    more += ["--outputs", outputs]
    _engine("evaluate", folder / "child", "--parent", folder / "parent", "--data", data, *more, "--output", target)
    return json.loads(target.read_text())  # type: ignore[no-any-return]


def _plan(folder: Path) -> list[object]:
    plan = folder / "parent" / "plan.json"
    return ["--plan", plan] if plan.exists() else []


def _rows_for_compressing(real: Real, folder: Path, data: Path) -> list[object]:
    """A child is checked on rows before it counts: on those for calibration, since the others are for judging it."""
    return ["--evaluation", data if real.name == "minilm" else folder / "parent" / "calibration.npz"]


def _sample(what: str, folder: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "compression_engine.samples", what, str(folder)], check=True, capture_output=True
    )


def _engine(*words: object) -> Any:
    command = [sys.executable, "-m", "compression_engine", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    target = Path(str(words[-1]))
    return json.loads(target.read_text()) if target.suffix == ".json" else None


def _documents(result: dict[str, Any]) -> dict[str, Any]:
    return {e["document"]["kind"]: e["document"] for e in result["evidence"] if e["document"]["kind"] not in _TIMED}


def _apart(first: dict[str, Any], second: dict[str, Any]) -> int:
    one, other = _documents(first), _documents(second)
    return sum(one.get(kind) != other.get(kind) for kind in {*one, *other})


def _same(recomputed: dict[str, Any], first: dict[str, Any]) -> int:
    """How many documents came again, each figure as it was; 0 if one did not. What only a model can tell is left out of them."""
    whole = _documents(first)
    for kind, document in _documents(recomputed).items():
        figures = [figure for figure in whole[kind]["figures"] if figure in document["figures"]]
        if document != {**whole[kind], "figures": figures} or not figures:
            return 0
    return len(_documents(recomputed))

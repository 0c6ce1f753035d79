"""Budget mode at 0.99 on real models, and the peers' stock recipes on the same held-back rows that nothing was chosen on.

Each model's evaluation rows are parted once; the search is run as a user runs it, with one half held back. The promise is then
judged here, on the answers of the files that lie on disk; a search that refuses has made no promise, and its row says why.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from compression_engine.answers.answering import usable
from compression_engine.answers.outputs import PARENT, VERSION
from compression_engine.data import Encoder, read_rows
from compression_engine.measure.running import answered
from compression_engine.opening import TOKENIZER_NAME
from compression_engine.plan import PLAN_TYPE, Plan
from compression_engine.progress import silent
from compression_engine.runtime import Model
from compression_engine.samples.speech import NOISES, recording, write_detector, write_silero
from compression_engine.samples.training import export, fit_classifier, parted
from compression_engine.searching.kept import kept
from compression_engine.searching.rows import split
from tests.bench.harness import Row, at_least, failed, not_measured, of_a_peer, reported
from tests.bench.quantization_material import Material
from tests.bench.quantization_peers import PEERS, make, write_feeds

PROMISE = 0.99
_PEERS = ("ort_default", "ort_per_channel", "ort_static", "nncf_static", "olive_rtn_32")
_CALIBRATION_ROWS = 64
_SEQUENCES, _FRAMES = 800, 64
_MINUTES = 20


@dataclass(frozen=True)
class Case:
    """A model with its rows parted: what recipes are chosen on, what is held back, what methods may look at."""

    name: str
    folder: Path
    plan: Plan | None
    measure: str
    ending: str

    def rows(self, use: str) -> Path:
        """The file of rows of this use."""
        return self.folder / f"{use}{self.ending}"


def rows(material: Material) -> list[Row]:
    """The promise on every model, what it saved, and the peers beside it; a quick run takes the two smallest models."""
    found: list[Row] = []
    peers_kept: dict[str, int] = dict.fromkeys(_PEERS, 0)
    cases, ours_kept = _SMALL if material.quick else _SMALL | _LARGE, 0
    for name, build in cases.items():
        try:
            case = build(material)
            own = _ours(case)
            ours_kept += own[0].value is not None and own[0].value >= PROMISE
            found += own
            for peer in _PEERS:
                row = _of_peer(case, peer)
                peers_kept[peer] += row.value is not None and row.value >= PROMISE
                found.append(row)
        except Exception as error:
            found.append(
                failed(f"search.{name}.ran", f"budget mode, {name}: it ran", f"{type(error).__name__}: {error}")
            )
    # a search that refused everything would keep every promise, and be of no use
    what = f"budget mode: models of {len(cases)} on which it found a recipe that keeps {PROMISE}"
    found.append(at_least("search.kept", what, ours_kept, len(cases) // 2 + 1, "models", len(cases)))
    for peer, count in peers_kept.items():
        what = f"{PEERS[peer].what}: models of {len(cases)} on which it keeps {PROMISE}"
        found.append(of_a_peer(f"search.kept.{peer}", what, count, "models", len(cases)))
    return found


def _ours(case: Case) -> list[Row]:
    target, what = case.folder / "searched", f"budget mode, {case.name}"
    command = [sys.executable, "-m", "compression_engine", "search", str(case.folder / "model.onnx")]
    command += ["--quick", "--json"]
    command += ["--at-least", str(PROMISE), "--at-most-minutes", str(_MINUTES), "--output", str(target)]
    command += ["--evaluation", str(case.rows("choice")), "--held-back", str(case.rows("held"))]
    command += ["--calibration", str(case.rows("calibration"))]
    command += [] if case.plan is None else ["--plan", str(case.folder / "plan.json")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    last: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    promise = f"{what}: kept on held-back rows, or refused"
    if last["type"] == "error":
        refused = last["code"] == "promise_not_kept"
        row_id = f"search.{case.name}.promise"
        return [Row(row_id, promise, None, "share", "kept or refused", refused, 0, None, last["message"])]
    value, n = _kept(case, target / "model.onnx")
    record = last["search"]
    ratio = record["parent"]["size_bytes"] / record["chosen"]["size_bytes"]
    judged = next(look for look in record["looks"] if look["look"] == record["chosen"]["look"])["figures"][0]
    return [
        at_least(f"search.{case.name}.promise", promise, value, PROMISE, case.measure, n),
        reported(
            f"search.{case.name}.low", f"{what}: lower bound", float(judged["low"]), case.measure, judged["units"]
        ),
        reported(f"search.{case.name}.size_ratio", f"{what}: times smaller", ratio, "ratio", len(record["trials"])),
        reported(f"search.{case.name}.looks", f"{what}: looks at held-back rows", len(record["looks"]), "looks", 1),
    ]


def _of_peer(case: Case, name: str) -> Row:
    peer, target = PEERS[name], case.folder / f"{name}.onnx"
    row_id, what = f"search.{case.name}.{name}", f"{peer.what}, {case.name}: kept on held-back rows"
    parent = case.folder / "model.onnx"
    feeds = None
    if peer.calibrated:
        feeds = write_feeds(
            case.folder / "feeds.npz", _encoder(case, Model(parent, 1), "calibration"), _CALIBRATION_ROWS
        )
    reason = make(peer, parent, target, feeds)
    if reason is not None:
        return not_measured(row_id, what, "share", reason)
    try:
        value, n = _kept(case, target)
    except Exception as error:
        return not_measured(row_id, what, "share", f"its model does not run: {error}"[:200])
    return of_a_peer(row_id, what, value, case.measure, n)


def _kept(case: Case, child: Path) -> tuple[float, int]:
    """What a child keeps of the original's answers to the held-back rows, by the measure that the search promises by."""
    plan = case.plan or Plan()
    models = {VERSION: Model(child, 1), PARENT: Model(case.folder / "model.onnx", 1)}
    encoder = usable(models, _encoder(case, models[PARENT], "held"), plan)
    found = kept(case.measure, answered(models, encoder, plan), plan)
    return float(found.values.sum() / found.weights.sum()), int((found.weights > 0).sum())


def _encoder(case: Case, model: Model, use: str) -> Encoder:
    plan = case.plan or Plan()
    return Encoder(read_rows(case.rows(use), plan), model.inputs(), case.folder / TOKENIZER_NAME, plan)


def _encoder_case(material: Material) -> Case:
    folder = material.folder / "search-minilm"
    folder.mkdir()
    for entry in material.sample("minilm").iterdir():
        (folder / entry.name).symlink_to(entry)
    lines = (material.sample("sentences") / "evaluation.jsonl").read_text(encoding="utf-8").splitlines()
    for use, own in (("choice", lines[::2]), ("held", lines[1::2])):
        (folder / f"{use}.jsonl").write_text("\n".join(own) + "\n", encoding="utf-8")
    (folder / "calibration.jsonl").symlink_to(material.sample("sentences") / "calibration.jsonl")
    return Case("minilm", folder, None, "cosine_mean", ".jsonl")


def _classifier(name: str, folder: Path, arrays: dict[str, Any]) -> Case:
    """Parts the rows as the search itself would, so that equal rows are on one side; `arrays` are those of the evaluation."""
    # the search alone is asked here, not every question that an evaluation has
    plan = replace(Plan.parse((folder / "plan.json").read_bytes()), measures=("size", "fidelity"))
    (folder / "plan.json").unlink()
    (folder / "plan.json").write_bytes(plan.canonical())
    np.savez(folder / "whole.npz", allow_pickle=False, **arrays)
    encoder = Encoder(read_rows(folder / "whole.npz", plan), Model(folder / "model.onnx", 1).inputs(), None, plan)
    for use, indices in zip(("choice", "held"), split(encoder, plan, 0, silent), strict=True):
        np.savez(folder / f"{use}.npz", allow_pickle=False, **{key: array[indices] for key, array in arrays.items()})
    return Case(name, folder, plan, "top1_agreement", ".npz")


def _sample(name: str) -> Callable[[Material], Case]:
    def build(material: Material) -> Case:
        folder = material.folder / f"search-{name}"
        folder.mkdir()
        for entry in material.sample(name).iterdir():
            (folder / entry.name).symlink_to(entry)
        with np.load(folder / "evaluation.npz", allow_pickle=False) as held:
            return _classifier(name, folder, {key: held[key] for key in held.files})

    return build


def _digits(material: Material) -> Case:
    """The 1,797 digits of 8 x 8 pixels of scikit-learn, and a small network of full layers."""
    import torch
    from sklearn.datasets import load_digits

    folder = material.folder / "search-digits"
    folder.mkdir()
    data = load_digits()
    images, labels = (data.data / 16).astype(np.float32), data.target.astype(np.int64)
    parts = parted(len(images), {"training": 0.4, "calibration": 0.05, "evaluation": 0.55}, 4)
    layers = [torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 128), torch.nn.ReLU()]
    training = parts["training"]
    network = fit_classifier(
        torch.nn.Sequential(*layers, torch.nn.Linear(128, 10)), images[training], labels[training], epochs=25, seed=4
    )
    export(network, images[:2], folder / "model.onnx", input_name="image")
    plan = {
        "type": PLAN_TYPE,
        "task": "classification",
        "label": "label",
        "scores": "logits",
        "measures": ["size", "fidelity"],
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    for use in ("calibration", "evaluation"):
        own = parts[use]
        np.savez(folder / f"{use}.npz", allow_pickle=False, image=images[own], label=labels[own])
    return _classifier("digits", folder, {"image": images[parts["evaluation"]], "label": labels[parts["evaluation"]]})


def _detector(file: str, name: str) -> Callable[[Material], Case]:
    """The voice detector on 800 recordings of two seconds: whole recordings are what is independent, so many are needed."""

    def build(material: Material) -> Case:
        folder = material.folder / f"search-{name}"
        write_silero(folder)
        write_detector(folder / "model.onnx", file)
        shared = material.folder / "search-recordings.npz"
        if not shared.is_file():
            np.savez(shared, allow_pickle=False, **_recordings())
        with np.load(shared, allow_pickle=False) as held:
            return _classifier(name, folder, {key: held[key] for key in held.files})

    return build


def _recordings() -> dict[str, Any]:
    chance = np.random.default_rng(11)
    found = [recording(chance, NOISES[number % 2]) for number in range(_SEQUENCES)]
    columns = {key: np.concatenate([one[key][:_FRAMES] for one in found]) for key in found[0]}
    return columns | {"sequence": np.repeat(np.arange(_SEQUENCES, dtype=np.int64), _FRAMES)}


_SMALL: dict[str, Callable[[Material], Case]] = {"digits": _digits, "hmda": _sample("hmda")}
_LARGE: dict[str, Callable[[Material], Case]] = {
    "mnist": _sample("mnist"),
    "minilm": _encoder_case,
    "silero-16k": _detector("silero_vad_16k_op15.onnx", "silero-16k"),
    "silero-default": _detector("silero_vad.onnx", "silero-default"),
}

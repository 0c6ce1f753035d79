"""quantize_static beside the peers' static recipes: a network for digits (target 5), the sentence encoder, the voice detector.

The network is trained here, on 3,000 images; its children answer 1,500 images that nobody looked at. Latencies are taken in turns.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compression_engine.data import Encoder, read_rows
from compression_engine.measure.fidelity import batch_difference, cosine_rows
from compression_engine.measure.statistics.intervals import Floats, quartile_range
from compression_engine.plan import Plan
from compression_engine.progress import silent
from compression_engine.recipe import RECIPE_TYPE
from compression_engine.runtime import Model, answers
from compression_engine.samples.training import export, fit_classifier
from tests.bench.harness import Row, at_least, at_most, not_measured, of_a_peer, reported
from tests.bench.quantization_beside import Beside, compared
from tests.bench.quantization_material import Material, digest
from tests.bench.quantization_peers import PEERS, make_all, missing_row, write_feeds
from tests.bench.quantization_turns import Turns, in_turns, typical

RECIPE = "fastest-int8"
_OURS, _WHAT = "static", "digits: quantize_static"
_FEEDS_MOST = 500
_SENTENCES_MOST = 64
_DIGITS_PEERS = ("ort_static", "nncf_static")
_EPOCHS, _SEED, _RATE = 4, 4, 1e-3


@dataclass(frozen=True)
class Child:
    """Ours or a peer's, beside the original."""

    found: Beside
    alone: float
    """The largest change of an answer by what else is in its batch."""


def rows(material: Material) -> list[Row]:
    """Target 5, and what static rounding does to a transformer and to a recurrent model."""
    if material.quick:
        reason = "--quick does not train a network"
        return [not_measured("static.digits.speed_ratio", "digits: quantize_static, times faster", "ratio", reason)]
    return _digits(material) + _encoder(material) + _detector(material)


def _digits(material: Material) -> list[Row]:
    folder = _trained(material)
    parent, plan = folder / "model.onnx", folder / "plan.json"
    made = [
        material.compressed(
            parent, RECIPE, folder / "evaluation.npz", calibration=folder / "calibration.npz", plan=plan, number=number
        )
        / "model.onnx"
        for number in (1, 2)
    ]
    encoder = _encoder_of(folder / "calibration.npz", plan, parent)
    feeds = write_feeds(folder / "feeds.npz", encoder, _FEEDS_MOST)
    paths, reasons = make_all(_DIGITS_PEERS, parent, material.folder / "static-digits", feeds)
    paths = {_OURS: made[0]} | paths
    judged = _encoder_of(folder / "evaluation.npz", plan, parent)
    children = {name: _child(name, parent, path, folder, judged) for name, path in paths.items()}
    models = {name: Model(path, 1, what=name) for name, path in paths.items()}
    turns = in_turns(Model(parent, 1), models, {_OURS: models[_OURS]}, judged.batch([0]), material.rounds)
    ours, same = children[_OURS], float(digest(made[0]) == digest(made[1]))
    told = [
        _speed(ours, turns, 1, 1.9),
        at_least("static.digits.decisions", f"{_WHAT}, first class kept", ours.found.equal, 0.998, "share", ours.found.rows),
        reported("static.digits.size_ratio", f"{_WHAT}, times smaller", ours.found.size_ratio, "ratio", 1),
        reported("static.digits.largest", f"{_WHAT}, largest difference", ours.found.largest, "logit", ours.found.rows),
        at_most("static.digits.batch", f"{_WHAT}, change of an answer by its batch", ours.alone, 0, "logit", 64),
        at_least("static.digits.same_bytes", f"{_WHAT}, same SHA-256 in two processes", same, 1, "share", 2),
        _speed(ours, turns, 2, None),
    ]  # fmt: skip
    for peer in _DIGITS_PEERS:
        told += _peer_rows(peer, children, turns, reasons)
    return told


def _peer_rows(peer: str, children: dict[str, Child], turns: Turns, reasons: dict[str, str]) -> list[Row]:
    row_id, what = f"static.digits.{peer}", f"digits: {PEERS[peer].what}"
    if peer not in children:
        return [missing_row(row_id, what, reasons[peer])]
    found, speedups = children[peer].found, 1 / turns.ratios(peer)
    return [
        of_a_peer(
            f"{row_id}.speed_ratio", f"{what}, times faster", float(np.median(speedups)), "ratio", len(speedups),
            quartile_range(speedups),
        ),
        of_a_peer(f"{row_id}.decisions", f"{what}, first class kept", found.equal, "share", found.rows),
        of_a_peer(f"{row_id}.size_ratio", f"{what}, times smaller", found.size_ratio, "ratio", 1),
        of_a_peer(f"{row_id}.batch", f"{what}, change of an answer by its batch", children[peer].alone, "logit", 64),
    ]  # fmt: skip


def _speed(child: Child, turns: Turns, threads: int, limit: float | None) -> Row:
    speedups = 1 / turns.ratios(_OURS, threads)
    what = f"digits: quantize_static, times faster{', two threads' if threads == 2 else ''}"
    row_id = f"static.digits.speed_ratio{'_two_threads' if threads == 2 else ''}"
    value, n, spread = float(np.median(speedups)), len(speedups), quartile_range(speedups)
    if limit is None:
        return reported(row_id, what, value, "ratio", n, spread)
    return at_least(row_id, what, value, limit, "ratio", n, spread)


def _child(name: str, parent: Path, path: Path, folder: Path, encoder: Encoder) -> Child:
    model = Model(path, 1, what=name)
    return Child(compared(parent, path, folder), batch_difference(model, encoder, 0, "batch", name).value or 0.0)


def _encoder(material: Material) -> list[Row]:
    """The sentence encoder: nothing is a target here, the stock recipe of a peer stands beside."""
    folder = material.sample("minilm")
    parent = folder / "model.onnx"
    made = material.compressed(folder, RECIPE, material.rows("evaluation"), calibration=material.rows("calibration"))
    judged = Encoder(read_rows(material.rows("evaluation")), Model(parent, 1).inputs(), folder / "tokenizer.json", None)
    looked_at = Encoder(
        read_rows(material.rows("calibration")), Model(parent, 1).inputs(), folder / "tokenizer.json", None
    )
    feeds = write_feeds(material.folder / "sentences.npz", looked_at, _SENTENCES_MOST)
    paths, reasons = make_all(("ort_static",), parent, material.folder / "static-encoder", feeds)
    models = {name: Model(path, 1, what=name) for name, path in ({_OURS: made / "model.onnx"} | paths).items()}
    theirs = answers(Model(parent, 1), judged, 0, silent, "fidelity")
    turns = in_turns(Model(parent, 1), models, {}, typical(judged), material.rounds // 2)
    told: list[Row] = []
    for name, model in models.items():
        tell: Any = reported if name == _OURS else of_a_peer
        row_id, what = f"static.encoder.{name}", f"encoder: {'quantize_static' if name == _OURS else PEERS[name].what}"
        cosines = cosine_rows(answers(model, judged, 0, silent, "fidelity"), theirs)
        speedups: Floats = 1 / turns.ratios(name)
        mean, spread, faster = float(cosines.mean()), float(cosines.std(ddof=1)), float(np.median(speedups))
        changed = batch_difference(model, judged, 0, "batch", name).value or 0.0
        size = parent.stat().st_size / model.path.stat().st_size
        told += [
            tell(f"{row_id}.cosine_mean", f"{what}, mean cosine", mean, "cosine", len(cosines), spread),
            tell(f"{row_id}.speed_ratio", f"{what}, times faster", faster, "ratio", len(speedups), quartile_range(speedups)),
            tell(f"{row_id}.size_ratio", f"{what}, times smaller", size, "ratio", 1),
            tell(f"{row_id}.batch", f"{what}, change of an answer by its batch", changed, "output", 64),
        ]  # fmt: skip
    return told + [missing_row(f"static.encoder.{peer}", PEERS[peer].what, reason) for peer, reason in reasons.items()]


def _detector(material: Material) -> list[Row]:
    """The recurrent detector: the recipe refuses it, since errors add up in its state; what it would give without the limit."""
    folder, what = material.sample("silero"), "voice detector, whole sequences: quantize_static"
    parent, plan, calibration = folder / "model.onnx", folder / "plan.json", folder / "calibration.npz"
    try:
        material.compressed(parent, RECIPE, folder / "evaluation.npz", calibration=calibration, plan=plan)
        refused = 0.0
    except RuntimeError as error:
        if "changes the answers" not in str(error):
            raise
        refused = 1.0
    unlimited = material.folder / "unlimited.json"
    step = {"method": "quantize_static", "parameters": [{"name": "most_change_per_mille", "value": 1000}]}
    unlimited.write_text(json.dumps({"name": "unlimited", "steps": [step], "type": RECIPE_TYPE}))
    made = material.compressed(parent, unlimited, folder / "evaluation.npz", calibration=calibration, plan=plan)
    found = compared(parent, made / "model.onnx", folder)
    kept = max(refused, float(found.equal >= 0.99))
    return [
        at_least("static.detector.kept", f"{what} is refused, or keeps 99 % of decisions", kept, 1, "share", 1),
        reported("static.detector.decisions", f"{what} without its limit, decisions equal", found.equal, "share", found.rows),
        reported("static.detector.size_ratio", f"{what} without its limit, times smaller", found.size_ratio, "ratio", 1),
        reported("static.detector.largest", f"{what} without its limit, largest difference", found.largest, "output", found.rows),
    ]  # fmt: skip


def _encoder_of(path: Path, plan: Path, parent: Path) -> Encoder:
    read = Plan.parse(plan.read_bytes())
    return Encoder(read_rows(path, read), Model(parent, 1).inputs(), None, read)


def _trained(material: Material) -> Path:
    """A folder as that of the sample `mnist`, with a residual network of 1.2 million parameters in place of its small one."""
    sample, folder = material.sample("mnist"), material.folder / "resnet"
    folder.mkdir()
    for name in ("plan.json", "calibration.npz", "evaluation.npz"):
        (folder / name).symlink_to(sample / name)
    with np.load(sample / "training.npz") as training:
        network = fit_classifier(
            _network(), training["image"], training["label"], epochs=_EPOCHS, seed=_SEED, learning_rate=_RATE
        )
        export(network, training["image"][:2], folder / "model.onnx", input_name="image")
    return folder


def _network() -> Any:
    """A stem of stride 2 and three residual blocks of 64, 128 and 256 channels."""
    import torch
    from torch import nn

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, before: int, channels: int, stride: int) -> None:
            super().__init__()
            self.first = nn.Conv2d(before, channels, 3, stride=stride, padding=1, bias=False)
            self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            self.norms = nn.ModuleList([nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)])
            changed = before != channels or stride != 1
            around = [nn.Conv2d(before, channels, 1, stride=stride, bias=False), nn.BatchNorm2d(channels)]
            self.around = nn.Sequential(*(around if changed else []))

        def forward(self, x: Any) -> Any:
            inner = torch.relu(self.norms[0](self.first(x)))
            return torch.relu(self.norms[1](self.second(inner)) + self.around(x))

    stem = [nn.Conv2d(1, 64, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    blocks = [Block(64, 64, 1), Block(64, 128, 2), Block(128, 256, 2)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10))

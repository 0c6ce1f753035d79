"""Weights in two factors: what each share of the multiply-adds costs, on a net of convolutions and on an encoder of sentences.

Digits: children made as a user makes them, judged by the held-back images. Beside them stands the plain truncation that
`torch.linalg.svd` gives at the ranks which ours chose, put back as whole matrices (its answers are those of two factors), and the
same truncation with one share for all layers, as it is usually written. Sentences: mean cosine to the parent and the share of
sentences whose nearest neighbour stays, over sentences that nothing was fitted to. Nothing is chosen by what is judged.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from compression_engine.measure.statistics.intervals import quartile_range
from compression_engine.runtime import Model
from tests.bench.harness import Row, of_a_peer, reported
from tests.bench.quantization_material import run_engine
from tests.bench.quantization_turns import timed
from tests.bench.training_distill import embedded
from tests.bench.training_material import Net, TrainingMaterial, accuracy
from tests.bench.training_unstructured import recipe

_SHARES, _TAUGHT = (300, 500), 500
_SENTENCE_SHARES = (100, 200)
_EPOCHS = 2
_POINTS, _SENTENCES = 100, 372


def rows(material: TrainingMaterial) -> list[Row]:
    """The rows of this part; a quick run takes one share of each, and trains one epoch."""
    return [*_digits(material), *_sentences(material)]


def _digits(material: TrainingMaterial) -> list[Row]:
    net, found = material.net(), []
    begun, held = accuracy(net.model, net)
    for share in _SHARES[1:] if material.quick else _SHARES:
        for fit in ("weights", "inputs"):
            child = _child(material, net, f"low-rank-{fit}-{share}", [_step(share, fit)])
            lost = _POINTS * (begun - accuracy(child / "model.onnx", net)[0])
            what = f"low_rank: digits, {share / 10:g} % of multiply-adds saved, fit {fit}"
            found.append(reported(f"low_rank.digits.{fit}.{share}", f"{what}: points lost", lost, "points", held))
            if fit == "weights":
                found += _beside(material, net, child, share, begun, held)
            else:
                found += _cost(net, child, what, f"low_rank.digits.{fit}.{share}", material.rounds)
    epochs = 1 if material.quick else _EPOCHS
    taught = ("fine_tune", {"epochs": epochs, "loss": "teacher", "learning_rate_per_million": 500})
    child = _child(material, net, "low-rank-taught", [_step(_TAUGHT, "inputs"), taught])
    lost = _POINTS * (begun - accuracy(child / "model.onnx", net)[0])
    what = f"low_rank: digits, {_TAUGHT / 10:g} % saved, {epochs} epochs of the parent's answers: points lost"
    return [*found, reported("low_rank.digits.taught", what, lost, "points", held)]


def _step(share: int, fit: str) -> tuple[str, dict[str, Any]]:
    return "low_rank", {"share_per_mille": share, "fit": fit}


def _child(material: TrainingMaterial, net: Net, name: str, steps: list[tuple[str, dict[str, Any]]]) -> Path:
    options = ["--calibration", str(net.rows("calibration"))] if steps[0][1]["fit"] == "inputs" else []
    options += ["--training", str(net.rows("training"))] if len(steps) > 1 else []
    return material.child(net.model, recipe(material.folder, name, steps, 0), name, net, options)


def _told(child: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((child / "RESULT.json").read_bytes())["steps"][0]["low_rank"]
    return found


def _cost(net: Net, child: Path, what: str, name: str, rounds: int) -> list[Row]:
    with np.load(net.rows("held_back")) as held:
        feed = {"image": held["image"][:1]}
    seconds = timed(Model(net.model, 1), {"child": Model(child / "model.onnx", 1)}, feed, rounds)
    ratios = seconds["the original"] / seconds["child"]
    size = net.model.stat().st_size / (child / "model.onnx").stat().st_size
    faster = f"{what}: times faster, one row, one thread"
    spread = quartile_range(ratios)
    return [
        reported(f"{name}.smaller", f"{what}: times smaller", size, "ratio", 1),
        reported(f"{name}.faster", faster, float(np.median(ratios)), "ratio", len(ratios), spread),
    ]


def _beside(material: TrainingMaterial, net: Net, child: Path, share: int, begun: float, held: int) -> list[Row]:
    """The truncation of torch at our ranks, and with one share of every layer that can be cut."""
    ranks = {entry["name"]: entry["rank"] for entry in _told(child)["layers"]}
    found = []
    for name, what, chosen in (
        ("ranks", "at our ranks", ranks),
        ("uniform", "one share for every layer", _uniform(net, share)),
    ):
        target = material.folder / f"torch-svd-{name}-{share}.onnx"
        truncated(net.model, chosen, target)
        lost = _POINTS * (begun - accuracy(target, net)[0])
        told = f"low_rank: digits, {share / 10:g} % saved, torch.linalg.svd {what}: points lost"
        found.append(of_a_peer(f"low_rank.digits.torch.{name}.{share}", told, lost, "points", held))
    return found


def _uniform(net: Net, share: int) -> dict[str, int]:
    ranks = {}
    for tensor in onnx.load(net.model).graph.initializer:
        if len(tensor.dims) > 1 and np.prod(tensor.dims) >= 4096:
            rows, columns = tensor.dims[0], int(np.prod(tensor.dims[1:]))
            ranks[tensor.name] = max(1, int(rows * columns * (1000 - share) / 1000 / (rows + columns)))
    return ranks


def truncated(model: Path, ranks: dict[str, int], target: Path) -> None:
    """Writes a model whose weights have these ranks at most, by torch alone."""
    import torch

    loaded = onnx.load(model)
    for tensor in loaded.graph.initializer:
        if tensor.name in ranks:
            array = numpy_helper.to_array(tensor)
            left, sizes, right = torch.linalg.svd(
                torch.from_numpy(array.reshape(len(array), -1).copy()), full_matrices=False
            )
            rank = ranks[tensor.name]
            made = (left[:, :rank] * sizes[:rank]) @ right[:rank]
            tensor.CopyFrom(numpy_helper.from_array(made.reshape(array.shape).numpy(), tensor.name))
    onnx.save(loaded, target)


def _sentences(material: TrainingMaterial) -> list[Row]:
    parent = material.sample("minilm") / "model.onnx"
    tokenizer, asked = parent.parent / "tokenizer.json", material.rows("evaluation")
    lines = asked.read_text(encoding="utf-8").splitlines()[:_SENTENCES]
    texts = tuple(str(json.loads(line)["text"]) for line in lines)
    theirs, found = embedded(Model(parent, 1), tokenizer, texts), []
    shares = _SENTENCE_SHARES[1:] if material.quick else _SENTENCE_SHARES
    for share, fit in [(shares[-1], "weights"), *((share, "inputs") for share in shares)]:
        name = f"low-rank-sentences-{fit}-{share}"
        file, target = recipe(material.folder, name, [_step(share, fit)], 0), material.folder / name
        options = ["--calibration", str(material.rows("calibration"))] if fit == "inputs" else []
        run_engine(
            "compression_engine",
            ["compress", str(parent), "--recipe", str(file), "--output", str(target), "--quick", *options],
        )
        ours = embedded(Model(target / "model.onnx", 1), tokenizer, texts)
        cosines, what = (
            (ours * theirs).sum(axis=1),
            f"low_rank: sentences, {share / 10:g} % of multiply-adds saved, fit {fit}",
        )
        spread, kept = quartile_range(cosines), float((_nearest(ours) == _nearest(theirs)).mean())
        where = f"low_rank.sentences.{fit}.{share}"
        found += [
            reported(f"{where}.cosine", f"{what}: mean cosine", float(cosines.mean()), "cosine", len(texts), spread),
            reported(f"{where}.neighbours", f"{what}: nearest neighbours kept", kept, "share", len(texts)),
        ]
    return found


def _nearest(embeddings: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    likeness = embeddings @ embeddings.T
    np.fill_diagonal(likeness, -np.inf)
    return np.asarray(likeness.argmax(axis=1))

"""The sentence encoder all-MiniLM-L6-v2: our children and the peers' answer the same held-out sentences in one run.

Every ratio of latency is within a round in which each model ran once. A peer whose file does not open, or gives no numbers, is a
row that says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compression_engine.data import read_rows
from compression_engine.errors import EngineError
from compression_engine.measure.fidelity import batch_difference, cosine_rows
from compression_engine.measure.statistics.intervals import Floats, quartile_range
from compression_engine.pipeline import open_pair
from compression_engine.progress import silent
from compression_engine.runtime import Model, answers
from tests.bench.harness import Row, at_least, at_most, not_measured, of_a_peer, reported
from tests.bench.quantization_material import Material, digest
from tests.bench.quantization_peers import PEERS, make_all, missing_row, write_feeds
from tests.bench.quantization_turns import Turns, in_turns, typical

OURS = {
    "quantize_weights": "smaller-same-speed",
    "quantize_dynamic": "faster-int8",
    "four_bits": "smallest-4-bit",
    "convert_fp16": "half-size",
}
_THEIRS = (
    "ort_default", "ort_per_channel", "nncf_weights", "nncf_transformer", "nncf_four_bits", "olive_rtn_32", "olive_rtn",
)  # fmt: skip
_TOO_LONG = ("nncf_transformer",)
_FEEDS_MOST = 64


@dataclass(frozen=True)
class Found:
    """One model against the original: size ratio, cosines, dependence on the batch, size of the file in bytes."""

    size_ratio: float
    cosines: Floats
    batch_difference: float | None

    @property
    def error(self) -> float:
        """Mean of 1 - cosine."""
        return float((1 - self.cosines).mean())


def rows(material: Material) -> list[Row]:
    """Targets 1 to 3, half floats, repeated bytes, and the peers' figures."""
    parent = material.sample("minilm")
    children = {name: [_child(material, parent, recipe, number) for number in (1, 2)] for name, recipe in OURS.items()}
    same = {name: float(digest(pair[0]) == digest(pair[1])) for name, pair in children.items()}
    paths = {name: pair[0] for name, pair in children.items()}
    made, reasons = _peers(material, parent)
    found, turns, broken = _measured(material, parent / "model.onnx", paths | made)
    reasons |= broken
    told = (
        _weights_rows(found, turns, reasons)
        + _dynamic_rows(found, turns, reasons)
        + _four_bit_rows(found, turns, reasons)
    )
    told += _half_rows(found, turns)
    told += [at_least(f"{name}.same_bytes", f"{name}: same SHA-256 in two processes", value, 1, "share", 2)
             for name, value in same.items()]  # fmt: skip
    return told + [row for peer in _THEIRS for row in _peer_rows(peer, found, turns, reasons)]


def _weights_rows(found: dict[str, Found], turns: Turns, reasons: dict[str, str]) -> list[Row]:
    name, own = "quantize_weights", found["quantize_weights"]
    ratios = turns.ratios(name)
    told = [
        _size_row(name, own, 3.9),
        _cosine_row(name, own, 0.9995),
        at_most(
            f"{name}.latency_ratio", f"{name}: time of the original's", float(np.median(ratios)), 1.05, "ratio",
            len(ratios), quartile_range(ratios),
        ),
        _two_threads(name, turns),
        _batch_row(name, own),
    ]  # fmt: skip
    what = f"{name}: times faster than NNCF's int8 weights"
    if "nncf_weights" in reasons:
        return [*told, missing_row(f"{name}.nncf", what, reasons["nncf_weights"])]
    faster = turns.ratios("nncf_weights") / ratios
    return [
        *told,
        at_least(f"{name}.nncf", what, float(np.median(faster)), 3.5, "ratio", len(faster), quartile_range(faster)),
    ]


def _dynamic_rows(found: dict[str, Found], turns: Turns, reasons: dict[str, str]) -> list[Row]:
    name, own = "quantize_dynamic", found["quantize_dynamic"]
    speedups = 1 / turns.ratios(name)
    told = [
        _size_row(name, own, 3.9),
        _cosine_row(name, own, 0.997),
        at_least(
            f"{name}.speed_ratio", f"{name}: times faster", float(np.median(speedups)), 1.7, "ratio", len(speedups),
            quartile_range(speedups),
        ),
        _two_threads(name, turns),
        _batch_row(name, own),
    ]  # fmt: skip
    for peer, limit in (("ort_per_channel", 2.5), ("ort_default", 14.0)):
        what = f"{name}: error below that of {PEERS[peer].what}"
        told.append(
            missing_row(f"{name}.{peer}", what, reasons[peer])
            if peer in reasons
            else at_least(f"{name}.{peer}", what, found[peer].error / own.error, limit, "ratio", len(own.cosines))
        )
    return told


def _four_bit_rows(found: dict[str, Found], turns: Turns, reasons: dict[str, str]) -> list[Row]:
    name, own = "four_bits", found["four_bits"]
    ratios, errors = turns.ratios(name), 1 - own.cosines
    told = [
        _size_row(name, own, 5.9),
        at_most(f"{name}.error", f"{name}: mean of 1 - cosine", own.error, 0.020, "cosine", len(errors), _spread(errors)),
        reported(
            f"{name}.latency_ratio", f"{name}: time of the original's", float(np.median(ratios)), "ratio", len(ratios),
            quartile_range(ratios),
        ),
        _two_threads(name, turns),
        _batch_row(name, own),
    ]  # fmt: skip
    what = f"{name}: share of the error of Olive's, blocks of 32"
    if "olive_rtn_32" in reasons:
        return [*told, missing_row(f"{name}.olive", what, reasons["olive_rtn_32"])]
    return [
        *told,
        at_most(f"{name}.olive", what, own.error / found["olive_rtn_32"].error, 0.5, "share", len(errors)),
    ]


def _half_rows(found: dict[str, Found], turns: Turns) -> list[Row]:
    name, own = "convert_fp16", found["convert_fp16"]
    ratios = turns.ratios(name)
    return [
        _size_row(name, own, 1.95),
        _cosine_row(name, own, 0.99999),
        reported(
            f"{name}.latency_ratio", f"{name}: time of the original's", float(np.median(ratios)), "ratio", len(ratios),
            quartile_range(ratios),
        ),
    ]  # fmt: skip


def _peer_rows(peer: str, found: dict[str, Found], turns: Turns, reasons: dict[str, str]) -> list[Row]:
    what = PEERS[peer].what
    if peer in reasons:
        return [missing_row(f"peer.{peer}", what, reasons[peer])]
    own, n = found[peer], len(found[peer].cosines)
    speedups = 1 / turns.ratios(peer)
    cosine, batch = float(own.cosines.mean()), own.batch_difference
    told = [
        of_a_peer(f"peer.{peer}.size_ratio", f"{what}: times smaller", own.size_ratio, "ratio", 1),
        of_a_peer(f"peer.{peer}.cosine_mean", f"{what}: mean cosine", cosine, "cosine", n, _spread(own.cosines)),
        of_a_peer(
            f"peer.{peer}.speed_ratio", f"{what}: times faster", float(np.median(speedups)), "ratio", len(speedups),
            quartile_range(speedups),
        ),
    ]  # fmt: skip
    batch_id, batch_what = f"peer.{peer}.batch", f"{what}: change of an answer by its batch"
    if batch is None:
        return [*told, not_measured(batch_id, batch_what, "output", "the model does not take several rows")]
    return [*told, of_a_peer(batch_id, batch_what, batch, "output", 64)]


def _size_row(name: str, own: Found, limit: float) -> Row:
    return at_least(f"{name}.size_ratio", f"{name}: times smaller", own.size_ratio, limit, "ratio", 1)


def _cosine_row(name: str, own: Found, limit: float) -> Row:
    mean, n = float(own.cosines.mean()), len(own.cosines)
    return at_least(f"{name}.cosine_mean", f"{name}: mean cosine", mean, limit, "cosine", n, _spread(own.cosines))


def _two_threads(name: str, turns: Turns) -> Row:
    ratios = turns.ratios(name, threads=2)
    what = f"{name}: time of the original's, two threads"
    return reported(
        f"{name}.latency_ratio_2", what, float(np.median(ratios)), "ratio", len(ratios), quartile_range(ratios)
    )


def _batch_row(name: str, own: Found) -> Row:
    assert own.batch_difference is not None
    return at_most(f"{name}.batch", f"{name}: change of an answer by its batch", own.batch_difference, 0, "output", 64)


def _measured(
    material: Material, parent_path: Path, paths: dict[str, Path]
) -> tuple[dict[str, Found], Turns, dict[str, str]]:
    """What each model answers, how long it takes, and which do not run."""
    evaluated = read_rows(material.rows("evaluation"))
    _, parent, encoder = open_pair(parent_path, parent_path, evaluated, 1)
    assert parent is not None
    theirs = answers(parent, encoder, 0, silent, "fidelity")
    found: dict[str, Found] = {}
    models: dict[str, Model] = {}
    broken: dict[str, str] = {}
    for name, path in paths.items():
        try:
            model = Model(path, 1, what=name)
            cosines = cosine_rows(answers(model, encoder, 0, silent, "fidelity"), theirs)
            batch = batch_difference(model, encoder, 0, "batch", name).value
        except EngineError as error:
            if name in OURS:
                raise
            broken[name] = f"its file does not run: {error.message}"
            continue
        models[name] = model
        found[name] = Found(parent_path.stat().st_size / path.stat().st_size, cosines, batch)
    ours = {name: models[name] for name in OURS}
    return found, in_turns(parent, models, ours, typical(encoder), material.rounds), broken


def _peers(material: Material, parent: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """The peers' models, and why others are missing."""
    calibration = read_rows(material.rows("calibration"))
    _, opened, encoder = open_pair(parent / "model.onnx", parent / "model.onnx", calibration, 1)
    assert opened is not None
    feeds = write_feeds(material.folder / "minilm-feeds.npz", encoder, _FEEDS_MOST)
    wanted = [name for name in _THEIRS if not (material.quick and name in _TOO_LONG)]
    made, reasons = make_all(wanted, parent / "model.onnx", material.folder / "peer", feeds)
    return made, reasons | {name: "it takes minutes; not with --quick" for name in _THEIRS if name not in wanted}


def _child(material: Material, parent: Path, recipe: str, number: int) -> Path:
    evaluation, calibration = material.rows("evaluation"), material.rows("calibration")
    folder = material.compressed(parent, recipe, evaluation, calibration=calibration, number=number)
    return folder / "model.onnx"


def _spread(values: Floats) -> float:
    return float(values.std(ddof=1))

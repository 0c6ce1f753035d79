"""Our methods beside onnxruntime's stock quantisers on the real sentence encoder all-MiniLM-L6-v2, in one run; then other models.

All models answer the same held-out sentences; their latencies are taken in turns, one run of each a round, so that a busy
machine slows all alike; every ratio is to the original in the same round. One thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compression_engine.data import Encoder, read_rows
from compression_engine.measure.fidelity import batch_difference, cosine_rows
from compression_engine.measure.statistics.intervals import Floats, quartile_range
from compression_engine.pipeline import open_pair
from compression_engine.progress import silent
from compression_engine.runtime import Model, answers
from tests.bench import quantization_others
from tests.bench.harness import Row, at_least, at_most, not_measured, of_a_peer, reported

OURS = {
    "smaller-same-speed": "quantize_weights",
    "faster-int8": "quantize_dynamic",
    "smallest-4-bit": "four_bits",
    "half-size": "convert_fp16",
}
PEERS = {"ort_default": {"per_channel": False}, "ort_per_channel": {"per_channel": True}}
NOT_INSTALLED = {
    "nncf_weights": "NNCF int8 weights: time of ours as a share of theirs",
    "olive_rtn": "Olive 4-bit round-to-nearest: mean cosine",
}
_WARM_UP = 10


@dataclass(frozen=True)
class Measured:
    """One model against the original: size ratio, cosines, ratios of latency, dependence on the batch."""

    size_ratio: float
    cosines: Floats
    latencies: Floats
    batch_difference: float | None


def run(quick: bool) -> list[Row]:
    """All rows; `quick` takes 100 sentences and 40 rounds instead of all and 200."""
    with tempfile.TemporaryDirectory(prefix="pressmark-bench-") as name:
        folder = Path(name)
        _samples("minilm", folder / "minilm")
        _samples("sentences", folder / "data")
        if quick:
            _shorten(folder / "data" / "evaluation.jsonl", 100)
        digests = {recipe: [_compress(folder, recipe, number) for number in (1, 2)] for recipe in OURS}
        missing = _stock(folder)
        paths = {OURS[recipe]: folder / f"{recipe}-1" / "model.onnx" for recipe in OURS}
        paths |= {peer: folder / f"{peer}.onnx" for peer in PEERS if missing is None}
        measured = _measure(folder, paths, 40 if quick else 200)
        rows = _weights_rows(measured["quantize_weights"]) + _dynamic_rows(measured["quantize_dynamic"])
        rows += _four_bit_rows(measured["four_bits"]) + _half_rows(measured["convert_fp16"])
        rows += quantization_others.rows(folder, quick)
    for recipe, pair in digests.items():
        same = float(len(set(pair)) == 1)
        rows.append(
            at_least(
                f"{OURS[recipe]}.same_bytes", f"{OURS[recipe]}: same SHA-256 in two processes", same, 1, "share", 2
            )
        )
    rows += [not_measured(peer, what, "ratio", "it is not installed here") for peer, what in NOT_INSTALLED.items()]
    return rows + _peer_rows(measured, missing)


def _weights_rows(found: Measured) -> list[Row]:
    ratios, cosines = found.latencies, found.cosines
    name, n = "quantize_weights", len(cosines)
    return [
        at_least(f"{name}.size_ratio", f"{name}: times smaller", found.size_ratio, 3.9, "ratio", 1),
        at_least(f"{name}.cosine_mean", f"{name}: mean cosine", float(cosines.mean()), 0.9995, "cosine", n, _spread(cosines)),
        at_most(
            f"{name}.latency_ratio", f"{name}: time of the original's", float(np.median(ratios)), 1.05, "ratio",
            len(ratios), quartile_range(ratios),
        ),
        _batch_row(name, found),
    ]  # fmt: skip


def _dynamic_rows(found: Measured) -> list[Row]:
    speedups, cosines = 1 / found.latencies, found.cosines
    name, n = "quantize_dynamic", len(cosines)
    return [
        at_least(f"{name}.size_ratio", f"{name}: times smaller", found.size_ratio, 3.9, "ratio", 1),
        at_least(f"{name}.cosine_mean", f"{name}: mean cosine", float(cosines.mean()), 0.9985, "cosine", n, _spread(cosines)),
        at_least(
            f"{name}.speed_ratio", f"{name}: times faster", float(np.median(speedups)), 1.7, "ratio", len(speedups),
            quartile_range(speedups),
        ),
        _batch_row(name, found),
    ]  # fmt: skip


def _four_bit_rows(found: Measured) -> list[Row]:
    ratios, errors = found.latencies, 1 - found.cosines
    name, n = "four_bits", len(errors)
    return [
        at_least(f"{name}.size_ratio", f"{name}: times smaller", found.size_ratio, 5.9, "ratio", 1),
        at_most(f"{name}.error", f"{name}: mean of 1 - cosine", float(errors.mean()), 0.020, "cosine", n, _spread(errors)),
        reported(
            f"{name}.latency_ratio", f"{name}: time of the original's", float(np.median(ratios)), "ratio", len(ratios),
            quartile_range(ratios),
        ),
        _batch_row(name, found),
    ]  # fmt: skip


def _half_rows(found: Measured) -> list[Row]:
    ratios, cosines = found.latencies, found.cosines
    name, n = "convert_fp16", len(cosines)
    return [
        at_least(f"{name}.size_ratio", f"{name}: times smaller", found.size_ratio, 1.95, "ratio", 1),
        at_least(f"{name}.cosine_mean", f"{name}: mean cosine", float(cosines.mean()), 0.99999, "cosine", n, _spread(cosines)),
        reported(
            f"{name}.latency_ratio", f"{name}: time of the original's", float(np.median(ratios)), "ratio", len(ratios),
            quartile_range(ratios),
        ),
    ]  # fmt: skip


def _batch_row(name: str, found: Measured) -> Row:
    assert found.batch_difference is not None
    return at_most(
        f"{name}.batch", f"{name}: change of an answer by its batch", found.batch_difference, 0, "output", 64
    )


def _peer_rows(measured: dict[str, Measured], missing: str | None) -> list[Row]:
    if missing is not None:
        return [not_measured(f"{peer}.cosine_mean", f"{peer}: mean cosine", "cosine", missing) for peer in PEERS]
    rows: list[Row] = []
    ours = 1 - float(measured["quantize_dynamic"].cosines.mean())
    for peer, limit in (("ort_per_channel", 5.0), ("ort_default", 25.0)):
        found = measured[peer]
        n, cosine = len(found.cosines), float(found.cosines.mean())
        speedups = 1 / found.latencies
        rows += [
            of_a_peer(f"{peer}.size_ratio", f"{peer}: times smaller", found.size_ratio, "ratio", 1),
            of_a_peer(f"{peer}.cosine_mean", f"{peer}: mean cosine", cosine, "cosine", n, _spread(found.cosines)),
            of_a_peer(
                f"{peer}.speed_ratio", f"{peer}: times faster", float(np.median(speedups)), "ratio", len(speedups),
                quartile_range(speedups),
            ),
            of_a_peer(f"{peer}.batch", f"{peer}: change of an answer by its batch", found.batch_difference or 0, "output", 64),
            at_least(f"{peer}.error", f"quantize_dynamic: error below {peer}'s", (1 - cosine) / ours, limit, "ratio", n),
        ]  # fmt: skip
    return rows


def _measure(folder: Path, paths: dict[str, Path], rounds: int) -> dict[str, Measured]:
    parent_path = folder / "minilm" / "model.onnx"
    rows = read_rows(folder / "data" / "evaluation.jsonl")
    _, parent, encoder = open_pair(parent_path, parent_path, rows, 1)
    assert parent is not None
    models = {name: Model(path, 1, what=name) for name, path in paths.items()}
    theirs = answers(parent, encoder, 0, silent, "fidelity")
    latencies = _interleaved(parent, models, encoder, rounds)
    return {
        name: Measured(
            size_ratio=parent_path.stat().st_size / paths[name].stat().st_size,
            cosines=cosine_rows(answers(model, encoder, 0, silent, "fidelity"), theirs),
            latencies=latencies[name],
            batch_difference=batch_difference(model, encoder, 0, "batch", name).value,
        )
        for name, model in models.items()
    }


def _interleaved(parent: Model, models: dict[str, Model], encoder: Encoder, rounds: int) -> dict[str, Floats]:
    """Ratios to the original, one a round; the order within a round turns, so that no model always follows another."""
    counts = encoder.token_counts()
    assert counts is not None
    feed = encoder.batch([int(np.argsort(counts)[len(counts) // 2])])
    everyone = {"parent": parent} | models
    times = {name: np.empty(rounds) for name in everyone}
    for number in range(-_WARM_UP, rounds):
        names = list(everyone)
        turned = names[number % len(names) :] + names[: number % len(names)]
        for name in turned:
            start = time.perf_counter()
            everyone[name].run(feed)
            if number >= 0:
                times[name][number] = time.perf_counter() - start
    return {name: times[name] / times["parent"] for name in models}


def _stock(folder: Path) -> str | None:
    """Makes the peers' models; says why if that is not possible here."""
    try:
        from onnxruntime.quantization import quantize_dynamic
    except ImportError as error:
        return f"onnxruntime's quantiser cannot be imported: {error}"
    for peer, options in PEERS.items():
        with contextlib.redirect_stdout(sys.stderr):
            quantize_dynamic(str(folder / "minilm" / "model.onnx"), str(folder / f"{peer}.onnx"), **options)
    return None


def _compress(folder: Path, recipe: str, number: int) -> str:
    output = folder / f"{recipe}-{number}"
    command = [sys.executable, "-m", "compression_engine", "compress", str(folder / "minilm"), "--recipe", recipe]
    command += ["--evaluation", str(folder / "data" / "evaluation.jsonl"), "--output", str(output), "--quick"]
    command += ["--calibration", str(folder / "data" / "calibration.jsonl")]
    surroundings = {"PYTHONHASHSEED": str(number), "OMP_NUM_THREADS": str(number), "OPENBLAS_NUM_THREADS": str(number)}
    subprocess.run(command, check=True, capture_output=True, env=os.environ | surroundings)
    return hashlib.sha256((output / "model.onnx").read_bytes()).hexdigest()


def _samples(what: str, target: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "compression_engine.samples", what, str(target)], check=True, capture_output=True
    )


def _shorten(path: Path, lines: int) -> None:
    path.write_text("\n".join(path.read_text(encoding="utf-8").splitlines()[:lines]) + "\n", encoding="utf-8")


def _spread(values: Floats) -> float:
    return float(values.std(ddof=1))

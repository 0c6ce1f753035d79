"""Timing of evaluations: a model against itself on a loaded machine, and what measuring costs beyond running the models.

The load is one process a core that never rests. A run counts when the ratio of the model to itself lies within 0.03 of 1. What
measuring costs is the processor time of a whole evaluation without the measures whose work is to run models again (timing, memory,
energy, cost), outside the models' own runs and without opening them, as a share of the time in those runs.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from compression_engine.data import Array, Encoder, Feed, read_rows
from compression_engine.evaluation import evaluate
from compression_engine.measure.rounds import Budget
from compression_engine.measure.timing import Setting, measure_setting
from compression_engine.plan import Plan
from compression_engine.progress import silent
from compression_engine.runtime import Model
from tests.bench.harness import Row, at_least, at_most
from tests.engine import nets

RUNS, RUNS_QUICK = 10, 4
WITHIN = 0.03
SECONDS, SECONDS_QUICK = 40.0, 6.0
MEASURES = ("size", "fidelity", "quality", "comparison")


def timing_rows(quick: bool) -> list[Row]:
    """Rows about a model against itself, small, large and real, and about the cost of measuring."""
    with tempfile.TemporaryDirectory(prefix="pressmark-bench-") as made:
        folder = Path(made)
        found = [
            _against_itself("small", "a perceptron of 29,000 weights", *_small(folder), quick),
            _against_itself("large", "16 layers of 1024 x 1024, 64 MiB", *_large(folder), quick),
        ]
        minilm = _minilm(folder)
        if not quick:
            encoder = _text_encoder(minilm, folder / "data" / "evaluation.jsonl")
            found.append(_against_itself("minilm", "all-MiniLM-L6-v2, one sentence", minilm, encoder, quick))
        return [*found, _overhead(minilm, folder, quick)]


def _against_itself(name: str, what: str, path: Path, encoder: Encoder, quick: bool) -> Row:
    runs, seconds = (RUNS_QUICK, SECONDS_QUICK) if quick else (RUNS, SECONDS)
    ratios = []
    with _load():
        for _ in range(runs):
            models, paths = _opened(path), {"version": path, "parent": path}
            found = measure_setting(models, paths, encoder, Setting(1, 1), Budget(60, seconds), 1, silent)
            ratios.append(next(entry.value for entry in found if entry.metric == "latency_ratio"))
    errors = np.abs(np.array(ratios, dtype=np.float64) - 1)
    inside = float((errors <= WITHIN).mean())
    words = f"{what}: share of runs within 1.00 +- {WITHIN} against itself, loaded machine"
    return at_least(f"timing.itself.{name}", words, inside, 0.9, "share", runs, float(errors.max()))


def _opened(path: Path) -> dict[str, Model]:
    return {role: Model(path, 1) for role in ("version", "parent")}


def _overhead(parent: Path, folder: Path, quick: bool) -> Row:
    """Processor time of an evaluation outside the models' own runs, as a share of the time in them."""
    child = folder / "child" / "model.onnx"
    nets.save(nets.applied(onnx.load(parent), "quantize_weights")[0], child.parent)
    (child.parent / "tokenizer.json").write_bytes((parent.parent / "tokenizer.json").read_bytes())
    data = folder / "data" / "evaluation.jsonl"
    if quick:
        data = folder / "few.jsonl"
        data.write_bytes(b"".join((folder / "data" / "evaluation.jsonl").read_bytes().splitlines(keepends=True)[:96]))
    rows = len(read_rows(data))
    plan = Plan(task="embedding", measures=MEASURES)
    opening = _spent(lambda: [Model(path, 1) for path in (parent, child)])
    shares = []
    for _ in range(1 if quick else 3):
        with _metered() as meter:
            whole = _spent(lambda: evaluate(child, data=data, parent=parent, plan=plan))
        shares.append((whole - opening - meter.seconds) / meter.seconds)
    words = f"measuring beyond running two models over {rows} sentences (MiniLM), processor time"
    return at_most(
        "timing.overhead", words, float(np.median(shares)), 0.15, "share", len(shares), float(np.ptp(shares))
    )


@dataclass
class _Meter:
    """Processor time spent inside models."""

    seconds: float = 0.0


@contextmanager
def _metered() -> Iterator[_Meter]:
    """Adds up what every model's runs take."""
    meter, run = _Meter(), Model.run

    def metered(self: Model, feed: Feed) -> list[Array]:
        start = time.process_time()
        try:
            return run(self, feed)
        finally:
            meter.seconds += time.process_time() - start

    Model.run = metered  # type: ignore[method-assign]
    try:
        yield meter
    finally:
        Model.run = run  # type: ignore[method-assign]


def _spent(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


@contextmanager
def _load() -> Iterator[None]:
    """One busy process a core, for as long as the block lasts."""
    started = [
        multiprocessing.get_context("spawn").Process(target=_burn, daemon=True) for _ in range(os.cpu_count() or 2)
    ]
    for process in started:
        process.start()
    time.sleep(1)
    try:
        yield
    finally:
        for process in started:
            process.terminate()
            process.join()


def _burn() -> None:
    while True:
        sum(range(10_000))


def _small(folder: Path) -> tuple[Path, Encoder]:
    path = nets.save(nets.mlp(), folder / "small")
    return path, _array_encoder(path, nets.rows_for("x"), folder / "small.npz")


def _large(folder: Path) -> tuple[Path, Encoder]:
    layers, width = 16, 1024
    names = ["x", *(f"h{index}" for index in range(layers - 1)), "y"]
    nodes = [helper.make_node("MatMul", [names[i], f"w{i}"], [names[i + 1]]) for i in range(layers)]
    tensors = {f"w{index}": nets.weights(width, width, seed=index) for index in range(layers)}
    ports = ({"x": (TensorProto.FLOAT, ["n", width])}, {"y": (TensorProto.FLOAT, ["n", width])})
    path = nets.save(nets.model(nodes, tensors, *ports), folder / "large")
    rows = {"x": np.random.default_rng(0).normal(size=(4, width)).astype(np.float32)}
    return path, _array_encoder(path, rows, folder / "large.npz")


def _array_encoder(path: Path, rows: dict[str, np.ndarray], file: Path) -> Encoder:
    return Encoder(read_rows(nets.save_rows(rows, file)), Model(path, 1).inputs(), None)


def _text_encoder(path: Path, data: Path) -> Encoder:
    return Encoder(read_rows(data), Model(path, 1).inputs(), path.parent / "tokenizer.json")


def _minilm(folder: Path) -> Path:
    for what, target in (("minilm", "minilm"), ("sentences", "data")):
        command = [sys.executable, "-m", "compression_engine.samples", what, str(folder / target)]
        subprocess.run(command, check=True, capture_output=True, timeout=600)
    return folder / "minilm" / "model.onnx"

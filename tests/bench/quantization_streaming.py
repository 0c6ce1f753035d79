"""A model larger than what it may take of memory: how much memory and processor time it costs by blocks, beside its peers.

The model is made here, block by block: products of 4096 x 4096 in float32, their numbers in a second file. Memory is the highest
that a process of its own held above what it held after its imports; time is processor time, since others may use the machine. What
runs under the cap has an address space of 512 MiB, code and libraries included: that is stricter than a limit of resident memory.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from tests.bench.harness import Row, at_least, at_most, not_measured, of_a_peer, reported
from tests.bench.quantization_material import Material

_WIDTH = 4096
_ROWS_AT_ONCE = 256
_REPEATS = 3
_CAP_BYTES = 512 * 1024**2
_GIB = 1024**3
_CHILD = "tests.bench.streaming_child"
_PEERS = {
    "ort": ("onnxruntime dynamic int8", "onnxruntime"),
    "ort_blocks": ("onnxruntime MatMulNBits, 8 bits", "onnx_ir"),
}
"""What each is called, and the package that it cannot do without."""


def rows(material: Material) -> list[Row]:
    """All rows; `quick` takes a model of 256 MiB, on which nothing that speaks of gigabytes is measured."""
    folder = material.folder / "streaming"
    try:
        large = _model(folder / "two", 4 if material.quick else 32)
        found = _costs(large, quick=material.quick)
        shutil.rmtree(large)
        if material.quick:
            return [*found, not_measured("streaming.cap", "3 GiB under 512 MiB of address space", "share", "--quick")]
        return found + _under_the_cap(_model(folder / "three", 48), _model(folder / "tiny", 1, 64))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _costs(model: Path, *, quick: bool) -> list[Row]:
    size = (model / "weights.bin").stat().st_size
    ours, copies, fresh = [], [], []
    for _ in range(_REPEATS):  # in turns, so that a busy machine slows both
        ours.append(_run("quantize_weights", model))
        copies.append(_run("memcpy", model)["cpu_seconds"])
        fresh.append(_run("memcpy_fresh", model)["cpu_seconds"])
    seconds = [one["making_cpu_seconds"] for one in ours]
    made, copied = statistics.median(seconds), statistics.median(copies)
    shares = [copy / one for copy, one in zip(copies, seconds, strict=True)]
    ratios = [copy / one for copy, one in zip(fresh, seconds, strict=True)]
    what = f"int8 of {size / _GIB:.2g} GiB by blocks"
    share = at_least("streaming.fresh_copy_share", f"{what}: speed as a share of a copy into fresh memory",
                     statistics.median(ratios), 0.4, "share", _REPEATS, statistics.stdev(ratios))  # fmt: skip
    found = [
        at_most("streaming.extra_rss", f"{what}: extra memory", max(one["extra_mib"] for one in ours), 64, "MiB", _REPEATS),
        share if not quick else replace(share, target=None, holds=None, reason="--quick: too little is copied to tell"),
        reported("streaming.memcpy_share", f"{what}: speed as a share of a copy over memory in use", statistics.median(shares),
                 "share", _REPEATS, statistics.stdev(shares)),
        reported("streaming.cpu_seconds", f"{what}: processor time of making", made, "s", _REPEATS, statistics.stdev(seconds)),
        reported("streaming.bare_copy_share", f"{what}: the same share without the digests of its output", statistics.median(
                 [copy / (one["making_cpu_seconds"] - one["digests_cpu_seconds"]) for copy, one in zip(fresh, ours, strict=True)]),
                 "share", _REPEATS),
        reported("streaming.all_cpu_seconds", f"{what}: the same with all digests of parent and result",
                 statistics.median([one["cpu_seconds"] for one in ours]), "s", _REPEATS),
        reported("streaming.memcpy_gb_per_second", "a copy into memory that is there", size / copied / 1e9, "GB/s", _REPEATS),
    ]  # fmt: skip
    for method in ("int4_blocks", "convert_fp16"):
        one, what = _run(method, model), f"{method} by blocks"
        extra, seconds_taken = one["extra_mib"], one["making_cpu_seconds"]
        found += [
            at_most(f"streaming.{method}.extra_rss", f"{what}: extra memory", extra, 64, "MiB", 1),
            reported(f"streaming.{method}.cpu_seconds", f"{what}: processor time", seconds_taken, "s", 1),
        ]
    if quick:
        what = "onnxruntime dynamic: times our processor time"
        return [*found, not_measured("streaming.ort_cpu_ratio", what, "ratio", "--quick")]
    return found + _of_onnxruntime(model, ours)


def _of_onnxruntime(model: Path, ours: list[dict[str, Any]]) -> list[Row]:
    """Its dynamic quantiser over the same model, once, beside the medians of ours."""
    theirs = _run("ort", model)
    making, digests, everything = (
        statistics.median([one[name] for one in ours])
        for name in ("making_cpu_seconds", "digests_cpu_seconds", "cpu_seconds")
    )
    taken, what = theirs["cpu_seconds"], "onnxruntime dynamic: times"
    return [
        of_a_peer("streaming.ort.extra_rss", "onnxruntime dynamic: extra memory", theirs["extra_mib"], "MiB", 1),
        of_a_peer("streaming.ort.cpu_seconds", "onnxruntime dynamic: processor time", taken, "s", 1),
        at_least("streaming.ort_cpu_ratio", f"{what} our processor time of making", taken / making, 8, "ratio", 1),
        reported("streaming.ort_bare_cpu_ratio", f"{what} that without the digests of our output", taken / (making - digests),
                 "ratio", 1),
        reported("streaming.ort_all_cpu_ratio", f"{what} our processor time with all digests", taken / everything, "ratio", 1),
    ]  # fmt: skip


def _under_the_cap(model: Path, tiny: Path) -> list[Row]:
    """The whole command, which checks its output too; and whether the peers live."""
    output = model.parent / "child"
    command = [sys.executable, "-m", "compression_engine", "compress", str(model), "--recipe", "smaller-same-speed"]
    done = _capped([*command, "--output", str(output), "--json"])
    checked = "structure-checked" in (output / "RESULT.json").read_text("utf-8") if done.returncode == 0 else False
    what = "3 GiB under an address space of 512 MiB"
    found = [at_least("streaming.cap", f"{what}: finished, checked by its structure", float(checked), 1, "share", 1)]
    shutil.rmtree(output, ignore_errors=True)
    for peer, (name, package) in _PEERS.items():
        if importlib.util.find_spec(package) is None:
            found.append(
                not_measured(f"streaming.cap.{peer}", f"{what}: {name}", "share", f"{package} is not installed here")
            )
            continue
        lives = [
            float(_capped([sys.executable, "-m", _CHILD, peer, str(one)]).returncode == 0) for one in (model, tiny)
        ]
        found.append(of_a_peer(f"streaming.cap.{peer}", f"{what}: {name} finished", lives[0], "share", 1))
        found.append(
            of_a_peer(f"streaming.cap.{peer}.tiny", f"16 KiB under the same cap: {name} finished", lives[1], "share", 1)
        )
    return found


def _run(what: str, model: Path) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", _CHILD, what, str(model)], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{what} ended with {done.returncode}: {done.stderr[-400:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _capped(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    shell = ["prlimit", f"--as={_CAP_BYTES}", "--core=0", *command]
    return subprocess.run(shell, check=False, capture_output=True, text=True)


def _model(folder: Path, layers: int, width: int = _WIDTH) -> Path:
    """A chain of products; the numbers of a layer are those of the first, scaled, so that none is made twice."""
    folder.mkdir(parents=True)
    block = np.random.default_rng(0).standard_normal((min(_ROWS_AT_ONCE, width), width), dtype=np.float32) / 64
    tensors, nodes = [], []
    with (folder / "weights.bin").open("wb") as file:
        for layer in range(layers):
            tensor = TensorProto(name=f"w{layer}", data_type=TensorProto.FLOAT, dims=[width, width])
            tensor.data_location = TensorProto.EXTERNAL
            entries = {"location": "weights.bin", "offset": str(file.tell()), "length": str(4 * width**2)}
            for key, value in entries.items():
                tensor.external_data.add(key=key, value=value)
            for row in range(0, width, len(block)):
                file.write((block * np.float32(1 + (31 * layer + row) % 97 / 97)).tobytes())
            tensors.append(tensor)
            ends = ("x" if layer == 0 else f"h{layer - 1}", "y" if layer == layers - 1 else f"h{layer}")
            nodes.append(helper.make_node("MatMul", [ends[0], tensor.name], [ends[1]]))
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width]) for name in "xy"]
    graph = helper.make_graph(nodes, "chain", ports[:1], ports[1:], tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    return folder

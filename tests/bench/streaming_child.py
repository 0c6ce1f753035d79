"""One measurement of `quantization_streaming` in a process of its own: what is done and how is an argument, the figures are JSON.

Memory counts from after the imports.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import json  # noqa: E402  threads must be pinned before numpy is imported
import shutil  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402

from compression_engine.canonical import digest_of_stream  # noqa: E402
from compression_engine.formats import onnx_io  # noqa: E402
from compression_engine.formats.spool import spooling  # noqa: E402
from compression_engine.pipeline import make  # noqa: E402
from compression_engine.progress import silent  # noqa: E402
from compression_engine.recipe import Recipe, Step  # noqa: E402
from tests.own_memory import held_bytes, peak_bytes  # noqa: E402

OURS = {
    "quantize_weights": Step("quantize_weights"),
    "int4_blocks": Step("quantize_weights", {"bits": 4, "granularity": "block"}),
    "convert_fp16": Step("convert_fp16"),
}
_CHUNK_BYTES = 128 * 1024**2
Figures = dict[str, float]


def main() -> None:
    """Does one thing to one model."""
    what, model = sys.argv[1], Path(sys.argv[2])
    output = Path(tempfile.mkdtemp(prefix="out-", dir=model.parent))
    done: dict[str, Callable[[Path, Path], Figures]] = {"memcpy": _copied, "memcpy_fresh": _copied_fresh}
    done |= {"ort": _dynamic, "ort_blocks": _blocks}
    try:
        found = _made(OURS[what], model, output) if what in OURS else done[what](model, output)
    finally:
        shutil.rmtree(output, ignore_errors=True)
    sys.stdout.write(json.dumps(found) + "\n")


def _made(step: Step, model: Path, output: Path) -> Figures:
    before, start = held_bytes(), time.process_time()
    with spooling(output):
        loaded = onnx_io.load(model / "model.onnx")
        made = make(loaded, Recipe("bench", (step,)), silent)
        onnx_io.write(made.model, output / "model.onnx", apart=True)
        making = time.process_time() - start
        digests = 2 * _digest_seconds(output / "model.onnx.data")
        start += digests / 2  # taken a third time, to know what it costs
        onnx_io.tensor_digests(made.model)
        onnx_io.graph_digest(made.model)
        assert loaded.external
    return {
        "making_cpu_seconds": making, "cpu_seconds": time.process_time() - start, "extra_mib": (peak_bytes() - before) / 2**20,
        "digests_cpu_seconds": digests,
    }  # fmt: skip


def _digest_seconds(path: Path) -> float:
    """What one digest of the output costs; making takes two, of each tensor and of the file."""
    start = time.process_time()
    with path.open("rb") as file:
        digest_of_stream(file)
    return time.process_time() - start


def _copied(model: Path, output: Path) -> Figures:
    """As many bytes as the model has, from memory to memory; both are there before, and larger than any cache."""
    size = (model / "weights.bin").stat().st_size
    source, target = (np.ones(_CHUNK_BYTES, dtype=np.uint8) for _ in range(2))
    start = time.process_time()
    for _ in range(0, size, _CHUNK_BYTES):
        np.copyto(target, source)
    return {"cpu_seconds": time.process_time() - start}


def _copied_fresh(model: Path, output: Path) -> Figures:
    """The same into memory that the system gives for it, as a program that holds a copy of its weights must."""
    size = (model / "weights.bin").stat().st_size
    source = np.ones(_CHUNK_BYTES, dtype=np.uint8)
    start = time.process_time()
    for _ in range(0, size, _CHUNK_BYTES):
        target = np.empty(_CHUNK_BYTES, dtype=np.uint8)
        np.copyto(target, source)
        del target
    return {"cpu_seconds": time.process_time() - start}


def _dynamic(model: Path, output: Path) -> Figures:
    from onnxruntime.quantization import quantize_dynamic

    def done() -> None:
        quantize_dynamic(str(model / "model.onnx"), str(output / "model.onnx"), use_external_data_format=True)

    return _of_a_peer(done)


def _blocks(model: Path, output: Path) -> Figures:
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    def done() -> None:
        quantiser = MatMulNBitsQuantizer(onnx.load(str(model / "model.onnx")), bits=8, block_size=32, is_symmetric=True)
        quantiser.process()
        quantiser.model.save_model_to_file(str(output / "model.onnx"), use_external_data_format=True)

    return _of_a_peer(done)


def _of_a_peer(done: Callable[[], None]) -> Figures:
    before, start = held_bytes(), time.process_time()
    done()
    return {"cpu_seconds": time.process_time() - start, "extra_mib": (peak_bytes() - before) / 2**20}


if __name__ == "__main__":
    main()

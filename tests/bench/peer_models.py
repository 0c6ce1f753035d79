"""Makes one model with one peer's stock recipe: `python peer_models.py PEER PARENT TARGET [FEEDS]`. Run by the peers' own Python.

Nothing of the engine is imported, so that the peers may live in an environment of their own. FEEDS is an .npz with one array
for each input of each calibration row, called `<row>/<input>`. What goes wrong is said on standard error in one line; exit 1.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Feeds = list[dict[str, Any]]


def _feeds(path: Path | None) -> Feeds:
    if path is None:
        raise ValueError("this recipe needs calibration rows")
    found: dict[str, dict[str, Any]] = {}
    with np.load(path, allow_pickle=False) as arrays:
        for key in arrays.files:
            row, _, name = key.partition("/")
            found.setdefault(row, {})[name] = arrays[key]
    return [found[row] for row in sorted(found)]


def _ort_dynamic(parent: Path, target: Path, _: Path | None, *, per_channel: bool = False) -> None:
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(str(parent), str(target), per_channel=per_channel)


def _ort_per_channel(parent: Path, target: Path, feeds: Path | None) -> None:
    _ort_dynamic(parent, target, feeds, per_channel=True)


def _ort_static(parent: Path, target: Path, feeds: Path | None) -> None:
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    rows = iter(_feeds(feeds))

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, Any] | None:
            return next(rows, None)

    prepared = target.with_suffix(".prepared.onnx")
    try:
        quant_pre_process(str(parent), str(prepared))
    except Exception:  # it is advised, not needed, and does not take every graph
        prepared.write_bytes(parent.read_bytes())
    quantize_static(str(prepared), str(target), Reader())
    prepared.unlink()


def _nncf_weights(parent: Path, target: Path, _: Path | None) -> None:
    import nncf
    import onnx

    onnx.save(nncf.compress_weights(onnx.load(str(parent))), str(target))


def _nncf_static(parent: Path, target: Path, feeds: Path | None, *, transformer: bool = False) -> None:
    import nncf
    import onnx

    rows = _feeds(feeds)
    kind = nncf.ModelType.TRANSFORMER if transformer else None
    quantized = nncf.quantize(onnx.load(str(parent)), nncf.Dataset(rows), model_type=kind, subset_size=len(rows))
    onnx.save(quantized, str(target))


def _nncf_transformer(parent: Path, target: Path, feeds: Path | None) -> None:
    _nncf_static(parent, target, feeds, transformer=True)


def _nncf_four_bits(parent: Path, target: Path, _: Path | None) -> None:
    import nncf
    import onnx

    mode = nncf.CompressWeightsMode.INT4_SYM
    onnx.save(nncf.compress_weights(onnx.load(str(parent)), mode=mode, group_size=64), str(target))


def _olive_rtn(parent: Path, target: Path, _: Path | None, **settings: int) -> None:
    import shutil

    from olive.model import ONNXModelHandler
    from olive.passes.olive_pass import create_pass_from_dict
    from olive.passes.onnx.rtn_quantization import OnnxBlockWiseRtnQuantization

    folder = target.with_suffix(".olive")
    made = create_pass_from_dict(OnnxBlockWiseRtnQuantization, settings, disable_search=True)
    shutil.copyfile(made.run(ONNXModelHandler(str(parent)), str(folder)).model_path, target)
    shutil.rmtree(folder)


def _olive_blocks_of_32(parent: Path, target: Path, feeds: Path | None) -> None:
    _olive_rtn(parent, target, feeds, block_size=32)


PEERS: dict[str, Callable[[Path, Path, Path | None], None]] = {
    "ort_default": _ort_dynamic,
    "ort_per_channel": _ort_per_channel,
    "ort_static": _ort_static,
    "nncf_weights": _nncf_weights,
    "nncf_four_bits": _nncf_four_bits,
    "nncf_static": _nncf_static,
    "nncf_transformer": _nncf_transformer,
    "olive_rtn": _olive_rtn,
    "olive_rtn_32": _olive_blocks_of_32,
}


def main(arguments: list[str]) -> int:
    """The command line."""
    peer, (parent, target, *feeds) = arguments[0], (Path(name).resolve() for name in arguments[1:])
    try:
        os.chdir(target.parent)  # some write what they need meanwhile where they were called
        PEERS[peer](parent, target, feeds[0] if feeds else None)
    except Exception as error:
        line = " ".join(str(error).split()) or "without a word"
        sys.stderr.write(f"\n{type(error).__name__}: {line}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

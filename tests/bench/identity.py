"""Whether `identify` names the right parent for every child, and none for a stranger: twenty models, all kinds of children.

Children are made by us (every method that stores weights, in ONNX and safetensors), by onnxruntime's quantisers, by PyTorch (the
weights before export, and after more training), and by tools that rename, convert or turn. Strangers were trained apart, from other
seeds, on the same data, in the architectures of the parents.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, version_converter

from compression_engine.errors import RecipeError
from compression_engine.formats import onnx_io
from compression_engine.identifying.identify import Identity, identify
from compression_engine.pipeline import calibration_rows, compress, make
from compression_engine.progress import silent
from compression_engine.recipe import Recipe, Step, Value
from tests.bench.harness import Row, at_least, at_most, reported
from tests.bench.identity_models import Trained, write_all

BLOCKS: dict[str, Value] = {"bits": 4, "granularity": "block"}
OURS: dict[str, Step] = {
    "int8": Step("quantize_weights"),
    "int8_blocks_zero_points": Step("quantize_weights", {"granularity": "block", "symmetric": False}),
    "int4_nearest": Step("quantize_weights", BLOCKS),
    "int4_mse_zero_points": Step("quantize_weights", BLOCKS | {"symmetric": False, "rounding": "mse"}),
    "int4_gptq": Step("quantize_weights", BLOCKS | {"rounding": "gptq"}),
    "dynamic": Step("quantize_dynamic"),
    "static": Step("quantize_static"),
    "float16": Step("convert_fp16"),
    "bfloat16": Step("convert_fp16", {"storage": "bfloat16"}),
}
_LEAST_ELEMENTS = 256


def run(quick: bool) -> list[Row]:
    """All rows; `quick` takes one seed of each architecture and leaves out the sentence encoder."""
    with tempfile.TemporaryDirectory(prefix="pressmark-bench-") as name, _quietly():
        folder = Path(name)
        parents, strangers = write_all(folder, quick)
        among = folder / "parents"
        right: dict[str, list[bool]] = defaultdict(list)
        shares, margins, seconds, wrong = [], [], [], []
        for parent in parents:
            for kind, child in _children(parent, folder / "child"):
                found, took = _asked(child, among)
                named = None if found.nearest is None else found.nearest.path
                right[kind].append(named == parent.model)
                seconds.append(took)
                if named == parent.model:
                    shares.append(found.candidates[0].share)
                    margins.append(found.margin)
                else:
                    wrong.append(f"{parent.name} {kind} -> {named and named.parent.name}")
        apart = [_asked(stranger.model, among)[0] for stranger in strangers]
        # each lies there itself, and is no candidate of its own
        twins = [identify(parent.model, among) for parent in parents]
    spread = float(np.subtract(*np.percentile(seconds, [75, 25])))
    what = f"seconds to compare a file with {len(parents)} models"
    lasted = reported("identity.seconds", what, float(np.median(seconds)), "second", len(seconds), spread)
    return [*_rows(right, wrong, apart, twins, shares, margins), lasted]


def _rows(
    right: dict[str, list[bool]], wrong: list[str], apart: list[Identity], twins: list[Identity],
    shares: list[float], margins: list[float],
) -> list[Row]:  # fmt: skip
    total = [one for kind in right.values() for one in kind]
    named = [sum(found.nearest is not None for found in group) for group in (apart, twins)]
    most = max(found.candidates[0].share for found in [*apart, *twins])
    what = f"children named after their parent{_said(wrong)}"
    return [
        at_least("identity.right", what, float(np.mean(total)), 1, "share", len(total)),
        at_most("identity.strangers", "strangers that are named", named[0], 0, "count", len(apart)),
        at_most("identity.twins", "models named after another of the folder", named[1], 0, "count", len(twins)),
        reported(
            "identity.stranger_share", "largest matching share of a stranger", most, "share", len(apart) + len(twins)
        ),
        reported("identity.least_share", "least matching share of a child", min(shares), "share", len(shares)),
        reported("identity.least_margin", "least margin before the next model", min(margins), "share", len(margins)),
        *(
            at_least(
                f"identity.{kind}", f"{kind}: named after the parent", float(np.mean(found)), 1, "share", len(found)
            )
            for kind, found in sorted(right.items())
        ),
    ]


def _said(wrong: list[str]) -> str:
    return f" (not: {', '.join(wrong)})" if wrong else ""


def _asked(file: Path, among: Path) -> tuple[Identity, float]:
    start = time.perf_counter()
    found = identify(file, among)
    return found, time.perf_counter() - start


def _children(parent: Trained, folder: Path) -> Iterator[tuple[str, Path]]:
    """Every kind of child that can be made of a parent, one at a time."""
    for kind, write in _kinds(parent).items():
        with tempfile.TemporaryDirectory(dir=folder.parent) as name:
            target = Path(name) / "stranger.onnx"
            try:
                written = write(target)
            except RecipeError:  # a method that finds nothing to do in this model
                continue
            yield kind, written if isinstance(written, Path) else target


def _kinds(parent: Trained) -> dict[str, Callable[[Path], Any]]:
    found: dict[str, Callable[[Path], Any]] = {
        kind: partial(_ours, parent, step)
        for kind, step in OURS.items()
        if parent.rows is not None or not step.needs_calibration
    }
    found |= {
        "ort_dynamic": lambda target: _ort_dynamic(parent, target),
        "ort_dynamic_per_channel": lambda target: _ort_dynamic(parent, target, per_channel=True),
        "renamed_and_turned": lambda target: onnx.save(_renamed(onnx.load(parent.model)), target),
        "operator_set_21": lambda target: onnx.save(_converted(onnx.load(parent.model)), target),
    }
    if parent.rows is not None and parent.tensors is not None:
        tensors, tuned = parent.tensors, parent.tuned
        found |= {
            "ort_static": lambda target: _ort_static(parent, target),
            "pytorch": lambda target: tensors,
            "pytorch_tuned": lambda target: tuned,
            "safetensors_int8": lambda target: _of_tensors(tensors, OURS["int8"], target),
            "safetensors_int4": lambda target: _of_tensors(tensors, OURS["int4_mse_zero_points"], target),
            "safetensors_float16": lambda target: _of_tensors(tensors, OURS["float16"], target),
        }
    return found


def _ours(parent: Trained, step: Step, target: Path) -> None:
    least = {"min_elements": _LEAST_ELEMENTS} if "min_elements" in step.parameters else {}
    recipe = Recipe("child", (Step(step.method, dict(step.parameters) | least),))
    rows = calibration_rows(recipe, parent.rows, None, parent.model)
    onnx_io.write(make(onnx_io.load(parent.model), recipe, silent, rows).model, target)


def _of_tensors(tensors: Path, step: Step, target: Path) -> Path:
    recipe = Recipe("child", (Step(step.method, dict(step.parameters) | {"min_elements": _LEAST_ELEMENTS}),))
    compress(tensors, recipe, output_folder=target.parent / "out")
    return target.parent / "out" / tensors.name


def _ort_dynamic(parent: Trained, target: Path, **settings: Any) -> None:
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(parent.model, target, **settings)


def _ort_static(parent: Trained, target: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """The rows in pieces of 32."""

        def __init__(self) -> None:
            assert parent.rows is not None
            with np.load(parent.rows) as held:
                self._pieces = iter(np.split(held["x"], 8))

        def get_next(self) -> dict[str, Any] | None:
            """The next piece; None at the end."""
            piece = next(self._pieces, None)
            return None if piece is None else {"x": piece}

    quantize_static(parent.model, target, Reader(), quant_format=QuantFormat.QDQ, per_channel=True)


def _renamed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Other names, and the weights of products stored the other way round behind a Transpose."""
    names = {tensor.name: f"t{number}" for number, tensor in enumerate(model.graph.initializer)}
    products = {node.input[1] for node in model.graph.node if node.op_type == "MatMul"}
    turned = []
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if tensor.name in products and array.ndim == 2:
            turned.append(names[tensor.name])
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array.T), f"{names[tensor.name]}_turned"))
        else:
            tensor.name = names[tensor.name]
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    nodes = [onnx.helper.make_node("Transpose", [f"{name}_turned"], [name], perm=[1, 0]) for name in turned]
    kept = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *kept])
    return model


def _converted(model: onnx.ModelProto) -> onnx.ModelProto:
    """Of a newer operator set, where onnx can; else as it is, written by another tool."""
    try:
        return version_converter.convert_version(model, 21)
    except Exception:
        model.producer_name = "another tool"
        return model


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Quantisers of others say much."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

"""A child that is not run counts only if its numbers are near its parent's, whatever its own quantisation map says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from compression_engine import Recipe, Step, compress, facts
from compression_engine.errors import OutputRefused
from compression_engine.expanded_check import compare_tensors
from compression_engine.methods.report import digest_of_tensors
from compression_engine.progress import silent
from compression_engine.quantization_map import from_file, in_file
from tests.engine import nets

Change = Callable[[np.ndarray[Any, Any]], None]
EIGHT, SEARCHED = Step("quantize_weights"), Step("quantize_weights", {"rounding": "mse"})
FOUR, HALF, BRAIN = (
    Step("quantize_weights", {"bits": 4}), Step("convert_fp16"), Step("convert_fp16", {"storage": "bfloat16"}),
)  # fmt: skip


def child_of(step: Step, folder: Path) -> tuple[Path, Path]:
    """A child and its parent."""
    parent = nets.save(nets.mlp(), folder / "parent")
    compress(parent, Recipe("r", (step,)), output_folder=folder / "child")
    return folder / "child" / "model.onnx", parent


def change(child: Path, part: str | None, how: Change) -> str:
    """Changes the numbers of a weight (of a bias, without `part`), lets the map say the same; the name that an error must say."""
    model = onnx.load(child)
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    text = next(entry for entry in model.metadata_props if entry.key == facts.MAP)
    marks = from_file(text.value)
    parts = {name for mark in marks for name in (mark.parts.values, mark.parts.scale, mark.parts.zero)}
    mark = next(mark for mark in marks if mark.tensor == "first")
    name = "first_bias" if part is None else str(getattr(mark.parts, part))
    assert (name in parts) == (part is not None)
    array = numpy_helper.to_array(held[name]).copy()
    how(array.reshape(-1))
    held[name].CopyFrom(numpy_helper.from_array(array, name))
    scales = [held[one] for one in (mark.parts.scale, mark.parts.zero) if one is not None]
    lied = replace(
        mark,
        values_digest=digest_of_tensors([held[str(mark.parts.values)]]),
        scale_digest=digest_of_tensors(scales) if scales else None,
    )
    text.value = in_file([lied if one is mark else one for one in marks]).decode()
    onnx.save(model, child)
    return mark.tensor if part is not None else name


def another_number(array: np.ndarray[Any, Any]) -> None:
    array[7] = array[7] + 2 if array[7] < 100 else array[7] - 2


def another_bit(array: np.ndarray[Any, Any]) -> None:
    array.view(np.uint16)[7] ^= 2


def larger_scale(array: np.ndarray[Any, Any]) -> None:
    array[:] *= 50


def infinity(array: np.ndarray[Any, Any]) -> None:
    array[0] = np.inf


@pytest.mark.parametrize(
    ("step", "part", "how", "message"),
    [
        (EIGHT, "values", another_number, "steps away at worst, at most 0.6"),
        (FOUR, "scale", larger_scale, "steps away at worst, at most 1.1"),
        (SEARCHED, "scale", larger_scale, "steps away at worst, at most 34"),
        (HALF, "values", another_bit, "to the nearest"),
        (BRAIN, "values", another_bit, "to the nearest"),
        (EIGHT, None, another_number, "the quantisation map does not name it"),
        (EIGHT, "scale", infinity, "expands to NaN or infinity"),
        (HALF, "values", infinity, "expands to NaN or infinity"),
    ],
)
def test_numbers_that_are_not_the_parents_are_refused_though_the_map_says_them(
    step: Step, part: str | None, how: Change, message: str, tmp_path: Path
) -> None:
    child, parent = child_of(step, tmp_path)
    assert compare_tensors(child, parent, silent)
    name = change(child, part, how)
    with pytest.raises(OutputRefused, match=message) as refused:
        compare_tensors(child, parent, silent)
    assert repr(name)[1:-1] in str(refused.value)

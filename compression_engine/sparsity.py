"""How many numbers of a child's weights are exactly zero, counted in its files and said beside its size.

Rules:
- weights are float tensors of two or more axes, and integers that the child's quantisation map says stand for such; these are
  expanded block by block, as the runtime does it, so that a zero counts only where the model computes with zero;
- what is stored in a form that cannot be read back here is left out, and the sentence says how many tensors that are;
- the figure is made where a step of the recipe pruned, and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from compression_engine import facts
from compression_engine.canonical import JSON
from compression_engine.formats import onnx_io
from compression_engine.formats.numbers import block_numbers, boxes, opened
from compression_engine.formats.onnx_graph import FLOATS, named_tensors
from compression_engine.formats.parked import numbers_of
from compression_engine.mapping.quantization_map import from_file
from compression_engine.mapping.stored_form import form_of, in_layers
from compression_engine.result import Evidence, Measurement

_MATRIX = 2


@dataclass
class Zeros:
    """Exact zeros among so many numbers of weights; `unread` tensors were not counted."""

    zeros: int = 0
    numbers: int = 0
    unread: int = 0

    @property
    def share(self) -> float:
        """Zeros as a share of all numbers."""
        return self.zeros / self.numbers if self.numbers else 0.0


def zeros_of(child: Path, parent: Path) -> Zeros:
    """Counts the zeros of a child's weights; the parent gives the shapes of what is stored as integers. ONNX files both."""
    made, original = onnx_io.load(child).model, onnx_io.load(parent).model
    onnx_io.prepare(original)
    held, before = named_tensors(made), named_tensors(original)
    text = facts.map_text({entry.key: entry.value for entry in made.metadata_props})
    marks = [] if text is None else [mark for mark in from_file(text) if mark.scheme != "float"]
    found, parts = Zeros(), set[str]()
    layers = in_layers(made)
    for mark in marks:
        parts |= {name for name in (mark.parts.values, mark.parts.scale, mark.parts.zero) if name is not None}
        tensor = before.get(mark.tensor)
        if mark.values_digest is None or (tensor is not None and len(tensor.dims) < _MATRIX):
            continue  # an activation, or a bias
        form = None if tensor is None else form_of(mark, tensor.dims, held, layers)
        if tensor is None or form is None:
            found.unread += 1
            continue
        found.numbers += math.prod(tensor.dims)
        for _, ours, _ in form.blocks(tensor):
            found.zeros += int(ours.size - np.count_nonzero(ours))
    for name, tensor in held.items():
        if name not in parts and tensor.data_type in FLOATS and len(tensor.dims) >= _MATRIX:
            found.numbers += math.prod(tensor.dims)
            found.zeros += _zeros_in(tensor)
    return found


def with_sparsity(
    evidence: Sequence[Evidence], steps: Sequence[Mapping[str, JSON]], child: Path, parent: Path
) -> list[Evidence]:
    """The evidence, that of the kind `size` with the share of zeros too where a step pruned. Exact: no interval."""
    if not any("sparsity" in step for step in steps):
        return list(evidence)
    found = zeros_of(child, parent)
    left = f" {found.unread:,} tensors are stored in a form that was not counted." if found.unread else ""
    plain = (
        f"{found.share:.1%} of the numbers of its weights are exactly zero ({found.zeros:,} of {found.numbers:,}). "
        f"Zeros alone make the file no smaller and the answers no faster; packed they take next to no room.{left}"
    )
    figure = Measurement("sparsity", found.share, "share", found.numbers, plain)
    return [replace(one, measurements=[*one.measurements, figure]) if one.kind == "size" else one for one in evidence]


def _zeros_in(tensor: onnx.TensorProto) -> int:
    numbers, count = numbers_of(tensor), 0
    with opened(numbers) as given:
        for box in boxes(numbers.shape, block_numbers(numbers.dtype)):
            part = np.asarray(given.part(box))
            count += int(part.size - np.count_nonzero(part))
    return count

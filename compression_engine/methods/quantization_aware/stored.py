"""Weights that no layer in integers reads: embeddings, layers that stay in floats, and all of them where what flows stays floats.

They are stored as `quantize_weights` does it, symmetric with a scale for each output channel, by the integers and scales that they
were trained with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray

from compression_engine.formats.onnx_graph import Edits, Names
from compression_engine.methods.report import Report
from compression_engine.methods.rounding import Rounded, View, finite, view_of
from compression_engine.methods.static_quantization.weights import least_error_scale
from compression_engine.methods.storing import FOLDED, ROWS, store_folded, store_rows
from compression_engine.methods.weights import find_weights

if TYPE_CHECKING:
    from compression_engine.training.fake_quantization import FakeQuantization

_MIDDLE = 8
LEARNED = "learned"


@dataclass(frozen=True)
class Storable:
    """A weight of the main graph that is stored as integers; `array` is what it is before training."""

    name: str
    array: NDArray[np.float32]
    view: View

    def scale(self, bits: int) -> NDArray[np.float32]:
        """The scales of least error, in a shape that broadcasts over the weight."""
        found = least_error_scale(self.view.groups(self.array).astype(np.float64), bits)
        scale = found.astype(np.float32).reshape(-1, 1)
        usable = np.where(scale >= np.finfo(np.float32).tiny, scale, np.float32(1)).astype(np.float32)
        return np.ascontiguousarray(self.view.whole(usable), dtype=np.float32)


def find_storable(model: onnx.ModelProto, least: int, taken: frozenset[str], report: Report) -> list[Storable]:
    """The float32 weights of the main graph that can be stored as integers, but those that are `taken`; others are told.

    Raises FileRefused (weights_not_finite).
    """
    found = []
    for weight in find_weights(model, least, report, taken):
        if weight.graph is not model.graph or weight.tensor.data_type != onnx.TensorProto.FLOAT:
            report.leave(weight.tensor.name, "only 32-bit floats of the main graph are trained")
            continue
        view = view_of(tuple(weight.tensor.dims), weight.channel_axes, None)
        found.append(Storable(weight.tensor.name, finite(weight), view))
    return found


def store_trained(
    model: onnx.ModelProto,
    storable: Sequence[Storable],
    fake: FakeQuantization,
    bits: int,
    spared: frozenset[str],
    report: Report,
) -> None:
    """Changes a model in place: the integers that its weights were trained with stand where floats did."""
    views = {one.name: one.view for one in storable}
    least = min((one.array.size for one in storable), default=1)
    names, edits = Names(model), Edits()
    for weight in find_weights(model, least, Report(), spared):
        name = weight.tensor.name
        if name not in views or weight.graph is not model.graph:
            continue
        values = fake.integers(name).cpu().numpy()
        stored = values.astype(np.int8) if bits == 8 else (values + _MIDDLE).astype(np.uint8)
        scale = fake.weight_scale(name).detach().cpu().numpy()
        rounded = Rounded(stored, scale, None, views[name], 8 if bits == 8 else 4, rounding=LEARNED)
        how = (ROWS if weight.is_embedding else FOLDED).replace("int8", f"int{bits}", 1) + " (trained)"
        (store_rows if weight.is_embedding else store_folded)(weight, rounded, names, edits, report, how)
    edits.make(model)

"""Which layers of a model are computed in integers, the steps of what flows between them, and the model in which they are.

What `quantize_static` and `quantize_aware_training` do alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from compression_engine.data import Array
from compression_engine.errors import RecipeError
from compression_engine.methods.report import Report
from compression_engine.methods.static_quantization.equalize import Ranging
from compression_engine.methods.static_quantization.gain import REASON as SLOWER
from compression_engine.methods.static_quantization.gain import Timed
from compression_engine.methods.static_quantization.histogram import Histogram
from compression_engine.methods.static_quantization.net import Layer, Net
from compression_engine.methods.static_quantization.prepare import drop_unread
from compression_engine.methods.static_quantization.ranges import Steps, steps_of
from compression_engine.methods.static_quantization.writer import Numbers, check_finite, write
from compression_engine.steps.observing import Watching


def fitting_layers(watching: Watching, min_elements: int, spared: frozenset[str], report: Report) -> Sequence[Layer]:
    """The layers that fit and pay; FileRefused weights_not_finite, RecipeError recipe_does_not_fit."""
    net = Net(watching.model)
    fitting = net.layers(min_elements, spared, report)
    check_finite(net, fitting)
    return paying_layers(watching, fitting, report)


def paying_layers(watching: Watching, layers: Sequence[Layer], report: Report) -> list[Layer]:
    """The layers that pay; the others are told. RecipeError recipe_does_not_fit where there is none."""
    kept = _timed(watching, layers).paying(layers)
    for layer in layers:
        if layer not in kept:
            report.leave(layer.output, f"{layer.operator} is computed in floats: {SLOWER}")
    if not kept:
        raise _nothing_fits(report)
    return kept


def ranged_steps(watching: Watching, layers: Sequence[Layer], ranging: Ranging) -> dict[str, Steps]:
    """The steps of every tensor that may be rounded, whichever layers are left out."""
    wanted = {*Net(watching.model).place(layers).ranged, *(layer.source for layer in layers)}
    histograms = {name: Histogram() for name in sorted(wanted)}

    def see(name: str, array: Array) -> None:
        histograms[name].add(array)

    watching.look(list(histograms), see, "ranges")
    return {name: steps_of(histogram, ranging.ranges, ranging.percentile) for name, histogram in histograms.items()}


def made_of(model: onnx.ModelProto, layers: Sequence[Layer], numbers: Numbers, report: Report) -> onnx.ModelProto:
    """A copy of the model in which these layers are computed in integers."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    write(copy, Net(copy).place(layers), numbers, report)
    drop_unread(copy)
    return copy


def _timed(watching: Watching, layers: Sequence[Layer]) -> Timed:
    net = Net(watching.model)
    placement = net.place(layers)
    wanted = {*placement.rounded, *placement.entering, *(layer.output for layer in layers)}
    shapes = watching.shapes(sorted(wanted - set(net.constants))) if wanted else {}
    return Timed(net, shapes, watching.rows_in_first_batch() if wanted else 1)


def _nothing_fits(report: Report) -> RecipeError:
    reasons = sorted({str(entry["reason"]) for entry in report.left})
    why = f": {'; '.join(reasons[:3])}" if reasons else ": it has no Conv, Gemm or MatMul in its main graph"
    hint = "Use quantize_weights, which stores any large weight at the same speed."
    return RecipeError("recipe_does_not_fit", f"There is no layer to compute in integers{why}.", hint)

"""Computes convolutions and products in 8-bit integers whose steps are fixed beforehand, from what calibration rows show.

How: ranges of the tensors that flow between layers come from histograms over all calibration rows; weights have 8 bits or fewer and
a scale for each output channel, what flows is uint8 (see `static_quantization.writer`), and stays integers from layer to layer (see
`static_quantization.net`). Biases take back how far rounding moves the means of a layer's answers. What the rounding changes is
then measured on calibration rows, and layers that change the answers more than the recipe allows are left out. Weights that no such
layer reads, embeddings and those of layers left out are stored as quantize_weights does it, at the speed of floats.

Limits: answers are only as good as the calibration rows are like those that will come: what lies outside their ranges is cut off.
The processor must have 8-bit dot products (AVX512-VNNI, AVX-VNNI, AMX) for speed and exact sums; ones with AVX2 alone may saturate
inside a product, so measure on the processor that will serve.
Source: Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference", 2018;
Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray

from compression_engine.errors import DataError, RecipeError
from compression_engine.formats.onnx_graph import Edits, Names, lift_constants
from compression_engine.methods.leaving_out import left_out
from compression_engine.methods.report import Report
from compression_engine.methods.rounding import Grid, round_weight
from compression_engine.methods.static_quantization.bias import shifts
from compression_engine.methods.static_quantization.effect import Chosen, Effects, choose
from compression_engine.methods.static_quantization.equalize import Ranging, equalize
from compression_engine.methods.static_quantization.layers import fitting_layers, made_of, paying_layers, ranged_steps
from compression_engine.methods.static_quantization.net import Layer
from compression_engine.methods.static_quantization.prepare import prepare, products_with_bias
from compression_engine.methods.static_quantization.wide import narrow, widen
from compression_engine.methods.static_quantization.writer import Numbers
from compression_engine.methods.storing import FOLDED, ROWS, store_folded, store_rows
from compression_engine.methods.weights import find_weights
from compression_engine.progress import Progress
from compression_engine.recipe import Value, integer_of
from compression_engine.steps.calibration import Calibration
from compression_engine.steps.observing import Watching

_STORED_LEAST = 1024


def apply(
    model: onnx.ModelProto,
    parameters: dict[str, Value],
    report: Report,
    progress: Progress,
    calibration: Calibration | None = None,
) -> None:
    """Changes a model in place. Afterwards `report` names every large weight, and the layers that stay in floats.

    Raises FileRefused (weights_not_finite), RecipeError (recipe_does_not_fit: no layer fits, or each changes too much),
    DataError (data_missing, data_does_not_fit).
    """
    halves, spared, watching, layers = _begun(model, parameters, report, progress, calibration)
    numbers, layers = _numbers(watching, layers, parameters)

    def made(some: Sequence[Layer]) -> onnx.ModelProto:
        return made_of(model, some, numbers, Report())

    limit = integer_of(parameters["most_change_per_mille"])
    chosen = choose(Effects(watching), layers, made, limit)
    _tell(chosen, limit, report)
    kept = paying_layers(watching, chosen.layers, report)
    model.CopyFrom(made_of(model, kept, numbers, report))
    bits = numbers.weight_bits
    grid = Grid() if bits == 8 else Grid(4, clipped=True)
    _store_the_rest(model, spared, grid, report, progress)
    narrow(model, halves)


def look(
    model: onnx.ModelProto,
    parameters: dict[str, Value],
    report: Report,
    progress: Progress,
    calibration: Calibration | None = None,
) -> None:
    """Whether any layer of a model, which is changed, could be computed in integers; raises what `apply` does where none could."""
    _begun(model, parameters, report, progress, calibration)


def _begun(
    model: onnx.ModelProto,
    parameters: dict[str, Value],
    report: Report,
    progress: Progress,
    calibration: Calibration | None,
) -> tuple[frozenset[str], frozenset[str], Watching, Sequence[Layer]]:
    """What was widened, the weights that are spared, the model under watch, and its layers that fit and pay."""
    if calibration is None:
        hint = "Give rows of the model's inputs; they need no labels."
        raise DataError("data_missing", "quantize_static needs calibration rows, there are none.", hint)
    lift_constants(model.graph, 1)
    spared = left_out(model, parameters["exclude"], report)
    halves = widen(model)
    prepare(model, spared)
    watching = Watching.of(model, calibration, progress)
    products_with_bias(model, watching)
    layers = fitting_layers(watching, integer_of(parameters["min_elements"]), spared, report)
    return halves, spared, watching, layers


def _numbers(
    watching: Watching, layers: Sequence[Layer], parameters: dict[str, Value]
) -> tuple[Numbers, Sequence[Layer]]:
    """What calibration rows say, and the layers with the inputs that they have after equalisation."""
    bits = integer_of(parameters["weight_bits"])
    ranging = Ranging(str(parameters["ranges"]), integer_of(parameters["percentile"]), bits)
    alphas: dict[str, float] = {}
    if parameters["equalization"]:
        alphas = equalize(watching.model, watching, layers, ranging)
        sources = {node.output[0]: node.input[0] for node in watching.model.graph.node if node.output and node.input}
        layers = [replace(layer, source=sources[layer.output]) for layer in layers]
    steps = ranged_steps(watching, layers, ranging)
    numbers = Numbers(steps, alphas=alphas, weight_bits=bits)
    if parameters["bias_correction"]:
        numbers = _corrected(watching, layers, numbers, shifts(watching, layers, steps, bits))
    return numbers, layers


def _corrected(
    watching: Watching, layers: Sequence[Layer], plain: Numbers, corrections: Mapping[str, NDArray[np.float64]]
) -> Numbers:
    """With corrections of biases where these bring the answers nearer to the original's, else without."""
    corrected, effects = replace(plain, corrections=corrections), Effects(watching)
    without, along = (effects.of(made_of(watching.model, layers, numbers, Report())) for numbers in (plain, corrected))
    return corrected if along < without else plain


def _tell(chosen: Chosen, limit: int, report: Report) -> None:
    for left in chosen.left:
        for layer in left.layers:
            report.leave(
                layer.output,
                f"{layer.operator} is computed in floats: rounding it alone changes the answers by {left.alone:.3g} per mille, "
                f"and all together may change them by {limit}",
            )
    if not chosen.layers:
        best = chosen.left[-1]
        name, change = best.layers[0].output, f"{best.alone:.3g}"
        message = (
            f"Every layer that fits changes the answers too much, the best of them ({name!r}) by {change} per mille."
        )
        hint = "Use quantize_weights or quantize_dynamic, other ranges, or a larger most_change_per_mille."
        raise RecipeError("recipe_does_not_fit", message, hint)


def _store_the_rest(
    model: onnx.ModelProto, spared: frozenset[str], grid: Grid, report: Report, progress: Progress
) -> None:
    names, edits = Names(model), Edits()
    weights = find_weights(model, _STORED_LEAST, report, spared)
    for done, weight in enumerate(weights):
        progress("compress", done, len(weights), weight.tensor.name)
        store = store_rows if weight.is_embedding else store_folded
        how = (ROWS if weight.is_embedding else FOLDED).replace("int8", f"int{grid.bits}", 1)
        store(weight, round_weight(weight, grid), names, edits, report, how)
    edits.make(model)
    progress("compress", len(weights), len(weights), "all weights rounded")

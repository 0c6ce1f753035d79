"""Puts two thinner matrices in the place of weights: products and convolutions get smaller, and do less.

How: layers are found that have a weight of their own (`factorising.layers`); what each rank would lose is told by singular values,
of the weight or of what it answers to calibration rows (`factors`, `looking`); ranks are chosen for the share that the recipe asks
for (`choice`), and the graph is rewritten (`writing`). The child trains and rounds as any other model.

Rules:
- only where two factors are fewer numbers and fewer multiply-adds than one matrix; what stays whole is told with its reason;
- tied weights have one pair of factors; biases stay; inputs and outputs of the model keep their names;
- a convolution becomes one to fewer channels and one of size 1 behind it.
Limits: the main graph; no embeddings, no recurrent cells, no convolutions in groups or transposed ones.
Sources: see the parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from compression_engine.canonical import JSON
from compression_engine.errors import DataError, FileRefused, OutputRefused, RecipeError
from compression_engine.formats.onnx_graph import lift_constants
from compression_engine.methods.factorising.choice import Candidate, Ranks, choose
from compression_engine.methods.factorising.factors import Spectrum, by_weights
from compression_engine.methods.factorising.layers import Layer, Shape, Whole, layers_of, numbers_of
from compression_engine.methods.factorising.looking import matrix_of, spectra
from compression_engine.methods.factorising.writing import Writer
from compression_engine.methods.leaving_out import left_out
from compression_engine.methods.report import Report
from compression_engine.methods.structured_pruning.shapes import look
from compression_engine.progress import Progress
from compression_engine.recipe import Value, integer_of
from compression_engine.steps.calibration import Calibration

_INPUTS, _NUMBERS, _GLOBAL = "inputs", "numbers", "global"
_MILLION = 1_000_000


def apply(
    model: onnx.ModelProto,
    parameters: dict[str, Value],
    report: Report,
    progress: Progress,
    calibration: Calibration | None = None,
) -> None:
    """Changes a model in place; `report` says each layer's rank and error, and why others stay whole.

    Raises RecipeError (recipe_does_not_fit), FileRefused (weights_not_finite), DataError (data_missing, data_does_not_fit),
    OutputRefused (output_does_not_run, output_not_finite).
    """
    if parameters["fit"] == _INPUTS and calibration is None:
        raise DataError("data_missing", "low_rank needs calibration rows for fit inputs, there are none.", "Give some.")
    lift_constants(model.graph, integer_of(parameters["min_elements"]))
    spared = left_out(model, parameters["exclude"], report)
    progress("factor", 0, 1, "looking at sizes")
    shapes = _shapes(model)
    layers = _worth(
        layers_of(model, shapes, integer_of(parameters["min_elements"]), spared, report), parameters, report
    )
    if not layers:
        return  # the report says why; a recipe that changes nothing is refused by who made the step
    whole = Whole.of(model, shapes)
    for layer in layers:
        _check_finite(layer)
    found = {} if calibration is None else spectra(model, layers, calibration, progress)
    found |= {layer.name: by_weights(matrix_of(layer)) for layer in layers if layer.name not in found}
    ranks = _ranks(layers, found, whole, parameters)
    factored = [(layer, rank) for layer, rank in zip(layers, ranks, strict=True) if rank is not None]
    _tell(layers, ranks, found, report)
    report.more["low_rank"] = _told(layers, ranks, found, whole)
    writer = Writer(model)
    for layer, rank in factored:
        writer.put(layer, *found[layer.name].pair(rank))
    writer.finish()
    _check(model, whole)


def _shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    """The sizes of all tensors, as the model has them for generated inputs."""
    try:
        return look(model).shapes
    except RecipeError as error:
        message = "low_rank runs the model to see how often each weight is used; it takes none of the inputs that were generated."
        raise RecipeError(error.code, message, error.hint) from error


def _worth(layers: Sequence[Layer], parameters: Mapping[str, Value], report: Report) -> list[Layer]:
    """Those of which at least one rank is smaller than the matrix."""
    found = []
    for layer in layers:
        least = integer_of(parameters["round_to"])
        if least * (layer.rows + layer.columns) < layer.rows * layer.columns:
            found.append(layer)
        else:
            report.leave(
                layer.name, f"two factors of rank {least} would be no smaller than {layer.rows} x {layer.columns}"
            )
    return found


def _ranks(
    layers: Sequence[Layer],
    found: Mapping[str, Spectrum],
    whole: Whole,
    parameters: Mapping[str, Value],
) -> Ranks:
    of_numbers = parameters["share_of"] == _NUMBERS
    candidates = [
        Candidate(
            layer.rows,
            layer.columns,
            1 if of_numbers else layer.positions,
            found[layer.name].errors,
        )
        for layer in layers
    ]
    wanted = integer_of(parameters["share_per_mille"]) / 1000
    return choose(
        candidates,
        wanted,
        whole.numbers if of_numbers else whole.multiply_adds,
        by_layer=parameters["scope"] != _GLOBAL,
        round_to=integer_of(parameters["round_to"]),
    )


def _tell(layers: Sequence[Layer], ranks: Ranks, found: Mapping[str, Spectrum], report: Report) -> None:
    for layer, rank in zip(layers, ranks, strict=True):
        if rank is None:
            report.leave(layer.name, "whole, it is worth more than what it costs")
            continue
        error = 100 * float(found[layer.name].errors[rank])
        sizes = " x ".join(map(str, layer.tensor.dims))
        report.change(layer.name, f"{sizes} became two factors of rank {rank}; {error:.2f} % of it is lost")


def _told(layers: Sequence[Layer], ranks: Ranks, found: Mapping[str, Spectrum], whole: Whole) -> dict[str, JSON]:
    """What RESULT.json says: of each factored layer its rank and error, of the whole what is left."""
    told: list[JSON] = []
    adds, numbers = whole.multiply_adds, whole.numbers
    for layer, rank in zip(layers, ranks, strict=True):
        if rank is None:
            continue
        saved = layer.rows * layer.columns - rank * (layer.rows + layer.columns)
        adds, numbers = adds - saved * layer.positions, numbers - saved
        error = round(_MILLION * float(found[layer.name].errors[rank]))
        most = min(layer.rows, layer.columns)
        told.append({"error_per_million": error, "full_rank": most, "name": layer.name, "rank": rank})
    return {
        "layers": told,
        "multiply_adds_left_per_mille": round(1000 * adds / whole.multiply_adds),
        "numbers_left_per_mille": round(1000 * numbers / whole.numbers),
    }


def _check(model: onnx.ModelProto, whole: Whole) -> None:
    """What came out is a valid graph with fewer numbers."""
    hint = "This is a fault of low_rank: report it, and leave the weights out that it names (exclude)."
    try:
        onnx.checker.check_model(model, full_check=False)
    except onnx.checker.ValidationError as error:
        first = str(error).strip().splitlines()[0]
        raise OutputRefused("output_does_not_run", f"The factored graph is not valid: {first}.", hint) from error
    after = numbers_of(model)
    if after >= whole.numbers:
        message = f"The factored graph has {after} numbers, before {whole.numbers}."
        raise OutputRefused("output_not_smaller", message, hint)


def _check_finite(layer: Layer) -> None:
    if not np.isfinite(matrix_of(layer)).all():
        hint = "Export the model again from weights that are numbers."
        raise FileRefused("weights_not_finite", f"The weight {layer.name!r} holds NaN or infinity.", hint)

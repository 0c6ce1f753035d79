"""Takes whole channels, heads and hidden units out of a graph, with all that depends on them: the child is smaller and faster.

How: sizes of all tensors are seen by running the model (`structured_pruning.shapes`); which indices of which axes fall together is
followed through the graph (`following`, by `axes`, `rules`, `moving`); classes are judged (`importance`, `gradients`) and
chosen (`choice`) so that the share is saved that the recipe asks for; weights and sizes are rewritten (`cut`), and the result is
run and held against what was foretold. Layers that read fewer channels can learn from calibration rows to answer as before
(`making_good`). All that is one pruning (`taking`); where epochs_per_round is above 0, rounds of it train in between (`rounds`).

Rules:
- inputs and outputs of the model keep their sizes; an operator that is not understood keeps all that it touches, and is told;
- where a removed channel was zero in everything that reads it, the answers stay what they were;
- weights keep their names, so that later steps and reports speak of the same ones.
Limits: the main graph; what graphs inside of branches and loops read stays. Heads go whole or by size, in one group for a layer.
Source: Fang et al., "DepGraph: Towards Any Structural Pruning", 2023; see the parts for theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import onnx

from compression_engine.errors import DataError
from compression_engine.formats.onnx_graph import FLOATS, lift_constants
from compression_engine.methods.leaving_out import left_out
from compression_engine.methods.report import Report
from compression_engine.methods.structured_pruning.cut import Cutting
from compression_engine.methods.structured_pruning.following import check_finite
from compression_engine.methods.structured_pruning.taking import ACTIVATION, ANSWERS, NONE, TAYLOR, Rows, Taking
from compression_engine.progress import Progress
from compression_engine.recipe import Value, integer_of
from compression_engine.steps.calibration import Calibration

if TYPE_CHECKING:
    from compression_engine.training.material import Training

_MATRIX = 2
Dims = Mapping[str, tuple[int, ...]]


def apply(
    model: onnx.ModelProto,
    parameters: dict[str, Value],
    report: Report,
    progress: Progress,
    *looked_at: Calibration | Training,
) -> None:
    """Changes a model in place; `report` says what every weight lost, why others lost nothing, and how rounds went.

    Raises RecipeError (recipe_does_not_fit), FileRefused (weights_not_finite), DataError, OutputRefused (output_does_not_run), and
    where rounds train EngineError (budget_broken, cannot_be_trained, training_diverged, ...).
    """
    rows = _rows(parameters, looked_at)
    lift_constants(model.graph, 1)
    spared = left_out(model, parameters["exclude"], report)
    check_finite(model)
    before = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    taking, trained = Taking(model, parameters, spared, rows, progress), frozenset[str]()
    if integer_of(parameters["epochs_per_round"]) and rows.training is not None:
        from compression_engine.methods.structured_pruning.rounds import take_in_rounds

        cutting, trained = take_in_rounds(model, taking, parameters, rows.training, report, progress)
    else:
        cutting = taking.take(model, integer_of(parameters["share_per_mille"]))
    _tell(model, before, cutting, spared, trained, report)


def _rows(parameters: Mapping[str, Value], looked_at: Sequence[Calibration | Training]) -> Rows:
    """The rows that a recipe asks for: of calibration, then of training. Raises DataError (data_missing)."""
    calibrated = parameters["compensation"] != NONE or parameters["importance"] == ACTIVATION
    trained = parameters["importance"] in (TAYLOR, ANSWERS) or integer_of(parameters["epochs_per_round"]) > 0
    given = list(looked_at)
    if len(given) != calibrated + trained:
        raise DataError("data_missing", "prune_structured needs rows for this recipe, there are none.", "Give them.")
    calibration = given.pop(0) if calibrated else None
    training = given.pop(0) if trained else None
    return Rows(calibration, training)  # type: ignore[arg-type]  # both were counted


def _tell(
    model: onnx.ModelProto,
    before: Dims,
    cutting: Cutting,
    spared: frozenset[str],
    trained: frozenset[str],
    report: Report,
) -> None:
    """What became of each weight that the model had before."""
    for tensor in model.graph.initializer:
        if tensor.data_type not in FLOATS or tensor.name not in before:
            continue
        was, now = before[tensor.name], tuple(tensor.dims)
        if now != was:
            report.change(tensor.name, f"{_sizes(was)} became {_sizes(now)}{', trained' * (tensor.name in trained)}")
        elif tensor.name in trained:
            report.change(tensor.name, "trained")
        elif len(was) >= _MATRIX and tensor.name not in spared:
            reasons = [cutting.classes.reason(atoms) for atoms in cutting.found.of(tensor.name)]
            report.leave(
                tensor.name, "; ".join(dict.fromkeys(filter(None, reasons))) or "all of it is important enough"
            )


def _sizes(dims: Sequence[int]) -> str:
    return " x ".join(str(size) for size in dims)

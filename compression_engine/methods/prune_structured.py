"""Takes whole channels, heads and hidden units out of a graph, with all that depends on them: the child is smaller and faster.

How: sizes of all tensors are seen by running the model once (`prune_structured_shapes`); which indices of which axes fall
together is followed through the graph (`_axes`, `_rules`, `_moving`); classes are judged (`_importance`) and chosen (`_choice`) so
that the share is saved that the recipe asks for; weights and sizes are rewritten (`_cut`), and the result is run and held against
what was foretold.
Layers that read fewer channels can learn from calibration rows to answer as before (`_making_good`).

Rules:
- inputs and outputs of the model keep their sizes; an operator that is not understood keeps all that it touches, and is told;
- where a removed channel was zero in everything that reads it, the answers stay what they were;
- weights keep their names, so that later steps and reports speak of the same ones.
Limits: the main graph; what graphs inside of branches and loops read stays. Heads go whole or by size, in one group for a layer.
Source: Fang et al., "DepGraph: Towards Any Structural Pruning", 2023; see the parts for theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import onnx

from compression_engine.errors import DataError, RecipeError
from compression_engine.formats.onnx_graph import FLOATS, lift_constants
from compression_engine.methods.leaving_out import left_out
from compression_engine.methods.prune_structured_axes import (
    Classes,
    Options,
    Trace,
)
from compression_engine.methods.prune_structured_choice import Costs, Limits, Wish, choose, groups_of
from compression_engine.methods.prune_structured_cut import Cutting, check, cut
from compression_engine.methods.prune_structured_following import check_finite, followed
from compression_engine.methods.prune_structured_importance import activation, completed, magnitude, taylor
from compression_engine.methods.prune_structured_making_good import make_good
from compression_engine.methods.prune_structured_readers import readers_of
from compression_engine.methods.prune_structured_shapes import look
from compression_engine.methods.report import Report
from compression_engine.progress import Progress
from compression_engine.recipe import Value, integer_of
from compression_engine.steps.calibration import Calibration

if TYPE_CHECKING:
    from compression_engine.training.material import Training

_NONE, _ACTIVATION, _TAYLOR = "none", "activation", "taylor"
_MATRIX = 2


def apply(
    model: onnx.ModelProto,
    parameters: dict[str, Value],
    report: Report,
    progress: Progress,
    *looked_at: Calibration | Training,
) -> None:
    """Changes a model in place; `report` says what every weight lost, and why others lost nothing.

    Raises RecipeError (recipe_does_not_fit), FileRefused (weights_not_finite), DataError, OutputRefused (output_does_not_run).
    """
    rows = list(looked_at)
    how = str(parameters["compensation"])
    calibrated = how != _NONE or parameters["importance"] == _ACTIVATION
    if len(rows) != calibrated + (parameters["importance"] == _TAYLOR):
        raise DataError("data_missing", "prune_structured needs rows for this recipe, there are none.", "Give them.")
    calibration = rows.pop(0) if calibrated else None
    training = rows.pop(0) if rows else None
    lift_constants(model.graph, 1)
    options = Options(
        str(parameters["heads"]), bool(parameters["width"]), left_out(model, parameters["exclude"], report)
    )
    check_finite(model)
    progress("prune", 0, 1, "following what falls together")
    seen = look(model)
    found, classes = followed(model, seen, options)
    groups = groups_of(model, found, classes)
    if not groups:
        raise _nothing(model, found, classes)
    readers, costs = readers_of(model, found), Costs(model, found, classes)
    scores = magnitude(model, found, classes)
    if calibration is not None and parameters["importance"] == _ACTIVATION:
        scores = completed(activation(model, classes, readers, calibration, progress), scores)  # type: ignore[arg-type]
    elif training is not None:
        scores = completed(taylor(model, classes, readers, training, progress), scores)  # type: ignore[arg-type]
    kept = choose(groups, scores, costs, _wish(parameters), classes.count)
    cutting, parent = Cutting(found, classes, kept), onnx.ModelProto()
    parent.CopyFrom(model)
    cut(model, cutting)
    progress("prune", 1, 1, "checking the sizes of what is left")
    check(model, seen, cutting)
    if calibration is not None and how != _NONE:
        make_good(parent, model, readers, cutting, calibration, how, progress)  # type: ignore[arg-type]
    _tell(parent, cutting, options, report)


def _wish(parameters: Mapping[str, Value]) -> Wish:
    limits = Limits(integer_of(parameters["keep_at_least_per_mille"]), integer_of(parameters["round_to"]))
    return Wish(
        integer_of(parameters["share_per_mille"]),
        parameters["share_of"] == "numbers",
        parameters["scope"] == "layer",
        limits,
    )


def _tell(
    parent: onnx.ModelProto,
    cutting: Cutting,
    options: Options,
    report: Report,
) -> None:
    for tensor in parent.graph.initializer:
        if tensor.data_type not in FLOATS:
            continue
        now = cutting.shape(tensor.name)
        if now != tuple(tensor.dims):
            report.change(tensor.name, f"{_sizes(tensor.dims)} became {_sizes(now)}")
        elif len(tensor.dims) >= _MATRIX and tensor.name not in options.spared:
            reasons = [cutting.classes.reason(atoms) for atoms in cutting.found.of(tensor.name)]
            report.leave(
                tensor.name, "; ".join(dict.fromkeys(filter(None, reasons))) or "all of it is important enough"
            )


def _sizes(dims: object) -> str:
    return " x ".join(str(size) for size in dims)  # type: ignore[attr-defined]


def _nothing(model: onnx.ModelProto, found: Trace, classes: Classes) -> RecipeError:
    reasons = [
        reason
        for tensor in model.graph.initializer
        if len(tensor.dims) >= _MATRIX and tensor.data_type in FLOATS
        for reason in (classes.reason(atoms) for atoms in found.of(tensor.name))
        if reason is not None
    ]
    why = f": {'; '.join(list(dict.fromkeys(reasons))[:3])}" if reasons else ": it has no weights with channels"
    hint = "Use prune_unstructured, or quantise; with a transformer 'width' and 'heads' say what may go."
    return RecipeError("recipe_does_not_fit", f"prune_structured finds nothing that can be taken out{why}.", hint)

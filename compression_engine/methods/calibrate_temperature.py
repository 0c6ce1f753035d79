"""Divides a classifier's scores by one number, so that its probabilities fit the labels of calibration rows.

How: one Mul before the final Softmax, LogSoftmax or Sigmoid, or behind the logits where the model gives these. Which class
comes first never changes, nor do any other weights; the factor is rounded to three digits, so that the last bits of a sum do
not decide the bytes of the child. Source: Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017.

Limits: one temperature for all classes and rows; it saves nothing, and is only as good as the calibration rows are like those
that will come.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from compression_engine.answers.outputs import VERSION, Outputs
from compression_engine.errors import DataError, RecipeError
from compression_engine.formats.onnx_graph import Edits, Names
from compression_engine.measure import scores
from compression_engine.measure.temperature import Temperature, best_temperature, spaced
from compression_engine.methods.report import Report
from compression_engine.plan import Plan
from compression_engine.progress import Progress
from compression_engine.recipe import Value, integer_of
from compression_engine.steps.calibration import Calibration

_LAST = ("Softmax", "LogSoftmax", "Sigmoid")
_PASSING = ("Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze")
_PASSED_MOST = 4


def apply(
    model: onnx.ModelProto,
    parameters: dict[str, Value],
    report: Report,
    progress: Progress,
    calibration: Calibration,
) -> None:
    """Changes a model in place. Raises DataError (too few rows, labels that do not fit), RecipeError (recipe_does_not_fit)."""
    progress("compress", 0, 2, "answering the calibration rows")
    answered = calibration.answers(model)
    found = _fitted(answered.outputs, answered.plan, integer_of(parameters["min_rows"]))
    progress("compress", 1, 2, f"the best temperature is {found.value:.3g}")
    factor = float(f"{found.value:.3g}")
    name = answered.output_name
    if factor == 1:
        report.leave(name, "its best temperature is 1")
        return
    given = scores.are_probabilities(answered.outputs, answered.plan)
    _divide(model, name, factor, inside=given)
    bounds = "" if found.low is None else f", 95 % interval {found.low:.3g} to {found.high:.3g}"
    report.change(name, f"scores divided by {factor:g} ({found.n} calibration rows{bounds})")
    progress("compress", 2, 2, "scores divided")


def _fitted(outputs: Outputs, plan: Plan, rows_least: int) -> Temperature:
    rows = len(outputs)
    if rows < rows_least:
        hint = "Give more calibration rows with labels, or a smaller min_rows."
        raise DataError(
            "data_does_not_fit", f"There are {rows} labelled calibration rows, {rows_least} are needed.", hint
        )
    logits, labels = scores.logits(outputs, VERSION, plan), scores.labels(outputs, plan)
    kept = spaced(*logits.shape)
    found = best_temperature(logits.rows(kept), labels[kept])
    if found.value is None:
        hint = (
            "Check that the labels belong to these rows, and give more rows, among them some that the model gets wrong."
        )
        raise DataError("data_does_not_fit", f"No temperature fits the calibration rows: {found.reason}.", hint)
    return found


def _divide(model: onnx.ModelProto, name: str, temperature: float, *, inside: bool) -> None:
    """Puts the factor where the scores are still logits."""
    makers = {output: node for node in model.graph.node for output in node.output}
    maker = makers.get(name)
    if maker is None:
        raise _unfit(f"The output {name!r} is made by no node.")
    names, edits = Names(model), Edits()
    kind = next(value.type.tensor_type.elem_type for value in model.graph.output if value.name == name)
    factor = np.array(1 / temperature, dtype=helper.tensor_dtype_to_np_dtype(kind))
    constant = names.new(name, "inverse_temperature")
    model.graph.initializer.append(numpy_helper.from_array(factor, constant))
    last = _last(maker, makers)
    if last is not None and (inside or last.op_type == "LogSoftmax"):
        scaled = names.new(last.input[0], "scaled")
        changed = _copy(last)
        changed.input[0] = scaled
        edits.replace(last, [helper.make_node("Mul", [last.input[0], constant], [scaled], name=scaled), changed])
    elif inside:
        raise _unfit(f"The output {name!r} are probabilities that no Softmax or Sigmoid at its end makes.")
    else:
        before, changed = names.new(name, "uncalibrated"), _copy(maker)
        changed.output[list(maker.output).index(name)] = before
        edits.replace(maker, [changed, helper.make_node("Mul", [before, constant], [name], name=f"{constant}_scaled")])
    edits.make(model)


def _last(node: onnx.NodeProto | None, makers: dict[str, onnx.NodeProto]) -> onnx.NodeProto | None:
    """The node that turns scores into probabilities, through nodes that change nothing but shape."""
    for _ in range(_PASSED_MOST):
        if node is None or node.op_type in _LAST:
            return node
        if node.op_type not in _PASSING:
            return None
        node = makers.get(node.input[0])
    return None


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy


def _unfit(message: str) -> RecipeError:
    hint = (
        "Export the model so that it gives logits, or ends in Softmax or Sigmoid; or name another output in the plan."
    )
    return RecipeError("recipe_does_not_fit", message, hint)

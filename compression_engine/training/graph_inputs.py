"""What a graph takes and gives, read from the graph itself: for rows that are encoded before any runtime opens the model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from onnx import helper

from compression_engine.data import ModelInput
from compression_engine.errors import DataError
from compression_engine.formats.onnx_graph import FLOATS
from compression_engine.plan import Plan


def inputs_of(model: onnx.ModelProto) -> tuple[ModelInput, ...]:
    """What the model takes beside its weights; raises DataError (data_does_not_fit) for types that rows cannot be made of."""
    weights = {tensor.name for tensor in model.graph.initializer}
    found = []
    for value in model.graph.input:
        if value.name in weights:
            continue
        kind = value.type.tensor_type
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)) if kind.elem_type else None
        if dtype is None or dtype.kind not in "biuf":
            hint = "The engine trains models that take plain numeric tensors."
            raise DataError("data_does_not_fit", f"The input {value.name!r} is no tensor of numbers.", hint)
        shape = _shape(value)
        first = shape[0] if shape else None
        fixed = first if isinstance(first, int) and first > 0 else None
        found.append(ModelInput(value.name, dtype, fixed, shape))
    return tuple(found)


def judged_output(model: onnx.ModelProto, plan: Plan) -> str:
    """The output that is judged: the plan's, else the first of floats. Raises DataError (data_does_not_fit) where there is none."""
    names = [value.name for value in model.graph.output]
    if plan.output is not None:
        if plan.output not in names:
            raise DataError(
                "data_does_not_fit", f"The model has no output {plan.output!r}.", f"It gives: {', '.join(names)}."
            )
        return plan.output
    states = {state.output for state in plan.states}
    for value in model.graph.output:
        if value.type.tensor_type.elem_type in FLOATS and value.name not in states and _shape(value) != ():
            return str(value.name)
    hint = "The first axis of inputs and outputs must be rows."
    raise DataError("data_does_not_fit", "The model has no output of floats with one entry a row.", hint)


def class_count(model: onnx.ModelProto, plan: Plan) -> int | None:
    """How many classes the judged output tells apart, where the graph or the plan says so; one score stands for two classes."""
    if plan.task != "classification":
        return None
    name = judged_output(model, plan)
    sizes: Any = next(_shape(value) for value in model.graph.output if value.name == name)
    if sizes is None or len(sizes) < 2 or not all(isinstance(size, int) for size in sizes[1:]):
        # one number a row, or a width that only running tells
        return len(plan.classes) or (2 if sizes is not None and len(sizes) == 1 else None)
    count = 2 if math.prod(sizes[1:]) == 1 else math.prod(sizes[1:])
    if plan.classes and len(plan.classes) != count:
        hint = "Name every class once, in the order of the model's outputs."
        message = f"The plan has {len(plan.classes)} classes, the model tells {count} apart."
        raise DataError("data_does_not_fit", message, hint)
    return int(count)


def _shape(value: onnx.ValueInfoProto) -> tuple[int | str | None, ...] | None:
    """Sizes, names of free ones, None; None where the graph does not say."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return tuple(
        entry.dim_value if entry.HasField("dim_value") else (entry.dim_param or None) for entry in kind.shape.dim
    )

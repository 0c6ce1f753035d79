"""Runs a model in the making over calibration rows, for methods that look at data.

Rules:
- the rows are read as a plan says; without one their class stands in the column `label`;
- one thread, so that what is fitted, and with it the bytes of the child, does not depend on how many there are;
- rows without a usable label are left out; what was found is never part of any evidence about the child.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from compression_engine.answers.answering import usable
from compression_engine.answers.outputs import VERSION, Outputs
from compression_engine.data import Encoder, Rows, read_rows
from compression_engine.data.labels import sequence_numbers
from compression_engine.data.rows import Indices
from compression_engine.errors import DataError
from compression_engine.formats import onnx_io
from compression_engine.limits import scratch
from compression_engine.measure.running import answered
from compression_engine.plan import Plan
from compression_engine.runtime import Model, batches, judged_output

LABEL = "label"
_THREADS = 1


@dataclass(frozen=True)
class Answered:
    """What a model answered to the calibration rows, and the name of the output that was judged."""

    outputs: Outputs
    output_name: str
    plan: Plan


@dataclass(frozen=True)
class Calibration:
    """Calibration rows, how they are read, and the tokenizer that they need where they are texts."""

    rows: Rows
    plan: Plan
    tokenizer: Path | None = None
    sequences: Indices | None = None
    """For recurrent models: the number of the sequence that each row belongs to; None where the rows do not say."""

    @classmethod
    def of_inputs(cls, path: Path, plan: Plan | None, tokenizer: Path | None) -> Calibration:
        """Reads a file of rows whose labels do not matter. Raises DataError (data_missing, no_usable_row, data_does_not_fit)."""
        named = replace(plan or Plan(), label=None, slices=(), protected=())
        bare = replace(named, sequence=None)
        rows = read_rows(path, bare)
        return cls(rows, bare, tokenizer, _sequences(path, named, rows))

    @classmethod
    def of(cls, path: Path, plan: Plan | None, tokenizer: Path | None) -> Calibration:
        """Reads a file of labelled rows. Raises DataError (data_missing, no_usable_row, data_does_not_fit)."""
        plan = Plan(task="classification") if plan is None else plan
        if plan.task != "classification":
            hint = "Give a plan of the task classification, or none."
            raise DataError("data_does_not_fit", f"Calibration needs classes; the plan's task is {plan.task!r}.", hint)
        # slices are for judging, and calibration rows need not have them
        plan = replace(plan, label=plan.label or LABEL, slices=(), protected=())
        return cls(read_rows(path, plan), plan, tokenizer)

    def answers(self, model: onnx.ModelProto) -> Answered:
        """What the model answers now. Raises EngineError where it does not open or the rows do not fit."""
        with scratch("pressmark-model-") as folder:
            path = folder / "model.onnx"
            onnx_io.save(model, path)
            opened = Model(path, _THREADS, what="The model")
            models = {VERSION: opened}
            encoder = usable(models, Encoder(self.rows, opened.inputs(), self.tokenizer, self.plan), self.plan)
            outputs = answered(models, encoder, self.plan)
            output = judged_output(opened, next(batches(encoder, 1)), self.plan.output)
        return Answered(outputs, opened.output_names[output], self.plan)


def _sequences(path: Path, plan: Plan, rows: Rows) -> Indices | None:
    """Which rows follow each other, where the plan has states and the rows say so; calibration rows need not."""
    if plan.sequence is None or not plan.states:
        return None
    try:
        numbers = sequence_numbers(read_rows(path, plan), plan)
    except DataError:
        return None
    return numbers if numbers is not None and len(numbers) == len(rows) else None

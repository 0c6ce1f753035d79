"""Whether what the models answered are numbers: a row without one has no first choice, and would count as the first class.

Rules:
- a version that answers any row with NaN or infinity is refused, whichever measures are asked for (output_not_finite); so is,
  where answers are judged by labels, a model beside it: figures over such rows would make it look worse or better than it is;
- minus infinity may be a score of a class that is ruled out;
- without labels, rows that the parent answers with no number are not compared (see `fidelity`): there the version may be as it is.
"""

from __future__ import annotations

import numpy as np

from compression_engine.answers.outputs import PARENT, VERSION, Array, Field, Outputs
from compression_engine.data.mapped import blocks
from compression_engine.errors import DataError, OutputRefused
from compression_engine.plan import Plan

_CODE = "output_not_finite"
_WHO = {
    VERSION: "The model",
    "parent": "The original",
    "incumbent": "The incumbent",
    "first": "The first approved version",
}


def check_finite(outputs: Outputs, plan: Plan) -> None:
    """Raises OutputRefused for the version, DataError for a model beside it."""
    judged = plan.task == "language-model" or outputs.labels is not None
    for role in outputs.models:
        if role != VERSION and not judged:
            continue
        broken = broken_rows(outputs, role, plan)
        if role == VERSION and not judged and PARENT in outputs.models:
            broken &= ~broken_rows(outputs, PARENT, plan)
        count = int(broken.sum())
        if count == 0:
            continue
        message = f"{_WHO[role]} answers {count} of {len(broken)} rows with NaN or infinity."
        if role == VERSION:
            hint = "Such a model cannot be judged or served: find out which rows it breaks on."
            raise OutputRefused(_CODE, message, hint)
        raise DataError(_CODE, message, "Leave such rows out, or evaluate without that model.")


def broken_rows(outputs: Outputs, role: str, plan: Plan) -> Array:
    """Which rows hold what is no number, in any field; [rows]."""
    found = np.zeros(len(outputs), dtype=bool)
    for field in outputs.models[role].values():
        if np.issubdtype(field.values.dtype, np.floating):
            found |= _broken_rows(field, plan.task == "classification")
    return found


def _broken_rows(field: Field, ruled_out: bool) -> Array:
    wrong = np.zeros(len(field.values), dtype=bool)
    for part in blocks(field.values):
        block = np.asarray(field.values[part]).reshape(len(field.values[part]), -1)
        bad = np.isnan(block) | (np.isposinf(block) if ruled_out else np.isinf(block))
        wrong[part] = bad.any(axis=1)
    if field.offsets is None:
        return wrong
    sums = np.concatenate([[0], np.cumsum(wrong)])
    return np.asarray(sums[field.offsets[1:]] > sums[field.offsets[:-1]])

"""Runs models over rows that are not those of the evaluation: damaged ones, foreign ones, calibration rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from compression_engine.answers.answering import answer
from compression_engine.answers.outputs import Field, Outputs
from compression_engine.data import Encoder
from compression_engine.limits import scratch
from compression_engine.plan import Plan
from compression_engine.runtime import Model


def answered(models: Mapping[str, Model], encoder: Encoder, plan: Plan) -> Outputs:
    """What models answer to rows, held in memory; labels and sequences where the plan names them, no slices.

    Raises DataError where rows or labels do not fit, EngineError (output_does_not_run).
    """
    # slices are for judging the evaluation's own rows, and other rows need not have these columns
    plan = replace(plan, slices=(), protected=())
    with scratch("pressmark-answers-") as folder:
        outputs = answer(models, encoder, plan, folder=folder / "answers")
        held = {
            role: {name: Field(np.array(found.values), found.offsets) for name, found in fields.items()}
            for role, fields in outputs.models.items()
        }
    return replace(outputs, models=held)

"""Chooses the figures of the plan's task and gives them for every model that answered, the version first.

Rules:
- the version's figures bear plain names, those of another model its role in front: `parent_accuracy`;
- all models are resampled with the same draws, so their intervals rest on the same rows;
- a figure that the rows do not allow has no value and says why; nothing is left out in silence;
- rows without labels give nothing: agreement is for `fidelity`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from compression_engine.answers.outputs import FIRST, INCUMBENT, PARENT, VERSION, Outputs
from compression_engine.measure import scores
from compression_engine.measure.context import Context, Found
from compression_engine.measure.quality import classification, embedding, language, regression, sequence
from compression_engine.measure.sampling import among_neighbours
from compression_engine.plan import Plan
from compression_engine.result import Measurement

KIND = "quality"
METHOD = "answers_against_labels"
WHO: Mapping[str, str] = {
    VERSION: "The model",
    PARENT: "The original",
    INCUMBENT: "The incumbent",
    FIRST: "The first approved version",
}
Figures = Callable[[Outputs, str, Plan, int, str], list[Measurement]]
_FIGURES: Mapping[str, Figures] = {
    "classification": classification.figures,
    "embedding": embedding.figures,
    "language-model": language.figures,
    "regression": regression.figures,
    "sequence": sequence.figures,
}


def measure(context: Context) -> list[Found]:
    """The quality of the version and, beside it, of each other model; nothing without labels or for a task that has none."""
    context, drawn = among_neighbours(context)
    outputs, plan = context.outputs, context.plan
    figures = _FIGURES.get(plan.task)
    if figures is None or (outputs.labels is None and plan.task != "language-model"):
        return []
    measurements: list[Measurement] = []
    for role in (VERSION, *outputs.others):
        found = figures(outputs, role, plan, context.seed, WHO[role])
        measurements += found if role == VERSION else [_of(role, entry) for entry in found]
    if plan.task == "classification" and PARENT in outputs.models:
        measurements += classification.differences(outputs, PARENT, plan, context.seed)
    context.progress("quality", len(outputs), len(outputs), "answers held against the labels")
    return [Found(KIND, METHOD, measurements, context.seed, facts=(*_facts(outputs, plan), *drawn))]


def _of(role: str, measurement: Measurement) -> Measurement:
    return replace(measurement, metric=f"{role}_{measurement.metric}")


def _facts(outputs: Outputs, plan: Plan) -> Sequence[tuple[str, str]]:
    facts = []
    if outputs.sequences is not None:
        facts.append(("resampled", f"{len(np.unique(outputs.sequences))} sequences, whole"))
    if plan.task != "classification":
        return facts
    kind = "probabilities" if scores.are_probabilities(outputs, plan) else "logits"
    return [*facts, ("scores", kind if plan.scores else f"{kind}, taken from the answers")]

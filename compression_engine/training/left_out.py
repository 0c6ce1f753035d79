"""Training rows that nothing is learned from: unreadable, not for the model, or without a usable label; how many, and why.

Rules:
- it is found before anything is trained, by the parent, whose inputs and classes are those of every step; so it does not depend on
  which steps an earlier attempt had done;
- labels count where a step learns from them; a row whose label is missing is counted, and never too many: whoever labels a
  part of the rows means to;
- more than a tenth of the rows unreadable, or with a label that is wrong, is an error (training_rows_left_out): as much as is held
  out, and as one class of ten has, so that what judges training would no more be like what was given;
- so is a label that is no class in 20 rows or more, a hundredth of all: a class that is left out as a whole is missed by no figure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import onnx

from compression_engine.canonical import JSON
from compression_engine.data import Encoder, Rows
from compression_engine.data.labels import Labels, labels_of
from compression_engine.errors import DataError, EngineError
from compression_engine.recipe import Step
from compression_engine.result import Evidence
from compression_engine.training.graph_inputs import class_count, inputs_of
from compression_engine.training.losses import BOTH, LABELS
from compression_engine.training.material import LEARNING_ROWS_LEAST, Training

_MISSING = "label missing"
_MOST = 10
_OF_ONE_LABEL = 100
_TAYLOR = "taylor"
CODE = "training_rows_left_out"


FACT = "training_rows_left_out"
"""What the environment of every figure names, where rows were left out."""


@dataclass(frozen=True)
class LeftOut:
    """What is learned from, and why the rest is not."""

    usable: int
    broken: tuple[str, ...]
    """`row 7: reason`, those that could not be read first."""
    unlisted: tuple[tuple[str, int], ...] = ()

    def record(self, rows: Rows) -> dict[str, JSON]:
        """How a result names the training rows: as those that an evaluation is left with."""
        # the record counts what its rows hold; these are counted here, and not taken apart
        named = replace(rows, broken=self.broken, unlisted_labels=self.unlisted).record("training")
        return named | {"rows": self.usable}


def with_left_out(evidence: Sequence[Evidence], found: LeftOut | None) -> list[Evidence]:
    """The evidence, each document saying how many training rows were left out, where some were."""
    if found is None or not found.broken:
        return list(evidence)
    told: JSON = {"name": FACT, "value": str(len(found.broken))}
    return [
        replace(one, environment=sorted([*one.environment, told], key=lambda fact: str(fact["name"])))
        for one in evidence
    ]


def left_out(training: Training, model: onnx.ModelProto, steps: Sequence[Step]) -> LeftOut:
    """Of a file of training rows what no step learns from. Raises DataError (training_rows_left_out).

    What else is wrong with rows or model is said by the step that trains.
    """
    rows, labels = training.rows, Labels()
    try:
        rows = Encoder(training.rows, inputs_of(model), training.tokenizer, training.plan).rows
        if training.plan.label is not None and any(asks_labels(step) for step in steps):
            labels = labels_of(rows, training.plan, class_count(model, training.plan))
    except EngineError:
        return LeftOut(len(training.rows), training.rows.broken)
    broken = [f"{rows.name(index)}: {labels.broken[index]}" for index in sorted(labels.broken)]
    found = LeftOut(len(rows) - len(broken), (*rows.broken, *broken), tuple(labels.unlisted.items()))
    _refuse(found, len(rows.broken), labels.broken)
    return found


def asks_labels(step: Step) -> bool:
    """Whether a step learns from labels, or looks at them."""
    if not step.needs_training:
        return False
    trains = step.parameters.get("epochs_per_round") != 0
    by_loss = trains and step.parameters.get("loss") in (LABELS, BOTH)
    return by_loss or step.parameters.get("importance") == _TAYLOR


def _refuse(found: LeftOut, unreadable: int, labels: Mapping[int, str]) -> None:
    total = found.usable + len(found.broken)
    if not found.usable:
        return  # the step says that none is left
    reasons = Counter(reason for reason in labels.values() if reason != _MISSING)
    hint = "Check the plan's label, classes and columns against the file; or leave these rows out of it."
    for reason, count in reasons.most_common(1):
        if count >= LEARNING_ROWS_LEAST and count * _OF_ONE_LABEL >= total:
            message = f"A label as a whole would be left out: {count:,} of {total:,} training rows: {reason}."
            raise DataError(CODE, message, hint)
    wrong = unreadable + sum(reasons.values())
    if wrong * _MOST > total:
        first = next(entry for entry in found.broken if not entry.endswith(_MISSING))
        message = f"{wrong:,} of {total:,} training rows cannot be used ({first}); more than a tenth is too many."
        raise DataError(CODE, message, hint)

"""Runs several models over the same rows, batch by batch, and keeps what they answered in a folder.

Rules:
- all models answer a batch before the next one begins; memory is bounded by batches, not by rows;
- a run that was killed goes on at the first row that is not whole, with the same batches and the same bytes as without it;
- a recurrent model's state goes from row to row within a sequence and starts at zero: sequences run one at a time, or as many
  together as the model's fixed first dimension wants;
- of a language model's answers only numbers for each token are kept, since whole logits would not fit on a disk;
- one model in two roles answers once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from compression_engine.answers.answer_store import AnswerStore
from compression_engine.answers.outputs import ANSWER, PARENT, VERSION, Field, Outputs
from compression_engine.canonical import canonical, digest_of
from compression_engine.data import Array, Encoder, Feed
from compression_engine.data.labels import cut_columns, labels_of, sequence_numbers, slices_of
from compression_engine.errors import DataError, EngineError
from compression_engine.plan import Plan
from compression_engine.progress import Progress, silent
from compression_engine.runtime import Batch, Model, batch_at, batch_rows, batches, judged_output

Fields = dict[str, Array | Sequence[Array]]
STAGE = "answer"
_TOLD_TIMES = 200
"""How often, at most, an evaluation says how far it is."""


def usable(models: Mapping[str, Model], encoder: Encoder, plan: Plan) -> Encoder:
    """The rows whose labels the models can be judged by; the others are named as broken. Raises DataError (no_usable_row)."""
    labels = labels_of(encoder.rows, plan, class_count(models, encoder, plan))
    broken = labels.broken
    if len(broken) == len(encoder.rows):
        first = min(broken)
        hint = "Check the plan's label and classes."
        message = f"No row has a usable label: {encoder.rows.name(first)}: {broken[first]}."
        raise DataError("no_usable_row", message, hint)
    if not broken:
        return encoder
    return encoder.with_rows(replace(encoder.rows.without(broken), unlisted_labels=tuple(labels.unlisted.items())))


def class_count(models: Mapping[str, Model], encoder: Encoder, plan: Plan) -> int | None:
    """How many classes the judged output tells apart; None for other tasks. One score stands for two classes."""
    if plan.task != "classification":
        return None
    model = _reference(models)
    batch = next(batches(encoder, 1))
    output = model.run(batch.feed)[judged_output(model, batch, plan.output)]
    width = int(np.prod(output.shape[1:], dtype=np.int64))
    count = 2 if width == 1 else width
    if plan.classes and len(plan.classes) != count:
        hint = "Name every class once, in the order of the model's outputs."
        message = f"The plan has {len(plan.classes)} classes, the model tells {count} apart."
        raise DataError("data_does_not_fit", message, hint)
    return count


def answer(
    models: Mapping[str, Model],
    encoder: Encoder,
    plan: Plan,
    *,
    folder: Path,
    progress: Progress = silent,
    identity: str | None = None,
    surroundings: str = "",
) -> Outputs:
    """What every model answers to every row, with labels, slices and sequences beside it.

    `folder` keeps the answers, and what an earlier run with this `identity` (see `identity_of`) left there is used;
    `surroundings` is the digest of machine and libraries: under other ones the answers begin anew.
    Raises DataError where rows or labels do not fit, EngineError (work_differs, output_does_not_run).
    """
    labels = labels_of(encoder.rows, plan, class_count(models, encoder, plan))
    if labels.broken:
        first = min(labels.broken)
        hint = "Leave such rows out before the models answer."
        raise DataError("data_does_not_fit", f"{encoder.rows.name(first)}: {labels.broken[first]}.", hint)
    sequences = sequence_numbers(encoder.rows, plan)
    slices, inputs = slices_of(encoder.rows, plan), cut_columns(encoder, plan)
    store = AnswerStore(folder, identity or identity_of(models, encoder, plan), surroundings)
    try:
        run = _Run(models, encoder, plan, _outputs(models, encoder, plan))
        total, told = len(encoder.rows), store.rows
        for count, found in run.whole_sequences(sequences, store.rows) if plan.states else run.rows(store.rows):
            store.append(found, count)
            if store.rows == total or store.rows - told >= total / _TOLD_TIMES:
                store.save()  # rows that somebody was told of are not answered again after a kill
                progress(STAGE, store.rows, total, "rows answered by every model")
                told = store.rows
        answers = store.close()
    finally:
        store.abandon()
    _check_held(models, answers)
    return Outputs(answers, labels.given, slices, sequences, inputs)


def _check_held(models: Mapping[str, Model], answers: Mapping[str, Mapping[str, Field]]) -> None:
    for role, fields in answers.items():
        if not any(held.values.size for held in fields.values()):
            hint = "Name an output that holds numbers in the plan's 'output', or export the model again."
            message = f"{models[role].what} answers every row with nothing: its output has no entry."
            raise EngineError("output_does_not_run", message, hint)


def identity_of(
    models: Mapping[str, Model], encoder: Encoder, plan: Plan, contents: Mapping[str, str] | None = None
) -> str:
    """The digest of what answers belong to. `contents` are the models' own digests by role; one without stands by its path."""
    known = contents or {}
    facts = {
        "data": encoder.rows.digest,
        "models": [
            {
                "digest": known.get(role, str(model.path)),
                "optimisation": model.optimisation,
                "provider": model.provider,
                "role": role,
            }
            for role, model in models.items()
        ],
        "plan": plan.digest(),
        "preprocessing": encoder.preprocessing,
        "rows": len(encoder.rows),
    }
    return digest_of(canonical(facts))


@dataclass
class _Run:
    """The models with the output of each that is judged."""

    models: Mapping[str, Model]
    encoder: Encoder
    plan: Plan
    outputs: Mapping[str, int]

    def rows(self, start: int) -> Iterator[tuple[int, dict[str, Fields]]]:
        """Batches of rows from this one on, each with the fields of every role."""
        for batch in batches(self.encoder, start=start):
            raw = self._together(batch.feed, {})
            judged = {role: raw[role][self.outputs[role]] for role in self.models}
            yield batch.count, self._reduced(judged, batch)

    def whole_sequences(self, numbers: Array | None, start: int) -> Iterator[tuple[int, dict[str, Fields]]]:
        """Groups of whole sequences from the one that begins at this row on."""
        assert numbers is not None
        begins = np.concatenate([np.flatnonzero(np.diff(numbers, prepend=-1)), [len(numbers)]])
        width = self.encoder.fixed_rows or 1
        for first in range(int(np.searchsorted(begins, start)), len(begins) - 1, width):
            last = min(first + width, len(begins) - 1)
            spans = [(int(begins[number]), int(begins[number + 1])) for number in range(first, last)]
            yield spans[-1][1] - spans[0][0], self._sequences(spans, width)

    def _sequences(self, spans: Sequence[tuple[int, int]], width: int) -> dict[str, Fields]:
        """Some sequences side by side, one row of each at a time; one that has ended is run on and not looked at."""
        filled = [*spans, *[spans[-1]] * (width - len(spans))]
        states: dict[str, Feed] = {role: {} for role in self.models}
        found: dict[str, list[list[Array]]] = {role: [[] for _ in spans] for role in self.models}
        carried = {
            role: [(state.input, model.output_names.index(state.output)) for state in self.plan.states]
            for role, model in self.models.items()
        }
        for step in range(max(end - begin for begin, end in spans)):
            rows = [min(begin + step, end - 1) for begin, end in filled]
            feed = self.encoder.batch(range(rows[0], rows[0] + 1) if width == 1 else rows, begins=step == 0)
            raw = self._together(feed, states)
            for role, arrays in raw.items():
                states[role] = {name: arrays[index] for name, index in carried[role]}
                for place, (begin, end) in enumerate(spans):
                    if begin + step < end:
                        found[role][place].append(arrays[self.outputs[role]][place])
        return {role: {ANSWER: [row for sequence in rows for row in sequence]} for role, rows in found.items()}

    def _together(self, feed: Feed, states: Mapping[str, Feed]) -> dict[str, list[Array]]:
        """Every model over one batch; one that stands in two roles runs once."""
        done: dict[int, list[Array]] = {}
        for role, model in self.models.items():
            if id(model) not in done:
                done[id(model)] = model.run(feed | states.get(role, {}))
        return {role: done[id(model)] for role, model in self.models.items()}

    def _reduced(self, judged: Mapping[str, Array], batch: Batch) -> dict[str, Fields]:
        if self.plan.task != "language-model":
            return {role: {ANSWER: batch_rows(batch, output)} for role, output in judged.items()}
        from compression_engine.measure.language import reduce_batch

        reduced = reduce_batch(judged, batch.feed, self.plan)
        return {role: {name: rows[: batch.count] for name, rows in fields.items()} for role, fields in reduced.items()}


def _reference(models: Mapping[str, Model]) -> Model:
    return models.get(PARENT, models[VERSION])


def _outputs(models: Mapping[str, Model], encoder: Encoder, plan: Plan) -> dict[str, int]:
    """The judged output of every model: the reference's, found by its name in the others."""
    reference, batch = _reference(models), batch_at(encoder, [0])
    name = reference.output_names[judged_output(reference, batch, plan.output)]
    for state in plan.states:
        if state.output not in reference.output_names:
            hint = f"It gives: {', '.join(reference.output_names)}."
            raise DataError("data_does_not_fit", f"The plan's state {state.output!r} is no output of the model.", hint)
    return {role: judged_output(model, batch, name) for role, model in models.items()}

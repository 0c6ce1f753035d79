"""What a teacher answers to training rows: any ONNX model, run by onnxruntime, each row once.

Rules:
- one thread, so that the answers do not depend on how many there are; rows of like length run together, in an order of their own;
- it is asked when answers are wanted first: a training that an earlier attempt has finished asks none;
- answers are laid down in the scratch folder row by row and mapped from there; where they would take more than 2 GiB they are not
  kept but given anew for each batch: which of the two is decided by their size alone, never by the machine;
- a teacher takes inputs of the same names as the student, or the same texts by the tokenizer.json beside it, and gives outputs of
  the same names and sizes: what differs is said (teacher_does_not_fit). With another tokenizer only answers that have one entry for
  each text can be learned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from compression_engine.answers.answer_store import AnswerStore
from compression_engine.answers.outputs import Field
from compression_engine.data import Array, Encoder
from compression_engine.data.rows import Indices
from compression_engine.errors import DataError, EngineError
from compression_engine.formats import onnx_io
from compression_engine.formats.onnx_graph import FLOATS
from compression_engine.limits import scratch
from compression_engine.opening import TOKENIZER_NAME
from compression_engine.progress import Progress, silent
from compression_engine.runtime import BATCH_ROWS, Model
from compression_engine.steps.observing import watched
from compression_engine.training.asking import Asked
from compression_engine.training.losses import TOKENS, Answer

if TYPE_CHECKING:
    import torch

    from compression_engine.training.material import Parts, Taught, Training

STAGE = "teach"
STORED_BYTES_MOST = 2 * 1024**3
_ROLE = "teacher"
_THREADS = 1
_WHAT = "The teacher"
_SAID_EVERY = 50  # batches


def teacher_path(training: Training) -> Path:
    """The file of the model that teaches: the one that was named, else the recipe's parent."""
    return training.teacher or training.parent


def teacher_model(training: Training) -> onnx.ModelProto:
    """The graph of the teacher, at an operator set that the engine works on. Raises FileRefused, EngineError (not_found)."""
    model = onnx_io.load(onnx_io.weights_file(teacher_path(training))).model
    onnx_io.prepare(model)
    return model


def check_fits(student: onnx.ModelProto, teacher: onnx.ModelProto, answers: Sequence[Answer]) -> None:
    """Whether the teacher gives what the student learns; raises EngineError (teacher_does_not_fit) that says what differs."""
    given = {value.name: _sizes(value) for value in teacher.graph.output}
    types = {value.name: value.type.tensor_type.elem_type for value in teacher.graph.output}
    for value in student.graph.output:
        if value.name not in {answer.name for answer in answers}:
            continue
        if value.name not in given:
            hint = f"Export the teacher so that it gives the same. It gives: {', '.join(given)}."
            raise EngineError("teacher_does_not_fit", f"The teacher has no output {value.name!r}.", hint)
        if types[value.name] not in FLOATS:
            message = (
                f"The teacher answers {value.name!r} with whole numbers, truth values or texts; floats are learned."
            )
            raise EngineError("teacher_does_not_fit", message, "Export the teacher with the scores it chooses by.")
        ours, theirs = _sizes(value), given[value.name]
        if ours is None or theirs is None:
            continue
        pairs = zip(ours[1:], theirs[1:], strict=False)
        if len(ours) != len(theirs) or any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in pairs):
            message = f"The output {value.name!r} is {_told(ours)} in the student and {_told(theirs)} in the teacher."
            raise EngineError("teacher_does_not_fit", message, "Take a teacher whose outputs have the same sizes.")


@contextmanager
def teaching(
    parts: Parts,
    model: onnx.ModelProto,
    answers: Sequence[Answer],
    *,
    taps: Sequence[str] = (),
    temperature: float = 1.0,
    progress: Progress = silent,
    stored_bytes_most: int = STORED_BYTES_MOST,
) -> Iterator[Taught]:
    """Gives, while it is open, what the teacher `model` answers to rows of `parts`, by their indices: tensors by output and tap.

    Raises EngineError (teacher_does_not_fit, output_does_not_load, output_does_not_run, disk_full).
    """
    with scratch("pressmark-teacher-") as folder:
        names = list(dict.fromkeys([*(answer.name for answer in answers), *taps]))
        opened = watched(model, names, folder / "teacher.onnx")
        opened.what = _WHAT
        encoder, own_tokens = _encoder(parts, opened)
        likeliest = {answer.name: answer.teacher_form for answer in answers if answer.kind == TOKENS}
        asked = Asked(opened, encoder, frozenset(taps), likeliest, temperature, own_tokens)
        rows = np.sort(np.concatenate([parts.learning, parts.validation]))
        if asked.bytes_of(rows) > stored_bytes_most:
            progress(STAGE, 0, len(rows), "the teacher answers each batch anew: its answers would take too much room")
            yield lambda wanted: asked.tensors(asked.answers(wanted), wanted)
            return
        kept = cache(lambda: _stored(asked, rows, folder / "answers", progress))
        yield lambda wanted: kept()(wanted)


def _encoder(parts: Parts, teacher: Model) -> tuple[Encoder, bool]:
    """The rows as the teacher takes them, and whether it reads texts by a tokenizer of its own."""
    training, rows = parts.training, parts.encoder.rows
    beside = teacher_path(training)
    beside = (beside if beside.is_dir() else beside.parent) / TOKENIZER_NAME
    own = len(rows.texts) > 0 and beside.is_file() and not _same(beside, training.tokenizer)
    # columns were put together for the student, and have the names of its inputs now
    plan = replace(training.plan, inputs=())
    try:
        encoder = Encoder(rows, teacher.inputs(), beside if own else training.tokenizer, plan)
    except DataError as error:
        hint = "Take a teacher with the student's inputs. " + error.hint
        raise EngineError("teacher_does_not_fit", f"The teacher cannot take the rows: {error.message}", hint) from error
    if len(encoder.rows) != len(rows):
        hint = "Take a teacher whose inputs have the student's types."
        raise EngineError("teacher_does_not_fit", "The teacher cannot take all the rows that the student takes.", hint)
    return encoder, own


def _same(one: Path, other: Path | None) -> bool:
    return other is not None and one.read_bytes() == other.read_bytes()


def _stored(asked: Asked, rows: Indices, folder: Path, progress: Progress) -> Taught:
    """All answers, laid down once; rows of like length run together."""
    counts = asked.encoder.token_counts()
    order = rows if counts is None else rows[np.argsort(counts[rows], kind="stable")]
    place = np.zeros(int(rows.max()) + 1, dtype=np.int64)
    place[order] = np.arange(len(order))
    store = AnswerStore(folder, _ROLE)
    size = asked.encoder.fixed_rows or BATCH_ROWS
    try:
        for number, start in enumerate(range(0, len(order), size)):
            if number % _SAID_EVERY == 0:
                progress(STAGE, start, len(order), "rows answered by the teacher")
            batch = order[start : start + size]
            store.append({_ROLE: asked.answers(batch)}, len(batch))
        held = store.close()[_ROLE]
    finally:
        store.abandon()

    def taught(wanted: Indices) -> Mapping[str, torch.Tensor]:
        found = {
            name: [_row(values, int(row), asked.tails.get(name)) for row in place[wanted]]
            for name, values in held.items()
        }
        return asked.tensors(found, wanted)

    return taught


def _row(held: Field, index: int, tail: tuple[int, ...] | None) -> Array:
    """One row in its shape: rows of different lengths are kept flat."""
    row = held.row(index)
    return row if tail is None else row.reshape(-1, *tail)


def _sizes(value: onnx.ValueInfoProto) -> list[int | str] | None:
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return [entry.dim_value if entry.HasField("dim_value") else (entry.dim_param or "?") for entry in kind.shape.dim]


def _told(sizes: Sequence[int | str]) -> str:
    return f"[{', '.join(map(str, sizes))}]"

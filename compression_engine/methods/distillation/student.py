"""What a student begins as: the model without some of its layers, or another model that is handed in.

Rules:
- layers are found by structure (`distillation.blocks`) on a few training rows, which show the shapes of what leaves them;
- which layers go is found by trying: one after the other the one without which the answers to training rows (64 at most) change
  least, given those that have gone before; or by place alone, evenly;
- a declared student takes and gives what the model does, by name, type and size, and reads texts by the same tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import onnx

from compression_engine.errors import DataError, EngineError, RecipeError
from compression_engine.formats import onnx_io
from compression_engine.limits import scratch
from compression_engine.methods.distillation.blocks import Block, find_blocks, remove_blocks
from compression_engine.methods.distillation.flow import Flow
from compression_engine.opening import TOKENIZER_NAME
from compression_engine.progress import Progress
from compression_engine.runtime import BATCH_ROWS, batch_at
from compression_engine.steps.bringing_in import bring_in
from compression_engine.steps.observing import watched

if TYPE_CHECKING:
    from compression_engine.data.rows import Indices
    from compression_engine.training.losses import Answer, FromTeacher
    from compression_engine.training.material import Parts, Taught, Training

Shapes = dict[str, tuple[int, ...]]
STAGE = "derive"
_ROWS_SHOWN = 3
_ROWS_TRIED = 64
_DRAW = 9
"""Which of a step's draws the rows are that layers are tried on."""


@dataclass(frozen=True)
class Layers:
    """The layers of a model, and which of them a student keeps: places in `found`."""

    found: tuple[Block, ...]
    kept: tuple[int, ...]

    @property
    def gone(self) -> list[Block]:
        """The layers that a student lacks."""
        return [block for place, block in enumerate(self.found) if place not in self.kept]


def declared(model: onnx.ModelProto, training: Training) -> None:
    """Puts the declared student in the place of a model.

    Raises EngineError (student_does_not_fit), DataError (data_missing), RecipeError (recipe_does_not_fit).
    """
    if training.student is None:
        hint = "Give the model that it begins as (in a shell --student MODEL.onnx), or have one derived."
        raise DataError("data_missing", "distill needs a student, there is none.", hint)
    if training.step > 1:
        hint = "Let distill be the first step; what follows is done to the student."
        message = f"Step {training.step}: a declared student would throw away what the steps before it made."
        raise RecipeError("recipe_does_not_fit", message, hint)
    path = onnx_io.weights_file(training.student)
    student = onnx_io.load(path).model
    onnx_io.prepare(student)
    bring_in(student, "the student")
    for what in ("input", "output"):
        ours, theirs = _ports(model, what), _ports(student, what)
        for name in sorted(set(ours) | set(theirs)):
            if ours.get(name) != theirs.get(name):
                hint = "A child takes and gives what its parent does: export the student so."
                both = f"{_told(theirs.get(name))} in the student and {_told(ours.get(name))} in the model"
                message = f"The {what} {name!r} is {both}."
                raise EngineError("student_does_not_fit", message, hint)
    beside = path.parent / TOKENIZER_NAME
    other = training.tokenizer
    if len(training.rows.texts) and other and beside.is_file() and beside.read_bytes() != other.read_bytes():
        hint = "A child reads texts as its parent does: take a student with the same tokenizer.json."
        raise EngineError("student_does_not_fit", "The student's tokenizer is another one than the model's.", hint)
    model.CopyFrom(student)


def shapes_of(model: onnx.ModelProto, parts: Parts) -> Shapes:
    """The shapes of the tensors at which layers can begin or end, for a few training rows."""
    names = Flow(model).boundaries()
    inputs = {value.name for value in model.graph.input}
    with scratch("pressmark-model-") as folder:
        opened = watched(model, [name for name in names if name not in inputs], folder / "model.onnx")
        batch = batch_at(parts.encoder, parts.learning[:_ROWS_SHOWN].tolist())
        feed = {name: array for name, array in batch.feed.items() if name in inputs}
        given = feed | dict(zip(opened.output_names, opened.run(feed), strict=True))
    return {name: tuple(array.shape) for name, array in given.items() if array.dtype.kind == "f"}


def blocks_of(model: onnx.ModelProto, parts: Parts) -> tuple[Block, ...]:
    """The layers of a model that can be taken out."""
    return tuple(find_blocks(model, shapes_of(model, parts)))


def derive(
    model: onnx.ModelProto,
    parts: Parts,
    answers: Sequence[Answer],
    *,
    kept_per_mille: int,
    by_answers: bool,
    progress: Progress,
) -> Layers:
    """Takes layers out of a model, in place, until a share is left. Raises RecipeError (recipe_does_not_fit)."""
    if kept_per_mille == 1000:
        return Layers((), ())
    found = blocks_of(model, parts)
    count = -(-len(found) * kept_per_mille // 1000)
    if len(found) < 2 or count == len(found):
        raise _nothing_to_take(len(found), count)
    kept = _by_answers(model, parts, answers, found, count, progress) if by_answers else _by_place(len(found), count)
    layers = Layers(found, tuple(kept))
    remove_blocks(model, layers.gone)
    return layers


def _nothing_to_take(found: int, count: int) -> RecipeError:
    """Why no layer goes: there is none, one alone, or all are to stay."""
    hint = "Prune its channels (prune_structured), or declare a student (--student)."
    if found == 0:
        message = "The model has no layer that can be taken out: none gives what it takes, so that the next could do without it."
    elif found == 1:
        message = (
            "The model has one layer that could be taken out; a student of layers needs two or more to choose from."
        )
    else:
        message = f"All {found} layers that can be taken out are to stay ({count} of {found} by layers_kept_per_mille)."
        hint = "Keep fewer layers, prune its channels (prune_structured), or declare a student (--student)."
    return RecipeError("recipe_does_not_fit", message, hint)


def _by_place(layers: int, count: int) -> list[int]:
    """Evenly spread, the first and the last among them; a single one is the first."""
    return sorted({round(place) for place in np.linspace(0, layers - 1, count)})


def _by_answers(
    model: onnx.ModelProto,
    parts: Parts,
    answers: Sequence[Answer],
    found: Sequence[Block],
    count: int,
    progress: Progress,
) -> list[int]:
    """Without one layer after the other, each time the one that changes the answers least; the later of equal ones."""
    kept, done = list(range(len(found))), 0
    total = sum(range(count + 1, len(found) + 1))
    with _trying(model, parts, answers) as change:
        while len(kept) > count:
            gone = [block for place, block in enumerate(found) if place not in kept]
            changes = {}
            for place in kept:
                progress(STAGE, done, total, "layers tried: what the answers are without each")
                changes[place] = change([*gone, found[place]])
                done += 1
            kept.remove(min(kept, key=lambda place: (changes[place], -place)))
    return kept


@contextmanager
def _trying(
    model: onnx.ModelProto, parts: Parts, answers: Sequence[Answer]
) -> Iterator[Callable[[Sequence[Block]], float]]:
    """Gives how far a model's answers to a few learning rows change without some layers, as a loss."""
    from compression_engine.training.device import CPU, settled
    from compression_engine.training.losses import FromTeacher
    from compression_engine.training.teacher import teaching

    training = parts.training
    drawn = np.random.default_rng([training.seed, training.step, _DRAW]).permutation(parts.learning)
    few = replace(
        parts, training=replace(training, teacher=None), learning=np.sort(drawn[:_ROWS_TRIED]), validation=drawn[:0]
    )
    # both are the same model here, and end alike
    loss = FromTeacher(tuple(replace(answer, teacher_form=answer.form) for answer in answers))
    with teaching(few, model, answers) as taught, settled(CPU):
        yield lambda gone: _change(_without(model, gone), few, loss, taught)


def _change(model: onnx.ModelProto, parts: Parts, loss: FromTeacher, taught: Taught) -> float:
    import torch

    names, total = [answer.name for answer in loss.answers], 0.0
    with scratch("pressmark-model-") as folder:
        opened = watched(model, names, folder / "model.onnx")
        size = parts.encoder.fixed_rows or BATCH_ROWS
        for start in range(0, len(parts.learning), size):
            batch = parts.batch(parts.learning[start : start + size], taught=taught)
            given = zip(
                opened.output_names, opened.run(parts.encoder.batch(_filled(batch.rows, size, parts))), strict=True
            )
            outputs = {name: torch.from_numpy(np.array(array)) for name, array in given}
            total += float(loss(outputs, batch)) * len(batch.rows)
    return total / len(parts.learning)


def _filled(rows: Indices, size: int, parts: Parts) -> list[int]:
    """As many rows as a fixed first dimension wants, the last of them again and again."""
    fed: list[int] = rows.tolist()
    return fed + fed[-1:] * (size - len(fed)) if parts.encoder.fixed_rows else fed


def _without(model: onnx.ModelProto, gone: Sequence[Block]) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    remove_blocks(copy, gone)
    return copy


def _ports(model: onnx.ModelProto, what: str) -> dict[str, str]:
    """Inputs or outputs by name: type and sizes, a free one as ?."""
    weights = {tensor.name for tensor in model.graph.initializer}
    found = {}
    for value in model.graph.input if what == "input" else model.graph.output:
        if value.name not in weights:
            kind = value.type.tensor_type
            sizes = [str(entry.dim_value) if entry.HasField("dim_value") else "?" for entry in kind.shape.dim]
            found[value.name] = f"{onnx.TensorProto.DataType.Name(kind.elem_type).lower()} [{', '.join(sizes)}]"
    return found


def _told(port: str | None) -> str:
    return "missing" if port is None else port

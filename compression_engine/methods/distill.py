"""Makes a smaller student learn what a teacher answers.

How: the student is the model without some of its layers (`distillation.student`) or channels (`distillation.width`), or another
model that is handed in. It learns a teacher's answers (`training.losses`), with labels beside them where the recipe says so, and,
where it asks for hints, what leaves the teacher's layers (`training.hints`). The teacher is the model that the recipe began
with, or one that is named. Sources: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015; Romero et al.,
"FitNets", 2015; Sanh et al., "DistilBERT", 2019.

Rules:
- what is best on rows that are held out is kept, the student as it began among it;
- each of the student's layers is paired with the teacher's that stands where the student's next one begins; where the models are
  different ones, by their place in the whole;
- tables in which rows are looked up stay as they are unless the recipe says otherwise;
- a model that carries a state learns the answer that is judged along whole sequences, without hints;
- what the student is made of, and how training went, is in the report.

Limits: nothing is distilled from the attention maps.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import onnx

from compression_engine.canonical import JSON
from compression_engine.errors import RecipeError
from compression_engine.formats.onnx_graph import STANDARD, uses
from compression_engine.methods.distillation.blocks import Block
from compression_engine.methods.distillation.student import Layers, Shapes, blocks_of, declared, derive, shapes_of
from compression_engine.methods.distillation.width import WHOLE, Narrowed, narrow
from compression_engine.methods.report import Report
from compression_engine.methods.trained_weights import Told, write_trained
from compression_engine.progress import Progress
from compression_engine.recipe import Value, integer_of
from compression_engine.training.schedule import schedule_of

if TYPE_CHECKING:
    from compression_engine.training.hints import Pair
    from compression_engine.training.material import Parts, Training

_HINTS_DRAW = 10
"""Which of a step's draws the maps between widths are."""
_TOLD = Told(
    frozen="rows are looked up in it, and the recipe does not train such tables",
    nothing_better="no epoch answered the held-out rows better than the student did at the beginning",
)


def apply(
    model: onnx.ModelProto, parameters: dict[str, Value], report: Report, progress: Progress, training: Training
) -> None:
    """Puts the student in the place of a model and trains it; `report` says what it is made of and how training went.

    Raises RecipeError (recipe_does_not_fit), EngineError (teacher_does_not_fit, student_does_not_fit, cannot_be_trained, ...) and
    DataError as `Training.parts` does.
    """
    from compression_engine.training.graph_inputs import judged_output
    from compression_engine.training.hints import Hints
    from compression_engine.training.lesson import told_by
    from compression_engine.training.loop import Beside, fit
    from compression_engine.training.losses import BOTH, TEACHER, Mixed, answers_of, loss_of
    from compression_engine.training.network import Network
    from compression_engine.training.teacher import check_fits, teacher_model

    alpha, temperature = (
        integer_of(parameters["alpha_percent"]) / 100,
        integer_of(parameters["temperature_percent"]) / 100,
    )
    kind = TEACHER if alpha == 1 else BOTH
    is_declared = parameters["student"] == "declared"
    if is_declared:
        declared(model, training)
    teacher = teacher_model(training)
    parts = training.parts(model, labelled=kind == BOTH, progress=progress)
    judged = judged_output(model, training.plan)
    answers = answers_of(model, training.plan, judged, teacher)
    if training.plan.states:
        _refuse_hints(parameters)
        answers = [answer for answer in answers if answer.name == judged]
    check_fits(model, teacher, answers)
    before = _weights(model)
    layers, narrowed = Layers((), ()), Narrowed({}, WHOLE)
    if not is_declared:
        share, by = integer_of(parameters["layers_kept_per_mille"]), parameters["layers_by"] == "answers"
        layers = derive(model, parts, answers, kept_per_mille=share, by_answers=by, progress=progress)
        narrowed = narrow(model, parts, integer_of(parameters["width_per_mille"]), progress)
    network = Network(model, device=training.device)
    loss = loss_of(kind, training.plan, answers, judged, temperature=temperature, alpha=alpha)
    pairs: list[Pair] = []
    if parameters["hints"]:
        pairs = _pairs(model, teacher, layers, parts)
        hints = Hints(pairs, [training.seed, training.step, _HINTS_DRAW], training.device)
        loss = Mixed(((1.0, loss), (integer_of(parameters["hints_percent"]) / 100, hints)))
    frozen = frozenset() if parameters["train_embeddings"] else _tables(model)
    taps = [pair.teacher for pair in pairs]
    with told_by(parts, teacher, answers, judged, taps=taps, temperature=temperature, progress=progress) as taught:
        beside = Beside(frozen=frozen & network.weights.keys(), taught=taught)
        curve = fit(network, parts, loss, schedule_of(parameters), progress=progress, beside=beside)
    report.train(curve.document() | {"student": _made_of(is_declared, layers, pairs) | narrowed.document()})
    _tell_gone(before, _weights(model), layers, report)
    write_trained(model, network, curve, frozen, _TOLD, report, narrowed.told())


def _refuse_hints(parameters: dict[str, Value]) -> None:
    if parameters["hints"]:
        hint = "Leave out hints: the answers of a model that carries a state are learned along whole sequences."
        raise RecipeError("recipe_does_not_fit", "Hints are not given to models that carry a state.", hint)


def _pairs(model: onnx.ModelProto, teacher: onnx.ModelProto, layers: Layers, parts: Parts) -> list[Pair]:
    """Which of the student's tensors are to be near which of the teacher's. Raises RecipeError (recipe_does_not_fit)."""
    from compression_engine.training.hints import pair_of

    ours, theirs = shapes_of(model, parts), shapes_of(teacher, parts)
    names = _of_one_model(layers, theirs) or _by_share(blocks_of(model, parts), blocks_of(teacher, parts))
    found = [pair_of(one, other, ours[one], theirs[other]) for one, other in names if one in ours and other in theirs]
    pairs = [pair for pair in found if pair is not None]
    if not pairs:
        hint = "Leave out hints, or take a teacher that is built of layers of the same form."
        raise RecipeError("recipe_does_not_fit", "No layers of student and teacher can be paired for hints.", hint)
    return list(dict.fromkeys(pairs))


def _of_one_model(layers: Layers, theirs: Shapes) -> list[tuple[str, str]]:
    """A kept layer's end, and where the next kept one began; empty where the teacher is another model."""
    found = []
    for number, place in enumerate(layers.kept):
        block = layers.found[place]
        following = layers.kept[number + 1] if number + 1 < len(layers.kept) else len(layers.found)
        same = [other for other in layers.found[place:following] if other.group == block.group]
        found.append((block.end, same[-1].end))
    return found if found and all(name in theirs for _, name in found) else []


def _by_share(ours: Sequence[Block], theirs: Sequence[Block]) -> list[tuple[str, str]]:
    """The ends of the student's layers with those of the teacher's that stand at the same share of the whole."""
    return [
        (block.end, theirs[max(1, round((place + 1) * len(theirs) / len(ours))) - 1].end)
        for place, block in enumerate(ours)
        if theirs
    ]


def _tables(model: onnx.ModelProto) -> frozenset[str]:
    """Weights that are only looked up by number."""
    read = uses(model.graph)
    return frozenset(
        tensor.name
        for tensor in model.graph.initializer
        if read.get(tensor.name)
        and all(
            use.node.op_type == "Gather" and use.node.domain in STANDARD and use.index == 0 for use in read[tensor.name]
        )
    )


def _weights(model: onnx.ModelProto) -> list[str]:
    return [tensor.name for tensor in model.graph.initializer]


def _made_of(is_declared: bool, layers: Layers, pairs: Sequence[Pair]) -> dict[str, JSON]:
    """What the student is, for the result: layers by the names of what enters and leaves them in the model it was derived from."""
    return {
        "begun_as": "declared" if is_declared else "derived",
        "hints": [{"student": pair.student, "teacher": pair.teacher} for pair in pairs],
        "layers_begin": [block.begin for block in layers.found],
        "layers_found": [block.end for block in layers.found],
        "layers_kept": [layers.found[place].end for place in layers.kept],
    }


def _tell_gone(before: Sequence[str], left: Collection[str], layers: Layers, report: Report) -> None:
    """Says of the weights that the student lacks with which layer they went."""
    total = len(layers.found)
    for place, block in enumerate(layers.found):
        for name in block.weights:
            if place not in layers.kept and name in before and name not in left:
                report.change(name, f"taken out with layer {place + 1} of {total}")

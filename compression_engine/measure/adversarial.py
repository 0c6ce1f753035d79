"""Which answers stand when rows are moved against the model, beside its parent on the same rows.

Rules:
- asked where the plan has `attack`: how far, how many steps, starts and queries, how many rows; a figure's name says how far;
- the same rows for both models, drawn by the seed; a row counts where it is answered rightly as it is and after every attack:
  along the model's own gradients, along the other model's, and without any (`attacks`). What the last two found stands by itself: a
  model whose gradients lead nowhere hides, and does not stand (Athalye, Carlini and Wagner 2018);
- a quantised model has no gradients: it is attacked along its parent's and without any, and the figure says so; where there
  are no queries either, so is one whose gradients are zero on every row, behind a Round or a step: steps along them try nothing;
- where no attack is left there is no figure;
- right is the label; where there is none, the model's own answer to the row as it is;
- only classes of rows of real numbers; what cannot be asked is said with the reason;
- what was found for a model is kept (`Context.stages`): a run that was killed does not ask for it again.
An attack that found nothing proves nothing: the figures are upper bounds of what stands (Carlini et al. 2019).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import PARENT, VERSION, Outputs
from compression_engine.canonical import JSON
from compression_engine.data import Encoder
from compression_engine.errors import EngineError
from compression_engine.formats import onnx_io
from compression_engine.measure import scores
from compression_engine.measure.context import Context, Found
from compression_engine.measure.kept import digest_of_rows, kept
from compression_engine.measure.robustness import read_alike
from compression_engine.measure.statistics.intervals import paired_share_interval, share_interval
from compression_engine.plan import PlannedAttack
from compression_engine.result import Measurement
from compression_engine.runtime import batch_at, judged_output
from compression_engine.training.device import CPU, settled
from compression_engine.training.disturbing import Rooms

if TYPE_CHECKING:
    from compression_engine.measure.attacks import Attacked, Slope

METHOD, METHOD_VERSION = "answers_on_moved_rows", "1"
KIND = STAGE = "adversarial"
OWN, OTHERS, SQUARES = "own_gradients", "other_gradients", "no_gradients"
"""The attacks in their order: each is made on the rows that stood those before it."""
_CLEAN = "clean"
_NAMES = {VERSION: "the model", PARENT: "the original"}
_NOWHERE = "its gradients are zero, or no numbers, on every row"
_UNATTACKED = "no attack could be made"
_ROWS_AT_ONCE = 64
_CLASSES_ONLY = "only answers that are classes can be said to stand"
Stood = NDArray[np.bool_]


@dataclass(frozen=True)
class _Standing:
    """Which rows were answered rightly, as they are and behind each attack and those before it, [rows]; why one was not made."""

    clean: Stood
    after: Mapping[str, Stood]
    reasons: Mapping[str, str]

    @property
    def last(self) -> Stood:
        """After everything."""
        return self.after[SQUARES]


def measure(context: Context) -> list[Found]:
    """Which answers stand, of the version and its parent; needs the models, and a plan with `attack`.

    Evidence of the kind `adversarial`, unit share. Raises EngineError (output_does_not_run).
    """
    attack, encoder = context.plan.attack, context.encoder
    if attack is None or encoder is None or VERSION not in context.models or len(encoder.rows) != len(context.outputs):
        return []
    if context.plan.task != "classification" or context.outputs.answer(VERSION).offsets is not None:
        return [_untold(attack, _CLASSES_ONLY)]
    try:
        rooms = Rooms.of(encoder, attack.epsilon_per_mille / 1000, attack.scale)
    except EngineError as error:
        return [_untold(attack, error.message.rstrip("."))]
    context = replace(context, plan=read_alike(context.outputs, context.plan))
    drawn = np.random.default_rng(context.seed).permutation(len(context.outputs))[: attack.rows]
    rows = np.sort(drawn)
    with settled(CPU):
        found = _answered(context, encoder, attack, rooms, rows)
    facts = [*attack.document().items(), ("rows", len(rows)), ("ranges", "; ".join(rooms.told))]
    facts += [(f"{role}_{name}", why) for role, one in found.items() for name, why in one.reasons.items()]
    told = [(f"attack_{name}", str(value)) for name, value in facts]
    labelled = context.outputs.labels is not None
    figures = _figures("accuracy" if labelled else "agreement", found, attack)
    return [Found(KIND, METHOD, figures, seed=context.seed, method_version=METHOD_VERSION, facts=told)]


def _untold(attack: PlannedAttack, reason: str) -> Found:
    plain = f"Which answers stand when rows are moved against the model was not measured: {reason}."
    missing = Measurement(_within("accuracy", attack), None, "share", 0, plain, reason=reason)
    return Found(KIND, METHOD, [missing], method_version=METHOD_VERSION)


def _answered(
    context: Context, encoder: Encoder, attack: PlannedAttack, rooms: Rooms, rows: NDArray[np.intp]
) -> dict[str, _Standing]:
    """What stood of the version and, where there is one, of the parent."""
    from compression_engine.measure.attacks import Answering, Attacked, Slope

    roles = [role for role in (VERSION, PARENT) if role in context.models]
    batch = batch_at(encoder, rows[:1].tolist())
    reference = context.models[PARENT if PARENT in roles else VERSION]
    judged = reference.output_names[judged_output(reference, batch, context.plan.output)]
    slopes: dict[str, Slope | str] = {}
    for role in roles:
        try:
            model = onnx_io.load(onnx_io.weights_file(context.paths[role])).model
            onnx_io.prepare(model)
            slopes[role] = Slope(model, judged)
        except EngineError as error:
            slopes[role] = error.message.rstrip(".")
    answers = {role: _right(context.outputs, role, context) for role in roles}
    for role, slope in slopes.items():
        # with queries `hidden` tells what such gradients only seemed to leave standing; without any nothing does
        if not attack.queries and not isinstance(slope, str) and not _leads(slope, encoder, rows, answers[role], rooms):
            slopes[role] = _NOWHERE
    found = {}
    for number, role in enumerate(roles):
        model_, right = context.models[role], answers[role]
        answering = Answering(model_, judged_output(model_, batch, judged), context.plan.scores == "probabilities")

        def say(message: str, role: str = role, number: int = number) -> None:
            context.progress(STAGE, number, len(roles), f"{_NAMES[role]}: {message}")

        attacked = Attacked(answering, encoder, right, rooms, attack, context.seed, say)
        other = next((slopes[one] for one in roles if one != role), "there is no other model")
        found[role] = _standing(context, attacked, rows, role, slopes[role], other)
    return found


def _leads(slope: Slope, encoder: Encoder, rows: NDArray[np.intp], right: NDArray[np.intp], rooms: Rooms) -> bool:
    """Whether any row can be moved along its gradient; asked piece by piece, so that mostly the first one tells."""
    size = encoder.fixed_rows or _ROWS_AT_ONCE
    pieces = (rows[start : start + size] for start in range(0, len(rows), size))
    return any(slope.leads(batch_at(encoder, piece.tolist()), right[piece], rooms) for piece in pieces)


def _right(outputs: Outputs, role: str, context: Context) -> NDArray[np.intp]:
    """What is right for each row: its label, without labels what the model answers to it as it is."""
    if outputs.labels is not None:
        return scores.labels(outputs, context.plan)
    return scores.predicted(outputs, role, context.plan)


def _standing(
    context: Context, attacked: Attacked, rows: NDArray[np.intp], role: str, own: Slope | str, other: Slope | str
) -> _Standing:
    """Attack by attack, each on what stood those before it; taken from what was kept where that is there."""
    reasons = {name: slope for name, slope in ((OWN, own), (OTHERS, other)) if isinstance(slope, str)}
    if not attacked.attack.queries:
        reasons[SQUARES] = "the plan asks for no queries"

    def asked() -> dict[str, NDArray[np.float64]]:
        standing = attacked.clean(rows)
        found = {_CLEAN: standing.astype(np.float64)}
        for name, slope in ((OWN, own), (OTHERS, other), (SQUARES, None)):
            left = np.flatnonzero(standing)
            standing = standing.copy()
            if name == SQUARES and name not in reasons:
                standing[left] = attacked.by_squares(rows[left])
            elif slope is not None and not isinstance(slope, str):
                # another model's gradients are a guess, which more starts hardly better
                restarts = attacked.attack.restarts if name == OWN else 1
                standing[left] = attacked.by_gradients(rows[left], slope, restarts)
            found[name] = standing.astype(np.float64)
        return found

    inputs: dict[str, JSON] = {
        "attack": attacked.attack.document(),
        "method_version": METHOD_VERSION,
        "role": role,
        "rows": digest_of_rows(rows),
    }
    columns = kept(context.stages, STAGE, inputs, [_CLEAN, OWN, OTHERS, SQUARES], asked)
    after = {name: columns[name] == 1 for name in (OWN, OTHERS, SQUARES)}
    return _Standing(columns[_CLEAN] == 1, after, reasons)


def _within(metric: str, attack: PlannedAttack) -> str:
    """A figure's name says how far rows were moved: one of small moves must not pass for one of large ones."""
    return f"{metric}_within_{attack.epsilon_per_mille}_per_mille"


def _figures(metric: str, found: Mapping[str, _Standing], attack: PlannedAttack) -> list[Measurement]:
    own = found[VERSION]
    where = f"when each number may be moved by {attack.epsilon_per_mille} thousandths of its range"
    how = f"{attack.steps} steps, {attack.restarts} starts, {attack.queries} queries"
    name = _within(metric, attack)
    if set(own.reasons) >= {OWN, OTHERS, SQUARES}:
        return [_untried(name, own), *_by_attack(metric, own, attack)]
    made = [_share(name, own.last, f"{where} ({how}), the model's answers stand on")]
    if metric == "accuracy":
        made.append(_share(f"clean_{metric}", own.clean, "as they are, the model answers rightly on"))
    made.append(_share(f"{name}_loss", own.clean & ~own.last, f"{where}, right answers of the model fall on"))
    made += _by_attack(metric, own, attack)
    if PARENT not in found:
        return made
    theirs = found[PARENT]
    made.append(_share(f"parent_{name}", theirs.last, f"{where}, the original's answers stand on"))
    if metric == "accuracy":
        made.append(_share(f"parent_clean_{metric}", theirs.clean, "as they are, the original answers rightly on"))
    return [*made, _difference(name, own.last, theirs.last)]


def _untried(metric: str, own: _Standing) -> Measurement:
    plain = f"Which answers stand when rows are moved against the model was not measured: {_UNATTACKED}."
    return Measurement(metric, None, "share", 0, plain, reason=f"{_UNATTACKED}: {own.reasons[OWN]}")


def _by_attack(metric: str, own: _Standing, attack: PlannedAttack) -> list[Measurement]:
    """What stood after each attack, and what only those without the model's own gradients found."""
    words = {
        OWN: "its own gradients",
        OTHERS: "the other model's gradients too",
        SQUARES: "tries without gradients too",
    }
    made, name = [], _within(metric, attack)
    for way, said in words.items():
        slice_ = (("attack", way),)
        if way in own.reasons:
            plain = f"What stands {said} was not measured: {own.reasons[way]}."
            made.append(Measurement(name, None, "share", 0, plain, reason=own.reasons[way], slice=slice_))
        else:
            made.append(_share(name, own.after[way], f"against {said}, the model's answers stand on", slice_))
    if OWN not in own.reasons and not {OTHERS, SQUARES} <= set(own.reasons):
        said = "answers stand the model's own gradients and fall otherwise, which gradients that lead nowhere would explain, on"
        made.append(_share(_within("hidden", attack), own.after[OWN] & ~own.last, said))
    return made


def _share(metric: str, rows: Stood, said: str, slice_: Sequence[tuple[str, str]] = ()) -> Measurement:
    count, n = int(rows.sum()), len(rows)
    low, high = share_interval(count, n)
    plain = f"{said[0].upper()}{said[1:]} {count} of {n} rows ({100 * count / n:.1f} %)."
    return Measurement(metric, count / n, "share", n, plain, low=low, high=high, slice=slice_)


def _difference(metric: str, ours: Stood, theirs: Stood) -> Measurement:
    lost, won, n = int((theirs & ~ours).sum()), int((ours & ~theirs).sum()), len(ours)
    low, high = paired_share_interval(lost, won, n)
    value = (won - lost) / n
    more = f"{100 * abs(value):.1f} points {'more' if won > lost else 'less'}"
    plain = f"Of the model's answers {more} stand than of the original's, on {n} rows moved against each."
    if low <= 0 <= high:
        plain = f"What stands of the model's answers is not shown to differ from what stands of the original's, on {n} rows."
    return Measurement(f"{metric}_difference", value, "share", n, plain, low=low, high=high)

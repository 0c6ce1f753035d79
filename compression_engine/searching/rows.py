"""Which rows recipes are chosen on, and which are held back: the promise is judged on rows that nothing was chosen on.

Rules:
- where no held-back rows are given, half of the evaluation's are: by the digests of what the model gets of them, in an order that
  the seed decides, so that neither their order in the file nor repeated rows matter: equal rows are on one side;
- of each slice, and of what slices have in common, every other row goes to either side; sequences are never parted;
- rows that are given as held back and stand in the evaluation or the calibration are refused (evaluation_seen), and so are rows
  of the evaluation that stand in the calibration;
- held-back rows that are nearly the same as one of the choice (`data.alike`) are counted and told, however the rows were parted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compression_engine import seen
from compression_engine.answers.answering import usable
from compression_engine.answers.outputs import VERSION
from compression_engine.canonical import JSON
from compression_engine.data import Encoder, read_rows
from compression_engine.data.labels import sequence_numbers, slices_of
from compression_engine.errors import DataError
from compression_engine.opening import ModelFile, Opened, other_rows
from compression_engine.plan import Plan
from compression_engine.progress import Progress
from compression_engine.runtime import Model

CHOICE, HELD_BACK = "choice", "held-back"
_ORDER_ROWS_LEAST = 64


@dataclass(frozen=True)
class Files:
    """The files of rows; without `held_back` the evaluation is parted."""

    evaluation: Path
    calibration: Path | None = None
    held_back: Path | None = None


@dataclass(frozen=True)
class Parts:
    """The rows by what they are for, as the model takes them."""

    choice: Encoder
    held_back: Encoder
    parted: bool
    near: int
    """How many held-back rows are nearly the same as one of the choice."""

    def records(self, plan: Plan) -> list[dict[str, JSON]]:
        """How a record names them."""
        return [_record(CHOICE, self.choice, plan, None), _record(HELD_BACK, self.held_back, plan, self.near)]


def parts_of(
    files: Files, file: ModelFile, model: Model, tokenizer: Path | None, plan: Plan, seed: int, progress: Progress
) -> Parts:
    """Reads, checks and parts the rows. Raises DataError."""
    models = {VERSION: model}
    evaluation = _read(files.evaluation, models, tokenizer, plan)
    opened = Opened({VERSION: file}, models, evaluation, tokenizer)
    strangers = [] if files.calibration is None else [files.calibration]
    if files.held_back is None:
        _refuse_seen(opened, evaluation, strangers, progress)
        chosen, others = (evaluation.only(indices) for indices in split(evaluation, plan, seed, progress))
        return Parts(chosen, others, parted=True, near=_near(others, chosen, progress))
    held = _read(files.held_back, models, tokenizer, plan)
    _refuse_seen(opened, evaluation, strangers, progress)
    _refuse_seen(opened, held, [*strangers, files.evaluation], progress)
    return Parts(evaluation, held, parted=False, near=_near(held, evaluation, progress))


def split(encoder: Encoder, plan: Plan, seed: int, progress: Progress) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The indices of both halves, ascending. Raises DataError (no_usable_row) where there is nothing to part."""
    digests = _digests(encoder, plan, progress)
    salt, strata = str(seed).encode(), _strata(encoder, plan, digests)
    order = sorted(strata, key=lambda digest: (strata[digest], hashlib.sha256(salt + b" " + digest).digest()))
    if len(order) < 2:
        hint = "Give more rows, or others as held back: the promise is judged on rows that nothing was chosen on."
        raise DataError("no_usable_row", f"The evaluation has {len(order)} row that differs, so none is left.", hint)
    chosen = set(order[1::2])
    mask = np.array([digest in chosen for digest in digests])
    return np.flatnonzero(mask).astype(np.int64), np.flatnonzero(~mask).astype(np.int64)


def together(encoder: Encoder, plan: Plan, progress: Progress) -> NDArray[np.int64] | None:
    """Equal numbers for rows that say the same thing once more: equal rows, and those of one sequence or of equal ones, [rows].

    None where every row stands alone.
    """
    digests = _digests(encoder, plan, progress)
    kinds, numbers = np.unique([digest + b"|" for digest in digests], return_inverse=True)
    return None if len(kinds) == len(digests) else numbers.astype(np.int64)


def _digests(encoder: Encoder, plan: Plan, progress: Progress) -> list[bytes]:
    """What tells each row apart, or the sequence that it belongs to."""
    digests = [bytes(entry) for entry in seen.comparable(seen.row_digests(encoder, progress))]
    numbers = sequence_numbers(encoder.rows, plan)
    if numbers is None:
        return digests
    joined: dict[int, list[bytes]] = {}
    for number, digest in zip(numbers.tolist(), digests, strict=True):
        joined.setdefault(number, []).append(digest)
    whole = {number: hashlib.sha256(b"".join(parts)).digest() for number, parts in joined.items()}
    return [whole[number] for number in numbers.tolist()]


def _strata(encoder: Encoder, plan: Plan, digests: Sequence[bytes]) -> dict[bytes, tuple[int, ...]]:
    """The slices that each digest stands in; the first in their order where equal rows stand in several."""
    columns = [column.codes.tolist() for column in slices_of(encoder.rows, plan).values()]
    found: dict[bytes, tuple[int, ...]] = {}
    for index, digest in enumerate(digests):
        codes = tuple(column[index] for column in columns)
        found[digest] = min(found.get(digest, codes), codes)
    return found


def ordering_rows(encoder: Encoder, plan: Plan) -> NDArray[np.intp]:
    """Some rows to order weights by: 64, spread evenly, or whole sequences until there are as many."""
    total = len(encoder.rows)
    numbers = sequence_numbers(encoder.rows, plan)
    if numbers is None:
        return np.unique(np.linspace(0, total - 1, min(total, _ORDER_ROWS_LEAST)).astype(np.intp))
    ends = np.flatnonzero(np.diff(numbers, append=numbers[-1] + 1)) + 1
    enough = ends[ends >= min(total, _ORDER_ROWS_LEAST)]
    return np.arange(int(enough[0]))


def _read(path: Path, models: Mapping[str, Model], tokenizer: Path | None, plan: Plan) -> Encoder:
    encoder = Encoder(read_rows(path, plan), models[VERSION].inputs(), tokenizer, plan)
    return usable(models, encoder, plan)


def _refuse_seen(opened: Opened, encoder: Encoder, files: Sequence[Path], progress: Progress) -> None:
    if files:
        # which sequence a row was in does not matter, and rows of calibration need not say it
        found = seen.seen_rows(encoder, [other_rows(opened, path, _bare(encoder.plan)) for path in files], progress)
        if found.same.any():
            raise seen.refusal(encoder, found, files)


def _near(held_back: Encoder, choice: Encoder, progress: Progress) -> int:
    return int(seen.seen_rows(held_back, [choice], progress).near.sum())


def _bare(plan: Plan) -> Plan:
    return Plan(inputs=plan.inputs, text=plan.text, max_tokens=plan.max_tokens, states=plan.states, sequence=None)


def _record(use: str, encoder: Encoder, plan: Plan, near: int | None) -> dict[str, JSON]:
    numbers = sequence_numbers(encoder.rows, plan)
    count = None if numbers is None else len(np.unique(numbers))
    return {"digest": encoder.rows.digest, "near_rows": near, "rows": len(encoder.rows), "sequences": count, "use": use}

"""From the frames of a sequence model to the sequence that it means, and how far that is from the right one.

Sources: greedy decoding of connectionist temporal classification (Graves et al. 2006): the best symbol of each frame, repeats
merged, blanks dropped; edit distance (Levenshtein 1966), counted by rapidfuzz.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import Array, Field
from compression_engine.errors import DataError
from compression_engine.measure.statistics.intervals import Floats
from compression_engine.plan import Plan

Symbols = tuple[int, ...]


def decoded(answer: Field, plan: Plan) -> list[Symbols]:
    """The sequence that each row means. Without a blank in the plan every frame is a symbol of its own."""
    return [collapsed(row, plan.blank) for row in best_symbols(answer, plan)]


def collapsed(frames: NDArray[np.intp], blank: int | None) -> Symbols:
    """Repeats merged and blanks dropped; without a blank the frames as they are."""
    if blank is None:
        return tuple(frames.tolist())
    changes = np.concatenate(([True], frames[1:] != frames[:-1])) if len(frames) else np.zeros(0, dtype=bool)
    return tuple(frames[changes & (frames != blank)].tolist())


def best_symbols(answer: Field, plan: Plan) -> list[NDArray[np.intp]]:
    """The index of the best symbol of each frame, for each row; raises DataError where frames cannot be told apart."""
    return [frames(answer, index, plan).argmax(axis=1) for index in range(len(answer))]


def frames(answer: Field, index: int, plan: Plan) -> Array:
    """One row as [frames, symbols]; flat rows are cut by the number of symbols that the plan names."""
    row = answer.row(index)
    if row.ndim == 2:
        return row
    symbols = len(plan.classes)
    if row.ndim != 1 or not symbols or row.size % symbols:
        known = f"{symbols} symbols" if symbols else "no symbols"
        message = f"Row {index + 1} has {row.size} scores and the plan names {known}, so its frames are not known."
        hint = (
            "List the symbols of the alphabet, the blank included, under classes, in the order of the model's output."
        )
        raise DataError("data_does_not_fit", message, hint)
    return row.reshape(-1, symbols)


def label_sequences(field: Field, plan: Plan) -> list[Symbols]:
    """The right sequence of each row: token ids (negative ones are padding), or texts spelled with the plan's symbols."""
    if field.values.dtype.kind in "USO":
        return [_spelled(str(field.row(index).reshape(-1)[0]), plan.classes, index) for index in range(len(field))]
    found = []
    for index in range(len(field)):
        row = field.row(index).reshape(-1)
        if row.dtype.kind == "f":
            row = np.where(np.isfinite(row), row, -1)
            broken = row[row != np.floor(row)]
            if len(broken):
                message = f"The label of row {index + 1} holds {float(broken[0]):g}, which is no number of a symbol."
                hint = "Give whole numbers of symbols; negative ones are padding."
                raise DataError("data_does_not_fit", message, hint)
        found.append(tuple(int(symbol) for symbol in row if symbol >= 0))
    return found


def edit_distances(found: Sequence[Symbols], right: Sequence[Symbols]) -> Floats:
    """Insertions, deletions and substitutions that make the one of the other, each counting 1; [rows]."""
    from rapidfuzz.distance import Levenshtein

    return np.array([Levenshtein.distance(a, b) for a, b in zip(found, right, strict=True)], dtype=np.float64)


def _spelled(text: str, classes: Sequence[str], index: int) -> Symbols:
    numbers = {name: number for number, name in enumerate(classes)}
    missing = sorted({symbol for symbol in text if symbol not in numbers})
    if missing:
        message = f"The label of row {index + 1} holds {missing[0]!r}, which is no symbol of the plan."
        raise DataError("data_does_not_fit", message, "List every symbol of the labels under classes.")
    return tuple(numbers[symbol] for symbol in text)

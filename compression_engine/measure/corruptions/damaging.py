"""Damages chosen rows of an encoder: says what kind of input they are, what can happen to them, and makes it happen.

Rules:
- the modality is the plan's; where it says nothing: text for texts, images for three or four axes, sound for long rows of
  numbers around zero, records for other floats; token ids and the like are left alone;
- what the damage is scaled by (range, level, columns) is taken from the undamaged rows;
- each row's damage is drawn from seed, corruption and the row's place: it depends on no other row, and a severer one of
  the same corruption strikes where the milder did.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from compression_engine.data import Array, Encoder, Rows
from compression_engine.measure.corruptions import audio, image, tabular, text
from compression_engine.plan import Plan

SEVERITIES = (1, 2, 3, 4, 5)
KINDS: Mapping[str, Sequence[str]] = {
    "audio": list(audio.CORRUPTIONS),
    "image": list(image.CORRUPTIONS),
    "tabular": list(tabular.CORRUPTIONS),
    "text": list(text.CORRUPTIONS),
}
"""The corruptions of each modality; records suffer those that their columns can."""
_SOUND_SAMPLES_LEAST = 256
Strike = Callable[[str, int], Rows]


@dataclass(frozen=True)
class Damage:
    """Rows that can be damaged: `encoder` holds them whole. Where nothing can, `reason` says why."""

    modality: str
    encoder: Encoder
    names: Sequence[str] = ()
    strike: Strike | None = None
    reason: str | None = None

    def damaged(self, name: str, severity: int) -> Encoder:
        """The rows after one corruption of severity 1 to 5."""
        assert self.strike is not None
        return self.encoder.with_rows(self.strike(name, severity))


def damage_for(
    encoder: Encoder, plan: Plan, places: Array, sequences: Array | None, seed: int, modality: str
) -> Damage:
    """How these rows can be damaged; `places` are their numbers in the whole data, `sequences` the recordings they are of."""
    rows = encoder.rows
    chance = _Chance(seed, places)
    if modality == "text":
        if not len(rows.texts):
            return Damage(modality, encoder, reason="the rows are no texts but what a tokenizer made of them")
        return Damage(modality, encoder, KINDS[modality], _texts(rows, chance))
    arrays = _candidates(rows, modality, given=plan.modality is not None)
    if modality == "image":
        ranges = {name: found for name, array in arrays.items() if (found := image.Range.of(array)) is not None}
        if not ranges:
            return Damage(modality, encoder, reason="no input of the rows lies like an image of 1, 3 or 4 channels")
        return Damage(modality, encoder, KINDS[modality], _arrays(rows, {n: [r] for n, r in ranges.items()}, chance))
    if not arrays:
        return Damage(modality, encoder, reason="no input of the rows holds numbers that can be damaged")
    if modality == "audio":
        levels: dict[str, Sequence[Any]] = {name: _levels(array, sequences) for name, array in arrays.items()}
        return Damage(modality, encoder, KINDS[modality], _arrays(rows, levels, chance))
    columns = {name: tabular.Columns.of(array) for name, array in arrays.items()}
    possible = {name for found in columns.values() for name in found.names}
    names = [name for name in tabular.CORRUPTIONS if name in possible]
    return Damage(modality, encoder, names, _arrays(rows, {n: [c] for n, c in columns.items()}, chance))


def modality_of(encoder: Encoder, plan: Plan) -> str | None:
    """The plan's modality, or what the rows look like; None where nothing fits."""
    rows = encoder.rows
    if plan.modality is not None:
        return plan.modality
    if len(rows.texts):
        return "text"
    floats = [array for array in rows.arrays.values() if array.dtype.kind == "f" or array.dtype == np.uint8]
    if any(array.ndim >= 3 and image.Range.of(np.asarray(array[:1])) is not None for array in floats):
        return "image"
    if not any(array.dtype.kind == "f" and array.ndim <= 2 for array in floats):
        return None
    return "audio" if any(_sounds(array) for array in floats) else "tabular"


@dataclass(frozen=True)
class _Chance:
    seed: int
    places: Array

    def of(self, name: str, row: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(name.encode()), int(self.places[row])])


def _candidates(rows: Rows, modality: str, *, given: bool) -> dict[str, Array]:
    """The inputs that are damaged: all of a record, else the largest of a row; whole numbers only where the plan says so."""
    kinds = "biuf" if given else "f"
    fitting = {
        name: np.asarray(array)
        for name, array in rows.arrays.items()
        if array.dtype.kind in kinds or (modality == "image" and array.dtype == np.uint8)
    }
    if modality == "tabular" or not fitting:
        return fitting
    largest = max(fitting, key=lambda name: fitting[name].size)
    return {largest: fitting[largest]}


def _sounds(array: Array) -> bool:
    """Long rows of numbers within -1..1 that lie on both sides of zero."""
    if array.ndim != 2 or array.shape[1] < _SOUND_SAMPLES_LEAST:
        return False
    sample = np.asarray(array[:64], dtype=np.float64)
    low, high = float(sample.min()), float(sample.max())
    return -1 <= low < 0 < high <= 1 and abs(float(sample.mean())) < 0.1 * max(high, -low)


def _levels(array: Array, sequences: Array | None) -> list[audio.Level]:
    """The level of each row's recording: its sequence, or the row itself."""
    if sequences is None:
        return [audio.Level.of(row) for row in array]
    of_sequence = {number: audio.Level.of(array[sequences == number]) for number in np.unique(sequences)}
    return [of_sequence[number] for number in sequences]


def _texts(rows: Rows, chance: _Chance) -> Strike:
    def strike(name: str, severity: int) -> Rows:
        damaged = (text.corrupt(row, name, severity, chance.of(name, i)) for i, row in enumerate(rows.texts))
        return replace(rows, texts=tuple(damaged))

    return strike


def _arrays(rows: Rows, by: Mapping[str, Sequence[Any]], chance: _Chance) -> Strike:
    """`by` holds for each input what damages its rows: one for all, or one each."""

    def strike(name: str, severity: int) -> Rows:
        arrays = dict(rows.arrays)
        for given, owners in by.items():
            damaged = [
                owners[i if len(owners) > 1 else 0].corrupt(row, name, severity, chance.of(f"{name} {given}", i))
                for i, row in enumerate(np.asarray(rows.arrays[given]))
            ]
            arrays[given] = np.stack(damaged)
        return replace(rows, arrays=arrays)

    return strike

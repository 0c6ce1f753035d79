"""Columns of numbers that models took long to give: kept as they come, so that a run that was killed does not ask for them again.

Rules:
- what is found is what would be made again, to the bit; it is looked for under everything that it was made of (`stage_store`);
- without a folder to go on in, it is made and nothing is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from compression_engine.canonical import JSON, canonical, digest_of
from compression_engine.measure.statistics.intervals import Floats
from compression_engine.stage_store import StageStore

Columns = Mapping[str, Floats]
_COUNT_BYTES = 8


def kept(
    stages: StageStore, stage: str, inputs: Mapping[str, JSON], names: Sequence[str], make: Callable[[], Columns]
) -> Columns:
    """The columns of these names [rows]: those that were kept under these inputs, else what `make` gives, which is then kept.

    `inputs` names what the columns rest on beside models, rows, plan, seed and libraries, on which every key rests.
    """
    key = digest_of(canonical(dict(inputs) | {"columns": list(names)}))
    held = stages.get(stage, key)
    if held is not None:
        return dict(zip(names, _read(held), strict=True))
    made = make()
    parts = [np.ascontiguousarray(made[name], dtype="<f8").tobytes() for name in names]
    stages.put(stage, key, b"".join(len(part).to_bytes(_COUNT_BYTES, "little") + part for part in parts))
    return made


def digest_of_rows(rows: Sequence[int] | np.ndarray[tuple[int], np.dtype[np.int64]]) -> str:
    """SHA-256 of which rows were taken."""
    return digest_of(np.ascontiguousarray(rows, dtype="<i8").tobytes())


def _read(held: bytes) -> list[Floats]:
    found, start = [], 0
    while start < len(held):
        begin = start + _COUNT_BYTES
        start = begin + int.from_bytes(held[start:begin], "little")
        found.append(np.frombuffer(held[begin:start], dtype="<f8").astype(np.float64))
    return found

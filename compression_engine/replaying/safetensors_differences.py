"""How far two models in safetensors are apart, tensor by tensor, piece by piece.

Rules are those of `tensor_differences`; in place of a graph there is which shard holds which tensor, and what index and headers say
beside tensors, but for the facts that we write.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from compression_engine.facts import PREFIX
from compression_engine.formats.safetensors_io import FLOATS, NUMBERS, TensorFile, as_floats
from compression_engine.formats.safetensors_model import TensorModel
from compression_engine.replaying.tensor_differences import Apart, Differences, TensorDifference, worst_first
from compression_engine.structure.safetensors import Entry

_LONG_BYTES = 8
Held = tuple[TensorFile, Entry]


def differences_of_files(recorded: TensorModel, made: TensorModel) -> Differences:
    """How far `made` is from `recorded`; both are read whole, a few MiB at a time. Raises FileRefused (file_truncated)."""
    theirs, ours = ({entry.name: (file, entry) for file, entry in model.tensors()} for model in (recorded, made))
    found = [_difference(name, theirs.get(name), ours.get(name)) for name in {*theirs, *ours}]
    return Differences(worst_first(found), _beside(recorded) == _beside(made))


def _difference(name: str, recorded: Held | None, made: Held | None) -> TensorDifference:
    known = recorded or made
    size = 0 if known is None else known[1].elements
    if recorded is None or made is None:
        why = "it is not in the recorded model" if recorded is None else "it was not made again"
        return TensorDifference(name, size, 0, None, None, False, why)
    kinds = [(entry.dtype, list(entry.shape)) for _, entry in (recorded, made)]
    if kinds[0] != kinds[1]:
        said = [f"{dtype} {shape}" for dtype, shape in kinds]
        return TensorDifference(name, size, 0, None, None, False, f"recorded is {said[0]}, made again {said[1]}")
    dtype = recorded[1].dtype
    if dtype not in FLOATS and (dtype not in NUMBERS or NUMBERS[dtype].itemsize == _LONG_BYTES):
        # float64 does not hold all of these numbers
        same = all(before == after for before, after in _pieces(recorded, made))
        return TensorDifference(name, size, 0 if same else size, None, None, same, None if same else "other values")
    apart = Apart()
    for pair in _pieces(recorded, made):
        apart.add(*(as_floats(np.frombuffer(one, NUMBERS[dtype]), dtype).astype(np.float64) for one in pair))
    return apart.told(name, size, exact=dtype not in FLOATS)


def _pieces(recorded: Held, made: Held) -> Any:
    return zip(recorded[0].pieces(recorded[1]), made[0].pieces(made[1]), strict=True)


def _beside(model: TensorModel) -> tuple[Any, ...]:
    """What stands beside the tensors; a single file's name is nobody's."""
    texts = [
        {name: text for name, text in file.metadata.items() if not name.startswith(PREFIX)} for file in model.files
    ]
    return model.index, texts

"""How far two models are apart, tensor by tensor: what a replay says where the bytes are not the same.

Rules:
- tensors are the initializers of the main graph, matched by name; weights inside of sub-graphs belong to the graph, which must be
  the same but for written facts (metadata, the name of the tool);
- numbers with a point may differ by the tolerance, 0.00001 of the largest magnitude in the recorded tensor; whole numbers
  (quantised weights, zero points, shapes) and all other types by nothing;
- a tensor that is missing, has another type or shape, or holds what is no number in one of the two alone, is outside; so is a name
  that stands twice, because which of the two a runtime takes is not known.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.helper import tensor_dtype_to_np_dtype

from compression_engine.formats.numbers import boxes, opened
from compression_engine.formats.onnx_graph import FLOATS
from compression_engine.formats.onnx_io import graph_digest
from compression_engine.formats.parked import is_parked, numbers_of
from compression_engine.methods.report import digest_of_tensors

TOLERANCE = 1e-5
_NUMBERS_AT_ONCE = 1 << 18
_LONG_BYTES = 8


@dataclass(frozen=True)
class TensorDifference:
    """One tensor of the recorded model against the one that was made again."""

    name: str
    elements: int
    differing: int
    max_abs: float | None
    """The largest difference; None where the two cannot be compared number by number."""
    max_relative: float | None
    """The same as a share of the largest magnitude in the recorded tensor."""
    within: bool
    reason: str | None = None

    @property
    def same(self) -> bool:
        """Not a bit differs."""
        return self.differing == 0 and self.reason is None


@dataclass(frozen=True)
class Differences:
    """All tensors, the worst first, and whether the graphs around them are the same."""

    tensors: list[TensorDifference]
    graph_same: bool

    @property
    def within(self) -> bool:
        """Everything lies within the tolerance."""
        return self.graph_same and all(tensor.within for tensor in self.tensors)

    @property
    def worst(self) -> TensorDifference | None:
        """The tensor that is furthest apart; None where all are the same."""
        return next((tensor for tensor in self.tensors if not tensor.same), None)


def differences(recorded: onnx.ModelProto, made: onnx.ModelProto) -> Differences:
    """How far `made` is from `recorded`; neither is changed."""
    theirs = {tensor.name: tensor for tensor in recorded.graph.initializer}
    ours = {tensor.name: tensor for tensor in made.graph.initializer}
    twice = _standing_twice(recorded) | _standing_twice(made)
    found = [_difference(name, theirs.get(name), ours.get(name)) for name in sorted({*theirs, *ours} - twice)]
    found += [TensorDifference(name, 0, 0, None, None, False, "the name stands twice") for name in sorted(twice)]
    return Differences(worst_first(found), _bare_digest(recorded) == _bare_digest(made))


def worst_first(found: Iterable[TensorDifference]) -> list[TensorDifference]:
    """Those that lie outside before the others; of these what cannot be compared, then by the share that numbers are apart."""
    return sorted(
        found, key=lambda one: (one.within, one.reason is None, -_far(one), -one.differing, -one.elements, one.name)
    )


def _standing_twice(model: onnx.ModelProto) -> set[str]:
    names = [tensor.name for tensor in model.graph.initializer]
    return {name for name, count in Counter(names).items() if count > 1}


def _far(one: TensorDifference) -> float:
    """By which differences are ranked; where the recorded tensor is all zeros any difference is the largest."""
    return one.max_relative if one.max_relative is not None else math.inf if one.differing else 0.0


def _difference(name: str, recorded: onnx.TensorProto | None, made: onnx.TensorProto | None) -> TensorDifference:
    if recorded is None or made is None:
        why = "it is not in the recorded model" if recorded is None else "it was not made again"
        return TensorDifference(name, _size(recorded or made), 0, None, None, False, why)
    if recorded.data_type != made.data_type or list(recorded.dims) != list(made.dims):
        said = [f"{onnx.TensorProto.DataType.Name(one.data_type).lower()} {list(one.dims)}" for one in (recorded, made)]
        return TensorDifference(
            name, _size(recorded), 0, None, None, False, f"recorded is {said[0]}, made again {said[1]}"
        )
    if _is_of_numbers(recorded) and _is_of_numbers(made):
        return _compared(name, recorded, made)
    size, same = _size(recorded), _same_bytes(recorded, made)
    return TensorDifference(name, size, 0 if same else size, None, None, same, None if same else "other values")


def _size(tensor: onnx.TensorProto | None) -> int:
    return 0 if tensor is None else int(np.prod(tensor.dims, dtype=np.int64))


def _is_of_numbers(tensor: onnx.TensorProto) -> bool:
    """Whether float64 holds the numbers of a tensor as they are; not so texts, complex numbers, and some long whole numbers."""
    if tensor.data_type in FLOATS:
        return True
    kind: np.dtype[Any] = np.dtype(tensor_dtype_to_np_dtype(tensor.data_type))
    if is_parked(tensor):
        return bool(kind.kind in "biu" and kind.itemsize < _LONG_BYTES)
    array: NDArray[Any] = numpy_helper.to_array(tensor)
    whole = array.dtype.kind in "biu"
    return bool(
        whole and (array.itemsize < _LONG_BYTES or not array.size or np.abs(array.astype(object)).max() < 2**53)
    )


def _same_bytes(recorded: onnx.TensorProto, made: onnx.TensorProto) -> bool:
    if is_parked(recorded) or is_parked(made):
        return digest_of_tensors([recorded]) == digest_of_tensors([made])
    return bool(recorded.SerializeToString(deterministic=True) == made.SerializeToString(deterministic=True))


def _compared(name: str, recorded: onnx.TensorProto, made: onnx.TensorProto) -> TensorDifference:
    """Number by number, a block at a time."""
    size, found = _size(recorded), Apart()
    flat = [numbers_of(one).reshape(-1) for one in (recorded, made)]
    with opened(flat[0]) as before, opened(flat[1]) as after:
        for box in boxes((size,), _NUMBERS_AT_ONCE):
            found.add(before.part(box).astype(np.float64), after.part(box).astype(np.float64))
    return found.told(name, size, exact=recorded.data_type not in FLOATS)


@dataclass
class Apart:
    """How far two lists of numbers are apart, of which blocks are added."""

    differing: int = 0
    largest: float = 0.0
    scale: float = 0.0
    odd: bool = False
    """Whether somewhere one of the two is a number and the other is none."""

    def add(self, before: NDArray[np.float64], after: NDArray[np.float64]) -> None:
        """Both in the same order."""
        known = np.isfinite(before) & np.isfinite(after)
        odd = ~known & ~((before == after) | (np.isnan(before) & np.isnan(after)))
        apart = np.abs(before[known] - after[known])
        self.differing += int((apart > 0).sum()) + int(odd.sum())
        self.scale = max(self.scale, float(np.abs(before[np.isfinite(before)]).max(initial=0.0)))
        self.largest = max(self.largest, float(apart.max(initial=0.0)))
        self.odd = self.odd or bool(odd.any())

    def told(self, name: str, size: int, *, exact: bool) -> TensorDifference:
        """What was found, of a tensor of `size` numbers; `exact`: whole numbers, which may not differ at all."""
        relative = self.largest / self.scale if self.scale > 0 else (0.0 if self.largest == 0 else None)
        if self.odd:
            why = "a value is a number in one of them alone"
            return TensorDifference(name, size, self.differing, self.largest, relative, False, why)
        within = self.differing == 0 or (not exact and relative is not None and relative <= TOLERANCE)
        return TensorDifference(name, size, self.differing, self.largest, relative, within)


def _bare_digest(model: onnx.ModelProto) -> str:
    """Of the graph without its tensors and without what tools write about themselves."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.metadata_props[:]
    bare.producer_name = bare.producer_version = ""
    return graph_digest(bare)

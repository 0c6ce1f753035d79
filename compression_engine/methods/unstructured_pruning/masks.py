"""Which numbers of which weights become zero: the smallest, by one of three comparisons, or two of every four neighbours.

Comparisons (`scope`):
- layer: each weight loses the same share, its own smallest magnitudes;
- global: magnitudes of all weights are compared as they are (Han, Pool, Tran and Dally, "Learning both weights and connections",
  NeurIPS 2015, compared over the whole net as torch.nn.utils.prune.global_unstructured does);
- adaptive: squared magnitudes as shares of what their weight would still hold with them (LAMP; Lee, Park, Mo, Ahn and Shin,
  "Layer-adaptive sparsity for the magnitude-based pruning", ICLR 2021), so that a layer of small numbers is not emptied.

Rules:
- exactly as many numbers go as the share says, rounded down; among equals the first in the order of the file;
- every weight keeps at least its largest hundredth, so that no layer is cut off;
- what is zero already goes first, so that masks of later rounds hold those of earlier ones;
- 2:4: of four that follow each other along the axis of inputs the two smallest go (Mishra et al., "Accelerating sparse deep
  neural networks", 2021); of equals the later ones. In earlier rounds only a share of the fours, those that lose least.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression_engine.methods.zeros import Mask

Floats = NDArray[Any]
SCOPES = ("adaptive", "global", "layer")
PER_MILLE = 1000
_KEPT_LEAST_PART = 100
_FOUR, _TWO = 4, 2
TWO_OF_FOUR_PER_MILLE = 500


def masks(arrays: Mapping[str, Floats], scope: str, per_mille: int) -> dict[str, Mask]:
    """True where a number becomes zero, by weight; `arrays` are finite floats of any shapes, `scope` is one of SCOPES."""
    if scope == "layer":
        return {name: _smallest({name: np.abs(array)}, per_mille)[name] for name, array in arrays.items()}
    score = np.abs if scope == "global" else _adaptive
    return _smallest({name: score(array) for name, array in arrays.items()}, per_mille)


def two_of_four(arrays: Mapping[str, Floats], axes: Mapping[str, int], per_mille: int) -> dict[str, Mask]:
    """True where a number becomes zero so that `per_mille` (at most 500) of all do, two of a four or none.

    `axes` says for each weight which axis runs along inputs; its length is a multiple of four.
    """
    fours = {name: _fours(np.abs(array), axes[name]) for name, array in arrays.items()}
    order = {name: np.argsort(-four, axis=1, kind="stable") for name, four in fours.items()}
    lost = {name: np.take_along_axis(four, order[name][:, _TWO:], axis=1).sum(axis=1) for name, four in fours.items()}
    chosen = _smallest(lost, min(PER_MILLE, per_mille * PER_MILLE // TWO_OF_FOUR_PER_MILLE), kept_part=None)
    found: dict[str, Mask] = {}
    for name, four in fours.items():
        mask = np.zeros(four.shape, dtype=np.bool_)
        np.put_along_axis(mask, order[name][:, _TWO:], True, axis=1)
        mask &= chosen[name][:, None]
        shape = np.moveaxis(arrays[name], axes[name], -1).shape
        found[name] = np.moveaxis(mask.reshape(shape), -1, axes[name])
    return found


def _fours(magnitudes: Floats, axis: int) -> Floats:
    return np.ascontiguousarray(np.moveaxis(magnitudes, axis, -1)).reshape(-1, _FOUR)


def _adaptive(array: Floats) -> Floats:
    """Each square as a share of the squares that are not smaller; zeros stay zero, the largest is 1."""
    squares = np.square(array.astype(np.float64)).reshape(-1)
    order = np.argsort(squares, kind="stable")
    left = np.cumsum(squares[order][::-1])[::-1]
    scores = np.empty(len(squares), dtype=np.float32)
    scores[order] = np.divide(squares[order], left, out=np.zeros_like(left), where=left > 0)
    return scores.reshape(array.shape)


def _smallest(
    scores: Mapping[str, Floats], per_mille: int, kept_part: int | None = _KEPT_LEAST_PART
) -> dict[str, Mask]:
    """True at the smallest scores of all weights together; none at the largest `1 / kept_part` of each weight."""
    flat = {name: score.reshape(-1) for name, score in scores.items()}
    free = {name: score.size - (-(-score.size // kept_part) if kept_part else 0) for name, score in flat.items()}
    wanted = min(sum(score.size for score in flat.values()) * per_mille // PER_MILLE, sum(free.values()))
    together = np.concatenate([np.where(_first(flat[name], free[name]), flat[name], np.inf) for name in flat])
    taken = _first(together, wanted)
    ends = np.cumsum([score.size for score in flat.values()])
    parts = np.split(taken, ends[:-1])
    return {name: part.reshape(scores[name].shape) for name, part in zip(flat, parts, strict=True)}


def _first(values: Floats, count: int) -> Mask:
    """True at the `count` smallest of values [n]; of equals at those that come first."""
    if count <= 0:
        return np.zeros(len(values), dtype=np.bool_)
    limit = np.partition(values, count - 1)[count - 1]
    mask: Mask = values < limit
    mask[np.flatnonzero(values == limit)[: count - int(np.count_nonzero(mask))]] = True
    return mask

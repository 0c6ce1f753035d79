"""Rounds a weight so that what it does to real inputs changes least: each error is made good by the numbers rounded after it.

How: the squared error of a product over inputs X is e' H e with H = X' X. Numbers are rounded in the order of the inputs; the
error of each, divided by its diagonal entry of the Cholesky factor of H's inverse, is taken from those that follow, for all
output channels at once; corrections of later lazy blocks of 128 inputs are made in one product. H is damped by 1 % of its mean
diagonal. A block's scale is found when its first number is reached, from what the numbers have become by then.
Source: Frantar, Ashkboos, Hoefler and Alistarh, "GPTQ: Accurate post-training quantization for generative pre-trained
transformers", ICLR 2023.

Rules:
- one BLAS thread, so that the sums, and with them the bytes, do not depend on how many there are;
- inputs that are always zero say nothing, their numbers are rounded to the nearest;
- the zeros of a pruned weight (`zeros`) stay zero: what earlier errors would have made of them is an error that later numbers make
  good in turn (as in Frantar and Alistarh, "SparseGPT", ICML 2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from compression_engine.methods.rounding import Floats, Grid, Integers
from compression_engine.methods.zeros import Mask, kept_zeros

_DAMPING = 0.01
_LAZY = 128
Gram = NDArray[np.float64]
"""X' X of inputs [n, inner]: [inner, inner]."""


@dataclass(frozen=True)
class Inputs:
    """What rounding needs to know of the inputs of one or more weights."""

    factor: NDArray[np.float32]
    """The upper Cholesky factor of the inverse of the damped gram matrix; [inner, inner]."""
    importance: NDArray[np.float32]
    """Mean squares of the inputs, the largest 1; [inner]."""

    @classmethod
    def of(cls, gram: Gram) -> Inputs:
        """From a finite gram matrix; one that cannot be inverted is damped until it can."""
        squares = np.diagonal(gram)
        with threadpool_limits(limits=1, user_api="blas"):
            return cls(_factor(gram), (squares / (squares.max() or 1)).astype(np.float32))


def round_rows(rows: Floats, inputs: Inputs, grid: Grid, kind: np.dtype[Any]) -> tuple[Integers, Floats, Floats]:
    """Rounds `rows` [channels, inner] for these inputs.

    Returns integers [channels, blocks, size], scales and zero points [channels, blocks] in float32; `size` is that of a block, or
    `inner` where channels stay whole; what fills up the last block is zero. Raises nothing.
    """
    channels, inner = rows.shape
    size = min(grid.block_size or inner, inner)
    blocks = -(-inner // size)
    values = np.empty((blocks * size, channels), dtype=np.float32)
    scales, zeros = (np.empty((channels, blocks), dtype=np.float32) for _ in range(2))
    with threadpool_limits(limits=1, user_api="blas"):
        factor, importance = inputs.factor, inputs.importance
        left = np.array(rows.T, dtype=np.float32, order="C")
        pruned = kept_zeros(left)
        for start in range(0, inner, _LAZY):
            stop = min(start + _LAZY, inner)
            errors = np.zeros((stop - start, channels), dtype=np.float32)
            for place in range(start, stop):
                block = place // size
                if place % size == 0:
                    # of a channel that stays whole this is all of it, before anything was corrected
                    part = slice(place, min(place + size, inner))
                    fitted = grid.fit(_without(left[part], pruned, part).T, kind, importance[part])
                    scales[:, block], zeros[:, block] = fitted[0][:, 0], fitted[1][:, 0]
                scale, zero = scales[:, block], zeros[:, block]
                values[place] = grid.rounded(left[place], scale, zero)
                if pruned is not None:
                    values[place][pruned[place]] = zero[pruned[place]]
                errors[place - start] = (left[place] - (values[place] - zero) * scale) / factor[place, place]
                left[place:stop] -= np.multiply.outer(factor[place, place:stop], errors[place - start])
            left[stop:] -= factor[start:stop, stop:].T @ errors
    values[inner:] = zeros[:, -1]
    whole = np.moveaxis(values.reshape(blocks, size, channels), 2, 0)
    return grid.stored(whole), scales, zeros


def _without(left: Floats, pruned: Mask | None, part: slice) -> Floats:
    """What a range is found for: the numbers that are rounded, with those that stay zero as zeros."""
    return left if pruned is None else np.where(pruned[part], np.float32(0), left)


def _factor(gram: Gram) -> NDArray[np.float32]:
    diagonal = np.diagonal(gram)
    mean = float(diagonal.mean()) or 1.0
    damped, share = gram / mean, _DAMPING
    np.fill_diagonal(damped, np.where(diagonal > 0, diagonal / mean, 1.0))
    while True:
        try:
            inverse = np.linalg.inv(damped + share * np.eye(len(gram)))
            lower = np.linalg.cholesky((inverse + inverse.T) / 2)
        except np.linalg.LinAlgError:
            share *= 10
            continue
        return np.ascontiguousarray(lower.T, dtype=np.float32)

"""Numbers as floats of 16 bits: what float16 holds, and bfloat16, which numpy has no type for.

Source of the formats: IEEE 754-2019 (binary16); Kalamkar et al., "A study of BFLOAT16 for deep learning training", 2019.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

HALF_MOST = 65504.0
"""The largest magnitude that float16 holds."""


def bfloat16_bits(numbers: NDArray[Any]) -> NDArray[np.uint16]:
    """The 16 bits of bfloat16, little-endian, for finite float32 of any shape: to the nearest, ties to even."""
    bits = np.ascontiguousarray(numbers, dtype="<f4").view("<u4").astype(np.uint64)
    # half of the last kept bit is added, less one where that bit is even: ties go to even
    short: NDArray[np.uint16] = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
    return short


def widened(bits: NDArray[Any]) -> NDArray[np.float32]:
    """The numbers of these 16 bits of bfloat16, in the same shape: float32 holds all of them."""
    return (bits.astype(np.uint32) << 16).view(np.float32)

"""How often each symbol is expected, as whole numbers that both sides agree on; and what coding by such a table costs.

Rules:
- frequencies of a context add up to 2^14, and a symbol that occurs has at least 1; a context in which nothing occurs has none;
- only integers are used, so that every machine makes the same table of the same counts;
- a table that does not add up is refused before anything is decoded by it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from compression_engine.structure.protobuf import invalid, truncated

Numbers = NDArray[np.int64]
PRECISION_BITS = 14
TOTAL = 1 << PRECISION_BITS
COST_UNIT = 1 << 16
"""Costs are counted in 1/65536 bit."""
_AT_ONCE = 1 << 19


def counted(symbols: NDArray[np.uint8], contexts: NDArray[np.uint8] | None, size: tuple[int, int]) -> Numbers:
    """How often each symbol stands in each context; `size` is (contexts, alphabet)."""
    found = np.zeros(size[0] * size[1], np.int64)
    for start in range(0, symbols.size, _AT_ONCE):
        keys = symbols[start : start + _AT_ONCE].astype(np.intp)
        if contexts is not None:
            keys += contexts[start : start + _AT_ONCE].astype(np.intp) * size[1]
        found += np.bincount(keys, minlength=found.size)
    return found.reshape(size)


def normalised(counts: Numbers) -> Numbers:
    """Frequencies that add up to 2^14 in each row (context), in proportion to the counts; a row without counts stays empty."""
    return np.stack([_row(row) for row in counts])


def _row(counts: Numbers) -> Numbers:
    total = int(counts.sum())
    if total == 0:
        return np.zeros_like(counts)
    scaled = counts * TOTAL
    found = np.where(counts > 0, np.maximum(scaled // total, 1), 0)
    missing = TOTAL - int(found.sum())
    if missing > 0:
        # those that lost most by rounding down come first; equal ones in the order of the alphabet
        first = np.argsort(-np.where(counts > 0, scaled % total, -1), kind="stable")[:missing]
        np.add.at(found, first, 1)
        found[int(np.argmax(counts))] += TOTAL - int(found.sum())
    while (missing := TOTAL - int(found.sum())) < 0:
        largest = int(np.argmax(found))
        found[largest] -= min(-missing, max(1, int(found[largest]) // 16))
    return found


@lru_cache(maxsize=1)
def _costs() -> Numbers:
    """Bits that a symbol of frequency f takes, at index f, in units: 14 - log2(f), by squaring (Knuth, TAOCP, section 1.2.2)."""
    frequencies = np.arange(TOTAL + 1, dtype=np.uint64)
    frequencies[0] = 1
    whole = np.zeros(TOTAL + 1, np.int64)
    for bit in range(PRECISION_BITS):
        whole += frequencies >= np.uint64(2 << bit)
    scaled = frequencies << (30 - whole).astype(np.uint64)
    logs = whole << 16
    for bit in range(15, -1, -1):
        scaled = (scaled * scaled) >> np.uint64(30)
        above = scaled >= np.uint64(1 << 31)
        logs += above.astype(np.int64) << bit
        scaled >>= above.astype(np.uint64)
    return (PRECISION_BITS << 16) - logs


def cost(counts: Numbers, frequencies: Numbers) -> int:
    """Bytes that symbols with these counts take by this table, rounded up; the table itself not counted."""
    return -(-int((counts * _costs()[frequencies]).sum()) // (8 * COST_UNIT))


def written(frequencies: Numbers) -> bytes:
    """A table as bytes: for each context a bit for each symbol that occurs (low bits first), then their frequencies as varints."""
    parts: list[bytes] = []
    for row in frequencies:
        parts.append(np.packbits(row > 0, bitorder="little").tobytes())
        for frequency in row[row > 0].tolist():
            parts.append(bytes([frequency]) if frequency < 128 else _varint(frequency))
    return b"".join(parts)


def read(data: memoryview, contexts: int, alphabet: int) -> tuple[Numbers, int]:
    """A table and how many bytes it took; raises FileRefused."""
    found = np.zeros((contexts, alphabet), np.int64)
    place = 0
    for row in found:
        end = place + alphabet // 8
        if end > len(data):
            raise truncated("A table of frequencies is cut off.")
        there = np.flatnonzero(np.unpackbits(np.frombuffer(data[place:end], np.uint8), bitorder="little"))
        place = end
        for symbol in there.tolist():
            row[symbol], place = _read_varint(data, place)
        if there.size and (int(row.sum()) != TOTAL or int(row[there].min()) < 1):
            raise invalid("A table of frequencies does not add up.")
    return found, place


def _varint(number: int) -> bytes:
    parts = []
    while number >= 128:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def _read_varint(data: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in (0, 7, 14):
        if place >= len(data):
            raise truncated("A table of frequencies is cut off.")
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise invalid("A frequency is larger than a table may hold.")

"""Codes symbols by static frequencies in many lanes at once (range asymmetric numeral systems).

Source: J. Duda, "Asymmetric numeral systems: entropy coding combining speed of Huffman coding with compression rate of arithmetic
coding", arXiv:1311.2540 (2013), the range variant; lanes after F. Giesen, "Interleaved entropy coders", arXiv:1402.3392 (2014).

Rules:
- n symbols in L lanes: each lane has a run of n // L symbols in their order, the first n % L lanes one more; so a lane knows the
  symbols before the one that it decodes;
- a state has 64 bits and lies in [2^31, 2^63); words have 32 bits; lanes step together, and where several need a word they take
  theirs in the order of the lanes;
- a decoder ends with every state at 2^31 and no word left, or what it was given is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compression_engine.packed.tables import PRECISION_BITS, TOTAL, Numbers
from compression_engine.structure.protobuf import invalid, truncated

Symbols = NDArray[np.uint8]
_LOWEST = np.uint64(1 << 31)
_WORD_BITS = np.uint64(32)
_SHIFT = np.uint64(PRECISION_BITS)
_ROOM = np.uint64(31 - PRECISION_BITS + 32)
_SLOT = np.uint64(TOTAL - 1)
_WORD = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True)
class Lanes:
    """How n symbols lie in lanes."""

    symbols: int
    lanes: int

    @property
    def starts(self) -> NDArray[np.intp]:
        """Where the run of each lane begins."""
        index = np.arange(self.lanes, dtype=np.intp)
        return index * self.steps + np.minimum(index, self.over)

    @property
    def steps(self) -> int:
        """Symbols that every lane has."""
        return self.symbols // self.lanes

    @property
    def over(self) -> int:
        """Lanes that have one symbol more."""
        return self.symbols % self.lanes

    def turns(self) -> list[int]:
        """How many lanes step at each turn."""
        return [self.lanes] * self.steps + ([self.over] if self.over else [])


def histories(symbols: Symbols, centre: int, depth: int, lanes: Lanes) -> Symbols:
    """For each symbol, which of the `depth` ones before it in its lane are `centre` (bit 0: the last); before a lane all are."""
    found = np.zeros(symbols.size, np.uint8)
    same = (symbols == centre).astype(np.uint8)
    starts = lanes.starts
    for back in range(1, depth + 1):
        before = np.ones(symbols.size, np.uint8)
        before[back:] = same[:-back] if symbols.size > back else same[:0]
        for first in range(back):
            at = starts + first
            before[at[at < symbols.size]] = 1
        found |= before << np.uint8(back - 1)
    return found


def encode(symbols: Symbols, contexts: Symbols | None, frequencies: Numbers, lanes: Lanes) -> bytes:
    """The final states, eight little-endian bytes for each lane, then the words in the order in which they are read."""
    alphabet = frequencies.shape[1]
    shares = frequencies.astype(np.uint64).reshape(-1)
    below = (np.cumsum(frequencies, axis=1) - frequencies).astype(np.uint64).reshape(-1)
    states = np.full(lanes.lanes, _LOWEST)
    words: list[bytes] = []
    starts = lanes.starts
    turns = lanes.turns()
    for turn in range(len(turns) - 1, -1, -1):
        places = starts[: turns[turn]] + turn
        keys = symbols[places].astype(np.intp)
        if contexts is not None:
            keys += contexts[places].astype(np.intp) * alphabet
        share, state = shares[keys], states[: turns[turn]]
        full = state >= (share << _ROOM)
        if full.any():
            words.append((state[full] & _WORD).astype("<u4").tobytes())
            state = np.where(full, state >> _WORD_BITS, state)
        whole = state // share
        states[: turns[turn]] = (whole << _SHIFT) + (state - whole * share) + below[keys]
    words.reverse()
    return states.astype("<u8").tobytes() + b"".join(words)


@dataclass(frozen=True)
class Model:
    """What a decoder knows beforehand: frequencies by context, the class of each symbol's place, and how history is used."""

    frequencies: Numbers
    classes: Symbols | None
    centre: int
    depth: int


def decode(data: memoryview, model: Model, lanes: Lanes) -> Symbols:
    """The symbols; raises FileRefused where the bytes are not what an encoder wrote."""
    state_bytes = 8 * lanes.lanes
    if len(data) < state_bytes or (len(data) - state_bytes) % 4:
        raise truncated("A coded block is cut off.")
    states = np.frombuffer(data[:state_bytes], "<u8").astype(np.uint64)
    if bool((states < _LOWEST).any()) or bool((states >> np.uint64(63)).any()):
        raise invalid("A coded block begins with a state that no encoder writes.")
    words = np.frombuffer(data[state_bytes:], "<u4")
    taken = _run(states, words, model, lanes, found := np.zeros(lanes.symbols, np.uint8))
    if taken != words.size or bool((states != _LOWEST).any()):
        raise invalid("A coded block does not end where its symbols end.")
    return found


def _run(states: NDArray[np.uint64], words: NDArray[np.uint32], model: Model, lanes: Lanes, found: Symbols) -> int:
    """Decodes into `found` and leaves the last states in `states`; returns how many words were taken."""
    alphabet = model.frequencies.shape[1]
    shares = model.frequencies.astype(np.uint64).reshape(-1)
    below = (np.cumsum(model.frequencies, axis=1) - model.frequencies).astype(np.uint64).reshape(-1)
    slots = _slots(model.frequencies)
    used = model.frequencies.sum(axis=1) > 0
    mask = (1 << model.depth) - 1
    history = np.full(lanes.lanes, mask, np.intp)
    starts, taken = lanes.starts, 0
    for turn, active in enumerate(lanes.turns()):
        places = starts[:active] + turn
        contexts = history[:active]
        if model.classes is not None:
            contexts = contexts + (model.classes[places].astype(np.intp) << model.depth)
        if not used.all() and not used[contexts].all():
            raise invalid("A coded block holds a symbol where none can be.")
        state = states[:active]
        slot = state & _SLOT
        symbols = slots[(contexts << PRECISION_BITS) + slot.astype(np.intp)]
        found[places] = symbols
        keys = contexts * alphabet + symbols
        state = shares[keys] * (state >> _SHIFT) + slot - below[keys]
        low = np.flatnonzero(state < _LOWEST)
        if low.size:
            if taken + low.size > words.size:
                raise truncated("A coded block is cut off.")
            state[low] = (state[low] << _WORD_BITS) | words[taken : taken + low.size]
            taken += low.size
        states[:active] = state
        if mask:
            history[:active] = ((history[:active] << 1) | (symbols == model.centre)) & mask
    return taken


def _slots(frequencies: Numbers) -> Symbols:
    """The symbol of each of the 2^14 slots, context after context; zeros in a context without symbols."""
    found = np.zeros((frequencies.shape[0], TOTAL), np.uint8)
    for row, shares in zip(found, frequencies, strict=True):
        if shares.any():
            row[:] = np.repeat(np.arange(shares.size, dtype=np.uint8), shares)
    return found.reshape(-1)

"""Reads a GGUF file of version 2 or 3: its metadata, and its tensors as float32.

Only what the samples need: the types F32, F16, Q4_0, Q4_1 and Q8_0. The bytes are mapped, and a tensor is expanded when it is
asked for. Source of the format: the specification of GGUF in the repository of ggml (version 3), and that of its quantised
blocks: 32 numbers that follow each other share a float16 scale, in Q4_1 a float16 minimum beside it; the first 16 numbers of a
block are the low halves of its bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_NUMBERS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
_TEXT, _ARRAY = 8, 9
_BLOCK = 32
_AXES_MOST, _ALIGNMENT = 4, 32
Floats = NDArray[np.float32]


class GGUFError(ValueError):
    """The file is no GGUF, is cut short, or holds a type that is not read here."""


@dataclass(frozen=True)
class _Kind:
    name: str
    block: int
    """Numbers in a block."""
    bytes: int
    """Bytes of a block."""


_KINDS = {
    0: _Kind("F32", 1, 4),
    1: _Kind("F16", 1, 2),
    2: _Kind("Q4_0", _BLOCK, 18),
    3: _Kind("Q4_1", _BLOCK, 20),
    8: _Kind("Q8_0", _BLOCK, 34),
}


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies. `shape` has the rows first, as numpy and torch write it."""

    kind: _Kind
    shape: tuple[int, ...]
    start: int


class GGUFFile:
    """An opened file; `metadata` by name (arrays as lists), `entries` by tensor. Raises GGUFError, OSError."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._bytes = mmap(file.fileno(), 0, access=ACCESS_READ)
        self._at = 0
        if self._take(4) != _MAGIC or self._number("I") not in _VERSIONS:
            raise GGUFError(f"{path.name} is no GGUF file of version 2 or 3.")
        tensors, pairs = self._number("Q"), self._number("Q")
        self.metadata: dict[str, Any] = {}
        for _ in range(pairs):
            name = self._text()
            self.metadata[name] = self._value(self._number("I"))
        found = [self._entry() for _ in range(tensors)]
        alignment = int(self.metadata.get("general.alignment", _ALIGNMENT))
        begin = -(-self._at // alignment) * alignment
        self.entries = {name: Entry(kind, shape, begin + offset) for name, kind, shape, offset in found}

    def kinds(self) -> dict[str, int]:
        """How many tensors there are of each type."""
        names = [entry.kind.name for entry in self.entries.values()]
        return {name: names.count(name) for name in sorted(set(names))}

    def tensor(self, name: str) -> Floats:
        """A tensor as float32, expanded from its blocks."""
        if name not in self.entries:
            raise GGUFError(f"The file has no tensor {name!r}.")
        entry = self.entries[name]
        count = int(np.prod(entry.shape, dtype=np.int64))
        size = count // entry.kind.block * entry.kind.bytes
        if entry.start + size > len(self._bytes):
            raise GGUFError(f"The file ends within the tensor {name!r}.")
        raw = np.frombuffer(self._bytes, dtype=np.uint8, count=size, offset=entry.start)
        return _expanded(raw, entry.kind).reshape(entry.shape)

    def _entry(self) -> tuple[str, _Kind, tuple[int, ...], int]:
        name, axes = self._text(), self._number("I")
        if axes > _AXES_MOST:
            raise GGUFError(f"The tensor {name!r} has {axes} axes.")
        # the axis whose numbers follow each other comes first in the file
        shape = tuple(int(self._number("Q")) for _ in range(axes))[::-1]
        kind, offset = self._number("I"), self._number("Q")
        if kind not in _KINDS:
            read = ", ".join(known.name for known in _KINDS.values())
            raise GGUFError(f"The tensor {name!r} is of type {kind}; read are {read}.")
        if shape and shape[-1] % _KINDS[kind].block:
            raise GGUFError(f"The rows of the tensor {name!r} are no whole blocks.")
        return name, _KINDS[kind], shape, int(offset)

    def _value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self._text()
        if kind == _ARRAY:
            inner, count = self._number("I"), self._number("Q")
            return [self._value(inner) for _ in range(count)]
        if kind not in _NUMBERS:
            raise GGUFError(f"The metadata hold a value of type {kind}.")
        return self._number(_NUMBERS[kind])

    def _text(self) -> str:
        return self._take(self._number("Q")).decode("utf-8", errors="surrogateescape")

    def _number(self, code: str) -> Any:
        return struct.unpack("<" + code, self._take(struct.calcsize("<" + code)))[0]

    def _take(self, size: int) -> bytes:
        if self._at + size > len(self._bytes):
            raise GGUFError("The file ends before its tensors begin.")
        self._at += size
        return self._bytes[self._at - size : self._at]


def _expanded(raw: NDArray[np.uint8], kind: _Kind) -> Floats:
    if kind.block == 1:
        return raw.view(np.float32 if kind.name == "F32" else np.float16).astype(np.float32)
    blocks = raw.reshape(-1, kind.bytes)
    scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    if kind.name == "Q8_0":
        return blocks[:, 2:].view(np.int8).astype(np.float32) * scale
    packed = blocks[:, -_BLOCK // 2 :]
    integers = np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32)
    if kind.name == "Q4_0":
        return (integers - 8) * scale
    return integers * scale + blocks[:, 2:4].copy().view(np.float16).astype(np.float32)

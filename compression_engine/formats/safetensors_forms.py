"""How a weight lies in a safetensors file as integers of 8 or 4 bits with scales: its tensors, and the way back to floats.

The layout is that of compressed-tensors (github.com/vllm-project/compressed-tensors: `int-quantized` and `pack-quantized`), which
vLLM and transformers read for linear layers and embeddings. For a weight `W` of R rows, each of them all numbers behind the first
axis that is longer than 1:
- 8 bits: `W` is I8 in its own shape; 4 bits: `W_packed` is I32 [R, ceil(width / 8)], eight integers from 0 to 15 a word, the first
  in the lowest bits, rows filled up with zeros; `W_shape` is I64, the weight's own shape;
- `W_scale` is [R, groups], F16, F32 or F64; groups follow each other along a row, the last may be shorter;
- `W_zero_point` where integers are not centred: I8 [R, groups], with 4 bits I32 [ceil(R / 8), groups], packed down the rows;
- the weight is (integer - zero) * scale; integers and zero points of 4 bits are their stored numbers less 8; where there is no
  zero point the zero is 0.
Rules: nothing but names, dtypes and shapes decides what is a stored weight; what does not fit together is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression_engine.canonical import shown
from compression_engine.errors import FileRefused
from compression_engine.formats.safetensors_io import NUMBERS, Array, Planned, TensorFile
from compression_engine.structure.safetensors import Entry

PACKED, SCALE, SHAPE, ZERO = "_packed", "_scale", "_shape", "_zero_point"
WORD = 8
"""How many integers of 4 bits a word of 32 holds; rows are read and written in multiples of it."""
MIDDLE = 8
_BLOCKS = (128, 64, 32)
_SCALES = ("F16", "F32", "F64", "BF16")


def matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and width of a weight: leading axes of length 1 do not count; (0, 0) where fewer than two axes are left."""
    while shape and shape[0] == 1:
        shape = shape[1:]
    return (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (0, 0)


@dataclass(frozen=True)
class Form:
    """A weight stored as integers: what its tensors are called, and how they lie."""

    name: str
    shape: tuple[int, ...]
    bits: int
    groups: int
    size: int
    """Numbers of a group; the last group of a row may have fewer."""
    scale_dtype: str
    symmetric: bool

    @property
    def rows(self) -> int:
        """Rows, each with scales of its own."""
        return matrix(self.shape)[0]

    @property
    def width(self) -> int:
        """Numbers of a row."""
        return matrix(self.shape)[1]

    @property
    def values(self) -> str:
        """The tensor that holds the integers."""
        return self.name + PACKED if self.bits == 4 else self.name

    def parts(self) -> list[Planned]:
        """The tensors that hold the weight."""
        found = [self._values(), Planned(self.name + SCALE, self.scale_dtype, (self.rows, self.groups))]
        if not self.symmetric:
            found.append(self._zero())
        if self.bits == 4:
            found.append(Planned(self.name + SHAPE, "I64", (len(self.shape),)))
        return found

    def _values(self) -> Planned:
        if self.bits == 4:
            return Planned(self.values, "I32", (self.rows, -(-self.width // WORD)))
        return Planned(self.values, "I8", self.shape)

    def _zero(self) -> Planned:
        if self.bits == 4:
            return Planned(self.name + ZERO, "I32", (-(-self.rows // WORD), self.groups))
        return Planned(self.name + ZERO, "I8", (self.rows, self.groups))

    def expanded(self, file: TensorFile, start: int, stop: int) -> Array:
        """Rows of the weight as floats [rows, width], float64 where the scales are, else float32; `start` is a multiple of 8."""
        scale = self.scales(file, start, stop)
        found: Array = self.centred(file, start, stop).astype(scale.dtype)
        for group in range(self.groups):
            part = slice(group * self.size, (group + 1) * self.size)
            with np.errstate(invalid="ignore", over="ignore"):  # scales of a file may hold what is no number
                found[:, part] *= scale[:, group : group + 1]
        return found

    def scales(self, file: TensorFile, start: int, stop: int) -> Array:
        """[rows, groups], float64 where they are stored so, else float32."""
        stored = file.floats(file.entries[self.name + SCALE], start, stop)
        return stored if stored.dtype == np.float64 else stored.astype(np.float32)

    def centred(self, file: TensorFile, start: int, stop: int) -> NDArray[np.int16]:
        """Integers less their zero point [rows, width]."""
        stored = self.integers(file, start, stop).astype(np.int16)
        if not self.symmetric:
            zero = self._zeros(file, start, stop)
            stored -= np.repeat(zero, self.size, axis=1)[:, : self.width]
        return stored

    def integers(self, file: TensorFile, start: int, stop: int) -> NDArray[np.int8]:
        """The stored integers [rows, width], those of 4 bits from -8 to 7."""
        if self.bits == 8:
            flat = Entry(
                self.name, "I8", (self.rows, self.width), file.entries[self.name].start, self.rows * self.width
            )
            return file.rows(flat, start, stop)
        return unpacked(file.rows(file.entries[self.values], start, stop), self.width)

    def integers_at(self, file: TensorFile, row: NDArray[np.int64], column: NDArray[np.int64]) -> Array:
        """Single stored integers, by row and column."""
        if self.bits == 8:
            return file.numbers(file.entries[self.name], row * self.width + column).astype(np.int16)
        words = file.numbers(file.entries[self.values], row * -(-self.width // WORD) + column // WORD)
        return _nibble(words, column % WORD)

    def zeros_at(self, file: TensorFile, row: NDArray[np.int64], group: NDArray[np.int64]) -> Array:
        """Single zero points, by row and group."""
        if self.symmetric:
            return np.zeros(row.shape, dtype=np.int16)
        entry = file.entries[self.name + ZERO]
        if self.bits == 8:
            return file.numbers(entry, row * self.groups + group).astype(np.int16)
        return _nibble(file.numbers(entry, row // WORD * self.groups + group), row % WORD)

    def _zeros(self, file: TensorFile, start: int, stop: int) -> NDArray[np.int8]:
        entry = file.entries[self.name + ZERO]
        if self.bits == 8:
            return file.rows(entry, start, stop)
        words = file.rows(entry, start // WORD, -(-stop // WORD))
        return unpacked(np.ascontiguousarray(words.T), stop - start).T


def packed(values: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Integers from 0 to 15 [rows, n] as words [rows, ceil(n / 8)], the first in the lowest bits."""
    rows, width = values.shape
    padded = np.zeros((rows, -(-width // WORD) * WORD), dtype=np.uint8)
    padded[:, :width] = values
    return np.ascontiguousarray(padded[:, 0::2] | (padded[:, 1::2] << 4)).view("<i4")


def unpacked(words: Array, width: int) -> NDArray[np.int8]:
    """The reverse of `packed`, less 8."""
    halves = np.ascontiguousarray(words).view(np.uint8)
    found = np.empty((len(halves), halves.shape[1] * 2), dtype=np.int8)
    found[:, 0::2] = halves & 15
    found[:, 1::2] = halves >> 4
    found -= MIDDLE
    return found[:, :width]


def _nibble(words: Array, place: NDArray[np.int64]) -> Array:
    return ((words.astype(np.int64) >> (4 * place)) & 15).astype(np.int16) - MIDDLE


def forms_of(file: TensorFile) -> dict[str, Form]:
    """The stored weights of a file by name, whoever made it; raises FileRefused where tensors do not fit together."""
    found: dict[str, Form] = {}
    for name in file.entries:
        if name.endswith(SCALE):
            form = _form(file, name.removesuffix(SCALE))
            if form is not None:
                found[form.name] = form
    return found


def _form(file: TensorFile, name: str) -> Form | None:
    entries = file.entries
    scale, four = entries[name + SCALE], name + PACKED in entries
    values = entries.get(name + PACKED if four else name)
    if values is None or values.dtype != ("I32" if four else "I8") or scale.dtype not in _SCALES:
        return None
    shape = _own_shape(file, name) if four else values.shape
    rows, width = matrix(shape)
    if len(scale.shape) != 2 or rows == 0 or scale.shape[0] != rows:
        raise _misfit(name, f"scales of the shape {list(scale.shape)}")
    size = _group_size(width, scale.shape[1])
    if size is None:
        raise _misfit(name, f"{scale.shape[1]} scales for {width} numbers a row")
    form = Form(name, shape, 4 if four else 8, scale.shape[1], size, scale.dtype, name + ZERO not in entries)
    for part in form.parts():
        held = entries.get(part.name)
        if held is None or (held.dtype, held.shape) != (part.dtype, part.shape):
            raise _misfit(name, f"a tensor {shown(part.name)} that is not {part.dtype} {list(part.shape)}")
    return form


def _own_shape(file: TensorFile, name: str) -> tuple[int, ...]:
    entry = file.entries.get(name + SHAPE)
    if entry is None or NUMBERS.get(entry.dtype, np.dtype("V1")).kind != "i" or not 1 < entry.elements <= 8:
        raise _misfit(name, "no shape that can be read")
    shape = [int(size) for size in file.rows(entry, 0, entry.elements).reshape(-1)]
    if min(shape) < 1 or math.prod(shape) > 2**48:
        raise _misfit(name, f"the shape {shape}")
    return tuple(shape)


def _group_size(width: int, groups: int) -> int | None:
    """How many numbers share a scale; among our sizes no two give a row the same number of groups, unless that is one."""
    if groups == 1:
        return width
    fitting = [size for size in _BLOCKS if -(-width // size) == groups]
    if fitting or groups < 1:
        return fitting[0] if fitting else None
    return width // groups if width % groups == 0 else None


def _misfit(name: str, what: str) -> FileRefused:
    hint = "Use the file as it was written, or expand the original's."
    return FileRefused("structure_invalid", f"The stored weight {shown(name)} has {what}.", hint)


def scale_name(kind: np.dtype[Any]) -> str:
    """The dtype of scales of this numpy type, as a header spells it."""
    return {2: "F16", 4: "F32", 8: "F64"}[kind.itemsize]


def names_of(name: str, bits: int, entries: Mapping[str, Any]) -> str | None:
    """A name that the stored weight would need and that another tensor of the file has; None where all are free."""
    wanted = [name + SCALE, name + ZERO, *([name + PACKED, name + SHAPE] if bits == 4 else [])]
    return next((one for one in wanted if one in entries), None)

"""Walks protobuf bytes in a file without reading them into memory: what a message claims is checked before it is used.

Rules:
- a length never reaches beyond the message it stands in (else the file is cut off);
- wire types 0, 1, 2, 5 only; field numbers 1 to 2^29 - 1; a varint has at most ten bytes;
- at most 10 million fields in a file and 40 messages inside each other;
- names have at most 64 KiB and are UTF-8; other texts may be longer, as vocabularies are: those stand by size and digest.
Source: the protobuf encoding specification, "Message structure".
"""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from compression_engine.errors import FileRefused

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIELDS_MAX = 10_000_000
_DEPTH_MAX = 40
_TEXT_BYTES_MAX = 64 * 1024
_WINDOW_BYTES = 64 * 1024
_CUT_HINT = "Upload the file again; it was probably cut off on the way."


@dataclass(frozen=True)
class Field:
    """One field: its number, wire type, where its payload starts and ends, and the value of a varint."""

    number: int
    wire: int
    start: int
    end: int
    value: int


def truncated(message: str) -> FileRefused:
    """The error for a file that ends too early."""
    return FileRefused("file_truncated", message, _CUT_HINT)


def invalid(message: str) -> FileRefused:
    """The error for bytes that are not what they should be."""
    return FileRefused("structure_invalid", message, "Export the model again with a current exporter.")


def over_limit(message: str) -> FileRefused:
    """The error for a file that is larger or deeper than any honest model."""
    return FileRefused("limit_exceeded", message, "If the model is honest, split it or reduce what it embeds.")


class Reader:
    """Random access to a file of known size through a small window."""

    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        self._file = file
        self.size_bytes = size_bytes
        self._window = b""
        self._window_start = 0
        self._fields_left = _FIELDS_MAX

    def fields(self, start: int, end: int, depth: int) -> Iterator[Field]:
        """The fields of the message in bytes start to end; the caller walks into those that it knows."""
        if depth > _DEPTH_MAX:
            raise over_limit(f"Messages are nested deeper than {_DEPTH_MAX} at byte {start}.")
        position = start
        while position < end:
            self._fields_left -= 1
            if self._fields_left < 0:
                raise over_limit(f"The file has more than {_FIELDS_MAX} fields.")
            field = self._field(position, end)
            yield field
            position = field.end

    def varints(self, field: Field) -> Iterator[int]:
        """The values of a repeated integer field, packed or single."""
        if field.wire == VARINT:
            yield field.value
            return
        if field.wire != BYTES:
            raise invalid(f"Field {field.number} at byte {field.start} is not made of integers.")
        position = field.start
        while position < field.end:
            self._fields_left -= 1
            if self._fields_left < 0:
                raise over_limit(f"The file has more than {_FIELDS_MAX} fields and numbers.")
            value, position = self._varint(position, field.end)
            yield value

    def count_varints(self, field: Field) -> int:
        """How many packed integers a field holds: the bytes that end one are those without the high bit."""
        if field.wire == VARINT:
            return 1
        return sum(sum(byte < 0x80 for byte in block) for block in self._blocks(field))

    def text(self, field: Field) -> str:
        """A text field."""
        if field.wire != BYTES:
            raise invalid(f"Field {field.number} at byte {field.start} should be text.")
        if field.end - field.start > _TEXT_BYTES_MAX:
            raise over_limit(f"A name or text at byte {field.start} is longer than {_TEXT_BYTES_MAX} bytes.")
        try:
            return self._bytes(field.start, field.end).decode()
        except UnicodeDecodeError as error:
            raise invalid(f"The text at byte {field.start} is not UTF-8.") from error

    def long_text(self, field: Field) -> str:
        """A text field; of one that is longer than 64 KiB its size and SHA-256, once all of it was seen to be UTF-8."""
        size_bytes = field.end - field.start
        if field.wire != BYTES or size_bytes <= _TEXT_BYTES_MAX:
            return self.text(field)
        running, decoder = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")()
        try:
            for block in self._blocks(field):
                running.update(block)
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise invalid(f"The text at byte {field.start} is not UTF-8.") from error
        return f"({size_bytes} bytes, sha256:{running.hexdigest()})"

    def message(self, field: Field) -> Field:
        """The field itself, if it can be a message."""
        if field.wire != BYTES:
            raise invalid(f"Field {field.number} at byte {field.start} should be a message.")
        return field

    def _field(self, position: int, end: int) -> Field:
        tag, start = self._varint(position, end)
        number, wire = tag >> 3, tag & 7
        if not 1 <= number < 2**29:
            raise invalid(f"There is no field number {number} (byte {position}).")
        if wire == VARINT:
            value, stop = self._varint(start, end)
            return Field(number, wire, start, stop, value)
        if wire == BYTES:
            length, start = self._varint(start, end)
            stop = start + length
        elif wire in (FIXED64, FIXED32):
            stop = start + (8 if wire == FIXED64 else 4)
        else:
            raise invalid(f"Wire type {wire} at byte {position} is not used by this format.")
        if stop > end:
            raise truncated(f"A field at byte {position} needs {stop - end} bytes more than are there.")
        return Field(number, wire, start, stop, 0)

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = 0
        for index in range(10):
            if position >= end:
                raise truncated(f"A number at byte {position} is cut off.")
            byte = self._byte(position)
            position += 1
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if value >= 2**64:
                    raise invalid(f"A number before byte {position} has more than 64 bits.")
                return value, position
        raise invalid(f"A number before byte {position} has more than ten bytes.")

    def _byte(self, position: int) -> int:
        index = position - self._window_start
        if not 0 <= index < len(self._window):
            self._file.seek(position)
            self._window = self._file.read(_WINDOW_BYTES)
            self._window_start = position
            index = 0
            if not self._window:
                raise truncated(f"The file ends at byte {position}.")
        return self._window[index]

    def _bytes(self, start: int, end: int) -> bytes:
        index = start - self._window_start
        if index >= 0 and end <= self._window_start + len(self._window):
            return self._window[index : index + end - start]
        self._file.seek(start)
        data = self._file.read(end - start)
        if len(data) != end - start:
            raise truncated(f"The file ends before byte {end}.")
        return data

    def _blocks(self, field: Field) -> Iterator[bytes]:
        for start in range(field.start, field.end, _WINDOW_BYTES):
            yield self._bytes(start, min(start + _WINDOW_BYTES, field.end))

"""The folder into which answers go row by row, so that a run that is killed goes on where it stopped.

    state.json    whose answers these are, how many rows are whole, how many bytes of each file that is, and their sums
    <n>.values    one field of one model: the rows' arrays, one after the other
    <n>.sizes     the number of entries of each row, 64-bit

Rules:
- a row counts once `state.json` says so; it is replaced by a rename, and what lies beyond its numbers is cut off;
- what lies in the files is held against its sum before it is gone on with: a machine that lost its power leaves holes;
- answers of other models, rows or plans are never continued: the folder is refused (work_differs);
- answers of the same ones under other libraries or on another processor, and damaged ones, are never mixed with new ones: they
  are thrown away, and the first row is the next;
- no link in the folder is followed (work_differs);
- what is written does not depend on where it stopped, or on the clock.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from compression_engine.answers.outputs import Array, Field
from compression_engine.errors import EngineError
from compression_engine.limits import limits
from compression_engine.steps.work_files import opened, read

_STATE = "state.json"
_TYPE = "pressmark/answers_in_work/1"
_SECONDS_BETWEEN_SAVES = 0.25
_BLOCK_BYTES = 8 * 1024**2
Answers = Mapping[str, Mapping[str, Array | Sequence[Array]]]
"""By role and field: [rows, ...], or one array for each row where they differ in shape."""


class _Summed:
    """A file that is only added to, with the sum of its bytes (CRC-32, as in zip files); open from the first bytes on."""

    def __init__(self, path: Path, known: Mapping[str, int] | None = None) -> None:
        self._path, self._mode = path, "wb" if known is None else "ab"
        self._file: IO[bytes] | None = None
        self.length = self.sum = 0
        limits().forget(path)
        if known is not None:
            self._check(path, known)
            limits().count(path, self.length)

    def write(self, data: bytes) -> None:
        if self._file is None:
            self._file = opened(self._path, self._mode)
        limits().count(self._path, len(data))
        self._file.write(data)
        self.length += len(data)
        self.sum = zlib.crc32(data, self.sum)

    def record(self) -> dict[str, int]:
        if self._file is not None:
            self._file.flush()
        return {"bytes": self.length, "sum": self.sum}

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _check(self, path: Path, known: Mapping[str, int]) -> None:
        self.length, self.sum = known["bytes"], 0
        with opened(path, "r+b") as file:
            if file.seek(0, os.SEEK_END) > self.length:
                file.truncate(self.length)
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            while block := file.read(_BLOCK_BYTES):
                self.sum = zlib.crc32(block, self.sum)
        if size != self.length or self.sum != known["sum"]:
            raise ValueError(f"{path.name} is not what was written")


@dataclass
class _Part:
    """One field of one model: its files and what is known of its rows."""

    role: str
    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...] | None
    """The shape of every row; None once two rows differ."""
    values: _Summed
    sizes: _Summed

    def append(self, rows: Array | Sequence[Array]) -> None:
        for block in _blocks(rows):
            if block.dtype != self.dtype:
                hint = "This is a fault of the model: export it again."
                message = f"The answers {self.name!r} of the {self.role} change their type from batch to batch."
                raise EngineError("output_does_not_run", message, hint)
            if block.shape[1:] != self.shape:
                self.shape = None
            self.values.write(np.ascontiguousarray(block, dtype=self.dtype.newbyteorder("<")).tobytes())
            size = int(np.prod(block.shape[1:], dtype=np.int64))
            self.sizes.write(np.full(len(block), size, dtype="<i8").tobytes())

    def record(self) -> dict[str, Any]:
        shape = None if self.shape is None else list(self.shape)
        return {
            "dtype": self.dtype.str, "name": self.name, "role": self.role, "shape": shape,
            "sizes": self.sizes.record(), "values": self.values.record(),
        }  # fmt: skip

    def field(self, rows: int, values: Path, sizes: Path) -> Field:
        if self.shape is not None:
            return Field(_mapped(values, self.dtype, (rows, *self.shape)))
        counts = _mapped(sizes, np.dtype("<i8"), (rows,))
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return Field(_mapped(values, self.dtype, (int(offsets[-1]),)), offsets)


class AnswerStore:
    """Answers of several models to the same rows, in a folder."""

    def __init__(self, folder: Path, identity: str, surroundings: str = "") -> None:
        self._folder = folder
        self._identity = identity
        self._surroundings = surroundings
        self._parts: list[_Part] = []
        self._saved_at = time.monotonic()
        self.rows = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(
                "work_differs", f"{folder} cannot be used: {error.strerror}.", "Give a folder."
            ) from error
        if (folder / _STATE).exists():
            self._open()

    def append(self, answers: Answers, rows: int) -> None:
        """Adds the answers of so many rows; now and then writes down how far it is."""
        if not self._parts:
            self._begin(answers)
        for part in self._parts:
            part.append(answers[part.role][part.name])
        self.rows += rows
        if time.monotonic() - self._saved_at >= _SECONDS_BETWEEN_SAVES:
            self.save()

    def save(self) -> None:
        """Writes down which rows are whole."""
        fields = [part.record() for part in self._parts]
        state = {
            "fields": fields, "identity": self._identity, "rows": self.rows, "surroundings": self._surroundings, "type": _TYPE,
        }  # fmt: skip
        partial = self._folder / f"{_STATE}.partial"
        with opened(partial, "wb") as file:
            file.write(json.dumps(state).encode())
        os.replace(partial, self._folder / _STATE)
        self._saved_at = time.monotonic()

    def close(self) -> dict[str, dict[str, Field]]:
        """All answers, mapped from their files, by role and field."""
        self.save()
        found: dict[str, dict[str, Field]] = {}
        for number, part in enumerate(self._parts):
            part.values.close()
            part.sizes.close()
            found.setdefault(part.role, {})[part.name] = part.field(self.rows, *self._paths(number))
        return found

    def abandon(self) -> None:
        """Closes the files; what was saved stays for the next run."""
        for part in self._parts:
            part.values.close()
            part.sizes.close()

    def _begin(self, answers: Answers) -> None:
        for role, fields in answers.items():
            for name, rows in fields.items():
                first = rows[0]
                values, sizes = (_Summed(path) for path in self._paths(len(self._parts)))
                self._parts.append(_Part(role, name, first.dtype, first.shape, values, sizes))

    def _open(self) -> None:
        """Goes on where the state says; from the first row where what lies here is of no use any more."""
        state = self._state()
        if state.get("surroundings") == self._surroundings:
            try:
                for number, entry in enumerate(state["fields"]):
                    self._parts.append(self._continued(number, entry))
                self.rows = int(state["rows"])
                return
            except (OSError, ValueError, KeyError, TypeError):
                self._parts = []
        (self._folder / _STATE).unlink()  # first, or a kill would leave it beside rows that it does not know

    def _state(self) -> dict[str, Any]:
        """The state; EngineError (work_differs) where it is somebody else's."""
        try:
            state = json.loads(read(self._folder / _STATE) or b"{}")
            if state == {} or (state["type"] == _TYPE and state["identity"] == self._identity):
                return dict(state)
            message = f"{self._folder} holds answers of other models, rows or another plan."
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = f"{self._folder} holds a {_STATE} that is none of ours ({type(error).__name__})."
        raise EngineError(
            "work_differs", message, "Give another folder, or delete this one to start from the first row."
        )

    def _continued(self, number: int, entry: Mapping[str, Any]) -> _Part:
        values, sizes = self._paths(number)
        files = (_Summed(values, entry["values"]), _Summed(sizes, entry["sizes"]))
        shape = None if entry["shape"] is None else tuple(entry["shape"])
        return _Part(entry["role"], entry["name"], np.dtype(entry["dtype"]), shape, *files)

    def _paths(self, number: int) -> tuple[Path, Path]:
        return self._folder / f"{number}.values", self._folder / f"{number}.sizes"


def _blocks(rows: Array | Sequence[Array]) -> list[Array]:
    """Rows of one shape together, others one by one."""
    if isinstance(rows, np.ndarray):
        return [rows]
    same = all(row.shape == rows[0].shape and row.dtype == rows[0].dtype for row in rows)
    return [np.stack(rows)] if same else [row[None] for row in rows]


def _mapped(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    with opened(path, "rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return np.empty(shape, dtype=dtype)
        return np.memmap(file, dtype=dtype, mode="r", shape=shape)

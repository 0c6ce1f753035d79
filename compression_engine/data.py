"""Rows to run a model on, from a file: sentences in .jsonl, arrays in .npz or .npy.

Rules:
- a broken row is left out, counted and named; a file without a usable row is refused;
- arrays are read without unpickling; names and types must fit the model's inputs;
- text is tokenised by the model's own tokenizer.json, cut at 128 tokens, padded to the longest row of its batch.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression_engine.canonical import JSON, digest_of
from compression_engine.errors import DataError

Array = NDArray[Any]
Feed = dict[str, Array]
MAX_TOKENS = 128
_FILE_BYTES_MAX = 2 * 1024**3
_TEXT_CHARACTERS_MAX = 1_000_000
_NAMED_ROWS_MAX = 20
_TOKEN_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_ONLY_ARRAY = ""  # the name of the array of a .npy file until the model's input is known


@dataclass(frozen=True)
class ModelInput:
    """An input of a model as the runtime declares it: numpy type, and the first dimension where it is fixed."""

    name: str
    dtype: np.dtype[Any]
    fixed_rows: int | None


@dataclass(frozen=True)
class Rows:
    """Usable rows, as texts or as arrays with one entry a row, and what was left out."""

    digest: str
    texts: tuple[str, ...]
    arrays: Mapping[str, Array]
    broken: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts) or len(next(iter(self.arrays.values()), ()))

    def record(self, role: str) -> dict[str, JSON]:
        """How a result names this file."""
        named = list(self.broken[:_NAMED_ROWS_MAX])
        if len(self.broken) > len(named):
            named.append(f"and {len(self.broken) - len(named)} more")
        return {"broken": named, "digest": self.digest, "role": role, "rows": len(self)}


def read_rows(path: Path) -> Rows:
    """The rows of a file. Raises DataError (data_missing, no_usable_row, data_does_not_fit)."""
    if not path.is_file():
        raise DataError("data_missing", f"There is no data file {path}.", "Give a .jsonl, .npz or .npy file.")
    if path.stat().st_size > _FILE_BYTES_MAX:
        raise DataError("data_does_not_fit", f"{path.name} has more than 2 GiB.", "Give a sample of the rows.")
    data = path.read_bytes()
    if data.startswith((b"PK\x03\x04", b"\x93NUMPY")):
        rows = _arrays(data, path.name)
    else:
        rows = _texts(data)
    if len(rows) == 0:
        named = "; ".join(rows.broken[:3]) or "the file is empty"
        hint = 'Give one {"text": "..."} a line, or arrays with one entry a row.'
        raise DataError("no_usable_row", f"{path.name} has no usable row: {named}.", hint)
    return rows


class Encoder:
    """Turns rows into batches of a model's inputs."""

    def __init__(self, rows: Rows, inputs: Sequence[ModelInput], tokenizer: Path | None) -> None:
        self.rows = rows
        self.inputs = tuple(inputs)
        self._tokenizer: Any = None
        self.preprocessing: str | None = None
        if rows.texts:
            self._open_tokenizer(tokenizer)
        else:
            self.rows = Rows(rows.digest, (), _fitted(rows.arrays, self.inputs), rows.broken)
        fixed = {entry.fixed_rows for entry in self.inputs if entry.fixed_rows is not None}
        self.fixed_rows = max(fixed) if fixed else None

    def batch(self, indices: Sequence[int]) -> Feed:
        """The inputs for these rows, texts padded to the longest of them."""
        if self._tokenizer is None:
            return {name: array[list(indices)] for name, array in self.rows.arrays.items()}
        encodings = self._tokenizer.encode_batch([self.rows.texts[index] for index in indices])
        columns = {
            "input_ids": [encoding.ids for encoding in encodings],
            "attention_mask": [encoding.attention_mask for encoding in encodings],
            "token_type_ids": [encoding.type_ids for encoding in encodings],
        }
        return {entry.name: np.array(columns[entry.name], dtype=entry.dtype) for entry in self.inputs}

    def token_counts(self) -> NDArray[np.int64] | None:
        """Tokens of each row after cutting, or None for arrays."""
        if self._tokenizer is None:
            return None
        encodings = self._tokenizer.encode_batch(list(self.rows.texts))
        return np.array([sum(encoding.attention_mask) for encoding in encodings], dtype=np.int64)

    def _open_tokenizer(self, tokenizer: Path | None) -> None:
        from tokenizers import Tokenizer

        unknown = sorted(entry.name for entry in self.inputs if entry.name not in _TOKEN_INPUTS)
        if unknown:
            hint = f"Text fits models whose inputs are among {', '.join(_TOKEN_INPUTS)}; give arrays (.npz) for others."
            raise DataError("data_does_not_fit", f"The model's input {unknown[0]!r} cannot be made from text.", hint)
        if tokenizer is None or not tokenizer.is_file():
            hint = "Put the model's tokenizer.json beside its weights, or give arrays (.npz)."
            raise DataError("tokenizer_missing", "The rows are text and there is no tokenizer.json.", hint)
        data = tokenizer.read_bytes()
        try:
            opened = Tokenizer.from_str(data.decode())
        except Exception as error:
            hint = "Give the tokenizer.json that belongs to the model."
            raise DataError("tokenizer_missing", f"tokenizer.json cannot be used: {error}.", hint) from error
        opened.enable_truncation(max_length=MAX_TOKENS)
        padding = opened.padding or {}
        opened.enable_padding(pad_id=padding.get("pad_id", 0), pad_token=padding.get("pad_token", "[PAD]"))
        self._tokenizer = opened
        self.preprocessing = (
            f"tokenizer {digest_of(data)}, cut at {MAX_TOKENS} tokens, padded to the longest in a batch"
        )


def _texts(data: bytes) -> Rows:
    texts: list[str] = []
    broken: list[str] = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            text = json.loads(line.decode())["text"]
            if not isinstance(text, str) or not text.strip():
                raise ValueError("the text is empty or not text")
            if len(text) > _TEXT_CHARACTERS_MAX:
                raise ValueError(f"the text has more than {_TEXT_CHARACTERS_MAX} characters")
            text.encode()
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            broken.append(f"line {number}: {_why(error)}")
        else:
            texts.append(text)
    return Rows(digest_of(data), tuple(texts), {}, tuple(broken))


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeError):
        return "not valid UTF-8 text"
    if isinstance(error, json.JSONDecodeError):
        return "not JSON"
    return "no member 'text'" if isinstance(error, KeyError | TypeError) else str(error)


def _arrays(data: bytes, name: str) -> Rows:
    try:
        loaded = np.load(io.BytesIO(data), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            arrays = {_ONLY_ARRAY: loaded}
        else:
            arrays = {key: loaded[key] for key in sorted(loaded.files)}
    except Exception as error:
        hint = "Save plain numeric arrays with numpy.savez; arrays of Python objects are refused."
        raise DataError("data_does_not_fit", f"{name} cannot be read: {error}.", hint) from error
    lengths = {array.shape[0] if array.ndim else -1 for array in arrays.values()}
    if len(lengths) != 1 or -1 in lengths:
        hint = "Give every array one entry a row along its first axis."
        raise DataError("data_does_not_fit", f"The arrays of {name} have different numbers of rows.", hint)
    return _finite(digest_of(data), arrays)


def _finite(digest: str, arrays: dict[str, Array]) -> Rows:
    count = len(next(iter(arrays.values())))
    good = np.ones(count, dtype=bool)
    for array in arrays.values():
        if np.issubdtype(array.dtype, np.floating):
            good &= np.isfinite(array.reshape(count, -1)).all(axis=1)
    broken = tuple(f"row {index + 1}: NaN or infinity" for index in np.flatnonzero(~good))
    return Rows(digest, (), {name: array[good] for name, array in arrays.items()}, broken)


def _fitted(arrays: Mapping[str, Array], inputs: Sequence[ModelInput]) -> dict[str, Array]:
    if set(arrays) == {_ONLY_ARRAY} and len(inputs) == 1:
        arrays = {inputs[0].name: arrays[_ONLY_ARRAY]}
    wanted = {entry.name for entry in inputs}
    if not wanted <= set(arrays):
        missing = ", ".join(sorted(wanted - set(arrays)))
        hint = f"Give arrays named {', '.join(sorted(wanted))}."
        raise DataError("data_does_not_fit", f"The data lack the model's input {missing}.", hint)
    fitted: dict[str, Array] = {}
    for entry in inputs:
        array = arrays[entry.name]
        if not np.can_cast(array.dtype, entry.dtype, casting="same_kind"):
            hint = f"Save it as {entry.dtype}."
            message = f"The array {entry.name!r} holds {array.dtype}, the model takes {entry.dtype}."
            raise DataError("data_does_not_fit", message, hint)
        fitted[entry.name] = array.astype(entry.dtype)
    return fitted

"""Turns rows into batches of a model's inputs, the same way every time: what it does is part of a figure's environment.

Rules:
- text is tokenised by the model's own tokenizer.json, cut where the plan says, padded to the longest row of its batch;
- arrays fit by name, or as the plan maps columns to inputs; an input named several times has those columns side by side;
- a recurrent model's state starts at zero; a language model's cache starts empty; positions count the tokens that are not padding;
- a single number for the whole batch (an input without axes) must be the same in every row of it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression_engine.canonical import digest_of
from compression_engine.data.alike import coarse, folded
from compression_engine.data.mapped import SMALL_BYTES, blocks, temporary
from compression_engine.data.rows import Array, Feed, Indices, ModelInput, Rows
from compression_engine.errors import DataError
from compression_engine.plan import Plan

MAX_TOKENS = 128
_TOKEN_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
_ONLY_ARRAY = ""
_CACHE_PREFIXES = ("past_key_values", "past.")
_CACHE_SWITCH = "use_cache_branch"
_TOKENS_AT_ONCE = 1024


class Encoder:
    """Rows in the form that a model takes. `rows.arrays` holds one array for each input that is made of columns."""

    def __init__(
        self, rows: Rows, inputs: Sequence[ModelInput], tokenizer: Path | None, plan: Plan | None = None
    ) -> None:
        self.plan = plan or Plan(max_tokens=MAX_TOKENS)
        self.rows = rows
        self.inputs = tuple(inputs)
        self._states = {state.input for state in self.plan.states}
        self._check_states()
        made = [entry for entry in self.inputs if not self._is_made_here(entry)]
        self._tokenizer: Any = None
        self.preprocessing: str | None = None
        if len(rows.texts):
            self._open_tokenizer(tokenizer, made)
        else:
            columns = _columns_of(rows.arrays, made, self.plan)
            fit = rows.without(_too_large(rows.arrays, columns, made))
            if not len(fit):
                hint = "Scale the numbers, or export the model with a wider type."
                raise DataError("no_usable_row", f"No row fits the model's inputs: {fit.broken[0]}.", hint)
            arrays = {entry.name: _joined([fit.arrays[name] for name in columns[entry.name]], entry) for entry in made}
            self.rows = Rows(rows.digest, (), arrays, fit.broken, fit.columns, fit.numbers, fit.counted)
            self.preprocessing = self._mapping()
        fixed = {entry.fixed_rows for entry in made if entry.fixed_rows is not None}
        self.fixed_rows = max(fixed) if fixed else None

    def batch(self, indices: Sequence[int], *, begins: bool = True) -> Feed:
        """The inputs for these rows, texts padded to the longest of them; without a state where a sequence goes on."""
        feed = self._encoded(list(indices)) if self._tokenizer is not None else self._taken(indices)
        for entry in self.inputs:
            if entry.name not in feed and (begins or entry.name not in self._states):
                feed[entry.name] = _beginning(entry, len(indices))
        return feed

    def only(self, indices: Indices, broken: Sequence[str] = ()) -> Encoder:
        """The same way of encoding for some of the rows; `broken` says why the others were left out."""
        return self.with_rows(self.rows.take(indices, broken))

    def with_rows(self, rows: Rows) -> Encoder:
        """The same way of encoding for other rows, whose arrays have the names and shapes of these."""
        other = copy.copy(self)
        other.rows = rows
        return other

    def token_counts(self) -> NDArray[np.int64] | None:
        """Tokens of each row after cutting, or None for arrays."""
        if self._tokenizer is None:
            return None
        counts: list[int] = []
        for start in range(0, len(self.rows), _TOKENS_AT_ONCE):
            encodings = self._tokenizer.encode_batch(list(self.rows.texts[start : start + _TOKENS_AT_ONCE]))
            counts += [sum(encoding.attention_mask) for encoding in encodings]
        return np.array(counts, dtype=np.int64)

    def row_bytes(self, indices: Sequence[int]) -> list[bytes]:
        """What the model gets of each row, without padding, as bytes: two rows are the same when these are."""
        if self._tokenizer is not None:
            encodings = self._tokenizer.encode_batch([self.rows.texts[index] for index in indices])
            return [
                np.array([i for i, real in zip(entry.ids, entry.attention_mask, strict=True) if real], "<i8").tobytes()
                for entry in encodings
            ]
        return _row_by_row({name: _little(array) for name, array in self._taken(indices, scalars=True).items()})

    def alike_bytes(self, indices: Sequence[int]) -> list[bytes]:
        """Bytes that nearly equal rows have in common, see `data.alike`; of a text all of it, also what is cut off."""
        if self._tokenizer is not None:
            return [folded(self.rows.texts[index]).encode() for index in indices]
        return _row_by_row({name: _little(coarse(array)) for name, array in self._taken(indices, scalars=True).items()})

    def points(self) -> RowPoints | None:
        """The rows as points, see `data.nearness`; None where they are texts."""
        return None if self._tokenizer is not None else RowPoints(self)

    def numbers(self, indices: Sequence[int]) -> NDArray[np.float64]:
        """All numbers of these rows side by side, inputs by name, [rows, numbers]; what is none is zero."""
        feed = self._taken(indices, scalars=True)
        flat = [np.asarray(feed[name], dtype=np.float64).reshape(len(indices), -1) for name in sorted(feed)]
        return np.nan_to_num(np.concatenate(flat, axis=1), posinf=0.0, neginf=0.0)

    def _taken(self, indices: Sequence[int], *, scalars: bool = False) -> Feed:
        feed: Feed = {}
        chosen = slice(indices.start, indices.stop, indices.step) if isinstance(indices, range) else list(indices)
        for entry in self.inputs:
            if entry.name not in self.rows.arrays:
                continue
            values = np.asarray(self.rows.arrays[entry.name][chosen]).astype(entry.dtype, copy=False)
            feed[entry.name] = values if scalars or entry.shape != () else _one_number(entry.name, values)
        return feed

    def _encoded(self, indices: list[int]) -> Feed:
        encodings = self._tokenizer.encode_batch([self.rows.texts[index] for index in indices])
        mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
        columns = {
            "input_ids": [encoding.ids for encoding in encodings],
            "attention_mask": mask,
            "token_type_ids": [encoding.type_ids for encoding in encodings],
            "position_ids": np.maximum(mask.cumsum(axis=1) - 1, 0),
        }
        wanted = (entry for entry in self.inputs if entry.name in columns)
        return {entry.name: np.array(columns[entry.name], dtype=entry.dtype) for entry in wanted}

    def _is_made_here(self, entry: ModelInput) -> bool:
        return entry.name in self._states or entry.name.startswith(_CACHE_PREFIXES) or entry.name == _CACHE_SWITCH

    def _check_states(self) -> None:
        missing = sorted(self._states - {entry.name for entry in self.inputs})
        if missing:
            hint = f"The model takes: {', '.join(entry.name for entry in self.inputs)}."
            raise DataError("data_does_not_fit", f"The plan's state {missing[0]!r} is no input of the model.", hint)

    def _mapping(self) -> str | None:
        if not self.plan.inputs:
            return None
        pairs = ", ".join(f"{name} = {column}" for name, column in self.plan.inputs[:50])
        return f"columns as inputs: {pairs}" + (" ..." if len(self.plan.inputs) > 50 else "")

    def _open_tokenizer(self, tokenizer: Path | None, made: Sequence[ModelInput]) -> None:
        from tokenizers import Tokenizer

        unknown = sorted(entry.name for entry in made if entry.name not in _TOKEN_INPUTS)
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
        opened.enable_truncation(max_length=self.plan.max_tokens)
        padding = opened.padding or {}
        opened.enable_padding(pad_id=padding.get("pad_id", 0), pad_token=padding.get("pad_token", "[PAD]"))
        self._tokenizer = opened
        self.preprocessing = (
            f"tokenizer {digest_of(data)}, cut at {self.plan.max_tokens} tokens, padded to the longest in a batch"
        )


class RowPoints:
    """Rows of an encoder as points; see `data.nearness.Points`."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.width = encoder.numbers([0]).shape[1] if len(encoder.rows) else 0

    def __len__(self) -> int:
        return len(self._encoder.rows)

    def taken(self, indices: Sequence[int]) -> NDArray[np.float64]:
        """The points of these rows, [rows, numbers]."""
        return self._encoder.numbers(indices)


def _columns_of(arrays: Mapping[str, Array], inputs: Sequence[ModelInput], plan: Plan) -> dict[str, list[str]]:
    """The arrays that each input is made of, whose types fit; raises DataError."""
    if set(arrays) == {_ONLY_ARRAY} and len(inputs) == 1:
        _check_type(inputs[0].name, arrays[_ONLY_ARRAY], inputs[0])
        return {inputs[0].name: [_ONLY_ARRAY]}
    mapped: dict[str, list[str]] = {}
    for name, column in plan.inputs:
        mapped.setdefault(name, []).append(column)
    strangers = sorted(set(mapped) - {entry.name for entry in inputs})
    if strangers:
        hint = f"The model takes: {', '.join(entry.name for entry in inputs)}."
        raise DataError("data_does_not_fit", f"The plan's input {strangers[0]!r} is no input of the model.", hint)
    found: dict[str, list[str]] = {}
    for entry in inputs:
        columns = mapped.get(entry.name, [entry.name])
        missing = [column for column in columns if column not in arrays]
        if missing:
            needed = sorted({column for one in inputs for column in mapped.get(one.name, [one.name])})
            missing = sorted(column for column in needed if column not in arrays)
            hint = (
                f"Give arrays named {', '.join(needed)}, or say in a plan which columns are which, and what is a state."
            )
            raise DataError("data_does_not_fit", f"The data lack the model's input {', '.join(missing)}.", hint)
        for column in columns:
            _check_type(column, arrays[column], entry)
        found[entry.name] = columns
    return found


def _too_large(
    arrays: Mapping[str, Array], columns: Mapping[str, Sequence[str]], inputs: Sequence[ModelInput]
) -> dict[int, str]:
    """Rows with a number that the type of its input cannot hold: a cast would give another number, or infinity."""
    reasons: dict[int, str] = {}
    for entry in inputs:
        about: Any = np.finfo(entry.dtype) if entry.dtype.kind == "f" else None
        if entry.dtype.kind in "iu":
            about = np.iinfo(entry.dtype)
        for name in columns[entry.name]:
            array = arrays[name]
            if about is None or np.can_cast(array.dtype, entry.dtype, casting="safe"):
                continue
            for part in blocks(array):
                flat = array[part].reshape(len(array[part]), -1)
                for row in np.flatnonzero(((flat < about.min) | (flat > about.max)).any(axis=1)):
                    said = f"a number in {name or entry.name!r} is too large for the model's {entry.dtype}"
                    reasons.setdefault(part.start + int(row), said)
    return reasons


def _check_type(name: str, array: Array, entry: ModelInput) -> None:
    whole_as_floats = array.dtype.kind in "biu" and entry.dtype.kind == "f"
    if not whole_as_floats and not np.can_cast(array.dtype, entry.dtype, casting="same_kind"):
        hint = f"Save it as {entry.dtype}."
        message = f"The array {name!r} holds {array.dtype}, the model takes {entry.dtype}."
        raise DataError("data_does_not_fit", message, hint)


def _joined(arrays: Sequence[Array], entry: ModelInput) -> Array:
    """Columns side by side; one column as it is, with an axis of its own where the model has one more."""
    if len(arrays) > 1:
        flat = [array.reshape(len(array), -1) for array in arrays]
        made = temporary((len(flat[0]), sum(array.shape[1] for array in flat)), entry.dtype)
        for part in blocks(made):
            made[part] = np.concatenate([array[part] for array in flat], axis=1)
        return made
    array = arrays[0]
    if array.ndim == 1 and entry.shape is not None and len(entry.shape) == 2:
        array = array.reshape(-1, 1)
    return array if array.nbytes > SMALL_BYTES else np.asarray(array).astype(entry.dtype)


def _one_number(name: str, values: Array) -> Array:
    if (values != values.flat[0]).any():
        hint = "Give one value for all rows, or evaluate the rows in files of their own."
        raise DataError(
            "data_does_not_fit", f"The input {name!r} is one number for a batch, and rows differ in it.", hint
        )
    return np.asarray(values.flat[0])


def _beginning(entry: ModelInput, rows: int) -> Array:
    """Zeros for a state, nothing for a cache: free axes are rows, the free axis of a cache's length is empty."""
    shape = entry.shape or ()
    if entry.name == _CACHE_SWITCH:
        return np.zeros(len(shape) and 1, dtype=entry.dtype)
    free = [place for place, size in enumerate(shape) if not isinstance(size, int)]
    sizes = [size if isinstance(size, int) else rows for size in shape]
    if entry.name.startswith(_CACHE_PREFIXES):
        for place in free[1:]:
            sizes[place] = 0
    return np.zeros(sizes, dtype=entry.dtype)


def _row_by_row(feed: Feed) -> list[bytes]:
    """The bytes of each row, its inputs by name."""
    rows = len(next(iter(feed.values()), ()))
    return [b"".join(feed[name][row].tobytes() for name in sorted(feed)) for row in range(rows)]


def _little(array: Array) -> Array:
    if array.dtype.kind == "f":
        array = array + array.dtype.type(0)  # minus zero is the same number as zero
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))

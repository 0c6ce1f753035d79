"""Runs ONNX models in onnxruntime on the processor, with pinned threads, and cuts the answers into rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from compression_engine.answers import batch_watch
from compression_engine.data import Array, Encoder, Feed, ModelInput
from compression_engine.errors import DataError, EngineError
from compression_engine.inspect import inspect_file
from compression_engine.limits import limits
from compression_engine.progress import Progress

BATCH_ROWS = 16
DTYPES: Mapping[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int16)": np.int16,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}
"""What rows can be made into, by the runtime's word for the type of an input."""
_NOTHING_BUT_FATAL = 4  # what goes wrong is said by us, with what to do
CPU = "CPUExecutionProvider"
OPTIMISATIONS = {
    "none": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
"""How much of the graph onnxruntime rewrites when it opens a model."""


@dataclass(frozen=True)
class Declared:
    """An input as the runtime declares it: name, type (`tensor(float)`), sizes (a number, a name, or None where free)."""

    name: str
    type: str
    shape: tuple[int | str | None, ...]


class Model:
    """An opened model; EngineError output_does_not_load, output_does_not_run or provider_missing where that fails."""

    def __init__(
        self, path: Path, threads: int, *, what: str = "The model", optimisation: str = "all", provider: str = CPU
    ) -> None:
        if provider not in onnxruntime.get_available_providers():
            hint = f"This onnxruntime has: {', '.join(onnxruntime.get_available_providers())}."
            raise EngineError("provider_missing", f"There is no execution provider {provider!r} here.", hint)
        _check_name(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = _NOTHING_BUT_FATAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.graph_optimization_level = OPTIMISATIONS[optimisation]
        self.what, self.path = what, path
        self.optimisation, self.provider = optimisation, provider
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
        except Exception as error:
            hint = "Export it again; onnxruntime must be able to open a model before it can be compressed."
            raise EngineError("output_does_not_load", f"{what} does not open: {_short(error)}.", hint) from error
        used = self._session.get_providers()[0]
        if used != provider:
            hint = "Look at what its driver says, or measure with another provider."
            raise EngineError("provider_missing", f"{what} runs on {used}, not on {provider} as asked.", hint)
        self.output_names = [entry.name for entry in self._session.get_outputs()]

    def reopened(self, threads: int) -> Model:
        """The same file in a session of its own, served in the same way on so many threads."""
        return Model(self.path, threads, what=self.what, optimisation=self.optimisation, provider=self.provider)

    @property
    def signature(self) -> list[tuple[str, str, tuple[Any, ...]]]:
        """Names, types and shapes of inputs and outputs, to compare a child with its parent."""
        entries = [*self._session.get_inputs(), *self._session.get_outputs()]
        return [(entry.name, entry.type, tuple(entry.shape)) for entry in entries]

    def declared(self) -> list[Declared]:
        """What the model takes, of any type."""
        return [Declared(entry.name, entry.type, tuple(entry.shape or ())) for entry in self._session.get_inputs()]

    def inputs(self) -> list[ModelInput]:
        """What the model takes; raises DataError for types that rows cannot be made of."""
        found = []
        for entry in self._session.get_inputs():
            if entry.type not in DTYPES:
                hint = "The engine measures models that take plain numeric tensors."
                raise DataError("data_does_not_fit", f"The input {entry.name!r} is a {entry.type}.", hint)
            if any(sign in entry.name for sign in "\0\n\r"):
                hint = "Export the model with plain names."
                raise DataError(
                    "data_does_not_fit", f"The input {entry.name!r} has a name that cannot be written.", hint
                )
            first = entry.shape[0] if entry.shape else None
            fixed = first if isinstance(first, int) and first > 0 else None
            shape = None if entry.shape is None else tuple(entry.shape)
            found.append(ModelInput(entry.name, np.dtype(DTYPES[entry.type]), fixed, shape))
        return found

    def run(self, feed: Feed) -> list[Array]:
        """The outputs for one batch, in the model's order; EngineError output_does_not_run or batch_does_not_end."""
        return [np.asarray(output) for output in self.run_any(feed)]

    def run_any(self, feed: Feed) -> list[Any]:
        """As `run`, with sequences and maps as lists and dicts."""
        options, seconds = onnxruntime.RunOptions(), limits().seconds_per_batch
        batch_watch.begin(options, seconds)
        try:
            outputs = self._session.run(None, feed, options)
        except Exception as error:
            if options.terminate:
                raise self._endless(seconds) from error
            hint = "Check that the rows fit the model's inputs; if they do, the model cannot be used as it is."
            raise EngineError("output_does_not_run", f"{self.what} fails on a batch: {_short(error)}.", hint) from error
        finally:
            batch_watch.end()
        return list(outputs)

    def _endless(self, seconds: int) -> EngineError:
        loops = " It has the operator Loop, which ends when the model says so." if _has_loop(self.path) else ""
        message = f"{self.what} had not answered a batch after {seconds:,} seconds.{loops}"
        hint = (
            "If it only is slow, give it more time: --seconds-per-batch in a shell; in a registry a twelfth of "
            "PRESSMARK_RUN_TIME_LIMIT_SECONDS."
        )
        return EngineError("batch_does_not_end", message, hint)


@dataclass(frozen=True)
class Batch:
    """Rows that run together: their inputs, how many of them count (the rest fills up a fixed batch), real tokens."""

    feed: Feed
    count: int

    def rows(self, output: Array) -> list[Array]:
        """One flat array a row; positions that are padding are cut out. EngineError output_does_not_run where rows lack one."""
        self.check(output)
        mask = self.feed.get("attention_mask")
        if mask is not None and output.ndim >= 3 and output.shape[1] == mask.shape[1]:
            return [output[row][mask[row] != 0].reshape(-1) for row in range(self.count)]
        return [output[row].reshape(-1) for row in range(self.count)]

    def check(self, output: Array) -> None:
        """Every row has an answer; which output is judged was seen over one row alone, where a mean over the rows is like one."""
        found = len(output) if output.ndim else 0
        if found < self.count:
            hint = (
                "An output must have one entry for each row, whatever other rows run beside it; export the model again."
            )
            raise EngineError("output_does_not_run", f"A model gives {found} answers to {self.count} rows.", hint)


def batches(encoder: Encoder, rows: int | None = None, *, start: int = 0) -> Iterator[Batch]:
    """The rows in their order, 16 at a time, or as many as the model's fixed first dimension wants."""
    total = len(encoder.rows) if rows is None else min(rows, len(encoder.rows))
    size = encoder.fixed_rows or BATCH_ROWS
    for first in range(start, total, size):
        yield batch_at(encoder, range(first, min(first + size, total)))


def batch_at(encoder: Encoder, indices: Sequence[int]) -> Batch:
    """These rows together; a fixed first dimension is filled up with the last of them."""
    count = len(indices)
    if encoder.fixed_rows and count < encoder.fixed_rows:
        indices = [*indices, *[indices[-1]] * (encoder.fixed_rows - count)]
    return Batch(encoder.batch(indices), count)


def batch_rows(batch: Batch, output: Array) -> Array | list[Array]:
    """The rows of an output, in their shape where all have one, flat without padding where they differ.

    EngineError output_does_not_run where rows lack an answer.
    """
    batch.check(output)
    mask = batch.feed.get("attention_mask")
    if mask is not None and output.ndim >= 3 and output.shape[1] == mask.shape[1]:
        return batch.rows(output)
    return output[: batch.count]


def judged_output(model: Model, batch: Batch, name: str | None) -> int:
    """Which output is judged: the one of this name, else the first that `primary_output` finds; raises DataError."""
    if name is None:
        return primary_output(model, batch)
    if name not in model.output_names:
        hint = f"It gives: {', '.join(model.output_names)}."
        raise DataError("data_does_not_fit", f"{model.what} has no output {name!r}.", hint)
    index = model.output_names.index(name)
    output = model.run(batch.feed)[index]
    if output.ndim < 1 or output.shape[0] < batch.count or output.dtype.kind not in "biuf":
        hint = "Name an output of numbers whose first axis is rows."
        raise DataError(
            "data_does_not_fit", f"The output {name!r} of {model.what.lower()} has no entry for each row.", hint
        )
    return index


def primary_output(model: Model, batch: Batch) -> int:
    """Which output is compared: the first that is made of floats and has one entry a row."""
    expected = max((len(array) for array in batch.feed.values() if array.ndim), default=1)
    for index, output in enumerate(model.run(batch.feed)):
        if np.issubdtype(output.dtype, np.floating) and output.ndim >= 1 and output.shape[0] == expected:
            return index
    hint = "The first axis of inputs and outputs must be rows."
    raise DataError("data_does_not_fit", f"{model.what} has no output of floats with one entry a row.", hint)


def answers(model: Model, encoder: Encoder, output: int, progress: Progress, stage: str) -> list[Array]:
    """The compared output for every row, flat."""
    found: list[Array] = []
    for batch in batches(encoder):
        progress(stage, len(found), len(encoder.rows), f"{model.what}: rows answered")
        found += batch.rows(model.run(batch.feed)[output])
    return found


def _check_name(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        message = f"The path of {path.name} holds bytes that are no UTF-8 text."
        raise EngineError("output_does_not_load", message, "Rename the file and its folders.") from error


def _has_loop(path: Path) -> bool:
    beside = frozenset(entry.relative_to(path.parent).as_posix() for entry in path.parent.rglob("*"))
    return any(name == "Loop" for name, _ in inspect_file(path, name=path.name, siblings=beside).operators)


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:300].rstrip(".")

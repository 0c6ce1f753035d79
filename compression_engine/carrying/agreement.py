"""Whether the ONNX form answers as the torch model does: on the evaluation rows, else on generated inputs.

Rules:
- both are asked the same, at least twice, at other sizes where axes are free; torch runs on one thread, without gradients;
- where an output is further apart than 1e-3 of its largest number, the model is refused (carried_differs): tracing froze something;
- the figures are evidence of a kind of their own, `carried`: they say nothing of a child.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from compression_engine.carrying.to_onnx import Source
from compression_engine.checking.generated_inputs import Inputs, proposals
from compression_engine.data import Array, Encoder, Feed, Rows
from compression_engine.errors import EngineError
from compression_engine.formats.onnx_inputs import bounds
from compression_engine.plan import Plan
from compression_engine.result import Measurement
from compression_engine.runtime import Model, batch_at, batches

_MOST = 1e-3
_ROWS_MOST = 64
_GENERATED = 4


@dataclass
class Apart:
    """How far answers are apart, over everything that was asked."""

    calls: int = 0
    largest: float = 0.0
    least_cosine: float = 1.0

    def add(self, ours: Array, theirs: Array, name: str) -> None:
        """One output of one call, of the ONNX form and of torch."""
        a, b = ours.astype(np.float64), theirs.astype(np.float64)
        if a.shape != b.shape or not np.array_equal(np.isfinite(a), np.isfinite(b)):
            raise _differs(name, "another shape, or other numbers are infinite")
        a, b = np.nan_to_num(a), np.nan_to_num(b)
        part = float(np.abs(a - b).max(initial=0.0) / max(np.abs(b).max(initial=0.0), 1e-6))
        self.largest = max(self.largest, part)
        lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
        if lengths:
            self.least_cosine = min(self.least_cosine, float((a * b).sum()) / lengths)
        if part > _MOST:
            raise _differs(name, f"they are {part:.2g} of its largest number apart")

    def figures(self, on: str) -> list[Measurement]:
        """What was found, each figure with its sentence."""
        said = f"in {self.calls} calls on {on} that the torch model and its ONNX form both answered"
        return [
            Measurement("carried_calls", self.calls, "count", self.calls, f"Both forms ran: {said}."),
            Measurement(
                "carried_cosine", self.least_cosine, "cosine", self.calls,
                f"The least cosine between answers was {self.least_cosine:.6f} {said}.",
            ),
            Measurement(
                "carried_difference", self.largest, "share", self.calls,
                f"Answers were at most {self.largest:.2g} of an output's largest number apart, {said}.",
            ),
        ]  # fmt: skip


def compared(
    source: Source, path: Path, rows: Rows | None, plan: Plan | None, tokenizer: Path | None
) -> list[Measurement]:
    """Asks both. Raises EngineError (carried_differs), DataError where rows do not fit the model."""
    model, found = Model(path, 1, what="The ONNX form"), Apart()
    feeds = _of_rows(model, rows, plan, tokenizer) if rows is not None else _generated(model, path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for feed in feeds:
            with torch.no_grad():
                made = source.module(*(torch.from_numpy(np.array(feed[name])) for name in source.examples))
            theirs = [one.numpy() for one in (made if isinstance(made, tuple) else (made,))]
            for name, ours, their in zip(model.output_names, model.run_any(feed), theirs, strict=True):
                found.add(np.asarray(ours), their, name)
            found.calls += 1
    finally:
        torch.set_num_threads(threads)
    if not found.calls:
        raise EngineError("carried_differs", "Nothing could be asked of both forms.", "Give evaluation rows.")
    return found.figures("the evaluation rows" if rows is not None else "generated inputs")


def _of_rows(model: Model, rows: Rows, plan: Plan | None, tokenizer: Path | None) -> Iterator[Feed]:
    """The first rows, some together and some alone."""
    encoder = Encoder(rows, model.inputs(), tokenizer, plan)
    if encoder.fixed_rows is None and len(encoder.rows):
        yield batch_at(encoder, [0]).feed
    for batch in batches(encoder, _ROWS_MOST):
        yield batch.feed


def _generated(model: Model, path: Path) -> Iterator[Feed]:
    inputs = Inputs(model.declared(), bounds(onnx.load_model(str(path), load_external_data=False)))
    asked = 0
    for proposal in proposals():
        feed: Any = inputs.feed(proposal, asked)
        try:
            model.run_any(feed)
        except EngineError:
            continue
        yield feed
        asked += 1
        if asked == _GENERATED:
            return


def _differs(name: str, how: str) -> EngineError:
    hint = "Export the model to ONNX yourself, and compare: what depends on numbers (branches, loops) cannot be traced."
    return EngineError(
        "carried_differs", f"The ONNX form answers otherwise than the torch model in {name!r}: {how}.", hint
    )

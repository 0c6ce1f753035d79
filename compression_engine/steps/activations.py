"""What flows into the products of a model while it answers calibration rows, as sums that do not grow with the rows.

Rules:
- the model is run once for as many products as fit into a bounded memory, else several times, never with its own answers kept;
- one thread, so that sums do not depend on how many there are;
- positions that are padding do not count; a recurrent model's rows each begin with an empty state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from compression_engine.data import Array, Encoder
from compression_engine.errors import DataError
from compression_engine.formats.windows import Source
from compression_engine.limits import scratch
from compression_engine.progress import Progress
from compression_engine.runtime import Batch, batches
from compression_engine.steps.calibration import Calibration
from compression_engine.steps.observing import real, together, watched

_BYTES_TOGETHER = 256 * 1024**2
"""Most bytes of sums that are held at a time; a single larger one is made alone."""
_DOUBLE = 8
Gram = NDArray[np.float64]


@dataclass(frozen=True)
class Wanted:
    """Tensors whose rows count together, and the size of a row: that of their last axis, or of a window."""

    sources: tuple[Source, ...]
    size: int


def grams(
    model: onnx.ModelProto, calibration: Calibration, wanted: Sequence[Wanted], progress: Progress
) -> Iterator[tuple[Wanted, Gram]]:
    """X' X, [size, size], of each of `wanted`, X being all rows of its tensors over all real positions.

    The tensors are of the main graph. Raises DataError (data_does_not_fit) where rows hold what is no number there,
    EngineError where model and rows do not fit.
    """
    for some in together([(one, _DOUBLE * one.size**2) for one in wanted], _BYTES_TOGETHER):
        sums = {one: np.zeros((one.size, one.size)) for one in some}
        with scratch("pressmark-model-") as folder, threadpool_limits(limits=1, user_api="blas"):
            opened = watched(
                model, sorted({source.name for one in some for source in one.sources}), folder / "model.onnx"
            )
            encoder = Encoder(calibration.rows, opened.inputs(), calibration.tokenizer, calibration.plan)
            done = 0
            for batch in batches(encoder):
                progress("calibrate", done, len(encoder.rows), "calibration rows looked at")
                done += batch.count
                given = batch.feed | dict(zip(opened.output_names, opened.run(batch.feed), strict=True))
                for one, found in sums.items():
                    for source in one.sources:
                        for rows in _rows(given[source.name], source, batch):
                            found += rows.T @ rows
        for one, found in sums.items():
            if not np.isfinite(found).all():
                hint = (
                    "Leave out rows with extreme numbers, or look at no rows (another rounding than gptq; fit weights)."
                )
                raise DataError(
                    "data_does_not_fit", f"Calibration rows give NaN or infinity at {one.sources[0].name!r}.", hint
                )
            yield one, found


def _rows(array: Array, source: Source, batch: Batch) -> Iterable[Array]:
    """The rows of a tensor, all together or entry by entry, so that windows never take much more room than the tensor."""
    return [_positions(array, batch)] if source.window is None else source.window.rows(array[: batch.count])


def _positions(array: Array, batch: Batch) -> Array:
    """The rows [n, size] of a tensor, without padding."""
    array = real(array, batch)
    return np.asarray(array.reshape(-1, array.shape[-1]), dtype=np.float64)

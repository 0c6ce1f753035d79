"""What a recurrent teacher answers to training rows: along whole sequences, as an evaluation runs a model that carries a state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import onnx

from compression_engine.answers.answering import answer
from compression_engine.answers.outputs import ANSWER, VERSION, Field
from compression_engine.data.rows import Indices
from compression_engine.formats import onnx_io
from compression_engine.limits import scratch
from compression_engine.progress import Progress
from compression_engine.runtime import Model
from compression_engine.training.asking import refuse_no_numbers
from compression_engine.training.material import Parts, Taught

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

_THREADS = 1


@contextmanager
def teaching_along_sequences(
    parts: Parts, teacher: onnx.ModelProto, judged: str, progress: Progress
) -> Iterator[Taught]:
    """Gives, while it is open, the teacher's answers of the output `judged`, which lie in a file; it is asked when one is wanted.

    The teacher takes the student's inputs and states. Raises EngineError (output_does_not_load, output_does_not_run,
    teacher_does_not_fit, disk_full).
    """
    # labels are no matter of the teacher's, and its answers are kept under the one output that is judged
    plan = replace(parts.training.plan, label=None, output=judged, slices=(), protected=())
    with scratch("pressmark-teacher-") as folder:
        onnx_io.save(teacher, folder / "teacher.onnx")
        model = Model(folder / "teacher.onnx", _THREADS, what="The teacher")

        @cache
        def answers() -> Field:
            held = answer({VERSION: model}, parts.encoder, plan, folder=folder / "answers", progress=progress)
            return held.models[VERSION][ANSWER]

        def taught(rows: Indices) -> Mapping[str, torch.Tensor]:
            import torch

            found = [np.asarray(answers().row(int(row))) for row in rows]
            refuse_no_numbers(judged, found, [parts.encoder.rows.name(int(row)) for row in rows])
            return {judged: torch.tensor(np.stack(found))}

        yield taught

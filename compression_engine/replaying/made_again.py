"""Writes a model that was made again into as many files as the recorded one has.

Before engine 0.4.0 every child was one file; its bytes can only be made again in that form.
"""

from __future__ import annotations

from pathlib import Path

import onnx

from compression_engine.formats import onnx_io
from compression_engine.formats.onnx_external import FileRecord
from compression_engine.steps.bringing_in import bring_in


def write_as_recorded(model: onnx.ModelProto, path: Path, *, apart: bool) -> list[FileRecord]:
    """Writes one file, or with `apart` two, and says which. Raises EngineError (model_does_not_fit, disk_full)."""
    if not apart:
        bring_in(model, "A model that was recorded as one file")
    return onnx_io.write(model, path, apart=apart)

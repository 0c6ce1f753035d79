"""The errors of carrying: a torch model that cannot become ONNX is refused by what stands in the way."""

from __future__ import annotations

from compression_engine.errors import EngineError, FileRefused


def cannot_be_carried(what: str, hint: str = "Export the model to ONNX yourself, and give that.") -> EngineError:
    """`what` continues "The model cannot be carried to ONNX: "."""
    return EngineError("cannot_be_carried", f"The model cannot be carried to ONNX: {what}.", hint)


def malformed(what: str) -> FileRefused:
    """A description that is not what torch.export writes."""
    hint = "Save the model again with torch.export.save."
    return FileRefused(
        "structure_invalid", f"The exported program is not described as torch.export does: {what}.", hint
    )

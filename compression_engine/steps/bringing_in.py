"""Brings numbers that lie in files into memory, for steps that cannot work block by block, where there is room for them.

Rules:
- what decides is the size of the parked tensors against the memory at hand (`memory_at_hand`): four times as much must be free, for
  the model, a working copy, what a runtime makes of it, and what a step computes with;
- where it is not, nothing is begun (model_does_not_fit), and the hint says which steps need no room.
"""

from __future__ import annotations

import onnx

from compression_engine.errors import EngineError
from compression_engine.formats.parked import fetch, parked_in, size_bytes
from compression_engine.memory_at_hand import memory_at_hand_bytes

_TIMES_FREE = 4
_MIB = 1024**2


def bring_in(model: onnx.ModelProto, what: str) -> None:
    """Reads every parked tensor, in place; `what` wants it so. Raises EngineError (model_does_not_fit)."""
    parked = list(parked_in(model))
    needed, free = _TIMES_FREE * sum(map(size_bytes, parked)), memory_at_hand_bytes()
    if needed > free:
        message = (
            f"{what} works on the whole model, for which {_told(needed)} of memory are wanted; {_told(free)} are free."
        )
        hint = (
            "Use quantize_weights with the rounding nearest or mse, or convert_fp16: these read a model block by block. "
            "Or give the run more memory."
        )
        raise EngineError("model_does_not_fit", message, hint)
    for tensor in parked:
        fetch(tensor)


def _told(size: float) -> str:
    return f"{size / _MIB:,.0f} MiB"

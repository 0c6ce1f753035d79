"""Puts the bodies of a model's own functions in the place of their calls, so that weights inside of them and behind them are seen.

Exporters write a module of a network as a function of the model (`model.functions`); runtimes inline them too. Functions that
cannot be inlined stay as they are: what they read is then left alone, and named with the function.
"""

from __future__ import annotations

import onnx
import onnx.inliner


def inline_functions(model: onnx.ModelProto) -> None:
    """Inlines in place; a model without functions is not touched."""
    if not model.functions:
        return
    try:
        inlined = onnx.inliner.inline_local_functions(model)
        onnx.checker.check_model(inlined)
    except Exception:  # of native code, of many kinds; the model is used as it is
        return
    model.CopyFrom(inlined)

"""A module of torch as ONNX bytes: the same bytes for the same module, in every process.

Rules:
- operator set 17, by torch's tracing exporter, which writes what most ONNX files of torch look like; constants are folded;
- free axes stay free: their names are given; inputs and outputs are called as their ports are;
- what was traced is checked by answers later (`agreement`): tracing can freeze what depended on the numbers.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from compression_engine.carrying.refusing import cannot_be_carried
from compression_engine.errors import EngineError

OPSET = 17
EXPORTER = "torch.onnx"


@dataclass(frozen=True)
class Source:
    """A module with examples of its inputs: by name, in order; `axes` names free axes of inputs and outputs."""

    module: torch.nn.Module
    examples: Mapping[str, torch.Tensor]
    outputs: Sequence[str]
    axes: Mapping[str, Mapping[int, str]]


def to_onnx(source: Source) -> bytes:
    """Traces and writes. Raises EngineError (cannot_be_carried)."""
    buffer, threads = io.BytesIO(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter(
                "ignore"
            )  # the exporter announces its successor, and what tracing freezes: see `agreement`
            torch.onnx.export(
                source.module.eval(), tuple(source.examples.values()), buffer, input_names=list(source.examples),
                output_names=list(source.outputs), dynamic_axes={name: dict(axes) for name, axes in source.axes.items()},
                opset_version=OPSET, dynamo=False, do_constant_folding=True,
            )  # fmt: skip
    except EngineError:
        raise
    except Exception as error:  # the exporter raises many kinds
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise cannot_be_carried(f"torch's exporter refuses it: {lines[0]:.300}") from error
    finally:
        torch.set_num_threads(threads)
    return buffer.getvalue()


def exporter() -> dict[str, Any]:
    """How a result names what wrote the ONNX form."""
    return {"name": EXPORTER, "opset": OPSET, "version": str(torch.__version__)}

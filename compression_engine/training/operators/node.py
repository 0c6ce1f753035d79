"""What an operator is told of its node when a graph is compiled: attributes, which inputs are fixed, types; and how it refuses.

An operator of the table is a function of a `Node` that gives an `Operation`: it reads attributes and fixed inputs once, and what it
gives is called in every forward pass with one tensor for each input of the node (None for one that is left out).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor

from compression_engine.errors import EngineError

Operation = Callable[..., Any]
"""Takes a tensor or None for each input; gives a tensor, or a tuple of as many as the node has outputs."""
Builder = Callable[["Node"], Operation]

_WORKING = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
_OTHERS = {
    TensorProto.DOUBLE: torch.float64,
    TensorProto.INT64: torch.int64,
    TensorProto.INT32: torch.int32,
    TensorProto.INT16: torch.int16,
    TensorProto.INT8: torch.int8,
    TensorProto.UINT8: torch.uint8,
    TensorProto.UINT16: torch.int32,
    TensorProto.UINT32: torch.int64,
    TensorProto.UINT64: torch.int64,
    TensorProto.BOOL: torch.bool,
}


@dataclass(frozen=True)
class Types:
    """Which type of torch stands for a type of ONNX: floats of 16 and 32 bits are calculated in `working`."""

    working: torch.dtype = torch.float32

    def of(self, data_type: int) -> torch.dtype | None:
        """The type of torch; None where there is none (texts, complex numbers, numbers of eight bits and fewer)."""
        return self.working if data_type in _WORKING else _OTHERS.get(data_type)


@dataclass(frozen=True)
class Node:
    """One node: `fixed` holds what is known of its inputs before anything runs (never a weight), `given` which are there."""

    operator: str
    domain: str
    name: str
    attributes: Mapping[str, Any]
    opset: int
    fixed: tuple[Tensor | None, ...]
    given: tuple[bool, ...]
    outputs: int
    types: Types

    def has(self, index: int) -> bool:
        """Whether an input is given."""
        return index < len(self.given) and self.given[index]

    def value(self, index: int) -> Tensor | None:
        """An input that is known before anything runs."""
        return self.fixed[index] if index < len(self.fixed) else None

    def number(self, attribute: str, default: float) -> float:
        """An attribute that is a float."""
        return float(self.attributes.get(attribute, default))

    def integer(self, attribute: str, default: int) -> int:
        """An attribute that is an integer."""
        return int(self.attributes.get(attribute, default))

    def text(self, attribute: str, default: str) -> str:
        """An attribute that is a text."""
        return str(self.attributes.get(attribute, default))

    def integers(self, attribute: str) -> list[int] | None:
        """An attribute that is a list of integers; None where it is left out."""
        found = self.attributes.get(attribute)
        return None if found is None else [int(one) for one in found]

    def type_of(self, data_type: int) -> torch.dtype:
        """The type of torch for a type that an attribute names. Raises EngineError (cannot_be_trained)."""
        found = self.types.of(data_type)
        if found is None:
            raise self.refused(
                f"makes {TensorProto.DataType.Name(data_type)}, which is not calculated with in training"
            )
        return found

    def refused(self, why: str, hint: str = "") -> EngineError:
        """The error that this node cannot be trained through; `why` continues "the node ... "."""
        operator = self.operator if self.domain in ("", "ai.onnx") else f"{self.domain}.{self.operator}"
        return EngineError(
            "cannot_be_trained",
            f"The model cannot be trained: {operator} (node {self.name!r}) {why}.",
            hint or "Use a method that does not train, or export the model without this operator.",
        )


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Attributes by name, texts decoded; graphs and tensors as they are."""
    found: dict[str, Any] = {}
    for entry in node.attribute:
        value = helper.get_attribute_value(entry)
        found[entry.name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return found


def lists(node: Node, attribute: str, index: int) -> Callable[[Sequence[Any]], list[int] | None]:
    """How to get a list of integers that older operator sets have as an attribute and newer ones as an input: what this gives is
    called with all inputs of the node. None where neither is given."""
    fixed = node.integers(attribute)
    known = node.value(index)
    if fixed is None and known is not None:
        fixed = [int(one) for one in known.reshape(-1).tolist()]
    if fixed is not None or not node.has(index):
        return lambda given: fixed
    return lambda given: [int(one) for one in given[index].reshape(-1).tolist()]

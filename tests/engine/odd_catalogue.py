"""What a catalogue of odd graphs is made of: entries, and the ports and weights that they share.

An entry is a function that builds a small model with weights of more than a thousand numbers; its docstring says what is odd.
`left` names the tensors that stay as they are under integer methods, and why (a part of the reason).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.engine import nets

FLOAT, INT64, DOUBLE, HALF = TensorProto.FLOAT, TensorProto.INT64, TensorProto.DOUBLE, TensorProto.FLOAT16
Ports = dict[str, tuple[int, list[Any]]]
value_info = helper.make_tensor_value_info
node = helper.make_node


@dataclass(frozen=True)
class Odd:
    """A model, and what integer methods leave alone in it: name -> part of the reason."""

    build: Callable[[], onnx.ModelProto]
    left: dict[str, str] = field(default_factory=dict)
    least: float = 0.99


CATALOGUE: dict[str, Odd] = {}


def odd(**more: Any) -> Callable[[Callable[[], onnx.ModelProto]], Callable[[], onnx.ModelProto]]:
    """Puts a builder into the catalogue under its name."""

    def put(build: Callable[[], onnx.ModelProto]) -> Callable[[], onnx.ModelProto]:
        CATALOGUE[build.__name__] = Odd(build, **more)
        return build

    return put


def rows(width: int = 64) -> Ports:
    return {"x": (FLOAT, ["n", width])}


def answers(*sizes: Any, kind: int = FLOAT) -> Ports:
    return {"y": (kind, list(sizes))}


def w(*shape: int, seed: int = 0, dtype: Any = np.float32) -> nets.Array:
    return nets.weights(*shape, seed=seed, dtype=dtype)

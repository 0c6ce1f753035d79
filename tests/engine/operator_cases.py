"""One node of each operator with attributes and shapes drawn at random, and inputs for it; used by `test_network_operators`.

`CASES` maps a name to a function of `Draw` that gives a `Case`. Numbers are drawn from a seed, shapes and attributes by hypothesis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.engine import nets


@dataclass
class Case:
    """A node and its inputs: `fixed` are initializers, `given` the inputs of the model. `""` among `names` is left out."""

    operator: str
    names: list[str]
    given: dict[str, nets.Array]
    fixed: dict[str, nets.Array] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    opset: int = 17
    domain: str = ""

    def model(self) -> onnx.ModelProto:
        """The node as a model; its outputs are named y0, y1, ..."""
        names = [f"y{number}" for number in range(self.outputs)]
        node = helper.make_node(self.operator, self.names, names, domain=self.domain, **self.attributes)
        graph = helper.make_graph(
            [node], "one",
            [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), [None] * value.ndim)
             for name, value in self.given.items()],
            [helper.make_value_info(name, onnx.TypeProto()) for name in names],
            [numpy_helper.from_array(value, name) for name, value in self.fixed.items()],
        )  # fmt: skip
        opsets = [helper.make_opsetid("", self.opset)]
        opsets += [helper.make_opsetid(self.domain, 1)] if self.domain else []
        made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        inferred = onnx.shape_inference.infer_shapes(made)
        for value, found in zip(made.graph.output, inferred.graph.output, strict=True):
            kind = found.type.tensor_type.elem_type or TensorProto.FLOAT
            value.CopyFrom(helper.make_tensor_value_info(value.name, kind, None))
        return made


class Draw:
    """What cases are drawn with."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data
        self.generator = np.random.default_rng(self.integer(0, 10_000))

    def integer(self, least: int, most: int) -> int:
        return int(self._data.draw(st.integers(least, most)))

    def one_of(self, *values: Any) -> Any:
        return self._data.draw(st.sampled_from(values))

    def flag(self) -> bool:
        return bool(self._data.draw(st.booleans()))

    def shape(self, least: int = 1, most: int = 4) -> tuple[int, ...]:
        return tuple(self.integer(1, 4) for _ in range(self.integer(least, most)))

    def numbers(self, *shape: int, kind: Any = np.float32, low: float = -2.0, high: float = 2.0) -> nets.Array:
        return np.asarray(self.generator.uniform(low, high, shape), dtype=kind)

    def axes(self, rank: int) -> list[int]:
        """Some axes, named from the front or from the end."""
        chosen = self._data.draw(st.lists(st.integers(0, rank - 1), min_size=1, max_size=rank, unique=True))
        return [axis - rank if self.flag() else axis for axis in sorted(chosen)]


CASES: dict[str, Callable[[Draw], Case]] = {}


def case(*operators: str) -> Callable[[Callable[[Draw, str], Case]], Callable[[Draw, str], Case]]:
    """Puts a maker into the table, once for each operator."""

    def put(make: Callable[[Draw, str], Case]) -> Callable[[Draw, str], Case]:
        for operator in operators:
            name = operator
            while name in CASES:
                name += "+"
            CASES[name] = lambda draw, operator=operator: make(draw, operator)  # type: ignore[misc]
        return make

    return put


def covered(cases: Sequence[str]) -> set[str]:
    """The operators that these cases are of."""
    return {name.rstrip("+") for name in cases}

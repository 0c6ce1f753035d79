"""What looking at a file's structure finds, one shape for every format."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from compression_engine.canonical import JSON


@dataclass(frozen=True)
class Port:
    """An input or output of a model: name, data type and shape as text (`batch`, `?` where free)."""

    name: str
    dtype: str
    shape: str

    def document(self) -> dict[str, JSON]:
        """The port as JSON."""
        return {"name": self.name, "dtype": self.dtype, "shape": self.shape}


@dataclass(frozen=True)
class Inspection:
    """The structure of a model file. What a format does not have is None or empty."""

    format: str
    size_bytes: int
    tensor_count: int
    parameter_count: int
    bytes_by_dtype: tuple[tuple[str, int], ...]
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    node_count: int | None = None
    operators: tuple[tuple[str, int], ...] = ()
    ir_version: int | None = None
    opsets: tuple[tuple[str, int], ...] = ()
    producer: str | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    external_files: tuple[str, ...] = ()

    def document(self) -> dict[str, JSON]:
        """The inspection as a JSON value under FORMATS section 1 (names that come from data are values)."""
        return {
            "format": self.format,
            "size_bytes": self.size_bytes,
            "tensor_count": self.tensor_count,
            "parameter_count": self.parameter_count,
            "bytes_by_dtype": _pairs(self.bytes_by_dtype),
            "inputs": [port.document() for port in self.inputs],
            "outputs": [port.document() for port in self.outputs],
            "node_count": self.node_count,
            "operators": _pairs(self.operators),
            "ir_version": self.ir_version,
            "opsets": _pairs(self.opsets),
            "producer": self.producer,
            "metadata": _pairs(self.metadata),
            "external_files": list(self.external_files),
        }


@dataclass
class Tally:
    """Tensors counted while walking a file."""

    tensors: int = 0
    parameters: int = 0
    bytes_by_dtype: Counter[str] = field(default_factory=Counter)

    def add(self, dtype: str, elements: int, size_bytes: int) -> None:
        """Counts one tensor."""
        self.tensors += 1
        self.parameters += elements
        self.bytes_by_dtype[dtype] += size_bytes

    def dtypes(self) -> tuple[tuple[str, int], ...]:
        """Bytes by data type, sorted by name."""
        return tuple(sorted(self.bytes_by_dtype.items()))


def _pairs(pairs: tuple[tuple[str, JSON], ...]) -> list[JSON]:
    return [{"name": name, "value": value} for name, value in pairs]

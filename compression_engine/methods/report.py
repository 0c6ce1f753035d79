"""What a step says about itself: every large weight is either changed, and how, or left alone, and why; and what is stored instead.

Rules of a mark (`Stored`), of which the quantisation map is made:
- one for each tensor of the parent that is stored as something else, and one for each activation that is rounded while running;
- digests are of what is stored: type, shape and little-endian bytes, so that whoever has the file can compute them again;
- `parts` names the tensors of the output that hold it, so that a claim can be checked against the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import onnx

from compression_engine.canonical import JSON
from compression_engine.formats.parked import pieces
from compression_engine.tensor_digest import TensorDigest

DTYPES = ("int8", "uint8", "int4", "uint4", "float16", "bfloat16")
SCHEMES = ("symmetric", "asymmetric", "float")
_GRANULARITY = re.compile(r"(tensor|channel|token|unknown|block-[1-9][0-9]{0,5})\Z")
_ROUNDING = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")


@dataclass(frozen=True)
class Parts:
    """The names of the output's tensors that hold integers (or short floats), scales and zero points; None where there are none."""

    values: str | None = None
    scale: str | None = None
    zero: str | None = None


@dataclass(frozen=True)
class Stored:
    """How one tensor of the parent is stored, or one activation is rounded; ValueError for a word that the map does not know.

    `tensor` is its name in the parent; `granularity` says which numbers share a scale: tensor, channel, token, block-<size>
    (unknown where another program's file does not say).
    `scale_digest` covers scales and, behind them, zero points; None where they are found while running, or there are none.
    `values_digest` is None for activations.
    """

    tensor: str
    dtype: str
    scheme: str
    granularity: str
    rounding: str
    scale_digest: str | None
    values_digest: str | None
    parts: Parts

    def __post_init__(self) -> None:
        """Holds methods to the words of the map."""
        known = self.dtype in DTYPES and self.scheme in SCHEMES
        if not known or not _GRANULARITY.match(self.granularity) or not _ROUNDING.match(self.rounding):
            raise ValueError(f"The quantisation map has no such words: {self}.")

    @classmethod
    def of(
        cls,
        tensor: str,
        *,
        dtype: str,
        scheme: str,
        granularity: str,
        rounding: str = "nearest",
        values: onnx.TensorProto | None = None,
        scale: onnx.TensorProto | None = None,
        zero: onnx.TensorProto | None = None,
    ) -> Stored:
        """A mark with the digests of tensors as they are stored."""
        scales = [part for part in (scale, zero) if part is not None]
        return cls(
            tensor, dtype, scheme, granularity, rounding,
            scale_digest=digest_of_tensors(scales) if scales else None,
            values_digest=None if values is None else digest_of_tensors([values]),
            parts=Parts(*(None if part is None else part.name for part in (values, scale, zero))),
        )  # fmt: skip


@dataclass
class Report:
    """What a step did: tensors changed (and how), tensors left alone (and why), and how each is stored now."""

    changed: list[dict[str, JSON]] = field(default_factory=list)
    left: list[dict[str, JSON]] = field(default_factory=list)
    marks: list[Stored] = field(default_factory=list)
    training: list[dict[str, JSON]] = field(default_factory=list)
    """How training went, one document for each time that the step trained: see `training.schedule.Curve`."""
    more: dict[str, JSON] = field(default_factory=dict)
    """What else RESULT.json says of the step, by name: `rounds` and `sparsity` of pruning."""

    def train(self, curve: dict[str, JSON]) -> None:
        """Notes how training went."""
        self.training.append(curve)

    def change(self, name: str, how: str, stored: Stored | None = None) -> None:
        """Notes a changed tensor and, where it is stored as something else now, as what."""
        self.changed.append({"how": how, "name": name})
        if stored is not None:
            self.marks.append(stored)

    def mark(self, stored: Stored) -> None:
        """Notes what is rounded but is no weight: an activation."""
        self.marks.append(stored)

    def leave(self, name: str, reason: str) -> None:
        """Notes a tensor that stays as it is."""
        self.left.append({"name": name, "reason": reason})


def digest_of_tensors(tensors: Sequence[onnx.TensorProto]) -> str:
    """`sha256:<hex>` of tensors, one behind the other; see `TensorDigest`."""
    digest = TensorDigest()
    for tensor in tensors:
        digest.add(onnx.TensorProto.DataType.Name(tensor.data_type).lower(), tensor.dims, pieces(tensor))
    return digest.text()

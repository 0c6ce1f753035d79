"""A child packed beside itself, and what its evidence says of that: smaller where it lies and on the way, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from compression_engine.canonical import JSON
from compression_engine.packed.header import SUFFIX
from compression_engine.packed.packing import pack
from compression_engine.progress import Progress
from compression_engine.result import Evidence, Measurement


def pack_child(weights: Path, progress: Progress) -> dict[str, JSON]:
    """Writes `<weights>.packed` beside the weights; returns its digest, name and size. Raises EngineError."""
    made = pack(weights, weights.with_name(f"{weights.name}{SUFFIX}"), progress)
    return {name: made[name] for name in ("digest", "path", "size_bytes")}


def with_packed_size(evidence: Sequence[Evidence], packed: dict[str, JSON] | None, size_bytes: int) -> list[Evidence]:
    """The evidence, that of the kind `size` with the packed size too; `size_bytes` is the child's unpacked. Exact: no interval."""
    if packed is None:
        return list(evidence)
    taken = int(packed["size_bytes"])
    plain = f"Packed for storage and transfer it takes {taken:,} bytes; it runs no faster, and in memory takes no less."
    ratio = f"Packed it takes {size_bytes / taken:.2f} times fewer bytes than unpacked."
    added = [
        Measurement("packed_size_bytes", taken, "byte", 1, plain),
        Measurement("packed_ratio", size_bytes / taken, "ratio", 1, ratio),
    ]
    return [replace(one, measurements=[*one.measurements, *added]) if one.kind == "size" else one for one in evidence]

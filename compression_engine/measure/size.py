"""How large the weights are on disk, against the parent's."""

from __future__ import annotations

from compression_engine.result import Measurement

METHOD = "file_size"


def measure_size(size_bytes: int, parent_size_bytes: int | None) -> list[Measurement]:
    """Bytes of the weights files and their ratio (parent / child, so that more is smaller). Exact: no interval."""
    found = [
        Measurement("size_bytes", size_bytes, "byte", 1, f"The weights take {_megabytes(size_bytes)} on disk."),
    ]
    if parent_size_bytes is not None:
        ratio = parent_size_bytes / size_bytes
        found += [
            Measurement(
                "parent_size_bytes",
                parent_size_bytes,
                "byte",
                1,
                f"The original's weights take {_megabytes(parent_size_bytes)}.",
            ),
            Measurement("size_ratio", ratio, "ratio", 1, f"The file is {ratio:.2f} times smaller than the original."),
        ]
    return found


def _megabytes(size_bytes: int) -> str:
    if size_bytes < 100_000:
        return f"{size_bytes:,} bytes"
    return f"{size_bytes / 1e6:.1f} MB"

"""How large the weights are on disk, against the parent's."""

from __future__ import annotations

from pathlib import Path

from compression_engine.answers.outputs import PARENT, ROLES, VERSION
from compression_engine.inspect import inspect_file
from compression_engine.measure.context import Context, Found
from compression_engine.result import Measurement

METHOD = "file_size"
_WHOSE = {"incumbent": "incumbent", "first": "first version"}


def measure(context: Context) -> list[Found]:
    """Sizes of all models at hand; nothing where only their answers are."""
    if VERSION not in context.paths:
        return []
    sizes = {role: weights_bytes(context.paths[role]) for role in ROLES if role in context.paths}
    found = measure_size(sizes[VERSION], sizes.get(PARENT))
    for role, whose in _WHOSE.items():
        if role in sizes:
            found += _against(role, whose, sizes[VERSION], sizes[role])
    return [Found("size", METHOD, found)]


def weights_bytes(path: Path) -> int:
    """Bytes of a weights file with the files of external data that it names."""
    names = inspect_file(path, name=path.name, siblings=_Anything()).external_files
    return path.stat().st_size + sum((path.parent / name).stat().st_size for name in names)


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


def _against(role: str, whose: str, size_bytes: int, other_bytes: int) -> list[Measurement]:
    ratio = other_bytes / size_bytes
    size = Measurement(f"{role}_size_bytes", other_bytes, "byte", 1, f"The {whose} takes {_megabytes(other_bytes)}.")
    plain = f"The file is {ratio:.2f} times smaller than the {whose}."
    return [size, Measurement(f"{role}_size_ratio", ratio, "ratio", 1, plain)]


class _Anything(frozenset[str]):
    """Contains every name: a file that is not there is told by the system when its size is asked for."""

    def __contains__(self, name: object) -> bool:
        return True


def _megabytes(size_bytes: int) -> str:
    if size_bytes < 100_000:
        return f"{size_bytes:,} bytes"
    return f"{size_bytes / 1e6:.1f} MB"

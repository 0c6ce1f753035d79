"""Checks the zip archives of PyTorch: `.pt2` (an exported program) by its members; `.pt` is refused as a pickle.

Rules for `.pt2`:
- members are stored, not compressed, so that an archive never holds more than its own bytes; at most 100,000 of them;
- one top folder; no absolute name, no `..`, no backslash, no doubled name; local and central names agree;
- `archive_format` says pt2; weights and constants are raw bytes whose size fits the shape in their JSON description;
- no pickled weight, constant or object; the sample input may hold plain tensors only.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from typing import Any, BinaryIO

from compression_engine.errors import FileRefused
from compression_engine.structure.findings import Inspection, Tally
from compression_engine.structure.pickles import forbidden_names, looks_pickled, refused
from compression_engine.structure.protobuf import invalid, over_limit, truncated

_MEMBERS_MAX = 100_000
_JSON_BYTES_MAX = 8 * 1024 * 1024
_SAMPLE_BYTES_MAX = 64 * 1024 * 1024
_PICKLE_BYTES_MAX = 1024 * 1024
_WEIGHTS = "data/weights/model_weights_config.json"
_CONSTANTS = "data/constants/model_constants_config.json"
# number (torch's ScalarType) -> name and bytes of one element
_DTYPES = {
    0: ("uint8", 1), 1: ("uint8", 1), 2: ("int8", 1), 3: ("int16", 2), 4: ("int32", 4), 5: ("int64", 8),
    6: ("float16", 2), 7: ("float32", 4), 8: ("float64", 8), 12: ("bool", 1), 13: ("bfloat16", 2),
}  # fmt: skip


def inspect_archive(file: BinaryIO, size_bytes: int, name: str) -> Inspection:
    """The structure of a `.pt2` archive; raises FileRefused, with pickle_refused for every other archive of PyTorch."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = _members(archive, size_bytes)
            if _text(archive, members, "archive_format") != "pt2":
                raise _not_an_export(members, name)
            return _exported(archive, members, size_bytes, name)
    except zipfile.BadZipFile as error:
        raise truncated(f"The archive cannot be read: {error}.") from error
    except (NotImplementedError, RuntimeError, EOFError) as error:
        raise invalid(f"The archive uses what no exported program needs: {error}.") from error


def _members(archive: zipfile.ZipFile, size_bytes: int) -> dict[str, zipfile.ZipInfo]:
    entries = archive.infolist()
    if len(entries) > _MEMBERS_MAX:
        raise over_limit(f"The archive has more than {_MEMBERS_MAX} members.")
    members: dict[str, zipfile.ZipInfo] = {}
    total_bytes = 0
    for entry in entries:
        segments = entry.filename.split("/")
        if "\\" in entry.orig_filename or "\0" in entry.orig_filename or any(s in {"", ".", ".."} for s in segments):
            raise invalid(f"The archive has the member {entry.orig_filename!r}, which is no plain path.")
        inner = "/".join(segments[1:]) or segments[0]
        if inner in members:
            raise invalid(f"The archive has two members named {inner!r}.")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise over_limit(f"The member {inner!r} is compressed; exported programs store their members.")
        total_bytes += entry.file_size
        members[inner] = entry
    if total_bytes > size_bytes:
        raise invalid("The members of the archive overlap.")
    return members


def _not_an_export(members: dict[str, zipfile.ZipInfo], name: str) -> FileRefused:
    if any(member.rsplit("/", 1)[-1] in {"data.pkl", "constants.pkl"} for member in members):
        return refused(name, "is a PyTorch archive that holds a pickle")
    hint = "Give a file .onnx, .safetensors or .pt2 (torch.export.save)."
    return FileRefused("format_unknown", f"{name} is a zip archive, but not an exported program.", hint)


def _exported(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], size_bytes: int, name: str) -> Inspection:
    tally = Tally()
    described: set[str] = set()
    for description, folder in ((_WEIGHTS, "data/weights/"), (_CONSTANTS, "data/constants/")):
        described.add(description)
        if description in members:
            for tensor, entry in _json(archive, members, description).get("config", {}).items():
                described.add(folder + _tensor(members, folder, tensor, entry, tally, name))
    for member, entry in members.items():
        if member in described or entry.file_size == 0:
            continue
        if member.startswith("data/sample_inputs/"):
            _check_sample(archive, entry, member)
        else:
            with archive.open(entry) as opened:
                head = opened.read(4096)
            if looks_pickled(head) or head.startswith(b"PK\x03\x04"):
                raise refused(f"The member {member!r} of {name}", "is a pickle or an archive of its own")
    if "models/model.json" not in members:
        raise invalid("The archive holds no models/model.json.")
    return Inspection("pt2", size_bytes, tally.tensors, tally.parameters, tally.dtypes(), producer="torch.export")


def _tensor(members: dict[str, zipfile.ZipInfo], folder: str, tensor: str, entry: Any, tally: Tally, name: str) -> str:
    try:
        path, pickled, meta = entry["path_name"], entry["use_pickle"], entry["tensor_meta"]
        sizes = [int(size["as_int"]) for size in meta["sizes"]]
        dtype = _DTYPES[meta["dtype"]]
    except (KeyError, TypeError, ValueError) as error:
        raise invalid(f"The tensor {tensor!r} is not described as torch.export does.") from error
    if pickled:
        raise refused(f"The tensor {tensor!r} of {name}", "is stored as a pickle")
    held = members.get(f"{folder}{path}")
    if held is None:
        raise truncated(f"The bytes of the tensor {tensor!r} are not in the archive.")
    elements = math.prod(sizes)
    # tied weights share one member, and a view may use part of a larger storage
    if any(size < 0 for size in sizes) or elements * dtype[1] > held.file_size:
        raise invalid(f"The tensor {tensor!r} needs {elements * dtype[1]} bytes, {held.file_size} are there.")
    tally.add(dtype[0], elements, elements * dtype[1])
    return str(path)


def _check_sample(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, member: str) -> None:
    if entry.file_size > _SAMPLE_BYTES_MAX:
        raise over_limit(f"The sample input {member!r} is larger than {_SAMPLE_BYTES_MAX} bytes.")
    data = archive.read(entry)
    if not data.startswith(b"PK\x03\x04"):
        raise refused(f"The sample input {member!r}", "is a bare pickle")
    with zipfile.ZipFile(io.BytesIO(data)) as inner:
        for part in inner.infolist():
            if part.compress_type != zipfile.ZIP_STORED:
                raise over_limit(f"The sample input {member!r} is compressed.")
            if part.filename.endswith(".pkl"):
                found = forbidden_names(inner.read(part)) if part.file_size <= _PICKLE_BYTES_MAX else ["too large"]
                if found:
                    raise refused(f"The sample input {member!r}", f"would call {found[0]}")


def _text(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], member: str) -> str | None:
    entry = members.get(member)
    if entry is None or entry.file_size > 64:
        return None
    return archive.read(entry).decode("ascii", "replace").strip()


def _json(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], member: str) -> dict[str, Any]:
    if members[member].file_size > _JSON_BYTES_MAX:
        raise over_limit(f"The member {member!r} is larger than {_JSON_BYTES_MAX} bytes.")
    try:
        value = json.loads(archive.read(members[member]))
    except (ValueError, RecursionError) as error:
        raise invalid(f"The member {member!r} is not JSON.") from error
    if not isinstance(value, dict) or not isinstance(value.get("config", {}), dict):
        raise invalid(f"The member {member!r} is not a JSON object with a config.")
    return value

"""Decides whether a model may point to another file: only to a sibling that was uploaded with it, by its plain path.

Rules:
- no absolute path, no drive, no backslash, no `.` or `..`, no empty segment, no control character;
- the location is one of the listed siblings, letter by letter;
- offset and length are decimal numbers that fit a file; a length is what type and shape of the tensor need;
- two tensors have the same range of a file, or ranges that do not touch; where the caller knows the sizes of the siblings, no range
  reaches beyond the end of its file.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from compression_engine.errors import FileRefused

Siblings = AbstractSet[str] | Mapping[str, int]
"""The paths of the files that came with a model; with their sizes in bytes where these are known."""

_HINT = "Save the model in one file, or upload the data file beside it and refer to it by its plain name."
_NUMBER = re.compile(r"[0-9]{1,18}\Z")
_KEYS = frozenset({"location", "offset", "length", "checksum", "basepath"})


def check_location(entries: dict[str, str], tensor: str, siblings: Siblings) -> str:
    """The location of a tensor's external data, if it may be used; raises FileRefused (external_data_refused)."""
    location = entries.get("location")
    if location is None:
        raise _refused(tensor, "names no location")
    unknown = sorted(set(entries) - _KEYS)
    if unknown:
        raise _refused(tensor, f"has the unknown entry {unknown[0]!r}")
    if "basepath" in entries:
        raise _refused(tensor, "names a base folder of its own")
    _check_path(location, tensor)
    for key in ("offset", "length"):
        if key in entries and not _NUMBER.match(entries[key]):
            raise _refused(tensor, f"has the {key} {entries[key]!r}, which is not a number")
    if location not in siblings:
        raise _refused(tensor, f"points to {location!r}, which is not among the files that came with it")
    return location


class Ranges:
    """Where the tensors of a model lie in its other files."""

    def __init__(self, siblings: Siblings) -> None:
        self._sizes = siblings if isinstance(siblings, Mapping) else {}
        self._found: dict[str, set[tuple[int, int, str]]] = defaultdict(set)

    def add(self, entries: dict[str, str], tensor: str, needed_bytes: int) -> None:
        """Notes a tensor whose location was checked; raises FileRefused (external_data_refused, file_truncated)."""
        start, location = int(entries.get("offset", "0")), entries["location"]
        length = int(entries.get("length", str(needed_bytes)))
        if length != needed_bytes:
            raise _refused(tensor, f"has {length:,} bytes, type and shape need {needed_bytes:,}")
        size_bytes = self._sizes.get(location)
        if size_bytes is not None and start + length > size_bytes:
            message = f"{location!r} is too short for the tensor {tensor!r}: it has {size_bytes:,} bytes."
            raise FileRefused("file_truncated", message, "Get the data file again; it was probably cut off on the way.")
        if length:
            self._found[location].add((start, start + length, tensor))

    def check(self) -> None:
        """Raises FileRefused (external_data_refused) where tensors share some of their bytes and not all."""
        for location, found in self._found.items():
            end, before = 0, (0, 0, "")
            for entry in sorted(found):
                if entry[0] < end and entry[:2] != before[:2]:
                    raise _refused(entry[2], f"overlaps that of {before[2]!r} in {location!r}")
                end, before = entry[1], entry


def _check_path(location: str, tensor: str) -> None:
    if "\\" in location:
        raise _refused(tensor, f"points to {location!r}, which holds a backslash")
    if location.startswith("/") or re.match(r"[A-Za-z]:", location):
        raise _refused(tensor, f"points to the absolute path {location!r}")
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in location):
        raise _refused(tensor, f"points to {location!r}, which holds a control character")
    if any(segment in {"", ".", ".."} for segment in location.split("/")):
        raise _refused(tensor, f"points to {location!r}, which leaves the folder of the model")


def _refused(tensor: str, what: str) -> FileRefused:
    return FileRefused("external_data_refused", f"External data of the tensor {tensor!r} {what}.", _HINT)

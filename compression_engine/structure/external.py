"""Decides whether a model may point to another file: only to a sibling that was uploaded with it, by its plain path.

Rules:
- no absolute path, no drive, no backslash, no `.` or `..`, no empty segment, no control character;
- the location is one of the listed siblings, letter by letter;
- offset and length are decimal numbers that fit a file.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet

from compression_engine.errors import FileRefused

_HINT = "Save the model in one file, or upload the data file beside it and refer to it by its plain name."
_NUMBER = re.compile(r"[0-9]{1,18}\Z")
_KEYS = frozenset({"location", "offset", "length", "checksum", "basepath"})


def check_location(entries: dict[str, str], tensor: str, siblings: AbstractSet[str]) -> str:
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

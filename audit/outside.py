"""The file of checkpoints outside the database: what was signed here, one note a line in base64, oldest first.

One reason: what is signed may be taken back neither by a backup of the database nor by a crash. Rules:
- a line is on the disk before its checkpoint leaves this process: so what a power cut or a full disk left of a line was shown to
  nobody, counts as nothing, and is cut off before the next line;
- a line that lacks but its end is taken for signed;
- a whole line that cannot be read is told as it is, and nothing is signed behind it until a person has looked;
- a keeper that was asleep while another one signed on writes nothing behind what is newer;
- the newest line costs the same to read however many there are.
"""

from __future__ import annotations

import base64
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from audit import notes
from audit.signing import strict_base64
from registry.storage import sync_folder

FILE = "checkpoints.log"
LATEST = "latest.note"
_END_BYTES = 64 * 1024


def folder() -> Path:
    """Where checkpoints are kept."""
    return Path(settings.PRESSMARK_CHECKPOINTS)


def every() -> list[bytes]:
    """Every checkpoint, oldest first; a line that cannot be read as it stands."""
    try:
        with (folder() / FILE).open("rb") as source:
            return _notes(source.read())
    except FileNotFoundError:
        return []


def newest() -> bytes | None:
    """The last of them; None when there is none."""
    try:
        with (folder() / FILE).open("rb") as source:
            return _newest(source)
    except FileNotFoundError:
        return None


def append(note: bytes) -> bool:
    """Write a checkpoint behind the others, on the disk when this returns; False when one at least as new stands there already."""
    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    with (place / FILE).open("a+b") as target, _locked(target):
        last = _newest(target)
        if last is not None and _is_as_new(last, note):
            return False
        _mend(target)
        target.write(_line(note))
        target.flush()
        os.fsync(target.fileno())
        write_latest(note)
    sync_folder(place)
    return True


def write_latest(note: bytes) -> None:
    """The newest checkpoint as a file of its own, to be copied elsewhere."""
    temporary = folder() / f"{LATEST}.{os.getpid()}.new"
    temporary.write_bytes(note)
    os.replace(temporary, folder() / LATEST)


def read_latest() -> bytes:
    """The same, as it lies there."""
    return (folder() / LATEST).read_bytes()


def whole_lines(data: bytes) -> list[bytes]:
    """The lines that count: not empty, and the last one only if nothing but its end is missing."""
    *lines, rest = data.split(b"\n")
    return [line for line in [*lines, *([rest] if is_whole(rest) else [])] if line]


# --- lines ---


def _line(note: bytes) -> bytes:
    return base64.b64encode(note) + b"\n"


def _notes(data: bytes) -> list[bytes]:
    return [_decoded(line) for line in whole_lines(data)]


def _decoded(line: bytes) -> bytes:
    try:
        return strict_base64(line.decode("ascii"))
    except ValueError:
        return line


def is_whole(rest: bytes) -> bool:
    """Whether a line without its end lacks nothing else."""
    try:
        notes.parse_checkpoint_body(notes.parse_note(_decoded(rest)).text)
    except notes.NoteError:
        return False
    return True


def _newest(source: BinaryIO) -> bytes | None:
    end = source.seek(0, os.SEEK_END)
    start = max(0, end - _END_BYTES)
    source.seek(start)
    data = source.read()
    if start:
        _, newline, data = data.partition(b"\n")
        if not newline or not whole_lines(data):  # one line is longer than that: no checkpoint of ours
            source.seek(0)
            data = source.read()
    found = _notes(data)
    return found[-1] if found else None


def _mend(target: BinaryIO) -> None:
    """End the last line if that is all that it lacks; cut it off if more is missing."""
    end = target.seek(0, os.SEEK_END)
    target.seek(max(0, end - _END_BYTES))
    rest = target.read().rpartition(b"\n")[2]
    if is_whole(rest):
        target.write(b"\n")
    elif rest:
        target.truncate(end - len(rest))
    target.seek(0, os.SEEK_END)


def _is_as_new(last: bytes, note: bytes) -> bool:
    try:
        there, new = (notes.parse_checkpoint_body(notes.parse_note(each).text) for each in (last, note))
    except notes.NoteError:
        return False
    return there.origin == new.origin and there.size >= new.size


@contextmanager
def _locked(target: BinaryIO) -> Iterator[None]:
    """One keeper at a time; the lock goes with the file."""
    fcntl.flock(target, fcntl.LOCK_EX)
    yield

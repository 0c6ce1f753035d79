"""The zip: read by Python's zipfile, then written again from what was read, and both compared byte by byte.

Whatever the page says about headers, order of parts, dates, flags, comments and checksums holds exactly when both are the same
bytes; what zipfile would write just as readily (order, doubled paths, paths of another form, zip64) is checked beside it.
"""

import io
import struct
import zipfile
from pathlib import Path

from . import forms
from .findings import WrongCall
from .forms import Unreadable

_MAX_FILES = 65_535
_MAX_BYTES = zipfile.ZIP64_LIMIT
_BROKEN = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    EOFError,
    OSError,
    IndexError,
    struct.error,
)


def _names_allowed(infos: list[zipfile.ZipInfo]) -> None:
    names = [info.filename for info in infos]
    if len(names) >= _MAX_FILES:
        raise Unreadable(f"{len(names)} files in the zip")
    for info in infos:
        if not forms.path(info.filename):
            raise Unreadable(f"{info.filename[:80]!r} is no path")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise Unreadable(f"{info.filename} is not stored as it is")
    if not forms.rising([name.encode() for name in names]) or len({name.lower() for name in names}) != len(names):
        raise Unreadable("the paths are not in order, or one is there twice")


def _written_again(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system = 3
            info.external_attr = 0o100644 << 16
            archive.writestr(info, data)
    return out.getvalue()


def begins_like_a_receipt(path: Path) -> bool:
    """Whether the first local header names a file of a completed receipt, at most one folder deep."""
    with path.open("rb") as file:
        head = file.read(30 + 65_535)
    if len(head) < 30 or not head.startswith(b"PK\x03\x04"):
        return False
    (length,) = struct.unpack_from("<H", head, 26)
    parts = head[30 : 30 + length].split(b"/")
    if len(parts) > 1 and parts[0] and parts[-1] == b"receipt.note":
        return len(parts) == 2
    if len(parts) == 3 and parts[0]:
        parts = parts[1:]
    if len(parts) == 1:
        return parts[0] == b"receipt.note"
    number, dot, ending = parts[-1].partition(b".")
    room = {b"entries": b"json", b"proofs": b"tlog-proof"}.get(parts[0])
    plain = number.isdigit() and (number == b"0" or not number.startswith(b"0"))
    return len(parts) == 2 and bool(dot) and ending == room and plain


def read_zip(path: Path) -> dict[str, bytes]:
    if path.stat().st_size >= _MAX_BYTES:
        raise WrongCall(f"{path}: 2 GiB or more; zipfile writes the form of the page only below that")
    data = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _names_allowed(infos)
            files = {info.filename: archive.read(info) for info in infos}
    except _BROKEN as error:
        raise Unreadable(f"not a zip that can be read: {error}") from error
    if _written_again(files) != data:
        raise Unreadable("the zip has other bytes than its files give")
    return files

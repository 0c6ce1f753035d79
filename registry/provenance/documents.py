"""What a document kept as proof may be, and what its bytes are: told from the bytes, never from a name. No tables here.

Rules:
- the kind is one of a short list, `other` where none fits;
- the media type is one that no browser executes; whatever else the bytes are is `application/octet-stream`;
- nothing in the file is executed or unpacked: of an archive only the list of names is read, and a first member that says its type
  where it is stored as it is (OpenDocument asks for that); a list of names that fills memory is not read at all.
"""

from __future__ import annotations

import codecs
import zipfile
from typing import BinaryIO

KINDS = (
    "legal-opinion",
    "privacy-assessment",
    "test-report",
    "licence-text",
    "contract",
    "consent",
    "datasheet",
    "assessment",
    "correspondence",
    "other",
)
MAX_BYTES = 64 * 1024 * 1024
PLAIN_BYTES = "application/octet-stream"
_EXTENSIONS = {
    "application/pdf": "pdf",
    "text/plain": "txt",
    "image/png": "png",
    "image/jpeg": "jpg",
    "application/zip": "zip",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
}
_BEGINNINGS = {b"%PDF-": "application/pdf", b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_OFFICE_FOLDERS = {"word/": "docx", "xl/": "xlsx", "ppt/": "pptx"}
_OPEN_DOCUMENTS = {media_type for media_type in _EXTENSIONS if ".oasis." in media_type}
_CONTROL = {byte for byte in range(32) if byte not in b"\t\n\r\f"} | {127}
_CHUNK_BYTES = 1024 * 1024
_NAMES_LIMIT_BYTES = 1024 * 1024
"""A list of names grows some twenty times when it is read; documents of offices have a few kilobytes of it."""


def media_type_of(file: BinaryIO) -> str:
    """The media type of a seekable file by its content, from the allowlist."""
    file.seek(0)
    head = file.read(16)
    for beginning, media_type in _BEGINNINGS.items():
        if head.startswith(beginning):
            return media_type
    if head.startswith(b"PK\x03\x04"):
        return _archive(file)
    return "text/plain" if head and _is_text(file) else PLAIN_BYTES


def extension_of(media_type: str) -> str:
    """How the name of a downloaded file ends."""
    return _EXTENSIONS.get(media_type, "bin")


def _archive(file: BinaryIO) -> str:
    try:
        with zipfile.ZipFile(_Sparing(file)) as archive:
            names = archive.namelist()
            stated = _stated_type(archive) if names and names[0] == "mimetype" else ""
    except (zipfile.BadZipFile, NotImplementedError, OSError, RuntimeError, EOFError, ValueError):
        return PLAIN_BYTES
    if stated in _OPEN_DOCUMENTS:
        return stated
    by_extension = {extension: media_type for media_type, extension in _EXTENSIONS.items()}
    if "[Content_Types].xml" in names:
        for folder, extension in _OFFICE_FOLDERS.items():
            if any(name.startswith(folder) for name in names):
                return by_extension[extension]
    return "application/zip"


class _Sparing:
    """A file of which no more than a short list of names is read at once: a reader of archives asks for all that a file states."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(_NAMES_LIMIT_BYTES + 1 if size < 0 else min(size, _NAMES_LIMIT_BYTES + 1))
        if len(data) > _NAMES_LIMIT_BYTES:
            raise ValueError("more than a list of names")
        return data


def _stated_type(archive: zipfile.ZipFile) -> str:
    # what has to be unpacked could fill memory, or fail in a way of its own
    if archive.getinfo("mimetype").compress_type != zipfile.ZIP_STORED:
        return ""
    with archive.open("mimetype") as member:
        return member.read(100).decode("ascii", "replace")


def _is_text(file: BinaryIO) -> bool:
    """UTF-8 without control characters; read in pieces."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while chunk := file.read(_CHUNK_BYTES):
            if not _CONTROL.isdisjoint(chunk):
                return False
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True

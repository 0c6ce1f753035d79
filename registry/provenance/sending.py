"""Sends stored bytes as an attachment: streamed, resumable, named by digest, never shown inline.

Rules:
- one range is honoured (RFC 9110); several, or one in another unit, give the whole file; one beyond the end is refused (416);
- the answer is an attachment of plain bytes that no browser may guess about, and carries the digest of the whole file;
- who may have the bytes, and that they are still whole, is the business of whoever calls.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import BinaryIO

from django.http import StreamingHttpResponse

from registry import storage
from registry.digests import hex_of
from registry.errors import Problem

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class RangeNotSatisfiable(Problem):
    """The range lies behind the end of the file."""

    status = 416
    code = "range"
    title = "The range cannot be answered"


def send_stored(
    digest: str, size_bytes: int, name: str, range_header: str | None, if_range: str | None
) -> StreamingHttpResponse:
    """The answer with stored bytes under a plain file name, or the part that was asked for."""
    etag = f'"{digest}"'
    asked = range_header if if_range in (None, etag) else None
    part = _part(asked, size_bytes)
    first, last = part or (0, size_bytes - 1)
    source = storage.open_stored(digest)
    response = StreamingHttpResponse(_Bytes(source, first, last), content_type="application/octet-stream")
    response.status_code = 200 if part is None else 206
    if part is not None:
        response["Content-Range"] = f"bytes {first}-{last}/{size_bytes}"
    response["Content-Length"] = str(last - first + 1)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Accept-Ranges"] = "bytes"
    response["ETag"] = etag
    response["Pressmark-Digest"] = digest
    response["Repr-Digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(hex_of(digest))).decode()}:"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-transform"
    return response


def _part(asked: str | None, size_bytes: int) -> tuple[int, int] | None:
    """First and last byte of the range, or None for the whole file."""
    match = _RANGE.fullmatch(asked or "")
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        first, last = int(match[1]), min(int(match[2] or size_bytes), size_bytes - 1)
        if match[2] and int(match[2]) < first:
            return None
    else:
        first, last = max(0, size_bytes - int(match[2])), size_bytes - 1
    if first > last:
        raise RangeNotSatisfiable(f"The file has {size_bytes} bytes.", hint="Ask for a range inside it.")
    return first, last


class _Bytes:
    """Part of an open file in pieces. Closing it closes the file, also when nobody read it (HEAD, a client that left)."""

    def __init__(self, source: BinaryIO, first: int, last: int) -> None:
        self._source, self._left = source, last - first + 1
        source.seek(first)

    def __iter__(self) -> Iterator[bytes]:
        while self._left > 0 and (chunk := self._source.read(min(storage.CHUNK_BYTES, self._left))):
            self._left -= len(chunk)
            yield chunk

    def close(self) -> None:
        self._source.close()

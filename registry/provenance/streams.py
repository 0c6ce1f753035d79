"""The body of a request as a stream, never in memory, and refused where it was cut off.

Rules:
- with a Content-Length, exactly that many bytes must arrive; fewer is a cut upload;
- without one (chunked), the server must say where the body ends (`wsgi.input_terminated`); else a length is asked for;
- a connection that breaks off is a cut upload.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest

from registry.errors import Invalid, Problem
from registry.storage import CHUNK_BYTES


class LengthRequired(Problem):
    """This server cannot tell where a body without a length ends."""

    status = 411
    code = "length-required"
    title = "The length of the body is missing"


def received_chunks(request: HttpRequest) -> Iterator[bytes]:
    """The body in pieces; raises Invalid (upload-cut) at its end when it is shorter than promised."""
    promised = _promised(request)
    source: Any = request.META["wsgi.input"] if promised is None else request
    received = 0
    while promised is None or received < promised:
        wanted = CHUNK_BYTES if promised is None else min(CHUNK_BYTES, promised - received)
        try:
            chunk: bytes = source.read(wanted)
        except OSError:
            raise _cut(received, promised) from None
        if not chunk:
            break
        received += len(chunk)
        yield chunk
    if promised is not None and received < promised:
        raise _cut(received, promised)


def _promised(request: HttpRequest) -> int | None:
    text = request.META.get("CONTENT_LENGTH") or ""
    if text.isdigit():
        return int(text)
    if request.META.get("wsgi.input_terminated"):
        return None
    raise LengthRequired("The request says neither its length nor where it ends.", hint="Send Content-Length.")


def _cut(received: int, promised: int | None) -> Invalid:
    of = "" if promised is None else f" of {promised}"
    return Invalid(
        f"The upload broke off after {received}{of} bytes.",
        hint="Nothing was kept; send the file again.",
        code="upload-cut",
    )

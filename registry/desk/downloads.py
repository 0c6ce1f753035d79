"""Documents as downloads: bytes checked against their digest, never shown inline."""

from __future__ import annotations

from django.http import HttpResponse

from registry import storage
from registry.errors import NotFound


def download(digest: str | None, name: str, media_type: str) -> HttpResponse:
    """The stored bytes as an attachment; NotFound when there are none."""
    if digest is None:
        raise NotFound("There is no such document yet.")
    return HttpResponse(
        storage.read_bytes(digest),
        content_type=media_type,
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "X-Content-Type-Options": "nosniff",
            "Pressmark-Digest": digest,
        },
    )

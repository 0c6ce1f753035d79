"""Why bytes are gone for good, said wherever somebody asks for them.

The room release knows (it purges, with two people) and stands above: it registers how to find out when the applications are ready.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from registry.errors import Gone

Reason = Callable[[uuid.UUID], str | None]
_KNOWN: dict[str, Reason] = {}


def known_by(reason: Reason) -> None:
    """Say how to find the reason of the purge that removed the bytes of a record."""
    _KNOWN["release"] = reason


def gone(about: uuid.UUID, name: str) -> Gone:
    """The refusal for whoever asks for purged bytes: 410, with the reason that was given; the facts stay."""
    find = _KNOWN.get("release")
    reason = find(about) if find is not None else None
    return Gone(
        f"The bytes of {name} were purged{f': {reason}' if reason else '.'}",
        hint="They will not come back; digest, facts and history stay. Register the files again, elsewhere, to use them.",
        code="purged",
        reason=reason or "",
    )

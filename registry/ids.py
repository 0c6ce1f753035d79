"""UUIDv7 keys (RFC 9562): time-ordered, and the public id of every row and event."""

from __future__ import annotations

import uuid

from uuid_utils.compat import uuid7 as _uuid7


def uuid7() -> uuid.UUID:
    """A new UUIDv7."""
    value: uuid.UUID = _uuid7()
    return value

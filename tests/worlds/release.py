"""What tests of the room release and above may need to have, made through services."""

from __future__ import annotations

from tests.worlds.base import BaseWorld


class ReleaseWorld(BaseWorld):
    """One method per thing; each returns the row."""

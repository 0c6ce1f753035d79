"""What tests of the room compression and above may need to have, made through services."""

from __future__ import annotations

from tests.worlds.base import BaseWorld


class CompressionWorld(BaseWorld):
    """One method per thing; each returns the row."""

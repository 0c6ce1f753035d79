"""What tests of the room provenance and above may need to have, made through services."""

from __future__ import annotations

from tests.worlds.base import BaseWorld


class ProvenanceWorld(BaseWorld):
    """One method per thing; each returns the row."""

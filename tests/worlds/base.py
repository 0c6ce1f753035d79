"""What all worlds share: the cast and its team."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.world import Cast


class BaseWorld:
    """Knows the cast."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.team = cast.team

"""What tests of the room oversight and above may need to have, made through services."""

from __future__ import annotations

from registry.oversight import services
from registry.oversight.models import UseCase
from tests.worlds.base import BaseWorld


class OversightWorld(BaseWorld):
    """One method per thing; each returns the row."""

    def use_case(self, slug: str = "support-search", tier: str = "limited") -> UseCase:
        found = UseCase.objects.filter(team=self.team, slug=slug).first()
        if found is not None:
            return found
        return services.register_use_case(
            actor=self.cast.carla, team=self.team, slug=slug, tier=tier, sector="customer support", jurisdiction="EU",
            purpose="Find the answer that fits a customer's question.", owner=self.cast.people["carla"],
            users="Support agents", prohibited="Decisions about people",
        )  # fmt: skip

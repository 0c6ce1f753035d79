"""What tests of the room oversight and above may need to have, made through services."""

from __future__ import annotations

from registry.oversight import services, tiers
from registry.oversight.models import UseCase
from registry.oversight.queries_tiers import tier_table_in_force
from tests.worlds.base import BaseWorld


class OversightWorld(BaseWorld):
    """One method per thing; each returns the row."""

    def use_case(self, slug: str = "support-search", tier: str = "limited") -> UseCase:
        found = UseCase.objects.filter(team=self.team, slug=slug).first()
        if found is not None:
            return found
        answers = self.answers_for(tier) if tier_table_in_force() else ()
        return services.register_use_case(
            actor=self.cast.carla, team=self.team, slug=slug, tier=tier, sector="customer support", jurisdiction="EU",
            purpose="Find the answer that fits a customer's question.", owner=self.cast.people["carla"],
            users="Support agents", prohibited="Decisions about people", answers=answers, reason="Looked at with the team.",
        )  # fmt: skip

    def answers_for(self, tier: str) -> list[dict[str, str]]:
        """Answers to the table that ships, as mild as they may be, by which a use case has this tier."""
        questions = tiers.parse(tiers.ready_made()).questions
        answers = {question.id: question.answers[0].id for question in questions}
        decisive = next((q.id, a.id) for q in questions for a in q.answers if a.tier == tier)
        return [{"question": q, "answer": a} for q, a in (answers | dict([decisive])).items()]

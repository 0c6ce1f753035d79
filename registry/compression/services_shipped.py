"""Recipes that ship, for a team that has not published them: which there are, and publishing one at first use."""

from __future__ import annotations

from collections.abc import Collection

from compression_engine.recipe import shipped_recipes
from registry.access.models import Team
from registry.compression.models import Recipe
from registry.compression.services import publish_recipe
from registry.errors import NotFound
from registry.events import Caller


def shipped_beside(published: Collection[str]) -> list[str]:
    """The names of those whose digest is not among the published ones, in the order of the alphabet."""
    return sorted(name for name, shipped in shipped_recipes().items() if shipped.recipe.digest() not in published)


def publish_shipped(*, actor: Caller, team: Team, name: str) -> Recipe:
    """The team's recipe that is the shipped one, published now under its own name where none is; raises NotFound."""
    shipped = shipped_recipes().get(name)
    if shipped is None:
        raise NotFound(f"No recipe {name!r} ships.", hint=f"There are: {', '.join(sorted(shipped_recipes()))}.")
    found = Recipe.objects.filter(team=team, digest=shipped.recipe.digest(), ended_at=None).order_by("-number").first()
    return found or publish_recipe(actor=actor, team=team, slug=name, document=shipped.recipe.document())

"""Pages about models: all of them, and one with its versions, aliases, monitors and runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.access import permissions
from registry.access.queries import get_readable
from registry.catalog.models import RegisteredModel
from registry.desk import queries
from registry.desk.http import Context, Page
from registry.events import Caller
from registry.release.models import Alias, AliasAssignment

_VERSIONS = 50
_RUNS = 10


@dataclass(frozen=True)
class AliasLine:
    """An alias with its moves, newest first."""

    alias: Alias
    moves: list[AliasAssignment]


def find_model(caller: Caller, team: str, model: str) -> RegisteredModel:
    """A model with the rows that its page names."""
    rows = RegisteredModel.objects.select_related(
        "team", "owner", "title", "use_case__team", "use_case__purpose", "use_case__users", "use_case__prohibited"
    )
    return get_readable(rows, caller, team__slug=team, slug=model)


def alias_lines(model: RegisteredModel) -> list[AliasLine]:
    """Every alias of a model with all its moves, in two queries."""
    related = ("alias", "version__model__team", "assigned_by", "reason")
    moves = AliasAssignment.objects.filter(model=model).select_related(*related).order_by("alias__slug", "-number")
    lines: dict[Alias, list[AliasAssignment]] = {}
    for move in moves:
        lines.setdefault(move.alias, []).append(move)
    return [AliasLine(alias, of_alias) for alias, of_alias in lines.items()]


class Models(Page):
    """Every model of the reader's teams."""

    template = "catalog/models.html"
    section = "models"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        rows, following = queries.models_page(caller, query)
        return {"models": rows, "next": following}


class ModelPage(Page):
    """One model: who answers for it, what it is for, its versions, and what is live."""

    template = "catalog/model.html"
    section = "models"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        model = find_model(caller, kwargs["team"], kwargs["model"])
        return {
            "model": model,
            "versions": queries.versions(caller).filter(model=model)[:_VERSIONS],
            "aliases": alias_lines(model),
            "may_move": permissions.may(caller.actor_id, "alias.roll_back", model.team_id),
            "monitors": queries.monitors(caller).filter(model=model),
            "runs": queries.runs(caller).filter(model=model)[:_RUNS],
        }

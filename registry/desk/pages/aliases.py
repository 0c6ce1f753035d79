"""The page of an alias: what it serves and served, at any moment; the way back and its drills; a move in an emergency."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.urls import reverse

from registry.access import permissions
from registry.desk.addresses import model_url
from registry.desk.forms import ReasonField
from registry.desk.http import Act, Context, FormPage, Page
from registry.desk.pages.catalog import find_model
from registry.digests import time_text
from registry.errors import Invalid
from registry.events import Caller
from registry.release import queries, services
from registry.release.models import Alias, AliasAssignment
from registry.release.moments import moment_of

_SHOWN = 100
_ACTS = ("alias.roll_back", "alias.suspend", "alias.break_glass", "alias.drill")


@dataclass(frozen=True)
class Stretch:
    """One move with the moment at which the next one ended it; None for what is in force."""

    move: AliasAssignment
    until: datetime.datetime | None


def stretches(history: Sequence[AliasAssignment]) -> list[Stretch]:
    """`history` is newest first, from the newest move on; so is the answer."""
    ends = [None, *(move.assigned_at for move in history[:-1])]
    return [Stretch(move, end) for move, end in zip(history, ends, strict=True)]


class AliasPage(Page):
    """What an alias serves, and what it served at any moment that somebody asks for."""

    template = "release/alias.html"
    section = "models"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        alias = queries.get_alias(caller, kwargs["team"], kwargs["model"], kwargs["alias"])
        moves = queries.alias_moves(alias.model, alias.slug)
        history = list(moves[:_SHOWN])
        team_id = alias.model.team_id
        return {
            "alias": alias,
            "model": find_model(caller, kwargs["team"], kwargs["model"]),
            "now": history[0],
            "lines": stretches(history),
            "older": history[0].number - len(history),
            "may": {act.replace(".", "_"): permissions.may(caller.actor_id, act, team_id) for act in _ACTS},
            **(_answer(caller, alias, query["at"]) if query.get("at") else {}),
        }


def _answer(caller: Caller, alias: Alias, text: str) -> Context:
    try:
        at = moment_of(text)
    except Invalid as problem:
        return {"at_problem": problem}
    then = queries.assignment_at(alias.model, alias.slug, at)
    typed = at.strftime("%Y-%m-%dT%H:%M:%S")  # what a field for day and time takes
    answer: Context = {"answered": True, "at": at, "at_text": time_text(at), "asked": typed, "then": None}
    if then is not None:
        after = queries.move_after(then)
        answer |= {"then": then, "until": after.assigned_at if after else None, "granted_by": queries.granted_by(then)}
    return answer


def alias_url(kwargs: Mapping[str, Any]) -> str:
    return reverse("desk:alias", args=[kwargs["team"], kwargs["model"], kwargs["alias"]])


class DrillRollback(Act):
    """Goes through a roll-back and keeps what was found; nothing moves."""

    page = AliasPage

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        model = find_model(caller, kwargs["team"], kwargs["model"])
        row = services.drill_rollback(actor=caller, model=model, alias=kwargs["alias"])
        if row.eligible:
            said = (
                f"A roll-back to {row.version} would go: decided in {row.decision_milliseconds} ms. Nothing was moved."
            )
        else:
            said = f"A roll-back would not go: {row.reasons[0]} Nothing was moved."
        return alias_url(kwargs), said


class BreakGlassForm(forms.Form):
    """Which version, why, and that one knows what it is."""

    version = forms.ChoiceField(label="Version to serve")
    reason = ReasonField(label="What the emergency is")
    known = forms.BooleanField(label="I know that nobody approved this version, and that everybody will be told")


class BreakGlass(FormPage):
    """Serves a version without an approval, in an emergency."""

    template = "release/break_glass.html"
    section = "models"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        return {"model": find_model(caller, kwargs["team"], kwargs["model"]), "alias": kwargs["alias"]}

    def form(self, caller: Caller, data: Mapping[str, str] | None, **kwargs: Any) -> forms.Form:
        form = BreakGlassForm(data)
        model = find_model(caller, kwargs["team"], kwargs["model"])
        numbers = model.versions.filter(purged_at=None).order_by("-number").values_list("number", flat=True)
        form.fields["version"].choices = [(n, f"version {n}") for n in numbers]  # type: ignore[attr-defined]
        return form

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        model = find_model(caller, kwargs["team"], kwargs["model"])
        version = model.versions.select_related("model__team").get(number=data["version"])
        move = services.break_glass(actor=caller, version=version, alias=kwargs["alias"], reason=data["reason"])
        assert move.broken_glass is not None
        ends = move.broken_glass.expires_at.strftime("%Y-%m-%d %H:%M UTC")
        return model_url(kwargs), f"{kwargs['alias']} serves {version} without an approval, until {ends}."

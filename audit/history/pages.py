"""Pages of history: a model and a team as of any moment, with steps from act to act and what changed between two moments.

Rules: reading writes nothing; a moment that cannot be is said beside the form, which keeps what was typed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from audit.history import answers as history_answers
from audit.history import moments
from audit.pages import AuditPage
from registry.access.queries import get_team
from registry.errors import Invalid

_VERSIONS_SHOWN = 50
_APPROVALS_SHOWN = 50


class ModelAsOfPage(AuditPage):
    """One model as of a moment."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        model = self.model()
        context: dict[str, Any] = {"model": model, "section": "models", "asked": _asked(request.GET)}
        try:
            then = history_answers.model_as_of(self.caller(), model, request.GET)
        except Invalid as problem:
            return render(request, "audit/as_of.html", context | {"problem": problem}, status=problem.status)
        context |= {
            "approvals": then["approvals"][:_APPROVALS_SHOWN],
            "later": then["steps"]["later"][::-1],
            "policies": [policy for policy in then["policies"] if policy["judges"]],
            "then": then,
            "versions": _linked(then["versions"][::-1][:_VERSIONS_SHOWN], then["name"], then["as_of"]["position"]),
        }
        return render(request, "audit/as_of.html", context)


class TeamAsOfPage(AuditPage):
    """The models of a team as of a moment."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        team = get_team(self.caller(), kwargs["team"])
        context: dict[str, Any] = {"team": team, "section": "models", "asked": _asked(request.GET)}
        try:
            then = history_answers.team_as_of(self.caller(), team, request.GET)
        except Invalid as problem:
            return render(request, "audit/team_as_of.html", context | {"problem": problem}, status=problem.status)
        for model in then["models"]:
            model["href"] = reverse("audit:model-as-of", args=model["model"].split("/"))
        return render(request, "audit/team_as_of.html", context | {"then": then})


def _asked(query: Mapping[str, str]) -> dict[str, str]:
    """What was asked for, for the forms."""
    asked = {name: query.get(name, "").strip() for name in ("at", "position", "compare_at", "compare_position")}
    return asked | {"at_field": _field(asked["at"]), "compare_field": _field(asked["compare_at"])}


def _field(text: str) -> str:
    """A time as the field for it takes it; empty where it is none, or finer than the field."""
    try:
        moment = moments.parse_moment(text) if text else None
    except Invalid:
        return ""
    if moment is None or moment.microsecond % 1000:
        return ""
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds" if moment.microsecond else "seconds")


def _linked(versions: list[dict[str, Any]], own: str, position: int) -> list[dict[str, Any]]:
    """Versions with addresses for the parents that the reader may see: on this page, or that model as of the same position."""
    for version in versions:
        for edge in version["edges"]:
            edge["href"] = _href(edge, own, position)
    return versions


def _href(edge: Mapping[str, Any], own: str, position: int) -> str:
    if edge["name"] is None:
        return ""
    name, _, number = edge["name"].partition("@")
    if edge["kind"] == "version" and name == own:
        return f"#version-{number}"
    team, _, slug = name.partition("/")
    if edge["kind"] == "dataset":
        return reverse("desk:dataset", args=[team, slug])
    return reverse("audit:model-as-of", args=[team, slug]) + f"?position={position}#version-{number}"

"""Where versions run: the targets of the reader's teams, registering one, and ending it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.urls import reverse

from registry.access import permissions
from registry.access.models import Team
from registry.access.queries import get_team, readable
from registry.desk.http import Act, Context, FormPage
from registry.events import Caller
from registry.fields import validate_slug
from registry.release import queries_targets, services

_SHOWN = 100


class TargetForm(forms.Form):
    """What stands there."""

    team = forms.ChoiceField()
    slug = forms.CharField(
        max_length=63, validators=[validate_slug], label="Name", help_text="The same name again is its next number."
    )
    runtime = forms.CharField(max_length=120, help_text="Such as onnxruntime 1.20.")
    hardware = forms.CharField(max_length=200, help_text="Such as 8 cores AVX-512, 16 GB.")
    settings = forms.JSONField(
        required=False, initial=dict, label="Serving settings", help_text="JSON; decimals as text."
    )
    limits = forms.JSONField(
        required=False, initial=dict, label="Limits", help_text='JSON, such as {"latency_ms": "20"}.'
    )
    safeguards = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3}), label="Safeguards")


class RegisterTarget(FormPage):
    """The targets, newest first, and the form for another one."""

    template = "release/targets.html"
    section = "approvals"

    def form(self, caller: Caller, data: Mapping[str, str] | None, **kwargs: Any) -> forms.Form:
        form = TargetForm(data)
        form.fields["team"].choices = _teams(caller)  # type: ignore[attr-defined]
        return form

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        teams = list(readable(Team.objects.all(), caller, team="pk").order_by("slug"))
        rows = [row for team in teams for row in queries_targets.targets_of(team)[:_SHOWN]]
        places = dict(_teams(caller))
        listed = [(row, row.ended_at is None and row.team.slug in places) for row in rows]
        return {"rows": listed, "may_register": bool(places)}

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        given = {**data, "settings": data["settings"] or {}, "limits": data["limits"] or {}}
        row = services.register_target(actor=caller, **{**given, "team": get_team(caller, data["team"])})
        return reverse("desk:register-target"), f"{row} is registered."


def _teams(caller: Caller) -> list[tuple[str, str]]:
    """The teams in which the caller may register one."""
    rows = readable(Team.objects.filter(ended_at=None), caller, team="pk").order_by("slug")
    return [(row.slug, row.slug) for row in rows if permissions.may(caller.actor_id, "target.register", row.pk)]


class EndTarget(Act):
    """Nothing runs there any more."""

    page = RegisterTarget

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        row = services.end_target(actor=caller, target=queries_targets.get_target(caller, str(kwargs["target"])))
        return reverse("desk:register-target"), f"{row} has ended; approvals that are limited to it are stale."

"""Who decides in whose place: the deputyships that the reader may see, appointing somebody for one's own role, and ending it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.urls import reverse
from django.utils import timezone

from registry.access import permissions
from registry.access import services_deputies as deputies
from registry.access.models import Actor, Deputyship, Membership, Role, Team
from registry.access.queries_deputies import deputyships, get_deputyship, get_person
from registry.desk.forms import ReasonField
from registry.desk.http import Act, Context, FormPage
from registry.desk.pages.approvals import end_of
from registry.errors import Invalid, NotFound
from registry.events import Caller

_SHOWN = 100


class DeputyForm(forms.Form):
    """Whom, for which role of one's own, until when, and why."""

    deputy = forms.CharField(max_length=150, label="User name of the deputy")
    held = forms.ChoiceField(label="Your role")
    ends_on = forms.DateField(widget=forms.DateInput(attrs={"type": "date"}), label="Until the end of")
    reason = ReasonField()


class AppointDeputy(FormPage):
    """The deputyships, newest first, and the form that lets somebody decide in the reader's place."""

    template = "access/deputies.html"
    section = "approvals"

    def form(self, caller: Caller, data: Mapping[str, str] | None, **kwargs: Any) -> forms.Form:
        form = DeputyForm(data)
        form.fields["held"].choices = _lendable(caller)  # type: ignore[attr-defined]
        return form

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        now, rows = timezone.now(), deputyships(caller).order_by("-pk")[:_SHOWN]
        listed = [
            (row, row.in_force(now), row.ended_at is None and row.ends_at > now and _may_end(caller, row))
            for row in rows
        ]
        return {"rows": listed, "may_appoint": bool(_lendable(caller))}

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        role, _, slug = data["held"].partition("@")
        row = deputies.appoint_deputy(
            actor=caller, deputy=_person(data["deputy"]), role=role, reason=data["reason"],
            team=Team.objects.get(slug=slug) if slug else None, ends_at=end_of(data["ends_on"]),
        )  # fmt: skip
        return reverse("desk:appoint-deputy"), f"{row.deputy} decides in your place until {row.ends_at:%Y-%m-%d}."


def _may_end(caller: Caller, row: Deputyship) -> bool:
    return caller.actor_id in (row.principal_id, row.deputy_id) or permissions.may(
        caller.actor_id, "membership.end", row.team_id
    )


def _lendable(caller: Caller) -> list[tuple[str, str]]:
    """The roles that the caller holds and may lend: `role@team`, and what that says."""
    rows = Membership.objects.filter(actor_id=caller.actor_id, ended_at=None).select_related("team")
    lent = permissions.PERMISSIONS["deputy.appoint"]
    return [
        (f"{row.role}@{row.team.slug if row.team else ''}", f"{Role(row.role).label} in {row.team or 'all teams'}")
        for row in rows.order_by("pk")
        if row.role in lent and row.in_force()
    ]


def _person(username: str) -> Actor:
    """A name that was typed is an input, and no page that is missing."""
    try:
        return get_person(username)
    except NotFound as missing:
        raise Invalid(missing.detail, hint=missing.hint) from None


class EndDeputyship(Act):
    """Ends a deputyship before its time."""

    page = AppointDeputy

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        row = deputies.end_deputyship(actor=caller, deputyship=get_deputyship(caller, kwargs["deputyship"]))
        return reverse("desk:appoint-deputy"), f"{row.deputy} stands for {row.principal} no longer."

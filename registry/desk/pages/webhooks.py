"""Addresses outside that are told of events, for those who administer them. A secret is shown on the answer to its making alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from registry.access import permissions
from registry.access.http import caller_of
from registry.access.models import Team
from registry.access.queries import readable
from registry.access.receipts import receipt_of_act
from registry.desk.http import Act, Context, Page
from registry.errors import NotFound, Problem
from registry.events import Caller
from registry.notices import queries, services
from registry.notices.models import Webhook
from registry.notices.outbox import EVERYTHING
from registry.notices.rules import KINDS

WHOLE = ""
_SHOWN = 100


class WebhookForm(forms.Form):
    """Where, of what, and for whom."""

    url = forms.CharField(
        label="Address", max_length=500, help_text="Begins with https://; it has to be reachable from here."
    )
    kinds = forms.MultipleChoiceField(
        label="Kinds of events", choices=[(EVERYTHING, "all of them"), *((kind, kind) for kind in sorted(KINDS))],
        widget=forms.SelectMultiple(attrs={"size": 12}), help_text="Several with Ctrl or Cmd.",
    )  # fmt: skip
    team = forms.ChoiceField(label="Of", required=False)


@dataclass(frozen=True)
class Shown:
    """A row of the list."""

    row: Webhook
    fares: queries.Delivery
    address: str
    may_run: bool


class Webhooks(Page):
    """The webhooks that the reader watches over, and for whoever administers any the form for another one."""

    template = "notices/webhooks.html"
    section = "notices"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        rows = list(queries.webhooks(caller)[:_SHOWN])
        fares = queries.deliveries(rows)
        runs_any = bool(_teams_to_run(caller))
        return {
            "webhooks": [
                Shown(r, fares[r.pk], queries.address_of(caller, r), queries.may_run(caller, r)) for r in rows
            ],
            "form": (kwargs.get("form") or _form(caller, None)) if runs_any else None,
            "full": len(rows) == _SHOWN,
        }


class _ShowsSecret(Act):
    """An act whose answer is a page with the secret, which no cache keeps and no redirect carries."""

    page = Webhooks

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        caller = caller_of(request, "page")
        form = self.form(caller, request.POST, **kwargs)
        if not form.is_valid():
            return self.again(request, form, None, **kwargs)
        try:
            with receipt_of_act(request) as told:
                row, secret = self.make(caller, form.cleaned_data, **kwargs)
        except NotFound:
            raise
        except Problem as problem:
            return self.again(request, form, problem, **kwargs)
        context = {
            "section": "notices",
            "webhook": row,
            "secret": secret,
            "said": told.with_receipt("It counts at once."),
        }
        answer = render(request, "notices/secret.html", context)
        answer["Cache-Control"] = "no-store"
        return answer

    def again(self, request: HttpRequest, form: forms.Form, problem: Problem | None, **kwargs: Any) -> HttpResponse:
        """The page of webhooks with what was typed."""
        shown = Webhooks()
        shown.setup(request)
        return shown.show(request, problem=problem, form=form if form.fields else None)

    def make(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[Webhook, str]:
        """Call the service; the row and its secret."""
        raise NotImplementedError


class RegisterWebhook(_ShowsSecret):
    """Another address is told."""

    def form(self, caller: Caller, data: Mapping[str, str] | None, **kwargs: Any) -> forms.Form:
        return _form(caller, data)

    def make(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[Webhook, str]:
        team = readable(Team.objects.all(), caller, team="pk").get(pk=data["team"]) if data["team"] else None
        return services.register_webhook(actor=caller, url=data["url"].strip(), kinds=data["kinds"], team=team)


class RotateWebhook(_ShowsSecret):
    """A new secret."""

    def make(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[Webhook, str]:
        return services.rotate_webhook(actor=caller, webhook=queries.get_webhook(caller, kwargs["webhook"]))


class ResendWebhook(Act):
    """What was given up is tried again."""

    page = Webhooks

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        again = services.resend_webhook(actor=caller, webhook=queries.get_webhook(caller, kwargs["webhook"]))
        return reverse("desk:webhooks"), f"{again} notices wait to be sent again."


class EndWebhook(Act):
    """The address is told of nothing any more."""

    page = Webhooks

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        services.end_webhook(actor=caller, webhook=queries.get_webhook(caller, kwargs["webhook"]))
        return reverse("desk:webhooks"), "The address is told of nothing any more."


def _teams_to_run(caller: Caller) -> list[tuple[str, str]]:
    """The teams whose webhooks the caller may register, and the whole installation first."""
    teams = [
        (str(team.pk), team.slug)
        for team in readable(Team.objects.order_by("slug"), caller, team="pk")
        if permissions.may(caller.actor_id, "webhook.register", team.pk)
    ]
    whole = [(WHOLE, "the whole installation")] if permissions.may(caller.actor_id, "webhook.register", None) else []
    return [*whole, *teams]


def _form(caller: Caller, data: Mapping[str, str] | None) -> WebhookForm:
    """With what the caller administers."""
    form = WebhookForm(data)
    field = form.fields["team"]
    assert isinstance(field, forms.ChoiceField)
    field.choices = _teams_to_run(caller)
    field.required = WHOLE not in dict(field.choices)
    return form

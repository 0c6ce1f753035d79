"""What the reader was told, and whether it comes by mail as well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.conf import settings
from django.urls import reverse

from registry.access.models import Actor
from registry.desk.http import Act, Context, Page
from registry.events import Caller
from registry.notices import queries, services


class Notices(Page):
    """What I was told, newest first."""

    template = "notices/notices.html"
    section = "notices"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        rows, following = queries.page_of_notices(caller, query.get("before", ""))
        return {
            "notices": rows,
            "next": following,
            "wants_mail": queries.wants_mail(caller),
            "address": Actor.objects.get(pk=caller.actor_id).email,
            "mail_leaves": bool(settings.PRESSMARK_MAIL_HOST),
            "sees_webhooks": queries.may_see_webhooks(caller),
        }


class MailForm(forms.Form):
    """On or off."""

    wanted = forms.BooleanField(required=False)


class ChooseMail(Act):
    """Mail, or the page alone."""

    page = Notices
    form_class = MailForm

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        wanted = services.choose_mail(actor=caller, wanted=data["wanted"])
        said = (
            "Notices come by mail from now on."
            if wanted
            else "No notice comes by mail any more; this page has them all."
        )
        return reverse("desk:notices"), said

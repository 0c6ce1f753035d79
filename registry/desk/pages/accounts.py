"""The service accounts of a team: what each may do, who answers for it, when its tokens end; administrators give that on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.paginator import Paginator
from django.urls import reverse

from registry.access import permissions
from registry.access.queries import get_team
from registry.access.queries_accounts import account_of, get_service_account, service_accounts
from registry.access.queries_deputies import get_person
from registry.access.services_responsibility import give_responsibility
from registry.desk.http import Act, Context, Page
from registry.errors import Invalid, NotFound
from registry.events import Caller

_SHOWN = 50


class PersonForm(forms.Form):
    """Who answers from now on."""

    person = forms.CharField(max_length=150, label="User name of who answers from now on")


class ServiceAccounts(Page):
    """Which accounts act in a team without a person at the keys, and whose work that is."""

    template = "access/service_accounts.html"
    section = "policies"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        team = get_team(caller, kwargs["team"])
        page = Paginator(service_accounts(caller, team).order_by("username", "pk"), _SHOWN).get_page(query.get("page"))
        return {
            "team": team,
            "page": page,
            "accounts": [account_of(row) for row in page],
            "may_give": permissions.may(caller.actor_id, "responsibility.give", None),
        }


class GiveResponsibility(Act):
    """Somebody else answers for an account from now on; who did before keeps a part in what it did."""

    page = ServiceAccounts
    form_class = PersonForm

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        account = get_service_account(caller, get_team(caller, kwargs["team"]), kwargs["account"])
        permissions.require(caller, "responsibility.give", None)  # before anybody is looked up by name
        try:
            person = get_person(data["person"])
        except NotFound as missing:  # a name that was typed is an input, and no page that is missing
            raise Invalid(missing.detail, hint=missing.hint) from None
        give_responsibility(actor=caller, account=account, person=person)
        back = reverse("desk:service-accounts", args=[kwargs["team"]])
        return back, f"{person} answers for {account} from now on. Who answered before keeps a part in what it did."

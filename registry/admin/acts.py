"""Acts on one record in the admin site: offered on its page to whoever may, confirmed on a page of their own, done by a service.

Rules:
- a record's page stays read-only; an act is a POST to an address of its own, one unit, and answers with its receipt;
- what will happen is said before, in full: nothing here can be taken back;
- who may is asked of the permission table for the offer, and again by the service for the act.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from audit import erasure
from registry.access import permissions
from registry.access.models import Actor, ActorKind, Membership, Text, Token
from registry.access.receipts import receipt_of_act
from registry.access.services import end_actor, end_membership, end_token
from registry.access.services_erasing import erase_actor, neutral_names
from registry.admin.governed import (
    ActorAdmin,
    AttestationAdmin,
    GovernedAdmin,
    MembershipAdmin,
    MonitorAdmin,
    TokenAdmin,
)
from registry.admin.site import caller_of, site
from registry.errors import NotFound, Problem
from registry.events import Caller
from registry.monitoring.models import Monitor
from registry.monitoring.services import end_monitor
from registry.oversight.models import Attestation
from registry.oversight.queries import team_of_stream
from registry.oversight.services import end_attestation

SHOWN = 200


@dataclass(frozen=True)
class RecordAct:
    """One act: where, what it is called, what it does, who is offered it, and the service that does it and says so."""

    name: str
    label: str
    says: str
    offered: Callable[[Caller, Any], bool]
    perform: Callable[[Caller, Any, str], str]
    asks_reason: bool = False
    takes: Callable[[Caller, Any], Sequence[Text]] | None = None
    """For an erasure: the texts that would go."""


class ActingAdmin(GovernedAdmin):
    """A read-only table whose records can be acted on."""

    acts: ClassVar[tuple[RecordAct, ...]] = ()

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path(
                f"<uuid:key>/{act.name}/", wrap(self.act_view), {"act": act},
                name=f"registry_{self.opts.model_name}_{act.name}",
            )
            for act in self.acts
        ]  # fmt: skip
        return [*own, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        offered = []
        row = self.get_object(request, object_id)
        if row is not None:
            name = f"admin:registry_{self.opts.model_name}_"
            offered = [
                (act.label, reverse(f"{name}{act.name}", args=[row.pk]))
                for act in self.acts
                if act.offered(caller_of(request), row)
            ]
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "offered_acts": offered})

    def act_view(self, request: HttpRequest, key: uuid.UUID, act: RecordAct) -> HttpResponseBase:
        """GET says what would happen; POST does it, once the person confirmed."""
        row = self.get_object(request, str(key))
        if row is None or not act.offered(caller_of(request), row):
            raise Http404("There is no such act on this record, or you may not do it.")
        if request.method == "POST" and self._done(request, row, act):
            return redirect(reverse(f"admin:registry_{self.opts.model_name}_change", args=[row.pk]))
        taken = act.takes(caller_of(request), row) if act.takes else None
        context = {
            **self.admin_site.each_context(request),
            "title": act.label,
            "opts": self.opts,
            "row": row,
            "act": act,
            "erases": act.takes is not None,
            "taken": taken[:SHOWN] if taken else taken,
            "taken_count": len(taken or ()),
        }
        return TemplateResponse(request, "admin/registry/act.html", context)

    def _done(self, request: HttpRequest, row: Any, act: RecordAct) -> bool:
        try:
            with receipt_of_act(request) as told:
                said = act.perform(caller_of(request), row, request.POST.get("reason", ""))
        except Problem as error:
            messages.error(request, f"Refused: {error.detail} {error.hint}".rstrip())
            return False
        messages.success(request, told.with_receipt(said))
        return True


# --- what is offered to whom ---


def _may_end_actor(caller: Caller, row: Actor) -> bool:
    in_use = row.ended_at is None and row.kind != ActorKind.SYSTEM
    return in_use and permissions.may(caller.actor_id, "actor.end", None)


def _may_erase_actor(caller: Caller, row: Actor) -> bool:
    left = row.ended_at is not None and row.username != neutral_names(row)[0]
    return left and permissions.may(caller.actor_id, "actor.erase", None)


def _may_erase_texts(caller: Caller, row: Actor) -> bool:
    return row.kind != ActorKind.SYSTEM and permissions.may(caller.actor_id, "text.erase", None)


def _may_end_membership(caller: Caller, row: Membership) -> bool:
    return row.ended_at is None and permissions.may(caller.actor_id, "membership.end", row.team_id)


def _may_end_token(caller: Caller, row: Token) -> bool:
    return row.ended_at is None and permissions.may(caller.actor_id, "token.end", None)


def _may_end_monitor(caller: Caller, row: Monitor) -> bool:
    return row.ended_at is None and permissions.may(caller.actor_id, "monitor.create", row.model.team_id)


def _may_end_attestation(caller: Caller, row: Attestation) -> bool:
    if row.ended_at is not None:
        return False
    try:
        return permissions.may(caller.actor_id, "attestation.sign", team_of_stream(row.stream))
    except NotFound:
        return False


# --- what is done ---


def _end_actor(caller: Caller, row: Actor, reason: str) -> str:
    end_actor(actor=caller, person=row)
    return f"The account {row.username} has ended, with its roles and tokens."


def _erase_actor(caller: Caller, row: Actor, reason: str) -> str:
    return f"The account is now {erase_actor(actor=caller, person=row, reason=reason).username}."


def _erase_texts(caller: Caller, row: Actor, reason: str) -> str:
    done = erasure.erase(actor=caller, texts=erasure.typed_by(caller, row), reason=reason)
    left = f" {done.left} are left: do it again." if done.left else ""
    return f"{done.count} texts are erased; every proof still verifies.{left}"


def _end_membership(caller: Caller, row: Membership, reason: str) -> str:
    end_membership(actor=caller, membership=row)
    return f"{row.actor} is no longer {row.role} {f'in {row.team}' if row.team else 'of the whole instance'}."


def _end_token(caller: Caller, row: Token, reason: str) -> str:
    end_token(actor=caller, token=row)
    return "The token opens nothing any more."


def _end_monitor(caller: Caller, row: Monitor, reason: str) -> str:
    end_monitor(actor=caller, monitor=row)
    return f"The monitor {row.slug} has ended; what it saw stays."


def _end_attestation(caller: Caller, row: Attestation, reason: str) -> str:
    end_attestation(actor=caller, attestation=row)
    return f"The statement about {row.requirement} has ended; that it was made stays on record."


class ActingActorAdmin(ActingAdmin, ActorAdmin):
    acts = (
        RecordAct(
            "end", "End this account",
            "Its tokens, roles and sessions end at once, and it never begins again. What it did stays on record, grants that it "
            "gave count further, and requests that it made stay open for those who decide.",
            _may_end_actor, _end_actor,
        ),
        RecordAct(
            "erase-texts", "Erase what this account typed",
            "Every text below goes for good. Its commitment stays in the ledger, and every proof still verifies. Reports that were "
            "issued and bundles that were downloaded keep what they printed.",
            _may_erase_texts, _erase_texts, asks_reason=True, takes=erasure.typed_by,
        ),
        RecordAct(
            "erase", "Erase this profile",
            "User name, e-mail address and name are replaced by a neutral name for good. What the account did stays under its id; "
            "what it typed is erased apart.",
            _may_erase_actor, _erase_actor, asks_reason=True,
        ),
    )  # fmt: skip


class ActingMembershipAdmin(ActingAdmin, MembershipAdmin):
    acts = (
        RecordAct(
            "end", "End this role",
            "The person may do nothing more under it from now on. What was done under it stays done.",
            _may_end_membership, _end_membership,
        ),
    )  # fmt: skip


class ActingTokenAdmin(ActingAdmin, TokenAdmin):
    acts = (
        RecordAct(
            "end", "End this token", "It opens nothing any more, at once. Its record stays.", _may_end_token, _end_token
        ),
    )


class ActingMonitorAdmin(ActingAdmin, MonitorAdmin):
    acts = (
        RecordAct(
            "end", "End this monitor",
            "Nothing watches the alias through it any more, and windows sent to it are refused. What it saw stays.",
            _may_end_monitor, _end_monitor,
        ),
    )  # fmt: skip


class ActingAttestationAdmin(ActingAdmin, AttestationAdmin):
    acts = (
        RecordAct(
            "end", "Take this statement back",
            "It counts for no assessment from now on. That it was made, by whom and when stays on record.",
            _may_end_attestation, _end_attestation,
        ),
    )  # fmt: skip


def register_acts() -> None:
    """Mount the tables whose records can be acted on; called by the menu before the plain ones."""
    tables = {
        Actor: ActingActorAdmin,
        Attestation: ActingAttestationAdmin,
        Membership: ActingMembershipAdmin,
        Monitor: ActingMonitorAdmin,
        Token: ActingTokenAdmin,
    }
    for model, table in tables.items():
        if not site.is_registered(model):
            site.register(model, table)

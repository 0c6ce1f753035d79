"""JSON doors of purges: ask, confirm by a second person, withdraw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from registry.access.http import Command, Query, keyset_page
from registry.digests import time_text
from registry.events import Caller
from registry.oversight.document_api import ABOUT
from registry.oversight.subjects import find_subject
from registry.release import purging
from registry.release.services.purges import confirm_purge, referred_by_ledger, request_purge, withdraw_purge
from registry.release.stopping_models import Purge


def purge_body(row: Purge) -> dict[str, Any]:
    """A purge as the API shows it."""
    return {
        "id": str(row.pk),
        "about": f"{row.kind}:{row.subject}",
        "state": state_of(row),
        "reason": str(row.reason),
        "requested_by": str(row.requested_by_id),
        "requested_at": time_text(row.requested_at),
        "confirmed_by": str(row.confirmed_by_id) if row.confirmed_by_id else None,
        "confirmed_at": time_text(row.confirmed_at) if row.confirmed_at else None,
        "withdrawn_at": time_text(row.withdrawn_at) if row.withdrawn_at else None,
        "freed_bytes": row.freed_bytes,
    }


def state_of(row: Purge) -> str:
    """requested, withdrawn or confirmed: computed, never stored."""
    if row.confirmed_at is not None:
        return "confirmed"
    return "requested" if row.withdrawn_at is None else "withdrawn"


class RequestPurgeInput(serializers.Serializer[Any]):
    about = serializers.CharField(max_length=300, help_text="version:team/model@3 or dataset_version:team/rows@1.")
    reason = serializers.CharField(help_text="Shown to whoever asks for the bytes afterwards.")


@extend_schema_view(
    get=extend_schema(operation_id="list_purges", parameters=[ABOUT], responses={200: dict}),
    post=extend_schema(operation_id="request_purge", request=RequestPurgeInput, responses={201: dict}),
)
class RequestPurge(Command, Query):
    """The purges of a record; ask that its bytes go for good."""

    input = RequestPurgeInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        subject = find_subject(caller, query.get("about", ""))
        return keyset_page(purging.purges_of(subject.about), query, purge_body, newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        subject = find_subject(caller, data["about"])
        return purge_body(request_purge(actor=caller, subject=subject, reason=data["reason"]))


@extend_schema_view(get=extend_schema(operation_id="purge", responses={200: dict}))
class ShowPurge(Query):
    """One purge: who asked, who confirmed, what it freed."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return purge_body(purging.get_purge(caller, kwargs["purge"]))


@extend_schema_view(post=extend_schema(operation_id="confirm_purge", request=None, responses={200: dict}))
class ConfirmPurge(Command):
    """The second person: the bytes go now, and for good."""

    success_status = 200
    kept: set[str] | None = None

    def prepare(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> None:
        self.kept = referred_by_ledger(purging.get_purge(caller, kwargs["purge"]))

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        purge = purging.get_purge(caller, kwargs["purge"])
        return purge_body(confirm_purge(actor=caller, purge=purge, kept=self.kept))


@extend_schema_view(post=extend_schema(operation_id="withdraw_purge", request=None, responses={200: dict}))
class WithdrawPurge(Command):
    """The bytes stay after all; that it was asked for stays on record."""

    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        return purge_body(withdraw_purge(actor=caller, purge=purging.get_purge(caller, kwargs["purge"])))

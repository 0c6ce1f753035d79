"""Documents, reviews, holds and purges in the admin site: read-only tables, with the acts that end a hold and answer a purge."""

from __future__ import annotations

from django.db.models import Model

from registry.access import permissions
from registry.access.queries_responsibility import is_own
from registry.admin.acts import ActingAdmin, RecordAct
from registry.admin.governed import INSTANCE_ONLY, GovernedAdmin
from registry.admin.site import site
from registry.events import Caller
from registry.oversight.models import Hold, Review
from registry.oversight.queries import team_of_stream
from registry.oversight.services_proofs import end_hold
from registry.provenance.models import Document
from registry.release.services.purges import confirm_purge, withdraw_purge
from registry.release.stopping_models import Purge


class DocumentAdmin(GovernedAdmin):
    team_path = INSTANCE_ONLY
    list_display = ("subject", "kind", "media_type", "size_bytes", "digest", "created_by", "created_at")
    list_filter = ("kind", "media_type")
    search_fields = ("subject", "digest")
    list_select_related = ("created_by",)


class ReviewAdmin(GovernedAdmin):
    team_path = INSTANCE_ONLY
    list_display = ("subject", "kind", "accepted", "reviewed_by", "role", "reviewed_at", "next_on")
    list_filter = ("kind", "accepted")
    search_fields = ("subject", "digest")
    list_select_related = ("reviewed_by",)


def _may_end_hold(caller: Caller, row: Hold) -> bool:
    return row.ended_at is None and permissions.may(caller.actor_id, "hold.end", team_of_stream(row.stream))


def _end_hold(caller: Caller, row: Hold, reason: str) -> str:
    end_hold(actor=caller, hold=row, reason=reason)
    return f"The hold on {row.subject} has ended."


class HoldAdmin(ActingAdmin):
    team_path = INSTANCE_ONLY
    list_display = ("subject", "placed_by", "placed_at", "ended_by", "ended_at")
    search_fields = ("subject",)
    list_select_related = ("placed_by", "ended_by")
    acts = (
        RecordAct(
            "end", "End this hold",
            "What it names may be purged and erased again. That it was held, by whom and until when stays on record.",
            _may_end_hold, _end_hold, asks_reason=True,
        ),
    )  # fmt: skip


def _waits(row: Purge) -> bool:
    return row.confirmed_at is None and row.withdrawn_at is None


def _may_confirm(caller: Caller, row: Purge) -> bool:
    others = not is_own(caller.actor_id, row.requested_by_id)
    return _waits(row) and others and permissions.may(caller.actor_id, "purge.confirm", team_of_stream(row.stream))


def _may_withdraw(caller: Caller, row: Purge) -> bool:
    return _waits(row) and permissions.may(caller.actor_id, "purge.request", team_of_stream(row.stream))


def _confirm(caller: Caller, row: Purge, reason: str) -> str:
    return f"The bytes of {confirm_purge(actor=caller, purge=row).subject} are gone; digest and facts stay."


def _withdraw(caller: Caller, row: Purge, reason: str) -> str:
    return f"The bytes of {withdraw_purge(actor=caller, purge=row).subject} stay."


class PurgeAdmin(ActingAdmin):
    team_path = INSTANCE_ONLY
    list_display = (
        "subject", "requested_by", "requested_at", "confirmed_by", "confirmed_at", "withdrawn_at", "freed_bytes",
    )  # fmt: skip
    list_filter = ("kind",)
    search_fields = ("subject",)
    list_select_related = ("requested_by", "confirmed_by")
    acts = (
        RecordAct(
            "confirm", "Let the bytes go for good",
            "The bytes are removed now and will not come back. Row, digest and history stay, and whoever asks for the bytes is "
            "told why. What another record needs stays.",
            _may_confirm, _confirm,
        ),
        RecordAct(
            "withdraw", "Withdraw this purge", "The bytes stay. That it was asked for stays on record.",
            _may_withdraw, _withdraw,
        ),
    )  # fmt: skip


def register_kept() -> None:
    """Mount these tables; called once by the menu."""
    tables: dict[type[Model], type[GovernedAdmin]] = {
        Document: DocumentAdmin,
        Hold: HoldAdmin,
        Purge: PurgeAdmin,
        Review: ReviewAdmin,
    }
    for model, table in tables.items():
        if not site.is_registered(model):
            site.register(model, table)

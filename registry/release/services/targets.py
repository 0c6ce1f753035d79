"""Targets: where versions run. What changes about one is a new number of its name, so that an approval for the old one lapses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Max

from registry.access import permissions
from registry.access.models import Team
from registry.access.services import check_slug, new_text
from registry.digests import CanonicalError, canonical
from registry.errors import Conflict, Invalid
from registry.events import Caller, emit, unit
from registry.release.serving_models import Target

MAX_DOCUMENT_BYTES = 16_000


def register_target(
    *,
    actor: Caller,
    team: Team,
    slug: str,
    runtime: str,
    hardware: str,
    settings: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    safeguards: str = "",
) -> Target:
    """A place where versions run: runtime, hardware, serving settings, limits, safeguards. Same name again: the next number.

    The number before ends with it: approvals that were limited to it are stale, for the place is not what was approved.
    """
    role = permissions.require(actor, "target.register", team.pk)
    check_slug(slug, "target")
    for what, value in (("runtime", runtime), ("hardware", hardware)):
        if not value.strip():
            raise Invalid(f"The {what} is empty.", hint="Say what versions run on, such as 'onnxruntime 1.20'.")
    said = {"settings": dict(settings or {}), "limits": dict(limits or {})}
    for what, document in said.items():
        _check_document(what, document)
    with unit(actor, role=role) as opened:
        Team.objects.select_for_update(no_key=True).get(pk=team.pk)
        older = list(Target.objects.filter(team=team, slug=slug, ended_at=None))
        number = Target.objects.filter(team=team, slug=slug).aggregate(newest=Max("number"))["newest"] or 0
        text = None
        if safeguards.strip():
            text = new_text(stream=f"team:{team.pk}", purpose="safeguards", value=safeguards, now=opened.now)
        row = Target.objects.create(
            team=team, slug=slug, number=number + 1, runtime=runtime, hardware=hardware, safeguards=text,
            created_by_id=actor.actor_id, created_at=opened.now, **said,
        )  # fmt: skip
        emit("target.registered", *([row, text] if text else [row]), team=team.pk)
        for ended in older:
            ended.ended_at = opened.now
            ended.save(update_fields=["ended_at"])
            emit("target.ended", ended, team=team.pk)
        return row


def _check_document(what: str, document: Mapping[str, Any]) -> None:
    try:
        size = len(canonical(dict(document)))
    except CanonicalError as error:
        raise Invalid(
            f"'{what}' cannot be sealed: {error}.", hint="Write decimals as text, names in lower case."
        ) from None
    if size > MAX_DOCUMENT_BYTES:
        raise Invalid(f"'{what}' has more than {MAX_DOCUMENT_BYTES} bytes.", hint="Attach a document instead.")


def end_target(*, actor: Caller, target: Target) -> Target:
    """Nothing runs there any more: approvals limited to it are stale from now on."""
    role = permissions.require(actor, "target.register", target.team_id)
    with unit(actor, role=role) as opened:
        row = Target.objects.select_for_update(no_key=True).get(pk=target.pk)
        if row.ended_at is not None:
            raise Conflict(f"{target} has ended already.")
        row.ended_at = opened.now
        row.save(update_fields=["ended_at"])
        emit("target.ended", row, team=row.team_id)
        return row

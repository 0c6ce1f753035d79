"""A finding for the owner of each model that serves a version whose effective terms have changed. No approval disappears.

Rules:
- one open finding for a move of an alias: the newest change is read on the version's page, not in a pile of findings;
- it is written in the unit that changed the terms, whoever's model it is; nobody else's names stand in it.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Collection, Sequence

from django.db.models import OuterRef, Subquery

from registry.access.services import new_text
from registry.catalog.affected import Affected
from registry.events import Unit, emit
from registry.oversight.models import Finding
from registry.release.models import AliasAssignment

KIND = "terms-changed"
DUE_DAYS = 14
_BATCH = 5000


def live_moves(version_ids: Collection[uuid.UUID]) -> list[AliasAssignment]:
    """The moves by which aliases serve these versions now."""
    newest = AliasAssignment.objects.filter(alias=OuterRef("alias")).order_by("-number").values("pk")[:1]
    wanted = sorted(version_ids)
    found: list[AliasAssignment] = []
    for start in range(0, len(wanted), _BATCH):
        rows = AliasAssignment.objects.filter(version_id__in=wanted[start : start + _BATCH], pk=Subquery(newest))
        found += rows.select_related("alias", "model__team", "model__owner", "version").order_by("pk")
    return found


def open_terms_findings(opened: Unit, affected: Sequence[Affected], said: str) -> None:
    """Called inside the unit of a ruling or a correction."""
    changes = {item.version.pk: item.changes for item in affected}
    moves = live_moves(changes)
    rows = Finding.objects.filter(kind=KIND, about__in=[move.pk for move in moves])
    known = dict(rows.values_list("about", "closed_at"))
    for move in moves:
        if move.pk in known and known[move.pk] is None:
            continue
        assert move.version_id is not None
        told = "; ".join(f"{c.term.replace('_', ' ')} was {c.before}, is {c.after}" for c in changes[move.version_id])
        stream = f"model:{move.model_id}"
        text = new_text(
            stream=stream, purpose="description", now=opened.now,
            value=f"{move.alias.slug} serves {move.model}@{move.version.number if move.version else ''}, and {said}: {told}. "
            "The approval stands; the gate judges it with these terms from now on.",
        )  # fmt: skip
        row = Finding.objects.create(
            stream=stream, kind=KIND, about=None if move.pk in known else move.pk,
            subject=f"{move.alias.slug} of {move.model.slug}"[:120], state=Finding.State.OPEN, description=text,
            owner=move.model.owner, due_on=opened.now.date() + datetime.timedelta(days=DUE_DAYS),
            created_by_id=opened.caller.actor_id, created_at=opened.now,
        )  # fmt: skip
        emit("finding.opened", row, text, team=move.model.team_id)

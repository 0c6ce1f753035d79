"""What stands above everything else on the page of a model or version: emergencies that last, and recalls that stop it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils import timezone

from registry.access import permissions
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.events import Caller
from registry.oversight.models import Review
from registry.release import drilled, quarantines
from registry.release.models import AliasAssignment
from registry.release.recall_reach import live_moves
from registry.release.services.quarantine_releases import may_decide_release
from registry.release.serving_models import BrokenGlass
from registry.release.stopping_models import Quarantine


@dataclass(frozen=True)
class GlassView:
    """A move without an approval that an alias still rests on."""

    move: AliasAssignment
    glass: BrokenGlass
    over: bool
    review: Review | None


@dataclass(frozen=True)
class QuarantineView:
    """A recall that stops a version: named as far as the reader may read it, with where its way out stands."""

    row: Quarantine
    source: str
    reason: str
    named: bool
    aliases: Sequence[str]
    asked: bool
    may_ask: bool
    why_not: str | None
    """None when the reader may decide on the release that is asked for."""


def glass_views(model: RegisteredModel, version: ModelVersion | None = None) -> list[GlassView]:
    """Emergencies that aliases of a model rest on now, of one version where it is given."""
    found = []
    for move in drilled.broken_glass_now(model):
        glass = move.broken_glass
        if glass is not None and (version is None or move.version_id == version.pk):
            found.append(GlassView(move, glass, drilled.is_over(glass), drilled.review_after(glass)))
    return found


def quarantine_views(caller: Caller, version: ModelVersion) -> list[QuarantineView]:
    """The recalls that stop a version now."""
    return [quarantine_view(caller, row) for row in quarantines.quarantines_of(version) if row.ended_at is None]


def quarantine_view(caller: Caller, row: Quarantine) -> QuarantineView:
    """One quarantine for a reader."""
    recall, named = row.recall, quarantines.may_name(caller, row.recall)
    kind = recall.kind.replace("_", " ")
    asked = quarantines.release_asked(row)
    return QuarantineView(
        row=row,
        source=f"the {kind} {recall.subject}" if named else f"a {kind} of another team",
        reason=str(recall.reason) if named else "",
        named=named,
        aliases=sorted(move.alias.slug for move in live_moves([row.version_id])),
        asked=asked,
        may_ask=row.ended_at is None
        and not asked
        and permissions.may(caller.actor_id, "quarantine.request_release", row.model.team_id),
        why_not=may_decide_release(caller, row),
    )


def stopped_and_live(caller: Caller, model: RegisteredModel) -> list[QuarantineView]:
    """Versions of a model that are served although a recall stops them."""
    serving = {move.version_id for line in model.aliases.all() for move in line.assignments.order_by("-number")[:1]}
    rows = Quarantine.objects.filter(model=model, ended_at=None, version_id__in=serving - {None})
    related = rows.select_related("recall__reason", "version__model__team", "model__team").order_by("pk")
    return [quarantine_view(caller, row) for row in related]


def age_in_days(moment: datetime.datetime) -> int:
    """Whole days since a moment."""
    return (timezone.now() - moment).days

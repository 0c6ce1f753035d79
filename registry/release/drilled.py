"""What is known about the way back of an alias before it is needed, and about emergencies that last: reads only."""

from __future__ import annotations

import datetime

from django.db.models import QuerySet
from django.utils import timezone

from registry.catalog.models import ModelVersion, RegisteredModel
from registry.oversight.models import Review
from registry.release import queries
from registry.release.models import AliasAssignment, MoveKind
from registry.release.serving_models import BrokenGlass, Drill


def drills_of(model: RegisteredModel, alias: str) -> QuerySet[Drill]:
    """The drills of an alias, newest first."""
    rows = Drill.objects.filter(model=model, alias=alias).select_related("version__model__team", "drilled_by")
    return rows.order_by("-pk")


def last_drill(model: RegisteredModel, alias: str) -> Drill | None:
    """The newest drill of an alias; None where nobody ever went through it."""
    return drills_of(model, alias).first()


def rollback_candidate(model: RegisteredModel, alias: str) -> ModelVersion | None:
    """What an alias would go back to, before anything about it is checked."""
    candidates = queries.rollback_candidates(queries.alias_history(model, alias))
    return candidates[0] if candidates else None


def broken_glass_now(model: RegisteredModel) -> list[AliasAssignment]:
    """The moves without an approval that aliases of a model rest on now, ended ones too: until the alias moves, they are shown."""
    slugs = model.aliases.order_by("slug").values_list("slug", flat=True)
    moves = [queries.incumbent(model, slug) for slug in slugs]
    return [move for move in moves if move is not None and move.kind == MoveKind.BROKEN_GLASS]


def is_over(glass: BrokenGlass, at: datetime.datetime | None = None) -> bool:
    """Whether the emergency has ended by itself."""
    return glass.expires_at <= (at or timezone.now())


def review_after(glass: BrokenGlass) -> Review | None:
    """The first review of the version that somebody else signed after the glass was broken; None while it is missing."""
    rows = Review.objects.filter(about=glass.version_id, digest=glass.version_digest, reviewed_at__gt=glass.broken_at)
    return (
        rows.exclude(reviewed_by_id=glass.broken_by_id)
        .select_related("statement", "reviewed_by")
        .order_by("pk")
        .first()
    )

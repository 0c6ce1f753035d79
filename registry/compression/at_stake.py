"""Whose approval ends when a run has succeeded: what it will measure is served, and new evidence makes an approval stale.

Rules:
- an evaluation or replay brings evidence about the version itself; a compression about its child, and where an earlier run with the
  same parent and recipe made that child, about the version that is there already;
- only what an alias serves under an approval is told; it is said with the request, and nothing is refused for it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from registry.catalog.models import ModelVersion
from registry.compression.models import Run, RunKind
from registry.compression.standing import aliases_with_approval


def makes_stale(run: Run) -> list[str]:
    """A sentence for each alias whose approval the evidence of the run will make stale."""
    if run.kind != RunKind.COMPRESSION:
        return _told([run.rederives or run.parent])
    return _told(_made_before(run.model_id, run.parent, recipe=run.recipe_id), " (if it comes out the same)")


def would_make_stale(version: ModelVersion) -> list[str]:
    """The same before anything is requested: of the version itself, and of what compressing it again would measure."""
    return [*_told([version]), *_told(_made_before(version.model_id, version), " (if it comes out the same again)")]


def _made_before(model_id: uuid.UUID, parent: ModelVersion, **how: Any) -> list[ModelVersion]:
    """Versions of the model that runs made of the parent: a run that gives the same bytes makes none anew."""
    made = Run.objects.filter(model=model_id, parent=parent, kind=RunKind.COMPRESSION, child__isnull=False, **how)
    return list(
        ModelVersion.objects.filter(pk__in=made.values("child")).select_related("model__team").order_by("number")
    )


def _told(versions: Iterable[ModelVersion], when: str = "") -> list[str]:
    return [
        f"{alias} serves {version}: new evidence{when} makes its approval stale, and it has to be approved again."
        for version in versions
        for alias in aliases_with_approval(version)
    ]

"""The page that lays two versions side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.catalog.models import ModelVersion
from registry.desk import queries
from registry.desk.http import Context, Page
from registry.desk.version_diff import diff_versions
from registry.errors import Invalid, NotFound
from registry.events import Caller
from registry.release import queries as release

_OFFERED = 100


class DiffVersions(Page):
    """Two versions side by side, what differs first; without the second, the form that asks for it."""

    template = "catalog/diff_versions.html"
    section = "models"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        names = {side: query.get(side, "").strip() for side in ("left", "right")}
        found = {side: _find(caller, name) for side, name in names.items() if name}
        diff = diff_versions(caller, found["left"], found["right"]) if len(found) == len(names) else None
        known = next(iter(found.values()), None)
        return {"names": names, "diff": diff, "offered": _offered(caller, known)}


def _find(caller: Caller, name: str) -> ModelVersion:
    try:
        return release.find_version(caller, name)
    except NotFound:
        raise Invalid(
            f"There is no version {name[:200]}, or you may not see it.", hint="Write it as team/model@3."
        ) from None


def _offered(caller: Caller, known: ModelVersion | None) -> list[str]:
    """Versions of the same model, newest first, and what it was made from: what is compared most."""
    if known is None:
        return []
    rows = queries.versions(caller).filter(model=known.model_id)
    parents = queries.versions(caller).filter(child_edges__child=known).exclude(model=known.model_id).distinct()
    return [str(row) for row in [*parents[:_OFFERED], *rows[:_OFFERED]]]

"""Tags for what a page says loudest about releases, and for the last drill of an alias."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context

from registry.access.http import caller_of
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.desk import warnings
from registry.desk.terms_asked import asks_less
from registry.release.drilled import last_drill

register = template.Library()


@register.inclusion_tag("release/warnings.html", takes_context=True)
def release_warnings(
    context: Context, model: RegisteredModel, version: ModelVersion | None = None, alias: str = ""
) -> dict[str, Any]:
    """Emergencies that last, and recalls: of a model's live versions (of one alias), or of one version."""
    caller = caller_of(context["request"], "page")
    stopped = (
        warnings.stopped_and_live(caller, model) if version is None else warnings.quarantine_views(caller, version)
    )
    glasses = warnings.glass_views(model, version)
    if alias:
        glasses = [view for view in glasses if view.move.alias.slug == alias]
        stopped = [view for view in stopped if alias in view.aliases]
    return {"glasses": glasses, "stopped": stopped, "version": version}


register.filter("asks_less", asks_less)


@register.inclusion_tag("release/drill.html")
def drill(model: RegisteredModel, alias: str) -> dict[str, Any]:
    """The last drill of an alias with its age."""
    row = last_drill(model, alias)
    return {"drill": row, "days": warnings.age_in_days(row.drilled_at) if row else None, "alias": alias}

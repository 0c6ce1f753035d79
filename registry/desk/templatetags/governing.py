"""Tags about what has to be mended, for the pages of models and versions."""

from __future__ import annotations

from typing import Any

from django import template

from registry.catalog.models import RegisteredModel
from registry.desk.pages.findings import shown_of

register = template.Library()


@register.inclusion_tag("oversight/open_findings.html")
def open_findings(model: RegisteredModel) -> dict[str, Any]:
    """The findings about a model that nobody closed. The page that uses it has let its reader read the model."""
    return {"findings": shown_of(f"model:{model.pk}")}

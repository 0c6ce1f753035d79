"""Template tags and filters of the pages."""

from __future__ import annotations

from django import template

register = template.Library()


@register.filter
def short_digest(value: str | None) -> str:
    """`sha256:` and the first twelve digits, as people compare them."""
    return "" if not value else value[:19]

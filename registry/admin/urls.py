"""The menu of the admin site."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from registry.admin.acts import register_acts
from registry.admin.erasing import register_erasing
from registry.admin.governed import register_tables
from registry.admin.inbox import register_inbox
from registry.admin.kept import register_kept
from registry.admin.site import site

register_acts()
register_tables()
register_kept()
register_inbox()
register_erasing()

api: list[URLPattern] = []
pages: list[URLPattern | URLResolver] = [path("admin/", site.urls)]

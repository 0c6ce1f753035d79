"""The menu of the admin site."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from registry.admin.governed import register_tables
from registry.admin.inbox import register_inbox
from registry.admin.site import site

register_tables()
register_inbox()

api: list[URLPattern] = []
pages: list[URLPattern | URLResolver] = [path("admin/", site.urls)]

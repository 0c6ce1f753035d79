"""The menu of this room."""

from __future__ import annotations

from django.urls import URLPattern

api: list[URLPattern] = []
pages: list[URLPattern] = []

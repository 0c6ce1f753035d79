"""Addresses of pages from the parts of a reference, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.urls import reverse


def reference(kwargs: Mapping[str, Any]) -> str:
    """`team/model@7` from the parts of an address."""
    return f"{kwargs['team']}/{kwargs['model']}@{kwargs['version']}"


def version_url(kwargs: Mapping[str, Any]) -> str:
    return reverse("desk:version", args=[kwargs["team"], kwargs["model"], kwargs["version"]])


def model_url(kwargs: Mapping[str, Any]) -> str:
    return reverse("desk:model", args=[kwargs["team"], kwargs["model"]])

"""Having a version made again from the page of the version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.urls import reverse

from registry.compression import queries as compression
from registry.compression.services_replays import request_replay
from registry.desk.addresses import reference
from registry.desk.http import Act
from registry.desk.pages.story import VersionPage
from registry.events import Caller
from registry.provenance import queries as provenance
from registry.release import queries as release


class ReplayForm(forms.Form):
    """Empty for what a run made; for what was made elsewhere the recipe, and the rows that its steps looked at."""

    recipe = forms.CharField(required=False, max_length=200)
    calibration = forms.CharField(required=False, max_length=200)


class RequestReplay(Act):
    """Has the version made again from its parent, by its recipe, and compared tensor by tensor."""

    page = VersionPage
    form_class = ReplayForm

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        recipe, rows = data["recipe"], data["calibration"]
        run = request_replay(
            actor=caller,
            version=release.find_version(caller, reference(kwargs)),
            recipe=compression.get_recipe(caller, recipe) if recipe else None,
            calibration=provenance.get_dataset_version(caller, rows) if rows else None,
        )
        return reverse("desk:run", args=[run.pk]), "A worker will make the version again."

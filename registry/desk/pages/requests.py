"""The form that asks for a run: compress a version by a recipe, or only measure it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django import forms
from django.urls import reverse

from registry.access.queries import get_readable, readable
from registry.catalog import queries as catalog
from registry.catalog.models import ModelVersion
from registry.compression import services
from registry.compression.models import Recipe, Run
from registry.desk import queries
from registry.desk.addresses import reference
from registry.desk.http import Context, FormPage
from registry.events import Caller
from registry.provenance.models import DatasetVersion

ONLY_MEASURE = "measure"


class RunForm(forms.Form):
    """Which recipe, on which data. The choices are what this caller may use for this version."""

    recipe = forms.ChoiceField(label="What to do")
    evaluation = forms.ChoiceField(
        label="Evaluation data", help_text="What the outcome is measured on. It must not be the calibration data."
    )
    calibration = forms.ChoiceField(
        label="Calibration data", required=False, help_text="Only for recipes that look at data while they compress."
    )
    baseline = forms.ChoiceField(
        label="Baseline data", required=False,
        help_text="What live traffic will be compared with. Left out, it is the evaluation data.",
    )  # fmt: skip
    seed = forms.IntegerField(
        min_value=0, max_value=2**31 - 1, initial=0, help_text="The same seed gives the same bytes."
    )


class RequestRun(FormPage):
    """Asks for a run; it begins as soon as a worker is free."""

    template = "compression/request_run.html"
    section = "models"
    form_class = RunForm

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        version = catalog.get_version(caller, reference(kwargs))
        return {"version": version, "model": version.model}

    def form(self, caller: Caller, data: Mapping[str, str] | None, **kwargs: Any) -> forms.Form:
        form = RunForm(data)
        version = catalog.get_version(caller, reference(kwargs))
        form.fields["recipe"].choices = _recipes(caller, version)  # type: ignore[attr-defined]
        form.fields["evaluation"].choices = _data(caller, "evaluation")  # type: ignore[attr-defined]
        form.fields["calibration"].choices = [("", "none"), *_data(caller, "calibration")]  # type: ignore[attr-defined]
        form.fields["baseline"].choices = [("", "the evaluation data"), *_data(caller, "baseline")]  # type: ignore[attr-defined]
        return form

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        version = catalog.get_version(caller, reference(kwargs))
        run = _request(caller, version, data)
        return reverse("desk:run", args=[run.pk]), "The run is requested. This page follows it."


def _request(caller: Caller, version: ModelVersion, data: Mapping[str, Any]) -> Run:
    known = readable(DatasetVersion.objects.all(), caller, team="dataset__team").in_bulk(
        [data[use] for use in ("evaluation", "calibration", "baseline") if data[use]]
    )
    chosen = {use: known.get(uuid.UUID(data[use])) if data[use] else None for use in ("calibration", "baseline")}
    evaluation = known[uuid.UUID(data["evaluation"])]
    if data["recipe"] == ONLY_MEASURE:
        return services.request_evaluation(
            actor=caller, version=version, evaluation=evaluation, baseline=chosen["baseline"], seed=data["seed"]
        )
    recipe = get_readable(Recipe.objects.all(), caller, pk=data["recipe"])
    return services.request_run(
        actor=caller, model=version.model, parent=version, recipe=recipe, evaluation=evaluation,
        calibration=chosen["calibration"], baseline=chosen["baseline"], seed=data["seed"],
    )  # fmt: skip


def _recipes(caller: Caller, version: ModelVersion) -> list[tuple[str, str]]:
    rows = readable(Recipe.objects.filter(ended_at=None), caller).select_related("team").order_by("slug", "-number")
    compress = [(str(row.pk), f"Compress by {row.team}/{row}") for row in rows[: queries.LIST_ROWS]]
    return [*compress, (ONLY_MEASURE, "Only measure this version as it is")]


def _data(caller: Caller, use: str) -> list[tuple[str, str]]:
    rows = readable(DatasetVersion.objects.filter(source="measured", purged_at=None), caller, team="dataset__team")
    rows = rows.select_related("dataset__team").order_by("dataset__slug", "-number")
    return [
        (str(row.pk), f"{row.dataset.team}/{row}" + (f", {row.row_count} rows" if row.row_count else ""))
        for row in rows[: queries.LIST_ROWS]
        if use in row.uses
    ]

"""The page that asks for a run: compress a version by a recipe, or only measure it, and how to evaluate what comes of it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from django import forms
from django.urls import reverse

from registry.access.queries import get_readable, readable
from registry.catalog import queries as catalog
from registry.catalog.models import ModelVersion
from registry.compression import services
from registry.compression.at_stake import would_make_stale
from registry.compression.models import Recipe, Run
from registry.compression.services_comparisons import request_comparison
from registry.compression.services_shipped import publish_shipped
from registry.compression.training import TrainingAsked
from registry.desk.addresses import reference
from registry.desk.http import Context, FormPage
from registry.desk.pages.run_form import DATA_FIELDS, ONLY_MEASURE, SHIPPED, TRAINING_FIELDS, RunForm, run_form
from registry.errors import Invalid
from registry.events import Caller
from registry.provenance.models import DatasetVersion


class RequestRun(FormPage):
    """Asks for a run; it begins as soon as a worker is free."""

    template = "compression/request_run.html"
    section = "models"
    form_class = RunForm

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        version = catalog.get_version(caller, reference(kwargs))
        return {"version": version, "model": version.model, "at_stake": would_make_stale(version)}

    def form(self, caller: Caller, data: Mapping[str, str] | None, **kwargs: Any) -> forms.Form:
        return run_form(caller, catalog.get_version(caller, reference(kwargs)), data, self.request.FILES or None)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        version = catalog.get_version(caller, reference(kwargs))
        if data["more_recipes"]:
            runs = _request_comparison(caller, version, data)
            said = f"{len(runs)} runs are requested. This page compares what comes of them."
            return reverse("desk:comparison", args=[runs[0].comparison]), said
        run = _request(caller, version, data)
        return reverse("desk:run", args=[run.pk]), "The run is requested. This page follows it."


def _recipe(caller: Caller, version: ModelVersion, chosen: str) -> Recipe:
    """The recipe that was chosen; one that ships is published where the child is to be."""
    if chosen.startswith(SHIPPED):
        return publish_shipped(actor=caller, team=version.model.team, name=chosen.removeprefix(SHIPPED))
    return get_readable(Recipe.objects.all(), caller, pk=chosen)


def _request(caller: Caller, version: ModelVersion, data: Mapping[str, Any]) -> Run:
    asked = _asked(caller, version, data)
    if data["recipe"] == ONLY_MEASURE:
        _refuse_training(data)
        return services.request_evaluation(
            actor=caller, version=version, evaluation=asked.evaluation, evaluation_file=asked.evaluation_file,
            baseline=asked.baseline, seed=asked.seed, plan=asked.plan, incumbent=asked.incumbent,
            out_of_distribution=asked.out_of_distribution, allow_seen=asked.allow_seen, price_sheet=asked.price_sheet,
        )  # fmt: skip
    given = {entry.name: getattr(asked, entry.name) for entry in fields(asked)}
    return services.request_run(actor=caller, recipe=_recipe(caller, version, data["recipe"]), **given)


def _request_comparison(caller: Caller, version: ModelVersion, data: Mapping[str, Any]) -> list[Run]:
    chosen = dict.fromkeys([data["recipe"], *data["more_recipes"]])  # one that is named twice is meant once
    recipes = [_recipe(caller, version, one) for one in chosen]
    return request_comparison(actor=caller, recipes=recipes, asked=_asked(caller, version, data))


def _asked(caller: Caller, version: ModelVersion, data: Mapping[str, Any]) -> services.RunAsked:
    """What the form says beside recipes."""
    known = readable(DatasetVersion.objects.all(), caller, team="dataset__team").in_bulk(
        [data[use] for use in DATA_FIELDS if data[use]]
    )
    chosen = {use: known.get(uuid.UUID(data[use])) if data[use] else None for use in DATA_FIELDS}
    teacher, student = (
        catalog.get_version(caller, data[name]) if data[name] and data["recipe"] != ONLY_MEASURE else None
        for name in ("teacher", "student")
    )
    return services.RunAsked(
        model=version.model,
        parent=version,
        evaluation=known[uuid.UUID(data["evaluation"])],
        evaluation_file=data["evaluation_file"],
        calibration=chosen["calibration"],
        baseline=chosen["baseline"],
        seed=data["seed"],
        plan=data["draft"],
        incumbent=data["incumbent"] or None,
        out_of_distribution=chosen["out_of_distribution"],
        allow_seen=data["allow_seen"],
        price_sheet=data["prices"],
        training=TrainingAsked(
            chosen["training"], teacher, student, data["at_least"] or None, data["loses_at_most"] or None
        ),
    )


def _refuse_training(data: Mapping[str, Any]) -> None:
    """What is given for steps that train would be passed over where nothing is made."""
    given = next((name for name in TRAINING_FIELDS if data[name]), None)
    if given is not None:
        raise Invalid(
            f"{RunForm.base_fields[given].label} is given, and a measurement trains nothing.",
            hint="Choose a recipe, or clear the field.",
            code="option-unused",
        )

"""The page on which what was registered wrongly about data is said anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.urls import reverse

from registry.desk.forms import ReasonField
from registry.desk.http import Context, FormPage
from registry.events import Caller
from registry.provenance import queries as provenance
from registry.provenance.dataset_documents import USES
from registry.provenance.models import DatasetVersion, Knowledge
from registry.provenance.services_corrections import SaidAnew, correct_dataset_version
from registry.provenance.services_licences import register_licence
from registry.provenance.stated import ANSWERS, DAYS, MAY_BE_UNSTATED, TEXTS, stated_in

_AS_IT_IS = ("", "as it is")


def _named(name: str) -> str:
    return name.replace("_", " ").capitalize()


class CorrectDataForm(forms.Form):
    """What is right; whatever is left empty stays as it is."""

    licence = forms.CharField(label="Licence (SPDX)", required=False, max_length=200)
    uses = forms.MultipleChoiceField(
        label="For", required=False, choices=[(use, use) for use in USES], widget=forms.CheckboxSelectMultiple,
        help_text="None chosen: as it is.",
    )  # fmt: skip
    widen_uses = forms.BooleanField(label="Let the data in for more than before", required=False)
    unstated = forms.MultipleChoiceField(
        label="What nobody can say after all", required=False, widget=forms.CheckboxSelectMultiple,
        choices=[(name, _named(name)) for name in MAY_BE_UNSTATED],
    )  # fmt: skip
    reason = ReasonField(label="What was registered wrongly, and how you know")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        last = {name: self.fields.pop(name) for name in ("unstated", "reason")}
        for name in ANSWERS:
            choices = [_AS_IT_IS, *Knowledge.choices]
            self.fields[name] = forms.ChoiceField(label=_named(name), required=False, choices=choices)
        for name in TEXTS:
            self.fields[name] = forms.CharField(label=_named(name), required=False, max_length=4000)
        for name in DAYS:
            day = forms.DateInput(attrs={"type": "date"})
            self.fields[name] = forms.DateField(label=_named(name), required=False, widget=day)
        self.fields |= last


class CorrectDatasetVersion(FormPage):
    """Says anew what was registered wrongly about a state of data; the old words stay on record."""

    template = "provenance/correct_dataset_version.html"
    section = "datasets"
    form_class = CorrectDataForm

    def version(self, caller: Caller, kwargs: Mapping[str, Any]) -> DatasetVersion:
        return provenance.get_dataset_version(caller, f"{kwargs['team']}/{kwargs['dataset']}@{kwargs['number']}")

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        version = self.version(caller, kwargs)
        return {"version": version, "dataset": version.dataset, "stated": stated_in(version)}

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        version = self.version(caller, kwargs)
        given = {name: data[name] or None for name in ("uses", *ANSWERS, *TEXTS, *DAYS)}
        licence = None
        if data["licence"]:
            licence = register_licence(actor=caller, team=version.dataset.team, expression=data["licence"])
        said = SaidAnew(licence=licence, unstated=data["unstated"], **given)
        correct_dataset_version(
            actor=caller, version=version, said=said, reason=data["reason"], widen_uses=data["widen_uses"]
        )
        parts = [kwargs["team"], kwargs["dataset"], kwargs["number"]]
        return reverse("desk:dataset-version", args=parts), "Corrected. What was registered stays on record."

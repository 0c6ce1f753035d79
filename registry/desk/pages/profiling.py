"""Pages about data profiles: what was found in the rows of a dataset version, and having them looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.urls import reverse
from django.utils import timezone

from registry.compression.services_profiles import request_profile
from registry.desk import profile_tables
from registry.desk.http import Context, FormPage, Page
from registry.errors import Invalid
from registry.events import Caller
from registry.provenance import profiles
from registry.provenance import queries as provenance
from registry.provenance.dataset_files import files_of
from registry.provenance.models import DataProfile, DatasetVersion

_SUSPECTS_SHOWN = 20
_COLUMNS_SHOWN = 200


class ProfilePage(Page):
    """One profile: every figure with its sentence, what stands in other data, its columns, and the rows to look at."""

    template = "provenance/profile_page.html"
    section = "datasets"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        row = profiles.get_profile(caller, kwargs["profile"])
        document = profiles.document_for(caller, row)
        names = _names(caller, row)
        suspects = [] if document is None or document["label"] is None else document["label"]["suspects"]
        return {
            "profile": row,
            "version": row.dataset_version,
            "dataset": row.dataset_version.dataset,
            "state": profiles.state_of(row, timezone.now()),
            "label": profiles.label_of(row),
            "document": document,
            "tables": None if document is None else _tables(row, document, names),
            "columns": [] if document is None else document["columns"][:_COLUMNS_SHOWN],
            "examples": [] if document is None else _examples(document, names),
            "suspects": suspects[:_SUSPECTS_SHOWN],
        }


def _names(caller: Caller, row: DataProfile) -> dict[str, str]:
    """What the other data are called, by digest, as far as the reader may read them."""
    named = {str(entry["dataset_version"]): str(entry["digest"]) for entry in row.settings["against"]}
    known = provenance.dataset_versions(caller).filter(pk__in=list(named))
    return {named[str(other.pk)]: f"{other.dataset.team}/{other}" for other in known}


def _tables(row: DataProfile, document: dict[str, Any], names: Mapping[str, str]) -> Context:
    """The figures as tables, other data by name."""
    paths = {file.digest: file.path for file in files_of(row.dataset_version)}
    return {
        "whole": profile_tables.whole(document),
        "classes": profile_tables.classes(document),
        "beside": profile_tables.beside(document, names),
        "files": profile_tables.files(document, paths)[:_COLUMNS_SHOWN],
    }


def _examples(document: dict[str, Any], names: Mapping[str, str]) -> list[tuple[str, str]]:
    """What to look at, and the numbers of the rows."""
    found = [
        (name.replace("_", " ").capitalize(), "; ".join(_rows(entry) for entry in rows))
        for name, rows in document["examples"].items()
        if rows
    ]
    for other in document["against"]:
        where = names.get(other["digest"], f"{other['digest'][:19]}…")
        for name, pairs in (("The same row in", other["same_pairs"]), ("Nearly the same in", other["near_pairs"])):
            if pairs:
                found.append((f"{name} {where}", "; ".join(f"{here} is {there} there" for here, there in pairs)))
    return found


def _rows(entry: Any) -> str:
    return " and ".join(map(str, entry)) if isinstance(entry, list) else str(entry)


class RequestProfileForm(forms.Form):
    """The column of labels, and other data that must not share rows with these."""

    label = forms.CharField(
        label="Column with the right answers", max_length=200, required=False,
        help_text="Left out: nothing is said about labels.",
    )  # fmt: skip
    against = forms.CharField(
        label="Data whose rows should not be found here", required=False, widget=forms.Textarea(attrs={"rows": 3}),
        help_text="What a model was trained or calibrated on, one TEAM/DATASET@N in a line.",
    )  # fmt: skip


class RequestProfile(FormPage):
    """Has the rows of a dataset version looked at."""

    template = "provenance/request_profile.html"
    section = "datasets"
    form_class = RequestProfileForm

    def version(self, caller: Caller, kwargs: Mapping[str, Any]) -> DatasetVersion:
        return provenance.get_dataset_version(caller, f"{kwargs['team']}/{kwargs['dataset']}@{kwargs['number']}")

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        version = self.version(caller, kwargs)
        return {"version": version, "dataset": version.dataset}

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        names = data["against"].split()
        if any("@" not in name or "/" not in name for name in names):
            raise Invalid("Other data are named as TEAM/DATASET@N, one in a line.", hint="Correct the list.")
        profile: DataProfile = request_profile(
            actor=caller,
            dataset_version=self.version(caller, kwargs),
            label=data["label"] or None,
            against=[provenance.get_dataset_version(caller, name) for name in names],
        )
        return reverse("desk:profile", args=[profile.pk]), "A worker will look at the rows."

"""Pages about data: all datasets, one with its versions, and one version with everything that is stated and measured about it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone

from registry import storage
from registry.access import permissions
from registry.access.http import caller_of
from registry.access.queries import get_readable
from registry.desk import queries
from registry.desk.http import Context, Page
from registry.desk.kept import kept_about
from registry.desk.profiled import profile_of
from registry.digests import parse_canonical
from registry.events import Caller
from registry.oversight.subjects import of_dataset, of_dataset_version
from registry.provenance import queries as provenance
from registry.provenance.croissant import MEDIA_TYPE
from registry.provenance.croissant_api import croissant_bytes
from registry.provenance.dataset_files import ONLY_FILE, file_to_download
from registry.provenance.models import Dataset, DatasetVersion, Source
from registry.provenance.sending import send_stored
from registry.provenance.stated import COLUMNS, corrections_of, registered, stated_in

_COLUMNS_SHOWN = 200
_CORRECTIONS_SHOWN = 50


class Datasets(Page):
    """Every dataset of the reader's teams."""

    template = "provenance/datasets.html"
    section = "datasets"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        found = list(queries.datasets(caller)[: queries.LIST_ROWS])
        newest = queries.newest_states(found)
        return {"datasets": [(dataset, _line(newest.get(dataset.pk))) for dataset in found]}


def _line(version: DatasetVersion | None) -> Context | None:
    """One version in a list, under the licence and for the uses that are stated now."""
    if version is None:
        return None
    stated = stated_in(version)
    return {"version": version, "licence": stated.licence, "uses": stated.uses, "corrected": stated.correction}


def _dataset(caller: Caller, kwargs: Mapping[str, Any]) -> Dataset:
    return get_readable(queries.datasets(caller), caller, team__slug=kwargs["team"], slug=kwargs["dataset"])


def _told(caller: Caller, version: DatasetVersion) -> Context:
    """What the part of a page about one version shows."""
    facts: Any = parse_canonical(storage.read_bytes(version.document_digest))
    subject = of_dataset_version(version)
    stated = stated_in(version)
    kept = kept_about(caller, subject, purged=version.purged_at is not None)
    return {
        "version": version,
        "stated": stated,
        "now": {**stated.values, "uses": stated.uses},
        "corrected": _corrected(version),
        "corrections": list(corrections_of(version)[:_CORRECTIONS_SHOWN]),
        "vetting": next((view for view in kept.reviews if view.row.kind == "vetting"), None),
        "may_correct": permissions.may(caller.actor_id, "dataset_version.correct", version.dataset.team_id),
        "may_recall": permissions.may(caller.actor_id, "recall.start", version.dataset.team_id),
        "reference": subject.name,
        "facts": facts,
        "columns": (facts.get("columns") or [])[:_COLUMNS_SHOWN],
        "files": (facts.get("files") or [])[:_COLUMNS_SHOWN],
        "only_file": ONLY_FILE,
        "may_download": version.source == Source.MEASURED
        and version.purged_at is None
        and permissions.may(caller.actor_id, "version.download", version.dataset.team_id),
        "profile": profile_of(caller, version),
        "kept": kept,
        "retention_over": (until := stated.values["retain_until"]) is not None and until < timezone.now().date(),
    }


def _corrected(version: DatasetVersion) -> list[dict[str, Any]]:
    """What reads otherwise now than it was registered, with the old words."""
    before, now = registered(version).values, stated_in(version).values
    return [
        {"name": name.replace("_", " "), "before": ", ".join(before[name]) if name == "uses" else before[name]}
        for name in COLUMNS
        if before[name] != now[name]
    ]


class DatasetPage(Page):
    """One dataset: who answers for it, its versions, and the newest of them in full."""

    template = "provenance/dataset.html"
    section = "datasets"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        dataset = _dataset(caller, kwargs)
        rows = provenance.dataset_versions(caller).filter(dataset=dataset).select_related("created_by")
        versions = list(rows.order_by("-number")[: queries.LIST_ROWS])
        told = _told(caller, versions[0]) if versions else {}
        return {
            "dataset": dataset,
            "lines": [_line(row) for row in versions],
            "whole": kept_about(caller, of_dataset(dataset)),
            **told,
        }


class DatasetVersionPage(Page):
    """One version: what it is, where it comes from, whom it concerns, who looked at it, and what is kept about it."""

    template = "provenance/dataset_version.html"
    section = "datasets"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        version = provenance.get_dataset_version(caller, f"{kwargs['team']}/{kwargs['dataset']}@{kwargs['number']}")
        return {"dataset": version.dataset, **_told(caller, version)}


class DownloadDataFile(Page):
    """The bytes of one file of a version, as an attachment."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]  # it streams
        caller = caller_of(request, "page")
        version = provenance.get_dataset_version(caller, f"{kwargs['team']}/{kwargs['dataset']}@{kwargs['number']}")
        file = file_to_download(caller, version, kwargs["path"])
        named = PurePosixPath(file.path).name
        if file.path == ONLY_FILE:
            facts: Any = parse_canonical(storage.read_bytes(version.document_digest))
            named = f"{version.dataset.slug}-{version.number}.{facts['format']}"
        ranged = request.headers.get("Range"), request.headers.get("If-Range")
        return send_stored(file.digest, file.size_bytes, named, *ranged)


class Croissant(Page):
    """One version as Croissant 1.1."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        parts = [kwargs["team"], kwargs["dataset"], kwargs["number"]]
        version = provenance.get_dataset_version(caller_of(request, "page"), "{}/{}@{}".format(*parts))
        url = request.build_absolute_uri(reverse("desk:dataset-version", args=parts))
        name = f"{version.dataset.slug}-{version.number}.croissant.json"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
        return HttpResponse(croissant_bytes(version, url), content_type=MEDIA_TYPE, headers=headers)

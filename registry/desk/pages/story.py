"""The page that tells a version's story, and its evidence documents as downloads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse

from registry.access import permissions
from registry.access.http import caller_of
from registry.access.queries import get_readable
from registry.catalog import queries as catalog
from registry.catalog.models import Evidence
from registry.desk.addresses import reference
from registry.desk.downloads import download
from registry.desk.http import Context, Page
from registry.desk.kept import kept_about
from registry.desk.story import story_of
from registry.events import Caller
from registry.oversight.subjects import of_version
from registry.release import queries as release


class VersionPage(Page):
    """From what, by which steps, measured how, allowed by whom, where live, and the proof."""

    template = "catalog/version.html"
    section = "models"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        version = release.find_version(caller, reference(kwargs))
        acts = (
            "run.request",
            "approval.request",
            "gate.evaluate",
            "waiver.sign",
            "version.correct",
            "recall.start",
            "bundle.issue",
        )
        team_id = version.model.team_id
        return {
            "version": version,
            "model": version.model,
            "story": story_of(caller, version),
            "kept": kept_about(caller, of_version(version), purged=version.purged_at is not None),
            "may": {act.replace(".", "_"): permissions.may(caller.actor_id, act, team_id) for act in acts},
        }


class EvidenceDocument(Page):
    """One evidence document as it was sealed, for those who may read the data that it is about."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        caller = caller_of(request, "page")
        rows = Evidence.objects.filter(version=catalog.get_version(caller, reference(kwargs)))
        row = get_readable(rows, caller, team="model__team", pk=kwargs["evidence"])
        catalog.EvidenceReader(caller).require(row)
        return download(row.digest, f"{row.kind}-{row.digest[7:19]}.json", "application/json")

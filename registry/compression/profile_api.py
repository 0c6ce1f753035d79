"""JSON doors to data profiles: asked for at a dataset version, watched, and read whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from registry.access.http import Command, Query, keyset_page
from registry.compression import services_profiles
from registry.digests import time_text
from registry.events import Caller
from registry.provenance import profiles
from registry.provenance import queries as provenance
from registry.provenance.models import DataProfile, DatasetVersion


def profile_body(row: DataProfile, hidden: Collection[str]) -> dict[str, Any]:
    """A profile as listings show it; data beside it that the reader may not read (`hidden`) are not named."""
    version = row.dataset_version
    return {
        "id": str(row.pk),
        "dataset_version": f"{version.dataset.team.slug}/{version}",
        "state": profiles.state_of(row, timezone.now()),
        "label": profiles.label_of(row),
        "seed": row.settings["seed"],
        "against": profiles.against_of(row, hidden),
        "previous": row.settings["previous"] and row.settings["previous"]["digest"],
        "attempt": row.attempt,
        "asked_by": str(row.asked_by_id),
        "asked_at": time_text(row.asked_at),
        "finished_at": time_text(row.finished_at) if row.finished_at else None,
        "digest": row.digest,
        "size_bytes": row.size_bytes,
        "engine_version": row.engine_version,
        "failure_code": row.failure_code,
        "failure": str(row.failure) if row.failure else None,
    }


def _itself(row: DataProfile) -> DataProfile:
    return row


def _version(caller: Caller, kwargs: Mapping[str, Any]) -> DatasetVersion:
    return provenance.get_dataset_version(caller, f"{kwargs['team']}/{kwargs['dataset']}@{kwargs['number']}")


class RequestProfileInput(serializers.Serializer[Any]):
    label = serializers.CharField(  # type: ignore[assignment]  # a field, not the attribute
        required=False, allow_null=True, default=None, max_length=200, help_text="The column with the right answers."
    )
    against = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        default=list,
        max_length=services_profiles.AGAINST_MAX,
        help_text="Data whose rows should not be found here: team/dataset@3 of training and calibration.",
    )
    seed = serializers.IntegerField(required=False, default=0, min_value=0)


@extend_schema_view(
    get=extend_schema(operation_id="list_profiles", responses={200: dict}),
    post=extend_schema(operation_id="request_profile", request=RequestProfileInput, responses={201: dict}),
)
class RequestProfile(Command, Query):
    """The profiles of a dataset version; have its rows looked at."""

    input = RequestProfileInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        rows = profiles.profiles_of(caller, _version(caller, kwargs))
        page = keyset_page(rows, query, _itself, newest_first=True)
        hidden = profiles.hidden_beside(caller, page["items"])
        return page | {"items": [profile_body(row, hidden) for row in page["items"]]}

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        profile = services_profiles.request_profile(
            actor=caller,
            dataset_version=_version(caller, kwargs),
            label=data["label"],
            against=[provenance.get_dataset_version(caller, ref) for ref in data["against"]],
            seed=data["seed"],
        )
        row = profiles.get_profile(caller, profile.pk)
        return profile_body(row, profiles.hidden_beside(caller, [row]))


@extend_schema_view(get=extend_schema(operation_id="show_profile", responses={200: dict}))
class ShowProfile(Query):
    """One profile, with its document once it has finished."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        row = profiles.get_profile(caller, kwargs["profile"])
        hidden = profiles.hidden_beside(caller, [row])
        return profile_body(row, hidden) | {"document": profiles.document_for(caller, row)}

"""JSON doors of corrections of data: what was registered wrongly about a state, said anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from registry.access.http import Command, Query, keyset_page
from registry.digests import time_text
from registry.events import Caller
from registry.provenance import queries
from registry.provenance.api import person_named
from registry.provenance.dataset_api import DayField
from registry.provenance.models import DatasetCorrection, DatasetVersion, Knowledge
from registry.provenance.openapi import PAGE
from registry.provenance.services_corrections import SaidAnew, correct_dataset_version
from registry.provenance.services_licences import register_licence
from registry.provenance.stated import ANSWERS, COLUMNS, DAYS, TEXTS, corrections_of


def correction_body(row: DatasetCorrection) -> dict[str, Any]:
    """A correction as the API shows it; null says that the column is not corrected. It repeats what earlier ones said."""
    return {
        "id": str(row.pk),
        "number": row.number,
        "licence": row.licence.expression if row.licence else None,
        "uses": row.uses,
        **{name: getattr(row, name) for name in ANSWERS},
        **{name: None if (text := getattr(row, name)) is None else str(text) for name in TEXTS},
        **{name: None if (day := getattr(row, name)) is None else day.isoformat() for name in DAYS},
        "steward": str(row.steward_id) if row.steward_id else None,
        "unstated": row.unstated,
        "reason": str(row.reason),
        "corrected_by": str(row.corrected_by_id),
        "corrected_at": time_text(row.corrected_at),
    }


class AnewField(serializers.RegexField):
    """yes, no or unknown; left out, the answer stays as it is."""

    def __init__(self, **options: Any) -> None:
        words = "|".join(Knowledge.values)
        super().__init__(f"^({words})$", required=False, default=None, allow_null=True, **options)


class SentenceField(serializers.CharField):
    """A sentence; left out, what was said stays as it is."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, default=None, allow_null=True, **options)


class CorrectDatasetVersionInput(serializers.Serializer[Any]):
    reason = serializers.CharField(help_text="What was registered wrongly, and how you know.")
    licence = serializers.CharField(required=False, default="", allow_blank=True, help_text="SPDX expression.")
    uses = serializers.ListField(child=serializers.CharField(), required=False, default=None, allow_null=True)
    widen_uses = serializers.BooleanField(
        required=False, default=False, help_text="Must be said where 'uses' lets the data in for more than before."
    )
    personal_data = AnewField()
    consent = AnewField()
    third_party_works = AnewField()
    opt_out_honoured = AnewField()
    origin = SentenceField()
    collection = SentenceField()
    third_party_basis = SentenceField()
    owner = SentenceField()
    known_biases = SentenceField()
    collected_from = DayField()
    collected_until = DayField()
    retain_until = DayField()
    steward = SentenceField(help_text="User name of who answers for the dataset from now on.")
    unstated = serializers.ListField(
        child=serializers.CharField(), required=False, default=list, max_length=len(COLUMNS),
        help_text="What nobody can say after all, such as collected_from.",
    )  # fmt: skip


@extend_schema_view(
    get=extend_schema(operation_id="dataset_corrections", parameters=PAGE, responses={200: dict}),
    post=extend_schema(
        operation_id="correct_dataset_version", request=CorrectDatasetVersionInput, responses={201: dict}
    ),
)
class CorrectDatasetVersion(Command, Query):
    """The corrections of a dataset version, newest first; another one. What was registered stays on record."""

    input = CorrectDatasetVersionInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        rows = corrections_of(_version(caller, kwargs))
        return keyset_page(rows, query, correction_body, newest_first=True)

    def prepare(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> None:
        if data["licence"]:
            queries.spelling_of(data["licence"])

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        version = _version(caller, kwargs)
        given = {
            name: value for name, value in data.items() if name not in ("licence", "reason", "steward", "widen_uses")
        }
        if data["licence"]:
            team = version.dataset.team
            given["licence"] = register_licence(actor=caller, team=team, expression=data["licence"])
        steward = person_named(data["steward"]) if data["steward"] else None
        said = SaidAnew(**given, steward=steward)
        row = correct_dataset_version(
            actor=caller, version=version, said=said, reason=data["reason"], widen_uses=data["widen_uses"]
        )
        return correction_body(row)


def _version(caller: Caller, kwargs: Mapping[str, Any]) -> DatasetVersion:
    return queries.get_dataset_version(caller, f"{kwargs['team']}/{kwargs['dataset']}@{kwargs['number']}")

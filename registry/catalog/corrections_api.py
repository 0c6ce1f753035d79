"""JSON doors of corrections: what was registered wrongly about a version, said anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from registry.access.http import Command, Query, keyset_page
from registry.catalog.api import version_of
from registry.catalog.models import Completeness, Correction
from registry.catalog.services_corrections import correct_version
from registry.digests import time_text
from registry.events import Caller
from registry.provenance.openapi import PAGE
from registry.provenance.queries import spelling_of
from registry.provenance.services_licences import register_licence


def correction_body(row: Correction) -> dict[str, Any]:
    """A correction as the API shows it; null says that the column is not corrected."""
    return {
        "id": str(row.pk),
        "number": row.number,
        "licence": row.licence.expression if row.licence else None,
        "training_data": row.training_data,
        "reason": str(row.reason),
        "corrected_by": str(row.corrected_by_id),
        "corrected_at": time_text(row.corrected_at),
    }


class CorrectVersionInput(serializers.Serializer[Any]):
    licence = serializers.CharField(required=False, default="", allow_blank=True, help_text="SPDX expression.")
    # a pattern, not an enum: a second field of this name would get a generated name in the OpenAPI document
    training_data = serializers.RegexField(
        f"^({'|'.join(Completeness.values)})$",
        required=False,
        default=None,
        allow_null=True,
        error_messages={"invalid": f"This is none of: {', '.join(Completeness.values)}."},
    )
    reason = serializers.CharField(help_text="What was registered wrongly, and how you know.")


@extend_schema_view(
    get=extend_schema(operation_id="corrections", parameters=PAGE, responses={200: dict}),
    post=extend_schema(operation_id="correct_version", request=CorrectVersionInput, responses={201: dict}),
)
class CorrectVersion(Command, Query):
    """The corrections of a version, newest first; another one. What was registered stays on record."""

    input = CorrectVersionInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        rows = version_of(caller, kwargs).corrections.select_related("licence", "reason")
        return keyset_page(rows, query, correction_body, newest_first=True)

    def prepare(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> None:
        if data["licence"]:
            spelling_of(data["licence"])

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        version = version_of(caller, kwargs)
        licence = None
        if data["licence"]:
            licence = register_licence(actor=caller, team=version.model.team, expression=data["licence"])
        row = correct_version(
            actor=caller, version=version, licence=licence, training_data=data["training_data"], reason=data["reason"]
        )
        return correction_body(row)

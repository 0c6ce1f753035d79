"""The door to a dataset version as Croissant 1.1."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from registry import storage
from registry.access.http import caller_of
from registry.access.models import Text
from registry.digests import date_text, parse_canonical
from registry.provenance import queries
from registry.provenance.croissant import MEDIA_TYPE, Described, croissant
from registry.provenance.models import DatasetVersion
from registry.provenance.ruled_terms import terms_in_force
from registry.provenance.stated import DAYS, TEXTS, stated_in


class Croissant(APIView):
    """One dataset version as JSON-LD after Croissant 1.1: digest, licence, fields, what is known about people and origin."""

    @extend_schema(operation_id="croissant", responses={(200, "application/ld+json"): OpenApiTypes.OBJECT})
    def get(self, request: Request, **kwargs: Any) -> HttpResponse:
        ref = f"{kwargs['team']}/{kwargs['dataset']}@{kwargs['number']}"
        version = queries.get_dataset_version(caller_of(request, "api"), ref)
        url = request.build_absolute_uri(request.path.removesuffix("/croissant.json"))
        return HttpResponse(croissant_bytes(version, url), content_type=MEDIA_TYPE)


def croissant_bytes(version: DatasetVersion, url: str) -> bytes:
    """The document of a version that the caller may read; `url` is where people find it."""
    return (json.dumps(croissant(described(version, url)), ensure_ascii=False, indent=1) + "\n").encode()


def described(version: DatasetVersion, url: str) -> Described:
    """What the registry knows about a version; of a text that was erased nothing is left to say."""
    facts = parse_canonical(storage.read_bytes(version.document_digest))
    assert isinstance(facts, dict)
    dataset, known = version.dataset, stated_in(version)
    told: dict[str, Any] = {
        **facts, **known.answers, "licence": known.licence.expression, "uses": sorted(known.uses),
        **{name: None if (day := known.values[name]) is None else date_text(day) for name in DAYS},
    }  # fmt: skip
    return Described(
        name=f"{dataset.team.slug}/{dataset.slug}",
        title=_said(dataset.title) or dataset.slug,
        number=version.number,
        url=url,
        team=dataset.team.slug,
        registered_at=version.created_at,
        facts=told,
        texts={name: said for name in TEXTS if (said := known.said(name))},
        terms=terms_in_force([known.licence.pk])[known.licence.pk],
        document_digest=version.document_digest,
        purged=version.purged_at is not None,
        counted={row.path: (row.format, row.row_count) for row in version.files.all()},
    )


def _said(text: Text | None) -> str:
    return "" if text is None else (text.value or "")

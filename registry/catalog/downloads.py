"""The door to the bytes of a version's files: streamed, resumable, named by digest, never shown inline.

Rules:
- whoever may download in the team of the model gets the bytes; missing, purged or shortened bytes are refused before the first;
- how they are sent stands in `provenance.sending`.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from registry.access import permissions
from registry.access.http import caller_of
from registry.catalog import queries
from registry.catalog.api import version_of
from registry.catalog.models import Artifact
from registry.provenance.sending import send_stored

_RANGE_HEADER = OpenApiParameter("Range", OpenApiTypes.STR, OpenApiParameter.HEADER, description="bytes=FIRST-LAST")


class DownloadFile(APIView):
    """The bytes of one file of a version."""

    @extend_schema(
        operation_id="download_file",
        parameters=[_RANGE_HEADER],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, **kwargs: Any) -> HttpResponse | StreamingHttpResponse:
        caller = caller_of(request, "api")
        version = version_of(caller, kwargs)
        permissions.require(caller, "version.download", version.model.team_id)
        artifact = queries.get_artifact(version, kwargs["path"])
        return send(artifact, request.headers.get("Range"), request.headers.get("If-Range"))


def send(artifact: Artifact, range_header: str | None, if_range: str | None) -> StreamingHttpResponse:
    """The answer with the bytes of a file of a version, or the part that was asked for."""
    name = PurePosixPath(artifact.path).name  # the rules of paths leave nothing in it that could break the header
    return send_stored(artifact.digest, artifact.size_bytes, name, range_header, if_range)

"""The door to the bytes of one file of a dataset version.

Rules:
- whoever may download in the team of the dataset gets the bytes; missing, purged or shortened bytes are refused before the first.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from registry.access.http import caller_of
from registry.provenance import queries
from registry.provenance.dataset_files import file_to_download
from registry.provenance.sending import send_stored

_RANGE_HEADER = OpenApiParameter("Range", OpenApiTypes.STR, OpenApiParameter.HEADER, description="bytes=FIRST-LAST")


class DownloadDatasetFile(APIView):
    """The bytes of one file of a dataset version; the only file of one is called `data`."""

    @extend_schema(
        operation_id="download_dataset_file",
        parameters=[_RANGE_HEADER],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, **kwargs: Any) -> HttpResponse | StreamingHttpResponse:
        caller = caller_of(request, "api")
        version = queries.get_dataset_version(caller, f"{kwargs['team']}/{kwargs['dataset']}@{kwargs['number']}")
        file = file_to_download(caller, version, kwargs["path"])
        name = PurePosixPath(file.path).name  # the rules of paths leave nothing in it that could break the header
        ranged = request.headers.get("Range"), request.headers.get("If-Range")
        return send_stored(file.digest, file.size_bytes, name, *ranged)

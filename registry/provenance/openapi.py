"""Parameters of this room's doors for the OpenAPI document."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

PAGE = [
    OpenApiParameter("after", OpenApiTypes.UUID, description="'next' of the page before."),
    OpenApiParameter("limit", OpenApiTypes.INT, description="1 to 100."),
]
UPLOAD = [
    OpenApiParameter(
        "Pressmark-Digest",
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        description="sha256:<64 hex>; the upload is refused when the bytes that arrive have another digest.",
    )
]

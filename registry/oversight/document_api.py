"""JSON doors of documents that are kept as proof, and the door to their bytes: an attachment, never rendered inline.

Rules:
- the bytes go to whoever may download in the team of what they are about; what is said about them, to its readers;
- they are hashed again before the first is sent;
- the answer is an attachment that no browser guesses about, in a sandbox should one show it all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import FileResponse, HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from registry import storage
from registry.access.http import Command, Query, caller_of, keyset_page
from registry.digests import time_text
from registry.events import Caller
from registry.oversight import queries_proofs as queries
from registry.oversight.subjects import find_subject, subject_of
from registry.provenance import documents
from registry.provenance.models import Document
from registry.provenance.services_documents import attach_document, require_for

ABOUT = OpenApiParameter(
    "about", OpenApiTypes.STR, required=True, description="What it is about, such as version:team/model@3."
)
ABOUT_HELP = (
    "model:, version:, dataset:, dataset_version:, use_case: and team/name (with @NUMBER), or licence:EXPRESSION."
)


def document_body(row: Document) -> dict[str, Any]:
    """A document as the API shows it."""
    return {
        "id": str(row.pk),
        "about": row.subject,
        "kind": row.kind,
        "title": str(row.title or ""),
        "digest": row.digest,
        "size_bytes": row.size_bytes,
        "media_type": row.media_type,
        "created_by": str(row.created_by_id),
        "created_at": time_text(row.created_at),
    }


class AttachDocumentInput(serializers.Serializer[Any]):
    about = serializers.CharField(max_length=300, help_text=ABOUT_HELP)
    # a pattern, not an enum: the generated name of an enum 'kind' would clash with others
    kind = serializers.RegexField(
        f"^({'|'.join(documents.KINDS)})$",
        help_text=f"One of: {', '.join(documents.KINDS)}.",
        error_messages={"invalid": f"This is none of: {', '.join(documents.KINDS)}."},
    )
    digest = serializers.CharField(max_length=71, help_text="Of bytes that you uploaded.")
    title = serializers.CharField(required=False, default="", allow_blank=True)


@extend_schema_view(
    get=extend_schema(operation_id="list_documents", parameters=[ABOUT], responses={200: dict}),
    post=extend_schema(operation_id="attach_document", request=AttachDocumentInput, responses={201: dict}),
)
class AttachDocument(Command, Query):
    """What is kept as proof about a record; a new document."""

    input = AttachDocumentInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        subject = find_subject(caller, query.get("about", ""))
        return keyset_page(queries.documents_of(subject.about), query, document_body, newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        given = {name: value for name, value in data.items() if name != "about"}
        return document_body(attach_document(actor=caller, subject=find_subject(caller, data["about"]), **given))


@extend_schema_view(get=extend_schema(operation_id="document", responses={200: dict}))
class ShowDocument(Query):
    """What is said about one document."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return document_body(queries.get_document(caller, kwargs["document"]))


class DownloadDocument(APIView):
    """The bytes of a document, as an attachment."""

    @extend_schema(operation_id="download_document", responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    def get(self, request: Request, **kwargs: Any) -> HttpResponseBase:
        caller = caller_of(request, "api")
        return send_document(caller, queries.get_document(caller, kwargs["document"]))


def send_document(caller: Caller, row: Document) -> FileResponse:
    """The answer with the bytes of a document that the caller may see; Forbidden for those who may not download."""
    require_for(caller, "version.download", subject_of(row.stream, row.about))
    storage.rehash(row.digest, row.size_bytes)
    name = f"{row.kind}-{row.digest[7:19]}.{documents.extension_of(row.media_type)}"
    response = FileResponse(
        storage.open_stored(row.digest), as_attachment=True, filename=name, content_type=row.media_type
    )
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-transform"
    response["Pressmark-Digest"] = row.digest
    return response

"""Files that leave the building, for the API and for pages: attachments of plain bytes that carry their digest.

Rules: nothing is shown inline and no browser may guess the type; a bundle is built anew for each download (erased texts stay
erased, and no file kept from before could say otherwise), once, whole before the first byte is sent.
"""

from __future__ import annotations

import base64
import hashlib
import tempfile
from typing import BinaryIO

from django.http import FileResponse, HttpResponse
from django.http.response import HttpResponseBase

from audit import bundles
from audit.models import Bundle, Report
from audit.reports.tables import to_csv
from registry import storage
from registry.digests import hex_of, parse_canonical, sha256
from registry.errors import NotFound

_PDF_LIMIT_BYTES = 64 * 1024 * 1024
_TYPES = {"pdf": "application/pdf", "json": "application/json", "csv": "text/csv; charset=utf-8"}


def report_file(report: Report, extension: str) -> HttpResponse:
    """The report as pdf, json or csv."""
    if extension not in _TYPES:
        raise NotFound(f"There is no report as {extension[:10]}.", hint=f"There are: {', '.join(_TYPES)}.")
    if extension == "pdf":
        data = storage.read_bytes(report.pdf_digest, limit_bytes=_PDF_LIMIT_BYTES)
    else:
        data = storage.read_bytes(report.json_digest)
    if extension == "csv":
        document = parse_canonical(data)
        assert isinstance(document, dict)
        data = to_csv(document)
    response = HttpResponse(data, content_type=_TYPES[extension])
    response["Content-Length"] = str(len(data))
    _as_attachment(response, f"pressmark-report-{report.pk}.{extension}", sha256(data))
    return response


def bundle_file(bundle: Bundle) -> FileResponse:
    """The bundle as a zip; the response closes the file behind it, sent or not."""
    source, digest = _built(bundle)
    response = FileResponse(source, content_type="application/zip")
    response.block_size = storage.CHUNK_BYTES
    _as_attachment(response, f"pressmark-bundle-{bundle.pk}.zip", digest)
    return response


def _built(bundle: Bundle) -> tuple[BinaryIO, str]:
    """An open, nameless file with the whole bundle, and its digest."""
    out = tempfile.TemporaryFile(prefix="pressmark-bundle-")  # noqa: SIM115  it is sent after this function
    try:
        bundles.write(bundle, out)
        out.seek(0)
        digest = "sha256:" + hashlib.file_digest(out, "sha256").hexdigest()
        out.seek(0)
    except BaseException:
        out.close()
        raise
    return out, digest


def _as_attachment(response: HttpResponseBase, name: str, digest: str) -> None:
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["ETag"] = f'"{digest}"'
    response["Pressmark-Digest"] = digest
    response["Repr-Digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(hex_of(digest))).decode()}:"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-transform"

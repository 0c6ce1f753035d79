"""An anchor that has each checkpoint time-stamped by an authority after RFC 3161: somebody else's clock says that it was there.

The option names a PEM file with the authority's root certificates; without it status, imprint and nonce of the answer are checked,
its certificate is not. The answer is kept as it came, so that whoever has the roots needs nothing of ours:
`openssl ts -verify -data X.note -in X.proof -CAfile ROOTS`.
"""

from __future__ import annotations

import hashlib
import http.client
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.x509 import load_pem_x509_certificates

from audit.anchoring.base import AnchorError, Task

TIMEOUT_SECONDS = 15
_LIMIT_BYTES = 256 * 1024


def put(task: Task) -> bytes:
    """The time-stamp response over the note's SHA-256."""
    try:
        import rfc3161_client as client  # noqa: PLC0415  an extra: only installations with such an anchor have it
    except ImportError:
        raise AnchorError("time stamps need the extra 'anchors': pip install 'pressmark[anchors]'") from None
    request = client.TimestampRequestBuilder().data(task.note).hash_algorithm(client.HashAlgorithm.SHA256).build()
    answer = _post(task.target, request.as_bytes())
    try:
        response = client.decode_timestamp_response(answer)
        if client.PKIStatus(response.status) != client.PKIStatus.GRANTED:
            raise AnchorError(
                f"{task.target} refused the time stamp: {' '.join(response.status_string) or response.status}"
            )
        info = response.tst_info
        if info.message_imprint.message != hashlib.sha256(task.note).digest() or info.nonce != request.nonce:
            raise AnchorError(f"{task.target} stamped something else")
        if task.option:
            _verify(client, request, response, task)
    except (ValueError, client.VerificationError) as error:
        raise AnchorError(f"{task.target} answered a time stamp that does not hold: {error}") from None
    return answer


def _verify(client: object, request: object, response: object, task: Task) -> None:
    try:
        roots = load_pem_x509_certificates(Path(task.option).read_bytes())
    except (OSError, ValueError) as error:
        raise AnchorError(f"{task.option} holds no certificates: {error}") from None
    builder = client.VerifierBuilder.from_request(request)  # type: ignore[attr-defined]
    for root in roots:
        builder = builder.add_root_certificate(root)
    builder.build().verify_message(response, task.note)


def _post(url: str, body: bytes) -> bytes:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise AnchorError(f"{url} is no address of a time-stamp authority; it begins with https://")
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = connect(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", path, body, {"Content-Type": "application/timestamp-query"})
        response = connection.getresponse()
        answer = response.read(_LIMIT_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise AnchorError(f"{parts.hostname} does not answer: {error}") from None
    finally:
        connection.close()
    if response.status != 200 or len(answer) > _LIMIT_BYTES:
        raise AnchorError(f"{parts.hostname} answered {response.status} with {len(answer)} bytes")
    return answer

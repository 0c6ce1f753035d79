"""The JSON door that completes a receipt."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view

from audit import receipt_proofs
from audit.api import entry_body
from registry.access.http import Query
from registry.events import Caller


@extend_schema_view(
    get=extend_schema(
        operation_id="complete_receipt",
        parameters=[OpenApiParameter("receipt", str, required=True, description="Value of Pressmark-Receipt.")],
        responses={200: OpenApiTypes.OBJECT},
    )
)
class CompleteReceipt(Query):
    """What makes a receipt stand alone: the bytes of its entries, for each a proof that carries the receipt, and the keys notes."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        done = receipt_proofs.complete(caller, receipt_proofs.note_of_header(query.get("receipt", "")))
        entries = [
            {**entry_body(entry), "proof": proof.decode()}
            for entry, proof in zip(done.entries, done.proofs, strict=True)
        ]
        keys = [{"first": era.first, "note": base64.b64encode(era.note).decode()} for era in done.eras]
        return {
            "entries": entries,
            "keys": keys,
            "receipt": base64.b64encode(done.note).decode(),
            "size": done.checkpoint.size,
        }

"""JSON door of service accounts: which ones act where the caller reads, who answers for each, and until when its tokens hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view

from registry.access.http import Query, keyset_page
from registry.access.models import Actor
from registry.access.queries import get_team
from registry.access.queries_accounts import account_of, service_accounts
from registry.digests import time_text
from registry.events import Caller

_GIVEN = [OpenApiParameter("team", str), OpenApiParameter("after", str), OpenApiParameter("limit", int)]


def account_body(row: Actor) -> dict[str, Any]:
    """A service account; its tokens without anything that opens a door."""
    account = account_of(row)
    answers = account.answers
    return {
        "id": str(row.pk),
        "responsible": answers.person.username if answers else None,
        "responsible_since": time_text(answers.created_at) if answers else None,
        "roles": [{"role": m.role, "team": m.team.slug if m.team else None} for m in account.roles],
        "tokens": [
            {"ends_at": time_text(t.expires_at), "issued_by": t.issued_by.username, "made_at": time_text(t.created_at)}
            for t in account.tokens
        ],
        "username": row.username,
    }


@extend_schema_view(
    get=extend_schema(operation_id="list_service_accounts", parameters=_GIVEN, responses={200: OpenApiTypes.OBJECT})
)
class ListServiceAccounts(Query):
    """The service accounts of a team that the caller reads (`team`), or of all of them."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        team = get_team(caller, query["team"]) if query.get("team") else None
        return keyset_page(service_accounts(caller, team), query, account_body)

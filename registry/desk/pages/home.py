"""The first page, and search: what waits for the reader, and what a name or a digest stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.access.permissions import PERMISSIONS
from registry.desk import queries, waiting
from registry.desk.http import Context, Page
from registry.desk.kept import waiting_purges
from registry.desk.waiting import SHOWN
from registry.events import Caller
from registry.monitoring import queries as monitoring
from registry.monitoring.models import Incident
from registry.monitoring.queries import incident_status
from registry.release.quarantines import waiting_releases
from registry.release.services.quarantine_releases import may_decide_release
from registry.release.terms_queue import waiting_licences


@dataclass(frozen=True)
class Open:
    """An incident with its computed status."""

    row: Incident
    status: str


class Home(Page):
    """What needs the reader's attention, by role."""

    template = "desk/home.html"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        holding = queries.holding(caller.actor_id)
        return {
            "holding": holding,
            "approvals": waiting.requests(caller),
            "incidents": [Open(row, incident_status(row)) for row in monitoring.open_incidents(caller)[:SHOWN]],
            "findings": waiting.to_mend(caller, holding),
            "licences": waiting_licences(caller)[:SHOWN] if _rules(holding) else [],
            "purges": waiting_purges(caller)[:SHOWN],
            "releases": [row for row in waiting_releases(caller) if may_decide_release(caller, row) is None][:SHOWN],
            "sections": waiting.sections(caller, holding),
            "runs": queries.runs(caller).filter(state__in=queries.IN_WORK)[:SHOWN],
            "versions": queries.versions(caller)[:SHOWN],
        }


def _rules(holding: queries.Holding) -> bool:
    """Whether the reader rules on licences, which is done for the whole instance."""
    return any(m.team_id is None and m.role in PERMISSIONS["ruling.author"] for m in holding.memberships)


class Search(Page):
    """By name or by digest."""

    template = "desk/search.html"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        words = "".join(c for c in query.get("q", "")[:120] if c.isprintable())
        return {"query": words, "found": queries.search(caller, words)}

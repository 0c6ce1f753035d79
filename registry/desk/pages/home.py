"""The first page, and search: what waits for the reader, and what a name or a digest stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.utils import timezone

from registry.access.permissions import PERMISSIONS
from registry.desk import queries
from registry.desk.http import Context, Page
from registry.desk.kept import waiting_purges
from registry.events import Caller
from registry.monitoring import queries as monitoring
from registry.monitoring.models import Incident
from registry.monitoring.queries import incident_status
from registry.oversight.models import Finding
from registry.oversight.queries_findings import findings
from registry.release import queries as release
from registry.release.models import Approval
from registry.release.quarantines import waiting_releases
from registry.release.services.quarantine_releases import may_decide_release
from registry.release.terms_queue import waiting_licences

_SHOWN = 8


@dataclass(frozen=True)
class Waiting:
    """An approval or incident with its computed status."""

    row: Approval | Incident
    status: str
    mine_to_decide: bool = False


class Home(Page):
    """What needs the reader's attention, by role."""

    template = "desk/home.html"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        holding = queries.holding(caller.actor_id)
        return {
            "holding": holding,
            "approvals": _approvals(caller),
            "incidents": [Waiting(row, incident_status(row)) for row in monitoring.open_incidents(caller)[:_SHOWN]],
            "findings": _findings(caller, overdue=not holding.roles.isdisjoint(PERMISSIONS["finding.close"])),
            "licences": waiting_licences()[:_SHOWN] if _rules(holding) else [],
            "purges": waiting_purges(caller)[:_SHOWN],
            "releases": [row for row in waiting_releases(caller) if may_decide_release(caller, row) is None][:_SHOWN],
            "runs": queries.runs(caller).filter(state__in=queries.IN_WORK)[:_SHOWN],
            "versions": queries.versions(caller)[:_SHOWN],
        }


def _rules(holding: queries.Holding) -> bool:
    """Whether the reader rules on licences, which is done for the whole instance."""
    return any(m.team_id is None and m.role in PERMISSIONS["ruling.author"] for m in holding.memberships)


def _findings(caller: Caller, *, overdue: bool) -> list[Finding]:
    """What the reader has to mend, and for whoever may close findings what is overdue, the first due first."""
    wanted = Q(owner_id=caller.actor_id)
    if overdue:
        wanted |= Q(due_on__lt=timezone.now().date())
    return list(findings(caller, still_open=True).filter(wanted).order_by("due_on", "pk")[:_SHOWN])


def _approvals(caller: Caller) -> list[Waiting]:
    """Requests that wait for a decision, those that this reader may decide on first."""
    found = []
    for row in release.without_final_decision(release.approvals(caller))[:_SHOWN]:
        now = release.status_of(row)
        if now.grants < now.required:
            found.append(Waiting(row, now.word, release.may_decide(caller, row) is None))
    return sorted(found, key=lambda waiting: not waiting.mine_to_decide)


class Search(Page):
    """By name or by digest."""

    template = "desk/search.html"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        words = "".join(c for c in query.get("q", "")[:120] if c.isprintable())
        return {"query": words, "found": queries.search(caller, words)}

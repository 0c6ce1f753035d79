"""Reads of findings across everything that somebody may read: whose they are, what is overdue, and what was written on the way."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from registry.access.models import Team, Text
from registry.access.queries import readable, readable_team_ids
from registry.catalog.models import RegisteredModel
from registry.compression.models import Recipe
from registry.digests import time_text
from registry.events import Caller
from registry.oversight.models import Finding, UseCase
from registry.provenance.models import Dataset

_OWNED: dict[str, type[RegisteredModel | Dataset | UseCase | Recipe]] = {
    "model": RegisteredModel, "dataset": Dataset, "use_case": UseCase, "recipe": Recipe,
}  # fmt: skip
_UNOWNED = ("instance", "licence", "policy")
_BATCH = 500


def findings(caller: Caller, *, mine: bool = False, still_open: bool = False) -> QuerySet[Finding]:
    """What has to be mended in the caller's teams, newest first."""
    rows = Finding.objects.select_related("description", "owner", "closure", "created_by")
    if mine:
        rows = rows.filter(owner_id=caller.actor_id)
    if still_open:
        rows = rows.filter(closed_at=None)
    teams = readable_team_ids(caller.actor_id)
    if teams is not None:
        rows = rows.filter(stream__in=_readable(rows, caller)) if teams else rows.none()
    return rows.order_by("-pk")


def _readable(rows: QuerySet[Finding], caller: Caller) -> list[str]:
    """Of the streams that there are findings in, those of the caller's teams, and those that belong to no team.

    Asked from the findings, which are few beside models and datasets: a list of everything readable would outgrow a statement.
    """
    found, asked = [], defaultdict(list)
    for stream in rows.order_by().values_list("stream", flat=True).distinct():
        kind, _, key = stream.partition(":")
        if kind in _OWNED or kind == "team":
            asked[kind].append(key)
        elif kind in _UNOWNED:
            found.append(stream)
    for kind, keys in asked.items():
        table, team = (_OWNED[kind], "team") if kind in _OWNED else (Team, "pk")
        for start in range(0, len(keys), _BATCH):
            batch = table._default_manager.filter(pk__in=keys[start : start + _BATCH])
            found += [f"{kind}:{key}" for key in readable(batch, caller, team=team).values_list("pk", flat=True)]
    return found


_DONE = {"accept": "accepted", "fix": "mended", "reopen": "opened again", "assign": "handed over or moved"}


@dataclass(frozen=True)
class Note:
    """What somebody wrote on the way: which act, when."""

    act: str
    text: Text

    @property
    def said(self) -> str:
        """The act as something that was done."""
        return _DONE.get(self.act, self.act)


def notes_of(finding: Finding) -> list[Note]:
    """What was written about a finding after it was opened, oldest first."""
    rows = Text.objects.filter(stream=finding.stream, purpose__endswith=f":{finding.pk.hex}").order_by("pk")
    return [Note(row.purpose.partition(":")[0], row) for row in rows]


def notes_body(finding: Finding) -> list[dict[str, Any]]:
    """The same for programs."""
    return [{"act": n.act, "note": str(n.text), "at": time_text(n.text.created_at)} for n in notes_of(finding)]


def overdue(rows: Iterable[Finding], today: datetime.date) -> int:
    """How many of them should have been mended by now."""
    return sum(row.closed_at is None and row.due_on < today for row in rows)

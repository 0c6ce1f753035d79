"""Entries outside the streams of a scope that its acts rest on: who held a role, in whose place, who answers for an account.

One reason: streams of a team and of the instance hold far more than one model's story and are never handed over whole, but without
these entries nobody outside could check that who decided was allowed to. Rules, over the entries below the size of the scope:
- of each act on the model, its monitors, use case, policies and licences: the entries about the role under which it was done, of
  who did it or, where a deputy did, of the principal, and those about that deputyship;
- of each service account that acted: who answers or answered for it, and who issued its tokens;
- what records name by id: targets, tier tables, and recalls that were started in what is the team's own or everybody's; a recall
  of what is another team's stays known by its id;
- they are read from the ledger, so that the same scope finds the same entries for ever.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from audit import snapshots
from audit.models import Entry
from audit.snapshots import Snapshot
from registry.oversight.queries import team_of_stream
from registry.release.stopping_models import Recall

_BATCH = 1000
_ACTS_ON = frozenset({"model", "monitor", "use_case", "policy", "licence"})
_NAMED = {
    "tier_table_id": "oversight.tier_table", "recall_id": "release.recall", "target_id": "release.target",
}  # fmt: skip
_TYPES = re.compile(
    rb'"type":"(access\.(deputyship|membership|responsibility|token)|oversight\.tier_table|release\.(recall|target))/'
)


@dataclass(frozen=True)
class _Asked:
    """What a scope rests on."""

    accounts: frozenset[str]
    deputies: frozenset[tuple[str, str]]
    roles: frozenset[tuple[str, str]]
    named: frozenset[tuple[str, str]]

    def about(self, record: Mapping[str, Any]) -> bool:
        """Whether a record of one of these types is one of them."""
        type_, row = record["type"].partition("/")[0], record["row"]
        if type_ == "access.membership":
            return (row["actor_id"], row["role"]) in self.roles
        if type_ == "access.deputyship":
            return (row["deputy_id"], row["principal_id"]) in self.deputies
        if type_ == "access.responsibility":
            return row["account_id"] in self.accounts
        return (type_, record["id"]) in self.named


def behind(snapshot: Snapshot, team_id: uuid.UUID) -> Snapshot:
    """These entries alone, as a snapshot: `team_id` owns the model."""
    asked = _asked(snapshot)
    found = Snapshot(snapshot.model_id, snapshot.size, snapshot.as_of)
    tokens = []
    for stream in _streams(snapshot, asked, team_id):
        for position, entry in _entries(stream, snapshot.size):
            if any(asked.about(record) for record in entry["event"]["records"]):
                snapshots.take_entry(found, position, entry)
            elif stream == "instance":
                tokens.append((position, entry))
    served = {str(record.row["account_id"]) for record in found.all("access.responsibility")}
    for position, entry in tokens:
        if any(_is_token_of(served, record) for record in entry["event"]["records"]):
            snapshots.take_entry(found, position, entry)
    return snapshots.in_order(found)


def _asked(snapshot: Snapshot) -> _Asked:
    on_it = [act for act in snapshot.acts if act.stream.partition(":")[0] in _ACTS_ON]
    rows = [
        (record.row, column) for table in snapshot.records.values() for record in table.values() for column in _NAMED
    ]
    return _Asked(
        frozenset(key for act in snapshot.acts for key in (act.actor, act.on_behalf_of) if key),
        frozenset((act.actor, act.on_behalf_of) for act in on_it if act.on_behalf_of),
        frozenset((act.on_behalf_of or act.actor, act.role) for act in on_it),
        frozenset((_NAMED[column], str(row[column])) for row, column in rows if row.get(column)),
    )


def _streams(snapshot: Snapshot, asked: _Asked, team_id: uuid.UUID) -> list[str]:
    recalls = [uuid.UUID(key) for type_, key in asked.named if type_ == "release.recall"]
    started = Recall.objects.filter(pk__in=recalls).order_by("stream").values_list("stream", flat=True).distinct()
    ours = [stream for stream in started if stream not in snapshot.ends and team_of_stream(stream) in (None, team_id)]
    return ["instance", f"team:{team_id}", *ours]


def _entries(stream: str, size: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Position and entry of each that holds a record of these types."""
    rows = Entry.objects.filter(stream=stream, position__lt=size).order_by("position").values_list("position", "entry")
    for position, data in rows.iterator(chunk_size=_BATCH):
        if _TYPES.search(bytes(data)):
            yield position, json.loads(bytes(data))


def _is_token_of(accounts: set[str], record: Mapping[str, Any]) -> bool:
    return record["type"].startswith("access.token/") and record["row"]["actor_id"] in accounts

"""A snapshot seen as a case: which versions there are, what is live, under which approval, measured how. Pure.

Rules: the newest assignment of an alias is its incumbent; an alias that is suspended serves nothing; only evidence that names
exactly a version's digest among its subjects is evidence about that version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from audit.snapshots import Record, Snapshot
from registry.release.status import holds


@dataclass(frozen=True)
class Live:
    """What one alias serves."""

    alias: Record
    assignment: Record
    version: Record
    approval: Record | None


@dataclass(frozen=True)
class Measured:
    """An evidence record with its document."""

    record: Record
    document: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return str(self.record.row["kind"])

    @property
    def is_measured(self) -> bool:
        return bool(self.record.row["source"] == "measured")

    @property
    def figures(self) -> list[Mapping[str, Any]]:
        return list(self.document["figures"])

    def figure(self, metric: str) -> Mapping[str, Any] | None:
        """The figure over the whole of the data."""
        return next((f for f in self.figures if f["metric"] == metric and not f["slice"]), None)


class Case:
    """One model as of one position."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.now = snapshot.as_of

    @cached_property
    def model(self) -> Record | None:
        return self.snapshot.get("catalog.model", self.snapshot.model_id)

    @cached_property
    def versions(self) -> list[Record]:
        """By number."""
        own = [v for v in self.snapshot.all("catalog.version") if v.row["model_id"] == self.snapshot.model_id]
        return sorted(own, key=lambda v: int(v.row["number"]))

    def version(self, key: str | None) -> Record | None:
        return self.snapshot.get("catalog.version", key)

    @cached_property
    def assignments(self) -> list[Record]:
        return sorted(self.snapshot.all("release.assignment"), key=lambda a: (a.row["alias_id"], int(a.row["number"])))

    def history(self, alias: Record) -> list[Record]:
        """The moves of an alias, oldest first."""
        return [a for a in self.assignments if a.row["alias_id"] == alias.id]

    @cached_property
    def live(self) -> list[Live]:
        """What the aliases serve, by alias."""
        found = []
        for alias in sorted(self.snapshot.all("release.alias"), key=lambda a: str(a.row["slug"])):
            moves = self.history(alias)
            version = self.version(moves[-1].row["version_id"]) if moves else None
            if version is not None:
                approval = self.snapshot.get("release.approval", moves[-1].row["approval_id"])
                found.append(Live(alias, moves[-1], version, approval))
        return found

    @cached_property
    def live_versions(self) -> list[Record]:
        """Each version that some alias serves, once."""
        return list({live.version.id: live.version for live in self.live}.values())

    @cached_property
    def judged_versions(self) -> list[Record]:
        """The versions that rules are about: what is live, or the newest where nothing is."""
        return self.live_versions or self.versions[-1:]

    @cached_property
    def _edges(self) -> dict[str, list[Record]]:
        found: dict[str, list[Record]] = {}
        for edge in self.snapshot.all("catalog.edge"):
            found.setdefault(str(edge.row["child_id"]), []).append(edge)
        return found

    def edges(self, version: Record) -> list[Record]:
        """The edges to its parents and data."""
        return self._edges.get(version.id, [])

    def lineage(self, version: Record) -> list[Record]:
        """The version and its ancestors that stand in the scope."""
        found, waiting = {version.id: version}, [version]
        while waiting:
            for edge in self.edges(waiting.pop()):
                parent = self.version(edge.row["parent_id"])
                if parent is not None and parent.id not in found:
                    found[parent.id] = parent
                    waiting.append(parent)
        return list(found.values())

    @cached_property
    def _evidence(self) -> dict[str, list[Measured]]:
        found: dict[str, list[Measured]] = {}
        for record in self.snapshot.all("catalog.evidence"):
            document = self.snapshot.document(str(record.row["digest"]))
            if document is None:
                continue
            bound = {s["digest"] for s in document["subjects"] if s["role"] == "version"}
            if record.row["version_digest"] in bound:
                found.setdefault(str(record.row["version_id"]), []).append(Measured(record, document))
        return found

    def evidence(self, version: Record, *kinds: str) -> list[Measured]:
        """Evidence bound to the version's digest, newest first; of the given kinds, or of all."""
        every = self._evidence.get(version.id, [])
        return [e for e in reversed(every) if not kinds or e.kind in kinds]

    def measured(self, version: Record, kind: str) -> Measured | None:
        """The newest measured evidence of a kind."""
        return next((e for e in self.evidence(version, kind) if e.is_measured), None)

    def run_of(self, version: Record) -> Record | None:
        """The run that made the version."""
        runs = self.snapshot.all("compression.run")
        return next((r for r in runs if r.row["child_id"] == version.id and r.row["kind"] == "compression"), None)

    def verdict_of(self, version: Record) -> Record | None:
        """The gate's newest answer about the version."""
        own = [v for v in self.snapshot.all("release.verdict") if v.row["version_id"] == version.id]
        return max(own, key=lambda v: v.position, default=None)

    def verdict_rules(self, version: Record) -> list[Mapping[str, Any]]:
        """The rules of that answer with the parameters that the policy gives them; empty when there is none."""
        verdict = self.verdict_of(version)
        document = None if verdict is None else self.snapshot.document(str(verdict.row["digest"]))
        if not isinstance(document, dict):
            return []
        policy = self.snapshot.document(str(document["policy"]["digest"]))
        rules = {rule["id"]: rule for rule in policy["rules"]} if isinstance(policy, dict) else {}
        return [{**result, "parameters": rules.get(result["rule"], {})} for result in document["results"]]

    def decisions(self, approval: Record) -> list[Record]:
        own = [d for d in self.snapshot.all("release.decision") if d.row["approval_id"] == approval.id]
        return sorted(own, key=lambda d: d.position)

    def licence_of(self, record: Record) -> Record | None:
        return self.snapshot.get("provenance.licence", str(record.row["licence_id"]))

    @cached_property
    def dataset_versions(self) -> list[Record]:
        """The versions of datasets that the case names, in edges, runs and evidence: what it was made, judged or watched with."""
        named: set[str] = set()
        columns = ("dataset_version_id", "calibration_id", "evaluation_id", "baseline_id", "out_of_distribution_id")
        for table in ("catalog.edge", "compression.run", "catalog.evidence"):
            for record in self.snapshot.all(table):
                named.update(str(record.row[c]) for c in columns if record.row.get(c))
        return [d for d in self.snapshot.all("provenance.dataset_version") if d.id in named]

    @cached_property
    def use_case(self) -> Record | None:
        key = None if self.model is None else self.model.row["use_case_id"]
        return self.snapshot.get("oversight.use_case", key)

    @cached_property
    def policies(self) -> list[Record]:
        """Policies of the scope that are in force now."""
        every = self.snapshot.all("release.policy")
        return [p for p in every if holds(p.row["in_force_at"], p.row["ended_at"], self.now)]

    def waivers(self, version: Record) -> list[Record]:
        return [w for w in self.snapshot.all("release.waiver") if w.row["version_id"] == version.id]

    @cached_property
    def monitors(self) -> list[Record]:
        """Monitors that have not ended."""
        return [m for m in self.snapshot.all("monitoring.monitor") if not _over(m.row["ended_at"], self.now)]

    def windows(self, monitor: Record) -> list[Record]:
        own = [w for w in self.snapshot.all("monitoring.window") if w.row["monitor_id"] == monitor.id]
        return sorted(own, key=lambda w: w.position)

    @cached_property
    def incidents(self) -> list[Record]:
        return self.snapshot.all("monitoring.incident")

    def title(self, version: Record) -> str:
        """`version 2`, as sentences name it."""
        return f"version {version.row['number']}"


def _over(ended_at: str | None, now: str) -> bool:
    return ended_at is not None and ended_at <= now

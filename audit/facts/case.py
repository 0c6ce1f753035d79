"""A snapshot seen as a case: which versions there are, what is live, under which approval, measured how. Pure.

Rules: the newest assignment of an alias is its incumbent; an alias that is suspended serves nothing; only evidence that names
exactly a version's digest among its subjects is evidence about that version; what was corrected reads as its newest correction
says, and a licence as the newest ruling on it that is in force; an approval ends with the earliest of its own end and those that
its grants set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from audit.snapshots import Record, Snapshot
from registry.provenance.licences import as_terms, parts_of, terms_of
from registry.release.status import holds

_OF_THE_ROW = {"dataset_id", "number"}
"""What the row of a dataset version and that of its correction both have, and is no statement about the data."""


@dataclass(frozen=True)
class Live:
    """What one alias serves."""

    alias: Record
    assignment: Record
    version: Record
    approval: Record | None
    broken_glass: Record | None = None
    """The record of a move without approval."""


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
                broken = self.snapshot.get("release.broken_glass", moves[-1].row.get("broken_glass_id"))
                found.append(Live(alias, moves[-1], version, approval, broken))
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

    def approval_ends(self, approval: Record) -> str:
        """The earliest of its own end and of those that its grants set as a condition."""
        conditions = (d.row.get("expires_at") for d in self.decisions(approval) if d.row["kind"] == "granted")
        return min(str(end) for end in (approval.row["expires_at"], *conditions) if end)

    def _corrected(self, version: Record, column: str) -> Any:
        """What the newest correction of a column says; None when nothing corrects it."""
        own = [
            c for c in self.snapshot.all("catalog.correction") if c.row["version_id"] == version.id and c.row[column]
        ]
        return max(own, key=lambda c: int(c.row["number"])).row[column] if own else None

    def licence_of(self, record: Record) -> Record | None:
        """The licence of a version, as corrected, or of a dataset version."""
        corrected = self._corrected(record, "licence_id") if record.type == "catalog.version" else None
        return self.snapshot.get("provenance.licence", str(corrected or record.row["licence_id"]))

    def training_data_of(self, version: Record) -> str:
        """What is known about the training data, as corrected."""
        return str(self._corrected(version, "training_data") or version.row["training_data"])

    def rulings_on(self, licence: Record) -> list[Record]:
        """The rulings that decide the terms of a licence: the newest on the whole expression, else those on its parts."""
        whole = self._ruling_about(licence)
        if whole is not None:
            return [whole]
        return list(self._rulings_on_parts(str(licence.row["expression"])).values())

    def terms_of(self, licence: Record) -> Mapping[str, Any]:
        """The answers to each term as the registry reads them: by ruling in force, else as they were registered."""
        whole = self._ruling_about(licence)
        flowing = {} if whole is not None else self._rulings_on_parts(str(licence.row["expression"]))
        if flowing:
            decided = {part: as_terms(ruling.row["terms"]) for part, ruling in flowing.items()}
            return terms_of(str(licence.row["expression"]), decided).document()["answers"]
        answers: Mapping[str, Any] = (whole or licence).row["terms"].get("answers", {})
        return answers

    def _ruling_about(self, licence: Record) -> Record | None:
        same = {item.id for item in self.snapshot.all("provenance.licence") if _same_licence(item, licence)}
        own = [
            ruling
            for ruling in self.snapshot.all("provenance.ruling")
            if ruling.row["licence_id"] in same and holds(ruling.row["in_force_at"], ruling.row["ended_at"], self.now)
        ]
        return max(own, key=lambda r: (str(r.row["in_force_at"]), r.id), default=None)

    def _rulings_on_parts(self, expression: str) -> dict[str, Record]:
        """By part: a ruling flows where it is about the newest text of that name."""
        found: dict[str, Record] = {}
        for part in parts_of(expression) if " " in expression else ():
            rows = [row for row in self.snapshot.all("provenance.licence") if row.row["expression"] == part]
            newest = max(rows, key=lambda row: int(row.row["number"]), default=None)
            ruling = None if newest is None else self._ruling_about(newest)
            if ruling is not None:
                found[part] = ruling
        return found

    def open_quarantines(self, version: Record) -> list[Record]:
        """The quarantines of a version that have not ended."""
        own = [q for q in self.snapshot.all("release.quarantine") if q.row["version_id"] == version.id]
        return [q for q in own if not _over(q.row["ended_at"], self.now)]

    def drills(self, alias: Record) -> list[Record]:
        """The roll-backs of an alias that were gone through without moving it, oldest first."""
        own = [d for d in self.snapshot.all("release.drill") if d.row["alias"] == alias.row["slug"]]
        return sorted(own, key=lambda d: d.position)

    def reviews_of(self, record: Record) -> list[Record]:
        """What named persons said after looking at a record, oldest first."""
        own = [r for r in self.snapshot.all("oversight.review") if r.row["about"] == record.id]
        return sorted(own, key=lambda r: r.position)

    def profile_of(self, dataset_version: Record) -> Record | None:
        """The newest finished profile of a dataset version."""
        own = [p for p in self.snapshot.all("provenance.profile") if p.row["dataset_version_id"] == dataset_version.id]
        return max((p for p in own if p.row["digest"]), key=lambda p: p.position, default=None)

    @cached_property
    def dataset_versions(self) -> list[Record]:
        """The versions of datasets that the case names, each as its newest correction states it."""
        return [self.as_corrected(record) for record in self.dataset_versions_as_registered]

    @cached_property
    def dataset_versions_as_registered(self) -> list[Record]:
        """Those named in edges, runs and evidence: what the model was made, judged or watched with."""
        named: set[str] = set()
        columns = (
            "dataset_version_id", "training_id", "calibration_id", "evaluation_id", "baseline_id", "out_of_distribution_id",
        )  # fmt: skip
        for table in ("catalog.edge", "compression.run", "catalog.evidence"):
            for record in self.snapshot.all(table):
                named.update(str(record.row[c]) for c in columns if record.row.get(c))
        return [d for d in self.snapshot.all("provenance.dataset_version") if d.id in named]

    def files_of(self, data: Record) -> list[Record]:
        """The files that a dataset version consists of, by path; none where one digest is all of it."""
        own = [f for f in self.snapshot.all("provenance.dataset_file") if f.row["dataset_version_id"] == data.id]
        return sorted(own, key=lambda file: str(file.row["path"]))

    def as_corrected(self, data: Record) -> Record:
        """A dataset version as its newest correction, which repeats the earlier ones, states it."""
        own = [c for c in self.snapshot.all("provenance.dataset_correction") if c.row["dataset_version_id"] == data.id]
        return self.as_said(data, max(own, key=lambda c: int(c.row["number"]))) if own else data

    def corrected_at(self, data_id: str) -> int:
        """The position of the newest correction of a dataset version; -1 where nothing was corrected."""
        own = (c for c in self.snapshot.all("provenance.dataset_correction") if c.row["dataset_version_id"] == data_id)
        return max((c.position for c in own), default=-1)

    def as_said(self, data: Record, correction: Record) -> Record:
        """A dataset version as one of its corrections states it."""
        said = correction.row
        taken_back = {name if name in data.row else f"{name}_id" for name in said["unstated"]}
        told = {name: said[name] for name in data.row if said.get(name) is not None and name not in _OF_THE_ROW}
        return replace(data, row={**data.row, **told, **dict.fromkeys(taken_back)})

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


def _same_licence(one: Record, other: Record) -> bool:
    """A ruling is about an expression and, where a licence has a text of its own, about that text."""
    return all(one.row.get(column) == other.row.get(column) for column in ("expression", "text_digest"))


def _over(ended_at: str | None, now: str) -> bool:
    return ended_at is not None and ended_at <= now

"""A story as an assessment reads it, told in a few rows: everything recorded, so that each test takes one thing away."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

from audit.facts.base import Fact
from audit.facts.case import Case
from audit.facts.table import FACTS
from audit.snapshots import LedgerState, Record, Snapshot

NOW = "2026-06-01T00:00:00.000000Z"
BEFORE = "2026-05-01T00:00:00.000000Z"
LATER = "2026-09-01T00:00:00.000000Z"
OLD = "2024-01-01T00:00:00.000000Z"
ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
MODEL = "m"
PEOPLE = {name: str(uuid.uuid5(uuid.NAMESPACE_URL, name)) for name in ("ada", "carla", "dora", "olga", "omar")}
WHOLE: dict[str, dict[str, Any]] = {
    "release.approval": {
        "evidence_set_digest": ONE, "policy_digest": ONE, "tier": "limited", "use_case_id": str(uuid.UUID(int=1)),
        "requested_at": BEFORE, "officers": 0, "target_id": None,
    },
    "release.decision": {
        "decided_at": BEFORE, "on_behalf_of_id": None, "expires_at": None, "target_id": None,
    },
}  # fmt: skip
"""The columns of requests and decisions that most records here do not vary."""


class Story:
    """A snapshot that is written record by record; `good()` is a model with a live, approved, watched child."""

    def __init__(self) -> None:
        self.snapshot = Snapshot(MODEL, 100, NOW)
        self.position = itertools.count()

    def put(self, type_: str, key: str, *, at: str = BEFORE, by: str = "engineer", **row: Any) -> Record:
        position = next(self.position)
        whole = WHOLE.get(type_, {}) | {name: PEOPLE.get(str(value), value) for name, value in row.items()}
        record = Record(type_, key, whole, position, at, "test.put", by, PEOPLE["ada"], at)
        self.snapshot.records.setdefault(type_, {})[key] = record
        return record

    def change(self, type_: str, key: str, **row: Any) -> Story:
        old = self.snapshot.records[type_][key]
        self.put(type_, key, at=old.at, by=old.role, **{**old.row, **row})
        return self

    def document(self, digest: str, value: Any) -> str:
        self.snapshot._documents[digest] = value
        return digest

    def fact(self, name: str, **parameters: Any) -> Fact:
        spec = FACTS[name]
        return spec.compute(Case(self.snapshot), {**spec.parameters, **parameters})

    def outcome(self, name: str, **parameters: Any) -> str:
        return self.fact(name, **parameters).outcome


def evidence(
    story: Story, key: str, version: str, digest: str, kind: str, figures: list[dict[str, Any]], **row: Any
) -> None:
    own = story.document(f"sha256:{key:0>64}", {
        "environment": [{"name": "python", "value": "3.11"}], "figures": figures, "method": {"name": kind, "version": "1"},
        "subjects": [{"digest": digest, "role": "version"}],
    })  # fmt: skip
    story.put("catalog.evidence", key, by=row.pop("by", "system"), version_id=version, version_digest=digest, kind=kind,
              source=row.pop("source", "measured"), digest=own, dataset_version_id=None, **row)  # fmt: skip


def figure(metric: str, value: str = "1", **members: Any) -> dict[str, Any]:
    base = {"high": "1", "low": "1", "metric": metric, "n": 100, "reason": None, "slice": [], "spread": None}
    return {**base, "unit": "ratio", "value": value, **members}


def good() -> Story:
    story = Story()
    terms = {"answers": {"commercial_use": {"answer": "allowed", "sentence": ""}}}
    story.put("provenance.licence", "l", expression="Apache-2.0", terms=terms)
    story.put(
        "oversight.use_case", "u", purpose_id="t1", users_id="t2", prohibited_id="t3", tier="limited", jurisdiction="EU"
    )
    story.put("catalog.model", MODEL, owner_id="carla", use_case_id="u")
    version = {
        "model_id": MODEL,
        "format": "onnx",
        "licence_id": "l",
        "created_by_id": "ada",
        "training_data": "complete",
    }
    story.put("catalog.version", "v1", number=1, digest=ONE, origin="uploaded", **version)
    story.put("catalog.version", "v2", number=2, digest=TWO, origin="derived", **version)
    story.put("catalog.artifact", "a", version_id="v2", path="model.onnx", digest=ONE)
    story.put("catalog.edge", "e", child_id="v2", parent_id="v1", parent_digest=ONE, role="base", grade="executed",
              dataset_version_id=None)  # fmt: skip
    story.put("provenance.dataset_version", "d1", digest=ONE, source="measured", personal_data="no", consent="unknown",
              licence_id="l", dataset_id="d")  # fmt: skip
    story.put("provenance.dataset_version", "d2", digest=TWO, source="measured", personal_data="no", consent="unknown",
              licence_id="l", dataset_id="d")  # fmt: skip
    story.put("compression.recipe", "r", digest=ONE, slug="smaller", number=1)
    story.put("compression.run", "run", child_id="v2", kind="compression", state="succeeded", recipe_id="r",
              engine_version="1", requested_by_id="ada", calibration_id="d1", evaluation_id="d2")  # fmt: skip
    evidence(story, "e1", "v2", TWO, "fidelity", [figure("cosine_mean", slice=[{"name": "language", "value": "de"}])])
    for number, (kind, metric) in enumerate(
        [("size", "size_ratio"), ("timing", "latency_ratio"), ("memory", "peak_memory_ratio")], 2
    ):
        evidence(story, f"e{number}", "v2", TWO, kind, [figure(metric)])
    rules = [
        {"id": "terms", "check": "terms"},
        {"id": "smaller", "check": "figure", "kind": "size", "metric": "size_ratio"},
    ]
    policy = story.document("sha256:" + "a" * 64, {"rules": rules})
    story.put("release.policy", "p", slug="limited", number=1, digest=policy, in_force_at=BEFORE, ended_at=None,
              approved_by_id="omar", author_id="carla")  # fmt: skip
    results = [{"rule": r["id"], "check": r["check"], "answer": "passed", "reason": "Fine."} for r in rules]
    verdict = story.document("sha256:" + "b" * 64, {"policy": {"digest": policy}, "results": results})
    story.put("release.verdict", "w", version_id="v2", version_digest=TWO, outcome="passed", digest=verdict)
    story.put("release.approval", "ap", version_id="v2", version_digest=TWO, verdict_id="w", required=1, expires_at=LATER,
              requested_by_id="ada", policy_id="p")  # fmt: skip
    story.put("release.decision", "de", approval_id="ap", kind="granted", decided_by_id="omar", role="approver")
    story.put("release.alias", "al", slug="production")
    story.put("release.assignment", "as1", alias_id="al", number=1, version_id="v1", version_digest=ONE, kind="promoted",
              approval_id=None)  # fmt: skip
    story.put("release.assignment", "as2", alias_id="al", number=2, version_id="v2", version_digest=TWO, kind="promoted",
              approval_id="ap")  # fmt: skip
    story.put("monitoring.monitor", "mo", alias_id="al", ended_at=None)
    story.put("monitoring.window", "wi", monitor_id="mo", version_id="v2", version_digest=TWO, state="healthy",
              ended_at="2026-05-25T00:00:00.000000Z", row_count=600)  # fmt: skip
    story.snapshot.ledger = LedgerState(True, True, 100, ONE, "verified")
    return story

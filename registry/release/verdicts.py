"""The gate's answer as a document that stands alone: every rule with its reason, and every input bound by digest."""

from __future__ import annotations

import datetime
import json
import uuid
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from jsonschema import Draft202012Validator

from registry.digests import JSON, canonical, time_text
from registry.release.gates import GateInputs, GateResult, RuleResult, WaiverInput


@dataclass(frozen=True)
class Subject:
    """What was judged, under what, for where."""

    version_id: uuid.UUID
    model_id: uuid.UUID
    number: int
    alias: str
    policy_digest: str
    policy_slug: str
    policy_number: int
    evidence_set_digest: str


def verdict_bytes(subject: Subject, inputs: GateInputs, result: GateResult) -> bytes:
    """Canonical bytes of `pressmark/verdict/1`, checked against its schema."""
    document: dict[str, JSON] = {
        "alias": subject.alias,
        "evaluated_at": time_text(inputs.at),
        "evidence_set": subject.evidence_set_digest,
        "outcome": result.outcome,
        "policy": {
            "digest": subject.policy_digest, "number": subject.policy_number, "slug": subject.policy_slug,
        },
        "results": [_result(r) for r in result.results],
        "terms": [
            {"answer": t.answer, "decided_by": t.decided_by, "term": name} for name, t in sorted(inputs.terms.items())
        ],
        "tier": inputs.tier,
        "training_data": inputs.training_data,
        "type": "pressmark/verdict/1",
        "use_case": inputs.use_case,
        "version": {
            "digest": inputs.version_digest, "id": str(subject.version_id), "model": str(subject.model_id),
            "number": subject.number, "origin": inputs.origin,
        },
        "waivers": [_waiver(w) for w in inputs.waivers],
    }  # fmt: skip
    _validator().validate(document)
    return canonical(document)


def _result(r: RuleResult) -> dict[str, JSON]:
    return {
        "about": r.rule.about,
        "answer": r.answer,
        "check": r.rule.check,
        "inputs": list(dict.fromkeys(r.inputs)),
        "reason": r.reason,
        "rule": r.rule.id,
        "rule_digest": r.rule.digest,
        "waivable": r.rule.waivable,
        "waiver": r.waiver.id if r.waiver else None,
    }


def _waiver(w: WaiverInput) -> dict[str, JSON]:
    return {
        "ended_at": _time(w.ended_at),
        "expires_at": time_text(w.expires_at),
        "id": w.id,
        "rule": w.rule,
        "rule_digest": w.rule_digest,
        "signed_by": w.signed_by,
    }


def _time(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else time_text(moment)


@cache
def _validator() -> Draft202012Validator:
    text = files("registry.release").joinpath("schemas/verdict-1.json").read_text("utf-8")
    return Draft202012Validator(json.loads(text))

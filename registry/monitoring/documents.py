"""The documents of this room as canonical bytes, checked against their schemas: baseline, window, judgement. Pure."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator

from registry.digests import JSON, canonical, time_text
from registry.monitoring.drift import METHOD, Judgement
from registry.release.policy_language import DriftLimits

DISTRIBUTION_TYPE = "pressmark/distribution/1"


def baseline_bytes(
    *,
    version_id: uuid.UUID,
    version_digest: str,
    approval_id: uuid.UUID,
    alias: str,
    policy_digest: str,
    evidence_digest: str,
    limits: DriftLimits,
    distribution: Mapping[str, Any],
) -> bytes:
    """`pressmark/baseline/1`: frozen bins, counts and limits of one approved version."""
    return _checked(
        "baseline",
        {
            "alias": alias,
            "approval": str(approval_id),
            "evidence": evidence_digest,
            "features": distribution["features"],
            "limits": asdict(limits),
            "method": dict(METHOD),
            "n": distribution["n"],
            "policy": policy_digest,
            "type": "pressmark/baseline/1",
            "version": {"digest": version_digest, "id": str(version_id)},
        },
    )


def window_bytes(
    *,
    monitor_id: uuid.UUID,
    label: str,
    started_at: datetime.datetime,
    ended_at: datetime.datetime,
    version_digest: str,
    distribution: Mapping[str, Any],
) -> bytes:
    """`pressmark/window/1`: what came in, as it came in."""
    return _checked(
        "window",
        {
            "distribution": dict(distribution),
            "ended_at": time_text(ended_at),
            "label": label,
            "monitor": str(monitor_id),
            "started_at": time_text(started_at),
            "type": "pressmark/window/1",
            "version_digest": version_digest,
        },
    )


def judgement_bytes(judgement: Judgement, *, baseline_digest: str, window_digest: str) -> bytes:
    """`pressmark/judgement/1` of a window that was compared with a baseline."""
    return _checked("judgement", judgement.document(baseline_digest=baseline_digest, window_digest=window_digest))


def unjudged_bytes(*, state: str, summary: str, n: int, window_digest: str) -> bytes:
    """`pressmark/judgement/1` of a window that could not be compared: no baseline, or other bytes were served."""
    return _checked(
        "judgement",
        {
            "baseline": None,
            "baseline_n": None,
            "features": [],
            "level": None,
            "method": dict(METHOD),
            "n": n,
            "state": state,
            "summary": summary,
            "type": "pressmark/judgement/1",
            "window": window_digest,
        },
    )


def _checked(noun: str, document: Mapping[str, JSON | Any]) -> bytes:
    _validator(noun).validate(document)
    return canonical(dict(document))


@cache
def _validator(noun: str) -> Draft202012Validator:
    text = files("registry.monitoring").joinpath(f"schemas/{noun}-1.json").read_text("utf-8")
    return Draft202012Validator(json.loads(text))

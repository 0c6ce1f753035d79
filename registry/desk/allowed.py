"""Who allowed it, for people: the gate's rules, the exceptions, and every approval with its decisions and status."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from registry.catalog.models import ModelVersion
from registry.release import queries, status
from registry.release.models import Approval, Policy, Verdict, Waiver
from registry.release.policy_words import deciders
from registry.release.status import Status


@dataclass(frozen=True)
class ApprovalView:
    """An approval with what it is worth now."""

    row: Approval
    now: Status


@dataclass(frozen=True)
class WaiverView:
    """A waiver and whether it still counts."""

    row: Waiver
    state: str


@dataclass(frozen=True)
class Allowed:
    """What the gate said last, who signed exceptions, and who approved."""

    policy: Policy | None
    verdict: Verdict | None
    rules: Sequence[Mapping[str, Any]]
    waivers: Sequence[WaiverView]
    approvals: Sequence[ApprovalView]
    deciders: str = ""
    """Who has to grant an approval under the policy; empty where no policy judges."""

    @property
    def newest(self) -> ApprovalView | None:
        return self.approvals[0] if self.approvals else None


def allowed_of(version: ModelVersion) -> Allowed:
    """Everything about the release of a version. The caller must have read the version already."""
    verdict = queries.verdicts_of(version).first()
    use_case = version.model.use_case
    policy = queries.policy_in_force(use_case.tier) if use_case else None
    return Allowed(
        policy=policy,
        verdict=verdict,
        rules=rules_of(verdict) if verdict else [],
        waivers=[WaiverView(row, waiver_state(row)) for row in queries.waivers_of(version)],
        approvals=[ApprovalView(row, queries.status_of(row)) for row in queries.approvals_of(version)[:20]],
        deciders=deciders(queries.policy_rules(policy)) if policy else "",
    )


def rules_of(verdict: Verdict) -> list[dict[str, Any]]:
    """The answers of a verdict, those that block first, then those that were waived."""
    order = {"blocked": 0, "waived": 1, "passed": 2, "not-applicable": 3}
    rules: Any = queries.verdict_document(verdict)["results"]
    return sorted(rules, key=lambda rule: order.get(rule["answer"], 0))


def waiver_state(row: Waiver, at: datetime.datetime | None = None) -> str:
    """in-force, expired, or ended before its time."""
    return status.waiver_state(row.expires_at, row.ended_at, at or timezone.now())


def limits_of(policy: Policy | None) -> dict[tuple[str, str], tuple[str, str]]:
    """What a policy asks of single figures: (kind, metric) -> (comparator, limit)."""
    if policy is None:
        return {}
    parameters = [rule.parameters for rule in queries.policy_rules(policy).rules if rule.check == "figure"]
    return {(p["kind"], p["metric"]): (p["comparator"], p["limit"]) for p in parameters}


def waivable_rules(policy: Policy | None) -> list[tuple[str, str]]:
    """The rules that a policy lets be waived, with what they ask for."""
    if policy is None:
        return []
    return [(rule.id, f"{rule.id}: {rule.about}") for rule in queries.policy_rules(policy).rules if rule.waivable]

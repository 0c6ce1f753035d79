"""What must happen before a version may go live under an alias, and who has to do it: the gate asked without keeping its answer.

Rules:
- the gate itself judges, from the same facts as a verdict that is asked for in the same moment; nothing is written;
- whoever may read the version may ask: it tells what a verdict on it tells its readers, and names roles, never people;
- to each rule that blocks belong the acts that can let it pass with the roles for them, by the permission table;
- where no use case says the tier, or no policy is in force, that is said with the way on; quarantine and purge are told too;
- after the gate come the request, the grants that the policy asks for, and the move, each narrowed by the rules of the alias.
A preview is of a release. The way back has its own: a drill (`release/services/drills.py`). Reads only.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from registry.catalog.models import ModelVersion
from registry.digests import time_text
from registry.errors import Blocked
from registry.release import queries
from registry.release import status as rules
from registry.release.alias_rules import ACTS, roles_in_force
from registry.release.gates import RuleResult
from registry.release.mending import NO_POLICY, NO_USE_CASE, OF_TEAM, Mend, either, mends_of, roles_for
from registry.release.models import Approval, Policy
from registry.release.policy_words import deciders, sentence
from registry.release.quarantines import quarantined
from registry.release.services.gate import Gate, check_alias, evaluate
from registry.release.serving_models import AliasAction
from registry.release.status import Status

USUAL_ALIAS = "production"
UNJUDGED = "no-policy"
"""Outcome where nothing says under which policy to judge: a release is refused then."""
_WORST_FIRST = {"blocked": 0, "waived": 1, "passed": 2, "not-applicable": 3}
_LOOKED_AT = 20
_NOT_THEIRS = (
    "not who asks for it, brought or made the version or the same weights, or brought evidence about it; a deputy may stand "
    "for them"
)


@dataclass(frozen=True)
class Answered:
    """One rule: what it asks, how the gate answers, and who can mend it where it blocks."""

    result: RuleResult
    asks: str
    mends: Sequence[Mend]


@dataclass(frozen=True)
class Step:
    """One thing that has to happen. `name`: gate, request, grant or promote."""

    name: str
    done: bool
    what: str
    who: str


@dataclass(frozen=True)
class GatePreview:
    """What the gate would say at this moment, and the way from there to the alias."""

    version: ModelVersion
    alias: str
    at: datetime.datetime
    tier: str | None
    policy: Policy | None
    outcome: str
    answers: Sequence[Answered]
    steps: Sequence[Step]
    approval: Approval | None = None
    now: Status | None = None
    """The approval of the version for this alias that is furthest on its way, and what it is worth."""
    unjudged: Blocked | None = None
    mends: Sequence[Mend] = ()
    """Why no policy judges, and who can mend that."""
    stopped: bool = False
    serves: bool = False

    @property
    def worst_first(self) -> list[Answered]:
        return sorted(self.answers, key=lambda answered: _WORST_FIRST[answered.result.answer])

    @property
    def lacking(self) -> int:
        """How many rules block."""
        return sum(answered.result.answer == "blocked" for answered in self.answers)


def preview_gate(version: ModelVersion, alias: str) -> GatePreview:
    """Ask the gate about a version for an alias and keep nothing. The caller must have read the version already."""
    check_alias(alias)
    at = timezone.now()
    approval, now = _furthest(version, alias, at)
    serves = _serves(version, alias)
    use_case = version.model.use_case
    tier = use_case.tier if use_case is not None and use_case.ended_at is None else None
    common: dict[str, Any] = {
        "version": version, "alias": alias, "at": at, "tier": tier, "approval": approval, "now": now,
        "stopped": bool(quarantined(version)), "serves": serves,
    }  # fmt: skip
    try:
        gate = evaluate(version, alias, at)
    except Blocked as refused:
        mends = NO_POLICY if tier else NO_USE_CASE
        return GatePreview(policy=None, outcome=UNJUDGED, answers=(), steps=(), unjudged=refused, mends=mends, **common)
    answers = [_answered(result) for result in gate.result.results]
    steps = _steps(gate, version, now, serves)
    return GatePreview(policy=gate.policy, outcome=gate.result.outcome, answers=answers, steps=steps, **common)


def _furthest(version: ModelVersion, alias: str, at: datetime.datetime) -> tuple[Approval | None, Status | None]:
    """A granted approval before one that waits; of those that are over the newest."""
    rows = queries.approvals_to_judge(version).filter(alias=alias)[:_LOOKED_AT]
    judged = [(row, queries.status_of(row, at)) for row in rows]
    open_ones = (rules.GRANTED, rules.REQUESTED, rules.RETURNED)
    judged.sort(key=lambda pair: open_ones.index(pair[1].word) if pair[1].word in open_ones else len(open_ones))
    return judged[0] if judged else (None, None)


def _serves(version: ModelVersion, alias: str) -> bool:
    served = queries.served(version.model, alias)
    return served is not None and served.pk == version.pk


def _answered(result: RuleResult) -> Answered:
    return Answered(result, sentence(result.rule), mends_of(result.rule) if result.answer == "blocked" else ())


def _steps(gate: Gate, version: ModelVersion, now: Status | None, serves: bool) -> list[Step]:
    """The way to the alias, in its order."""
    passes, word = gate.result.outcome != "blocked", now.word if now else ""
    asked = word in (rules.REQUESTED, rules.RETURNED, rules.GRANTED)
    return [
        Step("gate", passes, "every rule passes or is waived", "whom each rule names"),
        Step(
            "request", asked, "the approval is asked for",
            f"{_of_alias(AliasAction.REQUEST, version, gate.alias)}; not who signed a waiver in force for it",
        ),
        Step(
            "grant", word == rules.GRANTED, "the approval is granted",
            f"{deciders(queries.policy_rules(gate.policy))} {OF_TEAM}; {_NOT_THEIRS}",
        ),
        Step("promote", serves, f"'{gate.alias}' is moved to it", _of_alias(AliasAction.PROMOTE, version, gate.alias)),
    ]  # fmt: skip


def _of_alias(action: str, version: ModelVersion, alias: str) -> str:
    """Who may do an act on an alias: the permission table, narrowed by the rules of the team."""
    kept_for = roles_in_force(version.model.team_id, action, alias)
    return f"{either(roles_for(ACTS[action], kept_for))} {OF_TEAM}"


def preview_body(found: GatePreview) -> dict[str, Any]:
    """The same for programs: rules in the order of the verdict."""
    return {
        "version": str(found.version),
        "alias": found.alias,
        "at": time_text(found.at),
        "tier": found.tier,
        "policy": str(found.policy) if found.policy else None,
        "outcome": found.outcome,
        "unjudged": _unjudged(found),
        "quarantined": found.stopped,
        "purged": found.version.purged_at is not None,
        "serves": found.serves,
        "approval": _approval(found),
        "rules": [_rule(answered) for answered in found.answers],
        "steps": [vars(step) for step in found.steps],
    }


def _unjudged(found: GatePreview) -> dict[str, Any] | None:
    if found.unjudged is None:
        return None
    mends = [_mend(mend) for mend in found.mends]
    return {"reason": found.unjudged.detail, "hint": found.unjudged.hint, "who_can_mend": mends}


def _approval(found: GatePreview) -> dict[str, Any] | None:
    if found.approval is None or found.now is None:
        return None
    return {"id": str(found.approval.pk), "status": found.now.word, "missing": found.now.missing}


def _rule(answered: Answered) -> dict[str, Any]:
    result = answered.result
    return {
        "rule": result.rule.id,
        "about": result.rule.about,
        "asks": answered.asks,
        "check": result.rule.check,
        "answer": result.answer,
        "reason": result.reason,
        "waivable": result.rule.waivable,
        "waiver": result.waiver.id if result.waiver else None,
        "who_can_mend": [_mend(mend) for mend in answered.mends],
    }


def _mend(mend: Mend) -> dict[str, Any]:
    return {"act": mend.act, "action": mend.action, "roles": list(mend.roles), "who": mend.who}

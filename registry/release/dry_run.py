"""What would change if a policy came into force now, for all that aliases serve: judged twice from the same facts, never written.

Rules:
- what an alias serves is judged for that alias, under the policy in force for its tier and under the one that would judge it then;
- a draft takes the place of the policy in force of its own name; what only that one judged is judged by nothing then, and blocked;
- a draft that another policy in force contradicts could not come into force; the answer says so and judges all the same;
- approvals are given under one policy, so every one given under the policy that is replaced has to be asked for again;
- nobody learns of versions that he may not read;
- what is known about a version is read once, however many aliases serve it, and about many versions in one go.
Reads only.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from django.db.models import OuterRef, Subquery
from django.utils import timezone

from registry.access import permissions
from registry.access.models import Team
from registry.access.queries import readable
from registry.catalog.models import ModelVersion
from registry.errors import Invalid
from registry.events import Caller
from registry.release import inputs, queries
from registry.release import status as rules
from registry.release.gate_facts import GateInputs
from registry.release.gates import GateResult, RuleResult, judge
from registry.release.models import AliasAssignment, Policy
from registry.release.policy_language import PolicyError, PolicyRules, parse

NO_POLICY = "no policy"
"""Outcome where nothing would judge a release: it is refused then."""
PASSES = ("passed", "passed-with-waiver")
_TOGETHER = 200


@dataclass(frozen=True)
class Change:
    """A rule that answers otherwise: before and after are answers, or empty where the policy has no such rule."""

    rule: str
    before: str
    after: str
    reason: str


@dataclass(frozen=True)
class Tried:
    """One alias with what it serves: how it is judged now, and how it would be."""

    move: AliasAssignment
    tier: str | None
    policy: str
    now: str
    then: str
    changes: Sequence[Change]
    renew: bool
    """Whether its approval would have to be asked for again."""

    @property
    def verdict(self) -> str:
        """newly-blocked, newly-passing, changed, or unchanged."""
        if (self.now in PASSES) != (self.then in PASSES):
            return "newly-blocked" if self.now in PASSES else "newly-passing"
        return "changed" if self.changes or self.now != self.then else "unchanged"


@dataclass(frozen=True)
class DryRun:
    """The answer for all of them; those that would be blocked first."""

    title: str
    at: datetime.datetime
    rows: Sequence[Tried]
    untouched: int
    """How many aliases the draft does not concern."""
    contradicts: Sequence[str]
    """Policies in force that judge the same tier and alias under another name."""
    counts: Mapping[str, int] = field(default_factory=dict)


def dry_run(caller: Caller, draft: PolicyRules, slug: str | None, team: Team | None = None) -> DryRun:
    """Try a draft on what every alias serves now, of one team or of the whole instance. `slug`: the name it would come under."""
    permissions.require(caller, "policy.dry_run", team.pk if team else None)
    at = timezone.now()
    in_force = queries.policies_in_force(at)
    replaced = next((p for p in in_force if p.slug == slug), None)
    kept = [p for p in in_force if p is not replaced]
    tried, untouched = [], 0
    known = _Known(at, inputs.Asked.by(draft, *(queries.policy_rules(policy) for policy in in_force)))
    for moves in _together(_live(caller, team)):
        known.read(move.version for move in moves if move.version is not None)
        for move in moves:
            found = _try(move, draft, in_force, kept, known)
            untouched += found is None
            tried += [found] if found is not None else []
    order = ("newly-blocked", "newly-passing", "changed", "unchanged")
    tried.sort(key=lambda row: (order.index(row.verdict), str(row.move.model), row.move.alias.slug))
    contradicts = [str(p) for p in kept if draft.overlaps(queries.policy_rules(p))]
    return DryRun(draft.title, at, tried, untouched, contradicts, _counts(tried, untouched))


def draft_of(document: Any) -> PolicyRules:
    """A document as a draft; Invalid says what is wrong with it."""
    try:
        return parse(document)
    except PolicyError as error:
        raise Invalid(
            f"The policy cannot be evaluated: {error}.",
            hint="Compare it with one that ships (GET policies/ready-made) or with the schema pressmark/policy/1.",
            code="policy",
        ) from None


def _live(caller: Caller, team: Team | None) -> Iterator[AliasAssignment]:
    """The move of each alias that says what it serves now."""
    newest = AliasAssignment.objects.filter(alias=OuterRef("alias")).order_by("-number").values("pk")[:1]
    rows = readable(AliasAssignment.objects.all(), caller, team="model__team")
    rows = rows.filter(version__isnull=False, pk=Subquery(newest))
    if team is not None:
        rows = rows.filter(model__team=team)
    related = ("alias", "model__team", "model__use_case", "version__model__team", "approval")
    return rows.select_related(*related).order_by("pk").iterator(chunk_size=500)


def _together(moves: Iterator[AliasAssignment]) -> Iterator[list[AliasAssignment]]:
    """As many as are read in one go."""
    while batch := list(islice(moves, _TOGETHER)):
        yield batch


@dataclass
class _Known:
    """The facts of each version that was met, beside nothing; `asked` by any policy that may judge one."""

    at: datetime.datetime
    asked: inputs.Asked
    facts: dict[uuid.UUID, GateInputs] = field(default_factory=dict)

    def read(self, versions: Iterable[ModelVersion]) -> None:
        """Read what is not known yet, in one go: a version takes many questions, and hundreds of them no more."""
        new = {version.pk: version for version in versions if version.pk not in self.facts}
        if new:
            self.facts |= inputs.gather_many(list(new.values()), self.at, self.asked)

    def of(self, move: AliasAssignment, version: ModelVersion) -> GateInputs:
        """What a gate may look at about the version where this alias serves it; `read` came before."""
        if not self.asked.incumbent:
            return self.facts[version.pk]
        # what is served now is held against what it replaced, as on the way back
        beside = queries.compared_with(move.model, move.alias.slug, version, going_back=True)
        return replace(self.facts[version.pk], incumbent=beside.digest if beside else None)


def _try(
    move: AliasAssignment, draft: PolicyRules, in_force: Sequence[Policy], kept: Sequence[Policy], known: _Known
) -> Tried | None:
    """None where the draft changes nothing about who judges it."""
    use_case, alias, version = move.model.use_case, move.alias.slug, move.version
    assert version is not None
    tier = use_case.tier if use_case is not None and use_case.ended_at is None else None
    before = rules.judging(in_force, tier, alias, queries.policy_rules)
    if tier is not None and draft.covers(tier, alias):
        after: PolicyRules | None = draft
    elif before is None or before in kept:
        return None
    else:
        other = rules.judging(kept, tier, alias, queries.policy_rules)
        after = queries.policy_rules(other) if other else None
    present = queries.policy_rules(before) if before else None
    facts = known.of(move, version)
    now, then = _judged(present, facts), _judged(after, facts)
    same = present is not None and after is not None and present.document == after.document
    return Tried(
        move=move,
        tier=tier,
        policy=str(before) if before else "",
        now=now.outcome if now else NO_POLICY,
        then=then.outcome if then else NO_POLICY,
        changes=_changes(now, then),
        renew=move.approval is not None and not same,
    )


def _judged(policy: PolicyRules | None, facts: GateInputs) -> GateResult | None:
    return None if policy is None else judge(policy, facts)


def _changes(now: GateResult | None, then: GateResult | None) -> list[Change]:
    """Rules whose answer differs, in the order of the draft; rules that are gone at the end."""
    before = {r.rule.id: r for r in now.results} if now else {}
    after = {r.rule.id: r for r in then.results} if then else {}
    found = [_change(rule, before.get(rule), result) for rule, result in after.items()]
    found += [_change(rule, result, None) for rule, result in before.items() if rule not in after]
    return [change for change in found if change is not None]


def _change(rule: str, before: RuleResult | None, after: RuleResult | None) -> Change | None:
    was, would = before.answer if before else "", after.answer if after else ""
    if was == would:
        return None
    told = after or before
    return Change(rule, was, would, told.reason if told else "")


def _counts(tried: Sequence[Tried], untouched: int) -> dict[str, int]:
    return {
        "live": len(tried) + untouched,
        "tried": len(tried),
        "pass_now": sum(row.now in PASSES for row in tried),
        "would_pass": sum(row.then in PASSES for row in tried),
        "newly_blocked": sum(row.verdict == "newly-blocked" for row in tried),
        "newly_passing": sum(row.verdict == "newly-passing" for row in tried),
        "to_renew": sum(row.renew for row in tried),
    }


def dry_run_body(found: DryRun) -> dict[str, Any]:
    """The same for programs."""
    return {
        "title": found.title,
        "counts": dict(found.counts),
        "contradicts": list(found.contradicts),
        "untouched": found.untouched,
        "items": [
            {
                "version": str(row.move.version),
                "alias": row.move.alias.slug,
                "tier": row.tier,
                "policy": row.policy or None,
                "verdict": row.verdict,
                "now": row.now,
                "then": row.then,
                "renew": row.renew,
                "changes": [vars(change) for change in row.changes],
            }
            for row in found.rows
        ],
    }

"""How long something may run on once its approval, or what it was granted on, is no longer what it was: reads only.

Rules:
- the hours are those of the policy in force for tier and alias, else of the policy that it was approved under; none: no hours;
- what is stated about the version itself and was corrected after the last grant was seen by nobody who granted, whatever it says;
- what was ruled on, or corrected about something that it was made from, counts where a rule about terms of the policy in force
  blocks with it and no waiver lets that pass: milder terms stop nothing;
- that is told in a finding about each move of an alias that serves such a version, in the unit that changed the terms.
"""

from __future__ import annotations

import datetime
from dataclasses import replace

from django.db.models import Q

from registry.catalog.models import Correction, ModelVersion, RegisteredModel
from registry.oversight.models import Finding
from registry.provenance.models import DatasetCorrection, LicenceRuling
from registry.release import queries
from registry.release import status as rules
from registry.release.gates import judge
from registry.release.inputs import Asked, gather
from registry.release.models import AliasAssignment, Approval, Policy

TERMS_CHANGED = "terms-changed"
"""The kind of the finding about terms that changed under what an alias serves."""
CHECKS_OF_TERMS = frozenset({"terms", "training_data", "dataset_known"})
"""Checks of policies whose answer a ruling or a correction can change."""
_ASKED = Asked(terms=True, ancestors=False, incumbent=False, first=False)


def subject_of(move: AliasAssignment) -> str:
    """What findings about terms under a move are about, in a line."""
    return f"{move.alias.slug} of {move.model.slug}"[:120]


def policy_of(model: RegisteredModel, alias: str, at: datetime.datetime | None = None) -> Policy | None:
    """The policy that judges releases of a model to an alias; None without a use case, or where none is in force."""
    use_case = model.use_case
    return queries.policy_in_force(use_case.tier if use_case and use_case.ended_at is None else None, alias, at)


def grace_hours(
    model: RegisteredModel, alias: str, approval: Approval | None, at: datetime.datetime | None = None
) -> tuple[int, Policy | None]:
    """How many hours a lapse may go on, and the policy that gives them."""
    policy = policy_of(model, alias, at) or (approval.policy if approval is not None else None)
    return (0, None) if policy is None else (queries.policy_rules(policy).lapse_grace_hours, policy)


def corrected_at(approval: Approval) -> datetime.datetime | None:
    """When what is stated about the version was first corrected after the last grant; None where it was not."""
    granted_at = rules.completed_at(*queries.request_of(approval))
    if granted_at is None:
        return None
    found = approval.version.corrections.filter(corrected_at__gt=granted_at).order_by("corrected_at")
    return found.values_list("corrected_at", flat=True).first()


def terms_forbid(version: ModelVersion, approval: Approval, at: datetime.datetime) -> str:
    """What the policy in force says against the terms of the version, where any terms changed since the grant; else empty."""
    granted_at = rules.completed_at(*queries.request_of(approval))
    if granted_at is None or not _anything_changed(granted_at):
        return ""
    policy = policy_of(version.model, approval.alias, at)
    if policy is None:
        return ""
    whole = queries.policy_rules(policy)
    asked = tuple(rule for rule in whole.rules if rule.check in CHECKS_OF_TERMS)
    if not asked:
        return ""
    found = judge(replace(whole, rules=asked), gather(version, at, asked=_ASKED))
    return next((r.reason for r in found.blocked if r.rule.check in CHECKS_OF_TERMS), "")


def _anything_changed(since: datetime.datetime) -> bool:
    """Whether anything at all was ruled on or corrected: what a version inherits is read only then."""
    ruled = LicenceRuling.objects.filter(Q(in_force_at__gt=since) | Q(ended_at__gt=since))
    return (
        ruled.exists()
        or Correction.objects.filter(corrected_at__gt=since).exists()
        or DatasetCorrection.objects.filter(corrected_at__gt=since).exists()
    )


def terms_known_at(move: AliasAssignment) -> datetime.datetime | None:
    """When the owner was told that terms changed under a move: by the oldest finding that is open, else by the newest."""
    rows = Finding.objects.filter(
        stream=f"model:{move.model_id}", kind=TERMS_CHANGED, subject=subject_of(move), created_at__gte=move.assigned_at
    )
    found = sorted(rows.values_list("created_at", "closed_at"))
    still_open = [opened for opened, closed in found if closed is None]
    return still_open[0] if still_open else found[-1][0] if found else None

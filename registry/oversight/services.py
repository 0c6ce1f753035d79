"""Writes of this room: use cases and their tier, attestations, findings. Keyword-only, the actor first; every act is emitted.

Rules:
- where a tier table is in force, a use case is registered with answers to it, and they give the tier; where none is, somebody sets
  it by hand and says why;
- a tier by hand is higher than what the answers give, never lower: who wants less care answers the questions again;
- less care than before is a compliance officer's to allow; approvals given under another tier are stale;
- who opened a finding by an act of his own, or stands behind the service account that did, does not close it, nor does who wrote
  the ruling that opened it.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping, Sequence

from registry.access import permissions
from registry.access.models import Actor, Team, Text
from registry.access.queries import readable_team_ids
from registry.access.queries_responsibility import is_own
from registry.access.services import check_shows, check_slug, new_text
from registry.errors import Conflict, Forbidden, Invalid
from registry.events import Caller, Ref, emit, unit
from registry.ids import uuid7
from registry.oversight.closing_hooks import ask_before_closing
from registry.oversight.models import Attestation, Finding, Tier, TierTable, UseCase
from registry.oversight.queries import team_of_stream
from registry.oversight.queries_tiers import standing, tier_table_in_force
from registry.oversight.services_tiers import kept_answers, not_below, tier_by_answers

ATTESTATION_LIMIT_DAYS = 3 * 366
CLOSED_BY_OTHERS = ("broken-glass", "recalled", "terms-changed")
"""Kinds of findings that somebody's own act opened."""


def register_use_case(
    *,
    actor: Caller,
    team: Team,
    slug: str,
    sector: str,
    jurisdiction: str,
    purpose: str,
    owner: Actor,
    users: str = "",
    prohibited: str = "",
    answers: Sequence[Mapping[str, str]] = (),
    tier: str = "",
    reason: str = "",
) -> UseCase:
    """A purpose that models may serve, with the tier that decides which policy judges them.

    `answers` to the tier table in force give the tier. `tier` is one by hand, with a `reason`: higher than the answers say, or any
    where no table is in force.
    """
    role = permissions.require(actor, "use_case.register", team.pk)
    check_slug(slug, "use case")
    _check_filled("purpose", purpose)
    check_owner(owner, team.pk)
    with unit(actor, role=role) as opened:
        Team.objects.select_for_update(no_key=True).get(pk=team.pk)
        if UseCase.objects.filter(team=team, slug=slug).exists():
            raise Conflict(f"There is a use case {slug!r} in this team already.", hint="Choose another name.")
        table = tier_table_in_force()
        found = _first_tier(table, answers, tier, reason)
        key = uuid7()
        written = {"purpose": purpose, "users": users, "prohibited": prohibited, "reason": reason}
        texts = {
            name: new_text(stream=f"use_case:{key}", purpose=name, value=value, now=opened.now)
            for name, value in written.items()
            if value.strip()
        }
        kept = {name: text for name, text in texts.items() if name != "reason"}
        row = UseCase.objects.create(
            id=key, team=team, slug=slug, tier=found, sector=_line("sector", sector),
            jurisdiction=_line("jurisdiction", jurisdiction), owner=owner, created_by_id=actor.actor_id,
            created_at=opened.now, tier_table=table, answers=kept_answers(answers) if table else None, **kept,
        )  # fmt: skip
        refs = [Ref("tier_table", table.digest, table.size_bytes)] if table else []
        emit("use_case.registered", row, *texts.values(), team=team.pk, refs=refs)
        return row


def _first_tier(table: TierTable | None, answers: Sequence[Mapping[str, str]], tier: str, reason: str) -> str:
    """The tier that answers give, or the higher one that somebody set and says why."""
    if table is None:
        if answers:
            raise Conflict(
                "No tier table is in force, so there is nothing to answer.",
                hint="Two people author and approve one (a ready-made one ships), or set 'tier' by hand and say why.",
            )
        _check_tier(tier)
        _check_filled("reason", reason)
        return tier
    if not answers:
        raise Invalid(
            f"The tier follows from answers to {table}; they are missing.",
            hint=f"GET tier-tables/{table.number} has its questions. A 'tier' by hand is higher than what the answers give.",
            code="answers",
        )
    by_answers = tier_by_answers(table, answers)
    if not tier or tier == by_answers:
        return by_answers
    _check_tier(tier)
    _check_filled("reason", reason)
    return not_below(tier, by_answers)


def change_tier(*, actor: Caller, use_case: UseCase, tier: str, reason: str) -> UseCase:
    """Ask for more care by hand, or (a compliance officer alone) for less, but never for less than answers give."""
    role = permissions.require(actor, "use_case.register", use_case.team_id)
    _check_tier(tier)
    _check_filled("reason", reason)
    with unit(actor, role=role) as opened:
        row = UseCase.objects.select_for_update(no_key=True).get(pk=use_case.pk)
        if row.ended_at is not None:
            raise Conflict("This use case has ended.")
        if row.tier == tier:
            raise Conflict(f"The use case has tier {tier} already.")
        if Tier.values.index(tier) < Tier.values.index(row.tier):  # who builds does not choose the milder policy
            opened.role = permissions.require(actor, "use_case.lower_tier", row.team_id)
            _refuse_less_than_answered(row, tier)
        row.tier = tier
        row.save(update_fields=["tier"])
        text = new_text(stream=f"use_case:{row.pk}", purpose="reason", value=reason, now=opened.now)
        emit("use_case.tier_changed", row, text, team=row.team_id)
        return row


def _refuse_less_than_answered(use_case: UseCase, tier: str) -> None:
    result = standing(use_case).result
    if result is not None:
        not_below(tier, result.tier)
        return
    table = tier_table_in_force()
    if table is not None:
        raise Conflict(
            f"A lower tier follows from answers to {table}, which nobody gave for this use case.",
            hint="Answer its questions: `pressmark answer-tier-table TEAM/USE_CASE`, or the page of the use case.",
            code="answers",
        )


def sign_attestation(
    *,
    actor: Caller,
    stream: str,
    team_id: uuid.UUID | None,
    framework: str,
    requirement: str,
    statement: str,
    expires_at: datetime.datetime,
) -> Attestation:
    """A statement under one's own name and role about one requirement, with an end."""
    _check_team(stream, team_id)
    role = permissions.require(actor, "attestation.sign", team_id)
    _check_filled("statement", statement)
    with unit(actor, role=role) as opened:
        _check_end(expires_at, opened.now, ATTESTATION_LIMIT_DAYS, "An attestation")
        text = new_text(stream=stream, purpose="statement", value=statement, now=opened.now)
        row = Attestation.objects.create(
            stream=stream, framework=_line("framework", framework), requirement=_line("requirement", requirement, 40),
            statement=text, signed_by_id=actor.actor_id, role=role, signed_at=opened.now, expires_at=expires_at,
        )  # fmt: skip
        emit("attestation.signed", row, text, team=team_id)
        return row


def end_attestation(*, actor: Caller, attestation: Attestation) -> Attestation:
    """Take a statement back; that it was made stays on record."""
    team_id = team_of_stream(attestation.stream)
    role = permissions.require(actor, "attestation.sign", team_id)
    with unit(actor, role=role) as opened:
        row = Attestation.objects.select_for_update(no_key=True).get(pk=attestation.pk)
        if row.ended_at is not None:
            raise Conflict("This attestation has ended already.")
        row.ended_at = opened.now
        row.save(update_fields=["ended_at"])
        emit("attestation.ended", row, team=team_id)
        return row


def open_finding(
    *,
    actor: Caller,
    stream: str,
    team_id: uuid.UUID | None,
    subject: str,
    description: str,
    owner: Actor,
    due_on: datetime.date,
) -> Finding:
    """Something to be mended, by somebody, until a day."""
    _check_team(stream, team_id)
    role = permissions.require(actor, "finding.open", team_id)
    _check_filled("description", description)
    check_shows("description", description)
    check_owner(owner, team_id)
    with unit(actor, role=role) as opened:
        if due_on < opened.now.date():
            raise Invalid("The day on which the finding is due has passed.", hint="Give 'due_on' from today.")
        text = new_text(stream=stream, purpose="description", value=description, now=opened.now)
        row = Finding.objects.create(
            stream=stream, subject=_line("subject", subject, 120), state=Finding.State.OPEN, description=text, owner=owner,
            due_on=due_on, created_by_id=actor.actor_id, created_at=opened.now,
        )  # fmt: skip
        emit("finding.opened", row, text, team=team_id)
        return row


def close_finding(*, actor: Caller, finding: Finding, closure: str) -> Finding:
    """Say how it was mended, or why it need not be."""
    team_id = team_of_stream(finding.stream)
    role = permissions.require(actor, "finding.close", team_id)
    _check_filled("closure", closure)
    if finding.kind in CLOSED_BY_OTHERS and is_own(actor.actor_id, finding.created_by_id):
        raise Forbidden(
            "Your own act, or that of a service account you stand behind, opened this finding; somebody else has to close it.",
            hint="Ask another approver or a compliance officer.",
            code="own-work",
        )
    with unit(actor, role=role) as opened:
        row = Finding.objects.select_for_update(no_key=True).get(pk=finding.pk)
        if row.closed_at is not None:
            raise Conflict("This finding is closed already.", hint="Open a new one if it came back.")
        ask_before_closing(row, actor)
        text: Text = new_text(stream=row.stream, purpose="closure", value=closure, now=opened.now)
        row.state, row.closed_at, row.closure = Finding.State.CLOSED, opened.now, text
        row.save(update_fields=["state", "closed_at", "closure"])
        emit("finding.closed", row, text, team=team_id)
        return row


def _check_tier(tier: str) -> None:
    if tier not in Tier.values:
        raise Invalid(f"There is no tier {tier[:40]!r}.", hint=f"Tiers are: {', '.join(Tier.values)}.")


def _check_filled(name: str, value: str) -> None:
    if not value.strip():
        raise Invalid(f"The {name} is empty.", hint=f"Write the {name} in a sentence or two.")


def _line(name: str, value: str, limit: int = 60) -> str:
    if not (value and value.isascii() and value.isprintable() and len(value) <= limit):
        raise Invalid(
            f"The {name} must be one line of 1 to {limit} printable ASCII characters.",
            hint="It is sealed in clear and can never be changed; use a short code or English words.",
        )
    return value


def check_owner(owner: Actor, team_id: uuid.UUID | None) -> None:
    """Whoever is to answer for something can read it: nobody is told of what another team does by being made its owner."""
    if not owner.is_active:
        raise Invalid("The owner's account has ended.", hint="Name somebody who can answer for it.")
    teams = readable_team_ids(owner.pk)
    if team_id is not None and teams is not None and team_id not in teams:
        raise Invalid(
            "The owner has no role in this team, so they could not even read it.",
            hint="Name somebody with a role in the team or in the whole instance.",
            code="owner",
        )


def _check_team(stream: str, team_id: uuid.UUID | None) -> None:
    if team_of_stream(stream) != team_id:
        raise Invalid("The subject belongs to another team.", hint="Give the team of the subject.")


def _check_end(expires_at: datetime.datetime, now: datetime.datetime, limit_days: int, what: str) -> None:
    if not now < expires_at <= now + datetime.timedelta(days=limit_days):
        raise Invalid(f"{what} must end in the future, within {limit_days} days.", hint="Correct 'expires_at'.")

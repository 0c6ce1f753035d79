"""Writes of this room: use cases and their tier, attestations, findings. Keyword-only, the actor first; every act is emitted."""

from __future__ import annotations

import datetime
import uuid

from registry.access import permissions
from registry.access.models import Actor, Team, Text
from registry.access.services import check_slug, new_text
from registry.errors import Conflict, Forbidden, Invalid
from registry.events import Caller, emit, unit
from registry.ids import uuid7
from registry.oversight.closing_hooks import ask_before_closing
from registry.oversight.models import Attestation, Finding, Tier, UseCase
from registry.oversight.queries import team_of_stream

ATTESTATION_LIMIT_DAYS = 3 * 366
CLOSED_BY_OTHERS = ("broken-glass", "recalled", "terms-changed")
"""Kinds of findings that somebody's own act opened."""


def register_use_case(
    *,
    actor: Caller,
    team: Team,
    slug: str,
    tier: str,
    sector: str,
    jurisdiction: str,
    purpose: str,
    owner: Actor,
    users: str = "",
    prohibited: str = "",
) -> UseCase:
    """A purpose that models may serve, with the tier that decides which policy judges them."""
    role = permissions.require(actor, "use_case.register", team.pk)
    check_slug(slug, "use case")
    _check_tier(tier)
    _check_filled("purpose", purpose)
    _check_active(owner)
    if UseCase.objects.filter(team=team, slug=slug).exists():
        raise Conflict(f"There is a use case {slug!r} in this team already.", hint="Choose another name.")
    with unit(actor, role=role) as opened:
        key = uuid7()
        written = {"purpose": purpose, "users": users, "prohibited": prohibited}
        texts = {
            name: new_text(stream=f"use_case:{key}", purpose=name, value=value, now=opened.now)
            for name, value in written.items()
            if value
        }
        row = UseCase.objects.create(
            id=key, team=team, slug=slug, tier=tier, sector=_line("sector", sector),
            jurisdiction=_line("jurisdiction", jurisdiction), owner=owner, created_by_id=actor.actor_id,
            created_at=opened.now, **texts,
        )  # fmt: skip
        emit("use_case.registered", row, *texts.values(), team=team.pk)
        return row


def change_tier(*, actor: Caller, use_case: UseCase, tier: str, reason: str) -> UseCase:
    """Ask for more care, or (a compliance officer alone) for less. Approvals given under the old tier are stale from now on."""
    role = permissions.require(actor, "use_case.register", use_case.team_id)
    _check_tier(tier)
    _check_filled("reason", reason)
    with unit(actor, role=role) as opened:
        row = UseCase.objects.select_for_update(no_key=True).get(pk=use_case.pk)
        if Tier.values.index(tier) < Tier.values.index(row.tier):  # who builds does not choose the milder policy
            opened.role = permissions.require(actor, "use_case.lower_tier", row.team_id)
        if row.tier == tier:
            raise Conflict(f"The use case has tier {tier} already.")
        row.tier = tier
        row.save(update_fields=["tier"])
        text = new_text(stream=f"use_case:{row.pk}", purpose="reason", value=reason, now=opened.now)
        emit("use_case.tier_changed", row, text, team=row.team_id)
        return row


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
    _check_active(owner)
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
    if finding.kind in CLOSED_BY_OTHERS and finding.created_by_id == actor.actor_id:
        raise Forbidden(
            "Your own act opened this finding; somebody else has to close it.",
            hint="Ask another approver or a compliance officer.",
            code="own-work",
        )
    with unit(actor, role=role) as opened:
        row = Finding.objects.select_for_update(no_key=True).get(pk=finding.pk)
        if row.closed_at is not None:
            raise Conflict("This finding is closed already.", hint="Open a new one if it came back.")
        ask_before_closing(row)
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


def _check_active(owner: Actor) -> None:
    if not owner.is_active:
        raise Invalid("The owner's account has ended.", hint="Name somebody who can answer for it.")


def _check_team(stream: str, team_id: uuid.UUID | None) -> None:
    if team_of_stream(stream) != team_id:
        raise Invalid("The subject belongs to another team.", hint="Give the team of the subject.")


def _check_end(expires_at: datetime.datetime, now: datetime.datetime, limit_days: int, what: str) -> None:
    if not now < expires_at <= now + datetime.timedelta(days=limit_days):
        raise Invalid(f"{what} must end in the future, within {limit_days} days.", hint="Correct 'expires_at'.")

"""The service accounts that a reader may see: what they may do, who answers for them, and until when their tokens open doors.

Rules:
- an account is seen by readers of a team in which it holds a role; one with a role in the whole instance by whoever reads any team;
- of its roles only those are told that count where the reader reads;
- ended accounts, roles and tokens stand in the history, not here.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.db.models import Prefetch, Q, QuerySet
from django.utils import timezone

from registry.access.models import Actor, ActorKind, Membership, Responsibility, Team, Token
from registry.access.queries import readable_team_ids
from registry.errors import NotFound
from registry.events import Caller


@dataclass(frozen=True)
class Account:
    """One service account as its readers see it."""

    actor: Actor
    roles: list[Membership]
    answers: Responsibility | None
    """Who answers for it now, and since when."""
    tokens: list[Token]
    """Those that open doors now, the first to end first."""


def service_accounts(caller: Caller, team: Team | None = None) -> QuerySet[Actor]:
    """Accounts in force that the caller may see, of one team (and of the whole instance, which act there too) or of all."""
    now, teams = timezone.now(), readable_team_ids(caller.actor_id)
    in_force = Q(ended_at=None) & (Q(expires_at=None) | Q(expires_at__gt=now))
    roles = Membership.objects.filter(in_force, actor__kind=ActorKind.SERVICE)
    if teams is not None:
        roles = roles.filter(Q(team=None) | Q(team__in=teams)) if teams else roles.none()
    if team is not None:
        roles = roles.filter(Q(team=None) | Q(team=team))
    tokens = Token.objects.filter(ended_at=None, expires_at__gt=now).select_related("issued_by").order_by("expires_at")
    rows = Actor.objects.filter(kind=ActorKind.SERVICE, ended_at=None)
    if teams is not None or team is not None:
        rows = rows.filter(pk__in=roles.values("actor_id"))
    return rows.prefetch_related(
        Prefetch("memberships", queryset=roles.select_related("team").order_by("pk")),
        Prefetch(
            "responsibilities", queryset=Responsibility.objects.select_related("person").order_by("created_at", "pk")
        ),
        Prefetch("tokens", queryset=tokens),
    )


def get_service_account(caller: Caller, team: Team, key: uuid.UUID) -> Actor:
    """One of those of a team, by id."""
    found = service_accounts(caller, team).filter(pk=key).first()
    if found is None:
        raise NotFound(
            "There is no such service account in this team.", hint="The list of the team's accounts has them."
        )
    return found


def account_of(row: Actor) -> Account:
    """A row of `service_accounts` with what was read beside it."""
    given = list(row.responsibilities.all())
    return Account(row, list(row.memberships.all()), given[-1] if given else None, list(row.tokens.all()))

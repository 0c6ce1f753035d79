"""Who stands behind an account: whose work it is, when nobody may judge their own.

Rules:
- a person stands behind what they did themselves;
- whoever answers for a service account, or ever did, stands behind what it did, and so does whoever issued a token of it, who
  could have acted as it;
- neither leaving nor handing the account on takes that away.
The database asks the same through `access.guards.hands`.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator

from registry.access.models import Actor, ActorKind, Responsibility, Token


def hands_of(actor_id: uuid.UUID) -> set[uuid.UUID]:
    """The accounts whose acts are somebody's own work: theirs, and every service account that they stand behind."""
    named = Responsibility.objects.filter(person_id=actor_id).values_list("account_id", flat=True)
    issued = Token.objects.filter(issued_by_id=actor_id).values_list("actor_id", flat=True).distinct()
    return {actor_id, *named, *issued}


def is_own(actor_id: uuid.UUID, done_by: uuid.UUID | None) -> bool:
    """Whether what somebody did is this actor's own work: nobody is their own second person."""
    return done_by == actor_id or (done_by is not None and done_by in hands_of(actor_id))


def behind(accounts: Collection[uuid.UUID]) -> Iterator[tuple[uuid.UUID, Actor]]:
    """(person, service account) for everybody who stands behind one of these accounts."""
    rows = Responsibility.objects.filter(account_id__in=accounts).select_related("account").order_by("pk")
    for row in rows:
        yield row.person_id, row.account
    tokens = Token.objects.filter(actor_id__in=accounts, actor__kind=ActorKind.SERVICE).select_related("actor")
    for (issuer, _), token in {(t.issued_by_id, t.actor_id): t for t in tokens.order_by("pk")}.items():
        yield issuer, token.actor


def responsible_for(accounts: Iterable[uuid.UUID]) -> dict[uuid.UUID, Actor]:
    """Who answers for each of these service accounts now."""
    rows = (
        Responsibility.objects.filter(account_id__in=list(accounts))
        .select_related("person")
        .order_by("created_at", "pk")
    )
    return {row.account_id: row.person for row in rows}


def accounts_of(person: Actor) -> list[Actor]:
    """The service accounts in force for which somebody answers now, by name."""
    asked = Actor.objects.filter(responsibilities__person=person, ended_at=None).distinct().order_by("username")
    now = responsible_for(account.pk for account in asked)
    return [account for account in asked if now[account.pk].pk == person.pk]

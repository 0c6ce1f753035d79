"""Service accounts have a person who answers for them.

Rules:
- a service account is made together with the person who answers for it, and never without one;
- an administrator gives the responsibility to somebody else: a person with an account in force;
- who answered before stays part of what the account did until now, and keeps that part for good (`queries_responsibility`);
- an account does not end while its person answers for service accounts in force: first somebody else does, or they end.
The database refuses roles and tokens of a service account for which nobody answers (`access.guards`).
"""

from __future__ import annotations

import datetime
import uuid

from registry.access import permissions
from registry.access.models import Actor, ActorKind, Responsibility
from registry.access.queries_responsibility import accounts_of, responsible_for
from registry.errors import Conflict, Invalid
from registry.events import Caller, emit, unit


def give_responsibility(*, actor: Caller, account: Actor, person: Actor) -> Responsibility:
    """From now on somebody else answers for a service account."""
    role = permissions.require(actor, "responsibility.give", None)
    with unit(actor, role=role) as opened:
        locked = {a.pk: a for a in _locked(account, person)}
        account, person = locked[account.pk], locked[person.pk]
        if account.kind != ActorKind.SERVICE:
            raise Invalid(f"{account} is no service account.", hint="A person answers for themselves.")
        if account.ended_at is not None:
            raise Conflict(f"The service account {account} has ended.", hint="There is nothing left to answer for.")
        now = responsible_for([account.pk]).get(account.pk)
        if now is not None and now.pk == person.pk:
            raise Conflict(f"{person} answers for {account} already.")
        return add_responsibility(account, person, actor.actor_id, opened.now)


def add_responsibility(account: Actor, person: Actor, given_by: uuid.UUID, now: datetime.datetime) -> Responsibility:
    """Write and emit it inside an open unit, once both accounts are locked or new."""
    check_responsible(person)
    row = Responsibility.objects.create(account=account, person=person, given_by_id=given_by, created_at=now)
    emit("responsibility.given", row, team=None)
    return row


def check_responsible(person: Actor | None) -> Actor:
    """Refuse nobody, a service account, and somebody who has left."""
    if person is None:
        raise Invalid(
            "A service account needs a person who answers for it.",
            hint="Name one in 'responsible': what the account does counts as that person's own work.",
            code="responsible-missing",
        )
    if person.kind != ActorKind.PERSON or person.ended_at is not None:
        raise Invalid(f"{person} is no person with an account in force.", hint="Name somebody who can be asked.")
    return person


def refuse_while_answering(person: Actor) -> None:
    """Asked under the lock of the account that is to end."""
    left = accounts_of(person)
    if left:
        names = ", ".join(account.username for account in left[:5]) + (" and others" if len(left) > 5 else "")
        raise Conflict(
            f"{person} answers for {len(left)} service account{'s' if len(left) > 1 else ''}: {names}.",
            hint="Give the responsibility to somebody else, or end those accounts first.",
            code="answers-for-accounts",
        )


def _locked(*rows: Actor) -> list[Actor]:
    keys = [row.pk for row in rows]
    return list(Actor.objects.select_for_update(no_key=True).filter(pk__in=keys).order_by("pk"))

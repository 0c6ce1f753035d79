"""Writes of this room: actors, teams, memberships, tokens, texts. Keyword-only, the actor first; every act is emitted."""

from __future__ import annotations

import datetime
import secrets
import unicodedata
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from knox.models import AuthToken

from registry.access import permissions
from registry.access.models import Actor, ActorKind, Membership, Role, Team, Text, Token
from registry.access.services_responsibility import add_responsibility, check_responsible, refuse_while_answering
from registry.digests import CanonicalError, commitment, is_slug
from registry.errors import Conflict, Forbidden, Invalid
from registry.events import Caller, emit, unit
from registry.ids import uuid7

TOKEN_LIFETIME_DAYS = 90
MAX_TEXT_CHARACTERS = 20_000
TOKENS_PER_EVENT = 100
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")
_MADE_OF_NAMES = ("description", "failure")
"""Texts that the system writes too, out of names that others gave: they are kept whatever these hold."""


def new_text(*, stream: str, purpose: str, value: str, now: datetime.datetime) -> Text:
    """Store a free text with its salted commitment. The caller emits the returned row with the act that it belongs to."""
    if len(value) > MAX_TEXT_CHARACTERS:
        raise Invalid(
            f"The {purpose} is longer than {MAX_TEXT_CHARACTERS} characters.", hint="Attach a document instead."
        )
    if purpose not in _MADE_OF_NAMES:
        check_shows(purpose, value)
    salt = secrets.token_bytes(32)
    try:
        sealed = commitment(salt, value)
    except (UnicodeEncodeError, CanonicalError):
        raise Invalid(f"The {purpose} holds characters that are not text.", hint="Send valid Unicode.") from None
    return Text.objects.create(
        stream=stream, purpose=purpose, commitment=sealed, created_at=now, salt=salt, value=value
    )


def check_shows(purpose: str, value: str) -> None:
    """Refuse what would deceive whoever reads it: control characters (a terminal obeys them), and marks that turn text around."""
    kept = "" if purpose == "title" else "\t\r\n"
    hidden = next((c for c in value if (unicodedata.category(c) == "Cc" and c not in kept) or c in _TURNING), None)
    if hidden is not None:
        raise Invalid(
            f"The {purpose} holds the character U+{ord(hidden):04X}, which does not show or turns text around.",
            hint="Leave it out; a title is one line." if purpose == "title" else "Leave it out.",
            code="hidden-characters",
        )


def check_all_shows(document: Any, where: str = "document") -> None:
    """The same of every text of a document that others read and approve; a title is one line wherever it stands."""
    if isinstance(document, str):
        check_shows(where, document)
    elif isinstance(document, Mapping):
        for name, part in document.items():
            check_all_shows(part, name)
    elif isinstance(document, list):
        for part in document:
            check_all_shows(part, where)


def check_slug(value: str, what: str) -> None:
    """Refuse a name that cannot be sealed for ever."""
    if not is_slug(value):
        raise Invalid(
            f"{value!r} is no name for a {what}.",
            hint="Use 1 to 63 of a-z 0-9 . _ - , beginning and ending with a letter or digit. It can never be changed.",
        )


def create_actor(
    *,
    actor: Caller,
    username: str,
    kind: str = ActorKind.PERSON,
    display_name: str = "",
    email: str = "",
    password: str | None = None,
    responsible: Actor | None = None,
) -> Actor:
    """A new person, or a service account with the person who answers for it, without any role yet."""
    role = permissions.require(actor, "actor.create", None)
    _check_kind(kind, password, responsible)
    _check_one_line("user name", username)
    _check_one_line("display name", display_name)
    if Actor.objects.filter(username=username).exists():
        raise Conflict(f"There is an actor {username!r} already.", hint="Choose another user name.")
    with unit(actor, role=role) as opened:
        made = add_actor(username, kind, display_name, email, password, opened.now)
        if responsible is not None:
            locked = Actor.objects.select_for_update(no_key=True).get(pk=responsible.pk)
            add_responsibility(made, locked, actor.actor_id, opened.now)
        return made


def _check_kind(kind: str, password: str | None, responsible: Actor | None) -> None:
    if kind == ActorKind.SERVICE:
        check_responsible(responsible)
        if password is not None:
            raise Invalid("A service account has no password.", hint="Leave 'password' out; it acts by a token.")
    elif kind != ActorKind.PERSON:
        raise Invalid(f"No account is made of the kind {kind!r}.", hint="Kinds are: person, service.")
    elif responsible is not None:
        raise Invalid("A person answers for themselves.", hint="Leave 'responsible' out.")


def _check_one_line(what: str, value: str) -> None:
    """People are told apart by these in pages and logs: no line ends, nothing invisible, nothing that turns the text around."""
    if not value.isprintable():
        raise Invalid(f"The {what} holds characters that do not show.", hint="Use visible characters in one line.")


def add_actor(
    username: str, kind: str, display_name: str, email: str, password: str | None, now: datetime.datetime
) -> Actor:
    """Write and emit an actor inside an open unit (also used when an installation is set up)."""
    person = Actor(kind=kind, username=username, display_name=display_name, email=email, created_at=now)
    if password is None:
        person.set_unusable_password()
    else:
        check_password(password, username)
        person.set_password(password)
    person.save()
    emit("actor.created", person, team=None)
    return person


def check_password(password: str, username: str) -> None:
    """Refuse a password that is short, common or like the user name."""
    try:
        validate_password(password, Actor(username=username))
    except ValidationError as error:
        raise Invalid(" ".join(error.messages), hint="Choose another password.", code="weak-password") from None


def end_actor(*, actor: Caller, person: Actor) -> Actor:
    """Nobody is deleted: the account ends with its roles and tokens, its sessions open nothing any more, its acts stay."""
    role = permissions.require(actor, "actor.end", None)
    with unit(actor, role=role) as opened:
        _refuse_last_administrator(lambda row: row.actor_id == person.pk)
        person = Actor.objects.select_for_update(no_key=True).get(pk=person.pk)
        if person.kind == ActorKind.SYSTEM:
            raise Forbidden("The system actor cannot end; keeper and worker act as it.")
        if person.ended_at is not None:
            raise Conflict("This account has ended already.")
        refuse_while_answering(person)
        person.ended_at = opened.now
        person.save(update_fields=["ended_at"])
        emit("actor.ended", person, team=None)
        for membership in Membership.objects.select_for_update(no_key=True).filter(actor=person, ended_at=None):
            _end_membership(membership, opened.now)
        _end_tokens(person, opened.now)
        return person


def _refuse_last_administrator(ends: Callable[[Membership], bool]) -> None:
    """Somebody who can log in stays administrator of the instance for good: else nobody could give a role any more.

    Locks those memberships and their people, so that two administrators cannot end each other at the same moment.
    """
    rows = Membership.objects.select_for_update(no_key=True, of=("self", "actor")).select_related("actor")
    lasting = [
        row
        for row in rows.filter(
            role=Role.ADMINISTRATOR, team=None, ended_at=None, expires_at=None,
            actor__ended_at=None, actor__kind=ActorKind.PERSON,
        ).order_by("pk")
        if row.actor.has_usable_password()
    ]  # fmt: skip
    if lasting and all(ends(row) for row in lasting):
        raise Conflict(
            f"{lasting[0].actor.username} is the last administrator of this installation.",
            hint="Make somebody else administrator first: a person with a password, without a date of expiry.",
            code="last-administrator",
        )


def _end_tokens(person: Actor, now: datetime.datetime) -> None:
    """Every token of the account that still opens something."""
    AuthToken.objects.filter(user=person).delete()
    tokens = list(Token.objects.select_for_update(no_key=True).filter(actor=person, ended_at=None, expires_at__gt=now))
    for start in range(0, len(tokens), TOKENS_PER_EVENT):
        ended = tokens[start : start + TOKENS_PER_EVENT]
        for token in ended:
            token.ended_at = now
            token.save(update_fields=["ended_at"])
        emit("token.ended", *ended, team=None)


def create_team(*, actor: Caller, slug: str, title: str = "") -> Team:
    """A new team."""
    role = permissions.require(actor, "team.create", None)
    check_slug(slug, "team")
    if Team.objects.filter(slug=slug).exists():
        raise Conflict(f"There is a team {slug!r} already.", hint="Choose another name.")
    with unit(actor, role=role) as opened:
        team_id = uuid7()
        text = new_text(stream=f"team:{team_id}", purpose="title", value=title or slug, now=opened.now)
        team = Team.objects.create(id=team_id, slug=slug, title=text, created_at=opened.now)
        emit("team.created", team, text, team=team.pk)
        return team


def grant_membership(
    *, actor: Caller, person: Actor, role: str, team: Team | None, expires_at: datetime.datetime | None = None
) -> Membership:
    """Give somebody a role in a team, or in the whole instance."""
    acting_role = permissions.require(actor, "membership.grant", team.pk if team else None)
    if role not in Role.values:
        raise Invalid(f"There is no role {role!r}.", hint=f"Roles are: {', '.join(Role.values)}.")
    if person.pk == actor.actor_id:
        raise Forbidden("Nobody gives a role to themselves.", hint="Ask another administrator.")
    if role == Role.AUDITOR and expires_at is None:
        raise Invalid("An auditor's role must expire.", hint="Give 'expires_at'.")
    with unit(actor, role=acting_role) as opened:
        return add_membership(person, role, team, actor.actor_id, opened.now, expires_at)


def add_membership(
    person: Actor,
    role: str,
    team: Team | None,
    granted_by: uuid.UUID,
    now: datetime.datetime,
    expires_at: datetime.datetime | None = None,
) -> Membership:
    """Write and emit a membership inside an open unit (also used when an installation is set up)."""
    membership = Membership.objects.create(
        actor=person, role=role, team=team, granted_by_id=granted_by, created_at=now, expires_at=expires_at
    )
    emit("membership.granted", membership, team=team.pk if team else None)
    return membership


def end_membership(*, actor: Caller, membership: Membership) -> Membership:
    """Take a role away; what was done under it stays done."""
    role = permissions.require(actor, "membership.end", membership.team_id)
    with unit(actor, role=role) as opened:
        _refuse_last_administrator(lambda row: row.pk == membership.pk)
        membership = Membership.objects.select_for_update(no_key=True).get(pk=membership.pk)
        if membership.ended_at is not None:
            raise Conflict("This membership has ended already.")
        return _end_membership(membership, opened.now)


def _end_membership(membership: Membership, now: datetime.datetime) -> Membership:
    membership.ended_at = now
    membership.save(update_fields=["ended_at"])
    emit("membership.ended", membership, team=membership.team_id)
    return membership


def create_token(*, actor: Caller, person: Actor, days: int = TOKEN_LIFETIME_DAYS) -> tuple[Token, str]:
    """A token for the caller, or of a service account by an administrator: who issues it stands behind what is done with it.

    Returns the secret once; only its hash is kept.
    """
    role = (
        permissions.require(actor, "service_token.create", None)
        if person.kind == ActorKind.SERVICE
        else _own_role(actor, person)
    )
    if not person.is_active:
        raise Conflict("This account has ended; a token would open nothing.", hint="Make another account.")
    if not 1 <= days <= 365:
        raise Invalid("A token lives 1 to 365 days.", hint="Give 'days' in that range.")
    with unit(actor, role=role) as opened:
        lifetime = datetime.timedelta(days=days)
        secret_row, secret = AuthToken.objects.create(user=person, expiry=lifetime)
        token = Token.objects.create(
            actor=person, issued_by_id=actor.actor_id, token_key=secret_row.token_key, created_at=opened.now,
            expires_at=opened.now + lifetime,
        )  # fmt: skip
        emit("token.created", token, team=None)
        return token, secret


def _own_role(actor: Caller, person: Actor) -> str:
    if person.pk != actor.actor_id:
        raise Forbidden("A person's token is made by that person only.")
    membership = next(iter(person.memberships_now()), None)
    if membership is None:
        raise Forbidden(
            "Without any role there is nothing that a token could do.", hint="Ask an administrator for a role."
        )
    return membership.role


def end_token(*, actor: Caller, token: Token) -> Token:
    """Revoke a token: its hash is removed, its record stays."""
    if token.actor_id == actor.actor_id:
        role = _own_role(actor, token.actor)
    else:
        role = permissions.require(actor, "token.end", None)
    with unit(actor, role=role) as opened:
        token = Token.objects.select_for_update(no_key=True).get(pk=token.pk)
        if token.ended_at is not None:
            raise Conflict("This token has ended already.")
        token.ended_at = opened.now
        token.save(update_fields=["ended_at"])
        AuthToken.objects.filter(user=token.actor, token_key=token.token_key).delete()
        emit("token.ended", token, team=None)
        return token

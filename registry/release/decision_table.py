"""Who may do what, to what, and when: the decision table, generated from the permission table and the rules of states.

One reason: what is written for people is what the program asks. Nothing is decided here; `docs/permissions.md` is this text, and a
test compares the two, holds every cell against `permissions.may`, and the acts on approvals against the services.
    python manage.py shell -v 0 -c "from registry.release.decision_table import *; print(markdown(), end='')" > docs/permissions.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from registry.access.models import Role
from registry.access.permissions import PERMISSIONS
from registry.release import status as rules

OWN_TEAM, OTHER_TEAM, INSTANCE = "own team", "other team", "instance"
OBJECTS = (OWN_TEAM, OTHER_TEAM, INSTANCE)
IN_TEAM, IN_INSTANCE = "team", "whole instance"
SCOPES = (IN_TEAM, IN_INSTANCE)
"""Where a membership gives its role."""


def reaches(scope: str, thing: str) -> bool:
    """Whether a membership of this scope is asked about a thing there."""
    return scope == IN_INSTANCE or thing == OWN_TEAM


def allowed(role: Role, action: str, scope: str, thing: str) -> bool:
    """One cell: whether a membership with this role, of this scope, allows the act on a thing there."""
    return role in PERMISSIONS[action] and reaches(scope, thing)


@dataclass(frozen=True)
class Act:
    """An act on an approval: the decision that it writes, and the lines of the permission table that allow it."""

    name: str
    kind: str
    actions: tuple[str, ...]
    note: str = ""

    @property
    def roles(self) -> frozenset[Role]:
        """Who may do it, where the approval asks for officers."""
        return frozenset().union(*(PERMISSIONS[action] for action in self.actions))


_DECIDING = ("approval.decide", "approval.decide_as_officer")
ACTS = (
    Act("grant-approval", rules.GRANTED, _DECIDING),
    Act("reject-approval", rules.REJECTED, _DECIDING),
    Act("return-approval", rules.RETURNED, _DECIDING),
    Act("answer-approval", rules.ANSWERED, ("approval.answer",), "nobody who decided on it"),
    Act("withdraw-approval", rules.WITHDRAWN, ("approval.withdraw",), "who requested it alone"),
    Act("revoke-approval", rules.REVOKED, _DECIDING),
)


def _state(word: str, grants: int = 0, *, question: bool = False) -> rules.Status:
    return rules.Status(word, grants, 2, question=question, any_grant=grants > 0)


STATES: dict[str, rules.Status] = {
    "requested": _state(rules.REQUESTED),
    "returned": _state(rules.RETURNED, question=True),
    "granted": _state(rules.GRANTED, 2),
    "stale, asked": _state(rules.STALE),
    "stale, granted": _state(rules.STALE, 2),
    "expired, asked": _state(rules.EXPIRED),
    "expired, granted": _state(rules.EXPIRED, 2),
    "rejected": _state(rules.REJECTED),
    "withdrawn": _state(rules.WITHDRAWN),
    "revoked": _state(rules.REVOKED, 2),
}


def _yes(answer: bool) -> str:
    return "yes" if answer else "–"


def _table(head: list[str], rows: Iterator[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _actions() -> Iterator[list[str]]:
    for action, roles in sorted(PERMISSIONS.items()):
        yield [f"`{action}`", *(_yes(role in roles) for role in Role)]


def _scopes() -> Iterator[list[str]]:
    for scope in SCOPES:
        yield [scope, *(_yes(reaches(scope, thing)) for thing in OBJECTS)]


def _acts() -> Iterator[list[str]]:
    for act in ACTS:
        who = " or ".join(role.label.lower() for role in Role if role in act.roles)
        said = f"{who}; {act.note}" if act.note else who
        yield [f"`{act.name}`", said, *(_yes(rules.open_for(act.kind, state)) for state in STATES.values())]


def markdown() -> str:
    """The page."""
    lines = [
        "# Who may do what",
        "",
        "Generated from the permission table and the rules of states (`registry.release.decision_table`); a test says when it",
        "is stale, and holds every cell against the program. Rules of a team may narrow who moves an alias; nothing widens it.",
        "",
        "## Role and act",
        "",
        *_table(["act", *(role.label.lower() for role in Role)], _actions()),
        "",
        "## Where a membership counts",
        "",
        *_table(["membership in", *OBJECTS], _scopes()),
        "",
        "What somebody may not read is not found, never forbidden.",
        "",
        "## Acts on an approval, by its state",
        "",
        "Compliance officers decide only where the policy asks for their grants. Never the requester, who answered, the uploader",
        "of the same weights or who requested their run, and no deputy of or in the place of one of them. People decide; a",
        "deputy decides under the role of the principal, who holds it at that moment. One person, or deputy and principal, grants",
        "once. `asked`: not all grants were there; `granted`: all were. An alias is promoted while the approval is granted.",
        "",
        *_table(["act", "who", *STATES], _acts()),
        "",
    ]
    return "\n".join(lines)

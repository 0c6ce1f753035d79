"""Who may decide on an approval, under which role and in whose place, and why somebody may not. Reads only.

Rules:
- approvers decide; compliance officers decide where the approval asks for their grants; each under an own role, or as a deputy;
- nobody decides who asked for the approval, answered for it, brought evidence about the version or had it measured, brought the
  version or had it made, in any version with the same weights; and nobody in the place of such a person;
- what a service account did is the work of whoever answers for it, or ever did, and of whoever issued a token of it;
- one person, or a deputy and whom he stands for, grants once; a role that has given its grants gives no more;
- of several ways to decide, the first counts that is not refused: own roles first, and for a grant a role that is still missing.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from registry.access.models import Actor, ActorKind, Role
from registry.access.permissions import PERMISSIONS, Authority, authorities
from registry.access.queries_responsibility import behind
from registry.catalog.models import ModelVersion
from registry.compression.models import Run
from registry.release.models import Approval, DecisionKind
from registry.release.status import Status


@dataclass(frozen=True)
class Refusal:
    """Why somebody may not decide: a stable code and a sentence."""

    code: str
    sentence: str


NOT_A_PERSON = Refusal("not-a-person", "A decision is made by a person.")


def actions_on(approval: Approval) -> list[str]:
    """The acts of the permission table under one of which somebody decides on this approval."""
    return ["approval.decide", *(["approval.decide_as_officer"] if approval.officers else [])]


def way_to_decide(
    actor_id: uuid.UUID,
    approval: Approval,
    *,
    kind: str = "",
    now: Status | None = None,
    known: Mapping[uuid.UUID, str] | None = None,
) -> Authority | Refusal:
    """How somebody decides on an approval, or why not. `kind` granted with the status `now` asks for a grant that is missing.

    `known`: the `doers`, where several people are asked about.
    """
    person = Actor.objects.get(pk=actor_id)
    ways = [way for action in actions_on(approval) for way in authorities(actor_id, action, approval.model.team_id)]
    ways.sort(key=lambda way: way.on_behalf_of is not None)
    if not ways:
        return Refusal("forbidden", _needed(approval))
    if person.kind != ActorKind.PERSON:
        return NOT_A_PERSON
    if kind == DecisionKind.REVOKED:
        return ways[0]
    own = doers(approval.version, approval) if known is None else known
    refused = []
    for way in ways:
        found = _refusal(actor_id, approval, way, now if kind == DecisionKind.GRANTED else None, own)
        if found is None:
            return way
        refused.append(found)
    return refused[0]


def _needed(approval: Approval) -> str:
    roles = {Role(role).label.lower() for action in actions_on(approval) for role in PERMISSIONS[action]}
    return f"Deciding needs the role {' or '.join(sorted(roles))} in the team {approval.model.team}."


def _refusal(
    actor_id: uuid.UUID, approval: Approval, way: Authority, now: Status | None, own: Mapping[uuid.UUID, str]
) -> Refusal | None:
    """Why this way is closed. `own`: whose own work it is."""
    if actor_id in own:
        return Refusal("own-work", own[actor_id])
    if way.on_behalf_of is not None and way.on_behalf_of in own:
        name = Actor.objects.get(pk=way.on_behalf_of)
        return Refusal("own-work", f"You stand for {name}, whose own work this is; somebody else has to decide on it.")
    if now is None:
        return None
    if _granted_already(actor_id, approval, way):
        said = (
            "You granted this already" if way.on_behalf_of is None else "You or whom you stand for granted this already"
        )
        return Refusal("granted-already", f"{said}; it needs {now.required} different people.")
    if way.role not in now.missing:
        word = Role(way.role).label.lower()
        others = " and ".join(Role(role).label.lower() for role in now.missing)
        missing = f"; what is missing is a grant by: {others}" if others else ""
        return Refusal("role-complete", f"Every grant that it needs under the role {word} was given{missing}.")
    return None


def _granted_already(actor_id: uuid.UUID, approval: Approval, way: Authority) -> bool:
    mine = {actor_id, way.on_behalf_of} - {None}
    grants = [d for d in approval.decisions.all() if d.kind == DecisionKind.GRANTED]
    return any(mine & {d.decided_by_id, d.on_behalf_of_id} for d in grants)


def why_not(actor_id: uuid.UUID, approval: Approval) -> str | None:
    """None when somebody may decide on the approval; else the reason why not, as a sentence."""
    found = way_to_decide(actor_id, approval)
    return found.sentence if isinstance(found, Refusal) else None


def own_work(actor_id: uuid.UUID, version: ModelVersion, approval: Approval | None = None) -> str | None:
    """Why somebody may not judge a version, or decide on an approval of it; None where it is not their own work."""
    return doers(version, approval).get(actor_id)


def doers(version: ModelVersion, approval: Approval | None = None) -> dict[uuid.UUID, str]:
    """Whose own work a version (and an approval of it) is, with what they are told; people behind service accounts too."""
    found: dict[uuid.UUID, str] = {}
    for people, what in _did(version, approval):
        for person in people:
            found.setdefault(person, what)
    for person, account in list(behind(list(found))):
        found.setdefault(
            person,
            f"You took responsibility for the service account {account} or issued a token of it, and this is its work; "
            "somebody else has to decide on it.",
        )
    return found


def _did(version: ModelVersion, approval: Approval | None) -> Iterator[tuple[Iterable[uuid.UUID], str]]:
    """(accounts, what they are told), the nearest first."""
    if approval is not None:
        answers = [d.decided_by_id for d in approval.decisions.all() if d.kind == DecisionKind.ANSWERED]
        yield [approval.requested_by_id], "You requested this approval; somebody else has to decide on it."
        yield answers, "You answered the question about this approval; somebody else has to decide on it."
    yield [version.created_by_id], "You brought this version; somebody else has to decide on it."
    runs = Run.objects.filter(child=version).values_list("requested_by_id", flat=True)
    yield runs, "You requested the run that made this version; somebody else has to decide on it."
    weights = version.artifacts.filter(role="weights").values("digest")
    same = ModelVersion.objects.filter(artifacts__digest__in=weights, artifacts__role="weights").order_by()
    again = same.values_list("created_by_id", "made_by_runs__requested_by_id").distinct()
    told = "You brought or made the same weights in another version; somebody else has to decide on them."
    yield [person for pair in again for person in pair if person is not None], told
    if approval is not None:
        brought = version.evidence.order_by().values_list("created_by_id", flat=True).distinct()
        told = "You brought evidence about this version, or had it measured; somebody else has to decide on it."
        yield brought, told

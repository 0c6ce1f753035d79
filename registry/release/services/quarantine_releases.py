"""The way out of a quarantine: an engineer asks for one version, and somebody who had no part in it decides.

Rules:
- asked with a reason, one request at a time; a refused one may be followed by another;
- decided by a compliance officer or approver of the model's team, in person: not by who asked, brought or made the version, under
  any name of the same weights;
- a grant releases this version from this recall, and nothing that was made from it; a policy with `not_recalled` refuses it still.
The database holds the same through `release/move_guards.py`.
"""

from __future__ import annotations

from registry.access import permissions
from registry.access.models import Actor, ActorKind
from registry.access.queries_responsibility import hands_of
from registry.access.services import new_text
from registry.errors import Conflict, Forbidden
from registry.events import Caller, Unit, emit, unit
from registry.release import queries
from registry.release.quarantines import release_asked
from registry.release.services.gate import check_reason, lock_model
from registry.release.stopping_models import Quarantine, QuarantineAct, QuarantineActKind

_EVENTS = {
    QuarantineActKind.REQUESTED: "quarantine.release_requested",
    QuarantineActKind.GRANTED: "quarantine.released",
    QuarantineActKind.REFUSED: "quarantine.release_refused",
}


def request_quarantine_release(*, actor: Caller, quarantine: Quarantine, reason: str) -> QuarantineAct:
    """Ask that one version may be used although something that it was made from is recalled."""
    role = permissions.require(actor, "quarantine.request_release", quarantine.model.team_id)
    check_reason(reason)
    with unit(actor, role=role) as opened:
        row = _lock(quarantine)
        if release_asked(row):
            raise Conflict("A release is asked for already.", hint="Wait for the decision.", code="requested-already")
        return _act(opened, row, QuarantineActKind.REQUESTED, role, reason)


def grant_quarantine_release(*, actor: Caller, quarantine: Quarantine, reason: str) -> QuarantineAct:
    """The version may be used again, under every rule that holds for others."""
    return _decide(actor, quarantine, QuarantineActKind.GRANTED, reason)


def refuse_quarantine_release(*, actor: Caller, quarantine: Quarantine, reason: str) -> QuarantineAct:
    """The version stays in quarantine."""
    return _decide(actor, quarantine, QuarantineActKind.REFUSED, reason)


def may_decide_release(actor: Caller, quarantine: Quarantine) -> str | None:
    """None when the caller may decide on the release that is asked for; else why not, as a sentence."""
    if not permissions.may(actor.actor_id, "quarantine.decide", quarantine.model.team_id):
        return "Deciding needs the role compliance officer or approver in the team."
    if Actor.objects.get(pk=actor.actor_id).kind != ActorKind.PERSON:
        return "A decision is made by a person."
    if quarantine.acts.filter(kind=QuarantineActKind.REQUESTED, done_by_id__in=hands_of(actor.actor_id)).exists():
        return "You asked for this release; somebody else has to decide on it."
    return queries.own_work(actor.actor_id, quarantine.version)


def _decide(actor: Caller, quarantine: Quarantine, kind: QuarantineActKind, reason: str) -> QuarantineAct:
    role = permissions.require(actor, "quarantine.decide", quarantine.model.team_id)
    check_reason(reason)
    with unit(actor, role=role) as opened:
        row = _lock(quarantine)
        why_not = may_decide_release(actor, row)
        if why_not is not None:
            raise Forbidden(why_not, hint="Ask another compliance officer or approver of the team.", code="own-work")
        if not release_asked(row):
            raise Conflict("No release is asked for.", hint="An engineer of the team asks first.", code="not-asked")
        act = _act(opened, row, kind, role, reason)
        return act


def _lock(quarantine: Quarantine) -> Quarantine:
    lock_model(quarantine.model)
    rows = Quarantine.objects.select_related("model__team", "version__model__team", "recall")
    row = rows.select_for_update(no_key=True, of=("self",)).get(pk=quarantine.pk)
    if row.ended_at is not None:
        raise Conflict("This quarantine has ended.", hint="Nothing stops the version on this account any more.")
    return row


def _act(opened: Unit, row: Quarantine, kind: QuarantineActKind, role: str, reason: str) -> QuarantineAct:
    text = new_text(stream=f"model:{row.model_id}", purpose="reason", value=reason, now=opened.now)
    act = QuarantineAct.objects.create(
        model=row.model, quarantine=row, kind=kind, role=role, reason=text, done_by_id=opened.caller.actor_id,
        done_at=opened.now,
    )  # fmt: skip
    if kind == QuarantineActKind.GRANTED:
        row.ended_at = opened.now
        row.save(update_fields=["ended_at"])
    emit(_EVENTS[kind], row, act, text, team=row.model.team_id, awaited=kind != QuarantineActKind.REQUESTED)
    return act

"""A finding for the owner of each model that serves a version whose approval is no longer granted. Service goes on.

Rules:
- one finding for a move of an alias: what lapsed and was looked into is not told again for the same move;
- it is due when the grace of the policy ends, after which admission answers no; nothing is moved, and no approval changes;
- a move that broke the glass rests on no approval and has a finding of its own;
- the keeper asks; time decides nothing here but when somebody is told.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from django.db.models import Exists, OuterRef, Subquery

from registry.access.queries import system_actor
from registry.access.services import new_text
from registry.events import Caller, Unit, emit, unit
from registry.oversight.models import Finding
from registry.release import queries
from registry.release import status as rules
from registry.release.lapsing import grace_hours, subject_of
from registry.release.models import AliasAssignment
from registry.release.services.gate import lock_model

KIND = "approval-lapsed"
ROLE = "system"


def open_lapse_findings() -> int:
    """Look at everything that aliases serve by an approval; how many findings were opened."""
    opened = 0
    for move in list(_untold()):
        if _status(move).word != rules.GRANTED:
            opened += _open(move)
    return opened


def _untold() -> Iterator[AliasAssignment]:
    """What aliases serve now by an approval, and nobody was told of yet."""
    newest = AliasAssignment.objects.filter(alias=OuterRef("alias")).order_by("-number").values("pk")[:1]
    told = Finding.objects.filter(kind=KIND, about=OuterRef("pk"))
    rows = AliasAssignment.objects.filter(~Exists(told), approval__isnull=False, pk=Subquery(newest))
    related = ("alias", "model__team", "model__owner", "model__use_case", "version__model__team", "approval__policy")
    return rows.select_related(*related).order_by("pk").iterator(chunk_size=500)


def _status(move: AliasAssignment) -> rules.Status:
    assert move.version is not None
    assert move.approval_id is not None
    return queries.status_of(queries.approvals_to_judge(move.version).get(pk=move.approval_id))


def _open(move: AliasAssignment) -> bool:
    """Under the model's lock, after another look: somebody may have moved the alias or been told meanwhile."""
    keeper = Caller(actor_id=system_actor().pk, via="keeper")
    with unit(keeper, role=ROLE) as opened:
        model = lock_model(move.model)
        current = queries.incumbent(model, move.alias.slug)
        told = Finding.objects.filter(kind=KIND, about=move.pk).exists()
        now = _status(move)
        if told or current is None or current.pk != move.pk or now.word == rules.GRANTED:
            return False
        _write(opened, move, now)
        return True


def _write(opened: Unit, move: AliasAssignment, now: rules.Status) -> None:
    hours, policy = grace_hours(move.model, move.alias.slug, move.approval)
    ends = opened.now + datetime.timedelta(hours=hours)
    stream = f"model:{move.model_id}"
    why = " ".join([f"its approval is {now.word}.", *now.reasons])
    then = (
        "Whoever asks for admission hears no, for a revoked approval is not waited for."
        if now.word == rules.REVOKED
        else f"By {policy} it is admitted for {hours} hours, until {ends:%Y-%m-%d %H:%M} UTC at the latest."
    )
    text = new_text(
        stream=stream, purpose="description", now=opened.now,
        value=f"{move.alias.slug} serves {move.version}, but {why} {then} Ask for a new approval, roll back, or suspend the alias.",
    )  # fmt: skip
    row = Finding.objects.create(
        stream=stream, kind=KIND, about=move.pk, subject=subject_of(move),
        state=Finding.State.OPEN, description=text, owner=move.model.owner, due_on=ends.date(),
        created_by_id=opened.caller.actor_id, created_at=opened.now,
    )  # fmt: skip
    emit("finding.opened", row, text, team=move.model.team_id)

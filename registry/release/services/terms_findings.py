"""A finding for the owner of each model that serves a version whose effective terms have changed. No approval disappears.

Rules:
- one open finding for a move of an alias: the newest change is read on the version's page, not in a pile of findings;
- it is written in the unit that changed the terms, whoever's model it is; nobody else's names stand in it;
- it says for how long admission goes on where the policy does not allow these terms, and is due by then;
- nobody closes it who, since it was opened, wrote or approved a ruling on a licence of the lineage, or corrected what stands in it,
  in person or by a service account.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Collection, Sequence

from django.db.models import OuterRef, Q, Subquery

from registry.access.queries_responsibility import hands_of
from registry.access.services import new_text
from registry.catalog.affected import Affected
from registry.catalog.models import Correction, ModelVersion
from registry.catalog.queries import load_ancestors, stated
from registry.errors import Forbidden
from registry.events import Caller, Unit, emit
from registry.oversight.models import Finding
from registry.provenance.models import DatasetCorrection, DatasetVersion, Licence, LicenceRuling
from registry.release.lapsing import TERMS_CHANGED, grace_hours, subject_of
from registry.release.models import AliasAssignment
from registry.release.recall_reach import live_moves


def open_terms_findings(opened: Unit, affected: Sequence[Affected], said: str) -> None:
    """Called inside the unit of a ruling or a correction."""
    changes = {item.version.pk: item.changes for item in affected}
    moves = live_moves(changes)
    told_once, still_open = _told(moves)
    for move in moves:
        stream, subject = f"model:{move.model_id}", subject_of(move)
        if still_open.get((stream, subject), move.assigned_at) > move.assigned_at:
            continue
        assert move.version_id is not None
        hours, _ = grace_hours(move.model, move.alias.slug, move.approval)
        told = "; ".join(f"{c.term.replace('_', ' ')} was {c.before}, is {c.after}" for c in changes[move.version_id])
        text = new_text(
            stream=stream, purpose="description", now=opened.now,
            value=f"{move.alias.slug} serves {move.model}@{move.version.number if move.version else ''}, and {said}: {told}. "
            "The approval stands, and the gate judges with these terms from now on. Where the policy does not allow them, or the "
            f"version itself was corrected, admission goes on for {hours} hours and then says no.",
        )  # fmt: skip
        row = Finding.objects.create(
            stream=stream, kind=TERMS_CHANGED, about=None if move.pk in told_once else move.pk,
            subject=subject, state=Finding.State.OPEN, description=text,
            owner=move.model.owner, due_on=(opened.now + datetime.timedelta(hours=hours)).date(),
            created_by_id=opened.caller.actor_id, created_at=opened.now,
        )  # fmt: skip
        emit("finding.opened", row, text, team=move.model.team_id)


def _told(moves: Sequence[AliasAssignment]) -> tuple[set[uuid.UUID | None], dict[tuple[str, str], datetime.datetime]]:
    """The moves that ever had a finding, and when the one that is open was opened, by stream and subject."""
    rows = Finding.objects.filter(kind=TERMS_CHANGED, stream__in={f"model:{move.model_id}" for move in moves}).order_by(
        "pk"
    )
    found = list(rows.values_list("about", "stream", "subject", "closed_at", "created_at"))
    still_open = {(stream, subject): since for _, stream, subject, closed, since in found if closed is None}
    return {about for about, *_ in found}, still_open


def refuse_changer(finding: Finding, actor: Caller) -> None:
    """Asked where such a finding is closed: by somebody who changed none of these terms."""
    _, _, model_id = finding.stream.partition(":")
    newest = AliasAssignment.objects.filter(alias=OuterRef("alias")).order_by("-number").values("pk")[:1]
    served = Q(pk=Subquery(newest), model_id=model_id) | Q(pk=finding.about)
    moves = AliasAssignment.objects.filter(served, version__isnull=False).select_related("version__model__team")
    hands = hands_of(actor.actor_id)
    for version in {move.version_id: move.version for move in moves}.values():
        if version is not None and _changed_terms(hands, version, finding.created_at):
            raise Forbidden(
                "You wrote, approved or corrected what changed these terms; somebody else has to close the finding.",
                hint="Ask another approver or a compliance officer.",
                code="own-work",
            )


def _changed_terms(hands: Collection[uuid.UUID], version: ModelVersion, since: datetime.datetime) -> bool:
    ancestry = load_ancestors(version)
    versions = [version.pk, *(parent.pk for parent in ancestry.parents)]
    data = {edge.dataset_version_id for edge in ancestry.edges if edge.dataset_version_id}
    if Correction.objects.filter(version__in=versions, corrected_by__in=hands, corrected_at__gte=since).exists():
        return True
    if DatasetCorrection.objects.filter(
        dataset_version__in=data, corrected_by__in=hands, corrected_at__gte=since
    ).exists():
        return True
    rulings = LicenceRuling.objects.filter(Q(authored_by__in=hands) | Q(approved_by__in=hands), in_force_at__gte=since)
    expressions = set(rulings.values_list("licence__expression", flat=True))
    return bool(expressions) and bool(expressions & _expressions(versions, data))


def _expressions(versions: Sequence[uuid.UUID], data: Collection[uuid.UUID]) -> set[str]:
    """Every licence that was ever stated about these, by its expression."""
    found = {known.licence_id for known in stated(versions).values()}
    found |= set(DatasetVersion.objects.filter(pk__in=data).values_list("licence_id", flat=True))
    corrected = DatasetCorrection.objects.filter(dataset_version__in=data, licence__isnull=False)
    found |= set(corrected.values_list("licence_id", flat=True))
    return set(Licence.objects.filter(pk__in=found).values_list("expression", flat=True))

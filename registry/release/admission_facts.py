"""Finds the version that somebody asks about, and gathers what its admission is decided from. Reads only, judges nothing.

Rules:
- only versions that the caller may read, and about which he may ask, are found;
- a version is found by its digest, by exactly its files, or by both; two that fit are told apart by the model that was named;
- what approvals are worth is what everybody else is told (`queries.status_of`).
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from django.db.models import Count, QuerySet

from registry.access.permissions import may
from registry.access.queries import readable
from registry.catalog.models import Artifact, ModelVersion
from registry.events import Caller
from registry.oversight.models import Finding
from registry.release import lapsing, queries, status
from registry.release.admission import Approved, Asked, Facts, Glass, Serving, Standing
from registry.release.inputs_governance import recalls
from registry.release.models import AliasAssignment, Approval, MoveKind
from registry.release.serving_models import Target

LAPSED = "approval-lapsed"
"""The kind of the finding that the keeper opens about an assignment when its approval has lapsed."""


@dataclass(frozen=True)
class File:
    """One file that somebody has: its digest, and where it lies; None where it is alone and may have any name."""

    digest: str
    path: str | None


def versions_asked_about(
    caller: Caller, *, digest: str | None, files: Sequence[File], model: str | None
) -> list[ModelVersion]:
    """The versions of that digest and of exactly those files, oldest first. One of the two must be given."""
    rows = readable(ModelVersion.objects.select_related("model__team", "model__use_case"), caller, team="model__team")
    if model is not None:
        team, _, slug = model.partition("/")
        rows = rows.filter(model__team__slug=team, model__slug=slug)
    if digest is not None:
        rows = rows.filter(digest=digest)
    if files:
        rows = rows.annotate(held=Count("artifacts")).filter(
            held=len(files)
        )  # a file may be in many, all of them seldom
        for file in {files[0].digest, files[-1].digest}:
            rows = rows.filter(pk__in=Artifact.objects.filter(digest=file).values("version_id"))
    found = [row for row in rows.order_by("pk") if not files or _holds_exactly(row, files)]
    return [row for row in found if may(caller.actor_id, "admission.ask", row.model.team_id)]


def _holds_exactly(version: ModelVersion, files: Sequence[File]) -> bool:
    held = sorted(version.artifacts.values_list("path", "digest"))
    if len(files) == 1 and files[0].path is None:
        return [digest for _, digest in held] == [files[0].digest]
    return held == sorted((file.path or "", file.digest) for file in files)


def facts_of(version: ModelVersion, asked: Asked, at: datetime.datetime) -> tuple[Facts, Asked]:
    """What there is to decide from, and what was asked with the target's full name."""
    target = None if asked.target is None else _target(version, asked.target)
    facts = Facts(
        at=at,
        standings=tuple(_standings(version, at)),
        purged=version.purged_at is not None,
        ended=version.model.ended_at is not None,
        recalled=tuple(recall.subject for recall in recalls(version) if recall.stops),
        target_known=asked.target is None or target is not None,
    )
    return facts, asked if target is None else replace(asked, target=str(target))


def _target(version: ModelVersion, name: str) -> Target | None:
    """`edge-box` (the number in force) or `edge-box@2`, in the model's team."""
    slug, at, number = name.partition("@")
    rows = Target.objects.select_related("team").filter(team_id=version.model.team_id, slug=slug, ended_at=None)
    if at:
        rows = rows.filter(number=int(number)) if number.isdigit() and len(number) < 9 else rows.none()
    return rows.order_by("-number").first()


def _standings(version: ModelVersion, at: datetime.datetime) -> Iterable[Standing]:
    rows = list(queries.approvals_to_judge(version))
    for row in rows:
        row.version = version  # with its model and use case, which judging asks for again and again
    worth = {row.pk: _approved(row, at) for row in rows}
    served = AliasAssignment.objects.filter(version=version).values_list("alias__slug", flat=True)
    for alias in sorted({*(row.alias for row in rows), *served}):
        moves = AliasAssignment.objects.filter(alias__model=version.model_id, alias__slug=alias).order_by("-number")
        newest = moves.select_related("alias", "model", "broken_glass__policy").first()
        serves = newest is not None and newest.version_id == version.pk
        yield Standing(
            alias=alias,
            approvals=tuple(worth[row.pk] for row in rows if row.alias == alias),
            serving=_serving(version, newest, rows, worth, at) if newest is not None and serves else None,
            suspended=newest is not None and newest.version_id is None,
            left_at=None if serves else _left_at(version, moves),
        )


def _approved(row: Approval, at: datetime.datetime) -> Approved:
    now = queries.status_of(row)
    granted = now.word == status.GRANTED
    target = None if now.target is None else str(Target.objects.select_related("team").get(pk=now.target))
    return Approved(
        id=str(row.pk),
        word=now.word,
        said=tuple(now.reasons),
        requested_at=row.requested_at,
        ends_at=now.ends_at or row.expires_at,
        target=target,
        policy_digest=row.policy_digest,
        corrected_at=lapsing.corrected_at(row),
        forbidden=lapsing.terms_forbid(row.version, row, at) if granted else "",
    )


def _serving(
    version: ModelVersion,
    move: AliasAssignment,
    rows: Sequence[Approval],
    worth: Mapping[uuid.UUID, Approved],
    at: datetime.datetime,
) -> Serving:
    glass = move.broken_glass
    known = Finding.objects.filter(kind=LAPSED, about=move.pk).values_list("created_at", flat=True).first()
    approval = next((row for row in rows if row.pk == move.approval_id), None)
    hours, _ = lapsing.grace_hours(version.model, move.alias.slug, approval, at)
    return Serving(
        assignment=str(move.pk),
        approval=None if approval is None else worth[approval.pk],
        glass=None
        if glass is None
        else Glass(str(glass.pk), glass.expires_at, glass.policy.digest if glass.policy else None),
        lapse_known_at=known,
        grace=datetime.timedelta(hours=hours),
        terms_known_at=lapsing.terms_known_at(move),
    )


def _left_at(version: ModelVersion, moves: QuerySet[AliasAssignment]) -> datetime.datetime | None:
    """When the alias went back from the version, where that is how it left it last."""
    last = moves.filter(version=version).first()
    after = moves.filter(number=last.number + 1).first() if last is not None else None
    return after.assigned_at if after is not None and after.kind == MoveKind.ROLLED_BACK else None

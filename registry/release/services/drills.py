"""A drill goes through a roll-back, times it and moves nothing, so that the way back is known before it is needed.

Rules:
- everything that a roll-back asks is asked: target, what stops it, approval, terms and gate under today's policy, every byte;
- the decision and the reading of the bytes are timed apart: the one must be short whatever the model's size;
- what was found is kept with its reasons whether it would have gone or not.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from registry.access import permissions
from registry.catalog import queries as catalog
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.errors import BytesDiffer, Conflict
from registry.events import Caller, Ref, emit, unit
from registry.release.services.gate import lock_model
from registry.release.services.moves import history_of
from registry.release.services.rollbacks import choose_target
from registry.release.serving_models import Drill


@dataclass(frozen=True)
class Drilled:
    """What going through a roll-back found, and how long each half took, in milliseconds rounded up."""

    version: ModelVersion | None
    reasons: tuple[str, ...]
    decision_milliseconds: int
    bytes_milliseconds: int
    size_bytes: int


def try_rollback(
    *, actor: Caller, model: RegisteredModel, alias: str, to_version: ModelVersion | None = None
) -> Drilled:
    """The long part of a drill, outside of any unit; writes nothing."""
    permissions.require(actor, "alias.drill", model.team_id)
    begun = time.perf_counter()
    history = history_of(model, alias)
    try:
        target = choose_target(history, alias, to_version)
    except Conflict as nowhere:
        return Drilled(None, (nowhere.detail,), _since(begun), 0, 0)
    decision_milliseconds = _since(begun)
    reasons = list(target.reasons)
    begun = time.perf_counter()
    try:
        catalog.rehash_version(target.version)
    except BytesDiffer as error:
        reasons.append(error.detail)
    size = target.version.size_bytes
    return Drilled(target.version, tuple(dict.fromkeys(reasons)), decision_milliseconds, _since(begun), size)


def drill_rollback(
    *,
    actor: Caller,
    model: RegisteredModel,
    alias: str,
    to_version: ModelVersion | None = None,
    drilled: Drilled | None = None,
) -> Drill:
    """Go through a roll-back and keep what was found. `drilled`: the answer of `try_rollback`, for who opens a unit around this."""
    role = permissions.require(actor, "alias.drill", model.team_id)
    found = drilled or try_rollback(actor=actor, model=model, alias=alias, to_version=to_version)
    with unit(actor, role=role) as opened:
        locked = lock_model(model)
        version = found.version
        row = Drill.objects.create(
            model=locked, alias=alias, version=version, version_digest=version.digest if version else None,
            eligible=not found.reasons, reasons=list(found.reasons),
            decision_milliseconds=found.decision_milliseconds, bytes_milliseconds=found.bytes_milliseconds,
            size_bytes=found.size_bytes, drilled_by_id=actor.actor_id, drilled_at=opened.now,
        )  # fmt: skip
        refs = [Ref("version", version.digest, len(catalog.version_document(version)))] if version else []
        emit("alias.drilled", row, team=model.team_id, refs=refs)
        return row


def _since(begun: float) -> int:
    return int((time.perf_counter() - begun) * 1000) + 1

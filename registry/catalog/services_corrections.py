"""Correcting what was registered about a version: a new row with the reason, the old words kept. The newest correction counts.

Rules:
- a correction says what is wrong and what is right; what is stated already is no correction;
- a milder licence than the one that stands is said by an officer who did not say what stands (see `milder_licences`);
- approvals stay: the gate judges with what is stated now, and what is live and changed gets a finding.
"""

from __future__ import annotations

import uuid

from registry.access import permissions
from registry.access.services import new_text
from registry.catalog import queries
from registry.catalog.affected import Affected, Change, affected_by_correction
from registry.catalog.models import Completeness, Correction, ModelVersion
from registry.catalog.registering_hooks import run_when_stated
from registry.catalog.stated import Stated
from registry.catalog.terms_hooks import run_when_terms_changed
from registry.errors import Conflict, Invalid
from registry.events import Caller, emit, unit
from registry.provenance.milder_licences import require_may_free
from registry.provenance.models import Licence


def correct_version(
    *,
    actor: Caller,
    version: ModelVersion,
    licence: Licence | None = None,
    training_data: str | None = None,
    reason: str,
) -> Correction:
    """Say what the licence, or the knowledge of the training data, really is."""
    role = permissions.require(actor, "version.correct", version.model.team_id)
    _check(licence, training_data, reason)
    with unit(actor, role=role) as opened:
        locked = ModelVersion.objects.select_for_update(no_key=True, of=("self",)).select_related("model__team")
        version = locked.get(pk=version.pk)
        known = queries.stated([version.pk])[version.pk]
        if licence is not None and licence.pk == known.licence_id:
            licence = None
        if training_data == known.training_data:
            training_data = None
        if licence is None and training_data is None:
            raise Conflict(f"This is stated about {version} already.", hint="There is nothing to correct.")
        newest = version.corrections.order_by("-number").first()
        if licence is not None:
            _require_may_free(actor, version, known.licence_id, licence)
        affected = _affected(version, known, licence, training_data)
        text = new_text(stream=f"model:{version.model_id}", purpose="reason", value=reason, now=opened.now)
        row = Correction.objects.create(
            model_id=version.model_id, version=version, number=newest.number + 1 if newest else 1,
            # what an earlier correction said of the other column goes on, so that the newest row alone says all
            licence_id=licence.pk if licence else (newest.licence_id if newest else None),
            training_data=training_data or (newest.training_data if newest else None),
            reason=text, corrected_by_id=actor.actor_id, corrected_at=opened.now,
        )  # fmt: skip
        emit("version.corrected", row, text, team=version.model.team_id)
        run_when_terms_changed(opened, affected, f"{version} was corrected")
        run_when_stated(opened, version)
        return row


def _affected(
    version: ModelVersion, known: Stated, licence: Licence | None, training_data: str | None
) -> list[Affected]:
    """Whose terms change, and the version itself in any case: admission ends with whatever is corrected about it."""
    found = affected_by_correction(version, licence) if licence is not None else []
    own = [change for item in found if item.version.pk == version.pk for change in item.changes]
    if training_data is not None:
        own.append(Change("training_data", known.training_data, training_data))
    if not own and licence is not None:
        own.append(Change("licence", str(Licence.objects.get(pk=known.licence_id)), str(licence)))
    return [Affected(version, 0, tuple(own)), *(item for item in found if item.version.pk != version.pk)]


def _require_may_free(actor: Caller, version: ModelVersion, standing_id: uuid.UUID, licence: Licence) -> None:
    """Who registered it, and who corrected its licence last, said what stands."""
    last = version.corrections.filter(licence_id=standing_id).order_by("-number").first()
    stated_by = {version.created_by_id} | ({last.corrected_by_id} if last else set())
    standing = Licence.objects.get(pk=standing_id)
    require_may_free(actor=actor, team_id=version.model.team_id, standing=standing, said=licence, stated_by=stated_by)


def _check(licence: Licence | None, training_data: str | None, reason: str) -> None:
    if licence is None and training_data is None:
        raise Invalid("Nothing is corrected.", hint="Give 'licence', 'training_data', or both.")
    if training_data is not None and training_data not in Completeness.values:
        raise Invalid(
            f"training_data is {training_data!r}.", hint=f"Say how much is known: {', '.join(Completeness.values)}."
        )
    if licence is not None and licence.ended_at is not None:
        raise Conflict(f"The licence {licence.expression} has ended.", hint="Register it again with its present terms.")
    if not reason.strip():
        raise Invalid("The reason is empty.", hint="Say what was registered wrongly, and how you know.")

"""Correcting what was registered about a state of data: a new row with the reason, the old words kept. The newest one counts.

Rules:
- digest, files, rows and columns are measured or declared once and never corrected: other bytes are another version;
- a correction says what is wrong and what is right; what is stated already is no correction;
- a use is added only where that is said in so many words (`widen_uses`): data is never silently let in for more;
- what contradicts itself together with what stays is refused as at registration; that the days to keep it for are over may be said;
- a milder licence than the one that stands is said by an officer who did not say what stands (see `milder_licences`);
- a steward has a role in the team, and answers for the dataset, so for all its versions.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from django.utils import timezone

from registry.access import permissions
from registry.access.models import Actor, Text
from registry.access.services import new_text
from registry.errors import Conflict, Invalid
from registry.events import Caller, emit, unit
from registry.governed import GovernedModel
from registry.provenance import stated
from registry.provenance.dataset_documents import Stated, check_stated
from registry.provenance.milder_licences import require_may_free
from registry.provenance.models import Dataset, DatasetCorrection, DatasetVersion, Licence
from registry.provenance.stated import ANSWERS, COLUMNS, MAY_BE_UNSTATED, TEXTS, StatedData
from registry.provenance.stated_hooks import run_when_data_corrected


@dataclass(frozen=True)
class SaidAnew:
    """What is right, member by member; None where a member is right as it stands. `unstated`: what nobody can say after all."""

    licence: Licence | None = None
    uses: Sequence[str] | None = None
    personal_data: str | None = None
    consent: str | None = None
    third_party_works: str | None = None
    opt_out_honoured: str | None = None
    origin: str | None = None
    collection: str | None = None
    third_party_basis: str | None = None
    owner: str | None = None
    known_biases: str | None = None
    collected_from: datetime.date | None = None
    collected_until: datetime.date | None = None
    retain_until: datetime.date | None = None
    steward: Actor | None = None
    unstated: Sequence[str] = ()


def correct_dataset_version(
    *, actor: Caller, version: DatasetVersion, said: SaidAnew, reason: str, widen_uses: bool = False
) -> DatasetCorrection:
    """Say what is really so about a state of data; what is live and judged by it gets a finding."""
    role = permissions.require(actor, "dataset_version.correct", version.dataset.team_id)
    _check_given(said, reason)
    with unit(actor, role=role) as opened:
        dataset = Dataset.objects.select_for_update(no_key=True, of=("self",)).select_related("team").get(
            pk=version.dataset_id
        )  # fmt: skip
        version = DatasetVersion.objects.select_related("dataset__team", "licence", *TEXTS).get(pk=version.pk)
        before = stated.stated_in(version)
        told = _told_anew(said, before, dataset)
        _check_told(told, said, before, dataset, widen_uses)
        newest = stated.corrections_of(version).first()
        if "licence" in told:
            last = stated.corrections_of(version).filter(licence=before.licence).first()
            require_may_free(
                actor=actor, team_id=dataset.team_id, standing=before.licence, said=told["licence"],
                stated_by={version.created_by_id} | ({last.corrected_by_id} if last else set()),
            )  # fmt: skip
        texts = _texts(told, dataset.pk, opened.now, reason)
        columns = {**_carried(newest), **told, **{name: text for name, text in texts.items() if name in TEXTS}}
        row = DatasetCorrection.objects.create(
            dataset=dataset, dataset_version=version, number=newest.number + 1 if newest else 1, **columns,
            unstated=_unstated(newest, told, said), reason=texts["reason"], corrected_by_id=actor.actor_id,
            corrected_at=opened.now,
        )  # fmt: skip
        records: list[GovernedModel] = [row, *texts.values()]
        if said.steward is not None and said.steward.pk != dataset.steward_id:
            dataset.steward = said.steward
            dataset.save(update_fields=["steward"])
            records.append(dataset)
        emit("dataset_version.corrected", *records, team=dataset.team_id)
        run_when_data_corrected(opened, version, before, stated.stated_data([version])[version.pk])
        return row


def _check_given(said: SaidAnew, reason: str) -> None:
    if all(getattr(said, member.name) in (None, ()) for member in fields(said)):
        raise Invalid("Nothing is corrected.", hint=f"Say anew one or more of: {', '.join([*COLUMNS, 'steward'])}.")
    if not reason.strip():
        raise Invalid("The reason is empty.", hint="Say what was registered wrongly, and how you know.")
    strange = [name for name in said.unstated if name not in MAY_BE_UNSTATED]
    if strange:
        raise Invalid(
            f"{strange[0]!r} cannot be taken back.",
            hint=f"Without a successor one may take back: {', '.join(MAY_BE_UNSTATED)}.",
            code="unstated",
        )
    both = [name for name in said.unstated if getattr(said, name) is not None]
    if both:
        raise Invalid(f"{both[0]} is both said anew and taken back.", hint="Do one of the two.", code="unstated")
    empty = [name for name in TEXTS if getattr(said, name) is not None and not getattr(said, name).strip()]
    if empty:
        raise Invalid(
            f"{empty[0]} is empty.",
            hint="Write a sentence, or leave it out; what nobody can say after all stands in 'unstated'.",
            code="empty",
        )
    if said.licence is not None and said.licence.ended_at is not None:
        expression = said.licence.expression
        raise Conflict(f"The licence {expression} has ended.", hint="Register it again with its present terms.")


def _told_anew(said: SaidAnew, before: StatedData, dataset: Dataset) -> dict[str, Any]:
    """What differs from what is stated already, by column."""
    given = {name: getattr(said, name) for name in COLUMNS if getattr(said, name) is not None}
    if "uses" in given:
        given["uses"] = sorted(set(given["uses"]))
    told = {name: value for name, value in given.items() if not _same(name, value, before)}
    if said.steward is not None and said.steward.pk != dataset.steward_id:
        told["steward"] = said.steward
    return told


def _same(name: str, value: Any, before: StatedData) -> bool:
    if name == "licence":
        return bool(value.pk == before.licence.pk)
    if name in TEXTS:
        return bool(value == before.said(name))
    return bool(value == (sorted(before.uses) if name == "uses" else before.values[name]))


def _check_told(
    told: Mapping[str, Any], said: SaidAnew, before: StatedData, dataset: Dataset, widen_uses: bool
) -> None:
    taken_back = [name for name in said.unstated if before.values[name] is not None]
    if not told and not taken_back:
        raise Conflict("This is stated about the data already.", hint="There is nothing to correct.")
    values: dict[str, Any] = {name: told.get(name, before.values[name]) for name in COLUMNS} | dict.fromkeys(taken_back)
    basis = told.get("third_party_basis", "" if "third_party_basis" in taken_back else before.said("third_party_basis"))
    answers = {name: str(values[name]) for name in ANSWERS}
    checked = Stated(values["uses"], answers, values["collected_from"], values["collected_until"])
    check_stated(checked, basis=basis, today=timezone.now().date())
    added = sorted(set(values["uses"]) - set(before.uses))
    if added and not widen_uses:
        raise Invalid(
            f"This lets the data in for more than it was registered for: {', '.join(added)}.",
            hint="If that is meant, say so: widen_uses (--widen-uses).",
            code="uses-widened",
            added=added,
        )
    if "steward" in told and not permissions.may(told["steward"].pk, "team.read", dataset.team_id):
        raise Invalid("The steward has no role in this team.", hint="Name somebody of the team.", code="steward")


def _texts(told: dict[str, Any], dataset_id: uuid.UUID, now: datetime.datetime, reason: str) -> dict[str, Text]:
    written = {name: told[name] for name in TEXTS if name in told} | {"reason": reason}
    stream = f"dataset:{dataset_id}"
    return {name: new_text(stream=stream, purpose=name, value=value, now=now) for name, value in written.items()}


def _carried(newest: DatasetCorrection | None) -> dict[str, Any]:
    """What earlier corrections said goes on, so that the newest row alone says all. Who was steward then is no statement now."""
    if newest is None:
        return {}
    return {name: value for name in COLUMNS if (value := getattr(newest, name)) is not None}


def _unstated(newest: DatasetCorrection | None, told: Mapping[str, Any], said: SaidAnew) -> list[str]:
    earlier = set() if newest is None else set(newest.unstated)
    return sorted((earlier | set(said.unstated)) - set(told))

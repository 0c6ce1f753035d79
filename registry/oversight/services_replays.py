"""A finding for the owner of a model whose version could not be made again from what is on record. No grade changes.

Rules:
- one open finding for a version: what the newest replay found stands in its evidence, not in a pile of findings;
- it is written in the unit that ends the replay.
"""

from __future__ import annotations

import datetime

from registry.access.services import new_text
from registry.compression.models import Run
from registry.events import Unit, emit
from registry.oversight.models import Finding

KIND = "replay-differs"
DUE_DAYS = 14


def open_replay_finding(opened: Unit, run: Run, said: str) -> None:
    """Called inside the unit of a replay that gave another model; `said` names the tensor."""
    version = run.rederives
    assert version is not None
    stream = f"model:{run.model_id}"
    known = Finding.objects.filter(kind=KIND, stream=stream, subject=f"version {version.number}")
    if known.filter(closed_at=None).exists():
        return
    text = new_text(
        stream=stream, purpose="description", now=opened.now,
        value=f"{version} could not be made again from its parent and recipe. {said} Find out whether the machine or a library "
        "has changed, or whether the version is not what its record says.",
    )  # fmt: skip
    row = Finding.objects.create(
        stream=stream, kind=KIND, about=None if known.exists() else version.pk, subject=f"version {version.number}",
        state=Finding.State.OPEN, description=text, owner=run.model.owner,
        due_on=opened.now.date() + datetime.timedelta(days=DUE_DAYS), created_by_id=opened.caller.actor_id,
        created_at=opened.now,
    )  # fmt: skip
    emit("finding.opened", row, text, team=run.model.team_id)

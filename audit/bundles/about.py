"""What a bundle is about, over its scope: which events concern it, and the models whose statements it carries.

One reason: what is counted before a bundle is sealed and what is built afterwards are decided by the same lines.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from audit import backing, concerns, scopes, snapshots
from audit.scopes import Scope
from audit.snapshots import Snapshot
from registry.catalog.models import RegisteredModel

_OF_ITS_TEAM = ("document.attached", "profile.finished", "profile.failed")
"""What refers to files that whoever owns the record hands over: opinions about data, and what its rows look like."""


class About:
    """A model, one version of it (by id), or the instance (no model), over a scope, judged as of `moment`."""

    def __init__(self, model: RegisteredModel | None, version: str | None, scope: Scope, moment: str) -> None:
        self.model, self.version, self.scope, self.moment = model, version, scope, moment

    @cached_property
    def snapshot(self) -> Snapshot | None:
        """What the streams of the scope say about the model; None about the instance, which is read model by model."""
        if self.model is None:
            return None
        return snapshots.take_streams(self.model.pk, self.scope.ends, self.scope.size, self.moment)

    @cached_property
    def backing(self) -> Snapshot | None:
        """The entries outside the scope that its acts rest on; None about the instance, whose scope holds everything."""
        if self.model is None or self.snapshot is None:
            return None
        return backing.behind(self.snapshot, self.model.team_id)

    def positions(self) -> Sequence[int]:
        """Where the entries stand that a bundle about it holds, ascending, but for those that come with every bundle."""
        if self.model is None or self.backing is None:
            return scopes.positions(scopes.INSTANCE, self.scope)
        inside = scopes.positions(f"model:{self.model.pk}", self.scope)
        return sorted({*inside, *self.backing.positions})

    def concerns(self) -> Callable[[Mapping[str, Any]], bool]:
        """Whether an event's documents and texts belong into the bundle."""
        snapshot = self.snapshot
        if snapshot is None:
            return lambda event: True
        if self.version is None:
            return lambda event: not self._is_foreign_file(event)
        kept = concerns.lineage(snapshot, self.version)
        return lambda event: not self._is_foreign_file(event) and concerns.is_about(snapshot, kept, event["records"])

    def _is_foreign_file(self, event: Mapping[str, Any]) -> bool:
        """Whether another team attached it to what is theirs, or had its own data profiled: that stays theirs to hand over."""
        own = self.model is None or event["team"] in (None, str(self.model.team_id))
        return event["kind"] in _OF_ITS_TEAM and not own

    def models(self) -> Iterator[tuple[RegisteredModel, Snapshot]]:
        """Each model that it is about, one at a time, with what the ledger says about it."""
        if self.snapshot is not None and self.model is not None:
            yield self.model, self.snapshot
            return
        for stream in sorted(self.scope.ends):
            if stream.startswith("model:"):
                model = model_of(stream)
                yield model, snapshots.take_at(model.pk, self.scope.size, self.moment)


def model_of(stream: str) -> RegisteredModel:
    """The model of a stream `model:<id>`."""
    return RegisteredModel.objects.select_related("team").get(pk=uuid.UUID(stream.partition(":")[2]))

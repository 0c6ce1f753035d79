"""What tests of the room provenance and above may need to have, made through services."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from registry.access.models import Team
from registry.events import Caller
from registry.provenance import services
from registry.provenance.models import Dataset, DatasetVersion, Licence, Upload
from tests.worlds.base import BaseWorld

_counter = itertools.count(1)


class ProvenanceWorld(BaseWorld):
    """One method per thing; each returns the row. `actor` is ada where nobody is named."""

    def fresh_slug(self, noun: str) -> str:
        """A name that no other thing of this test run has."""
        return f"{noun}-{next(_counter)}"

    def upload(self, data: bytes, *, actor: Caller | None = None) -> Upload:
        """Bytes in the store, brought by the actor."""
        return services.store_upload(actor=actor or self.cast.ada, chunks=[data])

    def licence(self, expression: str = "Apache-2.0", *, actor: Caller | None = None) -> Licence:
        return services.register_licence(actor=actor or self.cast.ada, team=self.team, expression=expression)

    def dataset(self, slug: str | None = None, *, actor: Caller | None = None, team: Team | None = None) -> Dataset:
        """The dataset of that name, registered where it is not there yet."""
        caller, owner = actor or self.cast.ada, team or self.team
        known = Dataset.objects.filter(team=owner, slug=slug).first() if slug else None
        return known or services.register_dataset(
            actor=caller, team=owner, slug=slug or self.fresh_slug("data"), title="Sentences"
        )

    def dataset_version(
        self,
        rows: Iterable[Mapping[str, Any]] | None = None,
        uses: Sequence[str] = ("evaluation",),
        *,
        data: bytes | None = None,
        dataset: Dataset | None = None,
        slug: str | None = None,
        licence: str = "PSF-2.0",
        origin: str = "Written for a test.",
        actor: Caller | None = None,
        declared_digest: str | None = None,
        **statements: Any,
    ) -> DatasetVersion:
        """A measured version of JSON lines `rows`, or of the bytes `data`; declared when `declared_digest` is given."""
        caller = actor or self.cast.ada
        digest = None
        if declared_digest is None:
            lines = rows if rows is not None else [{"text": f"row {next(_counter)}"}]
            content = data if data is not None else "".join(json.dumps(row) + "\n" for row in lines).encode()
            digest = self.upload(content, actor=caller).digest
        return services.register_dataset_version(
            actor=caller,
            dataset=dataset or self.dataset(slug, actor=actor),
            licence=self.licence(licence),
            origin=origin,
            uses=list(uses),
            digest=digest,
            declared_digest=declared_digest,
            **statements,
        )

    def files_version(
        self,
        files: Mapping[str, bytes],
        uses: Sequence[str] = ("training",),
        *,
        slug: str | None = None,
        dataset: Dataset | None = None,
        actor: Caller | None = None,
        **statements: Any,
    ) -> DatasetVersion:
        """A measured version of several files by path."""
        caller = actor or self.cast.ada
        return services.register_dataset_version(
            actor=caller,
            dataset=dataset or self.dataset(slug, actor=actor),
            licence=self.licence("PSF-2.0"),
            origin="Written for a test.",
            uses=list(uses),
            files=[{"path": path, "digest": self.upload(data, actor=caller).digest} for path, data in files.items()],
            **statements,
        )

    def arrays(self, **arrays: np.ndarray) -> bytes:
        """An .npz of named arrays."""
        target = io.BytesIO()
        np.savez(target, **arrays)  # type: ignore[arg-type]
        return target.getvalue()

    def reference(self, version: DatasetVersion) -> str:
        """`team/dataset@3`."""
        return f"{version.dataset.team.slug}/{version.dataset.slug}@{version.number}"

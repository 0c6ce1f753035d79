"""What the included entries refer to: documents by digest, and the free texts that the bundle opens.

Rules:
- every document that an included entry refers to is in, or named as left out with the reason; one that is lost stops the build;
- a bundle about one version withholds the documents that only events about other versions refer to, and does not open their texts;
- a bundle about a model withholds the files that other teams attached to what is theirs, and the profiles of their data;
- a bundle about a model opens the texts that people of its own team wrote, and those of licences and policies; what other teams
  wrote about data, recipes or use cases, what administrators wrote about the instance, and what was written about people of the
  team (why somebody has a deputy), stays closed: a salt that left the building cannot be called back. The bundle of the instance
  opens every text;
- an erased text is never opened, purged bytes are never in: erasure wins over sameness.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from audit import entries
from audit.bundles.packing import Contents, document
from registry import storage
from registry.access.models import Text
from registry.catalog.models import RegisteredModel
from registry.digests import JSON, hex_of
from registry.errors import BytesDiffer
from registry.oversight.queries import team_of_stream

DOCUMENT_LIMIT_BYTES = 16 * 1024 * 1024
_TEXTS_PER_QUERY = 500
_NEVER_OPENED = {"instance", "team"}
_OF_ONE_TEAM = {"dataset", "recipe", "use_case"}
Event = Mapping[str, Any]


@dataclass
class Inside:
    """Refs and texts of the entries so far; `is_about` says whether an event is about what the bundle is about."""

    is_about: Callable[[Event], bool]
    refs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    withheld: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    texts: set[str] = field(default_factory=set)

    def take(self, event: Event) -> None:
        """Note what one included event refers to."""
        kept = self.is_about(event)
        into = self.refs if kept else self.withheld
        for ref in event["refs"]:
            into.setdefault(ref["digest"], ref)
        if kept:
            self.texts.update(r["id"] for r in event["records"] if r["type"].startswith("access.text/"))

    def add_documents(self, contents: Contents) -> None:
        """`documents/` and `not_included.json`."""
        left_out: list[JSON] = []
        for digest in sorted({**self.withheld, **self.refs}):
            ref = self.refs.get(digest) or self.withheld[digest]
            reason = self._reason(digest, ref)
            if reason is None:
                _add_document(contents, digest, ref)
            else:
                name, size_bytes = str(ref["name"]), int(ref["size_bytes"])
                left_out.append({"digest": digest, "name": name, "reason": reason, "size_bytes": size_bytes})
        rows: JSON = {"documents": left_out, "type": "pressmark/not_included/1"}
        contents.add("not_included.json", document(rows, "The list of documents that are left out"))

    def _reason(self, digest: str, ref: Mapping[str, Any]) -> str | None:
        """Why a document is left out; None when it is in."""
        if digest not in self.refs:
            return "withheld"
        if int(ref["size_bytes"]) > DOCUMENT_LIMIT_BYTES:
            return "too_large"
        return "purged" if not storage.is_stored(digest) and entries.is_purged(digest) else None

    def add_texts(self, contents: Contents, opens: Callable[[str], bool]) -> None:
        """`texts.json`: each text that was not erased, with the salt that opens it. `opens` is asked once per stream."""
        allowed: dict[str, bool] = {}
        found: list[JSON] = []
        for row in self._text_rows():
            if row.stream not in allowed:
                allowed[row.stream] = opens(row.stream)
            if allowed[row.stream]:
                salt = base64.b64encode(bytes(row.salt or b"")).decode()
                found.append({"commitment": row.commitment, "id": str(row.pk), "salt": salt, "value": row.value})
        contents.add("texts.json", document({"texts": found, "type": "pressmark/texts/1"}, "The list of texts"))

    def _text_rows(self) -> Iterator[Text]:
        keys = sorted(self.texts)
        for start in range(0, len(keys), _TEXTS_PER_QUERY):
            part = [uuid.UUID(key) for key in keys[start : start + _TEXTS_PER_QUERY]]
            rows: Iterable[Text] = Text.objects.filter(pk__in=part, value__isnull=False, salt__isnull=False)
            yield from sorted(rows, key=lambda row: str(row.pk))


def _add_document(contents: Contents, digest: str, ref: Mapping[str, Any]) -> None:
    if not storage.is_stored(digest):
        raise BytesDiffer(
            f"The document {ref['name']} ({digest}) is lost, though an entry refers to it.",
            hint="Restore it from a backup; a bundle without it would not verify.",
        )
    contents.add_stored(f"documents/{hex_of(digest)}", digest, int(ref["size_bytes"]))


def opens_for(model: RegisteredModel | None) -> Callable[[str], bool]:
    """Which streams' texts a bundle about a model opens; about the instance (None): all."""

    def opens(stream: str) -> bool:
        if model is None:
            return True
        kind = stream.partition(":")[0]
        return kind not in _NEVER_OPENED and (kind not in _OF_ONE_TEAM or team_of_stream(stream) == model.team_id)

    return opens

"""The page that says what a version lacks before it may go live, and who has to do it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.catalog import queries as catalog
from registry.desk.addresses import reference
from registry.desk.http import Context, Page
from registry.events import Caller
from registry.release.preview_gate import USUAL_ALIAS, preview_gate


class PreviewGate(Page):
    """Open to every reader of the version: reading it writes nothing."""

    template = "release/preview_gate.html"
    section = "models"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        version = catalog.get_version(caller, reference(kwargs))
        alias = query.get("alias", "").strip() or USUAL_ALIAS
        return {"version": version, "model": version.model, "found": preview_gate(version, alias)}

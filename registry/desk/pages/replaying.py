"""Having a version made again from the page of the version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.urls import reverse

from registry.compression.services_replays import request_replay
from registry.desk.addresses import reference
from registry.desk.http import Act
from registry.desk.pages.story import VersionPage
from registry.events import Caller
from registry.release import queries as release


class RequestReplay(Act):
    """Has the version made again from its parent, by its recipe, and compared tensor by tensor."""

    page = VersionPage

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        run = request_replay(actor=caller, version=release.find_version(caller, reference(kwargs)))
        return reverse("desk:run", args=[run.pk]), "A worker will make the version again."

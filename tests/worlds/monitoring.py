"""What tests of the room monitoring and above may need to have, made through services."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from registry.catalog.models import ModelVersion
from registry.monitoring import services
from registry.monitoring.models import Incident, Monitor, Window
from registry.release.models import Alias
from tests.worlds.base import BaseWorld
from tests.worlds.release import distribution

if TYPE_CHECKING:
    from tests.worlds.release import ReleaseWorld as Below
else:
    Below = BaseWorld  # `World` joins the rooms side by side

SHIFTED = [10, 20, 60, 150, 210, 150]
"""Counts that no chance explains beside CALM."""


class MonitoringWorld(Below):
    """One method per thing; each returns the row."""

    def monitor(self, version: ModelVersion, slug: str = "live", alias: str = "production") -> Monitor:
        """A monitor of the alias that serves the version."""
        found = Alias.objects.get(model=version.model, slug=alias)
        known = Monitor.objects.filter(model=version.model, slug=slug).first()
        return known or services.create_monitor(actor=self.cast.ada, model=version.model, alias=found, slug=slug)

    def window(
        self,
        monitor: Monitor,
        label: str = "2026-01-01",
        counts: list[int] | None = None,
        *,
        version_digest: str | None = None,
        ended_at: datetime.datetime | None = None,
        **shape: Any,
    ) -> Window:
        """A window pushed by otto over the last minute, of the bytes that the alias serves unless told otherwise."""
        end = ended_at or timezone.now()
        served = monitor.alias.assignments.order_by("-number")[0]
        return services.record_window(
            actor=self.cast.otto, monitor=monitor, label=label, started_at=end - datetime.timedelta(minutes=1),
            ended_at=end, version_digest=version_digest or served.version_digest or "",
            distribution=distribution(counts, **shape),
        )  # fmt: skip

    def drifted(self) -> tuple[ModelVersion, ModelVersion, Incident]:
        """Parent, child as incumbent, and the open incident of a drifted window of the child."""
        parent, child = self.released_pair()
        window = self.window(self.monitor(child), "drifted", SHIFTED)
        return parent, child, window.incident

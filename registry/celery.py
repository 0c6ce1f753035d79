"""Celery carries wake-ups only: a task says which row to look at, and the row is the truth."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry.settings")


class PressmarkCelery(Celery):  # type: ignore[misc]
    """Makes the folders of the filesystem transport, which does not make them itself."""

    def connection_for_write(self, *args: Any, **kwargs: Any) -> Any:
        _make_folders(self)
        return super().connection_for_write(*args, **kwargs)

    def connection_for_read(self, *args: Any, **kwargs: Any) -> Any:
        _make_folders(self)
        return super().connection_for_read(*args, **kwargs)


def _make_folders(made: Celery) -> None:
    options = made.conf.broker_transport_options or {}
    for name in ("data_folder_in", "data_folder_out", "control_folder"):
        if name in options:
            Path(options[name]).mkdir(parents=True, exist_ok=True, mode=0o700)


app = PressmarkCelery("pressmark")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    worker_enable_remote_control=False,  # a broadcast to a worker that is gone would stay in the queue for ever
    worker_hijack_root_logger=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,  # the lease decides, not the queue
)
app.autodiscover_tasks(["registry.compression"])
app.autodiscover_tasks(["registry.compression"], related_name="profile_tasks")
app.autodiscover_tasks(["registry.compression"], related_name="worker")

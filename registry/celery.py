"""Celery carries wake-ups only: a task says which row to look at, and the row is the truth."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry.settings")

app = Celery("pressmark")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["registry.compression"])

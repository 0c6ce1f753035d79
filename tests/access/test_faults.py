"""What is not the client's fault is said as problem+json too, without anything of the inside, and leaves nothing half done."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from registry.access.models import Team
from registry.provenance.models import Upload
from tests.world import Cast
from tests.worlds.http import api


@pytest.fixture
def small_disk() -> Iterator[None]:
    """The system refuses files of more than a mebibyte, as a full disk would."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_said_and_leaves_no_file(cast: Cast, small_disk: None) -> None:
    client = api("ada")
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    database = Path(connection.settings_dict["NAME"])
    room = max(database.stat().st_size * 2 if database.is_file() else 0, 64 * 1024**2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, most))
    answer = client.post("/api/v1/uploads", b"x" * (room + 1), content_type="application/octet-stream")
    assert answer.status_code == 503
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:pressmark:problem:no-room"
    assert not [
        path for path in Path(settings.PRESSMARK_STORE).rglob("*") if path.is_file() and path.stat().st_size > 1024**2
    ]
    assert not Upload.objects.exists()


def test_a_fault_of_ours_is_a_problem_without_the_inside(cast: Cast, caplog: Any) -> None:
    client = api("root")
    with connection.cursor() as cursor:  # a table that nobody expects to be gone
        cursor.execute("ALTER TABLE access_team RENAME TO access_gone")
        try:
            answer = client.post("/api/v1/teams", {"slug": "vision"}, format="json")
        finally:
            cursor.execute("ALTER TABLE access_gone RENAME TO access_team")
    assert answer.status_code in {500, 503}
    assert answer["Content-Type"] == "application/problem+json"
    assert "access_team" not in answer.content.decode()
    assert "access_team" in caplog.text
    assert not Team.objects.filter(slug="vision").exists()

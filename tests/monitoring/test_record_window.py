"""A window is judged when it arrives, against the baseline of what the alias served then; the same one again changes nothing."""

from __future__ import annotations

import datetime
import json

import pytest
from django.utils import timezone

from audit.models import Entry
from registry.digests import sha256
from registry.errors import Conflict, Forbidden, Invalid, NotFound
from registry.monitoring import queries, services
from registry.monitoring.models import Incident, Monitor, Window
from registry.release import services as release
from tests.world import World
from tests.worlds.http import api
from tests.worlds.monitoring import SHIFTED
from tests.worlds.release import CALM, distribution

MINUTE = datetime.timedelta(minutes=1)


@pytest.fixture
def monitor(world: World) -> Monitor:
    return world.monitor(world.released_pair()[1])


def kinds(count: int) -> list[str]:
    return [json.loads(bytes(e.entry))["event"]["kind"] for e in Entry.objects.order_by("-position")[:count]][::-1]


def test_a_healthy_window_is_recorded_with_its_judgement_and_opens_nothing(world: World, monitor: Monitor) -> None:
    row = world.window(monitor)
    assert (row.state, row.row_count) == ("healthy", sum(CALM))
    judgement = queries.document_of(row.judgement_digest)
    assert judgement["window"] == row.digest
    assert judgement["baseline"] == row.baseline.digest
    assert not Incident.objects.exists()
    assert kinds(1) == ["window.recorded"]


def test_a_drifted_window_opens_an_incident_in_the_same_unit(world: World, monitor: Monitor) -> None:
    row = world.window(monitor, counts=SHIFTED)
    assert row.state == "drifted"
    assert queries.incident_status(row.incident) == "open"
    recorded, opened = [json.loads(bytes(e.entry)) for e in Entry.objects.order_by("-position")[:2]][::-1]
    assert [e["event"]["kind"] for e in (recorded, opened)] == ["window.recorded", "incident.opened"]
    assert recorded["event"]["unit"] == opened["event"]["unit"]
    assert recorded["stream"] == opened["stream"] == f"monitor:{monitor.pk}"


def test_too_few_rows_are_recorded_as_such(world: World, monitor: Monitor) -> None:
    assert world.window(monitor, counts=[1, 2, 3, 3, 2, 1]).state == "insufficient-data"


def test_the_same_window_again_is_the_same_row_and_nothing_is_sealed(world: World, monitor: Monitor) -> None:
    end = timezone.now()
    first = world.window(monitor, "monday", ended_at=end)
    before = Entry.objects.count()
    assert world.window(monitor, "monday", ended_at=end) == first
    assert (Window.objects.count(), Entry.objects.count()) == (1, before)


def test_another_window_under_the_same_label_is_a_conflict(world: World, monitor: Monitor) -> None:
    end = timezone.now()
    world.window(monitor, "monday", ended_at=end)
    with pytest.raises(Conflict, match="a window never changes"):
        world.window(monitor, "monday", SHIFTED, ended_at=end)
    assert Window.objects.get().state == "healthy"


def test_other_bytes_than_the_alias_names_are_recorded_and_open_an_incident(world: World, monitor: Monitor) -> None:
    row = world.window(monitor, version_digest=sha256(b"swapped in silence"))
    assert row.state == "digest-drift"
    assert row.version == monitor.alias.assignments.order_by("-number")[0].version
    assert row.baseline is None
    assert "Other bytes were served" in queries.document_of(row.judgement_digest)["summary"]
    assert queries.incident_status(row.incident) == "open"


def test_without_a_baseline_a_window_is_never_healthy(world: World) -> None:
    parent = world.parent_version()
    world.promoted(parent)
    row = world.window(world.monitor(parent))
    assert (row.state, row.baseline) == ("no-baseline", None)
    assert not Incident.objects.exists()


def test_a_window_is_judged_by_what_was_served_then_not_now(world: World) -> None:
    parent, child = world.released_pair()
    monitor = world.monitor(child)
    then = timezone.now()
    release.roll_back(actor=world.cast.otto, model=parent.model, alias="production", reason="Just in case.")
    late = world.window(monitor, "late", version_digest=child.digest, ended_at=then)
    assert (late.version, late.state) == (child, "healthy")
    assert world.window(monitor, "now").version == parent


def test_a_window_from_before_the_first_promotion_is_refused(world: World, monitor: Monitor) -> None:
    with pytest.raises(Conflict, match="served nothing between"):
        world.window(monitor, ended_at=timezone.now() - 60 * MINUTE)


def test_a_window_that_was_not_counted_in_the_frozen_bins_is_refused(world: World, monitor: Monitor) -> None:
    with pytest.raises(Invalid, match="lacks the feature"):
        world.window(monitor, features=2)
    assert not Window.objects.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": "Größe"}, "printable ASCII"),
        ({"label": "x" * 81}, "printable ASCII"),
        ({"version_digest": "sha256:abc"}, "no digest"),
        ({"started_at": timezone.now() + 60 * MINUTE}, "begin before it ends"),
        ({"ended_at": timezone.now() + 60 * MINUTE}, "ends in the future"),
        ({"distribution": {"features": [], "n": 0}}, "at least one row"),
        ({"distribution": {**distribution(), "n": 601}}, "not to the 601 rows"),
        ({"distribution": {"features": [{"name": "x"}], "n": 1}}, "exactly the members"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused_and_nothing_is_stored(
    world: World, monitor: Monitor, change: dict, said: str
) -> None:
    given = {
        "actor": world.cast.otto, "monitor": monitor, "label": "w", "started_at": timezone.now() - MINUTE,
        "ended_at": timezone.now(), "version_digest": sha256(b"x"), "distribution": distribution(),
    }  # fmt: skip
    with pytest.raises(Invalid, match=said):
        services.record_window(**{**given, **change})
    assert not Window.objects.exists()


def test_an_engineer_pushes_no_windows_and_an_ended_monitor_takes_none(world: World, monitor: Monitor) -> None:
    with pytest.raises(Forbidden):
        services.record_window(
            actor=world.cast.ada, monitor=monitor, label="w", started_at=timezone.now() - MINUTE,
            ended_at=timezone.now(), version_digest=sha256(b"x"), distribution=distribution(),
        )  # fmt: skip
    services.end_monitor(actor=world.cast.ada, monitor=monitor)
    with pytest.raises(Conflict, match="monitor has ended"):
        world.window(monitor)


def test_a_monitor_needs_an_alias_and_a_name_of_its_own(world: World, monitor: Monitor) -> None:
    with pytest.raises(NotFound, match="no alias 'staging'"):
        services.create_monitor(actor=world.cast.ada, model=monitor.model, alias="staging", slug="s")
    with pytest.raises(Conflict, match="already"):
        services.create_monitor(actor=world.cast.ada, model=monitor.model, alias="production", slug=monitor.slug)


def body(monitor: Monitor, counts: list[int] | None = None) -> dict:
    end = timezone.now()
    served = monitor.alias.assignments.order_by("-number")[0]
    return {
        "label": "2026-01-01", "started_at": (end - MINUTE).isoformat(), "ended_at": end.isoformat(),
        "version_digest": served.version_digest, "distribution": distribution(counts),
    }  # fmt: skip


def test_over_http_a_client_reads_the_bins_pushes_a_window_and_reads_the_judgement(
    world: World, monitor: Monitor
) -> None:
    base = f"/api/v1/teams/search/models/{monitor.model.slug}/monitors"
    otto = api("otto")
    assert otto.get(f"{base}/live/baseline").json()["document"]["features"][0]["edges"]
    sent = body(monitor, SHIFTED)
    made = otto.post(f"{base}/live/windows", sent, format="json")
    assert (made.status_code, made.json()["state"]) == (201, "drifted"), made.content
    assert made["Pressmark-Receipt"]
    again = otto.post(f"{base}/live/windows", sent, format="json")
    assert again.json()["id"] == made.json()["id"]
    assert [w["label"] for w in otto.get(f"{base}/live/windows").json()["items"]] == ["2026-01-01"]
    assert [m["slug"] for m in otto.get(base).json()["items"]] == ["live"]


def test_over_http_a_window_for_an_unknown_monitor_is_not_found_and_nothing_is_stored(
    world: World, monitor: Monitor
) -> None:
    base = f"/api/v1/teams/search/models/{monitor.model.slug}/monitors"
    before = Entry.objects.count()
    answer = api("otto").post(f"{base}/nothing/windows", body(monitor), format="json")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:pressmark:problem:not-found")
    assert not Window.objects.exists()
    assert Entry.objects.filter(stream__startswith="monitor:").count() == 0
    assert Entry.objects.count() >= before

"""Monitors and incidents on the pages."""

from __future__ import annotations

from collections.abc import Callable

from django.urls import reverse

from registry.monitoring.models import Incident
from registry.release.models import AliasAssignment
from tests.desk.conftest import Visitor, words
from tests.world import World
from tests.worlds.monitoring import SHIFTED

Visit = Callable[[str], Visitor]


def test_a_monitor_without_a_window_is_never_called_healthy(visit: Visit, world: World) -> None:
    _, child = world.released_pair()
    monitor = world.monitor(child)
    page = visit("otto").reads(reverse("desk:monitor", args=[monitor.pk]))
    assert "no window yet" in page
    assert "nothing is called healthy before" in page


def test_each_feature_of_a_window_has_a_drawing_a_sentence_and_numbers(visit: Visit, world: World) -> None:
    _, child = world.released_pair()
    window = world.window(world.monitor(child), "2026-w01", SHIFTED)
    answer = visit("otto").get(reverse("desk:monitor", args=[window.monitor_id]))
    assert answer.content.decode().count("<svg viewBox") >= 3
    page = words(answer)
    assert "output_projection_0 changed: the index is" in page
    assert "lowest to -2" in page
    assert "50 (8.3 %)" in page


def test_an_earlier_window_can_be_looked_at(visit: Visit, world: World) -> None:
    _, child = world.released_pair()
    calm = world.window(world.monitor(child), "calm")
    world.window(calm.monitor, "shifted", SHIFTED)
    path = reverse("desk:monitor", args=[calm.monitor_id])
    assert "Window shifted drifted" in visit("otto").reads(path)
    assert "Window calm healthy" in visit("otto").reads(f"{path}?window={calm.pk}")
    assert "Window shifted drifted" in visit("otto").reads(f"{path}?window=nonsense")


def test_a_window_of_other_bytes_says_which(visit: Visit, world: World) -> None:
    _, child = world.released_pair()
    window = world.window(world.monitor(child), "other", version_digest="sha256:" + "ab" * 32)
    page = visit("otto").get(reverse("desk:incident", args=[window.incident.pk])).content.decode()
    assert "sha256:" + "ab" * 32 in page
    assert child.digest in page


def test_an_incident_goes_from_open_to_resolved_by_rolling_back(visit: Visit, world: World) -> None:
    parent, _child, incident = world.drifted()
    path = [incident.pk]
    assert "acknowledged" in words(visit("otto").post(reverse("desk:acknowledge-incident", args=path)))
    judged = visit("omar").post(reverse("desk:judge-incident", args=path), benign="no")
    assert "Confirmed as a real change." in words(judged)
    answer = visit("omar").post(reverse("desk:resolve-by-rollback", args=path), reason="The child answers differently.")
    page = words(answer)
    assert "The alias was rolled back and the incident is resolved." in page
    assert f"The alias went back to version {parent.number}" in page
    assert AliasAssignment.objects.order_by("-number")[0].version == parent
    assert Incident.objects.get().judged_by.username == "omar"


def test_a_benign_change_is_resolved_without_a_move(visit: Visit, world: World) -> None:
    _, child, incident = world.drifted()
    visit("omar").post(reverse("desk:judge-incident", args=[incident.pk]), benign="yes")
    answer = visit("omar").post(reverse("desk:resolve-incident", args=[incident.pk]), reason="A new season.")
    assert "A new season." in words(answer)
    assert AliasAssignment.objects.order_by("-number")[0].version == child


def test_ending_an_incident_needs_a_reason(visit: Visit, world: World) -> None:
    _, _, incident = world.drifted()
    answer = visit("omar").post(reverse("desk:resolve-by-rollback", args=[incident.pk]), reason=" ")
    assert answer.status_code == 422
    assert Incident.objects.get().resolved_at is None


def test_an_engineer_is_not_offered_the_end_of_an_incident_and_is_refused(visit: Visit, world: World) -> None:
    _, _, incident = world.drifted()
    assert "Resolve by rolling back" not in visit("ada").reads(reverse("desk:incident", args=[incident.pk]))
    answer = visit("ada").post(reverse("desk:resolve-by-rollback", args=[incident.pk]), reason="I want to.")
    assert answer.status_code == 403
    assert "needs one of these roles" in words(answer)


def test_monitors_and_incidents_of_other_teams_are_not_found(visit: Visit, world: World) -> None:
    _, child, incident = world.drifted()
    eve = visit("eve")
    assert eve.get(reverse("desk:monitor", args=[incident.monitor_id])).status_code == 404
    assert eve.get(reverse("desk:incident", args=[incident.pk])).status_code == 404
    assert eve.post(reverse("desk:acknowledge-incident", args=[incident.pk])).status_code == 404
    assert child.model.slug not in eve.reads("/monitors/")
    assert child.model.slug in visit("otto").reads("/monitors/")

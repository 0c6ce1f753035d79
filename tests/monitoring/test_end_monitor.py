"""Watching ends; what was seen stays, and nothing new is taken."""

from __future__ import annotations

from django.test import Client

from registry.monitoring.models import Monitor, Window
from tests.access.events import last_events
from tests.world import PASSWORD, World
from tests.worlds.http import api


def monitored(world: World) -> Monitor:
    _, child = world.released_pair()
    return world.monitor(child)


def door(monitor: Monitor) -> str:
    return f"/api/v1/teams/search/models/{monitor.model.slug}/monitors/{monitor.slug}/end"


def test_an_engineer_or_operator_ends_a_monitor_and_its_windows_stay(world: World) -> None:
    monitor = monitored(world)
    world.window(monitor, "week-1")
    answer = api("otto").post(door(monitor))
    assert answer.status_code == 200
    assert answer.json()["ended_at"]
    assert (last_events(1)[0]["kind"], last_events(1)[0]["team"]) == ("monitor.ended", str(world.team.pk))
    assert Window.objects.count() == 1
    assert api("otto").post(door(monitor)).status_code == 409


def test_who_only_decides_ends_no_monitor_and_strangers_find_none(world: World) -> None:
    monitor = monitored(world)
    assert api("carla").post(door(monitor)).status_code == 403
    monitor.refresh_from_db()
    assert monitor.ended_at is None


def test_the_page_offers_it_to_whoever_may_and_says_afterwards_that_it_ended(world: World) -> None:
    monitor = monitored(world)
    page = f"/monitors/{monitor.pk}/"
    otto, carla = Client(), Client()
    assert otto.login(username="otto", password=PASSWORD)
    assert carla.login(username="carla", password=PASSWORD)
    assert f"{page}end/" in otto.get(page).content.decode()
    assert f"{page}end/" not in carla.get(page).content.decode()
    assert carla.post(f"{page}end/").status_code == 403
    shown = otto.post(f"{page}end/", follow=True).content.decode()
    assert "The monitor has ended" in shown
    assert f"{page}end/" not in shown
    monitor.refresh_from_db()
    assert monitor.ended_at is not None

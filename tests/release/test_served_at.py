"""What an alias was at a moment: to the microsecond, in every zone, and nothing about what nobody can know."""

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from registry.errors import Invalid
from registry.events import Caller
from registry.release import services
from registry.release.moments import moment_of
from tests.world import World
from tests.worlds.http import api

MICROSECOND = datetime.timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-03-03T14:00:00Z", "2026-03-03T14:00:00"),
        ("2026-03-03T14:00", "2026-03-03T14:00:00"),
        ("2026-03-03 14:00:00.000001", "2026-03-03T14:00:00.000001"),
        ("2026-03-03T19:45:00+05:45", "2026-03-03T14:00:00"),
        ("2026-03-03T14:00:00 01:00", "2026-03-03T13:00:00"),  # a plus sign in an address arrives as a space
        ("2026-03-29T03:00:00+02:00", "2026-03-29T01:00:00"),  # the hour that summer time left out, and the one before
        ("2026-03-29T01:59:59+01:00", "2026-03-29T00:59:59"),
        ("2025-10-26T02:30:00+02:00", "2025-10-26T00:30:00"),  # twice half past two, told apart by what is written
        ("2025-10-26T02:30:00+01:00", "2025-10-26T01:30:00"),
    ],
)
def test_a_moment_is_read_in_the_zone_in_which_it_is_written(written: str, meant: str) -> None:
    assert moment_of(written) == datetime.datetime.fromisoformat(meant).replace(tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    "written",
    [
        "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "yesterday", "2026-01-01", "", "2026-02-30T12:00",
        "2999-01-01T00:00:00Z", "2026-03-03T25:00:00Z", "\x00",
    ],
)  # fmt: skip
def test_what_is_no_moment_or_lies_ahead_is_refused_with_what_to_write(written: str) -> None:
    with pytest.raises(Invalid, match="'at'") as refused:
        moment_of(written)
    assert refused.value.hint


def test_at_the_very_moment_of_a_move_the_new_version_is_served_and_a_microsecond_before_the_old_one(
    world: World,
) -> None:
    parent = world.parent_version()
    first = world.promoted(parent)
    second = world.promoted(world.child_version(parent))
    gone = services.suspend(actor=world.cast.otto, model=parent.model, alias="production", reason="It is over.")
    client = api("ada")
    path = f"/api/v1/teams/search/models/{parent.model.slug}/aliases/production/served-at"

    def served(at: datetime.datetime) -> str | None:
        answer = client.get(path, {"at": at.isoformat()})
        assert answer.status_code == 200, answer.content
        found: str | None = answer.json()["version"]
        return found

    assert client.get(path, {"at": (first.assigned_at - MICROSECOND).isoformat()}).status_code == 404
    assert served(first.assigned_at) == str(parent)
    assert served(second.assigned_at - MICROSECOND) == str(parent)
    assert served(second.assigned_at) == str(second.version)
    assert served(gone.assigned_at - MICROSECOND) == str(second.version)
    assert served(gone.assigned_at) is None
    east = datetime.timezone(datetime.timedelta(hours=12, minutes=45))
    assert served(second.assigned_at.astimezone(east)) == str(second.version)
    ahead = client.get(path, {"at": (timezone.now() + datetime.timedelta(hours=1)).isoformat()})
    assert (ahead.status_code, "lies in the future" in ahead.json()["detail"]) == (422, True)


def test_who_allowed_it_is_told_by_name_a_deputy_with_whom_she_stood_for(world: World) -> None:
    world.deputy("dora")
    version = world.parent_version()
    approval = world.approval(version)
    dora = Caller(world.cast.people["dora"].pk, "cli")
    services.grant_approval(actor=dora, approval=approval, reason="Fine.")
    services.promote(actor=world.cast.otto, model=version.model, alias="production", approval=approval)
    path = f"/api/v1/teams/search/models/{version.model.slug}/aliases/production/served-at"
    told = api("otto").get(path, {"at": timezone.now().isoformat()}).json()
    assert told["granted_by_names"] == ["Dora in the place of Omar"]


@pytest.mark.parametrize(
    "path", ["teams/search/datasets/nope/versions/1", "findings/0190a203-d6f8-77cb-96d9-a4eb26a947ad"]
)
def test_what_may_not_be_there_is_refused_with_what_to_look_at(world: World, path: str) -> None:
    assert "Look at the spelling" in api("otto").get(f"/api/v1/{path}").json()["hint"]

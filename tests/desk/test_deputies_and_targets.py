"""Deputies and targets on the pages: who may, what is refused with everything typed kept, and what stands there."""

from __future__ import annotations

from collections.abc import Callable

from django.urls import reverse
from django.utils import timezone

from registry.access.models import Deputyship, Role
from registry.release.serving_models import Target
from tests.desk.conftest import Visitor, words
from tests.world import World
from tests.worlds.release import DAY

Visit = Callable[[str], Visitor]
DEPUTIES, TARGETS = "desk:appoint-deputy", "desk:register-target"


def test_an_approver_appoints_a_deputy_and_either_of_them_ends_it(visit: Visit, world: World) -> None:
    world.person("dora", Role.VIEWER)
    day = str((timezone.now() + 7 * DAY).date())
    given = {"deputy": "dora", "held": "approver@search", "ends_on": day, "reason": "On leave."}
    answer = visit("omar").post(reverse(DEPUTIES), **given)
    assert "Dora decides in your place until" in words(answer)
    row = Deputyship.objects.get()
    assert (row.principal.username, row.role, row.ends_at.date().isoformat()) == ("omar", "approver", day)
    assert "Dora Omar On leave. approver in search" in visit("ada").reads(reverse(DEPUTIES))
    again = visit("omar").post(reverse(DEPUTIES), **given)
    assert (again.status_code, "stands for you in these days already" in words(again)) == (409, True)
    assert "On leave." in again.content.decode()
    assert "Dora stands for Omar no longer." in words(visit("dora").post(reverse("desk:end-deputyship", args=[row.pk])))
    assert visit("eve").post(reverse("desk:end-deputyship", args=[row.pk])).status_code == 404


def test_what_cannot_be_lent_is_not_offered_and_a_wrong_name_is_said(visit: Visit, world: World) -> None:
    assert "Appoint a deputy" not in visit("ada").reads(reverse(DEPUTIES))
    day = str((timezone.now() + 7 * DAY).date())
    wrong = visit("omar").post(reverse(DEPUTIES), deputy="nobody", held="approver@search", ends_on=day, reason="r")
    assert (wrong.status_code, "There is no person" in words(wrong)) == (422, True)
    forged = visit("omar").post(
        reverse(DEPUTIES), deputy="ada", held="compliance_officer@search", ends_on=day, reason="r"
    )
    assert "Select a valid choice" in words(forged)
    assert not Deputyship.objects.exists()


def test_a_target_is_registered_numbered_and_ended(visit: Visit, world: World) -> None:
    given = {"team": "search", "slug": "edge", "runtime": "onnxruntime 1.20", "hardware": "8 cores"}
    otto = visit("otto")
    assert "search/edge@1 is registered." in words(otto.post(reverse(TARGETS), **given, limits='{"latency_ms": "20"}'))
    assert "limit latency_ms 20" in visit("carla").reads(reverse(TARGETS))
    assert "search/edge@2 is registered." in words(otto.post(reverse(TARGETS), **given))
    first, second = Target.objects.order_by("number")
    assert (first.ended_at is not None, second.ended_at) == (True, None)
    refused = otto.post(reverse(TARGETS), **given, limits='{"latency_ms": 1.5}')
    assert (refused.status_code, "Write decimals as text" in words(refused)) == (422, True)
    assert "search/edge@2 has ended" in words(otto.post(reverse("desk:end-target", args=[second.pk])))
    assert "Register a target" not in visit("carla").reads(reverse(TARGETS))

"""A legal hold and a purge at the same moment: the hold comes before and stops the purge, or after it; never in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from registry.oversight.models import Hold
from registry.oversight.services_proofs import place_hold
from registry.oversight.subjects import of_dataset, of_dataset_version, of_model, of_version
from registry.provenance.subjects import Subject
from registry.release import purging
from registry.release.services import confirm_purge, request_purge
from tests.world import Cast, World

pytestmark = [pytest.mark.db_guarantee, pytest.mark.usefixtures("committed_db")]
LOOKED_SECONDS = 0.5


def a_version(world: World) -> tuple[Subject, Subject]:
    version = world.version()
    return of_version(version), of_model(version.model)


def some_rows(world: World) -> tuple[Subject, Subject]:
    rows = world.dataset_version()
    return of_dataset_version(rows), of_dataset(rows.dataset)


@pytest.mark.parametrize("things", [a_version, some_rows])
@pytest.mark.parametrize("whole", [False, True], ids=["on the state", "on the whole"])
def test_no_hold_comes_between_the_question_and_the_end_of_a_purge(
    monkeypatch: pytest.MonkeyPatch, things: Callable[[World], tuple[Subject, Subject]], whole: bool
) -> None:
    world = World(Cast.assemble())
    state, owner = things(world)
    asked = request_purge(actor=world.cast.root, subject=state, reason="A request to delete.")
    looked, seen = threading.Event(), []

    def hold() -> None:
        try:
            looked.wait(20)
            place_hold(actor=world.cast.carla, subject=owner if whole else state, reason="A court asks.")
        finally:
            connection.close()

    real = purging.going

    def slowly(*given: Any) -> purging.Going:
        """After the question about holds, before the record says that the bytes are gone."""
        looked.set()
        time.sleep(LOOKED_SECONDS)
        seen.append(placing.is_alive())
        return real(*given)

    monkeypatch.setattr(purging, "going", slowly)
    placing = threading.Thread(target=hold)
    placing.start()
    purged = confirm_purge(actor=world.cast.carla, purge=asked)
    placing.join()
    assert seen == [True]
    assert purged.confirmed_at is not None
    assert Hold.objects.get().placed_at >= purged.confirmed_at

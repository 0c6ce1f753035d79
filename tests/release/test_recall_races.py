"""A recall against registrations and promotions at the same time: nothing slips through between looking and writing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection

from audit.verification.replay import compare
from registry.errors import Problem
from registry.oversight.models import Finding
from registry.oversight.subjects import of_version
from registry.release import queries, services
from registry.release.quarantines import quarantined
from registry.release.stopping_models import Quarantine
from tests.release.test_start_recall import recall
from tests.world import Cast, World

pytestmark = [pytest.mark.db_guarantee, pytest.mark.usefixtures("committed_db")]


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """What each act answered, all begun together; a refusal is an answer."""
    barrier = threading.Barrier(len(acts))
    answers: list[Any] = [None] * len(acts)

    def run(number: int) -> None:
        try:
            barrier.wait()
            answers[number] = acts[number]()
        except (Problem, IntegrityError, OperationalError) as error:
            answers[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_whatever_is_registered_meanwhile_is_in_quarantine_all_the_same() -> None:
    world = World(Cast.assemble())
    parent = world.parent_version()
    elsewhere = world.model()
    made = [lambda seed=seed: world.derived_version(parent, model=elsewhere, seed=seed) for seed in range(700, 706)]
    answers = at_once(lambda: recall(world, of_version(parent)), *made)
    assert not isinstance(answers[0], Exception), answers[0]
    children = [answer for answer in answers[1:] if not isinstance(answer, Exception)]
    assert len(children) == 6, answers
    assert [quarantined(child) == [answers[0]] for child in children] == [True] * 6


def test_what_is_registered_while_a_recall_ends_is_never_left_in_a_quarantine_that_nobody_can_end() -> None:
    world = World(Cast.assemble())
    parent = world.parent_version()
    elsewhere = world.model()
    row = recall(world, of_version(parent))
    made = [lambda seed=seed: world.derived_version(parent, model=elsewhere, seed=seed) for seed in range(710, 714)]
    answers = at_once(lambda: services.end_recall(actor=world.cast.carla, recall=row, reason="It was wrong."), *made)
    assert [answer for answer in answers if isinstance(answer, Exception)] == []
    assert not Quarantine.objects.filter(recall=row, ended_at=None).exists()


def test_a_release_that_is_granted_while_its_recall_ends_is_told_as_one_or_the_other() -> None:
    world = World(Cast.assemble())
    parent, child = world.released_pair()
    row = recall(world, of_version(parent))
    held = child.quarantines.get(ended_at=None)
    services.request_quarantine_release(actor=world.cast.ada, quarantine=held, reason="Not made with it.")
    ended, released = at_once(
        lambda: services.end_recall(actor=world.cast.carla, recall=row, reason="It was wrong."),
        lambda: services.grant_quarantine_release(actor=world.cast.omar, quarantine=held, reason="Seen."),
    )
    assert not isinstance(ended, Exception), ended
    assert not isinstance(released, Exception) or "has ended" in str(released), released
    assert not Quarantine.objects.filter(ended_at=None).exists()
    assert compare() == []


def test_a_promotion_at_the_same_moment_comes_before_and_is_told_or_does_not_come() -> None:
    world = World(Cast.assemble())
    version = world.parent_version()
    approval = world.granted(version)
    moved, recalled = at_once(
        lambda: services.promote(actor=world.cast.otto, model=version.model, alias="production", approval=approval),
        lambda: recall(world, of_version(version)),
    )
    assert not isinstance(recalled, Exception), recalled
    serves = queries.served(version.model, "production")
    told = Finding.objects.filter(kind="recalled").count()
    assert (serves == version, told) in {(True, 1), (False, 0)}
    assert isinstance(moved, Exception) == (serves is None)

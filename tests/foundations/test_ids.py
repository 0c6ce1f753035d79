"""Ids of rows and events: in order of time, and never the same, whatever forks."""

from __future__ import annotations

import multiprocessing
from typing import Any

from registry.ids import uuid7


def give(answers: Any) -> None:
    answers.put([uuid7() for _ in range(200)])


def test_ids_grow_and_are_version_seven() -> None:
    ids = [uuid7() for _ in range(1000)]
    assert ids == sorted(set(ids))
    assert {i.version for i in ids} == {7}


def test_children_of_one_process_give_different_ids() -> None:
    """A worker forks after its parent has given ids: a generator that is copied would give the same ones again."""
    uuid7()
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    children = [context.Process(target=give, args=(answers,)) for _ in range(4)]
    for child in children:
        child.start()
    given = [i for _ in children for i in answers.get(timeout=30)]
    for child in children:
        child.join()
    assert len({i.int & (2**62 - 1) for i in given}) == len(given) == 800

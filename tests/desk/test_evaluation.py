"""The page of an evaluation: what was lost, for whom worst, what is saved, and what stays open."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.urls import reverse

from registry.compression.models import Run
from tests.desk.conftest import Visitor
from tests.desk.evaluated import PLAN, evaluated
from tests.desk.scene import Scene

Visit = Callable[[str], Visitor]


def address(run: Run, name: str = "evaluation") -> str:
    model = run.parent.model
    return reverse(f"desk:{name}", args=[model.team.slug, model.slug, run.parent.number, run.pk])


@pytest.fixture
def run(story: Scene) -> Run:
    """An evaluation of the child with figures of every kind."""
    others = dict.fromkeys(("parent", "incumbent", "first"), story.parent)
    return evaluated(story.world, story.child, others, plan=PLAN)


def test_the_first_sentence_says_what_was_lost_for_whom_and_what_is_saved(visit: Visit, run: Run) -> None:
    page = visit("carla").reads(address(run))
    assert "It loses 1.8 points of accuracy against its parent" in page
    assert "worst for race 2 (15.2 points lost, corrected p below 0.0001)" in page
    assert "it is 3.9 times smaller and 1.8 times faster, net benefit 412.50 EUR a month" in page
    assert "a loss of less than 0.9 points could have gone unseen." in page

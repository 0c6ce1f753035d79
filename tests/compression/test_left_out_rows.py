"""How many rows could not be used is a count of rows, not of the names that are shown of them: engine, API and page."""

from __future__ import annotations

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from registry.catalog.evidence import left_out
from registry.cli.remote_evaluate import told
from registry.compression import services
from registry.release.evidence_choice import rows_left_out
from registry.release.inputs import gather
from tests.compression.test_api import client
from tests.compression.test_evaluation_api import evaluations_url
from tests.compression.test_execute_evaluation import CLASSES, PLAN
from tests.world import World
from tests.worlds.catalog import INPUT_WIDTH

pytestmark = pytest.mark.usefixtures("committed_db")


def test_rows_beyond_those_that_are_named_are_counted(world: World) -> None:
    version, x = world.version(), np.ones((40, INPUT_WIDTH), dtype=np.float32)
    x[:33] = np.nan
    rows = world.dataset_version(data=world.arrays(x=x, label=np.zeros(40, dtype=np.int64)), uses=("evaluation",))
    plan = {**PLAN, "measures": ["quality"], "slices": []}
    run = world.executed(services.request_evaluation(actor=world.cast.ada, version=version, evaluation=rows, plan=plan))
    rows_told = client(world, "omar").get(f"{evaluations_url(version)}/{run.pk}").json()["data"][0]
    assert (rows_told["rows"], rows_told["left_out"]) == (7, 33)
    assert rows_told["broken"][-1] == "and 13 more"
    found = {row.kind: row for row in gather(version, timezone.now()).evidence}["quality"]
    assert (found.environment["left_out_rows"], found.environment["evaluated_rows"]) == ("33", "7")
    assert rows_left_out(found) == "33 of 40 rows"  # a gate refuses it
    people = Client()
    people.force_login(world.cast.people["ada"])
    model = version.model
    page = people.get(reverse("desk:evaluation", args=[model.team.slug, model.slug, version.number, run.pk]))
    assert "33 rows could not be used and count nowhere: more than one in a hundred." in page.content.decode()


def test_a_rare_class_that_the_plan_calls_otherwise_is_named_on_page_api_and_shell(world: World) -> None:
    version, x = world.version(), np.ones((200, INPUT_WIDTH), dtype=np.float32)
    names = [f"class {number}" for number in range(CLASSES)]
    label = np.array([names[place % CLASSES] for place in range(199)] + ["no"])
    rows = world.dataset_version(data=world.arrays(x=x, label=label), uses=("evaluation",))
    plan = {**PLAN, "measures": ["quality"], "slices": [], "classes": names}
    run = world.executed(services.request_evaluation(actor=world.cast.ada, version=version, evaluation=rows, plan=plan))
    found = client(world, "omar").get(f"{evaluations_url(version)}/{run.pk}").json()
    assert found["data"][0]["unlisted_labels"] == [{"label": "no", "rows": 1}]
    assert "label 'no': 1 row, is none of the plan's classes" in told({**found, "n": 199})
    people = Client()
    people.force_login(world.cast.people["ada"])
    model = version.model
    page = people.get(reverse("desk:evaluation", args=[model.team.slug, model.slug, version.number, run.pk]))
    assert "<li>Label &#x27;no&#x27;: 1 row, is none of the plan’s classes</li>" in page.content.decode()


@pytest.mark.parametrize(
    ("broken", "count"),
    [([], 0), (["row 3: NaN or infinity"], 1), (["row 1", "and 1200 more"], 1201), (["and 2 more: x"], 1)],
)
def test_the_last_word_counts_the_others(broken: list[str], count: int) -> None:
    assert left_out(broken) == count

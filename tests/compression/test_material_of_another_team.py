"""A run may take its parent, data and recipe from another team; who may that, and what readers of the child see of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse

from compression_engine.recipe import Recipe as RecipeDocument
from compression_engine.recipe import Step
from registry.access.models import Actor, Role, Team
from registry.access.services import grant_membership
from registry.compression import queries, services
from registry.compression.models import Run
from registry.compression.services_comparisons import request_comparison
from registry.compression.training import TrainingAsked, set_training
from registry.errors import Forbidden, NotFound
from registry.events import Caller
from tests.audit.test_report_of_derived import PLAN as LABELLED
from tests.compression.test_students_in_runs import labelled
from tests.world import World
from tests.worlds.catalog import INPUT_WIDTH
from tests.worlds.http import api


@pytest.fixture
def mal(world: World, outsider_team: Team) -> Actor:
    """An engineer elsewhere who may only look in the team `search`."""
    person = world.person("mal", Role.VIEWER)
    grant_membership(actor=world.cast.root, person=person, role=Role.ENGINEER, team=outsider_team)
    return person


@pytest.fixture
def foreign(world: World, mal: Actor, outsider_team: Team) -> Run:
    """A run of mal's elsewhere, from a parent, data and a recipe of `search`; mal may download there, rex only reads elsewhere."""
    grant_membership(actor=world.cast.root, person=mal, role=Role.ENGINEER, team=world.team)
    rex = world.person("rex")
    grant_membership(actor=world.cast.root, person=rex, role=Role.COMPLIANCE_OFFICER, team=outsider_team)
    caller = Caller(actor_id=mal.pk, via="cli")
    model = world.model("secret-copy", actor=caller, team=outsider_team, owner=mal)
    data = world.arrays_dataset(uses=("evaluation", "baseline"))
    return world.run(
        world.version(world.model("secret-net")), model=model, evaluation=data, baseline=data, actor=caller
    )


def test_who_may_not_download_a_parent_does_not_carry_it_off_as_a_child(world: World, mal: Actor) -> None:
    caller = Caller(actor_id=mal.pk, via="cli")
    elsewhere = Team.objects.get(slug="elsewhere")
    target = world.model("copy", actor=caller, team=elsewhere, owner=mal)
    with pytest.raises(Forbidden, match=r"version\.download"):
        world.run(world.version(), model=target, actor=caller)
    assert not Run.objects.exists()


def test_over_http_readers_of_the_child_see_digests_where_its_makers_see_names(foreign: Run) -> None:
    names = ("secret-net", "search/", "smaller-same-speed")
    for path in (f"runs/{foreign.pk}", "teams/elsewhere/models/secret-copy/runs"):
        told = json.dumps(api("rex").get(f"/api/v1/{path}").json())
        assert not [name for name in names if name in told]
        assert foreign.parent.digest[:19] in told
        assert "search/secret-net@1" in json.dumps(api("mal").get(f"/api/v1/{path}").json())


def test_on_the_pages_too(foreign: Run) -> None:
    pages = [
        reverse("desk:run", args=[foreign.pk]), reverse("desk:runs"), reverse("desk:home"),
        reverse("desk:model", args=["elsewhere", "secret-copy"]),
    ]  # fmt: skip
    for person, known in (("rex", False), ("mal", True)):
        client = Client()
        client.force_login(Actor.objects.get(username=person))
        for page in pages:
            text = client.get(page).content.decode()
            assert str(foreign.pk)[-8:] in text, page
            assert ("secret-net" in text, "smaller-same-speed" in text) == (known, known), page


@pytest.mark.usefixtures("committed_db")
def test_a_comparison_names_its_material_to_its_makers_alone_and_each_group_to_readers_of_the_data(
    world: World, foreign: Run
) -> None:
    caller = Caller(actor_id=foreign.requested_by_id, via="cli")
    prune = [{"name": "sparsity_per_mille", "value": 980}, {"name": "min_elements", "value": 1}]
    half, broken = {"method": "convert_fp16"}, {"method": "prune_unstructured", "parameters": prune}
    recipes = [
        world.recipe("secret-cut", {"seed": 3, "steps": [half, broken]}),
        world.recipe("secret-half", {"seed": 4, "steps": [half]}),
    ]
    asked = services.RunAsked(
        model=foreign.model,
        parent=foreign.parent,
        evaluation=labelled(world, 120, 21, "evaluation"),
        plan=LABELLED,
        training=TrainingAsked(at_least="0.9"),
    )
    runs = request_comparison(actor=caller, recipes=recipes, asked=asked)
    done = world.executed(runs[0])
    assert done.child is not None, queries.run_log(done)
    args = [runs[0].comparison]
    pages = [reverse(f"desk:{name}", args=args) for name in ("comparison", "comparison-json", "comparison-csv")]
    for person, known in (("rex", False), ("mal", True)):
        client = Client()
        client.force_login(Actor.objects.get(username=person))
        told = {page: client.get(page).content.decode() for page in pages}
        told["api"] = json.dumps(api(person).get(f"/api/v1/comparisons/{args[0]}").json())
        for page, text in told.items():
            assert "broke the budget" in text, page
            names = ("secret-cut", "secret-half", "where group is")
            assert [name in text for name in names] == [known] * 3, (page, text)
            assert known or "secret-net" not in text, page
            groups = [name for name in ('"red"', "=red", "group red", '"blue"', "=blue", "group blue") if name in text]
            assert bool(groups) == known, (page, groups)


TAUGHT = RecipeDocument("taught", (Step("distill"),))
FINE_TUNE = {"method": "fine_tune", "parameters": [{"name": "loss", "value": "teacher"}]}


def test_a_teacher_of_another_team_is_told_by_digest_and_to_who_may_not_see_it_does_not_exist(
    world: World, mal: Actor, outsider_team: Team
) -> None:
    teacher = world.version(world.model("secret-teacher"))
    rows = world.arrays_dataset(rows=96, seed=11, uses=("training",))
    recipe = world.recipe("taught", {"steps": [FINE_TUNE]})
    grant_membership(actor=world.cast.root, person=mal, role=Role.ENGINEER, team=world.team)
    caller = Caller(actor_id=mal.pk, via="cli")
    own = world.version(world.model("own", actor=caller, team=outsider_team, owner=mal), actor=caller)
    run = world.run(own, recipe=recipe, actor=caller, training=TrainingAsked(rows, teacher))
    rex = world.person("rex")
    grant_membership(actor=world.cast.root, person=rex, role=Role.COMPLIANCE_OFFICER, team=outsider_team)
    told = api("rex").get(f"/api/v1/runs/{run.pk}").json()
    assert "secret-teacher" not in json.dumps(told)
    assert teacher.digest[:19] in told["teacher"]
    assert api("mal").get(f"/api/v1/runs/{run.pk}").json()["teacher"] == str(teacher)
    page = reverse("desk:run", args=[run.pk])
    client = Client()
    client.force_login(rex)
    assert "secret-teacher" not in client.get(page).content.decode()
    with pytest.raises(NotFound):  # ada sees the rows, and nothing elsewhere
        set_training(world.cast.ada, Run(model=teacher.model), TAUGHT, TrainingAsked(rows, own))


@pytest.mark.usefixtures("committed_db")
def test_why_a_row_could_not_be_used_is_told_to_readers_of_the_data_alone(
    world: World, mal: Actor, foreign: Run
) -> None:
    x = np.ones((8, INPUT_WIDTH), dtype=np.float32)
    x[2, 0] = np.nan
    rows = world.dataset_version(data=world.arrays(x=x), uses=("evaluation",))
    caller = Caller(actor_id=mal.pk, via="cli")
    version = world.version(foreign.model, seed=5, actor=caller)
    run = world.executed(services.request_evaluation(actor=caller, version=version, evaluation=rows))
    assert run.state == "succeeded", queries.run_log(run)
    url = f"teams/elsewhere/models/secret-copy/versions/{version.number}/evaluations/{run.pk}"
    page = reverse("desk:evaluation", args=["elsewhere", "secret-copy", version.number, run.pk])
    log = reverse("desk:run-log", args=[run.pk])
    for person, broken, code in (("rex", "row 3", 403), ("mal", "row 3: NaN or infinity", 200)):
        assert api(person).get(f"/api/v1/{url}").json()["data"][0]["broken"] == [broken]
        assert api(person).get(f"/api/v1/runs/{run.pk}/log").status_code == code
        client = Client()
        client.force_login(Actor.objects.get(username=person))
        assert f"<li>{broken}</li>" in client.get(page).content.decode()
        assert client.get(log).status_code == code


@pytest.mark.usefixtures("committed_db")
@pytest.mark.parametrize("own", [False, True])
def test_a_failure_quotes_nothing_of_another_teams_data(world: World, mal: Actor, foreign: Run, own: bool) -> None:
    caller = Caller(actor_id=mal.pk, via="cli")
    x, told = np.ones((8, INPUT_WIDTH), dtype=np.float32), np.arange(8)
    rows = world.dataset_version(data=world.arrays(x=x, secret_diagnosis=told), uses=("evaluation",))
    version = world.version(world.model("mine") if own else foreign.model, seed=5, actor=caller)
    plan = {"type": "pressmark/evaluation_plan/1", "task": "regression", "label": "y"}
    asked = services.request_evaluation(actor=caller, version=version, evaluation=rows, plan=plan)
    run = world.executed(asked)
    assert run.failure_code == "data_does_not_fit", queries.run_log(run)
    assert ("secret_diagnosis" in str(run.failure)) == own
    assert "secret_diagnosis" in queries.run_log(run)  # nothing is lost: readers of the data open the log

"""Requesting an evaluation: by which plan, beside which versions, and never on rows that the version was made with."""

from __future__ import annotations

from typing import Any

import pytest

from registry import storage
from registry.access.models import Role, Team
from registry.access.services import grant_membership
from registry.catalog.edges import EdgeSpec
from registry.catalog.models import ModelVersion
from registry.compression import material, services
from registry.compression.models import Run
from registry.digests import parse_canonical
from registry.errors import BytesDiffer, Conflict, Invalid, NotFound
from registry.provenance.models import DatasetVersion
from registry.release.services import suspend
from tests.compression.situations import events_of
from tests.world import World

PLAN = {"type": "pressmark/evaluation_plan/1", "task": "embedding"}


def ask(world: World, version: ModelVersion, **asked: Any) -> Run:
    rows = asked.pop("evaluation", None) or world.arrays_dataset()
    return services.request_evaluation(actor=world.cast.ada, version=version, evaluation=rows, **asked)


def trained_on(world: World, data: DatasetVersion) -> ModelVersion:
    """An uploaded version that says what it was trained on."""
    return world.version(edges=[EdgeSpec("data", dataset_version=data)])


# --- the plan ---


def test_a_plan_is_kept_whole_by_its_digest_and_sealed_with_the_request(world: World) -> None:
    run = ask(world, world.version(), plan=PLAN)
    assert run.plan_digest is not None
    kept = parse_canonical(storage.read_bytes(run.plan_digest))
    assert isinstance(kept, dict)
    assert (kept["task"], kept["max_tokens"]) == ("embedding", 128)
    told = events_of(run)[0]
    assert [(ref["name"], ref["digest"]) for ref in told["refs"]] == [("plan", run.plan_digest)]
    assert told["records"][0]["row"]["plan_digest"] == run.plan_digest


def test_the_same_plan_written_otherwise_is_the_same_plan(world: World) -> None:
    version = world.version()
    longer = {**PLAN, "batch_sizes": [1], "slices": []}
    assert ask(world, version, plan=PLAN).plan_digest == ask(world, version, plan=longer).plan_digest
    assert (
        ask(world, version, plan={**PLAN, "max_tokens": 64}).plan_digest != ask(world, version, plan=PLAN).plan_digest
    )


@pytest.mark.parametrize("wrong", [{}, {"task": "dreaming"}, {"type": "pressmark/evaluation_plan/1", "more": 1}])
def test_a_plan_that_is_none_is_refused_and_says_what_to_do(world: World, wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refused:
        ask(world, world.version(), plan=wrong)
    assert refused.value.code == "plan-invalid"
    assert refused.value.hint
    assert not Run.objects.exists()


@pytest.mark.parametrize("wrong", [{}, {"type": "pressmark/price_sheet/1", "currency": "euro"}])
def test_a_price_sheet_that_is_none_is_refused_and_says_what_to_do(world: World, wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refused:
        ask(world, world.version(), price_sheet=wrong)
    assert refused.value.code == "price-sheet-invalid"
    assert refused.value.hint


# --- beside which versions ---


def test_a_derived_version_is_compared_with_what_it_was_derived_from(world: World) -> None:
    parent = world.version()
    run = ask(world, world.derived_version(parent))
    assert (run.base, run.incumbent, run.first) == (parent, None, None)
    assert ask(world, parent).base is None


def test_an_incumbent_and_the_first_approved_version_of_the_line_are_found(world: World) -> None:
    parent, child = world.released_pair()
    grandchild = world.child_version(child, seed=77)
    run = ask(world, grandchild, plan=PLAN)
    assert (run.base, run.incumbent, run.first) == (child, child, parent)
    row = events_of(run)[0]["records"][0]["row"]
    plain = ask(world, grandchild)
    assert (plain.base, plain.incumbent, plain.first) == (child, None, parent), (
        "nothing is run twice where no plan asks"
    )
    assert ask(world, grandchild, incumbent="production").incumbent == child
    assert (row["incumbent_id"], row["first_id"]) == (str(child.pk), str(parent.pk))


def test_what_the_alias_serves_is_not_compared_with_itself(world: World) -> None:
    parent, child = world.released_pair()
    assert ask(world, child).incumbent is None
    with pytest.raises(Invalid, match=r"serves .* itself") as refused:
        ask(world, child, incumbent="production")
    assert refused.value.code == "incumbent-is-version"
    assert ask(world, parent).first is None


def test_an_alias_that_serves_nothing_is_refused_where_it_is_named_and_left_out_where_it_is_not(world: World) -> None:
    parent, child = world.released_pair()
    grandchild = world.child_version(child, seed=77)
    suspend(actor=world.cast.otto, model=child.model, alias="production", reason="A test.")
    assert ask(world, grandchild).incumbent is None
    for alias in ("production", "never-made"):
        with pytest.raises(Conflict, match="serves nothing") as refused:
            ask(world, grandchild, incumbent=alias)
        assert refused.value.code == "no-incumbent"
    assert ask(world, grandchild).first == parent


def test_a_named_alias_is_the_incumbent(world: World) -> None:
    parent = world.parent_version()
    world.promoted(parent, "pilot")
    child = world.child_version(parent)
    assert ask(world, child).incumbent is None
    assert ask(world, child, incumbent="pilot").incumbent == parent


def test_versions_whose_bytes_are_gone_are_not_compared_with_and_a_named_one_is_refused(world: World) -> None:
    parent = world.parent_version()
    world.promoted(parent)
    child = world.child_version(parent)
    storage.path_of(parent.artifacts.get().digest).unlink()
    run = ask(world, child)
    assert (run.base, run.incumbent, run.first) == (None, None, None)
    with pytest.raises(BytesDiffer, match=r"model\.onnx"):
        ask(world, child, incumbent="production")


def test_a_parent_of_another_team_that_the_caller_may_not_download_is_not_run_beside_it(
    world: World, outsider_team: Team
) -> None:
    eve = world.cast.people["eve"]
    grant_membership(actor=world.cast.root, person=eve, role=Role.ENGINEER, team=outsider_team)
    foreign = world.version(world.model(actor=world.cast.eve, owner=eve, team=outsider_team), actor=world.cast.eve)
    child = world.derived_version(foreign, model=world.model())
    assert ask(world, child).base is None
    grant_membership(actor=world.cast.root, person=world.cast.people["ada"], role=Role.VIEWER, team=outsider_team)
    assert ask(world, child).base is None
    grant_membership(actor=world.cast.root, person=world.cast.people["ada"], role=Role.ENGINEER, team=outsider_team)
    assert ask(world, child).base == foreign


# --- rows that the version saw ---


def test_data_that_the_version_was_trained_on_do_not_judge_it_unless_it_is_said(world: World) -> None:
    rows = world.arrays_dataset(uses=("training", "evaluation"))
    version = trained_on(world, rows)
    with pytest.raises(Invalid, match="made with") as refused:
        ask(world, version, evaluation=rows)
    assert refused.value.code == "evaluation-seen"
    run = ask(world, version, evaluation=rows, allow_seen=True)
    assert run.allow_seen
    assert events_of(run)[0]["records"][0]["row"]["allow_seen"] is True


def test_what_an_ancestor_saw_its_descendants_saw(world: World) -> None:
    rows = world.arrays_dataset(uses=("training", "evaluation"))
    grandchild = world.derived_version(world.derived_version(trained_on(world, rows)), seed=5)
    with pytest.raises(Invalid, match="made with"):
        ask(world, grandchild, evaluation=rows)


def test_calibration_rows_of_the_run_that_made_it_do_not_judge_it(world: World) -> None:
    rows = world.arrays_dataset(uses=("calibration", "evaluation"))
    child = world.derived_version(world.version(), data=[rows])
    with pytest.raises(Invalid, match="made with"):
        ask(world, child, evaluation=rows)


def test_the_same_bytes_under_another_name_are_the_same_rows(world: World) -> None:
    version = trained_on(world, world.arrays_dataset(uses=("training",)))
    with pytest.raises(Invalid, match="made with"):
        ask(world, version, evaluation=world.arrays_dataset(uses=("evaluation",)))


def test_a_child_is_not_judged_on_what_its_parent_was_trained_on(world: World) -> None:
    rows = world.arrays_dataset(uses=("training", "evaluation"))
    parent = trained_on(world, rows)
    with pytest.raises(Invalid, match="made with"):
        world.run(parent, evaluation=rows)
    with pytest.raises(Invalid, match="made with"):
        ask(world, parent, evaluation=world.arrays_dataset(seed=50), out_of_distribution=rows)


def test_the_engine_gets_the_rows_that_the_version_saw_but_none_of_a_team_that_the_caller_may_not_read(
    world: World, outsider_team: Team
) -> None:
    """How many rows agree would tell who is in the data of another team."""
    grant_membership(actor=world.cast.root, person=world.cast.people["eve"], role=Role.ENGINEER, team=outsider_team)
    mine = world.arrays_dataset(seed=8, uses=("training",))
    own = world.dataset(actor=world.cast.eve, team=outsider_team)
    theirs = world.dataset_version(
        data=world.tiny_inputs(seed=9), uses=("training",), dataset=own, licence="Apache-2.0", actor=world.cast.eve
    )
    child = world.derived_version(trained_on(world, mine), data=[theirs])
    found = material.rows_seen(ask(world, child))
    assert list(found.values()) == [mine.digest]
    assert str(mine) not in next(iter(found))  # a failure quotes it to every reader of the run
    assert str(mine.digest).replace(":", "-").startswith(next(iter(found)))


# --- other data ---


def test_data_out_of_distribution_are_other_rows_than_those_of_the_evaluation(world: World) -> None:
    rows, strange = world.arrays_dataset(), world.arrays_dataset(seed=99)
    version = world.version()
    assert ask(world, version, evaluation=rows, out_of_distribution=strange).out_of_distribution == strange
    with pytest.raises(Invalid, match="out of distribution are the evaluation data"):
        ask(world, version, evaluation=rows, out_of_distribution=rows)


def test_a_compression_takes_a_plan_and_compares_with_the_incumbent_of_the_model_that_receives_the_child(
    world: World,
) -> None:
    parent = world.parent_version()
    world.promoted(parent)
    run = services.request_run(
        actor=world.cast.ada, model=parent.model, parent=parent, recipe=world.recipe(),
        evaluation=world.arrays_dataset(), plan=PLAN,
    )  # fmt: skip
    assert (run.original, run.incumbent, run.first) == (parent, parent, parent)
    asked: dict[str, Any] = {
        "actor": world.cast.ada, "model": parent.model, "recipe": world.recipe(), "evaluation": world.arrays_dataset(),
    }  # fmt: skip
    plain = services.request_run(parent=parent, **asked)
    assert (plain.incumbent, plain.first) == (None, None)
    found = services.request_run(parent=world.child_version(parent, seed=3), **asked)
    assert (found.incumbent, found.first) == (parent, None)


def test_data_of_another_team_are_not_found(world: World, outsider_team: Team) -> None:
    grant_membership(actor=world.cast.root, person=world.cast.people["eve"], role=Role.ENGINEER, team=outsider_team)
    own = world.dataset(actor=world.cast.eve, team=outsider_team)
    theirs = world.dataset_version(data=world.tiny_inputs(), dataset=own, licence="Apache-2.0", actor=world.cast.eve)
    with pytest.raises(NotFound):
        ask(world, world.version(), out_of_distribution=theirs)

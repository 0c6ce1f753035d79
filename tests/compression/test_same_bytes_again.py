"""A run that comes to bytes that are there: the same origins add evidence, other origins are not passed over in silence."""

from __future__ import annotations

from typing import Any

import pytest

from registry.access.models import Role, Team
from registry.access.services import grant_membership
from registry.catalog.edges import EdgeSpec
from registry.catalog.models import EdgeRole, ModelVersion
from registry.compression import queries
from registry.compression.training import check_covers
from registry.errors import Conflict
from tests.compression.test_train_in_runs import step
from tests.world import World


@pytest.mark.usefixtures("committed_db")
def test_the_same_rows_under_other_terms_do_not_pass_for_those_that_the_child_names(world: World) -> None:
    parent, content = world.version(), world.tiny_inputs(64, 8)
    steps = [step("quantize_weights", rounding="gptq")]
    recipe = world.recipe("looking", {"steps": steps})
    evaluation = world.arrays_dataset()
    first, closed = (
        world.dataset_version(data=content, uses=("calibration",), dataset=world.dataset(slug=name), licence=licence)
        for name, licence in (("open", "CC0-1.0"), ("closed", "CC-BY-NC-4.0"))
    )
    asked: dict[str, Any] = {"recipe": recipe, "evaluation": evaluation, "model": parent.model}
    made, again, other = (
        world.executed(world.run(parent, calibration=rows, **asked)) for rows in (first, first, closed)
    )
    assert made.child is not None, queries.run_log(made)
    assert again.child == made.child
    assert (other.state, other.failure_code, other.child) == ("failed", "duplicate", None)
    assert other.failure is not None
    assert f"whose lineage does not name {closed}" in other.failure.value
    assert "request the run into another model" in other.failure.value
    assert ModelVersion.objects.filter(model=parent.model).count() == 2


def test_a_teacher_of_the_same_weights_in_another_model_is_another_origin(world: World) -> None:
    parent, teacher, same = world.version(), world.version(seed=5), world.version(seed=5)
    child = world.version(
        seed=9,
        edges=[EdgeSpec("base", ("fine-tuned",), parent=parent), EdgeSpec("teacher", ("distilled",), parent=teacher)],
    )

    def covers(**named: Any) -> None:
        origins = [EdgeSpec("teacher", ("distilled",), parent=named.get("teacher", teacher))]
        check_covers(child, parent, named.get("role", EdgeRole.BASE), origins, [])

    covers()
    assert teacher.artifacts.get().digest == same.artifacts.get().digest
    with pytest.raises(Conflict, match=r"does not name .*\(teacher\)"):
        covers(teacher=same)
    with pytest.raises(Conflict, match=r"\(student-start\)"):
        covers(role=EdgeRole.STUDENT_START)


def test_what_is_of_another_team_is_told_by_digest_since_every_reader_of_the_run_reads_why_it_failed(
    world: World, outsider_team: Team
) -> None:
    grant_membership(actor=world.cast.root, person=world.cast.people["eve"], role=Role.ENGINEER, team=outsider_team)
    parent, eve = world.version(), world.cast.eve
    child = world.version(seed=9, edges=[EdgeSpec("base", ("fine-tuned",), parent=parent)])
    model = world.model("secret-teacher", actor=eve, team=outsider_team, owner=world.cast.people["eve"])
    teacher = world.version(model, seed=5, actor=eve)
    rows = world.dataset(slug="secret-rows", actor=eve, team=outsider_team)
    data = world.dataset_version(
        data=world.tiny_inputs(8), uses=("training",), dataset=rows, licence="CC0-1.0", actor=eve
    )
    taught = [EdgeSpec("teacher", ("distilled",), parent=teacher)]
    for origins, used, digest in ((taught, [], teacher.digest), ([], [data], data.bound_digest)):
        with pytest.raises(Conflict) as failed:
            check_covers(child, parent, EdgeRole.BASE, origins, used)
        assert "secret" not in failed.value.detail
        assert digest[:19] in failed.value.detail

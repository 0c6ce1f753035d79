"""A run that comes to bytes that are there: the same origins add evidence, other origins are not passed over in silence."""

from __future__ import annotations

from typing import Any

import pytest

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

"""What a run that trains is handed beside its parent: rows, a teacher, what the child begins as, and what every step must keep.

Rules:
- rows are data registered for training, and not those that the child is judged on;
- a teacher or a beginning is a version of ONNX or of torch that the caller may read, whose bytes are here; of another team only
  where the caller may download it, for a child carries some of it off;
- a teacher whose terms forbid what its outputs would be used for is refused before anything is learned, a parent that teaches
  another model among them;
- a child that began as a student has no edge to the parent as its base: its numbers were the student's, whose terms bind it whole;
- the same bytes from something else, under other terms, are no child of before: nothing that was used goes unnamed;
- what no step of the recipe asks for is refused, and what a step needs is asked for: nothing is ignored in silence;
- a budget is a share between 0 and 1, as a decimal text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from compression_engine.recipe import Recipe, Step
from registry.access import permissions
from registry.access.queries import readable_team_ids
from registry.catalog.edges import EdgeSpec
from registry.catalog.models import EdgeRole, Grade, ModelVersion
from registry.catalog.terms_along import terms_along
from registry.compression import queries
from registry.compression.material import check_data, check_version, rows_file, taken_as
from registry.compression.models import Run
from registry.compression.taken import ONNX
from registry.digests import is_decimal
from registry.errors import Conflict, Invalid
from registry.events import Caller
from registry.provenance.models import DatasetVersion

OUTPUT_USE = "output_use"


@dataclass(frozen=True)
class TrainingAsked:
    """What a request says of training; all None where nothing trains."""

    training: DatasetVersion | None = None
    teacher: ModelVersion | None = None
    student: ModelVersion | None = None
    at_least: str | None = None
    loses_at_most: str | None = None


def set_training(caller: Caller, run: Run, recipe: Recipe, asked: TrainingAsked) -> None:
    """Puts into the run what was asked, once it holds against the rules above; Invalid, NotFound, Forbidden, BytesDiffer."""
    _check_asked(recipe, asked)
    if asked.training is not None:
        check_data(caller, asked.training, "training")
        _refuse_same_rows(asked.training, run)
    for name, version in (("teacher", asked.teacher), ("student", asked.student)):
        if version is not None:
            _check_model(caller, run, name, version)
    taught = any(step.takes_teacher for step in recipe.steps)
    teacher = asked.teacher or (run.parent if taught and asked.student is not None else None)
    if teacher is not None:
        _check_outputs(caller, teacher)
    for name, share in (("at_least", asked.at_least), ("loses_at_most", asked.loses_at_most)):
        if share is not None and not (is_decimal(share) and 0 < Decimal(share) < 1):
            raise Invalid(
                f"{name!r} is {share[:40]!r}.",
                hint="Give a share between 0 and 1 as a decimal, such as 0.99 of the answers kept or 0.01 of quality lost.",
                code="budget",
            )
    run.training, run.teacher, run.student = asked.training, asked.teacher, asked.student
    run.at_least, run.loses_at_most = asked.at_least, asked.loses_at_most


def trains(recipe: Recipe) -> bool:
    """Whether some step trains."""
    return any(step.needs_training for step in recipe.steps)


def edges_of(run: Run, done: Recipe) -> list[EdgeSpec]:
    """The edges of a child of these steps beside its data and the one to whose weights it began as: the one to its teacher.

    Where a step learned from a teacher and none was named, the parent taught. What the child also began as has its edge as that,
    which binds more. The parent of a run with a student is no base: none of its numbers are in the child.
    """
    if not any(step.takes_teacher for step in done.steps):
        return []
    teacher = run.teacher or run.parent
    begun = run.student or run.parent
    if teacher.pk == begun.pk:
        return []
    return [EdgeSpec(EdgeRole.TEACHER.value, ("distilled",), Grade.EXECUTED.value, parent=teacher)]


def check_covers(
    version: ModelVersion,
    begun: ModelVersion,
    role: EdgeRole,
    origins: Sequence[EdgeSpec],
    data: Sequence[DatasetVersion],
) -> None:
    """Conflict where a run made the bytes of a version from something that its lineage does not name (decision 29).

    The same weights, or the same rows, may stand here twice under other terms; those of what was used must bind the child.
    """
    known = {(edge.role, edge.parent_id, edge.dataset_version_id) for edge in version.parent_edges.all()}
    wanted: list[tuple[str, ModelVersion | None, DatasetVersion | None]] = [(role.value, begun, None)]
    wanted += [(edge.role, edge.parent, edge.dataset_version) for edge in origins]
    wanted += [(EdgeRole.DATA.value, None, rows) for rows in data]
    for named, parent, rows in wanted:
        if (named, parent and parent.pk, rows and rows.pk) not in known:
            used = _said_to_readers_of(version, parent, rows)
            raise Conflict(
                f"It came out as {version}, byte for byte, whose lineage does not name {used} ({named}).",
                hint="Use that version; or request the run into another model, where the child stands under the terms of what this "
                "run used.",
                code="duplicate",
            )


def _said_to_readers_of(child: ModelVersion, parent: ModelVersion | None, rows: DatasetVersion | None) -> str:
    """By name within the child's team, else by digest: a failure is read by everybody who may see the run."""
    used, team = (rows, rows and rows.dataset.team_id) if parent is None else (parent, parent.model.team_id)
    return str(used) if used is None or team == child.model.team_id else queries.Names.reduced(used)


def _check_asked(recipe: Recipe, asked: TrainingAsked) -> None:
    kinds: tuple[tuple[str, object, Callable[[Step], bool], str], ...] = (
        ("training", asked.training, lambda step: step.needs_training, "trains"),
        ("teacher", asked.teacher, lambda step: step.takes_teacher, "asks a teacher"),
        ("student", asked.student, lambda step: step.takes_student, "begins as another model"),
    )
    for name, value, asks, what in kinds:
        wanted = any(asks(step) for step in recipe.steps)
        if value is not None and not wanted:
            raise Invalid(
                f"{name!r} is given, and no step of the recipe {what}.",
                hint=f"Leave {name!r} out, or use a recipe with such a step.",
                code="option-unused",
            )
        if value is None and wanted and name != "teacher":  # without one the parent teaches
            needed = (
                "training data: a dataset version for it, TEAM/DATASET@N"
                if name == "training"
                else "a version, TEAM/MODEL@N"
            )
            raise Invalid(
                f"A step of this recipe {what}, and {name!r} is not given.",
                hint=f"Give {name!r}: {needed}.",
                code="data-missing",
            )


def _refuse_same_rows(training: DatasetVersion, run: Run) -> None:
    for judged, named in ((run.evaluation, run.evaluation_file), (run.out_of_distribution, None)):
        if judged is None:
            continue
        if training.digest == judged.digest or rows_file(training).digest == rows_file(judged, named).digest:
            raise Invalid(
                "Training and evaluation are the same data.",
                hint="A child must be judged on rows that it was not made with; give another dataset.",
                code="evaluation-is-training",
            )


def _check_model(caller: Caller, run: Run, name: str, version: ModelVersion) -> None:
    check_version(caller, version)
    if version.model.team_id != run.model.team_id:
        permissions.require(caller, "version.download", version.model.team_id)
    if taken_as(version) != ONNX:
        raise Invalid(
            f"The {name} {version} is {version.format} without a graph; models beside a run are ONNX or of torch.",
            hint="Register it as ONNX, as a .pt2 archive, or with the architecture of its tensors.",
            code="recipe-does-not-fit",
        )


def _check_outputs(caller: Caller, teacher: ModelVersion) -> None:
    terms = terms_along(teacher, readable_team_ids(caller.actor_id))
    if terms.answers[OUTPUT_USE] == "forbidden":
        because = " ".join(proof.sentence for proof in terms.because(OUTPUT_USE)[:1])
        raise Invalid(
            f"The terms of {teacher} forbid to use its outputs. {because}".strip(),
            hint="Distil from another teacher, or ask its owner for leave and have the ruling recorded.",
            code="teacher-terms",
        )

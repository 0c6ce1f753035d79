"""What a run may work on: versions whose bytes are here, rows that are declared for the use, rows that the model never saw.

Rules:
- the caller may read what a run reads; weights of another team stand beside a version only where the caller may download them;
- what stands in the lineage of a version as data shaped it: rows with the same digest are not used to judge it, unless it is said;
- rows of another team are never laid beside the caller's: how many of them agree would tell who is in that data.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable

from registry import storage
from registry.access import permissions
from registry.access.queries import get_readable, readable_team_ids
from registry.catalog import queries as catalog
from registry.catalog.models import Edge, EdgeRole, Grade, ModelVersion, RegisteredModel
from registry.compression import standing, taken
from registry.compression.models import Run
from registry.compression.shards import FORMAT as SAFETENSORS
from registry.compression.shards import index_beside
from registry.errors import BytesDiffer, Conflict, Invalid
from registry.events import Caller
from registry.provenance.dataset_files import DataFile, all_here, file_digests, files_of, get_file
from registry.provenance.models import DatasetVersion
from registry.provenance.stated import stated_in

_DECLARING_BYTES = 1024 * 1024
_NAME_CHARACTERS = 31  # sha256- and 24 digits
_GRADES = (Grade.REDERIVED, Grade.EXECUTED, Grade.DECLARED)


def check_version(caller: Caller, version: ModelVersion, *, shards: bool = False) -> None:
    """The caller may read it, all its bytes are here, and it can be run: weights in one file, of an architecture that is known.

    `shards`: it is only compared, tensor by tensor; weights may be shards of safetensors with their index.
    """
    get_readable(ModelVersion.objects.all(), caller, team="model__team", pk=version.pk)
    missing = _missing(version)
    if missing is not None:
        raise BytesDiffer(
            f"The bytes of {missing} are not stored here any more.",
            hint="They were purged or lost; restore them, or choose another version.",
        )
    weights = list(version.artifacts.filter(role="weights").values_list("path", flat=True))
    if shards and version.format == SAFETENSORS and len(weights) > 1:
        if index_beside(weights, [*version.artifacts.exclude(role="weights").values_list("path", flat=True)]) is None:
            raise Invalid(
                f"The version has {len(weights)} files of weights, and no index that says which tensor is in which.",
                hint="Register it again with its one *.safetensors.index.json beside them.",
                code="weights-not-single",
            )
    elif len(weights) != 1:
        raise Invalid(
            f"The version has {len(weights)} files of weights; the engine takes models of one file.",
            hint="Register the model with its weights in one file.",
            code="weights-not-single",
        )
    elif not shards and (unknown := _unknown_architecture(version)) is not None:
        raise Invalid(
            f"The architecture that {version} declares for its tensors, {unknown}, is not known.",
            hint=f"Known are {', '.join(taken.MODEL_TYPES)} in config.json and {', '.join(taken.OWN_ARCHITECTURES)} in "
            "architecture.json; register the model as ONNX or as a .pt2 archive, or compress its tensors in a shell.",
            code="architecture-unknown",
        )


def _unknown_architecture(version: ModelVersion) -> str | None:
    """What a version calls its architecture, where it declares one that the engine does not know."""
    path = declaring_file(version)
    if path is None:
        return None
    try:
        document = json.loads(storage.read_bytes(version.artifacts.get(path=path).digest, limit_bytes=_DECLARING_BYTES))
    except (BytesDiffer, RecursionError, ValueError):
        return f"in {path}"
    return taken.unknown_in(document)


def declaring_file(version: ModelVersion) -> str | None:
    """The path of the file that declares the architecture of a version's tensors; None where none does."""
    weights = list(version.artifacts.filter(role="weights").values_list("path", flat=True))
    others = list(version.artifacts.exclude(role="weights").values_list("path", flat=True))
    return taken.declared_by(version.format, weights, others)


def taken_as(version: ModelVersion) -> str:
    """The format on which steps and measures work: ONNX for a model of torch that the engine carries there."""
    return taken.form_of(version.format, declaring_file(version))


def _missing(version: ModelVersion) -> str | None:
    artifacts = version.artifacts.order_by("path")
    return next((a.path for a in artifacts if version.purged_at is not None or not storage.is_stored(a.digest)), None)


def check_data(caller: Caller, dataset: DatasetVersion, use: str, file: str | None = None) -> None:
    """The caller may read it, it is declared for this use, its bytes are here, and one file of it is what is read."""
    get_readable(DatasetVersion.objects.all(), caller, team="dataset__team", pk=dataset.pk)
    uses = stated_in(dataset).uses
    if use not in uses:
        raise Invalid(
            f"{dataset} is not registered for {use}; its uses are: {', '.join(uses)}.",
            hint=f"Register a version of the data with the use {use!r}, or correct this one if it may be used so.",
            code="use-not-registered",
        )
    if not rows_are_here(dataset):
        raise Invalid(
            f"The rows of {dataset} are not stored here.",
            hint="A run needs rows; upload them and register a version of the dataset with their digest.",
            code="data-missing",
        )
    rows_file(dataset, file, "evaluation_file" if use == "evaluation" else None)


def rows_file(dataset: DatasetVersion, path: str | None = None, member: str | None = None) -> DataFile:
    """The file that a run reads: the one that is named, else the only one. `member`: where it can be named."""
    if path is not None:
        return get_file(dataset, path)
    found = files_of(dataset)
    if len(found) == 1:
        return found[0]
    named = ", ".join(file.path for file in found[:5]) + (" and others" if len(found) > 5 else "")
    raise Invalid(
        f"{dataset} has {len(found)} files, and a run reads the rows of one: {named}.",
        hint=f"Name one in {member!r}." if member else "Register that file as a dataset version of its own.",
        code="data-of-several-files",
    )


def judging_file(run: Run) -> DataFile:
    """The file whose rows the run judges by."""
    return rows_file(run.judging_data, run.evaluation_file)


def rows_are_here(dataset: DatasetVersion) -> bool:
    """Whether its bytes are ours and stored."""
    return all_here(dataset)


# --- what a version is compared with ---


def base_of(caller: Caller, version: ModelVersion) -> ModelVersion | None:
    """What the version was derived from, where our own run did it or somebody says so, and it can be run beside it.

    For what began as a student, the parent of the run that made it.
    """
    edges = Edge.objects.filter(child=version, role=EdgeRole.BASE, parent__isnull=False).select_related("parent__model")
    best = sorted(edges, key=lambda edge: (_GRADES.index(Grade(edge.grade)), edge.pk))
    if not best and (maker := _taught_by(version)) is not None:
        return maker if _comparable(caller, version, maker) else None
    return next((e.parent for e in best if e.parent is not None and _comparable(caller, version, e.parent)), None)


def _taught_by(version: ModelVersion) -> ModelVersion | None:
    """The parent of the run that made the version from a student: no base of it, and still what it is to be like."""
    made = Run.objects.filter(child=version, kind="compression", state="succeeded", student__isnull=False)
    run = made.select_related("parent__model").order_by("finished_at", "pk").first()
    return None if run is None else run.parent


def incumbent_of(
    caller: Caller, model: RegisteredModel, version: ModelVersion | None, alias: str | None
) -> ModelVersion | None:
    """What the alias serves, other than the version. Where no alias is named: of `production`, if that can be run beside it."""
    found = standing.incumbent_of(model, alias or standing.DEFAULT_ALIAS)
    if alias is None:
        return found if found is not None and _comparable(caller, version, found) else None
    if found is None:
        raise Conflict(
            f"{model}@{alias} serves nothing now.",
            hint="Name an alias that serves a version, or leave the incumbent out.",
            code="no-incumbent",
        )
    if version is not None and found.pk == version.pk:
        raise Invalid(
            f"{model}@{alias} serves {version} itself, so there is nothing to compare it with.",
            hint="Leave the incumbent out, or name another alias.",
            code="incumbent-is-version",
        )
    check_version(caller, found)
    return found


def first_of(caller: Caller, model: RegisteredModel, version: ModelVersion | None) -> ModelVersion | None:
    """The first version of the line that was ever granted an approval, other than the version, if it can be run beside it."""
    found = standing.first_of(model)
    return found if found is not None and _comparable(caller, version, found) else None


def _comparable(caller: Caller, version: ModelVersion | None, other: ModelVersion) -> bool:
    if version is None and taken_as(other) != taken.ONNX:  # what a run makes and judges is ONNX
        return False
    if version is not None and (other.pk == version.pk or taken_as(other) != taken_as(version)):
        return False
    return (
        permissions.may(caller.actor_id, "version.download", other.model.team_id)
        and _missing(other) is None
        and other.artifacts.filter(role="weights").count() == 1
        and _unknown_architecture(other) is None
    )


# --- what a version saw ---


def seen_by(version: ModelVersion) -> list[Edge]:
    """The edges to data anywhere in the lineage of the version, its own included: whatever shaped the weights."""
    return [edge for edge in catalog.load_ancestors(version).edges if edge.role == EdgeRole.DATA]


def refuse_seen(run: Run, judged: Iterable[tuple[DatasetVersion, DataFile]]) -> None:
    """Invalid (`evaluation-seen`) when data to judge by is data that shaped what the run is about, or an ancestor of it."""
    seen = [(version, _digests_seen(seen_by(version))) for version in _made_from(run)]
    for (dataset, file), (version, digests) in itertools.product(judged, seen):
        if not digests.isdisjoint({dataset.bound_digest, file.digest}):
            raise Invalid(
                f"{dataset} stands in the lineage of {version} as data that it was made with.",
                hint="Judge it on rows that it never saw; or allow it (allow_seen), and every figure will say so.",
                code="evaluation-seen",
            )


def _digests_seen(edges: Iterable[Edge]) -> set[str]:
    """What the edges name, and the files of what of it has several."""
    named = list(edges)
    versions = {edge.dataset_version.pk: edge.dataset_version for edge in named if edge.dataset_version is not None}
    return {edge.parent_digest for edge in named}.union(*file_digests(versions.values()).values())


def _made_from(run: Run) -> list[ModelVersion]:
    """The judged version of an evaluation; of a compression whatever its child learns from and begins as."""
    return [version for version in (run.parent, run.teacher, run.student) if version is not None]


def _seen_in(run: Run) -> list[Edge]:
    return [edge for version in _made_from(run) for edge in seen_by(version)]


def judging_rows_seen(run: Run) -> bool:
    """Whether the rows that the run judges by stand in the lineage of the judged version as data that it was made with."""
    judged = {judging_file(run).digest, run.judging_data.bound_digest}
    return not judged.isdisjoint(_digests_seen(_seen_in(run)))


def rows_seen(run: Run) -> dict[str, str]:
    """The stored files whose rows the judged version saw, as far as who asked may read them: digest by name.

    Calibration rows of a compression stand not here: the engine itself looks for them where a step uses them. A file is called by
    its digest: a failure quotes the name to every reader of the run, and the lineage says to each of them what he may know of it.
    """
    teams = readable_team_ids(run.requested_by_id)
    edges = _seen_in(run)
    shown = [e.dataset_version for e in edges if e.dataset_version is not None]
    read = [row for row in shown if rows_are_here(row) and (teams is None or row.dataset.team_id in teams)]
    digests = set().union(*file_digests(read).values())
    if judging_rows_seen(run):
        digests.add(
            judging_file(run).digest
        )  # the lineage is open by digest: the same rows are known to be seen, whoever owns them
    return {digest.replace(":", "-")[:_NAME_CHARACTERS]: digest for digest in sorted(digests)}

"""What a run may work on: versions whose bytes are here, rows that are declared for the use, rows that the model never saw.

Rules:
- the caller may read what a run reads; weights of another team stand beside a version only where the caller may download them;
- what stands in the lineage of a version as data shaped it: rows with the same digest are not used to judge it, unless it is said;
- rows of another team are never laid beside the caller's: how many of them agree would tell who is in that data.
"""

from __future__ import annotations

from collections.abc import Iterable

from registry import storage
from registry.access import permissions
from registry.access.queries import get_readable, readable_team_ids
from registry.catalog import queries as catalog
from registry.catalog.models import Edge, EdgeRole, Grade, ModelVersion, RegisteredModel
from registry.compression import standing
from registry.compression.models import Run
from registry.errors import BytesDiffer, Conflict, Invalid
from registry.events import Caller
from registry.provenance.models import DatasetVersion, Source
from registry.provenance.stated import stated_in

_NAME_CHARACTERS = 31  # sha256- and 24 digits
_GRADES = (Grade.REDERIVED, Grade.EXECUTED, Grade.DECLARED)


def check_version(caller: Caller, version: ModelVersion) -> None:
    """The caller may read it, and all its bytes are here."""
    get_readable(ModelVersion.objects.all(), caller, team="model__team", pk=version.pk)
    missing = _missing(version)
    if missing is not None:
        raise BytesDiffer(
            f"The bytes of {missing} are not stored here any more.",
            hint="They were purged or lost; restore them, or choose another version.",
        )
    weights = version.artifacts.filter(role="weights").count()
    if weights != 1:
        raise Invalid(
            f"The version has {weights} files of weights; the engine takes models of one file.",
            hint="Register the model with its weights in one file.",
            code="weights-not-single",
        )


def _missing(version: ModelVersion) -> str | None:
    artifacts = version.artifacts.order_by("path")
    return next((a.path for a in artifacts if version.purged_at is not None or not storage.is_stored(a.digest)), None)


def check_data(caller: Caller, dataset: DatasetVersion, use: str) -> None:
    """The caller may read it, it is declared for this use, and its bytes are here."""
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


def rows_are_here(dataset: DatasetVersion) -> bool:
    """Whether its bytes are ours and stored."""
    return dataset.source == Source.MEASURED and dataset.purged_at is None and storage.is_stored(str(dataset.digest))


# --- what a version is compared with ---


def base_of(caller: Caller, version: ModelVersion) -> ModelVersion | None:
    """What the version was derived from, where our own run did it or somebody says so, and it can be run beside it."""
    edges = Edge.objects.filter(child=version, role=EdgeRole.BASE, parent__isnull=False).select_related("parent__model")
    best = sorted(edges, key=lambda edge: (_GRADES.index(Grade(edge.grade)), edge.pk))
    return next((e.parent for e in best if e.parent is not None and _comparable(caller, version, e.parent)), None)


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
    if version is not None and (other.pk == version.pk or other.format != version.format):
        return False
    return (
        permissions.may(caller.actor_id, "version.download", other.model.team_id)
        and _missing(other) is None
        and other.artifacts.filter(role="weights").count() == 1
    )


# --- what a version saw ---


def seen_by(version: ModelVersion) -> list[Edge]:
    """The edges to data anywhere in the lineage of the version, its own included: whatever shaped the weights."""
    return [edge for edge in catalog.load_ancestors(version).edges if edge.role == EdgeRole.DATA]


def refuse_seen(version: ModelVersion, datasets: Iterable[DatasetVersion | None]) -> None:
    """Invalid (`evaluation-seen`) when data to judge by is data that shaped the version or an ancestor of it."""
    seen = {edge.parent_digest for edge in seen_by(version)}
    for dataset in datasets:
        if dataset is not None and dataset.bound_digest in seen:
            raise Invalid(
                f"{dataset} stands in the lineage of {version} as data that it was made with.",
                hint="Judge it on rows that it never saw; or allow it (allow_seen), and every figure will say so.",
                code="evaluation-seen",
            )


def rows_seen(run: Run) -> dict[str, str]:
    """The stored files whose rows the judged version saw, as far as who asked may read them: digest by name.

    Calibration rows of a compression stand not here: the engine itself looks for them where a step uses them. A file is called by
    its digest: a failure quotes the name to every reader of the run, and the lineage says to each of them what he may know of it.
    """
    teams = readable_team_ids(run.requested_by_id)
    edges = seen_by(run.parent)
    shown = [e.dataset_version for e in edges if e.dataset_version is not None]
    read = [row for row in shown if rows_are_here(row) and (teams is None or row.dataset.team_id in teams)]
    digests = {str(row.digest) for row in read}
    judged = run.judging_data.bound_digest
    if any(edge.parent_digest == judged for edge in edges):
        digests.add(judged)  # the lineage is open by digest: the same rows are known to be seen, whoever owns them
    return {digest.replace(":", "-")[:_NAME_CHARACTERS]: digest for digest in sorted(digests)}

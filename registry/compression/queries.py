"""Reads of this room: recipes with their documents, runs with their logs and evidence. What may not be seen is not found."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from django.db.models import Q, QuerySet

from registry import storage
from registry.access.models import Team
from registry.access.queries import get_readable, readable, readable_team_ids
from registry.catalog import distributions
from registry.catalog.models import Evidence, ModelVersion, RegisteredModel
from registry.catalog.stated import stated_in
from registry.compression.models import Recipe, Run, RunKind, RunState
from registry.compression.results import EngineResult
from registry.compression.subjects import evidence_spec
from registry.digests import canonical, parse_canonical, sha256
from registry.errors import Forbidden, Invalid
from registry.events import Caller
from registry.provenance.models import DatasetVersion

_REFERENCE = re.compile(r"(?P<team>[^/@]+)/(?P<slug>[^/@]+)@(?P<number>[1-9][0-9]{0,8})")
_LOG_LIMIT_BYTES = 2 * 1024 * 1024
_RUN_ROWS = Run.objects.select_related(
    "model__team", "parent__model__team", "recipe__team", "evaluation__dataset__team", "calibration__dataset__team",
    "baseline__dataset__team", "out_of_distribution__dataset__team", "training__dataset__team", "teacher__model__team",
    "student__model__team",
    "base__model__team", "incumbent__model__team", "first__model__team", "rederives__model__team",
    "requested_by", "child__model__team", "failure",
)  # fmt: skip


def run_rows() -> QuerySet[Run]:
    """Runs with everything that they name."""
    return _RUN_ROWS.all()


def recipes_of_team(caller: Caller, team: Team) -> QuerySet[Recipe]:
    """The recipes of a team, newest first."""
    rows = Recipe.objects.select_related("team", "created_by").filter(team=team)
    return readable(rows, caller).order_by("-created_at", "-pk")


def get_recipe(caller: Caller, ref: str) -> Recipe:
    """A recipe by reference, `team/recipe@2`."""
    match = _REFERENCE.fullmatch(ref)
    if match is None:
        raise Invalid(f"{ref!r} names no recipe.", hint="Write team/recipe@NUMBER.", code="reference")
    rows = Recipe.objects.select_related("team", "created_by")
    return get_readable(rows, caller, team__slug=match["team"], slug=match["slug"], number=int(match["number"]))


def recipe_bytes(recipe: Recipe) -> bytes:
    """The canonical recipe document, checked against its digest."""
    return storage.read_bytes(recipe.digest)


def recipe_document(recipe: Recipe) -> dict[str, Any]:
    """The recipe document."""
    return cast(dict[str, Any], parse_canonical(recipe_bytes(recipe)))


def get_run(caller: Caller, run_id: uuid.UUID) -> Run:
    """A run by id."""
    return get_readable(_RUN_ROWS.all(), caller, team="model__team", pk=run_id)


def runs_of_model(caller: Caller, model: RegisteredModel) -> QuerySet[Run]:
    """The runs of a model, newest first."""
    return readable(_RUN_ROWS.filter(model=model), caller, team="model__team").order_by("-requested_at", "-pk")


def data_by_role(run: Run) -> dict[str, DatasetVersion | None]:
    """The data of the run by the engine's word for what they are there for."""
    return {
        "evaluation": run.evaluation, "calibration": run.calibration, "baseline": run.baseline,
        "out-of-distribution": run.out_of_distribution, "training": run.training,
    }  # fmt: skip


def require_log(caller: Caller, run: Run) -> None:
    """Forbidden where rows of a team were used that the caller may not read: a log quotes rows that are broken."""
    names = Names(caller)
    if not all(names.shows(data) for data in data_by_role(run).values() if data is not None):
        raise Forbidden(
            "The log of this run may quote data of a team that you may not read.",
            hint="Ask whoever requested the run, or for a role in the team of the data.",
        )


def run_log(run: Run) -> str:
    """What happened in the attempt that ended the run, for people; empty while it has not ended."""
    if run.log_digest is None:
        return ""
    return storage.read_bytes(run.log_digest, limit_bytes=_LOG_LIMIT_BYTES).decode(errors="replace")


def judged_version(run: Run) -> ModelVersion | None:
    """The version that the evidence of the run is about: the child, or the one that was measured."""
    return run.parent if run.kind == RunKind.EVALUATION else run.child


def carrier_of(run: Run) -> ModelVersion | None:
    """The version that the evidence of the run hangs on."""
    return run.rederives if run.kind == RunKind.REPLAY else judged_version(run)


def result_of(run: Run) -> EngineResult | None:
    """What the engine said last in this run: for an evaluation the figures, the rows and the broken ones."""
    if run.result_digest is None:
        return None
    raw = storage.read_bytes(run.result_digest)
    return EngineResult(raw, cast(dict[str, Any], parse_canonical(raw)))


def maker_of(version: ModelVersion) -> Run | None:
    """The run that made the version first."""
    runs = Run.objects.filter(child=version, kind=RunKind.COMPRESSION, state=RunState.SUCCEEDED)
    named = runs.select_related("parent__model__team", "recipe", "calibration__dataset")
    return named.order_by("finished_at", "pk").first()


def licence_for(run: Run) -> str | None:
    """The licence expression that the engine writes into what a run makes: what is stated today of whose weights it began as.

    A replay of what a run of ours made writes what that run wrote; None where that was before any was written.
    """
    maker = None if run.rederives is None else maker_of(run.rederives)
    recorded = None if maker is None else result_of(maker)
    if recorded is not None:
        return recorded.licence
    return str(stated_in(run.student or run.parent).licence)


def map_in(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """How each tensor of a version is stored, as our engine said in the first of these runs that tells it.

    `runs`: what made the version, or made it again; empty where none of their results has a map and is still stored.
    """
    ended = (run for run in runs if run.state == RunState.SUCCEEDED and run.result_digest)
    results = (result_of(run) for run in ended if storage.is_stored(str(run.result_digest)))
    return next((found for result in results if result is not None and (found := result.quantization_map)), [])


def evidence_of_run(run: Run) -> list[Evidence]:
    """The evidence of the run: what it brought in the unit in which it succeeded, and what it measured again to the byte."""
    version, result = carrier_of(run), result_of(run)
    if run.state != RunState.SUCCEEDED or version is None:
        return []
    again = [] if result is None else [evidence_spec(run, version, result, row).document for row in result.evidence]
    digests = [sha256(canonical(document)) for document in again]
    brought = Q(created_at=run.finished_at) | Q(digest__in=digests)
    mine = Evidence.objects.filter(version=version).select_related("dataset_version__dataset")
    rows = list(mine.filter(brought).order_by("kind", "pk"))
    if run.kind != RunKind.REPLAY and all(
        row.kind != distributions.KIND for row in rows
    ):  # the same counts over the same rows stood there already
        counted = mine.filter(kind=distributions.KIND, created_at__lt=run.finished_at)
        rows += counted.filter(dataset_version__digest=run.distribution_data.digest).order_by("-created_at", "-pk")[:1]
    return sorted(rows, key=lambda row: (row.kind, row.pk))


Material = ModelVersion | DatasetVersion | Recipe


class Names:
    """What a run's parent, data and recipe are called for a reader: by name, or by digest where they are of another team."""

    def __init__(self, caller: Caller) -> None:
        self._teams = readable_team_ids(caller.actor_id)

    def shows(self, row: Material) -> bool:
        """Whether the reader may know the name."""
        return self._teams is None or _team_id(row) in self._teams

    def reference(self, row: Material | None) -> str | None:
        """`team/name@3`, or what stands for it."""
        if row is None:
            return None
        if not self.shows(row):
            return self.reduced(row)
        if isinstance(row, ModelVersion):
            return str(row)
        return f"{row.dataset.team.slug if isinstance(row, DatasetVersion) else row.team.slug}/{row}"

    def evaluation_file(self, run: Run) -> str | None:
        """The file whose rows were judged by, where one was chosen; its path only for readers of the data."""
        return run.evaluation_file if run.evaluation is not None and self.shows(run.evaluation) else None

    def broken_rows(self, data: DatasetVersion | None, broken: Sequence[str]) -> list[str]:
        """Which rows could not be used; why, only for readers of the data: a reason quotes what stands in a row."""
        if data is not None and self.shows(data):
            return list(broken)
        return [name.partition(":")[0] for name in broken]

    def unlisted_labels(self, data: DatasetVersion | None, found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Labels that are none of the plan's classes; without the word for those who may not read the data."""
        shown = data is not None and self.shows(data)
        return [{"label": entry["label"] if shown else None, "rows": entry["rows"]} for entry in found]

    @staticmethod
    def reduced(row: Material) -> str:
        """What stands for a thing whose name is not shown."""
        digest = row.bound_digest if isinstance(row, DatasetVersion) else row.digest
        return f"of another team ({digest[:19]})"


def _team_id(row: Material) -> uuid.UUID:
    if isinstance(row, ModelVersion):
        return row.model.team_id
    return row.dataset.team_id if isinstance(row, DatasetVersion) else row.team_id


def ended_at_step(run: Run, result: EngineResult, names: Names) -> str:
    """Which step broke the budget of the run, and by how much, the figures only for readers of the data; empty where none did."""
    ended = (result.document.get("budget") or {}).get("ended")
    if ended is None:
        return ""
    if run.evaluation is not None and names.shows(run.evaluation):
        return str(ended["plain"])
    said = [f"Step {ended['step']} ({ended['method']}) broke the budget."]
    said += [f"Undone with it: {', '.join(ended['undone'])}."] if ended["undone"] else []
    said += [f"Not done any more: {', '.join(ended['not_done'])}."] if ended["not_done"] else []
    return " ".join(said)

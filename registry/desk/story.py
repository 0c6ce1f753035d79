"""A version's story on one screen: from what, by which steps, measured how, allowed by whom, where live, and the proof."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from audit.models import Assessment, Bundle
from registry import storage
from registry.catalog.models import Artifact, ModelVersion
from registry.catalog.queries import evidence_set
from registry.compression import queries as compression
from registry.compression import replays
from registry.compression.models import Run
from registry.compression.services_replays import base_for_replay
from registry.desk import queries
from registry.desk.allowed import Allowed, allowed_of, limits_of
from registry.desk.evaluations import Said, said_first
from registry.desk.measured import Evidences, measured_of
from registry.desk.origins import Origins, origins_of
from registry.desk.sealed import Proof, proof_of
from registry.desk.stored_tensors import StoredTensors, stored_tensors
from registry.events import Caller
from registry.monitoring import queries as monitoring
from registry.monitoring.models import Incident, Monitor
from registry.release.models import AliasAssignment

_REPLAYS_SHOWN = 5


@dataclass(frozen=True)
class Replayed:
    """A run that made the version again: its outcome in a word and in a sentence, once it is known."""

    run: Run
    outcome: str | None
    said: str


@dataclass(frozen=True)
class Steps:
    """How it was made: the run and the recipe, or the upload."""

    run: Run | None
    recipe: Sequence[Any]
    files: Sequence[Artifact]
    measured_by: Sequence[Run]
    """Runs that only measured it, newest first."""
    replays: Sequence[Replayed] = ()
    """How often it was made again, newest first."""
    stored: StoredTensors | None = None
    """How its tensors are stored, as our engine said; None where it has said nothing."""
    made_elsewhere: bool = False
    """Whether its lineage names one version here as its base: then it can be made again by the recipe that somebody states."""

    @property
    def evaluations(self) -> list[Run]:
        """Every run that brought evidence about it, newest first."""
        made = [self.run] if self.run is not None else []
        return sorted([*self.measured_by, *made], key=lambda run: run.pk, reverse=True)


@dataclass(frozen=True)
class Served:
    """A stretch of time in which an alias served the version; `ended_by` is the next move, None while it lasts."""

    move: AliasAssignment
    ended_by: AliasAssignment | None


@dataclass(frozen=True)
class Live:
    """Where it is served, where it was, and who watches."""

    served: Sequence[Served]
    monitors: Sequence[Monitor]
    open_incidents: Sequence[Incident]

    @property
    def serving(self) -> list[AliasAssignment]:
        """The moves by which it is live now."""
        return [stretch.move for stretch in self.served if stretch.ended_by is None]


@dataclass(frozen=True)
class Story:
    """Everything that the page shows."""

    version: ModelVersion
    origins: Origins
    steps: Steps
    evidence: Evidences
    evidence_set: str
    said: Said | None
    """The first lines of the newest evaluation."""
    allowed: Allowed
    live: Live
    proof: Proof
    assessments: Sequence[Assessment]
    bundles: Sequence[Bundle]

    @property
    def ratio(self) -> str:
        """How many times smaller than the parent, for the line at the top."""
        return self._shown("size", "size_ratio")

    @property
    def agreement(self) -> str:
        """How closely it answers like the parent, for the line at the top."""
        return self._shown("fidelity", "cosine_mean") or self._shown("fidelity", "top1_agreement")

    def _shown(self, kind: str, metric: str) -> str:
        view = self.evidence.figure(kind, metric)
        return view.row.shown if view and view.row.figure["value"] is not None else ""


def story_of(caller: Caller, version: ModelVersion) -> Story:
    """The story of a version that the caller may see."""
    allowed = allowed_of(version)
    stream = f"model:{version.model_id}"
    steps = _steps(caller, version)
    return Story(
        version=version,
        origins=origins_of(caller, version),
        steps=steps,
        evidence=measured_of(caller, version, limits_of(allowed.policy), steps.evaluations),
        evidence_set=evidence_set(version)[0],
        said=said_first(caller, version, steps.evaluations[0]) if steps.evaluations else None,
        allowed=allowed,
        live=_live(caller, version),
        proof=proof_of(stream, version.pk),
        assessments=list(Assessment.objects.filter(stream=stream).select_related("issued_by").order_by("-pk")[:5]),
        bundles=list(Bundle.objects.filter(subject=stream).select_related("issued_by", "version").order_by("-pk")[:5]),
    )


def _steps(caller: Caller, version: ModelVersion) -> Steps:
    runs = list(queries.runs(caller).filter(model=version.model_id, state="succeeded"))
    made = next((run for run in runs if run.child_id == version.pk), None)
    again = list(replays.replays_of(caller, version)[:_REPLAYS_SHOWN])
    return Steps(
        run=made,
        recipe=_recipe(made),
        files=list(version.artifacts.order_by("path")),
        measured_by=[run for run in runs if run.parent_id == version.pk and run.kind == "evaluation"],
        replays=[Replayed(run, replays.outcome_of(run), replays.said_of(run)) for run in again],
        stored=stored_tensors(compression.map_in([*filter(None, [made]), *again])),
        made_elsewhere=base_for_replay(version) is not None,
    )


def _recipe(run: Run | None) -> Sequence[Any]:
    """The steps of the recipe document, where it is still here."""
    if run is None or run.recipe is None or not storage.is_stored(run.recipe.digest):
        return []
    return list(compression.recipe_document(run.recipe)["steps"])


def _live(caller: Caller, version: ModelVersion) -> Live:
    return Live(
        served=_served(version),
        monitors=list(queries.monitors(caller).filter(model=version.model_id)),
        open_incidents=list(monitoring.open_incidents(caller).filter(window__version=version)),
    )


def _served(version: ModelVersion) -> list[Served]:
    """When which alias served the version, newest first: every move of the model's aliases, read once."""
    related = ("alias", "version__model__team", "assigned_by", "reason")
    moves = AliasAssignment.objects.filter(model=version.model_id).select_related(*related)
    following: dict[Any, AliasAssignment] = {}
    stretches = []
    for move in moves.order_by("-assigned_at", "-number"):
        if move.version_id == version.pk:
            stretches.append(Served(move, following.get(move.alias_id)))
        following[move.alias_id] = move
    return stretches

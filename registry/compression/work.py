"""Carries out a claimed run: calls the engine, checks what it wrote, and stores the bytes. No row is written here.

A compression is two calls: `compress`, and `observe` on the child beside its parent; an evaluation is `evaluate` and `observe`;
a replay is one, `replay`.
Whatever ends it early is raised: WorkFailed with a reason, or WorkHalted when the run may not go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from registry import storage
from registry.catalog.manifest import FileSpec, Manifest, check_manifest
from registry.catalog.models import Artifact, ModelVersion
from registry.compression.calling import Engine
from registry.compression.child import Limits
from registry.compression.heartbeat import Heartbeat
from registry.compression.job import EXTERNAL_DATA, WEIGHTS, Job, compared_with, learned_from, model_file, weights_of
from registry.compression.material import declaring_file, judging_file, rows_file
from registry.compression.models import Run, RunKind
from registry.compression.queries import data_by_role, licence_for
from registry.compression.replays import read_report
from registry.compression.results import (
    EngineResult,
    Expected,
    WorkFailed,
    distribution_evidence,
    read_distribution,
    read_result,
)
from registry.compression.rules import Failure
from registry.compression.taken import ONNX, goes_on
from registry.storage import Stored, chunks_of, store


@dataclass(frozen=True)
class Outcome:
    """What came out: the result, the manifest of the child (None for an evaluation), evidence without subjects."""

    result: EngineResult
    document: Stored
    manifest: Manifest | None
    evidence: list[dict[str, Any]]


class Work:
    """One attempt: the run, its folder, and the heartbeat that may halt it."""

    def __init__(self, run: Run, job: Job, heartbeat: Heartbeat) -> None:
        self._run = run
        self._job = job
        limits = Limits(settings.PRESSMARK_RUN_MEMORY_LIMIT_BYTES, settings.PRESSMARK_RUN_TIME_LIMIT_SECONDS)
        self._engine = Engine(job.folder, said=job.said, told=job.told, limits=limits, heartbeat=heartbeat)

    def carry_out(self) -> Outcome:
        """All of it, in order. Raises WorkFailed, WorkHalted, or a Problem when stored bytes are not as recorded."""
        self._job.prepare(self._run)
        self._engine.check_halt()
        if self._run.kind == RunKind.REPLAY:
            return self._replay()
        return self._compress() if self._run.kind == RunKind.COMPRESSION else self._evaluate()

    def _compress(self) -> Outcome:
        run, job = self._run, self._job
        assert run.recipe is not None
        weights = weights_of(run.parent)
        original = job.parent / model_file(run.parent).path
        arguments: list[object] = ["compress", original, "--recipe", job.recipe, "--output", job.output]
        arguments += ["--evaluation", job.data("evaluation"), *self._with_licence()]
        data = {}
        if run.calibration is not None:
            data["calibration"] = rows_file(run.calibration).digest
            arguments += ["--calibration", job.data("calibration")]
        if run.training is not None:
            data["training"] = rows_file(run.training).digest
        arguments += self._with_training()
        result = self._judge(arguments, data, job.output / "RESULT.json", weights.digest, None)
        child = job.output / result.output["path"]
        observed = self._observe(child, original)
        for file in result.made:
            self._store_file(job.output / file["path"], file["digest"])
        manifest = check_manifest(_files(run.parent, weights, result.made))
        return self._outcome(result, manifest, observed)

    def _with_training(self) -> list[object]:
        """What steps that train are handed, the folder that outlasts an attempt, and what every step must keep."""
        run, job = self._run, self._job
        given: list[object] = [] if run.training is None else ["--resume", job.resume]
        given += self._with_learned()
        for option, share in (("--at-least", run.at_least), ("--loses-at-most", run.loses_at_most)):
            given += [] if share is None else [option, share]
        return given

    def _with_learned(self) -> list[object]:
        """The rows and models that steps learn from."""
        run, job = self._run, self._job
        given: list[object] = [] if run.training is None else ["--training", job.data("training")]
        for role, version in learned_from(run).items():
            given += [f"--{role}", job.weights_beside(run, role, version)]
        return given

    def _evaluate(self) -> Outcome:
        run, job = self._run, self._job
        weights, target = weights_of(run.parent), job.folder / "RESULT.json"
        measured = job.parent / model_file(run.parent).path
        arguments: list[object] = ["evaluate", measured, "--data", job.data("evaluation"), "--output", target]
        original = base = None
        if run.base is not None:
            original, base = job.weights_beside(run, "base", run.base), weights_of(run.base).digest
            arguments += ["--parent", original]
        result = self._judge(arguments, {}, target, base, weights.digest)
        return self._outcome(result, None, self._observe(measured, original))

    def _replay(self) -> Outcome:
        run, job, target = self._run, self._job, self._job.folder / "replay.json"
        assert run.rederives is not None
        arguments: list[object] = [
            "replay",
            "--parent",
            job.parent / model_file(run.parent, carried=run.rederives.format == ONNX).path,
        ]
        arguments += [
            "--recipe",
            job.recipe,
            "--recorded",
            job.recorded / model_file(run.rederives, carried=False).path,
        ]
        arguments += ["--report", target, *self._with_licence()]
        if run.calibration is not None:
            arguments += ["--calibration", job.data("calibration")]
        arguments += self._with_learned()
        if run.plan_digest is not None:
            arguments += ["--plan", job.plan]
        if job.recorded_on.exists():
            arguments += ["--recorded-on", job.recorded_on]
        self._call(arguments)
        result = read_report(target, run)
        return Outcome(result, storage.store_bytes(result.raw), None, result.evidence)

    @cached_property
    def _licence(self) -> str | None:
        """The licence that is written into what is made, asked once: a correction in the meantime changes nothing of this run."""
        return licence_for(self._run)

    def _with_licence(self) -> list[object]:
        return [] if self._licence is None else ["--licence", self._licence]

    def _judge(
        self, arguments: list[object], data: dict[str, str], target: Path, parent: str | None, judged: str | None
    ) -> EngineResult:
        """The call with what both commands take: seed, plan, the versions beside, rows of other kinds, where answers are kept."""
        run, job = self._run, self._job
        data["evaluation"] = judging_file(run).digest
        arguments += ["--seed", run.seed, "--threads", 1, "--outputs", job.outputs, "--work", job.work]
        others = {role: version for role, version in compared_with(run).items() if role != "base"}
        for role, version in others.items():
            arguments += [f"--{role}", job.weights_beside(run, role, version)]
        if run.plan_digest is not None:
            arguments += ["--plan", job.plan]
        if run.price_sheet_digest is not None:
            arguments += ["--price-sheet", job.price_sheet]
        if run.out_of_distribution is not None:
            data["out-of-distribution"] = rows_file(run.out_of_distribution).digest
            arguments += ["--out-of-distribution", job.data("out-of-distribution")]
        if job.seen:
            arguments += ["--seen", *job.seen]
        if run.allow_seen:
            arguments += ["--allow-seen"]
        self._call(arguments)
        recipe = None if run.recipe is None else run.recipe.digest
        digests = {role: weights_of(version).digest for role, version in others.items()}
        licence = self._licence if run.kind == RunKind.COMPRESSION else None
        external = frozenset(artifact.digest for artifact in _external(run.parent)) if judged is None else frozenset()
        learned = {role: weights_of(version).digest for role, version in learned_from(run).items()}
        expected = Expected(
            parent, judged, recipe, data, digests, run.plan_digest, licence, external, learned, self._architectures()
        )
        result = read_result(target, expected)
        if result.outputs_file is not None:
            self._store_file(job.folder / result.outputs_file["path"], result.outputs_file["digest"])
        return result

    def _architectures(self) -> dict[str, str]:
        """The digests of the files that declare the architecture of tensors, by the role in which a result names the model."""
        run = self._run
        every = {"parent": run.original, "incumbent": run.incumbent, "first": run.first, "teacher": run.teacher}
        every |= {"student-start": run.student, "version": run.parent if run.kind == RunKind.EVALUATION else None}
        declared = {role: (one, declaring_file(one)) for role, one in every.items() if one is not None}
        if "teacher" not in declared and run.kind == RunKind.COMPRESSION:  # the parent teaches where nobody else does
            declared["teacher"] = declared["parent"]
        return {
            role: str(one.artifacts.get(path=path).digest) for role, (one, path) in declared.items() if path is not None
        }

    def _outcome(self, result: EngineResult, manifest: Manifest | None, observed: dict[str, Any]) -> Outcome:
        evidence = [*result.evidence, distribution_evidence(observed, result)]
        return Outcome(result, storage.store_bytes(result.raw), manifest, evidence)

    def _observe(self, measured: Path, original: Path | None) -> dict[str, Any]:
        target = self._job.folder / "distribution.json"
        beside = [] if original is None else ["--parent", original]
        data = self._job.data("evaluation" if self._run.baseline is None else "baseline")
        self._call(["observe", measured, *beside, "--data", data, "--output", target, "--threads", 1])
        return read_distribution(target)

    def _store_file(self, path: Path, expected: str) -> None:
        try:
            with path.open("rb") as source:
                store(chunks_of(source), expected=expected)
        except OSError as error:
            hint = "Look for a full disk, then request the run again."
            raise WorkFailed(Failure("output_lost", f"The output cannot be stored: {error.strerror}.", hint)) from error

    def _call(self, arguments: Sequence[object]) -> None:
        self._engine.call(arguments, foreign_data=self._uses_foreign_data)

    def _uses_foreign_data(self) -> bool:
        used = data_by_role(self._run).values()
        return any(data is not None and data.dataset.team_id != self._run.model.team_id for data in used)


def _external(version: ModelVersion) -> QuerySet[Artifact]:
    return version.artifacts.filter(role=EXTERNAL_DATA)


def _files(parent: ModelVersion, weights: Artifact, made: Sequence[dict[str, Any]]) -> list[FileSpec]:
    """The files of a child: its own, in the folder of the parent's weights, and the parent's other files as they are (`taken`)."""
    beside, declared = parent.artifacts.exclude(role__in=(WEIGHTS, EXTERNAL_DATA)), declaring_file(parent)
    folder = PurePosixPath(weights.path).parent
    return [
        *(FileSpec(str(folder / file["path"]), file["role"], file["digest"]) for file in made),
        *(
            FileSpec(artifact.path, artifact.role, artifact.digest)
            for artifact in beside
            if goes_on(artifact.path, declared)
        ),
    ]

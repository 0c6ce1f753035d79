"""The folder of one attempt: the recorded bytes go in, what the engine wrote comes out, and everything is thrown away after.

    parent/ ...            the files of the version under their manifest paths
    base/ incumbent/ first/  the files of the versions that it is compared with, where there are any
    teacher/ student/      the files of the versions that it learns from and begins as, where these were named
    recorded/ ...          of a replay: the files of the version that is made again
    recorded_on.json       of a replay of what a run of ours made: its result, which says on what processor
    data/evaluation        the rows; data/calibration, training, baseline and out-of-distribution where they were given
    seen/ ...              rows that the version was made with, so that the engine finds them among those it is judged on
    recipe.json plan.json price_sheet.json  the recipe, the plan of the evaluation, and what computing costs
    output/ result files   what the engine writes
    tmp/                   its only place for temporary files
    said.txt, told.jsonl   standard error, and what it said on standard output

Rules:
- a folder belongs to one attempt of one run; what an earlier, lost attempt left is read for the log and removed;
- rows that were answered once outlast an attempt, and so do finished steps and resume points of training: they lie in `work-<run>`
  and `resume-<run>` beside the folders until the run has ended; one worker at a time writes there;
- the log has a bound: of a talkative engine the beginning and the end are kept.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from registry import storage
from registry.catalog import queries as catalog
from registry.catalog.models import Artifact, ModelVersion
from registry.compression.material import declaring_file, rows_file, rows_seen
from registry.compression.models import Run
from registry.compression.queries import maker_of, recipe_bytes
from registry.compression.results import WorkFailed
from registry.compression.rules import Failure
from registry.compression.shards import FORMAT as SAFETENSORS
from registry.compression.shards import digest_of_shards, index_beside
from registry.errors import BytesDiffer
from registry.provenance.dataset_files import files_of
from registry.provenance.models import DatasetVersion

WEIGHTS = "weights"
EXTERNAL_DATA = "external_data"
LOG_LIMIT_BYTES = 1024 * 1024
_TAIL_BYTES = 64 * 1024
_WORK, _RESUME = "work-", "resume-"
_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


def weights_of(version: ModelVersion) -> Artifact:
    """The one file of weights; WorkFailed when there is none or several."""
    found = list(version.artifacts.filter(role=WEIGHTS))
    if len(found) != 1:
        message = f"The version has {len(found)} files of weights; the engine takes models of one file."
        raise WorkFailed(Failure("weights_not_single", message, "Register the model with its weights in one file."))
    return found[0]


@dataclass(frozen=True)
class ModelFile:
    """The file of a version that the engine is given: the weights, what declares their architecture, or the index of shards.

    The digest stands for the model: that of the weights, or of all shards.
    """

    path: str
    digest: str


def model_file(version: ModelVersion, *, carried: bool = True) -> ModelFile:
    """The one file of weights, what declares their architecture, or the index of shards; WorkFailed where there is none of them.

    `carried`: whether the engine is to take a model of torch as ONNX; else tensors in safetensors stay what they are.
    """
    weights = dict(version.artifacts.filter(role=WEIGHTS).values_list("path", "digest"))
    index = index_beside([*weights], [*version.artifacts.exclude(role=WEIGHTS).values_list("path", flat=True)])
    if version.format != SAFETENSORS or len(weights) < 2 or index is None:
        found = weights_of(version)
        return ModelFile((declaring_file(version) if carried else None) or found.path, found.digest)
    return ModelFile(index, digest_of_shards(weights | {index: version.artifacts.get(path=index).digest}))


class Job:
    """The folder and the places in it."""

    def __init__(self, run: Run) -> None:
        root = Path(settings.PRESSMARK_RUNS)
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.earlier = _remove_earlier(root, run.pk)
        self.folder = root / f"{run.pk}-{run.attempt}-{uuid.uuid4().hex[:8]}"
        self.folder.mkdir(mode=0o700)
        self.parent = self.folder / "parent"
        self.output = self.folder / "output"
        self.recorded = self.folder / "recorded"
        self.recorded_on = self.folder / "recorded_on.json"
        self.recipe = self.folder / "recipe.json"
        self.plan = self.folder / "plan.json"
        self.price_sheet = self.folder / "price_sheet.json"
        self.outputs = self.folder / "outputs.safetensors"
        self.work = root / f"{_WORK}{run.pk}"
        self.resume = root / f"{_RESUME}{run.pk}"
        self.seen: list[Path] = []
        self._held: int | None = None
        self.said = self.folder / "said.txt"
        self.told = self.folder / "told.jsonl"

    def prepare(self, run: Run) -> None:
        """Put in what the engine will read; NotFound when bytes are not stored here any more."""
        self.parent.mkdir()
        catalog.materialise(run.parent, self.parent)
        if run.recipe is not None:
            self.recipe.write_bytes(recipe_bytes(run.recipe))
        for digest, target in ((run.plan_digest, self.plan), (run.price_sheet_digest, self.price_sheet)):
            if digest is not None:
                target.write_bytes(storage.read_bytes(digest))
        (self.folder / "data").mkdir()
        if run.rederives is not None:
            self._prepare_replay(run, run.rederives)
            return
        given = {
            "evaluation": run.evaluation, "calibration": run.calibration, "baseline": run.baseline,
            "out-of-distribution": run.out_of_distribution, "training": run.training,
        }  # fmt: skip
        for use, dataset in given.items():
            if dataset is not None:
                file = rows_file(dataset, run.evaluation_file if use == "evaluation" else None)
                place_rows(str(dataset), file.digest, self.data(use))
        self._prepare_judging(run)

    def _prepare_replay(self, run: Run, version: ModelVersion) -> None:
        """Beside the parent: the version that is made again, and the rows that its steps looked at."""
        self.recorded.mkdir()
        catalog.materialise(version, self.recorded)
        maker = maker_of(version)
        if maker is not None and maker.result_digest is not None and storage.is_stored(maker.result_digest):
            self.recorded_on.write_bytes(storage.read_bytes(maker.result_digest))
        if run.calibration is not None:
            place_rows(str(run.calibration), rows_file(run.calibration).digest, self.data("calibration"))
        if run.training is not None:
            place_rows(str(run.training), rows_file(run.training).digest, self.data("training"))
        self._place_beside(run, learned_from(run))

    def _place_beside(self, run: Run, versions: Mapping[str, ModelVersion]) -> None:
        """The files of other versions, each in the folder of its role; the parent lies there already."""
        for role, version in versions.items():
            if version.pk != run.parent_id:
                (self.folder / role).mkdir()
                catalog.materialise(version, self.folder / role)

    def _prepare_judging(self, run: Run) -> None:
        """Beside the version: those that it is compared with, and the rows that it saw."""
        self._place_beside(run, compared_with(run) | learned_from(run))
        (self.folder / "seen").mkdir()
        for name, digest in rows_seen(run).items():
            self.seen.append(self.folder / "seen" / name)
            place_rows(name, digest, self.seen[-1])
        self._hold_work(trains=run.training_id is not None)

    def _hold_work(self, *, trains: bool) -> None:
        """Go on with the rows that an earlier attempt answered, unless a worker that was given up still has its hand on them."""
        self.work.mkdir(exist_ok=True, mode=0o700)
        self._held = os.open(self.work, os.O_RDONLY)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.work, self.resume = self.folder / "work", self.folder / "resume"
            self.work.mkdir()
        if trains:
            self.resume.mkdir(exist_ok=True, mode=0o700)

    def weights_beside(self, run: Run, role: str, version: ModelVersion) -> Path:
        """The file of a version that is compared with: in the folder of the parent where it is the parent."""
        folder = self.parent if version.pk == run.parent_id else self.folder / role
        return folder / model_file(version).path

    def data(self, use: str) -> Path:
        """The rows for a use; the engine tells their format by their content."""
        return self.folder / "data" / use

    def log(self, heading: str) -> bytes:
        """What happened, for people: kept with the run."""
        parts = [("", heading.encode()), ("Earlier attempts", self.earlier)]
        parts += [("What the engine told (JSON lines)", _read(self.told)), ("What it said", _read(self.said))]
        shown = [f"== {title} ==\n".encode() + text if title else text for title, text in parts if text]
        return _bounded(b"\n".join(text.rstrip(b"\n") + b"\n" for text in shown), LOG_LIMIT_BYTES)

    def remove(self) -> None:
        """Throw everything of this attempt away."""
        if self._held is not None:
            os.close(self._held)
            self._held = None
        shutil.rmtree(self.folder, ignore_errors=True)


def compared_with(run: Run) -> dict[str, ModelVersion]:
    """The versions that the judged one is compared with by name of their folder, beside a compression's own parent."""
    found = {"base": run.base, "incumbent": run.incumbent, "first": run.first}
    return {role: version for role, version in found.items() if version is not None}


def learned_from(run: Run) -> dict[str, ModelVersion]:
    """The versions that steps which train are handed, by name of their folder and of the engine's option."""
    found = {"teacher": run.teacher, "student": run.student}
    return {role: version for role, version in found.items() if version is not None}


def sweep_work(ended: Callable[[list[uuid.UUID]], set[uuid.UUID]]) -> None:
    """Remove the answered rows and the resume points of runs that have ended, wherever and however they did."""
    for prefix in (_WORK, _RESUME):
        folders = {
            uuid.UUID(name): folder
            for folder in Path(settings.PRESSMARK_RUNS).glob(f"{prefix}*")
            if _RUN_ID.match(name := folder.name.removeprefix(prefix))
        }
        for run_id in ended(list(folders)):
            shutil.rmtree(folders[run_id], ignore_errors=True)


def place_data(dataset: DatasetVersion, target: Path) -> None:
    """All rows of a state of data: a file or, where it has several, a folder of them under their paths."""
    files = files_of(dataset)
    if len(files) == 1:
        place_rows(str(dataset), files[0].digest, target)
        return
    for file in files:
        (target / file.path).parent.mkdir(parents=True, exist_ok=True)
        place_rows(f"{dataset}, {file.path}", file.digest, target / file.path)


def place_rows(name: str, digest: str, target: Path) -> None:
    """A copy, so that nothing that the engine does reaches the store; BytesDiffer when the rows are not what they were."""
    hasher = hashlib.sha256()
    with storage.open_stored(digest) as source, target.open("xb") as copy:
        for chunk in storage.chunks_of(source):
            hasher.update(chunk)
            copy.write(chunk)
    if f"sha256:{hasher.hexdigest()}" != digest:
        raise BytesDiffer(
            f"The stored rows of {name} ({digest}) have changed.",
            hint="Restore the file from a backup; nothing was used.",
        )


def _remove_earlier(root: Path, run_id: uuid.UUID) -> bytes:
    """Remove what lost attempts left; the end of what their engines said is returned."""
    kept = []
    for folder in sorted(root.glob(f"{run_id}-*")):
        said = _read(folder / "said.txt")[-_TAIL_BYTES:]
        kept.append(f"{folder.name.removeprefix(f'{run_id}-')}: lost with its worker\n".encode() + said)
        shutil.rmtree(folder, ignore_errors=True)
    return b"\n".join(kept)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as source:
            size = os.fstat(source.fileno()).st_size
            if size > 2 * LOG_LIMIT_BYTES:
                head = source.read(LOG_LIMIT_BYTES // 2)
                source.seek(-LOG_LIMIT_BYTES // 2, os.SEEK_END)
                return head + b"\n[...]\n" + source.read()
            return source.read()
    except OSError:
        return b""


def _bounded(text: bytes, limit_bytes: int) -> bytes:
    if len(text) <= limit_bytes:
        return text
    half = limit_bytes // 2
    return text[:half] + f"\n[... {len(text) - 2 * half} bytes left out ...]\n".encode() + text[-half:]

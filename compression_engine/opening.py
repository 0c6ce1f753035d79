"""Opens models by the roles in which they are compared, and the rows in the form that all of them take.

Rules:
- a file is inspected before the runtime opens it;
- all models of one evaluation take and give the same; a child that does not is refused, an earlier version that does not cannot
  be compared;
- the tokenizer lies beside the version, else beside one of the others; one file in two of the other roles is opened once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compression_engine.answers.outputs import FIRST, INCUMBENT, PARENT, VERSION
from compression_engine.canonical import JSON, digest_of_stream
from compression_engine.data import Encoder, Rows, read_rows
from compression_engine.errors import DataError, EngineError, OutputRefused
from compression_engine.formats import onnx_io
from compression_engine.plan import Plan
from compression_engine.runtime import CPU, Model

TOKENIZER_NAME = "tokenizer.json"
Signature = list[tuple[str, str, tuple[Any, ...]]]
_WHAT = {PARENT: "The original", INCUMBENT: "The incumbent", FIRST: "The first approved version"}


@dataclass(frozen=True)
class ModelFile:
    """A model's weights as they lie on disk; the size includes external data."""

    path: Path
    digest: str
    size_bytes: int
    external: tuple[tuple[str, str], ...]
    """Names and digests of the files with external data."""
    carried: Mapping[str, JSON] | None = None
    """How a result names the model of torch that this is the ONNX form of (see `carrying`)."""

    def record(self) -> dict[str, JSON]:
        """How a result names it."""
        if self.carried is not None:
            return dict(self.carried)
        return {"digest": self.digest, "path": self.path.name, "size_bytes": self.size_bytes}

    @property
    def given_digest(self) -> str:
        """By which results and children name it: that of the torch file, where it is a form of one."""
        return str(self.record()["digest"])

    @property
    def content(self) -> str:
        """What tells the whole model apart from another one."""
        return " ".join([self.digest, *(digest for _, digest in self.external)])


@dataclass(frozen=True)
class Opened:
    """The models by role, and the rows as all of them take them."""

    files: Mapping[str, ModelFile]
    models: Mapping[str, Model]
    encoder: Encoder
    tokenizer: Path | None


def model_file(given: Path) -> ModelFile:
    """Digest and size of a model, looked at before it is opened; raises EngineError (not_found, format_unknown), FileRefused."""
    path = onnx_io.weights_file(given)
    inspection = onnx_io.inspect_model(path)
    if inspection.format != "onnx":
        message = f"{path.name} is {inspection.format}; this version runs ONNX."
        raise EngineError("format_unknown", message, "Export the model to ONNX.")
    beside = [path.parent / name for name in inspection.external_files]
    size_bytes = path.stat().st_size + sum(other.stat().st_size for other in beside)
    external = tuple((other.name, _digest(other)) for other in beside)
    return ModelFile(path, _digest(path), size_bytes, external)


def model_files(given: Mapping[str, Path | None]) -> dict[str, ModelFile]:
    """The files of those models that are given, by role; raises EngineError."""
    return {role: model_file(path) for role, path in given.items() if path is not None}


def other_records(files: Mapping[str, ModelFile]) -> list[dict[str, JSON]]:
    """How a result names the incumbent and the first approved version."""
    return [files[role].record() | {"role": role} for role in (INCUMBENT, FIRST) if role in files]


def open_models(
    files: Mapping[str, ModelFile], rows: Rows, plan: Plan | None, threads: int, provider: str = CPU
) -> Opened:
    """Opens every model, refuses those that do not fit, and encodes the rows. Raises EngineError."""
    child = "The compressed model" if PARENT in files else "The model"
    opened: dict[str, Model] = {}
    known: dict[str, Model] = {}
    # the originals first: where a file is broken, it is said of the one that the others rest on
    for role in sorted(files, key=lambda role: role == VERSION):
        content = f"{files[role].content} {role if role == VERSION else ''}"
        if content not in known:
            known[content] = Model(files[role].path, threads, what=_WHAT.get(role, child), provider=provider)
        opened[role] = known[content]
    models = {role: opened[role] for role in files}
    check_signatures(models)
    tokenizer = _tokenizer([file.path for file in files.values()])
    encoder = Encoder(rows, models[VERSION].inputs(), tokenizer, plan)
    return Opened(files, models, encoder, tokenizer)


def other_rows(opened: Opened, path: Path, plan: Plan | None) -> Encoder:
    """Rows of another file without their labels and slices, encoded in the same way; raises DataError."""
    bare = (
        None
        if plan is None
        else replace(plan, task="none", label=None, blank=None, slices=(), protected=(), favourable=None)
    )
    rows = read_rows(path, bare)
    try:
        return Encoder(rows, opened.models[VERSION].inputs(), opened.tokenizer, bare)
    except DataError as error:
        raise DataError(error.code, f"{path.name}: {error.message}", error.hint) from error


def open_pair(child: Path, parent: Path | None, rows: Rows, threads: int) -> tuple[Model, Model | None, Encoder]:
    """Opens a model and its parent, and the rows in the form that both take; raises EngineError."""
    original = None if parent is None else Model(parent, threads, what=_WHAT[PARENT])
    model = Model(child, threads, what="The model" if parent is None else "The compressed model")
    if original is not None:
        check_signatures({VERSION: model, PARENT: original})
    tokenizer = _tokenizer([child] if parent is None else [child, parent])
    return model, original, Encoder(rows, model.inputs(), tokenizer)


def check_signatures(models: Mapping[str, Model]) -> None:
    """All take and give the same; raises OutputRefused where child and parent do not, DataError (models_differ)."""
    version = models[VERSION]
    for role, model in models.items():
        if role == PARENT and not _same_ports(model, version):
            hint = "A child takes and gives what its parent does; compare it with the model that it came from."
            raise OutputRefused("output_does_not_run", "Inputs or outputs differ from the original's.", hint)
        if role != PARENT and not _fit(model.signature, version.signature):
            hint = "Compare versions that take and give the same, or evaluate without it."
            message = f"{model.what} takes or gives something else than {version.what.lower()}."
            raise DataError("models_differ", message, hint)


def _same_ports(one: Model, other: Model) -> bool:
    """What the runtime says of both; where it infers other sizes from the same declared ones, what was declared counts.

    How free axes are called says nothing: a student of another exporter has other names for them.
    """
    if _unnamed(one.signature) == _unnamed(other.signature):
        return True
    if [entry[:2] for entry in one.signature] != [entry[:2] for entry in other.signature]:
        return False
    ours, theirs = (onnx_io.inspect_model(model.path) for model in (one, other))
    return (ours.inputs, ours.outputs) == (theirs.inputs, theirs.outputs)


def _unnamed(signature: Signature) -> Signature:
    return [
        (name, kind, tuple(size if isinstance(size, int) else None for size in shape))
        for name, kind, shape in signature
    ]


def _fit(ours: Signature, theirs: Signature) -> bool:
    """Whether names and types are the same, and sizes wherever both are fixed."""
    if [entry[:2] for entry in ours] != [entry[:2] for entry in theirs]:
        return False
    return all(_same_shape(a[2], b[2]) for a, b in zip(ours, theirs, strict=True))


def _same_shape(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    pairs = zip(a, b, strict=False)
    return len(a) == len(b) and all(x == y or not (isinstance(x, int) and isinstance(y, int)) for x, y in pairs)


def _tokenizer(paths: list[Path]) -> Path | None:
    found = (path.parent / TOKENIZER_NAME for path in paths)
    return next((path for path in found if path.is_file()), None)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return digest_of_stream(file)

"""The door: a model of torch is carried to ONNX when it comes in, and everything behind works on that form.

Rules:
- what is carried: a `.pt2` archive (`torch.export.save`), or `model.safetensors` with an architecture declared beside it, by giving
  `config.json` or `architecture.json` (or a folder with the latter). Every other file goes on as before;
- the file is inspected before it is read; while it is read nothing can be unpickled (`nothing_unpickled`);
- the ONNX form lies in a folder that goes with the call, with the tokenizer beside it;
- a result names the torch file as the parent, and beside it the ONNX form (`carried`: digest, size, what wrote it): the same
  file, the same torch and the same engine give the same form.
Torch is imported only where something is carried.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compression_engine.canonical import JSON, digest_of, digest_of_stream
from compression_engine.data import Rows
from compression_engine.errors import EngineError
from compression_engine.formats import onnx_io
from compression_engine.inspect import inspect_file
from compression_engine.limits import scratch
from compression_engine.opening import TOKENIZER_NAME, ModelFile
from compression_engine.plan import Plan
from compression_engine.result import Evidence, Measurement

if TYPE_CHECKING:
    from compression_engine.carrying.to_onnx import Source

ARCHIVE, CONFIG, OWN, WEIGHTS = ".pt2", "config.json", "architecture.json", "model.safetensors"
KIND, METHOD = "carried", "carried_agreement"


@dataclass(frozen=True)
class Carried:
    """A torch model and its ONNX form at `path`; `record` is how a result names it."""

    path: Path
    record: dict[str, JSON]
    source: Source

    def named(self, loaded: onnx_io.Loaded) -> onnx_io.Loaded:
        """The ONNX form under the digest of the torch file, which is what it is a form of."""
        return replace(loaded, digest=str(self.record["digest"]))

    def agreement(
        self, rows: Rows | None, plan: Plan | None, environment: list[dict[str, JSON]], kind: str = KIND
    ) -> Evidence:
        """How near both forms answer, as evidence of a kind. Raises EngineError (carried_differs)."""
        from compression_engine.carrying.agreement import compared

        tokenizer = self.path.parent / TOKENIZER_NAME
        found: list[Measurement] = compared(
            self.source, self.path, rows, plan, tokenizer if tokenizer.is_file() else None
        )  # fmt: skip
        return Evidence(kind, METHOD, None, environment, found)


def torch_file(given: Path) -> Path | None:
    """The file that says that a model is one of torch's; None where it is none."""
    if given.is_dir():
        inside = [given / OWN, given / f"model{ARCHIVE}"]
        return None if (given / "model.onnx").is_file() else next((one for one in inside if one.is_file()), None)
    if given.suffix.lower() == ARCHIVE or given.name in (CONFIG, OWN):
        return given
    return None


@contextmanager
def carried(given: Path) -> Iterator[Carried | None]:
    """The ONNX form of a model of torch, as long as it is needed; None for another model.

    Raises FileRefused (pickle_refused, structure_invalid, architecture_invalid), EngineError (not_found, cannot_be_carried,
    architecture_does_not_fit).
    """
    path = torch_file(given)
    if path is None:
        yield None
        return
    if not path.is_file():
        raise EngineError("not_found", f"There is no model file {path}.", "Give a file, or a folder with model.onnx.")
    with scratch("pressmark-carried-") as folder:
        yield _carry(path, folder)


@dataclass(frozen=True)
class Doors:
    """Several models by role: paths to work on, and how those that were carried are named."""

    paths: dict[str, Path | None]
    forms: dict[str, Carried]

    def agreement(
        self, kinds: Mapping[str, str], rows: Rows, plan: Plan | None, environment: list[dict[str, JSON]]
    ) -> list[Evidence]:
        """How near each form is to its model, as evidence of the kind of its role. Raises EngineError (carried_differs)."""
        return [form.agreement(rows, plan, environment, kinds[role]) for role, form in self.forms.items()]

    def named(self, files: Mapping[str, ModelFile]) -> dict[str, ModelFile]:
        """The files, those that were carried under the names of what they are a form of."""
        return {
            role: replace(file, carried=self.forms[role].record) if role in self.forms else file
            for role, file in files.items()
        }  # fmt: skip


@contextmanager
def carried_all(given: Mapping[str, Path | None]) -> Iterator[Doors]:
    """The same for models by role; a file that is given twice is carried once."""
    with ExitStack() as stack:
        known: dict[Path, Carried | None] = {}
        paths: dict[str, Path | None] = {}
        forms: dict[str, Carried] = {}
        for role, path in given.items():
            paths[role] = path
            if path is None:
                continue
            if path not in known:
                known[path] = stack.enter_context(carried(path))
            found = known[path]
            if found is not None:
                paths[role], forms[role] = found.path, found
        yield Doors(paths, forms)


def check_carried(document: Mapping[str, JSON], door: Carried | None) -> None:
    """A replay works on the recorded ONNX form; raises EngineError (replay_parent_differs, replay_carried_differs)."""
    recorded: Any = document["parent"]
    before, now = recorded.get("carried"), None if door is None else door.record
    if before is None and now is None:
        return
    if before is None or now is None or recorded.get("architecture") != now.get("architecture"):
        hint = "Give the model in the form in which the result was made from it."
        raise EngineError("replay_parent_differs", "The parent has another form than the recorded one.", hint)
    check_form("parent", recorded, now)


def check_form(role: str, recorded: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """The ONNX form of a torch model is the recorded one, where the model is; raises EngineError (replay_carried_differs)."""
    before, ours = recorded.get("carried"), now.get("carried")
    if before is None or ours is None or now["digest"] != recorded["digest"] or before.get("digest") == ours["digest"]:
        return
    said = [f"{one.get('exporter', {}).get('version', 'unknown')}" for one in (before, ours)]
    hint = f"Replay with the recorded version of torch ({said[0]}; here it is {said[1]})."
    raise EngineError("replay_carried_differs", f"The {role}'s ONNX form is not the recorded one.", hint)


def _carry(path: Path, folder: Path) -> Carried:
    from compression_engine.carrying.to_onnx import exporter, to_onnx

    source, more, described = _exported(path) if path.suffix.lower() == ARCHIVE else _declared(path)
    data = to_onnx(source)
    target = folder / "model.onnx"
    target.write_bytes(data)
    tokenizer = path.parent / TOKENIZER_NAME
    if tokenizer.is_file():
        shutil.copyfile(tokenizer, folder / TOKENIZER_NAME)
    form: dict[str, JSON] = {"digest": digest_of(data), "exporter": exporter(), "size_bytes": len(data)}
    return Carried(target, _record(more) | described | {"carried": form}, source)


def _record(path: Path) -> dict[str, JSON]:
    with path.open("rb") as file:
        return {"digest": digest_of_stream(file), "path": path.name, "size_bytes": os.stat(path).st_size}


def _exported(path: Path) -> tuple[Source, Path, dict[str, JSON]]:
    """A `.pt2` archive: what it says is checked by walking bytes, then read as data."""
    inspect_file(path, name=path.name)
    import torch

    from compression_engine.carrying.exported_module import Replayed, dtype_of
    from compression_engine.carrying.exported_program import read_program
    from compression_engine.carrying.nothing_unpickled import nothing_unpickled
    from compression_engine.carrying.refusing import malformed
    from compression_engine.carrying.to_onnx import Source

    with nothing_unpickled():
        program = read_program(path)
        try:
            module = Replayed(program)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise malformed(f"{type(error).__name__} at {error}"[:200]) from error
    examples = {port.name: torch.ones(port.example, dtype=dtype_of(port.dtype)) for port in program.inputs}
    axes = {
        port.name: {axis: size for axis, size in enumerate(port.sizes) if isinstance(size, str)}
        for port in (*program.inputs, *program.outputs)
    }
    return Source(module, examples, [port.name for port in program.outputs], axes), path, {}


def _declared(path: Path) -> tuple[Source, Path, dict[str, JSON]]:
    """Tensors in safetensors, and the document that says what they are for."""
    weights = path.parent / WEIGHTS
    if not weights.is_file():
        hint = "Put the tensors beside the document that declares their architecture."
        raise EngineError("not_found", f"There is no {WEIGHTS} beside {path.name}.", hint)
    inspect_file(weights, name=weights.name)
    import safetensors.torch

    from compression_engine.carrying.architectures import declared, filled, read_document
    from compression_engine.carrying.nothing_unpickled import nothing_unpickled

    with nothing_unpickled():
        document = read_document(path)
        tensors = safetensors.torch.load_file(str(weights))
        source = filled(declared(document, frozenset(tensors)), tensors)
    return source, weights, {"architecture": _record(path)}

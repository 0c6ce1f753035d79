"""Resume points: what a step that trains keeps in a folder, so that a worker that is killed does not begin anew.

    step-<n>-<phase>.json          what the tensors belong to, how far training is, and the name of the file of tensors
    step-<n>-<phase>-<digest>.safetensors    weights, the best ones so far, the optimiser's state

Rules:
- a point counts once its JSON names the tensors: both are written beside their place, fsynced and renamed, the tensors first; what
  no JSON names is removed;
- a point belongs to parent, recipe, step, rows, plan, tokenizer, teacher and student: another one's is refused (resume_differs),
  and stays what it is;
- a point that was left by another engine, another torch, on another processor or device, or from other weights, and one that is
  torn or damaged, is told and not used: training begins anew. Going on from it would give a model that nobody gets again;
- the JSON tells the digest of itself, as it tells that of the tensors: what was changed by hand or by a disk is damaged;
- a step that is done leaves its outcome in the same form, so that the next attempt skips it;
- no link in the folder is followed (work_differs); nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compression_engine.canonical import JSON, CanonicalError, canonical, digest_of
from compression_engine.environment import ENGINE_VERSION, environment
from compression_engine.errors import EngineError
from compression_engine.limits import limits
from compression_engine.steps.self_told import bytes_of, document_of
from compression_engine.steps.work_files import opened, read, refuse_link

if TYPE_CHECKING:
    import torch

_TYPE = "pressmark/resume_point/2"
_BLOCK_BYTES = 1024**2
_MACHINE = ("cpu_flags", "cpu_model")
Told = Callable[[str], None]


@dataclass(frozen=True)
class State:
    """How far training is: tensors by name, and facts as a canonical document holds them."""

    tensors: Mapping[str, torch.Tensor]
    facts: Mapping[str, JSON]


@dataclass(frozen=True)
class ResumePoint:
    """Where the resume points of one step lie, and what they belong to."""

    folder: Path
    step: int
    identity: str
    """Digest of what decides the outcome; points of another are refused."""
    device: str = "cpu"

    @classmethod
    def of(
        cls,
        folder: Path,
        *,
        parent: str,
        recipe: str,
        step: int,
        rows: str,
        plan: str | None = None,
        tokenizer: str | None = None,
        teacher: str | None = None,
        student: str | None = None,
        device: str = "cpu",
    ) -> ResumePoint:
        """The place of a step's points; all but step and device are digests of what goes into it."""
        facts: dict[str, JSON] = {
            "parent": parent, "plan": plan, "recipe": recipe, "rows": rows, "step": step, "student": student,
            "teacher": teacher, "tokenizer": tokenizer,
        }  # fmt: skip
        return cls(folder, step, digest_of(canonical(facts)), device)

    def load(self, phase: int, start: str, told: Told) -> State | None:
        """What was kept of a phase that began from weights with the digest `start`; None, and why is told, where none can be used.

        Raises EngineError (resume_differs, work_differs).
        """
        refuse_link(self.folder)
        path = self._facts_path(phase)
        try:
            held = document_of(read(path), _TYPE)
        except FileNotFoundError:
            return None
        except CanonicalError:
            held = None
        if held is None or not isinstance(held.get("facts"), dict):
            told(f"the resume point {path.name} is damaged: training begins anew")
            return None
        if held.get("identity") != self.identity:
            hint = "Give another folder, or delete the points in it if nobody goes on from them."
            raise EngineError("resume_differs", f"{path.name} is a resume point of another run.", hint)
        if held.get("surroundings") != self._surroundings() or held.get("start") != start:
            told(f"the resume point {path.name} is of another engine, machine or beginning: training begins anew")
            return None
        tensors = self._tensors(str(held.get("tensors")), phase)
        if tensors is None:
            told(f"the tensors of the resume point {path.name} are damaged: training begins anew")
            return None
        return State(tensors, held["facts"])

    def save(self, phase: int, start: str, state: State) -> None:
        """Keeps a point in place of the one before. Raises EngineError (disk_full, work_differs), OSError as at a full disk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        refuse_link(self.folder)
        name = self._write_tensors(phase, state.tensors)
        document = {
            "facts": dict(state.facts), "identity": self.identity, "start": start, "surroundings": self._surroundings(),
            "tensors": name, "type": _TYPE,
        }  # fmt: skip
        path = self._facts_path(phase)
        partial = path.with_suffix(".partial")
        with opened(partial, "wb") as file:
            file.write(bytes_of(document))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(self.folder)
        self._remove_others(phase, name)

    def _write_tensors(self, phase: int, tensors: Mapping[str, torch.Tensor]) -> str:
        from safetensors.torch import save_file

        partial = self.folder / f"{self._stem(phase)}.tensors.partial"
        partial.unlink(missing_ok=True)  # through a link that lies there nothing is written
        limits().forget(partial)
        limits().count(partial, sum(tensor.nbytes for tensor in tensors.values()))
        try:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial)
            with opened(partial, "rb") as file:
                os.fsync(file.fileno())
            name = f"{self._stem(phase)}-{_digest(partial)}.safetensors"
            os.replace(partial, self.folder / name)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        finally:
            limits().forget(partial)
        limits().forget(self.folder / name)
        limits().count(self.folder / name, (self.folder / name).stat().st_size)
        return name

    def _tensors(self, name: str, phase: int) -> Mapping[str, torch.Tensor] | None:
        """The tensors of a file whose name tells their digest; None where they are not those that were written."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self.folder / name
        try:
            if path.parent != self.folder or name != f"{self._stem(phase)}-{_digest(path)}.safetensors":
                return None
            return dict(load_file(path))
        except (OSError, SafetensorError):
            return None

    def _remove_others(self, phase: int, kept: str) -> None:
        for path in self.folder.glob(f"{self._stem(phase)}-*.safetensors"):
            if path.name != kept:
                path.unlink(missing_ok=True)
                limits().forget(path)

    def _surroundings(self) -> str:
        import torch

        machine = {str(fact["name"]): fact["value"] for fact in environment(1) if fact["name"] in _MACHINE}
        named = machine | {"device": self.device, "engine": ENGINE_VERSION, "machine": platform.machine()}
        if self.device != "cpu":
            named["device_name"] = torch.cuda.get_device_name(self.device)
        return digest_of(canonical(named | {"torch": torch.__version__}))

    def _stem(self, phase: int) -> str:
        return f"step-{self.step}-{phase}"

    def _facts_path(self, phase: int) -> Path:
        return self.folder / f"{self._stem(phase)}.json"


def digest_of_weights(tensors: Mapping[str, torch.Tensor]) -> str:
    """`sha256:<hex>` of tensors by name: what training begins with."""
    whole = hashlib.sha256()
    for name in sorted(tensors):
        held = tensors[name].detach().cpu().contiguous()
        whole.update(canonical({"name": name, "shape": list(held.shape), "type": str(held.dtype)}))
        whole.update(memoryview(held.reshape(-1).view(dtype=_bytes_type()).numpy()))
    return f"sha256:{whole.hexdigest()}"


def _bytes_type() -> torch.dtype:
    import torch

    return torch.uint8


def _digest(path: Path) -> str:
    whole = hashlib.sha256()
    with opened(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            whole.update(block)
    return whole.hexdigest()


def _sync_folder(folder: Path) -> None:
    held = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)

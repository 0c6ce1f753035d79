"""The file of answers from which every figure that needs no model is computed again: one safetensors file.

Rules:
- the same answers, plan and header give the same bytes: tensors stand by falling width of an entry, then by name;
- it is written piece by piece beside its place and renamed; nothing is ever larger in memory than a block;
- `__metadata__` has the one key `pressmark`: a canonical document `pressmark/outputs/1` with the plan, the digests of models
  and data, broken rows, the environment, and which tensor is what;
- a file is read by its structure alone, mapped and not loaded; what does not fit is refused (outputs_invalid).
The format of the file: github.com/huggingface/safetensors (length of the header, header in JSON, bytes of the tensors).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compression_engine.answers.outputs import ANSWER, ROLES, Array, Column, Field, Outputs
from compression_engine.canonical import JSON, canonical, parse_canonical
from compression_engine.data.labels import CUT_LIMIT
from compression_engine.data.mapped import blocks
from compression_engine.errors import EngineError
from compression_engine.formats.safetensors_io import NUMBERS
from compression_engine.limits import limits
from compression_engine.plan import Plan

OUTPUTS_TYPE = "pressmark/outputs/1"
_HEADER_BYTES_MAX = 64 * 1024**2
_ALIGNMENT = 8
_KINDS = {name: kind for name, kind in NUMBERS.items() if name != "BF16"}  # of which numpy knows nothing
_NAMES = {kind.str: name for name, kind in _KINDS.items()}
_MISFITS = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)
"""What reading raises at a file that somebody else made, or meant harm with; a canonical error is a ValueError."""
_HINT = "Give the outputs file that evaluate wrote, unchanged."


def write_outputs(path: Path, outputs: Outputs, plan: Plan, header: Mapping[str, JSON]) -> dict[str, JSON]:
    """Writes the file and returns its digest, name and size. `header` is what `read_outputs` gives back with it."""
    tensors, described = _parts(outputs)
    document = dict(header) | {"members": described, "plan": plan.document(), "type": OUTPUTS_TYPE}
    ordered = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    entries: dict[str, Any] = {"__metadata__": {"pressmark": canonical(document).decode()}}
    place = 0
    for name in ordered:
        array, end = tensors[name], place + tensors[name].nbytes
        entries[name] = {"data_offsets": [place, end], "dtype": _dtype_name(array), "shape": list(array.shape)}
        place = end
    head = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    head += b" " * (-len(head) % _ALIGNMENT)
    partial = path.parent / f".{path.name}.partial-{os.getpid()}"
    running = hashlib.sha256()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with partial.open("wb") as file:
            for block in _bytes(head, [tensors[name] for name in ordered]):
                running.update(block)
                limits().count(path, len(block))
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        limits().forget(path)
        raise
    return {"digest": f"sha256:{running.hexdigest()}", "path": path.name, "size_bytes": path.stat().st_size}


def read_outputs(path: Path) -> tuple[Outputs, Plan, dict[str, JSON]]:
    """The answers (mapped from the file), the plan, and the header; EngineError (not_found, outputs_invalid, plan_invalid)."""
    if not path.is_file():
        raise EngineError("not_found", f"There is no file {path}.", _HINT)
    try:
        tensors, text = _opened(path)
        document = parse_canonical(text.encode())
        if not isinstance(document, dict) or document.get("type") != OUTPUTS_TYPE:
            raise ValueError(f"its type is not {OUTPUTS_TYPE}")
        outputs = _Members(tensors, document["members"]).outputs()
        plan = Plan.parse(dict(document["plan"]))
        _check_fields(outputs, plan)
    except _MISFITS as error:
        said = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise EngineError("outputs_invalid", f"{path.name} is no outputs file: {said}.", _HINT) from error
    header = {name: value for name, value in document.items() if name not in ("members", "plan", "type")}
    return outputs, plan, header


def _check_fields(outputs: Outputs, plan: Plan) -> None:
    """The models are those that an evaluation compares, and their answers are there; ValueError else."""
    for role, fields in outputs.models.items():
        if role not in ROLES or (plan.task != "language-model" and ANSWER not in fields):
            raise ValueError(f"it holds no answers of {role!r}")


def _parts(outputs: Outputs) -> tuple[dict[str, Array], list[JSON]]:
    """The tensors by name, and what each of them is."""
    tensors: dict[str, Array] = {}
    described: list[JSON] = []

    def add(kind: str, name: str, role: str | None, array: Array, **more: JSON) -> None:
        title = f"{len(described)}.{kind}"
        tensors[title] = array
        described.append(
            {"kind": kind, "name": name, "offsets": None, "role": role, "tensor": title, "values": None} | more
        )

    def add_field(kind: str, name: str, role: str | None, field: Field) -> None:
        offsets = None if field.offsets is None else f"{len(described)}.{kind}.offsets"
        add(kind, name, role, field.values, offsets=offsets)
        if field.offsets is not None and offsets is not None:
            tensors[offsets] = field.offsets

    for role, fields in outputs.models.items():
        for name, field in fields.items():
            add_field("answer", name, role, field)
    if outputs.labels is not None:
        add_field("label", "label", None, outputs.labels)
    for name, column in outputs.slices.items():
        add("slice", name, None, column.codes, values=list(column.values))
    if outputs.sequences is not None:
        add("sequence", "sequence", None, outputs.sequences)
    for name, array in outputs.inputs.items():
        add("input", name, None, array)
    return tensors, described


@dataclass
class _Members:
    """Puts tensors back in their places; all of them must have the same rows."""

    tensors: Mapping[str, Array]
    described: list[dict[str, Any]]

    def outputs(self) -> Outputs:
        """The answers; ValueError where members differ in their rows."""
        models: dict[str, dict[str, Field]] = {}
        for entry in self._of("answer"):
            models.setdefault(entry["role"], {})[entry["name"]] = self._field(entry)
        found = Outputs(
            models,
            next((self._field(entry) for entry in self._of("label")), None),
            {entry["name"]: self._column(entry) for entry in self._of("slice")},
            next((self.tensors[entry["tensor"]] for entry in self._of("sequence")), None),
            {entry["name"]: self.tensors[entry["tensor"]] for entry in self._of("input")},
        )
        lengths = {len(field) for fields in models.values() for field in fields.values()}
        lengths |= {len(column.codes) for column in found.slices.values()} | {
            len(array) for array in found.inputs.values()
        }
        lengths |= {len(part) for part in (found.labels, found.sequences) if part is not None}
        if any(array.dtype != np.float64 or (np.abs(array) > CUT_LIMIT).any() for array in found.inputs.values()):
            raise ValueError("a column to cut by holds what is no number")
        if len(lengths) != 1 or "version" not in models:
            raise ValueError("its members have different rows, or the version's answers are missing")
        return found

    def _of(self, kind: str) -> Iterator[dict[str, Any]]:
        return (entry for entry in self.described if entry["kind"] == kind)

    def _field(self, entry: dict[str, Any]) -> Field:
        values = self.tensors[entry["tensor"]]
        if entry["offsets"] is None:
            return Field(values)
        offsets = self.tensors[entry["offsets"]]
        if offsets.dtype != np.int64 or offsets[0] != 0 or offsets[-1] != len(values) or (np.diff(offsets) < 0).any():
            raise ValueError(f"the offsets of {entry['name']!r} do not fit its values")
        return Field(values, offsets)

    def _column(self, entry: dict[str, Any]) -> Column:
        codes = self.tensors[entry["tensor"]]
        if codes.dtype != np.int32 or codes.min(initial=-1) < -1 or codes.max(initial=-1) >= len(entry["values"]):
            raise ValueError(f"the slice {entry['name']!r} has codes without a value")
        return Column(codes, tuple(entry["values"]))


def _opened(path: Path) -> tuple[dict[str, Array], str]:
    """The tensors of a safetensors file and its metadata; ValueError where lengths do not fit the file."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_HEADER_BYTES_MAX, size_bytes - 8):
            raise ValueError("its header does not fit into the file")
        entries = json.loads(file.read(length))
    text = entries.pop("__metadata__")["pressmark"]
    start = 8 + length
    found: dict[str, Array] = {}
    for name, entry in entries.items():
        dtype, shape = _KINDS[entry["dtype"]], tuple(int(size) for size in entry["shape"])
        begin, end = (int(place) for place in entry["data_offsets"])
        wanted = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        if not 0 <= begin <= end <= size_bytes - start or end - begin != wanted or min(shape, default=0) < 0:
            raise ValueError(f"the tensor {name!r} does not fit into the file")
        if wanted == 0:
            found[name] = np.empty(shape, dtype=dtype)
        else:
            found[name] = np.memmap(path, dtype=dtype, mode="r", offset=start + begin, shape=shape)
    return found, text


def _bytes(head: bytes, arrays: list[Array]) -> Iterator[bytes]:
    yield len(head).to_bytes(8, "little")
    yield head
    for array in arrays:
        for part in blocks(array):
            yield np.ascontiguousarray(array[part], dtype=array.dtype.newbyteorder("<")).tobytes()


def _dtype_name(array: Array) -> str:
    return _NAMES[array.dtype.newbyteorder("<").str]

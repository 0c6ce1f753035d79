"""Reads a `.pt2` archive (torch.export.save) into plain data: calls of operators, ports, weights. Nothing in it is run.

Rules:
- the archive was inspected before (`structure.archive`): members stored, no pickled weight, constant or object;
- the graph is JSON: names, numbers and lists are taken, texts are compared with tables and never evaluated. torch's own loader is
  not used: it hands texts of the graph to sympy and resolves names on modules, both of which can be made to run code;
- weights are raw bytes with sizes and strides; sample inputs, guards and everything else in the archive is not looked at;
- refused by name: graphs inside of graphs, objects, tokens, programs that change their weights or inputs (exported while training).
Source: the schema of torch.export, versions 5 to 8 (`torch/_export/serde/schema.py`).
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compression_engine.carrying.refusing import cannot_be_carried, malformed

_GRAPH_BYTES_MAX = 256 * 1024 * 1024
_SCHEMAS = range(5, 9)
_SYMBOL = re.compile(r"(?:Symbol\('([a-z]+[0-9]+)'[^()]*\)|([a-z]+[0-9]+))\Z")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}\Z")
_EVAL_HINT = "Export it after .eval(): torch.export.export(model.eval(), ...)."


@dataclass(frozen=True)
class Argument:
    """One argument of a call: its name in the operator's schema, whether it is given by name, its kind and its value."""

    name: str
    by_name: bool
    kind: str
    value: Any


@dataclass(frozen=True)
class Call:
    """One node: the operator as `aten.linear.default` or `operator.mul`, what it is given, and the names of what it gives."""

    operator: str
    node: str
    arguments: tuple[Argument, ...]
    outputs: tuple[str | None, ...]
    gives_list: bool

    def outputs_known(self) -> list[str]:
        """The names of what it gives, without those that nobody wants."""
        return [name for name in self.outputs if name is not None]


@dataclass(frozen=True)
class Port:
    """An input or output: its name outside, its name in the graph, torch's number of its type, sizes (texts: free), an example."""

    name: str
    value: str
    dtype: int
    sizes: tuple[int | str, ...]
    example: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """A graph whose `held` says which stored tensor stands for which of its values."""

    calls: tuple[Call, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    held: Mapping[str, str]
    tensors: Mapping[str, Stored]
    torch_version: str


@dataclass(frozen=True)
class Stored:
    """A tensor of the archive: raw bytes, torch's number of its type, sizes, strides and offset in numbers."""

    data: bytes
    dtype: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int


def read_program(path: Path) -> Program:
    """Reads an inspected archive. Raises FileRefused (structure_invalid), EngineError (cannot_be_carried)."""
    with zipfile.ZipFile(path) as archive:
        members = {entry.filename.split("/", 1)[-1]: entry for entry in archive.infolist()}
        document = _json(archive, members, "models/model.json")
        try:
            version = int(document["schema_version"]["major"])
            if version not in _SCHEMAS:
                hint = f"Save it with a version of torch whose schema is {_SCHEMAS.start} to {_SCHEMAS.stop - 1}."
                raise cannot_be_carried(f"its schema is version {version}", hint)
            tensors = _tensors(archive, members)
            return _program(document, tensors)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise malformed(f"{type(error).__name__} at {error}"[:200]) from error


def _json(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], name: str) -> Any:
    entry = members.get(name)
    if entry is None:
        raise malformed(f"there is no {name}")
    if entry.file_size > _GRAPH_BYTES_MAX:
        raise malformed(f"{name} has more than {_GRAPH_BYTES_MAX} bytes")
    try:
        return json.loads(archive.read(entry))
    except (ValueError, RecursionError) as error:
        raise malformed(f"{name} is not JSON") from error


def _tensors(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> dict[str, Stored]:
    found = {}
    for folder, description in (("weights", "model_weights_config"), ("constants", "model_constants_config")):
        path = f"data/{folder}/{description}.json"
        if path not in members:
            continue
        read: dict[str, bytes] = {}
        for name, entry in _json(archive, members, path)["config"].items():
            if entry["use_pickle"]:
                raise malformed(f"{name} is pickled")  # inspected before: not reached
            where, meta = entry["path_name"], entry["tensor_meta"]
            if where not in read:
                read[where] = archive.read(members[f"data/{folder}/{where}"])
            sizes, strides = (tuple(int(one["as_int"]) for one in meta[key]) for key in ("sizes", "strides"))
            found[name] = Stored(read[where], int(meta["dtype"]), sizes, strides, int(meta["storage_offset"]["as_int"]))
    return found


def _program(document: Mapping[str, Any], tensors: Mapping[str, Stored]) -> Program:
    module = document["graph_module"]
    graph, signature = module["graph"], module["signature"]
    values = graph["tensor_values"]
    held, users = _inputs(signature, tensors)
    inputs = tuple(_port(name, name, values) for name in users)
    outputs = _outputs(signature, module, values)
    calls = tuple(_call(node) for node in graph["nodes"])
    return Program(calls, inputs, outputs, held, tensors, str(document.get("torch_version", "unknown"))[:40])


def _inputs(signature: Mapping[str, Any], tensors: Mapping[str, Stored]) -> tuple[dict[str, str], list[str]]:
    held: dict[str, str] = {}
    users: list[str] = []
    keys = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}
    for spec in signature["input_specs"]:
        ((kind, what),) = spec.items()
        if kind == "user_input":
            ((form, given),) = what["arg"].items()
            if form != "as_tensor":
                raise cannot_be_carried("one of its inputs is no tensor", "Export it with tensors as inputs alone.")
            users.append(given["name"])
        elif kind in keys:
            name = what[keys[kind]]
            if name not in tensors:
                raise malformed(f"the tensor {name!r} is not in the archive")
            held[what["arg"]["name"]] = name
        else:
            raise cannot_be_carried(f"it has an input of the kind {kind[:60]}")
    return held, users


def _outputs(signature: Mapping[str, Any], module: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[Port, ...]:
    found = []
    for spec in signature["output_specs"]:
        ((kind, what),) = spec.items()
        if kind != "user_output":
            raise cannot_be_carried(f"it changes its own state ({kind[:60]})", _EVAL_HINT)
        ((form, given),) = what["arg"].items()
        if form == "as_none":
            continue
        if form != "as_tensor":
            raise cannot_be_carried("one of its outputs is no tensor", "Export it with tensors as outputs alone.")
        found.append(given["name"])
    if not found:
        raise cannot_be_carried("it has no output")
    names = _output_names(module, len(found))
    return tuple(_port(name, value, values) for name, value in zip(names, found, strict=True))


def _output_names(module: Mapping[str, Any], count: int) -> list[str]:
    """The keys of a dictionary that the model gives; else `output`, or `output_0` and so on."""
    plain = ["output"] if count == 1 else [f"output_{number}" for number in range(count)]
    called = [entry for entry in module.get("module_call_graph", []) if entry.get("fqn") == ""]
    text = called[0]["signature"]["out_spec"] if called and called[0].get("signature") else None
    if text is None:
        return plain
    spec = json.loads(text)[1]
    if spec["type"] != "builtins.dict":
        return plain
    keys = json.loads(spec["context"])
    sound = len(keys) == count == len({*keys}) and all(isinstance(key, str) and _NAME.match(key) for key in keys)
    return list(keys) if sound else plain


def _port(name: str, value: str, values: Mapping[str, Any]) -> Port:
    meta = values[value]
    sizes: list[int | str] = []
    example: list[int] = []
    for size in meta["sizes"]:
        if "as_int" in size:
            sizes.append(int(size["as_int"]))
            example.append(int(size["as_int"]))
            continue
        said = size["as_expr"]
        symbol = _SYMBOL.match(str(said["expr_str"]))
        hint = said.get("hint") or {}
        sizes.append((symbol.group(1) or symbol.group(2)) if symbol else f"{name}_{len(sizes)}")
        example.append(int(hint["as_int"]) if "as_int" in hint else 2)
    return Port(name, value, int(meta["dtype"]), tuple(sizes), tuple(example))


def _call(node: Mapping[str, Any]) -> Call:
    target = str(node["target"])
    operator = target.removeprefix("torch.ops.") if target.startswith("torch.ops.aten.") else target
    operator = operator.replace("_operator.", "operator.", 1) if operator.startswith("_operator.") else operator
    arguments = []
    for given in node["inputs"]:
        ((kind, value),) = given["arg"].items()
        arguments.append(Argument(str(given["name"]), given.get("kind") == 2, kind, value))
    outputs: list[str | None] = []
    gives_list = False
    for made in node["outputs"]:
        ((kind, value),) = made.items()
        if kind == "as_tensors":
            outputs += [one["name"] for one in value]
            gives_list = True
        elif kind == "as_none":
            outputs.append(None)
        elif kind in ("as_tensor", "as_sym_int", "as_sym_bool", "as_sym_float"):
            outputs.append(value["name"] if kind == "as_tensor" else value["as_name"])
        else:
            raise cannot_be_carried(f"{operator[:80]} gives something of the kind {kind[:60]}")
    return Call(
        operator,
        str(node.get("name") or (outputs[0] if outputs else operator)),
        tuple(arguments),
        tuple(outputs),
        gives_list,
    )


def numbers_of(stored: Stored, kind: Any) -> Any:
    """The numbers of a stored tensor as an array of one of numpy's types, copied out of its storage."""
    flat = np.frombuffer(stored.data, dtype=kind)
    last = stored.offset + sum((size - 1) * stride for size, stride in zip(stored.sizes, stored.strides, strict=True))
    if 0 not in stored.sizes and (last >= len(flat) or min((stored.offset, *stored.strides), default=0) < 0):
        raise malformed("a tensor reaches over the end of its bytes")
    if 0 in stored.sizes:
        return np.empty(stored.sizes, dtype=kind)
    steps = [stride * flat.itemsize for stride in stored.strides]
    return np.lib.stride_tricks.as_strided(flat[stored.offset :], stored.sizes, steps, writeable=False).copy()

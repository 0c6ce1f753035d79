"""Files as attackers and broken disks make them, out of valid odd graphs; and what must never happen to whoever compresses one.

Never: a signal, a trace, a code `internal`, anything left behind or written elsewhere, a success without the whole output.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import helper
from safetensors.numpy import save_file

from compression_engine.formats.onnx_graph import graphs_of
from compression_engine.pipeline import compress
from compression_engine.recipe import Recipe, Step
from tests.engine import nets
from tests.engine.odd_graphs import every_model

Outcome = dict[str, Any]
WHOLE = ["out/OUT.RESULT.json", "out/OUT.onnx"]
RECIPES = ("smaller-same-speed", "faster-int8", "half-size")
SIZES = (-1, 0, 1, 2, 7, 2**20, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63))
PLACES = (
    "../secret",
    "/etc/passwd",
    "a/../../secret",
    "secret",
    "./..",
    "",
    "\0",
    "x" * 5000,
    "..\\secret",
    "link",
    "model.onnx",
)


class Runner:
    """The process that runs the engine on one folder after the other."""

    def __enter__(self) -> Runner:
        command = [sys.executable, "-m", "tests.engine.fuzz_runner"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=130)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def run(self, data: bytes, folder: Path, recipe: str) -> Outcome:
        """What `compress` does with these bytes; `folder` must be new."""
        return self._asked(data, folder, {"recipe": recipe})

    def read(self, data: bytes, folder: Path, verb: str, name: str, other: bytes) -> Outcome:
        """What `map` or `diff` (with a sound file beside) says of these bytes under this name; `folder` must be new."""
        (folder / "in").mkdir(parents=True)
        (folder / "in" / name).write_bytes(data)
        (folder / "in" / f"other-{name}").write_bytes(other)
        call = [verb, str(folder / "in" / name)] + ([str(folder / "in" / f"other-{name}")] if verb == "diff" else [])
        return self._asked(data, folder, {"call": call})

    def _asked(self, data: bytes, folder: Path, what: dict[str, Any]) -> Outcome:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        (folder / "in").mkdir(parents=True, exist_ok=True)
        (folder / "in" / "model.onnx").write_bytes(data)
        (folder / "in" / "secret").write_bytes(b"\x01" * 100_000)
        (folder / "in" / "link").symlink_to("secret")
        self._process.stdin.write(json.dumps({"folder": str(folder), **what}) + "\n")
        self._process.stdin.flush()
        outcome: Outcome = json.loads(self._process.stdout.readline())
        return outcome


def problem(outcome: Outcome) -> str | None:
    """What is wrong with an outcome; None where it is a right output or a typed error."""
    if outcome["signal"] is not None:
        return f"ended by the signal {outcome['signal']}"
    if outcome["trace"]:
        return f"a trace: {outcome['trace']}"
    if outcome["exit"] == 0:
        whole = outcome["type"] == "result" and outcome["left"] in (WHOLE, [*WHOLE, "out/OUT.onnx.data"])
        return None if whole else f"a success that left {outcome['left']}"
    if outcome["exit"] != 1 or outcome["type"] != "error" or outcome["code"] in (None, "internal"):
        return f"exit {outcome['exit']}, {outcome['type']}, {outcome['code']}: {outcome['message']}"
    if not outcome["message"] or not outcome["hint"]:
        return f"the error {outcome['code']} says not what is wrong, or not what to do"
    return f"left behind: {outcome['left']}" if outcome["left"] else None


def problem_of_reading(outcome: Outcome) -> str | None:
    """The same for verbs that write nothing: a right answer leaves nothing either."""
    if outcome["exit"] == 0 and outcome["signal"] is None and not outcome["trace"]:
        whole = outcome["type"] == "result" and not outcome["left"]
        return None if whole else f"an answer of the type {outcome['type']} that left {outcome['left']}"
    return problem(outcome)


def broken_bytes(data: bytes, other: bytes, draw: Random) -> bytes:
    """A file that was cut, flipped, joined with another, or written over."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        kind = draw.randrange(7)
        start = draw.randrange(len(changed) or 1)
        # weights are most of a file; what stands around them is hit as often
        start = draw.randrange(min(600, len(changed)) or 1) if draw.random() < 0.5 else start
        end = min(len(changed), start + draw.choice((1, 2, 8, 100, 5000)))
        if kind == 0:
            del changed[start:]
        elif kind == 1 and changed:
            for _ in range(draw.choice((1, 3, 30))):
                changed[draw.randrange(start, min(len(changed), start + 200))] ^= 1 << draw.randrange(8)
        elif kind == 2:
            del changed[start:end]
        elif kind == 3:
            changed[start:start] = changed[start:end]
        elif kind == 4:
            place = draw.randrange(len(other))
            changed[start:end] = other[place : place + draw.choice((10, 200, 3000))]
        elif kind == 5:
            changed[start:end] = draw.randbytes(end - start)
        else:
            changed += other[draw.randrange(len(other)) :]
        if not changed:
            break
    return bytes(changed)


def twisted(model: onnx.ModelProto, draw: Random) -> bytes:
    """A well-formed file that says something impossible, once or several times."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        graph = draw.choice(list(graphs_of(model.graph)))
        with suppress(DecodeError):  # branches deeper than a reader of the format would go
            draw.choice(TWISTS)(model, graph, draw)
    made: bytes = model.SerializeToString()
    return made


def _sizes_of_tensor(model: onnx.ModelProto, graph: onnx.GraphProto, draw: Random) -> None:
    if graph.initializer:
        tensor = draw.choice(graph.initializer)
        sizes = [draw.choice(SIZES) for _ in range(draw.randrange(5))]
        del tensor.dims[:]
        tensor.dims.extend(sizes)


def _turned_sizes(model: onnx.ModelProto, graph: onnx.GraphProto, draw: Random) -> None:
    """The numbers still fit, the shape does not fit its readers."""
    if graph.initializer:
        tensor = draw.choice(graph.initializer)
        sizes = draw.choice(([*tensor.dims][::-1], [1, *tensor.dims], [*tensor.dims, 1]))
        del tensor.dims[:]
        tensor.dims.extend(sizes)


def _type_of_tensor(model: onnx.ModelProto, graph: onnx.GraphProto, draw: Random) -> None:
    if graph.initializer:
        draw.choice(graph.initializer).data_type = draw.choice((0, 1, 2, 7, 8, 10, 11, 14, 16, 22, 99))


def _numbers_of_tensor(model: onnx.ModelProto, graph: onnx.GraphProto, draw: Random) -> None:
    if graph.initializer:
        tensor = draw.choice(graph.initializer)
        if len(tensor.raw_data) >= 4:
            special = draw.choice((b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"\xff\xff\x7f\x7f", b"\x01\x00\x00\x00"))
            tensor.raw_data = special + tensor.raw_data[4:]


def _elsewhere(model: onnx.ModelProto, graph: onnx.GraphProto, draw: Random) -> None:
    if graph.initializer:
        tensor = draw.choice(graph.initializer)
        place, size = draw.choice(PLACES), len(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        facts = {
            "location": place,
            "offset": str(draw.choice((0, 8, 2**40, -1))),
            "length": str(draw.choice((size, -1))),
        }
        for key, value in facts.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value


def _cycle(model: onnx.ModelProto, graph: onnx.GraphProto, draw: Random) -> None:
    if graph.node:
        node, other = draw.choice(graph.node), draw.choice(graph.node)
        if node.input and other.output:
            node.input[draw.randrange(len(node.input))] = draw.choice(other.output)


def _nothing_there(model: onnx.ModelProto, graph: onnx.GraphProto, draw: Random) -> None:
    if graph.node:
        node = draw.choice(graph.node)
        field = draw.choice((node.input, node.output))
        if field:
            field[draw.randrange(len(field))] = draw.choice(("", "nobody", "x", "y", "w"))


def _fewer(model: onnx.ModelProto, graph: onnx.GraphProto, draw: Random) -> None:
    fields = [graph.node, graph.initializer, graph.input, graph.output]
    field: Any = draw.choice(fields)
    if field:
        del field[draw.randrange(len(field))]


def _inputs_of_node(model: onnx.ModelProto, graph: onnx.GraphProto, draw: Random) -> None:
    if graph.node:
        node = draw.choice(graph.node)
        names = [*node.input]
        draw.shuffle(names)
        kept = names[: draw.randrange(len(names) + 1)] + draw.choice(([], ["w"], [""] * 3))
        del node.input[:]
        node.input.extend(kept)


def _attribute(model: onnx.ModelProto, graph: onnx.GraphProto, draw: Random) -> None:
    if graph.node:
        node = draw.choice(graph.node)
        name = draw.choice(
            ("axis", "group", "transB", "hidden_size", "kernel_shape", "perm", "axes", "to", "equation", "pads")
        )
        value = draw.choice((draw.choice(SIZES), [draw.choice(SIZES) for _ in range(3)], "ij,jk->ik", "", 1.5, [9, 9]))
        for index, old in reversed(list(enumerate(node.attribute))):
            if old.name == name:
                del node.attribute[index]
        if value != []:
            node.attribute.append(helper.make_attribute(name, value))


def _operator(model: onnx.ModelProto, graph: onnx.GraphProto, draw: Random) -> None:
    if graph.node:
        node = draw.choice(graph.node)
        node.op_type = draw.choice(
            (
                "MatMul",
                "Gemm",
                "Conv",
                "Gather",
                "LSTM",
                "If",
                "Loop",
                "Scan",
                "Constant",
                "Einsum",
                "Reshape",
                "",
                "Nope",
                "Split",
            )
        )
        node.domain = draw.choice(("", "", "ai.onnx.ml", "com.microsoft", "no.body"))


def _versions(model: onnx.ModelProto, graph: onnx.GraphProto, draw: Random) -> None:
    if draw.random() < 0.5:
        model.ir_version = draw.choice((0, 1, 3, 4, 14, 99, 2**31, -1))
    elif model.opset_import:
        draw.choice(model.opset_import).version = draw.choice((0, 1, 5, 7, 9, 11, 12, 21, 26, 99, -1))


def _deep(model: onnx.ModelProto, graph: onnx.GraphProto, draw: Random) -> None:
    """Branches within branches."""
    inner = onnx.GraphProto()
    inner.CopyFrom(graph)
    for _ in range(draw.choice((3, 12, 24))):
        outer = helper.make_graph([], "deep", [], [])
        node = outer.node.add()
        node.op_type = "If"
        node.input.append("yes")
        node.output.append("deep")
        node.attribute.append(helper.make_attribute("then_branch", inner))
        node.attribute.append(
            helper.make_attribute(
                "else_branch", inner if inner.ByteSize() < 2000 else helper.make_graph([], "e", [], [])
            )
        )
        inner = outer
    graph.node.append(inner.node[0])


def _names(model: onnx.ModelProto, graph: onnx.GraphProto, draw: Random) -> None:
    named: list[Any] = [*graph.initializer, *graph.input, *graph.output, *graph.node]
    if named:
        draw.choice(named).name = draw.choice(("", "x", "y", "w", "\n", "../../etc", "a" * 70_000, "\u202e", "w_int8"))


def _ports(model: onnx.ModelProto, graph: onnx.GraphProto, draw: Random) -> None:
    values = [*graph.input, *graph.output]
    if values:
        value = draw.choice(values)
        value.CopyFrom(
            helper.make_tensor_value_info(
                value.name, draw.choice((1, 7, 8, 9, 10, 14, 16)), [draw.choice(SIZES)] * draw.randrange(4)
            )
        )


def _function(model: onnx.ModelProto, graph: onnx.GraphProto, draw: Random) -> None:
    """A function that calls itself, or another that is not there."""
    called = draw.choice(("Own", "Gone"))
    body = [helper.make_node(called, ["a"], ["b"], domain="own")]
    model.functions.append(helper.make_function("own", "Own", ["a"], ["b"], body, [helper.make_opsetid("own", 1)]))
    model.opset_import.append(helper.make_opsetid("own", 1))
    graph.node.append(helper.make_node("Own", ["x"], ["more"], domain="own"))


Twist = Callable[[onnx.ModelProto, onnx.GraphProto, Random], None]
TWISTS: tuple[Twist, ...] = (
    _sizes_of_tensor, _turned_sizes, _type_of_tensor, _numbers_of_tensor, _elsewhere, _cycle, _nothing_there, _fewer,
    _inputs_of_node, _attribute, _operator, _versions, _deep, _names, _ports, _function,
)  # fmt: skip


@dataclass
class Found:
    """What an attack came to: how many files by outcome (a code, or `done`), and what must not have happened."""

    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def attack(runner: Runner, folder: Path, numbers: Iterable[int], *, kind: str) -> Found:
    """Runs the engine on a broken or twisted file for each number; the same number gives the same file."""
    models = [(name, model, model.SerializeToString()) for name, model in every_model()]
    found = Found()
    for number in numbers:
        draw = Random(f"{kind}-{number}")
        name, model, data = draw.choice(models)
        if kind == "broken":
            made = broken_bytes(data, draw.choice(models)[2], draw)
        else:
            copy = onnx.ModelProto()
            copy.CopyFrom(model)
            made = twisted(copy, draw)
        case = folder / f"{kind}-{number}"
        outcome = runner.run(made, case, draw.choice(RECIPES))
        found.outcomes[outcome["code"] or "done"] += 1
        wrong = problem(outcome)
        if wrong is not None:
            found.problems.append(f"{kind} {number} ({name}): {wrong}")
        shutil.rmtree(case)
    return found


def attack_readers(runner: Runner, folder: Path, numbers: Iterable[int], children: Mapping[str, bytes]) -> Found:
    """The same for `map` and `diff`, out of sound children by the names of their files (.onnx, .safetensors, RESULT.json)."""
    found = Found()
    for number in numbers:
        draw = Random(f"readers-{number}")
        name = draw.choice(sorted(children))
        verb = draw.choice(("map", "diff"))
        case = folder / f"readers-{number}"
        broken = broken_bytes(children[name], children[draw.choice(sorted(children))], draw)
        outcome = runner.read(broken, case, verb, name, children[name])
        found.outcomes[outcome["code"] or "done"] += 1
        wrong = problem_of_reading(outcome)
        if wrong is not None:
            found.problems.append(f"readers {number} ({verb} {name}): {wrong}")
        shutil.rmtree(case)
    return found


def sound_children(folder: Path) -> dict[str, bytes]:
    """What the engine makes of a net and of bare tensors, by the names of the files; written into `folder`, which must be new."""
    save_file(
        {"w": nets.weights(64, 48), "b": nets.weights(48)},
        nets.save(nets.mlp(), folder / "net").parent / "t.safetensors",
    )
    recipe = Recipe("eight", (Step("quantize_weights"),))
    for source in ("model.onnx", "t.safetensors"):
        compress(folder / "net" / source, recipe, output_folder=folder / source.partition(".")[2])
    files = ("onnx/model.onnx", "safetensors/t.safetensors", "safetensors/RESULT.json")
    return {Path(name).name: (folder / name).read_bytes() for name in files}

"""Models whose tensors lie in other files: worked on block by block, to the same bits as in memory, and refused where they lie."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from compression_engine.checking import expanded_check, structure_check
from compression_engine.errors import EngineError, FileRefused, OutputRefused
from compression_engine.formats import numbers, onnx_io
from compression_engine.formats.spool import spooling
from compression_engine.methods import rounding_by_blocks
from compression_engine.pipeline import compress, make
from compression_engine.progress import silent
from compression_engine.recipe import Recipe, Step
from compression_engine.replaying.replay import replay
from compression_engine.result import Result
from compression_engine.steps import bringing_in
from tests.engine import nets

NETS: dict[str, Callable[[], onnx.ModelProto]] = {
    "products": nets.mlp,
    "products of 16 bits": lambda: nets.mlp(dtype=np.float16),
    "embedding that is tied": lambda: nets.encoder(tied=True),
    "convolutions": nets.convolution,
    "branches and a constant": nets.with_constant_and_branch,
}
STEPS = [
    Step("quantize_weights"),
    Step("quantize_weights", {"bits": 4}),
    Step("quantize_weights", {"symmetric": False}),
    Step("quantize_weights", {"rounding": "mse"}),
    Step("quantize_weights", {"bits": 4, "granularity": "block", "rounding": "mse"}),
    Step("quantize_weights", {"granularity": "block", "block_size": 128, "symmetric": False}),
    Step("convert_fp16"),
    Step("convert_fp16", {"storage": "bfloat16"}),
]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few rows, so that small nets have many of them."""
    monkeypatch.setattr(numbers, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(rounding_by_blocks, "GROUPS_BYTES", 9000)


def apart(net: onnx.ModelProto, folder: Path, **options: Any) -> Path:
    folder.mkdir(parents=True)
    chosen = {"location": "weights.bin", "size_threshold": 0} | options
    onnx.save_model(net, str(folder / "model.onnx"), save_as_external_data=True, **chosen)
    return folder


def worked_on(path: Path, step: Step, target: Path) -> tuple[Any, ...]:
    """What a step makes of a model, whose child is written and opens: digests of all tensors, the report, the quantisation map."""
    made = make(onnx_io.load(path / "model.onnx"), Recipe("r", (step,)), silent)
    target.mkdir(parents=True, exist_ok=True)
    onnx_io.write(made.model, target / "model.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(target / "model.onnx"), options)
    onnx.checker.check_model(str(target / "model.onnx"))
    return onnx_io.tensor_digests(made.model), made.steps, made.marks


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", NETS)
def test_a_tensor_in_a_file_becomes_the_same_bits_as_in_memory(name: str, tmp_path: Path) -> None:
    net = NETS[name]()
    nets.save(net, tmp_path / "whole")
    apart(net, tmp_path / "apart")
    for number, step in enumerate(STEPS):
        if step.method == "convert_fp16" and "16" in name:
            continue
        with spooling(tmp_path):
            found = worked_on(tmp_path / "apart", step, tmp_path / f"apart-{number}")
        assert found == worked_on(tmp_path / "whole", step, tmp_path / f"whole-{number}"), step
        assert (tmp_path / f"apart-{number}" / "model.onnx.data").stat().st_size > 0


@pytest.mark.usefixtures("small_blocks")
def test_two_steps_on_one_model_leave_each_others_weights_alone(tmp_path: Path) -> None:
    steps = (Step("quantize_weights", {"bits": 4, "exclude": ("first",)}), Step("quantize_weights"))
    nets.save(nets.mlp(), tmp_path / "whole")
    apart(nets.mlp(), tmp_path / "apart")
    found = []
    for name in ("whole", "apart"):
        made = make(onnx_io.load(tmp_path / name / "model.onnx"), Recipe("r", steps), silent)
        found.append(onnx_io.tensor_digests(made.model))
    assert found[0] == found[1]


def test_progress_is_told_in_bytes(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    def note(stage: str, done: int, total: int, message: str) -> None:
        if stage == "compress":
            told.append((done, total))

    make(onnx_io.load(apart(nets.mlp(), tmp_path / "m") / "model.onnx"), Recipe("r", (Step("quantize_weights"),)), note)
    assert told[-1] == (4 * 256 * (64 + 48), 4 * 256 * (64 + 48))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def compressed(parent: Path, target: Path, step: Step | None = None) -> Result:
    return compress(parent, Recipe("r", (step or Step("quantize_weights"),)), output_folder=target)


def test_the_child_lies_in_two_files_as_the_result_says_and_is_replayed_to_their_bytes(tmp_path: Path) -> None:
    parent = apart(nets.mlp(), tmp_path / "parent")
    result = compressed(parent, tmp_path / "child")
    assert [(entry["path"], entry["role"]) for entry in result.outputs] == [
        ("model.onnx", "weights"), ("model.onnx.data", "external_data"),
    ]  # fmt: skip
    replay(tmp_path / "child" / "RESULT.json", parent=parent, output_folder=tmp_path / "again")
    for name in ("model.onnx", "model.onnx.data"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "child" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "child").iterdir()) == [
        "RESULT.json",
        "model.onnx",
        "model.onnx.data",
    ]


def test_a_replay_asks_for_the_external_data_that_the_result_was_made_from(tmp_path: Path) -> None:
    parent = apart(nets.mlp(), tmp_path / "parent")
    compressed(parent, tmp_path / "child")
    content = bytearray((parent / "weights.bin").read_bytes())
    content[5] ^= 1
    (parent / "weights.bin").write_bytes(content)
    with pytest.raises(EngineError, match=r"weights\.bin") as refused:
        replay(tmp_path / "child" / "RESULT.json", parent=parent, output_folder=tmp_path / "again")
    assert refused.value.code == "replay_parent_differs"


def test_a_model_of_two_files_is_replayed_under_its_name_alone(tmp_path: Path) -> None:
    parent = apart(nets.mlp(), tmp_path / "parent")
    compressed(parent, tmp_path / "small.onnx")
    replay(tmp_path / "small.RESULT.json", parent=parent, output_folder=tmp_path / "again" / "small.onnx")
    with pytest.raises(EngineError) as refused:
        replay(tmp_path / "small.RESULT.json", parent=parent, output_folder=tmp_path / "other.onnx")
    assert refused.value.code == "replay_name_differs"
    assert not (tmp_path / "other.onnx").exists()


def test_tensors_begin_where_they_may_be_mapped_and_tied_ones_are_stored_once(tmp_path: Path) -> None:
    net = nets.mlp()
    net.graph.initializer.append(numpy_helper.from_array(nets.weights(300, 100, seed=9).astype(np.float64), "spare"))
    second = net.graph.initializer.add()
    second.CopyFrom(net.graph.initializer[-2])
    second.name = "spare_again"
    net.graph.node.append(helper.make_node("MatMul", ["spare", "spare_again"], ["unused"]))
    parent = apart(net, tmp_path / "parent")
    model = onnx.load(str(parent / "model.onnx"), load_external_data=False)
    places = {one.name: {entry.key: entry.value for entry in one.external_data} for one in model.graph.initializer}
    for tensor in model.graph.initializer:
        if tensor.name == "spare_again":
            del tensor.external_data[:]
            for key, value in places["spare"].items():
                tensor.external_data.add(key=key, value=value)
    (parent / "model.onnx").write_bytes(model.SerializeToString())
    made = make(onnx_io.load(parent / "model.onnx"), Recipe("r", (Step("convert_fp16"),)), silent)
    onnx_io.write(made.model, tmp_path / "child.onnx")
    child = onnx.load(str(tmp_path / "child.onnx"), load_external_data=False)
    found = {
        one.name: {entry.key: entry.value for entry in one.external_data}
        for one in child.graph.initializer
        if one.data_location == TensorProto.EXTERNAL
    }
    assert found["spare"]["offset"] == found["spare_again"]["offset"]
    for place in found.values():
        assert int(place["offset"]) % (4096 if int(place["length"]) >= 65536 else 64) == 0
        assert place["location"] == "child.onnx.data"


@pytest.mark.parametrize("layout", ["one file for each tensor", "unaligned", "some inside"])
def test_every_layout_that_is_in_use_is_read(layout: str, tmp_path: Path) -> None:
    if layout == "one file for each tensor":
        parent = apart(nets.mlp(), tmp_path / "parent", all_tensors_to_one_file=False)
    elif layout == "some inside":
        parent = apart(nets.mlp(), tmp_path / "parent", size_threshold=50_000)
    else:
        parent = apart(nets.mlp(), tmp_path / "parent")
        model = onnx.load(str(parent / "model.onnx"))
        data = b"xyz"
        for tensor in model.graph.initializer:
            start, raw = len(data), tensor.raw_data
            data += raw + b"!"
            onnx.external_data_helper.set_external_data(tensor, "weights.bin", start, len(raw))
            tensor.ClearField("raw_data")
        (parent / "weights.bin").write_bytes(data)
        (parent / "model.onnx").write_bytes(model.SerializeToString())
    nets.save(nets.mlp(), tmp_path / "whole")
    found = worked_on(parent, Step("quantize_weights"), tmp_path / "a")
    assert found == worked_on(tmp_path / "whole", Step("quantize_weights"), tmp_path / "b")


def _edited(tmp_path: Path, name: str, entries: dict[str, str]) -> Path:
    parent = apart(nets.mlp(), tmp_path / "parent")
    model = onnx.load(str(parent / "model.onnx"), load_external_data=False)
    tensor = next(one for one in model.graph.initializer if one.name == name)
    known = {entry.key: entry.value for entry in tensor.external_data} | entries
    del tensor.external_data[:]
    for key, value in known.items():
        tensor.external_data.add(key=key, value=value)
    (parent / "model.onnx").write_bytes(model.SerializeToString())
    return parent


@pytest.mark.parametrize(
    ("entries", "code", "said"),
    [
        ({"offset": "100000000"}, "file_truncated", "too short"),
        ({"offset": "64"}, "external_data_refused", "overlaps"),
        ({"length": "65532"}, "external_data_refused", "type and shape need"),
        ({"location": "../weights.bin"}, "external_data_refused", "leaves the folder"),
        ({"location": "/etc/hostname"}, "external_data_refused", "absolute"),
    ],
)
def test_external_data_that_lies_where_it_must_not_is_refused(
    entries: dict[str, str], code: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(FileRefused, match=said) as refused:
        onnx_io.load(_edited(tmp_path, "first", entries) / "model.onnx")
    assert refused.value.code == code


def test_a_folder_that_is_a_link_is_no_place_for_external_data(tmp_path: Path) -> None:
    parent = apart(nets.mlp(), tmp_path / "parent")
    (tmp_path / "elsewhere").mkdir()
    (parent / "weights.bin").rename(tmp_path / "elsewhere" / "weights.bin")
    (parent / "sub").symlink_to(tmp_path / "elsewhere")
    model = onnx.load(str(parent / "model.onnx"), load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = "sub/weights.bin"
    (parent / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FileRefused) as refused:
        onnx_io.load(parent / "model.onnx")
    assert refused.value.code == "external_data_refused"


def test_a_file_that_ends_while_it_is_read_is_said(tmp_path: Path) -> None:
    parent = apart(nets.mlp(), tmp_path / "parent")
    loaded = onnx_io.load(parent / "model.onnx")
    with (parent / "weights.bin").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(FileRefused) as refused:
        make(loaded, Recipe("r", (Step("quantize_weights"),)), silent)
    assert refused.value.code == "file_truncated"


@pytest.mark.parametrize("step", STEPS[:2] + STEPS[-1:])
def test_what_is_no_number_is_found_in_a_file_too(step: Step, tmp_path: Path) -> None:
    net = nets.mlp()
    values = numpy_helper.to_array(net.graph.initializer[2]).copy()
    values[-1, -1] = np.nan
    net.graph.initializer[2].CopyFrom(numpy_helper.from_array(values, "second"))
    with pytest.raises(FileRefused, match="'second'") as refused:
        make(onnx_io.load(apart(net, tmp_path / "m") / "model.onnx"), Recipe("r", (step,)), silent)
    assert refused.value.code == "weights_not_finite"


def test_a_step_that_wants_the_whole_model_is_refused_where_there_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = apart(nets.mlp(), tmp_path / "parent")
    nets.save(nets.mlp(), tmp_path / "whole")
    found = worked_on(parent, Step("quantize_dynamic"), tmp_path / "a")
    assert found == worked_on(tmp_path / "whole", Step("quantize_dynamic"), tmp_path / "b")
    monkeypatch.setattr(bringing_in, "memory_at_hand_bytes", lambda: 100_000.0)
    with pytest.raises(EngineError, match="block by block") as refused:
        compressed(parent, tmp_path / "child", Step("quantize_dynamic"))
    assert refused.value.code == "model_does_not_fit"
    assert not (tmp_path / "child").exists()


def test_an_older_operator_set_is_converted_without_the_numbers(tmp_path: Path) -> None:
    nets.save(nets.mlp(opset=11), tmp_path / "whole")
    apart(nets.mlp(opset=11), tmp_path / "apart")
    step = Step("quantize_weights")
    assert worked_on(tmp_path / "apart", step, tmp_path / "a") == worked_on(tmp_path / "whole", step, tmp_path / "b")


def structure(result: Result) -> dict[str, Any]:
    return next(one["document"] for one in result.document()["evidence"] if one["document"]["kind"] == "structure")


def figures(result: Result) -> dict[str, Any]:
    return {figure["metric"]: figure for figure in structure(result)["figures"]}


def test_a_huge_model_is_run_in_a_second_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = apart(nets.mlp(), tmp_path / "parent")
    here = figures(compressed(parent, tmp_path / "here"))
    monkeypatch.setattr(structure_check, "_HUGE_BYTES", 1000)
    there = figures(compressed(parent, tmp_path / "there"))
    assert there == here
    assert int(there["generated_runs"]["value"]) > 0


@pytest.mark.parametrize("step", STEPS)
def test_what_cannot_be_run_is_expanded_and_laid_beside_the_parent(
    step: Step, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(structure_check, "memory_at_hand_bytes", lambda **_: 1000.0)
    result = compressed(apart(nets.encoder(tied=True), tmp_path / "parent"), tmp_path / "child", step)
    assert {"name": "checked", "value": "structure-checked"} in structure(result)["environment"]
    assert structure(result)["method"]["name"] == "expanded_and_compared"
    found = figures(result)
    assert found["generated_runs"]["value"] is None
    assert found["compared_tensors"]["value"] == str(found["compared_tensors"]["n"])
    assert 0 < float(found["weight_error_relative"]["value"]) < 0.2
    if step == STEPS[0]:
        assert float(found["weight_error_steps_worst"]["value"]) <= 0.501


@pytest.mark.parametrize("step", [STEPS[0], STEPS[4], STEPS[6]])
def test_a_child_with_one_wrong_byte_is_not_taken_for_one_that_was_checked(step: Step, tmp_path: Path) -> None:
    parent = apart(nets.mlp(), tmp_path / "parent")
    compressed(parent, tmp_path / "child", step)
    child = tmp_path / "child" / "model.onnx"
    assert expanded_check.compare_tensors(child, parent / "model.onnx", silent)
    data = child.with_name("model.onnx.data")
    content = bytearray(data.read_bytes())
    content[1001] ^= 0x40
    data.write_bytes(content)
    with pytest.raises(OutputRefused, match="'first'") as refused:
        expanded_check.compare_tensors(child, parent / "model.onnx", silent)
    assert refused.value.code in ("output_differs", "output_not_finite")


_UNDER_A_CAP = """
import json, sys
from pathlib import Path
from compression_engine.formats import onnx_io
from compression_engine.formats.spool import spooling
from compression_engine.pipeline import make
from compression_engine.progress import silent
from compression_engine.recipe import Recipe, Step
from tests.own_memory import held_bytes, peak_bytes
before = held_bytes()
with spooling(Path(sys.argv[2])):
    for step in (Step("quantize_weights"), Step("quantize_weights", json.loads(sys.argv[3])), Step("convert_fp16")):
        made = make(onnx_io.load(Path(sys.argv[1]) / "model.onnx"), Recipe("r", (step,)), silent)
        onnx_io.write(made.model, Path(sys.argv[2]) / "model.onnx")
        onnx_io.tensor_digests(made.model)
print(peak_bytes() - before)
"""


def test_a_tensor_of_64_mib_takes_far_less_memory_than_that(tmp_path: Path) -> None:
    """Three grids in one process, on one product of 4096 x 4096; the bench has the sizes that count."""
    row = np.random.default_rng(0).normal(size=(64, 4096)).astype(np.float32)
    parent = tmp_path / "parent"
    parent.mkdir()
    with (parent / "w.bin").open("wb") as file:
        for number in range(64):
            file.write((row * np.float32(1 + number / 64)).tobytes())
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4096, 4096], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="w.bin")
    ports = ([helper.make_tensor_value_info("x", 1, ["n", 4096])], [helper.make_tensor_value_info("y", 1, ["n", 4096])])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", *ports, [tensor])
    net = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (parent / "model.onnx").write_bytes(net.SerializeToString())
    grid = json.dumps({"bits": 4, "granularity": "block"})
    command = [sys.executable, "-c", _UNDER_A_CAP, str(parent), str(tmp_path), grid]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 40 * 1024**2

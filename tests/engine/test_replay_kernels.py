"""A replay on another kind of processor: what other kernels alone may have changed is not called a difference; all else is.

OPENBLAS_CORETYPE makes OpenBLAS take the kernels of another processor, in a process of its own.
"""

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
import pytest
from onnx import helper, numpy_helper

from compression_engine.canonical import canonical, parse_canonical
from compression_engine.environment import environment
from compression_engine.errors import EngineError
from compression_engine.methods.report import Parts, Stored
from compression_engine.recipe import Recipe, Step
from compression_engine.replaying.kernels import only_by_kernels, other_kernels
from compression_engine.replaying.rederiving import rederive
from compression_engine.replaying.replay import environment_of, replay
from compression_engine.replaying.replay_report import Rederived
from tests.engine import made, nets
from tests.engine.test_gptq import correlated

FOUR = Recipe("four", (Step("quantize_weights", {"bits": 4, "granularity": "block", "rounding": "gptq"}),))
Change = Callable[[onnx.ModelProto], None]


def here() -> dict[str, str]:
    return {str(fact["name"]): str(fact["value"]) for fact in environment(1)}


def other(kernel: str) -> str:
    """Kernels that sum in another order: those without fused multiply-add, or those with it."""
    return "Haswell" if kernel.split()[1] in ("Nehalem", "Sandybridge", "Prescott", "Core2") else "Nehalem"


def net() -> onnx.ModelProto:
    """Large enough that the last bit of a sum decides some rounding."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Add", ["m", "bias"], ["a"]),
        helper.make_node("Relu", ["a"], ["y"]),
    ]
    tensors = {"w": nets.weights(512, 512), "bias": nets.weights(512, seed=1)}
    sized = (onnx.TensorProto.FLOAT, ["n", 512])
    return nets.model(nodes, tensors, {"x": sized}, {"y": sized})


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with parent, recipe, rows, and in `out` what another kind of processor made of them."""
    kernel = here()["blas_kernel"]
    if not kernel.startswith("openblas") or here()["machine"] != "x86_64":
        pytest.skip("kernels of another processor can be asked for with OpenBLAS on x86-64 alone")
    folder = tmp_path_factory.mktemp("elsewhere")
    nets.save(net(), folder / "parent")
    nets.save_rows({"x": correlated(64, 512)}, folder / "rows.npz")
    (folder / "recipe.json").write_bytes(canonical(FOUR.document()))
    command = [
        sys.executable,
        "-m",
        "compression_engine",
        "compress",
        str(folder / "parent"),
        "--output",
        str(folder / "out"),
    ]
    command += ["--recipe", str(folder / "recipe.json"), "--calibration", str(folder / "rows.npz")]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OPENBLAS_CORETYPE": other(kernel)})
    return folder


def recorded(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = parse_canonical((folder / "out" / "RESULT.json").read_bytes())
    return document


def again(folder: Path, child: Path, recorded_on: dict[str, str] | None) -> Rederived:
    return rederive(
        child, parent=folder / "parent", recipe=FOUR, calibration=folder / "rows.npz", recorded_on=recorded_on
    )


def test_the_result_says_for_which_processor_its_kernels_are_written_and_no_name_of_the_host(elsewhere: Path) -> None:
    said = environment_of(recorded(elsewhere))
    assert said["blas_kernel"].split() == ["openblas", other(here()["blas_kernel"])]
    assert said["cpu_flags"] == here()["cpu_flags"]
    assert os.uname().nodename not in said.values()


def test_bytes_that_other_kernels_made_cannot_be_told_here(elsewhere: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be told on this processor") as refused:
        replay(
            elsewhere / "out" / "RESULT.json", parent=elsewhere / "parent", output_folder=tmp_path / "again",
            calibration=elsewhere / "rows.npz",
        )  # fmt: skip
    assert refused.value.code == "replay_processor_differs"
    assert f"-> {here()['blas_kernel']}" in str(refused.value.message)
    assert not (tmp_path / "again").exists()
    for known in (environment_of(recorded(elsewhere)), None):  # None: nobody says where it was made
        found = again(elsewhere, elsewhere / "out" / "model.onnx", known)
        assert found.document["outcome"] == "cannot-be-told"
        assert "cannot be told on this processor" in found.plain
        figures = {one["metric"]: one["value"] for one in found.document["evidence"][0]["document"]["figures"]}
        assert (figures["bit_exact"], figures["within_tolerance"]) == ("0", "0")


def test_on_the_recorded_kernels_the_same_file_differs(elsewhere: Path) -> None:
    """Whoever claims to have made it on this very processor is held to it."""
    found = again(elsewhere, elsewhere / "out" / "model.onnx", here())
    assert found.document["outcome"] == "differs"


def bias(model: onnx.ModelProto) -> None:
    tensor = next(one for one in model.graph.initializer if one.name == "bias")
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(1), tensor.name))


def operator(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Tanh"


def shape(model: onnx.ModelProto) -> None:
    tensor = next(one for one in model.graph.initializer if one.name == "bias")
    tensor.CopyFrom(numpy_helper.from_array(np.zeros(7, dtype=np.float32), tensor.name))


@pytest.mark.parametrize("change", [bias, operator, shape])
def test_what_no_kernel_does_is_a_difference_on_every_processor(
    elsewhere: Path, change: Change, tmp_path: Path
) -> None:
    bent = made.changed(elsewhere / "out" / "model.onnx", tmp_path / "bent", change)
    assert again(elsewhere, bent, environment_of(recorded(elsewhere))).document["outcome"] == "differs"
    if change is bias:
        document = recorded(elsewhere)
        rows = [
            one | ({"digest": "sha256:" + "1" * 64} if one["name"] == "bias" else {}) for one in document["tensors"]
        ]
        (tmp_path / "R.json").write_bytes(canonical(document | {"tensors": rows}))
        with pytest.raises(EngineError) as refused:
            replay(
                tmp_path / "R.json", parent=elsewhere / "parent", output_folder=tmp_path / "again",
                calibration=elsewhere / "rows.npz",
            )  # fmt: skip
        assert refused.value.code == "replay_differs"


def test_a_recipe_that_looks_at_nothing_is_the_same_everywhere_or_differs(elsewhere: Path, tmp_path: Path) -> None:
    child = made.child(elsewhere / "parent", made.WEIGHTS, tmp_path / "child")

    def one_number(model: onnx.ModelProto) -> None:
        tensor = next(one for one in model.graph.initializer if one.data_type == onnx.TensorProto.INT8)
        values = numpy_helper.to_array(tensor).copy()
        values.flat[0] += 1
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    bent = made.changed(child, tmp_path / "bent", one_number)
    assert rederive(bent, parent=elsewhere / "parent", recipe=made.WEIGHTS).document["outcome"] == "differs"


def test_what_is_not_in_both_environments_is_no_other_processor() -> None:
    known = here()
    assert other_kernels(known) == ""
    assert other_kernels(known | {"onnxruntime": "0", "threads": "9"}) == ""
    older = {name: value for name, value in known.items() if name != "blas_kernel"}
    assert other_kernels(older) == ""
    assert other_kernels(older | {"cpu_model": "Another"}) == f"cpu_model Another -> {known['cpu_model']}"
    assert other_kernels(known | {"cpu_flags": "avx2"}).startswith("cpu_flags avx2 -> ")
    assert "not on record" in other_kernels(None)


def test_a_step_that_may_leave_layers_out_by_what_it_saw_may_change_anything() -> None:
    mark = Stored("w", "int4", "symmetric", "block-32", "gptq", None, None, Parts(values="w_int4", scale="w_scale"))
    static = Recipe("static", (Step("quantize_static"),))
    assert only_by_kernels(FOUR, [mark], ["w_int4", "w_scale"])
    assert not only_by_kernels(FOUR, [mark], ["w_int4", "b"])
    assert not only_by_kernels(FOUR, [mark], ["w_int4"], form_same=False)
    assert only_by_kernels(static, [], ["anything"], form_same=False)
    assert not only_by_kernels(made.WEIGHTS, [mark], ["w_int4"])


def test_the_command_line_takes_where_it_was_made(elsewhere: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "compression_engine",
        "replay",
        "--recorded",
        str(elsewhere / "out" / "model.onnx"),
    ]
    command += ["--parent", str(elsewhere / "parent"), "--recipe", str(elsewhere / "recipe.json"), "--json"]
    command += ["--calibration", str(elsewhere / "rows.npz"), "--report", str(tmp_path / "report.json")]
    command += ["--recorded-on", str(elsewhere / "out" / "RESULT.json")]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    report = json.loads(answer)["report"]
    assert report["outcome"] == "cannot-be-told"
    assert "blas_kernel" in report["evidence"][0]["plain"][0]

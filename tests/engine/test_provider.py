"""The execution provider of an evaluation: recorded, refused where there is none of that name, and never more than it covers."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from compression_engine.answers.outputs import Outputs
from compression_engine.data import Encoder, read_rows
from compression_engine.errors import EngineError
from compression_engine.evaluation import Beside, Settings, evaluate
from compression_engine.measure import energy, memory
from compression_engine.measure.context import Context
from compression_engine.plan import Plan
from compression_engine.runtime import CPU, Model
from tests.engine import nets

OTHERS = [name for name in onnxruntime.get_available_providers() if name != CPU]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    nets.save(nets.mlp(), tmp_path)
    nets.save_rows(nets.rows_for("x", 6), tmp_path / "rows.npz")
    return tmp_path


def engine(folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "compression_engine", "evaluate", str(folder / "model.onnx"), "--json", "--quick"]
    command += ["--data", str(folder / "rows.npz"), "--output", str(folder / "RESULT.json"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_the_provider_stands_in_the_environment_of_result_and_evidence(folder: Path) -> None:
    code, told = engine(folder, "--provider", CPU)
    assert code == 0, told
    result = told["result"]
    for environment in (result["environment"], *(entry["document"]["environment"] for entry in result["evidence"])):
        assert {"name": "execution_provider", "value": CPU} in environment


def test_a_provider_that_onnxruntime_does_not_offer_is_refused_with_those_that_it_does(folder: Path) -> None:
    code, told = engine(folder, "--provider", "TensorrtExecutionProvider")
    assert (code, told["code"]) == (1, "provider_missing")
    assert "TensorrtExecutionProvider" in told["message"]
    assert CPU in told["hint"]
    assert not (folder / "RESULT.json").exists()


@pytest.mark.skipif(not OTHERS, reason="this onnxruntime has no other provider")
def test_answers_of_another_provider_are_not_gone_on_with(folder: Path) -> None:
    def runs(provider: str) -> int:
        """How often rows were answered."""
        told: list[str] = []
        evaluate(
            folder / "model.onnx", data=folder / "rows.npz", beside=Beside(work=folder / "work"),
            settings=Settings(rounds=3, memory_repeats=1, provider=provider),
            progress=lambda stage, done, total, message: told.append(stage),
        )  # fmt: skip
        return told.count("answer")

    assert (runs(CPU), runs(CPU)) == (1, 0)
    with pytest.raises(EngineError) as refused:
        runs(OTHERS[0])
    assert refused.value.code == "work_differs"


@pytest.mark.skipif(not OTHERS, reason="this onnxruntime has no other provider")
def test_what_a_device_beside_the_processor_takes_is_said_to_be_missing(folder: Path) -> None:
    model = Model(folder / "model.onnx", 1, provider=OTHERS[0])
    encoder = Encoder(read_rows(folder / "rows.npz"), model.inputs(), None)
    given = Context(
        Outputs({"version": {}}), Plan(), models={"version": model}, paths={"version": folder / "model.onnx"},
        encoder=encoder, rounds=3, memory_repeats=1,
    )  # fmt: skip
    (held,), (taken,) = memory.measure(given), energy.measure(given)
    for entry in (*held.measurements, *taken.measurements):
        assert f"the device that {OTHERS[0]} uses is not in it" in str(entry.reason)
    on_processor = replace(given, models={"version": Model(folder / "model.onnx", 1)})
    for entry in (*memory.measure(on_processor)[0].measurements, *energy.measure(on_processor)[0].measurements):
        assert "device" not in str(entry.reason)

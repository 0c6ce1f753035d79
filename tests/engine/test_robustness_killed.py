"""An engine that is killed while models answer damaged rows goes on where it was, and says the same to the byte."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from compression_engine.plan import PLAN_TYPE
from tests.engine import nets

CELLS = 4 * 5  # four corruptions of numbers in five severities


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    nets.save(nets.mlp(), tmp_path, "model.onnx")
    child = nets.applied(nets.mlp(), "quantize_weights")[0]
    nets.save(child, tmp_path, "child.onnx")
    nets.save_rows(nets.rows_for("x", 300), tmp_path / "rows.npz")
    (tmp_path / "plan.json").write_text(
        json.dumps({"type": PLAN_TYPE, "modality": "tabular", "measures": ["robustness"]})
    )
    return tmp_path


def command(folder: Path, result: str, *words: str) -> list[str]:
    return [
        sys.executable, "-m", "compression_engine", "evaluate", str(folder / "child.onnx"), "--json",
        "--parent", str(folder / "model.onnx"), "--data", str(folder / "rows.npz"), "--plan", str(folder / "plan.json"),
        "--output", str(folder / result), *words,
    ]  # fmt: skip


def test_what_was_answered_before_the_kill_is_not_asked_again_and_the_result_is_the_same(folder: Path) -> None:
    work = folder / "work"
    with subprocess.Popen(
        command(folder, "KILLED.json", "--work", str(work)), stdout=subprocess.PIPE, text=True
    ) as killed:
        assert killed.stdout is not None
        for line in killed.stdout:
            told = json.loads(line)
            if told.get("stage") == "robustness" and told["done"] == 6 and told["total"] == CELLS:
                killed.kill()
                break
        killed.stdout.read()
    assert killed.returncode == -9
    assert not (folder / "KILLED.json").exists()
    kept = {path.name: path.stat().st_mtime_ns for path in (work / "stages").glob("*.stage")}
    assert 6 <= len(kept) < CELLS
    for result, words in (("AGAIN.json", ("--work", str(work))), ("WHOLE.json", ())):
        subprocess.run(command(folder, result, *words), check=True, capture_output=True)
    assert (folder / "AGAIN.json").read_bytes() == (folder / "WHOLE.json").read_bytes()
    after = {path.name: path.stat().st_mtime_ns for path in (work / "stages").glob("*.stage")}
    assert len(after) == CELLS
    assert {name: after[name] for name in kept} == kept

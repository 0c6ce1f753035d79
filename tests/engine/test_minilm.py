"""The promises on a real model with real sentences: all-MiniLM-L6-v2."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from compression_engine.pipeline import Settings, compress
from compression_engine.recipe import shipped_recipes
from compression_engine.replaying.replay import replay
from compression_engine.result import Result
from tests.engine.test_replay_elsewhere import elsewhere

SETTINGS = Settings(rounds=24, memory_repeats=1)  # so few are never extended


def made(samples: Path, output: Path, recipe: str) -> Result:
    return compress(
        samples / "minilm",
        shipped_recipes()[recipe].recipe,
        evaluation=samples / "data" / "evaluation.jsonl",
        calibration=samples / "data" / "calibration.jsonl",
        output_folder=output,
        settings=SETTINGS,
    )


def figure(result: Result, metric: str) -> float:
    value = result.value(metric)
    assert value is not None
    return value


def test_smaller_same_speed_keeps_its_promise(samples: Path, tmp_path: Path) -> None:
    result = made(samples, tmp_path / "out", "smaller-same-speed")
    assert figure(result, "size_ratio") >= 3.9
    assert figure(result, "cosine_mean") >= 0.9995
    assert figure(result, "cosine_min") >= 0.998
    assert figure(result, "nearest_neighbour_kept") >= 0.95
    assert figure(result, "batch_difference_max") == 0
    assert figure(result, "latency_ratio") <= 1.2  # 1.05 on an idle machine; the bench holds that


@pytest.mark.long
def test_faster_int8_keeps_its_promise_and_replays(samples: Path, tmp_path: Path) -> None:
    result = made(samples, tmp_path / "out", "faster-int8")
    assert figure(result, "size_ratio") >= 3.9
    assert figure(result, "cosine_mean") >= 0.9985
    assert figure(result, "cosine_min") >= 0.99
    assert figure(result, "batch_difference_max") == 0
    assert figure(result, "peak_memory_ratio") < 0.8
    digest = replay(tmp_path / "out" / "RESULT.json", parent=samples / "minilm", output_folder=tmp_path / "again")
    assert digest == result.outputs[0]["digest"]
    preprocessing = result.evidence[1].document()["environment"]
    assert any(entry["name"] == "preprocessing" and "sha256:" in entry["value"] for entry in preprocessing)


@pytest.mark.long
def test_every_recipe_that_ships_makes_the_same_bytes_with_one_thread_and_with_two(
    samples: Path, tmp_path: Path
) -> None:
    shutil.copytree(samples / "minilm", tmp_path / "nets" / "minilm")
    lines = (samples / "data" / "calibration.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "nets" / "minilm" / "rows.jsonl").write_text("".join(lines[:48]), encoding="utf-8")
    one, two = (
        elsewhere(
            tmp_path / "nets", tmp_path, 0o022, OMP_NUM_THREADS=count, OPENBLAS_NUM_THREADS=count, PYTHONHASHSEED=count
        )
        for count in ("1", "2")
    )
    assert one == two
    assert all(digest.startswith("sha256:") for digest in one.values())


def test_the_sentences_are_disjoint_english_and_many(samples: Path) -> None:
    files = {}
    for name in ("calibration", "evaluation", "baseline", "healthy", "drifted"):
        lines = (samples / "data" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        files[name] = [json.loads(line)["text"] for line in lines]
    assert len(files["evaluation"]) >= 300
    assert min(len(texts) for texts in files.values()) >= 100
    everything = [text for texts in files.values() for text in texts]
    assert len(everything) == len(set(everything))
    prose = [text for name, texts in files.items() if name != "drifted" for text in texts]
    assert all(20 <= len(text) <= 300 and text[0].isupper() and text.endswith(".") for text in prose)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json"])
def test_the_encoder_comes_with_its_companions(samples: Path, name: str) -> None:
    assert (samples / "minilm" / name).stat().st_size > 100

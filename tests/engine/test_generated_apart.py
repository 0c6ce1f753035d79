"""A child without rows that answers as its parent does not: what a person reads first, what a program reads, and when."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from compression_engine import Recipe, Step, compress
from compression_engine.checking import structure_check
from compression_engine.checking.generated_agreement import Agreement
from compression_engine.commands.told_first import words_of
from tests.engine import nets

FLOAT = TensorProto.FLOAT
BITS = {8: {}, 4: {"bits": 4}}


def fragile() -> onnx.ModelProto:
    """x [n, 64] -> y [n, 48]: a large weight of each channel meets a number that is always 0, and sets the step of all others.

    In 4 bits a step is 0.86, and weights of 0.2 become 0 for the most part; in 8 bits it is 0.05.
    """
    wide = np.random.default_rng(0).normal(size=(64, 48)).astype(np.float32) * np.float32(0.2)
    wide[0] = 6
    kept = np.ones(64, dtype=np.float32)
    kept[0] = 0
    nodes = [helper.make_node("Mul", ["x", "kept"], ["h"]), helper.make_node("MatMul", ["h", "w"], ["y"])]
    ports: Any = ({"x": (FLOAT, ["n", 64])}, {"y": (FLOAT, ["n", 48])})
    return nets.model(nodes, {"kept": kept, "w": wide}, *ports)


def apart_in(document: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The figure for a program, and its sentence."""
    entry = next(entry for entry in document["evidence"] if entry["document"]["kind"] == "structure")
    for figure, line in zip(entry["document"]["figures"], entry["plain"], strict=True):
        if figure["metric"] == "generated_apart":
            return figure, line
    raise AssertionError("the evidence says nothing of answers that are apart")


def called(folder: Path, bits: int, *words: str) -> subprocess.CompletedProcess[str]:
    recipe = folder / f"{bits}.json"
    recipe.write_bytes(Recipe("r", (Step("quantize_weights", BITS[bits]),)).canonical())
    parent = nets.save(fragile(), folder / "parent")
    command = [sys.executable, "-m", "compression_engine", "compress", str(parent), "--recipe", str(recipe)]
    command += ["--output", str(folder / "out" / "small.onnx"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_net_that_four_bits_destroy_is_told_before_anything_else_with_what_to_do(tmp_path: Path) -> None:
    done = called(tmp_path, 4)
    assert done.returncode == 0  # noise is no proof, so the child stands; but nobody may take it for sound
    heading, first, *_ = done.stdout.splitlines()
    assert heading == "In short"
    assert "On generated inputs its answers are NOT its original's: 6 of 6 are far from them" in first
    assert "proves neither that it is broken nor that it is sound" in first
    assert all(way in first for way in ("--evaluation", "`search`", "8 bits", "`exclude`"))


def test_a_program_reads_how_many_answers_are_apart(tmp_path: Path) -> None:
    done = called(tmp_path, 4, "--json")
    figure, _ = apart_in(json.loads(done.stdout.splitlines()[-1])["result"])
    assert (figure["value"], figure["unit"], figure["n"]) == ("1", "share", 6)
    stored = json.loads((tmp_path / "out" / "small.RESULT.json").read_text("utf-8"))
    assert apart_in(stored)[0] == figure


def test_the_same_net_in_eight_bits_is_not_accused(tmp_path: Path) -> None:
    done = called(tmp_path, 8)
    assert done.returncode == 0
    assert "NOT its original's" not in done.stdout
    assert not done.stdout.startswith("In short")
    stored = json.loads((tmp_path / "out" / "small.RESULT.json").read_text("utf-8"))
    assert apart_in(stored)[0]["value"] == "0"


def test_that_a_child_was_not_run_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure_check, "memory_at_hand_bytes", lambda **_: 1000.0)
    recipe = Recipe("r", (Step("quantize_weights"),))
    result = compress(nets.save(nets.mlp(), tmp_path / "parent"), recipe, output_folder=tmp_path / "out")
    assert "It was NOT run" in words_of(result.document())[1]
    assert "Nobody knows what it answers" in words_of(result.document())[1]


def judged(ours: Any, theirs: Any) -> float | None:
    agreement = Agreement()
    agreement.add(["y"], [np.asarray(ours)], [np.asarray(theirs)])
    return {figure.metric: figure.value for figure in agreement.figures()}["generated_apart"]


@pytest.mark.parametrize(("ours", "theirs", "apart"), [
    ([[1.0, 0.48]], [[1.0, 0.0]], 0.0),  # a cosine of 0.902
    ([[1.0, 0.49]], [[1.0, 0.0]], 1.0),  # of 0.898
    ([[2.0, 4.0]], [[1.0, 2.0]], 0.0),  # of 1: a temperature changes no direction
    ([[0.5], [0.6]], [[0.9], [0.9]], 0.0),  # one number a row: near by its size
    ([[0.1], [0.2]], [[0.9], [0.9]], 1.0),  # a cosine of 0.95, and nothing alike
    ([1, 2, 3, 4], [1, 2, 0, 0], 0.0),
    ([1, 2, 3, 4], [1, 0, 0, 0], 1.0),
    ([[0.0, 0.0]], [[1.0, 2.0]], 1.0),
    ([[0.0, 0.0]], [[0.0, 0.0]], 0.0),
])  # fmt: skip
def test_answers_are_apart_by_direction_by_size_where_there_is_none_and_by_entries(
    ours: Any, theirs: Any, apart: float
) -> None:
    assert judged(ours, theirs) == apart


def test_answers_of_which_none_could_be_compared_are_no_proof_and_are_told() -> None:
    assert judged([1.0], [1.0, 2.0]) is None
    agreement = Agreement()
    agreement.add(["y"], [np.ones(1)], [np.ones(2)])
    figure = next(entry for entry in agreement.figures() if entry.metric == "generated_apart")
    assert figure.reason == "no answer could be compared"
    entry = {"kind": "structure", "environment": [], "figures": [figure.figure()]}
    document = {"evidence": [{"document": entry, "plain": [figure.plain]}]}
    told = words_of(
        document | {"command": "compress", "data": [], "plan": None, "steps": [], "parent": None, "others": []}
    )
    assert "None of its answers could be compared" in told[1]

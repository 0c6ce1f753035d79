"""Broken and twisted files, a small share of what `tests.battery engine` tries: each gets a typed error or a right output, and
nothing is left behind or written elsewhere."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import onnx
import pytest

from tests.engine import fuzz_runner, fuzzing, nets
from tests.engine.odd_graphs import CATALOGUE

FILES = 24


@pytest.fixture(scope="module")
def runner() -> Iterator[fuzzing.Runner]:
    with fuzzing.Runner() as running:
        yield running


@pytest.mark.parametrize("kind", ["broken", "twisted"])
def test_a_file_that_is_no_model_gets_a_typed_error_or_a_right_output(
    runner: fuzzing.Runner, kind: str, tmp_path: Path
) -> None:
    found = fuzzing.attack(runner, tmp_path / "cases", range(FILES), kind=kind)
    assert found.problems == []
    assert sum(found.outcomes.values()) == FILES
    assert len(found.outcomes) >= 3  # not all are stopped by the same rule


def test_map_and_diff_of_broken_files_get_a_typed_error_or_an_answer(runner: fuzzing.Runner, tmp_path: Path) -> None:
    children = fuzzing.sound_children(tmp_path / "sound")
    for name, content in children.items():
        for verb in ("map", "diff"):
            told = runner.read(content, tmp_path / f"{verb}-{name}", verb, name, content)
            assert (told["exit"], fuzzing.problem_of_reading(told)) == (0, None), told
    found = fuzzing.attack_readers(runner, tmp_path / "cases", range(FILES), children)
    assert found.problems == []
    assert sum(found.outcomes.values()) == FILES
    assert len(found.outcomes) >= 3


def test_what_must_never_happen_is_seen() -> None:
    """The judge itself: a signal, a trace, a fault of the engine, a half success and a leftover are all told."""
    right: dict[str, Any] = {
        "exit": 0,
        "signal": None,
        "type": "result",
        "code": None,
        "trace": "",
        "message": "",
        "hint": "",
    }
    right |= {"left": ["out/OUT.RESULT.json", "out/OUT.onnx"]}
    refused = right | {"exit": 1, "type": "error", "code": "structure_invalid", "message": "m", "hint": "h", "left": []}
    assert fuzzing.problem(right) is None
    assert fuzzing.problem(refused) is None
    for wrong in (
        right | {"exit": None, "signal": int(signal.SIGSEGV)},
        right | {"left": ["out/OUT.onnx"]},
        right | {"left": [*right["left"], "tmp/more"]},
        refused | {"code": "internal"},
        refused | {"trace": "Traceback"},
        refused | {"hint": ""},
        refused | {"left": ["tmp/x"]},
        refused | {"exit": 2},
    ):
        assert fuzzing.problem(wrong) is not None, wrong
    read = right | {"left": []}
    assert fuzzing.problem_of_reading(read) is None
    for wrong in (right, read | {"trace": "Traceback"}, read | {"type": None}, read | {"signal": int(signal.SIGSEGV)}):
        assert fuzzing.problem_of_reading(wrong) is not None, wrong


def test_the_runner_tells_a_right_output_from_a_refusal(runner: fuzzing.Runner, tmp_path: Path) -> None:
    fine = runner.run(CATALOGUE["nodes_without_names"].build().SerializeToString(), tmp_path / "fine", "half-size")
    assert fuzzing.problem(fine) is None
    assert fine["exit"] == 0
    assert float(fine["figures"]["generated_cosine_min"]) > 0.999
    none = runner.run(b"", tmp_path / "none", "half-size")
    assert (none["exit"], none["code"], fuzzing.problem(none)) == (1, none["code"], None)
    assert none["code"] != "internal"


def _crash(folder: Path, recipe: str, whole: list[str] | None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _writes_beside_the_model(folder: Path, recipe: str, whole: list[str] | None) -> None:
    (folder / "in" / "more").write_bytes(b"more")
    (folder / "in" / "model.onnx").write_bytes(b"other")
    os._exit(0)


def _raises(folder: Path, recipe: str, whole: list[str] | None) -> None:
    (folder / "said" / "err").write_text("Traceback (most recent call last):\n")
    os._exit(70)


@pytest.mark.parametrize(
    ("engine", "what", "seen"),
    [
        (_crash, "signal", signal.SIGKILL),
        (_writes_beside_the_model, "left", ["in/model.onnx", "in/more"]),
        (_raises, "trace", "Traceback (most recent call last):\n"),
    ],
)
def test_the_runner_sees_a_crash_a_trace_and_what_is_written_elsewhere(
    engine: Callable[[Path, str, list[str] | None], None],
    what: str,
    seen: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The engine is another one here, that does what must never happen; what watches it is what watches the real one."""
    folder = tmp_path / "case"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "model.onnx").write_bytes(b"model")
    (folder / "said").mkdir()
    for name in ("out", "err"):
        (folder / "said" / name).touch()
    monkeypatch.setattr(fuzz_runner, "_run", engine)
    outcome = fuzz_runner._case(folder, "half-size")
    assert outcome[what] == seen
    assert fuzzing.problem(outcome) is not None


def test_a_model_of_external_data_is_never_read_from_outside_of_its_folder(
    runner: fuzzing.Runner, tmp_path: Path
) -> None:
    for number, place in enumerate(fuzzing.PLACES):
        net = nets.mlp()
        tensor = net.graph.initializer[0]
        size = len(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", place), ("offset", "0"), ("length", str(size))):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
        outcome = runner.run(net.SerializeToString(), tmp_path / str(number), Random(number).choice(fuzzing.RECIPES))
        assert fuzzing.problem(outcome) is None, place
        assert (outcome["exit"] == 0) == (place == "secret"), place

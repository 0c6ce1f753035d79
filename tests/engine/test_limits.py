"""A call has an end: a batch that never ends is ended, and what a call writes in all is bounded and counted in one place."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from compression_engine.answers.answer_store import AnswerStore
from compression_engine.command_line import main
from compression_engine.data import mapped
from compression_engine.errors import EngineError
from compression_engine.limits import Limits, limits, scratch, within
from compression_engine.runtime import Model
from compression_engine.stage_store import StageStore
from tests.engine import nets

MIB = 1024**2


def endless(folder: Path) -> Path:
    """y = x doubled for ever."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["s", "s"], ["t"])], "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []),
         helper.make_tensor_value_info("go", TensorProto.BOOL, []),
         helper.make_tensor_value_info("s", TensorProto.FLOAT, ["b", 2])],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []),
         helper.make_tensor_value_info("t", TensorProto.FLOAT, ["b", 2])],
    )  # fmt: skip
    net = nets.model(
        [helper.make_node("Loop", ["most", "first", "x"], ["y"], body=body)],
        {"most": np.array(2**62, dtype=np.int64), "first": np.array(True)},
        {"x": (TensorProto.FLOAT, ["b", 2])}, {"y": (TensorProto.FLOAT, ["b", 2])},
    )  # fmt: skip
    np.savez(folder / "rows.npz", x=np.ones((3, 2), dtype=np.float32))
    return nets.save(net, folder)


def evaluating(folder: Path, *more: str) -> list[str]:
    return ["evaluate", str(folder), "--data", str(folder / "rows.npz"), "--output", str(folder / "R.json"), *more]


def test_a_batch_that_never_ends_is_ended_and_the_loop_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endless(tmp_path)
    began = time.monotonic()
    assert main(evaluating(tmp_path, "--seconds-per-batch", "1", "--json")) == 1
    assert time.monotonic() - began < 30
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["code"] == "batch_does_not_end"
    assert "1 seconds" in last["message"]
    assert "the operator Loop" in last["message"]
    assert "--seconds-per-batch" in last["hint"]
    assert "PRESSMARK_RUN_TIME_LIMIT_SECONDS" in last["hint"]


def test_a_signal_ends_a_batch_that_never_ends(tmp_path: Path) -> None:
    endless(tmp_path)
    words = [sys.executable, "-m", "compression_engine", *evaluating(tmp_path, "--json")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        while '"check"' not in child.stdout.readline():
            pass
        time.sleep(1)
        os.kill(child.pid, signal.SIGTERM)
        said, _ = child.communicate(timeout=10)
    assert child.returncode == 1
    assert json.loads(said.splitlines()[-1])["code"] == "cancelled"


def test_a_model_that_ends_is_not_touched_by_the_limit(tmp_path: Path) -> None:
    model = Model(nets.save(nets.mlp(), tmp_path), 1)
    with within(Limits(seconds_per_batch=1)):
        first = model.run(nets.rows_for("x", 4))
        time.sleep(1.6)  # the time of a batch is over, and none runs
        assert np.array_equal(model.run(nets.rows_for("x", 4))[0], first[0])


def test_all_files_together_are_bounded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nets.save(nets.mlp(), tmp_path)
    nets.save_rows(nets.rows_for("x", 40), tmp_path / "rows.npz")
    answers_bytes = 40 * 48 * 4 + 40 * 8
    kept = ("--outputs", str(tmp_path / "o.safetensors"), "--work", str(tmp_path / "work"), "--quick", "--json")
    # the answers fit and their copy in one file does not: each alone stays below the limit
    assert main(evaluating(tmp_path, *kept, "--disk-limit", str(answers_bytes + 4000))) == 1
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["code"] == "disk_full"
    assert "--disk-limit" in last["hint"]
    assert "PRESSMARK_RUN_MEMORY_LIMIT_BYTES" in last["hint"]
    assert not (tmp_path / "o.safetensors").exists()
    assert not (tmp_path / "R.json").exists()
    assert main(evaluating(tmp_path, *kept, "--disk-limit", "100000")) == 0


def test_without_a_word_all_files_together_have_what_the_system_allows_one(tmp_path: Path) -> None:
    nets.save(nets.mlp(), tmp_path)
    nets.save_rows(nets.rows_for("x", 40), tmp_path / "rows.npz")
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))\n"
        "from compression_engine.command_line import main; sys.exit(main(sys.argv[1:]))"
    )
    words = evaluating(tmp_path, "--outputs", str(tmp_path / "o.safetensors"), "--quick", "--json")
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["code"], "12,000 bytes" in last["message"]) == ("disk_full", True), last


def test_answers_are_refused_before_they_are_written(tmp_path: Path) -> None:
    block = {"version": {"answer": np.zeros((10, 100), dtype=np.float64)}}
    with within(Limits(disk_bytes=20_000)):
        store = AnswerStore(tmp_path / "work", "one")
        store.append(block, 10)
        store.append(block, 10)
        with pytest.raises(EngineError, match="would take more than 20,000 bytes"):
            store.append(block, 10)
        store.abandon()
    assert sum(path.stat().st_size for path in (tmp_path / "work").iterdir()) <= 20_000


def test_what_an_earlier_attempt_left_counts(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path, "one")
    store.append({"version": {"answer": np.zeros((10, 100), dtype=np.float64)}}, 10)
    store.close()
    StageStore(tmp_path / "stages").put("stage", "inputs", bytes(1000))
    with within(Limits(disk_bytes=10_000)):
        AnswerStore(tmp_path, "one").abandon()
        StageStore(tmp_path / "stages")
        assert limits().used_bytes == 8000 + 80 + 1032


@pytest.mark.parametrize("kind", ["temporary", "growing", "taken"])
def test_a_nameless_file_is_counted_while_its_rows_are_held(kind: str) -> None:
    size_bytes = 40 * MIB
    with within(Limits(disk_bytes=100 * MIB)):
        if kind == "temporary":
            rows = mapped.temporary((40, MIB), np.dtype(np.uint8))
        elif kind == "taken":
            rows = mapped.taken(np.ones((1, MIB), dtype=np.uint8).repeat(40, axis=0), np.arange(40))
        else:
            growing = mapped.Growing()
            for _ in range(40):
                growing.append(np.ones((1, MIB), dtype=np.uint8))
            rows = growing.array()
            del growing
        part = rows[3:5]
        assert limits().used_bytes == size_bytes
        del rows
        assert limits().used_bytes == size_bytes
        del part
        assert limits().used_bytes == 0
        with pytest.raises(EngineError, match="disk"):
            mapped.temporary((101, MIB), np.dtype(np.uint8))
        assert limits().used_bytes == 0


def test_an_array_that_is_unpacked_counts(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "rows.npz", x=np.zeros((40, MIB), dtype=np.uint8))
    with within(Limits(disk_bytes=30 * MIB)), pytest.raises(EngineError) as refused:
        mapped.numpy_arrays(tmp_path / "rows.npz")
    assert refused.value.code == "disk_full"
    with within(Limits(disk_bytes=50 * MIB)):
        arrays = mapped.numpy_arrays(tmp_path / "rows.npz")
        assert limits().used_bytes >= 40 * MIB
        del arrays
        assert limits().used_bytes == 0


def test_a_scratch_folder_gives_its_room_back() -> None:
    with within(Limits(disk_bytes=10_000)):
        for _ in range(5):
            with scratch("pressmark-test-") as folder:
                store = AnswerStore(folder / "answers", "one")
                store.append({"version": {"answer": np.zeros((10, 100), dtype=np.float64)}}, 10)
                store.close()
        assert limits().used_bytes == 0

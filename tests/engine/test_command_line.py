"""The contract that the registry's worker is written against, tried as the worker uses it: as a child process."""

from __future__ import annotations

import json
import mmap
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from compression_engine import command_line
from compression_engine.canonical import parse_canonical
from compression_engine.errors import Cancelled
from compression_engine.methods import METHODS
from compression_engine.recipe import Recipe
from tests.engine import nets

QUICK = ["--quick", "--json"]


def run(*arguments: object) -> tuple[int, list[dict[str, Any]], str]:
    command = [sys.executable, "-m", "compression_engine", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    lines = [json.loads(line) for line in done.stdout.splitlines()] if "--json" in arguments else []
    return done.returncode, lines, done.stdout + done.stderr


def test_compress_tells_progress_and_ends_with_the_result(mlp_folder: Path, tmp_path: Path) -> None:
    out, rows = tmp_path / "out", mlp_folder / "rows.npz"
    code, lines, said = run(
        "compress", mlp_folder, "--recipe", "faster-int8", "--output", out, "--evaluation", rows, "--calibration", rows,
        "--seed", 7, *QUICK,
    )  # fmt: skip
    assert code == 0, said
    progress, last = lines[:-1], lines[-1]
    assert {line["type"] for line in progress} == {"progress"}
    assert all(set(line) == {"type", "stage", "done", "total", "message"} for line in progress)
    assert all(0 <= line["done"] <= line["total"] for line in progress)
    stages = list(dict.fromkeys(line["stage"] for line in progress))
    stages = [stage for stage in stages if stage != "latency"]  # the inner steps of timing
    assert stages == ["read", "compress", "check", "answer", "seen", "size", "fidelity", "timing", "memory", "write"]
    assert (last["type"], last["command"], last["result_path"]) == ("result", "compress", str(out / "RESULT.json"))
    assert last["result"] == parse_canonical((out / "RESULT.json").read_bytes())
    assert last["result"]["seed"] == 7
    assert [entry["role"] for entry in last["result"]["data"]] == ["calibration", "evaluation"]


def test_evaluate_observe_and_replay_follow_on_a_compression(mlp_folder: Path, tmp_path: Path) -> None:
    rows, out = mlp_folder / "rows.npz", tmp_path / "out"
    assert (
        run("compress", mlp_folder, "--recipe", "smaller-same-speed", "--output", out, "--evaluation", rows, *QUICK)[0]
        == 0
    )
    code, lines, said = run(
        "evaluate", out, "--parent", mlp_folder, "--data", rows, "--output", tmp_path / "e.json", *QUICK
    )
    assert code == 0, said
    assert lines[-1]["result"]["command"] == "evaluate"
    code, lines, said = run(
        "observe", out, "--parent", mlp_folder, "--data", rows, "--output", tmp_path / "b.json", "--json"
    )
    assert code == 0, said
    assert lines[-1]["distribution"] == parse_canonical((tmp_path / "b.json").read_bytes())
    code, again, said = run(
        "observe", out, "--parent", mlp_folder, "--data", rows, "--bins", tmp_path / "b.json",
        "--output", tmp_path / "w.json", "--json",
    )  # fmt: skip
    assert code == 0, said
    assert again[-1]["distribution"] == lines[-1]["distribution"]
    code, lines, said = run("replay", out / "RESULT.json", "--parent", mlp_folder, "--output", tmp_path / "r", "--json")
    assert code == 0, said
    assert lines[-1]["same"] is True


def test_inspect_says_structure_and_refuses_a_pickle(mlp_folder: Path, tmp_path: Path) -> None:
    code, lines, _ = run("inspect", mlp_folder / "model.onnx", "--json")
    assert code == 0
    assert lines[-1]["inspection"]["format"] == "onnx"
    (tmp_path / "model.onnx").write_bytes(b"\x80\x04N.")
    code, lines, _ = run("inspect", tmp_path / "model.onnx", "--json")
    assert code == 1
    assert lines[-1]["type"] == "error"
    assert lines[-1]["code"] == "pickle_refused"
    assert lines[-1]["hint"]


def test_methods_and_recipes_are_listed() -> None:
    _, lines, _ = run("methods", "--json")
    assert [entry["name"] for entry in lines[-1]["methods"]] == list(METHODS)
    assert lines[-1]["methods"][0]["parameters"][0]["default"] == 1024
    _, lines, _ = run("recipes", "--json")
    for entry in lines[-1]["recipes"]:
        assert Recipe.parse(entry["recipe"]).digest() == entry["digest"]


def test_a_person_reads_words() -> None:
    code, _, said = run("recipes")
    assert code == 0
    assert "smaller-same-speed: About four times smaller" in said
    _, _, said = run("methods")
    assert '\n  rounding = "nearest" (nearest, mse, gptq): ' in said
    assert "\n  block_size = 32 (32, 64, 128; only with granularity block): " in said
    assert "\n  percentile = 99999 (50000 to 100000; only with ranges percentile): " in said
    code, _, said = run("inspect", "nowhere.onnx")
    assert code == 1
    assert "not_found: There is no file nowhere.onnx." in said


@pytest.mark.parametrize(
    "arguments",
    [[], ["squeeze"], ["compress"], ["compress", "x", "--recipe", "y"], ["inspect", "a", "--threads", "0"],
     ["evaluate", "x", "--data", "d", "--output", "o", "--threads", "many"]],
)  # fmt: skip
def test_a_wrong_call_is_told_apart_from_a_refusal(arguments: list[str]) -> None:
    assert run(*arguments)[0] == 2


def test_refusals_keep_their_codes(mlp_folder: Path, tmp_path: Path) -> None:
    rows = mlp_folder / "rows.npz"
    bad = tmp_path / "recipe.json"
    bad.write_text('{"type":"pressmark/recipe/1","name":"a","steps":[{"method":"melt"}]}')
    cases: list[tuple[list[object], str]] = [
        (["--recipe", bad, "--evaluation", rows], "recipe_invalid"),
        (["--recipe", "nothing", "--evaluation", rows], "not_found"),
        (["--recipe", "smallest-4-bit"], "data_missing"),
        (["--recipe", "faster-int8", "--incumbent", mlp_folder], "data_missing"),
        (["--recipe", "faster-int8", "--evaluation", tmp_path / "none"], "data_missing"),
    ]
    for arguments, expected in cases:
        code, lines, said = run("compress", mlp_folder, "--output", tmp_path / "out", *arguments, *QUICK)
        assert code == 1, said
        assert lines[-1]["code"] == expected
        assert not (tmp_path / "out").exists()
    (tmp_path / "e.json").write_text("kept")
    code, lines, _ = run("evaluate", mlp_folder, "--data", rows, "--output", tmp_path / "e.json", *QUICK)
    assert (code, lines[-1]["code"]) == (1, "output_exists")
    assert (tmp_path / "e.json").read_text() == "kept"


def test_a_name_that_is_no_text_can_be_said(mlp_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"\\ud800":1}\n')
    (tmp_path / "plan.json").write_text(
        '{"type":"pressmark/evaluation_plan/1","slices":["s"],"inputs":[{"name":"x","column":"c"}]}'
    )
    code, lines, said = run(
        "evaluate", mlp_folder, "--data", tmp_path / "rows.jsonl", "--plan", tmp_path / "plan.json",
        "--output", tmp_path / "RESULT.json", *QUICK,
    )  # fmt: skip
    assert (code, lines[-1]["code"]) == (1, "data_does_not_fit"), said
    assert lines[-1]["hint"] == "They have: ?."


def test_sigterm_in_the_middle_ends_at_once_and_leaves_nothing(mlp_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "compression_engine", "compress", str(mlp_folder), "--recipe", "faster-int8"]
    command += ["--output", str(tmp_path / "out"), "--evaluation", str(mlp_folder / "rows.npz"), "--json"]
    command += ["--rounds", "10000"]
    before = set(tmp_path.iterdir())
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line).get("stage") == "latency":
                break
        assert list(tmp_path.glob(".out.partial-*"))
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read().splitlines()
        code = process.wait(timeout=10)
    assert time.monotonic() - start < 5
    assert code == 1
    last = json.loads(rest[-1])
    assert last["code"] == "cancelled"
    assert "stopped on request, at: latency, " in last["message"]
    assert last["hint"].startswith("Nothing was kept. With --resume FOLDER the same call")
    assert set(tmp_path.iterdir()) == before


def test_who_was_stopped_is_told_how_far_it_was_and_the_option_to_go_on_by(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"step-{number}").mkdir()
        (tmp_path / f"step-{number}" / "STEP.json").write_text("{}")
    stopped = Cancelled(tmp_path, "train, 3 of 10, epoch 3", "--resume")
    assert stopped.message == "The work was stopped on request, at: train, 3 of 10, epoch 3."
    assert f"lies in {tmp_path} (2 finished steps): the same call (--resume {tmp_path}) goes on" in stopped.hint
    assert Cancelled().hint == "Nothing was kept; ask for a new run."


def test_the_network_is_refused_after_start() -> None:
    attempts = (
        "socket.create_connection(('127.0.0.1', 9))",
        "socket.getaddrinfo('example.org', 80)",
        "socket.gethostbyname('example.org')",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
        "socket.socket().bind(('127.0.0.1', 0))",
        "__import__('urllib.request').request.urlopen('http://127.0.0.1:9')",
    )
    for attempt in attempts:
        code = f"import runpy, socket\nfrom compression_engine import guard\nguard.close_network()\n{attempt}"
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "network" in done.stderr.splitlines()[-1], attempt


def test_starting_the_command_closes_the_network_and_pins_threads() -> None:
    code = (
        "import os, runpy, socket, sys\n"
        "sys.argv = ['compression_engine', 'methods']\n"
        "try:\n    runpy.run_module('compression_engine', run_name='__main__')\n"
        "except SystemExit as done:\n    assert done.code == 0\n"
        "assert os.environ['OPENBLAS_NUM_THREADS'] == '1'\n"
        "socket.socket().connect(('127.0.0.1', 9))\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert "Something tried to use the network (socket.connect)" in done.stderr


def test_inspecting_starts_without_heavy_libraries(mlp_folder: Path) -> None:
    code = (
        "import sys; from compression_engine.command_line import main; "
        f"code = main(['inspect', {str(mlp_folder / 'model.onnx')!r}, '--json']); "
        "sys.stderr.write(str([m for m in ('numpy', 'onnx', 'onnxruntime', 'torch') if m in sys.modules])); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]"


def test_siblings_are_handed_over(tmp_path: Path) -> None:
    import onnx

    path = tmp_path / "model.onnx"
    onnx.save_model(nets.mlp(), str(path), save_as_external_data=True, location="w.bin", size_threshold=0)
    assert run("inspect", path, "--json")[1][-1]["code"] == "external_data_refused"
    code, lines, _ = run("inspect", path, "--sibling", "w.bin", "--json")
    assert code == 0
    assert lines[-1]["inspection"]["external_files"] == ["w.bin"]


@pytest.mark.parametrize("more", [[], ["--disk-limit", "1000000000"]])
def test_a_file_that_may_not_be_so_large_is_said_with_the_limit(
    more: list[str], mlp_folder: Path, tmp_path: Path
) -> None:
    words = ["evaluate", mlp_folder, "--data", mlp_folder / "rows.npz", "--output", tmp_path / "r.json", *QUICK, *more]
    limited = ["bash", "-c", 'ulimit -f 1; trap "" XFSZ; exec "$@"', "bash", sys.executable, "-m", "compression_engine"]
    done = subprocess.run([*limited, *map(str, words)], capture_output=True, text=True, check=False, timeout=120)
    last = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, last["code"]) == (1, "disk_full")
    assert "1,024 bytes" in last["message"]
    assert "PRESSMARK_RUN_MEMORY_LIMIT_BYTES" in last["hint"]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "r.json").exists()


def test_memory_that_the_system_refuses_to_map_is_no_fault_of_the_engine(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="allocate memory") as refused:
        mmap.mmap(-1, 2**48)  # answers and rows are mapped
    assert command_line._unforeseen(refused.value).code == "out_of_memory"
    assert "Traceback" not in capsys.readouterr().err


_ON_A_FULL_DISK = """
import os, stat, sys
from compression_engine.steps import work_files
from compression_engine.command_line import main

def full(name, flags):  # refuses every byte of the answers, as a full disk does
    return os.open("/dev/full" if os.fspath(name).endswith("0.values") else name, flags, 0o666)

work_files._without_links = full
stat.S_ISREG = lambda mode: True  # the device of a full disk is no plain file
sys.exit(main(sys.argv[1:]))
"""


def test_a_full_disk_is_said_to_be_full(mlp_folder: Path, tmp_path: Path) -> None:
    words = ["evaluate", mlp_folder, "--data", mlp_folder / "rows.npz", "--output", tmp_path / "r.json", *QUICK]
    words += ["--work", tmp_path / "work"]
    command = [sys.executable, "-c", _ON_A_FULL_DISK, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    last = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, last["code"]) == (1, "disk_full")
    assert "Make room" in last["hint"]
    assert "Traceback" not in done.stderr

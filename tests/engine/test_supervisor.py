"""A crash of native code is told as an error, and what else ends the work ends the process that started it in the same way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

WORK = """
import os, signal, sys, tempfile, time
from pathlib import Path
from compression_engine.supervisor import supervised

def work():
    target = Path(sys.argv[2])
    begun = target.parent / f".{target.name}.partial-{os.getpid()}"
    begun.mkdir()
    Path(tempfile.mkdtemp(), "left").write_text("x")
    (target.parent / "scratch").write_text(tempfile.gettempdir())
    print("begun", flush=True)
    BODY

sys.exit(supervised(work, sys.argv[1:]))
"""


def started(body: str, folder: Path, *more: str) -> subprocess.Popen[str]:
    code = textwrap.dedent(WORK).replace("BODY", body)
    command = [sys.executable, "-c", code, "--output", str(folder / "OUT"), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "here"
    made.mkdir()
    return made


def test_a_crash_is_a_typed_error_and_nothing_begun_stays(folder: Path) -> None:
    said, _ = started("os.kill(os.getpid(), signal.SIGSEGV)", folder, "--json").communicate(timeout=60)
    last = json.loads(said.splitlines()[-1])
    assert (last["type"], last["code"]) == ("error", "model_crashes")
    assert "SIGSEGV" in last["message"]
    assert [path.name for path in folder.iterdir()] == ["scratch"]
    assert not Path((folder / "scratch").read_text()).exists()


def test_an_exit_code_is_handed_on(folder: Path) -> None:
    process = started("return 7", folder)
    process.communicate(timeout=60)
    assert process.returncode == 7


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGXCPU, signal.SIGUSR1])
def test_any_other_signal_ends_the_whole_in_the_same_way(folder: Path, number: signal.Signals) -> None:
    process = started(f"os.kill(os.getpid(), {int(number)}); time.sleep(30)", folder)
    process.communicate(timeout=60)
    assert process.returncode == -number
    assert [path.name for path in folder.iterdir()] == ["scratch"]


def test_a_wish_to_stop_reaches_the_work(folder: Path) -> None:
    body = "signal.signal(signal.SIGTERM, lambda *_: os._exit(5)); print('waiting', flush=True); time.sleep(30)"
    process = started(body, folder)
    assert process.stdout is not None
    assert [process.stdout.readline().strip() for _ in range(2)] == ["begun", "waiting"]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 5


def test_the_work_dies_with_the_process_that_started_it(folder: Path) -> None:
    process = started("print(os.getpid(), flush=True); time.sleep(60)", folder)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "begun"
    work = int(process.stdout.readline())
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{work}/status").exists() and time.monotonic() < deadline:
        if "zombie" in Path(f"/proc/{work}/status").read_text():
            break
        time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        for _ in range(100):
            os.kill(work, 0)
            time.sleep(0.05)

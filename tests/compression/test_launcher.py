"""The wall around the engine: no network, limits, and death with the worker. Real processes, no stand-ins."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from registry.compression import child
from registry.compression.child import EngineProcess, Limits
from tests.compression.situations import wait_for
from tests.engine import nets

LAUNCHER = str(Path(child.__file__).with_name("launcher.py"))
GIB = 1024**3


def launch(program: str, *, memory: int = GIB, seconds: int = 60) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-I", LAUNCHER, str(os.getpid()), str(memory), str(seconds)]
    return subprocess.run(
        [*words, sys.executable, "-I", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )


def namespaces_work() -> bool:
    return subprocess.run(["unshare", "--user", "--net", "true"], capture_output=True, check=False).returncode == 0


def test_what_runs_behind_the_wall_reaches_no_server_not_even_on_this_machine() -> None:
    if not namespaces_work():
        pytest.skip("this system gives no network namespaces to us")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        tried = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)"
        reached = subprocess.run([sys.executable, "-I", "-c", tried], capture_output=True, check=False)
        refused = launch(tried)
    assert reached.returncode == 0  # without the wall it would be reached
    assert refused.returncode != 0
    assert refused.stderr.startswith("network: closed by a namespace\n")
    assert "Network is unreachable" in refused.stderr


def test_where_namespaces_are_refused_it_says_what_remains() -> None:
    from registry.compression import launcher

    class Refusing:
        def unshare(self, flags: int) -> int:
            return -1

    said = launcher.close_network(Refusing())  # type: ignore[arg-type]
    assert said.startswith("network: no namespace of its own")
    assert "refuses sockets by itself" in said


def test_memory_time_and_core_files_are_limited_and_files_keep_their_owner() -> None:
    program = (
        "import os, resource as r; print(r.getrlimit(r.RLIMIT_AS), r.getrlimit(r.RLIMIT_CPU), "
        "r.getrlimit(r.RLIMIT_CORE), os.getuid())"
    )
    done = launch(program, memory=2 * GIB, seconds=7)
    expected = f"({2 * GIB}, {2 * GIB}) (37, 67) (0, 0) {os.getuid()}"
    assert done.stdout.strip() == expected, done.stderr


def test_more_memory_than_the_limit_is_refused() -> None:
    done = launch("b = bytearray(900 * 1024**2); print(len(b))", memory=GIB // 2)
    assert done.returncode == 1
    assert "MemoryError" in done.stderr


def test_a_lower_limit_that_is_in_force_stays() -> None:
    words = [sys.executable, "-I", LAUNCHER, str(os.getpid()), str(64 * GIB), "60"]
    program = "import resource as r; print(r.getrlimit(r.RLIMIT_AS)[0])"
    done = subprocess.run(
        [*words, sys.executable, "-I", "-c", program],
        capture_output=True, text=True, check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (4 * GIB, 4 * GIB)),
    )  # fmt: skip
    assert done.stdout.strip() == str(4 * GIB)


def test_no_file_grows_beyond_four_times_the_memory_and_no_signal_kills_who_tries(tmp_path: Path) -> None:
    """The file has a hole, so that nothing is filled here; one byte more than allowed is refused."""
    place, memory = tmp_path / "large", GIB // 4

    def write_byte(number: int) -> subprocess.CompletedProcess[str]:
        write = f"f = open({str(place)!r}, 'wb', buffering=0); f.seek({number - 1}); print(f.write(b'x'))"
        return launch(write, memory=memory)

    within, beyond = write_byte(4 * memory), write_byte(4 * memory + 1)
    assert (within.returncode, within.stdout) == (0, "1\n"), within.stderr
    assert (beyond.returncode, beyond.stdout) == (1, "")
    assert "File too large" in beyond.stderr


def test_an_engine_that_would_write_too_large_a_file_says_that_there_is_no_room(tmp_path: Path) -> None:
    nets.save(nets.mlp(), tmp_path)
    nets.save_rows(nets.rows_for("x"), tmp_path / "rows.npz")
    words = [sys.executable, "-I", LAUNCHER, str(os.getpid()), str(4 * GIB), "60", sys.executable, "-m"]
    call = ["compression_engine", "evaluate", ".", "--data", "rows.npz", "--output", "result.json", "--quick", "--json"]
    done = subprocess.run(
        [*words, *call], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        env={"PYTHONPATH": str(Path.cwd()), "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)),
    )  # fmt: skip
    last = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, last["code"]) == (1, "disk_full"), done.stdout + done.stderr
    assert not (tmp_path / "result.json").exists()


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def test_it_dies_when_its_worker_is_killed() -> None:
    """A worker of our own is killed without warning; the launched process, in another session, must go too."""
    worker = (
        "import os, subprocess, sys\n"
        f"words = [sys.executable, '-I', {LAUNCHER!r}, str(os.getpid()), '{GIB}', '60', sys.executable, '-I', '-c',\n"
        "         'import time; print(1, flush=True); time.sleep(60)']\n"
        "p = subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True)\n"
        "p.stdout.readline(); print(p.pid, flush=True); p.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-I", "-c", worker], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        launched = int(process.stdout.readline())
        assert not gone(launched)
        process.kill()
        process.wait()
        wait_for(lambda: gone(launched), seconds=5)


def test_it_does_not_start_when_its_worker_is_gone_already() -> None:
    words = [sys.executable, "-I", LAUNCHER, "1", str(GIB), "60", sys.executable, "-I", "-c", "print('started')"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == ""


def engine(tmp_path: Path, *arguments: str) -> EngineProcess:
    return EngineProcess(arguments, folder=tmp_path, stderr=tmp_path / "said.txt", limits=Limits(4 * GIB, 60))


def test_the_engine_sees_no_secret_and_nothing_of_its_folder_can_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRESSMARK_DATABASE_URL", "postgresql://app:secret@db/pressmark")
    (tmp_path / "json.py").write_text("raise SystemExit('imported from the job folder')")
    (tmp_path / "numpy.py").write_text("raise SystemExit('imported from the job folder')")
    process = engine(tmp_path, "recipes")
    environ = Path(f"/proc/{process.pid}/environ")
    seen = wait_for(lambda: environ.read_bytes())
    lines = list(process.lines())
    assert process.wait() == 0, (tmp_path / "said.txt").read_text()
    assert lines[-1]["type"] == "result"
    assert b"app:secret@db" not in seen
    names = {entry.split(b"=")[0].decode() for entry in seen.split(b"\0") if entry}
    assert names == {
        "HOME", "LANG", "PATH", "PYTHONPATH", "PYTHONSAFEPATH", "PYTHONHASHSEED", "TMPDIR", "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    }  # fmt: skip


def test_a_wrong_call_ends_with_its_exit_code_and_its_words_are_kept(tmp_path: Path) -> None:
    process = engine(tmp_path, "compress")
    assert list(process.lines()) == []
    assert process.wait() == 2
    assert "usage" in (tmp_path / "said.txt").read_text()


def test_stopping_ends_the_whole_group_and_may_be_asked_for_late(tmp_path: Path) -> None:
    process = engine(tmp_path, "recipes")
    process.kill()
    list(process.lines())
    assert process.wait() < 0
    began = time.monotonic()
    process.stop()
    process.kill()
    assert time.monotonic() - began < 1

"""A page of docs whose shell blocks a reader pastes one after the other, run as he would: one bash, an empty home, a real instance.

Rules:
- every block marked `sh` runs whole and in order, as it stands but for the port, which may be taken on this machine;
- a command may fail only where its line says so (`# refused`, `# no, exit status 1`), and there it has to;
- what a block printed is kept by block, so that a test compares it with what the page says.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.services.postgres import free_port

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FAILS = re.compile(r"#.*\b(refused\b|exit status (?P<status>[1-9]))")
_LISTENS = "pressmark serve "


@dataclass(frozen=True)
class Failed:
    """A command that ended with something else than 0; `line` counts from 1 in its block."""

    block: int
    line: int
    status: int


@dataclass(frozen=True)
class Walked:
    """What came of a walk."""

    printed: list[str]
    failed: set[Failed]
    told: str
    """The instance's own log, for when something went wrong."""


def blocks_of(page: Path) -> list[str]:
    """The shell blocks of a page, in order."""
    return _BLOCK.findall(page.read_text())


def expected_failures(blocks: list[str]) -> set[Failed]:
    """The commands that the page says are refused."""
    found = set()
    for number, block in enumerate(blocks, 1):
        for line, text in enumerate(block.splitlines(), 1):
            if said := _FAILS.search(text):
                found.add(Failed(number, line, int(said["status"] or 1)))
    return found


def walk(page: Path, folder: Path, seconds: float) -> Walked:
    """Run every block in one shell with an empty home in `folder`; RuntimeError where that takes longer."""
    home, failed = folder / "home", folder / "failed"
    home.mkdir(parents=True)
    failed.touch()
    port, blocks = free_port(), blocks_of(page)
    driver = [f"trap 'echo \"$BLOCK $LINENO $?\" >> {shlex.quote(str(failed))}' ERR"]
    for number, block in enumerate(blocks, 1):
        text = block.replace("127.0.0.1:8000", f"127.0.0.1:{port}").replace(_LISTENS, f"{_LISTENS}--port {port} ")
        (folder / f"{number}.sh").write_text(f"{text}true\n")  # else the block itself would end as its last command did
        driver.append(f"BLOCK={number}; . {folder}/{number}.sh > {folder}/{number}.txt 2>&1 < /dev/null")
    driver.append("kill $(jobs -p); wait")
    (folder / "driver.sh").write_text("\n".join(driver) + "\n")
    _run(["bash", "--noprofile", "--norc", str(folder / "driver.sh")], home, seconds)
    printed = [(folder / f"{number}.txt").read_text(errors="replace") for number in range(1, len(blocks) + 1)]
    rows = [Failed(*map(int, line.split())) for line in failed.read_text().splitlines()]
    logs = [path.read_text(errors="replace")[-4000:] for path in home.glob("*/serve.log")]
    return Walked(printed, set(rows), "\n".join(logs))


def _run(words: list[str], home: Path, seconds: float) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PRESSMARK_", "DJANGO_", "XDG_"))}
    scripts = str(Path(sys.executable).parent)
    environment = kept | {
        "HOME": str(home),
        "PATH": f"{scripts}:{kept['PATH']}",
        "PYTHONPATH": str(ROOT),  # of this checkout, wherever the command was installed from
    }
    process = subprocess.Popen(words, cwd=ROOT, env=environment, start_new_session=True)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"the walk takes longer than {seconds:.0f} s; see {home.parent}") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

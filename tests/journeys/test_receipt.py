"""A receipt's journey: an act over HTTP, its receipt completed, the installation destroyed; and the act can still be proved."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from audit import offline_verify
from registry.cli.demonstration.stage import Stage

PASSWORD = "a long sentence for this test"


@pytest.mark.long  # every day: tests/cli/test_receipt.py and tests/audit/test_offline_receipt.py, without processes
def test_an_act_is_proved_after_server_and_database_are_gone(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "stage", {"XDG_CONFIG_HOME": str(tmp_path / "mine")})
    stage.set()
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    told = stage.pressmark("init", "--administrator", "root", "--password-file", str(password)).stdout
    key = next(line.strip() for line in told.splitlines() if line.strip().startswith("pressmark/"))
    with stage:
        stage.pressmark("login", stage.server, "--username", "root", "--password-file", str(password))
        stage.run([sys.executable, "-c", _ACT])
        (note,) = (tmp_path / "mine" / "pressmark" / "receipts").glob("*.note")
        stage.pressmark("receipt", "complete", note.stem)
        checkpoint = tmp_path / "checkpoint"
        shutil.copy(next(stage.home.rglob("latest.note")), checkpoint)
    shutil.rmtree(stage.home)
    folder = note.with_suffix("")
    known = ["--key", key, "--checkpoint", str(checkpoint)]
    assert judged(folder, *known) == 0
    assert judged(folder) == 3
    assert judged(folder, "--checkpoint", str(checkpoint)) == 3
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        for at in {0, len(data) // 2, len(data) - 2}:
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            assert judged(folder, *known) == 1, (path, at)
        path.write_bytes(data)
    assert judged(folder, *known) == 0


_ACT = """
import argparse
from registry.cli.remote import client_of
client_of(argparse.Namespace(server=None, token_file=None)).post("teams", {"slug": "vision", "title": "Vision"})
"""


def judged(folder: Path, *arguments: str) -> int:
    """The exit status of the one-file verifier, as a stranger runs it."""
    command = [sys.executable, "-I", offline_verify.__file__, str(folder), *arguments]
    return subprocess.run(command, capture_output=True, check=False).returncode

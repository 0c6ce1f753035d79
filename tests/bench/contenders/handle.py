"""The bench's end of a contender's process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]


class Contender:
    """A contender that waits for commands; use as a context."""

    def __init__(self, name: str, home: Path, database_url: str) -> None:
        self.name = name
        home.mkdir(parents=True)
        self._log = (home / "log").open("w+")
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "tests.bench.contenders.settings",
            "PRESSMARK_TEST_CONTENDER": name,
            "PRESSMARK_HOME": str(home),
            "PRESSMARK_DATABASE_URL": database_url,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.contenders.process"], env=environment, cwd=home, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
        )  # fmt: skip

    def __enter__(self) -> Contender:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._log.close()

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Have one command done; fail with what the process said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": command, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise RuntimeError(f"{self.name} ended:\n{self._log.read()[-4000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

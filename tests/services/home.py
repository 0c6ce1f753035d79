"""A home of its own for an installation; who asks it needs no Django: functions run in a process that sets it up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Home:
    """A folder, and maybe a database elsewhere, for one installation."""

    def __init__(self, folder: Path, database_url: str = "") -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "registry.settings",
            "PRESSMARK_HOME": str(folder),
        }
        if database_url:
            self._environment["PRESSMARK_DATABASE_URL"] = database_url

    def ask(self, module: str, function: str, *numbers: int) -> dict[str, Any]:
        """What a function returns in a process of this home; RuntimeError with what it said when it fails."""
        words = ["-m", "tests.services.in_django", module, function, *map(str, numbers)]
        done = subprocess.run(
            [sys.executable, *words], env=self._environment, cwd=self._folder, capture_output=True, text=True, check=False
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr[-4000:]}")
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start `python WORDS` and leave it running; what it says goes to `started.log`."""
        with (self._folder / "started.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *words], env=self._environment, cwd=self._folder, stdout=log, stderr=log
            )

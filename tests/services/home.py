"""A home of its own for scripts that set up Django themselves; who calls them needs none."""

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

    def ask(self, *words: str) -> dict[str, Any]:
        """Run `python WORDS` and read the JSON of its last line; RuntimeError with what it said when it fails."""
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

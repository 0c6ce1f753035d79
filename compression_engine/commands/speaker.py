"""Says how far a call is and what came out: as JSON lines for a program, in words for a person."""

from __future__ import annotations

import json
import sys

from compression_engine.canonical import JSON
from compression_engine.errors import EngineError


class Speaker:
    """Writes progress and outcome to standard output."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self.reached = ""
        """What was told last of how far the work is, in words; empty before the first."""

    def progress(self, stage: str, done: int, total: int, message: str) -> None:
        """One step of the work."""
        self.reached = f"{stage}, {done:,} of {total:,}, {message}"
        if self._as_json:
            self._line({"type": "progress", "stage": stage, "done": done, "total": total, "message": message})
        elif done == total:
            sys.stderr.write(f"{stage}: {message}\n")

    def result(self, command: str, answer: dict[str, JSON], words: str) -> None:
        """What came out."""
        if self._as_json:
            self._line({"type": "result", "command": command} | answer)
        else:
            sys.stdout.write(_utf_8(words.rstrip("\n")) + "\n")

    def error(self, error: EngineError) -> None:
        """Why nothing came out."""
        if self._as_json:
            self._line({"type": "error", "code": error.code, "message": error.message, "hint": error.hint})
        else:
            sys.stderr.write(f"{error.code}: {error.message}\n{error.hint}\n")

    def _line(self, value: JSON) -> None:
        sys.stdout.write(_utf_8(json.dumps(value, ensure_ascii=False)) + "\n")
        sys.stdout.flush()


def _utf_8(text: str) -> str:
    """The text with a question mark for what is no character (in a name of a file or a column), so that it can always be said."""
    return text.encode(errors="replace").decode()

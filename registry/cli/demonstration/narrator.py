"""What the demo says on the terminal: acts, facts, and the time that each act took."""

from __future__ import annotations

import sys
import time
from typing import Any


class Narrator:
    """Prints acts and facts; bold and grey where the terminal has them."""

    def __init__(self) -> None:
        self._colour = sys.stdout.isatty()
        self._began = time.monotonic()
        self._act_began = self._began
        self.seconds: list[dict[str, Any]] = []
        self._act = ""

    def act(self, title: str) -> None:
        """A new act begins."""
        self.finish()
        self._act, self._act_began = title, time.monotonic()
        print(f"\n{self._bold(title)}", flush=True)

    def finish(self) -> None:
        """The act ends; its time is kept."""
        if self._act:
            self.seconds.append({"act": self._act, "seconds": round(time.monotonic() - self._act_began, 1)})
            self._act = ""

    def say(self, line: str) -> None:
        """One fact."""
        print(f"  {line}", flush=True)

    def table(self, rows: list[tuple[str, str]]) -> None:
        """Two columns."""
        width = max(len(left) for left, _ in rows)
        for left, right in rows:
            print(f"  {left:<{width}}  {right}", flush=True)

    def total_seconds(self) -> float:
        """Since the curtain."""
        return round(time.monotonic() - self._began, 1)

    def _bold(self, text: str) -> str:
        return f"\033[1m{text}\033[0m" if self._colour else text

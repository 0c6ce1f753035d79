"""The engine against files that are no models: broken bytes and impossible statements, each through the whole command line.

Every odd graph of the tests' catalogue is cut, flipped, joined and written over (broken), or says something impossible in a
well-formed file (twisted). None may end in a signal, a trace or the code `internal`, leave anything behind, or write elsewhere. A
file has a number and is the same in every run; numbers that fail are told.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.bench.harness import Row, at_least, at_most
from tests.engine.fuzzing import Found, Runner, attack, attack_readers, sound_children

FILES, FILES_SMALL = 5000, 30
AT_ONCE = 250
KINDS = {"broken": "broken bytes", "twisted": "impossible statements", "readers": "broken bytes for map and diff"}


def run(small: bool) -> list[Row]:
    """Rows for each kind of files."""
    return [row for kind in KINDS for row in _rows(kind, FILES_SMALL if small else FILES, small)]


def _rows(kind: str, files: int, small: bool) -> list[Row]:
    found = Found()
    with tempfile.TemporaryDirectory(prefix="pressmark-fuzz-") as folder:
        children = sound_children(Path(folder) / "sound") if kind == "readers" else {}
        for first in range(0, files, AT_ONCE):
            with Runner() as runner:
                numbers = range(first, min(files, first + AT_ONCE))
                if kind == "readers":
                    part = attack_readers(runner, Path(folder), numbers, children)
                else:
                    part = attack(runner, Path(folder), numbers, kind=kind)
            found.outcomes += part.outcomes
            found.problems += part.problems
            for problem in part.problems:
                print(problem, file=sys.stderr, flush=True)
    what, codes = KINDS[kind], len(found.outcomes)
    told = ", ".join(f"{code} {count}" for code, count in found.outcomes.most_common())
    return [
        at_most(f"{kind}-failures", f"{what}: signals, traces, leftovers", len(found.problems), 0, "files", files),
        at_least(
            f"{kind}-outcomes",
            f"{what}: different outcomes ({told})",
            codes,
            3 if small or kind == "readers" else 8,
            "codes",
            files,
        ),
    ]

"""The state machine of releases at full size: 2,000 runs of 50 acts, in processes of 50 runs each, so that memory does not grow.

A run in which the product allows what the plain model forbids, or refuses what it allows, or in which model, tables and ledger
differ at the end, fails its process. Every act has to have been allowed and refused at least once in all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.harness import Row, at_least, at_most

ROOT = Path(__file__).resolve().parents[2]
STEPS, RUNS_OF_ONE, PROCESSES = 50, 50, 40
RUNS_SMALL, PROCESSES_SMALL = 6, 2
NEVER_REFUSED = {"pass_time", "change_policy", "give_role", "take_role", "end_deputyship", "end_policy", "measure"}
"""Acts that the machine does only where they are allowed, or that only a lost role of one person refuses."""


def run(small: bool) -> list[Row]:
    """Rows about all runs together."""
    tried: Counter[str] = Counter()
    done: Counter[str] = Counter()
    words: Counter[str] = Counter()
    wrong = []
    processes = PROCESSES_SMALL if small else PROCESSES
    runs_of_one = RUNS_SMALL if small else RUNS_OF_ONE
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        ended = list(pool.map(_process, [runs_of_one] * processes))
    for status, told, report in ended:
        if status != 0:
            wrong.append(told)
            print(told, file=sys.stderr)
        tried.update(report.get("tried", {}))
        done.update(report.get("done", {}))
        words.update(report.get("words", {}))
    runs, acts = processes * runs_of_one, sum(tried.values())
    never = [name for name in tried if done[name] == 0]
    unrefused = [name for name in tried if done[name] == tried[name] and name not in NEVER_REFUSED]
    few = len(tried) if small else 0  # a share of the runs need not come everywhere
    return [
        at_most("illegal", "processes with an illegal transition or a difference at the end", len(wrong), 0, "", runs),
        at_least("acts", "acts tried", acts, runs * STEPS / 2, "", runs),
        at_most("never-allowed", f"acts that were never allowed: {never or 'none'}", len(never), few, "", acts),
        at_most("never-refused", f"acts that were never refused: {unrefused or 'none'}", len(unrefused), few, "", acts),
        at_least(
            "words", "states of approvals at the end of runs", len(words), 1 if small else 8, "", sum(words.values())
        ),
    ]


def _process(runs: int) -> tuple[int, str, dict[str, dict[str, int]]]:
    """Exit status, the last lines, and how often each act was tried and allowed."""
    with tempfile.TemporaryDirectory(prefix="pressmark-battery-") as name:
        report = Path(name) / "report.json"
        environment = os.environ | {
            "PRESSMARK_TEST_MACHINE_RUNS": str(runs),
            "PRESSMARK_TEST_MACHINE_STEPS": str(STEPS),
            "PRESSMARK_TEST_MACHINE_REPORT": str(report),
        }
        command = [sys.executable, "-m", "pytest", "-q", "tests/release/test_state_machine.py"]
        ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        found = json.loads(report.read_text()) if report.is_file() else {}
        return ended.returncode, ended.stdout[-4000:], found

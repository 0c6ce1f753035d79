"""The state machine of releases at full size: 2,000 runs of 50 acts on SQLite, and as many on PostgreSQL.

Runs are shared out to processes of 50 runs, so that memory does not grow; each has a seed, which is told where it fails, and a
database of its own. A run in which the product allows what the plain model forbids, or refuses what it allows, or in which model,
tables and ledger differ at the end, fails its process. Every act has to have been allowed and refused at least once in all.

Each process that ends is told at once on stderr. Environment: PRESSMARK_BATTERY_AT_ONCE, how many processes run side by side (one
for each processor unless said); PRESSMARK_BATTERY_DATABASES, which databases, with commas; PRESSMARK_BATTERY_REPORTS, a folder in
which the reports of processes that passed stay, so that a battery that was broken off goes on where it was. The folder knows
nothing of the code: a change of the code wants an empty one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.harness import Row, at_least, at_most
from tests.release.governance_records import NEVER_REFUSED

ROOT = Path(__file__).resolve().parents[2]
STEPS, RUNS_OF_ONE, PROCESSES = 50, 50, 40
RUNS_SMALL, PROCESSES_SMALL = 6, 1
DATABASES = ("SQLite", "PostgreSQL")


def run(small: bool) -> list[Row]:
    """Rows about all runs together, database by database."""
    wanted = os.environ.get("PRESSMARK_BATTERY_DATABASES", ",".join(DATABASES)).split(",")
    if unknown := sorted(set(wanted) - set(DATABASES)):
        raise SystemExit(f"PRESSMARK_BATTERY_DATABASES names {unknown}; there are {', '.join(DATABASES)}")
    return [
        row
        for number, database in enumerate(DATABASES)
        if database in wanted
        for row in _on(database, 1000 * number, small)
    ]


def _on(database: str, first_seed: int, small: bool) -> list[Row]:
    processes = PROCESSES_SMALL if small else int(os.environ.get("PRESSMARK_TEST_MACHINE_PROCESSES", PROCESSES))
    runs_of_one = RUNS_SMALL if small else RUNS_OF_ONE
    seeds = range(first_seed + 1, first_seed + 1 + processes)
    tried: Counter[str] = Counter()
    done: Counter[str] = Counter()
    words: Counter[str] = Counter()
    wrong = []
    with ThreadPoolExecutor(_at_once()) as pool:
        ended = list(pool.map(lambda seed: _process(database, seed, runs_of_one), seeds))
    for seed, (status, told, report) in zip(seeds, ended, strict=True):
        if status != 0:
            wrong.append(seed)
            print(f"seed {seed} on {database}:\n{told}", file=sys.stderr)
        tried.update(report.get("tried", {}))
        done.update(report.get("done", {}))
        words.update(report.get("words", {}))
    runs, acts = processes * runs_of_one, sum(tried.values())
    never = [name for name in tried if done[name] == 0]
    unrefused = [name for name in tried if done[name] == tried[name] and name not in NEVER_REFUSED]
    few = len(tried) if small else 0  # a share of the runs need not come everywhere
    at = database.lower()
    illegal = f"{database}: processes with an illegal transition or a difference at the end (seeds {wrong or 'none'})"
    return [
        at_most(f"{at}-illegal", illegal, len(wrong), 0, "", runs),
        at_least(f"{at}-acts", f"{database}: acts tried", acts, runs * STEPS / 2, "", runs),
        at_most(f"{at}-never-allowed", f"acts never allowed: {never or 'none'}", len(never), few, "", acts),
        at_most(f"{at}-never-refused", f"acts never refused: {unrefused or 'none'}", len(unrefused), few, "", acts),
        at_least(
            f"{at}-words", "states of approvals at the end", len(words), 1 if small else 8, "", sum(words.values())
        ),
    ]


def _at_once() -> int:
    said = os.environ.get("PRESSMARK_BATTERY_AT_ONCE", "")
    return int(said) if said else os.cpu_count() or 1


def _process(database: str, seed: int, runs: int) -> tuple[int, str, dict[str, dict[str, int]]]:
    """Exit status, the last lines, and how often each act was tried and allowed."""
    kept = _kept_report(database, seed, runs)
    if kept is not None and kept.is_file():
        print(f"{database}, seed {seed}: passed before, its report is kept", file=sys.stderr, flush=True)
        return 0, "", json.loads(kept.read_text())
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pressmark-battery-") as name:
        report = Path(name) / "report.json"
        environment = os.environ | {
            "PRESSMARK_TEST_MACHINE_RUNS": str(runs),
            "PRESSMARK_TEST_MACHINE_STEPS": str(STEPS),
            "PRESSMARK_TEST_MACHINE_SEED": str(seed),
            "PRESSMARK_TEST_MACHINE_REPORT": str(report),
        }
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "tests/release/test_state_machine.py"]
        if database == "PostgreSQL":
            command = [sys.executable, "-m", "tests.services.postgres", "--", *command]
        ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        found = json.loads(report.read_text()) if report.is_file() else {}
        if kept is not None and ended.returncode == 0 and found:
            shutil.copyfile(report, kept)
    word = "passed" if ended.returncode == 0 else "FAILED"
    took = time.monotonic() - began
    print(f"{database}, seed {seed}: {runs} runs {word}, {took:.0f} s", file=sys.stderr, flush=True)
    return ended.returncode, (ended.stdout + ended.stderr)[-4000:], found


def _kept_report(database: str, seed: int, runs: int) -> Path | None:
    """Where the report of this process stays, if reports are to stay."""
    said = os.environ.get("PRESSMARK_BATTERY_REPORTS", "")
    if not said:
        return None
    folder = Path(said)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{database}-{seed}-{runs}x{STEPS}.json"

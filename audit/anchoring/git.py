"""An anchor that commits each checkpoint to a git repository elsewhere and pushes it: a history that only grows, of which others
have copies.

The remote is the truth: what it holds must be continued by this ledger, and nothing is ever forced. The command `git` is needed,
and whatever lets the keeper's user push without a question.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from audit.anchoring.base import AnchorError, Task

BRANCH = "main"
TIMEOUT_SECONDS = 60
_QUIET = ["-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false", "-c", "user.name=Pressmark"]
_AUTHOR = ["-c", "user.email=keeper@pressmark.invalid"]


def put(task: Task) -> bytes:
    """One file per origin, replaced by each commit; returns the id of the commit that was pushed."""
    work = task.place / "work"
    if not (work / ".git").is_dir():
        work.mkdir(parents=True, exist_ok=True)
        _git(work, "init", "--quiet", f"--initial-branch={BRANCH}")
    name = f"{task.file_stem}.note"
    if _git(work, "ls-remote", "--", task.target, f"refs/heads/{BRANCH}"):
        _git(work, "fetch", "--quiet", "--", task.target, f"refs/heads/{BRANCH}")
        _git(work, "checkout", "--quiet", "--force", "-B", BRANCH, "FETCH_HEAD")
        if (work / name).is_file():
            task.demand_continued((work / name).read_bytes(), f"{name} in {task.target}")
    (work / name).write_bytes(task.note)
    _git(work, "add", "--", name)
    if _git(work, "status", "--porcelain"):
        _git(work, "commit", "--quiet", "-m", f"{task.checkpoint.origin}: {task.checkpoint.size} entries")
    _git(work, "push", "--quiet", "--", task.target, f"HEAD:refs/heads/{BRANCH}")
    return _git(work, "rev-parse", "HEAD").encode() + b"\n"


def _git(work: Path, *words: str) -> str:
    """Standard output of a git command; AnchorError with what git said when it failed."""
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes"}
    try:
        done = subprocess.run(
            ["git", *_QUIET, *_AUTHOR, *words], cwd=work, env=environment, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=TIMEOUT_SECONDS, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise AnchorError("the command git is not installed here") from None
    except subprocess.TimeoutExpired:
        raise AnchorError(f"git {words[0]} did not end within {TIMEOUT_SECONDS} s") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise AnchorError(f"git {words[0]} failed: {said[-1] if said else f'exit status {done.returncode}'}")
    return done.stdout.strip()

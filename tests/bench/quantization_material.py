"""What the parts of the benchmark of quantisation share: a folder, real models made once, children made as a user makes them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_TOLD_MOST = 400


@dataclass(frozen=True)
class Material:
    """Where the benchmark works, and whether it is to be quick: fewer rows and rounds, nothing that is trained first."""

    folder: Path
    quick: bool

    @property
    def rounds(self) -> int:
        """How often each model's latency is taken."""
        return 40 if self.quick else 200

    def sample(self, what: str) -> Path:
        """The folder of a sample of `compression_engine.samples`, made when it is first asked for."""
        target = self.folder / what
        if not target.is_dir():
            run_engine("compression_engine.samples", [what, str(target)])
        return target

    def rows(self, name: str) -> Path:
        """The sentences of a part (evaluation, calibration); a quick run takes the first 100 of those that are judged."""
        path = self.sample("sentences") / f"{name}.jsonl"
        if not self.quick or name != "evaluation":
            return path
        short = path.with_name(f"{name}-quick.jsonl")
        if not short.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()[:100]
            short.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return short

    def compressed(self, parent: Path, recipe: str | Path, evaluation: Path, *, calibration: Path | None = None,
                   plan: Path | None = None, number: int = 1) -> Path:  # fmt: skip
        """The folder of a child, by a recipe's name or file; `number` sets how many threads the libraries are offered."""
        name = parent.parent.name if parent.suffix else parent.name
        target = self.folder / f"{name}-{Path(recipe).stem}-{number}"
        if not target.is_dir():
            command = ["compress", str(parent), "--recipe", str(recipe), "--evaluation", str(evaluation), "--quick"]
            command += ["--output", str(target)]
            command += [] if calibration is None else ["--calibration", str(calibration)]
            command += [] if plan is None else ["--plan", str(plan)]
            run_engine("compression_engine", command, threads=number)
        return target


def run_engine(module: str, arguments: list[str], *, threads: int = 1) -> None:
    """Runs a module as a user does; raises RuntimeError with the end of what it said where it fails."""
    surroundings = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONHASHSEED")}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | surroundings)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-_TOLD_MOST:]
        raise RuntimeError(f"{module} {' '.join(arguments[:2])} ended with {done.returncode}: {said}")


def digest(path: Path) -> str:
    """SHA-256 of a file that fits into memory."""
    return hashlib.sha256(path.read_bytes()).hexdigest()

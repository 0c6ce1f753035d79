"""Models made by the peers' stock recipes, each in a process of its own; what a peer cannot do is told as its own failure.

onnxruntime's quantiser is run by this Python. NNCF and Olive are run by the one of `make peers` (`.venv-peers`), or by the one that
PRESSMARK_PEERS_PYTHON names; where there is none, every figure of theirs is a row that says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compression_engine.data import Array, Encoder, Feed
from compression_engine.data.labels import sequence_numbers
from compression_engine.errors import EngineError
from compression_engine.runtime import Model
from tests.bench import peer_models
from tests.bench.harness import Row, not_measured

_ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 1200
_TOLD_MOST = 240


@dataclass(frozen=True)
class Peer:
    """A peer's stock recipe: what it is called in the table, which package makes it, whether it looks at calibration rows."""

    name: str
    what: str
    package: str = "onnxruntime"
    calibrated: bool = False


PEERS = {
    peer.name: peer
    for peer in (
        Peer("ort_default", "onnxruntime dynamic"),
        Peer("ort_per_channel", "onnxruntime dynamic per channel"),
        Peer("ort_static", "onnxruntime static", calibrated=True),
        Peer("nncf_weights", "NNCF int8 weights", "nncf"),
        Peer("nncf_four_bits", "NNCF int4 weights, blocks of 64", "nncf"),
        Peer("nncf_static", "NNCF static", "nncf", calibrated=True),
        Peer("nncf_transformer", "NNCF static, transformer", "nncf", calibrated=True),
        Peer("olive_rtn", "Olive 4-bit round-to-nearest", "olive"),
        Peer("olive_rtn_32", "Olive 4-bit round-to-nearest, blocks of 32", "olive"),
    )
}


def make(peer: Peer, parent: Path, target: Path, feeds: Path | None = None) -> str | None:
    """Writes the peer's model of `parent` to `target`; the reason why there is none, or None. `feeds`: see `write_feeds`."""
    python = sys.executable if peer.package == "onnxruntime" else python_with(peer.package)
    if python is None:
        return f"{peer.package} is not installed here; `make peers` does it"
    command = [python, "-P", peer_models.__file__, peer.name, str(parent), str(target)]
    command += [str(feeds)] if peer.calibrated and feeds is not None else []
    try:
        # one thread, as for ours; a peer must not reach for a hub
        surroundings = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "OLIVE_DISABLE_TELEMETRY": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=surroundings, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return f"it was not done after {_SECONDS} seconds"
    if done.returncode == 0 and target.is_file():
        return None
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or [f"it ended with {done.returncode}"]
    return f"it makes no model: {lines[-1][:_TOLD_MOST]}"


def make_all(names: Sequence[str], parent: Path, start: Path, feeds: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """The files of the peers that make one which opens, called `start` and the peer's name, and why there is none of the others."""
    paths, reasons = {}, {}
    for name in names:
        target = start.with_name(f"{start.name}-{name}.onnx")
        reason = make(PEERS[name], parent, target, feeds)
        if reason is None:
            try:
                Model(target, 1, what=name)
            except EngineError as error:
                reason = f"its file does not run: {error.message}"
        if reason is None:
            paths[name] = target
        else:
            reasons[name] = reason
    return paths, reasons


def missing_row(row_id: str, what: str, reason: str) -> Row:
    """A peer's figure that could not be had, and why."""
    return not_measured(row_id, what, "-", reason[:_TOLD_MOST])


def write_feeds(path: Path, encoder: Encoder, most: int, carrying: Model | None = None) -> Path:
    """Writes what a model is fed for the first `most` rows, one row a feed, for peers that calibrate.

    `carrying`: a recurrent model, whose state goes from row to row of a sequence as it does in use; else each row begins anew.
    """
    arrays: dict[str, Array] = {}
    sequences, states, last = sequence_numbers(encoder.rows, encoder.plan), encoder.plan.states, None
    state: Feed = {}
    for row in range(min(most, len(encoder.rows))):
        feed = encoder.batch([row])
        if carrying is not None and states:
            if sequences is None or sequences[row] == last:
                feed |= state
            answered = dict(zip(carrying.output_names, carrying.run(feed), strict=True))
            state = {entry.input: answered[entry.output] for entry in states}
            last = None if sequences is None else sequences[row]
        arrays |= {f"{row:04d}/{name}": array for name, array in feed.items()}
    np.savez(path, allow_pickle=False, **arrays)
    return path


def python_with(package: str) -> str | None:
    """The Python that has a peer, or None: the one that is named, that of `make peers`, this one."""
    named = os.environ.get("PRESSMARK_PEERS_PYTHON")
    candidates = [named] if named else [str(_ROOT / ".venv-peers" / "bin" / "python"), sys.executable]
    probe = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    for candidate in candidates:
        if Path(candidate).is_file() and subprocess.run([candidate, "-c", probe], capture_output=True).returncode == 0:
            return candidate
    return None

"""Checkpoints carried, on the hour, to places that the operators of this machine cannot change: the anchors.

    # PRESSMARK_ANCHORS, one per line:   NAME KIND TARGET [OPTION]
    archive  folder   /mnt/write-once/pressmark
    mirror   git      git@elsewhere:audit/checkpoints.git
    stamp    rfc3161  https://stamps.example/tsr  /etc/pressmark/stamp-roots.pem

Rules:
- an anchor takes the newest checkpoint, at most once; what it answers (a time stamp) is kept beside the checkpoints;
- an anchor that holds what this ledger does not continue is told as such: somebody rewrote, restored or copied;
- one anchor that fails stops neither the others nor the ledger; what each last did is kept and shown;
- further kinds are plug-ins: an installed package names them under the entry point group `pressmark.anchors`.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import re
from dataclasses import asdict, dataclass
from importlib.metadata import entry_points
from pathlib import Path

from django.conf import settings

from audit import checkpoints, notes
from audit.anchoring import folder, git, rfc3161
from audit.anchoring.base import Anchor, AnchorError, Task
from audit.models import Checkpoint
from registry.digests import time_text
from registry.errors import Invalid
from registry.storage import sync_folder

logger = logging.getLogger(__name__)
GROUP = "pressmark.anchors"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_OURS: dict[str, Anchor] = {"folder": folder.put, "git": git.put, "rfc3161": rfc3161.put}


@dataclass(frozen=True)
class Spec:
    """One line of the file."""

    name: str
    kind: str
    target: str
    option: str


@dataclass(frozen=True)
class State:
    """What an anchor last did: the largest checkpoint that it took, when, and why the last turn failed."""

    name: str
    kind: str
    origin: str = ""
    size: int = 0
    at: str = ""
    error: str = ""


def kinds() -> list[str]:
    """The kinds that a line may name: ours, and those of installed packages, which never replace ours."""
    return sorted({*_OURS, *(point.name for point in entry_points(group=GROUP))})


def _load(kind: str) -> Anchor:
    if kind in _OURS:
        return _OURS[kind]
    plugged: Anchor = next(iter(entry_points(group=GROUP, name=kind))).load()
    return plugged


def specs() -> list[Spec]:
    """The anchors of this installation. Raises Invalid, naming the line."""
    path = Path(settings.PRESSMARK_ANCHORS)
    if not path.is_file():
        return []
    found: list[Spec] = []
    known = kinds()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if len(words) not in (3, 4) or not _NAME.fullmatch(words[0]) or words[1] not in known:
            raise Invalid(
                f"{path}, line {number}, is no anchor.",
                hint=f"A line is NAME KIND TARGET [OPTION]; kinds are {', '.join(known)}.",
            )
        found.append(Spec(words[0], words[1], words[2], words[3] if len(words) == 4 else ""))
    if len({spec.name for spec in found}) != len(found):
        raise Invalid(f"{path} names an anchor twice.", hint="Give each line a name of its own.")
    return found


def states() -> list[State]:
    """Each anchor with what it last did."""
    return [_state(spec) for spec in specs()]


def anchor_newest() -> int:
    """Hand the newest checkpoint to every anchor that does not have it; how many took it. Raises AnchorError when one failed."""
    newest = Checkpoint.objects.order_by("-size").first()
    if newest is None:
        return 0
    note = newest.note.encode()
    checkpoint = notes.parse_checkpoint_body(notes.parse_note(note).text)
    taken, failures = 0, []
    for spec in specs():
        before = _state(spec)
        if (before.origin, before.size, before.error) == (checkpoint.origin, checkpoint.size, ""):
            continue
        error = _hand_over(spec, checkpoint, note)
        if error:
            failures.append(f"{spec.name}: {error}")
            _keep(State(spec.name, spec.kind, before.origin, before.size, before.at, error))
        else:
            taken += 1
            now = time_text(datetime.datetime.now(datetime.UTC))
            _keep(State(spec.name, spec.kind, checkpoint.origin, checkpoint.size, now))
    if failures:
        raise AnchorError("; ".join(failures))
    return taken


def _hand_over(spec: Spec, checkpoint: notes.Checkpoint, note: bytes) -> str:
    """What went wrong, in a sentence; empty when the anchor took the checkpoint."""
    place = _place() / spec.name
    place.mkdir(parents=True, exist_ok=True)
    try:
        proof = _load(spec.kind)(Task(spec.target, spec.option, checkpoint, note, place, _root_at))
    except AnchorError as error:
        return str(error)
    except Exception as error:  # a plug-in may fail in any way, and must not stop the others
        logger.exception("the anchor %s failed", spec.name)
        return f"{type(error).__name__}: {error}"
    stem = f"{checkpoint.origin.replace('/', '-')}-{checkpoint.size}"
    _write(place / f"{stem}.note", note)
    if proof is not None:
        _write(place / f"{stem}.proof", proof)
    return ""


def _root_at(size: int) -> bytes | None:
    """The root that this ledger has at a size; None when it is shorter."""
    tree = checkpoints.tree()
    return tree.root(size) if size <= tree.size else None


def _place() -> Path:
    return Path(settings.PRESSMARK_CHECKPOINTS) / "anchors"


def _state(spec: Spec) -> State:
    try:
        kept = json.loads((_place() / f"{spec.name}.json").read_bytes())
        return State(**{**kept, "name": spec.name, "kind": spec.kind})
    except (OSError, ValueError, TypeError):
        return State(spec.name, spec.kind)


def _keep(state: State) -> None:
    _write(_place() / f"{state.name}.json", json.dumps(asdict(state)).encode())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as target:
        target.write(data)
        target.flush()
        os.fsync(target.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)

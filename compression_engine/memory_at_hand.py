"""How much memory this process may still take, and whether something fits: asked before a large model is brought in or run.

Rules:
- the least of: what the machine says is available, what is left to the group of processes, what is left of its own address space;
- limits decide whether there is an outcome, never which one.
"""

from __future__ import annotations

import math
import os
import resource
from pathlib import Path

_MEMORY = Path("/proc/meminfo")
_ADDRESSES = Path("/proc/self/statm")
_GROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def memory_at_hand_bytes(*, of_a_new_process: bool = False) -> float:
    """Bytes that may still be taken; infinite where nothing is known.

    A new process starts with an empty address space, and may raise its limit to the hard one.
    """
    found = [math.inf, *_left_of_groups()]
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if of_a_new_process:
        found += [] if hard == resource.RLIM_INFINITY else [float(hard)]
    elif soft != resource.RLIM_INFINITY:
        found.append(soft - _address_space_bytes())
    if _MEMORY.is_file():
        lines = dict(line.split(":", 1) for line in _MEMORY.read_text(encoding="ascii").splitlines() if ":" in line)
        found.append(int(lines["MemAvailable"].split()[0]) * 1024.0)
    return min(found)


def _left_of_groups() -> list[float]:
    found = []
    for folder, limit_name, used_name, cached_name in _GROUPS:
        limit, used = (_text(folder / name) for name in (limit_name, used_name))
        if limit.strip().isdigit() and used.strip().isdigit():
            # what files were read is counted as used, and given up when something else wants the room
            rows = [row.split() for row in _text(folder / "memory.stat").splitlines()]
            cached = sum(int(row[1]) for row in rows if len(row) > 1 and row[0] == cached_name)
            found.append(float(int(limit) - int(used) + cached))
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except OSError:
        return ""


def _address_space_bytes() -> int:
    if not _ADDRESSES.is_file():
        return 0
    return int(_ADDRESSES.read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")

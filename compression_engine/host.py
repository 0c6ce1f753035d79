"""Facts about the machine that serves a model: what its figures depend on, and nothing that says whose machine it is.

Rules:
- no name, no address, no serial number, no path;
- facts stay the same from one start of the machine to the next: what is free at the moment is none;
- another fact is another host: its digest changes, and what was measured before is stale.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from compression_engine.canonical import JSON, canonical, digest_of
from compression_engine.environment import environment

_GIB = 1024**3
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
_OF_THE_HOST = frozenset({"cpu_flags", "cpu_model", "machine", "numpy", "onnxruntime", "python", "system"})


def host_facts() -> list[dict[str, JSON]]:
    """Names and values, sorted by name: processor with its flags, cores and memory that we may use, kernel, libraries."""
    facts = {str(entry["name"]): str(entry["value"]) for entry in environment(1) if entry["name"] in _OF_THE_HOST}
    facts["cores"] = str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    facts["kernel"] = platform.release()
    facts["memory_gib"] = str(round(_memory_bytes() / _GIB))
    quota = _cores_allowed()
    if quota is not None:
        facts["cores_allowed"] = quota
    return [{"name": name, "value": facts[name]} for name in sorted(facts)]


def digest_of_facts(facts: list[dict[str, JSON]]) -> str:
    """SHA-256 of the canonical bytes of a list of names and values."""
    return digest_of(canonical(facts))


def _memory_bytes() -> int:
    """What the machine has, or what this group of processes may use where that is less."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _first_word(_MEMORY_LIMIT)
    return min(whole, int(limit)) if limit is not None and limit.isdigit() else whole


def _cores_allowed() -> str | None:
    """Cores' worth of time that this group of processes may use; None where nothing limits it."""
    try:
        quota, period = _QUOTA.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return None if not quota.isdigit() else f"{int(quota) / int(period):.2f}"


def _first_word(file: Path) -> str | None:
    try:
        return file.read_text(encoding="ascii").split()[0]
    except (OSError, IndexError, ValueError):
        return None

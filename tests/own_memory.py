"""What this process alone holds of memory. `getrusage` would not tell: it hands down what the caller took before the program began.

Source: VmRSS and VmHWM of Linux (proc(5)).
"""

from __future__ import annotations

from pathlib import Path


def held_bytes() -> int:
    """Resident memory now."""
    return _status_bytes("VmRSS")


def peak_bytes() -> int:
    """The most that was ever resident."""
    return _status_bytes("VmHWM")


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) * 1024

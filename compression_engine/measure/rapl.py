"""Reads the energy counters of the processor, where this machine lets us (Running Average Power Limit, Linux powercap).

Rules:
- what is added up are the packages and the memory (`dram`) beside them; cores and graphics are parts of a package, and `psys` is
  the whole platform: adding those would count twice;
- a counter starts again at zero after `max_energy_range_uj`: one turn-around between two readings is counted rightly, so
  windows are far shorter than the minute in which a busy package goes around;
- a counter that only the administrator may read is the same as none; why is said.
Source: the kernel's Documentation/power/powercap. Tested on a tree of such files; no machine of ours lets us read a real counter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compression_engine.errors import EngineError

POWERCAP = Path("/sys/class/powercap")
COUNTER_LOST = "measurement_failed"
_MICROJOULES = 1_000_000


@dataclass(frozen=True)
class Zone:
    """One counter: its name, its file, and the value after which it begins again."""

    name: str
    file: Path
    range_uj: int

    def read_uj(self) -> int:
        """The counter now; raises EngineError (measurement_failed) when it went away."""
        try:
            return int(self.file.read_text(encoding="ascii"))
        except (OSError, ValueError) as error:
            hint = "Measure again; without a readable counter energy is estimated."
            raise EngineError(COUNTER_LOST, f"The energy counter {self.name} is not readable.", hint) from error

    def joules(self, before_uj: int, after_uj: int) -> float:
        """Energy between two readings that lie less than one turn-around apart."""
        moved = after_uj - before_uj if after_uj >= before_uj else after_uj + self.range_uj - before_uj
        return moved / _MICROJOULES


@dataclass(frozen=True)
class Counters:
    """The counters of a machine; empty, with the reason, where there is none to read."""

    zones: Sequence[Zone]
    reason: str = ""

    def read_uj(self) -> list[int]:
        """All of them now."""
        return [zone.read_uj() for zone in self.zones]

    def joules(self, before_uj: Sequence[int], after_uj: Sequence[int]) -> float:
        """Energy between two readings."""
        readings = zip(self.zones, before_uj, after_uj, strict=True)
        return sum(zone.joules(before, after) for zone, before, after in readings)


def counters(root: Path = POWERCAP) -> Counters:
    """The counters that count, in the order of their names."""
    folders = sorted(root.glob("intel-rapl:*")) if root.is_dir() else []
    wanted = [folder for folder in folders if _counts(folder)]
    if not wanted:
        return Counters((), "this machine has no counters of energy (intel-rapl)")
    zones = []
    for folder in wanted:
        try:
            zone = Zone(_text(folder / "name"), folder / "energy_uj", int(_text(folder / "max_energy_range_uj")))
            zone.read_uj()
        except (OSError, ValueError, EngineError):
            return Counters((), "the counters of energy may only be read by the administrator of this machine")
        zones.append(zone)
    return Counters(tuple(zones))


def _counts(folder: Path) -> bool:
    try:
        name = _text(folder / "name")
    except (OSError, ValueError):
        return False
    is_part = folder.name.count(":") > 1
    return name == "dram" if is_part else name.startswith("package")


def _text(file: Path) -> str:
    return file.read_text(encoding="ascii").strip()

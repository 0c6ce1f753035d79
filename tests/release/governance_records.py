"""What the plain model of releases remembers: people by name, and its records."""

from __future__ import annotations

from dataclasses import dataclass, field

ENGINEERS, APPROVERS, OFFICERS, OPERATORS = {"ada", "edda"}, {"omar", "olga"}, {"carla", "clara"}, {"otto"}
PEOPLE = ("ada", "edda", "omar", "olga", "carla", "clara", "otto", "dora")
TIERS = ("minimal", "limited")
ALIASES = ("production", "canary")
VALID_DAYS = 30
GLASS_DAYS = 2
GRACE_DAYS = 1.5


@dataclass
class Decision:
    kind: str
    by: str
    role: str
    instead_of: str | None
    day: float
    ends: float | None = None


@dataclass
class Approval:
    version: int
    alias: str
    by: str
    day: float
    ends: float
    required: int
    officers: int
    bound: tuple[object, ...]
    order: int
    decisions: list[Decision] = field(default_factory=list)

    def of(self, *kinds: str) -> list[Decision]:
        return [d for d in self.decisions if d.kind in kinds]

    @property
    def over(self) -> str | None:
        """What ended it for good."""
        return next((d.kind for d in self.decisions if d.kind in ("withdrawn", "rejected", "revoked")), None)

    @property
    def question(self) -> bool:
        """Whether a question waits for its answer."""
        talk = self.of("returned", "answered")
        return bool(talk) and talk[-1].kind == "returned"

    @property
    def complete(self) -> bool:
        return len(self.of("granted")) >= self.required

    def missing(self, role: str) -> bool:
        given = len([d for d in self.of("granted") if d.role == role])
        return given < (self.officers if role == "compliance_officer" else self.required - self.officers)


@dataclass
class Version:
    by: str
    known: bool
    """Whether it is known what it was trained on: the one rule of the policies that may be waived."""
    measured: list[float] = field(default_factory=list)
    declared: int = 0
    stops: set[str] = field(default_factory=set)
    """recalled: in quarantine; asked: its release is asked for."""
    asked_by: set[str] = field(default_factory=set)


@dataclass
class Waiver:
    version: int
    by: str
    ends: float
    ended: bool = False


@dataclass
class Deputyship:
    principal: str
    role: str
    begins: float
    ends: float
    ended: bool = False


@dataclass
class Policy:
    serial: int
    required: int
    officers: int


@dataclass
class Move:
    kind: str
    version: int | None
    approval: int | None
    order: int
    ends: float | None = None

"""What the plain model of releases remembers: people by name, and its records."""

from __future__ import annotations

from dataclasses import dataclass, field

ENGINEERS, APPROVERS, OFFICERS, OPERATORS = {"ada", "edda"}, {"omar", "olga"}, {"carla", "clara"}, {"otto"}
PEOPLE = ("ada", "edda", "omar", "olga", "carla", "clara", "otto", "dora")
TIERS = ("minimal", "limited")
ALIASES = ("production", "canary")
VALID_DAYS = 30
GLASS_DAYS, GLASS_DAYS_WITHOUT_POLICY = 2, 1
GRACE_DAYS = 1.5
MOVERS = {
    "request": {"engineer"},
    "promote": {"engineer", "operator", "approver"},
    "roll-back": {"operator", "approver"},
    "suspend": {"operator", "approver"},
}
"""Acts on an alias, and who may do them where no rule of the team says less."""

NEVER_REFUSED = {"pass_time", "tell", "derive", "change_policy", "give_role", "take_role", "measure", "end_policy"}
"""Acts that the machine does only where they are allowed, or that only a lost role of one person refuses."""


@dataclass
class Decision:
    kind: str
    by: str
    role: str
    instead_of: str | None
    order: int
    ends: float | None = None
    target: int | None = None


@dataclass
class Approval:
    version: int
    alias: str
    by: str
    ends: float
    required: int
    officers: int
    bound: tuple[object, ...]
    order: int
    target: int | None = None
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

    @property
    def limits(self) -> set[int]:
        """The places that it is limited to, by the request or by its grants."""
        return {t for t in (self.target, *(d.target for d in self.of("granted"))) if t is not None}

    def missing(self, role: str) -> bool:
        given = len([d for d in self.of("granted") if d.role == role])
        return given < (self.officers if role == "compliance_officer" else self.required - self.officers)


@dataclass
class Correction:
    order: int
    day: float


@dataclass
class Version:
    by: str
    known: bool
    """Whether it is known what it was trained on: the one rule of the policies that may be waived."""
    parent: int | None = None
    measured: int = 0
    declared: int = 0
    corrections: list[Correction] = field(default_factory=list)


@dataclass
class Recall:
    version: int
    ended: bool = False


@dataclass
class Quarantine:
    """Why one version is stopped: one for each recall that reaches it."""

    version: int
    recall: int
    ended: bool = False
    waits: bool = False
    """Its release is asked for."""
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
class Rule:
    """An act on an alias is kept for a role."""

    alias: str
    action: str
    role: str
    by: str
    in_force: bool = False
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
    by: str = ""
    told: float | None = None
    """When the owner was told that its approval had lapsed."""
    reviewed: bool = False
    """Somebody else looked at what an emergency served."""
    closed: bool = False
    """The finding about the emergency is closed."""

"""What came of one attempt to send a notice."""

from __future__ import annotations

from dataclasses import dataclass

from registry.notices.models import Outgoing


@dataclass(frozen=True)
class Sent:
    """The other side has taken it."""

    row: Outgoing


@dataclass(frozen=True)
class Failed:
    """It has not; `final`: and never will. `why` is a sentence of ours."""

    row: Outgoing
    why: str
    final: bool = False


@dataclass(frozen=True)
class Held:
    """It was not tried: its destination has used up its turn."""

    row: Outgoing


Outcome = Sent | Failed | Held

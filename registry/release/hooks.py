"""What other rooms do in the same unit once an approval has all its grants (monitoring freezes the baseline then).

A room above this one registers its act when the applications are ready; this room never imports upwards.
"""

from __future__ import annotations

from collections.abc import Callable

from registry.events import Unit
from registry.release.models import Approval

WhenGranted = Callable[[Unit, Approval], None]
_WHEN_GRANTED: list[WhenGranted] = []


def when_granted(act: WhenGranted) -> None:
    """Let `act` run inside the unit whose grant completes an approval; if it fails, the grant fails."""
    if act not in _WHEN_GRANTED:
        _WHEN_GRANTED.append(act)


def run_when_granted(opened: Unit, approval: Approval) -> None:
    """Called by `grant_approval` with the completing grant."""
    for act in _WHEN_GRANTED:
        act(opened, approval)

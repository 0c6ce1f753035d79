"""What other rooms ask before a finding of theirs is closed (release asks for the review of an emergency, and
who wrote what changed terms).

A room above this one registers its question when the applications are ready; this room never imports upwards.
"""

from __future__ import annotations

from collections.abc import Callable

from registry.events import Caller
from registry.oversight.models import Finding

BeforeClosing = Callable[[Finding, Caller], None]
_BEFORE_CLOSING: dict[str, BeforeClosing] = {}


def before_closing(kind: str, ask: BeforeClosing) -> None:
    """Let `ask` look at a finding of the kind, and at who closes it, inside the unit; it raises a Problem."""
    _BEFORE_CLOSING[kind] = ask


def ask_before_closing(finding: Finding, actor: Caller) -> None:
    """Called where a finding is closed."""
    ask = _BEFORE_CLOSING.get(finding.kind)
    if ask is not None:
        ask(finding, actor)

"""What other rooms ask before a finding of theirs is closed (release asks for the review of an emergency).

A room above this one registers its question when the applications are ready; this room never imports upwards.
"""

from __future__ import annotations

from collections.abc import Callable

from registry.oversight.models import Finding

BeforeClosing = Callable[[Finding], None]
_BEFORE_CLOSING: dict[str, BeforeClosing] = {}


def before_closing(kind: str, ask: BeforeClosing) -> None:
    """Let `ask` look at a finding of the kind inside the unit that closes it; it raises a Problem that says what is missing."""
    _BEFORE_CLOSING[kind] = ask


def ask_before_closing(finding: Finding) -> None:
    """Called where a finding is closed."""
    ask = _BEFORE_CLOSING.get(finding.kind)
    if ask is not None:
        ask(finding)

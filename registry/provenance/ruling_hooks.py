"""What other rooms do in the same unit once the terms of licences have changed (release opens findings about what is live then).

A room above this one registers its act when the applications are ready; this room never imports upwards.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping

from registry.events import Unit
from registry.provenance.licences import TermsDocument

Changed = Mapping[uuid.UUID, TermsDocument]
"""Licences whose terms in force have changed, each with the terms that it had before."""
WhenTermsChanged = Callable[[Unit, Changed, str], None]
_WHEN_TERMS_CHANGED: list[WhenTermsChanged] = []


def when_terms_changed(act: WhenTermsChanged) -> None:
    """Let `act` run inside the unit that changes terms, with the expression that was ruled on; if it fails, the ruling fails."""
    if act not in _WHEN_TERMS_CHANGED:
        _WHEN_TERMS_CHANGED.append(act)


def run_when_terms_changed(opened: Unit, changed: Changed, expression: str) -> None:
    """Called where a ruling comes into force or ends."""
    if changed:
        for act in _WHEN_TERMS_CHANGED:
            act(opened, changed, expression)

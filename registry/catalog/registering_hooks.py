"""What other rooms do in the same unit once a version is registered or corrected (release: what open recalls say about it).

A room above this one registers its act when the applications are ready; this room never imports upwards.
"""

from __future__ import annotations

from collections.abc import Callable

from registry.catalog.models import ModelVersion
from registry.events import Unit

WhenStated = Callable[[Unit, ModelVersion], None]
_WHEN_STATED: list[WhenStated] = []


def when_stated(act: WhenStated) -> None:
    """Let `act` run inside the unit that registers or corrects a version, once its edges, files and terms are written."""
    if act not in _WHEN_STATED:
        _WHEN_STATED.append(act)


def run_when_stated(opened: Unit, version: ModelVersion) -> None:
    """Called where a version is registered or corrected."""
    for act in _WHEN_STATED:
        act(opened, version)

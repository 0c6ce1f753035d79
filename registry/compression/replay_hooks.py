"""What other rooms do in the same unit once a version could not be made again (oversight opens a finding for its owner).

A room above this one registers its act when the applications are ready; this room never imports upwards.
"""

from __future__ import annotations

from collections.abc import Callable

from registry.compression.models import Run
from registry.events import Unit

WhenReplayDiffers = Callable[[Unit, Run, str], None]
_WHEN_REPLAY_DIFFERS: list[WhenReplayDiffers] = []


def when_replay_differs(act: WhenReplayDiffers) -> None:
    """Let `act` run inside the unit that ends such a replay, with what the engine said in one sentence."""
    if act not in _WHEN_REPLAY_DIFFERS:
        _WHEN_REPLAY_DIFFERS.append(act)


def run_when_replay_differs(opened: Unit, run: Run, said: str) -> None:
    """Called where a replay ends with another model."""
    for act in _WHEN_REPLAY_DIFFERS:
        act(opened, run, said)

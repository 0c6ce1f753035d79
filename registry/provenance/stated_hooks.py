"""What other rooms do in the same unit once something else is stated about a state of data (catalog: whose terms change then).

A room above this one registers its act when the applications are ready; this room never imports upwards.
"""

from __future__ import annotations

from collections.abc import Callable

from registry.events import Unit
from registry.provenance.models import DatasetVersion
from registry.provenance.stated import StatedData

WhenCorrected = Callable[[Unit, DatasetVersion, StatedData, StatedData], None]
_WHEN_CORRECTED: list[WhenCorrected] = []


def when_data_corrected(act: WhenCorrected) -> None:
    """Let `act` run inside the unit of a correction, with what was stated before and what is now; if it fails, so does that."""
    if act not in _WHEN_CORRECTED:
        _WHEN_CORRECTED.append(act)


def run_when_data_corrected(opened: Unit, version: DatasetVersion, before: StatedData, after: StatedData) -> None:
    """Called where a state of data is corrected."""
    for act in _WHEN_CORRECTED:
        act(opened, version, before, after)

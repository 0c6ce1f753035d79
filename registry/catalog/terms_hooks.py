"""What other rooms do in the same unit once effective terms of versions have changed (release opens findings about what is live).

A room above this one registers its act when the applications are ready; this room never imports upwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from registry.catalog.affected import Affected, affected_by_data_correction, affected_by_terms
from registry.catalog.registering_hooks import run_when_stated
from registry.events import Unit
from registry.provenance.models import DatasetVersion
from registry.provenance.queries import terms_in_force
from registry.provenance.ruling_hooks import Changed
from registry.provenance.stated import StatedData

WhenTermsChanged = Callable[[Unit, Sequence[Affected], str], None]
_WHEN_TERMS_CHANGED: list[WhenTermsChanged] = []


def when_terms_changed(act: WhenTermsChanged) -> None:
    """Let `act` run inside the unit that changes effective terms, with the versions and with what was decided, in words."""
    if act not in _WHEN_TERMS_CHANGED:
        _WHEN_TERMS_CHANGED.append(act)


def run_when_terms_changed(opened: Unit, affected: Sequence[Affected], said: str) -> None:
    """Called where a ruling or a correction changes effective terms."""
    if affected:
        for act in _WHEN_TERMS_CHANGED:
            act(opened, affected, said)


def follow_ruling(opened: Unit, changed: Changed, expression: str) -> None:
    """A ruling came into force or ended: whose effective terms are others now."""
    affected = affected_by_terms(changed, terms_in_force(changed))
    run_when_terms_changed(opened, affected, f"the terms of {expression} were ruled on")


def follow_data_correction(opened: Unit, data: DatasetVersion, before: StatedData, after: StatedData) -> None:
    """Something else is stated about a state of data: for whom that changes something. Its name is not for every owner to read."""
    affected = affected_by_data_correction(data, before, after)
    run_when_terms_changed(opened, affected, "what is stated about data that it was made with was corrected")
    if before.licence.pk != after.licence.pk:
        for edge in data.child_edges.select_related("child__model__team").order_by("pk"):
            run_when_stated(opened, edge.child)

"""Separation of duties in the database: who brought or made a state of data or of a model cannot review it (raw SQL included).

The same weights in another version, and the same rows or one file of them in other data, are the same work; and what a service
account did is the work of whoever answers for it (`access.guards.hands`).
"""

# ruff: noqa: S608  statements are built from our own tables, never from input

from __future__ import annotations

from registry.access.guards import hands
from registry.guards import Condition

# the same weights in another version are the same work: else a second registration would wash the builder's name off
_BUILT_IT = (
    "(EXISTS (SELECT 1 FROM catalog_version v WHERE v.id = {version} AND v.created_by_id IN {hands}) OR EXISTS "
    "(SELECT 1 FROM compression_run r WHERE r.child_id = {version} AND r.requested_by_id IN {hands}) OR "
    "EXISTS (SELECT 1 FROM catalog_artifact s JOIN catalog_artifact o ON o.digest = s.digest AND o.role = 'weights' "
    "JOIN catalog_version v ON v.id = o.version_id WHERE s.version_id = {version} AND s.role = 'weights' "
    "AND (v.created_by_id IN {hands} OR EXISTS "
    "(SELECT 1 FROM compression_run r WHERE r.child_id = v.id AND r.requested_by_id IN {hands}))))"
)


def built_it(version: str, actor: str) -> str:
    """SQL: whether somebody brought a version or had it made, under any name of the same weights, or stands behind who did."""
    return _BUILT_IT.format(version=version, hands=hands(actor))


_REVIEWER = hands("NEW.reviewed_by_id")
# one file under two lists is the same work: else a file beside it would wash the name off
_FILES = "SELECT f.digest FROM provenance_dataset_file f WHERE f.dataset_version_id = d.id"
_BROUGHT_IT = (
    "EXISTS (SELECT 1 FROM provenance_dataset_version d "
    f"JOIN provenance_dataset_version o ON o.created_by_id IN {_REVIEWER} "
    f"WHERE d.id = NEW.about AND (o.id = d.id OR o.digest = d.digest OR o.digest IN ({_FILES}) "
    "OR EXISTS (SELECT 1 FROM provenance_dataset_file g WHERE g.dataset_version_id = o.id "
    f"AND (g.digest = d.digest OR g.digest IN ({_FILES})))))"
)

CONDITIONS = [
    Condition(
        "oversight_review_separation",
        "oversight_review",
        _BROUGHT_IT + " OR " + built_it("NEW.about", "NEW.reviewed_by_id"),
        "who brought it or asked for the run that made it cannot review it",
    ),
]

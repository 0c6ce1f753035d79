"""Separation of duties in the database: who brought or made a state of data or of a model cannot review it (raw SQL included)."""

from __future__ import annotations

from registry.guards import Condition

CONDITIONS = [
    Condition(
        "oversight_review_separation",
        "oversight_review",
        "EXISTS (SELECT 1 FROM provenance_dataset_version d WHERE d.id = NEW.about AND d.created_by_id = NEW.reviewed_by_id) "
        "OR EXISTS (SELECT 1 FROM catalog_version v WHERE v.id = NEW.about AND v.created_by_id = NEW.reviewed_by_id) "
        "OR EXISTS (SELECT 1 FROM compression_run r WHERE r.child_id = NEW.about AND r.requested_by_id = NEW.reviewed_by_id)",
        "who brought it or asked for the run that made it cannot review it",
    ),
]

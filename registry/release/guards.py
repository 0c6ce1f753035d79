"""Separation of duties in the database: who asked, uploaded or ran cannot decide, whatever door is tried.

Rules (raw SQL and shell included):
- the requester, the uploader of the version and the author of the run that made it cannot grant;
- the same three cannot sign a waiver for the version;
- an alias moves only to a version whose approval names that version and its digest.
"""

from __future__ import annotations

from registry.guards import Condition

_BUILT_IT = (
    "EXISTS (SELECT 1 FROM catalog_version v WHERE v.id = {version} AND v.created_by_id = {actor}) "
    "OR EXISTS (SELECT 1 FROM compression_run r WHERE r.child_id = {version} AND r.requested_by_id = {actor})"
)
_APPROVED_VERSION = "(SELECT a.version_id FROM release_approval a WHERE a.id = NEW.approval_id)"

CONDITIONS = [
    Condition(
        "release_decision_separation",
        "release_decision",
        "NEW.kind = 'granted' AND (EXISTS (SELECT 1 FROM release_approval a WHERE a.id = NEW.approval_id "
        "AND a.requested_by_id = NEW.decided_by_id) OR "
        + _BUILT_IT.format(version=_APPROVED_VERSION, actor="NEW.decided_by_id")
        + ")",
        "requester, uploader and author of the run cannot approve",
    ),
    Condition(
        "release_waiver_separation",
        "release_waiver",
        _BUILT_IT.format(version="NEW.version_id", actor="NEW.signed_by_id"),
        "uploader and author of the run cannot waive a rule for their own version",
    ),
    Condition(
        "release_assignment_bound",
        "release_assignment",
        "NEW.version_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM release_approval a WHERE a.id = NEW.approval_id "
        "AND a.version_id = NEW.version_id AND a.version_digest = NEW.version_digest AND EXISTS "
        "(SELECT 1 FROM release_decision d WHERE d.approval_id = a.id AND d.kind = 'granted'))",
        "an alias moves only to a version with a granted approval of exactly these bytes",
    ),
]

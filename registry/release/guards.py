"""Separation of duties in the database: who asked, uploaded or ran cannot decide, whatever door is tried.

Rules (raw SQL and shell included):
- a person decides, under a membership in force whose role may decide; only the requester withdraws;
- the requester, the uploader of the version and the author of the run that made it neither grant, reject nor return;
- nothing follows a final decision (returned, withdrawn, rejected, revoked), and only what was granted is revoked;
- uploader, author of the run and requester cannot sign a waiver for the version; who signed one in force cannot request approval;
- uploader and author of the run are those of the same weights in any version;
- an alias moves only to the version, bytes, model and name of an approval that has all its grants, has not ended, and was neither
  rejected, withdrawn nor revoked.
"""

from __future__ import annotations

from registry.access.permissions import PERMISSIONS
from registry.guards import Condition

# the same weights in another version are the same work: else a second registration would wash the builder's name off
_BUILT_IT = (
    "EXISTS (SELECT 1 FROM catalog_artifact s JOIN catalog_artifact o ON o.digest = s.digest AND o.role = 'weights' "
    "JOIN catalog_version v ON v.id = o.version_id WHERE s.version_id = {version} AND s.role = 'weights' "
    "AND (v.created_by_id = {actor} OR EXISTS "
    "(SELECT 1 FROM compression_run r WHERE r.child_id = v.id AND r.requested_by_id = {actor})))"
)
_APPROVED_VERSION = "(SELECT a.version_id FROM release_approval a WHERE a.id = NEW.approval_id)"
_DECIDING = ", ".join(f"'{role.value}'" for role in sorted(PERMISSIONS["approval.decide"]))
_REQUESTED_IT = (
    "EXISTS (SELECT 1 FROM release_approval a WHERE a.id = NEW.approval_id AND a.requested_by_id = NEW.decided_by_id)"
)
_DECIDED = "EXISTS (SELECT 1 FROM release_decision d WHERE d.approval_id = {approval} AND d.kind IN ({kinds}))"
_FINAL = "'returned', 'withdrawn', 'rejected', 'revoked'"

CONDITIONS = [
    Condition(
        "release_decision_separation",
        "release_decision",
        f"NEW.kind IN ('granted', 'rejected', 'returned') AND ({_REQUESTED_IT} OR "
        + _BUILT_IT.format(version=_APPROVED_VERSION, actor="NEW.decided_by_id")
        + ")",
        "requester, uploader and author of the run cannot approve",
    ),
    Condition(
        "release_decision_role",
        "release_decision",
        f"(NEW.kind = 'withdrawn' AND NOT {_REQUESTED_IT}) OR (NEW.kind <> 'withdrawn' AND NOT EXISTS "
        "(SELECT 1 FROM access_membership m JOIN access_actor p ON p.id = m.actor_id "
        "JOIN catalog_model c ON c.id = NEW.model_id "
        f"WHERE m.actor_id = NEW.decided_by_id AND m.role IN ({_DECIDING}) AND p.kind = 'person' AND p.ended_at IS NULL "
        "AND (m.team_id IS NULL OR m.team_id = c.team_id) AND m.ended_at IS NULL "
        "AND (m.expires_at IS NULL OR m.expires_at > NEW.decided_at)))",
        "only a person with the role of an approver decides, and only the requester withdraws",
    ),
    Condition(
        "release_decision_order",
        "release_decision",
        "NOT EXISTS (SELECT 1 FROM release_approval a WHERE a.id = NEW.approval_id AND a.model_id = NEW.model_id) OR "
        + _DECIDED.format(approval="NEW.approval_id", kinds=_FINAL)
        + " OR (NEW.kind = 'revoked' AND NOT "
        + _DECIDED.format(approval="NEW.approval_id", kinds="'granted'")
        + ")",
        "nothing follows a final decision, and only what was granted is revoked",
    ),
    Condition(
        "release_waiver_separation",
        "release_waiver",
        _BUILT_IT.format(version="NEW.version_id", actor="NEW.signed_by_id")
        + " OR EXISTS (SELECT 1 FROM release_approval a WHERE a.version_id = NEW.version_id "
        "AND a.requested_by_id = NEW.signed_by_id)",
        "requester, uploader and author of the run cannot waive a rule for the version",
    ),
    Condition(
        "release_approval_separation",
        "release_approval",
        "EXISTS (SELECT 1 FROM release_waiver w WHERE w.version_id = NEW.version_id AND w.signed_by_id = NEW.requested_by_id "
        "AND w.ended_at IS NULL AND w.expires_at > NEW.requested_at)",
        "who waived a rule for the version cannot request its approval",
    ),
    Condition(
        "release_assignment_bound",
        "release_assignment",
        "NOT EXISTS (SELECT 1 FROM release_alias x WHERE x.id = NEW.alias_id AND x.model_id = NEW.model_id) OR "
        "(NEW.version_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM release_approval a "
        "JOIN release_alias x ON x.id = NEW.alias_id WHERE a.id = NEW.approval_id "
        "AND a.model_id = NEW.model_id AND a.alias = x.slug AND a.expires_at > NEW.assigned_at "
        "AND a.version_id = NEW.version_id AND a.version_digest = NEW.version_digest AND a.required <= "
        "(SELECT COUNT(DISTINCT d.decided_by_id) FROM release_decision d "
        "WHERE d.approval_id = a.id AND d.kind = 'granted') AND NOT "
        + _DECIDED.format(approval="a.id", kinds=_FINAL)
        + "))",
        "an alias moves only to a version with a granted approval of exactly these bytes",
    ),
]

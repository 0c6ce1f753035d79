"""What the database itself holds about moves of aliases, recalls and the way out of a quarantine, whatever door is tried.

Rules (raw SQL and shell included):
- an alias moves only within its model;
- it is promoted or rolled back only to the version, bytes, model and name of an approval that has its grants by different people (a
  deputy and the principal are one, and a grant that shares either with an earlier one does not count), as many of them by
  compliance officers and by approvers as it asks for; that has not ended, nor has any of its grants, by the clock of the database
  too, so a move cannot be dated back; that was neither rejected, withdrawn nor revoked; whose last question was answered; and
  whose version was not corrected after its last grant;
- it breaks the glass only to the version, bytes, model and name of a record of that, made at that moment and not over by the clock
  of the database, by a person who holds a role for it, and neither brought, made nor asked for the version; only to files whose
  structure was measured; and for an alias only once the finding about the last time is closed;
- it never moves to what is in quarantine or purged, nor to the same files under another model;
- the way out of a quarantine is decided on request alone, once for each request, by a person with the role, who neither asked for
  it, nor brought or made the version; without that, or the end of its recall by a compliance
  officer of the team of what was recalled (of the instance, for a licence), no quarantine ends.
"""

# ruff: noqa: S608  statements are built from our own models, never from input

from __future__ import annotations

from registry.access.guards import hands
from registry.access.permissions import PERMISSIONS
from registry.guards import Condition
from registry.oversight.guards import built_it

_FOREIGN_ALIAS = "NOT EXISTS (SELECT 1 FROM release_alias x WHERE x.id = NEW.alias_id AND x.model_id = NEW.model_id)"
# as `status.counted` does: whoever stands behind an earlier grant, of whatever role, gives no other
_COUNTED = (
    "(SELECT COUNT(*) FROM release_decision d WHERE d.approval_id = a.id AND d.kind = 'granted' AND d.role = '{role}' "
    "AND NOT EXISTS (SELECT 1 FROM release_decision e WHERE e.approval_id = a.id AND e.kind = 'granted' "
    "AND (e.decided_at < d.decided_at OR (e.decided_at = d.decided_at AND e.id < d.id)) "
    "AND (e.decided_by_id IN (d.decided_by_id, d.on_behalf_of_id) "
    "OR e.on_behalf_of_id IN (d.decided_by_id, d.on_behalf_of_id))))"
)
_GRANTED = (
    f"a.officers <= {_COUNTED.format(role='compliance_officer')} "
    f"AND a.required - a.officers <= {_COUNTED.format(role='approver')} "
    "AND NOT EXISTS (SELECT 1 FROM release_decision d WHERE d.approval_id = a.id AND d.kind = 'granted' "
    "AND (d.expires_at <= NEW.assigned_at OR d.expires_at <= CURRENT_TIMESTAMP)) "
    "AND NOT EXISTS (SELECT 1 FROM catalog_correction c WHERE c.version_id = a.version_id AND c.corrected_at > "
    "(SELECT MAX(d.decided_at) FROM release_decision d WHERE d.approval_id = a.id AND d.kind = 'granted'))"
)
_NOT_OVER = (
    "NOT EXISTS (SELECT 1 FROM release_decision d WHERE d.approval_id = a.id AND d.kind IN ('withdrawn', 'rejected', 'revoked')) "
    "AND NOT EXISTS (SELECT 1 FROM release_decision d WHERE d.approval_id = a.id AND d.kind = 'returned' "
    "AND NOT EXISTS (SELECT 1 FROM release_decision e WHERE e.approval_id = a.id AND e.kind = 'answered' "
    "AND e.decided_at > d.decided_at))"
)
_APPROVED = (
    "EXISTS (SELECT 1 FROM release_approval a JOIN release_alias x ON x.id = NEW.alias_id WHERE a.id = NEW.approval_id "
    "AND a.model_id = NEW.model_id AND a.alias = x.slug AND a.expires_at > NEW.assigned_at AND a.expires_at > CURRENT_TIMESTAMP "
    f"AND a.version_id = NEW.version_id AND a.version_digest = NEW.version_digest AND {_GRANTED} AND {_NOT_OVER})"
)
_GLASS_BROKEN = (
    "EXISTS (SELECT 1 FROM release_broken_glass b JOIN release_alias x ON x.id = NEW.alias_id "
    "WHERE b.id = NEW.broken_glass_id AND b.model_id = NEW.model_id AND b.alias = x.slug AND b.version_id = NEW.version_id "
    "AND b.version_digest = NEW.version_digest AND b.broken_by_id = NEW.assigned_by_id AND b.broken_at = NEW.assigned_at "
    "AND b.expires_at > CURRENT_TIMESTAMP)"
)
# a release that nobody granted ends nothing, even where somebody wrote an end into the row
_STOPPED = (
    "EXISTS (SELECT 1 FROM release_quarantine q JOIN release_recall r ON r.id = q.recall_id "
    "WHERE q.version_id = NEW.version_id AND (q.ended_at IS NULL OR (r.ended_at IS NULL AND NOT EXISTS "
    "(SELECT 1 FROM release_quarantine_act k WHERE k.quarantine_id = q.id AND k.kind = 'granted'))))"
)
# the same files under another model, brought past the services, so that no recall of its own was written for them
_SAME_FILES_STOPPED = (
    "EXISTS (SELECT 1 FROM release_quarantine q WHERE q.version_digest = NEW.version_digest AND q.version_id <> NEW.version_id "
    "AND q.ended_at IS NULL AND NOT EXISTS (SELECT 1 FROM release_quarantine o "
    "WHERE o.version_id = NEW.version_id AND o.recall_id = q.recall_id))"
)
_PURGED = "EXISTS (SELECT 1 FROM catalog_version v WHERE v.id = NEW.version_id AND v.purged_at IS NOT NULL)"


def _holds(action: str, actor: str, at: str) -> str:
    """A person or service who holds a role for the act in the model's team at that moment."""
    roles = ", ".join(f"'{role.value}'" for role in sorted(PERMISSIONS[action]))
    return (
        "EXISTS (SELECT 1 FROM access_membership m JOIN access_actor p ON p.id = m.actor_id "
        f"JOIN catalog_model c ON c.id = NEW.model_id WHERE m.actor_id = NEW.{actor} AND m.role IN ({roles}) "
        "AND p.ended_at IS NULL AND (m.team_id IS NULL OR m.team_id = c.team_id) AND m.ended_at IS NULL "
        f"AND (m.expires_at IS NULL OR (m.expires_at > NEW.{at} AND m.expires_at > CURRENT_TIMESTAMP)))"
    )


_PERSON = "EXISTS (SELECT 1 FROM access_actor p WHERE p.id = NEW.{actor} AND p.kind = 'person')"
_SAME_QUARANTINE = (
    "EXISTS (SELECT 1 FROM release_quarantine q "
    "WHERE q.id = NEW.quarantine_id AND q.model_id = NEW.model_id AND q.ended_at IS NULL)"
)
_ACTS = "(SELECT COUNT(*) FROM release_quarantine_act k WHERE k.quarantine_id = NEW.quarantine_id AND k.kind {which})"
_ASKED_NOW = _ACTS.format(which="= 'requested'") + " > " + _ACTS.format(which="<> 'requested'")
_QUARANTINED_VERSION = "(SELECT q.version_id FROM release_quarantine q WHERE q.id = NEW.quarantine_id)"

_TEAM_OF_RECALLED = (
    "(CASE NEW.kind WHEN 'version' THEN (SELECT c.team_id FROM catalog_version v JOIN catalog_model c ON c.id = v.model_id "
    "WHERE v.id = NEW.about) WHEN 'dataset_version' THEN (SELECT d.team_id FROM provenance_dataset_version x "
    "JOIN provenance_dataset d ON d.id = x.dataset_id WHERE x.id = NEW.about) END)"
)
_ENDING = ", ".join(f"'{role.value}'" for role in sorted(PERMISSIONS["recall.end"]))

CONDITIONS = [
    Condition(
        "release_assignment_bound",
        "release_assignment",
        f"{_FOREIGN_ALIAS} OR (NEW.kind IN ('promoted', 'rolled-back') AND NOT {_APPROVED})",
        "an alias moves only to a version with a granted approval of exactly these bytes",
    ),
    Condition(
        "release_assignment_glass",
        "release_assignment",
        f"NEW.kind = 'broken-glass' AND NOT {_GLASS_BROKEN}",
        "an alias moves without an approval only by a record of exactly this emergency",
    ),
    Condition(
        "release_assignment_stopped",
        "release_assignment",
        f"NEW.version_id IS NOT NULL AND ({_STOPPED} OR {_SAME_FILES_STOPPED} OR {_PURGED})",
        "what is in quarantine or purged is not served",
    ),
    Condition(
        "release_broken_glass_separation",
        "release_broken_glass",
        f"NOT {_PERSON.format(actor='broken_by_id')} OR NOT {_holds('alias.break_glass', 'broken_by_id', 'broken_at')} OR "
        + built_it("NEW.version_id", "NEW.broken_by_id")
        + " OR EXISTS (SELECT 1 FROM release_approval a WHERE a.version_id = NEW.version_id "
        f"AND a.requested_by_id IN {hands('NEW.broken_by_id')})",
        "who brought, made or asked for a version does not break the glass for it",
    ),
    Condition(
        "release_broken_glass_renewed",
        "release_broken_glass",
        "EXISTS (SELECT 1 FROM release_broken_glass b WHERE b.model_id = NEW.model_id AND b.alias = NEW.alias AND NOT EXISTS "
        "(SELECT 1 FROM oversight_finding f WHERE f.kind = 'broken-glass' AND f.about = b.id AND f.closed_at IS NOT NULL))",
        "the glass is not broken again for an alias while the finding about the last time is open",
    ),
    Condition(
        "release_broken_glass_structure",
        "release_broken_glass",
        "NOT EXISTS (SELECT 1 FROM catalog_version v JOIN catalog_evidence e ON e.version_id = v.id "
        "WHERE v.id = NEW.version_id AND v.model_id = NEW.model_id AND v.digest = NEW.version_digest "
        "AND e.kind = 'structure' AND e.source = 'measured' AND e.version_digest = v.digest)",
        "the glass is broken only for files whose structure was checked",
    ),
    Condition(
        "release_quarantine_act_order",
        "release_quarantine_act",
        f"NOT {_SAME_QUARANTINE} OR (NEW.kind = 'requested' AND {_ASKED_NOW}) OR (NEW.kind <> 'requested' AND NOT {_ASKED_NOW})",
        "a release of a quarantine is asked for once at a time, and decided only while it is asked for",
    ),
    Condition(
        "release_quarantine_act_separation",
        "release_quarantine_act",
        f"NEW.kind <> 'requested' AND (NOT {_PERSON.format(actor='done_by_id')} "
        f"OR NOT {_holds('quarantine.decide', 'done_by_id', 'done_at')} "
        "OR EXISTS (SELECT 1 FROM release_quarantine_act k WHERE k.quarantine_id = NEW.quarantine_id "
        f"AND k.kind = 'requested' AND k.done_by_id IN {hands('NEW.done_by_id')}) OR "
        + built_it(_QUARANTINED_VERSION, "NEW.done_by_id")
        + ")",
        "who asked for a release, or brought or made the version, does not decide it",
    ),
    Condition(
        "release_quarantine_end",
        "release_quarantine",
        "OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM release_quarantine_act k "
        "WHERE k.quarantine_id = NEW.id AND k.kind = 'granted') AND NOT EXISTS (SELECT 1 FROM release_recall r "
        "WHERE r.id = NEW.recall_id AND r.ended_at IS NOT NULL)",
        "a quarantine ends with its recall, or once its release was granted",
        on="UPDATE",
    ),
    Condition(
        "release_recall_end",
        "release_recall",
        "OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL AND (NEW.ended_reason_id IS NULL OR NOT EXISTS "
        "(SELECT 1 FROM access_membership m JOIN access_actor p ON p.id = m.actor_id WHERE m.actor_id = NEW.ended_by_id "
        f"AND m.role IN ({_ENDING}) AND p.ended_at IS NULL AND m.ended_at IS NULL "
        f"AND (m.team_id IS NULL OR m.team_id = {_TEAM_OF_RECALLED}) "
        "AND (m.expires_at IS NULL OR m.expires_at > NEW.ended_at)))",
        "a recall is ended by somebody who may, with a reason",
        on="UPDATE",
    ),
]

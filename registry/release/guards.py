"""Separation of duties in the database: who asked, uploaded or ran cannot decide, whatever door is tried.

Rules (raw SQL and shell included):
- a person decides, under a membership in force of their own, or of whom they stand for by a deputyship in force, and with the role
  that they say; moments are held against the clock of the database too, so a decision cannot be dated back;
- compliance officers decide only where the approval asks for their grants; only the requester withdraws, only engineers answer;
- neither decider nor principal asked for the approval, answered for it, uploaded the version or evidence about it, or requested a
  run that made or measured it; nor did a service account that one of them answers or answered for, or issued a token of;
- who decided, or stood behind who did, does not answer;
- a decision stands after the request and all decisions before it, and not in days to come, so none hides another;
- one person, or deputy and principal, grants once; a role gives no more grants than the approval asks of it;
- nothing is granted after the end, or while a question waits for its answer; only a question is answered;
- conditions of a grant lie inside of the request, name a target of the team, and do not contradict other grants;
- nothing follows a final decision (withdrawn, rejected, revoked), only what was granted is revoked, and what has every grant is
  neither rejected, returned nor withdrawn;
- an approval rests on a verdict, not blocked, of exactly its version, alias, evidence and policy, and on the tier of its use case;
- a person signs a waiver, with a role for it, and never uploader, author of the run or requester of the version; who signed one in
  force cannot request approval;
- uploader and author of the run are those of the same weights in any version;
- a deputy is appointed by somebody who holds the role then.
What holds for moves of aliases stands in `move_guards`.
"""

from __future__ import annotations

from registry.access.guards import hands
from registry.access.permissions import PERMISSIONS
from registry.guards import SOON, Condition
from registry.oversight.guards import built_it

_APPROVED_VERSION = "(SELECT a.version_id FROM release_approval a WHERE a.id = NEW.approval_id)"
_ASKED = (
    "EXISTS (SELECT 1 FROM release_approval a WHERE a.id = NEW.approval_id AND a.requested_by_id IN {hands}) OR "
    "EXISTS (SELECT 1 FROM release_decision w WHERE w.approval_id = NEW.approval_id AND w.kind = 'answered' "
    "AND w.decided_by_id IN {hands}) OR "
    "EXISTS (SELECT 1 FROM catalog_evidence v JOIN release_approval a ON a.version_id = v.version_id "
    "WHERE a.id = NEW.approval_id AND v.created_by_id IN {hands})"
)
_DECIDED = "EXISTS (SELECT 1 FROM release_decision d WHERE d.approval_id = NEW.approval_id AND d.kind IN ({kinds}))"
_FINAL = "'withdrawn', 'rejected', 'revoked'"
_JUDGING = "NEW.kind IN ('granted', 'rejected', 'returned')"
_OWN_WORK = " OR ".join(
    f"{_ASKED.format(hands=hands(who))} OR {built_it(_APPROVED_VERSION, who)}"
    for who in ("NEW.decided_by_id", "NEW.on_behalf_of_id")
)


def _names(*actions: str) -> str:
    return ", ".join(sorted({f"'{role.value}'" for action in actions for role in PERMISSIONS[action]}))


def _holds(actor: str, team: str, at: str, roles: str) -> str:
    """A membership in force, of an account in force, with the role that the row says. The clock of the database counts too."""
    return (
        f"EXISTS (SELECT 1 FROM access_membership m JOIN access_actor p ON p.id = m.actor_id WHERE m.actor_id = {actor} "
        f"AND m.role = NEW.role AND m.role IN ({roles}) AND p.ended_at IS NULL AND m.ended_at IS NULL "
        f"AND (m.team_id IS NULL OR m.team_id = {team}) "
        f"AND (m.expires_at IS NULL OR (m.expires_at > {at} AND m.expires_at > CURRENT_TIMESTAMP)))"
    )


_TEAM = "(SELECT c.team_id FROM catalog_model c WHERE c.id = NEW.model_id)"
_DECIDING = _names("approval.decide", "approval.decide_as_officer")
_OFFICERS = _names("approval.decide_as_officer")
_PERSON = "EXISTS (SELECT 1 FROM access_actor p WHERE p.id = {actor} AND p.kind = 'person' AND p.ended_at IS NULL)"
_DEPUTY = (
    "EXISTS (SELECT 1 FROM access_deputyship y WHERE y.deputy_id = NEW.decided_by_id AND y.principal_id = NEW.on_behalf_of_id "
    f"AND y.role = NEW.role AND (y.team_id IS NULL OR y.team_id = {_TEAM}) AND y.ended_at IS NULL "
    "AND y.begins_at <= NEW.decided_at AND y.ends_at > NEW.decided_at AND y.ends_at > CURRENT_TIMESTAMP)"
)
_OWN_ROLE = f"(NEW.on_behalf_of_id IS NULL AND {_holds('NEW.decided_by_id', _TEAM, 'NEW.decided_at', _DECIDING)})"
_LENT_ROLE = f"({_DEPUTY} AND {_holds('NEW.on_behalf_of_id', _TEAM, 'NEW.decided_at', _DECIDING)})"
_MAY_DECIDE = (
    f"{_PERSON.format(actor='NEW.decided_by_id')} AND ({_OWN_ROLE} OR {_LENT_ROLE}) AND (NEW.role NOT IN ({_OFFICERS}) OR "
    "EXISTS (SELECT 1 FROM release_approval a WHERE a.id = NEW.approval_id AND a.officers > 0))"
)
_MAY_WITHDRAW = (
    "(NEW.on_behalf_of_id IS NULL AND EXISTS (SELECT 1 FROM release_approval a WHERE a.id = NEW.approval_id "
    "AND a.requested_by_id = NEW.decided_by_id))"
)
_ENGINEERS = _names("approval.answer")
_MAY_ANSWER = f"(NEW.on_behalf_of_id IS NULL AND {_holds('NEW.decided_by_id', _TEAM, 'NEW.decided_at', _ENGINEERS)})"
_QUESTION = (
    "EXISTS (SELECT 1 FROM release_decision q WHERE q.approval_id = NEW.approval_id AND q.kind = 'returned' AND NOT EXISTS "
    "(SELECT 1 FROM release_decision w WHERE w.approval_id = q.approval_id AND w.kind = 'answered' "
    "AND w.decided_at >= q.decided_at))"
)
_SAME_PEOPLE = (
    "EXISTS (SELECT 1 FROM release_decision d WHERE d.approval_id = NEW.approval_id AND d.kind = 'granted' "
    "AND (d.decided_by_id IN (NEW.decided_by_id, NEW.on_behalf_of_id) "
    "OR d.on_behalf_of_id IN (NEW.decided_by_id, NEW.on_behalf_of_id)))"
)
_GIVEN = (
    "(SELECT COUNT(*) FROM release_decision d WHERE d.approval_id = NEW.approval_id AND d.kind = 'granted' "
    "AND d.role = NEW.role)"
)
_ROLE_IS_DONE = (
    f"EXISTS (SELECT 1 FROM release_approval a WHERE a.id = NEW.approval_id AND {_GIVEN} >= "
    f"CASE WHEN NEW.role IN ({_OFFICERS}) THEN a.officers ELSE a.required - a.officers END)"
)
_COMPLETE = (
    "EXISTS (SELECT 1 FROM release_approval a WHERE a.id = NEW.approval_id AND a.required <= (SELECT COUNT(*) "
    "FROM release_decision d WHERE d.approval_id = a.id AND d.kind = 'granted'))"
)
_OVER = (
    "EXISTS (SELECT 1 FROM release_approval a WHERE a.id = NEW.approval_id "
    "AND (a.expires_at <= NEW.decided_at OR a.expires_at <= CURRENT_TIMESTAMP)) OR "
    "EXISTS (SELECT 1 FROM release_decision d WHERE d.approval_id = NEW.approval_id AND d.kind = 'granted' "
    "AND (d.expires_at <= NEW.decided_at OR d.expires_at <= CURRENT_TIMESTAMP))"
)
_OUTSIDE = (
    "NEW.target_id IS NOT NULL AND (NOT EXISTS (SELECT 1 FROM release_target t WHERE t.id = NEW.target_id "
    f"AND t.team_id = {_TEAM}) "
    "OR EXISTS (SELECT 1 FROM release_approval a WHERE a.id = NEW.approval_id AND a.target_id <> NEW.target_id) "
    "OR EXISTS (SELECT 1 FROM release_decision d WHERE d.approval_id = NEW.approval_id AND d.kind = 'granted' "
    "AND d.target_id <> NEW.target_id)) OR NEW.expires_at IS NOT NULL AND (NEW.expires_at <= NEW.decided_at "
    "OR EXISTS (SELECT 1 FROM release_approval a WHERE a.id = NEW.approval_id AND NEW.expires_at > a.expires_at))"
)
_RESTS = (
    "EXISTS (SELECT 1 FROM release_verdict v JOIN catalog_version n ON n.id = v.version_id "
    "JOIN release_policy p ON p.id = v.policy_id JOIN oversight_use_case u ON u.id = NEW.use_case_id "
    "WHERE v.id = NEW.verdict_id AND v.outcome <> 'blocked' AND v.model_id = NEW.model_id AND n.model_id = NEW.model_id "
    "AND v.version_id = NEW.version_id AND v.version_digest = NEW.version_digest AND n.digest = NEW.version_digest "
    "AND v.alias = NEW.alias AND v.evidence_set_digest = NEW.evidence_set_digest AND v.policy_id = NEW.policy_id "
    "AND v.policy_digest = NEW.policy_digest AND p.digest = NEW.policy_digest AND p.in_force_at IS NOT NULL "
    "AND u.tier = NEW.tier)"
)

CONDITIONS = [
    Condition(
        "release_decision_separation",
        "release_decision",
        f"{_JUDGING} AND ({_OWN_WORK})",
        "requester, uploader and author of the run cannot approve",
    ),
    Condition(
        "release_decision_role",
        "release_decision",
        f"CASE NEW.kind WHEN 'withdrawn' THEN NOT {_MAY_WITHDRAW} WHEN 'answered' THEN NOT {_MAY_ANSWER} "
        f"ELSE NOT ({_MAY_DECIDE}) END",
        "only a person with the role of an approver decides, and only the requester withdraws",
    ),
    Condition(
        "release_decision_order",
        "release_decision",
        "NOT EXISTS (SELECT 1 FROM release_approval a WHERE a.id = NEW.approval_id AND a.model_id = NEW.model_id) OR "
        f"{_DECIDED.format(kinds=_FINAL)} OR (NEW.kind = 'revoked' AND NOT {_DECIDED.format(kinds=repr('granted'))}) "
        f"OR (NEW.kind = 'answered' AND NOT {_QUESTION}) "
        f"OR (NEW.kind IN ('rejected', 'returned', 'withdrawn') AND {_COMPLETE}) OR (NEW.kind = 'returned' AND {_QUESTION})",
        "nothing follows a final decision, only what was granted is revoked, only a question is answered, and what has every grant "
        "is neither rejected, returned nor withdrawn",
    ),
    Condition(
        "release_decision_moment",
        "release_decision",
        f"NEW.decided_at > {SOON} OR EXISTS (SELECT 1 FROM release_approval a WHERE a.id = NEW.approval_id "
        "AND a.requested_at > NEW.decided_at) OR EXISTS (SELECT 1 FROM release_decision d "
        "WHERE d.approval_id = NEW.approval_id AND d.decided_at > NEW.decided_at)",
        "a decision is made after the request and after every decision before it, and not in days to come",
    ),
    Condition(
        "release_decision_answer",
        "release_decision",
        "NEW.kind = 'answered' AND EXISTS (SELECT 1 FROM release_decision d WHERE d.approval_id = NEW.approval_id "
        f"AND d.kind <> 'answered' AND (NEW.decided_by_id IN {hands('d.decided_by_id')} "
        f"OR NEW.decided_by_id IN {hands('d.on_behalf_of_id')}))",
        "who decided on an approval does not answer for it",
    ),
    Condition(
        "release_decision_grant",
        "release_decision",
        f"NEW.kind = 'granted' AND ({_SAME_PEOPLE} OR {_ROLE_IS_DONE} OR {_QUESTION} OR {_OVER} OR {_OUTSIDE})",
        "a grant is one of those that are missing, by other people, in time, with no question open and inside of the request",
    ),
    Condition(
        "release_approval_rests",
        "release_approval",
        f"NOT {_RESTS} OR (NEW.target_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM release_target t "
        f"WHERE t.id = NEW.target_id AND t.team_id = {_TEAM} AND t.ended_at IS NULL))",
        "an approval rests on a passing verdict of exactly this version, alias, evidence, policy and tier",
    ),
    Condition(
        "access_deputyship_role",
        "access_deputyship",
        f"NOT ({_PERSON.format(actor='NEW.principal_id')} AND {_PERSON.format(actor='NEW.deputy_id')} AND "
        + _holds("NEW.principal_id", "NEW.team_id", "NEW.created_at", _names("deputy.appoint"))
        + ")",
        "only who holds the role then appoints a deputy for it",
    ),
    Condition(
        "release_waiver_role",
        "release_waiver",
        "NOT EXISTS (SELECT 1 FROM access_membership m JOIN access_actor p ON p.id = m.actor_id "
        f"WHERE m.actor_id = NEW.signed_by_id AND m.role IN ({_names('waiver.sign')}) AND p.kind = 'person' "
        f"AND p.ended_at IS NULL AND m.ended_at IS NULL AND (m.team_id IS NULL OR m.team_id = {_TEAM}) "
        "AND (m.expires_at IS NULL OR (m.expires_at > NEW.signed_at AND m.expires_at > CURRENT_TIMESTAMP)))",
        "only a person with a role for it signs a waiver",
    ),
    Condition(
        "release_waiver_separation",
        "release_waiver",
        built_it("NEW.version_id", "NEW.signed_by_id")
        + " OR EXISTS (SELECT 1 FROM release_approval a WHERE a.version_id = NEW.version_id "
        f"AND a.requested_by_id IN {hands('NEW.signed_by_id')})",
        "requester, uploader and author of the run cannot waive a rule for the version",
    ),
    Condition(
        "release_approval_separation",
        "release_approval",
        "EXISTS (SELECT 1 FROM release_waiver w WHERE w.version_id = NEW.version_id "
        f"AND NEW.requested_by_id IN {hands('w.signed_by_id')} "
        "AND w.ended_at IS NULL AND w.expires_at > NEW.requested_at)",
        "who waived a rule for the version cannot request its approval",
    ),
]

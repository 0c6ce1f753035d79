"""The one table of who is told what: a kind of event, whom it concerns, the sentence, and what to do.

Rules:
- whoever did it is never told of it;
- nobody is told of what belongs to a team whose things he may not read; `personal` notices name no team at all;
- a sentence holds names that are sealed in clear (`team/model@3`), never what somebody typed, and no person's name;
- a kind without receivers stands here so that a webhook may ask for it; a kind that does not stand here costs a unit nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from registry.access.models import Role


class Who(Enum):
    """Whom an event concerns, apart from the roles of its team; the value ends 'You are told because ...'."""

    OWNER = "you own the model"
    STEWARD = "you are the steward of the data"
    REQUESTER = "you asked for the approval"
    DECIDERS = "you acted on the approval"
    NAMED = "you are named in it"
    OFFICERS = "a compliance officer has to decide too"


Receiver = Who | Role


@dataclass(frozen=True)
class Rule:
    """`says` is the subject line and the first sentence, with `{about}` for what it is about; `do` is what may be done now."""

    to: tuple[Receiver, ...]
    says: str
    do: str = ""
    personal: bool = False

    @property
    def of_the_stream(self) -> bool:
        """Whether its receivers follow from team and stream alone, so that one of many events in a stream stands for all."""
        return not any(isinstance(receiver, Who) and receiver not in (Who.OWNER, Who.STEWARD) for receiver in self.to)


_WATCH = "Nothing has to be done; the page says who, when and why."
_LIVE = (Who.OWNER, Role.OPERATOR)
_DECIDE = (Role.APPROVER, Role.COMPLIANCE_OFFICER)
_RULERS = (Role.COMPLIANCE_OFFICER, Role.APPROVER, Role.ADMINISTRATOR)
_HOUSE = (Role.ADMINISTRATOR, Role.COMPLIANCE_OFFICER, Role.AUDITOR)

_APPROVALS = {
    "approval.requested": Rule(
        (Role.APPROVER, Who.OFFICERS, Who.OWNER),
        "A decision is asked for: {about}",
        "Read the evidence, then grant, reject or ask back.",
    ),
    "approval.returned": Rule(
        (Who.REQUESTER, Who.OWNER), "Your request came back with a question: {about}", "Answer it on the page."
    ),
    "approval.answered": Rule(
        (Who.DECIDERS, Who.NAMED), "A question was answered: {about}", "The request waits for a decision again."
    ),
    "approval.granted": Rule(
        (Who.REQUESTER, Who.OWNER, Who.NAMED),
        "A grant was given: {about}",
        "The page says whether it was the last one needed.",
    ),
    "approval.rejected": Rule(
        (Who.REQUESTER, Who.OWNER, Who.NAMED), "An approval was refused: {about}", "The page has the reason."
    ),
    "approval.revoked": Rule(
        (Who.REQUESTER, Who.DECIDERS, Who.OWNER, Role.OPERATOR),
        "An approval was revoked: {about}",
        "What the alias serves goes on; roll back, suspend, or ask for a new approval.",
    ),
    "approval.withdrawn": Rule((Who.DECIDERS, Who.OWNER), "A request was withdrawn: {about}", _WATCH),
    "waiver.signed": Rule((Who.OWNER,), "An exception from a rule was signed: {about}", _WATCH),
    "waiver.ended": Rule(
        (Who.OWNER, Who.NAMED), "An exception from a rule was ended: {about}", "The gate asks for the rule again."
    ),
    "verdict.given": Rule((), "The gate has judged: {about}"),
}

_MOVES = {
    "alias.created": Rule((), "An alias was made: {about}"),
    "alias.promoted": Rule(_LIVE, "An alias serves another version: {about}", _WATCH),
    "alias.rolled_back": Rule(_LIVE, "An alias was rolled back: {about}", _WATCH),
    "alias.drilled": Rule((), "A roll-back was drilled: {about}"),
    "alias.suspended": Rule(
        (*_LIVE, Role.APPROVER),
        "An alias serves nothing any more: {about}",
        "Promote another version or roll back when it is time.",
    ),
    "alias.broken_glass": Rule(
        (Who.OWNER, Role.COMPLIANCE_OFFICER, Role.APPROVER, Role.ADMINISTRATOR),
        "An alias was moved WITHOUT an approval: {about}",
        "Look at the reason now; a finding is open, and the move ends by itself.",
    ),
}

_STOPS = {
    "recall.started": Rule(
        (Role.COMPLIANCE_OFFICER, Role.APPROVER),
        "Something was recalled: {about}",
        "What was made from it is in quarantine; nothing was moved. Roll back or suspend what is live.",
    ),
    "recall.ended": Rule((Role.COMPLIANCE_OFFICER, Role.APPROVER, Who.NAMED), "A recall has ended: {about}", _WATCH),
    "quarantine.opened": Rule(
        (*_LIVE, Role.APPROVER),
        "A version is in quarantine because of a recall: {about}",
        "Admission answers no. Roll back or suspend what is live, or ask for a release.",
    ),
    "quarantine.release_requested": Rule(
        _DECIDE, "A way out of a quarantine is asked for: {about}", "Grant or refuse it on the page."
    ),
    "quarantine.released": Rule((*_LIVE, Who.NAMED), "A version is out of quarantine: {about}", _WATCH),
    "quarantine.release_refused": Rule(
        (*_LIVE, Who.NAMED), "A version stays in quarantine: {about}", "The page has the reason."
    ),
    "quarantine.ended": Rule(_LIVE, "A quarantine has ended with its recall: {about}", _WATCH),
    "purge.requested": Rule(
        (Role.COMPLIANCE_OFFICER, Role.ADMINISTRATOR),
        "Bytes are to be deleted for good: {about}",
        "A second person has to confirm it, or to withdraw it.",
    ),
    "purge.confirmed": Rule((Who.OWNER, Who.STEWARD, Who.NAMED), "Bytes were deleted for good: {about}", _WATCH),
    "purge.withdrawn": Rule((Who.NAMED,), "Bytes are not to be deleted after all: {about}", _WATCH),
    "hold.placed": Rule(
        (Who.OWNER, Who.STEWARD, Role.ADMINISTRATOR), "A legal hold stands: {about}", "Nothing of it can be purged."
    ),
    "hold.ended": Rule((Who.OWNER, Who.STEWARD, Who.NAMED), "A legal hold has ended: {about}", _WATCH),
}

_WORK = {
    "incident.opened": Rule(
        (*_LIVE, Role.APPROVER), "What is live has drifted: {about}", "Acknowledge it, then judge it."
    ),
    "incident.acknowledged": Rule((Who.OWNER,), "Somebody looks at an incident: {about}", _WATCH),
    "incident.judged": Rule((Who.OWNER, Who.NAMED, Role.APPROVER), "An incident was judged: {about}", _WATCH),
    "incident.resolved": Rule((Who.OWNER, Who.NAMED), "An incident is resolved: {about}", _WATCH),
    "finding.opened": Rule(
        (Who.NAMED,), "There is something to be mended: {about}", "The page says what, and until when."
    ),
    "finding.accepted": Rule((Who.NAMED,), "A finding was accepted: {about}", _WATCH),
    "finding.fixed": Rule((Who.NAMED,), "A finding is said to be mended: {about}", "Somebody else has to close it."),
    "finding.reopened": Rule((Who.NAMED,), "A finding was not mended after all: {about}", "Its page says why."),
    "finding.assigned": Rule((Who.NAMED,), "A finding has another owner or date: {about}", "The page says until when."),
    "finding.closed": Rule((Who.NAMED,), "A finding is closed: {about}", _WATCH),
    "edge.rederived": Rule((Who.OWNER,), "A version was made again, and its origin is confirmed: {about}", _WATCH),
    "profile.failed": Rule((Who.NAMED,), "A look at data failed: {about}", "The page has the reason."),
    "profile.finished": Rule((), "Data were looked at: {about}"),
    "run.failed": Rule((Who.NAMED,), "A run failed: {about}", "The page has the reason and the log."),
    "run.succeeded": Rule((), "A run is done: {about}"),
    "run.cancelled": Rule((), "A run was cancelled: {about}"),
    "version.registered": Rule((), "There is a new version: {about}"),
    "version.corrected": Rule((Who.OWNER,), "What is said about a version was corrected: {about}", _WATCH),
    "dataset_version.corrected": Rule(
        (Role.COMPLIANCE_OFFICER, Who.NAMED), "What is said about data was corrected: {about}", _WATCH
    ),
    "model.registered": Rule((), "There is a new model: {about}"),
    "dataset_version.registered": Rule((), "There is a new dataset version: {about}"),
    "review.signed": Rule((), "Somebody reviewed: {about}"),
}

_RULINGS = {
    "policy.authored": Rule(
        _RULERS, "A policy waits for approval: {about}", "Somebody other than its author approves it."
    ),
    "policy.approved": Rule((Who.NAMED,), "A policy is in force: {about}", _WATCH),
    "policy.ended": Rule((Who.NAMED, Role.COMPLIANCE_OFFICER), "A policy is out of force: {about}", _WATCH),
    "tier_table.authored": Rule(
        _RULERS, "A tier table waits for approval: {about}", "Somebody other than its author approves it."
    ),
    "tier_table.approved": Rule((Who.NAMED,), "A tier table is in force: {about}", _WATCH),
    "ruling.authored": Rule(
        _RULERS, "A ruling on a licence waits for approval: {about}", "Somebody other than its author approves it."
    ),
    "ruling.approved": Rule((Who.NAMED,), "A ruling on a licence is in force: {about}", _WATCH),
    "ruling.ended": Rule((Who.NAMED,), "A ruling on a licence is out of force: {about}", _WATCH),
    "alias_rule.authored": Rule(
        _RULERS, "A rule for an alias waits for approval: {about}", "Somebody other than its author approves it."
    ),
    "alias_rule.ended": Rule((Who.NAMED,), "A rule for an alias is out of force: {about}", _WATCH),
    "alias_rule.approved": Rule((Who.NAMED,), "A rule for an alias is in force: {about}", _WATCH),
    "use_case.tier_changed": Rule(
        (Who.NAMED, Role.APPROVER),
        "The tier of a use case has changed: {about}",
        "Approvals under the old tier are stale; ask again for what is live.",
    ),
}

_PERSONAL = {
    "deputyship.appointed": Rule((Who.NAMED,), "A deputy was appointed: you are one of the two", _WATCH, personal=True),
    "deputyship.ended": Rule((Who.NAMED,), "A deputyship has ended: you were one of the two", _WATCH, personal=True),
    "membership.granted": Rule((Who.NAMED,), "A role was given to you, or in your name", _WATCH, personal=True),
    "membership.ended": Rule((Who.NAMED,), "A role of yours, or one that you gave, has ended", _WATCH, personal=True),
    "responsibility.given": Rule(
        (Who.NAMED,),
        "You answer for a service account, or gave that to somebody",
        "What the account does counts as your own work: you do not approve it.",
        personal=True,
    ),
    "token.created": Rule(
        (Who.NAMED,),
        "A token was made for your account, or by you",
        "If you did not expect it, tell an administrator.",
        personal=True,
    ),
    "token.ended": Rule((Who.NAMED,), "A token of your account was ended", _WATCH, personal=True),
}

_LEDGER = {
    "key.rotated": Rule(
        _HOUSE, "The ledger is signed with new keys", "Give the new key lines to whoever checks bundles."
    ),
    "key.revoked": Rule(
        _HOUSE,
        "The ledger's old keys were revoked",
        "Nobody vouches for the new key lines: hand them over by a way of your own.",
    ),
    "ledger.reopened": Rule(
        _HOUSE, "The ledger goes on under a new origin", "Give the new origin to whoever checks bundles."
    ),
    "webhook.registered": Rule(_HOUSE, "An address outside is told of events from now on: {about}", _WATCH),
    "webhook.rotated": Rule((), "A webhook has a new secret: {about}"),
    "webhook.ended": Rule(_HOUSE, "An address outside is told of nothing any more: {about}", _WATCH),
}

RULES: dict[str, Rule] = {**_APPROVALS, **_MOVES, **_STOPS, **_WORK, **_RULINGS, **_PERSONAL, **_LEDGER}

REMINDERS: dict[str, Rule] = {
    "approval.ending": Rule(
        (Who.REQUESTER, Who.OWNER), "An approval ends on {until}: {about}", "Ask for a new one in time."
    ),
    "waiver.ending": Rule(
        (Who.OWNER, Who.NAMED), "An exception from a rule ends on {until}: {about}", "The gate then asks for the rule again."
    ),
    "attestation.ending": Rule((Who.NAMED,), "A statement of yours ends on {until}: {about}", "Sign a new one in time."),
    "review.ending": Rule((Who.NAMED,), "A review is due again on {until}: {about}", "Look at it again and sign."),
    "deputyship.ending": Rule((Who.NAMED,), "A deputyship of yours ends on {until}", _WATCH, personal=True),
    "membership.ending": Rule(
        (Who.NAMED,), "A role of yours, or one that you gave, ends on {until}", "An administrator can give it again.",
        personal=True,
    ),
    "token.ending": Rule(
        (Who.NAMED,), "A token of yours, or of a service account you answer for, ends on {until}",
        "Make another one in time; an administrator makes those of service accounts.",
        personal=True,
    ),
    "finding.overdue": Rule(
        (Who.NAMED,), "A finding was due on {until}: {about}", "Mend it, or say why it takes longer."
    ),
}  # fmt: skip

SILENT = frozenset({
    "actor.created", "actor.ended", "actor.erased", "artifact.registered", "assessment.issued", "baseline.frozen", "bundle.issued",
    "dataset.registered", "dataset_file.registered",
    "document.attached", "evidence.attached", "ledger.clock_corrected", "ledger.created", "ledger.upgraded",
    "licence.registered", "model.use_case_assigned", "monitor.created", "monitor.ended", "policy.superseded", "profile.requested",
    "profile.started", "recipe.published",
    "report.issued", "ruling.superseded", "run.cancel_requested", "run.requested", "run.requeued", "run.started", "team.created",
    "target.ended", "target.registered", "text.erased", "tier_table.superseded", "use_case.assessed",
    "use_case.registered", "window.recorded", "attestation.signed",
    "attestation.ended",
})  # fmt: skip
"""Kinds that nobody is told of, not even a webhook: many, or of no concern to others. Every kind stands in one of the two."""

OF_FINDINGS: dict[str, tuple[Receiver, ...]] = {"replay-differs": (Who.OWNER, Role.COMPLIANCE_OFFICER, Role.OPERATOR)}
"""Who is told besides when a finding of a kind is opened: whoever asked for the replay may be the owner, and is told of nothing."""

KINDS = frozenset(RULES) | frozenset(REMINDERS)
"""What a webhook may ask for."""

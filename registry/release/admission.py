"""Whether a version may run, now, for an alias and on a target: yes or no, with every reason. Default no.

Rules:
- what is unknown, ambiguous, ended, purged or quarantined is never admitted, whatever was approved;
- an approval granted now, within its end and its target, admits; whether an alias serves the version or it is merely approved
  is said, and who demands `served` is refused the latter;
- what an alias serves without such an approval is admitted for as long as the policy lets a lapse go on, then no more;
  a revoked approval admits nothing from that moment on;
- an approval does not count once what is stated about the version was corrected after its last grant, or once terms that changed
  since then are such that the policy in force forbids it: what is served then goes on as long as a lapse does, what is merely
  approved does not;
- a move that broke the glass admits until its end;
- a suspended alias admits nothing; a version that an alias went back from needs an approval that was asked for afterwards;
- without an alias, some alias has to admit; the answer names it. An answer is never good for longer than what it rests on.
No Django, no clock, no reading: the same facts give the same answer.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace

from registry.release import status

YES, NO = "yes", "no"
SERVED, APPROVED, LAPSE_GRACE, BROKEN_GLASS = "served", "approved", "lapse-grace", "broken-glass"
STANDINGS = (SERVED, BROKEN_GLASS, LAPSE_GRACE, APPROVED)
"""By what a version may be admitted, the strongest first."""
CORRECTED, FORBIDDEN = "corrected-since", "terms-forbidden"
UNKNOWN = "It is not known here, or you may not see it."


@dataclass(frozen=True)
class Asked:
    """For what admission is asked. `alias` None: for any; `target` None: for no particular place."""

    alias: str | None = None
    target: str | None = None
    served: bool = False


@dataclass(frozen=True)
class Reason:
    """A stable code and one sentence."""

    code: str
    text: str


@dataclass(frozen=True)
class Approved:
    """What one approval is worth now. `target` limits it to one place."""

    id: str
    word: str
    said: tuple[str, ...]
    requested_at: datetime.datetime
    ends_at: datetime.datetime
    target: str | None
    policy_digest: str
    corrected_at: datetime.datetime | None = None
    """When what is stated about the version was corrected after the last grant."""
    forbidden: str = ""
    """What the policy in force says against terms that changed after the last grant."""

    @property
    def changed(self) -> bool:
        """It is not for what it was granted on."""
        return self.corrected_at is not None or bool(self.forbidden)


@dataclass(frozen=True)
class Glass:
    """A move without approval, and until when it holds."""

    id: str
    ends_at: datetime.datetime
    policy_digest: str | None
    """None: no policy was in force when the glass was broken."""


@dataclass(frozen=True)
class Serving:
    """The move by which an alias serves the version now, and what that rests on."""

    assignment: str
    approval: Approved | None
    glass: Glass | None
    lapse_known_at: datetime.datetime | None
    """When somebody was told that the approval had lapsed."""
    grace: datetime.timedelta
    terms_known_at: datetime.datetime | None = None
    """When somebody was told that the terms had changed."""


@dataclass(frozen=True)
class Standing:
    """How the version stands with one alias of its model. `approvals`: newest first."""

    alias: str
    approvals: tuple[Approved, ...]
    serving: Serving | None = None
    suspended: bool = False
    left_at: datetime.datetime | None = None
    """When the alias went back from it."""


@dataclass(frozen=True)
class Facts:
    """Everything that the rules may look at about one version that is known."""

    at: datetime.datetime
    standings: tuple[Standing, ...]
    purged: bool = False
    ended: bool = False
    recalled: tuple[str, ...] = ()
    """What was recalled that stops the version."""
    target_known: bool = True


@dataclass(frozen=True)
class Answer:
    """The decision, why, and the records that it rests on. `until`: when it would not hold any more."""

    decision: str
    reasons: tuple[Reason, ...]
    standing: str | None = None
    alias: str | None = None
    approval: str | None = None
    assignment: str | None = None
    broken_glass: str | None = None
    policy_digest: str | None = None
    until: datetime.datetime | None = None


def no(code: str, text: str) -> Answer:
    """A refusal for one reason."""
    return Answer(NO, (Reason(code, text),))


def decide(facts: Facts | None, asked: Asked) -> Answer:
    """The answer for a version; None when there is none that the caller may know of."""
    if facts is None:
        return no("unknown", UNKNOWN)
    stops = tuple(_stops(facts, asked))
    if stops:
        return Answer(NO, stops, alias=asked.alias)
    concerned = [s for s in facts.standings if asked.alias in (None, s.alias)]
    answers = [_for_alias(standing, facts.at, asked) for standing in concerned]
    admitted = [answer for answer in answers if answer.decision == YES]
    if admitted:
        return min(admitted, key=lambda answer: STANDINGS.index(answer.standing or ""))
    if not answers:
        where = f"'{asked.alias}'" if asked.alias else "any alias"
        return replace(no("not-approved", f"It was never approved for {where}."), alias=asked.alias)
    reasons = tuple(reason for answer in answers for reason in answer.reasons)
    return replace(answers[0], reasons=reasons) if len(answers) == 1 else Answer(NO, reasons)


def _stops(facts: Facts, asked: Asked) -> Sequence[Reason]:
    found = []
    if facts.purged:
        found.append(Reason("purged", "Its bytes were purged; nothing of it may run."))
    if facts.ended:
        found.append(Reason("ended", "Its model has ended."))
    for subject in facts.recalled:
        found.append(Reason("quarantined", f"It is in quarantine: {subject} was recalled."))
    if not facts.target_known:
        found.append(
            Reason("target-unknown", f"No target '{asked.target}' is registered in its team, or it has ended.")
        )
    return found


def _for_alias(standing: Standing, at: datetime.datetime, asked: Asked) -> Answer:
    """The answer as far as one alias goes."""
    alias = standing.alias
    if standing.serving is not None:
        return _serving(standing, standing.serving, at, asked)
    if standing.suspended:
        return _no(alias, "suspended", f"'{alias}' is suspended: it serves nothing.")
    since = standing.left_at
    counting = [a for a in standing.approvals if since is None or a.requested_at > since]
    found = _granted(counting, at, asked)
    if found is None:
        if since is not None:
            return _no(alias, "rolled-back", f"'{alias}' went back from it, and it was not approved again since.")
        return _not_granted(alias, counting, at, asked)
    if asked.served:
        return _no(alias, "not-served", f"It is approved for '{alias}', which does not serve it.", found)
    return _yes(alias, APPROVED, f"It is approved for '{alias}', which does not serve it.", found.ends_at, found)


def _serving(standing: Standing, serving: Serving, at: datetime.datetime, asked: Asked) -> Answer:
    alias = standing.alias
    found = _granted(standing.approvals, at, asked)
    if found is not None:
        answer = _yes(alias, SERVED, f"'{alias}' serves it, and it is approved for that.", found.ends_at, found)
    elif serving.glass is not None:
        answer = _broken_glass(alias, serving.glass, at)
    elif serving.approval is None:
        answer = _no(alias, "not-approved", f"'{alias}' serves it without an approval.")
    else:
        answer = _lapsing(alias, serving, serving.approval, at, asked)
    return replace(answer, assignment=serving.assignment)


def _broken_glass(alias: str, glass: Glass, at: datetime.datetime) -> Answer:
    until = _moment(glass.ends_at)
    if at >= glass.ends_at:
        said = f"'{alias}' serves it by a move without approval, which ended at {until}."
        answer = _no(alias, "broken-glass-ended", said)
        return replace(answer, broken_glass=glass.id, policy_digest=glass.policy_digest)
    said = f"'{alias}' serves it by a move without approval, in an emergency, until {until}."
    answer = _yes(alias, BROKEN_GLASS, said, glass.ends_at)
    return replace(answer, broken_glass=glass.id, policy_digest=glass.policy_digest)


def _lapsing(alias: str, serving: Serving, approval: Approved, at: datetime.datetime, asked: Asked) -> Answer:
    """What an alias serves whose approval is not granted now, not for what it was granted on, or not for this target."""
    lapsed = approval.word in (status.EXPIRED, status.STALE)
    if not lapsed and not (approval.word == status.GRANTED and approval.changed):
        return _not_granted(alias, [approval], at, asked)
    if misfit := _misfit(approval, asked):
        return _no(alias, misfit.code, misfit.text, approval)
    told = serving.terms_known_at if approval.forbidden else None
    moments = (serving.lapse_known_at if lapsed else None, approval.ends_at, approval.corrected_at, told)
    until = min((moment for moment in moments if moment is not None and moment <= at), default=at) + serving.grace
    code, said = _lapse_said(alias, approval, lapsed)
    ends = _moment(until)
    if at >= until:
        return _no(alias, code, f"{said}, and the grace that the policy gives ended at {ends}.", approval)
    return _yes(alias, LAPSE_GRACE, f"{said}; the policy lets it run until {ends}.", until, approval)


def _lapse_said(alias: str, approval: Approved, lapsed: bool) -> tuple[str, str]:
    """Why what is served has no approval that counts: the code of the refusal to come, and the beginning of a sentence."""
    if lapsed:
        return "lapsed", f"The approval by which '{alias}' serves it is {approval.word}"
    if approval.corrected_at is not None:
        return CORRECTED, f"What is stated about it was corrected after the approval by which '{alias}' serves it"
    return (
        FORBIDDEN,
        f"The terms that changed under what '{alias}' serves are not those of the policy ({approval.forbidden})",
    )


def _granted(approvals: Sequence[Approved], at: datetime.datetime, asked: Asked) -> Approved | None:
    """The approval that holds longest of those that allow it."""
    good = [a for a in approvals if _counts(a, at) and _misfit(a, asked) is None]
    return max(good, key=lambda a: a.ends_at, default=None)


def _counts(approval: Approved, at: datetime.datetime) -> bool:
    return approval.word == status.GRANTED and approval.ends_at > at and not approval.changed


def _misfit(approval: Approved, asked: Asked) -> Reason | None:
    """Why an approval is not for the target that was asked for."""
    if approval.target is None or approval.target == asked.target:
        return None
    named = "and no target was named" if asked.target is None else f"not for {asked.target}"
    return Reason("other-target", f"It is approved for {approval.target} alone, {named}.")


def _not_granted(alias: str, approvals: Sequence[Approved], at: datetime.datetime, asked: Asked) -> Answer:
    if not approvals:
        return _no(alias, "not-approved", f"It was never approved for '{alias}'.")
    newest = approvals[0]
    if newest.corrected_at is not None and newest.word in (status.GRANTED, status.EXPIRED, status.STALE):
        text = (
            f"What is stated about it was corrected after its approval for '{alias}' was granted; it needs a new one."
        )
        return _no(alias, CORRECTED, text, newest)
    if newest.forbidden and newest.word == status.GRANTED:
        text = (
            f"Terms changed after its approval for '{alias}' was granted, and the policy forbids it: {newest.forbidden}"
        )
        return _no(alias, FORBIDDEN, text, newest)
    misfit = _misfit(newest, asked)
    if newest.word == status.GRANTED and misfit is not None:
        return _no(alias, misfit.code, misfit.text, newest)
    word = status.EXPIRED if newest.word == status.GRANTED and newest.ends_at <= at else newest.word
    said = " ".join([f"Its approval for '{alias}' is {word}, not granted.", *newest.said])
    return _no(alias, f"approval-{word}", said, newest)


def _moment(at: datetime.datetime) -> str:
    return f"{at.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"


def _no(alias: str, code: str, text: str, approval: Approved | None = None) -> Answer:
    return _with(replace(no(code, text), alias=alias), approval)


def _yes(alias: str, standing: str, text: str, until: datetime.datetime, approval: Approved | None = None) -> Answer:
    answer = Answer(YES, (Reason(standing, text),), standing=standing, alias=alias, until=until)
    return _with(answer, approval)


def _with(answer: Answer, approval: Approved | None) -> Answer:
    if approval is None:
        return answer
    return replace(answer, approval=approval.id, policy_digest=approval.policy_digest)

"""A policy in sentences, for people who approve it: what each rule asks, what the policy allows, and what differs between two.

No Django here: reports say the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.release.policy_language import PolicyRules, Rule

Parameters = Mapping[str, Any]
_COMPARES = {"at_least": "at least", "at_most": "at most"}
_BOUNDS = {"point": "", "low": ", by the lower end of its interval", "high": ", by the upper end of its interval"}
_LETS = (
    ("seen_rows", "accepted", "rows that the version had seen count"),
    ("left_out_rows", "accepted", "it counts though rows were left out"),
    ("doubted_scores", "accepted", "scores that may be misnamed count"),
    ("repeated_rows", "counted", "repeated rows count each time"),
)


def sentence(rule: Rule) -> str:
    """What a rule asks, as one sentence without its reason."""
    said = _SENTENCES[rule.check](rule.parameters)
    of = {"uploaded": "Of uploaded versions: ", "derived": "Of derived versions: "}.get(rule.applies_to, "")
    return f"{of}{said[0].lower() if of else said[0]}{said[1:]}."


def _evidence_present(p: Parameters) -> str:
    what = "measured evidence" if p["source"] == "measured" else "evidence, measured or declared,"
    age = f", at most {_days(p['max_age_days'])} old" if p["max_age_days"] else ""
    return f"There is {what} of kind '{p['kind']}'{age}{_pinned(p)}{_lets(p)}"


def _figure(p: Parameters) -> str:
    where = " in every slice" if p["slices"] == "every" else ""
    rows = f", on at least {p['minimum_n']} rows or runs" if p["minimum_n"] else ""
    limit = f"{_COMPARES[p['comparator']]} {p['limit']}"
    return f"'{p['metric']}' of '{p['kind']}' is {limit}{where}{_BOUNDS[p['bound']]}{rows}{_pinned(p)}{_lets(p)}"


def _target_evidence(p: Parameters) -> str:
    age = f", at most {_days(p['max_age_days'])} ago" if p["max_age_days"] else ""
    named = {"host": p["host_digest"], "settings": p["settings_digest"]}
    where = "".join(f", with the {what} {digest[:19]}" for what, digest in named.items() if digest)
    limits = [f"{x['metric']} {_COMPARES[x['comparator']]} {x['limit']}{_BOUNDS[x['bound']]}" for x in p["limits"]]
    keeps = f"; it keeps {'; '.join(limits)}" if limits else ""
    return f"It was measured where it is served{age}{where}{keeps}{_lets(p)}"


def _terms(p: Parameters) -> str:
    return f"The licences of the lineage answer {_either(p['allowed'])} on {p['term'].replace('_', ' ')}"


def _training_data(p: Parameters) -> str:
    return f"What it was trained on is recorded as {_either(p['allowed'])}"


def _lineage_grade(p: Parameters) -> str:
    return f"Every edge to a parent is at least {p['at_least']}"


def _use_case(p: Parameters) -> str:
    answered = ", which follows from answers to the tier table in force" if p.get("answered") else ""
    return f"The model serves a use case of tier {_either(p['tiers'])}{answered}"


def _open_findings(p: Parameters) -> str:
    return f"No finding{' of kind ' + _either(p['kinds']) if p['kinds'] else ''} about the model is open"


def _document_attached(p: Parameters) -> str:
    each = p.get("of", "release") == "each_dataset"
    about = "each dataset of the lineage" if each else "the version, its model or its use case"
    return f"A document of kind '{p['kind']}' is kept about {about}"


def _review_in_force(p: Parameters) -> str:
    about = "each dataset of the lineage" if p["of"] == "each_dataset" else "exactly this state of the version"
    return f"A review of kind '{p['kind']}' of {about} accepts it and is not overdue"


def _data_quality(p: Parameters) -> str:
    which = "every dataset" if p["use"] == "any" else f"every {p['use']} dataset"
    rows = f", on at least {p['minimum_n']} rows" if p.get("minimum_n") else ""
    return f"'{p['metric']}' of {which} is {_COMPARES[p['comparator']]} {p['limit']}{rows}"


_COPIES = {
    "near": ", nearly the same rows included",
    "without_identifiers": ", rows included that are the same but for columns that only number or name them",
}


def _contamination(p: Parameters) -> str:
    near = _COPIES.get(str(p.get("copies")), "")
    learned = "stands in training or calibration data"
    return f"At most {p['limit']} of the evaluation rows {learned}{near}{_pinned(p)}"


_SENTENCES: dict[str, Callable[[Parameters], str]] = {
    "evidence_present": _evidence_present,
    "figure": _figure,
    "target_evidence": _target_evidence,
    "terms": _terms,
    "training_data": _training_data,
    "lineage_grade": _lineage_grade,
    "dataset_known": lambda p: "Every dataset of the lineage has a known licence and origin",
    "use_case": _use_case,
    "structure_checked": lambda p: "The structure of every weights file was read and accepted",
    "parent_rollback_target": lambda p: "An ancestor was approved, so that there is something to go back to",
    "open_findings": _open_findings,
    "document_attached": _document_attached,
    "review_in_force": _review_in_force,
    "data_quality": _data_quality,
    "contamination": _contamination,
    "not_recalled": lambda p: "Nothing that it is or was made from is under an open recall",
}


def _either(words: Sequence[str]) -> str:
    return " or ".join(f"'{word}'" for word in words)


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _pinned(p: Parameters) -> str:
    named = {"the rows": p.get("dataset_digest"), "the plan": p.get("plan_digest")}
    found = [f"{what} {digest[:19]}" for what, digest in named.items() if digest]
    return f", with {' and '.join(found)}" if found else ""


def _lets(p: Parameters) -> str:
    found = [words for name, value, words in _LETS if p.get(name) == value]
    return f" ({'; '.join(found)})" if found else ""


# --- what the policy allows ---


def deciders(policy: PolicyRules) -> str:
    """Who has to grant an approval, by role: '2 approvers and 1 compliance officer'."""
    officers = policy.officers_required
    asked = ((policy.approvals_required - officers, "approver"), (officers, "compliance officer"))
    return " and ".join(f"{count} {role}{'s' if count > 1 else ''}" for count, role in asked if count)


def limits(policy: PolicyRules) -> list[tuple[str, str]]:
    """What holds beside the rules: name and words."""
    officers = policy.officers_required
    who = f", {officers} of them by compliance officers" if officers else ""
    people = "1 person" if policy.approvals_required == 1 else f"{policy.approvals_required} people"
    drift = policy.drift_limits
    return [
        ("Tiers", ", ".join(policy.tiers)),
        ("Aliases", ", ".join(policy.aliases) or "all of them"),
        ("Approval by", people + who),
        ("An approval lasts", f"at most {_days(policy.approval_valid_days)}"),
        ("A waiver lasts", f"at most {_days(policy.waiver_valid_days)}"),
        ("After an approval lapsed", f"admitted for {policy.lapse_grace_hours} hours"),
        ("A move that breaks the glass lasts", f"{policy.break_glass_hours} hours"),
        ("Drift, population stability index", f"more than {drift.population_stability_index}"),
        ("Drift, share of missing values", f"more than {drift.missing_share}"),
        ("False alarms", f"at a level of {drift.false_alarm_level}"),
    ]


@dataclass(frozen=True)
class Difference:
    """One thing that two policies say differently; empty where one of them does not say it."""

    name: str
    before: str
    after: str


def differences(before: PolicyRules, after: PolicyRules) -> list[Difference]:
    """What changed from one policy to another: what it allows first, then its rules in the order of the later one."""
    found = [
        Difference(name, was, now)
        for (name, was), (_, now) in zip(limits(before), limits(after), strict=True)
        if was != now
    ]
    old, new = ({rule.id: rule for rule in policy.rules} for policy in (before, after))
    for rule_id in [*new, *(r for r in old if r not in new)]:
        was, now = old.get(rule_id), new.get(rule_id)
        if was is None or now is None or was.digest != now.digest:
            found.append(Difference(rule_id, _whole(was), _whole(now)))
    return found


def _whole(rule: Rule | None) -> str:
    """Everything about a rule that its digest covers."""
    if rule is None:
        return ""
    waived = "It may be waived." if rule.waivable else "It cannot be waived."
    return f"{sentence(rule)} {waived} {rule.about}"

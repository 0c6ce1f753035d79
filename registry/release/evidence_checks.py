"""The checks of a gate that read evidence: that it is there, that a figure keeps its limit, that the target was measured.

Rules:
- the newest evidence of a kind decides; of another version it never counts;
- a rule may name rows and plan by digest (`dataset_digest`, `plan_digest`): evidence over other rows, or by another plan, is then
  as if it were not there, so that whoever asks for an evaluation does not choose what the gate goes by;
- evidence of a kind that ends in `-incumbent` or `-first` rests on what is served now, or on the version that was approved first:
  compared with any other version, or with none that it names, it is as if it were not there;
- a figure over rows that the version had seen when it was made does not count, unless the rule accepts it;
- what the serving host measured is evidence of kind `target`. It is not our own measurement: no other check takes it for one. A
  newer measurement on another host or under other settings makes it stale, so the newest alone is asked: over rows that the version
  had seen it blocks, and no older one stands in for it, unless the rule accepts such rows.
No Django, no clock, no reading.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Any

from registry.release.gate_facts import EvidenceInput, Finding, GateInputs

SEEN_ROWS = "seen_rows"
TARGET = "target"
ROWS, PLAN = "dataset_digest", "plan_digest"
_SERVED, _FIRST = "-incumbent", "-first"
_ANYTHING: Mapping[str, Any] = {}


def _newest(
    inputs: GateInputs, kind: str, *, measured: bool, unseen: bool = False, asked: Mapping[str, Any] = _ANYTHING
) -> EvidenceInput | None:
    fitting = [
        e
        for e in inputs.evidence
        if e.kind == kind
        and e.version_digest == inputs.version_digest
        and (e.source == "measured" or not measured)
        and not (unseen and _rows_seen(e))
        and _as_asked(e, asked)
        and _compared_as_now(e, inputs)
    ]
    return _latest(fitting)


def _latest(fitting: Sequence[EvidenceInput]) -> EvidenceInput | None:
    return max(fitting, key=lambda e: (e.created_at, e.digest)) if fitting else None


def _compared_as_now(evidence: EvidenceInput, inputs: GateInputs) -> bool:
    if not evidence.kind.endswith((_SERVED, _FIRST)):
        return True
    beside = inputs.incumbent if evidence.kind.endswith(_SERVED) else inputs.first_approved
    return beside is not None and set(evidence.compared_with) == {beside}


def _only_beside_another(inputs: GateInputs, kind: str, *, measured: bool) -> Finding | None:
    """Why there is no evidence of a comparison, where there is some that compares with other versions than it must."""
    of_kind = [e for e in inputs.evidence if e.kind == kind and e.version_digest == inputs.version_digest]
    fitting = [e for e in of_kind if e.source == "measured" or not measured]
    other = _latest(fitting)
    if other is None or any(_compared_as_now(e, inputs) for e in fitting):
        return None
    served = kind.endswith(_SERVED)
    beside = inputs.incumbent if served else inputs.first_approved
    what = "what is served now, or was before this version," if served else "the version that was approved first"
    named = (
        " and ".join(f"version {digest[:19]}" for digest in other.compared_with) or "a version that it does not name"
    )
    if beside is None:
        then = "no other version is served" if served else "no version was approved yet"
        return Finding(False, f"Evidence of kind '{kind}' compares with {named}, but {then}.", (other.digest,))
    reason = f"Evidence of kind '{kind}' compares with {named}; {what} is {beside[:19]}. Evaluate the version again beside it."
    return Finding(False, reason, (other.digest,))


def _as_asked(evidence: EvidenceInput, asked: Mapping[str, Any]) -> bool:
    rows, plan = asked.get(ROWS), asked.get(PLAN)
    return rows in (None, *evidence.datasets) and plan in (None, evidence.environment.get("plan"))


def _only_other(asked: Mapping[str, Any], inputs: GateInputs, kind: str, *, measured: bool) -> Finding | None:
    """Why there is no evidence as a rule asks for it, where there is some beside another version, over other rows or so."""
    beside = _only_beside_another(inputs, kind, measured=measured)
    if beside is not None:
        return beside
    other = _newest(inputs, kind, measured=measured)
    if other is None or _as_asked(other, asked):
        return None
    named = {"the rows": asked.get(ROWS), "the plan": asked.get(PLAN)}
    wanted = " and ".join(f"{what} {digest[:19]}" for what, digest in named.items() if digest is not None)
    reason = f"Evidence of kind '{kind}' is there only over other rows or by another plan; {wanted} are asked."
    return Finding(False, reason, (other.digest,))


def _rows_seen(evidence: EvidenceInput) -> bool:
    return evidence.environment.get(SEEN_ROWS, "0") != "0"


def _accepts_seen(parameters: Mapping[str, Any]) -> bool:
    return bool(parameters.get(SEEN_ROWS, "refused") == "accepted")


def _seen_on_target(found: EvidenceInput) -> str:
    rows = found.environment[SEEN_ROWS]
    return (
        f"It was last measured on its target with data of which the version had seen {rows} rows when it was made; that does not "
        "count. Measure it there again with other rows."
    )


def _only_seen(metric: str, seen: EvidenceInput) -> str:
    return (
        f"'{metric}' was only measured on data of which the version had seen {seen.environment[SEEN_ROWS]} rows when it was made; "
        "that does not count."
    )


def evidence_present(parameters: Mapping[str, Any], inputs: GateInputs) -> Finding:
    kind, measured = parameters["kind"], parameters["source"] == "measured"
    found = _newest(inputs, kind, measured=measured, asked=parameters)
    if found is None:
        other = _only_other(parameters, inputs, kind, measured=measured)
        if other is not None:
            return other
        declared = measured and _newest(inputs, kind, measured=False, asked=parameters) is not None
        only = " There is a declared one, which does not count as measured." if declared else ""
        wanted = "measured evidence" if measured else "evidence"
        return Finding(False, f"There is no {wanted} of kind '{kind}' for this version.{only}")
    age_days = (inputs.at - found.created_at).days
    limit = parameters["max_age_days"]
    if limit is not None and inputs.at - found.created_at > datetime.timedelta(days=limit):
        return Finding(
            False,
            f"The newest evidence of kind '{kind}' is {age_days} days old; at most {limit} are allowed.",
            (found.digest,),
        )
    return Finding(True, f"Evidence of kind '{kind}' ({found.source}) is {_days(age_days)} old.", (found.digest,))


def figure(parameters: Mapping[str, Any], inputs: GateInputs) -> Finding:
    kind, metric = parameters["kind"], parameters["metric"]
    any_rows = _accepts_seen(parameters)
    found = _newest(inputs, kind, measured=True, unseen=not any_rows, asked=parameters)
    if found is None:
        seen = None if any_rows else _newest(inputs, kind, measured=True, asked=parameters)
        if seen is not None:
            return Finding(False, _only_seen(metric, seen), (seen.digest,))
        other = _only_other(parameters, inputs, kind, measured=True)
        if other is not None:
            return other
        return Finding(False, f"'{metric}' was not measured for this version: evidence of kind '{kind}' is missing.")
    every = parameters["slices"] == "every"
    figures = [f for f in found.figures if f["metric"] == metric and (every or not f["slice"])]
    if not figures:
        return Finding(False, f"The evidence of kind '{kind}' holds no figure '{metric}'.", (found.digest,))
    judged = [_one_figure(parameters, figure) for figure in figures]
    failing = [reason for holds, reason in judged if not holds]
    if failing:
        return Finding(False, failing[0], (found.digest,))
    reason = judged[0][1] if len(judged) == 1 else f"'{metric}' keeps its limit in all {len(judged)} slices."
    return Finding(True, reason, (found.digest,))


def _one_figure(parameters: Mapping[str, Any], figure: Mapping[str, Any]) -> tuple[bool, str]:
    metric, bound = parameters["metric"], parameters["bound"]
    where = "".join(f" for {s['name']} = {s['value']}" for s in figure["slice"])
    if figure["value"] is None:
        return False, f"'{metric}'{where} has no value: {figure['reason']}."
    n, least = figure["n"], parameters["minimum_n"]
    if least and (n is None or n < least):
        return (
            False,
            f"'{metric}'{where} rests on {n if n is not None else 'an unknown number of'} samples; {least} are needed.",
        )
    value = figure["value"] if bound == "point" else figure[bound]
    if value is None:
        return False, f"'{metric}'{where} has no {bound} end of its interval, which the rule asks for."
    at_least = parameters["comparator"] == "at_least"
    limit = parameters["limit"]
    holds = Decimal(value) >= Decimal(limit) if at_least else Decimal(value) <= Decimal(limit)
    end = "" if bound == "point" else f" at the {bound} end of its interval"
    asked = f"at {'least' if at_least else 'most'} {limit}"
    verb = "is" if holds else "is only" if at_least else "is as much as"
    return holds, f"'{metric}'{where} {verb} {short(value)}{end}; {asked} is asked."


def target_evidence(parameters: Mapping[str, Any], inputs: GateInputs) -> Finding:
    """Whether the version was measured on its serving host, lately, as the policy asks for, and keeps its limits there."""
    found = _newest(inputs, TARGET, measured=False)
    if found is None:
        return Finding(False, "Nothing was measured for this version on the host that serves it ('pressmark measure').")
    proof = (found.digest,)
    if not _accepts_seen(parameters) and _rows_seen(found):
        return Finding(False, _seen_on_target(found), proof)
    age, limit = inputs.at - found.created_at, parameters["max_age_days"]
    if limit is not None and age > datetime.timedelta(days=limit):
        return Finding(
            False, f"It was last measured on its target {age.days} days ago; at most {limit} are allowed.", proof
        )
    for name, what in (("settings_digest", "serving settings"), ("host_digest", "host")):
        asked, known = parameters[name], found.environment.get(name, "unknown")
        if asked is not None and asked != known:
            return Finding(
                False,
                f"The newest measurement on its target is of other {what} ({known[:19]}) than asked ({asked[:19]}).",
                proof,
            )
    for one in parameters["limits"]:
        figures = [f for f in found.figures if f["metric"] == one["metric"] and not f["slice"]]
        if not figures:
            return Finding(False, f"The measurement on its target holds no figure '{one['metric']}'.", proof)
        holds, reason = _one_figure({"minimum_n": 0, **one}, figures[0])
        if not holds:
            return Finding(False, f"On its target, {reason}", proof)
    kept = f" and keeps {len(parameters['limits'])} limits there" if parameters["limits"] else ""
    return Finding(True, f"It was measured on its target {_days(age.days)} ago{kept}.", proof)


def short(value: str) -> str:
    """A decimal with at most five significant digits, for reading; never used to decide."""
    with localcontext() as context:
        context.prec = 5
        text = format(+Decimal(value), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _days(count: int) -> str:
    return "less than a day" if count < 1 else "1 day" if count == 1 else f"{count} days"

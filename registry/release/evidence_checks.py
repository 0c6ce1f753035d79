"""The checks of a gate that read evidence: that it is there, that a figure keeps its limit, that the target was measured.

Rules:
- which evidence counts is `evidence_choice`'s word; a reason says what the answer rests on: rows that were seen or that repeat;
- a rule about every slice needs a slice: the figure of the whole says nothing about any part;
- evidence that is dated after the moment of judging is of no known age, so where an age is asked it blocks;
- what the serving host measured is evidence of kind `target`. It is not our own measurement: no other check takes it for one. A
  newer measurement on another host or under other settings makes it stale, so the newest alone is asked: over rows that the version
  had seen it blocks, and so it does after many rows could not be used; no older one stands in for it, unless the rule accepts that.
No Django, no clock, no reading.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from decimal import Decimal, localcontext
from typing import Any

from registry.digests import is_decimal
from registry.release.evidence_choice import (
    TARGET,
    UNREGISTERED,
    accepts_left_out,
    accepts_seen,
    chosen,
    counted,
    declared_stands_in,
    rows_left_out,
    rows_seen,
    why_none,
)  # fmt: skip
from registry.release.gate_facts import EvidenceInput, Finding, GateInputs

_FUTURE = "is dated after now, so nobody can say how old it is. Measure it again with the clock set right."
_CLOCKS_APART = datetime.timedelta(minutes=5)
"""What was written while the gate looked, or by a machine whose clock runs ahead a little, is new and nothing else."""


def _from_the_future(found: EvidenceInput, inputs: GateInputs) -> bool:
    return found.created_at - inputs.at > _CLOCKS_APART


def evidence_present(parameters: Mapping[str, Any], inputs: GateInputs) -> Finding:
    kind, measured = parameters["kind"], parameters["source"] == "measured"
    found = chosen(parameters, inputs, measured=measured)
    if found is None:
        other = why_none(parameters, inputs, measured=measured)
        if other is not None:
            return other
        declared = measured and declared_stands_in(parameters, inputs)
        only = " There is a declared one, which does not count as measured." if declared else ""
        wanted = "measured evidence" if measured else "evidence"
        return Finding(False, f"There is no {wanted} of kind '{kind}' for this version.{only}")
    age_days = (inputs.at - found.created_at).days
    limit = parameters["max_age_days"]
    if limit is not None and _from_the_future(found, inputs):
        return Finding(False, f"The newest evidence of kind '{kind}' {_FUTURE}", (found.digest,))
    if limit is not None and inputs.at - found.created_at > datetime.timedelta(days=limit):
        return Finding(
            False,
            f"The newest evidence of kind '{kind}' is {age_days} days old; at most {limit} are allowed.",
            (found.digest,),
        )
    said = f"Evidence of kind '{kind}' ({found.source}) is {_days(age_days)} old{_seen_words(found)}."
    return Finding(True, said, (found.digest,))


def figure(parameters: Mapping[str, Any], inputs: GateInputs) -> Finding:
    kind, metric = parameters["kind"], parameters["metric"]
    found = chosen(parameters, inputs, measured=True)
    if found is None:
        missing = Finding(False, f"'{metric}' was not measured for this version: evidence of kind '{kind}' is missing.")
        return why_none(parameters, inputs, measured=True) or missing
    every = parameters["slices"] == "every"
    figures = [f for f in found.figures if f["metric"] == metric and (every or not f["slice"])]
    if not figures:
        return Finding(False, f"The evidence of kind '{kind}' holds no figure '{metric}'.", (found.digest,))
    if every and not any(f["slice"] for f in figures):
        said = f"'{metric}' was measured for the whole alone; the rule asks for every slice, and no slice was measured."
        return Finding(False, said, (found.digest,))
    judged = [_one_figure(parameters, figure, found) for figure in figures]
    failing = [reason for holds, reason in judged if not holds]
    if failing:
        return Finding(False, failing[0], (found.digest,))
    reason = judged[0][1] if len(judged) == 1 else f"'{metric}' keeps its limit in all {len(judged)} slices."
    return Finding(True, reason.removesuffix(".") + _seen_words(found) + ".", (found.digest,))


def _seen_words(found: EvidenceInput) -> str:
    """What a reader of a rule that was kept must know: the policy let it rest on rows that were seen."""
    rows = rows_seen(found)
    return f" (the version had seen {rows} of the data; the policy accepts it)" if rows else ""


def _one_figure(parameters: Mapping[str, Any], figure: Mapping[str, Any], evidence: EvidenceInput) -> tuple[bool, str]:
    metric, bound = parameters["metric"], parameters["bound"]
    where = "".join(f" for {s['name']} = {s['value']}" for s in figure["slice"])
    if figure["value"] is None:
        return False, f"'{metric}'{where} has no value: {figure['reason']}."
    few = _too_few(parameters, figure["n"], evidence)
    if few:
        return False, f"'{metric}'{where} rests on {few}"
    value = figure["value"] if bound == "point" else figure[bound]
    if value is None:
        return False, f"'{metric}'{where} has no {bound} end of its interval, which the rule asks for."
    if not is_decimal(value):
        return False, f"'{metric}'{where} is {value[:20]!r}, which is no number."
    at_least = parameters["comparator"] == "at_least"
    limit = parameters["limit"]
    holds = Decimal(value) >= Decimal(limit) if at_least else Decimal(value) <= Decimal(limit)
    end = "" if bound == "point" else f" at the {bound} end of its interval"
    asked = f"at {'least' if at_least else 'most'} {limit}"
    verb = "is" if holds else "is only" if at_least else "is as much as"
    return holds, f"'{metric}'{where} {verb} {short(value)}{end}; {asked} is asked."


def _too_few(parameters: Mapping[str, Any], n: int | None, evidence: EvidenceInput) -> str:
    """How few samples there are, where the rule asks for more; empty where there are enough."""
    least = parameters["minimum_n"]
    if not least:
        return ""
    differing = counted(parameters, n, evidence)
    if differing is None:
        return f"an unknown number of samples; {least} are needed."
    if differing >= least:
        return ""
    if differing == n:
        return f"{n} samples; {least} are needed."
    return (
        f"{n} samples, of which only {differing} surely differ; {least} are needed, and a row that stands there again is no "
        "evidence."
    )


def target_evidence(parameters: Mapping[str, Any], inputs: GateInputs) -> Finding:
    """Whether the version was measured on its serving host, lately, as the policy asks for, and keeps its limits there."""
    found = chosen(
        {**parameters, "kind": TARGET, "seen_rows": "accepted", "left_out_rows": "accepted"}, inputs, measured=False
    )
    if found is None:
        return Finding(False, "Nothing was measured for this version on the host that serves it ('pressmark measure').")
    proof = (found.digest,)
    if not accepts_seen(parameters) and rows_seen(found):
        return Finding(False, _seen_on_target(found), proof)
    if not accepts_left_out(parameters) and rows_left_out(found):
        return Finding(False, _left_out_on_target(found), proof)
    age, limit = inputs.at - found.created_at, parameters["max_age_days"]
    if limit is not None and _from_the_future(found, inputs):
        return Finding(False, f"Its newest measurement on its target {_FUTURE}", proof)
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
        holds, reason = _one_figure({"minimum_n": 0, **one}, figures[0], found)
        if not holds:
            return Finding(False, f"On its target, {reason}", proof)
    kept = f" and keeps {len(parameters['limits'])} limits there" if parameters["limits"] else ""
    return Finding(True, f"It was measured on its target {_days(age.days)} ago{kept}{_unregistered(found)}.", proof)


def _seen_on_target(found: EvidenceInput) -> str:
    return (
        f"It was last measured on its target with data of which the version had seen {rows_seen(found)} when it was made; "
        "that does not count. Measure it there again with other rows."
    )


def _left_out_on_target(found: EvidenceInput) -> str:
    return (
        f"It was last measured on its target with what was left after {rows_left_out(found)} could not be used; that does not "
        "count. Mend the rows and measure it there again."
    )


def _unregistered(found: EvidenceInput) -> str:
    """What a reader must know of rows that only the one who measured has seen."""
    known = UNREGISTERED not in found.environment
    return (
        "" if known else ", with rows that no dataset here holds (nobody here can tell whether it was made with them)"
    )


def short(value: str) -> str:
    """A decimal with at most five significant digits, for reading; never used to decide."""
    with localcontext() as context:
        context.prec = 5
        text = format(+Decimal(value), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _days(count: int) -> str:
    return "less than a day" if count < 1 else "1 day" if count == 1 else f"{count} days"

"""Which evidence a rule goes by, and why there is none: the newest of a kind that the rule lets count.

Rules:
- the newest evidence of a kind decides; of another version it never counts;
- a rule may name rows and plan by digest (`dataset_digest`, `plan_digest`): evidence over other rows, or by another plan, is then
  as if it were not there, so that whoever asks for an evaluation does not choose what the gate goes by; of data of several files
  one is read, and it is named by its own digest;
- evidence of a kind that ends in `-incumbent` or `-first` rests on what is served now, or on the version that was approved first:
  compared with any other version, or with none that it names, it is as if it were not there;
- evidence over rows that the version had seen when it was made does not count, unless the rule accepts it (`seen_rows`);
- nor does what leans on scores that the plan most likely misnames, unless the rule accepts it (`doubted_scores`);
- nor does what was found after more than one in a hundred rows were left out as unusable, unless the rule accepts it
  (`left_out_rows`): a plan that calls a class otherwise makes all its rows unusable, and what is left is easier;
- repeated rows are no evidence: a sample counts only the rows that surely differ, unless the rule counts them (`repeated_rows`).
No Django, no clock, no reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from registry.release.gate_facts import EvidenceInput, Finding, GateInputs

# named by registry.catalog.evidence too, which stands on Django: a test holds both together
SEEN_ROWS, DISTINCT_ROWS, ALL_ROWS, SCORES_DOUBTED = "seen_rows", "distinct_rows", "evaluated_rows", "scores_doubted"
LEFT_OUT, UNREGISTERED = "left_out_rows", "unregistered_rows"
TARGET = "target"
_LEFT_OUT_SHARE = 100
"""Of so many rows one may be unusable."""
ROWS, PLAN = "dataset_digest", "plan_digest"
SERVED, FIRST = "-incumbent", "-first"
_OF_SCORES = ("quality", "comparison", "fairness", "calibration", "robustness", "adversarial", "out-of-distribution")
_OF_ANSWERS = ("fidelity", "invariance", "outputs")
_NO_SCORES = (
    "cosine", "max_abs", "mean_abs", "nearest_neighbour", "rank_correlation", "top10", "batch_difference", "repeat_difference",
    "drift", "output_",
)  # fmt: skip
"""How metrics of likeness begin that look at the numbers a model gives, whatever these are called."""
Parameters = Mapping[str, Any]


def chosen(parameters: Parameters, inputs: GateInputs, *, measured: bool) -> EvidenceInput | None:
    """The evidence that the rule goes by; None where there is none that it lets count."""
    fitting = [e for e in _standing(parameters, inputs, measured=measured) if not _tainted(parameters, e)]
    return _latest([e for e in fitting if _as_asked(e, parameters)])


def why_none(parameters: Parameters, inputs: GateInputs, *, measured: bool) -> Finding | None:
    """Why the rule finds nothing to go by, where there is evidence of the kind; None where there is none at all."""
    standing = _standing(parameters, inputs, measured=measured)
    tainted = _latest([e for e in standing if _as_asked(e, parameters)])
    if tainted is not None:
        what = f"'{parameters['metric']}'" if "metric" in parameters else f"Evidence of kind '{parameters['kind']}'"
        return Finding(False, _taint(what, parameters, tainted), (tainted.digest,))
    return _beside_another(parameters["kind"], inputs, measured=measured) or _otherwise(parameters, standing)


def declared_stands_in(parameters: Parameters, inputs: GateInputs) -> bool:
    """Whether there is evidence as the rule asks for it that somebody only declared."""
    return any(_as_asked(e, parameters) for e in _standing(parameters, inputs, measured=False))


def rows_seen(evidence: EvidenceInput) -> str:
    """How many of its rows the version had seen when it was made, in words; empty where it had seen none.

    What is declared may say anything there: what is no number counts as seen.
    """
    said = evidence.environment.get(SEEN_ROWS, "0")
    if not _is_count(said):
        return "an unknown number of rows"
    return "" if int(said) == 0 else f"{int(said)} row{'' if int(said) == 1 else 's'}"


def rows_left_out(evidence: EvidenceInput) -> str:
    """How many rows could not be used, in words; empty where they are few, and for what rests on no rows."""
    said = evidence.environment.get(LEFT_OUT, "0")
    if not (of_rows(evidence.kind) or evidence.kind == TARGET) or said == "0":
        return ""
    if not _is_count(said):
        return "an unknown number of rows"
    given = int(said) + _all_rows(evidence)
    return f"{int(said):,} of {given:,} rows" if _LEFT_OUT_SHARE * int(said) > given else ""


def accepts_seen(parameters: Parameters) -> bool:
    """Whether the rule lets evidence over rows count that were seen."""
    return bool(parameters.get(SEEN_ROWS, "refused") == "accepted")


def accepts_left_out(parameters: Parameters) -> bool:
    """Whether the rule lets evidence count after many rows could not be used."""
    return bool(parameters.get(LEFT_OUT, "refused") == "accepted")


def counted(parameters: Parameters, n: int | None, evidence: EvidenceInput) -> int | None:
    """Of a sample those that surely differ: all copies may stand in this very slice. `n` where no row repeats or all count.

    Rounds of a timing are no rows; where a row holds several samples (tokens), as large a part of them counts as of the rows.
    """
    if (
        n is None
        or not of_rows(evidence.kind)
        or DISTINCT_ROWS not in evidence.environment
        or _counts_copies(parameters)
    ):
        return n
    said = evidence.environment[DISTINCT_ROWS]
    distinct, total = int(said) if _is_count(said) else 0, _all_rows(evidence)
    if total <= 0:
        return min(n, distinct)
    return max(min(n, 1), min(n - (total - distinct), n * distinct // total))


def data_read(evidence: EvidenceInput) -> set[str]:
    """The digests of what was read: of data, or of the one file of them that was chosen."""
    return {evidence.files.get(digest, digest) for digest in evidence.datasets}


def of_rows(kind: str) -> bool:
    """Whether figures of the kind rest on rows: not size, speed, memory, energy and money."""
    return kind.startswith((*_OF_SCORES, *_OF_ANSWERS))


def _counts_copies(parameters: Parameters) -> bool:
    return bool(parameters.get("repeated_rows", "ignored") == "counted")


def _all_rows(evidence: EvidenceInput) -> int:
    """How many rows there were; in evidence that does not say it, the largest sample of the whole."""
    said = evidence.environment.get(ALL_ROWS, "")
    return int(said) if _is_count(said) else max((f["n"] or 0 for f in evidence.figures if not f["slice"]), default=0)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16


# --- what counts ---


def _standing(parameters: Parameters, inputs: GateInputs, *, measured: bool) -> list[EvidenceInput]:
    """Of the kind, about this version, and compared as things are now; over whatever rows."""
    found = _of_kind(parameters["kind"], inputs, measured=measured)
    return [e for e in found if _compared_as_now(e, inputs)]


def _of_kind(kind: str, inputs: GateInputs, *, measured: bool) -> list[EvidenceInput]:
    mine = (e for e in inputs.evidence if e.kind == kind and e.version_digest == inputs.version_digest)
    return [e for e in mine if e.source == "measured" or not measured]


def _latest(fitting: Sequence[EvidenceInput]) -> EvidenceInput | None:
    return max(fitting, key=lambda e: (e.created_at, e.digest)) if fitting else None


def _as_asked(evidence: EvidenceInput, asked: Parameters) -> bool:
    rows, plan = asked.get(ROWS), asked.get(PLAN)
    return (rows is None or rows in data_read(evidence)) and plan in (None, evidence.environment.get("plan"))


def _tainted(parameters: Parameters, evidence: EvidenceInput) -> bool:
    seen = rows_seen(evidence) != "" and not accepts_seen(parameters)
    partial = rows_left_out(evidence) != "" and not accepts_left_out(parameters)
    doubted = _doubted(parameters, evidence) and parameters.get("doubted_scores", "refused") != "accepted"
    return seen or partial or doubted


def _doubted(parameters: Parameters, evidence: EvidenceInput) -> bool:
    """Whether what the rule asks leans on scores that the plan most likely misnames."""
    if SCORES_DOUBTED not in evidence.environment:
        return False
    metric = str(parameters.get("metric", ""))
    by_answers = evidence.kind.startswith(_OF_ANSWERS) and metric != "" and not metric.startswith(_NO_SCORES)
    return evidence.kind.startswith(_OF_SCORES) or by_answers


def _compared_as_now(evidence: EvidenceInput, inputs: GateInputs) -> bool:
    if not evidence.kind.endswith((SERVED, FIRST)):
        return True
    beside = inputs.incumbent if evidence.kind.endswith(SERVED) else inputs.first_approved
    return beside is not None and set(evidence.compared_with) == {beside}


# --- why none counts ---


def _taint(what: str, parameters: Parameters, evidence: EvidenceInput) -> str:
    """Why evidence that is as the rule asks for it does not count."""
    rows = rows_seen(evidence)
    if rows and not accepts_seen(parameters):
        return f"{what} was only measured on data of which the version had seen {rows} when it was made; that does not count."
    left = rows_left_out(evidence)
    if left and not accepts_left_out(parameters):
        return (
            f"{what} rests on what was left after {left} could not be used; that does not count. Mend the rows, or the names of "
            "the classes in the plan, and evaluate again."
        )
    return (
        f"{what} leans on scores that the plan most likely misnames ({evidence.environment[SCORES_DOUBTED]}); that does not "
        "count. Say in the plan what the scores are and evaluate again."
    )


def _beside_another(kind: str, inputs: GateInputs, *, measured: bool) -> Finding | None:
    """Why there is no evidence of a comparison, where there is some that compares with other versions than it must."""
    fitting = _of_kind(kind, inputs, measured=measured)
    other = _latest(fitting)
    if other is None or any(_compared_as_now(e, inputs) for e in fitting):
        return None
    served = kind.endswith(SERVED)
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


def _otherwise(asked: Parameters, standing: Sequence[EvidenceInput]) -> Finding | None:
    """Why there is no evidence as the rule asks for it, where there is some over other rows or by another plan."""
    other = _latest(standing)
    if other is None:
        return None
    named = {"the rows": asked.get(ROWS), "the plan": asked.get(PLAN)}
    wanted = " and ".join(f"{what} {digest[:19]}" for what, digest in named.items() if digest is not None)
    reason = f"Evidence of kind '{asked['kind']}' is there only over other rows or by another plan; {wanted} are asked."
    return Finding(False, reason, (other.digest,))

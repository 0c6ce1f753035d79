"""Facts about who answers for what: inventory, ledger, policies, duties, purpose, exceptions, findings. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.facts.base import (
    FAILS,
    PARTIAL,
    PASSES,
    STALE,
    Fact,
    FactSpec,
    after_days,
    ago,
    count_of,
    days_between,
    inputs_of,
    joined,
    missing,
)
from audit.facts.case import Case
from audit.snapshots import Record

_QUALITIES = {
    "valid and reliable": {"evidence_present", "figure", "target_evidence"},
    "safe": set(),
    "secure and resilient": {"structure_checked"},
    "accountable and transparent": {"terms", "lineage_grade", "training_data", "dataset_known", "use_case"},
    "explainable and interpretable": set(),
    "privacy-enhanced": set(),
    "fair": set(),
}  # type: dict[str, set[str]]


def inventory(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """The model and each of its versions stand in the registry, each named by its digest."""
    if case.model is None or not case.versions:
        return missing("No version of the model is registered.")
    count = count_of(len(case.versions), "version")
    served = {window.row["version_digest"] for m in case.monitors for window in case.windows(m)}
    strange = served - {v.row["digest"] for v in case.versions}
    if strange:
        sentence = f"{count_of(len(strange), 'digest')} seen in live traffic is not a registered version."
        return Fact(FAILS, sentence, f"{len(strange)} unregistered", inputs_of([case.model, *case.versions]))
    sentence = f"The registry holds {count} of the model, each named by its digest."
    return Fact(PASSES, sentence, count, inputs_of([case.model, *case.versions]))


def owner_named(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Somebody answers for the model."""
    if case.model is None or not case.model.row["owner_id"]:
        return missing("Nobody is named as the owner of the model.")
    return Fact(PASSES, "The model has a named owner.", "named", inputs_of([case.model]))


def ledger_verified(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """The ledger was recomputed from its bytes up to this snapshot."""
    state = case.snapshot.ledger
    if state is None or not state.checked:
        return missing("The ledger was not verified for this view; an issued assessment verifies it.", "not verified")
    if not state.ok:
        return Fact(FAILS, f"The ledger does not verify: {state.sentence}", "broken")
    sentence = f"All {state.size} ledger entries were recomputed from their bytes and fit the signed checkpoints."
    return Fact(PASSES, sentence, f"{state.size} entries")


def policy_in_force(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """The release policy that judged the model is approved by somebody other than its author, and not too old."""
    limit = int(parameters["max_age_days"])
    if not case.policies:
        return missing("No release policy that is in force has judged this model.")
    newest = max(case.policies, key=lambda p: str(p.row["in_force_at"]))
    if newest.row["approved_by_id"] == newest.row["author_id"]:
        return Fact(FAILS, "The policy was approved by its own author.", "self-approved", inputs_of([newest]))
    expires = after_days(str(newest.row["in_force_at"]), limit)
    name = f"{newest.row['slug']}@{newest.row['number']}"
    age = days_between(str(newest.row["in_force_at"]), case.now)
    if expires <= case.now:
        sentence = f"Policy {name} came into force {ago(age)} and is due for its review after {limit}."
        return Fact(STALE, sentence, name, inputs_of([newest]), expires)
    sentence = f"Policy {name} is in force, approved by somebody other than its author."
    return Fact(PASSES, sentence, name, inputs_of([newest]), expires)


def policy_qualities(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """How many of the seven trust characteristics have a rule in the policies in force."""
    checks: set[str] = set()
    for policy in case.policies:
        document = case.snapshot.document(str(policy.row["digest"]))
        if isinstance(document, dict):
            checks |= {str(rule["check"]) for rule in document["rules"]}
    covered = [name for name, wanted in _QUALITIES.items() if wanted & checks]
    value = f"{len(covered)} of {len(_QUALITIES)}"
    if not covered:
        return missing("No policy in force has a rule for any of the seven trust characteristics.", value)
    without = [name for name in _QUALITIES if name not in covered]
    if not without:
        return Fact(PASSES, "Each of the seven trust characteristics has a rule.", value, inputs_of(case.policies))
    sentence = f"{value} trust characteristics have a release rule; none for: {joined(without, 7)}."
    return Fact(PARTIAL, sentence, value, inputs_of(case.policies))


def gates_met(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Each live version passed the gate of its tier, for exactly its digest; waivers count while they run."""
    if not case.live:
        return missing("Nothing is live, so no gate had to be passed.")
    waived: list[str] = []
    used: list[Record | None] = []
    for live in case.live:
        verdict = case.snapshot.get("release.verdict", live.approval.row["verdict_id"] if live.approval else None)
        used += [live.assignment, verdict]
        name = f"{case.title(live.version)} (alias {live.alias.row['slug']})"
        if verdict is None or verdict.row["version_digest"] != live.version.row["digest"]:
            return Fact(FAILS, f"{name} is live without a verdict about its digest.", "no verdict", inputs_of(used))
        if verdict.row["outcome"] == "blocked":
            return Fact(FAILS, f"{name} is live although the gate blocked it.", "blocked", inputs_of(used))
        if verdict.row["outcome"] == "passed-with-waiver":
            waived.append(name)
    if waived:
        sentence = f"Everything live passed its gate; {joined(waived)} with a waiver."
        return Fact(PASSES, sentence, "passed with waiver", inputs_of(used))
    return Fact(PASSES, "Everything live passed the gate of its tier.", "passed", inputs_of(used))


def duties_apart(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Nobody approved what they requested, uploaded or ran."""
    grants = [d for d in case.snapshot.all("release.decision") if d.row["kind"] == "granted"]
    if not grants:
        return missing("No approval was granted yet, so duties could not be seen apart.")
    for grant in grants:
        approval = case.snapshot.get("release.approval", str(grant.row["approval_id"]))
        version = case.version(str(approval.row["version_id"])) if approval else None
        run = case.run_of(version) if version else None
        builders = {
            None if approval is None else approval.row["requested_by_id"],
            None if version is None else version.row["created_by_id"],
            None if run is None else run.row["requested_by_id"],
        }
        if {grant.row["decided_by_id"], grant.row.get("on_behalf_of_id")} & (builders - {None}):
            sentence = "One person asked for, uploaded or ran something and approved it too."
            return Fact(FAILS, sentence, "same person", inputs_of([grant, approval, version, run]))
    sentence = f"{count_of(len(grants), 'grant')}: none by the person who requested, uploaded or ran it."
    return Fact(PASSES, sentence, count_of(len(grants), "grant"), inputs_of(grants))


_USE_CASE_TEXTS = {"purpose_id": "purpose", "users_id": "users", "prohibited_id": "prohibited uses"}


def use_case_described(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Purpose, users, prohibited uses, sector and jurisdiction of the use case are written down."""
    use_case = case.use_case
    if use_case is None:
        return missing("The model serves no use case, so nobody said what it is for.")
    empty = [name for column, name in _USE_CASE_TEXTS.items() if not use_case.row[column]]
    value = f"{5 - len(empty)} of 5 fields"
    if empty:
        sentence = f"The use case is described, but says nothing about: {joined(empty)}."
        return Fact(PARTIAL, sentence, value, inputs_of([case.model, use_case]))
    sentence = "The use case says purpose, users, prohibited uses, sector and jurisdiction."
    return Fact(PASSES, sentence, value, inputs_of([case.model, use_case]))


def jurisdiction_named(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """The use case names a jurisdiction."""
    if case.use_case is None:
        return missing("The model serves no use case, so no jurisdiction is named.")
    sentence = f"The use case names the jurisdiction {case.use_case.row['jurisdiction']}."
    return Fact(PASSES, sentence, str(case.use_case.row["jurisdiction"]), inputs_of([case.use_case]))


def uses_limited(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """The use case says what the model must not be used for."""
    if case.use_case is None or not case.use_case.row["prohibited_id"]:
        return missing("No prohibited use is written down.")
    return Fact(PASSES, "Prohibited uses are written down.", "written", inputs_of([case.use_case]))


def tier_set(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """The use case has a tier, and limits per tier stand in a policy in force."""
    if case.use_case is None:
        return missing("The model serves no use case, so it has no tier.")
    tier = str(case.use_case.row["tier"])
    if not case.policies:
        return Fact(
            PARTIAL, f"The tier is {tier}, but no policy in force sets limits.", tier, inputs_of([case.use_case])
        )
    sentence = f"The tier is {tier}, and a policy in force sets numeric limits for it."
    return Fact(PASSES, sentence, tier, inputs_of([case.use_case, *case.policies]))


def waivers_in_date(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Exceptions for live versions are signed, reasoned and running."""
    waivers = [w for live in case.live for w in case.waivers(live.version) if w.row["ended_at"] is None]
    if not waivers:
        return missing("No exception is recorded for what is live.")
    over = [w for w in waivers if w.row["expires_at"] <= case.now]
    soonest = min(str(w.row["expires_at"]) for w in waivers)
    if over:
        rules = joined(sorted({str(w.row["rule"]) for w in over}))
        return Fact(FAILS, f"The waiver for {rules} has expired, but the version is live.", "expired", inputs_of(over))
    sentence = f"{count_of(len(waivers), 'waiver')} in date, the first ends on {soonest[:10]}."
    return Fact(PASSES, sentence, count_of(len(waivers), "waiver"), inputs_of(waivers), soonest)


def findings_on_time(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Findings have an owner and a date that has not passed."""
    findings = case.snapshot.all("oversight.finding")
    if not findings:
        return missing("No finding is recorded, so nothing says that risks are followed up.")
    open_ = [f for f in findings if f.row["closed_at"] is None]
    late = [f for f in open_ if str(f.row["due_on"]) < case.now[:10]]
    if late:
        return Fact(FAILS, f"{count_of(len(late), 'finding')} past the due date.", "overdue", inputs_of(late))
    expires = min((f"{f.row['due_on']}T23:59:59.999999Z" for f in open_), default=None)
    sentence = f"{count_of(len(findings), 'finding')} with owner and date, {len(open_)} open, none overdue."
    return Fact(PASSES, sentence, f"{len(open_)} open", inputs_of(findings), expires)


def challenges_recorded(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """How often a request was rejected or returned: an indicator that people do say no."""
    decisions = case.snapshot.all("release.decision")
    refused = [d for d in decisions if d.row["kind"] in ("rejected", "returned", "revoked")]
    if not refused:
        return missing(f"Of {count_of(len(decisions), 'decision')}, none was a rejection or a return.", "0 refusals")
    sentence = f"{len(refused)} of {count_of(len(decisions), 'decision')} said no or asked for more."
    return Fact(PASSES, sentence, count_of(len(refused), "refusal"), inputs_of(refused))


def reviewed_in_time(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """An assessment of the model was issued within the review period."""
    limit = int(parameters["max_age_days"])
    issued = case.snapshot.all("audit.assessment")
    if not issued:
        return missing("No assessment of this model was issued before this one.")
    newest = issued[-1]
    expires = after_days(newest.at, limit)
    age = days_between(newest.at, case.now)
    outcome = STALE if expires <= case.now else PASSES
    sentence = f"The last assessment was issued {ago(age)}; one is due every {limit} days."
    return Fact(outcome, sentence, ago(age), inputs_of([newest]), expires)


FACTS = [
    FactSpec("inventory", "versions registered by digest", inventory, {}),
    FactSpec("owner_named", "the model has an owner", owner_named, {}),
    FactSpec("ledger_verified", "the ledger verifies", ledger_verified, {}),
    FactSpec("policy_in_force", "an approved policy in date", policy_in_force, {"max_age_days": 365}),
    FactSpec("policy_qualities", "trust characteristics with a rule", policy_qualities, {}),
    FactSpec("gates_met", "live versions passed their gate", gates_met, {}),
    FactSpec("duties_apart", "nobody approved their own work", duties_apart, {}),
    FactSpec("use_case_described", "the use case is written down", use_case_described, {}),
    FactSpec("jurisdiction_named", "a jurisdiction is named", jurisdiction_named, {}),
    FactSpec("uses_limited", "prohibited uses are written down", uses_limited, {}),
    FactSpec("tier_set", "tier and numeric limits", tier_set, {}),
    FactSpec("waivers_in_date", "exceptions are in date", waivers_in_date, {}),
    FactSpec("findings_on_time", "findings are followed up", findings_on_time, {}),
    FactSpec("challenges_recorded", "requests that were refused", challenges_recorded, {}),
    FactSpec("reviewed_in_time", "assessments are repeated", reviewed_in_time, {"max_age_days": 365}),
]
